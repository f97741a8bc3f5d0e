"""A training that stops after its second epoch and goes on from a .t7 checkpoint equals one that never stopped.

The net, the data and the optimiser are those of porting_guide/digits.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import luann
from luann import nn, optim

DIGITS = Path(__file__).parents[1] / "porting_guide" / "digits" / "digits.csv"
EXAMPLES, BATCH, EPOCHS, STOP = 1500, 32, 4, 2
BATCHES = math.ceil(EXAMPLES / BATCH)  # of an epoch


def create_model():
    model = nn.Sequential()
    model.add(nn.SpatialConvolution(1, 8, 3, 3, 1, 1, 1, 1)).add(nn.SpatialBatchNormalization(8)).add(nn.ReLU())
    model.add(nn.SpatialMaxPooling(2, 2)).add(nn.SpatialConvolution(8, 16, 3, 3)).add(nn.Tanh())
    model.add(nn.View(16 * 2 * 2)).add(nn.Dropout(0.2)).add(nn.Linear(16 * 2 * 2, 32))
    model.add(nn.BatchNormalization(32)).add(nn.Threshold(0, 0)).add(nn.Linear(32, 10)).add(nn.LogSoftMax())
    return model


def begin(method="sgd", dtype="torch.DoubleTensor"):
    """A checkpoint from before the first epoch."""
    luann.setdefaulttensortype(dtype)
    luann.manualSeed(1)
    config = {
        "sgd": luann.Table(learningRate=0.05, learningRateDecay=1e-3, momentum=0.9, weightDecay=1e-4),
        "adam": luann.Table(learningRate=0.01),
    }[method]
    return {
        "model": create_model(),
        "method": method,
        "optimState": config,
        "confusion": optim.ConfusionMatrix(10),
        "epoch": 0,
        "rng": luann.getRNGState(),
    }


def train(checkpoint, until):
    """Train until an epoch is done; changes the checkpoint, and returns the losses of all its batches."""
    rows = np.loadtxt(DIGITS, delimiter=",", max_rows=EXAMPLES)
    data = torch.tensor(rows[:, :-1], dtype=torch.get_default_dtype()).view(-1, 1, 8, 8) / 16
    targets = torch.tensor(rows[:, -1] + 1)
    model, confusion = checkpoint["model"], checkpoint["confusion"]
    parameters, gradParameters = model.getParameters()
    criterion = nn.ClassNLLCriterion()
    step = getattr(optim, checkpoint["method"])
    luann.setRNGState(checkpoint["rng"])
    losses = []
    while checkpoint["epoch"] < until:
        model.training()
        for chosen in (luann.random.randperm(EXAMPLES).long() - 1).split(BATCH):

            def feval(x, chosen=chosen):
                gradParameters.zero_()
                outputs = model.forward(data[chosen])
                loss = criterion.forward(outputs, targets[chosen])
                model.backward(data[chosen], criterion.backward(outputs, targets[chosen]))
                confusion.batchAdd(outputs, targets[chosen])
                return loss, gradParameters

            losses.append(step(feval, parameters, checkpoint["optimState"])[1][0])
        checkpoint["epoch"] += 1
    checkpoint["rng"] = luann.getRNGState()
    return losses


def same(a, b):
    """Whether two models have the same parameters and running state, to the last bit."""
    return all(
        torch.equal(x, y)
        for m, n in zip(a.listModules(), b.listModules(), strict=True)
        for name, x in vars(m).items()
        if name in ("weight", "bias", "running_mean", "running_var")
        for y in [getattr(n, name)]
    )


@pytest.mark.parametrize("method, dtype", [("sgd", "Double"), ("sgd", "Float"), ("adam", "Double")])
def test_a_training_continues_from_its_checkpoint_bit_for_bit(method, dtype, tmp_path):
    whole = begin(method, f"torch.{dtype}Tensor")
    losses = train(whole, EPOCHS)

    first = begin(method, f"torch.{dtype}Tensor")
    before = train(first, STOP)
    luann.save(tmp_path / "checkpoint.t7", first)
    del first
    luann.random.unseed()
    torch.manual_seed(99)

    second = luann.load(tmp_path / "checkpoint.t7")
    after = train(second, EPOCHS)
    assert before + after == losses and len(after) == (EPOCHS - STOP) * BATCHES
    assert same(whole["model"], second["model"])
    assert str(second["confusion"]) == str(whole["confusion"])
    assert torch.equal(whole["rng"], second["rng"])
    assert losses[-1] < losses[0] / 2


def test_without_the_state_of_the_generator_it_differs():
    """What the test above rests on: the checkpoint's own state, not what lives on in the process."""
    losses = train(begin(), STOP + 1)
    first = begin()
    train(first, STOP)
    luann.manualSeed(7)
    first["rng"] = luann.getRNGState()
    assert train(first, STOP + 1) != losses[-BATCHES:]


def test_it_continues_in_another_process(tmp_path):
    losses = train(begin(), STOP + 1)
    first = begin()
    train(first, STOP)
    luann.save(tmp_path / "checkpoint.t7", first)
    script = (
        "import sys, luann, test_continue as t, torch; torch.set_num_threads(1);"
        "luann.setdefaulttensortype('torch.DoubleTensor');"
        "print([x.hex() for x in t.train(luann.load(sys.argv[1]), t.STOP + 1)])"
    )
    arguments = [sys.executable, "-c", script, str(tmp_path / "checkpoint.t7")]
    here = Path(__file__).parent
    path = os.pathsep.join([str(here.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(arguments, cwd=here, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str([x.hex() for x in losses[-BATCHES:]])
