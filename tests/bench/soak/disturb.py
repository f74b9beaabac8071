"""What happens to a service during a long run: its policies change or break, and its store dies and comes back.

Nothing here changes a verdict: that is the point. Knows nothing of who calls.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from pathlib import Path

from tests.support.valkey_server import ValkeyServer

RELOAD, BREAK, STORE = 3.0, 11.0, 17.0  # seconds between two of each
AWAY = 1.5  # seconds without a store
DEAF = 1.0  # seconds in which it is there and does not answer


class Disturbance:
    """Does what is due at each `tend`. `counts` says how often it did what."""

    def __init__(self, directory: Path, policies: Mapping[str, str], store: ValkeyServer) -> None:
        self._directory = directory
        self._policies = policies
        self._store = store
        self._versions = itertools.count(1)
        self._due = {RELOAD: 0.0, BREAK: 0.0, STORE: 0.0}
        self._back = 0.0
        self._deaf = itertools.cycle([False, True])
        self._is_deaf = False
        self.counts = {"reloads": 0, "broken policies": 0, "store restarts": 0, "store pauses": 0}
        for interval in self._due:
            self._due[interval] = time.monotonic() + interval

    def tend(self) -> None:
        """Whatever is due by now."""
        now = time.monotonic()
        if self._back and now >= self._back:
            self._bring_back()
        if now >= self._due[RELOAD]:
            self._due[RELOAD] = now + RELOAD
            self._reload()
        if now >= self._due[BREAK]:
            self._due[BREAK] = now + BREAK
            self._break()
        if now >= self._due[STORE] and not self._back:
            self._due[STORE] = now + STORE
            self._take_away()

    def settle(self) -> None:
        """Everything as it was."""
        if self._back:
            self._bring_back()
        self._write({**self._policies, "changing.yaml": _changing(0)})

    def _reload(self) -> None:
        self._write({"bench.yaml": self._policies["bench.yaml"], "changing.yaml": _changing(next(self._versions))})
        self.counts["reloads"] += 1

    def _break(self) -> None:
        # The last good version of a file that does not load stays in force.
        self._write({"bench.yaml": self._policies["bench.yaml"] + "tools: {again: allow}\n"})
        self._write({"changing.yaml": "version: 1\ntools: [\n"})
        self.counts["broken policies"] += 1

    def _take_away(self) -> None:
        self._is_deaf = next(self._deaf)
        if self._is_deaf:
            self._store.pause()
            self.counts["store pauses"] += 1
        else:
            self._store.kill()
            self.counts["store restarts"] += 1
        self._back = time.monotonic() + (DEAF if self._is_deaf else AWAY)

    def _bring_back(self) -> None:
        if self._is_deaf:
            self._store.resume()
        else:
            self._store.start()
        self._back = 0.0

    def _write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            fresh = self._directory / f".{name}.new"
            fresh.write_text(text)
            fresh.rename(self._directory / name)


def _changing(version: int) -> str:
    """A policy of a server that nobody calls; as large as policies are, and different every time."""
    tools = "".join(
        f"  tool_{version}_{number}: {{action: allow, rate_limit: {{max: {version + 1}, window: 60}}}}\n"
        for number in range(50)
    )
    return f"version: 1\nserver: changing\ntools:\n{tools}"
