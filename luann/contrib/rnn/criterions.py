"""Criterions for sequences of steps."""

from __future__ import annotations

from typing import Any

import torch

from ...errors import ArgumentError
from ...nn._guard import describe
from ...nn._kernels import resized
from ...nn.criterion.base import Criterion, need_criterion


class _Stepwise(Criterion):
    """What criterions share that apply a copy of another to each step.

    Input: a list of the steps, or a tensor whose first dimension are the steps; ``gradInput`` is the like.
    """

    criterion: Criterion
    clones: list

    def __init__(self, criterion: Criterion) -> None:
        super().__init__()
        self.criterion = need_criterion(self, criterion)
        if any(getattr(c, "_typename", None) == "nn.ModuleCriterion" for c in type(criterion).__mro__):
            raise ArgumentError(
                f"{self._typename} cannot go round a ModuleCriterion; make a ModuleCriterion of this criterion instead"
            )
        self.clones = []
        self.gradInput = []

    def getStepCriterion(self, step: int) -> Criterion:
        """The copy of the criterion for a step, counted from 1."""
        while len(self.clones) < step:
            self.clones.append(self.criterion.clone())
        return self.clones[step - 1]

    def _count(self, input: Any) -> int:
        """The number of steps."""
        steps = input.dim() > 0 if isinstance(input, torch.Tensor) else isinstance(input, (list, tuple))
        self._want(steps, "a list of steps, or a tensor of them", input)
        return len(input)

    def _sum(self, input: Any, targets: Any) -> float:
        total: float = 0
        for i, target in enumerate(targets):
            total += self.getStepCriterion(i + 1).forward(input[i], target)
        return total

    def _gradients(self, input: Any, targets: Any, factor: float | None = None) -> Any:
        grads = [self.getStepCriterion(i + 1).backward(input[i], target) for i, target in enumerate(targets)]
        if factor is not None:
            for grad in grads:
                _multiply(grad, factor)
        if isinstance(input, torch.Tensor):
            mine = self.gradInput if isinstance(self.gradInput, torch.Tensor) else grads[0].new_empty(0)
            grads = torch.stack(grads, out=resized(mine, (len(grads), *grads[0].shape)))
        self.gradInput = grads
        return grads


def _multiply(grad: Any, factor: float) -> None:
    if isinstance(grad, torch.Tensor):
        grad.mul_(factor)
    else:
        for entry in grad:
            _multiply(entry, factor)


class SequencerCriterion(_Stepwise):
    """The sum of a criterion over the steps of a sequence.

    Input and target: lists of the steps, or both tensors with the steps in the first dimension. gradInput is a list or
    a tensor as the input is.

    Args:
        criterion: the criterion for one step; each step has a copy.
        sizeAverage: divide by the number of steps, default no.
    """

    sizeAverage = False

    def __init__(self, criterion: Criterion, sizeAverage: bool | None = None) -> None:
        super().__init__(criterion)
        self.sizeAverage = bool(sizeAverage)

    def _matched(self, input: Any, target: Any) -> int:
        count = self._count(input)
        kind = torch.Tensor if isinstance(input, torch.Tensor) else (list, tuple)
        what = "tensor" if kind is torch.Tensor else "list"
        if not isinstance(target, kind) or self._count(target) != count:
            raise ArgumentError(f"wanted a {what} of {count} targets, got {describe(target)}")
        return count

    def updateOutput(self, input: Any, target: Any) -> float:
        count = self._matched(input, target)
        self.output = self._sum(input, target)
        if self.sizeAverage:
            self.output /= count
        return self.output

    def updateGradInput(self, input: Any, target: Any) -> Any:
        count = self._matched(input, target)
        return self._gradients(input, target, 1 / count if self.sizeAverage else None)


class RepeaterCriterion(_Stepwise):
    """The sum of a criterion over the steps of a sequence, all with the same target.

    Input: a list of the steps, or a tensor with the steps in the first dimension. Target: that of one step. gradInput
    is a list or a tensor as the input is.

    Args:
        criterion: the criterion for one step; each step has a copy.
    """

    def updateOutput(self, input: Any, target: Any) -> float:
        self.output = self._sum(input, [target] * self._count(input))
        return self.output

    def updateGradInput(self, input: Any, target: Any) -> Any:
        return self._gradients(input, [target] * self._count(input))
