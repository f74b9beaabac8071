"""Bytes -> JSON value, only where every JSON reader must read the same: strict, finite, bounded. It knows no MCP.

jiter refuses what RFC 8259 forbids, duplicate members (after unescaping), byte order marks, other encodings than
UTF-8, lone surrogates, NaN, trailing bytes and integers over 4300 digits. What it leaves to us is below.
"""

from __future__ import annotations

import re
import sys
from typing import Any, Final

import jiter

from authz.mcp.flaw import Flaw, parse_error

# Readers give up at 64 (protobuf), 127 (serde), 199 (pydantic) … levels; go-sdk hung on 100,000 (measured).
MAX_DEPTH: Final = 100
# What does not fit a double is Infinity to JavaScript and exact to Python (measured).
_LARGEST: Final = sys.float_info.max

_NO_MARK: Final = bytes(set(range(256)) - set(b'",:[{'))
_DUPLICATE: Final = "expected each member once in an object, got one twice"
_PLACE: Final = re.compile(r"at line (\d+) column (\d+)$")


def decode_json(raw: bytes, max_values: int, *, doubtful: bool = False) -> Any:
    """The value of `raw`; MalformedMessage (-32700) where it is not strict JSON or is too much of it.

    `max_values` bounds the values of the whole document (empty objects and arrays count twice). With `doubtful` the
    proxy may have written `!` for bytes that are not UTF-8, so a member name that has one is refused.
    """
    # A value takes a byte at least, so a short body cannot have too many.
    large = len(raw) > max_values
    structure = _refuse_more_values(raw, max_values) if large else None
    try:
        # No cache: nothing an agent sends outlives its call, and it is no faster for calls (1.1 µs) and slower for
        # many members (measured, jiter 0.19). In a large body its search for duplicates costs as much as all the rest
        # (15 ms for 100,000 members, with the GIL held), so there the members are counted instead.
        value = jiter.from_json(raw, catch_duplicate_keys=not large, allow_inf_nan=False, cache_mode="none")
    except ValueError as error:
        raise _described(str(error)) from None
    if type(value) is dict or type(value) is list:
        members = _bound(value)
        if large and raw.count(b":") != members:
            if structure is None:
                structure = _structure(_marks(raw))
            if structure.count(b":") != members:
                raise parse_error(Flaw.DUPLICATE_MEMBER, f"body: {_DUPLICATE}")
        if doubtful:
            _refuse_doubtful_names(value)
    return value


def _refuse_more_values(raw: bytes, most: int) -> bytes | None:
    """Refuse more than `most` values, counted by commas and opening brackets; the structure if it had to be found."""
    if raw.count(b",") + raw.count(b"[") + raw.count(b"{") < most:
        return None  # not even with those in strings: the common case, 5 ms for 4 MiB
    marks = _marks(raw)
    # A value brings at most two strings, its name and itself: beyond that many quotes nothing need be counted.
    if marks.count(b'"') <= 4 * most:
        structure = _structure(marks)
        if len(structure) - structure.count(b":") < most:
            return structure
    raise parse_error(Flaw.VALUES, f"body: expected at most {most} values, got more")


def _marks(raw: bytes) -> bytes:
    """The commas, colons, opening brackets and closing or opening quotes of `raw`, in order."""
    if b"\\" in raw:
        # In JSON backslashes stand in strings only and are consumed in pairs from the left, as replace does.
        raw = raw.replace(b"\\\\", b"..").replace(b'\\"', b"..")  # same length: twice as fast as removing
    return raw.translate(None, _NO_MARK)


def _structure(marks: bytes) -> bytes:
    """What of `marks` is outside of strings, without the quotes."""
    return b"".join(marks.split(b'"')[::2])


def _described(error: str) -> Exception:
    """jiter's error without the member name that it may quote."""
    found = _PLACE.search(error)
    place = f"body:{found[1]}:{found[2]}" if found else "body"
    if error.startswith("Detected duplicate key"):
        return parse_error(Flaw.DUPLICATE_MEMBER, f"{place}: {_DUPLICATE}")
    if error.startswith("recursion limit"):
        return parse_error(Flaw.NESTING, f"body: expected at most {MAX_DEPTH} levels of nesting, got more")
    return parse_error(Flaw.JSON, f"{place}: expected strict JSON in UTF-8 (RFC 8259)")


def _bound(value: Any) -> int:
    """Refuse too deep nesting and numbers that do not fit a double; the number of all objects' members.

    It goes level by level, so without recursion.
    """
    members = 0
    containers = [value]
    depth, level_ends = 1, 1
    for at, container in enumerate(containers):  # which grows
        if at == level_ends:
            depth, level_ends = depth + 1, len(containers)
            if depth > MAX_DEPTH:
                raise parse_error(Flaw.NESTING, f"body: expected at most {MAX_DEPTH} levels of nesting, got more")
        if type(container) is dict:
            members += len(container)
            container = container.values()
        for item in container:
            kind = type(item)
            if kind is str:
                continue
            if kind is dict or kind is list:
                containers.append(item)
            elif item is not None and not -_LARGEST <= item <= _LARGEST:
                raise parse_error(Flaw.NUMBER, "body: expected numbers that fit a double, got a larger one")
    return members


def _refuse_doubtful_names(value: Any) -> None:
    pending = [value]
    while pending:
        container = pending.pop()
        if type(container) is dict:
            if any("!" in name for name in container):
                raise parse_error(
                    Flaw.DOUBTFUL_TEXT, "body: expected member names without '!' in a body that is not sent as bytes"
                )
            container = container.values()
        pending.extend(item for item in container if type(item) is dict or type(item) is list)
