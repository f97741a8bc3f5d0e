"""waifu2x (github.com/nagadomi/waifu2x): the layers and criterions of its space ``w2nn``.

``nn.LeakyReLU`` with a ``negative_scale``, which its first models hold, is here :class:`LeakyReLU_deprecated`.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from .. import nn, random
from ..errors import ArgumentError, ModuleError
from ..nn._kernels import resized
from ..nn._nested import buffer, buffers
from ..nn._object import given, need_number, need_size, need_tensor
from ..nn.identity import handed_on
from ..types import Storage, typename

__all__ = [
    "AuxiliaryLossCriterion",
    "AuxiliaryLossTable",
    "ClippedMSECriterion",
    "ClippedWeightedHuberCriterion",
    "DepthExpand2x",
    "EdgeFilter",
    "GradWeight",
    "InplaceClip01",
    "L1Criterion",
    "LBPCriterion",
    "LeakyReLU",
    "LeakyReLU_deprecated",
    "PSNRCriterion",
    "Print",
    "PrintTable",
    "RandomBinaryConvolution",
    "RandomBinaryCriterion",
    "SSIMCriterion",
    "ScaleTable",
    "ShakeShakeTable",
    "WeightedHuberCriterion",
    "WeightedMSECriterion",
]

_leaky_relu = torch._C._nn.leaky_relu


# Layers


class LeakyReLU(nn.Module, typename="w2nn.LeakyReLU"):
    """``y = x`` where ``x >= 0``, ``negative_scale · x`` elsewhere.

    Input, output: any size. At 0 the gradient is 1. (As waifu2x computes it, the slope for the gradient below 0 is
    right for a ``negative_scale`` above 0 only; it is 1 for 0 and ``2 - negative_scale`` below.)

    Args:
        negative_scale: default 0.333.
    """

    negative_scale: float

    def __init__(self, negative_scale: float | None = None) -> None:
        super().__init__()
        self.negative_scale = given(negative_scale, 0.333)
        self.negative = torch.empty(0)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        return _leaky_relu(input, self.negative_scale, out=resized(self.output, input.shape))

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor | None:
        if self.gradInput is None:
            return None
        s = self.negative_scale
        slope = s if s > 0 else 2 - s if s < 0 else 1
        below = torch.lt(input, 0, out=resized(self.gradInput, input.shape))
        return below.mul_(slope - 1).add_(1).mul_(self._sized(gradOutput, input.shape))

    def clearState(self) -> LeakyReLU:
        nn.utils.clear(self, "negative")
        return super().clearState()


class LeakyReLU_deprecated(LeakyReLU, typename="nn.LeakyReLU"):
    """:class:`LeakyReLU` as it was called before nn had one."""

    @staticmethod
    def _fits(fields: dict) -> bool:
        return "negative_scale" in fields


class InplaceClip01(nn.Module, typename="w2nn.InplaceClip01"):
    """``y = min(max(x, 0), 1)``, written over the input; the gradient is gradOutput. Input, output: any size."""

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        return self.output.set_(input.clamp_(0, 1))

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        self.gradInput = handed_on(self.gradInput, gradOutput)
        return self.gradInput


class GradWeight(nn.Module, typename="w2nn.GradWeight"):
    """A copy of the input; the gradient is multiplied by a constant. Input, output: any size.

    Args:
        constant_scalar: the constant.
    """

    constant_scalar: float

    def __init__(self, constant_scalar: float) -> None:
        super().__init__()
        need_number(self, constant_scalar=constant_scalar)
        self.constant_scalar = constant_scalar

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        return resized(self.output, input.shape).copy_(input)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        return torch.mul(gradOutput, self.constant_scalar, out=resized(self.gradInput, gradOutput.shape))


class ScaleTable(nn.Module, typename="w2nn.ScaleTable"):
    """Images with each plane multiplied by a number of its own.

    Input: a list of images, N x C x H x W, and factors, N x C x 1 x 1. Output: N x C x H x W.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gradInput: list = []
        self.grad_tmp, self.scale = torch.empty(0), torch.empty(0)

    def updateOutput(self, input: Any) -> torch.Tensor:
        self._want(len(input) == 2 and input[0].dim() == 4, "images and factors", input)
        images, factors = input
        self._want(factors.shape == (*images.shape[:2], 1, 1), "a factor for each plane", input)
        self.scale = handed_on(self.scale, factors.expand_as(images))
        return torch.mul(images, factors, out=resized(self.output, images.shape))

    def updateGradInput(self, input: Any, gradOutput: torch.Tensor) -> list:
        images, factors = input
        gradOutput = self._sized(gradOutput, images.shape)
        grads = buffers(self.gradInput, input)
        torch.mul(gradOutput, factors, out=grads[0])
        product = torch.mul(gradOutput, images, out=resized(self.grad_tmp, images.shape))
        torch.sum(product, (2, 3), keepdim=True, out=grads[1])
        return grads

    def clearState(self) -> ScaleTable:
        nn.utils.clear(self, "grad_tmp", "scale")
        return super().clearState()


