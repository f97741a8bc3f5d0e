"""optim.de and optim.cmaes: what real Torch7 recorded, the random numbers among it, and their arguments."""

from __future__ import annotations

import itertools

import optim_records
import pytest
import torch

import luann
from luann import optim, random
from luann.errors import ArgumentError, TensorTypeError


def run(method, record):
    """What the method returned for a record, and the points and values that it asked for."""
    x, feval = optim_records.problem(record)
    points, values = [], []

    def counted(point):
        points.append(point.reshape(-1).clone())
        result = feval(point)
        values.append(result[0])
        return result

    luann.manualSeed(record.forwardSeed)
    return method(counted, x, record.config), torch.stack(points), torch.tensor(values, dtype=torch.float64)


# de


@optim_records.of("de")
def test_de(case):
    record = optim_records.get(case)
    (best, history), points, values = run(optim.de, record)
    optim_records.close(points, record.points, record, "points")
    optim_records.close(values, record["values"], record, "values")
    optim_records.close(best, record.x, record, "x")
    assert len(history) == record.config.maxFEs  # as in Torch7, which leaves the rest unset
    optim_records.close(history[: len(values)], record.f, record, "f")
    assert history[len(values) :].isnan().all()
    assert random.random() == record.nextRandom


def bowl(x):
    return x.square().sum().item(), None


def test_de_finds_a_minimum():
    x = torch.full((2, 2), 5.0)
    config = {"popsize": 20, "scaleFactor": 0.6, "crossoverRate": 0.9, "maxFEs": 4000}
    best, history = optim.de(lambda p: bowl(p - 1) if p.shape == (2, 2) else pytest.fail("shape"), x, config)
    assert torch.equal(x, torch.full((2, 2), 5.0)) and best.shape == (4,) and best.dtype == torch.float32
    torch.testing.assert_close(best, torch.ones(4), rtol=0, atol=1e-2)
    assert history.nan_to_num(9).min() == pytest.approx(bowl(best - 1)[0])


def test_de_works_in_the_type_of_x():
    """In float the points are the doubles' rounded: every element is computed in double."""
    points = {}
    for dtype in (torch.float32, torch.float64):
        seen = points[dtype] = []
        config = {"popsize": 4, "scaleFactor": 0.5, "crossoverRate": 0.5, "maxFEs": 9, "minRegion": -1, "maxRegion": 1}
        optim.de(lambda p, seen=seen: seen.append(p.clone()) or 1.0, torch.zeros(3, dtype=dtype), config)
    assert torch.equal(torch.stack(points[torch.float32][:4]), torch.stack(points[torch.float64][:4]).float())
    torch.testing.assert_close(
        torch.stack(points[torch.float32]).double(), torch.stack(points[torch.float64]), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("maxFEs, evaluations", [(8, 8), (9, 8), (12, 12), (16, 16), (17, 16), (18, 18)])
def test_de_never_evaluates_more_than_maxFEs(maxFEs, evaluations):
    calls = []
    config = {"popsize": 8, "scaleFactor": 0.5, "crossoverRate": 0.5, "maxFEs": maxFEs}
    _, history = optim.de(lambda x: calls.append(x) or bowl(x), torch.zeros(3), config)
    assert len(calls) == evaluations == history.isfinite().sum() and len(history) == maxFEs


def test_de_starts_from_the_worst():
    seen = []
    config = {"popsize": 4, "scaleFactor": 0, "crossoverRate": 2, "maxFEs": 6}
    optim.de(lambda x: seen.append(x.clone()) or bowl(x), torch.zeros(3), config)
    assert torch.equal(seen[4], max(seen[:4], key=lambda x: bowl(x)[0]))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"maxFEs": None}, "de needs the setting maxFEs"),
        ({"scaleFactor": None}, "de needs the setting scaleFactor"),
        ({"crossoverRate": None}, "de needs the setting crossoverRate"),
        ({"popsize": 2}, "popsize must be at least 3 and at most maxFEs = 100, got 2"),
        ({"maxFEs": 19}, "popsize must be at least 3 and at most maxFEs = 19, got 20"),
    ],
    ids=str,
)
def test_de_refuses(change, message):
    config = {"scaleFactor": 0.5, "crossoverRate": 0.5, "maxFEs": 100} | change
    with pytest.raises(ArgumentError, match=message):
        optim.de(bowl, torch.zeros(2), config)


