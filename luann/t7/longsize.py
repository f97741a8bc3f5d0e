"""Finding out how long a ``long`` is: 8 bytes, or 4 as 32-bit machines and Windows wrote them.

A file does not say. Where the first long stands the reader tries both sizes, and sees with which of them
something sensible comes next.
"""

from __future__ import annotations

import struct
from typing import Any

import torch

from ..types import Storage
from .frames import NOTHING, TableFrame
from .payloads import FIELDS

_AHEAD = 8  # objects to look at
_SURE = 100


def find_long_size(source: Any, tensor: str = "", storage: torch.dtype | None = None) -> int:
    """The size of a long, 8 or 4: that with which more sense can be made of what begins at the source's position.

    Args:
        source: the file, which stays where it is.
        tensor: the name of the storage class, where a tensor begins.
        storage: the type of the numbers, where a storage begins. With neither, a long stands here and objects follow.
    """
    eight, four = (_Probe(source, size).sense(tensor, storage) for size in (8, 4))
    return 4 if four > max(eight, 0) else 8


def _to_come(stack: list) -> tuple[int, bool]:
    """How many more objects at least the tables being read need, and whether the next is to be a key."""
    objects, key = 0, None
    for frame in reversed(stack):
        if type(frame) is TableFrame:
            more = 2 * frame.left - (2 if frame.key is not NOTHING else 1)
            if key is None and more:
                key = more % 2 == 0
            objects += more
        elif key is None and frame.wants is not FIELDS:
            key = False
    return objects, bool(key)


class _Probe:
    """A reader that builds nothing and says how far it got before something was wrong."""

    def __init__(self, source: Any, size: int) -> None:
        self.source = source
        self.memo = source.memo
        self.size = size
        self.at = source.offset
        self.small = True  # whether the longs so far would fit into 4 bytes

    def sense(self, tensor: str, storage: torch.dtype | None) -> int:
        """-1 for nonsense, else how many objects could be read from here on; _SURE or more for what fits perfectly."""
        try:
            if tensor:
                return self.tensor(tensor)
            if storage is not None:
                return self.storage(storage)
            return self.objects() if self.long() >= 0 else -1
        except struct.error:  # the file ends here
            return _SURE - 1 if self.is_cut_off() else -1

    def is_cut_off(self) -> bool:
        """Whether this may be the end of a cut-off file with longs of 8 bytes: their upper halves are 0 then."""
        return self.size == 8 and self.small

    def take(self, kind: str) -> Any:
        layout = self.source.order + kind
        data = self.source.peek(self.at, struct.calcsize(layout))
        (value,) = struct.unpack(layout, data)
        self.at += len(data)
        return value

    def long(self) -> int:
        value = self.take("q" if self.size == 8 else "i")
        self.small &= 0 <= value < 1 << 32
        return value

    def text(self) -> bytes | None:
        length = self.take("i")
        if not 0 <= length <= self.source.size - self.at:
            return None
        data = self.source.peek(self.at, min(length, 256))
        self.at += length
        return data

    def tensor(self, storage: str) -> int:
        dimensions = self.take("i")
        if not 0 <= dimensions <= 64 or any(self.long() < 0 for _ in range(2 * dimensions + 1)):
            return -1
        kind = self.take("i")
        if kind == 0:
            return -1 if dimensions else self.objects()
        if kind != 4:
            return -1
        index = self.take("i")
        if index in self.memo:
            return self.objects() if isinstance(self.memo[index], Storage) else -1
        name = self.text()
        if name is not None and name.startswith(b"V "):
            name = self.text()
        return _SURE if name == storage.encode() else -1

    def storage(self, dtype: torch.dtype) -> int:
        count = self.long()
        if count < 0:
            return -1
        self.at += count * (self.size if dtype == torch.int64 else dtype.itemsize)
        if self.at <= self.source.size:
            return self.objects()
        return _SURE if self.is_cut_off() else -1

    def objects(self) -> int:
        """How many objects can be read in a row. Nil counts as none: it is neither key nor value of a table."""
        new: set[int] = set()
        to_come, key = _to_come(self.source.stack)
        try:
            for count in range(_AHEAD):
                if self.source.size - self.at <= 1:  # torch.serialize leaves a zero byte behind
                    return _SURE + count if count >= to_come else count
                kind = self.take("i")
                if key and not count and kind not in (1, 2, 5):  # what else may be a key hardly ever is one
                    return count
                if kind == 1:
                    self.take("d")
                elif kind == 2:
                    if self.text() is None:
                        return count
                elif kind == 5:
                    if self.take("i") not in (0, 1):
                        return count
                elif kind in (3, 4, 7, 8):
                    index = self.take("i")
                    if index in self.memo or index in new:
                        continue
                    new.add(index)
                    if kind != 3:
                        text = self.text()
                        sure = text is not None and (kind != 4 or (text[:2] == b"V " and text[2:3].isdigit()))
                        return _SURE if sure else count
                    if not 0 <= self.take("i") <= self.source.size - self.at:
                        return count
                else:
                    return count
        except struct.error:
            return count
        return _AHEAD
