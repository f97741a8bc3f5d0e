"""The convolutions, with groups."""

from __future__ import annotations

from typing import Any, TypeVar

import torch

from ... import nn
from ...errors import ArgumentError
from ...nn import utils
from ...nn._object import given, need_size, need_tensor
from ...nn.convolution._base import Dilated, _Convolution
from ...nn.module import draw_uniformly

C = TypeVar("C", bound="_Chosen")


class _Chosen(_Convolution):
    """What the convolutions of cudnn have beside those of nn: groups, and a choice of algorithms, which here is without
    effect.
    """

    groups = 1  # older files lack it
    fastest_mode: Any = None
    fmode: Any = None
    bdmode: Any = None
    bwmode: Any = None

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        self.__dict__.pop("reset", None)  # a function, which some versions left there

    def _opened(self, input: Any) -> tuple[torch.Tensor, tuple]:
        input, settings = super()._opened(input)
        return input, (*settings[:5], self.groups)

    def fastest(self: C, mode: bool | None = None) -> C:
        """Ask for the fastest algorithms, or with false no more; returns the module. Without effect."""
        self.fastest_mode = given(mode, True)
        return self

    def setMode(self: C, fmode: Any = None, bdmode: Any = None, bwmode: Any = None) -> C:
        """Name the algorithms of forward, backward to the input and to the weight; returns the module. Without
        effect.
        """
        self.fmode, self.bdmode, self.bwmode = (
            given(fmode, self.fmode),
            given(bdmode, self.bdmode),
            given(bwmode, self.bwmode),
        )
        return self

    def resetMode(self: C) -> C:
        """Forget what :meth:`setMode` said; returns the module."""
        for name in ("fmode", "bdmode", "bwmode"):
            self.__dict__.pop(name, None)
        return self

    def resetWeightDescriptors(self: C) -> C:
        """Nothing here; returns the module."""
        return self

    def clearDesc(self: C) -> C:
        """Drop what belongs to cuDNN; returns the module."""
        for name in ("oSize", "scaleT"):
            self.__dict__.pop(name, None)
        return self

    def clearState(self: C) -> C:
        self.clearDesc()
        utils.clear(self, "input_slice", "output_slice", "extraBuffer")
        return super().clearState()


class SpatialConvolution(_Chosen, nn.SpatialConvolution, typename="cudnn.SpatialConvolution"):
    """:class:`luann.nn.SpatialConvolution` with groups: output planes of a group see the input planes of that group.

    Input, output: as there.

    Args:
        nInputPlane, nOutputPlane, kW, kH, dW, dH, padW: as there.
        padH: default 0, also where ``padW`` is given.
        groups: the number of groups, which divides both numbers of planes; default 1.

    ``weight`` is nOutputPlane x (nInputPlane / groups) x kH x kW.
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
        groups: int | None = None,
    ) -> None:
        need_size(self, nInputPlane=nInputPlane, nOutputPlane=nOutputPlane)
        self.groups = given(groups, 1)
        need_size(self, groups=self.groups)
        if nInputPlane % self.groups or nOutputPlane % self.groups:
            raise ArgumentError(
                f"{self._typename}: groups must divide nInputPlane and nOutputPlane, "
                f"got {self.groups} for {nInputPlane} and {nOutputPlane}"
            )
        super().__init__(nInputPlane, nOutputPlane, kW, kH, dW, dH, padW, given(padH, 0))

    def _sizes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return (self.nOutputPlane, self.nInputPlane // self.groups, self.kH, self.kW), (self.nOutputPlane,)


class SpatialDilatedConvolution(Dilated, SpatialConvolution, typename="cudnn.SpatialDilatedConvolution"):
    """:class:`SpatialConvolution` whose kernel takes every dilationH-th row and every dilationW-th column.

    Input, output: as :class:`luann.nn.SpatialDilatedConvolution`.

    Args:
        nInputPlane, nOutputPlane, kW, kH, dW, dH, padW, padH: as :class:`SpatialConvolution`.
        dilationW, dilationH: default 1.
        groups: as :class:`SpatialConvolution`.

    The parameters are drawn as there; the original left them as the memory was.
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
        groups: int | None = None,
    ) -> None:
        super().__init__(nInputPlane, nOutputPlane, kW, kH, dW, dH, padW, padH, groups)
        self.dilationW, self.dilationH = given(dilationW, 1), given(dilationH, 1)
        need_size(self, dilationW=self.dilationW, dilationH=self.dilationH)

    def _opened(self, input: Any) -> tuple[torch.Tensor, tuple]:
        input, settings = super()._opened(input)
        return input, (*settings[:5], self.groups)

    def _more(self) -> str:
        return ""


