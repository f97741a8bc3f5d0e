"""Convolutions over sequences of frames."""

from __future__ import annotations

import torch

from .. import _kernels as kernels
from .._guard import optional
from .._kernels import resized
from .._object import given, need_size, need_tensor
from ..module import Module, draw_uniformly
from ._base import _Convolution


class TemporalConvolution(Module):
    """1D convolution over time: ``y[t] = bias + weight · (x[t dW], …, x[t dW + kW - 1])``, a product with the frames of
    a window.

    Input: nInputFrame x inputFrameSize, or a batch of these. Output: ``⌊(nInputFrame - kW) / dW⌋ + 1`` frames of
    outputFrameSize.

    Args:
        inputFrameSize, outputFrameSize: sizes of a frame.
        kW: frames in a window.
        dW: step, default 1.

    ``weight`` (outputFrameSize x (kW inputFrameSize)) and ``bias`` are drawn uniformly between ±1/√(kW inputFrameSize).
    """

    def __init__(self, inputFrameSize: int, outputFrameSize: int, kW: int, dW: int | None = None) -> None:
        super().__init__()
        dW = given(dW, 1)
        need_size(self, inputFrameSize=inputFrameSize, outputFrameSize=outputFrameSize, kW=kW, dW=dW)
        self.inputFrameSize = inputFrameSize
        self.outputFrameSize = outputFrameSize
        self.kW, self.dW = kW, dW
        self.weight = torch.empty(outputFrameSize, inputFrameSize * kW)
        self.bias = torch.empty(outputFrameSize)
        self.gradWeight = torch.zeros(outputFrameSize, inputFrameSize * kW)
        self.gradBias = torch.zeros(outputFrameSize)
        self.reset()

    def reset(self, stdv: float | None = None) -> None:
        draw_uniformly(stdv, self.kW * self.inputFrameSize, self.weight, self.bias)

    def _diagnose(self, input: torch.Tensor) -> None:
        shape = need_tensor(input).shape
        size = self.inputFrameSize
        fits = len(shape) in (2, 3) and shape[-1] == size and shape[-2] >= self.kW
        self._want(fits, f"at least {self.kW} frames of {size}, or a batch of these", input)

    def _windows(self, input: torch.Tensor) -> tuple[torch.Tensor, tuple[int, ...]]:
        """Every window as a row of a matrix, and the size of the output."""
        shape = input.shape
        if shape[-1] != self.inputFrameSize or not 2 <= len(shape) <= 3 or shape[-2] < self.kW:
            self._diagnose(input)
        frames, size = shape[-2:]
        batch = shape[:-2].numel()
        count = (frames - self.kW) // self.dW + 1
        width = self.kW * size
        rows = input.contiguous().as_strided((batch, count, width), (frames * size, self.dW * size, 1))
        return rows.reshape(batch * count, width), (*shape[:-2], count, self.outputFrameSize)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        rows, size = self._windows(input)
        result = kernels.product(rows, self.weight, self.bias)
        if result is not None:
            return self.output.set_(result.view(size))
        output = resized(self.output, size)
        torch.addmm(self.bias, rows, self.weight.t(), out=output.view(-1, self.outputFrameSize))
        return output

    def _flat(self, gradOutput: torch.Tensor) -> torch.Tensor:
        return gradOutput.reshape(-1, self.outputFrameSize)

    @optional
    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor | None:
        if self.gradInput is None:
            return None
        flat, weight = self._flat(gradOutput), self.weight
        spread = kernels.product(flat, weight.t())
        if spread is None:
            spread = torch.mm(flat, weight)
        gradInput = resized(self.gradInput, input.shape)
        frames, size = input.shape[-2:]
        count = gradOutput.shape[-2]
        windows = spread.view(-1, count, self.kW, size)
        sums = gradInput.zero_().view(-1, frames, size)
        for k in range(self.kW):  # the k-th frame of every window at once
            sums[:, k : k + (count - 1) * self.dW + 1 : self.dW].add_(windows[:, :, k])
        return gradInput

    def accGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> None:
        rows, flat = self._windows(input)[0], self._flat(gradOutput)
        result = kernels.product(flat.t(), rows.t()) if rows.shape[0] >= kernels.LINEAR_ROWS else None
        if result is None:
            self.gradWeight.addmm_(flat.t(), rows, alpha=scale)
        else:
            self.gradWeight.add_(result, alpha=scale)
        self.gradBias.add_(flat.sum(0), alpha=scale)

    def sharedAccUpdateGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, lr: float) -> None:
        # linear in its parameters, so that the direct update is right for shared ones, too
        self.defaultAccUpdateGradParameters(input, gradOutput, lr)


