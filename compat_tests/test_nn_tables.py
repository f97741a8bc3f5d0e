import pickle

import pytest
import records
import torch

import luann
from luann import nn


@records.of(
    "nn",
    "CAddTable",
    "CAddTensorTable",
    "CDivTable",
    "CMaxTable",
    "CMinTable",
    "CMulTable",
    "CSubTable",
    "ConcatTable",
    "CosineDistance",
    "CriterionTable",
    "DotProduct",
    "FlattenTable",
    "JoinTable",
    "MM",
    "MV",
    "MixtureTable",
    "NarrowTable",
    "PairwiseDistance",
    "ParallelTable",
    "SelectTable",
    "SplitTable",
    "ZipTable",
    "ZipTableOneToMany",
)
def test_record(case):
    records.check_module(case)


SAME = [nn.CAddTable, nn.CMulTable, nn.CMaxTable, nn.CMinTable]


@pytest.mark.parametrize("cls", [*SAME, nn.CSubTable, nn.CDivTable])
def test_elementwise_takes_sizes_as_torch7(cls):
    a, b = torch.randn(2, 3), torch.rand(2, 3) + 1
    net = cls()
    wanted = net.forward([a, b]).clone()
    # only the number of elements counts in Torch7
    assert torch.equal(net.forward([a, b.view(3, 2)]), wanted)
    grads = net.backward([a, b.view(3, 2)], torch.ones(6))
    assert [tuple(g.shape) for g in grads] == [(2, 3), (3, 2)]
    # PyTorch would repeat the row
    with pytest.raises(luann.ShapeError, match="tensors of one size"):
        net.forward([a, b[0]])


@pytest.mark.parametrize("cls", SAME)
def test_elementwise_takes_another_number_of_tensors(cls):
    net = cls()
    for count in (3, 1, 4, 2):
        x = [torch.randn(2, count) for _ in range(count)]
        assert net.forward(x).shape == (2, count)
        assert len(net.backward(x, torch.ones(2, count))) == count
        alone = cls()
        alone.forward(x)
        assert not records.difference(net.gradInput, alone.backward(x, torch.ones(2, count)), (0, 0))


def test_a_nan_loses_against_what_came_before():
    # Torch7 asks whether the next is larger, which a NaN never is
    nan = float("nan")
    a, b = torch.tensor([1.0, nan]), torch.tensor([nan, 2.0])
    net = nn.CMaxTable()
    assert torch.equal(net.forward([a, b])[:1], a[:1]) and net.output[1].isnan()
    one, two = net.backward([a, b], torch.tensor([3.0, 4.0]))
    assert one.tolist() == [3, 4] and two.tolist() == [0, 0]


def test_caddtable_in_place_hands_gradOutput_on():
    net, x, g = nn.CAddTable(True), [torch.ones(3), torch.ones(3)], torch.randn(3)
    for _ in range(2):
        assert net.forward(x).data_ptr() == x[0].data_ptr()
        assert all(grad.data_ptr() == g.data_ptr() for grad in net.backward(x, g))
        x, g = [torch.ones(5)] * 3, torch.randn(5)
    assert g.shape == (5,)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.SplitTable(0),
        lambda: nn.SplitTable(1, 0),
        lambda: nn.JoinTable(None),
        lambda: nn.JoinTable(1.5),
        lambda: nn.SelectTable(None),
        lambda: nn.SelectTable(0),
        lambda: nn.NarrowTable(None),
        lambda: nn.NarrowTable(1, 0),
        lambda: nn.MixtureTable(0),
        lambda: nn.PairwiseDistance(0),
        lambda: nn.PairwiseDistance("2"),
        lambda: nn.MV(3),
    ],
)
def test_bad_arguments(make):
    with pytest.raises(luann.ArgumentError):
        make()


