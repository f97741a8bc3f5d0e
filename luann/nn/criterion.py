"""Criterions: a number that says how far an input is from a target, and its gradient."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch

from ..errors import ArgumentError
from . import _kernels as kernels
from ._guard import describe
from ._kernels import resized
from ._object import Object, given

K = TypeVar("K", bound="Criterion")


class Criterion(Object):
    """The base of all criterions. A subclass defines ``updateOutput(input, target)`` and ``updateGradInput(input, target)``.

    Attributes:
        output: the number of the last ``forward``.
        gradInput: the gradient with respect to the input; the same tensor object for the criterion's life.
    """

    output: Any = 0
    gradInput: Any = None

    def __init__(self) -> None:
        self.gradInput = torch.empty(0)
        self.output = 0

    def updateOutput(self, input: Any, target: Any) -> float:
        """Compute the number and return it."""
        raise NotImplementedError(f"{self._typename} does not define updateOutput")

    def updateGradInput(self, input: Any, target: Any) -> Any:
        """Compute ``gradInput`` and return it."""
        raise NotImplementedError(f"{self._typename} does not define updateGradInput")

    def forward(self, input: Any, target: Any) -> float:
        """``updateOutput(input, target)``: the number."""
        return self.updateOutput(input, target)

    def backward(self, input: Any, target: Any) -> Any:
        """``updateGradInput(input, target)``: the gradient. ``forward`` must have come before."""
        return self.updateGradInput(input, target)

    def __call__(self, input: Any, target: Any) -> tuple[float, Any]:
        """``forward`` and ``backward``: the number and the gradient."""
        return self.forward(input, target), self.backward(input, target)

    def clone(self: K) -> K:
        """A deep copy."""
        return copy.deepcopy(self)


class ClassNLLCriterion(Criterion):
    """The negative log-likelihood of the target classes: ``-weights[t] x[t]`` for log-probabilities ``x``.

    Input: a vector of classes, or N x classes. Target: a class counted from 1, or N of them, in a tensor or a list.

    Args:
        weights: a factor for each class, default 1.
        sizeAverage: divide by the sum of the weights used, default yes.
        ignoreIndex: a target to be left out, default -100.

    ``total_weight_tensor`` holds the sum of the weights used.
    """

    ignoreIndex = -100
    weights: torch.Tensor | None = None

    def __init__(
        self, weights: torch.Tensor | None = None, sizeAverage: bool | None = None, ignoreIndex: int | None = None
    ) -> None:
        super().__init__()
        self.sizeAverage = sizeAverage is not False
        self.ignoreIndex = given(ignoreIndex, -100)
        if weights is not None:
            if weights.dim() != 1:
                raise ArgumentError(f"{self._typename}: weights must be a vector, got {describe(weights)}")
            self.weights = weights
        self.output_tensor = torch.zeros(1)
        self.total_weight_tensor = torch.ones(1)
        self.target = torch.zeros(1, dtype=torch.int64)

    def _settings(self) -> tuple[int, int]:
        return 1 if self.sizeAverage else 2, self.ignoreIndex - 1

    def _classes(self, input: torch.Tensor, target: Any) -> torch.Tensor:
        """The targets as PyTorch counts them, from 0, in the buffer ``_cache``."""
        self._want(1 <= input.dim() <= 2, "a vector of classes or N x classes", input)
        if not isinstance(target, torch.Tensor):
            target = torch.tensor(target)
        rows = target.reshape(()) if input.dim() == 1 else target
        self._want(rows.shape == input.shape[:-1], f"{input.shape[0]} targets, one for each row", target)
        if self._cache is None or self._cache.device != input.device:
            self._cache = torch.empty(0, dtype=torch.int64, device=input.device)
        return resized(self._cache, rows.shape).copy_(rows).sub_(1)

    def updateOutput(self, input: torch.Tensor, target: Any) -> float:
        classes = self._classes(input, target)
        out = (self.output_tensor.resize_(()), self.total_weight_tensor.resize_(()))
        try:
            kernels.nll_loss(input, classes, self.weights, *self._settings(), output=out[0], total_weight=out[1])
        except (IndexError, RuntimeError) as error:
            bad = (classes < 0) | (classes >= input.shape[-1])
            bad &= classes != self.ignoreIndex - 1
            if not bad.any():
                raise
            first = (classes + 1)[bad].flatten()[0].item()
            raise ArgumentError(f"a target is {first}: classes count from 1 to {input.shape[-1]}") from error
        finally:
            for tensor in out:
                tensor.resize_(1)
        self.output = self.output_tensor.item()
        return self.output

    def updateGradInput(self, input: torch.Tensor, target: Any) -> torch.Tensor:
        return kernels.nll_loss_backward(
            self.output_tensor.new_ones(()),
            input,
            self._classes(input, target),
            self.weights,
            *self._settings(),
            self.total_weight_tensor.view(()),
            grad_input=resized(self.gradInput, input.shape),
        )


class MSECriterion(Criterion):
    """The mean of the squared differences, ``Σ (x - t)² / n``.

    Input, target: tensors of the same number of elements.

    Args:
        sizeAverage: divide by that number, default yes.
    """

    sizeAverage = True

    def __init__(self, sizeAverage: bool | None = None) -> None:
        super().__init__()
        self.sizeAverage = sizeAverage is not False

    def _target(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if target.shape == input.shape:
            return target
        self._want(target.numel() == input.numel(), f"a target of {input.numel()} elements as the input has", target)
        return target.reshape(input.shape)

    def updateOutput(self, input: torch.Tensor, target: torch.Tensor) -> float:
        loss = torch._C._nn.mse_loss(input, self._target(input, target), 1 if self.sizeAverage else 2)
        self.output = loss.item()
        return self.output

    def updateGradInput(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return kernels.mse_loss_backward(
            input.new_ones(()),
            input,
            self._target(input, target),
            1 if self.sizeAverage else 2,
            grad_input=resized(self.gradInput, input.shape),
        )
