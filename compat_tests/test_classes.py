"""The pages of classes are what the tool writes, and name every class and every exception."""

import importlib
import inspect
import re
import sys
from operator import attrgetter
from pathlib import Path

import pytest
import records
import torch

from luann import contrib, nn, types

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import classes  # noqa: E402  in tools/

ROCKS = classes.rocks()


def classes_of(rock):
    return {name: thing for name in ROCKS[rock].__all__ if inspect.isclass(thing := getattr(ROCKS[rock], name))}


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
"""Files that hold something else than records of modules and criterions; test_contrib_char_rnn, _dpnn_api read them."""


def test_the_page_of_rocks_is_up_to_date():
    assert classes.ROCKS_PAGE.read_text() == classes.rocks_page(), "run python tools/classes.py"


def test_every_rock_is_imported_with_luann_and_has_its_table():
    assert sorted(ROCKS) == sorted(contrib.__all__)
    assert sorted(ROCKS) == sorted(re.findall(r"<!-- classes of (\w+) -->", classes.ROCKS_PAGE.read_text()))


@pytest.mark.parametrize("rock", ROCKS)
def test_every_name_that_a_rock_exports_has_a_row(rock):
    rows = re.findall(rf"^\| .*`{rock}\.(\w+)` \| \S.*\S \|$", classes.table(rock, ROCKS[rock]), re.MULTILINE)
    assert sorted(rows) == sorted(ROCKS[rock].__all__)


@pytest.mark.parametrize("rock", ROCKS)
def test_files_find_every_class_of_a_rock(rock):
    for cls in classes_of(rock).values():
        known = types.classes[cls._typename]
        assert cls is known or cls in known._variants


def test_kin_is_of_classes_that_there_are():
    for rock, kin in classes.KIN.items():
        assert kin.keys() <= classes_of(rock).keys()


def test_names_of_pytorch_on_the_pages_exist():
    named = [kin for table in (classes.CHAPTERS, classes.KIN) for kins in table.values() for kin in kins.values()]
    places = {"nn": torch.nn, "F": torch.nn.functional, "torch": torch, "utils": torch.nn.utils}
    for kin in named:
        for place, name in re.findall(r"(?<![\w.])(nn|F|torch|utils)\.([\w.]+)", kin):
            assert attrgetter(name)(places[place])


def test_every_name_that_several_classes_share_is_told():
    page = classes.ROCKS_PAGE.read_text()
    section = page[page.index("### Names that several rocks have") : page.index("If no class fits")]
    told, name = {}, ""
    for torch7, rock, python in re.findall(r"^\| (?:`([\w.]+)`)? *\| `(\w+)\.(\w+)`", section, re.MULTILINE):
        name = torch7 or name
        told.setdefault(name, set()).add(getattr(nn if rock == "nn" else ROCKS[rock], python))
    several = {}
    for typename, known in types.classes.items():
        if variants := getattr(known, "_variants", None):
            several[typename] = {*variants, known._default} - {None}
    assert told == {typename: them for typename, them in several.items() if len(them) > 1}
