"""Pointwise and simple layers: Torch7's records, autograd, and what the records do not show."""

import pytest
import records
import torch

from luann import ArgumentError, ModuleError, ShapeError, nn
from luann.t7 import Function


@records.of(
    "nn",
    "Abs",
    "Add",
    "AddConstant",
    "CAdd",
    "CMul",
    "Clamp",
    "Constant",
    "Contiguous",
    "Convert",
    "Dropout",
    "Exp",
    "GradientReversal",
    "Identity",
    "L1Penalty",
    "Log",
    "Mul",
    "MulConstant",
    "OneHot",
    "Power",
    "Sqrt",
    "Square",
    "WhiteNoise",
    "ZeroGrad",
)
def test_record(case):
    records.check_module(case)


SAME = {
    "Abs": (nn.Abs, lambda m, x: x.abs()),
    "Add": (lambda: nn.Add(4), lambda m, x: x + m.bias),
    "Add scalar": (lambda: nn.Add(4, True), lambda m, x: x + m.bias),
    "AddConstant": (lambda: nn.AddConstant(3), lambda m, x: x + 3),
    "CAdd": (lambda: nn.CAdd(3, 1), lambda m, x: x + m.bias),
    "CMul": (lambda: nn.CMul(1, 4), lambda m, x: x * m.weight),
    "Exp": (nn.Exp, lambda m, x: x.exp()),
    "Log": (nn.Log, lambda m, x: x.log()),
    "Mul": (nn.Mul, lambda m, x: x * m.weight),
    "MulConstant": (lambda: nn.MulConstant(-2), lambda m, x: -2 * x),
    "Power": (lambda: nn.Power(1.5), lambda m, x: x**1.5),
    "Sqrt": (nn.Sqrt, lambda m, x: x.sqrt()),
    "Square": (nn.Square, lambda m, x: x * x),
}


@pytest.mark.parametrize("name", SAME)
def test_as_autograd(name):
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(1)
    make, function = SAME[name]
    module = make()
    module.zeroGradParameters()
    params, grads = (list(p or []) for p in module.parameters())
    x = (torch.rand(4, 3) + 0.1).t().requires_grad_()
    leaves = [x, *(p.requires_grad_() for p in params)]
    wanted = function(module, x)
    g = torch.randn(4, 3).t()
    slopes = torch.autograd.grad(wanted, leaves, g)
    for p in params:
        p.requires_grad_(False)
    torch.testing.assert_close(module.forward(x), wanted.detach())
    torch.testing.assert_close(module.backward(x, g, 0.5), slopes[0])
    for grad, slope in zip(grads, slopes[1:], strict=True):
        torch.testing.assert_close(grad, 0.5 * slope)


@pytest.mark.parametrize("sizes, input", [
    ((2, 3), (2, 3)), ((2, 3), (3, 2)), ((2, 3), (6,)), ((2, 3), (4, 2, 3)), ((6,), (4, 2, 3)),
    ((1, 3, 1), (2, 3, 4)), ((2, 1), (2, 5)), ((1,), (4, 3)), ((1, 1), (5, 2, 3)), ((4,), (1, 4)),
])  # fmt: skip
def test_sizes_of_a_componentwise_parameter(sizes, input):
    """As many elements, as many dimensions, or a batch."""
    torch.set_default_dtype(torch.float64)
    x, g = torch.randn(input), torch.randn(input)
    multiply, add = nn.CMul(*sizes), nn.CAdd(list(sizes))
    y = multiply.forward(x)
    assert y.shape == x.shape
    assert torch.isin((y / x).round(decimals=9), multiply.weight.round(decimals=9)).all()
    torch.testing.assert_close(multiply.backward(x, g), g * (y / x))
    torch.testing.assert_close(multiply.gradWeight.sum(), (g * x).sum())
    torch.testing.assert_close((multiply.gradWeight * multiply.weight).sum(), (g * y).sum())  # linear in its weight
    y = add.forward(x)
    assert torch.isin((y - x).round(decimals=9), add.bias.round(decimals=9)).all()
    assert torch.equal(add.backward(x, g), g)
    torch.testing.assert_close((add.gradBias * add.bias).sum(), (g * (y - x)).sum())


@pytest.mark.parametrize("module, size", [
    (nn.CMul(1, 3, 1), (2, 1, 4)),  # would stretch the input
    (nn.CMul(4), (4, 3)),
    (nn.CAdd(2, 3), (2, 4)),
    (nn.Add(4), (2, 3)),
    (nn.Add(4), (8,)),
    (nn.Add(4), (2, 2)),
    (nn.AddConstant(torch.ones(3)), (2, 1)),
    (nn.AddConstant(torch.ones(3)), (2, 2, 3)),
])  # fmt: skip
def test_sizes_that_do_not_fit(module, size):
    with pytest.raises(ShapeError):
        module.forward(torch.randn(size))


def test_constants_in_place_give_the_input_back():
    for module in (nn.AddConstant(3, True), nn.AddConstant(torch.tensor([3.0, 4]), True), nn.MulConstant(4, True)):
        x = torch.tensor([[1.0, 2], [3, 4]])
        kept = x.clone()
        assert module.forward(x).data_ptr() == x.data_ptr()
        assert not torch.equal(x, kept)
        module.backward(x, torch.ones(2, 2))
        assert torch.equal(x, kept)


def test_no_gradInput_wanted():
    for module in (nn.Add(3), nn.CMul(3), nn.MulConstant(2)):
        module.zeroGradParameters()
        module.gradInput = None
        x = torch.ones(2, 3)
        module.forward(x)
        assert module.backward(x, x) is None
        for grad in module.parameters()[1] or []:
            assert grad.abs().sum() > 0


