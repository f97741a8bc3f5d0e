"""Linear layers, tables of vectors, layers with centres: records, PyTorch's own functions, sequences of updates."""

import copy
import math
import pickle

import numpy as np
import pytest
import records
import torch
import torch.nn.functional as F

import luann
from luann import _libm, nn
from luann.nn import _kernels as kernels


@records.of(
    "nn",
    "Bilinear",
    "Cosine",
    "Euclidean",
    "IndexLinear",
    "Kmeans",
    "Linear",
    "LinearWeightNorm",
    "LookupTable",
    "PartialLinear",
    "SparseLinear",
    "WeightedEuclidean",
)
def test_record(case):
    records.check_module(case)


@pytest.fixture(autouse=True)
def _double():
    luann.setdefaulttensortype("torch.DoubleTensor")
    luann.manualSeed(1)
    torch.manual_seed(1)


def close(got, wanted, tolerance=1e-11):
    torch.testing.assert_close(got, wanted, rtol=tolerance, atol=tolerance)


def check(module, function, *inputs, table=False, scale=0.3, zero=False):
    """Compare output and gradients with autograd's for ``function(*inputs, *parameters)``."""
    parameters, gradients = module.parameters()
    leaves = [t.detach().clone().requires_grad_() for t in (*inputs, *parameters)]
    given = list(inputs) if table else inputs[0]
    wanted = function(*leaves)
    close(module.forward(given), wanted.detach())
    gradOutput = torch.randn_like(wanted)
    slopes = torch.autograd.grad(wanted, leaves, gradOutput)
    for gradient in gradients:
        gradient.zero_() if zero else gradient.normal_()
    before = [gradient.clone() for gradient in gradients]
    gradInput = module.backward(given, gradOutput, scale)
    for got, slope in zip(gradInput if table else [gradInput], slopes[: len(inputs)], strict=True):
        close(got, slope)
    for got, start, slope in zip(gradients, before, slopes[len(inputs) :], strict=True):
        close(got, start + scale * slope)
    twin = module.clone()
    close(twin.updateGradInput(given, gradOutput), gradInput)


@pytest.fixture(params=[(6, 5), (1, 5), (5,)], ids=["batch", "row", "vector"])
def x(request):
    return torch.randn(request.param)


# PyTorch's own functions


@pytest.mark.parametrize("bias", [True, False])
def test_linear(x, bias):
    check(nn.Linear(5, 3, bias), F.linear, x)


def test_linear_of_a_transposed_batch():
    check(nn.Linear(5, 3), F.linear, torch.randn(5, 7).t())


@pytest.mark.parametrize("bias", [True, False])
def test_bilinear(bias):
    x1, x2 = torch.randn(6, 5), torch.randn(4, 6).t()
    check(nn.Bilinear(5, 4, 3, bias), F.bilinear, x1, x2, table=True, scale=1)


@pytest.mark.parametrize("bias", [True, False])
def test_linear_weight_norm(x, bias):
    def normed(x, v, g, b=None):
        return F.linear(x, g * v / v.norm(dim=1, keepdim=True), b)

    check(nn.LinearWeightNorm(5, 3, bias), normed, x, zero=True)


@pytest.mark.parametrize("partition", [[2], [4, 1, 4]])
def test_partial_linear(partition):
    module = nn.PartialLinear(5, 4)
    module.setPartition(torch.tensor(partition))
    rows = torch.tensor(partition) - 1
    check(module, lambda x, w, b: F.linear(x, w[rows], b[0, rows]), torch.randn(6, 5))


def test_cosine_of_a_batch():
    def cosine(x, w):
        return F.linear(x, w) / (w.norm(dim=1) + 1e-12) / (x.norm(dim=1, keepdim=True) + 1e-12)

    check(nn.Cosine(5, 3), cosine, torch.randn(6, 5), scale=1)


def with_softened_slope(distance):
    """The distance, with its slope divided by distance + 1e-7 where it would be by the distance."""
    factor = (distance / (distance + 1e-7)).detach()
    return distance * factor + (distance * (1 - factor)).detach()


