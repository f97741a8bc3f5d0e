"""waifu2x's criterions."""

from __future__ import annotations

import math
from typing import Any

import torch

from ... import nn
from ...errors import ArgumentError, ModuleError
from ...nn._kernels import resized
from ...nn._nested import buffers
from ...nn._object import given, need_number, need_size, need_tensor
from ...types import typename
from .layers import RandomBinaryConvolution


class L1Criterion(nn.Criterion, typename="w2nn.L1Criterion"):
    """The mean of the absolute differences, ``Σ |x - t| / n``; where they are equal the gradient is 0.

    Input, target: tensors of one size; of a vector, as in waifu2x, only the first number is compared, with a number,
    and the others count with the target 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.diff, self.linear_loss_buff = torch.empty(0), torch.empty(0)

    def updateOutput(self, input: torch.Tensor, target: Any) -> float:
        diff = resized(self.diff, input.shape)
        if input.dim() == 1:
            diff.copy_(input)[0] -= target
        else:
            torch.sub(input, _of_size(self, need_tensor(target, "target"), input), out=diff)
        self.output = torch.linalg.vector_norm(diff, 1).item() / input.numel()
        return self.output

    def updateGradInput(self, input: torch.Tensor, target: Any) -> torch.Tensor:
        return torch.sign(self.diff, out=resized(self.gradInput, self.diff.shape)).div_(input.numel())


class ClippedMSECriterion(nn.Criterion, typename="w2nn.ClippedMSECriterion"):
    """The mean of ``(c - t)²``, where ``c`` is the input cut off at two bounds; the gradient is ``(c - t) / n``.

    ``forward`` returns that mean; the field ``output`` keeps the sum over the samples of their means, as in waifu2x,
    and ``instance_loss`` the means.

    Input, target: tensors of one size, N x any.

    Args:
        min, max: the bounds, default 0 and 1.
    """

    has_instance_loss = True

    def __init__(self, min: float | None = None, max: float | None = None) -> None:
        super().__init__()
        self.min, self.max = given(min, 0), given(max, 1)
        self.diff, self.diff_pow2 = torch.empty(0), torch.empty(0)
        self.instance_loss: list = []

    def updateOutput(self, input: torch.Tensor, target: torch.Tensor) -> float:
        diff = torch.clamp(input, self.min, self.max, out=resized(self.diff, input.shape))
        diff.sub_(_of_size(self, target, input))
        squares = torch.square(diff, out=resized(self.diff_pow2, input.shape))
        self.instance_loss = squares.flatten(1).mean(1).tolist() if input.dim() > 1 else squares.tolist()
        self.output = sum(self.instance_loss)
        return self.output / input.shape[0]

    def updateGradInput(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return torch.div(self.diff, input.numel(), out=resized(self.gradInput, self.diff.shape))


class _Huber(nn.Criterion):
    """What the criterions share that average Huber's loss of ``diff``: ``d² / 2`` where ``|d| < gamma``,
    ``gamma (|d| - gamma / 2)`` elsewhere.
    """

    gamma: float

    def __init__(self, gamma: float) -> None:
        super().__init__()
        self.gamma = gamma
        self.diff, self.diff_abs = torch.empty(0), torch.empty(0)
        self.square_loss_buff, self.linear_loss_buff = torch.empty(0), torch.empty(0)

    def _mean(self) -> float:
        size = torch.abs(self.diff, out=resized(self.diff_abs, self.diff.shape))
        near = size.clamp(max=self.gamma)
        self.output = near.mul_(size.sub(near, alpha=0.5)).mean().item()
        return self.output

    def _slope(self, divisor: float) -> torch.Tensor:
        """The derivative by ``diff``, divided."""
        gradInput = resized(self.gradInput, self.diff.shape)
        return torch.clamp(self.diff, -self.gamma, self.gamma, out=gradInput).div_(divisor)


class WeightedHuberCriterion(_Huber, typename="w2nn.WeightedHuberCriterion"):
    """The mean of Huber's loss of ``d = w (x - t)``: ``d² / 2`` where ``|d| < gamma``, ``gamma (|d| - gamma / 2)``
    elsewhere. The gradient is the derivative by ``d``, without the factor ``w``, as in waifu2x.

    Input, target: tensors of one size, N times that of the weights.

    Args:
        w: the weights; a copy is kept as ``weight``.
        gamma: default 1.
    """

    weight: torch.Tensor

    def __init__(self, w: torch.Tensor, gamma: float | None = None) -> None:
        super().__init__(given(gamma, 1))
        self.weight = need_tensor(w, "w").clone()

    def updateOutput(self, input: torch.Tensor, target: torch.Tensor) -> float:
        _weighted(self, resized(self.diff, input.shape).copy_(input), target)
        return self._mean()

    def updateGradInput(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return self._slope(input.numel())


class ClippedWeightedHuberCriterion(WeightedHuberCriterion, typename="w2nn.ClippedWeightedHuberCriterion"):
    """:class:`WeightedHuberCriterion` of the input cut off at two bounds; the gradient beyond them is no other.

    Input, target: tensors of one size, N times that of the weights.

    Args:
        w: the weights; a copy is kept as ``weight``.
        gamma: default 1.
        clip: the two bounds.
    """

    def __init__(self, w: torch.Tensor, gamma: float | None = None, clip: Any = None) -> None:
        super().__init__(w, gamma)
        if not isinstance(clip, (list, tuple)) or len(clip) != 2:
            raise ArgumentError(f"{self._typename}: clip must be a list of two bounds, got {clip!r}")
        self.clip = list(clip)

    def updateOutput(self, input: torch.Tensor, target: torch.Tensor) -> float:
        _weighted(self, torch.clamp(input, *self.clip, out=resized(self.diff, input.shape)), target)
        return self._mean()


class WeightedMSECriterion(nn.Criterion, typename="w2nn.WeightedMSECriterion"):
    """The mean of the squares of ``d = w (x - t)``. The gradient is ``d``, as in waifu2x.

    Input, target: tensors of one size, N times that of the weights.

    Args:
        w: the weights; a copy is kept as ``weight``.
    """

    weight: torch.Tensor

    def __init__(self, w: torch.Tensor) -> None:
        super().__init__()
        self.weight = need_tensor(w, "w").clone()
        self.diff, self.loss = torch.empty(0), torch.empty(0)

    def updateOutput(self, input: torch.Tensor, target: torch.Tensor) -> float:
        _weighted(self, resized(self.diff, input.shape).copy_(input), target)
        self.output = torch.square(self.diff, out=resized(self.loss, self.diff.shape)).mean().item()
        return self.output

    def updateGradInput(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return resized(self.gradInput, input.shape).copy_(self.diff)


class PSNRCriterion(nn.Criterion, typename="w2nn.PSNRCriterion"):
    """The peak signal-to-noise ratio in decibels, ``-10 log₁₀`` of the mean squared difference, of the input cut off at
    0 and 1. There is no backward pass.

    Input, target: tensors of one size, from 0 to 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.image, self.diff = torch.empty(0), torch.empty(0)

    def updateOutput(self, input: torch.Tensor, target: torch.Tensor) -> float:
        image = torch.clamp(input, 0, 1, out=resized(self.image, input.shape))
        diff = torch.sub(image, _of_size(self, target, input), out=resized(self.diff, input.shape))
        mean = diff.square_().mean().item()
        self.output = 10 * math.log10(1 / mean) if mean else math.inf
        return self.output

    def updateGradInput(self, input: torch.Tensor, target: torch.Tensor) -> Any:
        raise ModuleError("there is no backward pass")


