"""Classes of single projects: eyescream, mc-cnn, DenseNet, MSDNet, multipathnet, XNOR-Net."""

import pytest
import torch
import torch.nn.functional as F
from against_autograd import same, same_loss
from against_torch import agrees

import luann
from luann import nn
from luann.contrib import densenet, eyescream, mc_cnn, msdnet, multipathnet, xnor_net


@pytest.fixture(autouse=True)
def double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(2)
    yield
    torch.set_default_dtype(before)


def reloaded(tmp_path, module):
    luann.save(tmp_path / "m.t7", module)
    return luann.load(tmp_path / "m.t7")


def test_eyescream_s_convolutions_enlarge():
    module = eyescream.SpatialConvolutionUpsample(3, 2, 5, 5)

    def enlarged(x):
        y = F.conv2d(x, module.weight, module.bias, padding=2)
        return y.reshape(*x.shape[:-3], 2, 2 * x.shape[-2], 2 * x.shape[-1])

    for shape in (2, 3, 4, 6), (3, 5, 5):
        same(module, enlarged, torch.randn(shape))
    grouped = eyescream.CudnnSpatialConvolutionUpsample(4, 2, 3, 1, 3, 2)
    assert grouped._typename == "cudnn.SpatialConvolutionUpsample"
    same(
        grouped,
        lambda x: F.conv2d(x, grouped.weight, grouped.bias, padding=(0, 1), groups=2).reshape(2, 2, 12, 15),
        torch.randn(2, 4, 4, 5),
    )
    with pytest.raises(luann.Error, match="kW and kH must be odd, got 4 and 3"):
        eyescream.SpatialConvolutionUpsample(1, 1, 4, 3)


def test_mc_cnn_compares_patches():
    agrees(mc_cnn.Normalize2(), lambda x: x / (x.square().sum(1, keepdim=True) + 1e-5).sqrt(), (2, 3, 4, 5))
    agrees(mc_cnn.StereoJoin1(), lambda x: (x[::2] * x[1::2]).sum(1, keepdim=True), (4, 3, 2, 2), (2, 1, 1, 3))
    layer = mc_cnn.SpatialConvolution1_fw(3, 2)
    layer.weight.normal_()
    layer.bias.normal_()
    x = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(layer.forward(x), F.conv2d(x, layer.weight[..., None, None], layer.bias.flatten()))
    found = mc_cnn.StereoJoin(3).forward(x)
    for d in range(3):
        for c in range(5):
            if c < d:
                assert found[0, d, :, c].isnan().all()
            else:
                torch.testing.assert_close(found[0, d, :, c], (x[0, :, :, c] * x[1, :, :, c - d]).sum(0))
    assert mc_cnn.StereoJoin(9).forward(x)[0, 5:].isnan().all()


def test_mc_cnn_s_criterions():
    x = torch.randn(8, 1, 1, 1)
    excess = lambda x: (x[1::2] - x[::2] + 0.2).relu()  # noqa: E731
    same_loss(mc_cnn.Margin2(0.2, 1), lambda x, t: excess(x).mean(), x, None)
    same_loss(mc_cnn.Margin2(0.2, 2), lambda x, t: excess(x).square().mean() / 2, x, None)
    x, t = torch.rand(5), torch.rand(5)
    same_loss(mc_cnn.BCECriterion2(), F.binary_cross_entropy, x, t)


def test_signs_of_XNOR_Net():
    x = torch.tensor([-2.0, -1, -0.5, 0, 0.5, 1, 2])
    module = xnor_net.BinActiveZ()
    assert module.forward(x).tolist() == [-1, -1, -1, 0, 1, 1, 1]
    assert module.backward(x, torch.full((7,), 3.0)).tolist() == [0, 0, 3, 3, 3, 0, 0]


