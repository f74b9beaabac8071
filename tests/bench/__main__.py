"""`python -m tests.bench`: runs suites in a lab, keeps what they found as JSON, shows and draws it."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from rich.console import Console

from authz.app.demo.processes import Children, DemoError
from tests.bench import plots, report
from tests.bench.lab import Lab
from tests.bench.processes import Cores, ProgramError
from tests.bench.samples import Sample, Samples
from tests.bench.suites import engine, envoy, flood, idle, parts, scale, size, tokens, transport

SUITES: Mapping[str, Callable[[Lab], None]] = {
    "engine": engine.run,
    "transport": transport.run,
    "scale": scale.run,
    "parts": parts.run,
    "envoy": envoy.run,
    "size": size.run,
    "idle": idle.run,
    "flood": flood.run,
    "tokens": tokens.run,
}
ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build" / "bench"
WIDTH = 180  # columns of the tables where no terminal says how many it has
IMAGES = ROOT / "docs" / "images"


class Run(msgspec.Struct, frozen=True):
    """One run as it is kept: when, on what machine, and all samples."""

    when: str
    machine: str
    pinned: bool
    samples: list[Sample]


def main() -> int:
    """The program; 1 where an answer was wrong or something did not start."""
    options = _options().parse_args()
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    if options.show:
        kept = msgspec.json.decode(options.show.read_bytes(), type=Run)
        _present(Samples(kept.samples), console, draw=options.draw)
        return 0
    samples, when = Samples(), time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime())
    cores = Cores.shared_out(frozenset(os.sched_getaffinity(0)), pin=not options.no_pin)
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as name,  # sockets need a short path
        Children(Path(name)) as children,
        contextlib.ExitStack() as cleanup,
    ):
        lab = Lab(
            children,
            cores,
            samples,
            rounds=options.rounds or (1 if options.quick else 5),
            seconds=options.seconds or (1.0 if options.quick else 3.0),
            quick=options.quick,
            say=lambda line: console.print(f"  {line}", style="dim", highlight=False),
            cleanup=cleanup,
            flood=options.flood or (20_000 if options.quick else 1_000_000),
        )
        try:
            for suite in options.only or SUITES:
                console.print(suite)
                SUITES[suite](lab)
                _keep(samples, cores, when)  # after each suite: what was right stays known if a later one fails
        except (ProgramError, DemoError) as error:
            console.print(str(error), style="bold red", highlight=False, markup=False)
            return 1
    _present(samples, console, draw=options.draw)
    return 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", type=_suites, metavar="SUITE,…", help=f"some of {', '.join(SUITES)}")
    parser.add_argument("--rounds", type=int, help="how often the variants take turns (default 5)")
    parser.add_argument("--seconds", type=float, help="of each measurement (default 3)")
    parser.add_argument("--flood", type=int, help="how many new names a flood has (default 1000000)")
    parser.add_argument("--quick", action="store_true", help="one short round, small floods")
    parser.add_argument("--no-pin", action="store_true", help="let the system choose the cores")
    parser.add_argument("--draw", action="store_true", help=f"draw the plots into {IMAGES.relative_to(ROOT)}")
    parser.add_argument("--show", type=Path, metavar="FILE", help="measure nothing, show a run that was kept")
    return parser


def _suites(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in SUITES:
            raise argparse.ArgumentTypeError(f"expected some of {', '.join(SUITES)}, got {name!r}")
    return names


def _keep(samples: Samples, cores: Cores, when: str) -> None:
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    KEPT.mkdir(parents=True, exist_ok=True)
    encoded = msgspec.json.format(msgspec.json.encode(Run(when, machine, cores.pinned, samples.all)))
    for name in (f"{when}.json", "last.json"):
        (KEPT / name).write_bytes(encoded)
    (KEPT / "targets.md").write_text(report.markdown(samples))


def _present(samples: Samples, console: Console, *, draw: bool) -> None:
    report.show(samples, console)
    if draw:
        for path in plots.draw(samples, IMAGES):
            console.print(f"drawn: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    sys.exit(main())
