"""Notes about tensors and tables from a file that matter only when they are saved again.

They are not attributes of these, so that nothing else sees them: a pickle, say.
"""

from __future__ import annotations

import weakref

import torch
from torch.utils.weak import WeakIdKeyDictionary

_whole = WeakIdKeyDictionary()
_originals = WeakIdKeyDictionary()
_lists = WeakIdKeyDictionary()


def _place(tensor: torch.Tensor) -> tuple:
    return tensor.untyped_storage()._cdata, tensor.storage_offset(), tensor.shape, tensor.stride()


def keep_whole(tensor: torch.Tensor) -> None:
    """Note that the storage of a tensor is to be saved in full, as it came from a file, however little it uses."""
    _whole[tensor] = tensor.untyped_storage()._cdata


def is_whole(tensor: torch.Tensor) -> bool:
    """Whether :func:`keep_whole` was said of a tensor, and it still has that storage."""
    return bool(_whole) and _whole.get(tensor) == tensor.untyped_storage()._cdata


def apart(tensor: torch.Tensor) -> torch.Tensor:
    """A new tensor object over the same elements, which is saved as the same object as long as it stays that way."""
    twin = tensor.detach()
    _originals[twin] = weakref.ref(tensor)
    return twin


def original(tensor: torch.Tensor) -> torch.Tensor:
    """What :func:`apart` was given for a tensor, if the two still are the same elements; else the tensor itself."""
    reference = _originals.get(tensor) if _originals else None
    other = None if reference is None else reference()
    return tensor if other is None or _place(other) != _place(tensor) else original(other)


def as_list(table: dict) -> list:
    """The list that takes the place of an empty table in the objects that want one; the same for all of them."""
    return _lists.setdefault(table, [])


def listed(table: dict) -> dict | list:
    """What :func:`as_list` gave for an empty table, if that is empty still; else the table itself."""
    values = _lists.get(table)
    return table if values is None or values else values
