"""Pooling and unpooling, after the manual's chapter on convolution."""

from .fractional import SpatialFractionalMaxPooling, VolumetricFractionalMaxPooling
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
    "SpatialAdaptiveAveragePooling",
    "SpatialAdaptiveMaxPooling",
    "SpatialAveragePooling",
    "SpatialDilatedMaxPooling",
    "SpatialFractionalMaxPooling",
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
