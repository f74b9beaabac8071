"""`mcp-authz limits …`: what was typed -> one function and its exit code.

Exit codes: 0 done, 1 the service said no, 2 it could not be asked (away, not the token, its store is away).
"""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

_MOST = 1_000  # counters that the service gives at once

limits = typer.Typer(name="limits", help="See what a running service counts, and reset it.", no_args_is_help=False)

AdminOption = Annotated[
    str,
    typer.Option(
        "--admin",
        metavar="URL",
        help="the service's operators' side: http://HOST:PORT [default: the setting admin; env: MCP_AUTHZ_ADMIN]",
        show_default=False,
    ),
]
TokenOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help="the service's admin token [default of reset: the setting admin_token; env: MCP_AUTHZ_ADMIN_TOKEN]",
    ),
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="settings file (YAML) [env: MCP_AUTHZ_CONFIG]")
]
JsonOption = Annotated[bool, typer.Option("--json", help="for scripts")]


@limits.callback(invoke_without_command=True)
def list_limits(
    context: typer.Context,
    admin: AdminOption = "",
    server: Annotated[str, typer.Option(metavar="NAME", help="only of this server")] = "",
    limit: Annotated[str, typer.Option(metavar="NAME", help="only of this limit")] = "",
    most: Annotated[int, typer.Option(metavar="N", min=1, max=_MOST, help="how many counters")] = _MOST,
    token_file: TokenOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List counters in use: server, limit, who, used, max, and when a whole window is free again."""
    if context.invoked_subcommand is not None:
        # Its own options say so: what was given before its name would count for nothing.
        if admin or server or limit or most != _MOST or token_file or config or as_json:
            raise typer.BadParameter("expected options after `reset`")
        return
    from authz.app.commands import limits as command
    from authz.app.settings import configuration

    settings = configuration.load({}, os.environ, file=config)
    query = {"most": str(most), **{name: value for name, value in (("server", server), ("limit", limit)) if value}}
    with closing(command.client(settings, os.environ, admin=admin, token_file=token_file, to_change=False)) as asked:
        raise typer.Exit(command.run_list(asked, query, as_json=as_json))


@limits.command("reset")
def reset(
    server: Annotated[str, typer.Argument(metavar="SERVER", help="whose limits")],
    limit: Annotated[str, typer.Argument(metavar="LIMIT", help="which one; left out: all", show_default=False)] = "",
    admin: AdminOption = "",
    token_file: TokenOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forget the counters of a server's limits, for all who call."""
    from authz.app.commands import limits as command
    from authz.app.settings import configuration

    settings = configuration.load({}, os.environ, file=config)
    with closing(command.client(settings, os.environ, admin=admin, token_file=token_file, to_change=True)) as asked:
        raise typer.Exit(command.run_reset(asked, server, limit, as_json=as_json))
