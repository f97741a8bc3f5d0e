"""``keepBuffers(False)``: the same numbers, and the memory of what a pass has used is given back."""

import copy
import pickle

import pytest
import torch

import luann
from luann import nn, t7
from luann.errors import ModuleError
from tools.bench import nets
from tools.bench.measure import peak
from tools.bench.sides import Luann, LuannFree, Native


def conv(a, b):
    return nn.SpatialConvolution(a, b, 3, 3, 1, 1, 1, 1)


def chain(*modules):
    net = nn.Sequential()
    for module in modules:
        net.add(module)
    return net


def vgg():
    first = chain(conv(2, 4), nn.SpatialBatchNormalization(4), nn.ReLU(True), nn.SpatialMaxPooling(2, 2))
    second = chain(conv(4, 5), nn.SpatialBatchNormalization(5), nn.ReLU(), nn.SpatialAveragePooling(2, 2))
    return chain(first, second, nn.View(20).setNumInputDims(3), nn.Linear(20, 6), nn.Dropout(0.5), nn.LogSoftMax())


def residual(first, second):
    ways = nn.ConcatTable().add(chain(conv(2, 2), first, conv(2, 2), nn.SpatialBatchNormalization(2))).add(second)
    return chain(ways, nn.CAddTable(True), nn.ReLU(True))


def resnet():
    shortcut = chain(conv(2, 2), nn.SpatialBatchNormalization(2))
    return chain(
        conv(2, 2), residual(nn.ReLU(True), nn.Identity()), residual(nn.Tanh(), shortcut), nn.Tanh(), conv(2, 1)
    )


def adding():
    ways = nn.ConcatTable().add(conv(2, 3)).add(chain(nn.Sigmoid(), conv(2, 3))).add(chain(conv(2, 3), nn.Tanh()))
    return chain(ways, nn.CAddTable(), nn.Sigmoid(), nn.ConcatTable().add(conv(3, 2)).add(conv(3, 1)), nn.JoinTable(2))


def inception():
    pooled = chain(nn.SpatialMaxPooling(3, 3, 1, 1, 1, 1), conv(2, 1), nn.Tanh())
    joined = nn.Concat(2).add(chain(conv(2, 2), nn.ReLU(True))).add(pooled).add(nn.SpatialMaxPooling(3, 3, 1, 1, 1, 1))
    return chain(conv(2, 2), joined, nn.ReLU(True), conv(5, 2))


def depths():
    return chain(nn.DepthConcat(2).add(conv(2, 2)).add(nn.SpatialConvolution(2, 3, 3, 3)), conv(5, 1))


def slices():
    return chain(nn.Parallel(2, 2).add(nn.Tanh()).add(chain(nn.Sigmoid(), nn.Square())), nn.Tanh())


def tables():
    two = nn.ConcatTable().add(conv(2, 3)).add(chain(conv(2, 3), nn.ReLU(True)))
    more = nn.ParallelTable().add(nn.ConcatTable().add(nn.Tanh()).add(nn.Identity())).add(chain(nn.Sigmoid()))
    cut = chain(nn.FlattenTable(), nn.MapTable(conv(3, 2)), nn.NarrowTable(2, 2), nn.JoinTable(1, 3))
    return chain(two, more, cut, nn.SplitTable(1, 3), nn.SelectTable(-1), nn.CMul(1))


def maxima():
    ways = nn.ConcatTable().add(conv(2, 2)).add(chain(nn.Square(), conv(2, 2))).add(nn.MulConstant(2))
    return chain(
        ways, nn.CMaxTable(), nn.RReLU(0.1, 0.4), nn.ConcatTable().add(nn.Tanh()).add(nn.Abs()), nn.CMulTable()
    )


def again():
    tanh, layer = nn.Tanh(), chain(conv(2, 2), nn.Sigmoid())
    return chain(conv(2, 2), tanh, layer, tanh, layer, conv(2, 2))


def side_by_side():
    tanh = nn.Tanh()
    return chain(conv(2, 2), tanh, tanh, nn.ConcatTable().add(nn.Square()).add(tanh), nn.CAddTable())


def decorated():
    bottle = nn.Bottle(chain(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)))
    cast = nn.DontCast(nn.Bottle(chain(nn.Linear(3, 4), nn.Tanh())).float(), True, True, "torch.FloatTensor")
    return chain(bottle, nn.Tanh(), cast, nn.NaN(nn.Sigmoid(), "s"), nn.WeightNorm(conv(2, 2)), nn.Tanh())


