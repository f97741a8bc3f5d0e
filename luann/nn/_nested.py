"""Nested tables of tensors as buffers: what containers and table layers write their results into."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..table import Table
from ._kernels import resized


def buffer(
    mine: Any, like: torch.Tensor, dtype: torch.dtype | None = None, device: torch.device | None = None
) -> torch.Tensor:
    """A tensor to write into, of the size of ``like`` and of its type, if no other is told: ``mine`` if it can be."""
    dtype, device = dtype or like.dtype, device or like.device
    if isinstance(mine, torch.Tensor) and mine.dtype is dtype and at(mine, device):
        return resized(mine, like.shape)
    return torch.empty(like.shape, dtype=dtype, device=device)


def at(tensor: torch.Tensor, device: torch.device) -> bool:
    """Whether a tensor lies on a device; one without a number means any of its kind."""
    return tensor.device == device or (device.index is None and tensor.device.type == device.type)


def buffers(mine: list, given: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The list ``mine``, made to hold a tensor of its own for each of ``given``, of the same size."""
    held = len(mine)
    if held == len(given) and all(map(_fits, mine, given)):
        return mine
    mine[:] = [buffer(mine[i] if i < held else None, tensor) for i, tensor in enumerate(given)]
    return mine


def _fits(mine: Any, given: torch.Tensor) -> bool:
    return (
        isinstance(mine, torch.Tensor)
        and mine.shape == given.shape
        and mine.dtype is given.dtype
        and mine.device == given.device
    )


def zeroed(mine: Any, given: Any) -> Any:
    """``mine``, made a nested table of zeros with the structure and the sizes of ``given``."""
    if isinstance(given, torch.Tensor):
        return buffer(mine, given).zero_()
    return _like(mine, given, zeroed)


def copied(mine: Any, given: Any, dtype: torch.dtype | None = None, device: torch.device | None = None) -> Any:
    """``mine``, made a copy of the nested table ``given``, of another type or on another device if these are told."""
    if isinstance(given, torch.Tensor):
        return buffer(mine, given, dtype, device).copy_(given)
    return _like(mine, given, lambda own, value: copied(own, value, dtype, device))


def added(mine: Any, given: Any) -> Any:
    """``mine`` plus ``given``, added in place entry by entry; what ``mine`` lacks becomes a copy."""
    if mine is None:
        return copied(None, given)
    if isinstance(given, torch.Tensor):
        return mine.add_(given)
    return _like(mine, given, added)


def emptied(value: Any) -> Any:
    """What can stand in the place of a nested table of tensors: one like it whose tensors are empty."""
    if isinstance(value, torch.Tensor):
        return value.new_empty(0)
    if isinstance(value, (list, tuple)):
        return [emptied(entry) for entry in value]
    return type(value)((key, emptied(entry)) for key, entry in value.items()) if isinstance(value, dict) else value


def stand_in(value: Any) -> Any:
    """Something of the size of a nested table of tensors, without their numbers and memory."""
    if isinstance(value, torch.Tensor):
        return value.new_full((), math.nan).expand(value.shape) if value.is_floating_point() else value
    return [stand_in(v) for v in value] if isinstance(value, (list, tuple)) else value


def first(value: Any) -> torch.Tensor | None:
    """The first tensor in a nested table; ``None`` if there is none."""
    if isinstance(value, torch.Tensor):
        return value
    entries = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return next((tensor for tensor in map(first, entries) if tensor is not None), None)


def _like(mine: Any, given: Any, entry: Callable[[Any, Any], Any]) -> Any:
    """``mine``, made a table with the keys of ``given``, and each entry ``entry(mine[key], given[key])``.

    What is neither a tensor nor a table becomes ``None``.
    """
    if isinstance(given, (list, tuple)):
        mine = mine if isinstance(mine, list) else []
        held = len(mine)
        mine[:] = [entry(mine[i] if i < held else None, value) for i, value in enumerate(given)]
        return mine
    if isinstance(given, dict):
        mine = mine if isinstance(mine, dict) else Table()
        for key in [key for key in mine if key not in given]:
            del mine[key]
        for key, value in given.items():
            mine[key] = entry(mine.get(key), value)
        return mine
    return None
