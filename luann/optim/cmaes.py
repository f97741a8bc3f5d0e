"""CMA-ES."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .. import random
from ..errors import ArgumentError, TensorTypeError
from .state import Feval, option, tables, value, without_autograd


@without_autograd
def cmaes(feval: Feval, x: Tensor, config: Any = None, state: Any = None) -> tuple[Tensor, list[float], int]:
    """Minimise by CMA-ES: draw points from a normal distribution that follows, in place and shape, the best of them.

    The random numbers are Torch7's, one normal number for every element of every point. From the first eigenvalue
    decomposition of the covariance on (it is put off in proportion to the number of elements) the points depend on the
    signs that LAPACK gives eigenvectors, so that they are other ones than in Torch7, from the same distribution.

    x gives the starting point and is not changed. All is computed in double, for floats too, as in Torch7; ``feval``
    gets the points in the type of x.

    Args:
        feval: function of x that returns f(x), alone or with df/dx, which is not used.
        x: where to start: a tensor of floats or doubles of any shape.
        config: dict or object with the settings, unless ``state`` is given

            - ``sigma``: the standard deviation to start with, in every direction
            - ``maxEval`` (1000 · N² for N elements): end after this many evaluations, not counting that of the start
            - ``ftarget``: end when f is no more than this
            - ``popsize`` (4 + ⌊3 · log N⌋): points drawn at a time; the better half of them counts
            - ``min_iterations`` (1)
            - ``verb_disp`` (0): print every this many iterations; 0 for never
        state: if given, the settings are read from it, and the config is not used at all, as in Torch7.

    Returns:
        The best point found, as a vector of doubles; a list of f at the start, the best f of each iteration, and f at
        the point; and the number of evaluations, without the first.

    Raises:
        ArgumentError: no ``sigma``, or a ``popsize`` below 2.
        TensorTypeError: x holds neither floats nor doubles.
    """
    _, settings = tables(config, state)
    if x.dtype not in (torch.float32, torch.float64):
        raise TensorTypeError(f"cmaes works with floats and doubles, got {x.dtype}")
    sigma = option(settings, "sigma")
    if sigma is None:
        raise ArgumentError("cmaes needs the setting sigma, the standard deviation to start with")
    size = int(option(settings, "popsize", 4 + math.floor(3 * math.log(x.numel()))))
    if size < 2:
        raise ArgumentError(f"popsize must be at least 2, got {size}")
    maxEval = option(settings, "maxEval", 1e3 * x.numel() ** 2)
    ftarget = option(settings, "ftarget")
    every = option(settings, "verb_disp", 0)
    fs = [value(feval(x))]
    search = _Distribution(x, sigma, size)
    best, lowest, found = None, math.inf, 0
    iteration = 0
    reasons: dict[str, float] = {}
    while not reasons or iteration < option(settings, "min_iterations", 1):
        iteration += 1
        points = search.draw()
        values = [value(feval(point.view_as(x))) for point in points.to(x.dtype)]
        order = torch.tensor(values, dtype=torch.float64, device="cpu").sort()
        values = order.values.tolist()
        points = points[order.indices.to(x.device)]
        fs.append(values[0])
        if best is None or values[0] < lowest:
            best, lowest, found = points[0].clone(), values[0], search.evaluations + size
        search.learn(points)
        reasons = search.exhausted(values)
        if search.evaluations >= maxEval:
            reasons["evals"] = maxEval
        if ftarget is not None and values[0] <= ftarget:
            reasons["ftarget"] = ftarget
        if every:
            search.show(iteration, every, values[0])
    if every:
        for reason, limit in reasons.items():
            print("termination by", reason, "=", limit, sep="\t")
        print("best f-value =", lowest, sep="\t")
        print("solution = ", best, sep="\n")
        print("best found at iteration: ", found // size, " , total iterations: ", iteration, sep="\t")
    fs.append(lowest)
    return best, fs, search.evaluations


class _Distribution:
    """The normal distribution, and what of its history makes it follow the best points; names as in CMA-ES."""

    def __init__(self, x: Tensor, sigma: float, size: int) -> None:
        N = self.N = x.numel()
        self.sigma, self.size, self.evaluations, self.decomposed = sigma, size, 0, 0
        weights = [math.log(size / 2 + 0.5) - math.log(i + 1) for i in range(size // 2)]
        weights = torch.tensor(weights, dtype=torch.float64, device="cpu")
        weights /= weights.sum()
        mueff = self.mueff = (weights.sum() ** 2 / (weights**2).sum()).item()
        self.weights = weights.to(x.device)
        self.cc = (4 + mueff / N) / (N + 4 + 2 * mueff / N)
        self.cs = (mueff + 2) / (N + mueff + 5)
        self.c1 = 2 / ((N + 1.3) ** 2 + mueff)
        self.cmu = min(1 - self.c1, 2 * (mueff - 2 + 1 / mueff) / ((N + 2) ** 2 + mueff))
        self.damps = 2 * mueff / size + 0.3 + self.cs
        self.mean = x.detach().flatten().to(torch.float64, copy=True)
        self.pc, self.ps = torch.zeros_like(self.mean), torch.zeros_like(self.mean)
        self.D = torch.ones_like(self.mean)
        self.C = torch.diag(self.D)
        self.B, self.invsqrtC = self.C.clone(), self.C.clone()

    def draw(self) -> Tensor:
        """New points, one to a row."""
        if self.evaluations - self.decomposed > self.size / (self.c1 + self.cmu) / self.N / 10:
            self.decomposed = self.evaluations
            self.C = self.C.triu() + self.C.triu(1).t()
            variances, self.B = torch.linalg.eigh(self.C)
            self.D = variances.sqrt_()
            self.invsqrtC = (self.B / self.D) @ self.B.t()
        z = random.normal(self.mean.new_empty(self.size, self.N)).mul_(self.D)
        return (z @ self.B.t()).mul_(self.sigma).add_(self.mean)

    def learn(self, points: Tensor) -> None:
        """Follow the points, which are sorted, the best one first."""
        self.evaluations += self.size
        N, cs, cc = self.N, self.cs, self.cc
        old = self.mean
        points = points[: len(self.weights)]
        self.mean = self.weights @ points
        y = self.mean - old
        z = self.invsqrtC @ y
        self.ps = (1 - cs) * self.ps + z * ((cs * (2 - cs) * self.mueff) ** 0.5 / self.sigma)
        square = self.ps.dot(self.ps).item()
        moving = square / (1 - (1 - cs) ** (2 * self.evaluations / self.size)) / N < 2 + 4 / (N + 1)
        self.pc = (1 - cc) * self.pc
        if moving:
            self.pc += y * ((cc * (2 - cc) * self.mueff) ** 0.5 / self.sigma)
        c1a = self.c1 if moving else self.c1 * (1 - cc * (2 - cc))
        steps = (points - old) / self.sigma
        self.C.mul_(1 - c1a - self.cmu).addr_(self.pc, self.pc, alpha=self.c1)
        self.C.addmm_((self.weights[:, None] * steps).t(), steps, alpha=self.cmu)
        self.sigma *= math.exp(min(0.6, cs / self.damps * (square / N - 1) / 2))

    def exhausted(self, values: list[float]) -> dict[str, float]:
        """Why it is of no use to go on: each reason and its bound; the sorted values of the last points are given."""
        widest, narrowest = self.D.max().item(), self.D.min().item()
        reasons = {}
        if widest > 1e7 * narrowest:
            reasons["condition"] = 1e7
        if values[-1] - values[0] < 1e-12:
            reasons["tolfun"] = 1e-12
        if self.sigma * widest < 1e-11:
            reasons["tolx"] = 1e-11
        return reasons

    def show(self, iteration: int, every: int, f: float) -> None:
        if iteration == 1 or iteration % (10 * every) == 0:
            print("evals:\t ax-ratio max(std)   f-value")
        if iteration <= 2 or iteration % every == 0:
            axes = (self.D.max() / self.D.min()).item()
            width = self.sigma * math.sqrt(self.C.diagonal().max().item())
            print(f"{self.evaluations}:  {axes:6.1f} {width:8.1e} {f:.14g}")
