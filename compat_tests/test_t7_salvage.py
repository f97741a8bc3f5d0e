"""What is got out of damaged files: all that stands before the damage, as it stands in the whole file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from t7_bytes import T

import luann
from luann.cli import main
from luann.t7 import FormatError, Function, Unknown, load, salvage

REFERENCE = Path(__file__).parent / "reference"
FILES = [
    path
    for form in ("bin", "ascii")
    for name in (
        "checkpoint",
        "module_shared",
        "module_graph",
        "table_nested",
        "tensor_views",
        "class_child",
        "criterion",
    )
    for path in [REFERENCE / f"serialization/{name}.{form}.t7"]
]


def compare(part, whole, seen):
    """That a part of a file says what the whole one says; returns how many tables, objects and tensors it has."""
    if isinstance(part, torch.Tensor):
        assert part.shape == whole.shape and part.dtype == whole.dtype
        missing = part != whole  # at the end of what was cut off
        assert (part[missing].isnan() if part.is_floating_point() else part[missing] == 0).all()
        return 1
    if isinstance(part, (str, int, float, bool, type(None))):
        assert part == whole
        return 0
    if id(part) in seen:
        return 0
    seen.add(id(part))
    if isinstance(part, list):
        pairs = [(value, whole[i]) for i, value in enumerate(part, 0 if isinstance(whole, list) else 1)]
    elif isinstance(part, dict):
        pairs = [(value, whole[key]) for key, value in part.items() if isinstance(key, (str, float, int))]
    elif isinstance(part, luann.Storage):
        there = [p for p, w in zip(part, whole) if p == w]
        assert len(part) == len(whole) and part.tolist()[: len(there)] == there
        return 1
    else:
        assert part.typename == whole.typename
        pairs = [(value, whole.fields[key]) for key, value in part.fields.items()]
    return 1 + sum(compare(a, b, seen) for a, b in pairs)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_read_is_what_the_whole_file_says_there(path, monkeypatch):
    monkeypatch.setattr(luann.t7.reader, "classes", {})  # a class may put something in place of what is missing
    data = path.read_bytes()
    whole = load(data)
    counts = []
    for end in range(8, len(data) - 1, max(1, len(data) // 100)):
        try:
            found = salvage(data[:end])
        except FormatError:
            assert not counts
            continue
        assert 0 <= found.error.offset <= end and found.incomplete[0] is found.value
        counts.append(compare(found.value, whole, set()))
    total = compare(whole, whole, set())
    assert counts == sorted(counts) and counts[0] < total / 4 and counts[-1] > total / 2


def test_a_whole_file():
    found = salvage(REFERENCE / "serialization/table_list.bin.t7")
    assert found.error is None and found.incomplete == [] and found.value == ["a", "b", 10, True]


def test_what_is_incomplete_and_where():
    data = T.table(
        1, T.string("a"), T.list(2, [T.number(5)]), T.string("b"), T.list(3, [T.string("x"), T.string("y"), T.ints(99)])
    )
    value, error, incomplete = salvage(data)
    assert value == {"a": [5], "b": ["x", "y"]}
    assert error.where == ".b[3]" and error.offset == len(data) - 4 and "99" in str(error)
    assert incomplete[0] is value and incomplete[1] is value.b and len(incomplete) == 2


def test_objects_and_functions():
    layer = T.obj(5, "nn.Linear", T.string("weight"), T.vector(7, "Float", [1, 2]), T.string("bias"), T.ints(9))
    net = T.obj(1, "nn.Sequential", T.string("modules"), T.list(3, [layer]))
    value, _, incomplete = salvage(net)
    assert value._typename == "nn.Sequential" and torch.equal(value.get(1).weight, torch.tensor([1.0, 2.0]))
    assert [id(obj) for obj in incomplete] == [id(value), id(value.modules), id(value.get(1))]
    value, _, _ = salvage(T.list(1, [T.number(1), T.obj(2, "my.Class", T.string("n"), T.number(3), T.ints(9, 9))]))
    assert isinstance(value[1], Unknown) and dict(value[1].fields) == {"n": 3}
    value, _, _ = salvage(T.list(1, [T.function(2, b"code", T.list(3, [T.number(1), T.ints(77)]))]))
    assert isinstance(value[0], Function) and value[0].dumped == b"code" and value[0].upvalues == [1]
    value, _, _ = salvage(T.list(1, [T.head(2, "tds.Vec") + T.longs(4) + T.number(1) + T.ints(99) + bytes(40)]))
    assert isinstance(value[0], luann.t7.Vec)


def test_an_object_that_cannot_be_made_of_its_fields(monkeypatch):
    class Picky:
        def _restore(self, fields, version):
            self.needed = fields["needed"]

    monkeypatch.setitem(luann.t7.reader.classes, "my.Picky", Picky)
    picky = T.obj(2, "my.Picky", T.string("other"), T.number(3))
    value, error, incomplete = salvage(
        T.table(1, T.string("picky"), picky, T.string("more"), T.vector(4, "Float", [1]))
    )
    assert type(value.picky) is Picky and value.picky.other == 3 and value.more.tolist() == [1]
    assert incomplete == [value.picky] and "KeyError: 'needed'" in str(error) and error.where == ".picky"
    value, error, incomplete = salvage(picky + T.ints(99))
    assert value.other == 3 and "needed" in str(error)
    value, _, incomplete = salvage(T.obj(2, "my.Picky", T.string("other"), T.number(3), T.string("x"), T.ints(99)))
    assert value.other == 3 and incomplete == [value, value]


def test_what_refers_to_itself():
    data = T.table(1, T.string("me"), T.ref(1), T.string("list"), T.list(2, [T.ref(2), T.ints(99)]))
    value, _, _ = salvage(data)
    assert value.me is value and value.list[0] is value.list


def test_nothing_before_the_damage():
    for data in (
        T.ints(4, 1),
        T.ints(99),
        T.string("text")[:-1],
        b"<html>",
        T.vector(1, "Float", [1, 2, 3, 4, 5])[:-17],
    ):
        with pytest.raises(FormatError):
            salvage(data)


@pytest.mark.parametrize("kind, rest", [("Float", "nan"), ("Long", "0")])
def test_a_tensor_that_is_cut_off_has_the_numbers_before_the_cut(kind, rest):
    vector = T.vector(2, kind, [1, 2, 3, 4])
    value, error, incomplete = salvage(T.list(1, [T.number(7), vector])[:-7])
    assert value[0] == 7 and "cut off" in str(error)
    assert value[1].tolist()[:2] == [1, 2] and str(value[1][-1].item()) == rest
    assert incomplete[0] is value and incomplete[-1] is value[1]
    value, error, incomplete = salvage(vector[:-1])
    assert value.tolist()[:3] == [1, 2, 3] and "cut off" in str(error)
    assert len(incomplete) == 1 and incomplete[0] is value


def test_a_tensor_that_is_cut_off_in_ascii(tmp_path):
    path = tmp_path / "vector.t7"
    luann.save(path, torch.tensor([1.0, 2.0, 3.0]), format="ascii")
    assert path.read_bytes().endswith(b"\n1 2 3\n")
    value, _, _ = salvage(path.read_bytes()[:-2])
    assert value.tolist()[:2] == [1, 2] and value[2].isnan()


# The command


def test_show_salvage(capsys, tmp_path):
    data = (REFERENCE / "serialization/checkpoint.bin.t7").read_bytes()
    path = tmp_path / "cut.t7"
    path.write_bytes(data[:2000])
    assert main(["show", "--salvage", str(path)]) == 1
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].startswith("damaged: the file is cut off: ") and "in .model.modules[3]." in lines[0]
    assert lines[2] == f"{path}: table of 1 (incomplete), 2.0 KiB, 1 model inside"
    assert "  (3): nn.Linear(2 -> 3)\n" not in out and "  (1): nn.Linear(2 -> 3)\n" in out
    assert "3      nn.Linear (incomplete)" in out and err == ""
    assert main(["show", "--salvage", "--json", str(path)]) == 1
    document = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert document["damage"]["where"].startswith("model.modules[3].") and 0 < document["damage"]["offset"] <= 2000
    assert document["structure"]["incomplete"] is True
    assert [layer["path"] for layer in document["models"][0]["layers"] if "incomplete" in layer] == ["", "3"]

    path.write_bytes(data)
    assert main(["show", "--salvage", str(path)]) == 0
    salvaged = capsys.readouterr().out
    assert main(["show", str(path)]) == 0
    assert capsys.readouterr().out == salvaged
    path.write_bytes(b"<html>")
    assert main(["show", "--salvage", str(path)]) == 1
    assert "HTML" in capsys.readouterr().err
