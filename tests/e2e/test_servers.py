"""Servers of the catalogue behind a real Envoy, each by its bridge: what the policies let through reaches them.

What a server itself answers proves that the call got there: the effect in a real Valkey, or, of those that would reach
a cloud, their own word about credentials that they do not have.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bridge
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from valkey_server import ValkeyServer

from authz.app.approvals.enrol import add
from authz.app.demo import stack
from authz.mcp.wording import DECISION_KEY

POLICIES = Path(__file__).parents[2] / "policies"
CLOUD = {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
PATIENCE = ("--timeout", "2s", "--audit", "none")
ROLE = "arn:aws:iam::111122223333:role/HealthOmicsImport"
GENOME = '[{"sourceFile": "s3://genome-references/hg38.fasta", "name": "hg38"}]'
IMPORT = {"role_arn": ROLE, "sources": GENOME}
EXPORT_ROLE = "arn:aws:iam::111122223333:role/HealthLakeExport"
OMICS_WORD, LAKE_WORD = "Unable to locate credentials", "AWS credentials not configured"
EXPORT_KEY = "arn:aws:kms:eu-west-1:111122223333:alias/fhir-exports"


def export(bucket: str = "s3://fhir-exports-eu/") -> dict[str, Any]:
    return {
        "datastore_id": "0" * 32,
        "data_access_role_arn": EXPORT_ROLE,
        "output_data_config": {"s3_configuration": {"s3_uri": bucket, "kms_key_id": EXPORT_KEY}},
    }


@dataclass(frozen=True)
class Gate:
    """Envoy's port for each policy, and where a person approves."""

    ports: Mapping[str, int]
    page: str
    token: str

    async def approve(self, tool: str) -> None:
        headers = {"authorization": f"Bearer {self.token}"}
        async with httpx2.AsyncClient(trust_env=False, headers=headers, base_url=self.page) as web:
            waiting = (await web.get("/api/v1/requests", params={"tool": tool})).raise_for_status().json()["requests"]
            (await web.post(f"/api/v1/requests/{waiting[0]['id']}/approve", json={})).raise_for_status()

    @asynccontextmanager
    async def agent(self, policy: str) -> AsyncIterator[Callable[..., Any]]:
        """A session of an agent: calls give the reason of a denial, or "" and what the server said."""
        async with httpx2.AsyncClient(trust_env=False, timeout=30) as web:
            transport = streamable_http_client(f"http://127.0.0.1:{self.ports[policy]}/mcp", http_client=web)
            async with Client(transport, mode="legacy", read_timeout_seconds=30) as client:

                async def call(tool: str, **arguments: Any) -> tuple[str, str]:
                    result = await client.call_tool(tool, arguments)
                    text = " ".join(part.text for part in result.content if part.type == "text")
                    decision = (result.meta or {}).get(DECISION_KEY)
                    return (decision["reason"], text) if decision else ("", text)

                yield call


@pytest.fixture(scope="module")
def gate(children, before) -> Callable[[int, Mapping[str, str]], Gate]:
    """Starts a service with these policies (text by name) and an Envoy before the server at a port."""
    made = iter(range(100))

    def opened(server: int, policies: Mapping[str, str]) -> Gate:
        number = next(made)
        directory = children.directory / f"p{number}"
        directory.mkdir(mode=0o700)
        for name, text in policies.items():
            (directory / f"{name}.yaml").write_text(text)
        (directory / "catalog").mkdir(mode=0o700)
        for name in policies:
            shipped = POLICIES / "catalog" / f"{name}.yaml"
            if shipped.exists():
                (directory / "catalog" / shipped.name).write_bytes(shipped.read_bytes())
        approvers = children.directory / f"approvers{number}.yaml"
        token = add(approvers, "carol", ["operators"], "")
        flags = ("--approvals", "127.0.0.1:0", "--approvers", str(approvers), "--approve-unidentified", *PATIENCE)
        service = stack.start_service(children, directory, *flags, name=f"authz{number}")
        envoy = stack.start_envoy(children, before(server, service.socket, list(policies)), f"envoy{number}")
        return Gate(envoy.ports, service.approvals, token)

    return opened


# ------------------------------------------------------------------------------------------------------- valkey


