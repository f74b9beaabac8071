"""The command line of `mcp-authz test`: what was typed -> what is to be played. Imports its rooms when it runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def play_tests(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="the directory of policies and *_test.yaml files")],
    expression: Annotated[
        str,
        typer.Option("-k", metavar="EXPR", help="play only cases whose FILE::NAME has this; with and, or, not, ()"),
    ] = "",
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="a line a case")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="play again whenever a file changes, until Ctrl-C")] = False,
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="write JUnit XML")] = None,
    coverage: Annotated[
        bool, typer.Option("--coverage", help="show which rules, constraints and limits no case reaches")
    ] = False,
    coverage_html: Annotated[
        Path | None, typer.Option("--coverage-html", metavar="FILE", help="write the coverage as a page")
    ] = None,
    min_coverage: Annotated[
        float | None, typer.Option("--min-coverage", metavar="PERCENT", help="fail below this coverage")
    ] = None,
    mutate: Annotated[
        bool, typer.Option("--mutate", help="show which mistakes in the policies no case would notice")
    ] = False,
    min_score: Annotated[
        float, typer.Option("--min-score", metavar="PERCENT", help="with --mutate, fail below this score")
    ] = 100.0,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="settings file (YAML) [env: MCP_AUTHZ_CONFIG]")
    ] = None,
) -> None:
    """Play the policy tests of a directory. Exit 1: a case failed; 2: a file cannot be used; 5: there are no cases."""
    from authz.app.commands import test as command
    from authz.app.settings import configuration

    settings = configuration.load({}, os.environ, file=config)
    wanted = command.Wanted(
        directory=directory,
        expression=expression,
        verbose=verbose,
        junit=junit,
        coverage=coverage or min_coverage is not None,
        html=coverage_html,
        mutate=mutate,
        min_coverage=min_coverage,
        min_score=min_score,
    )
    if watch:
        command.watch(wanted, settings)
        raise typer.Exit(0)
    raise typer.Exit(command.run(wanted, settings))
