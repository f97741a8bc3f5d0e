"""The criterions: what Torch7 recorded, PyTorch's own losses, corners, targets of every kind, and mistakes."""

import math
import pickle

import pytest
import records
import torch
import torch.nn.functional as F

import luann
from luann import nn, random

CLASSES = (
    "AbsCriterion",
    "BCECriterion",
    "ClassNLLCriterion",
    "ClassSimplexCriterion",
    "CosineEmbeddingCriterion",
    "CrossEntropyCriterion",
    "DistKLDivCriterion",
    "DistanceRatioCriterion",
    "HingeEmbeddingCriterion",
    "L1Cost",
    "L1HingeEmbeddingCriterion",
    "MSECriterion",
    "MarginCriterion",
    "MarginRankingCriterion",
    "ModuleCriterion",
    "MultiCriterion",
    "MultiLabelMarginCriterion",
    "MultiLabelSoftMarginCriterion",
    "MultiMarginCriterion",
    "ParallelCriterion",
    "SmoothL1Criterion",
    "SoftMarginCriterion",
    "SpatialAutoCropMSECriterion",
    "SpatialClassNLLCriterion",
    "WeightedMSECriterion",
)


@pytest.fixture(autouse=True)
def double():
    luann.setdefaulttensortype("torch.DoubleTensor")


@records.of("criterion", *CLASSES)
def test_record(case):
    records.check_criterion(case)


@records.of("criterion", *CLASSES)
def test_a_fresh_object_has_the_fields_of_torch7s(case):
    record = records.get(case)
    if "spec" not in record:
        pytest.skip("made by a Lua function")
    built = records.build(record.spec)
    if record.dtype == "float":
        built.float()
    built, loaded = vars(built), vars(record.criterion)
    assert built.keys() == loaded.keys()
    for field, value in loaded.items():
        if field == "target":
            continue  # Torch7 converts whole numbers, too
        if not isinstance(value, nn.Criterion | nn.Module | list):
            assert records.difference(built[field], value, (1e-12, 1e-12)) is None, field


@records.of("criterion", *CLASSES)
def test_gradients_stay_the_same_objects_and_arguments_as_they_were(case):
    record = records.get(case)
    criterion = pickle.loads(pickle.dumps(record.criterion.clone()))
    target = record.get("gradTarget", record.get("target"))
    shown = records.tensors([record.input, target])
    before = [t.clone() for t in shown]
    criterion.forward(record.input, target)
    kept = criterion.backward(record.input, target)
    held = records.tensors(kept)
    assert all(map(torch.equal, shown, before))
    assert not records.shares(kept, [record.input, target])
    criterion.forward(record.input, target)
    again = criterion.backward(record.input, target)
    assert all(a is b for a, b in zip(held, records.tensors(again), strict=True))
    if isinstance(kept, torch.Tensor):
        assert again is kept is criterion.gradInput


@records.of("criterion", *CLASSES)
def test_conversion(case):
    record = records.get(case)
    other = {"double": "torch.FloatTensor", "float": "torch.DoubleTensor"}[record.dtype]
    values = record.input, record.get("target"), record.get("gradTarget", record.get("target")), record.gradInput
    given, target, backward_target, wanted = (nn.utils.recursiveType(value, other) for value in values)
    criterion = record.criterion.type(other)
    number = criterion.forward(given, target)
    assert records.difference(number, record.output, records.TOLERANCE["float"]) is None
    gradient = criterion.backward(given, backward_target)
    assert records.difference(gradient, wanted, records.TOLERANCE["float"]) is None


# PyTorch's losses


def signs(*size):
    return torch.randn(*size).sign()


def reduced(losses, mean):
    return losses.mean() if mean else losses.sum()


WEIGHTS = torch.tensor([0.2, 1.0, 3.0, 0.5], dtype=torch.float64)