@pytest.fixture(scope="module")
def store() -> Iterator[ValkeyServer]:
    server = ValkeyServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def valkey(children, gate, store: ValkeyServer) -> Gate:
    environment = {"VALKEY_HOST": store.host, "VALKEY_PORT": str(store.port), "VALKEY_ADMIN_ENABLED": "true"}
    environment |= {"MCP_LOG_FILE": str(children.directory / "valkey-server.log"), "FASTMCP_LOG_LEVEL": "ERROR"}
    port = bridge.start(children, "valkey", [str(bridge.SERVERS / "awslabs.valkey-mcp-server")], environment)
    limited = "version: 1\ntools:\n  valkey_read: {action: allow, rate_limit: {max: 10, window: 60}}\n"
    return gate(port, {"awslabs-valkey": (POLICIES / "awslabs-valkey.yaml").read_text(), "limited": limited})


async def test_reads_pass_and_give_what_is_there(valkey: Gate, store: ValkeyServer) -> None:
    store.command("SET", "sys:motd", "hello")
    async with valkey.agent("awslabs-valkey") as call:
        reason, text = await call("valkey_read", command="GET", args=["sys:motd"])
        assert (reason, "hello" in text) == ("", True)


async def test_a_write_within_the_prefix_is_there_and_one_outside_is_not(valkey: Gate, store: ValkeyServer) -> None:
    async with valkey.agent("awslabs-valkey") as call:
        assert (await call("valkey_write", command="SET", args=["app:a", "1"]))[0] == ""
        reason, text = await call("valkey_write", command="SET", args=["sys:a", "1"])
        assert reason == "requirement_failed"
        assert "only keys that begin with app:" in text
        assert (await call("valkey_write", command="DEL", args=["app:a", "sys:motd"]))[0] == "requirement_failed"
        assert (await call("valkey_write", command="FLUSHALL", args=["app:"]))[0] == "arguments_invalid"
    assert store.command("GET", "app:a") == b"1"
    assert store.command("EXISTS", "sys:a") == 0


async def test_administration_has_its_effect_after_a_persons_yes_and_once(valkey: Gate, store: ValkeyServer) -> None:
    store.command("SET", "app:doomed", "1")
    async with valkey.agent("awslabs-valkey") as call:
        assert (await call("valkey_admin", command="FLUSHALL", confirm=True))[0] == "approval_required"
        assert store.command("EXISTS", "app:doomed") == 1
        await valkey.approve("valkey_admin")
        assert (await call("valkey_admin", command="FLUSHALL", confirm=True))[0] == ""
        assert store.command("EXISTS", "app:doomed") == 0
        assert (await call("valkey_admin", command="FLUSHALL", confirm=True))[0] == "approval_required"


async def test_what_the_policy_does_not_name_stays_away_from_the_server(valkey: Gate, store: ValkeyServer) -> None:
    async with valkey.agent("awslabs-valkey") as call:
        assert (await call("add_documents", index_name="i", documents=[{"id": "1"}]))[0] == "default_denied"
        assert (await call("json_arrpop", key="app:x"))[0] == "approval_required"
        assert (await call("json_set", key="sys:x", value=1))[0] == "arguments_invalid"
    assert store.command("DBSIZE") == 0


async def test_the_eleventh_call_within_a_minute_is_limited(valkey: Gate) -> None:
    async with valkey.agent("limited") as call:
        assert [(await call("valkey_read", command="PING"))[0] for _ in range(11)] == [""] * 10 + ["rate_limited"]
    async with valkey.agent("limited") as other:  # unverified agents are told apart by their sessions
        assert (await other("valkey_read", command="PING"))[0] == ""


# -------------------------------------------------------------------------- the two tools of the two documents

VARIANTS = {
    "allow": "rules: [{action: allow}]",
    "deny": "rules: [{action: deny, reason: not for agents}]",
    "limit": "rules: [{action: allow, rate_limit: {max: 10, window: 60}}]",
    "again": "rules: [{action: allow, rate_limit: {max: 10, window: 4}}]",
    "ask": "rules: [{action: require_approval}]",
}


def variants(tool: str) -> dict[str, str]:
    """The documents' own fragments under a header of two lines."""
    head = "version: 1\nserver: {}\ntools:\n  {}:\n    {}\n"
    return {
        f"{tool.lower()}-{name}": head.format(f"{tool.lower()}-{name}", tool, rule) for name, rule in VARIANTS.items()
    }


@pytest.fixture(scope="module")
def omics(children, gate) -> Gate:
    command = [str(bridge.SERVERS / "awslabs.aws-healthomics-mcp-server")]
    port = bridge.start(children, "omics", command, {**CLOUD, "FASTMCP_LOG_LEVEL": "ERROR"})
    shipped = (POLICIES / "awslabs-healthomics.yaml").read_text()
    return gate(port, {**variants("StartAHOReferenceImportJob"), "awslabs-healthomics": shipped})


