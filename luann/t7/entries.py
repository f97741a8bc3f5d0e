"""The entries of tables in binary files, many at once.

A table is most of the work of reading a file that holds more than tensors. What the reader would do entry by entry is
done here in one loop for entries of numbers, strings, booleans and small tables, and by NumPy for runs of entries that
lie in memory alike.
"""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np

from ..table import Table

_RUN = 32  # entries of one form worth handing to numpy
_NAMED = 4  # entries of a string and a number worth a loop of their own
_SMALL = 64  # entries of a table that is read where it lies
_LIMIT = 2.0**63  # whole numbers below it become int


def whole(x: float) -> float | int:
    """A Lua number as Python's: int where it is whole, but minus zero stays a float."""
    if x.is_integer() and -_LIMIT < x < _LIMIT and (x or math.copysign(1.0, x) > 0):
        return int(x)
    return x


def wholes(a: np.ndarray) -> list:
    """:func:`whole` for each number of an array."""
    with np.errstate(invalid="ignore"):  # a signalling NaN
        is_whole = (np.trunc(a) == a) & (np.abs(a) < _LIMIT)
    is_whole &= (a != 0) | ~np.signbit(a)
    if is_whole.all():
        return a.astype(np.int64).tolist()
    numbers = a.tolist()
    for i in np.flatnonzero(is_whole).tolist():
        numbers[i] = int(numbers[i])
    return numbers


