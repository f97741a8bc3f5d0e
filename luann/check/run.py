"""Runs a copy of a net in which every layer gets what the layer before it saved."""

from __future__ import annotations

import copy
import types
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from .. import nn
from ..errors import ModuleError
from ..show.layers import children
from ..show.objects import class_name
from ..t7 import Unknown
from . import replay
from .compare import Memory, compare, emptied, is_empty, memory_of, overlap


@dataclass
class Layer:
    """What was found about a module; the top of :mod:`luann.check` explains the fields."""

    path: str
    class_name: str
    status: str = "unchecked"
    difference: float | None = None
    tolerance: float | None = None
    together: str | None = None
    reason: str | None = None


class Missing:
    """Stands for a value that is not in the file and cannot be computed.

    Attributes:
        reason: why.
        failed: whether luann tried and failed.
    """

    __iter__: None = None  # nobody knows how many entries there are

    def __init__(self, reason: str, failed: bool = False) -> None:
        self.reason = reason
        self.failed = failed

    def __getitem__(self, key: Any) -> Missing:
        return self


@dataclass(eq=False)
class _Node:
    """A module of the net.

    Attributes:
        twin: its copy.
        saved: its output in the file; ``None`` if there is none.
        layer: what is found about it; ``None`` for a container that only hands on what its modules computed.
        is_whole: whether it runs as a whole, so that nothing is compared within it.
        calls: its runs.
        runs: how many of these are done the second time.
    """

    path: str
    module: Any
    twin: Any
    saved: Any
    layer: Layer | None
    is_whole: bool
    calls: list[_Call] = field(default_factory=list)
    runs: int = 0


@dataclass(eq=False)
class _Call:
    """A run of a module, as the memory of the saved outputs tells it.

    Attributes:
        memory: that of the saved output.
        in_place: whether it is that of the input as well, changed by the module.
        writes: whether this run filled it, other than one whose output is a view of the input.
        overwriter: the next run that filled some of it.
    """

    node: _Node
    memory: Memory
    in_place: bool
    writes: bool
    overwriter: _Call | None = None

    @property
    def is_last(self) -> bool:
        return self is self.node.calls[-1]


class _Intercepted:
    """Stands in a copied module for its method ``updateOutput``."""

    def __init__(self, called: Callable[[_Node, Any], Any], node: _Node) -> None:
        self._called = called
        self._node = node

    def __call__(self, input: Any) -> Any:
        return self._called(self._node, input)

    def __deepcopy__(self, memo: dict) -> Any:
        """The plain method, for a copy that a container makes of a module while it computes."""
        return types.MethodType(type(self._node.twin).updateOutput, memo.get(id(self._node.twin), self._node.twin))


def modules_of(model: Any) -> list[tuple[str, Any]]:
    """The modules of a net with their paths, a container before its children, each once."""
    found: dict[int, tuple[str, Any]] = {}

    def enter(module: Any, path: str) -> None:
        if id(module) not in found:
            found[id(module)] = path, module
            for place, child in children(module):
                enter(child, f"{path}.{place}".removeprefix("."))

    enter(model, "")
    return list(found.values())


