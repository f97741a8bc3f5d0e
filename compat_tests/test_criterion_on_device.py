"""Criterions whose number stays a tensor, on the device: the same numbers, and gradients."""

import pytest
import torch

import luann
from luann import nn

INPUT = torch.tensor([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]]).log()
CLASSES = torch.tensor([3, 1])
CASES = {
    "nll": (lambda: nn.ClassNLLCriterion(), CLASSES),
    "weighted": (lambda: nn.ClassNLLCriterion(torch.tensor([0.5, 1.0, 2.0])), CLASSES),
    "cross entropy": (lambda: nn.CrossEntropyCriterion(), CLASSES),
    "mse": (lambda: nn.MSECriterion(), torch.zeros(2, 3)),
    "smooth": (lambda: nn.SmoothL1Criterion(), torch.zeros(2, 3)),
    "multi margin": (lambda: nn.MultiMarginCriterion(), CLASSES),
    "several": (lambda: nn.MultiCriterion().add(nn.AbsCriterion(), 0.5).add(nn.MSECriterion()), torch.zeros(2, 3)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_number_is_a_tensor(case):
    make, target = case
    plain, kept = make(), make().onDevice()
    number = kept.forward(INPUT, target)
    assert isinstance(number, torch.Tensor) and number.dim() == 0
    assert number.item() == pytest.approx(plain.forward(INPUT, target))
    assert torch.equal(kept.backward(INPUT, target), plain.backward(INPUT, target))
    first = number.clone()
    kept.forward(2 * INPUT, target)
    assert torch.equal(number, first)  # a number that was kept stays
    assert isinstance(kept.onDevice(False).forward(INPUT, target), float)


@pytest.mark.parametrize("weights", [None, torch.zeros(3)])
def test_no_label_that_counts(weights):
    plain, kept = nn.ClassNLLCriterion(weights), nn.ClassNLLCriterion(weights).onDevice()
    if weights is None:
        plain.ignoreIndex = kept.ignoreIndex = 1
    ones = torch.ones(2)
    assert kept.forward(INPUT, ones).item() == plain.forward(INPUT, ones) == 0
    assert torch.equal(kept.backward(INPUT, ones), plain.backward(INPUT, ones))


def test_it_is_copied_and_not_saved(tmp_path):
    criterion = nn.MSECriterion().onDevice()
    assert isinstance(criterion.clone().forward(INPUT, INPUT), torch.Tensor)
    luann.save(tmp_path / "c.t7", criterion)
    assert isinstance(luann.load(tmp_path / "c.t7").forward(INPUT, INPUT), float)
