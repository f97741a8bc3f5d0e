"""The reader of .t7 files.

A file is a sequence of objects; an object is a type (an int) and what belongs to it::

    0 nil
    1 number    double
    2 string    int length, bytes
    3 table     int index, and if the index is new: int count, count × (key object, value object)
    4 torch     int index, and if the index is new: string "V n", string class name, the payload of the class
    5 boolean   int 0 or 1
    6 function  string bytecode, object upvalues (a table of values)             old, without an index
    7 function  int index, and if new: string bytecode, object upvalues (values)     old
    8 function  int index, and if new: string bytecode, object upvalues ({name, value} each)

The index names an object within its file, so that what was one object is one again. An object can hold itself, and
files are nested as deeply as their writer liked: the reader keeps a stack of its own, enters an object in the memo
before reading what is in it, and never recurses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import GeneratorType
from typing import Any, TypeVar

import torch

from .._notes import as_list, keep_whole
from ..errors import ArgumentError, FormatError
from ..progress import Patient
from ..table import Shuffled, Table
from ..types import DTYPES, Storage, classes
from .binary import Damage
from .entries import whole
from .frames import NOTHING, ObjectFrame, TableFrame
from .longsize import find_long_size
from .memory import NUMPY
from .payloads import FIELDS, Steps, payloads, plain
from .source import open_source
from .values import Function, Unknown

_STORAGES = {name.replace("Tensor", "Storage"): dtype for name, dtype in DTYPES.items() if dtype in NUMPY}
_STORAGE_OF = {name.replace("Storage", "Tensor"): name for name in _STORAGES}
_VERSION = re.compile(r"V ([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")  # whatever number a class has as its version
_MAX_DIMENSIONS = 64
_MAX_PATH = 16  # steps of a path that an error shows

R = TypeVar("R", bound="Reader")


class Reader:
    """Reads the objects of a .t7 file one after the other: iterate over it, or call :meth:`read`.

    Objects that refer to each other are the same objects across the whole file.

    Args:
        file: a path, a file opened in binary mode, or bytes.
        map_location: the device for tensors, such as ``'cuda'``; ``None`` puts all on the CPU, Cuda tensors too.
        long_size: the size of a long in a binary file, 8 or 4 bytes; found out where ``None``.
        format: ``'binary'`` or ``'ascii'``; found out where ``None``.
        mmap: let tensors use the pages of a binary file itself, which are read when first touched; what is written to
            a tensor stays in memory. The file must not change as long as they are in use, and they cannot grow.

    Raises:
        FormatError: at once if this is no .t7 file (it says what it is), later if it is damaged.
        ArgumentError: there is no such device, or an argument is of another kind.
    """

    def __init__(
        self,
        file: Any,
        *,
        map_location: Any = None,
        long_size: int | None = None,
        format: str | None = None,
        mmap: bool = False,
    ) -> None:
        self._device = _device(map_location)
        self._source, self._close = open_source(file, long_size, format, mmap)
        self._memo = self._source.memo
        self._stack = self._source.stack
        self._open_guesses = 0  # tables taken for lists, which their end will show
        self._wrong_guesses: set[int] = set()  # where those begin that turned out to be none
        self._tables: set[int] = set()  # the same, from the pass before
        self._unfinished: dict[int, Table] = {}  # tables to which something refers before they are complete, by id
        self._failure: FormatError | None = None  # of an object that had been given an open guess
        self._suspect = ""  # the last unknown class, after which all may be out of step

    def __enter__(self: R) -> R:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, if the reader opened it; else leave it behind the last object read."""
        self._close(self._source.offset)

    def __iter__(self) -> Iterator[Any]:
        while not self._source.at_end():
            yield self.read()

    def read(self) -> Any:
        """The next object."""
        start, known = self._source.offset, len(self._memo)
        self._bar = Patient(start + self._source.left)
        self._source.moved = self._bar.show
        complete = False
        while True:
            try:
                value = self._run()
                if self._failure and not self._wrong_guesses:
                    raise self._failure
                complete = not self._wrong_guesses
            except Damage as damage:
                raise self._error(damage) from damage.__cause__
            finally:
                if not complete:
                    while len(self._memo) > known:
                        self._memo.popitem()
                    self._source.seek(start)
                self._bar.finish()
                self._stack.clear()
                self._unfinished.clear()
                self._open_guesses, self._failure = 0, None
            if complete:
                return value
            # what had looked like a list, and was referred to as one, was none in the end: again, knowing it
            self._tables |= self._wrong_guesses
            self._wrong_guesses.clear()

    # The machine

    def _run(self) -> Any:
        source, memo, stack = self._source, self._memo, self._stack
        int32 = source.int32
        scalars = source.scalars
        while True:
            start = source.base + source.pos
            kind = int32()
            value: Any
            if kind == 1:
                value = whole(source.double())
            elif kind == 2:
                value = source.string()
            elif kind == 4:
                index = int32()
                if index in memo:
                    value = self._known(index)
                else:
                    value = self._torch(index)
                    if value is NOTHING:
                        value = self._ask(None)
                        if value is NOTHING:
                            continue
            elif kind == 3:
                index = int32()
                if index in memo:
                    value = self._known(index)
                else:
                    frame = self._table(index, start)
                    memo[index] = frame
                    stack.append(frame)
                    scalars(frame)
                    if frame.left:
                        continue
                    value = self._finish_table(stack.pop())
            elif kind == 5:
                value = int32() == 1
            elif kind == 0:
                value = None
            elif 6 <= kind <= 8:
                value = self._function(kind)
                if value is NOTHING:
                    value = self._ask(None)
                    if value is NOTHING:
                        continue
            else:
                raise Damage(f"{kind} where the type of an object is wanted, a number from 0 to 8", start)

            while stack:
                frame = stack[-1]
                if type(frame) is not TableFrame:
                    value = self._ask(value)
                    if value is NOTHING:
                        break
                    continue
                if frame.key is NOTHING:
                    if value is None or (type(value) is float and value != value):
                        raise Damage(f"{'nil' if value is None else value} as the key of a table", start)
                    frame.key = value
                    break
                frame.left -= 1
                if value is not None:  # an entry that is nil is none
                    frame.add(frame.key, value)
                frame.key = NOTHING
                scalars(frame)
                if frame.left:
                    break
                value = self._finish_table(stack.pop())
            else:
                return value

    def _ask(self, value: Any) -> Any:
        """Give the innermost object what it asked for; returns the object once it is complete, else NOTHING."""
        frame = self._stack[-1]
        if frame.wants is FIELDS:
            if type(value) in (list, Shuffled):
                value = Table._from_pairs(list(range(1, len(value) + 1)), value)
            elif not isinstance(value, Table):
                raise Damage(f"{_kind_of(value)} where the fields of a {frame.name} are wanted", self._source.offset)
        try:
            frame.wants = frame.payload.send(value)
            return NOTHING
        except StopIteration as end:
            fields = end.value
        except (Damage, MemoryError):
            raise
        except Exception as error:
            raise self._failed(frame.name, error) from error
        self._stack.pop()
        if frame.name:
            self._restore(frame.result, frame.name, fields, frame.version)
        return frame.result

    # References

    def _known(self, index: int) -> Any:
        value = self._memo[index]
        if type(value) is TableFrame:
            # the table is not complete: decide now what it will be
            if value.result is None:
                listed = value.may_be_list() and value.start not in self._tables
                if listed:
                    value.result = [] if value.keys is None else Shuffled()
                    self._open_guesses += 1
                else:
                    value.result = Table()
                    self._unfinished[id(value.result)] = value.result
            return value.result
        return value

    # Tables

    def _table(self, index: int, start: int) -> TableFrame:
        source = self._source
        count = source.int32()
        smallest = source.smallest_entry
        if count < 0 or count * smallest > source.left:
            raise Damage(f"a table of {count} entries, with {max(source.left, 0)} bytes left for them", start)
        if index % 1024 == 0:
            self._bar.show(start)
        top = self._stack[-1] if self._stack else None
        return TableFrame(count, index, start, type(top) is ObjectFrame and top.wants is FIELDS)

    def _finish_table(self, frame: TableFrame) -> Any:
        value = self._memo[frame.index] = frame.finish()
        if isinstance(frame.result, list):
            self._open_guesses -= 1
            if value is not frame.result:
                self._wrong_guesses.add(frame.start)
        elif frame.result is not None:
            del self._unfinished[id(frame.result)]
        return value

    # Functions

    def _function(self, kind: int) -> Any:
        source, memo = self._source, self._memo
        index = None
        if kind != 6:
            index = source.int32()
            if index in memo:
                return self._known(index)
        function = Function(source.chars(source.int32(), "a function"), form=kind)
        if index is not None:
            memo[index] = function
        self._stack.append(ObjectFrame(_upvalues(function), function, "", 0))
        return NOTHING

    # Objects of classes

    def _torch(self, index: int) -> Any:
        source = self._source
        start = source.offset
        name = source.string("the version of a class")
        version: float = 0
        match = _VERSION.fullmatch(name)
        if match:
            version = whole(float(match[1]))
            name = source.string("the name of a class")
        if name in _STORAGE_OF:
            self._memo[index] = NOTHING  # its place, by which what follows can refer to it
            value = self._memo[index] = self._tensor(name)
            return value
        if name in _STORAGES:
            return self._storage(name, index)
        if not name.isprintable() or not name:
            raise Damage(f"{name[:40]!r} where the name of a class is wanted", start)
        cls = classes.get(name)
        if cls is None and name not in payloads:
            self._suspect = name
        try:
            obj = cls.__new__(cls) if cls is not None else Unknown(name, version)  # type: ignore[call-overload]
            self._memo[index] = obj
            payload = payloads.get(name, plain)(source, version)
        except (Damage, MemoryError):
            raise
        except Exception as error:
            raise self._failed(name, error) from error
        if isinstance(payload, GeneratorType):
            self._stack.append(ObjectFrame(payload, obj, name, version))
            return NOTHING
        self._restore(obj, name, payload, version)
        return obj

    def _restore(self, obj: Any, name: str, fields: dict, version: float) -> None:
        if getattr(obj, "_empty_is_list", False):
            for key, value in fields.items():
                if type(value) is Table and not value and id(value) not in self._unfinished:
                    fields[key] = as_list(value)
        restore = getattr(obj, "_restore", None)
        try:
            if restore is not None:
                restore(fields, version)
            else:
                for key, value in fields.items():
                    if isinstance(key, str):
                        setattr(obj, key, value)
                    else:
                        vars(obj)[key] = value
        except MemoryError:
            raise
        except Exception as error:
            damage = self._failed(name, error)
            if not self._open_guesses and not self._wrong_guesses:
                raise damage from error
            # it may have been given a list that will be none: then it is all read again
            if self._failure is None:
                self._failure = self._error(damage)
                self._failure.__cause__ = error

    def _failed(self, name: str, error: Exception) -> Damage:
        """The damage that made the code of a class fail."""
        what = str(error).partition("\n")[0]
        return Damage(
            f"{name} cannot be made from what the file says: {type(error).__name__}: {what}", self._source.offset
        )

    def _storage(self, name: str, index: int) -> Storage:
        source = self._source
        dtype = _STORAGES[name]
        self._memo[index] = NOTHING
        if not source.long_size:
            source.long_size = find_long_size(source, storage=dtype)
        start = source.offset
        (count,) = source.longs(1)
        if count < 0:
            raise Damage(f"a storage of {count} numbers", start)
        storage = Storage(self._numbers(dtype, count))
        self._bar.show(source.offset)
        self._memo[index] = storage
        return storage

    def _numbers(self, dtype: torch.dtype, count: int) -> torch.Tensor:
        """The numbers of a storage."""
        return self._source.storage(dtype, count)

    def _tensor(self, name: str) -> torch.Tensor:
        source, memo = self._source, self._memo
        if not source.long_size:
            source.long_size = find_long_size(source, tensor=_STORAGE_OF[name])
        start = source.offset
        dimensions = source.int32()
        if not 0 <= dimensions <= _MAX_DIMENSIONS:
            raise Damage(f"a tensor of {dimensions} dimensions", start)
        *shape, offset = source.longs(2 * dimensions + 1)
        size, stride = shape[:dimensions], shape[dimensions:]
        at = source.offset
        kind = source.int32()
        storage = None
        if kind == 4:
            index = source.int32()
            if index in memo:
                storage = memo[index]
            else:
                storage_name = source.string("the version of a class")
                if storage_name.startswith("V "):
                    storage_name = source.string("the name of a class")
                if storage_name != _STORAGE_OF[name]:
                    raise Damage(f"{storage_name[:40]!r} where a {name} has its storage", at)
                storage = self._storage(storage_name, index)
            if type(storage) is not Storage or storage.tensor.dtype != DTYPES[name]:
                raise Damage(f"{_kind_of(storage)} where a {name} has its storage", at)
        elif kind != 0:
            raise Damage(f"an object of type {kind} where a {name} has its storage", at)
        return self._view(name, size, stride, offset - 1, storage, start)

    def _view(
        self, name: str, size: list[int], stride: list[int], offset: int, storage: Storage | None, start: int
    ) -> torch.Tensor:
        """A tensor that looks into a storage, after making sure that it stays within."""
        elements = 1 if size else 0
        last = offset
        for n, step in zip(size, stride):
            if n < 0 or step < 0:
                raise Damage(f"a tensor of sizes {size} and strides {stride}", start)
            elements *= n
            last += (n - 1) * step
        tensor = torch.empty(0, dtype=DTYPES[name], device=self._device)
        if not size and storage is None:
            return tensor
        held = 0 if storage is None else len(storage)
        if storage is None or (elements and not 0 <= offset <= last < held) or elements >= 1 << 63:
            place = f"at {offset + 1} of a storage of {held} numbers" if storage is not None else "without a storage"
            raise Damage(f"a {name} of sizes {size} and strides {stride} {place}", start)
        if storage.tensor.device != self._device:
            storage.tensor = storage.tensor.to(self._device)
        memory = storage.tensor.untyped_storage()
        if elements:
            tensor.set_(memory, offset, size, stride)
        else:
            tensor.set_(memory, 0, size or (0,), stride or (1,))
        if elements < held or last + 1 - offset < held or not elements:
            keep_whole(tensor)
        return tensor

    # Errors

    def _error(self, damage: Damage) -> FormatError:
        return FormatError(damage.message + self._hint(), damage.offset, self._path())

    def _path(self) -> str:
        """Where in the nest of objects the reader is."""
        steps = []
        for frame in self._stack:
            if type(frame) is not TableFrame:
                continue
            key = frame.key
            if key is NOTHING:
                steps.append("" if not frame.left else f"<key {len(frame.values) + 1}>")
            elif isinstance(key, str) and key.isidentifier():
                steps.append("." + key)
            else:
                steps.append(f"[{key!r}]" if isinstance(key, (str, int, float)) else "[an object]")
        if len(steps) > _MAX_PATH:
            half = _MAX_PATH // 2
            steps = [*steps[:half], f"...({len(steps) - _MAX_PATH} more)...", *steps[-half:]]
        return "".join(steps)

    def _hint(self) -> str:
        """What else may lie behind damage: an unknown class with a layout of its own."""
        if not self._suspect:
            return ""
        return (
            f"; or {self._suspect}, which luann does not know, has a layout of its own: "
            f"say it with luann.t7.register_payload({self._suspect!r}, ...)"
        )


