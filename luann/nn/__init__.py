"""Torch7's ``nn``: layers, containers and criterions over plain ``torch.Tensor``.

Numbers that belong to a Torch7 class (dimensions given to a constructor, ``get(i)``, class labels, indices of maxima) count from 1;
numbers that belong to a tensor or a list (``m.weight[0]``, ``m.modules[0]``) count from 0.
"""

from . import utils
from .container import Container, Parallel, Sequential
from .convolution import SpatialConvolution
from .criterion import ClassNLLCriterion, Criterion, MSECriterion
from .dropout import Dropout
from .linear import Linear
from .module import Module
from .normalization import BatchNormalization, SpatialBatchNormalization
from .pointwise import Identity
from .pooling import SpatialMaxPooling
from .shaping import View
from .table import ParallelTable
from .transfer import LogSoftMax, ReLU, Tanh, Threshold

__all__ = [
    "BatchNormalization",
    "ClassNLLCriterion",
    "Container",
    "Criterion",
    "Dropout",
    "Identity",
    "Linear",
    "LogSoftMax",
    "MSECriterion",
    "Module",
    "Parallel",
    "ParallelTable",
    "ReLU",
    "Sequential",
    "SpatialBatchNormalization",
    "SpatialConvolution",
    "SpatialMaxPooling",
    "Tanh",
    "Threshold",
    "View",
    "utils",
]
