"""The .t7 file format: reading what Torch7 wrote, and writing what it reads."""

from __future__ import annotations

from ..errors import FormatError
from ..types import register
from .payloads import FIELDS, fields_of, register_payload
from .reader import Reader, load
from .salvage import Salvaged, salvage
from .tds import AtomicCounter, Hash, Vec
from .values import Function, Unknown
from .writer import Writer, save

__all__ = [
    "FIELDS",
    "AtomicCounter",
    "FormatError",
    "Function",
    "Hash",
    "Reader",
    "Salvaged",
    "Unknown",
    "Vec",
    "Writer",
    "fields_of",
    "load",
    "register",
    "register_payload",
    "salvage",
    "save",
]
