"""What is known of one node of a condition, when two such things cannot go together, and how a person is told.

Sentences name what the policy wrote and what would be right; they are built from nothing that a caller sends.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from authz.policy.arguments.schema import ITEM, Path
from authz.policy.conditions.syntax import Const, Node
from authz.policy.conditions.types import Kinds
from authz.policy.conditions.work import Work
from authz.policy.text.suggestion import did_you_mean


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of one node: its work, its kinds (None: unknown), and for messages its `label`.

    `path` is set for a value that comes from the arguments; `item` is an element of a list, `items` those of a literal.
    `among` are all values that it can have, where that is a closed set of words; `word` is the text of a literal.
    """

    work: Work
    kinds: Kinds | None = None
    label: str = ""
    path: Path | None = None
    declared: str = ""
    item: Seen | None = None
    items: tuple[Seen, ...] = ()
    among: tuple[str, ...] = ()
    word: str | None = None


def mismatch(seen: Seen, kinds: Kinds, where: str) -> str:
    """The problem if a declared value can never be of these kinds, else ""."""
    if not seen.declared or seen.kinds is None or seen.kinds & kinds:
        return ""
    return f"{seen.label} is declared {seen.declared}, but {where} needs {' or '.join(sorted(kinds))}"


def incomparable(left: Seen, right: Seen) -> str:
    """The problem if a declared value is compared with what it can never equal, else ""."""
    if left.kinds is None or right.kinds is None or left.kinds & right.kinds:
        return ""
    typed, other = (left, right) if left.declared else (right, left)
    if not typed.declared:
        return ""  # CEL's own checker has spoken, or two literals
    what = other.label or " or ".join(sorted(other.kinds or ()))
    what += f", which is declared {other.declared}" if other.declared else ""
    return f"{typed.label} is declared {typed.declared}, but is compared with {what}"


def misspelt(left: Seen, right: Seen) -> str:
    """The problem if a value of a closed set is compared with a word that is none of it, else ""."""
    closed, word = (left, right.word) if left.among else (right, left.word)
    if not closed.among or word is None or word in closed.among:
        return ""
    expected = f"expected one of {', '.join(closed.among)}"
    return f"{closed.label} is compared with {word!r}, {expected}{did_you_mean(word, closed.among)}"


def literal_label(node: Const) -> str:
    """A literal as CEL and JSON write it."""
    if isinstance(node.value, bytes):
        return repr(node.value)
    return json.dumps(node.value, ensure_ascii=False)


def hint_of(node: Node) -> str:
    """JSON Schema's type for a value that is compared with `node`."""
    if isinstance(node, Const) and node.type == "number":
        return "integer" if isinstance(node.value, int) else "number"
    return node.type if node.type in ("string", "number", "boolean", "array", "object", "null") else "string"


def step_label(step: str | int) -> str:
    """One step of a path as it is written: `.name`, `[0]`, `[]` for any item."""
    if isinstance(step, int):
        return "[]" if step == ITEM else f"[{step}]"
    return f".{step}" if step.isidentifier() else f"[{json.dumps(step, ensure_ascii=False)}]"


def path_label(path: Path) -> str:
    """A path as it is written: `args.options.force`, `args.tags[]`."""
    return "args" + "".join(step_label(step) for step in path)


def declaration(path: Path, hint: str) -> str:
    """The YAML that declares `path`, below `arguments:`."""
    text = "{type: array, items: {type: string}}" if hint == "array" else f"{{type: {hint}}}"
    for step in reversed(path[1:]):
        text = f"{{type: array, items: {text}}}" if isinstance(step, int) else _properties(step, text, "type: object, ")
    return _properties(path[0], text, "") if path else text


def _properties(name: str | int, text: str, type_: str) -> str:
    key = name if isinstance(name, str) and name.isidentifier() else json.dumps(name, ensure_ascii=False)
    return f"{{{type_}properties: {{{key}: {text}}}}}"
