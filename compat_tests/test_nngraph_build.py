"""Writing graphs down and working with gModules; results against PyTorch's autograd."""

import copy
import io
import pickle
import shutil
import sys

import pytest
import torch

import luann
from luann import nn, nngraph


@pytest.fixture(autouse=True)
def _double():
    luann.setdefaulttensortype("torch.DoubleTensor")
    torch.manual_seed(0)


def randn(*size):
    return torch.randn(*size)


def flat(value):
    """All tensors of a nested table."""
    if isinstance(value, torch.Tensor):
        return [value]
    return [t for v in value for t in flat(v)]


def nested(value, tensors):
    """``value`` with the next of ``tensors`` in the place of each tensor."""
    return next(tensors) if isinstance(value, torch.Tensor) else [nested(v, tensors) for v in value]


def check(module, input, function):
    """A module against a function of PyTorch's of the input and all parameters: output, gradInput and gradients.

    Twice, the second time after other sizes.
    """
    for _ in range(2):
        leaves = [t.clone().requires_grad_() for t in flat(input)]
        parameters = [p.clone().requires_grad_() for p in module.parameters()[0]]
        wanted = function(nested(input, iter(leaves)), *parameters)
        output = module.forward(input)
        torch.testing.assert_close(flat(output), flat(wanted), rtol=1e-12, atol=1e-12)
        assert [type(v) for v in [output]] == [type(v) for v in [wanted]]
        gradOutput = nested(wanted, iter([torch.randn_like(t) for t in flat(wanted)]))
        grads = torch.autograd.grad(flat(wanted), leaves + parameters, flat(gradOutput), allow_unused=True)
        grads = [torch.zeros_like(t) if g is None else g for g, t in zip(grads, leaves + parameters)]
        expected = nested(input, iter(grads[: len(leaves)]))

        module.zeroGradParameters()
        gradInput = module.backward(input, gradOutput)
        torch.testing.assert_close(flat(gradInput), flat(expected), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(module.parameters()[1], grads[len(leaves) :], rtol=1e-12, atol=1e-12)
        # and the way that goes through the graph twice
        module.zeroGradParameters()
        gradInput = module.updateGradInput(input, gradOutput)
        module.accGradParameters(input, gradOutput, 0.5)
        torch.testing.assert_close(flat(gradInput), flat(expected), rtol=1e-12, atol=1e-12)
        halves = [g / 2 for g in grads[len(leaves) :]]
        torch.testing.assert_close(module.parameters()[1], halves, rtol=1e-12, atol=1e-12)
        input = nested(input, iter([torch.cat([t, t]) for t in flat(input)]))


# Calling modules


def test_a_call_with_tensors_computes():
    layer, x = nn.Linear(3, 2), randn(4, 3)
    assert torch.equal(layer(x), layer.forward(x))
    output, gradInput = layer(x, randn(4, 2))
    assert output is layer.output
    assert gradInput is layer.gradInput
    assert nn.CAddTable()([x, x]).equal(2 * x)
    loss, grad = nn.MSECriterion()(x, torch.zeros(4, 3))
    assert loss == pytest.approx(x.square().mean().item())
    assert grad.shape == x.shape


def test_ways_to_call():
    a, b = nn.Identity()(), nn.Identity()()
    for node in (nn.CAddTable()([a, b]), nn.CAddTable()(a, b), nn.CAddTable()((a, b)), [a, b] - nn.CAddTable()):
        assert isinstance(node, nngraph.Node)
        assert list(map(id, luann.nngraph.graph.entries(node.data.mapindex))) == [id(a.data), id(b.data)]
    begun = -nn.Tanh()
    assert isinstance(begun.data.module, nn.Tanh)
    assert not begun.children
    loss = nn.MSECriterion()(a, b)
    assert isinstance(loss.data.module, nn.ModuleFromCriterion)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: nn.Tanh()(None), r"inputs\[1\] is None"),
        (lambda x: nn.CAddTable()([x, None]), r"inputs\[2\] is None"),
        (lambda x: nn.CAddTable()([x, nn.Identity()]), r"inputs\[2\] is a module, nn.Identity.*parentheses"),
        (lambda x: nn.Tanh()(nn.Identity()), r"inputs\[1\] is a module"),
        (lambda x: nn.CAddTable()([x, 3]), r"inputs\[2\] should be a node, got int"),
        (lambda x: nn.Tanh()([]), "an empty list"),
        (lambda x: nn.CAddTable()(x, x), "as an input already"),
        (lambda x: nn.gModule([x], [nn.Tanh()]), r"outputs\[1\] is a module, nn.Tanh"),
        (lambda x: nn.gModule([x, None], [x]), r"inputs\[2\] is None"),
        (lambda x: nn.gModule(x, [x]), "inputs should be a list"),
        (lambda x: nn.gModule([], [x]), "at least one input"),
        (lambda x: nn.gModule([x], []), "at least one output"),
        (lambda x: nn.gModule([x, nn.Identity()()], [nn.Tanh()(x)]), "1 of 2 inputs lead to no output"),
        (lambda x: nn.gModule([x], [x.split(2)[0]]), r"1 of 2 entries of split .*split at \[.*test_nngraph_build.py\]"),
        (lambda x: nn.gModule([x], [nn.CAddTable()(x, nn.Tanh()())]), "node nn.Tanh made at .* not among the inputs"),
        (lambda x: nn.gModule([nn.Tanh()()], [nn.Tanh()(x)]), "nn.Identity made at .* is not among the inputs"),
        (lambda x: (nn.gModule([x], [x]), nn.gModule([x], [nn.Tanh()(x)])), "another gModule already"),
        (lambda x: (nn.Sigmoid()(x), nn.gModule([x], [nn.Tanh()(x)])), "node nn.Sigmoid made at .* leads to no output"),
        (lambda x: nngraph.nest(), "nest takes"),
        (lambda x: nngraph.nest([x, []]), "nest takes"),
    ],
)
def test_mistakes_in_writing_a_graph_down(call, message):
    with pytest.raises(luann.ArgumentError, match=message):
        call(nn.Identity()())


