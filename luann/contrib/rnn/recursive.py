"""rnn's helpers for nested tables of tensors, beside those of ``nn.utils``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ... import random
from ...errors import TensorTypeError
from ...nn._guard import describe
from ...nn.utils import recursiveAdd, recursiveCopy, recursiveFill, recursiveResizeAs, recursiveType
from ...table import Table

__all__ = [
    "recursiveAdd",
    "recursiveCopy",
    "recursiveFill",
    "recursiveNew",
    "recursiveNormal",
    "recursiveResizeAs",
    "recursiveSet",
    "recursiveSum",
    "recursiveTensorEq",
    "recursiveType",
]


def recursiveSet(t1: Any, t2: Any) -> tuple[Any, Any]:
    """Make the tensors in ``t1`` use the memory of those in ``t2``; returns both. What ``t1`` lacks is made."""
    if isinstance(t2, torch.Tensor):
        mine = t1 if isinstance(t1, torch.Tensor) else t2.new_empty(0)
        return mine.set_(t2), t2
    keys, values = _entries(t2)
    if isinstance(t2, dict):
        t1 = t1 if isinstance(t1, dict) else Table()
        for key, value in zip(keys, values):
            t1[key] = recursiveSet(t1.get(key), value)[0]
    else:
        t1 = t1 if isinstance(t1, list) else []
        t1 += [None] * (len(values) - len(t1))
        t1[: len(values)] = [recursiveSet(mine, value)[0] for mine, value in zip(t1, values)]
    return t1, t2


def recursiveTensorEq(t1: Any, t2: Any) -> bool:
    """Whether all tensors in ``t2`` differ by less than 1e-5 from those in ``t1``."""
    if isinstance(t2, torch.Tensor):
        return bool(((t1 - t2).abs() < 1e-5).all())
    if not isinstance(t1, (list, tuple, dict)):
        return False
    keys, values = _entries(t2)
    return all(recursiveTensorEq(t1[key], value) for key, value in zip(keys, values))


def recursiveNormal(t2: Any) -> Any:
    """Draw all elements anew from a normal distribution of mean 0 and deviation 1; returns the table."""
    return _each(t2, lambda tensor: random.normal(tensor, 0, 1))


def recursiveNew(t2: Any) -> Any:
    """A table of the same form with empty tensors of the same types."""
    if isinstance(t2, torch.Tensor):
        return t2.new_empty(0)
    keys, values = _entries(t2)
    made = [recursiveNew(value) for value in values]
    return Table(zip(keys, made)) if isinstance(t2, dict) else made


def recursiveSum(t2: Any) -> float:
    """The sum of all elements."""
    if isinstance(t2, torch.Tensor):
        return t2.sum().item()
    return sum(map(recursiveSum, _entries(t2)[1]))


def _each(table: Any, action: Callable[[torch.Tensor], Any]) -> Any:
    if isinstance(table, torch.Tensor):
        return action(table)
    for value in _entries(table)[1]:
        _each(value, action)
    return table


def _entries(table: Any) -> tuple[list, list]:
    if isinstance(table, dict):
        return list(table), list(table.values())
    if isinstance(table, (list, tuple)):
        return list(range(len(table))), list(table)
    raise TensorTypeError(f"expected a tensor or a table of tensors, got {describe(table)}")