def test_regions_of_multipathnet():
    regions = torch.tensor([[1, 10, 20, 30, 60.0], [2, 0, 0, 4, 4]])
    four = multipathnet.Foveal().forward(regions)
    assert four[:4].tolist() == [
        [1, 10, 20, 30, 60],
        [1, 5, 10, 35, 70],
        [1, 0, 0, 40, 80],
        [1, -20, -40, 60, 120],
    ]
    for i, scale in enumerate((1, 1.5, 2, 4)):
        torch.testing.assert_close(multipathnet.ContextRegion(scale).forward(regions), four[i::4])
    assert str(multipathnet.ContextRegion(1.5)) == "nn.ContextRegion(1.5)"
    offsets = torch.tensor([[0.5, -0.25, 0, 0], [0, 0, 1, 2]])
    moved = multipathnet.ConvertFrom().forward([regions, offsets])
    assert moved[0].tolist() == [1, 20, 10, 40, 50]
    torch.testing.assert_close(moved[1, 3:] - moved[1, 1:3], 4 * torch.tensor([1.0, 2]).exp())
    assert (moved[1, 3:] + moved[1, 1:3]).tolist() == [4, 4]
    x = torch.randn(3, 8)
    mean, std = torch.randn(1, 4), torch.rand(1, 4)
    module = multipathnet.BBoxNorm(mean, std)
    assert torch.equal(module.forward(x), x)
    module.evaluate()
    kept = x.clone()
    torch.testing.assert_close(module.forward(x), x * std.repeat(1, 2) + mean.repeat(1, 2))
    assert torch.equal(x, kept)
    with pytest.raises(luann.Error, match="no gradient in evaluation"):
        module.backward(x, x)
    chosen = multipathnet.SelectBoxes().forward(
        [torch.tensor([[0, 1.0, 0], [1, 0, 0]]), torch.arange(24.0).view(2, 12)]
    )
    assert chosen.tolist() == [[4, 5, 6, 7], [12, 13, 14, 15]]


def test_regression_of_the_right_class():
    classes, x, t = torch.tensor([1, 3, 2]), torch.randn(3, 12), torch.randn(3, 12)
    mask = torch.zeros(3, 3, 4)
    mask[1, 2] = mask[2, 1] = 1
    criterion = multipathnet.BBoxRegressionCriterion()
    wanted = F.smooth_l1_loss(x * mask.view(3, 12), t, reduction="sum") / 3
    assert criterion.forward(x, [classes, t]) == pytest.approx(wanted.item())
    leaf = (x * mask.view(3, 12)).requires_grad_()
    with torch.enable_grad():
        (grad,) = torch.autograd.grad(F.smooth_l1_loss(leaf, t, reduction="sum") / 3, leaf)
    torch.testing.assert_close(criterion.backward(x, [classes, t]), grad)


def test_containers_of_multipathnet(tmp_path):
    inner = nn.Linear(3, 2)
    x = torch.randn(5, 3)
    module = multipathnet.NoBackprop(inner)
    assert torch.equal(module.forward(x), inner.forward(x))
    module.zeroGradParameters()
    assert not module.backward(x, torch.randn(5, 2)).any()
    assert not inner.gradWeight.any()
    old = multipathnet.NoBackprop.__new__(multipathnet.NoBackprop)
    old._restore({"inner": inner, "gradInput": torch.empty(0), "output": torch.empty(0)}, 1)
    assert old.modules == [inner]
    switch = multipathnet.ModeSwitch(nn.MulConstant(2), nn.MulConstant(3))
    assert torch.equal(switch.forward(x), 2 * x)
    assert torch.equal(switch.backward(x, x), 2 * x)
    switch.evaluate()
    assert torch.equal(reloaded(tmp_path, switch).forward(x), 3 * x)
    with pytest.raises(luann.Error, match="no gradient in evaluation"):
        switch.backward(x, x)
    split = multipathnet.SequentialSplitBatch(2).add(nn.Linear(3, 2)).add(nn.Tanh())
    whole = nn.Sequential()
    whole.modules = split.modules
    wanted = whole.forward(x).clone()
    torch.testing.assert_close(split.forward(x), wanted)
    torch.testing.assert_close(split.forward(x[:2]), wanted[:2])
    tables = multipathnet.SequentialSplitBatch(2).add(nn.SelectTable(2)).add(split)
    torch.testing.assert_close(tables.forward([torch.randn(1, 4), x]), wanted)


