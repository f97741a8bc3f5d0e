"""Transfer functions that are made of other modules."""

from __future__ import annotations

import torch

from ._object import need_size
from .container import Sequential
from .identity import Identity
from .linear import Linear
from .module import Module
from .pointwise import MulConstant
from .reducing import Max
from .shaping import View
from .table import ConcatTable, JoinTable
from .transfer import ReLU


class CReLU(Sequential):
    """``y = (max(x, 0), max(-x, 0))``, side by side in the first dimension of a sample.

    Input: a sample of nInputDims dimensions, or a batch of these. Output: twice the size in the sample's first
    dimension.

    Args:
        nInputDims: the dimensions of a sample.
        inplace: the rectification works in place, so that backward overwrites gradOutput; default no.
    """

    def __init__(self, nInputDims: int, inplace: bool | None = None) -> None:
        super().__init__()
        need_size(self, nInputDims=nInputDims)
        self.nInputDims = nInputDims
        self.inplace = bool(inplace)
        self.add(ConcatTable().add(Identity()).add(MulConstant(-1)))
        self.add(JoinTable(2))
        self.add(ReLU(self.inplace))

    def _batch(self, input: torch.Tensor) -> int:
        """The number of samples, which the modules see as rows."""
        return input.shape[0] if input.dim() == self.nInputDims + 1 else 1

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        samples = self._batch(input)
        output = super().updateOutput(input.reshape(samples, -1))
        size = list(input.shape)
        size[1 if input.dim() == self.nInputDims + 1 else 0] *= 2
        return output.resize_(size)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        samples = self._batch(input)
        gradInput = super().updateGradInput(input.reshape(samples, -1), gradOutput.reshape(samples, -1))
        return gradInput.resize_(input.shape)

    def backward(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> torch.Tensor:
        return self.updateGradInput(input, gradOutput)

    def __tostring__(self) -> str:
        return "CReLU()"


class Maxout(Sequential):
    """The maximum of several linear functions, output by output: ``y_o = max_k (W_ko x + b_ko)``.

    Input: N x inputSize. Output: N x outputSize.

    Args:
        inputSize, outputSize: sizes of a sample.
        maxoutNumber: how many functions compete for each output.
        preprocess: a module to be applied before the maximum, to N x maxoutNumber x outputSize; default none.
    """

    def __init__(self, inputSize: int, outputSize: int, maxoutNumber: int, preprocess: Module | None = None) -> None:
        super().__init__()
        need_size(self, inputSize=inputSize, outputSize=outputSize, maxoutNumber=maxoutNumber)
        self.add(Linear(inputSize, outputSize * maxoutNumber))
        self.add(View(maxoutNumber, outputSize).setNumInputDims(1))
        if preprocess is not None:
            self.add(preprocess)
        self.add(Max(1, 2))
