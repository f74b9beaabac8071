"""HTTP request -> reply: reads it, finds out who asks, evaluates, pays what is owed, and writes down what was decided.

The engine awaits its store but knows no event loop, no wire format and no clock of its own. It never raises: what
goes wrong is a denial with a reason, and the cause is in the log.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from msgspec import Struct
from msgspec.structs import replace

from authz.approval import OWN_ID, approval_request
from authz.audit import AuditSink, Record
from authz.challenging import challenge_for
from authz.conclude import Frame, conclude, least
from authz.errors import ApprovalError, MalformedMessage, StoreError, TokenBusy, TokenRefused
from authz.identity import Identities
from authz.identity.callers import Callers, is_certified
from authz.mcp.challenge import Challenge
from authz.mcp.exact import canonical_params
from authz.mcp.message import BodyLimits, decode
from authz.mcp.reply import ReplyStyle, encode_allowed, encode_denied, encode_malformed, encode_refused
from authz.model import (
    ANONYMOUS,
    HTTP_METADATA,
    HTTP_PREFLIGHT,
    Approval,
    Call,
    Charge,
    Decision,
    Discharge,
    Disclose,
    Effect,
    Era,
    Evaluation,
    Exchange,
    HttpRequest,
    Message,
    MessageKind,
    Obligation,
    Principal,
    Reason,
    Reply,
    Shadowed,
    Step,
)
from authz.policy.decide import denied
from authz.policy.evaluate import evaluate
from authz.policy.limits import caller_descriptor
from authz.policy.matching import Way
from authz.policy.rules import Policy
from authz.policy.selection import PolicySet
from authz.state.clients import Client, Openers
from authz.state.store import Attempt, Owed, Store

_log = logging.getLogger(__name__)

_UNREAD = Message(MessageKind.HTTP, "")
_NOTHING_READ = Exchange(Era.LEGACY, (_UNREAD,))
_PAID = Discharge(paid=True)
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


class Explanation(Struct, frozen=True, gc=False):
    """One request as the engine sees it, with nothing charged and nothing written.

    `steps` are every block, rule and condition that was tried; `obligations` what would be owed by each message.
    `selected_by` is what chose the policy, None where there was no choice.
    """

    exchange: Exchange
    principal: Principal
    decisions: tuple[Decision, ...]
    obligations: tuple[tuple[Obligation, ...], ...]
    steps: tuple[Step, ...]
    shadowed: tuple[Shadowed, ...]
    reply: Reply
    selected_by: Way | None = None


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
        self._sinks = tuple(sinks)
        self._required = tuple(required)
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
            return self._recorded(request, explanation, started)
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
            explanation = _unexamined(decision, encode_refused(reason, decision.id))
        try:
            return self._recorded(request or HttpRequest("", "", "", {}), explanation, started)
        except Exception:
            _log.exception("decision %s could not be recorded", explanation.decisions[0].id)
            return explanation.reply

    def _unread(self, error: MalformedMessage, server: str = "") -> Explanation:
        """The denial of a request that could not be read."""
        decision = replace(self._undecided(error.reason, str(error)), server=server, detail=error.kind)
        return _unexamined(decision, encode_malformed(error, decision.id, self._settings.style))

    def _undecided(self, reason: Reason, cause: str) -> Decision:
        revision = self._policies.revision
        return Decision(self._new_id(), Effect.DENY, reason, _UNREAD, cause=cause, revision=revision)

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
            discharge: Discharge | None = _PAID
        else:
            principal, refused = self._identify(request, policy, exchange)
            calls = self._calls(request, exchange, policy, principal)
            if refused is None:
                evaluations = [evaluate(policy, policies.baselines, call, steps) for call in calls]
            else:
                evaluations = [refused] * len(calls)
            discharge = await self._discharge(request, calls, evaluations, peek)
            if calls[0].message.method == _INITIALIZE and refused is None and not peek:
                self._declare(request, calls[0])
        frame = Frame(server, policies.revision, self._discloses(principal), self._new_id)
        decisions = conclude(exchange.messages, evaluations, discharge, frame)
        shadowed: tuple[Shadowed, ...] = ()
        if calls and policies.shadows:
            shadowed = await self._shadow(request, policies, server, calls, peek, refused)
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
        anonymous = self._settings.identities.configured and not principal.verified
        # An anonymous caller is never told what arguments would pass (policies/README.md 11).
        return least(self._settings.style.disclose, Disclose.REASON if anonymous else Disclose.FULL)

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

    async def _discharge(
        self, request: HttpRequest, calls: Sequence[Call], evaluations: list[Evaluation], peek: bool
    ) -> Discharge | None:
        """What came of paying, None where the store could not tell.

        An evaluation becomes a denial where a person cannot be asked about its call.
        """
        owes = False
        for evaluation in evaluations:
            if evaluation.effect is Effect.DENY:
                return _PAID  # a denied call consumes nothing
            owes = owes or bool(evaluation.obligations)
        if not owes:
            return _PAID
        parts: list[Owed] = []
        for part, (call, evaluation) in enumerate(zip(calls, evaluations, strict=True)):
            try:
                parts.append(self._owed(request, part, call, evaluation))
            except ApprovalError as error:
                evaluations[part] = denied(error.reason, evaluation.rule, evaluation.reason_text, str(error))
                return _PAID
        try:
            return await self._store.discharge(Attempt(parts, _repeat_key(request), peek))
        except StoreError as error:
            _log.debug("the store could not tell: %s", error)  # who keeps the store says so once
            return None

    def _owed(self, request: HttpRequest, part: int, call: Call, evaluation: Evaluation) -> Owed:
        """What one message owes: its charges, and one request that stands for all approvals."""
        obligations = evaluation.obligations
        charges = tuple([one for one in obligations if isinstance(one, Charge)])
        if len(charges) == len(obligations):
            return Owed(charges)
        approvals = [one for one in obligations if isinstance(one, Approval)]
        params = canonical_params(request.body, part)
        claim = self._settings.approval_claim
        return Owed(charges, approval_request(call, evaluation, approvals, params, claim=claim))

    async def _shadow(
        self,
        request: HttpRequest,
        policies: PolicySet,
        server: str,
        calls: Sequence[Call],
        peek: bool,
        refused: Evaluation | None,
    ) -> tuple[Shadowed, ...]:
        """What each shadow policy would have done. Whatever goes wrong here changes nothing (policies/README.md 7)."""
        outcomes = []
        for shadow in policies.beside(server):
            for call in calls:
                try:
                    seen = call
                    if refused is not None and not shadow.identity:
                        outcomes.append(Shadowed(shadow.file, Effect.DENY, refused.reason, refused.rule))
                        continue
                    if shadow.identity:
                        identify = self._settings.identities.identify
                        seen = replace(call, principal=identify(request, shadow.identity, call.server, call.now))
                    outcomes.append(await self._shadow_one(shadow, seen, peek))
                except (StoreError, TokenRefused, TokenBusy) as error:
                    outcomes.append(Shadowed(shadow.file, Effect.DENY, error.reason))
                except Exception:
                    _log.exception("shadow policy %s failed", shadow.file)
                    outcomes.append(Shadowed(shadow.file, Effect.DENY, Reason.INTERNAL))
        return tuple(outcomes)

    async def _shadow_one(self, shadow: Policy, call: Call, peek: bool) -> Shadowed:
        evaluation = evaluate(shadow, (), call)
        reason = evaluation.reason
        if any(isinstance(one, Approval) for one in evaluation.obligations):
            reason = Reason.APPROVAL_REQUIRED  # nobody is asked
        elif evaluation.obligations:
            charges = tuple(one for one in evaluation.obligations if isinstance(one, Charge))
            paid = await self._store.discharge(Attempt([Owed(charges)], peek=peek))
            reason = reason if paid.paid else Reason.RATE_LIMITED
        effect = Effect.ALLOW if reason is Reason.ALLOWED else Effect.DENY
        return Shadowed(shadow.file, effect, reason, evaluation.rule)

    def _recorded(self, request: HttpRequest, explanation: Explanation, started: float) -> Reply:
        """The explanation's reply once it is written down; where it must be and cannot, a denial."""
        records = self._records(request, explanation, started)
        # Kept to the end: one sink that refuses a record must not keep the others from it.
        taken = [sink.write(record) for record in records for sink in self._required]
        if explanation.reply.allowed and not all(taken):
            explanation = self._unrecorded(explanation)
            records = self._records(request, explanation, started)
            for record in records:
                for sink in self._required:
                    sink.write(record)
        for record in records:
            for sink in self._sinks:
                sink.write(record)
        return explanation.reply

    def _unrecorded(self, explanation: Explanation) -> Explanation:
        """The denial of what would be allowed but cannot be recorded."""
        decisions = tuple(
            replace(decision, effect=Effect.DENY, reason=Reason.AUDIT_UNAVAILABLE) for decision in explanation.decisions
        )
        reply = encode_denied(explanation.exchange, decisions, self._settings.style)
        return replace(explanation, decisions=decisions, reply=reply)

    def _records(self, request: HttpRequest, explanation: Explanation, started: float) -> list[Record]:
        """One record a decision."""
        exchange = explanation.exchange
        now = self._clock()
        latency = self._timer() - started
        parts = len(explanation.decisions)
        return [
            Record(
                time=now,
                decision=decision,
                principal=explanation.principal,
                session=exchange.session,
                http_method=request.method,
                address=request.source_address,
                peer=request.peer,
                caller=request.caller if is_certified(request.caller) else "",
                era=None if exchange is _NOTHING_READ else exchange.era,
                version=exchange.version,
                trace_id=exchange.trace_id,
                request_id=request.headers.get("x-request-id", ""),
                body=request.body,
                obligations=owed,
                shadowed=explanation.shadowed[part::parts],
                selected_by=explanation.selected_by or "",
                latency=latency,
                part=part,
                parts=parts,
            )
            for part, (decision, owed) in enumerate(zip(explanation.decisions, explanation.obligations, strict=True))
        ]


def _unexamined(decision: Decision, reply: Reply) -> Explanation:
    """All there is to say where no message was seen."""
    return Explanation(_NOTHING_READ, ANONYMOUS, (decision,), ((),), (), (), reply)


def _client(request: HttpRequest, call: Call) -> Client:
    """Which program of whose it is, as far as anybody can tell."""
    agent = request.headers.get("user-agent", "")
    return call.server, "\n".join(caller_descriptor(call)), agent[:_LONGEST_AGENT]


def _repeat_key(request: HttpRequest) -> bytes:
    """What is the same where the proxy asks twice about one request, b"" where the proxy gave it no id."""
    if not request.stream_id:
        return b""
    return hashlib.sha256(f"{request.caller}\n{request.stream_id}\n".encode() + request.wire).digest()


def _decision_ids() -> Callable[[], str]:
    """Ids that are unique over processes and restarts: a random beginning, then a count."""
    prefix = secrets.token_hex(6)
    count = itertools.count(1)
    return lambda: f"{prefix}-{next(count):x}"
