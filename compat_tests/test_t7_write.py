"""Writing .t7 files: byte for byte what Torch7 wrote, and every kind of value, there and back."""

from __future__ import annotations

import io
import math
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from t7_bytes import T
from t7_bytes import Writer as Bytes

import luann
import luann.t7 as t7
from luann import ArgumentError, Storage, Table
from luann.t7 import Function, Unknown, payloads, reader

REFERENCE = Path(__file__).parent / "reference"
FILES = sorted(path.relative_to(REFERENCE).as_posix() for path in REFERENCE.rglob("*.t7"))

UNVERSIONED = {"legacy_no_version": "tensors and storages are written with a version"}
BROUGHT_UP_TO_DATE = {
    "old_batchnorm": "running_std becomes running_var, and the version 2",
    "old_convolution": "padding becomes padW and padH, and the weight gets four dimensions",
    "old_gradient_reversal": "the field lambda is written, which the class once had not, and the version 2",
    "old_volumetric_pooling": "the version is that of today's class",
}


def dump(obj: Any, format: str = "binary", long_size: int = 8, **kwargs: Any) -> bytes:
    """What ``save`` writes."""
    file = io.BytesIO()
    luann.save(file, obj, format, long_size, **kwargs)
    return file.getvalue()


def back(obj: Any, **kwargs: Any) -> Any:
    """What is loaded of what was saved; nothing may be left over."""
    (loaded,) = t7.Reader(dump(obj, **kwargs), long_size=kwargs.get("long_size"))
    return loaded


@pytest.fixture
def no_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every object come as Unknown."""
    monkeypatch.setattr(reader, "classes", {})


@pytest.fixture
def packed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The layout of golden.Packed, a class that one of the reference's files holds."""

    def read(file: Any, version: float) -> Any:
        fields = {"n": file.int32(), "half": file.double(), "s": file.string()}
        fields["pair"] = yield
        return fields

    def write(file: Any, obj: Any) -> Any:
        fields = t7.fields_of(obj)
        file.int32(fields["n"])
        file.double(fields["half"])
        file.string(fields["s"])
        yield fields["pair"]

    monkeypatch.setitem(payloads.payloads, "golden.Packed", read)
    monkeypatch.setitem(payloads.writers, "golden.Packed", write)


# What Torch7 wrote


def options(name: str) -> dict:
    """How a file of the reference was written, where not as usual."""
    special = {"long4.bin": {"long_size": 4}, "big_endian.bin": {"byteorder": "big"}}
    return special.get(name, {"format": "ascii"} if name.endswith(".ascii") else {})


def check_bytes(file: str, exceptions: dict) -> None:
    """A file of the reference, loaded and saved, is the same file, unless it is excepted."""
    data = (REFERENCE / file).read_bytes()
    name = Path(file).stem
    same = dump(t7.load(data), **options(name)) == data
    assert same == (name.partition(".")[0] not in exceptions)


@pytest.mark.parametrize("file", FILES)
def test_loading_and_saving_gives_the_same_bytes(file: str, packed: None) -> None:
    check_bytes(file, UNVERSIONED | BROUGHT_UP_TO_DATE)


@pytest.mark.parametrize("file", FILES)
def test_unknown_objects_are_written_as_they_came(file: str, packed: None, no_classes: None) -> None:
    check_bytes(file, UNVERSIONED)


@pytest.mark.parametrize("name", [f[:-7] for f in FILES if f.endswith(".bin.t7") and f[:-7] + ".ascii.t7" in FILES])
def test_one_form_makes_the_other(name: str, packed: None, no_classes: None) -> None:
    binary, text = ((REFERENCE / f"{name}.{form}.t7").read_bytes() for form in ("bin", "ascii"))
    same = dump(t7.load(binary), "ascii") == text and dump(t7.load(text)) == binary
    assert same == (Path(name).name not in UNVERSIONED)


@pytest.mark.parametrize("kwargs", [{"long_size": 4}, {"byteorder": "big"}, {"long_size": 4, "byteorder": "big"}])
def test_other_machines(kwargs: dict, no_classes: None) -> None:
    for name in ("checkpoint", "table_mixed", "tensor_types", "module_graph", "storages"):
        data = (REFERENCE / "serialization" / f"{name}.bin.t7").read_bytes()
        if name in ("tensor_types", "storages") and "long_size" in kwargs:
            with pytest.raises(ArgumentError, match=r"does not fit into a long of 4 bytes: use long_size=8"):
                dump(t7.load(data), **kwargs)
            continue
        other = dump(t7.load(data), **kwargs)
        assert other != data or name == "table_mixed"  # which has no longs
        assert dump(t7.load(other, long_size=kwargs.get("long_size"))) == data


