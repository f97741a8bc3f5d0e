"""Criterions for yes or no: each element of the input is a question of its own."""

from __future__ import annotations

import math

import torch

from .._object import given
from ..transfer import Sigmoid
from .base import _Elementwise, need_vector, norm, one, reduced

_C = torch._C._nn
_soft_margin_backward = torch.ops.aten.soft_margin_loss_backward.grad_input._op

EPS = 1e-12
"""Keeps the logarithms of :class:`BCECriterion` finite."""


class _Weighted(_Elementwise):
    """What those share that take a weight for each column."""

    weights: torch.Tensor | None = None

    def __init__(self, weights: torch.Tensor | None = None, sizeAverage: bool | None = None) -> None:
        super().__init__(sizeAverage)
        if weights is not None:
            self.weights = need_vector(self, weights)

    def _weigh(self, values: torch.Tensor) -> torch.Tensor:
        """Multiply ``values`` by the weights, in place."""
        weights = self.weights
        if weights is None:
            return values
        n = weights.numel()
        self._want(values.dim() <= 2 and values.shape[-1:] == weights.shape, f"{n} elements, or N x {n}", values)
        return values.mul_(weights)


class BCECriterion(_Weighted):
    """The mean of ``-w (t log(x + ε) + (1 - t) log(1 - x + ε))``, ε = 1e-12: the cross-entropy of probabilities ``x``.

    Input: probabilities; target: as many elements, 0, 1 or between. With weights a vector or N x columns, else any
    size.

    Args:
        weights: a factor for each column (each element of a vector), default 1.
        sizeAverage: divide by the number of elements, default yes.
    """

    def _loss(self, x: torch.Tensor, t: torch.Tensor, reduction: int) -> torch.Tensor:
        yes = torch.add(x, EPS).log_()
        # (1 - x) first: in 1 + ε the ε would be rounded
        no = torch.rsub(x, 1).add_(EPS).log_()
        return reduced(self._weigh(torch.lerp(no, yes, t)), reduction).neg_()

    def _gradient(self, x: torch.Tensor, t: torch.Tensor, reduction: int, out: torch.Tensor) -> None:
        below = torch.rsub(x, 1).add_(EPS).mul_(x + EPS)
        self._weigh(torch.sub(x, t, out=out).div_(below).mul_(norm(x, reduction)))


class MultiLabelSoftMarginCriterion(_Weighted):
    """The mean of ``-w (t log σ(x) + (1 - t) log σ(-x))``: the cross-entropy of the probabilities ``σ(x)``.

    Input: scores, which may be large; target: as many elements, 0, 1 or between. With weights a vector or N x columns,
    else any size.

    Args:
        weights: a factor for each column (each element of a vector), default 1.
        sizeAverage: divide by the number of elements, default yes.

    ``sigmoid`` holds ``σ(x)``, flat, from the last ``forward``.
    """

    def __init__(self, weights: torch.Tensor | None = None, sizeAverage: bool | None = None) -> None:
        super().__init__(weights, sizeAverage)
        self.sigmoid = Sigmoid()

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        if "nll" in fields:  # it once was a Sigmoid and a BCECriterion
            self.sigmoid, bce = self.__dict__.pop("lsm"), self.__dict__.pop("nll")
            self.weights, self.sizeAverage = bce.weights, bce.sizeAverage

    def _loss(self, x: torch.Tensor, t: torch.Tensor, reduction: int) -> torch.Tensor:
        self.sigmoid.updateOutput(x.reshape(-1))
        losses = torch.clamp(x, min=0).addcmul_(x, t, value=-1).add_(x.abs().neg_().exp_().log1p_())
        return reduced(self._weigh(losses), reduction)

    def _gradient(self, x: torch.Tensor, t: torch.Tensor, reduction: int, out: torch.Tensor) -> None:
        probabilities = self.sigmoid.output
        self._want(probabilities.numel() == x.numel(), "the input of the last forward", x)
        self._weigh(torch.sub(probabilities.view(x.shape), t, out=out).mul_(norm(x, reduction)))


class MarginCriterion(_Elementwise):
    """The mean of ``max(0, margin - x t)``: scores ``x`` should have the sign of ``t`` and reach the margin.

    Input: scores; target: as many elements, 1 or -1.

    Args:
        margin: default 1.
    """

    margin: float = 1

    def __init__(self, margin: float | None = None) -> None:
        super().__init__()
        self.margin = given(margin, 1)

    def _loss(self, x: torch.Tensor, t: torch.Tensor, reduction: int) -> torch.Tensor:
        return reduced(torch.mul(x, t).neg_().add_(self.margin).clamp_(min=0), reduction)

    def _gradient(self, x: torch.Tensor, t: torch.Tensor, reduction: int, out: torch.Tensor) -> None:
        torch.mul(torch.mul(x, t, out=out) < self.margin, t, out=out).mul_(-norm(x, reduction))


class SoftMarginCriterion(_Elementwise):
    """The mean of ``log(1 + exp(-x t))``.

    Input: scores; target: as many elements, 1 or -1. Where ``exp(-x t)`` overflows the gradient is NaN, as in Torch7.
    """

    def __init__(self) -> None:
        super().__init__()

    def _loss(self, x: torch.Tensor, t: torch.Tensor, reduction: int) -> torch.Tensor:
        # Torch7 takes exp and log in double precision, also of floats, which therefore do not overflow
        threshold = math.inf if x.dtype is torch.float64 else 20
        return reduced(_C.softplus(torch.mul(x, t).neg_(), 1, threshold), reduction)

    def _gradient(self, x: torch.Tensor, t: torch.Tensor, reduction: int, out: torch.Tensor) -> None:
        _soft_margin_backward(one(x), x, t, reduction, grad_input=out)
