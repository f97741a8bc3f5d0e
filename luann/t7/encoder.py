"""Turning Python objects into those of a .t7 file: the counterpart of the machine in :mod:`.reader`.

Objects get their numbers in the order in which they are first written, tensors and storages included, as Torch7
numbers them. What is in an object is written before what comes next, from a stack of iterators and without recursion.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from types import GeneratorType
from typing import Any

import numpy as np
import torch

from .._notes import is_whole, listed, original
from ..errors import ArgumentError, Error
from ..table import Shuffled, Table
from ..types import Storage, tensor_typename
from .memory import NUMPY, span, storable
from .output import BUFFER, NoOutput
from .path import path_to
from .payloads import fields_of, payloads, version_of, writers
from .values import Function, Unknown

_RUN = 32  # length from which a list of numbers is written in one go
_ARRAYS = {*NUMPY.values(), np.dtype(bool)}

Contents = Iterator | None
"""What is in an object and still to be written."""


class Encoder:
    """Writes objects to an output; what it has written once, it refers to from then on.

    Args:
        out: the form of the file: see :mod:`.output`.

    Attributes:
        compact: write no more of a storage than the tensors in the object need. For a single object only.
    """

    def __init__(self, out: Any) -> None:
        self.compact = False
        self._out = out
        self._count = 0
        self._index: dict[Any, int] = {}  # by id; storages by address and type
        self._alive: list = []  # what the ids and addresses belong to
        self._needed: dict[Any, tuple[int, int, int]] | None = None  # see _Survey
        self._root: Any = None
        self._stack: list[tuple[Iterator, Any]] = []  # what is being written, and what of it is still to come
        self._handlers: dict[type, Callable[[Any], Contents]] = {
            type(None): self._nil, bool: self._boolean, int: self._int, float: self._float, str: self._text,
            list: self._list, Shuffled: self._shuffled, dict: self._dict, torch.Tensor: self._tensor,
        }  # fmt: skip

    def write(self, obj: Any) -> None:
        """Write one object; the end of it may still be in the output's buffer.

        Raises:
            ArgumentError: something in it has no form in Torch7; the error's ``path`` says where it is.
        """
        self._root = obj
        handlers, out = self._handlers, self._out
        buffer = out.buffer
        stack = self._stack = [(iter((obj,)), None)]
        value: Any = obj
        try:
            while stack:
                for value in stack[-1][0]:
                    handler = handlers.get(type(value)) or self._handler(value)
                    contents = handler(value)
                    if contents is not None:
                        stack.append((contents, value))
                        break
                    if len(buffer) >= BUFFER:
                        out.flush()
                else:
                    stack.pop()
        except struct.error:
            error: Error = ArgumentError("Torch7 counts bytes and entries to 2^31 - 1, and here are more")
            error.path = path_to([*(holder for _, holder in stack[1:]), value])
            raise error from None
        except Error as error:
            error.path = error.path or path_to([*(holder for _, holder in stack[1:]), value])
            raise

    def _handler(self, value: Any) -> Callable[[Any], Contents]:
        """What writes values of this type; kept for the next one."""
        handler: Callable[[Any], Contents]
        if isinstance(value, torch.Tensor):
            handler = self._tensor
        elif isinstance(value, Storage):
            handler = self._storage
        elif isinstance(value, Unknown) or getattr(type(value), "_typename", None) is not None:
            handler = self._object
        elif isinstance(value, Function):
            handler = self._function
        elif isinstance(value, dict):
            handler = self._dict
        elif isinstance(value, torch.Size):
            handler = self._size
        elif isinstance(value, (list, tuple)):
            handler = self._list
        elif isinstance(value, np.ndarray):
            handler = self._array
        elif isinstance(value, np.generic) and value.dtype.kind in "biuf":
            handler = self._scalar
        elif isinstance(value, bool):
            handler = self._boolean
        elif isinstance(value, int):
            handler = self._int
        elif isinstance(value, float):
            handler = self._float
        elif isinstance(value, str):
            handler = self._text
        elif isinstance(value, (bytes, bytearray)):
            handler = self._bytes
        else:
            kind = type(value).__name__
            article = "an" if kind[0] in "aeiouAEIOU" else "a"
            raise ArgumentError(f"{article} {kind} has no form in Torch7: make a table, number, string or tensor of it")
        self._handlers[type(value)] = handler
        return handler

    def _met(self, kind: int, obj: Any) -> bool:
        """Whether an object is in the file already; it is referred to then, and else has its number now."""
        index = self._index.get(id(obj))
        known = index is not None
        if not known:
            index = self._new(id(obj), obj)
        self._out.ints(kind, index)
        return known

    def _new(self, key: Any, obj: Any) -> int:
        self._count += 1
        self._index[key] = self._count
        self._alive.append(obj)
        return self._count

    # What is no object in Lua

    def _nil(self, value: None) -> None:
        self._out.nil()

    def _boolean(self, value: bool) -> None:
        self._out.boolean(value)

    def _int(self, value: int) -> None:
        try:
            number = float(value)
        except OverflowError:
            number = 0.0
        if number != value:
            raise ArgumentError(f"{value} is no double, as Lua's numbers are: write float({value}), or a LongTensor")
        self._out.number(number)

    def _float(self, value: float) -> None:
        self._out.number(value)

    def _scalar(self, value: np.generic) -> None:
        plain = value.item()
        if isinstance(plain, bool):
            self._boolean(plain)
        elif isinstance(plain, int):
            self._int(plain)
        else:
            if plain == plain and plain != float(plain):
                raise ArgumentError(f"{value!r} is no double, as Lua's numbers are: write float(...)")
            self._float(float(plain))

    def _text(self, value: str) -> None:
        try:
            self._out.text(value.encode("utf-8", "surrogateescape"))
        except UnicodeEncodeError as error:
            raise ArgumentError(f"a str that is no text: {error.reason}") from None

    def _bytes(self, value: bytes) -> None:
        self._out.text(value)

    # Tables

    def _list(self, value: list | tuple) -> Contents:
        if self._met(3, value):
            return None
        types = set(map(type, value))
        if len(value) >= _RUN and types <= {int, float}:
            self._out.ints(len(value))
            return None if self._out.numbers(value) else _numbered(value)
        self._out.ints(len(value) - (sum(v is None for v in value) if type(None) in types else 0))
        return _numbered(value)

    def _shuffled(self, value: Shuffled) -> Contents:
        order = value.order
        if len(order) != len(value) or None in set(map(type, value)):
            return self._list(value)
        if self._met(3, value):
            return None
        self._out.ints(len(value))
        return _flattened((i, value[i - 1]) for i in order)

    def _dict(self, value: dict) -> Contents:
        if self._met(3, value if value or type(value) is not Table else listed(value)):
            return None
        entries: Any = value.items()
        if type(None) in set(map(type, value.values())):  # an entry that is nil is none
            entries = [(k, v) for k, v in entries if v is not None]
        types = set(map(type, value))
        if type(None) in types or (float in types and any(type(k) is float and k != k for k in value)):
            raise ArgumentError("None or nan as a key, which Lua does not allow")
        if bytes in types and any(type(k) is bytes and k.decode("utf-8", "surrogateescape") in value for k in value):
            raise ArgumentError("a str and bytes as keys that are the same string in Lua")
        self._out.ints(len(entries))
        return _flattened(entries)

    # Tensors and storages

    def _tensor(self, tensor: torch.Tensor) -> None:
        tensor = original(tensor)
        if not self._met(4, tensor):
            self._view(storable(tensor), is_whole(tensor))

    def _array(self, array: np.ndarray) -> None:
        native = array.dtype.newbyteorder("=")
        if native not in _ARRAYS or isinstance(array, np.ma.MaskedArray):
            kind = "a masked array" if isinstance(array, np.ma.MaskedArray) else f"an array of {array.dtype}"
            raise ArgumentError(f"{kind} has no form in Torch7: convert it first, with astype say")
        if not self._met(4, array):
            self._view(storable(torch.from_numpy(np.require(np.asarray(array), native, ["C", "W"]))), False)

    def _view(self, value: torch.Tensor, whole: bool) -> None:
        """The content of a tensor object; ``whole`` if its storage is to be written with it in any case."""
        memory = value.untyped_storage()
        key = memory._cdata, value.dtype
        total = memory.nbytes() // value.element_size()
        low, high = span(value)
        bare = False
        if whole or (total and not self.compact):
            low, high = 0, total
        elif not value.numel():
            bare = True
        elif high - low < total or value.numel() < total:
            low, high, users = self._need(key)
            if users == 1 and value.numel() < high - low:
                value = value.contiguous()
                low, high = span(value)
        self._out.head(tensor_typename(value.dtype, value.is_cuda), 1)
        self._shape(value, value.storage_offset() if bare else low)
        if bare:
            self._out.nil()
        else:
            self._part(key, memory, value, low, high)

    def _shape(self, value: torch.Tensor, start: int) -> None:
        """Sizes, strides and offset of a tensor on a storage that begins at ``start`` of the tensor's own."""
        size, stride = list(value.shape), list(value.stride())
        if not value.numel():
            size, stride = [], []
        elif not size:
            size = stride = [1]  # a number is a vector of one element: Torch7 knows no tensor without dimensions
        out = self._out
        out.ints(len(size))
        out.longs(size)
        out.longs(stride)
        out.longs([value.storage_offset() - start + 1])

    def _part(self, key: Any, owner: Any, value: torch.Tensor, low: int, high: int) -> None:
        """The numbers from ``low`` to ``high`` of the storage in which ``value`` lies, as a storage."""
        index = self._index.get(key)
        if index is not None:
            self._out.ints(4, index)
            return
        self._out.ints(4, self._new(key, owner))
        if value.numel() == high - low and value.is_contiguous():
            flat = value.view(-1)
        else:
            flat = torch.empty(0, dtype=value.dtype, device=value.device)
            flat.set_(value.untyped_storage(), low, (high - low,), (1,))
        self._out.head(tensor_typename(flat.dtype, flat.is_cuda).replace("Tensor", "Storage"), 1)
        self._out.longs([high - low])
        self._out.storage(flat.cpu())

    def _need(self, key: Any) -> tuple[int, int, int]:
        if self._needed is None:
            survey = _Survey()
            survey.write(self._root)
            self._needed = survey.needed
        return self._needed[key]

    def _storage(self, storage: Storage) -> None:
        value = storable(storage.tensor)
        memory = value.untyped_storage()
        total = memory.nbytes() // value.element_size()
        key: Any = memory._cdata, value.dtype
        if value.shape != (total,) or not value.is_contiguous():  # a part of a tensor, as a storage of its own
            key, value = id(storage), value.reshape(-1).clone()
            total = value.numel()
        self._part(key, (storage, memory), value, 0, total)

    def _size(self, size: torch.Size) -> None:
        self._part(id(size), size, torch.tensor(size, dtype=torch.int64, device="cpu"), 0, len(size))

    # Objects

    def _object(self, obj: Any) -> Contents:
        if self._met(4, obj):
            return None
        out = self._out
        name = obj.typename if isinstance(obj, Unknown) else type(obj)._typename
        out.head(name, version_of(obj))
        write = writers.get(name)
        if write is not None:
            return _laid_out(name, write, out, obj)
        if name in payloads:
            raise ArgumentError(f"{name} has a layout of its own: give register_payload a function that writes it")
        if not hasattr(obj, "__dict__") and not isinstance(obj, Unknown):
            raise ArgumentError(f"a {name} without attributes: give register_payload a function that writes it")
        fields = fields_of(obj)
        left_out = out.left_out.get(id(obj))
        if left_out:
            fields = {key: value for key, value in fields.items() if key not in left_out}
        return iter((fields,))

    def _function(self, function: Function) -> Contents:
        out = self._out
        if function.form == 6:  # has no number, and is written again wherever it is met
            if any(holder is function for _, holder in self._stack):
                raise ArgumentError("a function of the old form 6 that holds itself, which only later forms can")
            out.ints(6)
        elif self._met(function.form, function):
            return None
        out.string(function.dumped)
        return iter((function.upvalues,))


