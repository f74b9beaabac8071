"""A document of plain values and comments -> YAML text that this program's strict reader takes as it is meant.

Short mappings stand on one line, as in the examples that ship with the program. Knows nothing of what the keys mean.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from authz.policy.text.document import Path
from authz.policy.text.scalar import Surprise, resolve

WIDTH = 110
_PLAIN = re.compile(r"[A-Za-z0-9_/.][A-Za-z0-9_./-]*(?: [A-Za-z0-9_./(-][A-Za-z0-9_./()-]*)*")
_VISIBLE = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff]*")

Comments = Mapping[Path, list[str]]


def yaml_text(value: Mapping[str, Any], comments: Comments, blank_before: tuple[str, ...] = ()) -> str:
    """The text of `value`. `comments` stand above the key at their path, those at () at the top.

    Before the keys `blank_before` of the top an empty line is left.
    """
    lines = [_comment(line) for line in comments.get((), [])]
    for key, member in value.items():
        if key in blank_before:
            lines.append("")
        lines += _member(key, member, (key,), comments, 0)
    return "\n".join(lines) + "\n"


def _member(key: str, value: Any, path: Path, comments: Comments, depth: int) -> Iterator[str]:
    indent = "  " * depth
    for line in comments.get(path, []):
        yield f"{indent}{_comment(line)}"
    head = f"{indent}{_scalar(key)}:"
    flow = flow_text(value)
    commented = any(len(one) > len(path) and one[: len(path)] == path for one in comments)
    short = depth > 0 and not commented and len(head) + 1 + len(flow) <= WIDTH
    if not isinstance(value, (dict, list)) or not value or short:
        yield f"{head} {flow}"
    elif isinstance(value, dict):
        yield head
        for name, member in value.items():
            yield from _member(name, member, (*path, name), comments, depth + 1)
    else:
        yield head
        for at, entry in enumerate(value):
            yield from _entry(entry, (*path, at), comments, depth + 1)


def _entry(value: Any, path: Path, comments: Comments, depth: int) -> Iterator[str]:
    indent = "  " * depth
    flow = flow_text(value)
    if not isinstance(value, dict) or not value or len(indent) + 2 + len(flow) <= WIDTH:
        yield f"{indent}- {flow}"
        return
    first = True
    for name, member in value.items():
        for line in _member(name, member, (*path, name), comments, depth + 1):
            yield f"{indent}- {line[len(indent) + 2 :]}" if first else line
            first = False


def _comment(line: str) -> str:
    visible = "".join(char if _VISIBLE.fullmatch(char) else " " for char in line)
    return f"# {visible}".rstrip()


def flow_text(value: Any) -> str:
    """`value` on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(name)}: {flow_text(member)}" for name, member in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow_text, value)) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")  # 1e-07 is text to some readers
    if isinstance(value, int):
        return str(value)
    text = str(value)
    if _PLAIN.fullmatch(text):
        try:
            if resolve(text) == text:
                return text
        except Surprise:
            pass  # readers differ about it: in quotes they do not
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(char if char.isprintable() else _escape(char) for char in quoted)


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
