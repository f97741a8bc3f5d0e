"""Layers that shape, choose and reduce: Torch7's records, autograd, and what the records do not show."""

import pytest
import records
import torch

from luann import ArgumentError, ShapeError, TensorTypeError, nn


@records.of(
    "nn",
    "Collapse",
    "Index",
    "MaskedSelect",
    "Max",
    "Mean",
    "Min",
    "Narrow",
    "Padding",
    "Replicate",
    "Reshape",
    "Select",
    "Squeeze",
    "Sum",
    "Transpose",
    "Unsqueeze",
    "View",
)
def test_record(case):
    records.check_module(case)


SAME = {
    "Collapse": (lambda: nn.Collapse(2), lambda x: x.flatten(1)),
    "Max": (lambda: nn.Max(2), lambda x: x.amax(1)),
    "Mean": (lambda: nn.Mean(-1), lambda x: x.mean(-1)),
    "Min": (lambda: nn.Min(1, 2), lambda x: x.amin(1)),
    "Narrow": (lambda: nn.Narrow(-2, 2, -1), lambda x: x[:, 1:]),
    "Padding": (lambda: nn.Padding(1, 2, 2, 5, 2), lambda x: padded(x, x.shape[1] - 1, 2, 5)),
    "Padding in front": (lambda: nn.Padding(2, -3, None, 5, 3), lambda x: padded(x, 2, 3, 5)),
    "Replicate": (lambda: nn.Replicate(3, 2, 2), lambda x: x.unsqueeze(2).repeat(1, 1, 3, 1)),
    "Reshape": (lambda: nn.Reshape(-1), lambda x: x.flatten(1)),
    "Select": (lambda: nn.Select(-1, -2), lambda x: x[..., -2]),
    "Squeeze": (lambda: nn.Squeeze(2, 2), lambda x: x.squeeze(2)),
    "Sum": (lambda: nn.Sum(3, None, True, False), lambda x: x.mean(2, True)),
    "Transpose": (lambda: nn.Transpose([1, 3], [1, 2]), lambda x: x.transpose(0, 2).transpose(0, 1)),
    "Unsqueeze": (lambda: nn.Unsqueeze(2, 2), lambda x: x.unsqueeze(2)),
}


def padded(x, place, count, value):
    return torch.cat([x[:, :place], torch.full((x.shape[0], count, x.shape[2]), value), x[:, place:]], 1)