def test_where_a_node_was_made():
    line = sys._getframe().f_lineno + 1
    x = nn.Identity()()
    a, _ = x.split(2)
    label = x.data.annotations._debugLabel
    assert label.endswith(f"test_nngraph_build.py]:{line}_")
    assert a.data.annotations._debugLabel == f"{label}-1"
    assert x.annotate({"name": "in"}) is x
    assert x.annotate(description="what comes in").data.annotations.name == "in"
    hidden = nn.Tanh()(x)
    nngraph.annotateNodes()
    assert hidden.data.annotations.name == "hidden"
    assert x.data.annotations.name == "in"


# Computing


def test_one_input_used_twice_and_two_outputs():
    x = nn.Linear(3, 4)()
    net = nn.gModule([x], [nn.Tanh()(x), nn.Linear(4, 2)(nn.Sigmoid()(x))])

    def function(x, w, b, w2, b2):
        h = torch.nn.functional.linear(x, w, b)
        return [h.tanh(), torch.nn.functional.linear(h.sigmoid(), w2, b2)]

    check(net, randn(5, 3), function)


def test_tables_on_edges():
    """Splits, tables used whole and in parts, entries of tables that are tables, outputs that are tables."""
    state, x = nn.Identity()(), nn.Identity()()
    h, c = state.split(2)
    c1, c2 = c.split(2)
    again = nn.CAddTable()(nn.SelectTable(1)(state), h, nn.JoinTable(2)(c))
    net = nn.gModule([x, state], [nn.CMulTable()(x, c1), nngraph.nest([h, [c2], [x, again]]), state])

    def function(inputs):
        x, (h, (c1, c2)) = inputs
        return [x * c1, [h, [c2], [x, h + h + torch.cat([c1, c2], 1)]], [h, [c1, c2]]]

    check(net, [randn(2, 3), [randn(2, 6), [randn(2, 3), randn(2, 3)]]], function)


def test_gradients_that_are_tables_add_up():
    x = nn.Identity()()
    parts = nn.gModule([x], [nn.Identity()(x), nn.Identity()(x), x])
    for size in (2, 3, 1):
        input = [randn(3), [randn(4) for _ in range(size)]]
        check(parts, input, lambda v: [v, v, v])


