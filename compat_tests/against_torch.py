"""Compares a module with the same function written in PyTorch, and its gradient with autograd's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from luann import nn


def layouts(x: torch.Tensor) -> Iterator[torch.Tensor]:
    """The same numbers, lying in memory in various ways."""
    yield x
    yield x.transpose(-1, -2).contiguous().transpose(-1, -2)
    yield x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


def agrees(module: Any, function: Callable, *shapes: tuple, dtype: torch.dtype = torch.float64) -> None:
    """Assert that ``module`` computes ``function``, and its gradient, on inputs of these shapes one after the other.

    It also has to keep its tensors, and to lay them out as Torch7 does, whatever the input lies like.
    """
    module.type(dtype)
    kept = module.output, module.gradInput
    for shape in shapes:
        x = torch.randn(shape, dtype=dtype, requires_grad=True)
        y = function(x)
        g = torch.randn_like(y)
        (grad,) = torch.autograd.grad(y, x, g)
        for given, back in zip(layouts(x.detach()), layouts(g)):
            torch.testing.assert_close(module.forward(given), y.detach())
            torch.testing.assert_close(module.backward(given, back), grad)
            assert module.output.is_contiguous()
            assert module.gradInput.is_contiguous()
            if not isinstance(module, nn.Container):
                assert module.output is kept[0]
                assert module.gradInput is kept[1]
