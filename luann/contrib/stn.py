"""stnbhwd (qassemoquab/stnbhwd): spatial transformers over images of batch x height x width x depth.

A transform is a 2 x 3 matrix that takes points ``(y, x, 1)`` of the output to points ``(y, x)`` of the image.
Coordinates are those of the image's height and width, -1 and 1 being the centres of the outermost pixels.
"""

from __future__ import annotations

from typing import Any

import torch

from ..errors import ArgumentError
from ..nn._kernels import resized
from ..nn._nested import buffers
from ..nn._object import need_size
from ..nn.module import Module

__all__ = ["AffineGridGeneratorBHWD", "AffineTransformMatrixGenerator", "BilinearSamplerBHWD"]

_sample_backward = torch.ops.aten.grid_sampler_2d_backward.default._op
_BILINEAR, _ZEROS = 0, 0


def sample(images: torch.Tensor, grids: torch.Tensor) -> torch.Tensor:
    """What B x H x W x D images are at the points of B x h x w x 2 grids: a new tensor, B x h x w x D.

    Points between pixels are interpolated linearly; outside there are zeros.
    """
    # With height and width swapped PyTorch takes the points as (y, x). It finds them exactly as the rock does: the two
    # differ in where they halve, which rounds nothing.
    found = torch.grid_sampler_2d(images.permute(0, 3, 2, 1), grids, _BILINEAR, _ZEROS, True)
    return found.permute(0, 2, 3, 1)


