"""Corners of ``nn.utils``, ``optim`` and files that no record shows, by the rules of Torch7's own source."""

from __future__ import annotations

import importlib
import io

import pytest
import torch
from t7_bytes import T

import luann
from luann import nn

cg = importlib.import_module("luann.optim.cg")  # the module: the package's name is the function's


def test_a_singleton_dimension_has_the_stride_one():
    t = torch.arange(6.0).view(2, 3)
    for dim, stride in ((1, (1, 3, 1)), (2, (3, 1, 1)), (3, (3, 1, 1))):
        view = nn.utils.addSingletonDimension(t, dim)
        assert view.stride() == stride and torch.equal(view, t.unsqueeze(dim - 1))
        assert view.data_ptr() == t.data_ptr()
    assert nn.utils.addSingletonDimension(t).shape == (1, 2, 3)
    row = nn.utils.addSingletonDimension(t[1:].t(), 2)
    assert row.storage_offset() == 3 and row.flatten().tolist() == [3, 4, 5]


def test_a_singleton_dimension_in_a_tensor_that_is_given():
    t, view = torch.arange(6.0).view(2, 3), torch.empty(4)
    assert nn.utils.addSingletonDimension(view, t[1], 2) is view
    assert view.shape == (3, 1) and view.data_ptr() == t[1].data_ptr()
    with pytest.raises(luann.ArgumentError, match="invalid dimension 4"):
        nn.utils.addSingletonDimension(t, 4)
    with pytest.raises(luann.TensorTypeError, match="view and t are tensors"):
        nn.utils.addSingletonDimension([t], t, 1)


def test_contiguous_view_without_a_tensor_for_it():
    t = torch.arange(6.0).view(2, 3)
    view = nn.utils.contiguousView(None, t, 3, 2)
    assert view.shape == (3, 2) and view.data_ptr() == t.data_ptr()
    copied = nn.utils.contiguousView(None, t.t(), 6)
    assert copied.tolist() == [0, 3, 1, 4, 2, 5] and copied.data_ptr() != t.data_ptr()


def test_resizing_drops_what_is_too_much():
    held = [torch.empty(1), [torch.empty(1), torch.empty(1)], torch.empty(3)]
    t1, _ = nn.utils.recursiveResizeAs(held, [torch.empty(2), [torch.empty(5)]])
    assert t1 is held and [len(t1), len(t1[1])] == [2, 1] and t1[1][0].shape == (5,)
    named = luann.Table(a=torch.empty(1), b=torch.empty(2))
    nn.utils.recursiveResizeAs(named, luann.Table(b=torch.empty(4)))
    assert list(named) == ["b"] and named.b.shape == (4,)
    assert nn.utils.recursiveResizeAs(torch.empty(2), [])[0] == []


def test_clearing_leaves_false_as_it_is():
    module = nn.Module()
    module.flag, module.text, module.list, module.tensor = False, "x", [1], torch.ones(2)
    nn.utils.clear(module, "flag", "text", "list", "tensor", "missing")
    assert module.flag is False and module.text is None and module.list == [] and module.tensor.numel() == 0


def test_cg_rounds_its_cubic_as_torch7_does():
    """``6*(f2-f3)/z3`` is one quotient in Torch7. Here the cubic's leading coefficient is then exactly 0, which means
    halving the interval; dividing before multiplying leaves 4e-16 and another step.
    """
    d3 = -6 * 61 / 86 / 3
    assert 6 * (61 / 86) + 3 * d3 != 0
    assert cg._between(61, 0, 0.0, d3, 86, False) == 43


@pytest.mark.parametrize(("text", "version"), [("V 0.5", 0.5), ("V 1e+20", 1e20), ("V -1", -1), ("V 1.5e-05", 1.5e-5)])
def test_any_number_can_be_the_version_of_a_class(text, version):
    obj = luann.load(T.obj(1, "my.Layer", T.string("n"), T.number(3), version=text))
    assert (obj.typename, obj.version, obj.n) == ("my.Layer", version, 3)
    file = io.BytesIO()
    luann.save(file, obj)
    assert luann.load(file.getvalue()).version == version


def test_adding_without_a_factor():
    t1, _ = nn.utils.recursiveAdd([torch.ones(2)], None, [torch.ones(2)])
    assert t1[0].tolist() == [2, 2]