@pytest.mark.parametrize("private", [True, False])
def test_euclidean(x, private, monkeypatch):
    monkeypatch.setattr(kernels, "PRIVATE", private)
    check(nn.Euclidean(5, 3), lambda x, w: with_softened_slope((x.unsqueeze(-1) - w).norm(dim=-2)), x)


def test_weighted_euclidean(x):
    def distance(x, w, c):
        return with_softened_slope((c * (x.unsqueeze(-1) - w)).norm(dim=-2))

    module = nn.WeightedEuclidean(5, 3)
    module.diagCov.uniform_(0.5, 2)
    check(module, distance, x, scale=1)


def test_a_sample_on_a_centre_has_no_slope():
    for module in nn.Euclidean(5, 3), nn.WeightedEuclidean(5, 3):
        module.zeroGradParameters()
        sample = module.weight[:, 1].clone()
        assert module.forward(sample)[1] == 0
        assert not module.backward(sample, torch.tensor([0.0, 1.0, 0.0])).any()
        assert not any(g.any() for g in module.parameters()[1])


INDICES = {
    "vector": torch.tensor([3, 1, 3, 7]),
    "matrix": torch.tensor([[3, 1, 3], [7, 7, 2]]),
    "double": torch.tensor([[3.0, 1.0], [7.0, 3.0]]),
    "transposed": torch.tensor([[3, 1, 3], [7, 7, 2]]).t(),
    "int": torch.tensor([3, 1], dtype=torch.int32),
}
EMBEDDING = {"plain": {}, "padding": {"padding_idx": 2}, "frequency": {"scale_grad_by_freq": True}}


@pytest.mark.parametrize("setting", EMBEDDING)
@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("indices", INDICES)
def test_lookup_table(setting, size, indices):
    input = INDICES[indices]
    module = nn.LookupTable(7, size, 3 if setting == "padding" else None)
    if setting == "frequency":
        module.scaleGradByFreq()
    table = module.weight.clone().requires_grad_()
    wanted = F.embedding(input.long() - 1, table, **EMBEDDING[setting])
    close(module.forward(input), wanted.detach())
    gradOutput = torch.randn_like(wanted)
    wanted.backward(gradOutput)
    start = module.gradWeight.normal_().clone()
    gradInput = module.backward(input, gradOutput, 0.3)
    close(module.gradWeight, start + 0.3 * table.grad)
    assert gradInput is module.gradInput and gradInput.dtype == input.dtype and gradInput.shape == input.shape
    assert not gradInput.any()


@pytest.mark.parametrize("norm", [1, 2, 2.5])
def test_lookup_table_shortens_what_it_looks_up(norm):
    module = nn.LookupTable(7, 4, None, 1.2, norm)
    wanted = module.weight.clone()
    input = torch.tensor([[3, 1, 3], [7, 3, 2]])
    output = F.embedding(input - 1, wanted, max_norm=1.2, norm_type=norm)
    close(module.forward(input), output)
    close(module.weight, wanted)
    module.setNormType(0)
    with pytest.raises(luann.errors.ArgumentError, match="normType"):
        module.forward(input)


def sparse(n, size, longest=6):
    """Random samples as lists of indices and of values; indices come again. And the dense matrix they mean."""
    keys = [torch.randint(1, size + 1, (int(torch.randint(1, longest + 1, ())),)) for _ in range(n)]
    values = [torch.randn(len(k)) for k in keys]
    dense = torch.zeros(n, size)
    for row, k, v in zip(dense, keys, values):
        row.index_add_(0, k - 1, v)
    return keys, values, dense


def pairs(keys, values):
    return [torch.stack([k.double(), v], 1) for k, v in zip(keys, values)]


