"""Checks of constructor arguments, beside those of nn, that classes of several rocks share.

Each raises an ArgumentError that names the class, the argument, and what came.
"""

from __future__ import annotations

from typing import Any, NoReturn

import torch

from ..errors import ArgumentError
from ..nn._guard import describe
from ..nn._object import given


def refuse(cls: object, name: str, wanted: str, got: Any) -> NoReturn:
    """Raise the ArgumentError which says that the argument ``name`` must be what is ``wanted``."""
    raise ArgumentError(f"{getattr(cls, '_typename', cls)}: {name} must be {wanted}, got {_shown(got)}")


def _shown(value: Any) -> str:
    """Numbers and texts as they are, also in lists; what else there is by its kind."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_shown, value))}]"
    return repr(value) if isinstance(value, (int, float, str)) else describe(value)


def need_module(cls: object, **modules: Any) -> None:
    """Check arguments that are modules."""
    for name, value in modules.items():
        if isinstance(value, type) or not hasattr(value, "updateOutput"):
            refuse(cls, name, "a module", value)


def need_count(cls: object, **counts: Any) -> None:
    """Check arguments that are whole numbers from 0 on."""
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            refuse(cls, name, "a whole number from 0 on", value)


def need_shape(cls: object, wanted: str, *shapes: tuple[int, ...], **tensors: Any) -> None:
    """Check arguments that are tensors of one of these shapes, in which -1 is any size; ``wanted`` says it in words."""
    for name, value in tensors.items():
        size = value.shape if isinstance(value, torch.Tensor) else None
        if size is None or not any(
            len(size) == len(shape) and all(want in (-1, n) for want, n in zip(shape, size)) for shape in shapes
        ):
            refuse(cls, name, wanted, value)


def option(cls: object, options: Any, name: str, default: Any = None) -> Any:
    """An entry of a table of options, or ``default``.

    Raises:
        ArgumentError: there is neither, or no table.
    """
    kind = getattr(cls, "_typename", cls)
    if not isinstance(options, dict):
        raise ArgumentError(f"{kind}: wants a table of options, got {describe(options)}")
    value = given(options.get(name), default)
    if value is None:
        raise ArgumentError(f"{kind}: {name!r} is missing in the options")
    return value


def listed(cls: object, options: Any, name: str, count: int, default: list | None = None) -> list:
    """As :func:`option`, an entry that must be a list of ``count`` entries at least."""
    value = option(cls, options, name, default)
    if not isinstance(value, (list, tuple)) or len(value) < count:
        refuse(cls, name, f"a list of {count} entries at least" if count else "a list", value)
    return list(value)