# Values, number by number


def test_scalars() -> None:
    assert dump(None) == T.nil() and dump(True) == T.boolean(True) and dump(np.bool_(False)) == T.boolean(False)
    for x in (0, 1, -7, 0.5, -0.0, 1e308, math.inf, 2**53, -(2**62), np.float64(0.1)):
        assert dump(x) == T.number(x)
    assert dump(np.float32(0.1)) == T.number(struct.unpack("f", struct.pack("f", 0.1))[0])
    assert dump(np.int16(-3)) == T.number(-3) and dump(np.uint64(2**63)) == T.number(2.0**63)
    assert dump("größe") == T.string("größe") and dump(b"\xff\0") == T.string(b"\xff\0") == dump(bytearray(b"\xff\0"))
    assert dump(np.str_("x")) == T.string("x") and dump("\udcff") == T.string(b"\xff") and dump("") == T.string("")


def test_scalars_in_ascii() -> None:
    nan = struct.unpack("d", struct.pack("Q", 0xFFF8 << 48))[0]
    texts = {0.1: "0.10000000000000001", 1e22: "1e+22", 10**15: "1000000000000000", -0.0: "-0", math.inf: "inf"}
    for x, text in texts.items():
        assert dump(x, "ascii") == f"1\n{text}\n".encode()
    assert dump(math.nan, "ascii") == b"1\nnan\n" and dump(nan, "ascii") == b"1\n-nan\n"
    assert dump(None, "ascii") == b"0\n" and dump(True, "ascii") == b"5\n1\n" and dump("ab", "ascii") == b"2\n2\nab\n"
    values = torch.tensor([0.1, -math.nan, math.nan, -2.0, math.inf])
    assert dump(Storage(values), "ascii").endswith(b"5\n0.100000001 -nan nan -2 inf\n")
    assert dump(torch.zeros(3, dtype=torch.int8), "ascii").endswith(b"torch.CharStorage\n3\n\0\0\0\n")


def test_tables() -> None:
    one, two = T.number(1), T.number(2)
    assert dump(["a", True]) == dump(("a", True)) == T.list(1, [T.string("a"), T.boolean(True)])
    assert dump([]) == dump({}) == dump(Table()) == T.table(1)
    assert dump({"b": 1, "a": 2, 2: 2}) == T.table(1, T.string("b"), one, T.string("a"), two, two, two)
    assert dump({"a": None, "b": 1}) == T.table(1, T.string("b"), one)  # nil is no value
    assert dump([None, 2, None]) == T.table(1, two, two) and back([None, 2, None]) == {2: 2}
    assert dump({0.5: 1, b"x": 2}) == T.table(1, T.number(0.5), one, T.string("x"), two)
    odd = Table({1: "one"})
    odd[True], odd[odd], key = "true", "itself", [5]
    odd[key] = key
    loaded = back(odd)
    assert loaded[1] == "one" and loaded[True] == "true" and loaded[loaded] == "itself"
    assert [v for k, v in loaded.items() if isinstance(k, list) and v is k] == [[5]]


def test_runs_of_numbers() -> None:
    """Long lists of numbers are written in one go, unless one of them is no double."""
    for n in (31, 32, 5000):
        values = [i / 2 if i % 3 else i for i in range(n)]
        assert dump(values) == T.list(1, map(T.number, values))
        assert dump(values, byteorder="big") == Bytes(">").list(1, map(Bytes(">").number, values))
        assert dump([*values, -0.0, 2**53, 2**60]) == T.list(1, map(T.number, [*values, -0.0, 2**53, 2**60]))
        for bad in (2**53 + 1, 2**64 + 1, 10**400):
            with pytest.raises(ArgumentError, match=rf"obj\[{n}\]: {bad} is no double"):
                dump([*values, bad])
        assert dump([*values, True]) == T.list(1, [*map(T.number, values), T.boolean(True)])


