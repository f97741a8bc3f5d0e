"""Layers whose output is their input."""

from __future__ import annotations

from typing import Any

import torch

from .._notes import apart
from . import utils
from ._kernels import resized
from ._object import given, need_number
from .module import Module


def handed_on(mine: Any, given: Any) -> Any:
    """``given`` as the output (or gradInput) of a layer that hands it on: ``mine`` over the memory of ``given``.

    A table is handed on itself; a tensor of another type than ``mine``, as a new tensor object over its memory.
    """
    if not isinstance(given, torch.Tensor):
        return given
    if isinstance(mine, torch.Tensor) and mine.dtype is given.dtype and mine.device == given.device:
        return mine.set_(given)
    return given.detach()


def own(given: Any) -> Any:
    """What a file says the output or gradInput of such a layer is: it may be the very tensor of another module."""
    return apart(given) if isinstance(given, torch.Tensor) else given


class _HandingOn(Module):
    """What layers share whose output is their input."""

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        self.output, self.gradInput = own(self.output), own(self.gradInput)

    def updateOutput(self, input: Any) -> Any:
        self.output = handed_on(self.output, input)
        return self.output

    def clearState(self) -> Any:
        for name in ("output", "gradInput"):  # a table belongs to somebody else, so none is emptied
            if not isinstance(getattr(self, name), torch.Tensor):
                setattr(self, name, [])
        return super().clearState()


class Identity(_HandingOn):
    """``y = x``. Input, output: anything, tables too."""

    def updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        self.gradInput = handed_on(self.gradInput, gradOutput)
        return self.gradInput


class GradientReversal(_HandingOn):
    """``y = x``; the gradient is turned round, times ``-λ``. Input, output: any size.

    Args:
        lambd: λ, the field ``lambda``; default 1.
    """

    _version = 2

    def __init__(self, lambd: float | None = None) -> None:
        super().__init__()
        self.setLambda(given(lambd, 1))

    def setLambda(self, lambd: float) -> None:
        """Change λ."""
        setattr(self, "lambda", lambd)

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        if version < 2:
            self.setLambda(1)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        return torch.mul(gradOutput, -getattr(self, "lambda"), out=resized(self.gradInput, gradOutput.shape))


class ZeroGrad(_HandingOn):
    """``y = x``; the gradient is 0. Input, output: anything, tables too."""

    def updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        self.gradInput = utils.recursiveFill(utils.recursiveResizeAs(self.gradInput, input)[0], 0)
        return self.gradInput


class L1Penalty(_HandingOn):
    """``y = x``; adds to the gradient that of a penalty ``loss = l1weight Σ|x|``. Input, output: any size.

    Args:
        l1weight: the weight of the penalty.
        sizeAverage: divide it by the number of elements; default no.
        provideOutput: add gradOutput; default yes. Otherwise the gradient is that of the penalty alone.

    ``loss`` holds the penalty of the last forward.
    """

    loss: float | None = None
    sizeAverage = provideOutput = False  # what older files lack

    def __init__(self, l1weight: float, sizeAverage: bool | None = None, provideOutput: bool | None = None) -> None:
        super().__init__()
        need_number(self, l1weight=l1weight)
        self.l1weight = l1weight
        self.sizeAverage = bool(sizeAverage)
        self.provideOutput = provideOutput is not False

    def _weight(self, input: torch.Tensor) -> float:
        return self.l1weight / input.numel() if self.sizeAverage else self.l1weight

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self.loss = self._weight(input) * torch.linalg.vector_norm(input, 1).item()
        return super().updateOutput(input)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        gradInput = torch.sign(input, out=resized(self.gradInput, input.shape)).mul_(self._weight(input))
        return gradInput.add_(self._sized(gradOutput, input.shape)) if self.provideOutput else gradInput
