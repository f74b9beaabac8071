"""Run as a program: prints what a proto message is made of, as JSON, for each of two messages.

A process of its own, for Envoy's stubs put top-level packages and descriptors into it that nothing else should see.
Usage: describe_protos.py ours|envoy
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

ROOTS = {
    "ours": "authz.envoy.pb.ext_authz_pb2",
    "envoy": "envoy.service.auth.v3.external_auth_pb2",
}


def describe(message: Any, known: dict[str, Any], path: str) -> None:
    """Into `known`: every field below `message` by its path, such as `CheckResponse.status.code`."""
    for field in message.fields:
        place = f"{path}.{field.name}"
        known[place] = {
            "number": field.number,
            "type": field.type,
            "repeated": field.is_repeated,
            "required": field.is_required,
            "presence": field.has_presence,
            "oneof": field.containing_oneof.name if field.containing_oneof else None,
            "map": bool(field.message_type and field.message_type.GetOptions().map_entry),
            "enum": {value.name: value.number for value in field.enum_type.values} if field.enum_type else None,
            "well_known": field.message_type.full_name
            if field.message_type and field.message_type.full_name.startswith("google.protobuf.")
            else None,
        }
        if field.message_type and not known[place]["well_known"] and place.count(".") < 12:
            describe(field.message_type, known, place)


def main() -> None:
    module = importlib.import_module(ROOTS[sys.argv[1]])
    known: dict[str, Any] = {}
    for name in ("CheckRequest", "CheckResponse"):
        describe(getattr(module, name).DESCRIPTOR, known, name)
    json.dump(known, sys.stdout)


if __name__ == "__main__":
    main()
