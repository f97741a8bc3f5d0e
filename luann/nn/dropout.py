"""Layers that drop or add at random while training."""

from __future__ import annotations

import torch

from .. import random
from ..errors import ArgumentError, ModuleError
from ._kernels import resized
from ._object import given
from .module import Module


class Dropout(Module):
    """Sets each element to zero with probability ``p`` and divides the others by ``1 - p``; does nothing in evaluation.

    Input, output: any size.

    Args:
        p: from 0 to below 1, default 0.5.
        v1: the older form: no division in training, times ``1 - p`` in evaluation. Default no.
        inplace: write the output over the input, and gradInput over gradOutput. Default no.
        stochasticInference: drop in evaluation, too. Default no.

    ``noise`` holds what the input was multiplied with.
    """

    _noted = ("noise",)

    inplace = False
    stochastic_inference = False
    v2 = False  # files from before the newer form lack it

    def __init__(
        self,
        p: float | None = None,
        v1: bool | None = None,
        inplace: bool | None = None,
        stochasticInference: bool | None = None,
    ) -> None:
        super().__init__()
        self.p = given(p, 0.5)
        self.train = True
        self.inplace = bool(inplace)
        self.stochastic_inference = bool(stochasticInference)
        self.v2 = not v1
        self._check()
        self.noise = torch.empty(0)

    def _check(self) -> None:
        if not 0 <= self.p < 1:
            raise ArgumentError(f"{self._typename}: p must be from 0 to below 1, got {self.p}")

    def setp(self, p: float) -> None:
        """Change the probability."""
        self.p = p
        self._check()

    def _own(self, buffer: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        """``buffer`` holding ``given``: the very memory in place, else a copy."""
        return buffer.set_(given) if self.inplace else resized(buffer, given.shape).copy_(given)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        if self.p > 0 and (self.train or self.stochastic_inference):
            noise = random.bernoulli(resized(self.noise, input.shape), 1 - self.p)
            if self.v2:
                noise.div_(1 - self.p)
            if self.inplace:
                return self.output.set_(input.mul_(noise))
            return torch.mul(input, noise, out=resized(self.output, input.shape))
        output = self._own(self.output, input)
        return output if self.train or self.v2 else output.mul_(1 - self.p)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        if self.train and self.p > 0:
            if self.inplace:
                return self.gradInput.set_(gradOutput.mul_(self.noise))
            return torch.mul(gradOutput, self.noise, out=resized(self.gradInput, gradOutput.shape))
        gradInput = self._own(self.gradInput, gradOutput)
        return gradInput if self.train or self.v2 else gradInput.mul_(1 - self.p)

    def clearState(self) -> Dropout:
        self.noise.set_()
        return super().clearState()

    def __tostring__(self) -> str:
        return f"{self._typename}({self.p:f})"


class SpatialDropout(Module):
    """Sets whole planes to zero with probability ``p``; the others stay as they are.

    In evaluation all is multiplied by ``1 - p``, and there is no backward pass.

    Input, output: planes x H x W, or a batch of these.

    Args:
        p: default 0.5.
        stochasticInference: drop in evaluation, too. Default no.

    ``noise`` holds the factor of each plane, 0 or 1.
    """

    stochastic_inference = False
    _plane = 2
    """Dimensions of a plane."""

    def __init__(self, p: float | None = None, stochasticInference: bool | None = None) -> None:
        super().__init__()
        self.setp(given(p, 0.5))
        self.train = True
        self.stochastic_inference = bool(stochasticInference)
        self.noise = torch.empty(0)

    def setp(self, p: float) -> None:
        """Change the probability."""
        if not 0 <= p <= 1:
            raise ArgumentError(f"{self._typename}: p must be from 0 to 1, got {p}")
        self.p = p

    def _diagnose(self, input: torch.Tensor) -> None:
        plane = "x T x H x W" if self._plane == 3 else "x H x W"
        self._want(input.dim() - self._plane in (1, 2), f"planes {plane}, or a batch of these", input)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        output = resized(self.output, input.shape)
        if not (self.train or self.stochastic_inference):
            return torch.mul(input, 1 - self.p, out=output)
        if not 1 <= input.dim() - self._plane <= 2:
            self._diagnose(input)
        size = (*input.shape[: -self._plane], *[1] * self._plane)
        return torch.mul(input, random.bernoulli(resized(self.noise, size), 1 - self.p), out=output)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        if not self.train:
            raise ModuleError("the backward pass is defined while training only; call training() first")
        return torch.mul(gradOutput, self.noise, out=resized(self.gradInput, gradOutput.shape))

    def clearState(self) -> SpatialDropout:
        self.noise.set_()
        return super().clearState()

    def __tostring__(self) -> str:
        return f"{self._typename}({self.p:f})"


class VolumetricDropout(SpatialDropout):
    """:class:`SpatialDropout` for volumes.

    Input, output: planes x T x H x W, or a batch of these. Arguments as there.
    """

    _plane = 3


class WhiteNoise(Module):
    """Adds normally distributed noise while training, and its mean in evaluation.

    Input, output: any size. There is no backward pass in evaluation.

    Args:
        mean, std: of the noise, default 0 and 0.1.

    ``noise`` holds what was added.
    """

    _noted = ("noise",)

    def __init__(self, mean: float | None = None, std: float | None = None) -> None:
        super().__init__()
        self.mean = given(mean, 0)
        self.std = given(std, 0.1)
        self.noise = torch.empty(0)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        output = resized(self.output, input.shape)
        if not self.train:
            return torch.add(input, self.mean, out=output)
        return torch.add(input, random.normal(resized(self.noise, input.shape), self.mean, self.std), out=output)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        if not self.train:
            raise ModuleError("the backward pass is defined while training only; call training() first")
        return resized(self.gradInput, gradOutput.shape).copy_(gradOutput)

    def clearState(self) -> WhiteNoise:
        self.noise.set_()
        return super().clearState()

    def __tostring__(self) -> str:
        return f"{self._typename} mean: {self.mean:f}, std: {self.std:f}"
