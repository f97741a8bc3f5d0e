"""Draws by the alias method, which no record shows: by the rules of Torch7's own source."""

from __future__ import annotations

import pytest
import torch

from luann import random
from luann.errors import ArgumentError, ShapeError, TensorTypeError


def tables(probs: torch.Tensor) -> tuple[list[float], list[int]]:
    alias, stays = random.multinomialAliasSetup(probs)
    assert alias.dtype == torch.int64 and stays.dtype == probs.dtype and alias.min() >= 1
    return stays.tolist(), (alias - 1).tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_tables_hold_the_distribution(dtype):
    generator = torch.Generator().manual_seed(5)
    for n in (2, 3, 7, 50):
        probs = torch.rand(n, generator=generator, dtype=torch.float64) + 0.1
        probs[0] = 0.01  # so that the first takes nobody's place
        probs = (probs / probs.sum()).to(dtype)
        stays, alias = tables(probs)
        drawn = [0.0] * n
        for i in range(n):
            drawn[i] += stays[i] / n
            drawn[alias[i]] += (1 - stays[i]) / n
        torch.testing.assert_close(torch.tensor(drawn, dtype=dtype), probs, rtol=1e-6, atol=1e-7)


def test_the_first_takes_nobodys_place():
    """Torch7 cannot tell it from none, which is 0 as well where it counts."""
    stays, alias = tables(torch.tensor([0.75, 0.25], dtype=torch.float64))
    assert (stays, alias) == ([1, 1], [0, 0])
    stays, alias = tables(torch.tensor([0.25, 0.75], dtype=torch.float64))
    assert (stays, alias) == ([0.5, 1], [1, 0])


def test_two_numbers_for_each_draw():
    probs = torch.tensor([0.05, 0.3, 0.15, 0.5], dtype=torch.float64)
    state = random.multinomialAliasSetup(probs)
    stays, alias = tables(probs)
    random.manualSeed(11)
    wanted = []
    for _ in range(300):
        i = int(random.uniform(0, 4))
        wanted.append(1 + (i if random.bernoulli(stays[i]) else alias[i]))
    after = random.random()
    random.manualSeed(11)
    output = torch.empty(20, 15, dtype=torch.int64)
    assert random.multinomialAlias(output, state) is output
    assert output.flatten().tolist() == wanted and random.random() == after
    own = random.Generator()
    own.manualSeed(11)
    assert own.multinomialAlias(torch.empty(300, dtype=torch.int64), state).tolist() == wanted


def test_tables_are_used_again():
    state = random.multinomialAliasSetup(torch.tensor([0.5, 0.5]))
    alias, stays = state
    assert random.multinomialAliasSetup(torch.tensor([0.1, 0.2, 0.7]), state) is state
    assert state[0] is alias and state[1] is stays and alias.tolist() == [3, 3, 1]


def test_mistakes():
    for probs, error in (
        (torch.tensor([0.0, 1]), ArgumentError),
        (torch.tensor([-0.5, 1.5]), ArgumentError),
        (torch.tensor([float("nan"), 1]), ArgumentError),
        (torch.ones(2, 2), ShapeError),
        (torch.ones(0), ShapeError),
        (torch.tensor([1, 1]), TensorTypeError),
    ):
        with pytest.raises(error, match="multinomialAliasSetup"):
            random.multinomialAliasSetup(probs)
    with pytest.raises(TensorTypeError, match="LongTensor"):
        random.multinomialAlias(torch.empty(3), random.multinomialAliasSetup(torch.tensor([0.5, 0.5])))
