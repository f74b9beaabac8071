"""Work beside the event loop that does not keep the program from ending.

`asyncio.to_thread` would: the interpreter waits for its threads, and a policy that takes long to compile would hold up
the answer to SIGTERM. What is thrown away here has changed nothing: a load counts once it is swapped in, on the loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def beside(work: Callable[[], T]) -> T:
    """What `work` returns or raises, done in a thread that ends with the program."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # it is raised again where it is awaited
            _tell(loop, done.set_exception, error)
        else:
            _tell(loop, done.set_result, result)

    threading.Thread(target=run, name="beside", daemon=True).start()
    return await done


def _tell(loop: asyncio.AbstractEventLoop, settle: Callable[..., None], outcome: object) -> None:
    def unless_given_up() -> None:
        if not settle.__self__.done():  # type: ignore[attr-defined]  # the method's future
            settle(outcome)

    if not loop.is_closed():
        loop.call_soon_threadsafe(unless_given_up)
