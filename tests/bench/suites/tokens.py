"""Bearer tokens that the service verifies itself: what a known and a new one cost, and what floods of forged ones do.

The well-behaved caller sends one call at a time, with pauses, and a token that is known; another one comes with a new
token each time. Forged tokens are signed by a stranger, each another one, at 64 calls in flight.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import replace

from tests.bench import policies
from tests.bench.lab import Lab, Subject
from tests.bench.question import ALLOW, HOLE, Question, Verdict, http, mixed
from tests.bench.suites.flood import beside_of, well_behaved
from tests.support import tokens
from tests.support.corpus import check_request

SUITE = "tokens"
CPU, RATE = "CPU µs a call", "calls/s"
P50, P99 = "p50 of the caller µs", "p99 of the caller µs"
FLOOD = "flood calls/s"
NEW = 1_500  # tokens that are signed for one measurement
SENDERS = 200
_agents = itertools.count()
REFUSED = Verdict(False)  # 401, or in band where there is no time to find out


def run(lab: Lab) -> None:
    """A service that trusts a key of ours, asked with its tokens and with others'."""
    keys = lab.children.directory / "keys.json"
    keys.write_bytes(tokens.key_set(tokens.RSA))
    settings = lab.children.directory / "tokens.yaml"
    source = {"name": "corp", "from": "jwt", "issuer": tokens.ISSUER, "jwks": str(keys)}
    settings.write_text(json.dumps({"identity": [{**source, "audience": "https://mcp.example/{server}"}]}))
    proxy = lab.service("tokens-proxy", policies.policies())
    subject = lab.service("tokens", policies.policies(), "--config", str(settings))
    for round_ in range(lab.rounds):
        for name, of, asked in (
            ("verified by the proxy", proxy, mixed()[:1]),
            ("a known token", subject, [question(good("alice"))]),
        ):
            load = lab.ask(of, asked)
            lab.record(SUITE, name, round_, {CPU: load.cpu_per_call(of.child.pid), RATE: load.rate})
        flags = ["--calls", str(NEW), "--seconds", "0", "--warm", "0"]
        new = _asked("new each time")
        load = lab.ask(subject, new, flags=flags)
        lab.record(SUITE, "a new token", round_, {CPU: load.cpu_per_call(subject.child.pid), RATE: load.rate})
        _floods(lab, subject, round_)
    for one in (proxy, subject):
        one.child.stop()


def _floods(lab: Lab, subject: Subject, round_: int) -> None:
    for caller in ("known", "new each time"):
        alone = well_behaved(lab, subject, _asked(caller), seconds=lab.seconds)
        lab.record(SUITE, f"token {caller}, alone", round_, {P50: alone.p50, P99: alone.p99, RATE: alone.rate})
        one, many = forged(1), forged(SENDERS)
        floods = {
            "as many good calls": ([question(good("bob"), "203.0.113.0")], ()),
            "forged tokens of 1 sender": (one, ()),
            f"forged tokens of {SENDERS} senders": (many, ()),
            "forged tokens at 10 a time, with pauses": (many, ("--in-flight", "10", "--pause", "0.01")),
        }
        for flood, (calls, pace) in floods.items():
            lab.ask(subject, calls, seconds=1.0)  # who forges is known after the first ones
            flags = ["--seconds", str(lab.seconds), *pace]
            polite, flooded = beside_of(lab, subject, _asked(caller), calls, flags, lab.seconds)
            figures = {P50: polite.p50, P99: polite.p99, RATE: polite.rate, FLOOD: flooded.rate}
            figures[CPU] = flooded.cpu_per_call(subject.child.pid)
            name = f"token {caller}, beside {flood}"
            lab.record(SUITE, name, round_, figures)
            lab.say(f"{name}: {polite.rate:,.0f} calls/s, p99 {polite.p99:,.0f} µs beside {flooded.rate:,.0f}/s")


def _asked(caller: str) -> Sequence[Question]:
    if caller == "known":
        return [question(good("alice"))]
    return [question(good(f"agent-{next(_agents)}")) for _ in range(NEW)]


def good(who: str) -> str:
    """A token of `who` that lasts longer than any run."""
    return tokens.token(sub=who, aud=f"https://mcp.example/{policies.SERVER}", exp=time.time() + 86_400)


def forged(senders: int) -> Sequence[Question]:
    """Tokens whose signature is another one in each call, and never right."""
    text = good("alice")
    text = f"{text[:-60]}{HOLE}{text[-60 + len(HOLE) :]}"
    return [question(text, f"203.0.113.{at}", REFUSED) for at in range(senders)]


def question(token: str, address: str = "192.0.2.1", verdict: Verdict = ALLOW) -> Question:
    """A call with `token`."""
    plain = http()
    lines = tuple((name, f"Bearer {token}" if name == "authorization" else value) for name, value in plain.lines)
    return Question.of(
        check_request(replace(plain, lines=lines), policies.SERVER, stream=HOLE, address=address), verdict
    )
