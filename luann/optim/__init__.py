"""Torch7's ``optim``: functions that minimise, one to a file, and :class:`ConfusionMatrix`.

Every optimiser is called as in Lua, ``x, fs = optim.sgd(feval, x, config, state)``; :mod:`luann.optim.state` tells what
config and state can be.
"""

from __future__ import annotations

from .confusion import ConfusionMatrix
from .sgd import sgd

__all__ = ["ConfusionMatrix", "sgd"]
