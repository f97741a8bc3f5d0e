"""Opening a file: which form of .t7 it has, and what it is if it has none."""

from __future__ import annotations

import io
import mmap as memory_map
import os
import re
import stat
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ArgumentError, FormatError
from .ascii import Ascii
from .binary import WINDOW, Binary
from .sniff import describe

Source = Binary | Ascii

_ASCII_START = re.compile(rb"[0-8]\r?\n")


def open_source(
    file: Any, long_size: int | None, format: str | None, mmap: bool
) -> tuple[Source, Callable[[int], None]]:
    """Open a path, a binary file or bytes; returns the source, and what to call at the end with the last position."""
    if long_size not in (None, 4, 8):
        raise ArgumentError(f"long_size is 4, 8 or None, got {long_size!r}")
    if format not in (None, "binary", "ascii"):
        raise ArgumentError(f"format is 'binary', 'ascii' or None, got {format!r}")
    if isinstance(file, (bytes, bytearray, memoryview)):
        return _source(bytes(file), 0, None, None, long_size, format, mmap), lambda position: None
    if isinstance(file, (str, os.PathLike)):
        own = open(file, "rb", buffering=0)  # noqa: SIM115  # closed by whoever reads
        try:
            return _of_file(own, long_size, format, mmap), lambda position: own.close()
        except BaseException:
            own.close()
            raise
    if not hasattr(file, "read"):
        raise ArgumentError(f"a .t7 file is a path, a file opened in binary mode, or bytes; got {type(file).__name__}")

    def leave(position: int) -> None:
        if _seekable(file):
            file.seek(position)

    return _of_file(file, long_size, format, mmap), leave


def _seekable(file: Any) -> bool:
    return getattr(file, "seekable", bool)()


def _of_file(file: Any, long_size: int | None, format: str | None, mmap: bool) -> Source:
    offset = file.tell() if _seekable(file) else 0
    raw = getattr(file, "raw", file)
    if isinstance(raw, io.FileIO):  # not what merely has a fileno(), such as a gzip file
        status = os.fstat(raw.fileno())
        if stat.S_ISREG(status.st_mode):
            return _source(file.read(WINDOW), offset, status.st_size, file, long_size, format, mmap)
    data = file.read()
    if not isinstance(data, bytes):
        raise ArgumentError("the file is open in text mode: open it in binary mode, 'rb'")
    return _source(data, offset, None, None, long_size, format, mmap)


def _source(
    data: bytes, offset: int, size: int | None, file: Any, long_size: int | None, format: str | None, mmap: bool
) -> Source:
    if size is None:
        size = offset + len(data)
    found, big = _form(data, size - offset, offset, format)
    if found == "ascii":
        return Ascii(data + file.read() if file is not None else data, offset)
    if mmap:
        if file is None:
            raise ArgumentError("mmap=True needs a file on disk")
        mapped = memory_map.mmap(file.fileno(), 0, access=memory_map.ACCESS_COPY)
        source = Binary(mapped, 0, len(mapped), None, big, mapped=True)
        source.pos = offset
    else:
        source = Binary(data, offset, size, file, big)
    source.long_size = long_size or 0
    return source


def _form(data: bytes, size: int, offset: int, format: str | None) -> tuple[str, bool]:
    """The form of a file that begins like this, and whether its numbers are in big-endian order."""
    if not data:
        raise FormatError("an empty file", offset)
    if format == "ascii":
        return format, False
    if format is None and _ASCII_START.match(data):
        return "ascii", False
    if size >= 64 and not any(data[:4096]):
        raise FormatError("nothing but zeros: probably an interrupted download; fetch the file again", offset)
    # an object begins with its type; nil has nothing more, and then another type must follow
    head = data[: min(len(data), 4096) // 4 * 4]
    for order in "<>":
        numbers = np.frombuffer(head, order + "u4")
        if head and (numbers[numbers != 0][:1] <= 8).all():
            return "binary", order == ">"
    raise FormatError(describe(data[:4096], size), offset)