def _kind_of(value: Any) -> str:
    return getattr(value, "typename", None) or type(value).__name__


def _device(map_location: Any) -> torch.device:
    """The device for tensors, after making sure that there can be some."""
    try:
        return torch.empty(0, device="cpu" if map_location is None else map_location).device
    except (AssertionError, RuntimeError, TypeError) as error:
        why = str(error).partition("\n")[0]
        raise ArgumentError(
            f"map_location={map_location!r} is no device that PyTorch can use here ({why}); "
            "leave map_location out to load onto the CPU"
        ) from error


def _upvalues(function: Function) -> Steps:
    upvalues = yield
    function.upvalues = upvalues if upvalues else []
    return {}


def load(
    file: Any,
    *,
    map_location: Any = None,
    long_size: int | None = None,
    format: str | None = None,
    mmap: bool = False,
) -> Any:
    """Load the object in a .t7 file; where there are several, the first (see :class:`Reader` for all).

    A Lua table with keys 1..n becomes a list, another a :class:`~luann.table.Table`; numbers become int where they are
    whole, else float; tensors and storages that share memory in the file share it here. Objects become those of
    the registered Python classes, else :class:`Unknown`; Lua functions become :class:`Function`. Nothing in a file is
    executed.

    Args:
        file: a path, a file opened in binary mode, or bytes.
        map_location: the device for tensors, such as ``'cuda'``; ``None`` puts all on the CPU, Cuda tensors too.
        long_size: the size of a long in a binary file, 8 or 4 bytes; found out where ``None``.
        format: ``'binary'`` or ``'ascii'``; found out where ``None``.
        mmap: let tensors use the file's own pages (see :class:`Reader`).

    Raises:
        FormatError: if this is no .t7 file (it says what it is), or a damaged one.
        ArgumentError: there is no such device, or an argument is of another kind.
        OSError: if it cannot be opened or read.
    """
    with Reader(file, map_location=map_location, long_size=long_size, format=format, mmap=mmap) as reader:
        return reader.read()
