"""Subsampling: windows summed, with a weight and a bias for each plane."""

from __future__ import annotations

from typing import Any

import torch

from .. import _kernels as kernels
from .._guard import optional
from .._kernels import resized
from .._object import given, need_size, need_tensor
from ..module import Module, draw_uniformly


class _SubSampling(Module):
    """What subsampling over images and over sequences share.

    A subclass says, in ``_windows()``, the kernel's size and steps, and that it takes sums: what PyTorch's average
    pooling takes.
    """

    _features = 0  # the dimension that weight and bias are for, counted from the end

    def _allocate(self, size: int) -> None:
        self.weight, self.gradWeight = torch.empty(size), torch.zeros(size)
        self.bias, self.gradBias = torch.empty(size), torch.zeros(size)
        self.reset()

    def _image(self, input: torch.Tensor) -> torch.Tensor:
        """The input as one image or a batch of images."""
        return input

    def _along(self, parameter: torch.Tensor) -> torch.Tensor:
        """A parameter, to be multiplied with an input."""
        return parameter.view(-1, *[1] * (-1 - self._features))

    def _sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum of a tensor over all its dimensions but that of the features."""
        features = tensor.dim() + self._features
        return tensor.sum([d for d in range(tensor.dim()) if d != features])

    def _sums(self, input: torch.Tensor) -> torch.Tensor:
        """The sum of each window."""
        sums = kernels.avg_pool2d(self._image(input), *self._windows())
        return sums if sums.dim() == input.dim() else sums.squeeze(-3)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        if input.shape[self._features] != self.weight.shape[0]:
            self._diagnose(input)
        sums = self._sums(input)
        return torch.addcmul(
            self._along(self.bias), sums, self._along(self.weight), out=resized(self.output, sums.shape)
        )

    def _fitting(self, gradOutput: torch.Tensor, input: torch.Tensor) -> torch.Tensor:
        """``gradOutput``, checked to be as large as the output."""
        kernel, stride = self._windows()[:2]
        size = [(n - k) // d + 1 for n, k, d in zip(input.shape[-2:], kernel, stride)]
        return self._sized(gradOutput, (*input.shape[:-2], *size))

    @optional
    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor | None:
        if self.gradInput is None:
            return None
        gradOutput = self._fitting(gradOutput, input)
        gradInput = resized(self.gradInput, input.shape)
        gradSums = self._image(gradOutput * self._along(self.weight))
        kernels.avg_pool2d_backward(gradSums, self._image(input), *self._windows(), grad_input=self._image(gradInput))
        return gradInput

    def accGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> None:
        gradOutput = self._fitting(gradOutput, input)
        self.gradWeight.add_(self._sum(self._sums(input) * gradOutput), alpha=scale)
        self.gradBias.add_(self._sum(gradOutput), alpha=scale)


class SpatialSubSampling(_SubSampling):
    """``y = weight[p] · (sum of a kW x kH window) + bias[p]`` in each plane p.

    Input: nInputPlane x H x W, or a batch of these. Output: the same number of planes, of ``⌊(H - kH) / dH⌋ + 1`` by
    ``⌊(W - kW) / dW⌋ + 1``.

    Args:
        nInputPlane: number of planes.
        kW, kH: window width and height.
        dW, dH: steps, default 1.

    ``weight`` and ``bias`` (nInputPlane) are drawn uniformly between ±1/√(kW kH).
    """

    _features = -3

    def __init__(self, nInputPlane: int, kW: int, kH: int, dW: int | None = None, dH: int | None = None) -> None:
        super().__init__()
        dW, dH = given(dW, 1), given(dH, 1)
        need_size(self, nInputPlane=nInputPlane, kW=kW, kH=kH, dW=dW, dH=dH)
        self.nInputPlane = nInputPlane
        self.kW, self.kH = kW, kH
        self.dW, self.dH = dW, dH
        self._allocate(nInputPlane)

    def reset(self, stdv: float | None = None) -> None:
        draw_uniformly(stdv, self.kW * self.kH, self.weight, self.bias)

    def _windows(self) -> tuple:
        return (self.kH, self.kW), (self.dH, self.dW), (0, 0), False, True, 1

    def _diagnose(self, input: Any) -> None:
        shape = need_tensor(input).shape
        fits = len(shape) in (3, 4) and shape[-3] == self.weight.shape[0]
        self._want(fits, f"{self.weight.shape[0]} x H x W, or a batch of these", input)
        self._want(shape[-2] >= self.kH and shape[-1] >= self.kW, f"H x W of at least {self.kH} x {self.kW}", input)


class TemporalSubSampling(_SubSampling):
    """``y[t] = weight · (x[t dW] + … + x[t dW + kW - 1]) + bias``, for each element of a frame.

    Input: nInputFrame x inputFrameSize, or a batch of these. Output: ``⌊(nInputFrame - kW) / dW⌋ + 1`` frames of the
    same size.

    Args:
        inputFrameSize: size of a frame.
        kW: frames in a window.
        dW: step, default 1.

    ``weight`` and ``bias`` (inputFrameSize) are drawn uniformly between ±1/√kW.
    """

    _features = -1

    def __init__(self, inputFrameSize: int, kW: int, dW: int | None = None) -> None:
        super().__init__()
        dW = given(dW, 1)
        need_size(self, inputFrameSize=inputFrameSize, kW=kW, dW=dW)
        self.inputFrameSize = inputFrameSize
        self.kW, self.dW = kW, dW
        self._allocate(inputFrameSize)

    def reset(self, stdv: float | None = None) -> None:
        draw_uniformly(stdv, self.kW, self.weight, self.bias)

    def _image(self, input: torch.Tensor) -> torch.Tensor:
        return input.unsqueeze(-3)  # a plane of frames

    def _windows(self) -> tuple:
        return (self.kW, 1), (self.dW, 1), (0, 0), False, True, 1

    def _diagnose(self, input: Any) -> None:
        shape = need_tensor(input).shape
        size = self.weight.shape[0]
        fits = len(shape) in (2, 3) and shape[-1] == size and shape[-2] >= self.kW
        self._want(fits, f"at least {self.kW} frames of {size}, or a batch of these", input)
