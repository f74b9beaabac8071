"""The certificates of the listener follow their files, and what does not fit never replaces what did."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from authority import Authority, Pair, write
from prometheus_client import CollectorRegistry, generate_latest

from authz.app.certificates import Certificates
from authz.app.tls_metrics import TlsMetrics
from authz.envoy.certificates import load
from authz.envoy.material import Files, Material
from authz.errors import SettingsError
from authz.identity.callers import Callers, parse_caller


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def files(tmp_path: Path, authority: Authority) -> Files:
    return Files(*write(tmp_path / "tls", authority.pair("first"), authority.cert).values())


def certificates(files: Files, *callers: str) -> Certificates:
    return Certificates(files, Callers([parse_caller(one) for one in callers]), interval=0.01, settle=0.01)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


class Listener:
    """Takes what it is told, or cannot."""

    def __init__(self) -> None:
        self.taken: list[Material] = []
        self.error: Exception | None = None

    async def renew(self, material: Material) -> None:
        if self.error is not None:
            raise self.error
        self.taken.append(material)


async def test_new_files_are_taken_once(files: Files, authority: Authority, tmp_path: Path, caplog: Any) -> None:
    caplog.set_level(logging.INFO)
    found, listener = certificates(files), Listener()
    async with found.kept_up_to_date(listener.renew):
        write(tmp_path / "tls", authority.pair("second"), authority.cert)
        await until(lambda: bool(listener.taken))
        await asyncio.sleep(0.1)
    assert len(listener.taken) == 1
    assert listener.taken[0] == found.material == load(files)
    assert caplog.messages == ["tls: new certificates are in force"]


async def test_a_mount_that_swaps_a_link_is_noticed(config_map: Callable[..., Path], authority: Authority) -> None:
    def mounted(pair: Pair) -> Path:
        return config_map(
            {"cert.pem": pair.cert.decode(), "key.pem": pair.key.decode(), "ca.pem": authority.cert.decode()}
        )

    root = mounted(authority.pair("first"))
    found, listener = certificates(Files(root / "cert.pem", root / "key.pem", root / "ca.pem")), Listener()
    async with found.kept_up_to_date(listener.renew):
        second = authority.pair("second")
        mounted(second)
        await until(lambda: bool(listener.taken))
    assert (listener.taken[0].chain, listener.taken[0].key) == (second.cert, second.key)


async def test_what_does_not_fit_is_told_once_and_replaces_nothing(
    files: Files, authority: Authority, tmp_path: Path, caplog: Any
) -> None:
    found, listener = certificates(files), Listener()
    before = found.material
    async with found.kept_up_to_date(listener.renew):
        files.key.write_bytes(authority.pair("other").key)
        await until(lambda: bool(found.problem))
        await asyncio.sleep(0.1)
        assert listener.taken == []
        assert found.material is before
        text = f"tls_key: {files.key}: expected the key of the first certificate in tls_cert, got another"
        assert found.problem == text
        assert caplog.messages == [f"{text}; the certificates in force stay"]
        write(tmp_path / "tls", authority.pair("second"), authority.cert)
        await until(lambda: not found.problem)
    assert len(listener.taken) == 1


async def test_a_key_that_comes_a_moment_after_its_certificate_is_no_problem(
    files: Files, authority: Authority, caplog: Any
) -> None:
    found = Certificates(files, Callers(), interval=0.01, settle=1.0)
    listener, second = Listener(), authority.pair("second")
    async with found.kept_up_to_date(listener.renew):
        files.cert.write_bytes(second.cert)
        await asyncio.sleep(0.2)
        files.key.write_bytes(second.key)
        await until(lambda: bool(listener.taken))
    assert caplog.messages == []


async def test_a_listener_that_cannot_take_them_is_told_again(
    files: Files, authority: Authority, tmp_path: Path, caplog: Any
) -> None:
    found, listener = certificates(files), Listener()
    listener.error = ConnectionRefusedError("refused")
    async with found.kept_up_to_date(listener.renew):
        write(tmp_path / "tls", authority.pair("second"), authority.cert)
        await until(lambda: bool(found.problem))
        text = "tls: the listener did not take new certificates: refused"
        assert caplog.messages == [f"{text}; the certificates in force stay"]
        listener.error = None
        await until(lambda: bool(listener.taken))
        await until(lambda: not found.problem)


async def test_a_look_that_fails_is_told_and_the_next_one_comes(
    files: Files, authority: Authority, tmp_path: Path, caplog: Any
) -> None:
    found, listener = certificates(files), Listener()
    listener.error = RuntimeError("broken")
    async with found.kept_up_to_date(listener.renew):
        write(tmp_path / "tls", authority.pair("second"), authority.cert)
        await until(lambda: found.problem == "looking failed: RuntimeError")
        listener.error = None
        await until(lambda: bool(listener.taken))
    assert caplog.messages[0] == "tls: looking for new certificates failed, those in force stay"


def test_files_that_cannot_be_used_stop_the_start(files: Files) -> None:
    files.cert.unlink()
    with pytest.raises(SettingsError) as caught:
        certificates(files)
    assert str(caught.value) == f"tls_cert: {files.cert}: cannot be read: no such file or directory"


def test_who_is_turned_away_is_counted_and_logged_once(files: Files, caplog: Any) -> None:
    found = certificates(files, "CN=envoy")
    for caller in ("CN=other", "CN=other", ""):
        assert not found.secured.knows(caller)
        found.secured.refused(caller)
    assert caplog.messages == [
        "callers: refused 'CN=other', which is not listed",
        "callers: refused one without a name, which is not listed",
    ]
    for number in range(100):
        found.secured.refused(f"CN={number}")
    found.secured.refused("CN=other")  # forgotten, for memory is bounded
    assert caplog.messages.count("callers: refused 'CN=other', which is not listed") == 2
    assert found.refused == 104


def test_metrics_tell_when_certificates_expire_and_who_was_refused(files: Files) -> None:
    found = certificates(files)
    found.secured.refused("CN=other")
    registry = CollectorRegistry()
    registry.register(TlsMetrics(found))
    lines = generate_latest(registry).decode().splitlines()
    expiry = found.material.expiries
    for name in ("tls_cert", "tls_client_ca"):
        line = next(one for one in lines if f'expiry_timestamp_seconds{{file="{name}"}}' in one)
        assert float(line.split()[1]) == expiry[name]
    assert "mcp_authz_tls_reload_problem 0.0" in lines
    assert "mcp_authz_refused_callers_total 1.0" in lines