SAME = {
    # the criterion, PyTorch's function of (input, target, mean or sum), its input, its target
    "AbsCriterion": (nn.AbsCriterion, F.l1_loss, lambda: torch.randn(3, 4), lambda: torch.randn(3, 4)),
    "MSECriterion": (nn.MSECriterion, F.mse_loss, lambda: torch.randn(3, 4), lambda: torch.randn(3, 4)),
    "SmoothL1Criterion": (nn.SmoothL1Criterion, F.smooth_l1_loss, lambda: 2 * torch.randn(9), lambda: torch.randn(9)),
    "DistKLDivCriterion": (
        nn.DistKLDivCriterion,
        lambda x, t, reduction: reduced(F.kl_div(x, t, reduction="none"), reduction == "mean"),
        lambda: torch.randn(3, 4).log_softmax(1),
        lambda: torch.randn(3, 4).softmax(1),
    ),
    "BCECriterion": (
        lambda: nn.BCECriterion(WEIGHTS),
        lambda x, t, reduction: F.binary_cross_entropy(x, t, WEIGHTS.expand_as(x), reduction=reduction),
        lambda: torch.rand(3, 4) * 0.8 + 0.1,
        lambda: torch.rand(3, 4),
    ),
    "MultiLabelSoftMarginCriterion": (
        lambda: nn.MultiLabelSoftMarginCriterion(WEIGHTS),
        lambda x, t, reduction: F.binary_cross_entropy_with_logits(x, t, WEIGHTS, reduction=reduction),
        lambda: 20 * torch.randn(3, 4),
        lambda: torch.rand(3, 4).round(),
    ),
    "SoftMarginCriterion": (nn.SoftMarginCriterion, F.soft_margin_loss, lambda: torch.randn(7), lambda: signs(7)),
    "MarginCriterion": (
        lambda: nn.MarginCriterion(0.7),
        lambda x, t, reduction: reduced((0.7 - x * t).clamp(min=0), reduction == "mean"),
        lambda: torch.randn(3, 4),
        lambda: signs(3, 4),
    ),
    "HingeEmbeddingCriterion": (
        lambda: nn.HingeEmbeddingCriterion(0.6),
        lambda x, t, reduction: F.hinge_embedding_loss(x, t, 0.6, reduction=reduction),
        lambda: torch.rand(3, 4) + 0.01,
        lambda: signs(3, 4),
    ),
    "ClassNLLCriterion": (
        lambda: nn.ClassNLLCriterion(WEIGHTS, None, 2),
        lambda x, t, reduction: F.nll_loss(x, t - 1, WEIGHTS, ignore_index=1, reduction=reduction),
        lambda: torch.randn(6, 4).log_softmax(1),
        lambda: torch.tensor([1, 3, 2, 4, 4, 1]),
    ),
    "CrossEntropyCriterion": (
        lambda: nn.CrossEntropyCriterion(WEIGHTS),
        lambda x, t, reduction: F.cross_entropy(x[:, :, 0], t - 1, WEIGHTS, reduction=reduction),
        lambda: torch.randn(6, 4, 1),
        lambda: torch.tensor([1, 3, 2, 4, 4, 1]),
    ),
    "SpatialClassNLLCriterion": (
        lambda: nn.SpatialClassNLLCriterion(WEIGHTS),
        lambda x, t, reduction: F.nll_loss(x, t - 1, WEIGHTS, reduction=reduction),
        lambda: torch.randn(2, 4, 3, 5).log_softmax(1),
        lambda: torch.randint(1, 5, (2, 3, 5)),
    ),
    "MultiMarginCriterion": (
        lambda: nn.MultiMarginCriterion(2, WEIGHTS, 0.5),
        lambda x, t, reduction: F.multi_margin_loss(x, t - 1, 2, 0.5, WEIGHTS, reduction=reduction),
        lambda: torch.randn(3, 4),
        lambda: torch.tensor([4, 1, 2]),
    ),
    "MultiLabelMarginCriterion": (
        nn.MultiLabelMarginCriterion,
        lambda x, t, reduction: F.multilabel_margin_loss(x, t - 1, reduction=reduction),
        lambda: torch.randn(2, 4),
        lambda: torch.tensor([[3, 1, 0, 4], [0, 2, 3, 1]]),
    ),
    "CosineEmbeddingCriterion": (
        lambda: nn.CosineEmbeddingCriterion(0.2),
        lambda x, t, reduction: F.cosine_embedding_loss(*x, t, 0.2, reduction=reduction),
        lambda: [torch.randn(5, 3), torch.randn(5, 3)],
        lambda: signs(5),
    ),
    "MarginRankingCriterion": (
        lambda: nn.MarginRankingCriterion(0.2),
        lambda x, t, reduction: F.margin_ranking_loss(*x, t, 0.2, reduction=reduction),
        lambda: [torch.randn(5), torch.randn(5)],
        lambda: signs(5),
    ),
}


