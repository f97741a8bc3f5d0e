"""Torch7's log of numbers by columns, in a text file and as a plot."""

from __future__ import annotations

import html
import io
import itertools
import os
import sys
import time
import weakref
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import ArgumentError, Error
from ..types import register
from .picture import load


@register("optim.Logger")
class Logger:
    """Writes numbers and words into a text file, a row at a time, and plots the columns.

    The file is Torch7's: each entry is followed by a tab, a number has the form ``%11.4e``, and the first row holds the
    names. A column is known by a key: its number, counted from 1, or its name where rows are dicts::

        logger = optim.Logger("errors.log")
        logger.setNames(["train", "test"])
        logger.add([0.5, 0.75])
        logger.style(["-", "+-"]).plot()                         # needs matplotlib; writes errors.log.eps

        logger = optim.Logger("accuracy.log")
        logger.add({"accuracy": 0.75})
        logger.style({"accuracy": "-"}).plot("accuracy")

    Args:
        filename: the file, which is overwritten; its folder is made. By default rows go to standard output.
        timestamp: put the date and the time behind the name of the file.

    Attributes:
        name: ``filename``, or ``'stdout'``.
        file: where rows are written.
        epsfile: the plot's file, ``filename`` with ``.eps``; ``None`` for none.
        symbols: by key, the column's entries.
        names, idx: a column's name by its key, and its key by its name.
        styles: by key, the list of the column's styles; what a new one begins with is ``[defaultStyle]``.
        logscale: whether plots have a logarithmic axis.
        showPlot: what :meth:`display` was told.
        figure: the last plot, a ``matplotlib.figure.Figure``.
    """

    _file_names = {"file": None, "figure": None, "_warned": None}  # what no .t7 file can hold

    def __init__(self, filename: str | os.PathLike[str] | None = None, timestamp: bool = False) -> None:
        self.epsfile: str | None = None
        if filename is None:
            self.name = "stdout"
            self.file = sys.stdout
            print("<Logger> warning: no path provided, logging to std out")
        else:
            self.name = path = os.fspath(filename)
            self.epsfile = path + ".eps"
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            if timestamp:
                path += time.strftime("-%Y_%m_%d_%X")
            # Names out of a .t7 file can hold bytes that are no text: these are written as they were.
            self.file = open(path, "w", encoding="utf-8", errors="surrogateescape", newline="\n")  # noqa: SIM115
            weakref.finalize(self, self.file.close)
        self.symbols: dict[Any, list] = {}
        self.names: dict[Any, Any] = {}
        self.idx: dict[Any, Any] = {}
        self.styles: dict[Any, list[str]] = {}
        self.defaultStyle = "+"
        self.logscale = False
        self.showPlot = False
        self.figure: Any = None
        self._warned = False

    def setNames(self, names: Sequence[str]) -> Logger:
        """Name the columns, in their order, and write the row of names; returns the logger."""
        self._begin(dict(enumerate(names, 1)))
        return self

    def _begin(self, names: dict[Any, Any]) -> None:
        self._write(str(name) for name in names.values())
        self.names = names
        self.idx = {name: key for key, name in names.items()}
        self.symbols = {key: [] for key in names}
        self.styles = {key: [self.defaultStyle] for key in names}

    def add(self, symbols: Sequence[float | str] | Mapping[Any, float | str]) -> None:
        """Write a row. The first one names the columns, by their numbers or keys, unless :meth:`setNames` has.

        Args:
            symbols: numbers and strings: a list, which may end before the last column, or a dict with one for the name
                or the number of every column.

        Raises:
            ArgumentError: more entries than columns, other names, or an entry that is no number and no string. Nothing
                is written then.
        """
        row = dict(symbols) if isinstance(symbols, Mapping) else dict(enumerate(symbols, 1))
        if self.symbols:
            given, row = row, self._by_key(row)
            if len(row) < len(given) or (isinstance(symbols, Mapping) and len(row) < len(self.symbols)):
                raise ArgumentError(f"the logger has the columns {list(self.idx)}, the row {list(given)}")
        entries = [_entry(entry) for entry in row.values()]
        if not self.symbols:
            self._begin({key: key for key in row})
        self._write(entries)
        for key, entry in row.items():
            self.symbols[key].append(entry)

    def _by_key(self, given: Mapping[Any, Any]) -> dict[Any, Any]:
        """What is given for columns, by key or name, in the order of the columns; what is for none is left out."""
        keys = {key if key in self.symbols else self.idx.get(key): value for key, value in given.items()}
        return {key: keys[key] for key in self.symbols if key in keys}

    def _write(self, entries: Iterable[str]) -> None:
        self.file.write("".join(f"{entry}\t" for entry in entries) + "\n")
        self.file.flush()

    def style(self, symbols: Sequence[str | Sequence[str]] | Mapping[Any, str | Sequence[str]]) -> Logger:
        """Say how columns are drawn; returns the logger.

        Args:
            symbols: for each column, or by name or number, a style or a list of styles that are drawn over each other:
                ``'.'`` dots, ``'+'`` points, ``'-'`` lines, ``'+-'`` points and lines, ``'~'`` a smooth line through
                the points (a natural cubic spline), ``'|'`` boxes, or a format of matplotlib's such as ``'r--'``.
        """
        given = symbols if isinstance(symbols, Mapping) else dict(enumerate(symbols, 1))
        styles = {key: [style] if isinstance(style, str) else style for key, style in given.items()}
        for key, some in styles.items():
            if key not in self.symbols and key not in self.idx:
                raise ArgumentError(f"there is no column {key!r}, the logger has {list(self.idx)}")
            if not isinstance(some, (list, tuple)) or not all(isinstance(style, str) for style in some):
                raise ArgumentError(f"a style is a string or a list of strings, got {some!r} for {key!r}")
        self.styles.update((key, list(some)) for key, some in self._by_key(styles).items())
        return self

    def setlogscale(self, value: bool) -> None:
        """Whether plots have a logarithmic axis for the values."""
        self.logscale = value

    def display(self, state: bool) -> None:
        """Torch7's switch for showing plots, kept in ``showPlot``; no window is ever opened."""
        self.showPlot = state

    def report(self, filename: str | os.PathLike[str] | None = None) -> str:
        """Write a page for a browser: the plot of all columns, if there is matplotlib, and the rows as a table.

        Args:
            filename: the page's file, by default that of the log with ``.html``.

        Returns:
            The file's name.
        """
        if filename is None and self.epsfile is None:
            raise ArgumentError("a logger to standard output has no name to make one for the page of: give filename")
        path = f"{self.name}.html" if filename is None else os.fspath(filename)
        picture = io.StringIO()
        figure = self._figure(list(self.symbols))
        if figure is not None:
            figure.savefig(picture, format="svg")
        title = html.escape(self.name)
        columns = list(self.symbols.values())
        rows = itertools.zip_longest(*columns, fillvalue="")
        names = (html.escape(str(name)) for name in self.names.values())
        lines = [
            f'<!DOCTYPE html><html><head><meta charset="utf-8"><title>{title}</title></head><body>',
            f"<h1>{title}</h1>",
            picture.getvalue().partition("?>")[2] if figure is not None else "",
            f"<table><tr><th></th>{''.join(f'<th>{name}</th>' for name in names)}</tr>",
        ]
        for number, row in enumerate(rows, 1):
            lines.append(f"<tr><td>{number}</td>{''.join(f'<td>{html.escape(str(entry))}</td>' for entry in row)}</tr>")
        with open(path, "w", encoding="utf-8", errors="replace") as file:
            file.write("\n".join([*lines, "</table></body></html>"]) + "\n")
        return path

    def plot(self, *names: Any) -> Any:
        """Plot columns by row, into the file ``epsfile``; no window is opened. Needs matplotlib.

        Args:
            names: names or numbers of columns; by default all. Columns of less than two entries, or with words among
                them, are left out.

        Returns:
            The ``matplotlib.figure.Figure``, also in ``figure``, which a notebook shows and ``savefig`` writes in any
            form; ``None`` if there was nothing to draw, or no matplotlib (said once).
        """
        keys = [name if name in self.symbols else self.idx.get(name) for name in names] if names else list(self.symbols)
        if None in keys:
            raise ArgumentError(f"there is no column {names[keys.index(None)]!r}, the logger has {list(self.idx)}")
        figure = self._figure(keys)
        if figure is not None and self.epsfile:
            figure.savefig(self.epsfile, format="eps")
        self.figure = figure or self.figure
        return figure

    def _figure(self, keys: list) -> Any:
        """The plot of some columns; ``None`` where there is nothing to draw, or no matplotlib (said once)."""
        try:
            Figure = load("figure").Figure
        except Error:
            if not self._warned:
                print("<Logger> warning: cannot plot without matplotlib; pip install luann[plot] brings it")
            self._warned = True
            return None
        keys = [key for key in keys if len(self.symbols[key]) > 1 and str not in map(type, self.symbols[key])]
        if not keys:
            return None
        figure = Figure()
        axes = figure.add_subplot()
        for number, key in enumerate(keys):
            values = np.array([float(entry) for entry in self.symbols[key]])
            for style in self.styles[key]:
                _draw(axes, values, style, color=f"C{number}", label=str(self.names[key]))
        if self.logscale:
            axes.set_yscale("log")
        axes.grid(True)
        axes.legend(framealpha=1)  # PostScript knows no transparency
        axes.set_title(f"<Logger::{self.name}>")
        return figure


