"""``skipInputGradient``: the gradients of the parameters are the same, that with respect to the input is not made."""

import copy

import pytest
import torch

import luann
from luann import nn, t7


def conv(a, b):
    return nn.SpatialConvolution(a, b, 3, 3, 1, 1, 1, 1)


def first_conv():
    return nn.Sequential().add(conv(2, 3)).add(nn.ReLU(True)).add(conv(3, 2))


def after_views():
    net = nn.Sequential().add(nn.Identity()).add(nn.Sequential().add(nn.View(-1, 2 * 6 * 6)).add(nn.Reshape(72, True)))
    return net.add(nn.Linear(72, 5)).add(nn.Tanh()).add(nn.Linear(5, 2))


def after_padding():
    net = nn.Sequential().add(nn.SpatialZeroPadding(1, 1, 1, 1)).add(nn.SpatialMaxPooling(2, 2))
    return net.add(nn.Copy("torch.DoubleTensor", "torch.DoubleTensor")).add(nn.SpatialBatchNormalization(2))


def branches():
    ways = nn.ConcatTable().add(conv(2, 3)).add(nn.Sequential().add(nn.Identity()).add(conv(2, 3)))
    return nn.Sequential().add(ways).add(nn.CAddTable()).add(conv(3, 2))


def shortcut():
    ways = nn.ConcatTable().add(conv(2, 2)).add(nn.Identity()).add(nn.Sequential().add(nn.Tanh()).add(nn.Abs()))
    return nn.Sequential().add(ways).add(nn.CAddTable(True)).add(conv(2, 2))


def inception():
    pooled = nn.Sequential().add(nn.SpatialMaxPooling(3, 3, 1, 1, 1, 1)).add(conv(2, 1))
    return nn.Sequential().add(nn.Concat(2).add(conv(2, 2)).add(pooled).add(nn.SpatialMaxPooling(3, 3, 1, 1, 1, 1)))


def towers():
    pair = nn.ConcatTable().add(nn.Identity()).add(nn.MulConstant(2))
    two = nn.ParallelTable().add(conv(2, 3)).add(nn.Sequential().add(nn.Square()).add(conv(2, 3)))
    return nn.Sequential().add(pair).add(two).add(nn.CSubTable()).add(conv(3, 2))


def graph():
    x = nn.Identity()()
    scaled = nn.MulConstant(0.5)(x)
    a, b = conv(2, 3)(scaled), conv(2, 3)(x)
    both = nn.CMulTable()([a, b])
    return nn.gModule([x], [conv(3, 2)(both)])


def graph_of_tables():
    x = nn.Identity()()
    one, two = nn.SplitTable(2)(x).split(2)
    left, right = nn.Linear(36, 3)(nn.View(-1, 36)(one)), nn.Linear(36, 3)(nn.View(-1, 36)(two))
    return nn.Sequential().add(nn.Identity()).add(nn.gModule([x], [nn.CAddTable()([left, right])])).add(nn.Tanh())


NETS = [first_conv, after_views, after_padding, branches, shortcut, inception, towers, graph, graph_of_tables]


def gradients(net, input, gradOutput, how):
    net.zeroGradParameters()
    net.forward(input)
    if how == "backward":
        given = net.backward(input, gradOutput, 2)
    else:
        given = net.updateGradInput(input, gradOutput)
        net.accGradParameters(input, gradOutput, 2)
    return given, [g.clone() for g in net.parameters()[1]]


@pytest.fixture(autouse=True)
def double():
    luann.setdefaulttensortype("torch.DoubleTensor")
    yield
    luann.setdefaulttensortype("torch.FloatTensor")


@pytest.mark.parametrize("how", ["backward", "two calls"])
@pytest.mark.parametrize("make", NETS)
def test_parameters_get_the_same_gradients(make, how, tmp_path):
    torch.manual_seed(3)
    net, input = make(), torch.randn(3, 2, 6, 6)
    gradOutput = torch.randn_like(net.forward(input))
    before, wanted = gradients(copy.deepcopy(net), input, gradOutput, how)
    assert before.shape == input.shape and all(g.abs().max() > 0 for g in wanted)

    skipping = net.clone()
    assert skipping.skipInputGradient() is skipping
    file = str(tmp_path / "net.t7")
    t7.save(file, skipping)
    variants = [skipping, skipping.clone(), t7.load(file), skipping.clone().float().double()]
    for i, variant in enumerate(variants):
        for _ in range(2):
            given, found = gradients(variant, input, gradOutput, how)
            assert given is None and variant.gradInput is None
            tolerance = 1e-5 if i == 3 else 1e-12
            torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)
    if variant.findModules("nn.gModule")[0]:
        return  # backwardUpdate of a graph changes no parameters, as in Torch7
    variant = t7.load(file)
    before = [p.clone() for p in variant.parameters()[0]]
    variant.forward(input)
    variant.backwardUpdate(input, gradOutput, 0.5)
    for p, old, g in zip(variant.parameters()[0], before, wanted):
        torch.testing.assert_close(p, old - 0.25 * g, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("make", NETS)
def test_saved_as_torch7_says_it(make, tmp_path):
    file = str(tmp_path / "net.t7")
    net = make().skipInputGradient()
    skipped = [m.gradInput is None for m in net.listModules()]
    assert any(skipped)
    t7.save(file, net)
    assert [m.gradInput is None for m in t7.load(file).listModules()][: len(skipped)] == skipped


def mixed_graph():
    x = nn.Identity()()
    return nn.gModule([x], [nn.CAddTable()([conv(2, 2)(x), nn.Tanh()(x)])])


class Needing(nn.PReLU):
    """Computes its gradInput, whatever is asked for."""

    def updateGradInput(self, input, gradOutput):
        return super().updateGradInput(input, gradOutput)


def unable():
    return nn.Sequential().add(nn.Tanh()).add(nn.ConcatTable().add(conv(2, 2)).add(Needing())).add(nn.CAddTable())


@pytest.mark.parametrize("make", [mixed_graph, unable, nn.Tanh, Needing, lambda: nn.Sequential()])
def test_what_cannot_do_without_stays_as_it_is(make):
    torch.manual_seed(4)
    net, input = make(), torch.randn(3, 2, 6, 6)
    gradOutput = torch.randn_like(net.forward(input))
    wanted = net.clone()
    wanted.forward(input)
    wanted = wanted.backward(input, gradOutput)
    net.skipInputGradient()
    net.forward(input)
    torch.testing.assert_close(net.backward(input, gradOutput), wanted)


def test_a_missing_gradient_is_not_swallowed():
    net = nn.Sequential().add(nn.Linear(3, 3)).add(nn.Tanh()).add(nn.Linear(3, 2))
    net.get(3).gradInput = None  # somebody's mistake: the first layer would not learn
    net.forward(torch.randn(2, 3))
    with pytest.raises(luann.Error):
        net.backward(torch.randn(2, 3), torch.randn(2, 2))
