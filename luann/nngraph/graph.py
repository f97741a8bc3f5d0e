"""Torch7's ``graph``: nodes, edges, and graphs of them.

A list that is also looked up by its entries (``children``, ``nodes``, ``edges``) is a :class:`~luann.Table`, as files
have it: the keys 1 to n give the entries, and each entry as a key gives its place. :func:`entries` lists it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .. import types
from ..errors import ArgumentError
from ..table import Table
from .graphviz import dot

__all__ = ["Edge", "Graph", "Node", "dot", "entries"]

BREAK = "\\n"  # a new line in DOT


def entries(table: Any) -> list:
    """What a table holds under the keys 1 to n, in this order."""
    if isinstance(table, list):
        return table
    found: list = []
    while (value := table.get(len(found) + 1)) is not None:
        found.append(value)
    return found


def append(table: Table, entry: Any) -> bool:
    """Put an entry at the end of a table, and its place under the entry itself; false if it is there already."""
    try:
        if entry in table:
            return False
    except TypeError:  # a table as the entry, and no such key yet
        pass
    # half of the keys are places, unless a file held it otherwise
    place = len(table) // 2 + 1 if len(table) % 2 == 0 else len(entries(table)) + 1
    table[place] = entry
    table[entry] = place
    return True


@types.register("graph.Node")
class Node:
    """A node of a graph.

    Args:
        data: what the node stands for; shared with the nodes that take its place in other graphs.

    Attributes:
        children: the nodes to which edges lead from here, in order.
        id: the node's number in its graph.
    """

    _typename = "graph.Node"
    id = 0

    def __init__(self, data: Any = None) -> None:
        self.data = data
        self.id = 0
        self.children = Table()
        self.visited = False  # this and the next are fields in files, and not used
        self.marked = False

    def add(self, child: Any) -> None:
        """Add a child, or a list of children; one that is there already is passed over."""
        for node in child if isinstance(child, (list, tuple)) else [child]:
            append(self.children, node)

    def label(self) -> str:
        """What a drawing says of the node, below its name."""
        return str(self.data)

    def graphNodeName(self) -> str:
        """The node's name in a drawing."""
        return f"Node{self.id}"

    def graphNodeAttributes(self) -> dict:
        """Attributes of graphviz's for the node, such as ``color``."""
        return {}

    def graph(self) -> Graph:
        """The graph of all nodes that can be reached from here."""
        graph = Graph()

        def add_edges(node: Node) -> None:
            for child in entries(node.children):
                graph.add(Edge(node, child))

        self.bfs(add_edges)
        return graph

    def dfs(self, func: Callable[[Node], Any]) -> None:
        """Call ``func`` on all nodes that can be reached, a node after its children."""
        for node in _after_children([self], lambda node: entries(node.children)):
            func(node)

    def bfs(self, func: Callable[[Node], Any]) -> None:
        """Call ``func`` on all nodes that can be reached, the nearer ones first."""
        queue, seen = [self], {id(self)}
        for node in queue:
            func(node)
            for child in entries(node.children):
                if id(child) not in seen:
                    seen.add(id(child))
                    queue.append(child)

    def hasCycle(self) -> bool:
        """Whether a way along the edges leads from here to a node that it has passed already."""
        try:
            _after_children([self], lambda node: entries(node.children))
        except ArgumentError:
            return True
        return False

    def __repr__(self) -> str:
        return self._typename


@types.register("graph.Edge")
class Edge:
    """An edge between two nodes: the fields ``from`` and ``to``."""

    _typename = "graph.Edge"

    def __init__(self, source: Node, target: Node) -> None:
        setattr(self, "from", source)
        self.to = target

    def __repr__(self) -> str:
        return f"{self._typename} {getattr(self, 'from')} -> {self.to}"


