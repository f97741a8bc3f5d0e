"""luann keeps Torch7 alive on PyTorch.

Load a ``.t7`` file with :func:`load`, save one with :func:`save`; port a Lua script with :mod:`luann.nn` and
:mod:`luann.optim`; the results are plain ``torch.Tensor`` throughout.
"""

from __future__ import annotations

from . import contrib, errors, nn, nngraph, optim, random, t7, types
from .cmdline import CmdLine
from .errors import ArgumentError, Error, FormatError, ModuleError, ShapeError, TensorTypeError
from .frozen import freeze
from .progress import progress
from .random import getRNGState, initialSeed, manualSeed, seed, setRNGState
from .t7 import load, save
from .table import Table
from .timer import Timer, tic, toc
from .types import Storage, getdefaulttensortype, setdefaulttensortype, typename
from .words import isStorage, isTensor, isTypeOf
from .words import type as type  # not in __all__: a star import must not hide Python's own

__version__ = "0.1.0"

__all__ = [
    "ArgumentError",
    "CmdLine",
    "Error",
    "FormatError",
    "ModuleError",
    "ShapeError",
    "Storage",
    "Table",
    "TensorTypeError",
    "Timer",
    "contrib",
    "errors",
    "freeze",
    "getRNGState",
    "getdefaulttensortype",
    "initialSeed",
    "isStorage",
    "isTensor",
    "isTypeOf",
    "load",
    "manualSeed",
    "nn",
    "nngraph",
    "optim",
    "progress",
    "random",
    "save",
    "seed",
    "setRNGState",
    "setdefaulttensortype",
    "t7",
    "tic",
    "toc",
    "typename",
    "types",
]
