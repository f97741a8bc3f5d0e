"""Torch7's type names, storages, and the register of classes.

A Torch7 type name such as ``torch.FloatTensor`` stands for a PyTorch dtype and a kind of device.
``torch.CudaTensor`` is float32 on CUDA, ``torch.CudaDoubleTensor`` float64 on CUDA, and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, overload

import torch

from .errors import ArgumentError

_KINDS = {
    "Byte": torch.uint8,
    "Char": torch.int8,
    "Short": torch.int16,
    "Int": torch.int32,
    "Long": torch.int64,
    "Half": torch.float16,
    "Float": torch.float32,
    "Double": torch.float64,
    "BFloat16": torch.bfloat16,  # PyTorch's, named in Torch7's manner; not in files
}
_CUDA_KINDS = {f"Cuda{'' if kind == 'Float' else kind}": dtype for kind, dtype in _KINDS.items()}

DTYPES: dict[str, torch.dtype] = {f"torch.{k}Tensor": d for k, d in (_KINDS | _CUDA_KINDS).items()}
"""Tensor type name -> dtype, for the CPU types and the Cuda ones."""

_NAMES = {(dtype, False): f"torch.{kind}Tensor" for kind, dtype in _KINDS.items()}
_NAMES |= {(dtype, True): f"torch.{kind}Tensor" for kind, dtype in _CUDA_KINDS.items()}


def tensor_typename(dtype: torch.dtype, cuda: bool = False) -> str:
    """The Torch7 name of a tensor type; a dtype that Torch7 lacked is named in the same manner."""
    name = _NAMES.get((dtype, cuda))
    if name is None:
        kind = {torch.bool: "Bool"}.get(dtype, str(dtype).removeprefix("torch."))
        name = f"torch.{'Cuda' if cuda else ''}{kind}Tensor"
    return name


def is_cuda_typename(name: str) -> bool:
    """Whether a type name means a tensor on CUDA."""
    return name.startswith("torch.Cuda")


def parse_type(type: str | torch.dtype | torch.device) -> tuple[torch.dtype | None, torch.device | None]:
    """What a type asks for, as (dtype, device); ``None`` means "leave as it is".

    Args:
        type: a Torch7 type name (``'torch.FloatTensor'``), a dtype, or a device (``'cuda:1'`` too).
    """
    if isinstance(type, torch.dtype):
        return type, None
    if isinstance(type, torch.device):
        return None, type
    if type in DTYPES:
        return DTYPES[type], torch.device("cuda" if is_cuda_typename(type) else "cpu")
    try:
        return None, torch.device(type)
    except (RuntimeError, TypeError):
        known = ", ".join(DTYPES)
        raise ArgumentError(f"unknown tensor type {type!r}: use a dtype, a device, or one of {known}") from None


def setdefaulttensortype(name: str) -> None:
    """Make new tensors and modules of this type: Torch7's word for ``torch.set_default_dtype``.

    Args:
        name: ``'torch.FloatTensor'``, ``'torch.DoubleTensor'``, ``'torch.HalfTensor'`` or one of their Cuda forms.
    """
    dtype, device = parse_type(name)
    if dtype is None or device is None or not dtype.is_floating_point:
        raise ArgumentError(f"the default tensor type must be a floating-point tensor type, got {name!r}")
    torch.set_default_dtype(dtype)
    torch.set_default_device(device if device.type == "cuda" else None)


def getdefaulttensortype() -> str:
    """The type name of new tensors and modules."""
    return tensor_typename(torch.get_default_dtype(), torch.empty(0).is_cuda)


class Storage(Sequence):
    """A Torch7 storage met on its own, such as the ``torch.LongStorage`` that holds a ``View``'s sizes.

    It reads like a list of numbers, counting from 0 as Python's do; :attr:`tensor` is a one-dimensional
    tensor over the same memory.

    Args:
        values: a one-dimensional tensor, which is shared, or a sequence of numbers.
        typename: ``'torch.LongStorage'`` and so on; for a tensor, taken from it.
    """

    def __init__(self, values: torch.Tensor | Sequence[float], typename: str = "torch.LongStorage") -> None:
        if isinstance(values, torch.Tensor):
            self.tensor = values
        else:
            dtype = DTYPES[typename.replace("Storage", "Tensor")]
            self.tensor = torch.tensor(list(values), dtype=dtype, device="cpu")

    @property
    def typename(self) -> str:
        return tensor_typename(self.tensor.dtype, self.tensor.is_cuda).replace("Tensor", "Storage")

    def __len__(self) -> int:
        return self.tensor.numel()

    def __getitem__(self, index: Any) -> Any:
        return self.tensor[index].tolist()

    def __setitem__(self, index: Any, value: Any) -> None:
        self.tensor[index] = value

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tensor.tolist())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Storage):
            return self.typename == other.typename and torch.equal(self.tensor, other.tensor)
        return isinstance(other, (list, tuple)) and self.tensor.tolist() == list(other)

    __hash__ = None  # type: ignore[assignment]  # mutable, as a list is

    def tolist(self) -> list:
        """The numbers, as a list."""
        return self.tensor.tolist()

    def __repr__(self) -> str:
        return f"{self.typename}{self.tensor.tolist()}"


classes: dict[str, type] = {}
"""Torch7 type name -> the Python class that stands for it. luann's own register themselves here."""

C = TypeVar("C", bound=type)


@overload
def register(typename: str) -> Callable[[C], C]: ...
@overload
def register(typename: str, cls: C) -> C: ...
def register(typename: str, cls: Any = None) -> Any:
    """Say which Python class stands for a Torch7 class when a file is loaded; usable as a decorator.

    An object is made without calling ``__init__``. Then ``_restore(fields, version)`` is called with the
    table that Torch7 saved, if the class has such a method; otherwise the fields become attributes.

    A class that stands for another name already keeps that: objects of both names are loaded as it, and saved under
    the first.
    """

    def put(cls: C) -> C:
        known = classes.get(getattr(cls, "_typename", None) or "") is cls
        classes[typename] = cls
        if not known:
            cls._typename = typename  # type: ignore[attr-defined]  # every class may get one
        return cls

    return put if cls is None else put(cls)


def typename(obj: object) -> str | None:
    """Torch7's ``torch.typename``: the class of a tensor, a storage or an object; ``None`` for anything else."""
    if isinstance(obj, torch.Tensor):
        return tensor_typename(obj.dtype, obj.is_cuda)
    if isinstance(obj, Storage):
        return obj.typename
    return getattr(obj, "_typename", None)
