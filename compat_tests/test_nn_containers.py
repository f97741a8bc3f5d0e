import copy
import pickle
import re
import time

import pytest
import records
import torch

import luann
from luann import nn
from luann.nn._nested import copied
from luann.timer import Timer


@records.of(
    "nn",
    "Bottle",
    "Concat",
    "Decorator",
    "DepthConcat",
    "DontCast",
    "GPU",
    "MapTable",
    "ModuleFromCriterion",
    "NaN",
    "Parallel",
    "PrintSize",
    "Profile",
    "Sequential",
    "WeightNorm",
)
def test_record(case):
    records.check_module(case)


@pytest.mark.parametrize("i", range(3))
def test_stochasticgradient_repeats_torch7s_runs(i):
    record = records.get(("api", "training", i))
    luann.setdefaulttensortype("torch.DoubleTensor")
    trainer = nn.StochasticGradient(record.module, record.criterion)
    for name, value in record.options.items():
        setattr(trainer, name, value)
    trainer.verbose = False
    errors, order = [], []
    trainer.hookIteration = lambda _, iteration, error: errors.append((iteration, error))
    number = {id(example): i for i, example in enumerate(record.data, 1)}
    trainer.hookExample = lambda _, example: order.append(number[id(example)])
    luann.manualSeed(record.forwardSeed)
    trainer.train(record.data)
    assert order == record.order
    assert [iteration for iteration, _ in errors] == list(range(1, record.options.maxIteration + 1))
    tolerance = records.TOLERANCE["double"]
    assert not records.difference([error for _, error in errors], record.errors, tolerance)
    assert not records.difference(record.module.parameters()[0], record.params, tolerance)


def test_stochasticgradient_prints_and_takes_datasets_in_torch7s_manner(capsys):
    class Dataset:
        def size(self):
            return 2

        def __getitem__(self, i):
            assert i in (1, 2)
            return [torch.tensor([1.0]), torch.tensor([2.0])]

    net = nn.Linear(1, 1, False)
    net.weight.fill_(1)
    trainer = nn.StochasticGradient(net, nn.MSECriterion())
    trainer.learningRate, trainer.maxIteration = 0, 2
    trainer.train(Dataset())
    assert capsys.readouterr().out.splitlines() == [
        "# StochasticGradient: training",
        "# current error = 1",
        "# current error = 1",
        "# StochasticGradient: you have reached the maximum number of iterations",
        "# training error = 1",
    ]
    with pytest.raises(luann.TensorTypeError):
        trainer.train({1: [torch.zeros(1), torch.zeros(1)]})
    with pytest.raises(luann.TensorTypeError):
        trainer.train([])


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Concat(0),
        lambda: nn.Concat("1"),
        lambda: nn.DepthConcat(None),
        lambda: nn.Bottle(nn.Linear(2, 2), 0),
        lambda: nn.Bottle(torch.zeros(2)),
        lambda: nn.GPU(nn.Tanh(), 0),
        lambda: nn.Profile(nn.Tanh(), -1),
        lambda: nn.DontCast(nn.ConcatTable(), True),
        lambda: nn.DontCast(nn.Tanh(), True, True, "FloatTensor"),
        lambda: nn.WeightNorm(nn.Tanh()),
        lambda: nn.WeightNorm(nn.Linear(2, 2), 3),
        lambda: nn.MapTable(nn.Tanh()).add(nn.Tanh()),
        lambda: nn.MapTable().forward([torch.zeros(1)]),
    ],
)
def test_bad_arguments(make):
    with pytest.raises((luann.ArgumentError, luann.TensorTypeError)):
        make()


def concat():
    return nn.Concat(2).add(nn.Linear(3, 2)).add(nn.Linear(3, 4))


def test_concat_adds_gradients_whose_memory_is_shared():
    # scripts of Torch7's time let branches share gradInput to save memory
    net, x, g = concat(), torch.randn(5, 3), torch.randn(5, 6)
    plain = net.clone()
    buffer = torch.empty(0)
    for module in net.modules:
        module.gradInput = buffer
    net.forward(x), plain.forward(x)
    assert torch.equal(net.backward(x, g), plain.backward(x, g))


def test_concat_passes_over_modules_without_a_gradInput():
    net, x, g = concat(), torch.randn(5, 3), torch.randn(5, 6)
    net.forward(x)
    net.modules[0].gradInput = None
    assert torch.allclose(net.backward(x, g), g[:, 2:] @ net.modules[1].weight)
    net.modules[1].gradInput = None
    assert net.backward(x, g) is None


