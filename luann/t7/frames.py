"""What the reader keeps of the tables and objects that it is in the middle of."""

from __future__ import annotations

from typing import Any

from ..table import Shuffled, Table
from .payloads import Steps

NOTHING = object()
"""Stands for "no value" where ``None`` is one."""


class TableFrame:
    """A table being read.

    Attributes:
        keys: the keys so far; ``None`` as long as they are 1, 2, 3, ..., as in most tables.
        values: the values so far.
        left: how many entries are still to come, the one of ``key`` included.
        key: the key whose value comes next, or NOTHING.
        index: the table's number in the file.
        start: where in the file the table begins.
        as_fields: whether these are the fields of an object, which are a Table whatever the keys.
        result: the list or Table that the table becomes, if something had to refer to it before it was complete.
    """

    __slots__ = ("as_fields", "index", "key", "keys", "left", "result", "start", "values")

    def __init__(self, count: int, index: int, start: int, as_fields: bool) -> None:
        self.keys: list | None = None
        self.values: list = []
        self.left = count
        self.key: Any = NOTHING
        self.index = index
        self.start = start
        self.as_fields = as_fields
        self.result: list | Table | None = None

    def spread(self) -> list:
        """The keys as a list of their own, from now on."""
        if self.keys is None:
            self.keys = list(range(1, len(self.values) + 1))
        return self.keys

    def add(self, key: Any, value: Any) -> None:
        """One more entry."""
        if self.keys is not None or type(key) is not int or key != len(self.values) + 1:
            self.spread().append(key)
        self.values.append(value)

    def may_be_list(self) -> bool:
        """Whether the keys so far leave it open that they will be 1..n."""
        keys = self.keys or []
        if self.key is not NOTHING:
            keys = [*keys, self.key]
        count = len(self.values) + self.left
        return not self.as_fields and all(type(k) is int and 1 <= k <= count for k in keys)

    def finish(self) -> list | Table:
        """The table, complete: a list if its keys are 1..n, in whatever order they came."""
        keys, values = self.keys, self.values
        listed = bool(values) and not self.as_fields
        if listed and keys is not None:
            listed = set(map(type, keys)) == {int}
            if listed:
                entries = dict(zip(keys, values))
                n = len(entries)
                listed = min(entries) == 1 and max(entries) == n
                if listed:
                    values = Shuffled(entries[i] for i in range(1, n + 1))
                    values.order = keys if len(keys) == n else []
        result = self.result
        if isinstance(result, Table):
            return result._extend(self.spread(), values)
        if not listed:
            return Table._from_pairs(self.spread(), values)
        if result is None:
            return values
        result += values
        if isinstance(result, Shuffled):
            result.order = getattr(values, "order", [])
        return result


class ObjectFrame:
    """An object whose payload is being read.

    Attributes:
        payload: a generator that asks for the objects within.
        result: the object.
        name: its class; empty for a Lua function.
        version: the version of the class.
        wants: what the payload asked for last: FIELDS or ``None``.
    """

    __slots__ = ("name", "payload", "result", "version", "wants")

    def __init__(self, payload: Steps, result: Any, name: str, version: float) -> None:
        self.payload = payload
        self.result = result
        self.name = name
        self.version = version
        self.wants: Any = None
