"""Transfer functions: Torch7's records, PyTorch's functions with autograd, and what the records do not show."""

import math
import pickle

import pytest
import records
import torch
from torch.nn import functional

from luann import ArgumentError, ShapeError, TensorTypeError, nn


@records.of(
    "nn",
    "CReLU",
    "ELU",
    "GatedLinearUnit",
    "HardShrink",
    "HardTanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftMax",
    "Maxout",
    "PReLU",
    "RReLU",
    "ReLU",
    "ReLU6",
    "Sigmoid",
    "SoftMax",
    "SoftMin",
    "SoftPlus",
    "SoftShrink",
    "SoftSign",
    "SpatialLogSoftMax",
    "SpatialSoftMax",
    "Tanh",
    "TanhShrink",
    "Threshold",
)
def test_record(case):
    records.check_module(case)


SAME = {
    "ELU": (lambda: nn.ELU(0.7), lambda x: functional.elu(x, 0.7)),
    "GatedLinearUnit": (lambda: nn.GatedLinearUnit(2), lambda x: functional.glu(x, 1)),
    "HardShrink": (lambda: nn.HardShrink(0.3), lambda x: functional.hardshrink(x, 0.3)),
    "HardTanh": (lambda: nn.HardTanh(-0.3, 0.6), lambda x: functional.hardtanh(x, -0.3, 0.6)),
    "LeakyReLU": (lambda: nn.LeakyReLU(0.2), lambda x: functional.leaky_relu(x, 0.2)),
    "LogSigmoid": (nn.LogSigmoid, functional.logsigmoid),
    "LogSoftMax": (nn.LogSoftMax, lambda x: functional.log_softmax(x, 1 - x.dim() % 2)),
    "PReLU": (lambda: nn.PReLU(4), lambda x: functional.prelu(x, torch.full((4,), 0.25))),
    "RReLU": (lambda: evaluated(nn.RReLU(0.1, 0.4)), lambda x: functional.rrelu(x, 0.1, 0.4)),
    "ReLU": (nn.ReLU, functional.relu),
    "ReLU6": (nn.ReLU6, functional.relu6),
    "Sigmoid": (nn.Sigmoid, torch.sigmoid),
    "SoftMax": (nn.SoftMax, lambda x: functional.softmax(x, 1 - x.dim() % 2)),
    "SoftMin": (nn.SoftMin, lambda x: functional.softmin(x, 1 - x.dim() % 2)),
    "SoftPlus": (lambda: nn.SoftPlus(2), lambda x: functional.softplus(x, 2)),
    "SoftShrink": (lambda: nn.SoftShrink(0.3), lambda x: functional.softshrink(x, 0.3)),
    "SoftSign": (nn.SoftSign, functional.softsign),
    "Tanh": (nn.Tanh, torch.tanh),
    "TanhShrink": (nn.TanhShrink, functional.tanhshrink),
    "Threshold": (lambda: nn.Threshold(0.1, -2), lambda x: functional.threshold(x, 0.1, -2)),
}


def evaluated(module):
    module.evaluate()
    return module


