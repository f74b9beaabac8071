"""The command line: what was typed -> one command's function and its exit code. Decides nothing itself.

Each command imports its rooms when it runs, so that `--help` and `version` answer at once.
"""

from __future__ import annotations

import enum
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from authz.app.commands.approvals_cli import approvals, approvers
from authz.app.commands.limits_cli import limits
from authz.app.commands.tests_cli import play_tests
from authz.app.importing.choices import From, Per, Windows
from authz.app.settings.settings import Settings, table
from authz.errors import AuthzError

app = typer.Typer(
    name="mcp-authz",
    help="Decides MCP tool calls for Envoy's external authorization filter.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # panels cut long options off at 80 columns
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Format(enum.StrEnum):
    """How a command prints what it found."""

    TEXT = "text"
    JSON = "json"


ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="settings file (YAML) [env: MCP_AUTHZ_CONFIG]")
]
FormatOption = Annotated[Format, typer.Option("--format", help="for people or for scripts")]


def main() -> None:
    """Run the command line; what a person can mend is said in words, without a traceback, with exit code 2."""
    try:
        app()
    except AuthzError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    finally:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            # Whoever read the output has gone (`| head`); Python would complain when it flushes at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _settings(config: Path | None, flags: Mapping[str, Any], *need: str) -> Settings:
    from authz.app.settings import configuration

    return configuration.load(flags, os.environ, file=config, need=need)


def _with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """`command(config, flags)` as a function that typer shows with one option for each setting of the table."""

    def called(config: Path | None = None, **flags: Any) -> None:
        command(config, flags)

    parameters = [inspect.Parameter("config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=ConfigOption)]
    for setting in table().values():
        kind = setting.about.kind
        if kind is None:
            continue
        names = [f"{setting.flag}/--no-{setting.flag[2:]}"] if kind.switch else [setting.flag]
        option = typer.Option(
            *names,
            metavar=None if kind.switch else kind.shown,
            help=f"{setting.about.help} [default: {setting.shown.strip('*')}; env: {setting.variable}]",
            show_default=False,
        )
        annotation: Any = bool | None if kind.switch else list[str] | None if setting.about.many else str | None
        parameters.append(
            inspect.Parameter(
                setting.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[annotation, option]
            )
        )
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    called.__name__, called.__doc__ = command.__name__, command.__doc__
    return called


@app.command("serve")
@_with_settings
def serve(config: Path | None, flags: dict[str, Any]) -> None:
    """Answer the proxy's checks until SIGTERM. SIGHUP loads the policies again and reopens the audit file."""
    settings = _settings(config, flags, "policies", "listen")
    from authz.app.commands import serve as command

    raise typer.Exit(command.run(settings))


@app.command("validate")
def validate(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="the directory of policy files")],
    baseline: Annotated[str | None, typer.Option(metavar="DIR", help="the platform's own directory")] = None,
    forbid: Annotated[list[str] | None, typer.Option(metavar="WORD", help="what teams may not say")] = None,
    config: ConfigOption = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Show every problem (exit 2) and warning (exit 1) of a directory of policies with its place."""
    from authz.app.commands import validate as command

    given = {"baseline": baseline, "forbid": forbid}
    raise typer.Exit(command.run(directory, _settings(config, given), as_json=form is Format.JSON))


@app.command("explain")
def explain(
    policies: Annotated[str | None, typer.Option(metavar="DIR", help="the directory of policy files")] = None,
    tool: Annotated[str | None, typer.Option(metavar="NAME", help="explain a tools/call of this tool")] = None,
    args: Annotated[str | None, typer.Option(metavar="JSON", help="its arguments, an object")] = None,
    request: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="explain this request: raw HTTP, HAR, or `curl -v` output, to which the body is to be appended after "
            "the request headers, for curl does not show it; - reads stdin",
        ),
    ] = None,
    server: Annotated[str | None, typer.Option(metavar="NAME", help="the server that the route names")] = None,
    principal: Annotated[str | None, typer.Option(metavar="ID", help="who asks; left out: nobody verified")] = None,
    group: Annotated[list[str] | None, typer.Option(metavar="NAME", help="a group of the principal")] = None,
    client: Annotated[str | None, typer.Option(metavar="ID", help="the OAuth client of the principal")] = None,
    scope: Annotated[list[str] | None, typer.Option(metavar="NAME", help="a scope of the principal's token")] = None,
    claim: Annotated[list[str] | None, typer.Option(metavar="NAME=JSON", help="a further claim of the token")] = None,
    header: Annotated[list[str] | None, typer.Option(metavar="K:V", help="a request header")] = None,
    config: ConfigOption = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Show what one call gets and why: every rule that was tried, what is owed, the exact answer. Exit 1: denied."""
    from authz.app.commands import explain as command

    settings = _settings(config, {"policies": policies}, "policies")
    question = command.Question(
        tool=tool,
        arguments=args,
        file=request,
        server=server,
        principal=principal,
        groups=tuple(group or ()),
        client=client,
        scopes=tuple(scope or ()),
        claims=tuple(claim or ()),
        headers=tuple(header or ()),
    )
    raise typer.Exit(command.run(question, settings, as_json=form is Format.JSON))


@app.command("import")
def import_(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="policies of PolicyLayer or Intercept")],
    source: Annotated[From, typer.Option("--from", help="whose they are; auto looks at each file")] = From.AUTO,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="write policies and their tests there, instead of printing them")
    ] = None,
    per: Annotated[Per, typer.Option(help="whose calls limits count together; source: as it was there")] = Per.SOURCE,
    windows: Annotated[
        Windows,
        typer.Option(help="fixed: windows of the clock, as Intercept has them: up to twice max around their end"),
    ] = Windows.SLIDING,
    force: Annotated[bool, typer.Option("--force", help="replace files that exist")] = False,
) -> None:
    """Bring policies of PolicyLayer and Intercept along: with tests, and a table of what changes in meaning."""
    from authz.app.commands import import_ as command

    raise typer.Exit(command.run(files, source, out, per, windows, force=force))


