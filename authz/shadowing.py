"""Calls and the policies that only watch -> what these would have done. It changes nothing (policies/README.md 7)."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from msgspec.structs import replace

from authz.errors import StoreError, TokenBusy, TokenRefused
from authz.identity import Identities
from authz.model import Approval, Call, Charge, Effect, Evaluation, HttpRequest, Reason, Shadowed
from authz.policy.evaluate import evaluate
from authz.policy.rules import Policy
from authz.state.store import Attempt, Owed, Store

_log = logging.getLogger(__name__)


class Watchers:
    """Shadow policies with what they decide by: counters of their own in `store`, and who asks by `identities`.

    Without `peek` their limits are charged. `refused` is the denial of a caller whose token does not count.
    """

    def __init__(self, store: Store, identities: Identities, *, peek: bool, refused: Evaluation | None) -> None:
        self._store = store
        self._identities = identities
        self._peek = peek
        self._refused = refused

    async def watch(
        self, shadows: Sequence[Policy], request: HttpRequest, calls: Sequence[Call]
    ) -> tuple[Shadowed, ...]:
        """What each of `shadows` would have done with each of `calls`, which are those of `request`; never raises."""
        return tuple([await self._watch_one(shadow, request, call) for shadow in shadows for call in calls])

    async def _watch_one(self, shadow: Policy, request: HttpRequest, call: Call) -> Shadowed:
        try:
            if shadow.identity:
                principal = self._identities.identify(request, shadow.identity, call.server, call.now)
                return await self._decide(shadow, replace(call, principal=principal))
            if self._refused is not None:
                return Shadowed(shadow.file, Effect.DENY, self._refused.reason, self._refused.rule)
            return await self._decide(shadow, call)
        except (StoreError, TokenRefused, TokenBusy) as error:
            return Shadowed(shadow.file, Effect.DENY, error.reason)
        except Exception:
            _log.exception("shadow policy %s failed", shadow.file)
            return Shadowed(shadow.file, Effect.DENY, Reason.INTERNAL)

    async def _decide(self, shadow: Policy, call: Call) -> Shadowed:
        evaluation = evaluate(shadow, (), call)
        reason = evaluation.reason
        if any(isinstance(one, Approval) for one in evaluation.obligations):
            reason = Reason.APPROVAL_REQUIRED  # nobody is asked
        elif evaluation.obligations:
            charges = tuple(one for one in evaluation.obligations if isinstance(one, Charge))
            paid = await self._store.discharge(Attempt([Owed(charges)], peek=self._peek))
            reason = reason if paid.paid else Reason.RATE_LIMITED
        effect = Effect.ALLOW if reason is Reason.ALLOWED else Effect.DENY
        return Shadowed(shadow.file, effect, reason, evaluation.rule)
