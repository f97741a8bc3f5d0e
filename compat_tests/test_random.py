"""Torch7's random numbers, bit for bit: every record of reference/rng, and what must hold beyond them."""

from __future__ import annotations

import copy
import json
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import luann.t7
from luann import _libm, random
from luann.errors import ArgumentError, Error, ShapeError, TensorTypeError

REFERENCE = Path(__file__).parent / "reference"
RECORDS = {
    (path.stem, record["name"]): record
    for path in sorted((REFERENCE / "rng").glob("*.t7"))
    for record in luann.t7.load(path)
}
REALS = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
WHOLE = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]


@pytest.fixture(autouse=True)
def _doubles():
    """The records were made with doubles as the default."""
    torch.set_default_dtype(torch.float64)


def doubles(*size: int) -> torch.Tensor:
    return torch.empty(*size, dtype=torch.float64)


def floats(*size: int) -> torch.Tensor:
    return torch.empty(*size, dtype=torch.float32)


def longs(*size: int) -> torch.Tensor:
    return torch.empty(*size, dtype=torch.int64)


def byte(*size: int) -> torch.Tensor:
    return torch.empty(*size, dtype=torch.uint8)


def numbers(n: int, draw: Callable, *args: float) -> torch.Tensor:
    return torch.tensor([draw(*args) for _ in range(n)], dtype=torch.float64)


# The Lua of each record, ported line by line.

r = random


def reseed(seed: int) -> list:
    a = r.randn(3)
    r.manualSeed(seed)
    return [a, r.randn(3)]


def bernoulli_tensors(_: int) -> list:
    return [
        r.bernoulli(doubles(50), 0.3),
        r.bernoulli(floats(50), 0.7),
        r.bernoulli(byte(50)),
        r.bernoulli(longs(20), 0.5),
        r.bernoulli(doubles(5), torch.tensor([0, 0.25, 0.5, 0.75, 1])),
        r.bernoulli(byte(3), torch.tensor([0.1, 0.5, 0.9], dtype=torch.float32)),
    ]


def multinomial(_: int) -> list:
    return [
        r.multinomial(torch.tensor([0.1, 0.2, 0.3, 0.4]), 50, True),
        r.multinomial(torch.tensor([1.0, 2, 3, 4, 5]), 5, False),
        r.multinomial(torch.tensor([[1.0, 0, 2], [0, 5, 5]]), 20, True),
        r.multinomial(torch.tensor([[1.0, 3, 2, 1], [0.5, 5, 5, 2]]), 3),
        r.multinomial(torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float32), 50, True),
    ]


def state(_: int) -> dict:
    first = r.getRNGState()
    r.rand(10)
    r.randn(3)
    middle = r.getRNGState()
    after = [r.rand(5), r.randn(5)]
    r.rand(1000)
    r.setRNGState(middle)
    return {"first": first, "middle": middle, "after": after, "again": [r.rand(5), r.randn(5)]}


def generator(seed: int) -> dict:
    gen = r.Generator()
    gen.manualSeed(seed)
    return {
        "own": gen.uniform(doubles(10), 0, 1),
        "random": gen.random(),
        "ranged": gen.random(3, 9),
        "normal": gen.normal(doubles(3), 0, 1),
        "common": r.rand(3),
    }


def layers(_: int) -> list:
    """How nn.Linear(5, 4), SpatialConvolution(2, 3, 3, 2), LookupTable(4, 3), BatchNormalization(3) draw."""

    def uniform(t: torch.Tensor, stdv: float) -> torch.Tensor:
        return r.uniform(t, -stdv, stdv)

    linear, convolution = 1 / math.sqrt(5), 1 / math.sqrt(3 * 2 * 2)
    return [
        uniform(doubles(4, 5), linear),
        uniform(doubles(4), linear),
        uniform(doubles(3, 2, 2, 3), convolution),
        uniform(doubles(3), convolution),
        r.normal(doubles(4, 3), 0, 1),
        r.uniform(doubles(3)),
    ]


