"""HTTP request -> reply: reads it, finds out who asks, evaluates, pays what is owed, and writes down what was decided.

The engine awaits its store but knows no event loop, no wire format and no clock of its own. It never raises: what
goes wrong is a denial with a reason, and the cause is in the log.
"""

from __future__ import annotations

import itertools
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from authz.approval import OWN_ID
from authz.audit import AuditSink
from authz.challenging import challenge_for
from authz.conclude import Frame, conclude, least
from authz.errors import MalformedMessage, TokenBusy, TokenRefused
from authz.explanation import UNREAD, Explanation, unexamined
from authz.identity import Identities
from authz.identity.callers import Callers
from authz.mcp.challenge import Challenge
from authz.mcp.message import BodyLimits, decode
from authz.mcp.reply import ReplyStyle, encode_allowed, encode_denied, encode_malformed, encode_refused
from authz.model import (
    ANONYMOUS,
    HTTP_METADATA,
    HTTP_PREFLIGHT,
    Call,
    Decision,
    Discharge,
    Disclose,
    Effect,
    Era,
    Evaluation,
    Exchange,
    HttpRequest,
    Principal,
    Reason,
    Reply,
    Shadowed,
    Step,
)
from authz.payment import PAID, pay
from authz.policy.decide import denied
from authz.policy.evaluate import evaluate
from authz.policy.limits import caller_descriptor
from authz.policy.rules import Policy
from authz.policy.selection import PolicySet
from authz.recording import Recorder
from authz.shadowing import Watchers
from authz.state.clients import Client, Openers
from authz.state.store import Store

_log = logging.getLogger(__name__)

