"""Layers that reduce one dimension to a single entry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..errors import ArgumentError
from . import utils
from ._guard import describe
from ._kernels import resized
from ._object import given, need_size
from .module import Module


class _Reducing(Module):
    """What such layers share: the dimension.

    Args:
        dimension: from 1, or from -1 backwards; default 1.
        nInputDims: the dimensions of a sample; with one more the first is the batch, and a positive
            ``dimension`` counts behind it.
    """

    nInputDims: int | None = None

    def __init__(self, dimension: int | None = None, nInputDims: int | None = None) -> None:
        super().__init__()
        self.dimension = given(dimension, 1)
        if isinstance(self.dimension, bool) or not isinstance(self.dimension, int) or self.dimension == 0:
            raise ArgumentError(
                f"{self._typename}: dimension must count from 1, or from -1 backwards; got {describe(dimension)}"
            )
        if nInputDims is not None:
            need_size(self, nInputDims=nInputDims)
            self.nInputDims = nInputDims

    def _reduced(self, input: torch.Tensor) -> tuple[int, torch.Size]:
        """The dimension, from 0, and the size of the input with a single entry there."""
        cached, shape = self._cache, input.shape
        if cached is not None and cached[:3] == (shape, self.dimension, self.nInputDims):
            return cached[3]
        place, dims = self.dimension, len(shape)
        if place < 0:
            place += dims + 1
        elif self.nInputDims is not None and dims == self.nInputDims + 1:
            place += 1
        self._want(1 <= place <= dims, f"a dimension {self.dimension}", input)
        reduced = place - 1, torch.Size((*shape[: place - 1], 1, *shape[place:]))
        self._cache = shape, self.dimension, self.nInputDims, reduced
        return reduced


class Max(_Reducing):
    """The maximum along one dimension, which goes away; of a vector, a vector of one element.

    Input: any size. The gradient goes to the place of the maximum, the first one of equal ones.

    Args:
        dimension: from 1, or from -1 backwards; default 1.
        nInputDims: the dimensions of a sample; with one more the first is the batch, and a positive
            ``dimension`` counts behind it.

    ``_indices`` holds the places of the maxima, from 1, with the dimension kept.
    """

    _function: Callable[..., Any] = staticmethod(torch.max)
    _indices: torch.Tensor | None = None

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        dim, size = self._reduced(input)
        places = self._indices
        if places is None or places.dtype is not torch.int64 or places.device != input.device:
            self._indices = places = torch.empty(0, dtype=torch.int64, device=input.device)
        output = resized(self.output, size)
        self._function(input, dim, True, out=(output, resized(places, size)))
        places.add_(1)
        return output.squeeze_(dim) if len(size) > 1 else output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        dim, size = self._reduced(input)
        gradInput = resized(self.gradInput, input.shape).zero_()
        assert self._indices is not None  # forward has come before
        return gradInput.scatter_(dim, self._indices - 1, self._sized(gradOutput, size))

    def clearState(self) -> Max:
        utils.clear(self, "_indices", "_output")
        return super().clearState()


class Min(Max):
    """The minimum along one dimension; otherwise as :class:`Max`.

    Args:
        dimension: from 1, or from -1 backwards; default 1.
        nInputDims: the dimensions of a sample; with one more the first is the batch, and a positive
            ``dimension`` counts behind it.
    """

    _function = staticmethod(torch.min)


class Sum(_Reducing):
    """The sum along one dimension, which goes away; of a vector, a vector of one element.

    Input: any size.

    Args:
        dimension: from 1, or from -1 backwards; default 1.
        nInputDims: the dimensions of a sample; with one more the first is the batch, and a positive
            ``dimension`` counts behind it.
        sizeAverage: divide by the size of the dimension; default no.
        squeeze: whether the dimension goes away; default yes. Otherwise it stays, with size 1.
    """

    sizeAverage = False  # older files lack these
    squeeze = True

    def __init__(
        self,
        dimension: int | None = None,
        nInputDims: int | None = None,
        sizeAverage: bool | None = None,
        squeeze: bool | None = None,
    ) -> None:
        super().__init__(dimension, nInputDims)
        if squeeze not in (None, True, False):
            raise ArgumentError(f"{self._typename}: squeeze must be true or false, got {squeeze!r}")
        self.sizeAverage = bool(sizeAverage)
        self.squeeze = squeeze is not False

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        dim, size = self._reduced(input)
        output = resized(self.output, size)
        torch.sum(input, dim, True, out=output)
        if self.sizeAverage:
            output.div_(input.shape[dim])
        return output.squeeze_(dim) if self.squeeze and len(size) > 1 else output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        dim, size = self._reduced(input)
        grad = self._sized(gradOutput, size)
        if self.sizeAverage:
            grad = grad / input.shape[dim]
        return resized(self.gradInput, input.shape).copy_(grad)

    def clearState(self) -> Sum:
        utils.clear(self, "_gradOutput", "_gradInput")  # Torch7's own
        return super().clearState()


class Mean(Sum):
    """The mean along one dimension: :class:`Sum` with ``sizeAverage``.

    Args:
        dimension: from 1, or from -1 backwards; default 1.
        nInputDims: the dimensions of a sample; with one more the first is the batch, and a positive
            ``dimension`` counts behind it.
    """

    sizeAverage = True

    def __init__(self, dimension: int | None = None, nInputDims: int | None = None) -> None:
        super().__init__(dimension, nInputDims, True)
