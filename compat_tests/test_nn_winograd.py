"""Winograd's filtering computes what a convolution is, and is closer to it than oneDNN's in float."""

import copy
import itertools

import pytest
import torch

import luann
from luann import nn
from luann.nn import _kernels as kernels
from luann.nn import _winograd

BACKWARD = torch.ops.aten.convolution_backward
PADDINGS = [(0, 0), (1, 1), (2, 1), (0, 1), (3, 2)]
SIZES = [
    (h, w, padding)
    for h, w, padding in itertools.product((1, 2, 3, 4, 7, 8), (2, 3, 5, 6), PADDINGS)
    if h + 2 * padding[0] >= 3 and w + 2 * padding[1] >= 3
]


def exact(x, weight, bias, gradOutput, padding):
    """Output and gradients by PyTorch, in double."""
    x, weight, bias, gradOutput = (t.double() for t in (x, weight, bias, gradOutput))
    y = torch.conv2d(x, weight, bias, 1, padding)
    settings = ([len(weight)], (1, 1), padding, (1, 1), False, (0, 0), 1)
    return y, *BACKWARD(gradOutput, x, weight, *settings, [True] * 3)


@pytest.mark.parametrize("last", [False, True], ids=["usual", "last"])
@pytest.mark.parametrize("tiles", [1, 5, 1000])
def test_is_a_convolution(tiles, last, monkeypatch):
    monkeypatch.setattr(_winograd, "TILES", tiles)
    layout = torch.channels_last if last else torch.contiguous_format
    for (h, w, padding), n, planes in itertools.product(SIZES, (1, 3), ((1, 2), (5, 3))):
        weight = torch.randn(planes[1], planes[0], 3, 3, dtype=torch.double)
        bias = torch.randn(planes[1], dtype=torch.double)
        x = torch.randn(n, planes[0], h, w, dtype=torch.double).contiguous(memory_format=layout)
        g = torch.randn(n, planes[1], h + 2 * padding[0] - 2, w + 2 * padding[1] - 2, dtype=torch.double)
        g = g.contiguous(memory_format=layout)
        y = torch.full_like(g, float("nan"))
        _winograd.convolve(y, x, _winograd.filters(weight), bias, padding)
        got = y, *_winograd.gradients(x, g, weight, padding, [True] * 3)
        for a, b in zip(got, exact(x, weight, bias, g, padding), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("mask", list(itertools.product((True, False), repeat=3)), ids=str)
def test_gradients_that_are_asked_for(mask):
    x, g, weight = torch.randn(2, 4, 6, 6), torch.randn(2, 3, 6, 6), torch.randn(3, 4, 3, 3)
    whole = _winograd.gradients(x, g, weight, (1, 1), [True] * 3)
    for part, all_of_it, wanted in zip(_winograd.gradients(x, g, weight, (1, 1), list(mask)), whole, mask):
        assert torch.equal(part, all_of_it) if wanted else part is None


@pytest.fixture
def chosen(monkeypatch):
    """Winograd's filtering is allowed, and what it does is counted."""
    monkeypatch.setattr(kernels, "WINOGRAD", True)
    calls = []
    for name in ("convolve", "gradients"):
        own = getattr(_winograd, name)
        monkeypatch.setattr(_winograd, name, lambda *a, own=own, name=name: (calls.append(name), own(*a))[1])
    return calls


CLASSES = [nn.SpatialConvolution, nn.SpatialConvolutionMM]


@pytest.mark.parametrize("private", [True, False], ids=["private", "plain"])
@pytest.mark.parametrize("last", [False, True], ids=["usual", "last"])
@pytest.mark.parametrize("make", CLASSES)
def test_is_taken_for_many_planes(make, last, private, chosen, monkeypatch):
    monkeypatch.setattr(kernels, "PRIVATE", private)
    m = make(64, 128, 3, 3, 1, 1, 1, 1).channels_last(last)
    for size in ((8, 7), (9, 4)):  # another size reuses the buffers
        x, g = torch.randn(6, 64, *size), torch.randn(6, 128, *size)
        wanted = exact(x, m.weight.view(128, 64, 3, 3), m.bias, g, (1, 1))
        output = m.forward(x)
        assert output is m.output and output.is_contiguous(
            memory_format=[torch.contiguous_format, torch.channels_last][last]
        )
        m.zeroGradParameters()
        gradInput = m.backward(x, g, 0.5)
        assert gradInput is m.gradInput
        got = output, gradInput, m.gradWeight.view(wanted[2].shape) * 2, m.gradBias * 2
        for a, b in zip(got, wanted):
            assert (a - b).abs().max() <= 1e-6 * b.abs().max()  # the direct convolution needs 3e-6
    assert chosen == ["convolve", "gradients"] * 2


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.SpatialConvolution(64, 128, 3, 3, 2, 2, 1, 1),
        lambda: nn.SpatialConvolution(64, 128, 3, 1, 1, 1, 1, 0),
        lambda: nn.SpatialConvolution(64, 32, 3, 3, 1, 1, 1, 1),
        lambda: nn.SpatialDilatedConvolution(64, 128, 3, 3, 1, 1, 2, 2, 2, 2),
        lambda: nn.SpatialFullConvolution(64, 128, 3, 3, 1, 1, 1, 1),
        lambda: nn.SpatialConvolution(64, 128, 3, 3, 1, 1, 1, 1).double(),
    ],
)
def test_is_not_taken_otherwise(make, chosen):
    m = make()
    x = torch.randn(6, 64, 8, 7).to(m.weight.dtype)
    m.backward(x, m.forward(x).clone())
    assert not chosen


def test_frozen_nets_keep_transformed_kernels(chosen):
    net = nn.Sequential().add(nn.SpatialConvolution(64, 128, 3, 3, 1, 1, 1, 1))
    net.add(nn.SpatialBatchNormalization(128)).add(nn.ReLU()).add(nn.SpatialConvolution(128, 64, 3, 3, 1, 1, 1, 1))
    net.float().evaluate()
    net.get(2).running_mean.normal_()
    net.get(2).running_var.uniform_(0.5, 2)
    x = torch.randn(6, 64, 8, 8)
    wanted = net.forward(x).clone()
    frozen = luann.freeze(net)
    chosen.clear()
    for frozen_again in (frozen, copy.deepcopy(frozen)):
        for part in (x, x[:1]):
            torch.testing.assert_close(frozen_again.forward(part), wanted[: len(part)], rtol=1e-4, atol=1e-5)
    assert chosen == ["convolve"] * 8
