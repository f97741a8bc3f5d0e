"""The order in which a gModule computes, worked out once from its nodes."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import cached_property
from operator import itemgetter
from typing import Any, NamedTuple

import torch

from ..errors import ArgumentError, ShapeError, TensorTypeError
from ..nn import Module
from ..nn._guard import describe
from ..nn._kernels import resized_like
from ..nn._nested import added, at, copied
from ..table import Table
from ._cell import Cell
from ._fused import find_cells, passes
from .graph import entries

_NO_INPUT: list = []
_module, _place = itemgetter("module"), itemgetter(0)
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
        stays: whether the output is one of the whole graph.
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
        "stays",
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
        self.single = self.stays = False

    def compute(self, func: Callable[[Module, Any], Any] | None = None) -> Any:
        """Compute the output, by ``func`` of module and input where it is given, and hand it on; returns it."""
        value = self.input
        if self.single:
            value = value[0]
        module = self.module
        if module is not None:
            value = module.updateOutput(value) if func is None else func(module, value)
        elif self.select is not None:
            value = value[self.select]
        if self.splits is not None:
            self._check_split(value)
        for target, place in self.targets:
            target[place] = value
        return value

    def _check_split(self, value: Any) -> None:
        if not isinstance(value, (list, tuple)):
            raise TensorTypeError(f"wanted a list of {self.splits} to split, got {describe(value)}")
        if len(value) != self.splits:
            raise ShapeError(f"wanted a list of {self.splits} to split, got one of {len(value)}")

    def differentiate(self, whole: bool) -> None:
        """Compute the gradient with respect to the input and hand it on; with ``whole`` add up those of the parameters
        as well.
        """
        gradients = self.gradients
        grad = self.total = gradients[0] if len(gradients) == 1 else self.sum()
        module = self.module
        if module is not None:
            if (grad is None or self.splits is not None) and module._idle():
                grad = None
            else:
                value = self.input[0] if self.single else self.input
                grad = (module.backward if whole and self.accumulates else module.updateGradInput)(value, grad)
        for target, place, entry in self.sources:
            if self.select is not None:
                target[place][self.select] = grad
            elif entry is None:
                target[place] = grad
            else:
                target[place] = None if grad is None or entry >= len(grad) else grad[entry]

    def accumulate(self, scale: float) -> None:
        """Add up the gradients of the parameters."""
        self.module.accGradParameters(self.input[0] if self.single else self.input, self.total, scale)

    def forget(self, output: Any) -> None:
        """Let go of the input, which gave this output: no pass backward will need it."""
        # a list that is handed on as it is must keep its entries
        if self.single:
            self.input[0] = None
        elif isinstance(output, torch.Tensor):
            self.input[:] = [None] * len(self.input)

    def forget_gradients(self) -> None:
        """Let go of the gradients that came."""
        gradients = self.gradients
        if len(gradients) == 1:
            gradients[0] = None
        else:
            gradients[:] = [None] * len(gradients)
        self.total = None
        if self.buffer is not None:
            self.buffer = None
            self.data.pop("gradOutputBuffer", None)

    def release(self) -> None:
        """Let go of what the pass backward through this node needed and of what it computed, but for outputs of the
        whole.
        """
        self.forget_gradients()
        module = self.module
        self.forget(None if module is None else module.output)
        if module is not None:
            module._release("gradInput")
            if not self.stays:
                module._release("output")

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


class Entrance:
    """The nodes that hand out the entries of the input, as one step: their ``ends``, each with the number of its entry,
    from 0.
    """

    module = None
    accumulates = False
    gradients = ()

    def __init__(self, first: Step, ends: list[tuple[int, Step]]) -> None:
        self.first, self.ends = first, ends
        self.node, self.data = first.node, first.data
        self.targets = [(index, *target) for index, step in ends for target in step.targets]

    def compute(self, func: Any = None) -> None:
        """Hand on the entries."""
        value = self.first.input
        for index, target, place in self.targets:
            target[place] = value[index]

    def differentiate(self, whole: bool) -> None:
        """Gather the gradients."""
        total = self.first.total = [None] * len(self.ends)
        for index, step in self.ends:
            total[index] = step.gradients[0] if len(step.gradients) == 1 else step.sum()

    def forget(self, output: Any) -> None:
        """Nothing: the inputs are those of the whole."""

    def release(self) -> None:
        """Let go of the gradients."""
        for _, step in self.ends:
            step.forget_gradients()


class Plan(NamedTuple):
    """What is gone through, in order.

    Attributes:
        forward, backward: the steps, or what does the work of several.
        tables: the gradients of nodes that are split, and into how many: they get a new list in each pass.
        unused: for each step of ``forward`` those whose outputs nothing needs once it has computed, if no pass backward
            follows.
        cells: those of ``forward`` that are cells of an LSTM.
    """

    forward: list
    backward: list
    tables: list[tuple[list, int]]
    unused: list[list[Step]]
    cells: list[Cell]

    @property
    def accumulating(self) -> list:
        """What of ``backward`` has gradients of parameters to add up."""
        return [step for step in self.backward if step.accumulates]


class Schedule:
    """The steps of a gModule.

    Attributes:
        forward, backward: the steps in the order of ``forwardnodes`` and ``backwardnodes``.
        plain: the plan where all modules keep what they compute.
        ran: the plan of the last pass forward.
        fused: whether a module can add these up right after computing its gradInput. Torch7 goes through the whole
            graph once for the one and then for the other; that is the same unless a module comes twice, or somebody
            writes over a gradient that others still need.
        feeds: by the ``id`` of a step those whose outputs it is given, in their order.
        dispatch: (list, place, entry of the input) where the first node hands out the inputs itself.
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
        for step in self.feeds[id(self.last)]:
            step.stays = True
        self.plain = Plan(self.forward, self.backward, self.tables, [], [])
        self.ran: Plan | None = None
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

    @cached_property
    def lean(self) -> Plan:
        """The plan where only what a pass needs is kept: cells of an LSTM are computed as one, and what hands on is
        passed over.
        """
        instead: dict[int, Any] = {}
        feeds = dict(self.feeds)
        users: dict[int, list[Step]] = {id(step): [] for step in self.forward}
        for step in self.forward:
            for fed in feeds[id(step)]:
                users[id(fed)].append(step)
            if passes(step) and step is not self.first:
                instead[id(step)] = bare = copy(step)
                bare.module, feeds[id(bare)] = None, feeds[id(step)]
        cells = find_cells(self.forward, self.feeds, users)
        for cell in cells:
            cell.plan = self._plan({id(step): None for step in self.forward if step not in cell.steps})
            instead |= {id(step): None for step in cell.steps}
            instead[id(cell.place)] = cell
            feeds[id(cell)] = [fed for step in cell.steps for fed in feeds[id(step)]]
        self._join_entrance(instead, users)
        plan = self._plan(instead)
        used = {id(fed): i for i, step in enumerate(plan.forward) for fed in feeds.get(id(step), ())}
        plan.unused.extend([] for _ in plan.forward)
        for step in plan.forward:
            if step.module is not None and not step.stays:
                plan.unused[used[id(step)]].append(step)
        plan.cells.extend(cells)
        return plan

    def _join_entrance(self, instead: dict[int, Any], users: dict[int, list[Step]]) -> None:
        """Put an :class:`Entrance` in the place of the first nodes, if they do no more than hand out the inputs."""
        nodes = list(users[id(self.first)])
        if self._dispatches or self.inputs < 2 or len(nodes) != 1 or nodes[0].module is not None:
            return
        ends: list[tuple[int, Step]] = []
        for step in users[id(nodes[0])]:
            if step.select is None:
                return
            nodes.append(step)
            entry, after = step.select, users[id(step)]
            end = instead.get(id(after[0])) if len(after) == 1 else None
            if isinstance(end, Step):  # an Identity that is passed over
                nodes += after
                step = end
            ends.append((entry, step))
        if sorted(entry for entry, _ in ends) != list(range(self.inputs)):
            return
        instead |= {id(step): None for step in nodes}
        instead[id(self.first)] = Entrance(self.first, ends)

    def _plan(self, instead: dict[int, Any]) -> Plan:
        """The plan with something else for some steps, by their ``id``; ``None`` for nothing."""
        forward, backward = (
            [new for step in steps if (new := instead.get(id(step), step)) is not None]
            for steps in (self.forward, self.backward)
        )
        there = {id(step.gradients) for step in backward}
        return Plan(forward, backward, [table for table in self.tables if id(table[0]) in there], [], [])

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
        feeds: dict[int, list[tuple[int, Step]]] = {id(step): [] for step in self.forward}
        for node in self.forwardnodes:
            step = steps[id(node.data)]
            for child in entries(node.children):
                fed = steps[id(child.data)]
                feeds[id(fed)].append((fed.data["mapindex"][node.data] - 1, step))
        self.first.input = _kept(self.first.data, "input", self.inputs)
        self.first.single = self.inputs == 1 and not self._dispatches
        for step in self.forward:
            feeding = feeds[id(step)]
            if feeding:
                step.input = _kept(step.data, "input", 1 + max(place for place, _ in feeding))
                step.single = len(step.input) == 1
            for place, other in feeding:
                other.targets.append((step.input, place))
        self.feeds = {key: [step for _, step in sorted(fed, key=_place)] for key, fed in feeds.items()}
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
