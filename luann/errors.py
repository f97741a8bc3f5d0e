"""The exceptions of luann, all under :class:`Error`.

::

    Error
     ├─ ArgumentError    ValueError    a constructor or method got an argument it cannot use
     ├─ ShapeError       ValueError    a tensor has the wrong number of dimensions or the wrong size
     ├─ TensorTypeError  TypeError     a tensor (or something that is none) of the wrong type
     ├─ ModuleError      RuntimeError  anything else that failed inside a module
     └─ FormatError      ValueError    a file is not a .t7 file, or a damaged one

An error raised while a module computes is told where in the net that was as it passes through the
containers; ``str(error)`` starts with the path, for example ``Sequential[4] nn.Linear(10 -> 5): …``.
"""

from __future__ import annotations


class Error(Exception):
    """The root of luann's exceptions."""

    path: str = ""
    """Where in a net the error arose; empty outside of one."""

    def __str__(self) -> str:
        text = super().__str__()
        return f"{self.path}: {text}" if self.path else text


class ArgumentError(Error, ValueError):
    """An argument that cannot be used: what was wanted, and what came."""


class ShapeError(Error, ValueError):
    """A tensor whose number of dimensions or size does not fit."""


class TensorTypeError(Error, TypeError):
    """A tensor of the wrong type, or something that is no tensor where one is needed."""


class ModuleError(Error, RuntimeError):
    """Any other exception raised inside a module; the original is its ``__cause__``."""


class FormatError(Error, ValueError):
    """A file that is not what a .t7 file should be.

    Attributes:
        offset: position in the file, in bytes, where reading stopped (``None`` if unknown).
        where: the path of the object being read, such as ``[1].modules[3].weight``.
    """

    def __init__(self, message: str, offset: int | None = None, where: str = "") -> None:
        place = []
        if offset is not None:
            place.append(f"at byte {offset}")
        if where:
            place.append(f"in {where}")
        super().__init__(f"{message} ({', '.join(place)})" if place else message)
        self.offset = offset
        self.where = where
