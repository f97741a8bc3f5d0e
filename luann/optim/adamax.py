"""AdaMax."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .state import Feval, buffer, evaluate, no_autograd, option, tables


def adamax(feval: Feval, x: Tensor, config: Any = None, state: Any = None) -> tuple[Tensor, list]:
    """One step of AdaMax: Adam with the greatest gradient of late in place of the mean square.

    With g = df/dx and t the number of this step, from 1::

        g ← g + weightDecay · x
        m ← beta1 · m + (1 − beta1) · g
        u ← max(beta2 · u, |g| + epsilon)
        x ← x − learningRate / (1 − beta1ᵗ) · m / u

    x is changed in place, and so is the tensor that ``feval`` returned as df/dx: weight decay is added to it.

    Args:
        feval: function of x that returns f(x) and df/dx.
        x: parameters, a tensor of any floating type on any device, usually what ``getParameters`` returned.
        config: dict or object with the settings

            - ``learningRate`` (0.002)
            - ``beta1`` (0.9), ``beta2`` (0.999)
            - ``epsilon`` (1e-38): keeps u from being 0; in float16 that number is 0 itself, so give a greater one there
            - ``weightDecay`` (0)
        state: dict or object that keeps ``t``, ``m``, ``u`` and ``max`` (the two that u is the greater of) from call to
            call; by default the config. As in Torch7 ``u`` has a dimension of size 1 in front.

    Returns:
        x, and a list of one element: f(x) before the step, as ``feval`` returned it.
    """
    config, state = tables(config, state)
    lr = option(config, "learningRate", 0.002)
    beta1 = option(config, "beta1", 0.9)
    beta2 = option(config, "beta2", 0.999)
    epsilon = option(config, "epsilon", 1e-38)
    wd = option(config, "weightDecay", 0)
    fx, dfdx = evaluate(feval, x)

    with no_autograd():
        if wd != 0:
            dfdx.add_(x, alpha=wd)
        steps = option(state, "t", 0)
        m = buffer(state, "m", x, 0)
        if (u := option(state, "u")) is not None and u.shape == x.shape:
            state["u"] = u.unsqueeze(0)  # written by a Torch7 of before 2016, which added no dimension
        u = buffer(state, "u", x.unsqueeze(0), 0)[0]
        decayed, size = buffer(state, "max", x.expand(2, *x.shape))
        t = state["t"] = steps + 1
        m.mul_(beta1).add_(dfdx, alpha=1 - beta1)
        torch.mul(u, beta2, out=decayed)
        torch.abs(dfdx.to(size.dtype), out=size).add_(epsilon)
        torch.maximum(decayed, size, out=u)
        x.addcdiv_(m, u, value=-lr / (1 - beta1**t))
    return x, [fx]
