"""The optimisers that do one step in a call: all that Torch7 recorded, and what a port or a checkpoint needs."""

from __future__ import annotations

import argparse
import sys
from types import SimpleNamespace

import optim_records
import pytest
import torch

import luann
from luann import Table, optim
from luann.errors import ArgumentError, ShapeError, TensorTypeError

METHODS = ("adam", "adamax", "adagrad", "adadelta", "rmsprop", "rprop", "nag", "asgd")
RECORDS = [f"{method}/{r.problem}-{r.name}" for method in METHODS for r in optim_records._load(method)]
# Settings that reach every line; learningRate and eta0 are each other methods' business.
FULL = {
    "learningRate": 0.05, "learningRateDecay": 0.1, "weightDecay": 0.02, "eta0": 0.05, "t0": 2, "lambda": 0.01,
    "stepsize": 0.05, "stepsizemax": 0.06,
}  # fmt: skip

every_record = pytest.mark.parametrize("record", RECORDS)
every_method = pytest.mark.parametrize("name", METHODS)
fused_or_not = pytest.mark.parametrize("fused", [True, False])


def get(name):
    method, which = name.split("/")
    return getattr(optim, method), optim_records.get((method, which))


@pytest.fixture
def kernels(monkeypatch):
    """Chooses between the fused kernels and the plain operations."""

    def choose(fused: bool) -> None:
        if not fused:
            monkeypatch.setattr(sys.modules["luann.optim.adam"], "_fused_adam", None)

    return choose


@every_record
def test_record(record):
    method, which = record.split("/")
    optim_records.check((method, which), getattr(optim, method))


@pytest.mark.parametrize("record", [r for r in RECORDS if r.startswith("adam/")])
def test_record_without_the_fused_kernel(record, kernels):
    kernels(False)
    test_record(record)


# config and state


@every_record
def test_a_saved_state_continues(record, tmp_path):
    method, record = get(record)
    x, feval = optim_records.problem(record)
    config, state = record.config, record.config if record.oneTable else {}
    for i, expected in enumerate(record.x):
        if i == 5:
            luann.save(tmp_path / "state.t7", Table(state))
            state = luann.load(tmp_path / "state.t7")
            config = state if record.oneTable else config
        method(feval, x, config, state)
        optim_records.close(x, expected, record)


class Settings:
    """As class attributes they are in no ``__dict__`` of the object."""

    learningRate = 0.05
    weightDecay = 0.02


FORMS = {
    "dict": dict,
    "Table": Table,
    "SimpleNamespace": lambda fields: SimpleNamespace(**fields),
    "argparse": lambda fields: argparse.Namespace(**fields),
    "class attributes": lambda fields: Settings(),
}


