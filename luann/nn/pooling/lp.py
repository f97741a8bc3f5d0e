"""Pooling by the p-norm."""

from __future__ import annotations

import torch

from ...errors import ArgumentError
from .._kernels import resized
from .._object import given, need_size, need_tensor
from ..container import Sequential
from ..module import Module
from ..pointwise import MulConstant, Power, Sqrt, Square
from .spatial import SpatialAveragePooling

_unfold_backward = torch.ops.aten.unfold_backward.default._op


class SpatialLPPooling(Sequential):
    """The p-norm of each kW x kH window: ``(Σ xᵖ)^(1/p)``, without absolute values.

    Input: planes x H x W, or a batch of these. Output: the same number of planes, of ``⌊(H - kH) / dH⌋ + 1`` by
    ``⌊(W - kW) / dW⌋ + 1``.

    Args:
        nInputPlane: not used.
        pnorm: p.
        kW, kH: window width and height.
        dW, dH: steps, by default kW and kH.

    It is made of other layers, as in Torch7, but has no parameters whatever these have.
    """

    def __init__(
        self, nInputPlane: int | None, pnorm: float, kW: int, kH: int, dW: int | None = None, dH: int | None = None
    ) -> None:
        super().__init__()
        self.kW, self.kH = kW, kH
        self.dW, self.dH = given(dW, kW), given(dH, kH)
        need_size(self, kW=kW, kH=kH, dW=self.dW, dH=self.dH)
        self.add(Square() if pnorm == 2 else Power(pnorm))
        self.add(SpatialAveragePooling(kW, kH, self.dW, self.dH))
        self.add(MulConstant(kW * kH))
        self.add(Sqrt() if pnorm == 2 else Power(1 / pnorm))

    def reset(self, stdv: float | None = None) -> None:
        """Nothing to draw."""

    def backward(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> torch.Tensor:
        return self.updateGradInput(input, gradOutput)

    def accGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> None:
        """Nothing to accumulate: files of early 2012 hold layers with parameters here, which stay as they are."""

    def accUpdateGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, lr: float) -> None:
        """Nothing to update."""

    def zeroGradParameters(self) -> None:
        """Nothing to set to zero."""

    def updateParameters(self, learningRate: float) -> None:
        """Nothing to update."""


class FeatureLPPooling(Module):
    """The p-norm of windows of neighbouring features: ``(Σ xᵖ)^(1/p)``, without absolute values.

    Input: features, features x a or features x a x b; with ``batch_mode`` N x one of these. Output: the same with
    ``⌊(features - width) / stride⌋ + 1`` features. Where the output is 0, no gradient flows.

    Args:
        width: features in a window, 2 to 16.
        stride: step, 1 to 4.
        power: p.
        batch_mode: whether the first dimension is a batch, default no.
    """

    def __init__(self, width: int, stride: int, power: float, batch_mode: bool | None = None) -> None:
        super().__init__()
        for name, value, least, most in (("width", width, 2, 16), ("stride", stride, 1, 4)):
            if not (isinstance(value, int) and least <= value <= most):
                raise ArgumentError(f"{self._typename}: {name} must be from {least} to {most}, got {value!r}")
        self.width, self.stride, self.power = width, stride, power
        self.batch_mode = bool(batch_mode)

    def _windows(self, tensor: torch.Tensor) -> torch.Tensor:
        """A view with the features of each window in a dimension more, the last."""
        return tensor.unfold(int(self.batch_mode), self.width, self.stride)

    def _diagnose(self, input: torch.Tensor) -> None:
        batch = int(self.batch_mode)
        fits = batch < need_tensor(input).dim() <= 3 + batch and input.shape[batch] >= self.width
        self._want(fits, f"{'N x ' * batch}at least {self.width} features, and up to two dimensions more", input)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        if not int(self.batch_mode) < input.dim() <= 3 + self.batch_mode:
            self._diagnose(input)
        windows = self._windows(input.pow(self.power))
        output = torch.sum(windows, -1, out=resized(self.output, windows.shape[:-1]))
        return output.pow_(1 / self.power)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        output = self.output.unsqueeze(-1)
        gradOutput = self._sized(gradOutput, self.output.shape)
        slope = (self._windows(input) / output).pow_(self.power - 1).mul_(gradOutput.unsqueeze(-1))
        slope.masked_fill_(output == 0, 0)
        return self.gradInput.set_(
            _unfold_backward(slope, input.shape, int(self.batch_mode), self.width, self.stride).contiguous()
        )

    def __tostring__(self) -> str:
        batch = str(self.batch_mode).lower()
        return f"{self._typename}(w{self.width} s{self.stride} power {self.power} batch {batch})"
