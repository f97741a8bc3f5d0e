"""Nets of several convolutions side by side: Inception and Fire modules."""

from __future__ import annotations

from typing import Any

import torch

from ... import nn
from ...errors import ArgumentError
from ...nn import Concat, Decorator, DepthConcat, Sequential, SpatialConvolution
from ...nn._guard import describe
from ...nn._object import given
from .module import fromBatch, toBatch


class Inception(Decorator):
    """Columns of convolutions side by side, whose outputs are put together along the planes by ``nn.DepthConcat``.

    For each kernel size a column of a 1 x 1 convolution (the reduction) and one of that size, a transfer function
    behind each; then a column of pooling and a reduction; then one of a reduction only.

    Input: inputSize x H x W, or a batch of these. Output: the planes of all columns.

    Args:
        config: a dict (a table in Lua) with the entries

            - inputSize: the planes of the input;
            - outputSize: a list, the planes of each convolution;
            - reduceSize: a list, the planes of each reduction: one for each kernel size, then that behind the pooling
              and that of the last column. Where the last is left out there is no such column; where the one before it
              is, too, there is no reduction behind the pooling.
            - reduceStride: a list, the steps of the reductions; default 1.
            - transfer: a module, cloned for each place; default ``nn.ReLU()``.
            - batchNorm: put an ``nn.SpatialBatchNormalization`` behind each convolution; default no.
            - padding: pad the convolutions by half their kernel size, default yes.
            - kernelSize, kernelStride: lists, the sizes and steps of the kernels; default [5, 3] and [1, 1].
            - poolSize, poolStride: size and step of the pooling; default 3 and 1.
            - pool: another module for the pooling; default an ``nn.SpatialMaxPooling``.
    """

    batchNorm: bool | None = None

    def __init__(self, config: dict) -> None:
        if not isinstance(config, dict):
            raise ArgumentError(f"{self._typename}: wants one table of named arguments, got {describe(config)}")
        unknown = set(config) - _SETTINGS
        missing = {"inputSize", "outputSize", "reduceSize"} - set(config)
        if unknown or missing:
            what = f"misses {', '.join(sorted(missing))}" if missing else f"has no {', '.join(map(str, unknown))}"
            raise ArgumentError(f"{self._typename} {what} among its named arguments")
        self.inputSize = config["inputSize"]
        self.outputSize = config["outputSize"]
        self.reduceSize = config["reduceSize"]
        self.reduceStride = given(config.get("reduceStride"), [])
        self.transfer = nn.ReLU() if config.get("transfer") is None else config["transfer"]
        if config.get("batchNorm") is not None:
            self.batchNorm = config["batchNorm"]
        self.padding = given(config.get("padding"), True)
        self.kernelSize = given(config.get("kernelSize"), [5, 3])
        self.kernelStride = given(config.get("kernelStride"), [1, 1])
        self.poolSize = given(config.get("poolSize"), 3)
        self.poolStride = given(config.get("poolStride"), 1)
        pool = config.get("pool")
        if pool is None:
            pool = nn.SpatialMaxPooling(self.poolSize, self.poolSize, self.poolStride, self.poolStride)
        self.pool = pool
        super().__init__(self._columns())

    def _columns(self) -> DepthConcat:
        columns = DepthConcat(2)
        count = len(self.kernelSize)
        for i, (size, step) in enumerate(zip(self.kernelSize, self.kernelStride)):
            column = self._reduction(Sequential(), i)
            padding = size // 2 if self.padding else 0
            planes = self.reduceSize[i], self.outputSize[i]
            columns.add(self._convolution(column, *planes, size, step, padding))
        pooling = Sequential().add(self.pool)
        columns.add(self._reduction(pooling, count) if count < len(self.reduceSize) else pooling)
        if count + 1 < len(self.reduceSize):
            columns.add(self._reduction(Sequential(), count + 1))
        return columns

    def _reduction(self, column: Sequential, i: int) -> Sequential:
        step = self.reduceStride[i] if i < len(self.reduceStride) else 1
        return self._convolution(column, self.inputSize, self.reduceSize[i], 1, step, 0)

    def _convolution(
        self, column: Sequential, inputs: int, outputs: int, size: int, step: int, padding: int
    ) -> Sequential:
        column.add(SpatialConvolution(inputs, outputs, size, size, step, step, padding))
        if self.batchNorm:
            column.add(nn.SpatialBatchNormalization(outputs))
        return column.add(self.transfer.clone())

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        output = self.modules[0].updateOutput(toBatch(self, input, 3))
        self.output = fromBatch(self, output, 1)
        return self.output

    def _taken(self, gradInput: torch.Tensor | None) -> torch.Tensor | None:
        self.gradInput = None if gradInput is None else fromBatch(self, gradInput, 1)
        return self.gradInput

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor | None:
        return self._taken(self.modules[0].updateGradInput(toBatch(self, input, 3), toBatch(self, gradOutput, 3)))

    def accGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> None:
        self.modules[0].accGradParameters(toBatch(self, input, 3), toBatch(self, gradOutput, 3), scale)

    def backward(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> torch.Tensor | None:
        input, gradOutput = toBatch(self, input, 3), toBatch(self, gradOutput, 3)
        if scale == 1:
            return self._taken(self.modules[0].backward(input, gradOutput))
        gradInput = self._taken(self.modules[0].updateGradInput(input, gradOutput))
        self.modules[0].accGradParameters(input, gradOutput, scale)  # which DepthConcat's backward leaves out
        return gradInput

    def accUpdateGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, lr: float) -> None:
        self.modules[0].accUpdateGradParameters(toBatch(self, input, 3), toBatch(self, gradOutput, 3), lr)