def unpooled():
    pool = nn.SpatialMaxPooling(2, 2)
    return chain(conv(2, 3), pool, nn.ReLU(), conv(3, 3), nn.SpatialMaxUnpooling(pool), conv(3, 1))


def composed():
    flat = chain(nn.View(72).setNumInputDims(3), nn.Linear(72, 6), nn.Tanh())
    return chain(flat, nn.LayerNormalization(6), nn.CReLU(1), nn.Maxout(12, 4, 3), nn.SoftMax(), nn.Normalize(2))


def handing_on():
    return chain(nn.Identity(), nn.Sequential(), conv(2, 2), nn.Identity(), nn.View(-1, 72), nn.Reshape(72), nn.Copy())


def graph():
    x = nn.Identity()()
    a, b = conv(2, 3)(x), nn.Tanh()(conv(2, 3)(x))
    inner = nn.gModule([x], [conv(3, 2)(nn.CMulTable()([a, b]))])
    return chain(conv(2, 2), nn.Tanh(), inner, nn.Tanh())


class Twice(nn.Sequential):
    """A container that goes its own way through its modules."""

    def updateOutput(self, input):
        super().updateOutput(input)
        self.output = self.modules[0].output + self.modules[-1].output
        return self.output

    def updateGradInput(self, input, gradOutput):
        first, second = self.modules
        grad = gradOutput + second.updateGradInput(first.output, gradOutput)
        self.gradInput = first.updateGradInput(input, grad)
        return self.gradInput

    def backward(self, input, gradOutput, scale=1):
        return self.updateGradInput(input, gradOutput)


def own_way():
    return chain(nn.Tanh(), Twice().add(nn.Tanh()).add(nn.Sigmoid()), nn.Tanh())


NETS = [
    vgg, resnet, adding, inception, depths, slices, tables, maxima, again, side_by_side, decorated, unpooled, composed,
    handing_on, graph, own_way,
]  # fmt: skip


@pytest.fixture(params=NETS, ids=lambda make: make.__name__)
def pair(request):
    """A net, and the same with its buffers given back."""
    luann.manualSeed(7)
    net = request.param().double()
    return net, net.clone().keepBuffers(False)


def flat(value):
    if isinstance(value, torch.Tensor):
        return [value]
    return [] if value is None else [tensor for entry in value for tensor in flat(entry)]


def equal(a, b):
    a, b = flat(a), flat(b)
    return len(a) == len(b) and all(map(torch.equal, a, b))


def step(net, input, weights, rate=0.1, how="backward"):
    """A step of training; returns what it computed."""
    luann.manualSeed(3)
    output = net.forward(input)
    kept = copy.deepcopy(output)
    given = [torch.cos(w * 9 + o) for w, o in zip(weights, flat(output))]
    gradOutput = given[0] if isinstance(output, torch.Tensor) else given
    net.zeroGradParameters()
    if how == "backward":
        gradInput = net.backward(input, gradOutput)
    elif how == "halves":
        gradInput = net.updateGradInput(input, gradOutput)
        net.accGradParameters(input, gradOutput, 0.5)
    else:
        gradInput = net.backwardUpdate(input, gradOutput, rate)
    assert equal(gradInput, net.gradInput)
    assert equal(kept, net.output)
    found = kept, copy.deepcopy(gradInput), copy.deepcopy(net.parameters()[1])
    if how != "backwardUpdate":
        net.updateParameters(rate)
    return found


def inputs(n):
    torch.manual_seed(n)
    return torch.randn(n, 2, 6, 6, dtype=torch.float64), [0.3, 0.7, -0.2]


