"""multipathnet (facebookresearch/multipathnet): finding objects in images, a region at a time.

A region is a row ``(image, x1, y1, x2, y2)``.
"""

from __future__ import annotations

from typing import Any

import torch

from ..errors import ModuleError
from ..nn import utils
from ..nn._kernels import resized
from ..nn._nested import buffer
from ..nn._object import need_number, need_size
from ..nn.container import Container, Sequential
from ..nn.criterion import SmoothL1Criterion
from ..nn.module import Module
from ._needs import need_module, need_shape

__all__ = [
    "BBoxNorm",
    "BBoxRegressionCriterion",
    "ContextRegion",
    "ConvertFrom",
    "Foveal",
    "ModeSwitch",
    "NoBackprop",
    "SelectBoxes",
    "SequentialSplitBatch",
]


class NoBackprop(Container):
    """A module that is not trained: its gradients are not computed, that with respect to the input is 0.

    Input, output: those of the module; the input is a tensor.

    Args:
        inner: the module.
    """

    _version = 2

    def __init__(self, inner: Module) -> None:
        super().__init__()
        need_module(self, inner=inner)
        self.add(inner)

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        if version < 2:
            self.modules = [self.__dict__.pop("inner")]

    def updateOutput(self, input: Any) -> Any:
        self.output = self.modules[0].updateOutput(input)
        return self.output

    def updateGradInput(self, input: torch.Tensor, gradOutput: Any) -> torch.Tensor:
        self.gradInput = buffer(self.gradInput, input).zero_()
        return self.gradInput


