"""Classes of the other rocks that public Torch7 models and scripts use, one module per rock.

A rock's classes are found in its module: ``from luann.contrib import rnn`` for ``require 'rnn'``, then
``rnn.FastLSTM(10, 10)`` for ``nn.FastLSTM(10, 10)``. Files load them without further ado, by their Torch7 names.
"""

from __future__ import annotations

from . import (
    adain,
    crnn,
    cyclegan,
    densecap,
    dpnn,
    fast_neural_style,
    inn,
    neural_style,
    nnx,
    stn,
    texture_nets,
    waifu2x,
)

__all__ = [
    "adain",
    "crnn",
    "cyclegan",
    "densecap",
    "dpnn",
    "fast_neural_style",
    "inn",
    "neural_style",
    "nnx",
    "stn",
    "texture_nets",
    "waifu2x",
]
