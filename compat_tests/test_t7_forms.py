"""Reading .t7 files: the sizes of a long, byte orders, ASCII, and what a file may be given as."""

from __future__ import annotations

import gzip
import io
import math
from pathlib import Path

import pytest
import torch
from t7_bytes import T, Writer

import luann.t7 as t7
from luann import Storage
from luann.errors import ArgumentError
from luann.t7 import FormatError

SERIALIZATION = Path(__file__).parent / "reference" / "serialization"


# Longs, byte order and form


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("long_size", [8, 4])
def test_size_of_long_and_byte_order_are_found(order: str, long_size: int) -> None:
    """Whatever the first long of a file belongs to, and however the file goes on."""
    w = Writer(order, long_size)
    zeros = w.storage(4, "Long", [0, 0, 0])
    firsts = {
        "empty tensor": (w.empty(3, "Float"), torch.empty(0)),
        "empty tensor with a storage": (
            w.view(3, "Double", [], [], 1, w.storage(4, "Double", [1.0])),
            torch.empty(0).double(),
        ),
        "vector": (w.vector(3, "Float", [1, 2]), torch.tensor([1.0, 2])),
        "matrix": (w.view(3, "Long", [1, 3], [3, 1], 1, zeros), torch.zeros(1, 3, dtype=torch.int64)),
        "empty storage": (w.storage(3, "Long", []), Storage([])),
        "sizes": (w.storage(3, "Long", [2, 3]), Storage([2, 3])),
        "zero sizes": (w.storage(3, "Long", [0, 0]), Storage([0, 0])),
        "ones": (w.storage(3, "Long", [1, 1, 1, 1]), Storage([1, 1, 1, 1])),
        "doubles": (w.storage(3, "Double", [1.0, 2.0]), Storage([1.0, 2.0], "torch.DoubleStorage")),
        "bytes": (w.storage(3, "Byte", [0, 0, 0, 0]), Storage([0, 0, 0, 0], "torch.ByteStorage")),
    }
    rests = {
        "nothing": [],
        "empty": [w.empty(7, "Float")],
        "number": [w.number(2)],
        "text": [w.string("abcd")],
        "storage": [w.storage(7, "Double", [1.0])],
        "object": [w.obj(7, "nn.X", w.string("n"), w.number(1))],
        "reference": [w.ref(3, 4)],
    }
    # Numbers that begin with four zero bytes, and nothing after them: as well the beginning of a file with longs of 8
    # bytes that is cut off. An error then, not a guess.
    unclear = ("zero sizes", "doubles", "bytes") if (order, long_size) == ("<", 4) else ()
    for first, (data, want) in firsts.items():
        for rest, more in rests.items():
            if first in unclear and rest == "nothing":
                continue
            for file in (
                w.list(1, [data, *more]),
                w.table(1, w.string("first"), data, *([w.string("k"), *more] if more else [])),
            ):
                loaded = t7.load(file)
                value = loaded[0] if isinstance(loaded, list) else loaded["first"]
                same = torch.equal(value, want) if isinstance(want, torch.Tensor) else value == want
                assert same, (first, rest, value)
                assert len(loaded) == 1 + len(more)
        if first in unclear:
            with pytest.raises(FormatError, match="cut off"):
                t7.load(data)
            continue
        (alone,) = t7.Reader(data)
        assert torch.equal(alone, want) if isinstance(want, torch.Tensor) else alone == want, first


@pytest.mark.parametrize("written", [8, 4])
def test_a_wrong_size_of_long_is_never_silent(written: int) -> None:
    """Every file that the reference or the reader's tests have, read with the other size."""
    w, other = Writer(long_size=written), 12 - written
    for data in (
        w.list(1, [w.empty(2, "Float"), w.number(1)]),
        w.vector(1, "Float", [1, 2, 3]),
        w.view(1, "Float", [1, 3], [3, 1], 1, w.storage(2, "Float", [1, 2, 3])),
        w.view(1, "Float", [1, 1, 3], [3, 3, 1], 1, w.storage(2, "Float", [1, 2, 3])),
        w.list(1, [w.storage(2, "Long", [2, 3]), w.number(1)]),
        w.list(1, [w.storage(2, "Long", [0, 0]), w.number(1)]),
    ):
        t7.load(data, long_size=written)
        with pytest.raises(FormatError):
            t7.load(data, long_size=other)


def test_long_size_can_be_given() -> None:
    assert t7.load(SERIALIZATION / "long4.bin.t7", long_size=4)[2] == "text"
    with pytest.raises(FormatError):
        t7.load(SERIALIZATION / "long4.bin.t7", long_size=8)
    with pytest.raises(ArgumentError, match="long_size"):
        t7.load(SERIALIZATION / "long4.bin.t7", long_size=2)


def test_format_can_be_given() -> None:
    assert t7.load(SERIALIZATION / "string.ascii.t7", format="ascii") == "hello"
    assert t7.load(SERIALIZATION / "string.bin.t7", format="binary") == "hello"
    assert t7.load(b" \n 1 \n 5\n", format="ascii") == 5
    with pytest.raises(FormatError):
        t7.load(SERIALIZATION / "string.bin.t7", format="ascii")
    with pytest.raises(FormatError):
        t7.load(SERIALIZATION / "string.ascii.t7", format="binary")
    with pytest.raises(ArgumentError, match="format"):
        t7.load(b"", format="text")