# cmaes


@optim_records.of("cmaes")
def test_cmaes_to_its_first_decomposition(case):
    """From there on the points depend on the signs (and, of equal eigenvalues, the choice) of LAPACK's eigenvectors."""
    record = optim_records.get(case)
    size = record.config.get("popsize") or {26: 13, 5: 8, 2: 6}[len(record.x)]  # 4 + ⌊3 log N⌋
    (best, history, evaluations), points, values = run(optim.cmaes, record)
    first = 1 + size
    optim_records.close(points[:first], record.points[:first], record, "points")
    optim_records.close(values[:first], record["values"][:first], record, "values")
    optim_records.close(history[:2], record.f[:2], record, "f")
    assert evaluations == record.third == len(points) - 1 and len(history) == len(record.f)
    assert random.random() == record.nextRandom
    assert history[-1] == min(history[1:]) and torch.equal(points[values[1:].argmin() + 1], best)


@pytest.mark.parametrize("which", ["rosenbrock-small", "rosenbrock-default_size", "quadratic-default_size"])
def test_cmaes_but_for_the_signs_of_eigenvectors(which, monkeypatch):
    """With Torch7's signs, found by trying them all, the whole run is Torch7's. (No two eigenvalues are equal here.)"""
    record = optim_records.get(("cmaes", which))
    N, size = len(record.x), record.config.get("popsize", {5: 8, 2: 6}[len(record.x)])
    decompose = torch.linalg.eigh
    chosen = []

    def run_with(signs):
        rest = iter([*signs, *[torch.ones(N, dtype=torch.float64)] * 100])

        def eigh(C):
            values, vectors = decompose(C)
            # a sign that does not depend on LAPACK: each vector's greatest element is positive
            vectors = vectors * vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
            return values, vectors * next(rest)

        monkeypatch.setattr(torch.linalg, "eigh", eigh)
        return run(optim.cmaes, optim_records.get(("cmaes", which)))

    for generation in range(1, record.third // size):
        upto = 1 + size * (generation + 1)
        for signs in itertools.product([1.0, -1.0], repeat=N):
            signs = torch.tensor(signs, dtype=torch.float64)
            if torch.allclose(run_with([*chosen, signs])[1][:upto], record.points[:upto], rtol=1e-9, atol=1e-12):
                chosen.append(signs)
                break
        else:
            pytest.fail(f"no signs lead to Torch7's points of generation {generation + 1}")
    (best, history, _), points, values = run_with(chosen)
    for name, got in (("points", points), ("values", values), ("f", history), ("x", best)):
        record.tolerance = (1e-9, 1e-12)
        optim_records.close(got, record[name], record, name)


@pytest.mark.parametrize("shape", [(6,), (2, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cmaes_finds_a_minimum(shape, dtype):
    random.manualSeed(1)
    x = torch.full(shape, 3.0, dtype=dtype)
    best, history, _ = optim.cmaes(lambda p: bowl(p - 1) if p.shape == shape else pytest.fail("shape"), x, {"sigma": 1})
    assert torch.equal(x, torch.full(shape, 3.0, dtype=dtype)) and best.shape == (6,) and best.dtype == torch.float64
    torch.testing.assert_close(best, torch.ones(6, dtype=torch.float64), rtol=0, atol=1e-5)
    assert history[0] == 24 and history[-1] < 1e-9


def test_cmaes_computes_floats_in_double():
    """Torch7's points are doubles, which the function gets in the type of x."""
    seen = {torch.float32: [], torch.float64: []}
    for dtype, points in seen.items():
        random.manualSeed(3)
        best, _, _ = optim.cmaes(
            lambda p, points=points: points.append(p.clone()) or bowl((p - 1).round())[0] + len(points) % 3,
            torch.full((3,), 3.0, dtype=dtype),
            {"sigma": 1, "maxEval": 60, "popsize": 6},
        )
        assert best.dtype == torch.float64 and points[0].dtype == dtype
    rounded = torch.stack(seen[torch.float64]).float()
    assert torch.equal(torch.stack(seen[torch.float32]), rounded)


def test_cmaes_reads_its_settings_from_the_state_if_there_is_one():
    calls = []

    def feval(x):
        calls.append(x)
        return bowl(x)

    optim.cmaes(
        feval, torch.ones(3), {"sigma": 1, "maxEval": 6, "popsize": 2}, {"sigma": 1, "maxEval": 40, "popsize": 8}
    )
    assert len(calls) == 41


@pytest.mark.parametrize(
    "settings, evaluations",
    [
        ({"maxEval": 10}, 12),
        ({"ftarget": 1e9}, 6),
        ({"ftarget": 1e9, "min_iterations": 4}, 24),
        ({"sigma": 1e-12}, 6),
    ],
    ids=str,
)
def test_cmaes_ends(settings, evaluations):
    config = {"sigma": 1, "popsize": 6} | settings
    assert optim.cmaes(bowl, torch.ones(3), config)[2] == evaluations


def test_cmaes_ends_where_all_is_flat():
    assert optim.cmaes(lambda x: 1.0, torch.ones(3), {"sigma": 1})[1:] == ([1, 1, 1], 7)


def test_cmaes_prints(capsys):
    best, history, _ = optim.cmaes(bowl, torch.ones(2), {"sigma": 1, "popsize": 4, "maxEval": 20, "verb_disp": 2})
    lines = capsys.readouterr().out.split("\n")
    assert lines[0] == "evals:\t ax-ratio max(std)   f-value"
    assert lines[1].startswith("4:  ") and lines[1].endswith(f" {history[1]:.14g}")
    assert [line.split(":")[0] for line in lines[1:4]] == ["4", "8", "16"]
    assert lines[4] == "termination by\tevals\t=\t20"
    assert lines[5] == f"best f-value =\t{history[-1]}"
    assert lines[6:8] == ["solution = ", str(best)]
    assert lines[8].startswith("best found at iteration: \t") and lines[8].endswith(" , total iterations: \t5")


def test_cmaes_refuses():
    with pytest.raises(ArgumentError, match="needs the setting sigma"):
        optim.cmaes(bowl, torch.ones(2), {})
    with pytest.raises(ArgumentError, match="popsize must be at least 2"):
        optim.cmaes(bowl, torch.ones(2), {"sigma": 1, "popsize": 1})
    with pytest.raises(TensorTypeError, match=r"floats and doubles, got torch\.float16"):
        optim.cmaes(bowl, torch.ones(2, dtype=torch.float16), {"sigma": 1})


@pytest.mark.parametrize("method", [optim.de, optim.cmaes])
def test_autograd_is_as_the_caller_had_it(method):
    def feval(x):
        x = x.clone().requires_grad_()
        f = (x**2).sum()
        return f, torch.autograd.grad(f, x)[0]

    config = {"sigma": 1, "maxEval": 20, "maxFEs": 30, "scaleFactor": 0.5, "crossoverRate": 0.5}
    best = method(feval, torch.ones(2, requires_grad=True), config)[0]
    assert not best.requires_grad and torch.is_grad_enabled()


@pytest.mark.cuda
@pytest.mark.parametrize("method", ["de", "cmaes"])
def test_on_cuda(method):
    record = optim_records.get((method, 2 if method == "de" else 4))
    x, feval = optim_records.problem(record)
    points = []

    def on_cpu(p):
        points.append(p.cpu())
        return feval(p.cpu())[0]

    luann.manualSeed(record.forwardSeed)
    best = getattr(optim, method)(on_cpu, x.cuda(), record.config)[0]
    assert best.is_cuda
    upto = 1 + record.config.get("popsize", 6)
    optim_records.close(torch.stack(points[:upto]), record.points[:upto], record)
    assert random.random() == record.nextRandom
