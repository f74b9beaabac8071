"""An attempt whose counters are in several slots of a cluster -> a discharge, one script call for each slot.

The others are charged first and the slot of who asks last, with the claim of the grant. When a later one refuses or
does not answer, what was charged is given back by its time; never is more admitted than a limit lets through.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from authz.errors import StoreError
from authz.model import Discharge
from authz.state.store import Attempt
from authz.state.valkey import scripts
from authz.state.valkey.bill import (
    ANY,
    CLAIM,
    FILE,
    PEEK,
    REFERENCES,
    Approved,
    Line,
    State,
    approve_call,
    conclude,
    discharge_call,
    quotas,
    read_approved,
    read_discharged,
    refusals,
    repeat_key,
)
from authz.state.valkey.requests import INDEX_KEYS, EncodedRequest
from authz.state.valkey.server import Server

_AWAY = struct.Struct("<4sI")
_NOTHING: State = (float("inf"), 0.0, -1.0)


@dataclass(slots=True)
class _Bill:
    """What an attempt owes by slot, and what has been charged so far. `home` is charged last."""

    home: bytes
    slots: dict[bytes, list[int]] = field(default_factory=dict)
    states: dict[int, State] = field(default_factory=dict)
    charged: dict[bytes, bytes] = field(default_factory=dict)


class Spread:
    """`now` gives the time to pass to scripts, -1 for each server's own; `window` is how long a repeat is known."""

    def __init__(self, server: Server, now: Callable[[], float], window: float) -> None:
        self._server = server
        self._now = now
        self._window = window

    async def discharge(self, attempt: Attempt, lines: Sequence[Line]) -> Discharge:
        """An attempt without requests."""
        bill = _divide(lines, lines[0].encoded.tag)
        paid = True
        try:
            for tag in (*(tag for tag in bill.slots if tag != bill.home), bill.home):
                paid = await self._charge(attempt, bill, lines, tag, peek=attempt.peek or not paid) and paid
        except BaseException:
            await self._give_back(attempt, bill, lines, tell=False)
            raise
        if not paid:
            await self._give_back(attempt, bill, lines)
        charges = [line.charge for line in lines]
        states = [bill.states[at] for at in range(len(lines))]
        exhausted, retry_after = refusals(charges, states)
        parts = len(attempt.parts)
        return Discharge(paid, tuple(exhausted.values()), retry_after, quotas(charges, states), (None,) * parts)

    async def approve(
        self, attempt: Attempt, lines: Sequence[Line], requests: Sequence[EncodedRequest | None]
    ) -> Discharge:
        """An attempt with requests. First it is looked at how they stand, then what that comes to is done.

        Where they stand otherwise by then, because another call or a person was faster, nothing is done and that is
        the answer.
        """
        bill = _divide(lines, next(request.tag for request in requests if request is not None))
        seen = await self._home(attempt, bill, lines, requests, PEEK)
        filing = _filing(seen, requests) if seen.outcome == FILE else set()
        owing = [at for at, line in enumerate(lines) if seen.outcome == CLAIM or line.part in filing]
        given_back = _by_slot(seen, requests) if seen.outcome == CLAIM else {}
        fits = await self._look(attempt, bill, lines, set(owing), given_back, repeats=seen.outcome == CLAIM)
        refused = _refused(seen)
        if attempt.peek or refused or not fits or seen.outcome not in (CLAIM, FILE):
            return self._concluded(replace(seen, paid=seen.paid and fits), bill, lines)
        if seen.outcome == FILE:
            return await self._file(attempt, bill, lines, requests, seen, filing)
        return await self._claim(attempt, bill, lines, requests, given_back)

    # ------------------------------------------------------------------------------------------------ both kinds

    async def _file(
        self,
        attempt: Attempt,
        bill: _Bill,
        lines: Sequence[Line],
        requests: Sequence[EncodedRequest | None],
        seen: Approved,
        filing: set[int],
    ) -> Discharge:
        """Charge what the parts in `filing` owe and file their requests."""
        filed = [(one, attempt.parts[part].request) for part in sorted(filing) if (one := requests[part]) is not None]
        words: list[bytes] = [b"keep"]
        for one, request in filed:
            if request is not None:
                words += (one.id, one.where, repr(request.timeout).encode(), b"1" if request.anonymous else b"0")
        blocked = float(await self._server.run(scripts.INDEX, INDEX_KEYS, [self._time(), *words]))
        if blocked >= 0.0:
            return self._concluded(replace(seen, blocked=blocked), bill, lines)
        away = [b""] * len(requests)
        fits = True
        try:
            for tag, places in bill.slots.items():
                own = [at for at in places if lines[at].part in filing]
                if tag == bill.home or not own:
                    continue
                flags = REFERENCES if fits else PEEK
                states, references, paid = await self._run(flags, b"", lines, own, b"")
                bill.states |= states
                fits = fits and paid
                if fits:
                    bill.charged[tag] = b"".join(references)
                    for at, text in zip(own, references, strict=True):
                        if text:
                            away[lines[at].part] += _AWAY.pack(tag, len(text)) + text
            done = await self._home(attempt, bill, lines, requests, 0 if fits else PEEK, FILE, away)
        except BaseException:
            await self._give_back(attempt, bill, lines, tell=False)
            raise
        if not any(standing is not None and standing.filed for standing in done.standings):
            await self._give_back(attempt, bill, lines, tell=False)
            with contextlib.suppress(StoreError):  # it lists what is not there until its time is over
                dropped = [b"drop", *(one.id for one, _ in filed)]
                await self._server.run(scripts.INDEX, INDEX_KEYS, [self._time(), *dropped])
        return self._concluded(done, bill, lines)

    async def _claim(
        self,
        attempt: Attempt,
        bill: _Bill,
        lines: Sequence[Line],
        requests: Sequence[EncodedRequest | None],
        given_back: Mapping[bytes, bytes],
    ) -> Discharge:
        """Charge everything and claim a use of each grant."""
        fits = True
        try:
            for tag in bill.slots:
                if tag != bill.home:
                    back = given_back.get(tag, b"") if fits else b""
                    peek = not fits
                    fits = await self._charge(attempt, bill, lines, tag, peek=peek, given_back=back) and fits
            for tag in given_back.keys() - bill.slots.keys():
                keys = [_anchor(tag)]
                await self._server.run(scripts.UNDO, keys, [self._time(), given_back[tag], b"0"])
            done = await self._home(attempt, bill, lines, requests, 0 if fits else PEEK, CLAIM)
        except BaseException:
            await self._give_back(attempt, bill, lines, tell=False)
            await self._forget_away(requests, given_back)
            raise
        if not (fits and done.paid):
            await self._give_back(attempt, bill, lines)
            await self._forget_away(requests, given_back)
            return self._concluded(replace(done, paid=False), bill, lines)
        ids = {standing.id.encode() for standing in done.standings if standing is not None}
        with contextlib.suppress(StoreError):  # the call is paid; the index only counts changes
            words = [b"claim", b"%d" % len(ids), *sorted(ids)] if ids else [b"change"]
            await self._server.run(scripts.INDEX, INDEX_KEYS, [self._time(), *words])
        return self._concluded(done, bill, lines)

    async def _look(
        self,
        attempt: Attempt,
        bill: _Bill,
        lines: Sequence[Line],
        owing: set[int],
        given_back: Mapping[bytes, bytes],
        *,
        repeats: bool,
    ) -> bool:
        """Whether `owing` fits in the slots that are not home; how all limits there stand."""
        fits = True
        for tag, places in bill.slots.items():
            if tag == bill.home:
                continue
            repeat = self._repeat(attempt, lines, tag) if repeats else b""
            own = [at for at in places if at in owing]
            others = [at for at in places if at not in owing]
            if own:
                states, _, paid = await self._run(PEEK, repeat, lines, own, given_back.get(tag, b""))
                bill.states |= states
                fits = fits and paid
            if others:
                states, _, _ = await self._run(PEEK, b"", lines, others, b"")
                bill.states |= {at: _quiet(state) for at, state in states.items()}
        return fits

    async def _home(
        self,
        attempt: Attempt,
        bill: _Bill,
        lines: Sequence[Line],
        requests: Sequence[EncodedRequest | None],
        flags: int,
        wanted: bytes = ANY,
        away: Sequence[bytes] = (),
    ) -> Approved:
        """What approve.lua says in the slot of who asks."""
        own = bill.slots.get(bill.home, [])
        asks = next(part.request for part in attempt.parts if part.request is not None)
        anonymous = lines[0].charge.anonymous if lines else asks.anonymous
        repeat = repeat_key(attempt, bill.home, anonymous) if attempt.repeat_key else b""
        mine = [lines[at] for at in own]
        keys, args = approve_call(self._now(), flags, self._window, repeat, mine, requests, wanted, away)
        approved = read_approved(await self._server.run(scripts.APPROVE, keys, args), len(own))
        bill.states |= dict(zip(own, approved.states, strict=True))
        return approved

    async def _charge(
        self,
        attempt: Attempt,
        bill: _Bill,
        lines: Sequence[Line],
        tag: bytes,
        *,
        peek: bool,
        given_back: bytes = b"",
    ) -> bool:
        """Charge what is owed in one slot; whether it fits."""
        places = bill.slots[tag]
        flags = PEEK if peek else REFERENCES
        states, references, paid = await self._run(flags, self._repeat(attempt, lines, tag), lines, places, given_back)
        bill.states |= states
        if paid and not peek:
            bill.charged[tag] = b"".join(references)
        return paid

    async def _run(
        self, flags: int, repeat: bytes, lines: Sequence[Line], places: Sequence[int], given_back: bytes
    ) -> tuple[dict[int, State], Sequence[bytes], bool]:
        encoded = [lines[at].encoded for at in places]
        keys, args = discharge_call(self._now(), flags, self._window, repeat, encoded, given_back)
        reply = await self._server.run(scripts.DISCHARGE, keys, args)
        head, references = (reply[0], reply[1:]) if flags & REFERENCES else (reply, ())
        paid, states = read_discharged(head, len(places))
        return dict(zip(places, states, strict=True)), references, paid

    async def _give_back(self, attempt: Attempt, bill: _Bill, lines: Sequence[Line], *, tell: bool = True) -> None:
        """What was charged by mistake; where the slot does not answer it stays until its window is over."""
        for tag, references in bill.charged.items():
            repeat = self._repeat(attempt, lines, tag)
            if references:
                with contextlib.suppress(StoreError):
                    args = [self._time(), references, b"1" if repeat else b"0"]
                    await self._server.run(scripts.UNDO, [repeat or _anchor(tag)], args)
            if tell and tag != bill.home:
                states, _, _ = await self._run(PEEK, repeat, lines, bill.slots[tag], b"")
                bill.states |= {at: _quiet(state) for at, state in states.items()}
        bill.charged.clear()

    async def _forget_away(self, requests: Iterable[EncodedRequest | None], given_back: Mapping[bytes, bytes]) -> None:
        """What filing has charged in other slots is given back already, and must not be a second time."""
        if not given_back:
            return
        for request in requests:
            if request is not None:
                with contextlib.suppress(StoreError):  # at worst one charge of this caller's is given back in its place
                    await self._server.run(scripts.AWAY, [request.keys[0]], [])

    def _repeat(self, attempt: Attempt, lines: Sequence[Line], tag: bytes) -> bytes:
        return repeat_key(attempt, tag, lines[0].charge.anonymous) if attempt.repeat_key else b""

    def _concluded(self, approved: Approved, bill: _Bill, lines: Sequence[Line]) -> Discharge:
        states = [bill.states.get(at, _NOTHING) for at in range(len(lines))]
        return conclude(replace(approved, states=states), [line.charge for line in lines])

    def _time(self) -> bytes:
        return repr(self._now()).encode()


