"""`mcp-authz explain`: one request against the policies -> every rule tried, what is owed, the exact answer."""

from __future__ import annotations

import asyncio
import json
import math
import sys
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from rich.console import Console
from rich.text import Text

from authz.app import wiring
from authz.app.callers import believing
from authz.app.commands.explain_data import as_data
from authz.app.commands.question import Question
from authz.app.phrases import counted
from authz.app.settings.settings import Settings
from authz.engine import Engine
from authz.explanation import Explanation
from authz.model import (
    Algorithm,
    Approval,
    Charge,
    Decision,
    Effect,
    HttpRequest,
    Principal,
    Reason,
    Reply,
    Step,
    TargetKind,
)
from authz.policy.selection import SERVER_EXTENSION, PolicySet
from authz.policy.text.suggestion import did_you_mean

__all__ = ["Question", "run", "section", "tried"]


def run(question: Question, settings: Settings, *, as_json: bool) -> int:
    """0 if the call is allowed, 1 if it is denied; mistakes raise AuthzError. Counts nothing and writes nothing."""
    request = question.request(wiring.identities(settings))
    policies = wiring.loader(settings).first().policies
    for problem in policies.problems:
        print(problem, file=sys.stderr)
    _say_what_is_known(request, policies)
    engine = Engine(
        policies,
        wiring.store(settings),
        (),
        wiring.engine_settings(settings, verifiers=believing(settings.identity)),
        new_id=lambda: "explained",
    )
    explanation = asyncio.run(engine.explain(request))
    if as_json:
        print(json.dumps(as_data(explanation, policies.revision), indent=2))
    else:
        console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
        for line in _lines(explanation, policies.revision):
            console.print(line)
    return 0 if explanation.reply.allowed else 1


def _say_what_is_known(request: HttpRequest, policies: PolicySet) -> None:
    """Where no policy governs the request: which servers there are. The answer stays what the proxy would get."""
    if policies.select(request).policy is not Reason.NO_POLICY:
        return
    servers = sorted(policies.policies.keys() | policies.broken)
    named = request.context.get(SERVER_EXTENSION)
    if named is not None:
        text = f"--server: expected one of {', '.join(servers)}, got {named!r}{did_you_mean(named, servers)}"
    else:
        text = f"{counted(len(servers), 'server')} ({', '.join(servers)}) and the route names none: --server NAME"
    print(text, file=sys.stderr)


def _lines(explanation: Explanation, revision: str) -> Iterator[Text]:
    for decision, owed in zip(explanation.decisions, explanation.obligations, strict=True):
        yield _verdict(decision)
        for text in (decision.reason_text, decision.detail, decision.cause):
            if text:
                yield Text(f"  {_visible(text)}")
        yield from section("owed", [(_owed(one), "", "") for one in owed])
        if decision.limits:
            when = (
                "no retry can pass" if math.isinf(decision.retry_after) else f"retry after {decision.retry_after:g} s"
            )
            yield Text(f"  exhausted: {', '.join(decision.limits)}; {when}")
    server = explanation.decisions[0].server or "none"
    chosen = f" (by its {explanation.selected_by})" if explanation.selected_by else ""
    yield Text(f"\nserver {server}{chosen}, revision {revision}, asked by {_who(explanation.principal)}")
    yield from section("tried", tried(explanation.steps))
    yield from section(
        "shadow",
        [(one.policy, f"would {one.effect}", f"{one.reason} {one.rule}".strip()) for one in explanation.shadowed],
    )
    yield from _answer(explanation.reply)


def _verdict(decision: Decision) -> Text:
    allowed = decision.effect is Effect.ALLOW
    line = Text("allow" if allowed else "deny", style="bold green" if allowed else "bold red")
    # A method that is a target itself has its own name twice.
    targets = [target for target in decision.message.targets if target.kind is not TargetKind.METHOD]
    asked = " ".join(part for part in (decision.message.method, targets[0].name if targets else "") if part)
    if asked:
        line.append(f" {_visible(asked)}", style="not bold default")
    line.append(f": {decision.reason}", style="not bold default")
    if decision.rule:
        line.append(f" by {decision.rule}", style="not bold default")
    return line


def tried(steps: Sequence[Step]) -> list[tuple[str, str, str]]:
    """The steps a line each; that a block was chosen goes without saying where its own rule comes next."""
    rows = []
    for step, after in zip_longest(steps, steps[1:]):
        if after is None or (step.result, step.place) != ("chosen", after.place):
            rows.append((step.place, "matches the name" if step.result == "chosen" else step.result, step.detail))
    return rows


def section(title: str, rows: Sequence[tuple[str, str, str]]) -> Iterator[Text]:
    """A title and `rows` in columns, nothing where there are none; what an agent put into them is made visible."""
    if not rows:
        return
    yield Text(f"{title}:", style="bold")
    first = max(len(row[0]) for row in rows)
    second = max(len(row[1]) for row in rows)
    for place, result, detail in rows:
        yield Text(f"  {_visible(place):{first}}  {_visible(result):{second}}  {_visible(detail)}".rstrip())


def _owed(owed: Charge | Approval) -> str:
    if isinstance(owed, Approval):
        return _asked(owed)
    limit = owed.limit
    per = [f"{part} {value!r}" if value else part for part, value in owed.descriptor]
    if owed.session:
        per.append(f"session {owed.session!r}")
    said = f"{limit.name}: {_number(owed.cost)} of {limit.max} in {limit.window:g} s"
    if limit.algorithm is not Algorithm.SLIDING_WINDOW:
        said += f" by {limit.algorithm}"
    if limit.algorithm is Algorithm.TOKEN_BUCKET:
        said += f" of burst {limit.burst}"
    return f"{said}, counted for {', '.join(per)}" if per else said


def _asked(approval: Approval) -> str:
    said = f"approval for {approval.rule}"
    if approval.by:
        said += f" by {', '.join(approval.by)}"
    said += f" within {approval.timeout:g} s"
    if not approval.uses:
        said += ", for any number of equal calls"
    elif approval.uses > 1:
        said += f", for {approval.uses} equal calls"
    if approval.remember:
        said += f" in the {approval.remember:g} s after the yes"
    return f"{said}, with a reason" if approval.reason_required else said


def _number(cost: float) -> str:
    return str(int(cost)) if cost.is_integer() else f"{cost:.12g}"


def _who(principal: Principal) -> str:
    if not principal.verified:
        return f"nobody verified (connection of {principal.peer})" if principal.peer else "nobody verified"
    said = [f"{principal.id} (source {principal.source})"]
    said += [f"groups {', '.join(sorted(principal.groups))}"] if principal.groups else []
    said += [f"client {principal.client_id}"] if principal.client_id else []
    said += [f"scopes {', '.join(sorted(principal.scopes))}"] if principal.scopes else []
    return _visible(", ".join(said))


def _answer(reply: Reply) -> Iterator[Text]:
    if reply.allowed:
        yield Text("\nthe proxy sends the request on to the server", style="bold")
        for name, value in reply.headers:
            yield Text(f"  {name}: {value} (added to the server's answer)")
        return
    yield Text("\nthe client gets:", style="bold")
    yield Text(f"  HTTP {reply.status}")
    for name, value in reply.headers:
        yield Text(f"  {name}: {value}")
    if reply.body:
        yield Text(f"\n  {reply.body.decode('utf-8', 'backslashreplace')}")


def _visible(text: str) -> str:
    """`text` on one line of a terminal, whatever an agent put into it."""
    return text if text.isprintable() else "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
