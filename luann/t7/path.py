"""Where an object lies within others."""

from __future__ import annotations

import itertools
from typing import Any

from ..table import Table
from .values import Function

_SHOWN = 16  # steps of a path that an error shows


def path_to(chain: list) -> str:
    """How to get to the last of some objects, each of which holds the next, from the first: ``obj.modules[0]['x']``."""
    steps = []
    owner: Any = None
    for holder, held in itertools.pairwise(chain):
        if isinstance(holder, dict):
            named = isinstance(holder, Table) or not isinstance(owner, (list, tuple, dict, type(None)))
            steps.append(_entry(holder, held, named))
        elif isinstance(holder, (list, tuple)):
            steps.append(f"[{next((i for i, value in enumerate(holder) if value is held), '?')}]")
        elif isinstance(holder, Function):
            steps.append(".upvalues")
        owner = holder
    if len(steps) > _SHOWN:
        half = _SHOWN // 2
        steps = [*steps[:half], f"...({len(steps) - _SHOWN} more)...", *steps[-half:]]
    return "obj" + "".join(steps)


def _entry(table: dict, held: Any, named: bool) -> str:
    for key, value in table.items():
        if value is held:
            if named and isinstance(key, str) and key.isidentifier():
                return f".{key}"
            return f"[{key!r}]" if isinstance(key, (str, bytes, int, float)) else f"[a {type(key).__name__}]"
    return "<key>"