def held(net):
    """The bytes that a net holds beyond its parameters and what it returned."""
    known = {t.untyped_storage().data_ptr() for t in flat(list(net.parameters()))}
    known |= {t.untyped_storage().data_ptr() for t in flat(net.output) + flat(net.gradInput)}
    sizes = {}

    def look(value):
        if isinstance(value, torch.Tensor):
            sizes[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        elif isinstance(value, (list, tuple, dict)):
            for entry in value.values() if isinstance(value, dict) else value:
                look(entry)

    for module in net.listModules():
        look([value for name, value in vars(module).items() if name not in ("modules", "module")])
        look(module._cache)
    return sum(size for place, size in sizes.items() if place not in known)


@pytest.mark.parametrize("how", ["backward", "halves", "backwardUpdate"])
def test_training_is_the_same(pair, how):
    if how == "backwardUpdate" and any(isinstance(module, nn.Bottle) for module in pair[0].listModules()):
        pytest.skip("Bottle's accUpdateGradParameters does not fold, as in Torch7")
    for n in (4, 2, 2, 5):
        input, weights = inputs(n)
        kept, freed = (step(net, input, weights, how=how) for net in pair)
        for a, b in zip(kept, freed, strict=True):
            assert equal(a, b)
    assert equal(pair[0].parameters()[0], pair[1].parameters()[0])


def test_inference_is_the_same(pair):
    for n in (4, 1, 3):
        input, weights = inputs(n)
        for net in pair:
            net.evaluate()
        assert equal(pair[0].forward(input), pair[1].forward(input))
        assert equal(pair[0].output, pair[1].output)
        for net in pair:
            net.training()
        assert equal(step(pair[0], input, weights), step(pair[1], input, weights))


def test_input_and_gradients_of_the_caller_are_left_alone(pair):
    input, weights = inputs(3)
    before = input.clone()
    step(pair[1], input, weights)
    pair[1].evaluate()
    pair[1].forward(input)
    assert torch.equal(input, before)


@pytest.mark.parametrize("make", [vgg, resnet, inception, tables, graph])
def test_memory_goes_down(make):
    input, weights = inputs(16)
    kept = make().double()
    freed = kept.clone().keepBuffers(False)
    for net in (kept, freed):
        step(net, input, weights)
    assert held(freed) < held(kept) / 8
    for net in (kept, freed):
        net.evaluate()
        net.forward(input)
    assert held(freed) < held(kept) / 8


@pytest.mark.parametrize("mode", ["train", "infer"])
@pytest.mark.parametrize(("make", "batch", "side"), [(nets.demo, 16, 32), (nets.lenet, 64, 28)])
def test_peak_is_that_of_autograd(make, batch, side, mode):
    data = torch.randn(batch, 1, side, side), torch.randint(1, 11, (batch,))
    kept, freed = (peak(lambda kind=kind: kind(make().ours().float(), *data), mode) for kind in (Luann, LuannFree))
    native = peak(lambda: Native(make().theirs().float(), *data), mode)
    # the gradients of the parameters are always there; a tenth of a percent is what modules hold that is small
    gradients = sum(4 * grad.numel() for grad in make().ours().parameters()[1])
    assert freed <= (native + gradients) * 1.001
    assert freed < kept * 0.7


def test_what_is_noted_for_backward_goes_too():
    input, weights = inputs(3)
    net = chain(nn.Dropout(), nn.SpatialMaxPooling(2, 2), maxima(), nn.Tanh()).double()
    step(net.keepBuffers(False), input, weights)
    inner = net.get(3)
    assert not net.get(1).noise.numel()
    assert net.get(2).indices is None
    assert not inner.get(2).maxIdx.numel()
    assert not inner.get(3).noise.numel()


def test_what_somebody_holds_stays():
    net = resnet().double().keepBuffers(False)
    input = inputs(2)[0]
    net.forward(input)
    inner = net.get(2).get(1).get(1).get(1).output
    numbers = inner.clone()
    net.backward(input, torch.ones_like(net.output))
    assert torch.equal(inner, numbers)
    assert net.get(2).get(1).get(1).get(1).output is not inner


def test_a_second_pass_backward_is_refused():
    net = vgg().double().keepBuffers(False)
    input, _ = inputs(3)
    g = torch.ones_like(net.forward(input))
    net.backward(input, g)
    for again in (net.backward, net.updateGradInput, net.accGradParameters):
        with pytest.raises(ModuleError, match=r"given back.*keepBuffers"):
            again(input, g)
    with pytest.raises(ModuleError, match="given back"):
        net.clone().backward(input, g)
    net.forward(input)
    net.updateGradInput(input, g)
    net.updateGradInput(input, g)
    net.accGradParameters(input, g)
    with pytest.raises(ModuleError, match="given back"):
        net.accUpdateGradParameters(input, g, 0.1)


@pytest.mark.parametrize("make", [vgg, inception, slices, depths, graph])
def test_backward_after_evaluation_is_refused(make):
    net = make().double().keepBuffers(False)
    net.evaluate()
    input, _ = inputs(3)
    g = torch.ones_like(net.forward(input))
    with pytest.raises(ModuleError, match=r"training\(\)|keepBuffers"):
        net.backward(input, g)
    net.keepBuffers(True)
    with pytest.raises(ModuleError):  # still those of that forward
        net.backward(input, g)
    whole = make().double()
    for mine, other in zip(whole.parameters()[0], net.parameters()[0]):
        mine.copy_(other)
    whole.evaluate()
    for each in (whole, net):
        each.zeroGradParameters()
        each.forward(input)
    if make is vgg:
        assert torch.equal(whole.output, net.output)
    assert equal(whole.backward(input, g), net.backward(input, g))


def test_undone_it_keeps_all_again():
    net = vgg().double().keepBuffers(False)
    input, weights = inputs(3)
    step(net, input, weights)
    assert not net.get(1).get(1).output.numel()
    assert net.keepBuffers() is net
    step(net, input, weights)
    step_output = net.get(1).get(1).output
    assert step_output.shape == (3, 4, 6, 6)
    assert net.get(1).get(1).gradInput.shape == input.shape


def test_copies_have_it_and_files_do_not(tmp_path):
    net = vgg().double().keepBuffers(False)
    input, weights = inputs(3)
    step(net, input, weights)
    for twin in (net.clone(), copy.deepcopy(net)):
        assert all(module._frees for module in twin.listModules())
    t7.save(tmp_path / "net.t7", net)
    for loaded in (t7.load(tmp_path / "net.t7"), pickle.loads(pickle.dumps(net))):
        assert not any(module._frees for module in loaded.listModules())
        assert equal(step(loaded, input, weights), step(net.clone(), input, weights))


def test_types_and_clearing():
    net = vgg().double().keepBuffers(False)
    input, weights = inputs(3)
    step(net, input, weights)
    net.float()
    found = step(net, input.float(), weights)
    assert found[0].dtype is torch.float32
    net.clearState()
    step(net, input.float(), weights)
    net.channels_last()
    step(net, input.float(), weights)


def test_it_goes_with_skipping_the_first_gradient():
    input, weights = inputs(3)
    kept = resnet().double()
    freed = kept.clone().keepBuffers(False)
    for net in (kept, freed):
        net.skipInputGradient()
    for _ in range(2):
        assert equal(step(kept, input, weights)[2], step(freed, input, weights)[2])
    assert freed.gradInput is None


def test_modules_that_occur_twice_keep_theirs():
    net = again().double().keepBuffers(False)
    assert [module._frees for module in net.modules] == [True, False, False, False, False, True]
    input, weights = inputs(3)
    step(net, input, weights)
    assert net.get(2).output.numel()
    assert not net.get(1).output.numel()


def test_places_that_unpooling_reads_are_kept():
    net = unpooled().double().keepBuffers(False)
    net.evaluate()
    net.forward(inputs(2)[0])
    assert net.get(2).indices.shape == (2, 3, 3, 3)
    alone = chain(nn.SpatialMaxPooling(2, 2), nn.Tanh()).double().keepBuffers(False)
    behind = nn.SpatialMaxUnpooling(alone.get(1)).double()
    alone.evaluate()
    with pytest.raises(ModuleError):
        behind.forward(alone.forward(inputs(2)[0]))


def test_containers_that_go_their_own_way_keep_all():
    net = own_way().double().keepBuffers(False)
    assert [module._frees for module in net.listModules()] == [True, True, False, True, True, True]
    net.forward(inputs(2)[0])
    assert net.get(2).get(1).output.numel()


class Remembering(nn.Tanh):
    """A layer that reads its last output again."""

    def updateOutput(self, input):
        last = self.output.clone()
        output = super().updateOutput(input)
        return output.add_(last) if last.shape == output.shape else output


def patched():
    layer = nn.Tanh()
    whole = layer.updateGradInput

    def updateGradInput(input, gradOutput):
        return whole(input, gradOutput).mul_(input)

    layer.updateGradInput = updateGradInput
    return layer


@pytest.mark.parametrize("make", [Remembering, patched])
def test_layers_that_somebody_wrote_keep_theirs(make):
    kept, freed = (chain(nn.Tanh(), make(), nn.Square()).double() for _ in range(2))
    freed.keepBuffers(False)
    for n in (2, 2, 3):
        input, weights = inputs(n)
        for a, b in zip(step(kept, input, weights), step(freed, input, weights), strict=True):
            assert equal(a, b)
    assert freed.get(2).output.numel()
    assert not freed.get(1).output.numel()


def test_a_gradient_that_is_a_list_keeps_its_form():
    data = [torch.randn(4, 3, dtype=torch.float64), torch.tensor([3, 1])]
    kept = chain(nn.ParallelTable().add(nn.Linear(3, 2)).add(nn.Identity()), nn.Index(1), nn.Tanh()).double()
    freed = kept.clone().keepBuffers(False)
    for _ in range(2):
        for net in (kept, freed):
            net.zeroGradParameters()
            net.backward(data, net.forward(data).clone())
        assert equal(kept.parameters()[1], freed.parameters()[1])
        assert equal(kept.gradInput, freed.gradInput)
