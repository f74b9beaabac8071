"""What decides whether the core runs compiled, what becomes of a build, and that compiled is the same service."""

from __future__ import annotations

import hashlib
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
from types import ModuleType

import pytest
from msgspec import Struct

from authz import COMPILED, compiled
from hatch_build import sources_of

ROOT = Path(__file__).parents[1]
SUFFIX = importlib.machinery.EXTENSION_SUFFIXES[0]
HOOK = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"][
    "custom"
]


def modules() -> Iterator[ModuleType]:
    """Those that are compiled."""
    for source in sources_of(ROOT, HOOK):
        yield importlib.import_module(".".join(Path(source).with_suffix("").parts).removesuffix(".__init__"))


# --------------------------------------------------------------------------------------------- which of them runs


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of one module that says which of its files it is; compiled, but for the libraries' content."""
    directory = tmp_path / "somewhere"
    directory.mkdir()
    (directory / "__init__.py").touch()
    source = directory / "module.py"
    source.write_text("WHICH = 'source'\n")
    made = {"suffix": SUFFIX, "sources": {"module.py": hashlib.sha256(source.read_bytes()).hexdigest()}}
    (directory / compiled.MANIFEST).write_text(json.dumps(made))
    (directory / f"module{SUFFIX}").touch()
    (tmp_path / f"somewhere__mypyc{SUFFIX}").touch()
    monkeypatch.setattr(sys, "path_hooks", list(sys.path_hooks))
    monkeypatch.setattr(compiled, "_load", lambda library: loaded.append(library))
    monkeypatch.delenv(compiled.VARIABLE)
    loaded.clear()
    return directory


loaded: list[Path] = []


def test_what_is_all_there_and_unchanged_runs(package: Path) -> None:
    hooks = list(sys.path_hooks)
    assert compiled.settle(package) is True
    assert loaded == [package.parent / f"somewhere__mypyc{SUFFIX}"]  # that one, whatever is on the path
    assert sys.path_hooks == hooks


@pytest.mark.parametrize("gone", [compiled.MANIFEST, f"module{SUFFIX}", f"../somewhere__mypyc{SUFFIX}"])
def test_a_part_of_it_is_as_good_as_nothing(package: Path, monkeypatch: pytest.MonkeyPatch, gone: str) -> None:
    (package / gone).unlink()
    assert compiled.settle(package) is False
    monkeypatch.syspath_prepend(str(package.parent))
    # the library is empty: whoever took it could not import it
    assert importlib.import_module("somewhere.module").WHICH == "source"
    del sys.modules["somewhere.module"], sys.modules["somewhere"]


def test_a_source_that_was_changed_runs_and_is_told_of(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (package / "module.py").write_text("WHICH = 'changed'\n")
    os.utime(package / "module.py", (0, 0))  # whatever its time says
    assert compiled.settle(package) is False
    assert capsys.readouterr().err == "module.py has changed since it was compiled: running interpreted\n"


def test_libraries_of_another_python_do_not_count(package: Path) -> None:
    made = json.loads((package / compiled.MANIFEST).read_text())
    (package / compiled.MANIFEST).write_text(json.dumps({**made, "suffix": ".cpython-27.so"}))
    assert compiled.settle(package) is False


@pytest.mark.parametrize(("said", "runs"), [("1", False), ("no", False), ("0", True), ("", True)])
def test_who_wants_the_sources_gets_them(package: Path, monkeypatch: pytest.MonkeyPatch, said: str, runs: bool) -> None:
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
    for module in modules():
        own = [one for one in vars(module).values() if isinstance(one, type) and one.__module__ == module.__name__]
        assert not [one for one in own if issubclass(one, Struct)], module


def test_every_pattern_names_a_file() -> None:
    for key in ("compiled", "interpreted"):
        assert [pattern for pattern in HOOK[key] if not list(ROOT.glob(pattern))] == []


@pytest.mark.skipif(not COMPILED, reason="for `make test-compiled`")
def test_all_of_it_is_compiled() -> None:
    for module in modules():
        assert str(module.__file__).endswith(SUFFIX)


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


NO_COMPILER: Mapping[str, str] = {"CC": "/nowhere/cc"}
BROKEN_COMPILER: Mapping[str, str] = {"CC": "/bin/false"}


def test_whoever_wants_none_gets_a_wheel_of_python(checkout: Path) -> None:
    code, _, names = build(checkout, MCP_AUTHZ_COMPILE="off", **NO_COMPILER)
    assert (code, names[0].endswith("-py3-none-any.whl")) == (0, True)
    assert "authz/engine.py" in names
    assert not [name for name in names if name.endswith(".so")]


def test_without_a_compiler_the_wheel_is_of_python_and_the_build_says_so(checkout: Path) -> None:
    code, said, names = build(checkout, **NO_COMPILER)
    assert (code, names[0].endswith("-py3-none-any.whl")) == (0, True)
    assert "not compiled, so a decision takes twice as long: expected a C compiler, got no /nowhere/cc" in said
    assert not [name for name in names if name.endswith(".so")]


def test_without_a_compiler_a_build_that_requires_one_fails(checkout: Path) -> None:
    code, said, names = build(checkout, MCP_AUTHZ_COMPILE="required", **NO_COMPILER)
    assert (code != 0, names) == (True, [])
    assert "the core cannot be compiled: expected a C compiler, got no /nowhere/cc" in said


def test_what_can_be_compiled_and_fails_is_an_error(checkout: Path) -> None:
    code, said, names = build(checkout, **BROKEN_COMPILER)
    assert (code != 0, names) == (True, [])
    assert "MCP_AUTHZ_COMPILE=off goes on without" in said
