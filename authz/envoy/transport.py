"""Where the methods of `service` listen: which transport carries them, whose sockets they are, how they end.

Knows what each transport needs to be told, and nothing of how it works.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from authz.envoy import environment, listen
from authz.envoy.limits import MIB, Limits, limits
from authz.envoy.listen import Address
from authz.envoy.material import Material
from authz.envoy.service import Health, Methods, Unary, admitting, methods
from authz.errors import SettingsError

_log = logging.getLogger(__name__)


class Transport(enum.StrEnum):
    """What carries the calls. `NATIVE` is pygrpc-native, which costs half of the CPU of a call and less.

    `AUTO` takes it where it is installed and nobody beyond this machine can connect: it has no limit of its own on what
    one message may bring into memory, as grpcio has, and no TLS.
    """

    AUTO = "auto"
    NATIVE = "native"
    GRPCIO = "grpcio"


class Carrier(Protocol):
    """A transport. Binding and starting raise OSError; handlers run on the event loop that starts it."""

    def bind_socket(self, path: str) -> None: ...
    def bind_port(self, host: str, port: int) -> int: ...
    async def start(self) -> None: ...
    async def stop(self, grace: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Secured:
    """TLS for all of TCP, and who may come by it: `knows` is asked for the name that a certificate has, `refused` is
    told of whoever it does not know ("" where there is no name).
    """

    material: Material
    knows: Callable[[str], bool]
    refused: Callable[[str], None]
    tls_1_2: bool = False


class RenewingCarrier(Carrier, Protocol):
    """A transport with TLS."""

    async def renew(self, material: Material) -> None: ...


def secure_carrier(wanted: Transport, served: Methods, of_peers: Limits, secured: Secured) -> RenewingCarrier:
    """The transport that has TLS; one for all listeners, so that a call is the same wherever it comes in.

    Raises SettingsError.
    """
    if wanted is Transport.NATIVE:
        raise SettingsError("transport: expected auto or grpcio for tls_cert, got 'native', which has no TLS")
    environment.prepare(tls_1_2=secured.tls_1_2)
    from authz.envoy.tls import Tls
    from authz.envoy.transport_grpcio import Grpcio

    _log.info("transport: grpcio, %s", "so set" if wanted is Transport.GRPCIO else "it has TLS")
    return Grpcio(served, of_peers, Tls(secured.material, secured.tls_1_2))


def carrier(wanted: Transport, served: Methods, of_peers: Limits, *, local: bool = True) -> Carrier:
    """The transport that is `wanted`, or the best that there is. `local`: nobody beyond this machine can connect.

    Raises SettingsError.
    """
    if wanted is Transport.AUTO and not local:
        why = "others can connect from beyond this machine"
    elif wanted is not Transport.GRPCIO:
        try:
            from authz.envoy.transport_native import Native
        except ImportError as error:
            if wanted is Transport.NATIVE:
                raise SettingsError(
                    f"transport: expected auto or grpcio where pygrpc-native is not installed, got 'native': {error}"
                ) from error
            why = f"pygrpc-native is not installed: {error}"
        else:
            why = "pygrpc-native is installed" if wanted is Transport.AUTO else "so set"
            _log.info("transport: native, %s", why)
            return Native(served, of_peers)
    else:
        why = "so set"
    from authz.envoy.transport_grpcio import Grpcio

    _log.info("transport: grpcio, %s", why)
    return Grpcio(served, of_peers)


class GrpcServer:
    """Serves the Check and health on `addresses`; TCP in plain text, or all of it `secured`.

    `socket_mode` are the permissions of unix sockets. Not serving (health) until `set_serving(True)`.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        check: Unary,
        *,
        max_body_bytes: int = 4 * MIB,
        plaintext_ok: bool = False,
        socket_mode: int = 0o660,
        transport: Transport = Transport.AUTO,
        secured: Secured | None = None,
    ) -> None:
        self.bound: tuple[str, ...] = ()
        self._addresses = tuple(addresses)
        self._check = check
        self._limits = limits(max_body_bytes)
        self._plaintext_ok = plaintext_ok
        self._socket_mode = socket_mode
        self._transport = transport
        self._health = Health()
        self._secured = secured
        self._carrier: Carrier | None = None
        self._renewing: RenewingCarrier | None = None
        self._sockets: dict[str, tuple[int, int]] = {}
        self._stopped = asyncio.Event()

    async def start(self) -> tuple[str, ...]:
        """Listen on every address, or on none; the addresses as bound, with real ports. Raises SettingsError."""
        for address in self._addresses:
            listen.require_protected(address, self._plaintext_ok, tls=self._secured is not None)
        self._carrier = self._taken()
        try:
            self.bound = tuple([self._bind(self._carrier, address) for address in self._addresses])
            await self._carrier.start()
        except BaseException:
            await self.stop(0)
            raise
        return self.bound

    def _taken(self) -> Carrier:
        if self._secured is None:
            local = all(address.loopback for address in self._addresses)
            return carrier(self._transport, methods(self._check, self._health), self._limits, local=local)
        check = admitting(self._check, self._secured.knows, self._secured.refused)
        served = methods(check, self._health)
        self._renewing = secure_carrier(self._transport, served, self._limits, self._secured)
        return self._renewing

    async def renew(self, material: Material) -> None:
        """Begin connections by TLS with `material` from now on. Raises OSError where that cannot be done now."""
        if self._renewing is not None:
            await self._renewing.renew(material)

    def set_serving(self, serving: bool) -> None:
        """What health says; calls are answered either way."""
        self._health.set_serving(serving)

    async def stop(self, grace: float) -> None:
        """Take no more calls, answer those in flight within `grace` seconds, cancel the rest, remove the sockets."""
        self._health.close()
        for path, mine in self._sockets.items():  # first, so that nobody comes who would be turned away
            listen.remove(path, mine)
        self._sockets.clear()
        if self._carrier is not None:
            await self._carrier.stop(grace)
        self._stopped.set()

    async def wait(self) -> None:
        """Return when the server has stopped."""
        await self._stopped.wait()

    def _bind(self, on: Carrier, address: Address) -> str:
        if not address.path:
            return self._bind_port(on, address)
        listen.require_free(address.path)
        bound = listen.private(address.path)
        try:
            with listen.permissions(self._socket_mode):  # transports bind in this call
                on.bind_socket(bound)
        except OSError as error:
            raise SettingsError(f"listen: {address}: expected a path to bind, got {error}") from error
        self._sockets[address.path] = listen.publish(bound, address.path)
        return f"unix:{address.path}"

    def _bind_port(self, on: Carrier, address: Address) -> str:
        port = address.port
        try:
            for host in listen.require_free_port(address):
                port = on.bind_port(host, port)
        except OSError as error:
            raise SettingsError(f"listen: {address}: expected a free address of this machine, got another") from error
        shown = f"[{address.host}]" if ":" in address.host else address.host
        return f"{shown}:{port}"