def sample_backward(
    images: torch.Tensor, grids: torch.Tensor, gradOutput: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of :func:`sample` with respect to images and grids."""
    gradOutput, images = gradOutput.permute(0, 3, 1, 2), images.permute(0, 3, 2, 1)
    grads = _sample_backward(gradOutput, images, grids, _BILINEAR, _ZEROS, True, [True, True])
    return grads[0].permute(0, 3, 2, 1), grads[1]


class AffineGridGeneratorBHWD(Module):
    """The points of the image that the pixels of the output come from, for affine transforms.

    Input: B x 2 x 3 matrices, or one 2 x 3. Output: B x height x width x 2, or height x width x 2: ``(y, x)`` each.

    Args:
        height, width: the output's size, from 2 on.

    ``baseGrid`` holds ``(y, x, 1)`` of each pixel of the output.
    """

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        need_size(self, height=height, width=width)
        if min(height, width) < 2:
            raise ArgumentError(f"{self._typename}: height and width are from 2 on, got {height} and {width}")
        self.height, self.width = height, width
        self.baseGrid = torch.ones(height, width, 3)
        for column, size in enumerate((height, width)):
            places = torch.arange(size, dtype=torch.float64).div_(size - 1).mul_(2).sub_(1)
            self.baseGrid[..., column] = places.unsqueeze(1 - column)
        self.batchGrid = self.baseGrid.unsqueeze(0).clone()  # the rock repeats baseGrid here

    def _points(self, count: int) -> torch.Tensor:
        return self.baseGrid.view(1, self.height * self.width, 3).expand(count, -1, -1)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self._want(input.dim() in (2, 3) and input.shape[-2:] == (2, 3), "a 2x3 matrix, or a batch of these", input)
        matrices = input.reshape(-1, 2, 3)
        count = len(matrices)
        output = resized(self.output, (*input.shape[:-2], self.height, self.width, 2))
        torch.bmm(self._points(count), matrices.transpose(1, 2), out=output.view(count, -1, 2))
        return output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        gradInput = resized(self.gradInput, input.shape)
        count = input.numel() // 6
        gradOutput = gradOutput.reshape(count, self.height * self.width, 2)
        torch.bmm(gradOutput.transpose(1, 2), self._points(count), out=gradInput.view(count, 2, 3))
        return gradInput


class AffineTransformMatrixGenerator(Module):
    """The matrices of affine transforms from their parameters: rotation, then scale, then translation.

    Input: B x parameters, or one vector of them. They are, as far as used and in this order: the angle (a positive one
    turns ``y`` towards ``x``), the scale (or one for each dimension, as in a version of the rock), two translations;
    without any of these, the six entries of the matrix themselves. Output: B x 2 x 3, or 2 x 3.

    Args:
        useRotation, useScale, useTranslation: which to use; none of them means the full matrix.
    """

    useRotation = useScale = useTranslation = None

    def __init__(
        self, useRotation: bool | None = None, useScale: bool | None = None, useTranslation: bool | None = None
    ) -> None:
        super().__init__()
        self.fullMode = not (useRotation or useScale or useTranslation)
        if not self.fullMode:
            for name, value in zip(
                ("useRotation", "useScale", "useTranslation"), (useRotation, useScale, useTranslation)
            ):
                if value is not None:
                    setattr(self, name, value)

    def _parameters(self, rows: torch.Tensor) -> list[Any]:
        """Angles, scales and translations in the columns of ``rows``, each ``None`` if not used."""
        count = rows.shape[1]
        sizes = [int(bool(self.useRotation)), int(bool(self.useScale)), 2 * bool(self.useTranslation)]
        if self.useScale and count == sum(sizes) + 1:
            sizes[1] = 2
        self._want(count == sum(sizes), f"{sum(sizes)} parameters for each transform", rows)
        return [part if part.shape[1] else None for part in rows.split(sizes, 1)]

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self._want(input.dim() in (1, 2), "a vector, or a batch of these", input)
        size = (*input.shape[:-1], 2, 3)
        if self.fullMode:
            self._want(input.shape[-1] == 6, "6 parameters for each transform", input)
            return self.output.set_(input.reshape(size))
        rows = input.reshape(-1, input.shape[-1])
        angles, scales, translations = self._parameters(rows)
        linear = rows.new_zeros(len(rows), 2, 2)
        diagonal = linear.diagonal(dim1=1, dim2=2)
        if angles is None:
            diagonal.fill_(1)
        else:
            diagonal.copy_(angles.cos())
            sines = angles[:, 0].sin()
            linear[:, 1, 0] = sines
            linear[:, 0, 1] = -sines
        self.rotationOutput = linear
        self.scaleOutput = linear = linear if scales is None else linear * scales.unsqueeze(1)
        output = resized(self.output, size)
        matrices = output.view(-1, 2, 3)
        matrices[:, :, :2] = linear
        if translations is None:
            matrices[:, :, 2] = 0
        else:
            matrices[:, :, 2:] = linear @ translations.unsqueeze(2)
        return output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        gradInput = resized(self.gradInput, input.shape)
        if self.fullMode:
            return gradInput.copy_(gradOutput.reshape(input.shape))
        grad = gradOutput.reshape(-1, 2, 3)
        gradLinear, gradShift = grad[:, :, :2], grad[:, :, 2:]
        rows = input.reshape(-1, input.shape[-1])
        angles, scales, translations = self._parameters(rows)
        gradAngles, gradScales, gradTranslations = self._parameters(gradInput.view(rows.shape))
        if translations is not None:
            gradTranslations.copy_((self.scaleOutput.transpose(1, 2) @ gradShift)[:, :, 0])
            gradLinear = gradLinear + gradShift * translations.unsqueeze(1)
        if scales is not None:
            gradScales.copy_((self.rotationOutput * gradLinear).sum(1).sum_to_size(scales.shape))
            gradLinear = gradLinear * scales.unsqueeze(1)
        if angles is not None:
            cosines, sines = angles[:, 0].cos(), angles[:, 0].sin()
            turned = (gradLinear[:, 1, 0] - gradLinear[:, 0, 1]) * cosines
            gradAngles[:, 0] = turned - (gradLinear[:, 0, 0] + gradLinear[:, 1, 1]) * sines
        return gradInput


class BilinearSamplerBHWD(Module):
    """Images at the points of grids, interpolated linearly; zeros outside.

    Input: a list of images, B x H x W x D, and grids, B x h x w x 2, ``(y, x)`` each; either may be one without a batch
    dimension. Output: B x h x w x D, without a batch dimension if the images had none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gradInput: list = []

    def _batches(self, input: list[torch.Tensor]) -> list[torch.Tensor]:
        images, grids = batches = [t if t.dim() == 4 else t.unsqueeze(0) for t in input]
        fits = images.dim() == grids.dim() == 4 and len(images) == len(grids) and grids.shape[3] == 2
        self._want(fits, "images of B x H x W x D and grids of B x h x w x 2", input)
        return batches

    def updateOutput(self, input: list[torch.Tensor]) -> torch.Tensor:
        found = sample(*self._batches(input))
        found = found.squeeze(0) if input[0].dim() == 3 else found
        return resized(self.output, found.shape).copy_(found)

    def updateGradInput(self, input: list[torch.Tensor], gradOutput: torch.Tensor) -> list[torch.Tensor]:
        images, grids = self._batches(input)
        grads = sample_backward(images, grids, self._sized(gradOutput, (*grids.shape[:3], images.shape[3])))
        if gradOutput.dim() == 3:
            grads = grads[0].squeeze(0), grads[1].squeeze(0)
        for mine, grad in zip(buffers(self.gradInput, grads), grads):
            mine.copy_(grad)
        return self.gradInput
