"""Primitives of the binary form of .t7: numbers as they lie in memory, 4-byte ints, 8- or 4-byte longs.

Torch7 writes in the byte order and with the ``long`` of the machine it runs on, and says neither in the file. The order
is seen at once from the first number (a type between 0 and 8); the size of a long is found by :mod:`.longsize` when the
first one is met.

The file is read through a window of about a megabyte; a large storage goes from the file straight into its memory.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from .entries import Entries
from .longsize import find_long_size
from .memory import NUMPY, empty

WINDOW = 1 << 20


class Damage(Exception):
    """What is wrong, at which byte; the reader adds the path and makes a FormatError of it."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset


class Binary(Entries):
    """Reads the primitives of a binary file.

    Args:
        data: the beginning of the file, or all of it (bytes or a mmap).
        offset: where in the file ``data`` begins.
        size: where the file ends.
        file: the file (unbuffered or buffered) that stands behind ``data``; ``None`` where that is everything.
        big: whether numbers are in big-endian order.
        mapped: whether storages may use the memory of ``data`` (a private, writable mmap).
    """

    form = "binary"
    smallest_entry = 12  # bytes of the shortest entry of a table: a key of two ints, nil

    def __init__(self, data: Any, offset: int, size: int, file: Any, big: bool = False, mapped: bool = False) -> None:
        self.buf = data
        self.pos = 0
        self.limit = len(data)
        self.base = offset
        self.size = size
        self.file = file
        self.mapped = mapped
        self.order: Any = ">" if big else "<"
        self.long_size = 0  # not known yet
        self.memo: dict = {}  # the objects read so far,
        self.stack: list = []  # and the frames of those being read: what find_long_size judges by
        self.moved: Callable[[int], Any] = lambda offset: None  # called with the position where the window goes on
        self._int = struct.Struct(self.order + "i").unpack_from
        self._double = struct.Struct(self.order + "d").unpack_from
        self.prepare(self.order)

    # Position and window

    @property
    def offset(self) -> int:
        """The position in the file."""
        return self.base + self.pos

    @property
    def left(self) -> int:
        """How many bytes the file has from here on."""
        return self.size - self.base - self.pos

    def at_end(self) -> bool:
        # torch.serialize leaves a zero byte behind
        return self.left <= 0 or (self.left == 1 and self.peek(self.offset, 1) == b"\0")

    def seek(self, offset: int) -> None:
        """Go to a place in the file."""
        if self.base <= offset <= self.base + self.limit:
            self.pos = offset - self.base
        else:
            self.file.seek(offset)
            self.buf, self.base, self.pos, self.limit = b"", offset, 0, 0

    def need(self, n: int, what: str = "an object") -> None:
        """Have at least n bytes in the window."""
        if self.limit - self.pos >= n:
            return
        if n > self.left or self.file is None:
            raise self.cut_off(n, what)
        rest = bytes(self.buf[self.pos : self.limit])
        wanted = min(max(n, WINDOW), self.left) - len(rest)
        chunk = self.file.read(wanted)
        while len(rest) + len(chunk) < n:
            more = self.file.read(wanted - len(chunk))
            if not more:
                raise self.cut_off(n, what)
            chunk += more
        self.base += self.pos
        self.buf, self.pos, self.limit = rest + chunk, 0, len(rest) + len(chunk)
        self.moved(self.base)

    def cut_off(self, n: int, what: str) -> Damage:
        return Damage(f"the file is cut off: {n} bytes wanted for {what}, {self.left} left", self.offset)

    def peek(self, offset: int, n: int) -> bytes:
        """Up to n bytes from a place in the file, without moving."""
        start = offset - self.base
        if start >= 0 and (start + n <= self.limit or self.file is None):
            return bytes(self.buf[start : start + n])
        place = self.file.tell()
        self.file.seek(offset)
        data = self.file.read(n)
        self.file.seek(place)
        return data

    # Numbers and strings

    def int32(self) -> int:
        try:
            value = self._int(self.buf, self.pos)[0]
        except struct.error:
            self.need(4)
            value = self._int(self.buf, self.pos)[0]
        self.pos += 4
        return value

    def double(self) -> float:
        try:
            value = self._double(self.buf, self.pos)[0]
        except struct.error:
            self.need(8)
            value = self._double(self.buf, self.pos)[0]
        self.pos += 8
        return value

    def longs(self, n: int) -> list[int]:
        size = self.long_size
        if not size:
            size = self.long_size = find_long_size(self)
        self.need(n * size)
        values = struct.unpack_from(f"{self.order}{n}{'q' if size == 8 else 'i'}", self.buf, self.pos)
        self.pos += n * size
        return list(values)

    def chars(self, n: int, what: str = "an object") -> bytes:
        """n raw bytes."""
        if n < 0:
            raise Damage(f"a length of {n} bytes for {what}", self.offset)
        self.need(n, what)
        start = self.pos
        self.pos += n
        return bytes(self.buf[start : self.pos])

    def string(self, what: str = "a string") -> str:
        """An int and as many bytes, as a str."""
        try:
            start = self.pos + 4
            end = start + self._int(self.buf, self.pos)[0]
            if start <= end <= self.limit:
                self.pos = end
                return self.buf[start:end].decode("utf-8", "surrogateescape")
        except struct.error:
            pass  # the window ends here
        return self.chars(self.int32(), what).decode("utf-8", "surrogateescape")

    # Many numbers at once

    def most(self, dtype: torch.dtype) -> int:
        """How many numbers of a storage there can be in what is left of the file."""
        return self.left // (self.long_size if dtype == torch.int64 else dtype.itemsize)

    def storage(self, dtype: torch.dtype, n: int) -> torch.Tensor:
        """n numbers as a vector, in memory of their own (or in that of a private map)."""
        native = NUMPY[dtype]
        foreign = (np.dtype(f"i{self.long_size}") if dtype == torch.int64 else native).newbyteorder(self.order)
        nbytes = n * foreign.itemsize
        if nbytes > self.left:
            raise self.cut_off(nbytes, f"a storage of {n} numbers")
        if self.mapped and foreign == native:
            tensor = torch.from_numpy(np.frombuffer(self.buf, native, n, self.pos))
            self.pos += nbytes
            return tensor
        tensor, values = empty(n, dtype)
        if nbytes <= self.limit - self.pos:
            values[:] = np.frombuffer(self.buf, foreign, n, self.pos)
            self.pos += nbytes
        elif foreign == native:
            self._into(values)
        else:
            raw = np.empty(n, foreign)
            self._into(raw)
            values[:] = raw
        return tensor

    def _into(self, values: np.ndarray) -> None:
        """Fill an array with what comes next, which goes beyond the window."""
        target = values.view(np.uint8).data
        nbytes = len(target)
        done = self.limit - self.pos
        target[:done] = self.buf[self.pos : self.limit]
        while done < nbytes:
            got = self.file.readinto(target[done:])
            if not got:
                raise self.cut_off(nbytes, "a storage")
            done += got
        self.base += self.pos + nbytes
        self.buf, self.pos, self.limit = b"", 0, 0
