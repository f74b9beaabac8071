"""Settings -> the shared store behind its guard, not yet connected."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping

from authz.app.settings.settings import Settings
from authz.app.store.connecting import connect
from authz.app.store.guarded import GuardedStore
from authz.state.memory import MemoryStore
from authz.state.valkey.store import ValkeyStore


def open_shared(
    settings: Settings, environ: Mapping[str, str] = os.environ, *, observe: Callable[[float], None] | None = None
) -> GuardedStore:
    """The shared store of `settings.state`; raises SettingsError where password or certificates cannot be read."""
    wake = asyncio.Event()
    server = connect(settings, wake.set, environ)
    local = MemoryStore(sessions=settings.sessions)
    shared = ValkeyStore(server, sessions=settings.sessions)
    where = str(settings.state)
    timeout = settings.state_timeout
    return GuardedStore(shared, local, server.mend, wake, where=where, timeout=timeout, observe=observe)
