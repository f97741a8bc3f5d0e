"""What gives whole sequences to modules that take one step at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ... import nn
from ...errors import ArgumentError, Error, ModuleError, ShapeError, TensorTypeError
from ...nn import Container, Decorator, Module, Sequential
from ...nn._guard import describe
from ...nn._kernels import resized
from ...nn._nested import added, buffer, copied, zeroed
from ...nn._object import given, need_size
from .. import dpnn
from ._remember import Remembering
from .recurrent import AbstractRecurrent, Go, Recursor, gradient, need_module, whole


class AbstractSequencer(Container):
    """The base of modules that take a sequence at once. They see to how far gradients go back themselves."""

    def getStepModule(self, step: int) -> Any:
        raise ModuleError(f"{self._typename} has no modules of steps; a Recursor has")

    def maxBPTTstep(self, rho: int) -> None:
        """Do nothing."""


def _stepwise(owner: Module, module: Any) -> AbstractRecurrent:
    """``module`` as one that takes steps."""
    return module if isinstance(module, AbstractRecurrent) else Recursor(need_module(owner, module))


class Sequencer(Remembering, AbstractSequencer):
    """Gives a sequence to a module step by step, and its gradients back to it in the reverse order.

    Input: a list with an entry for each step, or a tensor whose first dimension are the steps. Output: likewise. The
    number of steps can differ from call to call.

    Each ``forward`` begins with nothing in memory, unless :meth:`remember` says otherwise. Going from training to
    evaluation, or back, forgets as well.

    Args:
        module: what takes the steps; a :class:`Recursor` is put round a module that is not recurrent itself.
    """

    tableoutput: Any = None
    module: Any
    dpnn_mediumEmpty: list[str]

    def __init__(self, module: Module) -> None:
        super().__init__()
        self.module = _stepwise(self, module)
        self.modules = [self.module]
        self.output: Any = []
        self.tableoutput = []
        self.tablegradInput: list = []
        self._output: list = []
        self.dpnn_mediumEmpty = [*self.dpnn_mediumEmpty, "_output"]
        self._remember = "neither"

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        if not isinstance(self.module, AbstractRecurrent):  # from before there was a Recursor
            self.module = Recursor(self.module)
            self.modules = [self.module]
            self.__dict__.pop("sharedClones", None)
        if "_output" not in fields:
            self._output = []

    def updateOutput(self, input: Any) -> Any:
        steps = _steps(input)
        module = self.module
        module.maxBPTTstep(len(steps))
        if not self._remembers():
            module.forget()
        elif module.step > 1:
            return self._going_on(input, steps)
        return self._taking(input, steps)

    def _going_on(self, input: Any, steps: list) -> Any:
        """The output for steps that follow those of the sequence before."""
        try:
            return self._taking(input, steps)
        except Error as error:
            hint = "the state after the last sequence is remembered: call forget() before a batch of another size"
            error.args = (f"{error.args[0] if error.args else ''} ({hint})", *error.args[1:])
            raise

    def _taking(self, input: Any, steps: list) -> Any:
        """The output for some steps."""
        module = self.module
        if self.train:
            outputs = self.tableoutput = [module.updateOutput(x) for x in steps]
            self.output = self._joined(self.output, outputs) if isinstance(input, torch.Tensor) else outputs
        elif isinstance(input, torch.Tensor):
            for i, x in enumerate(steps):
                out = module.updateOutput(x)
                if i == 0:
                    mine = self.output if isinstance(self.output, torch.Tensor) else out.new_empty(0)
                    self.output = resized(mine, (len(steps), *out.shape))
                self.output[i] = out
        else:
            # all steps have their output in the same memory
            outputs = self.tableoutput
            for i, x in enumerate(steps):
                out = module.updateOutput(x)
                if i < len(outputs):
                    outputs[i] = copied(outputs[i], out)
                else:
                    outputs.append(copied(self._output.pop(0) if self._output else None, out))
            self._output += outputs[len(steps) :]
            del outputs[len(steps) :]
            self.output = outputs
        return self.output

    def _joined(self, mine: Any, steps: list) -> torch.Tensor:
        """The tensors of all steps in one, ``mine`` if it can be."""
        if not steps:
            raise ShapeError("a sequence needs at least one step")
        one = steps[0]
        out = mine if isinstance(mine, torch.Tensor) and mine.dtype is one.dtype else one.new_empty(0)
        return torch.stack(steps, out=resized(out, (len(steps), *one.shape)))

    def _back(self, input: Any, gradOutput: Any, go: Go) -> list:
        """Go back through all steps; what ``go`` gives for each."""
        steps, grads = _steps(input), _steps(gradOutput, "gradOutput")
        if isinstance(input, torch.Tensor) != isinstance(gradOutput, torch.Tensor) or len(steps) != len(grads):
            raise ShapeError(
                f"wanted a gradOutput for the {len(steps)} steps of {describe(input)}, got {describe(gradOutput)}"
            )
        return [go(self.module, x, g) for x, g in zip(reversed(steps), reversed(grads))][::-1]

    def _taken(self, input: Any, grads: list) -> Any:
        self.tablegradinput = grads
        self.gradInput = self._joined(self.gradInput, grads) if isinstance(input, torch.Tensor) else grads
        return self.gradInput

    def updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        return self._taken(input, self._back(input, gradOutput, gradient))

    def accGradParameters(self, input: Any, gradOutput: Any, scale: float = 1) -> None:
        self._back(input, gradOutput, lambda module, x, g: module.accGradParameters(x, g, scale))

    def backward(self, input: Any, gradOutput: Any, scale: float = 1) -> Any:
        return self._taken(input, self._back(input, gradOutput, whole(scale)))

    def accUpdateGradParameters(self, input: Any, gradOutput: Any, lr: float) -> None:
        raise ModuleError(f"{self._typename} has no accUpdateGradParameters; use backward() and updateParameters()")

    def training(self) -> None:
        if not self.train:
            self.module.forget()
            self._output = []
            self.tableoutput = []
        super().training()

    def evaluate(self) -> None:
        if self.train:
            self.module.forget()
            self.tableoutput = []
        super().evaluate()

    def clearState(self) -> Any:
        if isinstance(self.output, torch.Tensor):
            self.output.set_()
            self.gradInput.set_()
        else:
            self.output, self.gradInput = [], []
        self._output, self.tableoutput, self.tablegradinput = [], [], []
        self.module.clearState()
        return self

    __tostring__ = Decorator.__tostring__


def _steps(value: Any, what: str = "input") -> Any:
    """The entries of a sequence."""
    if isinstance(value, torch.Tensor):
        return value.unbind(0)
    if not isinstance(value, (list, tuple)):
        raise TensorTypeError(f"{what} must be a list of steps or a tensor, got {describe(value)}")
    return value


class Repeater(AbstractSequencer):
    """Gives the same input to a module a number of times.

    Input: what the module takes. Output: a list of its outputs.

    Args:
        module: what takes the steps; a :class:`Recursor` is put round a module that is not recurrent itself.
        rho: how many times.
    """

    def __init__(self, module: Module, rho: int) -> None:
        super().__init__()
        need_size(self, rho=rho)
        self.rho = rho
        self.module: Any = _stepwise(self, module)
        self.module.maxBPTTstep(rho)
        self.modules = [self.module]
        self.output: list = []

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        if "module" not in fields:  # its name in old versions
            self.module = fields["rnn"]

    def updateOutput(self, input: Any) -> list:
        self.module.forget()
        output = self.output
        output += [None] * (self.rho - len(output))
        for i in range(self.rho):
            output[i] = copied(output[i], self.module.updateOutput(input))
        return output

    def _back(self, input: Any, gradOutput: list, go: Go) -> Any:
        for i, grad in enumerate(self._each(input, gradOutput, go)):
            self.gradInput = (added if i else copied)(self.gradInput, grad)
        return self.gradInput

    def _each(self, input: Any, gradOutput: list, go: Go) -> Iterator[Any]:
        _want_steps(self.module, self.rho, gradOutput)
        return (go(self.module, input, g) for g in gradOutput[::-1])

    def updateGradInput(self, input: Any, gradOutput: list) -> Any:
        return self._back(input, gradOutput, gradient)

    def accGradParameters(self, input: Any, gradOutput: list, scale: float = 1) -> None:
        list(self._each(input, gradOutput, lambda module, x, g: module.accGradParameters(x, g, scale)))

    def backward(self, input: Any, gradOutput: list, scale: float = 1) -> Any:
        return self._back(input, gradOutput, whole(scale))

    def accUpdateGradParameters(self, input: Any, gradOutput: list, lr: float) -> None:
        list(self._each(input, gradOutput, lambda module, x, g: module.accUpdateGradParameters(x, g, lr)))

    def maxBPTTstep(self, rho: int) -> None:
        """Set the number of times."""
        self.rho = rho
        self.module.maxBPTTstep(rho)

    def __tostring__(self) -> str:
        arrows = "     V         V             V     "
        inside = self.modules[0].__tostring__().replace("\n", "\n  ")
        return "\n".join((
            f"{self._typename} {{",
            "  [  input,    input,  ...,  input  ]",
            f"  {arrows}",
            f"  {inside}",
            f"  {arrows}",
            f"  [output(1),output(2),...,output({self.rho})]",
            "}",
        ))  # fmt: skip


def _want_steps(recurrent: Any, count: int, gradOutput: Any) -> None:
    if recurrent.step - 1 != count:
        raise ModuleError(f"backward goes back {count} steps, but the last forward took {recurrent.step - 1}")
    if not isinstance(gradOutput, (list, tuple)) or len(gradOutput) != count:
        raise ShapeError(f"wanted a gradOutput for each of {count} steps, got {describe(gradOutput)}")


class _TwoWays(AbstractSequencer):
    """What the two kinds of net that read a sequence in both directions share."""

    def _take(self, forward: Any, backward: Any, merge: Any) -> None:
        """Set the three modules; without a second one, a clone of the first with parameters drawn anew."""
        self.forwardModule = need_module(self, forward)
        if backward is None:
            backward = forward.clone()
            backward.reset()
        self.backwardModule = need_module(self, backward)
        if merge is None or (isinstance(merge, int) and not isinstance(merge, bool)):
            merge = nn.JoinTable(1, given(merge, 1))
        self.mergeModule = need_module(self, merge)


def _reversed(sequencer: Module) -> Sequential:
    return Sequential().add(dpnn.ReverseTable()).add(sequencer).add(dpnn.ReverseTable())


class BiSequencer(_TwoWays, Decorator):
    """Reads a sequence from both ends, and merges the two outputs of each step.

    Input: a list with an entry for each step. Output: likewise, of what ``merge`` gives.

    Args:
        forward: the module that reads from the first step on.
        backward: the one that reads from the last step on; by default a clone of ``forward`` whose parameters are drawn
            anew.
        merge: what takes the two outputs of a step, a list. Default ``nn.JoinTable(1, 1)``; a number n means
            ``nn.JoinTable(1, n)``.
    """

    def __init__(self, forward: Module, backward: Module | None = None, merge: Any = None) -> None:
        Container.__init__(self)
        self._take(forward, backward, merge)
        self.fwdSeq = Sequencer(self.forwardModule)
        self.bwdSeq = Sequencer(self.backwardModule)
        self.mergeSeq = Sequencer(self.mergeModule)
        both = nn.ConcatTable().add(self.fwdSeq).add(_reversed(self.bwdSeq))
        self.module = Sequential().add(both).add(nn.ZipTable()).add(self.mergeSeq)
        self.modules = [self.module]
        self.output: Any = []
        self.gradInput: Any = []


class BiSequencerLM(_TwoWays):
    """:class:`BiSequencer` for language models: its output for a step knows the steps before and after, not the step.

    ``forward`` reads the steps 1 to T-1, ``backward`` the steps T to 2. The output of step t merges that of ``forward``
    for t-1 and that of ``backward`` for t+1; at the ends there are zeros.

    Input: a list with an entry for each step, two at least. Output: likewise, of what ``merge`` gives.

    Args:
        forward, backward, merge: as there. ``forward`` and ``backward`` may be sequencers, or stacks of these.
    """

    def __init__(self, forward: Module, backward: Module | None = None, merge: Any = None) -> None:
        super().__init__()
        self._take(forward, backward, merge)
        sequencers = [
            Sequencer(m) if isinstance(m, AbstractRecurrent) else m for m in (self.forwardModule, self.backwardModule)
        ]
        self.fwdSeq, self.bwdSeq = sequencers
        self.mergeSeq = Sequencer(self.mergeModule)
        self._fwd = self.fwdSeq
        self._bwd = _reversed(self.bwdSeq)
        self._merge = Sequential().add(nn.ZipTable()).add(self.mergeSeq)
        self.modules = [self._fwd, self._bwd, self._merge]
        self.output: Any = []
        self.gradInput: Any = []

    def updateOutput(self, input: list) -> Any:
        if not isinstance(input, (list, tuple)) or len(input) < 2:
            raise ShapeError(f"wanted a list of two steps at least, got {describe(input)}")
        self._fwdOutput = self._fwd.updateOutput(input[:-1])
        self._bwdOutput = self._bwd.updateOutput(input[1:])
        self._firstStep = zeroed(self.__dict__.get("_firstStep"), self._fwdOutput[0])
        self._lastStep = zeroed(self.__dict__.get("_lastStep"), self._bwdOutput[0])
        self._mergeInput = [[self._firstStep, *self._fwdOutput], [*self._bwdOutput, self._lastStep]]
        self.output = self._merge.updateOutput(self._mergeInput)
        return self.output

    def updateGradInput(self, input: list, gradOutput: list) -> list:
        return self._back(input, gradOutput, gradient)

    def backward(self, input: list, gradOutput: list, scale: float = 1) -> list:
        return self._back(input, gradOutput, whole(scale))

    def _back(self, input: list, gradOutput: list, go: Go) -> list:
        forth, back = self._mergeGradInput = go(self._merge, self._mergeInput, gradOutput)
        self._fwdGradInput = go(self._fwd, input[:-1], forth[1:])
        self._bwdGradInput = go(self._bwd, input[1:], back[:-1])
        # as in rnn, the first and the last entry are those of the modules, and what is left of a longer sequence stays
        grads, last = self.gradInput, len(input) - 1
        grads += [None] * (len(input) - len(grads))
        grads[0] = self._fwdGradInput[0]
        for i in range(1, last):
            grads[i] = added(copied(grads[i], self._fwdGradInput[i]), self._bwdGradInput[i - 1])
        grads[last] = self._bwdGradInput[last - 1]
        return grads

    def accGradParameters(self, input: list, gradOutput: list, scale: float = 1) -> None:
        forth, back = self._mergeGradInput
        self._merge.accGradParameters(self._mergeInput, gradOutput, scale)
        self._fwd.accGradParameters(input[:-1], forth[1:], scale)
        self._bwd.accGradParameters(input[1:], back[:-1], scale)

    def accUpdateGradParameters(self, input: list, gradOutput: list, lr: float) -> None:
        forth, back = self._mergeGradInput
        self._merge.accUpdateGradParameters(self._mergeInput, gradOutput, lr)
        self._fwd.accUpdateGradParameters(input[:-1], forth[1:], lr)
        self._bwd.accUpdateGradParameters(input[1:], back[:-1], lr)

    def __tostring__(self) -> str:
        parts = zip(("(  fwd  )", "(  bwd  )", "( merge )"), (self._fwd, self._bwd, self._merge))
        lines = [f"  {name}: {_indented(module)}" for name, module in parts]
        return "\n".join((f"{self._typename} {{", *lines, "}"))


def _indented(module: Module) -> str:
    return module.__tostring__().replace("\n", "\n    |    ")


class RecurrentAttention(AbstractSequencer):
    """Looks at its input several times, each time where the last look told it to.

    In every step ``action`` computes from the last hidden state (zeros at first) where to look, and ``rnn`` gets
    [input, that].

    Input: a batch. Output: a list of the outputs of ``rnn``, one for each step.

    Args:
        rnn: the recurrent module; a :class:`Recursor` is put round one that is not recurrent itself.
        action: samples the place, as one with an ``nn.ReinforceNormal`` inside; likewise.
        nStep: the number of steps.
        hiddenSize: the size of an output of ``rnn`` without the batch, a list.

    Attributes:
        actions: the places, a list.
        forwardActions: give [output, place] for each step instead; default no.
    """

    forwardActions = False
    _initInput: Any = None
    _gradAction: Any = None

    def __init__(self, rnn: Module, action: Module, nStep: int, hiddenSize: list[int]) -> None:
        super().__init__()
        self.rnn = _stepwise(self, rnn)
        self.action = _stepwise(self, action)
        need_size(self, nStep=nStep)
        if not isinstance(hiddenSize, (list, tuple)) or not all(isinstance(n, int) for n in hiddenSize):
            raise ArgumentError(f"{self._typename}: hiddenSize is a list of numbers, got {describe(hiddenSize)}")
        self.hiddenSize = hiddenSize
        self.nStep = nStep
        self.modules = [self.rnn, self.action]
        self.output: Any = []
        self.actions: list = []
        self.forwardActions = False
        self.gradHidden: list = []

    def updateOutput(self, input: torch.Tensor) -> list:
        self.rnn.forget()
        self.action.forget()
        size = (input.shape[0], *self.hiddenSize)
        self._initInput = resized(input.new_empty(0) if self._initInput is None else self._initInput, size).zero_()
        for i in range(self.nStep):
            place = self.action.updateOutput(self.output[i - 1] if i else self._initInput)
            _put(self.actions, i, place)
            output = self.rnn.updateOutput([input, place])
            _put(self.output, i, [output, place] if self.forwardActions else output)
        return self.output

    def _gradPlace(self, gradOutput: list, i: int) -> Any:
        """The gradient of the place of a step: modules that reinforce take no notice of it."""
        if self.forwardActions:
            return gradOutput[i][1]
        like = self.action.output
        if self._gradAction is None:
            self._gradAction = like.new_empty(0)
        if self._gradAction.shape != like.shape:
            resized(self._gradAction, like.shape).zero_()
        return self._gradAction

    def updateGradInput(self, input: torch.Tensor, gradOutput: list) -> Any:
        return self._back(input, gradOutput, gradient)

    def backward(self, input: torch.Tensor, gradOutput: list, scale: float = 1) -> Any:
        return self._back(input, gradOutput, whole(scale))

    def _back(self, input: torch.Tensor, gradOutput: list, go: Go) -> Any:
        _want_steps(self.rnn, self.nStep, gradOutput)
        hidden = self.gradHidden
        hidden += [None] * (self.nStep - len(hidden))
        for i in range(self.nStep - 1, -1, -1):
            last = i == self.nStep - 1
            own = gradOutput[i][0] if self.forwardActions else gradOutput[i]
            hidden[i] = (copied if last else added)(hidden[i], own)
            place = self._gradPlace(gradOutput, i)
            if i:
                hidden[i - 1] = copied(hidden[i - 1], go(self.action, self.output[i - 1], place))
            else:
                go(self.action, self._initInput, place)
            grad = go(self.rnn, [input, self.actions[i]], hidden[i])[0]
            if last:
                self.gradInput = buffer(self.gradInput, grad).copy_(grad)
            else:
                self.gradInput.add_(grad)
        return self.gradInput

    def accGradParameters(self, input: torch.Tensor, gradOutput: list, scale: float = 1) -> None:
        self._accumulate("accGradParameters", input, gradOutput, scale)

    def accUpdateGradParameters(self, input: torch.Tensor, gradOutput: list, lr: float) -> None:
        self._accumulate("accUpdateGradParameters", input, gradOutput, lr)

    def _accumulate(self, method: str, input: torch.Tensor, gradOutput: list, factor: float) -> None:
        _want_steps(self.rnn, self.nStep, gradOutput)
        action, rnn = getattr(self.action, method), getattr(self.rnn, method)
        for i in range(self.nStep - 1, -1, -1):
            action(self.output[i - 1] if i else self._initInput, self._gradPlace(gradOutput, i), factor)
            rnn([input, self.actions[i]], self.gradHidden[i], factor)

    def __tostring__(self) -> str:
        lines = [f"  action : {_indented(self.action)}", f"  rnn     : {_indented(self.rnn)}"]
        return "\n".join((f"{self._typename} {{", *lines, "}"))


def _put(table: list, i: int, value: Any) -> None:
    """``table[i] = value``, behind the last entry too."""
    table[i : i + 1] = [value]
