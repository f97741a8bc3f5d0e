"""What the tests of the worked ports in porting_guide/ share."""

from __future__ import annotations

import csv
import runpy
from pathlib import Path

import pytest
import torch

import luann

GUIDE = Path(__file__).parents[1] / "porting_guide"
DIGITS = GUIDE / "digits" / "digits.csv"


def run(folder, script, *arguments):
    """Run a script of the guide in a folder, with the options given; returns its variables.

    Afterwards the random numbers are PyTorch's again, and the default type and the number of threads what they were.
    """
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("sys.argv", [Path(script).name, *map(str, arguments)])
        try:
            return runpy.run_path(str(GUIDE / script), run_name="__main__")
        finally:
            luann.random.unseed()
            torch.set_default_dtype(dtype)
            torch.set_num_threads(threads)


def numbers(path):
    """The rows of a file of numbers with commas between."""
    with open(path) as file:
        return [[float(number) for number in row] for row in csv.reader(file)]


def check_alignment(script, *only_lua):
    """Check that a Lua script and its port beside it have line for line the same places.

    Args:
        script: such as ``gan/train``.
        only_lua: lines of the Lua script that the port does without, beyond blank ones and ``end``; each must occur.
    """
    lua, python = ((GUIDE / f"{script}{suffix}").read_text().splitlines() for suffix in (".lua", ".py"))
    assert len(lua) == len(python)
    without = {"", "end", *only_lua}
    for number, (line, port) in enumerate(zip(lua, python), 1):
        assert (line.strip() in without) == (not port.strip()), f"line {number}: {line!r} beside {port!r}"
    assert set(only_lua) <= {line.strip() for line in lua}
