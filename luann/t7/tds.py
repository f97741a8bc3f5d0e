"""The containers of the rock tds: a hash, a vector and a counter that live outside of Lua's memory."""

from __future__ import annotations

from typing import Any

from ..table import Table
from ..types import classes, register
from .binary import Damage
from .payloads import Steps, register_payload


@register("tds.Hash")
class Hash(Table):
    """A ``tds.Hash``: a :class:`~luann.table.Table`, whatever its keys."""

    __slots__ = ()
    _version = 0

    def _restore(self, fields: Table, version: float) -> None:
        self.update(fields)


@register("tds.Vec")
class Vec(list):
    """A ``tds.Vec``: a list, in which ``None`` stands for nil."""

    __slots__ = ("__weakref__",)
    _version = 0

    def _restore(self, fields: list, version: float) -> None:
        self += fields

    def __repr__(self) -> str:
        return f"Vec({super().__repr__()})"


@register("tds.AtomicCounter")
class AtomicCounter:
    """A ``tds.AtomicCounter``: a number that threads shared, in :attr:`value`."""

    _version = 0

    def __init__(self, value: int = 0) -> None:
        self.value = value

    def __int__(self) -> int:
        return self.value

    def __repr__(self) -> str:
        return f"AtomicCounter({self.value})"


def _count(file: Any, objects: int) -> int:
    start = file.offset
    (count,) = file.longs(1)
    if not 0 <= count <= file.left:
        raise Damage(f"{count} entries, with {file.left} bytes left for them", start)
    return count * objects


def _write_hash(file: Any, table: Hash) -> Steps:
    file.longs([len(table)])
    for key, value in table.items():
        yield key
        yield value


def _write_vec(file: Any, values: Vec) -> Steps:
    file.longs([len(values)])
    yield from values


def _write_counter(file: Any, counter: AtomicCounter) -> None:
    file.longs([counter.value])


@register_payload("tds.Hash", write=_write_hash)
@register_payload("tds_hash")  # its name in early versions
def _hash(file: Any, version: float) -> Steps:
    entries: list = []
    for _ in range(_count(file, 2)):
        entries.append((yield))
    return Table._from_pairs(entries[::2], entries[1::2])


@register_payload("tds.Vec", write=_write_vec)
@register_payload("tds_vec")
def _vec(file: Any, version: float) -> Steps:
    values: list = []
    for _ in range(_count(file, 1)):
        values.append((yield))
    return values


@register_payload("tds.AtomicCounter", write=_write_counter)
def _counter(file: Any, version: float) -> dict:
    return {"value": file.longs(1)[0]}


classes["tds_hash"], classes["tds_vec"] = Hash, Vec
