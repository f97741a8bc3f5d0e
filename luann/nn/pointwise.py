"""Layers that do arithmetic with each element, and two that output constants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..errors import ArgumentError
from ..types import Storage
from . import utils
from ._kernels import resized
from ._object import given, need_number, need_size, need_tensor
from ._pointwise import Pointwise
from .module import Module, draw_uniformly


class Abs(Pointwise):
    """``y = |x|``. Input, output: any size. At 0 the gradient is 1."""

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        torch.abs(x, out=y)

    def _gradient(self, x: torch.Tensor, g: torch.Tensor, out: torch.Tensor) -> None:
        torch.ge(x, 0, out=out).mul_(2).sub_(1).mul_(g)


class Exp(Pointwise):
    """``y = exp(x)``. Input, output: any size."""

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        torch.exp(x, out=y)

    def _gradient(self, x: torch.Tensor, g: torch.Tensor, out: torch.Tensor) -> None:
        torch.mul(g, self.output, out=out)


class Log(Pointwise):
    """``y = log(x)``. Input, output: any size."""

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        torch.log(x, out=y)

    def _gradient(self, x: torch.Tensor, g: torch.Tensor, out: torch.Tensor) -> None:
        torch.reciprocal(x, out=out).mul_(g)


class Power(Pointwise):
    """``y = x^p``. Input, output: any size.

    Args:
        p: the exponent, field ``pow``.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        need_number(self, p=p)
        self.pow = p

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        torch.pow(x, self.pow, out=y)

    def _gradient(self, x: torch.Tensor, g: torch.Tensor, out: torch.Tensor) -> None:
        torch.pow(x, self.pow - 1, out=out).mul_(g).mul_(self.pow)


class Square(Pointwise):
    """``y = x²``. Input, output: any size."""

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        torch.mul(x, x, out=y)

    def _gradient(self, x: torch.Tensor, g: torch.Tensor, out: torch.Tensor) -> None:
        torch.mul(x, g, out=out).mul_(2)


class Sqrt(Pointwise):
    """``y = √x``. Input, output: any size. At 0 the gradient is 0.

    Args:
        b: kept in the field ``eps``, and without effect, as in Torch7.
    """

    eps = 0

    def __init__(self, b: float | None = None) -> None:
        super().__init__()
        self.eps = given(b, 0)

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        torch.sqrt(x, out=y)

    def _gradient(self, x: torch.Tensor, g: torch.Tensor, out: torch.Tensor) -> None:
        y = self.output
        torch.div(g, y, out=out).mul_(0.5).masked_fill_(y == 0, 0)


class AddConstant(Pointwise):
    """``y = x + c``.

    Input, output: any size; where ``c`` is a vector, a vector or a matrix with rows of its size.

    Args:
        constant_scalar: ``c``, a number or a vector.
        ip: in place: write the output over the input, which backward restores; gradInput is gradOutput. Default no.
    """

    def __init__(self, constant_scalar: float | torch.Tensor, ip: bool | None = None) -> None:
        super().__init__()
        if not isinstance(constant_scalar, torch.Tensor):
            need_number(self, constant_scalar=constant_scalar)
        self.constant_scalar = constant_scalar
        self.inplace = bool(ip)

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        constant = self.constant_scalar
        if isinstance(constant, torch.Tensor):
            fits = 1 <= x.dim() <= 2 and x.shape[-1:] == constant.shape
            self._want(fits, f"{constant.numel()} or N x {constant.numel()}", x)
        torch.add(x, constant, out=y)

    def _gradient(self, x: torch.Tensor, g: torch.Tensor, out: torch.Tensor) -> None:
        if self.inplace:
            x.sub_(self.constant_scalar)
        else:
            out.copy_(g)


class MulConstant(Pointwise):
    """``y = c x``. Input, output: any size.

    Args:
        constant_scalar: ``c``, a number.
        ip: in place: write the output over the input, which backward restores, and gradInput over gradOutput.
            Default no.
    """

    def __init__(self, constant_scalar: float, ip: bool | None = None) -> None:
        super().__init__()
        need_number(self, constant_scalar=constant_scalar)
        self.constant_scalar = constant_scalar
        self.inplace = bool(ip)

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        torch.mul(x, self.constant_scalar, out=y)

    def _gradient(self, x: torch.Tensor, g: torch.Tensor, out: torch.Tensor) -> None:
        torch.mul(g, self.constant_scalar, out=out)
        if self.inplace:
            x.div_(self.constant_scalar)


# With parameters


