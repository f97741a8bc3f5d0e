"""The picture of a confusion matrix, drawn with matplotlib."""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, Error

_DPI = 64  # a power of two, so that sizes in pixels survive the way through matplotlib's inches
_GRID = 0.1


def draw(
    counts: np.ndarray,
    names: Sequence[str],
    sortmode: str = "score",
    block: int = 25,
    legendwidth: int = 200,
    file: str | os.PathLike[str] | None = None,
) -> np.ndarray:
    """The picture that :meth:`ConfusionMatrix.render` describes, as height × width × 3 bytes; written to ``file`` too.

    Args:
        counts: the matrix, a row per true class.
        names: the classes.
    """
    if sortmode not in ("score", "occurrence"):
        raise ArgumentError(f"sortmode must be 'score' or 'occurrence', got {sortmode!r}")
    if block < 1 or legendwidth < 0:
        raise ArgumentError(f"block must be at least 1 and legendwidth 0 or more pixels, got {block}, {legendwidth}")
    counts = np.asarray(counts, np.float64)
    occurred = counts.sum(1)
    scores = counts / np.maximum(occurred, 1)[:, None]
    parts = occurred / max(occurred.sum(), 1)
    order = np.argsort(-(scores.diagonal() if sortmode == "score" else parts), kind="stable")
    scores, parts = scores[np.ix_(order, order)], parts[order]

    n, side = len(order), len(order) * block
    figure = load("figure").Figure(figsize=((side + legendwidth) / _DPI, side / _DPI), dpi=_DPI, facecolor="black")
    canvas = load("backends.backend_agg").FigureCanvasAgg(figure)  # in memory: no window, no screen
    cells = np.kron(scores, np.ones((block, block)))
    cells[block - 1 :: block] = cells[:, block - 1 :: block] = _GRID
    figure.figimage(cells, cmap="gray", vmin=0, vmax=1, origin="upper")

    def write(x: float, y: float, text: str, color: Any, **where: Any) -> None:
        size = 0.45 * block * 72 / _DPI
        figure.text(x / (side + legendwidth), 1 - y / side, text, color=color, size=size, va="center", **where)

    for row in range(n):
        y = (row + 0.5) * block
        for column, score in enumerate(scores[row]):
            text = f"{math.floor(score * 100 + 0.5):02d}"
            grey = 0 if score > 0.4 else 0.35 + 0.75 * score  # told apart from the cell
            write((column + 0.5) * block, y, text, (grey, grey, grey), ha="center")
        if legendwidth:
            write(side + 10, y, f"[{math.floor(parts[row] * 10000 + 0.5) / 100:.2f}% labels]", (0.6, 0.6, 0.9))
            grey = 0.5 + 0.5 * scores[row, row]
            write(side + 10 + 5 * block, y, names[order[row]], (grey, grey, grey))
    canvas.draw()
    if file is not None:
        figure.savefig(file, dpi=_DPI)
    return np.array(canvas.buffer_rgba())[..., :3]


def show(picture: np.ndarray, title: str) -> None:
    """Show a picture in a window of this title, where matplotlib has windows."""
    pyplot = load("pyplot")
    figure = pyplot.figure(num=title)
    figure.figimage(picture, resize=True)
    pyplot.show(block=False)


def load(part: str) -> Any:
    """A part of matplotlib; an :class:`Error` where it is not installed."""
    try:
        return importlib.import_module(f"matplotlib.{part}")
    except ImportError as error:
        raise Error("a picture needs matplotlib, which `pip install luann[plot]` brings") from error
