"""Torch7's ``torch.Timer``, and ``tic`` and ``toc``."""

from __future__ import annotations

import os
import time

from .table import Table
from .types import register


@register("torch.Timer")
class Timer:
    """A stopwatch; it starts when it is made. A file keeps none of it: a loaded one starts anew.

    ::

        timer = luann.Timer()
        model.forward(input)
        print(timer.time().real)
    """

    def __init__(self) -> None:
        self.reset()

    def _restore(self, fields: dict, version: float) -> None:
        self.reset()

    def reset(self) -> Timer:
        """Start again from zero; a stopped timer stays stopped. Returns the timer."""
        self._begun = _clocks()
        self._passed = [0.0, 0.0, 0.0]
        self._running = getattr(self, "_running", True)
        return self

    def stop(self) -> Timer:
        """Stop counting; returns the timer."""
        if self._running:
            self._passed = self._now()
            self._running = False
        return self

    def resume(self) -> Timer:
        """Go on counting after :meth:`stop`; returns the timer."""
        if not self._running:
            self._begun = _clocks()
            self._running = True
        return self

    def _now(self) -> list[float]:
        if not self._running:
            return self._passed
        return [passed + now - begun for passed, now, begun in zip(self._passed, _clocks(), self._begun)]

    def time(self) -> Table:
        """The seconds passed: a Table of ``real`` (by the clock), ``user`` and ``sys`` (of processor time)."""
        return Table(zip(("real", "user", "sys"), self._now()))

    def __tostring__(self) -> str:
        """What Torch7's ``print`` shows."""
        return f"torch.Timer [status: {'running' if self._running else 'stopped'}]"

    __repr__ = __tostring__


def tic() -> float:
    """Seconds of a clock; what it counts from has no meaning: see :func:`toc`."""
    return time.perf_counter()


def toc(tictime: float) -> float:
    """The seconds passed since :func:`tic` returned ``tictime``."""
    return time.perf_counter() - tictime


def _clocks() -> list[float]:
    spent = os.times()
    return [time.perf_counter(), spent.user, spent.system]
