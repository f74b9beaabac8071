"""Keys of a real issuer, and what becomes of them when it rotates them, breaks or goes away."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import itertools
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from issuer import Issuer
from prometheus_client import CollectorRegistry, generate_latest
from tokens import AUDIENCE, NOW, RSA, SOURCE, key_set, token

from authz.app.tokens import Tokens, fetching
from authz.app.tokens.metrics import TokenMetrics
from authz.errors import TokenBusy, TokenRefused
from authz.identity.jwt import Verifier
from authz.identity.keys import Keys

QUICK = (0.02, 0.1)
FOR_EVER = 3600.0


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


@contextlib.asynccontextmanager
async def kept(place: str, *, interval: float = FOR_EVER, soonest: float = 0.02) -> AsyncIterator[fetching.Fetcher]:
    fetcher = fetching.Fetcher("corp", place, Keys(), interval=interval, soonest=soonest, back_off=QUICK)
    async with fetching.fetching([fetcher]):
        yield fetcher


async def until(true: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_keys_are_there_at_once_and_verify_what_the_issuer_signs(issuer: Issuer) -> None:
    async with kept(issuer.jwks) as fetcher:
        assert (len(fetcher.keys), fetcher.failures, fetcher.problem) == (1, 0, "")
        assert abs(fetcher.fetched_at - time.time()) < 60
        verifier = Verifier(replace(SOURCE, issuer=issuer.url), fetcher.keys)
        said = verifier.verify(issuer.token("alice", AUDIENCE, "bank.read"), AUDIENCE, "a", time.time())
    assert (said["sub"], said["client_id"], said["scope"], said["groups"]) == (
        "alice",
        "alice",
        "bank.read",
        ["tellers"],
    )


@pytest.mark.parametrize("algorithm", ["ES256"])
async def test_another_kind_of_key_is_as_good(algorithm: str) -> None:
    with Issuer(algorithm) as other:
        async with kept(other.jwks) as fetcher:
            verifier = Verifier(replace(SOURCE, issuer=other.url), fetcher.keys)
            assert verifier.verify(other.token("bob", AUDIENCE), AUDIENCE, "a", time.time())["sub"] == "bob"


async def test_a_token_of_a_new_key_has_the_keys_fetched_and_one_of_a_withdrawn_key_counts_no_more(
    issuer: Issuer,
) -> None:
    async with kept(issuer.jwks) as fetcher:
        verifier = Verifier(replace(SOURCE, issuer=issuer.url), fetcher.keys)

        def counts(text: str) -> bool:
            with contextlib.suppress(TokenRefused):
                return bool(verifier.verify(text, AUDIENCE, "a", time.time()))
            return False

        old = issuer.token("alice", AUDIENCE)
        assert counts(old)
        issuer.tell("rotate")
        new = issuer.token("alice", AUDIENCE)
        assert not counts(new)
        await until(lambda: counts(new))
        assert counts(old), "both are published"
        issuer.tell("revoke")
        assert counts(old), "nobody knows yet"
        fetcher.keys.missed()
        await until(lambda: not counts(old))
        assert counts(new)
        assert set(verifier.refused) == {"key"}


async def test_unknown_keys_have_the_keys_fetched_no_more_often_than_every_so_many_seconds(issuer: Issuer) -> None:
    fetched = []
    fetcher = fetching.Fetcher("corp", issuer.jwks, Keys(), interval=FOR_EVER, soonest=0.3)
    fetch = fetcher._fetch

    async def counted() -> bytes:
        fetched.append(time.monotonic())
        return await fetch()

    fetcher._fetch = counted
    async with fetching.fetching([fetcher]):
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            fetcher.keys.missed()
            await asyncio.sleep(0.001)
    assert 2 <= len(fetched) <= 5
    assert min(after - before for before, after in itertools.pairwise(fetched)) >= 0.29


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        ("error", "expected status 200, got 500"),
        ("redirect", "expected status 200, got 302"),
        ("garbage", "expected value at line 1 column 1"),
        ("empty", "expected a JWK Set with a public key for signatures (RSA, EC or OKP)"),
        ("slow", "no answer within 0.2 s"),
    ],
)
async def test_while_the_issuer_fails_the_last_good_keys_stay(
    issuer: Issuer, mode: str, why: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if mode == "slow":
        monkeypatch.setattr(fetching, "TIMEOUT", 0.2)
    text = issuer.token("alice", AUDIENCE)
    async with kept(issuer.jwks, interval=0.05) as fetcher:
        verifier = Verifier(replace(SOURCE, issuer=issuer.url), fetcher.keys)
        issuer.tell(mode)
        try:
            await until(lambda: fetcher.failures > 1)
            assert fetcher.problem == why
            assert verifier.verify(text, AUDIENCE, "a", time.time())["sub"] == "alice"
        finally:
            issuer.tell("ok")
        await until(lambda: not fetcher.problem)
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(told) == 1, "said once, not at each try"
    assert told[0].startswith(f"identity corp: {issuer.jwks} gives no keys: {why}; ")


async def test_an_issuer_that_dies_and_comes_back_with_other_keys_is_followed() -> None:
    first = Issuer()
    try:
        async with kept(first.jwks, interval=0.05) as fetcher:
            version = fetcher.keys.version
            first.end()
            await until(lambda: fetcher.problem)
            assert len(fetcher.keys) == 1
            with Issuer(port=first.port) as second:
                await until(lambda: fetcher.keys.version > version)
                verifier = Verifier(replace(SOURCE, issuer=second.url), fetcher.keys)
                assert verifier.verify(second.token("alice", AUDIENCE), AUDIENCE, "a", time.time())
    finally:
        first.end()


async def test_a_start_does_not_wait_for_an_issuer_that_is_slow(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_PATIENCE", 0.2)
    issuer.tell("slow")
    began = time.monotonic()
    try:
        async with kept(issuer.jwks) as fetcher:
            assert time.monotonic() - began < 2.0
            assert (len(fetcher.keys), fetcher.fetched_at) == (0, 0.0)
            with pytest.raises(TokenBusy):
                Verifier(SOURCE, fetcher.keys).verify(token(), AUDIENCE, "a", NOW)
    finally:
        issuer.tell("ok")


# ------------------------------------------------------------------------------------------------------------ files


async def test_keys_in_a_file_are_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(key_set(RSA))
    async with kept(str(file), interval=0.02) as fetcher:
        assert len(fetcher.keys) == 1
        file.write_bytes(b"{")
        await until(lambda: fetcher.problem)
        assert len(fetcher.keys) == 1
        file.unlink()
        await until(lambda: fetcher.problem == "no such file or directory")
        file.write_bytes(b" " * (1024 * 1024) + key_set(RSA))
        await until(lambda: fetcher.problem == "expected a key set of at most 1048576 bytes, got more")


async def test_a_key_that_is_passed_over_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "keys.json"
    private = RSA.as_dict(private=True)
    file.write_text(json.dumps({"keys": [private, RSA.as_dict(private=False)]}))
    async with kept(str(file)) as fetcher:
        assert len(fetcher.keys) == 1
    assert f"identity corp: {file}: keys[0]: expected a public key, got a private one" in caplog.messages


# -------------------------------------------------------------------------------------------------- what may come over


@pytest.fixture
async def answering() -> AsyncIterator[Callable[[bytes], object]]:
    """A server that gives each connection the same bytes; its URL."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(raw: bytes) -> str:
            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(raw)
                with contextlib.suppress(ConnectionError):
                    await writer.drain()
                writer.close()

            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            stack.callback(server.close)
            return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks"

        yield start


