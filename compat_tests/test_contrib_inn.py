import math

import pytest
import records
import torch
import torch.nn.functional as F
from against_autograd import same
from against_torch import agrees

import luann
from luann import nn
from luann.contrib import inn


@records.of("rocks/imagine-nn", "ConstAffine", "MeanSubtraction", "SpatialPyramidPooling")
def test_record(case):
    records.check(case)


@pytest.fixture(autouse=True)
def double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(11)
    yield
    torch.set_default_dtype(before)


def test_constants_and_means():
    module = inn.ConstAffine(3)
    module.a.copy_(torch.tensor([2.0, -1, 0.5]))
    module.b.copy_(torch.tensor([1.0, 0, 3]))
    agrees(module, lambda x: x * module.a.view(3, 1, 1) + module.b.view(3, 1, 1), (2, 3, 4, 5))
    agrees(module, lambda x: x * module.a + module.b, (2, 3))
    agrees(inn.SpatialConstAffine(2), lambda x: x * 1, (2, 2, 3, 3))
    x = torch.randn(2, 3, 4, 4)
    mean = torch.randn(1, 3, 4, 4)
    for m in mean, mean[0], mean.expand(5, -1, -1, -1):
        for given in x, x[0]:
            assert torch.equal(inn.MeanSubtraction(m).forward(given), given - mean[0])


def test_pooling_rounds_up():
    agrees(inn.SpatialMaxPooling(3, 2, 2, 2), lambda x: F.max_pool2d(x, (2, 3), 2, ceil_mode=True), (2, 3, 7, 8))
    agrees(inn.SpatialAveragePooling(3, 2, 2, 3), lambda x: F.avg_pool2d(x, (2, 3), (3, 2), ceil_mode=True), (2, 7, 8))
    old = luann.t7.Unknown("inn.SpatialAveragePooling", 1, {"kW": 2, "kH": 2, "dW": 2, "dH": 2})
    assert str(old)  # as files from before ceil_mode and divide hold it
    module = inn.SpatialAveragePooling.__new__(inn.SpatialAveragePooling)
    module._restore({"kW": 2, "kH": 2, "dW": 2, "dH": 2, "output": torch.empty(0)}, 1)
    assert module.forward(torch.tensor([[[1.0, 2, 5], [3, 4, 7]]])).tolist() == [[[2.5, 6]]]


def test_the_older_pyramid_is_brought_up_to_date():
    new = inn.SpatialPyramidPooling([2, 2], [1, 1])
    concat = nn.Concat(1)
    concat.modules = new.modules
    old = inn.SpatialPyramidPooling.__new__(inn.SpatialPyramidPooling)
    old._restore({"_modules": concat, "pyr": new.pyr, "output": torch.empty(0), "gradInput": torch.empty(0)}, 1)
    x = torch.randn(2, 3, 4, 6)
    wanted = torch.cat([F.adaptive_max_pool2d(x, n).flatten(1) for n in (2, 1)], 1)
    assert torch.equal(old.forward(x), wanted)
    assert torch.equal(old.forward(x[0]), wanted[0])


