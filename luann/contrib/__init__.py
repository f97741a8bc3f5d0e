"""Classes of the other rocks that public Torch7 models and scripts use, one module per rock.

A rock's classes are found in its module: ``from luann.contrib import rnn`` for ``require 'rnn'``, then
``rnn.FastLSTM(10, 10)`` for ``nn.FastLSTM(10, 10)``. Files load them without further ado, by their Torch7 names.
"""

from __future__ import annotations

from . import (
    adain,
    char_rnn,
    crnn,
    cudnn,
    cunn,
    cyclegan,
    deepmask,
    densecap,
    densenet,
    dpnn,
    eyescream,
    fast_neural_style,
    inn,
    mc_cnn,
    msdnet,
    multipathnet,
    neural_style,
    nnx,
    rnn,
    stn,
    texture_nets,
    torch_rnn,
    waifu2x,
    xnor_net,
)

__all__ = [
    "adain",
    "char_rnn",
    "crnn",
    "cudnn",
    "cunn",
    "cyclegan",
    "deepmask",
    "densecap",
    "densenet",
    "dpnn",
    "eyescream",
    "fast_neural_style",
    "inn",
    "mc_cnn",
    "msdnet",
    "multipathnet",
    "neural_style",
    "nnx",
    "rnn",
    "stn",
    "texture_nets",
    "torch_rnn",
    "waifu2x",
    "xnor_net",
]