def test_identity_leaves_the_caller_s_tensors_alone():
    module = nn.Identity()
    first, second, table = torch.ones(3), torch.zeros(2), [torch.ones(2)]
    output = module.forward(first)
    assert output.data_ptr() == first.data_ptr()
    assert module.forward(second) is output  # the same object as before
    assert module.forward(table) is table
    module.forward(second)
    module.forward(first)
    module.clearState()
    assert (first.tolist(), second.tolist(), len(table)) == ([1, 1, 1], [0, 0], 1)
    whole = torch.tensor([1, 2])
    assert module.forward(whole).dtype is torch.int64
    assert module.forward(7) == 7


def test_identity_of_a_file_owns_its_tensors():
    """A file may hold the very tensor that the caller keeps, too."""
    kept = torch.ones(3)
    module = nn.Identity.__new__(nn.Identity)
    module._restore({"output": kept, "gradInput": torch.empty(0)}, 1)
    module.forward(torch.zeros(2))
    assert kept.tolist() == [1, 1, 1]


def test_gradient_reversal_of_an_old_file():
    module = nn.GradientReversal.__new__(nn.GradientReversal)
    module._restore({"output": torch.empty(0), "gradInput": torch.empty(0)}, 1)
    assert module.backward(torch.ones(2), torch.tensor([1.0, 2])).tolist() == [-1, -2]


def test_zero_grad_of_a_table():
    table = [torch.ones(2), [torch.ones(1, 3)]]
    module = nn.ZeroGrad()
    assert module.forward(table) is table
    assert records.difference(module.backward(table, table), [torch.zeros(2), [torch.zeros(1, 3)]], (0, 0)) is None


def test_copy():
    module = nn.Copy("torch.DoubleTensor", "torch.FloatTensor")
    x = torch.ones(2, 3, dtype=torch.float64)
    assert module.forward(x).dtype is torch.float32
    assert module.backward(x, module.output).dtype is torch.float64
    kept = nn.Copy("torch.DoubleTensor", "torch.FloatTensor", None, True)
    nn.Sequential().add(module).add(kept).double()
    assert module.output.dtype is torch.float64
    assert kept.output.dtype is torch.float32
    y = torch.ones(3)
    assert nn.Copy().forward(y).data_ptr() == y.data_ptr()
    assert nn.Copy(None, None, True).forward(y).data_ptr() != y.data_ptr()


def test_copy_of_a_file():
    """Torch7 keeps functions among the fields of a Copy between equal types."""
    fields = {"output": torch.empty(0), "gradInput": torch.empty(0), "updateOutput": Function(b"", None)}
    module = nn.Copy.__new__(nn.Copy)
    module._restore(fields, 1)
    x = torch.ones(2)
    assert module.forward(x).data_ptr() == x.data_ptr()


def test_contiguous_does_not_write_over_an_earlier_input():
    module = nn.Contiguous()
    first = torch.zeros(2, 3)
    module.forward(first)
    module.forward(torch.ones(3, 2).t())
    assert first.abs().sum() == 0


def test_white_noise_evaluates_forward_only():
    module = nn.WhiteNoise(2, 0.1)
    module.evaluate()
    assert module.forward(torch.ones(2)).tolist() == [3, 3]
    with pytest.raises(ModuleError, match="training"):
        module.backward(torch.ones(2), torch.ones(2))


def test_one_hot_of_any_kind_of_number():
    module = nn.OneHot(3)
    for kind in (torch.float32, torch.uint8, torch.int64):
        assert module.forward(torch.tensor([3, 1], dtype=kind)).tolist() == [[0, 0, 1], [1, 0, 0]]
    for bad in (torch.tensor([1, 4]), torch.tensor([[0.0]]), 4):
        with pytest.raises(ArgumentError, match="from 1 to 3"):
            module.forward(bad)


def test_convert():
    x = torch.arange(24.0).view(2, 3, 4)
    assert torch.equal(nn.Convert("bct", "tbc").forward(x), x.permute(2, 0, 1))
    assert torch.equal(nn.Convert("chw", "f").forward(x), x.reshape(24))
    assert torch.equal(nn.Convert("tbc", "bf").forward(x), x.transpose(0, 1).reshape(3, 8))
    assert nn.Convert().double().forward(x).dtype is torch.float64
    for layouts, size in ((("bf", "bt"), (2, 3)), (("bchw", "bcx"), (2, 3, 1, 1)), (("bt", "bf"), (2, 3))):
        with pytest.raises(ArgumentError, match="cannot convert"):
            nn.Convert(*layouts).forward(torch.randn(size))
    with pytest.raises(ShapeError, match="single feature"):
        nn.Convert("bf", "b").forward(torch.randn(2, 3))


def test_bad_arguments():
    for make in (
        lambda: nn.Power(None),
        lambda: nn.AddConstant("1"),
        lambda: nn.MulConstant(torch.ones(3)),
        lambda: nn.Add(0),
        lambda: nn.CAdd(),
        lambda: nn.CMul(2, -1),
        lambda: nn.Clamp(2, 1),
        lambda: nn.Constant("x"),
        lambda: nn.OneHot(0),
        lambda: nn.L1Penalty(None),
        lambda: nn.Convert(None, "bf"),
        lambda: nn.Convert("b*", "bf"),
        lambda: nn.Copy("torch.NoTensor"),
    ):
        with pytest.raises(ArgumentError):
            make()
