"""Functions of the C library on doubles, exactly, for a number (``SCALAR``) and for an array (``ARRAY``).

NumPy's and PyTorch's own vectorised ``log``, ``cos``, ``sin``, ``tan``, ``exp`` and ``pow`` differ from the C library's
in the last bit of some results; Python's ``math`` calls the C library, but one number at a time. Here its functions are
made into NumPy ufuncs when the module is imported, or, where that cannot be done, ``math``'s are mapped over the array:
the same numbers, more slowly.

Both namespaces have the same names, so that a formula can be written once; ``trunc`` gives integers, the exponent of
``pow`` is one number.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from itertools import repeat
from types import SimpleNamespace

import numpy as np


def _exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:  # C gives infinity
        return math.inf


SCALAR = SimpleNamespace(
    log=math.log, cos=math.cos, sin=math.sin, tan=math.tan, exp=_exp, pow=math.pow, trunc=math.trunc
)


def mapped(name: str) -> Callable[..., np.ndarray]:
    """The function of that name over a vector, element by element; a second argument is the same for all."""
    function = getattr(SCALAR, name)
    return lambda x, *second: np.fromiter(map(function, x.tolist(), *map(repeat, second)), np.float64, x.size)


def compiled(name: str) -> np.ufunc:
    """The C library's function of that name as a NumPy ufunc; an exception of some kind where that is impossible.

    The ufunc is made of NumPy's loop ``PyUFunc_d_d`` (``PyUFunc_dd_d`` for ``pow``) by ``PyUFunc_FromFuncAndData``,
    reached through the table that extension modules use. Their places in it, 5, 15 and 1, are part of NumPy's binary
    interface.
    """
    if int(np.__version__.split(".")[0]) > 2:
        raise NotImplementedError("the table of NumPy's functions is known for versions 1 and 2")
    pointer, integer, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
    core = np._core if hasattr(np, "_core") else np.core
    unwrap = ctypes.PYFUNCTYPE(pointer, ctypes.py_object, text)(("PyCapsule_GetPointer", ctypes.pythonapi))
    table = ctypes.cast(unwrap(core._multiarray_umath._UFUNC_API, None), ctypes.POINTER(pointer))
    from_function = ctypes.PYFUNCTYPE(
        ctypes.py_object, pointer, pointer, pointer, integer, integer, integer, integer, text, text, integer
    )(table[1])
    inputs = 2 if name == "pow" else 1
    loop = (pointer * 1)(table[15 if inputs == 2 else 5])
    function = (pointer * 1)(ctypes.cast(getattr(ctypes.CDLL(None), name), pointer))
    types = ctypes.create_string_buffer(bytes([np.dtype(np.float64).num] * (inputs + 1)))
    label = name.encode()
    _kept_alive.append((loop, function, types, label))  # the ufunc only points to them
    return from_function(loop, function, types, 1, inputs, 1, -1, label, b"", 0)


_kept_alive: list[tuple] = []


def _vectorised(name: str) -> Callable[..., np.ndarray]:
    slow = mapped(name)
    probe = np.linspace(0.01, 0.99, 67), *([0.7] if name == "pow" else [])
    try:
        fast = compiled(name)
        # The loader could find another library's function of that name.
        return fast if np.array_equal(fast(*probe), slow(*probe)) else slow
    except (AttributeError, NotImplementedError, OSError, TypeError, ValueError):
        return slow


ARRAY = SimpleNamespace(
    **{name: _vectorised(name) for name in ("log", "cos", "sin", "tan", "exp", "pow")},
    trunc=lambda x: x.astype(np.int64),
)
