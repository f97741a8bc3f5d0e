"""The progress bar, and nn.StochasticGradient's use of it."""

from __future__ import annotations

import io
import sys

import torch

import luann
from luann import nn


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
