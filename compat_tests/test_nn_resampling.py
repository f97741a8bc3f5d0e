import pytest
import records
import torch
import torch.nn.functional as F
from against_torch import agrees

import luann
from luann import nn


@records.of(
    "nn",
    "PixelShuffle",
    "SpatialReflectionPadding",
    "SpatialReplicationPadding",
    "SpatialUpSamplingBilinear",
    "SpatialUpSamplingNearest",
    "SpatialZeroPadding",
    "UpSampling",
    "VolumetricReplicationPadding",
)
def test_record(case):
    records.check_module(case)


IMAGES = (3, 5, 7), (2, 3, 6, 5), (1, 1, 4, 4)


@pytest.mark.parametrize("sides", [(1, 2, 0, 3), (2, -1, 1, 1), (-1, -1, -2, 0)])
def test_padding_agrees_with_torch(sides):
    agrees(nn.SpatialZeroPadding(*sides), lambda x: F.pad(x, sides), *IMAGES)
    agrees(nn.SpatialReflectionPadding(*sides), lambda x: F.pad(x, sides, "reflect"), *IMAGES)
    agrees(nn.SpatialReplicationPadding(*sides), lambda x: F.pad(x, sides, "replicate"), *IMAGES)
    six = (*sides, 1, 2)
    volumes = (2, 3, 4, 5), (2, 1, 2, 3, 4)
    agrees(nn.VolumetricReplicationPadding(*six), lambda x: F.pad(x, six, "replicate"), *volumes)


@pytest.mark.parametrize("scale", [1, 3, 41, 47])
def test_nearest_repeats_every_element(scale):
    # with floating-point positions, as PyTorch has them, 41 and 47 miss the element now and then
    def enlarged(x, dims=2):
        for dim in range(1, dims + 1):
            x = x.repeat_interleave(scale, -dim)
        return x

    agrees(nn.SpatialUpSamplingNearest(scale), enlarged, (2, 2, 3), (1, 2, 3, 2))
    agrees(nn.UpSampling(scale), enlarged, (2, 1, 2, 3))
    if scale < 41:
        agrees(nn.UpSampling(scale, "nearest"), lambda x: enlarged(x, 3), (2, 1, 2, 3, 2))


def test_linear_agrees_with_torch():
    # in float: in double Torch7 differs from PyTorch, as its positions are of single precision
    def enlarged(x, *size):
        mode = "trilinear" if len(size) == 3 else "bilinear"
        batch = x if x.dim() > 3 else x[None]
        return F.interpolate(batch, size, mode=mode, align_corners=True).view(*x.shape[: -len(size)], *size)

    double = lambda x: enlarged(x, 2 * x.shape[-2], 2 * x.shape[-1])  # noqa: E731
    agrees(nn.SpatialUpSamplingBilinear(2), double, *IMAGES, dtype=torch.float32)
    agrees(nn.UpSampling(2, "linear"), double, *IMAGES[1:], dtype=torch.float32)
    sizes = {"odepth": 4, "oheight": 1, "owidth": 9}
    agrees(nn.UpSampling(sizes, "linear"), lambda x: enlarged(x, 4, 1, 9), (2, 3, 3, 2, 5), dtype=torch.float32)
    sizes = luann.Table(oheight=3, owidth=8)
    agrees(nn.SpatialUpSamplingBilinear(sizes), lambda x: enlarged(x, 3, 8), *IMAGES, dtype=torch.float32)


def test_pixel_shuffle_agrees_with_torch():
    agrees(nn.PixelShuffle(2), lambda x: F.pixel_shuffle(x, 2), (2, 8, 3, 2), (4, 1, 5), (1, 12, 2, 2))


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.SpatialZeroPadding(None),
        lambda: nn.SpatialReflectionPadding(1, 0.5),
        lambda: nn.SpatialUpSamplingNearest(0),
        lambda: nn.SpatialUpSamplingNearest(1.5),
        lambda: nn.SpatialUpSamplingBilinear({"oheight": 3}),
        lambda: nn.UpSampling({"oheight": 3, "owidth": 3}),
        lambda: nn.PixelShuffle(0),
    ],
)
def test_bad_arguments(make):
    with pytest.raises(luann.ArgumentError, match=r"^nn\.\w+: "):
        make()


@pytest.mark.parametrize(
    "module, shape",
    [
        (nn.SpatialZeroPadding(1), (3, 4)),
        (nn.SpatialZeroPadding(-2, -2, 0, 0), (1, 4, 4)),
        (nn.SpatialZeroPadding(-5, 9, 0, 0), (1, 4, 4)),
        (nn.SpatialReflectionPadding(4), (1, 4, 4)),
        (nn.SpatialReplicationPadding(1), (4, 4)),
        (nn.VolumetricReplicationPadding(1), (4, 4, 4)),
        (nn.SpatialUpSamplingNearest(2), (4, 4)),
        (nn.SpatialUpSamplingBilinear(2), (1, 2, 2, 4, 4)),
        (nn.UpSampling(2), (2, 4, 4)),
        (nn.PixelShuffle(2), (6, 4, 4)),
    ],
    ids=lambda value: str(value) if isinstance(value, nn.Module) else "x".join(map(str, value)),
)
def test_bad_shapes(module, shape):
    with pytest.raises(luann.ShapeError, match="wanted .*, got " + "x".join(map(str, shape))):
        module.forward(torch.randn(shape))


def test_volumes_need_a_depth():
    with pytest.raises(luann.ArgumentError, match="give odepth"):
        nn.UpSampling({"oheight": 3, "owidth": 3}, "linear").forward(torch.randn(1, 1, 2, 2, 2))
