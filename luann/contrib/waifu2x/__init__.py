"""waifu2x (github.com/nagadomi/waifu2x): the layers and criterions of its space ``w2nn``.

``nn.LeakyReLU`` with a ``negative_scale``, which its first models hold, is here :class:`LeakyReLU_deprecated`.
"""

from .criterions import (
    AuxiliaryLossCriterion,
    ClippedMSECriterion,
    ClippedWeightedHuberCriterion,
    L1Criterion,
    LBPCriterion,
    PSNRCriterion,
    RandomBinaryCriterion,
    SSIMCriterion,
    WeightedHuberCriterion,
    WeightedMSECriterion,
)
from .layers import (
    AuxiliaryLossTable,
    DepthExpand2x,
    EdgeFilter,
    GradWeight,
    InplaceClip01,
    LeakyReLU,
    LeakyReLU_deprecated,
    Print,
    PrintTable,
    RandomBinaryConvolution,
    ScaleTable,
    ShakeShakeTable,
)

__all__ = [
    "AuxiliaryLossCriterion",
    "AuxiliaryLossTable",
    "ClippedMSECriterion",
    "ClippedWeightedHuberCriterion",
    "DepthExpand2x",
    "EdgeFilter",
    "GradWeight",
    "InplaceClip01",
    "L1Criterion",
    "LBPCriterion",
    "LeakyReLU",
    "LeakyReLU_deprecated",
    "PSNRCriterion",
    "Print",
    "PrintTable",
    "RandomBinaryConvolution",
    "RandomBinaryCriterion",
    "SSIMCriterion",
    "ScaleTable",
    "ShakeShakeTable",
    "WeightedHuberCriterion",
    "WeightedMSECriterion",
]
