"""What a .t7 file holds, told for people (:func:`render`) and for programs (:func:`describe`).

:func:`describe` gives one document of plain dicts, lists, strings and numbers, which ``luann show --json`` prints:

``file``, ``bytes``
    the name that was given, and the size of the file.
``structure``
    the file's object as a node, cut off where it is deep or long. A node has a ``kind``, and by it:

    ============== ===================================================================================
    ``nil``
    ``boolean``    ``value``
    ``number``     ``value``; ``"nan"``, ``"inf"`` or ``"-inf"`` for what JSON cannot write
    ``string``     ``value``, shortened; ``length``, in characters
    ``tensor``     ``class``, ``size`` (a list)
    ``storage``    ``class``, ``length``
    ``list``       ``length``; ``entries``, each with ``key`` and ``value`` (a node); ``omitted``, how many
                   entries are not told
    ``table``      the same
    ``object``     the same, and ``class``; ``unknown``: whether luann lacks this class
    ``model``      ``class``, ``at``: it is told in ``models``
    ``reference``  ``at``: the same table, object or tensor stands there as well
    ============== ===================================================================================

``models``
    the outermost modules of the file, each once:

    ``at``
        where it is, as ``key[1].key``, lists counted from 1; ``""`` if the file is the model.
    ``class``, ``type``, ``train``
        of the model itself; ``null`` where a module of an unknown class does not say.
    ``text``
        the model as Torch7 prints it.
    ``layers``
        all modules, a container before its children: ``path`` (``"1.3"``: third child of the first; ``""`` for
        the model itself), ``class``, ``unknown``, ``train``, ``same_as`` (the path where the same object came before:
        its children are not told again; else ``null``), ``parameters`` and ``numbers`` (how many numbers these hold). Each
        parameter has ``name``, ``type``, ``size``, ``numbers`` and ``shared_with`` (``path.name`` of one met before over
        the same memory, else ``null``). A parameter is told with the innermost module that lists it.
    ``numbers``, ``distinct_numbers``, ``distinct_bytes``
        how many numbers all parameters hold; the same with shared memory counted once; and that memory in bytes.

``unknown``
    classes of the file that luann lacks, and how many objects are of each.

Positions in lists and layers count from 1, as Torch7's do.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import torch

from . import nn
from .t7 import Function, Unknown
from .types import Storage, typename

_DEPTH = 5  # levels of tables told
_ENTRIES = 50  # entries told of a table or an object
_LIST = 5  # entries told of a list of tables; of a list of plain values, _PLAIN
_PLAIN = 10
_TEXT = 60  # characters told of a string
_MODELS = 4  # models that render() tells in full


def describe(root: Any, file: str = "", size: int | None = None) -> dict[str, Any]:
    """The document about an object that was loaded from a file; see the top of this module.

    Args:
        root: what :func:`luann.load` gave.
        file: its name, for the document only.
        size: its size in bytes, likewise.
    """
    models = {id(obj): (at, obj) for at, obj in _walk(root, lambda obj: not _is_model(obj)) if _is_model(obj)}
    unknown = Counter(_class(obj) for _, obj in _walk(root, lambda obj: True) if isinstance(obj, Unknown))
    return {
        "file": _readable(file),
        "bytes": size,
        "structure": _Structure({key: at for key, (at, _) in models.items()}).node(root),
        "models": [_model(at, obj) for at, obj in models.values()],
        "unknown": dict(sorted(unknown.items())),
    }


# Objects, whatever their class


def _fields(obj: Any) -> dict[Any, Any]:
    if isinstance(obj, Function):
        return {"upvalues": obj.upvalues} if obj.upvalues else {}
    return obj.fields if isinstance(obj, Unknown) else vars(obj)


def _class(obj: Any) -> str:
    if isinstance(obj, Function):
        return "function"
    return _readable(obj.typename if isinstance(obj, Unknown) else typename(obj) or type(obj).__name__)


def _is_model(obj: Any) -> bool:
    """Whether obj is a module; one of an unknown class shows it by the fields that every Torch7 module has."""
    if not isinstance(obj, Unknown):
        return isinstance(obj, nn.Module)
    fields = obj.fields
    is_criterion = isinstance(fields.get("output"), (int, float))
    return not is_criterion and any(name in fields for name in ("modules", "gradInput", "weight"))


def _entries(obj: Any) -> list[tuple[str, Any]]:
    """What a list, table or object holds, each with its key as it is written in a path."""
    if isinstance(obj, (list, tuple)):
        return [(f"[{i}]", value) for i, value in enumerate(obj, 1)]
    entries = obj if isinstance(obj, dict) else _fields(obj)
    return [(_key(key), value) for key, value in entries.items()]


def _key(key: Any) -> str:
    if isinstance(key, str):
        text = _shortened(key)
        return f".{text}" if key.isidentifier() else f"[{_quoted(text)}]"
    if isinstance(key, bool) or key is None:
        return f"[{str(key).lower()}]"
    return f"[{key}]" if isinstance(key, (int, float)) else f"[{_class(key)}]"


def _at(path: str, key: str) -> str:
    return f"{path}{key}" if path else key.removeprefix(".")


def _holds(obj: Any) -> bool:
    """Whether there is something inside: a list, a table, or an object with fields."""
    if isinstance(obj, (list, tuple, dict, Unknown, Function)):
        return True
    return not isinstance(obj, (torch.Tensor, Storage)) and hasattr(obj, "__dict__")


def _walk(root: Any, enter: Callable[[Any], bool]) -> Iterator[tuple[str, Any]]:
    """Every list, table and object from root on, once, with its path; those that ``enter`` refuses are not entered.

    Without recursion, since tables may be thousands deep.
    """
    seen = set()
    stack = [("", root)]
    while stack:
        path, obj = stack.pop()
        if id(obj) in seen or not _holds(obj):
            continue
        seen.add(id(obj))
        yield path, obj
        if enter(obj):
            below = [(_at(path, key), value) for key, value in _entries(obj) if _holds(value)]
            if isinstance(obj, dict):
                below += [(_at(path, _key(key)), key) for key in obj if _holds(key)]
            stack += reversed(below)


def _readable(text: str) -> str:
    """Text with the bytes that are no UTF-8, which loading keeps as lone surrogates, written as ``\\xff``."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _shortened(text: str) -> str:
    text = _readable(text)
    return text if len(text) <= _TEXT else text[:_TEXT] + "…"


