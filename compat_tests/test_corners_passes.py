"""Corners of passes through nets that a review found."""

import copy

import pytest
import torch

import luann
from luann import nn
from luann.nn import _kernels as kernels

LAYOUTS = {
    "channels-last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "ambiguous": lambda x: (
        torch.empty_strided(x.shape, (x[0].numel(), 1, x.shape[3], 1)).copy_(x) if x.shape[1] == 1 else x
    ),
    "permuted": lambda x: x.permute(1, 3, 2, 0).contiguous().permute(3, 0, 2, 1),
    "window": lambda x: torch.nn.functional.pad(x, (1, 2, 1, 1))[..., 1:-1, 1:-2],
    "slice": lambda x: torch.cat((x, x), 1)[:, : x.shape[1]],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("planes", [1, 4, 10])
@pytest.mark.parametrize(
    "make",
    [
        lambda c: nn.SpatialFullConvolution(c, 6, 3, 3, 2, 2, 1, 1),
        lambda c: nn.SpatialConvolution(c, 6, 3, 3, 1, 1, 1, 1),
        lambda c: nn.SpatialConvolutionMM(c, 6, 2, 2),
        lambda c: nn.SpatialDilatedConvolution(c, 6, 2, 2, 1, 1, 0, 0, 2, 2),
        lambda c: nn.SpatialMaxPooling(2, 2),
        lambda c: nn.SpatialAveragePooling(3, 3),
        lambda c: nn.SpatialBatchNormalization(c),
    ],
)
def test_whatever_the_order_of_memory(make, planes, layout):
    module, x = make(planes), torch.randn(3, planes, 6, 7)
    wanted = module.forward(x).clone()
    g = torch.randn(wanted.shape)
    gradient = module.backward(x, g).clone()
    other = LAYOUTS[layout](x)
    torch.testing.assert_close(module.forward(other), wanted)
    torch.testing.assert_close(module.backward(other, LAYOUTS[layout](g)), gradient)


def test_batch_normalisation_of_its_own_output():
    bn = nn.SpatialBatchNormalization(8)
    bn.bias.fill_(5)
    x = torch.randn(40, 8, 16, 16) * 3 + 5
    twin = copy.deepcopy(bn)
    wanted = twin.forward(twin.forward(x).clone())
    torch.testing.assert_close(bn.forward(bn.forward(x)), wanted)


def test_batch_statistics_far_from_zero():
    x = torch.randn(40, 4, 32, 32) + 1e4
    bn = nn.SpatialBatchNormalization(4)
    bn.forward(x)
    mean = x.double().mean((0, 2, 3))
    assert (bn.save_mean.double() - mean).abs().max() <= 5e-4  # half of what two floats differ by there


def test_adaptive_averages_keep_infinities_apart():
    x = torch.randn(1, 1, 21, 21)
    x[0, 0, 0, 0] = float("inf")
    m = nn.SpatialAdaptiveAveragePooling(7, 7)
    assert (~torch.isfinite(m.forward(x))).sum() == 1
    g = torch.ones(1, 1, 7, 7)
    g[0, 0, 6, 6] = float("nan")
    assert torch.isnan(m.backward(x, g)).sum() in (9, 16)
    for pool in (m, nn.SpatialAdaptiveMaxPooling(7, 7)):
        with pytest.raises(luann.errors.ShapeError):
            pool.forward(torch.randn(2, 4, 0, 21))


def test_skipped_input_gradient_of_a_layer_that_comes_again():
    for again in (nn.Linear(4, 4), nn.ReLU()):
        net = nn.Sequential().add(again).add(nn.Linear(4, 4)).add(again).add(nn.Linear(4, 4))
        x, g = torch.randn(3, 4), torch.randn(3, 4)
        net.forward(x)
        net.zeroGradParameters()
        net.backward(x, g)
        wanted = [p.clone() for p in net.parameters()[1]]
        net.skipInputGradient()
        net.forward(x)
        net.zeroGradParameters()
        net.backward(x, g)
        torch.testing.assert_close(net.parameters()[1], wanted)


def _deep():
    net = nn.Sequential()
    for layer in (nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 4), nn.Sigmoid(), nn.Linear(4, 3)):
        net.add(layer)
    return net


@pytest.mark.parametrize(
    "change",
    [
        lambda net: net.keepBuffers(True),
        lambda net: net.float(),
        lambda net: copy.deepcopy(net),
        lambda net: net.channels_last(),
        lambda net: net.skipInputGradient(),
    ],
    ids=["keepBuffers", "float", "copy", "channels_last", "skipInputGradient"],
)
def test_changes_between_forward_and_backward(change):
    """With buffers given back the numbers are right, or the error says what to do."""
    net, x, g = _deep(), torch.randn(5, 4), torch.randn(5, 3)
    net.forward(x)
    net.zeroGradParameters()
    net.backward(x, g)
    wanted = [p.clone() for p in net.parameters()[1]]
    net.keepBuffers(False)
    net.zeroGradParameters()
    net.forward(x)
    net = change(net)
    try:
        net.backward(x, g)
    except luann.errors.ModuleError as error:
        assert "keepBuffers" in str(error)
        net.forward(x)
        net.backward(x, g)
    torch.testing.assert_close(net.parameters()[1], wanted)


def test_a_wrong_gradOutput_does_not_end_the_pass():
    net, x = _deep().keepBuffers(False), torch.randn(5, 4)
    net.forward(x)
    with pytest.raises(luann.errors.Error, match="5x2"):
        net.backward(x, torch.randn(5, 2))
    assert net.backward(x, torch.randn(5, 3)).shape == x.shape


def test_a_part_in_evaluation_while_the_rest_is_trained():
    net = (
        nn.Sequential().add(nn.Sequential().add(nn.Linear(4, 4)).add(nn.Tanh())).add(nn.Linear(4, 3)).keepBuffers(False)
    )
    net.get(1).evaluate()
    x, g = torch.randn(2, 4), torch.randn(2, 3)
    net.forward(x)
    with pytest.raises(luann.errors.ModuleError, match="part"):
        net.backward(x, g)
    net.get(1).keepBuffers()
    net.forward(x)
    assert net.backward(x, g).shape == x.shape


def test_frozen_nets_want_images_as_large_as_the_kernel(monkeypatch):
    monkeypatch.setattr(kernels, "WINOGRAD", True)
    frozen = luann.freeze(nn.Sequential().add(nn.SpatialConvolution(64, 128, 3, 3)).float())
    frozen.forward(torch.randn(8, 64, 8, 8))
    with pytest.raises(luann.errors.ShapeError, match="kernel"):
        frozen.forward(torch.randn(8, 64, 2, 2))
