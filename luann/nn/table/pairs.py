"""Table layers of two tensors: distances, and products of matrices and vectors."""

from __future__ import annotations

from typing import Any

import torch

from ... import random
from ...errors import ArgumentError
from .. import utils
from .._kernels import resized
from .._nested import buffers
from .._object import given, need_number, need_tensor
from ..module import Module


class _Rows(Module):
    """What the distances share: two vectors, or two N x D whose rows are paired."""

    def _pair(self, input: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """The two as N x D."""
        a, b = input[0], input[1]
        self._want(1 <= a.dim() <= 2 and a.shape == b.shape, "two vectors or two N x D of one size", input)
        return (a, b) if a.dim() == 2 else (a.unsqueeze(0), b.unsqueeze(0))

    def _gradients(self, input: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """The two tensors of ``gradInput``, sized as the input, seen as N x D."""
        one, two = buffers(self.gradInput, input[:2])
        return (one, two) if one.dim() == 2 else (one.unsqueeze(0), two.unsqueeze(0))


class PairwiseDistance(_Rows):
    """The distance of two vectors, ``(Σ_i |a_i - b_i|^p)^(1/p)``.

    Input: a list of two N x D, or of two vectors. Output: a vector of N, or of one element.

    Args:
        p: the norm, default 2.

    As in Torch7, the gradient is that of the p-norm for p = 1 and from 2 on. For p = 1 a difference of zero has the
    slope 1 or -1, drawn at random.
    """

    diff: torch.Tensor | None = None

    def __init__(self, p: float | None = None) -> None:
        super().__init__()
        self.gradInput: list = []
        self.diff = torch.empty(0)
        self.norm = given(p, 2)
        need_number(self, p=self.norm)
        if not self.norm > 0:
            raise ArgumentError(f"{self._typename}: p must be above 0, got {p!r}")

    def _difference(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        self.diff = self.diff if self.diff is not None else a.new_empty(0)
        return torch.sub(a, b, out=resized(self.diff, a.shape))

    def updateOutput(self, input: list[torch.Tensor]) -> torch.Tensor:
        a, b = self._pair(input)
        diff = self._difference(a, b)
        return torch.linalg.vector_norm(diff, self.norm, 1, out=resized(self.output, (a.shape[0],)))

    def updateGradInput(self, input: list[torch.Tensor], gradOutput: torch.Tensor) -> list[torch.Tensor]:
        diff = self._difference(*self._pair(input))
        one, two = self._gradients(input)
        p = self.norm
        factor = gradOutput.reshape(-1, 1)
        if p == 1:
            slope = diff.sign()
            zeros = (slope == 0).nonzero(as_tuple=True)
            if len(zeros[0]):
                slope[zeros] = random.random(slope.new_empty(len(zeros[0])), 2).mul_(2).sub_(3)
        else:
            slope = diff * diff.abs().pow_(p - 2) if p > 2 else diff
            factor = factor * (self.output.view(-1, 1) + 1e-6).pow_(1 - p)
        torch.mul(slope, factor, out=one)
        torch.neg(one, out=two)
        return self.gradInput

    def clearState(self) -> PairwiseDistance:
        utils.clear(self, "diff", "outExpand", "grad", "ones")
        return super().clearState()


class DotProduct(_Rows):
    """The dot product of two vectors, ``Σ_i a_i b_i``.

    Input: a list of two N x D, or of two vectors. Output: a vector of N, or of one element.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gradInput = [torch.empty(0), torch.empty(0)]

    def updateOutput(self, input: list[torch.Tensor]) -> torch.Tensor:
        a, b = self._pair(input)
        return torch.sum(a * b, 1, out=resized(self.output, (a.shape[0],)))

    def updateGradInput(self, input: list[torch.Tensor], gradOutput: torch.Tensor) -> list[torch.Tensor]:
        a, b = self._pair(input)
        one, two = self._gradients(input)
        factor = gradOutput.reshape(-1, 1)
        torch.mul(b, factor, out=one)
        torch.mul(a, factor, out=two)
        return self.gradInput

    def clearState(self) -> DotProduct:
        utils.clear(self, "buffer")  # Torch7's
        return super().clearState()


class CosineDistance(_Rows):
    """The cosine of the angle between two vectors, ``a·b / √((a·a + ε) (b·b + ε))`` with ε = 1e-12.

    Input: a list of two N x D, or of two vectors. Output: a vector of N, or of one element.
    """

    w1: torch.Tensor | None = None
    w22: torch.Tensor | None = None
    w32: torch.Tensor | None = None
    w: torch.Tensor | None = None

    def __init__(self) -> None:
        super().__init__()
        self.gradInput = [torch.empty(0), torch.empty(0)]

    def updateOutput(self, input: list[torch.Tensor]) -> torch.Tensor:
        a, b = self._pair(input)
        # under the names they have in Torch7: a·b, the inverses of a·a and b·b, the root of their product
        self.w1 = torch.sum(a * b, 1, keepdim=True)
        self.w22 = torch.sum(a * a, 1, keepdim=True).add_(1e-12).reciprocal_()
        self.w32 = torch.sum(b * b, 1, keepdim=True).add_(1e-12).reciprocal_()
        self.w = (self.w22 * self.w32).sqrt_()
        return torch.mul(self.w1.view(-1), self.w.view(-1), out=resized(self.output, (a.shape[0],)))

    def updateGradInput(self, input: list[torch.Tensor], gradOutput: torch.Tensor) -> list[torch.Tensor]:
        a, b = self._pair(input)
        one, two = self._gradients(input)
        factor = self.w * gradOutput.reshape(-1, 1)
        torch.addcmul(b, a, self.w1 * self.w22, value=-1, out=one).mul_(factor)
        torch.addcmul(a, b, self.w1 * self.w32, value=-1, out=two).mul_(factor)
        return self.gradInput

    def clearState(self) -> CosineDistance:
        utils.clear(self, "buffer", "w1", "w22", "w", "w32", "ones", "_input1", "_input2")
        return super().clearState()


class MM(Module):
    """The product of two matrices.

    Input: a list of two matrices, or of two N x rows x columns. Output: a matrix, or N of them.

    Args:
        transA, transB: whether to transpose the first, the second before; default no.
    """

    def __init__(self, transA: bool | None = None, transB: bool | None = None) -> None:
        super().__init__()
        self.transA = bool(transA)
        self.transB = bool(transB)
        self.gradInput = [torch.empty(0), torch.empty(0)]

    def _factors(self, input: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        a, b = input
        return (a.mT if self.transA else a), (b.mT if self.transB else b)

    def _diagnose(self, input: Any) -> None:
        self._want(isinstance(input, (list, tuple)) and len(input) == 2, "two matrices", input)
        a, b = self._factors([need_tensor(tensor) for tensor in input])
        self._want(
            2 <= a.dim() <= 3 and a.dim() == b.dim() and a.shape[:-2] == b.shape[:-2] and a.shape[-1] == b.shape[-2],
            "matrices (or as many of each) where the columns of the first are as many as the rows of the second"
            + (", transposed as the module says" if self.transA or self.transB else ""),
            input,
        )

    def updateOutput(self, input: list[torch.Tensor]) -> torch.Tensor:
        a, b = self._factors(input)
        size = (*a.shape[:-1], b.shape[-1])
        return _product(a)(a, b, out=resized(self.output, size))

    def updateGradInput(self, input: list[torch.Tensor], gradOutput: torch.Tensor) -> list[torch.Tensor]:
        a, b = self._factors(input)
        product = _product(a)
        one, two = buffers(self.gradInput, input)
        if self.transA:
            product(b, gradOutput.mT, out=one)
        else:
            product(gradOutput, b.mT, out=one)
        if self.transB:
            product(gradOutput.mT, a, out=two)
        else:
            product(a.mT, gradOutput, out=two)
        return self.gradInput


def _product(a: torch.Tensor) -> Any:
    return torch.mm if a.dim() == 2 else torch.bmm


class MV(Module):
    """The product of a matrix and a vector.

    Input: a list of a matrix and a vector, or of N x rows x columns and N x columns. Output: a vector, or N x rows.

    Args:
        trans: whether to transpose the matrix before, default no.
    """

    def __init__(self, trans: bool | None = None) -> None:
        super().__init__()
        if trans not in (None, True, False):
            raise ArgumentError(f"{self._typename}: trans must be true or false, got {trans!r}")
        self.trans = bool(trans)
        self.gradInput = [torch.empty(0), torch.empty(0)]

    def _matrix(self, m: torch.Tensor) -> torch.Tensor:
        return m.mT if self.trans else m

    def _diagnose(self, input: Any) -> None:
        self._want(isinstance(input, (list, tuple)) and len(input) == 2, "a matrix and a vector", input)
        m, v = self._matrix(need_tensor(input[0])), need_tensor(input[1])
        self._want(
            2 <= m.dim() <= 3 and (*m.shape[:-2], m.shape[-1]) == v.shape,
            f"a matrix (or several) with as many {'rows' if self.trans else 'columns'} as the vector has elements",
            input,
        )

    def updateOutput(self, input: list[torch.Tensor]) -> torch.Tensor:
        m, v = self._matrix(input[0]), input[1]
        output = resized(self.output, m.shape[:-1])
        if m.dim() == 2:
            return torch.mv(m, v, out=output)
        torch.bmm(m, v.unsqueeze(2), out=output.unsqueeze(2))
        return output

    def updateGradInput(self, input: list[torch.Tensor], gradOutput: torch.Tensor) -> list[torch.Tensor]:
        m, v = self._matrix(input[0]), input[1]
        one, two = buffers(self.gradInput, input)
        left, right = (v, gradOutput) if self.trans else (gradOutput, v)
        if m.dim() == 2:
            torch.outer(left, right, out=one)
            torch.mv(m.mT, gradOutput, out=two)
        else:
            torch.bmm(left.unsqueeze(2), right.unsqueeze(1), out=one)
            torch.bmm(m.mT, gradOutput.unsqueeze(2), out=two.unsqueeze(2))
        return self.gradInput
