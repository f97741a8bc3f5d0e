"""Fractional max pooling: windows whose steps are drawn at random, so that the size shrinks by any factor."""

from __future__ import annotations

import math
from typing import Any

import torch

from ... import random
from ...errors import ArgumentError
from .._kernels import resized
from .._object import need_tensor
from ._places import _KeepsPlaces


class _FractionalMaxPooling(_KeepsPlaces):
    """Names, sizes and steps are told by dimension, in Torch7's order of arguments: T, W, H."""

    _pool: Any = None
    _dimensions = ""
    """The letters of the constructor's arguments. A plane's dimensions are these from the last to the first."""

    randomSamples: torch.Tensor | None = None
    newRandomPool = False
    outT: int | None = None
    outW: int | None = None
    outH: int | None = None
    ratioT: float | None = None
    ratioW: float | None = None
    ratioH: float | None = None

    def __init__(self, sizes: tuple[int, ...], reductions: tuple[float, ...]) -> None:
        super().__init__()
        if not all(isinstance(n, int) and n >= 2 for n in sizes):
            raise ArgumentError(f"{self._typename}: windows must have whole sizes from 2 on, got {sizes}")
        exact = all(isinstance(r, int) and r >= 1 for r in reductions)
        if not exact and not all(0 < r < 1 for r in reductions):
            raise ArgumentError(f"{self._typename}: wanted output sizes, or ratios between 0 and 1; got {reductions}")
        self.newRandomPool = False
        for letter, size, reduction in zip(self._dimensions, sizes, reductions):
            setattr(self, f"poolSize{letter}", size)
            setattr(self, f"{'out' if exact else 'ratio'}{letter}", reduction)

    def fixPoolingRegions(self, val: bool | None = None) -> Any:
        """Keep the windows from now on, instead of drawing new ones in each forward; ``False`` undoes it.

        Returns:
            The module.
        """
        self.newRandomPool = val is not False
        return self

    def _sizes(self, input: torch.Tensor) -> tuple[list[int], list[int]]:
        """The windows' and the outputs' sizes, in the order of the input's dimensions."""
        windows, outputs = [], []
        for letter, n in zip(reversed(self._dimensions), input.shape[-self._plane :]):
            windows.append(getattr(self, f"poolSize{letter}"))
            ratio = getattr(self, f"ratio{letter}")
            outputs.append(getattr(self, f"out{letter}") if ratio is None else math.floor(n * ratio))
        return windows, outputs

    def _samples(self, input: torch.Tensor) -> torch.Tensor:
        """A random number for each plane and dimension, drawn anew unless the windows are to be kept."""
        batch = input.dim() == self._plane + 2
        size = (input.shape[0] if batch else 1, input.shape[-self._plane - 1], self._plane)
        if self.randomSamples is None:
            self.randomSamples = input.new_empty(0)
        if self.randomSamples.shape != size or not self.newRandomPool:
            random.uniform(resized(self.randomSamples, size))
        return self.randomSamples

    def _diagnose(self, input: torch.Tensor) -> None:
        names = " x ".join(reversed(self._dimensions))
        fits = need_tensor(input).dim() - self._plane in (1, 2)
        self._want(fits, f"planes x {names}, or a batch of these", input)
        windows, outputs = self._sizes(input)
        least = [window + max(output, 1) for window, output in zip(windows, outputs)]
        fits = min(outputs) > 0 and all(n >= m for n, m in zip(input.shape[-self._plane :], least))
        self._want(fits, f"{names} of at least window and output together, {'x'.join(map(str, least))}", input)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        windows, outputs = self._sizes(input)
        if not 1 <= input.dim() - self._plane <= 2 or not min(outputs):
            self._diagnose(input)
        samples = self._samples(input)
        size = (*input.shape[: -self._plane], *outputs)
        places = torch.empty(size, dtype=torch.int64, device=input.device)
        self._pool(input, windows, outputs, samples, out=(resized(self.output, size), places))
        self._cache = input, places
        return self.output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        return self._spread(input, gradOutput)

    def clearState(self) -> Any:
        super().clearState()
        self.indices = self.randomSamples = None
        return self

    def __tostring__(self) -> str:
        outputs = [getattr(self, f"out{d}") or int(getattr(self, f"ratio{d}")) for d in self._dimensions]
        windows = [getattr(self, f"poolSize{d}") for d in self._dimensions]
        # Torch7 prints the first of what it was given: two windows of three
        return f"{self._typename}({'x'.join(map(str, outputs))}, {','.join(map(str, windows))})"


class SpatialFractionalMaxPooling(_FractionalMaxPooling):
    """The maxima of windows whose steps are drawn at random, plane by plane, so that the output has the size wanted.

    Input: planes x H x W, or a batch of these. Output: planes x outH x outW, or a batch; with ratios, outH is ``⌊ratioH
    H⌋`` and outW ``⌊ratioW W⌋``. Window and output together must not be larger than the input. In evaluation the
    windows are drawn, too.

    Args:
        poolSizeW, poolSizeH: window width and height, from 2 on.
        arg1, arg2: output width and height, or the ratios of output to input, between 0 and 1.

    ``randomSamples`` holds the numbers drawn, ``indices`` the places of the maxima in their planes, counted from 1.
    """

    _dimensions = "WH"
    _pool = staticmethod(torch._C._nn.fractional_max_pool2d)

    def __init__(self, poolSizeW: int, poolSizeH: int, arg1: float, arg2: float) -> None:
        super().__init__((poolSizeW, poolSizeH), (arg1, arg2))


class VolumetricFractionalMaxPooling(_FractionalMaxPooling):
    """:class:`SpatialFractionalMaxPooling` over volumes.

    Input: planes x H x W x T, or a batch of these: the time comes last here. Output: planes x outH x outW x outT, or a
    batch.

    Args:
        poolSizeT, poolSizeW, poolSizeH: window depth, width and height, from 2 on.
        arg1, arg2, arg3: output depth, width and height, or the ratios of output to input, between 0 and 1.
    """

    _dimensions = "TWH"
    _plane = 3

    def __init__(self, poolSizeT: int, poolSizeW: int, poolSizeH: int, arg1: float, arg2: float, arg3: float) -> None:
        super().__init__((poolSizeT, poolSizeW, poolSizeH), (arg1, arg2, arg3))

    @staticmethod
    def _pool(input: torch.Tensor, windows: list, outputs: list, samples: torch.Tensor, out: tuple) -> None:
        # PyTorch's samples stand in the order of the dimensions, Torch7's in that of the arguments
        torch._C._nn.fractional_max_pool3d(input, windows, outputs, samples.flip(-1), out=out)