def test_gradients_that_are_not_computed():
    x = nn.Identity()()
    first, second = nn.Linear(3, 2), nn.Linear(3, 2)
    net = nn.gModule([x], [nn.CAddTable()(first(x), second(x))])
    first.updateGradInput = lambda input, gradOutput: None  # as scripts have it for the first layer
    input, gradOutput = randn(4, 3), randn(4, 2)
    net.forward(input)
    torch.testing.assert_close(net.backward(input, gradOutput), gradOutput @ second.weight)
    torch.testing.assert_close(first.gradWeight, second.gradWeight)
    second.updateGradInput = first.updateGradInput
    assert net.backward(input, gradOutput) is None


def test_graphs_in_graphs_and_containers():
    u, v = nn.Identity()(), nn.Identity()()
    inner = nn.gModule([u, v], [nn.CMulTable()(u, v), nn.Tanh()(u)])
    x = nn.Identity()()
    p, q = inner(x, nn.Linear(3, 3)(x)).split(2)
    net = nn.Sequential().add(nn.gModule([x], [p, q])).add(nn.JoinTable(2))

    def function(x, w, b):
        return torch.cat([x * torch.nn.functional.linear(x, w, b), x.tanh()], 1)

    check(net, randn(4, 3), function)


def test_a_criterion_as_the_last_node():
    x, target = nn.Identity()(), nn.Identity()()
    net = nn.gModule([x, target], [nn.MSECriterion()(nn.Linear(3, 2)(x), target)])
    given = [randn(4, 3), randn(4, 2)]

    def function(inputs, w, b):
        return (torch.nn.functional.linear(inputs[0], w, b) - inputs[1].detach()).square().mean().view(1)

    check(net, given, function)


def test_parameter_nodes():
    x, w = nn.Identity()(), nngraph.Parameters(3, 4)()
    net = nn.gModule([x], [nn.MM()(nn.Tanh()(x), nn.Tanh()(w))])
    assert net.nInputs == 1
    check(net, randn(2, 3), lambda x, w: x.tanh() @ w.tanh())
    again = luann.load(file_of(net))
    torch.testing.assert_close(again.forward(torch.eye(3)), net.forward(torch.eye(3)))


def file_of(obj):
    file = io.BytesIO()
    luann.save(file, obj)
    return file.getvalue()


def test_arithmetic():
    a, b = nn.Identity()(), nn.Identity()()
    net = nn.gModule([a, b], [(a + b) * b / (2 - a) - b / 3 + 1, -a - nn.Tanh(), 2 * (a - b), (1 + a - 4)])

    def function(inputs):
        a, b = inputs
        return [(a + b) * b / (2 - a) - b / 3 + 1, (-a).tanh(), 2 * (a - b), 1 + a - 4]

    check(net, [randn(3, 2), randn(3, 2)], function)


def test_one_entry():
    x = nn.Identity()()
    only = nn.SplitTable(1)(x).split(1)
    net = nn.gModule([x], [nngraph.nest([nn.Tanh()(only)]), nngraph.nest(only)])
    input = randn(1, 3)
    assert [t.tolist() for t in flat(net.forward(input))] == [input[0].tanh().tolist(), input[0].tolist()]
    gradInput = net.backward(input, [[torch.ones(3)], torch.ones(3)])
    torch.testing.assert_close(gradInput[0], 2 - input[0].tanh().square())


def test_gradients_that_are_written_over():
    """An in-place ReLU writes over the gradient that it shares with a Linear, between the two calls of this one.

    Torch7 goes through the whole graph for gradInput, and then again for the parameters.
    """
    x, alone, behind = nn.Identity()(), nn.Linear(3, 3), nn.Linear(3, 3)
    net = nn.gModule([x], [nn.CAddTable(True)(alone(x), nn.ReLU(True)(behind(x)))])
    net.zeroGradParameters()
    input, gradOutput = randn(4, 3), randn(4, 3)
    net.forward(input)
    masked = torch.where(behind.forward(input) > 0, gradOutput, 0)
    net.forward(input)
    gradInput = net.backward(input, gradOutput.clone())
    torch.testing.assert_close(gradInput, gradOutput @ alone.weight + masked @ behind.weight)
    torch.testing.assert_close(behind.gradWeight, masked.T @ input)
    torch.testing.assert_close(alone.gradWeight, masked.T @ input)


