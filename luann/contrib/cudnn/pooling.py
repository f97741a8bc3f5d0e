"""Pooling: the classes of nn under cuDNN's names, with windows side by side by default."""

from __future__ import annotations

import torch

from ... import nn
from ...nn import utils
from ...nn._object import given
from ...nn.pooling import _kernels as kernels
from ...nn.pooling._places import _MaxPooling, _Windows
from ...types import Storage


class _Maxima(_MaxPooling):
    """Max pooling that keeps no ``indices``: the gradient follows from the input, as in cuDNN."""

    _extent: tuple[str, ...] = ()

    def _start(self, sizes: int) -> None:
        """Turn what nn's constructor made into cudnn's fields."""
        self.__dict__.pop("indices")
        self.iSize = Storage([0] * sizes)

    def _settle(self) -> None:
        pass

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor | None:
        if self.gradInput is None:
            return None
        if self._cache is None or self._cache[0] is not input:
            self._cache = input, None
        return super().updateGradInput(input, gradOutput)

    def clearState(self) -> _Maxima:
        utils.clear(self, "_gradOutput")
        return super().clearState()


class SpatialMaxPooling(_Maxima, nn.SpatialMaxPooling, typename="cudnn.SpatialMaxPooling"):  # type: ignore[misc]
    """:class:`luann.nn.SpatialMaxPooling`: the same function, arguments, input and output, without ``indices``."""

    def __init__(
        self,
        kW: int,
        kH: int,
        dW: int | None = None,
        dH: int | None = None,
        padW: int | None = None,
        padH: int | None = None,
    ) -> None:
        super().__init__(kW, kH, dW, dH, padW, padH)
        self._start(4)


class VolumetricMaxPooling(_Maxima, nn.VolumetricMaxPooling, typename="cudnn.VolumetricMaxPooling"):  # type: ignore[misc]
    """:class:`luann.nn.VolumetricMaxPooling`: the same function, arguments, input and output, without ``indices``."""

    _version = 1

    def __init__(
        self,
        kT: int,
        kW: int,
        kH: int,
        dT: int | None = None,
        dW: int | None = None,
        dH: int | None = None,
        padT: int | None = None,
        padW: int | None = None,
        padH: int | None = None,
    ) -> None:
        super().__init__(kT, kW, kH, dT, dW, dH, padT, padW, padH)
        self._start(5)

    def __tostring__(self) -> str:
        return self._typename


class _Means(_Windows):
    """Average pooling with cudnn's fields."""

    ceil_mode = False
    count_include_pad = True
    divide = True

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        return kernels.average_pool_into(self.output, input, self._settings(), self.count_include_pad)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor | None:
        if self.gradInput is None:
            return None
        return kernels.average_pool_backward(
            self.gradInput, gradOutput, input, self._settings(), self.count_include_pad
        )

    def clearState(self) -> _Means:
        utils.clear(self, "_gradOutput")
        return super().clearState()


class SpatialAveragePooling(_Means, nn.SpatialAveragePooling, typename="cudnn.SpatialAveragePooling"):
    """:class:`luann.nn.SpatialAveragePooling`: the same function, input and output.

    Args:
        kW, kH: window width and height.
        dW, dH: steps, by default kW and kH, unlike there.
        padW, padH: zeros added on each side, default 0.

    ``count_include_pad`` is nil until it is set, which is true; ``divide`` is not a setting here.
    """

    def __init__(
        self,
        kW: int,
        kH: int,
        dW: int | None = None,
        dH: int | None = None,
        padW: int | None = None,
        padH: int | None = None,
    ) -> None:
        super().__init__(kW, kH, given(dW, kW), given(dH, kH), padW, padH)
        for name in ("count_include_pad", "divide"):
            del self.__dict__[name]
        self.iSize = Storage([0] * 4)


class VolumetricAveragePooling(_Means, nn.VolumetricAveragePooling, typename="cudnn.VolumetricAveragePooling"):
    """:class:`luann.nn.VolumetricAveragePooling` with padding, over which the mean is, too.

    Input: planes x T x H x W, or a batch of these. Output: the same number of planes, of ``⌊(T + 2 padT - kT) / dT⌋ +
    1`` by the same of H by the same of W; after :meth:`ceil` rounded up.

    Args:
        kT, kW, kH: window depth, width and height.
        dT, dW, dH: steps, by default kT, kW and kH.
        padT, padW, padH: zeros added on each side, default 0, at most half the window.
    """

    padT = padW = padH = 0

    def __init__(
        self,
        kT: int,
        kW: int,
        kH: int,
        dT: int | None = None,
        dW: int | None = None,
        dH: int | None = None,
        padT: int | None = None,
        padW: int | None = None,
        padH: int | None = None,
    ) -> None:
        super().__init__(kT, kW, kH, dT, dW, dH)
        self.padT, self.padW, self.padH = given(padT, 0), given(padW, 0), given(padH, 0)
        self.iSize = Storage([0] * 5)
        self.ceil_mode = False

    def ceil(self) -> VolumetricAveragePooling:
        """Round the output's size up; returns the module."""
        self.ceil_mode = True
        return self

    def floor(self) -> VolumetricAveragePooling:
        """Round the output's size down; returns the module."""
        self.ceil_mode = False
        return self

    def _settings(self) -> tuple:
        kernel, stride, _, dilation, _ = super()._settings()
        return kernel, stride, (self.padT, self.padH, self.padW), dilation, self.ceil_mode

    def __tostring__(self) -> str:
        return self._typename
