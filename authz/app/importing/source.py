"""What a policy of another program says, whatever its dialect: values that know their place in the file.

Knows nothing of how a dialect spells it and nothing of this program's language.
"""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from typing import Any

from authz.policy.text.document import Path


class Dialect(enum.StrEnum):
    """Who reads files of this shape."""

    INTERCEPT = "Intercept"  # YAML of the open proxy, 1.0 to 1.1, and what 1.2 added for approvals
    PAGES = "PolicyLayer pages"  # the YAML that the tool pages print
    HOSTED = "PolicyLayer grants"  # the JSON of the hosted service


class Operator(enum.StrEnum):
    """What a condition asks of an argument."""

    EQ = "eq"
    NEQ = "neq"
    IN = "in"
    NOT_IN = "not_in"
    LT = "lt"
    LTE = "lte"
    GT = "gt"
    GTE = "gte"
    REGEX = "regex"
    CONTAINS = "contains"
    EXISTS = "exists"


class Action(enum.StrEnum):
    """What a rule does once its conditions hold."""

    PASS = "pass"  # noqa: S105 - no password
    DENY = "deny"
    APPROVE = "require_approval"


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison; `argument` is the path below the arguments, its members by name."""

    place: Path
    argument: tuple[str, ...]
    operator: Operator
    value: Any

    def __str__(self) -> str:
        return f"args.{'.'.join(self.argument)} {self.operator} {json.dumps(self.value, ensure_ascii=False)}"


@dataclass(frozen=True, slots=True)
class Quota:
    """At most `max` in `window` seconds; a call counts `cost`, or the argument at that path."""

    place: Path
    name: str
    max: int
    window: int
    cost: int | tuple[str, ...] = 1


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. Its conditions must all hold, or, where it `forbids`, must not all hold."""

    place: Path
    name: str
    action: Action = Action.PASS
    conditions: tuple[Condition, ...] = ()
    quotas: tuple[Quota, ...] = ()
    reason: str = ""
    forbids: bool = False
    timeout: int = 0  # seconds that an approval waits; 0 where the file does not say


@dataclass(frozen=True, slots=True)
class Tool:
    """All rules of one tool, every one of which must let a call pass."""

    place: Path
    name: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class SourcePolicy:
    """One file. `default` is `allow`, `deny` or "" where it does not say; `everywhere` are rules for every tool."""

    file: str
    dialect: Dialect
    description: str
    default: str
    hidden: tuple[Tool, ...]
    tools: tuple[Tool, ...]
    everywhere: tuple[Rule, ...]

    @property
    def allows_unlisted(self) -> bool:
        """Whether a tool that the file does not name may be called."""
        return self.default == "allow"
