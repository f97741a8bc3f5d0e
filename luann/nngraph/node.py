"""``nngraph.Node``: what calling a module with nodes makes, and how graphs are written down."""

from __future__ import annotations

import os
import sys
from functools import cache
from types import FrameType
from typing import Any

import torch

from .. import types
from ..errors import ArgumentError
from ..nn import (
    AddConstant,
    CAddTable,
    CDivTable,
    CMulTable,
    Criterion,
    CSubTable,
    Identity,
    Module,
    ModuleFromCriterion,
    MulConstant,
)
from ..nn._guard import describe
from ..table import Table
from . import graph
from .graph import append, entries
from .layers import JustElement, JustTable

_PACKAGE = __name__.partition(".")[0]
_LONGEST = 60  # characters of a file's name, as in Lua


@types.register("nngraph.Node")
class Node(graph.Node):
    """A module in a graph, made by calling it: ``h = nn.Linear(20, 10)(x)``, ``y = nn.CAddTable()(a, b)``.

    Called with nothing, a module begins a graph: ``x = nn.Identity()()``. Several nodes, or a list of them, become the
    table that is the module's input. A criterion is called with the nodes of its input and its target.

    Shorter ways to write the same: ``-nn.Identity()`` is ``nn.Identity()()``; ``x - nn.Tanh()`` is ``nn.Tanh()(x)``,
    and ``[a, b] - nn.CAddTable()`` likewise, so that a chain of layers reads in the order in which it computes. Between
    two nodes, ``a + b``, ``a - b``, ``a * b`` and ``a / b`` work element by element; one of the two can be a number.

    Attributes:
        data: a Table with, among others, ``module``; ``annotations``; ``input``, a list of what the module was given
            last; ``gradOutput``, a list of the gradients that came back; ``mapindex``, the data of the nodes that feed
            this one, in order.
        children: the nodes that feed this one; in the forward graph of a gModule, those that it feeds.
    """

    _typename = "nngraph.Node"
    _empty_is_list = False

    def __init__(self, data: Any = None) -> None:
        super().__init__(data if isinstance(data, Table) else Table(data or {}))
        data = self.data
        for name in ("annotations", "mapindex", "reverseMap"):
            if name not in data:
                data[name] = Table()
        annotations = data["annotations"]
        if not isinstance(annotations, Table):
            data["annotations"] = annotations = Table(annotations)
        annotations.setdefault("_debugLabel", f"{_place()}_")

    def add(self, child: Any, domap: bool = False) -> None:
        """Add a child; with ``domap`` it is an input of this node, the next one.

        Raises:
            ArgumentError: it is an input already.
        """
        super().add(child)
        if domap:
            if not append(self.data["mapindex"], child.data):
                raise ArgumentError(
                    f"{self} has {child} as an input already: to pass the same node twice, put nn.Identity()(node) in "
                    "one of the two places"
                )
            child.data.setdefault("reverseMap", Table())[self] = True

    def split(self, noutput: int) -> Any:
        """The entries of the table that this node gives, as nodes of their own: ``a, b = node.split(2)``.

        All must be used. For 1 it is a single node, not a tuple.
        """
        if noutput == 1:
            return JustElement()(self)
        label = self.data["annotations"].get("_debugLabel", "")
        middle = Node(Table(nSplitOutputs=noutput, annotations=Table(_debugLabel=f"{label} split at {_place()}-mnode")))
        middle.add(self, True)
        nodes = []
        for i in range(1, noutput + 1):
            node = Node(Table(selectindex=i, input=Table(), annotations=Table(_debugLabel=f"{label}-{i}")))
            node.add(middle, True)
            nodes.append(node)
        return tuple(nodes)

    def annotate(self, annotations: dict | None = None, **named: Any) -> Node:
        """Note something about the node, and return it.

        ``name`` is shown in drawings and errors, ``description`` in drawings; ``graphAttributes`` is a dict of
        graphviz's attributes for the node. Anything else is the caller's own.
        """
        self.data["annotations"].update(annotations or {}, **named)
        return self

    # Drawing

    def graphNodeName(self) -> str:
        name = self._annotation("name")
        return f"{name} ({self.id})" if name else super().graphNodeName()

    def graphNodeAttributes(self) -> dict:
        attributes = dict(self._annotation("graphAttributes") or {})
        attributes.setdefault("tooltip", self._annotation("_debugLabel") or "")
        return attributes

    def label(self) -> str:
        data = self.data
        lines = []
        description = self._annotation("description")
        if description:
            lines.append(f"desc = {description}")
        for name in ("module", "selectindex", "nSplitOutputs", "input", "gradOutput"):
            value = data.get(name)
            if value is not None and not (isinstance(value, (list, dict)) and not value):
                lines.append(f"{name} = {_sizes(value)}")
        feeding = entries(data["mapindex"])
        if len(feeding) > 1:
            lines.append(f"mapindex = {{{','.join(_number(d) for d in feeding)}}}")
        return "\n".join(lines)

    def _annotation(self, name: str) -> Any:
        annotations = self.data.get("annotations")
        return annotations.get(name) if annotations else None

    def __repr__(self) -> str:
        """Its class, its module and name, and where it was made."""
        data = self.data
        module, index = data.get("module"), data.get("selectindex")
        parts = ["node"]
        if module is not None:
            text = module._typename if getattr(module, "modules", None) is not None else str(module)
            parts.append(text.partition("\n")[0])
        elif index is not None:
            parts.append(f"for entry {index}")
        if self._annotation("name"):
            parts.append(repr(self._annotation("name")))
        if self._annotation("_debugLabel"):
            parts.append(f"made at {self._annotation('_debugLabel')}")
        return " ".join(parts)

    # Writing graphs down

    def __sub__(self, other: Any) -> Any:
        if isinstance(other, (Module, Criterion)):
            return other(self)
        if _is_number(other):
            return AddConstant(-other)(self)
        return CSubTable()(self, other) if isinstance(other, Node) else NotImplemented

    def __rsub__(self, other: Any) -> Node:
        return AddConstant(other)(MulConstant(-1)(self)) if _is_number(other) else NotImplemented

    def __neg__(self) -> Node:
        return MulConstant(-1)(self)

    def __add__(self, other: Any) -> Node:
        if _is_number(other):
            return AddConstant(other)(self)
        return CAddTable()(self, other) if isinstance(other, Node) else NotImplemented

    __radd__ = __add__

    def __mul__(self, other: Any) -> Node:
        if _is_number(other):
            return MulConstant(other)(self)
        return CMulTable()(self, other) if isinstance(other, Node) else NotImplemented

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Node:
        if _is_number(other):
            return MulConstant(1 / other)(self)
        return CDivTable()(self, other) if isinstance(other, Node) else NotImplemented


