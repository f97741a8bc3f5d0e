"""``Timer``: Torch7's ``torch.Timer``."""

from __future__ import annotations

import os
import time

from .table import Table
from .types import register


@register("torch.Timer")
class Timer:
    """A stopwatch; it starts when it is made. A file keeps none of it: a loaded one starts anew."""

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

    def __repr__(self) -> str:
        state = "running" if self._running else "stopped"
        return f"torch.Timer | status: {state} | {', '.join(f'{k}: {v:.6g}' for k, v in self.time().items())}"


def _clocks() -> list[float]:
    spent = os.times()
    return [time.perf_counter(), spent.user, spent.system]
