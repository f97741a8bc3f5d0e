"""crnn (bgshih/crnn): reading text in images with recurrent nets over tables of steps.

Its layers hold one net that computes a step and, for training, copies of it that share its parameters. As in crnn they
compute as in evaluation until ``training()`` has been called; weights start uniform from -0.08 to 0.08, biases at 0.
"""

from __future__ import annotations

from typing import Any

import torch

from .. import random
from ..errors import ModuleError
from ..nn._kernels import resized
from ..nn._nested import copied
from ..nn._object import given, need_size
from ..nn.criterion import Criterion
from ..nn.dropout import Dropout
from ..nn.identity import Identity
from ..nn.linear import Linear
from ..nn.module import Module
from ..nn.selecting import Narrow
from ..nn.table import CAddTable, CMulTable
from ..nn.transfer import Sigmoid, Tanh
from ..nngraph import gModule
from ..table import Table

__all__ = ["BiRnnJoin", "CtcCriterion", "LstmLayer", "SharedParallelTable"]


class _Stepwise(Module):
    """What the layers share: ``maxT`` copies of a net, in ``clones``, which share its parameters."""

    train = False  # until training() says so
    _net = ""  # the field that holds the net

    def __init__(self, maxT: int) -> None:
        super().__init__()
        need_size(self, maxT=maxT)
        self.maxT = maxT
        self.output: list = []
        self.gradInput: list = []
        self.clones: list = []

    def reset(self, stdv: float | None = None) -> None:
        """Draw the parameters anew; those at odd places are taken for weights, the others for biases."""
        for i, parameter in enumerate(self.parameters()[0] or ()):
            if i % 2:
                parameter.zero_()
            else:
                random.uniform(parameter, -0.08, 0.08)

    def parameters(self) -> tuple[list[torch.Tensor] | None, list[torch.Tensor] | None]:
        return getattr(self, self._net).parameters()

    def _nets(self, count: int) -> list[Any]:
        """The net for each of ``count`` steps: the copies in training, the net itself else."""
        net = getattr(self, self._net)
        if not self.train:
            return [net] * count
        self._want(count <= self.maxT, f"{self.maxT} steps at most", [count])
        own = _tensors(net)
        if not self.clones:
            self.clones = [net.clone() for _ in range(self.maxT)]
        elif all(a.data_ptr() == b.data_ptr() for a, b in zip(_tensors(self.clones[-1]), own)):
            return self.clones[:count]
        for clone in self.clones:  # they are new, or getParameters() has moved the parameters since
            for theirs, mine in zip(_tensors(clone), own):
                theirs.set_(mine)
        return self.clones[:count]

    def _trained(self, count: int) -> list[Any]:
        """The copies that computed the last forward of ``count`` steps."""
        if not self.clones:
            raise ModuleError("the last forward was one of evaluation: call training() before it")
        return self.clones[:count]

    def _kept(self, value: Any) -> Any:
        """What a step gave: in evaluation a copy, for the next step overwrites it."""
        return value if self.train else copied(None, value)


def _tensors(net: Any) -> list[torch.Tensor]:
    """The parameters of a net and their gradients."""
    return [tensor for tensors in net.parameters() for tensor in tensors or ()]


class BiRnnJoin(_Stepwise):
    """The outputs of a forward and a backward layer, joined step by step: ``W1 f + b1 + W2 b + b2``.

    Input: a list of two lists of N x nIn, as long as there are steps. Output: a list of N x nOut.

    Args:
        nIn, nOut: the numbers of inputs and outputs.
        maxT: how many steps there are in training at most.
    """

    _net = "joinUnit"

    def __init__(self, nIn: int, nOut: int, maxT: int) -> None:
        super().__init__(maxT)
        forward, backward = Identity()(), Identity()()
        joined = CAddTable()([Linear(nIn, nOut)(forward), Linear(nIn, nOut)(backward)])
        self.joinUnit = gModule([forward, backward], [joined])
        self.reset()

    def updateOutput(self, input: list) -> list[torch.Tensor]:
        self._want(len(input) == 2 and len(input[0]) == len(input[1]), "two lists of as many steps", input)
        nets = self._nets(len(input[0]))
        self.output = [self._kept(net.updateOutput(list(x))) for net, *x in zip(nets, *input)]
        return self.output

    def updateGradInput(self, input: list, gradOutput: list) -> list:
        steps = zip(self._trained(len(gradOutput)), zip(*input), gradOutput)
        grads = [net.updateGradInput(list(x), g) for net, x, g in steps]
        self.gradInput[:] = [[g[0] for g in grads], [g[1] for g in grads]]
        return self.gradInput

    def accGradParameters(self, input: list, gradOutput: list, scale: float = 1) -> None:
        for net, x, g in zip(self._trained(len(gradOutput)), zip(*input), gradOutput):
            net.accGradParameters(list(x), g, scale)


