"""optim.Logger: Torch7's files, and plots where there is matplotlib."""

from __future__ import annotations

import builtins
import re
import sys

import numpy as np
import optim_records
import pytest
import torch

from luann import optim, typename
from luann.errors import ArgumentError

RECORDS = optim_records._load("logger")


@pytest.fixture
def log(tmp_path):
    return tmp_path / "new" / "folder" / "some.log"


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: r.name)
def test_record(record, log):
    logger = optim.Logger(log)
    if "names" in record:
        assert logger.setNames(record.names) is logger
    for i, row in enumerate(record.rows):
        logger.add(row)
        assert log.read_bytes() == "".join(record.text.splitlines(True)[: i + 2]).encode()  # nothing waits in a buffer
    assert log.read_bytes() == record.text.encode() == (optim_records.REFERENCE / record.file).read_bytes()
    columns = zip(*(row if isinstance(row, list) else row.values() for row in record.rows), strict=True)
    assert list(logger.symbols.values()) == [list(column) for column in columns]


def test_names_are_numbers_where_there_are_none(log):
    logger = optim.Logger(str(log))
    logger.add([1, 2.5])
    logger.add([3, 4])
    assert log.read_text() == "1\t2\t\n 1.0000e+00\t 2.5000e+00\t\n 3.0000e+00\t 4.0000e+00\t\n"
    assert logger.symbols == {1: [1, 3], 2: [2.5, 4]} and logger.names == {1: 1, 2: 2}


def test_numbers_of_every_kind(log):
    logger = optim.Logger(log)
    logger.add([torch.tensor(0.5), np.float32(0.25), np.int64(3), float("inf"), float("nan"), -1e-300, 10**20, "text"])
    assert log.read_text().splitlines()[1].split("\t") == [
        " 5.0000e-01", " 2.5000e-01", " 3.0000e+00", "        inf", "        nan", "-1.0000e-300", " 1.0000e+20",
        "text", "",
    ]  # fmt: skip


def test_a_row_by_names_in_any_order(log):
    logger = optim.Logger(log).setNames(["a", "b", "c"])
    logger.add({"c": 3, "a": 1, 2: 2})
    logger.add([4, 5, 6])
    logger.add([7])  # as in Torch7, a list may end early
    assert log.read_text().splitlines()[1:] == [
        " 1.0000e+00\t 2.0000e+00\t 3.0000e+00\t", " 4.0000e+00\t 5.0000e+00\t 6.0000e+00\t", " 7.0000e+00\t",
    ]  # fmt: skip
    assert logger.symbols == {1: [1, 4, 7], 2: [2, 5], 3: [3, 6]}


@pytest.mark.parametrize("row", [[1, 2, 3], {"a": 1, "c": 2}, {"a": 1}, {"a": 1, 1: 2, "b": 3}, {3: 1}], ids=str)
def test_a_row_that_does_not_fit(row, log):
    logger = optim.Logger(log).setNames(["a", "b"])
    with pytest.raises(ArgumentError, match=r"the logger has the columns \['a', 'b'\], the row \["):
        logger.add(row)
    assert log.read_text() == "a\tb\t\n" and logger.symbols == {1: [], 2: []}


@pytest.mark.parametrize("entry", [True, None, [1.0], torch.ones(2), 1j], ids=str)
def test_an_entry_that_is_no_number_and_no_string(entry, log):
    logger = optim.Logger(log)
    with pytest.raises(ArgumentError, match="a logger takes numbers and strings, got"):
        logger.add([1.0, entry])
    assert log.read_text() == ""
    logger.add([1.0])
    assert log.read_text() == "1\t\n 1.0000e+00\t\n"


def test_standard_output(capsys):
    logger = optim.Logger()
    logger.add({"loss": 0.5})
    assert capsys.readouterr().out == (
        "<Logger> warning: no path provided, logging to std out\nloss\t\n 5.0000e-01\t\n"
    )  # fmt: skip
    assert logger.name == "stdout" and logger.epsfile is None


def test_a_timestamp(log):
    logger = optim.Logger(log, True)
    logger.add([1])
    (file,) = log.parent.iterdir()
    assert re.fullmatch(r"some\.log-\d{4}_\d\d_\d\d_\d\d:\d\d:\d\d", file.name)
    assert logger.name == str(log) and logger.epsfile == str(log) + ".eps"


def test_a_file_is_begun_anew_and_needs_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for value in (1, 2):
        optim.Logger("plain.log").add([value])
    assert (tmp_path / "plain.log").read_text() == "1\t\n 2.0000e+00\t\n"


def test_typename(log):
    assert typename(optim.Logger(log)) == "optim.Logger"


