"""Readings of a running service -> what it did not give back. Pure: knows no process."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

WARM_UP = 0.4  # of the run: tables fill to their bounds, allocators take what they keep
GROWTH = 8.0  # MiB that the medians of the first and the last third after the warm-up may lie apart
GROWTH_SHARE = 0.05  # or this share of the first, where that is more


@dataclass(frozen=True, slots=True)
class Rest:
    """What a service without traffic holds. Memory in MiB."""

    files: int
    threads: int
    tasks: int
    in_flight: int


def memory_grown(readings: Sequence[float]) -> tuple[float, float]:
    """How many MiB it grew by after the warm-up, and how many it may; the readings are evenly spaced in time.

    Raises ValueError where there are too few to tell.
    """
    after = readings[int(len(readings) * WARM_UP) :]
    third = len(after) // 3
    if third < 3:
        raise ValueError(f"soak: expected at least 15 readings, got {len(readings)}")
    first, last = statistics.median(after[:third]), statistics.median(after[-third:])
    return last - first, max(GROWTH, GROWTH_SHARE * first)


def left_behind(before: Rest, after: Rest) -> list[str]:
    """What is there after the traffic and was not before it, a sentence each."""
    faults = []
    for what, had, has in (
        ("file descriptors", before.files, after.files),
        ("threads", before.threads, after.threads),
        ("tasks", before.tasks, after.tasks),
    ):
        if has > had:
            faults.append(f"{what}: expected {had} as before the traffic, got {has}")
    if after.in_flight:
        faults.append(f"calls in flight: expected none, got {after.in_flight}")
    return faults
