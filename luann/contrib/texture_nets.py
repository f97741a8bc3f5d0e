"""texture_nets (github.com/DmitryUlyanov/texture_nets): InstanceNormalization, layers of noise, circular padding, and
losses.
"""

from __future__ import annotations

from typing import Any

import torch

from .. import nn, random
from ..nn._kernels import resized
from ..nn._nested import buffer, zeroed
from ..nn._object import given, need_size
from ..nn.identity import _HandingOn, handed_on
from ..types import Storage, tensor_typename
from ._instance import _InstanceNormalization
from ._needs import need_count, need_shape
from ._style import _Loss, _TotalVariation

__all__ = [
    "ContentLoss",
    "DummyGradOutput",
    "GenNoise",
    "InstanceNormalization",
    "NoiseFill",
    "SpatialCircularPadding",
    "TVLoss",
    "TextureLoss",
]


class InstanceNormalization(_InstanceNormalization):
    """Each plane of each image normalised by itself: ``y = (x - mean) / √(var + eps) * weight + bias``.

    All planes go as a batch of one through ``bn``, an ``nn.SpatialBatchNormalization``. As in the last Torch7 ``mean``
    and ``var`` are then its running ones, 0 and 1; with ``own_statistics`` set, on the class or on an object, they are
    those of each plane, as in earlier versions, which trained nets need.

    ``running_mean`` and ``running_var`` are those of ``bn``, averaged over the images, as they were
    before the last forward. ``training()`` and ``evaluate()`` do nothing. The classes of CycleGAN and CartoonGAN are
    this one.

    Input, output: N x nOutput x H x W.

    Args:
        nOutput: the number of planes of an image.
        eps: added to the variance, default 1e-5.
        momentum: that of ``bn``, default 0.
        affine: whether there are ``weight`` and ``bias``, default yes.
    """

    _counter = "prev_batch_size"
    _dims = (4,)

    def __init__(
        self, nOutput: int, eps: float | None = None, momentum: float | None = None, affine: bool | None = None
    ) -> None:
        super().__init__(nOutput, eps)
        self.running_mean, self.running_var = torch.zeros(nOutput), torch.ones(nOutput)
        self.momentum = given(momentum, 0)
        self.affine = affine is not False
        self._make_parameters(affine)

    @staticmethod
    def _fits(fields: dict) -> bool:
        return "prev_batch_size" in fields

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        if "_type" not in self.__dict__:  # the first version did not call Module's constructor
            self._type = tensor_typename(self.running_mean.dtype, self.running_mean.is_cuda)

    def _new_bn(self, count: int) -> Any:
        bn = nn.SpatialBatchNormalization(count * self.nOutput, self.eps, self.momentum, self.weight is not None)
        bn.running_mean.view(count, -1).copy_(self.running_mean)
        bn.running_var.view(count, -1).copy_(self.running_var)
        return bn

    def _renew(self, count: int) -> None:
        super()._renew(count)
        torch.mean(self.bn.running_mean.view(count, -1), 0, out=self.running_mean)
        torch.mean(self.bn.running_var.view(count, -1), 0, out=self.running_var)

    def training(self) -> None:
        """Nothing."""

    def evaluate(self) -> None:
        """Nothing."""


class DummyGradOutput(_HandingOn):
    """``y = x``; the gradient is 0. Input, output: anything, tables too."""

    def __init__(self) -> None:
        super().__init__()
        del self.gradInput

    def updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        self.gradInput = zeroed(self.gradInput, input)
        return self.gradInput