def test_the_order_of_a_list_in_its_file() -> None:
    entries = T.number(3), T.string("c"), T.number(1), T.string("a"), T.number(2), T.string("b")
    data = T.table(1, *entries)
    values = t7.load(data)
    assert values == ["a", "b", "c"] and dump(values) == data
    values[0] = "A"
    assert dump(values) == data.replace(b"a", b"A")
    assert dump([*values]) == dump(["A", "b", "c"])
    values.append("d")
    assert dump(values) == dump(["A", "b", "c", "d"])
    child = T.table(2, T.string("up"), T.ref(1))
    within = T.table(1, T.number(2), child, T.number(1), T.nil(), T.number(1), T.number(7))
    loaded = t7.load(within)
    assert loaded[0] == 7 and loaded[1].up is loaded and back(loaded)[0] == 7


def test_sharing_and_cycles() -> None:
    inner = {"x": 1}
    outer: list = [inner, inner, (inner,)]
    outer.append(outer)
    loaded = back(outer)
    assert loaded[0] is loaded[1] is loaded[2][0] and loaded[3] is loaded
    obj = Unknown("some.Class", 2, {"name": "x"})
    obj.me = obj
    fields = T.string("name"), T.string("x"), T.string("me"), T.ref(1, 4)
    assert dump(obj) == T.obj(1, "some.Class", *fields, version="V 2")


def test_depth() -> None:
    """100,000 levels of tables, and many of objects: no recursion, and an error that is no longer for it."""

    def nested(value: Any, depth: int, wrap: Any) -> Any:
        for _ in range(depth):
            value = wrap(value)
        return value

    for depth, wrap in (100_000, lambda x: [x]), (20_000, lambda x: Unknown("some.Class", 1, {"k": x})):
        loaded = back(nested("end", depth, wrap))
        for _ in range(depth):
            loaded = loaded[0] if type(loaded) is list else loaded["k"]
        assert loaded == "end"
    with pytest.raises(ArgumentError, match=r"^obj(\.k){8}\.\.\.\(19984 more\)\.\.\.(\.k){8}: a set has no form"):
        dump(nested({1}, 20_000, lambda x: Table(k=x)))


# Tensors

DTYPES = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.float32, torch.float64]


@pytest.mark.parametrize("kwargs", [{}, {"format": "ascii"}, {"long_size": 4}, {"byteorder": "big"}])
@pytest.mark.parametrize("dtype", DTYPES)
def test_tensors_of_every_type(dtype: torch.dtype, kwargs: dict) -> None:
    low, high = (-1e4, 1e4) if dtype.is_floating_point else (torch.iinfo(dtype).min, torch.iinfo(dtype).max)
    if dtype is torch.int64 and kwargs.get("long_size") == 4:
        low, high = -(2**31), 2**31 - 1
    whole = torch.tensor([low, high, 0, 1, 2, 3], dtype=dtype).view(2, 3)
    loaded = back([whole, whole.t(), whole[1], Storage(whole.view(-1))], **kwargs)
    assert [t.dtype for t in loaded[:3]] == [dtype] * 3 and torch.equal(loaded[0], whole)
    assert torch.equal(loaded[1], whole.t()) and loaded[1].stride() == (1, 3) and torch.equal(loaded[2], whole[1])
    assert len({t.untyped_storage().data_ptr() for t in (*loaded[:3], loaded[3].tensor)}) == 1
    assert loaded[3].typename == luann.typename(whole).replace("Tensor", "Storage") and len(loaded[3]) == 6


def test_large_tensors(tmp_path: Path) -> None:
    """Longer than any buffer, also on their way through other numbers, and into a file that takes a part at a time."""

    class Slow(io.RawIOBase):
        def __init__(self) -> None:
            self.data = bytearray()

        def write(self, data: Any) -> int:
            self.data += memoryview(data)[:300_001]
            return min(len(data), 300_001)

    values = [torch.arange(300_001.0), torch.arange(150_001), ["word"] * 60_000, np.arange(2.0**17 + 1)]
    for kwargs in ({}, {"byteorder": "big"}, {"long_size": 4}, {"format": "ascii"}):
        slow = Slow()
        luann.save(slow, values, **kwargs)
        luann.save(tmp_path / "x.t7", values, **kwargs)
        assert (tmp_path / "x.t7").read_bytes() == slow.data == dump(values, **kwargs)
        loaded = t7.load(tmp_path / "x.t7", long_size=kwargs.get("long_size"))
        assert torch.equal(loaded[0], values[0]) and torch.equal(loaded[1], values[1]) and loaded[2] == values[2]
        assert np.array_equal(loaded[3], values[3])


