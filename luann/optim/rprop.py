"""Rprop."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .state import Feval, buffer, evaluate, no_autograd, option, tables


def rprop(feval: Feval, x: Tensor, config: Any = None, state: Any = None) -> tuple[Tensor, list]:
    """A few steps of Rprop, which goes by the signs of the gradient alone; for full batches.

    Every parameter has a step size of its own. It grows by ``etaplus`` while df/dx keeps its sign, shrinks by
    ``etaminus`` when the sign turns, and stays within its bounds; the parameter moves by it against df/dx. After a turn
    the parameter rests for a step.

    x is changed in place, and so is the tensor that ``feval`` returned as df/dx: it is set to 0 where the sign turned.

    Args:
        feval: function of x that returns f(x) and df/dx.
        x: parameters, a tensor of any floating type on any device, usually what ``getParameters`` returned.
        config: dict or object with the settings

            - ``stepsize`` (0.1): that of the first step, for all parameters
            - ``etaplus`` (1.2), ``etaminus`` (0.5)
            - ``stepsizemax`` (50), ``stepsizemin`` (1e-6)
            - ``niter`` (1): how many steps
        state: dict or object that keeps ``delta`` (df/dx of the last step), ``stepsize`` (now a tensor), ``sign``, and
            ByteTensors, ``psign``, ``nsign``, ``zsign`` (whether the sign stayed, turned, or one of the two gradients
            was 0) and ``dminmax`` (whether the step size was below its bound), from call to call; by default the
            config.

    Returns:
        x, and the list of f(x) before each step, as ``feval`` returned them.
    """
    config, state = tables(config, state)
    first = option(config, "stepsize", 0.1)
    etaplus = option(config, "etaplus", 1.2)
    etaminus = option(config, "etaminus", 0.5)
    longest = option(config, "stepsizemax", 50.0)
    shortest = option(config, "stepsizemin", 1e-6)
    fs = []
    for _ in range(int(option(config, "niter", 1))):
        fx, dfdx = evaluate(feval, x)
        fs.append(fx)
        with no_autograd():
            if option(state, "delta") is None:  # stepsize is then missing, or the setting in a config that is the state
                state["stepsize"] = torch.full_like(dfdx, first, memory_format=torch.contiguous_format)
            delta = buffer(state, "delta", dfdx, 0)
            stepsize = buffer(state, "stepsize", dfdx)
            sign = buffer(state, "sign", dfdx)
            # ByteTensors in Torch7; PyTorch wants booleans, which lie in memory alike
            stayed, turned, zero, beyond = [
                buffer(state, flag, dfdx, dtype=torch.uint8).view(torch.bool) for flag in _FLAGS
            ]

            torch.mul(dfdx, delta, out=sign).sign_()
            torch.gt(sign, 0, out=stayed)
            torch.lt(sign, 0, out=turned)
            torch.eq(sign, 0, out=zero)
            sign.masked_fill_(stayed, etaplus).masked_fill_(turned, etaminus).masked_fill_(zero, 1)
            stepsize.mul_(sign).clamp_(max=longest)
            torch.lt(stepsize, shortest, out=beyond)
            stepsize.masked_fill_(beyond, shortest)
            dfdx.masked_fill_(turned, 0)
            torch.sign(dfdx, out=sign)
            x.addcmul_(sign, stepsize, value=-1)
            delta.copy_(dfdx)
    return x, fs


_FLAGS = ("psign", "nsign", "zsign", "dminmax")
