"""Converting .t7 files: into another form of .t7, and into .npz and .json for other programs.

**.npz** holds what NumPy has a type for, as ``numpy.load`` reads it without pickles. The names are paths from the
file's object on, such as ``model.modules[1].weight``; lists count from 1, a key that is no plain name is in brackets
and quotes. Where an object is a key, it is called ``[key 3]``, and what belongs to it ``[value 3]``, if these are the
table's third entry. The file's object itself, if it has no parts, is called ``value``.

- A tensor or storage is an array of its size and type. Tensors that share memory are written each for itself.
- A number, boolean or string is an array without dimensions; a list of numbers or of strings a vector. Strings that are
  no UTF-8 text, or end with a zero, are vectors of bytes.
- An object is its fields, and ``__typename`` beside them, its class in Torch7.
- What is met again is told at the first place only, except tensors. Nil, empty tables and functions are left out.

**.json** holds everything. Nil, booleans, numbers, text and lists are JSON's own; all else is an object with ``type``:

============= =====================================================================================================
``table``     ``entries``: an object if all keys are text, else a list of pairs [key, value]
``object``    ``class``, ``version``, and ``entries`` as above
``tensor``    ``class``, ``size``, ``values`` (all of them in one list, the last index fastest), ``storage`` (a number:
              tensors with the same one share memory), ``stride``, and ``offset``, counted from 0
``storage``   ``class``, ``storage``, ``values``
``number``    ``value``: ``"nan"``, ``"inf"`` or ``"-inf"``, which JSON cannot write; among the ``values`` of a tensor
              these words stand alone
``string``    ``base64``: a string that is no UTF-8 text
``function``  ``base64``: its bytecode; ``upvalues``
``reference`` ``at``: the same list, table, object, tensor or function stands there as well: a path as above
============= =====================================================================================================

A file of several objects is told as the list of them. Old objects are told as luann brings them up to date.
"""

from __future__ import annotations

import base64
import io
import json
import math
import os
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from . import nn, types
from .errors import ArgumentError
from .random import Generator
from .show.objects import walk
from .t7 import Function, Reader, Unknown, Writer
from .t7.payloads import fields_of, version_of
from .t7.replacing import Replacing
from .timer import Timer
from .types import Storage, typename

_LONGEST = 60_000  # characters of a name; zip archives allow 65,535 bytes
_CHUNK = 1 << 16  # numbers that become text at a time
_FOREIGN = frozenset(
    ".csv .tsv .xls .xlsx .mat .parquet .arrow .feather .npy .pkl .pickle .joblib .pt .pth .ckpt .safetensors .gguf "
    ".onnx .pb .pbtxt .tflite .keras .h5 .hdf5 .caffemodel .prototxt .params .mlmodel .msgpack .jsonl .yaml .yml "
    ".toml .xml .html .md .lua .py .ipynb .dot .svg .pdf .png .jpg .jpeg .gif .bmp .zip .tar .tgz .gz .bz2 .xz .zst "
    ".7z".split()
)  # endings of what a .t7 file is not


def convert(
    source: str | os.PathLike,
    target: str | os.PathLike,
    *,
    format: str = "binary",
    long_size: int = 8,
    dtype: torch.dtype | None = None,
) -> None:
    """Read a .t7 file and write it again.

    Args:
        source: the file.
        target: where to write. The ending says what: ``.npz``, ``.json``, or another for .t7, but none that is known as
            that of something else, such as ``.csv``. An older file there is replaced once the new one is complete.
        format: of .t7: ``'binary'`` or ``'ascii'``.
        long_size: of binary .t7: 8, or 4 bytes.
        dtype: what to make of floating-point tensors and storages; by default they stay as they are.

    Raises:
        ArgumentError: both are the same file, the target's ending is that of another format, or something cannot be
            written in this form.
        FormatError: the source is no .t7 file, or a damaged one.
        OSError: a file cannot be read or written.
    """
    write(target, read(source, target), format=format, long_size=long_size, dtype=dtype)


