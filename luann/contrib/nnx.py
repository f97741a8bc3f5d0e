"""nnx (clementfarabet/lua---nnx): resampling of images, and padding along any dimensions.

As with the rock, most constructors take one table of named arguments, ``{"dW": 2, "dH": 2}``, or the same arguments in
their order.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import torch

from ..errors import ArgumentError
from ..nn._kernels import resized
from ..nn._object import need_number, need_size
from ..nn._pointwise import Pointwise
from ..nn.module import Module
from ..nn.padding import SpatialZeroPadding
from ..nn.softmax import SoftMax
from ..types import Storage

__all__ = [
    "Minus",
    "MultiSoftMax",
    "SpatialDownSampling",
    "SpatialPadding",
    "SpatialReSampling",
    "SpatialReSamplingEx",
    "SpatialUpSampling",
]


class Minus(Pointwise):
    """``y = -x``. Input, output: any size."""

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        torch.neg(x, out=y)

    def _gradient(self, x: torch.Tensor, g: torch.Tensor, out: torch.Tensor) -> None:
        torch.neg(g, out=out)


class _Named(Module):
    """What the resampling layers share: arguments by name, and images as K1 x H x W x K2."""

    _names: tuple[str, ...] = ()
    yDim, xDim = 2, 3

    def __init__(self, *arguments: Any) -> None:
        super().__init__()
        self.usage: list = []  # the rock keeps its help here; a file holds an empty table
        named = arguments[0] if len(arguments) == 1 and isinstance(arguments[0], dict) else zip(self._names, arguments)
        for name, value in dict(named).items():
            if name not in self._names:
                raise ArgumentError(f"{self._typename}: takes {', '.join(self._names)}, got {name}")
            if value is not None:
                setattr(self, name, value)

    def _over(self, tensor: torch.Tensor) -> torch.Tensor:
        """``tensor`` as K1 x H x W x K2: what is before and behind the dimensions of the image."""
        y, x = self.yDim - 1, self.xDim - 1
        self._want(tensor.dim() > x > 0, f"{self.xDim} dimensions or more", tensor)
        shape = tensor.shape
        return tensor.reshape(math.prod(shape[:y]), shape[y], shape[x], math.prod(shape[x + 1 :]))

    def _sizes(self, input: torch.Tensor, high: int, wide: int) -> tuple[int, ...]:
        """The size of ``input`` with that of the image replaced."""
        return (*input.shape[: self.yDim - 1], high, wide, *input.shape[self.xDim :])

    def _check_dimensions(self) -> None:
        if self.yDim + 1 != self.xDim:
            raise ArgumentError(f"{self._typename}: yDim must be xDim - 1, got {self.yDim} and {self.xDim}")


def _windows(images: torch.Tensor, high: int, wide: int, rows: int, columns: int) -> torch.Tensor:
    """K1 x H x W x K2 images as K1 x high x rows x wide x columns x K2; what does not fill a window is left out."""
    images = images[:, : high * rows, : wide * columns]
    return images.unflatten(2, (wide, columns)).unflatten(1, (high, rows))


def _float_inverse(n: int) -> float:
    """1/n in single precision, which the rock multiplies doubles with, too."""
    return (torch.ones((), dtype=torch.float32, device="cpu") / n).item()


class SpatialUpSampling(_Named):
    """Every pixel repeated in dH rows and dW columns.

    Input: images in dimensions yDim and xDim, whatever the others are. Output: the same, dH and dW times as large.

    Args:
        dW, dH: how often to repeat.
        yDim, xDim: the dimensions of the image, one after the other, from 1; default 2 and 3.
    """

    dW: Any = None
    dH: Any = None
    _names = ("dW", "dH", "yDim", "xDim")

    def __init__(self, *arguments: Any) -> None:
        self.yDim, self.xDim = 2, 3
        super().__init__(*arguments)
        need_size(self, dW=self.dW, dH=self.dH)
        self._check_dimensions()
        self.inputSize, self.outputSize = Storage([0] * 4), Storage([0] * 4)  # the rock's scratch

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        images = self._over(input)
        _, high, wide, _ = images.shape
        output = resized(self.output, self._sizes(input, high * self.dH, wide * self.dW))
        _windows(self._over(output), high, wide, self.dH, self.dW).copy_(images[:, :, None, :, None])
        return output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        _, high, wide, _ = self._over(input).shape
        grads = _windows(self._over(gradOutput), high, wide, self.dH, self.dW)
        gradInput = resized(self.gradInput, input.shape)
        self._over(gradInput).copy_(grads.sum((2, 4)))
        return gradInput


class SpatialDownSampling(_Named):
    """The means of windows of rH by rW that lie side by side.

    Input: planes x H x W. Output: planes x ⌊H/rH⌋ x ⌊W/rW⌋.

    Args:
        rW, rH: width and height of the windows.
    """

    rW: Any = None
    rH: Any = None
    _names = ("rW", "rH")

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        need_size(self, rW=self.rW, rH=self.rH)

    @staticmethod
    def _fits(fields: dict) -> bool:
        return "rW" in fields  # others have classes of this name, with kernels

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self._want(input.dim() == 3, "planes x H x W", input)
        high, wide = input.shape[1] // self.rH, input.shape[2] // self.rW
        output = resized(self.output, (len(input), high, wide))
        sums = _windows(self._over(input), high, wide, self.rH, self.rW).sum((2, 4))
        return torch.mul(sums.squeeze(3), _float_inverse(self.rH * self.rW), out=output)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        _, high, wide = gradOutput.shape
        gradInput = resized(self.gradInput, input.shape).zero_()
        share = self._over(gradOutput * _float_inverse(self.rH * self.rW))
        _windows(self._over(gradInput), high, wide, self.rH, self.rW).copy_(share[:, :, None, :, None])
        return gradInput


@functools.lru_cache(64)
def _neighbours(size: int, wanted: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """For each of ``wanted`` places the two pixels it lies between, and how far it is from them: 2 x wanted.

    In single precision, as in the rock for any type.
    """
    kind = {"dtype": torch.float32, "device": "cpu"}
    step = torch.tensor(size - 1, **kind) / max(wanted - 1, 1)
    position = torch.arange(wanted, **kind) * step
    first = position.floor()
    distance = torch.stack((position - first, first + 1 - position))
    return first.long(), (first.long() + 1).clamp_(max=size - 1), distance


def _between(size: tuple[int, ...], wanted: tuple[int, ...], like: torch.Tensor) -> list[tuple]:
    """The four pixels around each place of an image resized to ``wanted``: rows, columns and weights."""
    top, bottom, vertical = _neighbours(size[0], wanted[0])
    left, right, horizontal = _neighbours(size[1], wanted[1])
    corners = []
    for rows, far in ((top, vertical[1]), (bottom, vertical[0])):
        for columns, wide in ((left, horizontal[1]), (right, horizontal[0])):
            weights = torch.outer(far, wide).unsqueeze(2).to(like)
            corners.append((rows.to(like.device), columns.to(like.device), weights))
    return corners


def _interpolated(images: torch.Tensor, wanted: tuple[int, ...]) -> torch.Tensor:
    """K1 x H x W x K2 images in another size, by linear interpolation; the outermost pixels stay at the corners."""
    parts = _between(images.shape[1:3], wanted, images)
    return sum(images.index_select(1, rows).index_select(2, columns) * w for rows, columns, w in parts)


def _interpolated_backward(grads: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
    """The gradient of :func:`_interpolated` for images of this size."""
    K1, high, wide, K2 = grads.shape
    found = grads.new_zeros(K1, *size, K2)
    for rows, columns, weights in _between(size, (high, wide), grads):
        across = grads.new_zeros(K1, high, size[1], K2).index_add_(2, columns, grads * weights)
        found.index_add_(1, rows, across)
    return found


class SpatialReSampling(_Named):
    """Images in another size, by linear interpolation; the outermost pixels stay at the corners.

    Input: planes x H x W, or a batch of these. Output: planes x oheight x owidth, or a batch.

    Args:
        rwidth, rheight: the output's size over the input's.
        owidth, oheight: or the output's size itself.

    As in the rock ratios count once: the size that the first input gets is kept for all others.
    """

    _names = ("rwidth", "rheight", "owidth", "oheight")
    oheight: Any = None
    owidth: Any = None
    rheight: Any = None
    rwidth: Any = None

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        _need_sizes(self)

    def _images(self, tensor: torch.Tensor) -> torch.Tensor:
        self._want(tensor.dim() in (3, 4), "planes x H x W, or a batch of these", tensor)
        return tensor.reshape(-1, *tensor.shape[-2:], 1)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        images = self._images(input)
        if self.oheight is None:
            self.oheight = self.rheight * input.shape[-2]
        if self.owidth is None:
            self.owidth = self.rwidth * input.shape[-1]
        wanted = int(self.oheight), int(self.owidth)
        output = resized(self.output, (*input.shape[:-2], *wanted))
        self._images(output).copy_(_interpolated(images, wanted))
        return output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        gradInput = resized(self.gradInput, input.shape)
        self._images(gradInput).copy_(_interpolated_backward(self._images(gradOutput), input.shape[-2:]))
        return gradInput


def _need_sizes(module: Any) -> None:
    """Each of height and width must be given, as a size or as a ratio."""
    for size, ratio in (("owidth", "rwidth"), ("oheight", "rheight")):
        if getattr(module, size) is None and getattr(module, ratio) is None:
            raise ArgumentError(f"{module._typename}: give {size} or {ratio}")
        need_number(module, **{k: getattr(module, k) for k in (size, ratio) if getattr(module, k) is not None})


_MODES = {"simple": 0, "average": 1, "bilinear": 2}


class SpatialReSamplingEx(_Named):
    """Images in another size.

    Input: images in dimensions yDim and xDim, whatever the others are. Output: the same in the new size.

    Args:
        rwidth, rheight: the output's size over the input's, rounded.
        owidth, oheight: or the output's size itself.
        mode: ``'simple'`` (the default) repeats pixels or takes one of several, ``'average'`` repeats them or takes the
            mean of windows, ``'bilinear'`` interpolates, the outermost pixels staying at the corners.
        yDim, xDim: the dimensions of the image, one after the other, from 1; default 2 and 3.

    Height and width must both become larger, or both smaller.
    """

    _names = ("rwidth", "rheight", "owidth", "oheight", "mode", "yDim", "xDim")
    oheight: Any = None
    owidth: Any = None
    rheight: Any = None
    rwidth: Any = None

    def __init__(self, *arguments: Any) -> None:
        self.mode, self.yDim, self.xDim = "simple", 2, 3
        super().__init__(*arguments)
        _need_sizes(self)
        self._check_dimensions()
        if self.mode not in _MODES:
            raise ArgumentError(f"{self._typename}: mode is one of {', '.join(_MODES)}, got {self.mode!r}")
        self.mode_c = _MODES[self.mode]
        self.inputSize, self.outputSize = Storage([0] * 4), Storage([0] * 4)  # the rock's scratch

    def _plan(self, size: tuple[int, ...]) -> tuple[tuple[int, ...], bool, tuple[int, ...]]:
        """The output's size, whether it is the larger one, and how many pixels of the smaller one make one step."""
        wanted = tuple(
            int(o) if o is not None else math.floor(r * n + 0.5)
            for o, r, n in zip((self.oheight, self.owidth), (self.rheight, self.rwidth), size)
        )
        larger = [o >= n for o, n in zip(wanted, size)]
        if min(wanted) < 1 or larger[0] != larger[1]:
            raise ArgumentError(f"{size[0]}x{size[1]} cannot become {wanted[0]}x{wanted[1]}: one is not larger in both")
        steps = tuple(-(-o // n) if larger[0] else n // o for o, n in zip(wanted, size))
        return wanted, larger[0], steps

    def _places(self, size: tuple[int, ...], like: torch.Tensor) -> list[torch.Tensor]:
        """The rows and columns of the input that the output's are, where it takes them as they are."""
        wanted, larger, steps = self._plan(size)
        numbers = [torch.arange(n, device=like.device) for n in wanted]
        return [n // s if larger else n * s for n, s in zip(numbers, steps)]

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        images = self._over(input)
        size = self.iheight, self.iwidth = images.shape[1:3]
        wanted, larger, steps = self._plan(size)
        self.oheightCurrent, self.owidthCurrent = wanted
        if self.mode_c == 2:
            made = _interpolated(images, wanted)
        elif self.mode_c == 1 and not larger:
            made = _windows(images, *wanted, *steps).sum((2, 4)).mul_(_float_inverse(steps[0] * steps[1]))
        else:
            rows, columns = self._places(size, images)
            made = images.index_select(1, rows).index_select(2, columns)
        output = resized(self.output, self._sizes(input, *wanted))
        self._over(output).copy_(made)
        return output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        size = self._over(input).shape[1:3]
        wanted, larger, steps = self._plan(size)
        grads = self._over(gradOutput)
        gradInput = resized(self.gradInput, input.shape).zero_()
        into = self._over(gradInput)
        if self.mode_c == 2:
            into.copy_(_interpolated_backward(grads, size))
        elif self.mode_c == 1 and not larger:
            share = grads / (steps[0] * steps[1])
            _windows(into, *wanted, *steps).copy_(share[:, :, None, :, None])
        else:
            rows, columns = self._places(size, grads)
            across = grads.new_zeros(len(grads), wanted[0], size[1], grads.shape[3]).index_add_(2, columns, grads)
            into.index_add_(1, rows, across)
        return gradInput


class SpatialPadding(SpatialZeroPadding):
    """:class:`luann.nn.SpatialZeroPadding` along any two dimensions.

    Input: any size. Output: the same, larger by the padding in two dimensions.

    Args:
        pad_l: columns added on the left; cut off if negative.
        pad_r, pad_t, pad_b: columns on the right, rows at the top and at the bottom, by default pad_l.
        y_dim, x_dim: the dimensions, from 1; default 2 and 3.
    """

    y_dim, x_dim = 2, 3

    def __init__(
        self,
        pad_l: int,
        pad_r: int | None = None,
        pad_t: int | None = None,
        pad_b: int | None = None,
        y_dim: int | None = None,
        x_dim: int | None = None,
    ) -> None:
        super().__init__(pad_l, pad_r, pad_t, pad_b)
        self.x_dim, self.y_dim = x_dim or 3, y_dim or 2
        need_size(self, y_dim=self.y_dim, x_dim=self.x_dim)

    def _size(self, input: torch.Tensor, padding: list[int]) -> tuple[int, ...]:
        size = list(input.shape)
        size[self.x_dim - 1] += padding[0] + padding[1]
        size[self.y_dim - 1] += padding[2] + padding[3]
        return tuple(size)

    def _shared(self, plain: torch.Tensor, padded: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        left, right, top, bottom = self._padding()
        for dim, before, after in ((self.x_dim - 1, left, right), (self.y_dim - 1, top, bottom)):
            cut, kept = max(-before, 0), plain.shape[dim] + min(before, 0) + min(after, 0)
            plain = plain.narrow(dim, cut, kept)
            padded = padded.narrow(dim, max(before, 0), kept)
        return plain, padded

    def _diagnose(self, input: torch.Tensor) -> None:
        most = max(self.y_dim, self.x_dim)
        self._want(input.dim() >= most, f"{most} dimensions or more", input)
        self._want(min(self._size(input, self._padding())) > 0, f"more than what {self} cuts off", input)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        size = self._size(input, self._padding())
        output = resized(self.output, size).zero_()
        inner, place = self._shared(input, output)
        place.copy_(inner)
        return output

    def __tostring__(self) -> str:
        return self._typename


class MultiSoftMax(SoftMax):
    """The softmax over the last dimension. Input, output: N x classes, or N x steps x classes."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("_input", "_output", "_gradInput", "_gradOutput"):  # the rock's scratch
            setattr(self, name, torch.empty(0))

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self._want(input.dim() in (2, 3), "N x classes, or N x steps x classes", input)
        return torch.softmax(input, -1, out=resized(self.output, input.shape))

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        gradOutput, gradInput = self._sized(gradOutput, input.shape), resized(self.gradInput, input.shape)
        return torch._softmax_backward_data(gradOutput, self.output, -1, input.dtype, grad_input=gradInput)
