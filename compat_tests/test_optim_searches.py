"""lbfgs and cg, which evaluate again and again in a call, and the line search with its polynomials."""

from __future__ import annotations

import math

import optim_records
import pytest
import torch

import luann
from luann import Table, optim
from luann.errors import ArgumentError, ShapeError, TensorTypeError

TOOLS = optim_records._load("tools")

# Runs that amplify another order of sums: (for x and f, for the state).
LOOSER = {
    # diverges, with steps of length 1 and no line search: f ends at 8.6
    "network-one_call": ((1e-8, 1e-10), None),
    # converged: the last steps remembered are differences of 1e-5, and al a quotient of their products
    "quadratic-short_memory": (None, (0, 1e-6)),
}
# The line search fits a cubic, which for a quadratic has nothing of third order: whether its leading coefficient is 0
# or 1e-16 is rounding, and either leads to another step. luann's own runs, with the terms of the scalar products added
# in different orders, differ by 1e-4 to 1e-2 in x from there on.
ROUNDING_DECIDES = {"quadratic-default", "quadratic-short"}


def records(method):
    return [f"{r.problem}-{r.name}" for r in optim_records._load(method)]


@pytest.mark.parametrize("which", records("lbfgs"))
def test_lbfgs(which):
    optim_records.check(("lbfgs", which), optim.lbfgs, *LOOSER.get(which, ()))


@pytest.mark.parametrize("which", [which for which in records("cg") if which not in ROUNDING_DECIDES])
def test_cg(which):
    optim_records.check(("cg", which), optim.cg)


def test_cg_where_rounding_decides_default():
    record = optim_records.get(("cg", "quadratic-default"))
    x, feval = optim_records.problem(record)
    _, fs, evaluations = optim.cg(feval, x, record.config, {})
    optim_records.close(fs[:4], record.f[0][:4], record)
    assert evaluations == record.third[0] and fs == sorted(fs, reverse=True)
    best = torch.linalg.solve(record.data.A, record.data.b)
    torch.testing.assert_close(x, best, rtol=0, atol=2e-2)
    torch.testing.assert_close(record.x[0], best, rtol=0, atol=2e-2)


def test_cg_where_rounding_decides_short():
    record = optim_records.get(("cg", "quadratic-short"))
    x, feval = optim_records.problem(record)
    state = {}
    for i, expected in enumerate(record.x):
        _, fs, evaluations = optim.cg(feval, x, record.config, state)
        assert evaluations == record.third[i]
        if i < 2:
            optim_records.close(x, expected, record)
            optim_records.close(fs, record.f[i], record)
    assert sorted(state) == record.stateKeys


def test_cg_does_not_depend_on_what_is_left_in_its_room():
    record = optim_records.get(("cg", "rosenbrock-short"))
    x, feval = optim_records.problem(record)
    for i, expected in enumerate(record.x):
        room = {name: torch.full((5,), math.nan, dtype=x.dtype) for name in record.stateKeys}
        state = {} if i % 2 else room
        optim.cg(feval, x, record.config, state)
        optim_records.close(x, expected, record)
        assert i % 2 or all(state[name].shape == x.shape for name in room)


def test_cg_stops_at_the_first_line_search_that_fails():
    x = torch.tensor([1.0], dtype=torch.float64)
    _, fs, evaluations = optim.cg(lambda x: (-x.item(), torch.ones_like(x)), x)  # the gradient points the wrong way
    assert x.item() == 1 and fs == [-1] and 2 < evaluations <= 25


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("maxIter", [3, 4, 10, 200])  # some with a maxEval that is no whole number
@pytest.mark.parametrize("slope", [0.0, -1.0])
def test_cg_where_there_is_no_slope_or_no_end_to_it(dtype, maxIter, slope):
    x = torch.tensor([1.0, 2.0], dtype=dtype)
    _, fs, evaluations = optim.cg(
        lambda x: (slope * x.sum().item(), torch.full_like(x, slope)), x, {"maxIter": maxIter}
    )
    assert x.tolist() == [1, 2] and fs == [3 * slope] and evaluations < 1000