def is_t7(target: str | os.PathLike) -> bool:
    """Whether a file of this name is to be a .t7 file.

    Raises:
        ArgumentError: its ending says that it is to be something that luann does not write.
    """
    ending = os.path.splitext(os.fspath(target))[1].lower()
    if ending in _FOREIGN:
        raise ArgumentError(f"luann writes no {ending} files: the ending of the result is .t7, .npz or .json")
    return ending not in (".npz", ".json")


def read(source: str | os.PathLike, target: str | os.PathLike = "") -> list:
    """All objects of a .t7 file, which must not be the file to be written."""
    is_t7(target)
    if target and os.path.exists(target) and os.path.exists(source) and os.path.samefile(source, target):
        raise ArgumentError("this file would be overwritten: give another name for the result")
    with Reader(source, mmap=os.path.isfile(source)) as reader:
        return list(reader)


def write(
    target: str | os.PathLike,
    objects: list,
    *,
    format: str = "binary",
    long_size: int = 8,
    dtype: torch.dtype | None = None,
) -> None:
    """Write objects in the form that the target's ending says; see :func:`convert`. ``dtype`` changes them in place."""
    if dtype is not None:
        retype(objects, dtype)
    if is_t7(target):
        with Writer(target, format=format, long_size=long_size) as writer:
            for obj in objects:
                writer.write(obj)
        return
    root = objects[0] if len(objects) == 1 else objects
    replacing = Replacing(target)
    try:
        file = io.BufferedWriter(replacing.file, 1 << 20)
        (_write_npz if os.fspath(target).lower().endswith(".npz") else _write_json)(file, root)
        file.flush()
        file.detach()
    except BaseException:
        replacing.discard()
        raise
    replacing.commit()


def retype(objects: list, dtype: torch.dtype) -> None:
    """Convert all floating-point tensors and storages to another type, in place.

    What shares memory shares it afterwards. As in Torch7, what ``nn.DontCast`` holds stays as it is.
    """
    cache: dict = {}

    def new(tensor: Any) -> Any:
        return nn.utils.converted(tensor, dtype, None, cache, floating_only=True)

    def swapped(value: Any) -> Any:
        if isinstance(value, Storage):
            value.tensor = new(value.tensor)
        return new(value) if isinstance(value, torch.Tensor) else value

    for _, obj in list(walk(objects, lambda obj: not isinstance(obj, nn.DontCast))):
        if hasattr(obj, "_convert"):
            new(obj)
            continue
        if isinstance(obj, Function):
            obj.upvalues = swapped(obj.upvalues)
            continue
        fields = obj.fields if isinstance(obj, Unknown) else obj
        if isinstance(fields, list):
            fields[:] = map(swapped, fields)
            continue
        if not isinstance(fields, dict):
            fields = getattr(fields, "__dict__", {})  # a Generator has none, and no tensors
        entries = [(swapped(key), swapped(value)) for key, value in fields.items()]
        if any(isinstance(key, torch.Tensor) for key, _ in entries):  # keys by identity
            fields.clear()
        for key, value in entries:
            fields[key] = value
        if isinstance(obj, Unknown) and _is_floating(obj.fields.get("_type")):
            obj["_type"] = types.tensor_typename(dtype)


def _is_floating(name: Any) -> bool:
    return isinstance(name, str) and name in types.DTYPES and types.DTYPES[name].is_floating_point


# What both forms share

Way = tuple | None
"""How to get to a value: (way to what holds it, the step from there, length of the path), or ``None``."""


def _step(way: Way, text: str) -> Way:
    return way, text, len(text) + (way[2] if way else 0)


def _path(way: Way) -> str:
    steps = []
    while way is not None:
        way, text, _ = way
        steps.append(text)
    return "".join(reversed(steps)).removeprefix(".")


