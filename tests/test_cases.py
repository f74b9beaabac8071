"""The case files of tests/cases, played at three heights: the policy alone, the engine, and the Check service."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from sinks import Sink

from authz.app.settings.identities import compile_identities
from authz.audit import Record
from authz.engine import Engine, EngineSettings
from authz.envoy.authorization import Authorization
from authz.envoy.lane import Lane
from authz.envoy.pb import ext_authz_pb2 as pb
from authz.identity import Identities
from authz.mcp.message import BodyLimits, decode
from authz.model import Call, Charge, Effect, HttpRequest, Reason
from authz.policy.compile.file import PolicyContext
from authz.policy.compile.policies import compile_policies
from authz.policy.evaluate import evaluate
from authz.policy.rules import Policy
from authz.policy.selection import PolicySet
from authz.policy.text.document import parse
from authz.state.memory import MemoryStore

CASES = Path(__file__).parent / "cases"
MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


@dataclass(frozen=True)
class Played:
    """What one case got, at whichever height."""

    effect: Effect
    reason: Reason
    rule: str
    text: str
    detail: str
    owes: tuple[str, ...]


def load() -> list[Any]:
    params = []
    for path in sorted(CASES.glob("*.yaml")):
        text = yaml.safe_load(path.read_text())
        params += [pytest.param(text, case, id=f"{path.stem}: {case['name']}") for case in text["cases"]]
    return params


def identities_of(text: Mapping[str, Any]) -> Identities:
    if "identities" not in text:
        return Identities()
    document = parse(yaml.safe_dump({"identity": text["identities"]}).encode(), "settings.yaml")
    sources, problems = compile_identities(document, document.value["identity"])
    assert not problems
    return Identities(sources)


def compile_case(text: Mapping[str, Any]) -> PolicySet:
    files = {name: policy.encode() for name, policy in text["policies"].items()}
    policies = compile_policies(files, PolicyContext(identities_of(text).claims))
    assert not policies.problems, "\n".join(map(str, policies.problems))
    return policies


def request_of(case: Mapping[str, Any]) -> HttpRequest:
    """The case as an HTTP request, as the proxy would describe it."""
    params: dict[str, Any] = dict(case.get("params", {}))
    method = case.get("method", "")
    if "tool" in case or "prompt" in case:
        method = "tools/call" if "tool" in case else "prompts/get"
        params["name"] = case.get("tool", case.get("prompt"))
        if "arguments" in case:
            params["arguments"] = case["arguments"]
    elif "resource" in case:
        method = "resources/read"
        params["uri"] = case["resource"]
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    if case.get("modern"):
        params["_meta"] = {**MODERN, **case.get("meta", {})}
        headers |= {
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": method,
            "mcp-name": params.get("name", params.get("uri", "")),
        }
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    return HttpRequest(
        method="POST",
        path="/mcp",
        host="mcp.example",
        headers={**headers, "content-length": str(len(body)), **case.get("headers", {})},
        body=body,
        size=len(body),
        source_address="192.0.2.1",
        peer=case.get("peer", ""),
        verified={"envoy.filters.http.jwt_authn": {"jwt": case["token"]}} if "token" in case else {},
        context={"mcp_server": case["server"]} if "server" in case else {},
    )


def check_request_of(request: HttpRequest) -> bytes:
    """`request` as Envoy puts it on the wire."""
    check = pb.CheckRequest()
    attributes = check.attributes
    attributes.source.address.socket_address.address = request.source_address
    attributes.source.principal = request.peer
    http = attributes.request.http
    http.id = "1"
    http.method, http.path, http.host = request.method, request.path, request.host
    http.headers.update({**request.headers, "x-envoy-auth-partial-body": "false"})
    http.raw_body, http.size = request.body, request.size
    attributes.context_extensions.update(request.context)
    for name, payload in request.verified.items():
        attributes.metadata_context.filter_metadata[name].update(payload)
    return check.SerializeToString()


def owes(obligations: Any) -> tuple[str, ...]:
    return tuple(one.limit.name for one in obligations if isinstance(one, Charge))


async def play_evaluate(text: Mapping[str, Any], case: Mapping[str, Any]) -> Played | None:
    policies = compile_case(text)
    request = request_of(case)
    policy = policies.select(request)
    if not isinstance(policy, Policy):
        return None  # which policy governs is not the evaluation's business
    identities = identities_of(text)
    principal = identities.identify(request, policy.identity or identities.default)
    (message,) = decode(request, BodyLimits()).messages
    call = Call(
        policy.server,
        message,
        principal,
        address=request.source_address,
        headers=request.headers,
        origin=request.headers.get("origin"),
    )
    found = evaluate(policy, policies.baselines, call)
    if case.get("reason") == "approval_required":
        assert found.effect is Effect.ALLOW
        assert len(found.obligations) > len(owes(found.obligations)), "an approval must be owed"
        return None
    return Played(found.effect, found.reason, found.rule, found.reason_text, found.detail, owes(found.obligations))


def engine_of(text: Mapping[str, Any], sink: Sink) -> Engine:
    settings = EngineSettings(identities=identities_of(text))
    return Engine(compile_case(text), MemoryStore(), [sink], settings)


def played(record: Record) -> Played:
    decision = record.decision
    return Played(
        decision.effect, decision.reason, decision.rule, decision.reason_text, decision.detail, owes(record.obligations)
    )


async def play_engine(text: Mapping[str, Any], case: Mapping[str, Any]) -> Played | None:
    sink = Sink()
    reply = await engine_of(text, sink).check(request_of(case))
    (record,) = sink.records
    assert reply.allowed is (record.decision.effect is Effect.ALLOW)
    return played(record)


async def play_check(text: Mapping[str, Any], case: Mapping[str, Any]) -> Played | None:
    sink = Sink()
    service = Authorization(engine_of(text, sink), Lane())
    answer = pb.CheckResponse.FromString(await service.check(check_request_of(request_of(case)), "test"))
    (record,) = sink.records
    assert (answer.status.code == 0) is (record.decision.effect is Effect.ALLOW)
    assert answer.HasField("ok_response") is (answer.status.code == 0)
    return played(record)


@pytest.mark.parametrize("play", [play_evaluate, play_engine, play_check], ids=["evaluate", "engine", "check"])
@pytest.mark.parametrize(("text", "case"), load())
async def test_a_case_gets_its_decision(text: Any, case: Any, play: Any) -> None:
    found = await play(text, case)
    if found is None:
        return
    assert found.effect == case["expect"], found
    for key in ("reason", "rule", "text", "detail"):
        if key in case:
            assert getattr(found, key) == case[key], found
    if "owes" in case:
        assert sorted(found.owes) == sorted(case["owes"])
