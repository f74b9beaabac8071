"""Evaluations + what came of paying -> one decision a message. Pure; standard library and the nouns only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from authz.model import (
    Approval,
    ApprovalStatus,
    Charge,
    Decision,
    Discharge,
    Disclose,
    Effect,
    Evaluation,
    Message,
    Reason,
    Standing,
)
from authz.state.approvals import FILING_LIMIT, PENDING_LIMIT

_LESS = (Disclose.FULL, Disclose.REASON, Disclose.CODE)


@dataclass(slots=True)
class Frame:
    """What the decisions of one request have in common; `new_id` gives each its own id."""

    server: str
    revision: str
    disclose: Disclose
    new_id: Callable[[], str]


def conclude(
    messages: Sequence[Message], evaluations: Sequence[Evaluation], discharge: Discharge | None, frame: Frame
) -> tuple[Decision, ...]:
    """One decision for each message; `discharge` is None where the store could not tell.

    The proxy cannot split a batch: one denied part denies all, the others were not executed (policies/README.md 8).
    """
    standings = _standings(discharge, len(messages))
    if not len(messages) == len(evaluations) == len(standings):
        raise ValueError(f"expected as many evaluations and standings as messages, {len(messages)}")
    reasons = [_reason(evaluations[part], discharge, standings[part]) for part in range(len(messages))]
    if reasons.count(Reason.ALLOWED) == len(reasons):
        if discharge is None or not discharge.paid:
            # Nothing was paid, and no message says why: whatever the store means, it is not "allowed".
            reasons = [Reason.STATE_UNAVAILABLE] * len(reasons)
    else:
        reasons = [Reason.NOT_EXECUTED if reason is Reason.ALLOWED else reason for reason in reasons]
    return tuple(
        [
            _decision(messages[part], evaluations[part], reasons[part], discharge, standings[part], frame)
            for part in range(len(messages))
        ]
    )


def least(*levels: Disclose) -> Disclose:
    """The level that tells least."""
    return _LESS[max(map(_LESS.index, levels))]


def _standings(discharge: Discharge | None, parts: int) -> Sequence[Standing | None]:
    """How the approval of each part stands."""
    return discharge.standings if discharge and discharge.standings else (None,) * parts


def _decision(
    message: Message,
    evaluation: Evaluation,
    reason: Reason,
    discharge: Discharge | None,
    standing: Standing | None,
    frame: Frame,
) -> Decision:
    limited = discharge if reason is Reason.RATE_LIMITED else None
    return Decision(
        id=frame.new_id(),
        effect=Effect.ALLOW if reason is Reason.ALLOWED else Effect.DENY,
        reason=reason,
        message=message,
        server=frame.server,
        target=evaluation.target,
        rule=evaluation.rule,
        reason_text=evaluation.reason_text,
        detail=evaluation.detail,
        retry_after=limited.retry_after if limited else 0.0,
        limits=_exhausted(evaluation, limited) if limited else (),
        quotas=discharge.quotas if discharge else (),
        approval=standing,
        approvers=_approvers(evaluation) if standing else (),
        revision=frame.revision,
        disclose=frame.disclose if evaluation.disclose is None else least(frame.disclose, evaluation.disclose),
    )


def _reason(evaluation: Evaluation, discharge: Discharge | None, standing: Standing | None) -> Reason:
    """Why this message is decided as it is, once it is known what could be paid."""
    if evaluation.effect is Effect.DENY or not evaluation.obligations:
        return evaluation.reason
    if discharge is None:
        return Reason.STATE_UNAVAILABLE
    if discharge.paid:
        return evaluation.reason
    if standing is not None and standing.status is not ApprovalStatus.GRANTED:
        denied = standing.status is ApprovalStatus.DENIED
        return Reason.APPROVAL_DENIED if denied else Reason.APPROVAL_REQUIRED
    return Reason.RATE_LIMITED if _exhausted(evaluation, discharge) else evaluation.reason


def _exhausted(evaluation: Evaluation, discharge: Discharge) -> tuple[str, ...]:
    """The names of the limits that refused, among those that this message owes to."""
    owed = {one.limit.key for one in evaluation.obligations if isinstance(one, Charge)}
    if any(isinstance(one, Approval) for one in evaluation.obligations):
        owed |= {PENDING_LIMIT.key, FILING_LIMIT.key}
    return tuple(dict.fromkeys(limit.name for limit in discharge.exhausted if limit.key in owed))


def _approvers(evaluation: Evaluation) -> tuple[str, ...]:
    """Who may say yes, in the policy's words."""
    return tuple(dict.fromkeys(name for one in evaluation.obligations if isinstance(one, Approval) for name in one.by))
