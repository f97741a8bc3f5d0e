"""Whether both sides compute the same."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tools.bench.workloads import Workload, build

TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-9}
"""How far a number may be off, relative to the largest of its kind: of all gradients, say."""

GRADIENTS = {torch.float32: 5e-2, torch.float64: 1e-8}
"""How far all gradients together may be off, in the Euclidean norm. Each kernel adds up floats in another order; what
that changes, a number near zero at a rectifier, or maxima of nearly equal numbers, turn into gradients that go another
way. PyTorch's own in float are 1e-2 off those in double (vgg). The same comparison in double shows that it is no more.
"""


class Differs(Exception):
    """The sides of a workload disagree."""


def _check_sizes(what: str, ours: list[Tensor], theirs: list[Tensor]) -> None:
    if [t.shape for t in ours] != [t.shape for t in theirs]:
        raise Differs(f"{what}: {len(ours)} tensors here, {len(theirs)} there, or of other sizes")


def _check(what: str, ours: list[Tensor], theirs: list[Tensor]) -> None:
    _check_sizes(what, ours, theirs)
    scale = max((t.abs().max().item() for t in theirs), default=0.0)
    worst = max(((a - b).abs().max().item() for a, b in zip(ours, theirs)), default=0.0)
    if not worst <= TOLERANCE[ours[0].dtype] * scale:
        raise Differs(f"{what}: off by {worst:.3g}, the largest number is {scale:.3g}")


def _check_gradients(ours: list[Tensor], theirs: list[Tensor]) -> None:
    _check_sizes("gradients", ours, theirs)
    mine, other = (torch.cat([t.flatten() for t in side]) for side in (ours, theirs))
    off, norm = (mine - other).norm().item(), other.norm().item()
    if not off <= GRADIENTS[mine.dtype] * norm:
        raise Differs(f"gradients: off by {off:.3g}, their norm is {norm:.3g}")


def check(workload: Workload, dtype: torch.dtype = torch.float32) -> tuple[Any, Any]:
    """Both sides after a comparison of outputs, losses, gradients and parameters after two steps.

    Raises:
        Differs: with the name of what is not the same.
    """
    ours, theirs = build(workload, dtype)
    if "flatten" in workload.modes:
        for side in (ours, theirs):
            side.update()
            side.update()
        _check("parameters", [ours.infer()], [theirs.infer()])
        return ours, theirs
    for side in (ours, theirs):
        side.mode(train=False)
    _check("output", [ours.infer()], [theirs.infer()])
    if "train" not in workload.modes:
        return ours, theirs
    for side in (ours, theirs):
        side.mode(train=True)
    for step in ("first", "second"):
        losses = [torch.tensor([side.train()], dtype=dtype) for side in (ours, theirs)]
        _check(f"loss of the {step} step", losses[:1], losses[1:])
        if step == "first" and ours.gradients():
            _check_gradients(ours.gradients(), theirs.gradients())
    with torch.no_grad():
        _check("parameters after two steps", ours.parameters(), theirs.parameters())
    return ours, theirs