@pytest.mark.parametrize(
    ("net", "input"),
    [
        (nn.ParallelTable().add(nn.Tanh()).add(nn.Tanh()), [torch.ones(2)]),
        (nn.JoinTable(1), [torch.ones(2, 3), torch.ones(2, 4)]),
        (nn.SelectTable(3), [torch.ones(2)]),
        (nn.SelectTable(-2), [torch.ones(2)]),
        (nn.SelectTable("a"), luann.Table(b=torch.ones(2))),
        (nn.FlattenTable(), torch.ones(2)),
        (nn.ZipTable(), [[1, 2], [3]]),
        (nn.ZipTableOneToMany(), [1, [2], [3]]),
        (nn.PairwiseDistance(), [torch.ones(2, 3), torch.ones(3)]),
        (nn.DotProduct(), [torch.ones(2, 3), torch.ones(1, 3)]),
        (nn.CosineDistance(), [torch.ones(2, 2, 3)] * 2),
        (nn.MM(), [torch.ones(2, 3), torch.ones(2, 3)]),
        (nn.MM(), [torch.ones(2, 3), "b"]),
        (nn.MM(True), [torch.ones(2, 2, 3), torch.ones(3, 3)]),
        (nn.MV(), [torch.ones(2, 3), torch.ones(2)]),
        (nn.MV(True), [torch.ones(2, 3), torch.ones(3)]),
        (nn.MixtureTable(), [torch.ones(2, 3), [torch.ones(2, 4)]]),
        (nn.MixtureTable(), [torch.ones(2, 3), torch.ones(2, 4, 3)]),
        (nn.MixtureTable(), [torch.ones(2, 2), [torch.ones(2, 4), torch.ones(1, 4)]]),
        (nn.MixtureTable(), [torch.ones(2, 2)]),
    ],
)
def test_bad_inputs(net, input):
    with pytest.raises((luann.ShapeError, luann.TensorTypeError, luann.ArgumentError, luann.ModuleError)):
        net.forward(input)


def test_selecttable_follows_the_keys():
    net = nn.SelectTable("b")
    for keys in ("ab", "bcd", "b"):
        x = luann.Table({key: torch.randn(len(keys)) for key in keys})
        x["note"] = "no tensor"
        g = torch.randn(len(keys))
        assert torch.equal(net.forward(x), x["b"])
        grads = net.backward(x, g)
        assert set(grads) == set(x) and torch.equal(grads["b"], g) and grads["note"] is None
        assert not any(grads[key].any() for key in keys if key != "b")


def test_splittables_tables_are_its_callers():
    net = nn.SplitTable(1)
    first = net.forward(torch.zeros(2, 3))
    second = net.forward(torch.ones(4, 3))
    assert len(first) == 2 and not first[0].any() and len(second) == 4


def test_narrowtable_follows_the_number_of_entries():
    net = nn.NarrowTable(2, 2)
    for count in (5, 3, 4):
        x, g = [torch.randn(i + 1) for i in range(count)], [torch.randn(2), torch.randn(3)]
        assert all(a is b for a, b in zip(net.forward(x), x[1:3], strict=True))
        grads = net.backward(x, g)
        assert [len(t) for t in grads] == [len(t) for t in x]
        assert grads[1] is g[0] and grads[2] is g[1] and not torch.cat([grads[0], *grads[3:]]).any()


@pytest.mark.parametrize("vectors", [True, False])
def test_pairwisedistance_draws_a_sign_where_the_difference_is_zero(vectors):
    a = torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8]])
    b = torch.tensor([[1.0, 0, 3, 9], [5, 6, 9, 8]])
    wanted = [None, 1, None, -1, None, None, -1, None]
    if vectors:
        a, b, wanted = a[0], b[0], wanted[:4]
    net = nn.PairwiseDistance(1)
    net.forward([a, b])
    luann.manualSeed(3)
    one, two = net.backward([a, b], torch.ones(1 if vectors else 2))
    after = luann.random.random()
    luann.manualSeed(3)
    assert one.flatten().tolist() == [2 * luann.random.random(2) - 3 if sign is None else sign for sign in wanted]
    assert luann.random.random() == after and torch.equal(two, -one)


def test_cosinedistance_is_pytorchs_cosine():
    a, b = torch.randn(5, 7), torch.randn(5, 7)
    assert torch.allclose(nn.CosineDistance().forward([a, b]), torch.cosine_similarity(a, b), atol=1e-6)
    assert torch.allclose(nn.PairwiseDistance(3).forward([a, b]), (a - b).norm(3, 1))


