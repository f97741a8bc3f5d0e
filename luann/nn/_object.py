"""``Object``: what modules and criterions have in common."""

from __future__ import annotations

import copy
import math
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from .. import types
from ..errors import ArgumentError, ShapeError, TensorTypeError
from ..table import Shuffled
from . import utils
from ._guard import describe, guard
from ._variants import enroll

T = TypeVar("T", bound="Object")


class Object:
    """A thing of Torch7's with named fields: it has a type, converts, copies, prints and is saved.

    A subclass outside of luann is ``nn.Name`` to Torch7, or what ``class Name(nn.Module, typename='my.Name')`` says;
    :func:`luann.t7.register` makes files load it. Where several classes of luann have one name, a static method
    ``_fits(fields)`` tells from the fields in a file which is meant; one without it is taken when none fits.
    """

    __slots__ = ("__dict__", "__weakref__", "_cache", "_enclosed", "_frees", "_gone", "_last", "_spent")
    _cache: Any
    _enclosed: bool
    _frees: bool
    _gone: dict | None
    _last: bool
    _spent: bool

    _typename = "nn.Object"
    _version = 1
    _empty_is_list = True  # an empty Lua table may be a list or a record; in nn it is a list
    _node_of: Callable[[Any, tuple], Any] | None = None  # nngraph's: the node that a call with nodes makes

    def __init_subclass__(cls, typename: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._typename = typename or f"nn.{cls.__name__}"
        if cls.__module__.partition(".")[0] == "luann" and not cls.__name__.startswith("_"):
            if "_fits" in cls.__dict__:
                enroll(cls, Object)
            else:
                types.register(cls._typename, cls)
        guard(cls)

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        self = super().__new__(cls)
        self._cache = None  # what a class derives from its fields for speed; never saved nor copied
        self._last = False  # whether images are kept with their planes innermost in memory; never saved
        self._frees = False  # whether what it computed may be given back when a pass needs it no more; never saved
        self._enclosed = False  # whether what it returned may be given back, too, as a container around it would do
        self._gone = None  # what has the size of the inputs that were given back before a pass backward
        self._spent = False  # whether something was given back that another pass backward would need
        return self

    def type(self, type: Any = None, tensorCache: dict | None = None) -> Any:
        """Convert every tensor of this module and its children; without an argument, the name of their type.

        Tensors that shared memory share it afterwards. Whole numbers (indices, masks) keep their type and only move
        between devices.

        Args:
            type: a Torch7 type name, a ``torch.dtype``, or a ``torch.device`` (or its name).
            tensorCache: a dict that is handed on to keep sharing across several calls.
        """
        if type is None:
            return self.__dict__.get("_type") or types.typename(self.gradInput)
        dtype, device = types.parse_type(type)
        utils.check_device(device)
        cache: dict = {} if tensorCache is None else tensorCache
        utils.converted(self, dtype, device, cache)
        return self

    def _lose_stand_ins(self) -> None:
        """Forget what stands for inputs that were given back, so that a pass backward is refused."""
        if self._gone:
            self._spent = True
        self._gone = None

    def _convert(self, dtype: torch.dtype | None, device: torch.device | None, cache: dict) -> None:
        self._settle()
        self._cache = None
        self._lose_stand_ins()
        fields = self.__dict__
        for name, value in list(fields.items()):
            fields[name] = utils.converted(value, dtype, device, cache, floating_only=True)
        if "_type" in fields:
            now_dtype, now_device = types.parse_type(self._type)
            device = device or now_device
            self._type = types.tensor_typename(dtype or now_dtype, device is not None and device.type == "cuda")

    def float(self: T, tensorCache: dict | None = None) -> T:
        """``type('torch.FloatTensor')``."""
        return self.type("torch.FloatTensor", tensorCache)

    def double(self: T, tensorCache: dict | None = None) -> T:
        """``type('torch.DoubleTensor')``."""
        return self.type("torch.DoubleTensor", tensorCache)

    def half(self: T, tensorCache: dict | None = None) -> T:
        """``type('torch.HalfTensor')``."""
        return self.type("torch.HalfTensor", tensorCache)

    def cuda(self: T, tensorCache: dict | None = None) -> T:
        """``type('torch.CudaTensor')``: float32 on the current CUDA device."""
        return self.type("torch.CudaTensor", tensorCache)

    def __tostring__(self) -> str:
        """What Torch7's ``print`` shows."""
        return self._typename

    def __repr__(self) -> str:
        return self.__tostring__()

    def __deepcopy__(self: T, memo: dict) -> T:
        self._settle()
        twin = self.__class__.__new__(self.__class__)
        memo[id(self)] = twin
        for name in ("_last", "_frees", "_enclosed", "_gone", "_spent"):
            setattr(twin, name, getattr(self, name))
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin

    def __getstate__(self) -> dict:
        self._settle()
        return {name: _picklable(value) for name, value in self.__dict__.items()}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)

    def _restore(self, fields: dict, version: int) -> None:
        """Take the fields that a file holds. ``version`` is that of the class which wrote them."""
        self.__dict__.update(fields)
        if types.is_cuda_typename(fields.get("_type") or ""):  # unless it was loaded elsewhere
            tensors = (v for v in fields.values() if isinstance(v, torch.Tensor) and v.is_floating_point())
            self._type = next(map(types.typename, tensors), self._type)

    # For subclasses

    def _settle(self) -> None:
        """Bring fields up to date that are only made when somebody asks; called before all fields are read."""

    def _diagnose(self, input: Any) -> None:
        """Called when a computation has failed: raise an Error that tells better what is wrong with ``input``, or
        return.
        """

    def _want(self, fits: bool, wanted: str, got: Any) -> None:
        """Raise a ShapeError unless ``fits``: "wanted …, got …" with the sizes of ``got``."""
        if not fits:
            raise ShapeError(f"wanted {wanted}, got {describe(got)}")

    def _sized(self, gradOutput: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
        """``gradOutput`` in the output's ``size``, if it has as many elements, which is what Torch7 asks for.

        PyTorch's kernels would stretch a smaller one.
        """
        if gradOutput.shape == size:
            return gradOutput
        self._want(gradOutput.numel() == math.prod(size), f"a gradOutput of {'x'.join(map(str, size))}", gradOutput)
        return gradOutput.reshape(size)


def given(value: Any, default: Any) -> Any:
    """``value``, or ``default`` where it is ``None``: an argument that a Lua script left out or gave as ``nil``."""
    return default if value is None else value


def need_tensor(value: Any, what: str = "input") -> torch.Tensor:
    """``value``, which must be a tensor."""
    if not isinstance(value, torch.Tensor):
        raise TensorTypeError(f"{what} must be a tensor, got {describe(value)}")
    return value


def need_size(cls: object, **sizes: Any) -> None:
    """Check constructor arguments that are sizes: whole numbers from 1 on.

    Raises:
        ArgumentError: names the class, the argument, and what came.
    """
    for name, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            kind = getattr(cls, "_typename", cls)
            raise ArgumentError(f"{kind}: {name} must be a whole number from 1 on, got {value!r}")


def need_number(cls: object, **numbers: Any) -> None:
    """Check constructor arguments that are numbers of any kind.

    Raises:
        ArgumentError: names the class, the argument, and what came.
    """
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            kind = getattr(cls, "_typename", cls)
            raise ArgumentError(f"{kind}: {name} must be a number, got {describe(value)}")


class _Pickled:
    """A tensor on its way into a pickle.

    Plain pickle writes every tensor with a storage of its own. This one hands the pickler the same storage object where
    tensors share it, and is itself the same object where a tensor is met twice.
    """

    __slots__ = ("__weakref__", "storage", "tensor")

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor
        untyped = tensor.untyped_storage()
        storage = _storages.get(untyped._cdata)
        if storage is None:
            storage = torch.storage.TypedStorage(wrap_storage=untyped, dtype=tensor.dtype, _internal=True)
            _storages[untyped._cdata] = storage
        self.storage = storage

    def __reduce__(self) -> tuple:
        t = self.tensor
        return _unpickled, (self.storage, t.storage_offset(), tuple(t.shape), t.stride())


# By address; an entry lives as long as the pickler holds it, and holds what lives at the address.
_tensors: weakref.WeakValueDictionary[int, _Pickled] = weakref.WeakValueDictionary()
_storages: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


def _picklable(value: Any) -> Any:
    if type(value) is torch.Tensor:
        handle = _tensors.get(id(value))
        if handle is None:
            handle = _tensors[id(value)] = _Pickled(value)
        return handle
    if type(value) in (list, Shuffled):
        return [_picklable(v) for v in value]
    return value


def _unpickled(storage: Any, offset: int, size: tuple, stride: tuple) -> torch.Tensor:
    untyped = storage._untyped_storage
    return torch.empty(0, dtype=storage.dtype, device=untyped.device).set_(untyped, offset, size, stride)
