"""The workloads: what is measured, on which inputs, and which ratios are wanted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

import luann
from tools.bench import nets
from tools.bench.layers import Both
from tools.bench.recurrent import VOCABULARY, Cells, LuannRnn, NativeRnn, Whole
from tools.bench.sides import Luann, LuannDirect, LuannFree, LuannFrozen, LuannLast, Native, NativeLast, NativeSparse
from tools.bench.vectors import LuannVector, NativeVector


@dataclass
class Workload:
    """Something that both sides do.

    Attributes:
        name: what it is called on the command line.
        ours, theirs: make a side, in the default type.
        modes: the methods of a side that are measured.
        goals: mode: the time, divided by PyTorch's, that is wanted.
        growth: whether it belongs to the workloads that show how times grow.
        t7: a module with input and target, which a Torch7 can run as well.
    """

    name: str
    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    modes: tuple[str, ...] = ("train", "infer")
    goals: dict[str, float] = field(default_factory=dict)
    growth: bool = False
    t7: bool = False


def images(n: int, planes: int, side: int, classes: int = 10) -> Callable[[], tuple]:
    """Makes images and their classes."""
    return lambda: (torch.randn(n, planes, side, side), torch.randint(1, classes + 1, (n,)))


def rows(n: int, size: int, classes: int = 10) -> Callable[[], tuple]:
    """Makes vectors and their classes."""
    return lambda: (torch.randn(n, size), torch.randint(1, classes + 1, (n,)))


def texts(n: int, length: int, words: int) -> Callable[[], tuple]:
    """Makes texts of words, which are numbers from 1, and their classes."""
    return lambda: (torch.randint(1, words + 1, (n, length)), torch.randint(1, 11, (n,)))


def _seeded(make: Callable[[], Any]) -> Callable[[], Any]:
    def seeded() -> Any:
        torch.manual_seed(1)
        return make()

    return seeded


def _net(
    name: str, net: Both, data: Callable[[], tuple], train: float = 0, infer: float = 0, *,
    modes: tuple[str, ...] = ("train", "infer"), growth: bool = False, t7: bool = True,
    kinds: tuple[Any, Any] = (Luann, Native),
) -> Workload:  # fmt: skip
    """A workload of a net with the criterion of classes. ``train`` and ``infer`` are the goals; ``t7`` is as in
    :class:`Workload`.
    """
    goals = {mode: goal for mode, goal in (("train", train), ("infer", infer)) if goal}

    def ours() -> Any:
        model = net.ours()
        return kinds[0](model.type(torch.get_default_dtype()), *_seeded(data)())

    return Workload(
        name, _seeded(ours), _seeded(lambda: kinds[1](net.theirs(), *_seeded(data)())), modes, goals, growth, t7
    )


def rnn(
    name: str, form: Any, steps: int = 50, batch: int = 50, size: int = 128, layers: int = 2, *,
    goal: float = 0, growth: bool = False, keep: bool = True,
) -> Workload:  # fmt: skip
    """A workload of char-rnn, beside one of PyTorch's forms; ``keep`` is for ``keepBuffers``."""

    def text() -> torch.Tensor:
        torch.manual_seed(1)
        return torch.randint(0, VOCABULARY, (steps + 1, batch))

    return Workload(
        name,
        lambda: LuannRnn(size, layers, batch, text(), keep),
        lambda: NativeRnn(form(size, layers), text()),
        goals={"train": goal} if goal else {},
        growth=growth,
    )


def vector(count: float) -> Workload:
    """A workload of about so many parameters, in 25 layers."""
    side = round((count / 25) ** 0.5)
    net = nets.mlp(*[side] * 26)
    name = f"parameters-1e{len(str(int(count))) - 1}"
    return Workload(
        name, lambda: LuannVector(net.ours()), lambda: NativeVector(net.theirs()), ("update", "flatten"), growth=True
    )


