"""``Criterion``, and what several criterions share: how a target is read and how a loss becomes one number."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch

from ...errors import ArgumentError, TensorTypeError
from ...types import typename
from .._guard import describe
from .._kernels import resized
from .._object import Object, need_tensor

K = TypeVar("K", bound="Criterion")

MEAN, SUM = 1, 2
"""How a loss becomes one number, as PyTorch's kernels count it."""


class Criterion(Object):
    """The base of all criterions.

    A subclass defines ``updateOutput(input, target)`` and ``updateGradInput(input, target)``.

    Attributes:
        output: the number of the last ``forward``.
        gradInput: the gradient with respect to the input; the same tensor object for the criterion's life, or the same
            list of tensors where the input is a list.
    """

    output: Any = 0
    gradInput: Any = None
    _on_device = False
    _file_names = {"_on_device": None}

    def __init__(self) -> None:
        self.gradInput = torch.empty(0)
        self.output = 0

    def updateOutput(self, input: Any, target: Any) -> float:
        """Compute the number and return it."""
        raise NotImplementedError(f"{self._typename} does not define updateOutput")

    def updateGradInput(self, input: Any, target: Any) -> Any:
        """Compute ``gradInput`` and return it."""
        raise NotImplementedError(f"{self._typename} does not define updateGradInput")

    def forward(self, input: Any, target: Any = None) -> float:
        """``updateOutput(input, target)``: the number."""
        return self.updateOutput(input, target)

    def backward(self, input: Any, target: Any = None) -> Any:
        """``updateGradInput(input, target)``: the gradient. ``forward`` must have come before."""
        return self.updateGradInput(input, target)

    def onDevice(self: K, enable: bool = True) -> K:
        """Have ``forward`` give the number as a tensor without dimensions on the device of the input, so that a
        training step waits for nothing; returns the criterion. ``onDevice(False)`` takes it back.

        It reaches the criterions within this one. A few that compute with numbers of Python, such as
        HingeEmbeddingCriterion, give a number all the same. Not saved in files.
        """
        self._on_device = enable
        for value in list(vars(self).values()):
            for inner in value if isinstance(value, list) else [value]:
                if isinstance(inner, Criterion):
                    inner.onDevice(enable)
        return self

    def _number(self, value: torch.Tensor) -> Any:
        """What ``forward`` gives for a number in a tensor of its own."""
        return value if self._on_device else value.item()

    def __call__(self, *arguments: Any) -> tuple[float, Any]:
        """``forward`` and ``backward`` of an input and a target: the number and the gradient.

        Called with nodes of a graph, it makes the node of a :class:`ModuleFromCriterion`: see
        :class:`luann.nngraph.Node`.
        """
        if not arguments or not isinstance(arguments[0], torch.Tensor):
            node = None if self._node_of is None else self._node_of(self, arguments)
            if node is not None:
                return node
        self.output = self.forward(*arguments)
        self.gradInput = self.backward(*arguments)
        return self.output, self.gradInput

    def clone(self: K) -> K:
        """A deep copy."""
        return copy.deepcopy(self)

    def _diagnose(self, input: Any) -> None:
        if isinstance(self.gradInput, torch.Tensor) and need_tensor(input).is_floating_point():
            theirs = typename(input)
            for name, value in self.__dict__.items():
                own = typename(value)
                if isinstance(value, torch.Tensor) and value.is_floating_point() and own != theirs:
                    raise TensorTypeError(
                        f"{name} is a {own}, the input a {theirs}; convert the criterion "
                        f"(criterion.type({theirs!r})) or the input"
                    )


class _Untargeted(Criterion):
    """What criterions share that judge the input alone. A target that is given is ignored."""

    def updateOutput(self, input: Any, *ignored: Any) -> float:
        raise NotImplementedError

    def updateGradInput(self, input: Any, *ignored: Any) -> Any:
        raise NotImplementedError

    def forward(self, input: Any, *ignored: Any) -> float:
        return self.updateOutput(input)

    def backward(self, input: Any, *ignored: Any) -> Any:
        return self.updateGradInput(input)