class BBoxNorm(Module):
    """Offsets of boxes: as they are in training, ``y = x std + mean`` in evaluation, which has no gradient.

    Input, output: N x 4k. (In evaluation the project overwrites the input; luann does not.)

    Args:
        mean, std: four numbers each, 1 x 4.
    """

    def __init__(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        super().__init__()
        need_shape(self, "a tensor of 1 x 4", (1, 4), (4,), mean=mean, std=std)
        self.mean, self.std = mean, std

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self._want(input.dim() == 2 and input.shape[1] % 4 == 0, "N x a multiple of 4", input)
        if self.train:
            return self.output.set_(input)
        output = self.output.set_(torch.empty_like(input, memory_format=torch.contiguous_format))
        torch.addcmul(self.mean.view(4), input.reshape(-1, 4), self.std.view(4), out=output.view(-1, 4))
        return output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        if not self.train:
            raise ModuleError("there is no gradient in evaluation")
        return self.gradInput.set_(gradOutput)

    def clearState(self) -> BBoxNorm:
        self.__dict__.pop("_output", None)
        return super().clearState()


class Foveal(Module):
    """Four regions for each: itself, and 1.5, 2 and 4 times as large around it. There is no gradient.

    Input: N x 5. Output: 4N x 5. Computed in single precision, as in the project.
    """

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self._want(input.dim() == 2 and input.shape[1] == 5, "regions of N x 5", input)
        rows = input.float().double()
        corner, extent = rows[:, 1:3], rows[:, 3:] - rows[:, 1:3]
        made = rows.unsqueeze(1).repeat(1, 4, 1)
        for i, (before, times) in enumerate(((0.25, 1.5), (0.5, 2.0), (1.5, 4.0)), 1):
            made[:, i, 1:3] = corner - extent * before
            made[:, i, 3:] = made[:, i, 1:3] + extent * times
        return resized(self.output, (4 * len(input), 5)).copy_(made.view(-1, 5).float())


class ContextRegion(Module):
    """Regions around the same centres, ``scale`` times as large. The gradient is 0.

    Input, output: N x 5.

    Args:
        scale: the factor.
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        need_number(self, scale=scale)
        a, b = (1 + scale) / 2, (1 - scale) / 2
        self.tr = torch.tensor([[a, 0, b, 0], [0, a, 0, b], [b, 0, a, 0], [0, b, 0, a]])

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self._want(input.dim() == 2 and input.shape[1] == 5, "regions of N x 5", input)
        output = resized(self.output, input.shape).copy_(input)
        output[:, 1:] = input[:, 1:] @ self.tr
        return output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        return resized(self.gradInput, input.shape).zero_()

    def __tostring__(self) -> str:
        return f"{self._typename}({self.tr[0, 0].item() * 2 - 1:.14g})"


class ModeSwitch(Container):
    """One module in training, another in evaluation. Input, output: theirs.

    Parameters get no gradients, as in the project.

    Args:
        train_module, test_module: the two.
    """

    def __init__(self, train_module: Module, test_module: Module) -> None:
        need_module(self, train_module=train_module, test_module=test_module)
        self.train = True
        self.modules = [train_module, test_module]

    def updateOutput(self, input: Any) -> Any:
        self.output = self.modules[0 if self.train else 1].updateOutput(input)
        return self.output

    def updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        if not self.train:
            raise ModuleError("there is no gradient in evaluation")
        self.gradInput = self.modules[0].updateGradInput(input, gradOutput)
        return self.gradInput

    def __tostring__(self) -> str:
        return self._branches()


class SequentialSplitBatch(Sequential):
    """:class:`luann.nn.Sequential` that takes a large batch in parts. Gradients are right for a batch in one part only.

    Input: a tensor of two or four dimensions, or a list of two of these, the second of which is taken in parts. Output:
    as that of Sequential, a tensor.

    Args:
        size: the size of a part.
    """

    batch_size = 1

    def __init__(self, size: int) -> None:
        super().__init__()
        need_size(self, size=size)
        self.batch_size = size

    def updateOutput(self, input: Any) -> Any:
        whole = input[1] if isinstance(input, list) else input
        for tensor in input if isinstance(input, list) else [input]:
            self._want(tensor.dim() in (2, 4), "two or four dimensions", tensor)
        if len(whole) <= self.batch_size:
            return super().updateOutput(input)
        if isinstance(input, list):  # the project finds out the size of the output with one sample first
            super().updateOutput([tensor[:1] for tensor in input])
            parts = [[input[0], part] for part in whole.split(self.batch_size)]
        else:
            super().updateOutput(input[:1])
            parts = list(whole.split(self.batch_size))
        made = torch.cat([super(SequentialSplitBatch, self).updateOutput(part).clone() for part in parts])
        self.output_ = self.output = made
        return made

    def clearState(self) -> SequentialSplitBatch:
        self.__dict__.pop("output_", None)
        self.__dict__.pop("parent_output", None)
        return super().clearState()


class ConvertFrom(Module):
    """Regions moved and resized by offsets ``tx, ty, tw, th`` of their centres and sizes. There is no gradient.

    Input: a list of regions, N x 5, and offsets, N x 4. Output: N x 5.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gradInput1, self.gradInput2 = torch.empty(0), torch.empty(0)

    def updateOutput(self, input: list[torch.Tensor]) -> torch.Tensor:
        regions, offsets = input
        fits = regions.dim() == offsets.dim() == 2 and regions.shape == (len(offsets), 5) and offsets.shape[1] == 4
        self._want(fits, "regions of N x 5 and offsets of N x 4", input)
        output = resized(self.output, regions.shape)
        output[:, 0] = regions[:, 0]
        centre = (regions[:, 1:3] + regions[:, 3:]) * 0.5
        size = regions[:, 3:] - regions[:, 1:3]
        centre = torch.addcmul(centre, offsets[:, :2], size)
        half = torch.exp(offsets[:, 2:]).mul_(size).mul_(0.5)
        output[:, 1:3] = centre - half
        output[:, 3:] = centre + half
        return output

    def updateGradInput(self, input: list[torch.Tensor], gradOutput: torch.Tensor) -> list[torch.Tensor]:
        raise ModuleError("there is no gradient, as in multipathnet")


class SelectBoxes(Module):
    """The box of the class with the highest score. There is no gradient.

    Input: a list of scores, N x classes, and boxes, N x (4 classes). Output: N x 4; times ``std`` plus ``mean`` if
    these fields are set.
    """

    std: Any = None
    mean: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.gradInput_classes, self.gradInput_boxes = torch.empty(0), torch.empty(0)

    def updateOutput(self, input: list[torch.Tensor]) -> torch.Tensor:
        scores, boxes = input
        fits = scores.dim() == boxes.dim() == 2 and boxes.shape == (len(scores), 4 * scores.shape[1])
        self._want(fits, "scores of N x classes and boxes of N x (4 classes)", input)
        best = scores.max(1)[1]
        rows = torch.arange(len(best), device=best.device)
        output = resized(self.output, (len(best), 4)).copy_(boxes.reshape(*scores.shape, 4)[rows, best])
        return output if self.std is None else output.mul_(self.std).add_(self.mean)

    def updateGradInput(self, input: list[torch.Tensor], gradOutput: torch.Tensor) -> list[torch.Tensor]:
        raise ModuleError("there is no gradient, as in multipathnet")

    def clearState(self) -> SelectBoxes:
        utils.clear(self, "gradInput_classes", "gradInput_boxes", "maxvals", "maxids", "ids")
        return super().clearState()


class BBoxRegressionCriterion(SmoothL1Criterion):
    """:class:`luann.nn.SmoothL1Criterion` on the offsets of the right class only, over N.

    Input: offsets, N x (4 classes). Target: a list of N classes from 1, and offsets of the input's size. Class 1 is the
    background, which has no box.
    """

    def _kept(self, input: torch.Tensor, target: list[torch.Tensor]) -> torch.Tensor:
        """The input with zeros for all but the right class."""
        classes = target[0].reshape(-1, 1).long()
        numbers = torch.arange(1, input.shape[1] // 4 + 1, device=input.device)
        self._want(len(classes) == len(input) and input.shape == target[1].shape, "as many classes and boxes", target)
        chosen = (classes == numbers) & (numbers > 1)
        return input * chosen.repeat_interleave(4, 1)

    def updateOutput(self, input: torch.Tensor, target: list[torch.Tensor]) -> float:
        self.sizeAverage = False
        self._buffer2 = self._kept(input, target)
        self.output = super().updateOutput(self._buffer2, target[1]) / len(input)
        return self.output

    def updateGradInput(self, input: torch.Tensor, target: list[torch.Tensor]) -> torch.Tensor:
        return super().updateGradInput(self._buffer2, target[1]).div_(len(input))