def _entry(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not (isinstance(value, Real) or (isinstance(value, Tensor) and value.numel() == 1)):
        raise ArgumentError(f"a logger takes numbers and strings, got {value!r}")
    return f"{float(value):11.4e}"


def _draw(axes: Any, values: np.ndarray, style: str, **look: Any) -> None:
    rows = np.arange(1, len(values) + 1)
    if style == "|":
        axes.bar(rows, values, fill=False, edgecolor=look.pop("color"), **look)
    elif style == "~":
        axes.plot(*_spline(values), "-", **look)
    elif style in (".", "+", "-", "+-"):
        axes.plot(rows, values, style, **look)
    else:
        try:
            axes.plot(rows, values, style, label=look["label"])  # a format can name a colour
        except ValueError as error:
            raise ArgumentError(f"{style!r} is neither a style of optim.Logger nor a format of matplotlib's") from error


def _spline(values: np.ndarray, parts: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """The natural cubic spline through the values at 1, 2, ..., at ``parts`` places to each interval."""
    n = len(values)
    # Second derivatives m: m[i-1] + 4 m[i] + m[i+1] = 6 (y[i-1] - 2 y[i] + y[i+1]), 0 at the ends.
    right = np.zeros(n)
    right[1:-1] = 6 * np.diff(values, 2)
    factors = np.zeros(n)
    for i in range(1, n - 1):
        factors[i] = 1 / (4 - factors[i - 1])
        right[i] = (right[i] - right[i - 1]) * factors[i]
    m = np.zeros(n)
    for i in range(n - 2, 0, -1):
        m[i] = right[i] - factors[i] * m[i + 1]
    x = np.linspace(0, n - 1, parts * (n - 1) + 1)
    i = np.minimum(x.astype(int), n - 2)
    b = x - i
    a = 1 - b
    bend = ((a**3 - a) * m[i] + (b**3 - b) * m[i + 1]) / 6
    return x + 1, a * values[i] + b * values[i + 1] + bend
