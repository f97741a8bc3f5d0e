"""Pooling over images."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch

from .._kernels import _private, lies_last, resized
from .._object import given, need_size, need_tensor
from ..module import Module
from . import _kernels as kernels
from ._places import _KeepsPlaces, _MaxPooling, _Windows

_IMAGES = "planes x H x W, or a batch of these"


class SpatialMaxPooling(_MaxPooling):
    """The maximum of each kW x kH window.

    Input: planes x H x W, or a batch of these. Output: the same number of planes, of
    ``⌊(H + 2 padH - kH) / dH⌋ + 1`` by ``⌊(W + 2 padW - kW) / dW⌋ + 1``; after :meth:`ceil` rounded up, less the
    windows that would begin in the padding (without padding, Torch7 keeps a window beyond the input).

    Args:
        kW, kH: window width and height.
        dW, dH: steps, by default kW and kH.
        padW, padH: padding on each side, which never is the maximum; default 0, at most half the window.

    ``indices`` holds, for each output, the place of its maximum in the plane, counted from 1 along the rows.
    """

    padW = padH = 0  # older files lack them
    _extent = ("iheight", "iwidth")

    def __init__(
        self,
        kW: int,
        kH: int,
        dW: int | None = None,
        dH: int | None = None,
        padW: int | None = None,
        padH: int | None = None,
    ) -> None:
        super().__init__()
        self.kW, self.kH = kW, kH
        self.dW, self.dH = given(dW, kW), given(dH, kH)
        need_size(self, kW=kW, kH=kH, dW=self.dW, dH=self.dH)
        self.padW, self.padH = given(padW, 0), given(padH, 0)
        self.ceil_mode = False
        self.indices = torch.empty(0, dtype=torch.int64)

    def _settings(self) -> tuple:
        return (self.kH, self.kW), (self.dH, self.dW), (self.padH, self.padW), (1, 1), self.ceil_mode

    def _pool(self, input: torch.Tensor) -> torch.Tensor:
        last = self._last and lies_last(input) and input.shape[1] >= kernels.LAST_PLANES
        if not self.train and not last and kernels.max_pool_values(self.output, input, self._settings()):
            self._cache = input, None
            return self.output
        return super()._pool(input)

    def __tostring__(self) -> str:
        text = f"{self._typename}({self.kW}x{self.kH}, {self.dW},{self.dH}"
        return text + (f", {self.padW},{self.padH})" if self.padW or self.padH else ")")


class SpatialDilatedMaxPooling(SpatialMaxPooling):
    """:class:`SpatialMaxPooling` over every dilationW-th column and dilationH-th row of a larger window.

    Input, output: as there, with a window of ``dilationW (kW - 1) + 1`` by ``dilationH (kH - 1) + 1``.

    Args:
        kW, kH, dW, dH, padW, padH: as there.
        dilationW, dilationH: steps within the window, default 1.
    """

    def __init__(
        self,
        kW: int,
        kH: int,
        dW: int | None = None,
        dH: int | None = None,
        padW: int | None = None,
        padH: int | None = None,
        dilationW: int | None = None,
        dilationH: int | None = None,
    ) -> None:
        super().__init__(kW, kH, dW, dH, padW, padH)
        self.dilationW, self.dilationH = given(dilationW, 1), given(dilationH, 1)
        need_size(self, dilationW=self.dilationW, dilationH=self.dilationH)

    def _settings(self) -> tuple:
        dilation = (self.dilationH, self.dilationW)
        return (self.kH, self.kW), (self.dH, self.dW), (self.padH, self.padW), dilation, self.ceil_mode

    def __tostring__(self) -> str:
        return f"{super().__tostring__()[:-1]}, {self.dilationW},{self.dilationH})"


class SpatialAveragePooling(_Windows):
    """The mean of each kW x kH window.

    Input: planes x H x W, or a batch of these. Output: as that of :class:`SpatialMaxPooling`.

    Args:
        kW, kH: window width and height.
        dW, dH: steps, default 1.
        padW, padH: zeros added on each side, default 0, at most half the window.

    The mean is over the padding, too; after :meth:`setCountExcludePad` it is not. ``divide`` set to false, as it is
    taken to be in files from before there was this field, gives the mean times kW kH.
    """

    padW = padH = 0
    ceil_mode = False
    count_include_pad = True
    divide = False

    def __init__(
        self,
        kW: int,
        kH: int,
        dW: int | None = None,
        dH: int | None = None,
        padW: int | None = None,
        padH: int | None = None,
    ) -> None:
        super().__init__()
        self.kW, self.kH = kW, kH
        self.dW, self.dH = given(dW, 1), given(dH, 1)
        need_size(self, kW=kW, kH=kH, dW=self.dW, dH=self.dH)
        self.padW, self.padH = given(padW, 0), given(padH, 0)
        self.ceil_mode = False
        self.count_include_pad = True
        self.divide = True

    def ceil(self) -> SpatialAveragePooling:
        """Round the output's size up; returns the module."""
        self.ceil_mode = True
        return self

    def floor(self) -> SpatialAveragePooling:
        """Round the output's size down; returns the module."""
        self.ceil_mode = False
        return self

    def setCountIncludePad(self) -> SpatialAveragePooling:
        """Take the mean over the padding, too; returns the module."""
        self.count_include_pad = True
        return self

    def setCountExcludePad(self) -> SpatialAveragePooling:
        """Take the mean without the padding; returns the module."""
        self.count_include_pad = False
        return self

    def _settings(self) -> tuple:
        return (self.kH, self.kW), (self.dH, self.dW), (self.padH, self.padW), (1, 1), self.ceil_mode

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        output = kernels.average_pool_into(self.output, input, self._settings(), self.count_include_pad, self._last)
        return output if self.divide else output.mul_(self.kW * self.kH)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor | None:
        gradInput = self.gradInput
        if gradInput is None:
            return None
        kernels.average_pool_backward(
            gradInput, gradOutput, input, self._settings(), self.count_include_pad, self._last
        )
        return gradInput if self.divide else gradInput.mul_(self.kW * self.kH)

    def __tostring__(self) -> str:
        text = f"{self._typename}({self.kW}x{self.kH}, {self.dW},{self.dH}"
        return text + (f", {self.padW},{self.padH})" if self.padW or self.padH else ")")