@pytest.mark.parametrize("outputs", [1, 3])
def test_sparse_linear(outputs):
    module = nn.SparseLinear(8, outputs, True)
    module.zeroGradParameters()
    keys, values, dense = sparse(6, 8)
    module.bias.normal_()
    wanted = nn.Linear(8, outputs)
    wanted.weight, wanted.bias = module.weight, module.bias
    wanted.zeroGradParameters()
    entries = pairs(keys, values)
    padded = torch.zeros(6, 6, 2)
    for row, entry in zip(padded, entries):
        row[: len(entry)] = entry
    gradOutput = torch.randn(outputs, 6).t()
    for input, x, g in (
        (entries, dense, gradOutput),
        (padded, dense, gradOutput),
        (entries[2], dense[2], gradOutput[2]),
    ):
        close(module.forward(input), wanted.forward(x))
        gradInput = module.backward(input, g, 0.3)
        slopes = wanted.backward(x, g, 0.3)
        close(module.gradWeight, wanted.gradWeight)
        close(module.gradBias, wanted.gradBias)
        shape = (-1, 8, 2)
        got = gradInput if isinstance(gradInput, torch.Tensor) else torch.stack(gradInput)
        close(got.view(shape)[..., 1], slopes.view(shape[:2]))
        assert (got.view(shape)[..., 0] == torch.arange(1, 9)).all()


def index_linear(outputs, **settings):
    module = nn.IndexLinear(8, outputs, settings.pop("doGradInput", None), normalize=settings.pop("normalize", None))
    module.reset()
    module.bias.normal_()
    module.zeroGradParameters()
    for name, value in settings.items():
        setattr(module, name, value)
    return module


@pytest.mark.parametrize("outputs", [1, 3])
def test_index_linear(outputs):
    module = index_linear(outputs, doGradInput=True)
    keys, values, dense = sparse(6, 8)
    flat = [torch.cat(keys), torch.cat(values), torch.tensor([len(k) for k in keys])]
    gradOutput = torch.randn(outputs, 6).t()
    for input, x, g in (
        ([keys, values], dense, gradOutput),
        (flat, dense, gradOutput),
        ([keys[2], values[2]], dense[2], gradOutput[2]),
        ([keys[2], values[2], len(keys[2])], dense[2:3], gradOutput[2:3]),
    ):
        weight = module.weight.t().clone().requires_grad_()
        wanted = F.linear(x, weight, module.bias)
        close(module.forward(input), wanted.detach())
        wanted.backward(g)
        named, slopes = module.backward(input, g)
        named, slopes = (t if isinstance(t, torch.Tensor) else torch.stack(t) for t in (named, slopes))
        close(slopes, g @ weight.detach())
        assert slopes.shape == named.shape and (named == torch.arange(1, 9)).all()
        twin = module.clone()
        module.updateParameters(0.1)
        close(module.weight.t(), (weight - 0.1 * weight.grad).detach())
        twin.accUpdateGradParameters(input, g, 0.1)
        close(twin.weight, module.weight)
        close(twin.bias, module.bias)
        module.zeroGradParameters()


# Torch7's order of things, one by one


def step_by_step(module, batches, gradOutputs, lr, direct):
    """What Torch7's loops do to an IndexLinear: forward for all batches, then one update, or an update for each."""
    w, b = module.weight.clone(), module.bias.clone()
    normalize, outputs, decay = module.normalize, module.outputSize, module.weightDecay

    def normalized(k, value):
        row = w[k - 1]
        if module.train:
            if abs(value) > row[0]:
                row[0], row[1] = abs(value), 1 / abs(value)
            row[2] = 1
        return (math.copysign(1, value) if abs(value) > row[0] else value * row[1]) + row[3]

    def update(steps):
        for k, g, value in steps:
            row = w[k - 1]
            factor = row[2].clone() if normalize else 1.0
            if normalize:
                row[3] -= lr * factor * (g * row[4:]).sum()
            learnt = row[normalize:]
            sign = -1 if normalize and outputs == 1 else 1
            old = learnt.clone()
            learnt -= sign * decay * factor * old
            learnt -= lr * factor * value * g
        if direct and normalize and outputs == 1:
            for k, _, _ in steps:
                w[k - 1, 2] = 0

    output, steps, total = [], [], torch.zeros_like(b)
    for (keys, values), gradOutput in zip(batches, gradOutputs):
        if direct:
            steps = []
        for k, v, g in zip(keys, values, gradOutput):
            y = b.clone()
            for key, value in zip(k.tolist(), v.tolist()):
                used = normalized(key, value) if normalize else value
                y += float(used) * w[key - 1, normalize:]
                steps.append((key, g, float(used)))
            output.append(y)
        total += gradOutput.sum(0)
        if direct:
            update(steps)
            b -= lr * gradOutput.sum(0)
    if not direct:
        update(steps)
        b -= lr * total
    return w, b, torch.stack(output)


