"""cudnn.torch, the layers that NVIDIA's cuDNN computes; here they run on any device, as those of nn do.

``from luann.contrib import cudnn`` for ``require 'cudnn'``. Files with these layers load without further ado.
``cudnn.convert(net, nn)`` gives a net that Torch7 can run without cuDNN.

Attributes:
    benchmark, fastest, verbose, useFindEx, initialWorkspaceBytes, reservedGPUBytes, maxWorkspaceGPUMemPercent: how
        cuDNN's algorithms are chosen. Kept for the scripts that set them; without effect.
    version: that of the cuDNN that PyTorch has; without one, of the last that cudnn.torch was written for.
"""

from __future__ import annotations

import torch

from .convert import convert
from .convolution import (
    SpatialConvolution,
    SpatialDilatedConvolution,
    SpatialFullConvolution,
    TemporalConvolution,
    VolumetricConvolution,
    VolumetricDilatedConvolution,
    VolumetricFullConvolution,
)
from .criterion import SpatialCrossEntropyCriterion, VolumetricCrossEntropyCriterion
from .normalization import (
    BatchNormalization,
    SpatialBatchNormalization,
    SpatialCrossMapLRN,
    VolumetricBatchNormalization,
)
from .pointwise import (
    ClippedReLU,
    LogSoftMax,
    ReLU,
    ReLUInPlace,
    Sigmoid,
    SoftMax,
    SpatialLogSoftMax,
    SpatialSoftMax,
    Tanh,
    VolumetricLogSoftMax,
    VolumetricSoftMax,
)
from .pooling import SpatialAveragePooling, SpatialMaxPooling, VolumetricAveragePooling, VolumetricMaxPooling
from .recurrent import BGRU, BLSTM, GRU, LSTM, RNN, RNNReLU, RNNTanh

benchmark = False
fastest = False
verbose = False
useFindEx = False
initialWorkspaceBytes = 1024
reservedGPUBytes = 1024 * 1024
maxWorkspaceGPUMemPercent = 95
version: int = torch.backends.cudnn.version() or 7000


def reset() -> None:
    """Forget the algorithms found so far: nothing, here."""


__all__ = [
    "BGRU",
    "BLSTM",
    "GRU",
    "LSTM",
    "RNN",
    "BatchNormalization",
    "ClippedReLU",
    "LogSoftMax",
    "RNNReLU",
    "RNNTanh",
    "ReLU",
    "ReLUInPlace",
    "Sigmoid",
    "SoftMax",
    "SpatialAveragePooling",
    "SpatialBatchNormalization",
    "SpatialConvolution",
    "SpatialCrossEntropyCriterion",
    "SpatialCrossMapLRN",
    "SpatialDilatedConvolution",
    "SpatialFullConvolution",
    "SpatialLogSoftMax",
    "SpatialMaxPooling",
    "SpatialSoftMax",
    "Tanh",
    "TemporalConvolution",
    "VolumetricAveragePooling",
    "VolumetricBatchNormalization",
    "VolumetricConvolution",
    "VolumetricCrossEntropyCriterion",
    "VolumetricDilatedConvolution",
    "VolumetricFullConvolution",
    "VolumetricLogSoftMax",
    "VolumetricMaxPooling",
    "VolumetricSoftMax",
    "convert",
    "reset",
]
