"""deepmask (facebookresearch/deepmask): proposals of objects in images, DeepMask and SharpMask.

The nets stay on the CPU until ``cuda()``.
"""

from __future__ import annotations

import functools
from typing import Any

import torch

from ..errors import ArgumentError
from ..nn._kernels import resized
from ..nn._object import need_size
from ..nn.container import Container, Sequential
from ..nn.convert import Copy
from ..nn.dropout import Dropout
from ..nn.identity import Identity
from ..nn.linear import Linear
from ..nn.module import Module
from ..nn.padding import SpatialZeroPadding
from ..nn.shaping import View
from ..nn.table import CAddTable, ParallelTable
from ..nn.transfer import Threshold
from ..nn.upsampling import SpatialUpSamplingNearest
from ..t7 import load
from ..table import Table
from ._needs import need_module, option, refuse
from .cudnn import ReLU, SpatialConvolution
from .inn import SpatialConstAffine
from .nnx import SpatialReSamplingEx

__all__ = [
    "BNtoFixed",
    "DeepMask",
    "SharpMask",
    "SpatialConstDiagonal",
    "SpatialSymmetricPadding",
    "linear2convHead",
    "linear2convTrunk",
    "updatePadding",
]


class SpatialConstDiagonal(SpatialConstAffine, typename="nn.SpatialConstDiagonal"):
    """``y = a x + b`` with constants for each plane, which are no parameters: a batch normalisation at rest.

    Input, output: N x planes x H x W.

    Args:
        nOutputPlane: the number of planes.
        inplace: write the output over the input, and gradInput over gradOutput; default no.

    ``a`` starts at 1, ``b`` at 0.
    """

    def __init__(self, nOutputPlane: int, inplace: bool | None = None) -> None:
        super().__init__(nOutputPlane)
        del self.inplace
        if inplace is not None:
            self.inplace = bool(inplace)


@functools.lru_cache(256)
def _mirrored(size: int, before: int, after: int) -> torch.Tensor:
    """Which of ``size`` elements each one of the padded dimension shows; -1 for none, which is a zero."""
    kept = list(range(max(-before, 0), size + min(after, 0)))
    places = [-1] * max(before, 0) + kept + [-1] * max(after, 0)
    for i in range(before):
        places[before - 1 - i] = places[before + i]
    for i in range(after):
        places[len(places) - after + i] = places[len(places) - after - 1 - i]
    return torch.tensor(places, dtype=torch.int64, device="cpu")


class SpatialSymmetricPadding(SpatialZeroPadding):
    """Rows and columns added at the sides that mirror the image, the one at the edge included; cut off if negative.

    The gradient is that of padding with zeros: as in the project the mirrored pixels give none.

    Input: N x planes x H x W. Output: the same, with (pad_t + H + pad_b) x (pad_l + W + pad_r).

    Args:
        pad_l, pad_r, pad_t, pad_b: as those of :class:`luann.nn.SpatialZeroPadding`.
    """

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self._want(input.dim() == 4, "a batch of planes x H x W", input)
        left, right, top, bottom = padding = self._padding()
        size = self._size(input, padding)
        fits = size[2] >= max(2 * top, 2 * bottom, 1) and size[3] >= max(2 * left, 2 * right, 1)
        self._want(fits, "planes larger than the padding", input)
        rows, columns = _mirrored(input.shape[2], top, bottom), _mirrored(input.shape[3], left, right)
        output = resized(self.output, size)
        lines = input.index_select(2, rows.clamp(min=0).to(input.device))
        torch.index_select(lines, 3, columns.clamp(min=0).to(input.device), out=output)
        for dim, places in ((2, rows), (3, columns)):  # mirrors that show padding which is filled later
            if (places < 0).any():
                output.index_fill_(dim, (places < 0).nonzero().squeeze(1).to(input.device), 0)
        return output


