"""The document of :func:`luann.check.describe` as text for people."""

from __future__ import annotations

from typing import Any

NO_OUTPUTS = "it holds no outputs: it was never run, or cleared with clearState()"


def render(document: dict[str, Any]) -> str:
    """The document of :func:`luann.check.describe` as text for people."""
    models = document["models"]
    title = f"{document['file']}: " if document["file"] else ""
    if not models:
        return f"{title}no model in this file"
    blocks = [[f"{title}{_summary(document)}" if len(models) > 1 else f"{title}{models[0]['class']}"]]
    for model in models:
        heading = [f"== {model['at']}: {model['class']}"] if model["at"] else []
        blocks.append(heading + _model_lines(model))
    return "\n\n".join("\n".join(block) for block in blocks)


def _summary(counts: dict[str, Any]) -> str:
    n = counts["agree"]
    told = [f"{n} {'layer agrees' if n == 1 else 'layers agree'}"]
    n = counts["differ"]
    told += [f"{n} {'DIFFERS' if n == 1 else 'DIFFER'}"] if n else []
    n = counts["unchecked"]
    told += [f"{n} not checked"] if n else []
    return ", ".join(told)


def _model_lines(model: dict[str, Any]) -> list[str]:
    layers = model["layers"]
    if model["note"] == NO_OUTPUTS:
        return [f"not checked: {NO_OUTPUTS}"]
    rows = [("layer", "class", "difference", "")]
    for layer in layers:
        difference = layer["difference"]
        number = "" if difference is None else "0" if difference == 0 else f"{float(difference):.1e}"
        rows.append((layer["path"] or ".", layer["class"], number, _result(layer)))
    a, b, c, _ = (max(map(len, column)) for column in zip(*rows))
    lines = [f"{row[0]:<{a}}  {row[1]:<{b}}  {row[2]:>{c}}  {row[3]}".rstrip() for row in rows]
    lines += ["", _summary(model)]
    return [*lines, model["note"]] if model["note"] else lines


def _result(layer: dict[str, Any]) -> str:
    reason = layer["reason"] or ""
    if layer["status"] == "unchecked":
        return f"not checked: {reason}"
    if layer["status"] == "agrees":
        return f"agrees ({reason})" if reason else "agrees"
    if layer["difference"] is not None and not reason:
        reason = f"may be {layer['tolerance']:.0e}" if layer["tolerance"] else "whole numbers must be equal"
    return f"DIFFERS ({reason})" if reason else "DIFFERS"
