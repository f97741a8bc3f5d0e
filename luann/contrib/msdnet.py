"""MSDNet (gaohuang/MSDNet): nets of several scales with classifiers on the way, to stop early where it is easy.

``opt`` is the project's table of options: ``nScales``, ``grFactor``, ``bnFactor`` (a factor of planes for each scale),
``bottleneck``, ``joinType`` (``'concat'`` or ``'add'``), and for the whole net ``nBlocks``, ``base``, ``step``,
``stepmode``, ``prune``, ``reduction``, ``growthRate``, ``dataset``.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from ..errors import ArgumentError
from ..nn._nested import buffer
from ..nn._object import given, need_number, need_size
from ..nn.container import Sequential
from ..nn.identity import Identity
from ..nn.linear import Linear
from ..nn.shaping import Reshape
from ..nn.table import CAddTable, JoinTable, ParallelTable
from ._needs import listed, option, refuse
from .cudnn import ReLU, SpatialAveragePooling, SpatialBatchNormalization, SpatialConvolution, SpatialFullConvolution
from .densenet import _Braced

__all__ = ["CustomAdd", "JointTrain", "JointTrainModule", "MSDNet_Layer", "MSDNet_Layer_first", "MSDNet_Layer_initial"]


def _convolved(net: Sequential, convolution: Any) -> Sequential:
    """Add a convolution, its normalisation and a ReLU."""
    return net.add(convolution).add(SpatialBatchNormalization(convolution.nOutputPlane)).add(ReLU(True))


def _path(nChannels: int, nOutChannels: int, kind: str, bottleneck: bool | None, bnWidth: int | None) -> Sequential:
    """The way from one scale to the same (``'normal'``), the next smaller (``'down'``) or larger one (``'up'``)."""
    net, inner = Sequential(), nChannels
    if bottleneck is True:
        inner = min(inner, given(bnWidth, 4) * nOutChannels)
        _convolved(net, SpatialConvolution(nChannels, inner, 1, 1, 1, 1, 0, 0))
    if kind == "up":
        return _convolved(net, SpatialFullConvolution(inner, nOutChannels, 3, 3, 2, 2, 1, 1, 1, 1))
    step = 2 if kind == "down" else 1
    return _convolved(net, SpatialConvolution(inner, nOutChannels, 3, 3, step, step, 1, 1))


def _joined(*paths: Any) -> Sequential:
    """The tensors of a list, each but the first through its path, side by side."""
    branches = ParallelTable().add(Identity())
    for path in paths:
        branches.add(path)
    return Sequential().add(branches).add(JoinTable(2))


def _checked(cls: object, opt: Any, nChannels: int, *factors: str) -> int:
    """``nScales``, after a look at ``nChannels`` and at the options ``factors``, lists of a number for each scale."""
    scales = option(cls, opt, "nScales")
    need_size(cls, nChannels=nChannels, nScales=scales)
    for name in factors:
        for factor in listed(cls, opt, name, scales):
            need_size(cls, **{name: factor})
    return scales


class _Chain(_Braced):
    """Modules one after the other; the output is the list of what each gives.

    Attributes:
        output: the outputs, of which the containers keep copies.
    """

    def _inputs(self, input: torch.Tensor) -> list[torch.Tensor]:
        return [input, *self.output[:-1]]

    def updateOutput(self, input: torch.Tensor) -> list[torch.Tensor]:
        mine = self.output + [None] * (len(self.modules) - len(self.output))
        for i, module in enumerate(self.modules):
            input = module.updateOutput(input)
            mine[i] = input = buffer(mine[i], input).copy_(input)
        self.output = mine
        return mine

    def updateGradInput(self, input: torch.Tensor, gradOutput: list[torch.Tensor]) -> torch.Tensor:
        # the project adds up in gradOutput, which luann leaves as it is
        sums: list[torch.Tensor] = [gradOutput[len(self.modules) - 1]]
        for i in range(len(self.modules) - 1, 0, -1):
            back = self.modules[i].updateGradInput(self.output[i - 1], sums[0])
            sums.insert(0, gradOutput[i - 1] + back)
        self._cache = sums
        back = self.modules[0].updateGradInput(input, sums[0])
        self.gradInput = None if back is None else buffer(self.gradInput, back).copy_(back)
        return self.gradInput

    def accGradParameters(self, input: torch.Tensor, gradOutput: list[torch.Tensor], scale: float = 1) -> None:
        for module, x, g in zip(self.modules, self._inputs(input), self._cache):
            module.accGradParameters(x, g, scale)


class MSDNet_Layer_first(_Chain):
    """An image at several scales: convolutions with a step of 2, one after the other, the first with a step of 1.

    Input: N x nChannels x H x W. Output: a list of ``nScales`` tensors, scale ``i`` with
    ``nOutChannels grFactor[i]`` planes.

    Args:
        nChannels, nOutChannels: numbers of planes.
        opt: the options.
    """

    def __init__(self, nChannels: int, nOutChannels: int, opt: dict) -> None:
        super().__init__()
        scales = _checked(self, opt, nChannels, "grFactor")
        need_size(self, nOutChannels=nOutChannels)
        self.train = True
        self.nChannels, self.nOutChannels, self.opt = nChannels, nOutChannels, opt
        for i in range(scales):
            planes, step = nOutChannels * opt["grFactor"][i], 2 if i else 1
            self.add(_convolved(Sequential(), SpatialConvolution(nChannels, planes, 3, 3, step, step, 1, 1)))
            nChannels = planes
        self.output: list = []


class MSDNet_Layer_initial(_Chain):
    """Planes at several scales: the first is the input, the others convolutions with a step of 2.

    Input: N x planes x H x W. Output: a list of ``nScales`` tensors, scale ``i`` with ``nChannels grFactor[i]`` planes.

    Args:
        nChannels: what the numbers of planes are multiples of.
        opt: the options.
    """

    def __init__(self, nChannels: int, opt: dict) -> None:
        super().__init__()
        scales = _checked(self, opt, nChannels, "grFactor")
        self.train = True
        self.nChannels, self.opt = nChannels, opt
        planes = [nChannels * factor for factor in opt["grFactor"]]
        self.add(Sequential().add(Identity()))
        for i in range(1, scales):
            self.add(_convolved(Sequential(), SpatialConvolution(planes[i - 1], planes[i], 3, 3, 2, 2, 1, 1)))
        self.output: list = []


class MSDNet_Layer(_Braced):
    """A layer of several scales, each of which sees itself and the next larger one; all their planes are kept.

    Input: a list of ``inScales`` tensors, from the largest. Output: a list of ``outScales`` tensors; with one scale
    less than the input, the largest is left out.

    Args:
        nChannels: the input's numbers of planes are ``nChannels grFactor[i]``.
        nOutChannels: as many times ``grFactor[i]`` are added.
        opt: the options.
        inScales, outScales: default ``nScales``.
    """

    gIn: Any = None

    def __init__(
        self, nChannels: int, nOutChannels: int, opt: dict, inScales: int | None = None, outScales: int | None = None
    ) -> None:
        super().__init__()
        self.nScales = _checked(self, opt, nChannels, "grFactor", "bnFactor")
        need_size(self, nOutChannels=nOutChannels)
        self.train = True
        self.nChannels, self.nOutChannels, self.opt = nChannels, nOutChannels, opt
        self.inScales, self.outScales = given(inScales, self.nScales), given(outScales, self.nScales)
        need_size(self, inScales=self.inScales, outScales=self.outScales)
        self.discard = self.inScales - self.outScales
        if self.discard > 1:
            raise ArgumentError(f"{self._typename}: from {self.inScales} to {self.outScales} scales at once")
        offset = self.nScales - self.outScales
        growth, width, bottleneck = opt["grFactor"], opt["bnFactor"], opt.get("bottleneck")
        for i in range(offset, self.nScales):
            made = nOutChannels * growth[i]
            if i == offset and self.outScales >= self.inScales:
                self.add(_joined(_path(nChannels * growth[i], made, "normal", bottleneck, width[i])))
                continue
            sizes = nChannels * growth[i - 1], nChannels * growth[i], made, bottleneck, width[i - 1], width[i]
            if i == offset or option(self, opt, "joinType") == "concat":
                self.add(self._two(*sizes))
            elif opt["joinType"] == "add":
                self.add(CustomAdd(*sizes))
            else:
                refuse(self, "joinType", "concat or add", opt["joinType"])
        self.real_input: list = []
        self.gradInput: list = []
        self.gIn: list = []
        self.output: list = []

    def _two(
        self, larger: int, same: int, made: int, bottleneck: bool | None, bnWidth1: int, bnWidth2: int
    ) -> Sequential:
        if made % 2:
            raise ArgumentError(f"{self._typename}: an even number of planes must be added, got {made}")
        down = _path(larger, made // 2, "down", bottleneck, bnWidth1)
        return _joined(down, _path(same, made // 2, "normal", bottleneck, bnWidth2))

    def _sources(self) -> list[list[int]]:
        """For each output, which of the input's tensors its module gets."""
        if self.discard:
            return [[i + 1, i, i + 1] for i in range(self.outScales)]
        return [[0, 0], *([i, i - 1, i] for i in range(1, self.outScales))]

    def updateOutput(self, input: list[torch.Tensor]) -> list[torch.Tensor]:
        self.real_input = [[input[i] for i in source] for source in self._sources()]
        self.output = [module.updateOutput(x) for module, x in zip(self.modules, self.real_input)]
        return self.output

    def updateGradInput(self, input: list[torch.Tensor], gradOutput: list[torch.Tensor]) -> list[torch.Tensor]:
        mine = given(self.gradInput, [])
        mine = [buffer(old, x).zero_() for old, x in zip(mine + [None] * (self.inScales - len(mine)), input)]
        self.gIn = []
        for module, source, x, g in zip(self.modules, self._sources(), self.real_input, gradOutput):
            self.gIn.append(module.updateGradInput(x, g))
            for i, grad in zip(source, self.gIn[-1]):
                mine[i].add_(grad)
        self.gradInput = mine
        return mine

    def accGradParameters(self, input: list[torch.Tensor], gradOutput: list[torch.Tensor], scale: float = 1) -> None:
        for module, x, g in zip(self.modules, self.real_input, gradOutput):
            module.accGradParameters(x, g, scale)

    def clearState(self) -> MSDNet_Layer:
        super().clearState()
        self.real_input, self.gIn = [], []
        return self


