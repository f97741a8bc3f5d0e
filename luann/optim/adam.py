"""Adam."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .state import Feval, buffer, evaluate, fusable, no_autograd, option, tables


def adam(feval: Feval, x: Tensor, config: Any = None, state: Any = None) -> tuple[Tensor, list]:
    """One step of Adam: each parameter moves by its mean gradient, measured by the size its gradients have had.

    With g = df/dx and t the number of this step, from 1::

        g ← g + weightDecay · x
        m ← beta1 · m + (1 − beta1) · g
        v ← beta2 · v + (1 − beta2) · g²
        rate = learningRate / (1 + (t − 1) · learningRateDecay) · √(1 − beta2ᵗ) / (1 − beta1ᵗ)
        x ← x − rate · m / (√v + epsilon)

    ``torch.optim.Adam`` divides √v by √(1 − beta2ᵗ) before it adds epsilon; Torch7 does not, so its epsilon weighs more
    in the first steps.

    x is changed in place, and so is the tensor that ``feval`` returned as df/dx: weight decay is added to it.

    Args:
        feval: function of x that returns f(x) and df/dx.
        x: parameters, a tensor of any floating type on any device, usually what ``getParameters`` returned.
        config: dict or object with the settings

            - ``learningRate`` (1e-3)
            - ``learningRateDecay`` (0)
            - ``beta1`` (0.9), ``beta2`` (0.999)
            - ``epsilon`` (1e-8)
            - ``weightDecay`` (0)
        state: dict or object that keeps ``t``, ``m``, ``v`` and ``denom`` (√v + epsilon) from call to call; by default
            the config.

    Returns:
        x, and a list of one element: f(x) before the step, as ``feval`` returned it.
    """
    config, state = tables(config, state)
    lr = option(config, "learningRate", 1e-3)
    decay = option(config, "learningRateDecay", 0)
    beta1 = option(config, "beta1", 0.9)
    beta2 = option(config, "beta2", 0.999)
    epsilon = option(config, "epsilon", 1e-8)
    wd = option(config, "weightDecay", 0)
    fx, dfdx = evaluate(feval, x)

    with no_autograd():
        if wd != 0:
            dfdx.add_(x, alpha=wd)
        steps = option(state, "t", 0)
        m = buffer(state, "m", x, 0)
        v = buffer(state, "v", x, 0)
        denom = buffer(state, "denom", x)
        t = state["t"] = steps + 1
        rate = lr / (1 + steps * decay)
        correction = math.sqrt(1 - beta2**t)
        fused = _fused_adam is not None and correction > 0 and fusable(x, dfdx, m, v)
        if fused:
            # One pass over memory for m, v and x. Its formula is PyTorch's: √v is divided before epsilon is added, and
            # so epsilon is divided here as well.
            step = torch.tensor(t, dtype=torch.float32, device="cpu")
            _fused_adam(
                [x], [dfdx], [m], [v], [], [step], lr=rate, beta1=beta1, beta2=beta2,
                weight_decay=0.0, eps=epsilon / correction, amsgrad=False, maximize=False,
            )  # fmt: skip
        else:
            m.mul_(beta1).add_(dfdx, alpha=1 - beta1)
            v.mul_(beta2).addcmul_(dfdx, dfdx, value=1 - beta2)
        torch.sqrt(v, out=denom).add_(epsilon)
        if not fused:
            x.addcdiv_(m, denom, value=-rate * correction / (1 - beta1**t))
    return x, [fx]


# Private to PyTorch; without it the plain operations do the same.
_fused_adam: Any = getattr(torch, "_fused_adam_", None)
