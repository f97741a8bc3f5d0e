"""Criterions for values and for distributions."""

from __future__ import annotations

from typing import Any

import torch

from ...errors import ArgumentError
from .._guard import describe
from .._kernels import mse_loss_backward, resized
from .._object import need_tensor
from .base import SUM, _Elementwise, _Untargeted, norm, one, reduced

_C = torch._C._nn
_smooth_l1_backward = torch.ops.aten.smooth_l1_loss_backward.grad_input._op


class AbsCriterion(_Elementwise):
    """The mean of the absolute differences, ``Σ |x - t| / n``.

    Input, target: tensors of the same number of elements. Where they are equal the gradient is that of ``x > t``.

    Args:
        sizeAverage: divide by that number, default yes.
    """

    def _loss(self, x: torch.Tensor, t: torch.Tensor, reduction: int) -> torch.Tensor:
        return _C.l1_loss(x, t, reduction)

    def _gradient(self, x: torch.Tensor, t: torch.Tensor, reduction: int, out: torch.Tensor) -> None:
        torch.ge(x, t, out=out).sub_(0.5).mul_(2 * norm(x, reduction))


class MSECriterion(_Elementwise):
    """The mean of the squared differences, ``Σ (x - t)² / n``.

    Input, target: tensors of the same number of elements.

    Args:
        sizeAverage: divide by that number, default yes.
    """

    def _loss(self, x: torch.Tensor, t: torch.Tensor, reduction: int) -> torch.Tensor:
        return _C.mse_loss(x, t, reduction)

    def _gradient(self, x: torch.Tensor, t: torch.Tensor, reduction: int, out: torch.Tensor) -> None:
        mse_loss_backward(one(x), x, t, reduction, grad_input=out)


class WeightedMSECriterion(MSECriterion):
    """:class:`MSECriterion` with a weighted target, ``Σ (x - w t)² / n``. The input is not weighted.

    Input, target: tensors of one size, either that of ``weight`` or N times that.

    Args:
        w: the weights; a copy is kept as ``weight``.
    """

    def __init__(self, w: torch.Tensor) -> None:
        super().__init__()
        if not isinstance(w, torch.Tensor):
            raise ArgumentError(f"{self._typename}: the weights must be a tensor, got {describe(w)}")
        self.weight = w.clone()

    def _aligned(self, input: torch.Tensor, target: Any) -> torch.Tensor:
        weight = self.weight
        if input.dim() - 1 == weight.dim():
            fits = input.shape[1:] == weight.shape
        else:
            fits = input.numel() == weight.numel()
            weight = weight.reshape(input.shape) if fits else weight
        self._want(fits, f"an input, or rows of it, of the size of the weights, {describe(weight)}", input)
        return super()._aligned(input, target) * weight


class SpatialAutoCropMSECriterion(MSECriterion):
    """:class:`MSECriterion` with the middle of a larger target.

    Input: C x H x W or N x C x H x W; target: the same with a height and width at least as large, cut to those of the
    input. Both passes take the whole target; Torch7's backward pass takes only one that has been cut.

    Args:
        sizeAverage: divide by the number of elements of the input, default yes.
    """

    def _aligned(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        self._want(3 <= input.dim() <= 4, "C x H x W or N x C x H x W", input)
        need_tensor(target, "target")
        (h, w), (target_h, target_w) = input.shape[-2:], target.shape[-2:]
        self._want(
            input.shape[:-2] == target.shape[:-2] and h <= target_h and w <= target_w,
            f"a target of at least the size of the input, {describe(input)}, equal but for height and width",
            target,
        )
        top, left = (target_h - h) // 2, (target_w - w) // 2
        return super()._aligned(input, target[..., top : top + h, left : left + w])


class SmoothL1Criterion(_Elementwise):
    """The mean of ``d² / 2`` where ``d = |x - t| < 1``, and of ``d - 1 / 2`` elsewhere.

    Input, target: tensors of the same number of elements.

    Args:
        sizeAverage: divide by that number, default yes.
    """

    def _loss(self, x: torch.Tensor, t: torch.Tensor, reduction: int) -> torch.Tensor:
        return _C.smooth_l1_loss(x, t, reduction, 1.0)

    def _gradient(self, x: torch.Tensor, t: torch.Tensor, reduction: int, out: torch.Tensor) -> None:
        _smooth_l1_backward(one(x), x, t, reduction, 1.0, grad_input=out)


class DistKLDivCriterion(_Elementwise):
    """The Kullback-Leibler divergence of log-probabilities ``x`` from probabilities ``t``: ``Σ t (log t - x) / n``.

    Input, target: tensors of the same number of elements; that number, not the number of distributions, is ``n``. Where
    ``t`` is not above 0 the input does not count.
    """

    def __init__(self) -> None:
        super().__init__()

    def _loss(self, x: torch.Tensor, t: torch.Tensor, reduction: int) -> torch.Tensor:
        return reduced(t.log().sub_(x).mul_(t).masked_fill_(t <= 0, 0), reduction)

    def _gradient(self, x: torch.Tensor, t: torch.Tensor, reduction: int, out: torch.Tensor) -> None:
        torch.clamp(t, min=0, out=out).mul_(-norm(x, reduction))


class L1Cost(_Untargeted):
    """The sum of the absolute values, ``Σ |x|``; at 0 the gradient is 0.

    Input: a tensor. There is no target; one that is given is ignored.
    """

    def updateOutput(self, input: torch.Tensor, *ignored: Any) -> float:
        self.output = self._number(reduced(input.abs(), SUM))
        return self.output

    def updateGradInput(self, input: torch.Tensor, *ignored: Any) -> torch.Tensor:
        return torch.sign(input, out=resized(self.gradInput, input.shape))
