"""A call that needs a person's yes, from the first denial to its one execution, at the engine's height."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from sinks import Sink

from authz.engine import Engine, EngineSettings
from authz.identity import Identities, IdentitySource, SourceKind
from authz.mcp.exact import ELICITATION_KEY
from authz.mcp.reply import DenialStyle, ReplyStyle
from authz.model import ApprovalStatus, HttpRequest, Reason, Reply, Ruling
from authz.policy.compile.file import PolicyContext
from authz.policy.compile.policies import compile_policies
from authz.state.memory import MemoryStore

POLICY = """
version: 1
server: db
tools:
  drop: {action: require_approval, reason: drops are rare, approval: {by: ["group:dba"], timeout: 15m}}
  rare: {action: require_approval, rate_limit: {max: 1, window: 60, per: principal, name: rare}}
  often: {action: require_approval, approval: {remember: 1h}}
  never: {rules: [{when: "principal.id == 'mallory'", action: deny}, {action: require_approval}]}
  get: allow
"""
MODERN = "2026-07-28"
OPENS = {"elicitation": {"url": {}}}
PAGE = "https://approvals.example"
SOURCES = Identities([IdentitySource("gw", SourceKind.HEADER, id="x-user")])


@dataclass
class World:
    """An engine with a store, a clock that moves when told, and a person who decides."""

    engine: Engine
    store: MemoryStore
    sink: Sink
    now: list[float]
    headers: dict[str, str] = field(default_factory=dict)

    async def send(
        self,
        method: str,
        params: dict[str, Any],
        *,
        user: str = "alice",
        version: str = "2025-06-18",
        capabilities: Any = None,
    ) -> Reply:
        headers = {"content-type": "application/json", "mcp-protocol-version": version, "x-user": user}
        headers["user-agent"] = "agent/1"
        if version == MODERN:
            meta = {
                "io.modelcontextprotocol/protocolVersion": MODERN,
                "io.modelcontextprotocol/clientCapabilities": capabilities or {},
            }
            params = {**params, "_meta": meta}
            headers |= {"mcp-method": method, "mcp-name": params["name"]}
        content = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
        return await self.post(content, headers)

    async def post(self, content: Any, headers: dict[str, str]) -> Reply:
        body = json.dumps(content).encode()
        return await self.engine.check(HttpRequest("POST", "/mcp", "db", headers, body=body, size=len(body)))

    async def call(self, tool: str = "drop", arguments: Any = None, **sent: Any) -> Reply:
        return await self.send("tools/call", {"name": tool, "arguments": arguments or {}}, **sent)

    async def decide(self, granted: bool = True, by: str = "carol") -> None:
        """The person's word on the request that waits."""
        (waiting,) = [one for one in await self.store.records() if one.status is ApprovalStatus.PENDING]
        satisfies = tuple(range(len(waiting.request.by)))
        assert await self.store.submit(waiting.id, Ruling(by, granted, satisfies, "as agreed"))


def reason(reply: Reply) -> Reason | None:
    return None if reply.allowed else Reason(reply.metadata["reason"])


def text(reply: Reply) -> str:
    return str(json.loads(reply.body)["result"]["content"][0]["text"])


@pytest.fixture
def make() -> Callable[..., World]:
    def world(style: ReplyStyle | None = None, **more: str) -> World:
        files = {"db.yaml": POLICY.encode(), **{f"{name}.yaml": given.encode() for name, given in more.items()}}
        policies = compile_policies(files, PolicyContext({"gw": {}}))
        assert not policies.problems, policies.problems
        now = [1_000.0]
        store = MemoryStore(lambda: now[0])
        sink = Sink()
        settings = EngineSettings(style=style or ReplyStyle(approvals_url=PAGE), identities=SOURCES)
        return World(Engine(policies, store, [sink], settings, clock=lambda: now[0]), store, sink, now)

    return world


@pytest.fixture
def world(make: Callable[..., World]) -> World:
    return make()


async def test_a_call_runs_exactly_once_after_a_yes(world: World) -> None:
    assert reason(await world.call()) is Reason.APPROVAL_REQUIRED
    assert reason(await world.call()) is Reason.APPROVAL_REQUIRED
    assert len(await world.store.records()) == 1
    await world.decide()
    assert reason(await world.call(arguments={"table": "other"})) is Reason.APPROVAL_REQUIRED
    assert reason(await world.call(user="bob")) is Reason.APPROVAL_REQUIRED
    assert (await world.call()).allowed
    assert reason(await world.call()) is Reason.APPROVAL_REQUIRED


async def test_a_no_sticks_to_the_call_and_says_what_the_person_said(world: World) -> None:
    await world.call()
    await world.decide(granted=False)
    denied = await world.call()
    assert reason(denied) is Reason.APPROVAL_DENIED
    assert "Denied by a person" in text(denied)
    assert "Comment: as agreed." in text(denied)
    world.now[0] += 901.0
    assert reason(await world.call()) is Reason.APPROVAL_REQUIRED


