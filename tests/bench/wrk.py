"""An HTTP request -> calls/s and latencies by wrk, which compares every body with the one that is right.

Knows nothing of what answers. wrk is a program of the system (Debian's package wrk).
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import msgspec

from tests.bench.processes import ProgramError, on
from tests.support.corpus import Http

_SCRIPT = """\
wrk.method = %(method)s
wrk.path = %(path)s
wrk.headers = %(headers)s
wrk.body = %(body)s
local right = %(right)s
local threads = {}
wrong = 0
function setup(thread) table.insert(threads, thread) end
function response(status, headers, body)
  if status ~= 200 or body ~= right then
    wrong = wrong + 1
    if wrong == 1 then io.stderr:write("expected the upstream's answer, got " .. status .. " " .. body .. "\\n") end
  end
end
function done(summary, latency, requests)
  local errors = summary.errors
  local bad = errors.connect + errors.read + errors.write + errors.timeout
  for _, thread in ipairs(threads) do bad = bad + thread:get("wrong") end
  io.write(string.format('\\n{"calls":%%d,"seconds":%%f,"p50":%%f,"p99":%%f,"wrong":%%d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99), bad))
end
"""


class Result(msgspec.Struct, frozen=True):
    """What one run measured; latencies in µs."""

    calls: int
    seconds: float
    p50: float
    p99: float
    wrong: int

    @property
    def rate(self) -> float:
        """Calls a second."""
        return self.calls / self.seconds


def script(directory: Path, request: Http, right: str) -> Path:
    """Writes what wrk is to send, and the body that alone is right."""
    headers = ", ".join(
        f"[{_lua(name.title())}] = {_lua(value)}" for name, value in request.lines
    )  # it knows `Host` so
    words: Mapping[str, str] = {
        "method": _lua(request.method),
        "path": _lua(request.path),
        "headers": "{" + headers + "}",
        "body": _lua(request.body.decode()),
        "right": _lua(right),
    }
    path = directory / "wrk.lua"
    path.write_text(_SCRIPT % words)
    return path


def run(script: Path, port: int, connections: int, seconds: float, cores: frozenset[int]) -> Result:
    """Load a loopback port. Raises ProgramError where an answer was wrong, or wrk is not installed."""
    program = shutil.which("wrk")
    if program is None:
        raise ProgramError("wrk: not installed, expected Debian's package wrk (make bench installs it)")
    whole = max(1, round(seconds))  # wrk takes whole seconds
    command = [program, "-t1", f"-c{connections}", f"-d{whole}s", "-s", str(script), f"http://127.0.0.1:{port}"]
    with on(cores):
        done = subprocess.run(command, capture_output=True, check=False, text=True)  # noqa: S603
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        raise ProgramError(f"wrk: exit code {done.returncode}: {done.stdout}{done.stderr}")
    result = msgspec.json.decode(lines[-1], type=Result)
    if result.wrong or not result.calls:
        raise ProgramError(f"wrk: {result.wrong} of {result.calls} answers were wrong: {done.stderr.strip()}")
    return result


def _lua(text: str) -> str:
    """A string of Lua: JSON's escapes of what ASCII has are Lua's, too."""
    return json.dumps(text)
