"""Certificates -> the TLS of grpcio's listeners, renewed while they serve: every connection that begins afterwards is
made with the new ones, those that are open stay as they are.

Knows no file and no setting.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc  # type: ignore[import-untyped]
from cryptography import x509

from authz.envoy.material import Material

# A connection by TLS is asked to end after this and begun anew, so that a certificate that has expired, or whose
# authority is no longer trusted, counts for that long at most. gRPC adds or takes a tenth, so that they do not end at
# once, and ends none while calls are in flight.
AGE = 3_600_000  # milliseconds; a mesh's certificates are good for a day
HOLD = 30.0  # seconds; gRPC itself gives up a handshake after 120
_PATIENCE = 10.0  # seconds for the first bytes of the listener's own answer
_HANDSHAKE = b"\x16"  # ContentType, RFC 8446 5.1


@dataclass(frozen=True, slots=True)
class Tls:
    """How TCP listeners speak TLS: what with at first, and whether with version 1.2 too."""

    material: Material
    tls_1_2: bool = False

    @property
    def versions(self) -> tuple[str, ...]:
        """The versions that are wanted, as gRPC names them."""
        return ("TLSv1.3", "TLSv1.2") if self.tls_1_2 else ("TLSv1.3",)


class Listener:
    """One port. A client without a certificate of the authority does not get past the handshake.

    grpcio asks at the beginning of every connection whether there are new certificates, and frees the old ones while
    another connection may just begin with them: a crash of the process (https://github.com/grpc/grpc/issues/36693,
    and seen here within a second of 200 renewals a second). Therefore `renew` first begins a handshake of its own and
    does not end it: it holds on to the old ones until nobody can be reading them any more.
    """

    def __init__(self, material: Material, hold: float = HOLD) -> None:
        self._hold = hold
        self._next: Any = None
        self._held: set[asyncio.Task[None]] = set()
        self.credentials = grpc.dynamic_ssl_server_credentials(_configuration(material), self._fetch, True)

    def _fetch(self) -> Any:
        # In a thread of gRPC, with the interpreter's lock: one connection takes what is new, once.
        found, self._next = self._next, None
        return found

    async def renew(self, material: Material, host: str, port: int) -> None:
        """Take `material` for every connection to `host` and `port` from now on.

        Raises OSError (a TimeoutError too) where that cannot be done now; then everything is as it was.
        """
        self._hold_on(await self._begin(host, port))
        self._next = _configuration(material)
        try:
            (await self._begin(host, port)).close()
        except OSError:
            if self._next is not None:  # else another connection has taken it
                self._next = None
                raise

    async def close(self) -> None:
        """Let go of what is held."""
        for task in tuple(self._held):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _hold_on(self, connection: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._keep(connection))
        self._held.add(task)
        task.add_done_callback(self._held.discard)

    async def _keep(self, connection: asyncio.StreamWriter) -> None:
        try:
            await asyncio.sleep(self._hold)
        finally:
            connection.close()

    async def _begin(self, host: str, port: int) -> asyncio.StreamWriter:
        """A connection whose handshake the server has answered and waits for the client to go on with."""
        async with asyncio.timeout(_PATIENCE):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(_client_hello())
                answer = await reader.read(1)
            except BaseException:
                writer.close()
                raise
        if answer != _HANDSHAKE:
            writer.close()
            raise ConnectionError("expected an answer to a TLS handshake, got another")
        return writer


def is_over(properties: Mapping[str, Iterable[bytes]], now: float) -> bool:
    """Whether a peer's certificate expired so long before `now` (epoch seconds) that no connection could last since.

    A client may resume a session, and then BoringSSL takes it for what it was and does not look at its certificate
    again (measured: also when that has expired).
    """
    certificates = tuple(properties.get("x509_pem_cert", ()))
    return len(certificates) != 1 or _end(certificates[0]) + AGE * 1.2 / 1000 < now


@functools.lru_cache(maxsize=4096)
def _end(certificate: bytes) -> float:
    try:
        return x509.load_pem_x509_certificate(certificate).not_valid_after_utc.timestamp()
    except ValueError:
        return 0.0


def _configuration(material: Material) -> Any:
    return grpc.ssl_server_certificate_configuration([(material.key, material.chain)], material.client_ca)


def _client_hello() -> bytes:
    """How a client begins; whom it talks to does not matter, for it goes no further."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2"])
    outgoing = ssl.MemoryBIO()
    talk = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        talk.do_handshake()
    return outgoing.read()