async def test_a_body_without_end_is_cut_off(answering: Callable[[bytes], object]) -> None:
    url = await answering(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (2 * 1024 * 1024))  # type: ignore[misc]
    fetcher = fetching.Fetcher("corp", url, Keys())
    assert not await fetcher.fetch()
    assert fetcher.problem == "expected a key set of at most 1048576 bytes, got more"


async def test_a_packed_body_is_not_unpacked(answering: Callable[[bytes], object]) -> None:
    packed = gzip.compress(b" " * 100_000_000)
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {len(packed)}\r\n\r\n".encode()
    fetcher = fetching.Fetcher("corp", await answering(head + packed), Keys())  # type: ignore[misc]
    assert not await fetcher.fetch()
    assert fetcher.problem.startswith("expected value")


async def test_what_nobody_foresaw_is_logged_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    fetcher = fetching.Fetcher("corp", "keys.json", Keys(), back_off=QUICK)

    async def fail() -> bytes:
        raise RuntimeError("a library's own mistake")

    fetcher._fetch = fail
    async with fetching.fetching([fetcher]):
        await until(lambda: fetcher.failures > 2)
    assert "identity corp: keys.json could not be fetched" in caplog.messages
    assert fetcher.problem == "a library's own mistake"


def test_a_connection_that_is_refused_is_told_in_words() -> None:
    assert fetching._why(ConnectionRefusedError(111, "x")) == "connection refused"
    assert fetching._why(httpx2.ConnectError("")) == "ConnectError"


# ------------------------------------------------------------------------------------------------------- the service's


async def test_the_service_tells_of_its_keys_and_tokens(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    tokens = Tokens([replace(SOURCE, jwks=str(file))])
    registry = CollectorRegistry()
    TokenMetrics(tokens, registry)
    assert tokens.problem == "identity corp: no keys are known: not fetched yet"
    async with tokens.kept_up_to_date():
        assert tokens.problem == "identity corp: no keys are known: no such file or directory"
    file.write_bytes(key_set(RSA))
    async with tokens.kept_up_to_date():
        assert tokens.problem == ""
        verifier = tokens.verifiers["corp"]
        for text in (token(), token(), token(exp=1)):
            with contextlib.suppress(TokenRefused):
                verifier.verify(text, AUDIENCE, "a", NOW)
    (told,) = tokens.describe().values()
    assert (told["keys"], told["problem"], told["passed_over"]) == (1, "", [])
    assert told["fetched"].endswith("+00:00")
    lines = generate_latest(registry).decode().splitlines()
    for line in (
        'mcp_authz_identity_keys{source="corp"} 1.0',
        'mcp_authz_identity_key_fetch_failures_total{source="corp"} 1.0',
        'mcp_authz_tokens_verified_total{how="cached",source="corp"} 1.0',
        'mcp_authz_tokens_verified_total{how="new",source="corp"} 1.0',
        'mcp_authz_tokens_refused_total{cause="expired",source="corp"} 1.0',
        'mcp_authz_tokens_busy_total{source="corp"} 0.0',
    ):
        assert line in lines


async def test_without_such_a_source_nothing_is_fetched_and_nothing_told() -> None:
    tokens = Tokens([])
    registry = CollectorRegistry()
    TokenMetrics(tokens, registry)
    async with tokens.kept_up_to_date():
        assert (tokens.verifiers, tokens.problem, tokens.describe()) == ({}, "", {})
    assert generate_latest(registry) == b""
