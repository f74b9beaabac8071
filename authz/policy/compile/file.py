"""One policy document -> a policy, or every problem in it. It reads no file and knows no other policy."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from authz.errors import PolicyError, Problem
from authz.model import TargetKind
from authz.policy.arguments.check import inspect_definitions
from authz.policy.catalog.entry import UNKNOWN
from authz.policy.catalog.files import NO_CATALOGS, CatalogFile
from authz.policy.compile.approvals import ApprovalCompiler
from authz.policy.compile.caps import Cap, exceeded
from authz.policy.compile.catalog_use import CatalogUse
from authz.policy.compile.catalogued import CATEGORIES, Catalogued
from authz.policy.compile.findings import Findings
from authz.policy.compile.limits import LimitCompiler
from authz.policy.compile.review import Review
from authz.policy.compile.rules import RuleCompiler
from authz.policy.index import Index
from authz.policy.matching import Way, compile_matches, unused
from authz.policy.rules import Block, Compiled, Policy, Rule, SharedLimit
from authz.policy.selection import EVERY_SERVER
from authz.policy.text import schema
from authz.policy.text.document import Document, parse
from authz.policy.text.reader import MAX_PROBLEMS
from authz.policy.text.source import digest_of

SECTIONS: Mapping[str, TargetKind] = {
    "tools": TargetKind.TOOL,
    "prompts": TargetKind.PROMPT,
    "resources": TargetKind.RESOURCE,
    "methods": TargetKind.METHOD,
}
_BASELINE = "baseline"
MAX_GLOBS = 500  # of one section: pairs that cross are found in a tenth of a second


@dataclass(frozen=True, slots=True)
class PolicyContext:
    """What of the settings bears on how policies are read.

    `claims` has, for each identity source by name, the types of the claims that it declares; the first source is the
    default. `request_headers` are the headers that conditions may read, `select_by` what of `match`
    chooses a request's policy, in the order in which it is looked at. `forbid` is what files in a team's folder may
    not say.
    """

    claims: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: {"default": {}})
    request_headers: frozenset[str] = frozenset()
    select_by: tuple[Way, ...] = ()
    forbid: frozenset[Cap] = frozenset()


def broken_file(file: str, text: bytes, *problems: Problem) -> Compiled:
    """What a file is of which nothing can be used; its server is known by its place alone."""
    return Compiled(file, digest_of(text), _server_name(file, None), None, problems, baseline=is_baseline(file))


def compile_file(
    file: str, text: bytes, context: PolicyContext, catalogs: Mapping[str, CatalogFile] = NO_CATALOGS
) -> Compiled:
    """`text` of `file` (its place relative to the directory) -> what it is; never raises for what it says.

    `catalogs` are the catalogues by server.
    """
    try:
        document = parse(text, file)
    except PolicyError as error:
        return broken_file(file, text, *error.problems)
    misshapen = sorted([*document.problems, *schema.check(document)])
    # Beyond that many problems the schema does not say which blocks have one, and nothing may be taken from the file.
    if not isinstance(document.value, dict) or len(misshapen) >= MAX_PROBLEMS:
        return broken_file(file, text, *misshapen)
    return compile_document(document, digest_of(text), context, misshapen, catalogs)


def compile_document(
    document: Document,
    digest: str,
    context: PolicyContext,
    misshapen: Sequence[Problem] = (),
    catalogs: Mapping[str, CatalogFile] = NO_CATALOGS,
) -> Compiled:
    """`document`, of whose shape `misshapen` is all that is wrong -> what it is; `digest` is of the file's bytes."""
    return _FileCompiler(document, digest, context, misshapen, catalogs).compile()


def is_baseline(file: str) -> bool:
    """Whether `file`, a place relative to the directory, governs every server."""
    # Only in the directory itself: what a team writes must not stop all others (policies/README.md 10).
    return "/" not in file and file.startswith(_BASELINE)


def _server_name(file: str, given: object) -> str:
    """The server a file is for: what it says, else its stem; in a team's folder, always below the team's name."""
    path = PurePosixPath(file)
    name = given if isinstance(given, str) and given and given != EVERY_SERVER else path.stem
    team = path.parent.name
    return name if not team or name.startswith(f"{team}/") else f"{team}/{name}"


