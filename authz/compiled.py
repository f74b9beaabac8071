"""Whether the core runs compiled (hatch_build.py) or as the Python that lies beside it; settled before any of it.

All of it or nothing: compiled files call each other directly, so one that was read as Python would be there twice.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, ExtensionFileLoader, FileFinder, SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

VARIABLE = "MCP_AUTHZ_INTERPRETED"  # set to 1 for a debugger, or to measure coverage
MANIFEST = "compiled.json"  # of the package: the ending of its libraries, and the digests of what was compiled


def settle(package: Path) -> bool:
    """Whether the compiled core in `package` runs: if all of it is there, unchanged, and the sources are not wanted."""
    manifest = package / MANIFEST
    if manifest.is_file() and os.environ.get(VARIABLE, "0") in ("", "0"):
        made = json.loads(manifest.read_bytes())
        library = package.parent / f"{package.name}__mypyc{made['suffix']}"
        changed = next((name for name, digest in made["sources"].items() if _digest(package / name) != digest), "")
        shims = [(package / name).with_suffix(made["suffix"]) for name in made["sources"]]
        if changed:
            print(f"{changed} has changed since it was compiled: running interpreted", file=sys.stderr)
        elif made["suffix"] in EXTENSION_SUFFIXES and all(path.is_file() for path in (library, *shims)):
            _load(library)
            return True
    _import_sources(str(package))
    return False


def _digest(source: Path) -> str:
    return hashlib.sha256(source.read_bytes()).hexdigest() if source.is_file() else ""


def _load(library: Path) -> None:
    """Load what all compiled files are in: this very file, whatever else of its name `sys.path` leads to."""
    name = library.name.partition(".")[0]
    spec = spec_from_file_location(name, library, loader=ExtensionFileLoader(name, str(library)))
    if spec is None or spec.loader is None:
        raise ImportError(f"expected a library, got {library}")
    sys.modules[name] = module = module_from_spec(spec)
    spec.loader.exec_module(module)


def _import_sources(directory: str) -> None:
    """From now on import no extension modules from `directory` and below."""

    def finder(path: str) -> FileFinder:
        if path != directory and not path.startswith(directory + os.sep):
            raise ImportError(path)  # how a path hook says that a path is not its own
        return FileFinder(path, (SourceFileLoader, SOURCE_SUFFIXES))

    sys.path_hooks.insert(0, finder)
    for path in [known for known in sys.path_importer_cache if known.startswith(directory)]:
        del sys.path_importer_cache[path]