_SETTINGS = {
    *("inputSize", "outputSize", "reduceSize", "reduceStride", "transfer", "batchNorm", "padding"),
    *("kernelSize", "kernelStride", "poolSize", "poolStride", "pool"),
}


class FireModule(Decorator):
    """SqueezeNet's Fire module: a 1 x 1 convolution, then a 1 x 1 and a 3 x 3 one side by side.

    Input: N x nInputPlane x H x W. Output: N x (e1x1 + e3x3) x H x W.

    Args:
        nInputPlane: the planes of the input.
        s1x1: the planes of the first convolution; best fewer than those of the output.
        e1x1, e3x3: the planes of the other two.
        activation: the name of the class of nn behind each, default ``'ReLU'``.
    """

    def __init__(self, nInputPlane: int, s1x1: int, e1x1: int, e3x3: int, activation: str | None = None) -> None:
        self.nInputPlane = nInputPlane
        self.s1x1 = s1x1
        self.e1x1 = e1x1
        self.e3x3 = e3x3
        self.activation = given(activation, "ReLU")
        transfer: Any = getattr(nn, self.activation, None)
        if transfer is None:
            raise ArgumentError(f"{self._typename}: activation must be the name of a class of nn, got {activation!r}")
        self.squeeze = SpatialConvolution(nInputPlane, s1x1, 1, 1)
        self.expand = Concat(2)
        self.expand.add(SpatialConvolution(s1x1, e1x1, 1, 1))
        self.expand.add(SpatialConvolution(s1x1, e3x3, 3, 3, 1, 1, 1, 1))
        self.module = Sequential().add(self.squeeze).add(transfer()).add(self.expand).add(transfer())
        super().__init__(self.module)

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        if self.modules is None:  # it was no container at first
            self.modules = [self.module]
            self.e3x3 = self.__dict__.pop("e1x3", None)

    def __tostring__(self) -> str:
        return (
            f"{self._typename} inputPlanes: {self.nInputPlane} -> Squeeze Planes: {self.s1x1} -> "
            f"Expand: {self.e1x1}(1x1) + {self.e3x3}(3x3), activation: {self.activation}"
        )