class _FileCompiler:
    """Compiles one document as far as its problems let it, so that all of them are found at once."""

    def __init__(
        self,
        document: Document,
        digest: str,
        context: PolicyContext,
        misshapen: Sequence[Problem],
        catalogs: Mapping[str, CatalogFile],
    ) -> None:
        self._raw: dict[str, Any] = document.value
        self._file = document.file
        self._digest = digest
        self._context = context
        self._baseline = is_baseline(self._file)
        self._findings = Findings(document, misshapen)
        # Of a key that is there twice, nobody can say which was meant.
        self._shadow = self._clear("shadow") is True
        self._server = EVERY_SERVER if self._baseline else _server_name(self._file, self._clear("server"))
        name = self._clear("identity")
        self._identity = name if isinstance(name, str) else ""
        self._definitions = {
            key: value
            for key, value in self._section("$defs").items()
            if not self._findings.is_misshapen(("$defs", key))
        }
        default = next(iter(context.claims))
        owner = (f"shadow {self._file}",) if self._shadow else ()
        claims = context.claims.get(self._identity, context.claims[default])
        headers = context.request_headers
        sources = tuple(context.claims)
        self._catalog = None if self._baseline else catalogs.get(self._server)
        names = tuple(self._section("tools"))
        self._catalogued = Catalogued(self._server, self._catalog, names, baseline=self._baseline)
        self._use = CatalogUse(self._findings, self._catalogued)
        self._review = Review(self._findings, self._catalogued)
        self._limits = LimitCompiler(
            self._findings,
            self._server,
            owner,
            catalogued=self._catalogued,
            use=self._use,
            claims=claims,
            headers=headers,
        )
        self._approvals = ApprovalCompiler(self._findings, self._definitions, sources)
        self._rules = RuleCompiler(
            self._findings,
            self._limits,
            self._approvals,
            catalogued=self._catalogued,
            use=self._use,
            review=self._review,
            defs=self._definitions,
            sources=sources,
            claims=claims,
            headers=headers,
        )

    def compile(self) -> Compiled:
        self._check_head()
        for found in inspect_definitions(self._definitions):
            self._findings.problem(found.path, found.message)
        sections = {kind: Index(self._blocks(name)) for name, kind in SECTIONS.items()}
        if CATEGORIES in self._raw:
            self._use.categories()
        categories = self._blocks(CATEGORIES)
        for name, kind in SECTIONS.items():
            if len(sections[kind].globs) > MAX_GLOBS:
                text = f"expected at most {MAX_GLOBS} globs, got {len(sections[kind].globs)}; every pair is compared"
                self._findings.problem((name,), text)
                continue
            for one, other in sections[kind].crossing():
                text = f"{one!r} and {other!r} can match the same name: both apply and the stricter outcome counts"
                self._findings.warn((name, one), text)
        given = self._raw.get("limits")
        shared = given if isinstance(given, list) else []
        tools = self._section("tools")
        whole = len(sections[TargetKind.TOOL].exact) + len(sections[TargetKind.TOOL].globs) == len(tools)
        known = sections[TargetKind.TOOL] if whole else None
        limits = self._limits.compile_shared(shared, known, baseline=self._baseline)
        default = None if self._baseline else self._default()
        self._look_over(shared, sections[TargetKind.TOOL], categories, default, limits)
        policy = None
        if not self._findings.problems:
            origins = self._raw.get("origins")
            policy = Policy(
                file=self._file,
                digest=self._digest,
                server=self._server,
                sections=sections,
                default=default,
                limits=limits,
                origins=None if origins is None else frozenset(origins),
                match=compile_matches(self._raw.get("match", [])),
                identity=self._identity,
                shadow=self._shadow,
                baseline=self._baseline,
                forbids_unnamed_continuations=_asks_unnamed(sections.values(), categories.values(), default),
                names=frozenset(key for name in SECTIONS if name != "methods" for key in self._section(name)),
                categories=categories,
                catalog=self._catalogued.known,
                catalog_version="" if self._catalog is None else self._catalog.version,
            )
        return Compiled(
            self._file,
            self._digest,
            self._server,
            policy,
            tuple(dict.fromkeys(self._findings.problems)),
            tuple(dict.fromkeys(self._findings.warnings)),
            self._shadow,
            self._baseline,
            catalog="" if self._catalog is None else self._catalog.state,
            needs_catalog=self._use.needed,
        )

    def _look_over(
        self,
        shared: Sequence[Mapping[str, Any]],
        tools: Index[Block],
        categories: Mapping[str, Block],
        default: Rule | None,
        limits: Sequence[SharedLimit],
    ) -> None:
        """Warnings of what does not go together; nothing is said of a file that does not load anyway."""
        if self._findings.problems:
            return
        if categories and "*" in tools.globs:
            self._findings.warn((CATEGORIES,), "never applies: '*' in tools matches every tool")
        if categories and UNKNOWN not in categories and default is not None and default.allows:
            text = "lacks Unknown beside default: allow: what the catalogue lacks, also if its file is gone, is allowed"
            self._findings.warn((CATEGORIES,), text)
        for section in ("tools", "prompts"):
            self._review.names(section, self._section(section))
        self._review.limits(shared)
        self._review.reach(shared, tools, categories, default)
        self._review.risks(tools, categories, default, limits)

    def _clear(self, key: str) -> Any:
        return None if self._findings.is_misshapen((key,)) else self._raw.get(key)

    def _is_unclear(self, section: str, key: str, raw: Any) -> bool:
        """Whether the block, or a definition that it may refer to, is misshapen: then more words would mislead."""
        missing = self._section("$defs").keys() - self._definitions.keys()
        return self._findings.is_misshapen((section, key)) or (bool(missing) and _refers(raw, missing))

    def _section(self, name: str) -> dict[str, Any]:
        value = self._raw.get(name)
        return value if isinstance(value, dict) else {}

    def _check_head(self) -> None:
        given = self._raw.get("server")
        if self._baseline:
            if given != EVERY_SERVER and not self._findings.is_misshapen(("server",)):
                text = "a file named baseline*.yaml governs every server: expected server: '*'"
                self._findings.problem(("server",), text)
            for key in ("default", "identity", "match"):
                if key in self._raw:
                    self._findings.problem((key,), "a baseline can only restrict and has no such key")
        elif given == EVERY_SERVER:
            text = "only files named baseline*.yaml, in the directory itself, may govern every server ('*')"
            self._findings.problem(("server",), text)
        if "/" in self._file:
            for path, refusal in exceeded(self._context.forbid, self._raw):
                self._findings.problem(path, refusal)
        if self._identity and self._identity not in self._context.claims:
            names = ", ".join(self._context.claims)
            text = f"expected one of the identity sources {names}, got {self._identity!r}"
            self._findings.problem(("identity",), text)
        if not self._findings.is_misshapen(("match",)):
            for at, way in unused(compile_matches(self._raw.get("match", [])), self._context.select_by):
                self._findings.warn(("match", at), f"is looked at only with the setting --select-by {way}")

    def _default(self) -> Rule:
        action = self._raw.get("default", "deny")
        approval = self._approvals.default() if action == "require_approval" else None
        return Rule("default", allows=action != "deny", approval=approval)

    def _blocks(self, section: str) -> dict[str, Block]:
        blocks: dict[str, Block] = {}
        if self._findings.is_misshapen(("identity",)):  # which says what claims there are
            return blocks
        for key, raw in self._section(section).items():
            if section == "resources" and _has_wild_authority(key):
                text = "* within the authority of a URI is refused: it could cross hosts"
                self._findings.problem((section, key), text)
            elif not self._is_unclear(section, key, raw):
                block = {"action": raw} if isinstance(raw, str) else raw
                blocks[key] = self._rules.compile_block(section, key, block)
        return blocks


def _refers(raw: Any, missing: Collection[str]) -> bool:
    """Whether anything in `raw` refers to one of the definitions `missing`."""
    if isinstance(raw, dict):
        name = str(raw.get("$ref", "")).removeprefix("#/$defs/")
        return name in missing or any(_refers(member, missing) for member in raw.values())
    return isinstance(raw, list) and any(_refers(entry, missing) for entry in raw)


def _asks_unnamed(sections: Iterable[Index[Block]], categories: Iterable[Block], default: Rule | None) -> bool:
    """Whether something asks for an approval without letting continuations through."""
    named = (block for one in sections for several in (one.exact, one.globs) for block in several.values())
    asked = default is not None and default.approval is not None
    return asked or any(block.asks and not block.continuations for block in (*named, *categories))


def _has_wild_authority(uri: str) -> bool:
    """`https://*.example/x` and the like: a `*` before the path of a scheme whose authority is looked at."""
    scheme, separator, rest = uri.partition("://")
    wild = "*" in rest.partition("/")[0]
    return bool(separator) and wild and scheme.lower() in ("http", "https", "file")
