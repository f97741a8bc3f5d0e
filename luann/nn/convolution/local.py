"""Convolution whose kernel is another at every place."""

from __future__ import annotations

import torch

from ...errors import ArgumentError
from .._kernels import resized
from .._object import given, need_size, need_tensor
from ._base import _Convolution


class SpatialConvolutionLocal(_Convolution, axes="WH"):
    """2D convolution with weights of its own at every place of the output:
    ``y[o][h][w] = bias[o][h][w] + Σ weight[h][w][o] · (the window of x at h, w)``.

    Input: nInputPlane x iH x iW, or a batch of these. Output: nOutputPlane planes of oH =
    ``⌊(iH + 2 padH - kH) / dH⌋ + 1`` by oW = ``⌊(iW + 2 padW - kW) / dW⌋ + 1``.

    Args:
        nInputPlane, nOutputPlane: numbers of planes.
        iW, iH: width and height of the input.
        kW, kH: kernel width and height.
        dW, dH: steps, default 1.
        padW, padH: zeros added on each side; padW defaults to 0, padH to padW.

    ``weight`` (oH x oW x nOutputPlane x nInputPlane x kH x kW) and ``bias`` (nOutputPlane x oH x oW) are drawn
    uniformly between ±1/√(kW kH nInputPlane).
    """

    def __init__(
        self,
        nInputPlane: int,
        nOutputPlane: int,
        iW: int,
        iH: int,
        kW: int,
        kH: int,
        dW: int | None = None,
        dH: int | None = None,
        padW: int | None = None,
        padH: int | None = None,
    ) -> None:
        super().__init__(nInputPlane, nOutputPlane, W=(kW, dW, padW), H=(kH, dH, given(padH, padW)))
        need_size(self, iW=iW, iH=iH)
        self.iW, self.iH = iW, iH
        self.oW = (2 * self.padW + iW - kW) // self.dW + 1
        self.oH = (2 * self.padH + iH - kH) // self.dH + 1
        if self.oW < 1 or self.oH < 1:
            raise ArgumentError(
                f"{self._typename}: a kernel of {kW}x{kH} does not fit an input of {iW}x{iH} with padding "
                f"{self.padW},{self.padH}"
            )
        self._allocate((self.oH, self.oW, nOutputPlane, nInputPlane, kH, kW), (nOutputPlane, self.oH, self.oW))

    def _diagnose(self, input: torch.Tensor) -> None:
        shape = need_tensor(input).shape
        size = (self.nInputPlane, self.iH, self.iW)
        fits = len(shape) in (3, 4) and shape[-3:] == size
        self._want(fits, f"{' x '.join(map(str, size))}, or a batch of these", input)

    def _opened(self, input: torch.Tensor) -> tuple[torch.Tensor, tuple]:
        if input.shape[-3:] != (self.nInputPlane, self.iH, self.iW):
            self._diagnose(input)
        return input, ()

    # The products are batches over the places, oH oW of them: samples x window times window x planes.

    def _matrices(self, parameter: torch.Tensor) -> torch.Tensor:
        """weight or gradWeight as a matrix for each place, planes x window."""
        return parameter.view(self.oH * self.oW, self.nOutputPlane, -1)

    def _windows(self, input: torch.Tensor) -> torch.Tensor:
        """The windows as a matrix for each place, samples x window."""
        (padH, padW), (dH, dW), (kH, kW) = self._pad(self), self._d(self), self._k(self)
        if padW or padH:
            input = torch.constant_pad_nd(input, (padW, padW, padH, padH))
        windows = input.unfold(2, kH, dH).unfold(3, kW, dW)
        return windows.permute(2, 3, 0, 1, 4, 5).reshape(self.oH * self.oW, input.shape[0], -1)

    def _planes(self, image: torch.Tensor) -> torch.Tensor:
        """Planes over the places as a matrix for each place, samples x planes."""
        return image.permute(2, 3, 0, 1).reshape(self.oH * self.oW, image.shape[0], self.nOutputPlane)

    def _forward(self, output: torch.Tensor, input: torch.Tensor, settings: tuple) -> None:
        windows, weight = self._windows(input), self._matrices(self.weight).transpose(1, 2)
        if self.bias is None:
            result = torch.bmm(windows, weight)
        else:
            result = torch.baddbmm(self._planes(self.bias.unsqueeze(0)), windows, weight)
        size = (input.shape[0], self.nOutputPlane, self.oH, self.oW)
        resized(output, size).copy_(result.view(self.oH, self.oW, *size[:2]).permute(2, 3, 0, 1))

    def _gradients(self, input: torch.Tensor, gradOutput: torch.Tensor, settings: tuple, mask: list[bool]) -> tuple:
        planes = self._planes(gradOutput)
        gradInput = gradWeight = None
        if mask[0]:
            gradWindows = torch.bmm(planes, self._matrices(self.weight)).permute(1, 2, 0)
            gradInput = torch._C._nn.col2im(
                gradWindows, (self.iH, self.iW), self._k(self), self._ones, self._pad(self), self._d(self)
            )
        if mask[1]:
            gradWeight = planes.transpose(1, 2), self._windows(input)
        return gradInput, gradWeight, gradOutput.sum(0) if mask[2] else None

    def _accumulate(self, gradWeight: tuple, gradBias: torch.Tensor | None, scale: float) -> None:
        # as large as weight: the product goes right into it
        self._matrices(self.gradWeight).baddbmm_(*gradWeight, alpha=scale)
        if gradBias is not None:
            self.gradBias.add_(gradBias, alpha=scale)

    def __tostring__(self) -> str:
        kernel = f"{self.kW}x{self.kH}"
        return super().__tostring__().replace(f", {kernel}", f", {self.iW}x{self.iH}, {kernel}", 1)
