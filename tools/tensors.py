"""The names that ``porting_guide/tensors.md`` must tell, and the index at its end.

python tools/tensors.py          # write the anchors and the index of the page
python tools/tensors.py --check  # exit status 1 if they are not what this would write

The rest of the page is written by hand. The names come from Torch7's sources: the tables of functions in
``generic/Tensor.c`` and ``utils.c``, the wrapped functions of ``TensorMath.lua`` and ``random.lua``, and what
``Tensor.lua``, ``FFInterface.lua``, ``File.lua`` and ``init.lua`` add.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "porting_guide" / "tensors.md"

# TensorMath.lua: as methods and as functions of torch. As a method, x:f(...) changes x ...
_MATH_CHANGING = """
    abs acos add addbmm addcdiv addcmul addmm addmv addr asin atan atan2 baddbmm bernoulli bitand bitor bitxor bmm
    cauchy cbitand cbitor cbitxor cdiv ceil cfmod cinv clamp clshift cmax cmin cmod cmul cos cosh cpow cremainder
    crshift csub div exp exponential eye fill floor fmod frac geometric ger lerp linspace log log1p logNormal
    logspace lshift match mm mod mul mv neg normal ones pow rand randn random randperm range remainder renorm round
    rshift rsqrt scatter sigmoid sign sin sinh sqrt tan tanh trunc uniform zero zeros
""".split()
# ... or gives something new.
_MATH_GIVING = """
    all any bhistc cat conv2 conv3 cross cumprod cumsum diag dist dot eq equal gather ge gt histc kthvalue le lt max
    mean median min mode multinomial multinomialAliasSetup_ multinomialAlias_ ne nonzero norm numel prod reshape
    sort squeeze std sum topk trace tril triu var xcorr2 xcorr3
""".split()
_MATH_FUNCTIONS = """
    eig gels geqrf gesv inverse orgqr ormqr potrf potri potrs pstrf qr svd symeig trtrs
""".split()
# generic/Tensor.c
_C_CHANGING = """
    apply copy indexAdd indexCopy indexFill map map2 maskedCopy maskedFill resize resizeAs set
""".split()
_C_GIVING = """
    clone contiguous dim elementSize free index isContiguous isSameSizeAs isSetTo isSize maskedSelect nDimension
    nElement narrow read retain select size storage storageOffset stride sub t transpose unfold write
""".split()
# Tensor.lua: as methods; the second line as functions of torch, too.
_LUA = """
    byte char double float half int long real short type typeAs
    chunk expand expandAs permute repeatTensor split totable view viewAs
""".strip().splitlines()
_FFI = "cdata data".split()

CHANGING = {*_MATH_CHANGING, *_C_CHANGING}
"""The methods that change the tensor they are called on."""

METHODS = {*CHANGING, *_MATH_GIVING, *_C_GIVING, *" ".join(_LUA).split(), *_FFI, "new"}
"""Every method of a tensor, without metamethods."""

FUNCTIONS = {
    *_MATH_CHANGING,
    *_MATH_GIVING,
    *_MATH_FUNCTIONS,
    *_LUA[1].split(),
    *_FFI,
    *"getRNGState initialSeed manualSeed seed setRNGState".split(),  # random.lua
    *"deserialize deserializeFromStorage load loadobj save saveobj serialize serializeToStorage".split(),  # File.lua
    # utils.c
    *"factory getconstructortable getdefaulttensortype getenv getmetatable getnumcores getnumthreads isatty".split(),
    *"isequal metatype newmetatable pointer pushudata setenv setheaptracking setmetatable setnumthreads tic".split(),
    *"toc typename updateerrorhandlers version".split(),
    # init.lua
    *"class include isStorage isTensor isTypeOf multinomialAlias multinomialAliasSetup packageLuaPath".split(),
    *"setdefaulttensortype test type updatethreadlocals".split(),
}
"""Every function of ``torch``."""

CLASSES = set(
    "Allocator CmdLine DiskFile File Generator MemoryFile PipeFile Tensor TestSuite Tester Timer".split()
    + [f"{kind}Tensor" for kind in "Byte Char Short Int Long Half Float Double".split()]
    + ["FloatStorage", "LongStorage"]
)
"""The classes of ``torch`` that have a row or a word of their own."""

_ANCHOR = re.compile(r'<a id="[\w-]+"></a>')
_NAME = re.compile(r"(?:\btorch\.|[\w\])]:|\b[a-z]\.(?=new\b))(\w+)")
_HEADING = re.compile(r"^#{2,3} (.+)$")
_INDEX = "## Index\n"
_TRAPS = "What silently means something else"  # repeats rows of the other tables


def cells(line: str) -> list[str]:
    """The cells of a line of a table."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def rows(text: str) -> Iterator[tuple[str, int, str, str | None]]:
    """The rows of the page's tables of code: heading, number of the line, Lua, Python (None where there is none)."""
    heading, pairs = "", []
    for number, line in enumerate(text.splitlines()):
        if found := _HEADING.match(line):
            heading = found[1]
        if not line.startswith("|"):
            pairs = []
            continue
        row = cells(_ANCHOR.sub("", line))
        if not pairs:
            pairs = [j for j, name in enumerate(row) if name.startswith("Torch7")]
        elif set(line) - set("|-"):
            for j in pairs:
                yield heading, number, row[j].strip("`"), None if row[j + 1] == "–" else row[j + 1].strip("`")


