"""tools/side_by_side.py: which lines it puts beside each other, what it marks, and its page."""

import html
import itertools
import random
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

import side_by_side as tool  # in tools/

SCRIPT = Path(tool.__file__)
DIGITS = SCRIPT.parents[1] / "porting_guide" / "digits"


class Reader(HTMLParser):
    """The rows of a page: for either side (number, text of the line, whether it is marked), or None for no line."""

    def __init__(self, page):
        super().__init__()
        self.rows, self.links, self.open = [], [], []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "tr":
            self.rows.append([])
        elif tag == "td":
            self.rows[-1].append(["", attributes.get("class")])
        elif tag == "a":
            self.links.append(attributes["href"])
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "td" in self.open and "a" not in self.open:
            self.rows[-1][-1][0] += data

    def lines(self):
        """The rows below the headings."""
        for (left, _), (a, first), (right, _), (b, second) in self.rows[1:]:
            yield (
                (int(left), a, first == "alone") if left else None,
                (int(right), b, second == "alone") if right else None,
            )


def beside(lua, python):
    """(line, line, marked) of the page, with numbers counted from 1 and None for no line."""
    return [
        (left and left[0], right and right[0], bool((left and left[2]) or (right and right[2])))
        for left, right in Reader(tool.page(lua, python)[0]).lines()
    ]


def test_every_line_of_the_worked_port_stands_once_in_its_order():
    texts = [(DIGITS / name).read_text() for name in ("train.lua", "train.py")]
    rows = list(Reader(tool.page(*texts)[0]).lines())
    for side, text in enumerate(texts):
        shown = [row[side][:2] for row in rows if row[side]]
        assert shown == list(enumerate(text.splitlines(), 1))


def test_the_worked_port_stands_line_against_line():
    texts = [(DIGITS / name).read_text() for name in ("train.lua", "train.py")]
    page, summary = tool.page(*texts, ("train.lua", "train.py"))
    marked = [
        text.strip() for row in Reader(page).lines() for line in row if line for _, text, alone in [line] if alone
    ]
    assert sorted(marked) == ["import luann", "import os, re", "local tested", "require 'optim'", "require 'xlua'"]
    assert summary == "train.lua: 110 lines, 3 without a counterpart; train.py: 110 lines, 2 without a counterpart"
    # From the first line after the imports the port was written line against line.
    later = [row for row in beside(*texts) if row[0] and row[0] > 8]
    assert all(left == right for left, right, _ in later if right)


PORTS = [
    (script, script.with_suffix(".py"))
    for script in sorted(DIGITS.parent.glob("*/*.lua"))
    if script.with_suffix(".py").exists()
]


@pytest.mark.parametrize("paths", PORTS, ids=lambda paths: "/".join(paths[0].parts[-2:]))
def test_of_the_worked_ports_at_most_a_line_in_ten_is_marked(paths):
    texts = [path.read_text() for path in paths]
    marked = [sum(line[2] for line in side if line) for side in zip(*Reader(tool.page(*texts)[0]).lines(), strict=True)]
    assert all(10 * n <= len(text.splitlines()) for n, text in zip(marked, texts, strict=True))


LUA = """local net = nn.Sequential()
net:add(nn.Linear(10, 20))
net:add(nn.Tanh())
net:add(nn.Dropout(0.5))
net:add(nn.Linear(20, 2))
return net
"""
PYTHON = """net = nn.Sequential()
net.add(nn.Linear(10, 20))
net.add(nn.Tanh())
net.add(nn.Dropout(0.5))
net.add(nn.Linear(20, 2))
return net
"""


def test_equal_files():
    assert beside(LUA, PYTHON) == [(n, n, False) for n in range(1, 7)]


def test_an_inserted_line_is_marked():
    lines = PYTHON.splitlines()
    lines.insert(3, "print('device', torch.cuda.is_available())")
    assert beside(LUA, "\n".join(lines)) == [
        (1, 1, False), (2, 2, False), (3, 3, False), (None, 4, True), (4, 5, False), (5, 6, False), (6, 7, False),
    ]  # fmt: skip


def test_a_missing_line_is_marked():
    lines = PYTHON.splitlines()
    del lines[3]  # the Dropout
    assert beside(LUA, "\n".join(lines)) == [
        (1, 1, False), (2, 2, False), (3, 3, False), (4, None, True), (5, 4, False), (6, 5, False),
    ]  # fmt: skip


def test_a_line_that_stands_elsewhere_says_where():
    lines = PYTHON.splitlines()
    lines.insert(4, lines.pop(1))  # the first Linear comes behind the second
    page = tool.page(LUA, "\n".join(lines))[0]
    assert [(a, b) for a, b, marked in beside(LUA, "\n".join(lines)) if marked] == [(2, None), (None, 5)]
    assert Reader(page).links == ["#r5", "#l2"]
    for link in Reader(page).links:
        assert page.count(f'id="{link[1:]}"') == 1


def test_names_in_another_style_are_the_same_words():
    assert tool.words("local learningRate = nil") == tool.words("learning_rate = None")
    assert tool.words("self.gradWeight:zero()") == tool.words("self.grad_weight.zero_()")
    assert beside("t = torch.setnumthreads(1)\n", "torch.set_num_threads(1)\n") == [(1, 1, False)]


