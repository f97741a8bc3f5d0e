"""Convolutions over images."""

from __future__ import annotations

import torch

from .._object import given, need_size
from ._base import Dilated, _Convolution


class _Spatial(_Convolution, axes="WH"):
    """Convolutions that take nInputPlane, nOutputPlane, kW, kH, dW, dH, padW and padH."""

    _rereads = ("input",)

    padW = padH = 0  # older files lack them

    def __init__(
        self,
        nInputPlane: int,
        nOutputPlane: int,
        kW: int,
        kH: int,
        dW: int | None = None,
        dH: int | None = None,
        padW: int | None = None,
        padH: int | None = None,
    ) -> None:
        super().__init__(nInputPlane, nOutputPlane, W=(kW, dW, padW), H=(kH, dH, given(padH, padW)))
        self._allocate(*self._sizes())

    def _sizes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The sizes of weight and bias."""
        return (self.nOutputPlane, self.nInputPlane, self.kH, self.kW), (self.nOutputPlane,)


class SpatialConvolution(_Spatial):
    """2D convolution (cross-correlation): ``y[o] = bias[o] + Σ_i weight[o][i] ⋆ x[i]``.

    Input: nInputPlane x H x W, or a batch of these. Output: nOutputPlane planes of
    ``⌊(H + 2 padH - kH) / dH⌋ + 1`` by ``⌊(W + 2 padW - kW) / dW⌋ + 1``.

    Args:
        nInputPlane, nOutputPlane: numbers of planes.
        kW, kH: kernel width and height.
        dW, dH: steps, default 1.
        padW, padH: zeros added on each side; padW defaults to 0, padH to padW.

    ``weight`` (nOutputPlane x nInputPlane x kH x kW) and ``bias`` are drawn uniformly between ±1/√(kW kH nInputPlane).
    """

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        for name in ("weight", "gradWeight"):  # once saved as matrices
            tensor = getattr(self, name)
            if tensor is not None and tensor.dim() == 2:
                setattr(self, name, tensor.view(self._sizes()[0]))


class SpatialConvolutionMM(_Spatial):
    """:class:`SpatialConvolution` with a matrix for its weight: the same function, arguments, input and output.

    ``weight`` is nOutputPlane x (nInputPlane kH kW).
    """

    def _sizes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return (self.nOutputPlane, self.nInputPlane * self.kH * self.kW), (self.nOutputPlane,)

    def _filters(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        return self.weight.view(self.nOutputPlane, self.nInputPlane, self.kH, self.kW), self.bias

    def _accumulate(self, gradWeight: torch.Tensor, gradBias: torch.Tensor | None, scale: float) -> None:
        super()._accumulate(gradWeight.reshape(self.gradWeight.shape), gradBias, scale)


class SpatialDilatedConvolution(Dilated, SpatialConvolution):
    """2D convolution whose kernel takes every dilationH-th row and every dilationW-th column of its window.

    Input: nInputPlane x H x W, or a batch of these. Output: nOutputPlane planes of
    ``⌊(H + 2 padH - dilationH (kH - 1) - 1) / dH⌋ + 1`` by the same of W.

    Args:
        nInputPlane, nOutputPlane: numbers of planes.
        kW, kH: kernel width and height.
        dW, dH: steps, default 1.
        padW, padH: zeros added on each side; padW defaults to 0, padH to padW.
        dilationW, dilationH: default 1, which is :class:`SpatialConvolution`.

    Parameters as :class:`SpatialConvolution`.
    """

    def __init__(
        self,
        nInputPlane: int,
        nOutputPlane: int,
        kW: int,
        kH: int,
        dW: int | None = None,
        dH: int | None = None,
        padW: int | None = None,
        padH: int | None = None,
        dilationW: int | None = None,
        dilationH: int | None = None,
    ) -> None:
        super().__init__(nInputPlane, nOutputPlane, kW, kH, dW, dH, padW, padH)
        self.dilationW, self.dilationH = given(dilationW, 1), given(dilationH, 1)
        need_size(self, dilationW=self.dilationW, dilationH=self.dilationH)


class SpatialDepthWiseConvolution(_Spatial):
    """2D convolution of each input plane on its own: ``y[i·nOutputPlane + o] = bias[o][i] + weight[o][i] ⋆ x[i]``.

    Input: nInputPlane x H x W, or a batch of these. Output: nInputPlane · nOutputPlane planes of
    ``⌊(H + 2 padH - kH) / dH⌋ + 1`` by ``⌊(W + 2 padW - kW) / dW⌋ + 1``. (Torch7 confounded H and W, except on a GPU;
    where they are equal the results are the same.)

    Args:
        nInputPlane: number of input planes.
        nOutputPlane: number of output planes made of each.
        kW, kH: kernel width and height.
        dW, dH: steps, default 1.
        padW, padH: zeros added on each side; padW defaults to 0, padH to padW.

    ``weight`` (nOutputPlane x (nInputPlane kH kW), from the first ``forward`` on nOutputPlane x nInputPlane x kH x kW)
    and ``bias`` (nOutputPlane x nInputPlane) are drawn uniformly between ±1/√(kW kH nInputPlane).
    """

    def _sizes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        matrix = (self.nOutputPlane, self.nInputPlane * self.kH * self.kW)
        return matrix, (self.nOutputPlane, self.nInputPlane)

    def _opened(self, input: torch.Tensor) -> tuple[torch.Tensor, tuple]:
        input, settings = super()._opened(input)
        return input, (*settings[:5], self.nInputPlane)

    def _filters(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        shape = (self.nOutputPlane, self.nInputPlane, self.kH, self.kW)
        for tensor in (self.weight, self.gradWeight):
            if tensor is not None and tensor.dim() == 2:
                tensor.set_(tensor.view(shape))
        weight = self.weight.transpose(0, 1).reshape(-1, 1, self.kH, self.kW)
        return weight, None if self.bias is None else self.bias.t().reshape(-1)

    def _accumulate(self, gradWeight: torch.Tensor, gradBias: torch.Tensor | None, scale: float) -> None:
        planes = self.nInputPlane, self.nOutputPlane
        if gradBias is not None:
            gradBias = gradBias.view(planes).t()
        super()._accumulate(gradWeight.view(*planes, self.kH, self.kW).transpose(0, 1), gradBias, scale)
