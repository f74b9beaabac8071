"""The service under load -> flame graphs: `python -m tests.bench.profile` writes them as SVG.

py-spy looks at the running service from outside, a few hundred times a second: what is profiled is what is measured.
With `--native`, frames of C and Rust too.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console

from authz.app.demo.processes import Children, DemoError
from tests.bench.lab import Lab, Subject
from tests.bench.processes import Cores, ProgramError, on, output_of
from tests.bench.samples import Samples
from tests.bench.suites import transport

PLACE = Path(__file__).parents[2] / "build" / "profile"
VARIANTS = (transport.MEMORY, transport.GRPCIO, transport.CEL, transport.VALKEY, transport.APPROVALS)
RATE = 250  # samples a second: more would slow down what is looked at
SLACK = 3.0  # seconds of load before and after the samples


def flame(lab: Lab, subject: Subject, arguments: list[str], path: Path, *, native: bool) -> None:
    """Load a subject for `lab.seconds` and draw where its threads were. Raises ProgramError."""
    loaded = [*arguments, "--seconds", str(lab.seconds + SLACK), "--warm", "1"]
    command = [str(Path(sysconfig.get_path("scripts")) / "py-spy"), "record", "--pid", str(subject.child.pid)]
    command += ["--duration", str(round(lab.seconds)), "--rate", str(RATE), "--output", str(path), "--threads"]
    command += ["--native"] if native else []
    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(output_of, "tests.bench.load", loaded, lab.cores.rest)
        with on(lab.cores.rest):
            done = subprocess.run(command, capture_output=True, check=False, text=True)  # noqa: S603
        load.result()
    if done.returncode:
        raise ProgramError(f"py-spy: exit code {done.returncode}: {done.stderr.strip()}")


def main() -> int:
    """The program; 1 where an answer was wrong or something did not start."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.profile", description=__doc__)
    parser.add_argument("--variant", choices=VARIANTS, action="append", help=f"default: {transport.MEMORY}; repeatable")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--native", action="store_true", help="frames of C and Rust too (slower to write)")
    options = parser.parse_args()
    console = Console()
    PLACE.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="profile-", dir="/tmp") as name,  # sockets need a short path
        Children(Path(name)) as children,
        contextlib.ExitStack() as cleanup,
    ):
        cores = Cores.shared_out(frozenset(os.sched_getaffinity(0)))
        lab = Lab(children, cores, Samples(), 1, options.seconds, quick=False, say=console.print, cleanup=cleanup)
        try:
            for subject, questions in transport.start(lab, options.variant or [transport.MEMORY]):
                path = PLACE / (subject.name.replace(", ", "-").replace(" ", "-") + ".svg")
                flame(lab, subject, lab.asking(subject, questions), path, native=options.native)
                console.print(f"drawn: {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
        except (ProgramError, DemoError) as error:
            console.print(str(error), style="bold red", highlight=False, markup=False)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
