"""Frozen nets give the outputs of the nets that they were made from."""

import copy
import re

import pytest
import torch
from records import REFERENCE

import luann
from luann import nn
from luann.frozen import Frozen
from luann.nn import _kernels


@pytest.fixture(params=[True, False], ids=["fused", "plain"])
def private(request, monkeypatch):
    """With PyTorch's private operators and without; every convolution counts as a large one, of many planes."""
    monkeypatch.setattr(luann.frozen, "LAST_PLANES", 0)
    monkeypatch.setattr(_kernels, "PRIVATE", request.param)
    monkeypatch.setattr(_kernels, "CONVOLUTION_FLOPS", 0)


def trained(net, *size):
    """The net with running statistics and affine parameters of its own."""
    for _ in range(3):
        net.forward(torch.randn(4, *size))
    for module in net.listModules():
        if isinstance(module, nn.BatchNormalization) and module.bias is not None:
            module.bias.normal_()
    return net


def check(net, *inputs):
    frozen = luann.freeze(net)
    for input in inputs:
        before = copy.deepcopy(input)
        net.evaluate()
        wanted = net.forward(input)
        found = frozen.forward(input)
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(frozen.clone().forward(input), wanted, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(input, before, rtol=0, atol=0)
        if isinstance(found, torch.Tensor):
            assert found.is_contiguous() and frozen.output is found
    return frozen


def block(planes, out, step):
    """A residual block."""
    ways = nn.ConcatTable()
    body = nn.Sequential()
    body.add(nn.SpatialConvolution(planes, out, 3, 3, step, step, 1, 1).noBias()).add(nn.SpatialBatchNormalization(out))
    body.add(nn.ReLU(True)).add(nn.SpatialConvolution(out, out, 3, 3, 1, 1, 1, 1)).add(
        nn.SpatialBatchNormalization(out)
    )
    short = nn.SpatialConvolution(planes, out, 1, 1, step, step) if step > 1 else nn.Identity()
    return nn.Sequential().add(ways.add(body).add(short)).add(nn.CAddTable(True)).add(nn.ReLU(True))


@pytest.mark.usefixtures("private")
def test_residual_nets():
    net = nn.Sequential().add(nn.SpatialConvolution(3, 8, 7, 7, 2, 2, 3, 3)).add(nn.SpatialBatchNormalization(8))
    net.add(nn.ReLU()).add(nn.SpatialMaxPooling(3, 3, 2, 2, 1, 1)).add(block(8, 8, 1)).add(block(8, 16, 2))
    net.add(nn.SpatialAveragePooling(4, 4)).add(nn.View(16).setNumInputDims(3)).add(nn.Linear(16, 5)).add(nn.SoftMax())
    trained(net, 3, 32, 32)
    check(net, torch.randn(2, 3, 32, 32), torch.randn(1, 3, 32, 32), torch.randn(5, 3, 32, 32))


@pytest.mark.usefixtures("private")
@pytest.mark.parametrize(
    "layers",
    [
        lambda: [nn.SpatialConvolution(3, 4, 3, 3), nn.Tanh(), nn.SpatialBatchNormalization(4), nn.ReLU()],
        lambda: [nn.SpatialBatchNormalization(3), nn.ReLU(), nn.SpatialConvolution(3, 4, 3, 3)],
        lambda: [nn.SpatialConvolution(3, 4, 3, 3), nn.ReLU(), nn.SpatialBatchNormalization(4)],
        lambda: [nn.SpatialConvolutionMM(3, 4, 3, 3), nn.SpatialBatchNormalization(4, None, None, False)],
        lambda: [nn.SpatialDilatedConvolution(3, 4, 3, 3, 1, 1, 0, 0, 2, 2), nn.SpatialBatchNormalization(4)],
        lambda: [nn.SpatialFullConvolution(3, 4, 3, 3, 2, 2), nn.SpatialBatchNormalization(4), nn.ReLU()],
        lambda: [nn.SpatialConvolution(3, 4, 3, 3), nn.Threshold(0.1, 0.2), nn.Dropout(0.5), nn.SpatialDropout(0.3)],
        lambda: [nn.SpatialConvolution(3, 4, 3, 3), nn.Dropout(0.5, True), nn.SpatialAveragePooling(2, 2, 2, 2).ceil()],
        lambda: [nn.Concat(2).add(nn.SpatialConvolution(3, 4, 1, 1)).add(nn.SpatialConvolution(3, 2, 1, 1)), nn.ReLU()],
        lambda: [nn.ConcatTable().add(nn.Identity()).add(nn.Tanh()), nn.CAddTable(), nn.ReLU(True), nn.Square()],
        lambda: [nn.ConcatTable().add(nn.Tanh()).add(nn.SpatialConvolution(3, 3, 1, 1)), nn.CAddTable()],
        lambda: [nn.SpatialDepthWiseConvolution(3, 2, 3, 3), nn.SpatialBatchNormalization(6), nn.LeakyReLU(0.1)],
        lambda: [nn.DepthConcat(2).add(nn.SpatialConvolution(3, 2, 1, 1)).add(nn.SpatialConvolution(3, 2, 3, 3))],
        lambda: [nn.SpatialUpSamplingNearest(2), nn.SpatialConvolution(3, 4, 3, 3), nn.SpatialZeroPadding(1, 1, 1, 1)],
    ],
)
def test_rows_of_layers(layers):
    net = nn.Sequential()
    for layer in layers():
        net.add(layer)
    trained(net, 3, 9, 8)
    check(net, torch.randn(2, 3, 9, 8), torch.randn(3, 3, 12, 9))


def test_linear_layers():
    net = nn.Sequential().add(nn.Linear(6, 5)).add(nn.BatchNormalization(5)).add(nn.ReLU())
    net.add(nn.Linear(5, 4, False)).add(nn.BatchNormalization(4)).add(nn.Dropout()).add(nn.LogSoftMax())
    net = trained(net, 6)
    check(net, torch.randn(3, 6), torch.randn(1, 6), torch.randn(8, 12)[:, ::2])
    assert net.get(1).weight.shape == (5, 6) and isinstance(net.get(2), nn.BatchNormalization)


def test_a_layer_that_stands_twice_is_folded_each_time_for_itself():
    linear = nn.Linear(4, 4)
    net = nn.Sequential().add(linear).add(nn.BatchNormalization(4)).add(linear).add(nn.Tanh()).add(linear)
    check(trained(net, 4), torch.randn(3, 4))


def test_tables_and_graphs():
    twice = nn.ParallelTable().add(nn.Linear(3, 2)).add(nn.Sequential().add(nn.Linear(4, 2)).add(nn.ReLU()))
    check(twice, [torch.randn(2, 3), torch.randn(2, 4)])
    net = nn.Sequential().add(nn.ConcatTable().add(nn.Linear(3, 2)).add(nn.Linear(3, 2)).add(nn.Linear(3, 2)))
    check(net.add(nn.CAddTable()).add(nn.ReLU()), torch.randn(2, 3))


@pytest.mark.usefixtures("private")
def test_graphs():
    a, b = nn.Identity()(), nn.Identity()()
    conv = nn.SpatialConvolution(3, 4, 3, 3, 1, 1, 1, 1)(a)
    norm = nn.SpatialBatchNormalization(4)(conv)
    relu = nn.ReLU(True)(norm)
    both = nn.CAddTable()([nn.SpatialBatchNormalization(4)(nn.SpatialConvolution(4, 4, 1, 1)(relu)), relu, b])
    out = nn.ReLU()(both)
    net = nn.gModule([a, b], [out, nn.Tanh()(nn.Dropout()(relu))])
    for _ in range(2):
        net.forward([torch.randn(4, 3, 6, 6), torch.randn(4, 4, 6, 6)])
    frozen = check(net, [torch.randn(2, 3, 6, 6), torch.randn(2, 4, 6, 6)])
    assert len(frozen.forward([torch.randn(2, 3, 6, 6), torch.randn(2, 4, 6, 6)])) == 2


@pytest.mark.parametrize("path", sorted((REFERENCE / "networks").glob("*.t7")), ids=lambda path: path.stem)
def test_torch7_s_nets(path):
    for record in luann.load(path):
        if record.mode != "train" or "evaluate" in record:
            check(record.module.clone().double(), nn.utils.converted(record.input, torch.float64, None, {}))


def test_double_and_no_batch():
    net = nn.Sequential().add(nn.SpatialConvolution(2, 3, 3, 3)).add(nn.SpatialBatchNormalization(3)).double()
    for _ in range(2):
        net.forward(torch.randn(4, 2, 5, 5, dtype=torch.float64))
    check(net, torch.randn(2, 2, 5, 5, dtype=torch.float64))
    check(nn.Sequential().add(nn.SpatialConvolution(2, 3, 3, 3)).add(nn.ReLU()), torch.randn(2, 5, 5))


def test_the_net_stays_as_it_is():
    net = nn.Sequential().add(nn.SpatialConvolution(2, 3, 3, 3)).add(nn.SpatialBatchNormalization(3))
    weight = net.get(1).weight.clone()
    frozen = luann.freeze(net)
    assert net.train and net.get(2).train and torch.equal(net.get(1).weight, weight)
    net.get(1).weight.zero_()
    assert frozen.forward(torch.randn(1, 2, 5, 5)).std() > 0


def test_what_a_frozen_net_refuses(tmp_path):
    net = nn.Sequential().add(nn.SpatialConvolution(2, 3, 3, 3))
    frozen = luann.freeze(net)
    for action, text in (
        (lambda: frozen.backward(torch.ones(1, 2, 5, 5), torch.ones(1, 3, 3, 3)), "computes outputs only"),
        (frozen.training, "cannot be trained"),
        (frozen.double, "stays torch.FloatTensor"),
        (lambda: luann.save(tmp_path / "f.t7", frozen), "has no form in Torch7"),
        (lambda: luann.freeze(torch.nn.Linear(2, 2)), "takes a module, got Linear"),
        (lambda: frozen.forward(torch.ones(1, 2, 5, 5).double()), "^nn.Frozen: the net was frozen as"),
        (lambda: frozen.forward(torch.ones(1, 4, 5, 5)), "wanted 2 x H x W.*got 1x4x5x5"),
    ):
        with pytest.raises(luann.Error, match=text):
            action()
    assert frozen.parameters() == (None, None) and frozen.float() is frozen
    assert re.match(r"nn.Frozen @ nn.Sequential {\n", str(frozen)) and isinstance(frozen, Frozen)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("private")
def test_pooling_beyond_the_input():
    """Torch7 keeps a last window that lies beyond the input, PyTorch does not."""
    net = nn.Sequential().add(nn.SpatialConvolution(3, 4, 3, 3)).add(nn.SpatialMaxPooling(2, 2, 3, 3).ceil())
    frozen = check(net, torch.randn(2, 3, 14, 14))
    assert frozen.output.shape == (2, 4, 5, 5)


def test_few_planes():
    """Convolutions to few planes are not fused, as what follows them would be slow."""
    net = nn.Sequential().add(nn.SpatialConvolution(1, 6, 5, 5)).add(nn.Tanh()).add(nn.SpatialMaxPooling(2, 2))
    check(net.add(nn.SpatialConvolution(6, 16, 5, 5)).add(nn.Tanh()), torch.randn(32, 1, 28, 28))
