"""CycleGAN (github.com/junyanz/CycleGAN), and CartoonGAN's test code, whose InstanceNormalization is the same."""

from __future__ import annotations

import torch

from .. import nn
from ..nn._kernels import resized
from .texture_nets import InstanceNormalization

__all__ = ["InstanceNormalization", "VGG_postprocess"]


class VGG_postprocess(nn.Module):
    """Images from -1 to 1 as VGG wants them: ``127.5 (x + 1)`` minus the mean of each channel (BGR).

    The gradient is ``gradOutput / 127.5``, as in CycleGAN. (CycleGAN computes both in place.)

    Input, output: N x 3 x H x W.
    """

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self._want(input.dim() == 4 and input.shape[1] == 3, "N x 3 x H x W", input)
        output = torch.add(input, 1, out=resized(self.output, input.shape)).mul_(127.5)
        return output.sub_(output.new_tensor([103.939, 116.779, 123.68]).view(3, 1, 1))

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        return torch.div(gradOutput, 127.5, out=resized(self.gradInput, gradOutput.shape))
