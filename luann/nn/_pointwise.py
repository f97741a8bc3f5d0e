"""``Pointwise``: the shape of layers that compute each element of their output from that of their input."""

from __future__ import annotations

import torch

from ._kernels import resized
from ._object import need_tensor
from .module import Module


class Pointwise(Module):
    """What such layers share. Input, output: any size, the same.

    A subclass defines ``_function(x, y)``, which writes its value at ``x`` into ``y``, and ``_gradient(x, g, out)``,
    which writes the gradient with respect to ``x`` into ``out``, ``g`` being that with respect to the output. If the
    class can work in place (``inplace`` is true), ``y`` may be ``x`` and ``out`` may be ``g``.
    """

    inplace = False

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        raise NotImplementedError

    def _gradient(self, x: torch.Tensor, g: torch.Tensor, out: torch.Tensor) -> None:
        raise NotImplementedError

    def _diagnose(self, input: torch.Tensor) -> None:
        need_tensor(input)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        output = self.output
        if self.inplace:
            self._function(input, input)
            return output.set_(input)
        self._function(input, resized(output, input.shape))
        return output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        gradInput, shape = self.gradInput, input.shape
        gradOutput = self._sized(gradOutput, shape)
        if self.inplace:
            self._gradient(input, gradOutput, gradOutput)
            return gradInput.set_(gradOutput)
        self._gradient(input, gradOutput, resized(gradInput, shape))
        return gradInput
