"""Pooling and unpooling, after the manual's chapter on convolution."""

from .fractional import SpatialFractionalMaxPooling, VolumetricFractionalMaxPooling
from .lp import FeatureLPPooling, SpatialLPPooling
from .spatial import (
    SpatialAdaptiveAveragePooling,
    SpatialAdaptiveMaxPooling,
    SpatialAveragePooling,
    SpatialDilatedMaxPooling,
    SpatialMaxPooling,
)
from .temporal import TemporalDynamicKMaxPooling, TemporalMaxPooling
from .unpooling import SpatialMaxUnpooling, VolumetricMaxUnpooling
from .volumetric import VolumetricAveragePooling, VolumetricDilatedMaxPooling, VolumetricMaxPooling

__all__ = [
    "FeatureLPPooling",
    "SpatialAdaptiveAveragePooling",
    "SpatialAdaptiveMaxPooling",
    "SpatialAveragePooling",
    "SpatialDilatedMaxPooling",
    "SpatialFractionalMaxPooling",
    "SpatialLPPooling",
    "SpatialMaxPooling",
    "SpatialMaxUnpooling",
    "TemporalDynamicKMaxPooling",
    "TemporalMaxPooling",
    "VolumetricAveragePooling",
    "VolumetricDilatedMaxPooling",
    "VolumetricFractionalMaxPooling",
    "VolumetricMaxPooling",
    "VolumetricMaxUnpooling",
]
