"""Modules that take a sequence one step at a time, and go back through it in the reverse order.

In training each step has a module of its own, a clone that shares the parameters and their gradients, so that all it
computed is there when the gradients come back. The clones are made once and used again for the next sequence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch

from ...errors import ArgumentError, ModuleError, ShapeError, TensorTypeError
from ...nn import Add, CAddTable, Container, Decorator, Module, ParallelTable, Sequential, Sigmoid, utils
from ...nn._guard import describe
from ...nn._kernels import resized
from ...nn._nested import added, buffer, copied
from ...nn._object import given
from ...table import Table
from ...types import Storage
from . import module as extensions
from .masking import MaskZero, TrimZero
from .small import CopyGrad

Go = Callable[[Module, Any, Any], Any]
"""Goes back through the module of one step, given its input and gradOutput; returns its gradInput."""


def _gradient(module: Module, input: Any, gradOutput: Any) -> Any:
    return module.updateGradInput(input, gradOutput)


class AbstractRecurrent(Container):
    """The base of modules that keep a state from one step to the next: ``forward`` is a step.

    ``backward`` goes back, called once for each step, the last one first, with the step's own input. The state is
    nothing at first and after :meth:`forget`. In evaluation all steps use one module and the same memory, and there is
    no way back.

    A subclass defines ``_updateOutput(input)``, which computes step ``self.step``; ``_updateGradInput(input,
    gradOutput)``, for step ``self.updateGradInputStep - 1``; and ``_accGradParameters(input, gradOutput, scale)``, for
    step ``self.accGradParametersStep - 1``. It sets ``recurrentModule`` and enters it in ``sharedClones`` and
    ``modules``.

    Args:
        rho: through how many steps gradients go back at most, default 99999. A sequencer sets it to the length of each
            sequence.

    Attributes:
        step: the number of the next step, from 1.
        recurrentModule: what computes a step; used itself in evaluation, and for a step of training.
        sharedClones: the modules of the steps, by number.
        outputs, gradInputs: of the steps, by number.
    """

    dpnn_stepclone = True  # a step clone of a net around it uses the same object
    rho = 99999
    step = 1
    recurrentModule: Any = None
    updateGradInputStep: int | None = None
    accGradParametersStep: int | None = None
    gradPrevOutput: Any = None
    nSharedClone: int | None = None
    rmInSharedClones: bool | None = None
    userPrevOutput: Any = None
    userNextGradOutput: Any = None
    inputSize: Any = None
    outputSize: Any = None

    _by_step: tuple[str, ...] = ("sharedClones", "outputs", "gradInputs", "_gradOutputs", "gradOutputs")
    """Fields with an entry for each step: dicts, for the numbers need not be 1..n."""

    def __init__(self, rho: int | None = None) -> None:
        super().__init__()
        self.rho = given(rho, 99999)
        self.step = 1
        for name in self._by_step:
            setattr(self, name, Table())

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        for name in self._by_step:
            value = self.__dict__.get(name)
            if value is None:
                setattr(self, name, Table())  # older versions lack some
            elif isinstance(value, list):
                setattr(self, name, Table((i, value[i - 1]) for i in getattr(value, "order", ()) or _numbers(value)))

    def _use(self, module: Module) -> None:
        """Take ``module`` as the one that computes a step."""
        self.recurrentModule = module
        self.sharedClones = Table({1: module})
        self.modules[:1] = [module]
        self._cache = None

    # Steps

    def getStepModule(self, step: int) -> Any:
        """The module of a step, counted from 1; made if it is not there."""
        module = self.sharedClones.get(step)
        if module is None:
            module = self.sharedClones[step] = self.recurrentModule.stepClone()
            self.nSharedClone = len(self.sharedClones)
        return module

    def maskZero(self, nInputDim: int) -> Any:
        """Set output and state to zero where a row of the input is all zeros; returns the module.

        Args:
            nInputDim: the number of dimensions of an input without a batch.
        """
        self._use(MaskZero(self.recurrentModule, nInputDim, True))
        return self

    def trimZero(self, nInputDim: int) -> Any:
        """As :meth:`maskZero`, with these rows left out of the computation."""
        if self._typename == "nn.GRU" and self.p != 0 and not self.mono:
            raise ArgumentError(f"{self._typename}: trimZero with dropout needs mono")
        self._use(TrimZero(self.recurrentModule, nInputDim, True))
        return self

    def recycle(self, offset: int | None = None) -> Any:
        """Give the next step the module of the oldest one that gradients no longer reach; returns this module."""
        if self.nSharedClone is None:
            self.nSharedClone = len(self.sharedClones)
        step, rho = self.step, max(self.rho + 1, self.nSharedClone)
        if step not in self.sharedClones:
            for kept in (self.sharedClones, self._gradOutputs):
                old = kept.pop(step - rho, None)
                if old is not None:
                    kept[step] = old
        self.outputs.pop(step - rho - 1, None)
        self.gradInputs.pop(step - rho - 1, None)
        return self

    def _now(self) -> Any:
        """The module that computes the next step."""
        if not self.train:
            return self.recurrentModule
        self.recycle()
        return self.getStepModule(self.step)

    def _followers(self) -> Iterator[tuple[Module, Module]]:
        """Modules whose parameters others share, and these others."""
        for clone in self.sharedClones.values():
            if clone is not self.recurrentModule:
                yield self.recurrentModule, clone

    def _follow(self) -> None:
        """Share the parameters with the modules of the steps again, if they have moved, as by ``getParameters``."""
        tensors, places = self._cache or ((), None)
        if self.step == 1 or not tensors:
            tensors = [t for m in self.recurrentModule.listModules() for name in _names(m) if (t := getattr(m, name)) is not None]
        now = [t.data_ptr() for t in tensors]
        if now != places:
            for module, follower in self._followers():
                _share(module, follower)
        self._cache = tensors, now

    def forget(self) -> Any:
        for module in self.modules:
            module.forget()
        if self.train:
            self.outputs, self.gradInputs, self.gradOutputs = Table(), Table(), Table()
            self.sharedClones = _compact(self.sharedClones)
            self._gradOutputs = _compact(self._gradOutputs)
        self.step = 1
        if self.rmInSharedClones is None:
            if any(clone is self.recurrentModule for clone in self.sharedClones.values()):
                self.rmInSharedClones = True
            elif len(self.sharedClones) > 1:  # as old versions left it: evaluation uses what was trained
                self.recurrentModule = self.sharedClones[1]
                self.rmInSharedClones = True
        return self

    # Computing

    def updateOutput(self, input: Any) -> Any:
        self._follow()
        output = self._updateOutput(input)
        self.outputs[self.step] = self.output = output
        self.step += 1
        self.gradPrevOutput = self.updateGradInputStep = self.accGradParametersStep = None
        return output

    def updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        if self.updateGradInputStep is None:
            self.updateGradInputStep = self.step
        self._want_step(self.updateGradInputStep)
        self.gradInput = self._updateGradInput(input, gradOutput)
        self.updateGradInputStep -= 1
        self.gradInputs[self.updateGradInputStep] = self.gradInput
        return self.gradInput

    def accGradParameters(self, input: Any, gradOutput: Any, scale: float = 1) -> None:
        if self.updateGradInputStep is None or self.updateGradInputStep >= self.step:
            raise ModuleError("accGradParameters needs updateGradInput before it")
        if self.accGradParametersStep is None:
            self.accGradParametersStep = self.step
        self._want_step(self.accGradParametersStep)
        self._accGradParameters(input, gradOutput, scale)
        self.accGradParametersStep -= 1

    def backward(self, input: Any, gradOutput: Any, scale: float = 1) -> Any:
        own = type(self)._updateGradInput is AbstractRecurrent._updateGradInput
        if not own or self.updateGradInputStep != self.accGradParametersStep:
            return super().backward(input, gradOutput, scale)
        step = given(self.updateGradInputStep, self.step)
        self._want_step(step)
        self.gradInput = self._back(step - 1, input, gradOutput, lambda m, x, g: m.backward(x, g, scale))
        self.updateGradInputStep = self.accGradParametersStep = step - 1
        self.gradInputs[step - 1] = self.gradInput
        return self.gradInput

    def _want_step(self, step: int) -> None:
        if step < 2:
            raise ModuleError(
                "no step is left to go back through" if self.step > 1 else "backward needs at least one forward before"
            )

    def _updateOutput(self, input: Any) -> Any:
        """Compute the output of step ``self.step``."""
        raise ModuleError(f"{self._typename} does not define _updateOutput")

    def _updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        """Compute gradInput for step ``self.updateGradInputStep - 1``."""
        return self._back(self.updateGradInputStep - 1, input, gradOutput, _gradient)

    def _accGradParameters(self, input: Any, gradOutput: Any, scale: float) -> None:
        """Add the gradients of the parameters for step ``self.accGradParametersStep - 1``."""
        raise ModuleError(f"{self._typename} does not define _accGradParameters")

    def _back(self, step: int, input: Any, gradOutput: Any, go: Go) -> Any:
        """Go back through a step by ``go``; returns gradInput."""
        raise ModuleError(f"{self._typename} does not define _updateGradInput")

    def _total(self, step: int, gradState: Any, gradOutput: Any) -> Any:
        """The gradient of a step's output: what came from the next step, and gradOutput."""
        kept = self._gradOutputs
        if isinstance(gradState, torch.Tensor):
            total = torch.add(gradState, gradOutput, out=buffer(kept.get(step), gradState))
        else:
            total = added(copied(kept.get(step), gradState), gradOutput)
        kept[step] = total
        return total

    # The state

    def setOutputStep(self, step: int) -> None:
        self.output = self.outputs.get(step)
        if self.output is None:
            raise ModuleError(f"{self._typename} has no output of step {step}")
        self.gradInput = self.gradInputs.get(step)

    def maxBPTTstep(self, rho: int) -> None:
        self.rho = rho

    def getHiddenState(self, step: int | None = None, input: Any = None) -> Any:
        raise ModuleError(f"{self._typename} has no getHiddenState")

    def setHiddenState(self, step: int, hiddenState: Any) -> None:
        raise ModuleError(f"{self._typename} has no setHiddenState")

    def getGradHiddenState(self, step: int | None = None, input: Any = None) -> Any:
        raise ModuleError(f"{self._typename} has no getGradHiddenState")

    def setGradHiddenState(self, step: int, gradHiddenState: Any) -> None:
        raise ModuleError(f"{self._typename} has no setGradHiddenState")

    def _number(self, step: int | None, now: int | None = None) -> int:
        """The step that an argument means: the last one if there is none."""
        now = given(now, self.step)
        return now - 1 if step is None else now - step - 1 if step < 0 else step

    # The tree

    def includingSharedClones(self, f: Callable[[], Any]) -> Any:
        """Call ``f`` while ``modules`` holds the modules of all steps as well, and return what it returns."""
        modules, clones = self.modules, self.sharedClones
        self.modules = [*modules, *clones.values(), *self._others()]
        self.sharedClones = Table()
        try:
            return f()
        finally:
            self.modules, self.sharedClones = modules, clones

    def _others(self) -> list[Module]:
        """Modules of single steps that are not in ``sharedClones``."""
        return []

    def training(self) -> None:
        self.includingSharedClones(super().training)

    def evaluate(self) -> None:
        self.includingSharedClones(super().evaluate)

    def reinforce(self, reward: Any) -> None:
        """Give the modules of the steps their reward: a list with one for each step, or one for all."""
        if isinstance(reward, (list, tuple)):
            for step, one in enumerate(reward, 1):
                self.getStepModule(step).reinforce(one)
        else:
            self.includingSharedClones(lambda: super(AbstractRecurrent, self).reinforce(reward))

    def clearState(self) -> Any:
        self.forget()
        utils.clear(self, "_input", "_gradOutput", "_gradOutputs", "gradPrevOutput", "cell", "cells", "gradCells")
        utils.clear(self, "outputs", "gradInputs", "gradOutputs")
        for clone in self.sharedClones.values():
            clone.clearState()
        self.recurrentModule.clearState()
        return super().clearState()

    def __tostring__(self) -> str:
        if self.inputSize and self.outputSize:
            return f"{self._typename}({self.inputSize} -> {self.outputSize})"
        return super().__tostring__()


