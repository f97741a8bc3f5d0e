"""Linear layers: products with a matrix of parameters."""

from __future__ import annotations

import math

import torch

from .. import random
from . import _kernels as kernels
from . import utils
from ._kernels import resized
from ._object import need_size, need_tensor
from .module import Module


class Linear(Module):
    """``y = W x + b``.

    Input: N x inputSize, or a vector of inputSize. Output: N x outputSize, or a vector of outputSize.

    Args:
        inputSize, outputSize: sizes of a sample.
        bias: whether there is a ``b``, by default yes.

    ``weight`` (outputSize x inputSize) and ``bias`` are drawn uniformly between ±1/√inputSize.
    """

    addBuffer: torch.Tensor | None = None

    def __init__(self, inputSize: int, outputSize: int, bias: bool | None = None) -> None:
        super().__init__()
        need_size(self, inputSize=inputSize, outputSize=outputSize)
        self.weight = torch.empty(outputSize, inputSize)
        self.gradWeight = torch.zeros(outputSize, inputSize)
        if bias is not False:
            self.bias = torch.empty(outputSize)
            self.gradBias = torch.zeros(outputSize)
        self.reset()

    def noBias(self) -> Linear:
        """Drop the bias; returns the module."""
        self.bias = self.gradBias = None
        return self

    def reset(self, stdv: float | None = None) -> Linear:
        stdv = stdv * math.sqrt(3) if stdv else 1 / math.sqrt(self.weight.shape[1])
        random.uniform(self.weight, -stdv, stdv)
        if self.bias is not None:
            random.uniform(self.bias, -stdv, stdv)
        return self

    def _transposed(self) -> torch.Tensor:
        """``weight.t()``, made anew only when ``weight`` is another tensor or lies elsewhere."""
        weight = self.weight
        cached = self._cache
        if cached is None or cached[0] is not weight or cached[1] != weight.data_ptr():
            self._cache = cached = weight, weight.data_ptr(), weight.t()
        return cached[2]

    def _ones(self, n: int) -> torch.Tensor:
        """``n`` ones, kept in ``addBuffer``."""
        ones = self.addBuffer
        if ones is None or ones.dtype is not self.weight.dtype or ones.device != self.weight.device:
            self.addBuffer = ones = self.weight.new_ones(n)
        elif ones.shape[0] != n:
            resized(ones, (n,)).fill_(1)
        return ones

    def _diagnose(self, input: torch.Tensor) -> None:
        size = self.weight.shape[1]
        self._want(need_tensor(input).dim() in (1, 2) and input.shape[-1] == size, f"{size} or N x {size}", input)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        weight, bias, output = self.weight, self.bias, self.output
        dims = input.dim()
        if dims == 2:
            result = kernels.product(input, weight, bias)
            if result is not None:
                return output.set_(result)
            resized(output, (input.shape[0], weight.shape[0]))
            if bias is None:
                return torch.mm(input, self._transposed(), out=output)
            return torch.addmm(bias, input, self._transposed(), out=output)
        if dims != 1:
            self._diagnose(input)
        resized(output, (weight.shape[0],))
        return torch.mv(weight, input, out=output) if bias is None else torch.addmv(bias, weight, input, out=output)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor | None:
        gradInput, weight = self.gradInput, self.weight
        if gradInput is None:
            return None
        if gradOutput.dim() == 2:
            result = kernels.product(gradOutput, self._transposed())
            if result is not None:
                return gradInput.set_(result)
            return torch.mm(gradOutput, weight, out=resized(gradInput, input.shape))
        return torch.mv(self._transposed(), gradOutput, out=resized(gradInput, input.shape))

    def accGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> None:
        gradWeight, gradBias = self.gradWeight, self.gradBias
        if input.dim() == 1:
            gradWeight.addr_(gradOutput, input, alpha=scale)
            if gradBias is not None:
                gradBias.add_(gradOutput, alpha=scale)
            return
        transposed = gradOutput.t()
        n = input.shape[0]
        if n == 1:
            gradWeight.addcmul_(transposed, input, value=scale)
        else:
            result = kernels.product(transposed, input.t()) if n >= kernels.LINEAR_ROWS else None
            if result is None:
                gradWeight.addmm_(transposed, input, alpha=scale)
            else:
                gradWeight.add_(result, alpha=scale)
        if gradBias is not None:
            gradBias.addmv_(transposed, self._ones(n), alpha=scale)

    def sharedAccUpdateGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, lr: float) -> None:
        # linear in its parameters, so that the direct update is right for shared ones, too
        self.defaultAccUpdateGradParameters(input, gradOutput, lr)

    def clearState(self) -> Linear:
        utils.clear(self, "addBuffer")
        return super().clearState()

    def __tostring__(self) -> str:
        outputSize, inputSize = self.weight.shape
        return f"{self._typename}({inputSize} -> {outputSize}){'' if self.bias is not None else ' without bias'}"
