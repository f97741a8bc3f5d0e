"""What a layer in a Sequential costs beyond its kernel."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from luann import nn
from luann.nn import _kernels as kernels

LAYERS = 200


def _fastest(run: Callable[[], object], seconds: float) -> float:
    """The 20th percentile of a run's seconds."""
    taken, begun = [], time.perf_counter()
    while len(taken) < 5 or time.perf_counter() - begun < seconds:
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return sorted(taken)[len(taken) // 5]


def overhead(seconds: float = 2) -> dict[str, float]:
    """Seconds per layer, forwards and backwards, of a Sequential of many Tanh on ten numbers.

    From the time of the whole that of as many calls of the kernel alone, into buffers that exist, is taken away.
    """
    torch.set_num_threads(1)
    net = nn.Sequential()
    for _ in range(LAYERS):
        net.add(nn.Tanh())
    x = torch.randn(1, 10)
    y, g = torch.empty(1, 10), torch.empty(1, 10)
    net.forward(x)
    tanh, backward = torch.tanh, kernels.tanh_backward

    def bare() -> None:
        for _ in range(LAYERS):
            tanh(x, out=y)

    def bare_backward() -> None:
        for _ in range(LAYERS):
            backward(x, y, grad_input=g)

    with torch.no_grad():
        alone = _fastest(bare, seconds), _fastest(bare_backward, seconds)
    whole = _fastest(lambda: net.forward(x), seconds), _fastest(lambda: net.backward(x, x), seconds)
    return {name: (a - b) / LAYERS for name, a, b in zip(("forward", "backward"), whole, alone)}
