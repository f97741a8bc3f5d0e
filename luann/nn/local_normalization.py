"""Layers that normalise each element by its neighbourhood: across planes, or within an image."""

from __future__ import annotations

from typing import Any

import torch

from ..errors import ArgumentError
from . import tables, utils
from ._guard import describe
from ._kernels import resized
from ._object import given, need_size, need_tensor
from .container import Sequential
from .convolution import SpatialConvolution, SpatialConvolutionMap
from .module import Module
from .padding import SpatialZeroPadding
from .pointwise import Sqrt, Square
from .shaping import Replicate
from .table import CDivTable, CSubTable
from .transfer import Threshold

_IMAGES = "planes x H x W, or a batch of these"


class SpatialCrossMapLRN(Module):
    """Local response normalisation across planes: ``y = x / (k + alpha / size Σ x²) ^ beta``.

    The sum goes over the same place in ``size`` planes around the one of ``x``.

    Input, output: planes x H x W, or a batch of these.

    Args:
        size: the number of planes in the sum.
        alpha: default 1e-4.
        beta: default 0.75.
        k: default 1.

    ``scale`` holds ``k + alpha / size Σ x²``.
    """

    scale: torch.Tensor | None = None
    k = 1

    def __init__(
        self, size: int, alpha: float | None = None, beta: float | None = None, k: float | None = None
    ) -> None:
        super().__init__()
        need_size(self, size=size)
        self.size = size
        self.alpha = given(alpha, 1e-4)
        self.beta = given(beta, 0.75)
        self.k = given(k, 1)

    def _sums(self, x: torch.Tensor, out: torch.Tensor, before: int) -> torch.Tensor:
        """Sums over windows of planes into ``out``; a window begins ``before`` planes before its own."""
        out.copy_(x)
        planes = x.shape[1]
        for step in range(1, min(before + 1, planes)):
            out[:, step:].add_(x[:, :-step])
        for step in range(1, min(self.size - before, planes)):
            out[:, :-step].add_(x[:, step:])
        return out

    def _power(self, out: torch.Tensor) -> torch.Tensor:
        """``scale ^ -beta`` into ``out``."""
        if self.beta == 0.75:  # several times faster than a power
            return torch.rsqrt(self.scale, out=out).mul_(out.sqrt())
        return torch.pow(self.scale, -self.beta, out=out)

    def _diagnose(self, input: torch.Tensor) -> None:
        self._want(need_tensor(input).dim() in (3, 4), _IMAGES, input)

    def _batch(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor if tensor.dim() == 4 else tensor.unsqueeze(0)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        if input.dim() not in (3, 4):
            self._diagnose(input)
        output = resized(self.output, input.shape)
        x, y = self._batch(input), self._batch(output)
        if self.scale is None:
            self.scale = x.new_empty(0)
        scale = resized(self.scale, x.shape)
        torch.mul(x, x, out=y)
        self._sums(y, scale, (self.size - 1) // 2).mul_(self.alpha / self.size).add_(self.k)
        self._power(y).mul_(x)
        return output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        gradInput = resized(self.gradInput, input.shape)
        gradOutput = self._sized(gradOutput, input.shape)
        x, grad, into = self._batch(input), self._batch(gradOutput), self._batch(gradInput)
        ratio = torch.mul(grad, self._batch(self.output)).div_(self.scale)
        sums = self._sums(ratio, torch.empty_like(ratio), self.size // 2)
        self._power(into).mul_(grad).addcmul_(x, sums, value=-2 * self.alpha * self.beta / self.size)
        return gradInput

    def clearState(self) -> SpatialCrossMapLRN:
        utils.clear(self, "scale", "paddedRatio", "accumRatio")
        return super().clearState()


class _KernelNormalization(Module):
    """What the normalisations by a weighted neighbourhood share. As in Torch7, they are made of other layers.

    A neighbourhood is cut off at the borders: ``coef`` holds what the kernel sums up to at each place, which is what
    the estimated means are divided by.
    """

    def __init__(self, nInputPlane: int | None, kernel: torch.Tensor | None, spread: float) -> None:
        """``spread``: what the planes' number is raised to in the scale of a kernel with one dimension."""
        super().__init__()
        self.nInputPlane = given(nInputPlane, 1)
        need_size(self, nInputPlane=self.nInputPlane)
        kernel = _checked(self, kernel)
        self.kernel = kernel / (kernel.sum() * self.nInputPlane ** (1 if kernel.dim() == 2 else spread))
        self.meanestimator = self._estimator()
        self.divider = CDivTable()
        self.coef = torch.zeros(1, 1, 1)

    def _estimator(self) -> Sequential:
        """A net that gives the sum over each neighbourhood in all planes, times the kernel; once for each plane."""
        n, kernel = self.nInputPlane, self.kernel
        padH, padW = kernel.shape[0] // 2, kernel.shape[-1] // 2
        net = Sequential().add(SpatialZeroPadding(padW, padW, padH, padH))
        if kernel.dim() == 2:
            net.add(SpatialConvolution(n, 1, kernel.shape[1], kernel.shape[0]))
        else:
            net.add(SpatialConvolutionMap(tables.oneToOne(n), kernel.shape[0], 1))
            net.add(SpatialConvolution(n, 1, 1, kernel.shape[0]))
        for convolution in net.modules[1:]:
            convolution.weight.copy_(kernel.view(convolution.weight.shape[-2:]))
            convolution.bias.zero_()
        return net.add(Replicate(n, 1, 3))

    def _coefficients(self, input: torch.Tensor) -> torch.Tensor:
        """``coef`` for an input of this size, made anew when the size is another. Uses the estimator's buffers."""
        if self._cache is None or self._cache[0] != input.shape or self._cache[1] is not self.coef:
            ones = input.new_ones(input.shape[-3:])
            coef = self.meanestimator.updateOutput(ones).clone()
            self.coef = coef if input.dim() == 3 else coef.expand(input.shape[0], *coef.shape)
            self._cache = input.shape, self.coef
        return self.coef

    def _check(self, input: torch.Tensor) -> None:
        n = self.nInputPlane
        fits = need_tensor(input).dim() in (3, 4) and input.shape[-3] == n
        self._want(fits, f"{n} x H x W, or a batch of these", input)

    def clearState(self) -> Any:
        self.meanestimator.clearState()
        utils.clear(self, "ones", "_coef")  # buffers of Torch7's
        return super().clearState()


def _checked(module: Module, kernel: torch.Tensor | None) -> torch.Tensor:
    """A kernel to normalise with, by default 9 x 9 ones."""
    if kernel is None:
        return torch.ones(9, 9)
    if not (isinstance(kernel, torch.Tensor) and kernel.dim() in (1, 2) and all(n % 2 for n in kernel.shape)):
        raise ArgumentError(
            f"{module._typename}: the kernel must be a vector or a matrix of odd size, got {describe(kernel)}"
        )
    return kernel


class SpatialSubtractiveNormalization(_KernelNormalization):
    """Subtracts the weighted mean of each element's neighbourhood in all planes.

    Input, output: nInputPlane x H x W, or a batch of these.

    Args:
        nInputPlane: the number of planes, default 1.
        kernel: the weights, a matrix of odd sizes, or a vector for rows and columns alike; default 9 x 9 ones. They
            are scaled to make a mean; the tensor given stays as it is, unlike in Torch7.
    """

    def __init__(self, nInputPlane: int | None = None, kernel: torch.Tensor | None = None) -> None:
        super().__init__(nInputPlane, kernel, 1)
        self.subtractor = CSubTable()

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self._check(input)
        coef = self._coefficients(input)
        self.localsums = self.meanestimator.updateOutput(input)
        self.adjustedsums = self.divider.updateOutput([self.localsums, coef])
        return self.output.set_(self.subtractor.updateOutput([input, self.adjustedsums]))

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        direct, sums = self.subtractor.updateGradInput([input, self.adjustedsums], gradOutput)
        sums = self.divider.updateGradInput([self.localsums, self.coef], sums)[0]
        gradInput = resized(self.gradInput, input.shape)
        return torch.add(self.meanestimator.updateGradInput(input, sums), direct, out=gradInput)


class SpatialDivisiveNormalization(_KernelNormalization):
    """Divides by the deviation from 0 in each element's neighbourhood in all planes.

    The deviation is the root of the weighted sum of squares, over what the weights sum up to. A deviation of at most
    ``threshold`` is taken to be ``thresval``.

    Input, output: nInputPlane x H x W, or a batch of these.

    Args:
        nInputPlane, kernel: as for :class:`SpatialSubtractiveNormalization`.
        threshold: default 1e-4.
        thresval: default ``threshold``.
    """

    def __init__(
        self,
        nInputPlane: int | None = None,
        kernel: torch.Tensor | None = None,
        threshold: float | None = None,
        thresval: float | None = None,
    ) -> None:
        super().__init__(nInputPlane, kernel, 0.5)
        self.threshold = given(threshold, 1e-4)
        self.thresval = given(thresval, self.threshold)
        self.stdestimator = self._estimator().insert(Square(), 1).add(Sqrt())
        self.normalizer = CDivTable()
        self.thresholder = Threshold(self.threshold, self.thresval)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self._check(input)
        coef = self._coefficients(input)
        self.localstds = self.stdestimator.updateOutput(input)
        self.adjustedstds = self.divider.updateOutput([self.localstds, coef])
        self.thresholdedstds = self.thresholder.updateOutput(self.adjustedstds)
        return self.output.set_(self.normalizer.updateOutput([input, self.thresholdedstds]))

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        direct, stds = self.normalizer.updateGradInput([input, self.thresholdedstds], gradOutput)
        stds = self.thresholder.updateGradInput(self.adjustedstds, stds)
        stds = self.divider.updateGradInput([self.localstds, self.coef], stds)[0]
        gradInput = resized(self.gradInput, input.shape)
        return torch.add(self.stdestimator.updateGradInput(input, stds), direct, out=gradInput)

    def clearState(self) -> Any:
        self.stdestimator.clearState()
        return super().clearState()


class SpatialContrastiveNormalization(Module):
    """:class:`SpatialSubtractiveNormalization`, then :class:`SpatialDivisiveNormalization`.

    Input, output: nInputPlane x H x W, or a batch of these.

    Args:
        nInputPlane, kernel, threshold, thresval: as for these.
    """

    def __init__(
        self,
        nInputPlane: int | None = None,
        kernel: torch.Tensor | None = None,
        threshold: float | None = None,
        thresval: float | None = None,
    ) -> None:
        super().__init__()
        self.nInputPlane = given(nInputPlane, 1)
        kernel = _checked(self, kernel)
        self.threshold = given(threshold, 1e-4)
        self.thresval = given(thresval, self.threshold)
        subtractive = SpatialSubtractiveNormalization(self.nInputPlane, kernel)
        divisive = SpatialDivisiveNormalization(self.nInputPlane, kernel, self.threshold, self.thresval)
        self.normalizer = Sequential().add(subtractive).add(divisive)
        self.kernel = divisive.kernel

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        return self.output.set_(self.normalizer.updateOutput(input))

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        return self.gradInput.set_(self.normalizer.updateGradInput(input, gradOutput))