@pytest.fixture(scope="module")
def lake(children, gate) -> Gate:
    command = [str(bridge.SERVERS_OF_1X / "awslabs.healthlake-mcp-server")]
    port = bridge.start(children, "lake", command, CLOUD)
    shipped = (POLICIES / "awslabs-healthlake.yaml").read_text()
    return gate(port, {**variants("start_fhir_export_job"), "awslabs-healthlake": shipped})


@dataclass(frozen=True)
class Subject:
    """One of the two tools on its server: what it is called with, and what the server says for want of credentials."""

    gate: Gate
    tool: str
    arguments: dict[str, Any]
    arrived: str

    def policy(self, variant: str) -> str:
        return f"{self.tool.lower()}-{variant}"


@pytest.fixture(params=["omics", "lake"])
def subject(request: pytest.FixtureRequest) -> Subject:
    gate: Gate = request.getfixturevalue(request.param)
    if request.param == "omics":
        return Subject(gate, "StartAHOReferenceImportJob", IMPORT, OMICS_WORD)
    return Subject(gate, "start_fhir_export_job", export(), LAKE_WORD)


async def test_what_is_allowed_reaches_the_server(subject: Subject) -> None:
    async with subject.gate.agent(subject.policy("allow")) as call:
        reason, text = await call(subject.tool, **subject.arguments)
        assert reason == ""
        assert subject.arrived in text


async def test_what_is_denied_does_not_and_the_agent_is_told_why(subject: Subject) -> None:
    async with subject.gate.agent(subject.policy("deny")) as call:
        reason, text = await call(subject.tool, **subject.arguments)
        assert reason == "rule_denied"
        assert "not for agents" in text
        assert subject.arrived not in text


async def test_ten_in_sixty_seconds_reach_the_server(subject: Subject) -> None:
    async with subject.gate.agent(subject.policy("limit")) as call:
        answers = [await call(subject.tool, **subject.arguments) for _ in range(11)]
        assert all(subject.arrived in text for _, text in answers[:10])
        assert answers[10][0] == "rate_limited"


async def test_after_the_window_calls_reach_it_again(subject: Subject) -> None:
    async with subject.gate.agent(subject.policy("again")) as call:
        began = time.monotonic()
        for _ in range(10):
            assert (await call(subject.tool, **subject.arguments))[0] == ""
        if time.monotonic() - began < 4:  # on a machine that is too busy for ten calls in the window, none is limited
            assert (await call(subject.tool, **subject.arguments))[0] == "rate_limited"
        await asyncio.sleep(4.1)
        reason, text = await call(subject.tool, **subject.arguments)
        assert (reason, subject.arrived in text) == ("", True)


async def test_with_approval_it_reaches_the_server_after_a_yes_and_once(subject: Subject) -> None:
    async with subject.gate.agent(subject.policy("ask")) as call:
        assert (await call(subject.tool, **subject.arguments))[0] == "approval_required"
        await subject.gate.approve(subject.tool)
        reason, text = await call(subject.tool, **subject.arguments)
        assert (reason, subject.arrived in text) == ("", True)
        assert (await call(subject.tool, **subject.arguments))[0] == "approval_required"


async def test_the_shipped_policy_of_imports_lets_one_bucket_and_role_through(omics: Gate) -> None:
    async with omics.agent("awslabs-healthomics") as call:
        tool = "StartAHOReferenceImportJob"
        reason, text = await call(tool, **IMPORT)
        assert (reason, OMICS_WORD in text) == ("", True)
        other = GENOME.replace("genome-references", "genome-references-evil")
        assert (await call(tool, role_arn=ROLE, sources=other))[0] == "arguments_invalid"
        assert (await call(tool, role_arn=ROLE.replace("Import", "Admin"), sources=GENOME))[0] == "arguments_invalid"
        assert (await call("DeleteAHORunBatch", batch_id="1"))[0] == "default_denied"


async def test_the_shipped_policy_of_exports_asks_for_known_buckets_only(lake: Gate) -> None:
    async with lake.agent("awslabs-healthlake") as call:
        tool = "start_fhir_export_job"
        assert (await call(tool, **export("s3://elsewhere/")))[0] == "arguments_invalid"
        assert (await call(tool, **export()))[0] == "approval_required"
        await lake.approve(tool)
        reason, text = await call(tool, **export())
        assert (reason, LAKE_WORD in text) == ("", True)
        assert (await call("delete_fhir_resource", datastore_id="0" * 32))[0] == "default_denied"
