"""How fast .t7 files are loaded, beside torchfile (if it is installed) and a raw read of the same bytes.

    python tools/bench/t7.py                 # a table
    python tools/bench/t7.py --json          # the same for programs
    python tools/bench/t7.py --only numbers  # cases whose name has the word
    python tools/bench/t7.py --small         # a tenth of each, to try it out

The files are made with luann.save in a temporary folder, up to 200 MB. All loaders take turns on the same file, which
is in the system's cache then; the best time of each counts. "raw" reads all bytes into fresh memory, ``np.empty``;
"mmap" is ``luann.load(path, mmap=True)``, which leaves the numbers where they are.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch

import luann
from luann import nn

try:
    import torchfile
except ImportError:
    torchfile = None


def _model(scale: float) -> nn.Sequential:
    """A net of 200 MB with a storage for each parameter, and without gradients."""
    net = nn.Sequential()
    size = int(2048 * scale**0.5)
    for _ in range(12):
        layer = nn.Linear(size, size)
        layer.gradWeight = layer.gradBias = None
        net.add(layer).add(nn.Tanh())
    return net


def _flat(scale: float) -> nn.Sequential:
    """The same with all parameters in one storage."""
    net = _model(scale)
    net.flatten(net.parameters()[0])
    return net


CASES: dict[str, tuple[Callable[[float], Any], dict[str, float]]] = {
    # name: (what makes the object, goals: at most this multiple of the raw read, seconds with mmap, times torchfile)
    "model, 200 MB": (_model, {"raw": 1.1, "mmap": 0.005}),
    "model, 200 MB, one storage": (_flat, {"raw": 1.1, "mmap": 0.005}),
    "100k string keys": (lambda s: luann.Table((f"key{i}", i) for i in range(int(1e5 * s))), {"torchfile": 2.5}),
    "100k numbers": (lambda s: [i + 0.5 for i in range(int(1e5 * s))], {"torchfile": 8}),
    "100k small tables": (lambda s: [luann.Table(x=i, y=-i) for i in range(int(1e5 * s))], {"torchfile": 2}),
    "20k small tensors": (lambda s: [torch.rand(10) for _ in range(int(2e4 * s))], {}),
}


def _raw(path: str) -> Any:
    with open(path, "rb", buffering=0) as file:
        data = np.empty(os.fstat(file.fileno()).st_size, np.uint8)
        view, done = data.data, 0
        while done < len(view):
            done += file.readinto(view[done:])
    return data


LOADERS: dict[str, Callable[[str], Any]] = {
    "raw": _raw,
    "luann": luann.load,
    "mmap": lambda path: luann.load(path, mmap=True),
}
if torchfile is not None:
    LOADERS["torchfile"] = torchfile.load


def measure(path: str, rounds: int) -> dict[str, float]:
    """Seconds of each loader on a file: the best of as many rounds as it takes some time for."""
    best = {}
    for name, load in LOADERS.items():
        load(path)
        best[name] = float("inf")
    start = time.perf_counter()
    done = 0
    while done < rounds or (time.perf_counter() - start < 2 and done < 20 * rounds):
        for name, load in LOADERS.items():
            gc.collect()
            began = time.perf_counter()
            value = load(path)
            best[name] = min(best[name], time.perf_counter() - began)
            del value
        done += 1
    return best


def run(scale: float, only: str, rounds: int) -> list[dict[str, Any]]:
    """The results of all cases."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "bench.t7")
        for name, (make, goals) in CASES.items():
            if only in name:
                luann.save(path, make(scale))
                seconds = measure(path, rounds)
                to_raw = seconds["luann"] / seconds["raw"]
                to_torchfile = seconds["torchfile"] / seconds["luann"] if "torchfile" in seconds else None
                got = {"raw": to_raw, "mmap": seconds["mmap"], "torchfile": to_torchfile}
                results.append(
                    {
                        "case": name,
                        "bytes": os.path.getsize(path),
                        "seconds": seconds,
                        "luann_to_raw": to_raw,
                        "torchfile_to_luann": to_torchfile,
                        "goals": goals,
                        "met": {key: _is_met(key, got[key], goal) for key, goal in goals.items()},
                    }
                )
                print(f"{name} done", file=sys.stderr)
    return results


def _is_met(key: str, got: float | None, goal: float) -> bool | None:
    if got is None:
        return None
    return got >= goal if key == "torchfile" else got <= goal


def table(results: list[dict[str, Any]]) -> str:
    """The results as text."""
    names = list(LOADERS)
    rows = [["case", "MB", *(f"{name} ms" for name in names), "luann/raw", "torchfile/luann", "goals"]]
    for result in results:
        seconds = result["seconds"]
        faster = result["torchfile_to_luann"]
        told = {"raw": "≤ {:g}× raw", "mmap": "mmap ≤ {:g} s", "torchfile": "≥ {:g}× torchfile"}
        mark = {True: "yes", False: "NO", None: "?"}
        goals = [f"{told[key].format(goal)}: {mark[result['met'][key]]}" for key, goal in result["goals"].items()]
        rows.append(
            [
                result["case"],
                f"{result['bytes'] / 1e6:.1f}",
                *(f"{seconds[name] * 1000:.2f}" for name in names),
                f"{result['luann_to_raw']:.2f}",
                f"{faster:.2f}" if faster else "-",
                ", ".join(goals),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:-1], widths[1:-1]), row[-1]]) for row in rows
    )


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--only", default="", metavar="WORD", help="only cases whose name has this word")
    parser.add_argument("--rounds", type=int, default=7, help="how often each loader loads a file, at least")
    parser.add_argument("--small", action="store_true", help="a tenth of each case, to try it out")
    options = parser.parse_args()
    results = run(0.1 if options.small else 1, options.only, options.rounds)
    about = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "luann": luann.__version__,
        "torchfile": torchfile is not None,
        "cpus": os.cpu_count(),
    }
    print(json.dumps({**about, "results": results}, indent=1) if options.json else table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
