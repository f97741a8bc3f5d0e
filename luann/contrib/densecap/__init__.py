"""densecap (jcjohnson/densecap): finding regions in images and describing each in words.

A box is ``(xc, yc, w, h)``: its centre and its size, in pixels of the input image, whose first pixel is 1. The offsets
of a box from an anchor are ``tx, ty, tw, th``: ``x = xa + wa tx``, ``y = ya + ha ty``, ``w = wa exp(tw)``,
``h = ha exp(th)``.
"""

from .boxes import (
    ApplyBoxTransform,
    BoxIoU,
    BoxToAffine,
    InvertBoxTransform,
    MakeAnchors,
    MakeBoxes,
    RegularizeLayer,
    ReshapeBoxFeatures,
)
from .criterions import BoxRegressionCriterion, LogisticCriterion, OurCrossEntropyCriterion
from .model import DenseCapModel, LanguageModel
from .pooling import BatchBilinearSamplerBHWD, BilinearRoiPooling, NaiveBatchBilinearSamplerBHWD
from .regions import BoxSampler, BoxSamplerHelper, LocalizationLayer, PosSlicer

__all__ = [
    "ApplyBoxTransform",
    "BatchBilinearSamplerBHWD",
    "BilinearRoiPooling",
    "BoxIoU",
    "BoxRegressionCriterion",
    "BoxSampler",
    "BoxSamplerHelper",
    "BoxToAffine",
    "DenseCapModel",
    "InvertBoxTransform",
    "LanguageModel",
    "LocalizationLayer",
    "LogisticCriterion",
    "MakeAnchors",
    "MakeBoxes",
    "NaiveBatchBilinearSamplerBHWD",
    "OurCrossEntropyCriterion",
    "PosSlicer",
    "RegularizeLayer",
    "ReshapeBoxFeatures",
]
