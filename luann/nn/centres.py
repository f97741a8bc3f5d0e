"""Layers that compare a sample with centres, which are their weight."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from .. import random
from ..errors import ArgumentError
from . import _kernels as kernels
from . import utils
from ._guard import optional
from ._kernels import resized
from ._object import given, need_size, need_tensor
from .module import Module, draw_uniformly


def _distances(samples: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """Euclidean distances of N x I samples to C x I centres, by their differences: N x C."""
    if samples.dtype in (torch.float32, torch.float64):
        return torch.cdist(samples, centres, compute_mode="donot_use_mm_for_euclid_dist")
    return torch.linalg.vector_norm(samples.unsqueeze(1) - centres, 2, 2)


def _pulls(
    weights: torch.Tensor, samples: torch.Tensor, centres: torch.Tensor, distances: torch.Tensor
) -> torch.Tensor:
    """``Σ_c weights[c] (sample - centre[c]) / distances[c]`` for each sample, N x I; weights and distances: N x C."""
    if kernels.PRIVATE and kernels.cdist_backward is not None and samples.dtype in (torch.float32, torch.float64):
        weights, samples, centres, distances = (t.contiguous() for t in (weights, samples, centres, distances))
        return kernels.cdist_backward(weights, samples, centres, 2.0, distances)
    return ((samples.unsqueeze(1) - centres) * (weights / distances).unsqueeze(2)).sum(1)


class Cosine(Module):
    """The cosine of the angle between the sample and each centre: ``y[j] = w[j] · x / (|w[j]| |x|)``.

    Input: N x inputSize, or a vector of inputSize. Output: N x outputSize, or a vector of outputSize.

    Args:
        inputSize, outputSize: size of a sample, and number of centres.

    ``weight`` (outputSize x inputSize) is drawn uniformly between ±1/√outputSize. 1e-12 is added to each norm.

    As in Torch7, ``accGradParameters`` takes no notice of ``scale`` for a batch, and applies it to one of its two terms
    for a vector; so ``accUpdateGradParameters`` does not learn.
    """

    def __init__(self, inputSize: int, outputSize: int) -> None:
        super().__init__()
        need_size(self, inputSize=inputSize, outputSize=outputSize)
        self.weight = torch.empty(outputSize, inputSize)
        self.gradWeight = torch.zeros(outputSize, inputSize)
        self.reset()

    def reset(self, stdv: float | None = None) -> None:
        draw_uniformly(stdv, self.weight.shape[0], self.weight)

    def _norms(self, name: str, rows: torch.Tensor) -> torch.Tensor:
        """The norms of the rows, N x 1, kept in the field ``name``."""
        buffer = getattr(self, name, None)
        if buffer is None or buffer.dtype is not rows.dtype or buffer.device != rows.device:
            buffer = rows.new_empty(0)
            setattr(self, name, buffer)
        norms = resized(buffer, (rows.shape[0], 1))
        return torch.linalg.vector_norm(rows, 2, 1, keepdim=True, out=norms).add_(1e-12)

    def _diagnose(self, input: torch.Tensor) -> None:
        size = self.weight.shape[1]
        self._want(need_tensor(input).dim() in (1, 2) and input.shape[-1] == size, f"{size} or N x {size}", input)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        weight = self.weight
        if input.dim() not in (1, 2):
            self._diagnose(input)
        batch = input if input.dim() == 2 else input.unsqueeze(0)
        weightNorm, inputNorm = self._norms("_weightNorm", weight), self._norms("_inputNorm", batch)
        output = resized(self.output, (*input.shape[:-1], weight.shape[0]))
        rows = output if input.dim() == 2 else output.unsqueeze(0)
        result = kernels.product(batch, weight)
        if result is None:
            torch.mm(batch, weight.t(), out=rows)
        else:
            rows.copy_(result)
        rows.div_(weightNorm.t()).div_(inputNorm)
        return output

    @optional
    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor | None:
        if self.gradInput is None:
            return None
        batch, grads, outputs = (t if input.dim() == 2 else t.unsqueeze(0) for t in (input, gradOutput, self.output))
        gradInput = resized(self.gradInput, input.shape)
        rows = gradInput if input.dim() == 2 else gradInput.unsqueeze(0)
        torch.mm(grads / self._weightNorm.t(), self.weight, out=rows)
        along = (grads * outputs).sum(1, keepdim=True).div_(self._inputNorm)
        rows.addcmul_(batch, along, value=-1).div_(self._inputNorm)
        return gradInput

    def accGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> None:
        gradWeight, weight, norm = self.gradWeight, self.weight, self._weightNorm
        if input.dim() == 1:
            grads = (gradOutput / norm[:, 0]).unsqueeze(1)
            gradWeight.addmm_(grads, (input / self._inputNorm[0]).unsqueeze(0), alpha=scale)
            # weight as it is now: in an accUpdateGradParameters the line above has changed it
            gradWeight.addcmul_(weight, grads.div_(norm).mul_(self.output.unsqueeze(1)), value=-1)
            return
        along = (gradOutput * self.output).sum(0).unsqueeze(1).div_(norm)
        total = gradOutput.t() @ (input / self._inputNorm)
        gradWeight.add_(total.addcmul_(weight, along, value=-1).div_(norm))

    def clearState(self) -> Cosine:
        utils.clear(self, "_input _weight _gradOutput _sum _inputNorm _weightNorm".split())
        return super().clearState()


class Euclidean(Module):
    """The distance between the sample and each centre: ``y[j] = |w[j] - x|``.

    Input: N x inputSize, or a vector of inputSize. Output: N x outputSize, or a vector of outputSize.

    Args:
        inputSize, outputSize: size of a sample, and number of centres.

    ``weight`` (inputSize x outputSize: the centres are its columns) is drawn uniformly between ±1/√inputSize. The
    gradients divide by ``y + 1e-7``. ``updateGradInput`` first calls ``updateOutput`` again where ``fastBackward`` is
    false; it is true here.
    """

    fastBackward = True

    def __init__(self, inputSize: int, outputSize: int) -> None:
        super().__init__()
        need_size(self, inputSize=inputSize, outputSize=outputSize)
        self.weight = torch.empty(inputSize, outputSize)
        self.gradWeight = torch.zeros(inputSize, outputSize)
        self.gradInput = torch.zeros(inputSize)
        self.output = torch.zeros(outputSize)
        self.fastBackward = True
        self.reset()

    def reset(self, stdv: float | None = None) -> None:
        draw_uniformly(stdv, self.weight.shape[0], self.weight)

    def _batch(self, input: torch.Tensor, *like: torch.Tensor) -> list[torch.Tensor]:
        """The input, and tensors of the output's size, all checked and with a batch dimension."""
        size, centres = self.weight.shape
        self._want(input.dim() in (1, 2) and input.shape[-1] == size, f"{size} or N x {size}", input)
        like = tuple(self._sized(t, (*input.shape[:-1], centres)) for t in like)
        return [t if input.dim() == 2 else t.unsqueeze(0) for t in (input, *like)]

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        (batch,) = self._batch(input)
        distances = _distances(batch, self.weight.t())
        return self.output.set_(distances if input.dim() == 2 else distances[0])

    @optional
    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor | None:
        if self.gradInput is None:
            return None
        if not self.fastBackward:
            self.updateOutput(input)
        batch, grads, distances = self._batch(input, gradOutput, self.output)
        result = _pulls(grads, batch, self.weight.t(), distances + 1e-7)
        return self.gradInput.set_(result if input.dim() == 2 else result[0])

    def accGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> None:
        batch, grads, distances = self._batch(input, gradOutput, self.output)
        result = _pulls(grads.t(), self.weight.t(), batch, distances.t() + 1e-7)
        self.gradWeight.add_(result.t(), alpha=scale)


