"""The methods of `service` on grpc.aio: one server for all listeners. Takes and gives bytes, and knows no message."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]

from authz.envoy.limits import Limits
from authz.envoy.peer import caller_of
from authz.envoy.service import EXITS, Methods, Stream, Unary

_log = logging.getLogger(__name__)


def options(limits: Limits) -> list[tuple[str, int]]:
    """The channel arguments of the server; names are those of grpc_types.h."""
    return [
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
    """A `Carrier` for every listener and every platform."""

    def __init__(self, served: Methods, limits: Limits) -> None:
        self._server = grpc.aio.server(options=options(limits))
        self._server.add_generic_rpc_handlers(_handlers(served))

    def bind_socket(self, path: str) -> None:
        """Listen on the unix socket `path`. Raises OSError."""
        self._bind(f"unix:{quote(path)}")

    def bind_port(self, host: str, port: int) -> int:
        """Listen on TCP; the real port. Raises OSError."""
        return self._bind(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")

    async def start(self) -> None:
        """Take calls."""
        await self._server.start()

    async def stop(self, grace: float) -> None:
        """Take no more calls, answer those in flight within `grace` seconds, cancel the rest."""
        await self._server.stop(grace)

    def _bind(self, target: str) -> int:
        try:
            port: int = self._server.add_insecure_port(target)
        except RuntimeError as error:
            raise OSError(str(error)) from error
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


# gRPC would send the text of an exception to the caller: whatever a handler raises is INTERNAL without a word.
# `Methods` says that it raises nothing; this is what happens where that is wrong.


def _unary(handler: Unary) -> Any:
    async def handle(request: bytes, context: Any) -> bytes:
        try:
            answer = handler(request, caller_of(context.peer()))
            return answer if isinstance(answer, bytes) else await answer
        except (asyncio.CancelledError, *EXITS):
            raise
        except BaseException:
            _log.exception("transport: expected an answer, got an error")
        return bytes(await context.abort(grpc.StatusCode.INTERNAL))

    return handle


def _stream(handler: Stream) -> Any:
    async def handle(request: bytes, context: Any) -> AsyncIterator[bytes]:
        try:
            async for message in handler(request, caller_of(context.peer())):
                yield message
        except (asyncio.CancelledError, *EXITS):
            raise
        except BaseException:
            _log.exception("transport: expected a stream of answers, got an error")
        else:
            return
        await context.abort(grpc.StatusCode.INTERNAL)

    return handle