@pytest.mark.parametrize("mean", [True, False])
@pytest.mark.parametrize("name", SAME)
def test_pytorch_computes_the_same(name, mean):
    make, function, given, target = SAME[name]
    torch.manual_seed(3)
    criterion = make()
    criterion.sizeAverage = mean
    for _ in range(2):
        x, t = given(), target()
        leaves = [v.requires_grad_() for v in records.tensors(x)]
        loss = function(x, t, reduction="mean" if mean else "sum")
        wanted = torch.autograd.grad(loss, leaves)
        # transposed in memory
        strided = [v.detach().transpose(0, -1).contiguous().transpose(0, -1) for v in leaves]
        strided = strided if isinstance(x, list) else strided[0]
        assert criterion.forward(strided, t) == pytest.approx(loss.item(), rel=1e-9, abs=1e-12)
        got = records.tensors(criterion.backward(strided, t))
        for a, b in zip(got, wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


# Corners


def test_nothing_counts():
    """Torch7 divides by the weights used only if there are any."""
    x = torch.randn(2, 3).log_softmax(1)
    for criterion, target in (
        (nn.ClassNLLCriterion(None, None, 3), [3, 3]),
        (nn.ClassNLLCriterion(torch.tensor([0.0, 1, 1])), [1, 1]),
    ):
        assert criterion.forward(x, target) == 0
        assert criterion.total_weight_tensor.item() == 0
        assert torch.equal(criterion.backward(x, target), torch.zeros(2, 3))
    images = torch.zeros(1, 2, 2, 2)
    criterion = nn.SpatialClassNLLCriterion(torch.tensor([0.0, 1]))
    assert criterion.forward(images, torch.ones(1, 2, 2)) == 0
    assert torch.equal(criterion.backward(images, torch.ones(1, 2, 2)), images)


def test_weights_that_cancel_out():
    x = torch.tensor([[-1.0, -2.0], [-3.0, -5.0]])
    criterion = nn.ClassNLLCriterion(torch.tensor([1.0, -1.0]))
    assert criterion.forward(x, [1, 2]) == pytest.approx(1 - 5)
    assert torch.equal(criterion.backward(x, [1, 2]), torch.zeros(2, 2))


def test_impossible_input_where_the_target_is_zero():
    criterion = nn.DistKLDivCriterion()
    x, t = torch.tensor([-math.inf, math.log(0.5)]), torch.tensor([0.0, 1.0])
    assert criterion.forward(x, t) == pytest.approx(math.log(2) / 2)
    assert torch.equal(criterion.backward(x, t), torch.tensor([0.0, -0.5]))


def test_saturated_probabilities():
    """Both logarithms keep their 1e-12, and an exact hit costs nothing."""
    criterion = nn.BCECriterion(None, False)
    hit, miss = torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0])
    assert criterion.forward(hit, hit) == pytest.approx(0, abs=1e-11)
    assert criterion.forward(hit, miss) == pytest.approx(-2 * math.log(1e-12), rel=1e-12)
    assert criterion.backward(torch.tensor([1e-12]), torch.tensor([1.0])).item() == pytest.approx(-0.5e12, rel=1e-9)
    assert criterion.float().forward(hit.float(), miss.float()) == pytest.approx(-2 * math.log(1e-12), rel=1e-6)


def test_floats_do_not_overflow_in_soft_margin():
    """Torch7 computes exp and log in double precision; in double precision itself exp(800) is infinite."""
    x, t = torch.tensor([100.0, -100.0]), torch.tensor([-1.0, -1.0])
    assert nn.SoftMarginCriterion().float().forward(x.float(), t.float()) == 50
    assert nn.SoftMarginCriterion().forward(8 * x, t) == math.inf


def test_scores_far_out():
    criterion = nn.MultiLabelSoftMarginCriterion(None, False)
    x, t = torch.tensor([1000.0, -1000.0, 1000.0, -1000.0]), torch.tensor([1.0, 0.0, 0.0, 1.0])
    assert criterion.forward(x, t) == 2000
    assert torch.equal(criterion.backward(x, t), torch.tensor([0.0, 0.0, 1.0, -1.0]))
    assert torch.equal(criterion.sigmoid.output, torch.tensor([1.0, 0.0, 1.0, 0.0]))


