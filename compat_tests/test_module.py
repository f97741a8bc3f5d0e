"""The contract of Module and Container: the manual's examples, and what ARCHITECTURE promises beyond them."""

import copy
import inspect
import io
import pickle

import pytest
import torch

import luann
from luann import nn


def small():
    """Two branches; Linear, BatchNormalization and Dropout among the layers."""
    body = nn.Sequential().add(nn.Linear(4, 6)).add(nn.BatchNormalization(6)).add(nn.Dropout(0.5)).add(nn.Tanh())
    pair = nn.ParallelTable().add(nn.Linear(4, 3)).add(body)
    return nn.Sequential().add(pair)


def pair(n=5):
    return [torch.randn(n, 4), torch.randn(n, 4)]


# The examples of the manual's page on Module


def test_manual_share():
    mlp1 = nn.Sequential()
    mlp1.add(nn.Linear(100, 10))
    mlp2 = nn.Sequential()
    mlp2.add(nn.Linear(100, 10))

    mlp2.share(mlp1, "bias")

    mlp1.get(1).bias[0] = 99
    assert mlp2.get(1).bias[0] == 99
    assert not torch.equal(mlp1.get(1).weight, mlp2.get(1).weight)


def test_manual_clone():
    mlp1 = nn.Sequential()
    mlp1.add(nn.Linear(100, 10))

    mlp2 = mlp1.clone("weight", "bias")

    mlp1.get(1).bias[0] = 99
    assert mlp2.get(1).bias[0] == 99
    mlp2.get(1).gradBias[0] = 7
    assert mlp1.get(1).gradBias[0] != 7


def test_manual_type_keeps_sharing_between_nets():
    mlp1 = nn.Sequential().add(nn.Linear(100, 10))
    mlp2 = nn.Sequential().add(nn.Linear(100, 10))
    mlp2.share(mlp1, "bias")

    nn.utils.recursiveType([mlp1, mlp2], "torch.DoubleTensor")

    assert mlp1.type() == mlp2.type() == mlp2.get(1).type() == "torch.DoubleTensor"
    mlp1.get(1).bias[0] = 99
    assert mlp2.get(1).bias[0] == 99
    assert mlp2.get(1).bias.dtype is torch.float64


def multi_resolution():
    model = nn.ParallelTable()
    for _ in range(2):
        bank = nn.Sequential()
        bank.add(nn.SpatialConvolution(3, 16, 5, 5))
        bank.add(nn.Threshold())
        model.add(bank)
    return model


def test_manual_findModules():
    model = multi_resolution()
    model.forward([torch.rand(3, 128, 128), torch.rand(3, 64, 64)])

    conv_nodes, _ = model.findModules("nn.SpatialConvolution")

    assert [tuple(node.output.size()) for node in conv_nodes] == [(16, 124, 124), (16, 60, 60)]


def test_manual_findModules_replaces_through_containers():
    model = multi_resolution()
    threshold_nodes, container_nodes = model.findModules("nn.Threshold")
    for i in range(len(threshold_nodes)):
        for j in range(len(container_nodes[i].modules)):
            if container_nodes[i].modules[j] is threshold_nodes[i]:
                container_nodes[i].modules[j] = nn.Tanh()

    assert model.findModules("nn.Threshold") == ([], [])
    assert len(model.findModules("nn.Tanh")[0]) == 2
    outputs = model.forward([torch.rand(3, 16, 16), torch.rand(3, 8, 8)])
    assert all(out.abs().max() < 1 for out in outputs)


