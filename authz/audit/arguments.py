"""Arguments -> what may be written of them: a digest, or values without those that authenticate."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from authz.audit.text import clip
from authz.model import JsonObject


def _fold(name: str) -> str:
    return name.lower() if name.isascii() else unicodedata.normalize("NFKC", name).casefold()


DEFAULT_REDACTED = (
    "*password*", "*passwd*", "*passphrase*", "*token*", "*secret*", "*credential*", "*authorization*", "*cookie*",
    "*key*", "pin", "cvv",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Redaction:
    """Whether argument values are written at all, and of which members never.

    `redact` are globs over member names at any depth, compared without regard to case. Of what remains at most
    `items` values are written, nested at most `depth` deep.
    """

    values: bool = False
    redact: tuple[str, ...] = DEFAULT_REDACTED
    items: int = 64
    depth: int = 6
    _names: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        pattern = "|".join(fnmatch.translate(_fold(glob)) for glob in self.redact)
        object.__setattr__(self, "_names", re.compile(pattern or r"(?!)"))

    def hides(self, name: str) -> bool:
        """Whether the value of this member is not to be written. A name too long to be looked at is hidden."""
        return len(name) > 128 or self._names.match(_fold(name)) is not None


NO_VALUES = Redaction()


def arguments_digest(arguments: JsonObject) -> str:
    """The SHA-256, in hex, of the arguments as `json.dumps(arguments, sort_keys=True, separators=(",", ":"))`.

    Not RFC 8785, which makes doubles of all numbers: there 9007199254740992 and …993 have one digest. Raises
    ValueError or TypeError for what is not JSON.
    """
    return hashlib.sha256(_canonical(arguments)).hexdigest()


def redacted(value: Any, redaction: Redaction, depth: int, left: list[int]) -> Any:
    """A copy of `value` that may be written; `left` is how many values may still be, over all levels."""
    left[0] -= 1
    if isinstance(value, str):
        return clip(value)
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 256:
        return "[a number of more than 256 bits]"
    if not isinstance(value, Mapping | list | tuple):
        return value
    if depth == 0:
        return "[nested deeper]"
    kept: Any = {} if isinstance(value, Mapping) else []
    for seen, item in enumerate(value):
        if left[0] <= 0:
            more = f"[+{len(value) - seen}]"
            kept.update({"…": more}) if isinstance(kept, dict) else kept.append(more)
            break
        if not isinstance(value, Mapping):
            kept.append(redacted(item, redaction, depth - 1, left))
        elif redaction.hides(item):
            left[0] -= 1
            kept[clip(item)] = "[redacted]"
        else:
            kept[clip(item)] = redacted(value[item], redaction, depth - 1, left)
    return kept


def _canonical(arguments: JsonObject) -> bytes:
    if _is_plain(arguments, _DEPTH):
        try:
            encoded = _encode(arguments)  # a fifth of what the standard library takes, and the same for ASCII
        except UnicodeEncodeError:
            encoded = b"\xff"  # a lone surrogate, which the standard library escapes
        if encoded.isascii() and b"\x7f" not in encoded:
            return encoded
    return _dump(arguments).encode()


def _is_plain(value: Any, depth: int) -> bool:
    """Whether both libraries write it alike, if it is ASCII: of floats they write some in another way."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return bool(-_LARGEST <= value <= _LARGEST)
    if not depth or not (kind is dict or kind is list):
        return False
    for item in value.values() if kind is dict else value:  # noqa: SIM110  # a generator costs more than what it asks
        if not _is_plain(item, depth - 1):
            return False
    return True


def _as_dict(value: object) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"expected JSON, got {type(value).__name__}")


_dump = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, default=_as_dict).encode
_encode = msgspec.json.Encoder(order="sorted").encode
_LARGEST = 2**63 - 1
_DEPTH = 8  # levels that are looked at; honest arguments have fewer
