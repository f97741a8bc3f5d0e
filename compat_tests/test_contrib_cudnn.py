"""The layers of cudnn: against the same of nn, which real Torch7 was compared with, and against PyTorch and autograd.

There are no records of them: cuDNN runs on a GPU only.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from against_torch import agrees

import luann
from luann import nn
from luann.contrib import cudnn
from luann.nngraph import gModule


def written(obj: Any, cuda: bool = False) -> bytes:
    """``obj`` as a file; with ``cuda`` one of a program that ran on a GPU."""
    file = io.BytesIO()
    luann.save(file, obj)
    data = file.getvalue()
    if cuda:
        for kind in ("Tensor", "Storage"):
            old, new = f"torch.Float{kind}".encode(), f"torch.Cuda{kind}".encode()
            data = data.replace(struct.pack("<i", len(old)) + old, struct.pack("<i", len(new)) + new)
    return data


def again(obj: Any, cuda: bool = True) -> Any:
    """``obj`` by way of a file."""
    return luann.load(io.BytesIO(written(obj, cuda)))


def copied(net: nn.Module, theirs: nn.Module) -> None:
    """Give ``net`` the parameters of ``theirs``."""
    for mine, other in zip(net.parameters()[0] or (), theirs.parameters()[0] or (), strict=True):
        mine.copy_(other.view(mine.shape))


def same(net: nn.Module, plain: nn.Module, x: torch.Tensor, scale: float = 1, tight: bool = True) -> None:
    """Assert that both compute the same, forwards and back, in training and evaluation."""
    close: dict = {} if tight else {"rtol": 1e-4, "atol": 1e-5}
    nets = (net.clone(), plain.clone())
    for training in (True, False):
        for one in nets:
            one.training() if training else one.evaluate()
            one.zeroGradParameters()
        y, want = (one.forward(x.clone()) for one in nets)
        torch.testing.assert_close(y, want, **close)
        g = torch.randn_like(want)
        grad, want = (one.backward(x.clone(), g.clone(), scale) for one in nets)
        torch.testing.assert_close(grad, want, **close)
        grads = (one.parameters()[1] or () for one in nets)
        for mine, theirs in zip(*grads, strict=True):
            torch.testing.assert_close(mine, theirs.view(mine.shape), **close)


LAYERS: list[tuple[Callable, tuple[int, ...]]] = [
    (lambda k: k.SpatialConvolution(3, 4, 3, 2, 2, 1, 1, 0), (2, 3, 7, 8)),
    (lambda k: k.SpatialConvolution(3, 4, 3, 2).noBias(), (3, 7, 8)),
    (lambda k: k.SpatialDilatedConvolution(3, 4, 3, 2, 1, 1, 1, 0, 2, 3), (2, 3, 9, 9)),
    (lambda k: k.VolumetricConvolution(2, 3, 2, 3, 3, 1, 2, 1, 1, 0, 1), (2, 2, 4, 6, 5)),
    (lambda k: k.VolumetricDilatedConvolution(2, 3, 2, 3, 2, 1, 1, 1, 0, 1, 0, 2, 2, 1), (2, 5, 6, 5)),
    (lambda k: k.SpatialFullConvolution(3, 2, 4, 3, 2, 2, 1, 1, 1, 0), (2, 3, 4, 5)),
    (lambda k: k.VolumetricFullConvolution(2, 3, 2, 3, 2, 2, 1, 2, 0, 1, 0, 1, 0, 1), (2, 2, 3, 4, 3)),
    (lambda k: k.TemporalConvolution(5, 3, 2, 2), (2, 9, 5)),
    (lambda k: k.SpatialMaxPooling(3, 2, 2, 2, 1, 1).ceil(), (2, 3, 7, 8)),
    (lambda k: k.VolumetricMaxPooling(2, 3, 2, 2, 2, 1, 1, 0, 0).ceil(), (2, 3, 5, 7, 6)),
    (lambda k: k.SpatialAveragePooling(3, 2, 2, 1, 1, 1).ceil(), (2, 3, 7, 8)),
    (lambda k: k.SpatialAveragePooling(3, 2, 2, 1, 1, 1).setCountExcludePad(), (3, 7, 8)),
    (lambda k: k.VolumetricAveragePooling(2, 3, 2, 2, 2, 1), (2, 3, 5, 7, 6)),
    (lambda k: k.ReLU(), (3, 5)),
    (lambda k: k.ReLU(True), (3, 5)),
    (lambda k: k.Tanh(), (3, 5)),
    (lambda k: k.Sigmoid(), (2, 3, 5)),
    (lambda k: k.SoftMax(), (3, 5)),
    (lambda k: k.LogSoftMax(), (5,)),
    (lambda k: k.SpatialSoftMax(), (2, 5, 3, 4)),
    (lambda k: k.SpatialLogSoftMax(), (5, 3, 4)),
    (lambda k: k.BatchNormalization(5), (4, 5)),
    (lambda k: k.SpatialBatchNormalization(3, 1e-3, 0.2), (4, 3, 5, 6)),
    (lambda k: k.VolumetricBatchNormalization(3), (4, 3, 2, 5, 6)),
    (lambda k: k.SpatialCrossMapLRN(5, 0.1, 0.6, 1.5), (2, 7, 3, 4)),
    (lambda k: k.SpatialCrossMapLRN(4, 0.1), (7, 3, 4)),
]


@pytest.mark.parametrize(("make", "size"), LAYERS, ids=[str(make(cudnn)) for make, _ in LAYERS])
def test_layer_is_that_of_nn(make: Callable, size: tuple[int, ...]) -> None:
    luann.manualSeed(3)
    torch.manual_seed(3)
    plain, net = make(nn).double(), make(cudnn).double()
    copied(net, plain)
    x = torch.randn(size, dtype=torch.double)
    same(net, plain, x, 0.7)
    same(again(net, False), plain, x, 0.7)


@pytest.mark.parametrize("inplace", [False, True])
def test_pointwise_in_place(inplace: bool) -> None:
    functions = [
        (cudnn.Tanh(inplace), torch.tanh),
        (cudnn.Sigmoid(inplace), torch.sigmoid),
        (cudnn.ClippedReLU(1.5, inplace), lambda x: x.clamp(0, 1.5)),
        (cudnn.ReLU(inplace), torch.relu),
        (cudnn.ReLUInPlace() if inplace else cudnn.ReLU(), torch.relu),
    ]
    for module, function in functions:
        x = torch.linspace(-2, 3, 12, dtype=torch.double).view(3, 4).requires_grad_()
        g = torch.randn(3, 4, dtype=torch.double)
        (want,) = torch.autograd.grad(function(x), x, g)
        input = x.detach().clone()
        module.double()
        y = module.forward(input)
        torch.testing.assert_close(y, function(x).detach())
        assert (y.data_ptr() == input.data_ptr()) is inplace
        grad = module.backward(input, g)
        torch.testing.assert_close(grad, want)
        assert (grad.data_ptr() == g.data_ptr()) is inplace


def test_softmax_over_all_of_a_sample() -> None:
    agrees(cudnn.SoftMax(), lambda x: F.softmax(x.flatten(1), 1).view(x.shape), (2, 3, 4, 5), (3, 2, 2, 1))
    agrees(cudnn.LogSoftMax(), lambda x: F.log_softmax(x.flatten(), 0).view(x.shape), (3, 4, 5))
    agrees(cudnn.SpatialSoftMax(True), lambda x: F.softmax(x, 1), (2, 3, 4, 5), (4, 3))
    agrees(cudnn.VolumetricSoftMax(), lambda x: F.softmax(x, -4), (2, 3, 4, 5, 6), (3, 2, 2, 2))
    agrees(cudnn.VolumetricLogSoftMax(), lambda x: F.log_softmax(x, -4), (2, 3, 4, 5, 6))
    old = cudnn.SpatialSoftMax()
    old.algorithm = "CUDNN_SOFTMAX_LOG"
    agrees(again(old.float(), False), lambda x: F.log_softmax(x, 1), (2, 3, 4, 5))
    with pytest.raises(luann.errors.ShapeError, match=r"cudnn\.SoftMax.*1 to 4"):
        cudnn.SoftMax().forward(torch.zeros(1, 1, 1, 1, 1))


def check_groups(net: Any, groups: int, padding: Any, dilation: Any) -> None:
    net.double()
    for size in ((2, 4, 5, 6), (4, 7, 5)):
        x = torch.randn(size, dtype=torch.double, requires_grad=True)
        w, b = (t.clone().requires_grad_() for t in (net.weight, net.bias))
        y = F.conv2d(x, w, b, 1, padding, dilation, groups)
        g = torch.randn_like(y)
        y.backward(g)
        torch.testing.assert_close(net.forward(x.detach()), y.detach())
        net.zeroGradParameters()
        torch.testing.assert_close(net.backward(x.detach(), g, 0.5), x.grad)
        torch.testing.assert_close(net.gradWeight, w.grad * 0.5)
        torch.testing.assert_close(net.gradBias, b.grad * 0.5)


def test_groups_and_padding() -> None:
    for groups in (1, 2, 4):
        net = cudnn.SpatialConvolution(4, 8, 3, 3, 1, 1, 1, None, groups)
        assert (net.padW, net.padH) == (1, 0)
        assert net.weight.shape == (8, 4 // groups, 3, 3)
        check_groups(net, groups, (0, 1), 1)
    check_groups(cudnn.SpatialDilatedConvolution(4, 2, 3, 3, 1, 1, 0, 0, 2, 1, 2), 2, 0, (1, 2))
    for numbers in ((4, 6, 4), (3, 4, 2)):
        with pytest.raises(luann.errors.ArgumentError, match="groups must divide"):
            cudnn.SpatialConvolution(*numbers[:2], 3, 3, None, None, None, None, numbers[2])


def test_temporal_convolution_pads() -> None:
    net = cudnn.TemporalConvolution(5, 3, 3, 2, 2).double()
    luann.manualSeed(5)
    net.reset()
    luann.manualSeed(5)
    want = luann.random.uniform(torch.empty(3, 15), -1 / 5, 1 / 5)  # not 1/√15: the image is inputFrameSize wide
    torch.testing.assert_close(net.weight, want.double())
    weight = net.weight.view(3, 3, 5).transpose(1, 2)

    def function(x: torch.Tensor) -> torch.Tensor:
        return F.conv1d(x.transpose(-1, -2), weight, net.bias, 2, 2).transpose(-1, -2)

    agrees(net, function, (2, 7, 5), (4, 5))
    assert (net.kW, net.dW, net.kH, net.dH, net.padH, net.nInputPlane) == (5, 1, 3, 2, 2, 1)
    with pytest.raises(luann.errors.ShapeError, match="frames of 5"):
        net.forward(torch.zeros(4, 6).double())


def test_volumetric_average_pooling_pads() -> None:
    net = cudnn.VolumetricAveragePooling(2, 3, 2, 1, 2, 1, 1, 1, 0)
    agrees(net, lambda x: F.avg_pool3d(x, (2, 2, 3), (1, 1, 2), (1, 0, 1)), (2, 3, 4, 5, 7), (3, 3, 3, 5))
    net.ceil()
    assert net.forward(torch.zeros(1, 3, 4, 6).double()).shape == (1, 4, 3, 4)
    net.floor()
    assert net.forward(torch.zeros(1, 3, 4, 6).double()).shape == (1, 4, 3, 3)


def test_batch_of_one_has_its_own_statistics() -> None:
    net = cudnn.SpatialBatchNormalization(3).double()
    x = torch.randn(1, 3, 4, 5, dtype=torch.double, requires_grad=True)
    want = F.batch_norm(x, None, None, net.weight, net.bias, True)
    g = torch.randn_like(want)
    torch.testing.assert_close(net.forward(x.detach()), want.detach())
    torch.testing.assert_close(net.backward(x.detach(), g), torch.autograd.grad(want, x, g)[0])
    torch.testing.assert_close(net.running_var, 0.9 + 0.1 * x.detach().transpose(0, 1).flatten(1).var(1))


def test_half_batch_normalization_keeps_float_parameters() -> None:
    net = cudnn.SpatialBatchNormalization(3).half()
    assert net.weight.dtype is net.running_mean.dtype is torch.float
    x, g = torch.randn(2, 2, 3, 4, 5).half()
    assert net.forward(x).dtype is net.output.dtype is torch.half
    assert net.backward(x, g).dtype is torch.half


@pytest.mark.parametrize("sizeAverage", [True, False])
def test_cross_entropy(sizeAverage: bool) -> None:
    weights = torch.tensor([0.5, 2, 1, 1.5]).double()
    for criterion, size in (
        (cudnn.SpatialCrossEntropyCriterion(weights), (2, 4, 3, 5)),
        (cudnn.VolumetricCrossEntropyCriterion(weights), (2, 4, 3, 2, 5)),
    ):
        criterion.double()
        getattr(criterion, "scec", criterion).sizeAverage = sizeAverage
        x = torch.randn(size, dtype=torch.double, requires_grad=True)
        target = torch.randint(1, 5, (size[0], *size[2:]))
        loss = F.cross_entropy(x, target - 1, weights, reduction="mean" if sizeAverage else "sum")
        assert criterion.forward(x.detach(), target) == pytest.approx(loss.item(), rel=1e-12)
        torch.testing.assert_close(criterion.backward(x.detach(), target), torch.autograd.grad(loss, x)[0])
        assert again(criterion, False).forward(x.detach(), target) == pytest.approx(loss.item(), rel=1e-12)
        with pytest.raises(luann.errors.ShapeError, match="wanted a batch"):
            criterion.forward(x.detach()[0], target)


def test_criterion_of_the_first_versions() -> None:
    criterion = cudnn.SpatialCrossEntropyCriterion()
    criterion.nll = nn.ClassNLLCriterion()
    x, target = torch.randn(2, 4, 3, 5), torch.randint(1, 5, (2, 3, 5))
    want = F.cross_entropy(x, target - 1).item()
    assert again(criterion).forward(x, target) == pytest.approx(want, rel=1e-5)


# Old files


def test_files_of_older_versions() -> None:
    """Fields that are missing, or have another name or form; an object of then, made by taking fields away."""
    convolution = cudnn.SpatialConvolution(4, 6, 3, 3)
    x = torch.randn(2, 4, 6, 7)
    want = convolution.forward(x).clone()
    for name in ("groups", "padW", "padH"):
        del convolution.__dict__[name]
    convolution.__dict__.update(padding=0, fmode=1, bwmode=3, fastest_mode=True, iSize=luann.types.Storage([0] * 4))
    for name in ("weight", "gradWeight"):
        setattr(convolution, name, getattr(convolution, name).view(6, 36))
    torch.testing.assert_close(again(convolution).forward(x), want)
    assert again(convolution).fmode == 1
    assert again(convolution).resetMode().setMode(None, 2).fmode is None

    lrn = cudnn.SpatialCrossMapLRN(3, 0.5, 0.7, 2.5)
    want = lrn.forward(x).clone()
    lrn.__dict__["K"] = lrn.__dict__.pop("k")
    assert again(lrn).k == 2.5
    torch.testing.assert_close(again(lrn).forward(x), want)

    pooling = cudnn.SpatialAveragePooling(2, 2)
    pooling.mode = "CUDNN_POOLING_AVERAGE"
    for name in ("ceil_mode", "padW", "padH"):
        del pooling.__dict__[name]
    torch.testing.assert_close(again(pooling).forward(x), F.avg_pool2d(x, 2))

    normalization = cudnn.SpatialBatchNormalization(4)
    normalization.evaluate()
    normalization.running_var.uniform_(0.5, 2)
    want = normalization.forward(x).clone()
    normalization.__dict__["running_std"] = (normalization.__dict__.pop("running_var") + 1e-5).pow(-0.5)
    data = written(normalization, True).replace(b"V 2", b"V 1")
    torch.testing.assert_close(luann.load(io.BytesIO(data)).forward(x), want)


def test_written_fields() -> None:
    """What cudnn's own constructors set and nothing else, so that Torch7 reads it as its own."""
    base = {"gradInput", "output", "_type"}
    sizes = {"kW", "kH", "dW", "dH", "padW", "padH"}
    parameters = {"weight", "bias", "gradWeight", "gradBias"}
    pooled = base | sizes | {"ceil_mode", "iSize"}
    x = torch.randn(2, 4, 6, 6)
    for module, fields in (
        (cudnn.SpatialConvolution(4, 4, 3, 3), base | sizes | parameters | {"nInputPlane", "nOutputPlane", "groups"}),
        (cudnn.SpatialMaxPooling(2, 2), pooled),
        (cudnn.SpatialAveragePooling(2, 2), pooled),
        (cudnn.ReLU(True), base | {"inplace"}),
        (cudnn.SpatialSoftMax(), base | {"algorithm"}),
        (cudnn.SpatialCrossMapLRN(), base | {"size", "alpha", "beta", "k"}),
    ):
        assert set(again(module).__dict__) == fields
        module.forward(x)
        module.backward(x, torch.randn_like(module.output))
        assert set(again(module.clearState()).__dict__) - {"scale"} == fields
        assert again(module.clearState()).output.numel() == 0


