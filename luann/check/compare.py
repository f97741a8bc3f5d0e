"""Outputs: whether two are the same, and where they lie in memory."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch

from ..nn._guard import describe

TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-5, torch.float16: 5e-3}
"""How large the difference of a layer may be, by the type of its output; whole numbers must be equal."""


class Found(NamedTuple):
    """What comparing two outputs gave.

    Attributes:
        difference: the largest one, relative to the largest saved number; infinite where they cannot be compared.
        tolerance: what it may be.
        reason: what is wrong with their sizes or kinds.
    """

    difference: float
    tolerance: float
    reason: str | None = None

    @property
    def agree(self) -> bool:
        return self.difference <= self.tolerance


def compare(computed: Any, saved: Any, tolerance: float | None = None) -> Found:
    """Compare two outputs: tensors, numbers, or nested tables of these; of several, what is worst is told."""
    if isinstance(computed, torch.Tensor) and isinstance(saved, torch.Tensor):
        allowed = TOLERANCES.get(saved.dtype, 0.0) if tolerance is None else tolerance
        if computed.shape != saved.shape:
            return Found(math.inf, allowed, f"its output is {describe(computed)}, the saved one {describe(saved)}")
        return Found(_difference(computed, saved), allowed)
    if isinstance(computed, (int, float)) and isinstance(saved, (int, float)):
        a, b = (torch.tensor(x, dtype=torch.float64) for x in (computed, saved))
        return compare(a, b, tolerance)
    if isinstance(computed, (list, tuple)) and isinstance(saved, (list, tuple)) and len(computed) == len(saved):
        pairs = list(zip(computed, saved))
    elif isinstance(computed, dict) and isinstance(saved, dict) and computed.keys() == saved.keys():
        pairs = [(computed[key], saved[key]) for key in saved]
    else:
        return Found(math.inf, 0.0, f"its output is {describe(computed)}, the saved one {describe(saved)}")
    found = [compare(a, b, tolerance) for a, b in pairs]
    return min(found, key=lambda f: (f.agree, -f.difference), default=Found(0.0, 0.0))


def _difference(computed: torch.Tensor, saved: torch.Tensor) -> float:
    if torch.equal(computed, saved.to(computed.dtype)):
        return 0.0
    a, b = computed.double(), saved.double()
    differ = (a != b) & ~(a.isnan() & b.isnan())
    if not differ.any():
        return 0.0
    largest = (a - b)[differ].abs().max().item()  # infinite or nan where only one is finite
    scale = b[b.isfinite()].abs().max().item() if b.isfinite().any() else 0.0
    return largest / scale if math.isfinite(largest) and scale else math.inf


def is_empty(output: Any) -> bool:
    """Whether an output is none: never computed, or cleared."""
    if isinstance(output, torch.Tensor):
        return not output.numel()
    if isinstance(output, (list, tuple, dict)):
        return all(map(is_empty, output.values() if isinstance(output, dict) else output))
    return output is None


def emptied(output: Any) -> Any:
    """What an output is before anything was computed."""
    if isinstance(output, torch.Tensor):
        return output.new_empty(0)
    return type(output)() if isinstance(output, (list, dict)) else output


Memory = list[tuple[int, int, int]]
"""Pieces of memory: storage, first byte, end."""


def memory_of(value: Any) -> Memory:
    """The memory that the tensors of a nested table span."""
    if isinstance(value, torch.Tensor):
        if not value.numel():
            return []
        last = sum((n - 1) * step for n, step in zip(value.shape, value.stride()))
        start = value.data_ptr()
        return [(value.untyped_storage().data_ptr(), start, start + (last + 1) * value.element_size())]
    if isinstance(value, (list, tuple, dict)):
        return [piece for v in (value.values() if isinstance(value, dict) else value) for piece in memory_of(v)]
    return []


def overlap(one: Memory, two: Memory) -> bool:
    """Whether two pieces of memory have bytes in common."""
    return any(a[1] < b[2] and b[1] < a[2] for a in one for b in two)