class CustomAdd(_Braced):
    """The planes of a scale, and beside them the sum of what is made of the next larger one and of itself.

    Input: a list of the scale's planes, those of the larger scale, and the scale's again. Output: a tensor.

    Args:
        nChannels1, nChannels2: numbers of planes of the larger scale and of the scale.
        nOutChannels: the number of planes that are made.
        bottleneck: whether 1 x 1 convolutions go before.
        bnWidth1, bnWidth2: how many times ``nOutChannels`` planes these make at most; default 4.
    """

    def __init__(
        self,
        nChannels1: int,
        nChannels2: int,
        nOutChannels: int,
        bottleneck: bool | None = None,
        bnWidth1: int | None = None,
        bnWidth2: int | None = None,
    ) -> None:
        super().__init__()
        self.train = True
        down = _path(nChannels1, nOutChannels, "down", bool(bottleneck), bnWidth1)
        same = _path(nChannels2, nOutChannels, "normal", bool(bottleneck), bnWidth2)
        self.add(Sequential().add(ParallelTable().add(down).add(same)).add(CAddTable(True))).add(JoinTable(2))

    def updateOutput(self, input: list[torch.Tensor]) -> torch.Tensor:
        added, join = self.modules
        self.output = join.updateOutput([input[0], added.updateOutput(input[1:])])
        return self.output

    def updateGradInput(self, input: list[torch.Tensor], gradOutput: torch.Tensor) -> list[torch.Tensor]:
        added, join = self.modules
        kept, back = join.updateGradInput([input[0], added.output], gradOutput)
        self.gradInput = [kept, *added.updateGradInput(input[1:], back)]
        return self.gradInput

    def accGradParameters(self, input: list[torch.Tensor], gradOutput: torch.Tensor, scale: float = 1) -> None:
        added, join = self.modules
        added.accGradParameters(input[1:], join.gradInput[1], scale)


