"""The methods of `service` on pygrpc-native: HTTP/2 in Rust outside the GIL, one front for each listener.

Built on its low-level interface, which hands calls over in batches: its `aio.server()` costs 4 µs more for each, keeps
every call that was cancelled before its task began, and sends the text of an exception to the caller.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence

from pygrpc_native import EVENT_CANCEL, STREAM_CLOSED, STREAM_SENT, NativeGrpcFront

from authz.envoy.limits import Limits
from authz.envoy.peer import caller_of
from authz.envoy.service import EXITS, Methods, Stream, Unary

_log = logging.getLogger(__name__)

# the numbers of the codes, https://grpc.io/docs/guides/status-codes/
_CANCELLED = 1
_RESOURCE_EXHAUSTED = 8
_INTERNAL = 13
_UNAVAILABLE = 14

_BATCH = 64  # calls that one turn of the event loop begins at most
# Answers that leave together: each one that leaves alone wakes the thread that sends, a switch to it and back (a fifth
# of all calls/s, measured). More would let the first of them wait for longer than that takes.
_GROUP = 16
_PATIENCE = 0.001  # seconds that an answer waits for company
_IO_THREADS = 1  # a second one makes calls a tenth dearer and no faster (measured): Python is what is waited for
_FLUSH = 0.05  # seconds in which the last answers leave

Event = tuple[int, int, int, bytes | None, bytes | str | None]
Rest = Coroutine[None, None, None]
Start = Callable[[int, bytes, str], bytes | Rest | None]  # the answer, or what is left to do once a call has begun


class Native:
    """A `Carrier` for plain text on Linux (glibc) and macOS.

    A message above the limit is refused as soon as it is here and not before: the front has no limit of its own.
    """

    def __init__(self, served: Methods, limits: Limits) -> None:
        self._served = served
        self._limits = limits
        self._fronts: list[_Front] = []

    def bind_socket(self, path: str) -> None:
        """Listen on the unix socket `path`. Raises OSError."""
        self._bind(f"unix:{path}")

    def bind_port(self, host: str, port: int) -> int:
        """Listen on TCP; the real port. Raises OSError."""
        return self._bind(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")

    async def start(self) -> None:
        """Take calls."""
        for front in self._fronts:
            front.start()

    async def stop(self, grace: float) -> None:
        """Take no more calls, answer those in flight within `grace` seconds, cancel the rest."""
        await asyncio.gather(*(front.stop(grace) for front in self._fronts))

    def _bind(self, target: str) -> int:
        limits = self._limits
        wire = NativeGrpcFront(
            target,
            [],
            io_threads=_IO_THREADS,
            call_details=True,  # without it nobody hears that a unary call was cancelled or has run out of time
            delay_stream_headers=True,
            keepalive_time_ms=limits.keepalive_time,
            keepalive_timeout_ms=limits.keepalive_timeout,
            max_concurrent_streams=limits.streams,
            max_metadata_size=limits.metadata_at_most,
        )
        self._fronts.append(_Front(wire, self._served, limits.message))
        return wire.bound_port


class _Front:
    """One listener: a thread that waits for events, and a task for each call that is not answered at once."""

    def __init__(self, wire: NativeGrpcFront, served: Methods, max_message: int) -> None:
        self._wire = wire
        self._max_message = max_message
        self._loop = asyncio.get_running_loop()
        self._waiter: threading.Thread | None = None
        self._draining = False
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._ready: list[tuple[int, bytes]] = []  # answers of calls that had to wait
        self._ending: set[asyncio.Task[None]] = set()  # cancelled, and not yet at their end
        table: dict[str, Start] = {f"/{name}": functools.partial(self._answer, of) for name, of in served.unary.items()}
        table |= {f"/{name}": functools.partial(self._tell, of) for name, of in served.streams.items()}
        wire.add_methods([(name, name[1:] in served.streams) for name in table])
        self._table: Sequence[Start] = tuple(table.values())

    def start(self) -> None:
        self._wire.start()
        self._waiter = threading.Thread(target=self._wait, name="native-transport", daemon=True)
        self._waiter.start()

    def _wait(self) -> None:
        """In the thread: asleep until something arrives or the front is closed."""
        while (events := self._wire.recv_batch(_BATCH)) is not None:
            try:
                self._loop.call_soon_threadsafe(self._take, events)
            except RuntimeError:  # the loop was closed and nobody had stopped us
                self._wire.close()

    def _take(self, events: Sequence[Event]) -> None:
        ready: list[tuple[int, bytes]] = []
        since = 0.0
        try:
            for kind, call, method, request, peer in events:
                if kind == EVENT_CANCEL:
                    self._cancel(call)
                elif self._draining:
                    self._wire.fail(call, _UNAVAILABLE, "")
                elif not isinstance(request, bytes) or len(request) > self._max_message:
                    self._wire.fail(call, _RESOURCE_EXHAUSTED, "")
                else:
                    begun = self._table[method](call, request, caller_of(str(peer)))
                    if isinstance(begun, bytes):
                        now = time.monotonic()
                        since = since if ready else now
                        ready.append((call, begun))
                        if len(ready) == _GROUP or now - since > _PATIENCE:
                            self._send(ready)
                    elif begun is not None:
                        self._calls[call] = self._loop.create_task(begun)
        finally:
            self._send(ready)

    def _send(self, ready: list[tuple[int, bytes]]) -> None:
        answers = ready.copy()
        ready.clear()
        for call, answer in answers:
            try:
                self._wire.respond(call, answer)
            except Exception as error:
                self._broken(call, error)

    def _cancel(self, call: int) -> None:
        task = self._calls.pop(call, None)
        if task is not None:
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
            # After its first step, which is next: cancelled before, it would never come to await its answer.
            self._loop.call_soon(task.cancel)

    def _answer(self, handler: Unary, call: int, request: bytes, caller: str) -> bytes | Rest | None:
        try:
            answer = handler(request, caller)
            return answer if isinstance(answer, bytes) else self._answer_later(answer, call)
        except BaseException as error:
            self._broken(call, error)
        return None

    async def _answer_later(self, answer: Awaitable[bytes], call: int) -> None:
        try:
            self._ready.append((call, await answer))
            if len(self._ready) == 1:  # what a store answers at once, for many calls, leaves at once
                self._loop.call_soon(self._send, self._ready)
        except asyncio.CancelledError:
            self._wire.fail(call, _CANCELLED, "")
            raise
        except BaseException as error:
            self._broken(call, error)
        finally:
            self._calls.pop(call, None)

    async def _tell(self, handler: Stream, call: int, request: bytes, caller: str) -> None:
        try:
            async with contextlib.aclosing(handler(request, caller)) as messages:
                async for message in messages:
                    sent = self._wire.stream_try_send(call, message)
                    if sent == STREAM_CLOSED:
                        return
                    if sent != STREAM_SENT:  # who does not read is let go: to wait for room would take a thread
                        self._wire.fail(call, _RESOURCE_EXHAUSTED, "")
                        return
            self._wire.stream_end(call)
        except asyncio.CancelledError:
            self._wire.fail(call, _CANCELLED, "")
            raise
        except BaseException as error:
            self._broken(call, error)
        finally:
            self._calls.pop(call, None)

    def _broken(self, call: int, error: BaseException) -> None:
        """`Methods` says that handlers raise nothing; where that is wrong the caller gets INTERNAL without a word."""
        self._wire.fail(call, _INTERNAL, "")
        if isinstance(error, EXITS):
            raise error
        _log.error("transport: expected an answer, got an error", exc_info=error)

    async def stop(self, grace: float) -> None:
        self._draining = True
        tasks = {*self._calls.values(), *self._ending}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        # Closing throws away what was answered and is not yet sent (measured: two of three answers; none after 1 ms).
        await asyncio.sleep(min(grace, _FLUSH))
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._wire.close()
        if self._waiter is not None:
            self._waiter.join()
