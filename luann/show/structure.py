"""The structure of a file as nodes, cut off where it is deep or long."""

from __future__ import annotations

import math
from collections.abc import Set
from itertools import islice
from typing import Any

import torch

from ..t7 import Unknown
from ..types import Storage
from .objects import class_name, fields, holds, key_text, pairs, shortened

_DEPTH = 5  # levels of tables told
_ENTRIES = 50  # entries told of a table or an object
_LIST = 5  # entries told of a list of tables
_PLAIN = 10  # entries told of a list of plain values


class Structure:
    """Makes nodes; remembers what was met, to tell it once.

    Args:
        models: the models of the file and where they are.
        incomplete: ids of what damage cut short.
        objects: the list of the objects in a file, if there are several.
    """

    def __init__(
        self, models: list[tuple[str, Any]], incomplete: Set[int] = frozenset(), objects: list | None = None
    ) -> None:
        self.objects = objects
        self.models = {id(model): at for at, model in models}
        self.incomplete = incomplete
        self.met: dict[int, str] = {}

    def node(self, obj: Any, path: str = "", depth: int = 0) -> dict[str, Any]:
        """The node of an object at ``path``."""
        node = self._node(obj, path, depth)
        return {**node, "incomplete": True} if id(obj) in self.incomplete else node

    def _node(self, obj: Any, path: str, depth: int) -> dict[str, Any]:
        if obj is None:
            return {"kind": "nil"}
        if isinstance(obj, bool):
            return {"kind": "boolean", "value": obj}
        if isinstance(obj, (int, float)):
            return {"kind": "number", "value": obj if math.isfinite(obj) else str(obj)}
        if isinstance(obj, str):
            return {"kind": "string", "length": len(obj), "value": shortened(obj)}
        if isinstance(obj, bytes):
            return {"kind": "bytes", "length": len(obj)}

        first = self.models.get(id(obj)) or self.met.setdefault(id(obj), path)
        if first != path:
            return {"kind": "reference", "at": first}
        if id(obj) in self.models:
            return {"kind": "model", "class": class_name(obj), "at": path}
        if isinstance(obj, torch.Tensor):
            return {"kind": "tensor", "class": class_name(obj), "size": list(obj.shape)}
        if isinstance(obj, Storage):
            return {"kind": "storage", "class": class_name(obj), "length": len(obj)}
        if isinstance(obj, (list, tuple)):
            return {"kind": "list", **self.inside(obj, len(obj), path, depth)}
        if isinstance(obj, dict):
            return {"kind": "table", **self.inside(obj, len(obj), path, depth)}
        own = fields(obj) if holds(obj) else {}
        node = {"kind": "object", "class": class_name(obj), "unknown": isinstance(obj, Unknown)}
        return {**node, **self.inside(own, len(own), path, depth)}

    def inside(self, obj: Any, length: int, path: str, depth: int) -> dict[str, Any]:
        """How many entries there are, and the nodes of as many as are told."""
        if obj is self.objects:
            most = _ENTRIES
            depth -= 1
        elif depth >= _DEPTH:
            most = 0
        elif isinstance(obj, (list, tuple)):
            most = _LIST if any(map(holds, obj[:_PLAIN])) else _PLAIN
        else:
            most = _ENTRIES
        entries = []
        for key, value in islice(pairs(obj), most):
            name = key_text(key)
            at = f"{path}{name}" if path else name.removeprefix(".")
            entries.append({"key": name, "value": self.node(value, at, depth + 1)})
        return {"length": length, "entries": entries, "omitted": length - len(entries)}