def test_tensors_that_torch7_knows_otherwise() -> None:
    assert dump(torch.empty(0)) == dump(torch.empty(0, 5)) == dump(torch.ones(9)[5:5]) == T.empty(1, "Float")
    assert dump(torch.tensor(5.0)) == T.vector(1, "Float", [5])
    assert dump(torch.tensor([True, False])) == T.vector(1, "Byte", [1, 0])
    parameter = torch.nn.Parameter(torch.ones(2))
    assert dump([parameter, parameter]) == T.list(1, [T.vector(2, "Float", [1, 1]), T.ref(2, 4)])
    assert dump(torch.imag(torch.tensor([1 + 2j, 3 + 4j]).conj())) == T.vector(1, "Float", [-2, -4])
    expanded = back(torch.ones(1).expand(1000))
    assert expanded.stride() == (0,) and expanded.untyped_storage().nbytes() == 4
    assert dump(Storage(torch.arange(9)[2:5])) == T.storage(1, "Long", [2, 3, 4])
    assert dump(torch.Size([2, 3])) == dump(Storage([2, 3])) == T.storage(1, "Long", [2, 3])


def test_numpy_arrays() -> None:
    for dtype in ("u1", "i1", "<i2", ">i2", "i4", ">i8", "f2", "f4", ">f8"):
        array = np.arange(6).reshape(2, 3).astype(dtype)
        for view in (array, array.T, array[:, ::-1], array[1]):
            loaded = back(view)
            assert loaded.numpy().dtype == array.dtype.newbyteorder("=") and np.array_equal(loaded, view)
    array.flags.writeable = False
    assert np.array_equal(back(array), array)
    loaded = back([array, array, np.array([True, False]), np.array(5.0), np.empty((0, 3))])
    assert loaded[0] is loaded[1] and loaded[2].dtype is torch.uint8 and loaded[2].tolist() == [1, 0]
    assert loaded[3].tolist() == [5] and loaded[4].numel() == 0


def test_views_are_written_compactly() -> None:
    base = torch.arange(1000.0)
    assert dump(base[10:20]) == T.vector(1, "Float", range(10, 20))
    column = base.view(10, 100)[:, 3]
    assert dump(column) == T.vector(1, "Float", range(3, 1000, 100))
    assert dump(base[::2]) == T.vector(1, "Float", range(0, 1000, 2))
    transposed = back(base[:6].view(2, 3).t())
    assert transposed.stride() == (1, 3) and transposed.untyped_storage().nbytes() == 24
    shrunk = torch.arange(100.0).resize_(3)
    assert dump(shrunk) == T.vector(1, "Float", range(3)) and dump(shrunk.resize_(0)) == T.empty(1, "Float")


def test_shared_views_stay_shared() -> None:
    base = torch.arange(1000.0)
    for views in ([base[10:20], base[15:30]], [base.view(10, 100)[:, 3], base.view(10, 100)[:, 4]]):
        first, second = back(views)
        assert torch.equal(first, views[0]) and torch.equal(second, views[1])
        assert first.untyped_storage()._cdata == second.untyped_storage()._cdata
        distance = views[1].storage_offset() - views[0].storage_offset()
        assert second.storage_offset() - first.storage_offset() == distance and first.storage_offset() == 0
    for rest in (base, Storage(base), Storage(base[:]), base.view(10, 100)):  # whatever covers it keeps it whole
        view = back([base[10:20], rest])[0]
        assert view.storage_offset() == 10 and view.untyped_storage().nbytes() == 4000
    assert len(dump(base[10:20], compact=False)) > 4000 and back(base[10:20], compact=False).storage_offset() == 10
    # memory seen as numbers of another type is another storage, as in Torch7
    floats, ints = back([base[:4], base[:4].view(torch.int32)])
    assert torch.equal(floats.view(torch.int32), ints) and floats.data_ptr() != ints.data_ptr()


