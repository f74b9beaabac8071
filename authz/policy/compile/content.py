"""A rule that requires an approval -> a digest of all that it says: a yes under a rule that has changed is no yes.

Other rules, comments, layout and descriptions have no part in it (policies/README.md 5).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from authz.policy.arguments.form import ANNOTATIONS
from authz.policy.arguments.schema import DEFINITION

_BLOCK = ("arguments", "require", "continuations", "strict_arguments")
_DIGITS = 32  # 128 bits
_NAMED = ("properties", "patternProperties", "dependentSchemas")  # schemas by a name of the author's own
_VALUES = ("const", "enum", "required", "dependentRequired")


def content_of(rule: Mapping[str, Any], block: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """32 hexadecimal digits of `rule` as the file has it, of what `block` adds to it and of the `$defs` it uses.

    All three are raw and well-formed. A number is told from the same one as text, and 1 from 1.0.
    """
    used: dict[str, Any] = {}
    whole = {
        "rule": _plain_part(rule, definitions, used),
        "block": _plain_part({key: block[key] for key in _BLOCK if key in block}, definitions, used),
        "$defs": used,
    }
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _plain_part(part: Mapping[str, Any], definitions: Mapping[str, Any], used: dict[str, Any]) -> dict[str, Any]:
    return {key: _plain(one, definitions, used) if key == "arguments" else one for key, one in part.items()}


def _plain(schema: Any, definitions: Mapping[str, Any], used: dict[str, Any]) -> Any:
    """`schema` without what has no effect; the definitions that it reaches are put into `used`."""
    if isinstance(schema, list):
        return [_plain(one, definitions, used) for one in schema]
    if not isinstance(schema, dict):
        return schema
    name = str(schema.get("$ref", "")).removeprefix(DEFINITION)
    if name and name not in used:
        used[name] = None  # a definition that refers to itself is refused elsewhere
        used[name] = _plain(definitions[name], definitions, used)
    plain = {}
    for keyword, value in schema.items():
        if keyword in _VALUES:
            plain[keyword] = value
        elif keyword in _NAMED:
            plain[keyword] = {name: _plain(one, definitions, used) for name, one in value.items()}
        elif keyword not in ANNOTATIONS:
            plain[keyword] = _plain(value, definitions, used)
    return plain
