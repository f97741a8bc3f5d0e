"""REINFORCE (Williams 1992): layers that draw their output, and the criterions that reward them.

A layer draws; a criterion rewards the output, and hands the reward to the layer by ``module.reinforce(reward)``; the
layer's gradient is the one with respect to the logarithm of the probability of what it drew, times minus the reward.
"""

from __future__ import annotations

from typing import Any

import torch

from ... import random
from ...errors import ArgumentError, ModuleError
from ...nn import Criterion, Module, MSECriterion
from ...nn._kernels import resized
from ...nn._object import given, need_number, need_tensor
from ...nn.criterion.base import need_criterion
from .._needs import refuse
from .module import fromBatch, toBatch


class Reinforce(Module):
    """The base of the layers that draw. ``gradOutput`` is ignored: call :meth:`reinforce` before ``backward``.

    Args:
        stochastic: draw in evaluation, too. Default no.

    ``reward`` is a vector with an entry for each sample of the batch.
    """

    stochastic: bool | None = None
    reward: torch.Tensor | None = None

    def __init__(self, stochastic: bool | None = None) -> None:
        super().__init__()
        if stochastic is not None:
            self.stochastic = stochastic

    def reinforce(self, reward: torch.Tensor) -> None:
        """Keep the reward for the next ``backward``."""
        self.reward = reward

    def _draws(self) -> bool:
        return bool(self.stochastic or self.train)

    def updateOutput(self, input: Any) -> torch.Tensor:
        return self.output.set_(input)

    def updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        reward = self.rewardAs(input)
        return resized(self.gradInput, reward.shape).copy_(reward)

    def rewardAs(self, input: torch.Tensor) -> torch.Tensor:
        """The reward, expanded to the size of ``input``: a sample, or a batch with as many samples as rewards."""
        reward = self.reward
        if reward is None:
            raise ModuleError("there is no reward yet: call reinforce(reward) before backward")
        self._want(reward.dim() == 1, "a reward for each sample, a vector", reward)
        if reward.shape == input.shape:
            return reward
        if reward.shape[0] != input.shape[0]:
            self._want(reward.shape[0] == 1, f"a reward for each of {input.shape[0]} samples", reward)
        return reward.view(-1, *[1] * (input.dim() - 1)).expand_as(input)


class ReinforceBernoulli(Reinforce):
    """Draws 1 with the probability that is the input, and else 0; in evaluation the output is the input.

    Input, output: any size.

    Args:
        stochastic: draw in evaluation, too. Default no.
    """

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        output = resized(self.output, input.shape)
        if not self._draws():
            return output.copy_(input)
        uniform = self.__dict__.get("_uniform")
        if uniform is None:
            uniform = self._uniform = torch.empty(0, dtype=input.dtype, device=input.device)
        random.uniform(resized(uniform, input.shape), 0, 1)
        return torch.lt(uniform, input, out=output)

    def updateGradInput(self, input: torch.Tensor, gradOutput: Any) -> torch.Tensor:
        gradInput = torch.sub(self.output, input, out=resized(self.gradInput, input.shape))
        return gradInput.div_((1 - input).mul_(input)).mul_(self.rewardAs(input)).neg_()


class ReinforceCategorical(Reinforce):
    """Draws one of several classes, with the probabilities that are the input; in evaluation the output is the input.

    Input: N x classes, each row a distribution. Output: likewise, 1 for the class that was drawn, 0 for the others.

    Args:
        stochastic: draw in evaluation, too. Default no.

    As in Torch7 the gradient divides by the probability plus 1e-8.
    """

    def _diagnose(self, input: torch.Tensor) -> None:
        self._want(need_tensor(input).dim() == 2, "a batch, N x classes", input)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        output = resized(self.output, input.shape)
        if not self._draws():
            return output.copy_(input)
        self._diagnose(input)
        self._index = random.multinomial(input, 1)
        return output.zero_().scatter_(1, (self._index - 1).to(output.device), 1)

    def updateGradInput(self, input: torch.Tensor, gradOutput: Any) -> torch.Tensor:
        gradInput = torch.div(self.output, input + 0.00000001, out=resized(self.gradInput, input.shape))
        return gradInput.mul_(self.rewardAs(input)).neg_()


