"""nngraph: networks as graphs.

A module called with nodes makes a node; :class:`gModule`, also ``nn.gModule``, makes a module of a graph::

    x = nn.Linear(20, 10)()
    y = nn.Linear(10, 1)(nn.Tanh()(nn.Linear(10, 10)(nn.Tanh()(x))))
    net = nn.gModule([x], [y])
"""

from __future__ import annotations

from .. import nn
from ..nn import ModuleFromCriterion
from ..nn._object import Object
from . import graph
from .gmodule import gModule, setDebug
from .graphviz import dot, write
from .layers import IdentityTable, JustElement, JustTable, Parameters
from .node import Node, annotateNodes, nest, node_of

Object._node_of = staticmethod(node_of)
# its name in Torch7
nn.gModule = gModule  # type: ignore[attr-defined]

__all__ = [
    "IdentityTable",
    "JustElement",
    "JustTable",
    "ModuleFromCriterion",
    "Node",
    "Parameters",
    "annotateNodes",
    "dot",
    "gModule",
    "graph",
    "nest",
    "setDebug",
    "write",
]