class WeightedEuclidean(Euclidean):
    """The distance between the sample and each centre, dimensions weighted: ``y[j] = |c[j] (w[j] - x)|``.

    Input: N x inputSize, or a vector of inputSize. Output: N x outputSize, or a vector of outputSize.

    Args:
        inputSize, outputSize: size of a sample, and number of centres.

    The parameters are ``weight`` and ``diagCov``, both inputSize x outputSize; ``diagCov``, the ``c``, starts at 1. The
    rest is as in :class:`Euclidean`, but ``fastBackward`` is not set.

    As in Torch7, ``accGradParameters`` of a vector takes no notice of ``scale`` for ``gradDiagCov``.
    """

    fastBackward = False

    def __init__(self, inputSize: int, outputSize: int) -> None:
        Module.__init__(self)
        need_size(self, inputSize=inputSize, outputSize=outputSize)
        self.weight = torch.empty(inputSize, outputSize)
        self.gradWeight = torch.zeros(inputSize, outputSize)
        self.diagCov = torch.empty(inputSize, outputSize)
        self.gradDiagCov = torch.zeros(inputSize, outputSize)
        self.reset()

    def reset(self, stdv: float | None = None) -> None:
        super().reset(stdv)
        self.diagCov.fill_(1)

    def parameters(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        return [self.weight, self.diagCov], [self.gradWeight, self.gradDiagCov]

    def _chunks(self, *tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
        """The tensors cut into so few samples that their differences to all centres stay in the processor's cache."""
        elements = 1 << 16 if self.weight.is_cpu else 1 << 26
        samples = max(1, elements // self.weight.numel())
        return zip(*(t.split(samples) for t in tensors))

    def _slopes(self, input: torch.Tensor, gradOutput: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The samples, and ``gradOutput / (y + 1e-7)``, both with a batch dimension."""
        batch, grads, distances = self._batch(input, gradOutput, self.output)
        return batch, grads / (distances + 1e-7)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        (batch,) = self._batch(input)
        output = resized(self.output, (*input.shape[:-1], self.weight.shape[1]))
        centres, factors = self.weight.t().contiguous(), self.diagCov.t().contiguous()
        for x, y in self._chunks(batch, output if input.dim() == 2 else output.unsqueeze(0)):
            torch.linalg.vector_norm((x.unsqueeze(1) - centres).mul_(factors), 2, 2, out=y)
        return output

    @optional
    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor | None:
        if self.gradInput is None:
            return None
        if not self.fastBackward:
            self.updateOutput(input)
        batch, pulls = self._slopes(input, gradOutput)
        gradInput = resized(self.gradInput, input.shape)
        centres, squares = self.weight.t().contiguous(), self.diagCov.t().square().contiguous()
        for x, pull, out in self._chunks(batch, pulls, gradInput if input.dim() == 2 else gradInput.unsqueeze(0)):
            differences = (x.unsqueeze(1) - centres).mul_(squares)
            torch.bmm(pull.unsqueeze(1), differences, out=out.unsqueeze(1))
        return gradInput

    def accGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> None:
        batch, pulls = self._slopes(input, gradOutput)
        centres = self.weight.t().contiguous()
        weights, covariances = torch.zeros_like(centres), torch.zeros_like(centres)
        for x, pull in self._chunks(batch, pulls):
            differences = x.unsqueeze(1) - centres
            pulled = differences * pull.unsqueeze(2)
            weights.add_(pulled.sum(0))
            covariances.add_(pulled.mul_(differences).sum(0))
        weights, covariances = weights.t() * self.diagCov.square(), covariances.t() * self.diagCov
        self.gradWeight.add_(weights, alpha=-scale)
        self.gradDiagCov.add_(covariances, alpha=scale if input.dim() == 2 else 1)

    def accUpdateGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, lr: float) -> None:
        grads = self.gradWeight, self.gradDiagCov
        self.gradWeight, self.gradDiagCov = self.weight, self.diagCov
        try:
            self.accGradParameters(input, gradOutput, -lr)
        finally:
            self.gradWeight, self.gradDiagCov = grads


class Kmeans(Module):
    """Online k-means: which centre is the nearest to the sample.

    Input: N x dim. Output: N indices, counted from 1. gradInput is zero: the layer learns by itself, its ``gradWeight``
    being ``-s`` times the mean difference between the samples nearest to a centre and that centre.

    Args:
        k: the number of centres.
        dim: the size of a sample.
        scale: the ``s``; by default the ``scale`` of ``backward``. It must be above 0, so without it
            ``accUpdateGradParameters`` fails.

    ``weight`` (k x dim) is drawn uniformly between ±1; see also :meth:`initRandom` and :meth:`initKmeansPlus`. ``loss``
    is the sum of the squared distances to the nearest centres in the last ``forward``, ``clusterSampleCount`` how many
    samples were nearest to each centre in the last ``backward``.
    """

    scale: float | None = None
    p: float | None = None
    _minIndx: torch.Tensor | None = None

    def __init__(self, k: int, dim: int, scale: float | None = None) -> None:
        super().__init__()
        need_size(self, k=k, dim=dim)
        self.k = k
        self.dim = dim
        if scale is not None:
            self.scale = scale
        self.weight = torch.empty(k, dim)
        self.gradWeight = torch.zeros(k, dim)
        self.loss = 0
        self.clusterSampleCount = torch.zeros(k)
        self.reset()

    def reset(self, stdev: float | None = None) -> None:
        stdev = given(stdev, 1)
        random.uniform(self.weight, -stdev, stdev)

    def _check(self, input: torch.Tensor) -> None:
        self._want(need_tensor(input).dim() == 2 and input.shape[1] == self.dim, f"N x {self.dim}", input)

    def initRandom(self, input: torch.Tensor) -> None:
        """Make the centres samples drawn from ``input``, with replacement; N x dim, with N at least k."""
        self._check(input)
        self._want(input.shape[0] >= self.k, f"at least {self.k} samples", input)
        chosen = random.random(torch.empty(self.k, dtype=torch.int64, device=input.device), 1, input.shape[0])
        self.weight.copy_(input[chosen - 1])

    def initKmeansPlus(self, input: torch.Tensor, p: float | None = None) -> None:
        """Make the centres samples far from each other: each one drawn from those farthest from the earlier ones.

        Args:
            input: N x dim.
            p: draw from the farthest ``1 - p`` of the samples; 0 to 1, by default that of the last call, or 0.95.
        """
        self.p = given(given(p, self.p), 0.95)
        if not 0 <= self.p <= 1:
            raise ArgumentError(f"{self._typename}: p must be from 0 to 1, got {self.p}")
        self._check(input)
        n = input.shape[0]
        farthest = max(math.ceil((1 - self.p) * n), 1)
        self.weight[0] = input[random.random(n) - 1]
        samples = input.to(self.weight)
        distances = torch.full((n,), math.inf, dtype=self.weight.dtype, device=self.weight.device)
        for k in range(1, self.k):
            torch.minimum(distances, _distances(samples, self.weight[k - 1 : k])[:, 0], out=distances)
            order = torch.argsort(distances, descending=True, stable=True)
            self.weight[k] = samples[order[random.random(farthest) - 1]]

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self._check(input)
        nearest, places = _distances(input, self.weight).min(1)
        self._minIndx = places.add_(1)
        self.loss = nearest.square_().sum().item()
        return resized(self.output, places.shape).copy_(places)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        return resized(self.gradInput, input.shape).zero_()

    def accGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> None:
        scale = given(self.scale, scale)
        if not scale > 0:
            raise ArgumentError(
                f"{self._typename}: scale must be above 0, got {scale}; its constructor can be given one"
            )
        places = self._minIndx - 1
        counts = self.clusterSampleCount.zero_()
        counts.index_add_(0, places, torch.ones_like(places, dtype=counts.dtype))
        totals = torch.zeros_like(self.weight).index_add_(0, places, self.weight.index_select(0, places).sub_(input))
        self.gradWeight.addcdiv_(totals, counts.unsqueeze(1) + 1e-7, value=scale)

    def clearState(self) -> Kmeans:
        buffers = "_expandedSamples _clusterDistances _temp _tempExpanded _tempWeight _tempWeightExp _expandedWeight"
        for name in f"{buffers} _minScore _minIndx _cscAdder".split():
            self.__dict__.pop(name, None)
        return super().clearState()
