"""What became of the cases -> lines for a terminal, in the manner of pytest. Decides nothing and plays nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.console import Console
from rich.text import Text

from authz.app.commands.explain import section, tried
from authz.app.phrases import counted
from authz.app.testing.mutating import Mutated
from authz.app.testing.playing import Outcome
from authz.policy.text.document import render_path

_PASSED, _FAILED = "green", "bold red"


def new_console() -> Console:
    """A console that prints text as it is; `soft_wrap` leaves long lines to the terminal."""
    return Console(soft_wrap=True, highlight=False, markup=False, emoji=False)


def progress(outcomes: Sequence[Outcome], *, width: int, verbose: bool) -> Iterator[Text]:
    """A line a file with a sign for each case, or a line a case."""
    for file, several in groupby(outcomes, key=lambda one: one.case.file):
        if verbose:
            for outcome in several:
                word = Text("FAILED", _FAILED) if outcome.failure else Text("PASSED", _PASSED)
                yield Text(f"{_plain(outcome.case.id)} ") + word
            continue
        signs = [outcome.failure is not None for outcome in several]
        room = max(10, width - len(file) - 1)
        for at in range(0, len(signs), room):
            line = Text(f"{file if not at else ' ' * len(file)} ")
            for failed, run in groupby(signs[at : at + room]):
                line.append(("F" if failed else ".") * len(list(run)), _FAILED if failed else _PASSED)
            yield line


def failures(outcomes: Sequence[Outcome]) -> Iterator[Text]:
    """Each failed case with its place, what it wanted and got, and the rules that were tried."""
    for outcome in outcomes:
        failure = outcome.failure
        if failure is None:
            continue
        document = outcome.case.document
        line, column = document.place(failure.path)
        call = f", call {failure.call}" if failure.call > 1 else ""
        yield Text(f"\n{document.file}:{line}:{column}: ", "bold") + Text(f"{_plain(outcome.case.name)}{call}", _FAILED)
        for said in failure.differences:
            yield Text(f"  {_plain(said)}")
        yield from section("tried", tried(failure.tried))


def short_summary(outcomes: Sequence[Outcome]) -> Iterator[Text]:
    """A line for each failed case, as other programs and people look for it."""
    for outcome in outcomes:
        if outcome.failure is not None:
            yield Text("FAILED ", _FAILED) + Text(_plain(f"{outcome.case.id} - {outcome.failure.differences[0]}"))


def total(outcomes: Sequence[Outcome], *, deselected: int, took: float) -> Text:
    """`3 failed, 20 passed, 1 deselected in 0.05 s`."""
    failed = sum(outcome.failure is not None for outcome in outcomes)
    said = [f"{failed} failed"] if failed else []
    said.append(f"{len(outcomes) - failed} passed")
    said += [f"{deselected} deselected"] if deselected else []
    calls = counted(sum(outcome.calls for outcome in outcomes), "call")
    return Text(f"{', '.join(said)} in {took:.2f} s ({calls})", _FAILED if failed else "bold green")


def score(results: Sequence[Mutated]) -> float:
    """How many of the mutants that load were noticed, in percent; 100 where there are none."""
    killed = sum(one.killed for one in results)
    every = killed + sum(len(one.survivors) for one in results)
    return 100.0 * killed / every if every else 100.0


def mutated(results: Sequence[Mutated], *, took: float) -> Iterator[Text]:
    """A line a policy file, then each survivor with its place; of a file that no case is about only their number."""
    yield Text("\nmutants", "bold")
    width = max((len(one.file) for one in results), default=0)
    for one in results:
        style = "green" if not one.survivors else "yellow"
        share = Text(f"{score([one]):5.1f} %", style)
        said = f"{one.killed} of {one.killed + len(one.survivors)} noticed" if one.cases else "no case is about it"
        refused = f", {one.refused} would not load" if one.refused else ""
        yield Text(f"  {one.file:{width}}  ") + share + Text(f"  {said}{refused}")
    for one in results:
        for survivor in one.survivors if one.cases else ():
            line, column = survivor.document.place(survivor.mutant.path)
            place = f"{one.file}:{line}:{column}: {render_path(survivor.mutant.path)}".removesuffix(": ")
            reached = f"{counted(survivor.reached, 'case')} at it" if survivor.reached else "no case at it"
            yield Text("SURVIVED ", _FAILED) + Text(f"{place}: {survivor.mutant.what} ({reached})")
    yield Text(f"mutation score {score(results):.1f} % in {took:.2f} s", "bold")


def _plain(text: str) -> str:
    """`text` on one line, with an escape for what a terminal would obey."""
    return text if text.isprintable() else "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
