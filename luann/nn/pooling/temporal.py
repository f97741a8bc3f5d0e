"""Pooling over sequences."""

from __future__ import annotations

import math

import torch

from ...errors import ArgumentError
from .._kernels import resized
from .._object import given, need_size, need_tensor
from ..module import Module
from . import _kernels as kernels
from ._places import KeepsPlaces

_SEQUENCES = "frames x features, or a batch of these"


class _TemporalPooling(KeepsPlaces, Module):
    """Pooling over the frames of a sequence; places are numbers of frames."""

    def _diagnose(self, input: torch.Tensor) -> None:
        self._want(need_tensor(input).dim() in (2, 3), _SEQUENCES, input)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor | None:
        if self.gradInput is None:
            return None
        return resized(self.gradInput, input.shape).zero_().scatter_add_(-2, self._places(input.shape), gradOutput)


class TemporalMaxPooling(_TemporalPooling):
    """The maximum of each window of kW frames, feature by feature.

    Input: frames x features, or a batch of these. Output: ``⌊(frames - kW) / dW⌋ + 1`` frames of as many features, or a batch.

    Args:
        kW: frames in a window.
        dW: step, default kW.

    ``indices`` holds the number of each maximum within its window; unlike elsewhere, it counts from 0.
    """

    def __init__(self, kW: int, dW: int | None = None) -> None:
        super().__init__()
        self.kW, self.dW = kW, given(dW, kW)
        need_size(self, kW=kW, dW=self.dW)

    def _begin(self, places: torch.Tensor) -> torch.Tensor:
        """The first frame of each window."""
        return torch.arange(0, self.dW * places.shape[-2], self.dW, device=places.device)[:, None]

    def _to_indices(self, places: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        return places - self._begin(places)

    def _from_indices(self, indices: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        return indices + self._begin(indices)

    def _diagnose(self, input: torch.Tensor) -> None:
        super()._diagnose(input)
        self._want(input.shape[-2] >= self.kW, f"at least {self.kW} frames", input)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        # an image of width 1 with a plane for each feature, which the sequence is, channels last
        image = (input if input.dim() == 3 else input.unsqueeze(0)).transpose(1, 2).unsqueeze(3)
        settings = (self.kW, 1), (self.dW, 1), (0, 0), (1, 1), False
        values, places = (t.squeeze(3).transpose(1, 2).contiguous() for t in kernels.max_pool(image, settings))
        if input.dim() == 2:
            values, places = values.squeeze(0), places.squeeze(0)
        self._cache = input, places
        return self.output.set_(values)


class TemporalDynamicKMaxPooling(_TemporalPooling):
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
        k = max(self.minK, math.ceil(self.factor * input.shape[-2]))
        places = torch.topk(input, k, -2, sorted=False)[1].sort(-2)[0]
        self._cache = input, places
        return torch.gather(input, -2, places, out=resized(self.output, places.shape))
