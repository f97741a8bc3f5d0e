"""Full convolutions, also called transposed: every input spreads the kernel over the output."""

from __future__ import annotations

from typing import Any

import torch

from ...errors import ArgumentError
from .._object import given
from ._base import _Convolution, commas


class _FullConvolution(_Convolution):
    """Full convolutions over images and volumes; their input may be a tensor or a list [tensor, target]."""

    def __init__(self, nInputPlane: int, nOutputPlane: int, adjustment: dict[str, int | None], **axes: tuple) -> None:
        super().__init__(nInputPlane, nOutputPlane, **axes)
        for name, value in adjustment.items():
            value, step = given(value, 0), getattr(self, name.replace("adj", "d"))
            self._need_whole(**{name: value})
            if value >= step:
                raise ArgumentError(f"{self._typename}: {name} must be less than the step, {step}, got {value}")
            setattr(self, name, value)
        self._allocate((nInputPlane, nOutputPlane, *self._k(self)), (nOutputPlane,))

    def _opened(self, input: Any) -> tuple[torch.Tensor, tuple]:
        if isinstance(input, (list, tuple)):
            input, target = input
            sizes = target.shape[-len(self._axes) :]
            geometry = zip(sizes, self._k(self), self._pad(self), self._d(self))
            adjustment = tuple([(size + 2 * p - k) % d for size, k, p, d in geometry])
        else:
            adjustment = self._adj(self)
        return input, (self._d(self), self._pad(self), self._ones, True, adjustment, 1)

    def _smallest(self) -> list[int]:
        geometry = zip(self._k(self), self._d(self), self._pad(self), self._adj(self))
        return [max(1, -(-(1 + 2 * p - k - a) // d) + 1) for k, d, p, a in geometry]

    def _diagnose(self, input: Any) -> None:
        super()._diagnose(input[0] if isinstance(input, (list, tuple)) and len(input) == 2 else input)

    def _differentiated(self, input: Any, gradOutput: torch.Tensor, mask: list[bool], scale: float = 1) -> Any:
        held = self.gradInput
        if mask[0] and isinstance(held, list):
            self.gradInput = held[0] if held else gradOutput.new_empty(0)
        result = super()._differentiated(input, gradOutput, mask, scale)
        if mask[0] and isinstance(input, (list, tuple)):
            pair = held if isinstance(held, list) else []
            pair[:] = [result, input[1].new_zeros(1).expand(input[1].shape)]
            self.gradInput = result = pair
        return result

    def _more(self) -> str:
        adjustment = self._numbers("adj")
        return f", {commas(adjustment)}" if any(adjustment) else ""


class SpatialFullConvolution(_FullConvolution, axes="WH"):
    """2D full (transposed) convolution: the gradient of a :class:`SpatialConvolution` with respect to its input, as a
    layer.

    Input: nInputPlane x H x W, or a batch of these. Output: nOutputPlane planes of ``(H - 1) dH - 2 padH + kH + adjH``
    by the same of W. The input may also be a list [tensor, target]: then ``target`` says by its last two sizes which
    adjW and adjH to take, and ``gradInput`` is the list [gradient, zeros].

    Args:
        nInputPlane, nOutputPlane: numbers of planes.
        kW, kH: kernel width and height.
        dW, dH: steps over the output, default 1.
        padW, padH: rows and columns cut from each side of the output, default 0.
        adjW, adjH: columns and rows added to the output, default 0; less than dW and dH.

    ``weight`` (nInputPlane x nOutputPlane x kH x kW) and ``bias`` are drawn uniformly between ±1/√(kW kH nInputPlane).
    """

    adjW = adjH = 0  # older files lack them

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
        adjW: int | None = None,
        adjH: int | None = None,
    ) -> None:
        adjustment = {"adjW": adjW, "adjH": adjH}
        super().__init__(nInputPlane, nOutputPlane, adjustment, W=(kW, dW, padW), H=(kH, dH, padH))
        self.ones = torch.empty(0)


class VolumetricFullConvolution(_FullConvolution, axes="TWH"):
    """3D full (transposed) convolution: the gradient of a :class:`VolumetricConvolution` with respect to its input, as
    a layer.

    Input: nInputPlane x T x H x W, or a batch of these. Output: nOutputPlane volumes of
    ``(T - 1) dT - 2 padT + kT + adjT`` by the same of H and W. The input may also be a list [tensor, target]: then
    ``target`` says by its last three sizes which adjT, adjW and adjH to take, and ``gradInput`` is the list [gradient,
    zeros].

    Args:
        nInputPlane, nOutputPlane: numbers of volumes.
        kT, kW, kH: kernel length in time, width and height.
        dT, dW, dH: steps over the output, default 1.
        padT, padW, padH: what is cut from each side of the output, default 0.
        adjT, adjW, adjH: what is added to the output, default 0; less than dT, dW and dH.

    ``weight`` (nInputPlane x nOutputPlane x kT x kH x kW) and ``bias`` are drawn uniformly between ±1/√(kT kW kH
    nInputPlane).
    """

    adjT = adjW = adjH = 0  # older files lack them
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
        adjT: int | None = None,
        adjW: int | None = None,
        adjH: int | None = None,
    ) -> None:
        adjustment = {"adjT": adjT, "adjW": adjW, "adjH": adjH}
        axes = {"T": (kT, dT, padT), "W": (kW, dW, padW), "H": (kH, dH, padH)}
        super().__init__(nInputPlane, nOutputPlane, adjustment, **axes)
        self.ones = torch.empty(0)
        self.finput = torch.empty(0)
        self.fgradInput = torch.empty(0)

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        own = self.__dict__
        for axis in "TWH":  # once called pT, pW and pH
            own.setdefault(f"pad{axis}", own.get(f"p{axis}", 0))
        if "adjW" not in own:  # as old as that, it has its output planes first
            for name in ("weight", "gradWeight"):
                tensor = getattr(self, name)
                if tensor is not None:
                    setattr(self, name, tensor.transpose(0, 1).contiguous())
