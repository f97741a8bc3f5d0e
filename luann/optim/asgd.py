"""Averaged stochastic gradient descent."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .state import Feval, buffer, evaluate, no_autograd, option, tables


def asgd(feval: Feval, x: Tensor, config: Any = None, state: Any = None) -> tuple[Tensor, list, Tensor]:
    """One step of stochastic gradient descent that also keeps the mean of the points it has been at.

    With g = df/dx, and t the number of this step, from 1::

        x ← (1 − lambda · eta_t) · x − eta_t · g
        ax ← ax + mu_t · (x − ax)
        eta_t ← eta0 / (1 + lambda · eta0 · t) ^ alpha        eta0 at first
        mu_t ← 1 / max(1, t − t0)                             1 at first

    x is changed in place.

    Args:
        feval: function of x that returns f(x) and df/dx.
        x: parameters, a tensor of any floating type on any device, usually what ``getParameters`` returned.
        config: dict or object with the settings; as in Torch7 those that are missing are written into it

            - ``eta0`` (1e-4): learning rate
            - ``lambda`` (1e-4): weight decay
            - ``alpha`` (0.75)
            - ``t0`` (1e6): how many steps to do before the mean begins; until then it is x
        state: dict or object that keeps ``t``, ``eta_t``, ``mu_t``, ``ax`` and ``tmp`` from call to call; by default
            the config.

    Returns:
        x, a list of one element: f(x) before the step, as ``feval`` returned it, and the mean ``ax``, the same tensor
        in every call.
    """
    config, state = tables(config, state)
    for name, default in (("eta0", 1e-4), ("lambda", 1e-4), ("alpha", 0.75), ("t0", 1e6)):
        config[name] = option(config, name, default)
    eta0, decay = config["eta0"], config["lambda"]
    eta = option(state, "eta_t", eta0)
    mu = option(state, "mu_t", 1)
    state["t"] = option(state, "t", 0)
    fx, dfdx = evaluate(feval, x)

    with no_autograd():
        x.mul_(1 - decay * eta).add_(dfdx, alpha=-eta)
        ax = buffer(state, "ax", x)
        tmp = buffer(state, "tmp", x)
        if mu == 1:
            ax.copy_(x)
        else:
            ax.add_(torch.sub(x, ax, out=tmp).mul_(mu))

    t = state["t"] = state["t"] + 1
    state["eta_t"] = eta0 / (1 + decay * eta0 * t) ** config["alpha"]
    state["mu_t"] = 1 / max(1, t - config["t0"])
    return x, [fx], ax
