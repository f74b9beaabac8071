"""What was seen -> what a person reads: the table, metric lines, audit lines, and where to go next."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from authz.app.demo.calls import Approver, Row, Seen
from authz.app.demo.scenes import Scene

_WIDTH = 150  # columns where there is no terminal
_DECISION_ID = re.compile(r" Decision id: \S+$")
_METRIC = "rate_limit_hits"
REASONS = ("rate_limited", "malformed")


@dataclass(frozen=True, slots=True)
class Outcome:
    """A call and what came back."""

    row: Row
    seen: Seen

    @property
    def passed(self) -> bool:
        """Whether the answer is the one that the row must get."""
        return self.seen.reason == self.row.expected and self.row.contains in self.seen.text


def default_console() -> Console:
    """The terminal, or lines of a fixed width."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDTH)


def table(outcomes: list[Outcome]) -> Table:
    """The calls, one a line."""
    result = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, expand=True)
    result.add_column("", width=1)
    result.add_column("who", style="dim", width=18)
    result.add_column("call", ratio=3)
    result.add_column("what the client saw", ratio=7)
    result.add_column("why", ratio=3)
    for outcome in outcomes:
        row, seen = outcome.row, outcome.seen
        what = escape(row.what) + (f" × {row.repeat}" if row.repeat > 1 else "")
        saw = f"[dim]{escape(seen.form)}:[/dim] {escape(_DECISION_ID.sub('', seen.text))}"
        if outcome.passed:
            result.add_row(
                "[green]✓[/green]", row.who, what, saw, f"[bold]{escape(seen.reason)}[/bold]: {escape(row.note)}"
            )
        else:
            got = f"[red]expected {escape(row.expected)}, got {escape(seen.reason)}[/red]"
            result.add_row("[red]✗[/red]", row.who, what, saw, got)
    return result


def evidence(console: Console, metrics: str, audit: str, reasons: Sequence[str] = REASONS) -> None:
    """The rate-limit metrics and two audit lines."""
    console.print("\n[bold]metrics[/bold] (rate limits)")
    for line in metrics.splitlines():
        if _METRIC in line and not line.startswith("#") and "_created" not in line:
            console.print(f"  {escape(line)}", soft_wrap=True)
    console.print("\n[bold]audit[/bold] (two of the records)")
    for line in two_records(audit, reasons):
        console.print(f"  {escape(line.rstrip())}", soft_wrap=True)


def two_records(audit: str, reasons: Sequence[str] = REASONS) -> list[str]:
    """One record for each of `reasons`, as far as there is one: of calls over a limit, and that could not be read."""
    lines = audit.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines.pop()  # it is being written
    found = []
    for reason in reasons:
        found += [line for line in lines if json.loads(line).get("reason") == reason][:1]
    return found


def verdict(console: Console, total: int, failed: int, seconds: float) -> None:
    """One line that says whether everything was as it must be."""
    text = f"{total - failed} of {total} calls got what they must, in {seconds:.1f} s"
    console.print(f"\n[red]{text}[/red]" if failed else f"\n[green]{text}[/green]")


def next_steps(console: Console, policy: Path, envoy: Path, scene: Scene) -> None:
    """What to read and try."""
    console.print(
        f"\nnext: {_short(policy)} is the policy of these calls, {_short(envoy)} the Envoy in front\n"
        "\nleave everything running, to try calls of your own:\n"
        f"  {program()} demo {scene.flags}--keep\n"
        "what one call gets and why, rule by rule:\n"
        f"  {program()} explain --policies {_short(policy.parent)} --server {scene.server} --tool {scene.example}",
        soft_wrap=True,
    )


def program() -> str:
    """What is typed to run this program again: its name where the shell finds it, else its path."""
    ran = Path(sys.argv[0])
    if ran.suffix == ".py":  # python -m
        return f"{_short(Path(sys.executable))} -m authz.app.cli"
    found = shutil.which(ran.name)
    return ran.name if found and Path(found).resolve() == ran.resolve() else _short(ran.absolute())


def _short(path: Path) -> str:
    """`path` as it is typed from here."""
    here = Path.cwd()
    return escape(str(path.relative_to(here) if path.is_relative_to(here) else path))


def try_it(console: Console, port: int, admin: int, policy: Path, audit: Path, approver: Approver, tool: str) -> None:
    """How to use what is left running."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool}})
    console.print(
        "\n[bold]everything stays up until Ctrl-C[/bold]; try:\n\n"
        f"  curl -s http://127.0.0.1:{port}/mcp -H 'content-type: application/json' \\\n"
        "    -H 'accept: application/json, text/event-stream' -H 'mcp-protocol-version: 2025-11-25' \\\n"
        f"    -d '{escape(body)}'\n\n"
        f"  edit {policy}: it is noticed within 2 s\n"
        f"  tail -f {audit}\n"
        f"  curl -s http://127.0.0.1:{admin}/metrics\n"
        f"  approve what waits: {approver.url}, with the token {approver.token}",
        soft_wrap=True,
    )
