"""The order in which a gModule computes, worked out once from its nodes."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

import torch

from ..errors import ArgumentError
from ..nn import Module
from ..nn._kernels import resized_like
from ..nn._nested import added, at, copied
from ..table import Table
from .graph import entries

_NO_INPUT: list = []
_module = itemgetter("module")
_OURS = ("luann.nn.", "luann.nngraph.")


class Step:
    """What there is to do at one node, forwards and backwards.

    Attributes:
        input: the list ``data.input``: what the node is given.
        single: whether the module gets its one entry instead of the list.
        targets: where the output goes: (list, place).
        select: the entry, from 0, that a node of ``split`` takes from its input.
        splits: into how many entries the output is split.
        gradients: the list ``data.gradOutput``: what comes back from those that use the output, in the order in which
            they compute it.
        sources: where the gradient with respect to the input goes: (list, place, entry of the gradient, or ``None`` for
            all of it). That of a ``select`` becomes an entry of the list at the place.
        accumulates: whether the module has gradients of parameters to add up.
        total: the sum of the gradients.
    """

    __slots__ = (
        "accumulates",
        "buffer",
        "data",
        "gradients",
        "input",
        "module",
        "node",
        "select",
        "single",
        "sources",
        "splits",
        "targets",
        "total",
    )

    def __init__(self, node: Any) -> None:
        data = node.data
        if data.get("criterion") is not None:
            raise ArgumentError(f"{node} has a criterion, of nngraph before ModuleFromCriterion: it is not supported")
        self.node, self.data = node, data
        self.module = data.get("module")
        self.accumulates = _accumulates(self.module)
        index = data.get("selectindex")
        self.select = None if index is None else index - 1
        self.splits = data.get("nSplitOutputs")
        self.targets: list[tuple[list, int]] = []
        self.sources: list[tuple[list, int, int | None]] = []
        self.gradients: list = []
        self.buffer = data.get("gradOutputBuffer")
        self.total: Any = None
        self.input: list = _NO_INPUT
        self.single = False

    def sum(self) -> Any:
        """The sum of the gradients that came; those that are ``None`` were not computed."""
        grads = [grad for grad in self.gradients if grad is not None]
        if len(grads) < 2:
            return grads[0] if grads else None
        first, second, mine = grads[0], grads[1], self.buffer
        if (
            isinstance(first, torch.Tensor)
            and isinstance(second, torch.Tensor)
            and first.shape == second.shape
            and first.dtype is second.dtype
        ):
            if isinstance(mine, torch.Tensor) and mine.dtype is first.dtype and at(mine, first.device):
                torch.add(first, second, out=resized_like(mine, first))
            else:
                mine = first + second
            rest = grads[2:]
        else:
            mine, rest = copied(mine, first), grads[1:]
        for grad in rest:
            mine = added(mine, grad)
        if mine is not self.buffer:
            self.buffer = self.data["gradOutputBuffer"] = mine
        return mine


class Schedule:
    """The steps of a gModule.

    Attributes:
        forward, backward: the steps in the order of ``forwardnodes`` and ``backwardnodes``.
        accumulating: those steps of ``backward`` whose modules have gradients of parameters to add up.
        fused: whether a module can add these up right after computing its gradInput. Torch7 goes through the whole
            graph once for the one and then for the other; that is the same unless a module comes twice, or somebody
            writes over a gradient that others still need.
        dispatch: (list, place, entry of the input) where the first node hands out the inputs itself.
        tables: the gradients of nodes that are split, and into how many: they get a new list in each pass.
    """

    def __init__(self, gmodule: Any) -> None:
        self.forwardnodes, self.backwardnodes = gmodule.forwardnodes, gmodule.backwardnodes
        steps = {id(node.data): Step(node) for node in self.forwardnodes}
        self.forward = [steps[id(node.data)] for node in self.forwardnodes]
        self.backward = [steps[id(node.data)] for node in self.backwardnodes]
        self.first, self.last = steps[id(gmodule.innode.data)], steps[id(gmodule.outnode.data)]
        self._count_inputs(gmodule)
        self._connect_forward(steps)
        self._connect_backward(steps)
        computing = [step for step in self.forward if step.module is not None]
        self._modules, self._datas = [step.module for step in computing], [step.data for step in computing]
        self.accumulating = [step for step in self.backward if step.accumulates]
        below = [m for module in self._modules for m in module.listModules()]
        self._inplace = [vars(m) for m in below if "inplace" in vars(m)]
        self._fusible = len(set(map(id, below))) == len(below) and all(map(_is_ours, below))

    def is_for(self, gmodule: Any) -> bool:
        """Whether it still is the schedule of a gModule: no module has been put in the place of another."""
        try:
            same = list(map(_module, self._datas)) == self._modules
        except KeyError:
            return False
        return same and self.forwardnodes is gmodule.forwardnodes and self.backwardnodes is gmodule.backwardnodes

    @property
    def fused(self) -> bool:
        return self._fusible and not any(fields["inplace"] for fields in self._inplace)

    def _count_inputs(self, gmodule: Any) -> None:
        data = self.first.data
        self._dispatches = data.get("data") is not None  # nngraph of early 2013
        if self._dispatches:
            self.inputs = len(entries(data["mapindex"]))
        else:
            # the field is missing in files of 2014 and before; a table passes as a single input all the same
            self.inputs = gmodule.nInputs or len(entries(gmodule.innode.children))
        self.outputs = len(entries(gmodule.outnode.children))

    def _connect_forward(self, steps: dict[int, Step]) -> None:
        feeds: dict[int, list[tuple[Step, int]]] = {id(step): [] for step in self.forward}
        for node in self.forwardnodes:
            step = steps[id(node.data)]
            for child in entries(node.children):
                fed = steps[id(child.data)]
                feeds[id(fed)].append((step, fed.data["mapindex"][node.data] - 1))
        self.first.input = _kept(self.first.data, "input", self.inputs)
        self.first.single = self.inputs == 1 and not self._dispatches
        for step in self.forward:
            feeding = feeds[id(step)]
            if feeding:
                step.input = _kept(step.data, "input", 1 + max(place for _, place in feeding))
                step.single = len(step.input) == 1
            for other, place in feeding:
                other.targets.append((step.input, place))
        self.dispatch = []
        if self._dispatches:
            places = self.first.data["mapindex"]
            children = entries(self.first.node.children)
            for child, (target, place) in zip(children, self.first.targets):
                self.dispatch.append((target, place, places[child.data] - 1))
            self.first.targets = []

    def _connect_backward(self, steps: dict[int, Step]) -> None:
        counts: dict[int, int] = {id(step): 0 for step in self.backward}
        splits: dict[int, int] = {}  # the places for the gradients of what a node is split into
        counts[id(self.last)] = 1
        for node in self.backwardnodes:
            step = steps[id(node.data)]
            children = entries(node.children)
            for child in children:
                fed = steps[id(child.data)]
                if step.select is not None:
                    size = fed.splits or max(splits.get(id(fed), 0), step.select + 1)
                    if id(fed) not in splits:
                        counts[id(fed)] += 1
                    splits[id(fed)] = size
                    step.sources.append((fed.gradients, 0, None))
                    continue
                entry = None if len(children) == 1 else step.data["mapindex"][child.data] - 1
                if fed is self.first and self._dispatches:
                    counts[id(fed)] = self.inputs
                    step.sources.append((fed.gradients, fed.data["mapindex"][step.data] - 1, entry))
                else:
                    step.sources.append((fed.gradients, counts[id(fed)], entry))
                    counts[id(fed)] += 1
        for step in self.backward:
            held = step.data.get("gradOutput")
            grads = list(held) if isinstance(held, list) else []
            count = counts[id(step)]
            step.gradients += grads[:count] + [None] * (count - len(grads))
            step.data["gradOutput"] = step.gradients
            there = [grad for grad in grads if grad is not None]
            step.total = step.buffer if len(there) > 1 else there[0] if there else None
        self.tables = [(step.gradients, splits[id(step)]) for step in self.backward if id(step) in splits]
        if self._dispatches:  # its gradients belong to different inputs
            self.backward.remove(self.first)


def _kept(data: Table, name: str, count: int) -> list:
    """The list under ``name``, made to have ``count`` entries; what a file holds of the last pass stays in it."""
    held = data.get(name)
    if not isinstance(held, list):
        held = data[name] = []
    held[count:] = []
    held += [None] * (count - len(held))
    return held


def _accumulates(module: Any) -> bool:
    if module is None:
        return False
    return type(module).accGradParameters is not Module.accGradParameters or "accGradParameters" in vars(module)


def _is_ours(module: Module) -> bool:
    """Whether ``backward`` of a module is known to be ``updateGradInput`` and then ``accGradParameters``."""
    return all(
        getattr(type(module), name).__module__.startswith(_OURS) and name not in vars(module)
        for name in ("backward", "updateGradInput", "accGradParameters")
    )
