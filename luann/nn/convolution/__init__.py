"""Convolutions and subsampling, after the manual's chapter."""

from .full import SpatialFullConvolution, VolumetricFullConvolution
from .local import SpatialConvolutionLocal
from .mapped import SpatialConvolutionMap, SpatialFullConvolutionMap
from .spatial import (
    SpatialConvolution,
    SpatialConvolutionMM,
    SpatialDepthWiseConvolution,
    SpatialDilatedConvolution,
)
from .subsampling import SpatialSubSampling, TemporalSubSampling
from .temporal import TemporalConvolution, TemporalRowConvolution
from .volumetric import VolumetricConvolution, VolumetricDilatedConvolution

__all__ = [
    "SpatialConvolution",
    "SpatialConvolutionLocal",
    "SpatialConvolutionMM",
    "SpatialConvolutionMap",
    "SpatialDepthWiseConvolution",
    "SpatialDilatedConvolution",
    "SpatialFullConvolution",
    "SpatialFullConvolutionMap",
    "SpatialSubSampling",
    "TemporalConvolution",
    "TemporalRowConvolution",
    "TemporalSubSampling",
    "VolumetricConvolution",
    "VolumetricDilatedConvolution",
    "VolumetricFullConvolution",
]
