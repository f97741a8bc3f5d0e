"""Minimum of the polynomial through points with values and slopes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import ShapeError
from .state import divide


def polyinterp(
    points: Tensor | Sequence[Sequence[float]], xminBound: float | None = None, xmaxBound: float | None = None
) -> tuple[float, float | None]:
    """Where the polynomial of least degree with given values and slopes is lowest, within bounds.

    Args:
        points: N×3, a row (x, f(x), f'(x)) for each point; at least two.
        xminBound, xmaxBound: where to look; by default from the lowest to the highest x of the points.

    Returns:
        The position, and the polynomial's value there. With two points and no bounds the position comes from the
        closed form for a cubic, which gives no value: ``None``. Where the polynomial has no minimum that can be found,
        the position is the middle.

    Raises:
        ShapeError: points of another shape.
    """
    rows = torch.as_tensor(points, dtype=torch.float64, device="cpu").detach().numpy()
    if rows.ndim != 2 or len(rows) < 2 or rows.shape[1] != 3:
        raise ShapeError(f"polyinterp wants N×3 points (x, f, slope) with N of at least 2, got size {rows.shape}")
    if len(rows) == 2 and xminBound is None and xmaxBound is None:
        return _cubic(*sorted(rows.tolist(), key=lambda point: point[0])), None
    x = rows[:, 0]
    low = x.min().item() if xminBound is None else xminBound
    high = x.max().item() if xmaxBound is None else xmaxBound
    best, lowest = (low + high) / 2, math.inf
    coefficients = _interpolating(rows)
    if coefficients is None:
        return best, lowest
    for position in (low, high, *x.tolist(), *_flat_places(coefficients)):
        if low <= position <= high:
            height = _value(coefficients, position)
            if height < lowest:
                best, lowest = position, height
    return best, lowest


def _cubic(left: Sequence[float], right: Sequence[float]) -> float:
    (x1, f1, g1), (x2, f2, g2) = left, right
    d1 = g1 + g2 - divide(3 * (f1 - f2), x1 - x2)
    square = d1 * d1 - g1 * g2
    if not square >= 0:
        return (x1 + x2) / 2
    d2 = math.sqrt(square)
    return min(max(x2 - (x2 - x1) * divide(g2 + d2 - d1, g2 - g1 + 2 * d2), x1), x2)


def _interpolating(rows: np.ndarray) -> np.ndarray | None:
    """The coefficients, highest power first; ``None`` if no finite ones fit."""
    order = 2 * len(rows) - 1
    powers = np.arange(order, -1, -1)
    x = rows[:, :1]
    with np.errstate(all="ignore"):
        values = x**powers
        slopes = np.where(powers > 0, powers * x ** np.maximum(powers - 1, 0), 0)
    A, b = np.concatenate([values, slopes]), np.concatenate([rows[:, 1:2], rows[:, 2:]])
    if not (np.isfinite(A).all() and np.isfinite(b).all()):
        return None
    # LAPACK's gels, as in Torch7: the matrix is often so near to singular that another method gives other digits.
    fit = torch.linalg.lstsq(torch.from_numpy(A), torch.from_numpy(b), driver="gels").solution.numpy()[:, 0]
    if not np.isfinite(fit).all():
        return None
    return np.where(np.abs(fit) <= _NOTHING, 0, fit)


def _flat_places(coefficients: np.ndarray) -> list[float]:
    """Where the polynomial's derivative is zero."""
    derivative = coefficients[:-1] * np.arange(len(coefficients) - 1, 0, -1)
    derivative[np.abs(derivative) < _NOTHING] = 0
    return [root.real for root in np.roots(derivative).tolist() if root.imag == 0]


def _value(coefficients: np.ndarray, x: float) -> float:
    with np.errstate(all="ignore"):
        return (coefficients * np.float64(x) ** np.arange(len(coefficients) - 1, -1, -1)).sum().item()


_NOTHING = 1e-12  # Torch7's: smaller coefficients count as zero