@functools.lru_cache(256)
def _windows(size: int, count: int) -> tuple[list[int], list[int], bool]:
    """Where each of ``count`` windows over ``size`` elements begins and ends, and whether PyTorch has the same.

    Torch7 computes them in single precision, by which a window can have one element more than it should.
    """
    bounds = np.arange(count + 1, dtype=np.float32) / np.float32(count) * np.float32(size)
    begin, end = np.floor(bounds[:-1]).astype(int).tolist(), np.ceil(bounds[1:]).astype(int).tolist()
    exact = [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]
    return begin, end, exact == list(zip(begin, end))


def _are_usual(input: torch.Tensor, high: int, wide: int) -> bool:
    """Whether Torch7's windows, ``high`` x ``wide`` of them, are PyTorch's."""
    return all(_windows(n, m)[2] for n, m in zip(input.shape[-2:], (high, wide)))


class SpatialAdaptiveMaxPooling(_KeepsPlaces):
    """The maxima of W x H windows that together cover the image, whatever its size.

    Input: planes x iH x iW, or a batch of these. Output: planes x H x W, or a batch. Window ``i`` of a dimension takes
    the elements from ``⌊i / N n⌋`` up to ``⌈(i + 1) / N n⌉``, n being the input's size and N the output's; computed in
    single precision, as in Torch7, so that some windows of 7 over 21, 42 or 49 have an element more than their share.

    Args:
        W, H: output width and height.

    ``indices`` holds two such outputs: the row and the column of each maximum within its window, counted from 1.
    """

    def __init__(self, W: int, H: int) -> None:
        super().__init__()
        need_size(self, W=W, H=H)
        self.W, self.H = W, H

    @staticmethod
    def _first(size: int, count: int, like: torch.Tensor) -> torch.Tensor:
        """Where each of ``count`` windows over ``size`` elements begins."""
        return torch.tensor(_windows(size, count)[0], device=like.device)

    def _pool(self, input: torch.Tensor, output: torch.Tensor, places: torch.Tensor) -> None:
        """Compute the maxima and their places, where Torch7's windows are not PyTorch's."""
        taken = []  # for each dimension the elements of each window, the last one repeated up to the same number
        for size, count in zip(input.shape[-2:], (self.H, self.W)):
            begin, end, _ = _windows(size, count)
            most = max(e - b for b, e in zip(begin, end))
            taken.append(torch.tensor([[min(b + i, e - 1) for i in range(most)] for b, e in zip(begin, end)]))
        rows, columns = (t.to(input.device) for t in taken)
        windows = input.index_select(-2, rows.flatten()).index_select(-1, columns.flatten())
        windows = windows.unflatten(-1, columns.shape).unflatten(-3, rows.shape).transpose(-3, -2).flatten(-2)
        where = (rows[:, None, :, None] * input.shape[-1] + columns[:, None, :]).flatten(-2).expand(windows.shape)
        values, first = windows.max(-1, keepdim=True)
        output.copy_(values.squeeze(-1))
        places.copy_(where.gather(-1, first).squeeze(-1))

    def _to_indices(self, places: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        high, wide = shape[-2:]
        rows = places // wide - self._first(high, self.H, places)[:, None]
        return torch.stack((rows, places % wide - self._first(wide, self.W, places))).add_(1)

    def _from_indices(self, indices: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        high, wide = shape[-2:]
        rows, columns = indices - 1
        return (rows + self._first(high, self.H, rows)[:, None]) * wide + columns + self._first(wide, self.W, rows)

    def _diagnose(self, input: torch.Tensor) -> None:
        self._want(need_tensor(input).dim() in (3, 4) and 0 not in input.shape[-2:], _IMAGES, input)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        size = (*input.shape[:-2], self.H, self.W)
        places = torch.empty(size, dtype=torch.int64, device=input.device)
        out = (resized(self.output, size), places)
        if input.dim() not in (3, 4) or 0 in input.shape[-2:]:
            self._diagnose(input)
        if _are_usual(input, self.H, self.W):
            torch._C._nn.adaptive_max_pool2d(input, (self.H, self.W), out=out)
        else:
            self._pool(input, *out)
        self._cache = input, places
        return self.output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        return self._spread(input, gradOutput)


_adaptive_average_backward = _private("aten", "_adaptive_avg_pool2d_backward")


def _means(x: torch.Tensor, dim: int, count: int) -> torch.Tensor:
    """The means of ``count`` windows of Torch7's over one of the two last dimensions."""
    begin, end, _ = _windows(x.shape[dim], count)
    return torch.stack([x.narrow(dim, b, e - b).mean(dim) for b, e in zip(begin, end)], dim)


def _means_backward(grad: torch.Tensor, dim: int, size: int) -> torch.Tensor:
    """The gradient of :func:`_means` with respect to an input of ``size`` elements along the dimension."""
    begin, end, _ = _windows(size, grad.shape[dim])
    shape = list(grad.shape)
    shape[dim] = size
    into = grad.new_zeros(shape)
    for i, (b, e) in enumerate(zip(begin, end)):
        into.narrow(dim, b, e - b).add_(grad.narrow(dim, i, 1), alpha=1 / (e - b))
    return into


class SpatialAdaptiveAveragePooling(Module):
    """The means of W x H windows that together cover the image, whatever its size.

    Input, output, windows: as those of :class:`SpatialAdaptiveMaxPooling`.

    Args:
        W, H: output width and height.
    """

    def __init__(self, W: int, H: int) -> None:
        super().__init__()
        need_size(self, W=W, H=H)
        self.W, self.H = W, H

    def _diagnose(self, input: torch.Tensor) -> None:
        self._want(need_tensor(input).dim() in (3, 4) and 0 not in input.shape[-2:], _IMAGES, input)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        if input.dim() not in (3, 4) or 0 in input.shape[-2:]:
            self._diagnose(input)
        output = resized(self.output, (*input.shape[:-2], self.H, self.W))
        if _are_usual(input, self.H, self.W):
            return torch._C._nn.adaptive_avg_pool2d(input.contiguous(), (self.H, self.W), out=output)
        return output.copy_(_means(_means(input, -2, self.H), -1, self.W))

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        gradOutput = self._sized(gradOutput, (*input.shape[:-2], self.H, self.W))
        if _adaptive_average_backward is not None and _are_usual(input, self.H, self.W):
            return self.gradInput.set_(_adaptive_average_backward(gradOutput, input).contiguous())
        high, wide = input.shape[-2:]
        return self.gradInput.set_(_means_backward(_means_backward(gradOutput, -1, wide), -2, high))

    def empty(self) -> Any:
        """An older name of :meth:`clearState`."""
        return self.clearState()