def normed(x, bn):
    return F.batch_norm(x, None, None, bn.weight, bn.bias, True, eps=bn.eps)


def through(module, x):
    """What a net of convolutions, normalisations and ReLUs does, in PyTorch."""
    for layer in module.modules:
        name = layer._typename.rpartition(".")[2]
        if name == "Sequential":
            x = through(layer, x)
        elif name == "SpatialConvolution":
            x = F.conv2d(x, layer.weight, layer.bias, (layer.dH, layer.dW), (layer.padH, layer.padW))
        elif name == "SpatialBatchNormalization":
            x = normed(x, layer)
        elif name == "ReLU":
            x = x.relu()
        elif name == "SpatialAveragePooling":
            x = F.avg_pool2d(x, 2, 1)
        elif name == "Reshape":
            x = x.flatten(1)
        elif name == "Linear":
            x = x @ layer.weight.t() + layer.bias
        else:
            raise NotImplementedError(name)
    return x


@pytest.mark.parametrize("memory", [1, 4])
@pytest.mark.parametrize("bottleneck", [True, False])
def test_dense_layer_agrees_with_autograd(bottleneck, memory):
    opt = luann.Table({"growthRate": 2, "bottleneck": bottleneck, "optMemory": memory})
    layer = densenet.DenseConnectLayerCustom(5, opt)

    def several(*tensors):
        x = torch.cat(tensors, 1)
        return [*tensors, through(layer.net2, through(layer.net1, x))]

    same(layer, several, torch.randn(2, 3, 4, 4), torch.randn(2, 2, 4, 4))
    same(layer, lambda x: [x, through(layer.net2, through(layer.net1, x))], torch.randn(2, 5, 3, 3))
    assert str(layer).startswith(
        "DenseConnectLayerCustom {\n  {input}\n    |`-> (1): nn.Sequential {\n    |      [input ->"
    )
    assert str(layer).endswith("\n     ... -> {output}\n}")


OPTIONS = {
    "nScales": 3,
    "grFactor": [1, 2, 4],
    "bnFactor": [1, 2, 4],
    "bottleneck": True,
    "joinType": "concat",
    "growthRate": 2,
    "nBlocks": 2,
    "base": 2,
    "step": 2,
    "stepmode": "even",
    "prune": "max",
    "reduction": 0.5,
    "dataset": "cifar10",
}


def first_layer(layer, x):
    found = []
    for module in layer.modules:
        x = through(module, x)
        found.append(x)
    return found


def layer_of_scales(layer, inputs):
    found = []
    for i, module in enumerate(layer.modules):
        i += layer.discard
        if isinstance(module, msdnet.CustomAdd):
            down, normal = module.modules[0].modules[0].modules
            found.append(torch.cat((inputs[i], through(down, inputs[i - 1]) + through(normal, inputs[i])), 1))
        else:
            paths = module.modules[0].modules[1:]
            sources = [inputs[i - 1], inputs[i]][-len(paths) :]
            found.append(torch.cat([inputs[i], *(through(p, x) for p, x in zip(paths, sources))], 1))
    return found


def block_of_layers(block, x):
    for layer in block.modules:
        if isinstance(layer, msdnet.MSDNet_Layer):
            x = layer_of_scales(layer, x)
        elif isinstance(layer, nn.ParallelTable):
            x = [through(m, t) for m, t in zip(layer.modules, x)]
        else:
            x = first_layer(layer, x)
    return x