def _numbers(values: list) -> range:
    return range(1, len(values) + 1)


def _compact(steps: Table) -> Table:
    """The entries numbered anew from 1; the same table if they are already."""
    if not steps or (1 in steps and max(steps) == len(steps)):
        return steps
    return Table(enumerate((steps[k] for k in sorted(steps)), 1))


def _names(module: Any) -> list[str]:
    """The fields of a module that ``sharedClone`` shares."""
    return [name for name in (*module.dpnn_parameters, *module.dpnn_gradParameters) if hasattr(module, name)]


def _share(module: Module, follower: Module) -> None:
    """Share the parameters and gradients of a module with its clone."""
    for one, other in zip(module.listModules(), follower.listModules()):
        for name in _names(one) if one is not other else ():
            mine, theirs = getattr(one, name), getattr(other, name)
            if mine is None:
                continue
            if theirs is None:
                setattr(other, name, torch.empty(0, dtype=mine.dtype, device=mine.device).set_(mine))
            elif theirs.data_ptr() != mine.data_ptr():
                theirs.set_(mine)


class Recursor(AbstractRecurrent):
    """Makes any module one that takes steps: each step has a clone, recurrent modules within keep their own steps.

    Input, output: the module's.

    Args:
        module: the module, ``module`` and ``recurrentModule`` here.
        rho: default 9999999.
    """

    def __init__(self, module: Module, rho: int | None = None) -> None:
        super().__init__(given(rho, 9999999))
        self.module = _need_module(self, module)
        self._use(module)

    def _updateOutput(self, input: Any) -> Any:
        return self._now().updateOutput(input)

    def _at(self, step: int) -> Any:
        module = self.getStepModule(step)
        module.setOutputStep(step)
        return module

    def _back(self, step: int, input: Any, gradOutput: Any, go: Go) -> Any:
        return go(self._at(step), input, gradOutput)

    def _accGradParameters(self, input: Any, gradOutput: Any, scale: float) -> None:
        self._at(self.accGradParametersStep - 1).accGradParameters(input, gradOutput, scale)

    def maxBPTTstep(self, rho: int) -> None:
        self.rho = rho
        extensions.maxBPTTstep(self, rho)

    def getHiddenState(self, step: int | None = None, input: Any = None) -> Any:
        return self.modules[0].getHiddenState(step, input)

    def setHiddenState(self, step: int, hiddenState: Any) -> None:
        self.modules[0].setHiddenState(step, hiddenState)

    def getGradHiddenState(self, step: int | None = None, input: Any = None) -> Any:
        return self.modules[0].getGradHiddenState(step, input)

    def setGradHiddenState(self, step: int, gradHiddenState: Any) -> None:
        self.modules[0].setGradHiddenState(step, gradHiddenState)

    __tostring__ = Decorator.__tostring__