def test_random_signs_where_two_are_equal():
    a, b = torch.tensor([[1.0, 2, 3], [4, 5, 6]]), torch.tensor([[1.0, 0, 3], [5, 5, 6]])
    luann.manualSeed(7)
    drawn = [2 * random.random(2) - 3 for _ in range(4)]
    after = random.random()
    for target, factor in ((1, 1), (-1, -1)):
        criterion = nn.L1HingeEmbeddingCriterion(4)
        luann.manualSeed(7)
        assert criterion.forward([a, b], target) == (3 if target == 1 else 1)
        first, second = criterion.backward([a, b], target)
        assert random.random() == after
        assert (factor * first).tolist() == [[drawn[0], 1, drawn[1]], [-1, drawn[2], drawn[3]]]
        assert torch.equal(second, -first)
    luann.manualSeed(7)
    far = nn.L1HingeEmbeddingCriterion(2)
    far.forward([a, b], -1)
    assert torch.equal(far.backward([a, b], -1)[0], torch.zeros(2, 3))
    assert random.random() == after  # drawn all the same


def test_ranking_of_rows_divides_by_their_number_only():
    a, b, t = torch.randn(3, 2), torch.randn(3, 2), signs(3, 2)
    criterion = nn.MarginRankingCriterion(0.5)
    total = (0.5 - t * (a - b)).clamp(min=0).sum().item()
    assert criterion.forward([a, b], t) == pytest.approx(total / 3)
    assert criterion.backward([a, b], t)[0].abs().max() in (0, pytest.approx(1 / 3))


def test_distance_ratio_only_returns():
    criterion = nn.DistanceRatioCriterion()
    number = criterion.forward([torch.ones(2), torch.zeros(2)])
    assert number == pytest.approx(1 + math.log(math.exp(-1) + 1))
    gradients = criterion.backward([torch.ones(2), torch.zeros(2)])
    assert criterion.output == 0
    assert criterion.gradInput.numel() == 0
    assert gradients[0] is criterion.dX
    assert criterion([torch.ones(2), torch.zeros(2)]) == (number, gradients)
    assert criterion.output == number


# Targets


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64, torch.float32, torch.float64, list])
@pytest.mark.parametrize(
    ("criterion", "size", "target"),
    [
        (nn.ClassNLLCriterion(), (3, 4), [1, 4, 2]),
        (nn.CrossEntropyCriterion(), (3, 4), [1, 4, 2]),
        (nn.MultiMarginCriterion(), (3, 4), [1, 4, 2]),
        (nn.MultiLabelMarginCriterion(), (2, 3), [[3, 0, 0], [1, 2, 0]]),
        (nn.SpatialClassNLLCriterion(), (1, 4, 2, 2), [[[1, 4], [2, 2]]]),
        (nn.ClassSimplexCriterion(4), (3, 4), [1, 4, 2]),
        (nn.MSECriterion(), (3, 2), [[1, 0], [2, 2], [0, 1]]),
        (nn.BCECriterion(), (2, 2), [[1, 0], [0, 1]]),
    ],
)
def test_targets_of_any_type(criterion, size, target, dtype):
    x = torch.rand(size)
    plain = torch.tensor(target)
    criterion = criterion.clone().double()
    number, gradient = criterion.forward(x, plain), criterion.backward(x, plain).clone()
    given = target if dtype is list else plain.to(dtype)
    assert criterion.forward(x, given) == number
    assert torch.equal(criterion.backward(x, given), gradient)


@pytest.mark.parametrize("make", [nn.ClassNLLCriterion, nn.CrossEntropyCriterion, nn.MultiMarginCriterion])
def test_one_sample(make):
    criterion, x = make(), torch.randn(4)
    number, gradient = criterion.forward(x, 3), criterion.backward(x, 3).clone()
    assert gradient.shape == (4,)
    for target in ([3], torch.tensor(3), torch.tensor([3.0])):
        assert criterion.forward(x, target) == number
        assert torch.equal(criterion.backward(x, target), gradient)
        assert criterion.forward(x.view(1, 4), target) == pytest.approx(number)
        assert torch.equal(criterion.backward(x.view(1, 4), target), gradient.view(1, 4))


