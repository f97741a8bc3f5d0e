"""Layers that take a whole sequence in one tensor."""

from __future__ import annotations

import math
from typing import Any

import torch

from ... import random
from ...errors import ArgumentError
from ...nn import Transpose, _kernels
from ...nn._kernels import resized
from ...nn._object import given, need_tensor
from ...nn.container import Sequential
from ...nn.decorator import Decorator
from ...nn.module import Module
from ...nn.table import CAddTable, ConcatTable
from .._sequence import _LSTM, _Sequence, dense
from ._remember import Remembering


class _TimeFirst(Remembering, _Sequence):
    """What SeqLSTM and SeqGRU share.

    Attributes:
        batchfirst: set it for sequences of batch x time x size; the output is then a transposed view.
        maskzero: set it to start from zero after every step that is a row of zeros; its output is zero.
        userPrevOutput, userPrevCell: the states to begin the next sequence with; used once.
        gradPrevOutput, userNextGradCell: gradients of the last states, to be added in the next backward; used once.
        userGradPrevOutput, userGradPrevCell: the gradients of the first states, after a backward.
    """

    _given = {"h0": "userPrevOutput", "c0": "userPrevCell"}
    _carried = {"h0": "_output", "c0": "cell"}

    batchfirst = False
    maskzero = False
    _output: Any = None
    _grad_x: Any = None
    userPrevOutput: Any = None
    userPrevCell: Any = None
    gradPrevOutput: Any = None
    userNextGradCell: Any = None
    userGradPrevOutput: Any = None
    userGradPrevCell: Any = None

    def _ready(self) -> None:
        """Set what the constructor sets beside buffers."""
        self._remember = "neither"
        self.batchfirst = False
        self.maskzero = False

    def _inner(self, sequence: torch.Tensor) -> torch.Tensor:
        return sequence.transpose(0, 1) if self.batchfirst else sequence

    def _facing(self, name: str) -> torch.Tensor:
        """The buffer ``_name``, time first, that is behind the field ``name``."""
        inner, outer = getattr(self, f"_{name}"), getattr(self, name)
        if inner is None or (self.batchfirst and inner is outer):
            inner = self.weight.new_empty(0) if self.batchfirst else outer
            setattr(self, f"_{name}", inner)
        return inner

    def _turned(self, name: str) -> torch.Tensor:
        """The field ``name``, brought in line with the buffer behind it."""
        inner, outer = getattr(self, f"_{name}"), getattr(self, name)
        if inner is not outer:
            outer.set_(inner.transpose(0, 1) if self.batchfirst else inner)
        return outer

    def _masks(self, x: torch.Tensor) -> list | None:
        """For each step a column that is true for rows of zeros, or ``None`` where there are none."""
        if not self.maskzero:
            return None
        zero = (x == 0).all(2, keepdim=True)
        some = zero.any(1).flatten().tolist()
        return [mask if any else None for mask, any in zip(zero.unbind(0), some)] if True in some else None

    def _after(self) -> None:
        """Forget what the user set for one forward."""
        for name in ("userPrevOutput", "userPrevCell"):
            self.__dict__.pop(name, None)

    def _after_back(self) -> None:
        """Forget what the user set for one backward, and keep the gradients of the first states for the user."""
        for name in ("gradPrevOutput", "userNextGradCell"):
            self.__dict__.pop(name, None)
        for name in self._states:
            setattr(self, self._given[name].replace("user", "userGrad"), getattr(self, f"grad_{name}"))

    def forget(self) -> Any:
        """Begin the next sequence from zero, also where the module remembers; returns the module."""
        for name in self._states:
            resized(getattr(self, name), (0,))
        return self

    def training(self) -> None:
        if self.train is False:
            self.forget()
        super().training()

    def evaluate(self) -> None:
        if self.train is not False:
            self.forget()
        super().evaluate()

    def maskZero(self, *ignored: Any) -> None:
        """Set ``maskzero``."""
        self.maskzero = True

    def clearState(self) -> Any:
        super().clearState()
        self._discard("_output", "_grad_x")
        self.gradInput = None
        return self

    def _discard(self, *names: str) -> None:
        for name in (*names, "zeroMask", "_zeroMask", "_maskbyte", "_maskindices"):  # the rock's, for masks
            self.__dict__.pop(name, None)

    def _convert(self, dtype: torch.dtype | None, device: torch.device | None, cache: dict) -> None:
        self._discard()
        super()._convert(dtype, device, cache)

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        if "remember_states" in fields and "_remember" not in fields:  # the first version, batch first throughout
            self._remember = "both" if self.__dict__.pop("remember_states") else "neither"
            self.batchfirst = True


