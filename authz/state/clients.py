"""Which clients said at `initialize` that they can send their user to a URL; what later calls do not repeat.

Until 2025-11-25 a client declares its capabilities once, before its session has an id, so all that is known of a later
call is who asks, of which server, and with which program. Bounded; knows no clock.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, TypeAlias

# Server, caller and User-Agent.
Client: TypeAlias = tuple[str, str, str]

DAY: Final = 24 * 3600.0  # seconds that a declaration counts
MOST: Final = 10_000  # clients: about 4 MB; whoever is forgotten is answered in text, which every client understands


class Openers:
    """Remembers declarations. Where two programs look alike and one of them cannot open URLs, neither is asked to."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        # When each client last declared it, and when one that looks the same did not; the oldest first.
        self._said: OrderedDict[Client, tuple[float, float]] = OrderedDict()

    def note(self, client: Client, opens: bool, now: float) -> None:
        """`client` has sent an `initialize` at `now` seconds."""
        yes, no = self._said.pop(client, (-DAY, -DAY))
        self._said[client] = (now, no) if opens else (yes, now)
        if len(self._said) > self._most:
            self._said.popitem(last=False)

    def opens(self, client: Client, now: float) -> bool:
        """Whether all that is known of `client` says that it can open URLs."""
        yes, no = self._said.get(client, (-DAY, -DAY))
        return now - yes < DAY <= now - no
