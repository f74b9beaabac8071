"""The certificates of the TLS listener, kept up to date with their files. What does not fit never replaces what did.

Changes are found by reading: the files are small, and a mount that swaps a link cannot be missed (`policies.reload`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from authz.app.background import running
from authz.app.policies.beside import beside
from authz.envoy.certificates import load
from authz.envoy.material import Files, Material
from authz.envoy.transport import Secured
from authz.errors import SettingsError
from authz.identity.callers import Callers

_log = logging.getLogger("mcp_authz.tls")

INTERVAL = 5.0  # seconds between looks; a connection lasts far longer
SETTLE = 1.0  # who replaces several files one after the other has done so by then
_STRANGERS = 100  # names that are remembered, so that each is logged once

Renew = Callable[[Material], Awaitable[None]]


class Certificates:
    """What is in force, from the first load on, which raises SettingsError.

    `problem` says why what the files hold now is not in force, "" where it is. `refused` counts the checks of callers
    that are not listed; `secured` is what the listener begins with.
    """

    def __init__(
        self,
        files: Files,
        callers: Callers,
        *,
        tls_1_2: bool = False,
        interval: float = INTERVAL,
        settle: float = SETTLE,
    ) -> None:
        self.material = load(files)
        self.secured = Secured(self.material, callers.knows, self._refuse, tls_1_2)
        self.problem = ""
        self.refused = 0
        self._files = files
        self._interval = interval
        self._settle = settle
        self._strangers: OrderedDict[str, None] = OrderedDict()

    @property
    def expiries(self) -> Mapping[str, float]:
        """By setting, when what is in force expires, in epoch seconds."""
        return self.material.expiries

    def _refuse(self, caller: str) -> None:
        """Take note that `caller` ("" without a name) asked and is not listed."""
        self.refused += 1
        if caller not in self._strangers:
            self._strangers[caller] = None
            if len(self._strangers) > _STRANGERS:
                self._strangers.popitem(last=False)
            _log.warning("callers: refused %s, which is not listed", repr(caller) if caller else "one without a name")

    @contextlib.asynccontextmanager
    async def kept_up_to_date(self, renew: Renew) -> AsyncIterator[None]:
        """Within, `renew` is told of each change; while it raises OSError it is told again."""
        async with running(self._watch(renew)):
            yield

    async def _watch(self, renew: Renew) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self._look(renew)
            except Exception as error:
                _log.exception("tls: looking for new certificates failed, those in force stay")
                self.problem = f"looking failed: {type(error).__name__}"

    async def _look(self, renew: Renew) -> None:
        try:
            found = await self._found()
        except SettingsError as error:
            self._tell(str(error))
            return
        if found != self.material:
            try:
                await renew(found)
            except OSError as error:
                self._tell(f"tls: the listener did not take new certificates: {error}")
                return
            self.material = found
            _log.info("tls: new certificates are in force")
        self.problem = ""

    async def _found(self) -> Material:
        try:
            return await beside(lambda: load(self._files))
        except SettingsError:  # perhaps the certificate is new and its key not yet
            await asyncio.sleep(self._settle)
        return await beside(lambda: load(self._files))

    def _tell(self, problem: str) -> None:
        if problem != self.problem:
            _log.error("%s; the certificates in force stay", problem)
        self.problem = problem
