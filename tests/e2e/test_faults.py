"""The service killed, stopped and restarted under load: Envoy lets nothing through, and goes on when it is back."""

from __future__ import annotations

import itertools
import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import wire
from corpus import AUTHORITY, POLICIES
from upstream import Upstream

from authz.app.demo import stack
from authz.app.demo.processes import Children
from authz.app.demo.stack import Envoy, Service

CLOSED = 503
CALLERS = 4


def request(tool: str, case: str) -> bytes:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {}}}
    body = json.dumps(message).encode()
    lines = {
        "Host": AUTHORITY,
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2025-06-18",
        "X-Case": case,
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST /mcp HTTP/1.1\r\n{head}\r\n".encode() + body


class Load:
    """Callers that never stop; every second call must never pass. `answers`: when a good call began, its status."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(CALLERS)]
        self.answers: list[tuple[float, int]] = []

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        while not self._ended.is_set():
            began = time.monotonic()
            status, _ = wire.send(self._port, request("get_value", "good"))
            self.answers.append((began, status))
            wire.send(self._port, request("delete_cache", "bad"))
            time.sleep(0.01)

    def since(self, moment: float) -> Counter[int]:
        """What calls that began after `moment` got."""
        return Counter(status for at, status in self.answers if at > moment)

    def until(self, status: int, moment: float, seconds: float = 15.0) -> float:
        """Wait for a good call that is answered with `status` after `moment`; gives how long that took."""
        while time.monotonic() < moment + seconds:
            if self.since(moment)[status]:
                return time.monotonic() - moment
            time.sleep(0.02)
        pytest.fail(f"no {status} in {seconds} s: {self.since(moment)}")


class World:
    """One Envoy whose service can be ended and started again at the same socket."""

    def __init__(self, children: Children, policies: Path, upstream: Upstream) -> None:
        self._children = children
        self._policies = policies
        self._names = (f"authz{n}" for n in itertools.count())
        self.upstream = upstream
        self.socket = children.directory / "authz.sock"
        self.service: Service = self.start()
        self.envoy: Envoy = stack.start_envoy(children, stack.configure(upstream.port, self.socket), "envoy-faults")
        self.port = self.envoy.ports["mcp"]

    def start(self) -> Service:
        self.service = stack.start_service(
            self._children, self._policies, "--audit", "none", name=next(self._names), socket_path=self.socket
        )
        return self.service


@pytest.fixture(scope="module")
def lasting_world(children: Children, policies: Callable[[Path], Path], upstream: Upstream, tmp_path_factory) -> World:
    source = tmp_path_factory.mktemp("demo") / "demo.yaml"
    source.write_text((POLICIES / "deny-delete.yaml").read_text().replace("server: deny-delete", "server: demo"))
    return World(children, policies(source), upstream)


@pytest.fixture
def world(lasting_world: World) -> World:
    """The world with a service that runs, whatever the test before has left."""
    if not lasting_world.service.child.alive():
        lasting_world.start()
    return lasting_world


def bad_calls(world: World) -> int:
    return len(world.upstream.case("bad"))


def test_a_killed_service_means_closed_and_a_restarted_one_open(world):
    with Load(world.port) as load:
        load.until(200, time.monotonic())
        world.service.child.signal(signal.SIGKILL)
        world.service.child.process.wait()
        killed = time.monotonic()
        load.until(CLOSED, killed)
        settled = time.monotonic()
        time.sleep(0.3)
        assert set(load.since(settled)) == {CLOSED}
        world.start()  # the socket that the killed one left is replaced
        back = time.monotonic()
        assert load.until(200, back) < 5
    assert bad_calls(world) == 0


def test_a_service_that_stands_still_means_closed_in_time_and_recovers(world):
    with Load(world.port) as load:
        load.until(200, time.monotonic())
        world.service.child.signal(signal.SIGSTOP)
        stopped = time.monotonic()
        try:
            load.until(CLOSED, stopped)
            settled = time.monotonic()
            time.sleep(0.7)
            assert set(load.since(settled)) == {CLOSED}
        finally:
            world.service.child.signal(signal.SIGCONT)
        assert load.until(200, time.monotonic()) < 5
    assert bad_calls(world) == 0


def test_a_service_that_is_told_to_end_answers_what_it_has_begun_and_exits_0(world):
    with Load(world.port) as load:
        load.until(200, time.monotonic())
        assert world.service.child.stop() == 0
        load.until(CLOSED, time.monotonic())
        world.start()
        assert load.until(200, time.monotonic()) < 5
    assert set(load.since(0)) <= {200, CLOSED}
    assert bad_calls(world) == 0


def test_without_the_service_the_caller_gets_an_error_that_its_client_can_read(world):
    world.service.child.stop()
    status, body = wire.send(world.port, request("get_value", "good"))
    assert status == CLOSED
    assert json.loads(body)["error"] == {"code": -32603, "message": "authorization service unavailable"}
    world.start()
