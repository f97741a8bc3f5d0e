"""Making images and volumes larger."""

from __future__ import annotations

import functools
from typing import Any

import torch

from ..errors import ArgumentError
from ..types import Storage
from ._kernels import resized
from ._object import need_size, need_tensor
from .module import Module

_C = torch._C._nn
_aten = torch.ops.aten

_NEAREST = {2: _C.upsample_nearest2d, 3: _C.upsample_nearest3d}
_NEAREST_BACKWARD = {
    2: _aten.upsample_nearest2d_backward.grad_input._op,
    3: _aten.upsample_nearest3d_backward.grad_input._op,
}
_LINEAR = {2: _C.upsample_bilinear2d, 3: _C.upsample_trilinear3d}
_LINEAR_BACKWARD = {
    2: _aten.upsample_bilinear2d_backward.grad_input._op,
    3: _aten.upsample_trilinear3d_backward.grad_input._op,
}
_EXACT_FACTOR = 40
"""Up to this factor PyTorch's kernels find the nearest element exactly; from 41 on rounding can miss it by one."""


@functools.lru_cache(256)
def _neighbours(size: int, enlarged: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """For each element of an enlarged dimension the two it lies between, and how near it is to the second.

    Torch7 computes the distances in single precision, for double tensors on the CPU, too, where PyTorch does not.
    """
    kind = {"dtype": torch.float32, "device": "cpu"}
    position = torch.arange(enlarged, **kind) * torch.tensor((size - 1) / max(enlarged - 1, 1), **kind)
    first = position.long()
    return first, (first + 1).clamp_(max=size - 1), (position - first).double()


def _between(input: torch.Tensor, plane: tuple[int, ...]) -> torch.Tensor:
    """Linear interpolation of double tensors as Torch7's, the last dimension first."""
    for dim in range(-1, -1 - len(plane), -1):
        first, second, nearness = _neighbours(input.shape[dim], plane[dim])
        nearness = nearness.view(-1, *[1] * (-1 - dim))
        near = input.index_select(dim, first).mul_(1 - nearness)
        input = near.addcmul_(input.index_select(dim, second), nearness)
    return input


def _between_backward(gradOutput: torch.Tensor, plane: tuple[int, ...]) -> torch.Tensor:
    """The gradient of :func:`_between` for an input with planes of this size."""
    for dim in range(-len(plane), 0):
        first, second, nearness = _neighbours(plane[dim], gradOutput.shape[dim])
        nearness = nearness.view(-1, *[1] * (-1 - dim))
        size = list(gradOutput.shape)
        size[dim] = plane[dim]
        grad = gradOutput.new_zeros(size)
        grad.index_add_(dim, first, gradOutput * (1 - nearness)).index_add_(dim, second, gradOutput * nearness)
        gradOutput = grad
    return gradOutput


class _UpSampling(Module):
    """``mode`` says how: ``'nearest'`` or ``'linear'``.

    ``inputSize`` and ``outputSize`` are buffers of Torch7's, not used here.
    """

    mode = "nearest"
    scale_factor: int | None = None
    odepth: int | None = None
    owidth: int | None = None
    oheight: int | None = None
    _dims = (3, 4)
    _wanted = "planes x H x W, or a batch of these"

    def __init__(self) -> None:
        super().__init__()
        self.inputSize = Storage([0] * self._dims[1])
        self.outputSize = Storage([0] * self._dims[1])

    def _set(self, params: Any) -> None:
        """Take a factor, or a table of sizes."""
        if not isinstance(params, dict):
            scale = int(params) if isinstance(params, float) and params.is_integer() else params
            need_size(self, scale_factor=scale)
            self.scale_factor = scale
            return
        if self.mode == "nearest":
            raise ArgumentError(
                f"{self._typename}: the nearest element is found for a factor, not for sizes; got {params}"
            )
        sizes = {name: params.get(name) for name in ("odepth", "owidth", "oheight")}
        if sizes["odepth"] is None:
            del sizes["odepth"]
        need_size(self, **sizes)
        self.__dict__.update(sizes)

    def _plane(self, sizes: tuple[int, ...]) -> tuple[int, ...]:
        """The sizes of the output's planes, for those of the input's."""
        if self.scale_factor is not None:
            return tuple([n * self.scale_factor for n in sizes])
        if len(sizes) == 2:
            return self.oheight, self.owidth
        if self.odepth is None:
            raise ArgumentError("a volume needs an output depth: give odepth, too")
        return self.odepth, self.oheight, self.owidth

    def _diagnose(self, input: torch.Tensor) -> None:
        self._want(need_tensor(input).dim() in self._dims, self._wanted, input)

    def _split(self, tensor: torch.Tensor, plane: tuple[int, ...]) -> torch.Tensor:
        """A view of an enlarged tensor in which every dimension of the plane is two: elements, and copies of each."""
        return tensor.view(*tensor.shape[:2], *[n for size in plane for n in (size, self.scale_factor)])

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        if input.dim() not in self._dims:
            self._diagnose(input)
        batch = input.contiguous()  # the kernels lay their result out as the input
        batch = batch if input.dim() > 3 else batch.unsqueeze(0)
        plane = self._plane(batch.shape[2:])
        dims = len(plane)
        output = resized(self.output, (*input.shape[:-dims], *plane))
        out = output if output.dim() > 3 else output.unsqueeze(0)
        if self.mode == "linear" and input.dtype is torch.float64 and input.is_cpu:
            out.copy_(_between(batch, plane))
        elif self.mode == "linear":
            _LINEAR[dims](batch, plane, True, *[None] * dims, out=out)
        elif self.scale_factor <= _EXACT_FACTOR:
            _NEAREST[dims](batch, plane, *[None] * dims, out=out)
        else:
            copies = self._split(out, batch.shape[2:])
            copies.copy_(batch.view(*batch.shape[:2], *[n for size in batch.shape[2:] for n in (size, 1)]))
        return output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        gradInput = resized(self.gradInput, input.shape)
        dims = max(input.dim() - 2, 2)
        plane = self._plane(input.shape[-dims:])
        grad, into = self._sized(gradOutput, (*input.shape[:-dims], *plane)).contiguous(), gradInput
        if input.dim() == 3:
            grad, into = grad.unsqueeze(0), into.unsqueeze(0)
        if self.mode == "linear" and input.dtype is torch.float64 and input.is_cpu:
            into.copy_(_between_backward(grad, into.shape[2:]))
        elif self.mode == "linear":
            _LINEAR_BACKWARD[dims](grad, plane, into.shape, True, *[None] * dims, grad_input=into)
        elif self.scale_factor <= _EXACT_FACTOR:
            _NEAREST_BACKWARD[dims](grad, plane, into.shape, *[None] * dims, grad_input=into)
        else:
            copies = self._split(grad, into.shape[2:])
            torch.sum(copies, tuple(range(3, 3 + 2 * dims, 2)), out=into)
        return gradInput


class SpatialUpSamplingNearest(_UpSampling):
    """Every element of an image repeated in a square.

    Input: planes x H x W, or a batch of these. Output: planes x (scale H) x (scale W), or a batch.

    Args:
        scale: how often, a whole number from 1 on.
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        self._set(scale)


class SpatialUpSamplingBilinear(_UpSampling):
    """Images enlarged by bilinear interpolation; the corners stay where they are.

    Input: planes x H x W, or a batch of these. Output: planes x (scale H) x (scale W), or planes x oheight x owidth, or
    a batch.

    Args:
        params: a factor ``scale``, a whole number from 1 on, or a table with ``oheight`` and ``owidth``.
    """

    mode = "linear"

    def __init__(self, params: int | dict) -> None:
        super().__init__()
        self._set(params)

    def __tostring__(self) -> str:
        size = self.scale_factor if self.scale_factor is not None else f"{self.oheight}, {self.owidth}"
        return f"{self._typename}({size})"


class UpSampling(_UpSampling):
    """Images or volumes enlarged, by repetition or linear interpolation between aligned corners.

    Input: N x planes x H x W or N x planes x T x H x W. Output: the same, each size but the first two times the factor,
    or oheight, owidth and odepth.

    Args:
        params: a factor, a whole number from 1 on, or a table with ``oheight``, ``owidth`` and, for volumes,
            ``odepth``, which only interpolation takes.
        mode: ``'linear'`` (or ``'bilinear'``, ``'trilinear'``); anything else is ``'nearest'``, the default.
    """

    _dims = (4, 5)
    _wanted = "N x planes x H x W or N x planes x T x H x W"

    def __init__(self, params: int | dict, mode: str | None = None) -> None:
        super().__init__()
        self.mode = "linear" if mode in ("linear", "bilinear", "trilinear") else "nearest"
        self._set(params)

    def __tostring__(self) -> str:
        if self.scale_factor is not None:
            size = f"{self.scale_factor}x"
        else:
            sizes = (self.odepth, self.oheight, self.owidth)
            size = "x".join(str(n) for n in sizes if n is not None)
        return f"{self._typename}({size}, {self.mode})"


class PixelShuffle(Module):
    """Planes turned into pixels: ``y[c][r h + i][r w + j] = x[c r² + r i + j][h][w]``, as in sub-pixel convolution.

    Input: (planes r²) x H x W, or a batch of these. Output: planes x (r H) x (r W), or a batch.

    Args:
        upscaleFactor: r.
    """

    def __init__(self, upscaleFactor: int) -> None:
        super().__init__()
        need_size(self, upscaleFactor=upscaleFactor)
        self.upscaleFactor = upscaleFactor
        self.upscaleFactorSquared = upscaleFactor**2

    def _diagnose(self, input: torch.Tensor) -> None:
        fits = need_tensor(input).dim() in (3, 4) and input.shape[-3] % self.upscaleFactorSquared == 0
        self._want(fits, f"a multiple of {self.upscaleFactorSquared} planes x H x W, or a batch of these", input)

    def _in_planes(self, tensor: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        """A view of an input or its gradient as … x planes x r x r x H x W."""
        r = self.upscaleFactor
        return tensor.view(*shape[:-3], shape[-3] // self.upscaleFactorSquared, r, r, *shape[-2:])

    def _in_pixels(self, tensor: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        """A view of an output or its gradient, its dimensions in the same order."""
        r = self.upscaleFactor
        high, wide = shape[-2:]
        return tensor.view(*tensor.shape[:-2], high, r, wide, r).movedim((-3, -1), (-4, -3))

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self._diagnose(input)
        shape, r = input.shape, self.upscaleFactor
        size = (*shape[:-3], shape[-3] // self.upscaleFactorSquared, r * shape[-2], r * shape[-1])
        output = resized(self.output, size)
        self._in_pixels(output, shape).copy_(self._in_planes(input.contiguous(), shape))
        return output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        gradInput = resized(self.gradInput, input.shape)
        pixels = self._in_pixels(gradOutput.contiguous(), input.shape)
        self._in_planes(gradInput, input.shape).copy_(pixels)
        return gradInput