class Logged(nn.Linear):
    """A user's layer that notes what it is called for."""

    calls = []

    def updateGradInput(self, input, gradOutput):
        self.calls.append("updateGradInput")
        return super().updateGradInput(input, gradOutput)

    def accGradParameters(self, input, gradOutput, scale=1):
        self.calls.append("accGradParameters")
        super().accGradParameters(input, gradOutput, scale)


def test_modules_of_users_are_called_as_torch7_calls_them():
    x = nn.Identity()()
    net = nn.gModule([x], [Logged(3, 3)(Logged(3, 3)(x))])
    net.forward(randn(2, 3))
    Logged.calls = []
    net.backward(randn(2, 3), randn(2, 3))
    assert Logged.calls == ["updateGradInput"] * 2 + ["accGradParameters"] * 2


def test_a_module_used_at_two_nodes():
    """Its buffers are those of the second call, as in Torch7; its parameters count twice."""
    layer, a, b = nn.Linear(3, 3, False), nn.Identity()(), nn.Identity()()
    net = nn.gModule([a, b], [layer(a), layer(b)])
    assert len(net.parameters()[0]) == 2
    first, second = net.forward([randn(2, 3), randn(2, 3)])
    assert first is second
    assert not net._schedule().fused
    assert net.getParameters()[0].numel() == 9


def test_runForwardFunction():
    x = nn.Identity()()
    net = nn.gModule([x], [nn.Tanh()(nn.Linear(3, 2)(x))])
    seen = []

    def note(module, value):
        seen.append(module._typename)
        return module.forward(value)

    input = randn(4, 3)
    assert net.runForwardFunction(note, input).equal(net.forward(input))
    assert seen == ["nn.Identity", "nn.Linear", "nn.Tanh"]
    assert net.runForwardFunction("forward", input) is net.output


def test_verbose(capsys):
    x = nn.Identity()()
    net = nn.gModule([x], [nn.Tanh()(x)])
    net.verbose = True
    net.forward(randn(2))
    assert " V : module = nn.Tanh\ninput = {Tensor[2]}\n" in capsys.readouterr().out


# Errors


@pytest.mark.parametrize(
    ("input", "error", "message"),
    [
        ([randn(2, 3), randn(2, 4)], luann.Error, r"gModule\[4\] nn.Linear\(4 -> 2\).*'second' made at \[.*\]:\d"),
        ([randn(2, 3)], luann.ShapeError, "wanted 2 inputs, got 1"),
        (randn(2, 3), luann.TensorTypeError, "wanted a list of 2 inputs"),
    ],
)
def test_what_fails_says_where(input, error, message):
    a, b = nn.Identity()(), nn.Identity()()
    both = nn.JoinTable(2)(a, b)
    net = nn.gModule([a, b], [nn.Linear(4, 2)(both).annotate(name="second")])
    with pytest.raises(error, match=message):
        net.forward(input)


def test_what_fails_in_a_split_or_backwards_says_where():
    x = nn.Identity()()
    p, q = x.split(2)
    net = nn.gModule([x], [nn.CAddTable()(p, q), nn.Tanh()(q).annotate(name="t")])
    with pytest.raises(
        luann.ShapeError, match=r"wanted a list of 2 to split, got one of 3, at node made at .*split at"
    ):
        net.forward([randn(2)] * 3)
    with pytest.raises(luann.TensorTypeError, match="wanted a list of 2 to split, got 2x2"):
        net.forward(randn(2, 2))
    net.forward([randn(2), randn(2)])
    with pytest.raises(luann.ShapeError, match="wanted a list of 2 gradOutputs"):
        net.backward([randn(2), randn(2)], randn(2))
    with pytest.raises(luann.Error, match=r"nn.Tanh 't' made at"):
        net.backward([randn(2), randn(2)], [randn(2), randn(5)])

    def broken(module, value):
        raise ValueError("odd")

    with pytest.raises(luann.ModuleError, match=r"ValueError: odd, at node nn.Identity made at"):
        net.runForwardFunction(broken, [randn(2), randn(2)])


