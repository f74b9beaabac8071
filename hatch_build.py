"""Compiles the core where it is built or installed: the same Python files, by mypyc, in half the time for a decision.

What is compiled is named in pyproject.toml. A machine without a C compiler or Python's headers gets the same service
interpreted, and the service says which it is (authz/compiled.py). What can be compiled and fails is an error. With
`MCP_AUTHZ_COMPILE=required` so is a missing compiler; with `off` nothing is compiled.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

GROUP = "authz"  # the files of a group call each other directly, so all of them are one library
LIBRARIES = ("*.so", "*.pyd")
MANIFEST = "compiled.json"  # authz/compiled.py reads it


class CompileHook(BuildHookInterface):  # type: ignore[type-arg]  # hatchling leaves the parameter open
    """The hook `custom` of the wheel; an editable installation is one too."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and put what came of it into the wheel, or beside the sources of an editable installation."""
        root = Path(self.root)
        built = root / "build" / "compiled"
        editable = version == "editable"
        if editable:
            for made in (root / "authz" / MANIFEST, *libraries(root / "authz")):
                made.unlink(missing_ok=True)
        if not self._compile(root, built):
            return
        # the manifest last: without it nothing of an interrupted build counts
        for made in (*libraries(built / "lib"), built / "lib" / "authz" / MANIFEST):
            name = made.relative_to(built / "lib")
            if editable:
                shutil.copy2(made, root / name)
            else:
                build_data["force_include"][str(made)] = str(name)
        build_data["infer_tag"] = True
        build_data["pure_python"] = False

    def _compile(self, root: Path, built: Path) -> bool:
        """Whether the libraries are in `built` now. Raises RuntimeError."""
        wish = os.environ.get("MCP_AUTHZ_COMPILE", "")
        if wish == "off":
            return False
        missing = missing_tool()
        if missing:
            if wish == "required":
                raise RuntimeError(f"the core cannot be compiled: {missing}")
            self.app.display_warning(f"not compiled, so a decision takes twice as long: {missing}")
            return False
        sources = sources_of(root, self.config)
        digests = {
            Path(source).relative_to("authz").as_posix(): hashlib.sha256((root / source).read_bytes()).hexdigest()
            for source in sources
        }
        # A process of its own: mypyc ends its process where a file does not compile, and setuptools changes it.
        command = [sys.executable, __file__, str(built), *sources]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            said = (done.stdout + done.stderr).strip()[-4000:]
            raise RuntimeError(f"{said}\nthe core was not compiled; MCP_AUTHZ_COMPILE=off goes on without")
        manifest = {"suffix": sysconfig.get_config_var("EXT_SUFFIX"), "sources": digests}
        (built / "lib" / "authz" / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
        return True


def sources_of(root: Path, config: Mapping[str, Any]) -> list[str]:
    """The files that `compiled` names and `interpreted` does not, as paths below `root`."""
    named, spared = (
        {path for pattern in config[key] for path in root.glob(pattern)} for key in ("compiled", "interpreted")
    )
    return sorted(str(path.relative_to(root)) for path in named - spared)


def missing_tool() -> str:
    """What a compilation would need and is not here, "" where all is."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    if shutil.which(compiler) is None:
        return f"expected a C compiler, got no {compiler} (Debian: gcc and libc6-dev)"
    header = Path(sysconfig.get_path("include"), "Python.h")
    return "" if header.is_file() else f"expected Python's headers, got no {header} (Debian: python3-dev)"


def libraries(directory: Path) -> Iterator[Path]:
    """The compiled files below `directory`."""
    return (path for pattern in LIBRARIES for path in directory.rglob(pattern))


def compile_core(built: Path, sources: Sequence[str]) -> None:
    """`sources` (paths below the working directory) to libraries in `built`/lib: all anew, unless nothing changed."""
    from mypyc.build import mypycify
    from pybind11.setup_helpers import ParallelCompile
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    # Without debug information and the checkout's path in it, the same sources give the same bytes.
    extensions = mypycify(
        list(sources), opt_level="2", debug_level="0", multi_file=True, group_name=GROUP, target_dir=str(built / "c")
    )
    # mypyc leaves a file as it is whose content would be the same.
    written = max(path.stat().st_mtime_ns for path in (built / "c").rglob("*") if path.is_file())
    made = [path.stat().st_mtime_ns for path in libraries(built / "lib")]
    if len(made) == len(extensions) and min(made) > written:
        return
    shutil.rmtree(built / "lib", ignore_errors=True)
    ParallelCompile().install()
    command = build_ext(Distribution({"ext_modules": extensions}))
    command.build_lib, command.build_temp = str(built / "lib"), str(built / "o")
    command.finalize_options()
    command.run()


if __name__ == "__main__":
    compile_core(Path(sys.argv[1]), sys.argv[2:])
