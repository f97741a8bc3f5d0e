"""dpnn's small layers."""

from __future__ import annotations

from typing import Any

import torch

from ... import random
from ...errors import ModuleError
from ...nn import (
    AddConstant,
    CMulTable,
    ConcatTable,
    Identity,
    Log,
    Module,
    MulConstant,
    Sequential,
    Sum,
)
from ...nn._kernels import resized
from ...nn._object import given, need_number, need_size, need_tensor
from .._needs import refuse


class ArgMax(Module):
    """Where along a dimension the largest element stands, counted from 1; the gradient is zero.

    Input: any size. Output: the input's size without the dimension, of a vector one element.

    Args:
        dim: the dimension, from 1; default 1.
        nInputDim: the dimensions of a sample; an input with more is a batch, and ``dim`` counts behind its first.
        asLong: whether the output is a LongTensor, default yes; else it has the type of the module.

    ``_indices`` holds the places with the dimension kept.
    """

    asLong = False  # the first versions had no such choice
    nInputDim = 9999

    def __init__(self, dim: int | None = None, nInputDim: int | None = None, asLong: bool | None = None) -> None:
        super().__init__()
        self.dim = given(dim, 1)
        self.nInputDim = given(nInputDim, 9999)
        need_size(self, dim=self.dim, nInputDim=self.nInputDim)
        self.asLong = given(asLong, True)
        if self.asLong:
            self.output = torch.empty(0, dtype=torch.int64)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        dim = self.dim + (input.dim() > self.nInputDim)
        self._want(dim <= input.dim(), f"a dimension {dim}", input)
        places = self._indices = input.max(dim - 1, keepdim=True).indices.add_(1)
        places = places.squeeze(dim - 1) if input.dim() > 1 else places
        return resized(self.output, places.shape).copy_(places)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor | None:
        return None if self.gradInput is None else resized(self.gradInput, input.shape).zero_()


class Clip(Module):
    """``min(max(x, minval), maxval)``; the gradient passes as it is.

    Input, output: any size.

    Args:
        minval, maxval: the bounds; minval is not above maxval.
    """

    def __init__(self, minval: float, maxval: float) -> None:
        super().__init__()
        need_number(self, minval=minval, maxval=maxval)
        if not minval <= maxval:
            refuse(self, "maxval", f"at least minval, {minval}", maxval)
        self.minval = minval
        self.maxval = maxval

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        output = resized(self.output, input.shape)
        return torch.clamp_max(input, self.maxval, out=output).clamp_min_(self.minval)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor | None:
        return None if self.gradInput is None else self.gradInput.set_(gradOutput)


class ReverseTable(Module):
    """The entries of a list in the reverse order, the same objects; the gradient likewise."""

    def __init__(self) -> None:
        super().__init__()
        self.output, self.gradInput = [], []

    def updateOutput(self, input: list) -> list:
        self.output[:] = input[::-1]
        return self.output

    def updateGradInput(self, input: list, gradOutput: list) -> list:
        self.gradInput[:] = gradOutput[::-1]
        return self.gradInput


class TotalDropout(Module):
    """In training sets all of the input to zero with probability ``p``, and leaves it as it is otherwise.

    Input, output: any size. There is no gradient in evaluation.

    Args:
        p: from 0 to below 1, default 0.5.
    """

    def __init__(self, p: float | None = None) -> None:
        super().__init__()
        self.p = given(p, 0.5)
        self.train = True
        need_part(self, self.p)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        output = resized(self.output, input.shape)
        if not self.train:
            return output.copy_(input)
        self.noise = random.bernoulli(1 - self.p)
        return torch.mul(input, self.noise, out=output)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor | None:
        need_training(self)
        if self.gradInput is None:
            return None
        return torch.mul(gradOutput, self.noise, out=resized(self.gradInput, gradOutput.shape))

    def __tostring__(self) -> str:
        return f"{self._typename}({self.p:f})"


def need_part(cls: object, p: Any) -> None:
    """Raise an ArgumentError unless the constructor argument ``p`` is a number from 0 to below 1."""
    need_number(cls, p=p)
    if not 0 <= p < 1:
        refuse(cls, "p", "from 0 to below 1", p)


def need_training(module: Any) -> None:
    """Raise a ModuleError in evaluation, where some layers have no gradient."""
    if not module.train:
        raise ModuleError("there is a gradient in training only; call training() first")


class CategoricalEntropy(Module):
    """Hands probabilities on, and adds to their gradient that of the entropy, so that it grows.

    The entropy is that of the mean distribution of the batch: ``-Σ p log(p + 1e-6)`` with p the sum over the batch,
    divided by the sum of all.

    Input, output: N x classes.

    Args:
        scale: what the gradient is multiplied with, default 1.
        minEntropy: nothing is added where the entropy is this or more; default: always add.

    ``entropy`` is that of the last backward. With ``sizeAverage`` (true) the gradient is divided by N.
    """

    minEntropy: float | None = None

    def __init__(self, scale: float | None = None, minEntropy: float | None = None) -> None:
        super().__init__()
        self.scale = given(scale, 1)
        need_number(self, scale=self.scale)
        if minEntropy is not None:
            need_number(self, minEntropy=minEntropy)
            self.minEntropy = minEntropy
        self._mul = MulConstant(1)
        log = Sequential().add(AddConstant(0.000001)).add(Log())
        both = ConcatTable().add(Identity()).add(log)
        self.module = Sequential().add(Sum(1)).add(self._mul).add(both).add(CMulTable()).add(Sum()).add(MulConstant(-1))
        self.modules = [self.module]
        self.minusOne = torch.tensor([-float(self.scale)], dtype=self.output.dtype)
        self.sizeAverage = True

    def _diagnose(self, input: torch.Tensor) -> None:
        self._want(need_tensor(input).dim() == 2, "a batch, N x classes", input)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self._diagnose(input)
        return self.output.set_(input)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor | None:
        if self.gradInput is None:
            return None
        gradInput = resized(self.gradInput, input.shape).copy_(gradOutput)
        self._mul.constant_scalar = 1 / input.sum().item()
        self.entropy = self.module.updateOutput(input).item()
        if self.minEntropy is None or self.entropy < self.minEntropy:
            gradient = self.module.updateGradInput(input, self.minusOne)
            gradInput.add_(gradient, alpha=1 / input.shape[0] if self.sizeAverage else 1)
        return gradInput
