import numpy as np
import pytest
import records
import torch
from against_torch import agrees

import luann
from luann import nn
from luann.contrib import deepmask


@records.of("rocks/deepmask", "SpatialSymmetricPadding")
def test_record(case):
    records.check(case)


@pytest.fixture(autouse=True)
def double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(7)
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize("pads", [(1, 2, 3, 0), (2, -1, -1, 3), (0, 0, 2, 2)])
def test_padding_is_numpy_s_symmetric(pads):
    left, right, top, bottom = pads
    x = torch.randn(2, 1, 5, 4)
    cut = x[:, :, max(-top, 0) : 5 + min(bottom, 0), max(-left, 0) : 4 + min(right, 0)]
    sides = ((0, 0), (0, 0), (max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0)))
    wanted = torch.from_numpy(np.pad(cut.numpy(), sides, "symmetric"))
    module, zeros = deepmask.SpatialSymmetricPadding(*pads), nn.SpatialZeroPadding(*pads)
    assert torch.equal(module.forward(x), wanted)
    g = torch.randn_like(wanted)
    zeros.forward(x)
    assert torch.equal(module.backward(x, g), zeros.backward(x, g))


def test_padding_of_one_row_mirrors_what_is_there_yet():
    module = deepmask.SpatialSymmetricPadding(0, 0, 3, 3)
    # above: the row, and two of the padding below, which is zero then; below: the row, then two of what is above
    assert module.forward(torch.ones(1, 1, 1, 1)).flatten().tolist() == [0, 0, 1, 1, 1, 1, 0]
    with pytest.raises(luann.Error, match="larger than the padding"):
        deepmask.SpatialSymmetricPadding(0, 0, 2, 0).forward(torch.ones(1, 1, 1, 4))


def test_constants():
    module = deepmask.SpatialConstDiagonal(3)
    module.a.copy_(torch.tensor([2.0, 3, -1]).view(1, 3, 1, 1))
    agrees(module, lambda x: x * module.a, (2, 3, 4, 4))
    assert "inplace" not in module.__dict__
    x = torch.ones(1, 3, 1, 1)
    deepmask.SpatialConstDiagonal(3, True).forward(x).mul_(2)
    assert x.flatten().tolist() == [2, 2, 2]


def test_batch_normalisation_becomes_constants():
    bn = nn.SpatialBatchNormalization(3, 0)
    bn.running_mean.normal_()
    bn.running_var.uniform_(1, 2)
    bn.bias.normal_()
    net = nn.Sequential().add(nn.SpatialConvolution(2, 3, 1, 1)).add(bn)
    net.evaluate()
    x = torch.randn(2, 2, 4, 4)
    wanted = net.forward(x).clone()
    torch.testing.assert_close(deepmask.BNtoFixed(net).forward(x), wanted)
    assert net.modules[1]._typename == "nn.SpatialConstDiagonal"


def test_deepmask_and_its_net_for_scenes():
    trunk = (
        nn.Sequential().add(nn.SpatialConvolution(3, 1024, 7, 7, 8, 8, 3, 3)).add(nn.SpatialBatchNormalization(1024))
    )
    for _ in range(4):
        trunk.add(nn.Identity())
    net = deepmask.DeepMask({"iSz": 32, "oSz": 4, "gSz": 7, "batch": 2}, trunk)
    net.evaluate()
    assert [m._typename for m in net.trunk.modules[0].modules] == [
        "nn.SpatialSymmetricPadding",
        "nn.SpatialConvolution",
    ]
    assert net.fSz == 2
    x = torch.randn(2, 3, 32, 32)
    features = net.trunk.forward(x)
    masks, scores = net.maskBranch.forward(features).clone(), net.scoreBranch.forward(features).clone()
    assert (masks.shape, scores.shape) == ((2, 49), (2, 1))
    small = net.maskBranch.modules[0].output.clone()
    twin = net.clone("weight")
    twin.trunk.modules[-1].weight.zero_()
    assert not net.trunk.modules[-1].weight.any()
    twin = net.clone()
    assert len(net.parameters()[0]) == len(net.trunk.parameters()[0]) + 2 + 4
    net.trunk.modules[-1].weight.normal_()
    features = net.trunk.forward(x)
    small, scores = net.maskBranch.modules[0].forward(features).clone(), net.scoreBranch.forward(features).clone()
    crop = net.trunk.modules[2]
    assert crop._typename == "nn.SpatialZeroPadding"
    net.inference()
    assert [type(m).__name__ for m in net.scoreBranch.modules][1:3] == ["SpatialConvolution", "ReLU"]
    net.trunk.modules[2] = crop  # a scene is larger and is not cut; here it is one window
    features = net.trunk.forward(x)
    torch.testing.assert_close(net.maskBranch.forward(features).flatten(1), small)
    # the threshold of the score is a ReLU then: what was 1e-6 is 0
    torch.testing.assert_close(net.scoreBranch.forward(features).flatten(1), scores, atol=1e-4, rtol=0)
    assert twin.maskBranch.modules[1].modules[2].mode == "bilinear"