class _Componentwise(Pointwise):
    """What :class:`Add`, :class:`CAdd` and :class:`CMul` share: a parameter for each element of a sample."""

    def _over(self, parameter: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """``parameter`` viewed so that it broadcasts over ``x``: element by element if there are as many of them, or
        with as many dimensions, or else as one sample of a batch."""
        shape, count = x.shape, parameter.numel()
        if count == x.numel():
            return parameter.view(shape)
        if parameter.dim() == len(shape):
            parameter.expand(shape)  # fails where the output would grow
            return parameter
        return parameter.view(1 if count == 1 else (1, *shape[1:]))

    def _check(self, parameter: torch.Tensor, input: torch.Tensor) -> None:
        size = "x".join(map(str, parameter.shape))
        need_tensor(input)
        try:
            self._over(parameter, input)
        except RuntimeError:
            self._want(False, f"{size}, a batch of these, or what {size} can be stretched to", input)


class Add(_Componentwise):
    """``y = x + bias``, with a bias for each element or a single one.

    Input, output: inputSize, or N x inputSize (in as many dimensions as one likes).

    Args:
        inputSize: the number of elements of a sample, or a sequence of its sizes.
        scalar: one bias for all of them, whatever ``inputSize`` is; default no.

    ``bias`` is drawn uniformly between ±1/√(its first size). As in Torch7, a bias whose first size is 1 gets the sum
    of all of gradOutput as gradient, in every element.
    """

    scalar: bool | None = None

    def __init__(self, inputSize: int | Sequence[int], scalar: bool | None = None) -> None:
        super().__init__()
        if scalar is not None:
            self.scalar = scalar
        self.bias = torch.empty(1) if scalar else torch.empty(*_sizes(self, (inputSize,)))
        self.gradBias = torch.zeros_like(self.bias)
        self._ones = torch.ones(1)
        self.reset()

    def reset(self, stdv: float | None = None) -> None:
        draw_uniformly(stdv, self.bias.shape[0], self.bias)

    def _over(self, parameter: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        # a single sample has the very size of the bias; anything else is a batch
        return parameter if self.scalar or x.shape == parameter.shape else parameter.view(1, *x.shape[1:])

    def _diagnose(self, input: torch.Tensor) -> None:
        self._check(self.bias, input)

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        torch.add(x, self._over(self.bias, x), out=y)

    def _gradient(self, x: torch.Tensor, g: torch.Tensor, out: torch.Tensor) -> None:
        out.copy_(g)

    def accGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> None:
        if self.gradBias.shape[0] == 1:
            self.gradBias.add_(gradOutput.sum(), alpha=scale)
            return
        bias = self._over(self.gradBias, input)
        bias.add_(self._sized(gradOutput, input.shape).sum_to_size(bias.shape), alpha=scale)


class CAdd(_Componentwise):
    """``y = x + bias``, with a bias of any size, stretched where its size is 1.

    Input, output: as many elements as the sizes say; or as many dimensions, equal to the sizes but where these are 1;
    or a batch of samples with that many elements.

    Args:
        sizes: whole numbers, or one sequence of them.

    ``bias`` is drawn uniformly between ±1/√(number of its elements).
    """

    def __init__(self, *sizes: Any) -> None:
        super().__init__()
        self.size = _sizes(self, sizes)
        self.bias = torch.empty(*self.size)
        self.gradBias = torch.zeros(*self.size)
        self.reset()

    def reset(self, stdv: float | None = None) -> None:
        draw_uniformly(stdv, self.bias.numel(), self.bias)

    def _diagnose(self, input: torch.Tensor) -> None:
        self._check(self.bias, input)

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        torch.add(x, self._over(self.bias, x), out=y)

    def _gradient(self, x: torch.Tensor, g: torch.Tensor, out: torch.Tensor) -> None:
        out.copy_(g)

    def accGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> None:
        bias = self._over(self.gradBias, input)
        bias.add_(self._sized(gradOutput, input.shape).sum_to_size(bias.shape), alpha=scale)

    def clearState(self) -> CAdd:
        # Torch7's own
        utils.clear(self, "_gradBias", "_expand", "_output", "_bias", "_repeat", "_gradOutput")
        return super().clearState()


class CMul(_Componentwise):
    """``y = weight · x``, element by element, with a weight of any size, stretched where its size is 1.

    Input, output: as many elements as the sizes say; or as many dimensions, equal to the sizes but where these are 1;
    or a batch of samples with that many elements.

    Args:
        sizes: whole numbers, or one sequence of them.

    ``weight`` is drawn uniformly between ±1/√(number of its elements).
    """

    def __init__(self, *sizes: Any) -> None:
        super().__init__()
        self.size = _sizes(self, sizes)
        self.weight = torch.empty(*self.size)
        self.gradWeight = torch.zeros(*self.size)
        self.reset()

    def reset(self, stdv: float | None = None) -> None:
        draw_uniformly(stdv, self.weight.numel(), self.weight)

    def _diagnose(self, input: torch.Tensor) -> None:
        self._check(self.weight, input)

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        torch.mul(x, self._over(self.weight, x), out=y)

    def _gradient(self, x: torch.Tensor, g: torch.Tensor, out: torch.Tensor) -> None:
        torch.mul(g, self._over(self.weight, x), out=out)

    def accGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> None:
        weight = self._over(self.gradWeight, input)
        weight.add_((input * self._sized(gradOutput, input.shape)).sum_to_size(weight.shape), alpha=scale)

    def clearState(self) -> CMul:
        buffers = "_input _output _weight _gradWeight _expand _repeat _sum _gradOutput _gradInput"  # Torch7's own
        utils.clear(self, buffers.split())
        return super().clearState()


def _sizes(module: Module, sizes: tuple) -> Storage:
    if len(sizes) == 1 and isinstance(sizes[0], Sequence):
        sizes = tuple(sizes[0])
    if not sizes:
        raise ArgumentError(f"{module._typename}: sizes are wanted, got none")
    need_size(module, **{f"size {i}": n for i, n in enumerate(sizes, 1)})
    return Storage(sizes)


class Mul(Pointwise):
    """``y = weight x``, with a single weight, drawn uniformly between ±1. Input, output: any size."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.empty(1)
        self.gradWeight = torch.zeros(1)
        self.reset()

    def reset(self, stdv: float | None = None) -> None:
        draw_uniformly(stdv, self.weight.numel(), self.weight)

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        torch.mul(x, self.weight, out=y)

    def _gradient(self, x: torch.Tensor, g: torch.Tensor, out: torch.Tensor) -> None:
        torch.mul(g, self.weight, out=out)

    def accGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> None:
        self.gradWeight.add_(torch.dot(input.reshape(-1), gradOutput.reshape(-1)), alpha=scale)


# Made of nothing but constants


class Constant(Module):
    """A constant, whatever the input. Output: the size of ``value``; for a batch, N times that. The gradient is 0.

    Args:
        value: a number, which becomes a tensor of one element, or a tensor.
        nInputDim: the dimensions of a sample; an input with more is a batch. Default: no input is a batch.
    """

    nInputDim: int | None = None

    def __init__(self, value: float | torch.Tensor, nInputDim: int | None = None) -> None:
        super().__init__()
        if not isinstance(value, torch.Tensor):
            need_number(self, value=value)
            value = torch.full((1,), value, dtype=torch.get_default_dtype())
        self.value = value
        if nInputDim is not None:
            self.nInputDim = nInputDim

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        size = self.value.shape
        if self.nInputDim and input.dim() > self.nInputDim:
            size = torch.Size((input.shape[0], *size))
        return resized(self.output, size).copy_(self.value)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        return resized(self.gradInput, input.shape).zero_()


class OneHot(Module):
    """For each whole number ``k`` of the input a vector of zeros with a 1 at place ``k``. The gradient is 0.

    Input: whole numbers from 1 to outputSize, in a tensor of any size and type, or a single number. Output: a dimension
    more, of outputSize; for a number, a vector.

    Args:
        outputSize: the length of the vectors.
    """

    def __init__(self, outputSize: int) -> None:
        super().__init__()
        need_size(self, outputSize=outputSize)
        self.outputSize = outputSize

    def _diagnose(self, input: torch.Tensor) -> None:
        numbers = torch.as_tensor(input)
        bad = (numbers < 1) | (numbers > self.outputSize)
        if bad.any():
            raise ArgumentError(f"numbers from 1 to {self.outputSize} are wanted, got {numbers[bad][0].item()}")

    def updateOutput(self, input: torch.Tensor | float) -> torch.Tensor:
        output = self.output
        places = torch.as_tensor(input).to(output.device, torch.int64).unsqueeze(-1) - 1
        return resized(output, (*places.shape[:-1], self.outputSize)).zero_().scatter_(-1, places, 1)

    def updateGradInput(self, input: torch.Tensor | float, gradOutput: torch.Tensor) -> torch.Tensor | int:
        if not isinstance(input, torch.Tensor):
            return 0
        return resized(self.gradInput, input.shape).zero_()

    def clearState(self) -> OneHot:
        utils.clear(self, "_single", "_input")  # Torch7's own
        return super().clearState()