def test_cross_entropy_drops_dimensions_of_size_one():
    criterion, x = nn.CrossEntropyCriterion(), torch.randn(1, 4, 1, 1)
    plain = F.cross_entropy(x.view(1, 4), torch.tensor([1]))
    assert criterion.forward(x, torch.tensor([[2]])) == pytest.approx(plain.item())
    assert criterion.backward(x, torch.tensor([[2]])).shape == (1, 4, 1, 1)
    assert criterion.forward(torch.randn(1, 1), 1) == 0


def test_auto_crop_takes_the_whole_target_in_both_passes():
    criterion, x, target = nn.SpatialAutoCropMSECriterion(), torch.randn(2, 3, 2), torch.randn(2, 6, 3)
    middle = target[:, 1:4, 0:2]
    assert criterion.forward(x, target) == nn.MSECriterion().forward(x, middle)
    assert torch.equal(criterion.backward(x, target), criterion.clone().backward(x, middle))


def test_simplex():
    criterion = nn.ClassSimplexCriterion(5)
    between = criterion.simplex @ criterion.simplex.t()
    torch.testing.assert_close(between, torch.eye(5) * 1.25 - 0.25)
    record = next(r for r in luann.load(records.REFERENCE / "api/structure.t7") if r.name == "simplex_predictions")
    criterion, wanted = nn.ClassSimplexCriterion(4), record.result
    torch.testing.assert_close(criterion.simplex, wanted.simplex)
    torch.testing.assert_close(criterion.getPredictions(wanted.input), wanted.predictions)
    assert torch.equal(criterion.getTopPrediction(wanted.input), wanted.top)
    assert torch.equal(criterion.getTopPrediction(criterion.simplex[2]), torch.tensor([3]))


# Criterions of criterions


def test_multi_criterion():
    criterion = nn.MultiCriterion()
    assert criterion.add(nn.MSECriterion(), 2).add(nn.L1Cost()) is criterion
    assert criterion.weights == [2, 1]
    assert criterion.weights.typename == "torch.DoubleStorage"
    x, t = torch.tensor([1.0, -2.0]), torch.tensor([0.0, -2.0])
    assert criterion.forward(x, t) == 2 * 0.5 + 3
    assert torch.equal(criterion.backward(x, t), torch.tensor([2.0 + 1, -1.0]))


def test_multi_criterion_of_lists():
    criterion = nn.MultiCriterion().add(nn.CosineEmbeddingCriterion(), 0.5).add(nn.L1HingeEmbeddingCriterion())
    pair = [torch.randn(3), torch.randn(3)]
    singly = [nn.CosineEmbeddingCriterion(), nn.L1HingeEmbeddingCriterion()]
    (a, grads_a), (b, grads_b) = (c(pair, 1) for c in singly)
    assert criterion.forward(pair, 1) == pytest.approx(0.5 * a + b)
    kept = criterion.backward(pair, 1)
    for got, u, v in zip(kept, grads_a, grads_b):
        torch.testing.assert_close(got, 0.5 * u + v)
    assert criterion.backward(pair, 1) is kept


def test_parallel_criterion_leaves_the_rest_of_its_input_alone():
    criterion = nn.ParallelCriterion().add(nn.MSECriterion()).add(nn.ClassNLLCriterion(), 3)
    x = [torch.randn(2), torch.randn(2, 3), torch.randn(4)]
    target = [torch.randn(2), [3, 1]]
    assert criterion.forward(x, target) == pytest.approx(
        nn.MSECriterion().forward(x[0], target[0]) + 3 * nn.ClassNLLCriterion().forward(x[1], target[1])
    )
    assert torch.equal(criterion.backward(x, target)[2], torch.zeros(4))


def test_module_criterion():
    with pytest.warns(UserWarning, match="does not update the parameters"):
        nn.ModuleCriterion(nn.MSECriterion(), nn.Linear(2, 2))
    kept, cast = (nn.ModuleCriterion(nn.MSECriterion(), nn.Tanh(), nn.Identity(), c).float() for c in (False, True))
    assert (kept.targetModule.type(), kept.inputModule.type()) == ("torch.DoubleTensor", "torch.FloatTensor")
    assert cast.targetModule.type() == "torch.FloatTensor"
    plain, x, t = nn.ModuleCriterion(nn.MSECriterion()), torch.randn(3), torch.randn(3)
    assert plain(x, t)[0] == nn.MSECriterion().forward(x, t)


