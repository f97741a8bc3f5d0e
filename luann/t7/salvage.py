"""What can be read of a damaged .t7 file."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from ..errors import FormatError
from ..table import Table
from .binary import Damage
from .frames import NOTHING, ObjectFrame, TableFrame
from .reader import Reader

_ENOUGH = 0.25  # of a storage's numbers


class Salvaged(NamedTuple):
    """What :func:`salvage` found.

    Attributes:
        value: the object, as far as it could be read.
        error: what is wrong with the file, and where; ``None`` if it is whole.
        incomplete: the tables and objects that lack something: those in which the damage lies, each within the one
            before, the last perhaps a tensor, then objects of which the file does not say what their class needs.
    """

    value: Any
    error: FormatError | None
    incomplete: list


def salvage(file: Any, **options: Any) -> Salvaged:
    """Read the object in a .t7 file up to where the file is damaged.

    All that stands before the damage is as :func:`load` would give it. Tables and objects that end behind it have what
    came before: a list its first entries, an object some of its fields. A tensor whose storage is cut off has the
    numbers before the cut, then NaN, or 0 where they are whole numbers, as long as a quarter of them is there. A string
    or number in which the damage lies is left out. Where the class of an object refuses the fields that the file has,
    they become its attributes as they are, and reading goes on.

    Args:
        file: a path, a file opened in binary mode, or bytes.
        options: those of :class:`Reader`.

    Raises:
        FormatError: this is no .t7 file, or nothing stands before the damage.
        OSError: if it cannot be opened or read.
    """
    with _Lenient(file, **options) as reader:
        try:
            return Salvaged(reader.read(), None, [])
        except FormatError as error:
            reader.unmade = []
            value, incomplete = _before_damage(reader)
            if value is NOTHING:
                raise
            return Salvaged(value, error, incomplete + reader.unmade)


class _Lenient(Reader):
    """A reader that can go on where an object cannot be made.

    Attributes:
        unmade: such objects; as long as it is ``None``, they are errors as for any reader.
        part: the tensor in whose storage the file ends.
    """

    unmade: list | None = None
    part: Any = NOTHING
    _cut: torch.Tensor | None = None  # the numbers of the storage that the file ends in

    def _numbers(self, dtype: torch.dtype, count: int) -> torch.Tensor:
        start = self._source.offset
        try:
            return super()._numbers(dtype, count)
        except Damage:
            self._source.seek(start)
            there = min(self._source.most(dtype), count - 1)
            if self.unmade is None or there < _ENOUGH * count:
                raise
            self._cut = torch.full((count,), float("nan") if dtype.is_floating_point else 0, dtype=dtype, device="cpu")
            self._cut[:there] = super()._numbers(dtype, there)
            return self._cut

    def _tensor(self, name: str) -> torch.Tensor:
        tensor = super()._tensor(name)
        if self._cut is not None:
            self.part = tensor
            raise Damage("the file ends here", self._source.offset)
        return tensor

    def _restore(self, obj: Any, name: str, fields: dict, version: float) -> None:
        if self.unmade is None:
            super()._restore(obj, name, fields, version)
            return
        guesses, self._open_guesses = self._open_guesses, 0  # nothing is read again to correct them
        try:
            super()._restore(obj, name, fields, version)
        except Damage:
            self.unmade.append(obj)
            if isinstance(fields, dict) and hasattr(obj, "__dict__"):
                vars(obj).update((key, value) for key, value in fields.items() if isinstance(key, str))
        finally:
            self._open_guesses = guesses


def _before_damage(reader: _Lenient) -> tuple[Any, list]:
    """Read the object again, and put together what has been begun when it fails; with the incomplete ones in it."""
    try:
        return reader._run(), []
    except Damage:
        pass
    value = reader.part
    incomplete: list = [] if value is NOTHING else [value]
    for frame in reversed(reader._stack):
        if type(frame) is TableFrame:
            if value is not NOTHING and frame.key is not NOTHING:
                frame.add(frame.key, value)
            value = frame.finish()
            if frame.as_fields:
                continue
        else:
            value = _object(reader, frame, value)
        incomplete.insert(0, value)
    return value, incomplete


def _object(reader: _Lenient, frame: ObjectFrame, value: Any) -> Any:
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
    reader._restore(obj, frame.name, fields, frame.version)
    return obj
