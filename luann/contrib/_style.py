"""What the losses of the rocks for style transfer share: layers that hand their input on and add to the gradient."""

from __future__ import annotations

from typing import Any

import torch

from ..nn._kernels import resized
from ..nn._object import need_number
from ..nn.identity import _HandingOn, handed_on


class _Loss(_HandingOn):
    """``y = x``; the gradient is gradOutput and ``strength`` times that of a criterion ``crit`` of the input.

    ``loss`` holds ``strength`` times what the criterion said last.
    """

    strength: float = 1
    loss: float = 0
    normalize: Any = False
    crit: Any

    def __init__(self, strength: float) -> None:
        super().__init__()
        need_number(self, strength=strength)
        self.strength = strength

    def _passed(self, gradOutput: torch.Tensor) -> torch.Tensor:
        """Hand gradOutput on."""
        self.gradInput = handed_on(self.gradInput, gradOutput)
        return self.gradInput

    def _joined(self, grad: torch.Tensor, gradOutput: torch.Tensor, normalize: Any = False) -> torch.Tensor:
        """Make ``gradInput`` of the criterion's gradient, which is changed.

        ``normalize``: divide it by the sum of its absolute values first.
        """
        if normalize:
            grad.div_(torch.linalg.vector_norm(grad, 1).pow_(normalize).add_(1e-8))
        return self._passed(grad.mul_(self.strength).add_(self._sized(gradOutput, grad.shape)))


class _TotalVariation(_HandingOn):
    """``y = x``; the gradient is gradOutput and ``strength`` times that of the squared differences between neighbours,
    halved. The last row and column count as neighbours only.
    """

    strength: float

    def __init__(self, strength: float) -> None:
        super().__init__()
        need_number(self, strength=strength)
        self.strength = strength
        self.x_diff, self.y_diff = torch.empty(0), torch.empty(0)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        inner = input[..., :-1, :-1]
        x_diff = torch.sub(inner, input[..., :-1, 1:], out=resized(self.x_diff, inner.shape))
        y_diff = torch.sub(inner, input[..., 1:, :-1], out=resized(self.y_diff, inner.shape))
        gradInput = resized(self.gradInput, input.shape).zero_()
        gradInput[..., :-1, :-1].add_(x_diff).add_(y_diff)
        gradInput[..., :-1, 1:].sub_(x_diff)
        gradInput[..., 1:, :-1].sub_(y_diff)
        return gradInput.mul_(self.strength).add_(self._sized(gradOutput, input.shape))
