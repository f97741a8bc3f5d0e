"""The .t7 file format: reading what Torch7 wrote."""

from __future__ import annotations

from ..errors import FormatError
from ..types import register
from .payloads import FIELDS, register_payload
from .reader import Reader, load
from .tds import AtomicCounter, Hash, Vec
from .values import Function, Unknown

__all__ = [
    "FIELDS",
    "AtomicCounter",
    "FormatError",
    "Function",
    "Hash",
    "Reader",
    "Unknown",
    "Vec",
    "load",
    "register",
    "register_payload",
]
