"""The page of tensors names every method and function; its lines run, and change what the Lua line changes, no more."""

import re

import pytest
import torch
from tensor_lines import LINES, ROWS, TEXT, run, tool

# Of these there is no Python line, as the page says.
WITHOUT = {
    "z, pivots = torch.pstrf(a)",
    "x:retain()",
    "x:free()",
    "x:read(file)",
    "x:write(file)",
    "probs, alias = torch.multinomialAliasSetup_(v)",
    "torch.multinomialAlias_(i, alias, probs)",
    "torch.setheaptracking(true)",
    "torch.updateerrorhandlers()",
    "torch.updatethreadlocals()",
}


def test_the_index_is_up_to_date():
    assert tool.indexed(TEXT) == TEXT, "run python tools/tensors.py"


def test_every_name_is_told():
    told = set(re.findall(r"torch\.(\w+)", TEXT)) | {name for lua in LINES for name in tool.names(lua)}
    assert told >= tool.METHODS | tool.FUNCTIONS | tool.CLASSES
    in_rows = {name for lua in LINES for name in re.findall(r"(?:[\w\])]:|x\.)(\w+)", lua)}
    # They stand in the wrong metatable: as methods they cannot be called.
    assert tool.METHODS - in_rows == {"multinomial", "multinomialAliasSetup_", "multinomialAlias_"}


def test_a_lua_line_has_one_python_line():
    assert len(LINES) == len(ROWS)
    assert {lua for lua, python in ROWS if python is None} == WITHOUT


def test_every_name_leads_to_its_row():
    index = TEXT[TEXT.index("## Index") :]
    assert {name.removeprefix("torch.") for name in re.findall(r"\[`([\w.]+)`\]", index)} == (
        tool.METHODS | tool.FUNCTIONS | tool.CLASSES
    )
    for target in re.findall(r"\(#(of-\w+)\)", index):
        assert TEXT.count(f'<a id="{target}"></a>') == 1


def written(lua):
    """The names that a Lua line gives a new value, and those of tensors that it changes."""
    bound, changed = set(), set()
    for statement in lua.split("; "):
        found = re.match(r"([^=(]+|\w+\[.*?\]) = (.*)$", statement)
        left, right = found.groups() if found else ("", statement)
        if left:
            if re.fullmatch(r"\w+(, \w+)*", left):
                bound.update(left.split(", "))
            else:
                changed.add(re.match(r"\w+", left)[0])
        call = re.match(r"(\w+)(?:\[.*?\])*:(\w+)\(", right)
        if call and (call[2] in tool.CHANGING or not left):
            changed.add(call[1])
        call = re.match(r"torch\.\w+\((\w+)(?:, (i)\b)?", right)
        if call and not left:
            changed.update(filter(None, call.groups()))
    return bound, changed


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("lua", [lua for lua, python in ROWS if python is not None])
def test_a_line_runs_and_changes_what_the_lua_line_changes(lua):
    threads = torch.get_num_threads()
    before, values, after = run(lua)
    torch.set_num_threads(threads)
    bound, changed = written(lua)
    assert bound <= after.keys()
    for name, value in values.items():
        if name not in bound:
            assert after[name] is before[name], f"{name} became another tensor"
        if name not in changed:
            assert torch.equal(before[name], value), f"{name} was changed"