def test_a_part_from_a_file_keeps_its_storage() -> None:
    data = T.view(1, "Float", [2], [1], 3, T.storage(2, "Float", range(10)))
    tensor = t7.load(data)
    assert dump(tensor) == data and dump(tensor.clone()) == T.vector(1, "Float", [2, 3])
    assert dump(tensor[:1]) == T.vector(1, "Float", [2])  # a part of it taken since is a view like any other
    tensor.set_(torch.arange(100.0)[5:7])
    assert dump(tensor) == T.vector(1, "Float", [5, 6])
    for held in (range(3), []):
        data = T.view(1, "Float", [], [], 1, T.storage(2, "Float", held))
        assert dump(t7.load(data)) == data


@pytest.mark.cuda
def test_cuda_tensors() -> None:
    cuda = [torch.arange(6.0, device="cuda").view(2, 3).t(), torch.ones(2, dtype=torch.float64, device="cuda")]
    data = dump([cuda[0], cuda[0], cuda[1], Storage(cuda[1])])
    assert b"torch.CudaTensor" in data and b"torch.CudaDoubleStorage" in data
    again = t7.load(data, map_location="cuda")
    assert torch.equal(again[0], cuda[0]) and again[0] is again[1] and dump(again) == data
    assert luann.typename(t7.load(data)[0]) == "torch.FloatTensor"


# Other objects


def test_functions() -> None:
    for form in (7, 8):
        function = Function(b"\x1bLJ", form=form)
        function.upvalues = [5, function]
        data = dump([function, function])
        upvalues = T.list(3, [T.number(5), T.ref(2, form)])
        assert data == T.list(1, [T.function(2, b"\x1bLJ", upvalues, form), T.ref(2, form)])
    old = Function(b"code", [1], form=6)
    first = T.function(None, b"code", T.list(2, [T.number(1)]), 6)
    assert dump([old, old]) == T.list(1, [first, T.function(None, b"code", T.ref(2), 6)])
    old.upvalues.append([old])
    with pytest.raises(ArgumentError, match=r"obj\.upvalues\[1\]\[0\]: a function of the old form 6"):
        dump(old)


def test_objects_with_a_layout_of_their_own() -> None:
    generator = luann.random.Generator()
    with pytest.raises(luann.Error, match=r"^obj\.g: .*manualSeed"):
        dump(Table(g=generator))
    generator.manualSeed(5)
    drawn = back([generator, luann.timer.Timer(), "after"])
    assert drawn[0].random() == generator.random() and drawn[2] == "after"
    hashed = t7.Hash({"k": 1, 2: t7.Vec([1, None, "x"])})
    hashed["self"], hashed["counter"] = hashed, t7.AtomicCounter(7)
    for kwargs in ({}, {"format": "ascii"}, {"long_size": 4}):
        loaded = back(hashed, **kwargs)
        assert isinstance(loaded, t7.Hash) and loaded["self"] is loaded and loaded.counter.value == 7 and loaded.k == 1
        assert isinstance(loaded[2], t7.Vec) and loaded[2] == [1, None, "x"]
    assert dump(t7.Vec(["x"])) == T.head(1, "tds.Vec", "V 0") + T.longs(1) + T.string("x")
    parallel = Unknown("nn.DataParallelTable", 3, {"gpuAssignments": [1, 2]})
    assignments = T.list(2, [T.number(1), T.number(2)])
    fields = T.table(3, T.string("gpuAssignments"), T.ref(2))
    assert dump(parallel) == T.head(1, "nn.DataParallelTable", "V 3") + assignments + fields
    parallel = Unknown("nn.DataParallelTable", 1, {"dimension": 1})
    assert dump(parallel) == T.obj(1, "nn.DataParallelTable", T.string("dimension"), T.number(1))


def test_registering_a_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(payloads.payloads, "my.Header", lambda file, version: {"size": file.int32()})
    obj = Unknown("my.Header", 4, {"size": 3})
    with pytest.raises(ArgumentError, match=r"^obj\[0\]: my\.Header has a layout of its own"):
        dump([obj])
    try:
        t7.register_payload("my.Header", write=lambda file, obj: file.int32(obj.size))
        assert dump(obj) == T.head(1, "my.Header", "V 4") + T.ints(3) and back(obj).size == 3
    finally:
        del payloads.writers["my.Header"]


