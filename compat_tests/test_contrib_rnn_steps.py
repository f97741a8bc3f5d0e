"""rnn's recurrent modules and what drives them: the records, the formulas through autograd, memory, files, speed."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import records
import torch

import luann
from luann import nn
from luann.contrib import dpnn, rnn

CLASSES = (
    "FastLSTM",
    "GRU",
    "LSTM",
    "Mufuru",
    "NormStabilizer",
    "Recurrence",
    "Recurrent",
    "RecurrentAttention",
    "Recursor",
    "Sequencer",
    "BiSequencer",
    "BiSequencerLM",
    "Repeater",
    "Dropout",
)


@records.of("rocks/rnn", *CLASSES)
def test_record(case: Any) -> None:
    records.check(case)


@records.of("rocks/rnn", *CLASSES, again=True)
def test_the_fields_are_those_that_rnn_wrote(case: Any) -> None:
    record = records.get(case)
    if "spec" in record:
        luann.setdefaulttensortype("torch.DoubleTensor")
        made = records.build(record.spec, kind=case[0])
        if record.dtype == "float":
            made.float()
        for module, wanted in zip(made.listModules(), record.module.listModules(), strict=True):
            assert type(module) is type(wanted)
            fields = [{k: v for k, v in vars(m).items() if v is not None} for m in (module, wanted)]
            assert set(fields[0]) - set(fields[1]) <= {"_remember"} and not set(fields[1]) - set(fields[0])


@pytest.fixture(autouse=True)
def double() -> None:
    luann.setdefaulttensortype("torch.DoubleTensor")
    luann.manualSeed(3)
    torch.manual_seed(3)


def sequence(steps: int, *size: int) -> list[torch.Tensor]:
    return [torch.randn(*size) for _ in range(steps)]


def close(got: Any, wanted: Any) -> None:
    assert len(got) == len(wanted)
    for one, other in zip(got, wanted):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


# The formulas


def lstm(p: list, x: Any, state: Any) -> tuple:
    (wf, bf, uf, pf, wi, bi, ui, pi, wz, bz, uz, wo, bo, uo, po), (h, c) = p, state
    forget = torch.sigmoid(x @ wf.T + bf + h @ uf.T + pf * c)
    enter = torch.sigmoid(x @ wi.T + bi + h @ ui.T + pi * c)
    c = forget * c + enter * torch.tanh(x @ wz.T + bz + h @ uz.T)
    h = torch.sigmoid(x @ wo.T + bo + h @ uo.T + po * c) * torch.tanh(c)
    return h, (h, c)


def fast_lstm(p: list, x: Any, state: Any) -> tuple:
    (w, b, u), (h, c) = p, state
    enter, new, forget, out = (x @ w.T + b + h @ u.T).chunk(4, -1)
    c = torch.sigmoid(forget) * c + torch.sigmoid(enter) * torch.tanh(new)
    h = torch.sigmoid(out) * torch.tanh(c)
    return h, (h, c)


def gru(p: list, x: Any, state: Any) -> tuple:
    (w, b, u, wn, bn, un), (h, _) = p, state
    r, z = torch.sigmoid(x @ w.T + b + h @ u.T).chunk(2, -1)
    n = torch.tanh(x @ wn.T + bn + (r * h) @ un.T)
    h = (1 - z) * n + z * h
    return h, (h, None)


def mufuru(p: list, x: Any, state: Any) -> tuple:
    (w, b, u, d, wv, bv, wp, bp), (h, _) = p, state
    r = torch.sigmoid(x @ w.T + b + h @ u.T + d)
    v = torch.sigmoid(torch.cat([x, r * h], 1) @ wv.T + bv)
    weights = (torch.cat([x, h], 1) @ wp.T + bp).view(len(x), 3, -1).softmax(1)
    h = (weights * torch.stack([h, v, torch.maximum(h, v)], 1)).sum(1)
    return h, (h, None)


def recurrent(p: list, x: Any, state: Any) -> tuple:
    (start, w, b, u, d), (h, steps) = p, state
    h = torch.sigmoid(x @ w.T + b + (start if steps is None else h @ u.T + d))
    return h, (h, 1)


def simple() -> Any:
    both = nn.ParallelTable().add(nn.Linear(3, 4)).add(nn.Linear(4, 4))
    return rnn.Recurrence(nn.Sequential().add(both).add(nn.CAddTable()).add(nn.Tanh()), 4, 1)


def by_itself(p: list, x: Any, state: Any) -> tuple:
    (w, b, u, d), (h, _) = p, state
    h = torch.tanh(x @ w.T + b + h @ u.T + d)
    return h, (h, None)


FORMULAS: list[tuple[Callable[[], Any], Any]] = [
    (lambda: rnn.LSTM(3, 4), lstm),
    (lambda: rnn.FastLSTM(3, 4), fast_lstm),
    (lambda: rnn.GRU(3, 4), gru),
    (lambda: rnn.MuFuRu(3, 4, ["keep", "replace", "max"]), mufuru),
    (lambda: rnn.Recurrent(4, nn.Linear(3, 4), nn.Linear(4, 4)), recurrent),
    (simple, by_itself),
]


def unrolled(formula: Any, parameters: list, inputs: list, gradOutputs: list) -> tuple[list, list, list]:
    """Outputs, gradients of the inputs and gradients of the parameters, by autograd."""
    with torch.enable_grad():
        p = [t.detach().clone().requires_grad_() for t in parameters]
        x = [t.detach().clone().requires_grad_() for t in inputs]
        zeros = torch.zeros(*inputs[0].shape[:-1], 4)
        state: Any = (zeros, None if formula is recurrent else zeros)
        outputs = []
        for step in x:
            out, state = formula(p, step, state)
            outputs.append(out)
        torch.autograd.backward(outputs, gradOutputs)
    return [t.detach() for t in outputs], [t.grad for t in x], [t.grad for t in p]


@pytest.mark.parametrize(("make", "formula"), FORMULAS)
def test_a_sequence_and_its_gradients(make: Any, formula: Any) -> None:
    net = rnn.Sequencer(make())
    for steps, batch in ((4, 2), (6, 3), (2, 2)):
        inputs, grads = sequence(steps, batch, 3), sequence(steps, batch, 4)
        outputs, gradInputs, gradParameters = unrolled(formula, net.parameters()[0], inputs, grads)
        net.zeroGradParameters()
        close(net.forward(inputs), outputs)
        close(net.backward(inputs, grads), gradInputs)
        close(net.parameters()[1], gradParameters)

        net.zeroGradParameters()
        x, g = torch.stack(inputs), torch.stack(grads)
        close(net.forward(x), outputs)
        close(net.updateGradInput(x, g), gradInputs)
        net.accGradParameters(x, g, 0.5)
        close([2 * t for t in net.parameters()[1]], gradParameters)

        net.evaluate()
        close(net.forward(inputs), outputs)
        close(net.forward(x), outputs)
        net.training()


@pytest.mark.parametrize(("make", "formula"), FORMULAS[:3])
def test_the_same_inside_a_recursor(make: Any, formula: Any) -> None:
    linear = nn.Linear(4, 2)
    net = rnn.Sequencer(nn.Sequential().add(make()).add(nn.Dropout(0)).add(linear))
    inputs, grads = sequence(5, 2, 3), sequence(5, 2, 2)
    parameters = net.parameters()[0]
    above = [g @ linear.weight for g in grads]
    outputs, gradInputs, gradParameters = unrolled(formula, parameters[:-2], inputs, above)
    for _ in range(2):
        net.zeroGradParameters()
        close(net.forward(inputs), [h @ linear.weight.T + linear.bias for h in outputs])
        close(net.backward(inputs, grads), gradInputs)
        weight = sum(g.T @ h for g, h in zip(grads, outputs))
        close(net.parameters()[1], [*gradParameters, weight, sum(g.sum(0) for g in grads)])


def test_both_ways() -> None:
    forth, back = rnn.FastLSTM(3, 4), rnn.FastLSTM(3, 4)
    inputs, grads = sequence(4, 2, 3), sequence(4, 2, 8)
    one = unrolled(fast_lstm, forth.parameters()[0], inputs, [g[:, :4] for g in grads])
    two = unrolled(fast_lstm, back.parameters()[0], inputs[::-1], [g[:, 4:] for g in grads[::-1]])
    net = rnn.BiSequencer(forth, back)
    net.zeroGradParameters()
    close(net.forward(inputs), [torch.cat(pair, 1) for pair in zip(one[0], two[0][::-1])])
    close(net.backward(inputs, grads), [a + b for a, b in zip(one[1], two[1][::-1])])
    close(net.parameters()[1], one[2] + two[2])


def test_a_repeated_input() -> None:
    cell = rnn.GRU(3, 4)
    x, grads = torch.randn(2, 3), sequence(3, 2, 4)
    outputs, gradInputs, gradParameters = unrolled(gru, cell.parameters()[0], [x] * 3, grads)
    net = rnn.Repeater(cell, 3)
    net.zeroGradParameters()
    close(net.forward(x), outputs)
    close([net.backward(x, grads)], [sum(gradInputs)])
    close(net.parameters()[1], gradParameters)


@pytest.mark.parametrize("bn", [False, True])
def test_as_a_graph(bn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rnn.FastLSTM, "usenngraph", True)
    monkeypatch.setattr(rnn.FastLSTM, "bn", bn)
    graph = rnn.FastLSTM(3, 4, None, 1e-4)
    assert graph.recurrentModule._typename == "nn.gModule"
    wanted = next(r for r in luann.load(records.REFERENCE / "rocks/rnn/FastLSTM.t7") if r.name == "graph" + "_bn" * bn)
    assert [p.shape for p in graph.parameters()[0]] == [p.shape for p in wanted.module.parameters()[0]]
    assert [dict(n.data.get("annotations") or {}).get("name") for n in graph.recurrentModule.forwardnodes] == [
        dict(n.data.get("annotations") or {}).get("name") for n in wanted.module.recurrentModule.forwardnodes
    ]
    inputs, grads = sequence(3, 5, 3), sequence(3, 5, 4)
    net = rnn.Sequencer(graph)
    net.zeroGradParameters()
    outputs, gradInputs = net.forward(inputs), net.backward(inputs, grads)
    if bn:
        layers = [m for m in graph.recurrentModule.modules if isinstance(m, nn.BatchNormalization)]
        assert [m.eps for m in layers] == [1e-4] * 3 and all((m.weight == 0.1).all() for m in layers)
        clone = graph.getStepModule(2)
        assert clone.modules[2].running_mean.data_ptr() == graph.recurrentModule.modules[2].running_mean.data_ptr()
    else:
        wanted = unrolled(fast_lstm, graph.parameters()[0], inputs, grads)
        close(outputs, wanted[0])
        close(gradInputs, wanted[1])
        close(net.parameters()[1], wanted[2])


# Steps by hand, memory


def test_steps_by_hand() -> None:
    cell = rnn.LSTM(3, 4)
    inputs, grads = sequence(3, 2, 3), sequence(3, 2, 4)
    wanted = unrolled(lstm, cell.parameters()[0], inputs, grads)
    cell.zeroGradParameters()
    close([cell.forward(x) for x in inputs], wanted[0])
    close([cell.backward(x, g) for x, g in zip(inputs[::-1], grads[::-1])], wanted[1][::-1])
    close(cell.parameters()[1], wanted[2])
    with pytest.raises(luann.Error, match="no step is left"):
        cell.backward(inputs[0], grads[0])
    cell.forget()
    with pytest.raises(luann.Error, match="at least one forward"):
        cell.backward(inputs[0], grads[0])
    close([cell.forward(inputs[0])], wanted[0][:1])


@pytest.mark.parametrize("mode", ["train", "eval", "both", "neither"])
def test_remember(mode: str) -> None:
    net = rnn.Sequencer(nn.Sequential().add(rnn.GRU(3, 4)).add(nn.Linear(4, 2)))
    inputs = sequence(6, 2, 3)
    whole = copy.deepcopy(net.forward(inputs))
    assert net.remember(mode) is net
    for evaluating in (False, True):
        net.forget()
        first = copy.deepcopy(net.forward(inputs[:4]))
        second = net.forward(inputs[4:])
        close(first, whole[:4])
        goes_on = mode == "both" or mode == ("eval" if evaluating else "train")
        assert torch.allclose(second[0], whole[4]) == goes_on
        net.evaluate()
    net.training()
    close(net.forward(inputs), whole)  # another mode begins anew


def test_gradients_stop_at_the_beginning_of_what_is_remembered() -> None:
    net = rnn.Sequencer(rnn.FastLSTM(3, 4)).remember()
    inputs, grads = sequence(5, 2, 3), sequence(2, 2, 4)
    net.forward(inputs[:3])
    h, c = net.module.getHiddenState(3)
    net.forward(inputs[3:])
    got = net.backward(inputs[3:], grads)
    cell = rnn.Sequencer(net.module.clone())
    cell.module.forget()
    cell.module.userPrevOutput, cell.module.userPrevCell = h, c
    cell.forward(inputs[3:])
    close(got, cell.backward(inputs[3:], grads))


def test_a_long_sequence_keeps_only_what_gradients_reach() -> None:
    cell = rnn.LSTM(3, 4, 5)
    other = rnn.LSTM(3, 4)
    other.share(cell, "weight", "bias")
    inputs = sequence(20, 2, 3)
    for x in inputs:
        close([cell.forward(x)], [other.forward(x)])
    assert len(cell.sharedClones) == 6 and len(other.sharedClones) == 20
    grads = sequence(5, 2, 4)
    for x, g in zip(inputs[:-6:-1], grads):
        close([cell.backward(x, g)], [other.backward(x, g)])


def test_from_one_net_into_another() -> None:
    encoder, decoder = rnn.LSTM(3, 4), rnn.LSTM(2, 4)
    both = [rnn.Sequencer(encoder), rnn.Sequencer(nn.Sequential().add(decoder).add(nn.Linear(4, 2)))]
    x, y, g = sequence(3, 2, 3), sequence(2, 2, 2), sequence(2, 2, 2)
    both[0].forward(x)
    both[1].remember()
    both[1].module.setHiddenState(0, [[*encoder.getHiddenState(3)]])
    both[1].forward(y)
    both[1].backward(y, g)
    encoder.setGradHiddenState(3, decoder.getGradHiddenState(0))
    gradInput = both[0].backward(x, [torch.zeros(2, 4)] * 3)

    def loss() -> float:
        both[0].forward(x)
        both[1].forget()
        both[1].module.setHiddenState(0, [[*encoder.getHiddenState(3)]])
        return sum(float((a * b).sum()) for a, b in zip(both[1].forward(y), g))

    for i in range(3):
        kept = float(x[0][1, i])
        x[0][1, i] = kept + 1e-6
        up = loss()
        x[0][1, i] = kept - 1e-6
        assert (up - loss()) / 2e-6 == pytest.approx(float(gradInput[0][1, i]), abs=1e-8)
        x[0][1, i] = kept


def test_states_of_nested_modules() -> None:
    net = nn.Sequential().add(rnn.Sequencer(rnn.GRU(2, 2))).add(rnn.Sequencer(nn.Linear(2, 2)))
    assert net.maxBPTTstep(9) is None and net.forget() is net and net.remember("eval") is net
    net.forward(sequence(2, 1, 2))
    states = net.getHiddenState(2)
    close([states[0][0]], [net.get(1).module.outputs[2]])
    assert len(states) == 2 and not states[1]
    net.setHiddenState(2, states)
    with pytest.raises(luann.ArgumentError, match="must be a table"):
        net.setHiddenState(2, None)
    with pytest.raises(luann.ArgumentError, match="a list of 2"):
        rnn.LSTM(2, 2).setHiddenState(0, [torch.zeros(2)])
    with pytest.raises(luann.ModuleError, match="no getHiddenState"):
        rnn.Recurrent(2, nn.Linear(2, 2), nn.Linear(2, 2)).getHiddenState(1)


# Parameters, conversion, copies, files


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("flatten", [lambda net: net.getParameters(), dpnn.getParameters])
def test_flat_parameters_reach_all_steps(used: bool, flatten: Any) -> None:
    cell = rnn.Recurrent(4, nn.Linear(3, 4), nn.Linear(4, 4))
    stack = nn.Sequential().add(rnn.LSTM(4, 4)).add(nn.Linear(4, 2))
    net = nn.Sequential().add(rnn.Sequencer(cell)).add(rnn.Sequencer(stack))
    inputs, grads = sequence(4, 2, 3), sequence(4, 2, 2)
    if used:
        net.forward(inputs)
        net.backward(inputs, grads)
    flat, gradFlat = flatten(net)
    for _ in range(2):
        flat.uniform_(-0.5, 0.5)
        fresh = net.clone()
        for module in fresh.listModules():
            if isinstance(module, rnn.AbstractRecurrent) and not isinstance(module, rnn.Recurrent):
                module.sharedClones = luann.Table({1: module.recurrentModule})
        gradFlat.zero_()
        fresh.zeroGradParameters()
        close(net.forward(inputs), fresh.forward(inputs))
        close(net.backward(inputs, grads), fresh.backward(inputs, grads))
        close(net.parameters()[1], fresh.parameters()[1])
        close([gradFlat.abs().sum()], [sum(g.abs().sum() for g in fresh.parameters()[1])])


def test_training_with_flat_parameters() -> None:
    net = rnn.Sequencer(nn.Sequential().add(rnn.FastLSTM(2, 8)).add(nn.Linear(8, 1)))
    flat, gradFlat = net.getParameters()
    x = torch.randn(6, 16, 2)
    target = x.cumsum(0)[..., :1]
    criterion = nn.MSECriterion()

    def feval(_: torch.Tensor) -> tuple:
        gradFlat.zero_()
        loss = criterion.forward(net.forward(x), target)
        net.backward(x, criterion.backward(net.output, target))
        return loss, gradFlat

    state = luann.Table(learningRate=0.03)
    losses = [luann.optim.adam(feval, flat, state)[1][0] for _ in range(80)]
    assert losses[-1] < losses[0] / 8


def used_net() -> tuple[Any, list, list]:
    stack = nn.Sequential().add(rnn.LSTM(3, 4)).add(rnn.Dropout(0.5)).add(nn.Linear(4, 2))
    net = nn.Sequential().add(rnn.Sequencer(rnn.GRU(3, 3))).add(rnn.Sequencer(stack))
    inputs, grads = sequence(3, 2, 3), sequence(3, 2, 2)
    net.forward(inputs)
    net.backward(inputs, grads)
    return net, inputs, grads


def saved(net: Any) -> Any:
    file = io.BytesIO()
    luann.save(file, net)
    return luann.load(io.BytesIO(file.getvalue()))


@pytest.mark.parametrize("twin", [lambda n: n.clone(), saved, lambda n: pickle.loads(pickle.dumps(n))])
def test_a_copy_of_a_used_net_goes_on(twin: Any) -> None:
    net, inputs, grads = used_net()
    other = twin(net)
    for mode in ("training", "evaluate"):
        results = []
        for one in (net, other):
            getattr(one, mode)()
            luann.manualSeed(8)
            one.zeroGradParameters()
            results.append(copy.deepcopy(one.forward(inputs)))
            if mode == "training":
                results[-1] += [*one.backward(inputs, grads), *one.parameters()[1]]
        close(*results)
    assert not records.shares(net.parameters()[0], other.parameters()[0])


def test_conversion_reaches_the_steps() -> None:
    net, inputs, grads = used_net()
    net.float()
    inputs, grads = [x.float() for x in inputs], [g.float() for g in grads]
    net.zeroGradParameters()
    net.forward(inputs)
    net.backward(inputs, grads)
    cell = net.get(2).module
    assert all(t.dtype is torch.float32 for t in dpnn.getParameters(net))
    first, second = cell.sharedClones[1], cell.sharedClones[2]
    assert first.get(3).gradWeight.data_ptr() == second.get(3).gradWeight.data_ptr()
    assert first.get(3).output.data_ptr() != second.get(3).output.data_ptr()
    lstm = first.get(1)
    assert lstm is second.get(1) and lstm.zeroTensor.dtype is torch.float32


def test_clear_state() -> None:
    net, inputs, grads = used_net()
    net.evaluate()
    wanted = copy.deepcopy(net.forward(inputs))
    size = len(pickle.dumps(net))
    net.clearState()
    assert len(pickle.dumps(net)) < size
    close(net.forward(inputs), wanted)
    net.training()
    net.forward(inputs)
    net.backward(inputs, grads)


@pytest.mark.parametrize("method", ["training", "evaluate", "clearState"])
def test_a_long_net_is_gone_through_once(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net = rnn.Sequencer(nn.Sequential().add(rnn.LSTM(3, 4)).add(nn.Linear(4, 2)))
    net.forward(sequence(50, 2, 3))
    calls: list = []
    own = getattr(nn.Tanh, method)
    monkeypatch.setattr(nn.Tanh, method, lambda self: (calls.append(id(self)), own(self))[1])
    getattr(net, method)()
    assert len(set(calls)) == 100 and len(calls) < 400  # two in the LSTM, each for 50 steps


def test_nothing_is_made_for_the_second_sequence(monkeypatch: pytest.MonkeyPatch) -> None:
    net = rnn.Sequencer(nn.Sequential().add(rnn.LSTM(3, 4)).add(nn.Linear(4, 2)))
    inputs, grads = sequence(50, 2, 3), sequence(50, 2, 2)
    net.forward(inputs)
    net.backward(inputs, grads)
    monkeypatch.setattr(nn.Module, "stepClone", lambda *_: pytest.fail("a module is cloned"))
    monkeypatch.setattr(nn.Module, "__init__", lambda *_: pytest.fail("a module is made"))
    steps = [m.sharedClones for m in net.listModules() if isinstance(m, rnn.AbstractRecurrent)]
    modules = [list(map(id, s.values())) for s in steps]
    net.forward(inputs)
    net.backward(inputs, grads)
    assert [list(map(id, s.values())) for s in steps] == modules and len(modules[0]) == 50


def test_older_files() -> None:
    old = rnn.LSTM(3, 2)
    fields = {k: v for k, v in vars(old).items() if k not in ("gradOutputs", "gradInputs", "p", "mono")}
    cell = rnn.LSTM.__new__(rnn.LSTM)
    cell._restore(fields, 1)
    sequencer = rnn.Sequencer.__new__(rnn.Sequencer)
    linear = nn.Linear(2, 2)
    sequencer._restore({"module": linear, "modules": [linear], "sharedClones": [linear], "isRecurrent": False}, 1)
    net = nn.Sequential().add(rnn.Sequencer(cell)).add(sequencer)
    x, g = sequence(3, 2, 3), sequence(3, 2, 2)
    net.forward(x)
    net.backward(x, g)
    assert str(sequencer) == "nn.Sequencer @ nn.Recursor @ nn.Linear(2 -> 2)"
    cell.rmInSharedClones = None
    cell.sharedClones = luann.Table({1: cell.recurrentModule.clone(), 2: cell.getStepModule(2)})
    trained = cell.sharedClones[1]
    assert cell.forget().recurrentModule is trained


def test_files_of_the_successor() -> None:
    """torch/rnn has the same classes, with other fields."""
    linear = nn.Linear(3, 2)
    fields = {"modules": [linear], "sharedClones": [linear], "seqlen": 7, "step": 1}
    fields |= {name: [] for name in ("outputs", "gradInputs", "_gradOutputs", "gradOutputs")}
    cell = rnn.Recursor.__new__(rnn.Recursor)
    cell._restore(fields, 1)
    x = torch.randn(2, 3)
    assert cell.rho == 7
    close([cell.forward(x)], [linear.clone().forward(x)])


# The single modules


def test_dropout_takes_nothing_from_nn(tmp_path: Path) -> None:
    luann.save(tmp_path / "d.t7", [nn.Dropout(0.25), rnn.Dropout(0.25)])
    one, other = luann.load(tmp_path / "d.t7")
    assert type(one) is nn.Dropout and type(other) is rnn.Dropout
    assert (str(one), str(other)) == ("nn.Dropout(0.250000)", "nn.Dropout(0.3, busy)")
    x = torch.ones(4, 1000)
    assert other.forward(x).mean() == pytest.approx(1, abs=0.05)
    lazy = rnn.Dropout(0.5, None, None, True, True)
    kept = lazy.forward(x).clone()
    assert (kept == kept[:1]).all() and lazy.forward(x).equal(kept)
    assert lazy.backward(x, x).equal(kept) and not lazy.forward(x).equal(kept)
    inplace = rnn.Dropout(0.5, False, True)
    assert inplace.forward(x).data_ptr() == x.data_ptr()
    old = rnn.Dropout(0.5, True)
    assert set(old.forward(torch.ones(99)).tolist()) == {0.0, 1.0}
    old.evaluate()
    assert old.forward(torch.ones(2)).tolist() == [0.5, 0.5]
    with pytest.raises(luann.ModuleError, match="evaluation"):
        old.backward(torch.ones(2), torch.ones(2))


@pytest.mark.parametrize("cls", [rnn.LSTM, rnn.FastLSTM, rnn.GRU])
def test_dropout_inside(cls: Any) -> None:
    p = {"p": 0.5}
    net = rnn.Sequencer(cls(3, 4, **p))
    inputs, grads = [torch.ones(2, 3)] * 3, sequence(3, 2, 4)
    first = [t.clone() for t in net.forward(inputs)]
    close(net.forward(inputs), first)  # the noise stays
    net.backward(inputs, grads)
    assert not torch.allclose(net.forward(inputs)[0], first[0])
    net.evaluate()
    plain = [t.clone() for t in net.forward(inputs)]
    close(net.forward(inputs), plain)
    noisy = [m for m in net.listModules() if isinstance(m, rnn.Dropout)]
    assert len(noisy) == {rnn.LSTM: 8, rnn.FastLSTM: 8, rnn.GRU: 6}[cls] and all(m.lazy and m.p == 0.5 for m in noisy)


def test_migration_to_dropout() -> None:
    plain, other = rnn.GRU(3, 4), rnn.GRU(3, 4, None, 0.25)
    other.migrate(plain.parameters()[0])
    other.evaluate()
    x = torch.randn(2, 3)
    close([other.forward(x)], [plain.forward(x)])
    with pytest.raises(luann.ArgumentError, match="6 parameters"):
        plain.migrate(plain.parameters()[0])


@pytest.mark.parametrize("method", ["maskZero", "trimZero"])
@pytest.mark.parametrize("cls", [rnn.LSTM, rnn.GRU])
def test_rows_of_zeros_begin_anew(cls: Any, method: str) -> None:
    cell = cls(3, 4)
    masked = getattr(cell.clone(), method)(1)
    inputs = sequence(4, 2, 3)
    inputs[1][0] = 0
    got = rnn.Sequencer(masked).forward(inputs)
    assert (got[1][0] == 0).all()
    alone = rnn.Sequencer(cell)
    close([y[1] for y in got], [y[1].clone() for y in alone.forward(inputs)])
    close([y[0] for y in got[2:]], [y[0] for y in alone.forward(inputs[2:])])


def test_operations() -> None:
    names = ["keep", "replace", "mul", "diff", "forget", "sqrt_diff", "max", "min"]
    h, v = torch.rand(2, 4), torch.rand(2, 4)
    wanted = [h, v, h * v, h - v, 0 * h, (h - v).abs().sqrt() / 4, torch.maximum(h, v), torch.minimum(h, v)]
    close([m.forward([h, v]) for m in rnn.MuFuRu(3, 4).operations], wanted)
    assert str(rnn.MuFuRu(3, 4)) == f"nn.MuFuRu(3 -> 4) {{ {' '.join(names)} }}"
    twice = rnn.MuFuRu(3, 4, ["mul", "mul"])
    assert twice.operations[0] is twice.operations[1]


def test_the_loss_of_the_norms() -> None:
    layer = rnn.NormStabilizer(2)
    inputs = sequence(3, 2, 4)
    for x in inputs:
        layer.forward(x)
    n = [x.norm(dim=1) for x in inputs]
    wanted = 2 * sum(float(((a + b) ** 2).mean()) for a, b in pairwise(n)) / 3
    assert layer.updateLoss() == pytest.approx(wanted, rel=1e-12) and layer.loss == layer.updateLoss()
    g = torch.zeros(2, 4)
    got = layer.backward(inputs[2], g)
    close([got], [inputs[2] / 2 * (4 * (n[2] - n[1]) / n[2]).unsqueeze(1)])
    assert (g == 0).all()


def test_attention_with_places_given_out() -> None:
    glimpse = nn.Sequential().add(nn.ParallelTable().add(nn.Linear(4, 3)).add(nn.Linear(2, 3))).add(nn.CAddTable())
    net = rnn.RecurrentAttention(rnn.Recurrent(3, glimpse, nn.Linear(3, 3)), nn.Linear(3, 2), 3, [3])
    x, grads = torch.randn(2, 4), sequence(3, 2, 3)
    net.forward(x)
    net.zeroGradParameters()
    gradInput = net.backward(x, grads).clone()

    def loss() -> float:
        return sum(float((a * b).sum()) for a, b in zip(net.forward(x), grads))

    loss()  # the gradients of the places are taken for zero, so that only x counts
    places = [p.clone() for p in net.actions]
    cell = net.rnn.clone()

    def held(x: torch.Tensor) -> float:
        cell.forget()
        return sum(float((cell.forward([x, p]) * g).sum()) for p, g in zip(places, grads))

    for i in range(4):
        step = torch.zeros(2, 4)
        step[0, i] = 1e-6
        assert (held(x + step) - held(x - step)) / 2e-6 == pytest.approx(float(gradInput[0, i]), abs=1e-8)
    with pytest.raises(luann.Error, match="each of 3 steps"):
        net.backward(x, grads[:2])
    net.evaluate()
    assert len(net.forward(x)) == 3


def test_helpers_for_tables() -> None:
    table = [torch.ones(2), luann.Table(a=torch.ones(3))]
    twin, _ = rnn.recursiveCopy(None, table)
    assert rnn.recursiveTensorEq(twin, table) and rnn.recursiveSum(twin) == 5
    view, _ = rnn.recursiveSet([], table)
    rnn.recursiveNormal(table)
    assert rnn.recursiveTensorEq(view, table) and not rnn.recursiveTensorEq(twin, table)
    luann.manualSeed(3)
    rnn.recursiveNormal(twin)
    luann.manualSeed(3)
    assert twin[0].equal(luann.random.normal(torch.empty(2), 0, 1))
    new = rnn.recursiveNew(table)
    assert new[1].a.numel() == 0 and not rnn.recursiveTensorEq(torch.ones(2), table)
    with pytest.raises(luann.TensorTypeError):
        rnn.recursiveSum("x")


def test_rewards_go_to_the_steps() -> None:
    given: list = []

    class Rewarded(nn.Identity):
        def reinforce(self, reward: Any) -> None:
            given.append(float(reward))

    net = rnn.Recursor(nn.Sequential().add(Rewarded()))
    for x in sequence(3, 2):
        net.forward(x)
    net.reinforce([1, 2, 3])
    assert given == [1, 2, 3]
    net.reinforce(5)
    assert given[3:] == [5] * 4  # the first step has the module itself


def test_what_is_wrong_is_told() -> None:
    net = rnn.Sequencer(rnn.LSTM(3, 2))
    x = sequence(3, 2, 3)
    with pytest.raises(luann.TensorTypeError, match="a list of steps or a tensor"):
        net.forward(5)
    net.forward(x)
    for wrong in (sequence(2, 2, 2), torch.zeros(3, 2, 2)):
        with pytest.raises(luann.ShapeError, match="for the 3 steps"):
            net.backward(x, wrong)
    with pytest.raises(luann.Error, match=r"Sequencer\[1\] LSTM"):
        net.forward(sequence(2, 2, 5))
    with pytest.raises(luann.ModuleError, match="use Recurrence"):
        rnn.Recurrent(2, nn.Linear(2, 2), nn.Linear(2, 2)).maskZero(1)
    with pytest.raises(luann.ShapeError, match="1 dimensions, or a batch"):
        simple().forward(torch.zeros(1, 2, 3))
    for make in (
        lambda: rnn.LSTM(0),
        lambda: rnn.GRU(3, "x"),
        lambda: rnn.MuFuRu(3, 4, ["min", "median"]),
        lambda: rnn.Repeater(nn.Linear(2, 2), 0),
        lambda: rnn.Recurrence(nn.Identity(), "x", 1),
        lambda: rnn.GRU(3, 4, None, 0.25).trimZero(1),
        lambda: net.remember("always"),
    ):
        with pytest.raises(luann.ArgumentError):
            make()
    for make in (lambda: rnn.Sequencer(3), lambda: rnn.Recursor(None), lambda: rnn.Recurrent("x", 1, 2)):
        with pytest.raises(luann.TensorTypeError, match="takes a module"):
            make()


@pytest.mark.parametrize("make", [rnn.LSTM, rnn.FastLSTM, rnn.GRU])
def test_going_back_further_than_rho_is_an_error(make):
    module, x, g = make(2, 3, 2), torch.randn(1, 2), torch.ones(1, 3)
    for _ in range(6):
        module.forward(x)
    for _ in range(2):
        module.backward(x, g)
    with pytest.raises(luann.Error, match="rho = 2 steps at most: step 4 of 6 is no longer kept"):
        module.backward(x, g)
    module.forget()
    module.forward(x)
    module.backward(x, g)


def test_a_recursor_goes_back_through_the_steps_that_it_keeps():
    module, x, g = rnn.Recursor(nn.Linear(2, 3), 2), torch.randn(1, 2), torch.ones(1, 3)
    for _ in range(6):
        module.forward(x)
    for _ in range(3):
        module.backward(x, g)
    with pytest.raises(luann.Error, match="no longer kept"):
        module.backward(x, g)


def test_going_back_in_evaluation_is_an_error():
    module, x = rnn.Sequencer(rnn.FastLSTM(2, 3)), torch.randn(4, 1, 2)
    module.evaluate()
    module.forward(x)
    with pytest.raises(luann.Error, match=r"call training\(\) before forward"):
        module.backward(x, torch.ones(4, 1, 3))
    module.training()
    module.forward(x)
    module.backward(x, torch.ones(4, 1, 3))


def test_another_batch_size_after_a_remembered_sequence():
    module = rnn.Sequencer(rnn.FastLSTM(2, 3))
    module.remember("both")
    module.forward(torch.randn(2, 2, 2))
    with pytest.raises(luann.Error, match=r"remembered: call forget\(\) before a batch of another size"):
        module.forward(torch.randn(2, 3, 2))
    module.forget()
    assert module.forward(torch.randn(2, 3, 2)).shape == (2, 3, 3)
