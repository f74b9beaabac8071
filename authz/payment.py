"""What the messages of one request owe -> what came of paying it. Decides nothing, and knows no store by name."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence

from authz.approval import approval_request
from authz.errors import ApprovalError, StoreError
from authz.mcp.exact import canonical_params
from authz.model import Approval, Call, Charge, Discharge, Effect, Evaluation, HttpRequest
from authz.policy.decide import denied
from authz.state.store import Attempt, Owed, Store

_log = logging.getLogger(__name__)

PAID = Discharge(paid=True)


async def pay(
    store: Store, request: HttpRequest, calls: Sequence[Call], evaluations: list[Evaluation], claim: str, *, peek: bool
) -> Discharge | None:
    """What came of paying all that `evaluations` of one request owe, None where the store could not tell.

    An evaluation becomes a denial where a person cannot be asked about its call. `claim` names the claim by which
    approver and requester are told apart; a `peek` pays nothing.
    """
    owes = False
    for evaluation in evaluations:
        if evaluation.effect is Effect.DENY:
            return PAID  # a denied call consumes nothing
        owes = owes or bool(evaluation.obligations)
    if not owes:
        return PAID
    parts: list[Owed] = []
    for part, (call, evaluation) in enumerate(zip(calls, evaluations, strict=True)):
        try:
            parts.append(_owed(request, part, call, evaluation, claim))
        except ApprovalError as error:
            evaluations[part] = denied(error.reason, evaluation.rule, evaluation.reason_text, str(error))
            return PAID
    try:
        return await store.discharge(Attempt(parts, _repeat_key(request), peek))
    except StoreError as error:
        _log.debug("the store could not tell: %s", error)  # who keeps the store says so once
        return None


def _owed(request: HttpRequest, part: int, call: Call, evaluation: Evaluation, claim: str) -> Owed:
    """What one message owes: its charges, and one request that stands for all approvals."""
    obligations = evaluation.obligations
    charges = tuple([one for one in obligations if isinstance(one, Charge)])
    if len(charges) == len(obligations):
        return Owed(charges)
    approvals = [one for one in obligations if isinstance(one, Approval)]
    params = canonical_params(request.body, part)
    return Owed(charges, approval_request(call, evaluation, approvals, params, claim=claim))


def _repeat_key(request: HttpRequest) -> bytes:
    """What is the same where the proxy asks twice about one request, b"" where the proxy gave it no id."""
    if not request.stream_id:
        return b""
    return hashlib.sha256(f"{request.caller}\n{request.stream_id}\n".encode() + request.wire).digest()