class SharedParallelTable(_Stepwise):
    """One net for every entry of a table.

    Input: a list of what the net takes. Output: the list of what it gives.

    Args:
        unit: the net; its parameters are drawn anew.
        maxT: how many entries there are in training at most.
    """

    _net = "unit"

    def __init__(self, unit: Module, maxT: int) -> None:
        super().__init__(maxT)
        self.unit = unit
        self.reset()

    def updateOutput(self, input: list) -> list:
        self.output = [copied(None, net.updateOutput(x)) for net, x in zip(self._nets(len(input)), input)]
        return self.output

    def updateGradInput(self, input: list, gradOutput: list) -> list:
        self._want(len(input) == len(gradOutput), f"{len(input)} entries", gradOutput)
        steps = zip(self._trained(len(input)), input, gradOutput)
        self.gradInput[: len(input)] = [net.updateGradInput(x, g) for net, x, g in steps]
        return self.gradInput

    def accGradParameters(self, input: list, gradOutput: list, scale: float = 1) -> None:
        for net, x, g in zip(self._trained(len(input)), input, gradOutput):
            net.accGradParameters(x, g, scale)


def _lstm(nIn: int, nHidden: int, dropout: float) -> gModule:
    """The net of one step: ``[x, c, h]`` to ``[c', h', h']``, gates in the order input, forget, output, tanh."""
    x, c, h = inputs = [Identity()() for _ in range(3)]
    if dropout > 0:
        x = Dropout(dropout)(x)
    sums = CAddTable()([Linear(nIn, 4 * nHidden)(x), Linear(nHidden, 4 * nHidden)(h)])
    gates = Sigmoid()(Narrow(2, 1, 3 * nHidden)(sums))
    enter, forget, leave = (Narrow(2, 1 + i * nHidden, nHidden)(gates) for i in range(3))
    new = Tanh()(Narrow(2, 3 * nHidden + 1, nHidden)(sums))
    c = CAddTable()([CMulTable()([forget, c]), CMulTable()([enter, new])])
    h = CMulTable()([leave, Tanh()(c)])
    return gModule(inputs, [c, h, Identity()(h)])


class LstmLayer(_Stepwise):
    """A long short-term memory over a table of steps. It starts from zeros, which get no gradient.

    Input: a list of N x nIn. Output: a list of N x nHidden.

    Args:
        nIn, nHidden: the numbers of inputs and of hidden units.
        maxT: how many steps there are in training at most.
        dropout: the probability with which an input is dropped; default 0.
        reverse: go from the last step to the first; default no.
    """

    _net = "lstmUnit"

    def __init__(
        self, nIn: int, nHidden: int, maxT: int, dropout: float | None = None, reverse: bool | None = None
    ) -> None:
        super().__init__(maxT)
        need_size(self, nIn=nIn, nHidden=nHidden)
        self.dropout = given(dropout, 0)
        self.reverse = bool(reverse)
        self.nHidden = nHidden
        self.lstmUnit = _lstm(nIn, nHidden, self.dropout)
        self.initState = [torch.empty(0), torch.empty(0)]
        self.reset()

    @staticmethod
    def _fits(fields: dict) -> bool:
        return "lstmUnit" in fields

    def training(self) -> None:
        super().training()
        for net in (self.lstmUnit, *self.clones):
            net.training()

    def evaluate(self) -> None:
        super().evaluate()
        for net in (self.lstmUnit, *self.clones):
            net.evaluate()

    def _order(self, count: int) -> tuple[Any, int]:
        """The numbers of the steps in the order in which they are taken, from 1, and what leads on to the next."""
        return (range(count, 0, -1), -1) if self.reverse else (range(1, count + 1), 1)

    def _zeros(self, like: torch.Tensor) -> list[torch.Tensor]:
        return [like.new_zeros(len(like), self.nHidden) for _ in range(2)]

    def updateOutput(self, input: list[torch.Tensor]) -> list[torch.Tensor]:
        nets = self._nets(len(input))
        steps, on = self._order(len(input))
        self.rnnState = Table({steps[0] - on: self._zeros(input[0])})
        self.output = [None] * len(input)
        for t in steps:
            found = self._kept(nets[t - 1].updateOutput([input[t - 1], *self.rnnState[t - on]]))
            self.rnnState[t] = found[:2]
            self.output[t - 1] = found[2]
        return self.output

    def updateGradInput(self, input: list[torch.Tensor], gradOutput: list[torch.Tensor]) -> list[torch.Tensor]:
        self._want(len(input) == len(gradOutput), f"{len(input)} steps", gradOutput)
        nets = self._trained(len(input))
        steps, on = self._order(len(input))
        self.drnnState = Table({steps[-1]: self._zeros(input[0])})
        self.gradInput = [None] * len(input)
        for t in reversed(steps):
            self.drnnState[t].append(gradOutput[t - 1])
            grads = nets[t - 1].updateGradInput([input[t - 1], *self.rnnState[t - on]], self.drnnState[t])
            self.gradInput[t - 1] = grads[0]
            self.drnnState[t - on] = grads[1:]
        return self.gradInput

    def accGradParameters(self, input: list[torch.Tensor], gradOutput: list[torch.Tensor], scale: float = 1) -> None:
        nets = self._trained(len(input))
        steps, on = self._order(len(input))
        for t in steps:
            nets[t - 1].accGradParameters([input[t - 1], *self.rnnState[t - on]], self.drnnState[t], scale)


