"""Modules that take a sequence one step at a time, and go back through it in the reverse order.

In training each step has a module of its own, a clone that shares the parameters and their gradients, so that all it
computed is there when the gradients come back. The clones are made once and used again for the next sequence.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import torch

from ...errors import ArgumentError, ModuleError, TensorTypeError
from ...nn import Container, Decorator, Module, utils
from ...nn._guard import describe
from ...nn._nested import added, buffer, copied
from ...nn._object import given
from ...table import Table
from ..dpnn.module import reinforce
from . import module as extensions
from .masking import MaskZero, TrimZero

Go = Callable[[Module, Any, Any], Any]
"""Goes back through the module of one step, given its input and gradOutput; returns its gradInput."""


def gradient(module: Module, input: Any, gradOutput: Any) -> Any:
    """``module.updateGradInput``."""
    return module.updateGradInput(input, gradOutput)


def whole(scale: float) -> Go:
    """``module.backward`` with this scale."""
    return lambda module, input, gradOutput: module.backward(input, gradOutput, scale)


def _once(method: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A method that does nothing where it comes to a module again: all step clones of a net hold the same recurrent
    modules, which have a clone for each step in their turn.
    """
    local = threading.local()

    @wraps(method)
    def call(self: Any) -> Any:
        done = getattr(local, "done", None)
        if done is None:
            local.done = {}
            try:
                return call(self)
            finally:
                local.done = None
        if id(self) not in done:
            done[id(self)] = None
            done[id(self)] = method(self)
        return done[id(self)]

    return call


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
    updateGradInputStep: Any = None
    accGradParametersStep: Any = None
    gradPrevOutput: Any = None
    nSharedClone: int | None = None
    rmInSharedClones: bool | None = None
    userPrevOutput: Any = None
    userNextGradOutput: Any = None
    inputSize: Any = None
    outputSize: Any = None
    modules: list[Any]
    sharedClones: Table
    outputs: Table
    gradInputs: Table
    gradOutputs: Table
    _gradOutputs: Table

    _looks_back = 1
    """How many steps before it a step needs, for its state."""

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
        if self.recurrentModule is None and self.modules:  # torch/rnn, the successor, has other names for these
            self.recurrentModule = self.modules[0]
            self.rho = fields.get("seqlen", self.rho)
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
        self._use(TrimZero(self.recurrentModule, nInputDim, True))
        return self

    def recycle(self, offset: int | None = None) -> Any:
        """Give the next step the module of the oldest one that gradients no longer reach; returns this module."""
        if self.nSharedClone is None:
            self.nSharedClone = len(self.sharedClones)
        step, rho = self.step, self._window()
        if step not in self.sharedClones:
            for kept in (self.sharedClones, self._gradOutputs):
                old = kept.pop(step - rho, None)
                if old is not None:
                    kept[step] = old
        self.outputs.pop(step - rho - 1, None)
        self.gradInputs.pop(step - rho - 1, None)
        return self

    def _window(self) -> int:
        """How many of the last steps have a module of their own."""
        return max(self.rho + 1, given(self.nSharedClone, 0))

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
            tensors = [
                t
                for m in self.recurrentModule.listModules()
                for name in _names(m)
                if (t := getattr(m, name)) is not None
            ]
        now = [t.data_ptr() for t in tensors]
        if now != places:
            for module, follower in self._followers():
                _share(module, follower)
        self._cache = tensors, now

    def forget(self) -> Any:
        for module in self.modules:
            module.forget()
        if self.train:
            for name in self._by_step:
                if name not in ("sharedClones", "_gradOutputs"):
                    setattr(self, name, Table())
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
        self.gradInput = self._back(step - 1, input, gradOutput, whole(scale))
        self.updateGradInputStep = self.accGradParametersStep = step - 1
        self.gradInputs[step - 1] = self.gradInput
        return self.gradInput

    def _want_step(self, step: int) -> None:
        if step < 2:
            raise ModuleError(
                "no step is left to go back through" if self.step > 1 else "backward needs at least one forward before"
            )
        if not self.train and self.step > 2:
            raise ModuleError("in evaluation the steps are not kept: call training() before forward to go back")
        first = step - 1 - self._looks_back  # the first step whose module is needed
        if self.train and first >= 1 and first <= self.step - 1 - self._window():
            raise ModuleError(
                f"gradients go back through rho = {self.rho} steps at most: step {step - 1} of {self.step - 1} is no "
                "longer kept; give the constructor a larger rho, or stop there and call forget()"
            )

    def _updateOutput(self, input: Any) -> Any:
        """Compute the output of step ``self.step``."""
        raise ModuleError(f"{self._typename} does not define _updateOutput")

    def _updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        """Compute gradInput for step ``self.updateGradInputStep - 1``."""
        return self._back(self.updateGradInputStep - 1, input, gradOutput, gradient)

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

    @_once
    def training(self) -> None:
        self.includingSharedClones(super().training)

    @_once
    def evaluate(self) -> None:
        self.includingSharedClones(super().evaluate)

    def reinforce(self, reward: Any) -> None:
        """Give the modules of the steps their reward: a list with one for each step, or one for all."""
        if isinstance(reward, (list, tuple)):
            for step, one in enumerate(reward, 1):
                self.getStepModule(step).reinforce(one)
        else:
            self.includingSharedClones(lambda: reinforce(self, reward))

    @_once
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

    _looks_back = 0

    def __init__(self, module: Module, rho: int | None = None) -> None:
        super().__init__(given(rho, 9999999))
        self.module = need_module(self, module)
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


def need_module(owner: Module, value: Any) -> Module:
    """``value``, which must be a module."""
    if not isinstance(value, Module):
        raise TensorTypeError(f"{owner._typename} takes a module, got {describe(value)}")
    return value


def first(*values: Any) -> Any:
    """The first that is not ``None``."""
    return next((v for v in values if v is not None), None)


def need_state(owner: Module, value: Any, count: int | None = None) -> Any:
    """``value``, which must be a list: of ``count`` entries, if that is told."""
    if not isinstance(value, (list, tuple)) or not value or len(value) != given(count, len(value)):
        what = "a list" if count is None else f"a list of {count}"
        raise ArgumentError(f"{owner._typename}: a state is {what}, got {describe(value)}")
    return value