def test_old_concat_had_another_name_for_its_size():
    net = nn.Concat.__new__(nn.Concat)
    net._restore({"size": luann.Storage([2, 6]), "modules": [nn.Tanh()], "dimension": 1}, 1)
    assert net.size() == 1 and net.outputSize == [2, 6]


def test_bottle_follows_the_sizes_and_says_what_does_not_fit():
    net = nn.Bottle(nn.Linear(4, 3))
    inner = net.modules[0]
    for size in ((2, 5, 4), (7, 4), (2, 1, 3, 4), (3, 2, 4)):
        x, g = torch.randn(size), torch.randn(*size[:-1], 3)
        assert torch.allclose(net.forward(x), torch.nn.functional.linear(x, inner.weight, inner.bias))
        assert torch.allclose(net.backward(x, g), g @ inner.weight)
    straight = net.forward(x).clone()
    assert torch.allclose(net.forward(x.transpose(0, 1)), straight.transpose(0, 1))
    with pytest.raises(luann.ShapeError, match="1 dimensions from the module"):
        nn.Bottle(nn.Linear(4, 3), 2, 1).forward(torch.randn(2, 5, 4))


def test_dontcast_keeps_its_module_in_double():
    inside = nn.Linear(4, 3).double()
    net = nn.Sequential().add(nn.DontCast(inside, True)).add(nn.Tanh()).float()
    assert inside.weight.dtype is torch.float64
    x = torch.randn(2, 4)
    out = net.forward(x)
    assert out.dtype is torch.float32 and net.backward(x, torch.randn(2, 3)).dtype is torch.float32
    assert torch.equal(out, torch.tanh(inside.forward(x.double()).float()))


def test_dontcast_casts_tables():
    inside = nn.ParallelTable().add(nn.Linear(2, 2)).add(nn.Tanh()).double()
    net = nn.DontCast(inside, True)
    x = [torch.randn(3, 2), torch.randn(4)]
    for _ in range(2):
        out = net.forward(x)
        grads = net.backward(x, [torch.randn(3, 2), torch.randn(4)])
        assert {t.dtype for t in [*out, *grads]} == {torch.float32}
    assert torch.equal(out[1], torch.tanh(x[1].double()).float())


def test_nan_says_where():
    net = nn.Sequential().add(nn.NaN(nn.Linear(2, 2), "one")).add(nn.NaN(nn.Log(), "two"))
    with pytest.raises(luann.ModuleError, match=r"NaN found in input of module:\nnn\.NaN\(one\) @ nn\.Linear"):
        net.forward(torch.tensor([1, float("nan")]))
    with pytest.raises(luann.ModuleError, match="NaN found in gradOutput"):
        net.modules[0].backward(torch.ones(2), torch.tensor([1, float("nan")]))
    net.modules[0].modules[0].weight[0, 0] = float("nan")
    with pytest.raises(luann.ModuleError, match="NaN found in parameters"):
        net.forward(torch.ones(2))
    with pytest.raises(luann.ModuleError, match=r"NaN found in output of module:\nnn\.NaN\(\d+\) @ nn\.Log"):
        nn.NaN(nn.Log()).forward(torch.tensor([-1.0]))


def test_profile_and_printsize_print(capsys):
    net = nn.Sequential().add(nn.PrintSize("here")).add(nn.Profile(nn.Linear(3, 2), 2, "mine"))
    for _ in range(2):
        net.forward(torch.randn(4, 3))
        net.backward(torch.randn(4, 3), torch.randn(4, 2))
    out = capsys.readouterr().out
    assert "here:input\n4x3 torch.FloatTensor" in out and "here:gradOutput\n4x3" in out
    assert re.findall(r"mine took \d\.\d{3} seconds for 2 (\w+) passes", out) == ["forward", "backward"]
    assert net.get(2).numFwds == 0


def test_gpu_hands_on_where_there_is_none():
    net = luann.load(records.REFERENCE / "serialization/module_gpu.bin.t7")
    x = torch.randn(3, 2, dtype=torch.float64)
    assert torch.equal(net.forward(x), net.modules[0].forward(x))
    with pytest.raises(luann.ModuleError, match="accUpdateGradParameters"):
        net.accUpdateGradParameters(x, torch.randn(3, 1), 0.1)


