"""Gated recurrent units, one step at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ... import nn
from ...errors import ArgumentError, ModuleError
from ...nn import ConcatTable, Module, NarrowTable, ParallelTable, SelectTable, Sequential
from ...nn._guard import describe
from ...nn._object import given, need_size
from .dropout import Dropout, fixed
from .lstm import _both, _zeros
from .recurrent import AbstractRecurrent, Go, first
from .small import LinearNoBias, SAdd


class GRU(AbstractRecurrent):
    """Gated recurrent unit.

    With the input x and the last output h: ``r = σ(Wx + b + Uh)``, ``z = σ(Wx + b + Uh)``, ``n = tanh(Wx + b +
    U(r·h))``, and the output ``h' = (1 - z)·n + z·h``.

    Input: inputSize, or N x inputSize. Output: outputSize, or N x outputSize.

    Args:
        inputSize: the size of an input.
        outputSize: the size of the output.
        rho: as for :class:`AbstractRecurrent`, default 9999.
        p: dropout of input and last output in front of each of the three, default 0. It is lazy: the noise of a step
            stays until its backward. Inputs must be batches then.
        mono: the same noise for all of a batch; default no.

    Attributes:
        userPrevOutput: the output before the first step, if it is set; else zeros.
        userNextGradOutput: the gradient that comes from behind the last step; else zeros.
    """

    p: float = 0
    mono = False

    _by_step = (*AbstractRecurrent._by_step, "cells", "gradCells")

    @staticmethod
    def _fits(fields: dict) -> bool:
        return "sharedClones" in fields

    def __init__(
        self,
        inputSize: int,
        outputSize: int,
        rho: int | None = None,
        p: float | None = None,
        mono: bool | None = None,
    ) -> None:
        super().__init__(given(rho, 9999))
        self.p = given(p, 0)
        self.mono = bool(mono)
        self.inputSize = inputSize
        self.outputSize = outputSize
        need_size(self, inputSize=inputSize, outputSize=outputSize)
        self._use(self.buildModel())
        self.zeroTensor = torch.empty(0)

    def trimZero(self, nInputDim: int) -> Any:
        if self.p != 0 and not self.mono:
            raise ArgumentError(f"{self._typename}: trimZero with dropout needs mono")
        return super().trimZero(nInputDim)

    def _dropout(self) -> Dropout:
        return Dropout(self.p, False, False, True, self.mono)

    def _two(self, inputSize: int, linear: type[Module]) -> Module:
        """The part of the two gates that comes from the input or from the last output."""
        if self.p == 0:
            return linear(inputSize, 2 * self.outputSize)  # type: ignore[call-arg]
        size = self.outputSize
        parts = ParallelTable().add(linear(inputSize, size)).add(linear(inputSize, size))  # type: ignore[call-arg]
        return _both(self._dropout(), self._dropout()).add(parts).add(nn.JoinTable(2))

    def buildModel(self) -> Module:
        """The module of a step, from [input, output] to the new output."""
        self.i2g = self._two(self.inputSize, nn.Linear)
        self.o2g = self._two(self.outputSize, LinearNoBias)
        gates = Sequential().add(ParallelTable().add(self.i2g).add(self.o2g)).add(nn.CAddTable())
        gates.add(nn.Reshape(2, self.outputSize)).add(nn.SplitTable(1, 2))
        gates.add(ParallelTable().add(nn.Sigmoid()).add(nn.Sigmoid()))
        model = _both(nn.Identity(), gates).add(nn.FlattenTable())  # x, h, r, z
        model.add(ConcatTable().add(NarrowTable(1, 4)).add(SelectTable(2))).add(nn.FlattenTable())  # x, h, r, z, h

        ofInput = Sequential().add(SelectTable(1))
        ofOutput = Sequential().add(NarrowTable(2, 2)).add(nn.CMulTable())
        if self.p != 0:
            ofInput.add(self._dropout())
            ofOutput.add(self._dropout())
        ofInput.add(nn.Linear(self.inputSize, self.outputSize))
        ofOutput.add(LinearNoBias(self.outputSize, self.outputSize))
        hidden = _both(ofInput, ofOutput).add(nn.CAddTable()).add(nn.Tanh())

        rest = Sequential().add(SelectTable(4)).add(SAdd(-1, True))  # 1 - z
        new = _both(hidden, rest).add(nn.CMulTable())
        kept = Sequential().add(NarrowTable(4, 2)).add(nn.CMulTable())
        return model.add(_both(new, kept).add(nn.CAddTable()))

    # The state

    def getHiddenState(self, step: int | None = None, input: Any = None) -> Any:
        """The output of a step.

        Args:
            step: default the last one; 0 is before the first.
            input: makes the zeros for step 0 as large as it needs.
        """
        step = self._number(step)
        if step != 0:
            return self.outputs.get(step)
        if input is not None:
            _zeros(self, input)
        return first(self.userPrevOutput, self.outputs.get(0), self.zeroTensor)

    def setHiddenState(self, step: int | None, hiddenState: torch.Tensor) -> None:
        """Take a tensor for the output of a step."""
        self.outputs[self._number(step)] = _tensor(self, hiddenState)

    def getGradHiddenState(self, step: int | None = None, input: Any = None) -> Any:
        """The gradient of the output of a step, as far as it comes from the next one."""
        step = self._number(step, self.updateGradInputStep)
        if step != self.step - 1:
            return self.gradOutputs.get(step)
        return first(self.userNextGradOutput, self.gradOutputs.get(step), self.zeroTensor)

    def setGradHiddenState(self, step: int | None, gradHiddenState: torch.Tensor) -> None:
        self.gradOutputs[self._number(step, self.updateGradInputStep)] = _tensor(self, gradHiddenState)

    # Computing

    def _updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        state = self.getHiddenState(self.step - 1, input)
        return self._now().updateOutput([input, state])

    def _back(self, step: int, input: torch.Tensor, gradOutput: torch.Tensor, go: Go) -> torch.Tensor:
        total = self._total(step, self.getGradHiddenState(step), gradOutput)
        gradInput, gradState = go(self.getStepModule(step), [input, self.getHiddenState(step - 1)], total)
        self.gradOutputs[step - 1] = gradState
        return gradInput

    def _accGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float) -> None:
        step = self.accGradParametersStep - 1
        total = first(self._gradOutputs.get(step), self.getGradHiddenState(step))
        self.getStepModule(step).accGradParameters([input, self.getHiddenState(step - 1)], total, scale)

    def migrate(self, params: Sequence[torch.Tensor]) -> None:
        """Take the parameters of a GRU without dropout, as ``parameters()`` of that one gives them, into this one with
        dropout.
        """
        mine = self.parameters()[0]
        if self.p == 0 or len(params) != 6 or len(mine) != 9:
            raise ArgumentError(
                f"{self._typename}: migrate takes the 6 parameters of a GRU without dropout to one with dropout, got "
                f"{len(params)} for p = {self.p}"
            )
        halves = [half for p in params[:2] for half in p.chunk(2)]
        weights = [halves[0], halves[2], halves[1], halves[3], *params[2].chunk(2), *params[3:]]
        for parameter, value in zip(mine, weights):
            parameter.copy_(value)

    def __tostring__(self) -> str:
        return f"{self._typename}({self.inputSize} -> {self.outputSize}, {fixed(self.p, 2)})"


def _tensor(owner: Module, value: Any) -> torch.Tensor:
    if not isinstance(value, torch.Tensor):
        raise ArgumentError(f"{owner._typename}: a state is a tensor, got {describe(value)}")
    return value


def _largest(reduce: type[Module]) -> Callable[[], Module]:
    return lambda: (
        Sequential().add(nn.MapTable(nn.Unsqueeze(1))).add(nn.JoinTable(1)).add(reduce(1))  # type: ignore[call-arg]
    )


_OPERATIONS: dict[str, Callable[[], Module]] = {
    "max": _largest(nn.Max),
    "keep": lambda: SelectTable(1),
    "replace": lambda: SelectTable(2),
    "mul": lambda: nn.CMulTable(),
    "min": _largest(nn.Min),
    "diff": lambda: nn.CSubTable(),
    "forget": lambda: Sequential().add(SelectTable(1)).add(nn.MulConstant(0.0)),
    "sqrt_diff": lambda: Sequential().add(nn.CSubTable()).add(nn.Abs()).add(nn.Sqrt()).add(nn.MulConstant(0.25)),
}


class MuFuRu(GRU):
    """Multi-function recurrent unit: the new output is a mixture of several functions of the old one and a new one.

    With the input x and the last output h: ``r = σ(Wx + b + Uh + d)``, ``v = σ(V[x, r·h] + e)``, and for each operation
    k a weight ``p_k``, softmax over the operations of ``P[x, h] + q``. The output is ``Σ p_k · op_k(h, v)``.

    Input: N x inputSize. Output: N x outputSize.

    Args:
        inputSize, outputSize: the sizes of input and output.
        ops: the operations, a list of names; default all: keep (h), replace (v), mul (h·v), diff (h - v), forget (0),
            sqrt_diff (√|h - v| / 4), max, min.
        rho: as for :class:`AbstractRecurrent`, default 9999.
    """

    def __init__(
        self, inputSize: int, outputSize: int, ops: Sequence[str] | None = None, rho: int | None = None
    ) -> None:
        names = ["keep", "replace", "mul", "diff", "forget", "sqrt_diff", "max", "min"]
        self.ops = list(given(ops, names))
        unknown = [name for name in self.ops if name not in _OPERATIONS]
        if unknown or not self.ops:
            what = unknown[0] if unknown else "none"
            raise ArgumentError(f"{self._typename}: ops are {', '.join(names)}; got {what}")
        self.num_ops = len(self.ops)
        made: dict[str, Module] = {}
        for name in self.ops:
            made[name] = made.get(name) or _OPERATIONS[name]()
        self.operations = [made[name] for name in self.ops]
        super().__init__(inputSize, outputSize, rho)

    def buildModel(self) -> Module:
        inputs, outputs, both = self.inputSize, self.outputSize, self.inputSize + self.outputSize
        reset = Sequential().add(ParallelTable().add(nn.Linear(inputs, outputs)).add(nn.Linear(outputs, outputs)))
        reset.add(nn.CAddTable()).add(nn.Sigmoid())
        feature = _both(SelectTable(1), Sequential().add(NarrowTable(2, 2)).add(nn.CMulTable()))
        feature.add(nn.JoinTable(2)).add(nn.Linear(both, outputs)).add(nn.Sigmoid())
        weights = Sequential().add(NarrowTable(1, 2)).add(nn.JoinTable(2)).add(nn.Linear(both, self.num_ops * outputs))
        weights.add(nn.View(self.num_ops, outputs).setNumInputDims(1)).add(nn.Transpose([1, 2])).add(nn.SoftMax())
        operations = ConcatTable()
        for operation in self.operations:
            operations.add(operation)
        results = Sequential().add(NarrowTable(1, 2)).add(operations)
        results.add(nn.MapTable(nn.Unsqueeze(1))).add(nn.JoinTable(1, 3))
        combined = _both(results, SelectTable(3)).add(nn.CMulTable()).add(nn.Sum(1, 3))
        return (
            Sequential()
            .add(ConcatTable().add(SelectTable(1)).add(SelectTable(2)).add(reset))  # x, h, r
            .add(ConcatTable().add(SelectTable(2)).add(feature).add(weights))  # h, v, p
            .add(combined)
        )

    def migrate(self, params: Sequence[torch.Tensor]) -> None:
        raise ModuleError(f"{self._typename} has no migrate")

    def __tostring__(self) -> str:
        return f"{self._typename}({self.inputSize} -> {self.outputSize}) {{ {' '.join(self.ops)} }}"
