"""luann beside native PyTorch (and Torch7): time and memory of whole workloads.

    python -m tools.bench                     # everything: about half an hour
    python -m tools.bench lenet vgg           # workloads whose names begin so
    python -m tools.bench --quick             # few samples, to see that it works
    python -m tools.bench --list              # the names

README.md beside this file tells what is measured, and how.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

import luann
from tools.bench import report, torch7
from tools.bench.overhead import overhead
from tools.bench.workloads import everything

ROOT = Path(__file__).parents[2]


def about() -> dict[str, Any]:
    """What the numbers depend on."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "luann": luann.__version__,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "torch7": torch7.command() is not None,
    }


def run(name: str, threads: int, seconds: float, least: int, memory: bool) -> dict[str, Any]:
    """A workload in a fresh process: nothing of the one before is left in memory."""
    arguments = [sys.executable, "-m", "tools.bench.worker", name, threads, seconds, least, memory]
    settings = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "KINETO_LOG_LEVEL": "99"}
    done = subprocess.run(
        [str(a) for a in arguments], cwd=ROOT, env=os.environ | settings, stdout=subprocess.PIPE, check=False
    )
    if done.returncode:
        raise SystemExit(f"\n{name} failed; see above")
    return json.loads(done.stdout.splitlines()[-1])


def chosen(words: list[str]) -> list[str]:
    """The names that begin with one of the words; all of them without a word."""
    known = everything()
    for word in words:
        if word != "overhead" and not any(name.startswith(word) for name in known):
            raise SystemExit(f"no workload begins with {word!r}; there are overhead, {', '.join(known)}")
    return [name for name in known if not words or any(name.startswith(word) for word in words)]


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description=__doc__.partition("\n")[0])
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help="beginnings of names; default: everything")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    parser.add_argument("--quick", action="store_true", help="few samples and one thread: to see that it works")
    parser.add_argument("--threads", default="1,2", help="numbers of threads, by commas (default 1,2)")
    parser.add_argument("--seconds", type=float, default=4, help="how long each mode is timed (default 4)")
    parser.add_argument("--samples", type=int, default=15, help="samples of each side at least (default 15)")
    parser.add_argument("--json", metavar="FILE", help="write the results there as well")
    options = parser.parse_args()
    names = chosen(options.workloads)
    if options.list:
        print("\n".join(["overhead", *names]))
        return 0
    if options.quick:
        options.threads, options.seconds, options.samples = "1", 0.2, 3
    counts = [int(n) for n in options.threads.split(",")]
    known, results = everything(), []
    print(", ".join(f"{key} {value}" for key, value in about().items()))
    print(report.HEAD, flush=True)
    total = len(names) * len(counts)
    for i, (name, threads) in enumerate(((n, t) for n in names for t in counts), 1):
        print(f"\r[{i}/{total}] {name}", end=" ", file=sys.stderr, flush=True)
        result = run(name, threads, options.seconds, options.samples, threads == counts[0])
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        print("\n".join(report.lines(result, known[name].goals)), flush=True)
        results.append(result)
    found = {"about": about(), "results": results}
    if not options.workloads or "overhead" in options.workloads:
        found["overhead"] = overhead(0.2 if options.quick else 2)
        for key, value in found["overhead"].items():
            print(f"overhead of a layer, {key}: {value * 1e6:.2f} µs")
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
