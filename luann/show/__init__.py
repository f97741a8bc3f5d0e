"""What a .t7 file holds, told for people (:func:`render`), for programs (:func:`describe`), and drawn (:func:`draw`).

:func:`describe` gives one document of plain dicts, lists, strings and numbers, which ``luann show --json`` prints:

``file``, ``bytes``
    the name that was given, and the size of the file; ``null`` for a pipe.
``damage``
    ``null``, or where a file was told up to the damage: ``message``, ``offset`` (the byte), and ``where``, the path to
    what was being read.
``objects``
    how many objects the file holds, if there are several: then they are told as the list of them, and a place is
    ``[2].key``. Where there is one, this is missing.
``structure``
    the file's object as a node, cut off where it is deep or long. A node has a ``kind``, and by it what follows; and
    ``incomplete``, if the damage cut it short:

    ============== ===================================================================================
    ``nil``
    ``boolean``    ``value``
    ``number``     ``value``; ``"nan"``, ``"inf"`` or ``"-inf"`` for what JSON cannot write
    ``string``     ``value``, shortened; ``length``, in characters
    ``bytes``      ``length``
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
        where it is, as ``key[1].key``; ``""`` if the file is the model.
    ``class``, ``type``, ``train``
        of the model itself; the last two are ``null`` where a module of an unknown class does not say.
    ``text``
        the model as Torch7 prints it.
    ``layers``
        all modules, a container before its children. Each has ``path`` (``"1.3"``: third child of the first; ``""``
        for the model itself), ``class``, ``unknown``, ``train``, ``same_as`` (the path where the same object came
        before, whose children are not told again; else ``null``), ``parameters``, ``numbers``, how many numbers these
        hold, and ``incomplete``, if the damage cut it short. A parameter is told with the innermost module that lists
        it, and has ``name``, ``type``, ``size``, ``numbers`` and ``shared_with`` (``path.name`` of one met before over
        the same memory, else ``null``).
    ``numbers``, ``distinct_numbers``, ``distinct_bytes``
        how many numbers all parameters hold; the same with shared memory counted once; and that memory in bytes.

``unknown``
    classes of the file that luann lacks, and how many objects are of each.

Positions in lists and layers count from 1, as Torch7's do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from ..errors import FormatError
from ..t7 import Unknown
from .drawing import draw
from .layers import describe_model
from .objects import class_name, is_model, path_text, readable, walk
from .structure import Structure
from .text import render

__all__ = ["describe", "draw", "render"]


def describe(
    root: Any,
    file: str = "",
    size: int | None = None,
    damage: FormatError | None = None,
    incomplete: Iterable[Any] = (),
    objects: int = 1,
) -> dict[str, Any]:
    """The document about an object that was loaded from a file; see the top of this module.

    Args:
        root: what :func:`luann.load` gave; or a list of all objects in the file.
        file: its name, for the document only.
        size: its size in bytes, likewise.
        damage, incomplete: where root is what :func:`luann.t7.salvage` gave, the ``error`` and what is ``incomplete``.
        objects: how many objects of the file ``root`` lists, where it does.
    """
    cut_short = {id(obj) for obj in incomplete}
    outermost = walk(root, lambda obj: not is_model(obj))
    models = [(path_text(way), obj) for way, obj in outermost if is_model(obj)]
    unknown = Counter(class_name(obj) for _, obj in walk(root) if isinstance(obj, Unknown))
    return {
        "file": readable(file),
        "bytes": size,
        "damage": None if damage is None else _damage(damage),
        **({"objects": objects} if objects > 1 else {}),
        "structure": Structure(models, cut_short, root if objects > 1 else None).node(root),
        "models": [describe_model(obj, at, cut_short) for at, obj in models],
        "unknown": dict(sorted(unknown.items())),
    }


def _damage(error: FormatError) -> dict[str, Any]:
    return {"message": readable(str(error)), "offset": error.offset, "where": readable(error.where).removeprefix(".")}
