"""What decides whether the core runs compiled, what becomes of a build, and that compiled is the same service."""

from __future__ import annotations

import importlib
import importlib.machinery
import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from msgspec import Struct

from authz import COMPILED, compiled

ROOT = Path(__file__).parents[1]
SUFFIX = importlib.machinery.EXTENSION_SUFFIXES[0]
HOOK = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"][
    "custom"
]


def sources() -> Iterator[Path]:
    """The files that are compiled."""
    named, spared = ({path for pattern in HOOK[key] for path in ROOT.glob(pattern)} for key in HOOK if key != REQUIRE)
    return iter(sorted(named - spared))


REQUIRE = "require-runtime-dependencies"


# --------------------------------------------------------------------------------------------- which of them runs


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of one module that says which of its two files it is; only the source is there."""
    directory = tmp_path / "somewhere"
    directory.mkdir()
    (directory / "__init__.py").touch()
    (directory / "module.py").write_text("WHICH = 'source'\n")
    monkeypatch.setattr(sys, "path_hooks", list(sys.path_hooks))
    monkeypatch.delenv(compiled.VARIABLE)
    return directory


def library(package: Path, *, age: float) -> None:
    """Put a library beside the source, so many seconds older than that (an extension module of Python itself)."""
    path = package / f"module{SUFFIX}"
    path.touch()
    changed = (package / "module.py").stat().st_mtime - age
    os.utime(path, (changed, changed))


def test_without_libraries_the_sources_run(package: Path) -> None:
    assert compiled.settle(package) is False


def test_libraries_that_are_newer_than_their_sources_run(package: Path) -> None:
    (package.parent / "pyproject.toml").touch()
    library(package, age=-1)
    hooks = list(sys.path_hooks)
    assert compiled.settle(package) is True
    assert sys.path_hooks == hooks


def test_a_checkout_runs_a_source_that_was_changed_and_says_so(
    package: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (package.parent / "pyproject.toml").touch()
    library(package, age=1)
    assert compiled.settle(package) is False
    assert capsys.readouterr().err.startswith(f"module{SUFFIX} is older than its source: running interpreted")
    monkeypatch.syspath_prepend(str(package.parent))
    # the library is empty: whoever took it could not import it
    assert importlib.import_module("somewhere.module").WHICH == "source"


def test_an_installation_does_not_look_at_times(package: Path) -> None:
    library(package, age=1)
    assert compiled.settle(package) is True


@pytest.mark.parametrize(("said", "runs"), [("1", False), ("0", True), ("", True)])
def test_who_wants_the_sources_gets_them(package: Path, monkeypatch: pytest.MonkeyPatch, said: str, runs: bool) -> None:
    library(package, age=-1)
    monkeypatch.setenv(compiled.VARIABLE, said)
    assert compiled.settle(package) is runs


def test_the_program_says_which_it_is() -> None:
    command = [sys.executable, "-m", "authz.app.cli", "version", "--format", "json"]
    for said in ("1", "0"):
        done = subprocess.run(  # noqa: S603  # this Python
            command, env={**os.environ, compiled.VARIABLE: said}, capture_output=True, check=True
        )
        if said == "1":
            assert json.loads(done.stdout)["compiled"] is False
        elif COMPILED:
            assert json.loads(done.stdout)["compiled"] is True


# --------------------------------------------------------------------------------------------- what is compiled


def test_no_class_that_msgspec_makes_is_compiled() -> None:
    """mypyc does not pass the words of a class on: it would be neither frozen nor out of the collector's sight."""
    for path in sources():
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        module = importlib.import_module(name)
        own = [one for one in vars(module).values() if isinstance(one, type) and one.__module__ == name]
        assert not [one for one in own if issubclass(one, Struct)], path


def test_every_pattern_names_a_file() -> None:
    for key in ("compiled", "interpreted"):
        assert [pattern for pattern in HOOK[key] if not list(ROOT.glob(pattern))] == []


@pytest.mark.skipif(not COMPILED, reason="for `make test-compiled`")
def test_all_of_it_is_compiled() -> None:
    for path in sources():
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        assert str(importlib.import_module(name).__file__).endswith(SUFFIX)


# --------------------------------------------------------------------------------------------- what is built


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a wheel is built from."""
    root = tmp_path_factory.mktemp("checkout")
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "authz", "policies"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        else:
            shutil.copy(source, root)
    return root


def build(checkout: Path, **environ: str) -> tuple[int, str, list[str]]:
    """Exit code, what was said, and what is in the wheel."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    shutil.rmtree(checkout / "dist", ignore_errors=True)
    done = subprocess.run(  # noqa: S603  # this Python
        command, cwd=checkout, env={**os.environ, **environ}, capture_output=True, text=True, check=False
    )
    wheels = list((checkout / "dist").glob("*.whl"))
    names = [wheels[0].name, *zipfile.ZipFile(wheels[0]).namelist()] if wheels else []
    return done.returncode, done.stdout + done.stderr, names


NO_COMPILER: Mapping[str, str] = {"CC": "/bin/false"}


def test_whoever_wants_none_gets_a_wheel_of_python(checkout: Path) -> None:
    code, _, names = build(checkout, MCP_AUTHZ_COMPILE="off", **NO_COMPILER)
    assert (code, names[0].endswith("-py3-none-any.whl")) == (0, True)
    assert "authz/engine.py" in names
    assert not [name for name in names if name.endswith(".so")]


def test_without_a_compiler_the_wheel_is_of_python_and_the_build_says_so(checkout: Path) -> None:
    code, said, names = build(checkout, **NO_COMPILER)
    assert (code, names[0].endswith("-py3-none-any.whl")) == (0, True)
    assert "not compiled, so a decision takes twice as long" in said
    assert not [name for name in names if name.endswith(".so")]


def test_without_a_compiler_a_build_that_requires_one_fails(checkout: Path) -> None:
    code, said, names = build(checkout, MCP_AUTHZ_COMPILE="required", **NO_COMPILER)
    assert code != 0
    assert "the core cannot be compiled" in said
    assert names == []
