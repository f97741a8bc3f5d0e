"""neural-style (github.com/jcjohnson/neural-style): the losses that it puts into a net, and leaves there."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from .. import nn
from ..nn._kernels import resized
from ._style import _Loss
from .fast_neural_style import GramMatrix as _GramMatrix
from .texture_nets import TVLoss

__all__ = ["ContentLoss", "GramMatrix", "StyleLoss", "TVLoss"]


class GramMatrix(_GramMatrix):
    """The products of all planes of an image with one another: ``y = X Xᵀ``, X being C x (H W).

    Input: C x H x W. Output: C x C.
    """

    normalize = False

    def __init__(self) -> None:
        nn.Module.__init__(self)

    @staticmethod
    def _fits(fields: dict) -> bool:
        return not fields.keys() & {"normalize", "buffer"}

    def _rows(self, images: torch.Tensor) -> tuple[torch.Tensor, float]:
        self._want(images.dim() == 3, "C x H x W", images)
        return super()._rows(images)

    def _space(self) -> torch.Tensor:
        return self.gradInput


class _Captured(_Loss):
    """A loss that knows from its ``mode`` what to do: nothing, ``capture`` the target, or compare with it (``loss``).

    The first versions got the target when they were made and compare always.
    """

    mode = "loss"
    _keys = frozenset(("strength", "target", "normalize", "crit"))
    _others = frozenset(("active", "agg", "mask", "masks", "msk", "target_masks", "weights"))  # of other projects

    def __init__(self, strength: float, normalize: Any = None) -> None:
        super().__init__(strength)
        self.target = torch.empty(0)
        self.normalize = normalize or False
        self.loss = 0
        self.crit = nn.MSECriterion()
        self.mode = "none"


class ContentLoss(_Captured):
    """``y = x``; with ``mode`` ``loss`` the gradient of ``strength`` times the mean squared difference between input
    and ``target`` is added; with ``mode`` ``capture`` the input becomes the target.

    Input: any size. ``loss`` holds the last value. ``mode`` is a field, ``none`` at first.

    Args:
        strength: the factor.
        normalize: divide the gradient by the sum of its absolute values, default no; a number is a power of that sum.
    """

    @staticmethod
    def _fits(fields: dict) -> bool:
        return _Captured._keys <= fields.keys() and not _Captured._others & fields.keys()

    def _compares(self, input: torch.Tensor) -> bool:
        return self.mode == "loss" and ("mode" in self.__dict__ or input.numel() == self.target.numel())

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        if self._compares(input):
            self.loss = self.crit.forward(input, self.target) * self.strength
        elif self.mode == "capture":
            resized(self.target, input.shape).copy_(input)
        elif self.mode == "loss":
            warnings.warn(f"{self._typename}: input and target differ in size, so they are not compared", stacklevel=2)
        return super().updateOutput(input)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        if not self._compares(input):
            return self._passed(gradOutput)
        return self._joined(self.crit.backward(input, self.target), gradOutput, self.normalize)


class StyleLoss(_Captured):
    """``y = x``; with ``mode`` ``loss`` the gradient of ``strength`` times the mean squared difference between the
    products of all planes with one another, ``X Xᵀ / (C H W)``, and ``target`` is added.

    With ``mode`` ``capture`` the target becomes what the input gives; ``blend_weight`` times that is added to it where
    there is such a field, so that several images make one target.

    Input: C x H x W. ``loss`` holds the last value. ``mode`` is a field, ``none`` at first.

    Args:
        strength: the factor.
        normalize: divide the gradient by the sum of its absolute values, default no; a number is a power of that sum.
    """

    G: Any = None
    blend_weight: float | None = None

    def __init__(self, strength: float, normalize: Any = None) -> None:
        super().__init__(strength, normalize)
        self.gram = GramMatrix()

    @staticmethod
    def _fits(fields: dict) -> bool:
        return ContentLoss._fits(fields) and "gram" in fields

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self.G = self.gram.forward(input).div_(input.numel())
        if self.mode == "capture":
            if self.blend_weight is None:
                resized(self.target, self.G.shape).copy_(self.G)
            elif not self.target.numel():
                torch.mul(self.G, self.blend_weight, out=resized(self.target, self.G.shape))
            else:
                self.target.add_(self.G, alpha=self.blend_weight)
        elif self.mode == "loss":
            self.loss = self.strength * self.crit.forward(self.G, self.target)
        return super().updateOutput(input)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        if self.mode != "loss":
            return self._passed(gradOutput)
        grad = self.gram.backward(input, self.crit.backward(self.G, self.target).div_(input.numel()))
        return self._joined(grad.view(input.shape), gradOutput, self.normalize)