class CtcCriterion(Criterion):
    """Connectionist temporal classification: minus the log likelihood of label sequences, summed over the samples.

    Input: logarithms of probabilities, N x T x classes, class 1 of which is the blank. Target: N x L labels from 1 on,
    label ``k`` being class ``k + 1``; a 0 ends a sequence. The gradient is with respect to each logarithm on its own: a
    LogSoftMax before it makes that of scores. What cannot be read from T steps costs infinity, and has no gradient.
    """

    def forward(self, input: torch.Tensor, target: Any = None, forwardOnly: bool | None = None) -> float:
        """``updateOutput(input, target, forwardOnly)``: the number."""
        return self.updateOutput(input, target, forwardOnly)

    def updateOutput(self, input: torch.Tensor, target: torch.Tensor, forwardOnly: bool | None = None) -> float:
        """Compute the number and, unless ``forwardOnly``, the gradient; return the number."""
        self._want(input.dim() == 3, "N x T x classes", input)
        self._want(target.dim() == 2 and len(target) == len(input), f"{len(input)} rows of labels", target)
        (N, T, _), L = input.shape, target.shape[1]
        lengths = (target == 0).to(torch.uint8).argmax(1).masked_fill((target != 0).all(1), L).unsqueeze(1)
        # blank, label, blank, label, ... blank; what is beyond the end of a sequence is never reached from it
        states = torch.zeros(N, 2 * L + 1, dtype=torch.int64, device=input.device)
        states[:, 1::2] = target
        number = torch.arange(2 * L + 1, device=input.device)
        never = input.new_tensor(-torch.inf)
        skips = torch.zeros_like(states, dtype=torch.bool)  # whether a state can follow the one before the last
        skips[:, 2:] = (states[:, 2:] != states[:, :-2]) & (states[:, 2:] != 0)
        emitted = input.gather(2, states.unsqueeze(1).expand(-1, T, -1))
        emitted = emitted.where((number <= 2 * lengths).unsqueeze(1), never)

        def step(now: torch.Tensor, skips: torch.Tensor) -> torch.Tensor:
            """One step on: each state from itself, from the one before and, where it can, from that before the last."""
            one = torch.nn.functional.pad(now, (1, 0), value=-torch.inf)[:, :-1]
            two = torch.nn.functional.pad(now, (2, 0), value=-torch.inf)[:, :-2].where(skips, never)
            return torch.logaddexp(torch.logaddexp(now, one), two)

        before = [emitted[:, 0].where(number < 2, never)]
        for t in range(1, T):
            before.append(step(before[-1], skips) + emitted[:, t])
        last = (number == 2 * lengths) | (number == 2 * lengths - 1)
        likelihood = before[-1].where(last, never).logsumexp(1, keepdim=True)
        if not forwardOnly:
            backwards = torch.nn.functional.pad(skips, (0, 2))[:, 2:].flip(1)
            after = [input.new_zeros(last.shape).where(last, never)]
            for t in range(T - 1, 0, -1):
                after.append(step((after[-1] + emitted[:, t]).flip(1), backwards).flip(1))
            shares = torch.stack(before, 1) + torch.stack(after[::-1], 1) - likelihood.unsqueeze(2)
            shares = shares.exp_().nan_to_num_(0)
            gradInput = resized(self.gradInput, input.shape).zero_()
            gradInput.scatter_add_(2, states.unsqueeze(1).expand(-1, T, -1), shares.neg_())
        self.output = -likelihood.sum().item()
        return self.output

    def updateGradInput(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return self.gradInput
