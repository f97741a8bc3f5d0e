"""The cell of an LSTM as scripts for nngraph write it down, found among the nodes of a graph and computed as one.

With ``[i f o g]`` slices of one sum of linear layers, in any order::

    c = f * prev_c + i * g        i, f, o through a Sigmoid, g through a Tanh
    h = o * tanh(c)

The modules themselves are not called then, and their ``output`` and ``gradInput`` stay empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import TYPE_CHECKING, Any, NamedTuple

from ..nn.identity import Identity
from ..nn.linear import Linear
from ..nn.selecting import Narrow
from ..nn.shaping import Reshape, View
from ..nn.table import CAddTable, CMulTable, SelectTable, SplitTable
from ..nn.transfer import Sigmoid, Tanh
from ._cell import Cell

if TYPE_CHECKING:
    from ._schedule import Step

Feeds = dict[int, "list[Step]"]

CELL = (
    ("h", CMulTable),
    ("o", Sigmoid),
    (
        ("squashed", Tanh),
        (
            ("c", CAddTable),
            (("new", CMulTable), ("i", Sigmoid), ("g", Tanh)),
            (("kept", CMulTable), ("f", Sigmoid), "prev_c"),
        ),
    ),
)
"""What is looked for, from its end: a node is (name and class, what it is given ...); a gate (name, function)."""

_METHODS = "updateOutput", "updateGradInput", "accGradParameters", "backward"
_OURS = "luann.nn."


class Gate(NamedTuple):
    """A function of a slice of a sum: the node of the sum, where the slice begins, its size, the nodes on the way."""

    sums: Step
    offset: int
    size: int | None
    steps: list[Step]


def passes(step: Step) -> bool:
    """Whether a node hands on what it is given, and its module need not do it."""
    module = step.module
    return _replaceable(module, Identity) and not step.stays and module.gradInput is not None


def _replaceable(module: Any, *kinds: type) -> bool:
    """Whether a module is of one of these classes themselves, with nothing changed, and need not keep its results."""
    return (
        type(module) in kinds
        and module._frees
        and all(name not in vars(module) and getattr(module, name).__module__.startswith(_OURS) for name in _METHODS)
    )


# Finding


def find_cells(steps: list[Step], feeds: Feeds, users: Feeds) -> list[Cell]:
    """The cells among the steps of a graph that nothing else looks into.

    Args:
        feeds, users: by the ``id`` of a step those whose outputs it is given, and those that are given its output.
    """
    cells = []
    for step in steps:
        for found in _matches(step, CELL, feeds):
            cell = _cell(found, feeds)
            if cell is not None and _is_closed(cell, users):
                cells.append(cell)
                break
    return cells


def _matches(step: Step, pattern: Any, feeds: Feeds) -> Iterator[dict[str, Any]]:
    """The ways in which what leads to a step is as the pattern says: steps and gates by name."""
    if isinstance(pattern, str):
        yield {pattern: step}
        return
    if isinstance(pattern[0], str):
        gate = _gate(step, pattern[1], feeds)
        if gate is not None:
            yield {pattern[0]: gate}
        return
    (name, kind), *parts = pattern
    given = feeds[id(step)]
    if not _replaceable(step.module, kind) or len(given) != len(parts) or getattr(step.module, "inplace", False):
        return
    for order in permutations(given):
        found: list[dict] = [{name: step}]
        for fed, part in zip(order, parts):
            found = [{**one, **more} for one in found for more in _matches(fed, part, feeds)]
        yield from found


def _gate(step: Step, function: type, feeds: Feeds) -> Gate | None:
    """The gate that ends at a step: slices, and the function once before or behind them, back to a sum."""
    offset, size, applied, passed = 0, None, 0, []
    while not isinstance(step.module, (CAddTable, Linear)):
        passed.append(step)
        module, piece = step.module, None
        if _replaceable(module, function):
            applied += 1
        elif _replaceable(module, Narrow) and module.dimension == 2 and module.index > 0 < module.length:
            piece = module.index - 1, module.length
        else:
            piece, between = _quarter(step, feeds)
            if piece is None:
                return None
            passed += between
            step = between[-1]
        if piece is not None:
            if size is not None and offset + size > piece[1]:
                return None
            offset, size = offset + piece[0], size or piece[1]
        if len(feeds[id(step)]) != 1:
            return None
        step = feeds[id(step)][0]
    return Gate(step, offset, size, passed) if applied == 1 else None


def _quarter(step: Step, feeds: Feeds) -> tuple[tuple[int, int] | None, list[Step]]:
    """The piece that a step takes of a sum made N x 4 x size and split, and the two steps that do that."""
    index = step.select
    if index is None and _replaceable(step.module, SelectTable) and isinstance(step.module.index, int):
        index = step.module.index - 1
    between: list[Step] = []
    if index is None:
        return None, between
    while not between or not _replaceable(between[-1].module, Reshape, View):
        fed = feeds[id(between[-1] if between else step)]
        if len(fed) != 1 or not (fed[0].module is None or _replaceable(fed[0].module, SplitTable, Reshape, View)):
            return None, between
        between += fed
    splits = [s.module for s in between if s.module is not None]
    if len(splits) != 2 or any(s.select is not None for s in between):
        return None, between
    split, shaped = splits
    size = tuple(shaped.size)
    batch = shaped.batchMode is not False if isinstance(shaped, Reshape) else shaped.numInputDims == 1
    if size[:2] == (-1, 4) and isinstance(shaped, View):
        size, batch = size[1:], shaped.numInputDims is None
    along = (split.dimension, split.nInputDims) in ((2, None), (1, 2))
    if not (along and batch and len(size) == 2 and size[0] == 4 and size[1] > 0 and 0 <= index < 4):
        return None, between
    return (index * size[1], size[1]), between


def _cell(found: dict[str, Any], feeds: Feeds) -> Cell | None:
    """The cell of what was found, if its gates are the four quarters of one sum of linear layers."""
    gates = {name: found[name] for name in "ifog"}
    sums, size = found["i"].sums, found["i"].size
    if size is None or any(gate.sums is not sums or gate.size != size for gate in gates.values()):
        return None
    if sorted(gate.offset for gate in gates.values()) != [0, size, 2 * size, 3 * size]:
        return None
    linear = [sums] if isinstance(sums.module, Linear) else feeds[id(sums)]
    plain = linear == [sums] or (_replaceable(sums.module, CAddTable) and not sums.module.inplace)
    if not plain or not all(_replaceable(s.module, Linear) and len(feeds[id(s)]) == 1 for s in linear):
        return None
    cell = Cell(found, linear, [sums, *linear], size, feeds)
    whole = all(s.splits is None or (s.splits == 4 and s not in (cell.place, cell.result)) for s in cell.steps)
    return cell if whole else None


def _is_closed(cell: Cell, users: Feeds) -> bool:
    """Whether all that happens within a cell stays there, but for its two results."""
    inner = set(map(id, cell.steps))
    results = {id(cell.place), id(cell.result)}
    return all(id(user) in inner for key in inner - results for user in users[key])