PORTED: dict[str, Callable[[int], Any]] = {
    "rand": lambda _: r.rand(1000),
    "rand_float": lambda _: r.uniform(floats(1000)),
    "rand_calls": lambda _: [r.rand(7), r.rand(3, 5), r.rand(1), r.rand(2, 1, 2)],
    "randn": lambda _: r.randn(1000),
    "randn_float": lambda _: r.normal(floats(1000)),
    "randn_odd": lambda _: [r.randn(7), r.randn(7), r.randn(1), r.randn(4), r.randn(3, 3), r.randn(2)],
    "randn_mixed": lambda _: [r.randn(3), r.rand(2), r.randn(3), r.rand(1), r.randn(1)],
    "reseed": reseed,
    "random": lambda _: numbers(1000, r.random),
    "random_b": lambda _: numbers(200, r.random, 6),
    "random_ab": lambda _: numbers(200, r.random, 5, 17),
    "random_negative": lambda _: numbers(100, r.random, -3, 3),
    "random_tensors": lambda _: {
        name: r.random(torch.empty(20, dtype=dtype))
        for name, dtype in zip(
            ["byte", "char", "short", "int", "long", "float", "double"],
            [*WHOLE, torch.float32, torch.float64],
            strict=True,
        )
    },
    "random_tensor_ranges": lambda _: [
        r.random(longs(20), 9),
        r.random(doubles(20), 3, 8),
        r.random(byte(20), 0, 1),
        r.random(floats(3, 4), 100),
    ],
    "bernoulli": lambda _: [
        numbers(100, r.bernoulli),
        numbers(100, r.bernoulli, 0.2),
        numbers(100, r.bernoulli, 0.9),
    ],
    "bernoulli_tensors": bernoulli_tensors,
    "randperm": lambda _: [r.randperm(20), r.randperm(1), r.randperm(7), r.randperm(100)],
    "randperm_long": lambda _: r.randperm(20, "torch.LongTensor"),
    "uniform": lambda _: [numbers(100, r.uniform), numbers(100, r.uniform, 5), numbers(100, r.uniform, -2, 3)],
    "uniform_tensors": lambda _: [r.uniform(doubles(200), -2, 3), r.uniform(floats(200), -2, 3)],
    "normal": lambda _: [numbers(100, r.normal), numbers(100, r.normal, 1), numbers(100, r.normal, 2, 0.5)],
    "normal_tensors": lambda _: [r.normal(doubles(200), 2, 0.5), r.normal(floats(200), -1, 3)],
    "exponential": lambda _: [
        numbers(100, r.exponential, 2),
        r.exponential(doubles(100), 0.5),
        r.exponential(floats(100), 1),
    ],
    "cauchy": lambda _: [numbers(100, r.cauchy, 1, 2), r.cauchy(doubles(100), -1, 0.5), r.cauchy(floats(100))],
    "logNormal": lambda _: [
        numbers(100, r.logNormal, 1, 0.5),
        r.logNormal(doubles(101), 0, 2),
        r.logNormal(floats(100)),
    ],
    "geometric": lambda _: [
        numbers(100, r.geometric, 0.3),
        r.geometric(doubles(100), 0.7),
        r.geometric(floats(100), 0.5),
        r.geometric(longs(50), 0.9),
    ],
    "multinomial": multinomial,
    "fill_order": lambda _: r.uniform(doubles(4, 3).t()),
    "state": state,
    "initialSeed": lambda _: r.initialSeed(),
    "generator": generator,
    "layers": layers,
}


def assert_same(actual: Any, expected: Any, where: str = "") -> None:
    """Equal to the last bit, in type and shape too."""
    if isinstance(expected, torch.Tensor):
        assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape), where
        assert actual.numpy().tobytes() == expected.contiguous().numpy().tobytes(), where
    elif isinstance(expected, (list, dict)):
        pairs = expected.items() if isinstance(expected, dict) else enumerate(expected)
        assert len(actual) == len(expected), where
        for key, value in pairs:
            assert_same(actual[key], value, f"{where}[{key!r}]")
    else:
        assert actual == expected, where


def test_the_records_are_all_here():
    assert len({seed for seed, _ in RECORDS}) == 4
    assert {name for _, name in RECORDS} == set(PORTED)
    assert len(RECORDS) == 4 * 32


@pytest.mark.parametrize("key", RECORDS, ids="-".join)
def test_record(key: tuple[str, str]):
    record = RECORDS[key]
    random.manualSeed(record["seed"])
    values = PORTED[record["name"]](record["seed"])
    if isinstance(values, torch.Tensor):
        values = values.contiguous()
    assert_same(values, record["values"])
    assert random.random() == record["nextRandom"]


