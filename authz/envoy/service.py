"""What is served: full method name -> handler from bytes to bytes, whatever transport carries them.

The Check itself comes from `authorization`; health is here. Knows no transport.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from authz.envoy.codec import REFUSAL, encode
from authz.envoy.peer import UNIX
from authz.model import Reply

_log = logging.getLogger(__name__)

# (request, caller): `caller` is the transport peer, `unix`, what its certificate says, or an address without its port.
# The answer, or what will give it: who can answer at once needs no task.
Unary: TypeAlias = Callable[[bytes, str], bytes | Awaitable[bytes]]
Stream: TypeAlias = Callable[[bytes, str], AsyncGenerator[bytes, None]]

AUTHORIZATION = "envoy.service.auth.v3.Authorization"
HEALTH = "grpc.health.v1.Health"
_STRANGER = encode(
    Reply(
        allowed=False,
        status=403,
        body=b'{"jsonrpc":"2.0","id":null,"error":{"code":40301,"message":"Denied: no policy governs this proxy."}}',
    )
)
EXITS = (KeyboardInterrupt, SystemExit, GeneratorExit)  # of the process or of a generator: nobody's failure


@dataclass(frozen=True, slots=True)
class Methods:
    """All that a transport serves, by full name `package.Service/Method`. Handlers raise nothing but cancellation."""

    unary: Mapping[str, Unary]
    streams: Mapping[str, Stream]


def methods(check: Unary, health: Health) -> Methods:
    """The Check and the standard health service."""
    return Methods(
        unary={f"{AUTHORIZATION}/Check": _denying(check), f"{HEALTH}/Check": health.check},
        streams={f"{HEALTH}/Watch": health.watch},
    )


def admitting(check: Unary, knows: Callable[[str], bool], refused: Callable[[str], None]) -> Unary:
    """`check` for whom `knows` and for whoever comes by a unix socket, which has permissions of its own.

    Nobody else learns or costs anything: what they send is not even read. A denial and no RPC error, which would be a
    yes where `failure_mode_allow` is set; `refused` is told of each, by name ("" where there is none).
    """

    def checked(request: bytes, caller: str) -> bytes | Awaitable[bytes]:
        if caller == UNIX or (caller and knows(caller)):
            return check(request, caller)
        refused(caller)
        return _STRANGER

    return checked


def _denying(check: Unary) -> Unary:
    """`check`, with a denial for whatever it raises: an RPC error is a yes where `failure_mode_allow` is set."""

    def checked(request: bytes, caller: str) -> bytes | Awaitable[bytes]:
        try:
            answer = check(request, caller)
        except EXITS:
            raise
        except BaseException:  # a panic of a Rust extension is no Exception
            _log.exception("check: expected an answer, got an error")
            return REFUSAL
        return answer if isinstance(answer, bytes) else awaited(answer)

    async def awaited(answer: Awaitable[bytes]) -> bytes:
        try:
            return await answer
        except (asyncio.CancelledError, *EXITS):
            raise
        except BaseException:
            _log.exception("check: expected an answer, got an error")
            return REFUSAL

    return checked


# HealthCheckResponse.status, https://github.com/grpc/grpc-proto/blob/master/grpc/health/v1/health.proto
_SERVING = b"\x08\x01"
_NOT_SERVING = b"\x08\x02"
_SERVICE_UNKNOWN = b"\x08\x03"


def _asks_for(service: str) -> bytes:
    """A HealthCheckRequest, whose only field is the name of a service."""
    return b"\x0a" + bytes([len(service)]) + service.encode()


_KNOWN = frozenset({b"", _asks_for(""), _asks_for(AUTHORIZATION), _asks_for(HEALTH)})


class Health:
    """grpc.health.v1 for the whole service; not serving until it is told so.

    `Check` answers SERVICE_UNKNOWN for other services where the protocol has the error NOT_FOUND: probes take both
    for unhealthy, and so a handler needs no way to fail.
    """

    def __init__(self) -> None:
        self._serving = False
        self._closed = False
        self._changed = asyncio.Event()

    def set_serving(self, serving: bool) -> None:
        """Say that calls are served, or not; a closed one stays as it is."""
        if serving != self._serving and not self._closed:
            self._serving = serving
            self._tell()

    def close(self) -> None:
        """Say for the last time that calls are not served, and let every watcher go."""
        self.set_serving(False)
        self._closed = True
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _status(self, request: bytes) -> bytes:
        if request not in _KNOWN:
            return _SERVICE_UNKNOWN
        return _SERVING if self._serving else _NOT_SERVING

    def check(self, request: bytes, caller: str) -> bytes:
        """`Health/Check`."""
        return self._status(request)

    async def watch(self, request: bytes, caller: str) -> AsyncGenerator[bytes, None]:
        """`Health/Watch`: the state now and after each change, until the service stops."""
        told = b""
        while True:
            changed, status = self._changed, self._status(request)
            if status != told:
                told = status
                yield status
            elif self._closed:
                return
            else:
                await changed.wait()
