"""What the catalogue says to the compiler of one policy file: which tools a block governs, and what each takes."""

from __future__ import annotations

from collections.abc import Sequence

from authz.model import NO_TOOLS, KnownTools
from authz.policy.arguments.schema import Schema
from authz.policy.catalog.entry import UNKNOWN, Catalog, CatalogTool
from authz.policy.catalog.files import CatalogFile, expected_file
from authz.policy.catalog.strict import StrictSchema
from authz.policy.catalog.written import WrittenError, plain
from authz.policy.compile.offered import OfferedTypes
from authz.policy.index import Index, glob_matches
from authz.policy.text.suggestion import did_you_mean

TOOLS, CATEGORIES = "tools", "categories"
GOVERNED = (TOOLS, CATEGORIES)  # the sections whose blocks are about tools


class Catalogued:
    """Answers for one file, whose section `tools` has `names`. Of a baseline, for many servers, nothing is known."""

    def __init__(self, server: str, file: CatalogFile | None, names: Sequence[str], *, baseline: bool) -> None:
        self._file = None if baseline else file
        self._expected = expected_file(server)
        self._baseline = baseline
        # Without a catalogue nobody asks, and a set of a thousand files pays for nothing.
        self._named = Index({name: name for name in names if self.catalog})
        self._plain: dict[str, Schema | None] = {}
        self._tools: dict[str, list[CatalogTool]] = {}  # by the name or glob that is chosen for them, "" for none
        for tool in self.catalog.tools.values() if self.catalog else ():
            for key in self._named.find(tool.name) or ("",):
                self._tools.setdefault(key, []).append(tool)

    @property
    def catalog(self) -> Catalog | None:
        """The catalogue of the server, None where there is none that can be used."""
        return None if self._file is None else self._file.catalog

    @property
    def known(self) -> KnownTools:
        """What decisions need of it."""
        return NO_TOOLS if self._file is None else self._file.known

    @property
    def refusal(self) -> str:
        """Why nothing may be decided by the catalogue, "" where it may."""
        if self._file is None or self._file.catalog is not None:
            return ""
        return f"needs the catalogue {self._file.file}, which does not load"

    @property
    def lack(self) -> str:
        """What is to be said where a catalogue is needed and none is there, else ""."""
        if self._baseline or self._file is not None:
            return ""
        return f"there is no catalogue of this server ({self._expected}): every tool is {UNKNOWN}"

    def governed(self, section: str, key: str) -> list[CatalogTool]:
        """The tools of the catalogue that the block `key` of `section` is chosen for."""
        if section == TOOLS:
            return self._tools.get(key, [])
        return [tool for tool in self.unnamed() if key in tool.categories]

    def unnamed(self) -> list[CatalogTool]:
        """The tools of the catalogue that no name or glob matches."""
        return self._tools.get("", [])

    def offered(self, section: str, key: str) -> OfferedTypes | None:
        """The types that the block `key` may take, None where the catalogue knows none of its tools."""
        tools = self.governed(section, key) if section in GOVERNED else []
        return OfferedTypes([self._schema(tool) for tool in tools]) if tools else None

    def offered_to(self, name: str) -> OfferedTypes | None:
        """The same for all tools that a name or glob of a limit stands for."""
        tools = [
            tool for tool in (self.catalog.tools.values() if self.catalog else ()) if glob_matches(name, tool.name)
        ]
        return OfferedTypes([self._schema(tool) for tool in tools]) if tools else None

    def strict_problem(self, section: str, key: str) -> str:
        """Why `strict_arguments` can hold for no call of the block, "" where it can."""
        if section not in GOVERNED:
            return f"only tools are in the catalogue, {section} are not"
        if self._baseline:
            return ""
        if self.refusal:
            return self.refusal
        if (section, key) == (CATEGORIES, UNKNOWN):
            return "a tool that the catalogue lacks has no input schema: no call would ever pass"
        if section == CATEGORIES or "*" in key:
            return ""
        tool = self.catalog.tools.get(key) if self.catalog else None
        if tool is None:
            known = self.catalog.tools if self.catalog else ()
            where = f"the catalogue {self._file.file}" if self._file else f"a catalogue ({self._expected})"
            return f"needs {where} with the tool {key!r}{did_you_mean(key, known)}"
        if tool.input_schema is None:
            return f"needs an input schema of {key!r} in the catalogue"
        problem = StrictSchema(tool.input_schema).problem
        return f"the catalogue's input schema of {key!r} cannot be checked: {problem}" if problem else ""

    def unchecked(self, section: str, key: str) -> list[tuple[str, str]]:
        """Tools of a glob or category that `strict_arguments` denies altogether, each with why."""
        found = []
        for tool in self.governed(section, key):
            lacking = "it has no input schema"
            problem = lacking if tool.input_schema is None else StrictSchema(tool.input_schema).problem
            if problem:
                found.append((tool.name, problem))
        return found

    def _schema(self, tool: CatalogTool) -> Schema | None:
        if tool.name not in self._plain:
            try:
                self._plain[tool.name] = None if tool.input_schema is None else plain(tool.input_schema)
            except WrittenError:
                self._plain[tool.name] = None
        return self._plain[tool.name]
