"""``Pointwise``: the shape of layers that compute each element of their output from that of their input."""

from __future__ import annotations

from typing import Any

import torch

from ._guard import optional
from ._kernels import resized, resized_like
from ._object import need_tensor
from .module import Module


class Pointwise(Module):
    """What such layers share. Input, output: any size, the same.

    A subclass defines ``_function(x, y)``, which writes its value at ``x`` into ``y``, and ``_gradient(x, g, out)``,
    which writes the gradient with respect to ``x`` into ``out``, ``g`` being that with respect to the output. If the
    class can work in place (``inplace`` is true), ``y`` may be ``x`` and ``out`` may be ``g``. Where one kernel without
    settings does the whole, the class names it instead; ``_cache`` then holds the output and the size it was given, as
    asking a tensor for its size takes a good part of the time of a small layer.
    """

    inplace = False

    _kernel: Any = None
    """A kernel to be called with ``(x, out=y)``."""

    _kernel_backward: Any = None
    """A kernel to be called with ``(g, y, grad_input=out)``, ``y`` being the output."""

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        raise NotImplementedError

    def _gradient(self, x: torch.Tensor, g: torch.Tensor, out: torch.Tensor) -> None:
        raise NotImplementedError

    def _diagnose(self, input: torch.Tensor) -> None:
        need_tensor(input)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        output, kernel, shape = self.output, self._kernel, input.shape
        if kernel is not None:
            known = self._cache
            if known is None or known[0] is not output or known[1] != shape or self._last:
                self._cache = resized_like(output, input) if self._last else resized(output, shape), shape
            return kernel(input, out=output)
        if self.inplace:
            self._function(input, input)
            return output if output.is_set_to(input) else output.set_(input)
        if self._last:
            resized_like(output, input)
        elif output.shape != shape:
            resized(output, shape)
        self._function(input, output)
        return output

    @optional
    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor | None:
        gradInput, shape = self.gradInput, input.shape
        if gradInput is None:
            return None
        if gradOutput.shape != shape:
            gradOutput = self._sized(gradOutput, shape)
        kernel = self._kernel_backward
        if self.inplace and kernel is None:  # cudnn.torch left the field in classes of nn that never knew it
            self._gradient(input, gradOutput, gradOutput)
            return gradInput if gradInput.is_set_to(gradOutput) else gradInput.set_(gradOutput)
        if self._last:
            resized_like(gradInput, input)
        elif gradInput.shape != shape:
            resized(gradInput, shape)
        if kernel is not None:
            return kernel(gradOutput, self.output, grad_input=gradInput)
        self._gradient(input, gradOutput, gradInput)
        return gradInput
