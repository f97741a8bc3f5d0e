"""A step of each optimiser beside its counterpart in ``torch.optim``: time and memory.

    python tools/bench/optim.py [parameters] [--device cuda]

Both work on vectors of the same floats, with a gradient that is there already, and take turns within one run;
``torch.optim`` chooses for itself between its loops and its fused kernels. Times are the median and, in brackets, the
least of the steps. Extra memory is the peak during the first two steps above what was there before, and beside it what
the state holds after them. On the CPU it is the peak of the resident memory, which Linux tells; with less than ten
million parameters it can be too low, because memory that the C library has kept is used again. ``OMP_NUM_THREADS``
sets the number of threads.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import re
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from luann import optim

MOMENTUM = {"momentum": 0.9, "dampening": 0}
LBFGS = {"maxIter": 4, "nCorrection": 5, "tolFun": 0, "tolX": 0}
TORCH_LBFGS = {"max_iter": 4, "history_size": 5, "tolerance_grad": 0, "tolerance_change": 0}
# name: method, its config, the class of torch.optim, its settings
METHODS: dict[str, tuple[Callable, dict, Any, dict]] = {
    "sgd": (optim.sgd, {}, torch.optim.SGD, {}),
    "sgd, momentum": (optim.sgd, MOMENTUM, torch.optim.SGD, {"momentum": 0.9}),
    "sgd, nesterov": (optim.sgd, MOMENTUM | {"nesterov": True}, torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "adam": (optim.adam, {}, torch.optim.Adam, {}),
    "adam, weight decay": (optim.adam, {"weightDecay": 1e-4}, torch.optim.Adam, {"weight_decay": 1e-4}),
    "adamax": (optim.adamax, {}, torch.optim.Adamax, {}),
    "adagrad": (optim.adagrad, {}, torch.optim.Adagrad, {}),
    "adadelta": (optim.adadelta, {}, torch.optim.Adadelta, {}),
    "rmsprop": (optim.rmsprop, {}, torch.optim.RMSprop, {}),
    "rprop": (optim.rprop, {"stepsize": 1e-2}, torch.optim.Rprop, {}),
    "nag": (optim.nag, {}, torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "asgd": (optim.asgd, {}, torch.optim.ASGD, {}),
    "lbfgs, 4 iterations": (optim.lbfgs, LBFGS, torch.optim.LBFGS, TORCH_LBFGS),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parameters", nargs="?", type=lambda text: int(float(text)), default=10_000_000)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=15, help="steps of each that are timed (default 15)")
    options = parser.parse_args()
    device = torch.device(options.device)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"{options.parameters:,} floats, PyTorch {torch.__version__}, {where}\n")
    print(f"{'':20}  {'milliseconds per step':^35}    {'extra memory (state), MB':^33}")
    print(f"{'':20}  {'luann':>15}  {'torch.optim':>15}  ratio    {'luann':>15}  {'torch.optim':>15}")
    for name in METHODS:
        print(f"{name:20}  {compare(name, options.parameters, device, options.steps)}", flush=True)


def compare(name: str, n: int, device: torch.device, steps: int) -> str:
    """A line of the table."""
    method, config, counterpart, settings = METHODS[name]
    start = torch.rand(n, device=device)
    g = torch.randn(n, device=device)
    state: dict[str, Any] = {}
    x = start.clone()
    parameter = torch.nn.Parameter(start)
    parameter.grad = g.clone()
    optimizer = counterpart([parameter], **settings)
    several = counterpart is torch.optim.LBFGS  # evaluates more than once; its gradient is that of a quadratic
    curvature = torch.rand(n, device=device).add_(0.5) if several else None
    falling = itertools.count(0.0, -1.0)

    def feval(point: Tensor) -> tuple[float, Tensor]:
        if curvature is not None:
            torch.mul(point, curvature, out=g)
        return next(falling), g

    def closure() -> float:
        torch.mul(parameter.detach(), curvature, out=parameter.grad)
        return next(falling)

    def ours() -> None:
        method(feval, x, config, state)

    def theirs() -> None:
        optimizer.step(closure if several else None)

    memory = [f"{_text(peak(run, device))} ({size(held()) / 1e6:.0f})" for run, held in (
        (ours, lambda: state.values()), (theirs, lambda: optimizer.state[parameter].values())
    )]  # fmt: skip
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(steps):
        for run, taken in zip((ours, theirs), times):
            begun = time.perf_counter()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            taken.append(1e3 * (time.perf_counter() - begun))
    medians = [statistics.median(taken) for taken in times]
    shown = [f"{median:.2f} ({min(taken):.2f})" for median, taken in zip(medians, times)]
    return f"{shown[0]:>15}  {shown[1]:>15}  {medians[0] / medians[1]:5.2f}    {memory[0]:>15}  {memory[1]:>15}"


def peak(run: Callable[[], None], device: torch.device) -> float | None:
    """By how many bytes memory grows at most in two runs; ``None`` where nobody tells."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        run()
        return torch.cuda.max_memory_allocated(device) - before
    told = _resident("VmRSS")
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    except OSError:
        told = None
    run()
    run()
    highest = _resident("VmHWM")
    return None if told is None or highest is None else highest - told


def _resident(field: str) -> float | None:
    try:
        found = re.search(rf"^{field}:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    except OSError:
        return None
    return 1024.0 * int(found[1]) if found else None


def _text(bytes_: float | None) -> str:
    return "?" if bytes_ is None else f"{bytes_ / 1e6:.0f}"


def size(values: Iterable[Any]) -> int:
    """Bytes of all storages that tensors in these values, and in lists among them, lie in."""
    storages = {}
    for value in values:
        for tensor in value if isinstance(value, list) else [value]:
            if isinstance(tensor, Tensor):
                storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
    return sum(storages.values())


if __name__ == "__main__":
    main()