class TemporalRowConvolution(_Convolution):
    """1D convolution over time of each feature on its own: ``y[t][f] = bias[f] + Σ_k weight[f][1][k] x[t dW + k][f]``.

    Input: nInputFrame x inputFrameSize, or a batch of these; with ``featFirst``, inputFrameSize x nInputFrame. Output:
    the same with ``⌊(nInputFrame - kW) / dW⌋ + 1`` frames.

    Args:
        inputFrameSize: size of a frame, the number of features.
        kW: frames in a window.
        dW: step, default 1.
        featFirst: whether features come before time, default no.

    ``weight`` (inputFrameSize x 1 x kW) and ``bias`` are drawn uniformly between ±1/√(kW inputFrameSize).
    """

    _dims = 3

    def __init__(self, inputFrameSize: int, kW: int, dW: int | None = None, featFirst: bool | None = None) -> None:
        Module.__init__(self)
        dW = given(dW, 1)
        need_size(self, inputFrameSize=inputFrameSize, kW=kW, dW=dW)
        self.inputFrameSize = inputFrameSize
        self.kW, self.dW = kW, dW
        self.featFirst = bool(featFirst)
        self._allocate((inputFrameSize, 1, kW), (inputFrameSize,))

    def reset(self, stdv: float | None = None) -> None:
        draw_uniformly(stdv, self.kW * self.inputFrameSize, self.weight, self.bias)

    def _diagnose(self, input: torch.Tensor) -> None:
        shape = need_tensor(input).shape
        self._want(len(shape) in (2, 3), "2 dimensions, or a batch of these", input)
        features, frames = shape[-2:] if self.featFirst else (shape[-1], shape[-2])
        fits = features == self.inputFrameSize and frames >= self.kW
        self._want(fits, f"{self.inputFrameSize} features of at least {self.kW} frames", input)

    # To the kernel a sequence is an image, one row high, with a plane for each feature.

    def _opened(self, input: torch.Tensor) -> tuple[torch.Tensor, tuple]:
        return input, ((1, self.dW), (0, 0), (1, 1), False, (0, 0), self.inputFrameSize)

    def _image(self, sequence: torch.Tensor) -> torch.Tensor:
        if not self.featFirst:
            sequence = sequence.transpose(1, 2)
        image = sequence.unsqueeze(2)
        # only the CPU's kernel for floats is fast with the planes innermost
        return image if image.dtype is torch.float32 and image.is_cpu else image.contiguous()

    def _sequence(self, image: torch.Tensor) -> torch.Tensor:
        sequence = image.squeeze(2)
        return sequence if self.featFirst else sequence.transpose(1, 2)

    def _forward(self, output: torch.Tensor, input: torch.Tensor, settings: tuple) -> None:
        image = torch.convolution(self._image(input), self.weight.unsqueeze(2), self.bias, *settings)
        output.set_(self._sequence(image).contiguous())

    def _gradients(self, input: torch.Tensor, gradOutput: torch.Tensor, settings: tuple, mask: list[bool]) -> tuple:
        gradInput, gradWeight, gradBias = kernels.convolution_backward(
            self._image(input), self._image(gradOutput), self.weight.unsqueeze(2), settings, mask
        )
        if mask[0]:
            gradInput = self._sequence(gradInput).contiguous()
        return gradInput, gradWeight.squeeze(2) if mask[1] else None, gradBias

    def __tostring__(self) -> str:
        step = f", {self.dW}" if self.dW != 1 else ""
        text = f"{self._typename}({self.inputFrameSize}, {self.kW}{step})"
        return text if self.bias is not None else f"{text} without bias"