class _Parts(Container):
    """What the two nets share: parts that are kept in fields of their own, not in ``modules``."""

    def _parts(self) -> list[Module]:
        raise NotImplementedError

    def applyToModules(self, func: Any) -> None:
        for module in self._parts():
            func(module)

    def training(self) -> None:
        self.applyToModules(lambda module: module.training())

    def evaluate(self) -> None:
        self.applyToModules(lambda module: module.evaluate())

    def apply(self, callback: Any) -> None:
        callback(self)
        for module in self._parts():
            module.apply(callback)

    def parameters(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """The parameters of the parts, and their gradients."""
        pairs = [module.parameters() for module in self._parts()]
        return [p for ps, _ in pairs for p in ps or ()], [g for _, gs in pairs for g in gs or ()]

    def share(self, mlp: Any, *names: str) -> Any:
        for mine, theirs in zip(self._parts(), mlp._parts(), strict=True):
            mine.share(theirs, *names)
        return self


class DeepMask(_Parts):
    """A net with a common trunk and two heads: one for the mask of an object, one for its score.

    It has no forward of its own: run ``trunk``, then ``maskBranch`` and ``scoreBranch`` on what that gives.

    Args:
        config: a table of ``iSz``, ``oSz``, ``gSz`` (the sizes of the input, of the mask, and of the mask enlarged),
            ``batch``, and ``scratch``, whether to draw all parameters anew.
        trunk: the net that the trunk is made of, as ResNet-50 ends: 1024 planes, then four layers that are removed; by
            default the file ``pretrained/resnet-50.t7``.
    """

    trunk: Any = None
    maskBranch: Any = None
    scoreBranch: Any = None

    def __init__(self, config: dict, trunk: Any = None) -> None:
        super().__init__()
        del self.modules  # the project does not call the constructor of its base
        iSz, batch, oSz, gSz = (option(self, config, name) for name in ("iSz", "batch", "oSz", "gSz"))
        need_size(self, iSz=iSz, batch=batch, oSz=oSz, gSz=gSz)
        self.fSz = iSz // 16
        if not self.fSz:
            refuse(self, "iSz", "16 or more", iSz)
        features = 128 * self.fSz * self.fSz
        trunk = load("pretrained/resnet-50.t7") if trunk is None else trunk
        need_module(self, trunk=trunk)
        BNtoFixed(trunk, True)
        for _ in range(4):
            trunk.remove()
        trunk.add(SpatialZeroPadding(-1, -1, -1, -1)).add(SpatialConvolution(1024, 128, 1, 1, 1, 1)).add(ReLU())
        trunk.add(View(batch, features)).add(Linear(features, 512))
        if config.get("scratch"):
            for module in trunk.modules:
                if module.weight is not None:
                    module.reset()
        updatePadding(trunk, SpatialSymmetricPadding)
        self.trunk = trunk
        self.maskBranch = Sequential().add(Sequential().add(Linear(512, oSz * oSz)))
        if gSz > oSz:
            enlarged = SpatialReSamplingEx({"owidth": gSz, "oheight": gSz, "mode": "bilinear"})
            self.maskBranch.add(
                Sequential()
                .add(Copy())
                .add(View(batch, oSz, oSz))
                .add(enlarged)
                .add(View(batch, gSz * gSz))
                .add(Copy())
            )
        scored = Sequential().add(Dropout(0.5)).add(Linear(512, 1024)).add(Threshold(0, 1e-6))
        self.scoreBranch = scored.add(Dropout(0.5)).add(Linear(1024, 1))

    def _parts(self) -> list[Module]:
        return [self.trunk, self.maskBranch, self.scoreBranch]

    def inference(self) -> None:
        """Make the net one for whole scenes: fully connected layers become convolutions, in evaluation."""
        self.evaluate()
        linear2convTrunk(self.trunk, self.fSz)
        linear2convHead(self.scoreBranch)
        linear2convHead(self.maskBranch.modules[0])
        self.maskBranch = self.maskBranch.modules[0]


class SharpMask(_Parts):
    """DeepMask's trunk, and modules that refine its mask step by step with what the trunk saw at larger sizes.

    Input: images, as for the trunk. Output: masks, batch x (gSz gSz); after :meth:`inference` N x 1 x gSz x gSz.

    Args:
        config: a table of ``km``, ``ks`` (the numbers of planes, multiples of 16), ``batch``, ``gSz``, and ``dm``, the
            folder in which ``model.t7`` holds a DeepMask as the field ``model``.
        deepmask: that DeepMask itself, in the place of the folder.

    Gradients go to the refinement only, ``refs``; ``parameters()`` are those of ``refs``.
    """

    refs: Any = None
    trunk: Any = None
    scoreBranch: Any = None
    maskBranchDM: Any = None

    def __init__(self, config: dict, deepmask: DeepMask | None = None) -> None:
        super().__init__()
        del self.modules
        self.km, self.ks, batch, gSz = (option(self, config, name) for name in ("km", "ks", "batch", "gSz"))
        need_size(self, km=self.km, ks=self.ks, batch=batch, gSz=gSz)
        if self.km % 16 or self.ks % 16:
            raise ArgumentError(f"{self._typename}: km and ks are multiples of 16, got {self.km} and {self.ks}")
        self.skpos = [8, 6, 5, 3]
        self.inps: list = []
        deepmask = load(f"{option(self, config, 'dm')}/model.t7")["model"] if deepmask is None else deepmask
        if not isinstance(deepmask, DeepMask):
            refuse(self, "deepmask", "a DeepMask", deepmask)
        self.trunk, self.scoreBranch = deepmask.trunk, deepmask.scoreBranch
        self.maskBranchDM, self.fSz = deepmask.maskBranch, deepmask.fSz
        self.neths, self.netvs = self._horizontal(), self._vertical(batch)
        self.refs = Table({0: self.netvs[0]})
        for i, neth in enumerate(self.neths, 1):
            branches = ParallelTable().add(neth).add(self.netvs[i])
            self.refs[i] = Sequential().add(branches).add(CAddTable(True)).add(ReLU()).add(SpatialUpSamplingNearest(2))
        final, planes = self.refs[len(self.neths)], self.km // 2 ** len(self.neths)
        _mirrored_convolution(final, planes, 1).add(View(batch, gSz**2))

    def _vertical(self, batch: int) -> Table:
        """The nets on the way down, from 0."""
        first = Sequential().add(Linear(512, self.fSz * self.fSz * self.km))
        nets = Table({0: first.add(View(batch, self.km, self.fSz, self.fSz))})
        for i in range(len(self.skpos)):
            planes = self.km // 2**i
            nets[i + 1] = net = _mirrored_convolution(Sequential(), planes, planes).add(ReLU())
            _mirrored_convolution(net, planes, planes // 2)
        return nets

    def _horizontal(self) -> list[Module]:
        """The nets from the trunk's layers to the refinement."""
        nets: list[Module] = []
        for i, (given, hidden, crop) in enumerate(((1024, 64, 0), (512, 64, -2), (256, 64, -4), (64, 32, -8))):
            planes, net = self.ks // 2**i, Sequential()
            if crop:
                net.add(SpatialZeroPadding(crop, crop, crop, crop))
            _mirrored_convolution(net, given, hidden).add(ReLU())
            _mirrored_convolution(net, hidden, planes).add(ReLU())
            nets.append(_mirrored_convolution(net, planes, planes // 2))
        return nets

    def _refinements(self) -> list[Module]:
        """``refs`` in their order, from 0."""
        return [self.refs[i] for i in range(len(self.refs))]

    def _parts(self) -> list[Module]:
        return [self.trunk, self.scoreBranch, self.maskBranchDM, *self._refinements()]

    def parameters(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        pairs = [module.parameters() for module in self._refinements()]
        return [p for ps, _ in pairs for p in ps or ()], [g for _, gs in pairs for g in gs or ()]

    def zeroGradParameters(self) -> None:
        for module in self._refinements():
            module.zeroGradParameters()

    def updateParameters(self, learningRate: float) -> None:
        for module in self._refinements():
            module.updateParameters(learningRate)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        first, *others = self._refinements()
        now = first.updateOutput(self.trunk.updateOutput(input))
        self.inps = []
        for place, module in zip(self.skpos, others):
            self.inps.append([self.trunk.modules[place - 1].output, now])
            now = module.updateOutput(self.inps[-1])
        self.output = now
        return now

    def backward(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> torch.Tensor:
        """The gradients of the refinement; returned is that with respect to the trunk's output."""
        first, *others = self._refinements()
        for given, module in zip(reversed(self.inps), reversed(others)):
            gradOutput = module.backward(given, gradOutput, scale)[1]
        self.gradInput = first.backward(self.trunk.output, gradOutput, scale)
        return self.gradInput

    def setnpinference(self, np: int) -> None:
        """Set for how many proposals the refinement is made."""
        view = self.refs[0].modules[1]
        view.resetSize(np, *list(view.size)[1:])

    def inference(self, np: int) -> None:
        """Make the net one for whole scenes, of which ``np`` proposals are refined, in evaluation.

        What the horizontal nets give is then to be computed for the whole scene and put into the trunk's place.
        """
        self.evaluate()
        self.refs[len(self.refs) - 1].remove()
        self.trunk.modules[7] = Identity()
        for module in self._refinements()[1:]:
            module.modules[0].modules[0] = Identity()
        self.setnpinference(np)
        linear2convTrunk(self.trunk, self.fSz)
        linear2convHead(self.scoreBranch)
        self.maskBranchDM = self.maskBranchDM.modules[0]


def _mirrored_convolution(net: Sequential, given: int, made: int) -> Sequential:
    """Add a convolution by 3 x 3 windows that keeps the size, with mirrored padding."""
    return net.add(SpatialSymmetricPadding(1, 1, 1, 1)).add(SpatialConvolution(given, made, 3, 3, 1, 1))


def BNtoFixed(net: Module, ip: bool | None = None) -> Module:
    """Put a :class:`SpatialConstDiagonal` in the place of every batch normalisation of images; returns the net.

    As in the project it divides by the deviation without eps.

    Args:
        net: a net; it is changed.
        ip: have the new layers work in place, default no.
    """

    def fixed(module: Any) -> Module:
        if "SpatialBatchNormalization" not in module._typename:
            return module
        made = SpatialConstDiagonal(module.running_mean.numel(), ip).type(module.type())
        a, b = made.a.view(-1), made.b.view(-1)
        a.copy_(module.running_var.pow(-0.5))
        b.copy_(module.running_mean).neg_().mul_(a)
        if module.weight is not None:
            a.mul_(module.weight)
            b.mul_(module.weight).add_(module.bias)
        return made

    return net.replace(fixed)


def _convolution(linear: Any, size: int) -> SpatialConvolution:
    """The convolution by ``size`` x ``size`` windows that computes what a Linear does with one window."""
    outputs, inputs = linear.weight.shape
    made = SpatialConvolution(inputs // (size * size), outputs, size, size, 1, 1).type(linear.weight.dtype)
    made.weight.copy_(linear.weight.view(made.weight.shape))
    made.gradWeight.copy_(made.weight)
    made.bias.copy_(linear.bias)
    return made


def linear2convTrunk(net: Module, fSz: int) -> Module:
    """Turn a trunk into one for whole scenes: each Linear becomes a convolution by fSz x fSz; returns the net."""

    def turned(module: Module) -> Module:
        name = module._typename
        if "Linear" in name:
            return _convolution(module, fSz)
        if "Threshold" in name:
            return ReLU()
        return Identity() if "View" in name or "SpatialZeroPadding" in name else module

    return net.replace(turned)


def linear2convHead(net: Module) -> Module:
    """Turn a head into one for whole scenes: each Linear becomes a convolution by 1 x 1, View and Copy go; returns the
    net.
    """
    name = net._typename
    if "Linear" in name:
        return _convolution(net, 1)
    if "Threshold" in name:
        return ReLU()
    if net.modules:
        kept = [m for m in net.modules if "View" not in m._typename and "Copy" not in m._typename]
        net.modules[:] = [linear2convHead(m) for m in kept]
    return net


def updatePadding(net: Any, padding: Any) -> Any:
    """Pad with a layer of its own before every 3 x 3 and 7 x 7 convolution of a net of Sequential and ConcatTable.

    Args:
        net: a net; it is changed.
        padding: the class of the layer.

    Returns:
        -1, or, for a convolution, the padding that it had and now wants.
    """
    if net._typename in ("nn.Sequential", "nn.ConcatTable"):
        for i, module in enumerate(net.modules):
            wanted = updatePadding(module, padding)
            if wanted != -1:
                width, height = wanted
                net.modules[i] = Sequential().add(padding(width, width, height, height)).add(module)
    elif net._typename in ("nn.SpatialConvolution", "cudnn.SpatialConvolution") and net.kW == net.kH in (3, 7):
        wanted = [net.padW, net.padH]
        net.padW = net.padH = 0
        return wanted
    return -1