# Objects from older versions of Torch7


def test_old_objects():
    x, t = torch.rand(2, 3), torch.tensor([[0.0, 1, 1], [1, 0, 0]])
    weights = torch.tensor([1.0, 2, 3])
    old = nn.MultiLabelSoftMarginCriterion.__new__(nn.MultiLabelSoftMarginCriterion)
    fields = {"gradInput": torch.empty(0), "output": 0, "lsm": nn.Sigmoid(), "nll": nn.BCECriterion(weights, False)}
    old._restore(fields, 1)
    assert old.forward(x, t) == nn.MultiLabelSoftMarginCriterion(weights, False).forward(x, t)
    assert torch.equal(old.backward(x, t), nn.MultiLabelSoftMarginCriterion(weights, False)(x, t)[1])
    for cls, target in (
        (nn.ClassNLLCriterion, [1, 3]),
        (nn.MultiMarginCriterion, [1, 3]),
        (nn.MultiLabelMarginCriterion, t),
    ):
        old = cls.__new__(cls)
        old._restore({"gradInput": torch.empty(0), "output": 0, "sizeAverage": True}, 1)
        assert old.forward(x, target) == cls().forward(x, target)
        assert torch.equal(old.backward(x, target), cls()(x, target)[1])


# Mistakes


@pytest.mark.parametrize(
    ("criterion", "size", "target", "label"),
    [
        (nn.ClassNLLCriterion(), (2, 3), [1, 4], "4"),
        (nn.ClassNLLCriterion(), (2, 3), [0, 1], "0"),
        (nn.ClassNLLCriterion(), (3,), 4, "4"),
        (nn.ClassNLLCriterion(None, None, 5), (2, 3), [5, -100], "-100"),
        (nn.CrossEntropyCriterion(), (2, 3), [1, 4], "4"),
        (nn.SpatialClassNLLCriterion(), (1, 3, 1, 2), [[[3, -100]]], "-100"),
        (nn.MultiMarginCriterion(), (2, 3), [3, 0], "0"),
        (nn.MultiLabelMarginCriterion(), (2, 3), [[1, 0, 0], [4, 0, 0]], "4"),
        (nn.MultiLabelMarginCriterion(), (3,), [1, -1, 0], "-1"),
        (nn.ClassSimplexCriterion(3), (2, 3), [1, 4], "4"),
    ],
)
def test_a_class_that_does_not_exist(criterion, size, target, label):
    criterion = criterion.clone().double()
    for run in (criterion.forward, criterion.backward):
        with pytest.raises(luann.ArgumentError, match=f"a target is {label}: classes count from 1 to 3"):
            run(torch.randn(size), target)


@pytest.mark.parametrize(
    ("criterion", "given", "target"),
    [
        (nn.ClassNLLCriterion(), torch.zeros(2, 3), [1, 2, 3]),
        (nn.ClassNLLCriterion(), torch.zeros(2, 3), torch.ones(2, 1)),
        (nn.ClassNLLCriterion(), torch.zeros(2, 3, 4), [1, 2]),
        (nn.ClassNLLCriterion(), torch.zeros(3), [1, 2]),
        (nn.CrossEntropyCriterion(), torch.zeros(4, 1), [1, 1, 1, 1]),
        (nn.SpatialClassNLLCriterion(), torch.zeros(2, 3), [1, 2]),
        (nn.SpatialClassNLLCriterion(), torch.zeros(1, 3, 2, 2), torch.ones(2, 2)),
        (nn.MultiLabelMarginCriterion(), torch.zeros(2, 3), [1, 0, 0]),
        (nn.ClassSimplexCriterion(4), torch.zeros(2, 3), [1, 2]),
        (nn.MSECriterion(), torch.zeros(3), torch.zeros(4)),
        (nn.AbsCriterion(), torch.zeros(3), 1),
        (nn.BCECriterion(torch.ones(2)), torch.zeros(2, 3), torch.zeros(2, 3)),
        (nn.BCECriterion(torch.ones(3)), torch.zeros(2, 2, 3), torch.zeros(2, 2, 3)),
        (nn.WeightedMSECriterion(torch.ones(2)), torch.zeros(2, 3), torch.zeros(2, 3)),
        (nn.SpatialAutoCropMSECriterion(), torch.zeros(1, 3, 3), torch.zeros(1, 2, 5)),
        (nn.SpatialAutoCropMSECriterion(), torch.zeros(3, 3), torch.zeros(3, 3)),
        (nn.CosineEmbeddingCriterion(), [torch.zeros(2, 3), torch.zeros(1, 3)], 1),
        (nn.CosineEmbeddingCriterion(), [torch.zeros(2, 3), torch.zeros(2, 3)], 1),
        (nn.MarginRankingCriterion(), [torch.zeros(2), torch.zeros(2)], 1),
    ],
)
def test_sizes_that_do_not_fit(criterion, given, target):
    for run in (criterion.forward, criterion.backward):
        with pytest.raises(luann.ShapeError, match="wanted"):
            run(given, target)


