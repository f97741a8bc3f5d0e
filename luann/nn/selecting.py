"""Layers that choose parts of their input."""

from __future__ import annotations

from typing import Any

import torch

from ..errors import ArgumentError, TensorTypeError
from . import utils
from ._guard import describe
from ._kernels import resized
from ._object import given, need_tensor
from .module import Module


def _need_place(module: Module, **numbers: Any) -> None:
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or value == 0:
            raise ArgumentError(
                f"{module._typename}: {name} must count from 1, or from -1 backwards; got {describe(value)} {value!r}"
            )


def _place(number: int) -> int:
    """PyTorch's number for one of Torch7's, which counts from 1, or from -1 backwards."""
    return number - 1 if number > 0 else number


class Select(Module):
    """One entry of a dimension, which goes away; a copy.

    Input: two dimensions or more.

    Args:
        dimension: the dimension, from 1, or from -1 backwards.
        index: the entry, counted likewise.
    """

    def __init__(self, dimension: int, index: int) -> None:
        super().__init__()
        _need_place(self, dimension=dimension, index=index)
        self.dimension = dimension
        self.index = index

    def _chosen(self, tensor: torch.Tensor) -> torch.Tensor:
        self._want(tensor.dim() > 1, "two dimensions or more", tensor)
        return tensor.select(_place(self.dimension), _place(self.index))

    def _diagnose(self, input: torch.Tensor) -> None:
        place, dims = _place(self.dimension), need_tensor(input).dim()
        self._want(-dims <= place < dims, f"a dimension {self.dimension}", input)
        size, index = input.shape[place], _place(self.index)
        self._want(-size <= index < size, f"an entry {self.index} in dimension {self.dimension}", input)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        chosen = self._chosen(input)
        return resized(self.output, chosen.shape).copy_(chosen)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        gradInput = resized(self.gradInput, input.shape).zero_()
        chosen = self._chosen(gradInput)
        chosen.copy_(self._sized(gradOutput, chosen.shape))
        return gradInput


class Narrow(Module):
    """A range of a dimension; a copy. The output has the type of the input, whatever the module's.

    Args:
        dimension: the dimension, from 1, or from -1 backwards.
        offset: the first entry, from 1, field ``index``. If it is negative, the range is the first entries, all
            but ``length`` of them.
        length: how many entries, default 1. If it is negative, the range ends at that entry from the end: -1 is
            the last.
    """

    def __init__(self, dimension: int, offset: int, length: int | None = None) -> None:
        super().__init__()
        _need_place(self, dimension=dimension, offset=offset, length=given(length, 1))
        self.dimension = dimension
        self.index = offset
        self.length = given(length, 1)

    def _chosen(self, tensor: torch.Tensor) -> torch.Tensor:
        place, index, length = _place(self.dimension), self.index, self.length
        if length < 0:
            length += tensor.shape[place] - index + 2
        if index < 0:
            index, length = 1, tensor.shape[place] - length
        return tensor.narrow(place, index - 1, length)

    def _diagnose(self, input: torch.Tensor) -> None:
        place, dims = _place(self.dimension), need_tensor(input).dim()
        self._want(-dims <= place < dims, f"a dimension {self.dimension}", input)
        self._want(
            False, f"entries for a range of {self.length} from {self.index} in dimension {self.dimension}", input
        )

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        chosen = self._chosen(input)
        self.output = _of_type(self.output, input)
        return resized(self.output, chosen.shape).copy_(chosen)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        self.gradInput = _of_type(self.gradInput, input)
        gradInput = resized(self.gradInput, input.shape).zero_()
        chosen = self._chosen(gradInput)
        chosen.copy_(self._sized(gradOutput, chosen.shape))
        return gradInput