class ReinforceNormal(Reinforce):
    """Draws from a normal distribution whose mean is the input; in evaluation the output is the mean.

    Input: the mean, any size; without ``stdev`` the list of the mean and the standard deviation, of one size. Output:
    as the mean.

    Args:
        stdev: the standard deviation: a number, or a tensor of the size of the input or of one sample. Without one it
            is part of the input, and gets a gradient.
        stochastic: draw in evaluation, too. Default no.
    """

    stdev: Any = None

    def __init__(self, stdev: Any = None, stochastic: bool | None = None) -> None:
        super().__init__(stochastic)
        if stdev is None:
            self.gradInput = [torch.empty(0), torch.empty(0)]
        else:
            _need_parameter(self, stdev=stdev)
            self.stdev = stdev

    def _given(self, input: Any) -> tuple[torch.Tensor, Any]:
        mean, stdev = _two(input, self.stdev)
        if stdev is None:
            raise ArgumentError("give a stdev, or an input [mean, stdev]")
        return mean, _alike(self, stdev, mean)

    def updateOutput(self, input: Any) -> torch.Tensor:
        mean, stdev = self._given(input)
        output = resized(self.output, mean.shape)
        if not self._draws():
            return output.copy_(mean)
        random.normal(output, 0, 1)
        return output.mul_(stdev).add_(mean)

    def updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        mean, stdev = self._given(input)
        gradMean, gradStdev = _gradients(self.gradInput, mean)
        torch.sub(self.output, mean, out=resized(gradMean, mean.shape))
        if isinstance(stdev, torch.Tensor):
            gradMean.div_(stdev).div_(stdev)
        else:
            gradMean.div_(stdev**2)
        gradMean.mul_(self.rewardAs(mean)).neg_()
        if gradStdev is not None and isinstance(input, (list, tuple)):
            square = stdev * stdev
            resized(gradStdev, stdev.shape).copy_(self.output).sub_(mean).square_().sub_(square)
            gradStdev.div_(square.mul_(stdev).add_(0.00000001)).mul_(self.rewardAs(stdev)).neg_()
        return self.gradInput


class ReinforceGamma(Reinforce):
    """Draws from a gamma distribution whose shape is the input; in evaluation gives its mean, shape times scale.

    Input: the shape, any size; without ``scale`` the list of the shape and the scale, of one size. Output: as the
    shape.

    Args:
        scale: a number, or a tensor of the size of the input or of one sample. Without one it is part of the input, and
            gets a gradient.
        stochastic: draw in evaluation, too. Default no.

    As in Torch7 the draws are made of shape and scale rounded to float; they are those of the randomkit rock, which
    takes its words from Torch7's stream.
    """

    scale: Any = None

    def __init__(self, scale: Any = None, stochastic: bool | None = None) -> None:
        super().__init__(stochastic)
        if scale is None:
            self.gradInput = [torch.empty(0), torch.empty(0)]
        else:
            _need_parameter(self, scale=scale)
            self.scale = scale

    def _given(self, input: Any) -> tuple[torch.Tensor, torch.Tensor]:
        shape, scale = _two(input, self.scale)
        if scale is None:
            raise ArgumentError("give a scale, or an input [shape, scale]")
        scale = _alike(self, scale, shape)
        if isinstance(scale, torch.Tensor):
            return shape, scale.expand(shape.shape)
        return shape, torch.full_like(shape, scale)

    def updateOutput(self, input: Any) -> torch.Tensor:
        shape, scale = self._given(input)
        output = resized(self.output, shape.shape)
        return output.copy_(_gamma(shape, scale)) if self._draws() else torch.mul(shape, scale, out=output)

    def updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        shape, scale = self._given(input)
        gradShape, gradScale = _gradients(self.gradInput, shape)
        torch.log(self.output, out=resized(gradShape, shape.shape))
        gradShape.sub_(torch.digamma(shape)).sub_(scale.log()).mul_(self.rewardAs(shape)).neg_()
        if gradScale is not None and isinstance(input, (list, tuple)):
            torch.div(self.output, scale * scale, out=resized(gradScale, scale.shape))
            gradScale.sub_(shape / scale).mul_(self.rewardAs(scale)).neg_()
        return self.gradInput


def _need_parameter(cls: object, **parameters: Any) -> None:
    """Check constructor arguments that are numbers or tensors."""
    for name, value in parameters.items():
        if not isinstance(value, torch.Tensor):
            need_number(cls, **{name: value})