def test_ascii_numbers() -> None:
    def ascii_vector(kind: str, numbers: bytes, n: int) -> bytes:
        return b"4\n1\n3\nV 1\n%d\ntorch.%sTensor\n1\n%d\n1\n1\n4\n2\n3\nV 1\n%d\ntorch.%sStorage\n%d\n%s\n" % (
            12 + len(kind), kind.encode(), n, 13 + len(kind), kind.encode(), n, numbers)  # fmt: skip

    numbers = [math.nan, math.inf, -math.inf, 0.1, -2.5e-3, 1e300, 7, 5e-324]
    loaded = t7.load(ascii_vector("Double", b"nan inf -inf 0.1 -2.5e-03 1e+300 7 4.9406564584124654e-324", 8))
    assert repr(loaded.tolist()) == repr([float(x) for x in numbers])
    many = [math.sin(i) for i in range(150_000)]
    loaded = t7.load(ascii_vector("Double", " ".join(f"{x:.17g}" for x in many).encode(), len(many)) + b"2\n1\nx\n")
    assert loaded.tolist() == many
    with_after = list(t7.Reader(ascii_vector("Int", b"1 2  3\n 4", 4) + b"2\n1\nx\n"))
    assert with_after[0].tolist() == [1, 2, 3, 4] and with_after[1] == "x"
    assert t7.load(b"1\n-nan\n") != t7.load(b"1\nnan\n")
    assert t7.load(b"1\r\n5\r\n") == 5
    for wrong in (b"1 2 x 4", b"1 2 3", b"1_0 2 3 4", b"1 2 3 1e99", b"1 2 3 4000000000000", b"", b"1.5 2 3 4"):
        with pytest.raises(FormatError):
            t7.load(ascii_vector("Int", wrong, 4))


# What a file may be given as


def test_kinds_of_files(tmp_path: Path) -> None:
    path = SERIALIZATION / "table_list.bin.t7"
    data, want = path.read_bytes(), ["a", "b", 10, True]
    assert t7.load(path) == t7.load(str(path)) == t7.load(data) == t7.load(bytearray(data)) == want
    assert t7.load(memoryview(data)) == t7.load(io.BytesIO(data)) == want
    with open(path, "rb") as buffered, open(path, "rb", buffering=0) as raw:
        assert t7.load(buffered) == t7.load(raw) == want
        assert not buffered.closed and not raw.closed
    zipped = tmp_path / "x.gz"
    zipped.write_bytes(gzip.compress(data))
    with gzip.open(zipped) as unzipped:
        assert t7.load(unzipped) == want
    with open(path, encoding="latin-1") as text, pytest.raises(ArgumentError, match="binary mode"):
        t7.load(text)
    with pytest.raises(ArgumentError, match="NoneType"):
        t7.load(None)
    with pytest.raises(FileNotFoundError):
        t7.load(tmp_path / "missing.t7")
    with pytest.raises(IsADirectoryError):
        t7.load(tmp_path)


@pytest.mark.parametrize("window", [1, 13, 100])
def test_a_window_may_end_anywhere(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files on disk are read piece by piece; where a piece ends must not matter."""
    monkeypatch.setattr(t7.reader, "classes", {})
    paths = [p for p in sorted(SERIALIZATION.glob("*.bin.t7")) if "packed" not in p.name]
    want = [repr(t7.load(path)) for path in paths]
    monkeypatch.setattr(t7.binary, "WINDOW", window)
    monkeypatch.setattr(t7.source, "WINDOW", max(window, 4))
    assert [repr(t7.load(path)) for path in paths] == want


@pytest.mark.parametrize(
    "data", [T.vector(1, "Float", [1, 2]), (SERIALIZATION / "tensor_scalar.ascii.t7").read_bytes()]
)
def test_what_torch_serialize_gives(data: bytes) -> None:
    """Torch7's MemoryFile, and so torch.serialize, puts a zero byte behind the object."""
    (tensor,) = t7.Reader(data + b"\0")
    assert torch.equal(tensor, t7.load(data)) and tensor.numel()


@pytest.mark.parametrize("opened", ["disk", "memory"])
def test_an_open_file_is_left_behind_the_object(opened: str, tmp_path: Path) -> None:
    data = b"head" + T.vector(1, "Float", range(500_000)) + T.string("second") + b"tail"
    (tmp_path / "x").write_bytes(data)
    with open(tmp_path / "x", "rb") if opened == "disk" else io.BytesIO(data) as file:
        assert file.read(4) == b"head"
        assert t7.load(file).numel() == 500_000
        assert t7.load(file) == "second"
        assert file.read() == b"tail"


def test_a_reader_goes_on_from_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "x.t7"
    path.write_bytes(b"".join(T.number(i) for i in range(3)))
    with t7.Reader(path) as objects:
        assert objects.read() == 0 and list(objects) == [1, 2] and list(objects) == []
        with pytest.raises(FormatError, match="cut off"):
            objects.read()


def test_a_damaged_object_can_not_be_had_by_reading_again() -> None:
    objects = t7.Reader(T.list(1, [T.number(1), T.ints(99)]) + T.ref(1))
    for _ in range(2):
        with pytest.raises(FormatError, match="99"):
            objects.read()
