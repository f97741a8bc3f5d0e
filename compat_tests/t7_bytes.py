"""Writes .t7 files number by number, right ones and wrong ones, for the tests of the reader.

Each method of a ``Writer`` gives the bytes of one object. ``T`` is the writer in little-endian order with longs of 8
bytes, which is what Torch7 writes today.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

_CODES = {"Byte": "B", "Char": "b", "Short": "h", "Int": "i", "Long": "q", "Float": "f", "Double": "d", "Half": "e"}


class Writer:
    """Writes binary objects.

    Args:
        order: '<' or '>'.
        long_size: 8 or 4.
    """

    def __init__(self, order: str = "<", long_size: int = 8) -> None:
        self.order = order
        self.long_size = long_size

    def ints(self, *values: int) -> bytes:
        return struct.pack(f"{self.order}{len(values)}i", *values)

    def longs(self, *values: int) -> bytes:
        return struct.pack(f"{self.order}{len(values)}{'q' if self.long_size == 8 else 'i'}", *values)

    def chars(self, text: str | bytes) -> bytes:
        data = text.encode() if isinstance(text, str) else text
        return self.ints(len(data)) + data

    def nil(self) -> bytes:
        return self.ints(0)

    def number(self, x: float) -> bytes:
        return self.ints(1) + struct.pack(self.order + "d", x)

    def string(self, text: str | bytes) -> bytes:
        return self.ints(2) + self.chars(text)

    def boolean(self, value: bool) -> bytes:
        return self.ints(5, int(value))

    def table(self, index: int, *entries: bytes, count: int | None = None) -> bytes:
        """A table of keys and values, one after the other."""
        return self.ints(3, index, len(entries) // 2 if count is None else count) + b"".join(entries)

    def list(self, index: int, items: Iterable[bytes]) -> bytes:
        entries = [part for i, item in enumerate(items, 1) for part in (self.number(i), item)]
        return self.table(index, *entries)

    def ref(self, index: int, kind: int = 3) -> bytes:
        """Something that came before."""
        return self.ints(kind, index)

    def head(self, index: int, name: str, version: str = "V 1") -> bytes:
        """The beginning of an object of a class; its payload follows."""
        return self.ints(4, index) + self.chars(version) + self.chars(name)

    def obj(self, index: int, name: str, *entries: bytes, version: str = "V 1") -> bytes:
        """An object with a table of fields, whose index is the next."""
        return self.head(index, name, version) + self.table(index + 1, *entries)

    def storage(self, index: int, kind: str, values: Iterable[float], count: int | None = None) -> bytes:
        values = list(values)
        code = _CODES[kind.removeprefix("Cuda") or "Float"]
        data = self.longs(*values) if code == "q" else struct.pack(f"{self.order}{len(values)}{code}", *values)
        return self.head(index, f"torch.{kind}Storage") + self.longs(len(values) if count is None else count) + data

    def view(
        self, index: int, kind: str, size: Iterable[int], stride: Iterable[int], offset: int, storage: bytes
    ) -> bytes:
        """A tensor on a storage, which is written here or is a reference."""
        size = list(size)
        head = self.head(index, f"torch.{kind}Tensor") + self.ints(len(size))
        return head + self.longs(*size, *stride, offset) + storage

    def vector(self, index: int, kind: str, values: Iterable[float]) -> bytes:
        """A vector on a storage of its own, whose index is the next."""
        values = list(values)
        return self.view(index, kind, [len(values)], [1], 1, self.storage(index + 1, kind, values))

    def empty(self, index: int, kind: str) -> bytes:
        """A tensor as `torch.Tensor()` is written."""
        return self.view(index, kind, [], [], 1, self.nil())

    def function(self, index: int | None, code: bytes, upvalues: bytes, kind: int = 8) -> bytes:
        head = self.ints(kind) if index is None else self.ints(kind, index)
        return head + self.chars(code) + upvalues


T = Writer()