def test_objects_of_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain:
        _typename = "my.Plain"

    obj = Plain()
    obj.a, obj.none, obj.n = 1, None, "x"
    assert dump(obj) == T.obj(1, "my.Plain", T.string("a"), T.number(1), T.string("n"), T.string("x"))
    Plain._version = 3
    assert dump(obj).startswith(T.head(1, "my.Plain", "V 3"))
    old = T.ints(4, 1) + T.chars("old.Class") + T.table(2)  # from before there were versions
    assert dump(t7.load(old)) == old

    class Slotted:
        _typename = "my.Slotted"
        __slots__ = ()

    with pytest.raises(ArgumentError, match=r"my\.Slotted without attributes"):
        dump(Slotted())


# What cannot be written


class Odd:
    """Something that luann has never heard of."""


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        ({1, 2}, r"^obj: a set has no form in Torch7"),
        ({"net": [1, Table(f=len)]}, r"^obj\['net'\]\[1\]\.f: a builtin_function_or_method has no form"),
        ([Unknown("my.Class", 1, {"a b": Odd()})], r"^obj\[0\]\['a b'\]: an Odd has no form"),
        ({"x": 2**53 + 1}, r"^obj\['x'\]: 9007199254740993 is no double"),
        ([10**400], r"^obj\[0\]: 10+ is no double"),
        ([1j], r"^obj\[0\]: a complex has no form"),
        ([np.complex64(1)], r"^obj\[0\]: a complex64 has no form"),
        ([torch.zeros(2, dtype=torch.complex64)], r"^obj\[0\]: a tensor of torch\.complex64 has no form .*convert it"),
        ([torch.zeros(2, dtype=torch.bfloat16)], r"^obj\[0\]: a tensor of torch\.bfloat16 has no form"),
        ([torch.zeros(2).to_sparse()], r"^obj\[0\]: a torch\.sparse_coo tensor has no form"),
        ([torch.zeros(2, device="meta")], r"^obj\[0\]: a meta tensor has no form"),
        ([np.zeros(2, "u4")], r"^obj\[0\]: an array of uint32 has no form in Torch7: convert it first"),
        ([np.ma.array([1])], r"^obj\[0\]: a masked array has no form"),
        ([np.array(["x"])], r"^obj\[0\]: an array of <U1 has no form"),
        (["\ud800"], r"^obj\[0\]: a str that is no text: surrogates not allowed"),
        ({math.nan: 1}, r"^obj: None or nan as a key"),
        ({None: 1}, r"^obj: None or nan as a key"),
        ({"a": 1, b"a": 2}, r"^obj: a str and bytes as keys that are the same string"),
        ({frozenset(): 1}, r"^obj<key>: a frozenset has no form"),
        ({(1, 2): Odd()}, r"^obj\[a tuple\]: an Odd has no form"),
    ],
)
def test_what_has_no_form_in_torch7(obj: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message) as caught:
        dump(obj)
    assert caught.value.path.startswith("obj")


def test_the_path_of_an_error_in_a_module() -> None:
    net = luann.nn.Sequential().add(luann.nn.Linear(2, 2)).add(luann.nn.Tanh())
    net.modules[1].callback = lambda: None
    with pytest.raises(ArgumentError, match=r"^obj\['net'\]\.modules\[1\]\.callback: a function has no form"):
        dump({"net": net})


def test_arguments() -> None:
    for kwargs, message in [
        ({"format": "text"}, "format is 'binary' or 'ascii'"),
        ({"long_size": 2}, "long_size is 8 or 4"),
        ({"byteorder": "<"}, "byteorder is 'little' or 'big'"),
    ]:
        with pytest.raises(ArgumentError, match=message):
            dump(1, **kwargs)
    for file in (5, b"name", io.StringIO()):
        with pytest.raises(ArgumentError, match="a path or to a file opened in binary mode"):
            luann.save(file, 1)


# Arbitrary values

TEXT = st.one_of(st.text(), st.binary().map(lambda b: b.decode("utf-8", "surrogateescape")))
NUMBER = st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=True, allow_infinity=True))


@st.composite
def tensors(draw: Any) -> torch.Tensor:
    dtype = draw(st.sampled_from(DTYPES))
    size = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    tensor = torch.arange(math.prod(size)).to(dtype).view(size)
    for _ in range(draw(st.integers(0, 2))):
        tensor = tensor.transpose(*draw(st.tuples(*[st.integers(0, tensor.dim() - 1)] * 2)))
        tensor = tensor.narrow(0, draw(st.integers(0, tensor.shape[0] - 1)), 1) if draw(st.booleans()) else tensor
    return tensor


