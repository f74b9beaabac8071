"""The methods of `service` on grpc.aio: listening, limits, draining. Takes and gives bytes, and knows no message."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import quote, unquote

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]

from authz.envoy import listen
from authz.envoy.listen import Address
from authz.envoy.service import Health, Methods, Stream, Unary, methods
from authz.errors import SettingsError

MIB = 1 << 20
# Above what the proxy sends, so that too large a body gets a denial and not an RPC error (gRPC's own default is 4 MiB).
MIN_MESSAGE = 16 * MIB
UNIX = "unix"


def options(max_body_bytes: int) -> list[tuple[str, int]]:
    """The channel arguments of the server; names are those of grpc_types.h."""
    return [
        ("grpc.max_receive_message_length", max(MIN_MESSAGE, max_body_bytes + MIB)),
        # of one connection; a proxy has one for each of its workers, and its breaker stops at 1024 requests
        ("grpc.max_concurrent_streams", 1024),
        ("grpc.max_metadata_size", 16 << 10),  # a proxy sends some 500 bytes; beyond it gRPC begins to refuse
        ("grpc.absolute_max_metadata_size", 32 << 10),
        ("grpc.keepalive_time_ms", 60_000),  # a peer that has gone is noticed after 80 s
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # the default of 5 min closes connections of a proxy that pings more often (connection_keepalive)
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ("grpc.so_reuseport", 0),  # else a second service shares the port, and half of the calls, unnoticed
    ]


class GrpcServer:
    """Serves the Check and health on `addresses`, in plain text.

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
    ) -> None:
        self.bound: tuple[str, ...] = ()
        self._addresses = tuple(addresses)
        self._check = check
        self._max_body_bytes = max_body_bytes
        self._plaintext_ok = plaintext_ok
        self._socket_mode = socket_mode
        self._health = Health()
        self._server: Any = None
        self._sockets: dict[str, tuple[int, int]] = {}

    async def start(self) -> tuple[str, ...]:
        """Listen on every address, or on none; the addresses as bound, with real ports. Raises SettingsError."""
        for address in self._addresses:
            listen.require_protected(address, self._plaintext_ok)
        self._server = grpc.aio.server(options=options(self._max_body_bytes))
        self._server.add_generic_rpc_handlers(_handlers(methods(self._check, self._health)))
        try:
            self.bound = tuple([self._bind(address) for address in self._addresses])
            await self._server.start()
        except BaseException:
            await self.stop(0)
            raise
        return self.bound

    def set_serving(self, serving: bool) -> None:
        """What health says; calls are answered either way."""
        self._health.set_serving(serving)

    async def stop(self, grace: float) -> None:
        """Take no more calls, answer those in flight within `grace` seconds, cancel the rest, remove the sockets."""
        self._health.close()
        if self._server is not None:
            await self._server.stop(grace)
        for path, mine in self._sockets.items():
            listen.remove(path, mine)
        self._sockets.clear()

    async def wait(self) -> None:
        """Return when the server has stopped."""
        await self._server.wait_for_termination()

    def _bind(self, address: Address) -> str:
        if not address.path:
            listen.require_free_port(address)
            host = f"[{address.host}]" if ":" in address.host else address.host
            return f"{host}:{self._add_port(f'{host}:{address.port}', address)}"
        listen.require_free(address.path)
        bound = listen.private(address.path)
        with listen.permissions(self._socket_mode):  # gRPC binds in this call
            self._add_port(f"unix:{quote(bound)}", address)
        self._sockets[address.path] = listen.publish(bound, address.path)
        return f"unix:{address.path}"

    def _add_port(self, target: str, address: Address) -> int:
        try:
            port: int = self._server.add_insecure_port(target)
        except RuntimeError as error:
            raise SettingsError(f"listen: {address}: expected a free address of this machine, got another") from error
        return port


def _handlers(served: Methods) -> tuple[grpc.GenericRpcHandler, ...]:
    """`served` as gRPC wants it. Without serializers it hands over bytes."""
    services: dict[str, dict[str, Any]] = defaultdict(dict)
    for name, unary in served.unary.items():
        service, method = name.split("/")
        services[service][method] = grpc.unary_unary_rpc_method_handler(_unary(unary))
    for name, stream in served.streams.items():
        service, method = name.split("/")
        services[service][method] = grpc.unary_stream_rpc_method_handler(_stream(stream))
    return tuple(grpc.method_handlers_generic_handler(service, found) for service, found in services.items())


def _unary(handler: Unary) -> Any:
    async def handle(request: bytes, context: Any) -> bytes:
        return await handler(request, caller_of(context.peer()))

    return handle


def _stream(handler: Stream) -> Any:
    async def handle(request: bytes, context: Any) -> AsyncIterator[bytes]:
        async for message in handler(request, caller_of(context.peer())):
            yield message

    return handle


def caller_of(peer: str) -> str:
    """gRPC's name of a peer, such as `ipv6:%5B::1%5D:50000` -> its address without the port, or `unix`."""
    family, _, place = peer.partition(":")
    if family not in ("ipv4", "ipv6"):
        return UNIX if family == "unix" else peer
    return unquote(place).rpartition(":")[0].strip("[]")
