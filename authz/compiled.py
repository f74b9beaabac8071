"""Whether the core runs compiled (hatch_build.py) or as the Python that lies beside it; settled before any of it.

All of it or nothing: a compiled file calls its neighbours directly, so one that is read as Python would be there twice.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from pathlib import Path

VARIABLE = "MCP_AUTHZ_INTERPRETED"  # set to 1 for a debugger, or to measure coverage


def settle(package: Path) -> bool:
    """Whether the compiled core below `package` runs: if there is one, and unless it is not wanted or out of date."""
    libraries = list(package.rglob(f"*{EXTENSION_SUFFIXES[0]}"))
    if not libraries:
        return False
    stale = next((path for path in libraries if _is_stale(path)), None) if _is_checkout(package) else None
    if stale is None and os.environ.get(VARIABLE, "0") in ("", "0"):
        return True
    if stale is not None:
        print(f"{stale.name} is older than its source: running interpreted (`make .venv/compiled`)", file=sys.stderr)
    _import_sources(str(package))
    return False


def _is_checkout(package: Path) -> bool:
    """Whether somebody may edit the sources; installed files have whatever times their archive was unpacked with."""
    return (package.parent / "pyproject.toml").exists()


def _is_stale(library: Path) -> bool:
    source = library.with_name(library.name.removesuffix(EXTENSION_SUFFIXES[0]) + SOURCE_SUFFIXES[0])
    return not source.exists() or source.stat().st_mtime_ns > library.stat().st_mtime_ns


def _import_sources(directory: str) -> None:
    """From now on import no extension modules from `directory` and below."""

    def finder(path: str) -> FileFinder:
        if path != directory and not path.startswith(directory + os.sep):
            raise ImportError(path)  # how a path hook says that a path is not its own
        return FileFinder(path, (SourceFileLoader, SOURCE_SUFFIXES))

    sys.path_hooks.insert(0, finder)
    for path in [known for known in sys.path_importer_cache if known.startswith(directory)]:
        del sys.path_importer_cache[path]
