"""Table layers that take entries from tables, put them in, or order them otherwise: none computes."""

from __future__ import annotations

from typing import Any

import torch

from ...errors import ArgumentError
from ...types import Storage
from .._guard import describe
from .._kernels import resized
from .._nested import buffers, copied, zeroed
from .._object import given, need_size
from ..identity import handed_on, own
from ..module import Module


def _need_dimension(module: Module, dimension: Any, nInputDims: Any) -> None:
    if isinstance(dimension, bool) or not isinstance(dimension, int) or dimension == 0:
        raise ArgumentError(
            f"{module._typename}: dimension must be a whole number from 1 on, or from -1 down, got {dimension!r}"
        )
    if nInputDims is not None:
        need_size(module, nInputDims=nInputDims)


class _Along(Module):
    """What JoinTable and SplitTable share: the dimension they work along."""

    nInputDims: int | None = None

    def __init__(self, dimension: int, nInputDims: int | None = None) -> None:
        super().__init__()
        _need_dimension(self, dimension, nInputDims)
        self.dimension = dimension
        if nInputDims is not None:
            self.nInputDims = nInputDims

    def _dimension(self, tensor: torch.Tensor) -> int:
        """The dimension as PyTorch counts it, for tensors like this one."""
        dimension = self.dimension
        if dimension > 0 and (self.nInputDims is None or tensor.dim() != self.nInputDims + 1):
            return dimension - 1
        return dimension


class SplitTable(_Along):
    """A tensor's slices along a dimension.

    Input: a tensor. Output: a list of tensors with a dimension less, over the same memory.

    Args:
        dimension: from 1; a negative one counts from the end, -1 being the last.
        nInputDims: how many dimensions a sample has; an input of one more is a batch, and ``dimension`` the next.
    """

    def updateOutput(self, input: torch.Tensor) -> list[torch.Tensor]:
        self.output = list(input.unbind(self._dimension(input)))
        return self.output

    def updateGradInput(self, input: torch.Tensor, gradOutput: list[torch.Tensor]) -> torch.Tensor | None:
        if self.gradInput is None:
            return None
        dimension = self._dimension(input)
        slices = gradOutput[: input.shape[dimension]]
        return torch.stack(slices, dimension, out=resized(self.gradInput, input.shape))


class JoinTable(_Along):
    """Tensors joined along a dimension.

    Input: a list of tensors that differ in size along this dimension only. Output: a tensor.

    Args:
        dimension: from 1; a negative one counts from the end, -1 being the last.
        nInputDims: how many dimensions a sample has; inputs of one more are a batch, and ``dimension`` the next.
    """

    _rereads = ()

    def __init__(self, dimension: int, nInputDims: int | None = None) -> None:
        super().__init__(dimension, nInputDims)
        self.size = Storage([])
        self.gradInput: list = []

    def updateOutput(self, input: list[torch.Tensor]) -> torch.Tensor:
        dimension = self._dimension(input[0])
        size = list(input[0].shape)
        size[dimension] = sum(tensor.shape[dimension] for tensor in input)
        return torch.cat(input, dimension, out=resized(self.output, tuple(size)))

    def updateGradInput(self, input: list[torch.Tensor], gradOutput: torch.Tensor) -> list[torch.Tensor]:
        dimension = self._dimension(input[0])
        parts = gradOutput.split([tensor.shape[dimension] for tensor in input], dimension)
        for grad, part in zip(buffers(self.gradInput, input), parts):
            grad.copy_(part)
        return self.gradInput


class SelectTable(Module):
    """One entry of a table.

    Input: a list, or a Table. Output: the entry. gradInput is zero for the other entries.

    Args:
        index: the number of the entry, from 1, or from -1 for the last downwards; or the key of a Table.
    """

    def __init__(self, index: Any) -> None:
        super().__init__()
        if index is None or index == 0:
            raise ArgumentError(f"{self._typename}: index counts from 1, or from -1 downwards; got {index!r}")
        self.index = index
        self.gradInput: Any = []

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        self.output = own(self.output)

    def _key(self, input: Any) -> Any:
        """What Python calls the entry."""
        index = self.index
        if isinstance(input, dict):
            if index in input:
                return index
        elif not isinstance(index, str) and 1 <= abs(index) <= len(input):
            return index - 1 if index > 0 else index
        raise ArgumentError(f"there is no entry {index!r} in the input, {describe(input)}")

    def updateOutput(self, input: Any) -> Any:
        self.output = handed_on(self.output, input[self._key(input)])
        return self.output

    def updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        key = self._key(input)
        self.gradInput = zeroed(self.gradInput, input)
        self.gradInput[key] = copied(self.gradInput[key], gradOutput)
        return self.gradInput

    def __tostring__(self) -> str:
        return f"{self._typename}({self.index})"


