"""`mcp-authz serve`: settings -> a running service, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import sys

from authz.app import logs, loop
from authz.app.approvals.options import require_page
from authz.app.serve import Service, load, loading, say_on_stdout
from authz.app.settings.settings import Settings
from authz.errors import PolicyError, SettingsError

_log = logging.getLogger("mcp_authz.serve")


def run(settings: Settings) -> int:
    """0 after SIGTERM; 2 where settings or policies cannot be used, with every problem in the log."""
    with logs.started(settings.log_level, settings.log_format):
        try:
            require_page(settings)
            with loading():
                loader, loaded = load(settings)

            async def serve() -> None:
                await Service(settings, loader, loaded).run(say_on_stdout)

            with asyncio.Runner(loop_factory=loop.factory()) as runner:
                runner.run(serve())
        except PolicyError:
            _log.error("not started: the policies cannot be used")
            return 2
        except SettingsError as error:
            for line in str(error).splitlines():
                _log.error("%s", line)
            return 2
    sys.stdout.flush()
    return 0
