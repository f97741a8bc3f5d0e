"""Primitives of the binary form of .t7: numbers as they lie in memory, 4-byte ints, 8- or 4-byte longs.

Torch7 writes in the byte order and with the ``long`` of the machine it runs on, and says neither in the file. The order
is seen at once from the first number (a type between 0 and 8); the size of a long is found by :mod:`.longsize` when the
first one is met.

The file is read through a window of about a megabyte; a large storage goes from the file straight into its memory.
"""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import torch

from .longsize import find_long_size
from .memory import NUMPY, empty

WINDOW = 1 << 20
_RUN = 32  # pairs of numbers worth handing to numpy
_LIMIT = 2.0**63  # whole numbers below it become int


class Damage(Exception):
    """What is wrong, at which byte; the reader adds the path and makes a FormatError of it."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset


def whole(x: float) -> float | int:
    """A Lua number as Python's: int where it is whole, but minus zero stays a float."""
    if x.is_integer() and -_LIMIT < x < _LIMIT and (x or math.copysign(1.0, x) > 0):
        return int(x)
    return x


def wholes(a: np.ndarray) -> list:
    """:func:`whole` for each number of an array."""
    is_whole = (np.trunc(a) == a) & (np.abs(a) < _LIMIT)
    is_whole &= (a != 0) | ~np.signbit(a)
    if is_whole.all():
        return a.astype(np.int64).tolist()
    numbers = a.tolist()
    for i in np.flatnonzero(is_whole).tolist():
        numbers[i] = int(numbers[i])
    return numbers


class Binary:
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
        self._int = struct.Struct(self.order + "i").unpack_from
        self._double = struct.Struct(self.order + "d").unpack_from
        self._two = struct.Struct(self.order + "ii").unpack_from
        self._tag_double = struct.Struct(self.order + "id").unpack_from
        self._pair = np.dtype([("kt", self.order + "i4"), ("k", self.order + "f8"),
                               ("vt", self.order + "i4"), ("v", self.order + "f8")])  # fmt: skip

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

    def scalars(self, frame: Any) -> None:
        """Read entries of a table, as long as both key and value are numbers, strings or booleans.

        Stops before the first entry that is not, or that does not lie wholly in the window; where only the value is
        something else, stops before that, with the key in ``frame.key``.

        Args:
            frame: the table: see :class:`.frames.TableFrame`.
        """
        buf, pos, limit = self.buf, self.pos, self.limit
        two, tag_double = self._two, self._tag_double
        keys, values, left = frame.keys, frame.values, frame.left
        expected = len(values) + 1  # the next key, as long as the keys are 1, 2, 3, ...
        block, next_run = _RUN, 0
        start = pos
        try:
            while left:
                start = pos
                tag, size = two(buf, pos)
                if tag == 2:
                    pos += 8
                    end = pos + size
                    if size < 0 or end > limit:
                        break
                    key = buf[pos:end].decode()
                    pos = end
                elif tag == 1:
                    if left >= _RUN and len(values) >= next_run and pos + 24 <= limit and two(buf, pos + 12)[0] == 1:
                        done = self._numbers(frame, min(left, block), pos)
                        block = block * 4 if done == block else _RUN
                        next_run = len(values) + (0 if done == block else _RUN)
                        left -= done
                        pos = start = pos + done * 24
                        keys, expected = frame.keys, len(values) + 1
                        continue
                    key = tag_double(buf, pos)[1]
                    if key.is_integer() and -_LIMIT < key < _LIMIT:
                        key = int(key)
                    elif key != key:  # nan is no key: the slow path says so
                        break
                    pos += 12
                else:
                    break
                tag, value = tag_double(buf, pos)
                if tag == 1:
                    if value.is_integer() and -_LIMIT < value < _LIMIT and (value or math.copysign(1.0, value) > 0):
                        value = int(value)
                    pos += 12
                elif tag == 2:
                    at = pos + 8
                    end = at + two(buf, pos)[1]
                    if end < at or end > limit:
                        break
                    value = buf[at:end].decode()
                    pos = end
                elif tag == 5:
                    value = two(buf, pos)[1] == 1
                    pos += 8
                else:
                    frame.key = key
                    start = pos
                    break
                if keys is not None:
                    keys.append(key)
                elif key == expected:
                    expected += 1
                else:
                    keys = frame.spread()
                    keys.append(key)
                values.append(value)
                left -= 1
            else:
                start = pos
        except (struct.error, UnicodeDecodeError):
            pass  # the window ends within this entry, or a string is no UTF-8
        self.pos = start
        frame.left = left

    def _numbers(self, frame: Any, n: int, pos: int) -> int:
        """Up to n entries whose key and value are numbers, as many as there are from ``pos`` on; returns how many."""
        n = min(n, (self.limit - pos) // 24)
        run = np.frombuffer(self.buf, self._pair, n, pos)
        keys = run["k"]
        good = (run["kt"] == 1) & (run["vt"] == 1) & (keys == keys)
        if not good.all():
            n = int(good.argmin())
            keys = keys[:n]
        first = len(frame.values) + 1
        if frame.keys is not None or not np.array_equal(keys, np.arange(first, first + n)):
            frame.spread().extend(wholes(keys))
        frame.values += wholes(run["v"][:n])
        return n
