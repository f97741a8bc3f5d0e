"""Finding out how long a ``long`` is: 8 bytes, or 4 as 32-bit machines and Windows wrote them.

A file does not say. Where the first long stands the reader tries both sizes, and sees with which of them
something sensible comes next.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from ..types import Storage

_AHEAD = 6  # objects to look at


def find_long_size(source: Any, tensor: str = "", storage: np.dtype | None = None) -> int:
    """The size of a long, 8 or 4, judged from what begins at the source's position.

    Args:
        source: the file, which stays where it is.
        tensor: the name of the storage class, where a tensor begins.
        storage: the type of the numbers, where a storage begins. With neither, a single long stands here and objects follow.
    """
    for size in (8, 4):
        try:
            if _Probe(source, size).fits(tensor, storage):
                return size
        except (struct.error, OverflowError):
            pass  # the file ends before that
    return 8


class _Probe:
    def __init__(self, source: Any, size: int) -> None:
        self.source = source
        self.memo = source.memo
        self.size = size
        self.at = source.offset

    def take(self, kind: str) -> int:
        layout = self.source.order + kind
        data = self.source.peek(self.at, struct.calcsize(layout))
        (value,) = struct.unpack(layout, data)
        self.at += len(data)
        return value

    def long(self) -> int:
        return self.take("q" if self.size == 8 else "i")

    def text(self) -> bytes | None:
        length = self.take("i")
        if not 0 <= length <= self.source.size - self.at:
            return None
        data = self.source.peek(self.at, min(length, 256))
        self.at += length
        return data

    def fits(self, tensor: str, storage: np.dtype | None) -> bool:
        if tensor:
            return self.tensor(tensor)
        if storage is not None:
            return self.storage(storage)
        return self.long() >= 0 and self.objects()

    def tensor(self, storage: str) -> bool:
        dimensions = self.take("i")
        if not 0 <= dimensions <= 64:
            return False
        if any(self.long() < 0 for _ in range(2 * dimensions + 1)):
            return False
        kind = self.take("i")
        if kind == 0:
            return self.objects()
        if kind != 4:
            return False
        index = self.take("i")
        if index in self.memo:
            return type(self.memo[index]) is Storage and self.objects()
        name = self.text()
        if name is not None and name.startswith(b"V "):
            name = self.text()
        return name == storage.encode()

    def storage(self, dtype: np.dtype) -> bool:
        count = self.long()
        self.at += count * (self.size if dtype == np.int64 else dtype.itemsize)
        return 0 <= count and self.at <= self.source.size and self.objects()

    def objects(self) -> bool:
        """Whether something like objects follows: no nil, for neither a key nor a value of a table is nil."""
        for _ in range(_AHEAD):
            if self.at == self.source.size:
                return True
            kind = self.take("i")
            if kind == 1:
                self.take("d")
            elif kind == 2:
                if self.text() is None:
                    return False
            elif kind == 5:
                if self.take("i") not in (0, 1):
                    return False
            elif kind in (3, 4, 7, 8):
                index = self.take("i")
                if index in self.memo:
                    continue
                if kind != 3:
                    text = self.text()
                    return text is not None and (kind != 4 or text.isascii())
                if not 0 <= self.take("i") <= self.source.size - self.at:
                    return False
            else:
                return False
        return True
