"""README and the porting guide: every Python block runs, in order, in one namespace per page; a ``text`` block that
follows is its output.
"""

import contextlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "porting_guide").rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


def name(page):
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_python_blocks_run_and_print_what_is_shown(page, monkeypatch):
    monkeypatch.chdir(ROOT)
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
    for target in LINK.findall(page.read_text()):
        if not re.match(r"\w+:", target):
            assert (page.parent / target).exists(), target