@pytest.mark.parametrize("direct", [True, False], ids=["accUpdate", "updateParameters"])
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("weightDecay", [0, 0.05])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("outputs", [1, 3])
def test_index_linear_step_by_step(outputs, normalize, weightDecay, train, direct):
    module = index_linear(outputs, normalize=normalize, weightDecay=weightDecay)
    if normalize:
        module.weight[:, 0] = torch.rand(8)
        module.weight[:, 1] = 1 / module.weight[:, 0]
        module.weight[:, 2] = torch.rand(8)
        module.weight[:, 3] = torch.randn(8)
    if train:
        module.training()
    batches = [sparse(7, 8)[:2] for _ in range(3)]
    gradOutputs = [torch.randn(7, outputs) for _ in batches]
    wanted = step_by_step(module, batches, gradOutputs, 0.1, direct)
    got = []
    for batch, gradOutput in zip(batches, gradOutputs):
        got.append(module.forward(list(batch)).clone())
        if direct:
            module.accUpdateGradParameters(list(batch), gradOutput, 0.1)
        else:
            module.backward(list(batch), gradOutput)
    if not direct:
        module.updateParameters(0.1)
    close(torch.cat(got), wanted[2])
    close(module.weight, wanted[0])
    close(module.bias, wanted[1])


def test_sparse_linear_decays_only_the_columns_it_updates():
    module = nn.SparseLinear(8, 2)
    module.weightDecay = 0.5
    module.gradWeight.zero_()
    keys, values, _ = sparse(3, 4)
    entries = pairs(keys, values)
    touched = torch.cat(keys).unique() - 1
    others = torch.tensor([c for c in range(8) if c not in touched])
    weight = module.weight.clone()
    for sweep in range(1, 3):
        module.forward(entries)
        module.backward(entries, torch.randn(3, 2))
        close(module.gradWeight[:, others], sweep * 0.5 * weight[:, others])
        module.updateParameters(0.1)
        close(module.weight[:, others], weight[:, others])
        assert (module.weight[:, touched] != weight[:, touched]).all()
        module.zeroGradParameters()
        assert not module.gradWeight[:, touched].any() and not module.gradBias.any()
    # after a second backward without zeroGradParameters() everything is updated
    for _ in range(2):
        module.forward(entries)
        module.backward(entries, torch.randn(3, 2))
    grad = module.gradWeight.clone()
    before = module.weight.clone()
    module.updateParameters(0.1)
    close(module.weight, before - 0.1 * grad)
    module.zeroGradParameters()
    assert not module.gradWeight.any()


def test_sparse_linear_forgets_its_input_with_its_state():
    module = nn.SparseLinear(8, 2)
    module.zeroGradParameters()
    entries = pairs(*sparse(3, 8)[:2])
    module.forward(entries)
    module.backward(entries, torch.randn(3, 2))
    wanted = module.weight - 0.1 * module.gradWeight
    module.clearState().updateParameters(0.1)
    close(module.weight, wanted)


def test_weight_norm_accumulates_as_torch7_does():
    """Every call projects all that is in gradV, and gradG is that of the last."""
    module = nn.LinearWeightNorm(5, 3)
    module.zeroGradParameters()
    x, gradOutput = torch.randn(4, 5), torch.randn(4, 3)
    module.forward(x)
    unit = module.v / module.v.norm(dim=1, keepdim=True)
    scale = module.g / module.v.norm(dim=1, keepdim=True)
    gradV = torch.zeros(3, 5)
    for _ in range(2):
        module.backward(x, gradOutput)
        gradV += gradOutput.t() @ x
        gradG = (gradV * unit).sum(1, keepdim=True)
        gradV = scale * (gradV - unit * gradG)
        close(module.gradV, gradV)
        close(module.gradG, gradG)


