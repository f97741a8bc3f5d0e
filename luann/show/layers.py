"""A model as its layers, their parameters, and how many numbers these are."""

from __future__ import annotations

from collections.abc import Iterator, Set
from itertools import product
from typing import Any

import torch

from ..t7 import Unknown
from .objects import class_name, fields, is_model, key_text, pairs, readable


def describe_model(model: Any, at: str, incomplete: Set[int] = frozenset()) -> dict[str, Any]:
    """The document's entry about a model that was found at ``at``; ``incomplete`` are ids of what damage cut short."""
    layers = Layers(incomplete)
    layers.tell(model)
    covered = memory_covered(layers.parameters)
    return {
        "at": at,
        "class": class_name(model),
        "type": _said(model, "_type", str),
        "train": _said(model, "train", bool),
        "text": _text(model),
        "layers": layers.told,
        "numbers": sum(layer["numbers"] for layer in layers.told),
        "distinct_numbers": sum(size // itemsize for itemsize, size in covered),
        "distinct_bytes": sum(size for _, size in covered),
    }


def _text(model: Any) -> str:
    try:
        text = readable(str(model))
    except RecursionError:
        raise
    except Exception as error:  # a damaged object may lack anything, and is shown all the same
        return readable(f"{class_name(model)} (cannot be printed: {error!r})")
    # an unknown object prints all its fields, of which the layers tell what matters
    return text.partition("\n")[0] if isinstance(model, Unknown) else text


def _said(module: Any, name: str, kind: type) -> Any:
    value = module.fields.get(name) if isinstance(module, Unknown) else getattr(module, name, None)
    return value if isinstance(value, kind) else None


def children(module: Any) -> list[tuple[str, Any]]:
    """The modules right below, with their place: those in ``modules``, or else in any field of an unknown one."""
    modules = fields(module).get("modules")
    if isinstance(modules, (list, tuple)):
        return [(str(i), child) for i, child in enumerate(modules, 1) if is_model(child)]
    if isinstance(module, Unknown):
        return [(key_text(key).removeprefix("."), child) for key, child in pairs(module) if is_model(child)]
    return []


class Layers:
    """Tells the modules of one model; remembers what was met.

    Args:
        incomplete: ids of what damage cut short.

    Attributes:
        told: the layers.
        parameters: the tensors told with them.
    """

    def __init__(self, incomplete: Set[int] = frozenset()) -> None:
        self.incomplete = incomplete
        self.told: list[dict[str, Any]] = []
        self.parameters: list[torch.Tensor] = []
        self._paths: dict[int, str] = {}
        self._places: dict[Any, str] = {}
        self._lists: dict[int, tuple[list[torch.Tensor], bool]] = {}

    def tell(self, module: Any, path: str = "", wanted: set[int] | None = None) -> None:
        """Tell the layers from ``module`` on.

        Args:
            module: where to begin.
            path: its place in the model.
            wanted: the parameters that every container above it lists; ``None`` for the model itself.
        """
        first = self._paths.setdefault(id(module), path)
        is_new = first == path
        below = children(module)
        listed = [t for t in self._listed(module)[0] if wanted is None or id(t) in wanted]
        inner = {id(t) for _, child in below for t in self._listed(child)[0]}
        own = [t for t in listed if id(t) not in inner] if is_new else []
        self.parameters += own
        cut_short = {"incomplete": True} if id(module) in self.incomplete else {}
        self.told.append(
            {
                "path": path,
                "class": class_name(module),
                "unknown": isinstance(module, Unknown),
                "train": _said(module, "train", bool),
                "same_as": None if is_new else first,
                "parameters": [self._parameter(module, path, tensor) for tensor in own],
                "numbers": sum(t.numel() for t in (own if is_new else listed)),
                **cut_short,
            }
        )
        if is_new:
            wanted = {id(t) for t in listed}
            for place, child in below:
                self.tell(child, f"{path}.{place}".removeprefix("."), wanted)

    def _listed(self, module: Any) -> tuple[list[torch.Tensor], bool]:
        """What ``parameters()`` lists, and whether the module and all below it are of known classes.

        Where one is not, or fails, nobody knows what it would list: weight and bias are taken, which is Torch7's rule.
        """
        if id(module) in self._lists:
            return self._lists[id(module)]
        self._lists[id(module)] = [], True  # for a module inside itself
        below = [self._listed(child) for _, child in children(module)]
        known = not isinstance(module, Unknown) and all(known for _, known in below)
        try:
            tensors = (module.parameters()[0] or []) if known else None
            if tensors and not all(isinstance(t, torch.Tensor) for t in tensors):
                tensors, known = None, False
        except Exception:  # as in _text()
            tensors, known = None, False
        if tensors is None:
            tensors = [t for t in map(fields(module).get, ("weight", "bias")) if isinstance(t, torch.Tensor)]
            tensors += [t for inner, _ in below for t in inner]
        self._lists[id(module)] = tensors, known
        return tensors, known

    def _parameter(self, module: Any, path: str, tensor: torch.Tensor) -> dict[str, Any]:
        name = next((n for n, value in fields(module).items() if value is tensor), "parameter")
        label = f"{path}.{name}".removeprefix(".")
        place = (tensor.data_ptr(), tensor.shape, tensor.stride())
        first = self._places.setdefault(place, label) if tensor.numel() else label
        return {
            "name": name,
            "type": class_name(tensor),
            "size": list(tensor.shape),
            "numbers": tensor.numel(),
            "shared_with": None if first == label else first,
        }


def memory_covered(tensors: list[torch.Tensor]) -> list[tuple[int, int]]:
    """How much memory tensors cover together: for each type and device, bytes of an element and bytes in all."""
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
