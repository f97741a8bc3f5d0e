"""How the objects in a file are laid out: the rule for all classes, and the classes that have a layout of their own.

By Torch7's rule an object's content is one table, that of its fields. A class with ``write`` and ``read`` methods does
as it likes, and says nowhere what: what follows the name of such a class can be read by someone who knows it, and
nobody else can tell where it ends. :func:`register_payload` adds a layout.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from .. import random  # noqa: F401  # the class of torch.Generator registers itself there

FIELDS = object()
"""Yielded by a payload reader that wants a table with fields next, as a Table whatever its keys."""

Steps = Generator[Any, Any, Any]
"""What a payload reader is that reads objects within: it yields for each."""

Payload = Callable[[Any, float], Any]
payloads: dict[str, Payload] = {}


def register_payload(typename: str, read: Payload | None = None) -> Any:
    """Say how the content of a class's objects is laid out in a file; usable as a decorator.

    Args:
        typename: the class in Torch7, such as ``'torch.Timer'``.
        read: called as ``read(file, version)`` at the beginning of the content. ``file`` offers ``int32()``,
            ``double()``, ``longs(n)`` (a list), ``chars(n)`` (bytes) and ``string()`` (an int and as many bytes, as a
            str). It returns the object's fields, a dict. To read objects that lie within, make it a generator
            function: ``value = yield`` gives the next object, ``fields = yield FIELDS`` the next as a Table of fields.
    """

    def put(read: Payload) -> Payload:
        payloads[typename] = read
        return read

    return put if read is None else put(read)


def plain(file: Any, version: float) -> Steps:
    """One table, that of the fields: Torch7's rule."""
    return (yield FIELDS)


@register_payload("torch.Timer")
def _nothing(file: Any, version: float) -> dict:
    return {}


@register_payload("torch.Generator")
def _generator(file: Any, version: float) -> dict:
    # the C struct of THGenerator as it lay in memory, in ASCII files too
    return {"state": file.chars(5048, "the state of a generator")}


@register_payload("nn.DataParallelTable")
def _parallel(file: Any, version: float) -> Steps:
    if version < 2:
        return (yield FIELDS)
    devices = yield  # which are a field as well, and the one that counts
    fields = yield FIELDS
    fields["gpuAssignments"] = devices
    return fields


@register_payload("nn.GPU")
def _gpu(file: Any, version: float) -> Steps:
    yield  # {type, device}, which says on which device to read what follows; both are fields as well
    return (yield FIELDS)