class SSIMCriterion(nn.Criterion, typename="w2nn.SSIMCriterion"):
    """The structural similarity of images from 0 to 1, averaged; 1 where they are equal. There is no backward pass.

    The statistics are those of windows weighted by a Gaussian. The field ``output`` stays 0, as in waifu2x.

    Input, target: N x ch x H x W.

    Args:
        ch: the number of planes, default 1.
        kernel_size: height and width of the window, default 11.
        sigma: the deviation of the Gaussian, default 1.5.
    """

    def __init__(self, ch: int | None = None, kernel_size: int | None = None, sigma: float | None = None) -> None:
        super().__init__()
        ch, size, sigma = given(ch, 1), given(kernel_size, 11), given(sigma, 1.5)
        need_size(self, ch=ch, kernel_size=size)
        need_number(self, sigma=sigma)
        self.c1, self.c2 = 0.01**2, 0.03**2
        self.ch = ch
        self.conv = nn.SpatialConvolution(ch, ch, size, size, 1, 1, 0, 0).noBias()
        squares = (torch.arange(size, dtype=torch.float64) - size // 2).square_()
        window = torch.exp((squares + squares.unsqueeze(1)) / (-2 * sigma**2))
        self.conv.weight.zero_().diagonal().copy_((window / window.sum()).unsqueeze(2))
        for name in ("mu1", "mu2", "mu1_sq", "mu2_sq", "mu1_mu2", "sigma1_sq", "sigma2_sq", "sigma12", "ssim_map"):
            setattr(self, name, torch.empty(0))

    def updateOutput(self, input: torch.Tensor, target: torch.Tensor) -> float:
        target = _of_size(self, target, input)
        self._want(input.dim() == 4, f"N x {self.ch} x H x W", input)
        all_five = torch.cat((input, target, input * input, target * target, input * target))
        mu1, mu2, xx, tt, xt = self.conv.forward(all_five).chunk(5)
        product, squares = mu1 * mu2, mu1 * mu1 + mu2 * mu2
        upper = (2 * product + self.c1) * (2 * (xt - product) + self.c2)
        return (upper / ((squares + self.c1) * (xx + tt - squares + self.c2))).mean().item()

    def updateGradInput(self, input: torch.Tensor, target: torch.Tensor) -> Any:
        raise ModuleError("there is no backward pass")


class LBPCriterion(_Huber, typename="w2nn.LBPCriterion"):
    """The mean of Huber's loss (see :class:`WeightedHuberCriterion`; ``gamma`` 0.1) of the differences that random
    filters find between input and target, which are cut off at 0 and 1 before.

    The first of the filters hand the planes on as they are. The gradient takes no notice of the cut, and counts as if
    the filters' output had the height and width of the input, as in waifu2x.

    Input, target: N x ch x H x W, or N x (ch H W) for square images.

    Args:
        ch: the number of planes.
        n: the number of filters, default 128.
        k: their height and width, default 3.
        layers: how many :class:`RandomBinaryConvolution`, one behind the other, default 1.
    """

    _n = 128  # the default

    def __init__(self, ch: int, n: int | None = None, k: int | None = None, layers: int | None = None) -> None:
        super().__init__(0.1)
        self.n, self.k, self.ch = given(n, self._n), given(k, 3), ch
        need_size(self, ch=ch, n=self.n, k=self.k)
        if self.n < ch:
            raise ArgumentError(f"{self._typename}: there must be {ch} filters at least, got {self.n}")
        self.filter1 = self._make_filters(layers)
        self.filter2 = self.filter1.clone()
        self.input, self.target = torch.empty(0), torch.empty(0)

    def _make_filters(self, layers: int | None) -> Any:
        self.layers = given(layers, 1)
        need_size(self, layers=self.layers)
        filters = nn.Sequential().add(self._first_filter())
        for _ in range(self.layers - 1):
            filters.add(RandomBinaryConvolution(self.n, self.n, self.k, self.k))
        return filters

    def _first_filter(self) -> RandomBinaryConvolution:
        made = RandomBinaryConvolution(self.ch, self.n, self.k, self.k)
        made.weight[: self.ch] = 0
        made.weight[: self.ch, :, self.k // 2, self.k // 2].fill_diagonal_(1)
        return made

    def _images(self, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dim() != 2:
            return tensor
        side = math.isqrt(tensor.shape[1] // self.ch)
        return tensor.reshape(-1, self.ch, side, side)

    def updateOutput(self, input: torch.Tensor, target: torch.Tensor) -> float:
        found = []
        for name, filters, tensor in (("input", self.filter1, input), ("target", self.filter2, target)):
            images = self._images(tensor)
            found.append(filters.forward(torch.clamp(images, 0, 1, out=resized(getattr(self, name), images.shape))))
        torch.sub(found[0], _of_size(self, found[1], found[0]), out=resized(self.diff, found[0].shape))
        return self._mean()

    def updateGradInput(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        images = self._images(input)
        return self.filter1.updateGradInput(images, self._slope(images.numel() / self.n)).view(input.shape)

    def _diagnose(self, input: Any) -> None:
        """The filters know better what was wrong with their input."""


class RandomBinaryCriterion(LBPCriterion, typename="w2nn.RandomBinaryCriterion"):
    """The first version of :class:`LBPCriterion`, with one layer of filters.

    Input, target: N x ch x H x W, or N x (ch H W) for square images.

    Args:
        ch: the number of planes.
        n: the number of filters, default 32.
        k: their height and width, default 3.
    """

    _n = 32

    def __init__(self, ch: int, n: int | None = None, k: int | None = None) -> None:
        super().__init__(ch, n, k)

    def _make_filters(self, layers: int | None) -> Any:
        return self._first_filter()


class AuxiliaryLossCriterion(nn.Criterion, typename="w2nn.AuxiliaryLossCriterion"):
    """The mean of a criterion over several inputs with one target. The gradient of each is not divided.

    For each input there is a criterion of its own, made when it is first needed. Where the class keeps the loss of each
    sample (``instance_loss``), so does this one.

    Input: a list of tensors, or one tensor for the value alone. Target: what the criterion takes.

    Args:
        base_criterion: the class of the criterion (or what makes one).
        args: a list of arguments for it.

    ``sizeAverage``, a field, false at first, is given to the criterions when they are made.
    """

    base_criterion: Any = None
    args: Any = None
    instance_loss: Any = None

    def __init__(self, base_criterion: Any, args: Any = None) -> None:
        super().__init__()
        if not callable(base_criterion):
            raise ArgumentError(f"{self._typename}: base_criterion must be a class, got {base_criterion!r}")
        self.base_criterion = base_criterion
        if args is not None:
            self.args = args
        self.gradInput: list = []
        self.sizeAverage = False
        self.criterions: list = []
        if getattr(base_criterion, "has_instance_loss", False):
            self.instance_loss = []

    def updateOutput(self, input: Any, target: Any) -> float:
        inputs = input if isinstance(input, (list, tuple)) else [input]
        while len(self.criterions) < len(inputs):
            made = self.base_criterion(*(self.args or ()))
            made.sizeAverage = self.sizeAverage
            self.criterions.append(made.type(typename(inputs[len(self.criterions)])))
        used = self.criterions[: len(inputs)]
        losses = [criterion.updateOutput(x, target) for criterion, x in zip(used, inputs)]
        if self.instance_loss is not None:
            self.instance_loss = [sum(each) / len(inputs) for each in zip(*(c.instance_loss for c in used))]
        self.output = sum(losses) / len(inputs)
        return self.output

    def updateGradInput(self, input: Any, target: Any) -> list:
        for i, mine in enumerate(buffers(self.gradInput, input)):
            mine.copy_(self.criterions[i].updateGradInput(input[i], target))
        return self.gradInput

    def _diagnose(self, input: Any) -> None:
        """A criterion within knows better what was wrong with its input."""


def _of_size(criterion: Any, target: torch.Tensor, input: torch.Tensor) -> torch.Tensor:
    """The target, checked to be as large as the input."""
    criterion._want(target.numel() == input.numel(), f"a target of {input.numel()} elements, as the input has", target)
    return target.reshape(input.shape)


def _weighted(criterion: Any, diff: torch.Tensor, target: torch.Tensor) -> None:
    """Subtract the target from ``diff``, then multiply each sample by the weights, in place."""
    weight = criterion.weight
    fits = diff.numel() == diff.shape[0] * weight.numel()
    criterion._want(fits, f"samples of {weight.numel()} elements, as many as there are weights", diff)
    diff.sub_(_of_size(criterion, target, diff)).mul_(weight.reshape(diff.shape[1:]))
