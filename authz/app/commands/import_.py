"""`mcp-authz import FILE...`: files of PolicyLayer or Intercept -> policies and their tests, and what changes."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from authz.app.importing.changes import Change, Options
from authz.app.importing.choices import From, Per, Windows
from authz.app.importing.convert import convert
from authz.app.importing.dialect import read_policy
from authz.app.importing.pins import test_document
from authz.app.importing.source import Dialect
from authz.app.importing.table import table
from authz.app.importing.yaml_text import yaml_text
from authz.app.phrases import counted, reason
from authz.app.policies.directory import MAX_FILE
from authz.errors import AuthzError, PolicyError, Problem
from authz.policy.compile.file import PolicyContext, compile_file

_DIALECTS = {
    From.AUTO: tuple(Dialect),
    From.POLICYLAYER: (Dialect.PAGES, Dialect.HOSTED),
    From.INTERCEPT: (Dialect.INTERCEPT,),
}
_SECTIONS = ("tools", "prompts", "limits", "cases")


def run(files: Sequence[Path], source: From, out: Path | None, per: Per, windows: Windows, *, force: bool) -> int:
    """0 if every file was imported, 2 if one could not be: then nothing is written.

    With `out` it gets the policy and its test for each file, and the table is printed; without, the policies are
    printed and the table goes to stderr.
    """
    options = Options(windows is Windows.FIXED, "" if per is Per.SOURCE else str(per))
    written: dict[str, str] = {}
    changes: list[Change] = []
    problems: list[Problem] = []
    for file in files:
        try:
            texts, found = _imported(file, _DIALECTS[source], options)
        except PolicyError as error:
            problems += error.problems
            continue
        for name in written.keys() & texts.keys():
            problems.append(Problem(str(file), 0, 0, "", f"another file would be written to {name} too: rename one"))
        written |= texts
        changes += found
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        print(f"{counted(len(problems), 'problem')}, nothing is written", file=sys.stderr)
        return 2
    if out is None:
        for name, text in written.items():
            if not name.endswith("_test.yaml"):
                print(text, end="")
    else:
        _write(written, out, force=force)
    for line in table(changes):
        print(line, file=sys.stdout if out else sys.stderr)
    return 0


def _imported(file: Path, dialects: tuple[Dialect, ...], options: Options) -> tuple[dict[str, str], list[Change]]:
    """The text of the policy and of its test by the names of the files, and what changes in meaning."""
    try:
        with file.open("rb") as opened:
            text = opened.read(MAX_FILE + 1)  # it may be a device, or a pipe that never ends
    except OSError as error:
        raise PolicyError([Problem(str(file), 0, 0, "", f"cannot be read: {reason(error)}")]) from None
    policy, document = read_policy(text, str(file), dialects)
    conversion = convert(policy, document, text, options)
    name = _name(file)
    policy_text = yaml_text(conversion.value, conversion.comments, _SECTIONS)
    compiled = compile_file(f"{name}.yaml", policy_text.encode(), PolicyContext())
    if compiled.problems:
        said = [Problem(str(file), 0, 0, "", f"what it becomes does not load: {one}") for one in compiled.problems]
        raise PolicyError(said)
    tests = yaml_text(test_document(file.name, conversion), {}, _SECTIONS)
    return {f"{name}.yaml": policy_text, f"{name}_test.yaml": tests}, conversion.changes


def _name(file: Path) -> str:
    """The stem of what is written, which names the server."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", file.stem).strip("-._") or "policy"
    if name.endswith("_test"):  # which is how policy tests are called
        return f"{name}-imported"
    return f"imported-{name}" if name.startswith("baseline") else name


def _write(written: dict[str, str], out: Path, *, force: bool) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        there = [name for name in written if (out / name).exists()]
        if there and not force:
            raise AuthzError(f"{out}: {', '.join(there)} exists; --force replaces it")
        for name, text in written.items():
            (out / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise AuthzError(f"{out}: cannot be written: {reason(error)}") from None
