"""Nesterov's accelerated gradient."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..errors import ArgumentError
from .state import Feval, buffer, evaluate, kept, no_autograd, option, tables, weighted


def nag(feval: Feval, x: Tensor, config: Any = None, state: Any = None) -> tuple[Tensor, list]:
    """One step of Nesterov's accelerated gradient: the momentum's part of the step is made before looking.

    With v the last step, 0 at first, and n the number of steps done before::

        x ← x + momentum · v
        g = df/dx there, + weightDecay · x
        d = − learningRate / (1 + n · learningRateDecay) · g
        x ← x + d
        v ← momentum · v + d

    x is changed in place, and so is the tensor that ``feval`` returned as df/dx: weight decay is added to it.

    Args:
        feval: function of x that returns f(x) and df/dx.
        x: parameters, a tensor of any floating type on any device, usually what ``getParameters`` returned.
        config: dict or object with the settings

            - ``learningRate`` (1e-3)
            - ``learningRateDecay`` (0)
            - ``weightDecay`` (0)
            - ``momentum`` (0.9)
            - ``learningRates``: a tensor of factors to the learning rate, one for every parameter
        state: dict or object that keeps ``evalCounter``, ``dfdx`` (v) and ``deltaParameters`` from call to call; by
            default the config.

    Returns:
        x, and a list of one element: f at the point that the momentum led to, as ``feval`` returned it.

    Raises:
        ArgumentError: a momentum that is not positive.
    """
    config, state = tables(config, state)
    lr = option(config, "learningRate", 1e-3)
    decay = option(config, "learningRateDecay", 0)
    wd = option(config, "weightDecay", 0)
    momentum = option(config, "momentum", 0.9)
    lrs = option(config, "learningRates")
    steps = state["evalCounter"] = option(state, "evalCounter", 0)
    if momentum <= 0:
        raise ArgumentError(f"nag needs a positive momentum, got {momentum}; without one, use sgd")
    with no_autograd():
        v = kept(state, "dfdx", x)
        if v is not None:
            x.add_(v, alpha=momentum)
    fx, dfdx = evaluate(feval, x)

    with no_autograd():
        if wd != 0:
            dfdx.add_(x, alpha=wd)
        v = buffer(state, "dfdx", dfdx, 0).mul_(momentum)
        if lrs is not None:
            dfdx = weighted("learningRates", lrs, dfdx, state, "deltaParameters")
        rate = lr / (1 + steps * decay)
        x.add_(dfdx, alpha=-rate)
        v.add_(dfdx, alpha=-rate)

    state["evalCounter"] += 1
    return x, [fx]
