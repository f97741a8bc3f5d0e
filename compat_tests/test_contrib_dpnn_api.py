"""The methods that dpnn adds to all modules: each record's Lua function, ported line by line, and what records lack.

A record holds the Lua text (``lua``) and what it returned.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
import records
import t7_bytes
import torch

import luann
from luann import nn
from luann.contrib import dpnn

RECORDS = {r.name: r for r in luann.load(records.REFERENCE / "rocks/dpnn/api_module.t7")}

ported: dict[str, Callable] = {}


def port(function: Callable) -> Callable:
    ported[function.__name__] = function
    return function


@pytest.fixture(autouse=True)
def _double():
    luann.setdefaulttensortype("torch.DoubleTensor")


def mlp() -> Any:
    return nn.Sequential().add(nn.Linear(3, 4)).add(nn.Tanh()).add(nn.Linear(4, 2))


def trained(net: Any, x: torch.Tensor) -> Any:
    net.zeroGradParameters()
    out = net.forward(x)
    net.backward(x, torch.ones_like(out))
    return net


def params(net: Any) -> list:
    return [t.clone() for t in net.parameters()[0]]


def grads(net: Any) -> list:
    return [t.clone() for t in net.parameters()[1]]


def offsets(net: Any) -> list:
    entries, storages = [], {}
    for which, tensors in zip(("param", "grad"), net.parameters()):
        for t in tensors:
            number = storages.setdefault(t.untyped_storage()._cdata, len(storages) + 1)
            entry = {"which": which, "storage": number, "offset": t.storage_offset() + 1, "size": list(t.shape)}
            entries.append(entry)
    return entries


@port
def sharedClone():
    net = trained(mlp(), torch.ones(2, 3))
    clone = net.sharedClone()
    x = torch.tensor([[1.0, 2, 3]])
    before = clone.forward(x).clone()
    net.get(1).weight.add_(1)
    clone.backward(x, torch.ones(1, 2))
    p1, p2 = net.parameters()[0], clone.parameters()[0]
    return {
        "before": before,
        "after": clone.forward(x).clone(),
        "gradOfOriginal": grads(net),
        "sameStorage": records.shares(p1[0], p2[0]),
        "sameOutput": records.shares(net.output, clone.output),
        "original": params(net),
    }


@port
def sharedClone_params_only():
    net = trained(mlp(), torch.ones(2, 3))
    clone = net.sharedClone(True, False)
    g1, g2 = net.parameters()[1], clone.parameters()[1]
    clone.zeroGradParameters()
    return {"first": g1[0].clone(), "second": g2[0].clone(), "shared": records.shares(g1[0], g2[0])}


@port
def sharedClone_neither():
    net = mlp()
    clone = net.sharedClone(False, False)
    net.get(1).weight.zero_()
    return {"params": params(clone)}


@port
def sharedClone_twice_used():
    linear = nn.Linear(2, 2)
    clone = nn.Sequential().add(linear).add(linear).sharedClone()
    return {"same": clone.get(1) is clone.get(2), "count": len(clone.parameters()[0])}


@port
def sharedClone_batchnorm():
    net = nn.Sequential().add(nn.BatchNormalization(3))
    clone = net.sharedClone()
    clone.training()
    clone.forward(torch.tensor([[1.0, 2, 3], [3, 5, 9]]))
    return {"mean": net.get(1).running_mean.clone(), "var": net.get(1).running_var.clone()}


@port
def getParameters_shared_clones():
    net = mlp()
    clone = net.sharedClone()
    both = nn.Container().add(net).add(clone)
    flat, grad = dpnn.getParameters(both)
    before = flat.clone()
    flat.fill_(0.5)
    return {
        "count": flat.numel(),
        "gradCount": grad.numel(),
        "before": before,
        "params": params(clone),
        "offsets": offsets(both),
    }


@port
def getParameters_hidden():
    net = nn.Sequential().add(nn.Linear(2, 2))
    net.extra = {"inner": nn.Linear(3, 1)}
    flat, _ = dpnn.getParameters(net)
    return {"count": flat.numel(), "parameters": len(net.parameters()[0]), "flat": flat.clone()}


@port
def gradParamClip():
    net = trained(mlp(), torch.tensor([[1.0, 2, 3]]))
    before = grads(net)
    norm = net.gradParamClip(1)
    again = net.gradParamClip(100)
    return {"before": before, "norm": norm, "again": again, "after": grads(net), "zero": net.gradParamClip(0)}


@port
def gradParamClip_local():
    net = trained(mlp(), torch.tensor([[1.0, 2, 3]]))
    return {"norm": net.gradParamClip(0.5, True), "after": grads(net)}


@port
def maxParamNorm():
    net = mlp()
    net.get(1).bias.fill_(10)
    net.maxParamNorm(0.5)
    return {"params": params(net)}


@port
def maxParamNorm_in():
    net = mlp()
    net.maxParamNorm(-1, 0.3)
    return {"params": params(net)}


@port
def maxParamNorm_lookup():
    net = nn.LookupTable(4, 3)
    before = net.weight.clone()
    net.maxParamNorm(0.8)
    return {"before": before, "after": net.weight.clone()}


@port
def weightDecay():
    net = mlp()
    net.zeroGradParameters()
    net.weightDecay(0.1)
    every = mlp()
    every.zeroGradParameters()
    every.get(3).wdFactor = 0.5
    every.weightDecay(0.1, 1)
    return {"default": grads(net), "params": params(net), "all": grads(every), "allParams": params(every)}


def _momentum(*arguments: Any) -> dict:
    net = mlp()
    steps = []
    for i in (1, 2, 3):
        trained(net, torch.tensor([[1.0, 2, i]]))
        net.updateGradParameters(*arguments)
        steps.append(grads(net))
    return {"start": params(net), "steps": steps}


@port
def updateGradParameters():
    return _momentum(0.9)


@port
def updateGradParameters_nesterov():
    return _momentum(0.5, 0, True)


@port
def momentumGradParameters():
    net = trained(mlp(), torch.tensor([[1.0, 2, 3]]))
    m = net.momentumGradParameters()
    return {
        "first": [t.clone() for t in m],
        "shared": records.shares(m[0], net.get(1).gradWeight),
        "again": m is net.momentumGradParameters(),
    }


@port
def dontBackward():
    net = mlp()
    net.get(1).dontBackward()
    net.zeroGradParameters()
    x = torch.ones(1, 3)
    net.forward(x)
    gradInput = net.backward(x, torch.ones(1, 2))
    return {"params": params(net), "grads": grads(net), "gradInputIsNil": gradInput is None}


@port
def toBatch():
    m = nn.Identity()
    a = m.toBatch(torch.ones(2, 3), 2)
    online = m.dpnn_online
    back = m.fromBatch(torch.ones(1, 5), 1)
    b = m.toBatch(torch.ones(4, 2, 3), 2)
    return {
        "a": list(a.shape),
        "online": online,
        "back": list(back.shape),
        "b": list(b.shape),
        "onlineAfter": m.dpnn_online,
        "kept": list(m.fromBatch(torch.ones(4, 5), 1).shape),
    }


@port
def contiguousInput():
    m = nn.Identity()
    x = torch.arange(1.0, 7).view(2, 3)
    same = m.contiguousInput(x) is x
    t = m.contiguousInput(x.t())
    return {"same": same, "copy": t.clone(), "contiguous": t.is_contiguous()}


@port
def extend():
    net = nn.Sequential().extend(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    return {"size": net.size(), "params": params(net), "output": net.forward(torch.ones(1, 2)).clone()}


@port
def outside():
    return {
        "vector": list(mlp().outside(3)),
        "batch": list(mlp().outside([5, 3])),
        "next": luann.random.random(),
    }


@port
def sparseParameters():
    p, g, _, size = mlp().sparseParameters()
    return {"count": len(p), "grads": len(g), "size": size}


@port
def serial_modes():
    out = {}
    for mode in ("heavySerial", "mediumSerial", "lightSerial"):
        nn_serial = dpnn.Serial(trained(mlp(), torch.ones(2, 3)))
        net = getattr(nn_serial, mode)()
        copy = net.clone()
        linear = copy.modules[0].get(1)
        out[mode] = {
            "output": linear.output.numel(),
            "gradWeight": linear.gradWeight.numel(),
            "weight": linear.weight.numel(),
            "class": luann.typename(copy),
        }
    return out


@port
def checkParameters():
    def passes(net: Any) -> bool:
        try:
            net.checkParameters()
        except luann.Error:
            return False
        return True

    net = mlp()
    fine = passes(net)
    net.get(1).weight[0, 0] = float("nan")
    return {"fine": fine, "nan": passes(net)}


@port
def reinforce_net():
    net = nn.Sequential().add(nn.Linear(3, 2)).add(nn.Sigmoid()).add(dpnn.ReinforceBernoulli())
    net.zeroGradParameters()
    x = torch.tensor([[1.0, 2, 3], [0.5, -1, 0]])
    sample = net.forward(x).clone()
    net.reinforce(torch.tensor([1.0, -2]))
    gradInput = net.backward(x, torch.zeros(2, 2)).clone()
    return {"params": params(net), "sample": sample, "gradInput": gradInput, "grads": grads(net)}


def test_every_record_is_ported():
    assert set(RECORDS) == set(ported)


@pytest.mark.parametrize("name", list(RECORDS))
def test_result(name):
    record = RECORDS[name]
    luann.manualSeed(record.seed)
    got = {entry: value for entry, value in ported[name]().items() if value is not None}
    assert set(got) == set(record.result)
    for entry, wanted in record.result.items():
        found = records.difference(got[entry], wanted, records.TOLERANCE["double"])
        assert not found, f"{entry}: {found}"


# What the records lack


def graph() -> Any:
    """Two inputs; a node used twice, a table between nodes, batch normalisation."""
    x, h = nn.Identity()(), nn.Identity()()
    both = nn.CAddTable()([nn.Linear(3, 4)(x), nn.Linear(4, 4)(h)])
    normal = nn.BatchNormalization(4)(both)
    return nn.gModule([x, h], [nn.Tanh()(normal), nn.Sigmoid()(normal)])


def places(net: Any) -> list:
    return [t.data_ptr() for tensors in net.parameters() for t in tensors]


def test_sharedClone_of_a_graph():
    luann.manualSeed(1)
    net = graph()
    input = [luann.random.randn(5, 3), luann.random.randn(5, 4)]
    gradOutput = [luann.random.randn(5, 4), luann.random.randn(5, 4)]
    twin = net.clone()
    clone = net.sharedClone()
    assert places(clone) == places(net) != places(twin)
    assert all(a is not b for a, b in zip(clone.parameters()[0], net.parameters()[0]))
    for module in (net, twin):
        module.zeroGradParameters()
    for a, b in zip(clone.forward(input), twin.forward(input)):
        assert torch.equal(a, b)
    for a, b in zip(clone.backward(input, gradOutput), twin.backward(input, gradOutput)):
        assert torch.equal(a, b)
    for a, b in zip(net.parameters()[1], twin.parameters()[1]):
        assert torch.equal(a, b)
    normal, clones = (m.findModules("nn.BatchNormalization")[0][0] for m in (net, clone))
    assert normal.running_mean.data_ptr() == clones.running_mean.data_ptr() and normal.running_mean.abs().sum() > 0


def test_sharedClone_within_flat_parameters():
    net = mlp()
    flat, _ = net.getParameters()
    net.get(1).mask = net.get(1).weight.view(-1)[:2]  # another field over the parameters' memory
    clone = net.sharedClone()
    flat.fill_(3)
    assert all((p == 3).all() for p in clone.parameters()[0]) and clone.get(1).mask.tolist() == [3, 3]
    again, _ = nn.Sequential().add(net).add(clone).getParameters()
    assert again.data_ptr() == flat.data_ptr() and again.numel() == flat.numel()


def test_sharedClone_keeps_what_belongs_to_a_step():
    inner = mlp()
    inner.dpnn_stepclone = True
    net = nn.Sequential().add(inner).add(nn.Linear(2, 2))
    net.table = {"steps": [inner]}
    clone = net.sharedClone(stepClone=True)
    assert clone.get(1) is inner and clone.table["steps"][0] is inner and clone.get(2) is not net.get(2)
    assert inner.sharedClone(stepClone=True) is inner
    assert net.sharedClone().get(1) is not inner


def test_sharedClone_trains_like_the_original():
    luann.manualSeed(2)
    net = mlp()
    _, grad = net.getParameters()
    clones = [net, net.sharedClone(), net.sharedClone()]
    inputs = [luann.random.randn(2, 3) for _ in clones]
    for clone, x in zip(clones, inputs):
        clone.forward(x)
    grad.zero_()
    for clone, x in reversed(list(zip(clones, inputs))):
        clone.backward(x, torch.ones(2, 2))
    together = grad.clone()
    trained(net, torch.cat(inputs))
    assert torch.allclose(together, grad, rtol=1e-12)


def test_functions_for_sparse_parameters():
    class Sparse(nn.Linear):
        def sparseParameters(self):
            return [self.weight[:1], self.bias], [self.gradWeight[:1], self.gradBias], [2, None], 2

    net = Sparse(2, 3)
    before = params(net)
    net.gradWeight.fill_(1)
    net.gradBias.fill_(1)
    dpnn.updateParameters(net, 0.5)
    assert torch.equal(net.weight[0], before[0][0] - 1) and torch.equal(net.weight[1:], before[0][1:])
    assert torch.equal(net.bias, before[1] - 0.5)
    dpnn.zeroGradParameters(net)
    assert net.gradWeight.sum() == 4 and net.gradBias.sum() == 0


def test_settings_of_a_module_go_first():
    net = trained(mlp(), torch.tensor([[1.0, 2, 3]]))
    net.get(1).cutoffNorm, net.get(3).cutoffNorm = 0.25, 100
    net.gradParamClip(0.5, True)
    norms = [float(torch.cat([g.view(-1) for g in net.get(i).parameters()[1]]).norm()) for i in (1, 3)]
    assert norms[0] <= 0.25 + 1e-12 and norms[1] > 0.5
    net.cutoffNorm = 0
    assert net.gradParamClip(1) is None
    assert nn.Tanh().gradParamClip(1) == 0 and nn.Tanh().momentumGradParameters() is None
    net.get(3).maxOutNorm = 0.1
    net.maxParamNorm(1000)
    assert net.get(3).weight.norm(dim=1).max() <= 0.1


def test_a_net_that_does_not_go_backward_cannot_be_saved(tmp_path):
    net, x = mlp().dontBackward(), torch.ones(1, 3)
    assert trained(pickle.loads(pickle.dumps(net.clone())), x).backward(x, net.forward(x)) is None
    with pytest.raises(luann.ArgumentError, match=r"call dontBackward\(False\) on the module before it is saved"):
        luann.save(tmp_path / "net.t7", net)
    luann.save(tmp_path / "net.t7", net.dontBackward(False))
    assert luann.load(tmp_path / "net.t7").backward(x, net.forward(x)).shape == (1, 3)


@pytest.mark.parametrize(
    ("method", "arguments", "match"),
    [
        ("gradParamClip", ("x",), "nn.Sequential: cutoffNorm must be a number, got str"),
        ("gradParamClip", (None,), "cutoffNorm"),
        ("weightDecay", (None,), "wdFactor must be a number, got NoneType"),
        ("weightDecay", (1, "x"), "wdMinDim"),
        ("updateGradParameters", (None,), "momFactor must be a number, got NoneType"),
        ("updateGradParameters", (0.9, "x"), "momDamp"),
        ("maxParamNorm", ("x",), "maxOutNorm"),
    ],
)
def test_settings_that_are_no_numbers(method, arguments, match):
    with pytest.raises(luann.ArgumentError, match=match):
        getattr(mlp(), method)(*arguments)


def test_fromBatch_checks():
    m = nn.Identity()
    m.toBatch(torch.ones(2), 1)
    with pytest.raises(luann.ArgumentError, match="dimension 1"):
        m.fromBatch(torch.ones(2, 2), 1)


# nn.Serial


@pytest.mark.parametrize(
    ("mode", "output", "gradWeight"), [("heavySerial", 8, 12), ("mediumSerial", 0, 12), ("lightSerial", 0, 0)]
)
def test_what_a_file_holds(tmp_path, mode, output, gradWeight):
    net = dpnn.Serial(trained(mlp(), torch.ones(2, 3)))
    getattr(net, mode)()
    luann.save(tmp_path / "net.t7", net)
    linear = net.modules[0].get(1)
    assert linear.output.numel() == 8 and linear.gradWeight.numel() == 12  # the net itself stays
    loaded = luann.load(tmp_path / "net.t7")
    assert type(loaded) is dpnn.Serial and loaded.modules[0].dpnn_typename == "nn.Sequential"
    linear = loaded.modules[0].get(1)
    assert (linear.output.numel(), linear.gradWeight.numel()) == (output, gradWeight)
    x = torch.ones(1, 3)
    assert torch.equal(loaded.forward(x), net.forward(x))
    luann.save(tmp_path / "again.t7", luann.load(tmp_path / "net.t7"))
    assert (tmp_path / "again.t7").read_bytes() == (tmp_path / "net.t7").read_bytes()


def test_a_file_of_another_type(tmp_path):
    net = mlp().Serial("torch.FloatTensor")
    luann.save(tmp_path / "net.t7", net)
    loaded = luann.load(tmp_path / "net.t7")
    assert loaded.type() == loaded.modules[0].get(1).type() == "torch.FloatTensor"
    assert net.modules[0].get(1).weight.dtype is torch.float64
    assert torch.equal(loaded.modules[0].get(1).weight, net.modules[0].get(1).weight.float())


def test_sharing_in_a_file(tmp_path):
    linear = nn.Linear(2, 2)
    net = dpnn.Serial(nn.Sequential().add(linear).add(linear).add(linear.clone("weight", "bias"))).mediumSerial()
    luann.save(tmp_path / "net.t7", net)
    loaded = luann.load(tmp_path / "net.t7").modules[0]
    assert loaded.get(1) is loaded.get(2) and records.shares(loaded.get(1).weight, loaded.get(3).weight)


def test_a_graph_in_a_file(tmp_path):
    net = dpnn.Serial(nn.Sequential().add(graph()).add(nn.JoinTable(2))).lightSerial()
    input = [luann.random.randn(5, 3), luann.random.randn(5, 4)]
    wanted = net.forward(input).clone()
    luann.save(tmp_path / "net.t7", net)
    loaded = luann.load(tmp_path / "net.t7")
    assert torch.equal(loaded.forward(input), wanted)
    loaded.zeroGradParameters()
    loaded.backward(input, torch.ones_like(wanted))
    assert loaded.parameters()[1][0].abs().sum() > 0


def test_tables_for_modules(tmp_path):
    """As the first versions wrote: modules within are tables that tell their class."""
    net = mlp()
    state = dpnn.Serial(net).getSerialState()
    assert state["dpnn_typename"] == "nn.Serial" and state["modules"][0]["dpnn_typename"] == "nn.Sequential"
    luann.save(tmp_path / "state.t7", state)
    head = t7_bytes.T.ints(4, 1_000_000) + t7_bytes.T.chars("V 1") + t7_bytes.T.chars("nn.Serial")
    (tmp_path / "net.t7").write_bytes(head + (tmp_path / "state.t7").read_bytes())
    loaded = luann.load(tmp_path / "net.t7")
    assert str(loaded) == str(dpnn.Serial(net))
    x = torch.ones(1, 3)
    assert torch.equal(loaded.forward(x), net.forward(x))


def test_copies_leave_out_as_files_do():
    net = dpnn.Serial(trained(mlp(), torch.ones(2, 3))).lightSerial()
    assert net.clone().modules[0].get(1).gradWeight.numel() == 0
    assert net.sharedClone().modules[0].get(1).gradWeight.data_ptr() == net.modules[0].get(1).gradWeight.data_ptr()
    assert net.modules[0].get(1).gradWeight.numel() == 12
