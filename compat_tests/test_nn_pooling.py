import itertools
import json
import pickle

import pytest
import records
import torch
import torch.nn.functional as F
from against_torch import agrees

import luann
from luann import nn
from luann.nn.pooling import spatial


@records.of(
    "nn",
    "FeatureLPPooling",
    "SpatialAdaptiveAveragePooling",
    "SpatialAdaptiveMaxPooling",
    "SpatialAveragePooling",
    "SpatialDilatedMaxPooling",
    "SpatialFractionalMaxPooling",
    "SpatialLPPooling",
    "SpatialMaxPooling",
    "SpatialMaxUnpooling",
    "TemporalDynamicKMaxPooling",
    "TemporalMaxPooling",
    "VolumetricAveragePooling",
    "VolumetricDilatedMaxPooling",
    "VolumetricFractionalMaxPooling",
    "VolumetricMaxPooling",
    "VolumetricMaxUnpooling",
)
def test_record(case):
    records.check_module(case)


@pytest.mark.parametrize("name", ["old_average_pooling", "old_max_pooling", "old_volumetric_pooling"])
def test_old_files(name):
    module = luann.load(records.REFERENCE / f"serialization/{name}.bin.t7")
    run = json.loads((records.REFERENCE / f"serialization/{name}.json").read_text())["run"]
    x, y = (torch.tensor(run[k]["values"], dtype=torch.float64).view(run[k]["size"]) for k in ("input", "output"))
    assert torch.equal(module.forward(x), y)
    assert module.backward(x, y).shape == x.shape


IMAGES = (3, 7, 8), (2, 3, 6, 9), (1, 16, 40, 50)
VOLUMES = (2, 5, 6, 7), (2, 3, 4, 7, 6), (1, 9, 12, 20, 18)


@pytest.mark.parametrize("ceil", [False, True])
def test_max_and_average_pooling_agree_with_torch(ceil):
    def ready(module):
        module.ceil_mode = ceil
        return module

    k, s, p, d = (2, 3), (2, 1), (1, 1), (2, 1)
    agrees(ready(nn.SpatialMaxPooling(3, 2, 1, 2, 1, 1)), lambda x: F.max_pool2d(x, k, s, p, 1, ceil), *IMAGES)
    dilated = nn.SpatialDilatedMaxPooling(3, 2, 1, 2, 1, 1, 1, 2)
    agrees(ready(dilated), lambda x: F.max_pool2d(x, k, s, p, d, ceil), *IMAGES)
    average = nn.SpatialAveragePooling(3, 2, 1, 2, 1, 1).setCountExcludePad()
    agrees(ready(average), lambda x: F.avg_pool2d(x, k, s, p, ceil, False), *IMAGES)
    k, s, p, d = (2, 3, 2), (1, 2, 2), (1, 1, 0), (2, 1, 1)
    dilated = nn.VolumetricDilatedMaxPooling(2, 2, 3, 1, 2, 2, 1, 0, 1, 2, 1, 1)
    agrees(ready(dilated), lambda x: F.max_pool3d(x, k, s, p, d, ceil), *VOLUMES)
    if not ceil:
        agrees(nn.VolumetricAveragePooling(2, 2, 3, 1, 2, 2), lambda x: F.avg_pool3d(x, k, s), *VOLUMES)


def test_adaptive_pooling_agrees_with_torch(monkeypatch):
    agrees(nn.SpatialAdaptiveMaxPooling(4, 3), lambda x: F.adaptive_max_pool2d(x, (3, 4)), *IMAGES)
    agrees(nn.SpatialAdaptiveAveragePooling(4, 3), lambda x: F.adaptive_avg_pool2d(x, (3, 4)), *IMAGES)
    monkeypatch.setattr(spatial, "_adaptive_average_backward", None)
    agrees(nn.SpatialAdaptiveAveragePooling(9, 5), lambda x: F.adaptive_avg_pool2d(x, (5, 9)), *IMAGES)


def test_temporal_and_lp_pooling_agree_with_torch():
    def root(x, p):
        return x.pow(p).sum(-1).pow(1 / p)

    sequences = (7, 3), (2, 9, 4)
    agrees(nn.TemporalMaxPooling(3, 2), lambda x: x.unfold(-2, 3, 2).amax(-1), *sequences)
    agrees(nn.FeatureLPPooling(3, 2, 2, True), lambda x: root(x.unfold(1, 3, 2), 2), (2, 7), (3, 5, 2, 3))
    agrees(nn.FeatureLPPooling(2, 1, 4), lambda x: root(x.unfold(0, 2, 1), 4), (3, 2), (5, 2, 3))
    windows = lambda x: x.unfold(-2, 3, 2).unfold(-2, 2, 1).flatten(-2)  # noqa: E731
    agrees(nn.SpatialLPPooling(3, 4, 2, 3, 1, 2), lambda x: root(windows(x), 4), *IMAGES[:2])


