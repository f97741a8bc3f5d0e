import copy
import math

import pytest
import records
import torch
import torch.nn.functional as F
from against_torch import agrees

import luann
from luann import nn


@records.of(
    "nn",
    "BatchNormalization",
    "LayerNormalization",
    "Normalize",
    "SpatialBatchNormalization",
    "SpatialContrastiveNormalization",
    "SpatialCrossMapLRN",
    "SpatialDivisiveNormalization",
    "SpatialDropout",
    "SpatialSubtractiveNormalization",
    "VolumetricBatchNormalization",
    "VolumetricDropout",
)
def test_record(case):
    records.check_module(case)


@pytest.mark.parametrize("size, beta", [(3, 0.75), (5, 0.5), (9, 1.2)])
def test_lrn_agrees_with_torch(size, beta):
    def lrn(x):
        return F.local_response_norm(x if x.dim() == 4 else x[None], size, 0.2, beta, 1.5).view(x.shape)

    agrees(nn.SpatialCrossMapLRN(size, 0.2, beta, 1.5), lrn, (2, 7, 3, 4), (4, 3, 2), (1, 1, 2, 2))


@pytest.mark.parametrize("p", [1.5, 2, 3, 4, math.inf])
def test_normalize_agrees_with_autograd(p):
    def normalized(x):
        if p == math.inf:
            return x / x.abs().amax(-1, True)
        return x / x.abs().pow(p).sum(-1, True).pow(1 / p)

    # a small eps, as Torch7's gradients take some terms with it that are not there, and some without
    eps = 1e-14
    shapes = ((3, 4), (1, 5), (2, 3))
    agrees(nn.Normalize(p, eps), normalized, *shapes)
    m = nn.Normalize(p, eps).double()
    x = torch.randn(4, dtype=torch.float64)
    row = m.forward(x[None]).clone(), m.backward(x[None], x.sort()[0][None]).clone()
    assert torch.equal(m.forward(x), row[0][0])
    assert torch.equal(m.backward(x, x.sort()[0]), row[1][0])


