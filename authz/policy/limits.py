"""A `rate_limit` of a policy -> what one call is charged, and on which counter (policies/README.md 6)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from authz.address import neighbourhood
from authz.model import Call, Charge, Limit, Target
from authz.policy.conditions.amount import Amount
from authz.policy.conditions.seen import path_label

ARGUMENT = "args."
_LONGEST_VALUE = 64  # characters of a descriptor's part; beyond that its digest stands for it


@dataclass(frozen=True, slots=True)
class LimitRule:
    """One limit with the parts of the call that separate its counters, as `per` lists them, and what a call costs.

    `name` is its place in the policy (`tools.pay.rate_limit[0]`).
    """

    limit: Limit
    per: tuple[str, ...]
    cost: float | Amount = 1.0
    name: str = ""

    @property
    def accepts(self) -> str:
        """Where the cost is an argument: which, and what it must be. Else ""."""
        if isinstance(self.cost, float) or not self.cost.path:
            return ""
        return f"{path_label(self.cost.path)}: must be a number above 0 and below 2^53"

    def charge(self, call: Call, target: Target) -> Charge | None:
        """What `call` of `target` (a name the caller sent) owes to this limit, None where its cost cannot be told."""
        cost = self.cost if isinstance(self.cost, float) else self.cost.of(call, target)
        if cost is None:
            return None
        descriptor: list[tuple[str, str]] = []
        session = ""
        anonymous = False
        principal = call.principal
        for part in self.per:
            if part == "server":
                descriptor.append(("server", call.server))
            elif part == "tool":
                descriptor.append(("tool", _bounded(target.name)))
            elif part.startswith(ARGUMENT):
                descriptor.append((part, _argument(call.message.arguments, part.split(".")[1:])))
            elif part == "client" and principal.verified and principal.client_id:
                descriptor.append(("client", _bounded(f"{principal.issuer}\n{principal.client_id}")))
            else:
                descriptor.append(caller_descriptor(call))
                anonymous = anonymous or not principal.verified
            if part == "session":
                session = call.session
        return Charge(self.limit, tuple(descriptor), cost, session=session, anonymous=anonymous)


def caller_descriptor(call: Call) -> tuple[str, str]:
    """Who calls, as `per: principal` counts: ("principal", …), or ("address", …) where nobody is verified.

    The value is bounded text. Without a verified identity it is only known where from (policies/README.md 6).
    """
    principal = call.principal
    if not principal.verified:
        return "address", neighbourhood(call.address)
    return "principal", _bounded(f"{principal.source}\n{principal.issuer}\n{principal.id}")


def _argument(arguments: Any, path: Sequence[str]) -> str:
    """The value at `path` as text with its JSON type; an absent one is a value of its own (policies/README.md 6)."""
    value = arguments
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return ""
        value = value[name]
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 1 and 1.0 are equal, as JSON Schema says
    return _bounded(json.dumps(value, sort_keys=True))


def _bounded(text: str) -> str:
    """`text`, or its digest where a caller could make the store keep long texts."""
    if len(text) <= _LONGEST_VALUE:
        return text
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
