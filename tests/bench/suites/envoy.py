"""Through a real Envoy with one worker: without ext_authz, with the least that any service does, and with this one.

The upstream is a route that Envoy answers itself, so that no server limits what is compared. The three are listeners
of one Envoy, which differ in the filter and the cluster that it asks.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from authz.app.demo import stack
from authz.app.demo.stack import Envoy
from tests.bench import policies, wrk
from tests.bench.lab import Lab, Subject
from tests.bench.processes import cpu_seconds, on
from tests.bench.question import http
from tests.bench.samples import Samples, Spread, spread_of_quotients

SUITE = "envoy"
NONE, OK, SERVICE = "no ext_authz", "always OK", "memory"
OK_GRPCIO, GRPCIO = "always OK, grpcio", "memory, grpcio"
CONNECTIONS = 16
RATE, CPU, ENVOY_CPU = "calls/s", "CPU µs/call", "Envoy's CPU µs/call"
P50, P99 = "p50 µs", "p99 µs"  # at one connection
ADDED_P50, ADDED_P99 = "added p50 µs", "added p99 µs"  # to the same without ext_authz
ANSWER = '{"jsonrpc":"2.0","id":7,"result":{"content":[]}}'
EXT_AUTHZ = "envoy.filters.http.ext_authz"


def run(lab: Lab) -> None:
    """All in turn, `rounds` times, at 16 connections and at one."""
    subjects = {
        OK: lab.always_ok("envoy-ok", "native"),
        SERVICE: lab.service("envoy-memory", policies.policies()),
        OK_GRPCIO: lab.always_ok("envoy-ok-grpcio", "grpcio"),
        GRPCIO: lab.service("envoy-grpcio", policies.policies(), "--transport", "grpcio"),
    }
    with on(lab.cores.rest):
        configuration = configured({name: subject.socket for name, subject in subjects.items()})
        envoy = stack.start_envoy(lab.children, configuration, concurrency=1)
    script = wrk.script(lab.children.directory, http(), ANSWER)
    for round_ in range(lab.rounds):
        bare = through(lab, envoy, NONE, None, script)
        lab.record(SUITE, NONE, round_, bare)
        for name, subject in subjects.items():
            asked = through(lab, envoy, name, subject, script)
            added = {ADDED_P50: asked[P50] - bare[P50], ADDED_P99: asked[P99] - bare[P99]}
            lab.record(SUITE, name, round_, {**asked, **added})
            lab.say(f"{name}: {asked[RATE]:,.0f} calls/s, {added[ADDED_P50]:,.0f} µs added")


def through(lab: Lab, envoy: Envoy, name: str, subject: Subject | None, script: Path) -> dict[str, float]:
    """The figures of one listener. Raises ProgramError at an answer that is not the upstream's."""
    port = envoy.ports[name]
    wrk.run(script, port, CONNECTIONS, 0.5, lab.cores.rest)
    pids = {ENVOY_CPU: envoy.child.pid, **({CPU: subject.child.pid} if subject else {})}
    before = {figure: cpu_seconds(pid) for figure, pid in pids.items()}
    many = wrk.run(script, port, CONNECTIONS, lab.seconds, lab.cores.rest)
    used = {figure: (cpu_seconds(pid) - before[figure]) / many.calls * 1e6 for figure, pid in pids.items()}
    one = wrk.run(script, port, 1, lab.seconds, lab.cores.rest)
    return {RATE: many.rate, **used, P50: one.p50, P99: one.p99}


def configured(sockets: Mapping[str, Path]) -> dict[str, Any]:
    """The configuration that ships, with a listener for each service and one without; no access log."""
    (template,) = stack.template()["static_resources"]["listeners"]
    listeners = [_listener(template, name, asks=name in sockets) for name in (NONE, *sockets)]
    configuration = stack.configure(1, next(iter(sockets.values())), listeners)
    clusters = configuration["static_resources"]["clusters"]
    (asked,) = [cluster for cluster in clusters if cluster["name"] == "mcp_authz"]
    for name, socket in sockets.items():
        # Where the machine is busy, Envoy is to wait as long as the load generators do.
        asked["connect_timeout"] = "3s"
        clusters.append(json.loads(json.dumps(asked).replace("mcp_authz", _cluster(name))))
        endpoint = clusters[-1]["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
        endpoint["address"]["pipe"]["path"] = str(socket)
    return configuration


def _cluster(name: str) -> str:
    """What becomes the `:authority` of Checks, where no server takes a space."""
    return "".join(char if char.isalnum() else "-" for char in name)


def _listener(template: Mapping[str, Any], name: str, *, asks: bool) -> dict[str, Any]:
    listener = copy.deepcopy(dict(template))
    listener["name"] = name
    manager = stack.connection_manager(listener)
    manager["access_log"] = []
    (host,) = manager["route_config"]["virtual_hosts"]
    route = host["routes"][0]
    route["match"] = {"prefix": "/"}
    del route["route"]
    route["direct_response"] = {"status": 200, "body": {"inline_string": ANSWER}}
    settings = route["typed_per_filter_config"][EXT_AUTHZ]["check_settings"]
    settings["context_extensions"] = {"mcp_server": policies.SERVER}
    host["routes"] = [route]
    if asks:
        (ext_authz,) = [one["typed_config"] for one in manager["http_filters"] if one["name"] == EXT_AUTHZ]
        ext_authz["grpc_service"]["envoy_grpc"]["cluster_name"] = _cluster(name)
        ext_authz["grpc_service"]["timeout"] = "3s"
        # Envoy makes it each try's timeout, too: on a busy machine 100 ms are over soon (measured: 503 after them).
        ext_authz["grpc_service"]["retry_policy"]["retry_back_off"]["max_interval"] = "3s"
    else:
        manager["http_filters"] = [one for one in manager["http_filters"] if one["name"] != EXT_AUTHZ]
        del route["typed_per_filter_config"]
    return listener


# ------------------------------------------------------------------------------------------ what is promised of it


def added_over_always_ok(samples: Samples) -> Spread | None:
    """What this service adds to a call over what the always-OK servicer adds."""
    return samples.ratio(SUITE, SERVICE, OK, ADDED_P50)


def p99_over_p50(samples: Samples) -> Spread | None:
    """Of the calls through this service."""
    return spread_of_quotients(samples.values(SUITE, SERVICE, P99), samples.values(SUITE, SERVICE, P50))


def cpu_over_envoys(samples: Samples) -> Spread | None:
    """The service's CPU of a call over Envoy's own."""
    return spread_of_quotients(samples.values(SUITE, SERVICE, CPU), samples.values(SUITE, SERVICE, ENVOY_CPU))
