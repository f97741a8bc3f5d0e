"""Reading .t7 files: what real Torch7 wrote, in binary and in ASCII."""

from __future__ import annotations

import io
import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from t7_bytes import T, Writer

import luann.t7 as t7
from luann import Storage, typename
from luann.errors import ArgumentError
from luann.t7 import FormatError, Function, Unknown, reader
from luann.table import Table

SERIALIZATION = Path(__file__).parent / "reference" / "serialization"
ENTRIES = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(SERIALIZATION.glob("*.json"))}
FILES = [(name, form) for name, entry in ENTRIES.items() for form in ("binary", "ascii") if form in entry["files"]]


@pytest.fixture
def no_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every object come as Unknown, so that what is seen is what stands in the file."""
    monkeypatch.setattr(reader, "classes", {})


def objects_in(file: Any) -> list:
    """All objects of a file."""
    with t7.Reader(file) as objects:
        return list(objects)


def golden_packed(file: Any, version: float) -> Any:
    fields = {"n": file.int32(), "half": file.double(), "s": file.string()}
    fields["pair"] = yield
    return fields


# What a file must hold, as its JSON says


def number(x: float | str) -> float:
    return float(x)


def same_number(got: Any, want: float | str) -> bool:
    want = float(want)
    if math.isnan(want):
        return isinstance(got, float) and math.isnan(got)
    integral = want.is_integer() and not (want == 0 and math.copysign(1, want) < 0) and abs(want) < 2**63
    return type(got) is (int if integral else float) and got == want and math.copysign(1, got) == math.copysign(1, want)


def text_of(node: dict) -> bytes:
    return bytes(node["bytes"]) if "bytes" in node else node["value"].encode("utf-8")


def same_numbers(got: torch.Tensor, want: list) -> bool:
    if not got.is_floating_point():
        return got.tolist() == want
    wanted = torch.tensor([float(x) for x in want], dtype=torch.float64).to(got.dtype)
    return np.array_equal(got.double().numpy(), wanted.double().numpy(), equal_nan=True) and bool(
        (torch.signbit(got) == torch.signbit(wanted))[~got.isnan()].all()
    )


class Expectation:
    """Compares an object with its description; things that are one must be one, others must be apart."""

    def __init__(self) -> None:
        self.seen: dict[int, Any] = {}
        self.storages: dict[int, int] = {}

    def meet(self, node: dict, value: Any) -> None:
        assert not any(value is other for other in self.seen.values())
        self.seen[node["id"]] = value

    def check(self, node: dict, value: Any, where: str) -> None:
        kind = node["type"]
        if kind == "nil":
            assert value is None, where
        elif kind == "boolean":
            assert value is node["value"], where
        elif kind == "number":
            assert same_number(value, node["value"]), (where, value)
        elif kind == "string":
            data = value.encode("utf-8", "surrogateescape")
            assert isinstance(value, str) and data == text_of(node) and len(data) == node["length"], where
        elif kind == "reference" and node["id"] in self.seen:
            assert value is self.seen[node["id"]], where
        elif kind == "reference":  # to the storage of a tensor
            assert value.tensor.data_ptr() == self.storages[node["id"]], where
        else:
            getattr(self, kind)(node, value, where)

    def table(self, node: dict, value: Any, where: str) -> None:
        self.meet(node, value)
        keys = [e["key"].get("value") for e in node["entries"] if e["key"]["type"] == "number"]
        listed = node["count"] > 0 and sorted(keys) == list(range(1, node["count"] + 1))
        assert type(value) is list if listed else isinstance(value, Table), where
        assert len(value) == node["count"], where
        self.entries(node["entries"], Table(enumerate(value, 1)) if listed else value, where)

    def entries(self, entries: list, value: Table, where: str) -> None:
        assert len(value) == len(entries), (where, list(value))
        objects = [key for key in value if not isinstance(key, (str, int, float))]
        for entry in entries:
            node = entry["key"]
            if node["type"] == "string":
                key = text_of(node).decode("utf-8", "surrogateescape")
            elif node["type"] in ("number", "boolean"):
                key = node["value"]
            elif node["type"] == "reference":
                key = self.seen[node["id"]]
            else:
                (key,) = (k for k in objects if isinstance(k, torch.Tensor) == (node["type"] == "tensor"))
                self.check(node, key, f"{where}<key>")
            assert key in value, (where, key)
            assert key is not True or value[True] is not value.get(1)
            self.check(entry["value"], value[key], f"{where}.{key}")

    def tensor(self, node: dict, value: Any, where: str) -> None:
        self.meet(node, value)
        assert isinstance(value, torch.Tensor) and typename(value) == node["class"], where
        if node["dimensions"] == 0:
            assert value.shape == (0,), where
        else:
            assert list(value.shape) == node["size"] and list(value.stride()) == node["stride"], where
            assert value.storage_offset() == node["storageOffset"] - 1, where
            assert same_numbers(value.reshape(-1), node["values"]), where
        held = torch.empty(0, dtype=value.dtype).set_(value.untyped_storage())
        self.memory(node["storage"], held, where)

    def storage(self, node: dict, value: Any, where: str) -> None:
        self.meet(node, value)
        assert isinstance(value, Storage) and value.typename == node["class"] and len(value) == node["size"], where
        self.memory(node, value.tensor, where)

    def memory(self, node: dict, value: torch.Tensor, where: str) -> None:
        if node["type"] == "nil":
            assert value.numel() == 0, where
        elif node["type"] == "reference":
            assert value.data_ptr() == self.storages[node["id"]], where
        else:
            assert value.numel() == node["size"] and same_numbers(value, node["values"]), where
            assert not value.numel() or value.data_ptr() not in self.storages.values(), where
            self.storages[node["id"]] = value.data_ptr()

    def object(self, node: dict, value: Any, where: str) -> None:
        if "id" in node:
            self.meet(node, value)
        assert isinstance(value, Unknown) and value.typename == node["class"] == typename(value), where
        assert value.version == node.get("version", 1), where
        fields = node["fields"]
        self.entries(fields["entries"] if isinstance(fields, dict) else fields, value.fields, where)

    def function(self, node: dict, value: Any, where: str) -> None:
        self.meet(node, value)
        assert isinstance(value, Function) and value.dumped.startswith(b"\x1bLJ"), where
        assert len(value.upvalues) == len(node["upvalues"]), where
        for want, got in zip(node["upvalues"], value.upvalues):
            if value.form == 8:
                assert got["name"] == want["name"], where
                got = got["value"]
            self.check(want["value"], got, f"{where}.{want['name']}")


@pytest.mark.parametrize(("name", "form"), FILES)
def test_reference(name: str, form: str, no_classes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file of the reference holds what its JSON says, and nothing is left over."""
    monkeypatch.setitem(t7.payloads.payloads, "golden.Packed", golden_packed)
    entry = ENTRIES[name]
    path = SERIALIZATION / entry["files"][form]
    objects = objects_in(path)
    assert len(objects) == 1
    (value,) = objects
    node = entry["expect"]
    if name == "table_deep":
        for depth in range(1, 150):
            assert value.keys() == {"depth", "next"} and value.depth == depth
            value = value.next
        assert value == {"value": "end"}
    elif name == "generator":
        assert value.typename == "torch.Generator" and list(value.state) == entry["extra"]["bytes"]
    elif name == "module_gpu":
        assert value.typename == "nn.GPU" and value.version == 1
        expectation = Expectation()
        expectation.entries(node["fields"]["entries"], value.fields, "")
    elif name == "timer":
        timer = value[0].fields.pop("timer")
        assert isinstance(timer, Unknown) and timer.typename == "torch.Timer" and not timer.fields
        Expectation().check(node["table"], value, "")
    elif name == "class_packed":
        assert value[1] == "after"
        assert value[0].fields == {"n": 12, "half": 6, "s": "packed", "pair": ["packed", 12]}
    else:
        Expectation().check(node, value, "")


