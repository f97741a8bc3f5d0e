"""``sharedClone``: copies of a module that keep its parameters; and the walk through all that a module holds."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch

from ...nn import Module
from ...nngraph.graph import Edge, Graph, Node

_HOLDERS = (Node, Edge, Graph)


def inside(module: Any) -> Iterator[Any]:
    """A module and all that it keeps in its fields, also in tables there, each once and before what it keeps itself."""
    seen: set[int] = set()
    stack = [module]
    while stack:
        value = stack.pop()
        if id(value) in seen:
            continue
        if isinstance(value, Module):
            seen.add(id(value))
            yield value
            stack.extend(reversed(list(value.__dict__.values())))
        elif isinstance(value, dict):
            seen.add(id(value))
            stack.extend(reversed(list(value.values())))
        elif isinstance(value, list):
            seen.add(id(value))
            stack.extend(reversed(value))


def sharedClone(
    self: Any, shareParams: bool | None = None, shareGradParams: bool | None = None, stepClone: bool | None = None
) -> Any:
    """A copy of this module and all below it whose parameters are those of the original.

    The parameters and gradients of the copy are tensor objects of its own over the memory of the original's. All else,
    outputs and buffers too, is copied. A module that is used twice, or a node of a graph, is one in the copy as well.
    What counts as a parameter is told by the fields ``dpnn_parameters`` and ``dpnn_gradParameters`` of each module: the
    weight and the bias, for batch normalisation also the running statistics. Another field of a module that lies in
    the memory of a parameter shares it too.

    Args:
        shareParams: share the parameters, the default; else they are copied.
        shareGradParams: share the gradients, the default; else they are copied.
        stepClone: a module with the field ``dpnn_stepclone``, as rnn's recurrent modules have it, is not copied: the
            copy uses the same object.
    """
    if stepClone and getattr(self, "dpnn_stepclone", None):
        return self
    memo: dict[int, Any] = {}  # what takes the place of what in the copy, as deepcopy wants it
    storages: dict[int, torch.UntypedStorage] = {}
    shared: set[int] = set()  # storages of parameters
    seen: set[int] = set()
    stack = [self]
    while stack:
        value = stack.pop()
        if isinstance(value, torch.Tensor):
            if id(value) not in memo:
                memo[id(value)] = _copied(value, storages)
            continue
        if id(value) in seen:
            continue
        if isinstance(value, Module):
            if stepClone and getattr(value, "dpnn_stepclone", None):
                memo[id(value)] = value
                continue
            value._settle()
            _share(value, shareParams is not False, shareGradParams is not False, shared, memo)
            stack.extend(reversed(list(value.__dict__.values())))
        elif isinstance(value, (list, tuple)):
            stack.extend(reversed(value))
        elif isinstance(value, dict):
            stack.extend(reversed(list(value.values())))
        elif isinstance(value, _HOLDERS):
            stack.extend(reversed(list(vars(value).values())))
        else:
            continue
        seen.add(id(value))
    return copy.deepcopy(self, memo)


def _share(module: Any, parameters: bool, gradients: bool, shared: set[int], memo: dict[int, Any]) -> None:
    """Note in ``memo`` what the copy of a module shares with it, and in ``shared`` the storages of that."""
    fields = module.__dict__
    for names in (module.dpnn_parameters if parameters else ()), (module.dpnn_gradParameters if gradients else ()):
        for name in names:
            tensor = fields.get(name)
            if isinstance(tensor, torch.Tensor):
                memo[id(tensor)] = torch.empty(0, dtype=tensor.dtype, device=tensor.device).set_(tensor)
                if tensor.untyped_storage().nbytes():
                    shared.add(tensor.untyped_storage()._cdata)
    for value in fields.values():
        if isinstance(value, torch.Tensor) and id(value) not in memo and value.untyped_storage()._cdata in shared:
            memo[id(value)] = torch.empty(0, dtype=value.dtype, device=value.device).set_(value)


def _copied(tensor: torch.Tensor, storages: dict[int, torch.UntypedStorage]) -> torch.Tensor:
    """A copy of a tensor; tensors over one storage get copies over one storage."""
    storage = tensor.untyped_storage()
    new = storages.get(storage._cdata)
    twin = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
    if new is None:
        whole = torch.empty(0, dtype=tensor.dtype, device=tensor.device).set_(storage)
        new = storages[storage._cdata] = whole.clone().untyped_storage()
    return twin.set_(new, tensor.storage_offset(), tensor.shape, tensor.stride())
