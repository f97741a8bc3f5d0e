"""Layers that change the shape of their input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from ..errors import ArgumentError
from ..types import Storage
from . import utils
from ._kernels import resized
from ._object import given, need_number, need_size, need_tensor
from .module import Module


class _Reshaping(Module):
    """What layers share that only put other sizes on their input: the way back."""

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        return self.gradInput.set_(self._sized(gradOutput, input.shape))


class View(_Reshaping):
    """The input with other sizes, over the same memory.

    Input: as many elements as the sizes say, or a multiple, which is then a batch: the output gets a first dimension
    more. A size of -1 is inferred; say with :meth:`setNumInputDims` how many dimensions a sample has where a batch must
    be told from a sample. Memory layout: as ``torch.Tensor.view`` needs it, contiguous.

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
        return self.output.set_((input.contiguous() if self._last else input).view(self._target(input)))

    def __tostring__(self) -> str:
        return f"{self._typename}({', '.join(str(n) for n in self.size)})"


class Reshape(_Reshaping):
    """The input with other sizes, over the same memory if it is contiguous, else copied.

    Input: as many elements as the sizes say, or a batch of such samples: the output gets the batch as first dimension.
    With as many elements and a first dimension of 1 it is a batch of one, unless ``batchMode`` says otherwise.

    Args:
        sizes: whole numbers, or one sequence of them.
        batchMode: a boolean after the sizes: every input is a batch, or none is. Default: by the number of elements.
    """

    batchMode: bool | None = None

    def __init__(self, *sizes: int | Sequence[int] | bool) -> None:
        super().__init__()
        numbers: list[Any] = [n for n in sizes if n is not None]
        if numbers and isinstance(numbers[-1], bool):
            self.batchMode = numbers.pop()
        if len(numbers) == 1 and not isinstance(numbers[0], int):
            numbers = list(numbers[0])
        if not numbers or not all(isinstance(n, int) and (n > 0 or n == -1) for n in numbers):
            raise ArgumentError(f"{self._typename}: sizes are whole numbers from 1 on, or -1; got {list(sizes)}")
        self.size = Storage(numbers)
        self.batchsize = Storage([0, *numbers])
        self.nelement = math.prod(numbers)

    def _diagnose(self, input: torch.Tensor) -> None:
        size = tuple(self.size)
        sample = input.shape if self.batchMode is False else input.shape[1:]
        fits = math.prod(sample) == self.nelement or -1 in size
        self._want(fits, f"elements for {'x'.join(map(str, size))}, or a batch of such", need_tensor(input))

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        cached = self._cache
        shape, mode = input.shape, self.batchMode
        if cached is None or cached[0] is not self.size or cached[1] != shape or cached[2] is not mode:
            one = mode is False or (mode is None and input.numel() == self.nelement and shape[0] != 1)
            target = tuple(self.size) if one else (shape[0], *self.size)
            self._cache = cached = self.size, shape, mode, target
        return self.output.set_(input.contiguous().view(cached[3]))

    def clearState(self) -> Reshape:
        utils.clear(self, "_input", "_gradOutput")  # Torch7's own
        return super().clearState()

    def __tostring__(self) -> str:
        return f"{self._typename}({'x'.join(str(n) for n in self.size)})"


class Collapse(_Reshaping):
    """All dimensions of a sample made one, over the same memory if the input is contiguous, else copied.

    Input: nInputDim dimensions, which become a vector, or more, of which the first is the batch and the others become
    one.

    Args:
        nInputDim: the dimensions of a sample.
    """

    def __init__(self, nInputDim: int) -> None:
        super().__init__()
        need_size(self, nInputDim=nInputDim)
        self.nInputDim = nInputDim

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        batch = input.dim() > self.nInputDim
        return self.output.set_(input.contiguous().flatten(1 if batch else 0))

    def clearState(self) -> Collapse:
        utils.clear(self, "_input")  # Torch7's own
        return super().clearState()


