"""The demo from start to end: starts everything, makes the calls, shows what they got, ends everything."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from rich.console import Console

from authz.app.approvals.enrol import add as enrol
from authz.app.demo import calls, show, stack
from authz.app.demo.calls import Approver, Clients, Row, Seen
from authz.app.demo.processes import Child, Children, DemoError
from authz.app.demo.scenes import Scene, scene_of
from authz.app.demo.show import Outcome

_APPROVER = "carol"
_UNIX_PATH_BYTES = 107  # sockaddr_un.sun_path without its NUL


def play(*, keep: bool = False, console: Console | None = None, server: str = "demo") -> int:
    """0 where every call got what it must, 1 where one did not, 130 after Ctrl-C. Raises DemoError if it cannot run."""
    console = console or show.default_console()
    scene = scene_of(server)
    try:
        with _ended_by_signals(), _directory() as directory, Children(directory) as children:
            return _run(console, children, keep, scene)
    except KeyboardInterrupt:
        console.print("ended")
        return 130


def _run(console: Console, children: Children, keep: bool, scene: Scene) -> int:
    started = time.monotonic()
    policies = children.directory / "policies"
    policies.mkdir(mode=0o700)
    for name in scene.files:
        (policies / name).parent.mkdir(mode=0o700, exist_ok=True)
        shutil.copyfile(stack.example_policies() / name, policies / name)
    audit = children.directory / "audit.jsonl"
    server = scene.start(children)
    approvers = children.directory / "approvers.yaml"
    token = enrol(approvers, _APPROVER, ["payments"], "")
    service = stack.start_service(children, policies, "--audit", str(audit), *_approvals(approvers))
    approver = Approver(service.approvals, token)
    envoy = stack.start_envoy(children, stack.configure(server, service.socket, governed=scene.server))
    port = envoy.ports["mcp"]
    console.print(f"client → Envoy :{port} → MCP server :{server}, each call decided by mcp-authz on {service.socket}")
    console.print(f"[dim]up after {time.monotonic() - started:.1f} s[/dim]")
    console.print(f"people approve on {approver.url}\n")
    outcomes = asyncio.run(_call_all(console, port, approver, scene.rows))
    console.print(show.table(outcomes))
    service.child.until(lambda: len(show.two_records(audit.read_text(), scene.evidence)) == len(scene.evidence))
    show.evidence(console, stack.get(service.admin, "/metrics")[1].decode(), audit.read_text(), scene.evidence)
    failed = sum(not outcome.passed for outcome in outcomes)
    show.verdict(console, len(outcomes), failed, time.monotonic() - started)
    if keep:
        show.try_it(console, port, service.admin, policies / scene.files[0], audit, approver, scene.example)
        _stay(envoy.child, service.child)
    else:
        show.next_steps(console, stack.example_policies() / scene.files[0], stack.template_path(), scene)
    return 1 if failed else 0


def _approvals(approvers: Path) -> Sequence[str]:
    """A page for people. Nobody who calls is verified in the demo, so there is nobody to be told apart from them."""
    return "--approvals", f"{stack.LOOPBACK}:0", "--approvers", str(approvers), "--approve-unidentified"


async def _call_all(console: Console, port: int, approver: Approver, rows: Sequence[Row]) -> list[Outcome]:
    """Make every call in order; a patient one when the latest denial said that it may be made."""
    outcomes: list[Outcome] = []
    again = 0.0
    with console.status("calling") as status:
        async with calls.connect(port, approver) as clients:
            for row in rows:
                pause = again - time.monotonic() if row.patient else 0.0
                if pause > 0:
                    status.update(f"waiting {pause:.0f} s, as the denial said")
                    await asyncio.sleep(pause)
                status.update(row.what)
                seen = await _repeat(row, clients)
                if seen.retry_after:
                    again = time.monotonic() + seen.retry_after
                outcomes.append(Outcome(row, seen))
    return outcomes


async def _repeat(row: Row, clients: Clients) -> Seen:
    """The last answer to `row`, or the first that is not what it must be."""
    seen = await row.call(clients)
    for _ in range(row.repeat - 1):
        if seen.reason != row.expected:
            break
        seen = await row.call(clients)
    return seen


def _stay(*children: Child) -> None:
    while all(child.alive() for child in children):
        time.sleep(0.5)
    raise DemoError("something that the demo started has ended")


@contextlib.contextmanager
def _directory() -> Iterator[Path]:
    """A directory for sockets and logs, removed at the end; its path is short enough for a unix socket."""
    base = None if len(tempfile.gettempdir()) < _UNIX_PATH_BYTES // 2 else "/tmp"  # noqa: S108 - mkdtemp below
    with tempfile.TemporaryDirectory(prefix="mcp-authz-", dir=base) as name:
        yield Path(name)


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP unwind like Ctrl-C, so that what was started is ended."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