def _quoted(text: str) -> str:
    """In quotes, line breaks and the like escaped; backslashes stay as they are, for _readable() makes some."""
    return "'" + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text) + "'"


# Structure


class _Structure:
    """Makes nodes; remembers what was met, to tell it once.

    Args:
        models: where each model is, by the id of the object.
    """

    def __init__(self, models: dict[int, str]) -> None:
        self.met = models
        self.models = set(models)

    def node(self, obj: Any, path: str = "", depth: int = 0) -> dict[str, Any]:
        if obj is None:
            return {"kind": "nil"}
        if isinstance(obj, bool):
            return {"kind": "boolean", "value": obj}
        if isinstance(obj, (int, float)):
            return {"kind": "number", "value": obj if math.isfinite(obj) else str(obj)}
        if isinstance(obj, str):
            return {"kind": "string", "length": len(obj), "value": _shortened(obj)}
        if id(obj) in self.models and self.met[id(obj)] == path:
            return {"kind": "model", "class": _class(obj), "at": path}
        if id(obj) in self.met:
            return {"kind": "reference", "at": self.met[id(obj)]}
        self.met[id(obj)] = path
        if isinstance(obj, torch.Tensor):
            return {"kind": "tensor", "class": _class(obj), "size": list(obj.shape)}
        if isinstance(obj, Storage):
            return {"kind": "storage", "class": _class(obj), "length": len(obj)}
        if isinstance(obj, (list, tuple)):
            return {"kind": "list", **self.inside(obj, path, depth)}
        if isinstance(obj, dict):
            return {"kind": "table", **self.inside(obj, path, depth)}
        return {
            "kind": "object",
            "class": _class(obj),
            "unknown": isinstance(obj, Unknown),
            **self.inside(obj, path, depth),
        }

    def inside(self, obj: Any, path: str, depth: int) -> dict[str, Any]:
        entries = _entries(obj) if _holds(obj) else []
        if not isinstance(obj, (list, tuple)):
            most = _ENTRIES
        else:
            most = _LIST if any(map(_holds, obj[:_PLAIN])) else _PLAIN
        told = entries[:most] if depth < _DEPTH else []
        nodes = [{"key": key, "value": self.node(value, _at(path, key), depth + 1)} for key, value in told]
        return {"length": len(entries), "entries": nodes, "omitted": len(entries) - len(told)}


