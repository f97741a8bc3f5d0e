"""Whether luann computes what Torch7 computed, told from a saved net alone.

A net that was saved without ``clearState()`` still holds the last output of every layer. :func:`check_model` runs a copy
of the net in which each layer gets what the layer before it *saved*, and compares what it computes with what it saved
itself: a difference belongs to the layer that shows it, and does not spread. Containers route the inputs with their
own code, so that nets of every kind can be checked; their own results are compared as well, unless they only hand on
those of their modules. Nothing in the net that is checked changes.

:func:`describe` does that for all models in a file and gives one document of plain dicts, lists, strings and numbers,
which ``luann check --json`` prints:

``file``, ``bytes``
    the name that was given, and the size of the file; ``null`` for a pipe.
``agree``, ``differ``, ``unchecked``
    how many layers of the file came out in which way.
``models``
    the outermost modules of the file, each once:

    ``at``, ``class``
        where it is, as ``key[1].key`` (``""`` if the file is the model), and what.
    ``agree``, ``differ``, ``unchecked``
        how many of its layers came out in which way.
    ``note``
        what seems to be behind the differences, or that the mode was switched after the last run; else ``null``.
    ``layers``
        all modules but the containers that only hand on what their modules computed, a container before its children:

        ``path``, ``class``
            ``"1.3"``: third child of the first; ``""`` for the model itself.
        ``status``
            ``"agrees"``, ``"differs"`` or ``"unchecked"``.
        ``difference``, ``tolerance``
            the largest difference of a computed number from the saved one, divided by the largest saved number of that
            tensor, and what it may be; ``null`` where nothing was compared, ``"inf"`` where only one of them is finite.
        ``with``
            the path of the layer that wrote its output over this one's, in place: these two are checked together.
        ``reason``
            why it was not checked, or what is wrong beside the numbers; else ``null``.
"""

from __future__ import annotations

import contextlib
import copy
import io
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from . import nn, random
from .errors import ArgumentError, Error
from .show.layers import children
from .show.objects import class_name, is_model, path_text, readable, walk
from .t7 import Unknown

TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-5, torch.float16: 5e-3}
"""How large the difference of a layer may be, by the type of its output; whole numbers must be equal."""


@dataclass
class Layer:
    """What was found about one module; the top of :mod:`luann.check` explains the fields."""

    path: str
    class_name: str
    status: str = "unchecked"
    difference: float | None = None
    tolerance: float | None = None
    together: str | None = None
    reason: str | None = None


def check_model(model: Any, input: Any = None, tolerance: float | None = None) -> tuple[list[Layer], str | None]:
    """Compare what the layers of a net compute with what they computed when Torch7 last ran them.

    Where layers differ in the mode that the net was saved in, and none does in the other one (training or evaluation), it
    was switched after the last run: then the result is that of the other mode, and the note says so.

    Args:
        model: a module; also one of a class that luann does not know.
        input: what it was run with, where that is known; without it the first layer cannot be checked.
        tolerance: in place of those in :data:`TOLERANCES`.

    Returns:
        the layers, and a note about all of them or ``None``.
    """
    if not is_model(model):
        raise ArgumentError(f"check_model() takes a module, got {class_name(model)}")
    layers = _checked(model, input, tolerance, None)
    if not _any_differs(layers):
        return layers, None
    train = not getattr(model, "train", True)
    switched = _checked(model, input, tolerance, train)
    if not _any_differs(switched):
        return switched, f"these are outputs of {'training' if train else 'evaluation'}: the mode was switched later"
    return layers, _stale(model, layers)


def _any_differs(layers: list[Layer]) -> bool:
    return any(layer.status == "differs" for layer in layers)


def _checked(model: Any, input: Any, tolerance: float | None, train: bool | None) -> list[Layer]:
    with _undisturbed():
        return _Check(model, tolerance, train).run(input)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Swallow what layers print, and leave the random generators as they were."""
    try:
        state = random.getRNGState()
    except Error:  # there is none as long as PyTorch draws
        state = None
    random.unseed()
    try:
        with torch.random.fork_rng(devices=[]), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        if state is not None:
            random.setRNGState(state)


def _stale(model: Any, layers: list[Layer]) -> str | None:
    """A note where just those layers differ that have parameters."""
    trained = {path for path, module in modules_of(model) if isinstance(module, nn.Module) and module.parameters()[0]}
    differ = [layer.path in trained for layer in layers if layer.status == "differs"]
    others = [layer for layer in layers if layer.status == "agrees" and layer.path not in trained]
    if others and all(differ):
        return (
            "only layers with parameters differ: the net was probably saved after an update of its parameters, "
            "of which the saved outputs do not know"
        )
    return None


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


class _Missing:
    """Stands for a value that is not in the file and cannot be computed, and says why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