def _entries(obj: Any, way: Way) -> Iterator[tuple[Any, Way, Any, Way]]:
    """The keys and values in a list, table or object, each followed by the way to it."""
    if isinstance(obj, (list, tuple)):
        for i, value in enumerate(obj, 1):
            yield i, None, value, _step(way, f"[{i}]")
        return
    for n, (key, value) in enumerate((obj if isinstance(obj, dict) else _fields(obj)).items(), 1):
        if isinstance(key, str):
            text = f".{key}" if key.isidentifier() else f"[{key!r}]"
        elif isinstance(key, bool):
            text = f"[{str(key).lower()}]"
        else:
            text = f"[{key}]" if isinstance(key, (int, float)) else f"[value {n}]"
        yield key, _step(way, f"[key {n}]"), value, _step(way, text)


def _fields(obj: Any) -> dict:
    """The fields that an object has in a file."""
    if isinstance(obj, Generator):
        return {"state": obj.state}
    return {} if isinstance(obj, Timer) else fields_of(obj)


def _class(obj: Any) -> str:
    return obj.typename if isinstance(obj, Unknown) else typename(obj) or type(obj).__name__


# NumPy


def arrays(root: Any) -> Iterator[tuple[str, np.ndarray]]:
    """The names and arrays that a .npz file holds of an object; see the top of this module.

    Raises:
        ArgumentError: the object is nested too deeply for names that are paths.
    """
    seen: set[int] = set()
    stack: list[tuple[Any, Way]] = [(root, None)]
    while stack:
        obj, way = stack.pop()
        array = _array(obj)
        if array is not None:
            if way is not None and way[2] > _LONGEST:
                raise ArgumentError("it is nested too deeply for the names in a .npz file: convert it to .json")
            yield _path(way) or "value", array
        elif obj is not None and id(obj) not in seen and not isinstance(obj, Function):
            seen.add(id(obj))
            if not isinstance(obj, (list, tuple, dict)):
                yield _path(_step(way, ".__typename")), np.array(_class(obj))
            for key, key_way, value, value_way in reversed(list(_entries(obj, way))):
                stack.append((value, value_way))
                if not isinstance(key, (str, int, float)):
                    stack.append((key, key_way))


def _array(obj: Any) -> np.ndarray | None:
    """A value as an array; ``None`` if it is none."""
    if isinstance(obj, torch.Tensor):
        return obj.detach().cpu().numpy()
    if isinstance(obj, Storage):
        return obj.tensor.cpu().numpy()
    if isinstance(obj, str):
        text = _text(obj)
        return _bytes(obj.encode("utf-8", "surrogateescape")) if text is None or text.endswith("\0") else np.array(text)
    if isinstance(obj, bytes):
        return _bytes(obj)
    if isinstance(obj, (bool, int, float)):
        return np.array(obj)
    if isinstance(obj, (list, tuple)) and obj:
        kinds = set(map(type, obj))
        if kinds <= {int, float}:
            return np.array(obj)
        if kinds == {str} and not any(_text(s) is None or s.endswith("\0") for s in obj):
            return np.array(obj)
    return None


def _bytes(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8)


def _text(string: str) -> str | None:
    """A string, or ``None`` if it was no UTF-8 text in the file."""
    try:
        string.encode()
    except UnicodeEncodeError:
        return None
    return string


