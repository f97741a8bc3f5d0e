"""The recurrent nets, whose parameters are one flat tensor."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import torch

from ... import random
from ...errors import ArgumentError, ModuleError, ShapeError
from ...nn import utils
from ...nn._guard import describe
from ...nn._kernels import resized
from ...nn._object import given, need_number, need_size
from ...nn.module import Module
from ._cells import CELLS, Cell, States, cell

R = TypeVar("R", bound="RNN")

_BOTH, _ONE = "CUDNN_BIDIRECTIONAL", "CUDNN_UNIDIRECTIONAL"
_LINEAR, _SKIP = "CUDNN_LINEAR_INPUT", "CUDNN_SKIP_INPUT"


class RNN(Module, typename="cudnn.RNN"):
    """A recurrent net of several layers over whole sequences; what its units compute is said by ``mode``.

    ``mode`` is ``CUDNN_RNN_RELU`` (at first), ``CUDNN_RNN_TANH``, ``CUDNN_LSTM`` or ``CUDNN_GRU``. After a change of
    ``mode``, ``bidirectional`` (and with it ``numDirections``) or ``inputMode``, call :meth:`reset`.

    Input: time x batch x inputSize; or the list [frames, counts] that :meth:`packPaddedSequence` makes of sequences
    that differ in length. Output: time x batch x (hiddenSize · numDirections), or the frames of it.

    Args:
        inputSize, hiddenSize: sizes of a frame of the input and of a direction of the output.
        numLayers: the number of layers, default 1.
        batchFirst: input and output are batch x time x size; default no.
        dropout: the part of a layer's output that is dropped in training before it enters the next; default 0.
        rememberStates: begin where the last ``forward`` ended, if the batch is as large; default no.

    ``hiddenInput`` and ``cellInput`` (numLayers · numDirections x batch x hiddenSize; nil for zeros) are the states at
    first, ``hiddenOutput`` and ``cellOutput`` those at the end. ``gradHiddenOutput`` and ``gradCellOutput`` (nil for
    zeros) are the gradients with respect to the latter, which ``backward`` takes into account; ``gradHiddenInput`` and
    ``gradCellInput`` those with respect to the former, which it computes.

    ``weight`` holds, as cuDNN's does: for each layer, for each direction the matrices by which the gates take the input
    and those by which they take the state; then the biases in the same order. It is drawn uniformly between
    ±1/√hiddenSize. :meth:`weights` and :meth:`biases` give its parts. With ``CUDNN_SKIP_INPUT`` as ``inputMode`` the
    first layer has no matrices for the input, which enters each gate as it is.
    """

    hiddenInput: torch.Tensor | None = None
    cellInput: torch.Tensor | None = None
    gradHiddenOutput: torch.Tensor | None = None
    gradCellOutput: torch.Tensor | None = None
    numDirections = 1  # older files lack these
    inputMode = _LINEAR
    batchFirst = False
    dropout: float = 0
    rememberStates = False
    inputPacked = False
    sync = True

    def __init__(
        self,
        inputSize: int,
        hiddenSize: int,
        numLayers: int | None = None,
        batchFirst: bool | None = None,
        dropout: float | None = None,
        rememberStates: bool | None = None,
    ) -> None:
        super().__init__()
        numLayers = given(numLayers, 1)
        need_size(self, inputSize=inputSize, hiddenSize=hiddenSize, numLayers=numLayers)
        dropout = dropout or 0
        need_number(self, dropout=dropout)
        if not 0 <= dropout < 1:
            raise ArgumentError(f"{self._typename}: dropout must be from 0 up to, but not, 1, got {dropout}")
        self.datatype = "CUDNN_DATA_FLOAT"
        self.inputSize = inputSize
        self.hiddenSize = hiddenSize
        self.seqLength = 1
        self.miniBatch = 1
        self.numLayers = numLayers
        self.bidirectional = _ONE
        self.numDirections = 1
        self.inputMode = _LINEAR
        self.mode = "CUDNN_RNN_RELU"
        self.dropout = dropout
        self.seed = 0x01234567
        self.batchFirst = bool(batchFirst)
        self.rememberStates = bool(rememberStates)
        self.sync = True
        self.inputPacked = False
        self.weight = torch.empty(0)
        self.gradWeight = torch.empty(0)
        self.reserve = torch.empty(0)
        self.hiddenOutput = torch.empty(0)
        self.cellOutput = torch.empty(0)
        self.gradHiddenInput = torch.empty(0)
        self.gradCellInput = torch.empty(0)
        self.train = True
        self._choose()
        self.reset()

    def _choose(self) -> None:
        """Set what a subclass is: the mode and the directions."""

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        if self.__dict__.get("bidirectional") == _BOTH:
            self.__dict__.setdefault("numDirections", 2)

    def setSync(self, sync: bool) -> None:
        """Say whether ``forward`` and ``backward`` wait for the GPU. Without effect here."""
        self.sync = sync

    # The parameters

    def _cell(self) -> type[Cell]:
        try:
            return CELLS[self.mode]
        except KeyError:
            raise ArgumentError(f"mode must be one of {', '.join(CELLS)}, got {self.mode!r}") from None

    def _shapes(self) -> list[tuple]:
        """For each layer and direction the sizes of the two matrices and the two biases; ``None`` for a matrix that is
        not there.
        """
        directions = 2 if self.bidirectional == _BOTH else 1
        if directions != self.numDirections or self.bidirectional not in (_ONE, _BOTH):
            raise ArgumentError(
                f"bidirectional is {self.bidirectional!r} and numDirections {self.numDirections}; wanted {_ONE!r} and "
                f"1, or {_BOTH!r} and 2"
            )
        hidden = self.hiddenSize
        rows = self._cell().gates * hidden
        skip = self.inputMode == _SKIP
        if skip and self.inputSize != hidden:
            raise ArgumentError(f"{_SKIP} wants an inputSize of {hidden}, as the hiddenSize is, got {self.inputSize}")
        shapes = []
        for layer in range(self.numLayers):
            size = hidden * directions if layer else self.inputSize
            first = None if skip and not layer else (rows, size)
            shapes += [(first, (rows, hidden), (rows,), (rows,))] * directions
        return shapes

    def _parts(self, flat: torch.Tensor) -> list[tuple]:
        """The parts of a flat tensor: for each layer and direction two matrices and two biases."""
        shapes = self._shapes()
        want = sum(math.prod(size) for shape in shapes for size in shape if size)
        if flat.numel() < want:
            raise ShapeError(f"weight must have {want} elements, got {flat.numel()}; reset() makes one")
        flat = flat.view(-1)
        parts: list[list] = [[] for _ in shapes]
        begin = 0
        for half in (slice(0, 2), slice(2, 4)):
            for part, shape in zip(parts, shapes):
                for size in shape[half]:
                    end = begin + math.prod(size or (0,))
                    part.append(flat[begin:end].view(size) if size else None)
                    begin = end
        return [tuple(part) for part in parts]

    def reset(self, stdv: float | None = None) -> None:
        """Draw the parameters anew, uniformly between ±``stdv``, by default 1/√hiddenSize; their number follows from
        the settings.
        """
        stdv = given(stdv, 1 / math.sqrt(self.hiddenSize))
        size = sum(math.prod(size) for shape in self._shapes() for size in shape if size)
        random.uniform(resized(self.weight, (size,)), -stdv, stdv)
        resized(self.gradWeight, (size,)).zero_()

    def weights(self) -> list[list[torch.Tensor]]:
        """For each layer and direction the matrices in ``weight``, as vectors: by which each gate takes the input, then
        those by which it takes the state.

        Gates: input, forget, new, output of an LSTM; reset, update, new of a GRU.
        """
        return self._each(slice(0, 2))

    def biases(self) -> list[list[torch.Tensor]]:
        """For each layer and direction the biases in ``weight``, in the order of :meth:`weights`."""
        return self._each(slice(2, 4))

    def _each(self, which: slice) -> list[list[torch.Tensor]]:
        gates, none = self._cell().gates, self.weight.new_empty(0)
        return [
            [v for p in part[which] for v in ([none] * gates if p is None else p.view(gates, -1).unbind())]
            for part in self._parts(self.weight)
        ]

    # The states

    def resetStates(self) -> None:
        """Forget the states and the gradients with respect to them."""
        self.hiddenInput = self.cellInput = self.gradHiddenOutput = self.gradCellOutput = None
        self.hiddenOutput.zero_()
        self.cellOutput.zero_()

    def _state(self, name: str, like: torch.Tensor) -> torch.Tensor:
        """One of the states that the user may give, or zeros."""
        size = (self.numLayers * self.numDirections, self.miniBatch, self.hiddenSize)
        state = getattr(self, name)
        if state is None:
            return like.new_zeros(size)
        if state.shape != size:
            raise ShapeError(f"{name} must be {'x'.join(map(str, size))}, got {describe(state)}")
        return state

    def _remember(self) -> None:
        """Take the states at the end of the last forward for those at first, if they fit."""
        size = (self.numLayers * self.numDirections, self.miniBatch, self.hiddenSize)
        fits = self.hiddenOutput.shape == size
        self.hiddenInput = self.hiddenOutput.clone() if fits else None
        self.cellInput = self.cellOutput.clone() if fits and self.cellOutput.shape == size else None

    # Computing

    def _opened(self, input: Any) -> tuple[torch.Tensor, list[int]]:
        """The frames as rows of a matrix, and the number of sequences at each step."""
        if isinstance(input, (list, tuple)):
            fits = len(input) == 2 and isinstance(input[0], torch.Tensor) and hasattr(input[1], "__iter__")
            self._want(fits, self._wanted(), input)
            frames, counts = input
            counts = [int(n) for n in counts]
            fits = frames.dim() == 2 and frames.shape[1] == self.inputSize and frames.shape[0] == sum(counts)
            self._want(fits and counts == sorted(counts, reverse=True), self._wanted(), [frames, counts])
            return frames, counts
        self._want(input.dim() == 3 and input.shape[2] == self.inputSize, self._wanted(), input)
        if self.batchFirst:
            input = input.transpose(0, 1)
        return input.reshape(-1, self.inputSize), [input.shape[1]] * input.shape[0]

    def _wanted(self) -> str:
        order = "batch x time" if self.batchFirst else "time x batch"
        return f"{order} x {self.inputSize}, or [frames, counts] that packPaddedSequence made"

    def _closed(self, frames: torch.Tensor) -> torch.Tensor:
        """The frames in the form of the input."""
        if self.inputPacked:
            return frames
        frames = frames.view(self.seqLength, self.miniBatch, -1)
        return frames.transpose(0, 1) if self.batchFirst else frames

    def _dropped(self, frames: torch.Tensor) -> torch.Tensor:
        """Factors for the output of a layer that is not the last."""
        keep = 1 - self.dropout
        mask = torch.empty_like(frames)
        random.bernoulli(mask, keep)
        return mask.div_(keep)

    def updateOutput(self, input: Any) -> torch.Tensor:
        x, counts = self._opened(input)
        self.inputPacked = isinstance(input, (list, tuple))
        self.seqLength, self.miniBatch = len(counts), counts[0]
        if self.rememberStates:
            self._remember()
        mode, directions, size = self._cell(), self.numDirections, self.hiddenSize
        begin = self._state("hiddenInput", x), self._state("cellInput", x)
        end = [resized(t, begin[0].shape).zero_() for t in (self.hiddenOutput, self.cellOutput)]
        count = 2 if self.mode == "CUDNN_LSTM" else 1
        parts = self._parts(self.weight)
        layers = []
        for layer in range(self.numLayers):
            output = x.new_empty(x.shape[0], directions * size)
            cells = []
            for i, columns in enumerate(output.split(size, 1), layer * directions):
                one = cell(mode, x, counts, i % directions == 1, parts[i])
                one.forward(x, _of(begin, i, count), columns, _of(end, i, count), self.train)
                cells.append(one)
            mask = self._dropped(output) if self.train and self.dropout and layer < self.numLayers - 1 else None
            layers.append((cells, output, mask))
            x = output if mask is None else output * mask
        self._cache = [input, layers, False] if self.train else None
        return self.output.set_(self._closed(x))

    def updateGradInput(self, input: Any, gradOutput: torch.Tensor) -> torch.Tensor:
        self._differentiate(input, gradOutput)
        return self.gradInput

    def _differentiate(self, input: Any, gradOutput: torch.Tensor) -> None:
        if self._cache is None:
            raise ModuleError("forward must come before, in training")
        directions, size = self.numDirections, self.hiddenSize
        gradOutput = self._sized(gradOutput, self.output.shape)
        if self.batchFirst and not self.inputPacked:
            gradOutput = gradOutput.transpose(0, 1)
        grad = gradOutput.reshape(-1, directions * size)
        end = self._state("gradHiddenOutput", grad), self._state("gradCellOutput", grad)
        begin = [resized(t, end[0].shape).zero_() for t in (self.gradHiddenInput, self.gradCellInput)]
        count = 2 if self.mode == "CUDNN_LSTM" else 1
        for layer, (cells, output, mask) in reversed(list(enumerate(self._cache[1]))):
            if mask is not None:
                grad = grad * mask
            sums = None
            columns = zip(cells, output.split(size, 1), grad.split(size, 1))
            for i, (one, y, g) in enumerate(columns, layer * directions):
                into = one.backward(y, g, _of(end, i, count), _of(begin, i, count))
                sums = into if sums is None else sums.add_(into)
            grad = sums
        self._cache[2] = True
        self.gradInput.set_(self._closed(grad))

    def accGradParameters(self, input: Any, gradOutput: torch.Tensor, scale: float = 1) -> None:
        if self._cache is None or not self._cache[2]:
            self._differentiate(input, gradOutput)
        cells = [one for cells, _, _ in self._cache[1] for one in cells]
        for one, part in zip(cells, self._parts(self.gradWeight)):
            one.accumulate(part, scale)

    def clearDesc(self) -> None:
        """Drop what belongs to cuDNN. There is nothing here."""

    def clearState(self: R) -> R:
        utils.clear(self, "_input", "_gradOutput", "reserve", "dropoutStates")
        return super().clearState()

    # Sequences that differ in length

    @staticmethod
    def packPaddedSequence(input: torch.Tensor, lengths: list[int], batchFirst: bool = False) -> list:
        """Make of padded sequences what ``forward`` takes: the list [frames, counts], without the padding.

        Args:
            input: time x batch x …; with ``batchFirst`` batch x time x ….
            lengths: of the sequences, the longest first.
        """
        if batchFirst:
            input = input.transpose(0, 1)
        if len(lengths) != input.shape[1] or list(lengths) != sorted(lengths, reverse=True):
            raise ArgumentError(f"lengths must be {input.shape[1]} numbers, the greatest first, got {lengths}")
        if not 1 <= lengths[-1] <= lengths[0] <= input.shape[0]:
            raise ArgumentError(f"lengths must be from 1 to {input.shape[0]}, got {lengths}")
        counts = [sum(n > t for n in lengths) for t in range(lengths[0])]
        return [torch.cat([step[:n] for step, n in zip(input, counts)]), counts]

    @staticmethod
    def padPackedSequence(seq: list, batchFirst: bool = False) -> tuple[torch.Tensor, list[int]]:
        """The reverse of :meth:`packPaddedSequence`: padded sequences and their lengths."""
        frames, counts = seq
        output = frames.new_zeros(len(counts), counts[0], *frames.shape[1:])
        for step, part in zip(output, frames.split([int(n) for n in counts])):
            step[: part.shape[0]] = part
        lengths = [sum(n > i for n in counts) for i in range(int(counts[0]))]
        return (output.transpose(0, 1) if batchFirst else output), lengths


def _of(states: Any, i: int, count: int) -> States:
    """What belongs to one layer and direction."""
    return tuple([s[i] for s in states[:count]])


class RNNReLU(RNN, typename="cudnn.RNNReLU"):
    """:class:`RNN` of ``h = max(W x + b + R h' + c, 0)``. Input, output, arguments: as there."""


class RNNTanh(RNN, typename="cudnn.RNNTanh"):
    """:class:`RNN` of ``h = tanh(W x + b + R h' + c)``. Input, output, arguments: as there."""

    def _choose(self) -> None:
        self.mode = "CUDNN_RNN_TANH"


class LSTM(RNN, typename="cudnn.LSTM"):
    """:class:`RNN` of LSTM units. Input, output, arguments: as there.

    ``i, f, o = σ(W x + b + R h' + c)`` and ``g = tanh(…)``, each with its own; the cell is ``f`` times what it was plus
    ``i g``, and ``h = o tanh(cell)``.
    """

    def _choose(self) -> None:
        self.mode = "CUDNN_LSTM"


class GRU(RNN, typename="cudnn.GRU"):
    """:class:`RNN` of GRU units. Input, output, arguments: as there.

    ``r, z = σ(W x + b + R h' + c)``, ``n = tanh(W x + b + r (R h' + c))``, each with its own; ``h = (1 - z) n + z h'``.
    """

    def _choose(self) -> None:
        self.mode = "CUDNN_GRU"


class _Both(RNN):
    """What the nets in both directions share."""

    def __init__(
        self,
        inputSize: int,
        hiddenSize: int,
        numLayers: int | None = None,
        batchFirst: bool | None = None,
        dropout: float | None = None,
    ) -> None:
        super().__init__(inputSize, hiddenSize, numLayers, batchFirst, dropout)

    def _choose(self) -> None:
        super()._choose()
        self.bidirectional, self.numDirections = _BOTH, 2


class BLSTM(_Both, LSTM, typename="cudnn.BLSTM"):
    """:class:`LSTM` in both directions; the output has one direction's units behind the other's.

    Args:
        inputSize, hiddenSize, numLayers, batchFirst, dropout: as for :class:`RNN`.
    """


class BGRU(_Both, GRU, typename="cudnn.BGRU"):
    """:class:`GRU` in both directions; the output has one direction's units behind the other's.

    Args:
        inputSize, hiddenSize, numLayers, batchFirst, dropout: as for :class:`RNN`.
    """
