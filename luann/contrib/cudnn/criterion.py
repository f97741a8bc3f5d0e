"""The cross-entropy of images and volumes."""

from __future__ import annotations

import torch

from ... import nn
from ...errors import ShapeError
from ...nn._guard import describe
from ...nn._object import need_tensor
from ...nn.criterion.base import Criterion
from .pointwise import SpatialLogSoftMax


class SpatialCrossEntropyCriterion(Criterion, typename="cudnn.SpatialCrossEntropyCriterion"):
    """:class:`~luann.nn.LogSoftMax` over the planes and :class:`~luann.nn.SpatialClassNLLCriterion` in one.

    Input: N x classes x H x W scores. Target: N x H x W classes counted from 1.

    Args:
        weights: a factor for each class, default 1.

    ``sizeAverage`` (true at first) says whether the sum is divided by that of the weights used. ``slsm`` and ``nll``
    are the two parts.
    """

    sizeAverage = True

    def __init__(self, weights: torch.Tensor | None = None) -> None:
        super().__init__()
        self.slsm = SpatialLogSoftMax()
        self.nll = nn.SpatialClassNLLCriterion(weights)
        self.sizeAverage = True

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        old = self.__dict__.get("nll")
        if isinstance(old, nn.ClassNLLCriterion):  # of places in a row, in the first versions
            self.nll = nn.SpatialClassNLLCriterion(old.weights)
            self.nll.type(self.slsm.type())

    def updateOutput(self, input: torch.Tensor, target: torch.Tensor) -> float:
        self.nll.sizeAverage = self.sizeAverage
        self.output = self.nll.updateOutput(self.slsm.updateOutput(_batch(input, 4)), target)
        return self.output

    def updateGradInput(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        grad = self.nll.updateGradInput(self.slsm.output, target)
        return self.gradInput.set_(self.slsm.updateGradInput(input, grad))


class VolumetricCrossEntropyCriterion(Criterion, typename="cudnn.VolumetricCrossEntropyCriterion"):
    """:class:`SpatialCrossEntropyCriterion` of volumes.

    Input: N x classes x T x H x W scores. Target: N x T x H x W classes counted from 1.

    Args:
        weights: a factor for each class, default 1.

    ``scec`` is the criterion of images that does it, and has the ``sizeAverage``.
    """

    def __init__(self, weights: torch.Tensor | None = None) -> None:
        super().__init__()
        self.scec = SpatialCrossEntropyCriterion(weights)

    def updateOutput(self, input: torch.Tensor, target: torch.Tensor) -> float:
        self.output = self.scec.updateOutput(_batch(input, 5).flatten(2, 3), target.flatten(1, 2))
        return self.output

    def updateGradInput(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        grad = self.scec.updateGradInput(input.flatten(2, 3), target.flatten(1, 2))
        return self.gradInput.set_(grad.view(input.shape))


def _batch(input: torch.Tensor, dims: int) -> torch.Tensor:
    if need_tensor(input).dim() != dims:
        raise ShapeError(f"wanted a batch, N x classes and {dims - 2} more dimensions, got {describe(input)}")
    return input
