"""The body of a request -> the parameters that will run, as one canonical text: what a person approves.

Numbers stay as they were written (9007199254740993 is not …992, 1.0 is not 1, -0 is not 0), because servers differ in
how they read them; RFC 8785 would make doubles of them. What the protocol itself varies from one attempt to the next is
left out.
"""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

# The answer to this service's own elicitation, in `inputResponses`; reverse DNS as MCP asks of vendor names.
ELICITATION_KEY: Final = "io.github.mcp-authz/approval"

_ANSWERS: Final = "inputResponses"
# 2025-11-25 `_meta`, 2026-07-28 "Per-request protocol fields" and W3C Trace Context, which it reserves.
_PROTOCOL_META: Final = frozenset(
    (
        *("progressToken", "traceparent", "tracestate", "baggage"),
        *(f"io.modelcontextprotocol/{name}" for name in ("protocolVersion", "clientCapabilities", "clientInfo")),
        "io.modelcontextprotocol/logLevel",
    )
)


def canonical_params(body: bytes, part: int) -> str:
    """The `params` of message `part` (0 but in a batch) of a body that `decode` has accepted, as canonical JSON.

    Members are sorted by code point, without white space, and every number has its own spelling.
    """
    value = json.loads(body.decode(), parse_int=_spelled, parse_float=_spelled)
    message = value[part] if isinstance(value, list) else value
    return msgspec.json.encode(_own(message.get("params", {})), order="deterministic").decode()


def _spelled(number: str) -> msgspec.Raw:
    """A number that is written as it was read."""
    return msgspec.Raw(number.encode())


def _own(params: dict[str, Any]) -> dict[str, Any]:
    """`params` without what belongs to the protocol."""
    kept = dict(params)
    _strip(kept, "_meta", _PROTOCOL_META)
    _strip(kept, _ANSWERS, frozenset((ELICITATION_KEY,)))
    return kept


def _strip(params: dict[str, Any], member: str, names: frozenset[str]) -> None:
    given = params.get(member)
    if not isinstance(given, dict):
        return
    params[member] = {name: value for name, value in given.items() if name not in names}
    if not params[member]:
        del params[member]
