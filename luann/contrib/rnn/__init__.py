"""Element-Research's ``rnn``: recurrent layers, step by step and for whole sequences, and their criterions.

    from luann.contrib import rnn

for ``require 'rnn'``. It adds methods to all modules (see :mod:`luann.contrib.rnn.module`), as the rock does.
"""

from __future__ import annotations

from . import module as _module  # noqa: F401
from .criterions import RepeaterCriterion, SequencerCriterion
from .dropout import Dropout
from .gru import GRU, MuFuRu
from .lstm import LSTM, FastLSTM
from .masking import LookupTableMaskZero, MaskZero, MaskZeroCriterion, TrimZero
from .recurrence import NormStabilizer, Recurrence, Recurrent
from .recurrent import AbstractRecurrent, Recursor
from .recursive import (
    recursiveAdd,
    recursiveCopy,
    recursiveFill,
    recursiveNew,
    recursiveNormal,
    recursiveResizeAs,
    recursiveSet,
    recursiveSum,
    recursiveTensorEq,
    recursiveType,
)
from .sequencer import AbstractSequencer, BiSequencer, BiSequencerLM, RecurrentAttention, Repeater, Sequencer
from .sequences import SeqBRNN, SeqGRU, SeqLSTM, SeqLSTMP, SeqReverseSequence
from .small import CopyGrad, ExpandAs, LinearNoBias, SAdd

__all__ = [
    "GRU",
    "LSTM",
    "AbstractRecurrent",
    "AbstractSequencer",
    "BiSequencer",
    "BiSequencerLM",
    "CopyGrad",
    "Dropout",
    "ExpandAs",
    "FastLSTM",
    "LinearNoBias",
    "LookupTableMaskZero",
    "MaskZero",
    "MaskZeroCriterion",
    "MuFuRu",
    "NormStabilizer",
    "Recurrence",
    "Recurrent",
    "RecurrentAttention",
    "Recursor",
    "Repeater",
    "RepeaterCriterion",
    "SAdd",
    "SeqBRNN",
    "SeqGRU",
    "SeqLSTM",
    "SeqLSTMP",
    "SeqReverseSequence",
    "Sequencer",
    "SequencerCriterion",
    "TrimZero",
    "recursiveAdd",
    "recursiveCopy",
    "recursiveFill",
    "recursiveNew",
    "recursiveNormal",
    "recursiveResizeAs",
    "recursiveSet",
    "recursiveSum",
    "recursiveTensorEq",
    "recursiveType",
]
