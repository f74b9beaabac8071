"""The corpus at the height of gRPC: bytes of a CheckRequest in, bytes of a CheckResponse out, no proxy, no socket."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from corpus import Http, check_request, policy_files
from sinks import Sink

from authz.audit import Record
from authz.engine import Engine, EngineSettings
from authz.envoy.authorization import Authorization
from authz.envoy.lane import Lane
from authz.envoy.pb import ext_authz_pb2 as pb
from authz.mcp.message import BodyLimits
from authz.policy.compile.file import PolicyContext
from authz.policy.compile.policies import compile_policies
from authz.policy.selection import PolicySet
from authz.state.memory import MemoryStore

MAX_BODY = 1 << 20  # policies.json, assumptions


@dataclass
class Answer:
    """A CheckResponse, read."""

    allowed: bool
    status: int
    body: str
    records: list[Record]


class Bench:
    """An engine with the reference policies and clocks that stand still."""

    def __init__(self) -> None:
        self.monotonic = 1000.0
        self.wall = 1_800_000_000.0
        self.sink = Sink()
        self.policies: PolicySet = compile_policies(policy_files(), PolicyContext())
        self.store = MemoryStore(lambda: self.monotonic)
        settings = EngineSettings(limits=BodyLimits(max_bytes=MAX_BODY))
        self.engine = Engine(self.policies, self.store, [self.sink], settings, clock=lambda: self.wall)
        self.authorization = Authorization(self.engine, Lane())
        self._streams = itertools.count(1)

    def load(self, files: Mapping[str, bytes]) -> PolicySet:
        """What a reload does: compile against what is in force, and swap."""
        self.policies = compile_policies(files, PolicyContext(), self.policies)
        self.engine.swap(self.policies)
        return self.policies

    async def ask(
        self, http: Http, policy: str, overrides: Mapping[str, Any] | None = None, *, identity: str = ""
    ) -> Answer:
        """The answer to one request on a route of `policy`; `identity` is who a verified token names."""
        stream = str(next(self._streams))
        data = check_request(http, policy, overrides, stream=stream, subject=identity)
        before = len(self.sink.records)
        response = pb.CheckResponse.FromString(await self.authorization.check(data, "unix"))
        assert response.HasField("status"), "an answer that says nothing is read as allow"
        allowed = response.status.code == 0
        assert allowed == (response.WhichOneof("http_response") == "ok_response")
        denied = response.denied_response
        return Answer(allowed, denied.status.code, denied.body, self.sink.records[before:])


@pytest.fixture(scope="session")
def reference() -> PolicySet:
    """The reference policies, compiled."""
    return compile_policies(policy_files(), PolicyContext())


@pytest.fixture
def bench() -> Bench:
    """A fresh engine."""
    return Bench()