def test_every_kind_of_description_is_checked() -> None:
    kinds = {entry["expect"]["type"] for entry in ENTRIES.values()}
    special = {"note", "chain"}  # the files that test_reference treats by name
    assert {n for n, e in ENTRIES.items() if e["expect"]["type"] in special} == {"module_gpu", "timer", "table_deep"}
    assert kinds - special <= {"nil", "boolean", "number", "string", "table", "tensor", "storage", "object", "function"}


@pytest.mark.parametrize("name", ["module_sequential", "tensor_views", "numbers", "storages"])
def test_both_forms_hold_the_same(name: str, no_classes: None) -> None:
    binary, text = (t7.load(SERIALIZATION / f"{name}.{form}.t7") for form in ("bin", "ascii"))
    assert repr(binary) == repr(text)


def test_all_other_files_of_the_reference_load() -> None:
    paths = [p for p in SERIALIZATION.parent.rglob("*.t7") if p.parent.name != "serialization"]
    assert len(paths) > 150
    for path in paths:
        (value,) = objects_in(path)
        assert isinstance(value, (list, Table)), path


def test_shared_storages_are_one_memory() -> None:
    views = t7.load(SERIALIZATION / "tensor_views.bin.t7")
    views.whole[0, 2] = 99
    assert views.turned[2, 0] == views.column[0] == views.storage[2] == 99
    assert views.storage.tensor.untyped_storage().data_ptr() == views.whole.untyped_storage().data_ptr()