class Run:
    """Runs a copy of a net twice: first to see who gives what to whom and whose memory is used again, then to compare.

    Containers compute with their own code, so that inputs go the way they do in this net; each module that they call is
    called through here. What it gives to the modules after it is its saved output, or, where something wrote over that
    in the file, what it computes. The latter is given as it is and not copied: what was changed in place before
    somebody read it is so again.

    What runs its modules once for each step of a sequence runs as a whole, from its own input, and is compared as if it
    were a single layer: of the modules in it the file holds what they gave in one step, and not what they got.

    Args:
        model: the net, which stays as it is.
        tolerance: how large differences may be.
        train: in which mode to compute, in place of that of each module.
        whole: paths of further containers that are to run as a whole.

    Attributes:
        differing: the paths of the containers that differ while they call their modules one by one.
        uncounted: those whose modules ran more or less often than could be foreseen.
    """

    def __init__(
        self,
        model: Any,
        tolerance: float | None = None,
        train: bool | None = None,
        whole: Collection[str] = (),
    ) -> None:
        self.differing: set[str] = set()
        self.uncounted: set[str] = set()
        self._tolerance = tolerance
        self._comparing = False
        self._within = False  # whether something runs as a whole
        self._returned: list[list[tuple[_Node, Any]]] = []  # for each container that computes: by its modules so far
        self._trace: list[_Call] = []
        self._nodes: dict[int, _Node] = {}  # by the id of the module
        memo: dict[int, Any] = {}
        self._model = copy.deepcopy(model, memo)
        for path, module in modules_of(model):
            output = _output(module)
            twin = memo[id(module)]
            is_whole = path in whole or isinstance(module, replay.STEPWISE)
            layer = Layer(path, class_name(module))
            node = _Node(path, module, twin, None if is_empty(output) else output, layer, is_whole)
            self._nodes[id(module)] = node
            if train is not None and isinstance(twin, nn.Module):
                twin.train = train
            _fields(twin)["updateOutput"] = _Intercepted(self._called, node)

    @property
    def has_outputs(self) -> bool:
        """Whether the file holds the output of any module."""
        return any(node.saved is not None for node in self._nodes.values())

    def layers(self, input: Any = None) -> list[Layer]:
        """What is found about the layers.

        Args:
            input: of the net, if it is known.
        """
        for self._comparing in (False, True):
            self._model.updateOutput(Missing("its input is not in the file") if input is None else copy.deepcopy(input))
            if not self._comparing:
                self._find_overwriters()
                for node in self._nodes.values():  # what is computed now must not touch what was saved
                    if "output" in _fields(node.twin) and isinstance(node.twin, nn.Module):
                        node.twin.output = emptied(node.twin.output)
        return self._results()

    # One run of a module

    def _called(self, node: _Node, input: Any) -> Any:
        if self._within:
            return type(node.twin).updateOutput(node.twin, input)
        value = (self._leaf if node.is_whole or not children(node.module) else self._container)(node, input)
        if self._returned:
            self._returned[-1].append((node, value))
        return value

    def _leaf(self, node: _Node, input: Any) -> Any:
        if not self._comparing:
            return self._traced(node, input)
        missing = _unknown(node) or next(_missing(input), None)
        if missing is not None:
            return self._judged(node, missing)
        if not node.runs:
            replay.rewind(node.twin, input, len(node.calls))
        before = copy.deepcopy(input) if _is_in_place(node) else input
        return self._judged(node, self._computed(node, input), before)

    def _computed(self, node: _Node, input: Any) -> Any:
        """A module's output, or why there is none."""
        state = torch.random.get_rng_state()
        self._within = True
        try:
            output = replay.run(node.twin, input)
        except RecursionError:
            raise
        except Exception as error:
            return _failure(error)
        finally:
            self._within = False
        if not torch.equal(state, torch.random.get_rng_state()):
            return Missing("it is random, and what it drew was not saved")
        return output

    def _container(self, node: _Node, input: Any) -> Any:
        self._returned.append([])
        computed = self._routed(node, input)
        if isinstance(input, Missing) and not self._returned[-1]:  # perhaps it takes several
            count = getattr(node.twin, "nInputs", None) or len(children(node.module))
            computed = self._routed(node, [input] * count)
        self._call_the_others(node, computed)
        returned = self._returned.pop()
        given = [input, *(value for _, value in returned)]
        collected = _collected(node, returned)
        if collected is not None:
            node.layer = None
            return collected if isinstance(computed, Missing) else computed
        if node.saved is None and _nothing_to_tell(node, computed, given):
            node.layer = None
            return computed
        if not self._comparing:
            return self._traced(node, given)
        value = self._judged(node, computed)
        if node.layer is not None and node.layer.status == "differs":
            self.differing.add(node.path)
        return value

    def _routed(self, node: _Node, input: Any) -> Any:
        """The output of a container, which calls its modules; or why there is none."""
        if isinstance(node.module, Unknown):
            return Missing("luann does not know this class")
        try:
            return type(node.twin).updateOutput(node.twin, input)
        except RecursionError:
            raise
        except Exception as error:
            missing = _missing([input, *(value for _, value in self._returned[-1])])
            return next(missing, None) or _failure(error)

    def _call_the_others(self, node: _Node, computed: Any) -> None:
        """Call the modules that a container has not called, as where it stopped for want of an input."""
        called = {id(child) for child, _ in self._returned[-1]}
        input = Missing("what its container gives it is not known")
        if isinstance(computed, Missing) and not (computed.failed or isinstance(node.module, Unknown)):
            input = computed
        for _, module in children(node.module):
            child = self._nodes[id(module)]
            if id(child) not in called:
                self._called(child, input)

    # The first time

    def _traced(self, node: _Node, given: Any) -> Any:
        value = Missing("what it takes was not saved") if node.saved is None else _output(node.twin)
        changes = _is_in_place(node)
        memory = memory_of([_output(module) for _, module in modules_of(node.twin)] if changes else value)
        aliases = overlap(memory, memory_of(given))
        in_place = aliases and (changes or isinstance(node.module, Unknown))
        call = _Call(node, memory, in_place, in_place or not aliases)
        node.calls.append(call)
        self._trace.append(call)
        return value

    def _find_overwriters(self) -> None:
        writers: dict[int, list[_Call]] = defaultdict(list)  # by storage, the last one first
        for call in reversed(self._trace):
            storages = {storage for storage, _, _ in call.memory}
            later = (writer for storage in storages for writer in reversed(writers[storage]))
            call.overwriter = next((writer for writer in later if overlap(writer.memory, call.memory)), None)
            if call.writes:
                for storage in storages:
                    writers[storage].append(call)

    # The second time

    def _judged(self, node: _Node, computed: Any, before: Any = None) -> Any:
        """Compare an output with the saved one; returns what the modules after it get.

        Args:
            computed: the output.
            before: what the input was before the module ran; ``None`` for a container that calls others through here.
        """
        call = node.calls[node.runs] if node.runs < len(node.calls) else None
        node.runs += 1
        layer, saved = node.layer, node.saved
        if layer is None or (call is not None and not call.is_last):
            return computed  # what is in the file is of a later run
        overwritten = call is not None and call.overwriter is not None
        if isinstance(computed, Missing):
            layer.reason = computed.reason
            layer.status = "differs" if computed.failed else "unchecked"
            return Missing("its input is not in the file") if saved is None or overwritten else copy.deepcopy(saved)
        if saved is None:
            layer.reason = "no output saved"
            return computed
        if overwritten:
            return computed  # _results() tells the rest
        saved = self._unresized(node, computed)
        found = compare(computed, saved, self._tolerance)
        if not found.agree and before is not None:
            if _is_in_place(node) and compare(before, saved, self._tolerance).agree:
                layer.reason = "what it did in place was undone by backward before the net was saved"
                return computed
            if self._changes_with_runs(node, computed, before):
                layer.reason = "what it computes depends on its runs before, of which the file does not tell enough"
                return copy.deepcopy(saved)
        layer.status = "agrees" if found.agree else "differs"
        layer.difference, layer.tolerance, layer.reason = found
        return copy.deepcopy(saved)

    def _unresized(self, node: _Node, computed: Any) -> Any:
        """The saved output, in the size in which it was computed if a container gave it another, as CReLU does."""
        saved = node.saved
        tensors = isinstance(computed, torch.Tensor) and isinstance(saved, torch.Tensor)
        if not tensors or saved.shape == computed.shape or saved.numel() != computed.numel():
            return saved
        outer = (other for other in self._nodes.values() if other is not node and children(other.module))
        return saved.reshape(computed.shape) if any(other.saved is saved for other in outer) else saved

    def _changes_with_runs(self, node: _Node, computed: Any, input: Any) -> bool:
        """Whether a module gives something else when it does its last run again."""
        first = copy.deepcopy(computed)
        replay.rewind(node.twin, input, 1)
        again = self._computed(node, copy.deepcopy(input))
        return isinstance(again, Missing) or not compare(again, first, self._tolerance).agree

    def _results(self) -> list[Layer]:
        for call in reversed(self._trace):
            layer, by = call.node.layer, call.overwriter
            if layer is None or not call.is_last or by is None or layer.reason is not None:
                continue
            place = by.node.path or "the whole"
            if by.in_place and by.node.layer is not None:
                layer.together, layer.status = by.node.path, by.node.layer.status
                layer.reason = f"overwritten in place by {place}"
            else:
                layer.reason = f"its memory was used again by {place}"
        for node in self._nodes.values():
            if node.is_whole and node.calls:
                self._tell_within(node)
            if node.layer is not None and node.layer.reason is None and node.runs > 1:
                node.layer.reason = f"runs {node.runs} times, of which the last one is compared"
            if node.calls and node.runs != len(node.calls):
                self.uncounted |= {outer.path for outer in self._nodes.values() if _is_child(node, outer)}
        return [node.layer for node in self._nodes.values() if node.layer is not None]

    def _tell_within(self, whole: _Node) -> None:
        """Say why the layers within what runs as a whole were not checked."""
        for _, module in modules_of(whole.module)[1:]:
            node = self._nodes[id(module)]
            if node.calls:
                continue  # it runs elsewhere too
            if children(module):
                node.layer = None
            elif node.layer is not None and node.layer.reason is None:
                place = f"{class_name(whole.module)} {whole.path}".strip()
                node.layer.reason = f"it is part of {place}, which is compared as a whole"


