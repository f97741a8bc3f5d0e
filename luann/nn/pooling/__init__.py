"""Pooling and unpooling, after the manual's chapter on convolution."""

from .spatial import SpatialMaxPooling

__all__ = ["SpatialMaxPooling"]
