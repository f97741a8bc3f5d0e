"""Transfer functions along one dimension: the softmax family."""

from __future__ import annotations

from typing import Any

import torch

from ._kernels import resized
from .module import Module


class _Classes(Module):
    """What the family shares: the dimension along which it works.

    A subclass defines ``_function(x, dim, False, out=y)`` and ``_gradient(g, y, dim, dtype, out)``.
    """

    _rereads = ("output",)

    _function: Any = None
    _gradient: Any = None

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        output, shape = self.output, input.shape
        dims = len(shape)
        if not 1 <= dims <= 4:
            self._want(False, "1 to 4 dimensions", input)
        if output.shape != shape:
            resized(output, shape)
        return self._function(input, 1 - dims % 2, False, out=output)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        gradInput, shape = self.gradInput, input.shape
        if gradOutput.shape != shape:
            gradOutput = self._sized(gradOutput, shape)
        if gradInput.shape != shape:
            resized(gradInput, shape)
        self._gradient(gradOutput, self.output, 1 - len(shape) % 2, input.dtype, gradInput)
        return gradInput


class SoftMax(_Classes):
    """``y_i = exp(x_i) / Σ_j exp(x_j)``.

    Input, output: a vector, N x D (each row), D x H x W or N x D x H x W (each place).
    """

    _function = staticmethod(torch._softmax)

    @staticmethod
    def _gradient(g: torch.Tensor, y: torch.Tensor, dim: int, dtype: torch.dtype, out: torch.Tensor) -> None:
        torch._softmax_backward_data(g, y, dim, dtype, grad_input=out)


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

    _function = staticmethod(torch._log_softmax)

    @staticmethod
    def _gradient(g: torch.Tensor, y: torch.Tensor, dim: int, dtype: torch.dtype, out: torch.Tensor) -> None:
        torch._log_softmax_backward_data(g, y, dim, dtype, out=out)


class SpatialLogSoftMax(LogSoftMax):
    """:class:`LogSoftMax` of images: over the planes, at each place. It is the same function under another name.

    Input, output: D x H x W or N x D x H x W; a vector or N x D, too.
    """
