"""The .t7 file format: reading what Torch7 wrote."""

from __future__ import annotations

from ..errors import FormatError
from ..types import register
from .payloads import FIELDS, register_payload
from .reader import Reader, load
from .values import Function, Unknown

__all__ = ["FIELDS", "FormatError", "Function", "Reader", "Unknown", "load", "register", "register_payload"]