def test_printing() -> None:
    shown = {
        "cudnn.SpatialConvolution(3 -> 4, 3x2, 2,1, 1,0)": cudnn.SpatialConvolution(3, 4, 3, 2, 2, 1, 1),
        "cudnn.SpatialConvolution(3 -> 4, 1x1) without bias": cudnn.SpatialConvolution(3, 4, 1, 1).noBias(),
        "cudnn.SpatialDilatedConvolution(3 -> 4, 3x3)": cudnn.SpatialDilatedConvolution(3, 4, 3, 3),
        "cudnn.VolumetricConvolution(3 -> 4, 3x2x1)": cudnn.VolumetricConvolution(3, 4, 3, 2, 1),
        "cudnn.SpatialFullConvolution(3 -> 4, 3x2, 2,2)": cudnn.SpatialFullConvolution(3, 4, 3, 2, 2, 2),
        "cudnn.TemporalConvolution": cudnn.TemporalConvolution(3, 4, 2),
        "cudnn.SpatialMaxPooling(3x2, 2,2, 1,0)": cudnn.SpatialMaxPooling(3, 2, 2, 2, 1),
        "cudnn.SpatialAveragePooling(3x2, 3,2)": cudnn.SpatialAveragePooling(3, 2),
        "cudnn.VolumetricMaxPooling": cudnn.VolumetricMaxPooling(3, 2, 2),
        "cudnn.VolumetricAveragePooling": cudnn.VolumetricAveragePooling(3, 2, 2),
        "cudnn.ReLU": cudnn.ReLU(True),
        "cudnn.SpatialBatchNormalization": cudnn.SpatialBatchNormalization(3),
        "cudnn.LSTM": cudnn.LSTM(3, 4),
    }
    assert list(map(str, shown.values())) == list(shown)