# Models


def _model(at: str, model: Any) -> dict[str, Any]:
    layers, parameters = _Layers().of(model)
    distinct = _covered(parameters)
    return {
        "at": at,
        "class": _class(model),
        "type": _said(model, "_type", str),
        "train": _said(model, "train", bool),
        "text": _readable(str(model)),
        "layers": layers,
        "numbers": sum(layer["numbers"] for layer in layers),
        "distinct_numbers": sum(size // itemsize for itemsize, size in distinct),
        "distinct_bytes": sum(size for _, size in distinct),
    }


def _said(module: Any, name: str, kind: type) -> Any:
    value = module.fields.get(name) if isinstance(module, Unknown) else getattr(module, name, None)
    return value if isinstance(value, kind) else None


def _children(module: Any) -> list[tuple[str, Any]]:
    """The modules right below, with their place: those in ``modules``, or else those in any field of an unknown one."""
    modules = _fields(module).get("modules")
    if isinstance(modules, (list, tuple)):
        return [(str(i), child) for i, child in enumerate(modules, 1) if _is_model(child)]
    if isinstance(module, Unknown):
        return [(key.removeprefix("."), child) for key, child in _entries(module) if _is_model(child)]
    return []


class _Layers:
    """Tells the modules of one model; remembers what was met."""

    def __init__(self) -> None:
        self.layers: list[dict[str, Any]] = []
        self.parameters: list[torch.Tensor] = []
        self.paths: dict[int, str] = {}
        self.places: dict[Any, str] = {}
        self.lists: dict[int, tuple[list[torch.Tensor], bool]] = {}

    def of(self, model: Any) -> tuple[list[dict[str, Any]], list[torch.Tensor]]:
        """All modules as the document tells them, and all parameters."""
        self.tell(model, "", {id(t) for t in self.listed(model)[0]})
        return self.layers, self.parameters

    def listed(self, module: Any) -> tuple[list[torch.Tensor], bool]:
        """What ``parameters()`` lists, and whether the module and all below it are of known classes.

        Where one is not, nobody knows what it would list: weight and bias are taken, as most classes do.
        """
        if id(module) in self.lists:
            return self.lists[id(module)]
        self.lists[id(module)] = [], True  # for a module inside itself
        below = [self.listed(child) for _, child in _children(module)]
        known = not isinstance(module, Unknown) and all(known for _, known in below)
        if known:
            tensors = module.parameters()[0] or []
        else:
            tensors = [t for t in map(_fields(module).get, ("weight", "bias")) if isinstance(t, torch.Tensor)]
            tensors += [t for inner, _ in below for t in inner]
        self.lists[id(module)] = tensors, known
        return tensors, known

    def tell(self, module: Any, path: str, wanted: set[int]) -> None:
        """Append the layers from ``module`` on. ``wanted`` are the parameters that all containers above it list."""
        same_as = self.paths.setdefault(id(module), path)
        is_new = same_as == path
        children = _children(module)
        listed = [t for t in self.listed(module)[0] if id(t) in wanted]
        inner = {id(t) for _, child in children for t in self.listed(child)[0]}
        own = [t for t in listed if id(t) not in inner] if is_new else []
        self.parameters += own
        self.layers.append(
            {
                "path": path,
                "class": _class(module),
                "unknown": isinstance(module, Unknown),
                "train": _said(module, "train", bool),
                "same_as": None if is_new else same_as,
                "parameters": [self.parameter(module, path, tensor) for tensor in own],
                "numbers": sum(t.numel() for t in (own if is_new else listed)),
            }
        )
        if is_new:
            wanted = {id(t) for t in listed}
            for place, child in children:
                self.tell(child, f"{path}.{place}".lstrip("."), wanted)

    def parameter(self, module: Any, path: str, tensor: torch.Tensor) -> dict[str, Any]:
        name = next((n for n, value in _fields(module).items() if value is tensor), "parameter")
        label = f"{path}.{name}".lstrip(".")
        place = (tensor.data_ptr(), tensor.shape, tensor.stride())
        first = self.places.setdefault(place, label) if tensor.numel() else label
        return {
            "name": name,
            "type": _class(tensor),
            "size": list(tensor.shape),
            "numbers": tensor.numel(),
            "shared_with": None if first == label else first,
        }


def _covered(tensors: list[torch.Tensor]) -> list[tuple[int, int]]:
    """How much memory tensors cover together: (bytes of an element, bytes in all), by type and device."""
    spans: dict[Any, list[tuple[int, int]]] = {}
    for tensor in tensors:
        if tensor.numel():
            spans.setdefault((tensor.dtype, tensor.device), []).extend(_spans(tensor))
    covered = []
    for (dtype, _), runs in spans.items():
        size, reached = 0, 0
        for first, end in sorted(runs):
            size += max(0, end - max(first, reached))
            reached = max(reached, end)
        covered.append((dtype.itemsize, size))
    return covered


def _spans(tensor: torch.Tensor) -> Iterator[tuple[int, int]]:
    """The unbroken runs of memory that a tensor covers, as addresses of the first byte and of the end."""
    dims = sorted((stride, size) for stride, size in zip(tensor.stride(), tensor.shape) if stride and size > 1)
    run = 1
    while dims and dims[0][0] == run:
        run *= dims.pop(0)[1]
    itemsize = tensor.element_size()
    for steps in product(*(range(0, stride * size, stride) for stride, size in dims)):
        first = tensor.data_ptr() + sum(steps) * itemsize
        yield first, first + run * itemsize


# Text


def render(document: dict[str, Any]) -> str:
    """The document of :func:`describe` as text for people."""
    models = document["models"]
    size = "" if document["bytes"] is None else f", {_memory(document['bytes'])}"
    blocks = []
    if document["structure"]["kind"] == "model":
        blocks.append([f"{document['file']}: {models[0]['class']}{size}"])
    else:
        found = f", {_count(len(models), 'model')} inside" if models else ""
        numbers = {model["at"]: model["numbers"] for model in models}
        lines = _structure_lines(document["structure"], "", numbers)
        blocks.append([f"{document['file']}: {lines[0]}{size}{found}", *lines[1:]])
    for model in models[:_MODELS]:
        blocks.append(([f"== {model['at']}"] if model["at"] else []) + _model_lines(model))
    if len(models) > _MODELS:
        blocks.append([f"({_count(len(models) - _MODELS, 'more model')}; --json tells all of them)"])
    if document["unknown"]:
        classes = ", ".join(f"{name} ({count})" for name, count in document["unknown"].items())
        blocks.append([f"unknown classes: {classes}", "  luann keeps their objects as luann.t7.Unknown; they cannot compute"])
    return "\n\n".join("\n".join(block) for block in blocks)


def _structure_lines(node: dict[str, Any], key: str, models: dict[str, int], indent: str = "") -> list[str]:
    """A node's lines; ``models`` tells how many numbers the parameters of each hold."""
    label = f"{indent}{key.removeprefix('.')}: " if key else indent
    entries = node.get("entries", [])
    texts = [_one_line(entry["value"], models) for entry in entries]
    first = label + _one_line(node, models)
    if node["kind"] == "list" and entries and not any(e["value"].get("length") for e in entries if "entries" in e["value"]):
        more = ", …" if node["omitted"] else ""
        inline = f"{first}: {', '.join(texts)}{more}"
        if len(inline) <= 110:
            return [inline]
    below = indent + "  " if key else indent + "  "
    lines = [first]
    for entry in entries:
        lines += _structure_lines(entry["value"], entry["key"], models, below)
    if node.get("omitted"):
        lines.append(f"{below}… {node['omitted']:,} more" if entries else f"{below}…")
    return lines


def _one_line(node: dict[str, Any], models: dict[str, int]) -> str:
    kind = node["kind"]
    if kind == "nil":
        return "nil"
    if kind in ("boolean", "number"):
        return str(node["value"]).lower()
    if kind == "string":
        cut = f" ({node['length']:,} characters)" if node["length"] > _TEXT else ""
        return _quoted(node["value"]) + cut
    if kind == "tensor":
        return f"{node['class']} {_size(node['size'])}"
    if kind == "storage":
        return f"{node['class']} of {node['length']:,}"
    if kind == "model":
        return f"{node['class']} (a model: {models[node['at']]:,} numbers in its parameters)"
    if kind == "reference":
        return f"the same as {node['at'] or 'the whole'}"
    if kind == "object":
        return node["class"] + (" (unknown class)" if node["unknown"] else "")
    return f"{kind} of {node['length']:,}"


def _model_lines(model: dict[str, Any]) -> list[str]:
    layers = model["layers"]
    rows = [("layer", "class", "parameters", "numbers")]
    for layer in layers:
        notes = [_parameter_text(p) for p in layer["parameters"]]
        if layer["same_as"] is not None:
            notes.append(f"the same module as {layer['same_as'] or 'the whole'}")
        numbers = f"{layer['numbers']:,}" if layer["numbers"] else ""
        mark = " (unknown class)" if layer["unknown"] else ""
        rows.append((layer["path"] or ".", layer["class"] + mark, ", ".join(notes), numbers))
    rows.append(("total", "", "", f"{model['numbers']:,}"))
    widths = [max(map(len, column)) for column in zip(*rows)]
    table = [
        f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:<{widths[2]}}  {d:>{widths[3]}}".rstrip() for a, b, c, d in rows
    ]
    types = sorted({p["type"] for layer in layers for p in layer["parameters"]}) or [model["type"] or "not said"]
    modes = {layer["train"] for layer in layers} - {None}
    mode = {True: "training", False: "evaluate", None: "not said"}[model["train"]]
    distinct = f"{model['distinct_numbers']:,} distinct, " if model["distinct_numbers"] != model["numbers"] else ""
    return [
        *model["text"].split("\n"),
        "",
        *table,
        "",
        f"parameters: {model['numbers']:,} ({distinct}{_memory(model['distinct_bytes'])})",
        f"type: {', '.join(types)}",
        f"mode: {mode}{'; some layers differ' if len(modes) > 1 else ''}",
    ]


def _parameter_text(parameter: dict[str, Any]) -> str:
    shared = f" (shared with {parameter['shared_with']})" if parameter["shared_with"] else ""
    return f"{parameter['name']} {_size(parameter['size'])}{shared}"


def _size(size: list[int]) -> str:
    return "x".join(map(str, size)) or "()"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _memory(size: float) -> str:
    if size < 1024:
        return _count(int(size), "byte")
    for unit in ("KiB", "MiB", "GiB"):
        size /= 1024
        if size < 1024 or unit == "GiB":
            break
    return f"{size:,.1f} {unit}"
