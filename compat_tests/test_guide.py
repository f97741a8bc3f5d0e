"""README and the porting guide: every Python block runs, in order, in one namespace per page, and a ``text`` block that
follows is its output; every Lua block compiles; every link leads somewhere.
"""

import contextlib
import io
import re
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "porting_guide").rglob("*.md"))]
SCRIPTS = sorted(path for folder in ("porting_guide", "tools") for path in (ROOT / folder).rglob("*.lua"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?[^)]*\)")


def name(page):
    return str(page.relative_to(ROOT))


def prose(page):
    """The text of a page without its code."""
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text()))


@cache
def anchors(page):
    """What may stand behind a ``#``: a page's headings, as GitHub makes anchors of them, and the ``id`` of its tags."""
    text = FENCE.sub("", page.read_text())
    found = re.findall(r'<a id="([^"]+)">', text)
    seen = {}
    for heading in re.findall(r"^#+ +(.*?)[ #]*$", text, re.MULTILINE):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        seen[slug] = seen.get(slug, -1) + 1
        found.append(f"{slug}-{seen[slug]}" if seen[slug] else slug)
    return frozenset(found)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_python_blocks_run_and_print_what_is_shown(page, monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "path", [*sys.path])
    names = {"__name__": "__main__"}
    printed = ""
    for kind, text in FENCE.findall(page.read_text()):
        if kind == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(text, str(page), "exec"), names)
            printed = out.getvalue()
        elif kind == "text":
            assert printed == text


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_resolve(page):
    for target, anchor in LINK.findall(prose(page)):
        if not re.match(r"\w+:", target):
            there = page.parent / target if target else page
            assert there.exists(), target
            assert not anchor or (there.suffix == ".md" and anchor in anchors(there)), f"{target}#{anchor}"


def test_anchors_are_github_s(tmp_path):
    page = tmp_path / "page.md"
    page.write_text('# `a_b.c`: x & [y](z.md)\n## Same\n## Same\n```lua\n# no heading\n```\n<a id="m"></a>\n')
    assert anchors(page) == {"a_bc-x--y", "same", "same-1", "m"}


@pytest.fixture(scope="module")
def compiled():
    """LuaJIT's compiler, which Torch7 had: a function that fails if a text is no Lua; nothing of it is run."""
    luajit = pytest.importorskip("lupa.luajit21", reason="checking Lua needs lupa: pip install luann[test]")
    load = luajit.LuaRuntime().eval(
        "function(text, name) local _, wrong = loadstring(text, '=' .. name) return wrong end"
    )

    def check(text, where):
        wrong = load(text, where)
        assert wrong is None, wrong

    return check


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_lua_blocks_are_lua(page, compiled):
    for number, (kind, text) in enumerate(FENCE.findall(page.read_text()), 1):
        if kind == "lua":
            compiled(text, f"{name(page)}, block {number}")


@pytest.mark.parametrize("script", SCRIPTS, ids=name)
def test_scripts_are_lua(script, compiled):
    compiled(script.read_text(), name(script))


def test_the_lua_lines_of_the_page_of_tensors_are_lua(compiled, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import tensors  # in tools/

    for _, number, lua, _ in tensors.rows(tensors.PAGE.read_text()):
        compiled(lua, f"tensors.md:{number + 1}")