# Nets


def alexnet(k: Any) -> nn.Sequential:
    """Small, with the layers of AlexNet, its groups included where ``k`` has them."""
    groups = (None, None, 2, 2, 2) if k is cudnn else ()
    features = nn.Sequential().add(k.SpatialConvolution(3, 8, 11, 11, 4, 4, 2, 2)).add(k.ReLU(True))
    features.add(k.SpatialCrossMapLRN(5, 1e-4, 0.75, 2)).add(k.SpatialMaxPooling(3, 3, 2, 2))
    features.add(k.SpatialConvolution(8, 12, 5, 5, 1, 1, *groups[2:])).add(k.ReLU(True))
    features.add(k.SpatialMaxPooling(3, 3, 2, 2).ceil()).add(nn.View(12 * 3 * 3))
    return nn.Sequential().add(features).add(nn.Linear(108, 10)).add(k.ReLU()).add(k.LogSoftMax())


def resnet(k: Any) -> nn.Sequential:
    """The beginning of a residual net, one block with a shortcut, the end."""
    block = (
        nn.Sequential().add(k.SpatialConvolution(4, 6, 3, 3, 2, 2, 1, 1).noBias()).add(k.SpatialBatchNormalization(6))
    )
    block.add(k.ReLU(True)).add(k.SpatialConvolution(6, 6, 3, 3, 1, 1, 1, 1)).add(nn.SpatialBatchNormalization(6))
    shortcut = nn.Sequential().add(k.SpatialConvolution(4, 6, 1, 1, 2, 2)).add(k.SpatialBatchNormalization(6))
    net = nn.Sequential().add(k.SpatialConvolution(3, 4, 7, 7, 2, 2, 3, 3)).add(k.SpatialBatchNormalization(4))
    net.add(k.ReLU(True)).add(k.SpatialMaxPooling(3, 3, 2, 2, 1, 1))
    net.add(nn.ConcatTable().add(block).add(shortcut)).add(nn.CAddTable(True)).add(k.ReLU(True))
    return net.add(k.SpatialAveragePooling(4, 4, 1, 1)).add(nn.View(6)).add(nn.Linear(6, 5))


