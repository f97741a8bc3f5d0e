"""Check of a gradient against finite differences."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .state import Feval, divide, evaluate, value, without_autograd


@without_autograd
def checkgrad(feval: Feval, x: Tensor, eps: float = 1e-7) -> tuple[float, Tensor, Tensor]:
    """Compare df/dx with (f(x + eps) − f(x + eps − 2 · eps)) / (2 · eps), element by element.

    ``feval`` is called twice for every element of x, whose elements are moved and put back. The default ``eps`` is made
    for doubles; for floats about 1e-2 is needed.

    Args:
        feval: function of x that returns f(x) and df/dx.
        x: where to compare.
        eps: how far to move each element.

    Returns:
        |df/dx − estimate| / |df/dx + estimate| in Euclidean norms, which should be near ``eps``; df/dx; the estimate.
        Both tensors belong to the caller.
    """
    gradient = evaluate(feval, x)[1].clone()
    estimate = torch.empty_like(gradient)
    for index in np.ndindex(*x.shape):
        here = x[index].item()
        x[index] = here + eps
        above = value(feval(x))
        x[index] = x[index].item() - 2 * eps  # as Torch7 steps: rounded twice, which counts when divided by eps
        below = value(feval(x))
        x[index] = here
        estimate[index] = (above - below) / (2 * eps)
    difference = divide((gradient - estimate).norm().item(), (gradient + estimate).norm().item())
    return difference, gradient, estimate
