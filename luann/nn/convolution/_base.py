"""What convolutions share: sizes, parameters, samples without a batch, gradients, printing, upgrades of old objects."""

from __future__ import annotations

import math
from operator import attrgetter
from typing import Any, TypeVar

import torch

from ...errors import ArgumentError
from .. import _kernels as kernels
from .. import utils
from .._guard import both, optional
from .._object import given, need_size, need_tensor
from ..module import Module, draw_uniformly

C = TypeVar("C", bound="_Convolution")


class _Convolution(Module):
    """The base of the convolutions: makes of a batch or a single sample one call of a kernel.

    A subclass names its dimensions in Torch7's order, as in ``class _Spatial(_Convolution, axes="WH")``: its fields are
    then kW, kH, dW, dH, padW, padH, and the kernels get them in the order of the input's dimensions, H first.
    """

    _axes = ""
    _dims = 0  # of a batch; a single sample has one less
    _ones: tuple[int, ...] = ()  # one number for each axis
    _zeros: tuple[int, ...] = ()
    _says_bias = True  # whether printing tells that there is no bias

    def __init_subclass__(cls, axes: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if axes:
            cls._axes, cls._dims = axes, len(axes) + 2
            cls._ones, cls._zeros = (1,) * len(axes), (0,) * len(axes)
            order = axes[:-2] + axes[-1] + axes[-2]
            for prefix in ("k", "d", "pad", "dilation", "adj"):
                setattr(cls, f"_{prefix}", attrgetter(*(prefix + axis for axis in order)))

    def __init__(self, nInputPlane: int, nOutputPlane: int, **axes: tuple[int, int | None, int | None]) -> None:
        """``axes``: for each dimension its kernel size, step and padding."""
        super().__init__()
        need_size(self, nInputPlane=nInputPlane, nOutputPlane=nOutputPlane)
        self.nInputPlane = nInputPlane
        self.nOutputPlane = nOutputPlane
        for axis, (size, step, padding) in axes.items():
            step, padding = given(step, 1), given(padding, 0)
            need_size(self, **{f"k{axis}": size, f"d{axis}": step})
            self._need_whole(**{f"pad{axis}": padding})
            self.__dict__.update({f"k{axis}": size, f"d{axis}": step, f"pad{axis}": padding})

    def _need_whole(self, **numbers: Any) -> None:
        for name, value in numbers.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ArgumentError(f"{self._typename}: {name} must be a whole number from 0 on, got {value!r}")

    def _allocate(self, weight: tuple[int, ...], bias: tuple[int, ...]) -> None:
        """Make the parameters, of these sizes, and draw them."""
        self.weight, self.gradWeight = torch.empty(weight), torch.zeros(weight)
        self.bias, self.gradBias = torch.empty(bias), torch.zeros(bias)
        self.reset()

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        padding = self.__dict__.pop("padding", None)  # once one number for both sides
        if padding is not None:
            self.padW = self.padH = padding

    def noBias(self: C) -> C:
        """Drop the bias; returns the module."""
        self.bias = self.gradBias = None
        return self

    def reset(self, stdv: float | None = None) -> None:
        draw_uniformly(stdv, math.prod(self._k(self)) * self.nInputPlane, self.weight, self.bias)

    # What a subclass changes

    def _opened(self, input: Any) -> tuple[torch.Tensor, tuple]:
        """The tensor to convolve, and the settings that :func:`~luann.nn._kernels.convolution` takes."""
        return input, (self._d(self), self._pad(self), self._ones, False, self._zeros, 1)

    def _filters(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Weight and bias as the kernels take them."""
        return self.weight, self.bias

    def _forward(self, output: torch.Tensor, input: torch.Tensor, settings: tuple) -> None:
        """Compute ``output`` of a batch."""
        kernels.convolution(output, input, *self._filters(), settings, self._last and input.dim() == 4)

    def _gradients(self, input: torch.Tensor, gradOutput: torch.Tensor, settings: tuple, mask: list[bool]) -> tuple:
        """The gradients of a batch with respect to input, weight and bias, those that ``mask`` asks for."""
        last = self._last and input.dim() == 4
        return kernels.convolution_backward(input, gradOutput, self._filters()[0], settings, mask, last)

    def _accumulate(self, gradWeight: Any, gradBias: torch.Tensor | None, scale: float) -> None:
        """Add what :meth:`_gradients` gave to the parameters' gradients."""
        self.gradWeight.add_(gradWeight, alpha=scale)
        if gradBias is not None:
            self.gradBias.add_(gradBias, alpha=scale)

    def _smallest(self) -> list[int]:
        """The sizes that the input needs at least."""
        return [k - 2 * p for k, p in zip(self._k(self), self._pad(self))]

    def _diagnose(self, input: torch.Tensor) -> None:
        shape = need_tensor(input).shape
        sides = len(self._axes)
        sizes = " x ".join(name for name in "THW" if name in self._axes)
        fits = len(shape) in (self._dims - 1, self._dims) and shape[-sides - 1] == self.nInputPlane
        self._want(fits, f"{self.nInputPlane} x {sizes}, or a batch of these", input)
        smallest = self._smallest()
        fits = all(n >= least for n, least in zip(shape[-sides:], smallest))
        self._want(fits, f"{sizes} of at least {' x '.join(map(str, smallest))}", input)

    # Computing

    def updateOutput(self, input: Any) -> torch.Tensor:
        output = self.output
        input, settings = self._opened(input)
        dims = input.dim()
        if dims == self._dims:
            self._forward(output, input, settings)
            return output
        if dims != self._dims - 1:
            self._diagnose(input)
        self._forward(output, input.unsqueeze(0), settings)
        return output.squeeze_(0)

    @optional
    def updateGradInput(self, input: Any, gradOutput: torch.Tensor) -> Any:
        if self.gradInput is None:
            return None
        return self._differentiated(input, gradOutput, [True, False, False])

    def accGradParameters(self, input: Any, gradOutput: torch.Tensor, scale: float = 1) -> None:
        self._differentiated(input, gradOutput, [False, True, self.gradBias is not None], scale)

    @both
    def backward(self, input: Any, gradOutput: torch.Tensor, scale: float = 1) -> Any:
        mask = [self.gradInput is not None, True, self.gradBias is not None]
        return self._differentiated(input, gradOutput, mask, scale)

    def _differentiated(self, input: Any, gradOutput: torch.Tensor, mask: list[bool], scale: float = 1) -> Any:
        """Compute the gradients that ``mask`` asks for; returns ``gradInput`` if it is among them."""
        input, settings = self._opened(input)
        single = input.dim() == self._dims - 1
        if single:
            input, gradOutput = input.unsqueeze(0), gradOutput.unsqueeze(0)
        if input.shape[0] != gradOutput.shape[0]:  # some kernels would read beyond its end
            self._want(False, f"a gradOutput of {input.shape[0]} samples", gradOutput)
        if mask[0]:
            kernels.freed(self.gradInput, input, gradOutput, self.weight)
        gradInput, gradWeight, gradBias = self._gradients(input, gradOutput, settings, mask)
        if mask[1]:
            self._accumulate(gradWeight, gradBias, scale)
        if mask[0]:
            return self.gradInput.set_(gradInput.squeeze(0) if single else gradInput)
        return None

    def clearState(self: C) -> C:
        utils.clear(self, "finput", "fgradInput", "_input", "_gradOutput")
        return super().clearState()

    def _numbers(self, prefix: str) -> list[int]:
        """The fields ``prefix`` + dimension, in Torch7's order."""
        return [getattr(self, prefix + axis) for axis in self._axes]

    def _more(self) -> str:
        """What printing shows after the padding."""
        return ""

    def __tostring__(self) -> str:
        steps, paddings = self._numbers("d"), self._numbers("pad")
        text = f"{self._typename}({self.nInputPlane} -> {self.nOutputPlane}, {'x'.join(map(str, self._numbers('k')))}"
        if any(n != 1 for n in steps) or any(paddings):
            text += f", {commas(steps)}"
        if any(paddings):
            text += f", {commas(paddings)}"
        text += f"{self._more()})"
        return text if self.bias is not None or not self._says_bias else f"{text} without bias"


class Dilated:
    """Makes a convolution skip inputs: what the classes with dilation add."""

    def _opened(self, input: Any) -> tuple[torch.Tensor, tuple]:
        return input, (self._d(self), self._pad(self), self._dilation(self), False, self._zeros, 1)

    def _smallest(self) -> list[int]:
        return [d * (k - 1) + 1 - 2 * p for k, p, d in zip(self._k(self), self._pad(self), self._dilation(self))]

    def _more(self) -> str:
        return f", {commas(self._numbers('dilation'))}"


def commas(numbers: list[int]) -> str:
    """The numbers as Torch7 prints several: ``1,2``."""
    return ",".join(map(str, numbers))
