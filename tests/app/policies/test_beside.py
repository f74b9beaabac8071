from __future__ import annotations

import asyncio
import threading

import pytest

from authz.app.policies.beside import beside


async def test_work_is_done_in_a_thread_that_ends_with_the_program() -> None:
    thread = await beside(threading.current_thread)
    assert thread is not threading.main_thread()
    assert thread.daemon


async def test_what_work_raises_is_raised_where_it_is_awaited() -> None:
    with pytest.raises(ZeroDivisionError):
        await beside(lambda: 1 // 0)


async def test_work_that_was_given_up_ends_unheard() -> None:
    go, done = threading.Event(), threading.Event()

    def work() -> int:
        go.wait(10)
        done.set()
        return 1

    task = asyncio.create_task(beside(work))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go.set()
    assert await asyncio.to_thread(done.wait, 10)
    assert await beside(lambda: 2) == 2
