"""Settings of the TLS listener: what goes together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from authz.app.settings.configuration import load
from authz.app.settings.tls import tls_files
from authz.envoy.material import Files
from authz.errors import SettingsError
from authz.identity.callers import AllowedCaller

FILES = {"tls_cert": "c", "tls_key": "k", "tls_client_ca": "a"}
ID = "spiffe://cluster.local/ns/a/sa/waypoint"


def problems(**given: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(given, {})
    return str(caught.value).splitlines()


def test_with_files_and_callers_it_may_listen_beyond_this_machine() -> None:
    found = load({**FILES, "listen": ["0.0.0.0:9000", "unix:/run/a"], "callers": [ID]}, {})
    assert tls_files(found) == Files(Path("c"), Path("k"), Path("a"))
    assert found.callers == (AllowedCaller(ID),)


def test_without_the_files_there_is_no_tls() -> None:
    assert tls_files(load({}, {})) is None


def test_on_this_machine_nobody_needs_to_be_listed() -> None:
    assert load({**FILES, "listen": ["127.0.0.1:1", "[::1]:2"]}, {}).callers == ()


def test_beyond_this_machine_somebody_must_be() -> None:
    assert problems(**FILES, listen=["127.0.0.1:1", "10.0.0.7:2", "[::]:3"]) == [
        (
            "callers: expected who may ask where others can connect (10.0.0.7:2, [::]:3), got none: whoever has a "
            "certificate of that authority could forge checks"
        )
    ]


def test_what_does_not_go_together_is_refused() -> None:
    assert problems(tls_cert="c", listen=["127.0.0.1:1"]) == [
        "tls_cert: expected tls_cert, tls_key, tls_client_ca together, got no tls_key and no tls_client_ca"
    ]
    assert problems(callers=[ID]) == ["callers: expected tls_cert, without which nobody who asks has a name, got none"]
    assert problems(**FILES, transport="native", plaintext_ok=True, listen=["unix:/run/a"]) == [
        "plaintext_ok: expected false beside tls_cert, with which no TCP is in plain text",
        "transport: expected auto or grpcio for tls_cert, got 'native', which has no TLS",
        "tls_cert: expected a TCP address in listen, got unix sockets only, which have no TLS",
    ]
    assert problems(callers=["envoy"]) == [
        "--callers: expected a SPIFFE id, one that ends in /*, or a subject such as CN=envoy, got 'envoy'"
    ]
    assert problems(tls_min_version="1") == ["--tls-min-version: expected one of 1.3, 1.2, got '1'"]


def test_a_variable_separates_callers_so_that_servers_and_subjects_keep_their_commas() -> None:
    environ = {"MCP_AUTHZ_CALLERS": f'{ID}=a,b; CN=envoy,O=Example; "CN=x,O=y"=c,d'}
    given = {**FILES, "listen": ["0.0.0.0:1"]}
    assert [str(one) for one in load(given, environ).callers] == [f"{ID}=a,b", "CN=envoy,O=Example", '"CN=x,O=y"=c,d']
