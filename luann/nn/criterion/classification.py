"""Criterions whose target names classes, counted from 1.

A class that does not exist raises an ArgumentError. On CUDA the kernels do not report it; PyTorch then stops with a
"device-side assert", after which the process cannot use the device any more.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from ...errors import ArgumentError
from .._kernels import nll_loss, nll_loss_backward, resized
from .._object import given
from ..softmax import LogSoftMax
from .base import MEAN, SUM, Criterion, as_tensor, need_vector, one
from .regression import MSECriterion

_C = torch._C._nn
_aten = torch.ops.aten
_nll_loss2d = _aten.nll_loss2d_forward.output._op
_nll_loss2d_backward = _aten.nll_loss2d_backward.grad_input._op
_multi_margin_backward = _aten.multi_margin_loss_backward.grad_input._op
_multilabel_margin = _aten.multilabel_margin_loss_forward.output._op
_multilabel_margin_backward = _aten.multilabel_margin_loss_backward.grad_input._op

_NONE = -(2**62)
"""A class that no target names."""


class _Known:
    """What a criterion keeps from call to call.

    Attributes:
        labels: the buffer for the classes counted from 0.
        target, version: the tensor from which they were made, and how often it had been changed; else ``None``.
        size: that of the input.
        fields, scalars: ``output_tensor`` and ``total_weight_tensor``, and views of them without dimensions.
    """

    __slots__ = ("fields", "labels", "scalars", "size", "target", "version")

    def __init__(self, device: torch.device) -> None:
        self.labels = torch.empty(0, dtype=torch.int64, device=device)
        self.target: torch.Tensor | None = None
        self.version = 0
        self.size: tuple[int, ...] = ()
        self.fields: tuple = (None, None)
        self.scalars: tuple = ()


class _Labelled(Criterion):
    """What criterions share that take classes for a target."""

    sizeAverage = True

    def _labels(self, target: Any, size: tuple[int, ...], device: torch.device) -> torch.Tensor:
        """The target's classes as PyTorch counts them, from 0, in a buffer that is kept."""
        known = self._cache
        if known is None or known.labels.device != device:
            known = self._cache = _Known(device)
        if isinstance(target, torch.Tensor) and not target.is_inference():
            known.target, known.version = target, target._version
        else:
            known.target = None
            target = as_tensor(target, device) if not isinstance(target, torch.Tensor) else target
        if target.shape != size:
            alone = math.prod(size) == 1 and target.numel() == 1 and target.dim() <= 1
            self._want(alone, f"a target of size {'x'.join(map(str, size)) or 1}", target)
            target = target.reshape(size)
        labels = known.labels
        if labels.shape != size:
            resized(labels, size)
        if target.dtype is torch.int64 and target.device == device:
            return torch.sub(target, 1, out=labels)
        return labels.copy_(target).sub_(1)

    def _rows(self, input: torch.Tensor, target: Any) -> torch.Tensor:
        """The label of each row of the input, a vector or N x classes."""
        shape = input.shape
        if not 1 <= len(shape) <= 2:
            self._want(False, "a vector of classes or N x classes", input)
        return self._labels(target, shape[:-1], input.device)

    def _allowed(self, labels: torch.Tensor, count: int) -> torch.Tensor:
        """Which of the labels, counted from 0, may stand in a target when there are ``count`` classes."""
        return (labels >= 0) & (labels < count)

    def _diagnose(self, input: Any) -> None:
        super()._diagnose(input)
        if self._cache is None or self._cache.labels.is_cuda:
            return
        count, labels = input.shape[0 if input.dim() == 1 else 1], self._cache.labels
        wrong = labels[~self._allowed(labels, count)]
        if len(wrong):
            raise ArgumentError(f"a target is {int(wrong[0]) + 1}: classes count from 1 to {count}")