def _of_type(mine: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """``mine``, or a new tensor where that has another type than ``other``."""
    return mine if mine.dtype is other.dtype and mine.device == other.device else other.new_empty(0)


def _pair(module: Module, input: Any, second: str) -> tuple[torch.Tensor, torch.Tensor]:
    if not (isinstance(input, (list, tuple)) and len(input) == 2 and all(isinstance(t, torch.Tensor) for t in input)):
        raise TensorTypeError(f"input must be a list of a tensor and its {second}, got {describe(input)}")
    return input[0], input[1]


class Index(Module):
    """Entries of a dimension, by their numbers.

    Input: a list of a tensor and a vector of whole numbers from 1. Output: the tensor's entries of these numbers, in
    their order. gradInput: a list of the gradient with respect to the tensor and of zeros.

    Args:
        dimension: the dimension, from 1.
    """

    def __init__(self, dimension: int) -> None:
        super().__init__()
        _need_place(self, dimension=dimension)
        self.dimension = dimension
        self.gradInput = [self.gradInput, torch.empty(0)]

    def _diagnose(self, input: Any) -> None:
        tensor, numbers = _pair(self, input, "numbers")
        place = _place(self.dimension)
        self._want(-tensor.dim() <= place < tensor.dim(), f"a dimension {self.dimension}", tensor)
        self._want(numbers.dim() == 1, "a vector of numbers", numbers)
        bad = (numbers < 1) | (numbers > tensor.shape[place])
        if bad.any():
            raise ArgumentError(f"numbers from 1 to {tensor.shape[place]} are wanted, got {numbers[bad][0].item()}")

    def updateOutput(self, input: list[torch.Tensor]) -> torch.Tensor:
        tensor, numbers = _pair(self, input, "numbers")
        return self.output.set_(torch.index_select(tensor, _place(self.dimension), numbers.long() - 1))

    def updateGradInput(self, input: list[torch.Tensor], gradOutput: torch.Tensor) -> list[torch.Tensor]:
        tensor, numbers = _pair(self, input, "numbers")
        gradInput, zeros = self.gradInput
        resized(zeros, numbers.shape).zero_()
        resized(gradInput, tensor.shape).zero_().index_add_(_place(self.dimension), numbers.long() - 1, gradOutput)
        return self.gradInput

    def clearState(self) -> Index:
        for tensor in (*self.gradInput, self.output):
            tensor.set_()
        return self


class MaskedSelect(Module):
    """The elements that a mask marks, as a vector.

    Input: a list of a tensor and a mask of its size, in which what is not 0 marks. Output: the marked elements in
    order. gradInput: a list of the gradient with respect to the tensor and of zeros.
    """

    def __init__(self) -> None:
        super().__init__()
        # Torch7's buffers, of which only the gradient's are used here
        self._maskIndices = torch.empty(0, dtype=torch.int64)
        self._maskIndexBuffer = torch.empty(0, dtype=torch.int64)
        self._maskIndexBufferCPU = torch.empty(0, dtype=torch.float32)
        self._gradBuffer = torch.empty(0)
        self._gradMask = torch.empty(0, dtype=torch.uint8)

    def _marked(self, input: Any) -> tuple[torch.Tensor, torch.Tensor]:
        tensor, mask = _pair(self, input, "mask")
        self._want(tensor.shape == mask.shape, "a tensor and a mask of the same size", input)
        return tensor, mask != 0

    def updateOutput(self, input: list[torch.Tensor]) -> torch.Tensor:
        return self.output.set_(torch.masked_select(*self._marked(input)))

    def updateGradInput(self, input: list[torch.Tensor], gradOutput: torch.Tensor) -> list[torch.Tensor]:
        tensor, marked = self._marked(input)
        count = int(torch.count_nonzero(marked))
        self._want(gradOutput.numel() == count, f"a gradOutput of {count}, as many as are marked", gradOutput)
        grad = resized(self._gradBuffer, tensor.shape).zero_().masked_scatter_(marked, gradOutput)
        zeros = resized(self._gradMask, tensor.shape).zero_()
        if not isinstance(self.gradInput, list):
            self.gradInput = []
        self.gradInput[:] = grad, zeros
        return self.gradInput

    def clearState(self) -> MaskedSelect:
        utils.clear(self, "_maskIndices", "_maskIndexBuffer", "_maskIndexBufferCPU", "_gradBuffer", "_gradMask")
        return super().clearState()
