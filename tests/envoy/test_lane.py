"""Turns for large bodies: one at a time, fair by source, and no place that cannot be lost or left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from authz.envoy.lane import INTRICATE, LARGE, LIGHT, MAX_REST, Busy, Lane, is_heavy


class Bodies:
    """Bodies that take turns in a lane, each of which ends when the test says so."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.order: list[str] = []
        self.ends: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def arrive(self, *names: str) -> None:
        """Bodies `SOURCE/anything` come in, in this order, and get as far as they can."""
        for name in names:
            self.ends[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._body(name))
            await settle()

    async def _body(self, name: str) -> None:
        async with self.lane.turn(name.partition("/")[0]):
            self.order.append(name)
            await self.ends[name].wait()

    async def end(self, name: str) -> None:
        self.ends[name].set()
        await self.tasks[name]
        await settle()

    async def end_all(self) -> list[str]:
        """End whoever has the turn until nobody has; the order of turns."""
        ended = 0
        while ended < len(self.order):
            await self.end(self.order[ended])
            ended += 1
        return self.order


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def bodies() -> AsyncIterator[Bodies]:
    bodies = Bodies(Lane(max_waiting=4, per_source=2, clock=lambda: 0.0))
    yield bodies
    for task in bodies.tasks.values():
        task.cancel()
    await asyncio.gather(*bodies.tasks.values(), return_exceptions=True)


async def test_one_body_at_a_time_has_the_turn(bodies: Bodies) -> None:
    await bodies.arrive("a/1", "b/1", "c/1")
    assert (bodies.order, bodies.lane.waiting) == (["a/1"], 2)
    await bodies.end("a/1")
    assert (bodies.order, bodies.lane.waiting) == (["a/1", "b/1"], 1)


async def test_sources_take_turns_whoever_came_first(bodies: Bodies) -> None:
    await bodies.arrive("a/1", "a/2", "a/3", "b/1", "b/2")
    assert await bodies.end_all() == ["a/1", "a/2", "b/1", "a/3", "b/2"]
    assert bodies.lane.waiting == 0


async def test_one_source_waits_with_so_many_bodies_and_no_more(bodies: Bodies) -> None:
    await bodies.arrive("a/1", "a/2", "a/3", "a/4")
    with pytest.raises(Busy) as busy:
        await bodies.tasks["a/4"]
    assert str(busy.value) == "lane: expected at most 2 heavy checks waiting from one source, got one more"
    assert busy.value.reason == "busy"
    assert await bodies.end_all() == ["a/1", "a/2", "a/3"]


async def test_a_newcomer_gets_the_newest_place_of_the_source_that_has_most(bodies: Bodies) -> None:
    await bodies.arrive("a/1", "a/2", "a/3", "b/1", "b/2", "c/1")
    with pytest.raises(Busy) as busy:
        await bodies.tasks["a/3"]
    assert str(busy.value) == "lane: expected to wait for a turn, lost the place to a source with fewer"
    assert await bodies.end_all() == ["a/1", "a/2", "b/1", "c/1", "b/2"]


async def test_a_source_with_one_place_keeps_it_however_many_newcomers_there_are(bodies: Bodies) -> None:
    await bodies.arrive("x/1", "a/1", "b/1", "c/1", "d/1", *[f"new{i}/1" for i in range(50)])
    for i in range(50):
        with pytest.raises(Busy) as busy:
            await bodies.tasks[f"new{i}/1"]
        assert str(busy.value) == "lane: expected at most 4 heavy checks waiting, got one more"
    assert await bodies.end_all() == ["x/1", "a/1", "b/1", "c/1", "d/1"]


async def test_a_flood_from_one_source_does_not_keep_another_waiting(bodies: Bodies) -> None:
    await bodies.arrive("flood/0", "flood/1", "flood/2", "b/1")
    for i in range(3, 20):
        await bodies.arrive(f"flood/{i}")
    await bodies.end("flood/0")
    await bodies.end("flood/1")
    assert bodies.order[-1] == "b/1"


async def test_whoever_stops_waiting_frees_the_place(bodies: Bodies) -> None:
    await bodies.arrive("a/1", "a/2", "b/1", "b/2", "c/1")
    for name in ("a/2", "b/2", "c/1"):
        bodies.tasks[name].cancel()
    await settle()
    assert bodies.lane.waiting == 1
    await bodies.arrive("d/1", "d/2")
    assert await bodies.end_all() == ["a/1", "b/1", "d/1", "d/2"]


async def test_a_turn_that_comes_in_the_moment_of_cancellation_goes_to_the_next(
    bodies: Bodies, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bodies.arrive("a/1", "b/1", "c/1")
    give = bodies.lane._next

    def give_and_cancel() -> None:
        give()
        bodies.tasks["b/1"].cancel()

    monkeypatch.setattr(bodies.lane, "_next", give_and_cancel)
    bodies.ends["a/1"].set()
    await settle()
    assert bodies.tasks["b/1"].cancelled()
    assert bodies.order == ["a/1", "c/1"]


async def test_a_place_lost_in_the_moment_of_cancellation_is_only_left_once(
    bodies: Bodies, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bodies.arrive("a/1", "a/2", "a/3", "b/1", "b/2")
    find = bodies.lane._place

    def find_and_cancel(source: str) -> asyncio.Future[None]:
        place = find(source)
        bodies.tasks["a/3"].cancel()
        return place

    monkeypatch.setattr(bodies.lane, "_place", find_and_cancel)
    await bodies.arrive("c/1")
    assert bodies.tasks["a/3"].cancelled()
    assert await bodies.end_all() == ["a/1", "a/2", "b/1", "c/1", "b/2"]


async def test_a_body_that_fails_or_is_cancelled_gives_its_turn_back(bodies: Bodies) -> None:
    async def fail() -> None:
        async with bodies.lane.turn("a"):
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        await fail()
    await settle()
    await bodies.arrive("b/1", "c/1")
    bodies.tasks["b/1"].cancel()
    await settle()
    assert bodies.order == ["b/1", "c/1"]


async def test_the_lane_rests_as_long_as_the_turn_took(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    rests: list[float] = []
    lane = Lane(clock=lambda: now)
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "call_later", lambda delay, call: rests.append(delay) or loop.call_soon(call))
    for took in (0.0, 0.03125, 30.0):
        async with lane.turn("a"):
            now += took
        await settle()
    assert rests == [0.0, 0.03125, MAX_REST]


async def test_while_the_lane_rests_nobody_has_the_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    lane = Lane(clock=lambda: 0.0)
    resting = []
    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", lambda _, call: resting.append(call))
    async with lane.turn("a"):
        pass
    bodies = Bodies(lane)
    await bodies.arrive("b/1")
    assert (bodies.order, lane.waiting) == ([], 1)
    resting.pop()()
    await settle()
    assert bodies.order == ["b/1"]
    await bodies.end("b/1")


@pytest.mark.parametrize(
    ("data", "heavy"),
    [
        (b"", False),
        (b"[" * LIGHT, False),
        (b"x" * LARGE, False),
        (b"x" * (LARGE + 1), True),
        (b"[" * (LIGHT + 1), True),
        (b"," * INTRICATE + b"x" * LIGHT, False),
        (b"," * (INTRICATE + 1) + b"x" * LIGHT, True),
        (b"{}" * (INTRICATE + 1) + b"x" * LIGHT, True),
    ],
)
def test_what_is_large_or_of_very_many_values_is_heavy(data: bytes, heavy: bool) -> None:
    assert is_heavy(data) is heavy
