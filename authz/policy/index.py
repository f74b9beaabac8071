"""Name -> blocks, by index and not by scan (policies/README.md 2).

Exact names are a dictionary. Globs are found by their literal beginning and end, so that a name is held only against
the globs that could match it, however many there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

from authz.names import fold

B = TypeVar("B")


def glob_matches(glob: str, name: str) -> bool:
    """Whether `glob`, in which `*` stands for any characters, matches the whole of `name`.

    Each part is taken at its first place, which is enough when `*` is the only wildcard: time is linear in the name
    for each part, and there is nothing to backtrack into.
    """
    first, *parts = glob.split("*")
    if not parts:
        return glob == name
    *middle, last = parts
    if not name.startswith(first) or not name.endswith(last) or len(name) < len(first) + len(last):
        return False
    start, end = len(first), len(name) - len(last)
    for part in middle:
        found = name.find(part, start, end)
        if found < 0:
            return False
        start = found + len(part)
    return True


def is_nested(inner: str, outer: str) -> bool:
    """Whether every name that `inner` matches is matched by `outer`, and not the other way round.

    A `*` of `inner` can only be covered by a `*` of `outer`, so `inner` itself, read as a name, decides.
    """
    return inner != outer and glob_matches(outer, inner) and not glob_matches(inner, outer)


class Index(Generic[B]):
    """The blocks of one section of a policy, such as `tools`."""

    def __init__(self, blocks: Mapping[str, B]) -> None:
        self.exact = {name: block for name, block in blocks.items() if "*" not in name}
        self.globs = {name: block for name, block in blocks.items() if "*" in name}
        self._twins = {fold(name) for name in self.exact}
        self._by_ends: dict[tuple[str, str], list[str]] = {}
        for glob in self.globs:
            first, *_, last = glob.split("*")
            self._by_ends.setdefault((first, last), []).append(glob)
        self._lengths = sorted({(len(first), len(last)) for first, last in self._by_ends})
        self._outer: dict[str, frozenset[str]] = {}  # by glob, once it was asked for

    def __bool__(self) -> bool:
        return bool(self.exact or self.globs)

    def is_twin(self, name: str) -> bool:
        """Whether `name` is not a name of this section but looks like one (policies/README.md 2, `ambiguous_name`)."""
        return bool(self._twins) and name not in self.exact and fold(name) in self._twins

    def find(self, name: str) -> tuple[B, ...]:
        """The blocks that govern `name`: the exact one, else the globs that no matching glob is nested in."""
        block = self.exact.get(name)
        if block is not None:
            return (block,)
        if not self.globs:
            return ()
        return tuple(self.globs[glob] for glob in self._innermost(self._matching(name)))

    def find_all(self, name: str) -> tuple[B, ...]:
        """Every block that matches `name`, nested or not: how a baseline applies (policies/README.md 7)."""
        exact = self.exact.get(name)
        found = [self.globs[glob] for glob in self._matching(name)]
        return tuple(found) if exact is None else (exact, *found)

    def within(self, glob: str) -> tuple[B, ...]:
        """The blocks that govern some of the names that `glob` matches in place of those that govern all of them."""
        if "*" not in glob:
            return ()
        matching = self._matching(glob)
        outer = self._innermost(matching)
        found = [block for name, block in self.exact.items() if glob_matches(glob, name)]
        for name, block in self.globs.items():
            # One that crosses those that govern all of them only comes beside these.
            if name not in matching and any(is_nested(name, one) for one in outer) and _overlap(name, glob):
                found.append(block)
        return tuple(found)

    def crossing(self) -> Iterable[tuple[str, str]]:
        """Pairs of globs that can match one name without one being nested in the other; `validate` warns of them."""
        globs = sorted(self.globs)
        for at, one in enumerate(globs):
            for other in globs[at + 1 :]:
                if not (is_nested(one, other) or is_nested(other, one)) and _overlap(one, other):
                    yield one, other

    def _matching(self, name: str) -> list[str]:
        found: list[str] = []
        for first, last in self._lengths:
            if first + last <= len(name):
                candidates = self._by_ends.get((name[:first], name[len(name) - last :]), ())
                found += [glob for glob in candidates if glob_matches(glob, name)]
        return found

    def _innermost(self, globs: list[str]) -> list[str]:
        """Those in which no other is nested."""
        if len(globs) < 2:
            return globs
        outer = frozenset().union(*[self._outer_of(glob) for glob in globs])
        return [glob for glob in globs if glob not in outer]

    def _outer_of(self, glob: str) -> frozenset[str]:
        """The globs that `glob` is nested in."""
        found = self._outer.get(glob)
        if found is None:
            found = self._outer[glob] = frozenset(outer for outer in self.globs if is_nested(glob, outer))
        return found


def _overlap(one: str, other: str) -> bool:
    """Whether some name matches both globs, by their literal ends (a middle part can always be fitted in between)."""
    first, *_, last = one.split("*")
    other_first, *_, other_last = other.split("*")
    starts = first.startswith(other_first) or other_first.startswith(first)
    ends = last.endswith(other_last) or other_last.endswith(last)
    return starts and ends
