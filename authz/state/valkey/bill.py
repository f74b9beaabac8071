"""An attempt -> what each script call of it takes, by slot; and the replies of the scripts, charge by charge."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from authz.errors import StoreError
from authz.model import Charge, Discharge, Limit, Quota, Standing
from authz.state.approvals import FILING_LIMIT, PENDING_LIMIT
from authz.state.store import Attempt
from authz.state.valkey.charges import EncodedCharge
from authz.state.valkey.keys import digest, key
from authz.state.valkey.requests import INDEX_KEYS, EncodedRequest, decode_standing

PEEK, REPEAT, REFERENCES, GIVE_BACK = 1, 2, 4, 8
INDEX = 8  # for approve.lua, which gives back by itself
ANY, CLAIM, FILE, NOTHING = b"-", b"C", b"F", b"N"

_HEAD = struct.Struct("<dBd")
_APPROVE = struct.Struct("<dBdHHc")
_PART = struct.Struct("<HB")
_PAID = struct.Struct("<dB")
_OUTCOME = struct.Struct("<dBcd")
_COUNTERS = (struct.Struct("<B"), struct.Struct("<Bddd"), struct.Struct("<Bdddddd"))
_COUNT = struct.Struct("<H")

# Of each counter of a charge: what is left, seconds until it is empty, seconds that it refuses (-1: it does not).
State: TypeAlias = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One charge of an attempt: which part owes it, and how the script is told."""

    part: int
    charge: Charge
    encoded: EncodedCharge


@dataclass(frozen=True, slots=True)
class Approved:
    """What approve.lua replied. `away` is by part what filing it charged in other slots."""

    paid: bool
    outcome: bytes
    blocked: float
    states: list[State]
    filings: list[State]
    standings: list[Standing | None]
    away: list[bytes]


def repeat_key(attempt: Attempt, tag: bytes, anonymous: bool) -> bytes:
    """Where it is kept what this HTTP request has paid in the slot of `tag`."""
    return key(tag, b"r", digest(attempt.repeat_key + (b"a" if anonymous else b"v")))


def discharge_call(
    now: float, flags: int, window: float, repeat: bytes, lines: Iterable[EncodedCharge], given_back: bytes = b""
) -> tuple[list[bytes], list[bytes]]:
    """Keys and arguments of discharge.lua; `repeat` is b"" where the request is not known."""
    keys = [repeat] if repeat else []
    if repeat:
        flags |= REPEAT
    if given_back:
        flags |= GIVE_BACK
    args = [_HEAD.pack(now, flags, window)]
    for line in lines:
        keys += line.keys
        args.append(line.args)
    if given_back:
        args.append(given_back)
    return keys, args


def approve_call(
    now: float,
    flags: int,
    window: float,
    repeat: bytes,
    lines: Sequence[Line],
    requests: Sequence[EncodedRequest | None],
    wanted: bytes = ANY,
    away: Sequence[bytes] = (),
) -> tuple[list[bytes], list[bytes]]:
    """Keys and arguments of approve.lua. `away` is by part what is charged in other slots when it is filed."""
    keys = [repeat] if repeat else []
    if repeat:
        flags |= REPEAT
    args = [_APPROVE.pack(now, flags, window, len(lines), len(requests), wanted)]
    own = [0] * len(requests)
    for line in lines:
        keys += line.encoded.keys
        args.append(line.encoded.args)
        own[line.part] += 1
    if flags & INDEX:
        keys += INDEX_KEYS
    for part, request in enumerate(requests):
        args.append(_PART.pack(own[part], request is not None))
        if request is not None:
            keys += request.keys
            args += (request.filing, request.short, request.text, away[part] if away else b"")
    return keys, args


def read_discharged(reply: Any, charges: int) -> tuple[bool, list[State]]:
    """Whether it was paid, and the states of the charges; raises StoreError."""
    try:
        _, paid = _PAID.unpack_from(reply)
        states, _ = _states(reply, _PAID.size, charges)
    except (struct.error, IndexError, TypeError) as error:
        raise StoreError(f"discharge.lua: expected the states of {charges} charges, got {error}") from error
    return bool(paid), states


def read_approved(reply: Any, charges: int) -> Approved:
    """The reply of approve.lua; raises StoreError."""
    try:
        head = reply[0]
        _, paid, outcome, blocked = _OUTCOME.unpack_from(head)
        states, at = _states(head, _OUTCOME.size, charges)
        (count,) = _COUNT.unpack_from(head, at)
        filings, _ = _states(head, at + _COUNT.size, count)
        parts = [decode_standing(text) for text in reply[2:]]
    except (struct.error, IndexError, TypeError, KeyError, ValueError) as error:
        raise StoreError(f"approve.lua: expected the states of {charges} charges, got {error!r}") from error
    standings = [standing for standing, _ in parts]
    return Approved(bool(paid), outcome, blocked, states, filings, standings, [away for _, away in parts])


def refusals(charges: Iterable[Charge], states: Iterable[State]) -> tuple[dict[tuple[str, ...], Limit], float]:
    """The limits that refuse, by key, and the seconds until all of them would not."""
    exhausted: dict[tuple[str, ...], Limit] = {}
    retry_after = 0.0
    for charge, state in zip(charges, states, strict=True):
        for wait in state[2::3]:
            if wait >= 0.0:
                exhausted[charge.limit.key] = charge.limit
                retry_after = max(retry_after, wait)
    return exhausted, retry_after


def quotas(charges: Iterable[Charge], states: Iterable[State]) -> tuple[Quota, ...]:
    """What is left of each limit by the tightest of its counters."""
    kept: dict[tuple[str, ...], Quota] = {}
    for charge, state in zip(charges, states, strict=True):
        limit = charge.limit
        for at in range(0, len(state), 3):
            left = int(state[at]) if state[at] > 0.0 else 0
            reset = state[at + 1]
            before = kept.get(limit.key)
            if before is None or (left, -reset) < (before.remaining, -before.reset):
                kept[limit.key] = Quota(limit, left, reset)
    return tuple(kept.values())


def _states(text: bytes, at: int, charges: int) -> tuple[list[State], int]:
    states: list[State] = []
    for _ in range(charges):
        form = _COUNTERS[text[at]]
        states.append(form.unpack_from(text, at)[1:])
        at += form.size
    return states, at


def settle(paid: bool, charges: Sequence[Charge], states: Sequence[State], parts: int) -> Discharge:
    """The discharge of an attempt of so many parts without requests."""
    exhausted, retry_after = ({}, 0.0) if paid else refusals(charges, states)
    return Discharge(paid, tuple(exhausted.values()), retry_after, quotas(charges, states), (None,) * parts)


def conclude(approved: Approved, charges: Sequence[Charge]) -> Discharge:
    """The discharge of an attempt with requests from what approve.lua replied of all its charges."""
    exhausted, retry_after = refusals(charges, approved.states)
    for state in approved.filings:
        for wait in state[2::3]:
            if wait >= 0.0:
                exhausted[FILING_LIMIT.key] = FILING_LIMIT
                retry_after = max(retry_after, wait)
    if approved.blocked >= 0.0:
        exhausted[PENDING_LIMIT.key] = PENDING_LIMIT
        retry_after = max(retry_after, approved.blocked)
    # A request that is not there and could not be filed stands nowhere.
    standings = tuple(
        None if exhausted and standing is not None and not standing.id else standing for standing in approved.standings
    )
    return Discharge(approved.paid, tuple(exhausted.values()), retry_after, quotas(charges, approved.states), standings)