def test_feature_lp_pooling_has_no_gradient_where_all_is_zero():
    m = nn.FeatureLPPooling(2, 2, 2)
    x = torch.tensor([0.0, 0, 3, 4])
    assert m.forward(x).tolist() == [0, 5]
    torch.testing.assert_close(m.backward(x, torch.ones(2)), torch.tensor([0, 0, 0.6, 0.8]))


def test_windows_beyond_the_input():
    # rounded up without padding: Torch7 keeps a last window that has no element
    x = torch.arange(25.0).view(1, 5, 5)
    g = torch.ones(1, 3, 3)
    m = nn.SpatialMaxPooling(1, 1, 3, 3).ceil()
    lowest = torch.finfo(x.dtype).min
    assert m.forward(x).tolist() == [[[0, 3, lowest], [15, 18, lowest], [lowest] * 3]]
    assert m.indices.tolist() == [[[1, 4, 0], [16, 19, 0], [0, 0, 0]]]
    assert m.backward(x, g).nonzero().tolist() == [[0, 0, 0], [0, 0, 3], [0, 3, 0], [0, 3, 3]]
    average = nn.SpatialAveragePooling(1, 1, 3, 3).ceil()
    assert average.forward(x).tolist() == [[[0, 3, 0], [15, 18, 0], [0, 0, 0]]]
    assert torch.equal(average.backward(x, g), m.gradInput)
    # right after the last element it divides by zero
    assert nn.SpatialAveragePooling(1, 1, 2, 2).ceil().forward(x[:, :3, :4])[0, 0].isnan().tolist() == [
        False,
        False,
        True,
    ]


@pytest.mark.parametrize(
    "module, shape",
    [
        (nn.SpatialMaxPooling(2, 3, 1, 2, 1, 1), (2, 3, 6, 7)),
        (nn.SpatialMaxPooling(2, 2), (1, 8, 30, 31)),
        (nn.SpatialAdaptiveMaxPooling(4, 3), (3, 7, 8)),
        (nn.SpatialFractionalMaxPooling(2, 3, 4, 3), (2, 3, 7, 8)),
        (nn.TemporalMaxPooling(3, 2), (2, 8, 3)),
        (nn.TemporalDynamicKMaxPooling(3, 0.6), (2, 8, 3)),
        (nn.VolumetricDilatedMaxPooling(2, 3, 2, 1, 2, 1, 1, 1, 0, 1, 2, 2).ceil(), (2, 2, 5, 6, 7)),
        (nn.VolumetricFractionalMaxPooling(2, 2, 3, 3, 3, 4), (2, 2, 8, 7, 6)),
    ],
    ids=lambda value: value._typename if isinstance(value, nn.Module) else "",
)
def test_backward_needs_the_indices_alone(module, shape):
    for train in (True, False):
        m = module.clone()
        m.train = train
        x = torch.randn(shape)
        g = torch.randn_like(m.forward(x))
        wanted = m.clone().backward(x, g)
        torch.testing.assert_close(pickle.loads(pickle.dumps(m)).backward(x, g), wanted)
        torch.testing.assert_close(m.backward(x, g), wanted)
        assert m.indices.dtype == torch.int64
        assert m.indices is m.indices
        torch.testing.assert_close(m.clone().double().backward(x.double(), g.double()).float(), wanted)
        m.clearState()
        assert m.indices is None or not m.indices.numel()


def test_indices_follow_every_forward():
    m = nn.SpatialMaxPooling(2, 2)
    x = torch.eye(4).view(1, 4, 4)
    m.forward(x)
    indices = m.indices
    assert indices.tolist() == [[[1, 3], [9, 11]]]
    m.forward(x.flip(-1))
    assert m.indices is indices
    assert indices.tolist() == [[[1, 4], [10, 11]]]
    m.evaluate()
    m.forward(torch.ones(1, 2, 6))
    assert m.indices.tolist() == [[[1, 3, 5]]]


