"""How the objects in a file are laid out: the rule for all classes, and the classes that have a layout of their own.

By Torch7's rule an object's content is one table, that of its fields. A class with ``write`` and ``read`` methods does
as it likes, and says nowhere what: what follows the name of such a class can be read by someone who knows it, and
nobody else can tell where it ends. :func:`register_payload` adds a layout, to read and to write.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from .. import random  # noqa: F401  # the class of torch.Generator registers itself there
from ..types import Storage
from .values import Unknown

FIELDS = object()
"""Yielded by a payload reader that wants a table with fields next, as a Table whatever its keys."""

Steps = Generator[Any, Any, Any]
"""What a payload reader is that reads objects within: it yields for each."""

Payload = Callable[[Any, float], Any]
payloads: dict[str, Payload] = {}
writers: dict[str, Callable[[Any, Any], Any]] = {}


def register_payload(
    typename: str, read: Payload | None = None, *, write: Callable[[Any, Any], Any] | None = None
) -> Any:
    """Say how the content of a class's objects is laid out in a file; usable as a decorator.

    Args:
        typename: the class in Torch7, such as ``'torch.Timer'``.
        read: called as ``read(file, version)`` at the beginning of the content. ``file`` offers ``int32()``,
            ``double()``, ``longs(n)`` (a list), ``chars(n)`` (bytes) and ``string()`` (an int and as many bytes, as a
            str). It returns the object's fields, a dict. To read objects that lie within, make it a generator
            function: ``value = yield`` gives the next object, ``fields = yield FIELDS`` the next as a Table of fields.
        write: called as ``write(file, obj)`` to write the content of an object. ``file`` offers ``int32(n)``,
            ``double(x)``, ``longs(values)``, ``chars(data)`` and ``string(text)``, which mirror those above. As a
            generator function it writes the objects that lie within: ``yield value`` writes one; a dict makes the table
            of fields, and :func:`fields_of` gives those of the object. Without it, objects cannot be saved.
    """
    if write is not None:
        writers[typename] = write

    def put(read: Payload) -> Payload:
        payloads[typename] = read
        return read

    return put if read is None else put(read)


def plain(file: Any, version: float) -> Steps:
    """One table, that of the fields: Torch7's rule."""
    return (yield FIELDS)


def fields_of(obj: Any) -> dict:
    """The named fields of an object, in the order in which they are written; those that are ``None`` are nil."""
    if isinstance(obj, Unknown):
        return obj.fields
    if hasattr(obj, "_settle"):
        obj._settle()
    fields = vars(obj)
    names = getattr(type(obj), "_file_names", None)  # of fields that Torch7 calls otherwise, or (None) has not
    if names:
        return {names.get(key, key): value for key, value in fields.items() if names.get(key, key) is not None}
    return fields


def version_of(obj: Any) -> float | None:
    """The version of an object's class, as it is written; ``None`` for what is older than versions."""
    return obj.version or None if isinstance(obj, Unknown) else getattr(type(obj), "_version", 1)


def _write_nothing(file: Any, timer: Any) -> None:
    pass


@register_payload("torch.Timer", write=_write_nothing)
def _nothing(file: Any, version: float) -> dict:
    return {}


def _write_generator(file: Any, generator: Any) -> None:
    file.chars(generator.state)


@register_payload("torch.Generator", write=_write_generator)
def _generator(file: Any, version: float) -> dict:
    # the C struct of THGenerator as it lay in memory, in ASCII files too
    return {"state": file.chars(5048, "the state of a generator")}


def _write_parallel(file: Any, table: Any) -> Steps:
    fields = fields_of(table)
    if (version_of(table) or 0) >= 2:
        yield fields["gpuAssignments"]
    yield fields


@register_payload("nn.DataParallelTable", write=_write_parallel)
def _parallel(file: Any, version: float) -> Steps:
    if version < 2:
        return (yield FIELDS)
    devices = yield  # which are a field as well, and the one that counts
    fields = yield FIELDS
    fields["gpuAssignments"] = devices
    return fields


def _write_gpu(file: Any, gpu: Any) -> Steps:
    fields = fields_of(gpu)
    yield [fields.get("_type"), fields["device"]]
    yield fields


@register_payload("nn.GPU", write=_write_gpu)
def _gpu(file: Any, version: float) -> Steps:
    yield  # {type, device}, which says on which device to read what follows; both are fields as well
    return (yield FIELDS)


def _write_weight_norm(file: Any, norm: Any) -> Steps:
    # the weight follows from other fields, so Torch7 leaves it out, here and in the module within
    follows = ("weight", "gradWeight")
    fields = {name: value for name, value in fields_of(norm).items() if name not in follows}
    if fields.get("weightSize") is None:
        fields["weightSize"] = Storage(norm.weight.shape)
    file.leave_out(fields["modules"][0], follows)
    yield fields


register_payload("nn.WeightNorm", write=_write_weight_norm)
