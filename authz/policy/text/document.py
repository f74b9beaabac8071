"""YAML text -> `Document`: plain values that remember their line and column, and what cannot be read in one way.

Strict (policies/README.md 10). Knows nothing of what the keys mean.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from authz.errors import PolicyError, Problem
from authz.policy.text.reader import Path, Reader, place_of, render_path
from authz.policy.text.source import Reading, Source

__all__ = ["MAX_BYTES", "Document", "Path", "parse", "render_path"]

MAX_BYTES = 1 << 20  # what a ConfigMap can hold

_BOM = b"\xef\xbb\xbf"
_ANY: Mapping[str, tuple[type, ...]] = {}


def _nowhere(_: Path) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Document:
    """One file: `value` is made of dict, list, str, int, float and bool, and is not to be changed.

    `file` is the name that problems carry. Places are lines and columns, in characters and from 1. A document with
    `problems` is for finding more of them and never for use: None stands where a value could not be read.
    """

    file: str
    value: Any
    problems: tuple[Problem, ...]
    _text: str = field(repr=False)
    _starts: array[int] = field(repr=False)  # where each key and each value begins, in the order of the text
    _index: dict[Path, tuple[int, int]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def place(self, path: Path) -> tuple[int, int]:
        """Line and column of the key (of a list's entry: where it begins), or of the nearest ancestor there is."""
        return place_of(self._text, self._start(path)[0])

    def value_place(self, path: Path) -> tuple[int, int]:
        """Line and column where the value begins, or of the nearest ancestor's key."""
        key, value = self._start(path)
        return place_of(self._text, value if path in self._index else key)

    def problem(self, path: Path, message: str, *, at_value: bool = False) -> Problem:
        """A mistake at `path`, placed at its key or at its value."""
        place = self.value_place(path) if at_value else self.place(path)
        return Problem(self.file, *place, render_path(path), message)

    def is_unclear(self, path: Path) -> bool:
        """Whether something at `path` or below it could not be read."""
        place = render_path(path)
        return any(one.path == place or one.path.startswith((f"{place}.", f"{place}[")) for one in self.problems)

    @property
    def reading(self) -> Reading:
        """What is enough to make this document again from its text, if it has no problem."""
        return self.value, self._starts

    def _start(self, path: Path) -> tuple[int, int]:
        if not self._index:  # only files with problems pay for it
            _fill(self._index, (), self.value, None, iter(self._starts))
        while path not in self._index:
            path = path[:-1]
        return self._index[path]


def parse(
    text: bytes,
    file: str,
    takes: Mapping[str, tuple[type, ...]] = _ANY,
    nullable: Callable[[Path], bool] = _nowhere,
) -> Document:
    """The one document in `text`, with what is wrong in it; raises PolicyError where it is no YAML that could be read.

    `takes` are the types that the value of a top-level key may have, where they are known: no other is advised.
    `nullable` says at which places inside of the document `null` is a value (None), as in JSON that somebody else
    wrote; elsewhere it is a problem.
    """
    if len(text) > MAX_BYTES:
        raise PolicyError([Problem(file, 0, 0, "", f"expected at most {MAX_BYTES} bytes, got {len(text)}")])
    ahead = text.ahead if isinstance(text, Source) and takes is _ANY and nullable is _nowhere else None
    text = text.removeprefix(_BOM)
    try:
        characters = text.decode()
    except UnicodeDecodeError as error:
        before = text[: error.start].decode()
        message = f"expected UTF-8, got the byte 0x{text[error.start]:02x}"
        raise PolicyError([Problem(file, *place_of(before, len(before)), "", message)]) from None
    known = ahead() if ahead is not None else None
    if known is not None:
        return Document(file, known[0], (), characters, known[1])
    reader = Reader(characters, file, takes, nullable)
    value = reader.read()
    if reader.dropped:
        reader.problems.append(Problem(file, 0, 0, "", f"and {reader.dropped} more problems"))
    if reader.dropped or value is None:
        raise PolicyError(reader.problems)
    return Document(file, value, tuple(reader.problems), characters, reader.starts)


def _fill(index: dict[Path, tuple[int, int]], path: Path, value: Any, key: int | None, starts: Iterator[int]) -> None:
    """Pair every node of `value` with where its key and where it itself begins."""
    start = next(starts)
    index[path] = (start if key is None else key, start)
    if isinstance(value, dict):
        for name, member in value.items():
            member_key = next(starts)
            _fill(index, (*path, name), member, member_key, starts)
    elif isinstance(value, list):
        for at, entry in enumerate(value):
            _fill(index, (*path, at), entry, None, starts)