class Squeeze(_Reshaping):
    """The input without its dimensions of size 1, or without one of them, over the same memory.

    A batch of one stays a batch if ``numInputDims`` tells it. Where every dimension would go, a vector of one element
    is left.

    Args:
        dim: the dimension to drop if its size is 1, from 1; default all.
        numInputDims: the dimensions of a sample; with one more, the first is the batch.
    """

    dim: int | None = None
    numInputDims: int | None = None

    def __init__(self, dim: int | None = None, numInputDims: int | None = None) -> None:
        super().__init__()
        if dim is not None:
            need_size(self, dim=dim)
            self.dim = dim
        if numInputDims is not None:
            self.setNumInputDims(numInputDims)

    def setNumInputDims(self, numInputDims: int | None) -> Squeeze:
        """Say how many dimensions a sample has; returns the module."""
        if numInputDims is not None:
            need_size(self, numInputDims=numInputDims)
        self.numInputDims = numInputDims
        return self

    def _diagnose(self, input: torch.Tensor) -> None:
        dims = self.dim or 1
        self._want(need_tensor(input).dim() >= dims, f"{dims} dimensions at least", input)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        batch = self.numInputDims is not None and input.dim() == self.numInputDims + 1
        if self.dim is not None:
            result = input.squeeze(self.dim - 1 + batch)
        else:
            result = input.squeeze()
            if batch and input.shape[0] == 1:
                result = result.unsqueeze(0)
        return self.output.set_(result if result.dim() else result.view(1))


class Unsqueeze(_Reshaping):
    """The input with a dimension of size 1 more, over the same memory.

    Args:
        pos: the place of the new dimension in a sample, from 1.
        numInputDims: the dimensions of a sample; those that an input has beyond are the batch. Default: as many
            as the first input has, which are remembered.
    """

    numInputDims: int | None = None

    def __init__(self, pos: int, numInputDims: int | None = None) -> None:
        super().__init__()
        need_size(self, pos=pos)
        self.pos = pos
        if numInputDims is not None:
            self.setNumInputDims(numInputDims)

    def setNumInputDims(self, numInputDims: int | None) -> Unsqueeze:
        """Say how many dimensions a sample has; returns the module."""
        if numInputDims is not None:
            need_size(self, numInputDims=numInputDims)
        self.numInputDims = numInputDims
        return self

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        dims = input.dim()
        if self.numInputDims is None:
            self.numInputDims = dims
        fits = dims >= self.numInputDims >= self.pos - 1
        self._want(fits, f"{self.numInputDims} dimensions or more, for a new one at {self.pos}", input)
        return self.output.set_(input.unsqueeze(dims - self.numInputDims + self.pos - 1))

    def __tostring__(self) -> str:
        return f"{self._typename}(dim {self.pos})"


class Replicate(Module):
    """The input repeated along a new dimension, over the same memory: a step there moves nowhere.

    Args:
        nf: how many times.
        dim: the place of the new dimension in a sample, from 1; default 1.
        ndim: the dimensions of a sample; an input with more is a batch. Default: no input is a batch.
    """

    dim = 1  # older files lack it
    ndim: int | None = None

    def __init__(self, nf: int, dim: int | None = None, ndim: int | None = None) -> None:
        super().__init__()
        self.nfeatures = nf
        self.dim = given(dim, 1)
        need_size(self, nf=nf, dim=self.dim)
        if ndim is not None:
            self.ndim = ndim

    def _place(self, input: torch.Tensor) -> int:
        """The new dimension, counted from 0."""
        self._want(self.dim <= input.dim() + 1, f"{self.dim - 1} dimensions or more", input)
        return self.dim - 1 + (self.ndim is not None and input.dim() > self.ndim)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        place, shape = self._place(input), input.shape
        return self.output.set_(input.unsqueeze(place).expand(*shape[:place], self.nfeatures, *shape[place:]))

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        place, shape = self._place(input), input.shape
        gradOutput = self._sized(gradOutput, (*shape[:place], self.nfeatures, *shape[place:]))
        return torch.sum(gradOutput, place, out=resized(self.gradInput, shape))


