"""Envoy's spans carry the decision, in the trace that the client began; the audit record has both ids, too."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from upstream import Upstream

from authz.app.demo import calls, stack
from authz.app.demo.processes import Children
from k8s.monitoring.dashboards import HERE

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@dataclass(frozen=True, slots=True)
class Traced:
    """The port of Envoy, what its collector got, and the audit log."""

    port: int
    collector: Upstream
    audit: Path

    def call(self, tool: str, trace: str) -> None:
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {}}}
        headers = {"mcp-protocol-version": calls.LEGACY, "traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
        calls.post(self.port, json.dumps(body).encode(), headers)

    def span(self, trace: str) -> Mapping[str, str]:
        """The tags of the trace's first span that has a decision, once it has arrived."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            for request in tuple(self.collector.seen):
                for resource in ExportTraceServiceRequest.FromString(request.body).resource_spans:
                    # the name that scope_spans had when xds-protos was made
                    for span in (span for scope in resource.instrumentation_library_spans for span in scope.spans):
                        tags = {one.key: one.value.string_value for one in span.attributes}
                        if span.trace_id.hex() == trace and "mcp_authz.decision_id" in tags:
                            return tags
            time.sleep(0.1)
        raise AssertionError(f"no span of {trace} with a decision")


@pytest.fixture(scope="module")
def traced() -> Iterator[Traced]:
    fragment = yaml.safe_load((HERE / "envoy-tracing.yaml").read_text())
    collector = Upstream()
    with tempfile.TemporaryDirectory(prefix="traced-", dir="/tmp") as name, Children(Path(name)) as children:
        policies, audit = Path(name) / "policies", Path(name) / "audit.jsonl"
        policies.mkdir(mode=0o700)
        shutil.copyfile(stack.example_policies() / "demo.yaml", policies / "demo.yaml")
        service = stack.start_service(children, policies, "--audit", str(audit), "--timeout", "2s")
        configuration = stack.configure(stack.start_server(children), service.socket)
        (listener,) = configuration["static_resources"]["listeners"]
        stack.connection_manager(listener)["tracing"] = fragment["tracing"]
        (cluster,) = fragment["clusters"]
        (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
        endpoint["endpoint"]["address"]["socket_address"] = {"address": stack.LOOPBACK, "port_value": collector.port}
        configuration["static_resources"]["clusters"].append(cluster)
        envoy = stack.start_envoy(children, configuration)
        yield Traced(envoy.ports["mcp"], collector, audit)
    collector.close()


@pytest.mark.parametrize(
    ("tool", "effect", "reason", "trace"),
    [("get_value", "allow", "allowed", TRACE), ("delete_cache", "deny", "rule_denied", TRACE[::-1])],
)
def test_a_span_says_what_was_decided(traced: Traced, tool: str, effect: str, reason: str, trace: str) -> None:
    traced.call(tool, trace)
    tags = traced.span(trace)
    assert (tags["mcp_authz.effect"], tags["mcp_authz.reason"]) == (effect, reason)
    assert tags["mcp_authz.rule"] == f"tools.{tool}"
    record = next(
        record
        for record in map(json.loads, traced.audit.read_text().splitlines())
        if record["decision_id"] == tags["mcp_authz.decision_id"]
    )
    assert record["trace_id"] == trace
