"""Criterions made of criterions."""

from __future__ import annotations

import warnings
from typing import Any, TypeVar

import torch

from ...errors import TensorTypeError
from ...types import Storage
from .. import utils
from .._guard import describe
from .._nested import zeroed
from .base import Criterion, need_criterion

C = TypeVar("C", bound="_Several")


class _Several(Criterion):
    """What those share that hold a list of weighted criterions."""

    def __init__(self) -> None:
        super().__init__()
        self.criterions: list = []

    def _keep(self, weight: float) -> None:
        raise NotImplementedError

    def add(self: C, criterion: Any, weight: float | None = None) -> C:
        """Append a criterion with its weight, default 1; returns this criterion itself.

        Raises:
            ArgumentError: there is no criterion.
        """
        self.criterions.append(need_criterion(self, criterion))
        self._keep(1 if weight is None else weight)
        return self

    def _diagnose(self, input: Any) -> None:
        """A criterion within knows better what was wrong with its input."""


class MultiCriterion(_Several):
    """The weighted sum of several criterions of one input and one target: ``Σ_i w_i c_i(x, t)``.

    Input, target: whatever all the criterions take; ``gradInput`` is a tensor, or a list as the input is. Criterions
    come by ``add(criterion, weight)``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weights = Storage([], "torch.DoubleStorage")

    def _keep(self, weight: float) -> None:
        kept = self.weights
        kept.tensor = torch.cat((kept.tensor, kept.tensor.new_tensor([weight])))

    def updateOutput(self, input: Any, target: Any) -> float:
        self.output = 0
        for weight, criterion in zip(self.weights, self.criterions):
            self.output += weight * criterion.updateOutput(input, target)
        return self.output

    def updateGradInput(self, input: Any, target: Any) -> Any:
        self.gradInput = zeroed(self.gradInput, input)
        for weight, criterion in zip(self.weights, self.criterions):
            utils.recursiveAdd(self.gradInput, weight, criterion.updateGradInput(input, target))
        return self.gradInput


class ParallelCriterion(_Several):
    """The weighted sum of several criterions, each with an input of its own: ``Σ_i w_i c_i(x_i, t_i)``.

    Input: a list with an entry for each criterion. Target: a list as well, which may end before criterions that need
    none, or with ``repeatTarget`` one target for all.
    ``gradInput`` is a list as the input is. Criterions come by ``add(criterion, weight)``.

    Args:
        repeatTarget: give each criterion the whole target, default no.
    """

    repeatTarget: bool | None = None

    def __init__(self, repeatTarget: bool | None = None) -> None:
        super().__init__()
        self.weights: list = []
        self.gradInput: list = []
        if repeatTarget is not None:
            self.repeatTarget = repeatTarget

    def _keep(self, weight: float) -> None:
        self.weights.append(weight)

    def _tasks(self, input: Any, target: Any) -> Any:
        """Weight, criterion, input and target of each part."""
        count = len(self.criterions)
        if not isinstance(input, (list, tuple)) or len(input) < count:
            raise TensorTypeError(f"input must be a list of {count} entries, got {describe(input)}")
        if self.repeatTarget:
            target = [target] * count
        elif isinstance(target, (list, tuple)):
            target = [*target, *[None] * (count - len(target))]  # the last criterions may need none
        elif not isinstance(target, torch.Tensor) or len(target) < count:
            raise TensorTypeError(f"target must be a list of {count} entries, got {describe(target)}")
        return zip(range(count), self.weights, self.criterions, input, target)

    def updateOutput(self, input: list, target: Any) -> float:
        self.output = 0
        for _, weight, criterion, x, t in self._tasks(input, target):
            self.output += weight * criterion.updateOutput(x, t)
        return self.output

    def updateGradInput(self, input: list, target: Any) -> list:
        tasks = self._tasks(input, target)
        self.gradInput = zeroed(self.gradInput, input)
        for i, weight, criterion, x, t in tasks:
            utils.recursiveAdd(self.gradInput[i], weight, criterion.updateGradInput(x, t))
        return self.gradInput


class ModuleCriterion(Criterion):
    """A criterion of what modules make of input and target: ``c(f(x), g(t))``.

    Input, target: whatever the modules take. Parameters of the modules get no updates, and a warning says so.

    Args:
        criterion: the criterion ``c``.
        inputModule: the module ``f``, default none.
        targetModule: the module ``g``, default none.
        castTarget: convert the target's module too when this criterion is converted to another type, default yes.
    """

    inputModule: Any = None
    targetModule: Any = None
    castTarget = True
    input: Any = None
    target: Any = None

    def __init__(
        self, criterion: Any, inputModule: Any = None, targetModule: Any = None, castTarget: bool | None = None
    ) -> None:
        need_criterion(self, criterion)
        if inputModule is not None:
            self.inputModule = inputModule
            if inputModule.parameters()[0]:
                warnings.warn(f"{self._typename} does not update the parameters of its modules", stacklevel=2)
        if targetModule is not None:
            self.targetModule = targetModule
        self.castTarget = castTarget is not False
        self.criterion = criterion

    def updateOutput(self, input: Any, target: Any) -> float:
        if self.inputModule is not None:
            input = self.input = self.inputModule.forward(input)
        if self.targetModule is not None:
            target = self.target = self.targetModule.forward(target)
        self.output = self.criterion.forward(input, target)
        return self.output

    def updateGradInput(self, input: Any, target: Any) -> Any:
        inner = input if self.inputModule is None else self.input
        self.gradInput = self.criterion.backward(inner, target if self.targetModule is None else self.target)
        if self.inputModule is not None:
            self.gradInput = self.inputModule.backward(input, self.gradInput)
        return self.gradInput

    def _convert(self, dtype: torch.dtype | None, device: torch.device | None, cache: dict) -> None:
        aside = None if self.castTarget else self.__dict__.pop("targetModule", None)
        super()._convert(dtype, device, cache)
        if aside is not None:
            self.targetModule = aside

    def _diagnose(self, input: Any) -> None:
        """The criterion or a module within knows better what was wrong with its input."""
