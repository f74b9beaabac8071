"""`mcp-authz demo`, as a user runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from authz import COMPILED
from authz.app.demo.calls import ROWS
from authz.app.demo.valkey import ROWS as VALKEY_ROWS

DEMO = [sys.executable, "-m", "authz.app.cli", "demo"]
MAX_SECONDS = 90  # about 10 are needed; this only catches a demo that hangs
ROOT = Path(__file__).parents[2]


def children_of(pid: int) -> list[int]:
    """Processes whose parent is `pid`."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The wheel, installed where no checkout is."""
    built, target = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheel = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", built, ROOT]
    environment = {**os.environ, "MCP_AUTHZ_COMPILE": "required" if COMPILED else "off"}
    subprocess.run(wheel, check=True, timeout=300, env=environment)  # noqa: S603
    (file,) = built.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", target, file], check=True, timeout=60)  # noqa: S603
    return target


@pytest.fixture(scope="module")
def finished(installed: Path) -> subprocess.CompletedProcess[str]:
    """One run of the demo, from the wheel."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run(  # noqa: S603
        DEMO, capture_output=True, text=True, timeout=MAX_SECONDS, check=False, cwd=installed, env=environment
    )


def test_the_wheel_has_all_it_needs(installed: Path):
    package = installed / "authz"
    for name in ("policy/schema.json", "app/demo/envoy.yaml", "examples/demo.yaml"):
        assert (package / name).is_file(), name
    examples = {path.name for path in (package / "examples").iterdir()}
    assert examples == {path.name for path in (ROOT / "policies").iterdir()}


def test_every_call_gets_what_it_must(finished):
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stderr == ""
    assert finished.stdout.count("✓") == len(ROWS)
    assert "✗" not in finished.stdout
    for reason in {row.expected for row in ROWS}:
        assert reason in finished.stdout


def test_the_metric_of_rate_limit_hits_is_shown(finished):
    assert re.search(r'rate_limit\w*\{[^}]*server="demo"[^}]*tool="start_import_job"[^}]*\} 1\.0', finished.stdout)


def test_two_audit_records_are_shown(finished):
    _, _, after = finished.stdout.partition("audit")
    assert after.count('"reason":"rate_limited"') == 1
    assert after.count('"reason":"malformed"') == 1


@pytest.fixture
def scratch() -> Iterator[Path]:
    """Where the demo keeps its files: after SIGKILL nobody else removes them. Short, for sockets live in it."""
    with tempfile.TemporaryDirectory(prefix="e2e-", dir="/tmp") as name:
        yield Path(name)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_behind_however_it_ends(number, scratch):
    output, environment = scratch / "out", {**os.environ, "TMPDIR": str(scratch)}
    with output.open("wb") as out:
        demo = subprocess.Popen([*DEMO, "--keep"], stdout=out, stderr=out, cwd=ROOT, env=environment)  # noqa: S603
    deadline = time.monotonic() + MAX_SECONDS
    started: list[int] = []
    while len(started) < 3 and time.monotonic() < deadline and demo.poll() is None:
        started = children_of(demo.pid)
        time.sleep(0.05)
    time.sleep(0.5)
    os.kill(demo.pid, number)
    demo.wait(20)
    assert len(started) == 3, output.read_text()
    deadline = time.monotonic() + 10
    while not all(map(gone, started)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert all(map(gone, started))
    if number != signal.SIGKILL:
        assert list(scratch.iterdir()) == [output]


def test_the_demo_with_a_real_server_and_store_goes_as_it_must():
    """From the checkout: the server and its bridge are where `make test` installs them."""
    done = subprocess.run(  # noqa: S603
        [*DEMO, "--server", "valkey"], capture_output=True, text=True, timeout=MAX_SECONDS, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.count("✓") == len(VALKEY_ROWS)
    assert f"{len(VALKEY_ROWS)} of {len(VALKEY_ROWS)} calls got what they must" in done.stdout
