"""Compiles the core where it is built or installed: the same Python files, by mypyc, in half the time for a decision.

What is compiled is named in pyproject.toml. A machine without a C compiler gets the same service interpreted, and the
service says which it is (authz/compiled.py). With `MCP_AUTHZ_COMPILE=required` a failure ends the build, with `off`
nothing is compiled.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

GROUP = "authz"  # the files of a group call each other directly, so all of them are one library
LIBRARIES = ("*.so", "*.pyd")


class CompileHook(BuildHookInterface):  # type: ignore[type-arg]  # hatchling leaves the parameter open
    """The hook `custom` of the wheel; an editable installation is one too."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and put what came of it into the wheel, or beside the sources of an editable installation."""
        root = Path(self.root)
        built = root / "build" / "compiled"
        editable = version == "editable"
        if editable:
            for library in libraries(root / "authz"):
                library.unlink()
        if not self._compile(root, built):
            return
        for library in libraries(built / "lib"):
            name = library.relative_to(built / "lib")
            if editable:
                shutil.copy2(library, root / name)
            else:
                build_data["force_include"][str(library)] = str(name)
        build_data["infer_tag"] = True
        build_data["pure_python"] = False

    def _compile(self, root: Path, built: Path) -> bool:
        """Whether the libraries are in `built` now."""
        wish = os.environ.get("MCP_AUTHZ_COMPILE", "")
        if wish == "off":
            return False
        shutil.rmtree(built / "lib", ignore_errors=True)
        # A process of its own: mypyc ends its process where a file does not compile, and setuptools changes it.
        command = [sys.executable, __file__, str(built), *self._sources(root)]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode == 0:
            return True
        said = (done.stdout + done.stderr).strip()
        if wish == "required":
            raise RuntimeError(f"the core cannot be compiled:\n{said[-4000:]}")
        self.app.display_warning(f"not compiled, so a decision takes twice as long: {said.splitlines()[-1]}")
        return False

    def _sources(self, root: Path) -> list[str]:
        """The files that `compiled` names and `interpreted` does not, as paths below `root`."""
        named, spared = (
            {path for pattern in self.config[key] for path in root.glob(pattern)} for key in ("compiled", "interpreted")
        )
        return sorted(str(path.relative_to(root)) for path in named - spared)


def libraries(directory: Path) -> Iterator[Path]:
    """The compiled files below `directory`."""
    return (path for pattern in LIBRARIES for path in directory.rglob(pattern))


def compile_core(built: Path, sources: Sequence[str]) -> None:
    """`sources` (paths below the working directory) to libraries in `built`/lib; what did not change is not redone."""
    from mypyc.build import mypycify
    from pybind11.setup_helpers import ParallelCompile
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    ParallelCompile().install()
    # Without debug information and the checkout's path in it, the same sources give the same bytes.
    extensions = mypycify(
        list(sources), opt_level="2", debug_level="0", multi_file=True, group_name=GROUP, target_dir=str(built / "c")
    )
    command = build_ext(Distribution({"ext_modules": extensions}))
    command.build_lib, command.build_temp = str(built / "lib"), str(built / "o")
    command.finalize_options()
    command.run()


if __name__ == "__main__":
    compile_core(Path(sys.argv[1]), sys.argv[2:])
