"""A real Envoy, MCP server and service on loopback, and what each kind of call gets: every line is checked.

What it takes beside the service itself is an extra, so nothing of it is imported before it is asked for.
"""

from __future__ import annotations

from authz.errors import SettingsError

__all__ = ["run"]


def run(*, keep: bool = False, server: str = "demo") -> int:
    """Run the demo: 0 where every call got what it must, 1 where one did not. Raises AuthzError if it cannot run.

    `server` is the demo's own, or `valkey`: AWS Labs' server before a Valkey of its own. With `keep` all of it stays up
    until Ctrl-C. Whatever happens, nothing that was started outlives this call.
    """
    try:
        from authz.app.demo.play import play
    except ModuleNotFoundError as error:
        raise SettingsError(f"demo: expected its extra, pip install '.[demo]', got no {error.name}") from error
    return play(keep=keep, server=server)
