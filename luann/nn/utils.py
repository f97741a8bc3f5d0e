"""``nn.utils``: Torch7's helpers for nested tables of tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from .. import types
from ..errors import ArgumentError, TensorTypeError
from ._kernels import resized
from ._nested import at


def check_device(device: torch.device | None) -> None:
    """Raise a TensorTypeError if a CUDA device is asked for and there is none."""
    if device is not None and device.type == "cuda" and not torch.cuda.is_available():
        raise TensorTypeError("a Cuda type was asked for, but PyTorch finds no CUDA device here; use float() instead")


def converted(
    value: Any, dtype: torch.dtype | None, device: torch.device | None, cache: dict, floating_only: bool = False
) -> Any:
    """``value`` with its tensors in another type or on another device; tables and modules are changed in place.

    Args:
        cache: what has been converted, so that what was one tensor or one storage stays one.
        floating_only: leave the dtype of whole-number tensors as it is, as a module's own conversion does.
    """
    if isinstance(value, torch.Tensor):
        if floating_only and not value.is_floating_point():
            dtype = None
        return _converted_tensor(value, dtype or value.dtype, device or value.device, cache)
    if isinstance(value, list):
        value[:] = [converted(v, dtype, device, cache, floating_only) for v in value]
    elif isinstance(value, dict):
        for key, v in value.items():
            value[key] = converted(v, dtype, device, cache, floating_only)
    elif hasattr(value, "_convert") and id(value) not in cache:
        cache[id(value)] = value, value
        value._convert(dtype, device, cache)
    return value


def _converted_tensor(tensor: torch.Tensor, dtype: torch.dtype, device: torch.device, cache: dict) -> torch.Tensor:
    if tensor.dtype is dtype and at(tensor, device):
        return tensor
    # A cache entry keeps its key's object alive, so that an id or address is not used again meanwhile.
    key = ("tensor", id(tensor))
    if key not in cache:
        storage = tensor.untyped_storage()
        storage_key = ("storage", storage._cdata)
        if storage_key not in cache:
            whole = torch.empty(0, dtype=tensor.dtype, device=tensor.device).set_(storage)
            cache[storage_key] = storage, whole.to(device=device, dtype=dtype).untyped_storage()
        new = torch.empty(0, dtype=dtype, device=device)
        new.set_(cache[storage_key][1], tensor.storage_offset(), tensor.shape, tensor.stride())
        cache[key] = tensor, new
    return cache[key][1]


def recursiveType(param: Any, type: Any, tensorCache: dict | None = None) -> Any:
    """Convert the tensors in a nested table, a module, a criterion or a tensor; sharing is kept.

    Args:
        type: a Torch7 type name, a dtype or a device, as for ``Module.type``.
        tensorCache: a dict handed to several calls keeps sharing across them.

    Returns:
        ``param`` itself, changed in place; for a tensor, the converted one.
    """
    dtype, device = types.parse_type(type)
    check_device(device)
    return converted(param, dtype, device, {} if tensorCache is None else tensorCache)


def recursiveResizeAs(t1: Any, t2: Any) -> tuple[Any, Any]:
    """Give ``t1`` the structure and sizes of ``t2``; returns both.

    What ``t1`` lacks is made, what it has beyond ``t2`` is dropped.
    """
    if isinstance(t2, torch.Tensor):
        t1 = t1 if isinstance(t1, torch.Tensor) else torch.empty(0, dtype=t2.dtype, device=t2.device)
        return resized(t1, t2.shape), t2
    t1 = _pairwise(t1, t2, lambda a, b: recursiveResizeAs(a, b)[0])
    if isinstance(t1, list):
        del t1[len(t2) :]
    else:
        for key in [key for key in t1 if key not in t2]:
            del t1[key]
    return t1, t2


def recursiveFill(t2: Any, val: float) -> Any:
    """Fill every tensor in a nested table with ``val``; returns the table."""
    if isinstance(t2, torch.Tensor):
        return t2.fill_(val)
    for v in _values(t2):
        recursiveFill(v, val)
    return t2


def recursiveAdd(t1: Any, val: Any, t2: Any = None) -> tuple[Any, Any]:
    """Add ``val`` times ``t2`` to ``t1``, tensor by tensor; ``recursiveAdd(t1, t2)`` adds ``t2``. Returns both.

    ``None`` for ``val`` is 1.
    """
    if t2 is None:
        val, t2 = 1, val
    if isinstance(t2, torch.Tensor):
        return t1.add_(t2, alpha=1 if val is None else val), t2
    return _pairwise(t1, t2, lambda a, b: recursiveAdd(a, val, b)[0]), t2


def recursiveCopy(t1: Any, t2: Any) -> tuple[Any, Any]:
    """Resize ``t1`` as ``t2`` and copy ``t2`` into it, tensor by tensor; returns both. What ``t1`` lacks is made."""
    if isinstance(t2, torch.Tensor):
        return recursiveResizeAs(t1, t2)[0].copy_(t2), t2
    return _pairwise(t1, t2, lambda a, b: recursiveCopy(a, b)[0]), t2


def _pairwise(t1: Any, t2: Any, combine: Callable[[Any, Any], Any]) -> Any:
    """``t1``, made a table like ``t2``, with every entry combined with that of ``t2``."""
    if isinstance(t2, (list, tuple)):
        t1 = t1 if isinstance(t1, list) else [] if t1 is None else [t1]
        t1 += [None] * (len(t2) - len(t1))
        for i, v in enumerate(t2):
            t1[i] = combine(t1[i], v)
    elif isinstance(t2, dict):
        t1 = t1 if isinstance(t1, dict) else type(t2)()
        for key, v in t2.items():
            t1[key] = combine(t1.get(key), v)
    else:
        raise TensorTypeError(f"expected nested tables of tensors, got {type(t1).__name__} and {type(t2).__name__}")
    return t1


def _values(table: Any) -> Any:
    if isinstance(table, (list, tuple)):
        return table
    if isinstance(table, dict):
        return table.values()
    raise TensorTypeError(f"expected a tensor or a table of tensors, got {type(table).__name__}")


def addSingletonDimension(*arguments: Any) -> torch.Tensor:
    """``addSingletonDimension([view,] t, dim=1)``: a view of ``t`` with a further dimension of size 1.

    Args:
        view: the tensor to make that view, by default a new one; with it, ``dim`` must be given.
        t: the tensor.
        dim: where, counted from 1. The new dimension has the stride 1, as in Torch7.
    """
    view, t, dim = (None, *arguments, 1)[:3] if len(arguments) < 3 else arguments
    if not isinstance(t, torch.Tensor) or not (view is None or isinstance(view, torch.Tensor)):
        raise TensorTypeError("addSingletonDimension takes ([view,] t, dim), of which view and t are tensors")
    if not 0 < dim <= t.dim() + 1:
        raise ArgumentError(f"invalid dimension {dim}: the tensor has {t.dim()} dimensions")
    size, stride = list(t.shape), list(t.stride())
    size.insert(dim - 1, 1)
    stride.insert(dim - 1, 1)
    with torch.no_grad():
        new = t.as_strided(size, stride)
        return new if view is None else view.set_(new)


def contiguousView(output: torch.Tensor | None, input: torch.Tensor, *sizes: int) -> torch.Tensor:
    """Make ``output`` a view of ``input`` with these sizes, or a copy where ``input`` is not contiguous.

    ``None`` for ``output`` gives a new tensor.
    """
    size = sizes[0] if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes
    if output is None:
        output = input.new_empty(0)
    if input.is_contiguous():
        return output.set_(input.view(*size))
    return output.set_(input.contiguous().view(*size))


def clear(self: Any, *names: Any) -> Any:
    """Empty the fields of an object: a tensor loses its elements, a table its entries, anything else that is true
    in Lua becomes ``None``.

    Args:
        names: names of fields, or one list of them; those that are missing are passed over.

    Returns:
        The object.
    """
    for name in names[0] if len(names) == 1 and not isinstance(names[0], str) else names:
        value = self.__dict__.get(name)
        if isinstance(value, torch.Tensor):
            value.set_()
        elif isinstance(value, (list, dict)):
            self.__dict__[name] = type(value)()
        elif value is not None and value is not False:
            self.__dict__[name] = None
    return self
