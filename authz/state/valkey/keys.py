"""What is counted or asked for -> the keys it is kept under: versioned, bounded, made of digests only.

`authz1{TAG}KIND…`: TAG decides the slot in a cluster and is a digest of who asks, so that what one caller owes is
mostly in one slot; the digest behind KIND is of everything that makes the thing what it is.
"""

from __future__ import annotations

import binascii
from hashlib import blake2b

from authz.model import Charge, Limit

PREFIX = b"authz1{"
# Parts of a descriptor that say who asks.
_CALLER = frozenset(("principal", "client", "address"))


def digest(text: bytes, size: int = 16) -> bytes:
    """A digest of `size` bytes."""
    return blake2b(text, digest_size=size).digest()


def readable(raw: bytes) -> bytes:
    """Bytes as text that may stand in a key and in a pattern: base64 has none of `{}*?[]\\`."""
    return binascii.b2a_base64(raw, newline=False).rstrip(b"=")


def tag(text: str) -> bytes:
    """Four characters, about 16 million of them: enough to spread over 16384 slots. Equal ones only share a slot."""
    return readable(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=3).digest())


def limit_mark(limit: Limit) -> bytes:
    """Eight characters that name a limit and window in the keys of its counters, by which they are found."""
    return readable(digest(ascii((limit.key, limit.window)).encode(), 6))


def caller_of(charge: Charge) -> str:
    """Whom a charge's slot goes by: who asks, as `ApprovalRequest.owner` has it, else the limit and its owner."""
    for name, value in charge.descriptor:
        if name in _CALLER:
            return f"{name}\n{value}"
    return ascii((charge.limit.key, owner_of(charge)))


def owner_of(charge: Charge) -> tuple[tuple[str, str], ...]:
    """The descriptor without what the caller chooses (authz/state/table.py)."""
    return tuple(part for part in charge.descriptor if part[0] != "tool" and not part[0].startswith("args."))


def key(tag: bytes, kind: bytes, raw: bytes) -> bytes:
    """The key of what `raw`, a digest, names."""
    return b"%b%b}%b%b" % (PREFIX, tag, kind, readable(raw))


def counter_key(tag: bytes, kind: bytes, mark: bytes, raw: bytes) -> bytes:
    """The key of a counter of the limit that `mark` names."""
    return b"%b%b}%b%b%b" % (PREFIX, tag, kind, mark, readable(raw))
