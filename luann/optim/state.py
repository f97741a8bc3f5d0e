"""What every optimiser shares: reading its two tables, calling the function, leaving autograd out.

An optimiser keeps no state of its own. Its settings stand in ``config``, what it remembers from call to call in
``state``, both under Torch7's field names; given one table, it uses that for both. A table is a dict (a
:class:`luann.Table` is one), another mapping, or any object whose attributes are the fields, such as an
``argparse.Namespace``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..errors import ShapeError, TensorTypeError

Feval = Callable[[Tensor], "tuple[Any, Tensor]"]
"""The function to minimise: takes x, returns f(x) and df/dx, a tensor of the shape of x."""


class _Attributes:
    """The attributes of an object under the few methods of a dict that the optimisers use."""

    __slots__ = ("_object",)

    def __init__(self, obj: object) -> None:
        self._object = obj

    def get(self, name: str) -> Any:
        return getattr(self._object, name, None)

    def __getitem__(self, name: str) -> Any:
        return getattr(self._object, name)

    def __setitem__(self, name: str, value: Any) -> None:
        setattr(self._object, name, value)


def _table(fields: Any) -> Any:
    return fields if isinstance(fields, (dict, Mapping)) else _Attributes(fields)


def tables(config: Any, state: Any) -> tuple[Any, Any]:
    """The tables ``(config, state)`` of one call, both with ``get(name)`` and ``table[name]``.

    Without a config all settings have their defaults; without a state, config is the state as well.
    """
    config = {} if config is None else _table(config)
    return config, config if state is None else _table(state)


def option(table: Any, name: str, default: Any = None) -> Any:
    """The field ``name`` of a table; ``default`` where it is missing, ``None`` or ``False``, as with Lua's ``or``."""
    value = table.get(name)
    return default if value is None or value is False else value


def kept(state: Any, name: str, like: Tensor) -> Tensor | None:
    """The tensor that an earlier call left in the field ``name``, or ``None``.

    Raises:
        ShapeError: it has not the shape of ``like``, so the state is that of other parameters.
    """
    tensor = option(state, name)
    if tensor is not None and tensor.shape != like.shape:
        raise ShapeError(
            f"{name} in the state has shape {tuple(tensor.shape)}, the parameters have {tuple(like.shape)}: "
            "the state belongs to another x; start with an empty one"
        )
    return tensor


def buffer(state: Any, name: str, like: Tensor, fill: float | None = None, dtype: Any = None) -> Tensor:
    """The tensor in the field ``name``, made in the first call.

    Args:
        like: tensor whose shape, type and device a new one has; what ``name`` holds must have its shape.
        fill: what a new tensor is filled with; by default its elements are not set.
        dtype: another type for a new tensor.
    """
    tensor = kept(state, name, like)
    if tensor is None:
        tensor = state[name] = torch.empty_like(like, dtype=dtype, memory_format=torch.contiguous_format)
        if fill is not None:
            tensor.fill_(fill)
    return tensor


def scratch(state: Any, name: str, like: Tensor) -> Tensor:
    """The tensor in the field ``name`` made to the shape of ``like``: room that keeps nothing from call to call."""
    tensor = option(state, name)
    if tensor is None or tensor.dtype != like.dtype or tensor.device != like.device:
        tensor = state[name] = torch.empty_like(like, memory_format=torch.contiguous_format)
    return tensor.resize_(like.shape)


def evaluate(feval: Feval, x: Tensor) -> tuple[Any, Tensor]:
    """``feval(x)``, checked: f(x) as it came, and df/dx.

    Raises:
        TensorTypeError: df/dx is no tensor.
        ShapeError: df/dx and x differ in shape, so that PyTorch would broadcast one of them or fail later.
    """
    fx, dfdx = feval(x)
    if not isinstance(dfdx, Tensor):
        raise TensorTypeError(f"feval must return f(x) and the tensor df/dx, got a {type(dfdx).__name__} for df/dx")
    if dfdx.shape != x.shape:
        raise ShapeError(f"feval returned df/dx of shape {tuple(dfdx.shape)} for x of shape {tuple(x.shape)}")
    return fx, dfdx


def weighted(name: str, weights: Tensor, values: Tensor, state: Any, field: str) -> Tensor:
    """``weights * values``, element by element, in the tensor ``state[field]``, made in the first call.

    Args:
        name: the setting that holds ``weights``, for errors.
        weights: as many numbers as ``values``, of any type and on any device.
    """
    if not isinstance(weights, Tensor):
        raise TensorTypeError(f"{name} must be a tensor, a number for every parameter, got a {type(weights).__name__}")
    if weights.numel() != values.numel():
        raise ShapeError(f"{name} has {weights.numel()} elements for {values.numel()} parameters")
    product = buffer(state, field, values)
    return product.copy_(weights.reshape(values.shape)).mul_(values)


def value(result: Any) -> float:
    """f(x) as a number, of a function that returns f(x), or f(x) and more."""
    return float(result[0] if isinstance(result, (tuple, list)) else result)


def dot(a: Tensor, b: Tensor) -> float:
    """The scalar product of two tensors of one shape."""
    return torch.dot(a.reshape(-1), b.reshape(-1)).item()


def move(x: Tensor, d: Tensor, t: float) -> Tensor:
    """Add t · d to x. A t beyond the numbers of x's type is infinite, as in C; PyTorch refuses it."""
    limit = torch.finfo(x.dtype).max
    return x.add_(d, alpha=t if -limit <= t <= limit else t * math.inf)


def divide(a: float, b: float) -> float:
    """``a / b`` as Lua has it: infinity or NaN where ``b`` is zero."""
    if b:
        return a / b
    return math.nan if not a or a != a else math.copysign(math.inf, a) * math.copysign(1, b)


def fusable(*tensors: Tensor) -> bool:
    """Whether PyTorch's fused kernels can take these tensors of one shape: they work on bare memory, check nothing."""
    dtype = tensors[0].dtype
    return (dtype is torch.float32 or dtype is torch.float64) and all(
        t.is_cpu and t.dtype is dtype and t.is_contiguous() for t in tensors
    )


class no_autograd:  # named like torch.no_grad
    """``torch.no_grad()`` at a third of its cost, for the few operations of an update."""

    __slots__ = ("_enabled",)

    def __enter__(self) -> None:
        self._enabled = torch.is_grad_enabled()
        torch._C._set_grad_enabled(False)

    def __exit__(self, *_: object) -> None:
        torch._C._set_grad_enabled(self._enabled)


M = TypeVar("M", bound=Callable[..., Any])


def without_autograd(method: M) -> M:
    """Run a function that calls others again and again with autograd off, and those others as its caller had it."""

    @functools.wraps(method)
    def run(*args: Any, **named: Any) -> Any:
        enabled = torch.is_grad_enabled()

        def restored(argument: Any) -> Any:
            if not callable(argument) or isinstance(argument, type):  # a class can be a config
                return argument

            def call(*args: Any) -> Any:
                torch._C._set_grad_enabled(enabled)
                try:
                    return argument(*args)
                finally:
                    torch._C._set_grad_enabled(False)

            return call

        with no_autograd():
            return method(*map(restored, args), **{name: restored(argument) for name, argument in named.items()})

    return run  # type: ignore[return-value]
