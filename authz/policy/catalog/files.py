"""Catalogue files of a directory -> what is known of each server, with every problem (policies/README.md 10).

As with policies a file that breaks leaves its last good version in force; what a policy makes of it is not known here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from authz.errors import PolicyError, Problem
from authz.model import NO_TOOLS, KnownTools
from authz.policy.catalog.entry import Catalog
from authz.policy.catalog.known import known_tools
from authz.policy.catalog.load import FOLDER, parse_catalog, server_of
from authz.policy.text.source import digest_of

NO_CATALOGS: Mapping[str, CatalogFile] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class CatalogFile:
    """One catalogue file. `digest` is of its bytes now, `version` of those that `catalog` was read from.

    `catalog` is the last good version, None where there is none; `known` is what decisions need of it.
    """

    file: str
    digest: str
    server: str
    catalog: Catalog | None = None
    version: str = ""
    known: KnownTools = field(default=NO_TOOLS, repr=False)
    problems: tuple[Problem, ...] = ()

    @property
    def state(self) -> str:
        """What differs once a policy that was compiled with it has to be compiled again."""
        return self.version or "broken"


def expected_file(server: str) -> str:
    """Where the catalogue of `server` would be looked for."""
    team, slash, name = server.rpartition("/")
    return f"{team}{slash}{FOLDER}/{name}.yaml"


def load_catalogs(files: Mapping[str, bytes], previous: Mapping[str, CatalogFile]) -> dict[str, CatalogFile]:
    """`files` (place relative to the directory -> content) and what was known before -> what is known now, by file."""
    loaded = {}
    for file, text in sorted(files.items()):
        before = previous.get(file)
        same = before is not None and before.digest == digest_of(text)
        loaded[file] = before if before is not None and same else _load(file, text, before)
    return _without_rivals(loaded)


def by_server(catalogs: Mapping[str, CatalogFile]) -> dict[str, CatalogFile]:
    """The catalogue of each server that has one."""
    return {one.server: one for one in catalogs.values()}


def _load(file: str, text: bytes, before: CatalogFile | None) -> CatalogFile:
    digest = digest_of(text)
    try:
        catalog = parse_catalog(text, file)
    except PolicyError as error:
        last = before or CatalogFile(file, digest, server_of(file))
        return replace(last, digest=digest, problems=error.problems)
    return CatalogFile(file, digest, catalog.server, catalog, digest, known_tools(catalog))


def _without_rivals(loaded: dict[str, CatalogFile]) -> dict[str, CatalogFile]:
    """Where several files are for one server, none counts: nobody can say which was meant."""
    claims: dict[str, list[str]] = defaultdict(list)
    for file, one in loaded.items():
        claims[one.server].append(file)
    for server, files in claims.items():
        for file in files if len(files) > 1 else ():
            others = ", ".join(other for other in files if other != file)
            text = f"server {server!r} has another catalogue in {others}; only one file may be for it"
            problem = Problem(file, 0, 0, "", text)
            # No digest: it is read again as soon as the rival may be gone.
            loaded[file] = CatalogFile(file, "", server, problems=(problem,))
    return loaded
