"""One replica as a process of its own: many callers at once pay one limit in a shared store, and say what they got.

`replica.py STATE MAX CALLERS CALLS`: a line `ready`, then, after a line on stdin, one of `paid`, `refused`, `degraded`
or `denied` for each call as it ends.
"""

from __future__ import annotations

import asyncio
import random
import sys

from faulty import attempt, limit

from authz.app.settings import configuration
from authz.app.store.opening import open_shared
from authz.errors import StoreError


async def main(state: str, most: int, callers: int, calls: int) -> None:
    # A deadline that a busy machine does not miss: what is shown is how the shared store counts.
    store = open_shared(configuration.load({"state": state, "state_timeout": "5s", "timeout": "6s"}, {}))
    await store.start()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)

    async def call() -> None:
        for _ in range(calls):
            try:
                discharge = await store.discharge(attempt(limit(most)))
            except StoreError:
                print("denied", flush=True)
            else:
                print("degraded" if discharge.degraded else "paid" if discharge.paid else "refused", flush=True)
            await asyncio.sleep(random.random() / 100)

    await asyncio.gather(*(call() for _ in range(callers)))
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
