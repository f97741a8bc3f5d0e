"""The command ``luann``.

``luann show FILE`` tells what a .t7 file holds: a model's tree as Torch7 prints it, its layers and their parameters; of
any other file the structure, and where models are in it. ``--json`` prints the same for programs; the fields are
explained in :mod:`luann.show`.

Exit status: 0; 1 if the file cannot be read, with one line about it on stderr; 2 for a wrong command line.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

import torch

from . import __version__, load, show
from .errors import Error
from .show.objects import printable

_JSON_HELP = """\
fields of the JSON document:
  file, bytes   the file's name and size
  structure     what the file holds, as nodes: kind, by kind class, size, value, length, entries, omitted, at
  models        the outermost models: at, class, type, train, text, layers, numbers, distinct_numbers, distinct_bytes
                layers: path, class, unknown, train, same_as, parameters, numbers
                parameters: name, type, size, numbers, shared_with
  unknown       classes that luann lacks, and how many objects are of each
help(luann.show) in Python explains each. Positions count from 1."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status.

    Args:
        argv: the arguments after the command's name, by default those of the process.
    """
    arguments = _parser().parse_args(argv)
    try:
        _print(arguments.run(arguments))
    except BrokenPipeError:
        # The reader has seen enough, as `head` does. Nothing may be written any more, at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # what a program ended by SIGPIPE reports
    except (Error, OSError, RecursionError) as error:
        print(f"luann: {printable(arguments.file)}: {_reason(error)}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="luann", description="Torch7 on PyTorch.")
    parser.add_argument("--version", action="version", version=f"luann {__version__} (torch {torch.__version__})")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    show = commands.add_parser(
        "show",
        help="tell what a .t7 file holds",
        description="Tell what a .t7 file holds: models, their layers and parameters, and the structure around them.",
        epilog=_JSON_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    show.add_argument("file", metavar="FILE", help="a file that Torch7's torch.save wrote, binary or ASCII")
    show.add_argument("--json", action="store_true", help="print one JSON document")
    show.set_defaults(run=_show)
    return parser


def _show(arguments: argparse.Namespace) -> str:
    file = arguments.file
    on_disk = os.path.isfile(file)
    loaded = load(file, mmap=on_disk)  # a large model is told without reading its numbers
    document = show.describe(loaded, file, os.path.getsize(file) if on_disk else None)
    return json.dumps(document, indent=1, allow_nan=False) if arguments.json else show.render(document)


def _print(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    print(printable(text, "\n").encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()


def _reason(error: Exception) -> str:
    """What is wrong with the file, in one line."""
    if isinstance(error, IsADirectoryError):
        return "this is a directory: name a .t7 file in it"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, RecursionError):
        return "its modules are nested too deeply to be shown, or a module holds itself: load it with luann.load()"
    return " ".join(printable(str(error), "\n").split())


if __name__ == "__main__":
    sys.exit(main())
