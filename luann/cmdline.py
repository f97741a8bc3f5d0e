"""``CmdLine``: Torch7's ``torch.CmdLine``, the options of a script."""

from __future__ import annotations

import builtins
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TextIO

from .errors import ArgumentError
from .t7.entries import whole
from .table import Table
from .types import register
from .words import type as luatype


@register("torch.CmdLine")
class CmdLine:
    """Declares the options of a script, reads them from its command line, and logs what it prints.

    A script's first lines in Torch7 become, word for word::

        cmd = luann.CmdLine()
        cmd.text()
        cmd.text("Training a simple network")
        cmd.text("Options")
        cmd.option("-seed", 123, "initial random seed")
        cmd.option("-booloption", False, "boolean option")
        cmd.option("-stroption", "mystring", "string option")
        cmd.text()

        params = cmd.parse()                                         # python train.py -seed 456 -booloption
        params.seed                                                  # 456
        params.rundir = cmd.string("experiment", params, {"dir": True})  # 'experiment,booloption=t,seed=456'
        os.makedirs(params.rundir, exist_ok=True)
        cmd.log(params.rundir + "/log", params)

    ``print(cmd)`` shows the help. What is listed of options is in the order in which they were declared; Torch7's order
    was that of its hash table.

    Args:
        argseparator: what :meth:`string` puts between options.
        keyseparator: what it puts between an option's name and its value.

    Attributes:
        options: by key (``'-seed'``), a Table of ``key``, ``default``, ``help`` and ``type``.
        arguments: a list of Tables of ``key``, ``help`` and ``type``.
        helplines: the options, arguments and texts in the order of the help.
        dateformat: see :meth:`addTime`; ``None`` for no date.
        silentio: see :meth:`silent`.
    """

    dateformat: str | None = None

    def __init__(self, argseparator: str = ",", keyseparator: str = "=") -> None:
        self.argseparator = argseparator
        self.keyseparator = keyseparator
        self.options: dict[str, Table] = Table()
        self.arguments: list[Table] = []
        self.helplines: list[str | Table] = []
        self.silentio = False

    # Declaring

    def text(self, txt: str = "") -> None:
        """Put a line into the help, by default an empty one."""
        if not isinstance(txt, str):
            raise ArgumentError(f"a line of the help must be a string, got {txt!r}")
        self.helplines.append(txt)

    def option(self, key: str, default: Any, help: str | None = None, type: str | None = None) -> None:
        """Declare an option.

        Args:
            key: how it is written on the command line, such as ``'-seed'``.
            default: its value when it is not given; it says what a given value becomes: a number, a string as it is, or
                for a boolean, whose option takes no value, its opposite.
            help: a line about it.
            type: ``'number'``, ``'string'`` or ``'boolean'``; it can only repeat what the default's type is.

        Raises:
            ArgumentError: no default, or one of another type.
        """
        if default is None:
            raise ArgumentError(f"option {key} has no default value")
        if type is not None and luatype(default) != type:
            raise ArgumentError(f"option {key} has wrong default type value")
        self.options[key] = Table(key=key, default=default, help=help, type=luatype(default))
        self.helplines.append(self.options[key])

    def argument(self, key: str, help: str | None = None, type: str | None = None) -> None:
        """Declare a value that must be given, without a key before it; the value is a string.

        Args:
            key: the name under which it will be found.
            help: a line about it.
            type: ``'string'`` or nothing; with another one Torch7 refuses whatever is given, and so does this.
        """
        self.arguments.append(Table(key=key, help=help, type=type))
        self.helplines.append(self.arguments[-1])

    # Reading

    def default(self) -> Table:
        """The options with their default values."""
        return Table((_bare(key), option.default) for key, option in self.options.items())

    def parse(self, arg: Sequence[str] | None = None) -> Table:
        """Read a command line.

        ``-h``, ``-help`` and ``--help`` print the help and leave the script with status 0. What does not fit is told,
        with the help, and leaves it with status 1, both by :class:`SystemExit`.

        Args:
            arg: the words after the script's name; by default ``sys.argv[1:]``.

        Returns:
            A Table with the value of each option and argument under its key without the leading dashes.
        """
        words = list(sys.argv[1:] if arg is None else arg)
        params = self.default()
        given = 0
        while words:
            word = words.pop(0)
            if word in ("-help", "-h", "--help"):
                self.help(sys.argv[0])
                raise SystemExit(0)
            if word in self.options:
                params[_bare(word)] = self._value(self.options[word], words)
            else:
                given += 1
                params[self._argument(word, given)] = word
        if given != len(self.arguments):
            self.error("not enough arguments")
        return params

    def _value(self, option: Table, words: list[str]) -> Any:
        """The value of an option that was met; what it takes of the words that follow is removed."""
        if option.type == "boolean":
            return not option.default
        if not words:
            self.error(f"missing argument for option {option.key}")
        word = words.pop(0)
        if option.type == "string":
            return word
        if option.type != "number":
            self.error(f"unknown required option type {option.type}")
        number = _number(word)
        if number is None:
            self.error(f"invalid type for option {option.key} (should be {option.type})")
        return number

    def _argument(self, word: str, number: int) -> str:
        """Under which name to keep the argument of this number, counted from 1."""
        if number > len(self.arguments):
            self.error(f"invalid argument: {word}")
        argument = self.arguments[number - 1]
        if argument.get("type") not in (None, "string"):
            self.error(f"invalid argument type for argument {argument.key} (should be {argument.type})")
        return _bare(argument.key)

    def error(self, msg: str) -> NoReturn:
        """Print a message, on standard error, and the help, and leave the script with status 1."""
        print("")
        sys.stdout.flush()
        sys.stderr.write(msg)
        sys.stderr.flush()
        print("")
        self.help()
        raise SystemExit(1)

    # Showing

    def help(self, program: str | None = None) -> None:
        """Print the help; ``program`` is the name to show behind ``Usage:``, by default none."""
        sys.stdout.write(self._help(program))

    def __tostring__(self) -> str:
        """The help."""
        return self._help(None).removesuffix("\n")

    __repr__ = __tostring__

    def _help(self, program: str | None) -> str:
        names = [f"<{_bare(argument.key)}>" for argument in self.arguments]
        lines = [" ".join(["Usage:", *([] if program is None else [program]), "[options]", *names])]
        width = max((len(_label(entry)) for entry in self.helplines if not isinstance(entry, str)), default=0)
        for entry in self.helplines:
            if isinstance(entry, str):
                lines.append(entry)
            else:
                help = "" if entry.get("help") is None else f" {entry.help}"
                default = f" [{_text(entry.default)}]" if "default" in entry else ""
                lines.append(f"  {_label(entry):{width}}{help}{default}")
        return "".join(f"{line}\n" for line in lines)

    def string(self, prefix: str, params: Mapping[str, Any], ignore: Mapping[str, bool] | None = None) -> str:
        """A name for a run, such as a folder's: the arguments and those options that differ from their defaults.

        Every option that is named or ignored is printed, and so is a warning for what is neither option nor argument.

        Args:
            prefix: what the name begins with.
            params: what :meth:`parse` returned.
            ignore: ``True`` for an option that is to be left out, ``False`` for one that is named at its default too.
        """
        arguments, options = {}, []
        places = {_bare(argument.key): i for i, argument in enumerate(self.arguments)}
        for key, value in params.items():
            ignored = None if ignore is None else ignore.get(key)
            if ignored:
                print(f"-- ignore option {key}")
            elif f"-{key}" in self.options:
                default = self.options[f"-{key}"].default
                if value != default or ignored is False:
                    value = _text(value)[0] if isinstance(value, bool) else _text(value)
                    options.append(f"{key}{self.keyseparator}{value}")
                    print(key, value, _text(default), sep="\t")
            elif key in places:
                arguments[places[key]] = f"{key}{self.keyseparator}{_text(value)}"
            else:
                print(f"WARNING: unknown option/argument: {key} IGNORING for DIRECTORY NAME")
        parts = [arguments[place] for place in sorted(arguments)] + sorted(options)
        return self.argseparator.join([prefix or "", *parts])

    # Logging

    def silent(self) -> None:
        """From :meth:`log` on, print into the file only."""
        self.silentio = True

    def addTime(self, name: str | None = None, format: str = "%Y-%m-%d %H:%M:%S") -> None:
        """Begin every line of the log file with the date and the time.

        Args:
            name: put behind it, as in ``2012-02-07 08:21:56[name]:``.
            format: as :func:`time.strftime` wants it.
        """
        if not isinstance(format, str):
            raise ArgumentError(f"the format of the time must be a string, got {format!r}")
        self.dateformat = format if name is None else f"{format}[{name}]: "

    def log(self, file: str | os.PathLike[str] | TextIO, params: Mapping[str, Any] | None = None) -> None:
        """From now on let ``print`` write into a file too; first print the date and the options.

        As in Torch7 this replaces the ``print`` of the whole program, and a second call the file. In the file a blank
        follows each printed value, and each ``print`` is a line, whatever its ``sep`` and ``end``. What is printed with
        ``file=``, or written without ``print``, does not go there.

        Args:
            file: a path, whose file is overwritten, or an open text file.
            params: what :meth:`parse` returned.
        """
        last: Any = builtins.print
        builtins.print = _Tee(getattr(last, "screen", last), file, self)  # type: ignore[assignment]
        if isinstance(last, _Tee):
            last.stop()
        print(f"[program started on {time.strftime('%c')}]")
        print("[command line arguments]")
        for key, value in (params or {}).items():
            print(_text(key), _text(value), sep="\t")
        print("[----------------------]")


