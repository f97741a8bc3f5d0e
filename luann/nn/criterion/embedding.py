"""Criterions for distances and for pairs: how far two things are from each other, or should be."""

from __future__ import annotations

from typing import Any

import torch

from ... import random
from ...errors import TensorTypeError
from .._guard import describe
from .._kernels import resized
from .._object import given
from .base import MEAN, SUM, Criterion, _Elementwise, _Untargeted, as_tensor, norm, reduced

EPS = 1e-12
"""Keeps the lengths of :class:`CosineEmbeddingCriterion` from being 0."""


class HingeEmbeddingCriterion(_Elementwise):
    """For distances ``x``: the mean of ``x`` where the target is 1 and of ``max(0, margin - x)`` where it is -1.

    Input: distances; target: as many elements, or a number for a single distance. With the field ``sizeAverage`` set to
    false, the sum. At the margin itself the gradient is -1.

    Args:
        margin: default 1.
    """

    margin: float = 1

    def __init__(self, margin: float | None = None) -> None:
        super().__init__()
        self.margin = given(margin, 1)

    def _loss(self, x: torch.Tensor, t: torch.Tensor, reduction: int) -> torch.Tensor:
        near = x.masked_fill(t == -1, 0)
        far = torch.rsub(x, self.margin).clamp_(min=0).masked_fill_(t == 1, 0)
        return reduced(near.add_(far), reduction)

    def _gradient(self, x: torch.Tensor, t: torch.Tensor, reduction: int, out: torch.Tensor) -> None:
        torch.mul(t, norm(x, reduction), out=out).masked_fill_((t == -1) & (x > self.margin), 0)


class _Pair(Criterion):
    """What criterions share whose input is a list of two tensors; ``gradInput`` is one, too."""

    def __init__(self) -> None:
        super().__init__()
        self.gradInput = [torch.empty(0), torch.empty(0)]

    def _pair(self, input: Any) -> tuple[torch.Tensor, torch.Tensor]:
        fits = isinstance(input, (list, tuple)) and len(input) == 2 and all(isinstance(x, torch.Tensor) for x in input)
        if not fits:
            raise TensorTypeError(f"input must be a list of two tensors, got {describe(input)}")
        self._want(input[0].shape == input[1].shape and input[0].dim() > 0, "two tensors of one size", input)
        return input[0], input[1]


class L1HingeEmbeddingCriterion(_Pair):
    """The L1 distance ``d`` of two tensors if the target is 1, ``max(0, margin - d)`` if it is -1.

    Input: a list of two tensors of one size, which are one pair. Target: 1 or -1. Where the two are equal the gradient
    is 1 or -1 at random, which takes one random number for each such element.

    Args:
        margin: default 1.
    """

    margin: float = 1

    def __init__(self, margin: float | None = None) -> None:
        super().__init__()
        self.margin = given(margin, 1)

    def updateOutput(self, input: list, target: Any) -> float:
        a, b = self._pair(input)
        distance = torch.dist(a, b, 1).item()
        self.output = max(0, self.margin - distance) if _number(target) == -1 else distance
        return self.output

    def updateGradInput(self, input: list, target: Any) -> list:
        a, b = self._pair(input)
        first, second = (resized(g, a.shape) for g in self.gradInput)
        distance = torch.dist(a, b, 1).item()
        torch.sub(a, b, out=first)
        level = ~((first > 0) | (first < 0))
        first.sign_()
        count = int(level.sum())
        if count:
            first[level] = random.random(first.new_empty(count), 2).mul_(2).sub_(3)
        if _number(target) == -1:
            if distance > self.margin:
                first.zero_()
            else:
                first.neg_()
        torch.neg(first, out=second)
        return self.gradInput