# Lua's values as Python's


@pytest.mark.parametrize(
    ("x", "want"),
    [
        (0.0, 0), (-0.0, -0.0), (5.0, 5), (-7.0, -7), (1.5, 1.5), (2.0**53, 2**53), (2.0**62, 2**62),
        (2.0**63, 2.0**63), (-(2.0**63), -(2.0**63)), (1e300, 1e300), (math.inf, math.inf), (5e-324, 5e-324),
    ],
)  # fmt: skip
@pytest.mark.parametrize("n", [1, 100])
def test_numbers(x: float, want: float, n: int) -> None:
    """Whole numbers are int, others and minus zero float; alone, in a list, and in a run long enough for numpy."""
    loaded = t7.load(T.list(1, [T.number(x)] * n))
    assert loaded == [want] * n
    for got in (t7.load(T.number(x)), loaded[0], loaded[-1]):
        assert type(got) is type(want) and math.copysign(1, got) == math.copysign(1, want)


def test_lists_and_tables() -> None:
    one, two = T.number(1), T.number(2)
    assert t7.load(T.table(1, one, T.string("a"), two, T.string("b"))) == ["a", "b"]
    assert t7.load(T.table(1, two, T.string("b"), one, T.string("a"))) == ["a", "b"]
    assert t7.load(T.table(1, two, T.string("b"))) == Table({2: "b"})
    assert t7.load(T.table(1)) == Table() and type(t7.load(T.table(1))) is Table
    mixed = t7.load(T.table(1, one, T.string("a"), T.string("n"), two))
    assert type(mixed) is Table and list(mixed.items()) == [(1, "a"), ("n", 2)]
    assert type(t7.load(T.table(1, T.number(1.5), one))) is Table
    odd = t7.load(T.table(1, T.boolean(True), one, two, two))
    assert type(odd) is not list and odd[True] == 1 and odd[2] == 2
    assert t7.load(T.table(1, one, T.nil(), two, two)) == Table({2: 2})  # an entry that is nil is none


def test_a_table_keeps_the_order_of_the_file() -> None:
    keys = [f"key{(i * 7) % 101}" for i in range(101)]
    table = t7.load(T.table(1, *(part for k in keys for part in (T.string(k), T.number(1)))))
    assert list(table) == keys


