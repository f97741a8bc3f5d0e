"""Torch7's stream of random words and of normal numbers, and its state as Torch7 keeps it."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np

from ._libm import ARRAY
from .errors import ArgumentError, ShapeError

UNIT = 2.0**-32
"""What makes a word a number in [0, 1)."""

# THGenerator: initial seed, left, seeded, next | 624 words | x, y, rho of the last normal pair, whether one is left
_HEAD = struct.Struct("<qiiq")
_TAIL = struct.Struct("<dddi4x")
_WORDS = 624
STATE_SIZE = _HEAD.size + 8 * _WORDS + _TAIL.size
"""Bytes in a state: 5,048."""


class MersenneTwister:
    """MT19937 with Torch7's way of making normal numbers.

    Args:
        seed: any integer; the stream depends on its low 32 bits.
    """

    _numpy: np.random.RandomState | None = None

    def __init__(self, seed: int = 0) -> None:
        self._bits = np.random.MT19937(0)
        self.reseed(seed)

    def reseed(self, seed: int) -> None:
        """Start again, with nothing kept."""
        np.random.RandomState(self._bits).seed(seed & 0xFFFFFFFF)
        self.seed = (seed + 2**63) % 2**64 - 2**63  # Torch7 keeps it in 64 bits
        self._pair = (0.0, 0.0, 0.0)  # x, y, rho of the last two normal numbers
        self._half = False  # whether the second of them is still to be given
        self._numpy = None

    def numpy(self) -> np.random.RandomState:
        """NumPy's old generator over this stream: its distributions are those of randomkit, a rock of Torch7's.

        Like that rock it keeps the second of two normal numbers, apart from Torch7's, until the stream starts again.
        """
        if self._numpy is None:
            self._numpy = np.random.RandomState(self._bits)
        return self._numpy

    def word(self) -> int:
        """The next 32 bits."""
        return self._bits.random_raw()

    def words(self, n: int) -> np.ndarray:
        """The next ``n`` words, as int64."""
        return self._bits.random_raw(n).view(np.int64)

    def normal(self) -> float:
        """One standard normal number: of each two words two, the second kept for the next call."""
        if self._half:
            self._half = False
            x, _, rho = self._pair
            return rho * math.sin(2 * math.pi * x)
        x, y = self.word() * UNIT, self.word() * UNIT
        rho = math.sqrt(-2 * math.log(1 - y))
        self._pair, self._half = (x, y, rho), True
        return rho * math.cos(2 * math.pi * x)

    def normals(self, n: int) -> np.ndarray:
        """What ``n`` calls of :meth:`normal` would give."""
        out = np.empty(n)
        first = int(self._half and n > 0)
        if first:
            out[0] = self.normal()
        pairs = (n - first + 1) // 2
        if pairs:
            u = self.words(2 * pairs) * UNIT
            x, y = u[::2], u[1::2]
            rho = np.sqrt(-2 * ARRAY.log(1 - y))
            angle = 2 * math.pi * x
            out[first::2] = rho * ARRAY.cos(angle)
            out[first + 1 :: 2] = (rho * ARRAY.sin(angle))[: (n - first) // 2]
            self._pair = (float(x[-1]), float(y[-1]), float(rho[-1]))
            self._half = (n - first) % 2 == 1
        return out

    def _now(self) -> tuple[np.ndarray, int]:
        now: Any = self._bits.state["state"]
        return now["key"], now["pos"]

    @property
    def state(self) -> bytes:
        """The 5,048 bytes of Torch7's struct."""
        key, position = self._now()
        next_ = position
        if position == _WORDS and np.array_equal(key, MersenneTwister(self.seed)._now()[0]):
            next_ = 0  # nothing was drawn since seeding
        head = _HEAD.pack(self.seed, 1 + _WORDS - position, 1, next_)
        return head + key.astype("<u8").tobytes() + _TAIL.pack(*self._pair, self._half)

    @state.setter
    def state(self, raw: bytes) -> None:
        if len(raw) != STATE_SIZE:
            raise ShapeError(f"a state of Torch7's generator has {STATE_SIZE} bytes, got {len(raw)}")
        seed, left, seeded, next_ = _HEAD.unpack_from(raw)
        key = np.frombuffer(raw, "<u8", _WORDS, _HEAD.size)
        *pair, half = _TAIL.unpack_from(raw, STATE_SIZE - _TAIL.size)
        # With left = 1 all words are used up and `next` does not matter.
        if seeded != 1 or not (left == 1 or (1 < left <= _WORDS and next_ == 1 + _WORDS - left)):
            raise ArgumentError(
                f"not a valid state of Torch7's generator: seeded = {seeded}, left = {left}, next = {next_}"
            )
        if key.max() >= 2**32 or not key.any():
            raise ArgumentError("not a valid state of Torch7's generator: its words are not those of an MT19937")
        words: Any = {"key": key.astype(np.uint32), "pos": 1 + _WORDS - left}
        self._bits.state = {"bit_generator": "MT19937", "state": words}
        self.seed, self._pair, self._half, self._numpy = seed, tuple(pair), half != 0, None
