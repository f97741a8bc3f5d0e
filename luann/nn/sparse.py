"""Linear layers for inputs of which few entries are not zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..errors import ArgumentError, ShapeError, TensorTypeError
from ..table import Table
from . import _kernels as kernels
from . import utils
from ._guard import describe
from ._kernels import resized
from ._object import given, need_size
from .module import Module, draw_uniformly


def _weighted_sums(table: torch.Tensor, rows: torch.Tensor, values: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    """``Σ values[i] table[rows[i]]`` for each sample, whose ``i`` end before those of ``ends``."""
    starts = torch.nn.functional.pad(ends, (1, 0))
    return torch.embedding_bag(table, rows, starts, per_sample_weights=values, include_last_offset=True)[0]


class SparseLinear(Module):
    """``y = W x + b`` for a sparse ``x``, given as rows of (index from 1, value); an index may come more than once.

    Input: one sample, K x 2; or a list of N of these, with different K; or N x K x 2, the older form, where rows of
    value 0 may stand for nothing. Output: a vector of outputSize, or N x outputSize.

    Args:
        inputSize, outputSize: sizes of a sample.
        doGradInput: compute gradInput, default no. It names all columns: a list of inputSize x 2 for each sample, or N
            x inputSize x 2 in the older form. Otherwise gradInput is an empty list, or ``None`` in the older form.

    ``weight`` (outputSize x inputSize) and ``bias`` are drawn uniformly between ±1/√inputSize, the bias times 1e-6.
    ``weightDecay`` times the weight is added to ``gradWeight`` by each ``backward``.

    After one ``backward``, ``updateParameters`` and ``zeroGradParameters`` touch only the columns that its input named.
    """

    weightDecay = 0
    doGradInput = False
    lastInput: torch.Tensor | None = None
    sparseUpdate = 0  # backward calls since zeroGradParameters: none, one, or (2) more
    legacyMode = False

    def __init__(self, inputSize: int, outputSize: int, doGradInput: bool | None = None) -> None:
        super().__init__()
        need_size(self, inputSize=inputSize, outputSize=outputSize)
        if doGradInput not in (None, True, False):
            raise ArgumentError(f"{self._typename}: doGradInput must be true or false, got {doGradInput!r}")
        self.weightDecay = 0
        self.doGradInput = bool(doGradInput)
        self.weight = torch.empty(outputSize, inputSize)
        self.bias = torch.empty(outputSize)
        self.gradWeight = torch.zeros(outputSize, inputSize)
        self.gradBias = torch.zeros(outputSize)
        self.sparseUpdate = 0
        self.gradInput: Any = []
        self.output = torch.zeros(outputSize)
        self.reset()

    def reset(self, stdv: float | None = None) -> None:
        draw_uniformly(stdv, self.weight.shape[1], self.weight, self.bias)
        self.bias.mul_(0.000001)

    def _entries(self, input: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """All rows of (index, value) one below the other, and the number of them in each sample."""
        if isinstance(input, torch.Tensor):
            self._want(input.dim() in (2, 3) and input.shape[-1] == 2, "K x 2, a list of these, or N x K x 2", input)
            sizes = [input.shape[-2]] * (input.shape[0] if input.dim() == 3 else 1)
            return input.reshape(-1, 2), torch.tensor(sizes, device=input.device)
        if not isinstance(input, (list, tuple)) or not all(isinstance(t, torch.Tensor) for t in input):
            raise TensorTypeError(f"input must be a tensor or a list of tensors, got {describe(input)}")
        self._want(all(t.dim() == 2 and t.shape[1] == 2 for t in input), "a list of K x 2", input)
        entries = torch.cat(list(input))
        return entries, torch.tensor([t.shape[0] for t in input], device=entries.device)

    def _parsed(self, input: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Columns from 0, their values, how many belong to each sample; those of the last ``forward`` are kept."""
        if self._cache is None or self._cache[0] is not input:
            entries, sizes = self._entries(input)
            values = entries[:, 1].contiguous()
            # what has no value may have no index, either
            columns = (entries[:, 0].long() - 1).masked_fill_(values == 0, 0)
            self._cache = input, (columns, values, sizes)
        return self._cache[1]

    def _diagnose(self, input: Any) -> None:
        entries = self._entries(input)[0]
        named = entries[entries[:, 1] != 0, 0]
        if named.numel() and (named.min() < 1 or named.max() > self.weight.shape[1]):
            low, high, size = named.min(), named.max(), self.weight.shape[1]
            raise ShapeError(f"wanted indices from 1 to {size}, got some from {low:g} to {high:g}")

    def updateOutput(self, input: Any) -> torch.Tensor:
        if self.sparseUpdate == 1:
            self.sparseUpdate = 2
        outputSize = self.weight.shape[0]
        tensor = isinstance(input, torch.Tensor)
        self.legacyMode = tensor and input.dim() == 3
        if not tensor and not len(input):
            return resized(self.output, (outputSize,)).copy_(self.bias)
        self._cache = None
        columns, values, sizes = self._parsed(input)
        sums = _weighted_sums(self.weight.t(), columns, values, sizes.cumsum(0))
        output = resized(self.output, (outputSize,) if tensor and input.dim() == 2 else sums.shape)
        torch.add(sums, self.bias, out=output.view(sums.shape))
        return output

    def updateGradInput(self, input: Any, gradOutput: torch.Tensor) -> Any:
        legacy = isinstance(input, torch.Tensor) and input.dim() == 3
        if not self.doGradInput:
            self.gradInput = None if legacy else []
            return self.gradInput
        grads = gradOutput.reshape(-1, self.weight.shape[0]) @ self.weight
        columns = torch.arange(1, grads.shape[1] + 1, dtype=grads.dtype, device=grads.device)
        pairs = torch.stack([columns.expand_as(grads), grads], 2)
        if not legacy:
            self.gradInput = list(pairs.unbind(0))
        elif isinstance(self.gradInput, torch.Tensor):
            self.gradInput.set_(pairs)
        else:
            self.gradInput = pairs
        return self.gradInput

    def accGradParameters(self, input: Any, gradOutput: torch.Tensor, scale: float = 1) -> None:
        columns, values, sizes = self._parsed(input)
        if self.sparseUpdate == 0:
            self._remember(input)
        self.sparseUpdate = min(self.sparseUpdate + 1, 2)
        samples = torch.repeat_interleave(sizes, output_size=columns.shape[0])
        grads = gradOutput.reshape(-1, self.weight.shape[0])
        gradColumns = self.gradWeight.t()
        if gradColumns.shape[1] == 1:
            kernels.add_rows(gradColumns, columns, grads[samples] * values.unsqueeze(1), scale)
        else:  # much faster than adding column by column
            size = (gradColumns.shape[0], len(sizes))
            matrix = torch.sparse_coo_tensor(torch.stack([columns, samples]), values, size, check_invariants=False)
            gradColumns.addmm_(matrix, grads, alpha=scale)
        self.gradBias.add_(grads.sum(0), alpha=scale)
        if self.weightDecay:
            self.gradWeight.add_(self.weight, alpha=self.weightDecay)

    def _remember(self, input: Any) -> None:
        """Note in ``lastInput`` which columns have a gradient: as Torch7 does, in rows that end in (index, value)."""
        if isinstance(input, torch.Tensor) and input.dim() == 3:
            self.lastInput = input.clone()
        else:
            entries, sizes = self._entries(input)
            samples = torch.repeat_interleave(sizes, output_size=len(entries)) + 1
            self.lastInput = torch.cat([samples.to(entries.dtype).unsqueeze(1), entries], 1)

    def _touched(self) -> torch.Tensor | None:
        """The columns that have a gradient, from 0; ``None`` if they are not known."""
        if self.sparseUpdate != 1 or self.lastInput is None:
            return None
        columns, values = self.lastInput[..., -2], self.lastInput[..., -1]
        return columns[values != 0].long().unique().sub_(1)

    def updateParameters(self, learningRate: float) -> None:
        columns = self._touched()
        if columns is None:
            super().updateParameters(learningRate)
        elif columns.numel():
            self.weight.index_add_(1, columns, self.gradWeight.index_select(1, columns), alpha=-learningRate)
            self.bias.add_(self.gradBias, alpha=-learningRate)

    def zeroGradParameters(self) -> None:
        columns = self._touched()
        if columns is None:
            super().zeroGradParameters()
        else:
            self.gradWeight.index_fill_(1, columns, 0)
            self.gradBias.zero_()
        self.sparseUpdate = 0

    def clearState(self) -> SparseLinear:
        self.sparseUpdate = 2 if self.sparseUpdate else 0  # the columns of the last input are forgotten
        utils.clear(self, "lastInput", "formatted_input")
        return super().clearState()


