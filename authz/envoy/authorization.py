"""The Check: bytes of a `CheckRequest` -> bytes of a `CheckResponse`, whatever happens in between.

A failure here would be a gRPC error, which a proxy under `failure_mode_allow` lets through: every one becomes a
denial. Knows no transport and no policy.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from authz.address import neighbourhood
from authz.envoy.codec import REFUSAL, WANTED, decode_check_request, encode, source_of
from authz.envoy.lane import Lane, is_heavy
from authz.errors import AuthzError
from authz.model import HttpRequest, Reason, Reply

_log = logging.getLogger(__name__)
_EXITS = (KeyboardInterrupt, SystemExit, GeneratorExit)


class Checker(Protocol):
    """Who decides."""

    async def check(self, request: HttpRequest) -> Reply:
        """The answer to `request`, after all that is owed for it was paid and recorded."""
        ...

    def refuse(self, reason: Reason, request: HttpRequest | None, error: Exception | None = None) -> Reply:
        """The denial, recorded, for a check that never came to a decision; `request` is None if it was not read."""
        ...


class Authorization:
    """`Authorization/Check` over `engine`; heavy checks take turns in `lane`.

    `wanted` are the filters whose metadata is read.
    """

    def __init__(self, engine: Checker, lane: Lane, wanted: Sequence[str] = WANTED) -> None:
        self._engine = engine
        self._lane = lane
        self._wanted = tuple(wanted)

    async def check(self, data: bytes, caller: str) -> bytes:
        """The answer to `data` from the transport peer `caller`. Raises nothing but the cancellation of this call."""
        request = None
        try:
            if not is_heavy(data):
                request = decode_check_request(data, caller, self._wanted)
                return encode(await self._engine.check(request))
            async with self._lane.turn(neighbourhood(source_of(data))):
                request = decode_check_request(data, caller, self._wanted)
                return encode(await self._engine.check(request))
        except AuthzError as error:
            return self._refuse(error.reason, request, error)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return self._refuse(Reason.INTERNAL, request, error)  # something inside was cancelled, not this call
        except _EXITS:
            raise
        except BaseException as error:  # a panic of a Rust extension is no Exception
            return self._refuse(Reason.INTERNAL, request, error)

    def _refuse(self, reason: Reason, request: HttpRequest | None, error: BaseException) -> bytes:
        try:
            cause = error if isinstance(error, Exception) else AuthzError(f"check: {type(error).__name__}: {error}")
            reply = self._engine.refuse(reason, request, cause)
            if reply.allowed is False:
                return encode(reply)
            _log.error("check: expected a denial for %s, got an allowed reply", reason)
        except _EXITS:
            raise
        except BaseException:
            _log.exception("check: expected a denial for %s, got an error", reason)
        return REFUSAL
