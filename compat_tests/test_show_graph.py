"""``luann show --graph``: models drawn."""

import re
import shutil
from pathlib import Path

import pytest
import torch

import luann
from luann import nn
from luann.cli import main
from luann.show import draw

REFERENCE = Path(__file__).parent / "reference"


def edges(text):
    """The edges of a drawing, as labels of their ends; the first line of each."""
    labels = dict(re.findall(r'^(n\d+)\[label="(.*?)(?:\\[nl].*)?"\];$', text, re.MULTILINE))
    return [(labels[a], labels[b]) for a, b in re.findall(r"^(n\d+) -> (n\d+);$", text, re.MULTILINE)]


def test_layers_one_behind_the_other():
    net = nn.Sequential().add(nn.Linear(3, 2)).add(nn.Sequential().add(nn.Tanh())).add(nn.LogSoftMax())
    assert edges(draw(net)) == [
        ("input", "nn.Linear(3 -> 2)"),
        ("nn.Linear(3 -> 2)", "nn.Tanh"),
        ("nn.Tanh", "nn.LogSoftMax"),
    ]
    net.forward(torch.zeros(5, 3))
    assert 'label="nn.Linear(3 -> 2)\\n5x2"' in draw({"net": [net]}, "net[1]")


def test_branches():
    two = nn.ConcatTable().add(nn.Tanh()).add(nn.Sequential().add(nn.ReLU()).add(nn.Sigmoid()))
    net = nn.Sequential().add(two).add(nn.ParallelTable().add(nn.Abs()).add(nn.Sqrt())).add(nn.CAddTable())
    assert edges(draw(net)) == [
        ("input", "nn.Tanh"),
        ("input", "nn.ReLU"),
        ("nn.ReLU", "nn.Sigmoid"),
        ("nn.Tanh", "nn.Abs"),
        ("nn.Sigmoid", "nn.Sqrt"),
        ("nn.Abs", "nn.CAddTable"),
        ("nn.Sqrt", "nn.CAddTable"),
    ]
    joined = nn.Concat(1).add(nn.Tanh()).add(nn.Abs())
    assert edges(draw(joined))[2:] == [("nn.Tanh", "nn.Concat"), ("nn.Abs", "nn.Concat")]


def test_the_command(tmp_path, capsys):
    path = str(REFERENCE / "nn/gModule.t7")
    assert main(["show", "--graph", path, "--at", "[1].module"]) == 0
    text = capsys.readouterr().out
    assert text == luann.nngraph.dot(luann.load(path)[0].module)
    assert main(["show", "--graph", path, "--at", "[1].module", "-o", str(tmp_path / "net.dot")]) == 0
    assert (tmp_path / "net.dot").read_text() == text
    assert main(["show", "--graph", path, "--at", "[1].nothing"]) == 1
    assert "no model at '[1].nothing'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["show", path, "-o", "net.svg"])
    assert "-o and --at are for --graph" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("dot") is None, reason="graphviz is not installed")
def test_a_picture_by_graphviz(tmp_path):
    for file, at in (("nn/gModule.t7", "[1].module"), ("networks/lenet.t7", "[1].module")):
        out = tmp_path / "net.svg"
        assert main(["show", "--graph", str(REFERENCE / file), "--at", at, "-o", str(out)]) == 0
        assert "<svg" in out.read_text()
    assert main(["show", "--graph", str(REFERENCE / "networks/lenet.t7"), "-o", str(tmp_path / "net.png")]) == 0
    assert (tmp_path / "net.png").read_bytes()[:4] == b"\x89PNG"


def test_without_graphviz(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    out = tmp_path / "net.svg"
    assert main(["show", "--graph", str(REFERENCE / "networks/lenet.t7"), "-o", str(out)]) == 1
    assert "graphviz" in capsys.readouterr().err and not out.exists()