def test_ends_and_brackets_are_not_marked():
    lua = "for i = 1, n do\n   total = total + i\nend\n\nlocal t = {\n   1,\n}\n"
    python = "for i in range(1, n + 1):\n    total += i\n\nt = [\n    1,\n]\n"
    assert not any(marked for _, _, marked in beside(lua, python))


@pytest.mark.parametrize("seed", range(40))
def test_a_chain_is_the_best_there_is(seed):
    draw = random.Random(seed)
    places = [(i, j) for i in range(5) for j in range(5)]
    scores = {place: draw.choice([0.1, 0.25, 0.5, 1.0]) for place in draw.sample(places, 9)}
    chosen = tool.chain(scores)
    assert all(a < c and b < d for (a, b), (c, d) in itertools.pairwise(chosen))

    def best(i, j):
        return max((s + best(a + 1, b + 1) for (a, b), s in scores.items() if a >= i and b >= j), default=0)

    assert sum(scores[place] for place in chosen) == pytest.approx(best(0, 0))


def test_the_page_is_escaped_and_stands_alone():
    lua = "local s = '<b>&\"' -- </td><script>\nprint(s)\n"
    python = "s = '<b>&\"'  # </td><script>\nprint(s)\n"
    page = tool.page(lua, python, ("<a>.lua", "b&c.py"))[0]
    assert "<script" not in page and "</td><s" not in page
    rows = list(Reader(page).lines())
    assert [row[0][1] for row in rows] == lua.splitlines()
    assert [row[1][1] for row in rows] == python.splitlines()
    assert "&lt;a&gt;.lua" in page and "b&amp;c.py" in page
    assert not re.search(r"\b(?:src|href)=\"(?!#)|url\(|@import", page)


def test_colours():
    shown = tool.coloured('x = "--no" -- yes\n--[[ one\ntwo ]] if', tool._LUA)
    assert shown == [
        'x = <span class="string">&quot;--no&quot;</span> <span class="comment">-- yes</span>',
        '<span class="comment">--[[ one</span>',
        '<span class="comment">two ]]</span> <span class="keyword">if</span>',
    ]
    shown = tool.coloured("'''a\nb''' '#' # c", tool._PYTHON)
    assert [html.unescape(re.sub("<.*?>", "", line)) for line in shown] == ["'''a", "b''' '#' # c"]
    assert shown[1].endswith('<span class="string">&#x27;#&#x27;</span> <span class="comment"># c</span>')


def test_an_empty_file():
    assert beside("", "") == []
    assert beside("", "x = 1\n") == [(None, 1, True)]
    assert beside("\n\n", "") == [(1, None, False), (2, None, False)]
    assert tool.page("x = 1", "")[1] == "Lua: 1 line, 1 without a counterpart; Python: 0 lines, 0 without a counterpart"


def run(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True)


def test_the_command(tmp_path):
    page = tmp_path / "page.html"
    done = run(DIGITS / "train.lua", DIGITS / "train.py", "-o", page)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("train.lua: 110 lines, 3 without a counterpart")
    assert page.read_text().startswith("<!DOCTYPE html>")


def test_a_file_that_is_not_utf_8_and_has_windows_line_ends(tmp_path, capsys):
    (tmp_path / "a.lua").write_bytes(b"-- caf\xe9\r\nlocal x = 1\r\n")
    (tmp_path / "a.py").write_bytes(b"\xef\xbb\xbf# caf\xc3\xa9\nx = 1\n")
    assert tool.main([str(tmp_path / "a.lua"), str(tmp_path / "a.py"), "-o", str(tmp_path / "a.html")]) == 0
    assert "a.lua is not UTF-8, reading it as Latin-1" in capsys.readouterr().err
    rows = list(Reader((tmp_path / "a.html").read_text(encoding="utf-8")).lines())
    assert rows == [((1, "-- café", False), (1, "# café", False)), ((2, "local x = 1", False), (2, "x = 1", False))]


def test_what_cannot_be_read_or_written(tmp_path, capsys):
    lua, python = str(DIGITS / "train.lua"), str(DIGITS / "train.py")
    assert run(tmp_path / "none.lua", python, "-o", tmp_path / "page.html").returncode == 1
    for arguments, wrong in [
        ((str(tmp_path / "none.lua"), python, "-o", str(tmp_path / "page.html")), "none.lua: No such file"),
        ((lua, str(tmp_path), "-o", str(tmp_path / "page.html")), "Is a directory"),
        ((lua, python, "-o", str(tmp_path / "none" / "page.html")), "page.html: No such file"),
    ]:
        assert tool.main(arguments) == 1
        said = capsys.readouterr()
        assert said.out == "" and said.err.startswith("side_by_side: ") and wrong in said.err
    assert not (tmp_path / "page.html").exists()


def test_it_does_not_write_over_what_it_compares(tmp_path, capsys):
    (tmp_path / "a.lua").write_text(LUA)
    (tmp_path / "a.py").write_text(PYTHON)
    assert tool.main([str(tmp_path / "a.lua"), str(tmp_path / "a.py"), "-o", str(tmp_path / "a.py")]) == 1
    assert "it is one of the two files to compare" in capsys.readouterr().err
    assert (tmp_path / "a.py").read_text() == PYTHON