@pytest.mark.parametrize("form", ["bin", "ascii"])
def test_generator_of_a_file(form: str):
    """Torch7 seeded it with 123 and drew five numbers before it was saved."""
    expected = json.loads((REFERENCE / "serialization" / "generator.json").read_text())["extra"]
    own = random.Generator()
    own.manualSeed(123)
    assert own.uniform(doubles(5)).tolist() == expected["drawnBefore"]
    loaded = luann.t7.load(REFERENCE / "serialization" / f"generator.{form}.t7")
    assert isinstance(loaded, random.Generator)
    assert loaded.state == own.state == bytes(expected["bytes"])
    assert torch.equal(loaded.randn(9), own.randn(9))


# The C library's functions

ARGUMENTS = {
    "log": np.linspace(2.0**-32, 1, 100_003),
    "cos": np.linspace(0, 2 * math.pi, 100_003),
    "sin": np.linspace(0, 2 * math.pi, 100_003),
    "tan": np.linspace(-math.pi / 2, math.pi / 2, 100_003),
    "exp": np.linspace(-30, 30, 100_003),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_fast_and_slow_functions_agree(name: str):
    slow = _libm.mapped(name)(ARGUMENTS[name])
    assert np.array_equal(_libm.compiled(name)(ARGUMENTS[name]), slow)
    assert np.array_equal(getattr(_libm.ARRAY, name)(ARGUMENTS[name]), slow)


def test_slow_functions_give_the_same_stream(monkeypatch: pytest.MonkeyPatch):
    draws = [
        lambda t: r.normal(t),
        lambda t: r.logNormal(t, 1000, 1),  # beyond the largest double
        lambda t: r.cauchy(t),
        lambda t: r.exponential(t, 3),
        lambda t: r.geometric(t, 0.2),
    ]
    random.manualSeed(5)
    fast = [draw(doubles(501)) for draw in draws]
    for name in ARGUMENTS:
        monkeypatch.setattr(_libm.ARRAY, name, _libm.mapped(name))
    random.manualSeed(5)
    assert_same([draw(doubles(501)) for draw in draws], fast)
    assert fast[1].isinf().all()


# One stream

FILLS = {
    "uniform": lambda t: r.uniform(t, -1, 2),
    "normal": lambda t: r.normal(t, 1, 2),
    "logNormal": lambda t: r.logNormal(t, 0, 0.5),
    "exponential": lambda t: r.exponential(t, 2),
    "cauchy": lambda t: r.cauchy(t, 0, 2),
    "geometric": lambda t: r.geometric(t, 0.7),
    "bernoulli": lambda t: r.bernoulli(t, 0.3),
    "random": lambda t: r.random(t, -5, 100),
}
SCALARS = {
    "uniform": lambda: r.uniform(-1, 2),
    "normal": lambda: r.normal(1, 2),
    "logNormal": lambda: r.logNormal(0, 0.5),
    "exponential": lambda: r.exponential(2),
    "cauchy": lambda: r.cauchy(0, 2),
    "geometric": lambda: r.geometric(0.7),
    "bernoulli": lambda: r.bernoulli(0.3),
    "random": lambda: r.random(-5, 100),
}


@pytest.mark.parametrize("name", FILLS)
@pytest.mark.parametrize("cut", [0, 1, 8, 33])
def test_a_fill_in_two_parts_is_one_fill(name: str, cut: int):
    random.manualSeed(42)
    whole = FILLS[name](doubles(33))
    after = random.randn(3)
    random.manualSeed(42)
    parts = torch.cat([FILLS[name](doubles(cut)), FILLS[name](doubles(33 - cut))])
    assert_same([parts, random.randn(3)], [whole, after])


@pytest.mark.parametrize("name", FILLS)
def test_a_large_fill_is_many_draws(name: str):
    """Beyond the block that is drawn at a time, in any layout, the numbers are those of single draws."""
    random.manualSeed(7)
    single = [SCALARS[name]() for _ in range(70_001)]
    expected = torch.tensor(single, dtype=torch.float64)
    for t in [doubles(70_001), doubles(2, 70_001)[1], doubles(70_001, 2)[:, 0], doubles(1, 70_001).t()]:
        random.manualSeed(7)
        FILLS[name](t)
        assert_same(t.flatten().contiguous(), expected)


def test_layouts_are_filled_in_the_order_of_their_indices():
    random.manualSeed(3)
    expected = random.rand(400, 300)
    for t in [doubles(300, 400).t(), doubles(400, 600)[:, ::2], doubles(1, 400, 300)[0]]:
        random.manualSeed(3)
        assert torch.equal(random.uniform(t), expected)


@pytest.mark.parametrize("drawn", [0, 1, 2, 3, 623, 624, 625, 1248])
def test_state_continues_the_stream(drawn: int):
    random.manualSeed(-9)
    random.randn(drawn)
    saved = random.getRNGState()
    own = random.Generator()
    own.state = saved.numpy().tobytes()
    assert own.state == saved.numpy().tobytes()
    copies = [copy.deepcopy(own), pickle.loads(pickle.dumps(own)), own]
    expected = [random.randn(4), random.random(), random.uniform(doubles(700))]
    for each in copies:
        assert_same([each.randn(4), each.random(), each.uniform(doubles(700))], expected)
        assert each.initialSeed() == -9
    random.unseed()
    random.setRNGState(saved)
    assert_same([random.randn(4), random.random(), random.uniform(doubles(700))], expected)


def test_only_the_low_32_bits_of_a_seed_count():
    for n in [5, 5.0, 5 + 2**32, 5 - 2**32, np.int64(5), torch.tensor(5)]:
        random.manualSeed(n)
        assert random.random() == 953453411
        assert random.initialSeed() == int(n)


def test_seed_starts_a_stream_that_can_be_repeated():
    first = random.seed()
    drawn = random.rand(10)
    assert random.initialSeed() == first
    random.manualSeed(first)
    assert torch.equal(random.rand(10), drawn)
    assert random.seed() != first


# Types


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["uniform", "normal", "exponential", "cauchy"])
def test_half_numbers_are_the_doubles_rounded_once(name: str, dtype: torch.dtype):
    random.manualSeed(11)
    exact = FILLS[name](doubles(100_000))
    random.manualSeed(11)
    rounded = FILLS[name](torch.empty(100_000, dtype=dtype))
    overflow = rounded.isinf()
    assert (exact[overflow].abs() >= 65520).all()
    exact, rounded = exact[~overflow], rounded[~overflow]
    # Neither neighbour in that type is nearer, and a tie goes to the even one.
    bits = rounded.view(torch.int16)
    error = (rounded.double() - exact).abs()
    for step in (-1, 1):
        neighbour = (bits + step).view(dtype).double()
        other = (neighbour - exact).abs()
        assert (~(other < error)).all()
        assert (bits[other == error] % 2 == 0).all()


