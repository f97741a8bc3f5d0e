"""RMSprop."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .state import Feval, buffer, evaluate, no_autograd, option, tables


def rmsprop(feval: Feval, x: Tensor, config: Any = None, state: Any = None) -> tuple[Tensor, list]:
    """One step of RMSprop: gradient descent with each gradient divided by the size it has had of late.

    With g = df/dx::

        g ← g + weightDecay · x
        m ← alpha · m + (1 − alpha) · g²
        x ← x − learningRate · g / (√m + epsilon)

    x is changed in place, and so is the tensor that ``feval`` returned as df/dx: weight decay is added to it.

    Args:
        feval: function of x that returns f(x) and df/dx.
        x: parameters, a tensor of any floating type on any device, usually what ``getParameters`` returned.
        config: dict or object with the settings

            - ``learningRate`` (1e-2)
            - ``alpha`` (0.99)
            - ``epsilon`` (1e-8)
            - ``weightDecay`` (0)
            - ``initialMean`` (0): what m is before the first step
        state: dict or object that keeps ``m`` and ``tmp`` (√m + epsilon) from call to call; by default the config.

    Returns:
        x, and a list of one element: f(x) before the step, as ``feval`` returned it.
    """
    config, state = tables(config, state)
    lr = option(config, "learningRate", 1e-2)
    alpha = option(config, "alpha", 0.99)
    epsilon = option(config, "epsilon", 1e-8)
    wd = option(config, "weightDecay", 0)
    mean = option(config, "initialMean", 0)
    fx, dfdx = evaluate(feval, x)

    with no_autograd():
        if wd != 0:
            dfdx.add_(x, alpha=wd)
        m = buffer(state, "m", x, mean)
        root = buffer(state, "tmp", x)
        m.mul_(alpha).addcmul_(dfdx, dfdx, value=1 - alpha)
        torch.sqrt(m, out=root).add_(epsilon)
        x.addcdiv_(dfdx, root, value=-lr)
    return x, [fx]
