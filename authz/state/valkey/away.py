"""What filing a request has charged in other slots than its own: by slot, as one text that is kept with the request."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Set

_HEAD = struct.Struct("<4sI")


def pack(tag: bytes, charged: bytes) -> bytes:
    """What was `charged` in the slot of `tag`; texts are joined."""
    return _HEAD.pack(tag, len(charged)) + charged


def by_slot(texts: Iterable[bytes]) -> dict[bytes, bytes]:
    """What all of `texts` say was charged, by the tag of the slot."""
    slots: dict[bytes, bytes] = {}
    for text in texts:
        for tag, charged in _unpack(text):
            slots[tag] = slots.get(tag, b"") + charged
    return slots


def without(text: bytes, tags: Set[bytes]) -> bytes:
    """`text` but for what was charged in the slots of `tags`."""
    return b"".join(pack(tag, charged) for tag, charged in _unpack(text) if tag not in tags)


def _unpack(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at < len(text):
        tag, length = _HEAD.unpack_from(text, at)
        at += _HEAD.size
        yield tag, text[at : at + length]
        at += length