def test_rounding_twice_would_differ():
    """2⁻³² past the middle between two half numbers: rounding to float first would fall back to the middle."""
    halfway = np.array([1 + 2.0**-11 + 2.0**-32, -1 - 2.0**-11 - 2.0**-32, 1 + 2.0**-11, 1e300, -1e300, 0.0, np.nan])
    with np.errstate(over="ignore"):
        once = torch.from_numpy(random._round_to_odd(halfway)).half()
    expected = [1 + 2.0**-10, -1 - 2.0**-10, 1.0, math.inf, -math.inf, 0.0]
    assert once[:-1].tolist() == expected and once[-1].isnan()
    assert torch.from_numpy(halfway[:1]).float().half().item() == 1.0


def test_arguments_are_rounded_to_the_type_first():
    random.manualSeed(1)
    u = random.rand(1000)
    a, b = np.float32(0.1), np.float32(0.7)
    random.manualSeed(1)
    filled = random.uniform(floats(1000), 0.1, 0.7)
    assert torch.equal(filled, (u * (float(b) - float(a)) + float(a)).float())


def test_negative_bounds_on_real_tensors():
    """Torch7 put about 1.8e19 where -3, -2 or -1 belongs; these are its numbers for a LongTensor."""
    random.manualSeed(1)
    expected = random.random(longs(500), -3, 3)
    assert expected.unique().tolist() == [-3, -2, -1, 0, 1, 2, 3]
    for dtype in REALS:
        random.manualSeed(1)
        assert torch.equal(random.random(torch.empty(500, dtype=dtype), -3, 3).long(), expected)


