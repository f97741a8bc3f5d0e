"""nngraph against what Torch7 recorded: gModules load, compute, are copied and saved; graphs are built as it did."""

import copy
import io
import pickle

import pytest
import records
import torch

import luann
from luann import nn, nngraph
from luann.nngraph.graph import entries

GRAPHS = ("graph_chain", "graph_criterion", "graph_lstm", "graph_multi", "graph_nested", "graph_split")


@records.of("nn", "gModule")
def test_class(case):
    records.check_module(case)


@records.of("networks", *GRAPHS)
def test_network(case):
    records.check_module(case)


@pytest.mark.cuda
@records.of("networks", *GRAPHS, again=True)
def test_on_a_gpu(case, monkeypatch):
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)  # good to 1e-3 only
    records.check_module(case, "cuda")


@records.of("networks", *GRAPHS, again=True)
def test_layers_and_flat_parameters(case):
    record = records.get(case)
    module, extra = record.module, record.extra
    assert [m._typename for m in module.listModules()] == extra.layers
    assert [list(p.shape) for p in module.parameters()[0]] == extra.parameterSizes
    flat, _ = module.getParameters()
    assert flat.numel() == extra.flatCount
    assert torch.equal(flat, extra.flat)


@records.of("networks", *GRAPHS, again=True)
@pytest.mark.parametrize("copied", [lambda m: m, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_used_net_goes_on(case, copied):
    """moduleAfter was saved with all buffers full; so are its copies, and they compute what Torch7 did."""
    record = records.get(case)
    after = copied(record.moduleAfter)
    tolerance = records.TOLERANCE[record.dtype]
    # saved between the pass back and accGradParameters: what that needs is in the file
    after.zeroGradParameters()
    after.accGradParameters(record.input, record.gradOutput)
    assert not records.difference(after.parameters()[1], record.gradParams, tolerance)
    after.zeroGradParameters()
    assert not records.difference(after.forward(record.input), record.output, tolerance)
    assert not records.difference(after.backward(record.input, record.gradOutput), record.gradInput, tolerance)
    assert not records.difference(after.parameters()[1], record.gradParams, tolerance)


# The same graphs, written down here: their nodes are those that Torch7 made


def one():
    x = nn.Identity()()
    return nn.gModule([x], [nn.CAddTable()([nn.Linear(3, 3)(x), nn.Tanh()(x)])])


def two():
    a, b = nn.Identity()(), nn.Identity()()
    return nn.gModule([a, b], [nn.CSubTable()([a, b]), nn.JoinTable(1)([b, a])])


def graph_chain():
    x = nn.Identity()()
    h = nn.Tanh()(nn.Linear(4, 4)(x))
    y = nn.CAddTable()(h, x)
    return nn.gModule([x], [nn.Linear(4, 2)(y)])


def graph_multi():
    a, b = nn.Identity()(), nn.Identity()()
    joined = nn.JoinTable(2)(nn.Linear(3, 2)(a), b)
    out1 = nn.Linear(4, 3)(joined)
    out2 = nn.CMulTable()(nn.Sigmoid()(joined), joined)
    return nn.gModule([a, b], [out1, out2])


def graph_nested():
    u = nn.Identity()()
    inner = nn.gModule([u], [nn.Tanh()(nn.Linear(3, 3)(u))])
    x = nn.Identity()()
    y = inner(x)
    z = nn.Sequential().add(nn.Linear(3, 3)).add(nn.ReLU())(y)
    return nn.gModule([x], [nn.CSubTable()(z, y)])


def graph_split():
    x = nn.Identity()()
    p, q, r = nn.SplitTable(2)(x).split(3)
    s = nn.CAddTable()(p, r)
    return nn.gModule([x], [s, nn.Linear(4, 2)(q), nn.Identity()(p, q)])


def graph_lstm():
    n, h = 3, 4
    x, c, prev = nn.Identity()(), nn.Identity()(), nn.Identity()()
    sums = nn.CAddTable()(nn.Linear(n, 4 * h)(x), nn.Linear(h, 4 * h)(prev))
    gates = nn.Sigmoid()(nn.Narrow(2, 1, 3 * h)(sums))
    candidate = nn.Tanh()(nn.Narrow(2, 3 * h + 1, h)(sums))
    input = nn.Narrow(2, 1, h)(gates)
    forget = nn.Narrow(2, h + 1, h)(gates)
    output = nn.Narrow(2, 2 * h + 1, h)(gates)
    nextC = nn.CAddTable()(nn.CMulTable()(forget, c), nn.CMulTable()(input, candidate))
    nextH = nn.CMulTable()(output, nn.Tanh()(nextC))
    return nn.gModule([x, c, prev], [nextC, nextH])


def graph_criterion():
    x, target = nn.Identity()(), nn.Identity()()
    y = nn.Linear(3, 2)(x)
    loss = nn.MSECriterion()(y, target)
    return nn.gModule([x, target], [loss, y])


def shape(gmodule):
    """Everything about a gModule's graphs, with numbers in the place of nodes and without what a pass leaves."""
    datas = [node.data for node in gmodule.forwardnodes]

    def number(data):
        return next(i for i, other in enumerate(datas) if other is data)

    def about(node):
        data = node.data
        return {
            "class": node._typename,
            "id": node.id,
            "data": number(data),
            "children": [child.id for child in entries(node.children)],
            "places": [node.children[child] for child in entries(node.children)],
            "fields": sorted(vars(node)),
        }

    def about_data(data):
        module = data.get("module")
        feeding = entries(data["mapindex"])
        return {
            "keys": sorted(k for k in data if k not in ("input", "gradOutput", "gradOutputBuffer")),
            "module": shape(module) if isinstance(module, nngraph.gModule) else str(module),
            "place": None if module is None else next(i for i, m in enumerate(gmodule.modules) if m is module),
            "mapindex": [number(d) for d in feeding],
            "places": [data["mapindex"][d] for d in feeding],
            "reverseMap": sorted(number(node.data) for node in data["reverseMap"]),
            "numbers": [data.get(k) for k in ("forwardNodeId", "selectindex", "nSplitOutputs")],
            "length": len(data["mapindex"]),
        }

    def about_graph(graph):
        return {
            "nodes": [about(node) for node in entries(graph.nodes)],
            "places": [graph.nodes[node] for node in entries(graph.nodes)],
            "edges": [(getattr(e, "from").id, e.to.id, graph.edges[e]) for e in entries(graph.edges)],
        }

    return {
        "fields": sorted(set(vars(gmodule)) - {"output", "gradInput"}),
        "output": isinstance(vars(gmodule).get("output"), (list, dict)),
        "modules": [str(module) for module in gmodule.modules],
        "forwardnodes": [about(node) for node in gmodule.forwardnodes],
        "backwardnodes": [about(node) for node in gmodule.backwardnodes],
        "data": [about_data(data) for data in datas],
        "ends": [about(gmodule.innode), about(gmodule.outnode)],
        "same": [
            any(gmodule.innode is node for node in gmodule.forwardnodes),
            gmodule.outnode is gmodule.backwardnodes[0],
            set(map(id, gmodule.forwardnodes)) == set(map(id, entries(gmodule.fg.nodes))),
            set(map(id, gmodule.backwardnodes)) == set(map(id, entries(gmodule.bg.nodes))),
        ],
        "graphs": [about_graph(gmodule.fg), about_graph(gmodule.bg)],
        "plain": [gmodule.nInputs, gmodule.verbose, gmodule._type],
    }


@pytest.mark.parametrize("forth", [lambda m: m, lambda m: luann.load(saved(m)), copy.deepcopy])
@pytest.mark.parametrize(
    ("kind", "file", "name", "build"),
    [
        ("nn", "gModule", "one", one),
        ("nn", "gModule", "two", two),
        *(("networks", build.__name__, "net", build) for build in (
            graph_chain, graph_multi, graph_nested, graph_split, graph_lstm, graph_criterion,
        )),
    ],
)  # fmt: skip
def test_a_graph_is_built_as_torch7_built_it(kind, file, name, build, forth):
    record = next(r for r in luann.load(records.REFERENCE / kind / f"{file}.t7") if r.name == name)
    luann.setdefaulttensortype("torch.DoubleTensor")
    luann.manualSeed(record.seed)
    built = forth(build())
    assert records.peek() == record.rngAfterConstruct
    assert shape(built) == shape(record.module)
    tolerance = records.TOLERANCE["double"]
    assert not records.difference(built.parameters()[0], record.params, tolerance)
    built.zeroGradParameters()
    assert not records.difference(built.forward(record.input), record.output, tolerance)
    assert not records.difference(built.backward(record.input, record.gradOutput), record.gradInput, tolerance)
    assert not records.difference(built.parameters()[1], record.gradParams, tolerance)


def saved(module):
    """A file of the module, as bytes."""
    file = io.BytesIO()
    luann.save(file, module)
    return file.getvalue()


@records.of("networks", *GRAPHS, again=True)
def test_what_was_used_is_saved_with_all_its_fields(case):
    """A gModule that was loaded, ran and is saved says of each node what the file of Torch7 said."""
    record = records.get(case)
    module, after = record.module, record.moduleAfter
    module.zeroGradParameters()
    module.forward(record.input)
    module.backward(record.input, record.gradOutput)
    module = luann.load(saved(module))
    assert shape(module) == shape(after)
    for mine, theirs in zip(module.backwardnodes, after.backwardnodes):
        for name in ("input", "gradOutput", "gradOutputBuffer"):
            wanted = theirs.data.get(name)
            assert not records.difference(mine.data.get(name), wanted, records.TOLERANCE[record.dtype]), (mine, name)
    assert not records.difference(module.output, after.output, records.TOLERANCE[record.dtype])
    assert not records.difference(module.gradInput, after.gradInput, records.TOLERANCE[record.dtype])
