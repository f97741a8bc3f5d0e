"""Times and memory of both sides of a workload, by turns in one process."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

from torch.profiler import ProfilerActivity, profile, record_function

from tools.bench.workloads import Workload

BLOCK = 2e-3
"""Seconds that a sample takes at least: what is faster is done several times."""


class Timer:
    """Something to be timed, in blocks long enough for the clock."""

    def __init__(self, side: Any, mode: str) -> None:
        self.run = getattr(side, mode)
        self.prepare: Callable[[], None] | None = getattr(side, f"prepare_{mode}", None)
        self.count = 1
        self.samples: list[float] = []

    def block(self) -> float:
        """Seconds of one run, the mean of a block of them."""
        if self.prepare is not None:
            self.prepare()
        run, count = self.run, self.count
        begun = time.perf_counter()
        for _ in range(count):
            run()
        return (time.perf_counter() - begun) / count

    def warm(self) -> float:
        """Run it a few times, and find out how long a block has to be; returns the seconds of a block."""
        begun, once = time.perf_counter(), self.block()
        for _ in range(20):
            once = min(once, self.block())
            if time.perf_counter() - begun > 0.3:
                break
        if self.prepare is None:
            self.count = max(1, round(BLOCK / once))
        return once * self.count

    def summary(self) -> dict[str, float]:
        """The 20th percentile and the median."""
        ordered = sorted(self.samples)
        return {"p20": ordered[len(ordered) // 5], "median": statistics.median(ordered), "samples": len(ordered)}


def times(sides: dict[str, Any], mode: str, seconds: float, least: int, tick: Callable[[], None]) -> dict[str, Any]:
    """Time a method of several sides by turns.

    Args:
        seconds: how long to go on.
        least: the least number of samples of each side, however long they take.
        tick: called after every round.
    """
    for side in sides.values():
        side.mode(mode == "train")
    timers = {name: Timer(side, mode) for name, side in sides.items()}
    for timer in timers.values():
        timer.warm()
    gc.collect()
    begun = time.perf_counter()
    order = list(timers.values())
    while len(order[0].samples) < least or time.perf_counter() - begun < seconds:
        for timer in order:
            timer.samples.append(timer.block())
        order.reverse()  # neither always comes after the other
        tick()
    return {name: timer.summary() for name, timer in timers.items()}


def peak(make: Callable[[], Any], mode: str) -> int:
    """The most bytes that tensors take at once while a side is used three times, parameters and inputs included.

    They are counted where PyTorch's allocator hands them out; what a library takes for itself beside it is not seen.
    """
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        side = make()
        side.mode(mode == "train")
        run, prepare = getattr(side, mode), getattr(side, f"prepare_{mode}", None)
        for i in range(4):
            if prepare is not None:
                prepare()
            if i == 1:  # the first run may make what stays, and take more for that
                with record_function("from here"):
                    pass
            run()
    events = sorted(recorded.profiler.kineto_results.events(), key=lambda e: e.start_ns())
    now = highest = 0
    for event in events:
        if event.name() == "from here":
            highest = now
        elif event.name() == "[memory]":
            now += event.nbytes()
            highest = max(highest, now)
    return highest


def memory(workload: Workload, mode: str) -> dict[str, int]:
    """The peaks of both sides."""
    return {"luann": peak(workload.ours, mode), "torch": peak(workload.theirs, mode)}
