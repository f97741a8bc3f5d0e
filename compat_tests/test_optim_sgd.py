"""optim.sgd: every run that real Torch7 recorded, and what a port or a checkpoint needs beyond them."""

from __future__ import annotations

import argparse
import copy
import sys
from types import SimpleNamespace

import optim_records
import pytest
import torch

from luann import Table, optim
from luann.errors import ArgumentError, ShapeError, TensorTypeError

module = sys.modules["luann.optim.sgd"]  # luann.optim.sgd is the function


@optim_records.of("sgd")
def test_record(case):
    optim_records.check(case, optim.sgd)


@optim_records.of("sgd")
def test_record_without_the_fused_kernel(case, monkeypatch):
    monkeypatch.setattr(module, "_fused_sgd", None)
    optim_records.check(case, optim.sgd)


# config and state


class Defaults:
    """Settings as class attributes: they are in no ``__dict__`` of the object."""

    learningRate = 0.1
    momentum = 0.9
    dampening = 0


FORMS = {
    "dict": dict,
    "Table": Table,
    "SimpleNamespace": lambda fields: SimpleNamespace(**fields),
    "argparse": lambda fields: argparse.Namespace(**fields),
    "class attributes": lambda fields: Defaults(),
}


@pytest.mark.parametrize("one_table", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_forms_of_config_and_state(form, one_table):
    record = optim_records.get(("sgd", "quadratic-momentum_dampening"))
    x, feval = optim_records.problem(record)
    config = FORMS[form](record.config)
    state = config if one_table else FORMS[form]({})
    for expected in record.x:
        optim.sgd(feval, x, config, *([] if one_table else [state]))
        optim_records.close(x, expected, record)
    get = state.__getitem__ if isinstance(state, dict) else lambda name: getattr(state, name)
    assert get("evalCounter") == 20
    optim_records.close(get("dfdx"), record.state.dfdx, record)
    if not one_table and form != "class attributes":
        assert set(config if isinstance(config, dict) else vars(config)) == set(record.config)


@pytest.mark.parametrize(
    "which", ["rosenbrock-all", "network-learningRates", "quadratic-weightDecays", "quadratic-float"]
)
def test_a_saved_state_continues(which):
    record = optim_records.get(("sgd", which))
    x, feval = optim_records.problem(record)
    config, state = record.config, {}
    if record.oneTable:
        state = config
    for i, expected in enumerate(record.x):
        if i == 7:
            state = copy.deepcopy(Table(state))
        optim.sgd(feval, x, config, state)
        optim_records.close(x, expected, record)


def gradient(values):
    return lambda x: (0.0, torch.tensor(values, dtype=x.dtype))


def test_no_config_means_the_defaults():
    x, fs = optim.sgd(gradient([2.0, 4.0]), torch.ones(2, dtype=torch.float64))
    assert x.tolist() == [1 - 1e-3 * 2, 1 - 1e-3 * 4] and fs == [0.0]


def test_false_is_unset_and_zero_is_a_value():
    x = torch.ones(1, dtype=torch.float64)
    optim.sgd(gradient([1.0]), x, {"learningRate": False, "momentum": None, "nesterov": False, "learningRates": None})
    assert x.item() == 1 - 1e-3
    optim.sgd(gradient([1.0]), x, {"learningRate": 0})
    assert x.item() == 1 - 1e-3


def test_an_empty_state_is_not_the_config():
    config, state = {"momentum": 0.5}, {}
    optim.sgd(gradient([1.0]), torch.ones(1), config, state)
    assert set(config) == {"momentum"} and set(state) == {"evalCounter", "dfdx"}


def test_evalCounter_is_read_before_and_counted_after_the_evaluation():
    state = {"evalCounter": 4}

    def feval(x):
        assert state["evalCounter"] == 4
        state["evalCounter"] = 10
        return 0.0, torch.ones_like(x)

    x = torch.zeros(1, dtype=torch.float64)
    optim.sgd(feval, x, {"learningRate": 1.0, "learningRateDecay": 0.25}, state)
    assert x.item() == -0.5 and state["evalCounter"] == 11


# tensors of the caller


@pytest.mark.parametrize(
    "config, left",
    [
        ({}, [1.0, 2.0]),
        ({"momentum": 0.5}, [1.0, 2.0]),
        ({"weightDecay": 0.5}, [3.0, 5.0]),
        ({"weightDecays": torch.tensor([0.5, 1.0])}, [3.0, 8.0]),
        ({"momentum": 0.5, "dampening": 0, "nesterov": True}, [1.5, 3.0]),
    ],
    ids=str,
)
def test_what_is_added_to_the_gradient(config, left):
    g = torch.tensor([1.0, 2.0])
    optim.sgd(lambda x: (0.0, g), torch.tensor([4.0, 6.0]), config)
    assert g.tolist() == left


def test_state_keeps_a_gradient_of_its_own():
    g, state = torch.ones(3), {}
    optim.sgd(lambda x: (0.0, g), torch.zeros(3), {"momentum": 0.5}, state)
    g.zero_()
    assert state["dfdx"].tolist() == [1, 1, 1]


def test_f_is_handed_through():
    f = torch.tensor(3.0)
    assert optim.sgd(lambda x: (f, torch.zeros(1)), torch.zeros(1))[1][0] is f


CONFIGS = [
    {},
    {"weightDecay": 0.01},
    {"momentum": 0.9},
    {"momentum": 0.9, "dampening": 0, "weightDecay": 1e-3},
    {"momentum": 0.9, "dampening": 0, "nesterov": True},
    {"momentum": 0.9, "learningRates": torch.rand(1000), "weightDecays": torch.rand(1000)},
]


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: "-".join(config) or "plain")
def test_no_memory_is_allocated_after_the_first_step(config, fused, monkeypatch):
    if not fused:
        monkeypatch.setattr(module, "_fused_sgd", None)
    x, g, state = torch.randn(1000), torch.randn(1000), {}

    def step():
        optim.sgd(lambda x: (0.0, g), x, config, state)

    step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        step()
    taken = {e.name: e.self_cpu_memory_usage for e in profile.events() if e.self_cpu_memory_usage > 0}
    assert any(e.name.startswith("aten::") for e in profile.events())
    # A step may wrap a number in a tensor of one element, as PyTorch's in-place operations do.
    assert sum(taken.values()) < 100, taken


