"""luann keeps Torch7 alive on PyTorch.

Load a ``.t7`` file with :func:`load`, save one with :func:`save`; port a Lua script with :mod:`luann.nn` and
:mod:`luann.optim`; the results are plain ``torch.Tensor`` throughout.
"""

from __future__ import annotations

from . import errors, nn, optim, random, t7, types
from .errors import ArgumentError, Error, FormatError, ModuleError, ShapeError, TensorTypeError
from .progress import progress
from .random import initialSeed, manualSeed
from .t7 import load, save
from .table import Table
from .types import Storage, getdefaulttensortype, setdefaulttensortype, typename

__version__ = "0.1.0"

__all__ = [
    "ArgumentError",
    "Error",
    "FormatError",
    "ModuleError",
    "ShapeError",
    "Storage",
    "Table",
    "TensorTypeError",
    "errors",
    "getdefaulttensortype",
    "initialSeed",
    "load",
    "manualSeed",
    "nn",
    "optim",
    "progress",
    "random",
    "save",
    "setdefaulttensortype",
    "t7",
    "typename",
    "types",
]