class CosineEmbeddingCriterion(_Pair):
    """The mean of ``1 - cos`` where the target is 1 and of ``max(0, cos - margin)`` where it is -1.

    Input: a list of two tensors of one size, vectors (one pair) or N x D (a pair in each row); ``cos`` is the cosine of
    the angle between the two of a pair. Target: 1 or -1, or N of them. With the field ``sizeAverage`` set to false, the
    sum.

    Args:
        margin: default 0.
    """

    margin: float = 0
    sizeAverage = False  # older files lack it; there was one pair then

    def __init__(self, margin: float | None = None) -> None:
        super().__init__()
        self.margin = given(margin, 0)
        self.sizeAverage = True

    def _rows(self, input: list, target: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        a, b = self._pair(input)
        self._want(a.dim() <= 2, "two vectors or two tensors of size N x D", input)
        if a.dim() == 1:
            a, b = a.view(1, -1), b.view(1, -1)
        if not isinstance(target, torch.Tensor):
            target = as_tensor(target, a.device)
        self._want(target.numel() == len(a), f"{len(a)} targets, one for each pair", target)
        return a, b, target.reshape(-1)

    def _compare(
        self, a: torch.Tensor, b: torch.Tensor, t: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """For each pair the loss, the product, the inverse squared lengths, and the inverse product of the lengths."""
        product = (a * b).sum(1)
        inverse_a = (a * a).sum(1).add_(EPS).reciprocal_()
        inverse_b = (b * b).sum(1).add_(EPS).reciprocal_()
        inverse = (inverse_a * inverse_b).sqrt_()
        cosine = product * inverse
        loss = torch.where(t == -1, (cosine - self.margin).clamp_(min=0), torch.where(t == 1, 1 - cosine, cosine))
        return loss, product, inverse_a, inverse_b, inverse

    def updateOutput(self, input: list, target: Any) -> float:
        self._cache = self._compare(*self._rows(input, target))
        self.output = self._number(reduced(self._cache[0], MEAN if self.sizeAverage else SUM))
        return self.output

    def updateGradInput(self, input: list, target: Any) -> list:
        a, b, t = self._rows(input, target)
        loss, product, inverse_a, inverse_b, inverse = self._cache or self._compare(a, b, t)
        factor = inverse * norm(loss, MEAN if self.sizeAverage else SUM)
        factor = torch.where(t == 1, -factor, factor).masked_fill_(loss <= 0, 0).unsqueeze(1)
        first, second = (resized(g, a.shape) for g in self.gradInput)
        torch.addcmul(b, a, (product * inverse_a).unsqueeze(1), value=-1, out=first).mul_(factor)
        torch.addcmul(a, b, (product * inverse_b).unsqueeze(1), value=-1, out=second).mul_(factor)
        for grad in self.gradInput:
            resized(grad, input[0].shape)
        return self.gradInput


class MarginRankingCriterion(_Pair):
    """The mean of ``max(0, margin - t (a - b))``: the first should rank higher if ``t`` is 1, the second if it is -1.

    Input: a list of two tensors of one size. Target: a number for tensors of one element, or a tensor or list of as
    many numbers. The sum is divided by the number of rows of the target; with the field ``sizeAverage`` set to false,
    it is not. Where the loss has just become 0 the gradient still counts.

    Args:
        margin: default 1.
    """

    margin: float = 1
    sizeAverage = False  # older files lack it

    def __init__(self, margin: float | None = None) -> None:
        super().__init__()
        self.margin = given(margin, 1)
        self.gradInput = [torch.zeros(1), torch.zeros(1)]
        self.sizeAverage = True

    def _prepared(self, input: list, target: Any) -> tuple[torch.Tensor, torch.Tensor, int]:
        """``margin - t (a - b)``, ``t``, and what to divide by."""
        a, b = self._pair(input)
        t = target if isinstance(target, torch.Tensor) else as_tensor(target, a.device)
        self._want(t.numel() == a.numel(), f"a target of {a.numel()} elements, as either input has", t)
        rows = len(t) if self.sizeAverage and t.dim() else 1
        t = t.to(a.dtype).reshape(a.shape)
        return torch.sub(b, a).mul_(t).add_(self.margin), t, rows

    def updateOutput(self, input: list, target: Any) -> float:
        losses, _, rows = self._prepared(input, target)
        self.output = losses.clamp_(min=0).sum().item() / rows
        return self.output

    def updateGradInput(self, input: list, target: Any) -> list:
        losses, t, rows = self._prepared(input, target)
        first, second = (resized(g, t.shape) for g in self.gradInput)
        torch.mul(losses >= 0, t, out=second).div_(rows)
        torch.neg(second, out=first)
        return self.gradInput


class DistanceRatioCriterion(_Untargeted, _Pair):
    """The mean of ``-log(exp(-a) / (exp(-a) + exp(-b)))`` for distances of similar (a) and dissimilar (b) things.

    Input: a list of two tensors of one size. There is no target; one that is given is ignored. The sum is divided by
    the number of rows. As in Torch7, the results are only returned: ``output`` and ``gradInput`` stay as they are.

    Args:
        sizeAverage: divide, default yes.

    The gradients that ``backward`` returned last are ``dX`` and ``dY``.
    """

    sizeAverage = True
    dX: torch.Tensor | None = None
    dY: torch.Tensor | None = None

    def __init__(self, sizeAverage: bool | None = None) -> None:
        super().__init__()
        self.gradInput = torch.empty(0)
        self.sizeAverage = sizeAverage is not False

    def _rows(self, a: torch.Tensor) -> int:
        return len(a) if self.sizeAverage else 1

    def updateOutput(self, input: list, *ignored: Any) -> float:
        a, b = self._pair(input)
        total = torch.neg(a).exp_().add_(torch.neg(b).exp_())
        return total.log_().add_(a).sum().item() / self._rows(a)

    def updateGradInput(self, input: list, *ignored: Any) -> list:
        a, b = self._pair(input)
        if self.dX is None or self.dY is None:
            self.dX, self.dY = a.new_empty(0), b.new_empty(0)
        first = torch.neg(a, out=resized(self.dX, a.shape)).exp_()
        second = torch.neg(b, out=resized(self.dY, b.shape)).exp_()
        total = first + second
        rows = self._rows(a)
        first.div_(total).neg_().add_(1).div_(rows)
        second.div_(total).neg_().div_(rows)
        return [first, second]


def _number(target: Any) -> float:
    """A target that is one number, given as such or in a tensor or list of one element."""
    if isinstance(target, (int, float)):
        return target
    if isinstance(target, torch.Tensor) and target.numel() == 1:
        return target.item()
    if isinstance(target, (list, tuple)) and len(target) == 1:
        return _number(target[0])
    raise TensorTypeError(f"target must be a number, got {describe(target)}")
