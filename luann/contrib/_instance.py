"""What the InstanceNormalizations of several rocks share."""

from __future__ import annotations

from typing import Any

import torch

from .. import nn, random
from ..errors import ArgumentError, ModuleError
from ..nn._object import given, need_size
from ..nn.identity import handed_on


class _InstanceNormalization(nn.Module):
    """Each plane of each image normalised by itself, then scaled and shifted:
    ``y = (x - mean) / √(var + eps) * weight + bias``.

    As in the rocks the work is done by ``bn``, an ``nn.SpatialBatchNormalization`` of N · nOutput planes that is given
    the images as a batch of one, and made anew whenever N changes; that draws random numbers. What Torch7 made of a
    batch of one in training changed with time. As in the last one ``mean`` and ``var`` are the running statistics of
    ``bn``, 0 and 1 at first, which stay as they are; with :attr:`own_statistics` they are those of each plane, as they
    had been before.

    ``weight`` (drawn from 0 to 1) and ``bias`` (0) have nOutput numbers. ``updateGradInput`` adds to their gradients,
    every time it is called, and no ``scale`` matters.
    """

    eps = 1e-5
    bn: Any = None
    own_statistics = False
    """Whether each plane is normalised with its own mean and variance, as in earlier versions of Torch7; nets trained
    with these need it. To be set on the class, or on one object.
    """

    _counter = "prev_N"
    """The field that keeps the number of images that ``bn`` is for."""

    _dims: tuple[int, ...] = (3, 4)
    """What an input may have: 3 is a single image."""

    def __init__(self, nOutput: int, eps: float | None) -> None:
        super().__init__()
        need_size(self, nOutput=nOutput)
        self.eps = given(eps, 1e-5)
        self.nOutput = nOutput
        setattr(self, self._counter, -1)

    def _make_parameters(self, affine: bool | None) -> None:
        if affine is not None and not isinstance(affine, bool):
            raise ArgumentError(f"{self._typename}: affine must be true or false, got {affine!r}")
        if affine is not False:
            self.weight = random.uniform(torch.empty(self.nOutput))
            self.bias = torch.zeros(self.nOutput)
            self.gradWeight, self.gradBias = torch.zeros(self.nOutput), torch.zeros(self.nOutput)

    def _new_bn(self, count: int) -> Any:
        """A ``bn`` for so many images."""
        return nn.SpatialBatchNormalization(count * self.nOutput, self.eps, None, self.weight is not None)

    def _renew(self, count: int) -> None:
        """Make ``bn`` anew, if it is not for so many images."""
        if self.bn is None or getattr(self, self._counter) != count or self.bn.type() != self.type():
            self.bn = self._new_bn(count).type(self.type())
            setattr(self, self._counter, count)
        if isinstance(self.bn, _Alone) is not bool(self.own_statistics):
            self.bn.__class__ = _Alone if self.own_statistics else nn.SpatialBatchNormalization

    def _planes(self, images: torch.Tensor) -> torch.Tensor:
        """All planes of all images, as one image."""
        return images.reshape(1, -1, *images.shape[-2:])

    def _want_images(self, input: torch.Tensor) -> int:
        """Check the size of the input; returns the number of images."""
        dims = input.dim()
        fits = dims in self._dims and input.shape[-3] == self.nOutput
        images = f"{self.nOutput} x H x W"
        self._want(fits, f"{images}, or a batch of these" if 3 in self._dims else f"N x {images}", input)
        return input.shape[0] if dims == 4 else 1

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        count = self._want_images(input)
        self._renew(count)
        bn = self.bn
        if self.weight is not None:
            bn.weight.view(count, -1).copy_(self.weight)
            bn.bias.view(count, -1).copy_(self.bias)
        self.output = handed_on(self.output, bn.updateOutput(self._planes(input)).view(input.shape))
        return self.output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> Any:
        bn = self.bn
        if bn is None:
            raise ModuleError("forward must come before backward")
        gradOutput = self._sized(gradOutput, input.shape)
        bn.zeroGradParameters()
        gradInput = bn.backward(self._planes(input), self._planes(gradOutput))
        if self.weight is not None:
            self.parameters()  # makes gradients that are missing
            self.gradWeight.add_(bn.gradWeight.view(-1, self.nOutput).sum(0))
            self.gradBias.add_(bn.gradBias.view(-1, self.nOutput).sum(0))
        self.gradInput = handed_on(self.gradInput, gradInput.view(input.shape))
        return self.gradInput

    def clearState(self) -> Any:
        if self.bn is not None:
            self.bn.clearState()
        return super().clearState()


class _Alone(nn.SpatialBatchNormalization, typename="nn.SpatialBatchNormalization"):
    """One that in training takes the statistics of a batch of one, too."""

    def _own_statistics(self, input: torch.Tensor) -> bool:
        return self.train


class _Training(_InstanceNormalization):
    """What those share that keep ``bn`` in training."""

    def _renew(self, count: int) -> None:
        super()._renew(count)
        self.bn.train = True
