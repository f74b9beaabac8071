"""What a policy file is once it is compiled: sections of blocks of rules. Values only; `evaluate` reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from authz.errors import Problem
from authz.model import NO_TOOLS, Approval, Disclose, KnownTools, Principal, TargetKind
from authz.policy.arguments.check import ArgumentsSchema
from authz.policy.candidates import FEW, Candidates
from authz.policy.conditions.condition import Condition
from authz.policy.index import Index
from authz.policy.limits import LimitRule
from authz.policy.matching import Match
from authz.policy.principals import Principals


@dataclass(frozen=True, slots=True)
class Requirement:
    """One entry of `require`: a condition that must hold, and the sentence a caller gets where it does not."""

    name: str
    condition: Condition
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """What is done where `principals` and `when` hold.

    `allows` is false for `action: deny`; `approval` is set for `action: require_approval`. With `arguments_first` the
    arguments are checked before `when`, which reads them (a block that is one rule). `strict`: the arguments must fit
    the catalogue's input schema of the tool too.
    """

    name: str
    allows: bool
    principals: Principals | None = None
    when: Condition | None = None
    arguments: ArgumentsSchema | None = None
    arguments_first: bool = False
    require: tuple[Requirement, ...] = ()
    limits: tuple[LimitRule, ...] = ()
    approval: Approval | None = None
    reason: str = ""
    disclose: Disclose | None = None
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """All that a policy says of one name, glob or category.

    `key` is that name or glob, as the policy spells it; "" for a category, which is no name. `strict` as of a rule.
    """

    name: str
    key: str
    rules: tuple[Rule, ...]
    arguments: ArgumentsSchema | None = None
    require: tuple[Requirement, ...] = ()
    continuations: bool = False
    strict: bool = False
    _candidates: Candidates | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        if len(self.rules) > FEW:
            object.__setattr__(self, "_candidates", Candidates(self.rules))

    def rules_for(self, principal: Principal) -> Iterable[Rule]:
        """The rules, but for those that cannot be for `principal` where there are many."""
        if self._candidates is None or not principal.verified:
            return self.rules
        return map(self.rules.__getitem__, self._candidates.of(principal))

    @property
    def asks(self) -> bool:
        """Whether some rule of the block requires an approval."""
        return any(rule.approval is not None for rule in self.rules)


@dataclass(frozen=True, slots=True)
class SharedLimit:
    """An entry of `limits`: one limit over several tools. `tools` is None for every call of a tool.

    Each of its names has the types of the arguments that the limit reads, where only the catalogue declares them:
    they are checked before it is charged.
    """

    rule: LimitRule
    tools: Index[tuple[ArgumentsSchema, ...]] | None


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy file. `default` is the rule for targets that nothing names, None in a baseline.

    `file` is where it stands in the directory, `digest` of its bytes. `forbids_unnamed_continuations`: a continuation
    that names no tool could resume what still needs a person's yes (policies/README.md 8). `categories` are blocks for
    tools that no name or glob matches, by what `catalog` says of them; a baseline's are asked beside its names, and it
    has no catalogue of its own: that of the governed server counts. `catalog_version` is the digest of its file.
    """

    file: str
    digest: str
    server: str
    sections: Mapping[TargetKind, Index[Block]]
    default: Rule | None
    limits: tuple[SharedLimit, ...] = ()
    origins: frozenset[str] | None = None
    match: tuple[Match, ...] = ()
    identity: str = ""
    shadow: bool = False
    baseline: bool = False
    forbids_unnamed_continuations: bool = False
    names: frozenset[str] = field(default_factory=frozenset)
    categories: Mapping[str, Block] = field(default_factory=dict)
    catalog: KnownTools = NO_TOOLS
    catalog_version: str = ""


@dataclass(frozen=True, slots=True)
class Compiled:
    """One file: its policy (None where it does not load), the server it is for, problems and warnings.

    `digest` is of the file's bytes; `shadow` and `baseline` say what the file is, as far as could be read. `catalog` is
    the state of the server's catalogue that it was compiled with, "" where there is none; `needs_catalog`: without
    one it would decide differently.
    """

    file: str
    digest: str
    server: str
    policy: Policy | None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    shadow: bool = False
    baseline: bool = False
    catalog: str = ""
    needs_catalog: bool = False
