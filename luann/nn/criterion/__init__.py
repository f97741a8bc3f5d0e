"""Criterions: a number that says how far an input is from a target, and its gradient."""

from .base import Criterion
from .binary import BCECriterion, MarginCriterion, MultiLabelSoftMarginCriterion, SoftMarginCriterion
from .classification import (
    ClassNLLCriterion,
    ClassSimplexCriterion,
    CrossEntropyCriterion,
    MultiLabelMarginCriterion,
    MultiMarginCriterion,
    SpatialClassNLLCriterion,
)
from .composite import ModuleCriterion, MultiCriterion, ParallelCriterion
from .embedding import (
    CosineEmbeddingCriterion,
    DistanceRatioCriterion,
    HingeEmbeddingCriterion,
    L1HingeEmbeddingCriterion,
    MarginRankingCriterion,
)
from .regression import (
    AbsCriterion,
    DistKLDivCriterion,
    L1Cost,
    MSECriterion,
    SmoothL1Criterion,
    SpatialAutoCropMSECriterion,
    WeightedMSECriterion,
)

__all__ = [
    "AbsCriterion",
    "BCECriterion",
    "ClassNLLCriterion",
    "ClassSimplexCriterion",
    "CosineEmbeddingCriterion",
    "Criterion",
    "CrossEntropyCriterion",
    "DistKLDivCriterion",
    "DistanceRatioCriterion",
    "HingeEmbeddingCriterion",
    "L1Cost",
    "L1HingeEmbeddingCriterion",
    "MSECriterion",
    "MarginCriterion",
    "MarginRankingCriterion",
    "ModuleCriterion",
    "MultiCriterion",
    "MultiLabelMarginCriterion",
    "MultiLabelSoftMarginCriterion",
    "MultiMarginCriterion",
    "ParallelCriterion",
    "SmoothL1Criterion",
    "SoftMarginCriterion",
    "SpatialAutoCropMSECriterion",
    "SpatialClassNLLCriterion",
    "WeightedMSECriterion",
]
