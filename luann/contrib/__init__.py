"""Classes of the other rocks that public Torch7 models and scripts use, one module per rock.

A rock's classes are found in its module: ``from luann.contrib import rnn`` for ``require 'rnn'``, then
``rnn.FastLSTM(10, 10)`` for ``nn.FastLSTM(10, 10)``. Files load them without further ado, by their Torch7 names.
"""

from __future__ import annotations

__all__: list[str] = []