def test_long_runs_of_numbers() -> None:
    values = [i * 0.5 for i in range(100_000)]
    assert t7.load(T.list(1, map(T.number, values))) == values
    keys = [i * i + 0.5 for i in range(1000)]
    table = t7.load(T.table(1, *(part for k in keys for part in (T.number(k), T.number(1)))))
    assert list(table) == keys
    shuffled = [(i * 37) % 1000 + 1 for i in range(1000)]
    assert t7.load(T.table(1, *(T.number(k) for k in shuffled for _ in "kv"))) == list(range(1, 1001))


def test_runs_that_are_interrupted() -> None:
    for at in (0, 1, 31, 32, 33, 64, 96, 127, 128, 199):
        items = [T.number(i) for i in range(200)]
        want: list = list(range(200))
        for place, (data, value) in zip(
            (at, (at + 40) % 200), ((T.string("x"), "x"), (T.table(7, T.string("a"), T.nil()), Table()))
        ):
            items[place], want[place] = data, value
        assert t7.load(T.list(1, items)) == want


def test_strings() -> None:
    assert t7.load(T.string("größe €")) == "größe €"
    loaded = t7.load(T.table(1, T.string(b"\xff\xfe"), T.string(b"a\x80")))
    ((key, value),) = loaded.items()
    assert (
        key.encode("utf-8", "surrogateescape") == b"\xff\xfe" and value.encode("utf-8", "surrogateescape") == b"a\x80"
    )
    assert t7.load(T.string(b"a\0b")) == "a\0b"


def test_files_longer_than_the_window(tmp_path: Path) -> None:
    """Every entry that the end of a window can cut apart."""
    words = [f"word{i}" * (i % 5 + 1) for i in range(60_000)]
    tensors = [T.vector(2 * i + 2, "Float", range(40)) for i in range(3000)]
    path = tmp_path / "long.t7"
    path.write_bytes(
        T.list(1, [*map(T.string, words), *tensors, *map(T.number, range(100_000)), *[T.boolean(True)] * 70_000])
    )
    assert path.stat().st_size > 6e6
    loaded = t7.load(path)
    assert loaded[:60_000] == words
    assert all(torch.equal(t, torch.arange(40.0)) for t in loaded[60_000:63_000])
    assert loaded[63_000:163_000] == list(range(100_000)) and loaded[163_000:] == [True] * 70_000


# One object is one object


def test_cycles() -> None:
    table = t7.load(T.table(1, T.string("me"), T.ref(1)))
    assert table.me is table
    listed = t7.load(T.list(1, [T.ref(1), T.number(5)]))
    assert type(listed) is list and listed[0] is listed and listed[1] == 5
    obj = t7.load(T.obj(1, "some.Class", T.string("me"), T.ref(1, 4)))
    assert obj.me is obj
    fields = t7.load(T.obj(1, "some.Class", T.string("fields"), T.ref(2)))
    assert isinstance(fields["fields"], Table)


@pytest.mark.parametrize("long_way", [False, True])
def test_a_table_met_before_it_is_complete(long_way: bool) -> None:
    """Whether it is a list shows only at its end, when something already refers to it."""
    one, two, name = T.number(1), T.number(2), T.string("name")
    child = T.table(2, T.string("parent"), T.ref(1))
    rest = [T.table(3, T.string("sibling"), T.ref(2))] * 2000 if long_way else []
    padding = [part for i, item in enumerate(rest) for part in (T.number(i + 3), item if i == 0 else T.ref(3))]
    as_list = t7.load(T.table(1, one, child, two, two, *padding))
    assert type(as_list) is list and as_list[0].parent is as_list and as_list[1] == 2
    backwards = t7.load(T.table(1, two, two, one, child, *padding))
    assert isinstance(backwards, list) and backwards[0].parent is backwards and backwards[1] == 2
    as_table = t7.load(T.table(1, one, child, two, two, *padding, name, name))
    assert type(as_table) is Table and as_table[1].parent is as_table and as_table.name == "name"
    gap = t7.load(T.table(1, one, child, *padding, T.number(4444), two))
    assert type(gap) is Table and gap[1].parent is gap


