"""Kernels that compute the same must give the same, whichever is chosen."""

import pytest
import records
import torch

from luann import nn
from luann.nn import _kernels as kernels
from luann.nn.pooling import _kernels as pooling


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
        monkeypatch.setattr(kernels, "onednn_linear", chosen)
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


@pytest.mark.parametrize("size", [(40, 2, 24, 23), (3, 70, 32, 32), (2, 64, 16, 64)], ids=str)
def test_max_pooling_of_the_planes_of_all_samples_at_once(size):
    """Few planes, or planes of many times 4 KB."""
    m, x = nn.SpatialMaxPooling(3, 2, 2, 2, 1, 0), torch.randn(size).mul_(4).round_()  # with equal maxima
    assert pooling._folds(x)
    wanted, places = torch.nn.functional.max_pool2d(x, (2, 3), 2, (0, 1), return_indices=True)
    assert torch.equal(m.forward(x), wanted) and m.output.is_contiguous()
    assert torch.equal(m.indices, places + 1)
    x.requires_grad_()
    g = torch.randn(wanted.shape)
    torch.nn.functional.max_pool2d(x, (2, 3), 2, (0, 1)).backward(g)
    assert torch.equal(m.backward(x.detach(), g), x.grad)


@pytest.mark.parametrize("name", ["updateGradInput", "accGradParameters"])
@pytest.mark.parametrize("make", [lambda c: c(3, 2), lambda c: c(3, 2, 1, 1), lambda c: c(3)])
def test_backward_asks_what_a_subclass_defines_anew(make, name):
    base = {2: nn.Linear, 4: nn.SpatialConvolution, 1: nn.SpatialBatchNormalization}[len(make(lambda *a: a))]
    called = []

    def anew(self, *arguments):
        called.append(name)
        return getattr(base, name)(self, *arguments)

    m = make(type("Anew", (base,), {name: anew}))
    twin = make(base)
    for mine, theirs in zip(m.parameters()[0], twin.parameters()[0]):
        mine.copy_(theirs)
    x = torch.randn(4, 3, 5, 5) if base is not nn.Linear else torch.randn(4, 3)
    g = torch.randn(twin.forward(x).shape)
    net = nn.Sequential().add(m)
    net.forward(x)
    net.zeroGradParameters()
    twin.zeroGradParameters()
    torch.testing.assert_close(net.backward(x, g), twin.backward(x, g))
    assert called == [name]
    torch.testing.assert_close(m.gradWeight, twin.gradWeight)


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_maxima_without_their_places(k, step, padding, dilation, ceil, monkeypatch):
    """In evaluation large images are pooled along one dimension at a time; the result is the same to the last bit."""
    if padding > k // 2:
        pytest.skip("not a pooling")
    monkeypatch.setattr(pooling, "SEPARATE_ELEMENTS", 1)
    m = nn.SpatialDilatedMaxPooling(k, k, step, step, padding, padding, dilation, dilation)
    m.ceil_mode = ceil
    for size in ((2, 3, 13, 17), (3, 8, 8), (1, 2, 28, 9)):
        x = torch.randn(size).mul_(4).round_()  # with equal maxima
        m.training()
        wanted, places = m.forward(x).clone(), m.indices.clone()
        m.evaluate()
        assert torch.equal(m.forward(x), wanted)
        assert torch.equal(m.indices, places)


def test_few_samples_at_a_time(monkeypatch):
    """Convolutions whose unfolded input does not fit into the cache are computed in parts."""
    m, x = nn.SpatialConvolution(2, 3, 5, 5, 1, 1, 2, 2), torch.randn(7, 2, 9, 9)
    results = []
    for elements in (1 << 30, 2 * 25 * 81 * 3):  # all at once, and three by three
        monkeypatch.setattr(kernels, "IM2COL_ELEMENTS", elements)
        kernels._plan.cache_clear()
        m.zeroGradParameters()
        y = m.forward(x).clone()
        results.append([y, m.backward(x, y).clone(), m.gradWeight.clone(), m.gradBias.clone()])
    kernels._plan.cache_clear()
    torch.testing.assert_close(results[0], results[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_convolution_as_on_other_processors(shape, wide, monkeypatch):
    monkeypatch.setattr(kernels, "AVX512", wide)
    kernels._plan.cache_clear()
    test_convolution_agrees_with_torch(shape, True, monkeypatch)
    kernels._plan.cache_clear()


def test_linear_takes_vectors_and_batches_by_turns():
    """Whatever is kept from one call to the next. A warning of PyTorch's about a resized output would be an error."""
    m = nn.Linear(3, 2)
    for rows in (None, 4, None, 4, 1, 0, 4, None, 1):
        x = torch.randn(3) if rows is None else torch.randn(rows, 3)
        m.zeroGradParameters()
        torch.testing.assert_close(m.forward(x), torch.nn.functional.linear(x, m.weight, m.bias))
        g = torch.randn(m.output.shape)
        torch.testing.assert_close(m.backward(x, g), g @ m.weight)
        torch.testing.assert_close(m.gradWeight, g.reshape(-1, 2).t() @ x.reshape(-1, 3))
        torch.testing.assert_close(m.gradBias, g.reshape(-1, 2).sum(0))
