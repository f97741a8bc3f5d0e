"""``luann.CmdLine``: the texts are those that Torch7's CmdLine.lua gave under LuaJIT for the same calls."""

from __future__ import annotations

import builtins
import math
import re
import sys

import pytest

import luann


def make():
    cmd = luann.CmdLine()
    cmd.text()
    cmd.text("Training a simple network")
    cmd.text()
    cmd.argument("data", "folder of the data")
    cmd.argument("-out")
    cmd.text("Options")
    cmd.option("-seed", 123, "initial random seed")
    cmd.option("-learningRate", 1e-5, "step")
    cmd.option("--decay", 0.1)
    cmd.option("-big", 1e16, "", "number")
    cmd.option("-booloption", False, "boolean option")
    cmd.option("-on", True, "another")
    cmd.option("-stroption", "mystring", "string option")
    cmd.text()
    return cmd


HELP = """\
Usage: [options] <data> <out>

Training a simple network

  <data>        folder of the data
  <out>        
Options
  -seed         initial random seed [123]
  -learningRate step [1e-05]
  --decay       [0.1]
  -big           [1e+16]
  -booloption   boolean option [false]
  -on           another [true]
  -stroption    string option [mystring]

"""  # noqa: W291


@pytest.fixture(autouse=True)
def own_print(monkeypatch):
    """Put back the print that log replaces, and name the script."""
    monkeypatch.setattr(builtins, "print", builtins.print)
    monkeypatch.setattr(sys, "argv", ["train.py"])


def test_help(capsys):
    cmd = make()
    cmd.help()
    assert capsys.readouterr().out == HELP == f"{cmd}\n"
    with pytest.raises(SystemExit) as left:
        cmd.parse(["d", "-h", "-nonsense"])
    assert left.value.code == 0
    assert capsys.readouterr().out == HELP.replace("Usage:", "Usage: train.py")


def test_parse(monkeypatch):
    line = "d -seed 0x1F -booloption o -learningRate 1e3 -on --decay -.5 -stroption 12".split()
    params = make().parse(line)
    wanted = {"data": "d", "out": "o", "seed": 31, "learningRate": 1000, "decay": -0.5, "big": 1e16, "booloption": True}
    assert params == {**wanted, "on": False, "stroption": "12"}
    assert luann.type(params) == "table" and params.seed == 31
    monkeypatch.setattr(sys, "argv", ["train.py", *line])
    assert make().parse() == params
    assert make().parse(["a", "b"]) == {**make().default(), "data": "a", "out": "b"}


@pytest.mark.parametrize(
    "line, message",
    [
        ("d", "not enough arguments"),
        ("-nope", "not enough arguments"),
        ("d o x", "invalid argument: x"),
        ("d o -seed", "missing argument for option -seed"),
        ("d o -seed x", "invalid type for option -seed (should be number)"),
    ],
)
def test_errors_of_the_command_line(line, message, capsys):
    with pytest.raises(SystemExit) as left:
        make().parse(line.split())
    assert left.value.code == 1
    assert capsys.readouterr() == ("\n\n" + HELP, message)


def test_types_that_cannot_be_given(capsys):
    cmd = luann.CmdLine()
    cmd.argument("n", "", "number")
    with pytest.raises(SystemExit):
        cmd.parse(["5"])
    wanted = "invalid argument type for argument n (should be number)"
    assert capsys.readouterr() == ("\n\nUsage: [options] <n>\n  <n> \n", wanted)
    cmd = luann.CmdLine()
    cmd.option("-t", luann.Table())
    with pytest.raises(SystemExit):
        cmd.parse(["-t", "5"])
    assert capsys.readouterr().err == "unknown required option type table"


def test_errors_of_the_script():
    cmd = luann.CmdLine()
    with pytest.raises(luann.ArgumentError, match="option -x has no default value"):
        cmd.option("-x", None)
    with pytest.raises(luann.ArgumentError, match="option -x has wrong default type value"):
        cmd.option("-x", 0, "", "string")
    with pytest.raises(luann.ArgumentError, match="must be a string"):
        cmd.text(5)
    with pytest.raises(luann.ArgumentError, match="must be a string"):
        cmd.addTime("name", 5)