@pytest.mark.parametrize("beyond", [math.inf, math.nan])
@pytest.mark.parametrize("method", [optim.cg, lambda *args: optim.lbfgs(*args, {"lineSearch": optim.lswolfe})])
def test_a_wall(method, beyond):
    """-log(x) + 100 x is no number below zero, where the first step leads: Lua divides by zero there, and goes on."""

    def feval(x):
        f = -math.log(x.item()) + 100 * x.item() if x.item() > 0 else beyond
        return f, 100 - 1 / x

    x = torch.tensor([1.0], dtype=torch.float64)
    fs = method(feval, x)[1]
    assert x.item() > 0 or not math.isfinite(fs[-1])


# lbfgs


@pytest.mark.parametrize("which", ["rosenbrock-rate", "network-rate", "rosenbrock-line_search", "network-line_search"])
@pytest.mark.parametrize("one_table", [False, True])
def test_lbfgs_continues_from_a_file(which, one_table, tmp_path):
    record = optim_records.get(("lbfgs", which))
    x, feval = optim_records.problem(record)
    config, state = record.config, {}
    search = config.pop("lineSearch", None)  # a function does not go into the file
    for i, expected in enumerate(record.x):
        if one_table:
            state = config
        luann.save(tmp_path / "state.t7", Table({k: v for k, v in state.items() if k != "lineSearch"}))
        loaded = luann.load(tmp_path / "state.t7")
        assert i == 0 or [t.tolist() for t in loaded.old_dirs] == [t.tolist() for t in state["old_dirs"]]
        state, config = loaded, loaded if one_table else config
        config["lineSearch"] = search
        optim.lbfgs(feval, x, config, *([] if one_table else [state]))
        optim_records.close(x, expected, record)


def test_lbfgs_after_a_call_of_one_iteration(tmp_path):
    """Nothing is remembered yet, and a file gives an empty list back as a table."""
    record = optim_records.get(("lbfgs", "rosenbrock-rate"))
    results = []
    for through_file in (False, True):
        x, feval = optim_records.problem(record)
        config, state = {"maxIter": 1, "learningRate": 0.5}, {}
        for _ in range(6):
            optim.lbfgs(feval, x, config, state)
            if through_file:
                luann.save(tmp_path / "state.t7", Table(state))
                state = luann.load(tmp_path / "state.t7")
        results.append(x)
    assert torch.equal(*results)


@pytest.mark.parametrize("size", [1, 2, 100])
def test_lbfgs_counts_its_memory_from_what_it_has(size):
    """``ro`` is made again where it is missing."""
    record = optim_records.get(("lbfgs", "rosenbrock-rate"))
    results = []
    for forget in (False, True):
        x, feval = optim_records.problem(record)
        state = {}
        for _ in range(5):
            optim.lbfgs(feval, x, {"maxIter": 4, "learningRate": 0.5, "nCorrection": size}, state)
            if forget:
                del state["ro"], state["al"]
        for used, free in (("old_dirs", "dir_bufs"), ("old_stps", "stp_bufs")):
            assert len(state[used]) + len(state[free]) == size + 1
        results.append(x)
    torch.testing.assert_close(*results, rtol=1e-12, atol=0)


def test_lbfgs_takes_no_new_memory_after_the_first_call():
    x, scale, state = torch.randn(5000), torch.rand(5000) + 0.5, {}
    g = torch.empty(5000)

    def feval(x):
        return 0.0, torch.mul(x, scale, out=g)

    config = {"maxIter": 4, "nCorrection": 3, "tolFun": 0, "tolX": 0}
    optim.lbfgs(feval, x, config, state)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        optim.lbfgs(feval, x, config, state)
    taken = [e.self_cpu_memory_usage for e in profile.events() if e.self_cpu_memory_usage > 0]
    assert taken and max(taken) < 100  # nothing of the size of x


def test_lbfgs_at_the_optimum():
    x, state = torch.ones(3), {}
    assert optim.lbfgs(lambda x: (2.5, torch.zeros(3)), x, {}, state) == (x, [2.5], 1)
    assert x.tolist() == [1, 1, 1] and state["nIter"] == 0 and state["funcEval"] == 1


