"""The progress bar, and nn.StochasticGradient's use of it."""

from __future__ import annotations

import io
import itertools
import sys
from pathlib import Path

import torch

import luann
from luann import nn

REFERENCE = Path(__file__).parent / "reference"


def terminal(monkeypatch, isatty=True):
    """What is written on standard error, as if it were a terminal; each call draws."""
    text = io.StringIO()
    monkeypatch.setattr(text, "isatty", lambda: isatty, raising=False)
    monkeypatch.setattr(sys.modules["luann.progress"], "_INTERVAL", -1)
    monkeypatch.setattr(sys, "stderr", text)
    return text


def train(verbose=True):
    trainer = nn.StochasticGradient(nn.Linear(1, 1), nn.MSECriterion())
    trainer.maxIteration, trainer.verbose = 2, verbose
    trainer.train([(torch.ones(1), torch.ones(1))] * 3)


def test_a_bar_grows_and_disappears(monkeypatch):
    text = terminal(monkeypatch)
    for i in range(1, 5):
        luann.progress(i, 4)
    *bars, last = text.getvalue().split("\r")[1:]
    assert [bar.count("=") for bar in bars] == [10, 20, 30]
    assert [bar.split("] ")[1].removesuffix("\033[K") for bar in bars] == ["1/4", "2/4", "3/4"]
    assert last == "\033[K"


def test_stochasticgradient_shows_each_epoch_on_a_terminal(monkeypatch, capsys):
    text = terminal(monkeypatch)
    train()
    counts = [bar.split("] ")[1][:3] for bar in text.getvalue().split("\r") if "]" in bar]
    assert counts == ["1/3", "2/3"] * 2
    assert text.getvalue().endswith("\r\033[K")
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_stochasticgradient_shows_none_elsewhere(monkeypatch):
    text = terminal(monkeypatch)
    train(verbose=False)
    assert text.getvalue() == ""
    text = terminal(monkeypatch, isatty=False)
    train()
    assert text.getvalue() == ""


def load_slowly(monkeypatch, seconds):
    """What appears while a file is loaded, if each look at the clock finds so much time gone."""
    text = terminal(monkeypatch)
    monkeypatch.setattr(sys.modules["luann.progress"], "_drawn_at", 0)
    now = itertools.count(0, seconds)
    monkeypatch.setattr(sys.modules["luann.progress"].time, "monotonic", lambda: next(now))
    luann.load(REFERENCE / "networks" / "lenet.t7")
    return text.getvalue()


def test_a_slow_file_shows_how_far_it_is(monkeypatch):
    shown = load_slowly(monkeypatch, 2)
    counts = [int(bar.split("] ")[1].split("/")[0]) for bar in shown.split("\r") if "]" in bar]
    assert len(counts) > 10 and counts == sorted(counts)
    assert shown.endswith("\r\033[K")


def test_a_fast_file_shows_nothing(monkeypatch):
    assert load_slowly(monkeypatch, 0) == ""