def _need_module(owner: Module, value: Any) -> Module:
    if not isinstance(value, Module):
        raise TensorTypeError(f"{owner._typename} takes a module, got {describe(value)}")
    return value


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
        self.startModule = Add(start) if isinstance(start, int) else _need_module(self, start)
        self.inputModule = _need_module(self, input)
        self.feedbackModule = _need_module(self, feedback)
        self.transferModule = Sigmoid() if transfer is None else _need_module(self, transfer)
        self.mergeModule = CAddTable() if merge is None else _need_module(self, merge)
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
        self.module = _need_module(self, recurrentModule)
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
        return _first(self.userPrevOutput, self.outputs.get(0), self.zeroTensor)

    def _gradState(self, step: int) -> Any:
        """The gradient of the output of a step that comes from the next one."""
        if step != self.step - 1:
            return self.gradOutputs.get(step)
        return _first(self.userNextGradOutput, self.gradOutputs.get(step), self.zeroTensor)

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
        self.outputs[step] = _need_table(self, hiddenState)[0]
        if len(hiddenState) > 1 and hiddenState[1] is not None:
            extensions.setHiddenState(self, step, hiddenState[1])

    def getGradHiddenState(self, step: int | None = None, input: Any = None) -> list:
        step = self._number(step, self.updateGradInputStep)
        return [self._gradState(step), extensions.getGradHiddenState(self, step)]

    def setGradHiddenState(self, step: int, gradHiddenState: Any) -> None:
        step = self._number(step, self.updateGradInputStep)
        self.gradOutputs[step] = _need_table(self, gradHiddenState)[0]
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
        total = _first(self._gradOutputs.get(step), self._gradState(step))
        self.getStepModule(step).accGradParameters([input, self._state(step - 1)], total, scale)

    __tostring__ = Decorator.__tostring__


def _first(*values: Any) -> Any:
    """The first that is not ``None``."""
    return next((v for v in values if v is not None), None)


def _need_table(owner: Module, value: Any, count: int | None = None) -> Any:
    fits = isinstance(value, (list, tuple)) and (len(value) == count if count else len(value) > 0)
    if not fits:
        raise ArgumentError(f"{owner._typename}: a state is a list{f' of {count}' if count else ''}, got {describe(value)}")
    return value


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
        """The loss over all steps: ``beta`` times the mean of ``(|h(t-1)| + |h(t)|)²``, added up over the steps from the
        second on, and divided by the number of steps. It is kept in ``loss``.
        """
        norms = [self.getStepModule(step).norm for step in range(1, self.step)]
        total = sum(float((one + other).square().mean()) for one, other in zip(norms, norms[1:]))
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
