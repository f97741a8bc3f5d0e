"""The main job, on real files: what Torch7 saved is loaded and gives Torch7's numbers; a Lua script, ported, trains.

``make demo`` runs it.
"""

from __future__ import annotations

import csv
import os
import runpy
import sys
from pathlib import Path

import torch

import luann
from luann import optim

HERE = Path(__file__).resolve().parent
REFERENCE = HERE.parents[1] / "compat_tests" / "reference"


def relative(got, wanted) -> float:
    """The largest difference between two tensors, numbers or lists of them, relative to the largest wanted value."""
    if isinstance(wanted, list):
        return max(relative(g, w) for g, w in zip(got, wanted, strict=True))
    got, wanted = torch.as_tensor(got), torch.as_tensor(wanted)
    return float((got - wanted).abs().max() / wanted.abs().max())


def saved_net() -> None:
    """A net that Torch7 saved: its tree, and its numbers beside those that Torch7 recorded."""
    record = luann.load(REFERENCE / "networks" / "lenet.t7")[0]
    model = record.module
    print("1. A net that Torch7 saved (compat_tests/reference/networks/lenet.t7)\n")
    print(model)
    output = model.forward(record.input)
    model.zeroGradParameters()
    gradInput = model.backward(record.input, record.gradOutput)
    print("\nlargest relative difference from what Torch7 computed with it:")
    print(f"   outputs              {relative(output, record.output):.1e}")
    print(f"   input gradients      {relative(gradInput, record.gradInput):.1e}")
    print(f"   parameter gradients  {relative(model.parameters()[1], record.gradParams):.1e}")


def recorded_training() -> None:
    """Training steps that Torch7 recorded, repeated."""
    print("\n2. Training that Torch7 recorded, repeated (compat_tests/reference/optim/sgd.t7)\n")
    print("   optim.sgd                steps   last loss, Torch7    last loss, luann     largest relative difference")
    for record in luann.load(REFERENCE / "optim" / "sgd.t7"):
        if record.problem != "network":
            continue
        task = record.data
        x, grad = task.module.getParameters()
        x.copy_(task.start)

        def feval(_, task=task, grad=grad):
            grad.zero_()
            loss = task.criterion.forward(task.module.forward(task.input), task.target)
            task.module.backward(task.input, task.criterion.backward(task.module.output, task.target))
            return loss, grad

        state = luann.Table()
        losses = [optim.sgd(feval, x, record.config, state)[1][0] for _ in record.f]
        wanted = [f[0] for f in record.f]
        worst = max(abs(a - b) / abs(b) for a, b in zip(losses, wanted, strict=True))
        print(f"   {record.name:22} {len(losses):7}   {wanted[-1]:.15f}    {losses[-1]:.15f}    {worst:.1e}")


def digits() -> None:
    """The ported training script, and Torch7's own log of it where there is one."""
    print("\n3. A training script, ported line by line (porting_guide/digits: train.lua, train.py)\n")
    os.chdir(HERE)
    runpy.run_path("train.py")
    recorded = HERE / "torch7"
    if not (recorded / "losses.csv").exists():
        print(
            "\nTorch7's own log of this run is not here; where a Torch7 is installed, `th train.lua` in"
            "\nporting_guide/digits records it, and this demo then shows it beside."
        )
        return
    for ours, theirs in zip(_rows("run/epochs.csv"), _rows(recorded / "epochs.csv"), strict=True):
        print(f"epoch {ours[0]}: test accuracy {float(ours[2]):.4f}, in Torch7 {float(theirs[2]):.4f}")
    pairs = list(zip(_rows("run/losses.csv"), _rows(recorded / "losses.csv"), strict=True))
    worst = max(abs(float(a[-1]) - float(b[-1])) / abs(float(b[-1])) for a, b in pairs)
    print(f"largest relative difference over all {len(pairs)} losses: {worst:.1e}\n")
    sys.argv = ["evaluate.py", str(recorded / "model.t7")]
    runpy.run_path("evaluate.py")


def _rows(path: str | Path) -> list[list[str]]:
    with open(path) as file:
        return list(csv.reader(file))


if __name__ == "__main__":
    torch.set_num_threads(1)
    saved_net()
    recorded_training()
    digits()
