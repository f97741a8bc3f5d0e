"""Pooling over volumes."""

from __future__ import annotations

import torch

from .._object import given, need_size
from . import _kernels as kernels
from ._places import _MaxPooling, _Windows


class VolumetricMaxPooling(_MaxPooling):
    """The maximum of each kT x kW x kH window.

    Input: planes x T x H x W, or a batch of these. Output: the same number of planes, of ``⌊(T + 2 padT - kT) / dT⌋ +
    1`` by the same of H by the same of W; after :meth:`ceil` rounded up, less the windows that would begin in the
    padding (without padding, Torch7 keeps a window beyond the input).

    Args:
        kT, kW, kH: window depth, width and height.
        dT, dW, dH: steps, by default kT, kW and kH.
        padT, padW, padH: padding on each side, which never is the maximum; default 0, at most half the window.

    ``indices`` holds, for each output, the place of its maximum in its window, counted from 0: ``t + 2⁸ h + 2¹⁶ w``.
    """

    _version = 2
    padT = padW = padH = 0
    _plane = 3
    _extent = ("itime", "iheight", "iwidth")

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
        super().__init__()
        self.kT, self.kW, self.kH = kT, kW, kH
        self.dT, self.dW, self.dH = given(dT, kT), given(dW, kW), given(dH, kH)
        need_size(self, kT=kT, kW=kW, kH=kH, dT=self.dT, dW=self.dW, dH=self.dH)
        self.padT, self.padW, self.padH = given(padT, 0), given(padW, 0), given(padH, 0)
        self.ceil_mode = False
        self.indices = torch.empty(0, dtype=torch.int64)

    def _dilation(self) -> tuple[int, int, int]:
        return 1, 1, 1

    def _settings(self) -> tuple:
        return (
            (self.kT, self.kH, self.kW),
            (self.dT, self.dH, self.dW),
            (self.padT, self.padH, self.padW),
            self._dilation(),
            self.ceil_mode,
        )

    def _begin(self, size: torch.Size, device: torch.device) -> list[torch.Tensor]:
        """Where the windows begin in each dimension, shaped to be combined with a tensor of ``size``."""
        _, stride, padding, _, _ = self._settings()
        starts = [torch.arange(n, device=device) * s - p for n, s, p in zip(size[-3:], stride, padding)]
        return [start.view(-1, *[1] * (2 - i)) for i, start in enumerate(starts)]

    def _encode(self, places: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        high, wide = shape[-2:]
        where = places // (high * wide), places // wide % high, places % wide
        begin = self._begin(places.shape, places.device)
        t, h, w = ((p - b) // d for p, b, d in zip(where, begin, self._dilation()))
        return t + (h << 8) + (w << 16)

    def _from_indices(self, indices: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        high, wide = shape[-2:]
        begin = self._begin(indices.shape, indices.device)
        offsets = indices & 255, indices >> 8 & 255, indices >> 16 & 255
        t, h, w = (b + o * d for b, o, d in zip(begin, offsets, self._dilation()))
        return (t * high + h) * wide + w

    def __tostring__(self) -> str:
        text = f"{self._typename}({self.kT}x{self.kW}x{self.kH}, {self.dT},{self.dW},{self.dH}"
        padded = self.padT or self.padW or self.padH
        return text + (f", {self.padT},{self.padW},{self.padH})" if padded else ")")


class VolumetricDilatedMaxPooling(VolumetricMaxPooling):
    """:class:`VolumetricMaxPooling` with steps within the window.

    Input, output: as there, with a window of ``dilation (k - 1) + 1`` in each dimension.

    Args:
        kT, kW, kH, dT, dW, dH, padT, padW, padH: as there.
        dilationT, dilationW, dilationH: steps within the window, default 1.
    """

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
        dilationT: int | None = None,
        dilationW: int | None = None,
        dilationH: int | None = None,
    ) -> None:
        super().__init__(kT, kW, kH, dT, dW, dH, padT, padW, padH)
        self.dilationT, self.dilationW, self.dilationH = (given(d, 1) for d in (dilationT, dilationW, dilationH))
        need_size(self, dilationT=self.dilationT, dilationW=self.dilationW, dilationH=self.dilationH)

    def _dilation(self) -> tuple[int, int, int]:
        return self.dilationT, self.dilationH, self.dilationW

    def __tostring__(self) -> str:
        return f"{super().__tostring__()[:-1]}, {self.dilationT},{self.dilationW},{self.dilationH})"


class VolumetricAveragePooling(_Windows):
    """The mean of each kT x kW x kH window.

    Input: planes x T x H x W, or a batch of these. Output: the same number of planes, of ``⌊(T - kT) / dT⌋ + 1`` by the
    same of H by the same of W.

    Args:
        kT, kW, kH: window depth, width and height.
        dT, dW, dH: steps, by default kT, kW and kH.
    """

    def __init__(
        self,
        kT: int,
        kW: int,
        kH: int,
        dT: int | None = None,
        dW: int | None = None,
        dH: int | None = None,
    ) -> None:
        super().__init__()
        self.kT, self.kW, self.kH = kT, kW, kH
        self.dT, self.dW, self.dH = given(dT, kT), given(dW, kW), given(dH, kH)
        need_size(self, kT=kT, kW=kW, kH=kH, dT=self.dT, dW=self.dW, dH=self.dH)

    def _settings(self) -> tuple:
        return (self.kT, self.kH, self.kW), (self.dT, self.dH, self.dW), (0, 0, 0), (1, 1, 1), False

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        return kernels.average_pool_into(self.output, input, self._settings(), True)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        return kernels.average_pool_backward(self.gradInput, gradOutput, input, self._settings(), True)

    def empty(self) -> VolumetricAveragePooling:
        """An older name of :meth:`clearState`."""
        return self.clearState()

    def __tostring__(self) -> str:
        return f"{self._typename}({self.kT}x{self.kW}x{self.kH}, {self.dT},{self.dW},{self.dH})"