class _NegativeLogLikelihood(_Labelled):
    """What the two classes of that name share. A subclass says how ``target`` is read, and names its kernels."""

    ignoreIndex: int | None = None
    weights: torch.Tensor | None = None
    _forward_kernel: Any = None
    _backward_kernel: Any = None

    def __init__(self, weights: torch.Tensor | None = None, sizeAverage: bool | None = None) -> None:
        super().__init__()
        self.sizeAverage = sizeAverage is not False
        if weights is not None:
            self.weights = need_vector(self, weights)
        self.output_tensor = torch.zeros(1)
        self.total_weight_tensor = torch.ones(1)
        self.target = torch.zeros(1, dtype=torch.int64)

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        old = self.__dict__
        old.setdefault("output_tensor", self.gradInput.new_zeros(1))
        old.setdefault("total_weight_tensor", self.gradInput.new_ones(1))
        old.setdefault("target", torch.zeros(1, dtype=torch.int64))

    def _read(self, input: torch.Tensor, target: Any) -> torch.Tensor:
        raise NotImplementedError

    def _reread(self, input: torch.Tensor, target: Any) -> torch.Tensor:
        """The labels again in ``backward``: those of ``forward``, if this is the tensor it got, unchanged."""
        known = self._cache
        if (
            known is not None
            and known.target is target
            and target is not None
            and known.version == target._version
            and known.size == input.shape
        ):
            return known.labels
        return self._read(input, target)

    def _ignored(self) -> int:
        return _NONE if self.ignoreIndex is None else self.ignoreIndex - 1

    def _allowed(self, labels: torch.Tensor, count: int) -> torch.Tensor:
        return super()._allowed(labels, count) | (labels == self._ignored())

    def _compute(self, input: torch.Tensor, labels: torch.Tensor, reduction: int) -> float:
        known, output, total = self._cache, self.output_tensor, self.total_weight_tensor
        if known.fields[0] is not output or known.fields[1] is not total:
            known.fields, known.scalars = (output, total), (output.view(()), total.view(()))
        output, total = known.scalars
        known.size = input.shape
        self._forward_kernel(input, labels, self.weights, reduction, self._ignored(), output=output, total_weight=total)
        return output.where(total != 0, 0) if self._on_device else output.item()

    def updateOutput(self, input: torch.Tensor, target: Any) -> float:
        labels = self._read(input, target)
        self.output = self._compute(input, labels, MEAN if self.sizeAverage else SUM)
        if not self._on_device and not math.isfinite(self.output) and self.total_weight_tensor.item() == 0:
            self.output = self._compute(input, labels, SUM)  # no label counts; Torch7 then does not divide
        return self.output

    def updateGradInput(self, input: torch.Tensor, target: Any) -> torch.Tensor:
        labels, gradInput, shape = self._reread(input, target), self.gradInput, input.shape
        if gradInput.shape != shape:
            resized(gradInput, shape)
        total = self.total_weight_tensor
        if self.weights is not None and not self._on_device and not total.item() > 0:
            return gradInput.zero_()
        reduction = MEAN if self.sizeAverage else SUM
        self._backward_kernel(
            one(input), input, labels, self.weights, reduction, self._ignored(), total, grad_input=gradInput
        )
        if self.weights is not None and self._on_device:
            gradInput.masked_fill_(~(total > 0), 0)
        return gradInput


class ClassNLLCriterion(_NegativeLogLikelihood):
    """The negative log-likelihood of the target classes: ``-weights[t] x[t]`` for log-probabilities ``x``.

    Input: a vector of classes, or N x classes. Target: a class counted from 1, or N of them, in a tensor or a list.

    Args:
        weights: a factor for each class, default 1.
        sizeAverage: divide by the sum of the weights used, default yes.
        ignoreIndex: a target to be left out, default -100.

    ``total_weight_tensor`` holds the sum of the weights used. If that is 0, so is the gradient, and nothing is divided.
    """

    ignoreIndex = -100
    _forward_kernel = nll_loss
    _backward_kernel = nll_loss_backward
    _read = _Labelled._rows

    def __init__(
        self, weights: torch.Tensor | None = None, sizeAverage: bool | None = None, ignoreIndex: int | None = None
    ) -> None:
        super().__init__(weights, sizeAverage)
        self.ignoreIndex = given(ignoreIndex, -100)


class SpatialClassNLLCriterion(_NegativeLogLikelihood):
    """:class:`ClassNLLCriterion` at each place of an image.

    Input: N x classes x H x W. Target: N x H x W classes counted from 1, in a tensor or nested lists.

    Args:
        weights: a factor for each class, default 1.
        sizeAverage: divide by the sum of the weights used, default yes.

    ``total_weight_tensor`` holds the sum of the weights used. If that is 0, so is the gradient, and nothing is divided.
    """

    _forward_kernel = _nll_loss2d
    _backward_kernel = _nll_loss2d_backward

    def _read(self, input: torch.Tensor, target: Any) -> torch.Tensor:
        self._want(input.dim() == 4, "N x classes x H x W", input)
        return self._labels(target, (input.shape[0], *input.shape[2:]), input.device)


