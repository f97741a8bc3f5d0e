"""Long short-term memory, one step at a time."""

from __future__ import annotations

from typing import Any

import torch

from ... import nn
from ...errors import ModuleError
from ...nn import ConcatTable, Module, NarrowTable, ParallelTable, SelectTable, Sequential
from ...nn._kernels import resized
from ...nn._object import given, need_size
from ...nngraph import Node, annotateNodes, gModule
from ...table import Table
from .dropout import Dropout
from .recurrent import AbstractRecurrent, Go, first, need_state
from .small import LinearNoBias


class LSTM(AbstractRecurrent):
    """Long short-term memory with connections from the cell to the gates ("peepholes").

    With the input x, the last output h and the cell c:

    - ``i = σ(Wx + b + Uh + w·c)``, the input gate, and ``f``, the forget gate, likewise;
    - ``z = tanh(Wx + b + Uh)``, the new content; ``c' = f·c + i·z``;
    - ``o = σ(Wx + b + Uh + w·c')``, the output gate, which sees the new cell; ``h' = o·tanh(c')``.

    Input: inputSize, or N x inputSize. Output: outputSize, or N x outputSize.

    Args:
        inputSize: the size of an input.
        outputSize: the size of output and cell, default ``inputSize``.
        rho: as for :class:`AbstractRecurrent`, default 9999.
        cell2gate: with peepholes, the default.
        p: dropout of input and output in front of each of the four, default 0. It is lazy: the noise of a step stays
            until its backward.
        mono: the same noise for all of a batch; default no.

    Attributes:
        userPrevOutput, userPrevCell: output and cell before the first step, if they are set; else zeros.
        userNextGradOutput, userNextGradCell: the gradients that come from behind the last step; else zeros.

    ``parameters()`` has the forget gate, the input gate, the new content and the output gate, each with W, b, U and,
    for gates, w.
    """

    p: float = 0
    mono = False
    cell2gate = True
    cell: Any = None
    cells: Table
    gradCells: Table
    hiddenLayer: Module
    cellLayer: Module
    inputGate: Module
    forgetGate: Module
    outputGate: Module
    userPrevCell: Any = None
    userNextGradCell: Any = None

    _by_step = (*AbstractRecurrent._by_step, "cells", "gradCells")

    @staticmethod
    def _fits(fields: dict) -> bool:
        return "sharedClones" in fields

    def __init__(
        self,
        inputSize: int,
        outputSize: int | None = None,
        rho: int | None = None,
        cell2gate: bool | None = None,
        p: float | None = None,
        mono: bool | None = None,
    ) -> None:
        super().__init__(given(rho, 9999))
        self.p = given(p, 0)
        self.mono = bool(mono)
        self.inputSize = inputSize
        self.outputSize = given(outputSize, inputSize)
        need_size(self, inputSize=self.inputSize, outputSize=self.outputSize)
        self.cell2gate = given(cell2gate, True)
        self._use(self.buildModel())
        self.zeroTensor = torch.empty(0)

    # Building

    def _dropout(self) -> Dropout:
        return Dropout(self.p, False, False, True, self.mono)

    def _sides(self) -> ParallelTable:
        """What the input and the last output go through."""
        return (
            ParallelTable()
            .add(Sequential().add(self._dropout()).add(nn.Linear(self.inputSize, self.outputSize)))
            .add(Sequential().add(self._dropout()).add(LinearNoBias(self.outputSize, self.outputSize)))
        )

    def buildGate(self) -> Module:
        """A new gate, from input, output and cell."""
        gate = Sequential()
        if not self.cell2gate:
            gate.add(NarrowTable(1, 2))
        sides = self._sides()
        if self.cell2gate:
            sides.add(nn.CMul(self.outputSize))
        return gate.add(sides).add(nn.CAddTable()).add(nn.Sigmoid())

    def buildInputGate(self) -> Module:
        self.inputGate = self.buildGate()
        return self.inputGate

    def buildForgetGate(self) -> Module:
        self.forgetGate = self.buildGate()
        return self.forgetGate

    def buildHidden(self) -> Module:
        """The new content, from input, output and cell."""
        hidden = Sequential().add(NarrowTable(1, 2)).add(self._sides())
        self.hiddenLayer = hidden.add(nn.CAddTable()).add(nn.Tanh())
        return self.hiddenLayer

    def buildCell(self) -> Module:
        """The new cell, from input, output and cell."""
        self.inputGate = self.buildInputGate()
        self.forgetGate = self.buildForgetGate()
        self.hiddenLayer = self.buildHidden()
        kept = _both(self.forgetGate, SelectTable(3)).add(nn.CMulTable())
        new = _both(self.inputGate, self.hiddenLayer).add(nn.CMulTable())
        self.cellLayer = _both(kept, new).add(nn.CAddTable())
        return self.cellLayer

    def buildOutputGate(self) -> Module:
        self.outputGate = self.buildGate()
        return self.outputGate

    def buildModel(self) -> Module:
        """The module of a step, from [input, output, cell] to [output, cell]."""
        self.cellLayer = self.buildCell()
        self.outputGate = self.buildOutputGate()
        model = _both(NarrowTable(1, 2), self.cellLayer).add(nn.FlattenTable())  # input, output, new cell
        activation = Sequential().add(SelectTable(3)).add(nn.Tanh())
        output = _both(self.outputGate, activation).add(nn.CMulTable())
        return model.add(ConcatTable().add(output).add(SelectTable(3)))

    # The state

    def getHiddenState(self, step: int | None = None, input: Any = None) -> list:
        """Output and cell after a step: a list of the two.

        Args:
            step: default the last one; 0 is before the first.
            input: makes the zeros for step 0 as large as it needs.
        """
        step = self._number(step)
        if step != 0:
            return [self.outputs.get(step), self.cells.get(step)]
        if input is not None:
            _zeros(self, input)
        return [
            first(self.userPrevOutput, self.outputs.get(0), self.zeroTensor),
            first(self.userPrevCell, self.cells.get(0), self.zeroTensor),
        ]

    def setHiddenState(self, step: int | None, hiddenState: list) -> None:
        """Take output and cell for those after a step."""
        step = self._number(step)
        self.outputs[step], self.cells[step] = need_state(self, hiddenState, 2)

    def getGradHiddenState(self, step: int | None = None, input: Any = None) -> list:
        """The gradients of output and cell after a step, as far as they come from the next one."""
        step = self._number(step, self.updateGradInputStep)
        gradOutput, gradCell = self.gradOutputs.get(step), self.gradCells.get(step)
        if step == self.step - 1:
            gradOutput = first(self.userNextGradOutput, gradOutput, self.zeroTensor)
            gradCell = first(self.userNextGradCell, gradCell, self.zeroTensor)
        return [gradOutput, gradCell]

    def setGradHiddenState(self, step: int | None, gradHiddenState: list) -> None:
        step = self._number(step, self.updateGradInputStep)
        self.gradOutputs[step], self.gradCells[step] = need_state(self, gradHiddenState, 2)

    # Computing

    def _updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        state = self.getHiddenState(self.step - 1, input)
        output, self.cell = self._now().updateOutput([input, *state])
        self.cells[self.step] = self.cell
        return output

    def _back(self, step: int, input: torch.Tensor, gradOutput: torch.Tensor, go: Go) -> torch.Tensor:
        gradState, gradCell = self.getGradHiddenState(step)
        total = self._total(step, gradState, gradOutput)
        state = self.getHiddenState(step - 1)
        gradInput, *gradState = go(self.getStepModule(step), [input, *state], [total, gradCell])
        self.setGradHiddenState(step - 1, gradState)
        return gradInput

    def _accGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float) -> None:
        step = self.accGradParametersStep - 1
        gradState, gradCell = self.getGradHiddenState(step)
        total = self._gradOutputs.get(step, gradState)
        state = self.getHiddenState(step - 1)
        self.getStepModule(step).accGradParameters([input, *state], [total, gradCell], scale)

    def clearState(self) -> Any:
        for name in ("zeroTensor", "userPrevOutput", "userPrevCell", "userGradPrevOutput", "userGradPrevCell"):
            tensor = getattr(self, name, None)
            if tensor is not None:
                setattr(self, name, tensor.new_empty(0))
        return super().clearState()

    def _convert(self, dtype: torch.dtype | None, device: torch.device | None, cache: dict) -> None:
        self.forget()
        self.clearState()
        super()._convert(dtype, device, cache)


