"""What a line of the audit log can say of a decision: its members, in order; those with nothing to say are absent."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct


class Line(Struct, omit_defaults=True):
    """One decision. Texts are bounded and printable already.

    `time` is RFC 3339 in UTC, `latency_us` how long the HTTP request took to decide. One of `tool`, `prompt` and
    `resource` is what the call names, `policy_target` that as the policy spells it. A session is told by the first 16
    hex digits of its SHA-256, arguments by the SHA-256 of their canonical JSON. `part` and `parts` are None but in a
    batch. `left_out` names the members that made the line too long.
    """

    time: str
    decision_id: str
    effect: str
    reason: str
    rule: str = ""
    server: str = ""
    selected_by: str = ""
    method: str = ""
    policy_target: str = ""
    tool: str = ""
    prompt: str = ""
    resource: str = ""
    targets: list[str] = []
    targets_total: int = 0
    continuation: bool = False
    principal: dict[str, str] = {}
    peer: str = ""
    caller: str = ""
    address: str = ""
    session_sha256: str = ""
    http_method: str = ""
    protocol: str = ""
    era: str = ""
    trace_id: str = ""
    request_id: str = ""
    body_sha256: str = ""
    body_bytes: int = 0
    arguments_sha256: str = ""
    arguments: Any = None
    arguments_unreadable: str = ""
    obligations: list[dict[str, Any]] = []
    approval: dict[str, str] = {}
    limits: list[str] = []
    retry_after: float = 0
    revision: str = ""
    latency_us: int | None = None
    shadow: list[dict[str, str]] = []
    detail: str = ""
    cause: str = ""
    part: int | None = None
    parts: int | None = None
    left_out: list[str] = []

    def leave_out(self, member: str) -> bool:
        """Say nothing of `member`; False if nothing was said of it."""
        if not getattr(self, member):
            return False
        setattr(self, member, None if member == "arguments" else type(getattr(self, member))())
        self.left_out = [*self.left_out, member]
        return True


encode = msgspec.json.Encoder().encode