@pytest.mark.skipif(module._fused_sgd is None, reason="this PyTorch has no fused kernel for the CPU")
@pytest.mark.parametrize("n", [1, 7, 16, 1000, 4099])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("momentum, dampening", [(0.9, None), (0.9, 0), (0.5, 0.3), (0.5, -1)])
def test_the_fused_kernel_gives_the_same_numbers(n, dtype, momentum, dampening, monkeypatch):
    generator = torch.Generator().manual_seed(n)

    def random():
        return torch.randn(n, dtype=dtype, generator=generator)

    start, gradients = random(), [random() for _ in range(6)]
    config = {"learningRate": 0.013, "learningRateDecay": 0.1, "weightDecay": 1e-3}
    config |= {"momentum": momentum, "dampening": dampening}
    kernel, results, calls = module._fused_sgd, [], []

    def counted(*args, **kwargs):
        calls.append(args)
        kernel(*args, **kwargs)

    for chosen in (counted, None):
        monkeypatch.setattr(module, "_fused_sgd", chosen)
        x, state = start.clone(), {}
        for g in gradients:
            optim.sgd(lambda x, g=g: (0.0, g.clone()), x, config, state)
        results.append((x, state["dfdx"]))
    assert len(calls) == len(gradients) - 1  # the first v is a copy
    # the last bit may differ: rounded once or twice
    few_bits = 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(results[0], results[1], rtol=few_bits, atol=few_bits)


