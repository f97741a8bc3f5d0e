"""One workload with one number of threads, in a process of its own: prints one JSON document."""

from __future__ import annotations

import json
import sys
from typing import Any

import torch

from tools.bench import torch7
from tools.bench.agree import check
from tools.bench.measure import memory, times
from tools.bench.workloads import Workload, everything


def measure(workload: Workload, seconds: float, least: int, with_memory: bool) -> dict[str, Any]:
    """Compare the sides, then time them, then measure memory. A dot on stderr shows that it goes on."""
    ours, theirs = check(workload)
    sides = {"luann": ours, "torch": theirs}
    form = theirs.tune() if hasattr(theirs, "train") and workload.modes != ("infer",) else {}
    lua = torch7.side(workload, ours)
    if lua is not None:
        sides["torch7"] = lua
    rounds = 0

    def tick() -> None:
        nonlocal rounds
        rounds += 1
        if rounds & (rounds - 1) == 0:
            print(".", end="", file=sys.stderr, flush=True)

    found: dict[str, Any] = {}
    for mode in workload.modes:
        found[mode] = {"seconds": times(sides, mode, seconds, least, tick)}
    if lua is not None:
        lua.close()
    del ours, theirs, sides
    if with_memory:
        for mode in workload.modes:
            found[mode]["bytes"] = memory(workload, mode)
    return {"workload": workload.name, "threads": torch.get_num_threads(), "sgd": form, "modes": found}


def main() -> None:
    """``worker NAME THREADS SECONDS SAMPLES MEMORY``."""
    name, threads, seconds, least, with_memory = sys.argv[1:]
    torch.set_num_threads(int(threads))
    result = measure(everything()[name], float(seconds), int(least), with_memory == "True")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
