"""A denied request -> how its client is sent for a token, or for a better one. Pure; None where none would help."""

from __future__ import annotations

from collections.abc import Sequence

from authz.identity import IdentitySource, SourceKind
from authz.mcp.challenge import Challenge, insufficient, unauthenticated
from authz.model import Call, Decision, Disclose, Reason
from authz.policy.rules import Policy
from authz.policy.scopes import helping, named

# Another rule of the same block could hold for a caller with more scopes.
_WIDENED = frozenset({Reason.NO_RULE_HOLDS, Reason.RULE_DENIED, Reason.UNAUTHENTICATED})


def challenge_for(
    source: IdentitySource,
    policy: Policy,
    baselines: Sequence[Policy],
    calls: Sequence[Call],
    decisions: Sequence[Decision],
    refused: str,
) -> Challenge | None:
    """The challenge of a request that `policy` governs; `refused` is why its token does not count, "" if it does.

    Only of tokens that are verified here: of others nobody here knows where to get one. Rules that tell their callers
    the code only do not tell scopes either.
    """
    if source.kind is not SourceKind.JWT:
        return None
    at = next((at for at, one in enumerate(decisions) if one.reason is not Reason.NOT_EXECUTED), 0)
    call, decision = calls[at], decisions[at]
    resource = source.audience_of(policy.server)
    tells = decision.disclose is not Disclose.CODE
    if call.principal.verified:
        scopes = helping(policy, baselines, call) if tells and decision.reason in _WIDENED else ()
        return insufficient(resource, scopes) if scopes else None
    if decision.reason is not Reason.UNAUTHENTICATED:
        return None
    return unauthenticated(resource, named(policy, baselines, call, source.name) if tells else (), refused)