@pytest.mark.parametrize(
    "power, settings, why",
    [
        (2, {"maxIter": 2}, "reached max number of iterations"),
        (2, {"maxEval": 3}, "max nb of function evals"),
        (2, {"tolFun": 190}, "optimality condition below tolFun"),
        (2, {"tolX": 1.5}, "step size below tolX"),
        (1, {"tolX": 0.2, "learningRate": 0.5}, "function value changing less than tolX"),
    ],
    ids=str,
)
def test_lbfgs_says_why_it_ends(power, settings, why, capsys):
    def feval(x):
        return (x**power).sum().item() / 10, power * x ** (power - 1) / 10

    x = torch.full((100,), 10.0)
    optim.lbfgs(feval, x.clone(), dict(settings))
    assert capsys.readouterr().out == ""
    optim.lbfgs(feval, x, settings | {"verbose": True})
    assert capsys.readouterr().out == f"<optim.lbfgs> \t{why}\n"


def test_lbfgs_with_a_line_search_of_ones_own():
    seen = []

    def halving(feval, x, t, d, f, g, gtd, options):
        seen.append((t, options))
        x.add_(d, alpha=t / 2)
        return (*feval(x), x, t / 2, 1)

    x = torch.tensor([4.0, 8.0])
    config = {"lineSearch": halving, "lineSearchOptions": {"any": "thing"}, "maxIter": 3, "learningRate": 0.5}
    _, fs, evaluations = optim.lbfgs(lambda x: (x.dot(x).item(), 2 * x), x, config)
    assert seen[0] == (0.5 / 24, {"any": "thing"}) and seen[1][0] == seen[2][0] == 0.5
    assert len(fs) == evaluations == 4 and config["t"] == 0.25


