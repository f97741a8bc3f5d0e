"""Tables of vectors, looked up by index."""

from __future__ import annotations

import torch

from .. import random
from ..errors import ArgumentError, ShapeError
from . import _kernels as kernels
from . import utils
from ._kernels import resized
from ._object import given, need_size, need_tensor
from .module import Module


class LookupTable(Module):
    """``y = weight[x]``: a vector for each index.

    Input: a vector or a matrix of indices counted from 1, in a tensor of any type. Output: a vector of nOutput for each
    index: N x nOutput, or M x N x nOutput. gradInput is zero.

    Args:
        nIndex, nOutput: the number of vectors, and their size.
        paddingValue: an index whose vector gets no gradient, default 0: none.
        maxNorm: vectors that are looked up are first shortened to this norm, in ``weight`` itself, where they are
            longer. Default: no limit.
        normType: which norm that is, default 2.

    ``weight`` (nIndex x nOutput) is drawn from a standard normal distribution.
    """

    _version = 4

    paddingValue = 0  # older files lack these
    maxNorm: float | None = None
    normType: float | None = None
    shouldScaleGradByFreq = False

    def __init__(
        self,
        nIndex: int,
        nOutput: int,
        paddingValue: int | None = None,
        maxNorm: float | None = None,
        normType: float | None = None,
    ) -> None:
        super().__init__()
        need_size(self, nIndex=nIndex, nOutput=nOutput)
        self.weight = torch.empty(nIndex, nOutput)
        self.gradWeight = torch.zeros(nIndex, nOutput)
        self.paddingValue = given(paddingValue, 0)
        if maxNorm is not None:
            self.maxNorm = maxNorm
        if normType is not None:
            self.normType = normType
        self.reset()

    def accUpdateOnly(self) -> LookupTable:
        """Drop ``gradWeight``, which is as large as the table; only ``accUpdateGradParameters`` can teach it then."""
        self.gradWeight = None
        return self

    def setPadding(self, paddingValue: int | None) -> LookupTable:
        """Give the vector of this index no gradient; returns the module."""
        self.paddingValue = given(paddingValue, 0)
        return self

    def setMaxNorm(self, maxNorm: float | None) -> LookupTable:
        """Limit the norm of the vectors; returns the module."""
        self.maxNorm = maxNorm
        return self

    def setNormType(self, normType: float | None) -> LookupTable:
        """Say which norm is limited; returns the module."""
        self.normType = normType
        return self

    def scaleGradByFreq(self) -> LookupTable:
        """Divide the gradient of each vector by how often its index is in the batch; returns the module."""
        self.shouldScaleGradByFreq = True
        return self

    def reset(self, stdv: float | None = None) -> None:
        random.normal(self.weight, 0, given(stdv, 1))

    def parameters(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        return [self.weight], [] if self.gradWeight is None else [self.gradWeight]

    def _rows(self, input: torch.Tensor) -> torch.Tensor:
        """The indices one after the other, counted from 0, in a buffer that is kept."""
        self._want(input.dim() in (1, 2), "a vector or a matrix of indices", input)
        rows = self._cache
        if rows is None or rows.device != input.device:
            rows = self._cache = torch.empty(0, dtype=torch.int64, device=input.device)
        resized(rows, (input.numel(),))
        if input.dtype is torch.int64:
            return torch.sub(input.reshape(-1), 1, out=rows)
        return rows.copy_(input.reshape(-1)).sub_(1)

    def _diagnose(self, input: torch.Tensor) -> None:
        if need_tensor(input).numel():
            count, low, high = self.weight.shape[0], int(input.min()), int(input.max())
            if low < 1 or high > count:
                raise ShapeError(f"wanted indices from 1 to {count}, got some from {low} to {high}")
        if self.gradWeight is None:
            raise ArgumentError("accUpdateOnly() dropped gradWeight; only accUpdateGradParameters can be used")

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        rows, weight = self._rows(input), self.weight
        if self.maxNorm is not None:
            self._renorm(rows)
        output = resized(self.output, (*input.shape, weight.shape[1]))
        torch.index_select(weight, 0, rows, out=output.view(-1, weight.shape[1]))
        return output

    def renorm(self, input: torch.Tensor) -> None:
        """Shorten the vectors of these indices that are longer than ``maxNorm``; ``forward`` does it."""
        if self.maxNorm is not None:
            self._renorm(self._rows(input))

    def _renorm(self, rows: torch.Tensor) -> None:
        normType = given(self.normType, 2)
        if not normType > 0:
            raise ArgumentError(f"{self._typename}: normType must be above 0, got {normType}")
        # a repeated index is shortened from the same state each time, and so written with the same numbers
        vectors = self.weight.index_select(0, rows)
        norms = torch.linalg.vector_norm(vectors, normType, 1, keepdim=True)
        factors = torch.where(norms > self.maxNorm, self.maxNorm / (norms + 1e-7), 1.0)
        self.weight.index_copy_(0, rows, vectors.mul_(factors))

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        gradInput = self.gradInput
        if gradInput is None:
            self.gradInput = torch.zeros_like(input)
        elif gradInput.dtype is not input.dtype or gradInput.device != input.device:
            gradInput.data = torch.zeros_like(input)  # the same object, of the type that the input has now
        elif gradInput.shape != input.shape:
            resized(gradInput, input.shape).zero_()
        return self.gradInput

    def accGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> None:
        rows, gradWeight = self._rows(input), self.gradWeight
        grads = gradOutput.reshape(-1, gradWeight.shape[1])
        if self.shouldScaleGradByFreq:
            uses = torch.bincount(rows, minlength=gradWeight.shape[0])
            grads = grads / uses.index_select(0, rows).unsqueeze(1)
        if 1 <= self.paddingValue <= gradWeight.shape[0]:
            padding = gradWeight[int(self.paddingValue) - 1]
            kept = padding.clone()
            kernels.add_rows(gradWeight, rows, grads, scale)
            padding.copy_(kept)
        else:
            kernels.add_rows(gradWeight, rows, grads, scale)

    def sharedAccUpdateGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, lr: float) -> None:
        # linear in its parameters, so that the direct update is right for shared ones, too
        self.defaultAccUpdateGradParameters(input, gradOutput, lr)

    def clearState(self) -> LookupTable:
        utils.clear(self, "_count", "_input")  # in files
        return super().clearState()
