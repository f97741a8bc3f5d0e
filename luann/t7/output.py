"""Primitives of what is written to a .t7 file: the counterpart of :mod:`.binary` and :mod:`.ascii`.

What is small gathers in a buffer. The numbers of a storage go to the file straight from the tensor's memory, unless
the file wants them otherwise than they lie there.
"""

from __future__ import annotations

import io
import itertools
import math
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ..errors import ArgumentError
from .memory import NUMPY, raw

BUFFER = 1 << 20
_CHUNK = 1 << 16  # numbers of a storage that become text at a time
_LARGEST_EXACT = 2**53

_LUA_NUMBER = "%.17g"
_FORMATS = {torch.float64: _LUA_NUMBER, torch.float32: "%.9g", torch.float16: "%.9g"}


def put(file: Any) -> Callable[[Any], None]:
    """A function that writes bytes to a file, all of them, also where the file takes only a part at a time."""
    write = file.write
    if not isinstance(file, io.RawIOBase):
        return write

    def whole(data: Any) -> None:
        view = memoryview(data).cast("B")
        while len(view):
            taken = write(view)
            if taken is None:
                raise BlockingIOError("the file takes nothing at the moment: open it in blocking mode")
            view = view[taken:]

    return whole


class _Target:
    """What payloads may say to any output.

    Attributes:
        left_out: names of fields that are not written, by the id of the object.
    """

    def __init__(self) -> None:
        self.left_out: dict[int, tuple[str, ...]] = {}

    def leave_out(self, obj: Any, names: tuple[str, ...]) -> None:
        """Write an object without some of its fields, if it has not been written yet."""
        self.left_out[id(obj)] = names


class _Output(_Target):
    """What the two forms share. ``write`` takes bytes; :meth:`flush` hands it what is in the buffer."""

    def __init__(self, write: Callable[[Any], None]) -> None:
        super().__init__()
        self.buffer = bytearray()
        self._write = write
        self._heads: dict[tuple, bytes] = {}

    def flush(self) -> None:
        """Hand on what is in the buffer."""
        if self.buffer:
            self._write(self.buffer)
            self.buffer.clear()

    def _numbers(self, data: Any) -> None:
        """Raw bytes of a storage; large ones pass the buffer by."""
        if len(data) < BUFFER // 8:
            self.buffer += data
        else:
            self.flush()
            self._write(data)

    def int32(self, value: int) -> None:
        """An int."""
        self.ints(value)

    def ints(self, *values: int) -> None:
        """Up to three ints."""
        raise NotImplementedError

    def chars(self, data: bytes) -> None:
        """Raw bytes."""
        raise NotImplementedError

    def string(self, text: str | bytes) -> None:
        """An int and as many bytes."""
        data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
        self.ints(len(data))
        self.chars(data)

    def head(self, name: str, version: float | None) -> None:
        """The version of a class, where it has one, and its name."""
        known = self._heads.get((name, version))
        if known is None:
            start = len(self.buffer)
            if version is not None:
                self.string(f"V {version:.14g}")
            self.string(name)
            self._heads[name, version] = bytes(self.buffer[start:])
        else:
            self.buffer += known


