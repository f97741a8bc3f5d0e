"""AdaDelta."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .state import Feval, buffer, evaluate, no_autograd, option, tables


def adadelta(feval: Feval, x: Tensor, config: Any = None, state: Any = None) -> tuple[Tensor, list]:
    """One step of AdaDelta: no learning rate; each parameter moves by the size that its steps have had of late.

    With g = df/dx::

        g ← g + weightDecay · x
        v ← rho · v + (1 − rho) · g²
        d = √(a + eps) / √(v + eps) · g
        a ← rho · a + (1 − rho) · d²
        x ← x − d

    x is changed in place, and so is the tensor that ``feval`` returned as df/dx: weight decay is added to it.

    Args:
        feval: function of x that returns f(x) and df/dx.
        x: parameters, a tensor of any floating type on any device, usually what ``getParameters`` returned.
        config: dict or object with the settings

            - ``rho`` (0.9)
            - ``eps`` (1e-6)
            - ``weightDecay`` (0)
        state: dict or object that keeps ``evalCounter``, ``paramVariance`` (v), ``paramStd`` (√(v + eps)), ``delta``
            (d) and ``accDelta`` (a) from call to call; by default the config.

    Returns:
        x, and a list of one element: f(x) before the step, as ``feval`` returned it.
    """
    config, state = tables(config, state)
    rho = option(config, "rho", 0.9)
    eps = option(config, "eps", 1e-6)
    wd = option(config, "weightDecay", 0)
    state["evalCounter"] = option(state, "evalCounter", 0)
    fx, dfdx = evaluate(feval, x)

    with no_autograd():
        if wd != 0:
            dfdx.add_(x, alpha=wd)
        variance = buffer(state, "paramVariance", x, 0)
        std = buffer(state, "paramStd", x)
        delta = buffer(state, "delta", x)
        sizes = buffer(state, "accDelta", x, 0)
        variance.mul_(rho).addcmul_(dfdx, dfdx, value=1 - rho)
        torch.add(variance, eps, out=std).sqrt_()
        torch.add(sizes, eps, out=delta).sqrt_().div_(std).mul_(dfdx)
        x.sub_(delta)
        sizes.mul_(rho).addcmul_(delta, delta, value=1 - rho)

    state["evalCounter"] += 1
    return x, [fx]
