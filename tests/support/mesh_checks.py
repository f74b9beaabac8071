"""What must hold on every proxy's way: nothing that is not alice's passes for alice's, and nobody pays for another."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import tokens
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mesh_attempts import CERTIFICATE, CLAIM_HEADERS, IMPOSTOR, STRANGER, Attempt, Headers
from meshes import TRUSTED, Answer, Mesh, token

from authz.app.demo import stack
from authz.app.tokens.fetching import SOONEST

METADATA = 'resource_metadata="https://mcp.example/.well-known/oauth-protected-resource/desk"'
READS = ("desk", "reads", f"principal corp/{{}} of {tokens.ISSUER}")
OPENED = ("vault", "opened", f"principal mesh/{TRUSTED}")
_FLOOD = 200


def fruitless(mesh: Mesh, attempt: Attempt, **call: str) -> Answer:
    """The answer to `attempt`, by which no server was reached and no counter has changed; alice has one."""
    assert mesh.call(bearer=token()).reason == ""
    counters, reached = mesh.counters(), mesh.reached()
    assert counters[reads("alice")] >= 1
    answer = mesh.call("delete_cache", {}, bearer=attempt.bearer(), headers=attempt.headers, **call)
    assert (mesh.counters(), mesh.reached()) == (counters, reached)
    return answer


def reads(who: str) -> tuple[str, str, str]:
    """The counter of what `who` reads of `desk`."""
    server, limit, name = READS
    return server, limit, name.format(who)


def assert_denied(mesh: Mesh, attempt: Attempt) -> None:
    """The service's own answer: 401 with what is wrong with the token, or a denied tool call."""
    answer = fruitless(mesh, attempt)
    if attempt.malformed:
        assert (answer.status, answer.reason, answer.challenge) == (400, "malformed", "")
        return
    if attempt.says is None:
        assert (answer.status, answer.reason, answer.challenge) == (200, "rule_denied", "")
        return
    error = f'error="invalid_token", error_description="{attempt.says}", ' if attempt.says else ""
    assert (answer.status, answer.reason) == (401, "unauthenticated")
    assert answer.challenge == f"Bearer {error}{METADATA}"


def assert_charged_to_itself(mesh: Mesh) -> None:
    """Who says to be alice and has bob's token pays as bob."""
    before = mesh.counters()
    assert mesh.call(bearer=token("bob"), headers=(*CLAIM_HEADERS, *CERTIFICATE)).reason == ""
    after = mesh.counters()
    assert after.pop(reads("bob")) == before.pop(reads("bob"), 0) + 1
    assert after == before


def assert_floods_touch_nobody(mesh: Mesh) -> None:
    """Tokens with ever new key ids are refused, the issuer is not asked for each, and alice notices nothing."""
    began = time.monotonic()
    alice = token()
    assert mesh.call(bearer=alice).reason == ""
    fetched, counters, reached = mesh.issuer.fetched, mesh.counters(), mesh.reached()
    # Cheap to make: an unknown key is refused before the signature counts.
    _, claims, signature = token(key=STRANGER).split(".")
    for number in range(_FLOOD):
        head = tokens.part({"alg": "RS256", "kid": f"key-{number}"})
        forged = f"{head}.{claims}.{signature}"
        answer = mesh.call(bearer=forged)
        assert (answer.status, "invalid_token" in answer.challenge) == (401, True)
        if number % 50 == 49:
            assert mesh.call(bearer=alice).reason == ""
    spent = _FLOOD // 50
    assert mesh.reached() == reached + spent
    assert mesh.counters() == {**counters, reads("alice"): counters[reads("alice")] + spent}
    assert mesh.issuer.fetched <= fetched + 2 + (time.monotonic() - began) / SOONEST


def assert_forged_signatures_cost_little(mesh: Mesh) -> None:
    """Each costs CPU, so there is no time for all of them: the rest is told to come again, and alice's is known."""
    alice = token()
    assert mesh.call(bearer=alice).reason == ""
    counters, reached = mesh.counters(), mesh.reached()
    head, claims, _ = token(key=IMPOSTOR).split(".")
    answers = set()
    for number in range(_FLOOD):
        forged = f"{head}.{claims}.{tokens.part(number.to_bytes(4) + bytes(252))}"
        answer = mesh.call(bearer=forged)
        answers.add((answer.status, answer.reason))
        if number % 50 == 49:
            assert mesh.call(bearer=alice).reason == ""
    spent = _FLOOD // 50
    assert answers <= {(401, "unauthenticated"), (200, "busy")}, answers
    assert mesh.reached() == reached + spent
    assert mesh.counters() == {**counters, reads("alice"): counters[reads("alice")] + spent}


def assert_known_by_account(mesh: Mesh) -> None:
    """`vault` is for one service account of one namespace, whose calls are counted as its own."""
    before = mesh.counters().get(OPENED, 0)
    assert mesh.call(server="vault", workload="trusted").reason == ""
    assert mesh.counters()[OPENED] == before + 1


def assert_another_is_not(mesh: Mesh, headers: Headers) -> None:
    """Neither what a workload writes nor whose token it has makes it another workload."""
    counters, reached = mesh.counters(), mesh.reached()
    assert mesh.call(server="vault", headers=headers).reason == "no_rule_holds"
    assert mesh.call(server="vault", headers=headers, bearer=token()).reason == "no_rule_holds"
    assert (mesh.counters(), mesh.reached()) == (counters, reached)


@asynccontextmanager
async def client(
    mesh: Mesh, mode: str, server: str = "desk", workload: str = "intruder", bearer: str = ""
) -> AsyncIterator[Client]:
    """A client of the current SDK on this way."""
    headers = {"host": mesh.hosts[server], **({"authorization": f"Bearer {bearer}"} if bearer else {})}
    url = f"http://{stack.LOOPBACK}:{mesh.doors[server, workload]}/mcp"
    async with httpx2.AsyncClient(trust_env=False, timeout=30, headers=headers) as web:
        transport = streamable_http_client(url, http_client=web)
        async with Client(transport, mode=mode, read_timeout_seconds=15) as connected:
            yield connected


async def assert_clients_work(mesh: Mesh, mode: str) -> None:
    """A session of alice's goes through; bob's goes on after a denial."""
    async with client(mesh, mode, bearer=token()) as alice:
        assert "get_value" in [tool.name for tool in (await alice.list_tools()).tools]
        assert not (await alice.call_tool("set_value", {"key": "app:x", "value": "1", "ttl": 60})).is_error
        result = await alice.call_tool("get_value", {"key": "app:x"})
        assert [part.text for part in result.content] == ["1"]
        assert not (await alice.call_tool("delete_cache", {})).is_error
    async with client(mesh, mode, bearer=token("bob")) as bob:
        assert (await bob.call_tool("delete_cache", {})).is_error
        assert not (await bob.call_tool("get_value", {"key": "app:x"})).is_error


async def assert_works_without_a_token(mesh: Mesh) -> None:
    """A client whose workload is known needs nothing else."""
    async with client(mesh, "auto", "vault", "trusted") as agent:
        assert not (await agent.call_tool("get_value", {"key": "app:greeting"})).is_error