def _gamma(shape: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Draws from gamma distributions."""
    shape, scale = shape.float(), scale.float()
    if not (shape.gt(0).all() and scale.gt(0).all()):
        raise ArgumentError("shape and scale of a gamma distribution must be positive")
    twister = random.generator._twister
    if twister is None:
        return torch.distributions.Gamma(shape, 1 / scale).sample()
    values = twister.numpy().gamma(shape.cpu().double().numpy(), scale.cpu().double().numpy())
    return torch.from_numpy(values)


def _two(value: Any, second: Any) -> tuple[Any, Any]:
    """The two entries of a list; of anything else, itself and ``second``."""
    return tuple(value) if isinstance(value, (list, tuple)) else (value, second)


def _gradients(gradInput: Any, like: torch.Tensor) -> tuple[Any, Any]:
    """The two entries of ``gradInput``, made anew if ``clearState()`` took them; of a tensor, itself and ``None``."""
    if isinstance(gradInput, list):
        gradInput += [like.new_empty(0) for _ in range(2 - len(gradInput))]
    return _two(gradInput, None)


def _alike(module: Any, parameter: Any, like: torch.Tensor) -> Any:
    """A parameter of the distribution; a tensor must be for the batch ``like``, or for one sample of it."""
    if isinstance(parameter, torch.Tensor):
        fits = parameter.shape in (like.shape, like.shape[1:])
        module._want(fits, f"a parameter of the size of the input, {tuple(like.shape)}, or of a sample", parameter)
    return parameter


class _Reward(Criterion):
    """A criterion that rewards right classes; the second input is the reward that was expected, the baseline.

    Args:
        module: what gets the reward, less the baseline, by its method ``reinforce``.
        scale: the reward for the right class, default 1.
        criterion: teaches the baseline to be the reward; default an ``nn.MSECriterion``.

    ``sizeAverage`` (true): divide by the number of samples.
    """

    sizeAverage = True

    def __init__(self, module: Module, scale: float | None = None, criterion: Criterion | None = None) -> None:
        super().__init__()
        if isinstance(module, type) or not callable(getattr(module, "reinforce", None)):
            refuse(self, "module", "a module, or something else with a method reinforce", module)
        self.module: Any = module
        self.scale = given(scale, 1)
        need_number(self, scale=self.scale)
        self.criterion = need_criterion(self, MSECriterion() if criterion is None else criterion)
        self.sizeAverage = True
        self.gradInput = [torch.empty(0)]

    def _rewarded(self, right: torch.Tensor, input: torch.Tensor) -> float:
        """Keep the reward for where ``right`` is true; returns the loss."""
        if self.__dict__.get("reward") is None:
            self.reward = torch.empty(0, dtype=input.dtype, device=input.device)
        resized(self.reward, right.shape).copy_(right).mul_(self.scale)
        self.output = -self.reward.sum().item()
        if self.sizeAverage:
            self.output /= input.shape[0]
        return self.output

    def _reinforced(self, input: torch.Tensor, baseline: torch.Tensor) -> None:
        """Hand the reward to the module, and compute the gradients."""
        self._want(baseline.numel() == self.reward.numel(), f"a baseline for {self.reward.numel()} samples", baseline)
        reward = self.reward - baseline.reshape(self.reward.shape)
        self.vrReward = reward.div_(input.shape[0]) if self.sizeAverage else reward
        self.module.reinforce(self.vrReward)
        resized(self.gradInput[0], input.shape).zero_()
        self.gradInput[1:] = [self.criterion.backward(baseline, self.reward)]

    def _convert(self, dtype: Any, device: Any, cache: dict) -> None:
        module = self.module  # it is converted where it belongs
        del self.module
        super()._convert(dtype, device, cache)
        self.module = module


class VRClassReward(_Reward):
    """Rewards a prediction whose largest element stands where the target says; the loss is minus the mean reward.

    Input: a list of the prediction, N x classes, and the baseline, N x 1; or one sample, classes and 1. Target: the
    classes, N, from 1. The gradient for the prediction is zero; see :class:`Reinforce`.

    Args:
        module: what gets the reward, less the baseline, by its method ``reinforce``.
        scale: the reward for the right class, default 1.
        criterion: teaches the baseline to be the reward; default an ``nn.MSECriterion``.
    """

    def updateOutput(self, input: list, target: torch.Tensor) -> float:
        prediction = toBatch(self, input[0], 1)
        classes = prediction.max(1).indices.add_(1)
        self._want(target.numel() == classes.numel(), f"a target of {classes.numel()} classes", target)
        return self._rewarded(classes == target.reshape(-1), prediction)

    def updateGradInput(self, input: list, target: torch.Tensor) -> list:
        prediction, baseline = toBatch(self, input[0], 1), toBatch(self, input[1], 1)
        self._reinforced(prediction, baseline)
        self.gradInput[:] = [fromBatch(self, grad, 1) for grad in self.gradInput]
        return self.gradInput


class BinaryClassReward(_Reward):
    """Rewards a prediction that is above 0.5 where the target is 1, and not where it is 0.

    Input: a list of the prediction and the baseline, N each. Target: N, 0 or 1. The loss is minus the mean reward, the
    gradient for the prediction is zero; see :class:`Reinforce`.

    Args:
        module: what gets the reward, less the baseline, by its method ``reinforce``.
        scale: the reward for the right class, default 1.
        criterion: teaches the baseline to be the reward; default an ``nn.MSECriterion``.
    """

    def updateOutput(self, input: list, target: torch.Tensor) -> float:
        prediction = input[0]
        self._want(prediction.dim() == 1, "a vector of predictions", prediction)
        self._want(target.shape == prediction.shape, f"a target of {len(prediction)} numbers", target)
        return self._rewarded((prediction > 0.5) == target, prediction)

    def updateGradInput(self, input: list, target: torch.Tensor) -> list:
        self._reinforced(*input)
        return self.gradInput
