"""Linear layers: products with a matrix of parameters."""

from __future__ import annotations

from typing import Any

import torch

from ..errors import ArgumentError, TensorTypeError
from . import _kernels as kernels
from . import utils
from ._guard import both, describe, optional
from ._kernels import resized
from ._object import given, need_size, need_tensor
from .container import Sequential
from .identity import Identity
from .lookup import LookupTable
from .module import Module, draw_uniformly
from .table import MM, ParallelTable


class Linear(Module):
    """``y = W x + b``.

    Input: N x inputSize, or a vector of inputSize. Output: N x outputSize, or a vector of outputSize.

    Args:
        inputSize, outputSize: sizes of a sample.
        bias: whether there is a ``b``, by default yes.

    ``weight`` (outputSize x inputSize) and ``bias`` are drawn uniformly between ±1/√inputSize.
    """

    _rereads = ("input",)

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
        draw_uniformly(stdv, self.weight.shape[1], self.weight, self.bias)
        return self

    def _known(self) -> list:
        """What need not be asked for each time: ``weight``, its address, ``weight.t()``; ``output`` and its rows, where
        it is a matrix; the ones last used, and how many.
        """
        weight, known = self.weight, self._cache
        if known is None or known[0] is not weight or known[1] != weight.data_ptr():
            self._cache = known = [weight, weight.data_ptr(), weight.t(), None, 0, None, 0]
        return known

    def _ones(self, n: int) -> torch.Tensor:
        """``n`` ones, kept in ``addBuffer``."""
        ones, known = self.addBuffer, self._cache
        if ones is not None and known is not None and known[5] is ones and known[6] == n:
            return ones
        if ones is None or ones.dtype is not self.weight.dtype or ones.device != self.weight.device:
            self.addBuffer = ones = self.weight.new_ones(n)
        elif ones.shape[0] != n:
            resized(ones, (n,)).fill_(1)
        if known is not None:
            known[5:] = ones, n
        return ones

    def _diagnose(self, input: torch.Tensor) -> None:
        size = self.weight.shape[1]
        self._want(need_tensor(input).dim() in (1, 2) and input.shape[-1] == size, f"{size} or N x {size}", input)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        weight, bias, output = self.weight, self.bias, self.output
        dims = input.dim()
        if dims == 2:
            if kernels.onednn_linear is not None:
                result = kernels.product(input, weight, bias)
                if result is not None:
                    self._known()[3] = None
                    return output.set_(result)
            known, rows = self._known(), input.shape[0]
            if known[3] is not output or known[4] != rows:
                known[3:5] = resized(output, (rows, weight.shape[0])), rows
            if bias is None:
                return torch.mm(input, known[2], out=output)
            return torch.addmm(bias, input, known[2], out=output)
        if dims != 1:
            self._diagnose(input)
        self._known()[3] = None
        resized(output, (weight.shape[0],))
        return torch.mv(weight, input, out=output) if bias is None else torch.addmv(bias, weight, input, out=output)

    @optional
    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor | None:
        return None if self.gradInput is None else self._differentiate(input, gradOutput)

    def accGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> None:
        self._accumulate(self.gradWeight, self.gradBias, input, gradOutput, scale)

    @both
    def backward(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> torch.Tensor | None:
        gradInput = None if self.gradInput is None else self._differentiate(input, gradOutput)
        self._accumulate(self.gradWeight, self.gradBias, input, gradOutput, scale)
        return gradInput

    def _differentiate(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        gradInput, shape = self.gradInput, input.shape
        if len(shape) != 2:
            return torch.mv(self._known()[2], gradOutput, out=resized(gradInput, shape))
        if kernels.onednn_linear is not None:
            result = kernels.product(gradOutput, self._known()[2])
            if result is not None:
                return gradInput.set_(result)
        if gradInput.shape != shape:
            resized(gradInput, shape)
        return torch.mm(gradOutput, self.weight, out=gradInput)

    def _accumulate(
        self,
        gradWeight: torch.Tensor,
        gradBias: torch.Tensor | None,
        input: torch.Tensor,
        gradOutput: torch.Tensor,
        scale: float,
    ) -> None:
        dims = input.dim()
        if dims == 1:
            gradWeight.addr_(gradOutput, input, alpha=scale)
            if gradBias is not None:
                gradBias.add_(gradOutput, alpha=scale)
            return
        if dims > 2:
            return  # as Torch7, which lets pass what Bottle's accUpdateGradParameters hands on
        transposed = gradOutput.t()
        n = input.shape[0]
        if n == 1:
            gradWeight.addcmul_(transposed, input, value=scale)
        else:
            wide = n >= kernels.LINEAR_ROWS and kernels.onednn_linear is not None
            result = kernels.product(transposed, input.t()) if wide else None
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


class LinearWeightNorm(Linear):
    """:class:`Linear` whose weight is kept as directions and lengths: ``y = (g / |v|) v x + b``, row by row of ``v``.

    Input: N x inputSize, or a vector of inputSize. Output: N x outputSize, or a vector of outputSize.

    Args:
        inputSize, outputSize: sizes of a sample.
        bias: whether there is a ``b``, by default yes.
        eps: the least a norm is taken for, default 1e-16. The gradients take no notice of it, as in Torch7.

    The parameters are ``v`` (outputSize x inputSize), ``g`` (outputSize x 1) and ``bias``; the first weight is drawn as
    Linear's. ``weight`` is made from ``v`` and ``g`` by every ``forward`` in training, and by the call of
    ``evaluate()`` that ends training.

    Gradients that accumulate over several calls of ``backward`` are Torch7's: each call projects all that ``gradV``
    holds, and computes ``gradG`` from it anew.
    """

    eps = 1e-16  # older files lack it

    def __init__(self, inputSize: int, outputSize: int, bias: bool | None = None, eps: float | None = None) -> None:
        Module.__init__(self)
        need_size(self, inputSize=inputSize, outputSize=outputSize)
        self.eps = given(eps, 1e-16)
        self.outputSize = outputSize
        self.inputSize = inputSize
        self.v = torch.empty(outputSize, inputSize)
        self.gradV = torch.zeros(outputSize, inputSize)
        self.weight = torch.empty(outputSize, inputSize)
        self.g = torch.empty(outputSize, 1)
        self.gradG = torch.zeros(outputSize, 1)
        self.norm = torch.zeros(outputSize, 1)
        self.scale = torch.zeros(outputSize, 1)
        if bias is not False:
            self.bias = torch.empty(outputSize)
            self.gradBias = torch.zeros(outputSize)
        self.reset()

    @staticmethod
    def fromLinear(linear: Linear) -> LinearWeightNorm:
        """A new module, of the same type, that computes what ``linear`` computes."""
        outputSize, inputSize = linear.weight.shape
        module = LinearWeightNorm(inputSize, outputSize, linear.bias is not None).type(linear.type())
        module.weight.copy_(linear.weight)
        module.initFromWeight()
        if linear.bias is not None:
            module.bias.copy_(linear.bias)
        return module

    def toLinear(self) -> Linear:
        """A new :class:`Linear`, of the same type, that computes what this module computes."""
        self.updateWeightMatrix()
        module = Linear(self.inputSize, self.outputSize, self.bias is not None).type(self.type())
        module.weight.copy_(self.weight)
        if self.bias is not None:
            module.bias.copy_(self.bias)
        return module

    def initFromWeight(self, weight: torch.Tensor | None = None) -> LinearWeightNorm:
        """Set ``v`` and ``g`` so that they stand for ``weight``, by default the module's own; returns the module."""
        weight = given(weight, self.weight)
        self.g.copy_(kernels.row_norms(weight)).clamp_(min=self.eps)
        self.v.copy_(weight)
        return self

    def updateWeightMatrix(self) -> None:
        """Make ``weight`` from ``v`` and ``g``."""
        v, norm, scale = self.v, resized(self.norm, self.g.shape), resized(self.scale, self.g.shape)
        torch.linalg.vector_norm(v, 2, 1, keepdim=True, out=norm).clamp_(min=self.eps)
        torch.mul(v, torch.div(self.g, norm, out=scale), out=resized(self.weight, v.shape))

    def reset(self, stdv: float | None = None) -> LinearWeightNorm:
        resized(self.weight, self.v.shape)
        super().reset(stdv)
        return self.initFromWeight()

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        if self.__dict__.pop("dirty", False):  # an older class noted so that weight had yet to be made
            self.updateWeightMatrix()

    def evaluate(self) -> None:
        if self.train is not False:
            self.updateWeightMatrix()
        super().evaluate()

    def parameters(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        if self.bias is None:
            return [self.v, self.g], [self.gradV, self.gradG]
        return [self.v, self.g, self.bias], [self.gradV, self.gradG, self.gradBias]

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        if self.train is not False or not self.weight.numel():
            self.updateWeightMatrix()
        return super().updateOutput(input)

    def accGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> None:
        v, gradV, gradG, norm = self.v, self.gradV, self.gradG, self.norm
        self._accumulate(gradV, self.gradBias, input, gradOutput, scale)
        # in this order: in an accUpdateGradParameters gradV is v, and gradG is g
        torch.sum(gradV * v, 1, keepdim=True, out=gradG).div_(norm)
        gradV.mul_(self.scale)
        gradV.addcmul_(v, self.scale * gradG / norm, value=-1)

    def defaultAccUpdateGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, lr: float) -> None:
        grads = self.gradV, self.gradG, self.gradBias
        self.gradV, self.gradG, self.gradBias = self.v, self.g, self.bias
        try:
            self.accGradParameters(input, gradOutput, -lr)
        finally:
            self.gradV, self.gradG, self.gradBias = grads

    def clearState(self) -> LinearWeightNorm:
        utils.clear(self, "weight", "norm", "scale")
        super().clearState()
        return self

    def __tostring__(self) -> str:
        bias = "" if self.bias is not None else " without bias"
        return f"{self._typename}({self.inputSize} -> {self.outputSize}){bias}"


class PartialLinear(Module):
    """:class:`Linear` that can be cut down to some of its outputs: ``y[j] = weight[p[j]] · x + bias[p[j]]``.

    Input: N x inputsize. Output: N x the number of chosen outputs, at first all of them. What is not chosen keeps its
    parameters and gets no gradient.

    Args:
        inputsize, outputsize: sizes of a sample.
        bias: whether there is a bias, by default yes.

    The weight (outputsize x inputsize, drawn from a standard normal distribution) is that of the LookupTable inside
    ``network``; ``bias`` is 1 x outputsize and starts at 0. ``partition`` holds the chosen outputs, counted from 1.
    """

    def __init__(self, inputsize: int, outputsize: int, bias: bool | None = None) -> None:
        super().__init__()
        need_size(self, inputsize=inputsize, outputsize=outputsize)
        # only the table is used here; the net around it is what Torch7 computes with, and finds in a file
        inputs = ParallelTable().add(Identity()).add(LookupTable(outputsize, inputsize))
        self.network = Sequential().add(inputs).add(MM(False, True))
        if bias is not False:
            self.bias = torch.zeros(1, outputsize)
            self.gradBias = torch.zeros(1, outputsize)
        self.inputsize = inputsize
        self.outputsize = outputsize
        self.allcolumns = torch.arange(1, outputsize + 1, dtype=torch.get_default_dtype())
        self.resetPartition()

    def setPartition(self, indices: torch.Tensor) -> None:
        """Compute only these outputs, counted from 1, in this order."""
        self.partition = need_tensor(indices, "indices").to(self.allcolumns)

    def resetPartition(self) -> None:
        """Compute all outputs again."""
        self.partition = self.allcolumns

    def _table(self) -> LookupTable:
        return self.network.modules[0].modules[1]

    def _rows(self) -> torch.Tensor | None:
        """The chosen rows of the weight, counted from 0; ``None`` means all."""
        return None if self.partition is self.allcolumns else self.partition.long() - 1

    def _weight(self, rows: torch.Tensor | None) -> torch.Tensor:
        weight = self._table().weight
        return weight if rows is None else weight.index_select(0, rows)

    def parameters(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        table = self._table()
        if self.bias is None:
            return [table.weight], [table.gradWeight]
        return [table.weight, self.bias], [table.gradWeight, self.gradBias]

    def _diagnose(self, input: torch.Tensor) -> None:
        size = self.inputsize
        self._want(need_tensor(input).dim() == 2 and input.shape[1] == size, f"N x {size}", input)
        low, high = self.partition.min(), self.partition.max()
        if low < 1 or high > self.outputsize:
            raise ArgumentError(f"the partition must be of outputs 1 to {self.outputsize}, got {low:g} to {high:g}")

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        rows = self._rows()
        weight, bias = self._weight(rows), self.bias
        if bias is not None and rows is not None:
            bias = bias.index_select(1, rows)
        result = kernels.product(input, weight, None if bias is None else bias[0])
        if result is not None:
            return self.output.set_(result)
        output = resized(self.output, (input.shape[0], weight.shape[0]))
        if bias is None:
            return torch.mm(input, weight.t(), out=output)
        return torch.addmm(bias, input, weight.t(), out=output)

    @optional
    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor | None:
        if self.gradInput is None:
            return None
        return torch.mm(gradOutput, self._weight(self._rows()), out=resized(self.gradInput, input.shape))

    def accGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> None:
        self._accumulate(self._table().gradWeight, self.gradBias, input, gradOutput, scale)

    def _accumulate(
        self,
        gradWeight: torch.Tensor,
        gradBias: torch.Tensor | None,
        input: torch.Tensor,
        gradOutput: torch.Tensor,
        scale: float,
    ) -> None:
        rows = self._rows()
        if rows is None:
            gradWeight.addmm_(gradOutput.t(), input, alpha=scale)
        else:
            gradWeight.index_add_(0, rows, gradOutput.t() @ input, alpha=scale)
        if gradBias is not None:
            total = gradOutput.sum(0, keepdim=True)
            if rows is None:
                gradBias.add_(total, alpha=scale)
            else:
                gradBias.index_add_(1, rows, total, alpha=scale)

    def accUpdateGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, lr: float) -> None:
        # linear in its parameters, so that the direct update is right for shared ones, too
        self._accumulate(self._table().weight, self.bias, input, gradOutput, -lr)

    def __tostring__(self) -> str:
        bias = "" if self.bias is not None else " without bias"
        return f"{self._typename}({self.inputsize} -> {self.outputsize}){bias}"


class Bilinear(Module):
    """``y[k] = x₁ᵀ weight[k] x₂ + bias[k]``.

    Input: a list of N x inputSize1 and N x inputSize2. Output: N x outputSize.

    Args:
        inputSize1, inputSize2, outputSize: sizes of a sample.
        bias: whether there is a bias, by default yes.

    ``weight`` (outputSize x inputSize1 x inputSize2) and ``bias`` are drawn uniformly between ±1/√inputSize1.

    As in Torch7, ``accGradParameters`` applies its ``scale`` to the bias only, and refuses a negative one; therefore
    ``accUpdateGradParameters`` does not work.
    """

    def __init__(self, inputSize1: int, inputSize2: int, outputSize: int, bias: bool | None = None) -> None:
        super().__init__()
        need_size(self, inputSize1=inputSize1, inputSize2=inputSize2, outputSize=outputSize)
        self.weight = torch.empty(outputSize, inputSize1, inputSize2)
        self.gradWeight = torch.zeros(outputSize, inputSize1, inputSize2)
        if bias is not False:
            self.bias = torch.empty(outputSize)
            self.gradBias = torch.zeros(outputSize)
        self.gradInput = [torch.empty(0), torch.empty(0)]
        self.reset()

    def reset(self, stdv: float | None = None) -> Bilinear:
        if stdv is not None and not stdv > 0:
            raise ArgumentError(f"{self._typename}: stdv must be a positive number, got {stdv!r}")
        draw_uniformly(stdv, self.weight.shape[1], self.weight, self.bias)
        return self

    def _pair(self, input: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """The two inputs, checked: PyTorch would repeat a single row or column."""
        if not isinstance(input, (list, tuple)) or len(input) != 2:
            raise TensorTypeError(f"input must be a list of two tensors, got {describe(input)}")
        first, second = input
        _, size1, size2 = self.weight.shape
        fits = first.dim() == 2 and first.shape[1] == size1 and second.shape == (first.shape[0], size2)
        self._want(fits, f"[N x {size1}, N x {size2}]", input)
        return first, second

    def _rows(self, input: Any, gradOutput: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The inputs, as :meth:`_pair`, with a gradOutput that fits them."""
        first, second = self._pair(input)
        size = (first.shape[0], self.weight.shape[0])
        self._want(gradOutput.shape == size, f"a gradOutput of {size[0]} x {size[1]}", gradOutput)
        return first, second

    def _products(self, second: torch.Tensor) -> torch.Tensor:
        """``weight[k] x₂`` for every sample and output: N x outputSize x inputSize1."""
        planes, size1, size2 = self.weight.shape
        flat = self.weight.reshape(-1, size2)
        result = kernels.product(second, flat)
        return (second @ flat.t() if result is None else result).view(-1, planes, size1)

    def _weighted(self, first: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        """``gradOutput[k] x₁`` for every sample: N x (outputSize inputSize1)."""
        return (gradOutput.unsqueeze(2) * first.unsqueeze(1)).flatten(1)

    def updateOutput(self, input: list) -> torch.Tensor:
        first, second = self._pair(input)
        output = resized(self.output, (first.shape[0], self.weight.shape[0]))
        torch.bmm(self._products(second), first.unsqueeze(2), out=output.unsqueeze(2))
        return output if self.bias is None else output.add_(self.bias)

    @optional
    def updateGradInput(self, input: list, gradOutput: torch.Tensor) -> list | None:
        if self.gradInput is None:
            return None
        first, second = self._rows(input, gradOutput)
        return self._keep(first, second, gradOutput, self._weighted(first, gradOutput))

    def accGradParameters(self, input: list, gradOutput: torch.Tensor, scale: float = 1) -> None:
        first, second = self._rows(input, gradOutput)
        self._accumulate(second, gradOutput, self._weighted(first, gradOutput), scale)

    def backward(self, input: list, gradOutput: torch.Tensor, scale: float = 1) -> list | None:
        first, second = self._rows(input, gradOutput)
        weighted = self._weighted(first, gradOutput)
        if self.gradInput is not None:
            self._keep(first, second, gradOutput, weighted)
        self._accumulate(second, gradOutput, weighted, scale)
        return self.gradInput

    def _keep(
        self, first: torch.Tensor, second: torch.Tensor, gradOutput: torch.Tensor, weighted: torch.Tensor
    ) -> list:
        if not self.gradInput:  # cleared
            self.gradInput += [first.new_empty(0), second.new_empty(0)]
        mine, other = resized(self.gradInput[0], first.shape), resized(self.gradInput[1], second.shape)
        torch.bmm(gradOutput.unsqueeze(1), self._products(second), out=mine.unsqueeze(1))
        torch.mm(weighted, self.weight.reshape(-1, second.shape[1]), out=other)
        return self.gradInput

    def _accumulate(self, second: torch.Tensor, gradOutput: torch.Tensor, weighted: torch.Tensor, scale: float) -> None:
        if not scale >= 0:
            raise ArgumentError(f"{self._typename} takes no negative scale, and so no accUpdateGradParameters")
        self.gradWeight.view(-1, second.shape[1]).addmm_(weighted.t(), second)
        if self.gradBias is not None:
            self.gradBias.add_(gradOutput.sum(0), alpha=scale)

    def sharedAccUpdateGradParameters(self, input: list, gradOutput: torch.Tensor, lr: float) -> None:
        self.defaultAccUpdateGradParameters(input, gradOutput, lr)

    def __tostring__(self) -> str:
        planes, size1, size2 = self.weight.shape
        return f"{self._typename}({size1}x{size2} -> {planes}) {'' if self.bias is not None else ' without bias'}"