@pytest.mark.parametrize("cuda", [False, True])
def test_file_of_a_resnet(cuda: bool) -> None:
    plain, net = resnet(nn).float(), resnet(cudnn).float()
    copied(net, plain)
    loaded = again(net, cuda)
    assert loaded.type() == "torch.FloatTensor"
    x = torch.randn(3, 3, 32, 32)
    same(loaded, plain, x, tight=False)
    assert written(loaded.clearState(), True) == written(net.clearState(), True)
    same(again(cudnn.convert(loaded, nn)), plain, x, tight=False)
    assert not any(m._typename.startswith("cudnn") for m in loaded.listModules())


def test_file_of_an_alexnet() -> None:
    net = alexnet(cudnn).float()
    x = torch.randn(2, 3, 67, 67)
    want = net.forward(x).clone()
    g = torch.randn_like(want)
    grad = net.backward(x, g).clone()
    loaded = again(net)
    torch.testing.assert_close(loaded.forward(x), want)
    plain = cudnn.convert(again(net), nn)
    types = {m._typename for m in plain.listModules()}
    assert types <= {f"nn.{m._typename.partition('.')[2]}" for m in net.listModules()}
    torch.testing.assert_close(plain.forward(x), want, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(plain.backward(x, g), grad, rtol=1e-4, atol=1e-5)


# convert


def test_convert_there_and_back() -> None:
    plain = resnet(nn).double()
    net = cudnn.convert(plain.clone(), cudnn)
    assert net.get(1)._typename == "cudnn.SpatialConvolution" and net.get(9)._typename == "nn.View"
    x = torch.randn(2, 3, 32, 32, dtype=torch.double)
    same(net, plain, x)
    same(again(net, False), plain, x)
    back = cudnn.convert(net, nn)
    assert str(back) == str(plain)
    same(back, plain, x)
    flat, _ = back.getParameters()
    assert torch.equal(flat, plain.getParameters()[0])


def test_convert_shares_what_it_converts() -> None:
    net = nn.Sequential().add(nn.SpatialConvolutionMM(3, 4, 2, 2)).add(nn.Tanh()).add(nn.ReLU6())
    weight = net.get(1).weight
    converted = cudnn.convert(net, cudnn)
    assert converted is net
    assert [m._typename for m in net] == ["cudnn.SpatialConvolution", "cudnn.Tanh", "nn.ReLU6"]
    assert net.get(1).weight.shape == (4, 3, 2, 2) and net.get(1).weight.data_ptr() == weight.data_ptr()
    assert cudnn.convert(nn.Sigmoid(), cudnn)._typename == "cudnn.Sigmoid"


def test_convert_leaves_out() -> None:
    net = nn.Sequential().add(nn.ReLU()).add(nn.SpatialConvolution(1, 1, 1, 1)).add(nn.Sequential().add(nn.ReLU()))
    cudnn.convert(net, cudnn, lambda layer: "Convolution" in layer._typename)
    assert [m._typename for m in net.listModules()[1:]] == [
        "cudnn.ReLU",
        "nn.SpatialConvolution",
        "nn.Sequential",
        "cudnn.ReLU",
    ]
    with pytest.raises(luann.errors.ArgumentError, match="dst must be"):
        cudnn.convert(net, "nn")  # type: ignore[arg-type]


def test_convert_keeps_what_average_pooling_counts() -> None:
    x = torch.randn(2, 5, 5)
    for setting in (cudnn.SpatialAveragePooling.setCountIncludePad, cudnn.SpatialAveragePooling.setCountExcludePad):
        net = setting(cudnn.SpatialAveragePooling(3, 3, 1, 1, 1, 1))
        want = net.forward(x).clone()
        torch.testing.assert_close(cudnn.convert(net, nn).forward(x), want)
    inplace = cudnn.Tanh(True)
    inplace.double()
    agrees(cudnn.convert(inplace, nn), torch.tanh, (3, 4))


def test_convert_a_graph() -> None:
    def build(k: Any) -> Any:
        x = nn.Identity()()
        h = k.ReLU()(k.SpatialConvolution(2, 3, 3, 3)(x))
        return gModule([x], [nn.CAddTable()([k.Tanh()(h), k.Sigmoid()(h)])]).double()

    plain = build(nn)
    net = cudnn.convert(plain.clone(), cudnn)
    names = {node.data.module._typename for node in net.forwardnodes if node.data.get("module") is not None}
    assert "cudnn.SpatialConvolution" in names and "nn.ReLU" not in names
    same(net, plain, torch.randn(2, 2, 6, 6, dtype=torch.double))


def test_settings() -> None:
    assert cudnn.benchmark is cudnn.fastest is cudnn.verbose is False
    assert cudnn.version >= 5103
    cudnn.reset()
    net = cudnn.SpatialConvolution(1, 1, 1, 1).fastest().setMode(1, 2, 3).resetWeightDescriptors().clearDesc()
    assert (net.fastest_mode, net.fmode, net.bdmode, net.bwmode) == (True, 1, 2, 3)
    assert not Path(cudnn.__file__).is_dir()


@pytest.mark.cuda
@pytest.mark.parametrize(("make", "size"), LAYERS, ids=[str(make(cudnn)) for make, _ in LAYERS])
def test_layer_on_a_gpu(make: Callable, size: tuple[int, ...]) -> None:
    net = make(cudnn).double()
    x = torch.randn(size, dtype=torch.double)
    want = net.forward(x.clone()).clone()
    g = torch.randn_like(want)
    grad = net.backward(x, g.clone()).clone()
    net.type("torch.CudaDoubleTensor")
    torch.testing.assert_close(net.forward(x.cuda()).cpu(), want)
    torch.testing.assert_close(net.backward(x.cuda(), g.cuda()).cpu(), grad)
