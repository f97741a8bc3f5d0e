"""Taking apart what is linked in circles and too deep for recursion, and putting it together again.

The nodes of a graph refer to each other through tables, in a chain as long as the graph is deep. ``copy`` and
``pickle`` follow such a chain by recursion and give up; so they get the graph as a flat list.
"""

from __future__ import annotations

from typing import Any

from ..table import Table
from .graph import Edge, Graph, Node

_PARTS = (Node, Edge, Graph)

Kinds = list[Any]  # for each container its class
Links = list[list[tuple[int, int]]]  # for each container the numbers of its keys and its values; leaves count downwards


def take_apart(root: dict) -> tuple[list, list, Kinds, Links]:
    """What is in a table, down to what is no list, table or part of a graph.

    Returns:
        The containers, ``root`` first; the leaves; and what :func:`put_together` needs to make others like them.
    """
    containers: list = [root]
    leaves: list = []
    numbers: dict[int, int] = {id(root): 0}
    kinds: Kinds = []
    links: Links = []

    def number(value: Any) -> int:
        found = numbers.get(id(value))
        if found is None:
            if isinstance(value, (list, Table, *_PARTS)):
                found = len(containers)
                containers.append(value)
            else:
                leaves.append(value)
                found = -len(leaves)
            numbers[id(value)] = found
        return found

    for container in containers:
        if isinstance(container, list):
            kinds.append(list)
            pairs = [(0, number(value)) for value in container]
        else:
            is_part = isinstance(container, _PARTS)
            kinds.append(type(container) if is_part else Table)
            fields = vars(container) if is_part else container
            pairs = [(number(key), number(value)) for key, value in fields.items()]
        links.append(pairs)
    return containers, leaves, kinds, links


def empty(kinds: Kinds) -> list:
    """New containers of these classes."""
    return [kind.__new__(kind) for kind in kinds]


def put_together(containers: list, leaves: list, links: Links) -> dict:
    """Fill the containers that :func:`empty` made; returns the first."""

    def value(number: int) -> Any:
        return containers[number] if number >= 0 else leaves[-number - 1]

    for container, pairs in zip(containers, links):
        if isinstance(container, list):
            container.extend(value(v) for _, v in pairs)
        else:
            fields = vars(container) if isinstance(container, _PARTS) else container
            for k, v in pairs:
                fields[value(k)] = value(v)
    return containers[0]