def _fields(module: Any) -> dict[Any, Any]:
    return module.fields if isinstance(module, Unknown) else module.__dict__


def _output(module: Any) -> Any:
    """The output that a module holds; that of some is their net's."""
    return module.fields.get("output") if isinstance(module, Unknown) else getattr(module, "output", None)


def _is_child(node: _Node, outer: _Node) -> bool:
    return any(child is node.module for _, child in children(outer.module))


def _is_in_place(node: _Node) -> bool:
    """Whether a layer, or one in what runs as a whole, changes its input."""
    return any(_fields(module).get("inplace") for _, module in modules_of(node.module))


def _unknown(node: _Node) -> Missing | None:
    """What is missing where a layer, or one in what runs as a whole, is of an unknown class."""
    for _, module in modules_of(node.module):
        if isinstance(module, Unknown):
            what = "this class" if module is node.module else class_name(module)
            return Missing(f"luann does not know {what}")
    return None


def _failure(error: Exception) -> Missing:
    if isinstance(error, ModuleError) and error.__cause__ is None:  # a refusal: something that was set is gone
        return Missing(f"it cannot run again as it was saved: {' '.join(str(error).split())}")
    return Missing(f"luann fails: {' '.join(str(error).split())}", failed=True)


def _missing(value: Any) -> Iterator[Missing]:
    """What is missing in a nested table."""
    if isinstance(value, Missing):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for v in value.values() if isinstance(value, dict) else value:
            yield from _missing(v)


def _collected(node: _Node, returned: list[tuple[_Node, Any]]) -> Any:
    """The output of a container that saved just what its modules saved, made of what they returned; else ``None``."""
    values = {_place(child.saved): value for child, value in returned if child.saved is not None}
    if _place(node.saved) in values:
        return values[_place(node.saved)]
    if isinstance(node.saved, list) and all(_place(v) in values for v in node.saved):
        return [values[_place(v)] for v in node.saved]
    return None


def _place(output: Any) -> Any:
    """What tells saved outputs apart: where they lie, and how."""
    if isinstance(output, torch.Tensor):
        return output.data_ptr(), output.dtype, output.shape, output.stride()
    return tuple(map(_place, output)) if isinstance(output, (list, tuple)) else id(output)


def _nothing_to_tell(node: _Node, computed: Any, given: list[Any]) -> bool:
    """Whether a container without a saved output only hands on, so that its modules tell it all."""
    if isinstance(computed, Missing):
        return not (computed.failed or isinstance(node.module, Unknown))
    values = computed if isinstance(computed, list) else [computed]
    return all(any(v is g for g in given) for v in values)