def _transition(nIn: int, nOut: int, factors: list[int]) -> ParallelTable:
    """A 1 x 1 convolution to fewer planes at each scale."""
    net = ParallelTable()
    for factor in factors:
        net.add(_convolved(Sequential(), SpatialConvolution(nIn * factor, nOut * factor, 1, 1, 1, 1, 0, 0)))
    return net


def _classifier(nChannels: int, inner: int, classes: int) -> Sequential:
    net = Sequential()
    for given_planes in (nChannels, inner):
        _convolved(net, SpatialConvolution(given_planes, inner, 3, 3, 2, 2, 1, 1))
    return net.add(SpatialAveragePooling(2, 2)).add(Reshape(inner)).add(Linear(inner, classes))


class JointTrainModule(_Braced):
    """A whole MSDNet: blocks of layers one after the other, and a classifier behind each.

    Input: N x 3 x H x W. Output: the list of the classifiers' outputs, N x classes each.

    Args:
        nChannels: the number of planes that the first layer makes, times ``grFactor``.
        opt: the options; ``dataset`` is ``'cifar10'``, ``'cifar100'`` or ``'imagenet'``.

    ``modules`` holds the ``nBlocks`` blocks, then the classifiers. (The project's constructor also prints and saves how
    many layers there are in each block; luann's does not.)
    """

    nBlocks = 0
    opt: Any = None

    def __init__(self, nChannels: int, opt: dict) -> None:
        super().__init__()
        last = _checked(self, opt, nChannels, "grFactor") - 1
        nBlocks, base, growth = (option(self, opt, name) for name in ("nBlocks", "base", "growthRate"))
        need_size(self, nBlocks=nBlocks, base=base, growthRate=growth)
        need_number(self, reduction=option(self, opt, "reduction"))
        if option(self, opt, "prune") not in ("min", "max"):
            refuse(self, "prune", "min or max", opt["prune"])
        self.train = True
        self.nChannels, self.nBlocks, self.opt = nChannels, nBlocks, opt
        steps = [base]
        if nBlocks > 1:
            step, mode = option(self, opt, "step"), option(self, opt, "stepmode")
            need_size(self, step=step)
            if mode not in ("even", "lin_grow"):
                refuse(self, "stepmode", "even or lin_grow", mode)
            steps += [step if mode == "even" else step * i + 1 for i in range(1, nBlocks)]
        classes = {"cifar10": 10, "cifar100": 100, "imagenet": 1000}.get(option(self, opt, "dataset"))
        if classes is None:
            refuse(self, "dataset", "cifar10, cifar100 or imagenet", opt["dataset"])
        classifiers, done = [], 0
        for step in steps:
            block, nChannels = self._block(nChannels, step, sum(steps), done)
            done += step
            self.add(block)
            planes = nChannels * opt["grFactor"][last]
            classifiers.append(_classifier(planes, planes if opt["dataset"] == "imagenet" else 128, classes))
        self.modules += classifiers
        self.gradInput: list = []
        self.output: list = []

    def _scales(self, layer: int, layers: int) -> tuple[int, int]:
        """How many scales the layer of this number, from 1, gets and gives."""
        scales, prune = self.opt["nScales"], self.opt["prune"]
        if prune == "min":
            return min(scales, layers - layer + 2), min(scales, layers - layer + 1)
        interval = math.ceil(layers / scales)
        return scales - max(0, layer - 2) // interval, scales - (layer - 1) // interval

    def _block(self, nIn: int, step: int, layers: int, done: int) -> tuple[Sequential, int]:
        """``step`` layers behind those that are ``done``; also how many planes come out, over ``grFactor``."""
        opt, block = self.opt, Sequential()
        if done == 0:
            block.add(MSDNet_Layer_first(3, nIn, opt))
        for layer in range(done + 1, done + step + 1):
            before, after = self._scales(layer, layers)
            block.add(MSDNet_Layer(nIn, opt["growthRate"], opt, before, after))
            nIn += opt["growthRate"]
            third = layer in (layers // 3, 2 * layers // 3)
            if opt["reduction"] > 0 and (before > after if opt["prune"] == "max" else third):
                reduced = math.floor(opt["reduction"] * nIn)
                block.add(_transition(nIn, reduced, opt["grFactor"][opt["nScales"] - after : opt["nScales"]]))
                nIn = reduced
        return block, nIn

    def _inputs(self, input: torch.Tensor) -> list[Any]:
        """What each block gets."""
        return [input, *(block.output for block in self.modules[: self.nBlocks - 1])]

    def updateOutput(self, input: torch.Tensor) -> list[torch.Tensor]:
        self.output = []
        now: Any = input
        for block, classifier in zip(self.modules[: self.nBlocks], self.modules[self.nBlocks :]):
            now = block.updateOutput(now)
            self.output.append(classifier.updateOutput(now[-1]))
        return self.output

    def updateGradInput(self, input: torch.Tensor, gradOutput: list[torch.Tensor]) -> Any:
        inputs = self._inputs(input)
        back: Any = None
        self._cache = [None] * self.nBlocks
        for i in range(self.nBlocks - 1, -1, -1):
            block, classifier = self.modules[i], self.modules[self.nBlocks + i]
            grads = [torch.zeros_like(x) for x in block.output] if back is None else list(back)
            grads[-1] = grads[-1] + classifier.updateGradInput(block.output[-1], gradOutput[i])
            self._cache[i] = grads
            back = block.updateGradInput(inputs[i], grads)
        self.gradInput = back
        return back

    def accGradParameters(self, input: torch.Tensor, gradOutput: list[torch.Tensor], scale: float = 1) -> None:
        inputs = self._inputs(input)
        for i in range(self.nBlocks - 1, -1, -1):
            block, classifier = self.modules[i], self.modules[self.nBlocks + i]
            classifier.accGradParameters(block.output[-1], gradOutput[i], scale)
            block.accGradParameters(inputs[i], self._cache[i], scale)


class JointTrain(JointTrainModule):
    """The older name of :class:`JointTrainModule`."""
