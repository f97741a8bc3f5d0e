"""luann.Table: a dict with Lua's keys, read as an object too."""

from __future__ import annotations

import copy
import json
import math
import pickle

import pytest
import torch

from luann import Storage
from luann.table import Table


def test_entries_read_as_attributes_and_items() -> None:
    opt = Table({"learningRate": 0.1, 3: "three"}, name="run")
    assert opt.learningRate == opt["learningRate"] == 0.1
    assert opt[3] == "three" and opt.name == "run"
    opt.learningRate = 0.2
    opt["momentum"] = 0.9
    assert opt["learningRate"] == 0.2 and opt.momentum == 0.9
    del opt.momentum
    assert list(opt) == ["learningRate", 3, "name"]


def test_a_missing_name_is_an_attribute_error() -> None:
    opt = Table(a=1)
    with pytest.raises(AttributeError, match="no entry 'b'"):
        _ = opt.b
    with pytest.raises(AttributeError, match="no entry 'b'"):
        del opt.b
    assert not hasattr(opt, "b") and getattr(opt, "b", 7) == 7
    with pytest.raises(KeyError):
        _ = opt["b"]


def test_names_of_dict_methods_stay_methods() -> None:
    t = Table([("values", 1), ("items", 2)])
    assert callable(t.values) and t["values"] == 1
    with pytest.raises(AttributeError, match=r"table\['values'\]"):
        t.values = 3
    assert t == {"values": 1, "items": 2}


def test_it_is_a_dict() -> None:
    t = Table(b=1, a=2)
    assert isinstance(t, dict) and t == {"b": 1, "a": 2}
    assert json.dumps(t) == '{"b": 1, "a": 2}'
    assert dict(**t) == {"b": 1, "a": 2}
    assert t.get("c") is None and t.pop("b") == 1 and len(t) == 1
    assert t.setdefault("d", 4) == 4 and t.setdefault("d", 5) == 4
    assert (t | {"a": 0}) == {"a": 0, "d": 4} and type(t | {"a": 0}) is Table
    assert ({"a": 0} | t) == {"a": 2, "d": 4}
    t |= {"e": 5}
    assert t.e == 5
    assert Table.fromkeys("ab", 0) == {"a": 0, "b": 0}
    assert "a" in dir(t) and "keys" in dir(t)


def test_true_and_one_are_two_keys() -> None:
    t = Table({1: "one", 0: "zero"})
    t[True] = "yes"
    t[False] = "no"
    assert (t[1], t[True], t[0], t[False]) == ("one", "yes", "zero", "no")
    assert t[1.0] == "one"  # as in Lua, where 1 and 1.0 are one number
    assert len(t) == 4 and True in t and 1 in t
    assert [(type(k), v) for k, v in t.items()] == [(int, "one"), (int, "zero"), (bool, "yes"), (bool, "no")]
    del t[True]
    assert True not in t and t[1] == "one" and len(t) == 3
    with pytest.raises(KeyError):
        _ = t[True]
    assert t.pop(False) == "no" and t.get(False) is None and t[0] == "zero"


@pytest.mark.parametrize("make", [list, Table, dict, lambda: Storage([1, 2]), lambda: torch.ones(2)])
def test_objects_are_keys_by_identity(make) -> None:
    key, other = make(), make()
    t = Table({"plain": 0})
    t[key] = "mine"
    assert t[key] == "mine" and key in t and other not in t
    assert t.get(other, "none") == "none"
    t[other] = "theirs"
    assert t[key] == "mine" and t[other] == "theirs"
    assert [k for k in t if k is key or k is other] == [key, other] if not isinstance(key, torch.Tensor) else True
    assert any(k is key for k in t) and t.plain == 0
    del t[key]
    assert key not in t and len(t) == 2
    with pytest.raises(KeyError):
        del t[key]


def test_odd_keys_in_every_mapping_method() -> None:
    key = [1]
    t = Table()
    assert t.setdefault(key, "x") == "x" and t.setdefault(key, "y") == "x"
    assert t.setdefault(True, "t") == "t"
    t.update({2: "two"}, name="n")
    assert t.update([(key, "z")]) is None and t[key] == "z"
    assert list(t.values()) == ["z", "t", "two", "n"]
    assert list(reversed(t)) == ["name", 2, True, key]
    assert t.popitem() == ("name", "n")
    same = Table(t)
    assert same == t and same[key] == "z" and same[True] == "t"
    same[key] = "w"
    assert same != t
    t.clear()
    assert not t and list(t) == []


@pytest.mark.parametrize("odd", [False, True])
def test_copies(odd: bool) -> None:
    inner = [1]
    t = Table(a=inner)
    if odd:
        t[True] = inner
        t[inner] = "key"
    for shallow in (t.copy(), copy.copy(t)):
        assert type(shallow) is type(t) and shallow == t and shallow is not t and shallow.a is inner
    for deep in (copy.deepcopy(t), pickle.loads(pickle.dumps(t))):
        assert type(deep) is type(t) and deep.a == [1] and deep.a is not inner
        assert isinstance(deep, Table) and len(deep) == len(t)
        if odd:
            assert deep[True] is deep.a and deep[deep.a] == "key" and inner not in deep


def test_a_table_that_holds_itself() -> None:
    t = Table(name="loop")
    t.me = t
    assert repr(t) == "Table({'name': 'loop', 'me': Table(...)})"
    deep = copy.deepcopy(t)
    assert deep.me is deep and deep is not t
    back = pickle.loads(pickle.dumps(t))
    assert back.me is back


def test_repr_shows_the_keys_as_they_are() -> None:
    t = Table({1: "a"})
    t[True] = "b"
    t[[2]] = "c"
    assert repr(t) == "Table({1: 'a', True: 'b', [2]: 'c'})"


def test_a_subclass_keeps_its_class() -> None:
    class Options(Table):
        __slots__ = ()

    t = Options(a=1)
    t[True] = 2
    assert isinstance(t, Options) and repr(t) == "Options({'a': 1, True: 2})"
    assert isinstance(t.copy(), Options) and isinstance(copy.deepcopy(t), Options)


def test_a_table_is_no_object_of_a_torch_class() -> None:
    from luann import typename

    assert typename(Table({"_typename": "nn.Linear"})) is None


def test_look_ups_of_common_keys_are_those_of_dict() -> None:
    # no Python code in between: what makes them as fast as a dict's
    for name in ("__getitem__", "__contains__", "get", "__iter__", "items", "keys", "values", "__len__"):
        assert getattr(Table, name) is getattr(dict, name)
    t = Table({"a": 1})
    t["b"], t[1], t[1.5] = 2, 3, 4
    assert type(t) is Table
    t[math.inf] = 5
    assert t[math.inf] == 5 and type(t) is Table
