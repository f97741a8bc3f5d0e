"""A progress bar on a terminal."""

from __future__ import annotations

import sys
import time

_WIDTH = 40
_INTERVAL = 0.05

_drawn_at = 0.0


def progress(current: int, goal: int) -> None:
    """Show on standard error how far a loop has come: Torch7's ``xlua.progress``.

    Nothing is written where standard error is not a terminal. The bar disappears when ``current`` reaches ``goal``.

    Args:
        current: how many steps are done.
        goal: how many there are.
    """
    global _drawn_at
    if not sys.stderr.isatty():
        return
    now = time.monotonic()
    if current >= goal:
        sys.stderr.write("\r\033[K")
    elif now - _drawn_at > _INTERVAL:
        _drawn_at = now
        filled = _WIDTH * current // goal
        sys.stderr.write(f"\r[{'=' * filled}{' ' * (_WIDTH - filled)}] {current}/{goal}\033[K")
    sys.stderr.flush()


class Patient:
    """The bar of :func:`progress` for work that mostly is too short for one: it comes after a second.

    Args:
        goal: how many steps there are.
    """

    def __init__(self, goal: int) -> None:
        self._goal = goal
        self._from = time.monotonic() + 1
        self._drawn = False

    def show(self, current: int) -> None:
        """Show how many steps are done."""
        if time.monotonic() > self._from:
            self._drawn = True
            progress(min(current, self._goal - 1), self._goal)

    def finish(self) -> None:
        """Take the bar away."""
        if self._drawn:
            self._drawn = False
            progress(self._goal, self._goal)
