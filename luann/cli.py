"""The command ``luann``.

``luann show FILE`` tells what a .t7 file holds: a model's tree as Torch7 prints it, its layers and their parameters; of
any other file the structure, and where models are in it. A file of several objects is told as the list of them, here as
in the other commands. ``--json`` prints the same for programs; the fields are explained in :mod:`luann.show`. With
``--salvage`` a damaged file is told up to the damage. ``--graph`` draws a model.

``luann check FILE`` tells, layer by layer, whether luann computes what Torch7 computed when a model in the file was
last run; see :mod:`luann.check`. ``--input`` says where in the file the input of that run is.

``luann convert IN OUT`` writes a .t7 file in another form of .t7, or as .npz or .json; see :mod:`luann.convert`.

Exit status of ``show`` and ``convert``: 0; 1 if a file cannot be read (with ``--salvage``: to its end) or written,
with one line about it on stderr; 2 for a wrong command line. Of ``check``: 0 if all that could be checked agrees; 1 if
something differs; 2 for a wrong command line, a file that cannot be read, or one in which nothing could be checked.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from . import __version__, check, convert, nngraph, show
from .errors import Error, FormatError
from .show.objects import printable
from .t7 import Reader, salvage

_JSON_HELP = """\
fields of the JSON document:
  file, bytes   the file's name and size
  objects       how many objects the file holds, if several: they are told as the list of them, at [1], [2], ...
  structure     what the file holds, as nodes: kind, by kind class, size, value, length, entries, omitted, at
  models        the outermost models: at, class, type, train, text, layers, numbers, distinct_numbers, distinct_bytes
                layers: path, class, unknown, train, same_as, parameters, numbers
                parameters: name, type, size, numbers, shared_with
  unknown       classes that luann lacks, and how many objects are of each
  damage        with --salvage: message, offset, where; what it cut short is "incomplete"
help(luann.show) in Python explains each. Positions count from 1."""

_CHECK_HELP = """\
A model that was saved without clearState() holds the last output of each layer. Each layer gets the saved output of the
one before it, and what it computes is compared with its own. "difference" is the largest one, divided by the largest
saved number; it may be 1e-10 for doubles, 1e-5 for floats, 5e-3 for halves. PLACE is as "luann show" names it, such as
input or [1].net.

exit status: 0 if all that could be checked agrees; 1 if something differs; 2 for a wrong command line, a file that
cannot be read, or one in which nothing could be checked

fields of the JSON document:
  file, bytes              the file's name and size
  agree, differ, unchecked how many layers came out in which way
  models                   at, class, agree, differ, unchecked, note, layers
                           layers: path, class, status, difference, tolerance, with, reason
help(luann.check) in Python explains each."""

_CONVERT_HELP = """\
OUT is written beside its place and renamed when it is complete; it must not be FILE.

.npz   an array for each tensor, number, string, and list of these; names are paths such as model.modules[1].weight,
       and CLASS.__typename tells the class of an object
.json  everything: lists, numbers and text as JSON's own, all else as an object with a "type": table, object, tensor,
       storage, function, string, number, reference