def test_bounds_beyond_a_word():
    random.manualSeed(1)
    words = random.random(longs(100))
    assert words.max() > 2**31
    random.manualSeed(1)
    assert torch.equal(random.random(longs(100), -(2**62), 2**62), words - 2**62)


@pytest.mark.parametrize("seeded", [False, True])
def test_what_can_be_filled(seeded: bool):
    if seeded:
        random.manualSeed(1)
    for dtype in [*REALS, *WHOLE, torch.bool, torch.complex64]:
        t = torch.empty(3, 4, dtype=dtype)
        for name, fill in FILLS.items():
            allowed = dtype in REALS
            if name in ("geometric", "bernoulli", "random"):
                allowed = allowed or dtype in WHOLE or (dtype == torch.bool and name == "bernoulli")
            if allowed:
                assert fill(t) is t
            else:
                with pytest.raises(TensorTypeError, match=name):
                    fill(t)


def test_overflow_is_infinity():
    random.manualSeed(1)
    for dtype in REALS:
        assert random.logNormal(torch.empty(10, dtype=dtype), 5000, 1).isinf().all()
    assert random.logNormal(5000, 1) == math.inf
    assert random.normal(floats(100), 0, 3e38).isinf().any()


@pytest.mark.parametrize("seeded", [False, True])
def test_parameters_and_empty_tensors(seeded: bool):
    if seeded:
        random.manualSeed(1)
    weight = torch.nn.Parameter(torch.zeros(5))
    version = weight._version
    assert random.uniform(weight, 1, 2) is weight
    assert weight.is_leaf and weight.grad_fn is None and (weight >= 1).all()
    assert weight._version > version
    with torch.inference_mode():
        assert (random.uniform(torch.zeros(5), 1, 2) >= 1).all()
    for name, fill in FILLS.items():
        assert fill(doubles(0, 3)).shape == (0, 3), name
    assert random.normal(torch.tensor(0.0)).dim() == 0


def test_new_tensors():
    random.manualSeed(1)
    for make in (random.rand, random.randn):
        assert make(2, 3).dtype == torch.float64 == torch.get_default_dtype()
        assert make([2, 3]).shape == make(torch.Size([2, 3])).shape == (2, 3)
        assert make(2, dtype=torch.float32).dtype == make(2, dtype="torch.FloatTensor").dtype == torch.float32
        with pytest.raises(TensorTypeError):
            make(2, dtype=torch.int64)
    assert random.randperm(4, torch.int32).dtype == torch.int32


# PyTorch's generator


@pytest.mark.parametrize("dtype", REALS)
def test_unseeded_draws_are_pytorchs(dtype: torch.dtype):
    methods = {
        "uniform": lambda t: t.uniform_(-1, 2),
        "normal": lambda t: t.normal_(1, 2),
        "logNormal": lambda t: t.log_normal_(0, 0.5),
        "exponential": lambda t: t.exponential_(2),
        "cauchy": lambda t: t.cauchy_(0, 2),
        "bernoulli": lambda t: t.bernoulli_(0.3),
    }
    for name, method in methods.items():
        t = torch.empty(50, dtype=dtype)
        torch.manual_seed(3)
        mine = FILLS[name](t.clone())
        torch.manual_seed(3)
        assert torch.equal(mine, method(t)), name


@pytest.mark.parametrize("name", FILLS)
def test_torch_manual_seed_governs_unseeded_draws(name: str):
    def draw() -> list:
        return [FILLS[name](doubles(20)), SCALARS[name](), SCALARS[name](), random.randperm(9), random.randn(3)]

    torch.manual_seed(8)
    first, second = draw(), draw()
    torch.manual_seed(8)
    assert_same(draw(), first)
    assert_same(draw(), second)
    assert not torch.equal(first[0], second[0])
    random.manualSeed(8)
    draw()
    random.unseed()
    torch.manual_seed(8)
    assert_same(draw(), first)


