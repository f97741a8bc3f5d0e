"""The alias method: draws from a distribution over many classes at the cost of two numbers each."""

from __future__ import annotations

import numpy as np
import torch

from .errors import ArgumentError, ShapeError, TensorTypeError
from .types import typename


def alias_tables(probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each class the one, from 1, that takes its place (0: none does), and how probable it is that it stays.

    Computed in the type and in the order in which Torch7 does.

    Args:
        probs: a vector of floats or doubles that adds up to 1.
    """
    q = len(probs) * probs
    alias = np.zeros(len(probs), dtype=np.int64)
    smaller, larger = np.flatnonzero(q < 1).tolist(), np.flatnonzero(~(q < 1)).tolist()
    while smaller and larger:
        small, large = smaller.pop(), larger.pop()
        alias[small] = large + 1
        q[large] = float(q[large]) - (1.0 - float(q[small]))
        (smaller if q[large] < 1 else larger).append(large)
    if q.max() > 1:
        q /= q.max()
    return alias, q


def alias_state(probs: torch.Tensor, state: list[torch.Tensor] | None = None) -> list[torch.Tensor]:
    """Make the tables for ``multinomialAlias``, which draws faster than ``multinomial`` from many categories.

    Args:
        probs: floating-point vector that adds up to 1, without zeros.
        state: tables of an earlier call, which are overwritten.

    Returns:
        A list of two: for each index the one that may take its place, a LongTensor that counts from 1, and how probable
        it is that it stays. As in Torch7 the first index never takes another's place, so that where it should it is
        drawn too seldom.
    """
    if not isinstance(probs, torch.Tensor) or probs.dtype not in (torch.float32, torch.float64):
        raise TensorTypeError(f"multinomialAliasSetup: probs must hold floats or doubles, got a {typename(probs)}")
    if probs.dim() != 1 or not probs.numel():
        raise ShapeError(f"multinomialAliasSetup: probs must be a vector, not empty, got {list(probs.shape)}")
    alias, q = alias_tables(probs.detach().cpu().numpy())
    if not q.min() > 0:
        raise ArgumentError("multinomialAliasSetup: every probability must be positive, and all must add up to 1")
    q[alias <= 1] = 1  # none takes its place, or the first does, which Torch7 cannot tell from that
    tables = [torch.tensor(np.maximum(alias, 1), device=probs.device), torch.tensor(q, device=probs.device)]
    if state is None:
        return tables
    for mine, table in zip(state, tables, strict=True):
        mine.resize_(table.shape).copy_(table)
    return state
