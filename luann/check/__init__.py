"""Whether luann computes what Torch7 computed, told from a saved net alone.

A net that was saved without ``clearState()`` still holds the last output of every layer. :func:`check_model` runs a
copy of the net in which each layer gets what the layer before it *saved*, and compares what it computes with what it
saved itself: a difference belongs to the layer that shows it, and does not spread. :func:`describe` does that for all
models in a file and gives one document of plain dicts, lists, strings and numbers, which ``luann check --json`` prints:

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
        what seems to be behind the differences, that the mode was switched after the last run, or that there are no
        outputs at all; else ``null``.
    ``layers``
        all modules but the containers that only hand on what their modules computed, a container before its children:

        ``path``, ``class``
            ``"1.3"``: third child of the first; ``""`` for the model itself.
        ``status``
            ``"agrees"``, ``"differs"`` or ``"unchecked"``.
        ``difference``, ``tolerance``
            the largest difference of a computed number from the saved one, divided by the largest saved number of
            that tensor, and what it may be; ``null`` where no numbers were compared, ``"inf"`` where only one was
            finite.
        ``with``
            the path of the layer that wrote its output over this one's, in place: these two are checked together, and
            the numbers are told with that one.
        ``reason``
            why it was not checked, or what else there is to say; else ``null``.

Random layers are computed with the noise that they saved. Where that is missing, as where an input is not in the file
or an output was not saved, a layer is ``unchecked`` and says why.

What takes a sequence step by step, such as rnn's ``Sequencer``, is compared as a whole; the layers in it, which saved
what they gave in one of the steps, are ``unchecked``. So is what depends on earlier runs that the file does not tell
of, such as a recurrent module after several steps of evaluation, all of which use the same memory.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch

from .. import nn, random
from ..errors import ArgumentError, Error
from ..show.layers import children
from ..show.objects import class_name, find, is_model, pairs, path_text, readable, walk
from .compare import TOLERANCES
from .run import Layer, Run, modules_of
from .text import NO_OUTPUTS, render

__all__ = ["TOLERANCES", "Layer", "check_model", "describe", "render"]


def describe(
    root: Any,
    file: str = "",
    size: int | None = None,
    tolerance: float | None = None,
    at: str | None = None,
    input: str | None = None,
) -> dict[str, Any]:
    """The document about an object that was loaded from a file; see the top of this module.

    Args:
        root: what :func:`luann.load` gave.
        file: its name, for the document only.
        size: its size in bytes, likewise.
        tolerance: as for :func:`check_model`.
        at: the place of the only model to be checked, as ``luann show`` names it, such as ``[1].net``.
        input: the place of what the models beside it, or the only model, were run with.

    Raises:
        ArgumentError: nothing is at one of these places, or it is not clear of which model that is the input.
    """
    chosen = _chosen(root, at)
    inputs = {} if input is None else _inputs(root, chosen, input)
    models = []
    totals: Counter[str] = Counter()
    for place, model in chosen:
        layers, note = check_model(model, inputs.get(place), tolerance)
        counts = Counter(_STATUS[layer.status] for layer in layers)
        totals += counts
        models.append(
            {
                "at": place,
                "class": class_name(model),
                **{name: counts[name] for name in _STATUS.values()},
                "note": note,
                "layers": [_told(layer) for layer in layers],
            }
        )
    return {
        "file": readable(file),
        "bytes": size,
        **{name: totals[name] for name in _STATUS.values()},
        "models": models,
    }


def _chosen(root: Any, at: str | None) -> list[tuple[str, Any]]:
    """The models to be checked, with their places."""
    found = walk(root, lambda obj: at is not None or not is_model(obj))
    models = [(path_text(way), obj) for way, obj in found if is_model(obj)]
    chosen = [(place, model) for place, model in models if at in (None, place)]
    if at is not None and not chosen:
        raise ArgumentError(f"there is no model at {at!r} in it")
    return chosen


def _inputs(root: Any, models: list[tuple[str, Any]], place: str) -> dict[str, Any]:
    """The input of those models, by their places, that lie beside it; or of the only one."""
    holder, value = find(root, place)
    if not isinstance(value, (torch.Tensor, list, tuple, dict)):
        raise ArgumentError(f"an input is a tensor or a table of them, at {place!r} is {class_name(value)}")
    beside = {id(model) for _, model in pairs(holder)}
    takers = [at for at, model in models if len(models) == 1 or id(model) in beside]
    if not takers:
        raise ArgumentError(f"none of the {len(models)} models is beside {place!r}: choose one by its place, with --at")
    return dict.fromkeys(takers, value)


def check_model(model: Any, input: Any = None, tolerance: float | None = None) -> tuple[list[Layer], str | None]:
    """Compare what the layers of a net compute with what they computed when Torch7 last ran them.

    Nothing in the net changes. Where layers differ in the mode that the net was saved in, and none does in the other
    one (training or evaluation), the mode was switched after the last run: then this is what that mode gives.

    Args:
        model: a module; also one of a class that luann does not know.
        input: what it was run with, where that is known; without it the first layer cannot be checked.
        tolerance: how large differences may be, in place of :data:`TOLERANCES`.

    Returns:
        the layers, and a note about all of them or ``None``.
    """
    if not is_model(model):
        raise ArgumentError(f"check_model() takes a module, got {class_name(model)}")
    with _undisturbed():
        layers, has_outputs = _layers(model, input, tolerance)
        if not _differing(layers):
            return layers, None if has_outputs else NO_OUTPUTS
        train = not getattr(model, "train", True)
        switched, _ = _layers(model, input, tolerance, train)
    agree = {layer.path for layer in switched if layer.status == "agrees"}
    if not _differing(switched) and all(layer.path in agree for layer in _differing(layers)):
        return switched, f"these are outputs of {'training' if train else 'evaluation'}: the mode was switched later"
    return layers, _stale(model, layers)


def _layers(model: Any, input: Any, tolerance: float | None, train: bool | None = None) -> tuple[list[Layer], bool]:
    """What is found about the layers, and whether any output was saved.

    A container that differs may keep something from one run to the next, or run its modules in a way that their saved
    outputs do not tell: where it agrees or explains itself when it runs as a whole, that counts.
    """
    run = Run(model, tolerance, train)
    layers = run.layers(input)
    doubtful = run.differing | run.uncounted
    if doubtful:
        whole = Run(model, tolerance, train, doubtful).layers(input)
        settled = {layer.path for layer in whole if layer.path in doubtful and layer.status != "differs"}
        settled |= run.uncounted
        if settled == doubtful:
            layers = whole
        elif settled:
            layers = Run(model, tolerance, train, settled).layers(input)
    return layers, run.has_outputs


_STATUS = {"agrees": "agree", "differs": "differ", "unchecked": "unchecked"}


def _told(layer: Layer) -> dict[str, Any]:
    difference = layer.difference
    return {
        "path": readable(layer.path),
        "class": layer.class_name,
        "status": layer.status,
        "difference": difference if difference is None or math.isfinite(difference) else "inf",
        "tolerance": layer.tolerance,
        "with": layer.together,
        "reason": layer.reason and readable(layer.reason),
    }


def _differing(layers: list[Layer]) -> list[Layer]:
    return [layer for layer in layers if layer.status == "differs"]


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
    leaves = [(p, m) for p, m in modules_of(model) if isinstance(m, nn.Module) and not children(m)]
    trained = {path for path, module in leaves if module.parameters()[0]}
    others = any(layer.status == "agrees" and layer.path not in trained for layer in layers)
    if others and all(layer.path in trained for layer in _differing(layers)):
        return (
            "only layers with parameters differ: the net was probably saved after an update of its parameters, "
            "of which the saved outputs do not know"
        )
    return None