def test_sharpmask_agrees_with_autograd():
    fSz, batch = 2, 1
    trunk = nn.Sequential()
    sizes = {3: (64, 8 * fSz + 16), 5: (256, 4 * fSz + 8), 6: (512, 2 * fSz + 4), 8: (1024, fSz)}
    planes = 3
    for place in range(1, 9):
        if place in sizes:
            made, wanted = sizes[place]
            trunk.add(nn.Sequential().add(nn.SpatialConvolution(planes, made, 1, 1)))
            trunk.modules[-1].add(nn.SpatialAdaptiveAveragePooling(wanted, wanted))
            planes = made
        else:
            trunk.add(nn.Identity())
    trunk.add(nn.View(batch, -1)).add(nn.Linear(1024 * fSz * fSz, 512))
    base = deepmask.DeepMask.__new__(deepmask.DeepMask)
    base.__dict__.update(
        trunk=trunk, scoreBranch=nn.Linear(512, 1), maskBranch=nn.Sequential().add(nn.Identity()), fSz=fSz
    )
    net = deepmask.SharpMask({"km": 16, "ks": 16, "batch": batch, "gSz": 16 * fSz}, base)
    x = torch.randn(batch, 3, 64, 64)

    def mirrored(y):
        y = torch.cat((y[:, :, :1], y, y[:, :, -1:]), 2)
        return torch.cat((y[..., :1], y, y[..., -1:]), 3)

    def convolved(y, module):
        # the gradient does not go through the mirrored pixels
        inner = torch.nn.functional.pad(y, (1, 1, 1, 1))
        padded = inner + (mirrored(y) - inner).detach()
        return torch.conv2d(padded, module.weight, module.bias)

    def refined(x):
        now = trunk.forward(x).clone()
        seen = [trunk.modules[place - 1].output.clone() for place in (8, 6, 5, 3)]
        first = net.refs[0].modules[0]
        now = (now @ first.weight.t() + first.bias).view(batch, 16, fSz, fSz)
        for k in range(1, 5):
            across, down = (m.modules for m in net.refs[k].modules[0].modules)
            crop = {1: 0, 2: 2, 3: 4, 4: 8}[k]
            side = seen[k - 1][:, :, crop : seen[k - 1].shape[2] - crop, crop : seen[k - 1].shape[3] - crop]
            convolutions = [m for m in across if isinstance(m, nn.SpatialConvolution)]
            for i, module in enumerate(convolutions):
                side = convolved(side, module)
                side = side.relu() if i < 2 else side
            first, second = (m for m in down if isinstance(m, nn.SpatialConvolution))
            now = (convolved(convolved(now, first).relu(), second) + side).relu()
            now = now.repeat_interleave(2, 2).repeat_interleave(2, 3)
        last = net.refs[4].modules[-2]
        return convolved(now, last).view(batch, -1)

    with torch.enable_grad():
        leaves = [p.requires_grad_() for p in net.parameters()[0]]
        with torch.no_grad():
            trunk.forward(x)
        wanted = refined(x)
        g = torch.randn_like(wanted)
        grads = torch.autograd.grad(wanted, leaves, g)
    for p in leaves:
        p.requires_grad_(False)
    torch.testing.assert_close(net.forward(x), wanted.detach())
    net.zeroGradParameters()
    net.backward(x, g)
    torch.testing.assert_close(net.parameters()[1], list(grads))
    net.inference(3)
    assert list(net.refs[0].modules[1].size) == [3, 16, fSz, fSz]


SIZES = {"iSz": 32, "oSz": 4, "gSz": 8, "batch": 1}
PLANES = {"km": 16, "ks": 16, "gSz": 8, "batch": 1}


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: deepmask.DeepMask({}), "nn.DeepMask: 'iSz' is missing"),
        (lambda: deepmask.DeepMask(None), "wants a table of options, got NoneType"),
        (lambda: deepmask.DeepMask({**SIZES, "gSz": "x"}), "gSz must be a whole number"),
        (lambda: deepmask.DeepMask({**SIZES, "iSz": 15}), "iSz must be 16 or more, got 15"),
        (lambda: deepmask.DeepMask(SIZES, "resnet"), "trunk must be a module, got 'resnet'"),
        (lambda: deepmask.SharpMask({}), "nn.SharpMask: 'km' is missing"),
        (lambda: deepmask.SharpMask(PLANES), "'dm' is missing"),
        (lambda: deepmask.SharpMask(PLANES, nn.Linear(1, 1)), "must be a DeepMask"),
        (lambda: deepmask.SharpMask({**PLANES, "ks": 20}), "multiples of 16, got 16 and 20"),
    ],
)
def test_wrong_arguments(make, match):
    with pytest.raises(luann.ArgumentError, match=match):
        make()
