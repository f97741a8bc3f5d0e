"""Layers and criterions that leave out rows of zeros: what pads sequences of different lengths."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch

from ...errors import ArgumentError, ShapeError
from ...nn._guard import describe
from ...nn._kernels import resized
from ...nn._nested import buffer, first
from ...nn._object import need_size, need_tensor
from ...nn.criterion.base import Criterion, need_criterion
from ...nn.decorator import Decorator
from ...nn.lookup import LookupTable
from ...nn.module import Module


def _each(mine: Any, given: Any, entry: Callable[[Any, torch.Tensor], torch.Tensor]) -> Any:
    """A nested list with ``entry(mine, tensor)`` for every tensor of ``given``; in ``mine`` where that is one."""
    if isinstance(given, torch.Tensor):
        return entry(mine, given)
    if not isinstance(given, (list, tuple)):
        need_tensor(given)
    mine = mine if isinstance(mine, list) else []
    held = len(mine)
    mine[:] = [_each(mine[i] if i < held else None, value, entry) for i, value in enumerate(given)]
    return mine


class MaskZero(Decorator):
    """Sets rows of the output to zero where the input has rows of zeros.

    Input: what the module takes; in a list the first tensor tells which rows are empty. Output: the module's, copied.
    Rows of gradOutput are set to zero likewise before they go to the module's ``updateGradInput``; as in the rock
    ``accGradParameters`` gets them as they are.

    Args:
        module: the module.
        nInputDim: the number of dimensions of one row; an input with one more is a batch. An output that has neither as
            many nor one more goes by the first row alone.
        silent: do not warn of a recurrent module, whose own ``maskZero()`` is what is wanted.
    """

    zeroMask: Any = None
    gradOutput: Any = None

    def __init__(self, module: Module, nInputDim: int, silent: bool | None = None) -> None:
        super().__init__(module)
        need_size(self, nInputDim=nInputDim)
        if getattr(module, "dpnn_stepclone", None) and not silent:
            warnings.warn(f"{module._typename} has its own maskZero(), which masks every step", stacklevel=2)
        self.nInputDim = nInputDim

    def _find(self, input: Any) -> bool:
        """Find the empty rows; whether ``input`` is a batch."""
        x = first(input)
        dims = need_tensor(x if x is not None else input).dim() - self.nInputDim
        self._want(dims in (0, 1), f"{self.nInputDim} dimensions, or one more", input)
        zero = torch.eq(x, 0)
        zero = zero.flatten(1).all(1, keepdim=True) if dims else zero.all().view(1)
        self.zeroMask = zero.view(torch.uint8)
        return bool(dims)

    def _masked(self, mine: Any, given: torch.Tensor) -> torch.Tensor:
        mask, dims = self.zeroMask.view(torch.bool).flatten(), given.dim()
        if dims != self.nInputDim + 1:
            mask = mask[0]
        elif dims > 1:
            mask = mask.view(-1, *[1] * (dims - 1))
        return buffer(mine, given).copy_(given).masked_fill_(mask, 0)

    def updateOutput(self, input: Any) -> Any:
        self._find(input)
        self.output = _each(self.output, self.modules[0].updateOutput(input), self._masked)
        return self.output

    def updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        self.gradOutput = _each(self.gradOutput, gradOutput, self._masked)
        return super().updateGradInput(input, self.gradOutput)

    def backward(self, input: Any, gradOutput: Any, scale: float = 1) -> Any:
        return Module.backward(self, input, gradOutput, scale)

    def _convert(self, dtype: torch.dtype | None, device: torch.device | None, cache: dict) -> None:
        for name in ("zeroMask", "_zeroMask"):  # the latter is the rock's
            self.__dict__.pop(name, None)
        super()._convert(dtype, device, cache)


class TrimZero(MaskZero):
    """:class:`MaskZero` that gives its module only the rows which are not empty: less to compute.

    As in the rock ``accGradParameters`` gets all rows of gradOutput, so that with a row left out it is an error for
    most layers that have parameters; round the step of a recurrent module, as its ``trimZero()`` puts it, it works.

    Args:
        module, nInputDim, silent: as for :class:`MaskZero`.
    """

    batchmode: Any = None
    _maskindices: Any = None

    def __init__(self, module: Module, nInputDim: int, silent: bool | None = None) -> None:
        super().__init__(module, nInputDim, silent)
        if module._typename == "nn.GRU" and getattr(module, "p", 0) != 0 and not getattr(module, "mono", None):
            raise ArgumentError(f"{self._typename}: a GRU with dropout must have its mono option set")
        self.temp = torch.empty(0)
        self.gradTemp = torch.empty(0)

    def _trimmed(self, mine: Any, given: torch.Tensor) -> torch.Tensor:
        """The rows of ``given`` that are not empty; a single row of zeros if all are."""
        if not self.batchmode:
            return self._masked(mine, given)
        rows = self._maskindices
        if rows.numel():
            mine = buffer(mine, given[:0])
            return torch.index_select(given, 0, rows - 1, out=resized(mine, (rows.numel(), *given.shape[1:])))
        return buffer(mine, given[:1]).zero_()

    def _masked(self, mine: Any, given: torch.Tensor) -> torch.Tensor:
        return buffer(mine, given).copy_(given).masked_fill_(self.zeroMask.view(torch.bool).flatten()[0], 0)

    def _filled(self, mine: Any, given: torch.Tensor) -> torch.Tensor:
        """``given`` with the empty rows back in, as zeros."""
        if not self.batchmode:
            return self._masked(mine, given)
        mine = resized(buffer(mine, given[:0]), (self.zeroMask.shape[0], *given.shape[1:])).zero_()
        rows = self._maskindices
        return mine.index_copy_(0, rows - 1, given) if rows.numel() else mine

    def _trim(self, input: Any) -> Any:
        self.temp = _each(self.temp, input, self._trimmed)
        return self.temp

    def updateOutput(self, input: Any) -> Any:
        self.batchmode = self._find(input)
        self._maskindices = None
        if self.batchmode:
            self._maskindices = (self.zeroMask.flatten() == 0).nonzero().flatten() + 1
        self.output = _each(self.output, self.modules[0].updateOutput(self._trim(input)), self._filled)
        return self.output

    def updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        self.gradTemp = _each(self.gradTemp, gradOutput, self._trimmed)
        gradInput = self.modules[0].updateGradInput(self._trim(input), self.gradTemp)
        self.gradInput = _each(self.gradInput, gradInput, self._filled)
        return self.gradInput

    def accGradParameters(self, input: Any, gradOutput: Any, scale: float = 1) -> None:
        self.modules[0].accGradParameters(self._trim(input), gradOutput, scale)


class LookupTableMaskZero(LookupTable):
    """A table of vectors in which index 0 is a vector of zeros.

    Input: a vector or a matrix of indices from 0 to nIndex. Output: a vector of nOutput for each index.

    Args:
        nIndex, nOutput: the number of vectors, beside that of zeros, and their size.

    ``weight`` ((nIndex + 1) x nOutput) has the vector of index i in row i + 1. Row 1 is set to zero in every forward,
    but gets a gradient like the others.
    """

    _version = 1  # Torch7 does not hand a version down

    def __init__(self, nIndex: int, nOutput: int) -> None:
        need_size(self, nIndex=nIndex)
        super().__init__(nIndex + 1, nOutput)

    def _rows(self, input: torch.Tensor) -> torch.Tensor:
        return super()._rows(input).add_(1)

    def _diagnose(self, input: torch.Tensor) -> None:
        if need_tensor(input).numel():
            count, low, high = self.weight.shape[0] - 1, int(input.min()), int(input.max())
            if low < 0 or high > count:
                raise ShapeError(f"wanted indices from 0 to {count}, got some from {low} to {high}")
        super()._diagnose(input + 1)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self.weight[0].zero_()
        return super().updateOutput(input)


class MaskZeroCriterion(Criterion):
    """A criterion over the rows of a batch in which the input is not all zeros.

    Input, target: batches for the criterion; in a list the first tensor tells which rows are empty. Without any row
    left the number is 0. gradInput is zero for the rows left out; the input must be a tensor for it.

    Args:
        criterion: the criterion.
        nInputDim: the number of dimensions of one row of the input.
    """

    zeroMask: Any = None
    input: Any = None
    target: Any = None
    _gradInput: Any = None

    def __init__(self, criterion: Criterion, nInputDim: int) -> None:
        super().__init__()
        self.criterion = need_criterion(self, criterion)
        need_size(self, nInputDim=nInputDim)
        self.nInputDim = nInputDim

    def updateOutput(self, input: Any, target: Any) -> float:
        x = first(input)
        dims = need_tensor(x if x is not None else input).dim() - self.nInputDim
        self._want(dims == 1, f"a batch: {self.nInputDim + 1} dimensions", input)
        rows = torch.ne(x, 0).flatten(1).any(1).nonzero().flatten()
        self.zeroMask = rows + 1  # which is what it is called in the rock

        def kept(mine: Any, given: torch.Tensor) -> torch.Tensor:
            mine = buffer(mine, given[:0])
            return torch.index_select(given, 0, rows, out=resized(mine, (rows.numel(), *given.shape[1:])))

        self.output = 0
        if rows.numel():
            self.input, self.target = _each(self.input, input, kept), _each(self.target, target, kept)
            self.output = self.criterion.updateOutput(self.input, self.target)
        return self.output

    def updateGradInput(self, input: torch.Tensor, target: Any) -> torch.Tensor:
        if not isinstance(input, torch.Tensor):
            raise ArgumentError(f"there is a gradient for a tensor only, got {describe(input)}")
        gradInput = resized(self.gradInput, input.shape).zero_()
        if self.zeroMask.numel():
            self._gradInput = self.criterion.updateGradInput(self.input, self.target)
            gradInput.index_copy_(0, self.zeroMask - 1, self._gradInput)
        return gradInput

    def _convert(self, dtype: torch.dtype | None, device: torch.device | None, cache: dict) -> None:
        for name in ("zeroMask", "_zeroMask", "__zeroMask", "input", "target", "_gradInput"):
            self.__dict__.pop(name, None)
        super()._convert(dtype, device, cache)
