"""`mcp-authz approvals …` and `mcp-authz approvers …`: what was typed -> one function and its exit code.

Exit codes: 0 done, 1 the service said no (refused, unknown, ended), 2 it could not be asked.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from authz.app.settings.configuration import TOKEN_VARIABLE

URL_VARIABLE = "MCP_AUTHZ_APPROVALS_URL"

approvals = typer.Typer(
    name="approvals", help="See and decide requests for approval, as an approver.", no_args_is_help=True
)
approvers = typer.Typer(name="approvers", help="Who may approve: the approvers file.", no_args_is_help=True)

UrlOption = Annotated[
    str, typer.Option("--url", metavar="URL", envvar=URL_VARIABLE, help="the approvals page: https://…, or unix:PATH")
]
TokenOption = Annotated[
    Path | None,
    typer.Option("--token-file", metavar="FILE", help=f"your token, alone in a file [default: env {TOKEN_VARIABLE}]"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="for scripts")]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="the request, as `list` shows it")]
CommentOption = Annotated[str, typer.Option("--comment", metavar="TEXT", help="the agent and the audit log get it")]
FileOption = Annotated[Path, typer.Option("--file", metavar="FILE", help="the approvers file")]


@approvals.command("list")
def list_requests(
    url: UrlOption,
    token_file: TokenOption = None,
    status: Annotated[str, typer.Option(help="pending, granted, denied, used, expired, ended or all")] = "pending",
    server: Annotated[str, typer.Option(metavar="NAME", help="only of this server")] = "",
    tool: Annotated[str, typer.Option(metavar="NAME", help="only of this tool")] = "",
    principal: Annotated[str, typer.Option(metavar="TEXT", help="only who has this in the name")] = "",
    as_json: JsonOption = False,
) -> None:
    """List requests that you may see, the newest first."""
    from authz.app.commands import approvals as command

    narrowed = {"status": status, "server": server, "tool": tool, "principal": principal}
    query = {name: value for name, value in narrowed.items() if value}
    with command.client(url, token_file, os.environ) as asked:
        raise typer.Exit(command.run_list(asked, query, as_json=as_json))


@approvals.command("show")
def show(id_: IdArgument, url: UrlOption, token_file: TokenOption = None, as_json: JsonOption = False) -> None:
    """Show one request with everything that will run."""
    from authz.app.commands import approvals as command

    with command.client(url, token_file, os.environ) as asked:
        raise typer.Exit(command.run_show(asked, id_, as_json=as_json))


@approvals.command("approve")
def approve(
    id_: IdArgument,
    url: UrlOption,
    comment: CommentOption = "",
    token_file: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say yes to exactly this call."""
    from authz.app.commands import approvals as command

    with command.client(url, token_file, os.environ) as asked:
        raise typer.Exit(command.run_rule(asked, id_, granted=True, comment=comment, as_json=as_json))


@approvals.command("deny")
def deny(
    id_: IdArgument,
    url: UrlOption,
    comment: CommentOption = "",
    token_file: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say no to exactly this call."""
    from authz.app.commands import approvals as command

    with command.client(url, token_file, os.environ) as asked:
        raise typer.Exit(command.run_rule(asked, id_, granted=False, comment=comment, as_json=as_json))


@approvals.command("watch")
def watch(
    url: UrlOption,
    token_file: TokenOption = None,
    every: Annotated[float, typer.Option(metavar="SECONDS", min=0.1, help="how often to ask")] = 2.0,
    seconds: Annotated[float, typer.Option("--for", metavar="SECONDS", help="stop after so long; 0: never")] = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Print requests as they come and as they are decided, until Ctrl-C."""
    from authz.app.commands import approvals as command

    with command.client(url, token_file, os.environ) as asked:
        raise typer.Exit(command.run_watch(asked, every=every, seconds=seconds, as_json=as_json))


@approvers.command("add")
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="who approves")],
    file: FileOption,
    group: Annotated[list[str] | None, typer.Option(metavar="NAME", help="a group; may be repeated")] = None,
    claim: Annotated[str, typer.Option(metavar="TEXT", help="what is compared with the requester's claim")] = "",
) -> None:
    """Add an approver and print their token, this once."""
    from authz.app.commands import approvals_roster as command

    raise typer.Exit(command.run_add(file, name, tuple(group or ()), claim))


@approvers.command("list")
def list_approvers(file: FileOption, as_json: JsonOption = False) -> None:
    """List the approvers of a file."""
    from authz.app.commands import approvals_roster as command

    raise typer.Exit(command.run_list(file, as_json=as_json))


@approvers.command("remove")
def remove(name: Annotated[str, typer.Argument(metavar="NAME", help="who no longer does")], file: FileOption) -> None:
    """Remove an approver, whose sessions and token end with that."""
    from authz.app.commands import approvals_roster as command

    raise typer.Exit(command.run_remove(file, name))
