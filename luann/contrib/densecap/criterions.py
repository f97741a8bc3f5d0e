"""densecap's criterions."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from ...errors import ArgumentError
from ...nn._kernels import resized
from ...nn._nested import buffers
from ...nn._object import given
from ...nn.criterion import ClassNLLCriterion, Criterion, SmoothL1Criterion
from ...nn.softmax import LogSoftMax
from .boxes import InvertBoxTransform


class LogisticCriterion(Criterion):
    """The mean of ``log(1 + exp(-x))`` for the class that is the target and ``log(1 + exp(x))`` for all others.

    Input: scores, N x classes. Target: N classes from 1, or N x 1 of them; 0 where none is right.

    ``mask`` is 1 for the scores of classes that are wrong.
    """

    def __init__(self) -> None:
        super().__init__()
        for name in ("offsets", "buffer", "log_den", "losses"):  # the rock's scratch
            setattr(self, name, torch.empty(0))
        self.mask = torch.empty(0, dtype=torch.uint8)
        self.target_nonzero = torch.empty(0, dtype=torch.int64)
        self.target_zero_mask = torch.empty(0, dtype=torch.uint8)

    @staticmethod
    def _fits(fields: dict) -> bool:
        return "log_den" in fields

    def _diagnose(self, input: Any) -> None:
        super()._diagnose(input)
        self._want(input.dim() == 2, "scores of N x classes", input)

    def updateOutput(self, input: torch.Tensor, target: torch.Tensor) -> float:
        N, classes = input.shape
        self._want(target.numel() == N, f"a target of {N} classes", target)
        labels = target.reshape(N, 1).long()
        if not input.is_cuda and N and not 0 <= int(labels.min()) <= int(labels.max()) <= classes:
            raise ArgumentError(f"targets are from 0 to {classes}, got {int(labels.min())} to {int(labels.max())}")
        self.mask = labels != torch.arange(1, classes + 1, device=input.device)
        losses = torch.logaddexp(-input, input.new_zeros(())).addcmul_(input, self.mask)
        self.mask = self.mask.to(torch.uint8)  # as files have it
        self.output = losses.mean().item()
        return self.output

    def updateGradInput(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        gradInput = torch.sigmoid(-input, out=resized(self.gradInput, input.shape))
        return torch.sub(self.mask.to(input.dtype), gradInput, out=gradInput).div_(input.numel())


class OurCrossEntropyCriterion(Criterion):
    """:class:`~luann.nn.CrossEntropyCriterion` that does not drop dimensions of size 1.

    Input: N x classes, or a vector of classes. Target: N classes from 1, or one.

    Args:
        weights: a factor for each class, default 1.
    """

    def __init__(self, weights: torch.Tensor | None = None) -> None:
        super().__init__()
        self.lsm = LogSoftMax()
        self.nll = ClassNLLCriterion(weights)

    def updateOutput(self, input: torch.Tensor, target: Any) -> float:
        self.output = self.nll.updateOutput(self.lsm.updateOutput(input), target)
        return self.output

    def updateGradInput(self, input: torch.Tensor, target: Any) -> torch.Tensor:
        grad = self.nll.updateGradInput(self.lsm.output, target)
        return self.gradInput.set_(self.lsm.updateGradInput(input, grad))


class BoxRegressionCriterion(Criterion):
    """:class:`~luann.nn.SmoothL1Criterion` between offsets and those that would make the target boxes of the anchors.

    Input: a list of anchors and offsets, N x 4 each. Target: boxes, N x 4. The gradients reach anchors and offsets.
    Boxes of which an offset would have to be beyond 10 do not count; there is a warning. (densecap also sets the
    offsets that it was given to zero there; luann does not change them.)

    Args:
        w: what the number is multiplied with, default 1.
    """

    target_transforms: Any = None
    mask: Any = None

    def __init__(self, w: float | None = None) -> None:
        super().__init__()
        self.w = given(w, 1)
        self.invert_transform = InvertBoxTransform()
        self.smooth_l1 = SmoothL1Criterion()
        self.gradInput = [torch.empty(0), torch.empty(0)]

    def _offsets(self, input: list[torch.Tensor]) -> torch.Tensor:
        return input[1].masked_fill(self.mask != 0, 0)

    def updateOutput(self, input: list[torch.Tensor], target: torch.Tensor) -> float:
        wanted = self.target_transforms = self.invert_transform.updateOutput([input[0], target])
        large = wanted.abs().amax(1, keepdim=True) > 10
        self.mask = large.to(torch.uint8).expand_as(wanted)
        if large.any():
            warnings.warn(f"{self._typename}: {int(large.sum())} boxes too far from their anchors", stacklevel=2)
            wanted.masked_fill_(large, 0)
        self.output = self.w * self.smooth_l1.updateOutput(self._offsets(input), wanted)
        return self.output

    def updateGradInput(self, input: list[torch.Tensor], target: torch.Tensor) -> list[torch.Tensor]:
        grad = self.smooth_l1.updateGradInput(self._offsets(input), self.target_transforms).mul_(self.w)
        gradAnchors, gradOffsets = buffers(self.gradInput, input)
        gradOffsets.copy_(grad)
        torch.neg(self.invert_transform.updateGradInput([input[0], target], grad)[0], out=gradAnchors)
        return self.gradInput

    def clearState(self) -> BoxRegressionCriterion:
        """Empty the buffers; returns the criterion."""
        self.invert_transform.clearState()
        self.__dict__.pop("target_transforms", None)
        self.__dict__.pop("mask", None)
        for grad in self.gradInput:
            grad.set_()
        return self
