"""``luann convert``: other forms of .t7, and .npz and .json for other programs."""

from __future__ import annotations

import base64
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from t7_bytes import T

import luann
from luann import Table, nn, t7
from luann.cli import main
from luann.convert import arrays, convert, json_text, retype
from luann.t7 import Function, Unknown

SERIALIZATION = Path(__file__).parent / "reference" / "serialization"
BINARY = [path for path in sorted(SERIALIZATION.glob("*.bin.t7")) if "packed" not in path.name]
NAMES = [path.name.removesuffix(".bin.t7") for path in BINARY]


def written(value):
    """The document that the JSON text about a value says."""
    return json.loads("".join(json_text(value)), parse_constant=pytest.fail)


def wrong(capsys, *arguments):
    """The one line about what is wrong."""
    assert main(["convert", *map(str, arguments)]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    return err


# .t7


@pytest.mark.parametrize("name", [n for n in NAMES if (SERIALIZATION / f"{n}.ascii.t7").exists()])
def test_ascii_and_back(name, tmp_path):
    """The result is what luann saves of the binary file; that this is what Torch7 wrote, test_t7_write shows."""
    there, back, direct = tmp_path / "there.t7", tmp_path / "back.t7", tmp_path / "direct.t7"
    assert main(["convert", str(SERIALIZATION / f"{name}.bin.t7"), str(there), "--format", "ascii"]) == 0
    assert main(["convert", str(there), str(back)]) == 0
    assert main(["convert", str(SERIALIZATION / f"{name}.bin.t7"), str(direct)]) == 0
    assert back.read_bytes() == direct.read_bytes() != there.read_bytes()
    assert t7.Reader(there)._source.form == "ascii"


def test_longs_of_4_bytes_and_the_byte_order_of_today(tmp_path):
    path = tmp_path / "out.t7"
    assert main(["convert", str(SERIALIZATION / "module_used.bin.t7"), str(path), "--long-size", "4"]) == 0
    assert t7.load(path, long_size=4).get(1).weight.shape == (2, 3)
    assert main(["convert", str(path), str(path) + "8"]) == 0
    assert Path(f"{path}8").read_bytes() == (SERIALIZATION / "module_used.bin.t7").read_bytes()
    assert main(["convert", str(SERIALIZATION / "big_endian.bin.t7"), str(path)]) == 0
    assert path.read_bytes()[:4] == b"\3\0\0\0"


def test_all_objects_of_a_file(tmp_path):
    source, target = tmp_path / "in.t7", tmp_path / "out.t7"
    source.write_bytes(T.list(1, [T.number(1)]) + T.string("two") + T.ref(1))
    convert(source, target)
    assert target.read_bytes() == source.read_bytes()
    convert(source, tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text()) == [[1], "two", {"type": "reference", "at": "[1]"}]


def test_floats_and_doubles(tmp_path):
    for name, options, dtype, kind in (
        ("checkpoint", ["--float"], torch.float32, "Float"),
        ("module_shared", ["--float"], torch.float32, "Float"),
        ("module_float", ["--double"], torch.float64, "Double"),
        ("module_graph", ["--float"], torch.float32, "Float"),
    ):
        before = t7.load(SERIALIZATION / f"{name}.bin.t7")
        path = tmp_path / f"{name}.t7"
        assert main(["convert", str(SERIALIZATION / f"{name}.bin.t7"), str(path), *options]) == 0
        after = t7.load(path)
        was, now = dict(arrays(before)), dict(arrays(after))
        assert was.keys() == now.keys()
        for key, array in was.items():
            if key.endswith("_type"):
                assert now[key] == f"torch.{kind}Tensor"
            elif array.dtype.kind == "f" and array.ndim:
                assert now[key].dtype == np.dtype(str(dtype).removeprefix("torch."))
                np.testing.assert_array_equal(now[key], array.astype(now[key].dtype))
            else:
                assert now[key].dtype == array.dtype and np.array_equal(now[key], array)
    net = t7.load(tmp_path / "module_shared.t7")
    assert net.get(1).weight.data_ptr() == net.get(2).weight.data_ptr()


@pytest.mark.parametrize("option", ["--float", "--double"])
@pytest.mark.parametrize("path", sorted(SERIALIZATION.glob("*.t7")), ids=lambda path: path.name)
@pytest.mark.filterwarnings("ignore:overflow")  # to infinity, in NumPy as in PyTorch
def test_every_kind_of_file_can_get_another_type(path, option, tmp_path):
    if "packed" in path.name:
        pytest.skip("its class has a layout of its own")
    target = tmp_path / "out.t7"
    assert main(["convert", str(path), str(target), option]) == 0
    kind, dtype = ("Float", np.float32) if option == "--float" else ("Double", np.float64)

    # WeightNorm's weight is in no file: it is made of v and g, and of these in another type with another last digit
    left_out = {"stride", "offset", *(["weight"] if "weightnorm" in path.name else [])}

    def wanted(node, key=""):
        if isinstance(node, list):
            return [wanted(value) for value in node]
        if isinstance(node, str) and key == "_type":
            return f"torch.{kind}Tensor"
        if not isinstance(node, dict):
            return node
        node = {key: wanted(value, key) for key, value in node.items() if key not in left_out}
        if node.get("type") in ("tensor", "storage") and re.match(r"torch\.(Double|Float|Half)", node["class"]):
            values = [v if isinstance(v, str) else np.array(v).astype(dtype).item() for v in node["values"]]
            name = f"torch.{kind}{node['type'].capitalize()}"
            node = {**node, "class": name, "values": [str(v) if v in (math.inf, -math.inf) else v for v in values]}
        return node

    assert wanted(written(t7.load(target))) == wanted(written(t7.load(path)))
    left = {n for n in ("Double", "Float", "Half") if f'"torch.{n}' in json.dumps(written(t7.load(target)))}
    assert left <= {kind}


def test_the_variables_of_a_function_get_the_type(tmp_path):
    tensor, storage = torch.ones(2, dtype=torch.float64), luann.Storage(torch.ones(2, dtype=torch.float64))
    functions = [
        Function(b"a", [Table(name="x", value=tensor), Table(name="s", value=storage)]),
        Function(b"b", [tensor, Function(b"c", [tensor])], 7),
    ]
    retype(functions, torch.float32)
    (x, s), (value, inner) = (f.upvalues for f in functions)
    assert x["value"].dtype == value.dtype == inner.upvalues[0].dtype == s["value"].tensor.dtype == torch.float32
    assert x["value"].data_ptr() == value.data_ptr()


def test_a_generator_stays_as_it_is(tmp_path):
    path = SERIALIZATION / "generator.bin.t7"
    assert main(["convert", str(path), str(tmp_path / "out.t7"), "--float"]) == 0
    assert (tmp_path / "out.t7").read_bytes() == path.read_bytes()


def test_what_shares_memory_shares_it_afterwards():
    whole = torch.arange(6, dtype=torch.float64)
    storage = luann.Storage(whole)
    net = nn.Sequential().add(nn.Linear(1, 2)).double()
    other = Unknown("my.Layer", 1, {"weight": whole[2:], "_type": "torch.DoubleTensor", "net": net})
    objects = [Table(a=whole, b=[whole[1:3], whole.long()], s=storage, other=other, again=net)]
    retype(objects, torch.float32)
    (table,) = objects
    table.a[2] = 50
    assert table.b[0].tolist() == [1, 50] and table.s[2] == 50 and other.weight[0] == 50
    assert table.b[1].dtype == torch.int64 and table.s.typename == "torch.FloatStorage"
    assert other["_type"] == net.type() == net.get(1).type() == "torch.FloatTensor"
    assert table.again is other.net is net and net.get(1).weight.dtype == torch.float32
    kept = nn.DontCast(nn.Linear(1, 1).double(), True, moduleType="torch.DoubleTensor")
    retype([kept], torch.float32)
    assert kept.get(1).weight.dtype == torch.float64


# .npz


@pytest.mark.parametrize("path", BINARY, ids=NAMES)
def test_npz_holds_every_tensor(path, tmp_path):
    target = tmp_path / "out.npz"
    convert(path, target)
    tensors = []

    def collect(expect):
        if isinstance(expect, dict):
            if expect.get("type") == "tensor" and "values" in expect:
                tensors.append(expect)
            for value in expect.values():
                collect(value)
        elif isinstance(expect, list):
            for value in expect:
                collect(value)

    collect(json.loads(path.with_name(path.name.replace(".bin.t7", ".json")).read_text()).get("expect"))
    if "old_" in path.name:
        return  # brought up to date: test_t7_old compares what they compute
    with np.load(target) as file:
        found = [file[name] for name in file.files if file[name].dtype.kind in "biuf"]
    for expect in tensors:
        want = np.array([float(v) for v in expect["values"]])
        shape = tuple(expect["size"]) or (0,)
        assert any(a.shape == shape and np.array_equal(a.ravel().astype(float), want, equal_nan=True) for a in found), (
            expect
        )


def test_names_and_types_in_npz(tmp_path):
    net = nn.Sequential().add(nn.Linear(3, 2))
    value = Table(
        {
            "model": net, "rate": 0.1, "epoch": 3, "on": True, "name": "run é", "raw": "caf\udce9", "zero": "a\0",
            "losses": [1, 0.5], "steps": [1, 2], "classes": ["a", "bcd"], "mixed": [1, "a", [2]], "nothing": None,
            "size": luann.Storage([2, 3]), "a key": 1, 'say "hi"': 2, True: 3, 1.5: 4, 7: 5, "file": 6,
            "half": torch.ones(2, dtype=torch.float16), "number": torch.tensor(2.5), "f": Function(b"code"),
        }
    )  # fmt: skip
    value.itself = value
    value[(1, 2)] = "odd"
    path = tmp_path / "x.npz"
    luann.t7.save(tmp_path / "x.t7", Table((k, v) for k, v in value.items() if not isinstance(k, tuple)))
    convert(tmp_path / "x.t7", path)
    with np.load(path) as file:
        got = {name: file[name] for name in file.files}
    assert str(got["model.modules[1].__typename"]) == "nn.Linear"
    assert np.array_equal(got["model.modules[1].weight"], net.get(1).weight.numpy())
    assert got["rate"] == 0.1 and got["epoch"] == 3 and got["epoch"].dtype == np.int64 and got["on"].dtype == bool
    assert str(got["name"]) == "run é" and bytes(got["raw"]) == b"caf\xe9" and bytes(got["zero"]) == b"a\0"
    assert got["losses"].tolist() == [1.0, 0.5] and got["steps"].dtype == np.int64
    assert got["classes"].tolist() == ["a", "bcd"]
    assert got["mixed[1]"] == 1 and str(got["mixed[2]"]) == "a" and got["mixed[3]"].tolist() == [2]
    assert got["size"].tolist() == [2, 3] and got["half"].dtype == np.float16
    assert got["['a key']"] == 1 and got["['say \"hi\"']"] == 2 and got["[true]"] == 3 and got["[1.5]"] == 4
    assert got["[7]"] == 5 and got["file"] == 6
    assert not {"nothing", "f", "itself"} & got.keys()
    assert dict(arrays(value))["[key 24]"].tolist() == [1, 2] and dict(arrays(value))["[value 24]"] == "odd"


@pytest.mark.parametrize(("value", "want"), [(torch.eye(2), np.eye(2)), (5, 5), ("x", "x"), ([1, 2], [1, 2])])
def test_an_object_without_parts_is_called_value(value, want):
    ((name, array),) = arrays(value)
    assert name == "value" and np.array_equal(array, want)


def test_npz_of_what_is_nested_too_deeply(capsys, tmp_path):
    deep = Table(end=1)
    for _ in range(13_000):
        deep = Table(next=deep)
    luann.t7.save(tmp_path / "deep.t7", deep)
    assert "nested too deeply" in wrong(capsys, tmp_path / "deep.t7", tmp_path / "x.npz")
    assert not list(tmp_path.glob("*.npz")) and not list(tmp_path.glob(".*"))
    assert main(["convert", str(tmp_path / "deep.t7"), str(tmp_path / "x.json")]) == 0
    assert (tmp_path / "x.json").read_text().count('"next"') == 13_000


# .json: against what Torch7 said of its own files


class _Compared:
    """Compares a document of luann's with a description by Torch7."""

    def __init__(self, document):
        self.storages = {}
        self.places = {}
        self.index(document, "")

    def index(self, node, path):
        """Note where everything stands, since references name the first place in the file's order."""
        self.places[path.removeprefix(".")] = node
        entries = node.get("entries") if isinstance(node, dict) else node if isinstance(node, list) else None
        if isinstance(entries, dict):
            for key, value in entries.items():
                self.index(value, f"{path}.{key}" if key.isidentifier() else f"{path}[{key!r}]")
        elif entries is not None:
            for n, entry in enumerate(entries, 1):
                key, value = (n, entry) if entries is node else entry
                if isinstance(key, (dict, list)):
                    self.index(key, f"{path}[key {n}]")
                    self.index(value, f"{path}[value {n}]")
                else:
                    self.index(value, f"{path}.{key}" if isinstance(key, str) else f"{path}[{str(key).lower()}]")

    def same(self, got, want):
        kind = want["type"]
        if isinstance(got, dict) and got["type"] == "reference":
            got = self.places[got["at"]]
        if kind in ("nil", "boolean"):
            assert got == want.get("value")
        elif kind == "number":
            assert (got["value"] if isinstance(got, dict) else got) == want["value"]
        elif kind == "string":
            data = base64.b64decode(got["base64"]) if isinstance(got, dict) else got.encode()
            assert len(data) == want["length"]
            assert data == (bytes(want["bytes"]) if "bytes" in want else want["value"].encode())
        elif kind == "table":
            self.entries(list(enumerate(got, 1)) if isinstance(got, list) else got["entries"], want["entries"])
        elif kind == "object":
            assert (got["type"], got["class"]) == ("object", want["class"])
            if not isinstance(want.get("fields"), str):
                self.entries(got["entries"], want["fields"])
        elif kind in ("tensor", "storage"):
            self.numbers(got, want)
        elif kind == "function":
            assert got["type"] == "function"
        else:
            assert kind in ("reference", "note", "chain")

    def entries(self, got, want):
        got = list(got.items()) if isinstance(got, dict) else got
        kept = [e for e in want if e["value"]["type"] != "nil"]
        assert len(got) == len(kept)
        for entry in kept:
            if entry["key"]["type"] in ("string", "number", "boolean"):
                key = entry["key"].get("value")
                (value,) = (v for k, v in got if k == key and isinstance(k, bool) == isinstance(key, bool))
                self.same(value, entry["value"])

    def numbers(self, got, want):
        assert (got["type"], got["class"]) == (want["type"], want["class"])
        values = [str(v) for v in got["values"]] if "nan" in map(str, want["values"]) else got["values"]
        wanted = [str(v) for v in want["values"]] if values is not got["values"] else want["values"]
        if got["class"].startswith("torch.Long"):
            assert values == [int(v) for v in wanted]
        elif wanted and isinstance(wanted[0], str):
            assert len(values) == len(wanted)
        else:
            assert values == pytest.approx([float(v) for v in wanted], rel=1e-15)
        if want["type"] == "tensor" and want["dimensions"]:
            assert got["size"] == want["size"] and got["stride"] == want["stride"]
            assert got["offset"] == want["storageOffset"] - 1
            storage = want["storage"]
            first = self.storages.setdefault(storage["id"], got["storage"])
            assert first == got["storage"]


UPDATED = ("old_", "legacy_", "module_weightnorm", "class_packed", "generator", "timer", "unreferenced")


@pytest.mark.parametrize("path", [p for p in BINARY if not p.name.startswith(UPDATED)], ids=lambda p: p.name[:-7])
def test_json_says_what_torch7_said(path, tmp_path):
    convert(path, tmp_path / "x.json")
    try:
        got = json.loads((tmp_path / "x.json").read_text(), parse_constant=pytest.fail)
    except RecursionError:
        pytest.skip("Python's parser does not go as deep")
    want = json.loads(path.with_name(path.name.replace(".bin.t7", ".json")).read_text())["expect"]
    _Compared(got).same(got, want)


def test_json_of_values():
    assert written([None, True, 1, -0.5, "é", 1e308, 2**60]) == [None, True, 1, -0.5, "é", 1e308, 2**60]
    assert written([math.nan, math.inf, -math.inf])[2] == {"type": "number", "value": "-inf"}
    assert written("caf\udce9") == {"type": "string", "base64": base64.b64encode(b"caf\xe9").decode()}
    assert written(Table(a=1, b=None)) == {"type": "table", "entries": {"a": 1}}
    assert written(Table({1: "x", 3: Table()})) == {
        "type": "table", "entries": [[1, "x"], [3, {"type": "table", "entries": {}}]],
    }  # fmt: skip
    assert written(Unknown("my.Layer", 2, {"n": 1})) == {
        "type": "object", "class": "my.Layer", "version": 2, "entries": {"n": 1},
    }  # fmt: skip
    function = written(Function(b"code", [Table(name="x", value=1)]))
    assert base64.b64decode(function["base64"]) == b"code" and function["upvalues"][0]["entries"]["name"] == "x"
    whole = torch.tensor([[1.0, math.nan], [3.0, 4.0]])
    first, second, third, fourth = written([whole, whole[1], luann.Storage(whole.view(-1)), whole])
    assert first == {
        "type": "tensor", "class": "torch.FloatTensor", "size": [2, 2], "stride": [2, 1], "offset": 0, "storage": 1,
        "values": [1.0, "nan", 3.0, 4.0],
    }  # fmt: skip
    assert (second["offset"], second["storage"], second["values"]) == (2, 1, [3.0, 4.0])
    assert (third["type"], third["class"], third["storage"]) == ("storage", "torch.FloatStorage", 1)
    assert fourth == {"type": "reference", "at": "[1]"}


def test_references_in_json():
    shared = ["x"]
    value = Table(first=shared, second=Table(again=shared))
    value.itself = value
    assert written(value)["entries"] == {
        "first": ["x"],
        "second": {"type": "table", "entries": {"again": {"type": "reference", "at": "first"}}},
        "itself": {"type": "reference", "at": ""},
    }


# The command


def test_the_input_is_never_overwritten(capsys, tmp_path):
    path = tmp_path / "x.t7"
    data = (SERIALIZATION / "module_used.bin.t7").read_bytes()
    path.write_bytes(data)
    (tmp_path / "link.t7").symlink_to(path)
    for name in ("x.t7", "./x.t7", "link.t7"):
        assert "would be overwritten" in wrong(capsys, path, tmp_path / name, "--float")
    assert path.read_bytes() == data


def test_what_is_there_is_replaced_only_by_a_complete_file(capsys, tmp_path):
    (tmp_path / "x.t7").write_bytes(T.number(1))
    (tmp_path / "big.t7").write_bytes(T.storage(1, "Long", [2**40]))
    for ending in ("t7", "npz", "json"):
        old = tmp_path / f"out.{ending}"
        old.write_text("old")
        (tmp_path / "bad.t7").write_bytes(T.list(1, [T.number(1)])[:-3])
        assert "bad.t7" in wrong(capsys, tmp_path / "bad.t7", old)
        assert old.read_text() == "old"
    assert "4 bytes" in wrong(capsys, tmp_path / "big.t7", tmp_path / "out.t7", "--long-size", "4")
    assert (tmp_path / "out.t7").read_text() == "old"
    assert main(["convert", str(tmp_path / "x.t7"), str(tmp_path / "out.t7")]) == 0
    assert t7.load(tmp_path / "out.t7") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "bad.t7", "big.t7", "out.json", "out.npz", "out.t7", "x.t7",
    ]  # fmt: skip


