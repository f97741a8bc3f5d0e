"""waifu2x's layers."""

from __future__ import annotations

import math
from typing import Any

import torch

from ... import nn, random
from ...nn._kernels import resized
from ...nn._nested import buffer, buffers
from ...nn._object import given, need_number, need_size
from ...nn.identity import handed_on
from ...types import Storage

_leaky_relu = torch._C._nn.leaky_relu


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

    def __init__(self, nInputPlane: int, nOutputPlane: int, kW: int, kH: int, kSparsity: float | None = None) -> None:
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
