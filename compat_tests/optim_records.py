"""Runs luann's optimisers through what real Torch7 recorded of its own; ``reference/INDEX.md`` tells the fields."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import luann

REFERENCE = Path(__file__).parent / "reference" / "optim"

TOLERANCE = {"double": (1e-10, 1e-12), "float": (1e-5, 1e-6)}
"""Relative and absolute, by the dtype of a record."""


@cache
def _load(method: str) -> list:
    return luann.load(REFERENCE / f"{method}.t7")


def of(method: str) -> Any:
    """A ``parametrize`` mark over all records of a file, as arguments of :func:`get`."""
    ids = [f"{record.get('problem', 'record')}-{record.name}" for record in _load(method)]
    return pytest.mark.parametrize("case", [(method, i) for i in range(len(ids))], ids=ids)


def get(case: tuple[str, int | str]) -> Any:
    """A fresh copy of a record: (file, position) or (file, 'problem-name')."""
    method, which = case
    records = _load(method)
    if isinstance(which, str):
        (record,) = (r for r in records if f"{r.problem}-{r.name}" == which)
    else:
        record = records[which]
    record = copy.deepcopy(record)
    for setting, value in record.get("config", {}).items():
        if isinstance(value, str) and value.startswith("optim."):
            record.config[setting] = getattr(luann.optim, value.removeprefix("optim."))
    return record


def problem(record: Any) -> tuple[Tensor, Callable[[Tensor], tuple[float, Tensor]]]:
    """The starting point of a record and the function that it minimises."""
    data = record.data
    dtype = {"double": torch.float64, "float": torch.float32}[record.get("dtype", "double")]
    if "module" in data:
        return _network(data)
    start = data.start.to(dtype).clone()
    if "A" not in data:
        return start, _rosenbrock
    A, b = data.A.to(dtype), data.b.to(dtype)

    def quadratic(x: Tensor) -> tuple[float, Tensor]:
        Ax = A @ x
        return 0.5 * x.dot(Ax).item() - b.dot(x).item(), Ax - b

    return start, quadratic


def _rosenbrock(x: Tensor) -> tuple[float, Tensor]:
    p = x.double()  # Lua reads the elements as doubles
    a, b = p[1:] - p[:-1] ** 2, 1 - p[:-1]
    g = torch.zeros_like(p)
    g[:-1] -= 400 * a * p[:-1] + 2 * b
    g[1:] += 200 * a
    return (100 * a**2 + b**2).sum().item(), g.to(x.dtype)


def _network(data: Any) -> tuple[Tensor, Callable[[Tensor], tuple[float, Tensor]]]:
    net, criterion = data.module, data.criterion
    x, g = net.getParameters()
    assert torch.equal(x, data.start)

    def feval(point: Tensor) -> tuple[float, Tensor]:
        if point is not x:
            x.copy_(point)
        g.zero_()
        output = net.forward(data.input)
        f = criterion.forward(output, data.target)
        net.backward(data.input, criterion.backward(output, data.target))
        return f, g

    return x, feval


def close(actual: Any, expected: Any, record: Any, what: str = "") -> None:
    """Fail unless a number, tensor or nested list is what the record says, within the tolerance of its dtype."""
    if isinstance(expected, list):
        assert len(actual) == len(expected), what
        for i, (a, e) in enumerate(zip(actual, expected, strict=True)):
            close(a, e, record, f"{what}[{i}]")
        return
    relative, absolute = record.get("tolerance") or TOLERANCE[record.get("dtype", "double")]
    if isinstance(expected, Tensor):
        assert actual.dtype == expected.dtype and actual.shape == expected.shape, what
    actual, expected = (torch.as_tensor(v, dtype=torch.float64) for v in (actual, expected))
    torch.testing.assert_close(actual, expected, rtol=relative, atol=absolute, msg=lambda m: f"{what}: {m}")


def check(
    case: tuple[str, int | str],
    method: Callable,
    tolerance: tuple[float, float] | None = None,
    state_tolerance: tuple[float, float] | None = None,
) -> None:
    """Do what the record did, call by call, and compare everything it wrote down.

    Args:
        case: names the record.
        method: the optimiser.
        tolerance: relative and absolute, where another order of sums differs by more than :data:`TOLERANCE`.
        state_tolerance: likewise, for the state alone.
    """
    record = get(case)
    record.tolerance = tolerance
    x, feval = problem(record)
    evaluations = 0

    def counted(point: Tensor) -> tuple[float, Tensor]:
        nonlocal evaluations
        evaluations += 1
        assert point is x
        return feval(point)

    config = record.config
    state = config if record.oneTable else {}
    arguments = (config,) if record.oneTable else (config, state)
    for i, expected in enumerate(record.x):
        result = method(counted, x, *arguments)
        assert result[0] is x
        close(x, expected, record, f"x after call {i + 1}")
        close(result[1], record.f[i], record, f"f of call {i + 1}")
        if "third" in record:
            close(result[2], record.third[i], record, f"third value of call {i + 1}")
    assert evaluations == record.evaluations
    assert sorted(state) == record.stateKeys
    record.tolerance = state_tolerance or tolerance
    for name, expected in record.state.items():
        if isinstance(expected, (bool, str)):
            assert state[name] == expected, name
        else:
            close(state[name], expected, record, name)
