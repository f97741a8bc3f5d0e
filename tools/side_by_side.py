"""One page of a Lua script and its Python port, line against line.

python tools/side_by_side.py train.lua train.py -o page.html

The page is a single HTML file for any browser. Lines of the two files that share words, numbers and strings stand
beside each other, in order; a line without a counterpart is marked, and says so where a like line stands elsewhere in
the other file. Blank lines and those of ``end`` or a bracket are never marked: a port may do without them.
"""

from __future__ import annotations

import argparse
import html
import os
import re
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise, zip_longest
from math import log

Pair = tuple[int, int]

ALIKE = 0.3  # lines that have this much in common, between 0 and 1, belong together ...
NEAR = 0.1  # ... and this much where the lines before and after them do
EMPTY = 0.01  # what lines without words count there
MOVED = 0.6  # a line without a counterpart is said to stand elsewhere if it has as much in common with a line there

_LUA = re.compile(
    r"(?P<comment>--\[(=*)\[.*?(?:\]\2\]|\Z)|--[^\n]*)"
    r"|(?P<string>\[(=*)\[.*?(?:\]\4\]|\Z)|\"(?:\\.|[^\"\\\n])*\"?|'(?:\\.|[^'\\\n])*'?)"
    r"|(?P<keyword>\b(?:and|break|do|else|elseif|end|false|for|function|goto|if|in|local|nil|not|or|repeat|return|then"
    r"|true|until|while)\b)",
    re.DOTALL,
)
_PYTHON = re.compile(
    r"(?P<comment>#[^\n]*)"
    r"|(?P<string>(\"\"\"|''').*?(?:\3|\Z)|\"(?:\\.|[^\"\\\n])*\"?|'(?:\\.|[^'\\\n])*'?)"
    r"|(?P<keyword>\b(?:False|None|True|and|as|assert|break|class|continue|def|del|elif|else|except|finally|for|from"
    r"|global|if|import|in|is|lambda|nonlocal|not|or|pass|raise|return|try|while|with|yield)\b)",
    re.DOTALL,
)