def test_setDebug_draws_the_node_that_failed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = nn.Identity()()
    net = nn.gModule([x], [nn.Linear(3, 2)(x)])
    nngraph.setDebug(True)
    try:
        with pytest.raises(luann.Error):
            net.forward(randn(2, 4))
    finally:
        nngraph.setDebug(False)
    text = (tmp_path / "nngraph_1in_1out.dot").read_text()
    (red,) = [line for line in text.splitlines() if "fillcolor=red" in line]
    assert "nn.Linear(3 -> 2)" in red


# The modules of a graph


def lstm_like():
    x, h = nn.Identity()(), nn.Identity()()
    y = nn.Tanh()(nn.CAddTable()(nn.Linear(3, 4)(x), nn.Linear(4, 4)(h)))
    return nn.gModule([x, h], [y, nn.Linear(4, 2)(nn.Dropout(0.5)(y))])


def test_another_module_in_the_place_of_one():
    net, input = lstm_like(), [randn(2, 3), randn(2, 4)]
    before = net.forward(input)[0].clone()
    node = next(n for n in net.forwardnodes if isinstance(n.data.get("module"), nn.Tanh))
    node.data.module = nn.ReLU()
    after = net.forward(input)[0]
    torch.testing.assert_close(after, before.atanh().relu())

    replaced = net.replace(lambda m: nn.Sigmoid() if isinstance(m, nn.ReLU) else m)
    assert replaced is net
    assert [m._typename for m in net.modules].count("nn.Sigmoid") == 0  # modules still had the Tanh at its place
    torch.testing.assert_close(net.forward(input)[0], before.atanh().sigmoid())


def test_replace_also_changes_the_list_of_modules():
    net = lstm_like()
    net.forward([randn(2, 3), randn(2, 4)])
    net.replace(lambda m: nn.Sigmoid() if isinstance(m, nn.Tanh) else m)
    assert len(net.findModules("nn.Sigmoid")[0]) == 1
    assert not net.findModules("nn.Tanh")[0]
    out = net.forward([randn(2, 3), randn(2, 4)])[0]
    assert (out > 0).all()


def test_modes_lists_and_finding():
    net = lstm_like()
    found, containers = net.findModules("nn.Linear")
    assert [str(m) for m in found] == ["nn.Linear(3 -> 4)", "nn.Linear(4 -> 4)", "nn.Linear(4 -> 2)"]
    assert all(c is net for c in containers)
    net.evaluate()
    assert not any(m.train for m in net.listModules())
    net.training()
    assert all(m.train for m in net.listModules())
    assert str(net) == "nn.gModule"
    net.name = "cell"
    assert str(net) == "cell"


def test_type_keeps_what_is_shared():
    net = lstm_like()
    input = [randn(2, 3), randn(2, 4)]
    net.getParameters()
    net.forward(input)
    net.float()
    assert net.type() == "torch.FloatTensor"
    storages = {p.untyped_storage()._cdata for p in net.parameters()[0]}
    assert len(storages) == 1
    for node in net.forwardnodes:
        for entry in node.data.input:
            assert all(t.dtype is torch.float32 for t in ([entry] if isinstance(entry, torch.Tensor) else entry))
    net.evaluate()
    out = net.forward([t.float() for t in input])
    assert out[1].dtype is torch.float32
    gradInput = net.backward([t.float() for t in input], [out[0], out[1]])
    assert gradInput[0].dtype is torch.float32


def test_clearState():
    net, input = lstm_like(), [randn(2, 3), randn(2, 4)]
    net.evaluate()
    before = [t.clone() for t in net.forward(input)]
    net.backward(input, before)
    full = len(file_of(net))
    assert net.clearState() is net
    assert len(file_of(net)) < full - 1000
    assert not any("input" in node.data or "gradOutput" in node.data for node in net.forwardnodes)
    torch.testing.assert_close(net.forward(input), before)
    assert len(net.backward(input, before)) == 2