@dataclass
class _Call:
    """One run of a module, as the memory of the saved outputs tells it.

    Attributes:
        memory: where the saved output lies, as (storage, first byte, end).
        aliases: whether that is memory of the input: the output is a view of it, or was computed in place.
        writes: whether the run filled that memory.
        overwriter: the next run that wrote into it.
        last: whether the module was not run again: only then can it have its output still.
    """

    node: _Node
    memory: list[tuple[int, int, int]]
    aliases: bool
    writes: bool
    overwriter: _Call | None = None
    last: bool = False


@dataclass
class _Node:
    """A module of the net and its copy.

    Attributes:
        saved: its output in the file; ``None`` if there is none.
        calls: its runs in the order in which they come.
        runs: how many of them are done.
    """

    path: str
    module: Any
    twin: Any
    saved: Any
    layer: Layer
    calls: list[_Call] = field(default_factory=list)
    runs: int = 0


class _Check:
    """Runs a copy of a net twice: first to see who gives what to whom, and whose memory is used again; then to compare.

    Each module of the copy is called through :meth:`_called`, which decides what the module gives to those after it: its
    saved output, or what it computes where that was overwritten in the file.
    """

    def __init__(self, model: Any, tolerance: float | None, train: bool | None) -> None:
        self.tolerance = tolerance
        self.comparing = False
        self.returned: list[list[tuple[_Node, Any]]] = []  # by the modules of each container that is computing
        self.trace: list[_Call] = []
        self.nodes: dict[int, _Node] = {}  # by the id of the module
        memo: dict[int, Any] = {}
        self.model = copy.deepcopy(model, memo)
        for path, module in modules_of(model):
            output = fields_of(module).get("output")
            saved = None if _is_empty(output) else output
            node = _Node(path, module, memo[id(module)], saved, Layer(path, class_name(module)))
            self.nodes[id(module)] = node
            if train is not None and isinstance(module, nn.Module):
                node.twin.train = train
            fields_of(node.twin)["updateOutput"] = self._caller(node)

    def _caller(self, node: _Node) -> Callable[[Any], Any]:
        return lambda input: self._called(node, input)

    def run(self, input: Any) -> list[Layer]:
        """What is found about the layers."""
        for comparing in (False, True):
            self.comparing = comparing
            self.model.updateOutput(
                _Missing("its input is not in the file") if input is None else copy.deepcopy(input)
            )
            if not comparing:
                self._find_overwriters()
                for node in self.nodes.values():  # what is computed now must not meet what was saved
                    if isinstance(node.twin, nn.Module):
                        node.twin.output = _emptied(node.twin.output)
        return self._results()

    # One run of a module

    def _called(self, node: _Node, input: Any) -> Any:
        call = None
        if self.comparing:
            if node.runs < len(node.calls):
                call = node.calls[node.runs]
            node.runs += 1
        value = self._container(node, input, call) if children(node.module) else self._leaf(node, input, call)
        if self.returned:
            self.returned[-1].append((node, value))
        return value

    def _leaf(self, node: _Node, input: Any, call: _Call | None) -> Any:
        if not self.comparing:
            return self._traced(node, [input])
        missing = _missing(input)
        if isinstance(node.module, Unknown):
            computed = _Missing("luann does not know this class")
        elif missing is not None:
            computed = missing
        else:
            before = copy.deepcopy(input) if _is_in_place(node.twin) else None
            computed = self._computed(node, input)
            if before is not None and not isinstance(computed, _Missing) and call is not None and call.last:
                if not self._agree(computed, node.saved) and self._agree(before, node.saved):
                    node.layer.reason = "computed in place, and backward took that back in the file, as Torch7 does"
                    return computed
        return self._judged(node, computed, call)

    def _computed(self, node: _Node, input: Any) -> Any:
        twin = node.twin
        replay = next((f for cls, f in _REPLAYS.items() if isinstance(twin, cls)), None)
        try:
            if replay is not None:
                output = replay(node.module, input)
                if output is not None:
                    return output
            state = torch.random.get_rng_state()
            output = type(twin).updateOutput(twin, input)
        except RecursionError:
            raise
        except Exception as error:
            return _failed(node, error)
        if not torch.equal(state, torch.random.get_rng_state()):
            return _Missing("it is random, and what it drew is not in the file")
        return output

    def _container(self, node: _Node, input: Any, call: _Call | None) -> Any:
        self.returned.append([])
        computed: Any
        try:
            if isinstance(node.module, Unknown):
                computed = _Missing("luann does not know this class")
            else:
                computed = type(node.twin).updateOutput(node.twin, input)
        except RecursionError:
            raise
        except Exception as error:
            missing = _missing([input, [value for _, value in self.returned[-1]]])
            computed = missing or _failed(node, error)
        called = {id(child) for child, _ in self.returned[-1]}
        for _, child in children(node.module):
            if id(self.nodes[id(child)]) not in called:
                self._called(self.nodes[id(child)], _Missing("what its container gives it is not known"))
        given = [value for _, value in self.returned.pop()]
        if not isinstance(computed, _Missing) and _hands_on(computed, [input, *given]):
            node.layer.status = "passes"
            return computed
        return self._judged(node, computed, call) if self.comparing else self._traced(node, [input, *given])

    # The first time

    def _traced(self, node: _Node, given: list[Any]) -> Any:
        value = fields_of(node.twin).get("output") if node.saved is not None else _Missing("")
        memory = _memory(value)
        aliases = _overlap(memory, _memory(given))
        writes = not aliases or _is_in_place(node.twin) or isinstance(node.module, Unknown)
        call = _Call(node, memory, aliases, writes)
        node.calls.append(call)
        self.trace.append(call)
        return value

    def _find_overwriters(self) -> None:
        for node in self.nodes.values():
            if node.calls:
                node.calls[-1].last = True
        writers: dict[int, list[_Call]] = defaultdict(list)
        for call in reversed(self.trace):
            storages = {storage for storage, _, _ in call.memory}
            call.overwriter = next(
                (w for s in storages for w in reversed(writers[s]) if _overlap(w.memory, call.memory)), None
            )
            if call.writes:
                for storage in storages:
                    writers[storage].append(call)

    # The second time

    def _agree(self, computed: Any, saved: Any) -> bool:
        return saved is not None and _compared(computed, saved, self.tolerance).status == "agrees"

    def _judged(self, node: _Node, computed: Any, call: _Call | None) -> Any:
        """Compare a result with what was saved; returns what the modules after it get."""
        if call is not None and not call.last:
            return computed  # what is in the file is of a later run
        layer, saved = node.layer, node.saved
        overwriter = call.overwriter if call is not None else None
        if isinstance(computed, _Missing):
            layer.reason = computed.reason
            if computed.reason.startswith(_FAILS):
                layer.status = "differs"
            if saved is None or overwriter is not None:
                return _Missing("its input is not in the file")
            return copy.deepcopy(saved)
        if saved is None:
            layer.reason = "no output saved"
            return computed
        if overwriter is not None:
            return computed  # _results() tells what became of it
        found = _compared(computed, saved, self.tolerance)
        layer.status, layer.difference, layer.tolerance = found.status, found.difference, found.tolerance
        layer.reason = found.reason
        return copy.deepcopy(saved)

    def _results(self) -> list[Layer]:
        for call in reversed(self.trace):
            layer, by = call.node.layer, call.overwriter
            if not call.last or by is None or layer.status != "unchecked" or layer.reason is not None:
                continue
            if by.aliases:
                layer.together = by.node.path
                layer.status = by.node.layer.status
                layer.reason = f"overwritten in place by {by.node.path}"
            else:
                layer.reason = f"its memory was used again by {by.node.path or 'the whole'}"
        for node in self.nodes.values():
            if node.runs > 1 and node.layer.reason is None and node.layer.status != "passes":
                node.layer.reason = f"run {node.runs} times: the last one is compared"
            elif not node.runs:
                node.layer.reason = "its container does not use it"
        return [node.layer for node in self.nodes.values() if node.layer.status != "passes"]


_FAILS = "luann fails: "


def _failed(node: _Node, error: Exception) -> _Missing:
    return _Missing(f"{_FAILS}{' '.join(str(error).split())}")


def fields_of(module: Any) -> dict[str, Any]:
    """The fields of a module, of a known class or not."""
    return module.fields if isinstance(module, Unknown) else module.__dict__


def _is_in_place(module: Any) -> bool:
    return bool(fields_of(module).get("inplace"))
