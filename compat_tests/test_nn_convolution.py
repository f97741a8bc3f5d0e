import json

import pytest
import records
import torch
import torch.nn.functional as F

import luann
from luann import nn
from luann.nn import _kernels as kernels


@records.of(
    "nn",
    "SpatialConvolution",
    "SpatialConvolutionLocal",
    "SpatialConvolutionMM",
    "SpatialConvolutionMap",
    "SpatialDepthWiseConvolution",
    "SpatialDilatedConvolution",
    "SpatialFullConvolution",
    "SpatialFullConvolutionMap",
    "SpatialSubSampling",
    "TemporalConvolution",
    "TemporalRowConvolution",
    "TemporalSubSampling",
    "VolumetricConvolution",
    "VolumetricDilatedConvolution",
    "VolumetricFullConvolution",
)
def test_record(case):
    records.check_module(case)


def test_connection_tables():
    (record,) = (r for r in luann.load(records.REFERENCE / "api/structure.t7") if r.name == "connection_tables")
    luann.setdefaulttensortype("torch.DoubleTensor")
    luann.manualSeed(record.seed)
    assert torch.equal(nn.tables.full(2, 3), record.result.full)
    assert torch.equal(nn.tables.oneToOne(3), record.result.oneToOne)
    assert torch.equal(nn.tables.random(4, 6, 2), record.result.random)


@pytest.mark.parametrize("name", ["old_convolution", "old_full_convolution"])
def test_old_files(name):
    module = luann.load(records.REFERENCE / f"serialization/{name}.bin.t7")
    run = json.loads((records.REFERENCE / f"serialization/{name}.json").read_text())["run"]
    x, y = (torch.tensor(run[k]["values"], dtype=torch.float64).view(run[k]["size"]) for k in ("input", "output"))
    torch.testing.assert_close(module.forward(x), y, rtol=1e-10, atol=0)
    assert module.backward(x, y).shape == x.shape


def test_old_volumetric_full_convolution():
    new = nn.VolumetricFullConvolution(2, 3, 2, 2, 2, 1, 1, 1, 1, 0, 1)
    fields = dict(new.__dict__, pT=1, pW=0, pH=1)
    for name in ("padT", "padW", "padH", "adjT", "adjW", "adjH"):
        del fields[name]
    for name in ("weight", "gradWeight"):
        fields[name] = fields[name].transpose(0, 1).contiguous()
    old = nn.VolumetricFullConvolution.__new__(nn.VolumetricFullConvolution)
    old._restore(fields, 1)
    x = torch.randn(2, 4, 4, 4)
    assert torch.equal(old.forward(x), new.forward(x))
    assert str(old) == str(new)


# Against PyTorch's functions and autograd: make the module, the same function of (x, weight, bias), the size of x.


def local(x, weight, bias):
    oh, ow, planes = weight.shape[:3]
    windows = F.unfold(x, 3, padding=1, stride=2)
    result = torch.einsum("nwl,lpw->npl", windows, weight.reshape(oh * ow, planes, -1))
    return result.view(-1, planes, oh, ow) + bias


def mapped(table, transposed=False, **settings):
    """A convolution with zeros where the table has no connection; rows that come twice add up."""

    def function(x, weight, bias):
        dense = torch.zeros(x.shape[1], len(bias), *weight.shape[1:])
        for (i, o), kernel in zip(table.long().tolist(), weight):
            where = torch.zeros_like(dense)
            where[i - 1, o - 1] = 1
            dense = dense + where * kernel
        if transposed:
            return F.conv_transpose2d(x, dense, bias, **settings)
        return F.conv2d(x, dense.transpose(0, 1), bias, **settings)

    return function


def depthwise(x, weight, bias):
    planes = x.shape[1]
    weight = weight.view(len(weight), planes, 2, 3).transpose(0, 1).reshape(-1, 1, 2, 3)
    return F.conv2d(x, weight, bias.t().reshape(-1), (2, 1), (1, 2), groups=planes)


