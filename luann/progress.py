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