@pytest.mark.parametrize("ending", "csv pt pth npy h5 onnx safetensors PT tar.gz".split())
def test_endings_that_mean_something_else_are_refused(capsys, tmp_path, ending):
    source, target = SERIALIZATION / "tensor_4d.bin.t7", tmp_path / f"out.{ending}"
    assert f"luann writes no .{ending.lower().rpartition('.')[2]} files" in wrong(capsys, source, target)
    for write in (lambda: convert(source, target), lambda: luann.convert.write(target, [1])):
        with pytest.raises(luann.ArgumentError, match=r"the ending of the result is \.t7, \.npz or \.json"):
            write()
    assert not target.exists()


@pytest.mark.parametrize("name", ["out.t7", "out", "out.net", "v1.2.model", "out.txt"])
def test_endings_that_mean_nothing_else_are_t7(tmp_path, name):
    convert(SERIALIZATION / "nil.bin.t7", tmp_path / name)
    assert t7.load(tmp_path / name) is None


def test_errors_are_one_line_and_name_the_file(capsys, tmp_path):
    good = SERIALIZATION / "table_list.bin.t7"
    assert wrong(capsys, tmp_path / "no.t7", tmp_path / "x.t7").startswith(f"luann: {tmp_path / 'no.t7'}: No such file")
    for ending in ("t7", "json", "npz"):
        target = tmp_path / "no" / f"x.{ending}"
        assert wrong(capsys, good, target).startswith(f"luann: {target}: No such file")
    packed = SERIALIZATION / "class_packed.bin.t7"
    assert "golden.Packed" in wrong(capsys, packed, tmp_path / "x.json")


@pytest.mark.parametrize(
    "argv",
    [["a"], ["a", "b", "--float", "--double"], ["a", "b", "--format", "x"], ["a", "b", "--long-size", "5"]],
    ids=str,
)
def test_a_wrong_command_line(capsys, argv):
    with pytest.raises(SystemExit) as exit:
        main(["convert", *argv])
    assert exit.value.code == 2


def test_options_of_t7_are_for_t7(capsys, tmp_path):
    for options in (["--format", "ascii"], ["--long-size", "4"]):
        with pytest.raises(SystemExit) as exit:
            main(["convert", str(SERIALIZATION / "nil.bin.t7"), str(tmp_path / "x.json"), *options])
        assert exit.value.code == 2 and "only for .t7" in capsys.readouterr().err
