"""AdaGrad."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .state import Feval, buffer, evaluate, no_autograd, option, tables


def adagrad(feval: Feval, x: Tensor, config: Any = None, state: Any = None) -> tuple[Tensor, list]:
    """One step of AdaGrad: gradient descent with a rate for each parameter that falls with what its gradients sum to.

    With g = df/dx and n the number of steps done before::

        g ← g + weightDecay · x
        s ← s + g²
        x ← x − learningRate / (1 + n · learningRateDecay) · g / (√s + 1e-10)

    x is changed in place, and so is the tensor that ``feval`` returned as df/dx: weight decay is added to it.

    Args:
        feval: function of x that returns f(x) and df/dx.
        x: parameters, a tensor of any floating type on any device, usually what ``getParameters`` returned.
        config: dict or object with the settings

            - ``learningRate`` (1e-3)
            - ``learningRateDecay`` (0)
            - ``weightDecay`` (0)
        state: dict or object that keeps ``evalCounter``, ``paramVariance`` (s) and ``paramStd`` (√s + 1e-10) from call
            to call; by default the config.

    Returns:
        x, and a list of one element: f(x) before the step, as ``feval`` returned it.
    """
    config, state = tables(config, state)
    lr = option(config, "learningRate", 1e-3)
    decay = option(config, "learningRateDecay", 0)
    wd = option(config, "weightDecay", 0)
    steps = state["evalCounter"] = option(state, "evalCounter", 0)
    fx, dfdx = evaluate(feval, x)

    with no_autograd():
        if wd != 0:
            dfdx.add_(x, alpha=wd)
        variance = buffer(state, "paramVariance", x, 0)
        std = buffer(state, "paramStd", x)
        variance.addcmul_(dfdx, dfdx)
        torch.sqrt(variance, out=std).add_(1e-10)
        x.addcdiv_(dfdx, std, value=-lr / (1 + steps * decay))

    state["evalCounter"] += 1
    return x, [fx]
