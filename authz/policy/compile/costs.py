"""The `cost` of a limit in a document -> a number or a compiled amount, with every problem (policies/README.md 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from authz.policy.compile.coverage import Types, uncovered
from authz.policy.compile.findings import Findings
from authz.policy.conditions.amount import Amount, compile_amount
from authz.policy.conditions.seen import path_label
from authz.policy.index import Index
from authz.policy.rules import Block
from authz.policy.text.document import Path

_UNDECLARED = " has no declared type"
_OPTIONAL = " is not required: a call without it is denied"


class CostCompiler:
    """Compiles the costs of one file; where one has a problem it gives 1, which stops the file anyway."""

    def __init__(self, findings: Findings, claims: Mapping[str, str], headers: frozenset[str]) -> None:
        self._findings = findings
        self._claims = claims
        self._headers = headers

    def compile(self, path: Path, given: float | str, types: Types) -> float | Amount:
        """The cost at `path` of a rule whose arguments `types` have accepted."""
        if not isinstance(given, str):
            return float(given)
        amount, problems = self._read(given, types)
        for text in problems:
            self._findings.problem(path, text)
        for label in _optional(amount, types):
            self._findings.warn(path, f"{label}{_OPTIONAL}")
        return 1.0 if amount is None else amount

    def compile_shared(
        self, path: Path, given: float | str, names: Sequence[str] | None, tools: Index[Block] | None, *, baseline: bool
    ) -> float | Amount:
        """The cost at `path` of a limit over the tools `names`; `tools` is None where their arguments are not known."""
        if not isinstance(given, str):
            return float(given)
        amount, problems = self._read(given, ())
        if amount is not None:
            return amount  # reads no argument
        if names is None or tools is None:
            for text in problems:
                label, undeclared, _ = text.partition(_UNDECLARED)
                if not undeclared:
                    self._findings.problem(path, text)
                elif names is None:
                    self._findings.problem(path, f"{label} needs tools: only their arguments have declared types")
            return 1.0
        known: dict[tuple[int, ...], tuple[Amount | float | None, list[str]]] = {}

        def read(types: Types) -> tuple[Amount | float | None, list[str]]:
            key = tuple(map(id, types))
            if key not in known:
                known[key] = self._read(given, types)
            return known[key]

        for name in names:
            for key, text in uncovered(tools, name, lambda types: read(types)[1], baseline=baseline):
                self._findings.problem(path, f"in tools.{key}, {text}" if text.startswith("args") else text)
            for key, label in uncovered(tools, name, lambda types: _optional(read(types)[0], types), baseline=baseline):
                self._findings.warn(path, f"in tools.{key}, {label}{_OPTIONAL}")
        return next((amount for amount, _ in known.values() if amount is not None), 1.0)

    def _read(self, given: str, types: Types) -> tuple[Amount | float | None, list[str]]:
        return compile_amount(given, types, claims=self._claims, headers=self._headers)


def _optional(amount: Amount | float | None, types: Types) -> list[str]:
    """The arguments that the cost cannot do without and that a call may leave out."""
    if not isinstance(amount, Amount):
        return []
    return [path_label(path) for path in amount.wanted if not any(one.requires(path) for one in types)]