def test_manual_listModules_prints():
    mlp = nn.Sequential()
    mlp.add(nn.Linear(10, 20))
    mlp.add(nn.Tanh())
    mlp2 = nn.Parallel(1, 1)
    mlp2.add(mlp)
    mlp2.add(nn.ReLU())
    # the manual shows an older form of the last branch; this is what Torch7 printed in 2017
    assert "\n".join(str(module) for module in mlp2.listModules()) == (
        "nn.Parallel {\n"
        "  input\n"
        "    |`-> (1): nn.Sequential {\n"
        "    |      [input -> (1) -> (2) -> output]\n"
        "    |      (1): nn.Linear(10 -> 20)\n"
        "    |      (2): nn.Tanh\n"
        "    |    }\n"
        "     `-> (2): nn.ReLU\n"
        "     ... -> output\n"
        "}\n"
        "nn.Sequential {\n"
        "  [input -> (1) -> (2) -> output]\n"
        "  (1): nn.Linear(10 -> 20)\n"
        "  (2): nn.Tanh\n"
        "}\n"
        "nn.Linear(10 -> 20)\n"
        "nn.Tanh\n"
        "nn.ReLU"
    )


# Computing


def test_output_and_gradInput_are_the_same_objects_for_life():
    net = nn.Sequential().add(nn.Linear(4, 3)).add(nn.ReLU()).add(nn.View(-1, 3)).add(nn.Linear(3, 2))
    net.add(nn.LogSoftMax())
    kept = [(m, m.output, m.gradInput) for m in net.modules]
    for n in (5, 1, 8):
        x = torch.randn(n, 4)
        net.forward(x)
        net.backward(x, torch.randn(n, 2))
    for m, output, gradInput in kept:
        assert m.output is output
        assert m.gradInput is gradInput
        assert output.shape[0] == gradInput.shape[0] == 8


def test_backward_is_its_two_parts():
    net, x, g = small().double(), pair(), None
    x = [t.double() for t in x]
    net.get(1).get(2).remove(3)  # no random numbers
    g = [torch.randn(5, 3).double(), torch.randn(5, 6).double()]
    net.zeroGradParameters()
    twin = net.clone()
    net.forward(x)
    twin.forward(x)
    whole = net.backward(x, g, 0.5)
    parts = twin.updateGradInput(x, g)
    twin.accGradParameters(x, g, 0.5)
    torch.testing.assert_close(whole, parts)
    torch.testing.assert_close(net.parameters()[1], twin.parameters()[1])


def test_call_is_forward_and_backward():
    m, x, g = nn.Linear(3, 2), torch.randn(4, 3), torch.randn(4, 2)
    assert m(x) is m.output
    output, gradInput = m(x, g)
    assert output is m.output
    torch.testing.assert_close(gradInput, g @ m.weight)


def test_autograd_stays_out():
    m = nn.Sequential().add(nn.Linear(3, 2)).add(nn.Tanh())
    x = torch.randn(4, 3, requires_grad=True)
    assert torch.is_grad_enabled()
    assert not m.forward(x).requires_grad
    assert not m.backward(x, torch.randn(4, 2, requires_grad=True)).requires_grad
    assert not m.get(1).updateOutput(x).requires_grad
    assert torch.is_grad_enabled()


def test_no_gradInput_where_it_is_None():
    m, x, g = nn.Sequential().add(nn.Linear(3, 2)).add(nn.Tanh()), torch.randn(4, 3), torch.randn(4, 2)
    twin = m.clone()
    m.get(1).gradInput = None
    for net in (m, twin):
        net.zeroGradParameters()
        net.forward(x)
    assert m.backward(x, g) is None
    twin.backward(x, g)
    torch.testing.assert_close(m.parameters()[1], twin.parameters()[1])


def test_fields_are_read_afresh():
    m, x = nn.Linear(3, 2), torch.randn(4, 3)
    m.forward(x)
    m.weight = torch.randn(2, 3)
    torch.testing.assert_close(m.forward(x), x @ m.weight.t() + m.bias)
    m.weight.set_(torch.randn(2, 3))
    torch.testing.assert_close(m.forward(x), x @ m.weight.t() + m.bias)


def test_memory_is_bounded_by_the_largest_batch():
    net = nn.Sequential().add(nn.Linear(4, 3)).add(nn.BatchNormalization(3)).add(nn.Tanh())
    sizes = torch.randint(2, 65, (200,)).tolist()

    def held():
        kept = {t.untyped_storage()._cdata: t.untyped_storage() for m in net.modules for t in vars(m).values()
                if isinstance(t, torch.Tensor)}  # fmt: skip
        return sum(s.nbytes() for s in kept.values())

    def step(n):
        x = torch.randn(n, 4)
        net.forward(x)
        net.backward(x, torch.randn(n, 3))

    step(64)
    largest = held()
    for n in sizes:
        step(n)
    assert held() <= largest


