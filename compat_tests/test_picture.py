"""``ConfusionMatrix.render``."""

from __future__ import annotations

import sys

import pytest
import torch

import luann
from luann import optim


def matrix(names=("cat", "dog", "fox")):
    confusion = optim.ConfusionMatrix(list(names) if names else 3)
    confusion.mat[0, :] = torch.tensor([1, 1, 2])  # cats: a quarter right, the most frequent
    confusion.mat[1, 1] = 3  # dogs: all right
    return confusion  # no fox occurred


@pytest.fixture
def matplotlib(monkeypatch):
    """matplotlib, as where there is no screen."""
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setenv("MPLBACKEND", "agg")
    return pytest.importorskip("matplotlib")


def corners(picture, block):
    """The values of the cells, read from their upper left pixels, which no number covers."""
    n = picture.shape[1] // block
    return picture[0, : n * block : block, : n * block : block].tolist()


@pytest.mark.parametrize(
    "sortmode, wanted",
    [
        ("score", [[1, 0, 0], [0.25, 0.25, 0.5], [0, 0, 0]]),  # dog, cat, fox
        ("occurrence", [[0.25, 0.25, 0.5], [0, 1, 0], [0, 0, 0]]),  # cat, dog, fox
    ],
)
def test_cells_are_as_bright_as_the_scores(matplotlib, sortmode, wanted):
    confusion = matrix()
    picture = confusion.render(sortmode)
    assert picture.shape == (3, 75, 275) and picture.dtype == torch.get_default_dtype()
    assert corners(picture, 25) == [pytest.approx(row, abs=1 / 255) for row in wanted]
    assert torch.equal(picture[0, :, :75], picture[1, :, :75]) and picture[0, 74, :75].max() < 0.12  # grey; the grid
    assert confusion.render(sortmode, False, 40, 0).shape == (3, 120, 120)


def test_names_and_numbers_are_written(matplotlib):
    named, numbered, other = matrix().render(), matrix(None).render(), matrix(("cat", "dog", "eel")).render()
    left, names = (..., slice(0, 75)), (..., slice(205, 275))
    assert torch.equal(named[left], numbered[left])
    assert not torch.equal(named[names], numbered[names])
    differ = (named != other).any(0).any(1).nonzero()
    assert differ.min() >= 50 and differ.max() < 75  # only in the last row, the class without samples


def test_file_and_window(matplotlib, tmp_path):
    from matplotlib import image, pyplot

    picture = matrix().render(display=True, file=tmp_path / "confusion.png")
    read = torch.from_numpy(image.imread(tmp_path / "confusion.png").copy())[..., :3].permute(2, 0, 1)
    assert torch.equal(read, picture.float())
    title = "Confusion matrix [sorted by scores, global accuracy = 57.143%, per-class accuracy = 62.500%]"
    assert pyplot.get_figlabels() == [title]
    pyplot.close("all")


def test_many_classes_and_an_empty_matrix(matplotlib):
    assert optim.ConfusionMatrix(40).render(block=10).shape == (3, 400, 600)


def test_bad_arguments():
    with pytest.raises(luann.ArgumentError, match="sortmode must be"):
        matrix().render("name")
    with pytest.raises(luann.ArgumentError, match="block must be"):
        matrix().render(block=0)


def test_without_matplotlib(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(luann.Error, match=r"needs matplotlib, which `pip install luann\[plot\]` brings"):
        matrix().render()
