"""Small words of Torch7's ``torch``: what an object is."""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterator
from functools import cache
from numbers import Number
from types import NoneType
from typing import Any

import torch

from .errors import ArgumentError
from .types import Storage, classes, typename

# Classes whose parent in Torch7 is another one than here, where they share code with a sibling.
_PARENTS = {
    "nn.GPU": "nn.Container",
    "nn.Min": "nn.Module",
    "nn.PrintSize": "nn.Module",
    "nn.ReLU6": "nn.Module",
    "nn.SoftMin": "nn.Module",
    "nn.SpatialLogSoftMax": "nn.Module",
    "nn.SpatialReplicationPadding": "nn.Module",
    "nn.SpatialSoftMax": "nn.Module",
    "nn.VolumetricDropout": "nn.Module",
    "nn.VolumetricReplicationPadding": "nn.Module",
    "nn.WeightedEuclidean": "nn.Module",
}

_KINDS: tuple[tuple[Any, str], ...] = (
    (NoneType, "nil"),
    (bool, "boolean"),
    (Number, "number"),
    ((str, bytes), "string"),
    ((list, tuple, dict), "table"),
)


def type(obj: Any) -> str:
    """Torch7's ``torch.type``: the class of a Torch7 object, or else what Lua's ``type`` calls such a value.

    ``from luann import *`` does not bring this word, which would hide Python's own ``type``.

    Returns:
        The name that :func:`luann.typename` gives; for anything else ``'nil'`` (None), ``'boolean'``, ``'number'``,
        ``'string'`` (bytes too), ``'table'`` (a list, tuple or dict), ``'function'``, or ``'userdata'`` for what Lua
        had no like of.

    ::

        luann.type(torch.zeros(2))     # 'torch.FloatTensor'
        luann.type([1, 2])             # 'table'
    """
    name = typename(obj)
    if name is not None:
        return name
    for kinds, word in _KINDS:
        if isinstance(obj, kinds):
            return word
    return "function" if callable(obj) else "userdata"


def isTensor(obj: Any) -> bool:
    """Whether an object is a tensor."""
    return isinstance(obj, torch.Tensor)


def isStorage(obj: Any) -> bool:
    """Whether an object is a :class:`luann.Storage <luann.types.Storage>`, such as the sizes that a ``View`` holds."""
    return isinstance(obj, Storage)


def isTypeOf(obj: Any, typeSpec: str | builtins.type) -> bool:
    """Torch7's ``torch.isTypeOf``: whether an object is of a class, or of one that was derived from it in Torch7.

    Args:
        obj: anything.
        typeSpec: a Torch7 class name (``'nn.Container'``); a Lua pattern that is found in the name of the class or of
            one above it (``'torch.*Tensor'``, ``'^nn%.Spatial%a+'``), but without ``()``, ``[]`` and rarer ``%``; or a
            Python class.

    ::

        luann.isTypeOf(nn.Sequential(), "nn.Container")     # True
        luann.isTypeOf(torch.zeros(2), "torch.*Tensor")     # True
    """
    spec = vars(typeSpec).get("_typename") if isinstance(typeSpec, builtins.type) else typeSpec
    if not isinstance(spec, str) and isinstance(typeSpec, builtins.type):
        return isinstance(obj, typeSpec)
    if not isinstance(spec, str):
        raise ArgumentError(f"isTypeOf wants the name of a class, a pattern or a class, got {typeSpec!r}")
    pattern = _regex(spec)
    matches = ((name, pattern.search(name)) for name in (typename(obj), *_lineage(builtins.type(obj))) if name)
    # What a pattern finds just as it is written, as 'nn.Linear' in 'nn.LinearWeightNorm', must be the whole name.
    return any(match and (match[0] != spec or match[0] == name) for name, match in matches)


def _lineage(cls: builtins.type) -> Iterator[str]:
    """The Torch7 names of a class and of those above it."""
    for ancestor in cls.__mro__:
        name = vars(ancestor).get("_typename")
        if isinstance(name, str):
            yield name
            if name in _PARENTS:
                yield from _lineage(classes[_PARENTS[name]])
                return


_SETS = {"a": "A-Za-z", "d": "0-9", "l": "a-z", "u": "A-Z", "w": "A-Za-z0-9"}
_LUA = re.compile(r"%(?P<set>[adluw])|%(?P<plain>\W)|(?P<lazy>(?<=.)-)|(?P<literal>[\\{}|])|(?P<unknown>[%()\[\]])")


@cache
def _regex(pattern: str) -> re.Pattern[str]:
    """A Lua pattern, of the kinds that are of use for the names of classes, as a regular expression."""

    def translated(found: re.Match[str]) -> str:
        if found["set"]:
            return f"[{_SETS[found['set']]}]"
        if found["unknown"]:
            raise re.error("")
        return "*?" if found["lazy"] else re.escape(found["plain"] or found["literal"])

    try:
        return re.compile(_LUA.sub(translated, pattern))
    except re.error:
        raise ArgumentError(f"isTypeOf: {pattern!r} is no pattern that it knows; see its documentation") from None
