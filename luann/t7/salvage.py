"""What can be read of a damaged .t7 file."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..errors import FormatError
from ..table import Table
from .binary import Damage
from .frames import NOTHING, ObjectFrame, TableFrame
from .reader import Reader
from .values import Unknown


class Salvaged(NamedTuple):
    """What :func:`salvage` found.

    Attributes:
        value: the object, as far as it could be read.
        error: what is wrong with the file, and where; ``None`` if it is whole.
        incomplete: the tables and objects that the damage left incomplete, each within the one before.
    """

    value: Any
    error: FormatError | None
    incomplete: list


def salvage(file: Any, **options: Any) -> Salvaged:
    """Read the object in a .t7 file up to where the file is damaged.

    All that stands before the damage is as :func:`load` would give it. Tables and objects that end behind it have what came
    before: a list its first entries, an object some of its fields. An object that cannot be made of these becomes an
    :class:`Unknown`. A tensor, string or number in which the damage lies is left out.

    Args:
        file: a path, a file opened in binary mode, or bytes.
        options: those of :class:`Reader`.

    Raises:
        FormatError: this is no .t7 file, or nothing stands before the damage.
        OSError: if it cannot be opened or read.
    """
    with Reader(file, **options) as reader:
        try:
            return Salvaged(reader.read(), None, [])
        except FormatError as error:
            value, incomplete = _before_damage(reader)
            if value is NOTHING:
                raise
            return Salvaged(value, error, incomplete)


def _before_damage(reader: Reader) -> tuple[Any, list]:
    """Read the object again, and put together what has been begun when it fails; with the incomplete ones in it."""
    try:
        return reader._run(), []
    except Damage:
        pass
    reader._open_guesses = 0  # nothing will show whether they were right
    value: Any = NOTHING
    incomplete: list = []
    for frame in reversed(reader._stack):
        if type(frame) is TableFrame:
            if value is not NOTHING and frame.key is not NOTHING:
                frame.add(frame.key, value)
            value = frame.finish()
        else:
            value = _object(reader, frame, value)
        incomplete.insert(0, value)
    return value, incomplete


def _object(reader: Reader, frame: ObjectFrame, value: Any) -> Any:
    """An object of which ``value`` was being read."""
    obj = frame.result
    if not frame.name:
        obj.upvalues = [] if value is NOTHING else value
        return obj
    fields = value if isinstance(value, Table) else Table()
    try:
        frame.payload.send(fields)
    except StopIteration as end:
        fields = end.value
    except Exception:
        pass  # a layout of its own, of which there is not enough
    try:
        reader._restore(obj, frame.name, fields, frame.version)
    except Damage:
        return Unknown(frame.name, frame.version, fields)
    return obj
