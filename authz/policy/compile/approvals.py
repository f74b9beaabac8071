"""`approval` of a rule in a document -> the yes that it wants: whose, how long, how often (policies/README.md 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from authz.model import Approval
from authz.policy.approvers import approver_problem, foreign_source
from authz.policy.compile.content import content_of
from authz.policy.compile.findings import Findings
from authz.policy.compile.limits import window_of
from authz.policy.text.document import Path

TIMEOUT = 900.0  # seconds
_MOST_DAYS = 30  # for which a request waits and a yes is remembered; policies/README.md 5


class ApprovalCompiler:
    """Compiles the approvals of one file. `sources` are the identity sources of the settings."""

    def __init__(self, findings: Findings, definitions: Mapping[str, Any], sources: Sequence[str]) -> None:
        self._findings = findings
        self._definitions = definitions
        self._sources = sources

    def compile(self, path: Path, name: str, rule: Mapping[str, Any], block: Mapping[str, Any]) -> Approval:
        """What the rule `name` at `path` wants, which stands in `block` (the same where the block is one rule)."""
        raw = rule.get("approval", {})
        place: Path = (*path, "approval")
        timeout = window_of(self._findings, (*place, "timeout"), raw.get("timeout", int(TIMEOUT)), _MOST_DAYS)
        remember = 0.0
        if "remember" in raw:
            remember = window_of(self._findings, (*place, "remember"), raw["remember"], _MOST_DAYS)
        # Of a rule that does not load nobody asks for a digest, and it may have no well-formed arguments.
        sound = not self._findings.problems
        return Approval(
            rule=name,
            timeout=timeout,
            by=self._by(place, raw),
            uses=int(raw.get("uses", 0 if remember else 1)),
            remember=remember,
            reason_required=raw.get("reason_required", False),
            content=content_of(rule, block, self._definitions) if sound else "",
        )

    def default(self) -> Approval:
        """What `default: require_approval` wants."""
        return Approval("default", TIMEOUT, content=content_of({"default": "require_approval"}, {}, {}))

    def _by(self, path: Path, raw: Mapping[str, Any]) -> tuple[str, ...]:
        if "by" in raw and "approvers" in raw:
            self._findings.problem((*path, "approvers"), "is another word for by: expected one of them")
        key = "by" if "by" in raw else "approvers"
        given = raw.get(key, [])
        several = isinstance(given, list)
        entries = tuple(given) if several else (given,)
        for at, entry in enumerate(entries):
            place: Path = (*path, key, at) if several else (*path, key)
            problem = approver_problem(entry)
            if problem:
                self._findings.problem(place, problem)
            meant = foreign_source(entry, self._sources)
            if meant:
                text = f"people who approve are of no identity source: {entry!r} is not {meant!r}"
                self._findings.warn(place, text)
        return entries
