"""What a file may hold that has no class in Python: objects of unknown classes, and Lua functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from ..table import Table
from ..types import Storage, typename

_OWN = ("_typename", "version", "fields")


def _apply(obj: Unknown, callback: Callable[[Any], Any]) -> None:
    callback(obj)


def _find(obj: Unknown, typename: str, container: Any = None) -> tuple[list, list]:
    return ([obj], [obj if container is None else container]) if obj.typename == typename else ([], [])


# What a net asks of its modules, and a module of an unknown class can do: so it can be found, and replaced.
_IN_THE_TREE: dict[str, Callable[..., Any]] = {
    "apply": _apply,
    "listModules": lambda obj: [obj],
    "findModules": _find,
    "replace": lambda obj, callback: callback(obj),
}
_COMPUTING = frozenset(
    "updateOutput updateGradInput accGradParameters forward backward backwardUpdate accUpdateGradParameters parameters "
    "getParameters zeroGradParameters updateParameters training evaluate reset clearState share".split()
)


class Unknown:
    """An object of a class that luann does not know; it keeps all that the file said.

    A field reads as an attribute (``obj.weight``) and as an item (``obj['weight']``, for any key); both can be set.
    ``print(obj)`` shows a tree of the fields. As a module in a net it cannot compute, but ``findModules``, ``apply``
    and ``replace`` of the net know it.

    Attributes:
        typename: the class in Torch7, such as ``'nn.Foo'``.
        version: the version of the class that wrote the object; 0 in files from before there were versions.
        fields: a :class:`~luann.table.Table` of the fields, in the order of the file.
    """

    __slots__ = (*_OWN, "__weakref__")

    def __init__(self, typename: str, version: float = 1, fields: dict | None = None) -> None:
        object.__setattr__(self, "_typename", typename)
        object.__setattr__(self, "version", version)
        object.__setattr__(self, "fields", Table(fields or ()))

    @property
    def typename(self) -> str:
        return self._typename

    def _restore(self, fields: dict, version: float) -> None:
        object.__setattr__(self, "version", version)
        self.fields.update(fields)

    def __getattr__(self, name: str) -> Any:
        if name in _OWN:  # not there yet: an object being copied
            raise AttributeError(name)
        try:
            return self.fields[name]
        except KeyError:
            pass
        if name in _IN_THE_TREE:
            return partial(_IN_THE_TREE[name], self)
        if name in _COMPUTING:
            raise AttributeError(
                f"luann has no class {self._typename}, so there is no {name!r}: write one and name it with "
                "luann.t7.register, or put another module in its place"
            )
        raise AttributeError(f"this {self._typename} has no field {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(type(self), name):
            raise AttributeError(f"{name!r} is no field: to set a field of that name, write obj[{name!r}] = ...")
        self.fields[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self.fields[name]
        except KeyError:
            raise AttributeError(f"this {self._typename} has no field {name!r}") from None

    def __getitem__(self, key: Any) -> Any:
        return self.fields[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.fields[key] = value

    def __delitem__(self, key: Any) -> None:
        del self.fields[key]

    def __contains__(self, key: Any) -> bool:
        return key in self.fields

    def __iter__(self) -> Iterator:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def __bool__(self) -> bool:
        return True

    def __getstate__(self) -> tuple:
        return self._typename, self.version, self.fields

    def __setstate__(self, state: tuple) -> None:
        for name, value in zip(_OWN, state):
            object.__setattr__(self, name, value)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(k for k in self.fields if isinstance(k, str) and k.isidentifier())]

    def __tostring__(self) -> str:
        """One line, as a layer has in the printed tree of a net."""
        return f"{self.typename} (unknown class)"

    def __repr__(self) -> str:
        return tree(self)


class Function:
    """A Lua function as it lies in a file; luann keeps it and never runs it.

    Attributes:
        dumped: its bytecode, as Lua's ``string.dump`` gave it.
        upvalues: the variables it closes over, as the file has them: a list of Tables with ``name`` and ``value`` (and
            ``id`` in late versions), or in old files a list of values.
        form: the number that marks it in the file: 8 today, 6 and 7 in old files.
    """

    _typename = None
    __slots__ = ("__weakref__", "dumped", "form", "upvalues")

    def __init__(self, dumped: bytes, upvalues: Any = None, form: int = 8) -> None:
        self.dumped = dumped
        self.upvalues = [] if upvalues is None else upvalues
        self.form = form

    def __call__(self, *args: Any) -> Any:
        raise TypeError("a Lua function from a file is kept as it is, not run: port it to Python, or ignore it")

    def __repr__(self) -> str:
        names = [u.get("name", "?") for u in self.upvalues if isinstance(u, Table)] if self.form == 8 else []
        closed = f", upvalues {', '.join(map(str, names))}" if names else ""
        return f"<Lua function, {len(self.dumped)} bytes of bytecode{closed}>"


_DEPTH, _LENGTH = 6, 24  # levels and entries that a tree shows


def tree(value: Any) -> str:
    """A table, list or object as an indented tree of its entries; long, deep and circular ones are abridged."""
    return "\n".join(_lines(value, 0, ()))


def _head(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        size = "x".join(map(str, value.shape)) if value.numel() else "empty"
        return f"{typename(value)} {size}"
    if isinstance(value, Storage):
        return f"{value.typename} {len(value)}" if len(value) > 8 else repr(value)
    if isinstance(value, Unknown):
        return f"{value.typename} (unknown class, version {value.version})"
    if isinstance(value, Table):
        return f"Table of {len(value)}"
    if isinstance(value, list):
        return f"list of {len(value)}"
    name = typename(value)
    if name is not None:
        return name
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _lines(value: Any, level: int, above: tuple[int, ...]) -> Iterator[str]:
    yield _head(value)
    if isinstance(value, Unknown):
        entries = list(value.fields.items())
    elif isinstance(value, Table):
        entries = list(value.items())
    elif isinstance(value, list):
        entries = list(enumerate(value[: _LENGTH + 1]))
    else:
        return
    if level == _DEPTH and entries:
        yield "  ..."
        return
    above = (*above, id(value))
    for key, item in entries[:_LENGTH]:
        label = key if isinstance(key, str) else f"[{_head(key)}]"
        if id(item) in above:
            yield f"  {label}: {_head(item)}, the one above"
            continue
        lines = _lines(item, level + 1, above)
        yield f"  {label}: {next(lines)}"
        for line in lines:
            yield "  " + line
    more = len(value) - _LENGTH
    if more > 0:
        yield f"  ... {more} more"