@pytest.mark.parametrize("name", SAME)
def test_as_pytorch(name):
    """One module for several sizes and layouts, one after the other; then a copy of it."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(1)
    make, function = SAME[name]
    module = make()
    for size in ((3, 4), (5, 4, 2), (2, 4, 3, 2), (3, 4)):
        x = torch.randn(size[::-1]).permute(*range(len(size))[::-1]).requires_grad_()
        wanted = function(x)
        g = torch.randn(wanted.shape)
        (slope,) = torch.autograd.grad(wanted, x, g)
        for m in (module, pickle.loads(pickle.dumps(module))):
            torch.testing.assert_close(m.forward(x), wanted.detach())
            torch.testing.assert_close(m.backward(x, g), slope)
            assert not m.output.requires_grad
            assert m.output.is_contiguous()


@pytest.mark.parametrize("name", ["ReLU", "HardTanh", "ReLU6", "ELU", "LeakyReLU", "RReLU"])
def test_in_place(name):
    x, g = torch.randn(3, 4), torch.randn(3, 4)
    arguments = {"ReLU": (), "ReLU6": (), "HardTanh": (-0.4, 0.4), "RReLU": (0.2, 0.2)}.get(name, (0.3,))
    apart, within = getattr(nn, name)(*arguments), getattr(nn, name)(*arguments, True)
    wanted, slope = apart.forward(x.clone()), apart.backward(x.clone(), g.clone())
    torch.testing.assert_close(within.forward(x), wanted)
    torch.testing.assert_close(within.backward(x, g), slope)
    torch.testing.assert_close(x, wanted)
    torch.testing.assert_close(g, slope)


def test_nan_stays_nan():
    nothing = torch.tensor([math.nan, 1])
    for module in (
        nn.ReLU(),
        nn.Threshold(0.5, 3),
        nn.HardTanh(),
        nn.HardShrink(),
        nn.SoftShrink(),
        nn.PReLU(),
        nn.ELU(),
    ):
        assert module.forward(nothing).isnan().tolist() == [True, False]


def test_gradOutput_needs_as_many_elements():
    module, x = nn.Tanh(), torch.randn(2, 3)
    module.forward(x)
    flat = torch.randn(6)
    wanted = module.backward(x, flat.view(2, 3)).clone()
    assert torch.equal(module.backward(x, flat), wanted)
    with pytest.raises(ShapeError, match="2x3"):  # PyTorch's kernel would have stretched it
        module.backward(x, torch.randn(1, 3))


def test_prelu_planes():
    """The planes are dimension 2, of a vector its elements."""
    module = nn.PReLU(3)
    module.weight.copy_(torch.tensor([0.1, 0.2, 0.3]))
    slopes = -module.forward(-torch.ones(2, 3, 4))
    assert torch.equal(slopes[0, :, 0], module.weight) and torch.equal(slopes[1, :, 3], module.weight)
    assert torch.equal(-module.forward(-torch.ones(3)), module.weight)
    for size in ((4,), (3, 4), (3, 4, 3)):
        with pytest.raises(ShapeError, match="3 planes"):
            module.forward(torch.randn(size))


def test_elu_of_negative_alpha():
    """Torch7 takes the branch by the sign of the output, which is positive everywhere here."""
    module = nn.ELU(-2)
    module.forward(torch.tensor([-1.0, 0, 1]))
    assert module.backward(torch.tensor([-1.0, 0, 1]), torch.ones(3)).tolist() == [1, -2, 1]


def test_fields_that_old_files_lack():
    old = nn.HardTanh.__new__(nn.HardTanh)
    old._restore({"output": torch.empty(0), "gradInput": torch.empty(0)}, 1)
    assert old.forward(torch.tensor([-3.0, 0.5, 3])).tolist() == [-1, 0.5, 1]


def test_errors():
    for make in (
        lambda: nn.Threshold(0, 1, True),
        lambda: nn.HardTanh(1, -1),
        lambda: nn.RReLU(0.5, 0.1),
        lambda: nn.RReLU(-0.5),
        lambda: nn.PReLU(-1),
        lambda: nn.ELU("1"),
        lambda: nn.GatedLinearUnit(0),
        lambda: nn.CReLU(None),
        lambda: nn.Maxout(2, 3, 0),
    ):
        with pytest.raises(ArgumentError):
            make()
    with pytest.raises(ShapeError, match="even size in dimension 2"):
        nn.GatedLinearUnit().forward(torch.randn(4, 3))
    with pytest.raises(ShapeError):
        nn.SoftMax().forward(torch.randn(1, 2, 1, 2, 1))
    with pytest.raises(TensorTypeError, match="must be a tensor"):
        nn.Sigmoid().forward([torch.randn(3)])


@pytest.mark.parametrize("cls", [nn.Tanh, nn.Sigmoid])
def test_a_stray_field_inplace_is_without_effect(cls):
    # cudnn.convert of Torch7 leaves it in classes that do not work in place
    stray, plain, x, g = cls(), cls(), torch.randn(3, 2), torch.randn(3, 2)
    stray.inplace = True
    before = x.clone(), g.clone()
    assert torch.equal(stray.forward(x), plain.forward(x)) and torch.equal(stray.backward(x, g), plain.backward(x, g))
    assert torch.equal(x, before[0]) and torch.equal(g, before[1])