def test_layers_of_msdnet_agree_with_autograd():
    opt = luann.Table(OPTIONS)
    first = msdnet.MSDNet_Layer_first(3, 2, opt)
    same(first, lambda x: first_layer(first, x), torch.randn(2, 3, 8, 8))
    initial = msdnet.MSDNet_Layer_initial(2, opt)
    same(initial, lambda x: [x, *first_layer_behind(initial, x)], torch.randn(2, 2, 8, 8))
    scales = [torch.randn(2, 2, 8, 8), torch.randn(2, 4, 4, 4), torch.randn(2, 8, 2, 2)]
    for join in "concat", "add":
        for before, after in (3, 3), (3, 2), (2, 2), (2, 1):
            layer = msdnet.MSDNet_Layer(2, 2, luann.Table({**OPTIONS, "joinType": join}), before, after)
            for module in layer.listModules():
                if isinstance(module, nn.CAddTable):
                    # in place it overwrites what the ReLU before it needs for its gradient, in the project too
                    module.inplace = False
            same(layer, lambda *x: layer_of_scales(layer, x), *scales[3 - before :])  # noqa: B023  used at once


def first_layer_behind(initial, x):
    found = []
    for module in initial.modules[1:]:
        x = through(module, x)
        found.append(x)
    return found


@pytest.mark.parametrize("prune", ["min", "max"])
def test_msdnet_agrees_with_autograd(prune, tmp_path):
    net = msdnet.JointTrainModule(4, luann.Table({**OPTIONS, "prune": prune}))

    def classified(x):
        found = []
        for block, classifier in zip(net.modules[:2], net.modules[2:]):
            x = block_of_layers(block, x)
            found.append(through(classifier, x[-1]))
        return found

    x = torch.randn(2, 3, 32, 32)
    same(net, classified, x)
    net.clearState()
    again = reloaded(tmp_path, net)
    assert type(again) is msdnet.JointTrainModule
    torch.testing.assert_close(again.forward(x), net.forward(x))
    assert str(again).startswith("JointTrainModule {\n  {input}\n    |`-> (1): nn.Sequential {")


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: densenet.DenseConnectLayerCustom(4, {}), "nn.DenseConnectLayerCustom: 'growthRate' is missing"),
        (lambda: densenet.DenseConnectLayerCustom(0, {"growthRate": 2}), "nChannels must be a whole number"),
        (lambda: msdnet.JointTrain(nn.Linear(1, 1), OPTIONS), "nn.JointTrain: nChannels must be a whole number"),
        (lambda: msdnet.JointTrain(4, None), "nn.JointTrain: wants a table of options"),
        (lambda: msdnet.JointTrainModule(4, {**OPTIONS, "stepmode": "odd"}), "stepmode must be even or lin_grow"),
        (lambda: msdnet.JointTrainModule(4, {**OPTIONS, "dataset": "mnist"}), "cifar100 or imagenet, got 'mnist'"),
        (lambda: msdnet.JointTrainModule(4, {**OPTIONS, "prune": 3}), "prune must be min or max, got 3"),
        (lambda: msdnet.MSDNet_Layer(4, 4, {**OPTIONS, "bnFactor": [1]}), "bnFactor must be a list of 3 entries"),
        (lambda: msdnet.MSDNet_Layer(4, 4, {**OPTIONS, "joinType": "sum"}), "joinType must be concat or add"),
        (lambda: msdnet.MSDNet_Layer_first(4, 4, {}), "'nScales' is missing"),
        (lambda: msdnet.MSDNet_Layer_initial(4, {"nScales": 1}), "'grFactor' is missing"),
        (lambda: multipathnet.BBoxNorm(1, 2), "mean must be a tensor of 1 x 4, got 1"),
        (lambda: multipathnet.BBoxNorm(torch.ones(4), torch.ones(3)), "std must be a tensor of 1 x 4, got 3 torch"),
        (lambda: multipathnet.ModeSwitch(1, 2), "train_module must be a module, got 1"),
        (lambda: multipathnet.ModeSwitch(nn.Tanh(), nn.Tanh), "test_module must be a module"),
        (lambda: multipathnet.NoBackprop(1), "inner must be a module"),
        (lambda: multipathnet.ContextRegion("x"), "scale must be a number"),
        (lambda: multipathnet.SequentialSplitBatch("x"), "size must be a whole number from 1 on, got 'x'"),
    ],
)
def test_wrong_arguments(make, match):
    with pytest.raises(luann.ArgumentError, match=match):
        make()
