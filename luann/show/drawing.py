"""A model as a drawing: which layer gives its output to which."""

from __future__ import annotations

from typing import Any

import torch

from .. import nn, nngraph
from ..errors import ArgumentError
from ..nngraph.graph import BREAK, quoted
from .layers import children
from .objects import class_name, is_model, path_text, walk

_BRANCHES = (nn.ConcatTable, nn.Concat, nn.DepthConcat)  # each child gets the input
_PARALLEL = (nn.ParallelTable, nn.Parallel)  # each its own part of it
_JOINING = (nn.Concat, nn.DepthConcat, nn.Parallel)  # and make one output of all


def draw(root: Any, at: str | None = None) -> str:
    """A model in graphviz's DOT language: that of a graph as :func:`luann.nngraph.dot` gives it, of others the
    layers, with the sizes of the last outputs where they are there.

    Args:
        root: what :func:`luann.load` gave.
        at: which model in it, as ``luann show`` names it, or one within that; by default the first.

    Raises:
        ArgumentError: there is no model, or none there.
    """
    for way, obj in walk(root):
        if is_model(obj) and at in (None, path_text(way)):
            return nngraph.dot(obj) if isinstance(obj, nngraph.gModule) else _Drawing(obj).text()
    raise ArgumentError("there is no model in it" if at is None else f"there is no model at {at!r} in it")


class _Drawing:
    """Collects the lines of a drawing: nodes, and the edges between them."""

    def __init__(self, model: Any) -> None:
        self.lines = ["digraph G {", "node [shape = box];"]
        self._nodes = 0
        self._flow(model, [self._node("input", [])])

    def text(self) -> str:
        return "\n".join([*self.lines, "}", ""])

    def _node(self, label: str, sources: list[str]) -> str:
        self._nodes += 1
        name = f"n{self._nodes}"
        self.lines.append(f"{name}[label={quoted(label, BREAK)}];")
        self.lines += [f"{source} -> {name};" for source in sources]
        return name

    def _flow(self, module: Any, sources: list[str]) -> list[str]:
        """Draw a module behind the nodes whose outputs it gets; returns the nodes that give its output."""
        below = [child for _, child in children(module)]
        if not below or not isinstance(module, (nn.Sequential, *_BRANCHES, *_PARALLEL)):
            return [self._node(_label(module), sources)]
        if isinstance(module, nn.Sequential) and not isinstance(module, _BRANCHES):
            for child in below:
                sources = self._flow(child, sources)
            return sources
        apart = isinstance(module, nn.ParallelTable) and len(sources) == len(below)
        ends = [self._flow(child, [sources[i]] if apart else sources) for i, child in enumerate(below)]
        outputs = [node for end in ends for node in end]
        return [self._node(_label(module), outputs)] if isinstance(module, _JOINING) else outputs


def _label(module: Any) -> str:
    lines = [class_name(module) if getattr(module, "modules", None) else str(module).partition("\n")[0]]
    output = getattr(module, "output", None)
    if isinstance(output, torch.Tensor) and output.numel():
        lines.append("x".join(map(str, output.shape)))
    return "\n".join(lines)