@every_method
@pytest.mark.parametrize("one_table", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_forms_of_config_and_state(name, form, one_table):
    method = getattr(optim, name)
    settings = {"learningRate": 0.05, "weightDecay": 0.02}
    runs = []
    for make in (dict, FORMS[form]):
        config = make(settings)
        state = config if one_table else make({})
        arguments = (config,) if one_table else (config, state)
        x = torch.tensor([1.0, -2.0, 3.0])
        for _ in range(4):
            method(lambda x: (0.0, x - 1), x, *arguments)
        fields = {k: getattr(state, k) for k in dir(state) if not k.startswith("__")} if make is not dict else state
        runs.append((x, {k: v for k, v in fields.items() if isinstance(v, (int, float, torch.Tensor))}))
    (x, fields), (other, others) = runs
    assert torch.equal(x, other) and not torch.equal(x, torch.tensor([1.0, -2.0, 3.0]))
    for field in fields.keys() - {"learningRate", "weightDecay", "tmp"}:  # asgd leaves tmp unset until its mean begins
        assert torch.equal(torch.as_tensor(fields[field]), torch.as_tensor(others[field])), field


@every_method
def test_an_empty_state_is_not_the_config(name):
    config, state = {"learningRate": 0.1}, {}
    getattr(optim, name)(lambda x: (0.0, x), torch.ones(2), config, state)
    assert state and not state.keys() & config.keys()
    assert set(config) == {"learningRate"} | ({"eta0", "lambda", "alpha", "t0"} if name == "asgd" else set())


@every_method
def test_no_config_means_the_defaults(name):
    results = []
    for arguments in ((), ({},), (None, {}), ({"learningRate": None, "weightDecay": False}, None)):
        x = torch.tensor([1.0, 2.0])
        result = getattr(optim, name)(lambda x: (7.5, x * 3), x, *arguments)
        assert result[0] is x and result[1] == [7.5]
        results.append(x)
    assert all(torch.equal(x, results[0]) for x in results) and not torch.equal(results[0], torch.tensor([1.0, 2.0]))


def test_the_stepsize_of_rprop_becomes_a_tensor_of_the_state():
    config, state, one = {"stepsize": 0.25}, {}, {"stepsize": 0.25}
    for _ in range(3):
        x, y = torch.ones(2), torch.ones(2)
        optim.rprop(lambda x: (0.0, x), x, config, state)
        optim.rprop(lambda x: (0.0, x), y, one)
        assert torch.equal(x, y) and torch.equal(one["stepsize"], state["stepsize"])
    assert config == {"stepsize": 0.25}


def test_adamax_takes_the_state_of_an_older_torch7():
    x, state = torch.tensor([1.0, -2.0]), {}
    optim.adamax(lambda x: (0.0, x), x, {}, state)
    older = state | {"m": state["m"].clone(), "u": state["u"][0].clone()}
    y = x.clone()
    optim.adamax(lambda x: (0.0, x), x, {}, state)
    optim.adamax(lambda x: (0.0, x), y, {}, older)
    assert torch.equal(x, y) and older["u"].shape == (1, 2)


def test_the_mean_of_asgd_is_one_tensor():
    x, state = torch.tensor([4.0]), {}
    means = [optim.asgd(lambda x: (0.0, x), x, {"t0": 1, "eta0": 0.5}, state)[2] for _ in range(3)]
    assert means[0] is means[1] is means[2] is state["ax"]


# tensors of the caller


@every_method
@pytest.mark.parametrize("wd", [0, 0.5])
def test_what_is_added_to_the_gradient(name, wd):
    g, x = torch.tensor([1.0, 2.0]), torch.tensor([4.0, 6.0])
    getattr(optim, name)(lambda x: (0.0, g), x, {"weightDecay": wd})
    decays = wd and name not in ("rprop", "asgd")
    assert g.tolist() == ([3.0, 5.0] if decays else [1.0, 2.0])


def test_rprop_clears_the_gradient_where_its_sign_turned():
    g, state = torch.tensor([1.0, 2.0, 3.0]), {}
    optim.rprop(lambda x: (0.0, g), torch.zeros(3), {}, state)
    g.copy_(torch.tensor([-1.0, 2.0, 0.0]))
    x, _ = optim.rprop(lambda x: (0.0, g), torch.zeros(3), {}, state)
    assert g.tolist() == [0, 2, 0]
    torch.testing.assert_close(x, torch.tensor([0, -0.12, 0]))


@every_method
def test_f_is_handed_through(name):
    f = torch.tensor(3.0)
    assert getattr(optim, name)(lambda x: (f, torch.zeros(1)), torch.zeros(1))[1][0] is f


@every_method
@fused_or_not
def test_no_memory_is_allocated_after_the_first_step(name, fused, kernels):
    kernels(fused)
    x, g, config, state = torch.randn(1000), torch.randn(1000), dict(FULL), {}
    if name == "nag":
        config["learningRates"] = torch.rand(1000)

    def step():
        getattr(optim, name)(lambda x: (0.0, g), x, config, state)

    for _ in range(4):  # asgd begins its mean
        step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        step()
    taken = {e.name: e.self_cpu_memory_usage for e in profile.events() if e.self_cpu_memory_usage > 0}
    assert any(e.name.startswith("aten::") for e in profile.events())
    # A step may wrap a number in a tensor of one element, as PyTorch's in-place operations do.
    assert sum(taken.values()) < 100, taken


@pytest.mark.skipif(sys.modules["luann.optim.adam"]._fused_adam is None, reason="this PyTorch has no fused kernel")
@pytest.mark.parametrize("n", [1, 7, 16, 1000, 4099])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("settings", [{}, FULL, {"beta1": 0, "beta2": 0.5, "epsilon": 0.1}, {"beta1": 0.3, "t": 10**6}])
def test_the_fused_kernel_gives_the_same_numbers(n, dtype, settings, monkeypatch):
    generator = torch.Generator().manual_seed(n)

    def random():
        return torch.randn(n, dtype=dtype, generator=generator)

    start, gradients = random(), [random() for _ in range(6)]
    module = sys.modules["luann.optim.adam"]
    kernel, results, calls = module._fused_adam, [], []

    def counted(*args, **kwargs):
        calls.append(args)
        kernel(*args, **kwargs)

    for chosen in (counted, None):
        monkeypatch.setattr(module, "_fused_adam", chosen)
        x, config = start.clone(), dict(settings)
        for g in gradients:
            optim.adam(lambda x, g=g: (0.0, g.clone()), x, config)
        results.append([x, config["m"], config["v"], config["denom"]])
    assert len(calls) == len(gradients)
    # a few roundings in another order; m is a mean of numbers of both signs
    few_bits = 8 * torch.finfo(dtype).eps
    torch.testing.assert_close(results[0], results[1], rtol=few_bits, atol=few_bits)


def test_adam_with_a_second_moment_that_is_never_updated():
    x = torch.ones(2)
    optim.adam(lambda x: (0.0, torch.ones(2)), x, {"beta2": 1})  # √(1 − beta2ᵗ) is 0, and so is the step
    assert x.tolist() == [1, 1]


@every_method
@fused_or_not
@pytest.mark.parametrize("layout", ["strided", "matrix", "strided gradient", "transposed"])
def test_layouts(name, layout, fused, kernels):
    kernels(fused)
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
    flat, config, flat_config = start.flatten().clone(), dict(FULL), dict(FULL)
    for factor in (1, -1, 1, 2):
        getattr(optim, name)(lambda x, f=factor: (0.0, g_layout(f * g)), x, config)
        getattr(optim, name)(lambda x, f=factor: (0.0, f * g.flatten()), flat, flat_config)
    torch.testing.assert_close(x.flatten(), flat, rtol=1e-13, atol=1e-15)
    assert not torch.equal(x, start)


@every_method
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_short_floats(name, dtype):
    start, g = torch.linspace(-2, 2, 9), torch.linspace(1, 3, 9)
    x, short, config, short_config = start.clone(), start.to(dtype), dict(FULL), dict(FULL, epsilon=1e-3)
    config["epsilon"] = 1e-3  # 1e-8 and 1e-38 are 0 in float16
    for factor in (1, -1, 1):
        getattr(optim, name)(lambda x, f=factor: (0.0, f * g), x, config)
        getattr(optim, name)(lambda x, f=factor: (0.0, (f * g).to(dtype)), short, short_config)
    assert short.dtype == dtype
    # three steps of rounding to 11 and 8 bits
    torch.testing.assert_close(short.float(), x, rtol=0, atol=8 * torch.finfo(dtype).eps)


@every_method
@pytest.mark.parametrize("types", [(torch.float32, torch.float64), (torch.float64, torch.float32)])
def test_a_gradient_of_another_type(name, types):
    start, g = torch.linspace(-2, 2, 9), torch.linspace(1, 3, 9)
    x, mixed, config, mixed_config = start.clone(), start.to(types[0]), dict(FULL), dict(FULL)
    for factor in (1, -1, 1):
        getattr(optim, name)(lambda x, f=factor: (0.0, f * g), x, config)
        getattr(optim, name)(lambda x, f=factor: (0.0, (f * g).to(types[1])), mixed, mixed_config)
    assert mixed.dtype == types[0]
    torch.testing.assert_close(mixed.float(), x, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [*METHODS, "lbfgs", "cg"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_type_is_that_of_x_whatever_the_default(name, dtype):
    results = []
    for default in (torch.float32, torch.float64):
        torch.set_default_dtype(default)
        x, config = torch.tensor([1.0, -2.0, 3.0], dtype=dtype), {"maxIter": 3, "learningRate": 0.1}
        for _ in range(3):
            getattr(optim, name)(lambda x: ((x * x).sum(), 2 * x), x, config)
        kept = {k: v.dtype for k, v in config.items() if isinstance(v, torch.Tensor) and k not in ("ro", "al")}
        assert set(kept.values()) <= {dtype, torch.uint8} and dtype in kept.values()
        results.append(x)
    assert torch.equal(*results)


@pytest.mark.cuda
@pytest.mark.parametrize("record", [r for r in RECORDS if "/network" not in r])  # whose own tensors are on the CPU
def test_record_on_cuda(record):
    method, record = get(record)
    x, feval = optim_records.problem(record)
    on_gpu = x.cuda()
    for expected in record.x:
        method(lambda p: (0.0, feval(p.cpu())[1].cuda()), on_gpu, record.config)
        optim_records.close(on_gpu.cpu(), expected, record)


@every_method
def test_autograd_is_off_in_the_update_and_untouched_in_feval(name):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    config = dict(FULL)

    def feval(x):
        f = (x**2).sum()
        (g,) = torch.autograd.grad(f, x, create_graph=True)
        return f, g

    for _ in range(4):
        getattr(optim, name)(feval, x, config)
        assert torch.is_grad_enabled() and x.is_leaf and x.requires_grad and x.grad is None
    assert not any(v.requires_grad for v in config.values() if isinstance(v, torch.Tensor))
    plain, config = torch.tensor([1.0, 2.0]), dict(FULL)
    with torch.no_grad():
        for _ in range(4):
            getattr(optim, name)(lambda x: (0.0, 2 * x), plain, config)
        assert not torch.is_grad_enabled()
    torch.testing.assert_close(x.detach(), plain)


# errors


@every_method
def test_a_state_of_other_parameters(name):
    config = dict(FULL)
    for _ in range(4):
        getattr(optim, name)(lambda x: (0.0, torch.ones(3)), torch.zeros(3), config)
    with pytest.raises(ShapeError, match=r"in the state has shape \([12, ]*3,?\), the parameters have \([12, ]*1,?\)"):
        getattr(optim, name)(lambda x: (0.0, torch.ones(1)), torch.zeros(1), config)


@every_method
def test_what_feval_must_return(name):
    with pytest.raises(ShapeError, match=r"shape \(1,\) for x of shape \(3,\)"):
        getattr(optim, name)(lambda x: (0.0, torch.ones(1)), torch.zeros(3))
    with pytest.raises(TensorTypeError, match="feval must return"):
        getattr(optim, name)(lambda x: (0.0, None), torch.zeros(3))


@pytest.mark.parametrize("momentum", [0, -0.5])
def test_nag_needs_a_momentum(momentum):
    with pytest.raises(ArgumentError, match="positive momentum"):
        optim.nag(lambda x: pytest.fail("feval was called"), torch.zeros(1), {"momentum": momentum})


def test_nag_wants_a_rate_for_every_parameter():
    with pytest.raises(ShapeError, match="learningRates has 1 elements for 3 parameters"):
        optim.nag(lambda x: (0.0, torch.ones(3)), torch.zeros(3), {"learningRates": torch.ones(1)})