@app.command("demo")
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="leave everything running until Ctrl-C")] = False,
    server: Annotated[
        str, typer.Option(metavar="NAME", help="demo, or valkey: AWS Labs' server, with a Valkey")
    ] = "demo",
) -> None:
    """Start a real Envoy, an MCP server and this service, and show what each kind of call gets."""
    from authz.app import demo as command

    raise typer.Exit(command.run(keep=keep, server=server))


@app.command("scan")
def scan(
    target: Annotated[
        list[str], typer.Argument(metavar="URL | -- COMMAND…", help="an MCP server: where it is, or what starts it")
    ],
    directory: Annotated[Path, typer.Option("--dir", metavar="DIR", help="the directory of policy files")] = Path(
        "policies"
    ),
    server: Annotated[
        str | None, typer.Option(metavar="NAME", help="its name in policies [default: what it calls itself]")
    ] = None,
    header: Annotated[list[str] | None, typer.Option(metavar="K:V", help="a request header")] = None,
    token_file: Annotated[Path | None, typer.Option(metavar="FILE", help="holds the bearer token")] = None,
    token_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="the variable that holds the bearer token")
    ] = None,
    env: Annotated[
        list[str] | None, typer.Option(metavar="K=V", help="a variable for the command; it gets few others")
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option(metavar="K=V", help="where it comes from: registry=pypi, package=…, version=…")
    ] = None,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="for all of it", min=1, max=3600)] = 60,
    check: Annotated[
        bool, typer.Option("--check", help="write nothing; exit 1 if it is no longer as catalogued")
    ] = False,
) -> None:
    """Read a server's tools, write its catalogue and a policy to start from, and show what has changed since."""
    from authz.app.commands import scan as command

    typed = command.Scan(
        words=tuple(target),
        directory=directory,
        server=server or "",
        headers=tuple(header or ()),
        token_file=token_file,
        token_variable=token_env or "",
        environment=tuple(env or ()),
        source=tuple(source or ()),
        seconds=timeout,
        check=check,
    )
    raise typer.Exit(command.run(typed))


catalog = typer.Typer(name="catalog", help="What is known of servers and their tools.", no_args_is_help=True)


@catalog.command("show")
def catalog_show(
    server: Annotated[str | None, typer.Argument(metavar="SERVER", help="left out: which servers there are")] = None,
    tool: Annotated[str | None, typer.Argument(metavar="TOOL", help="one of its tools, with the rule it needs")] = None,
    policies: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="the directory of policy files [default: what ships with the program]"),
    ] = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Show a server's tools by danger, or of one tool what it does, its risk, and the rule that it needs."""
    from authz.app.commands import catalog as command

    raise typer.Exit(command.run(policies, server, tool, as_json=form is Format.JSON))


app.add_typer(catalog)
app.add_typer(limits)
app.command("test")(play_tests)
app.add_typer(approvals)
app.add_typer(approvers)


@app.command("version")
def version(form: FormatOption = Format.TEXT) -> None:
    """Show the version."""
    from authz.app.commands import version as command

    raise typer.Exit(command.run(as_json=form is Format.JSON))


if __name__ == "__main__":
    main()