class ShakeShakeTable(nn.Module, typename="w2nn.ShakeShakeTable"):
    """In training, ``2 ((1 - α) a + α b)`` of two inputs with a random α from 0 to 1 for each sample; in evaluation
    ``a + b``.

    ``updateGradInput`` gives another random mixture: ``β`` and ``1 - β`` times gradOutput. As in waifu2x that is not
    kept in ``gradInput``, which ``backward`` returns and which stays empty: within a container this layer works with
    ``updateGradInput`` only.

    Input: a list of two tensors of one size, N x any. Output: the same size. ``alpha`` and ``beta`` hold N numbers.
    """

    gradOutput: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.alpha, self.beta = torch.empty(0), torch.empty(0)
        self.first, self.second = torch.empty(0), torch.empty(0)
        self.train = True

    def _per_sample(self, numbers: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """The numbers so that each counts for a sample."""
        return numbers.view(-1, *[1] * (like.dim() - 1))

    def updateOutput(self, input: Any) -> torch.Tensor:
        a, b = input
        self._want(a.shape == b.shape, "two tensors of one size", input)
        output = resized(self.output, a.shape)
        if not self.train:
            return torch.add(a, b, out=output)
        for numbers in (self.alpha, self.beta):
            random.uniform(resized(numbers, a.shape[:1]))
        return torch.lerp(a, b, self._per_sample(self.alpha, a), out=output).mul_(2)

    def updateGradInput(self, input: Any, gradOutput: torch.Tensor) -> list:
        beta = self._per_sample(self.beta, gradOutput)
        first = torch.mul(gradOutput, beta, out=resized(self.first, gradOutput.shape))
        second = torch.mul(gradOutput, 1 - beta, out=resized(self.second, gradOutput.shape))
        self.gradOutput = [first, second]
        return self.gradOutput


class AuxiliaryLossTable(nn.Module, typename="w2nn.AuxiliaryLossTable"):
    """In training, copies of all inputs; else a copy of one of them.

    It acts as in evaluation until ``training()`` has been called.

    Input: a list of tensors of one size. Output: a list of these in training, else the tensor.

    Args:
        i: which of them, counted from 1; default 1.
    """

    train = False
    i: int

    def __init__(self, i: int | None = None) -> None:
        super().__init__()
        self.i = given(i, 1)
        need_size(self, i=self.i)
        self.gradInput: list = []
        self.output_table: list = []
        self.output_tensor = torch.empty(0)

    def updateOutput(self, input: Any) -> Any:
        if self.train:
            self.output = buffers(self.output_table, input)
            for mine, given_ in zip(self.output, input):
                mine.copy_(given_)
            return self.output
        self._want(len(input) >= self.i, f"{self.i} tensors at least", input)
        chosen = input[self.i - 1]
        resized(self.output_tensor, chosen.shape).copy_(chosen)
        self.output = handed_on(self.output, self.output_tensor)
        return self.output

    def updateGradInput(self, input: Any, gradOutput: Any) -> list:
        fits = isinstance(gradOutput, (list, tuple)) and len(gradOutput) >= len(input)
        self._want(fits, f"a list of {len(input)} gradients, as in training", gradOutput)
        for mine, grad in zip(buffers(self.gradInput, input), gradOutput):
            mine.copy_(self._sized(grad, mine.shape))
        return self.gradInput

    def clearState(self) -> AuxiliaryLossTable:
        nn.utils.clear(self, "output_table", "output_tensor")
        if not isinstance(self.output, torch.Tensor):
            self.output = self.output_tensor
        return super().clearState()


class _Fixed(nn.SpatialConvolution):
    """A convolution without bias whose weight is never trained."""

    kW: int
    kH: int

    def _filters(self) -> tuple[torch.Tensor, None]:
        return self.weight.view(self.nOutputPlane, self.nInputPlane, self.kH, self.kW), None

    def accGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> None:
        """Nothing: the weight is fixed."""

    def backward(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> torch.Tensor | None:
        return self.updateGradInput(input, gradOutput)

    def updateParameters(self, learningRate: float) -> None:
        """Nothing: the weight is fixed."""


class RandomBinaryConvolution(_Fixed, typename="w2nn.RandomBinaryConvolution"):
    """:class:`luann.nn.SpatialConvolution` without bias, step 1, whose weight is fixed: random places of it are -1 or
    1, the others 0. There are no gradients for it.

    Input: nInputPlane x H x W, or a batch of these. Output: nOutputPlane planes of H - kH + 1 by W - kW + 1.

    Args:
        nInputPlane, nOutputPlane: numbers of planes.
        kW, kH: kernel width and height.
        kSparsity: as many places are drawn as this share of all, and some of them twice; default 0.9.
    """

    kSparsity: float

    def __init__(
        self, nInputPlane: int, nOutputPlane: int, kW: int, kH: int, kSparsity: float | None = None
    ) -> None:
        self.kSparsity = given(kSparsity, 0.9)
        super().__init__(nInputPlane, nOutputPlane, kW, kH, 1, 1, 0, 0)
        self.reset()  # once more, as waifu2x does

    def reset(self, stdv: float | None = None) -> None:
        """Draw the weight anew; ``stdv`` does not matter."""
        size = self.weight.numel()
        drawn = math.floor(self.kSparsity * size)
        places = random.random(torch.empty(drawn, device="cpu"), size).long() - 1
        signs = random.bernoulli(torch.empty(drawn, device="cpu"), 0.5).mul_(2).sub_(1)
        weight = torch.zeros(size, dtype=self.weight.dtype, device="cpu")
        weight.numpy()[places.numpy()] = signs.numpy()  # NumPy keeps the last where a place was drawn twice
        shape = (self.nOutputPlane, self.nInputPlane, self.kW, self.kH)
        self.weight.set_(weight.view(shape).to(self.weight.device))
        self.gradWeight.zero_()
        self.noBias()


class EdgeFilter(_Fixed, typename="w2nn.EdgeFilter"):
    """The differences between each pixel and its eight neighbours: a convolution with a fixed weight.

    Input: nInputPlane x H x W, or a batch of these. Output: 8 nInputPlane planes of H - 2 by W - 2, first those of the
    first plane; the neighbours come row by row.

    Args:
        nInputPlane: the number of planes.
    """

    def __init__(self, nInputPlane: int) -> None:
        need_size(self, nInputPlane=nInputPlane)
        super().__init__(nInputPlane, nInputPlane * 8, 3, 3, 1, 1, 0, 0)

    def reset(self, stdv: float | None = None) -> None:
        """Make the weight; ``stdv`` does not matter."""
        self.noBias()
        self.gradWeight.zero_()
        weight = self.weight.zero_().view(self.nInputPlane, 8, self.nInputPlane, 9)
        for filter, place in enumerate((0, 1, 2, 3, 5, 6, 7, 8)):
            for plane in range(self.nInputPlane):
                weight[plane, filter, plane, 4] = 1
                weight[plane, filter, plane, place] = -1


class DepthExpand2x(nn.Module, typename="w2nn.DepthExpand2x"):
    """Four planes made one of twice the height and width.

    The pixels of plane ``q`` of the output come, in rows and columns that are even and even, even and odd, odd and
    even, odd and odd, from the planes q, q + C / 4, q + C / 2 and q + 3 C / 4.

    Input: N x C x H x W, C a multiple of 4. Output: N x C / 4 x 2 H x 2 W.
    """

    shape: Any = None

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self._want(input.dim() == 4 and input.shape[1] % 4 == 0, "N x C x H x W, C a multiple of 4", input)
        self.shape = Storage(input.shape)
        n, c, h, w = input.shape
        parts = input.reshape(n, 2, 2, c // 4, h, w).permute(0, 3, 4, 1, 5, 2)
        self.output = resized(buffer(self.output, input.new_empty(0)), (n, c // 4, 2 * h, 2 * w))
        self.output.view(parts.shape).copy_(parts)
        return self.output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        n, c, h, w = input.shape
        gradOutput = self._sized(gradOutput, (n, c // 4, 2 * h, 2 * w))
        parts = gradOutput.reshape(n, c // 4, h, 2, w, 2).permute(0, 3, 5, 1, 2, 4)
        self.gradInput = buffer(self.gradInput, input)
        self.gradInput.view(parts.shape).copy_(parts)
        return self.gradInput


class Print(nn.Module, typename="w2nn.Print"):
    """A copy of the input, whose size is printed; the gradient is gradOutput. Input, output: any size."""

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        print(Storage(input.shape))
        return resized(self.output, input.shape).copy_(input)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        self.gradInput = handed_on(self.gradInput, gradOutput)
        return self.gradInput


class PrintTable(nn.Identity, typename="w2nn.PrintTable"):
    """``y = x``; prints its name and what comes. Input, output: anything.

    Args:
        id: the name.
    """

    id: Any = None

    def __init__(self, id: Any = None) -> None:
        super().__init__()
        if id is not None:
            self.id = id

    def updateOutput(self, input: Any) -> Any:
        print("----", self.id)
        print(input)
        return super().updateOutput(input)


# Criterions


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
        raise ModuleError(f"{self._typename} has no backward pass")


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
        raise ModuleError(f"{self._typename} has no backward pass")


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
