"""What load generators ask: bytes of a CheckRequest with holes for numbers, and the verdict that is right for it.

Two requests of one real proxy are never the same bytes, and the service counts a repeated one once: so each call gets a
stream id of its own, written over a placeholder of fixed width. Knows no transport.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tests.bench.policies import ALLOWED_TOOL, SERVER
from tests.support.corpus import Http, check_request

HOLE = "7" * 19  # as wide as Envoy's stream ids
CALLERS = 32
DENIED_EVERY = 16  # one call in so many carries an argument that the schema refuses
# What a token looks like on the wire: the service must not pay for headers that nobody reads.
TOKEN = "Bearer " + ".".join(("eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9" * n)[: 40 * n] for n in (1, 6, 8))
ARGUMENTS: Mapping[str, Any] = {
    "path": "/srv/reports/2026/q3.csv",
    "limit": 50,
    "filter": {"column": "region", "equals": "north"},
    "columns": ["region", "amount", "currency"],
}


class Verdict(msgspec.Struct, frozen=True):
    """The right answer. `status` is the HTTP status of a denial, 0 where the call is allowed.

    None as `allowed`, "" as `reason` and -1 as `status` are not compared.
    """

    allowed: bool | None
    reason: str = ""
    status: int = -1


ALLOW = Verdict(True, "allowed", 0)


class Question(msgspec.Struct, frozen=True):
    """One CheckRequest. At each offset of `holes` stand 19 bytes that a number replaces, another one in each call."""

    data: bytes
    holes: tuple[int, ...]
    verdict: Verdict

    @classmethod
    def of(cls, data: bytes, verdict: Verdict) -> Question:
        """Finds the holes."""
        mark, holes, at = HOLE.encode(), [], -1
        while (at := data.find(mark, at + 1)) >= 0:
            holes.append(at)
        return cls(data, tuple(holes), verdict)

    def fill(self, number: int) -> bytes:
        """The bytes to send."""
        data, text = self.data, b"%019d" % number
        for hole in self.holes:
            data = data[:hole] + text + data[hole + 19 :]
        return data


def tool_call(
    tool: str = ALLOWED_TOOL,
    arguments: Mapping[str, Any] = ARGUMENTS,
    *,
    verdict: Verdict = ALLOW,
    subject: str = "agent-00",
    session: str = "session-00",
    number: int | str = 7,
    server: str = SERVER,
) -> Question:
    """One `tools/call` as Envoy shows it; any text may be or hold a HOLE."""
    return Question.of(
        check_request(http(tool, arguments, session=session, number=number), server, stream=HOLE, subject=subject),
        verdict,
    )


def http(
    tool: str = ALLOWED_TOOL,
    arguments: Mapping[str, Any] = ARGUMENTS,
    *,
    session: str = "session-00",
    number: int | str = 7,
) -> Http:
    """The HTTP request of a `tools/call`."""
    params = {"name": tool, "arguments": arguments}
    body = json.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}).encode()
    lines = (
        ("host", "mcp.example"),
        ("user-agent", "agent/3.2 (python-httpx/0.28)"),
        ("accept", "application/json, text/event-stream"),
        ("accept-encoding", "gzip, deflate"),
        ("authorization", TOKEN),
        ("content-type", "application/json"),
        ("mcp-protocol-version", "2025-11-25"),
        ("mcp-session-id", session),
    )
    return Http("POST", "/mcp", lines, body)


def mixed(allowed: Verdict = ALLOW, tool: str = ALLOWED_TOOL, *, always: bool = False) -> list[Question]:
    """The calls of `CALLERS` agents; one call in `DENIED_EVERY` has a wrong argument, and passes with `always`."""
    refused = ALLOW if always else Verdict(False, "arguments_invalid", 200)
    questions = []
    for number in range(CALLERS * DENIED_EVERY):
        who = number % CALLERS
        wrong = number % DENIED_EVERY == number // CALLERS
        arguments = {**ARGUMENTS, "limit": "fifty"} if wrong else ARGUMENTS
        verdict = refused if wrong else allowed
        subject, session = f"agent-{who:02}", f"session-{who:02}"
        questions.append(tool_call(tool, arguments, verdict=verdict, subject=subject, session=session))
    return questions


def numbered(questions: Sequence[Question], start: int) -> Iterator[tuple[bytes, Verdict]]:
    """The questions in turn for ever, each with the next number."""
    for number, question in zip(itertools.count(start), itertools.cycle(questions), strict=False):
        yield question.fill(number), question.verdict


def save(questions: Sequence[Question], path: Path) -> Path:
    """Write them for another process."""
    path.write_bytes(msgspec.msgpack.encode(list(questions)))
    return path


def load(path: Path) -> list[Question]:
    """What `save` wrote."""
    return msgspec.msgpack.decode(path.read_bytes(), type=list[Question])