class CrossEntropyCriterion(Criterion):
    """:class:`~luann.nn.LogSoftMax` and :class:`ClassNLLCriterion` in one: the cross-entropy of scores.

    Dimensions of size 1 are dropped from input and target. What is left of the input is a vector of classes or N x
    classes, of the target a class counted from 1 or N of them.

    Args:
        weights: a factor for each class, default 1.
        sizeAverage: divide by the sum of the weights used, default yes.

    ``lsm`` and ``nll`` are the two parts. A ``sizeAverage`` that has been changed since the last ``forward`` is handed
    on to ``nll``.
    """

    sizeAverage: bool | None = None
    oldSizeAverage: bool | None = None

    def __init__(self, weights: torch.Tensor | None = None, sizeAverage: bool | None = None) -> None:
        super().__init__()
        self.lsm = LogSoftMax()
        self.nll = ClassNLLCriterion(weights, sizeAverage)
        self.sizeAverage = self.nll.sizeAverage
        self.oldSizeAverage = self.sizeAverage

    def _squeezed(self, input: torch.Tensor, target: Any) -> tuple[torch.Tensor, torch.Tensor]:
        if self.sizeAverage != self.oldSizeAverage:
            self.nll.sizeAverage = self.sizeAverage
            self.oldSizeAverage = self.sizeAverage
        if not isinstance(target, torch.Tensor):
            target = as_tensor(target, input.device)
        if 1 in input.shape:
            input = input.squeeze() if input.numel() > 1 else input.reshape(1)
        return input, target.squeeze() if 1 in target.shape else target

    def updateOutput(self, input: torch.Tensor, target: Any) -> float:
        x, t = self._squeezed(input, target)
        self.lsm.updateOutput(x)
        self.output = self.nll.updateOutput(self.lsm.output, t)
        return self.output

    def updateGradInput(self, input: torch.Tensor, target: Any) -> torch.Tensor:
        x, t = self._squeezed(input, target)
        self.nll.updateGradInput(self.lsm.output, t)
        self.lsm.updateGradInput(x, self.nll.gradInput)
        gradient = self.lsm.gradInput
        return self.gradInput.set_(gradient if x is input else gradient.view(input.shape))


class MultiMarginCriterion(_Labelled):
    """The multi-class hinge loss: ``w_t Σ_i max(0, margin - x_t + x_i)ᵖ / classes``.

    The sum is over all classes ``i`` but the target ``t``.

    Input: a vector of scores, or N x classes. Target: a class counted from 1, or N of them, in a tensor or a list. The
    number is the mean over the rows; with the field ``sizeAverage`` set to false, their sum.

    Args:
        p: 1 or 2, default 1.
        weights: a factor for each target class, default 1.
        margin: default 1.
    """

    p = 1
    margin: float = 1
    weights: torch.Tensor | None = None

    def __init__(self, p: int | None = None, weights: torch.Tensor | None = None, margin: float | None = None) -> None:
        super().__init__()
        self.p = given(p, 1)
        if self.p not in (1, 2):
            raise ArgumentError(f"{self._typename}: p must be 1 or 2, got {p!r}")
        self.margin = given(margin, 1)
        self.sizeAverage = True
        if weights is not None:
            self.weights = need_vector(self, weights)

    def updateOutput(self, input: torch.Tensor, target: Any) -> float:
        labels = self._rows(input, target)
        reduction = MEAN if self.sizeAverage else SUM
        self.output = self._number(_C.multi_margin_loss(input, labels, self.p, self.margin, self.weights, reduction))
        return self.output

    def updateGradInput(self, input: torch.Tensor, target: Any) -> torch.Tensor:
        labels = self._rows(input, target)
        gradInput = resized(self.gradInput, input.shape)
        reduction = MEAN if self.sizeAverage else SUM
        _multi_margin_backward(
            one(input), input, labels, self.p, self.margin, self.weights, reduction, grad_input=gradInput
        )
        return gradInput


