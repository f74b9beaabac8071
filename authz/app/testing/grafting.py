"""A policy document with one mistake -> the policy with it, of which only the blocks that differ are compiled.

Compiling all of a policy of 200 tools takes 40 ms, which thousands of mutants would feel; a block takes 1 ms. Knows
nothing of tests.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from authz.app.testing.elements import SECTIONS
from authz.policy.catalog.files import CatalogFile
from authz.policy.compile.catalogued import CATEGORIES
from authz.policy.compile.file import SECTIONS as KINDS
from authz.policy.compile.file import PolicyContext, compile_document
from authz.policy.index import Index
from authz.policy.rules import Block, Compiled, Policy
from authz.policy.text.document import Document, Path

_UNTOLD = (*SECTIONS, "limits", "match", "origins", "description")  # what does not bear on how a block is compiled
_ARGUMENT = "args"


class _Unplaced(Document):
    """A document that was changed: its places are no longer those of a text, and nobody is shown them."""

    __slots__ = ()

    def place(self, path: Path) -> tuple[int, int]:
        return 0, 0

    def value_place(self, path: Path) -> tuple[int, int]:
        return 0, 0


class Grafting:
    """Compiles documents that differ from one of a policy that loads, `compiled` from `document`, in one place."""

    def __init__(
        self, document: Document, compiled: Compiled, context: PolicyContext, catalogs: Mapping[str, CatalogFile]
    ) -> None:
        self._raw: Mapping[str, Any] = document.value
        self._compiled = compiled
        self._context = context
        self._catalogs = catalogs
        self._parts: dict[tuple[str, ...], Policy | None] = {}
        # These need to know the arguments of every tool that they count.
        self._needs_all = any(
            _ARGUMENT in str(limit.get(key, "")) for limit in self._raw.get("limits", ()) for key in ("cost", "per")
        )

    def compile(self, value: Mapping[str, Any]) -> Compiled:
        """What `value` is, a document that shares with the first one what it has in common with it."""
        grafted = None if self._needs_all else self._grafted(value)
        return self._whole(value) if grafted is None else grafted

    def _whole(self, value: Mapping[str, Any]) -> Compiled:
        document = _Unplaced(self._compiled.file, value, (), "", array("I"))
        return compile_document(document, self._compiled.digest, self._context, catalogs=self._catalogs)

    def _grafted(self, value: Mapping[str, Any]) -> Compiled | None:
        """The policy with the blocks that differ in the place of its own, None where that says too little."""
        policy = self._compiled.policy
        differing = [key for key in {**self._raw, **value} if value.get(key) is not self._raw.get(key)]
        if policy is None or len(differing) != 1 or differing[0] not in SECTIONS:
            return None
        section = differing[0]
        old: Mapping[str, Any] = self._raw.get(section, {})
        new: Mapping[str, Any] = value.get(section, {})
        gone = tuple(key for key, said in old.items() if new.get(key) is not said)
        before = self._part(section, {key: old[key] for key in gone})
        after = self._compile(section, {key: said for key, said in new.items() if old.get(key) is not said})
        if before is None:
            return None
        if after is None:
            return replace(self._compiled, policy=None)
        # Whether something asks for approvals is told of the whole policy: where that may differ, all is compiled.
        if after.forbids_unnamed_continuations != before.forbids_unnamed_continuations:
            return None
        return replace(self._compiled, policy=_with(policy, section, gone, after))

    def _part(self, section: str, blocks: Mapping[str, Any]) -> Policy | None:
        """Blocks of the policy as it is; they are asked for again and again."""
        known = (section, *blocks)
        if known not in self._parts:
            self._parts[known] = self._compile(section, blocks)
        return self._parts[known]

    def _compile(self, section: str, blocks: Mapping[str, Any]) -> Policy | None:
        head = {key: member for key, member in self._raw.items() if key not in _UNTOLD}
        return self._whole({**head, section: dict(blocks)}).policy


def _with(policy: Policy, section: str, gone: tuple[str, ...], part: Policy) -> Policy:
    """`policy` with the blocks of `part` in the place of those that are `gone`."""
    if section == CATEGORIES:
        kept = {key: block for key, block in policy.categories.items() if key not in gone}
        return replace(policy, categories={**kept, **part.categories})
    kind = KINDS[section]
    index = Index({**_kept(policy.sections[kind], gone), **_kept(part.sections[kind], ())})
    return replace(policy, sections={**policy.sections, kind: index})


def _kept(index: Index[Block], gone: tuple[str, ...]) -> dict[str, Block]:
    return {key: block for key, block in (*index.exact.items(), *index.globs.items()) if key not in gone}
