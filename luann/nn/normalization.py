"""Layers that normalise their input."""

from __future__ import annotations

import math
from typing import Any

import torch

from .. import random
from ..errors import ArgumentError
from . import _kernels as kernels
from . import utils
from ._guard import both, optional
from ._kernels import resized
from ._object import given, need_size, need_tensor
from .container import Sequential
from .identity import Identity
from .module import Module
from .pointwise import Add, CMul, MulConstant
from .reducing import Mean
from .shaping import Replicate
from .table import ConcatTable, CSubTable

MEASURED_ELEMENTS, SHORTEST_ROW = 50_000, 16
"""From so many elements on, in rows of so many, mean and variance are faster found in steps of their own."""

LONGEST_ROW = 2048
"""So many squares are added up one after the other, at most, where an image can be cut into rows."""


class BatchNormalization(Module):
    """``y = (x - mean) / √(var + eps) * weight + bias``, feature by feature.

    In training the mean and the (biased) variance are those of the batch, and ``running_mean`` and ``running_var``
    (unbiased) move towards them; in evaluation the running ones are used. A batch of a single sample is normalised with
    the running ones in training, too, and leaves them alone, as in Torch7.

    Input, output: N x nOutput. A vector of nOutput is taken in evaluation and gives 1 x nOutput.

    Args:
        nOutput: the number of features.
        eps: added to the variance, default 1e-5.
        momentum: how far the running values move towards those of a batch, default 0.1; 0 to 1.
        affine: whether there are ``weight`` (drawn from 0 to 1) and ``bias`` (0), default yes.

    ``save_mean`` and ``save_std`` are the batch's mean and the inverse of its standard deviation.
    """

    _rereads = ("input",)

    _version = 2
    nDim = 2
    """Dimensions of a batch."""

    affine = True
    save_mean: torch.Tensor | None = None
    save_std: torch.Tensor | None = None

    def __init__(
        self, nOutput: int, eps: float | None = None, momentum: float | None = None, affine: bool | None = None
    ) -> None:
        super().__init__()
        need_size(self, nOutput=nOutput)
        if affine not in (None, True, False):
            raise ArgumentError(f"{self._typename}: affine must be true or false, got {affine!r}")
        self.affine = affine is not False
        self.eps = given(eps, 1e-5)
        self.train = True
        self.momentum = given(momentum, 0.1)
        self.running_mean = torch.zeros(nOutput)
        self.running_var = torch.ones(nOutput)
        if self.affine:
            self.weight = torch.empty(nOutput)
            self.bias = torch.empty(nOutput)
            self.gradWeight = torch.zeros(nOutput)
            self.gradBias = torch.zeros(nOutput)
            self.reset()

    def reset(self, stdv: float | None = None) -> None:
        if self.weight is not None:
            random.uniform(self.weight)
        if self.bias is not None:
            self.bias.zero_()
        self.running_mean.zero_()
        self.running_var.fill_(1)

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        running_std = self.__dict__.pop("running_std", None)
        if version < 2 and running_std is not None:
            self.running_var = running_std.pow(-2).sub_(self.eps)

    def _batch(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensor with a batch dimension, checked and contiguous."""
        dims, features = tensor.dim(), self.running_mean.shape[0]
        single = dims == self.nDim - 1 and not self.train
        self._want(single or dims == self.nDim, f"a batch of {self.nDim} dimensions", tensor)
        self._want(tensor.shape[0 if single else 1] == features, f"{features} features", tensor)
        # PyTorch's kernel takes the output to lie in memory as the input does
        if not tensor.is_contiguous() and not (self._last and kernels.lies_last(tensor)):
            tensor = tensor.contiguous()
        return tensor.unsqueeze(0) if single else tensor

    def _own_statistics(self, input: torch.Tensor) -> bool:
        """Whether this batch is normalised with its own mean and variance."""
        return self.train and input.shape[0] > 1

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        input = self._batch(input)
        own = self._own_statistics(input)
        if self.save_mean is None or self.save_std is None:
            self.save_mean = torch.zeros_like(self.running_mean)
            self.save_std = torch.zeros_like(self.running_var)
        output = kernels.resized_like(self.output, input)
        mean, var, saved = self.running_mean, self.running_var, (self.save_mean, self.save_std)
        measured = own and _measures_faster(input) and input.dtype is self.running_mean.dtype
        measured = measured and output.data_ptr() != input.data_ptr()  # a module given its own output
        if measured:
            mean, var = self._measure(input, output)
        if measured or not own:
            own, saved = False, (input.new_empty(0), input.new_empty(0))
        torch.native_batch_norm(
            input, self.weight, self.bias, mean, var, own, self.momentum, self.eps, out=(output, *saved)
        )
        return output

    def _measure(self, input: torch.Tensor, output: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The batch's mean and variance, which are also saved and go into those over time; ``output`` is written over.

        In single steps over runs of memory: PyTorch's own kernel adds up element by element.
        """
        features, count = input.shape[1], input.numel() // input.shape[1]
        rows = input.view(input.shape[0], features, -1)
        if rows.shape[2] > LONGEST_ROW and input.shape[-1] >= SHORTEST_ROW:  # so that floats do not add up too many
            rows = input.view(input.shape[0], features, -1, input.shape[-1])
        other = (0,) if rows.dim() == 3 else (0, 2)
        mean = rows.sum(-1).sum(other, dtype=torch.float64).div_(count).to(input.dtype)
        centred = torch.sub(input, mean.view(features, *[1] * (input.dim() - 2)), out=output).view(rows.shape)
        squares = torch.linalg.vector_norm(centred, dim=-1).square_().sum(other)
        var = squares / count
        self.save_mean.set_(mean)
        self.save_std.set_((var + self.eps).rsqrt_())
        self.running_mean.mul_(1 - self.momentum).add_(mean, alpha=self.momentum)
        self.running_var.mul_(1 - self.momentum).add_(squares, alpha=self.momentum / (count - 1))
        return mean, var

    def _gradients(self, input: torch.Tensor, gradOutput: torch.Tensor, mask: list[bool]) -> Any:
        input = self._batch(input)
        if self._last and gradOutput.shape == input.shape:  # it, too, is taken to lie in memory as the input does
            layout = torch.channels_last if kernels.lies_last(input) else torch.contiguous_format
            gradOutput = gradOutput.contiguous(memory_format=layout)
        else:
            gradOutput = self._batch(gradOutput)
        if gradOutput.shape != input.shape:  # the kernel would read beyond its end
            self._want(False, f"a gradOutput of {'x'.join(map(str, input.shape))}", gradOutput)
        return kernels.batch_norm_backward(
            gradOutput,
            input,
            self.weight,
            self.running_mean,
            self.running_var,
            self.save_mean,
            self.save_std,
            self._own_statistics(input),
            self.eps,
            mask,
        )

    @optional
    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor | None:
        if self.gradInput is None:
            return None
        return self.gradInput.set_(self._gradients(input, gradOutput, [True, False, False])[0])

    def accGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> None:
        if self.gradWeight is not None:
            _, gradWeight, gradBias = self._gradients(input, gradOutput, [False, True, True])
            self.gradWeight.add_(gradWeight, alpha=scale)
            self.gradBias.add_(gradBias, alpha=scale)

    @both
    def backward(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> torch.Tensor | None:
        affine = self.gradWeight is not None
        mask = [self.gradInput is not None, affine, affine]
        if mask[0]:
            kernels.freed(self.gradInput, input, gradOutput)
        gradInput, gradWeight, gradBias = self._gradients(input, gradOutput, mask)
        if affine:
            self.gradWeight.add_(gradWeight, alpha=scale)
            self.gradBias.add_(gradBias, alpha=scale)
        return self.gradInput.set_(gradInput) if mask[0] else None

    def clearState(self) -> BatchNormalization:
        # the first five are in older files only
        buffers = "buffer buffer2 centered std normalized _input _gradOutput save_mean save_std"
        utils.clear(self, buffers.split())
        self.save_mean = self.save_std = None
        return super().clearState()

    def __tostring__(self) -> str:
        return f"{self._typename} ({self.nDim}D) ({self.running_mean.shape[0]})"


class SpatialBatchNormalization(BatchNormalization):
    """:class:`BatchNormalization` of each plane of images.

    Input, output: N x nOutput x H x W; one image nOutput x H x W is taken in evaluation and gives a batch of one.
    """

    nDim = 4


class VolumetricBatchNormalization(BatchNormalization):
    """:class:`BatchNormalization` of each plane of volumes.

    Input, output: N x nOutput x T x H x W; one volume nOutput x T x H x W is taken in evaluation and gives a batch of
    one.
    """

    _version = 1  # as Torch7 writes it, unlike the others
    nDim = 5


def _measures_faster(input: torch.Tensor) -> bool:
    """Whether mean and variance of a batch are faster found in single steps: of a large one with long rows."""
    return (
        input.numel() >= MEASURED_ELEMENTS
        and input.is_cpu
        and input.dtype in (torch.float32, torch.float64)
        and input.is_contiguous()
        and math.prod(input.shape[2:]) >= SHORTEST_ROW
    )


def _rows(tensor: torch.Tensor) -> torch.Tensor:
    """A matrix as it is, a vector as a view with one row."""
    return tensor if tensor.dim() == 2 else tensor.unsqueeze(0)


class Normalize(Module):
    """Each row divided by its p-norm: ``y = x / (Σ |x|ᵖ + eps)^(1/p)``; for infinite p, ``y = x / (max |x| + eps)``.

    Input, output: N x features, or a vector.

    Args:
        p: above 0; ``math.inf`` for the maximum.
        eps: default 1e-10.

    ``norm`` holds the divisors, ``normp`` their p-th powers, ``_indices`` the places of the maxima, counted from 1.
    """

    norm: torch.Tensor | None = None
    normp: torch.Tensor | None = None
    _indices: torch.Tensor | None = None

    def __init__(self, p: float, eps: float | None = None) -> None:
        super().__init__()
        if isinstance(p, bool) or not isinstance(p, (int, float)) or not p > 0:
            raise ArgumentError(f"{self._typename}: p must be a number above 0, got {p!r}")
        self.p = p
        self.eps = given(eps, 1e-10)

    def _diagnose(self, input: torch.Tensor) -> None:
        self._want(need_tensor(input).dim() in (1, 2), "N x features, or a vector", input)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        if not 1 <= input.dim() <= 2:
            self._diagnose(input)
        p, rows = self.p, _rows(input)
        output = resized(self.output, input.shape)
        if self.norm is None:
            self.norm = input.new_empty(0)
        norm = resized(self.norm, (rows.shape[0], 1))
        if p == math.inf:
            if self._indices is None:
                self._indices = torch.empty(0, dtype=torch.int64, device=input.device)
            torch.max(rows.abs(), 1, True, out=(norm, resized(self._indices, norm.shape)))
            self._indices.add_(1)
            norm.add_(self.eps)
        else:
            if self.normp is None:
                self.normp = input.new_empty(0)
            powers = rows * rows if p == 2 else rows.abs().pow_(p)
            normp = torch.sum(powers, 1, True, out=resized(self.normp, norm.shape)).add_(self.eps)
            torch.pow(normp, 1 / p, out=norm)
        torch.div(rows, norm, out=_rows(output))
        return output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        p, norm, rows, grad = self.p, self.norm, _rows(input), _rows(gradOutput)
        # y = x / norm, and d norm / dx = slope / power
        if p == math.inf:
            power = norm
            places = self._indices - 1
            slope = torch.zeros_like(rows).scatter_(1, places, rows.gather(1, places).div_(norm))
        else:
            power = self.normp
            slope = rows
            if p != 2:
                size = rows.abs()
                if p < 2:
                    size.add_(self.eps)  # as Torch7: no division by 0
                slope = size.pow_(p - 2).mul_(rows)
        gradInput = resized(self.gradInput, input.shape)
        into = torch.mul(grad, power, out=_rows(gradInput))
        into.addcmul_(slope, (rows * grad).sum(1, True), value=-1).div_(power * norm)
        return gradInput

    def clearState(self) -> Normalize:
        utils.clear(self, "_output", "_indices", "_gradInput", "buffer", "buffer2", "norm", "normp", "cross")
        return super().clearState()

    def __tostring__(self) -> str:
        return f"{self._typename}({f'{self.p:f}' if self.p % 1 else int(self.p)})"


class LayerNormalization(Sequential):
    """Each row less a mean, divided by what is then its norm, times a gain, plus a bias.

    ``c = x - mean``, ``y = √n c / √(Σ c² + eps) * gain + bias``. Input, output: N x nOutput, or a vector of nOutput.

    For a vector or a single row this is layer normalisation. Of a batch Torch7, and so this class, takes the means in
    the wrong order: element j of row i loses the mean of row ``(i nOutput + j) mod N``, counted from 0.

    Args:
        nOutput: the number of features, n.
        bias: what the bias is at first, default 0.
        eps: default 1e-10.
        affine: whether there are a gain (1 at first) and a bias, default yes.

    It is made of other layers, as in Torch7.
    """

    def __init__(
        self, nOutput: int, bias: float | None = None, eps: float | None = None, affine: bool | None = None
    ) -> None:
        super().__init__()
        need_size(self, nOutput=nOutput)
        mean = Sequential().add(Mean(1, 1)).add(Replicate(nOutput, 1, 1))
        self.add(ConcatTable().add(Identity()).add(mean))
        self.add(CSubTable())
        self.add(Normalize(2, given(eps, 1e-10)))
        self.add(MulConstant(math.sqrt(nOutput)))
        if affine is not False:
            shift = Add(nOutput, False)
            shift.bias.fill_(given(bias, 0))
            gain = CMul(nOutput)
            gain.weight.fill_(1)
            self.add(gain).add(shift)