class NarrowTable(Module):
    """A run of entries of a list.

    Input, output: lists. gradInput is zero for the other entries.

    Args:
        offset: the number of the first entry, from 1.
        length: how many, default 1.
    """

    def __init__(self, offset: int, length: int | None = None) -> None:
        super().__init__()
        self.offset = offset
        self.length = given(length, 1)
        need_size(self, offset=self.offset, length=self.length)
        self.output: list = []
        self.gradInput: list = []

    def _run(self) -> slice:
        return slice(self.offset - 1, self.offset - 1 + self.length)

    def updateOutput(self, input: list) -> list:
        self.output[:] = input[self._run()]
        return self.output

    def updateGradInput(self, input: list, gradOutput: list) -> list:
        run = self._run()
        self._want(len(gradOutput) == len(input[run]), f"{len(input[run])} entries in gradOutput", gradOutput)
        held = len(self.gradInput)
        grads = [
            None if run.start <= i < run.stop else zeroed(self.gradInput[i] if i < held else None, entry)
            for i, entry in enumerate(input)
        ]
        grads[run] = gradOutput
        self.gradInput[:] = grads
        return self.gradInput


class FlattenTable(Module):
    """The tensors of nested lists as one list, in the order in which they are met.

    Input: a list of tensors and lists, to any depth. Output: a list.
    """

    def __init__(self) -> None:
        super().__init__()
        self.output: list = []
        self.input_map: list = []  # nested as the input: the number in the output, from 1
        self.gradInput: list = []

    def updateOutput(self, input: list) -> list:
        self._want(isinstance(input, (list, tuple)), "a list", input)
        self.output = []
        self.input_map = self._flattened(input)
        return self.output

    def _flattened(self, input: Any) -> Any:
        if isinstance(input, (list, tuple)):
            return [self._flattened(entry) for entry in input]
        self.output.append(input)
        return len(self.output)

    def updateGradInput(self, input: list, gradOutput: list) -> list:
        self.gradInput = _nested(gradOutput, self.input_map)
        return self.gradInput

    def clearState(self) -> FlattenTable:
        self.input_map = []
        return super().clearState()


def _nested(entries: list, places: Any) -> Any:
    return [_nested(entries, p) for p in places] if isinstance(places, list) else entries[places - 1]


class ZipTable(Module):
    """Tables by position: ``[[a1, a2], [b1, b2], [c1, c2]]`` becomes ``[[a1, b1, c1], [a2, b2, c2]]``.

    Input, output: lists of lists of equal length.
    """

    def __init__(self) -> None:
        super().__init__()
        self.output: list = []
        self.gradInput: list = []

    def _zipped(self, tables: list[list]) -> list[list]:
        self._want(len({len(table) for table in tables}) <= 1, "lists of equal length", tables)
        return [list(entries) for entries in zip(*tables)]

    def updateOutput(self, input: list[list]) -> list[list]:
        self.output = self._zipped(input)
        return self.output

    def updateGradInput(self, input: list[list], gradOutput: list[list]) -> list[list]:
        self.gradInput = self._zipped(gradOutput)
        return self.gradInput


class ZipTableOneToMany(Module):
    """One tensor beside each entry of a list: ``[v, [a, b, c]]`` becomes ``[[v, a], [v, b], [v, c]]``."""

    def __init__(self) -> None:
        super().__init__()
        self.output: list = []
        self.gradInput: list = []
        self.gradInputEl = torch.empty(0)

    def _diagnose(self, input: Any) -> None:
        self._want(isinstance(input, (list, tuple)) and len(input) == 2, "a tensor and a list", input)

    def updateOutput(self, input: list) -> list[list]:
        one, many = input
        self.output = [[one, entry] for entry in many]
        return self.output

    def updateGradInput(self, input: list, gradOutput: list[list]) -> list:
        total = resized(self.gradInputEl, input[0].shape).zero_()
        for grad, _ in gradOutput:
            total.add_(grad)
        self.gradInput = [total, [grad for _, grad in gradOutput]]
        return self.gradInput
