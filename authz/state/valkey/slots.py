"""An attempt whose counters are in several slots of a cluster: one script call for each slot, the home slot's last.

When a later slot refuses or does not answer, what was charged is given back by its time; never is more admitted than a
limit lets through. Who is cancelled gives nothing back: its deadline is over.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from authz.errors import StoreError
from authz.model import Discharge
from authz.state.store import Attempt
from authz.state.valkey import scripts
from authz.state.valkey.bill import (
    PEEK,
    REFERENCES,
    Line,
    State,
    discharge_call,
    read_discharged,
    repeat_key,
    settle,
)
from authz.state.valkey.keys import PREFIX
from authz.state.valkey.server import Server


@dataclass(frozen=True, slots=True)
class Cluster:
    """What bears on every call. `now` gives the time to pass to scripts, -1 for each server's own.

    `window` is how many seconds a repeat is known.
    """

    server: Server
    now: Callable[[], float]
    window: float

    @property
    def time(self) -> bytes:
        """`now` as the short scripts take it."""
        return repr(self.now()).encode()


class Slots:
    """One attempt. `slots` are the places of its lines by tag, `states` how the counters of each were last seen."""

    def __init__(self, cluster: Cluster, attempt: Attempt, lines: Sequence[Line], home: bytes) -> None:
        self.cluster = cluster
        self.attempt = attempt
        self.lines = lines
        self.home = home
        self.slots: dict[bytes, list[int]] = {}
        self.states: dict[int, State] = {}
        self._charged: dict[bytes, bytes] = {}
        for at, line in enumerate(lines):
            self.slots.setdefault(line.encoded.tag, []).append(at)

    @property
    def others(self) -> list[bytes]:
        """The slots that are not home."""
        return [tag for tag in self.slots if tag != self.home]

    async def discharge(self) -> Discharge:
        """An attempt without requests."""
        paid = True
        try:
            for tag in (*self.others, self.home):
                paid = await self.charge(tag, peek=self.attempt.peek or not paid) and paid
        except StoreError:
            await self.give_back()
            raise
        if not paid:
            await self.tell_afresh(await self.give_back())
        states = [self.states[at] for at in range(len(self.lines))]
        return settle(paid, [line.charge for line in self.lines], states, len(self.attempt.parts))

    async def charge(self, tag: bytes, *, peek: bool, given_back: bytes = b"") -> bool:
        """Charge all that is owed in one slot, where `given_back` goes first; whether it fits."""
        flags = PEEK if peek else REFERENCES
        paid, references = await self.run(flags, self.slots[tag], self.repeat(tag), given_back)
        if paid and not peek:
            self.charged(tag, references)
        return paid

    def charged(self, tag: bytes, references: Sequence[bytes]) -> None:
        """These were charged and are to be given back, should anything go wrong."""
        self._charged[tag] = b"".join(references)

    async def run(
        self, flags: int, places: Sequence[int], repeat: bytes = b"", given_back: bytes = b"", *, told: bool = True
    ) -> tuple[bool, Sequence[bytes]]:
        """Whether the lines at `places`, of one slot, fit, and where each was charged; `states` are told if `told`.

        Where they are only looked at (not `told`), what refuses them is left out.
        """
        cluster = self.cluster
        encoded = [self.lines[at].encoded for at in places]
        keys, args = discharge_call(cluster.now(), flags, cluster.window, repeat, encoded, given_back)
        reply = await cluster.server.run(scripts.DISCHARGE, keys, args)
        head, references = (reply[0], reply[1:]) if flags & REFERENCES else (reply, ())
        paid, states = read_discharged(head, len(places))
        self.states |= dict(zip(places, states if told else map(_quiet, states), strict=True))
        return paid, references

    async def give_back(self) -> list[bytes]:
        """What was charged by mistake; the slots. Where one does not answer it stays until its window is over."""
        slots = list(self._charged)
        for tag, references in self._charged.items():
            repeat = self.repeat(tag)
            with contextlib.suppress(StoreError):
                args = [self.cluster.time, references, b"1" if repeat else b"0"]
                await self.cluster.server.run(scripts.UNDO, [repeat or anchor(tag)], args)
        self._charged.clear()
        return slots

    async def tell_afresh(self, slots: Sequence[bytes]) -> None:
        """How the limits stand in `slots` after the give-back."""
        for tag in slots:
            await self.run(PEEK, self.slots[tag], told=False)

    def repeat(self, tag: bytes) -> bytes:
        """The key of what this HTTP request has paid in a slot, b"" where it is not known."""
        if not self.attempt.repeat_key:
            return b""
        return repeat_key(self.attempt, tag, self.lines[0].charge.anonymous)


def anchor(tag: bytes) -> bytes:
    """A key that is only in the slot of `tag`, for a script that names its own."""
    return b"%b%b}x" % (PREFIX, tag)


def _quiet(state: State) -> State:
    """The same without a refusal."""
    return tuple(-1.0 if at % 3 == 2 else value for at, value in enumerate(state))
