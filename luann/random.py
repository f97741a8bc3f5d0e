"""Torch7's random numbers, to the last bit.

After :func:`manualSeed`, :func:`seed` or :func:`setRNGState`, every draw is Torch7's: the same MT19937 stream, the
same formulas, so that an experiment seeded in Lua can be repeated. Until then draws come from PyTorch's own generator,
which ``torch.manual_seed`` governs; :func:`unseed` goes back to that.

A drawing function gives one number, or fills the tensor that is its first argument, in place and in the order of its
indices (the last one fastest), and returns it::

    random.uniform(-1, 1)              # one number
    random.uniform(weight, -1, 1)      # torch's weight:uniform(-1, 1)

A tensor on CUDA gets the numbers that one on the CPU would get. Numbers are computed in double and rounded once to the
tensor's type; the arguments of ``uniform``, ``normal``, ``exponential``, ``cauchy`` and ``logNormal`` are rounded to it
first, as in Torch7. The last bit of a double depends on the C library's ``log``, ``cos``, ``sin``, ``tan`` and ``exp``:
where it is the GNU one, as under Torch7, it is Torch7's.

Differences from Torch7: ``random(tensor, a, b)`` with ``a < 0`` gives the numbers asked for (in a FloatTensor or
DoubleTensor, Torch7 gave about 1.8e19 for a negative one); ``multinomial`` refuses probabilities that are negative or
not finite, and more draws without replacement than there are categories with a probability.
"""

from __future__ import annotations

import ctypes
import functools
import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ._alias import alias_state
from ._libm import ARRAY, SCALAR
from ._mt19937 import UNIT, MersenneTwister
from .errors import ArgumentError, Error, ShapeError, TensorTypeError
from .types import parse_type, register, typename

_BLOCK = 1 << 16  # elements drawn at a time: temporaries stay in the cache, whatever the size of the tensor

# What an argument becomes when a tensor of that type is filled; also the types that can hold real numbers.
_ROUND: dict[torch.dtype, Callable[[float], float]] = {
    torch.float64: float,
    torch.float32: lambda x: ctypes.c_float(x).value,
    torch.float16: lambda x: torch.tensor(x, dtype=torch.float16).item(),
    torch.bfloat16: lambda x: torch.tensor(x, dtype=torch.bfloat16).item(),
}
# random() on a tensor draws below this: what its type holds exactly, at most the word itself.
_SPAN = {
    torch.uint8: 2**8,
    torch.int8: 2**7,
    torch.int16: 2**15,
    torch.int32: 2**31,
    torch.int64: 2**32,
    torch.float16: 2**11 + 1,
    torch.bfloat16: 2**8 + 1,
    torch.float32: 2**24 + 1,
    torch.float64: 2**32,
}


def _round_to_odd(x: np.ndarray) -> np.ndarray:
    """To float32 so that a later rounding to half or bfloat16 is as if from double: an inexact result ends in a 1."""
    x = np.asarray(x, np.float64)
    y = x.astype(np.float32)
    bits = y.view(np.uint32)
    inexact = y != x
    bits -= np.abs(y) > np.abs(x)
    bits |= inexact
    return y


def _integer(value: Any, what: str) -> int:
    try:
        number = int(value)
        if number == value:
            return number
    except (OverflowError, TypeError, ValueError):
        pass
    raise ArgumentError(f"{what} must be an integer, got {value!r}")


def _rounded(t: torch.Tensor, name: str, *values: float) -> list[float]:
    """The arguments of a draw as Torch7 passes them on for a tensor of this type."""
    rounding = _ROUND.get(t.dtype)
    if rounding is None:
        raise TensorTypeError(f"{name} needs a floating-point tensor to fill, got a {typename(t)}")
    return [rounding(value) for value in values]


def _need_type(t: torch.Tensor, name: str, *more: torch.dtype) -> None:
    if t.dtype not in _SPAN and t.dtype not in more:
        raise TensorTypeError(f"{name} cannot fill a {typename(t)}")