class NoiseFill(nn.Module):
    """The input with its last planes filled with noise, drawn between 0 and ``mult``; the gradient is gradOutput.

    Input, output: N x C x any size.

    Args:
        num_noise_channels: how many planes to fill, at most C.

    ``mult`` is a field, 1 at first.
    """

    mult: float = 1
    num_noise_channels: int

    def __init__(self, num_noise_channels: int) -> None:
        super().__init__()
        need_count(self, num_noise_channels=num_noise_channels)
        self.num_noise_channels = num_noise_channels
        self.mult = 1

    @staticmethod
    def _fits(fields: dict) -> bool:
        return "num_noise_channels" in fields and not fields.keys() & {"num_mask_noise_times", "buffer"}

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        kept = input.shape[1] - self.num_noise_channels
        self._want(kept >= 0, f"{self.num_noise_channels} planes at least", input)
        output = resized(self.output, input.shape)
        output.narrow(1, 0, kept).copy_(input.narrow(1, 0, kept))
        random.uniform(output.narrow(1, kept, self.num_noise_channels)).mul_(self.mult)
        return output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        self.gradInput = handed_on(self.gradInput, gradOutput)
        return self.gradInput


class GenNoise(nn.Module):
    """Normal noise of deviation ``mult``, of the size of the input but with another number of planes; the gradient
    is 0.

    Input: N x C x any size. Output: N x num_planes x the same.

    Args:
        num_planes: the number of planes.

    ``mult`` is a field, 1 at first.
    """

    mult: float = 1
    num_planes: int
    sz: Any = None
    sz_: Any = None

    def __init__(self, num_planes: int) -> None:
        need_size(self, num_planes=num_planes)  # and no field that Module's constructor makes, as in texture_nets
        self.num_planes = num_planes
        self.mult = 1

    @staticmethod
    def _fits(fields: dict) -> bool:
        return "num_planes" in fields

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        size = (input.shape[0], self.num_planes, *input.shape[2:])
        self.sz, self.sz_ = Storage(input.shape), Storage(size)
        self.output = resized(buffer(self.output, input.new_empty(0)), size)
        return random.normal(self.output, 0, 1).mul_(self.mult)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        self.gradInput = buffer(self.gradInput, input).zero_()
        return self.gradInput


class TVLoss(_TotalVariation):
    """``y = x``; the gradient of ``strength`` times half the sum of the squared differences between neighbouring pixels
    is added to gradOutput. The last row and column count as neighbours only.

    neural-style's class, which takes a single image, is this one, too.

    Input, output: C x H x W, or a batch of these.

    Args:
        strength: the factor.
    """

    @staticmethod
    def _fits(fields: dict) -> bool:
        return "strength" in fields and isinstance(fields.get("x_diff"), torch.Tensor)


class SpatialCircularPadding(nn.Module):
    """Images continued beyond their borders with what lies at the opposite border.

    In the backward pass the gradient of what was added goes to the pixels that it came from, except that of the
    corners, which is lost. It is computed in gradOutput itself, of which ``gradInput`` is the middle.

    Input: N x C x H x W, or one image C x H x W. Output: H + pad_t + pad_b by W + pad_l + pad_r.

    Args:
        pad_l: columns at the left.
        pad_r, pad_t, pad_b: columns at the right, rows at the top and the bottom; default as ``pad_l``.
    """

    pad_l: int
    pad_r: int
    pad_t: int
    pad_b: int

    def __init__(
        self, pad_l: int, pad_r: int | None = None, pad_t: int | None = None, pad_b: int | None = None
    ) -> None:
        super().__init__()
        for name, pad in (("pad_l", pad_l), ("pad_r", pad_r), ("pad_t", pad_t), ("pad_b", pad_b)):
            pad = given(pad, pad_l)
            need_count(self, **{name: pad})
            setattr(self, name, pad)

    @staticmethod
    def _fits(fields: dict) -> bool:
        return "pad_l" in fields and "active" not in fields

    def _sides(self, input: torch.Tensor) -> tuple[int, int]:
        """Height and width of the input, checked."""
        h, w = input.shape[-2:]
        fits = input.dim() in (3, 4) and max(self.pad_t, self.pad_b) <= h and max(self.pad_l, self.pad_r) <= w
        self._want(fits, "C x H x W, or a batch of these, H and W not smaller than what is added", input)
        return h, w

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        h, w = self._sides(input)
        l, r, t, b = self.pad_l, self.pad_r, self.pad_t, self.pad_b  # noqa: E741
        output = resized(self.output, (*input.shape[:-2], h + t + b, w + l + r))
        output[..., t : t + h, l : l + w] = input
        output[..., :t, :] = output[..., h : h + t, :]
        output[..., t + h :, :] = output[..., t : t + b, :]
        output[..., :l] = output[..., w : w + l]
        output[..., l + w :] = output[..., l : l + r]
        return output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        h, w = self._sides(input)
        l, r, t, b = self.pad_l, self.pad_r, self.pad_t, self.pad_b  # noqa: E741
        grad = self._sized(gradOutput, (*input.shape[:-2], h + t + b, w + l + r))
        rows, columns = grad[..., l : l + w], grad[..., t : t + h, :]
        rows[..., h : h + t, :] += rows[..., :t, :]
        rows[..., t : t + b, :] += rows[..., t + h :, :]
        columns[..., w : w + l] += columns[..., :l]
        columns[..., l : l + r] += columns[..., l + w :]
        self.gradInput = handed_on(self.gradInput, grad[..., t : t + h, l : l + w])
        return self.gradInput

    def __tostring__(self) -> str:
        return f"{self._typename}(l={self.pad_l},r={self.pad_r},t={self.pad_t},b={self.pad_b})"


