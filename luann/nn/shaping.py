"""Layers that change the shape of their input, or choose parts of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from ..errors import ArgumentError
from ..types import Storage
from .module import Module


class View(Module):
    """The input with other sizes, over the same memory.

    Input: as many elements as the sizes say, or a multiple, which is then a batch: the output gets a first dimension more.
    A size of -1 is inferred; say with :meth:`setNumInputDims` how many dimensions a sample has where a batch must be told
    from a sample. Memory layout: as ``torch.Tensor.view`` needs it, contiguous.

    Args:
        sizes: whole numbers, or one sequence of them; at most one is -1.
    """

    numElements: int | None = None  # older files lack it
    numInputDims: int | None = None

    def __init__(self, *sizes: int | Sequence[int]) -> None:
        super().__init__()
        self.resetSize(*sizes)

    def resetSize(self, *sizes: int | Sequence[int]) -> View:
        """Set other sizes; returns the module."""
        given = sizes[0] if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes
        self.size = given if isinstance(given, Storage) else Storage(given)
        known = [n for n in self.size if n != -1]
        if min(known, default=1) < 0 or len(self.size) - len(known) > 1 or not self.size:
            raise ArgumentError(f"nn.View: sizes are from 0 on, one of them may be -1; got {list(self.size)}")
        self.numElements = math.prod(known)
        self._cache = None
        return self

    def setNumInputDims(self, numInputDims: int) -> View:
        """Say how many dimensions one sample has; what the input has beyond is a batch. Returns the module."""
        self.numInputDims = numInputDims
        return self

    def _target(self, input: torch.Tensor) -> tuple[int, ...]:
        """The sizes of the output, a batch dimension included."""
        cached = self._cache
        shape = input.shape
        if cached is not None and cached[0] is self.size and cached[1] == shape and cached[2] == self.numInputDims:
            return cached[3]
        size = tuple(self.size)
        elements = math.prod(n for n in size if n != -1)
        sample = len(shape) if self.numInputDims is None else self.numInputDims
        first = max(len(shape) - sample, 0)
        inner = math.prod(shape[first:])
        self._want(
            inner % elements == 0 if elements else inner == 0,
            f"elements for a view of {'x'.join(map(str, size))}, or for several",
            input,
        )
        batch = 1 if -1 in size or not elements else inner // elements
        batch *= math.prod(shape[:first])
        one = batch == 1 and (self.numInputDims is None or len(shape) <= self.numInputDims)
        target = size if one else (batch, *size)
        self._cache = self.size, shape, self.numInputDims, target
        return target

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        return self.output.set_(input.view(self._target(input)))

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        return self.gradInput.set_(gradOutput.reshape(input.shape))

    def __tostring__(self) -> str:
        return f"{self._typename}({', '.join(str(n) for n in self.size)})"