def _both(*modules: Module) -> Sequential:
    """Modules side by side on one input, as the beginning of a Sequential."""
    concat = ConcatTable()
    for module in modules:
        concat.add(module)
    return Sequential().add(concat)


def _zeros(owner: Any, input: torch.Tensor) -> None:
    """Make ``zeroTensor`` fit the first input of a sequence."""
    size = (input.shape[0], owner.outputSize) if input.dim() == 2 else (owner.outputSize,)
    resized(owner.zeroTensor, size).zero_()


class FastLSTM(LSTM):
    """:class:`LSTM` without peepholes, its four parts computed at once: input gate, new content, forget gate, output
    gate, in this order in the rows of ``i2g.weight`` and ``o2g.weight``.

    Input, output, user states: as there.

    Args:
        inputSize, outputSize, rho: as there.
        eps, momentum, affine: those of the batch normalisation, if there is one; ``affine`` default yes.
        p, mono: as there. With dropout the four parts are computed apart, and inputs must be batches.

    Attributes:
        usenngraph: set on the class before building, whether the step is an ``nn.gModule``. The numbers are the same.
        bn: set on the class before building, whether what comes from the input, what comes from the last output, and
            the cell on its way to the output are normalised over the batch, with weights that begin with 0.1.
    """

    usenngraph = False
    bn = False
    eps: float | None = None
    momentum: float | None = None
    affine = True

    def __init__(
        self,
        inputSize: int,
        outputSize: int | None = None,
        rho: int | None = None,
        eps: float | None = None,
        momentum: float | None = None,
        affine: bool | None = None,
        p: float | None = None,
        mono: bool | None = None,
    ) -> None:
        if eps is not None:
            self.eps = eps
        if momentum is not None:
            self.momentum = momentum
        self.affine = given(affine, True)
        super().__init__(inputSize, outputSize, rho, None, p, mono)

    def _four(self, inputSize: int, linear: type[Module]) -> Module:
        """The part of the four that comes from the input or from the last output."""
        if self.p == 0:
            return linear(inputSize, 4 * self.outputSize)  # type: ignore[call-arg]
        noise, parts = ConcatTable(), ParallelTable()
        for _ in range(4):
            noise.add(self._dropout())
        for _ in range(4):
            parts.add(linear(inputSize, self.outputSize))  # type: ignore[call-arg]
        return Sequential().add(noise).add(parts).add(nn.JoinTable(2))

    def buildModel(self) -> Module:
        self.i2g = self._four(self.inputSize, nn.Linear)
        self.o2g = self._four(self.outputSize, LinearNoBias)
        if self.usenngraph or self.bn:
            return self.nngraphModel()
        gates = Sequential().add(NarrowTable(1, 2)).add(ParallelTable().add(self.i2g).add(self.o2g))
        gates.add(nn.CAddTable()).add(nn.Reshape(4, self.outputSize)).add(nn.SplitTable(1, 2))
        gates.add(ParallelTable().add(nn.Sigmoid()).add(nn.Tanh()).add(nn.Sigmoid()).add(nn.Sigmoid()))
        model = _both(gates, SelectTable(3)).add(
            nn.FlattenTable()
        )  # input gate, content, forget gate, output gate, cell
        new = Sequential().add(NarrowTable(1, 2)).add(nn.CMulTable())
        kept = _both(SelectTable(3), SelectTable(5)).add(nn.CMulTable())
        cell = _both(new, kept).add(nn.CAddTable())
        model.add(ConcatTable().add(cell).add(SelectTable(4))).add(nn.FlattenTable())  # new cell, output gate
        activation = Sequential().add(SelectTable(1)).add(nn.Tanh())
        output = _both(activation, SelectTable(2)).add(nn.CMulTable())
        return model.add(ConcatTable().add(output).add(SelectTable(1)))

    def nngraphModel(self) -> gModule:
        """The module of a step as a graph; its nodes have the names of these variables."""
        x, prev_h, prev_c = nn.Identity()(), nn.Identity()(), nn.Identity()()
        i2h: Node = self.i2g(x).annotate(name="i2h")
        h2h: Node = self.o2g(prev_h).annotate(name="h2h")
        if self.bn:
            size, options = self.outputSize, (self.eps, self.momentum, self.affine)
            layers = [nn.BatchNormalization(n, *options) for n in (4 * size, 4 * size, size)]
            for layer in layers:
                layer.weight.fill_(0.1)
            i2h = layers[0](i2h).annotate(name="bn_wx")
            h2h = layers[1](h2h).annotate(name="bn_wh")
            h2h = nn.Add(4 * size)(h2h)
        all_input_sums = nn.CAddTable()([i2h, h2h])
        reshaped = nn.Reshape(4, self.outputSize)(all_input_sums)
        n1, n2, n3, n4 = nn.SplitTable(2)(reshaped).split(4)
        in_gate = nn.Sigmoid()(n1)
        in_transform = nn.Tanh()(n2)
        forget_gate = nn.Sigmoid()(n3)
        out_gate = nn.Sigmoid()(n4)
        next_c = nn.CAddTable()([nn.CMulTable()([forget_gate, prev_c]), nn.CMulTable()([in_gate, in_transform])])
        seen = layers[2](next_c).annotate(name="bn_c") if self.bn else next_c
        next_h = nn.CMulTable()([out_gate, nn.Tanh()(seen)])
        annotateNodes()
        return gModule([x, prev_h, prev_c], [next_h, next_c])

    def _none(self) -> Module:
        raise ModuleError(f"{self._typename} computes all of a step at once and has no gates to build")

    buildGate = buildInputGate = buildForgetGate = buildHidden = buildCell = buildOutputGate = _none