_INITIALIZE = "initialize"
_IDENTITY = "identity"  # what denies a caller whose token does not count, in place of a rule
_OPEN = (HTTP_METADATA, HTTP_PREFLIGHT)  # who asks for these has no token yet (RFC 9728, 3) or may not send one (CORS)
_LONGEST_AGENT = 256  # characters of a User-Agent that tell programs apart


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What of the settings bears on a decision.

    `challenge` is the WWW-Authenticate value, "" to deny in band. `approval_claim` names the claim by which approver
    and requester are told apart. `callers` may be bound to servers.
    """

    limits: BodyLimits = field(default_factory=BodyLimits)
    style: ReplyStyle = field(default_factory=ReplyStyle)
    identities: Identities = field(default_factory=Identities)
    challenge: str = ""
    approval_claim: str = OWN_ID
    callers: Callers = field(default_factory=Callers)


class Engine:
    """Decides requests against the policies in force.

    `sinks` are told of every decision; a call is only allowed once every sink of `required` has taken its record.
    """

    def __init__(
        self,
        policies: PolicySet,
        store: Store,
        sinks: Sequence[AuditSink],
        settings: EngineSettings | None = None,
        *,
        required: Sequence[AuditSink] = (),
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.perf_counter,
        new_id: Callable[[], str] | None = None,
    ) -> None:
        self._policies = policies
        self._store = store
        self._recorder = Recorder(sinks, required, clock, timer)
        self._settings = settings or EngineSettings()
        self._clock = clock
        self._timer = timer
        self._new_id = new_id or _decision_ids()
        self._openers = Openers()

    @property
    def policies(self) -> PolicySet:
        """The policies in force."""
        return self._policies

    def swap(self, policies: PolicySet) -> None:
        """Put `policies` in force: one reference, so that every call is decided by one whole set."""
        self._policies = policies

    def configure(self, settings: EngineSettings) -> None:
        """Decide by `settings` from now on."""
        self._settings = settings

    async def check(self, request: HttpRequest) -> Reply:
        """The reply to `request`; never raises."""
        started = self._timer()
        try:
            explanation = await self._decide(request, steps=None, peek=False)
            return self._recorder.record(request, explanation, started, self._settings.style)
        except Exception as error:
            return self.refuse(Reason.INTERNAL, request, error)

    async def explain(self, request: HttpRequest) -> Explanation:
        """What `check` would do and why; charges nothing and writes nothing."""
        return await self._decide(request, steps=[], peek=True)

    def refuse(self, reason: Reason, request: HttpRequest | None, error: Exception | None = None) -> Reply:
        """The reply where nothing could be decided: the check was unreadable, there was no room, something broke."""
        started = self._timer()
        if isinstance(error, MalformedMessage):
            explanation = self._unread(error)
        else:
            if reason is Reason.INTERNAL:
                _log.error("a decision failed", exc_info=error)
            cause = "" if error is None else f"{type(error).__name__}: {error}"
            decision = self._undecided(reason, cause)
            explanation = unexamined(decision, encode_refused(reason, decision.id))
        try:
            unread = request or HttpRequest("", "", "", {})
            return self._recorder.record(unread, explanation, started, self._settings.style)
        except Exception:
            _log.exception("decision %s could not be recorded", explanation.decisions[0].id)
            return explanation.reply

    def _unread(self, error: MalformedMessage, server: str = "") -> Explanation:
        """The denial of a request that could not be read."""
        decision = replace(self._undecided(error.reason, str(error)), server=server, detail=error.kind)
        return unexamined(decision, encode_malformed(error, decision.id, self._settings.style))

    def _undecided(self, reason: Reason, cause: str) -> Decision:
        revision = self._policies.revision
        return Decision(self._new_id(), Effect.DENY, reason, UNREAD, cause=cause, revision=revision)

    # --------------------------------------------------------------------------------------------- one request

    async def _decide(self, request: HttpRequest, steps: list[Step] | None, peek: bool) -> Explanation:
        policies = self._policies
        settings = self._settings
        selected = policies.select(request)
        policy = selected.policy
        server = policy.server if isinstance(policy, Policy) else ""
        rule = ""
        if server and settings.callers.bound and not settings.callers.may_ask(request.caller, server):
            # This proxy has no word on that server, so none of its rules counts and nothing is owed.
            policy, rule = Reason.NO_POLICY, "callers"
        try:
            exchange = decode(request, settings.limits)
        except MalformedMessage as error:
            return self._unread(error, server)

        if isinstance(policy, Reason):
            principal = ANONYMOUS
            calls: list[Call] = []
            refused: Evaluation | None = None
            evaluations = [Evaluation(Effect.DENY, policy, rule)] * len(exchange.messages)
            discharge: Discharge | None = PAID
        else:
            principal, refused = self._identify(request, policy, exchange)
            calls = self._calls(request, exchange, policy, principal)
            if refused is None:
                evaluations = [evaluate(policy, policies.baselines, call, steps) for call in calls]
            else:
                evaluations = [refused] * len(calls)
            discharge = await pay(self._store, request, calls, evaluations, settings.approval_claim, peek=peek)
            if calls[0].message.method == _INITIALIZE and refused is None and not peek:
                self._declare(request, calls[0])
        frame = Frame(server, policies.revision, self._discloses(principal), self._new_id)
        decisions = conclude(exchange.messages, evaluations, discharge, frame)
        shadowed: tuple[Shadowed, ...] = ()
        if calls and policies.shadows:
            watchers = Watchers(self._store, settings.identities, peek=peek, refused=refused)
            shadowed = await watchers.watch(policies.beside(server), request, calls)
        if decisions[0].approval is not None and not exchange.batch:
            exchange = self._opening(request, exchange, calls[0])
        if decisions[0].effect is Effect.ALLOW:  # then all are: a batch is let through whole or not at all
            reply = encode_allowed(exchange, decisions, settings.style)
        else:
            challenge = self._challenge(policy, policies.baselines, calls, decisions, evaluations)
            reply = encode_denied(exchange, decisions, settings.style, challenge=challenge)
        owed = tuple([evaluation.obligations for evaluation in evaluations])
        return Explanation(exchange, principal, decisions, owed, tuple(steps or ()), shadowed, reply, selected.way)

    def _discloses(self, principal: Principal) -> Disclose:
        """How much a denied caller may be told at most."""
        most = self._settings.style.disclose
        if principal.verified or not self._settings.identities.configured:
            return most
        # An anonymous caller is never told what arguments would pass (policies/README.md 11).
        return least(most, Disclose.REASON)

    def _identify(
        self, request: HttpRequest, policy: Policy, exchange: Exchange
    ) -> tuple[Principal, Evaluation | None]:
        """Who asks; and the denial of whoever brings a token that does not count, whatever nobody may do."""
        identities = self._settings.identities
        name = policy.identity or identities.default
        try:
            return identities.identify(request, name, policy.server, self._clock()), None
        except (TokenRefused, TokenBusy) as error:
            if exchange.messages[0].method in _OPEN:
                return ANONYMOUS, None
            return ANONYMOUS, denied(error.reason, _IDENTITY, "", str(error))

    def _challenge(
        self,
        policy: Policy | Reason,
        baselines: Sequence[Policy],
        calls: Sequence[Call],
        decisions: Sequence[Decision],
        evaluations: Sequence[Evaluation],
    ) -> Challenge | None:
        """How the caller of a denied request is sent for a token, None where none would help."""
        settings = self._settings
        if isinstance(policy, Reason):
            return None
        source = settings.identities.source(policy.identity or settings.identities.default)
        refused = evaluations[0].detail if evaluations[0].rule == _IDENTITY else ""
        challenge = challenge_for(source, policy, baselines, calls, decisions, refused)
        # A caller with a verified token gets no 401: another token would not help (policies/README.md 2).
        if challenge is not None or not settings.challenge or calls[0].principal.verified:
            return challenge
        decisive = next((one for one in decisions if one.reason is not Reason.NOT_EXECUTED), decisions[0])
        return Challenge(401, settings.challenge) if decisive.reason is Reason.UNAUTHENTICATED else None

    def _calls(self, request: HttpRequest, exchange: Exchange, policy: Policy, principal: Principal) -> list[Call]:
        now = self._clock()
        return [
            Call(
                server=policy.server,
                message=message,
                principal=principal,
                era=exchange.era,
                session=exchange.session,
                address=request.source_address,
                host=request.host,
                path=request.path,
                headers=request.headers,
                origin=request.headers.get("origin"),
                now=now,
                catalog=policy.catalog,
            )
            for message in exchange.messages
        ]

    def _declare(self, request: HttpRequest, call: Call) -> None:
        """Keep what an `initialize` declares: calls of its era do not repeat it."""
        self._openers.note(_client(request, call), call.message.opens_urls, call.now)

    def _opening(self, request: HttpRequest, exchange: Exchange, call: Call) -> Exchange:
        """`exchange` with what its client declared when it began."""
        if exchange.era is not Era.LEGACY or not self._openers.opens(_client(request, call), call.now):
            return exchange
        return replace(exchange, messages=(replace(call.message, opens_urls=True),))


def _client(request: HttpRequest, call: Call) -> Client:
    """Which program of whose it is, as far as anybody can tell."""
    agent = request.headers.get("user-agent", "")
    return call.server, "\n".join(caller_descriptor(call)), agent[:_LONGEST_AGENT]


def _decision_ids() -> Callable[[], str]:
    """Ids that are unique over processes and restarts: a random beginning, then a count."""
    prefix = secrets.token_hex(6)
    count = itertools.count(1)
    return lambda: "%s-%x" % (prefix, next(count))  # noqa: UP031  # a third of what an f-string costs where compiled
