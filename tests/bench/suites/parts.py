"""CPU of a call by part, in process; together with the whole service's it tells what the transport costs."""

from __future__ import annotations

import msgspec

from tests.bench.lab import Lab
from tests.bench.processes import output_of

SUITE = "parts"
CPU = "CPU µs/call"
READ, MESSAGE, POLICY = "read the CheckRequest", "read the MCP message", "policy, limits, reply"
RECORDS, ANSWER = "audit, metrics", "write the CheckResponse"
PARTS = (READ, MESSAGE, POLICY, RECORDS, ANSWER)


def run(lab: Lab) -> None:
    """`rounds` times, on the service's core."""
    for round_ in range(lab.rounds):
        found = msgspec.json.decode(output_of("tests.bench.parts_probe", [], lab.cores.service), type=dict[str, float])
        for part, value in found.items():
            lab.record(SUITE, part, round_, {CPU: value})
        lab.say(", ".join(f"{part} {value:.1f} µs" for part, value in found.items()))
