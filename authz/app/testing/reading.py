"""The text of a `*_test.yaml` file -> its cases, or every problem in it. Plays nothing and knows no policy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from authz.app.callers import Caller
from authz.app.testing.asking import CALLS, SHAPING, WITH_ARGUMENTS, Unaskable, request_of
from authz.app.testing.cases import Case, Saying, Step, Wanted
from authz.errors import PolicyError, Problem
from authz.identity import Identities
from authz.model import Effect, Reason
from authz.policy.compile.duration import parse_window
from authz.policy.text import schema
from authz.policy.text.document import Document, Path, parse
from authz.policy.text.suggestion import did_you_mean
from authz.state.approvals import Refusal

SCHEMA = "test_schema.json"

_BEGIN = 1767268800.0  # 2026-01-01T12:00:00Z: windows that are aligned to the clock begin in it, everywhere
_LAID = ("arguments", "params", "meta", "headers")  # laid over member by member
_MOMENT = ("advance", "approve", "deny", "comment", "refused", "repeat")
_OUTCOME = ("expect", "reason", "rule", "text", "detail", "answer", "owes", "approvers", "retry_after")
_PERSON = ("groups", "scopes")


@dataclass(frozen=True, slots=True)
class CaseFile:
    """One test file: its cases (none where it has problems)."""

    file: str
    cases: tuple[Case, ...] = ()
    problems: tuple[Problem, ...] = ()


def read_cases(text: bytes, file: str, policy: str, server: str | None, identities: Identities) -> CaseFile:
    """The cases in `text` of `file`.

    `policy` is the policy file it stands beside, "" if there is none, and `server` that policy's, None where there is
    none or it governs none of its own.
    """
    try:
        document = parse(text, file, nullable=_may_be_null)
    except PolicyError as error:
        return CaseFile(file, problems=error.problems)
    problems = sorted([*document.problems, *schema.check(document, SCHEMA)])
    if problems:
        return CaseFile(file, problems=tuple(problems))
    reader = _Reader(document, policy, server, identities)
    cases = tuple(reader.cases())
    return CaseFile(file, () if reader.problems else cases, tuple(sorted(reader.problems)))


class _Reader:
    """Reads one well-formed document."""

    def __init__(self, document: Document, policy: str, server: str | None, identities: Identities) -> None:
        self.problems: list[Problem] = []
        self._document = document
        self._raw: Mapping[str, Any] = document.value
        self._identities = identities
        self._server = self._raw.get("server", server)
        self._policy = policy
        self._people: dict[str, Caller] = {}
        for name, raw in self._raw.get("principals", {}).items():
            self._people[name] = self._caller(("principals", name), raw, name)

    def cases(self) -> Iterator[Case]:
        names: set[str] = set()
        for path, name, members in self._tabulated():
            if name in names:
                self._problem((*path, "name"), f"the name {name!r} is used twice")
            names.add(name)
            case = self._case(path, name, members)
            if case is not None:
                yield case

    def _problem(self, path: Path, text: str) -> None:
        self.problems.append(self._document.problem(path, text))

    def _tabulated(self) -> Iterator[tuple[Path, str, dict[str, Any]]]:
        """Each case, and in place of a table each of its variants: where it is, its name, its members."""
        defaults = self._raw.get("defaults", {})
        for at, raw in enumerate(self._raw["cases"]):
            path: Path = ("cases", at)
            members = overlay(defaults, raw)
            variants = members.pop("variants", None)
            if variants is None:
                yield path, raw["name"], members
                continue
            for number, variant in enumerate(variants):
                name = f"{raw['name']} [{variant.get('name', number + 1)}]"
                yield (*path, "variants", number), name, overlay(members, variant)

    def _case(self, path: Path, name: str, members: dict[str, Any]) -> Case | None:
        noted = len(self.problems)
        steps: list[Step] = []
        begin = self._time((*path, "time"), members.pop("time", None))
        moments = members.pop("steps", None)
        if moments is None:
            if "expect" not in members:
                self._problem(path, "missing key 'expect', expected one of allow, deny")
            else:
                steps.append(self._step(path, members))
        else:
            for key in (*_MOMENT, *_OUTCOME):
                if key in members:
                    self._problem((*path, key), "not allowed beside 'steps': say it in one of them")
            for at, moment in enumerate(moments):
                steps.append(self._step((*path, "steps", at), overlay(members, moment)))
        if len(self.problems) > noted:
            return None
        return Case(self._document, path, name, tuple(steps), _BEGIN if begin is None else begin, self._policy)

    def _step(self, path: Path, members: Mapping[str, Any]) -> Step:
        wanted = self._wanted(path, members)
        request = None
        if wanted is not None:
            server = members.get("server", self._server)
            if server is None:
                text = "missing key 'server', expected the server that the route names: no policy has this file's name"
                self._problem((), text)
            caller = self._person((*path, "principal"), members["principal"]) if "principal" in members else None
            try:
                request = request_of({**members, "server": server or ""}, caller, self._identities)
            except Unaskable as error:
                self._problem((*path, *error.path), str(error))
        elif not members.keys() & {"advance", "time", "approve", "deny"}:
            self._problem(path, "missing key 'expect', expected one of allow, deny")
        return Step(
            path,
            request,
            wanted,
            repeat=int(members.get("repeat", 1)),
            advance=self._seconds((*path, "advance"), members.get("advance", 0.0)),
            time=self._time((*path, "time"), members.get("time")),
            saying=self._saying(path, members),
        )

    def _wanted(self, path: Path, members: Mapping[str, Any]) -> Wanted | None:
        if "expect" not in members:
            for key in (*_OUTCOME, "repeat"):
                if key in members:
                    self._problem((*path, key), "expected only beside 'expect'")
            return None
        return Wanted(
            effect=Effect(members["expect"]),
            reason=Reason(members["reason"]) if "reason" in members else None,
            owes=_names(members.get("owes")),
            approvers=_names(members.get("approvers")),
            retry_after=members.get("retry_after"),
            **{key: members.get(key) for key in ("rule", "text", "detail", "answer")},
        )

    def _saying(self, path: Path, members: Mapping[str, Any]) -> Saying | None:
        said = [key for key in ("approve", "deny") if key in members]
        if len(said) > 1:
            self._problem((*path, "deny"), "not allowed beside 'approve': one person says one thing")
        if not said:
            for key in ("comment", "refused"):
                if key in members:
                    self._problem((*path, key), "expected only beside 'approve' or 'deny'")
            return None
        key = said[0]
        person = self._person((*path, key), members[key])
        if person is None:
            return None
        refused = Refusal(members["refused"]) if "refused" in members else None
        return Saying(person, key == "approve", members.get("comment", ""), refused)

    def _person(self, path: Path, raw: Any) -> Caller | None:
        if not isinstance(raw, str):
            return self._caller(path, raw, "")
        person = self._people.get(raw)
        if person is None:
            known = ", ".join(self._people) or "none"
            self._problem(
                path, f"expected a name of principals ({known}), got {raw!r}{did_you_mean(raw, self._people)}"
            )
        return person

    def _caller(self, path: Path, raw: Mapping[str, Any], name: str) -> Caller:
        for key in _PERSON:
            if key in raw and key in raw.get("absent", ()):
                self._problem((*path, key), "is listed in absent too: the token says it or does not")
        source = raw.get("source", "")
        known = [one.name for one in self._identities.sources]
        if source and source not in known:
            text = f"expected one of the identity sources {', '.join(known)}, got {source!r}"
            self._problem((*path, "source"), text + did_you_mean(source, known))
        return Caller(
            id=raw.get("id", name),
            groups=tuple(raw.get("groups", ())),
            client=raw.get("client"),
            scopes=tuple(raw.get("scopes", ())),
            claims=raw.get("claims", {}),
            absent=frozenset(raw.get("absent", ())),
            source=source,
        )

    def _seconds(self, path: Path, raw: float | str) -> float:
        if not isinstance(raw, str):
            return float(raw)
        try:
            return parse_window(raw)
        except ValueError as error:
            self._problem(path, str(error))
            return 0.0

    def _time(self, path: Path, raw: str | None) -> float | None:
        if raw is None:
            return None
        try:
            return datetime.fromisoformat(raw).timestamp()
        except (ValueError, OverflowError) as error:
            self._problem(path, f"expected a time, got {raw!r}: {error}")
            return None


def _may_be_null(path: Path) -> bool:
    """Within what is sent as JSON, and nowhere else."""
    return not {*path[1:-1]}.isdisjoint(("arguments", "params", "meta", "claims"))


def overlay(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """The members of `under` with those of `over` laid over them; a call takes the place of another one."""
    another = over.keys() & {*CALLS}
    gone = {*CALLS} if another else set()
    if another and not another & {*WITH_ARGUMENTS}:
        gone |= {"arguments", *SHAPING}
    laid = {key: value for key, value in under.items() if key not in gone}
    for key, value in over.items():
        below = laid.get(key)
        merges = key in _LAID and isinstance(below, dict) and isinstance(value, dict)
        laid[key] = {**below, **value} if merges else value  # type: ignore[dict-item]  # both are mappings then
    return laid


def _names(raw: list[str] | None) -> tuple[str, ...] | None:
    return None if raw is None else tuple(sorted(raw))