@pytest.mark.parametrize("name", SAME)
def test_as_autograd(name):
    """One module for several sizes and layouts, one after the other."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(1)
    make, function = SAME[name]
    module = make()
    for size in ((2, 3, 4), (5, 4, 2), (1, 3, 3)):
        x = torch.randn(size[::-1]).permute(2, 1, 0).requires_grad_()
        wanted = function(x)
        g = torch.randn(wanted.shape[::-1]).permute(*range(wanted.dim())[::-1])
        (slope,) = torch.autograd.grad(wanted, x, g)
        assert torch.equal(module.forward(x), wanted.detach())
        torch.testing.assert_close(module.backward(x, g), slope)


def test_index_and_masked_select_as_autograd():
    x = torch.randn(4, 3, requires_grad=True)
    numbers = torch.tensor([4, 1, 4])
    wanted = x[numbers - 1]
    g = torch.randn(3, 3)
    (slope,) = torch.autograd.grad(wanted, x, g)
    for kind in (torch.int64, torch.float32):
        module = nn.Index(1)
        assert torch.equal(module.forward([x, numbers.to(kind)]), wanted.detach())
        grad, zeros = module.backward([x, numbers.to(kind)], g)
        torch.testing.assert_close(grad, slope)
        assert zeros.tolist() == [0, 0, 0]

    mask = x.detach() > 0
    wanted = x[mask]
    g = torch.randn(wanted.shape)
    (slope,) = torch.autograd.grad(wanted, x, g)
    for kind in (torch.bool, torch.uint8, torch.float32):
        module = nn.MaskedSelect()
        assert torch.equal(module.forward([x, mask.to(kind)]), wanted.detach())
        assert torch.equal(module.backward([x, mask.to(kind)], g)[0], slope)


def test_a_file_s_type_of_input():
    """Narrow takes the type of its input, whatever its own."""
    module = nn.Narrow(1, 2, 2)
    assert module.forward(torch.tensor([1, 2, 3])).tolist() == [2, 3]
    assert module.output.dtype is torch.int64
    assert module.forward(torch.tensor([1.5, 2.5, 3.5])).tolist() == [2.5, 3.5]


def test_unsqueeze_remembers_its_first_input():
    module = nn.Unsqueeze(1)
    assert module.forward(torch.randn(3, 4)).shape == (1, 3, 4)
    assert module.forward(torch.randn(2, 3, 4)).shape == (2, 1, 3, 4)
    assert nn.Unsqueeze(1).forward(torch.randn(2, 3, 4)).shape == (1, 2, 3, 4)


def test_squeeze_leaves_a_vector():
    for module in (nn.Squeeze(), nn.Squeeze(1)):
        assert module.forward(torch.ones(1)).shape == (1,)
        assert module.backward(torch.ones(1), torch.ones(1)).shape == (1,)
    assert nn.Squeeze().forward(torch.ones(1, 1)).shape == (1,)


def test_ties_go_to_the_first():
    x = torch.tensor([[1.0, 2, 2], [2, 2, 1]])
    for module, wanted in ((nn.Max(2), [[0, 1, 0], [1, 0, 0]]), (nn.Min(2), [[1, 0, 0], [0, 0, 1]])):
        module.forward(x)
        assert module.backward(x, torch.ones(2)).tolist() == wanted


def test_reshaping_shares_memory_when_it_can():
    x = torch.randn(2, 6)
    assert nn.Reshape(3, 2).forward(x).data_ptr() == x.data_ptr()
    assert nn.Collapse(1).forward(x.t()).data_ptr() != x.data_ptr()


@pytest.mark.parametrize("module, input", [
    (nn.Reshape(4), (3, 5)),
    (nn.Reshape(6, True), (6,)),
    (nn.Reshape(2, 3, False), (2, 2, 3)),
    (nn.Replicate(2, 4), (2, 3)),
    (nn.Transpose([1, 3]), (2, 3)),
    (nn.Squeeze(3), (2, 1)),
    (nn.Unsqueeze(4), (2, 3)),
    (nn.Unsqueeze(1, 3), (2, 3)),
    (nn.Padding(3, 1), (2, 3)),
    (nn.Padding(1, 1, None, 0, 5), (2, 3)),
    (nn.Select(3, 1), (2, 3)),
    (nn.Select(1, 3), (2, 3)),
    (nn.Select(1, -3), (2, 3)),
    (nn.Select(1, 1), (3,)),
    (nn.Narrow(1, 2, 2), (2, 3)),
    (nn.Narrow(3, 1, 1), (2, 3)),
    (nn.Max(3), (2, 3)),
    (nn.Sum(-3), (2, 3)),
])  # fmt: skip
def test_sizes_that_do_not_fit(module, input):
    with pytest.raises(ShapeError):
        module.forward(torch.randn(input))


def test_bad_arguments():
    for make in (
        lambda: nn.Reshape(),
        lambda: nn.Reshape(2, 0),
        lambda: nn.Collapse(None),
        lambda: nn.Replicate(2, 0),
        lambda: nn.Transpose(1, 2),
        lambda: nn.Transpose([1, 2, 3]),
        lambda: nn.Squeeze(0),
        lambda: nn.Unsqueeze(None),
        lambda: nn.Padding(0, 1),
        lambda: nn.Padding(1, None),
        lambda: nn.Select(1, 0),
        lambda: nn.Narrow(0, 1),
        lambda: nn.Index(None),
        lambda: nn.Max(0),
        lambda: nn.Sum(1, None, None, "yes"),
    ):
        with pytest.raises(ArgumentError):
            make()


def test_tables_that_do_not_fit():
    x = torch.randn(3, 2)
    for module, input, error in (
        (nn.Index(1), [x, torch.tensor([1, 4])], ArgumentError),
        (nn.Index(1), [x, torch.tensor([0])], ArgumentError),
        (nn.Index(3), [x, torch.tensor([1])], ShapeError),
        (nn.Index(1), [x], TensorTypeError),
        (nn.MaskedSelect(), x, TensorTypeError),
        (nn.MaskedSelect(), [x, torch.ones(2, dtype=torch.bool)], ShapeError),
    ):
        with pytest.raises(error):
            module.forward(input)