def _empty(size: Sequence[int], dtype: torch.dtype | str | None) -> torch.Tensor:
    dtype, device = (None, None) if dtype is None else parse_type(dtype)
    return torch.empty(tuple(size), dtype=dtype, device=device)


def _sizes(size: tuple) -> Sequence[int]:
    return size[0] if len(size) == 1 and isinstance(size[0], Sequence) else size


def _drawing(method: Callable) -> Callable[..., Any]:
    """Make a method that takes (tensor or None, arguments) callable with a tensor in front or without."""

    @functools.wraps(method)
    def draw(self: Generator, *args: Any, **named: Any) -> Any:
        if not (args and isinstance(args[0], torch.Tensor)):
            return method(self, None, *args, **named)
        t = args[0]
        method(self, t.detach() if t.requires_grad else t, *args[1:], **named)
        return t

    return draw


class _PyTorch:
    """PyTorch's own generator, for what PyTorch has no method for."""

    def word(self) -> int:
        return int(torch.randint(2**32, (), device="cpu"))

    def words(self, n: int) -> np.ndarray:
        return torch.randint(2**32, (n,), device="cpu").numpy()

    def normal(self) -> float:
        return torch.randn((), dtype=torch.float64, device="cpu").item()


@register("torch.Generator")
class Generator:
    """A random number generator with a stream of its own: Torch7's ``torch.Generator``.

    A new one draws from PyTorch's generator until it is seeded. The functions of this module are the methods of one
    such object, which luann's modules and optimisers draw from. It can be copied and pickled.
    """

    _twister: MersenneTwister | None = None  # None: PyTorch draws

    # Seeding

    def manualSeed(self, seed: int) -> None:
        """Start Torch7's stream of this seed: any integer, of which the low 32 bits count."""
        seed = _integer(seed, "the seed")
        if self._twister is None:
            self._twister = MersenneTwister(seed)
        else:
            self._twister.reseed(seed)

    def seed(self) -> int:
        """Start Torch7's stream of a seed taken from the system's entropy, and return that seed."""
        seed = int.from_bytes(os.urandom(4), "little")
        self.manualSeed(seed)
        return seed

    def initialSeed(self) -> int:
        """The seed that the stream was started with; an :class:`Error` while PyTorch's generator draws."""
        return self._seeded().seed

    def unseed(self) -> None:
        """Leave Torch7's stream: from now on PyTorch's generator draws, as it does before any seed is given."""
        self._twister = None

    def _seeded(self) -> MersenneTwister:
        if self._twister is None:
            raise Error(
                "there is no Torch7 stream, since PyTorch's generator draws: call manualSeed(n) or seed() first,"
                " or ask PyTorch (torch.initial_seed, torch.get_rng_state)"
            )
        return self._twister

    @property
    def state(self) -> bytes:
        """The state as the 5,048 bytes of Torch7's struct, which is also how a ``.t7`` file holds a generator.

        Reading raises an :class:`Error` while PyTorch's generator draws; writing starts Torch7's stream there.
        """
        return self._seeded().state

    @state.setter
    def state(self, raw: bytes) -> None:
        twister = MersenneTwister()
        twister.state = raw
        self._twister = twister

    def getRNGState(self) -> torch.Tensor:
        """The state as a ByteTensor of 5,048 elements; an :class:`Error` while PyTorch's generator draws."""
        return torch.frombuffer(bytearray(self.state), dtype=torch.uint8)

    def setRNGState(self, state: torch.Tensor) -> torch.Tensor:
        """Go on from a state that :meth:`getRNGState`, here or in Torch7, gave; returns it.

        Args:
            state: ByteTensor of 5,048 elements.
        """
        if not isinstance(state, torch.Tensor) or state.dtype != torch.uint8:
            raise TensorTypeError(f"a state is a torch.ByteTensor, got {typename(state) or type(state).__name__}")
        self.state = state.cpu().numpy().tobytes()
        return state

    @property
    def _source(self) -> MersenneTwister | _PyTorch:
        return self._twister or _PyTorch()

    def _fill(self, t: torch.Tensor, draw: Callable[[int], np.ndarray]) -> None:
        """Fill a tensor, in the order of its indices, with what ``draw(count)`` gives block after block."""
        n = t.numel()
        if t.dtype is torch.float16 or t.dtype is torch.bfloat16:
            wide = torch.empty(t.shape, dtype=torch.float32, device="cpu")
            self._fill(wide, lambda n: _round_to_odd(draw(n)))
            t.copy_(wide)
        elif not t.is_cpu or (n > _BLOCK and not t.is_contiguous()):
            host = torch.empty(t.shape, dtype=t.dtype, device="cpu")
            self._fill(host, draw)
            t.copy_(host)
        else:
            out = t.numpy()
            with np.errstate(over="ignore", invalid="ignore"):  # infinity, as in C
                if n <= _BLOCK:
                    out[...] = draw(n).reshape(out.shape)
                else:
                    flat = out.reshape(-1)
                    for start in range(0, n, _BLOCK):
                        stop = min(start + _BLOCK, n)
                        flat[start:stop] = draw(stop - start)
            torch.autograd.graph.increment_version(t)  # NumPy wrote behind PyTorch's back

    def _sample(self, t: torch.Tensor | None, formula: Callable[[Any, Any], Any]) -> Any:
        """One number, or a tensor full, of a formula of one uniform number in [0, 1)."""
        if t is None:
            return formula(self._source.word() * UNIT, SCALAR)
        return self._fill(t, lambda n: formula(self._source.words(n) * UNIT, ARRAY))

    # Draws

    @_drawing
    def uniform(self, t: torch.Tensor | None, a: float = 0.0, b: float = 1.0) -> Any:
        """``uniform([tensor,] a=0, b=1)``: numbers spread evenly from ``a`` (included) to ``b``."""
        if t is not None:
            a, b = _rounded(t, "uniform", a, b)
            if self._twister is None and a <= b:
                return t.uniform_(a, b)
        return self._sample(t, lambda u, _: u * (b - a) + a)

    @_drawing
    def normal(self, t: torch.Tensor | None, mean: float = 0.0, stdv: float = 1.0) -> Any:
        """``normal([tensor,] mean=0, stdv=1)``: normally distributed numbers; ``stdv`` must be positive."""
        if t is not None:
            mean, stdv = _rounded(t, "normal", mean, stdv)
        if not stdv > 0:
            raise ArgumentError(f"normal: the standard deviation must be positive, got {stdv}")
        if t is None:
            return self._source.normal() * stdv + mean
        twister = self._twister
        if twister is None:
            return t.normal_(mean, stdv)
        return self._fill(t, lambda n: twister.normals(n) * stdv + mean)

    @_drawing
    def logNormal(self, t: torch.Tensor | None, mean: float = 1.0, stdv: float = 2.0) -> Any:
        """``logNormal([tensor,] mean=1, stdv=2)``: ``exp`` of normal numbers of that mean and deviation."""
        if t is not None:
            mean, stdv = _rounded(t, "logNormal", mean, stdv)
        if not stdv > 0:
            raise ArgumentError(f"logNormal: the standard deviation must be positive, got {stdv}")
        if t is None:
            return SCALAR.exp(self._source.normal() * stdv + mean)
        twister = self._twister
        if twister is None:
            return t.log_normal_(mean, stdv)
        return self._fill(t, lambda n: ARRAY.exp(twister.normals(n) * stdv + mean))

    @_drawing
    def exponential(self, t: torch.Tensor | None, lambda_: float) -> Any:
        """``exponential([tensor,] lambda)``: density ``lambda * exp(-lambda * x)``; ``lambda`` must not be 0."""
        if t is not None:
            (lambda_,) = _rounded(t, "exponential", lambda_)
        if lambda_ == 0:
            raise ArgumentError("exponential: lambda must not be 0")
        if t is not None and self._twister is None and lambda_ > 0:
            return t.exponential_(lambda_)
        return self._sample(t, lambda u, m: -1 / lambda_ * m.log(1 - u))

    @_drawing
    def cauchy(self, t: torch.Tensor | None, median: float = 0.0, sigma: float = 1.0) -> Any:
        """``cauchy([tensor,] median=0, sigma=1)``: density ``sigma / (pi * (sigma² + (x - median)²))``."""
        if t is not None:
            median, sigma = _rounded(t, "cauchy", median, sigma)
            if self._twister is None and sigma > 0:
                return t.cauchy_(median, sigma)
        return self._sample(t, lambda u, m: median + sigma * m.tan(math.pi * (u - 0.5)))

    @_drawing
    def geometric(self, t: torch.Tensor | None, p: float) -> Any:
        """``geometric([tensor,] p)``: integers i from 1 on with probability ``(1 - p) * p**(i - 1)``; 0 < p < 1."""
        if not 0 < p < 1:
            raise ArgumentError(f"geometric: p must be between 0 and 1, got {p}")
        if t is not None:
            _need_type(t, "geometric")
            if self._twister is None and 1 - p < 1:
                return t.geometric_(1 - p)
        return self._sample(t, lambda u, m: m.trunc(m.log(1 - u) / math.log(p)) + 1)

    @_drawing
    def bernoulli(self, t: torch.Tensor | None, p: float | torch.Tensor = 0.5) -> Any:
        """``bernoulli([tensor,] p=0.5)``: 1 with probability ``p``, else 0.

        When filling, ``p`` may be a floating-point tensor with as many elements: the probability of each.
        """
        if t is not None:
            _need_type(t, "bernoulli", torch.bool)
        if isinstance(p, torch.Tensor):
            return self._bernoulli_each(t, p)
        if not 0 <= p <= 1:
            raise ArgumentError(f"bernoulli: p must be from 0 to 1, got {p}")
        limit = math.floor(p / UNIT)  # word * UNIT <= p, in integers
        if t is None:
            return int(self._source.word() <= limit)
        if self._twister is None:
            return t.bernoulli_(p)
        return self._fill(t, lambda n: self._source.words(n) <= limit)

    def _bernoulli_each(self, t: torch.Tensor | None, p: torch.Tensor) -> None:
        if t is None:
            raise ArgumentError("bernoulli: a tensor of probabilities needs a tensor to fill as first argument")
        if not p.is_floating_point():
            raise TensorTypeError(f"bernoulli: the probabilities must be floating-point numbers, got a {typename(p)}")
        if p.numel() != t.numel():
            raise ShapeError(f"bernoulli: {p.numel()} probabilities for a tensor of {t.numel()} elements")
        p = p.detach().reshape(t.shape)
        if not ((p >= 0) & (p <= 1)).all():
            raise ArgumentError("bernoulli: every probability must be from 0 to 1")
        if self._twister is None:
            t.bernoulli_(p.to(t.device))
        else:
            t.copy_(self.uniform(torch.empty(t.shape, dtype=torch.float64, device="cpu")) <= p.to("cpu", torch.float64))

    @_drawing
    def random(self, t: torch.Tensor | None, a: int | None = None, b: int | None = None) -> Any:
        """``random([tensor])``, ``random([tensor,] b)``, ``random([tensor,] a, b)``: integers.

        From 1 to ``b``, or from ``a`` to ``b``, both included. Without bounds, from 0 to 2³² - 1; a tensor gets numbers
        from 0 to 255 (Byte), 127 (Char), 2¹⁵ - 1 (Short), 2³¹ - 1 (Int), 2²⁴ (Float), 2¹¹ (Half) or 2⁸ (bfloat16).
        """
        if b is None and a is not None:
            a, b = 1, a
        if t is not None:
            _need_type(t, "random")
        if b is None:
            low, span = 0, 2**32 if t is None else _SPAN[t.dtype]
        else:
            low = _integer(a, "random: the lower bound")
            span = _integer(b, "random: the upper bound") - low + 1
            if span < 1:
                raise ArgumentError(f"random: the upper bound {b} is below the lower bound {a}")
        if t is None:
            return self._source.word() % span + low
        if self._twister is None:
            return t.copy_(torch.empty(t.shape, dtype=torch.int64, device=t.device).random_(low, low + span))
        if span >= 2**32:  # then no word is changed by the division
            return self._fill(t, lambda n: self._source.words(n) + low)
        return self._fill(t, lambda n: self._source.words(n) % span + low)

    # New tensors

    def rand(self, *size: int | Sequence[int], dtype: torch.dtype | str | None = None) -> torch.Tensor:
        """A new tensor of uniform numbers in [0, 1).

        Args:
            size: sizes, or one sequence of them.
            dtype: a floating-point dtype, or a type name such as ``'torch.FloatTensor'``; the default type if absent.
        """
        return self.uniform(_empty(_sizes(size), dtype))

    def randn(self, *size: int | Sequence[int], dtype: torch.dtype | str | None = None) -> torch.Tensor:
        """A new tensor of normal numbers with mean 0 and deviation 1; arguments as for :meth:`rand`."""
        return self.normal(_empty(_sizes(size), dtype))

    def randperm(self, n: int, dtype: torch.dtype | str | None = None) -> torch.Tensor:
        """The numbers 1 to ``n`` in random order, as a tensor of ``n`` elements.

        Args:
            n: how many; at least 1.
            dtype: any dtype, or a type name such as ``'torch.LongTensor'``; the default type if absent.
        """
        n = _integer(n, "randperm: n")
        if n < 1:
            raise ArgumentError(f"randperm: n must be positive, got {n}")
        out = _empty((n,), dtype)
        if self._twister is None:
            return out.copy_(torch.randperm(n, device="cpu") + 1)
        swaps = np.arange(n)
        swaps[:-1] += self._source.words(n - 1) % np.arange(n, 1, -1)
        return out.copy_(torch.from_numpy(_swapped(swaps) + 1))

    def multinomial(self, probs: torch.Tensor, n: int, replacement: bool = False) -> torch.Tensor:
        """Indices, counted from 1, drawn with given probabilities.

        Args:
            probs: floating-point vector, or matrix with one distribution per row; it need not sum to 1.
            n: how many to draw, per row.
            replacement: whether an index can be drawn again; if not, ``n`` must not be above the number of
                probabilities that are not zero.

        Returns:
            LongTensor of ``n`` indices, or one row of them for each row of ``probs``, on the device of ``probs``.
        """
        if probs.dtype not in _ROUND:
            raise TensorTypeError(f"multinomial: probs must be a floating-point tensor, got a {typename(probs)}")
        if probs.dim() not in (1, 2) or not probs.numel():
            raise ShapeError(f"multinomial: probs must be a vector or a matrix, not empty, got {list(probs.shape)}")
        n = _integer(n, "multinomial: n")
        if n < 1:
            raise ArgumentError(f"multinomial: n must be positive, got {n}")
        rows = probs.detach().to("cpu", torch.float64).numpy().reshape(-1, probs.shape[-1])
        if not (np.isfinite(rows) & (rows >= 0)).all():
            raise ArgumentError("multinomial: probs must be finite and not negative")
        available = np.count_nonzero(rows, 1).min()
        if available < (1 if replacement else n):
            raise ArgumentError(
                f"multinomial: cannot draw {n} from {available} probabilities that are not zero"
                + ("" if replacement else "; without replacement each is drawn once")
            )
        if self._twister is None:
            return torch.multinomial(probs.detach(), n, replacement) + 1
        cumulative = np.cumsum(rows, 1)
        cumulative /= cumulative[:, -1:].copy()
        cumulative[:, -1] = 1
        u = (self._source.words(len(rows) * n) * UNIT).reshape(-1, n)
        pick = np.searchsorted if replacement else _without_replacement
        indices = torch.from_numpy(np.stack([pick(row, draws) for row, draws in zip(cumulative, u, strict=True)]) + 1)
        return indices.reshape(*probs.shape[:-1], n).to(probs.device)

    def multinomialAlias(self, output: torch.Tensor, state: Sequence[torch.Tensor]) -> torch.Tensor:
        """Fill a LongTensor with indices, counted from 1, drawn with replacement; returns it.

        Args:
            output: the LongTensor, of any size.
            state: the tables that :func:`multinomialAliasSetup` made of the probabilities.
        """
        if not isinstance(output, torch.Tensor) or output.dtype is not torch.int64:
            raise TensorTypeError(f"multinomialAlias: output must be a torch.LongTensor, got a {typename(output)}")
        if len(state) != 2:
            raise ArgumentError(
                f"multinomialAlias: state must be what multinomialAliasSetup made, got {len(state)} entries"
            )
        alias, q = (table.detach().cpu().numpy() for table in state)
        u = (self._source.words(2 * output.numel()) * UNIT).reshape(-1, 2)
        drawn = (u[:, 0] * len(alias)).astype(np.int64)
        indices = np.where(u[:, 1] <= q[drawn].astype(np.float64), drawn + 1, alias[drawn])
        return output.copy_(torch.from_numpy(indices).view(output.shape))


