"""A directory of policies and tests -> a word whenever something in it has changed. Reads no content.

By looking, as the service itself finds changes (authz/app/policies/reload.py says why).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from authz.app.policies import directory
from authz.app.policies.reload import INTERVAL, SETTLE
from authz.app.testing import discovery


def changes(root: Path, *, sleep: Callable[[float], object] = time.sleep) -> Iterator[None]:
    """Something at once, and again whenever a policy, catalogue or test file has changed and then stayed as it is."""
    seen: object = None
    while True:
        now = _looks(root)
        if now != seen:
            sleep(SETTLE)
            if _looks(root) != now:
                continue  # it is being written
            seen = now
            yield
        sleep(INTERVAL)


def _looks(root: Path) -> object:
    try:
        policies: directory.Stamp = directory.stamp(root)
    except OSError:
        policies = ()
    return policies, discovery.stamp(root)