def test_weight_norm_follows_its_parameters():
    module = nn.LinearWeightNorm(5, 3)
    x = torch.randn(4, 5)
    first = module.forward(x).clone()
    module.g.mul_(2)
    close(module.forward(x) - module.bias, 2 * (first - module.bias))
    module.evaluate()
    module.g.mul_(2)  # takes effect when training goes on
    close(module.forward(x) - module.bias, 2 * (first - module.bias))
    cleared = module.clone().clearState()
    module.training()
    close(module.forward(x) - module.bias, 4 * (first - module.bias))
    close(cleared.forward(x), module.output)


def test_weight_norm_conversions_keep_the_function_and_the_type():
    x = torch.randn(4, 5)
    for bias in (True, False):
        linear = nn.Linear(5, 3, bias)
        normed = nn.LinearWeightNorm.fromLinear(linear)
        close(normed.forward(x), linear.forward(x))
        close(normed.toLinear().forward(x), linear.output)
        assert nn.LinearWeightNorm.fromLinear(linear.float()).toLinear().type() == "torch.FloatTensor"


def test_norms_are_those_of_the_c_library():
    numbers = np.linspace(0.01, 3, 20_001)
    for exponent in (2.0, 0.5):
        wanted = np.array([math.pow(v, exponent) for v in numbers])
        assert np.array_equal(_libm.ARRAY.pow(numbers, exponent), wanted)
        assert np.array_equal(_libm.mapped("pow")(numbers, exponent), wanted)
    rows = torch.randn(50, 30)
    wanted = [math.pow(sum(math.pow(v, 2) for v in row), 0.5) for row in rows.tolist()]
    assert kernels.row_norms(rows)[:, 0].tolist() == wanted


# k-means


CLUSTERS = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 20.0]])


@pytest.mark.parametrize("init", ["initRandom", "initKmeansPlus"])
def test_kmeans_finds_clusters(init):
    points = CLUSTERS.repeat(20, 1) + 0.1 * torch.randn(60, 2)
    module = nn.Kmeans(3, 2, 1)
    if init == "initKmeansPlus":
        module.initKmeansPlus(points, 0.99)  # always from the farthest sample
        assert module.p == 0.99
    else:
        module.initRandom(points)
        assert all((points == centre).all(1).any() for centre in module.weight)
        module.weight.copy_(CLUSTERS + 2)
    assert sorted(module.forward(points).unique().tolist()) == [1, 2, 3]
    module.zeroGradParameters()
    module.backward(points, torch.zeros(60))
    module.updateParameters(1)
    module.forward(points)
    for centre in CLUSTERS:
        distances = (module.weight - centre).norm(dim=1)
        assert distances.min() < 0.1
        nearest = distances.argmin()
        mine = points[(points - centre).norm(dim=1) < 5]
        close(module.weight[nearest], mine.mean(0), 1e-6)  # a mean over n + 1e-7
    squares = torch.cdist(points, module.weight).square().min(1).values.sum()
    assert module.loss == pytest.approx(squares.item())
    assert module.clusterSampleCount.tolist() == [20, 20, 20]


def test_kmeans_needs_a_positive_scale():
    module = nn.Kmeans(3, 2)
    x = torch.randn(5, 2)
    module.forward(x)
    with pytest.raises(luann.errors.ArgumentError, match="scale"):
        module.backwardUpdate(x, torch.zeros(5), 0.1)


# What cannot be


@pytest.mark.parametrize(
    "construct",
    [
        lambda: nn.Linear(0, 3),
        lambda: nn.LinearWeightNorm(3, 2.5),
        lambda: nn.PartialLinear(3, None),
        lambda: nn.Bilinear(3, 2, -1),
        lambda: nn.Bilinear(3, 2, 1).reset(0),
        lambda: nn.LookupTable(0, 3),
        lambda: nn.SparseLinear(3, 2, "yes"),
        lambda: nn.SparseLinear("3", 2),
        lambda: nn.IndexLinear(None, 2),
        lambda: nn.Cosine(3, 0),
        lambda: nn.Euclidean(True, 3),
        lambda: nn.WeightedEuclidean(3, None),
        lambda: nn.Kmeans(0, 3),
        lambda: nn.Kmeans(3, 2).initKmeansPlus(torch.randn(5, 2), 1.5),
    ],
)
def test_bad_arguments(construct):
    with pytest.raises(luann.errors.ArgumentError, match=r"nn\.\w+"):
        construct()


