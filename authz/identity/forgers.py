"""Who sends tokens that are refused -> whether there is time to verify another one of theirs.

A signature takes 100 to 250 us of CPU, a forged one as well: without a bound a few thousand a second stop everybody.
"""

from __future__ import annotations

from typing import Final

from authz.errors import TokenBusy

_WINDOW: Final = 1.0  # seconds
_ONE: Final = 20  # refused tokens of one sender in a window
_SOME: Final = 500  # of all: from here on only of those who have sent none yet
_ALL: Final = 1_000  # at most a quarter of a core


class Forgers:
    """Counts refused tokens in windows of a second. Known tokens do not come here, so they are verified at any time."""

    def __init__(self) -> None:
        self._until = 0.0
        self._total = 0
        self._by_sender: dict[str, int] = {}

    def admit(self, sender: str, now: float) -> None:
        """Raises TokenBusy where `sender`, or all together, have taken too much time in this second."""
        if not self._until - _WINDOW <= now < self._until:  # also where the clock was set back
            self._until = now + _WINDOW
            self._total = 0
            self._by_sender.clear()
        own = self._by_sender.get(sender, 0)
        if own >= _ONE or self._total >= _ALL or (self._total >= _SOME and own):
            raise TokenBusy("too many tokens were refused in this second")

    def note(self, sender: str) -> None:
        """A token of `sender` was refused."""
        self._total += 1
        self._by_sender[sender] = self._by_sender.get(sender, 0) + 1
