"""``gModule``: a graph of modules that is a module itself."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from ..errors import ArgumentError, Error, ModuleError, ShapeError, TensorTypeError
from ..nn import Container, Module
from ..nn._guard import describe
from ..nn._nested import emptied
from ..nn._object import Object, _picklable
from ..nn.utils import converted
from ..table import Table
from ._copying import empty, put_together, take_apart
from ._schedule import Plan, Schedule
from .graph import entries
from .graphviz import render
from .layers import Parameters
from .node import Node, need_nodes

_debug = False
_SETTINGS = [name for name in Object.__slots__ if name not in ("__dict__", "__weakref__", "_cache")]


def setDebug(enable: bool = True) -> None:
    """Have a gModule that fails draw itself, with the node that failed in red.

    The files are ``NAME.dot`` and, with graphviz installed, ``NAME.svg``, where ``NAME`` is the gModule's field
    ``name`` or ``nngraph_2in_1out`` with the numbers of its inputs and outputs.
    """
    global _debug
    _debug = enable


class gModule(Container):
    """A graph of modules: ``nn.gModule(inputs, outputs)``. Graphs are written as :class:`Node` tells.

    Input: what the input node's module takes; with several input nodes, a list with an entry for each. Output: that of
    the output node; with several, a list. A node that several others use gets the sum of their gradients.

    Args:
        inputs: the nodes to which the input goes, at least one, made by calling a module with nothing.
        outputs: the nodes whose outputs are the output.

    Attributes:
        forwardnodes: the nodes in the order in which they compute. ``node.data.module`` is what computes: putting
            another module there replaces it; in the list ``modules`` alone it has no effect, as in Torch7.
        backwardnodes: the nodes in the order in which gradients go back.
        innode, outnode: the nodes before the inputs and behind the outputs.
        fg, bg: the graph forwards and backwards, for :func:`luann.nngraph.dot`.
        name: shown by ``print`` in the place of ``nn.gModule``, and the file name of :func:`setDebug`.
        verbose: print each node that has computed.

    Raises:
        ArgumentError: something else than a node was given; a node, an input or an entry of a split leads to no output;
            or the graph needs an input that is not among ``inputs``.
    """

    name: str | None = None
    nInputs: int | None = None
    verbose = False
    innode: Any = None
    outnode: Any = None
    forwardnodes: Any = None
    backwardnodes: Any = None

    def __init__(self, inputs: list[Node], outputs: list[Node]) -> None:
        super().__init__()
        need_nodes(outputs, "outputs")
        need_nodes(inputs, "inputs")
        if not inputs or not outputs:
            raise ArgumentError(f"nn.gModule needs at least one {'output' if inputs else 'input'}")
        outnode, innode = Node(Table(input=Table())), Node(Table(input=Table()))
        for node in outputs:
            outnode.add(node, True)
        for node in inputs:
            if node.children and len(inputs) > 1:
                raise ArgumentError(f"{node} cannot be an input: it has inputs, or is in another gModule already")
        for node, source in zip(inputs, innode.split(len(inputs)) if len(inputs) > 1 else [innode]):
            node.add(source, True)

        self.bg = outnode.graph()
        self.fg, _ = self.bg.reverse()
        self._find_innode(innode.data)
        self.outnode = outnode
        self.verbose = False
        self.nInputs = len(inputs)
        self.forwardnodes = self.fg.topsort()
        self.backwardnodes = self.bg.topsort()
        self._check_use()
        for node in self.forwardnodes:
            node.data["forwardNodeId"] = node.id
            if node.data.get("module") is not None:
                self.add(node.data["module"])
        del self.output, self.gradInput
        if len(outputs) > 1:
            self.output = outnode.data["input"] = []

    def _find_innode(self, data: Table) -> None:
        for root in self.fg.roots():
            if root.data is data:
                self.innode = root
            elif root.data.get("module") is None:
                raise ArgumentError(
                    "the nodes are in another gModule already: write the graph down again, or clone that"
                )
            elif not isinstance(root.data["module"], Parameters):
                raise ArgumentError(f"{root} is needed for the outputs, but is not among the inputs")
        if self.innode is None:
            raise ArgumentError("no input leads to an output")

    def _check_use(self) -> None:
        """Raise an ArgumentError if something was written down that leads to no output."""
        present = {id(node.data) for node in self.forwardnodes}
        for node in self.forwardnodes:
            count, used = node.data.get("nSplitOutputs"), len(entries(node.children))
            if count is not None and count != used:
                what = "inputs" if node.data["mapindex"][1] is self.innode.data else "entries of split"
                raise ArgumentError(f"{count - used} of {count} {what} lead to no output: {node}")
            for user in node.data.get("reverseMap") or ():
                if id(user.data) not in present:
                    raise ArgumentError(f"{user} leads to no output")

    # Computing

    def _schedule(self) -> Schedule:
        schedule = self._cache
        if schedule is None or not schedule.is_for(self):
            schedule = self._cache = Schedule(self)
        return schedule

    def runForwardFunction(self, func: str | Callable[[Module, Any], Any], input: Any) -> Any:
        """Go through the graph as ``updateOutput`` does, and call something else at each node.

        Args:
            func: the name of a method, called with the input of the node; or a function of the module and its input.
            input: the input of the whole.
        """
        if isinstance(func, str):
            method = func
            return self._run(lambda module, value: getattr(module, method)(value), input)
        return self._run(func, input)

    def updateOutput(self, input: Any) -> Any:
        return self._run(None, input)

    def _run(self, func: Callable[[Module, Any], Any] | None, input: Any) -> Any:
        schedule = self._schedule()
        self._give(schedule, input)
        verbose, frees = self.verbose, self._frees
        lean = frees and func is None and not verbose
        plan = schedule.lean if lean else schedule.plain
        if plan is not schedule.ran:
            for cell in plan.cells:
                cell.empty = False
            schedule.ran = plan
        self._spent = lean and not self.train
        if frees:  # that of the last pass, of which many clones would hold many
            self.gradInput = emptied(self.gradInput)
        step = schedule.last
        try:
            for place, step in enumerate(plan.forward):
                value = step.compute(func)
                if self._spent and step is not schedule.last:
                    step.forget(value)
                    for other in plan.unused[place]:
                        other.module._release("output")
                elif verbose:
                    print(" V : " + step.node.label())
        except Exception as error:
            self._fail(step, error)
        output = schedule.last.input
        if frees:
            self.output = value if schedule.outputs == 1 else list(value)
            output[:] = [None] * len(output)
        else:
            self.output = output[0] if schedule.outputs == 1 else output
        return self.output

    def _give(self, schedule: Schedule, input: Any) -> None:
        """Put the input where the first node finds it."""
        count = schedule.inputs
        if count == 1:
            schedule.first.input[0] = input
        elif not isinstance(input, (list, tuple)):
            raise TensorTypeError(f"wanted a list of {count} inputs, got {describe(input)}")
        elif len(input) != count:
            raise ShapeError(f"wanted {count} inputs, got {len(input)}")
        else:
            schedule.first.input[:] = input
        for target, place, entry in schedule.dispatch:
            target[place] = schedule.first.input[entry]

    def updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        return self._back(self._schedule(), gradOutput, whole=False)

    def accGradParameters(self, input: Any, gradOutput: Any, scale: float = 1) -> None:
        plan = self._plan(self._schedule(), gradOutput)
        step: Any = None
        try:
            for step in plan.accumulating:
                step.accumulate(scale)
        except Exception as error:
            self._fail(step, error)
        if self._frees:
            for step in plan.backward:
                step.release()
            self._spent = True

    def backward(self, input: Any, gradOutput: Any, scale: float = 1) -> Any:
        # with another scale some modules' backward differs from the two calls that Torch7 makes
        schedule = self._schedule()
        if scale == 1 and schedule.fused:
            return self._back(schedule, gradOutput, whole=True)
        self.updateGradInput(input, gradOutput)
        self.accGradParameters(input, gradOutput, scale)
        return self.gradInput

    def _plan(self, schedule: Schedule, gradOutput: Any) -> Plan:
        """The plan of the last pass forward, for a pass backward, after checks."""
        if schedule.ran is None:
            self._spent = self._spent or self._frees  # a clone of a graph that ran, say, or it was converted since
            schedule.ran = schedule.plain
        self._need_outputs()
        count = schedule.outputs
        if count > 1 and (not isinstance(gradOutput, (list, tuple)) or len(gradOutput) != count):
            raise ShapeError(f"wanted a list of {count} gradOutputs, got {describe(gradOutput)}")
        return schedule.ran

    def _back(self, schedule: Schedule, gradOutput: Any, whole: bool) -> Any:
        plan = self._plan(schedule, gradOutput)
        schedule.last.gradients[0] = gradOutput
        for gradients, count in plan.tables:
            gradients[0] = [None] * count
        verbose, ends = self.verbose, whole and self._frees
        step, first = schedule.last, schedule.first
        try:
            for step in plan.backward:
                step.differentiate(whole)
                if ends and step is not first:
                    step.release()
                if verbose:
                    print(" V : " + step.node.label())
        except Exception as error:
            self._fail(step, error)
        total = list(first.gradients) if schedule.dispatch and schedule.inputs > 1 else first.total
        nothing = isinstance(total, list) and bool(total) and all(grad is None for grad in total)
        self.gradInput = None if nothing else total
        if ends:
            first.release()
            self._spent = True
        return self.gradInput

    def _drop(self, name: str) -> None:
        setattr(self, name, emptied(getattr(self, name)))
        if name == "output":
            schedule = self._schedule()
            for step in schedule.feeds[id(schedule.last)]:
                if step.module is not None:
                    step.module._release(name)

    def _entrance(self) -> list[Module] | None:
        nodes, modules = self.forwardnodes, self.modules
        learns = {
            id(n.data): bool(n.data.get("module") is not None and n.data["module"].parameters()[0]) for n in nodes
        }
        before: dict[int, list[int]] = {}
        for node in nodes:
            for child in entries(node.children):
                before.setdefault(id(child.data), []).append(id(node.data))
        fed = {id(self.innode.data)}  # the nodes whose input depends on nothing that learns
        idle = set(fed)  # and those of them that do not learn either
        for node in nodes:
            key = id(node.data)
            if key in before and idle.issuperset(before[key]):
                fed.add(key)
                if not learns[key]:
                    idle.add(key)
        found: list[Module] = [self]
        for node in nodes:
            key, module = id(node.data), node.data.get("module")
            if key in idle and any(id(child.data) not in fed for child in entries(node.children)):
                return None  # its gradient is computed along with that of something which learns
            if key in fed and module is not None:
                more = module._entrance()
                if more is None or sum(m is module for m in modules) > 1:
                    return None
                found += more
        return found

    def _fail(self, step: Any, error: Exception) -> NoReturn:
        """Raise for an error at a node, saying which it was."""
        if _debug:
            self._draw_failure(step)
        if not isinstance(error, Error):
            raise ModuleError(f"{type(error).__name__}: {error}, at {step.node}") from error
        error.args = (f"{error.args[0] if error.args else ''}, at {step.node}", *error.args[1:])
        raise error

    def _draw_failure(self, step: Any) -> None:
        inputs, outputs = self.nInputs or len(entries(self.innode.children)), len(entries(self.outnode.children))
        path = Path(f"{self.name or f'nngraph_{inputs}in_{outputs}out'}.svg")
        text = self.fg.todot(path.stem, marked=step.data)
        path.with_suffix(".dot").write_text(text, encoding="utf-8")
        with suppress(Error):  # without graphviz the text has to do
            render(text, path)

    # The modules

    def map(self, gm: gModule, func: Callable[[Module, Module], Any]) -> None:
        """Call ``func`` on each module of this graph and its counterpart in ``gm``, a graph of the same structure."""
        if len(self.forwardnodes) != len(gm.forwardnodes):
            raise ArgumentError(f"graphs of {len(self.forwardnodes)} and {len(gm.forwardnodes)} nodes cannot be mapped")
        for mine, theirs in zip(self.forwardnodes, gm.forwardnodes):
            module, other = mine.data.get("module"), theirs.data.get("module")
            if (module is None) != (other is None):
                raise ArgumentError(f"graphs of different structure cannot be mapped: {mine} and {theirs}")
            if module is not None:
                func(module, other)

    def replace(self, callback: Callable[[Module], Module]) -> Module:
        out = callback(self)
        new: dict[int, Module] = {}
        for node in self.forwardnodes:
            module = node.data.get("module")
            if module is not None:
                if id(module) not in new:
                    new[id(module)] = module.replace(callback)
                node.data["module"] = new[id(module)]
        self.modules[:] = [new.get(id(module), module) for module in self.modules]
        self._cache = None
        return out

    def clearState(self) -> gModule:
        super().clearState()
        for node in self.forwardnodes:
            for name in ("input", "gradOutput", "gradOutputBuffer"):
                node.data.pop(name, None)
        self._cache = None
        return self

    def _convert(self, dtype: Any, device: Any, cache: dict) -> None:
        super()._convert(dtype, device, cache)
        for node in self.forwardnodes:
            for name in ("input", "gradOutput", "gradOutputBuffer"):
                value = node.data.get(name)
                if value is not None:
                    node.data[name] = converted(value, dtype, device, cache, floating_only=True)

    def __tostring__(self) -> str:
        return self.name or self._typename

    # Copying and saving

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        if self.modules is None:  # before 2014 a gModule was no container
            self.modules = [n.data["module"] for n in self.forwardnodes if n.data.get("module") is not None]

    def __deepcopy__(self, memo: dict) -> gModule:
        twin = self.__class__.__new__(self.__class__)
        memo[id(self)] = twin
        for name in _SETTINGS:
            setattr(twin, name, getattr(self, name))
        containers, leaves, kinds, links = take_apart(Table(self.__dict__))
        new = empty(kinds)
        memo.update(zip(map(id, containers[1:]), new[1:]))
        twin.__dict__.update(put_together(new, copy.deepcopy(leaves, memo), links))
        return twin

    def __getstate__(self) -> dict:
        _, leaves, kinds, links = take_apart(Table(self.__dict__))
        return {"leaves": [_picklable(leaf) for leaf in leaves], "kinds": kinds, "links": links}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(put_together(empty(state["kinds"]), state["leaves"], state["links"]))
