"""Kernels that compute the same must give the same, whichever is chosen."""

import pytest
import records
import torch

from luann import nn
from luann.nn import _kernels as kernels


@pytest.fixture
def plain(monkeypatch):
    """As if the installed PyTorch had none of the private operators."""
    monkeypatch.setattr(kernels, "PRIVATE", False)


@records.of("nn", "Linear", "SpatialConvolution", "SpatialMaxPooling", again=True)
def test_records_by_the_plain_kernels(case, plain):
    records.check_module(case)


# image, planes in and out, kernel, batch: small, large with channels that are a multiple of 16 or not, a first layer
SHAPES = [(8, 3, 4, 3, 2), (24, 16, 32, 3, 8), (24, 10, 20, 3, 8), (32, 3, 16, 5, 16), (32, 3, 16, 5, 1)]


@pytest.mark.parametrize("private", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_convolution_agrees_with_torch(shape, private, monkeypatch):
    monkeypatch.setattr(kernels, "PRIVATE", private)
    side, planes_in, planes_out, k, n = shape
    m = nn.SpatialConvolution(planes_in, planes_out, k, k, 1, 2, 1)
    twin = torch.nn.Conv2d(planes_in, planes_out, k, stride=(2, 1), padding=1)
    with torch.no_grad():
        twin.weight.copy_(m.weight)
        twin.bias.copy_(m.bias)
    x = torch.randn(n, planes_in, side, side, requires_grad=True)
    wanted = twin(x)
    got = m.forward(x)
    torch.testing.assert_close(got, wanted.detach(), rtol=1e-4, atol=1e-5)
    assert got.is_contiguous()
    g = torch.randn(wanted.shape)
    wanted.backward(g)
    m.zeroGradParameters()
    gradInput = m.backward(x, g)
    torch.testing.assert_close(gradInput, x.grad, rtol=1e-4, atol=1e-5)
    # sums over many places, in another order
    torch.testing.assert_close(m.gradWeight, twin.weight.grad, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(m.gradBias, twin.bias.grad, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("n", [32, 128])
def test_products_by_onednn_agree(n, monkeypatch):
    """On processors where BLAS is the faster one, oneDNN's product is tested all the same."""
    product = kernels._private("mkldnn", "_linear_pointwise")
    if product is None:
        pytest.skip("this PyTorch is built without oneDNN")
    m, x, g = nn.Linear(300, 200), torch.randn(n, 300), torch.randn(n, 200)
    assert 2 * n * 300 * 200 > kernels.LINEAR_FLOPS
    results = []
    for chosen in (None, product):
        monkeypatch.setattr(kernels, "_onednn_linear", chosen)
        m.zeroGradParameters()
        results.append([m.forward(x).clone(), m.backward(x, g).clone(), m.gradWeight.clone(), m.gradBias.clone()])
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("size", [(2, 3, 8, 9), (4, 16, 32, 33), (3, 6, 7)], ids=str)
def test_max_pooling_agrees_with_torch(size, train):
    m, x = nn.SpatialMaxPooling(2, 2), torch.randn(size)
    m.train = train
    wanted, places = torch.nn.functional.max_pool2d(x, 2, return_indices=True)
    assert torch.equal(m.forward(x), wanted)
    assert torch.equal(m.indices, places + 1)
    g = torch.randn(wanted.shape)
    m.forward(x)
    unpooled = torch.nn.functional.max_unpool2d(g, places, 2, output_size=x.shape[-2:])
    assert torch.equal(m.backward(x, g), unpooled)
