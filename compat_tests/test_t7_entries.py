"""Tables that are read many entries at once are those that the reader makes entry by entry."""

import io
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from t7_bytes import T

import luann
from luann.t7.entries import Entries

REFERENCE = Path(__file__).parent / "reference"


def one_by_one(data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Entries, "scalars", lambda self, frame: None)
        return read(data)


def read(data):
    try:
        return luann.load(data)
    except luann.FormatError as error:
        return str(error)


def dump(value):
    file = io.BytesIO()
    luann.save(file, value)
    return file.getvalue()


def told(value, seen=None):
    """A value with the types and signs of its numbers, and its identities."""
    seen = {} if seen is None else seen
    if isinstance(value, (list, dict)):
        if id(value) in seen:
            return f"<{seen[id(value)]}>"
        seen[id(value)] = len(seen)
        if isinstance(value, list):
            return [type(value).__name__, getattr(value, "order", None), *(told(v, seen) for v in value)]
        return [(told(k, seen), told(v, seen)) for k, v in value.items()]
    return f"{type(value).__name__} {value!r}" if not isinstance(value, float) else value.hex()


def same(data):
    fast, slow = read(data), one_by_one(data)
    assert told(fast) == told(slow)
    return fast


def record(index, names, numbers):
    return T.table(index, *(part for n, x in zip(names, numbers) for part in (T.string(n), T.number(x))))


@pytest.mark.parametrize(
    "numbers", [lambda i: (i, -i), lambda i: (i / 2, math.nan), lambda i: (-0.0, 2.0**63), lambda i: (math.inf, i % 3)]
)
def test_records_of_numbers(numbers):
    found = same(T.list(1, [record(i + 2, "xy", numbers(i)) for i in range(500)]))
    assert len(found) == 500 and all(type(t) is luann.Table for t in found)
    pairs = same(T.list(1, [T.list(i + 2, map(T.number, numbers(i))) for i in range(500)]))
    assert len(pairs) == 500 and all(type(t) is list for t in pairs)


@pytest.mark.parametrize("odd", [0, 1, 33, 40, 199])
@pytest.mark.parametrize(
    "other",
    [
        T.ref(5),  # what came before, or (at once) what comes later
        T.table(900),
        T.nil(),
        T.string(b"\xff"),
        record(901, ["x", "x"], (1, 2)),
        record(902, ["x", "a longer name"], (1, 2)),
        record(2, "xy", (3, 4)),  # the number of another table: then this is a reference, and the rest is in its way
        T.table(903, T.string("x"), T.boolean(True), T.string("y"), T.string("z")),
        T.table(904, T.string("x"), T.ref(1), T.string("y"), T.number(2)),
        T.table(905, T.number(2), T.number(2), T.number(1), T.number(2)),
        T.table(906, T.number(0), T.number(2), T.number(1), T.number(2)),
        T.table(907, T.number(math.nan), T.number(2), T.number(1), T.number(2)),
        T.table(908, T.boolean(True), T.number(2), T.number(1), T.number(2)),
    ],
)
def test_something_else_among_the_records(odd, other):
    items = [record(i + 2, "xy", (i, i)) for i in range(200)]
    items[odd] = other
    same(T.list(1, items))
    same(T.list(1, items)[:-7])


@pytest.mark.parametrize("keys", [range(200, 0, -1), [7] * 200, [i / 2 for i in range(200)], [-i for i in range(200)]])
def test_keys_that_are_not_in_order(keys):
    same(T.table(1, *(part for i, k in enumerate(keys) for part in (T.number(k), record(i + 2, "xy", (i, i))))))
    same(T.table(1, *(part for i, k in enumerate(keys) for part in (T.number(k), T.number(i)))))


def test_names_and_numbers():
    names = [f"n{i * i}" for i in range(300)]
    entries = [part for i, n in enumerate(names) for part in (T.string(n), T.number(i / 4))]
    assert list(same(T.table(1, *entries))) == names
    same(T.table(1, *entries)[:-9])
    for other in (T.string("text"), T.boolean(False), T.nil(), T.list(2, [T.number(1)])):
        same(T.table(1, *entries[:201], other, *entries[202:]))
    for key in (T.string(b"\xfe"), T.number(3), T.string("n1")):
        same(T.table(1, *entries[:200], key, *entries[201:]))


def test_a_file_of_many_windows(tmp_path):
    value = [luann.Table(x=i, name="n" * (i % 50)) for i in range(40_000)] + [[i, i + 0.5] for i in range(40_000)]
    value.append(luann.Table((f"key {i}", i) for i in range(40_000)))
    luann.save(tmp_path / "many.t7", value)
    assert (tmp_path / "many.t7").stat().st_size > 6 << 20
    assert told(luann.load(tmp_path / "many.t7")) == told(value)


PLAIN = st.one_of(st.integers(-5, 5), st.floats(), st.text(max_size=3), st.booleans())
TABLES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=40) | st.dictionaries(st.text(max_size=3) | st.integers(-3, 9), inner),
    max_leaves=60,
)


@settings(max_examples=150, deadline=None)
@given(value=TABLES, times=st.integers(1, 50), cut=st.integers(0, 30))
def test_whatever_is_in_it(value, times, cut):
    data = dump([value] * times)
    same(data[: len(data) - cut])


@pytest.mark.parametrize("path", sorted((REFERENCE / "serialization").glob("*.bin.t7")), ids=lambda path: path.name)
def test_the_reference_s_files(path):
    data = path.read_bytes()
    assert dump(read(data)) == dump(one_by_one(data))


def test_a_signalling_nan_among_numbers():
    numbers = [T.number(0.5)] * 99 + [T.ints(1) + bytes.fromhex("010000000000f07f")]
    assert math.isnan(same(T.list(1, numbers))[-1])
