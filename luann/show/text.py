"""The document of :func:`luann.show.describe` as text for people."""

from __future__ import annotations

from typing import Any

from .objects import TEXT, quoted

_MODELS = 4  # models told in full
_LINE = 110  # characters up to which a short list is told in one line


def render(document: dict[str, Any]) -> str:
    """The document of :func:`luann.show.describe` as text for people."""
    models, size = document["models"], document["bytes"]
    title = f"{document['file']}: " if document["file"] else ""
    of_size = "" if size is None else f", {_memory(size)}"
    if document["structure"]["kind"] == "model":
        blocks = [[f"{title}{models[0]['class']}{of_size}"]]
    else:
        numbers = {model["at"]: model["numbers"] for model in models}
        first, *rest = _node_lines(document["structure"], numbers)
        if "objects" in document:
            head = _count(document["objects"], "object")
            first = first.replace(_head(document["structure"], numbers), head, 1)
        found = f", {_count(len(models), 'model')} inside" if models else ""
        blocks = [[f"{title}{first}{of_size}{found}", *rest]]
    if document["damage"]:
        blocks[0].insert(0, f"damaged: {document['damage']['message']}")
        blocks[0].insert(1, "what stands before the damage:")
    for model in models[:_MODELS]:
        heading = [f"== {_abridged(model['at'])}"] if model["at"] else []
        blocks.append(heading + _model_lines(model))
    if len(models) > _MODELS:
        blocks.append([f"({_count(len(models) - _MODELS, 'more model')}; --json tells all of them)"])
    if document["unknown"]:
        classes = ", ".join(f"{name} ({count})" for name, count in document["unknown"].items())
        blocks.append([f"unknown classes: {classes}", "  luann keeps such an object as it is; it cannot compute"])
    return "\n\n".join("\n".join(block) for block in blocks)


# Structure


def _node_lines(node: dict[str, Any], models: dict[str, int]) -> list[str]:
    """A node's lines; ``models`` tells how many numbers the parameters of each hold."""
    head = _head(node, models)
    entries, omitted = node.get("entries", []), node.get("omitted", 0)
    if node["kind"] == "list" and entries and all("entries" not in entry["value"] for entry in entries):
        values = [_head(entry["value"], models) for entry in entries]
        line = f"{head}: {', '.join(values)}{', …' if omitted else ''}"
        if len(line) <= _LINE:
            return [line]
    lines = [head]
    for entry in entries:
        first, *rest = _node_lines(entry["value"], models)
        lines += [f"  {entry['key'].removeprefix('.')}: {first}", *(f"  {line}" for line in rest)]
    if omitted:
        lines.append(f"  … {omitted:,} more" if entries else "  …")
    return lines


def _head(node: dict[str, Any], models: dict[str, int]) -> str:
    """A node without its entries, in one line."""
    return _whole_head(node, models) + (" (incomplete)" if node.get("incomplete") else "")


def _whole_head(node: dict[str, Any], models: dict[str, int]) -> str:
    kind = node["kind"]
    if kind == "nil":
        return "nil"
    if kind in ("boolean", "number"):
        return str(node["value"]).lower()
    if kind == "string":
        return quoted(node["value"]) + (f" ({node['length']:,} characters)" if node["length"] > TEXT else "")
    if kind == "tensor":
        return f"{node['class']} {_size(node['size'])}"
    if kind == "storage":
        return f"{node['class']} of {node['length']:,}"
    if kind == "model":
        return f"{node['class']} (a model: {models[node['at']]:,} numbers in its parameters)"
    if kind == "reference":
        return f"the same as {_abridged(node['at']) or 'the whole'}"
    if kind == "object":
        return node["class"] + (" (unknown class)" if node["unknown"] else "")
    return f"{kind} of {node['length']:,}"


def _abridged(path: str) -> str:
    return path if len(path) <= 2 * TEXT else f"{path[:TEXT]} … {path[-TEXT:]}"


# Models


def _model_lines(model: dict[str, Any]) -> list[str]:
    layers = model["layers"]
    types = sorted({p["type"] for layer in layers for p in layer["parameters"]}) or [model["type"] or "not said"]
    mode = {True: "training", False: "evaluate", None: "not said"}[model["train"]]
    differ = "; some layers differ" if len({layer["train"] for layer in layers} - {None}) > 1 else ""
    memory = _memory(model["distinct_bytes"])
    if model["distinct_numbers"] != model["numbers"]:
        memory = f"{model['distinct_numbers']:,} distinct, {memory}"
    guessed = "; of unknown classes, weight and bias are counted" if any(layer["unknown"] for layer in layers) else ""
    return [
        *model["text"].split("\n"),
        "",
        *_layer_lines(layers, model["numbers"]),
        "",
        f"parameters: {model['numbers']:,} ({memory}){guessed}",
        f"type: {', '.join(types)}",
        f"mode: {mode}{differ}",
    ]


def _layer_lines(layers: list[dict[str, Any]], total: int) -> list[str]:
    rows = [("layer", "class", "parameters", "numbers")]
    for layer in layers:
        notes = [_parameter(parameter) for parameter in layer["parameters"]]
        if layer["same_as"] is not None:
            notes.append(f"the same module as {layer['same_as'] or 'the whole'}")
        mark = (" (unknown class)" if layer["unknown"] else "") + (" (incomplete)" if layer.get("incomplete") else "")
        numbers = f"{layer['numbers']:,}" if layer["numbers"] else ""
        rows.append((layer["path"] or ".", layer["class"] + mark, ", ".join(notes), numbers))
    rows.append(("total", "", "", f"{total:,}"))
    a, b, c, d = (max(map(len, column)) for column in zip(*rows))
    return [f"{row[0]:<{a}}  {row[1]:<{b}}  {row[2]:<{c}}  {row[3]:>{d}}".rstrip() for row in rows]


def _parameter(parameter: dict[str, Any]) -> str:
    shared = f" (shared with {parameter['shared_with']})" if parameter["shared_with"] else ""
    return f"{parameter['name']} {_size(parameter['size'])}{shared}"


# Words


def _size(size: list[int]) -> str:
    return "empty" if 0 in size else "x".join(map(str, size)) or "0-dimensional"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _memory(size: float) -> str:
    if size < 1024:
        return _count(int(size), "byte")
    unit = "KiB"
    for larger in ("MiB", "GiB"):
        if size >= 1024**2:
            size, unit = size / 1024, larger
    return f"{size / 1024:,.1f} {unit}"
