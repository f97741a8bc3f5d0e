"""Graphs after ``keepBuffers(False)``: cells of an LSTM are computed as one, and what a pass needs no more is gone.

What they compute is compared with the same graph whose modules each compute for themselves.
"""

import pickle

import pytest
import torch

import luann
from luann import nn, random
from luann.contrib.char_rnn import clone_many_times, gru
from luann.nn import _kernels as kernels
from luann.nngraph._cell import Cell

SHARED = "weight", "bias", "gradWeight", "gradBias"
SIZE, WIDTH, BATCH = 5, 3, 4
GATES = "ifog"


@pytest.fixture(autouse=True)
def doubles():
    luann.setdefaulttensortype("torch.DoubleTensor")
    luann.manualSeed(1)
    torch.manual_seed(1)


def slices(sums, form, order):
    """The gates before their functions, by name, as different scripts take them apart; ``chunk`` has them behind."""
    size = SIZE
    if form == "narrow":
        return {gate: nn.Narrow(2, 1 + k * size, size)(sums) for k, gate in enumerate(order)}
    shaped = {
        "reshape": lambda: nn.Reshape(4, size),
        "view": lambda: nn.View(4, size).setNumInputDims(1),
        "batch": lambda: nn.View(-1, 4, size),
        "select": lambda: nn.Reshape(4, size, True),
        "dims": lambda: nn.Reshape(4, size),
    }[form]()(sums)
    split = (nn.SplitTable(1, 2) if form == "dims" else nn.SplitTable(2))(shaped)
    if form == "select":
        return {gate: nn.SelectTable(k)(split) for k, gate in enumerate(order, 1)}
    return dict(zip(order, split.split(4)))


def functions(sums, form, order):
    """The gates."""
    if form == "chunk":  # char-rnn of May 2015 and neuraltalk2
        chunk = nn.Sigmoid()(nn.Narrow(2, 1, 3 * SIZE)(sums))
        gates = {gate: nn.Narrow(2, 1 + k * SIZE, SIZE)(chunk) for k, gate in enumerate(order[:3])}
        return gates | {order[3]: nn.Tanh()(nn.Narrow(2, 1 + 3 * SIZE, SIZE)(sums))}
    return {g: (nn.Tanh if g == "g" else nn.Sigmoid)()(x) for g, x in slices(sums, form, order).items()}


def net(form="reshape", order=GATES, layers=1, dropout=0, terms=2, bias=True, more=lambda **nodes: []):
    """A step of an LSTM: from [x, c, h, ...] to [c, h, ..., log-probabilities] and what ``more`` makes of its nodes."""
    inputs = [nn.Identity()() for _ in range(1 + 2 * layers)]
    outputs = []
    for layer in range(layers):
        c, h = inputs[2 * layer + 1 : 2 * layer + 3]
        x, width = (outputs[-1], SIZE) if layer else (inputs[0], WIDTH)
        if layer and dropout:
            x = nn.Dropout(dropout)(x)
        if terms == 1:
            sums = nn.Linear(width + SIZE, 4 * SIZE, bias)(nn.JoinTable(2)([x, h]))
        else:
            terms_of = [(width, x), (SIZE, h), (SIZE, c)][:terms]
            sums = nn.CAddTable()([nn.Linear(size, 4 * SIZE, bias)(node) for size, node in terms_of])
        gates = functions(sums, form, order)
        new, kept = nn.CMulTable()([gates["i"], gates["g"]]), nn.CMulTable()([c, gates["f"]])
        next_c = nn.CAddTable()([kept, new] if order[0] == "i" else [new, kept])
        squashed = nn.Tanh()(next_c)
        outputs += [next_c, nn.CMulTable()([gates["o"], squashed])]
    extra = more(sums=sums, gates=gates, squashed=squashed, new=new)
    decoded = nn.LogSoftMax()(nn.Linear(SIZE, WIDTH)(outputs[-1]))
    made = nn.gModule(inputs, [*outputs, decoded, *extra])
    random.uniform(made.getParameters()[0], -0.5, 0.5)
    return made