def test_response_normalisation():
    def within(x, size=5, alpha=0.3, beta=0.75):
        return x / (1 + alpha * F.avg_pool2d(x.square(), size, 1, size // 2)) ** beta

    for cls in inn.SpatialSameResponseNormalization, inn.LocalResponseNormalization:
        same(cls(5, 0.3), within, torch.randn(2, 3, 6, 7))
    across = inn.SpatialCrossResponseNormalization(3, 0.3, 0.75, 2)
    agrees(across, lambda x: F.local_response_norm(x, 3, 0.3, 0.75, 2), (2, 5, 3, 4))


def test_stochastic_pooling_draws_by_share():
    x = torch.tensor([[1.0, 2, 0], [0, 1, 6]]).view(1, 2, 3)
    module = inn.SpatialStochasticPooling(2, 2, 1, 1)
    luann.manualSeed(1)
    counts = {}
    for _ in range(2000):
        first, second = module.forward(x).flatten().tolist()
        counts[first, "first"] = counts.get((first, "first"), 0) + 1
        counts[second, "second"] = counts.get((second, "second"), 0) + 1
    for key, share in {(2, "first"): 2 / 4, (6, "second"): 6 / 9, (2, "second"): 2 / 9}.items():
        assert abs(counts[key] / 2000 - share) < 0.05
    g = torch.tensor([[[5.0, 7]]])
    grad = module.backward(x, g)
    chosen = module.indices.flatten().tolist()
    wanted = torch.zeros(6)
    wanted[chosen[0]] += 5
    wanted[chosen[1]] += 7
    assert torch.equal(grad.flatten(), wanted)
    module.evaluate()
    torch.testing.assert_close(module.forward(x), torch.tensor([[[6 / 4, 41 / 9]]]))
    assert module.forward(torch.rand(2, 3, 5, 5)).shape == (2, 3, 4, 4)
    with pytest.raises(luann.Error, match="no gradient in evaluation"):
        module.backward(x, g)


def nearest(x):
    return int(math.copysign(math.floor(abs(x) + 0.5), x))


@pytest.mark.parametrize("v2", [True, False])
def test_regions_are_pooled_as_the_kernel_does(v2):
    features, scale, W, H = torch.randn(2, 3, 9, 8), 0.5, 3, 2
    # within, one pixel, beyond the right, ends before it begins, outside
    regions = [[1, 2, 3, 12, 15], [2, 5, 5, 5, 5], [2, 9, 1, 40, 12], [1, 8, 8, 3, 2], [1, 30, 40, 36, 44]]
    regions += [[2, 1, 1, 16, 18]] * 2

    def pooled(features, regions):
        rows = []
        for number, *corners in regions.tolist():
            x1, y1, x2, y2 = (nearest((c - 1) * scale) for c in corners)
            bins = []
            for first, last, count, size in ((y1, y2 - v2, H, 9), (x1, x2 - v2, W, 8)):
                step = max(last - first + 1, 1) / count
                low, high = (nearest, nearest) if v2 else (math.floor, math.ceil)
                ends = [(low(i * step) + first, high((i + 1) * step) + first) for i in range(count)]
                bins.append([(min(max(a, 0), size), min(max(b, 0), size)) for a, b in ends])
            for a, b in bins[0]:
                for c, d in bins[1]:
                    cells = features[int(number) - 1, :, a:b, c:d].flatten(1)
                    rows.append(cells.max(1)[0] if cells.shape[1] else features.new_zeros(3))
        return torch.stack(rows).view(len(regions), H, W, 3).permute(0, 3, 1, 2)

    module = inn.ROIPooling(W, H, scale)
    module.v2 = v2
    for cells in 1 << 22, 1:  # in one go, and region by region
        module._CELLS = cells
        same(module, lambda f, r: pooled(f, r.detach()), features, torch.tensor(regions, dtype=torch.float64))
    outside = module.forward([features, torch.tensor([[1.0, 90, 90, 99, 99]])])
    assert not outside.any()
    assert not module.backward([features, torch.tensor([[1.0, 90, 90, 99, 99]])], outside + 1)[0].any()


@pytest.mark.parametrize("pyramid", [(), ([],), ([[1]],), (3,), ("xy",), ([2, 2], 3)])
def test_grids_that_are_none(pyramid):
    with pytest.raises(luann.ArgumentError, match="pyramid must be lists of a width and a height, got"):
        inn.SpatialPyramidPooling(*pyramid)


def test_wrong_arguments():
    for make in inn.SpatialSameResponseNormalization, inn.LocalResponseNormalization:
        with pytest.raises(luann.ArgumentError, match="size must be a whole number"):
            make("x")
    with pytest.raises(luann.ArgumentError, match="mean must be an image"):
        inn.MeanSubtraction(None)


@pytest.mark.parametrize("image", [-1, 0, 2])
def test_regions_of_an_image_that_is_not_there(image):
    with pytest.raises(luann.ShapeError, match=f"a region is of image {image} of 1: they count from 1"):
        inn.ROIPooling(2, 2).forward([torch.randn(1, 3, 6, 6), torch.tensor([[image, 1, 1, 4.0, 4]])])