def estimated(x, kernel):
    """The sums of the neighbourhoods over all planes, and of the kernel alone."""
    matrix = kernel if kernel.dim() == 2 else torch.outer(kernel, kernel)
    weight = matrix.expand(1, x.shape[1], *matrix.shape).to(x)
    ones = torch.ones_like(x[:1])
    return (F.conv2d(t, weight, padding=[n // 2 for n in matrix.shape]) for t in (x, ones))


def subtractive(x, kernel):
    sums, weights = estimated(x, kernel / (kernel.sum() * x.shape[1]))
    return x - sums / weights


def divisive(x, kernel, threshold):
    kernel = kernel / (kernel.sum() * x.shape[1] ** (1 if kernel.dim() == 2 else 0.5))
    squares, _ = estimated(x * x, kernel)
    _, weights = estimated(x, kernel)
    deviation = squares.sqrt() / weights
    return x / torch.where(deviation > threshold, deviation, torch.full_like(deviation, threshold))


@pytest.mark.parametrize("size", [(3, 5), (5,)])
def test_normalization_by_neighbourhoods(size):
    kernel = torch.rand(size) + 0.1
    kept = kernel.clone()
    n = 2
    shapes = (1, n, 5, 6), (3, n, 5, 6), (2, n, 5, 6), (2, n, 7, 5)  # the batch alone changes, too
    agrees(nn.SpatialSubtractiveNormalization(n, kernel), lambda x: subtractive(x, kernel), *shapes)
    agrees(nn.SpatialDivisiveNormalization(n, kernel, 0.3), lambda x: divisive(x, kernel, 0.3), *shapes)
    both = nn.SpatialContrastiveNormalization(n, kernel, 0.3)
    agrees(both, lambda x: divisive(subtractive(x, kernel), kernel, 0.3), *shapes)
    assert torch.equal(kernel, kept), "Torch7 changes the caller's kernel"
    x = torch.randn(3, n, 6, 6, dtype=torch.float64)
    batch = both.forward(x).clone()
    torch.testing.assert_close(torch.stack([both.forward(image).clone() for image in x]), batch)
    torch.testing.assert_close(both.clearState().forward(x), batch)


@pytest.mark.parametrize("cls, plane", [(nn.SpatialDropout, (3, 2)), (nn.VolumetricDropout, (2, 3, 2))])
def test_dropout_of_planes(cls, plane):
    m = cls(0.3)
    x = torch.randn(50, 4, *plane)
    y = m.forward(x)
    kept = y.flatten(2).any(-1)
    assert torch.equal(y, torch.where(kept.view(50, 4, *[1] * len(plane)), x, 0))
    assert 100 < kept.sum() < 180
    assert torch.equal(m.backward(x, x), y)
    assert m.forward(x[0]).shape == (4, *plane)
    m.evaluate()
    torch.testing.assert_close(m.forward(x), 0.7 * x)
    with pytest.raises(luann.ModuleError, match="training"):
        m.backward(x, x)
    with pytest.raises(luann.ShapeError):
        cls().forward(torch.randn(plane))
    with pytest.raises(luann.ArgumentError):
        cls(1.5)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Normalize(0),
        lambda: nn.Normalize(None),
        lambda: nn.SpatialCrossMapLRN(0),
        lambda: nn.LayerNormalization(0),
        lambda: nn.SpatialSubtractiveNormalization(1, torch.ones(4, 3)),
        lambda: nn.SpatialDivisiveNormalization(1, torch.ones(3, 3, 3)),
        lambda: nn.SpatialContrastiveNormalization(1, [1, 2, 1]),
    ],
)
def test_bad_arguments(make):
    with pytest.raises(luann.ArgumentError, match=r"^nn\.\w+: "):
        make()


@pytest.mark.parametrize(
    "module, shape",
    [
        (nn.Normalize(2), (2, 3, 4)),
        (nn.SpatialCrossMapLRN(3), (3, 4)),
        (nn.SpatialSubtractiveNormalization(2), (3, 9, 9)),
        (nn.SpatialDivisiveNormalization(2), (2, 9)),
        (nn.VolumetricBatchNormalization(2), (3, 2, 4, 4)),
    ],
    ids=lambda value: value._typename if isinstance(value, nn.Module) else "x".join(map(str, value)),
)
def test_bad_shapes(module, shape):
    with pytest.raises(luann.ShapeError, match="wanted .*, got " + "x".join(map(str, shape))):
        module.forward(torch.randn(shape))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [(40, 6, 17, 13), (2, 3, 100, 90), (3, 2, 9, 40, 40), (2, 2, 1, 30000)], ids=str)
def test_statistics_of_large_batches(size, dtype):
    """They are found in another way; far from zero, where floats are coarse, they must be right all the same."""
    x = torch.randn(size, dtype=dtype) * 3 + 50
    module = (nn.SpatialBatchNormalization if len(size) == 4 else nn.VolumetricBatchNormalization)(size[1], None, 0.3)
    module.type(dtype)
    twin = copy.deepcopy(module).double()
    rtol, atol = (1e-4, 2e-5) if dtype is torch.float32 else (1e-11, 1e-11)
    parts = x.double().transpose(0, 1).flatten(1)
    for _ in range(2):
        got = module.forward(x)
        wanted = torch.batch_norm(
            x.double(), twin.weight, twin.bias, twin.running_mean, twin.running_var, True, 0.3, 1e-5, False
        )
        torch.testing.assert_close(got.double(), wanted, rtol=rtol, atol=atol)
        torch.testing.assert_close(module.running_mean.double(), twin.running_mean, rtol=rtol, atol=0)
        torch.testing.assert_close(module.running_var.double(), twin.running_var, rtol=rtol, atol=0)
        torch.testing.assert_close(module.save_mean.double(), parts.mean(1), rtol=rtol, atol=0)
        std = (parts.var(1, correction=0) + 1e-5).rsqrt()
        torch.testing.assert_close(module.save_std.double(), std, rtol=rtol, atol=0)
    with pytest.raises(luann.errors.Error):
        module.type(torch.float32 if dtype is torch.float64 else torch.float64).forward(x)