def data(graph, rows=BATCH):
    """Inputs and gradients of the outputs."""
    layers = (graph.nInputs - 1) // 2
    input = [torch.randn(rows, WIDTH), *(torch.randn(rows, SIZE) for _ in range(2 * layers))]
    output = graph.clone().forward(input)
    return input, [torch.randn_like(o) for o in output]


def cells(graph):
    """How many cells the last pass forward computed as one."""
    return sum(isinstance(s, Cell) and s.kept is not None for s in graph._schedule().ran.forward)


def results(graph, input, gradOutput, scale=1, apart=False):
    """Outputs, gradients with respect to the inputs, and those of the parameters."""
    graph.zeroGradParameters()
    output = [o.clone() for o in graph.forward(input)]
    found = cells(graph)
    if apart:
        gradInput = graph.updateGradInput(input, gradOutput)
        graph.accGradParameters(input, gradOutput, scale)
    else:
        gradInput = graph.backward(input, gradOutput, scale)
    return found, output, gradInput, [g.clone() for g in graph.parameters()[1]]


def close(one, other, tolerance=1e-12):
    """Whether all is equal, as far as rounding goes, relative to the largest number of each tensor."""
    for mine, theirs in zip(one, other, strict=True):
        if mine is None or theirs is None:
            assert mine is theirs
            continue
        assert mine.shape == theirs.shape
        assert (mine - theirs).abs().max() <= tolerance * theirs.abs().max()


def check(graph, count, tolerance=1e-12, rows=BATCH, **how):
    """Compare, and say how many cells have to be computed as one."""
    input, gradOutput = data(graph, rows)
    lean = graph.clone().keepBuffers(False)
    found, *mine = results(lean, input, gradOutput, **how)
    assert found == count
    for one, other in zip(mine, results(graph, input, gradOutput, **how)[1:], strict=True):
        close(one, other, tolerance)
    return lean, input, gradOutput


@pytest.mark.parametrize("form", ["reshape", "view", "batch", "select", "dims", "narrow", "chunk"])
def test_forms_of_the_cell(form):
    check(net(form), 1)


@pytest.mark.parametrize("order", ["ifog", "igfo", "gifo", "fiog", "oifg", "fgio"])
@pytest.mark.parametrize("form", ["reshape", "narrow"])
def test_orders_of_the_gates(form, order):
    check(net(form, order), 1)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_layers(layers):
    check(net(layers=layers), layers)


@pytest.mark.parametrize("terms", [1, 3])  # of [x, h] joined, or of x, h and c
def test_another_number_of_linear_layers(terms):
    check(net(terms=terms), 1)


def test_without_a_bias():
    check(net(bias=False), 1)


@pytest.mark.parametrize("rows", [1, 2, 70])
def test_batches(rows):
    check(net(), 1, rows=rows)


def test_the_batch_may_change():
    graph = net()
    lean = graph.clone().keepBuffers(False)
    for rows in (4, 1, 6):
        input, gradOutput = data(graph, rows)
        for one, other in zip(results(lean, input, gradOutput), results(graph, input, gradOutput)):
            if not isinstance(one, int):
                close(one, other)


@pytest.mark.parametrize("onednn", [False, True])
def test_floats(onednn, monkeypatch):
    if onednn:  # as on processors where its product of matrices is the faster one
        found = kernels._private("mkldnn", "_linear_pointwise")
        if found is None:
            pytest.skip("this PyTorch has no oneDNN")
        monkeypatch.setattr(kernels, "onednn_linear", found)
        monkeypatch.setattr(kernels, "LINEAR_FLOPS", 0)
    graph = net(layers=2)
    input, gradOutput = ([t.float() for t in tensors] for tensors in data(graph))
    lean = graph.float().clone().keepBuffers(False)
    found, *mine = results(lean, input, gradOutput)
    assert found == 2
    for one, other in zip(mine, results(graph, input, gradOutput)[1:], strict=True):
        close(one, other, 1e-5)


@pytest.mark.parametrize("how", [{"scale": 0.5}, {"apart": True}, {"apart": True, "scale": 0.25}])
def test_other_ways_back(how):
    check(net(layers=2), 2, **how)


