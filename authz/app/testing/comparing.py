"""What a call must get and what it got -> the differences, a sentence each. Knows no policy and prints nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from authz.app.testing.cases import Wanted
from authz.audit import Record
from authz.model import Charge, Effect, Reason, Reply

_CLOSE = 1e-6  # seconds: counters add fractions up


def differences(wanted: Wanted, reply: Reply, records: Sequence[Record]) -> list[str]:
    """How what was answered and recorded differs from `wanted`; empty where it does not.

    Of a batch the first message that was denied for its own sake is compared, else the first.
    """
    record = next((one for one in records if one.decision.reason not in (Reason.ALLOWED, Reason.NOT_EXECUTED)), None)
    return list(_differences(wanted, reply, record or records[0]))


def _differences(wanted: Wanted, reply: Reply, record: Record) -> Iterator[str]:
    decision = record.decision
    effect = Effect.ALLOW if reply.allowed else Effect.DENY
    if wanted.effect is not effect:
        by = f" by {decision.rule}" if decision.rule else ""
        yield f"expected {_said(wanted)}, got {effect}: {decision.reason}{by}"
        return
    for name, expected, got in (
        ("reason", wanted.reason, decision.reason),
        ("rule", wanted.rule, decision.rule),
        ("text", wanted.text, decision.reason_text),
    ):
        if expected is not None and expected != got:
            yield f"{name}: expected {_shown(expected)}, got {_shown(got)}"
    if wanted.detail is not None and wanted.detail not in decision.detail:
        yield f"detail: expected a part {wanted.detail!r}, got {decision.detail!r}"
    body = reply.body.decode("utf-8", "backslashreplace")
    if wanted.answer is not None and wanted.answer not in body:
        yield f"answer: expected a part {wanted.answer!r}, got {body!r}"
    owed = tuple(sorted(one.limit.name for one in record.obligations if isinstance(one, Charge)))
    if wanted.owes is not None and wanted.owes != owed:
        yield f"owes: expected {_listed(wanted.owes)}, got {_listed(owed)}"
    asked = tuple(sorted(decision.approvers)) if decision.approval is not None else None
    if wanted.approvers is not None and wanted.approvers != asked:
        got = "nobody was asked" if asked is None else _listed(asked)
        yield f"approvers: expected {_listed(wanted.approvers)}, got {got}"
    after = decision.retry_after
    if wanted.retry_after is not None and not math.isclose(wanted.retry_after, after, abs_tol=_CLOSE):
        yield f"retry_after: expected {wanted.retry_after:g}, got {after:g}"


def _said(wanted: Wanted) -> str:
    return wanted.effect if wanted.reason is None else f"{wanted.effect} ({wanted.reason})"


def _shown(value: str) -> str:
    return value if isinstance(value, Reason) else repr(value)


def _listed(names: Sequence[str]) -> str:
    return f"[{', '.join(names)}]"
