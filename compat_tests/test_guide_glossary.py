"""The glossary of the porting guide: in the order of the alphabet, and every name in code exists."""

import re
from pathlib import Path

import pytest
import torch

import luann
from luann.contrib import char_rnn, cudnn, cunn, rnn

PAGE = Path(__file__).parents[1] / "porting_guide" / "glossary.md"
OURS = {"luann": luann, "nn": luann.nn, "optim": luann.optim, "nngraph": luann.nngraph, "torch": torch}
OURS |= {"rnn": rnn, "char_rnn": char_rnn, "cudnn": cudnn, "cunn": cunn}
THEIRS = {"torch": torch, "nn": torch.nn, "optim": torch.optim, "F": torch.nn.functional}
NAME = re.compile(rf"(?<![\w.\"'])(?:{'|'.join({*OURS, *THEIRS})})(?:\.\w+)+")
TORCH7 = {"torch.Tester"}  # has no counterpart of that name
TABLES = re.findall(r"(?:^\|.*\n)+", PAGE.read_text(), re.MULTILINE)


def rows(table):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def names():
    """Every name in code, with the names that it begins with."""
    first, second = map(rows, TABLES)
    for _, ours, theirs, _ in first:
        yield from ((name, OURS) for name in NAME.findall(ours))
        yield from ((name, THEIRS) for name in NAME.findall(theirs))
    for theirs, ours, _ in second:
        yield from ((name, THEIRS) for name in NAME.findall(theirs))
        yield from ((name, OURS) for name in NAME.findall(ours) if name not in TORCH7)


@pytest.mark.parametrize("table", TABLES, ids=["torch7", "pytorch"])
def test_words_are_in_order_and_stand_once(table):
    words = [re.sub(r"[^a-z0-9 ]", "", row[0].lower()) for row in rows(table)]
    assert len(words) > 70
    assert words == sorted(set(words))


def test_words_that_are_referred_to_are_there():
    for table in TABLES:
        words = " ".join(row[0] for row in rows(table) if "see" not in row[0])
        for row in rows(table):
            for word in re.findall(r"see (\w+)", row[0]):
                assert word in words


def test_names_exist():
    found = list(names())
    assert len(found) > 100
    for name, known in found:
        root, *path = name.split(".")
        value = known[root]
        for part in path:
            if name == "torch.utils.tensorboard":  # an import of its own, with a package that need not be there
                break
            assert hasattr(value, part), name
            value = getattr(value, part)


def test_classes_of_pytorch_exist():
    for word, *_ in rows(TABLES[1]):
        for name in re.findall(r"`([A-Z]\w+)[`(]", word):
            assert any(hasattr(place, name) for place in (torch.nn, torch.utils.data, torch.nn.parallel)), name