def test_a_pass_back_without_the_parameters():
    graph = net()
    input, gradOutput = data(graph)
    lean = graph.clone().keepBuffers(False)
    lean.forward(input), graph.forward(input)
    for _ in range(2):  # nothing is given back before accGradParameters
        close(lean.updateGradInput(input, gradOutput), graph.updateGradInput(input, gradOutput))
    assert not any(g.any() for g in lean.parameters()[1])


def test_gradients_that_do_not_come():
    graph = net()
    input, (_, gradOutput, last) = data(graph)
    lean = graph.clone().keepBuffers(False)
    for given in ([None, gradOutput, last], [None, None, last]):
        for one, other in zip(*(results(g, input, given)[1:] for g in (lean, graph)), strict=True):
            close(one, other)


def test_no_gradient_for_the_first_input():
    graph = net(layers=2)
    graph.findModules("nn.Linear")[0][0].gradInput = None
    lean, _, _ = check(graph, 2)
    assert lean.gradInput[0] is None
    graph = net(layers=2).skipInputGradient()
    check(graph, 2)


def test_dropout_between_layers():
    graph = net(layers=3, dropout=0.4)
    input, gradOutput = data(graph)
    lean = graph.clone().keepBuffers(False)
    random.manualSeed(5)
    found, *mine = results(lean, input, gradOutput)
    random.manualSeed(5)
    assert found == 3
    for one, other in zip(mine, results(graph, input, gradOutput)[1:], strict=True):
        close(one, other)


def unrolled(graph, steps, make):
    """Back through time: all outputs, the last gradients of the states, and those of the parameters."""
    torch.manual_seed(3)
    clones, layers = make(graph, steps), (graph.nInputs - 1) // 2
    states = [[torch.randn(BATCH, SIZE) for _ in range(2 * layers)]]
    x, outputs = [torch.randn(BATCH, WIDTH) for _ in clones], []
    graph.zeroGradParameters()
    for clone, given in zip(clones, x):
        *state, output = clone.forward([given, *states[-1]])
        states.append(state)
        outputs.append(output)
    back = [torch.randn(BATCH, SIZE) for _ in range(2 * layers)]
    for t in reversed(range(steps)):
        _, *back = clones[t].backward([x[t], *states[t]], [*back, torch.randn(BATCH, WIDTH)])
    return [*outputs, *back, *graph.parameters()[1]], clones


@pytest.mark.parametrize("make", [clone_many_times, lambda graph, n: [graph.clone(*SHARED) for _ in range(n)]])
def test_back_through_time(make):
    graph = net(layers=2)
    wanted, _ = unrolled(graph, 6, make)
    wanted = [t.clone() for t in wanted]
    graph.keepBuffers(False)
    for _ in range(2):
        found, clones = unrolled(graph, 6, make)
        close(found, wanted)
    assert all(sum(isinstance(s, Cell) for s in clone._schedule().ran.forward) == 2 for clone in clones)


def test_the_output_is_the_next_input():
    """As in sampling: the states of a single net are its inputs again, in the same memory."""
    graph = net(layers=2)
    lean = graph.clone().keepBuffers(False)
    for g in (graph, lean):
        g.evaluate()
    x = [torch.randn(BATCH, WIDTH) for _ in range(5)]
    ends = []
    for g in (graph, lean):
        *state, _ = g.forward([x[0], *(torch.zeros(BATCH, SIZE) for _ in range(4))])
        for given in x[1:]:
            *state, output = g.forward([given, *state])
        ends.append([*state, output])
    close(*ends)


def test_the_modules_are_not_called(monkeypatch):
    graph = net(layers=2).keepBuffers(False)
    input, gradOutput = data(graph)
    graph.forward(input)

    def never(*_):
        raise AssertionError

    for kind in (nn.Sigmoid, nn.Tanh, nn.CMulTable, nn.CAddTable, nn.Reshape, nn.SplitTable, nn.Identity):
        for method in ("updateOutput", "updateGradInput"):
            monkeypatch.setattr(kind, method, never)
    for train in (True, False):
        (graph.training if train else graph.evaluate)()
        graph.forward(input)
    graph.training()
    graph.forward(input)
    graph.backward(input, gradOutput)


