import pytest
import records
import torch
import torch.nn.functional as F
from against_torch import agrees

import luann
from luann.contrib import nnx


@records.of("rocks/nnx", "Minus", "SpatialDownSampling", "SpatialReSampling", "SpatialUpSampling")
def test_record(case):
    records.check(case)


def test_small_ones():
    agrees(nnx.Minus(), lambda x: -x, (2, 3), (2, 1, 4))
    agrees(nnx.MultiSoftMax(), lambda x: x.softmax(-1), (2, 5), (2, 3, 5))
    up = nnx.SpatialUpSampling({"dW": 2, "dH": 3, "yDim": 1, "xDim": 2})
    agrees(up, lambda x: x.repeat_interleave(3, 0).repeat_interleave(2, 1), (4, 5), (2, 3, 2))
    agrees(nnx.SpatialUpSampling(2, 2), lambda x: x.repeat_interleave(2, 1).repeat_interleave(2, 2), (1, 2, 3, 2))
    # 1/8 is the same in single precision
    agrees(nnx.SpatialDownSampling(4, 2), lambda x: F.avg_pool2d(x, (2, 4)), (2, 5, 9), (1, 4, 4))


@pytest.mark.parametrize("pads", [(1, 2, 0, 3), (-1, 1, 2, -1), (0, -2, -1, 0)])
def test_padding_of_any_dimensions(pads):
    left, right, top, bottom = pads
    agrees(nnx.SpatialPadding(*pads), lambda x: F.pad(x, pads), (2, 4, 5))
    # the rows are the first dimension, the columns the second
    agrees(nnx.SpatialPadding(*pads, 1, 2), lambda x: F.pad(x, (0, 0, *pads)), (4, 5, 2))
    agrees(nnx.SpatialPadding(*pads, 3, 1), lambda x: F.pad(x, (top, bottom, 0, 0, left, right)), (4, 2, 5))


def test_interpolation_agrees_with_torch():
    # in float: positions and weights are in single precision in any type
    def resized(x, *size):
        batch = x.reshape(-1, 1, *x.shape[-2:])
        found = F.interpolate(batch, size, mode="bilinear", align_corners=True)
        return found.reshape(*x.shape[:-2], *size)

    sizes = {"owidth": 7, "oheight": 3}
    agrees(nnx.SpatialReSampling(sizes), lambda x: resized(x, 3, 7), (2, 5, 4), (2, 1, 3, 9), dtype=torch.float32)
    small = {"owidth": 3, "oheight": 2, "mode": "bilinear"}
    agrees(nnx.SpatialReSamplingEx(small), lambda x: resized(x, 2, 3), (2, 5, 4), dtype=torch.float32)
    swapped = nnx.SpatialReSamplingEx({"rwidth": 2, "rheight": 1.5, "mode": "bilinear", "yDim": 1, "xDim": 2})
    channels_last = lambda x: resized(x.permute(2, 0, 1), 6, 6).permute(1, 2, 0)  # noqa: E731
    agrees(swapped, channels_last, (4, 3, 2), dtype=torch.float32)


def test_simple_and_average():
    def repeated(x):  # 3x4 to 5x8: each row twice, the last once
        return x.repeat_interleave(2, 1)[:, :5].repeat_interleave(2, 2)

    for mode in "simple", "average":
        module = nnx.SpatialReSamplingEx({"owidth": 8, "oheight": 5, "mode": mode})
        agrees(module, repeated, (2, 3, 4))
    agrees(nnx.SpatialReSamplingEx(0.5, 0.5), lambda x: x[:, ::2, ::2][:, :3], (2, 6, 4))
    average = nnx.SpatialReSamplingEx({"owidth": 2, "oheight": 3, "mode": "average"})
    agrees(average, lambda x: F.avg_pool2d(x, (2, 2)), (2, 6, 5), (1, 7, 4))


def test_means_are_rounded_as_in_the_rock():
    # the inverse of the number of elements is a float in forward; in the backward of SpatialReSamplingEx it is not
    x, third = torch.ones(1, 3, 3).double(), float(torch.tensor(1.0) / 9)
    average = nnx.SpatialReSamplingEx({"owidth": 1, "oheight": 1, "mode": "average"}).double()
    assert average.forward(x).item() == 9 * third
    assert average.backward(x, torch.ones(1, 1, 1).double())[0, 0, 0].item() == 1 / 9
    down = nnx.SpatialDownSampling({"rW": 3, "rH": 3}).double()
    assert down.forward(x).item() == 9 * third
    assert down.backward(x, torch.ones(1, 1, 1).double())[0, 0, 0].item() == third


def test_ratios_of_SpatialReSampling_count_once():
    module = nnx.SpatialReSampling({"rwidth": 2, "rheight": 2})
    module.forward(torch.rand(1, 3, 3))
    assert module.forward(torch.rand(1, 5, 4)).shape == (1, 6, 6)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: nnx.SpatialUpSampling({"dW": 2}), "dH must be a whole number"),
        (lambda: nnx.SpatialUpSampling({"dW": 2, "dH": 2, "yDim": 1}), "yDim must be xDim - 1"),
        (lambda: nnx.SpatialUpSampling({"kW": 2}), "takes dW, dH, yDim, xDim, got kW"),
        (lambda: nnx.SpatialReSampling({"owidth": 2}), "give oheight or rheight"),
        (lambda: nnx.SpatialReSamplingEx({"owidth": 2, "oheight": 2, "mode": "cubic"}), "mode is one of simple"),
        (lambda: nnx.SpatialReSamplingEx(2, 0.5).forward(torch.rand(1, 4, 4)), "4x4 cannot become 2x8"),
    ],
)
def test_what_cannot_be_is_told(make, text):
    with pytest.raises(luann.Error, match=text):
        make()