def values() -> Any:
    leaves = st.one_of(st.none(), st.booleans(), NUMBER, TEXT, tensors())
    keys = st.one_of(TEXT, NUMBER.filter(lambda x: x == x), st.booleans())

    def more(inner: Any) -> Any:
        entries = st.lists(st.tuples(keys, inner), max_size=5)
        fields = st.dictionaries(TEXT, inner, max_size=4)
        return st.one_of(
            st.lists(inner, max_size=40),
            entries.map(Table),
            fields.map(lambda f: Unknown("some.Class", 2, f)),
            inner.map(lambda x: [x, x]),
        )

    return st.recursive(leaves, more, max_leaves=25)


def assert_same(got: Any, want: Any, seen: dict[int, Any], fields: bool = False) -> None:
    """What was loaded is what was saved, as Lua sees it: 1 is 1.0, nil is no entry. Fields are a Table in any case."""
    if isinstance(want, (list, Table, Unknown, torch.Tensor)):
        if id(want) in seen:
            assert got is seen[id(want)]
            return
        seen[id(want)] = got
    if isinstance(want, torch.Tensor):
        assert got.dtype is want.dtype and torch.equal(got, want)
    elif isinstance(want, Unknown):
        assert isinstance(got, Unknown) and got.typename == want.typename and got.version == want.version
        assert_same(got.fields, want.fields, seen, fields=True)
    elif isinstance(want, (list, Table)):
        entries = enumerate(want, 1) if isinstance(want, list) else want.items()
        left = Table((k, v) for k, v in entries if v is not None)
        numbers = sorted(k for k in left if type(k) in (int, float))
        listed = len(left) > 0 and len(numbers) == len(left) and numbers == list(range(1, len(left) + 1))
        assert isinstance(got, list if listed and not fields else Table) and len(got) == len(left)
        for key, value in left.items():
            assert_same(got[int(key) - 1 if isinstance(got, list) else key], value, seen)
    elif isinstance(want, float):
        assert isinstance(got, (int, float)) and (got == want or (got != got and want != want))
        assert math.copysign(1, got) == math.copysign(1, want)
    else:
        assert got == want and (type(got) is type(want) or isinstance(want, int))


@settings(max_examples=150, deadline=None)
@given(value=values(), format=st.sampled_from(["binary", "ascii"]), byteorder=st.sampled_from(["little", "big"]))
def test_arbitrary_values(value: Any, format: str, byteorder: str) -> None:
    data = dump(value, format, byteorder=byteorder)
    loaded = t7.load(data)
    assert_same(loaded, value, {})
    assert dump(loaded, format, byteorder=byteorder) == data


# Several objects in one file


def test_writer(tmp_path: Path) -> None:
    path = tmp_path / "many.t7"
    shared = torch.arange(10.0)
    objects: list = [[shared[:2]], {"view": shared[5:]}, 5, None, shared]
    with t7.Writer(path) as file:
        for obj in objects:
            file.write(obj)
        assert not path.exists()
    first, second, *rest = t7.Reader(path)
    assert rest[:2] == [5, None] and torch.equal(rest[2], shared)
    for view in (first[0], second.view):
        assert view.untyped_storage()._cdata == rest[2].untyped_storage()._cdata
    file.close()
    with pytest.raises(ArgumentError, match="the writer is closed"):
        file.write(1)
    with open(path, "wb") as own:
        own.write(b"head")
        with t7.Writer(own, format="ascii") as file:
            file.write(7)
            file.write("x")
        own.write(b"0\n")
    assert path.read_bytes() == b"head1\n7\n2\n1\nx\n0\n"
    assert list(t7.Reader(path.read_bytes()[4:])) == [7, "x", None]


def test_a_writer_after_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "x.t7"
    luann.save(path, "old")
    file = t7.Writer(path)
    file.write(1)
    with pytest.raises(ArgumentError, match=r"^obj\[1\]: a set"):
        file.write([1, {2}])
    with pytest.raises(ArgumentError, match="an earlier object failed"):
        file.write(3)
    file.close()
    assert luann.load(path) == "old" and os.listdir(tmp_path) == ["x.t7"]
