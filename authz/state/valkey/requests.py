"""Requests for approval -> their keys, the script's arguments and their text in the store, and back to records."""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from authz.errors import StoreError
from authz.model import ApprovalRecord, ApprovalRequest, ApprovalStatus, Charge, Ruling, Standing
from authz.state.approvals import FILING_LIMIT
from authz.state.valkey.charges import encode_charge
from authz.state.valkey.keys import PREFIX, digest, key, readable, tag

_SHORT = struct.Struct("<12sddIBBB")
_STATE = struct.Struct("<cdddddIIB")
_STANDING = struct.Struct("<cBdB")
_LENGTH = struct.Struct("<I")
_STATUSES = {
    b"P": ApprovalStatus.PENDING,
    b"G": ApprovalStatus.GRANTED,
    b"D": ApprovalStatus.DENIED,
    b"U": ApprovalStatus.USED,
    b"E": ApprovalStatus.EXPIRED,
}
_IDENT = 12
_DIGEST = 32  # bytes: whoever looks for two calls with one digest may try long, and a yes for one would serve both
_MOST_ENTRIES = 255

_INDEX_TAG = tag("index")
# Those that wait, those of anonymous callers among them, live grants, what has ended, where each is kept, changes, and
# when each was filed.
INDEX_KEYS = tuple(PREFIX + _INDEX_TAG + b"}i" + name for name in (b"p", b"a", b"g", b"e", b"w", b"c", b"f"))


@dataclass(frozen=True, slots=True)
class EncodedRequest:
    """A request for the script. `where` finds it again: tag and digest; `id` is what it is called if it is filed."""

    tag: bytes
    keys: tuple[bytes, bytes, bytes, bytes]
    filing: bytes
    short: bytes
    text: bytes
    where: bytes
    id: bytes


def encode_request(request: ApprovalRequest, id_: str) -> EncodedRequest:
    """`request`, called `id_` (ASCII) if it is filed; raises StoreError where it does not fit."""
    if len(request.by) > _MOST_ENTRIES:
        raise StoreError(f"{request.rule}: expected at most {_MOST_ENTRIES} entries in by, got {len(request.by)}")
    slot = tag(request.owner)
    raw = digest(request.digest, _DIGEST)
    where = slot + readable(raw)
    filing = encode_charge(
        Charge(FILING_LIMIT, (("owner", request.owner),), anonymous=request.anonymous), 1, 0, slot=slot
    )
    short = _SHORT.pack(
        raw[:_IDENT],
        request.timeout,
        request.remember,
        request.uses,
        len(request.by),
        request.anonymous,
        len(id_),
    )
    keys = (key(slot, b"g", raw), record_key(where, id_), owner_key(request), filing.keys[0])
    return EncodedRequest(slot, keys, filing.args, short + id_.encode() + where, _text(request), where, id_.encode())


def grant_key(where: bytes) -> bytes:
    """The hash of the digest of a request that is kept at `where`."""
    return b"%b%b}g%b" % (PREFIX, where[:4], where[4:])


def record_key(where: bytes, id_: str) -> bytes:
    """The text of the request `id_` that is kept at `where`."""
    return b"%b%b}d%b" % (PREFIX, where[:4], id_.encode())


def owner_key(request: ApprovalRequest) -> bytes:
    """The pending requests of whoever made `request`."""
    return key(tag(request.owner), b"p", digest(ascii((request.anonymous, request.owner)).encode()))


def decode_standing(text: bytes) -> tuple[Standing | None, bytes]:
    """How one part stands, as approve.lua tells it, and what filing it charged in other slots."""
    status, filed, expires, length = _STANDING.unpack_from(text)
    if status == b"-":
        return None, b""
    at = _STANDING.size
    id_ = text[at : at + length].decode()
    (away,) = _LENGTH.unpack_from(text, at + length)
    at += length + _LENGTH.size
    said = text[at + away :]
    last = decode_ruling(said) if said else None
    by, comment = (last.approver, last.comment) if last else ("", "")
    return Standing(id_, _STATUSES[status], expires, bool(filed), by, comment), text[at : at + away]


def encode_ruling(ruling: Ruling) -> bytes:
    """One line of JSON."""
    return json.dumps(dataclasses.asdict(ruling)).encode()


def decode_ruling(line: bytes) -> Ruling:
    """What `encode_ruling` wrote."""
    value = json.loads(line)
    return Ruling(**(value | {"satisfies": tuple(value["satisfies"])}))


def decode_record(id_: str, reply: Sequence[bytes]) -> ApprovalRecord | None:
    """The record `id_` from what read.lua replies, None if it is not there any more; raises StoreError.

    In a list, where the reply has no parameters, they are "".
    """
    if not reply:
        return None
    shown, state, said, head, params = reply
    try:
        _, filed, due, ended, _, _, _, used, _ = _STATE.unpack(state)
        status = _STATUSES[shown]
        rulings = tuple(decode_ruling(line) for line in said.split(b"\n") if line)
        request = _request(json.loads(head), params)
    except (struct.error, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"request {id_}: expected a record, got {error!r}") from error
    if status is ApprovalStatus.EXPIRED and not ended:
        ended = due
    return ApprovalRecord(id_, request, status, filed, due, rulings, used, ended)


def _text(request: ApprovalRequest) -> bytes:
    """All of a request: the length of what a list shows, that as JSON, and the parameters as they are.

    The parameters may be long, and JSON would make a character of four bytes twelve.
    """
    values = {field.name: getattr(request, field.name) for field in dataclasses.fields(request)}
    values["digest"] = request.digest.hex()
    del values["params"]
    head, params = json.dumps(values).encode(), request.params.encode("utf-8", "surrogatepass")
    return _LENGTH.pack(len(head)) + head + params


def _request(values: dict[str, Any], params: bytes) -> ApprovalRequest:
    values["params"] = params.decode("utf-8", "surrogatepass")
    values["digest"] = bytes.fromhex(values["digest"])
    values["by"] = tuple(tuple(entry) for entry in values["by"])
    values["categories"] = tuple(values["categories"])
    return ApprovalRequest(**values)
