"""What a demo is about: the server, the policies that govern it, and the calls that are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from authz.app.demo import stack, valkey
from authz.app.demo.calls import ROWS, Row
from authz.app.demo.processes import Children, DemoError


@dataclass(frozen=True, slots=True)
class Scene:
    """One demo. `files` are copied from the example policies, the first is the policy; `start` gives the server's port.

    `evidence` are the reasons of which an audit record is shown, `example` a tool that is denied.
    """

    server: str
    files: Sequence[str]
    start: Callable[[Children], int]
    rows: Sequence[Row]
    evidence: Sequence[str]
    example: str
    flags: str = ""


SCENES = {
    "demo": Scene("demo", ("demo.yaml",), stack.start_server, ROWS, ("rate_limited", "malformed"), "delete_cache"),
    "valkey": Scene(
        "awslabs-valkey",
        ("awslabs-valkey.yaml", "catalog/awslabs-valkey.yaml"),
        valkey.start_server,
        valkey.ROWS,
        ("rate_limited", "requirement_failed"),
        "valkey_admin",
        "--server valkey ",
    ),
}


def scene_of(name: str) -> Scene:
    """The demo of this name; raises DemoError."""
    if name not in SCENES:
        raise DemoError(f"demo --server: expected one of {', '.join(SCENES)}, got {name!r}")
    return SCENES[name]
