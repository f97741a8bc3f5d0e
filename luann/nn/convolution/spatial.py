"""Convolutions over images."""

from __future__ import annotations

import math

import torch

from ... import random
from .. import _kernels as kernels
from .._object import given, need_size, need_tensor
from ..module import Module


class SpatialConvolution(Module):
    """2D convolution (cross-correlation): ``y[o] = bias[o] + Σ_i weight[o][i] ⋆ x[i]``.

    Input: nInputPlane x H x W, or a batch of these. Output: nOutputPlane planes of
    ``⌊(H + 2 padH - kH) / dH⌋ + 1`` by ``⌊(W + 2 padW - kW) / dW⌋ + 1``.

    Args:
        nInputPlane, nOutputPlane: numbers of planes.
        kW, kH: kernel width and height.
        dW, dH: steps, default 1.
        padW, padH: zeros added on each side; padW defaults to 0, padH to padW.

    ``weight`` (nOutputPlane x nInputPlane x kH x kW) and ``bias`` are drawn uniformly between ±1/√(kW kH nInputPlane).
    """

    padW = padH = 0  # older files lack them

    def __init__(
        self,
        nInputPlane: int,
        nOutputPlane: int,
        kW: int,
        kH: int,
        dW: int | None = None,
        dH: int | None = None,
        padW: int | None = None,
        padH: int | None = None,
    ) -> None:
        super().__init__()
        dW, dH = given(dW, 1), given(dH, 1)
        need_size(self, nInputPlane=nInputPlane, nOutputPlane=nOutputPlane, kW=kW, kH=kH, dW=dW, dH=dH)
        self.nInputPlane = nInputPlane
        self.nOutputPlane = nOutputPlane
        self.kW, self.kH = kW, kH
        self.dW, self.dH = dW, dH
        self.padW = given(padW, 0)
        self.padH = given(padH, self.padW)
        self.weight = torch.empty(nOutputPlane, nInputPlane, kH, kW)
        self.bias = torch.empty(nOutputPlane)
        self.gradWeight = torch.zeros(nOutputPlane, nInputPlane, kH, kW)
        self.gradBias = torch.zeros(nOutputPlane)
        self.reset()

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        padding = self.__dict__.pop("padding", None)
        if padding is not None:
            self.padW = self.padH = padding
        for name in ("weight", "gradWeight"):  # once saved as matrices
            tensor = getattr(self, name)
            if tensor is not None and tensor.dim() == 2:
                setattr(self, name, tensor.view(self.nOutputPlane, self.nInputPlane, self.kH, self.kW))

    def noBias(self) -> SpatialConvolution:
        """Drop the bias; returns the module."""
        self.bias = self.gradBias = None
        return self

    def reset(self, stdv: float | None = None) -> None:
        stdv = stdv * math.sqrt(3) if stdv else 1 / math.sqrt(self.kW * self.kH * self.nInputPlane)
        random.uniform(self.weight, -stdv, stdv)
        if self.bias is not None:
            random.uniform(self.bias, -stdv, stdv)

    def _diagnose(self, input: torch.Tensor) -> None:
        shape = need_tensor(input).shape
        fits = len(shape) in (3, 4) and shape[-3] == self.nInputPlane
        self._want(fits, f"{self.nInputPlane} x H x W, or a batch of these", input)
        tall, wide = self.kH - 2 * self.padH, self.kW - 2 * self.padW
        self._want(shape[-2] >= tall and shape[-1] >= wide, f"at least {tall} rows of {wide}", input)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        output = self.output
        stride, padding = (self.dH, self.dW), (self.padH, self.padW)
        if input.dim() == 4:
            kernels.conv2d(output, input, self.weight, self.bias, stride, padding)
            return output
        self._want(input.dim() == 3, f"{self.nInputPlane} x H x W, or a batch of these", input)
        kernels.conv2d(output, input.unsqueeze(0), self.weight, self.bias, stride, padding)
        return output.squeeze_(0)

    def _gradients(self, input: torch.Tensor, gradOutput: torch.Tensor, mask: list[bool]) -> tuple:
        if input.dim() == 3:
            input, gradOutput = input.unsqueeze(0), gradOutput.unsqueeze(0)
        stride, padding = (self.dH, self.dW), (self.padH, self.padW)
        return kernels.conv2d_backward(input, gradOutput, self.weight, stride, padding, mask)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor | None:
        if self.gradInput is None:
            return None
        return self._keep(input, self._gradients(input, gradOutput, [True, False, False])[0])

    def accGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> None:
        mask = [False, True, self.gradBias is not None]
        self._accumulate(*self._gradients(input, gradOutput, mask)[1:], scale)

    def backward(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> torch.Tensor | None:
        mask = [self.gradInput is not None, True, self.gradBias is not None]
        gradInput, gradWeight, gradBias = self._gradients(input, gradOutput, mask)
        self._accumulate(gradWeight, gradBias, scale)
        return self._keep(input, gradInput) if mask[0] else None

    def _keep(self, input: torch.Tensor, gradInput: torch.Tensor) -> torch.Tensor:
        return self.gradInput.set_(gradInput if input.dim() == 4 else gradInput.squeeze(0))

    def _accumulate(self, gradWeight: torch.Tensor, gradBias: torch.Tensor | None, scale: float) -> None:
        self.gradWeight.add_(gradWeight, alpha=scale)
        if gradBias is not None and self.gradBias is not None:
            self.gradBias.add_(gradBias, alpha=scale)

    def __tostring__(self) -> str:
        text = f"{self._typename}({self.nInputPlane} -> {self.nOutputPlane}, {self.kW}x{self.kH}"
        padded = self.padW != 0 or self.padH != 0
        if self.dW != 1 or self.dH != 1 or padded:
            text += f", {self.dW},{self.dH}"
        if padded:
            text += f", {self.padW},{self.padH}"
        return text + (")" if self.bias is not None else ") without bias")
