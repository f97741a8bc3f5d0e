"""DenseNet (liuzhuang13/DenseNet): nets whose layers see the outputs of all before them."""

from __future__ import annotations

from typing import Any

import torch

from ..nn._kernels import resized
from ..nn._nested import buffer
from ..nn._object import need_size
from ..nn.container import Container, Sequential
from ._needs import option
from .cudnn import ReLU, SpatialBatchNormalization, SpatialConvolution

__all__ = ["DenseConnectLayerCustom"]


class _Braced(Container):
    """A container shown as the projects around DenseNet show theirs."""

    def __tostring__(self) -> str:
        head, tail = f"{self._typename} {{\n  input", "output\n}"
        name = self._typename.removeprefix("nn.")
        return f"{name} {{\n  {{input}}{self._branches()[len(head) : -len(tail)]}{{output}}\n}}"


class DenseConnectLayerCustom(_Braced):
    """A layer that adds planes to those that there are: all go through normalisation, ReLU and convolutions.

    Input: a tensor, N x planes x H x W, or a list of these. Output: the list of the input's tensors, then the new one
    with ``growthRate`` planes.

    Args:
        nChannels: the number of planes of the input, all together.
        opt: a table of ``growthRate``, ``bottleneck`` (whether a 1 x 1 convolution to four times as many planes goes
            before) and ``optMemory`` (4: what was computed forwards is computed once more on the way back).

    ``net1`` and ``net2`` are the normalisation with its ReLU, and the rest.
    """

    opt: Any = None
    net1: Any = None
    net2: Any = None

    def __init__(self, nChannels: int, opt: dict) -> None:
        super().__init__()
        self.train = True
        growth = option(self, opt, "growthRate")
        need_size(self, nChannels=nChannels, growthRate=growth)
        self.opt = opt
        norm = SpatialBatchNormalization(nChannels)
        setattr(norm, "__shareGradInputKey", "first")
        self.net1 = Sequential().add(norm).add(ReLU(True))
        self.net2 = Sequential()
        if opt.get("bottleneck"):
            self.net2.add(SpatialConvolution(nChannels, 4 * growth, 1, 1, 1, 1, 0, 0))
            nChannels = 4 * growth
            self.net2.add(SpatialBatchNormalization(nChannels)).add(ReLU(True))
        self.net2.add(SpatialConvolution(nChannels, growth, 3, 3, 1, 1, 1, 1))
        self.input_c = torch.empty(0)
        self.saved_bn_running_mean, self.saved_bn_running_var = torch.empty(0), torch.empty(0)
        self.gradInput: list = []
        self.output: list = []
        self.modules = [self.net1, self.net2]

    def _joined(self, input: Any) -> torch.Tensor:
        """All planes of the input, in ``input_c`` if they are several tensors."""
        if isinstance(input, torch.Tensor):
            return input
        first = input[0]
        size = (len(first), sum(t.shape[1] for t in input), *first.shape[2:])
        return torch.cat(list(input), 1, out=resized(self.input_c, size))

    def updateOutput(self, input: Any) -> list[torch.Tensor]:
        made = self.net2.updateOutput(self.net1.updateOutput(self._joined(input)))
        self.output[:] = [input, made] if isinstance(input, torch.Tensor) else [*input, made]
        return self.output

    def updateGradInput(self, input: Any, gradOutput: list[torch.Tensor]) -> Any:
        planes = self._joined(input)
        if self.opt.get("optMemory") == 4:  # another layer may have overwritten what net1 gave
            norm = self.net1.modules[0]
            kept = [(t, t.clone()) for t in (norm.running_mean, norm.running_var)]
            self.net1.updateOutput(planes)
            for tensor, value in kept:
                tensor.copy_(value)
        grad = self.net2.updateGradInput(self.net1.output, gradOutput[-1])
        grad = self.net1.updateGradInput(planes, grad)
        if isinstance(input, torch.Tensor):
            self.gradInput = buffer(self.gradInput, input)
            return torch.add(gradOutput[0], grad, out=self.gradInput)
        mine = self.gradInput if isinstance(self.gradInput, list) else []
        mine += [None] * (len(input) - len(mine))
        parts = grad.split([t.shape[1] for t in input], 1)
        self.gradInput = [torch.add(g, p, out=buffer(m, p)) for m, g, p in zip(mine, gradOutput, parts)]
        return self.gradInput

    def accGradParameters(self, input: Any, gradOutput: list[torch.Tensor], scale: float = 1) -> None:
        self.net2.accGradParameters(self.net1.output, gradOutput[-1], scale)
        planes = input if isinstance(input, torch.Tensor) else self.input_c
        self.net1.accGradParameters(planes, self.net2.gradInput, scale)
