"""Transfer functions along one dimension: the softmax family."""

from __future__ import annotations

import torch

from ._kernels import resized
from .module import Module


class _Classes(Module):
    """What the family shares: the dimension along which it works."""

    def _dimension(self, input: torch.Tensor) -> int:
        self._want(1 <= input.dim() <= 4, "1 to 4 dimensions", input)
        return 1 - input.dim() % 2


class SoftMax(_Classes):
    """``y_i = exp(x_i) / Σ_j exp(x_j)``.

    Input, output: a vector, N x D (each row), D x H x W or N x D x H x W (each place).
    """

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        return torch._softmax(input, self._dimension(input), False, out=resized(self.output, input.shape))

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        return torch._softmax_backward_data(
            self._sized(gradOutput, input.shape),
            self.output,
            self._dimension(input),
            input.dtype,
            grad_input=resized(self.gradInput, input.shape),
        )


class SpatialSoftMax(SoftMax):
    """:class:`SoftMax` of images: over the planes, at each place. It is the same function under another name.

    Input, output: D x H x W or N x D x H x W; a vector or N x D, too.
    """


class SoftMin(SoftMax):
    """``y_i = exp(-x_i) / Σ_j exp(-x_j)``: :class:`SoftMax` of the negated input. Input, output: as there."""

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        return super().updateOutput(-input)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        return super().updateGradInput(input, gradOutput).neg_()


class LogSoftMax(_Classes):
    """``y_i = log(exp(x_i) / Σ_j exp(x_j))``.

    Input, output: a vector, N x D (each row), D x H x W or N x D x H x W (each place).
    """

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        return torch._log_softmax(input, self._dimension(input), False, out=resized(self.output, input.shape))

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        return torch._log_softmax_backward_data(
            self._sized(gradOutput, input.shape),
            self.output,
            self._dimension(input),
            input.dtype,
            out=resized(self.gradInput, input.shape),
        )


class SpatialLogSoftMax(LogSoftMax):
    """:class:`LogSoftMax` of images: over the planes, at each place. It is the same function under another name.

    Input, output: D x H x W or N x D x H x W; a vector or N x D, too.
    """
