"""The listener by TLS: who gets in, under which name, and certificates that are renewed while calls come."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from authority import Authority, Pair

from authz.app.settings.values import Address, address
from authz.envoy import tls, transport_grpcio
from authz.envoy.authorization import Authorization
from authz.envoy.certificates import load
from authz.envoy.codec import encode
from authz.envoy.lane import Lane
from authz.envoy.material import Files, Material
from authz.envoy.pb import ext_authz_pb2 as pb
from authz.envoy.transport import GrpcServer, Secured, Transport
from authz.errors import SettingsError
from authz.identity.callers import Callers, parse_caller
from authz.model import Reply

Build = Callable[..., pb.CheckRequest]
CHECK = "/envoy.service.auth.v3.Authorization/Check"
HEALTH = "/grpc.health.v1.Health/Check"
ALLOWED = encode(Reply(allowed=True))
WAYPOINT = "spiffe://cluster.local/ns/a/sa/waypoint"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Pair:
    return authority.pair("mcp-authz", dns=["localhost"])


def material(server: Pair, *client_ca: Authority) -> Material:
    return Material(server.cert, server.key, b"".join(one.cert for one in client_ca), {})


class Serving:
    """A server on a port of the system's choice that counts whom it has turned away."""

    def __init__(self, engine: Any, with_: Material, *callers: str, tls_1_2: bool = False, also: str = "") -> None:
        self.refused: list[str] = []
        listed = Callers([parse_caller(one) for one in callers])
        addresses = [address("127.0.0.1:0"), *([Address(path=also)] if also else [])]
        self.server = GrpcServer(
            addresses,
            Authorization(engine, Lane()).check,
            secured=Secured(with_, listed.knows, self.refused.append, tls_1_2),
        )

    async def __aenter__(self) -> Serving:
        await self.server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.stop(0)

    @property
    def port(self) -> int:
        return int(self.server.bound[0].rpartition(":")[2])

    @contextlib.asynccontextmanager
    async def channel(self, authority: Authority, client: Pair | None) -> AsyncIterator[Any]:
        pair = (client.key, client.cert) if client else (None, None)
        credentials = grpc.ssl_channel_credentials(authority.cert, *pair)
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        async with grpc.aio.secure_channel(f"localhost:{self.port}", credentials, options) as channel:
            yield channel

    async def ask(self, authority: Authority, client: Pair | None, request: pb.CheckRequest) -> bytes:
        async with self.channel(authority, client) as channel:
            return bytes(await channel.unary_unary(CHECK)(request.SerializeToString(), timeout=20))


def status(answer: bytes) -> tuple[int, int]:
    """The code of the answer and the HTTP status of the denial."""
    response = pb.CheckResponse.FromString(answer)
    return response.status.code, response.denied_response.status.code


async def turned_away(serving: Serving, authority: Authority, client: Pair | None, request: pb.CheckRequest) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await serving.ask(authority, client, request)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("named", "name"),
    [
        ({"uris": [WAYPOINT], "name": "cn"}, WAYPOINT),
        ({"name": "envoy", "org": "Example, Inc."}, "CN=envoy,O=Example\\, Inc."),
        ({"name": "envoy", "dns": ["spiffe.example"]}, "CN=envoy"),
    ],
)
async def test_who_asks_is_named_by_the_certificate(
    engine: Any, check_request: Build, authority: Authority, certificate: Pair, named: Any, name: str
) -> None:
    async with Serving(engine, material(certificate, authority), name if "," not in name else f'"{name}"') as serving:
        assert await serving.ask(authority, authority.pair(**named), check_request()) == ALLOWED
    assert [request.caller for request in engine.asked] == [name]
    assert serving.refused == []


