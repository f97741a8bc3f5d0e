"""Differential evolution."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..errors import ArgumentError
from ..random import Generator
from .state import Feval, option, tables, value, without_autograd


@without_autograd
def de(feval: Feval, x: Tensor, config: Any = None, state: Any = None) -> tuple[Tensor, Tensor]:
    """Minimise by differential evolution: a population that mixes its members' differences into the best one.

    The members start evenly spread over a cube. In each generation a member's child takes every element, with the
    probability ``crossoverRate``, from best + scaleFactor · (one member − another), else from its parent, and takes the
    parent's place if it is no worse.

    As in Torch7 the best one is at first the worst of the population, and the random numbers come from a generator of
    its own that starts at the seed 1, so that every run is alike. x gives the number of elements and is not changed.

    Args:
        feval: function of x that returns f(x), alone or with df/dx, which is not used.
        x: a tensor of the shape and type that ``feval`` takes.
        config: dict or object with the settings

            - ``maxFEs``: end at the first generation after maxFEs − 1 evaluations; there are never more than maxFEs
            - ``scaleFactor``: usually 0.4 to 1
            - ``crossoverRate``: usually 0.1 to 0.9
            - ``popsize`` (10 for each element of x): members of the population, at least 3
            - ``minRegion`` (−30), ``maxRegion`` (30): where the elements start
        state: not used.

    Returns:
        The best x found, as a vector, and a vector of ``maxFEs`` elements: all values in the order of evaluation, then
        NaN.

    Raises:
        ArgumentError: a setting that is missing or too small.
    """
    config, _ = tables(config, state)
    maxFEs, scale, rate = (_needed(config, name) for name in ("maxFEs", "scaleFactor", "crossoverRate"))
    maxFEs, size = int(maxFEs), int(option(config, "popsize", 10 * x.numel()))
    if not 3 <= size <= maxFEs:
        raise ArgumentError(f"popsize must be at least 3 and at most maxFEs = {maxFEs}, got {size}")
    random = Generator()
    random.manualSeed(1)
    members = x.new_empty(size, x.numel())
    random.uniform(members, option(config, "minRegion", -30), option(config, "maxRegion", 30))
    children = torch.empty_like(members)
    values = x.new_full((maxFEs,), math.nan)
    evaluations = 0

    def evaluated(member: Tensor) -> float:
        nonlocal evaluations
        values[evaluations] = value(feval(member.view(x.shape)))
        evaluations += 1
        return values[evaluations - 1].item()  # rounded to the type of x

    fitness = [evaluated(member) for member in members]
    lowest = max(fitness)
    best = members[fitness.index(lowest)].clone()
    draws = torch.empty(x.numel(), dtype=torch.float64, device="cpu")
    while evaluations < maxFEs - 1:
        born = []
        for i in range(min(size, maxFEs - evaluations)):
            one = _other(random, size, i)
            another = _other(random, size, i, one)
            forced = random.random(1, x.numel()) == i + 1  # Torch7 compares with the member, meaning the element
            mixed = random.uniform(draws).lt(2 if forced else rate).to(x.device)
            child = best.double() + scale * (members[one].double() - members[another].double())
            children[i] = torch.where(mixed, child, members[i].double())
            born.append(evaluated(children[i]))
        for i, f in enumerate(born):
            if f <= fitness[i]:
                members[i] = children[i]
                fitness[i] = f
                if f < lowest:
                    lowest = f
                    best.copy_(children[i])
    return best, values


def _needed(config: Any, name: str) -> Any:
    setting = option(config, name)
    if setting is None:
        raise ArgumentError(f"de needs the setting {name}")
    return setting


def _other(random: Generator, size: int, *taken: int) -> int:
    while True:
        i = random.random(1, size) - 1
        if i not in taken:
            return i