class Transpose(Module):
    """The input with dimensions exchanged, one pair after the other; a copy.

    Args:
        permutations: pairs of dimensions, from 1.
    """

    numInputDims: int | None = None

    def __init__(self, *permutations: Sequence[int]) -> None:
        super().__init__()
        pairs = [list(pair) if isinstance(pair, (list, tuple, Storage)) else pair for pair in permutations]
        for pair in pairs:
            if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(n, int) and n > 0 for n in pair):
                raise ArgumentError(f"{self._typename}: pairs of dimensions from 1 on are wanted, got {pair!r}")
        self.permutations = pairs

    def setNumInputDims(self, numInputDims: int | None) -> Transpose:
        """Say how many dimensions a sample has; those that an input has beyond are the batch. Returns the module."""
        self.numInputDims = numInputDims
        return self

    def _exchanged(self, tensor: torch.Tensor, pairs: Any) -> torch.Tensor:
        first = 0 if self.numInputDims is None else tensor.dim() - self.numInputDims
        for a, b in pairs:
            tensor = tensor.transpose(a + first - 1, b + first - 1)
        return tensor

    def _diagnose(self, input: torch.Tensor) -> None:
        most = max((max(pair) for pair in self.permutations), default=0)
        dims = need_tensor(input).dim()
        fits = dims >= (self.numInputDims or 0) and (self.numInputDims or dims) >= most
        self._want(fits, f"{self.numInputDims or most} dimensions or more, to exchange {self.permutations}", input)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        result = self._exchanged(input, self.permutations)
        return resized(self.output, result.shape).copy_(result)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        result = self._exchanged(gradOutput, reversed(self.permutations))
        return resized(self.gradInput, result.shape).copy_(result)


class Padding(Module):
    """The input with ``|pad|`` entries of a value put into one dimension.

    They come before entry ``index`` if ``pad`` is negative, after the ``index``-th entry from the end if it is
    positive, so that by default they stand in front or behind.

    Args:
        dim: the dimension, from 1, counted in a sample.
        pad: how many entries, and where.
        nInputDim: the dimensions of a sample; an input with another number is a batch. Default: no input is a batch.
        value: default 0.
        index: from 1, the default, to the size of the dimension plus 1.
    """

    nInputDim: int | None = None
    index = 1  # older files lack it

    def __init__(
        self,
        dim: int,
        pad: int,
        nInputDim: int | None = None,
        value: float | None = None,
        index: int | None = None,
    ) -> None:
        super().__init__()
        self.value = given(value, 0)
        self.index = given(index, 1)
        self.dim = dim
        self.pad = pad
        need_size(self, dim=dim, index=self.index)
        need_number(self, pad=pad, value=self.value)
        if nInputDim is not None:
            need_size(self, nInputDim=nInputDim)
            self.nInputDim = nInputDim
        self.outputSize = Storage([])

    def _parts(self, input: torch.Tensor) -> tuple[int, int, int, torch.Size]:
        """The dimension, how many entries lie before the padding, how many behind it, and the size of the output."""
        dim = self.dim - 1 + (self.nInputDim is not None and input.dim() != self.nInputDim)
        self._want(dim < input.dim(), f"{dim + 1} dimensions or more", input)
        size = input.shape[dim]
        before = size - self.index + 1 if self.pad > 0 else self.index - 1
        self._want(0 <= before <= size, f"a size of {self.index - 1} or more in dimension {dim + 1}", input)
        shape = input.shape
        return dim, before, size - before, torch.Size((*shape[:dim], size + abs(self.pad), *shape[dim + 1 :]))

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        dim, before, behind, size = self._parts(input)
        pad = abs(self.pad)
        output = resized(self.output, size)
        output.narrow(dim, before, pad).fill_(self.value)
        output.narrow(dim, 0, before).copy_(input.narrow(dim, 0, before))
        output.narrow(dim, before + pad, behind).copy_(input.narrow(dim, before, behind))
        return output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        dim, before, behind, size = self._parts(input)
        gradOutput = self._sized(gradOutput, size)
        gradInput = resized(self.gradInput, input.shape)
        gradInput.narrow(dim, 0, before).copy_(gradOutput.narrow(dim, 0, before))
        gradInput.narrow(dim, before, behind).copy_(gradOutput.narrow(dim, before + abs(self.pad), behind))
        return gradInput
