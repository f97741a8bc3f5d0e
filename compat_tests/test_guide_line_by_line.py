"""porting_guide/line_by_line.md: what a Lua line gives in LuaJIT is what its Python line gives.

Each row of a table, and each Lua block beside a Python block, is run in both languages, one after the other down the
page. What they print must be the same, and so must the values of the names that both sides of a row use. Where a Lua
line needs a rock, such as torch, only the Python line is run.
"""

import ast
import contextlib
import io
import math
import re
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch.nn import functional as F

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "porting_guide" / "line_by_line.md").read_text()
PIECE = re.compile(r"^```(lua|python)\n(.*?)^```$|^(\|[^\n]*)$", re.DOTALL | re.MULTILINE)
ROCKS = "cjson ffi image lapp lfs nn optim paths pl stringx sys tablex tds torch xlua".split()
# The last two: a rock that adds a method to strings, and a file that the page only speaks of.
NEEDS = re.compile(r"module '[\w.]+' not found|global '(\w+)'|method 'split'|cannot open settings.lua")
SILENT = ["collectgarbage()"]  # rows that print nothing and set nothing


def code(cell):
    """The code in a cell, which holds nothing else; None for a cell without."""
    if cell == "–":
        return None
    found = re.fullmatch(r"`([^`]+)`|`` (.+) ``", cell)
    assert found, cell
    return found[1] or found[2]


def pieces():
    """(kind, line, ...) down the page: the text of a block, or the Lua cell, the Python cell and the trap of a row."""
    last, in_table = -1, False
    for found in PIECE.finditer(TEXT):
        kind, block, row = found.groups()
        line = TEXT.count("\n", 0, found.start()) + 1
        if kind:
            yield kind, line, block
            continue
        if line != last + 1:
            in_table = row.startswith("| Lua | Python |")
        elif in_table and set(row) - set("|-"):
            cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
            yield "row", line, code(cells[0]), code(cells[1]), cells[2]
        last = line


def plain(value):
    """A Lua value as a Python one: a table is a list if its keys are 1 to n."""
    if type(value).__name__ != "_LuaTable":
        return value
    entries = {key: plain(entry) for key, entry in value.items()}
    numbers = range(1, len(entries) + 1)
    return [entries[n] for n in numbers] if all(n in entries for n in numbers) else entries


def same(lua, python):
    if isinstance(python, (list, tuple, dict)) and not python:
        return lua == []
    if isinstance(python, (list, tuple)):
        return isinstance(lua, list) and len(lua) == len(python) and all(map(same, lua, python))
    if isinstance(python, dict):
        lua = dict(enumerate(lua, 1)) if isinstance(lua, list) else lua
        return isinstance(lua, dict) and lua.keys() == python.keys() and all(same(lua[k], python[k]) for k in lua)
    if isinstance(python, bool) or isinstance(lua, bool):
        return lua is python
    if isinstance(python, float) and isinstance(lua, (int, float)):
        return math.isclose(lua, python, rel_tol=1e-15) or (math.isnan(lua) and math.isnan(python))
    return lua == python


class Both:
    """The two languages, each with its variables."""

    def __init__(self, luajit):
        self.lua = luajit.LuaRuntime(unpack_returned_tuples=True)
        self.names = {"__name__": "__main__"}
        self.written = []
        self.unknown = {*ROCKS}  # what Lua could not make for want of a rock
        self.lua.globals().write_here = self.written.append
        self.lua.execute("""
            arg = {[0] = 'train.lua'}
            io.write = function(...) write_here(table.concat({...})) return io.stdout end
            print = function(...)
                local texts = {}
                for i = 1, select('#', ...) do texts[i] = tostring((select(i, ...))) end
                write_here(table.concat(texts, '\\t') .. '\\n')
            end
        """)
        self.call = self.lua.eval("""function(text, where)
            local f, wrong = loadstring(text, '=' .. where)
            local ok = false
            if f then ok, wrong = pcall(f) end
            if not ok then return tostring(wrong) end
        end""")

    def run_lua(self, text, line):
        """What it printed; None if it needs a rock."""
        self.written.clear()
        wrong = self.call(text, f"line_by_line.md:{line}")
        if wrong is None:
            return "".join(self.written)
        needs = NEEDS.search(wrong)
        assert needs and (needs[1] is None or needs[1] in self.unknown), wrong
        for names in re.findall(r"(\w+(?:, \w+)*) = ", text):
            for name in names.split(", "):
                self.unknown.add(name)
                self.lua.globals()[name] = None
        return None

    def run_python(self, text, line):
        """What it printed."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile("\n" * (line - 1) + text, "line_by_line.md", "exec"), self.names)
        return out.getvalue()

    def shared(self, lua, python):
        """The values, in Lua and in Python, of the names that both sides of a row use."""
        tree = ast.parse(python)
        words = set(re.findall(r"\b[a-zA-Z_]\w*", re.sub(r"'[^']*'", "", lua)))
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        for node in ast.walk(tree):
            if isinstance(node, (ast.For, ast.comprehension)):  # a loop's own variables
                used -= {name.id for name in ast.walk(node.target) if isinstance(name, ast.Name)}
        for name in sorted(words & used & self.names.keys() - {"file", "f"}):  # each side has its own file
            value = self.names[name]
            if not (callable(value) or isinstance(value, ModuleType)):
                yield name, plain(self.lua.globals()[name]), value

    def claims(self, trap):
        """What a trap says of code: (code, what it is or raises, what it was found to be or raise)."""
        for text, verb, said, there in re.findall(r"`([^`]+)` (is|raises) `([^`]+)`( in Lua)?", trap):
            if there:
                yield text, said, self.lua.eval(f"tostring({text})")
            elif verb == "is":
                yield text, said, str(eval(text, self.names))
            else:
                try:
                    exec(text, dict(self.names))
                except Exception as error:
                    yield text, said, type(error).__name__
                else:
                    yield text, said, "nothing"


@pytest.fixture
def in_a_folder(tmp_path, monkeypatch):
    """Blocks of the page use the repository's root; temporary files go to a folder that disappears."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["train.py"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "util", raising=False)


