"""The worked port in porting_guide/digits: what it computes, and Torch7's own run of it where that was recorded."""

import csv
import math
import runpy
import shutil
import sys
from pathlib import Path

import pytest
import torch

import luann
from luann import optim

DIGITS = Path(__file__).parents[1] / "porting_guide" / "digits"
RECORDED = DIGITS / "torch7"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder and the variables of a run of train.py."""
    folder = tmp_path_factory.mktemp("digits")
    for name in ("digits.csv", "train.py", "evaluate.py"):
        shutil.copy(DIGITS / name, folder)
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        names = runpy.run_path("train.py")
    torch.set_default_dtype(dtype)
    torch.set_num_threads(threads)
    return folder, names


def losses(path):
    with open(path) as file:
        return [float(row[-1]) for row in csv.reader(file)]


class TwinDropout(torch.nn.Module):
    """Dropout whose noise comes from Torch7's stream."""

    def forward(self, x):
        return x * luann.random.bernoulli(torch.empty(x.shape), 0.8) / 0.8


def twin(model):
    """The net of train.py in torch.nn, with the same weights."""
    t = torch.nn
    net = t.Sequential(
        t.Conv2d(1, 8, 3, padding=1), t.BatchNorm2d(8), t.ReLU(), t.MaxPool2d(2), t.Conv2d(8, 16, 3), t.Tanh(),
        t.Flatten(), TwinDropout(), t.Linear(64, 32), t.BatchNorm1d(32), t.ReLU(), t.Linear(32, 10), t.LogSoftmax(1),
    )  # fmt: skip
    with torch.no_grad():
        for mine, theirs in zip(net.parameters(), model.parameters()[0], strict=True):
            mine.copy_(theirs)
    return net


def test_all_losses_equal_those_of_plain_pytorch_with_autograd(run):
    """An independent computation of the same training: torch.nn, autograd and torch.optim, fed from the same stream."""
    folder, names = run
    torch.set_default_dtype(torch.float64)
    opt = names["opt"]
    luann.manualSeed(opt.seed)
    net = twin(names["createModel"]())
    sgd = torch.optim.SGD(net.parameters(), lr=1, momentum=0.9, dampening=0.9, weight_decay=opt.weightDecay)
    wanted = []
    for _ in range(opt.epochs):
        order = luann.random.randperm(opt.trainSize).long() - 1
        for chosen in order.split(opt.batchSize):
            sgd.param_groups[0]["lr"] = opt.learningRate / (1 + len(wanted) * opt.learningRateDecay)
            sgd.zero_grad()
            loss = torch.nn.functional.nll_loss(net(names["data"][chosen]), names["targets"][chosen].long() - 1)
            loss.backward()
            sgd.step()
            wanted.append(loss.item())
    got = losses(folder / "run" / "losses.csv")
    assert len(got) == 235
    assert max(abs(a - b) / b for a, b in zip(got, wanted, strict=True)) < 1e-8


def test_port_stands_beside_the_script_line_by_line():
    lua, python = ((DIGITS / name).read_text().splitlines() for name in ("train.lua", "train.py"))
    assert len(lua) == len(python)
    without_counterpart = {"", "end", "local tested"}
    assert all((line.strip() in without_counterpart) == (not port) for line, port in zip(lua, python))


def test_it_learns(run):
    folder, _ = run
    with open(folder / "run" / "epochs.csv") as file:
        tested = [float(row[2]) for row in csv.reader(file)]
    assert len(tested) == 5
    assert tested[-1] > 0.85


def test_checkpoint_and_model_reload(run):
    folder, names = run
    checkpoint = luann.load(folder / "run" / "checkpoint.t7")
    assert checkpoint.optimState.evalCounter == 235
    assert isinstance(checkpoint.confusion, optim.ConfusionMatrix)
    assert checkpoint.opt == names["opt"]
    flat = checkpoint.model.getParameters()[0]
    assert torch.equal(flat, names["parameters"])


def test_evaluate_prints_the_accuracy_of_the_trained_net(run, monkeypatch, capsys):
    folder, _ = run
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["evaluate.py"])
    runpy.run_path("evaluate.py")
    with open(folder / "run" / "epochs.csv") as file:
        last = list(csv.reader(file))[-1]
    accuracy, difference = capsys.readouterr().out.splitlines()[-2:]
    assert accuracy == f"test accuracy {float(last[2]):.4f}"
    assert difference == "largest difference from the outputs that were saved with it: 0"


needs_recording = pytest.mark.skipif(
    not (RECORDED / "losses.csv").exists(),
    reason="porting_guide/digits/torch7, a recorded run of train.lua, is not there",
)


@needs_recording
def test_initial_net_equals_torch7s_bit_for_bit(run):
    _, names = run
    luann.setdefaulttensortype("torch.DoubleTensor")
    luann.manualSeed(1)
    ours = names["createModel"]()
    theirs = luann.load(RECORDED / "initial.t7")
    for a, b in zip(ours.parameters()[0], theirs.parameters()[0], strict=True):
        assert torch.equal(a, b)


@needs_recording
def test_losses_equal_torch7s(run):
    folder, _ = run
    wanted = losses(RECORDED / "losses.csv")
    got = losses(folder / "run" / "losses.csv")
    assert all(math.isclose(a, b, rel_tol=1e-8) for a, b in zip(got, wanted, strict=True))


@needs_recording
def test_trained_net_gives_torch7s_outputs(run):
    _, names = run
    model = luann.load(RECORDED / "model.t7")
    model.evaluate()
    wanted = luann.load(RECORDED / "outputs.t7")
    torch.testing.assert_close(model.forward(names["data"][1500:]), wanted, rtol=1e-10, atol=1e-12)