class SeqLSTM(_TimeFirst, _LSTM):
    """A long short-term memory over a whole sequence.

    With ``[x, h]`` the input and the output of the step before, side by side::

        i, f, o, g = [x, h] W + b      σ of the first three, tanh of the last
        c = f * c + i * g
        h = o * tanh(c)

    Input: T x N x inputsize (time, batch, size), or a list ``[h0, x]`` or ``[c0, h0, x]`` with the states before the
    first step, N x outputsize. Output: T x N x outputsize. Without states given it begins with zeros; see also
    :meth:`remember`. ``backward`` does everything at once, takes no scale but 1, and gives a list if the input was one.

    Args:
        inputsize: size of the input.
        hiddensize: size of the cell and of the output.
        outputsize: for :class:`SeqLSTMP`, whose output has another size.

    ``weight`` ((inputsize + outputsize) x 4 hiddensize) is drawn from a normal distribution of deviation
    1/√(inputsize + outputsize); ``bias`` is 0, for the forget gate 1.
    """

    _sizes = ("inputsize", "outputsize")

    inputsize: int
    hiddensize: int
    outputsize: int

    def __init__(self, inputsize: int, hiddensize: int, outputsize: int | None = None) -> None:
        if outputsize not in (None, hiddensize) and not isinstance(self, SeqLSTMP):
            raise ArgumentError(f"{self._typename}: the output has the size of the cell; SeqLSTMP takes one of its own")
        self.hiddensize = hiddensize
        super().__init__(inputsize, given(outputsize, hiddensize), hiddensize)
        self._ready()

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        if "hiddensize" not in fields:
            self.hiddensize = self.outputsize

    def _width(self, name: str) -> int:
        # the rock checks a given c0 for the size of the output; in SeqLSTMP only the cell's can work
        return self.hiddensize if name == "c0" else self.outputsize

    def _projection(self) -> dict:
        """What a projection adds to the arguments of the kernels."""
        return {}

    def _run(self, x: torch.Tensor, starts: list[torch.Tensor]) -> torch.Tensor:
        self._forward(x, starts, self._facing("output"), masks=self._masks(x), **self._projection())
        self._after()
        return self._turned("output")

    def _run_back(self, x: torch.Tensor, starts: list[torch.Tensor], gradOutput: torch.Tensor) -> None:
        after = self.userNextGradCell, self.gradPrevOutput
        self._backward(x, starts, self._output, gradOutput, self._facing("grad_x"), after, **self._projected_back(x))
        self._turned("grad_x")
        self._after_back()

    def _projected_back(self, x: torch.Tensor) -> dict:
        return {}  # masks need no attention: where the gates are zero, so is every gradient

    def toFastLSTM(self) -> Any:
        """A :class:`FastLSTM`, which takes one step at a time, with copies of these parameters and gradients."""
        from . import FastLSTM

        lstm, size = FastLSTM(self.inputsize, self.outputsize), self.inputsize
        for theirs, weight, bias in zip(lstm.parameters(), (self.weight, self.gradWeight), (self.bias, self.gradBias)):
            i, f, o, g = weight.chunk(4, 1)
            columns = torch.cat((i, g, f, o), 1)
            i, f, o, g = bias.chunk(4)
            for mine, other in zip((columns[:size].t(), torch.cat((i, g, f, o)), columns[size:].t()), theirs):
                other.copy_(mine)
        return lstm