def test_lbfgs_on_a_matrix_and_on_a_strided_vector():
    A = torch.randn(12, 12, dtype=torch.float64)
    A = A @ A.t() + torch.eye(12)
    start = torch.randn(12, dtype=torch.float64)

    def feval(x):
        y = x.reshape(-1)
        return (y @ A @ y).item() / 2, (A @ y).reshape(x.shape)

    for method, config in ((optim.lbfgs, {"lineSearch": optim.lswolfe}), (optim.cg, {"maxIter": 4})):
        flat = start.clone()
        matrix, strided = start.clone().view(3, 4), torch.zeros(24, dtype=torch.float64)[::2].copy_(start)
        for x in (flat, matrix, strided):
            method(feval, x, dict(config))
        torch.testing.assert_close(matrix.flatten(), flat, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(strided, flat, rtol=1e-6, atol=1e-8)


def test_lbfgs_refuses():
    with pytest.raises(ArgumentError, match="lineSearch must be a function"):
        optim.lbfgs(lambda x: pytest.fail("feval was called"), torch.ones(2), {"lineSearch": "optim.lswolfe"})
    state = {}

    def feval(x):
        return x.dot(x).item(), 2 * x

    optim.lbfgs(feval, torch.randn(3), {"nCorrection": 5}, state)
    with pytest.raises(ArgumentError, match="made with nCorrection = 5, the config has 6"):
        optim.lbfgs(feval, torch.randn(3), {"nCorrection": 6}, state)
    with pytest.raises(ShapeError, match=r"in the state has shape \(3,\), the parameters have \(2,\)"):
        optim.lbfgs(feval, torch.randn(2), {"nCorrection": 5}, state)


@pytest.mark.parametrize("method", [optim.lbfgs, optim.cg])
def test_what_feval_must_return(method):
    with pytest.raises(ShapeError, match=r"shape \(1,\) for x of shape \(3,\)"):
        method(lambda x: (0.0, torch.ones(1)), torch.zeros(3))
    with pytest.raises(TensorTypeError, match="feval must return"):
        method(lambda x: (0.0, None), torch.zeros(3))


@pytest.mark.parametrize(
    "run",
    [
        lambda f, x: optim.lbfgs(f, x, {"lineSearch": optim.lswolfe}),
        lambda f, x: optim.lbfgs(feval=f, x=x),
        lambda f, x: optim.cg(f, x),
        lambda f, x: optim.checkgrad(f, x),
    ],
    ids=["line search", "named", "cg", "checkgrad"],
)
def test_autograd_is_off_in_the_method_and_untouched_in_feval(run):
    modes = []

    def feval(x):
        modes.append(torch.is_grad_enabled())
        f = (x**2).sum()
        return f, torch.autograd.grad(f, x, create_graph=True)[0] if modes[-1] else 2 * x

    x = torch.tensor([1.0, 2.0], requires_grad=True)
    results = run(feval, x)
    assert len(modes) > 1 and all(modes) and torch.is_grad_enabled()
    assert x.is_leaf and x.grad is None
    assert not any(t.requires_grad for t in results if isinstance(t, torch.Tensor) and t is not x)
    with torch.no_grad():
        modes.clear()
        run(feval, torch.tensor([1.0, 2.0]))
        assert modes and not any(modes) and not torch.is_grad_enabled()
    with pytest.raises(ZeroDivisionError):
        run(lambda x: 1 / 0, x)
    assert torch.is_grad_enabled()


@pytest.mark.cuda
@pytest.mark.parametrize("method, which", [("lbfgs", "rosenbrock-line_search"), ("cg", "rosenbrock-settings")])
def test_record_on_cuda(method, which):
    record = optim_records.get((method, which))
    x, feval = optim_records.problem(record)
    on_gpu = x.cuda()

    def on_cpu(p):
        f, g = feval(p.cpu())
        return f, g.cuda()

    for expected in record.x:
        getattr(optim, method)(on_cpu, on_gpu, record.config)
        optim_records.close(on_gpu.cpu(), expected, record)


# lswolfe


@pytest.mark.parametrize("record", TOOLS.lswolfe, ids=lambda r: r.name)
def test_lswolfe(record):
    x, feval = optim_records.problem(record)
    result = optim.lswolfe(feval, x, record.t, record.d, record.f, record.g, record.g.dot(record.d).item(), {})
    assert result[2] is x
    for name, value in zip(("fNew", "gNew", "xNew", "step", "evaluations"), result, strict=True):
        optim_records.close(value, record[name], record, name)


def line(f, slope):
    """A function of one number, and where a search from 0 upwards begins."""

    def feval(x):
        return f(x.item()), torch.tensor([slope(x.item())], dtype=torch.float64)

    x = torch.zeros(1, dtype=torch.float64)
    f0, g0 = feval(x)
    return feval, x, torch.ones(1, dtype=torch.float64), f0, g0, g0.item()


@pytest.mark.parametrize("t", [1e-3, 0.5, 30.0, 1e4])
@pytest.mark.parametrize("c2", [0.1, 0.9])
def test_lswolfe_finds_what_the_conditions_ask_for(t, c2):
    feval, x, d, f0, g0, gtd = line(lambda x: (x - 20) ** 4 / 1e3 - x, lambda x: (x - 20) ** 3 / 250 - 1)
    f, g, _, step, evaluations = optim.lswolfe(feval, x, t, d, f0, g0, gtd, {"c2": c2})
    assert x.item() == step and f == feval(x)[0] and torch.equal(g, feval(x)[1])
    assert f <= f0 + 1e-4 * step * gtd and abs(g.item()) <= -c2 * gtd
    assert evaluations < 20


@pytest.mark.parametrize("maxIter", [0, 1, 2, 5])
def test_lswolfe_gives_up(maxIter, capsys):
    """On a straight line no step is flatter: each is longer than the last."""
    feval, x, d, f0, g0, gtd = line(lambda x: -x, lambda x: -1.0)
    f, _, _, step, evaluations = optim.lswolfe(feval, x, 1, d, f0, g0, gtd, {"maxIter": maxIter, "verbose": True})
    assert evaluations == maxIter + 1 and x.item() == step >= 1 and f == -step
    assert capsys.readouterr().out == "<optim.lswolfe> \treached max number of iterations\n"


def test_lswolfe_copies_the_gradient_it_returns():
    feval, x, d, f0, g0, gtd = line(lambda x: (x - 1) ** 2, lambda x: 2 * (x - 1))
    shared = torch.zeros(1, dtype=torch.float64)

    def sharing(x):
        f, g = feval(x)
        return f, shared.copy_(g)

    g = optim.lswolfe(sharing, x, 0.9, d, f0, g0, gtd)[1]
    shared.fill_(7)
    assert g.item() == pytest.approx(-0.2)


# polyinterp


@pytest.mark.parametrize("record", TOOLS.polyinterp, ids=["cubic", "edge", "three points"])
@pytest.mark.parametrize("as_list", [False, True])
def test_polyinterp(record, as_list):
    position, value = optim.polyinterp(record.points.tolist() if as_list else record.points)
    assert position == pytest.approx(record.position, rel=1e-10)
    assert value == (pytest.approx(record.value, rel=1e-10) if "value" in record else None)


def row(x):
    return [x, x**3 - 3 * x + 2, 3 * x**2 - 3]  # lowest at 1, where it is 0; highest at -1


def test_polyinterp_with_bounds():
    assert optim.polyinterp([row(0), row(3)], 0, 3) == (pytest.approx(1), pytest.approx(0, abs=1e-12))
    assert optim.polyinterp([row(0), row(0.5)], 0.2, 5) == (pytest.approx(1), pytest.approx(0, abs=1e-12))
    assert optim.polyinterp([row(2), row(3)], 2.25) == (2.25, pytest.approx(row(2.25)[1]))  # xmaxBound is 3
    assert optim.polyinterp([row(-1), row(0)], xmaxBound=-0.5) == (-0.5, pytest.approx(row(-0.5)[1]))


def test_polyinterp_takes_the_order_of_points_as_it_comes():
    assert optim.polyinterp([row(3), row(0)])[0] == optim.polyinterp([row(0), row(3)])[0] == pytest.approx(1)


def test_polyinterp_in_the_middle_where_nothing_can_be_found():
    assert optim.polyinterp([[0, 0, 3], [2, 3, 1]])[0] == 1  # the cubic only rises
    for f in (math.inf, math.nan):
        position, value = optim.polyinterp([[0, 1, -1], [1, f, 1]], 1, 4)
        assert (position, value) == (2.5, math.inf)
    assert optim.polyinterp([[0, 1, 0], [1, 1, 0]], 0.5, 4) == (0.5, pytest.approx(1))  # flat: the first place


@pytest.mark.parametrize("points", [torch.zeros(2, 2), torch.zeros(1, 3), torch.zeros(3), [[1.0, 2.0]]], ids=str)
def test_polyinterp_wants_rows_of_three(points):
    with pytest.raises(ShapeError, match="N×3 points"):
        optim.polyinterp(points)


# checkgrad


@pytest.mark.parametrize("record", TOOLS.checkgrad, ids=lambda r: r.name)
def test_checkgrad(record):
    x, feval = optim_records.problem(record)
    start = x.clone()
    difference, gradient, estimate = optim.checkgrad(feval, x, *([record.eps] if "eps" in record else []))
    optim_records.close(gradient, record.gradient, record)
    if record.name == "rosenbrock":  # which is computed number by number, and so to the last bit
        optim_records.close(estimate, record.estimate, record)
        assert difference == pytest.approx(record["diff"], rel=1e-10)
    # the products of the quadratic are summed up in another order, and dividing by 2e-7 makes 1e-8 of the last bits
    torch.testing.assert_close(estimate, record.estimate, rtol=1e-8, atol=0)
    assert difference < 1e-8 and record["diff"] < 1e-8
    assert torch.equal(x, start)


def test_checkgrad_finds_a_wrong_gradient_and_keeps_the_one_it_was_given():
    shared = torch.zeros(2, 3, dtype=torch.float64)

    def feval(x):
        return x.sum() ** 2, shared.fill_(2 * x.sum() * 1.5)

    x = torch.arange(6, dtype=torch.float64).view(2, 3)
    difference, gradient, estimate = optim.checkgrad(feval, x)
    assert difference == pytest.approx(0.5 / 2.5)
    assert gradient.unique().tolist() == [45] and gradient.shape == (2, 3)
    torch.testing.assert_close(estimate, torch.full((2, 3), 30.0, dtype=torch.float64))


def test_checkgrad_of_nothing():
    difference, _, _ = optim.checkgrad(lambda x: (0.0, torch.zeros(2)), torch.ones(2))
    assert math.isnan(difference)  # 0/0, as in Torch7
