"""What a policy says about text that is code -> a warning that no pattern can judge it, with what can be done instead.

Comments, quotes, encodings, several statements in one and functions with side effects get round every pattern on SQL or
shell commands (policies/README.md 3). One that lets through single words only is no such pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from authz.policy.arguments.bounds import is_anchored
from authz.policy.arguments.schema import Path, children
from authz.policy.conditions.syntax import Const, ListOf, Loop, MapOf, Name, Node, Operation, Select
from authz.policy.conditions.types import ON_TEXT

_CODE = frozenset(
    (
        *("sql", "query", "queries", "statement", "statements", "command", "commands", "cmd", "script", "shell"),
        *("bash", "powershell", "code", "source_code", "expression", "program", "eval", "javascript", "python"),
        *("cypher", "graphql", "sparql", "aggregation", "command_line", "commandline", "sql_query"),
    )
)
_ESCAPED = re.compile(r"\\[^sSWDpPbB]")
_WIDE = re.compile(r"[.\s\\]|\[\^")


def is_code(name: str) -> bool:
    """Whether an argument of this name is in a language of its own."""
    return name.casefold().replace("-", "_") in _CODE


def judged_code(schema: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Every pattern on code in a well-formed schema: its path and what is wrong with it."""
    if not isinstance(schema, dict):
        return
    for place, child in children(schema):
        name = str(place[-1]) if place[0] == "properties" else ""
        if name and is_code(name) and isinstance(child, dict):
            for where, one in (((*path, *place), child), ((*path, *place, "items"), child.get("items"))):
                if isinstance(one, dict) and "pattern" in one and not _is_of_words(one["pattern"]):
                    yield (*where, "pattern"), _advice(name)
        yield from judged_code(child, (*path, *place))


def judged_in(tree: Node) -> Iterator[str]:
    """The same for the tree of a condition: what is wrong with each look at text that is code."""
    for node in nodes(tree):
        if isinstance(node, Operation) and node.function in ON_TEXT:
            name = _argument(node.parts[0])
            pattern = node.parts[1]
            words = node.function == "matches" and isinstance(pattern, Const) and _is_of_words(str(pattern.value))
            if name and is_code(name) and not words:
                yield _advice(name)


def loose_matches(tree: Node) -> Iterator[str]:
    """Patterns that must match for the condition to hold, and that match a part only."""
    if isinstance(tree, Operation):
        if tree.function == "matches":
            pattern = tree.parts[1]
            if isinstance(pattern, Const) and isinstance(pattern.value, str) and not is_anchored(pattern.value):
                yield f"{pattern.value!r} is not anchored as ^…$: it may match a part only"
        elif tree.function in ("_&&_", "_||_", "_?_:_"):
            for part in tree.parts[-2:]:
                yield from loose_matches(part)
    elif isinstance(tree, Loop):
        yield from loose_matches(tree.step)


def nodes(tree: Node) -> Iterator[Node]:
    """`tree` and every node below it."""
    yield tree
    if isinstance(tree, Select):
        below: tuple[Node, ...] = (tree.of,)
    elif isinstance(tree, Operation):
        below = tree.parts
    elif isinstance(tree, ListOf):
        below = tree.items
    elif isinstance(tree, MapOf):
        below = tuple(part for entry in tree.entries for part in entry)
    elif isinstance(tree, Loop):
        below = (tree.over, tree.step)
    else:
        below = ()
    for node in below:
        yield from nodes(node)


def _argument(node: Node) -> str:
    """The last name of an `args` path, "" of anything else."""
    name = node.field if isinstance(node, Select) else ""
    if isinstance(node, Operation) and node.function == "_[_]" and isinstance(node.parts[1], Const):
        value = node.parts[1].value
        name = value if isinstance(value, str) else _argument(node.parts[0])
    root = node
    while isinstance(root, Select) or (isinstance(root, Operation) and root.function == "_[_]"):
        root = root.of if isinstance(root, Select) else root.parts[0]
    return name if isinstance(root, Name) and root.name.removeprefix(".") == "args" else ""


def _is_of_words(pattern: str) -> bool:
    """Whether a pattern lets through nothing but whole texts without white space and of characters that it names."""
    return is_anchored(pattern) and not _WIDE.search(_ESCAPED.sub("", pattern))


def _advice(name: str) -> str:
    return (
        f"no pattern can judge what {name!r} does: comments, quotes and several statements get round it; "
        f"list whole texts with enum, ask for approval, or give the server an account that may do no more"
    )
