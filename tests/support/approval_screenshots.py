"""`python tests/support/approval_screenshots.py docs/images`: the README's pictures of the approvals page."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from approval_browser import DESKTOP, PHONE, chromium, opened
from approval_office import NOW, Office, asked

MOST = 150 * 1024  # bytes of a picture in the repository

ARGUMENTS = {
    "key": "session:*",
    "database": 0,
    "note": "clean up \u202eyadot ylno\u202c before the аudit",
    "filter": {"idle_seconds": 86400, "prefixes": ["cart:", "session:"], "dry_run": False},
    "statement": "DELETE FROM carts\nWHERE updated_at < now() - interval '1 day';",
    "blob": "A" * 4000,
}


async def main(directory: Path) -> None:
    """Write every picture into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        office = Office(Path(place))
        office.now = time.time() - NOW
        server = office.server()
        await server.start()
        try:
            ids = await _requests(office)
            async with chromium() as browser:
                for device, size in (("desktop", DESKTOP), ("phone", PHONE)):
                    for scheme in ("light", "dark"):
                        token = office.tokens["dana"]
                        async with opened(browser, server.url, token, color_scheme=scheme, **size) as page:
                            for name, path in (("list", "/"), ("request", f"/requests/{ids[0]}")):
                                await page.goto(path)
                                file = directory / f"approvals-{name}-{device}-{scheme}.png"
                                await page.screenshot(path=file, full_page=True)
                                _check(file)
        finally:
            await server.stop()
            await office.close()


async def _requests(office: Office) -> list[str]:
    asking = (
        asked(ARGUMENTS, reason="Deleting keys cannot be undone: a person of the database team looks first."),
        asked({"seconds": 30}, tool="flush_all", risk="critical", by=(("group:dba",), ("group:billing",))),
        asked(
            {"account": "DE02 1203 0000 0000 2020 51", "amount": 12500.00},
            tool="transfer",
            server="bank",
            principal="corp/bob",
            owner="corp/bob",
            claim="bob",
            categories=("ExternalComm", "Financial"),
            risk="medium",
            rule="tools.transfer.rules[1]",
        ),
    )
    return [(await office.file_request(request)).id for request in asking]


def _check(file: Path) -> None:
    size = file.stat().st_size
    if size > MOST:
        raise SystemExit(f"{file}: expected at most {MOST} bytes, got {size}")
    print(f"{file}: {size} bytes")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