class _Runs:
    """Equal numbers among ``keys``, brought together in the order in which they came.

    Attributes:
        order: the places of the keys, sorted by key.
        rank: for each place of ``order``, how many equal keys came before.
        last: those places of ``order`` that hold the last of equal keys.
    """

    def __init__(self, keys: torch.Tensor) -> None:
        ordered, self.order = torch.sort(keys, stable=True)
        places = torch.arange(len(keys), device=keys.device)
        first = torch.ones_like(keys, dtype=torch.bool)
        torch.ne(ordered[1:], ordered[:-1], out=first[1:])
        self.rank = places - torch.where(first, places, 0).cummax(0).values
        self.last = first.roll(-1).nonzero()[:, 0]

    def scan(self, values: torch.Tensor, combine: Callable) -> torch.Tensor:
        """Combine each row of ``values``, in place, with all rows of equal keys before it.

        ``combine(earlier, later, distance)`` has to be associative; the span of what has been combined doubles in each
        step.
        """
        distance, longest = 1, int(self.rank.max()) + 1 if len(self.rank) else 0
        rank = self.rank.view(-1, *[1] * (values.dim() - 1))
        while distance < longest:
            later = values[distance:]
            later.copy_(torch.where(rank[distance:] >= distance, combine(values[:-distance], later, distance), later))
            distance *= 2
        return values


