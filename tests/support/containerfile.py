"""A Containerfile -> its steps, carried out without an engine: RUN in mount namespaces of their own, COPY with cp.

For what Containerfile uses: two stages, ENV, WORKDIR, COPY, RUN, USER, ENTRYPOINT. The base image is this machine with
its Python at /usr/local, where the image of that name has it. Needs root, for mounts.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

SHARED = ("/srv", "/opt")  # where the steps write


@dataclass(slots=True)
class Stage:
    """One FROM with what follows it."""

    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def last(self, keyword: str) -> str:
        """What the last instruction of this kind says, "" where there is none."""
        return next((text for word, text in reversed(self.steps) if word == keyword), "")

    def command(self, *arguments: str) -> list[str]:
        """What runs with these in place of CMD."""
        entry: list[str] = json.loads(self.last("ENTRYPOINT"))
        return [*entry, *(arguments or json.loads(self.last("CMD")))]


def parse(file: Path) -> list[Stage]:
    """The stages, in order; comments and continued lines are resolved."""
    lines = [line for line in file.read_text().splitlines() if line.strip() and not line.lstrip().startswith("#")]
    stages: list[Stage] = []
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        keyword, _, rest = line.strip().partition(" ")
        if keyword == "FROM":
            stages.append(Stage(rest.partition(" AS ")[2] or "image"))
        elif stages:
            stages[-1].steps.append((keyword, rest.strip()))
    return stages


def build(file: Path, target: Path) -> Path:
    """Carry out the first stage and what the last copies from it; gives the folder that stands for the image's root."""
    first, last = parse(file)
    shared = {path: target / "build" / path[1:] for path in SHARED}
    for directory in shared.values():
        directory.mkdir(parents=True)
    workdir = ""
    environment = {**os.environ, "PATH": "/usr/local/bin:/usr/bin:/bin"}
    for name in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"):
        environment.pop(name, None)
    for keyword, text in first.steps:
        if keyword == "ENV":
            environment |= dict(pair.split("=", 1) for pair in shlex.split(text))
        elif keyword == "WORKDIR":
            workdir = text
            _inside(shared, text).mkdir(parents=True)
        elif keyword == "COPY":
            *sources, to = shlex.split(text)
            _copy([file.parent / source for source in sources], _inside(shared, workdir) / to)
        elif keyword == "RUN":
            _run(
                text.split("/root/.cache/pip", 1)[-1] if text.startswith("--mount") else text,
                workdir,
                shared,
                environment,
            )
        else:
            raise ValueError(f"{keyword}: expected an instruction that is carried out here")
    root = target / "image"
    for keyword, text in last.steps:
        if keyword == "COPY":
            option, source, to = shlex.split(text)
            assert option == f"--from={first.name}"
            shutil.copytree(_inside(shared, source), root / to[1:], symlinks=True)
    return root


def python_home() -> Path:
    """The Python that stands for the base image's: an installation of its own, with `python` and `pip`."""
    home = Path(sys.base_prefix)
    if home == Path("/usr"):
        raise RuntimeError("expected a Python outside /usr, which can stand at /usr/local")
    return home


def _inside(shared: dict[str, Path], path: str) -> Path:
    (base,) = [each for each in shared if path == each or path.startswith(f"{each}/")]
    return shared[base] / path[len(base) :].lstrip("/")


def _copy(sources: list[Path], to: Path) -> None:
    for source in sources:
        if source.is_dir():
            shutil.copytree(source, to, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            to.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, to / source.name)


def _run(text: str, workdir: str, shared: dict[str, Path], environment: dict[str, str]) -> None:
    mounts = [f"mount --bind {shlex.quote(str(host))} {path}" for path, host in shared.items()]
    mounts.append(f"mount --bind {shlex.quote(str(python_home()))} /usr/local")
    script = " && ".join([*mounts, f"cd {workdir}", f"exec sh -ec {shlex.quote(text)}"])
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise RuntimeError(f"RUN {text}\n{done.stdout}{done.stderr}")