class _Elementwise(Criterion):
    """What criterions share that compare input and target element by element and add the results up.

    A subclass defines ``_loss(x, t, reduction)``, the number as a tensor, and ``_gradient(x, t, reduction, out)``,
    which writes the gradient. ``reduction`` is :data:`MEAN` or :data:`SUM`, ``t`` has the size and type of ``x``.

    Args:
        sizeAverage: divide by the number of elements, default yes.
    """

    sizeAverage = True

    def __init__(self, sizeAverage: bool | None = None) -> None:
        super().__init__()
        self.sizeAverage = sizeAverage is not False

    def _loss(self, x: torch.Tensor, t: torch.Tensor, reduction: int) -> torch.Tensor:
        raise NotImplementedError

    def _gradient(self, x: torch.Tensor, t: torch.Tensor, reduction: int, out: torch.Tensor) -> None:
        raise NotImplementedError

    def _aligned(self, input: torch.Tensor, target: Any) -> torch.Tensor:
        """The target as a tensor of the size and type of the input."""
        if not isinstance(target, torch.Tensor):
            target = as_tensor(target, input.device, input.dtype)
        elif target.dtype is not input.dtype:
            target = target.to(input.dtype)
        if target.shape != input.shape:
            count = input.numel()
            self._want(target.numel() == count, f"a target of {count} elements, as the input has", target)
            target = target.reshape(input.shape)
        return target

    def updateOutput(self, input: torch.Tensor, target: Any) -> float:
        reduction = MEAN if self.sizeAverage else SUM
        self.output = self._number(self._loss(input, self._aligned(input, target), reduction))
        return self.output

    def updateGradInput(self, input: torch.Tensor, target: Any) -> torch.Tensor:
        t = self._aligned(input, target)
        gradInput = resized(self.gradInput, input.shape)
        self._gradient(input, t, MEAN if self.sizeAverage else SUM, gradInput)
        return gradInput


def as_tensor(target: Any, device: torch.device, dtype: torch.dtype | None = None) -> torch.Tensor:
    """A target that is no tensor as one: a number, or a list of numbers, nested or not.

    Raises:
        TensorTypeError: it is something else.
    """
    try:
        return torch.tensor(target, dtype=dtype, device=device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TensorTypeError(
            f"target must be a tensor, a number or a list of numbers, got {describe(target)}"
        ) from error


def reduced(losses: torch.Tensor, reduction: int) -> torch.Tensor:
    """The mean or the sum of all elements."""
    return losses.mean() if reduction == MEAN else losses.sum()


def norm(x: torch.Tensor, reduction: int) -> float:
    """The factor with which each element of ``x`` counts in the number."""
    return 1 / x.numel() if reduction == MEAN else 1


_ones: dict[tuple[torch.dtype, torch.device], torch.Tensor] = {}


def one(like: torch.Tensor) -> torch.Tensor:
    """A 1 without dimensions, to be read only: the gradient of the number itself, as PyTorch's kernels want it."""
    key = like.dtype, like.device
    if key not in _ones:
        _ones[key] = torch.ones((), dtype=like.dtype, device=like.device)
    return _ones[key]


def need_criterion(cls: object, value: Any) -> Any:
    """``value``, which must compute as a criterion does; else an ArgumentError that names the class which wants it."""
    if not hasattr(value, "updateOutput"):
        raise ArgumentError(f"{getattr(cls, '_typename', cls)}: there must be a criterion, got {describe(value)}")
    return value


def need_vector(cls: object, weights: Any) -> torch.Tensor:
    """Check the constructor argument ``weights``: a vector.

    Raises:
        ArgumentError: names the class and what came.
    """
    if not isinstance(weights, torch.Tensor) or weights.dim() != 1:
        raise ArgumentError(f"{getattr(cls, '_typename', cls)}: weights must be a vector, got {describe(weights)}")
    return weights
