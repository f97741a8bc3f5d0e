"""Layers written once for both sides: luann's module and its counterpart in ``torch.nn``.

A :class:`Both` is made of functions, so that one side can be built without the other (memory is measured so). The
parameters come in the same order on both sides, which is how :mod:`tools.bench.sides` makes them equal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn as native
from torch.nn import functional as F

from luann import nn


class Both(NamedTuple):
    """Two functions that make the same layer."""

    ours: Callable[[], Any]
    theirs: Callable[[], Any]


def chain(*layers: Both) -> Both:
    """One layer after the other."""

    def ours() -> Any:
        whole = nn.Sequential()
        for layer in layers:
            whole.add(layer.ours())
        return whole

    return Both(ours, lambda: native.Sequential(*(layer.theirs() for layer in layers)))


class Residual(native.Module):
    """``relu(body(x) + shortcut(x))``."""

    def __init__(self, body: native.Module, shortcut: native.Module) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The usual form: the addition and the ReLU write over what they were given."""
        return F.relu_(self.body(x).add_(self.shortcut(x)))


def residual(body: Both, shortcut: Both) -> Both:
    """A block of a residual net, in luann as fb.resnet.torch writes it."""

    def ours() -> Any:
        table = nn.ConcatTable().add(body.ours()).add(shortcut.ours())
        return nn.Sequential().add(table).add(nn.CAddTable(True)).add(nn.ReLU(True))

    return Both(ours, lambda: Residual(body.theirs(), shortcut.theirs()))


class Mean(native.Module):
    """The mean over the second dimension."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """N x L x D to N x D."""
        return x.mean(1)


class Count0(native.Embedding):
    """An embedding whose indices are given from 1, as Torch7's."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``weight[x - 1]``."""
        return super().forward(x - 1)


def linear(inputs: int, outputs: int) -> Both:
    """A linear layer with a bias."""
    return Both(lambda: nn.Linear(inputs, outputs), lambda: native.Linear(inputs, outputs))


def conv(inputs: int, outputs: int, k: int, step: int = 1, pad: int = 0, bias: bool = True) -> Both:
    """A square convolution."""

    def ours() -> Any:
        layer = nn.SpatialConvolution(inputs, outputs, k, k, step, step, pad, pad)
        return layer if bias else layer.noBias()

    return Both(ours, lambda: native.Conv2d(inputs, outputs, k, step, pad, bias=bias))


def pool(k: int, step: int | None = None, pad: int = 0) -> Both:
    """Max pooling."""
    step = step or k
    return Both(lambda: nn.SpatialMaxPooling(k, k, step, step, pad, pad), lambda: native.MaxPool2d(k, step, pad))


def mean_pool(k: int) -> Both:
    """Average pooling of whole planes."""
    return Both(lambda: nn.SpatialAveragePooling(k, k), lambda: native.AvgPool2d(k))


def batchnorm(planes: int) -> Both:
    """Batch normalisation of images."""
    return Both(lambda: nn.SpatialBatchNormalization(planes), lambda: native.BatchNorm2d(planes))


def embedding(count: int, size: int, sparse: bool = False) -> Both:
    """A table of vectors; ``sparse`` is about the gradient of the native one."""
    return Both(lambda: nn.LookupTable(count, size), lambda: Count0(count, size, sparse=sparse))


def flat(size: int) -> Both:
    """Images as rows."""
    return Both(lambda: nn.View(size).setNumInputDims(3), lambda: native.Flatten())


def mean() -> Both:
    """The mean over the words of each text."""
    return Both(lambda: nn.Mean(1, 2), Mean)


def tanh() -> Both:
    """The hyperbolic tangent."""
    return Both(nn.Tanh, native.Tanh)


def relu() -> Both:
    """A rectifier that writes over its input."""
    return Both(lambda: nn.ReLU(True), lambda: native.ReLU(inplace=True))


def dropout() -> Both:
    """Dropout; the nets that have it are measured in evaluation only, where it does nothing."""
    return Both(lambda: nn.Dropout(0.5), lambda: native.Dropout(0.5))


def same() -> Both:
    """The identity."""
    return Both(nn.Identity, native.Identity)


def logsoftmax() -> Both:
    """The logarithms of the probabilities of classes."""
    return Both(nn.LogSoftMax, lambda: native.LogSoftmax(1))