def temporal(k, d, size):
    def function(x, weight, bias):
        weight = weight.view(-1, k, size).transpose(1, 2)
        return F.conv1d(x.transpose(1, 2), weight, bias, d).transpose(1, 2)

    return function


TWICE = torch.tensor([[1, 1], [2, 1], [2, 2], [1, 1]])
ONE, RANDOM, FULL = nn.tables.oneToOne(20), nn.tables.random(5, 6, 2), nn.tables.full(3, 4)

CASES = {
    "matrix": (
        lambda: nn.SpatialConvolutionMM(3, 4, 3, 2, 2, 1, 1),
        lambda x, w, b: F.conv2d(x, w.view(4, 3, 2, 3), b, (1, 2), 1),
        (2, 3, 7, 9),
    ),
    "local": (lambda: nn.SpatialConvolutionLocal(3, 4, 8, 9, 3, 3, 2, 2, 1), local, (2, 3, 9, 8)),
    "map, row twice": (lambda: nn.SpatialConvolutionMap(TWICE, 3, 3), mapped(TWICE), (2, 2, 6, 5)),
    "map, rest": (lambda: nn.SpatialConvolutionMap(RANDOM, 2, 3, 2, 3), mapped(RANDOM, stride=(3, 2)), (2, 5, 10, 9)),
    "map, spare planes": (lambda: nn.SpatialConvolutionMap(FULL, 3, 3), mapped(FULL), (2, 4, 6, 5)),
    "map, sparse": (lambda: nn.SpatialConvolutionMap(ONE, 3, 2, 2, 2), mapped(ONE, stride=2), (2, 20, 7, 8)),
    "full map": (
        lambda: nn.SpatialFullConvolutionMap(RANDOM, 3, 2, 2, 1),
        mapped(RANDOM, True, stride=(1, 2)),
        (2, 5, 4, 3),
    ),
    "full map, sparse": (
        lambda: nn.SpatialFullConvolutionMap(ONE, 3, 2, 1, 2),
        mapped(ONE, True, stride=(2, 1)),
        (2, 20, 4, 3),
    ),
    "depthwise, not square": (lambda: nn.SpatialDepthWiseConvolution(3, 2, 3, 2, 1, 2, 2, 1), depthwise, (2, 3, 7, 5)),
    "dilated": (
        lambda: nn.SpatialDilatedConvolution(3, 4, 3, 2, 1, 2, 1, 2, 2, 3),
        lambda x, w, b: F.conv2d(x, w, b, (2, 1), (2, 1), (3, 2)),
        (2, 3, 9, 8),
    ),
    "full": (
        lambda: nn.SpatialFullConvolution(3, 4, 3, 4, 2, 3, 1, 0, 1, 2),
        lambda x, w, b: F.conv_transpose2d(x, w, b, (3, 2), (0, 1), (2, 1)),
        (2, 3, 5, 6),
    ),
    "full, large": (
        lambda: nn.SpatialFullConvolution(32, 24, 4, 4, 2, 2, 1, 1),
        lambda x, w, b: F.conv_transpose2d(x, w, b, 2, 1),
        (4, 32, 12, 12),
    ),
    "volumetric": (
        lambda: nn.VolumetricConvolution(3, 4, 2, 3, 4, 1, 2, 1, 0, 1, 2),
        lambda x, w, b: F.conv3d(x, w, b, (1, 1, 2), (0, 2, 1)),
        (2, 3, 4, 6, 7),
    ),
    "volumetric dilated": (
        lambda: nn.VolumetricDilatedConvolution(3, 4, 2, 3, 2, 1, 2, 1, 1, 2, 0, 2, 1, 3),
        lambda x, w, b: F.conv3d(x, w, b, (1, 1, 2), (1, 0, 2), (2, 3, 1)),
        (2, 3, 5, 6, 7),
    ),
    "volumetric full": (
        lambda: nn.VolumetricFullConvolution(3, 4, 2, 3, 4, 1, 2, 3, 0, 1, 2, 0, 1, 2),
        lambda x, w, b: F.conv_transpose3d(x, w, b, (1, 3, 2), (0, 2, 1), (0, 2, 1)),
        (2, 3, 3, 4, 5),
    ),
    "temporal": (lambda: nn.TemporalConvolution(5, 6, 4, 3), temporal(4, 3, 5), (3, 12, 5)),
    "temporal, large": (lambda: nn.TemporalConvolution(50, 70, 5), temporal(5, 1, 50), (8, 40, 50)),
    "row": (
        lambda: nn.TemporalRowConvolution(5, 3, 2),
        lambda x, w, b: F.conv1d(x.transpose(1, 2), w, b, 2, groups=5).transpose(1, 2),
        (3, 9, 5),
    ),
    "row, features first": (
        lambda: nn.TemporalRowConvolution(5, 3, 2, True),
        lambda x, w, b: F.conv1d(x, w, b, 2, groups=5),
        (3, 5, 9),
    ),
    "subsampling": (
        lambda: nn.SpatialSubSampling(3, 3, 2, 2, 1),
        lambda x, w, b: F.avg_pool2d(x, (2, 3), (1, 2)) * 6 * w.view(-1, 1, 1) + b.view(-1, 1, 1),
        (2, 3, 7, 8),
    ),
    "temporal subsampling": (
        lambda: nn.TemporalSubSampling(5, 3, 2),
        lambda x, w, b: F.avg_pool1d(x.transpose(1, 2), 3, 2).transpose(1, 2) * 3 * w + b,
        (2, 8, 5),
    ),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
@pytest.mark.parametrize("private", [True, False], ids=["private", "plain"])
@pytest.mark.parametrize("name", CASES)
def test_agrees_with_torch(name, private, dtype, monkeypatch):
    monkeypatch.setattr(kernels, "PRIVATE", private)
    torch.set_default_dtype(dtype)
    make, function, size = CASES[name]
    module = make()
    module.zeroGradParameters()
    weight, bias = (p.clone().requires_grad_() for p in (module.weight, module.bias))
    close = {"rtol": 1e-4, "atol": 1e-4} if dtype is torch.float32 else {"rtol": 1e-10, "atol": 1e-10}
    # a batch whose memory is in another order, then a single sample
    for x in (torch.randn(*size[:-2], size[-1], size[-2]).transpose(-1, -2), torch.randn(size[1:])):
        twin = x.clone().requires_grad_()
        wanted = function(twin if x.dim() == len(size) else twin.unsqueeze(0), weight, bias)
        wanted = wanted if x.dim() == len(size) else wanted.squeeze(0)
        output = module.forward(x)
        torch.testing.assert_close(output, wanted.detach(), **close)
        assert output is module.output and output.is_contiguous()
        g = torch.randn(wanted.shape)
        gradInput = module.backward(x, g, 0.5)
        (wanted * g).sum().backward()
        torch.testing.assert_close(gradInput, twin.grad, **close)
        torch.testing.assert_close(module.gradWeight.view(weight.shape), weight.grad / 2, **close)
        torch.testing.assert_close(module.gradBias, bias.grad / 2, **close)
        # the two halves of backward on their own
        together = gradInput.clone(), module.gradWeight.clone()
        torch.testing.assert_close(module.updateGradInput(x, g), together[0], **close)
        module.accGradParameters(x, g, 0.5)
        module.accGradParameters(x, g, -0.5)
        torch.testing.assert_close(module.gradWeight, together[1], **close)


@pytest.mark.parametrize("name", CASES)
def test_without_gradInput(name):
    make, _, size = CASES[name]
    module, x = make(), torch.randn(size)
    module.gradInput = None
    g = module.forward(x).clone()
    assert module.updateGradInput(x, g) is None
    assert module.backward(x, g) is None
    assert module.gradInput is None
    assert module.gradWeight.abs().sum() > 0


@pytest.mark.parametrize(
    "module",
    [
        nn.SpatialConvolutionMM(2, 3, 2, 2),
        nn.SpatialDepthWiseConvolution(2, 3, 2, 2),
        nn.SpatialDilatedConvolution(2, 3, 2, 2),
        nn.SpatialFullConvolution(2, 3, 2, 2),
        nn.TemporalRowConvolution(4, 2),
        nn.VolumetricConvolution(2, 3, 2, 2, 2),
        nn.VolumetricFullConvolution(2, 3, 2, 2, 2),
    ],
    ids=lambda m: type(m).__name__,
)
def test_without_bias(module):
    x = torch.randn(1, 2, 4, 4, 4) if "Volumetric" in str(module) else torch.randn(1, 2, 4, 4)
    x = x[0] if "Temporal" in str(module) else x
    bias = module.bias.clone()
    module.bias.zero_()
    wanted = module.forward(x).clone()
    assert module.noBias() is module and len(module.parameters()[0]) == 1
    torch.testing.assert_close(module.forward(x), wanted)
    module.backward(x, wanted)
    module.reset()
    assert bias.shape and module.bias is None


def test_reset():
    m = nn.SpatialConvolutionMap(nn.tables.random(4, 6, 2), 2, 2)
    m.reset(0)
    assert not m.weight.any() and not m.bias.any()


def test_unconnected_plane():
    m = nn.SpatialConvolutionMap(torch.tensor([[1, 1], [1, 3]]), 1, 1)
    assert m.nOutputPlane == 3
    assert m.bias.isnan().tolist() == [False, True, False]  # drawn between -inf and inf, as in Torch7


def test_depthwise_weight_becomes_4d_in_place():
    m = nn.SpatialDepthWiseConvolution(2, 3, 2, 2)
    x = torch.randn(2, 2, 4, 4)
    flat, gradFlat = m.getParameters()
    weight, gradWeight = m.weight, m.gradWeight
    assert weight.shape == (3, 8)
    m.backward(x, m.forward(x).clone())
    assert m.weight is weight and m.gradWeight is gradWeight
    assert weight.shape == gradWeight.shape == (3, 2, 2, 2)
    assert torch.equal(gradFlat[:24], gradWeight.flatten()) and gradFlat.abs().min() > 0
    m.updateParameters(0.1)
    assert torch.equal(flat[:24], weight.flatten())


@pytest.mark.parametrize("cls", ["SpatialFullConvolution", "VolumetricFullConvolution"])
def test_full_convolution_with_a_target(cls):
    sides = 2 if cls.startswith("Spatial") else 3
    m = getattr(nn, cls)(2, 3, *[3] * sides, *[2] * sides, *[1] * sides)
    keeper = m.gradInput
    x, target = torch.randn(2, *[4] * sides), torch.randn(1, *[8, 7, 8][-sides:])
    y = m.forward([x, target])
    assert y.shape == (3, *target.shape[1:])
    pair = m.backward([x, target], y.clone())
    assert pair is m.gradInput and pair[0] is keeper and pair[0].shape == x.shape
    assert torch.equal(pair[1], torch.zeros(target.shape))
    assert m.backward([x, target], y.clone()) is pair
    m.clearState()
    y = m.forward([x, target])
    assert m.updateGradInput([x, target], y.clone())[0].shape == x.shape
    assert m.updateGradInput(x, m.forward(x).clone()).shape == x.shape
    with pytest.raises(luann.errors.ShapeError):
        m.forward([x[:1], target])


def test_sizes_between_calls_and_types():
    for make, _, size in CASES.values():
        module = make().double()
        if not isinstance(module, nn.SpatialConvolutionLocal):
            small = module.forward(torch.randn(size, dtype=torch.float64)[:1]).clone()
            assert small.shape[0] == 1
        half = module.clone().type(torch.bfloat16)
        x = torch.randn(size, dtype=torch.float64)
        wanted = module.forward(x)
        got = half.forward(x.bfloat16())
        assert got.dtype is torch.bfloat16
        torch.testing.assert_close(got.double(), wanted, rtol=0.1, atol=0.1)
        half.backward(x.bfloat16(), got.clone())


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.SpatialConvolution(2, 0, 3, 3),
        lambda: nn.SpatialConvolution(2, 3, 3, 3, 1, 1, -1),
        lambda: nn.SpatialConvolution(2, 3, 3, 3, 1, 1, 1.5),
        lambda: nn.SpatialDilatedConvolution(2, 3, 3, 3, 1, 1, 0, 0, 0),
        lambda: nn.SpatialFullConvolution(2, 3, 3, 3, 2, 2, 0, 0, 2),
        lambda: nn.VolumetricFullConvolution(2, 3, 3, 3, 3, 1, 1, 1, 0, 0, 0, 1),
        lambda: nn.SpatialConvolutionLocal(2, 3, 4, 4, 5, 5),
        lambda: nn.SpatialConvolutionMap([[1, 1]], 3, 3),
        lambda: nn.SpatialConvolutionMap(torch.tensor([[0.0, 1.0]]), 3, 3),
        lambda: nn.SpatialFullConvolutionMap(torch.ones(3, 3), 3, 3),
        lambda: nn.TemporalConvolution(3, 2, 0),
        lambda: nn.TemporalRowConvolution(3, 2, 0),
        lambda: nn.SpatialSubSampling(3, 2, 2.5),
        lambda: nn.tables.random(2, 6, 3),
        lambda: nn.tables.full(0, 3),
    ],
)
def test_bad_arguments(make):
    with pytest.raises(luann.errors.ArgumentError, match=r"^nn\.\w+"):
        make()


