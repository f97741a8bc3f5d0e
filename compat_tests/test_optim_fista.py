"""optim.FistaLS: what real Torch7 recorded, and its arguments."""

from __future__ import annotations

from types import SimpleNamespace

import optim_records
import pytest
import torch

from luann import optim
from luann.errors import ArgumentError


def parts(record, feval):
    """The smooth function, the penalty λ|x|₁ and its shrinking, as they were recorded."""
    weight = record["lambda"]

    def smooth(x, mode=None):
        f, g = feval(x)
        return (f, g.clone()) if mode == "dx" else f

    def shrink(v, L):
        v.copy_(v.sign() * (v.abs() - weight / L).clamp(min=0))

    return smooth, lambda x: weight * x.norm(1).item(), shrink


@optim_records.of("fista")
def test_record(case):
    record = optim_records.get(case)
    x, feval = optim_records.problem(record)
    start = x.clone()
    solution, history = optim.FistaLS(*parts(record, feval), start, record.params)
    optim_records.close(solution, record.x, record)
    optim_records.close(start, record.startAfter, record)
    assert solution is record.params["y"] and record.params["L"] == pytest.approx(record.finalL)
    for name, expected in record.history.items():
        optim_records.close(torch.tensor([i[name] for i in history], dtype=torch.float64), expected, record, name)


@pytest.mark.parametrize("form", [dict, lambda fields: SimpleNamespace(**fields)])
def test_it_starts_at_zero_and_uses_its_room_again(form):
    record = optim_records.get(("fista", 0))
    _, feval = optim_records.problem(record)
    params = form({"maxiter": 20, "errthres": 0, "doFistaUpdate": True})
    fields = params if isinstance(params, dict) else vars(params)
    results = []
    for _ in range(2):
        fields["L"] = 0.1
        start = torch.randn(5, dtype=torch.float64)
        y, _ = optim.FistaLS(*parts(record, feval), start, params)
        results.append((y, y.clone(), fields["xkm"], fields["ply"]))
        assert torch.equal(start, y)
    (y, first, xkm, ply), (y2, second, xkm2, ply2) = results
    assert torch.equal(first, second) and y is y2 and xkm is xkm2 and ply is ply2
    optim_records.close(first, record.x, record)


def test_where_no_line_search_helps_x_stays():
    calls = []

    def rising(x, mode=None):  # against its gradient
        calls.append(mode)
        f = x.sum().item()
        return (f, -torch.ones(2)) if mode else f

    x = torch.tensor([3.0, 4.0])
    y, history = optim.FistaLS(rising, lambda x: 0.0, lambda v, L: None, x, {"maxline": 3, "maxiter": 1})
    assert history[0].nline == 4 and y.tolist() == x.tolist() == [0, 0]
    assert calls == ["dx", None, None, None, None, None]


def test_verbose(capsys):
    record = optim_records.get(("fista", 0))
    _, feval = optim_records.problem(record)
    params = {"L": 6, "maxiter": 2, "verbose": True, "doFistaUpdate": True}
    y, history = optim.FistaLS(*parts(record, feval), torch.zeros(5, dtype=torch.float64), params)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("=")[0] for line in lines] == ["nline", "iter", "nline", "iter"]
    assert lines[1].startswith("iter=0 eold=inf enew=-")
    assert torch.equal(history[1].y, y) and not torch.equal(history[0].y, y) and "xk" in history[0]


def test_autograd_is_as_the_caller_had_it():
    modes = []

    def smooth(x, mode=None):
        modes.append(torch.is_grad_enabled())
        return (x.dot(x).item(), 2 * x) if mode else x.dot(x).item()

    optim.FistaLS(smooth, lambda x: 0.0, lambda v, L: None, torch.ones(2, requires_grad=True))
    assert all(modes) and torch.is_grad_enabled()


def test_at_least_one_iteration():
    with pytest.raises(ArgumentError, match="maxiter must be at least 1"):
        optim.FistaLS(None, None, None, torch.ones(2), {"maxiter": 0})
