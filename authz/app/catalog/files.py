"""Catalogues and starter policies as files: where they are, how they are read, and how they are replaced whole."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from authz.app.phrases import reason
from authz.errors import PolicyError, SettingsError
from authz.policy.catalog.entry import Catalog
from authz.policy.catalog.load import FOLDER, parse_catalog
from authz.policy.text.document import MAX_BYTES, parse


def catalog_name(server: str) -> str:
    """Where the catalogue of `server` is, relative to the directory of policies."""
    team, _, name = server.rpartition("/")
    return f"{team}/{FOLDER}/{name}.yaml" if team else f"{FOLDER}/{name}.yaml"


def read_catalog(directory: Path, server: str) -> Catalog | None:
    """The catalogue of `server`; None where there is none. Raises PolicyError, or SettingsError if it is unreadable."""
    name = catalog_name(server)
    try:
        text = (directory / name).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SettingsError(f"{directory / name}: cannot be read: {reason(error)}") from error
    return parse_catalog(text, name)


def all_catalogs(directory: Path) -> Iterator[Catalog]:
    """Every catalogue below `directory`, by name; raises PolicyError for one that cannot be used."""
    for path in sorted([*directory.glob(f"{FOLDER}/*.yaml"), *directory.glob(f"*/{FOLDER}/*.yaml")]):
        yield parse_catalog(path.read_bytes(), path.relative_to(directory).as_posix())


def policy_of(directory: Path, server: str) -> Path | None:
    """The policy file that is there for `server`, whichever its name; None where there is none."""
    team, _, name = server.rpartition("/")
    own = directory / team / f"{name}.yaml"
    if own.exists():
        return own
    for path in sorted((directory / team).glob("*.yaml")):
        if not path.name.endswith("_test.yaml") and _says(path) in (server, name):
            return path
    return None


def _says(path: Path) -> str:
    """The server that a policy file names, "" where it names none or cannot be read."""
    try:
        value = parse(path.read_bytes(), path.name).value
    except (OSError, PolicyError):
        return ""
    named = value.get("server") if isinstance(value, dict) else None
    return named if isinstance(named, str) else ""


def write_whole(path: Path, text: str) -> None:
    """Put `text` in place of what is at `path`, all at once: who reads sees one or the other. Raises SettingsError."""
    data = text.encode()
    if len(data) > MAX_BYTES:
        raise SettingsError(f"{path}: not written: expected at most {MAX_BYTES} bytes, got {len(data)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".new")
        try:
            with os.fdopen(handle, "wb") as file:
                os.fchmod(file.fileno(), 0o644)
                file.write(data)
            os.replace(beside, path)
        except BaseException:
            os.unlink(beside)
            raise
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written: {reason(error)}") from error