def test_guessing_wrong_makes_each_object_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Kept:
        def _restore(self, fields: dict, version: float) -> None:
            self.owner = fields["owner"]
            assert isinstance(self.owner, Table)  # fails in the pass that takes it for a list

    monkeypatch.setitem(reader.classes, "some.Kept", Kept)
    kept = T.obj(2, "some.Kept", T.string("owner"), T.ref(1))
    data = T.table(1, T.number(1), kept, T.string("name"), T.string("x"))
    (first, second) = t7.Reader(data + T.ref(1))
    assert type(first) is Table and first[1].owner is first is second


def test_several_objects_in_one_file() -> None:
    data = T.table(1, T.string("a"), T.number(1)) + T.number(5) + T.nil() + T.ref(1) + T.string("end")
    objects = list(t7.Reader(data))
    assert objects == [{"a": 1}, 5, None, {"a": 1}, "end"] and objects[3] is objects[0]
    assert t7.load(data) == {"a": 1}
    assert list(t7.Reader(b"1\n5\n2\n2\nab\n0\n")) == [5, "ab", None]


def test_depth() -> None:
    """100,000 levels of tables; and lists, objects and objects with a layout of their own."""
    depth = 100_000
    tables = b"".join(T.ints(3, i, 1) + T.string("next") for i in range(depth)) + T.boolean(True)
    value = t7.load(tables)
    for _ in range(depth):
        value = value.next
    assert value is True
    with pytest.raises(FormatError, match=r"more\)\.\.\.") as caught:
        t7.load(tables[:-8])
    assert len(str(caught.value)) < 400
    depth = 20_000
    value = t7.load(b"".join(T.ints(3, i, 1) + T.number(1) for i in range(depth)) + T.boolean(True))
    for _ in range(depth):
        (value,) = value
    assert value is True
    objects = b"".join(T.head(2 * i, "some.Class") + T.ints(3, 2 * i + 1, 1) + T.string("next") for i in range(depth))
    value = t7.load(objects + T.boolean(True))
    for _ in range(depth):
        value = value.next
    assert value is True
    value = t7.load(b"".join(T.head(i, "tds.Vec") + T.longs(1) for i in range(depth)) + T.number(3))
    for _ in range(depth):
        (value,) = value
    assert value == 3


def test_deep_ascii() -> None:
    value = t7.load(b"3\n%d\n1\n2\n1\nn\n" * 20_000 % tuple(range(20_000)) + b"1\n7\n")
    for _ in range(20_000):
        value = value.n
    assert value == 7


# Tensors


def test_tensors_are_writable_and_keep_nothing_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.t7"
    for n in (3, 100_000, 700_000):
        path.write_bytes(T.vector(1, "Float", range(n)))
        for source in (path, path.read_bytes()):
            tensor = t7.load(source)
            tensor += 1
            assert tensor[-1] == n and tensor.numel() == n
    assert t7.load(path)[0] == 0


KINDS = ["Byte", "Char", "Short", "Int", "Long", "Float", "Double", "Half"]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("kind", "n"), [*((kind, 6) for kind in KINDS), ("Long", 3_000_000), ("Half", 3_000_000)])
def test_storages_of_every_type_small_and_large(order: str, kind: str, n: int, tmp_path: Path) -> None:
    w = Writer(order)
    path = tmp_path / "x.t7"
    path.write_bytes(w.vector(1, kind, [i % 100 for i in range(n)]))
    want = (torch.arange(n) % 100).to(t7.reader.DTYPES[f"torch.{kind}Tensor"])
    assert torch.equal(t7.load(path), want)
    assert torch.equal(t7.load(path.read_bytes()), want)
    assert torch.equal(t7.load(path, mmap=True), want)