class SeqLSTMP(SeqLSTM):
    """A :class:`SeqLSTM` whose output is a projection: ``h = (o * tanh(c)) P``.

    Input, output: as in SeqLSTM, with a cell of N x hiddensize.

    Args:
        inputsize, hiddensize, outputsize: sizes of the input, the cell, and the output.

    ``weightO`` is P (hiddensize x outputsize), of deviation 1/√(outputsize + hiddensize); that of ``weight`` is
    1/√(hiddensize + inputsize). As in the rock, ``bias`` is 1 from outputsize + 1 to 2 outputsize, which is not quite
    the forget gate.
    """

    dpnn_parameters = ["weight", "bias", "weightO"]
    dpnn_gradParameters = ["gradWeight", "gradBias", "gradWeightO"]

    _hidden: Any = None

    def __init__(self, inputsize: int, hiddensize: int, outputsize: int) -> None:
        if not all(isinstance(n, int) and n > 0 for n in (hiddensize, outputsize)):
            raise ArgumentError(
                f"{self._typename}: wants the sizes of input, hidden state and output, got {inputsize!r}, "
                f"{hiddensize!r}, {outputsize!r}"
            )
        self.weightO = torch.empty(hiddensize, outputsize)
        self.gradWeightO = torch.zeros(hiddensize, outputsize)
        super().__init__(inputsize, hiddensize, outputsize)

    def reset(self, std: float | None = None) -> SeqLSTMP:
        """Draw ``weight`` and ``weightO`` anew, with deviation ``std`` or the class's own; returns the module."""
        super().reset(given(std, 1 / math.sqrt(self.hiddensize + self.inputsize)))
        random.normal(self.weightO, 0, given(std, 1 / math.sqrt(self.outputsize + self.hiddensize)))
        return self

    def parameters(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        return [self.weight, self.bias, self.weightO], [self.gradWeight, self.gradBias, self.gradWeightO]

    def _projection(self) -> dict:
        if self._hidden is None:
            self._hidden = self.weight.new_empty(0)
        return {"projection": self.weightO, "hidden": self._hidden}

    def _projected_back(self, x: torch.Tensor) -> dict:
        return {**self._projection(), "gradProjection": self.gradWeightO, "masks": self._masks(x)}

    def accUpdateGradParameters(self, input: Any, gradOutput: torch.Tensor, lr: float) -> None:
        raise ArgumentError(f"{self._typename} has no accUpdateGradParameters; use backward() and updateParameters()")

    def toFastLSTM(self) -> Any:
        raise ArgumentError(f"{self._typename} cannot become a FastLSTM, which has no projection")


class SeqGRU(_TimeFirst):
    """Gated recurrent units over a whole sequence::

        r, u = σ([x, h] W + b)          the first two thirds of W
        n = tanh([x, r * h] W + b)      the last third
        h = (1 - u) n + u h

    Input: T x N x inputSize (time, batch, size), or a list ``[h0, x]`` with the state before the first step,
    N x outputSize. Output: T x N x outputSize. The rest is as in :class:`SeqLSTM`.

    Args:
        inputSize, outputSize: sizes of the input and the output.

    ``weight`` ((inputSize + outputSize) x 3 outputSize) is drawn from a normal distribution of deviation
    1/√(inputSize + outputSize); ``bias`` is 0, for ``u`` 1.
    """

    _sizes = ("inputSize", "outputSize")
    _gates = 3

    inputSize: int
    outputSize: int
    h0: Any = None
    grad_h0: Any = None

    def __init__(self, inputSize: int, outputSize: int) -> None:
        super().__init__(inputSize, outputSize)
        self.seqLength = 1
        self.miniBatch = 1
        self.reset()
        self.gates = torch.empty(0)
        self.buffer1 = torch.empty(0)
        self.buffer2 = torch.empty(0)
        self.buffer3 = torch.empty(0)
        self.grad_a_buffer = torch.empty(0)
        self._ready()

    def _steps(self, output: torch.Tensor) -> tuple:
        """The steps of the output and of the gates: together, r and u together, and each; the same of the gradients."""
        gates, grads = self.gates, self.grad_a_buffer
        key = output.data_ptr(), gates.data_ptr(), grads.data_ptr(), gates.shape, grads.shape, gates.dtype
        if self._cache is None or self._cache[0] != key:
            size = self.outputSize

            def parts(steps: tuple) -> tuple:
                return steps, [s.narrow(1, 0, 2 * size) for s in steps], [s.split(size, 1) for s in steps]

            back = parts(grads.unbind(0)) if grads.shape == gates.shape else None
            self._cache = key, output.unbind(0), *parts(gates.unbind(0))[1:], back, (output, gates, grads)
        return self._cache[1:5]

    def _run(self, x: torch.Tensor, starts: list[torch.Tensor]) -> torch.Tensor:
        size, inputs, h = self.outputSize, self.inputSize, starts[0]
        output = dense(self._facing("output"), (*x.shape[:2], size))
        dense(self.gates, (*x.shape[:2], 3 * size))
        outputs, ru, rest, _ = self._steps(output)
        masks = self._masks(x) or [None] * len(outputs)
        recurrent = self.weight[inputs:]
        for_ru, for_n = recurrent[:, : 2 * size], recurrent[:, 2 * size :]
        torch.addmm(self.bias, x.reshape(-1, inputs), self.weight[:inputs], out=self.gates.view(-1, 3 * size))
        for next_h, two, (r, u, n), mask in zip(outputs, ru, rest, masks, strict=True):
            two.addmm_(h, for_ru).sigmoid_()
            n.addmm_(torch.mul(r, h, out=next_h), for_n).tanh_()
            torch.lerp(n, h, u, out=next_h)
            if mask is not None:
                for t in (next_h, two, n):
                    t.masked_fill_(mask, 0)
            h = next_h
        self._after()
        return self._turned("output")

    def _run_back(self, x: torch.Tensor, starts: list[torch.Tensor], gradOutput: torch.Tensor) -> None:
        size, h0 = self.outputSize, starts[0]
        grad = dense(self.grad_a_buffer, self.gates.shape)
        outputs, ru, rest, (_, back_ru, back) = self._steps(self._output)
        masks = self._masks(x) or [None] * len(outputs)
        grads = gradOutput.unbind(0)
        recurrent = self.weight[self.inputSize :].t().contiguous()
        for_ru, for_n = recurrent[: 2 * size], recurrent[2 * size :]
        grad_h = self.grad_h0.zero_() if self.gradPrevOutput is None else self.grad_h0.copy_(self.gradPrevOutput)
        straight, reset = dense(self.buffer1, h0.shape), dense(self.buffer2, h0.shape)
        grad_h.add_(grads[-1])
        for t in range(len(outputs) - 1, -1, -1):
            h, (r, u, n), (grad_r, grad_u, grad_n) = outputs[t - 1] if t else h0, rest[t], back[t]
            if masks[t] is not None:
                grad_h.masked_fill_(masks[t], 0)
            torch.mul(grad_h, u, out=straight)
            torch.sub(grad_h, straight, out=grad_n)
            _kernels.tanh_backward(grad_n, n, grad_input=grad_n)
            torch.mm(grad_n, for_n, out=reset)
            torch.mul(reset, h, out=grad_r)
            torch.sub(h, n, out=grad_u).mul_(grad_h)
            _kernels.sigmoid_backward(back_ru[t], ru[t], grad_input=back_ru[t])
            straight.addcmul_(reset, r)
            if t:
                straight.add_(grads[t - 1])
            torch.addmm(straight, back_ru[t], for_ru, out=grad_h)
        self._accumulate(x, self._output, h0, grad, self._facing("grad_x"))
        self._turned("grad_x")
        self._after_back()

    def _accumulate(
        self, x: torch.Tensor, output: torch.Tensor, start: torch.Tensor, grad: torch.Tensor, grad_x: torch.Tensor
    ) -> None:
        inputs, size = self.inputSize, self.outputSize
        flat, rows, gates = grad.view(-1, 3 * size), x.reshape(-1, inputs), self.gates.view(-1, 3 * size)
        torch.mm(flat, self.weight[:inputs].t(), out=dense(grad_x, x.shape).view(-1, inputs))
        self.gradWeight[:inputs].addmm_(rows.t(), flat)
        before = self._previous(output, start)
        self.gradWeight[inputs:, : 2 * size].addmm_(before.t(), flat[:, : 2 * size])
        self.gradWeight[inputs:, 2 * size :].addmm_(before.mul_(gates[:, :size]).t(), flat[:, 2 * size :])
        self.gradBias.add_(flat.sum(0))

    def clearState(self) -> SeqGRU:
        super().clearState()
        self._discard("userGradPrevOutput", "gradPrevOutput")
        return self

    def toGRU(self) -> Any:
        """A :class:`GRU`, which takes one step at a time, with copies of these parameters and gradients."""
        from . import GRU

        gru, inputs, two = GRU(self.inputSize, self.outputSize), self.inputSize, 2 * self.outputSize
        for theirs, weight, bias in zip(gru.parameters(), (self.weight, self.gradWeight), (self.bias, self.gradBias)):
            for_x, for_h = weight[:inputs].t(), weight[inputs:].t()
            mine = for_x[:two], bias[:two], for_h[:two], for_x[two:], bias[two:], for_h[two:]
            for one, other in zip(mine, theirs):
                other.copy_(one)
        return gru


class SeqReverseSequence(Module):
    """The input in reverse order along one dimension. Input, output: any size.

    Args:
        dim: the dimension, from 1 to 3.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        if not isinstance(dim, int) or not 1 <= dim <= 3:
            raise ArgumentError(f"{self._typename}: dim must be 1, 2 or 3, got {dim!r}")
        self.dim = dim

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        return self.output.set_(need_tensor(input).flip(self.dim - 1))

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        return self.gradInput.set_(gradOutput.flip(self.dim - 1))


class SeqBRNN(Decorator):
    """Two :class:`SeqLSTM`, one over the sequence, one over it in reverse, and their outputs merged step by step.

    Input: T x N x inputDim. Output: T x N x hiddenDim, with another ``merge`` as it says.

    Args:
        inputDim, hiddenDim: sizes of the input, and of the output of each SeqLSTM.
        batchFirst: sequences are N x T x ..., default no.
        merge: a module that takes the list of the two outputs, default ``CAddTable()``.

    ``forwardModule``, ``backwardModule`` and ``merge`` are the parts, ``module`` the net made of them.
    """

    def __init__(
        self, inputDim: int, hiddenDim: int, batchFirst: bool | None = None, merge: Module | None = None
    ) -> None:
        self.forwardModule = SeqLSTM(inputDim, hiddenDim)
        self.backwardModule = SeqLSTM(inputDim, hiddenDim)
        self.merge = CAddTable() if merge is None else merge
        self.dim = 1
        backward = Sequential()
        for module in (SeqReverseSequence(self.dim), self.backwardModule, SeqReverseSequence(self.dim)):
            backward.add(module)
        brnn = Sequential().add(ConcatTable().add(self.forwardModule).add(backward)).add(self.merge)
        if batchFirst:
            brnn.insert(Transpose([1, 2]), 1).insert(Transpose([1, 2]))
        super().__init__(brnn)
        self.module = brnn

    def backward(self, input: Any, gradOutput: Any, scale: float = 1) -> Any:
        # one after the other: SeqLSTM's backward takes no scale but 1, and has done all in updateGradInput
        return Module.backward(self, input, gradOutput, scale)
