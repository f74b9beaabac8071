"""Who sends forged tokens -> whether there is time to verify another one of theirs.

To find out that a signature is wrong takes 0.1 to 2.5 ms of CPU (RS256, ES384): without a bound a few hundred forged
tokens a second stop everybody. So what is counted is the time that was lost with them.
"""

from __future__ import annotations

from typing import Final

from authz.errors import TokenBusy

_WINDOW: Final = 1.0  # seconds
# Seconds of CPU in a window. A sender may be a gateway with many callers behind it, so it is not cut off at once.
_ONE: Final = 0.02  # of one sender
_SOME: Final = 0.05  # of all: from here on only of those who have forged nothing lately
_ALL: Final = 0.1  # a tenth of a core
_MEMORY: Final = 60.0  # seconds that a sender is remembered, to twice that
_SENDERS: Final = 10_000  # that are remembered, to twice that


class Forgers:
    """Adds up the time that forged tokens cost, in windows of a second.

    Known tokens do not come here: they are never too many.
    """

    def __init__(self) -> None:
        self._until = 0.0
        self._total = 0.0
        self._by_sender: dict[str, float] = {}
        self._turn = 0.0
        self._lately: set[str] = set()
        self._before: set[str] = set()

    def admit(self, sender: str, now: float) -> None:
        """Raises TokenBusy where `sender`, or all together, have taken too much time in this second."""
        if not self._until - _WINDOW <= now < self._until:  # also where the clock was set back
            self._until = now + _WINDOW
            self._total = 0.0
            self._by_sender.clear()
            if not self._turn - _MEMORY <= now < self._turn or len(self._lately) >= _SENDERS:
                self._before = self._lately if now < self._turn + _MEMORY else set()
                self._lately = set()
                self._turn = now + _MEMORY
        most = _SOME if sender in self._lately or sender in self._before else _ALL
        if self._total >= most or self._by_sender.get(sender, 0.0) >= _ONE:
            raise TokenBusy("too many forged tokens came in this second")

    def note(self, sender: str, seconds: float) -> None:
        """A token of `sender` was forged; to find that out took `seconds`."""
        self._total += seconds
        self._by_sender[sender] = self._by_sender.get(sender, 0.0) + seconds
        if len(self._lately) < _SENDERS:
            self._lately.add(sender)