@pytest.mark.parametrize(
    ("named", "name"),
    [
        ({"uris": ["spiffe://cluster.local/ns/a/sa/other"], "name": "CN"}, "spiffe://cluster.local/ns/a/sa/other"),
        ({"uris": [WAYPOINT + "/x"]}, WAYPOINT + "/x"),
        # no name: two ids, an id where none may stand, a name that only looks like an id
        ({"uris": [WAYPOINT, "spiffe://cluster.local/ns/a/sa/b"], "name": "envoy"}, ""),
        ({"uris": [WAYPOINT, "https://a.example"], "name": "envoy"}, ""),
        ({"dns": ["a.example"]}, ""),
        ({"name": WAYPOINT}, f"CN={WAYPOINT}"),
    ],
)
async def test_who_is_not_listed_gets_a_denial_and_costs_no_check(
    engine: Any, check_request: Build, authority: Authority, certificate: Pair, named: Any, name: str
) -> None:
    async with Serving(engine, material(certificate, authority), WAYPOINT, "CN=envoy") as serving:
        answer = await serving.ask(authority, authority.pair(**named), check_request())
    assert status(answer) == (7, 403)
    assert (engine.asked, engine.refused, serving.refused) == ([], [], [name])


async def test_without_a_list_whoever_has_a_name_may_ask(
    engine: Any, check_request: Build, authority: Authority, certificate: Pair
) -> None:
    async with Serving(engine, material(certificate, authority)) as serving:
        assert await serving.ask(authority, authority.pair("anybody"), check_request()) == ALLOWED
        assert status(await serving.ask(authority, authority.pair(dns=["a.example"]), check_request())) == (7, 403)


async def test_nobody_gets_past_the_handshake_without_a_certificate_of_the_authority(
    engine: Any, check_request: Build, authority: Authority, certificate: Pair
) -> None:
    async with Serving(engine, material(certificate, authority), WAYPOINT) as serving:
        await turned_away(serving, authority, None, check_request())
        await turned_away(serving, authority, Authority().pair(uris=[WAYPOINT]), check_request())
        await turned_away(serving, authority, authority.pair(uris=[WAYPOINT], hours=-1), check_request())
        async with grpc.aio.insecure_channel(f"127.0.0.1:{serving.port}") as plain:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await plain.unary_unary(CHECK)(check_request().SerializeToString(), timeout=20)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert (engine.asked, serving.refused) == ([], [])
        # and none of it has harmed the listener
        assert await serving.ask(authority, authority.pair(uris=[WAYPOINT]), check_request()) == ALLOWED


async def test_health_is_told_to_whoever_has_a_certificate(
    engine: Any, authority: Authority, certificate: Pair
) -> None:
    async with Serving(engine, material(certificate, authority), WAYPOINT) as serving:
        serving.server.set_serving(True)
        async with serving.channel(authority, authority.pair("probe")) as channel:
            assert await channel.unary_unary(HEALTH)(b"", timeout=20) == b"\x08\x01"


async def test_a_unix_socket_beside_it_stays_as_it_is(
    engine: Any,
    check_request: Build,
    authority: Authority,
    certificate: Pair,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    async with (
        Serving(engine, material(certificate, authority), WAYPOINT, also="a.sock"),
        grpc.aio.insecure_channel("unix:a.sock") as channel,
    ):
        assert await channel.unary_unary(CHECK)(check_request().SerializeToString(), timeout=20) == ALLOWED
    assert engine.asked[0].caller == "unix"


def by_hand(port: int, authority: Path, client: Path, version: ssl.TLSVersion) -> socket.socket:
    """A connection with this version of TLS alone."""
    context = ssl.create_default_context(cafile=str(authority))
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(client)
    return context.wrap_socket(socket.create_connection(("localhost", port), 10), server_hostname="localhost")


def test_the_version_of_a_connection_is_part_of_who_asks() -> None:
    from authz.envoy.peer import certified

    properties = {
        "transport_security_type": [b"ssl"],
        "ssl_tls_version": [b"TLSv1.2"],
        "x509_subject": [b"CN=envoy"],
    }
    assert certified(properties, ("TLSv1.3",)) == ""
    assert certified(properties, ("TLSv1.3", "TLSv1.2")) == "CN=envoy"
    assert certified({**properties, "ssl_tls_version": []}, ("TLSv1.3", "TLSv1.2")) == ""
    assert certified({**properties, "transport_security_type": [b"insecure"]}, ("TLSv1.2",)) == ""
    assert certified({**properties, "x509_subject": [b"CN=\xff"]}, ("TLSv1.2",)) == ""
    assert certified({**properties, "x509_subject": [b"CN=a", b"CN=b"]}, ("TLSv1.2",)) == ""
    assert certified({**properties, "peer_spiffe_id": [b"spiffe://td/a/../b"]}, ("TLSv1.2",)) == ""


async def test_a_native_listener_has_no_tls(engine: Any, authority: Authority, certificate: Pair) -> None:
    secured = Secured(material(certificate, authority), Callers().knows, lambda _: None)
    server = GrpcServer([address("127.0.0.1:0")], engine.check, transport=Transport.NATIVE, secured=secured)
    with pytest.raises(SettingsError) as caught:
        await server.start()
    assert str(caught.value) == "transport: expected auto or grpcio for tls_cert, got 'native', which has no TLS"


# ------------------------------------------------------------------------------------------------ renewed


async def presented(serving: Serving, authority: Authority, client: Path) -> bytes:
    """The certificate that the server shows to whoever connects now."""

    def look() -> bytes:
        with by_hand(serving.port, authority_file(authority, client), client, ssl.TLSVersion.TLSv1_3) as connection:
            return ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True) or b"").encode()

    return await asyncio.to_thread(look)


