"""Which address may be listened on, and what is done with what lies at the path of a socket."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from authz.app.settings.values import Address, address
from authz.envoy import listen
from authz.errors import SettingsError


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory to be in, so that the paths of sockets are short."""
    place = tmp_path_factory.mktemp("s")
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def server(short: Path) -> Iterator[socket.socket]:
    """A server that listens at `live.sock`."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("live.sock")
        server.listen(0)
        yield server


def refusal(path: str) -> str:
    with pytest.raises(SettingsError) as refused:
        listen.require_free(path)
    return str(refused.value)


@pytest.mark.parametrize(
    "text", ["unix:/run/authz.sock", "127.0.0.1:9000", "127.8.8.8:1", "[::1]:9000", "localhost:9000"]
)
def test_plain_text_that_stays_on_the_machine_is_fine(text: str) -> None:
    listen.require_protected(address(text), plaintext_ok=False)


@pytest.mark.parametrize("text", ["0.0.0.0:9000", "[::]:9000", "10.0.0.1:9000", "authz.example:9000", "127.1:9000"])
def test_plain_text_beyond_the_machine_is_refused_unless_it_is_said_to_be_fine(text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        listen.require_protected(address(text), plaintext_ok=False)
    assert str(refused.value) == (
        f"listen: expected unix:PATH or a loopback address, got '{text}': beyond this machine it needs --tls-cert, "
        "or --plaintext-ok and something else that protects the way, such as a mesh"
    )
    listen.require_protected(address(text), plaintext_ok=True)


def test_nothing_at_the_path_is_fine(short: Path) -> None:
    listen.require_free("new.sock")


def test_a_stale_socket_is_replaced_in_one_step(server: socket.socket) -> None:
    server.close()
    assert stat.S_ISSOCK(os.lstat("live.sock").st_mode)
    listen.require_free("live.sock")
    bound = listen.private("live.sock")
    with socket.socket(socket.AF_UNIX) as successor:
        successor.bind(bound)
        mine = listen.publish(bound, "live.sock")
    assert os.listdir() == ["live.sock"]
    listen.remove("live.sock", mine)
    assert os.listdir() == []


def test_a_socket_that_cannot_be_published_is_refused(short: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        listen.publish("absent", "a.sock")
    assert str(refused.value) == "listen: unix:a.sock: expected a path to bind, got No such file or directory"


def test_the_private_name_is_short_and_beside_the_public_one() -> None:
    assert listen.private("/run/authz/authz.sock").startswith("/run/authz/.")
    assert len(listen.private("/run/authz/authz.sock")) < len("/run/authz/authz.sock")
    assert listen.private("a.sock") != listen.private("a.sock")


def test_a_socket_on_which_somebody_answers_is_left_alone(server: socket.socket) -> None:
    assert refusal("live.sock") == (
        "listen: unix:live.sock: expected a stale socket or none, got one that another process answers on"
    )
    assert os.path.lexists("live.sock")


def test_a_server_too_busy_to_take_a_connection_lives(server: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen, "_ANSWER", 0.01)
    clients = [socket.socket(socket.AF_UNIX) for _ in range(2)]
    for client in clients:
        client.setblocking(False)
        client.connect_ex("live.sock")
    assert refusal("live.sock") == (
        "listen: unix:live.sock: expected a stale socket or none, got one that another process answers on"
    )
    for client in clients:
        client.close()


def test_what_is_no_socket_is_left_alone(short: Path) -> None:
    Path("file").write_text("precious")
    Path("link").symlink_to("file")
    for path in ("file", "link"):
        assert refusal(path) == (f"listen: unix:{path}: expected no file or a stale socket, got another kind of file")
    assert Path("file").read_text() == "precious"


def test_a_socket_of_another_kind_is_left_alone(short: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind("datagram.sock")
        assert refusal("datagram.sock") == (
            "listen: unix:datagram.sock: expected a stale socket, got Protocol wrong type for socket"
        )


def test_a_directory_that_is_not_there_is_said(short: Path) -> None:
    assert refusal("absent/a.sock") == (
        "listen: unix:absent/a.sock: expected a directory 'absent' that can be written, got none"
    )
    Path("file").write_text("")
    assert refusal("file/a.sock") == "listen: unix:file/a.sock: expected a path to bind, got Not a directory"


def test_what_is_created_has_the_permissions_from_its_first_moment(short: Path) -> None:
    before = os.umask(0o022)
    try:
        with listen.permissions(0o660), socket.socket(socket.AF_UNIX) as server:
            server.bind("a.sock")
        assert stat.S_IMODE(os.lstat("a.sock").st_mode) == 0o660
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)


def test_only_our_own_socket_is_removed(server: socket.socket) -> None:
    mine = listen.publish("live.sock", "ours.sock")
    Path("live.sock").write_text("of a successor")
    listen.remove("live.sock", mine)
    assert os.path.lexists("live.sock")
    listen.remove("ours.sock", mine)
    assert not os.path.lexists("ours.sock")
    listen.remove("ours.sock", mine)


def test_a_host_that_is_not_this_machine_is_refused() -> None:
    with pytest.raises(SettingsError) as refused:
        listen.require_free_port(Address(host="192.0.2.1"))
    assert str(refused.value) == "listen: 192.0.2.1:0: expected an address of this machine, got another"


def test_a_host_without_an_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(SettingsError) as refused:
        listen.require_free_port(Address(host="authz", port=1))
    assert str(refused.value) == "listen: authz:1: expected a host, got one that has no address"


def test_a_free_port_is_free_and_stays_so() -> None:
    for host in ("127.0.0.1", "localhost"):
        listen.require_free_port(Address(host=host))