class Entries:
    """What :class:`.binary.Binary` has for tables."""

    buf: Any
    pos: int
    limit: int
    memo: dict

    def prepare(self, order: str) -> None:
        """Say in which order the bytes of a number are."""
        self._two = struct.Struct(order + "ii").unpack_from
        self._three = struct.Struct(order + "iii").unpack_from
        self._tag_double = struct.Struct(order + "id").unpack_from
        self._double_and_two = struct.Struct(order + "idii").unpack_from
        self._pair = np.dtype([("kt", order + "i4"), ("k", order + "f8"), ("vt", order + "i4"), ("v", order + "f8")])

    def scalars(self, frame: Any) -> None:
        """Read entries of a table, as long as the key is a number or a string, and the value one, a boolean or a small
        table of such.

        Stops before the first entry that is not, or that does not lie wholly in the window; where only the value is
        something else, stops before that, with the key in ``frame.key``.

        Args:
            frame: the table: see :class:`.frames.TableFrame`.
        """
        buf, pos, limit = self.buf, self.pos, self.limit
        two, tag_double = self._two, self._tag_double
        keys, values, left = frame.keys, frame.values, frame.left
        expected = len(values) + 1  # the next key, as long as the keys are 1, 2, 3, ...
        block, next_run, next_named, next_alike = _RUN, 0, 0, 0
        start = pos
        try:
            while left:
                start = pos
                tag, size = two(buf, pos)
                if tag == 2:
                    if left >= _NAMED and len(values) >= next_named:
                        done, pos = self._named(frame, left, pos)
                        next_named = len(values) + (0 if done else _RUN)
                        left -= done
                        start = pos
                        keys = frame.keys
                        continue
                    pos += 8
                    end = pos + size
                    if size < 0 or end > limit:
                        break
                    key = buf[pos:end].decode()
                    pos = end
                elif tag == 1:
                    if left >= _RUN and len(values) >= next_run and pos + 24 <= limit and two(buf, pos + 12)[0] == 1:
                        done = self._numbers(frame, min(left, block), pos)
                        block = block * 4 if done == block else _RUN
                        next_run = len(values) + (0 if done == block else _RUN)
                        left -= done
                        pos = start = pos + done * 24
                        keys, expected = frame.keys, len(values) + 1
                        continue
                    key = tag_double(buf, pos)[1]
                    if key.is_integer() and -_LIMIT < key < _LIMIT:
                        key = int(key)
                    elif key != key:  # nan is no key: the slow path says so
                        break
                    pos += 12
                else:
                    break
                tag, value = tag_double(buf, pos)
                if tag == 1:
                    if value.is_integer() and -_LIMIT < value < _LIMIT and (value or math.copysign(1.0, value) > 0):
                        value = int(value)
                    pos += 12
                elif tag == 2:
                    at = pos + 8
                    end = at + two(buf, pos)[1]
                    if end < at or end > limit:
                        break
                    value = buf[at:end].decode()
                    pos = end
                elif tag == 5:
                    value = two(buf, pos)[1] == 1
                    pos += 8
                else:
                    end = pos
                    if tag == 3:
                        value, end = self._small(pos)
                    if end == pos:
                        frame.key = key
                        start = pos
                        break
                    pos = end
                if keys is not None:
                    keys.append(key)
                elif key == expected:
                    expected += 1
                else:
                    keys = frame.spread()
                    keys.append(key)
                values.append(value)
                left -= 1
                if tag == 3 and left >= _RUN and len(values) >= next_alike:
                    done = self._alike(frame, min(left, block), start, pos)
                    block = block * 4 if done == block else _RUN
                    next_alike = len(values) + (0 if done == block else _RUN)
                    left -= done
                    pos += done * (pos - start)
                    keys, expected = frame.keys, len(values) + 1
            else:
                start = pos
        except (struct.error, UnicodeDecodeError):
            pass  # the window ends within this entry, or a string is no UTF-8
        self.pos = start
        frame.left = left

    def _numbers(self, frame: Any, n: int, pos: int) -> int:
        """Up to n entries whose key and value are numbers, as many as there are from ``pos`` on; returns how many."""
        n = min(n, (self.limit - pos) // 24)
        run = np.frombuffer(self.buf, self._pair, n, pos)
        keys = run["k"]
        good = (run["kt"] == 1) & (run["vt"] == 1) & (keys == keys)
        if not good.all():
            n = int(good.argmin())
            keys = keys[:n]
        self._extend(frame, keys, wholes(run["v"][:n]))
        return n

    def _extend(self, frame: Any, keys: np.ndarray, values: list) -> None:
        """Add entries whose keys are numbers."""
        first = len(frame.values) + 1
        if frame.keys is not None or not np.array_equal(keys, np.arange(first, first + len(values))):
            frame.spread().extend(wholes(keys))
        frame.values += values

    def _named(self, frame: Any, left: int, pos: int) -> tuple[int, int]:
        """Entries from ``pos`` on whose key is a string and whose value a number, but for the last of the table;
        returns how many, and where they end.
        """
        buf, unpack = self.buf, self._double_and_two
        keys: list[str] = []
        numbers: list[float] = []
        size = self._two(buf, pos)[1]
        try:
            while size >= 0 and left > len(numbers) + 1:
                end = pos + 8 + size
                name = buf[pos + 8 : end].decode()
                tag, value, next_tag, size = unpack(buf, end)
                if tag != 1:
                    break
                keys.append(name)
                numbers.append(value)
                pos = end + 12
                if next_tag != 2:
                    break
        except (struct.error, UnicodeDecodeError):
            pass
        if keys:
            frame.spread().extend(keys)
            frame.values += wholes(np.array(numbers))
        return len(keys), pos

    def _small(self, pos: int) -> tuple[Any, int]:
        """The small table at ``pos``, and where it ends, if nothing refers to other objects in it, and all of it lies
        in the window; else ``None`` and ``pos``.
        """
        buf, two, tag_double, limit = self.buf, self._two, self._tag_double, self.limit
        start = pos
        index, count = self._three(buf, pos)[1:]
        if index in self.memo or not 0 < count <= _SMALL:
            return None, start
        entries: dict = {}
        listed = True
        pos += 12
        try:
            for n in range(1, count + 1):
                tag, size = two(buf, pos)
                key: Any
                if tag == 1:
                    key = tag_double(buf, pos)[1]
                    listed = listed and key == n
                    if key.is_integer() and -_LIMIT < key < _LIMIT:
                        key = int(key)
                    elif key != key:
                        return None, start
                    pos += 12
                elif tag == 2:
                    listed = False
                    end = pos + 8 + size
                    if size < 0 or end > limit:
                        return None, start
                    key = buf[pos + 8 : end].decode()
                    pos = end
                else:
                    return None, start
                tag, value = tag_double(buf, pos)
                if tag == 1:
                    if value.is_integer() and -_LIMIT < value < _LIMIT and (value or math.copysign(1.0, value) > 0):
                        value = int(value)
                    pos += 12
                elif tag == 2:
                    at = pos + 8
                    pos = at + two(buf, pos)[1]
                    if pos < at or pos > limit:
                        return None, start
                    value = buf[at:pos].decode()
                elif tag == 5:
                    value = two(buf, pos)[1] == 1
                    pos += 8
                else:
                    return None, start
                entries[key] = value
        except (struct.error, UnicodeDecodeError):
            return None, start
        if not listed and 1 in entries and set(map(type, entries)) == {int}:
            return None, start  # perhaps a list in another order
        table = list(entries.values()) if listed else Table._from_names(entries)
        self.memo[index] = table
        return table, pos

    def _alike(self, frame: Any, n: int, start: int, pos: int) -> int:
        """Up to n entries from ``pos`` on that are as the one between ``start`` and ``pos`` but for their numbers: a
        number, and a small table of numbers under the same keys. Returns how many.
        """
        buf, size = self.buf, pos - start
        n = min(n, (self.limit - pos) // size)
        if n < _RUN or self._two(buf, start)[0] != 1:
            return 0
        names: list = []
        offsets = [4, 16]  # of the outer key, of the table's index, then of the numbers
        at = 24
        while at < size:
            tag, length = self._two(buf, start + at)
            if tag == 2:
                names.append(buf[start + at + 8 : start + at + 8 + length].decode())
                at += 8 + length
            else:
                names.append(whole(self._tag_double(buf, start + at)[1]))
                at += 12
            if self._two(buf, start + at)[0] != 1:
                return 0
            offsets.append(at + 4)
            at += 12
        number, index = self._pair["k"], self._pair["kt"]
        fields = [f"{i}" for i in range(len(offsets))]
        formats = [number, index, *[number] * len(names)]
        form = np.dtype({"names": fields, "formats": formats, "offsets": offsets, "itemsize": size})
        fixed = np.ones(size, bool)
        for offset, kind in zip(offsets, formats):
            fixed[offset : offset + kind.itemsize] = False
        rows = np.frombuffer(buf, np.uint8, (n + 1) * size, start).reshape(n + 1, size)[:, fixed]
        run = np.frombuffer(buf, form, n, pos)
        keys = run["0"]
        good = (rows[1:] == rows[0]).all(1) & (keys == keys)
        if not good.all():
            n = int(good.argmin())
            keys, run = keys[:n], run[:n]
        indices = run["1"].tolist()
        if len(set(indices)) < n or not self.memo.keys().isdisjoint(indices):
            return 0
        columns = zip(*(wholes(run[field]) for field in fields[2:]))
        tables: list
        if names == list(range(1, len(names) + 1)):
            tables = list(map(list, columns))
        else:
            tables = [Table._from_names(zip(names, row)) for row in columns]
        self.memo.update(zip(indices, tables))
        self._extend(frame, keys, tables)
        return n