def authority_file(authority: Authority, beside: Path) -> Path:
    path = beside.with_name("authority.pem")
    path.write_bytes(authority.cert)
    return path


def client_file(directory: Path, pair: Pair) -> Path:
    path = directory / "client.pem"
    path.write_bytes(pair.cert + pair.key)
    return path


async def test_certificates_are_renewed_under_load_and_no_call_is_lost(
    engine: Any, check_request: Build, authority: Authority, certificate: Pair, tmp_path: Path
) -> None:
    waypoint = authority.pair(uris=[WAYPOINT])
    client = client_file(tmp_path, waypoint)
    request = check_request().SerializeToString()
    async with Serving(engine, material(certificate, authority), WAYPOINT) as serving:
        done = asyncio.Event()
        answered = 0

        async def calls_on_one_connection() -> None:
            nonlocal answered
            async with serving.channel(authority, waypoint) as channel:
                check = channel.unary_unary(CHECK)
                while not done.is_set():
                    assert await check(request, timeout=20) == ALLOWED
                    answered += 1

        async def connections() -> None:
            nonlocal answered
            while not done.is_set():
                assert await serving.ask(authority, waypoint, check_request()) == ALLOWED
                answered += 1

        tasks = [asyncio.create_task(work()) for work in (calls_on_one_connection,) * 4 + (connections,) * 4]
        for _ in range(20):
            renewed = authority.pair("mcp-authz", dns=["localhost"])
            await serving.server.renew(material(renewed, authority))
            assert await presented(serving, authority, client) == renewed.cert.replace(b"\r", b"")
        done.set()
        await asyncio.gather(*tasks)
    assert answered > 100
    assert {asked.caller for asked in engine.asked} == {WAYPOINT}


async def test_the_clients_authority_is_renewed_too_and_open_connections_stay(
    engine: Any, check_request: Build, authority: Authority, certificate: Pair
) -> None:
    new = Authority("new")
    mine, others = authority.pair(uris=[WAYPOINT]), new.pair(uris=[WAYPOINT])
    async with (
        Serving(engine, material(certificate, authority), WAYPOINT) as serving,
        serving.channel(authority, mine) as channel,
    ):
        check = channel.unary_unary(CHECK)
        assert await check(check_request().SerializeToString(), timeout=20) == ALLOWED
        await turned_away(serving, authority, others, check_request())

        await serving.server.renew(material(certificate, authority, new))  # both, while clients change over
        assert await serving.ask(authority, others, check_request()) == ALLOWED
        assert await serving.ask(authority, mine, check_request()) == ALLOWED

        await serving.server.renew(material(certificate, new))
        assert await serving.ask(authority, others, check_request()) == ALLOWED
        await turned_away(serving, authority, mine, check_request())
        assert await check(check_request().SerializeToString(), timeout=20) == ALLOWED


async def test_a_listener_that_cannot_be_reached_keeps_what_it_has(authority: Authority, certificate: Pair) -> None:
    listener = tls.Listener(material(certificate, authority))
    with socket.socket() as silent:  # bound and not listening
        silent.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            await listener.renew(material(certificate, authority), *silent.getsockname())
    assert listener._fetch() is None