def test_clones_share_what_they_are_told_to():
    net = lstm_like()
    net.evaluate()
    input = [randn(2, 3), randn(2, 4)]
    net.forward(input)
    apart, shared = net.clone(), net.clone("weight", "bias", "gradWeight", "gradBias")
    for twin in (apart, shared):
        assert not {id(n.data) for n in twin.forwardnodes} & {id(n.data) for n in net.forwardnodes}
        torch.testing.assert_close(twin.forward(input), net.output)
    for p in net.parameters()[0]:
        p.zero_()
    assert not shared.forward(input)[1].any()
    assert apart.forward(input)[1].any()
    shared.zeroGradParameters()
    shared.backward(input, shared.output)
    torch.testing.assert_close(net.parameters()[1], shared.parameters()[1])
    seen = []
    net.map(shared, lambda a, b: seen.append(type(a) is type(b)))
    assert seen == [True] * len(net.modules)


def test_getParameters_of_clones_over_time():
    """Steps that share parameters, flattened together: each parameter once, in the order of the first step."""
    cell = lstm_like()
    steps = nn.Container()
    for _ in range(3):
        steps.add(cell.clone("weight", "bias", "gradWeight", "gradBias"))
    flat, grad = steps.getParameters()
    assert flat.numel() == grad.numel() == sum(p.numel() for p in cell.parameters()[0])
    flat.fill_(0.25)
    assert all(bool((p == 0.25).all()) for step in steps for p in step.parameters()[0])


def test_deep_graphs_are_copied_and_pickled():
    """Far deeper than Python's recursion goes."""
    x = nn.Identity()()
    node = x
    for _ in range(500):
        node = nn.AddConstant(1)(node)
    net = nn.gModule([x], [node])
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), luann.load(file_of(net))):
        assert twin.forward(torch.zeros(1)).item() == 500
        assert twin.backward(torch.zeros(1), torch.ones(1)).item() == 1


def test_a_copy_keeps_what_is_shared_around_it():
    net = lstm_like()
    table = copy.deepcopy({"net": net, "linear": net.modules[1], "node": net.forwardnodes[0]})
    assert table["net"].modules[1] is table["linear"]
    assert table["net"].forwardnodes[0] is table["node"]


# Old files


def test_fields_of_old_files_may_be_missing():
    """Before 2014 there were no modules, nInputs, reverseMap; before 2013's end no annotations and ids."""
    net, input = lstm_like(), [randn(2, 3), randn(2, 4)]
    net.evaluate()
    wanted = [t.clone() for t in net.forward(input)]
    gradInput = [t.clone() for t in net.backward(input, wanted)]
    net.clearState()
    fields = dict(vars(net))
    for name in ("modules", "nInputs", "verbose"):
        del fields[name]
    for node in [*net.forwardnodes, *net.backwardnodes]:
        node.data.pop("reverseMap", None)
        node.data.pop("annotations", None)
        vars(node).pop("id", None)
    old = nngraph.gModule.__new__(nngraph.gModule)
    old._restore(fields, 1)
    assert [m._typename for m in old.modules] == [m._typename for m in net.modules]
    torch.testing.assert_close(old.forward(input), wanted)
    torch.testing.assert_close(old.backward(input, wanted), gradInput)
    nngraph.dot(old)
    assert "Linear" in repr(next(n for n in old.forwardnodes if isinstance(n.data.get("module"), nn.Linear)))


def test_inputs_handed_out_by_the_first_node():
    """The form of early 2013: the input node itself lists the nodes that get the inputs."""
    a, b = nn.Tanh()(), nn.Sigmoid()()
    outnode, innode = nngraph.Node({"input": []}), nngraph.Node({"data": [], "gradOutput": []})
    outnode.add(nn.CSubTable()(a, b), True)
    for node in (a, b):
        node.add(innode, True)
        nngraph.graph.append(innode.data.mapindex, node.data)
    net = nngraph.gModule.__new__(nngraph.gModule)
    bg = outnode.graph()
    fg, _ = bg.reverse()
    net._restore(
        {
            "bg": bg, "fg": fg, "innode": fg.roots()[0], "outnode": outnode, "verbose": False,
            "forwardnodes": fg.topsort(), "backwardnodes": bg.topsort(),
        },
        1,
    )  # fmt: skip
    check(net, [randn(2, 3), randn(2, 3)], lambda v: v[0].tanh() - v[1].sigmoid())


