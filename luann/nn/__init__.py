"""Torch7's ``nn``: layers, containers and criterions over plain ``torch.Tensor``.

Numbers that belong to a Torch7 class (dimensions given to a constructor, ``get(i)``, class labels, indices of maxima) count from 1;
numbers that belong to a tensor or a list (``m.weight[0]``, ``m.modules[0]``) count from 0.
"""

from . import utils
from .container import Container, Parallel, Sequential
from .convolution import SpatialConvolution
from .criterion import ClassNLLCriterion, Criterion, MSECriterion
from .dropout import Dropout, WhiteNoise
from .jacobian import Jacobian, SparseJacobian
from .identity import GradientReversal, Identity, L1Penalty, ZeroGrad
from .linear import Linear
from .module import Module
from .normalization import BatchNormalization, SpatialBatchNormalization
from .pointwise import (
    Abs,
    Add,
    AddConstant,
    CAdd,
    CMul,
    Constant,
    Exp,
    Log,
    Mul,
    MulConstant,
    OneHot,
    Power,
    Sqrt,
    Square,
)
from .pooling import SpatialMaxPooling
from .shaping import View
from .softmax import LogSoftMax, SoftMax, SoftMin, SpatialLogSoftMax, SpatialSoftMax
from .table import ParallelTable
from .transfer import (
    ELU,
    Clamp,
    GatedLinearUnit,
    HardShrink,
    HardTanh,
    LeakyReLU,
    LogSigmoid,
    PReLU,
    ReLU,
    ReLU6,
    RReLU,
    Sigmoid,
    SoftPlus,
    SoftShrink,
    SoftSign,
    Tanh,
    TanhShrink,
    Threshold,
)

__all__ = [
    "Abs",
    "Add",
    "AddConstant",
    "BatchNormalization",
    "CAdd",
    "CMul",
    "Clamp",
    "ClassNLLCriterion",
    "Constant",
    "Container",
    "Criterion",
    "Dropout",
    "ELU",
    "Exp",
    "GatedLinearUnit",
    "GradientReversal",
    "HardShrink",
    "HardTanh",
    "Identity",
    "Jacobian",
    "L1Penalty",
    "LeakyReLU",
    "Linear",
    "Log",
    "LogSigmoid",
    "LogSoftMax",
    "MSECriterion",
    "Module",
    "Mul",
    "MulConstant",
    "OneHot",
    "PReLU",
    "Parallel",
    "ParallelTable",
    "Power",
    "RReLU",
    "ReLU",
    "ReLU6",
    "Sequential",
    "Sigmoid",
    "SoftMax",
    "SoftMin",
    "SoftPlus",
    "SoftShrink",
    "SoftSign",
    "SparseJacobian",
    "SpatialBatchNormalization",
    "SpatialConvolution",
    "SpatialLogSoftMax",
    "SpatialMaxPooling",
    "SpatialSoftMax",
    "Sqrt",
    "Square",
    "Tanh",
    "TanhShrink",
    "Threshold",
    "View",
    "WhiteNoise",
    "ZeroGrad",
    "utils",
]
