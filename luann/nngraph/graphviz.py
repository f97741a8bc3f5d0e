"""Drawing graphs with graphviz."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from ..errors import Error


def dot(graph: Any, title: str | None = None, fname: str | None = None) -> str:
    """Draw a graph: its nodes with their modules and, once the graph has computed, the sizes of what went in.

    Args:
        graph: a ``graph.Graph`` such as ``module.fg``, or a gModule, of which the forward graph is drawn.
        title: stands above the drawing.
        fname: the file to write. ``'net.svg'``, ``'net.png'``, ``'net.pdf'`` and what else graphviz knows are drawn by
            its program ``dot``; ``'net.dot'`` is the text alone. As in Torch7, a name without an ending gives both
            ``net.dot`` and ``net.svg``. ``None``: nothing is written.

    Returns:
        The text in graphviz's DOT language.

    Raises:
        Error: graphviz is not installed, or failed.
    """
    text = getattr(graph, "fg", graph).todot(title)
    if fname is not None:
        write(text, fname)
    return text


def write(text: str, fname: str) -> None:
    """Write or draw a text in the DOT language: see :func:`dot`.

    Raises:
        Error: graphviz is not installed, or failed.
    """
    path = Path(fname)
    if path.suffix in ("", ".dot"):
        path.with_name(f"{path.stem}.dot").write_text(text, encoding="utf-8")
    if path.suffix != ".dot":
        render(text, path if path.suffix else path.with_name(f"{path.name}.svg"))


def render(text: str, path: Path) -> None:
    """Have graphviz draw a DOT text into a file; the file's ending says in which form."""
    program = shutil.which("dot")
    if program is None:
        raise Error(
            f"cannot draw {path}: graphviz's program dot is not installed; install graphviz, or write a .dot file and "
            f"draw it elsewhere with dot -T{path.suffix[1:]} -o {path.name}"
        )
    command = [program, f"-T{path.suffix[1:]}", "-o", str(path)]
    done = subprocess.run(command, input=text.encode(), capture_output=True, check=False)
    if done.returncode:
        raise Error(f"graphviz could not draw {path}: {done.stderr.decode(errors='replace').strip()}")
