"""The methods of `service` on grpc.aio: one server for all listeners. Takes and gives bytes, and knows no message."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeAlias
from urllib.parse import quote

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]

from authz.envoy.limits import Limits
from authz.envoy.material import Material
from authz.envoy.peer import NOBODY, UNIX, caller_of, certified
from authz.envoy.service import EXITS, Methods, Stream, Unary
from authz.envoy.tls import AGE, Listener, Tls, is_over

_log = logging.getLogger(__name__)


# Who asks, from the context of a call.
Naming: TypeAlias = Callable[[Any], str]


def options(limits: Limits, *, tls: bool = False) -> list[tuple[str, int]]:
    """The channel arguments of the server; names are those of grpc_types.h."""
    return [
        *([("grpc.max_connection_age_ms", AGE)] if tls else []),
        ("grpc.max_receive_message_length", limits.message),
        ("grpc.max_concurrent_streams", limits.streams),
        ("grpc.max_metadata_size", limits.metadata),
        ("grpc.absolute_max_metadata_size", limits.metadata_at_most),
        ("grpc.keepalive_time_ms", limits.keepalive_time),
        ("grpc.keepalive_timeout_ms", limits.keepalive_timeout),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", limits.ping_interval),
        ("grpc.so_reuseport", 0),  # else a second service shares the port, and half of the calls, unnoticed
    ]


class Grpcio:
    """A `Carrier` for every listener and every platform; with `tls` all of TCP speaks it."""

    def __init__(self, served: Methods, limits: Limits, tls: Tls | None = None) -> None:
        self._tls = tls
        self._listeners: list[tuple[Listener, str, int]] = []
        self._server = grpc.aio.server(options=options(limits, tls=tls is not None))
        self._server.add_generic_rpc_handlers(_handlers(served, _by_address if tls is None else _by_certificate(tls)))

    def bind_socket(self, path: str) -> None:
        """Listen on the unix socket `path`. Raises OSError."""
        self._bind(f"unix:{quote(path)}")

    def bind_port(self, host: str, port: int) -> int:
        """Listen on TCP; the real port. Raises OSError."""
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if self._tls is None:
            return self._bind(target)
        listener = Listener(self._tls.material)
        bound = self._bind(target, listener.credentials)
        self._listeners.append((listener, host, bound))
        return bound

    async def start(self) -> None:
        """Take calls."""
        await self._server.start()

    async def stop(self, grace: float) -> None:
        """Take no more calls, answer those in flight within `grace` seconds, cancel the rest."""
        await self._server.stop(grace)
        for listener, _, _ in self._listeners:
            await listener.close()

    async def renew(self, material: Material) -> None:
        """Take `material` for every connection by TLS from now on. Raises OSError where that cannot be done now."""
        for listener, host, port in self._listeners:
            await listener.renew(material, host, port)

    def _bind(self, target: str, credentials: Any = None) -> int:
        server = self._server
        try:
            port: int = (
                server.add_insecure_port(target) if credentials is None else server.add_secure_port(target, credentials)
            )
        except RuntimeError as error:
            raise OSError(str(error)) from error
        return port


def _by_address(context: Any) -> str:
    return caller_of(context.peer())


def _by_certificate(tls: Tls) -> Naming:
    def name(context: Any) -> str:
        by_address = caller_of(context.peer())
        if by_address == UNIX:
            return UNIX
        properties = context.auth_context()
        return NOBODY if is_over(properties, time.time()) else certified(properties, tls.versions)

    return name


def _handlers(served: Methods, caller: Naming) -> tuple[grpc.GenericRpcHandler, ...]:
    """`served` as gRPC wants it. Without serializers it hands over bytes."""
    services: dict[str, dict[str, Any]] = defaultdict(dict)
    for name, unary in served.unary.items():
        service, method = name.split("/")
        services[service][method] = grpc.unary_unary_rpc_method_handler(_unary(unary, caller))
    for name, stream in served.streams.items():
        service, method = name.split("/")
        services[service][method] = grpc.unary_stream_rpc_method_handler(_stream(stream, caller))
    return tuple(grpc.method_handlers_generic_handler(service, found) for service, found in services.items())


# gRPC would send the text of an exception to the caller: whatever a handler raises is INTERNAL without a word.
# `Methods` says that it raises nothing; this is what happens where that is wrong.


def _unary(handler: Unary, caller: Naming) -> Any:
    async def handle(request: bytes, context: Any) -> bytes:
        try:
            answer = handler(request, caller(context))
            return answer if isinstance(answer, bytes) else await answer
        except (asyncio.CancelledError, *EXITS):
            raise
        except BaseException:
            _log.exception("transport: expected an answer, got an error")
        return bytes(await context.abort(grpc.StatusCode.INTERNAL))

    return handle


def _stream(handler: Stream, caller: Naming) -> Any:
    async def handle(request: bytes, context: Any) -> AsyncIterator[bytes]:
        try:
            async for message in handler(request, caller(context)):
                yield message
        except (asyncio.CancelledError, *EXITS):
            raise
        except BaseException:
            _log.exception("transport: expected a stream of answers, got an error")
        else:
            return
        await context.abort(grpc.StatusCode.INTERNAL)

    return handle