class MultiLabelMarginCriterion(_Labelled):
    """The hinge loss with several target classes: ``Σ_t Σ_i max(0, 1 - x_t + x_i) / classes``.

    The sums are over the target classes ``t`` and over the others, ``i``.

    Input: a vector of scores, or N x classes. Target: as large, in each row the classes, counted from 1, then zeros;
    what comes after the first zero does not count. The number is the mean over the rows; with the field ``sizeAverage``
    set to false, their sum.

    ``isTarget`` marks the target classes of the last ``forward``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sizeAverage = True
        self.isTarget = torch.empty(0)

    def _read(self, input: torch.Tensor, target: Any) -> torch.Tensor:
        self._want(1 <= input.dim() <= 2, "a vector of classes or N x classes", input)
        return self._labels(target, input.shape, input.device)

    def _allowed(self, labels: torch.Tensor, count: int) -> torch.Tensor:
        return super()._allowed(labels, count) | (labels == -1)

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        self.__dict__.setdefault("isTarget", self.gradInput.new_empty(0))

    def updateOutput(self, input: torch.Tensor, target: Any) -> float:
        labels = self._read(input, target)
        output = input.new_empty(())
        is_target = resized(self.isTarget, input.shape)
        _multilabel_margin(input, labels, MEAN if self.sizeAverage else SUM, output=output, is_target=is_target)
        self.output = self._number(output)
        return self.output

    def updateGradInput(self, input: torch.Tensor, target: Any) -> torch.Tensor:
        labels = self._read(input, target)
        gradInput = resized(self.gradInput, input.shape)
        reduction = MEAN if self.sizeAverage else SUM
        _multilabel_margin_backward(one(input), input, labels, reduction, self.isTarget, grad_input=gradInput)
        return gradInput


class ClassSimplexCriterion(MSECriterion, _Labelled):
    """The mean squared distance from a point to the corner of its class, where the corners form a regular simplex.

    Input: a point of ``nClasses`` coordinates, or N x nClasses. Target: a class counted from 1, or N of them, in a
    tensor or a list; ``None`` is the last one again. The number is divided by that of all coordinates, unless the field
    ``sizeAverage`` is set to false.

    Args:
        nClasses: the number of classes, from 2 on.

    ``simplex`` holds the corners, one in each row, at distance 1 from the origin and equally far from each other; the
    last coordinate is 0.
    """

    def __init__(self, nClasses: int) -> None:
        super().__init__()
        if isinstance(nClasses, bool) or not isinstance(nClasses, (int, float)) or nClasses % 1 or nClasses < 2:
            raise ArgumentError(f"{self._typename}: nClasses must be a whole number from 2 on, got {nClasses!r}")
        self.nClasses = int(nClasses)
        self.simplex = _simplex(self.nClasses)
        self._target = torch.zeros(self.nClasses)

    def _aligned(self, input: torch.Tensor, target: Any) -> torch.Tensor:
        self._want(input.shape[-1:] == (self.nClasses,), f"{self.nClasses} coordinates, or N x {self.nClasses}", input)
        if target is None:  # then Torch7 takes the corners of the last target
            self._want(self._target.numel() == input.numel(), "as many points as the last target has classes", input)
            return self._target.view(input.shape)
        labels = self._rows(input, target)
        corners = resized(self._target, input.shape)
        torch.index_select(self.simplex, 0, labels.view(-1), out=corners.view(-1, self.nClasses))
        return corners

    def getPredictions(self, input: torch.Tensor) -> torch.Tensor:
        """How far each point lies towards the corner of each class: N x nClasses. A single point counts as N = 1."""
        return torch.mm(input.view(1, -1) if input.dim() == 1 else input, self.simplex.t())

    def getTopPrediction(self, input: torch.Tensor) -> torch.Tensor:
        """The class of each point, counted from 1: N whole numbers."""
        return self.getPredictions(input).argmax(1).add_(1)


def _simplex(corners: int) -> torch.Tensor:
    """A regular simplex around the origin, with corners at distance 1, one in each row; the last coordinate is 0.

    Corner k lies at height ``d_k`` above those that follow, along axis k; all of these have the coordinate ``c_k``
    there.
    """
    n = corners - 1
    left = torch.arange(n, 0, -1, dtype=torch.float64)  # how many corners follow
    d = ((n + 1) / n * left / (left + 1)).sqrt()
    c = -(n + 1) / n / (left + 1) / d
    simplex = torch.zeros(corners, corners, dtype=torch.float64)
    simplex[:n, :n] = d.diag()
    simplex[:, :n] += torch.ones(corners, n, dtype=torch.float64).tril(-1) * c
    return simplex.to(torch.get_default_device(), torch.get_default_dtype())