class _Tee:
    """A ``print`` that writes into a log file too."""

    def __init__(self, screen: Any, file: str | os.PathLike[str] | TextIO, cmd: CmdLine) -> None:
        self.screen = screen
        self.own = open(file, "w", encoding="utf-8") if isinstance(file, (str, os.PathLike)) else None  # noqa: SIM115
        self.log: Any = self.own or file
        self.cmd = cmd

    def stop(self) -> None:
        if self.own:
            self.own.close()

    def __call__(self, *values: Any, file: TextIO | None = None, **form: Any) -> None:
        here = file is None or file is sys.stdout
        if not here or not self.cmd.silentio:
            self.screen(*values, file=file, **form)
        if here:
            date = [] if self.cmd.dateformat is None else [time.strftime(self.cmd.dateformat)]
            self.log.write(" ".join([*date, *map(str, values), "\n"]))
            self.log.flush()


def _bare(key: str) -> str:
    return key.lstrip("-")


def _label(entry: Table) -> str:
    return entry.key if "default" in entry else f"<{_bare(entry.key)}>"


def _text(value: Any) -> str:
    """What Lua's ``tostring`` gives."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.14g}" if isinstance(value, (int, float)) else str(value)


def _number(text: str) -> int | float | None:
    """What Lua's ``tonumber`` gives, ``None`` for nil."""
    if "_" in text or not text.isascii():
        return None
    try:
        return whole(float.fromhex(text) if "x" in text.lower() else float(text))
    except (ValueError, OverflowError):
        return None
