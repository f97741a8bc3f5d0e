"""``channels_last``: the same outputs and gradients, in another order in memory."""

import pytest
import torch

import luann
from luann import nn, t7

LAST = torch.channels_last


def conv(a, b, k=3, step=1):
    return nn.SpatialConvolution(a, b, k, k, step, step, k // 2, k // 2)


def unit(a, b, k=3, step=1):
    return nn.Sequential().add(conv(a, b, k, step)).add(nn.SpatialBatchNormalization(b)).add(nn.ReLU(True))


def vgg():
    net = nn.Sequential().add(unit(3, 20)).add(nn.SpatialMaxPooling(2, 2)).add(unit(20, 17)).add(unit(17, 16))
    net.add(nn.SpatialMaxPooling(3, 3, 2, 2).ceil()).add(conv(16, 8)).add(nn.Tanh()).add(nn.SpatialAveragePooling(2, 2))
    return net.add(nn.Mean(4)).add(nn.Mean(3)).add(nn.Linear(8, 5)).add(nn.LogSoftMax())


def classifier():
    net = nn.Sequential().add(unit(3, 6, 5)).add(nn.SpatialMaxPooling(2, 2)).add(nn.View(6 * 64).setNumInputDims(3))
    return net.add(nn.Linear(6 * 64, 4)).add(nn.Reshape(2, 2))


def block(a, b, step, in_place):
    body = nn.Sequential().add(unit(a, b, 3, step)).add(conv(b, b)).add(nn.SpatialBatchNormalization(b))
    short = nn.Identity() if a == b else nn.Sequential().add(nn.SpatialConvolution(a, b, 1, 1, step, step))
    ways = nn.ConcatTable().add(body).add(short)
    return nn.Sequential().add(ways).add(nn.CAddTable(in_place)).add(nn.ReLU(in_place))


def resnet():
    net = nn.Sequential().add(unit(3, 8)).add(block(8, 8, 1, True)).add(block(8, 16, 2, False))
    return (
        net.add(block(16, 16, 1, False)).add(nn.SpatialAveragePooling(4, 4, 2, 2)).add(nn.SpatialBatchNormalization(16))
    )


def inception():
    pooled = nn.Sequential().add(nn.SpatialMaxPooling(3, 3, 1, 1, 1, 1)).add(unit(6, 3, 1))
    ways = nn.Concat(2).add(unit(6, 4, 1)).add(nn.Sequential().add(unit(6, 4, 1)).add(unit(4, 5))).add(pooled)
    return nn.Sequential().add(unit(3, 6)).add(ways).add(unit(12, 4))


def others():
    """Layers that keep the usual order, between some that do not."""
    net = nn.Sequential().add(unit(3, 6)).add(nn.SpatialCrossMapLRN(3)).add(nn.SpatialZeroPadding(1, 1, 1, 1))
    net.add(conv(6, 4)).add(nn.PReLU(4)).add(nn.SpatialUpSamplingNearest(2)).add(nn.SpatialFullConvolution(4, 3, 2, 2))
    net.add(nn.SpatialDilatedConvolution(3, 4, 3, 3, 1, 1, 2, 2, 2, 2)).add(nn.SpatialDepthWiseConvolution(4, 2, 3, 3))
    net.add(nn.Transpose((2, 3))).add(nn.Transpose((2, 3))).add(nn.SpatialSubtractiveNormalization(8))
    return net.add(nn.ConcatTable().add(conv(8, 2)).add(conv(8, 2, 1))).add(nn.CMulTable()).add(nn.SpatialSoftMax())


def graph():
    x = nn.Identity()()
    a = unit(3, 5)(x)
    b, c = conv(5, 5)(a), nn.Sigmoid()(a)
    return nn.gModule([x], [nn.CAddTable()([a, b, c]), nn.JoinTable(2)([b, c])])


NETS = [vgg, classifier, resnet, inception, others, graph]
SIZES = {classifier: [(4, 3, 16, 16), (2, 3, 16, 16)], graph: [(2, 3, 8, 8), (5, 3, 7, 9)]}


def step(net, input):
    """Output, gradients with respect to input and parameters, statistics."""
    net.zeroGradParameters()
    output = net.forward(input)
    torch.manual_seed(5)
    if isinstance(output, list):
        gradInput = net.backward(input, [torch.randn(o.shape, dtype=o.dtype) for o in output])
    else:
        gradInput = net.backward(input, torch.randn(output.shape, dtype=output.dtype))
    statistics = [m.running_var for m in net.listModules() if hasattr(m, "running_var")]
    return output, gradInput, list(net.parameters()[1]), statistics


@pytest.mark.parametrize("flops", [0, None], ids=["large", "small"])
@pytest.mark.parametrize("dtype", [torch.double, torch.float])
@pytest.mark.parametrize("make", NETS)
def test_agrees_with_the_usual_layout(make, dtype, flops, monkeypatch):
    if flops is not None:  # every convolution counts as a large one
        monkeypatch.setattr(nn._kernels, "CONVOLUTION_FLOPS", flops)
        nn._kernels._plan.cache_clear()
    torch.manual_seed(2)
    usual = make().type(dtype)
    usual.forward(torch.randn(4, 3, 16, 16, dtype=dtype))
    usual.backward(torch.randn(4, 3, 16, 16, dtype=dtype), usual.output)
    other = usual.clone()
    assert other.channels_last() is other
    tolerance = 1e-9 if dtype is torch.double else 2e-3  # sums in another order
    close = {"rtol": tolerance, "atol": tolerance}
    sizes = SIZES.get(make, [(4, 3, 16, 16), (2, 3, 20, 18), (4, 3, 16, 16)])
    for mode in ("training", "evaluate"):
        for size in sizes:
            input = torch.randn(size, dtype=dtype)
            for net in (usual, other):
                getattr(net, mode)()
            if make is others and mode == "evaluate":
                wanted = usual.forward(input)
                torch.testing.assert_close(other.forward(input), wanted, **close)
            else:
                torch.testing.assert_close(step(other, input), step(usual, input), **close)
    images = [m for m in other.listModules() if isinstance(m, nn.SpatialConvolution) and m.output.dim() == 4]
    assert images and all(m.output.is_contiguous(memory_format=LAST) for m in images)
    assert any(not m.output.is_contiguous() for m in images)
    nn._kernels._plan.cache_clear()


@pytest.mark.parametrize("make", [vgg, resnet, inception])
def test_layers_keep_to_it(make):
    net = make().channels_last()
    for train in (True, False):
        (net.training if train else net.evaluate)()
        input = torch.randn(4, 3, 16, 16)
        net.backward(input, torch.randn_like(net.forward(input)))
        kinds = (
            nn.SpatialConvolution,
            nn.SpatialBatchNormalization,
            nn.ReLU,
            nn.SpatialMaxPooling,
            nn.CAddTable,
            nn.Concat,
        )
        for module in net.listModules():
            if isinstance(module, kinds) and module.output.shape[2] > 1:
                assert module.output.is_contiguous(memory_format=LAST) and not module.output.is_contiguous(), str(
                    module
                )
                if getattr(module, "inplace", False):
                    continue  # its gradient is what it was given, in a Concat a part of something larger
                grads = module.gradInput if isinstance(module.gradInput, list) else [module.gradInput]
                assert all(g.is_contiguous(memory_format=LAST) for g in grads), str(module)


def test_parameters_files_and_undoing(tmp_path):
    torch.manual_seed(3)
    net, input = vgg(), torch.randn(4, 3, 16, 16)
    flat, grads = net.getParameters()
    before, address = flat.clone(), flat.data_ptr()
    net.channels_last()
    wanted = net.forward(input).clone()
    net.backward(input, torch.ones_like(wanted))
    assert flat.data_ptr() == address and torch.equal(flat, before) and grads.abs().max() > 0
    assert net.parameters()[0][0].data_ptr() == address and all(p.is_contiguous() for p in net.parameters()[0])
    flat.mul_(0.5)  # what optim does: the next forward must see it
    assert not torch.allclose(net.forward(input), wanted)

    file = str(tmp_path / "net.t7")
    t7.save(file, net)
    loaded, twin = t7.load(file), net.clone()
    for module in (loaded, twin, net):
        module.evaluate()
        module.forward(input)
    first = [m.get(1).get(1).output for m in (loaded, twin, net)]
    assert [t.is_contiguous() for t in first] == [True, False, False]
    torch.testing.assert_close(loaded.output, net.output, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(twin.output, net.output)

    net.channels_last(False)
    assert all(m.output.is_contiguous() for m in net.listModules())
    net.forward(input)
    assert all(m.output.is_contiguous() for m in net.listModules())
    torch.testing.assert_close(net.output, loaded.output)


def test_single_images_and_other_inputs():
    torch.manual_seed(4)
    usual = nn.Sequential().add(conv(3, 4)).add(nn.ReLU()).add(nn.SpatialMaxPooling(2, 2)).add(conv(4, 2))
    other = usual.clone().channels_last()
    for size in [(3, 6, 6), (2, 3, 6, 6), (1, 3, 2, 2), (3, 8, 8)]:
        input = torch.randn(size)
        torch.testing.assert_close(step(other, input), step(usual, input), rtol=1e-4, atol=1e-5)
    strided = torch.randn(2, 6, 6, 3).permute(0, 3, 1, 2)
    torch.testing.assert_close(step(other, strided), step(usual, strided), rtol=1e-4, atol=1e-5)


def test_a_convolution_of_its_own_output():
    """The old output is given up only where it is not the input."""
    torch.manual_seed(4)
    layer, again = (lambda c: (c, c.clone()))(conv(4, 4))
    image = torch.randn(8, 4, 64, 64)
    wanted = again.forward(again.forward(image).clone()).clone()
    torch.testing.assert_close(layer.forward(layer.forward(image)), wanted, rtol=1e-4, atol=1e-4)
    for _ in range(2):
        grads = layer.backward(image, layer.backward(image, wanted))
    torch.testing.assert_close(
        grads, again.backward(image, again.backward(image, wanted).clone()), rtol=1e-3, atol=1e-3
    )


def test_types():
    with pytest.raises(luann.Error):
        nn.Sequential().add(conv(3, 4)).channels_last().double().forward(torch.randn(2, 3, 6, 6))