# What the two languages write differently, and what only one of them has to write.
_SAME = {
    "function": "def",
    "repeat": "while",
    "nil": "none",
    "elseif": "elif",
    "require": "import",
    "tostring": "str",
    "error": "raise",
}
_IDLE = frozenset("local then do end self".split())

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>
body {{ margin: 1em; font-family: sans-serif; color: #222; background: #fff }}
table {{ border-collapse: collapse; width: 100%; table-layout: fixed }}
th {{ text-align: left; position: sticky; top: 0; background: #fff; border-bottom: 1px solid #999; padding: .3em }}
th.n {{ width: 3.5em }}
td {{ padding: 0 .5em; vertical-align: top; font: 13px/1.45 monospace; white-space: pre-wrap; overflow-wrap: anywhere;
tab-size: 4 }}
td.n {{ text-align: right; color: #888; user-select: none }}
td.alone {{ background: #ffe8b0 }}
td:target {{ outline: 2px solid #36c; scroll-margin-top: 4em }}
a {{ float: right; font: 11px sans-serif; color: #36c; margin-left: 1em }}
.comment {{ color: #667 }} .string {{ color: #065 }} .keyword {{ color: #549; font-weight: bold }}
</style></head><body>
<p>{summary}</p>
<table><thead><tr><th class="n"></th><th>{left}</th><th class="n"></th><th>{right}</th></tr></thead><tbody>
{rows}
</tbody></table></body></html>
"""


def words(line: str) -> list[str]:
    """What a line says whichever language it is in: names, without case and underscores, and numbers."""
    found = re.findall(r"\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|[^\W\d]\w*", line)
    folded = (word.replace("_", "").lower() for word in found)
    return [_SAME.get(word, word) for word in folded if word and word not in _IDLE]


def features(lines: Sequence[str]) -> list[Counter]:
    """For each line its words, and the pairs of words that follow each other."""
    said = [words(line) for line in lines]
    return [Counter([*line, *pairwise(line)]) for line in said]


def likenesses(left: Sequence[str], right: Sequence[str]) -> dict[Pair, float]:
    """How much lines of two files have in common, between 0 and 1, for the pairs of lines that have something.

    Words that occur in many lines count less.
    """
    ours, theirs = features(left), features(right)
    lines = len(ours) + len(theirs)
    spread = Counter(feature for line in (*ours, *theirs) for feature in line)
    weight = {feature: log(1 + lines / count) for feature, count in spread.items()}
    sums = [[sum(weight[f] * n for f, n in line.items()) for line in side] for side in (ours, theirs)]
    where: dict[object, list[tuple[int, int]]] = {}
    for j, line in enumerate(theirs):
        for feature, n in line.items():
            where.setdefault(feature, []).append((j, n))
    found = {}
    for i, line in enumerate(ours):
        shared: dict[int, float] = {}
        for feature, n in line.items():
            for j, m in where.get(feature, ()):
                shared[j] = shared.get(j, 0.0) + weight[feature] * min(n, m)
        for j, common in shared.items():
            found[i, j] = 2 * common / (sums[0][i] + sums[1][j])
    return found


def chain(scores: dict[Pair, float]) -> list[Pair]:
    """The pairs, in strictly ascending order on both sides, whose scores have the largest sum."""
    # ends: for ascending j, chains that end at column j, each better than all that end further left.
    ends: list[int] = []
    best: list[tuple[float, tuple | None]] = []
    rows: dict[int, list[tuple[int, float]]] = {}
    for (i, j), score in scores.items():
        rows.setdefault(i, []).append((j, score))
    for i in sorted(rows):
        for j, score in sorted(rows[i], reverse=True):  # from the right, so that a row is used once in a chain
            at = bisect_left(ends, j)
            total, before = best[at - 1] if at else (0.0, None)
            total += score
            if at < len(ends) and ends[at] == j:
                if best[at][0] >= total:
                    continue
            else:
                ends.insert(at, j)
                best.insert(at, (0.0, None))
            best[at] = (total, (i, j, before))
            beyond = at + 1
            while beyond < len(ends) and best[beyond][0] <= total:
                beyond += 1
            del ends[at + 1 : beyond], best[at + 1 : beyond]
    pairs = []
    link = best[-1][1] if best else None
    while link:
        pairs.append(link[:2])
        link = link[2]
    return pairs[::-1]


def align(
    left: Sequence[str], right: Sequence[str], scores: dict[Pair, float]
) -> tuple[list[tuple[int | None, int | None]], set[Pair]]:
    """Put the lines of two files beside each other.

    Args:
        left: the lines of one file.
        right: the lines of the other.
        scores: what :func:`likenesses` gives for them.

    Returns:
        The rows, each with the number of a line, from 0, on either side or ``None``; and which of them are pairs of
        lines that belong together.
    """
    sure = chain({pair: score for pair, score in scores.items() if score >= ALIKE})
    silent = [[n for n, line in enumerate(side) if not words(line)] for side in (left, right)]
    pairs: set[Pair] = set()
    i = j = 0
    for a, b in [*sure, (len(left), len(right))]:
        # Between lines that belong together less in common is enough, and lines without words go together.
        between = {(m, n): EMPTY for m in _within(silent[0], i, a) for n in _within(silent[1], j, b)}
        between |= {(m, n): scores[m, n] for m in range(i, a) for n in range(j, b) if scores.get((m, n), 0) >= NEAR}
        pairs.update(chain(between))
        i, j = a + 1, b + 1
    pairs.update(sure)
    rows: list[tuple[int | None, int | None]] = []
    i = j = 0
    for a, b in [*sorted(pairs), (len(left), len(right))]:
        rows += zip_longest(range(i, a), range(j, b))
        rows.append((a, b))
        i, j = a + 1, b + 1
    return rows[:-1], pairs


def _within(numbers: list[int], start: int, stop: int) -> list[int]:
    return numbers[bisect_left(numbers, start) : bisect_left(numbers, stop)]


def moved(scores: dict[Pair, float], pairs: set[Pair]) -> tuple[dict[int, int], dict[int, int]]:
    """For lines without a counterpart, on either side, the line on the other side that is most like it."""
    likely = sorted(((score, pair) for pair, score in scores.items() if score >= MOVED), reverse=True)
    matched = {i for i, _ in pairs}, {j for _, j in pairs}
    there: tuple[dict[int, int], dict[int, int]] = {}, {}
    for _, (i, j) in likely:
        if i not in matched[0] and j not in matched[1] and i not in there[0] and j not in there[1]:
            there[0][i], there[1][j] = j, i
    return there


def coloured(text: str, syntax: re.Pattern[str]) -> list[str]:
    """The lines of a program as HTML, its comments, strings and keywords in spans of these classes."""

    def pieces() -> Iterator[str]:
        end = 0
        for found in syntax.finditer(text):
            yield html.escape(text[end : found.start()])
            for n, line in enumerate(found[0].split("\n")):  # a span does not reach beyond a cell
                yield ("\n" if n else "") + f'<span class="{found.lastgroup}">{html.escape(line)}</span>'
            end = found.end()
        yield html.escape(text[end:])

    return "".join(pieces()).split("\n")


def page(lua: str, python: str, names: tuple[str, str] = ("Lua", "Python")) -> tuple[str, str]:
    """The HTML page of a Lua script and its port, and a line that says how many lines have no counterpart.

    Args:
        lua: the text of the script.
        python: the text of the port.
        names: what to write above the columns.
    """
    lua, python = lua.removesuffix("\n"), python.removesuffix("\n")
    left, right = sides = lua.split("\n") if lua else [], python.split("\n") if python else []
    shown = coloured(lua, _LUA), coloured(python, _PYTHON)
    scores = likenesses(left, right)
    places, pairs = align(left, right, scores)
    elsewhere = moved(scores, pairs)
    alone = [0, 0]

    def cells(row: tuple[int | None, int | None], side: int) -> str:
        n = row[side]
        if n is None:
            return "<td class=n></td><td></td>"
        kind = note = ""
        if row not in pairs and words(sides[side][n]):
            alone[side] += 1
            kind = ' class="alone"'
            if n in elsewhere[side]:
                to = elsewhere[side][n] + 1
                note = f'<a href="#{"rl"[side]}{to}">like line {to}</a>'
        return f'<td class=n id="{"lr"[side]}{n + 1}">{n + 1}</td><td{kind}>{note}{shown[side][n]}</td>'

    rows = "\n".join(f"<tr>{cells(row, 0)}{cells(row, 1)}</tr>" for row in places)
    summary = "; ".join(
        f"{name}: {len(side)} line{'s' * (len(side) != 1)}, {count} without a counterpart"
        for name, side, count in zip(names, sides, alone, strict=True)
    )
    above = [html.escape(name) for name in names]
    text = _PAGE.format(title=" – ".join(above), summary=html.escape(summary), left=above[0], right=above[1], rows=rows)
    return text, summary


def read(path: str) -> str:
    """The text of a file, its line ends as ``\\n``; one that is not UTF-8 is read as Latin-1, and this is said."""
    with open(path, "rb") as file:
        raw = file.read()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        print(f"side_by_side: {path} is not UTF-8, reading it as Latin-1", file=sys.stderr)
        text = raw.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="side_by_side.py", description=__doc__.split("\n")[0])
    parser.add_argument("lua", help="the Lua script")
    parser.add_argument("python", help="its Python port")
    parser.add_argument("-o", "--output", required=True, metavar="PAGE", help="the HTML file to write")
    given = parser.parse_args(arguments)
    try:
        texts = read(given.lua), read(given.python)
        if any(
            os.path.exists(given.output) and os.path.samefile(given.output, path) for path in (given.lua, given.python)
        ):
            raise OSError(None, "it is one of the two files to compare", given.output)
        text, summary = page(*texts, (os.path.basename(given.lua), os.path.basename(given.python)))
        with open(given.output, "w", encoding="utf-8", errors="replace", newline="\n") as file:
            file.write(text)
    except OSError as error:
        print(f"side_by_side: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    print(summary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
