"""Features of regions: sampling one image at many grids."""

from __future__ import annotations

from typing import Any

import torch

from ...errors import ModuleError
from ...nn import utils
from ...nn._kernels import resized
from ...nn._nested import buffers
from ...nn._object import need_size
from ...nn.container import Sequential
from ...nn.module import Module
from ...nn.shaping import Transpose
from ...nn.table import ParallelTable
from ..stn import AffineGridGeneratorBHWD, BilinearSamplerBHWD, sample, sample_backward
from .boxes import BoxToAffine


class _OneImage(Module):
    """One image at the points of several grids."""

    def _joined(self, input: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """The image as a batch of one, and the grids as one high grid."""
        image, grids = input
        fits = image.dim() == 3 and grids.dim() == 4 and grids.shape[3] == 2
        self._want(fits, "an image of H x W x D and grids of B x h x w x 2", input)
        return image.unsqueeze(0), grids.reshape(1, -1, *grids.shape[2:])

    def updateOutput(self, input: list[torch.Tensor]) -> torch.Tensor:
        found = sample(*self._joined(input))
        output = resized(self.output, (*input[1].shape[:3], input[0].shape[2]))
        output.view(found.shape).copy_(found)
        return output

    def updateGradInput(self, input: list[torch.Tensor], gradOutput: torch.Tensor) -> list[torch.Tensor]:
        image, grid = self._joined(input)
        grads = sample_backward(image, grid, gradOutput.reshape(*grid.shape[:3], image.shape[3]))
        if not isinstance(self.gradInput, list):
            self.gradInput = []
        for mine, grad in zip(buffers(self.gradInput, input), grads):
            mine.view(grad.shape).copy_(grad)
        return self.gradInput


class BatchBilinearSamplerBHWD(_OneImage):
    """One image at the points of several grids, interpolated linearly; zeros outside.

    Input: a list of an image, H x W x D, and grids, B x h x w x 2, as stnbhwd's BilinearSamplerBHWD takes them.
    Output: B x h x w x D.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gradInput: list = []
        self.inputImageView, self.gradInputImageView = torch.empty(0), torch.empty(0)  # the rock's scratch

    def clearState(self) -> BatchBilinearSamplerBHWD:
        return utils.clear(self, "output", "gradInput", "inputImageView", "gradInputImageView")


class NaiveBatchBilinearSamplerBHWD(_OneImage):
    """The older :class:`BatchBilinearSamplerBHWD`, which computes the same."""

    def __init__(self) -> None:
        super().__init__()
        self.sampler = BilinearSamplerBHWD()


class BilinearRoiPooling(Module):
    """The features of each region of an image, brought to one size by linear interpolation.

    Input: a list of features, planes x H x W, and N x 4 boxes in pixels of the image that the features are of, whose
    size :meth:`setImageSize` tells before every forward. Output: N x planes x height x width.

    Args:
        height, width: the output's size, from 2 on.
    """

    image_height: Any = None
    image_width: Any = None
    called_forward = called_backward = False

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        need_size(self, height=height, width=width)
        self.height, self.width = height, width
        self.box_to_affine = BoxToAffine()
        grids = Sequential().add(self.box_to_affine).add(AffineGridGeneratorBHWD(height, width))
        branches = ParallelTable().add(Transpose([1, 2], [2, 3])).add(grids)
        self.net = Sequential().add(branches).add(BatchBilinearSamplerBHWD()).add(Transpose([3, 4], [2, 3]))
        self.called_forward = self.called_backward = False

    def setImageSize(self, image_height: float, image_width: float) -> BilinearRoiPooling:
        """Tell the image's size; holds for one forward and one backward. Returns the module."""
        self.image_height, self.image_width = image_height, image_width
        self.called_forward = self.called_backward = False
        return self

    def _need_size(self, called: bool) -> None:
        if self.image_height is None or self.image_width is None or called:
            raise ModuleError("the image's size is not known: call setImageSize(height, width) before every forward")

    def updateOutput(self, input: list[torch.Tensor]) -> torch.Tensor:
        self._need_size(self.called_forward)
        self.box_to_affine.setSize(self.image_height, self.image_width)
        self.output.set_(self.net.updateOutput(input))
        self.called_forward = True
        return self.output

    def updateGradInput(self, input: list[torch.Tensor], gradOutput: torch.Tensor) -> Any:
        self._need_size(self.called_backward)
        self.gradInput = self.net.backward(input, gradOutput)
        self.called_backward = True
        self.image_height = self.image_width = None
        return self.gradInput

    def clearState(self) -> BilinearRoiPooling:
        super().clearState()
        self.net.clearState()
        return self