def _divide(lines: Sequence[Line], home: bytes) -> _Bill:
    bill = _Bill(home)
    for at, line in enumerate(lines):
        bill.slots.setdefault(line.encoded.tag, []).append(at)
    return bill


def _filing(seen: Approved, requests: Sequence[EncodedRequest | None]) -> set[int]:
    """The parts that file a request: of each digest the first."""
    first: dict[bytes, int] = {}
    for part, (standing, request) in enumerate(zip(seen.standings, requests, strict=True)):
        if standing is not None and request is not None and not standing.id:
            first.setdefault(request.keys[0], part)
    return set(first.values())


def _refused(seen: Approved) -> bool:
    return seen.blocked >= 0.0 or any(wait >= 0.0 for state in (*seen.states, *seen.filings) for wait in state[2::3])


def _by_slot(seen: Approved, requests: Sequence[EncodedRequest | None]) -> dict[bytes, bytes]:
    """What filing charged in other slots, by slot; once for each digest."""
    texts = {one.keys[0]: away for one, away in zip(requests, seen.away, strict=True) if one is not None and away}
    slots: dict[bytes, bytes] = {}
    for text in texts.values():
        at = 0
        while at < len(text):
            tag, length = _AWAY.unpack_from(text, at)
            at += _AWAY.size
            slots[tag] = slots.get(tag, b"") + text[at : at + length]
            at += length
    return slots


def _anchor(tag: bytes) -> bytes:
    """A key that is only in the slot, for a script that names its own."""
    return b"authz1{%b}x" % tag


def _quiet(state: State) -> State:
    """The same without a refusal: what is told is only how much is left."""
    return tuple(-1.0 if at % 3 == 2 else value for at, value in enumerate(state))
