"""A `rate_limit` of a policy -> what one call is charged, and on which counter (policies/README.md 6)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from authz.address import neighbourhood
from authz.model import Call, Charge, Limit

PARTS = ("session", "principal", "client", "server", "tool")
ARGUMENT = "args."
_LONGEST_VALUE = 64  # characters of a descriptor's part; beyond that its digest stands for it


@dataclass(frozen=True, slots=True)
class LimitRule:
    """One limit with the parts of the call that separate its counters, as `per` lists them."""

    limit: Limit
    per: tuple[str, ...]

    def charge(self, call: Call, target: str) -> Charge:
        """What `call` of `target` (a name the caller sent) owes to this limit."""
        descriptor: list[tuple[str, str]] = []
        session = ""
        anonymous = False
        principal = call.principal
        for part in self.per:
            if part == "server":
                descriptor.append(("server", call.server))
            elif part == "tool":
                descriptor.append(("tool", _bounded(target)))
            elif part.startswith(ARGUMENT):
                descriptor.append((part, _argument(call.message.arguments, part.split(".")[1:])))
            elif not principal.verified:
                # Nobody is verified: who it is that calls is only known by where from (policies/README.md 6).
                anonymous = True
                descriptor.append(("address", neighbourhood(call.address)))
            elif part == "client" and principal.client_id:
                descriptor.append(("client", _bounded(f"{principal.issuer}\n{principal.client_id}")))
            else:
                known = f"{principal.source}\n{principal.issuer}\n{principal.id}"
                descriptor.append(("principal", _bounded(known)))
            if part == "session":
                session = call.session
        return Charge(self.limit, tuple(descriptor), session=session, anonymous=anonymous)


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
