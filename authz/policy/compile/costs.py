"""The `cost` of a limit in a document -> a number or a compiled amount, with every problem (policies/README.md 6)."""

from __future__ import annotations

from collections.abc import Mapping

from authz.policy.compile.catalog_use import CatalogUse
from authz.policy.compile.coverage import Types, present, uncovered
from authz.policy.compile.findings import Findings
from authz.policy.compile.offered import OfferedTypes
from authz.policy.conditions.amount import Amount, compile_amount
from authz.policy.conditions.seen import path_label
from authz.policy.index import Index
from authz.policy.rules import Block
from authz.policy.text.document import Path

_UNDECLARED = " has no declared type"
_OPTIONAL = " is not required: a call without it is denied"


class CostCompiler:
    """Compiles the costs of one file; where one has a problem it gives 1, which stops the file anyway."""

    def __init__(self, findings: Findings, use: CatalogUse, claims: Mapping[str, str], headers: frozenset[str]) -> None:
        self._findings = findings
        self._use = use
        self._claims = claims
        self._headers = headers

    def compile(self, path: Path, given: float | str, types: Types) -> float | Amount:
        """The cost at `path` of a rule whose arguments `types` have accepted."""
        if not isinstance(given, str):
            return float(given)
        amount, problems = self._read(given, types)
        for text in problems:
            self._findings.problem(path, text)
        self._note_use(path, amount)
        for label in _optional(amount, types):
            self._findings.warn(path, f"{label}{_OPTIONAL}")
        return 1.0 if amount is None else amount

    def compile_shared(
        self,
        path: Path,
        given: float | str,
        names: Mapping[str, OfferedTypes | None] | None,
        tools: Index[Block] | None,
        *,
        baseline: bool,
    ) -> float | Amount:
        """The cost at `path` of a limit over the tools `names`, each with the types that the catalogue offers.

        `tools` is None where their arguments are not known.
        """
        if not isinstance(given, str):
            return float(given)
        amount, problems = self._read(given, ())
        if amount is not None:
            self._note_use(path, amount)
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

        for name, offered in names.items():
            beside = present(offered)

            def problems_of(types: Types, beside: Types = beside) -> list[str]:
                return read((*types, *beside))[1]

            def optional_of(types: Types, beside: Types = beside) -> list[str]:
                return _optional(read((*types, *beside))[0], (*types, *beside))

            for key, text in uncovered(tools, name, problems_of, baseline=baseline):
                self._findings.problem(path, f"in tools.{key}, {text}" if text.startswith("args") else text)
            for key, label in uncovered(tools, name, optional_of, baseline=baseline):
                self._findings.warn(path, f"in tools.{key}, {label}{_OPTIONAL}")
        found = next((amount for amount, _ in known.values() if amount is not None), 1.0)
        self._note_use(path, found)
        return found

    def _note_use(self, path: Path, amount: Amount | float | None) -> None:
        if isinstance(amount, Amount) and amount.program.plan.reads_catalog:
            self._use.reads(path)

    def _read(self, given: str, types: Types) -> tuple[Amount | float | None, list[str]]:
        return compile_amount(given, types, claims=self._claims, headers=self._headers)


def _optional(amount: Amount | float | None, types: Types) -> list[str]:
    """The arguments that the cost cannot do without and that a call may leave out."""
    if not isinstance(amount, Amount):
        return []
    return [path_label(path) for path in amount.wanted if not any(one.requires(path) for one in types)]