@types.register("graph.Graph")
class Graph:
    """A graph: :attr:`nodes` and :attr:`edges`, each in the order in which they were added."""

    _typename = "graph.Graph"

    def __init__(self) -> None:
        self.nodes = Table()
        self.edges = Table()

    def add(self, edge: Edge | Iterable[Edge]) -> None:
        """Add an edge with its nodes, or several."""
        for e in [edge] if isinstance(edge, Edge) else edge:
            append(self.edges, e)
            source, target = _ends(e)
            append(self.nodes, source)
            append(self.nodes, target)
            source.add(target)
            source.id, target.id = self.nodes[source], self.nodes[target]

    def clone(self) -> Graph:
        """A graph of new nodes with the same data."""
        return self._rebuilt(turned=False)[0]

    def reverse(self) -> tuple[Graph, dict[Node, Node]]:
        """A graph of new nodes with the same data, every edge turned round; and the new node for each old one."""
        return self._rebuilt(turned=True)

    def _rebuilt(self, turned: bool) -> tuple[Graph, dict[Node, Node]]:
        graph, new = Graph(), {}
        for edge in entries(self.edges):
            source, target = _ends(edge)
            for node in (source, target):
                if node not in new:
                    new[node] = type(node)(node.data)
            ends = (new[target], new[source]) if turned else (new[source], new[target])
            graph.add(type(edge)(*ends))
        return graph, new

    def hasCycle(self) -> bool:
        """Whether a way along the edges comes back to where it was."""
        roots = self.roots()
        return not roots or any(root.hasCycle() for root in roots)

    def topsort(self) -> list[Node]:
        """All nodes, each behind those from which edges lead to it.

        Raises:
            ArgumentError: there is no such order, for the graph has cycles.
        """
        before: dict[Node, list[Node]] = {node: [] for node in entries(self.nodes)}
        for edge in entries(self.edges):
            source, target = _ends(edge)
            before[target].append(source)
        # the order of Torch7, which goes through the reversed graph: its roots in the order in which it meets them
        leaves = {_ends(edge)[1] for edge in entries(self.edges)} - {_ends(edge)[0] for edge in entries(self.edges)}
        met = dict.fromkeys(node for edge in entries(self.edges) for node in reversed(_ends(edge)))
        order = _after_children([node for node in met if node in leaves], before.__getitem__)
        if len(order) != len(before):
            raise ArgumentError("the graph has cycles: a node's output leads back to its own input")
        return order

    def roots(self) -> list[Node]:
        """The nodes to which no edge leads."""
        return self._ends_only(0)

    def leaves(self) -> list[Node]:
        """The nodes from which no edge leads."""
        return self._ends_only(1)

    def _ends_only(self, end: int) -> list[Node]:
        """The nodes that are only this end of edges, in the order of :attr:`nodes`."""
        ends = [_ends(edge) for edge in entries(self.edges)]
        found = {pair[end] for pair in ends} - {pair[1 - end] for pair in ends}
        return [node for node in entries(self.nodes) if node in found]

    def todot(self, title: str | None = None, marked: Any = None) -> str:
        """The graph in graphviz's DOT language.

        Args:
            title: stands above it.
            marked: the data of a node that is to be red.
        """
        lines = ["digraph G {"]
        if title is not None:
            lines += ['labelloc="t";', f"label={quoted(title, BREAK)};"]
        lines.append("node [shape = oval];")
        for node in entries(self.nodes):
            label = quoted(f"{node.graphNodeName()}\n{node.label()}\n", "\\l")
            attributes = {"label": label}
            for name, value in sorted(node.graphNodeAttributes().items()):
                attributes[name] = quoted(str(value), BREAK)
            if marked is not None and node.data is marked:
                attributes |= {"style": "filled", "fillcolor": "red"}
            lines.append(f"n{node.id}[{' '.join(f'{name}={value}' for name, value in attributes.items())}];")
        lines += [f"n{source.id} -> n{target.id};" for source, target in map(_ends, entries(self.edges))]
        return "\n".join([*lines, "}", ""])

    def __repr__(self) -> str:
        return f"{self._typename} of {len(entries(self.nodes))} nodes"


def _ends(edge: Edge) -> tuple[Node, Node]:
    fields = vars(edge)
    return fields["from"], fields["to"]


def _after_children(roots: list[Node], children: Callable[[Node], list[Node]]) -> list[Node]:
    """All nodes from ``roots`` on, each behind its children. Without recursion: graphs can be deep."""
    order: list[Node] = []
    done: dict[int, bool] = {}  # false as long as the node is on the way down
    for root in roots:
        if id(root) in done:
            continue
        done[id(root)] = False
        stack = [(root, iter(children(root)))]
        while stack:
            node, rest = stack[-1]
            for child in rest:
                state = done.get(id(child))
                if state is None:
                    done[id(child)] = False
                    stack.append((child, iter(children(child))))
                    break
                if not state:
                    raise ArgumentError("the graph has cycles: a node's output leads back to its own input")
            else:
                done[id(node)] = True
                order.append(node)
                stack.pop()
    return order


def quoted(text: str, newline: str) -> str:
    """A string of the DOT language; ``newline`` ends its lines."""
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text.replace(chr(10), newline)}"'
