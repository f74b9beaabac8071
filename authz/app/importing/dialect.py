"""The text of a policy of another program -> which dialect it is in, and what it says.

No dialect contains another, so a file that has keys of two of them is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from authz.app.importing.intercept import read_intercept
from authz.app.importing.policylayer import read_grant, read_pages
from authz.app.importing.source import Dialect, SourcePolicy
from authz.errors import PolicyError
from authz.policy.text.document import Document, Path, parse

_READERS: dict[Dialect, Callable[[Document], SourcePolicy]] = {
    Dialect.INTERCEPT: read_intercept,
    Dialect.PAGES: read_pages,
    Dialect.HOSTED: read_grant,
}
_GRANT_KEYS = ("require", "deny_if", "limits")
_INTERCEPT_KEYS = ("conditions", "state", "on_deny", "approval_timeout")


def read_policy(
    text: bytes, file: str, dialects: tuple[Dialect, ...] = tuple(Dialect)
) -> tuple[SourcePolicy, Document]:
    """What `text` says, and the document that knows the places. `dialects` are those that it may be in.

    Raises PolicyError with every problem.
    """
    document = parse(text, file)
    if not isinstance(document.value, dict):
        raise PolicyError([document.problem((), "expected a mapping with tools")])
    dialect = _detect(document, dialects)
    return _READERS[dialect](document), document


def _detect(document: Document, dialects: tuple[Dialect, ...]) -> Dialect:
    signs = list(_signs(document.value))
    found = dict(reversed(signs))
    wrong = [path for dialect, path in signs if dialect not in dialects]
    if wrong:
        expected = " or ".join(dialects)
        raise PolicyError([document.problem(wrong[0], f"no part of {expected} looks like this: see --from")])
    if len(found) > 1:
        (first, at), (second, other) = list(found.items())[:2]
        line, column = document.place(other)
        text = f"this is {first}, and at {line}:{column} there is {second}: expected one dialect in a file"
        raise PolicyError([document.problem(at, text)])
    if found:
        return next(iter(found))
    # Nothing that only one of them has: Intercept's files need `version`, and its rules a name.
    fitting = Dialect.INTERCEPT if "version" in document.value and not _has_nameless(document.value) else Dialect.PAGES
    return fitting if fitting in dialects else dialects[0]


def _signs(value: dict[str, Any]) -> Iterator[tuple[Dialect, Path]]:
    """What only one of the dialects has, with its place."""
    if "all_tools" in value:
        yield Dialect.HOSTED, ("all_tools",)
    tools = value.get("tools")
    for name, tool in tools.items() if isinstance(tools, dict) else ():
        path: Path = ("tools", name)
        if not isinstance(tool, dict):
            continue
        for key in _GRANT_KEYS:
            if key in tool:
                yield Dialect.HOSTED, (*path, key)
        rules = tool.get("rules")
        for at, rule in enumerate(rules if isinstance(rules, list) else ()):
            if isinstance(rule, dict):
                yield from _signs_of_rule(rule, (*path, "rules", at))


def _signs_of_rule(rule: dict[str, Any], path: Path) -> Iterator[tuple[Dialect, Path]]:
    for key in _INTERCEPT_KEYS:
        if key in rule:
            yield Dialect.INTERCEPT, (*path, key)
    if rule.get("action") == "evaluate":
        yield Dialect.INTERCEPT, (*path, "action")
    if "reason" in rule or rule.get("action") == "allow" or isinstance(rule.get("rate_limit"), dict):
        key = next(key for key in ("reason", "rate_limit", "action") if key in rule)
        yield Dialect.PAGES, (*path, key)


def _has_nameless(value: dict[str, Any]) -> bool:
    """Whether some rule has no name, as rules of the pages."""
    tools = value.get("tools")
    listed = [tool.get("rules") for tool in tools.values() if isinstance(tool, dict)] if isinstance(tools, dict) else []
    return any(isinstance(rule, dict) and "name" not in rule for rules in listed for rule in rules or ())