async def test_a_yes_that_comes_too_late_or_is_used_too_late_is_no_yes(world: World) -> None:
    await world.call()
    await world.decide()
    world.now[0] += 901.0
    assert reason(await world.call()) is Reason.APPROVAL_REQUIRED


async def test_a_deny_rule_always_wins(world: World) -> None:
    assert reason(await world.call("never")) is Reason.APPROVAL_REQUIRED
    await world.decide()
    assert reason(await world.call("never", user="mallory")) is Reason.RULE_DENIED


async def test_a_yes_under_a_rule_that_has_since_changed_is_no_yes(world: World) -> None:
    await world.call()
    await world.decide()
    changed = POLICY.replace("timeout: 15m", "timeout: 20m").encode()
    world.engine.swap(compile_policies({"db.yaml": changed}, PolicyContext({"gw": {}})))
    assert reason(await world.call()) is Reason.APPROVAL_REQUIRED


async def test_a_change_elsewhere_in_the_policy_leaves_the_yes(world: World) -> None:
    await world.call()
    await world.decide()
    changed = POLICY.replace("get: allow", "get: deny  # for now").encode()
    world.engine.swap(compile_policies({"db.yaml": changed}, PolicyContext({"gw": {}})))
    assert (await world.call()).allowed


async def test_a_remembered_yes_serves_the_same_call_until_its_time_is_over(world: World) -> None:
    await world.call("often")
    await world.decide()
    assert [(await world.call("often")).allowed for _ in range(3)] == [True] * 3
    world.now[0] += 3601.0
    assert reason(await world.call("often")) is Reason.APPROVAL_REQUIRED


async def test_asking_counts_against_the_rules_limit_and_the_run_then_costs_nothing_more(world: World) -> None:
    assert reason(await world.call("rare")) is Reason.APPROVAL_REQUIRED
    over = await world.call("rare", {"n": 2})
    assert reason(over) is Reason.RATE_LIMITED
    assert "rare" in text(over)
    assert len(await world.store.records()) == 1
    await world.decide()
    assert (await world.call("rare")).allowed
    assert reason(await world.call("rare", {"n": 2})) is Reason.RATE_LIMITED


async def test_varying_one_byte_does_not_flood_the_approvers(world: World) -> None:
    replies = [await world.call(arguments={"n": n}) for n in range(30)]
    assert [reason(reply) for reply in replies] == [Reason.APPROVAL_REQUIRED] * 20 + [Reason.RATE_LIMITED] * 10
    assert "approvals-pending" in text(replies[-1])
    assert reason(await world.call(user="bob")) is Reason.APPROVAL_REQUIRED


async def test_each_part_of_a_batch_claims_a_grant_of_its_own(world: World) -> None:
    headers = {"content-type": "application/json", "x-user": "alice"}
    part = {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "drop", "arguments": {}}}
    get = {"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": {"name": "get"}}
    one = [{**part, "id": 1}, get]
    denied = await world.post(one, headers)
    told = [answer["result"]["_meta"]["io.github.mcp-authz/decision"] for answer in json.loads(denied.body)]
    assert [one["reason"] for one in told] == ["approval_required", "not_executed"]
    await world.decide()
    assert not (await world.post([{**part, "id": 1}, {**part, "id": 2}], headers)).allowed
    assert (await world.post(one, headers)).allowed
    assert not (await world.post(one, headers)).allowed


async def test_what_nobody_could_review_is_refused_and_not_filed(world: World) -> None:
    denied = await world.call(arguments={"blob": "x" * 70_000})
    assert reason(denied) is Reason.APPROVAL_REFUSED
    assert "longer than the 65536 characters that a person can review" in text(denied)
    assert await world.store.records() == ()


async def test_the_text_says_where_it_stands_who_decides_and_how_to_go_on(world: World) -> None:
    denied = await world.call()
    (waiting,) = await world.store.records()
    assert text(denied).startswith(
        "Approval required: a person must approve this call of tool `drop` first; it was not executed. "
        f"Reason: drops are rare. Rule: tools.drop. Approval {waiting.id} is pending. Approvers: group:dba. "
        f"Page for the approver: {PAGE}/requests/{waiting.id} . "
        "Send exactly the same call again once it is approved within 900 s; any change needs another approval."
    )
    told = json.loads(denied.body)["result"]["_meta"]["io.github.mcp-authz/decision"]["approval"]
    assert told == {
        "id": waiting.id,
        "status": "pending",
        "expiresInMs": 900_000,
        "url": f"{PAGE}/requests/{waiting.id}",
        "approvers": ["group:dba"],
    }


async def test_the_record_of_the_call_that_ran_names_its_grant(world: World) -> None:
    await world.call()
    (waiting,) = await world.store.records()
    await world.decide()
    await world.call()
    asked, ran = [record.decision.approval for record in world.sink.records]
    assert (asked.id, asked.status, asked.filed) == (waiting.id, ApprovalStatus.PENDING, True)
    assert (ran.id, ran.status, ran.decided_by) == (waiting.id, ApprovalStatus.GRANTED, "carol")