# Parameters


def test_accUpdateGradParameters_agrees_with_updateParameters():
    net, x, g = nn.Sequential().add(nn.Linear(3, 4)).add(nn.Tanh()).add(nn.Linear(4, 2)), torch.randn(5, 3), None
    g = torch.randn(5, 2)
    twin, direct = net.clone(), net.clone()
    net.zeroGradParameters()
    for m in (net, twin, direct):
        m.forward(x)
    net.backward(x, g)
    net.updateParameters(0.1)
    before = [t.clone() for t in twin.parameters()[1]]
    twin.updateGradInput(x, g)
    twin.accUpdateGradParameters(x, g, 0.1)
    direct.backwardUpdate(x, g, 0.1)
    torch.testing.assert_close(twin.parameters()[0], net.parameters()[0])
    torch.testing.assert_close(direct.parameters()[0], net.parameters()[0])
    torch.testing.assert_close(twin.parameters()[1], before)


def test_shared_module_updates_through_its_gradients():
    m = nn.BatchNormalization(3)
    m.shared = True
    x, g = torch.randn(5, 3), torch.randn(5, 3)
    m.forward(x)
    before = m.bias.clone()
    m.backwardUpdate(x, g, 0.5)
    torch.testing.assert_close(m.bias, before - 0.5 * g.sum(0))
    torch.testing.assert_close(m.gradBias, g.sum(0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_getParameters_makes_views_of_one_vector(dtype):
    net = small().type(dtype)
    objects = [*net.parameters()[0], *net.parameters()[1]]
    values = [t.clone() for t in objects]
    flat, gradFlat = net.getParameters()
    assert flat.dtype is gradFlat.dtype is dtype
    assert flat.shape == gradFlat.shape == (sum(t.numel() for t in values) // 2,)
    now = [*net.parameters()[0], *net.parameters()[1]]
    assert all(a is b for a, b in zip(now, objects, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(now, values, strict=True))
    assert torch.equal(flat, torch.cat([t.flatten() for t in net.parameters()[0]]))
    flat.fill_(3)
    gradFlat.fill_(4)
    assert all((t == 3).all() for t in net.parameters()[0])
    assert all((t == 4).all() for t in net.parameters()[1])


def test_getParameters_again_gives_the_same_memory():
    net = small()
    flat, gradFlat = net.getParameters()
    again, gradAgain = net.getParameters()
    assert again.data_ptr() == flat.data_ptr()
    assert gradAgain.data_ptr() == gradFlat.data_ptr()
    assert again.shape == flat.shape


def test_getParameters_of_a_part_cuts_it_loose_and_the_whole_collects_it_again():
    net = small()
    flat, _ = net.getParameters()
    part, _ = net.get(1).get(1).getParameters()
    assert part.numel() == 15
    whole, _ = net.getParameters()
    assert torch.equal(whole, flat)


def test_shared_parameters_appear_once():
    net = nn.Sequential().add(nn.Linear(3, 3)).add(nn.Linear(3, 3))
    net.get(2).share(net.get(1), "weight", "gradWeight")
    flat, gradFlat = net.getParameters()
    assert flat.numel() == gradFlat.numel() == 9 + 3 + 3
    assert net.get(1).weight.data_ptr() == net.get(2).weight.data_ptr()
    assert net.get(1).weight is not net.get(2).weight


def test_getParameters_compacts_holes():
    net = nn.Sequential().add(nn.Linear(2, 2)).add(nn.Linear(2, 2))
    memory = torch.arange(20.0)
    net.get(1).weight.set_(memory[3:7].view(2, 2))
    net.get(2).weight.set_(memory[10:14].view(2, 2))
    net.get(1).bias.set_(memory[0:2])
    net.get(2).bias.set_(memory[6:8])  # its first element is the last of the first weight
    flat = nn.Module.flatten(net.parameters()[0])
    assert flat.tolist() == [0, 1, 3, 4, 5, 6, 7, 10, 11, 12, 13]
    assert net.get(1).weight.tolist() == [[3, 4], [5, 6]]
    net.get(1).weight[1, 1] = -1
    assert net.get(2).bias.tolist() == [-1, 7]


def test_getParameters_of_interleaved_and_of_gapped_tensors():
    memory = torch.arange(12.0).view(3, 4)
    left, right = memory[:, :2], memory[:, 2:]
    assert nn.Module.flatten([left, right]).tolist() == list(range(12))
    assert right.tolist() == [[2, 3], [6, 7], [10, 11]]
    with pytest.raises(luann.ArgumentError, match="gaps"):
        nn.Module.flatten([torch.arange(12.0).view(3, 4)[:, :2]])


def test_getParameters_wants_gradients_shared_as_parameters_are():
    net = nn.Sequential().add(nn.Linear(3, 3)).add(nn.Linear(3, 3))
    net.get(2).share(net.get(1), "weight")
    with pytest.raises(luann.ArgumentError, match="gradWeight"):
        net.getParameters()


@pytest.mark.cuda
def test_getParameters_and_training_on_cuda():
    net, c = small().cuda(), nn.MSECriterion().cuda()
    flat, gradFlat = net.getParameters()
    assert flat.is_cuda and gradFlat.is_cuda and net.type() == "torch.CudaTensor"
    x, t = [v.cuda() for v in pair()], torch.zeros(5, 3).cuda()
    gradFlat.zero_()
    out = net.forward(x)
    c.forward(out[0], t)
    net.backward(x, [c.backward(out[0], t), torch.zeros(5, 6).cuda()])
    assert gradFlat.abs().sum() > 0


def test_type_converts_everything_and_keeps_sharing():
    net = small()
    net.forward(pair())
    net.getParameters()
    net.double()
    tensors = [t for m in net.listModules() for t in vars(m).values() if isinstance(t, torch.Tensor)]
    assert {t.dtype for t in tensors} == {torch.float64}
    assert len({t.untyped_storage()._cdata for t in net.parameters()[0]}) == 1
    assert net.type() == "torch.DoubleTensor"
    assert net.type(torch.bfloat16).type() == "torch.BFloat16Tensor"
    assert net.type("cpu") is net
    with pytest.raises(luann.ArgumentError, match="unknown tensor type"):
        net.type("torch.FlaotTensor")


def test_a_net_saved_on_a_gpu_is_of_the_type_its_tensors_have_here():
    net = nn.Linear.__new__(nn.Linear)
    net._restore({"_type": "torch.CudaTensor", "weight": torch.randn(2, 3), "bias": torch.zeros(2)}, 1)
    assert net.type() == "torch.FloatTensor"


def test_cuda_without_cuda_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(luann.TensorTypeError, match="no CUDA device"):
        nn.Linear(2, 2).cuda()


def test_a_net_saved_without_gradients_can_be_trained():
    m = nn.Linear(3, 2)
    x, g = torch.randn(4, 3), torch.randn(4, 2)
    for name in ("gradWeight", "gradBias"):
        delattr(m, name)
    m.forward(x)
    with pytest.raises(luann.ModuleError, match=r"no gradients.*zeroGradParameters"):
        m.backward(x, g)
    m.zeroGradParameters()
    m.backward(x, g)
    torch.testing.assert_close(m.gradWeight, g.t() @ x)
    assert m.getParameters()[0].numel() == 8


# Copying and saving


def through_pickle(net):
    return pickle.loads(pickle.dumps(net))


def through_torch_save(net):
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("copied", [copy.deepcopy, through_pickle, through_torch_save, lambda net: net.clone()])
def test_copies_are_whole_and_keep_sharing(copied):
    net = small()
    net.get(1).get(1).weight[0, 0] = 5
    net.getParameters()
    net.forward(pair())
    twin = copied(net)
    assert str(twin) == str(net)
    for a, b in zip(net.parameters()[0], twin.parameters()[0], strict=True):
        assert torch.equal(a, b)
        assert a.data_ptr() != b.data_ptr()
    assert len({t.untyped_storage()._cdata for t in twin.parameters()[0]}) == 1
    assert twin.get(1).output[1] is twin.get(1).get(2).output
    net.evaluate()
    twin.evaluate()
    x = pair(7)
    torch.testing.assert_close(twin.forward(x), net.forward(x))


def test_a_copied_pooling_layer_can_go_on_with_backward():
    m, x, g = nn.SpatialMaxPooling(2, 2), torch.randn(1, 4, 4), torch.randn(1, 2, 2)
    m.forward(x)
    twin = m.clone()
    assert torch.equal(twin.updateGradInput(x, g), m.updateGradInput(x, g))


def test_two_nets_in_one_pickle_stay_shared():
    net = small()
    twin = net.clone("weight", "bias")
    net2, twin2 = through_pickle([net, twin])
    net2.get(1).get(1).weight.fill_(9)
    assert (twin2.get(1).get(1).weight == 9).all()


def test_clearState_leaves_the_parameters():
    net = small()
    x = pair()
    net.forward(x)
    net.backward(x, [torch.randn(5, 3), torch.randn(5, 6)])
    net.clearState()
    left = {id(t) for t in [*net.parameters()[0], *net.parameters()[1]]}
    for m in net.listModules():
        for name, value in vars(m).items():
            if isinstance(value, torch.Tensor) and id(value) not in left and "running" not in name:
                assert value.numel() == 0, (m, name)
    net.forward(x)


# Containers


def test_container_access_counts_from_1_and_lists_from_0():
    a, b, c = nn.Linear(2, 3), nn.Tanh(), nn.ReLU()
    net = nn.Sequential().add(a).add(c).insert(b, 2)
    assert net.get(1) is a and net.get(2) is b and net.get(3) is c and net.get(4) is None and net.get(0) is None
    assert net.size() == len(net) == 3
    assert net[0] is a and net[-1] is c and net[:2] == [a, b]
    assert list(net) == [a, b, c]
    assert net.remove() is c and net.remove(1) is a and list(net) == [b]
    assert bool(nn.Sequential())
    assert net.insert(c) is net and net.get(2) is c


@pytest.mark.parametrize("wrong", [0, 4, -1])
def test_container_positions_out_of_range(wrong):
    net = nn.Sequential().add(nn.Tanh()).add(nn.Tanh())
    with pytest.raises(luann.ArgumentError, match="2 modules"):
        net.insert(nn.Tanh(), wrong)
    with pytest.raises(luann.ArgumentError, match="2 modules"):
        net.remove(wrong)


def test_add_wants_a_module():
    with pytest.raises(luann.TensorTypeError, match="takes a module"):
        nn.Sequential().add(torch.randn(2))


def test_training_and_evaluate_reach_everything():
    net = small()
    net.evaluate()
    assert not any(m.train for m in net.listModules())
    net.training()
    assert all(m.train for m in net.listModules())


def test_apply_goes_containers_first():
    seen = []
    small().apply(lambda m: seen.append(m._typename))
    assert seen[:4] == ["nn.Sequential", "nn.ParallelTable", "nn.Linear", "nn.Sequential"]


def test_replace_puts_new_modules_in_place():
    net = small()
    body = net.get(1).get(2)
    out = net.replace(lambda m: nn.ReLU() if isinstance(m, nn.Tanh) else m)
    assert out is net
    assert net.get(1).get(2) is body
    assert isinstance(body.get(4), nn.ReLU)


def test_empty_sequential_hands_on():
    net, x = nn.Sequential(), torch.randn(3)
    assert net.forward(x) is x
    assert net.backward(x, x) is x


# Errors


def test_errors_name_the_path():
    net = nn.Sequential().add(nn.Tanh()).add(nn.ParallelTable().add(nn.Tanh()).add(nn.Linear(3, 2)))
    net.remove(1)
    with pytest.raises(luann.ShapeError) as caught:
        net.forward([torch.randn(1), torch.randn(2, 4)])
    assert str(caught.value) == (
        "Sequential[1] ParallelTable[2] nn.Linear(3 -> 2): wanted 3 or N x 3, got 2x4 torch.FloatTensor"
    )
    assert isinstance(caught.value, ValueError)


def test_errors_of_user_classes_are_wrapped_and_chained():
    class Broken(nn.Module):
        def updateOutput(self, input):
            raise KeyError("mistake")

    with pytest.raises(luann.ModuleError, match=r"Sequential\[1\] nn\.Broken: KeyError: 'mistake'") as caught:
        nn.Sequential().add(Broken()).forward(torch.randn(1))
    assert isinstance(caught.value.__cause__, KeyError)
    assert isinstance(caught.value, RuntimeError)
    assert torch.is_grad_enabled()


def test_errors_of_type_say_what_to_convert():
    with pytest.raises(luann.TensorTypeError, match=r"module is of type torch.FloatTensor.*torch.DoubleTensor"):
        nn.Linear(3, 2).forward(torch.randn(2, 3).double())


def test_a_module_of_the_users_own():
    class Scale(nn.Module, typename="my.Scale"):
        def __init__(self, factor):
            super().__init__()
            self.factor = factor

        def updateOutput(self, input):
            return torch.mul(input, self.factor, out=self.output.resize_(input.shape))

        def updateGradInput(self, input, gradOutput):
            return torch.mul(gradOutput, self.factor, out=self.gradInput.resize_(input.shape))

    net = nn.Sequential().add(nn.Linear(3, 2)).add(Scale(2))
    x = torch.randn(4, 3)
    torch.testing.assert_close(net.forward(x), 2 * net.get(1).output)
    assert "(2): my.Scale" in str(net)
    assert luann.typename(net.get(2)) == "my.Scale"
    assert net.findModules("my.Scale") == ([net.get(2)], [net])


@pytest.mark.parametrize("wrong", ["x", object()], ids=["string", "object"])
def test_every_constructor_names_its_class_when_an_argument_is_wrong(wrong):
    """All required arguments wrong at once; a class that takes anything by nature is named here."""
    takes_anything = {"SelectTable"}  # a key of any kind
    for name in nn.__all__:
        cls = getattr(nn, name)
        if not (isinstance(cls, type) and issubclass(cls, (nn.Module, nn.Criterion))) or name in takes_anything:
            continue
        parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
        required = [p for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
        if required:
            with pytest.raises(luann.Error, match=name):
                cls(*[wrong] * len(required))


def test_no_class_has_an_attribute_of_the_name_of_a_slot():
    slots = set(nn.Module.__mro__[-2].__slots__) - {"__dict__", "__weakref__"}
    classes = [nn.Module, nn.Criterion]
    for cls in classes:
        classes += cls.__subclasses__()
        assert not slots & cls.__dict__.keys(), cls


@pytest.mark.parametrize("input", [None, "text", [torch.ones(2)]])
@pytest.mark.parametrize(
    "layer", [nn.Linear(2, 2), nn.Tanh(), nn.SpatialConvolution(1, 1, 1, 1), nn.Mean(1), nn.BatchNormalization(2)]
)
def test_something_else_than_a_tensor_is_named(layer, input):
    with pytest.raises(luann.Error, match=r"tensor.* got|wanted .* got"):
        layer.forward(input)


def test_a_module_that_was_saved_without_output_says_so():
    layer = nn.Linear(2, 2)
    layer.output = None
    with pytest.raises(luann.Error, match="has no output, as if saved without"):
        layer.forward(torch.ones(1, 2))


def test_a_criterion_may_have_no_target():
    class Size(nn.Criterion):
        def updateOutput(self, input, target):
            assert target is None
            return input.abs().sum().item()

        def updateGradInput(self, input, target):
            return input.sign()

    assert Size().forward(torch.tensor([-2.0, 1.0])) == 3
    assert Size().backward(torch.tensor([-2.0, 1.0])).tolist() == [-1, 1]