@pytest.mark.parametrize("config", CONFIGS[:5], ids=lambda config: "-".join(config) or "plain")
@pytest.mark.parametrize("layout", ["strided", "matrix", "strided gradient", "transposed"])
def test_layouts(config, layout):
    start, g = torch.randn(4, 6, dtype=torch.float64), torch.randn(4, 6, dtype=torch.float64)

    def strided(values):
        return torch.zeros(4, 12, dtype=torch.float64)[:, ::2].copy_(values)

    def transposed(values):
        return values.t().clone().t()

    x_layout, g_layout = {
        "strided": (strided, torch.clone),
        "matrix": (torch.clone, torch.clone),
        "strided gradient": (torch.clone, strided),
        "transposed": (transposed, transposed),
    }[layout]
    x = x_layout(start)
    flat, state, flat_state = start.flatten(), {}, {}
    for _ in range(3):
        optim.sgd(lambda x: (0.0, g_layout(g)), x, {**config, "learningRate": 0.1}, state)
        optim.sgd(lambda x: (0.0, g.flatten().clone()), flat, {**config, "learningRate": 0.1}, flat_state)
    torch.testing.assert_close(x.flatten(), flat, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_short_floats(dtype):
    record = optim_records.get(("sgd", "quadratic-all"))
    x, feval = optim_records.problem(record)
    short = x.to(dtype)
    for expected in record.x[:5]:
        optim.sgd(lambda x: (0.0, feval(x.double())[1].to(dtype)), short, record.config)
        # eight steps of rounding to 11 and 8 bits
        torch.testing.assert_close(short.double(), expected, rtol=0, atol=8 * torch.finfo(dtype).eps)
    assert record.config.dfdx.dtype == dtype


@pytest.mark.parametrize("types", [(torch.float32, torch.float64), (torch.float64, torch.float32)])
def test_a_gradient_of_another_type(types):
    record = optim_records.get(("sgd", "quadratic-momentum"))
    start, feval = optim_records.problem(record)
    x = start.to(types[0])
    for expected in record.x:
        optim.sgd(lambda x: (0.0, feval(x.double())[1].to(types[1])), x, record.config)
        torch.testing.assert_close(x.double(), expected, rtol=1e-5, atol=1e-6)  # what is kept in floats


@pytest.mark.cuda
@optim_records.of("sgd")
def test_record_on_cuda(case):
    record = optim_records.get(case)
    if record.problem == "network":
        pytest.skip("the network's own tensors are on the CPU")
    x, feval = optim_records.problem(record)
    on_gpu, state = x.cuda(), {}
    for expected in record.x:
        optim.sgd(lambda p: (0.0, feval(p.cpu())[1].cuda()), on_gpu, record.config, state)
        optim_records.close(on_gpu.cpu(), expected, record)


def test_autograd_is_off_in_the_update_and_untouched_in_feval():
    x = torch.ones(2, dtype=torch.float64, requires_grad=True)
    config = {"learningRate": 0.25, "momentum": 0.5, "weightDecay": 0.5, "weightDecays": torch.ones(2)}

    def feval(x):
        f = (x**2).sum()
        (g,) = torch.autograd.grad(f, x, create_graph=True)
        return f, g

    for _ in range(2):
        optim.sgd(feval, x, config)
        assert torch.is_grad_enabled() and x.is_leaf and x.requires_grad and x.grad is None
        assert not config["dfdx"].requires_grad
    assert x.tolist() == [1 - 0.25 * 2.5 - 0.25 * (1.25 + 0.5 * 0.375 * 2.5)] * 2
    with torch.no_grad():
        optim.sgd(lambda x: (0.0, torch.zeros_like(x)), x)
        assert not torch.is_grad_enabled()


def test_learningRates_of_another_type():
    x, state = torch.zeros(2), {}
    config = {"learningRate": 1.0, "learningRates": torch.tensor([1, 2])}
    optim.sgd(gradient([1.0, 1.0]), x, config, state)
    assert x.tolist() == [-1, -2] and state["deltaParameters"].dtype == torch.float32


# errors


@pytest.mark.parametrize(
    "config",
    [
        {"nesterov": True},
        {"nesterov": True, "momentum": 0.9},
        {"nesterov": True, "momentum": 0.9, "dampening": 0.1},
        {"nesterov": 0, "momentum": 0.9},  # a number is true in Lua
    ],
    ids=str,
)
def test_nesterov_needs_momentum_and_no_dampening(config):
    with pytest.raises(ArgumentError, match="nesterov requires a momentum and zero dampening"):
        optim.sgd(lambda x: pytest.fail("feval was called"), torch.zeros(1), config)


@pytest.mark.parametrize("name", ["learningRates", "weightDecays"])
def test_a_number_for_every_parameter(name):
    x = torch.zeros(3)
    with pytest.raises(ShapeError, match=f"{name} has 1 elements for 3 parameters"):
        optim.sgd(gradient([1.0, 1.0, 1.0]), x, {name: torch.ones(1)})
    with pytest.raises(TensorTypeError, match=name):
        optim.sgd(gradient([1.0, 1.0, 1.0]), x, {name: [1.0, 1.0, 1.0]})


@pytest.mark.parametrize("config", [{"momentum": 0.5}, {"momentum": 0.5, "learningRates": torch.ones(3)}], ids=str)
def test_a_state_of_other_parameters(config):
    state = {}
    optim.sgd(gradient([1.0, 1.0, 1.0]), torch.zeros(3), config, state)
    with pytest.raises(ShapeError, match=r"in the state has shape \(3,\), the parameters have \(1,\)"):
        optim.sgd(gradient([1.0]), torch.zeros(1), config, state)


def test_what_feval_must_return():
    with pytest.raises(ShapeError, match=r"shape \(1,\) for x of shape \(3,\)"):
        optim.sgd(gradient([1.0]), torch.zeros(3))
    with pytest.raises(TensorTypeError, match="feval must return"):
        optim.sgd(lambda x: (0.0, None), torch.zeros(3))
