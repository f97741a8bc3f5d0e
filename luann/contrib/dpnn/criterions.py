"""Logistic regression of two classes, -1 and 1."""

from __future__ import annotations

import torch

from ...nn import Criterion
from ...nn._kernels import resized


class _Logistic(Criterion):
    """``Σ log(1 + exp(-target x))``, divided by a number."""

    sizeAverage = True

    def _divisor(self, input: torch.Tensor) -> float:
        """What the sum is divided by."""
        raise NotImplementedError

    def updateOutput(self, input: torch.Tensor, target: torch.Tensor) -> float:
        self._want(target.numel() == input.numel(), f"a target of {input.numel()} numbers", target)
        self._baseExponents = (input * target.reshape(input.shape)).neg_().exp_()
        self._coeff = self._baseExponents + 1
        self.output = self._coeff.log().sum().item() / self._divisor(input)
        return self.output

    def updateGradInput(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if self.gradInput is None:
            self.gradInput = torch.empty(0, dtype=input.dtype, device=input.device)
        gradInput = resized(self.gradInput, input.shape).copy_(target.reshape(input.shape)).neg_()
        gradInput.mul_(self._baseExponents.view(input.shape)).div_(self._coeff.view(input.shape))
        return gradInput.div_(self._divisor(input))

    def _convert(self, dtype: torch.dtype | None, device: torch.device | None, cache: dict) -> None:
        for name in ("_baseExponents", "_coeff", "_logCoeff"):
            self.__dict__.pop(name, None)
        super()._convert(dtype, device, cache)


class BinaryLogisticRegression(_Logistic):
    """The mean of ``log(1 + exp(-target x))``.

    Input, target: N, N x 1 or 1 x N; the targets -1 or 1.

    Args:
        sizeAverage: divide by N, default yes.
    """

    def __init__(self, sizeAverage: bool | None = None) -> None:
        super().__init__()
        self.sizeAverage = sizeAverage is not False

    def _divisor(self, input: torch.Tensor) -> float:
        return input.numel() if self.sizeAverage else 1

    def updateOutput(self, input: torch.Tensor, target: torch.Tensor) -> float:
        for value in (input, target):
            fits = value.dim() == 1 or (value.dim() == 2 and 1 in value.shape)
            self._want(fits, "N, N x 1 or 1 x N", value)
        return super().updateOutput(input, target)


class SpatialBinaryLogisticRegression(_Logistic):
    """Half the mean of ``log(1 + exp(-target x))`` over the pixels of images.

    Input, target: 1 x H x W, or a batch of these; the targets -1 or 1. With ``sizeAverage`` (true) set to false the
    samples of a batch are added up.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sizeAverage = True

    def _divisor(self, input: torch.Tensor) -> float:
        samples = input.shape[0] if input.dim() == 4 and self.sizeAverage else 1
        return 2 * samples * input.shape[-2] * input.shape[-1]

    def updateOutput(self, input: torch.Tensor, target: torch.Tensor) -> float:
        self._want(input.dim() in (3, 4) and input.shape[-3] == 1, "1 x H x W, or a batch of these", input)
        self._want(target.shape == input.shape, f"a target of the input's size, {tuple(input.shape)}", target)
        return super().updateOutput(input, target)
