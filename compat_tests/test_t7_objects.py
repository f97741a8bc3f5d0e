"""Reading .t7 files: objects of classes, known, unknown and with a layout of their own; Lua functions."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from t7_bytes import T, Writer

import luann
import luann.t7 as t7
from luann import nn, typename, types
from luann.t7 import FormatError, Function, Unknown, reader
from luann.table import Table

SERIALIZATION = Path(__file__).parent / "reference" / "serialization"


def test_registered_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Restored:
        def __init__(self) -> None:
            raise AssertionError("a loaded object is not constructed")

        def _restore(self, fields: dict, version: float) -> None:
            assert isinstance(fields, dict)
            self.fields, self.version = fields, version

    class Plain:
        pass

    monkeypatch.setattr(reader, "classes", {"some.Restored": Restored, "some.Plain": Plain})
    entries = T.string("a"), T.number(1), T.number(2), T.string("two")
    obj = t7.load(T.obj(1, "some.Restored", *entries, version="V 3"))
    assert type(obj) is Restored and obj.version == 3 and dict(obj.fields) == {"a": 1, 2: "two"}
    obj = t7.load(T.obj(1, "some.Restored", T.number(1), T.string("listed")))
    assert dict(obj.fields) == {1: "listed"}
    obj = t7.load(T.obj(1, "some.Plain", *entries))
    assert type(obj) is Plain and vars(obj) == {"a": 1, 2: "two"}
    obj = t7.load(T.ints(4, 1) + T.chars("some.Restored") + T.table(2, *entries))
    assert obj.version == 0  # from before there were versions


def test_register() -> None:
    @t7.register("some.Registered")
    class Registered:
        pass

    try:
        assert type(t7.load(T.obj(1, "some.Registered"))) is Registered
    finally:
        del types.classes["some.Registered"]


def test_an_object_that_cannot_be_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    class Picky:
        def _restore(self, fields: dict, version: float) -> None:
            self.size = fields["size"]

    monkeypatch.setitem(reader.classes, "some.Picky", Picky)
    with pytest.raises(FormatError, match=r"some\.Picky cannot be made .* KeyError: 'size' .*in \.net\)") as caught:
        t7.load(T.table(1, T.string("net"), T.obj(2, "some.Picky", T.string("a"), T.number(1))))
    assert isinstance(caught.value.__cause__, KeyError)


def test_unknown_classes() -> None:
    obj = t7.load(
        T.obj(
            1, "my.Layer", T.string("weight"), T.vector(3, "Float", [1, 2]), T.string("n"), T.number(3), version="V 2"
        )
    )
    assert isinstance(obj, Unknown) and typename(obj) == obj.typename == "my.Layer" and obj.version == 2
    assert obj.n == obj["n"] == 3 and "weight" in obj and list(obj) == ["weight", "n"] and len(obj) == 2
    assert torch.equal(obj.weight, torch.tensor([1.0, 2.0]))
    obj.n = 4
    obj[1] = "item"
    assert obj.fields["n"] == 4 and obj[1] == "item"
    with pytest.raises(AttributeError, match=r"my\.Layer has no field 'gone'"):
        _ = obj.gone
    with pytest.raises(AttributeError, match="fields"):
        obj.fields = {}
    text = str(obj)
    assert "my.Layer (unknown class, version 2)" in text and "weight: torch.FloatTensor 2" in text and "n: 4" in text


def test_an_unknown_object_can_be_copied_and_pickled() -> None:
    obj = t7.load(T.obj(1, "my.Layer", T.string("me"), T.ref(1, 4), T.string("list"), T.list(3, [T.number(1)])))
    for again in (copy.deepcopy(obj), pickle.loads(pickle.dumps(obj))):
        assert again.typename == "my.Layer" and again.me is again and again["list"] == [1]


def test_a_tree_of_anything_is_printable() -> None:
    deep = t7.load(b"".join(T.ints(3, i, 1) + T.number(1) for i in range(5000)) + T.nil())
    obj = Unknown("my.Layer", 1, {"deep": deep, "many": list(range(1000)), "text": "x" * 1000})
    obj.me = obj
    assert len(str(obj)) < 3000 and "976 more" in str(obj) and "the one above" in str(obj)


def test_functions_are_kept_and_never_run() -> None:
    for form in (7, 8):
        value = t7.load(T.function(1, b"\x1bLJ code", T.list(2, [T.number(5), T.ref(1, form)]), form))
        assert isinstance(value, Function) and value.dumped == b"\x1bLJ code" and value.form == form
        assert value.upvalues[0] == 5 and value.upvalues[1] is value
        with pytest.raises(TypeError, match="port it to Python"):
            value(1)
    # the oldest form has no index: the table behind it is number 1
    data = T.list(1, [T.function(None, b"code", T.table(2), 6), T.ref(2), T.function(None, b"", T.table(3), 6)])
    first, shared, last = t7.load(data)
    assert first.form == 6 and first.upvalues == [] == last.upvalues and last.dumped == b"" and shared == Table()
    assert "4 bytes" in repr(first)


def test_the_containers_of_tds() -> None:
    for w in (T, Writer(long_size=4), Writer(">")):
        vec = w.head(2, "tds.Vec", "V 0") + w.longs(3) + w.number(1) + w.string("b") + w.nil()
        hashed = w.head(3, "tds.Hash", "V 0") + w.longs(2) + w.string("k") + w.ref(2, 4) + w.boolean(True) + w.ref(3, 4)
        old = w.head(5, "tds_hash", "V 0") + w.longs(1) + w.number(7) + w.number(8)
        counter = w.head(4, "tds.AtomicCounter", "V 0") + w.longs(77)
        loaded = t7.load(w.list(1, [vec, hashed, counter, old, w.string("after")]))
        assert loaded[0] == [1, "b", None] and isinstance(loaded[0], t7.Vec)
        assert isinstance(loaded[1], t7.Hash) and loaded[1].k is loaded[0] and loaded[1][True] is loaded[1]
        assert loaded[2].value == 77 and loaded[3] == {7: 8} and loaded[4] == "after"
        assert [typename(x) for x in loaded[:3]] == ["tds.Vec", "tds.Hash", "tds.AtomicCounter"]


def test_data_parallel_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "classes", {})
    fields = T.table(3, T.string("dimension"), T.number(1))
    (old,) = t7.Reader(T.head(1, "nn.DataParallelTable", "V 1") + fields)
    assert old.fields == {"dimension": 1}
    (new,) = t7.Reader(T.head(1, "nn.DataParallelTable", "V 3") + T.list(2, [T.number(1), T.number(2)]) + fields)
    assert new.fields == {"dimension": 1, "gpuAssignments": [1, 2]}


def test_a_generator_goes_on_where_it_was() -> None:
    for form in ("bin", "ascii"):
        generator = t7.load(SERIALIZATION / f"generator.{form}.t7")
        assert typename(generator) == "torch.Generator"
        assert list(generator.state) == json.loads((SERIALIZATION / "generator.json").read_text())["extra"]["bytes"]


def test_a_payload_that_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(t7.payloads, "payloads", t7.payloads.payloads)
    try:

        @t7.register_payload("my.Header")
        def read(file: Any, version: float) -> Any:
            size = file.longs(2)
            fields = yield t7.FIELDS
            return {**fields, "size": size, "version": version}

        obj = t7.load(T.list(1, [T.head(2, "my.Header", "V 4") + T.longs(3, 4) + T.table(3, T.number(1), T.nil())]))[0]
        assert obj.size == [3, 4] and obj["version"] == 4

        @t7.register_payload("my.Header")
        def fail(file: Any, version: float) -> dict:
            return {"value": {}["no"]}

        with pytest.raises(FormatError, match=r"my\.Header cannot be made .* KeyError"):
            t7.load(T.head(2, "my.Header"))
    finally:
        del t7.payloads.payloads["my.Header"]


# Modules of unknown classes, in a net


def stranger_in_a_net():
    net = nn.Sequential().add(nn.Linear(3, 2)).add(nn.Sequential())
    net.get(2).modules.append(t7.Unknown("my.Foo", 1, {"gradInput": torch.empty(0), "n": 3}))
    return net


def test_a_net_finds_and_replaces_a_module_of_an_unknown_class():
    net = stranger_in_a_net()
    (found,), (container,) = net.findModules("my.Foo")
    assert found.n == 3 and container is net.get(2)
    assert found in net.listModules()
    net.replace(lambda m: nn.Tanh() if luann.typename(m) == "my.Foo" else m)
    assert type(net.get(2).get(1)) is nn.Tanh
    assert net.forward(torch.zeros(1, 3)).shape == (1, 2)


@pytest.mark.parametrize("name", ["forward", "evaluate", "getParameters", "clearState"])
def test_a_net_with_an_unknown_class_says_what_is_missing(name):
    net = stranger_in_a_net()
    with pytest.raises((luann.Error, AttributeError), match=r"luann has no class my\.Foo.*luann\.t7\.register"):
        getattr(net, name)(*([torch.zeros(1, 3)] if name == "forward" else []))


def test_a_class_can_stand_for_a_second_name(monkeypatch):
    monkeypatch.setitem(luann.types.classes, "my.Linear", None)
    t7.register("my.Linear", nn.Linear)
    assert nn.Linear._typename == "nn.Linear" and luann.types.classes["my.Linear"] is nn.Linear