def _number(data: Table) -> str:
    return f"Node{data.get('forwardNodeId', '')}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _sizes(value: Any) -> str:
    """A value in a drawing: tensors by type and size, and whether they hold numbers that are none."""
    if isinstance(value, torch.Tensor):
        kind = types.typename(value)
        kind = "Tensor" if kind == types.getdefaulttensortype() else kind
        bad = ""
        if value.is_floating_point() and value.numel():
            bad = "NaN" if value.isnan().any() else "inf" if value.max().isinf() else ""
            bad = bad or ("-inf" if value.min().isinf() else "")
        return f"{kind}[{'x'.join(map(str, value.shape))}]{bad}"
    if isinstance(value, (list, tuple)):
        return f"{{{','.join(_sizes(v) for v in value)}}}"
    return "" if value is None else str(value)


# Calling modules


def node_of(callee: Any, arguments: tuple) -> Node | None:
    """What calling a module or criterion with nodes makes; ``None`` if it was called with something to compute.

    Raises:
        ArgumentError: there are nodes among the arguments, and something else.
    """
    nodes: Any = arguments
    if len(arguments) == 1 and isinstance(arguments[0], (list, tuple)):
        nodes = arguments[0]
        if not nodes:
            raise ArgumentError(
                f"{callee._typename} was called with an empty list; to begin a graph, leave the parentheses empty"
            )
    if nodes and not any(isinstance(node, (Node, Module)) for node in nodes):
        if len(nodes) == 1 and nodes[0] is None:
            need_nodes(nodes, "inputs")
        return None
    need_nodes(nodes, "inputs")
    made = Node(Table(module=ModuleFromCriterion(callee) if isinstance(callee, Criterion) else callee))
    for node in nodes:
        made.add(node, True)
    return made


def need_nodes(nodes: Any, what: str) -> None:
    """Check a list that should hold nodes only; ``what`` is its name in the error."""
    if not isinstance(nodes, (list, tuple)):
        raise ArgumentError(f"{what} should be a list of nodes, got {describe(nodes)}")
    for i, node in enumerate(nodes, 1):
        if isinstance(node, Node):
            continue
        if node is None:
            raise ArgumentError(f"{what}[{i}] is None (a typo, or a wrong index?)")
        if isinstance(node, Module):
            raise ArgumentError(
                f"{what}[{i}] is a module, {node._typename}, where a node is wanted: was a second pair of parentheses "
                "forgotten, which makes a node of a module?"
            )
        raise ArgumentError(f"{what}[{i}] should be a node, got {describe(node)}")


def nest(*nodes: Any) -> Node:
    """A node that gives the nested table of these nodes: ``nest([a, [b], c])`` gives ``[a, [b], c]``.

    Args:
        nodes: a node, which is returned itself, or a list of nodes and such lists; several arguments are such a list.
    """
    structure = nodes[0] if len(nodes) == 1 else nodes
    if isinstance(structure, Node):
        return structure
    if not isinstance(structure, (list, tuple)) or not structure:
        raise ArgumentError(f"nest takes a node, or a list of nodes that is not empty, got {describe(structure)}")
    inner = [nest(child) for child in structure]
    return JustTable()(inner) if len(inner) == 1 else Identity()(inner)


def annotateNodes(stackLevel: int = 1) -> None:
    """Name all nodes in the local variables of the calling function after these; a name that is there stays.

    Args:
        stackLevel: whose variables: 1 those of the caller, 2 those of its caller, and so on.
    """
    for name, value in sys._getframe(stackLevel).f_locals.items():
        if isinstance(value, Node) and not value._annotation("name"):
            value.annotate(name=name)


def _place() -> str:
    """Where in the user's program a node is being made, as Lua tells it."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        frame = frame.f_back
    return f"[{_short(frame.f_code.co_filename)}]:{frame.f_lineno}" if frame is not None else "[?]:-1"


@cache
def _short(path: str) -> str:
    """The name of a file, from the working directory where it lies in it, and not too long."""
    if os.path.isabs(path) and os.path.splitdrive(path)[0] == os.path.splitdrive(os.getcwd())[0]:
        here = os.path.relpath(path)
        path = path if here.startswith("..") else here
    return path if len(path) < _LONGEST else "..." + path[4 - _LONGEST :]
