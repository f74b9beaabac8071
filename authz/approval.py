"""What one message owes to people -> the one request they are asked, known by a digest of exactly this call.

Pure. A yes is for the same server, caller, target, parameters and rules; whatever differs is another request.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from authz.errors import ApprovalError
from authz.model import UNKNOWN_TOOL, Approval, ApprovalRequest, Call, Evaluation, TargetKind
from authz.policy.limits import caller_descriptor

MAX_PARAMS = 64 * 1024  # characters: what a person can be asked to read, and what a store keeps of one request
OWN_ID = "id"  # the claim that is the principal's id itself
_VERSION = 1  # of what is digested


def approval_request(
    call: Call, evaluation: Evaluation, approvals: Sequence[Approval], params: str, *, claim: str = OWN_ID
) -> ApprovalRequest:
    """All of `approvals` as one request: every `by` must be satisfied, within the shortest timeout.

    `params` is the canonical text of the parameters, `claim` the name of the claim by which approver and requester are
    told apart. Raises ApprovalError where a person could not see what would run.
    """
    if call.message.doubtful_text:
        raise ApprovalError("some bytes of the request are not UTF-8, so nobody can see what would run")
    if len(params) > MAX_PARAMS:
        raise ApprovalError(f"the parameters are longer than the {MAX_PARAMS} characters that a person can review")
    name, value = caller_descriptor(call)
    owner = f"{name}\n{value}"
    remembered = [one.remember for one in approvals if one.remember]
    counted = [one.uses for one in approvals if one.uses]
    categories, risk = _known(call)
    return ApprovalRequest(
        digest=_digest(call, owner, approvals, params),
        owner=owner,
        server=call.server,
        tool=_asked_for(call),
        principal=call.principal.id if call.principal.verified else call.address,
        claim=_claim(call, claim),
        rule=evaluation.rule,
        reason=evaluation.reason_text,
        params=params,
        timeout=min(one.timeout for one in approvals),
        by=tuple(dict.fromkeys(one.by for one in approvals)),
        uses=min(counted, default=0),
        # Remembered only as long as every rule that asks lets it be.
        remember=min(remembered) if len(remembered) == len(approvals) else 0.0,
        reason_required=any(one.reason_required for one in approvals),
        categories=categories,
        risk=risk,
        anonymous=not call.principal.verified,
    )


def _known(call: Call) -> tuple[tuple[str, ...], str]:
    """What the catalogue says of the tool, for people: categories and risk; nothing where there is no catalogue."""
    target = call.message.targets[0]
    if not call.catalog.tools or target.kind is not TargetKind.TOOL:
        return (), ""
    tool = call.catalog.tools.get(target.name)
    return (UNKNOWN_TOOL.categories, "") if tool is None else (tool.categories, tool.risk)


def _digest(call: Call, owner: str, approvals: Sequence[Approval], params: str) -> bytes:
    principal = call.principal
    what = [
        _VERSION,
        call.server,
        [principal.source, principal.issuer, principal.id] if principal.verified else owner,
        call.message.method,
        [[target.kind.value, target.name] for target in call.message.targets],
        params,
        # Where a rule stands among others says nothing of what it asks.
        [[one.rule.partition(".rules[")[0], one.content] for one in approvals],
    ]
    return hashlib.sha256(json.dumps(what).encode()).digest()


def _asked_for(call: Call) -> str:
    """The target for people: a tool by its name, anything else with its method."""
    names = ", ".join(target.name for target in call.message.targets)
    tool = all(target.kind is TargetKind.TOOL for target in call.message.targets)
    return names if tool else f"{call.message.method} {names}".removesuffix(f" {call.message.method}")


def _claim(call: Call, name: str) -> str:
    principal = call.principal
    if not principal.verified:
        return ""
    if name == OWN_ID:
        return principal.id
    value = principal.claims.get(name)
    return value if isinstance(value, str) else ""
