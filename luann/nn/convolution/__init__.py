"""Convolutions, after the manual's chapter."""

from .spatial import SpatialConvolution

__all__ = ["SpatialConvolution"]