class IndexLinear(Module):
    """``y = W x + b`` for a sparse ``x``, given as keys and values; updates touch only the rows whose keys came.

    Input: a list of two: a vector of keys and one of values, for one sample, or a list of N of the former and a list of
    N of the latter. Or a list of three: the keys of all samples in one vector, likewise the values, and how many belong
    to each sample. Output: a vector of outputSize, or N x outputSize.

    Args:
        inputSize, outputSize: sizes of a sample.
        doGradInput: compute gradInput, which has a value for every row, in the form of the input; default no: an empty
            list.
        keysOffset: what is added to the keys, which then count from 1; 0 by default, 1 where they count from 0.
        weight, bias: use these instead of new ones.
        normalize: divide each value by the largest absolute value that its key has had, and add a bias that the key
            learns.

    ``weight`` is inputSize x outputSize; with ``normalize`` it has four columns more, in front: largest value, its
    inverse, scale of the updates, bias. New parameters are all 0 until ``reset()``, which draws them uniformly, the
    bias times 1e-6. As in Torch7, the largest values are learnt only after ``training()`` has been called.

    Gradients of the weight are not in ``gradWeight``: ``running`` holds the keys and the gradients of each ``backward``
    since ``zeroGradParameters()``, and ``updateParameters`` applies them one after the other, with ``weightDecay`` for
    the rows they touch.
    """

    train = False  # Torch7's are not in training either until told
    weightDecay = 0
    keys: torch.Tensor | None = None
    values: torch.Tensor | None = None
    sizes: torch.Tensor | None = None
    cumSumSizes: torch.Tensor | None = None
    noBatch = False
    isFlat = False

    def __init__(
        self,
        inputSize: int | None,
        outputSize: int | None,
        doGradInput: bool | None = None,
        keysOffset: int | None = None,
        weight: torch.Tensor | None = None,
        bias: torch.Tensor | None = None,
        normalize: bool | None = None,
    ) -> None:
        super().__init__()
        self.normalize = 4 if normalize else 0
        if weight is None:
            need_size(self, inputSize=inputSize, outputSize=outputSize)
            weight = torch.zeros(inputSize, outputSize + self.normalize)
        self.weight = weight
        self.inputSize = weight.shape[0]
        self.outputSize = weight.shape[1] - self.normalize
        self.bias = torch.zeros(self.outputSize) if bias is None else bias
        self.gradWeight = torch.empty(0)
        self.gradBias = torch.zeros(self.outputSize)
        self.gradWeightBuffer = torch.empty(0)
        self.valuesBuffer = torch.empty(0)
        self.normalizedValues = torch.empty(0)
        self.gradInput: Any = []
        self._forget()
        self.sizesCache: list = []
        self.cumSumSizesCache: list = []
        self.weightDecay = 0
        self.doGradInput = bool(doGradInput)
        self.offset = given(keysOffset, 0) - 1

    def _forget(self) -> None:
        self.running = Table(cumSumSizes=[], keys=[], gradWeight=[], counter=1)

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        for name in ("cumSumSizes", "keys", "gradWeight"):
            entries = self.running[name]
            if not entries:
                entries = self.running[name] = []
            if not isinstance(entries, list) or len(entries) < self.running["counter"] - 1:
                self._forget()  # the first gradients are missing: they were cleared
                break

    def reset(self, stdv: float | None = None) -> None:
        draw_uniformly(stdv, self.weight.shape[1], self.weight, self.bias)
        self.bias.mul_(0.000001)
        self.weight[:, : self.normalize] = 0

    def parameters(self) -> tuple[list[torch.Tensor], list]:
        return [self.weight, self.bias], [self.running, self.gradBias]

    # The input

    def _flattened(self, input: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Keys, values, and the number of them in each sample, for the whole batch."""
        if not isinstance(input, (list, tuple)) or len(input) not in (2, 3):
            wanted = "a list of keys and values, or of keys, values and sizes"
            raise TensorTypeError(f"input must be {wanted}, got {describe(input)}")
        keys, values = input[0], input[1]
        self.isFlat, self.noBatch = len(input) == 3, False
        if self.isFlat:
            sizes = input[2]
        elif isinstance(keys, torch.Tensor):
            self.noBatch = True
            sizes = keys.numel()
        else:
            sizes = [k.shape[0] for k in keys]
            self._want(sizes == [v.shape[0] for v in values], "as many values as keys in every sample", input)
            keys, values = torch.cat(list(keys)), torch.cat(list(values))
        return keys, values, torch.as_tensor(sizes, dtype=torch.int64, device=self.weight.device).reshape(-1)

    def _take(self, input: Any) -> torch.Tensor:
        """Note the input in the fields; returns the rows of the weight that the keys mean, counted from 0."""
        keys, values, self.sizes = self._flattened(input)
        self._want(keys.dim() == 1 and keys.shape == values.shape, "keys and values in vectors of one size", input)
        self.values = values.to(self.weight)
        if self.cumSumSizes is None:
            self.cumSumSizes = torch.empty_like(self.sizes)
        # one tensor for all, in Torch7 as well
        cumSumSizes = torch.cumsum(self.sizes, 0, out=resized(self.cumSumSizes, self.sizes.shape))
        total = int(cumSumSizes[-1]) if len(cumSumSizes) else 0
        self._want(total == keys.shape[0], f"{total} keys, as the sizes say", keys)
        self.keys = resized(self._slot("keys", torch.int64), keys.shape).copy_(keys)
        place = self.running["counter"] - 1
        self.running["cumSumSizes"][place : place + 1] = [cumSumSizes]
        return self.keys + self.offset

    def _slot(self, name: str, dtype: torch.dtype) -> torch.Tensor:
        """The tensor in ``running`` for the next ``backward``."""
        slots, place = self.running[name], self.running["counter"] - 1
        if place == len(slots):
            slots.append(torch.empty(0, dtype=dtype, device=self.weight.device))
        return slots[place]

    def _diagnose(self, input: Any) -> None:
        if self.keys is not None and self.keys.numel():
            first = -self.offset
            low, high, end = int(self.keys.min()), int(self.keys.max()), first + self.weight.shape[0] - 1
            if low < first or high > end:
                raise ShapeError(f"wanted keys from {first} to {end}, got some from {low} to {high}")

    def _normalized(self, rows: torch.Tensor) -> torch.Tensor:
        """The values divided by the largest of their keys, which training learns, plus the biases of the keys."""
        values, weight = self.values, self.weight
        absolute = values.abs()
        largest, inverse, _, bias = weight[:, :4].index_select(0, rows).unbind(1)
        if self.train:
            runs = _Runs(rows)
            order, last = runs.order, runs.order[runs.last]
            known = largest
            sofar = runs.scan(absolute[order], lambda earlier, later, _: torch.maximum(earlier, later))
            largest = torch.empty_like(known).index_copy_(0, order, sofar).maximum(known)
            inverse = torch.where(largest > known, 1 / largest, inverse)
            weight[rows[last], 0] = largest[last]
            weight[rows[last], 1] = inverse[last]
            weight[rows[last], 2] = 1
        scaled = torch.where(absolute > largest, values.sign(), values * inverse)
        return torch.add(scaled, bias, out=resized(self.normalizedValues, values.shape))

    # Computing

    def updateOutput(self, input: Any) -> torch.Tensor:
        rows = self._take(input)
        values = self._normalized(rows) if self.normalize else self.values
        sums = _weighted_sums(self.weight[:, self.normalize :], rows, values, self.cumSumSizes)
        output = resized(self.output, sums.shape[1:] if self.noBatch else sums.shape)
        torch.add(sums, self.bias, out=output.view(sums.shape))
        return output

    def _grads(self, gradOutput: torch.Tensor, scale: float, out: torch.Tensor) -> torch.Tensor:
        """The gradient of the weight, a row for each key; with ``normalize``, before it that of the values."""
        values = self.normalizedValues if self.normalize else self.values
        samples = torch.repeat_interleave(self.sizes, output_size=values.shape[0])
        each = gradOutput.reshape(-1, self.outputSize).index_select(0, samples)
        if not self.normalize:
            return torch.mul(each, (values * scale).unsqueeze(1), out=resized(out, each.shape))
        if scale != 1:
            each.mul_(scale)
        size = (values.shape[0], 2 * self.outputSize)
        return torch.cat([each, each * values.unsqueeze(1)], 1, out=resized(out, size))

    def accGradParameters(self, input: Any, gradOutput: torch.Tensor, scale: float = 1) -> None:
        keys = self._slot("keys", torch.int64)
        if keys is not self.keys:  # zeroGradParameters() came between forward and backward
            resized(keys, self.keys.shape).copy_(self.keys)
        self._grads(gradOutput, scale, self._slot("gradWeight", self.weight.dtype))
        self.gradBias.add_(gradOutput.reshape(-1, self.outputSize).sum(0), alpha=scale)
        self.running["counter"] += 1

    def updateGradInput(self, input: Any, gradOutput: torch.Tensor) -> list:
        if not self.doGradInput:
            self.gradInput = []
            return self.gradInput
        if self.normalize:
            raise ArgumentError(f"{self._typename} computes no gradInput with normalize")
        values = gradOutput.reshape(-1, self.outputSize) @ self.weight.t()
        keys = torch.arange(1, values.shape[1] + 1, device=values.device).repeat(values.shape[0], 1)
        if self.noBatch:
            self.gradInput = [keys[0], values[0]]
        elif self.isFlat:
            self.gradInput = [keys, values]
        else:
            self.gradInput = [list(keys.unbind(0)), list(values.unbind(0))]
        return self.gradInput

    # Updates

    def updateParameters(self, learningRate: float) -> None:
        running, count = self.running, self.running["counter"] - 1
        if count == 0:
            return
        keys, grads = running["keys"][:count], running["gradWeight"][:count]
        self.updateKeys = keys[0] if count == 1 else torch.cat(keys)
        self.gradWeight = grads[0] if count == 1 else torch.cat(grads)
        self._update(self.updateKeys + self.offset, self.gradWeight, learningRate)
        self.bias.add_(self.gradBias, alpha=-learningRate)

    def accUpdateGradParameters(self, input: Any, gradOutput: torch.Tensor, lr: float = 1) -> None:
        rows = self.keys + self.offset
        self._update(rows, self._grads(gradOutput, 1, self.weight.new_empty(0)), lr)
        self.bias.add_(gradOutput.reshape(-1, self.outputSize).sum(0), alpha=-lr)
        if self.normalize and self.outputSize == 1:
            self.weight.select(1, 2).index_fill_(0, rows, 0)

    def _update(self, rows: torch.Tensor, grads: torch.Tensor, lr: float) -> None:
        """Step along ``grads``, one row for each of ``rows``; a row that is named again takes its steps in order."""
        weight = self.weight[:, self.normalize :]
        if not self.normalize and not self.weightDecay:
            kernels.add_rows(weight, rows, grads, -lr)
            return
        runs = _Runs(rows)
        rows, grads = rows[runs.order], grads[runs.order]
        steps = grads[:, -self.outputSize :]
        before = weight.index_select(0, rows)
        factor = self.weight[rows, 2:3] if self.normalize else torch.ones_like(steps[:, :1])
        # Torch7's sign for a single output
        decay = -self.weightDecay if self.normalize and self.outputSize == 1 else self.weightDecay
        keep = 1 - decay * factor
        total = runs.scan(steps * factor, lambda earlier, later, n: earlier * keep[n:] ** n + later)
        after = before * keep ** (runs.rank + 1).unsqueeze(1) - lr * total
        weight.index_copy_(0, rows[runs.last], after[runs.last])
        if self.normalize:
            now = torch.where(runs.rank.unsqueeze(1) == 0, before, after.roll(1, 0))
            slopes = (grads[:, : self.outputSize] * now).sum(1).mul_(factor[:, 0])
            self.weight.select(1, 3).index_add_(0, rows, slopes, alpha=-lr)

    def zeroGradParameters(self) -> None:
        self.gradBias.zero_()
        self.running["counter"] = 1

    def clearState(self) -> IndexLinear:
        self._forget()
        for name in ("keys", "values", "sizes", "cumSumSizes", "updateKeys", "updateKeysBuffer", "lkeys", "lvalues"):
            self.__dict__.pop(name, None)
        utils.clear(self, "gradWeightBuffer", "valuesBuffer", "normalizedValues")
        return super().clearState()