def _swapped(swaps: np.ndarray) -> np.ndarray:
    """The numbers 0 .. n-1 after number i and number ``swaps[i]`` >= i changed places, for each i in turn.

    At place i ends up what lay at ``swaps[i]`` just before step i: what the last earlier step with that swap put there,
    namely what lay in its own place just before it, and so on back to a place that no step had touched.
    """
    n = len(swaps)
    steps = np.arange(n)
    by_place = np.sort(swaps << 32 | steps)
    place, step = by_place >> 32, by_place & 0xFFFFFFFF
    new = place[1:] != place[:-1]
    before = np.full(n, -1)  # the last earlier step with the same swap
    before[step[1:][~new]] = step[:-1][~new]
    last = np.append(new, True)
    source = steps.copy()  # the last step before i that swapped i; i itself if there is none
    source[place[last]] = step[last]
    source = np.where((swaps == steps) & (before >= 0), before, source)
    while True:
        further = source[source]
        if np.array_equal(further, source):
            return np.where(before >= 0, source[before], swaps)
        source = further


def _without_replacement(cumulative: np.ndarray, u: np.ndarray) -> np.ndarray:
    """The leftmost index whose cumulative probability reaches each of ``u``, each index taken out once drawn."""
    drawn = np.empty(len(u), np.int64)
    for step, target in enumerate(u):
        cumulative[-1] = 1
        drawn[step] = i = np.searchsorted(cumulative, target)
        mass = cumulative[i] - (cumulative[i - 1] if i else 0.0)
        if step + 1 == len(u):
            break
        if mass == 1:
            raise ArgumentError(f"multinomial: after {step + 1} draws what is left is too small to draw from")
        cumulative[i:] -= mass
        cumulative /= 1 - mass
    return drawn


generator = Generator()
"""The generator of everything that is not given one of its own."""

manualSeed = generator.manualSeed
seed = generator.seed
initialSeed = generator.initialSeed
unseed = generator.unseed
getRNGState = generator.getRNGState
setRNGState = generator.setRNGState
uniform = generator.uniform
normal = generator.normal
logNormal = generator.logNormal
exponential = generator.exponential
cauchy = generator.cauchy
geometric = generator.geometric
bernoulli = generator.bernoulli
random = generator.random
rand = generator.rand
randn = generator.randn
randperm = generator.randperm
multinomial = generator.multinomial
multinomialAlias = generator.multinomialAlias
multinomialAliasSetup = alias_state