@pytest.mark.cuda
def test_gpu_and_dontcast_on_cuda():
    net = nn.Sequential().add(nn.GPU(nn.Linear(3, 2), 1)).add(nn.DontCast(nn.Tanh(), True)).cuda()
    assert net.get(1).modules[0].weight.device == torch.device("cuda", 0)
    x = torch.randn(4, 3, device="cuda")
    out = net.forward(x)
    assert out.is_cuda and net.backward(x, torch.ones_like(out)).is_cuda
    assert not net.get(2).modules[0].output.is_cuda
    on_cpu = net.get(1).forward(x.cpu())
    assert on_cpu.device == torch.device("cuda", 0)


def test_weightnorm_normalises_each_output():
    for make, outputDim in (
        (lambda: nn.Linear(4, 3), 1),
        (lambda: nn.SpatialConvolution(2, 3, 2, 2), 1),
        (lambda: nn.SpatialFullConvolution(2, 3, 2, 2), 2),
    ):
        net = nn.WeightNorm(make(), outputDim)
        net.g.uniform_(1, 3)
        net.updateWeight()
        lengths = net.modules[0].weight.transpose(0, outputDim - 1).flatten(1).norm(dim=1)
        assert torch.allclose(lengths, net.g.view(-1), rtol=1e-3)


def test_weightnorm_trains_through_flat_parameters():
    torch.manual_seed(1)
    net = nn.Sequential().add(nn.WeightNorm(nn.Linear(4, 3))).add(nn.WeightNorm(nn.Linear(3, 1))).double()
    flat, grad = net.getParameters()
    assert flat.numel() == (12 + 3 + 3) + (3 + 1 + 1)
    x, t, criterion = torch.randn(20, 4).double(), torch.randn(20, 1).double(), nn.MSECriterion().double()
    losses = []
    for _ in range(100):
        net.zeroGradParameters()
        losses.append(criterion.forward(net.forward(x), t))
        net.backward(x, criterion.backward(net.output, t))
        flat.add_(grad, alpha=-0.05)
    assert losses[-1] < losses[0] / 2
    net.evaluate()
    plain = nn.Sequential().add(net.modules[0].modules[0]).add(net.modules[1].modules[0])
    assert torch.allclose(net.forward(x).clone(), plain.forward(x))


@pytest.mark.parametrize("form", ["bin", "ascii"])
def test_weightnorm_from_a_file_makes_its_weight(form):
    net = luann.load(records.REFERENCE / f"serialization/module_weightnorm.{form}.t7")
    weight = net.modules[0].weight
    assert weight is net.weight and net.gradWeight is net.modules[0].gradWeight
    expected = net.g.view(-1, 1) * net.v / (net.v.square().sum(1, keepdim=True) + 1e-4).sqrt()
    assert torch.allclose(weight, expected, rtol=1e-12)


def test_maptable_copies_share_memory_and_can_be_dropped():
    net = nn.MapTable(nn.Linear(3, 2))
    x = [torch.randn(2, 3) for _ in range(4)]
    net.forward(x)
    assert len(net.parameters()[0]) == 8 and net.getParameters()[0].numel() == 8
    assert all(torch.equal(a, b) for a, b in zip(net.forward(x), map(net.module.forward, x)))
    net.resize(2)
    assert len(net.modules) == 2 and len(net.forward(x[:1])) == 1 and len(net.modules) == 2
    assert net.clearState().modules == [net.module]
    apart = nn.MapTable(nn.Linear(3, 2), False)
    apart.forward(x)
    assert apart.getParameters()[0].numel() == 32
    twin = pickle.loads(pickle.dumps(net))
    assert twin.module is twin.modules[0]


def test_containers_convert_and_copy():
    for net in (
        concat(),
        nn.DepthConcat(1).add(nn.Linear(3, 2)),
        nn.Bottle(nn.Linear(3, 2)),
        nn.Profile(nn.Linear(3, 2)),
        nn.WeightNorm(nn.Linear(3, 2)),
        nn.MapTable(nn.Linear(3, 2)),
    ):
        x = [torch.randn(2, 3)] if isinstance(net, nn.MapTable) else torch.randn(2, 3)
        twin = pickle.loads(pickle.dumps(net.clone().double()))
        assert twin.type() == "torch.DoubleTensor"
        got, wanted = twin.forward(copied(None, x, torch.float64)), net.forward(x)
        assert not records.difference(copied(None, got, torch.float32), wanted, records.TOLERANCE["float"])


def test_timer():
    timer = Timer()
    time.sleep(0.01)
    stopped = timer.stop().time().real
    assert 0.01 <= stopped == timer.time().real
    timer.resume()
    time.sleep(0.005)
    assert timer.time().real > stopped + 0.005
    assert timer.reset().time().real < 0.005
    assert copy.deepcopy(timer).time().real < 1
