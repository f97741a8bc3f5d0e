"""Small layers."""

from __future__ import annotations

from typing import Any

import torch

from ...errors import ArgumentError
from ...nn._kernels import resized
from ...nn._object import need_number
from ...nn.identity import Identity
from ...nn.linear import Linear
from ...nn.module import Module


class LinearNoBias(Linear):
    """``y = W x``. Input: N x inputSize, or a vector of inputSize. Output: N x outputSize, or a vector of outputSize.

    Args:
        inputSize, outputSize: sizes of a sample.
    """

    def __init__(self, inputSize: int, outputSize: int) -> None:
        super().__init__(inputSize, outputSize, False)

    @staticmethod
    def _fits(fields: dict) -> bool:
        weight = fields.get("weight")
        return isinstance(weight, torch.Tensor) and weight.dim() == 2

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        for name in ("bias", "gradBias"):  # of zeros, in the first versions
            self.__dict__.pop(name, None)


class CopyGrad(Identity):
    """``y = x``; gradInput is a copy of gradOutput. Input, output: a tensor of any size."""

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        return resized(self.gradInput, gradOutput.shape).copy_(gradOutput)


class SAdd(Module):
    """``y = x + a``, or ``-(x + a)``. Input, output: any size.

    Args:
        addend: a, a number.
        negate: the second form, default no.
    """

    negate: bool | None = None

    def __init__(self, addend: float, negate: bool | None = None) -> None:
        super().__init__()
        need_number(self, addend=addend)
        self.addend = addend
        if negate is not None:
            self.negate = negate

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        output = torch.add(input, self.addend, out=resized(self.output, input.shape))
        return output.neg_() if self.negate else output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        if self.gradInput is None:
            self.gradInput = gradOutput.new_empty(0)
        gradInput = resized(self.gradInput, gradOutput.shape).copy_(gradOutput)
        return gradInput.neg_() if self.negate else gradInput


class ExpandAs(Module):
    """The second of two tensors, stretched to the size of the first.

    Input: a list of two tensors with as many dimensions; where their sizes differ that of the second is 1. Output: a
    list of the first, and of a view of the second in that size.
    """

    def __init__(self) -> None:
        super().__init__()
        self.output = []
        self.gradInput = []
        self.sum1 = torch.empty(0)
        self.sum2 = torch.empty(0)

    @staticmethod
    def _fits(fields: dict) -> bool:
        return "sum1" in fields and "sum2" in fields

    def updateOutput(self, input: list[torch.Tensor]) -> list[torch.Tensor]:
        if not isinstance(input, (list, tuple)) or len(input) != 2:
            raise ArgumentError("wanted a list of two tensors")
        self.output[:] = [input[0], input[1].expand_as(input[0])]
        return self.output

    def updateGradInput(self, input: list[torch.Tensor], gradOutput: list[torch.Tensor]) -> list[Any]:
        small, grad = input[1], gradOutput[1]
        stretched = [d for d in range(small.dim()) if small.shape[d] != grad.shape[d]]
        if stretched:
            grad = torch.sum(grad, stretched, keepdim=True, out=resized(self.sum1, small.shape))
        self.gradInput[:] = [gradOutput[0], grad]
        return self.gradInput