def everything() -> dict[str, Workload]:
    """All workloads by name, in the order of the report."""
    infer = ("infer",)
    last: dict[str, Any] = {"t7": False, "kinds": (LuannLast, NativeLast)}
    frozen: dict[str, Any] = {"modes": infer, "t7": False, "kinds": (LuannFrozen, Native)}
    free: dict[str, Any] = {"t7": False, "kinds": (LuannFree, Native)}
    mnist = (784, 512, 512, 10)
    found = [
        _net("tiny", nets.tiny(), rows(1, 10), 0.27, 0.42),
        _net("mlp-1", nets.mlp(*mnist), rows(1, 784), 0.75),
        _net("mlp-32", nets.mlp(*mnist), rows(32, 784), 0.70, 0.60),
        _net("mlp-128", nets.mlp(*mnist), rows(128, 784), 0.60, 0.50),
        _net("lenet-1", nets.lenet(), images(1, 1, 28), 0.48),
        _net("lenet-32", nets.lenet(), images(32, 1, 28), 0.65, 0.45),
        _net("lenet-128", nets.lenet(), images(128, 1, 28), 0.65),
        _net("demo-32", nets.demo(), images(32, 1, 32), 0.70),
        _net("demo-128", nets.demo(), images(128, 1, 32), 0.70),
        _net("vgg-32", nets.vgg(), images(32, 3, 32), 0.75, 0.65),
        _net("resnet20-32", nets.resnet20(), images(32, 3, 32), 0.80, 1.0),
        _net("alexnet-1", nets.alexnet(), images(1, 3, 224, 1000), infer=0.80, modes=infer),
        _net("alexnet-4", nets.alexnet(), images(4, 3, 224, 1000), infer=0.80, modes=infer),
        _net("resnet18-1", nets.resnet18(), images(1, 3, 224, 1000), modes=infer),
        _net("resnet18-4", nets.resnet18(), images(4, 3, 224, 1000), modes=infer),
        _net("vgg-32-last", nets.vgg(), images(32, 3, 32), 0.75, 0.65, **last),
        _net("resnet20-32-last", nets.resnet20(), images(32, 3, 32), 0.80, 1.0, **last),
        _net("lenet-128-free", nets.lenet(), images(128, 1, 28), **free),
        _net("demo-128-free", nets.demo(), images(128, 1, 32), **free),
        _net("vgg-32-free", nets.vgg(), images(32, 3, 32), **free),
        _net("resnet20-32-free", nets.resnet20(), images(32, 3, 32), **free),
        _net("lenet-32-frozen", nets.lenet(), images(32, 1, 28), infer=0.45, **frozen),
        _net("vgg-32-frozen", nets.vgg(), images(32, 3, 32), infer=0.65, **frozen),
        _net("resnet20-32-frozen", nets.resnet20(), images(32, 3, 32), **frozen),
        _net("alexnet-1-frozen", nets.alexnet(), images(1, 3, 224, 1000), infer=0.80, **frozen),
        _net("resnet18-1-frozen", nets.resnet18(), images(1, 3, 224, 1000), infer=0.55, **frozen),
        _net("resnet18-4-frozen", nets.resnet18(), images(4, 3, 224, 1000), infer=0.55, **frozen),
        _net("text-64", nets.text(), texts(64, 50, 100_000), 0.28),
        _net(
            "text-64-sparse", nets.text(sparse=True), texts(64, 50, 100_000), modes=("train",),
            kinds=(LuannDirect, NativeSparse),
        ),
        rnn("char-rnn", Cells, goal=0.80),
        rnn("char-rnn-lstm", Whole),
        rnn("char-rnn-free", Cells, goal=0.80, keep=False),
        rnn("char-rnn-lstm-free", Whole, keep=False),
        *(_net(f"mlp-width-{w}", nets.mlp(w, w, w, 10), rows(32, w), growth=True) for w in (16, 64, 256, 1024, 4096)),
        *(_net(f"depth-{n}", nets.deep(n), rows(1, 10), growth=True) for n in (10, 100, 1000)),
        *(rnn(f"length-{n}", Cells, n, layers=1, growth=True) for n in (5, 25, 125)),
        *(vector(10**e) for e in range(4, 9)),
    ]  # fmt: skip
    return {workload.name: workload for workload in found}


def build(workload: Workload, dtype: torch.dtype = torch.float32) -> tuple[Any, Any]:
    """Both sides, with the same parameters."""
    luann.setdefaulttensortype({torch.float32: "torch.FloatTensor", torch.float64: "torch.DoubleTensor"}[dtype])
    ours, theirs = workload.ours(), workload.theirs()
    same(ours, theirs)
    return ours, theirs


def same(ours: Any, theirs: Any) -> None:
    """Give the second side the parameters of the first."""
    with torch.no_grad():
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            other.copy_(mine)