def test_a_method_of_a_class_is_replaced(monkeypatch):
    own = nn.Sigmoid.updateOutput
    monkeypatch.setattr(nn.Sigmoid, "updateOutput", lambda self, input: own(self, input).mul_(0.5))
    check(net(layers=2), 0)


# Where it must not be done


def other(what):
    """Graphs that are no such cell, though nearly."""
    if what in ("sums", "squashed", "new"):
        return net(more=lambda **nodes: [nn.MulConstant(2)(nodes[what])])
    if what == "gate":
        return net(more=lambda **nodes: [nodes["gates"]["o"]])
    graph = net()
    if what == "subclass":

        class Twice(nn.Sigmoid):
            def updateOutput(self, input):
                return super().updateOutput(input).mul_(2)

        one = graph.findModules("nn.Sigmoid")[0][0]
        return graph.replace(lambda m: Twice() if m is one else m)
    if what == "method":
        module = graph.findModules("nn.Tanh")[0][0]
        module.updateOutput = lambda input: type(module).updateOutput(module, input).mul_(0.5)
    if what == "inplace":
        for module in graph.findModules("nn.CAddTable")[0]:
            module.inplace = True
    if what == "function":
        one = graph.findModules("nn.Sigmoid")[0][0]
        return graph.replace(lambda m: nn.Tanh() if m is one else m)
    if what == "narrow":
        graph = net("narrow")
        for module in graph.findModules("nn.Narrow")[0][:2]:  # two gates of one slice
            module.index = 1
    return graph


@pytest.mark.parametrize(
    "what", ["sums", "squashed", "new", "gate", "subclass", "method", "inplace", "function", "narrow"]
)
def test_what_is_no_cell(what):
    check(other(what), 0)


def test_a_module_that_is_there_twice():
    graph = net(layers=2)
    first, *_, later = graph.findModules("nn.Sigmoid")[0]
    node = next(n for n in graph.forwardnodes if n.data.get("module") is later)
    node.data["module"] = graph.modules[graph.modules.index(later)] = first
    lean = graph.clone().keepBuffers(False)
    input, gradOutput = data(graph)
    found, *mine = results(lean, input, gradOutput)
    assert found == 0
    for one, other in zip(mine, results(graph, input, gradOutput)[1:], strict=True):
        close(one, other)


def test_inputs_that_are_no_matrices():
    graph = net("narrow")
    with pytest.raises(luann.Error) as one:
        graph.forward([torch.randn(BATCH, WIDTH + 1), torch.randn(BATCH, SIZE), torch.randn(BATCH, SIZE)])
    lean = graph.clone().keepBuffers(False)
    with pytest.raises(luann.Error) as other:
        lean.forward([torch.randn(BATCH, WIDTH + 1), torch.randn(BATCH, SIZE), torch.randn(BATCH, SIZE)])
    assert str(one.value) == str(other.value)
    # c as N*SIZE numbers in another shape, which CMulTable takes
    input, gradOutput = data(graph)
    input[1], gradOutput[0] = (t.view(1, BATCH, SIZE) for t in (input[1], gradOutput[0]))
    found, *mine = results(lean, input, gradOutput)
    assert found == 0
    for one, other in zip(mine, results(graph, input, gradOutput)[1:], strict=True):
        close(one, other)
    check(lean, 1)  # and the next are again


def test_other_nets():
    graph = gru(WIDTH, SIZE, 2)
    lean = graph.clone().keepBuffers(False)
    given = [torch.randint(1, WIDTH + 1, (BATCH,)), torch.randn(BATCH, SIZE), torch.randn(BATCH, SIZE)]
    gradOutput = [torch.randn_like(o) for o in graph.forward(given)]
    for one, other in zip(*(results(g, given, gradOutput)[1:] for g in (lean, graph)), strict=True):
        close(one[-2:], other[-2:])


