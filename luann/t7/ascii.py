"""Primitives of the ASCII form of .t7: decimal numbers parted by spaces, and raw bytes.

Torch7 ends what it writes in one call with a newline, and after reading skips one if it is there. Byte and Char
storages, strings, and the state of a generator are raw bytes even here. An int is followed by a newline, so that
raw bytes begin right behind it.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch

from .binary import Damage
from .memory import empty

_INTEGER = re.compile(rb"\s*([+-]?\d{1,20})(?:\r?\n|(?=\s|\Z))")
_NUMBER = re.compile(
    rb"\s*([+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf(?:inity)?|nan(?:\(\w*\))?))(?:\r?\n|(?=\s|\Z))", re.IGNORECASE
)
_SPACE = re.compile(rb"\s*")
_CHUNK = 1 << 20


class Ascii:
    """Reads the primitives of an ASCII file.

    Args:
        data: the file from ``offset`` on.
        offset: where in the file ``data`` begins.
    """

    form = "ascii"
    smallest_entry = 6  # bytes of the shortest entry of a table: a key of two digits, nil
    long_size = 8

    def __init__(self, data: bytes, offset: int) -> None:
        self.data = data.removesuffix(b"\0")  # torch.serialize leaves one behind
        self.pos = 0
        self.base = offset
        self.memo: dict = {}
        self.stack: list = []
        self.moved: Any = None  # the file is in memory already

    @property
    def offset(self) -> int:
        """The position in the file."""
        return self.base + self.pos

    @property
    def left(self) -> int:
        """How many bytes the file has from here on."""
        return len(self.data) - self.pos

    def at_end(self) -> bool:
        return self._next() == len(self.data)

    def _next(self) -> int:
        """Where the next thing begins that is no white space."""
        match = _SPACE.match(self.data, self.pos)
        return match.end() if match else self.pos

    def seek(self, offset: int) -> None:
        """Go to a place in the file."""
        self.pos = offset - self.base

    def _match(self, pattern: re.Pattern, wanted: str) -> bytes:
        match = pattern.match(self.data, self.pos)
        if match is None:
            if self.at_end():
                raise Damage(f"the file is cut off: {wanted} wanted, nothing left", self.offset)
            start = self._next()
            word = self.data[start : start + 20].split()[0]
            raise Damage(f"{word!r} where {wanted} is wanted", self.base + start)
        if match.end(1) == len(self.data):
            raise Damage("the file is cut off in a number, or lacks its last newline", self.base + match.start(1))
        self.pos = match.end()
        return match[1]

    def _integer(self, bits: int) -> int:
        start = self.pos
        value = int(self._match(_INTEGER, "a whole number"))
        if not -(1 << bits - 1) <= value < 1 << bits - 1:
            raise Damage(f"{value} where a number of {bits} bits is wanted", self.base + start)
        return value

    def int32(self) -> int:
        return self._integer(32)

    def longs(self, n: int) -> list[int]:
        return [self._integer(64) for _ in range(n)]

    def double(self) -> float:
        return float(self._match(_NUMBER, "a number").partition(b"(")[0])

    def chars(self, n: int, what: str = "an object") -> bytes:
        """n raw bytes, and the newline behind them."""
        if n < 0:
            raise Damage(f"a length of {n} bytes for {what}", self.offset)
        if n > self.left:
            raise Damage(f"the file is cut off: {n} bytes wanted for {what}, {self.left} left", self.offset)
        start = self.pos
        self.pos += n
        if n and self.data[self.pos : self.pos + 1] == b"\n":
            self.pos += 1
        return self.data[start : start + n]

    def string(self, what: str = "a string") -> str:
        """An int and as many bytes, as a str."""
        return self.chars(self.int32(), what).decode("utf-8", "surrogateescape")

    def most(self, dtype: torch.dtype) -> int:
        """How many numbers of a storage there can be in what is left of the file; the last word may be cut off."""
        words = len(self.data[self.pos :].split())
        return self.left if dtype.itemsize == 1 else words - (not self.data[-1:].isspace())

    def storage(self, dtype: torch.dtype, n: int) -> torch.Tensor:
        """n numbers as a vector, in memory of their own."""
        # a number takes at least a digit, and a space in between
        nbytes = n if dtype.itemsize == 1 else 2 * n - 1
        if nbytes > self.left:
            raise Damage(f"the file is cut off: a storage of {n} numbers wanted, {self.left} bytes left", self.offset)
        tensor, values = empty(n, dtype)
        if dtype.itemsize == 1:
            values[:] = np.frombuffer(self.chars(n), values.dtype)
        else:
            self._numbers(values)
        return tensor

    def _numbers(self, values: np.ndarray) -> None:
        """Fill an array with decimal numbers."""
        convert = float if values.dtype.kind == "f" else int
        done, n = 0, len(values)
        while done < n:
            # numbers must not be cut apart: a chunk ends at white space, or with the file
            end = min(self.pos + min(_CHUNK, 32 * (n - done + 1)), len(self.data))
            if end < len(self.data):
                end = max(self.data.rfind(b" ", self.pos, end), self.data.rfind(b"\n", self.pos, end), self.pos)
            words = self.data[self.pos : end].split(None, n - done)
            if len(words) > n - done:
                end -= len(words.pop())
            if end == len(self.data) and not self.data[-1:].isspace():
                raise Damage(f"the file is cut off in a storage of {n} numbers, or lacks its last newline", self.offset)
            if not words or self.data.find(b"_", self.pos, end) >= 0:  # Python's numbers may hold _, C's may not
                raise Damage(f"a storage of {n} numbers ends after {done}", self.offset)
            try:
                with np.errstate(over="ignore"):  # what is too large for a half is infinite
                    values[done : done + len(words)] = list(map(convert, words))
            except (ValueError, OverflowError) as error:
                raise Damage(f"{error}, in a storage of {n} numbers", self.offset) from None
            done += len(words)
            self.pos = end
        if n and self.data[self.pos : self.pos + 1] == b"\n":
            self.pos += 1

    def scalars(self, frame: Any) -> None:
        """Leaves every entry to the reader: see :meth:`.binary.Binary.scalars`."""
