"""Memory of storages: a tensor, and a NumPy array over the same memory to read into, or its bytes to write.

``tensor.numpy()`` and ``torch.from_numpy`` would do the same, but forbid PyTorch to resize the storage ever after;
modules resize their buffers. Reading into many megabytes of fresh memory spends most of its time in page faults, which
huge pages spare.
"""

from __future__ import annotations

import ctypes
import sys

import numpy as np
import torch

from ..errors import ArgumentError

NUMPY: dict[torch.dtype, np.dtype] = {
    torch.uint8: np.dtype(np.uint8),
    torch.int8: np.dtype(np.int8),
    torch.int16: np.dtype(np.int16),
    torch.int32: np.dtype(np.int32),
    torch.int64: np.dtype(np.int64),
    torch.float16: np.dtype(np.float16),
    torch.float32: np.dtype(np.float32),
    torch.float64: np.dtype(np.float64),
}

_LARGE = 4 << 20
_PAGE = 4096
_HUGEPAGE = 14  # MADV_HUGEPAGE

_view = ctypes.pythonapi.PyMemoryView_FromMemory
_view.restype = ctypes.py_object
_view.argtypes = (ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)
_READ, _WRITE = 0x100, 0x200  # PyBUF_READ, PyBUF_WRITE

_madvise = None
if sys.platform == "linux":
    try:
        _madvise = ctypes.CDLL(None).madvise
        _madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    except (OSError, AttributeError):
        pass


def empty(n: int, dtype: torch.dtype) -> tuple[torch.Tensor, np.ndarray]:
    """A vector of n numbers on the CPU, and an array over its memory, to be used only as long as the tensor lives."""
    tensor = torch.empty(n, dtype=dtype, device="cpu")
    if not n:
        return tensor, np.empty(0, NUMPY[dtype])
    start, size = tensor.data_ptr(), n * tensor.element_size()
    if size >= _LARGE and _madvise is not None:
        first = -(-start // _PAGE) * _PAGE
        _madvise(first, (start + size - first) // _PAGE * _PAGE, _HUGEPAGE)  # a wish: nothing depends on it
    return tensor, np.frombuffer(_view(start, size, _WRITE), NUMPY[dtype])


def raw(flat: torch.Tensor) -> memoryview:
    """The bytes of a contiguous vector on the CPU, where they lie; to be used only as long as the tensor lives."""
    size = flat.numel() * flat.element_size()
    return _view(flat.data_ptr(), size, _READ) if size else memoryview(b"")


def storable(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor over the same memory, of a type that Torch7 knows; truth values become bytes.

    Raises:
        ArgumentError: there is none.
    """
    if tensor.layout is not torch.strided or tensor.device.type == "meta" or tensor.is_quantized:
        kind = "quantized" if tensor.is_quantized else "meta" if tensor.device.type == "meta" else tensor.layout
        raise ArgumentError(f"a {kind} tensor has no form in Torch7")
    value = tensor.detach() if tensor.requires_grad else tensor
    if value.dtype == torch.bool:
        value = value.view(torch.uint8)
    if value.dtype not in NUMPY:
        raise ArgumentError(f"a tensor of {value.dtype} has no form in Torch7: convert it first, with float() say")
    return value.resolve_neg() if value.is_neg() else value


def span(tensor: torch.Tensor) -> tuple[int, int]:
    """The place of the first number of a tensor in its storage, and that behind the last."""
    if not tensor.numel():
        return 0, 0
    first = tensor.storage_offset()
    return first, first + 1 + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride()))
