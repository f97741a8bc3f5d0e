"""What lies in a file, seen alike whatever its class: fields, keys, paths, and text fit to be printed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

from .. import nn
from ..errors import ArgumentError
from ..t7 import Function, Unknown
from ..types import Storage, typename

TEXT = 60  # characters told of a string
_FLAT = frozenset((type(None), bool, int, float, str, bytes, torch.Tensor))  # types with nothing inside


def fields(obj: Any) -> dict[Any, Any]:
    """The fields of an object, by name."""
    if isinstance(obj, Function):
        return {"upvalues": obj.upvalues} if obj.upvalues else {}
    return obj.fields if isinstance(obj, Unknown) else vars(obj)


def class_name(obj: Any) -> str:
    """Torch7's name of an object's class."""
    if isinstance(obj, Function):
        return "function"
    return readable(obj.typename if isinstance(obj, Unknown) else typename(obj) or type(obj).__name__)


def is_model(obj: Any) -> bool:
    """Whether obj is a module; one of an unknown class shows it by the fields that Torch7's modules have."""
    if not isinstance(obj, Unknown):
        return isinstance(obj, nn.Module)
    is_criterion = isinstance(obj.fields.get("output"), (int, float))
    return not is_criterion and any(name in obj.fields for name in ("modules", "gradInput", "weight"))


def pairs(obj: Any) -> Iterable[tuple[Any, Any]]:
    """What a list, table or object holds, with its keys; those of a list count from 1."""
    if isinstance(obj, (list, tuple)):
        return enumerate(obj, 1)
    return (obj if isinstance(obj, dict) else fields(obj)).items()


def holds(obj: Any) -> bool:
    """Whether there may be something inside: a list, a table, or an object with fields."""
    if type(obj) in _FLAT:
        return False
    if isinstance(obj, (list, tuple, dict, Unknown, Function)):
        return True
    return not isinstance(obj, Storage) and hasattr(obj, "__dict__")


def walk(root: Any, enter: Callable[[Any], bool] = lambda obj: True) -> Iterator[tuple[Any, Any]]:
    """Every list, table and object from root on, once, with the way to it; what ``enter`` refuses is not entered.

    A way is (way to the parent, key), or ``None`` for the root. Tables may be many thousands deep: no path is spelled
    out here, and nothing recurses.
    """
    seen = set()
    stack: list[tuple[Any, Any]] = [(None, root)]
    while stack:
        way, obj = stack.pop()
        if id(obj) in seen or not holds(obj):
            continue
        seen.add(id(obj))
        yield way, obj
        if enter(obj):
            below = [((way, key), value) for key, value in pairs(obj) if holds(value)]
            if isinstance(obj, dict):
                below += [((way, key), key) for key in obj if holds(key)]
            stack += reversed(below)


def find(root: Any, place: str) -> tuple[Any, Any]:
    """What lies at a place in root, such as ``[2].input``: the list, table or object that holds it, and the value.

    Raises:
        ArgumentError: nothing is there.
    """
    for way, obj in walk(root):
        for key, value in pairs(obj):
            if place.endswith(key_text(key).removeprefix(".")) and path_text((way, key)) == place:
                return obj, value
    raise ArgumentError(f"there is nothing at {place!r} in it")


def path_text(way: Any) -> str:
    """A way as text, such as ``nets[2].encoder``."""
    keys = []
    while way is not None:
        way, key = way
        keys.append(key_text(key))
    return "".join(reversed(keys)).removeprefix(".")


def key_text(key: Any) -> str:
    """A key as it is written in a path."""
    if isinstance(key, str):
        text = shortened(key)
        return f".{text}" if key.isidentifier() else f"[{quoted(text)}]"
    if isinstance(key, bool):
        return f"[{str(key).lower()}]"
    return f"[{key}]" if isinstance(key, (int, float)) else f"[{class_name(key)}]"


def readable(text: str) -> str:
    """Text with the bytes that are no UTF-8, which loading keeps as lone surrogates, written as ``\\xff``."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def shortened(text: str) -> str:
    """The beginning of a text, readable."""
    return readable(text if len(text) <= TEXT else text[:TEXT] + "…")


def printable(text: str, keep: str = "") -> str:
    """Text with all that a terminal could take for a command, line breaks too, escaped; ``keep`` stays."""
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def quoted(text: str) -> str:
    """Text in quotes, printable."""
    return f"'{printable(text)}'"