@pytest.mark.parametrize(
    ("criterion", "given", "target"),
    [
        (nn.MSECriterion(), [torch.zeros(3)], torch.zeros(3)),
        (nn.MSECriterion(), torch.zeros(3), None),
        (nn.ClassNLLCriterion(), torch.zeros(3), "two"),
        (nn.ClassNLLCriterion().float(), torch.zeros(3).double(), 2),
        (nn.ClassNLLCriterion(torch.ones(3).double()).float(), torch.zeros(3).double(), 2),
        (nn.CosineEmbeddingCriterion(), torch.zeros(2, 3), 1),
        (nn.L1HingeEmbeddingCriterion(), [torch.zeros(3), torch.zeros(3)], [1, 1]),
        (nn.L1Cost(), [torch.zeros(3)], None),
        (nn.ParallelCriterion().add(nn.MSECriterion()), torch.zeros(3), torch.zeros(3)),
        (nn.ParallelCriterion().add(nn.MSECriterion()), [torch.zeros(3)], 1),
    ],
)
def test_things_of_the_wrong_type(criterion, given, target):
    with pytest.raises(luann.TensorTypeError):
        criterion.forward(given, target)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.ClassNLLCriterion(torch.ones(3, 1)),
        lambda: nn.BCECriterion([1, 2]),
        lambda: nn.MultiMarginCriterion(3),
        lambda: nn.ClassSimplexCriterion(1),
        lambda: nn.ClassSimplexCriterion(2.5),
        lambda: nn.WeightedMSECriterion(None),
        lambda: nn.MultiCriterion().add(None),
        lambda: nn.ModuleCriterion(None),
    ],
)
def test_arguments_that_cannot_be_used(make):
    with pytest.raises(luann.ArgumentError, match=r"^nn\."):
        make()


def test_the_path_of_an_error():
    criterion = nn.MultiCriterion().add(nn.L1Cost()).add(nn.CrossEntropyCriterion())
    with pytest.raises(luann.ArgumentError) as caught:
        criterion.forward(torch.randn(2, 3), [1, 7])
    assert caught.value.path == "MultiCriterion[2] CrossEntropyCriterion nn.ClassNLLCriterion"


@pytest.mark.parametrize("make", [nn.ClassNLLCriterion, nn.CrossEntropyCriterion])
def test_a_target_is_read_again_where_it_has_changed(make):
    criterion, fresh = make(), make()
    input, target = torch.randn(3, 4).log_softmax(1), torch.tensor([1, 2, 3])
    criterion.forward(input, target)
    for change in (lambda: None, lambda: target.fill_(4), lambda: target.copy_(torch.tensor([2, 2, 1]))):
        change()
        torch.testing.assert_close(criterion.backward(input, target), fresh_gradient(fresh, input, target))
    other = torch.tensor([4, 4, 4])
    torch.testing.assert_close(criterion.backward(input, other), fresh_gradient(fresh, input, other))
    torch.testing.assert_close(criterion.backward(input, [1, 1, 2]), fresh_gradient(fresh, input, [1, 1, 2]))
    with torch.inference_mode():
        unversioned = torch.tensor([3, 1, 2])
    criterion.forward(input, unversioned)
    torch.testing.assert_close(criterion.backward(input, unversioned), fresh_gradient(fresh, input, [3, 1, 2]))


def fresh_gradient(criterion, input, target):
    """The gradient by a criterion that saw the target in forward as it is now."""
    target = target.clone() if isinstance(target, torch.Tensor) else target
    criterion.forward(input, target)
    return criterion.backward(input, target).clone()
