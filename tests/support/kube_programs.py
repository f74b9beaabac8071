"""requirements/{go,debian.txt} -> build/programs: kube-apiserver, kubectl, etcd, checkers and CRDs, by their hashes.

A program of its own (`make test-k8s` runs it). Versions stand in requirements/, hashes beside them; nothing is taken
that has others.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "requirements"
PROGRAMS = ROOT / "build" / "programs"
CRDS = PROGRAMS / "crds"
SWAGGER = PROGRAMS / "swagger.json"
GO = {
    **os.environ,
    "CGO_ENABLED": "0",
    "GOFLAGS": "-trimpath -mod=readonly",
    "GOBIN": str(PROGRAMS),
    "GOTOOLCHAIN": "local",
}


def main() -> None:
    """Build and unpack what is not there yet; raises SystemExit with a reason."""
    PROGRAMS.mkdir(parents=True, exist_ok=True)
    if shutil.which("go") is None:
        raise SystemExit("go: not found, expected 1.26 or later")
    _go("kubernetes", "build", "-ldflags=-s -w", "-o", f"{PROGRAMS}/", "./kube-apiserver", "./kubectl")
    _go("checkers", "install", "tool")
    _go("checkers", "build", "-o", f"{PROGRAMS}/", "./meshconfig")
    for module, version, expected, *patterns in _lines(REQUIREMENTS / "go" / "modules.txt"):
        _copy(_module(module, version, expected), patterns)
    for name, version, architecture, digest in _lines(REQUIREMENTS / "debian.txt"):
        _unpack(name, version, architecture, digest)


def _lines(file: Path) -> Iterator[list[str]]:
    for line in file.read_text().splitlines():
        if line and not line.startswith("#"):
            yield line.split()


def _go(module: str, *arguments: str) -> None:
    subprocess.run(["go", *arguments], cwd=REQUIREMENTS / "go" / module, env=GO, check=True)


def _module(module: str, version: str, expected: str) -> Path:
    """The folder of a module whose content has the hash `expected`; go compares it with its checksum database too."""
    command = ["go", "mod", "download", "-json", f"{module}@{version}"]
    done = subprocess.run(command, cwd=PROGRAMS, env={**GO, "GOFLAGS": ""}, check=True, capture_output=True)
    found = json.loads(done.stdout)
    if found["Sum"] != expected:
        raise SystemExit(f"{module}@{version}: expected {expected}, got {found['Sum']}")
    return Path(found["Dir"])


def _copy(module: Path, patterns: list[str]) -> None:
    CRDS.mkdir(exist_ok=True)
    for pattern in patterns:
        files = sorted(module.glob(pattern))
        if not files:
            raise SystemExit(f"{module.name}: expected files like {pattern}, got none")
        for file in files:
            if file.suffix == ".json":
                shutil.copyfile(file, PROGRAMS / file.name)
                continue
            # files of a chart: the CRDs as they are, between an `if` and its `end`
            text = [line for line in file.read_text().splitlines() if not line.startswith("{{")]
            (CRDS / file.name).write_text("\n".join(text) + "\n")


def _unpack(name: str, version: str, architecture: str, digest: str) -> None:
    target = PROGRAMS / name
    if target.is_dir():
        return
    machine = subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True)
    if machine.stdout.strip() != architecture:
        raise SystemExit(f"{name}: expected {architecture} (requirements/debian.txt), got {machine.stdout.strip()}")
    package = f"{name}={version}"
    if subprocess.run(["apt-get", "download", "-qq", package], cwd=PROGRAMS, capture_output=True).returncode:
        subprocess.run([*_as_root(), "apt-get", "update", "-qq"], check=True)
        subprocess.run(["apt-get", "download", "-qq", package], cwd=PROGRAMS, check=True, capture_output=True)
    (file,) = PROGRAMS.glob(f"{name}_*.deb")
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != digest:
        raise SystemExit(f"{package}: expected {digest}, got {found}")
    subprocess.run(["dpkg-deb", "-x", file, target], check=True)
    file.unlink()


def _as_root() -> list[str]:
    return [] if os.geteuid() == 0 else ["sudo"]


if __name__ == "__main__":
    sys.exit(main())
