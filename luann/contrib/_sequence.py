"""What layers share that take a whole sequence at once: rnn's ``SeqLSTM`` and ``SeqGRU``, torch-rnn's ``LSTM`` and
``VanillaRNN``.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from .. import random
from ..errors import ArgumentError, ModuleError, ShapeError
from ..nn import utils
from ..nn._kernels import resized
from ..nn._object import given, need_size
from ..nn.module import Module
from . import _lstm

Parts = tuple[list[torch.Tensor | None], torch.Tensor]


def dense(tensor: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
    """``tensor`` itself, contiguous and of a size: a buffer to write into."""
    resized(tensor, size)
    return tensor if tensor.is_contiguous() else tensor.set_(tensor.new_empty(size))


class _Sequence(Module):
    """A layer that gets all steps of a batch of sequences, and the states before the first step if they are given.

    The parameters are ``weight`` ((inputs + outputs) x ``_gates`` times the hidden size), its first rows for the input
    and the others for the output of the step before, and ``bias``.

    A subclass says what its fields are called, and defines ``_run`` and ``_run_back``.
    """

    _states: tuple[str, ...] = ("h0",)  # as they come in a table before the sequence
    _carried: dict[str, str]  # field with the steps of each state
    _given: dict[str, str] = {}  # field where the user may have put each state
    _sizes: tuple[str, str]  # fields of input size and output size
    _time = 0  # the dimension of the steps in the buffers
    _gates = 1

    gates: Any = None
    recompute_backward = False
    _return_grad_c0 = False
    _return_grad_h0 = False

    def __init__(self, inputs: int, outputs: int, hidden: int | None = None) -> None:
        hidden = given(hidden, outputs)
        names = self._sizes
        need_size(self, **{names[0]: inputs, names[1]: outputs, "hiddensize": hidden})
        super().__init__()
        setattr(self, names[0], inputs)
        setattr(self, names[1], outputs)
        self.weight = torch.empty(inputs + outputs, self._gates * hidden)
        self.gradWeight = torch.zeros(inputs + outputs, self._gates * hidden)
        self.bias = torch.empty(self._gates * hidden)
        self.gradBias = torch.zeros(self._gates * hidden)
        for name in self._states:
            setattr(self, name, torch.empty(0))
            setattr(self, f"grad_{name}", torch.empty(0))
        self.grad_x = torch.empty(0)
        self.gradInput = [*(getattr(self, f"grad_{name}") for name in self._states), self.grad_x]

    def _inputs(self) -> int:
        return getattr(self, self._sizes[0])

    def _outputs(self) -> int:
        return getattr(self, self._sizes[1])

    def reset(self, std: float | None = None) -> Any:
        """Draw ``weight`` from a normal distribution of deviation ``std``, by default 1/√(inputs + outputs); ``bias``
        becomes 0, in part 1 where the class says so. Returns the module.
        """
        self.bias.zero_()
        if self._gates > 1:
            self.bias[self._outputs() : 2 * self._outputs()] = 1
        random.normal(self.weight, 0, given(std, 1 / math.sqrt(self.weight.shape[0])))
        return self

    def resetStates(self) -> None:
        """Begin the next sequence from zero, also where the module remembers."""
        for name in self._states:
            setattr(self, name, getattr(self, name).new_empty(0))

    def _remembers(self) -> bool:
        """Whether the next sequence goes on where the last one ended."""
        raise NotImplementedError

    def _run(self, x: torch.Tensor, starts: list[torch.Tensor]) -> torch.Tensor:
        """Compute all steps; the output."""
        raise NotImplementedError

    def _run_back(self, x: torch.Tensor, starts: list[torch.Tensor], gradOutput: torch.Tensor) -> None:
        """Compute ``grad_x`` and the gradients of the first states; add to those of the parameters."""
        raise NotImplementedError

    def _inner(self, sequence: torch.Tensor) -> torch.Tensor:
        """A sequence as it comes from outside with its dimensions as the buffers have them."""
        return sequence

    def _parts(self, input: Any) -> Parts:
        """The first states that are given, and the sequence."""
        several = isinstance(input, (list, tuple)) and len(input) > 0
        states, x = (list(input[:-1]), input[-1]) if several else ([], input)
        missing = len(self._states) - len(states)
        if missing < 0 or not isinstance(x, torch.Tensor) or x.dim() != 3 or x.shape[2] != self._inputs():
            self._misfit(input)
        x = self._inner(x)
        for name, state in zip(self._states[missing:], states):
            wanted = x.shape[1 - self._time], self._width(name)
            if not isinstance(state, torch.Tensor) or state.shape != wanted:
                self._want(False, f"{name} of {_by(wanted)}", state)
        return [None] * missing + states, x

    def _misfit(self, input: Any) -> None:
        """Say what an input must be that is none."""
        tables = (f"[{', '.join((*self._states[i:], 'x'))}]" for i in range(len(self._states)))
        self._want(False, f"a batch of sequences x with vectors of {self._inputs()}, or {' or '.join(tables)}", input)

    def _width(self, name: str) -> int:
        """The size of a state."""
        return self._outputs()

    def _start(self, name: str, batch: int) -> torch.Tensor:
        """The state before the first step, where the input does not hold it."""
        state = getattr(self, name)
        user = getattr(self, self._given[name]) if name in self._given else None
        if user is not None:
            if user.shape[0] != batch:
                raise ShapeError(f"{self._given[name]} is of a batch of {user.shape[0]}, got one of {batch}")
            return resized(state, user.shape).copy_(user)
        if not state.numel() or not self._remembers():
            return resized(state, (batch, self._width(name))).zero_()
        steps = getattr(self, self._carried[name])
        if steps is None or not steps.numel():
            raise ModuleError("the states are remembered, but the buffers were cleared: nothing to go on from")
        last = steps.select(self._time, -1)
        if last.shape[0] != batch:
            raise ShapeError(f"the remembered states are of a batch of {last.shape[0]}, got one of {batch}")
        return state.copy_(last)

    def updateOutput(self, input: Any) -> torch.Tensor:
        self.recompute_backward = True
        states, x = self._parts(input)
        batch = x.shape[1 - self._time]
        for name, state in zip(self._states, states):
            setattr(self, f"_return_grad_{name}", state is not None)
        starts = [self._start(n, batch) if state is None else state for n, state in zip(self._states, states)]
        return self._run(x, starts)

    def backward(self, input: Any, gradOutput: torch.Tensor, scale: float = 1) -> Any:
        """Compute ``gradInput`` and add to the gradients of the parameters, both at once.

        ``gradInput`` is a list if the input was: of the gradients of the given states and of the sequence.

        Raises:
            ArgumentError: ``scale`` is not 1.
        """
        self.recompute_backward = False
        if scale != 1:
            raise ArgumentError(f"backward takes no scale but 1, got {scale}")
        states, x = self._parts(input)
        self._want(gradOutput.shape == self.output.shape, f"a gradOutput of {_by(self.output.shape)}", gradOutput)
        gradOutput = self._inner(gradOutput)
        starts = [getattr(self, name) if state is None else state for name, state in zip(self._states, states)]
        for name, state in zip(self._states, starts):
            resized(getattr(self, f"grad_{name}"), state.shape)
        self._run_back(x, starts, gradOutput)
        first = 0
        while first < len(self._states) and not all(
            getattr(self, f"_return_grad_{name}") for name in self._states[first:]
        ):
            first += 1
        grads = [getattr(self, f"grad_{name}") for name in self._states[first:]]
        self.gradInput = [*grads, self.grad_x] if grads else self.grad_x
        return self.gradInput

    def updateGradInput(self, input: Any, gradOutput: torch.Tensor) -> Any:
        if self.recompute_backward:
            self.backward(input, gradOutput, 1)
        return self.gradInput

    def accGradParameters(self, input: Any, gradOutput: torch.Tensor, scale: float = 1) -> None:
        if self.recompute_backward:
            self.backward(input, gradOutput, scale)

    def _accumulate(
        self, x: torch.Tensor, output: torch.Tensor, start: torch.Tensor, grad: torch.Tensor, grad_x: torch.Tensor
    ) -> None:
        """Make ``grad_x`` from the gradient of all gates, and add to that of the parameters."""
        size, flat = x.shape[2], grad.view(-1, grad.shape[2])
        torch.mm(flat, self.weight[:size].t(), out=dense(grad_x, x.shape).view(-1, size))
        self.gradWeight[:size].addmm_(x.reshape(-1, size).t(), flat)
        self.gradWeight[size:].addmm_(self._previous(output, start).t(), flat)
        self.gradBias.add_(flat.sum(0))

    def _previous(self, output: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        """The output before each step, one row for each."""
        time = self._time
        before = torch.cat((start.unsqueeze(time), output.narrow(time, 0, output.shape[time] - 1)), time)
        return before.view(-1, before.shape[2])

    def clearState(self) -> Any:
        self._cache = None
        names = "output", "cell", "gates", "grad_c0", "grad_h0", "grad_x"
        return utils.clear(self, *names, "buffer1", "buffer2", "buffer3", "grad_a_buffer")


def _by(size: tuple[int, ...]) -> str:
    return " x ".join(map(str, size))


class _LSTM(_Sequence):
    """What SeqLSTM and torch-rnn's LSTM share; the arithmetic stands in ``_lstm.py``."""

    _states = ("c0", "h0")
    _gates = 4

    cell: Any = None
    c0: Any = None
    h0: Any = None
    grad_c0: Any = None
    grad_h0: Any = None

    def __init__(self, inputs: int, outputs: int, hidden: int | None = None) -> None:
        super().__init__(inputs, outputs, hidden)
        self.reset()
        self.cell = torch.empty(0)
        self.gates = torch.empty(0)
        self.buffer1 = torch.empty(0)
        self.buffer2 = torch.empty(0)
        self.buffer3 = torch.empty(0)
        self.grad_a_buffer = torch.empty(0)

    def _steps(self, output: torch.Tensor, hidden: torch.Tensor) -> _lstm.Steps:
        """The views of the buffers' steps."""
        steps = self._cache
        if steps is None or not steps.fits(output, hidden, self.cell, self.gates):
            steps = self._cache = _lstm.Steps(self._time, output, hidden, self.cell, self.gates)
        return steps

    def _forward(
        self,
        x: torch.Tensor,
        starts: list[torch.Tensor],
        output: torch.Tensor,
        projection: torch.Tensor | None = None,
        hidden: torch.Tensor | None = None,
        masks: list | None = None,
    ) -> None:
        """All steps into ``output`` and the buffers; ``hidden`` is for what a projection is taken of."""
        lengths, size = x.shape[:2], self.bias.shape[0] // 4
        dense(output, (*lengths, self._outputs()))
        dense(self.cell, (*lengths, size))
        dense(self.gates, (*lengths, 4 * size))
        hidden = output if hidden is None else dense(hidden, (*lengths, size))
        steps, (c, h) = self._steps(output, hidden), starts
        masks = masks or [None] * steps.count
        _lstm.forward(steps, x, h, c, self.weight, self.bias, projection, masks)

    def _backward(
        self,
        x: torch.Tensor,
        starts: list[torch.Tensor],
        output: torch.Tensor,
        gradOutput: torch.Tensor,
        grad_x: torch.Tensor,
        after: tuple[torch.Tensor | None, torch.Tensor | None] = (None, None),
        projection: torch.Tensor | None = None,
        hidden: torch.Tensor | None = None,
        gradProjection: torch.Tensor | None = None,
        masks: list | None = None,
    ) -> None:
        """All gradients. ``after``: those of cell and output that come from behind the last step."""
        steps, (c, h) = self._steps(output, output if hidden is None else hidden), starts
        grad_c, grad_h = self.grad_c0, self.grad_h0
        for grad, last in ((grad_c, after[0]), (grad_h, after[1])):
            grad.zero_() if last is None else grad.copy_(last)
        grads = dense(self.grad_a_buffer, self.gates.shape)
        grad_hidden = None if projection is None else torch.empty_like(output)
        masks = masks or [None] * steps.count
        _lstm.backward(steps, h, c, self.weight, projection, masks, gradOutput, grad_h, grad_c, grad_hidden, grads)
        if grad_hidden is not None and hidden is not None and gradProjection is not None:
            rows = hidden.view(-1, hidden.shape[2])
            gradProjection.addmm_(rows.t(), grad_hidden.view(-1, grad_hidden.shape[2]))
        self._accumulate(x, output, h, grads, grad_x)
