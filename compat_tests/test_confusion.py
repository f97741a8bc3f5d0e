"""optim.ConfusionMatrix: every record of real Torch7, and what a port or a loaded file needs beyond them."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import optim_records
import pytest
import torch

from luann import Table, optim, typename
from luann.errors import ArgumentError, ShapeError
from luann.types import classes

EXACT = {"rtol": 1e-12, "atol": 0, "equal_nan": True}


def rerun(record):
    """What the record did, up to but without printing."""
    confusion = optim.ConfusionMatrix(record.classes)
    for prediction, target in record.adds:
        (confusion.batchAdd if record.batch else confusion.add)(prediction, target)
    return confusion


def same(actual, expected):
    """Equal fields, NaN being equal to NaN; an empty table may be a list."""
    if isinstance(expected, torch.Tensor):
        torch.testing.assert_close(actual, expected, **EXACT)
    elif isinstance(expected, (list, dict)) or isinstance(actual, (list, dict)):
        assert list(actual) == list(expected)
    else:
        assert actual == expected or math.isclose(actual, expected, rel_tol=1e-12)


@optim_records.of("confusion")
def test_record(case):
    record = optim_records.get(case)
    confusion = rerun(record)
    assert torch.equal(confusion.mat, record.matrix)
    assert str(confusion) == record.tostring == repr(confusion) == confusion.__tostring__()
    for name in ("valids", "unionvalids", "totalValid", "averageValid", "averageUnionValid"):
        same(getattr(confusion, name), record[name])
    rates = confusion.farFrr()
    assert len(rates) == 4
    for actual, expected in zip(rates, record.farFrr, strict=True):
        same(actual, expected)


@optim_records.of("confusion")
def test_fields(case):
    record = optim_records.get(case)
    confusion = rerun(record)
    confusion.updateValids()
    confusion.farFrr()
    expected = vars(record.object)
    assert set(vars(confusion)) == set(expected)
    for name, value in expected.items():
        same(getattr(confusion, name), value)
    assert confusion._mat_flat.data_ptr() == confusion.mat.data_ptr()


@optim_records.of("confusion")
@pytest.mark.parametrize("through", [lambda c: c, copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
def test_a_loaded_object_goes_on(case, through):
    record = optim_records.get(case)
    loaded = through(record.object)
    assert type(loaded) is optim.ConfusionMatrix and typename(loaded) == "optim.ConfusionMatrix"
    assert str(loaded) == record.tostring
    loaded.add(1, 2)
    loaded.batchAdd(torch.tensor([1, 2]), torch.tensor([1, 1]))
    added = torch.zeros_like(record.matrix)
    added[1, 0], added[0, 0], added[0, 1] = 1, 1, 1
    assert torch.equal(loaded.mat, record.matrix + added)
    assert loaded._mat_flat.data_ptr() == loaded.mat.data_ptr()
    for actual, expected in zip(loaded.farFrr(), rerun_with(record).farFrr(), strict=True):
        same(actual, expected)


def rerun_with(record):
    confusion = rerun(record)
    for prediction, target in ((1, 2), (1, 1), (2, 1)):
        confusion.add(prediction, target)
    return confusion


def test_an_object_of_an_older_optim():
    # Up to 2014 the counts were floats and there were no buffers.
    fields = {
        "mat": torch.tensor([[3.0, 1.0], [0.0, 2.0]]),
        "valids": torch.zeros(2),
        "unionvalids": torch.zeros(2),
        "nclasses": 2,
        "totalValid": 0,
        "averageValid": 0,
        "classes": ["cat", "dog"],
    }
    old = classes["optim.ConfusionMatrix"].__new__(optim.ConfusionMatrix)
    old._restore(fields, 1)
    old.batchAdd(torch.tensor([[0.9, 0.1], [0.2, 0.8]]), torch.tensor([2, 2]))
    old.add(torch.tensor([0.9, 0.1]), 1)
    assert old.mat is fields["mat"] and old.mat.tolist() == [[4, 1], [1, 3]]
    new = optim.ConfusionMatrix(["cat", "dog"])
    for t, row in enumerate(old.mat.tolist(), 1):
        for p, count in enumerate(row, 1):
            for _ in range(int(count)):
                new.add(p, t)
    assert str(old) == str(new)
    for a, b in zip(old.farFrr(), new.farFrr(), strict=True):
        assert torch.equal(a, b)


# adding

LABELS = [1, 3, 2, 2, 4, 1, 4]
TARGETS = [1, 3, 3, 0, 4, 2, -1]
COUNTS = [[1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]]


def scores(labels):
    """A matrix of scores whose greatest of each row is at the label."""
    rows = torch.rand(len(labels), 4, dtype=torch.float64)
    rows[torch.arange(len(labels)), torch.tensor(labels) - 1] += 1
    return rows


FORMS = {
    "long": torch.tensor,
    "double": lambda labels: torch.tensor(labels, dtype=torch.float64),
    "byte-like": lambda labels: torch.tensor(labels, dtype=torch.int8),
    "column": lambda labels: torch.tensor(labels)[:, None],
    "strided": lambda labels: torch.tensor([labels, labels]).t()[:, 1],
    "list": list,
    "numpy": np.array,
    "list of tensors": lambda labels: [torch.tensor(n) for n in labels],
}
SCORES = {
    "scores": scores,
    "float scores": lambda labels: scores(labels).float(),
    "transposed scores": lambda labels: scores(labels).t().clone().t(),
    "half scores": lambda labels: scores(labels).half(),
    "list of scores": lambda labels: list(scores(labels)),
    "needing gradients": lambda labels: scores(labels).requires_grad_(),
}


@pytest.mark.parametrize("targets", FORMS)
@pytest.mark.parametrize("predictions", FORMS | SCORES)
def test_batchAdd(predictions, targets):
    confusion = optim.ConfusionMatrix(4)
    for size in (7, 4):  # another size the second time, as a last batch has
        confusion.batchAdd((FORMS | SCORES)[predictions](LABELS[:size]), FORMS[targets](TARGETS[:size]))
    again = optim.ConfusionMatrix(4)
    for p, t in zip(LABELS + LABELS[:4], TARGETS + TARGETS[:4], strict=True):
        again.add(p, t)
    assert torch.equal(confusion.mat, again.mat)
    confusion.zero()
    confusion.batchAdd((FORMS | SCORES)[predictions](LABELS), FORMS[targets](TARGETS))
    assert confusion.mat.tolist() == COUNTS


@pytest.mark.parametrize("form", SCORES)
def test_one_hot_targets(form):
    known = [i for i, t in enumerate(TARGETS) if t > 0]
    labels, targets = [LABELS[i] for i in known], [TARGETS[i] for i in known]
    confusion = optim.ConfusionMatrix(4)
    confusion.batchAdd(SCORES[form](labels), torch.eye(4)[torch.tensor(targets) - 1])
    assert confusion.mat.tolist() == COUNTS


ONE = {
    "int": int,
    "float": float,
    "tensor": torch.tensor,
    "numpy": np.int64,
    "scores": lambda label: scores([label])[0],
    "list of scores": lambda label: scores([label])[0].tolist(),
}


@pytest.mark.parametrize("form", ONE)
def test_add(form):
    label = ONE[form]
    confusion = optim.ConfusionMatrix(4)
    for p, t in zip(LABELS, TARGETS, strict=True):
        confusion.add(label(p), t)
        if t > 0:
            confusion.add(p, label(t))
            confusion.add(label(p), label(t))
    assert confusion.mat.tolist() == [[3 * n for n in row] for row in COUNTS]


def test_the_first_of_equal_scores():
    confusion = optim.ConfusionMatrix(3)
    confusion.add(torch.tensor([0.5, 0.5, 0.1]), 1)
    confusion.add(torch.tensor([0.1, 1.0, 1.0 + 1e-12], dtype=torch.float64), 2)  # equal as floats
    confusion.batchAdd(torch.tensor([[1.0, 1.0, 1.0], [0.0, 2.0, 2.0]]), torch.tensor([3, 3]))
    assert confusion.mat.tolist() == [[1, 0, 0], [0, 1, 0], [1, 1, 0]]


def test_many_samples():
    generator = torch.Generator().manual_seed(1)
    p = torch.randint(1, 101, (100_000,), generator=generator)
    t = torch.randint(-3, 101, (100_000,), generator=generator)
    confusion = optim.ConfusionMatrix(100)
    confusion.batchAdd(p, t)
    expected = np.zeros((100, 100), dtype=np.int64)
    np.add.at(expected, (t[t > 0].numpy() - 1, p[t > 0].numpy() - 1), 1)
    assert np.array_equal(confusion.mat.numpy(), expected)


def test_nothing_to_count():
    confusion = optim.ConfusionMatrix(2)
    confusion.batchAdd(torch.empty(0), torch.empty(0))
    confusion.batchAdd(torch.empty(0, 2), torch.empty(0, dtype=torch.int64))
    confusion.batchAdd(torch.tensor([1, 9]), torch.tensor([0, -2]))  # where the target is unknown, all is
    confusion.add(9, 0)
    assert not confusion.mat.any()
    confusion.updateValids()
    assert all(map(math.isnan, (confusion.totalValid, confusion.averageValid, confusion.averageUnionValid)))
    class_frrs, class_fars, frrs, fars = confusion.farFrr()
    assert class_frrs.tolist() == class_fars.tolist() == [-1, -1] and len(frrs) == len(fars) == 0


@pytest.mark.cuda
@pytest.mark.parametrize("predictions", FORMS | SCORES)
def test_samples_on_cuda(predictions):
    p = (FORMS | SCORES)[predictions](LABELS)
    p = p.cuda() if isinstance(p, torch.Tensor) else p
    confusion = optim.ConfusionMatrix(4)
    confusion.batchAdd(p, torch.tensor(TARGETS).cuda())
    assert confusion.mat.tolist() == COUNTS


def test_zero():
    confusion = optim.ConfusionMatrix(2)
    mat = confusion.mat
    confusion.add(1, 1)
    confusion.updateValids()
    assert confusion.totalValid == 1
    confusion.zero()
    assert confusion.mat is mat and not mat.any() and not confusion.valids.any() and not confusion.unionvalids.any()
    assert confusion.totalValid == confusion.averageValid == 0


# figures


def test_false_acceptance_with_a_single_class_is_undefined():
    confusion = optim.ConfusionMatrix(2)
    confusion.add(1, 2)
    class_frrs, class_fars, frrs, fars = confusion.farFrr()
    assert class_frrs.tolist() == [-1, 1] and frrs.tolist() == [1]
    assert class_fars[0] == -1 and class_fars[1].isnan() and fars.isnan().tolist() == [True]


def test_farFrr_reuses_its_tensors():
    confusion = optim.ConfusionMatrix(2)
    confusion.add(1, 1)
    first = confusion.farFrr()
    confusion.add(1, 2)
    second = confusion.farFrr()
    assert first[0] is second[0] and first[1] is second[1] and first[0].dtype == torch.float64
    assert second[0].tolist() == [0, 1] and second[1].tolist() == [1, 0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_the_default_type_changes_nothing(dtype):
    torch.set_default_dtype(dtype)
    record = optim_records.get(("confusion", 1))
    confusion = optim.ConfusionMatrix(record.classes)
    confusion.batchAdd([1.0, 2.0], [[0.1, 0.7, 0.2], [0.1, 0.2, 0.7]])
    assert confusion.mat.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    assert confusion.valids.dtype == torch.float32 and confusion.farFrr()[0].dtype == torch.float64


# printing


def lines(confusion):
    return str(confusion).split("\n")


def test_great_counts_get_wider_columns():
    confusion = optim.ConfusionMatrix(2)
    confusion.mat[0, 0] = 123456789
    assert lines(confusion)[1] == "[[ 123456789         0]   100.000% "
    confusion.mat[0, 0] = 99999999
    assert lines(confusion)[1] == "[[ 99999999        0]   100.000% "
    confusion.mat[0, 0] = 12345678
    assert lines(confusion)[1] == "[[ 12345678        0]   100.000% "
    confusion.mat[0, 0] = 1000000
    assert lines(confusion)[1] == "[[ 1000000       0]   100.000% "


def test_names():
    def ends(names):
        return [line.split("%")[1] for line in lines(optim.ConfusionMatrix(2, names))[1:3]]

    assert ends(["cat"]) == [" \t[class: cat]", " \t[class: ]"]
    assert ends([0, 2.5]) == [" \t[class: 0]", " \t[class: 2.5]"]
    assert ends(Table({1: "cat", 3: "dog"})) == [" \t[class: cat]", " \t[class: ]"]
    assert ends(Table({2: "dog"})) == [" ", " "]  # Torch7 looks for the first name only
    assert optim.ConfusionMatrix(("a", "b", "c")).nclasses == 3


def test_one_class():
    confusion = optim.ConfusionMatrix(1)
    confusion.add(1, 1)
    assert lines(confusion) == [
        "ConfusionMatrix:",
        "[[       1]]  100.000% ",
        " + average row correct: 100% ",
        " + average rowUcol correct (VOC measure): 100% ",
        " + global correct: 100%",
    ]


# errors


@pytest.mark.parametrize("p, t, bad", [(0, 1, 0), (4, 1, 4), (1, 4, 4), (-1, 1, -1), (2, 5, 5)])
def test_labels_beyond_the_classes(p, t, bad):
    confusion = optim.ConfusionMatrix(3)
    for call in (
        lambda: confusion.add(p, t),
        lambda: confusion.batchAdd(torch.tensor([1, p, 2]), torch.tensor([1, t, 0])),
        lambda: confusion.batchAdd([float(p)], [float(t)]),
    ):
        with pytest.raises(ArgumentError, match=f"label {bad} is not one of the classes 1 to 3"):
            call()
    assert not confusion.mat.any()


def test_a_prediction_that_is_no_number():
    confusion = optim.ConfusionMatrix(3)
    with pytest.raises(ArgumentError, match="is not one of the classes"):
        confusion.batchAdd([math.nan], [1])
    with pytest.raises(ArgumentError, match="is not one of the classes"):
        confusion.add(math.nan, 1)


def test_wrong_sizes():
    confusion = optim.ConfusionMatrix(3)
    with pytest.raises(ShapeError, match="see batchAdd"):
        confusion.add(torch.zeros(2, 3), 1)
    with pytest.raises(ShapeError, match="predictions must be"):
        confusion.batchAdd(torch.zeros(2, 3, 4), torch.ones(2))
    with pytest.raises(ShapeError, match="targets must be"):
        confusion.batchAdd(torch.zeros(2, 3), torch.tensor(1))
    with pytest.raises(ShapeError, match="2 predictions for 3 targets"):
        confusion.batchAdd(torch.ones(2), torch.ones(3))
    with pytest.raises(ArgumentError, match="at least one class"):
        optim.ConfusionMatrix(0)
