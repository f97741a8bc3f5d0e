"""Criterions in the place of modules: their input is the pair of prediction and target."""

from __future__ import annotations

from typing import Any

import torch

from .._kernels import resized
from .._nested import copied, zeroed
from ..criterion import Criterion
from ..criterion.base import need_criterion
from ..module import Module


class CriterionTable(Module):
    """The number of a criterion.

    Input: a list of the criterion's input and target. Output: a number. gradInput is a list of the gradient with
    respect to the criterion's input; gradOutput is not used.

    Args:
        criterion: the criterion.
    """

    def __init__(self, criterion: Criterion) -> None:
        super().__init__()
        self.criterion = need_criterion(self, criterion)
        self.gradInput = [criterion.gradInput]

    def updateOutput(self, input: list) -> float:
        self.output = self.criterion.updateOutput(*input)
        return self.output

    def updateGradInput(self, input: list, gradOutput: Any = None) -> list:
        self.gradInput[:] = [self.criterion.updateGradInput(*input)]
        return self.gradInput


class ModuleFromCriterion(Module):
    """The number of a criterion in a tensor, as nngraph needs it.

    Input: a list of prediction and target. Output: a tensor of one element. gradInput is a list of the gradient with
    respect to the prediction, times ``gradOutput[0]``, and zeros for the target.

    Args:
        criterion: the criterion.
    """

    def __init__(self, criterion: Criterion) -> None:
        self.criterion = need_criterion(self, criterion)
        self.output = torch.zeros(1)
        self.gradInput = [torch.empty(0), torch.empty(0)]

    def updateOutput(self, input: list) -> torch.Tensor:
        prediction, target = input
        return resized(self.output, (1,)).fill_(self.criterion.updateOutput(prediction, target))

    def updateGradInput(self, input: list, gradOutput: torch.Tensor) -> list:
        prediction, target = input
        mine = self.gradInput or [None, None]
        grad = copied(mine[0], self.criterion.updateGradInput(prediction, target))
        _multiply(grad, gradOutput[0])
        self.gradInput[:] = [grad, zeroed(mine[1], target)]
        return self.gradInput


def _multiply(value: Any, factor: torch.Tensor) -> None:
    """Multiply every tensor of a nested list, in place."""
    if isinstance(value, torch.Tensor):
        value.mul_(factor)
    else:
        for entry in value:
            _multiply(entry, factor)