class BinaryOutput(_Output):
    """The binary form.

    Args:
        write: takes bytes.
        long_size: bytes of a long, 8 or 4.
        byteorder: ``'little'`` or ``'big'``.
    """

    def __init__(self, write: Callable[[Any], None], long_size: int = 8, byteorder: str = "little") -> None:
        super().__init__(write)
        self._order: Any = "<" if byteorder == "little" else ">"
        self._swapped = byteorder != sys.byteorder
        self._long = "q" if long_size == 8 else "i"
        self._ints = [struct.Struct(f"{self._order}{n}i").pack for n in range(4)]
        self._tag_double = struct.Struct(self._order + "id").pack
        self._pair = np.dtype([("kt", self._order + "i4"), ("k", self._order + "f8"),
                               ("vt", self._order + "i4"), ("v", self._order + "f8")])  # fmt: skip

    def ints(self, *values: int) -> None:
        self.buffer += self._ints[len(values)](*values)

    def longs(self, values: Sequence[int]) -> None:
        """Some longs.

        Raises:
            ArgumentError: one of them does not fit into the file's longs.
        """
        try:
            self.buffer += struct.pack(f"{self._order}{len(values)}{self._long}", *values)
        except struct.error:
            raise self._too_long(max(values, key=abs)) from None

    def _too_long(self, value: int) -> ArgumentError:
        size = struct.calcsize(self._order + self._long)
        hint = ": use long_size=8" if size < 8 else ""
        return ArgumentError(f"{value} does not fit into a long of {size} bytes{hint}")

    def double(self, value: float) -> None:
        """A double."""
        self.buffer += struct.pack(self._order + "d", value)

    def chars(self, data: bytes) -> None:
        self.buffer += data

    # Whole objects

    def nil(self) -> None:
        self.buffer += self._ints[1](0)

    def number(self, value: float) -> None:
        self.buffer += self._tag_double(1, value)

    def text(self, data: bytes) -> None:
        self.buffer += self._ints[2](2, len(data)) + data

    def boolean(self, value: bool) -> None:
        self.buffer += self._ints[2](5, value)

    # Many numbers at once

    def numbers(self, values: list) -> bool:
        """The entries of a list of ints and floats; false, and nothing is written, if not all are doubles exactly."""
        run = np.empty(len(values), self._pair)
        try:
            run["v"] = values
        except OverflowError:
            return False
        if int in set(map(type, values)) and (np.abs(run["v"]) >= _LARGEST_EXACT).any():
            return False
        run["kt"] = run["vt"] = 1
        run["k"] = np.arange(1, len(values) + 1)
        self._numbers(run.view(np.uint8).data)
        return True

    def storage(self, flat: torch.Tensor) -> None:
        """The numbers of a contiguous vector on the CPU."""
        if flat.dtype == torch.int64 and self._long == "i":
            flat = self._narrowed(flat)
        if not self._swapped or flat.element_size() == 1:
            self._numbers(raw(flat))
            return
        for start in range(0, flat.numel(), BUFFER):
            part = flat[start : start + BUFFER]
            self._numbers(np.frombuffer(raw(part), NUMPY[flat.dtype]).byteswap().tobytes())

    def _narrowed(self, flat: torch.Tensor) -> torch.Tensor:
        if flat.numel():
            low, high = (int(x) for x in torch.aminmax(flat))
            for value in (low, high):
                if not -(1 << 31) <= value < 1 << 31:
                    raise self._too_long(value)
        return flat.to(torch.int32)


class AsciiOutput(_Output):
    """The ASCII form: numbers with a space in between, a newline behind what Torch7 writes in one call.

    Args:
        write: takes bytes.
    """

    def ints(self, *values: int) -> None:
        for value in values:
            if not -(1 << 31) <= value < 1 << 31:
                raise struct.error(f"{value} does not fit into an int")
            self.buffer += b"%d\n" % value

    def longs(self, values: Sequence[int]) -> None:
        """Some longs."""
        if values:
            self.buffer += b" ".join(b"%d" % value for value in values) + b"\n"

    def double(self, value: float) -> None:
        """A double."""
        self.buffer += _in_decimal(value) + b"\n"

    def chars(self, data: bytes) -> None:
        if data:
            self.buffer += data
            self.buffer += b"\n"

    def nil(self) -> None:
        self.buffer += b"0\n"

    def number(self, value: float) -> None:
        self.buffer += b"1\n" + _in_decimal(value) + b"\n"

    def text(self, data: bytes) -> None:
        self.ints(2, len(data))
        self.chars(data)

    def boolean(self, value: bool) -> None:
        self.buffer += b"5\n1\n" if value else b"5\n0\n"

    def numbers(self, values: list) -> bool:
        """Leaves a list to whoever writes it entry by entry."""
        return False

    def storage(self, flat: torch.Tensor) -> None:
        """The numbers of a contiguous vector on the CPU; raw bytes where the numbers are bytes."""
        if flat.element_size() == 1:
            self._numbers(raw(flat))
        else:
            for start in range(0, flat.numel(), _CHUNK):
                part = flat[start : start + _CHUNK]
                self.buffer += b" " if start else b""
                self.buffer += " ".join(_decimals(part)).encode("ascii")
                if len(self.buffer) >= BUFFER:
                    self.flush()
        if flat.numel():
            self.buffer += b"\n"


def _in_decimal(value: float) -> bytes:
    if value != value:  # as C shows it, which keeps its sign
        return b"-nan" if math.copysign(1.0, value) < 0 else b"nan"
    return (_LUA_NUMBER % value).encode("ascii")


def _decimals(part: torch.Tensor) -> list[str]:
    if not part.is_floating_point():
        return list(map(str, part.tolist()))
    words = list(map(_FORMATS[part.dtype].__mod__, part.tolist()))
    wrong = part.isnan() & part.signbit()
    for i in itertools.chain.from_iterable(wrong.nonzero().tolist()):
        words[i] = "-nan"
    return words


class NoOutput(_Target):
    """Takes everything and writes nothing."""

    buffer = b""

    def nothing(self, *args: Any) -> None:
        pass

    flush = int32 = ints = longs = double = chars = string = head = nil = number = text = boolean = storage = nothing

    def numbers(self, values: list) -> bool:
        return True
