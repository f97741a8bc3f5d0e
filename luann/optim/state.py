"""What every optimiser shares: reading its two tables, calling the function, leaving autograd out.

An optimiser keeps no state of its own. Its settings stand in ``config``, what it remembers from call to call in
``state``, both under Torch7's field names; given one table, it uses that for both. A table is a dict (a
:class:`luann.Table` is one), another mapping, or any object whose attributes are the fields, such as an
``argparse.Namespace``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

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


def weighted(name: str, weights: Tensor, values: Tensor, state: Any, buffer: str) -> Tensor:
    """``weights * values``, element by element, in the tensor ``state[buffer]``, made in the first call.

    Args:
        name: the setting that holds ``weights``, for errors.
        weights: as many numbers as ``values``, of any type and on any device.
    """
    if not isinstance(weights, Tensor):
        raise TensorTypeError(f"{name} must be a tensor, a number for every parameter, got a {type(weights).__name__}")
    if weights.numel() != values.numel():
        raise ShapeError(f"{name} has {weights.numel()} elements for {values.numel()} parameters")
    product = kept(state, buffer, values)
    if product is None:
        product = state[buffer] = torch.empty_like(values, memory_format=torch.contiguous_format)
    return product.copy_(weights.reshape(values.shape)).mul_(values)


class no_autograd:  # named like torch.no_grad
    """``torch.no_grad()`` at a third of its cost, for the few operations of an update."""

    __slots__ = ("_enabled",)

    def __enter__(self) -> None:
        self._enabled = torch.is_grad_enabled()
        torch._C._set_grad_enabled(False)

    def __exit__(self, *_: object) -> None:
        torch._C._set_grad_enabled(self._enabled)
