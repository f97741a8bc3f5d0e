"""``cudnn.convert``: a net's layers from nn to cudnn, or back."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch

from ... import nn
from ...errors import ArgumentError
from ...nn.module import Module

SAME = (
    "BatchNormalization SpatialBatchNormalization SpatialConvolution SpatialCrossMapLRN SpatialFullConvolution "
    "SpatialMaxPooling SpatialAveragePooling ReLU Tanh Sigmoid SoftMax LogSoftMax VolumetricBatchNormalization "
    "VolumetricConvolution VolumetricFullConvolution VolumetricMaxPooling VolumetricAveragePooling"
).split()
"""The classes that both have."""

_ALIKE = {
    "nn.SpatialConvolutionMM": "SpatialConvolution",
    "inn.SpatialCrossResponseNormalization": "SpatialCrossMapLRN",
}


def convert(net: Module, dst: ModuleType, exclusion_fn: Callable[[Module], Any] | None = None) -> Module:
    """Turn every layer of ``net`` that nn and cudnn both have into that of ``dst``; returns the net.

    A layer's fields are handed on, tensors and all, to a new module that takes its place; a layer that is itself the
    whole net comes back as another object. What cuDNN alone can do is written out: groups become zeros in a larger
    weight (training would fill them). Average pooling counts its padding, or not, as the layer did; Torch7's own
    function makes it not count, by an oversight. A gModule's layers are converted, too, which Torch7's cannot.

    Args:
        dst: the module ``luann.nn`` or ``luann.contrib.cudnn``.
        exclusion_fn: called with each layer; a layer for which it returns something true stays as it is.

    Raises:
        ArgumentError: ``dst`` is neither.
    """
    cudnn = sys.modules[__package__]
    if dst is not nn and dst is not cudnn:
        raise ArgumentError(f"cudnn.convert: dst must be luann.nn or luann.contrib.cudnn, got {dst!r}")
    source = "cudnn." if dst is nn else "nn."
    classes = {source + name: name for name in SAME} | _ALIKE

    def converted(layer: Module) -> Module:
        name = classes.get(layer._typename)
        if name is None or (exclusion_fn is not None and exclusion_fn(layer)):
            return layer
        cls = getattr(dst, name)
        layer._settle()
        new = cls() if name == "ReLU" else cls.__new__(cls)
        new._restore(dict(layer.__dict__), cls._version)
        if dst is nn:
            _ungrouped(new)
            if name in ("Tanh", "Sigmoid"):
                new.__dict__.pop("inplace", None)  # which nn's cannot
            elif name == "SpatialAveragePooling":
                new.divide, new.count_include_pad = True, layer.count_include_pad
        return new

    return net.replace(converted)


def _ungrouped(layer: Module) -> None:
    """Give a convolution that had groups a weight that does the same without."""
    groups = layer.__dict__.pop("groups", 1)
    if groups == 1:
        return
    weight, layer.gradWeight = layer.weight, None
    layer.weight = weight.new_zeros(layer.nOutputPlane, layer.nInputPlane, *weight.shape[2:])
    for group, (part, rows) in enumerate(zip(weight.chunk(groups), layer.weight.chunk(groups))):
        rows.narrow(1, group * part.shape[1], part.shape[1]).copy_(part)
    layer.gradWeight = torch.zeros_like(layer.weight)