@pytest.mark.parametrize("seeded", [False, True])
@pytest.mark.parametrize("name", FILLS)
def test_fills_and_single_draws_have_one_distribution(name: str, seeded: bool):
    """The same distribution from either generator: compared by quantiles with Torch7's stream."""
    random.manualSeed(123)
    quantiles = torch.tensor([0.1, 0.25, 0.5, 0.75, 0.9])
    reference = FILLS[name](doubles(200_000))
    points = reference.quantile(quantiles)
    torch.manual_seed(5)
    if not seeded:
        random.unseed()
    filled = FILLS[name](doubles(100_000))
    single = torch.tensor([float(SCALARS[name]()) for _ in range(20_000)])
    for sample in (filled, single):
        below = (sample[:, None] <= points).double().mean(0)
        expected = (reference[:, None] <= points).double().mean(0)
        # five standard deviations of the share of n numbers that lie below a point
        assert ((below - expected).abs() < 5 * 0.5 * math.sqrt(1 / len(sample) + 1 / len(reference))).all()


def test_unusual_arguments_work_unseeded():
    """What PyTorch's methods refuse: bounds the wrong way round, a negative lambda or sigma, a wrapping bound."""
    torch.manual_seed(1)
    falling = random.uniform(doubles(1000), 3, -2)
    assert falling.min() > -2 and falling.max() <= 3 and falling.std() > 1
    assert (random.exponential(doubles(1000), -2) <= 0).all()
    assert (random.cauchy(doubles(1000), 0, -1) > 1).sum().item() == pytest.approx(250, abs=70)
    assert (random.random(byte(1000), 256, 257) <= 1).all()  # 8 bits are kept, as in C
    assert (random.geometric(doubles(10), 1e-300) == 1).all()


@pytest.mark.parametrize("seeded", [False, True])
def test_probabilities_per_element(seeded: bool):
    if seeded:
        random.manualSeed(1)
    p = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    for dtype in [*REALS, *WHOLE, torch.bool]:
        for each in (p, p.t().flatten(), p.float(), p.bfloat16()):
            assert torch.equal(random.bernoulli(torch.empty(2, 2, dtype=dtype), each), p.to(dtype))
    assert random.bernoulli(torch.tensor(5.0), torch.tensor([1.0])) == 1
    with pytest.raises(ShapeError, match="3 probabilities for a tensor of 2"):
        random.bernoulli(doubles(2), torch.rand(3))
    with pytest.raises(TensorTypeError):
        random.bernoulli(doubles(2), torch.ones(2, dtype=torch.int64))
    with pytest.raises(ArgumentError, match="from 0 to 1"):
        random.bernoulli(doubles(2), torch.tensor([0.5, math.nan]))


@pytest.mark.parametrize("seeded", [False, True])
def test_permutations(seeded: bool):
    if seeded:
        random.manualSeed(1)
    for n in [1, 2, 10, 1000]:
        permutation = random.randperm(n)
        assert permutation.dtype == torch.float64
        assert permutation.sort().values.tolist() == list(range(1, n + 1))
    first = torch.stack([random.randperm(3, torch.int64) for _ in range(3000)])
    counts = torch.stack([(first == value).sum(0) for value in (1, 2, 3)])
    assert (counts - 1000).abs().max() < 130  # five standard deviations


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 17, 1000])
def test_permutations_are_made_by_swaps(n: int):
    """Torch7's loop: for i in order, the number at i and one drawn from i on change places."""
    for seed in range(30):
        random.manualSeed(seed)
        expected = list(range(1, n + 1))
        for i in range(n - 1):
            k = i + random.random() % (n - i)
            expected[i], expected[k] = expected[k], expected[i]
        after = random.random()
        random.manualSeed(seed)
        assert random.randperm(n, torch.int64).tolist() == expected
        assert random.random() == after


@pytest.mark.parametrize("seeded", [False, True])
def test_multinomial(seeded: bool):
    if seeded:
        random.manualSeed(1)
    p = torch.tensor([[0.0, 1, 2, 1], [4, 0, 0, 12]], dtype=torch.float32)
    drawn = random.multinomial(p, 20_000, True)
    assert drawn.shape == (2, 20_000) and drawn.dtype == torch.int64
    share = torch.stack([(drawn == i).double().mean(1) for i in (1, 2, 3, 4)], 1)
    assert (share - p / p.sum(1, keepdim=True)).abs().max() < 0.018  # five standard deviations
    once = random.multinomial(p, 2)
    assert sorted(once[1].tolist()) == [1, 4] and once[0, 0] != once[0, 1] and (once[0] > 1).all()
    assert random.multinomial(p[0], 3).shape == (3,)