def test_unpooling():
    pool = nn.SpatialMaxPooling(2, 3)
    unpool = nn.SpatialMaxUnpooling(pool)
    with pytest.raises(luann.Error):
        unpool.forward(torch.ones(1, 1, 1))
    for shape in ((2, 7, 5), (3, 2, 6, 4), (1, 9, 40, 60)):
        x = torch.rand(shape) + 1
        y = unpool.forward(pool.forward(x))
        assert torch.equal(y, torch.where(y == 0, 0, x))
        assert (y != 0).sum() == pool.output.numel()
        assert torch.equal(unpool.backward(pool.output, x), pool.output)
        assert torch.equal(unpool.indices, pool.indices)
        assert torch.equal(unpool.forward(pool.output), y)
        assert (unpool.oheight, unpool.owidth) == x.shape[-2:]
    with pytest.raises(luann.ShapeError, match="the size of what was pooled"):
        unpool.forward(x)
    with pytest.raises(luann.ArgumentError, match="side by side"):
        nn.SpatialMaxUnpooling(nn.SpatialMaxPooling(3, 3, 2, 2))
    with pytest.raises(luann.ArgumentError, match=r"takes a nn\.VolumetricMaxPooling"):
        nn.VolumetricMaxUnpooling(pool)


def test_fractional_pooling():
    def windows(sample, size, count, pool):
        steps = (size - pool) / (count - 1)
        return [int((i + sample) * steps) - int(sample * steps) for i in range(count - 1)] + [size - pool]

    luann.manualSeed(1)
    m = nn.VolumetricFractionalMaxPooling(2, 3, 2, 3, 2, 4).double()
    x = torch.randn(2, 2, 9, 8, 7, dtype=torch.float64)  # the last three are H, W, T
    y = m.forward(x)
    for n, c in itertools.product(range(2), range(2)):
        t, w, h = m.randomSamples[n, c].tolist()
        places = itertools.product(windows(h, 9, 4, 2), windows(w, 8, 2, 3), windows(t, 7, 3, 2))
        wanted = [x[n, c, h : h + 2, w : w + 3, t : t + 2].max() for h, w, t in places]
        assert y[n, c].flatten().tolist() == wanted
    # drawn anew in evaluation, too, unless they are to be kept
    m.evaluate()
    samples = m.randomSamples.clone()
    m.forward(x)
    assert not torch.equal(m.randomSamples, samples)
    samples = m.fixPoolingRegions().randomSamples.clone()
    m.forward(x)
    assert torch.equal(m.randomSamples, samples)
    assert m.forward(x[0]).shape == (2, 4, 2, 3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.SpatialMaxPooling(0, 2),
        lambda: nn.SpatialAveragePooling(2, 2, 0.5),
        lambda: nn.SpatialDilatedMaxPooling(2, 2, 1, 1, 0, 0, 0),
        lambda: nn.SpatialAdaptiveMaxPooling(2, None),
        lambda: nn.VolumetricMaxPooling(2, "2", 2),
        lambda: nn.TemporalMaxPooling(True),
        lambda: nn.TemporalDynamicKMaxPooling(2, 1.5),
        lambda: nn.SpatialFractionalMaxPooling(1, 2, 3, 3),
        lambda: nn.SpatialFractionalMaxPooling(2, 2, 3, 0.5),
        lambda: nn.FeatureLPPooling(17, 1, 2),
        lambda: nn.FeatureLPPooling(2, 5, 2),
    ],
)
def test_bad_arguments(make):
    with pytest.raises(luann.ArgumentError, match=r"^nn\.\w+: "):
        make()


@pytest.mark.parametrize(
    "module, shape",
    [
        (nn.SpatialMaxPooling(2, 2), (2, 2)),
        (nn.SpatialMaxPooling(3, 3), (1, 2, 2)),
        (nn.SpatialAveragePooling(3, 3), (1, 4, 2)),
        (nn.SpatialAdaptiveMaxPooling(2, 2), (4, 4)),
        (nn.SpatialAdaptiveAveragePooling(2, 2), (1, 1, 1, 4, 4)),
        (nn.SpatialFractionalMaxPooling(2, 2, 3, 3), (1, 4, 3)),
        (nn.SpatialFractionalMaxPooling(2, 2, 0.1, 0.1), (1, 9, 9)),
        (nn.VolumetricMaxPooling(2, 2, 2), (4, 4, 4)),
        (nn.VolumetricAveragePooling(2, 2, 2), (1, 4, 1, 4)),
        (nn.TemporalMaxPooling(4), (3, 2)),
        (nn.TemporalMaxPooling(2), (4, 4, 4, 4)),
        (nn.TemporalDynamicKMaxPooling(4), (3, 2)),
        (nn.FeatureLPPooling(3, 1, 2), (2, 4)),
        (nn.FeatureLPPooling(3, 1, 2), (3, 4, 4, 4)),
    ],
    ids=lambda value: value._typename if isinstance(value, nn.Module) else "x".join(map(str, value)),
)
def test_bad_shapes(module, shape):
    with pytest.raises(luann.ShapeError, match="wanted .*, got " + "x".join(map(str, shape))):
        module.forward(torch.randn(shape))
