"""Pooling over images."""

from __future__ import annotations

import torch

from .. import _kernels as kernels
from .. import utils
from .._object import given, need_size, need_tensor
from ..module import Module


class SpatialMaxPooling(Module):
    """The maximum of each kW x kH window.

    Input: planes x H x W, or a batch of these. Output: the same number of planes, of
    ``⌊(H + 2 padH - kH) / dH⌋ + 1`` by ``⌊(W + 2 padW - kW) / dW⌋ + 1``; after :meth:`ceil` rounded up, less the windows that would
    begin in the padding.

    Args:
        kW, kH: window width and height.
        dW, dH: steps, by default kW and kH.
        padW, padH: padding on each side, which never is the maximum; default 0, at most half the window.

    ``indices`` holds, for each output, the place of its maximum in the plane, counted from 1 along the rows.
    """

    ceil_mode = False
    padW = padH = 0  # older files lack them

    def __init__(
        self,
        kW: int,
        kH: int,
        dW: int | None = None,
        dH: int | None = None,
        padW: int | None = None,
        padH: int | None = None,
    ) -> None:
        super().__init__()
        self.kW, self.kH = kW, kH
        self.dW, self.dH = given(dW, kW), given(dH, kH)
        need_size(self, kW=kW, kH=kH, dW=self.dW, dH=self.dH)
        self.padW, self.padH = given(padW, 0), given(padH, 0)
        self.ceil_mode = False
        self.indices = torch.empty(0, dtype=torch.int64)

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        if "indices" in self.__dict__:  # converted along with everything else by Torch7's float()
            self.__dict__["indices"] = self.__dict__["indices"].long()

    def ceil(self) -> SpatialMaxPooling:
        """Round the output's size up; returns the module."""
        self.ceil_mode = True
        return self

    def floor(self) -> SpatialMaxPooling:
        """Round the output's size down; returns the module."""
        self.ceil_mode = False
        return self

    # PyTorch's kernels count from 0; Torch7's indices are made when somebody asks for them. _cache holds the last input and
    # the places of its maxima, or None for the latter where they were not computed.

    @property
    def indices(self) -> torch.Tensor:
        if self._cache is not None:
            kept = self.__dict__.setdefault("indices", torch.empty(0, dtype=torch.int64))
            kept.set_(self._places(self._cache[0]).contiguous() + 1)
            self._cache = None
        return self.__dict__["indices"]

    @indices.setter
    def indices(self, value: torch.Tensor) -> None:
        self.__dict__["indices"] = value
        self._cache = None

    def _settle(self) -> None:
        self.indices  # noqa: B018  reading it makes it

    def _settings(self) -> tuple:
        return (self.kH, self.kW), (self.dH, self.dW), (self.padH, self.padW), (1, 1), self.ceil_mode

    def _places(self, input: torch.Tensor) -> torch.Tensor:
        """The places of the maxima, counted from 0."""
        if self._cache is None:
            return self.indices - 1
        if self._cache[1] is None:
            self._cache = input, kernels.max_pool2d(input, *self._settings())[1]
        return self._cache[1]

    def _diagnose(self, input: torch.Tensor) -> None:
        fits = need_tensor(input).dim() in (3, 4)
        self._want(fits, "planes x H x W, or a batch of these", input)
        tall, wide = self.kH - 2 * self.padH, self.kW - 2 * self.padW
        self._want(input.shape[-2] >= tall and input.shape[-1] >= wide, f"at least {tall} rows of {wide}", input)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        output = self.output
        if not self.train and self._settings() == ((2, 2), (2, 2), (0, 0), (1, 1), False) and input.is_cpu:
            self._cache = input, None
            return kernels.max_pool_2x2(output, input)
        places = None if self._cache is None else self._cache[1]
        self._cache = input, kernels.max_pool_into(output, places, input, self._settings())
        return output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        gradInput = kernels.resized(self.gradInput, input.shape)
        places = self._places(input)
        return kernels.max_pool2d_backward(gradOutput, input, *self._settings(), places, grad_input=gradInput)

    def clearState(self) -> SpatialMaxPooling:
        utils.clear(self, "indices")
        return super().clearState()

    def __tostring__(self) -> str:
        text = f"{self._typename}({self.kW}x{self.kH}, {self.dW},{self.dH}"
        return text + (f", {self.padW},{self.padH})" if self.padW or self.padH else ")")