# ---------------------------------------------------------------------------------------------------- by era


async def test_a_modern_client_that_can_open_urls_is_sent_to_the_page_once(world: World) -> None:
    sent = {"version": MODERN, "capabilities": OPENS}
    first = json.loads((await world.call(**sent)).body)
    (waiting,) = await world.store.records()
    assert first["result"]["resultType"] == "input_required"
    assert "requestState" not in first["result"]
    assert first["result"]["inputRequests"] == {
        ELICITATION_KEY: {
            "method": "elicitation/create",
            "params": {
                "mode": "url",
                "url": f"{PAGE}/requests/{waiting.id}",
                "message": "Approval required: a person must approve this call of tool `drop` first; it was not "
                "executed. Open the page to see what would run.",
            },
        }
    }
    answered = {"name": "drop", "arguments": {}, "inputResponses": {ELICITATION_KEY: {"action": "accept"}}}
    retry = await world.send("tools/call", answered, **sent)
    assert json.loads(retry.body)["result"]["isError"] is True
    assert reason(await world.call(**sent)) is Reason.APPROVAL_REQUIRED
    await world.decide()
    assert (await world.send("tools/call", answered, **sent)).allowed


async def test_a_client_of_2025_11_25_that_said_so_gets_the_error_of_its_era_once(world: World) -> None:
    begun = {"protocolVersion": "2025-11-25", "capabilities": OPENS, "clientInfo": {"name": "x", "version": "1"}}
    await world.send("initialize", begun, version="2025-11-25")
    error = json.loads((await world.call(version="2025-11-25")).body)["error"]
    (waiting,) = await world.store.records()
    assert error["code"] == -32042
    (asked,) = error["data"]["elicitations"]
    assert (asked["mode"], asked["elicitationId"]) == ("url", waiting.id)
    assert asked["url"] == f"{PAGE}/requests/{waiting.id}"
    assert "result" in json.loads((await world.call(version="2025-11-25")).body)


@pytest.mark.parametrize(
    ("sent", "capabilities"),
    [
        ({"version": MODERN}, {}),
        ({"version": MODERN, "capabilities": {"elicitation": {}}}, {}),
        ({"version": "2025-11-25"}, {}),
        ({"version": "2025-06-18"}, OPENS),
        ({"version": "2025-11-25", "user": "bob"}, OPENS),
    ],
)
async def test_everybody_else_is_told_in_text(world: World, sent: dict[str, Any], capabilities: Any) -> None:
    begun = {"protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": {"name": "x", "version": "1"}}
    await world.send("initialize", begun, version="2025-11-25")
    assert "is pending" in text(await world.call(**sent))


async def test_where_no_page_is_known_nobody_is_sent_to_one(make: Callable[..., World]) -> None:
    told = text(await make(ReplyStyle()).call(version=MODERN, capabilities=OPENS))
    assert "is pending" in told
    assert "Page" not in told


async def test_a_task_and_a_strict_style_get_errors(make: Callable[..., World]) -> None:
    world = make(ReplyStyle(DenialStyle.JSONRPC_ERROR, approvals_url=PAGE))
    assert json.loads((await world.call()).body)["error"]["code"] == 40302
    task = {"name": "drop", "arguments": {}, "task": {"ttl": 1000}}
    begun = {"protocolVersion": "2025-11-25", "capabilities": OPENS, "clientInfo": {"name": "x", "version": "1"}}
    await world.send("initialize", begun, version="2025-11-25")
    answer = json.loads((await world.send("tools/call", task, version="2025-11-25")).body)
    assert answer["error"]["code"] == 40302


async def test_a_baselines_approvers_must_say_yes_too(make: Callable[..., World]) -> None:
    baseline = 'version: 1\nserver: "*"\ntools: {drop: {action: require_approval, approval: {by: ["group:sec"]}}}\n'
    world = make(baseline=baseline)
    await world.call()
    (waiting,) = await world.store.records()
    assert waiting.request.by == (("group:dba",), ("group:sec",))
    await world.store.submit(waiting.id, Ruling("carol", True, (0,)))
    assert reason(await world.call()) is Reason.APPROVAL_REQUIRED
    await world.store.submit(waiting.id, Ruling("sam", True, (1,)))
    assert (await world.call()).allowed


async def test_the_person_sees_what_the_catalogue_says_of_the_tool(make: Callable[..., World]) -> None:
    catalog = "version: 1\nserver: db\ntools: {drop: {categories: [Write, Destructive], risk: Critical}}\n"
    world = make(**{"catalog/db": catalog})
    await world.call("drop")
    await world.call("rare")
    shown = {one.request.tool: (one.request.categories, one.request.risk) for one in await world.store.records()}
    assert shown == {"drop": (("Write", "Destructive"), "Critical"), "rare": (("Unknown",), "")}
