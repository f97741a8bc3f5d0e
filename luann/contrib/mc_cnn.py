"""mc-cnn (jzbontar/mc-cnn): how well the patches of two images of a scene fit each other.

What its own CUDA code computes is done by PyTorch, on any device.
"""

from __future__ import annotations

from typing import Any

import torch

from ..errors import ArgumentError
from ..nn import utils
from ..nn._kernels import resized
from ..nn._object import need_number, need_size
from ..nn.criterion import BCECriterion, Criterion
from ..nn.module import Module

__all__ = ["BCECriterion2", "Margin2", "Normalize2", "SpatialConvolution1_fw", "StereoJoin", "StereoJoin1"]

EPS = 1e-5


class Normalize2(Module):
    """Each place's vector of planes divided by its length: ``y = x / √(Σx² + 1e-5)``.

    Input, output: N x planes x H x W.
    """

    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.empty(0)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self._want(input.dim() == 4, "a batch of planes x H x W", input)
        norm = resized(self.norm, (len(input), 1, *input.shape[2:]))
        torch.sum(input * input, 1, keepdim=True, out=norm).add_(EPS)
        return torch.mul(input, norm.rsqrt(), out=resized(self.output, input.shape))

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        gradOutput = self._sized(gradOutput, input.shape)
        along = (input * gradOutput).sum(1, keepdim=True).div_(self.norm)
        gradInput = torch.mul(input, along, out=resized(self.gradInput, input.shape))
        return torch.sub(gradOutput, gradInput, out=gradInput).mul_(self.norm.rsqrt())

    def clearState(self) -> Normalize2:
        utils.clear(self, "norm")
        return super().clearState()


class StereoJoin(Module):
    """How much the left image is like the right one at each disparity: ``y[d](r, c) = Σ left(r, c) right(r, c - d)``.

    Input: 2 x planes x H x W, left and right. Output: 1 x disp_max x H x W, for d from 0; NaN where there is no right
    pixel. There is no gradient.

    Args:
        disp_max: the number of disparities.

    ``output_L`` holds the output; the field ``output`` stays empty, as in the project.
    """

    def __init__(self, disp_max: int) -> None:
        super().__init__()
        need_size(self, disp_max=disp_max)
        self.direction = -1
        self.disp_max = disp_max
        self.output_L = torch.empty(0)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self._want(input.dim() == 4 and len(input) == 2, "2 x planes x H x W", input)
        left, right = input
        wide = left.shape[2]
        output = resized(self.output_L, (1, self.disp_max, *left.shape[1:])).fill_(torch.nan)
        for d in range(min(self.disp_max, wide)):
            torch.sum(left[..., d:] * right[..., : wide - d], 0, out=output[0, d, :, d:])
        return output

    def clearState(self) -> StereoJoin:
        utils.clear(self, "output_L")
        return super().clearState()


class StereoJoin1(Module):
    """How much the samples of each pair are like each other: ``y = Σ x1 x2`` over the planes, at each place.

    Input: 2N x planes x H x W, the first and second of a pair one after the other. Output: N x 1 x H x W.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tmp = torch.empty(0)

    def _pairs(self, tensor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self._want(tensor.dim() == 4 and len(tensor) % 2 == 0, "2N x planes x H x W", tensor)
        return tensor[::2], tensor[1::2]

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        one, two = self._pairs(input)
        product = torch.mul(one, two, out=resized(self.tmp, one.shape))
        return torch.sum(product, 1, keepdim=True, out=resized(self.output, (len(one), 1, *one.shape[2:])))

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        one, two = self._pairs(input)
        gradInput = resized(self.gradInput, input.shape)
        torch.mul(two, gradOutput, out=gradInput[::2])
        torch.mul(one, gradOutput, out=gradInput[1::2])
        return gradInput

    def clearState(self) -> StereoJoin1:
        utils.clear(self, "tmp")
        return super().clearState()


class SpatialConvolution1_fw(Module):
    """A fully connected layer at every place: ``y = weight x + bias``. There is no gradient.

    Input: N x inputSize x H x W. Output: N x outputSize x H x W.

    Args:
        inputSize, outputSize: numbers of planes.

    ``weight`` (outputSize x inputSize) and ``bias`` (1 x outputSize x 1 x 1) start at 0: set them.
    """

    def __init__(self, inputSize: int, outputSize: int) -> None:
        super().__init__()
        need_size(self, inputSize=inputSize, outputSize=outputSize)
        self.weight = torch.zeros(outputSize, inputSize)
        self.bias = torch.zeros(1, outputSize, 1, 1)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        fits = input.dim() == 4 and input.shape[1] == self.weight.shape[1]
        self._want(fits, f"a batch of {self.weight.shape[1]} x H x W", input)
        output = resized(self.output, (len(input), len(self.weight), *input.shape[2:]))
        torch.matmul(self.weight, input.reshape(*input.shape[:2], -1), out=output.view(*output.shape[:2], -1))
        return output.add_(self.bias)


class Margin2(Criterion):
    """The mean of ``m = max(0, x2 - x1 + margin)`` over pairs, or of ``m² / 2``: first of a pair should be the larger.

    Input: 2N x 1 x 1 x 1, the first and second of a pair one after the other. Target: not used.

    Args:
        margin: how much the first should be larger.
        pow: 1, or 2 for the square.
    """

    def __init__(self, margin: float, pow: int) -> None:
        super().__init__()
        need_number(self, margin=margin)
        if pow not in (1, 2):
            raise ArgumentError(f"{self._typename}: pow is 1 or 2, got {pow!r}")
        self.tmp = torch.empty(0)
        self.margin, self.pow = margin, pow

    def forward(self, input: torch.Tensor, target: Any = None) -> float:
        return self.updateOutput(input, target)

    def updateOutput(self, input: torch.Tensor, target: Any = None) -> float:
        fits = input.dim() == 4 and input.shape[1:] == (1, 1, 1) and len(input) % 2 == 0
        self._want(fits, "2N x 1 x 1 x 1", input)
        pairs = input.reshape(-1, 2)
        excess = torch.sub(pairs[:, 1], pairs[:, 0], out=resized(self.tmp, (len(pairs),))).add_(self.margin)
        slope = (excess > 0).to(input.dtype) if self.pow == 1 else excess.clamp(min=0)
        slope.div_(len(pairs))
        resized(self.gradInput, input.shape).view(-1, 2).copy_(torch.stack((-slope, slope), 1))
        excess.clamp_(min=0)
        if self.pow == 2:
            excess.square_().mul_(0.5)
        self.output = excess.mean().item()
        return self.output

    def backward(self, input: torch.Tensor, target: Any = None) -> torch.Tensor:
        return self.updateGradInput(input, target)

    def updateGradInput(self, input: torch.Tensor, target: Any = None) -> torch.Tensor:
        return self.gradInput


class BCECriterion2(BCECriterion):
    """:class:`luann.nn.BCECriterion` without weights. Input, target: as there."""

    def __init__(self) -> None:
        super().__init__()
