"""dpnn (github.com/Element-Research/dpnn): deep extensions to nn.

Layers for images, REINFORCE, noise-contrastive estimation, Inception, and what stores nets smaller. Importing it puts
dpnn's methods on all modules, among them ``sharedClone`` and ``gradParamClip``: see :mod:`luann.contrib.dpnn.module`.
What dpnn shares with nn (Decorator, DontCast, OneHot, PrintSize, WhiteNoise, Kmeans, ...) is in :mod:`luann.nn`.
"""

from __future__ import annotations

from .criterions import BinaryLogisticRegression, SpatialBinaryLogisticRegression
from .images import (
    PCAColorTransform,
    SimpleColorTransform,
    SpatialBinaryConvolution,
    SpatialFeatNormalization,
    SpatialGlimpse,
    SpatialRegionDropout,
    SpatialUniformCrop,
)
from .inception import FireModule, Inception
from .layers import ArgMax, CategoricalEntropy, Clip, ReverseTable, TotalDropout
from .module import getParameters, updateParameters, zeroGradParameters
from .nce import AliasMultinomial, NCECriterion, NCEModule
from .reinforce import (
    BinaryClassReward,
    Reinforce,
    ReinforceBernoulli,
    ReinforceCategorical,
    ReinforceGamma,
    ReinforceNormal,
    VRClassReward,
)
from .serial import Serial

__all__ = [
    "AliasMultinomial",
    "ArgMax",
    "BinaryClassReward",
    "BinaryLogisticRegression",
    "CategoricalEntropy",
    "Clip",
    "FireModule",
    "Inception",
    "NCECriterion",
    "NCEModule",
    "PCAColorTransform",
    "Reinforce",
    "ReinforceBernoulli",
    "ReinforceCategorical",
    "ReinforceGamma",
    "ReinforceNormal",
    "ReverseTable",
    "Serial",
    "SimpleColorTransform",
    "SpatialBinaryConvolution",
    "SpatialBinaryLogisticRegression",
    "SpatialFeatNormalization",
    "SpatialGlimpse",
    "SpatialRegionDropout",
    "SpatialUniformCrop",
    "TotalDropout",
    "VRClassReward",
    "getParameters",
    "updateParameters",
    "zeroGradParameters",
]
