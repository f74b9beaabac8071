"""A charge -> the keys of its counters and its part of the script's arguments; the words that the scripts share.

The caller's text is in no key. It is kept as a Python literal with the counter, for people (overview.py).
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from authz.errors import StoreError
from authz.model import Algorithm, Charge
from authz.state.valkey.keys import caller_of, counter_key, digest, limit_mark, owner_of, tag

ALGORITHMS = {Algorithm.SLIDING_WINDOW: 1, Algorithm.FIXED_WINDOW: 2, Algorithm.TOKEN_BUCKET: 3}
_CHARGE = struct.Struct("<BBddddHI12sB")
_LONGEST_SESSION = 64  # bytes; beyond that its digest stands for it, as in descriptors
_IDENT = 12  # bytes of the digest by which a charge is known within one request and one caller's values

OWN, FAMILY, SHARED, OVERFLOW = b"c", b"f", b"s", b"o"
VALUES = b"v"


@dataclass(frozen=True, slots=True)
class EncodedCharge:
    """`keys` are one, or three where the caller chooses among counters; all of them are in the slot of `tag`."""

    tag: bytes
    keys: tuple[bytes, ...]
    args: bytes


def encode_charge(
    charge: Charge, sessions: int, values: int, *, overflow: bool = False, slot: bytes = b""
) -> EncodedCharge:
    """`charge` for the script; raises StoreError for a cost that no counter can count.

    `overflow`: its caller has no counter of its own, so that it counts on the one that all such share. `slot` is the
    tag of the slot where it must be, where the descriptor does not tell.
    """
    limit = charge.limit
    if not 0.0 < charge.cost < math.inf:
        raise StoreError(f"{limit.name}: expected a finite cost above 0, got {charge.cost!r}")
    mark = limit_mark(limit)
    session = b""
    shape = 0
    if overflow:
        who = ascii((charge.anonymous, ()))
        slot = tag(ascii(limit.key))
        raw = digest(ascii((limit.key, limit.window, charge.anonymous, "overflow")).encode())
        keys: tuple[bytes, ...] = (counter_key(slot, OVERFLOW, mark, raw),)
        values = 0
    else:
        who = ascii((charge.anonymous, charge.descriptor))
        named = ascii((limit.key, limit.window))
        slot = slot or tag(caller_of(charge))
        if charge.session:
            shape = 1
            session = b"+" + _session(charge.session)
        raw = digest(f"{named}{who}{shape}".encode())
        own = counter_key(slot, FAMILY if shape else OWN, mark, raw)
        owner = owner_of(charge)
        if len(owner) == len(charge.descriptor):
            keys = (own,)
            values = 0
        else:
            chosen = digest(f"{named}{(charge.anonymous, owner)!a}".encode())
            keys = (own, counter_key(slot, VALUES, mark, chosen), counter_key(slot, SHARED, mark, chosen))
    ident = digest(raw + session, _IDENT) if session else raw[:_IDENT]
    args = _CHARGE.pack(
        ALGORITHMS[limit.algorithm],
        shape,
        charge.cost,
        limit.burst if limit.algorithm is Algorithm.TOKEN_BUCKET else limit.max,
        limit.max,
        limit.window,
        sessions,
        values,
        ident,
        len(session),
    )
    return EncodedCharge(slot, keys, args + session + who.encode())


def _session(session: str) -> bytes:
    raw = session.encode("utf-8", "surrogatepass")
    return raw if len(raw) <= _LONGEST_SESSION else b"sha256:" + digest(raw).hex().encode()
