"""Classes of one Torch7 name, told apart by the fields that a file holds.

Several rocks define an ``nn.LSTM``, an ``nn.InstanceNormalization`` and others, each its own. A class that shares its
name says with ``_fits(fields)`` which objects are its own.
"""

from __future__ import annotations

from typing import Any

from .. import types
from ..errors import ModuleError


def enroll(cls: Any, base: type) -> None:
    """Make files load ``cls``, which has a ``_fits``, beside the other classes of its name."""
    known: Any = types.classes.get(cls._typename)
    if not getattr(known, "_variants", None):
        known = type("_Ambiguous", (_Ambiguous, base), {"_default": known, "_variants": []}, typename=cls._typename)
        types.register(cls._typename, known)
    known._variants.append(cls)


class _Ambiguous:
    """What an object from a file is until its fields are known; it stays one if they are of no known class.

    Its fields can be read, shown and written then.
    """

    __slots__ = ()
    _default: Any = None
    _variants: list[Any] = []

    def _restore(self, fields: dict, version: int) -> None:
        cls = next((c for c in self._variants if c._fits(fields)), self._default)
        if cls is None:
            self.__dict__.update(fields)
        else:
            self.__class__ = cls
            self._restore(fields, version)

    def __getattr__(self, name: str) -> Any:
        if name in ("forward", "backward", "updateOutput", "updateGradInput"):
            known = ", ".join(f"{c.__module__}.{c.__name__}" for c in self._variants)
            raise ModuleError(
                f"several classes are called {type(self)._typename}, and the fields of this one "
                f"({', '.join(map(str, self.__dict__))}) fit none that luann knows: {known}"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
