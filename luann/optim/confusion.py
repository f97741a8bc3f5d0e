"""Torch7's confusion matrix."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import ArgumentError, ShapeError
from ..types import register
from . import picture


@register("optim.ConfusionMatrix")
class ConfusionMatrix:
    """How often each class was taken for which: row = true class, column = predicted class.

    Printing it shows the matrix and its percentages as Torch7 did. Class labels count from 1; a sample whose target is
    0 or less has no known class and is skipped.

    Args:
        nclasses: the number of classes, or the list of their names.
        classes: the names, where ``nclasses`` is a number; by default none.

    Attributes:
        mat: the counts, a LongTensor of nclasses × nclasses (``mat[0]`` is the row of class 1).
        valids: per class, the part of its samples that was predicted right; NaN for a class that never occurred.
        unionvalids: per class, the right ones among all samples that belong to it or were taken for it.
        averageValid, averageUnionValid: means of the two over the classes that occurred.
        totalValid: the part of all samples that was predicted right.
        nclasses, classes: as given; ``classes`` is empty where there are no names.

    ``valids`` and the four after it are brought up to date by :meth:`updateValids` and by printing. The fields whose
    names begin with ``_`` are Torch7's buffers, which it needs in a file.
    """

    totalValid: float = 0
    averageValid: float = 0
    averageUnionValid: float = 0
    _frrs: Tensor
    _classFrrs: Tensor
    _fars: Tensor
    _classFars: Tensor

    def __init__(self, nclasses: int | Sequence[str], classes: Sequence[str] | None = None) -> None:
        if isinstance(nclasses, Sequence):
            classes = nclasses
        n = len(nclasses) if isinstance(nclasses, Sequence) else nclasses
        if n < 1:
            raise ArgumentError(f"a confusion matrix needs at least one class, got {n}")
        self.mat = torch.zeros(n, n, dtype=torch.int64, device="cpu")
        self.valids = torch.zeros(n, dtype=torch.float32, device="cpu")
        self.unionvalids = torch.zeros_like(self.valids)
        self.nclasses = n
        self.totalValid = 0
        self.averageValid = 0
        self.averageUnionValid = 0
        self.classes = [] if classes is None else classes
        self._mat_flat = self.mat.view(-1)
        self._target = self.valids.new_empty(0)
        self._prediction = self.valids.new_empty(0)
        self._max = self.valids.new_empty(0)
        self._pred_idx = self.mat.new_empty(0)
        self._targ_idx = self.mat.new_empty(0)

    def _restore(self, fields: Mapping[str, Any], version: int) -> None:
        self.__dict__.update(fields)  # in the order of the file
        for name, value in vars(ConfusionMatrix(fields["nclasses"])).items():
            if not hasattr(self, name):  # older versions of optim saved fewer fields
                setattr(self, name, value)

    def add(self, prediction: float | Tensor | Sequence[float], target: float | Tensor | Sequence[float]) -> None:
        """Count one sample.

        Args:
            prediction: a label, or a vector of scores, of which the greatest (the first of equal ones) is taken.
            target: a label, or a vector such as a one-hot one.

        Raises:
            ShapeError: neither a label nor a vector.
            ArgumentError: a label beyond the number of classes.
        """
        t = self._label(target, self._target, self._targ_idx)
        p = self._label(prediction, self._prediction, self._pred_idx)
        if t >= 1:
            self._check(p, p, t)
            self.mat[int(t) - 1, int(p) - 1] += 1

    def batchAdd(self, predictions: Tensor | Sequence, targets: Tensor | Sequence) -> None:
        """Count a batch of samples.

        Args:
            predictions: N labels (as vector or N×1), or N×C scores, of which the greatest of each row is taken.
                A list may hold numbers or tensors.
            targets: likewise; as a matrix usually one-hot rows.

        Raises:
            ShapeError: other sizes, or not as many targets as predictions.
            ArgumentError: a label beyond the number of classes.
        """
        p = self._labels("predictions", predictions, self._prediction, self._pred_idx)
        t = self._labels("targets", targets, self._target, self._targ_idx)
        if p.shape != t.shape:
            raise ShapeError(f"{len(p)} predictions for {len(t)} targets")
        if t.numel() and t.min().item() < 1:
            known = t >= 1
            p, t = p[known], t[known]
        if t.numel():
            self._check(p.min().item(), p.max().item(), t.max().item())
            cells = torch.add(p, t, alpha=self.nclasses).sub_(self.nclasses + 1)
            self._mat_flat = self.mat.view(-1)
            self._mat_flat.index_add_(0, cells, self.mat.new_ones(()).expand(cells.shape))

    def _label(self, value: Any, floats: Tensor, indices: Tensor) -> float:
        if isinstance(value, (int, float)):
            return value
        value = _tensor(value)
        if value.dim() > 1:
            raise ShapeError(f"add takes a label or a vector, got a tensor of size {tuple(value.shape)}; see batchAdd")
        return (self._greatest(_copied(value, floats), indices) if value.dim() else value).item()

    def _labels(self, name: str, values: Any, floats: Tensor, indices: Tensor) -> Tensor:
        values = _tensor(values)
        if values.dim() not in (1, 2):
            raise ShapeError(f"{name} must be a vector of labels or a matrix of scores, got size {tuple(values.shape)}")
        values = _copied(values, floats)
        if values.dim() == 2 and values.shape[1] != 1:
            values = self._greatest(values, indices)
        return values.reshape(-1).long()

    def _greatest(self, scores: Tensor, indices: Tensor) -> Tensor:
        """The labels of the greatest scores along the last dimension, which is kept with size 1."""
        size = (*scores.shape[:-1], 1)
        torch.max(scores, -1, keepdim=True, out=(self._max.resize_(size), indices.resize_(size)))
        return indices.add_(1)

    def _check(self, lowest: float, highest: float, target: float) -> None:
        for label in (lowest, highest, target):
            if not 1 <= label <= self.nclasses:  # NaN is none of them either
                raise ArgumentError(f"label {label} is not one of the classes 1 to {self.nclasses}")

    def zero(self) -> None:
        """Forget all samples."""
        self.mat.zero_()
        self.valids.zero_()
        self.unionvalids.zero_()
        self.totalValid = 0
        self.averageValid = 0
        self.averageUnionValid = 0

    def updateValids(self) -> None:
        """Bring ``valids``, ``unionvalids``, their averages and ``totalValid`` up to date with ``mat``."""
        counts = self.mat.double()
        right = counts.diagonal()
        occurred, taken = counts.sum(1), counts.sum(0)
        # As in Torch7 the figures of each class are rounded to floats, and the means are means of these.
        self.valids.copy_(right / occurred)
        self.unionvalids.copy_(right / (occurred + taken - right))
        self.totalValid = (right.sum() / counts.sum()).item()
        self.averageValid = _mean(self.valids[occurred > 0].tolist())
        self.averageUnionValid = _mean(self.unionvalids[occurred > 0].tolist())

    def farFrr(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """False rejection and false acceptance rates.

        A class's false rejection rate is the part of its samples taken for another class; its false acceptance rate is
        the mean, over the other classes that occurred, of the part of their samples taken for it (NaN without any).

        Returns:
            (frrs by class, fars by class, frrs, fars), DoubleTensors that the next call overwrites: the first two have
            an element per class, -1 for one that never occurred; the last two leave those out.
        """
        counts = self.mat.double()
        occurred = counts.sum(1)
        known = occurred > 0
        rates = (counts / occurred[:, None])[known][:, known]
        frrs = 1 - rates.diagonal()
        fars = rates.fill_diagonal_(0).sum(0) / (len(rates) - 1)
        for name in ("_frrs", "_classFrrs", "_fars", "_classFars"):
            if not hasattr(self, name):
                setattr(self, name, torch.empty_like(occurred))
        for values, compact, by_class in ((frrs, self._frrs, self._classFrrs), (fars, self._fars, self._classFars)):
            compact.zero_()[: len(values)] = values
            by_class.fill_(-1)[known] = values.to(by_class.dtype)
        return self._classFrrs, self._classFars, self._frrs[: len(frrs)], self._fars[: len(fars)]

    def render(
        self,
        sortmode: str = "score",
        display: bool = False,
        block: int = 25,
        legendwidth: int = 200,
        file: str | os.PathLike[str] | None = None,
    ) -> Tensor:
        """A picture of the matrix. Needs matplotlib, but no screen::

            picture = confusion.render(file="confusion.png")

        A row and a column per class: the brighter a cell, the greater the part of the row's samples that was taken for
        the column's class; its number is that part in per cent. On the right, each row's part of all samples and the
        name of its class (its number if it has none).

        Args:
            sortmode: the order of the classes, ``'score'``: first what was predicted best; ``'occurrence'``: first
                what occurred most.
            display: show it in a window too, where matplotlib has windows.
            block: the side of a cell, in pixels.
            legendwidth: the width of the right part, in pixels.
            file: where to write it, as matplotlib does: ``.png``, ``.pdf``, ``.svg``, ...

        Returns:
            The image as Torch7's, a tensor of size 3 × (nclasses · block) × (nclasses · block + legendwidth), of the
            default type, with values from 0 to 1.

        Raises:
            Error: matplotlib is not installed.
        """
        names = [self._name(label) or str(label) for label in range(1, self.nclasses + 1)]
        pixels = picture.draw(self.mat.numpy(force=True), names, sortmode, block, legendwidth, file)
        if display:
            self.updateValids()
            sorting = "scores" if sortmode == "score" else "occurrences"
            picture.show(
                pixels,
                f"Confusion matrix [sorted by {sorting}, global accuracy = {self.totalValid * 100:.3f}%, "
                f"per-class accuracy = {self.averageValid * 100:.3f}%]",
            )
        return torch.from_numpy(pixels).permute(2, 0, 1).to(torch.get_default_dtype()) / 255

    def __tostring__(self) -> str:
        """The matrix with its percentages, as Torch7 printed it; calls :meth:`updateValids`."""
        self.updateValids()
        most = self.mat.max().item()
        width = max(8, 1 + math.ceil(math.log10(most))) if most > 0 else 8
        named = self._name(1) is not None
        rows = []
        for t, (row, valid) in enumerate(zip(self.mat.tolist(), self.valids.tolist(), strict=True), 1):
            counts = "".join(f"{int(count):{width}d}" for count in row)
            end = "]] " if t == self.nclasses else "]  "
            name = f"\t[class: {self._name(t) or ''}]" if named else ""
            rows.append(f"[{counts}{end} {valid * 100:.3f}% {name}\n")
        return (
            f"ConfusionMatrix:\n[{' '.join(rows)}"
            f" + average row correct: {self.averageValid * 100:.14g}% \n"
            f" + average rowUcol correct (VOC measure): {self.averageUnionValid * 100:.14g}% \n"
            f" + global correct: {self.totalValid * 100:.14g}%"
        )

    __repr__ = __tostring__

    def _name(self, label: int) -> str | None:
        if isinstance(self.classes, Mapping):  # a Lua table that is not a list, such as an empty one
            name = self.classes.get(label)
        else:
            name = self.classes[label - 1] if label <= len(self.classes) else None
        return f"{name:.14g}" if isinstance(name, (int, float)) else name


def _tensor(values: Any) -> Tensor:
    if isinstance(values, Tensor):
        return values
    if isinstance(values, (list, tuple)) and values and isinstance(values[0], Tensor):
        return torch.stack(list(values))
    return torch.as_tensor(values, dtype=torch.float32, device="cpu")


def _copied(values: Tensor, floats: Tensor) -> Tensor:
    """The values in one of Torch7's buffers, as floats."""
    return floats.resize_(values.shape).copy_(values.detach())


def _mean(values: Iterable[float]) -> float:
    """The mean, summed in Torch7's order and without the correction that Python's ``sum`` has; NaN of nothing."""
    total, n = 0.0, 0
    for value in values:
        total += value
        n += 1
    return total / n if n else math.nan