def partial(indices):
    module = nn.PartialLinear(3, 2)
    module.setPartition(torch.tensor(indices))
    return module


@pytest.mark.parametrize(
    ("construct", "input"),
    [
        (lambda: nn.Linear(3, 2), torch.zeros(4, 2)),
        (lambda: nn.LinearWeightNorm(3, 2), torch.zeros(1, 2, 3)),
        (lambda: nn.PartialLinear(3, 2), torch.zeros(3)),
        (lambda: partial([3]), torch.zeros(1, 3)),
        (lambda: nn.Bilinear(3, 2, 2), [torch.zeros(4, 3), torch.zeros(1, 2)]),
        (lambda: nn.Bilinear(3, 2, 2), [torch.zeros(3), torch.zeros(2)]),
        (lambda: nn.Bilinear(3, 2, 2), torch.zeros(2, 3)),
        (lambda: nn.Cosine(3, 2), torch.zeros(4, 2)),
        (lambda: nn.Cosine(3, 2), torch.zeros(4, 2, 3)),
        (lambda: nn.Euclidean(3, 2), torch.zeros(4, 1)),
        (lambda: nn.WeightedEuclidean(3, 2), torch.zeros(1)),
        (lambda: nn.Kmeans(3, 2), torch.zeros(2)),
        (lambda: nn.LookupTable(3, 2), torch.tensor([1, 4])),
        (lambda: nn.LookupTable(3, 2), torch.tensor([[0]])),
        (lambda: nn.LookupTable(3, 2, None, 1), torch.tensor([4])),
        (lambda: nn.LookupTable(3, 2), torch.ones(1, 1, 1)),
        (lambda: nn.SparseLinear(3, 2), torch.tensor([[4.0, 1.0]])),
        (lambda: nn.SparseLinear(3, 2), [torch.tensor([[0.0, 1.0]])]),
        (lambda: nn.SparseLinear(3, 2), torch.zeros(4)),
        (lambda: nn.SparseLinear(3, 2), [torch.zeros(4)]),
        (lambda: nn.SparseLinear(3, 2), 5),
        (lambda: nn.IndexLinear(3, 2), [torch.tensor([4]), torch.ones(1)]),
        (lambda: nn.IndexLinear(3, 2, None, 1), [torch.tensor([3]), torch.ones(1)]),
        (lambda: nn.IndexLinear(3, 2), [torch.tensor([1]), torch.ones(2)]),
        (lambda: nn.IndexLinear(3, 2), [[torch.tensor([1]), torch.tensor([1, 2])], [torch.ones(2), torch.ones(1)]]),
        (lambda: nn.IndexLinear(3, 2), [torch.tensor([1, 2]), torch.ones(2), torch.tensor([1, 2])]),
        (lambda: nn.IndexLinear(3, 2), torch.ones(2, 2)),
    ],
)
def test_bad_inputs(construct, input):
    module = construct()
    with pytest.raises(luann.Error, match=r"^nn\.\w+.*(wanted|must)"):
        module.forward(input)


def test_bilinear_refuses_a_gradOutput_that_would_be_repeated():
    module = nn.Bilinear(3, 2, 2)
    input = [torch.randn(4, 3), torch.randn(4, 2)]
    module.forward(input)
    for size in ((1, 2), (4, 1)):
        with pytest.raises(luann.errors.ShapeError, match="4 x 2"):
            module.updateGradInput(input, torch.randn(size))


def test_lookup_table_without_gradient():
    module = nn.LookupTable(5, 2).accUpdateOnly()
    input, gradOutput = torch.tensor([2, 5, 2]), torch.randn(3, 2)
    assert module.parameters()[1] == []
    module.zeroGradParameters()
    module.forward(input)
    wanted = module.weight.index_add(0, input - 1, gradOutput, alpha=-0.5)
    module.backwardUpdate(input, gradOutput, 0.5)
    close(module.weight, wanted)
    assert module.gradWeight is None
    with pytest.raises(luann.errors.ArgumentError, match="accUpdateOnly"):
        module.backward(input, gradOutput)