def test_tables_within_a_graph():
    x = nn.Identity()()
    inner = nn.Sequential().add(nn.ConcatTable().add(nn.Linear(WIDTH, SIZE)).add(nn.Linear(WIDTH, SIZE)))
    both = nn.Identity()(nn.Identity()(inner(x)))
    a, b = both.split(2)
    end = nn.Identity()([a, nn.Tanh()(b)])
    graph = nn.gModule([x], [nn.JoinTable(2)(end), end, nn.Tanh()(nn.CMulTable()(a, b))])
    lean = graph.clone().keepBuffers(False)
    input = torch.randn(BATCH, WIDTH)
    for train in (True, False):
        ends = []
        for g in (graph, lean):
            (g.training if train else g.evaluate)()
            one, two, three = g.forward(input)
            ends.append([one, *two, three])
        close(*ends)
    for g in (graph, lean):
        g.training()
        g.zeroGradParameters()
        one, two, three = g.forward(input)
        g.backward(input, [one.clone(), [t.clone() for t in two], three.clone()])
    close([lean.gradInput, *lean.parameters()[1]], [graph.gradInput, *graph.parameters()[1]])


def test_a_graph_within_others():
    step, x, c, h = net(), nn.Identity()(), nn.Identity()(), nn.Identity()()
    first = step([x, c, h]).split(3)
    second = net()([nn.Linear(WIDTH, WIDTH)(first[2]), first[0], first[1]])
    graph = nn.gModule([x, c, h], list(second.split(3)))
    lean = graph.clone().keepBuffers(False)
    input, gradOutput = data(graph)
    for _ in range(2):
        for one, other in zip(*(results(g, input, gradOutput)[1:] for g in (lean, graph)), strict=True):
            close(one, other)
    assert [cells(g) for g in lean.modules if isinstance(g, nn.gModule)] == [0, 0]  # given back
    held = [m for m in lean.listModules() if m.output is not None and memory(m.output)]
    assert all(isinstance(m, (nn.gModule, nn.LogSoftMax, nn.CAddTable, nn.CMulTable)) for m in held)


# Clones, files, types


def memory(value):
    """Bytes of the tensors in a nested table."""
    if isinstance(value, torch.Tensor):
        return value.untyped_storage().nbytes()
    return sum(map(memory, value)) if isinstance(value, (list, tuple)) else 0


def test_saving(tmp_path):
    graph = net(layers=2)
    input, gradOutput = data(graph)
    want = results(graph, input, gradOutput)[1:]
    lean = graph.clone().keepBuffers(False)
    for step in ("new", "forward", "backward", "evaluate"):
        if step == "forward":
            lean.forward(input)
        elif step == "backward":
            lean.backward(input, gradOutput)
        elif step == "evaluate":
            lean.evaluate()
            lean.forward(input)
        luann.save(tmp_path / "net.t7", lean)
        for loaded in (luann.load(tmp_path / "net.t7"), pickle.loads(pickle.dumps(lean))):
            if step == "forward":  # what the modules would need was never theirs
                with pytest.raises(luann.Error):
                    loaded.backward(input, gradOutput)
            loaded.training()
            assert not loaded._frees
            for one, other in zip(results(loaded, input, gradOutput)[1:], want, strict=True):
                close(one, other)


def test_clones_and_types():
    graph = net(layers=2)
    input, gradOutput = data(graph)
    lean = graph.clone().keepBuffers(False)
    lean.forward(input)
    with pytest.raises(luann.ModuleError, match="given back"):
        lean.clone().backward(input, gradOutput)
    lean.float().double()
    with pytest.raises(luann.ModuleError, match="given back"):
        lean.backward(input, gradOutput)
    for one in (lean, lean.clone(), lean.clone(*SHARED), lean.clearState()):
        assert results(one, input, gradOutput)[0] == 2
    lean.keepBuffers(True)
    assert results(lean, input, gradOutput)[0] == 0
    close(lean.gradInput, results(graph, input, gradOutput)[2], 1e-6)  # the parameters were floats


def test_the_setting_may_change_between_the_passes():
    graph = net()
    input, gradOutput = data(graph)
    want = results(graph, input, gradOutput)[1:]
    for before in (True, False):
        lean = graph.clone().keepBuffers(before)
        lean.zeroGradParameters()
        output = [o.clone() for o in lean.forward(input)]
        lean.keepBuffers(not before)
        found = output, lean.backward(input, gradOutput), lean.parameters()[1]
        for one, other in zip(found, want, strict=True):
            close(one, other)


