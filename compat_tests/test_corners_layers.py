"""Corners of single layers that no record shows, by the rules of Torch7's own source."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

import luann
from luann import nn, t7

LOWEST = torch.finfo(torch.float64).min


@pytest.fixture(autouse=True)
def double():
    luann.setdefaulttensortype("torch.DoubleTensor")


def windows(size, count):
    """Adaptive pooling's windows as THNN's C has them, in float."""
    f = np.float32
    begin = [math.floor(f(i) / f(count) * f(size)) for i in range(count)]
    return list(zip(begin, [math.ceil(f(i + 1) / f(count) * f(size)) for i in range(count)]))


def test_windows_that_single_precision_makes_larger():
    assert windows(21, 7)[0] == (0, 4)
    assert windows(20, 7) == [(i * 20 // 7, -(-(i + 1) * 20 // 7)) for i in range(7)]


@pytest.mark.parametrize("kept", ["as computed", "as indices", "in a file"])
@pytest.mark.parametrize("size", [(21, 14), (25, 42), (5, 21), (6, 9), (3, 1)])
@pytest.mark.parametrize("lead", [(2,), (2, 3)])
def test_adaptive_pooling(lead, size, kept, tmp_path):
    torch.manual_seed(5)
    x = torch.randint(-9, 9, (*lead, *size)).double()
    largest, mean = nn.SpatialAdaptiveMaxPooling(7, 5), nn.SpatialAdaptiveAveragePooling(7, 5)
    y, z = largest.forward(x), mean.forward(x)
    gradOutput = torch.randn_like(y)
    gradLargest, gradMean = torch.zeros_like(x), torch.zeros_like(x)
    rows, columns = torch.zeros_like(y), torch.zeros_like(y)
    for (i, (top, bottom)), (j, (left, right)) in itertools.product(
        enumerate(windows(size[0], 5)), enumerate(windows(size[1], 7))
    ):
        for at in itertools.product(*map(range, lead)):
            window = x[at][top:bottom, left:right]
            row, column = divmod(window.flatten().tolist().index(window.max()), right - left)
            assert y[at][i, j] == window.max()
            assert z[at][i, j] == pytest.approx(window.mean().item(), rel=1e-12, abs=1e-13)
            rows[at][i, j], columns[at][i, j] = row + 1, column + 1
            gradLargest[at][top + row, left + column] += gradOutput[at][i, j]
            gradMean[at][top:bottom, left:right] += gradOutput[at][i, j] / window.numel()
    if kept == "as indices":
        assert torch.equal(largest.indices, torch.stack([rows, columns]).long())
    elif kept == "in a file":
        t7.save(str(tmp_path / "pooling.t7"), largest)
        largest = t7.load(str(tmp_path / "pooling.t7"))
    torch.testing.assert_close(largest.backward(x, gradOutput), gradLargest, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(mean.backward(x, gradOutput), gradMean, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("ceil", [False, True])
def test_dilated_windows_without_a_single_element(ceil):
    # of 2 elements at -1 and 1 an image of width 1 holds none; PyTorch names a place beyond it
    module = nn.SpatialDilatedMaxPooling(2, 1, 4, 3, 1, 0, 2, 2)
    module.ceil_mode = ceil
    x = torch.arange(8.0).view(1, 8, 1)
    for input in (x, x.unsqueeze(0)):
        y = module.forward(input)
        assert torch.equal(y, torch.full_like(y, LOWEST)) and (module.indices == 0).all()
        module.forward(input)
        assert torch.equal(module.backward(input, torch.ones_like(y)), torch.zeros_like(input))
    # of 3 rows at -1, 2 and 5 one is inside
    module = nn.SpatialDilatedMaxPooling(1, 3, 1, 1, 0, 1, 1, 3)
    assert module.forward(torch.arange(5.0).view(1, 5, 1)).tolist() == [[[2.0]]]
    volume = nn.VolumetricDilatedMaxPooling(1, 2, 1, 1, 4, 3, 0, 1, 0, 1, 2, 2)
    x = torch.arange(8.0).view(1, 1, 8, 1)
    y = volume.forward(x)
    assert torch.equal(y, torch.full_like(y, LOWEST))
    assert torch.equal(volume.backward(x, torch.ones_like(y)), torch.zeros_like(x))


@pytest.mark.parametrize("threshold", [20, 3, 0, -1])
def test_softplus_compares_its_output_with_the_threshold_backwards(threshold):
    module = nn.SoftPlus(0.5)
    module.threshold = threshold
    edge = 2 * (threshold + math.log1p(-math.exp(-threshold))) if threshold > 0 else 2 * threshold
    x = torch.tensor([-50, -3, 0, 2 * threshold, edge - 1e-6, edge + 1e-6, 2 * threshold + 1e-6, 100])
    y = module.forward(x)
    z = torch.exp(y * 0.5)
    wanted = torch.where(y * 0.5 > threshold, torch.ones(8), (z - 1) / z)
    torch.testing.assert_close(module.backward(x, torch.ones(8)), wanted, rtol=1e-12, atol=1e-14)


def test_of_equal_values_the_first_frames_are_taken():
    x = torch.tensor([0.0, 2, 1, 1, 2, 1, 0, 1, 0, 0, 0]).unsqueeze(1)
    module = nn.TemporalDynamicKMaxPooling(4)
    assert module.forward(x)[:, 0].tolist() == [2, 1, 1, 2]
    assert module.indices[:, 0].tolist() == [2, 3, 4, 5]
    x = torch.zeros(3, 9, 2)
    module.forward(x)
    assert module.indices[:, :, 0].tolist() == [[1, 2, 3, 4]] * 3
    assert module.backward(x, torch.ones(3, 4, 2))[2, :, 1].tolist() == [1] * 4 + [0] * 5


@pytest.mark.parametrize("sizes", [[2, 3], luann.Storage([2, 3])])
def test_add_with_several_sizes(sizes):
    luann.manualSeed(3)
    module = nn.Add(sizes)
    luann.manualSeed(3)
    bound = 1 / math.sqrt(2)  # by the first size alone
    assert torch.equal(module.bias, luann.random.uniform(torch.empty(2, 3), -bound, bound))
    x, g = torch.randn(4, 2, 3), torch.randn(4, 2, 3)
    assert torch.equal(module.forward(x), x + module.bias)
    assert torch.equal(module.forward(x.view(4, 6)), (x + module.bias).view(4, 6))
    assert torch.equal(module.forward(x[0]), x[0] + module.bias)
    module.zeroGradParameters()
    assert torch.equal(module.backward(x[0], g[0], 0.5), g[0])
    module.forward(x)
    module.accGradParameters(x, g, 2)
    torch.testing.assert_close(module.gradBias, 2 * g.sum(0) + g[0] / 2, rtol=1e-12, atol=1e-13)


def test_add_whose_first_size_is_one():
    module = nn.Add([1, 3])
    x, g = torch.randn(5, 3), torch.randn(5, 3)
    assert torch.equal(module.forward(x), x + module.bias)
    module.zeroGradParameters()
    module.backward(x, g, 0.5)
    torch.testing.assert_close(module.gradBias, (g.sum() / 2).expand(1, 3), rtol=1e-12, atol=1e-13)


def test_add_of_one_bias_needs_no_size():
    module = nn.Add(None, True)
    assert module.bias.shape == (1,)
    x = torch.randn(2, 3)
    assert torch.equal(module.forward(x), x + module.bias)
    with pytest.raises(luann.ArgumentError):
        nn.Add(None)


POINTWISE = [nn.PReLU, lambda: nn.PReLU(3), nn.Mul, lambda: nn.CAdd(3), lambda: nn.CMul(3), lambda: nn.Add(3), nn.Tanh]


@pytest.mark.parametrize("make", POINTWISE)
def test_without_gradInput(make):
    luann.manualSeed(1)
    module, x, g = make(), torch.randn(4, 3), torch.randn(4, 3)
    module.zeroGradParameters()
    twin = module.clone()
    twin.forward(x)
    twin.backward(x, g, 0.5)
    module.gradInput = None
    module.forward(x)
    assert module.backward(x, g, 0.5) is None and module.updateGradInput(x, g) is None and module.gradInput is None
    for mine, theirs in zip(module.parameters()[1] or [], twin.parameters()[1] or []):
        assert torch.equal(mine, theirs)


def test_penalty_of_an_older_file():
    module = nn.L1Penalty(0.5)
    del module.sizeAverage, module.provideOutput
    x = torch.tensor([1.0, -2, 0])
    module.forward(x)
    assert module.loss == 1.5
    assert module.backward(x, torch.ones(3)).tolist() == [0.5, -0.5, 0]


@pytest.mark.parametrize("paddings", [(0, 0, 4, -3), (4, -5, 0, 0), (-4, 1, 0, 0)])
def test_zero_padding_that_cuts_off_all(paddings):
    with pytest.raises(luann.ShapeError, match="cuts off"):
        nn.SpatialZeroPadding(*paddings).forward(torch.ones(2, 2, 4))


IMAGE, VOLUME = (2, 6, 6), (2, 4, 4, 4)
SIZED = [
    (lambda: nn.SpatialMaxPooling(2, 2), IMAGE),
    (lambda: nn.SpatialMaxPooling(2, 2).ceil(), IMAGE),
    (lambda: nn.SpatialAveragePooling(3, 3), IMAGE),
    (lambda: nn.SpatialAdaptiveMaxPooling(2, 3), IMAGE),
    (lambda: nn.SpatialAdaptiveAveragePooling(2, 3), IMAGE),
    (lambda: nn.SpatialFractionalMaxPooling(2, 2, 3, 3), IMAGE),
    (lambda: nn.FeatureLPPooling(2, 1, 2), IMAGE),
    (lambda: nn.SpatialSubSampling(2, 2, 2), IMAGE),
    (lambda: nn.SpatialCrossMapLRN(3), IMAGE),
    (lambda: nn.SpatialUpSamplingNearest(2), IMAGE),
    (lambda: nn.SpatialUpSamplingBilinear(2), IMAGE),
    (lambda: nn.VolumetricMaxPooling(2, 2, 2), VOLUME),
    (lambda: nn.VolumetricDilatedMaxPooling(2, 2, 2, 1, 1, 1, 0, 0, 0, 2, 2, 2), VOLUME),
    (lambda: nn.VolumetricAveragePooling(2, 2, 2), VOLUME),
    (lambda: nn.UpSampling(2, "linear"), (1, *VOLUME)),
    (lambda: nn.SpatialBatchNormalization(4), VOLUME),
    (lambda: nn.BatchNormalization(4), (3, 4)),
    (lambda: nn.TemporalMaxPooling(2), (5, 3)),
    (lambda: nn.TemporalDynamicKMaxPooling(2), (5, 3)),
    (lambda: nn.TemporalSubSampling(3, 2), (5, 3)),
    (lambda: nn.Euclidean(4, 2), (3, 4)),
    (lambda: nn.WeightedEuclidean(4, 2), (4,)),
]


@pytest.mark.parametrize(("make", "size"), SIZED)
def test_a_gradOutput_of_another_size_is_refused(make, size):
    # PyTorch's kernels would read or write beyond the end of some tensor, or stretch the gradient
    luann.manualSeed(2)
    module, x = make(), torch.randn(size)
    y = module.forward(x).clone()
    module.zeroGradParameters()
    for wrong in (torch.cat([y, y[..., :1]], -1), torch.cat([y, y[:1]]), y.flatten()[:1]):
        with pytest.raises(luann.ShapeError):
            module.backward(x, wrong)
    assert module.backward(x, y).shape == x.shape