help(luann.convert) in Python explains both."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status.

    Args:
        argv: the arguments after the command's name, by default those of the process.
    """
    arguments = _parser().parse_args(argv)
    try:
        text, status = arguments.run(arguments)
        if text:
            _print(text)
    except BrokenPipeError:
        # The reader has seen enough, as `head` does. Nothing may be written any more, at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # what a program ended by SIGPIPE reports
    except (Error, OSError, RecursionError) as error:
        print(f"luann: {printable(arguments.file)}: {_reason(error)}", file=sys.stderr)
        return arguments.trouble
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="luann", description="Torch7 on PyTorch.")
    parser.add_argument("--version", action="version", version=f"luann {__version__} (torch {torch.__version__})")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, run: Callable, help: str, description: str, epilog: str, trouble: int = 1) -> Any:
        command = commands.add_parser(
            name,
            help=help,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_argument("file", metavar="FILE", help="a file that Torch7's torch.save wrote, binary or ASCII")
        command.set_defaults(run=run, trouble=trouble, parser=command)
        return command

    show = command(
        "show",
        _show,
        "tell what a .t7 file holds",
        "Tell what a .t7 file holds: models, their layers and parameters, and the structure around them.",
        _JSON_HELP,
    )
    show.add_argument("--json", action="store_true", help="print one JSON document")
    show.add_argument(
        "--salvage",
        action="store_true",
        help="of a damaged file, tell what can be read up to the damage, and where that is; exit status 1 then",
    )
    show.add_argument(
        "--graph",
        action="store_true",
        help="draw the first model: in graphviz's DOT language, or with -o as a picture",
    )
    show.add_argument("--at", metavar="MODEL", help="with --graph: another model, by its place, such as protos.rnn")
    show.add_argument(
        "-o",
        dest="target",
        metavar="OUT",
        help="with --graph: the file to write, .dot, or .svg, .png, .pdf by graphviz",
    )
    check = command(
        "check",
        _check,
        "tell whether luann computes what Torch7 computed",
        "Compute each layer of the models in a .t7 file anew, from the outputs that Torch7 saved with them.",
        _CHECK_HELP,
        trouble=2,
    )
    check.add_argument("--json", action="store_true", help="print one JSON document")
    check.add_argument("--at", metavar="PLACE", help="check only the model at this place")
    check.add_argument(
        "--input",
        metavar="PLACE",
        help="where in the file the input is that the model was run with; of several models, those in the same table",
    )
    check.add_argument("--tolerance", type=float, metavar="X", help="how large differences may be")
    convert = command(
        "convert",
        _convert,
        "write a .t7 file in another form",
        "Write a .t7 file in another form of .t7, or for other programs.",
        _CONVERT_HELP,
    )
    convert.add_argument("target", metavar="OUT", help="the file to write: .npz, .json, or .t7")
    convert.add_argument("--format", choices=["binary", "ascii"], help="form of .t7; default binary")
    convert.add_argument("--long-size", type=int, choices=[8, 4], help="bytes of a long in binary .t7; default 8")
    kind = convert.add_mutually_exclusive_group()
    kind.add_argument(
        "--float", action="store_const", const=torch.float32, dest="dtype", help="make real tensors floats"
    )
    kind.add_argument("--double", action="store_const", const=torch.float64, dest="dtype", help="make them doubles")
    return parser


class _Loaded(NamedTuple):
    """A file: its object, or the list of its objects; how many these are; its size; what salvaging found."""

    value: Any
    objects: int
    size: int | None
    error: FormatError | None = None
    incomplete: Sequence[Any] = ()


def _load(file: str, salvaging: bool = False) -> _Loaded:
    """What is in a file; where there is damage and ``salvaging``, what stands before it."""
    on_disk = os.path.isfile(file)
    size = os.path.getsize(file) if on_disk else None
    source = file if on_disk else Path(file).read_bytes()
    objects: list[Any] = []
    damage = None
    try:
        with Reader(source, mmap=on_disk) as reader:  # a large model is told without reading its numbers
            objects.append(reader.read())
            for obj in reader:
                objects.append(obj)  # each as it comes: there may be damage behind it
    except FormatError as error:
        if not salvaging:
            raise
        damage = error
    if not objects:
        found = salvage(source, mmap=on_disk)
        return _Loaded(found.value, 1, size, found.error, found.incomplete)
    return _Loaded(objects if len(objects) > 1 else objects[0], len(objects), size, damage)


def _show(arguments: argparse.Namespace) -> tuple[str, int]:
    if arguments.graph:
        return _graph(arguments), 0
    if arguments.target or arguments.at:
        arguments.parser.error("-o and --at are for --graph")
    found = _load(arguments.file, arguments.salvage)
    document = show.describe(
        found.value, arguments.file, found.size, found.error, found.incomplete, objects=found.objects
    )
    return _json(document) if arguments.json else show.render(document), 0 if found.error is None else 1


def _graph(arguments: argparse.Namespace) -> str:
    if arguments.json or arguments.salvage:
        arguments.parser.error("--graph draws a whole file, and knows no --json")
    text = show.draw(_load(arguments.file).value, arguments.at)
    if not arguments.target:
        return text.rstrip()
    arguments.file = arguments.target  # what goes wrong from here on is about this one
    nngraph.write(text, arguments.target)
    return ""


def _check(arguments: argparse.Namespace) -> tuple[str, int]:
    found = _load(arguments.file)
    document = check.describe(
        found.value, arguments.file, found.size, arguments.tolerance, at=arguments.at, input=arguments.input
    )
    status = 1 if document["differ"] else 0 if document["agree"] else 2
    return _json(document) if arguments.json else check.render(document), status


def _convert(arguments: argparse.Namespace) -> tuple[str, int]:
    if not convert.is_t7(arguments.target) and (arguments.format or arguments.long_size):
        arguments.parser.error("--format and --long-size are only for .t7")
    objects = convert.read(arguments.file, arguments.target)
    arguments.file = arguments.target  # what goes wrong from here on is about this one
    convert.write(
        arguments.target,
        objects,
        format=arguments.format or "binary",
        long_size=arguments.long_size or 8,
        dtype=arguments.dtype,
    )
    return "", 0


def _json(document: dict) -> str:
    return json.dumps(document, indent=1, allow_nan=False)


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
        return "its modules are nested too deeply, or a module holds itself: load it with luann.load()"
    return " ".join(printable(str(error), "\n").split())


if __name__ == "__main__":
    sys.exit(main())
