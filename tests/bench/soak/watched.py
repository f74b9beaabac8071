"""`mcp-authz serve`, which on SIGUSR1 writes to a file how many tasks its event loop has.

`python -m tests.bench.soak.watched FILE serve ...`: the program itself is the one that ships.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from authz.app import cli


def main() -> None:
    """The program."""
    place = Path(sys.argv.pop(1))

    def tell(*_: object) -> None:
        fresh = place.with_suffix(".new")
        fresh.write_text(str(len(asyncio.all_tasks())))
        fresh.rename(place)

    signal.signal(signal.SIGUSR1, tell)
    cli.main()


if __name__ == "__main__":
    main()