def walk(luajit):
    """Run the page; yields what is to be compared: line, what it is, one value, the other value."""
    both = Both(luajit)
    said = None
    for kind, line, *texts in pieces():
        if kind == "lua":
            said = both.run_lua(*texts, line)
        elif kind == "python":
            printed = both.run_python(*texts, line)
            if said is not None:
                yield line, "what is printed", said, printed
            said = None
        else:
            lua, python, trap = texts
            said = both.run_lua(lua, line)
            printed = both.run_python(python, line)
            if said is not None:
                yield line, "what is printed", said, printed
                values = list(both.shared(lua, python))
                assert values or printed or lua in SILENT, f"line {line}: {lua} and {python} have nothing to compare"
                yield from ((line, *rest) for rest in values)
            yield from ((line, *rest) for rest in both.claims(trap))
            said = None


def test_lua_and_python_give_the_same(in_a_folder):
    luajit = pytest.importorskip("lupa.luajit21", reason="running Lua needs lupa: pip install luann[test]")
    compared = 0
    for line, what, first, second in walk(luajit):
        assert same(first, second), f"line {line}: {what}: {first!r} and {second!r}"
        compared += 1
    assert compared > 350


@pytest.mark.parametrize(
    "row",
    [
        "| `x = 1` | `x = 2` | |",
        "| `t = {1, 2}` | `t = [1]` | |",
        "| `x = not 0` | `x = 0` | |",
        "| `print(6 / 2)` | `print(6 / 2)` | |",
        "| `x = 1` | `x = 1` | `[][0]` raises `KeyError` |",
        "| `x = 1` | `x = 1` | `[][:]` raises `IndexError` |",
        "| `x = 1` | `x = 1` | `1 + 1` is `3` |",
        "| `x = 1` | `x = 1` | `#'ab'` is `3` in Lua |",
        "| `x = nosuchrock.f()` | `x = 1` | |",
        "| `x = 1` | `y = 1` | |",
    ],
)
def test_what_is_wrong_would_be_found(row, monkeypatch):
    luajit = pytest.importorskip("lupa.luajit21", reason="running Lua needs lupa: pip install luann[test]")
    monkeypatch.setitem(globals(), "TEXT", f"| Lua | Python | the trap |\n|---|---|---|\n{row}\n")
    with pytest.raises(AssertionError):
        assert all(same(first, second) for _, _, first, second in walk(luajit))


def test_the_python_lines_run(in_a_folder):
    """Without lupa, too."""
    names = {"__name__": "__main__"}
    for kind, line, *texts in pieces():
        if kind != "lua":
            python = texts[0] if kind == "python" else texts[1]
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile("\n" * (line - 1) + python, "line_by_line.md", "exec"), names)


def test_the_lua_lines_are_lua():
    luajit = pytest.importorskip("lupa.luajit21", reason="checking Lua needs lupa: pip install luann[test]")
    load = luajit.LuaRuntime().eval("function(text) local _, wrong = loadstring(text) return wrong end")
    for kind, line, *texts in pieces():
        if kind == "row":
            assert load(texts[0]) is None, f"line {line}: {texts[0]}"