# Drawing


def test_dot_text():
    net = lstm_like()
    net.forwardnodes[1].annotate(name='the "input"', graphAttributes={"color": "red"})
    text = nngraph.dot(net.fg, "cell")
    assert text == nngraph.graph.dot(net, "cell") == net.fg.todot("cell")
    assert text.startswith('digraph G {\nlabelloc="t";\nlabel="cell";\n')
    assert 'label="the \\"input\\" (' in text
    assert 'color="red" tooltip="[' in text
    assert "Tensor[" not in text
    edges = [line for line in text.splitlines() if " -> n" in line]
    assert len(edges) == len(nngraph.graph.entries(net.fg.edges))
    net.forward([randn(2, 3), randn(2, 4)])
    assert "input = {Tensor[2x4],Tensor[2x4]}" in nngraph.dot(net)
    net.forward([randn(2, 3) * float("nan"), randn(2, 4)])
    assert "Tensor[2x3]NaN" in nngraph.dot(net)


def test_dot_files(tmp_path, monkeypatch):
    net = lstm_like()
    nngraph.dot(net.fg, "cell", str(tmp_path / "only.dot"))
    assert (tmp_path / "only.dot").read_text() == nngraph.dot(net, "cell")
    if shutil.which("dot"):
        nngraph.dot(net.fg, "cell", str(tmp_path / "net"))
        assert "<svg" in (tmp_path / "net.svg").read_text()
        assert (tmp_path / "net.dot").exists()
        nngraph.dot(net.fg, "cell", str(tmp_path / "net.png"))
        assert (tmp_path / "net.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(luann.Error, match="dot is not installed"):
        nngraph.dot(net.fg, "cell", str(tmp_path / "other.svg"))


def test_dot_runs_graphviz(tmp_path, monkeypatch):
    """The call of graphviz, with a program in its place that writes what it was asked for."""
    program = tmp_path / "dot"
    begin = f"#!{sys.executable}\nimport sys\n"
    program.write_text(begin + 'open(sys.argv[3], "w").write(sys.argv[1] + sys.stdin.read())\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    net = lstm_like()
    text = nngraph.dot(net, "cell", str(tmp_path / "net"))
    assert (tmp_path / "net.svg").read_text() == "-Tsvg" + text
    program.write_text(begin + 'sys.exit("no such format")\n')
    with pytest.raises(luann.Error, match="no such format"):
        nngraph.dot(net, "cell", str(tmp_path / "net.xyz"))


# Graphs by themselves


def test_graphs():
    graph = nngraph.graph
    a, b, c, d = (graph.Node(name) for name in "abcd")
    g = graph.Graph()
    g.add([graph.Edge(a, b), graph.Edge(a, c), graph.Edge(b, d), graph.Edge(c, d)])
    g.add(graph.Edge(a, b))
    assert [n.data for n in g.topsort()] == ["a", "b", "c", "d"]
    assert [n.data for n in g.roots()] == ["a"]
    assert [n.data for n in g.leaves()] == ["d"]
    turned, new = g.reverse()
    assert [n.data for n in turned.topsort()] == ["d", "b", "c", "a"]
    assert new[a].data == "a"
    assert [n.data for n in g.clone().topsort()] == ["a", "b", "c", "d"]
    assert not g.hasCycle()
    seen = []
    a.bfs(lambda n: seen.append(n.data))
    a.dfs(lambda n: seen.append(n.data))
    assert "".join(seen) == "abcddbca"
    g.add(graph.Edge(d, b))
    assert g.hasCycle()
    assert a.hasCycle()
    with pytest.raises(luann.ArgumentError, match="cycles"):
        g.topsort()
