"""Torch7's ``optim``: functions that minimise, one to a file, :class:`ConfusionMatrix` and :class:`Logger`.

Every optimiser is called as in Lua, ``x, fs = optim.sgd(feval, x, config, state)``; :mod:`luann.optim.state` tells what
config and state can be.
"""

from __future__ import annotations

from .adadelta import adadelta
from .adagrad import adagrad
from .adam import adam
from .adamax import adamax
from .asgd import asgd
from .cg import cg
from .checkgrad import checkgrad
from .cmaes import cmaes
from .confusion import ConfusionMatrix
from .de import de
from .fista import FistaLS
from .lbfgs import lbfgs
from .logger import Logger
from .lswolfe import lswolfe
from .nag import nag
from .polyinterp import polyinterp
from .rmsprop import rmsprop
from .rprop import rprop
from .sgd import sgd

__all__ = [
    "ConfusionMatrix",
    "FistaLS",
    "Logger",
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "asgd",
    "cg",
    "checkgrad",
    "cmaes",
    "de",
    "lbfgs",
    "lswolfe",
    "nag",
    "polyinterp",
    "rmsprop",
    "rprop",
    "sgd",
]
