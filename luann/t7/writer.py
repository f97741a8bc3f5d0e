"""Saving .t7 files."""

from __future__ import annotations

import io
import os
from typing import Any

from ..errors import ArgumentError
from .encoder import Encoder
from .output import AsciiOutput, BinaryOutput, put
from .replacing import Replacing


class Writer:
    """Writes objects to a .t7 file, one after the other; what is one thing among all of them is written once.

    A file given by its path appears, or is replaced, when the writer is closed, and only if all went well; leaving a
    ``with`` block by an exception discards what was written. An open file is written to directly, at its position.

    Storages are written whole, as Torch7 writes them, since a later object may need the rest.

    Args:
        file: a path, or a file opened in binary mode.
        format: ``'binary'`` or ``'ascii'``.
        long_size: the size of a long in a binary file: 8 bytes, or 4 for the Torch7 of a 32-bit machine or of Windows.
        byteorder: that of a binary file: ``'little'`` or ``'big'``.

    Raises:
        ArgumentError: another value for one of these.
    """

    def __init__(
        self,
        file: Any,
        *,
        format: str = "binary",
        long_size: int = 8,
        byteorder: str = "little",
    ) -> None:
        if format not in ("binary", "ascii"):
            raise ArgumentError(f"format is 'binary' or 'ascii', got {format!r}")
        if long_size not in (4, 8):
            raise ArgumentError(f"long_size is 8 or 4, got {long_size!r}")
        if byteorder not in ("little", "big"):
            raise ArgumentError(f"byteorder is 'little' or 'big', got {byteorder!r}")
        if not isinstance(file, (str, os.PathLike)) and (not hasattr(file, "write") or isinstance(file, io.TextIOBase)):
            kind = "one in text mode" if hasattr(file, "write") else f"a {type(file).__name__}"
            raise ArgumentError(f"a .t7 file is written to a path or to a file opened in binary mode, got {kind}")
        self._replacing = Replacing(file) if isinstance(file, (str, os.PathLike)) else None
        write = put(file if self._replacing is None else self._replacing.file)
        self._out = AsciiOutput(write) if format == "ascii" else BinaryOutput(write, long_size, byteorder)
        self._encoder = Encoder(self._out)
        self._broken = False
        self._closed = False

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: Any, *exc: Any) -> None:
        if kind is None:
            self.close()
        else:
            self._discard()

    def write(self, obj: Any) -> None:
        """Write an object; see :func:`save` for what can be written.

        Raises:
            ArgumentError: something in it has no form in Torch7. The file then ends in the middle of this object, and
                nothing more can be written to it.
        """
        if self._closed or self._broken:
            raise ArgumentError("the writer is closed" if self._closed else "an earlier object failed to be written")
        self._broken = True
        self._encoder.write(obj)
        self._out.flush()
        self._broken = False

    def close(self) -> None:
        """Finish the file; after a failed :meth:`write`, leave what was there before."""
        if self._broken:
            self._discard()
        elif not self._closed:
            self._closed = True
            if self._replacing is not None:
                self._replacing.commit()

    def _discard(self) -> None:
        if not self._closed:
            self._closed = True
            if self._replacing is not None:
                self._replacing.discard()


def save(
    path: Any,
    obj: Any,
    format: str = "binary",
    long_size: int = 8,
    *,
    byteorder: str = "little",
    compact: bool = True,
) -> None:
    """Save an object to a .t7 file that Torch7 can load, and :func:`load` as well.

    ======================================  ============================================
    modules, criterions, other objects      objects of their Torch7 class, with all fields
    tensors, NumPy arrays                   tensors of the type that :func:`luann.typename` gives; ``bool`` as bytes
    Storage, ``torch.Size``                 storages
    list, tuple                             a table with keys 1, 2, 3, ...
    dict, Table                             a table, in the dict's order
    int, float, NumPy numbers               a number, which is a double
    str, bytes                              a string; surrogate escapes become the bytes they stand for
    bool, None                              a boolean, nil
    Unknown, Function                       what they were in the file they came from
    ======================================  ============================================

    An entry that is ``None`` is left out, as in Lua. A tensor without elements is written as ``torch.Tensor()``, one
    without dimensions as a vector of one element. What is one list, dict, object, tensor or storage in memory is one in
    the file.

    Of a storage that several of the tensors use, what lies between the first and the last number in use is written; a
    tensor that alone uses its storage is written without gaps. So a small view of a large tensor takes little room, and
    views of one tensor still share. To keep a storage whole, save the whole tensor along with its view, or say
    ``compact=False``. Tensors that were loaded as part of a larger storage are saved as such.

    Args:
        path: where to save. The file is written beside the old one, which it replaces once it is on the disk:
            whatever fails, the old file stays whole. Or a file opened in binary mode, which is written to directly.
        obj: what to save.
        format: ``'binary'`` or ``'ascii'``.
        long_size: the size of a long in a binary file: 8 bytes, or 4 for the Torch7 of a 32-bit machine or of Windows.
        byteorder: that of a binary file: ``'little'``, or ``'big'`` for ``torch.DiskFile(...):bigEndianEncoding()``.
        compact: leave out what no tensor uses of a storage; ``False`` writes storages whole, as Torch7 does.

    Raises:
        ArgumentError: something in ``obj`` has no form in Torch7 (a set, a complex tensor, a whole number that is no
            double); the error's ``path`` says where it is.
        OSError: the file cannot be written.
    """
    with Writer(path, format=format, long_size=long_size, byteorder=byteorder) as writer:
        writer._encoder.compact = compact
        writer.write(obj)
