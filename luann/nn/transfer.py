"""Transfer functions: non-linearities, applied to each element or along one dimension."""

from __future__ import annotations

import torch

from ..errors import ArgumentError
from . import _kernels as kernels
from ._kernels import resized
from ._object import given
from .module import Module


class Threshold(Module):
    """``y = x`` where ``x > threshold``, ``y = value`` elsewhere.

    Input, output: any size.

    Args:
        th: the threshold, default 1e-6.
        v: the value, default 0.
        ip: in place: write the output over the input, and gradInput over gradOutput; default no. Needs ``v <= th``.
    """

    inplace = False  # files older than the option lack it

    def __init__(self, th: float | None = None, v: float | None = None, ip: bool | None = None) -> None:
        super().__init__()
        self.threshold = given(th, 1e-6)
        self.val = given(v, 0)
        self.inplace = bool(ip)
        self.validateParameters()

    def validateParameters(self) -> None:
        """Raise an ArgumentError if the settings make no sense together."""
        if self.inplace and self.val > self.threshold:
            raise ArgumentError(
                f"{self._typename}: in place, value ({self.val}) must not exceed threshold ({self.threshold}), "
                "or the backward pass could not tell which elements were replaced"
            )

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        if self.inplace:
            self.validateParameters()
            torch.threshold_(input, self.threshold, self.val)
            return self.output.set_(input)
        return torch.threshold(input, self.threshold, self.val, out=resized(self.output, input.shape))

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        if self.inplace:
            kernels.threshold_backward(gradOutput, input, self.threshold, grad_input=gradOutput)
            return self.gradInput.set_(gradOutput)
        gradInput = resized(self.gradInput, input.shape)
        return kernels.threshold_backward(gradOutput, input, self.threshold, grad_input=gradInput)


class ReLU(Threshold):
    """``y = max(x, 0)``.

    Input, output: any size. At 0 the gradient is 0.

    Args:
        p: in place: write the output over the input, and gradInput over gradOutput; default no.
    """

    def __init__(self, p: bool | None = None) -> None:
        super().__init__(0, 0, p)


class Tanh(Module):
    """``y = tanh(x)``. Input, output: any size."""

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        return torch.tanh(input, out=resized(self.output, input.shape))

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        return kernels.tanh_backward(gradOutput, self.output, grad_input=resized(self.gradInput, input.shape))


class LogSoftMax(Module):
    """``y_i = log(exp(x_i) / Σ_j exp(x_j))``.

    Input, output: a vector, N x D (each row), D x H x W or N x D x H x W (each place).
    """

    def _dimension(self, input: torch.Tensor) -> int:
        self._want(1 <= input.dim() <= 4, "1 to 4 dimensions", input)
        return 1 - input.dim() % 2

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        return torch._log_softmax(input, self._dimension(input), False, out=resized(self.output, input.shape))

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        return torch._log_softmax_backward_data(
            gradOutput,
            self.output,
            self._dimension(input),
            input.dtype,
            out=resized(self.gradInput, input.shape),
        )
