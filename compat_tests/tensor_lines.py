"""The rows of the page of tensors, and what their Python lines give."""

import re
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

import tensors as tool  # in tools/

TEXT = tool.PAGE.read_text()
ROWS = list(dict.fromkeys((lua, python) for _, _, lua, python in tool.rows(TEXT)))
LINES = dict(ROWS)
DEFINITIONS = compile(re.search(r"^```python\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)[1], "definitions", "exec")


def run(lua, **instead):
    """The names before and after a row's Python line."""
    names = {}
    exec(DEFINITIONS, names)
    names.update(instead)
    before = dict(names)
    values = {name: value.clone() for name, value in names.items() if isinstance(value, torch.Tensor)}
    exec(LINES[lua], names)
    return before, values, names


def plain(value):
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, (tuple, list)):
        return [plain(entry) for entry in value]
    return value


def same(value, expected):
    """Same sizes, same numbers."""
    assert np.shape(plain(value)) == np.shape(expected)
    np.testing.assert_allclose(np.array(plain(value), float), np.array(expected, float), rtol=1e-12, atol=1e-14)
