"""Pooling over sequences."""

from __future__ import annotations

import math

import torch

from ...errors import ArgumentError
from .. import utils
from .._kernels import resized
from .._object import given, need_size, need_tensor
from ..module import Module
from ._places import _KeepsPlaces


class _TemporalPooling(Module):
    """Pooling over the frames of a sequence."""

    def _places(self, shape: tuple[int, ...]) -> torch.Tensor:
        """The frames of the values in the last output, counted from 0. ``shape`` is the input's."""
        raise NotImplementedError

    def _diagnose(self, input: torch.Tensor) -> None:
        self._want(need_tensor(input).dim() in (2, 3), "frames x features, or a batch of these", input)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor | None:
        if self.gradInput is None:
            return None
        gradInput = resized(self.gradInput, input.shape).zero_()
        places = self._places(input.shape)
        return gradInput.scatter_add_(-2, places, self._sized(gradOutput, places.shape))


class TemporalMaxPooling(_TemporalPooling):
    """The maximum of each window of kW frames, feature by feature.

    Input: frames x features, or a batch of these. Output: ``⌊(frames - kW) / dW⌋ + 1`` frames of as many features, or a
    batch.

    Args:
        kW: frames in a window.
        dW: step, default kW.

    ``indices`` holds the number of each maximum within its window; unlike elsewhere, it counts from 0.
    """

    indices: torch.Tensor | None = None

    def __init__(self, kW: int, dW: int | None = None) -> None:
        super().__init__()
        self.kW, self.dW = kW, given(dW, kW)
        need_size(self, kW=kW, dW=self.dW)

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        if self.indices is not None:  # once a tensor like any other
            self.indices = self.indices.long()

    def _places(self, shape: tuple[int, ...]) -> torch.Tensor:
        indices = self.indices
        frames = indices.shape[-2]
        return indices + torch.arange(0, frames * self.dW, self.dW, device=indices.device)[:, None]

    def _diagnose(self, input: torch.Tensor) -> None:
        super()._diagnose(input)
        self._want(input.shape[-2] >= self.kW, f"at least {self.kW} frames", input)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        if input.dim() not in (2, 3):
            self._diagnose(input)
        if self.indices is None:
            self.indices = torch.empty(0, dtype=torch.int64, device=input.device)
        windows = input.unfold(-2, self.kW, self.dW)
        size = windows.shape[:-1]
        torch.max(windows, -1, out=(resized(self.output, size), resized(self.indices, size)))
        return self.output

    def clearState(self) -> TemporalMaxPooling:
        utils.clear(self, "indices")
        return super().clearState()

    def empty(self) -> None:
        """An older name of :meth:`clearState`."""
        self.clearState()


class TemporalDynamicKMaxPooling(_KeepsPlaces, _TemporalPooling):
    """The k largest values of each feature, in the order in which they come.

    Input: frames x features, or a batch of these. Output: k frames of as many features, or a batch, with
    ``k = max(minK, ⌈factor frames⌉)``.

    Args:
        minK: the least k.
        factor: k as a part of the number of frames, default 0.

    ``indices`` holds the frame of each value, counted from 1.
    """

    def __init__(self, minK: int, factor: float | None = None) -> None:
        super().__init__()
        need_size(self, minK=minK)
        self.minK = minK
        self.factor = given(factor, 0)
        if not 0 <= self.factor <= 1:
            raise ArgumentError(f"{self._typename}: factor must be from 0 to 1, got {factor}")

    def _diagnose(self, input: torch.Tensor) -> None:
        super()._diagnose(input)
        self._want(input.shape[-2] >= self.minK, f"at least {self.minK} frames", input)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        if input.dim() not in (2, 3):
            self._diagnose(input)
        k = max(self.minK, math.ceil(self.factor * input.shape[-2]))
        # stable: of equal values the first ones, as Torch7's sort has it for up to 11 frames
        places = torch.sort(input, dim=-2, descending=True, stable=True)[1].narrow(-2, 0, k).sort(-2)[0]
        self._cache = input, places
        return torch.gather(input, -2, places, out=resized(self.output, places.shape))