class VolumetricConvolution(_Chosen, nn.VolumetricConvolution, typename="cudnn.VolumetricConvolution"):
    """:class:`luann.nn.VolumetricConvolution`: the same function, arguments, input, output and parameters."""


class VolumetricDilatedConvolution(
    _Chosen, nn.VolumetricDilatedConvolution, typename="cudnn.VolumetricDilatedConvolution"
):
    """:class:`luann.nn.VolumetricDilatedConvolution`: the same function, arguments, input, output and parameters."""

    _says_bias = False

    def _more(self) -> str:
        return ""


class SpatialFullConvolution(_Chosen, nn.SpatialFullConvolution, typename="cudnn.SpatialFullConvolution"):
    """:class:`luann.nn.SpatialFullConvolution`: the same function, arguments, input, output and parameters."""


class VolumetricFullConvolution(_Chosen, nn.VolumetricFullConvolution, typename="cudnn.VolumetricFullConvolution"):
    """:class:`luann.nn.VolumetricFullConvolution`: the same function, arguments, input, output and parameters."""


class TemporalConvolution(SpatialConvolution, typename="cudnn.TemporalConvolution"):
    """:class:`luann.nn.TemporalConvolution` with padding: to cuDNN, a sequence is an image with a row for each frame.

    Input: nInputFrame x inputFrameSize, or a batch of these. Output: ``⌊(nInputFrame + 2 padH - kH) / dH⌋ + 1`` frames
    of outputFrameSize.

    Args:
        inputFrameSize, outputFrameSize: sizes of a frame.
        kH: frames in a window.
        dH: step, default 1.
        padH: frames of zeros added at the beginning and at the end, default 0.

    ``weight`` (outputFrameSize x (kH inputFrameSize)) and ``bias`` are drawn uniformly between ±1/inputFrameSize. The
    fields ``kW`` and ``dW`` are the image's: inputFrameSize and 1.
    """

    _says_bias = False

    def __init__(
        self, inputFrameSize: int, outputFrameSize: int, kH: int, dH: int | None = None, padH: int | None = None
    ) -> None:
        need_size(self, inputFrameSize=inputFrameSize, outputFrameSize=outputFrameSize)
        self.inputFrameSize = inputFrameSize
        self.outputFrameSize = outputFrameSize
        super().__init__(1, outputFrameSize, inputFrameSize, kH, 1, dH, 0, padH)

    def _sizes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return (self.nOutputPlane, self.kH * self.kW), (self.nOutputPlane,)

    def reset(self, stdv: float | None = None) -> None:
        draw_uniformly(stdv, self.kW * self.inputFrameSize, self.weight, self.bias)

    def _restore(self, fields: dict, version: int) -> None:
        _Convolution._restore(self, fields, version)
        self.__dict__.pop("reset", None)

    def _opened(self, input: torch.Tensor) -> tuple[torch.Tensor, tuple]:
        if input.dim() not in (2, 3) or input.shape[-1] != self.inputFrameSize:
            self._diagnose(input)
        return super()._opened(input.unsqueeze(-3))

    def _diagnose(self, input: torch.Tensor) -> None:
        shape, size, least = need_tensor(input).shape, self.inputFrameSize, self.kH - 2 * self.padH
        fits = len(shape) in (2, 3) and shape[-1] == size and shape[-2] >= least
        self._want(fits, f"at least {least} frames of {size}, or a batch of these", input)

    def _filters(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        return self.weight.view(self.nOutputPlane, 1, self.kH, self.kW), self.bias

    def _forward(self, output: torch.Tensor, input: torch.Tensor, settings: tuple) -> None:
        image = output.new_empty(0)
        super()._forward(image, input, settings)
        output.set_(image.squeeze(3).transpose(1, 2).contiguous())

    def _gradients(self, input: torch.Tensor, gradOutput: torch.Tensor, settings: tuple, mask: list[bool]) -> tuple:
        image = gradOutput.transpose(1, 2).unsqueeze(3).contiguous()
        gradInput, gradWeight, gradBias = super()._gradients(input, image, settings, mask)
        if mask[1]:
            gradWeight = gradWeight.view(self.weight.shape)
        return gradInput.squeeze(1) if mask[0] else None, gradWeight, gradBias

    def clearDesc(self) -> TemporalConvolution:
        for name in ("buffer", "_output"):
            self.__dict__.pop(name, None)
        return super().clearDesc()

    def __tostring__(self) -> str:
        return self._typename