@pytest.mark.parametrize(
    ("module", "size"),
    [
        (nn.SpatialConvolution(2, 3, 3, 3), (5, 5)),
        (nn.SpatialConvolution(2, 3, 3, 3), (1, 3, 5, 5)),
        (nn.SpatialConvolutionMM(2, 3, 3, 3), (2, 2, 5)),
        (nn.SpatialDilatedConvolution(2, 3, 3, 3, 1, 1, 0, 0, 2, 2), (2, 4, 5)),
        (nn.SpatialDepthWiseConvolution(2, 3, 3, 3), (4, 5, 5)),
        (nn.SpatialFullConvolution(2, 3, 3, 3), (3, 5, 5)),
        (nn.SpatialFullConvolution(2, 3, 2, 2, 1, 1, 2, 2), (2, 3, 3)),
        (nn.SpatialConvolutionLocal(2, 3, 5, 5, 3, 3, 2, 2), (2, 6, 6)),
        (nn.SpatialConvolutionMap(nn.tables.full(2, 3), 3, 3), (1, 5, 5)),
        (nn.SpatialConvolutionMap(nn.tables.full(2, 3), 3, 3), (2, 2, 5)),
        (nn.SpatialFullConvolutionMap(nn.tables.oneToOne(20), 3, 3), (19, 5, 5)),
        (nn.VolumetricConvolution(2, 3, 3, 3, 3), (2, 5, 5)),
        (nn.VolumetricFullConvolution(2, 3, 3, 3, 3), (3, 5, 5, 5)),
        (nn.TemporalConvolution(3, 2, 3), (2, 3)),
        (nn.TemporalConvolution(3, 2, 3), (5, 6)),
        (nn.TemporalRowConvolution(3, 2), (5, 4)),
        (nn.TemporalSubSampling(3, 2), (5, 1)),
        (nn.TemporalSubSampling(3, 2), (1, 3)),
        (nn.SpatialSubSampling(3, 2, 2), (1, 4, 4)),
        (nn.SpatialSubSampling(3, 2, 2), (3, 4, 1)),
    ],
    ids=str,
)
def test_bad_shapes(module, size):
    with pytest.raises(luann.errors.ShapeError, match="wanted .*, got " + "x".join(map(str, size))):
        module.forward(torch.randn(size))


def test_gradOutput_of_another_batch():
    m = nn.SpatialConvolution(2, 3, 3, 3).double()
    x = torch.randn(4, 2, 5, 5, dtype=torch.float64)
    with pytest.raises(luann.errors.ShapeError, match="4 samples"):
        m.backward(x, m.forward(x)[:2])
