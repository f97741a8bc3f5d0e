"""``Pointwise``: the shape of layers that compute each element of their output from that of their input."""

from __future__ import annotations

import torch

from ._kernels import resized
from ._object import need_tensor
from .module import Module


class Pointwise(Module):
    """What such layers share. Input, output: any size, the same.

    A subclass defines ``_function(x, y)``, which writes its value at ``x`` into ``y``, and ``_gradient(x, g, out)``, which writes
    the gradient with respect to ``x`` into ``out``, ``g`` being that with respect to the output. If the class can work in place
    (``inplace`` is true), ``y`` may be ``x`` and ``out`` may be ``g``.
    """

    inplace = False

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        raise NotImplementedError

    def _gradient(self, x: torch.Tensor, g: torch.Tensor, out: torch.Tensor) -> None:
        raise NotImplementedError

    def _diagnose(self, input: torch.Tensor) -> None:
        need_tensor(input)

    def _alike(self, gradOutput: torch.Tensor, input: torch.Tensor) -> torch.Tensor:
        """``gradOutput`` in the size of ``input``; PyTorch's kernels would stretch a smaller one."""
        shape = input.shape
        if gradOutput.shape == shape:
            return gradOutput
        size = "x".join(map(str, shape))
        self._want(gradOutput.numel() == input.numel(), f"a gradOutput of {size}, as the input is", gradOutput)
        return gradOutput.reshape(shape)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        if self.inplace:
            self._function(input, input)
            return self.output.set_(input)
        output = resized(self.output, input.shape)
        self._function(input, output)
        return output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        gradOutput = self._alike(gradOutput, input)
        if self.inplace:
            self._gradient(input, gradOutput, gradOutput)
            return self.gradInput.set_(gradOutput)
        gradInput = resized(self.gradInput, input.shape)
        self._gradient(input, gradOutput, gradInput)
        return gradInput
