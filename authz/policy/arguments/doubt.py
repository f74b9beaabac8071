"""Arguments out of a body that was sent as text -> whether a `!` stands where the policy says what may stand there.

Where a proxy cannot send bodies as bytes, each byte that is not UTF-8 becomes a `!` (Envoy's `sanitizeUtf8String`), so
nobody can tell what the server will read. Names of members are refused earlier (authz/mcp/json_text.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from authz.policy.arguments.schema import Schema
from authz.policy.arguments.words import Violation

_DOUBT = Violation("args", "no '!' while the proxy sends bodies as text (pack_as_bytes)")
_OF_ALL = frozenset({"type", "properties", "required", "title", "description", "$schema", "$id"})
_OF_ONE = frozenset({"type", "title", "description", "default", "examples", "$comment"})


def doubt(schema: Schema, arguments: Mapping[str, Any], *, types_constrain: bool) -> Violation | None:
    """The refusal of the first argument with a `!` that `schema` says something of, None if there is none.

    `types_constrain`: a bare type is something, for a condition may read what has one.
    """
    further = schema.keys() - _OF_ALL
    if type(schema.get("additionalProperties")) is bool:
        further -= {"additionalProperties"}
    properties = schema.get("properties", {})
    for name, value in arguments.items():
        said = properties.get(name)
        constrained = bool(further) or (
            name in properties and (types_constrain or not isinstance(said, dict) or bool(said.keys() - _OF_ONE))
        )
        if constrained and "!" in json.dumps(value):
            return _DOUBT
    return None
