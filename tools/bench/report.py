"""What the command prints: a line per workload and mode."""

from __future__ import annotations

from typing import Any

HEAD = f"{'':24}{'threads':>8}{'luann':>11}{'torch':>11}{'Torch7':>11}{'p20':>7}{'median':>8}{'goal':>11}{'memory':>18}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for unit, factor in (("s", 1), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def ratios(mode: dict[str, Any]) -> dict[str, float]:
    """luann's time divided by PyTorch's, of the 20th percentiles and of the medians."""
    seconds = mode["seconds"]
    return {which: seconds["luann"][which] / seconds["torch"][which] for which in ("p20", "median")}


def lines(result: dict[str, Any], goals: dict[str, float]) -> list[str]:
    """The lines of a worker's result. ``goals`` are those for one thread."""
    found = []
    for name, mode in result["modes"].items():
        seconds, ratio = mode["seconds"], ratios(mode)
        shown = [_time(seconds[side]["p20"] if side in seconds else None) for side in ("luann", "torch", "torch7")]
        goal = goals.get(name) if result["threads"] == 1 else None
        told = "" if goal is None else f"≤ {goal:.2f} {'yes' if ratio['p20'] <= goal else 'NO'}"
        memory = ""
        if "bytes" in mode:
            mine, theirs = (mode["bytes"][side] / 1e6 for side in ("luann", "torch"))
            memory = f"{mine:.3g} / {theirs:.3g} MB"
        found.append(
            f"{result['workload'] + ', ' + name:24}{result['threads']:>8}" + "".join(f"{s:>11}" for s in shown)
            + f"{ratio['p20']:>7.2f}{ratio['median']:>8.2f}{told:>11}{memory:>18}"
        )  # fmt: skip
    return found