def _write_npz(file: Any, root: Any) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays(root):
            with archive.open(zipfile.ZipInfo(name + ".npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


# JSON


def json_text(root: Any) -> Iterator[str]:
    """The pieces of the JSON text about an object; see the top of this module."""
    writer = _Json()
    stack = [writer.value(root, None)]
    while stack:
        for piece in stack[-1]:
            if isinstance(piece, str):
                yield piece
            else:
                stack.append(piece)
                break
        else:
            stack.pop()


def _write_json(file: Any, root: Any) -> None:
    for piece in json_text(root):
        file.write(piece.encode("ascii"))
    file.write(b"\n")


Pieces = Iterator[Any]
"""Pieces of text, and iterators over such for what lies within."""


class _Json:
    """Makes the pieces; remembers what was met."""

    def __init__(self) -> None:
        self._met: dict[int, Way] = {}
        self._storages: dict[int, int] = {}

    def value(self, obj: Any, way: Way) -> Pieces:
        """The pieces of a value to which there is a way."""
        if obj is None or isinstance(obj, (bool, int)):
            yield json.dumps(obj)
        elif isinstance(obj, float):
            yield json.dumps(obj) if math.isfinite(obj) else f'{{"type": "number", "value": "{obj}"}}'
        elif isinstance(obj, (str, bytes)):
            yield self._string(obj)
        elif id(obj) in self._met:
            yield f'{{"type": "reference", "at": {json.dumps(_path(self._met[id(obj)]))}}}'
        else:
            self._met[id(obj)] = way
            yield from self._new(obj, way)

    def _new(self, obj: Any, way: Way) -> Pieces:
        if isinstance(obj, (torch.Tensor, Storage)):
            yield from self._numbers(obj)
        elif isinstance(obj, Function):
            yield f'{{"type": "function", "base64": "{_base64(obj.dumped)}", "upvalues": '
            yield self.value(obj.upvalues, _step(way, ".upvalues"))
            yield "}"
        elif isinstance(obj, (list, tuple)):
            yield "["
            for i, _, value, value_way in _entries(obj, way):
                yield ", " if i > 1 else ""
                yield self.value(value, value_way)
            yield "]"
        else:
            if isinstance(obj, dict):
                yield '{"type": "table", "entries": '
            else:
                head = f'"class": {json.dumps(_class(obj))}, "version": {json.dumps(version_of(obj) or 0)}'
                yield f'{{"type": "object", {head}, "entries": '
            yield from self._pairs(obj, way)
            yield "}"

    def _pairs(self, obj: Any, way: Way) -> Pieces:
        keys = obj if isinstance(obj, dict) else _fields(obj)
        named = all(isinstance(key, str) and _text(key) is not None for key in keys)
        yield "{" if named else "["
        comma = "\n"
        for key, key_way, value, value_way in _entries(obj, way):
            if value is None:
                continue
            yield comma + (f"{json.dumps(key)}: " if named else "[")
            if not named:
                yield self.value(key, key_way)
                yield ", "
            yield self.value(value, value_way)
            yield "" if named else "]"
            comma = ",\n"
        yield "}" if named else "]"

    def _string(self, obj: str | bytes) -> str:
        if isinstance(obj, str):
            if _text(obj) is not None:
                return json.dumps(obj)
            obj = obj.encode("utf-8", "surrogateescape")
        return f'{{"type": "string", "base64": "{_base64(obj)}"}}'

    def _numbers(self, obj: torch.Tensor | Storage) -> Iterator[str]:
        """The pieces of a tensor or storage."""
        tensor = obj.tensor if isinstance(obj, Storage) else obj.detach()
        storage = self._storages.setdefault(tensor.untyped_storage()._cdata, len(self._storages) + 1)
        yield f'{{"type": "{"storage" if isinstance(obj, Storage) else "tensor"}", "class": "{_class(obj)}", '
        if isinstance(obj, torch.Tensor):
            yield f'"size": {list(tensor.shape)}, "stride": {list(tensor.stride())}, '
            yield f'"offset": {tensor.storage_offset()}, '
        yield f'"storage": {storage}, "values": ['
        flat = tensor.reshape(-1).cpu()
        for start in range(0, len(flat), _CHUNK):
            part = flat[start : start + _CHUNK]
            yield ", " if start else ""
            if not part.is_floating_point() or part.isfinite().all():
                yield json.dumps(part.tolist())[1:-1]
            else:
                yield ", ".join(json.dumps(x if math.isfinite(x) else str(x)) for x in part.tolist())
        yield "]}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
