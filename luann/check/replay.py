"""Makes a module do again what it did last: with the noise that it drew, from the state in which it began."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from .. import nn
from ..contrib import dpnn, rnn
from ..contrib._sequence import _Sequence

STEPWISE = (rnn.AbstractRecurrent, rnn.Sequencer, rnn.Repeater, rnn.RecurrentAttention)
"""Containers that run what is in them once for each step, and keep states from one step to the next."""


def rewind(module: Any, input: Any, runs: int) -> None:
    """Bring a module to where it was before its last runs, as far as what it saved tells that.

    Args:
        module: the module.
        input: that of the first of these runs.
        runs: how many.
    """
    if isinstance(module, dpnn.SpatialBinaryConvolution):
        real = getattr(module, "tempWeight", None)
        if isinstance(real, torch.Tensor) and real.shape == module.weight.shape and (module.weight.abs() == 1).all():
            module.weight.copy_(real)
    if isinstance(module, rnn.Sequencer):
        runs *= len(input) if module._remembers() and hasattr(input, "__len__") else 0
    if isinstance(module, STEPWISE):
        for inner in module.listModules():
            # in evaluation all steps have their states in the same memory: only the one before the first is known
            if isinstance(inner, rnn.AbstractRecurrent) and (inner.train or inner.step - runs <= 1):
                inner.step = max(1, inner.step - runs)


def run(module: Any, input: Any) -> Any:
    """The output of a module, made with the random numbers and from the states that it saved, where it saved them."""
    output = _with_noise(module, input)
    return type(module).updateOutput(module, _with_states(module, input)) if output is None else output


def _multiplied(module: Any, input: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    return input.mul_(noise) if getattr(module, "inplace", False) else input * noise


_NOISY: dict[type, Callable[[Any, torch.Tensor, torch.Tensor], torch.Tensor]] = {
    nn.Dropout: _multiplied,
    nn.SpatialDropout: _multiplied,
    nn.RReLU: _multiplied,
    nn.WhiteNoise: lambda module, input, noise: input + noise,
}


def _with_noise(module: Any, input: Any) -> torch.Tensor | None:
    """The output of a module that draws random numbers, made with those that it saved.

    ``None`` where nothing is drawn, or nothing fitting was saved.
    """
    if isinstance(module, (nn.SpatialFractionalMaxPooling, nn.VolumetricFractionalMaxPooling)):
        module.fixPoolingRegions()  # takes what was saved, if it is of the right size
        return None
    function = next((f for cls, f in _NOISY.items() if isinstance(module, cls)), None)
    noise = getattr(module, "noise", None)
    if function is None or not isinstance(noise, torch.Tensor) or not isinstance(input, torch.Tensor):
        return None
    draws = module.train or getattr(module, "stochastic_inference", False)
    fits = noise.numel() and noise.dim() == input.dim() and all(n in (1, m) for n, m in zip(noise.shape, input.shape))
    if not draws or not fits or getattr(module, "p", 1) == 0:
        return None
    return function(module, input, noise)


def _with_states(module: Any, input: Any) -> Any:
    """The input of a layer over sequences, with the first states that it saved, be they zeros or remembered ones."""
    if not isinstance(module, _Sequence) or not isinstance(input, torch.Tensor) or input.dim() != 3:
        return input
    states = [getattr(module, name) for name in module._states]
    batch = module._inner(input).shape[1 - module._time]
    fits = all(state.shape == (batch, module._width(name)) for name, state in zip(module._states, states))
    return [*(state.clone() for state in states), input] if fits else input