def names(lua: str) -> list[str]:
    """The methods and functions of torch that a Lua line calls, and the classes it makes."""
    return [name for name in _NAME.findall(lua) if name in METHODS | FUNCTIONS | CLASSES]


def _main_rows(text: str) -> dict[str, int]:
    """For each name, the line of its row: the first of those that show it best."""
    best: dict[str, tuple[int, int]] = {}
    for heading, number, lua, _ in rows(text):
        called = names(lua)
        for name in called if heading != _TRAPS else ():
            plain = re.match(rf"(?:[\w, ]+ = )?(?:\w+[:.]|torch\.){name}\b", lua) is not None
            best[name] = max(best.get(name, (0, -number)), (plain + (plain and len(called) == 1), -number))
    return {name: -number for name, (_, number) in best.items()}


def indexed(text: str) -> str:
    """The page with an anchor in the row of each name, and the index that leads there."""
    text = _ANCHOR.sub("", text[: text.index(_INDEX)])
    targets = {}
    anchors: dict[int, list[str]] = {}
    for name, number in _main_rows(text).items():
        targets[name] = f"of-{name}"
        anchors.setdefault(number, []).append(f'<a id="of-{name}"></a>')
    lines = text.splitlines()
    for number, tags in anchors.items():
        lines[number] = "| " + "".join(sorted(tags)) + lines[number].removeprefix("| ")

    heading = ""
    for line in lines:
        if found := _HEADING.match(line):
            heading = re.sub(r"[^\w -]", "", found[1].lower()).replace(" ", "-")
        elif not line.startswith("|"):
            for name in re.findall(r"`torch\.(\w+)", line):
                targets.setdefault(name, heading)

    lines += [
        _INDEX,
        "`!`: the method changes its tensor. With `torch.` in front: a function or a class, not a method.",
    ]
    letter, entries = "", []
    ordered = sorted((METHODS | FUNCTIONS | CLASSES) & targets.keys(), key=lambda name: (name.lower(), name))
    for name in [*ordered, ""]:
        if name[:1].upper() != letter:
            # No break within an entry: its code has no blank.
            lines += ["", *textwrap.wrap(" · ".join(entries), 120, break_long_words=False, break_on_hyphens=False)]
            letter, entries = name[:1].upper(), []
        shown = name if name in METHODS else f"torch.{name}"
        entries.append(f"[`{shown}`](#{targets.get(name)})" + "!" * (name in CHANGING))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def main() -> None:
    """Write or check the anchors and the index."""
    text = PAGE.read_text()
    if sys.argv[1:] == ["--check"]:
        if text != indexed(text):
            sys.exit(f"the index of {PAGE.name} is out of date: run python tools/tensors.py")
    else:
        PAGE.write_text(indexed(text))


if __name__ == "__main__":
    main()