# One module, many calls


def keyed(n):
    keys, values, _ = sparse(n, 5)
    return [keys, values]


MODULES = {
    "Bilinear": (lambda: nn.Bilinear(5, 3, 2), lambda n: [torch.randn(n, 5), torch.randn(n, 3)]),
    "Cosine": (lambda: nn.Cosine(5, 2), lambda n: torch.randn(n, 5)),
    "Euclidean": (lambda: nn.Euclidean(5, 2), lambda n: torch.randn(n, 5)),
    "IndexLinear": (lambda: nn.IndexLinear(5, 2), keyed),
    "Kmeans": (lambda: nn.Kmeans(2, 5), lambda n: torch.randn(n, 5)),
    "LinearWeightNorm": (lambda: nn.LinearWeightNorm(5, 2), lambda n: torch.randn(n, 5)),
    "LookupTable": (lambda: nn.LookupTable(5, 2, 1, 1), lambda n: torch.randint(1, 6, (n, 3))),
    "PartialLinear": (lambda: nn.PartialLinear(5, 2), lambda n: torch.randn(n, 5)),
    "SparseLinear": (lambda: nn.SparseLinear(5, 2, True), lambda n: pairs(*sparse(n, 5)[:2])),
    "WeightedEuclidean": (lambda: nn.WeightedEuclidean(5, 2), lambda n: torch.randn(n, 5)),
}


def results(module, input):
    output = module.forward(input)
    gradOutput = torch.ones_like(output)
    module.zeroGradParameters()
    gradInput = module.backward(input, gradOutput, 0.5)
    gradients = module.parameters()[1]
    if isinstance(module, nn.IndexLinear):  # what lies behind counter is not in use
        gradients = [module.running["keys"][0], module.running["gradWeight"][0], module.gradBias]
    return copy.deepcopy([output, gradInput, gradients])


def same(got, wanted):
    assert records.difference(got, wanted, (1e-12, 1e-12)) is None


@pytest.mark.parametrize("name", MODULES)
def test_sizes_may_change_between_calls(name):
    construct, make = MODULES[name]
    module = construct()
    module.reset()
    for n in (4, 7, 1, 4):
        input = make(n)
        same(results(module, input), results(module.clone().clearState(), input))


@pytest.mark.parametrize("name", MODULES)
def test_copies_compute_the_same(name):
    construct, make = MODULES[name]
    module, input = construct(), make(4)
    module.reset()
    wanted = results(module, input)
    for twin in (module.clone(), pickle.loads(pickle.dumps(module))):
        same(results(twin, input), wanted)
    if name != "IndexLinear":  # its gradients are no tensors
        flat, gradFlat = module.getParameters()
        results(module, input)
        assert flat.numel() == sum(p.numel() for p in module.parameters()[0])
        same(module.parameters()[1], wanted[2])
        gradFlat.zero_()
        assert not any(g.any() for g in module.parameters()[1])


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_types(name, dtype):
    if name == "SparseLinear" and dtype is torch.bfloat16:
        pytest.skip("PyTorch multiplies no sparse matrices of this type")

    def narrowed(value):
        if isinstance(value, list):
            return [narrowed(v) for v in value]
        return value.to(dtype) if value.is_floating_point() else value

    construct, make = MODULES[name]
    module, input = construct(), narrowed(make(4))
    module.reset()
    module.type(dtype)
    got = module.forward(input).double()
    assert module.output.dtype is dtype
    module.zeroGradParameters()
    module.backward(input, torch.ones_like(module.output), 0.5)
    for gradient in records.tensors(module.parameters()[1]):
        assert gradient.dtype in (dtype, torch.int64)
    reference = module.double().forward(nn.utils.recursiveType(input, "torch.DoubleTensor"))
    close(got, reference, 1e-5 if dtype is torch.float32 else 5e-2)
