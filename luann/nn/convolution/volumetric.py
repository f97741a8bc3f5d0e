"""Convolutions over volumes: images in a row, such as those of a film."""

from __future__ import annotations

from .._object import given, need_size
from ._base import Dilated, _Convolution


class VolumetricConvolution(_Convolution, axes="TWH"):
    """3D convolution (cross-correlation): ``y[o] = bias[o] + Σ_i weight[o][i] ⋆ x[i]``.

    Input: nInputPlane x T x H x W, or a batch of these. Output: nOutputPlane volumes of
    ``⌊(T + 2 padT - kT) / dT⌋ + 1`` by the same of H and W.

    Args:
        nInputPlane, nOutputPlane: numbers of volumes.
        kT, kW, kH: kernel length in time, width and height.
        dT, dW, dH: steps, default 1.
        padT, padW, padH: zeros added on each side; padT defaults to 0, padW to padT, padH to padW.

    ``weight`` (nOutputPlane x nInputPlane x kT x kH x kW) and ``bias`` are drawn uniformly between ±1/√(kT kW kH
    nInputPlane).
    """

    padT = padW = padH = 0  # older files lack them
    _says_bias = False

    def __init__(
        self,
        nInputPlane: int,
        nOutputPlane: int,
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
        padW = given(padW, padT)
        padH = given(padH, padW)
        super().__init__(nInputPlane, nOutputPlane, T=(kT, dT, padT), W=(kW, dW, padW), H=(kH, dH, padH))
        self._allocate((nOutputPlane, nInputPlane, kT, kH, kW), (nOutputPlane,))


class VolumetricDilatedConvolution(Dilated, VolumetricConvolution):
    """3D convolution whose kernel takes every dilationT-th image, every dilationH-th row and every dilationW-th column
    of its window.

    Input: nInputPlane x T x H x W, or a batch of these. Output: nOutputPlane volumes of
    ``⌊(T + 2 padT - dilationT (kT - 1) - 1) / dT⌋ + 1`` by the same of H and W.

    Args:
        nInputPlane, nOutputPlane: numbers of volumes.
        kT, kW, kH: kernel length in time, width and height.
        dT, dW, dH: steps, default 1.
        padT, padW, padH: zeros added on each side; padT defaults to 0, padW to padT, padH to padW.
        dilationT, dilationW, dilationH: default 1, which is :class:`VolumetricConvolution`.

    Parameters as :class:`VolumetricConvolution`.
    """

    _says_bias = True

    def __init__(
        self,
        nInputPlane: int,
        nOutputPlane: int,
        kT: int,
        kW: int,
        kH: int,
        dT: int | None = None,
        dW: int | None = None,
        dH: int | None = None,
        padT: int | None = None,
        padW: int | None = None,
        padH: int | None = None,
        dilationT: int | None = None,
        dilationW: int | None = None,
        dilationH: int | None = None,
    ) -> None:
        super().__init__(nInputPlane, nOutputPlane, kT, kW, kH, dT, dW, dH, padT, padW, padH)
        self.dilationT, self.dilationW, self.dilationH = given(dilationT, 1), given(dilationW, 1), given(dilationH, 1)
        need_size(self, dilationT=self.dilationT, dilationW=self.dilationW, dilationH=self.dilationH)
