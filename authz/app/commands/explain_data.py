"""An explanation -> what `mcp-authz explain --json` prints, for scripts."""

from __future__ import annotations

import math
from typing import Any

from authz.explanation import Explanation
from authz.model import Algorithm, Approval, Charge


def as_data(explanation: Explanation, revision: str) -> dict[str, Any]:
    """The explanation, fit for JSON. What is for ever is None."""
    principal, reply = explanation.principal, explanation.reply
    return {
        "allowed": reply.allowed,
        "revision": revision,
        "server": explanation.decisions[0].server,
        "selected_by": explanation.selected_by,
        "principal": {
            "verified": principal.verified,
            "id": principal.id,
            "issuer": principal.issuer,
            "source": principal.source,
            "client_id": principal.client_id,
            "groups": sorted(principal.groups),
            "scopes": sorted(principal.scopes),
            "peer": principal.peer,
        },
        "messages": [
            {
                "method": decision.message.method,
                "targets": [{"kind": target.kind, "name": target.name} for target in decision.message.targets],
                "effect": decision.effect,
                "reason": decision.reason,
                "rule": decision.rule,
                "reason_text": decision.reason_text,
                "detail": decision.detail,
                "cause": decision.cause,
                "owed": [_owed_data(one) for one in owed],
                "exhausted": list(decision.limits),
                "retry_after": None if math.isinf(decision.retry_after) else decision.retry_after,
            }
            for decision, owed in zip(explanation.decisions, explanation.obligations, strict=True)
        ],
        "tried": [{"place": one.place, "result": one.result, "detail": one.detail} for one in explanation.steps],
        "shadow": [
            {"policy": one.policy, "effect": one.effect, "reason": one.reason, "rule": one.rule}
            for one in explanation.shadowed
        ],
        "answer": {
            "status": None if reply.allowed else reply.status,
            "headers": [list(pair) for pair in reply.headers],
            "body": reply.body.decode("utf-8", "backslashreplace"),
        },
    }


def _owed_data(owed: Charge | Approval) -> dict[str, Any]:
    if isinstance(owed, Approval):
        return {
            "approval": owed.rule,
            "by": list(owed.by),
            "timeout": owed.timeout,
            "uses": owed.uses,
            "remember": owed.remember,
            "reason_required": owed.reason_required,
        }
    limit = owed.limit
    per = [list(pair) for pair in owed.descriptor] + ([["session", owed.session]] if owed.session else [])
    data = {"limit": limit.name, "max": limit.max, "window": limit.window, "cost": owed.cost, "per": per}
    if limit.algorithm is not Algorithm.SLIDING_WINDOW:
        data["algorithm"] = limit.algorithm
    if limit.algorithm is Algorithm.TOKEN_BUCKET:
        data["burst"] = limit.burst
    return data