CLASSES = re.findall(
    r"^\| `(\S+)` \| (?:`` (.+?) ``|`(.+?)`) \|", TEXT.split("| class | in `re` |")[1].split("\n\n")[0], re.MULTILINE
)


@pytest.mark.parametrize("lua, python", [(lua, one or other) for lua, one, other in CLASSES])
def test_classes_of_patterns(lua, python):
    luajit = pytest.importorskip("lupa.luajit21", reason="running Lua needs lupa: pip install luann[test]")
    match = luajit.LuaRuntime().eval("string.match")
    for character in map(chr, range(1, 128)):  # what Lua 5.1's patterns do with 0 is another matter
        assert (match(character, f"^{lua}$") is not None) == (re.fullmatch(python, character) is not None)


# What the C code of the image rock gives for this picture.
PICTURE = [[0.0, 3, 6, 1], [9, 0, 3, 2], [4, 8, 5, 7]]
SCALED = {
    ("bilinear", 6, 5): [
        [0.0, 1.8, 3.6, 5.4, 4.0, 1.0],
        [4.5, 2.7, 2.1, 3.9, 3.3, 1.5],
        [9.0, 3.6, 0.6, 2.4, 2.6, 2.0],
        [6.5, 5.0, 4.0, 4.0, 4.2, 4.5],
        [4.0, 6.4, 7.4, 5.6, 5.8, 7.0],
    ],
    ("bilinear", 3, 2): [[2.75, 3.5, 2.25], [5.583333, 4.833333, 5.083333]],
    ("bilinear", 6, 2): [
        [3.0, 2.4, 2.6, 4.4, 3.533333, 1.333333],
        [5.666667, 5.466667, 5.133333, 4.533333, 4.733334, 5.333333],
    ],
    ("bicubic", 6, 5): [
        [0.0, 1.8, 3.728, 5.912, 4.575999, 1.0],
        [5.375, 2.066, 1.0805, 3.7895, 3.467, 1.25],
        [9.0, 2.736, -0.104, 2.464, 2.888, 2.0],
        [7.375, 4.618, 3.1005, 3.5295, 3.899, 4.25],
        [4.0, 6.904, 7.768, 5.392, 5.44, 7.0],
    ],
    ("bicubic", 3, 2): [[0.0, 5.0, 1.0], [4.0, 6.625, 7.0]],
    ("bicubic", 6, 2): [[0.0, 1.8, 3.728, 5.912, 4.575999, 1.0], [4.0, 6.904, 7.768, 5.392, 5.44, 7.0]],
    ("simple", 6, 5): [
        [0.0, 0.0, 3.0, 6.0, 6.0, 1.0],
        [0.0, 0.0, 3.0, 6.0, 6.0, 1.0],
        [9.0, 9.0, 0.0, 3.0, 3.0, 2.0],
        [9.0, 9.0, 0.0, 3.0, 3.0, 2.0],
        [4.0, 4.0, 8.0, 5.0, 5.0, 7.0],
    ],
    ("simple", 3, 2): [[0.0, 3.0, 6.0], [9.0, 0.0, 3.0]],
}


@pytest.fixture(scope="module")
def scale():
    names = {"torch": torch}
    exec(re.search(r"^```python\n(def shares.*?)^print", TEXT, re.DOTALL | re.MULTILINE)[1], names)
    return names["scale"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("mode, width, height", SCALED)
def test_scale_is_image_scale(scale, mode, width, height, dtype):
    picture = torch.tensor([PICTURE], dtype=dtype)
    wanted = torch.tensor([SCALED[mode, width, height]], dtype=dtype)
    # The rock computes positions in float, whatever the type, and these are six decimals of its results.
    torch.testing.assert_close(scale(picture, width, height, mode), wanted, rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize(
    "mode, size, old, line",
    [
        ("bilinear", (9, 13), (5, 7), {"mode": "bilinear", "align_corners": True}),
        ("bilinear", (4, 3), (8, 12), {"mode": "area"}),
        ("simple", (9, 13), (5, 7), {"mode": "nearest"}),
        ("simple", (224, 224), (480, 640), {"mode": "nearest"}),
    ],
)
def test_where_interpolate_equals_image_scale(scale, mode, size, old, line):
    picture = torch.arange(float(old[0] * old[1])).mul(7).remainder(101).view(1, 1, *old)
    ours = scale(picture[0], size[1], size[0], mode)[None]
    torch.testing.assert_close(F.interpolate(picture, size, **line), ours, rtol=1e-5, atol=1e-4)  # positions in float
    if mode == "bilinear":
        other = F.interpolate(picture, size, mode="bilinear")
        assert (other - ours).abs().max() > 1
