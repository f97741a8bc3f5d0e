"""Noise-contrastive estimation: a softmax over many classes, of which only some are computed in training."""

from __future__ import annotations

import math
from typing import Any

import torch

from ... import random
from ..._alias import alias_tables
from ...errors import ArgumentError
from ...nn import Criterion, Linear
from ...nn._guard import describe
from ...nn._kernels import resized
from ...nn._object import Object, given, need_number, need_size
from .._needs import need_shape

EPS = 0.0000001


class AliasMultinomial(Object, typename="torch.AliasMultinomial"):
    """torchx's fast draws from a distribution over many classes, by the alias method.

    Args:
        probs: a vector of probabilities that add up to 1.

    ``q`` and ``J`` hold for each class how probable it is that it stays when drawn evenly, and the class, from 1, that
    takes its place.
    """

    def __init__(self, probs: torch.Tensor) -> None:
        self.J, self.q = self.setup(probs)

    def setup(self, probs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``J`` and ``q`` for these probabilities."""
        if not isinstance(probs, torch.Tensor) or probs.dim() != 1 or not probs.numel():
            raise ArgumentError(f"{self._typename}: wants a vector of probabilities, got {describe(probs)}")
        J, q = alias_tables(probs.detach().cpu().numpy())
        if not q.min() >= 0:
            raise ArgumentError(f"{self._typename}: probabilities must not be negative, and add up to 1")
        q[J == 0] = 1  # never replaced
        return torch.from_numpy(J), torch.from_numpy(q)

    def batchdraw(self, output: torch.Tensor) -> torch.Tensor:
        """Fill a LongTensor with classes drawn, from 1."""
        drawn = random.random(torch.empty(output.numel(), dtype=torch.int64), 1, self.J.numel())
        stays = random.bernoulli(torch.empty_like(drawn), self.q[drawn - 1])
        return output.copy_(torch.where(stays.bool(), drawn, self.J[drawn - 1]).view(output.shape))

    def _convert(self, dtype: torch.dtype | None, device: torch.device | None, cache: dict) -> None:
        """It stays as it is."""


class NCEModule(Linear):
    """The last layer of a net with many classes: the probabilities of the target and of ``k`` classes drawn as noise.

    Input: a list of N x inputSize and the targets, N classes from 1. Output: a list of the model's probabilities of the
    targets, N, and of the noise, N x k, and the noise distribution's probabilities of the two; it goes to
    :class:`NCECriterion`. In evaluation, with the field ``normalized`` set to true, the output is the softmax over all
    classes instead, or its logarithm with ``logsoftmax`` true.

    Args:
        inputSize, outputSize: the size of a sample, and the number of classes.
        k: how many classes are drawn.
        unigrams: a vector, how frequent each class is, from 0 on: the distribution of the noise. A copy is kept, which
            adds up to 1.
        Z: the normalisation constant, by which ``exp(W x + b)`` is divided. Without one it is estimated from the first
            batch, and kept.

    The noise is drawn once for the batch; with the field ``batchnoise`` set to false, for each sample. ``weight`` is
    drawn as in ``nn.Linear``, ``bias`` is -log(outputSize). ``sampleidx`` holds the classes of the last forward.
    """

    dpnn_parameters = ("weight", "bias", "unigrams", "Z")
    dpnn_mediumEmpty = (
        *("output", "gradInput", "momGradParams", "dpnn_input", "sampleidx", "sampleprob", "_noiseidx", "_noiseprob"),
        *("_weight", "_gradWeight", "_gradOutput", "_tgradOutput"),
    )
    batchnoise: bool | None = None  # files from before there was this field drew for each sample
    normalized: bool | None = None
    logsoftmax: bool | None = None
    aliasmultinomial: AliasMultinomial | None = None

    def __init__(self, inputSize: int, outputSize: int, k: int, unigrams: torch.Tensor, Z: float | None = None) -> None:
        super().__init__(inputSize, outputSize)
        need_size(self, k=k)
        need_shape(self, f"a vector of {outputSize} numbers", (outputSize,), unigrams=unigrams)
        if not (unigrams.is_floating_point() and unigrams.min() >= 0 and 0 < unigrams.sum() < math.inf):
            raise ArgumentError(
                f"{self._typename}: unigrams must be floating-point numbers from 0 on, not all 0, got a "
                f"{describe(unigrams)} of {unigrams.min():g} to {unigrams.max():g}"
            )
        Z = given(Z, -1)
        need_number(self, Z=Z)
        self.k = k
        self.unigrams = unigrams.clone()
        self.Z = torch.tensor([float(Z)], dtype=self.weight.dtype)
        self.batchnoise = True
        self.fastNoise()
        self.output = [torch.empty(0) for _ in range(4)]
        self.gradInput = [torch.empty(0) for _ in range(2)]

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        if "Z" not in fields:  # first versions did not divide
            self.Z = self.weight.new_ones(1)

    def reset(self, stdv: float | None = None) -> NCEModule:
        bound = 1 / math.sqrt(self.weight.shape[1]) if stdv is None else stdv
        random.uniform(self.weight, -bound, bound)
        if stdv is None:
            self.bias.fill_(-math.log(self.bias.shape[0]))
        else:
            random.uniform(self.bias, -bound, bound)
        return self

    def fastNoise(self) -> None:
        """Make ``unigrams`` add up to 1, and prepare the drawing from it."""
        self.unigrams.div_(self.unigrams.sum())
        self.aliasmultinomial = alias = AliasMultinomial(self.unigrams)
        alias.__dict__["dpnn_parameters"] = ["J", "q"]  # Torch7 puts it there

    def noiseSample(self, sampleidx: torch.Tensor, batchsize: int, k: int) -> torch.Tensor:
        """Fill ``sampleidx`` with batchsize x k classes drawn."""
        if self.aliasmultinomial is None:
            self.fastNoise()
        drawn = self.aliasmultinomial.batchdraw(torch.empty(batchsize, k, dtype=torch.int64))
        return resized(sampleidx, (batchsize, k)).copy_(drawn)

    def noiseProb(self, sampleprob: torch.Tensor, sampleidx: torch.Tensor) -> torch.Tensor:
        """Fill ``sampleprob`` with the noise distribution's probabilities of classes."""
        places = (sampleidx - 1).to(self.unigrams.device)
        return resized(sampleprob, sampleidx.shape).copy_(self.unigrams[places])

    def _diagnose(self, input: Any) -> None:
        self._check(input)
        classes, target = self.weight.shape[0], input[1]
        wrong = target[(target < 1) | (target > classes)]
        if wrong.numel():
            raise ArgumentError(f"a target is {wrong[0].item():g}: classes count from 1 to {classes}")

    def _check(self, input: Any) -> None:
        size = self.weight.shape[1]
        fits = isinstance(input, (list, tuple)) and len(input) == 2
        fits = fits and all(isinstance(t, torch.Tensor) for t in input)
        fits = fits and input[0].dim() == 2 and input[0].shape[1] == size and input[1].shape == input[0].shape[:1]
        self._want(fits, f"a list of N x {size} and N targets", input)

    def updateOutput(self, input: Any) -> Any:
        self._check(input)
        x, target = input
        if not self.train and self.normalized:
            linear = torch.addmm(self.bias, x, self.weight.t())
            if not isinstance(self.output, torch.Tensor):
                self.output = torch.empty(0, dtype=x.dtype, device=x.device)
            function = torch.log_softmax if self.logsoftmax else torch.softmax
            return self.output.set_(function(linear, 1))
        if not isinstance(self.output, list) or len(self.output) != 4:
            self.output = [torch.empty(0, dtype=x.dtype, device=x.device) for _ in range(4)]
        if self.__dict__.get("sampleidx") is None:
            self.sampleidx = torch.empty(0, dtype=torch.int64, device=x.device)
        if self.__dict__.get("sampleprob") is None:
            self.sampleprob = torch.empty(0, dtype=x.dtype, device=x.device)
        return self._of_batch(x, target) if self.batchnoise else self._of_each(x, target)

    def _of_batch(self, x: torch.Tensor, target: torch.Tensor) -> list:
        N, k, output = x.shape[0], self.k, self.output
        noise = self.noiseSample(torch.empty(0, dtype=torch.int64, device=x.device), 1, k)
        torch.cat([noise.view(k), target.to(torch.int64)], out=resized(self.sampleidx, (k + N,)))
        self._weight, bias = self._chosen()
        of_target, of_noise = output[0], output[1]
        torch.sum(x * self._weight[k:], 1, out=resized(of_target, (N,))).add_(bias[k:]).exp_()
        torch.addmm(bias[:k], x, self._weight[:k].t(), out=resized(of_noise, (N, k))).exp_()
        Z = self._normalizer(of_noise)
        of_target.div_(Z)
        of_noise.div_(Z)
        self.noiseProb(self.sampleprob, self.sampleidx)
        output[2].set_(self.sampleprob[k:])
        output[3].set_(self.sampleprob[:k].expand(N, k))
        return output

    def _of_each(self, x: torch.Tensor, target: torch.Tensor) -> list:
        N, k, output = x.shape[0], self.k, self.output
        noise = self.noiseSample(torch.empty(0, dtype=torch.int64, device=x.device), N, k)
        torch.cat([target.view(N, 1).to(torch.int64), noise], 1, out=resized(self.sampleidx, (N, k + 1)))
        weight, bias = self._chosen()
        self._weight = weight.view(N, k + 1, -1)
        model = torch.baddbmm(bias.view(N, 1, k + 1), x.unsqueeze(1), self._weight.transpose(1, 2)).squeeze_(1).exp_()
        self._pm = model.div_(self._normalizer(model))
        self.noiseProb(self.sampleprob, self.sampleidx)
        for i, probs in enumerate((self._pm, self.sampleprob)):
            output[2 * i].set_(probs[:, 0])
            output[2 * i + 1].set_(probs[:, 1:])
        return output

    def _chosen(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The rows of weight and bias that belong to ``sampleidx``."""
        places = self.sampleidx.view(-1) - 1
        return self.weight.index_select(0, places), self.bias.index_select(0, places)

    def _normalizer(self, model: torch.Tensor) -> float:
        """``Z``; estimated now, if it is not known yet."""
        Z = self.Z[0].item()
        if Z <= 0:
            self.Z[0] = model.mean().item() * self.weight.shape[0]
            Z = self.Z[0].item()
        return Z

    def updateGradInput(self, input: Any, gradOutput: Any) -> list:
        x, target = input
        N, k = x.shape[0], self.k
        gradInput = self.gradInput
        if self.batchnoise:
            self._tgradOutput = gradOutput[0] * self.output[0]
            self._gradOutput = gradOutput[1] * self.output[1]
            torch.mul(self._tgradOutput.view(N, 1), self._weight[k:], out=resized(gradInput[0], x.shape))
            gradInput[0].addmm_(self._gradOutput, self._weight[:k])
        else:
            self._gradOutput = torch.cat([gradOutput[0].view(N, 1), gradOutput[1]], 1).mul_(self._pm)
            product = torch.bmm(self._gradOutput.view(N, 1, k + 1), self._weight)
            resized(gradInput[0], x.shape).copy_(product.squeeze(1))
        if gradInput[1].numel() != target.numel():
            resized(gradInput[1], target.shape).zero_()
        return gradInput

    def accGradParameters(self, input: Any, gradOutput: Any, scale: float = 1) -> None:
        x, k = input[0], self.k
        places = self.sampleidx.view(-1) - 1
        if self.batchnoise:
            of_noise = self._gradOutput
            self.gradWeight.index_add_(0, places[:k], of_noise.t() @ x, alpha=scale)
            self.gradWeight.index_add_(0, places[k:], self._tgradOutput.unsqueeze(1) * x, alpha=scale)
            self.gradBias.index_add_(0, places[k:], self._tgradOutput, alpha=scale)
            self.gradBias.index_add_(0, places[:k], of_noise.sum(0), alpha=scale)
        else:
            grads = self._gradOutput
            products = grads.unsqueeze(2) * x.unsqueeze(1)
            self.gradWeight.index_add_(0, places, products.view(-1, x.shape[1]), alpha=scale)
            self.gradBias.index_add_(0, places, grads.reshape(-1), alpha=scale)

    def sharedAccUpdateGradParameters(self, input: Any, gradOutput: Any, lr: float) -> None:
        self.defaultAccUpdateGradParameters(input, gradOutput, lr)

    _BUFFERS = (
        *("sampleidx", "sampleprob", "_noiseidx", "_noiseprob", "_metaidx", "_gradOutput", "_tgradOutput"),
        *("_gradWeight", "_weight"),
    )

    def _convert(self, dtype: torch.dtype | None, device: torch.device | None, cache: dict) -> None:
        for name in self._BUFFERS:
            self.__dict__.pop(name, None)
        unigrams = self.unigrams  # the noise stays what it is
        del self.unigrams
        super()._convert(dtype, device, cache)
        self.unigrams = unigrams

    def clearState(self) -> NCEModule:
        for name in self._BUFFERS[:-2]:
            self.__dict__.pop(name, None)
        self._cache = None
        for value in (self.output, self.gradInput):
            for tensor in [value] if isinstance(value, torch.Tensor) else value:
                tensor.set_()
        return self


class NCECriterion(Criterion):
    """How well a model tells targets from noise: ``-Σ log(Pm / (Pm + k Pn)) - Σ log(k Pn / (Pm + k Pn))``, the first
    sum over the targets, the second over the noise, divided by N.

    Input: the output of an :class:`NCEModule`: the model's probabilities Pm of the targets, N, and of the noise, N x k,
    and the noise distribution's Pn of both. Target: not used. The gradients for Pn are zero.

    ``sizeAverage`` (true) set to false: do not divide by N. 1e-7 is added to what is divided by.
    """

    sizeAverage = True

    def __init__(self) -> None:
        super().__init__()
        self.sizeAverage = True
        self.gradInput = [torch.empty(0) for _ in range(4)]

    def updateOutput(self, input: list, target: Any = None) -> float:
        fits = len(input) == 4 and [p.dim() for p in input] == [1, 2, 1, 2]
        self._want(fits, "a list of probabilities: N, N x k, N, N x k", input)
        of_target, of_noise, target_noise, noise_noise = input
        k = of_noise.shape[1]
        self._Pomdiv = torch.add(of_target, target_noise, alpha=k).add_(EPS)
        self._Pondiv = torch.add(of_noise, noise_noise, alpha=k).add_(EPS)
        right = (of_target / self._Pomdiv).log_().sum() + (noise_noise * k).div_(self._Pondiv).log_().sum()
        self.output = -right.item()
        if self.sizeAverage:
            self.output /= of_target.shape[0]
        return self.output

    def updateGradInput(self, input: list, target: Any = None) -> list:
        of_target, of_noise, target_noise, _ = input
        divisor = of_target.shape[0] if self.sizeAverage else 1
        first, second, *others = self.gradInput
        torch.mul(target_noise, -of_noise.shape[1], out=resized(first, target_noise.shape))
        first.div_(self._Pomdiv).div_(of_target + EPS).div_(divisor)
        resized(second, of_noise.shape).copy_(of_noise)
        second.div_(self._Pondiv).div_(of_noise + EPS).div_(divisor)
        for grad, like in zip(others, input[2:]):
            if grad.numel() != like.numel():
                resized(grad, like.shape).zero_()
        return self.gradInput
