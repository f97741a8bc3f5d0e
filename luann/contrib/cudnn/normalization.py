"""Batch normalisation, and normalisation across planes."""

from __future__ import annotations

from typing import Any

import torch

from ... import nn
from ...errors import ArgumentError
from ...nn import utils
from ...nn._object import given


class BatchNormalization(nn.BatchNormalization, typename="cudnn.BatchNormalization"):
    """:class:`luann.nn.BatchNormalization`: the same function, arguments, input, output and parameters.

    In training a batch of a single sample is normalised with its own mean and variance, if it has more than one place.
    ``updateGradInput`` does not add to the parameters' gradients, as it does in cudnn.torch: ``backward`` and
    ``accGradParameters`` do. A module of type half has parameters of type float.
    """

    mode = "CUDNN_BATCHNORM_PER_ACTIVATION"

    def _own_statistics(self, input: torch.Tensor) -> bool:
        return self.train and input.numel() > input.shape[1]

    def _convert(self, dtype: torch.dtype | None, device: torch.device | None, cache: dict) -> None:
        if dtype is not torch.float16:
            return super()._convert(dtype, device, cache)
        output, gradInput = self.output, self.gradInput
        super()._convert(torch.float32, device, cache)
        self.output, self.gradInput = utils.converted([output, gradInput], dtype, device, cache)

    def clearDesc(self) -> BatchNormalization:
        """Drop what belongs to cuDNN; returns the module. There is nothing here."""
        return self

    def __tostring__(self) -> str:
        return self._typename


class SpatialBatchNormalization(BatchNormalization, typename="cudnn.SpatialBatchNormalization"):
    """:class:`BatchNormalization` of each plane of images. Input, output: N x nOutput x H x W."""

    mode = "CUDNN_BATCHNORM_SPATIAL"
    nDim = 4


class VolumetricBatchNormalization(BatchNormalization, typename="cudnn.VolumetricBatchNormalization"):
    """:class:`BatchNormalization` of each plane of volumes. Input, output: N x nOutput x T x H x W."""

    mode = "CUDNN_BATCHNORM_SPATIAL"
    nDim = 5


class SpatialCrossMapLRN(nn.SpatialCrossMapLRN, typename="cudnn.SpatialCrossMapLRN"):
    """:class:`luann.nn.SpatialCrossMapLRN`: ``y = x / (k + alpha / size Σ x²) ^ beta``.

    Input, output: planes x H x W, or a batch of these.

    Args:
        size: the number of planes in the sum, 1 to 16; default 5.
        alpha: default 1e-4.
        beta: default 0.75, at least 0.01.
        k: default 1, at least 1e-5. Older files call it ``K``.
    """

    def __init__(
        self, size: int | None = None, alpha: float | None = None, beta: float | None = None, k: float | None = None
    ) -> None:
        super().__init__(given(size, 5), alpha, beta, k)
        if not (self.size <= 16 and self.k >= 1e-5 and self.beta >= 0.01):
            raise ArgumentError(
                f"{self._typename}: wanted size up to 16, k from 1e-5 on and beta from 0.01 on, "
                f"got {self.size}, {self.k} and {self.beta}"
            )

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        if "K" in self.__dict__:
            self.k = self.__dict__.pop("K")

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> Any:
        if self.gradInput is None:
            return None
        return super().updateGradInput(input, gradOutput)

    def clearState(self) -> Any:
        utils.clear(self, "_gradOutput")
        return super().clearState()
