"""Lua's table, as a dict: string keys read as attributes, any object may be a key; and as a list."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any, ClassVar

_PLAIN = frozenset((str, int, float))  # the types of keys that a dict tells apart as Lua does


class _Key:
    """Stands in a dict for a key that the dict itself cannot hold: a boolean, or something unhashable.

    ``True`` and ``False`` are wrapped because a dict takes them for 1 and 0. Anything else is equal only to itself,
    as a table that serves as a key is in Lua.
    """

    __slots__ = ("key",)

    def __init__(self, key: Any) -> None:
        self.key = key

    def __hash__(self) -> int:
        return id(self.key)  # True and False are single objects too

    def __eq__(self, other: object) -> bool:
        return type(other) is _Key and other.key is self.key

    def __repr__(self) -> str:
        return repr(self.key)


def _is_odd(key: Any) -> bool:
    if type(key) in _PLAIN:
        return False
    if type(key) is bool:
        return True
    try:
        hash(key)
    except TypeError:
        return True
    return False


def _stored(key: Any) -> Any:
    return _Key(key) if _is_odd(key) else key


class Shuffled(list):
    """A list from a file where its entries stood in another order; as long as none is added or removed, it is saved so.

    Attributes:
        order: the keys, from 1, in the order of the file.
    """

    __slots__ = ("order",)

    def __init__(self, values: Iterable = (), order: list[int] | None = None) -> None:
        super().__init__(values)
        self.order = order or []


class Table(dict):
    """A Lua table whose keys are not just 1..n: a dict that keeps its order and reads as an object too.

    ``opt.learningRate`` is ``opt['learningRate']``; a name that is no key raises :class:`AttributeError`, and
    assigning to an attribute sets the entry. The names of dict's own methods (``keys``, ``values``, ``items``, ``get``,
    ``copy``, ``update``, ...) stay methods: such an entry is reached as ``t['values']``.

    Beyond a dict, two kinds of keys work as in Lua. ``True`` and ``False`` are keys of their own, apart from 1 and 0.
    What Python cannot hash (a list, another Table) is a key by identity: only that same object finds the entry. A table
    without such keys is read at the speed of a dict, and therefore takes ``t[True]`` for ``t[1]`` in look-ups.

    Args:
        entries: a mapping, or an iterable of (key, value) pairs.
        named: further entries with string keys.
    """

    __slots__ = ("__weakref__",)
    _typename: ClassVar[str | None] = None  # a table has no Torch7 class, even if it has a key of this name
    _plain: ClassVar[type[Table]]  # this class, and what an object becomes with its first odd key, so that
    _odd: ClassVar[type[Table]]  # tables without such keys need no checks when read

    def __init__(self, entries: Any = (), /, **named: Any) -> None:
        self.update(entries, **named)

    def __init_subclass__(cls) -> None:
        if not issubclass(cls, _OddKeys):
            cls._plain, cls._odd = cls, _odd_class(cls)

    @classmethod
    def _from_pairs(cls, keys: list, values: list) -> Table:
        """A table of these keys and values; what a reader of files builds, fast for common keys."""
        return cls.__new__(cls)._extend(keys, values)

    @classmethod
    def _from_names(cls, entries: Any) -> Table:
        """A table of these entries, a dict or pairs, whose keys are strings or numbers."""
        table = cls.__new__(cls)
        dict.update(table, entries)
        return table

    def _extend(self, keys: list, values: list) -> Table:
        if set(map(type, keys)) <= _PLAIN:
            dict.update(self, zip(keys, values))
        else:
            for key, value in zip(keys, values):
                self[key] = value
        return self

    def __setitem__(self, key: Any, value: Any) -> None:
        if type(key) in _PLAIN or not _is_odd(key):
            dict.__setitem__(self, key, value)
        else:
            self.__class__ = self._odd
            dict.__setitem__(self, _Key(key), value)

    def setdefault(self, key: Any, default: Any = None, /) -> Any:
        if _is_odd(key):
            self.__class__ = self._odd
            return self.setdefault(key, default)
        return dict.setdefault(self, key, default)

    def update(self, entries: Any = (), /, **named: Any) -> None:
        if isinstance(entries, Table):
            safe = not isinstance(entries, _OddKeys)
        else:
            safe = type(entries) is dict and bool not in set(map(type, entries))
        if safe:
            dict.update(self, entries)
        else:
            for key, value in entries.items() if hasattr(entries, "items") else entries:
                self[key] = value
        if named:
            dict.update(self, named)

    def __ior__(self, other: Any) -> Table:
        self.update(other)
        return self

    def __or__(self, other: Any) -> Table:
        if not isinstance(other, dict):
            return NotImplemented
        both = self.copy()
        both.update(other)
        return both

    def __ror__(self, other: Any) -> Table:
        return type(self)._plain(other) | self if isinstance(other, dict) else NotImplemented

    def copy(self) -> Table:
        """A new table with the same entries."""
        return self._plain(self)

    __copy__ = copy

    @classmethod
    def fromkeys(cls, keys: Iterable, value: Any = None, /) -> Table:
        """A table that holds ``value`` under each of the keys."""
        return cls((key, value) for key in keys)

    def __reduce__(self) -> tuple:
        return self._plain, (), None, None, iter(self.items())

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the table has no entry {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "__class__":
            object.__setattr__(self, name, value)
        elif hasattr(type(self), name):
            raise AttributeError(f"{name!r} is an attribute of dict: to set the entry, write table[{name!r}] = ...")
        else:
            dict.__setitem__(self, name, value)

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(f"the table has no entry {name!r}") from None

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(k for k in self if isinstance(k, str) and k.isidentifier())]

    @reprlib.recursive_repr("Table(...)")
    def __repr__(self) -> str:
        return f"{self._plain.__name__}({dict.__repr__(self)})"


class _OddKeys(MutableMapping):
    """The mapping methods of a table that has, or had, keys which a dict cannot hold as they are."""

    __slots__ = ()

    def __getitem__(self: Any, key: Any) -> Any:
        try:
            return dict.__getitem__(self, _stored(key))
        except KeyError:
            raise KeyError(key) from None

    def __setitem__(self: Any, key: Any, value: Any) -> None:
        dict.__setitem__(self, _stored(key), value)

    def __delitem__(self: Any, key: Any) -> None:
        try:
            dict.__delitem__(self, _stored(key))
        except KeyError:
            raise KeyError(key) from None

    def __contains__(self: Any, key: object) -> bool:
        return dict.__contains__(self, _stored(key))

    def __iter__(self: Any) -> Iterator:
        return (k.key if type(k) is _Key else k for k in dict.__iter__(self))

    def __reversed__(self: Any) -> Iterator:
        return (k.key if type(k) is _Key else k for k in dict.__reversed__(self))

    def popitem(self: Any) -> tuple:
        key, value = dict.popitem(self)
        return key.key if type(key) is _Key else key, value

    __len__ = dict.__len__
    clear = dict.clear
    __eq__ = dict.__eq__
    __ne__ = dict.__ne__
    __hash__ = None  # type: ignore[assignment]
    update = Table.update
    copy = Table.copy


def _odd_class(cls: type[Table]) -> type[Table]:
    return type(cls.__name__, (_OddKeys, cls), {"__slots__": (), "__module__": cls.__module__})


Table._plain, Table._odd = Table, _odd_class(Table)
