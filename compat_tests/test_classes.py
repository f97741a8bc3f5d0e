"""The page of classes is what the tool writes, and names every class and every exception."""

import importlib
import sys
from pathlib import Path

import records

from luann import nn

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import classes  # noqa: E402  in tools/


def test_the_page_is_up_to_date():
    assert classes.PAGE.read_text() == classes.page(), "run python tools/classes.py"


def test_every_recorded_class_is_on_the_page():
    named = {name for chapter in classes.CHAPTERS.values() for name in chapter}
    recorded = {path.stem for kind in ("nn", "criterion") for path in (records.REFERENCE / kind).glob("*.t7")}
    assert recorded <= named


def test_every_exported_class_is_on_the_page():
    named = {name for chapter in classes.CHAPTERS.values() for name in chapter}
    kinds = (nn.Module, nn.Criterion)
    exported = {
        name for name in nn.__all__ if isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), kinds)
    }
    assert exported - named == {"Container", "Criterion", "Module"}


def test_every_exception_to_the_records_is_told():
    assert {name.removeprefix("nn.") for name, _, _ in records.EXCEPTIONS} <= classes.DIFFERENCES.keys()


def test_every_record_is_run():
    """Each file of records is asked for by some family's test."""
    for pattern in ("test_nn*.py", "test_contrib*.py"):
        for path in Path(__file__).parent.glob(pattern):
            importlib.import_module(path.stem)
    rocks = {path.relative_to(records.REFERENCE).as_posix() for path in (records.REFERENCE / "rocks").iterdir()}
    for kind in ("nn", "criterion", *rocks):
        there = {(kind, path.stem) for path in (records.REFERENCE / kind).glob("*.t7")}
        assert there - records.ASKED <= OTHERWISE


OTHERWISE = {
    ("rocks/char-rnn", "training"),
    *(("rocks/char-rnn", f"checkpoint_{name}") for name in ("lstm", "gru", "rnn")),
    ("rocks/dpnn", "api_module"),
}
"""Files that hold something else than records of modules and criterions; test_contrib_char_rnn and _dpnn_api read them."""
