"""Recurrent nets of any modules: the simple one, one that gets its own output, and what steadies their states."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch

from ...errors import ArgumentError, ModuleError, ShapeError
from ...nn import Add, CAddTable, Decorator, Module, ParallelTable, Sequential, Sigmoid
from ...nn._guard import describe
from ...nn._kernels import resized
from ...nn._nested import buffer
from ...nn._object import given
from ...types import Storage
from . import module as extensions
from .recurrent import AbstractRecurrent, Go, first, need_module, need_state
from .small import CopyGrad


class Recurrent(AbstractRecurrent):
    """The simple recurrent net: ``y(t) = transfer(merge(input(x(t)), feedback(y(t-1))))``; ``y(1) =
    transfer(start(input(x(1))))``.

    Input: what ``input`` takes. Output: what ``transfer`` gives.

    Args:
        start: for the first step: a module, or a size (a number, or a list of them) for an ``nn.Add`` of that size.
        input: the module for the input.
        feedback: the module for the output of the step before.
        transfer: what gives the output, default ``nn.Sigmoid()``.
        rho: as for :class:`AbstractRecurrent`.
        merge: the module that takes the two together, default ``nn.CAddTable()``.

    The first step has clones of ``input`` and ``transfer`` of its own, in ``initialModule``.
    """

    initialModule: Any
    inputModule: Any
    transferModule: Any

    def __init__(
        self,
        start: Any,
        input: Module,
        feedback: Module,
        transfer: Module | None = None,
        rho: int | None = None,
        merge: Module | None = None,
    ) -> None:
        super().__init__(rho)
        if isinstance(start, (list, tuple, Storage)):
            if len(start) != 1:
                raise ArgumentError(f"{self._typename}: a start of several dimensions, give a module instead")
            start = start[0]
        self.startModule = Add(start) if isinstance(start, int) else need_module(self, start)
        self.inputModule = need_module(self, input)
        self.feedbackModule = need_module(self, feedback)
        self.transferModule = Sigmoid() if transfer is None else need_module(self, transfer)
        self.mergeModule = CAddTable() if merge is None else need_module(self, merge)
        self.modules = [self.startModule, input, feedback, self.transferModule, self.mergeModule]
        self.buildInitialModule()
        self.buildRecurrentModule()
        self.sharedClones[2] = self.recurrentModule

    def buildInitialModule(self) -> None:
        """Make the module of the first step."""
        self.initialModule = Sequential().add(self.inputModule.sharedClone()).add(self.startModule)
        self.initialModule.add(self.transferModule.sharedClone())

    def buildRecurrentModule(self) -> None:
        """Make the module of the other steps."""
        both = ParallelTable().add(self.inputModule).add(self.feedbackModule)
        self.recurrentModule = Sequential().add(both).add(self.mergeModule).add(self.transferModule)

    def _followers(self) -> Iterator[tuple[Module, Module]]:
        yield from super()._followers()
        yield self.inputModule, self.initialModule.modules[0]
        yield self.transferModule, self.initialModule.modules[2]

    def _updateOutput(self, input: Any) -> Any:
        if self.step == 1:
            return self.initialModule.updateOutput(input)
        return self._now().updateOutput([input, self.outputs[self.step - 1]])

    def _back(self, step: int, input: Any, gradOutput: Any, go: Go) -> Any:
        if self.gradPrevOutput is not None:
            gradOutput = self._total(step, self.gradPrevOutput, gradOutput)
        if step == 1:
            return go(self.initialModule, input, gradOutput)
        gradInput, self.gradPrevOutput = go(self.getStepModule(step), [input, self.outputs[step - 1]], gradOutput)
        return gradInput

    def _accGradParameters(self, input: Any, gradOutput: Any, scale: float) -> None:
        step = self.accGradParametersStep - 1
        if step < self.step - 1:
            gradOutput = self._gradOutputs[step]
        if step == 1:
            self.initialModule.accGradParameters(input, gradOutput, scale)
        else:
            self.getStepModule(step).accGradParameters([input, self.outputs[step - 1]], gradOutput, scale)

    def _others(self) -> list[Module]:
        return [self.initialModule]

    def reinforce(self, reward: Any) -> None:
        if isinstance(reward, (list, tuple)):
            for step, one in enumerate(reward, 1):
                (self.initialModule if step == 1 else self.getStepModule(step)).reinforce(one)
        else:
            super().reinforce(reward)

    def maskZero(self, nInputDim: int) -> Any:
        raise ModuleError(f"{self._typename} has no maskZero, for its first step has another module: use Recurrence")

    def trimZero(self, nInputDim: int) -> Any:
        raise ModuleError(f"{self._typename} has no trimZero, for its first step has another module: use Recurrence")

    def __tostring__(self) -> str:
        def inside(module: Module, indent: str) -> str:
            return module.__tostring__().replace("\n", "\n" + indent)

        return "\n".join((
            f"{self._typename} {{",
            "  [{input(t), output(t-1)} -> (1) -> (2) -> (3) -> output(t)]",
            "  (1):  {",
            "    input(t)",
            f"      |`-> (t==0): {inside(self.startModule, '    |    ')}",
            f"      |`-> (t~=0): {inside(self.inputModule, '    |    ')}",
            "    output(t-1)",
            f"      |`-> {inside(self.feedbackModule, '      |    ')}",
            "  }",
            f"  (2): {inside(self.mergeModule, '  ')}",
            f"  (3): {inside(self.transferModule, '  ')}",
            "}",
        ))  # fmt: skip


class Recurrence(AbstractRecurrent):
    """A module that gets its own last output as well: ``y(t) = f([x(t), y(t-1)])``, ``y(0) = 0``.

    Input: what ``f`` takes as the first entry. Output: that of ``f``, a tensor or a table.

    Args:
        recurrentModule: ``f``.
        outputSize: the size of an output without a batch: a number, a list of numbers, or nested lists of these for an
            output that is a table.
        nInputDim: how many dimensions the first tensor of an input has without a batch.
        rho: default 9999.

    ``userPrevOutput``, if it is set, is ``y(0)``; ``userNextGradOutput`` the gradient that comes from behind the last
    step.
    """

    zeroTensor: Any = None

    def __init__(self, recurrentModule: Module, outputSize: Any, nInputDim: int, rho: int | None = None) -> None:
        super().__init__(given(rho, 9999))
        if isinstance(outputSize, bool) or not isinstance(outputSize, (int, list, tuple, Storage)):
            raise ArgumentError(f"{self._typename}: outputSize must be a size or a table, got {describe(outputSize)}")
        self.outputSize = [outputSize] if isinstance(outputSize, int) else outputSize
        if isinstance(nInputDim, bool) or not isinstance(nInputDim, int):
            raise ArgumentError(f"{self._typename}: nInputDim must be a number, got {describe(nInputDim)}")
        self.nInputDim = nInputDim
        self.module = need_module(self, recurrentModule)
        self._use(recurrentModule)
        self.typeTensor = torch.empty(0)

    def recursiveResizeZero(self, tensor: Any, size: Any, batchSize: int | None = None) -> Any:
        """``tensor``, made a nested table of zeros of the sizes in ``size``, with ``batchSize`` before each."""
        if size and not isinstance(size, Storage) and not isinstance(size[0], (int, float)):
            tensor = tensor if isinstance(tensor, list) else []
            tensor += [None] * (len(size) - len(tensor))
            tensor[: len(size)] = [self.recursiveResizeZero(t, s, batchSize) for t, s in zip(tensor, size)]
            return tensor
        whole = (*(() if batchSize is None else (batchSize,)), *(int(n) for n in size))
        if not isinstance(tensor, torch.Tensor):
            tensor = torch.empty(0, dtype=self.typeTensor.dtype, device=self.typeTensor.device)
        return resized(tensor, whole).zero_()

    def getBatchSize(self, input: Any, nInputDim: int | None = None) -> int | None:
        """The size of the batch in ``input``, told by its first tensor; ``None`` without one."""
        while isinstance(input, (list, tuple)):
            input = input[0]
        extra = input.dim() - given(nInputDim, self.nInputDim)
        if extra not in (0, 1):
            raise ShapeError(f"wanted {self.nInputDim} dimensions, or a batch of these, got {describe(input)}")
        return input.shape[0] if extra else None

    def _state(self, step: int, input: Any = None) -> Any:
        """The output of a step; for step 0 what the first step begins with."""
        if step != 0:
            return self.outputs.get(step)
        if input is not None:
            self.zeroTensor = self.recursiveResizeZero(self.zeroTensor, self.outputSize, self.getBatchSize(input))
        return first(self.userPrevOutput, self.outputs.get(0), self.zeroTensor)

    def _gradState(self, step: int) -> Any:
        """The gradient of the output of a step that comes from the next one."""
        if step != self.step - 1:
            return self.gradOutputs.get(step)
        return first(self.userNextGradOutput, self.gradOutputs.get(step), self.zeroTensor)

    def getHiddenState(self, step: int | None = None, input: Any = None) -> list:
        """The output of a step, and the states of recurrent modules within: a list of the two.

        Args:
            step: default the last one; 0 is before the first.
            input: makes the zeros for step 0 as large as it needs.
        """
        step = self._number(step)
        return [self._state(step, input), extensions.getHiddenState(self, step)]

    def setHiddenState(self, step: int, hiddenState: Any) -> None:
        """Take ``hiddenState``, a list as :meth:`getHiddenState` gives it, for that of a step; the second entry may be
        left out.
        """
        step = self._number(step)
        self.outputs[step] = need_state(self, hiddenState)[0]
        if len(hiddenState) > 1 and hiddenState[1] is not None:
            extensions.setHiddenState(self, step, hiddenState[1])

    def getGradHiddenState(self, step: int | None = None, input: Any = None) -> list:
        step = self._number(step, self.updateGradInputStep)
        return [self._gradState(step), extensions.getGradHiddenState(self, step)]

    def setGradHiddenState(self, step: int, gradHiddenState: Any) -> None:
        step = self._number(step, self.updateGradInputStep)
        self.gradOutputs[step] = need_state(self, gradHiddenState)[0]
        if len(gradHiddenState) > 1 and gradHiddenState[1] is not None:
            extensions.setGradHiddenState(self, step, gradHiddenState[1])

    def _updateOutput(self, input: Any) -> Any:
        state = self._state(self.step - 1, input)
        return self._now().updateOutput([input, state])

    def _back(self, step: int, input: Any, gradOutput: Any, go: Go) -> Any:
        total = self._total(step, self._gradState(step), gradOutput)
        gradInput, self.gradOutputs[step - 1] = go(self.getStepModule(step), [input, self._state(step - 1)], total)
        return gradInput

    def _accGradParameters(self, input: Any, gradOutput: Any, scale: float) -> None:
        step = self.accGradParametersStep - 1
        total = first(self._gradOutputs.get(step), self._gradState(step))
        self.getStepModule(step).accGradParameters([input, self._state(step - 1)], total, scale)

    __tostring__ = Decorator.__tostring__


class NormStabilizer(AbstractRecurrent):
    """Hands its input on, and adds to the gradients what holds the length of the hidden state steady over the steps.

    Input, output: N x size.

    Args:
        beta: the weight of that, default 1.

    :meth:`updateLoss` computes the loss. As in rnn it is not the one whose gradient is added: it squares the sum of the
    lengths of neighbouring steps, the gradient takes their difference.
    """

    _normsum: Any = None
    _gradInput: Any = None

    def __init__(self, beta: float | None = None) -> None:
        super().__init__(99999)
        self.beta = given(beta, 1)
        self._use(CopyGrad())

    def _updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self._want(input.dim() == 2, "N x size", input)
        module = self._now()
        output = module.updateOutput(input)
        if self.train:
            module.norm = buffer(getattr(module, "norm", None), output[:, :1])
            torch.linalg.vector_norm(output, 2, 1, keepdim=True, out=module.norm)
        return output

    def updateLoss(self) -> float:
        """The loss over all steps: ``beta`` times the mean of ``(|h(t-1)| + |h(t)|)²``, added up over the steps from
        the second on, and divided by the number of steps. It is kept in ``loss``.
        """
        norms = [self.getStepModule(step).norm for step in range(1, self.step)]
        total = sum(float((one + other).square().mean()) for one, other in pairwise(norms))
        self.loss = self.beta * total / (self.step - 1) if self.step > 1 else math.nan
        return self.loss

    def _back(self, step: int, input: torch.Tensor, gradOutput: torch.Tensor, go: Go) -> torch.Tensor:
        module = self.getStepModule(step)
        gradInput = module.updateGradInput(input, gradOutput)
        for other in (step - 1, step + 1):
            if 0 < other < self.step:
                change = (module.norm - self.getStepModule(other).norm).mul_(2 * self.beta).div_(module.norm)
                gradInput.add_((module.output / module.output.shape[0]).mul_(change))
        return gradInput

    def _accGradParameters(self, input: Any, gradOutput: Any, scale: float) -> None:
        """There are none."""

    def __tostring__(self) -> str:
        return self._typename
