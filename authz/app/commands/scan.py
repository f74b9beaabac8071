"""`mcp-authz scan URL | -- COMMAND…`: a server -> its catalogue, a policy to start from, and what has changed since."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from authz.app.catalog.files import catalog_name, policy_of, read_catalog, write_whole
from authz.app.catalog.page import show, summary
from authz.app.catalog.words import visible
from authz.app.commands.catalog import console
from authz.app.phrases import counted
from authz.errors import SettingsError
from authz.policy.catalog.entry import Catalog
from authz.policy.catalog.renew import Change, renew
from authz.policy.catalog.starter import starter_policy
from authz.policy.catalog.write import write_catalog

if TYPE_CHECKING:
    from authz.app.catalog.connect import Place
    from authz.app.catalog.reading import Found

_SERVER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")
_LAST_WORDS = 400  # characters of what a command said on standard error


@dataclass(frozen=True, slots=True)
class Scan:
    """What was typed. `words`: a URL, or a command. `seconds` bounds the whole scan."""

    words: Sequence[str]
    directory: Path
    server: str = ""
    headers: Sequence[str] = ()
    token_file: Path | None = None
    token_variable: str = ""
    environment: Sequence[str] = ()
    source: Sequence[str] = ()
    seconds: float = 60.0
    check: bool = False
    sources: Mapping[str, str] = field(default_factory=dict)


def run(scan: Scan) -> int:
    """0 when done, with `check` 1 where the server is no longer as catalogued. Raises AuthzError where it cannot be."""
    started = time.monotonic()
    try:
        from authz.app.catalog.cataloguing import catalogue
    except ModuleNotFoundError as error:
        raise SettingsError(f"scan: expected its extra, pip install '.[scan]', got no {error.name}") from error
    place = _place(scan)
    found = _read(place, scan.seconds)
    server = _server(scan, found)
    catalog, notes = catalogue(found, server, _source(scan, found))
    old = read_catalog(scan.directory, server)
    kept, changes = renew(old, catalog)
    if scan.check:
        if old is None:
            raise SettingsError(f"{scan.directory / catalog_name(server)}: not there, so nothing to check against")
        return _check(server, changes)
    _write(scan.directory, kept)
    terminal = console()
    show(terminal, kept)
    for note in notes:
        terminal.print(Text(f"note: {note}"))
    for line in _diff(changes):
        terminal.print(Text(line))
    terminal.print(Text(f"scanned in {time.monotonic() - started:.1f} s"))
    return 0


def _check(server: str, changes: Sequence[Change]) -> int:
    for line in _diff(changes):
        print(line)
    if changes:
        print(f"{server}: {counted(len(changes), 'change')} since it was catalogued", file=sys.stderr)
        return 1
    print(f"{server}: as catalogued")
    return 0


def _diff(changes: Sequence[Change]) -> Iterator[str]:
    for change in changes:
        again = ": it was reviewed as it was before, look again" if change.reviewed else ""
        yield f"{change.kind.value}: {change.what} {visible(change.name, 200)}{again}"


def _write(directory: Path, catalog: Catalog) -> None:
    file = directory / catalog_name(catalog.server)
    write_whole(file, write_catalog(catalog))
    print(f"wrote {file}: {summary(catalog)}")
    policy = policy_of(directory, catalog.server)
    if policy is not None:
        print(f"kept  {policy}: a policy is never written over")
        return
    team, _, name = catalog.server.rpartition("/")
    policy = directory / team / f"{name}.yaml"
    write_whole(policy, starter_policy(catalog, file.name))
    print(f"wrote {policy}: to start from; everything else is denied")


def _place(scan: Scan) -> Place:
    from authz.app.catalog.connect import Place, checked

    if not scan.words:
        raise SettingsError("scan: expected a URL, or -- and the command that starts the server")
    headers = {}
    for text in scan.headers:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            raise SettingsError(f"scan --header: expected NAME: VALUE, got {text!r}")
        headers[name.strip().lower()] = value.strip()
    token = _token(scan)
    if token:
        headers["authorization"] = f"Bearer {token}"
    if len(scan.words) == 1 and "://" in scan.words[0]:
        return Place(url=checked(scan.words[0]), headers=headers)
    if headers:
        raise SettingsError("scan: headers and tokens are for URLs; what a command needs goes by --env NAME=VALUE")
    return Place(command=tuple(scan.words), environment=_pairs("--env", scan.environment))


def _token(scan: Scan) -> str:
    if scan.token_file is not None:
        try:
            return scan.token_file.read_text().strip()
        except OSError as error:
            raise SettingsError(f"{scan.token_file}: cannot be read: {(error.strerror or '').lower()}") from error
    if scan.token_variable:
        try:
            return os.environ[scan.token_variable].strip()
        except KeyError:
            raise SettingsError(f"scan --token-env: {scan.token_variable!r} is not set") from None
    return ""


def _pairs(flag: str, texts: Sequence[str]) -> Mapping[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise SettingsError(f"scan {flag}: expected NAME=VALUE, got {text!r}")
        pairs[name] = value
    return pairs


def _server(scan: Scan, found: Found) -> str:
    name = scan.server or re.sub(r"[^A-Za-z0-9._-]+", "-", found.name).strip("-.").lower()
    if not _SERVER.fullmatch(name) or len(name) > 128:
        raise SettingsError(f"scan --server: expected letters, digits and . _ - (or TEAM/NAME), got {name!r}")
    return name


def _source(scan: Scan, found: Found) -> Mapping[str, str]:
    source = dict(_pairs("--source", scan.source))
    if not source and found.version:
        source["version"] = visible(found.version, 64)
    return source


def _read(place: Place, seconds: float) -> Found:
    """All that the server lists; raises SettingsError that says what went wrong, in its own last words too."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        try:
            return asyncio.run(_within(place, seconds, errors))
        except KeyboardInterrupt:
            raise
        except (Exception, BaseExceptionGroup) as error:
            where = place.url or place.command[0]
            text = f"scan: {where}: {_said(error, seconds)}"
            errors.seek(0, os.SEEK_END)
            errors.seek(max(errors.tell() - 4 * _LAST_WORDS, 0))
            last = visible(errors.read()).strip()[-_LAST_WORDS:]
            raise SettingsError(f"{text}\n{last}" if last else text) from error


async def _within(place: Place, seconds: float, errors: object) -> Found:
    import logging

    from authz.app.catalog.connect import connect
    from authz.app.catalog.reading import read_all

    # The SDK logs with tracebacks each line of a server that is no message.
    logging.getLogger("mcp").setLevel(logging.CRITICAL)
    async with asyncio.timeout(seconds), connect(place, seconds=seconds, errors=errors) as client:  # type: ignore[arg-type]
        return await read_all(client)


def _said(error: BaseException, seconds: float) -> str:
    """The cause in the words of whoever gave it, made visible: a server may have written them."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, TimeoutError):
        return f"did not finish within {seconds:g} s"
    return visible(str(error), _LAST_WORDS) or type(error).__name__