@pytest.mark.parametrize(
    "text, number",
    [
        ("1", 1), ("1.5", 1.5), (" 7 ", 7), ("0x10", 16), ("-0x1p-2", -0.25), ("inf", math.inf), ("1e400", math.inf),
        ("5.", 5), (".5", 0.5), ("+3", 3), ("00012", 12),
        *((text, None) for text in ("1_0", "", "-", "1e", "0x", "1 2", "٣", "1e5x")),
    ],
)  # fmt: skip
def test_numbers(text, number):
    cmd = luann.CmdLine()
    cmd.option("-n", 0)
    if number is None:
        with pytest.raises(SystemExit):
            cmd.parse(["-n", text])
    else:
        got = cmd.parse(["-n", text]).n
        assert got == number and type(got) is type(number)


def test_string(capsys):
    cmd = make()
    params = cmd.parse("-booloption -seed 456 d o -learningRate 0.001 -on".split())
    name = cmd.string("experiment", params, {"out": True, "stroption": False, "big": True})
    assert name == "experiment,data=d,booloption=t,learningRate=0.001,on=f,seed=456,stroption=mystring"
    assert sorted(capsys.readouterr().out.splitlines()) == [
        "-- ignore option big",
        "-- ignore option out",
        "WARNING: unknown option/argument: decay IGNORING for DIRECTORY NAME",  # Torch7 takes options of one dash only
        "booloption\tt\tfalse",
        "learningRate\t0.001\t1e-05",
        "on\tf\ttrue",
        "seed\t456\t123",
        "stroption\tmystring\tmystring",
    ]
    assert cmd.string("experiment", cmd.parse(["d", "o"]), luann.Table(data=True, out=True)) == "experiment"
    other = luann.CmdLine(";", ":")
    other.option("-b", 1)
    other.option("-a", "x")
    assert other.string(None, {"b": 2, "a": "y"}) == ";a:y;b:2"
    assert other.string("p", {"b": 1, "a": "x"}, {}) == "p"


def test_log(tmp_path, capsys):
    cmd = luann.CmdLine()
    cmd.option("-flag", True)
    cmd.addTime("my project", "at noon")
    cmd.log(tmp_path / "log", cmd.parse([]))
    print("a", 1.5, sep="\t")
    print()
    print("elsewhere", file=sys.stderr)
    cmd.silent()
    print("quiet")
    out, err = capsys.readouterr()
    started, *screen = out.splitlines()
    assert re.fullmatch(r"\[program started on \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\]", started)
    assert screen == ["[command line arguments]", "flag\ttrue", "[----------------------]", "a\t1.5", ""]
    assert err == "elsewhere\n"
    assert (tmp_path / "log").read_text().splitlines() == [
        f"at noon[my project]:  {started} ",
        "at noon[my project]:  [command line arguments] ",
        "at noon[my project]:  flag true ",
        "at noon[my project]:  [----------------------] ",
        "at noon[my project]:  a 1.5 ",
        "at noon[my project]:  ",
        "at noon[my project]:  quiet ",
    ]
    with open(tmp_path / "second", "w") as file:  # another log takes the place of the first
        luann.CmdLine().log(file)
        print("once")
        assert capsys.readouterr().out.splitlines()[-1] == "once"
    assert (tmp_path / "second").read_text().splitlines()[1:] == [
        "[command line arguments] ",
        "[----------------------] ",
        "once ",
    ]
    assert "once" not in (tmp_path / "log").read_text()


def test_it_is_a_torch7_object(tmp_path):
    assert luann.typename(make()) == "torch.CmdLine"
    luann.save(tmp_path / "cmd.t7", make())
    assert str(luann.load(tmp_path / "cmd.t7")) == str(make())