def test_styles(log):
    logger = optim.Logger(log).setNames(["a", "b", "c"])
    assert logger.styles == {1: ["+"], 2: ["+"], 3: ["+"]}
    assert logger.style(["-", ["+", "~"]]) is logger
    assert logger.styles == {1: ["-"], 2: ["+", "~"], 3: ["+"]}
    logger.style({"c": "|", 1: (".",)})
    assert logger.styles == {1: ["."], 2: ["+", "~"], 3: ["|"]}
    with pytest.raises(ArgumentError, match=r"there is no column 'd', the logger has \['a', 'b', 'c'\]"):
        logger.style({"a": "-", "d": "-"})
    with pytest.raises(ArgumentError, match="a style is a string or a list of strings, got 7 for 1"):
        logger.style([7])
    assert logger.styles[1] == ["."]


def test_plot_without_matplotlib(log, monkeypatch, capsys):
    importing = builtins.__import__

    def no_matplotlib(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return importing(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_matplotlib)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    logger = optim.Logger(log)
    logger.add([1])
    logger.add([2])
    assert logger.plot() is None and logger.plot() is None
    assert capsys.readouterr().out.count("cannot plot without matplotlib") == 1
    assert [file.name for file in log.parent.iterdir()] == ["some.log"]


# what follows needs matplotlib


@pytest.fixture
def logger(log):
    pytest.importorskip("matplotlib")
    logger = optim.Logger(log).setNames(["train", "test", "remark", "late"])
    for i in range(1, 6):
        logger.add([i**2, 30 - i, "text", *([7] if i == 1 else [])])
    return logger


def test_plot(logger, log):
    logger.style({"train": ["-", "+"], "test": "~"})
    figure = logger.plot()
    (axes,) = figure.axes
    train, points, test = axes.lines
    assert logger.figure is figure and axes.get_title() == f"<Logger::{log}>"
    assert train.get_linestyle() == "-" and points.get_linestyle() == "None" and points.get_marker() == "+"
    for drawn in (train, points):
        assert drawn.get_xdata().tolist() == [1, 2, 3, 4, 5] and drawn.get_ydata().tolist() == [1, 4, 9, 16, 25]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["train", "train", "test"]
    np.testing.assert_allclose(test.get_ydata(), 30 - test.get_xdata())  # a spline keeps a straight line
    assert axes.get_yscale() == "linear"
    assert log.with_name("some.log.eps").read_bytes().startswith(b"%!PS-Adobe")


def test_plot_of_some_columns_with_a_logarithmic_axis(logger):
    logger.setlogscale(True)
    (axes,) = logger.plot("test", 1).axes
    assert axes.get_yscale() == "log" and [line.get_label() for line in axes.lines] == ["test", "train"]
    assert logger.plot("remark", "late") is None
    with pytest.raises(ArgumentError, match="there is no column 'loss'"):
        logger.plot("train", "loss")


def test_plot_in_every_style(logger):
    for style in (".", "+", "-", "+-", "~", "|", "r--"):
        (axes,) = logger.style([style]).plot("train").axes
        assert len(axes.lines) == (0 if style == "|" else 1) and len(axes.patches) == (5 if style == "|" else 0)
        if style == "~":
            x, y = axes.lines[0].get_data()
            on_points = np.isin(x, [1, 2, 3, 4, 5])
            np.testing.assert_allclose(y[on_points], [1, 4, 9, 16, 25], rtol=1e-12)
            # The natural spline through five squares, from its equations: second derivatives 0, 18/7, 12/7, 18/7, 0.
            assert y[np.isclose(x, 2.5)].item() == pytest.approx((4 + 9) / 2 - (18 / 7 + 12 / 7) / 16)
            assert y[np.isclose(x, 1.5)].item() == pytest.approx((1 + 4) / 2 - (18 / 7) / 16)
    with pytest.raises(ArgumentError, match="'with impulses' is neither a style of"):
        logger.style(["with impulses"]).plot("train")


def test_plot_of_two_rows_to_standard_output(capsys):
    pytest.importorskip("matplotlib")
    logger = optim.Logger()
    logger.add({"loss": 1})
    assert logger.plot() is None
    logger.add({"loss": torch.tensor(2.0)})
    figure = logger.style({"loss": "~"}).plot()
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), np.linspace(1, 2, 11))


def test_report_is_a_page_with_every_row(log):
    logger = optim.Logger(log)
    logger.setNames(["train <1>", "remark"])
    logger.add([0.5, "a < b"])
    logger.add([0.25])
    logger.display(False)
    page = (log.parent / "page.html", log.with_name("some.log.html"))
    assert logger.report(page[0]) == str(page[0]) and logger.report() == str(page[1])
    text = page[0].read_text()
    assert text == page[1].read_text() or "<svg" in text  # matplotlib gives the parts of a picture names of their own
    assert "<th>train &lt;1&gt;</th><th>remark</th>" in text
    assert "<tr><td>1</td><td>0.5</td><td>a &lt; b</td></tr>" in text
    assert "<tr><td>2</td><td>0.25</td><td></td></tr>" in text
    with pytest.raises(ArgumentError, match="give filename"):
        optim.Logger().report()


def test_report_shows_the_plot(logger, tmp_path):
    logger.report(tmp_path / "page.html")
    assert "<svg" in (tmp_path / "page.html").read_text()
