"""Opening a file: what form it has, and what it is if it is no .t7 file."""

from __future__ import annotations

import io
import mmap as _mmap
import os
import stat
from collections.abc import Callable
from typing import Any

from ..errors import ArgumentError, FormatError
from .binary import Binary, window


def open_source(file: Any, long_size: int | None, format: str | None, mmap: bool) -> tuple[Binary, Callable[[int], None]]:
    own = None
    if isinstance(file, (bytes, bytearray, memoryview)):
        data, offset, size, behind = bytes(file), 0, len(file), None
    else:
        own = open(file, "rb", buffering=0)
        size = os.fstat(own.fileno()).st_size
        data, offset, behind = window(own), 0, own
    source = Binary(data, offset, size, behind)
    source.long_size = long_size or 0

    def close(position: int) -> None:
        if own is not None:
            own.close()

    return source, close