async def test_what_answers_in_plain_text_is_not_the_listener(authority: Authority, certificate: Pair) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    listener = tls.Listener(material(certificate, authority))
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        with pytest.raises(ConnectionError, match="expected an answer to a TLS handshake, got another"):
            await listener.renew(material(certificate, authority), host, port)
    assert listener._fetch() is None


async def test_new_certificates_that_nobody_takes_are_withdrawn(
    authority: Authority, certificate: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another connection may have taken them, though: then they are in force."""

    class Connection:
        def close(self) -> None: ...

    outcomes = iter((False, True))  # whether another connection takes them before ours fails
    begun = 0

    async def begin(listener: tls.Listener, host: str, port: int) -> Connection:
        nonlocal begun
        begun += 1
        if begun % 2:
            return Connection()
        if next(outcomes):
            assert listener._fetch() is not None
        raise TimeoutError

    monkeypatch.setattr(tls.Listener, "_begin", begin)
    listener = tls.Listener(material(certificate, authority), hold=0)
    with pytest.raises(TimeoutError):
        await listener.renew(material(certificate, authority), "", 0)
    assert listener._fetch() is None
    await listener.renew(material(certificate, authority), "", 0)
    assert listener._fetch() is None
    await listener.close()


# ------------------------------------------------------------------------------------------------ files


@pytest.fixture
def files(tmp_path: Path, authority: Authority, certificate: Pair) -> Files:
    found = Files(tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "ca.pem")
    found.cert.write_bytes(certificate.cert + authority.cert)
    found.key.write_bytes(certificate.key)
    found.client_ca.write_bytes(authority.cert)
    return found


def test_files_are_read_together(files: Files, certificate: Pair, authority: Authority) -> None:
    found = load(files)
    assert (found.chain, found.key) == (certificate.cert + authority.cert, certificate.key)
    assert found.client_ca == authority.cert
    assert found.expiries["tls_cert"] < found.expiries["tls_client_ca"]
    assert "PRIVATE" not in repr(found)


def test_what_does_not_fit_is_refused_with_the_setting_it_came_by(files: Files, authority: Authority) -> None:
    def refusal() -> str:
        with pytest.raises(SettingsError) as caught:
            load(files)
        return str(caught.value)

    good = files.key.read_bytes()
    files.key.write_bytes(authority.pair("other").key)
    first = "the first certificate in tls_cert"
    assert refusal() == f"tls_key: {files.key}: expected the key of {first}, got another"
    files.key.write_bytes(b"-----BEGIN PRIVATE KEY-----\n")
    assert refusal() == f"tls_key: {files.key}: expected a key in PEM without a password, got something else"
    files.key.write_bytes(encrypted())
    assert refusal() == f"tls_key: {files.key}: expected a key in PEM without a password, got an encrypted one"
    files.key.unlink()
    assert refusal() == f"tls_key: {files.key}: cannot be read: no such file or directory"
    files.key.write_bytes(good)
    files.client_ca.write_bytes(b"")
    assert refusal() == f"tls_client_ca: {files.client_ca}: expected certificates in PEM, got something else"
    files.client_ca.write_bytes(bytes(1 << 21))
    assert refusal() == f"tls_client_ca: {files.client_ca}: expected at most 1048576 bytes, got more"
    expired = Authority(hours=-24)
    files.client_ca.write_bytes(expired.cert)
    assert "expected a certificate that is valid, got one that expired at" in refusal()
    files.client_ca.write_bytes(expired.cert + authority.cert)  # the end of a change from one to the other
    assert load(files).client_ca.count(b"BEGIN CERTIFICATE") == 2
    old = authority.pair("mcp-authz", hours=-1)
    files.cert.write_bytes(old.cert)
    files.key.write_bytes(old.key)
    assert refusal().startswith(
        f"tls_cert: {files.cert}: expected a certificate that is valid, got one that expired at"
    )


def encrypted() -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )


async def test_a_connection_that_has_become_old_is_begun_anew_and_no_call_is_lost(
    engine: Any, check_request: Build, authority: Authority, certificate: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_grpcio, "AGE", 300)
    request = check_request().SerializeToString()
    waypoint = authority.pair(uris=[WAYPOINT])
    async with (
        Serving(engine, material(certificate, authority), WAYPOINT) as serving,
        serving.channel(authority, waypoint) as channel,
    ):
        check = channel.unary_unary(CHECK)
        assert await check(request, timeout=20) == ALLOWED
        # from now on it would get in no more
        await serving.server.renew(material(certificate, Authority("new")))
        lasted = 0

        async def ask_until_turned_away() -> None:
            nonlocal lasted
            async with asyncio.timeout(20):
                while await check(request, timeout=20) == ALLOWED:
                    lasted += 1

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask_until_turned_away()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert lasted > 10


async def test_calls_go_on_while_connections_become_old(
    engine: Any, check_request: Build, authority: Authority, certificate: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_grpcio, "AGE", 200)
    request = check_request().SerializeToString()
    async with Serving(engine, material(certificate, authority), WAYPOINT) as serving:

        async def calls() -> int:
            async with serving.channel(authority, authority.pair(uris=[WAYPOINT])) as channel:
                check = channel.unary_unary(CHECK)
                deadline = asyncio.get_running_loop().time() + 2
                number = 0
                while asyncio.get_running_loop().time() < deadline:
                    try:
                        assert await check(request, timeout=20) == ALLOWED
                    except grpc.aio.AioRpcError as error:
                        # Sent in the moment in which the connection ended, and not looked at: Envoy sends it again
                        # (its retry_policy has `unavailable`), grpcio's client does not always.
                        if error.code() is not grpc.StatusCode.UNAVAILABLE or "max_age" not in error.details():
                            raise
                        continue
                    number += 1
                return number

        assert min(await asyncio.gather(*[calls() for _ in range(4)])) > 10


def resume(port: int, authority: Path, client: Path) -> Callable[[], tuple[bool, bytes]]:
    """Begin a session; what comes of resuming it: whether it was, and how the server begins."""
    context = ssl.create_default_context(cafile=str(authority))
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(client)

    def connect(session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool, bytes]:
        plain = socket.create_connection(("localhost", port), 10)
        with context.wrap_socket(plain, server_hostname="localhost", session=session) as connection:
            begin = connection.recv(9)
            return connection.session, bool(connection.session_reused), begin

    session, reused, _ = connect(None)
    assert not reused
    return lambda: connect(session)[1:]


async def test_a_session_is_not_resumed_once_the_authority_has_changed(
    engine: Any, authority: Authority, certificate: Pair, tmp_path: Path
) -> None:
    client = client_file(tmp_path, authority.pair(uris=[WAYPOINT]))
    async with Serving(engine, material(certificate, authority), WAYPOINT) as serving:
        again = await asyncio.to_thread(resume, serving.port, authority_file(authority, client), client)
        assert await asyncio.to_thread(again) == (True, b"\x00\x00\x1e\x04\x00\x00\x00\x00\x00")  # SETTINGS
        await serving.server.renew(material(certificate, Authority("new")))
        assert await asyncio.to_thread(again) == (False, b"")


def test_a_certificate_that_expired_before_any_connection_could_begin_names_nobody(authority: Authority) -> None:
    def properties(hours: float) -> dict[str, list[bytes]]:
        return {"x509_pem_cert": [authority.pair("envoy", hours=hours).cert]}

    now = time.time()
    assert not tls.is_over(properties(1), now)
    assert not tls.is_over(properties(-1), now)  # a connection that began before may last
    assert tls.is_over(properties(-1.3), now)
    assert tls.is_over({}, now)
    assert tls.is_over({"x509_pem_cert": [b"no certificate"]}, now)


async def test_who_resumes_a_session_of_long_ago_is_nobody(
    engine: Any, check_request: Build, authority: Authority, certificate: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "is_over", lambda properties, now: True)
    monkeypatch.setattr(transport_grpcio, "is_over", tls.is_over)
    async with Serving(engine, material(certificate, authority), WAYPOINT) as serving:
        assert status(await serving.ask(authority, authority.pair(uris=[WAYPOINT]), check_request())) == (7, 403)
    assert serving.refused == [""]
