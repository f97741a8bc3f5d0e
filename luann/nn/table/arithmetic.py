"""Table layers that compute element by element: sums, products, maxima, mixtures."""

from __future__ import annotations

import torch

from ...types import Storage
from .._guard import describe
from .._kernels import resized, resized_like
from .._nested import buffer, buffers
from .._object import need_size
from ..module import Module


class _Elementwise(Module):
    """What these layers share: the input is a list of tensors of one size, the output a tensor of that size."""

    def __init__(self) -> None:
        super().__init__()
        self.gradInput: list = []

    def _fitting(self, tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """``tensor`` with the size of ``like``: as Torch7 does, only the number of elements has to agree."""
        if tensor.shape == like.shape:
            return tensor
        self._want(tensor.numel() == like.numel(), f"tensors of one size, here {tuple(like.shape)}", tensor)
        return tensor.reshape(like.shape)


class CAddTable(_Elementwise):
    """The sum of the tensors in a list.

    Input: a list of tensors of one size. Output: a tensor of that size.

    Args:
        ip: in place: add up in the first tensor, and hand gradOutput on as the gradient of all; default no.
    """

    _rereads = ()

    inplace = False

    def __init__(self, ip: bool | None = None) -> None:
        super().__init__()
        if ip is not None:
            self.inplace = bool(ip)

    def _laid_out(self, buffer: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        return resized_like(buffer, like) if self._last else resized(buffer, like.shape)

    def updateOutput(self, input: list[torch.Tensor]) -> torch.Tensor:
        one = input[0]
        if self.inplace:
            output, rest = self.output.set_(one), input[1:]
        elif len(input) > 1:
            output, rest = self._laid_out(self.output, one), input[2:]
            torch.add(one, self._fitting(input[1], one), out=output)
        else:
            return self._laid_out(self.output, one).copy_(one)
        for tensor in rest:
            output.add_(self._fitting(tensor, one))
        return output

    def updateGradInput(self, input: list[torch.Tensor], gradOutput: torch.Tensor) -> list[torch.Tensor]:
        if self.inplace:
            del self.gradInput[len(input) :]
            self.gradInput += [gradOutput.new_empty(0) for _ in input[len(self.gradInput) :]]
            for grad in self.gradInput:
                grad.set_(gradOutput)
        else:
            for grad, tensor in zip(buffers(self.gradInput, input), input):
                self._laid_out(grad, tensor).copy_(self._fitting(gradOutput, grad))
        return self.gradInput


class CSubTable(_Elementwise):
    """The difference of two tensors, ``x1 - x2``.

    Input: a list of two tensors of one size. Output: a tensor of that size.
    """

    def updateOutput(self, input: list[torch.Tensor]) -> torch.Tensor:
        one, two = input[0], input[1]
        return torch.sub(one, self._fitting(two, one), out=resized(self.output, one.shape))

    def updateGradInput(self, input: list[torch.Tensor], gradOutput: torch.Tensor) -> list[torch.Tensor]:
        one, two = buffers(self.gradInput, input[:2])
        one.copy_(self._fitting(gradOutput, one))
        torch.neg(self._fitting(gradOutput, two), out=two)
        return self.gradInput


class CMulTable(_Elementwise):
    """The product of the tensors in a list, element by element.

    Input: a list of tensors of one size. Output: a tensor of that size.
    """

    def updateOutput(self, input: list[torch.Tensor]) -> torch.Tensor:
        one = input[0]
        if len(input) == 1:
            return resized(self.output, one.shape).copy_(one)
        output = torch.mul(one, self._fitting(input[1], one), out=resized(self.output, one.shape))
        for tensor in input[2:]:
            output.mul_(self._fitting(tensor, one))
        return output

    def updateGradInput(self, input: list[torch.Tensor], gradOutput: torch.Tensor) -> list[torch.Tensor]:
        grads = buffers(self.gradInput, input)
        if len(grads) == 2 and gradOutput.shape == input[0].shape == input[1].shape:
            torch.mul(gradOutput, input[1], out=grads[0])
            torch.mul(gradOutput, input[0], out=grads[1])
            return self.gradInput
        for i, grad in enumerate(grads):
            factor = self._fitting(gradOutput, grad)
            for j, tensor in enumerate(input):
                if j != i:
                    factor = torch.mul(factor, self._fitting(tensor, grad), out=grad)
            if factor is not grad:
                grad.copy_(factor)
        return self.gradInput

    def clearState(self) -> CMulTable:
        self.__dict__.pop("tout", None)  # a buffer of Torch7's
        return super().clearState()


class CDivTable(_Elementwise):
    """The quotient of two tensors, ``x1 / x2``.

    Input: a list of two tensors of one size. Output: a tensor of that size.
    """

    def updateOutput(self, input: list[torch.Tensor]) -> torch.Tensor:
        one, two = input[0], input[1]
        return torch.div(one, self._fitting(two, one), out=resized(self.output, one.shape))

    def updateGradInput(self, input: list[torch.Tensor], gradOutput: torch.Tensor) -> list[torch.Tensor]:
        one, two = buffers(self.gradInput, input[:2])
        divisor = self._fitting(input[1], one)
        torch.div(self._fitting(gradOutput, one), divisor, out=one)
        torch.div(one, divisor, out=two.view(one.shape)).mul_(input[0]).neg_()
        return self.gradInput


class _Extremum(_Elementwise):
    """What CMaxTable and CMinTable share. The number of the tensor that won, from 1, stands in ``_index``."""

    _index = ""
    _values = ""

    def __init__(self) -> None:
        super().__init__()
        for name in (self._index, "mask", self._values, "gradMaxVals"):  # all but the first are scratch of Torch7's
            setattr(self, name, torch.empty(0))

    def _beats(self, tensor: torch.Tensor, best: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def updateOutput(self, input: list[torch.Tensor]) -> torch.Tensor:
        one = input[0]
        output = resized(self.output, one.shape).copy_(one)
        index = buffer(getattr(self, self._index, None), one).fill_(1)
        setattr(self, self._index, index)
        for i, tensor in enumerate(input[1:], 2):
            tensor = self._fitting(tensor, one)
            wins = self._beats(tensor, output)
            torch.where(wins, tensor, output, out=output)
            index.masked_fill_(wins, i)
        return output

    def updateGradInput(self, input: list[torch.Tensor], gradOutput: torch.Tensor) -> list[torch.Tensor]:
        index = getattr(self, self._index)
        for i, grad in enumerate(buffers(self.gradInput, input), 1):
            grad.copy_(self._fitting(gradOutput, grad)).masked_fill_(self._fitting(index, grad) != i, 0)
        return self.gradInput


class CMaxTable(_Extremum):
    """The largest of several tensors, element by element. Of equal ones the first is meant, and takes the gradient.

    Input: a list of tensors of one size. Output: a tensor of that size. ``maxIdx`` holds the number of the tensor that
    each element came from, from 1.
    """

    _index = "maxIdx"
    _noted = ("maxIdx",)
    _values = "maxVals"

    def _beats(self, tensor: torch.Tensor, best: torch.Tensor) -> torch.Tensor:
        return tensor > best


class CMinTable(_Extremum):
    """The smallest of several tensors, element by element. Of equal ones the first is meant, and takes the gradient.

    Input: a list of tensors of one size. Output: a tensor of that size. ``minIdx`` holds the number of the tensor that
    each element came from, from 1.
    """

    _index = "minIdx"
    _noted = ("minIdx",)
    _values = "minVals"

    def _beats(self, tensor: torch.Tensor, best: torch.Tensor) -> torch.Tensor:
        return tensor < best


class CAddTensorTable(_Elementwise):
    """One tensor added to each of a list.

    Input: a list of a tensor and a list of tensors, all of one size. Output: a list of tensors of that size.
    """

    def updateOutput(self, input: list) -> list[torch.Tensor]:
        one, many = input
        self.output = [torch.add(self._fitting(tensor, one), one) for tensor in many]
        return self.output

    def updateGradInput(self, input: list, gradOutput: list[torch.Tensor]) -> list:
        one, many = input
        mine = self.gradInput or [None, []]
        total = buffer(mine[0], one)
        grads = buffers(mine[1] if isinstance(mine[1], list) else [], [one] * len(many))
        for i, (grad, given) in enumerate(zip(grads, gradOutput)):
            grad.copy_(self._fitting(given, one))
            (total.add_ if i else total.copy_)(grad)
        self.gradInput[:] = [total, grads]
        return self.gradInput


class MixtureTable(Module):
    """Experts weighted by a gater: ``y = Σ_i g_i e_i``.

    Input: a list of the gater's output, N x E or E, and of the experts': a list of E tensors of one size (N first, if
    there is a batch), or one tensor that has the experts along dimension ``dim``. Output: the size of one expert's.

    Args:
        dim: the dimension of the experts where they are one tensor, from 1; by default 2, without a batch 1.
    """

    dim: int | None = None

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        if dim is not None:
            need_size(self, dim=dim)
            self.dim = dim
        self.size = Storage([])
        self.batchSize = 0
        self.size2 = Storage([])
        self.backwardSetup = False
        self.gradInput: list = []

    def _weights(self, gater: torch.Tensor, experts: torch.Tensor) -> tuple[torch.Tensor, int]:
        """The gater's output with the dimensions of ``experts``, and the dimension of the experts, from 0."""
        batch = gater.dim() - 1
        dim = batch if self.dim is None else self.dim - 1
        self._want(batch <= dim < experts.dim(), f"experts along dimension {dim + 1}", experts)
        self._want(experts.shape[dim] == gater.shape[-1], f"experts for a gater's {describe(gater)}", experts)
        size = [1] * experts.dim()
        size[:batch] = gater.shape[:batch]
        size[dim] = gater.shape[-1]
        return gater.reshape(size), dim

    def _diagnose(self, input: list) -> None:
        self._want(len(input) == 2 and isinstance(input[0], torch.Tensor), "the gater's output and the experts'", input)

    def _each(self, gater: torch.Tensor, experts: list[torch.Tensor]) -> list[torch.Tensor]:
        """The weights of each expert in a list, ready to be multiplied with it."""
        self._want(len(experts) == gater.shape[-1], f"experts for a gater's {describe(gater)}", experts)
        one = experts[0]
        self._want(all(expert.shape == one.shape for expert in experts), "experts' outputs of one size", experts)
        batch = gater.dim() - 1
        return [g.reshape(*g.shape, *[1] * (one.dim() - batch)) for g in gater.unbind(-1)]

    def updateOutput(self, input: list) -> torch.Tensor:
        gater, experts = input
        self._want(1 <= gater.dim() <= 2, "a gater's output of N x E or E", gater)
        if isinstance(experts, torch.Tensor):
            weights, dim = self._weights(gater, experts)
            size = (*experts.shape[:dim], *experts.shape[dim + 1 :])
            return torch.sum(experts * weights, dim, out=resized(self.output, size))
        output = resized(self.output, experts[0].shape).zero_()
        for expert, weight in zip(experts, self._each(gater, experts)):
            output.addcmul_(expert, weight)
        return output

    def updateGradInput(self, input: list, gradOutput: torch.Tensor) -> list:
        gater, experts = input
        mine = self.gradInput or [None, None]
        gaterGrad = buffer(mine[0], gater)
        batch = gater.dim() - 1
        if isinstance(experts, torch.Tensor):
            weights, dim = self._weights(gater, experts)
            whole = gradOutput.unsqueeze(dim)
            others = [d for d in range(batch, experts.dim()) if d != dim]
            products = experts * whole
            gaterGrad.copy_(products.sum(others) if others else products)
            grads = buffer(mine[1], experts)
            torch.mul(weights, whole, out=grads)
        else:
            grads = buffers(mine[1] if isinstance(mine[1], list) else [], experts)
            for i, weight in enumerate(self._each(gater, experts)):
                gaterGrad.select(-1, i).copy_((experts[i] * gradOutput).reshape(*gater.shape[:-1], -1).sum(-1))
                torch.mul(weight, gradOutput, out=grads[i])
        self.gradInput[:] = [gaterGrad, grads]
        return self.gradInput

    def clearState(self) -> MixtureTable:
        for name in ("_gaterView", "_expert", "_expertView", "_sum", "_expert2", "_expertView2"):
            self.__dict__.pop(name, None)  # buffers of Torch7's
        return super().clearState()
