"""Corners of the criterions that no record shows, by the rules of Torch7's own source."""

from __future__ import annotations

import pytest
import torch

import luann
from luann import nn


@pytest.fixture(autouse=True)
def double():
    luann.setdefaulttensortype("torch.DoubleTensor")


def test_parallel_criterion_whose_last_criterion_needs_no_target():
    criterion = nn.ParallelCriterion().add(nn.MSECriterion(), 2).add(nn.L1Cost(), 0.5)
    x, target = [torch.tensor([1.0, 3.0]), torch.tensor([-1.0, 0.0, 4.0])], [torch.tensor([0.0, 3.0])]
    assert criterion.forward(x, target) == 2 * 0.5 + 0.5 * 5
    first, second = criterion.backward(x, target)
    assert first.tolist() == [2, 0] and second.tolist() == [-0.5, 0, 0.5]


def test_parallel_criterion_names_the_criterion_that_misses_its_target():
    criterion = nn.ParallelCriterion().add(nn.L1Cost()).add(nn.MSECriterion())
    with pytest.raises(luann.TensorTypeError, match="target must be a tensor") as caught:
        criterion.forward([torch.zeros(2), torch.zeros(2)], [])
    assert caught.value.path == "ParallelCriterion[2] nn.MSECriterion"


def test_simplex_without_a_target_keeps_the_last():
    criterion, x = nn.ClassSimplexCriterion(3), torch.randn(2, 3)
    number = criterion.forward(x, torch.tensor([3, 1]))
    gradient = criterion.backward(x, torch.tensor([3, 1])).clone()
    assert torch.equal(criterion.backward(x), gradient) and criterion.forward(x) == number
    with pytest.raises(luann.ShapeError, match="as many points"):
        criterion.backward(torch.randn(4, 3))
