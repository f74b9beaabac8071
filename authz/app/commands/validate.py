"""`mcp-authz validate DIR`: a directory of policies -> every problem and warning in it, in the words of the log."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

from authz.app.phrases import counted
from authz.app.settings.settings import Settings
from authz.app.wiring import loader
from authz.errors import PolicyError, Problem


def run(directory: Path, settings: Settings, *, as_json: bool) -> int:
    """0 if nothing is wrong, 1 if there are warnings only, 2 if something does not load.

    Who owns the files is not looked at: a checkout belongs to whoever made it, `serve` looks at what it is given.
    """
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...] = ()
    revision, files = "", 0
    try:
        policies = loader(settings, directory).first().policies
    except PolicyError as error:
        problems = error.problems
    else:
        problems, warnings, revision, files = (
            policies.problems,
            policies.warnings,
            policies.revision,
            len(policies.files),
        )
    if as_json:
        found = {
            "revision": revision,
            "problems": [dataclasses.asdict(problem) for problem in problems],
            "warnings": [dataclasses.asdict(warning) for warning in warnings],
        }
        print(json.dumps(found, indent=2))
    else:
        for problem in problems:
            print(problem)
        for warning in warnings:
            print(f"{warning} (warning)")
        if not problems and not warnings:
            print(f"{directory}: {counted(files, 'policy file')}, nothing to say (revision {revision})")
        else:
            print(f"{counted(len(problems), 'problem')}, {counted(len(warnings), 'warning')}", file=sys.stderr)
    return 2 if problems else 1 if warnings else 0
