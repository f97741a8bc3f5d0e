"""The benchmark measures two sides that compute the same; nothing here asserts a time."""

import json

import pytest
import torch

from luann import nn
from tools.bench import __main__ as command
from tools.bench import nets, report
from tools.bench.agree import Differs, check
from tools.bench.layers import Both, chain, linear, logsoftmax
from tools.bench.measure import memory, peak, times
from tools.bench.recurrent import Cells, Whole
from tools.bench.sides import LuannDirect, LuannFrozen, LuannLast, Native, NativeLast, NativeSparse
from tools.bench.worker import measure
from tools.bench.workloads import Workload, _net, build, everything, images, rnn, rows, texts, vector

SMALL = {
    "tiny": (nets.tiny(), rows(1, 10)),
    "mlp": (nets.mlp(784, 32, 32, 10), rows(3, 784)),
    "deep": (nets.deep(20), rows(1, 10)),
    "lenet": (nets.lenet(), images(2, 1, 28)),
    "demo": (nets.demo(), images(2, 1, 32)),
    "vgg": (nets.vgg(), images(2, 3, 32)),
    "resnet20": (nets.resnet20(), images(2, 3, 32)),
    "text": (nets.text(50, 4), texts(3, 7, 50)),
}
"""The nets of the workloads, the data small."""


@pytest.mark.parametrize("name", SMALL)
def test_both_sides_agree(name):
    check(_net(name, *SMALL[name]), torch.float64)


@pytest.mark.parametrize("net", ["alexnet", "resnet18"])
def test_both_sides_agree_on_large_images(net):
    check(_net(net, getattr(nets, net)(), images(1, 3, 224, 1000), modes=("infer",)))


@pytest.mark.parametrize("form", [Cells, Whole])
def test_both_sides_agree_on_char_rnn(form):
    check(rnn("char-rnn", form, steps=5, batch=3, size=6), torch.float64)


@pytest.mark.parametrize("name", ["vgg", "resnet20"])
def test_both_sides_agree_channels_last(name):
    check(_net(name, *SMALL[name], kinds=(LuannLast, NativeLast)), torch.float64)


@pytest.mark.parametrize("name", ["lenet", "resnet20"])
def test_a_frozen_net_agrees(name):
    check(_net(name, *SMALL[name], modes=("infer",), kinds=(LuannFrozen, Native)))


def test_both_sides_agree_on_sparse_gradients():
    kinds = LuannDirect, NativeSparse
    check(_net("sparse", nets.text(50, 4, sparse=True), texts(3, 7, 50), modes=("train",), kinds=kinds), torch.float64)


def test_both_sides_agree_on_parameters():
    check(vector(1e4), torch.float64)


def test_vectors_are_flattened_on_both_sides():
    ours, theirs = build(vector(1e4))
    for side in (ours, theirs):
        side.prepare_flatten()
        side.flatten()
    lists = list(ours.fresh.parameters()), theirs.fresh
    for tensors in (*lists[0], *lists[1]):
        assert len({t.untyped_storage().data_ptr() for t in tensors}) == 1


def test_a_difference_is_an_error():
    wrong = Both(nn.Tanh, torch.nn.Sigmoid)
    with pytest.raises(Differs, match="output: off by"):
        check(_net("wrong", chain(linear(4, 4), wrong, linear(4, 10), logsoftmax()), rows(2, 4)))


def test_a_different_step_is_an_error():
    workload = _net("wrong", nets.tiny(), rows(2, 10))
    theirs = workload.theirs

    def faster():
        side = theirs()
        side.optimizer.param_groups[0]["lr"] *= 2
        return side

    workload.theirs = faster
    with pytest.raises(Differs, match=r"second step|after two steps"):
        check(workload, torch.float64)


def test_every_workload_of_the_list_is_there():
    names = list(everything())
    assert len(set(names)) == len(names)
    for begin in "tiny mlp lenet demo vgg resnet20 alexnet resnet18 text char-rnn depth length parameters".split():
        assert any(name.startswith(begin) for name in names)
    assert command.chosen(["lenet"]) == ["lenet-1", "lenet-32", "lenet-128", "lenet-128-free", "lenet-32-frozen"]
    with pytest.raises(SystemExit, match="no workload begins with 'lennet'"):
        command.chosen(["lennet"])


def test_a_result_and_its_lines():
    workload = _net("small", nets.tiny(), rows(1, 10), train=0.001, infer=1000)
    result = json.loads(json.dumps(measure(workload, 0, 3, True)))
    assert set(result["modes"]) == {"train", "infer"}
    for mode in result["modes"].values():
        assert {"luann", "torch"} <= set(mode["seconds"])
        assert all(0 < side["p20"] <= side["median"] for side in mode["seconds"].values())
        assert all(bytes_ > 0 for bytes_ in mode["bytes"].values())
    train, infer = report.lines(result | {"threads": 1}, workload.goals)
    assert "NO" in train
    assert "yes" in infer


def test_samples_are_taken_by_turns():
    calls = []

    class Side:
        def __init__(self, name):
            self.name = name

        def mode(self, train):
            pass

        def prepare_run(self):
            calls.append(f"prepare {self.name}")

        def run(self):
            calls.append(self.name)

    found = times({"a": Side("a"), "b": Side("b")}, "run", 0, 3, lambda: None)
    assert found["a"]["samples"] == found["b"]["samples"] == 3
    assert [c for c in calls[-12:] if len(c) == 1] == ["a", "b", "b", "a", "a", "b"]
    assert calls[-12::2] == [f"prepare {c}" for c in calls[-11::2]]


def test_peaks_are_those_of_tensors():
    class Side:
        def mode(self, train):
            pass

        def run(self):
            held = torch.empty(1000)
            return held + 1

    def make():
        side = Side()
        side.kept = torch.empty(500)
        return side

    assert 10_000 <= peak(make, "run") < 10_200
    both = memory(Workload("w", make, make), "run")
    assert both["luann"] == both["torch"]


def bytes_of(values):
    storages = {}
    for value in values:
        if isinstance(value, torch.Tensor):
            storages[value.untyped_storage()._cdata] = value.untyped_storage().nbytes()
        elif isinstance(value, (list, tuple)):
            storages |= bytes_of(value)
    return storages


def held(model):
    """All memory that a net and what it derives from its fields refer to."""
    found = {}
    for module in model.listModules():
        found |= bytes_of([module._cache, *vars(module).values()])
    return sum(found.values())


@pytest.mark.parametrize("name", SMALL)
def test_clear_state_leaves_the_parameters_alone(name):
    ours, _ = build(_net(name, *SMALL[name]))
    ours.train()
    kept = bytes_of([ours.x, ours.grads])
    for module in ours.model.listModules():
        kept |= bytes_of([getattr(module, name, None) for name in ("running_mean", "running_var")])
    assert held(ours.model) > sum(kept.values())
    ours.model.clearState()
    assert held(ours.model) == sum(kept.values())
    ours.train()