@pytest.mark.parametrize("dim", [2, 3, 4])
def test_mixturetable_along_each_dimension(dim):
    gates, experts = torch.randn(3, 5), torch.randn(3, 5, 2, 4).movedim(1, dim - 1)
    net, listed = nn.MixtureTable(dim), nn.MixtureTable()
    x, y = [gates, experts], [gates, list(experts.unbind(dim - 1))]
    assert torch.allclose(net.forward(x), listed.forward(y), atol=1e-6)
    g = torch.randn(3, 2, 4)
    (grad, whole), (also, parts) = net.backward(x, g), listed.backward(y, g)
    assert torch.allclose(grad, also, atol=1e-5)
    assert torch.allclose(whole, torch.stack(parts, dim - 1), atol=1e-6)


def test_mixturetable_takes_batches_and_single_samples_in_turn():
    net = nn.MixtureTable()
    for gates, experts in (
        (torch.randn(3, 2), torch.randn(3, 2, 4)),
        (torch.randn(2), torch.randn(2, 4)),
        (torch.randn(2), [torch.randn(4)] * 2),
        (torch.randn(3, 2), torch.randn(3, 2)),
        (torch.randn(3, 2), [torch.randn(3), torch.randn(3)]),
    ):
        stacked = experts if isinstance(experts, torch.Tensor) else torch.stack(experts, gates.dim() - 1)
        weights = gates.reshape(*gates.shape, *[1] * (stacked.dim() - gates.dim()))
        wanted = (weights * stacked).sum(gates.dim() - 1)
        assert torch.allclose(net.forward([gates, experts]), wanted, atol=1e-6)
        assert net.backward([gates, experts], torch.ones_like(wanted))[0].shape == gates.shape


def mixed():
    """A net of many table layers."""
    branches = nn.ConcatTable().add(nn.Linear(4, 4)).add(nn.Tanh()).add(nn.Identity())
    pairs = nn.ConcatTable().add(nn.NarrowTable(1, 2)).add(nn.NarrowTable(2, 2))
    sums = nn.ParallelTable().add(nn.CAddTable()).add(nn.CMulTable())
    net = nn.Sequential().add(branches).add(pairs).add(nn.FlattenTable())
    return net.add(pairs.clone()).add(sums).add(nn.JoinTable(2))


def test_a_net_of_tables_converts_copies_and_clears():
    net = mixed()
    x, g = torch.randn(3, 4), torch.randn(3, 8)
    out, grad = net.forward(x).clone(), net.backward(x, g).clone()
    twin = pickle.loads(pickle.dumps(net)).clone().double()
    assert torch.allclose(twin.forward(x.double()).float(), out, atol=1e-6)
    assert torch.allclose(twin.backward(x.double(), g.double()).float(), grad, atol=1e-6)
    net.clearState()
    assert not net.get(1).output and not net.get(6).gradInput
    assert torch.equal(net.forward(x), out) and torch.allclose(net.backward(x, g), grad)
    # each layer's own gradients agree with those of autograd
    leaf = x.clone().requires_grad_()
    linear = net.get(1).get(1)
    a, b = torch.nn.functional.linear(leaf, linear.weight, linear.bias), torch.tanh(leaf)
    torch.cat([a + b, b * b], 1).backward(g)
    assert torch.allclose(leaf.grad, grad, atol=1e-6)


def test_criterion_tables_give_what_the_criterion_gives():
    x, t = torch.randn(3, 2), torch.randn(3, 2)
    criterion = nn.MSECriterion()
    number, wanted = criterion.forward(x, t), criterion.backward(x, t).clone()
    table, module = nn.CriterionTable(nn.MSECriterion()), nn.ModuleFromCriterion(nn.MSECriterion())
    for _ in range(2):
        assert table.forward([x, t]) == number and torch.equal(table.backward([x, t], 1)[0], wanted)
        assert module.forward([x, t]).tolist() == pytest.approx([number])
        grads = module.backward([x, t], torch.tensor([2.0]))
        assert torch.allclose(grads[0], 2 * wanted) and not grads[1].any()
        table.clearState(), module.clearState()
