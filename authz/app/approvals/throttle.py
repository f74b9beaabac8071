"""Failed log-ins -> whether another may be tried, for each address and for all together, in bounded memory.

A browser that has logged in before is counted by itself and not by its address, so that who shares an address with
approvers, or a proxy, cannot keep them out (OWASP, "Slow Down Online Guessing Attacks with Device Cookies").

The counters are those of rate limits, in a store of their own. Tokens cannot be guessed anyway (256 bits); what is
bounded is what trying costs.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from authz.address import neighbourhood
from authz.model import Charge, Limit
from authz.state.memory import MemoryStore
from authz.state.store import Attempt, Owed

# Failures. Ten tries in five minutes is what OWASP's cheat sheets and fail2ban's defaults come down to; the bound for
# all is far above what people mistype, so that nobody keeps everybody out with a few addresses.
PER_ADDRESS = Limit("log-ins", ("approvals", "log-ins"), 10, 300.0, "")
IN_ALL = Limit("log-ins-in-all", ("approvals", "log-ins", "all"), 600, 300.0, "")


class Throttle:
    """Counts failures; an address is that of the connection, "" for a unix socket. `browser` as of `Door.browser`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = MemoryStore(clock=clock)

    async def wait(self, address: str, browser: str = "") -> float:
        """Seconds until another try from `address` is looked at; 0: now."""
        found = await self._store.discharge(Attempt((_owed(address, browser),), peek=True))
        return 0.0 if found.paid else max(found.retry_after, 1.0)

    async def failed(self, address: str, browser: str = "") -> None:
        """Count a failure."""
        await self._store.discharge(Attempt((_owed(address, browser),)))


def _owed(address: str, browser: str) -> Owed:
    if browser:
        return Owed((Charge(PER_ADDRESS, (("browser", browser),)),))
    who = neighbourhood(address) or "local"
    return Owed((Charge(PER_ADDRESS, (("address", who),)), Charge(IN_ALL, ())))