class ContentLoss(_Loss):
    """``y = x``; while ``active``, the gradient of ``strength`` times the mean squared difference between input and
    ``target`` is added. Nothing is compared while they have different numbers of elements.

    Input: any size. ``loss`` holds the last value, ``target`` is a field.

    Args:
        strength: the factor.
        normalize: divide the gradient by the sum of its absolute values, default no.
    """

    active = True

    def __init__(self, strength: float, normalize: bool | None = None) -> None:
        super().__init__(strength)
        self.target = torch.empty(0, dtype=torch.float32)
        self.normalize = bool(normalize)
        self.loss = 0
        self.crit = nn.MSECriterion()
        self.active = True

    @staticmethod
    def _fits(fields: dict) -> bool:
        return {"active", "crit"} <= fields.keys()

    def _compares(self, input: torch.Tensor) -> bool:
        return self.active and input.numel() == self.target.numel()

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        if self._compares(input):
            self.loss = self.crit.forward(input, self.target) * self.strength
        return super().updateOutput(input)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        if not self._compares(input):
            return self._passed(gradOutput)
        return self._joined(self.crit.backward(input, self.target), gradOutput, self.normalize)


class TextureLoss(_Loss):
    """``y = x``; while ``active``, the gradient of ``strength`` times the mean squared difference between the products
    of all planes with one another, ``X Xᵀ / (C H W)``, and the target is added.

    Input: N x C x H x W. ``loss`` holds the last value.

    Args:
        strength: the factor.
        target: C x C; kept with a dimension of 1 in front.
        normalize: kept, but without effect; it had one in versions without ``active``.
    """

    active = True
    G: Any = None
    match_to: Any = None

    def __init__(self, strength: float, target: torch.Tensor, normalize: bool | None = None) -> None:
        super().__init__(strength)
        need_shape(self, "a tensor of C x C", (-1, -1), target=target)
        self.normalize = bool(normalize)
        self.target = target.unsqueeze(0)
        self.loss = 0
        both = nn.ConcatTable().add(nn.Identity()).add(nn.Identity())
        self.gram = nn.Sequential().add(both).add(nn.MM(False, True))
        self.crit = nn.MSECriterion()
        self.active = True

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        if self.active:
            self._want(input.dim() == 4, "N x C x H x W", input)
            self.G = self.gram.forward(input.flatten(2)).div_(input[0].numel())
            self.match_to = self.target.expand_as(self.G)
            self.loss = self.crit.forward(self.G, self.match_to) * self.strength
        return super().updateOutput(input)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        if not self.active:
            return self._passed(gradOutput)
        grad = self.crit.backward(self.G, self.match_to).div_(input[0].numel())
        grad = self.gram.backward(input.flatten(2), grad).view(input.shape)
        return self._joined(grad, gradOutput, "active" not in self.__dict__ and self.normalize)