# Errors


@pytest.mark.parametrize("seeded", [False, True])
@pytest.mark.parametrize(
    "call",
    [
        lambda: r.normal(0, 0),
        lambda: r.normal(doubles(2), 0, -1),
        lambda: r.normal(floats(2), 0, 1e-60),  # zero in a float
        lambda: r.logNormal(doubles(2), 0, 0),
        lambda: r.logNormal(0, math.nan),
        lambda: r.exponential(0),
        lambda: r.exponential(doubles(2), 0),
        lambda: r.geometric(0),
        lambda: r.geometric(doubles(2), 1),
        lambda: r.bernoulli(1.5),
        lambda: r.bernoulli(doubles(2), -0.1),
        lambda: r.random(0),
        lambda: r.random(longs(2), 5, 4),
        lambda: r.random(1.5),
        lambda: r.random(1, math.inf),
        lambda: r.randperm(0),
        lambda: r.randperm(2.5),
        lambda: r.manualSeed("7"),
        lambda: r.multinomial(torch.tensor([1.0, 2]), 0),
        lambda: r.multinomial(torch.tensor([1.0, 2]), 3),
        lambda: r.multinomial(torch.tensor([1.0, 0]), 2),
        lambda: r.multinomial(torch.tensor([0.0, 0]), 1, True),
        lambda: r.multinomial(torch.tensor([[1.0, 2], [-1, 2]]), 1, True),
        lambda: r.multinomial(torch.tensor([1.0, math.inf]), 1, True),
    ],
)
def test_bad_arguments(call: Callable, seeded: bool):
    if seeded:
        random.manualSeed(1)
        before = random.getRNGState()
    with pytest.raises(ArgumentError):
        call()
    if seeded:
        assert torch.equal(random.getRNGState(), before)


def test_bad_probabilities():
    with pytest.raises(TensorTypeError):
        random.multinomial(torch.tensor([1, 2]), 1)
    for shape in [(), (0,), (2, 2, 2)]:
        with pytest.raises(ShapeError):
            random.multinomial(torch.ones(shape), 1)


def test_no_state_before_a_seed():
    for call in (random.initialSeed, random.getRNGState):
        with pytest.raises(Error, match="manualSeed"):
            call()


def test_bad_states():
    random.manualSeed(1)
    random.rand(3)
    good = random.getRNGState()
    with pytest.raises(TensorTypeError, match="ByteTensor"):
        random.setRNGState(good.double())
    with pytest.raises(TensorTypeError, match="bytes"):
        random.setRNGState(good.numpy().tobytes())
    with pytest.raises(ShapeError, match="5048"):
        random.setRNGState(good[:-1])
    bad = {"left": (8, 0), "left and next": (8, 2), "seeded": (12, 0), "next": (16, 200), "a word": (24 + 4, 1)}
    for what, (offset, value) in bad.items():
        state = good.clone()
        state[offset : offset + 4] = torch.tensor([value, 0, 0, 0], dtype=torch.uint8)
        with pytest.raises(ArgumentError, match="state"):
            random.setRNGState(state)
            pytest.fail(what)
    with pytest.raises(ArgumentError, match="words"):
        random.setRNGState(torch.cat([good[:24], torch.zeros(8 * 624, dtype=torch.uint8), good[-32:]]))
    assert torch.equal(random.getRNGState(), good)


# CUDA


@pytest.mark.cuda
@pytest.mark.parametrize("name", FILLS)
def test_cuda_gets_the_numbers_of_the_cpu(name: str):
    for dtype in REALS:
        random.manualSeed(2)
        expected = FILLS[name](torch.empty(70_001, 2, dtype=dtype).t())
        random.manualSeed(2)
        assert torch.equal(FILLS[name](torch.empty(70_001, 2, dtype=dtype, device="cuda").t()).cpu(), expected)
    random.unseed()
    t = torch.empty(100, device="cuda")
    torch.manual_seed(4)
    first = FILLS[name](t).clone()
    torch.manual_seed(4)
    assert torch.equal(FILLS[name](t), first)