def test_empty_tensors() -> None:
    for data in (
        T.empty(1, "Float"),
        T.view(1, "Float", [], [], 1, T.storage(2, "Float", [])),
        T.view(1, "Float", [], [], 1, T.storage(2, "Float", [1, 2])),
        T.view(1, "Float", [], [], 0, T.nil()),
    ):
        tensor = t7.load(data)
        assert tensor.shape == (0,) and tensor.dtype == torch.float32
        tensor.resize_(3).fill_(1)
    assert t7.load(T.view(1, "Float", [2, 0], [1, 1], 1, T.storage(2, "Float", []))).shape == (2, 0)


def test_the_default_device_and_type_do_not_matter() -> None:
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    tensor = t7.load(T.vector(1, "Float", [1, 2]))
    assert tensor.device.type == "cpu" and tensor.dtype == torch.float32 and tensor.tolist() == [1, 2]


def test_cuda_tensors_come_to_the_cpu() -> None:
    for kind, dtype in [
        ("Cuda", torch.float32),
        ("CudaDouble", torch.float64),
        ("CudaLong", torch.int64),
        ("CudaHalf", torch.half),
    ]:
        tensor = t7.load(T.vector(1, kind, [1, 2]))
        assert tensor.dtype == dtype and tensor.tolist() == [1, 2] and tensor.device.type == "cpu"


def test_map_location() -> None:
    shared = T.storage(4, "Float", [1, 2, 3])
    data = T.list(1, [T.view(3, "Float", [3], [1], 1, shared), T.view(5, "Float", [2], [1], 2, T.ref(4, 4)),
                      T.storage(6, "Long", [7]), T.ref(4, 4)])  # fmt: skip
    for device in ("meta", torch.device("meta")):
        whole, part, sizes, storage = t7.load(data, map_location=device)
        assert whole.device.type == part.device.type == "meta" and part.shape == (2,) and part.storage_offset() == 1
        assert sizes.tensor.device.type == "cpu" and sizes.tolist() == [7]  # sizes stay where Python reads them
        assert storage.tensor.device.type == "meta"


@pytest.mark.parametrize("device", ["no such device", "gpu", "cuda:99", {"cuda": "cpu"}], ids=str)
def test_a_device_that_is_none(device: Any) -> None:
    with pytest.raises(ArgumentError, match="leave map_location out to load onto the CPU"):
        t7.load(T.number(1), map_location=device)


@pytest.mark.cuda
def test_map_location_cuda() -> None:
    shared = T.storage(4, "Cuda", [1, 2, 3])
    data = T.list(1, [T.view(3, "Cuda", [3], [1], 1, shared), T.view(5, "Cuda", [2], [1], 2, T.ref(4, 4))])
    whole, part = t7.load(data, map_location="cuda")
    whole[1] = 9
    assert whole.is_cuda and part.tolist() == [9, 3]


def test_mmap(tmp_path: Path) -> None:
    path = tmp_path / "x.t7"
    path.write_bytes(T.list(1, [T.string("odd"), T.vector(2, "Double", range(1000)), T.vector(4, "Float", range(5))]))
    before = path.read_bytes()
    text, doubles, floats = t7.load(path, mmap=True)
    assert text == "odd" and torch.equal(doubles, torch.arange(1000.0, dtype=torch.float64))
    doubles += 1
    floats.zero_()
    assert doubles.sum() == 500_500 and path.read_bytes() == before
    for wrong in (before, io.BytesIO(before)):
        with pytest.raises(ArgumentError, match="file on disk"):
            t7.load(wrong, mmap=True)


def test_the_layout_byte_by_byte() -> None:
    """Without the writer of these tests in between."""
    assert t7.load(struct.pack("<i", 0)) is None
    assert t7.load(struct.pack("<id", 1, 2.5)) == 2.5
    assert t7.load(struct.pack("<ii", 2, 2) + b"hi") == "hi"
    assert t7.load(struct.pack("<iii", 3, 1, 0)) == {}
    assert t7.load(struct.pack("<ii", 5, 1)) is True and t7.load(struct.pack("<ii", 5, 0)) is False
