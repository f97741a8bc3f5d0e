"""eyescream (facebook/eyescream): convolutions that enlarge images, in generators of images."""

from __future__ import annotations

from typing import Any

import torch

from ..errors import ArgumentError
from ..nn._object import given, need_size
from ..nn.convolution import SpatialConvolution
from .cudnn import SpatialConvolution as _CudnnConvolution

__all__ = ["CudnnSpatialConvolutionUpsample", "SpatialConvolutionUpsample"]


def _plan(cls: Any, nInputPlane: int, nOutputPlane: int, kW: int, kH: int, factor: int | None) -> int:
    """The factor, after a look at the arguments."""
    factor = given(factor, 2)
    need_size(cls, nInputPlane=nInputPlane, nOutputPlane=nOutputPlane, kW=kW, kH=kH, factor=factor)
    if not (kW % 2 and kH % 2):
        raise ArgumentError(f"{cls._typename}: kW and kH must be odd, got {kW} and {kH}")
    return factor


class SpatialConvolutionUpsample(SpatialConvolution):
    """A convolution of ``factor²`` times the planes, whose numbers are then taken for an image ``factor`` times as
    large.

    They are not interleaved: the memory is only looked at otherwise.

    Input: nInputPlane x H x W, or a batch of these. Output: nOutputPlane x (factor H) x (factor W), or a batch; with a
    kernel that is not square, H and W change before that and must still fit.

    Args:
        nInputPlane, nOutputPlane: numbers of planes.
        kW, kH: kernel width and height, odd numbers.
        factor: default 2.
    """

    factor = 2
    nOutputPlaneU = 0

    def __init__(self, nInputPlane: int, nOutputPlane: int, kW: int, kH: int, factor: int | None = None) -> None:
        factor = _plan(self, nInputPlane, nOutputPlane, kW, kH, factor)
        super().__init__(nInputPlane, nOutputPlane * factor * factor, kW, kH, 1, 1, (kW - 1) // 2)
        self.factor, self.nInputPlaneU, self.nOutputPlaneU = factor, nInputPlane, nOutputPlane

    @staticmethod
    def _fits(fields: dict) -> bool:
        return "nOutputPlaneU" in fields  # FluidNet has a class of this name, too

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        output = super().updateOutput(input)
        self.h, self.w = input.shape[-2:]
        large = (*input.shape[:-3], self.nOutputPlaneU, self.h * self.factor, self.w * self.factor)
        self._want(output.numel() == input[..., :1, :, :].numel() * self.nOutputPlane, "a square kernel", input)
        return output.set_(output.view(large))

    def _small(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        return gradOutput.reshape(*input.shape[:-3], self.nOutputPlane, *input.shape[-2:])

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> Any:
        return super().updateGradInput(input, self._small(input, gradOutput))

    def accGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> None:
        super().accGradParameters(input, self._small(input, gradOutput), scale)

    def backward(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> Any:
        return super().backward(input, self._small(input, gradOutput), scale)


class CudnnSpatialConvolutionUpsample(
    SpatialConvolutionUpsample, _CudnnConvolution, typename="cudnn.SpatialConvolutionUpsample"
):
    """:class:`SpatialConvolutionUpsample` with groups; ``cudnn.SpatialConvolutionUpsample`` to Torch7.

    Input, output: as there.

    Args:
        nInputPlane, nOutputPlane, kW, kH, factor: as there.
        groups: default 1.
    """

    def __init__(
        self,
        nInputPlane: int,
        nOutputPlane: int,
        kW: int,
        kH: int,
        factor: int | None = None,
        groups: int | None = None,
    ) -> None:
        factor = _plan(self, nInputPlane, nOutputPlane, kW, kH, factor)
        pads = (kW - 1) // 2, (kH - 1) // 2
        _CudnnConvolution.__init__(self, nInputPlane, nOutputPlane * factor * factor, kW, kH, 1, 1, *pads, groups)
        self.factor, self.nInputPlaneU, self.nOutputPlaneU = factor, nInputPlane, nOutputPlane