def _laid_out(name: str, write: Any, out: Any, obj: Any) -> Iterator:
    """What is in an object of a class with a layout of its own, as ``write`` yields it."""
    try:
        contents = write(out, obj)
        if isinstance(contents, GeneratorType):
            yield from contents
    except (AttributeError, KeyError, TypeError) as error:
        raise ArgumentError(f"this {name} lacks what its layout needs ({type(error).__name__}: {error})") from error


def _numbered(values: list | tuple) -> Iterator:
    for i, value in enumerate(values, 1):
        if value is not None:
            yield i
            yield value


def _flattened(entries: Any) -> Iterator:
    for key, value in entries:
        yield key
        yield value


class _Survey(Encoder):
    """Finds out what an object needs of each storage.

    Attributes:
        needed: for each storage the first number that a tensor uses, the place behind the last, and how many tensors.
    """

    def __init__(self) -> None:
        super().__init__(NoOutput())
        self.needed: dict[Any, tuple[int, int, int]] = {}

    def _view(self, value: torch.Tensor, whole: bool) -> None:
        if whole:
            self._use(value, 0, value.untyped_storage().nbytes() // value.element_size())
        elif value.numel():
            self._use(value, *span(value))

    def _storage(self, storage: Storage) -> None:
        if not self._met(4, storage):
            self._use(storage.tensor, *span(storage.tensor))

    def _use(self, value: torch.Tensor, low: int, high: int) -> None:
        key = value.untyped_storage()._cdata, value.dtype
        first, last, users = self.needed.get(key, (low, high, 0))
        self.needed[key] = min(low, first), max(high, last), users + 1