def test_a_pass_back_that_cannot_be():
    graph = net().keepBuffers(False)
    input, gradOutput = data(graph)
    graph.forward(input)
    graph.backward(input, gradOutput)
    with pytest.raises(luann.ModuleError, match="given back"):
        graph.backward(input, gradOutput)
    graph.evaluate()
    graph.forward(input)
    for call in (graph.backward, graph.updateGradInput, graph.accGradParameters):
        with pytest.raises(luann.ModuleError, match="given back"):
            call(input, gradOutput)


def test_other_ways_forward():
    graph = net()
    input, gradOutput = data(graph)
    lean = graph.clone().keepBuffers(False)
    lean.forward(input)
    called = []
    output = lean.runForwardFunction(lambda m, x: called.append(m) or m.updateOutput(x), input)
    assert len(called) == len(graph.modules)
    close(output, graph.forward(input))
    close(lean.backward(input, gradOutput), graph.backward(input, gradOutput))
    check(lean.keepBuffers(True), 1)


# Memory


def held(graph):
    """Bytes of what a graph and what it derives from its fields refer to, but for parameters, output and gradInput."""
    seen, todo, stay = {}, [graph], []
    for value in (graph.output, graph.gradInput, *graph.parameters()):
        stay += value or []
    while todo:
        value = todo.pop()
        if id(value) in seen or isinstance(value, type) or (callable(value) and not isinstance(value, nn.Module)):
            continue
        seen[id(value)] = value
        if isinstance(value, (list, tuple)):
            todo += value
        elif isinstance(value, dict):
            todo += [*value.keys(), *value.values()]
        elif not isinstance(value, (torch.Tensor, str, int, float, type(None))):
            todo += vars(value).values() if hasattr(value, "__dict__") else []
            slots = [name for kind in type(value).__mro__ for name in vars(kind).get("__slots__", ())]
            todo += [getattr(value, name, None) for name in slots]
    tensors = {v.untyped_storage()._cdata: v for v in seen.values() if isinstance(v, torch.Tensor)}
    for value in stay:
        if value is not None:
            tensors.pop(value.untyped_storage()._cdata, None)
    return sum(map(memory, tensors.values()))


@pytest.mark.parametrize("what", ["cell", "squashed"])
def test_inner_buffers_are_given_back(what):
    graph = (net(layers=2) if what == "cell" else other(what)).clearState()
    lean = graph.clone().keepBuffers(False)
    input, gradOutput = data(graph)
    graph.forward(input)
    graph.backward(input, gradOutput)
    ones = memory(torch.ones(BATCH))
    assert held(graph) > 20 * BATCH * SIZE * 8
    for train in (True, False, True):
        (lean.training if train else lean.evaluate)()
        lean.forward(input)
        if train:
            assert held(lean) > 5 * BATCH * SIZE * 8  # what backward needs
            lean.backward(input, gradOutput)
        assert held(lean) <= memory(input) + 2 * len(lean.findModules("nn.Linear")[0]) * ones


def test_a_cell_whose_modules_somebody_changes():
    graph = net().keepBuffers(False)
    input, _ = data(graph)
    graph.forward(input)
    sigmoids = [m for m in graph.modules if isinstance(m, nn.Sigmoid)]
    twin = net().keepBuffers(True)
    for mine, theirs in zip(twin.parameters()[0], graph.parameters()[0]):
        mine.copy_(theirs)
    for m in [*sigmoids, *(m for m in twin.modules if isinstance(m, nn.Sigmoid))]:
        m.updateOutput = lambda x, m=m: nn.Sigmoid.updateOutput(m, x * 2)
    for one, other in zip(graph.forward(input), twin.forward(input), strict=True):
        close(one, other)
    for m in sigmoids:
        del m.updateOutput
    graph.forward(input)
    assert all(m.output.numel() == 0 for m in sigmoids)
    graph.keepBuffers()
    graph.forward(input)
    assert all(m.output.numel() for m in sigmoids)
