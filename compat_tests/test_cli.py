"""The command ``luann``: what it tells of real files, and how it refuses others."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import luann
from luann.cli import main
from luann.show import describe, render
from luann.t7 import Unknown

REFERENCE = Path(__file__).parent / "reference"
SERIALIZATION = REFERENCE / "serialization"
NETWORKS = sorted((REFERENCE / "networks").glob("*.t7"))


@pytest.fixture
def show(capsys):
    """Run ``luann show`` on a file that can be read; what it prints, or the JSON document."""

    def run(path, *options):
        assert main(["show", str(path), *options]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        return json.loads(out, parse_constant=pytest.fail) if "--json" in options else out

    return run


def sizes(model):
    return [p["size"] for layer in model["layers"] for p in layer["parameters"]]


def entry(node, key):
    return next(e["value"] for e in node["entries"] if e["key"] == key)


# Models: compared with what Torch7 said of them


@pytest.mark.parametrize("path", NETWORKS, ids=lambda path: path.stem)
def test_networks_are_told_as_torch7_knew_them(show, path):
    document = show(path, "--json")
    told = {model["at"]: model for model in document["models"]}
    for i, record in enumerate(luann.load(path), 1):
        model = told[f"[{i}].module"]
        extra = record.get("extra", {})
        assert model["class"] == record["moduleClass"]
        assert model["type"] == ("torch.DoubleTensor" if record["dtype"] == "double" else "torch.FloatTensor")
        assert model["train"] is (None if model["class"] in document["unknown"] else True)
        if not document["unknown"]:
            assert model["text"] == record["tostring"]
        if "flatCount" in extra and not document["unknown"]:
            assert [layer["class"] for layer in model["layers"]] == extra["layers"]
            assert sizes(model) == extra["parameterSizes"]
            assert model["distinct_numbers"] == extra["flatCount"]
            assert model["distinct_bytes"] == extra["flatCount"] * (8 if record["dtype"] == "double" else 4)


def test_lenet_needs_no_unknown_class(show):
    assert show(REFERENCE / "networks/lenet.t7", "--json")["unknown"] == {}


def test_a_model_as_text(show):
    text = show(SERIALIZATION / "module_sequential.bin.t7")
    assert text.splitlines()[2:6] == [
        "nn.Sequential {",
        "  [input -> (1) -> (2) -> output]",
        "  (1): nn.Linear(3 -> 2)",
        "  (2): nn.Tanh",
    ]
    assert "1      nn.Linear      weight 2x3, bias 2        8\n2      nn.Tanh\n" in text
    assert "parameters: 8 (64 bytes)\ntype: torch.DoubleTensor\nmode: training\n" in text


def test_shared_parameters_count_once(show):
    document = show(SERIALIZATION / "module_shared.bin.t7", "--json")
    (model,) = document["models"]
    assert model["numbers"] == 12
    assert model["distinct_numbers"] == 6
    assert [p["shared_with"] for p in model["layers"][2]["parameters"]] == ["1.weight", "1.bias"]
    assert "(6 distinct, 48 bytes)" in show(SERIALIZATION / "module_shared.bin.t7")


def test_one_module_at_two_places(show):
    (model,) = show(SERIALIZATION / "module_same.bin.t7", "--json")["models"]
    again = [layer for layer in model["layers"] if layer["same_as"] is not None]
    assert again
    for layer in again:
        first = next(other for other in model["layers"] if other["path"] == layer["same_as"])
        assert (layer["class"], layer["numbers"]) == (first["class"], first["numbers"])
    assert model["distinct_numbers"] < model["numbers"]


def test_parameters_that_overlap_or_have_holes_are_counted_exactly():
    storage = torch.zeros(100)
    net = luann.nn.Sequential()
    for size, stride, offset in [
        ((3, 4), (10, 1), 0),
        ((4, 3), (1, 10), 2),
        ((5, 1), (0, 1), 99),
        ((2, 3), (3, 1), 40),
    ]:
        layer = luann.nn.Linear(1, 1, False)
        layer.weight = storage.as_strided(size, stride, offset)
        net.add(layer)
    (model,) = describe(net)["models"]
    for layer in net.modules:
        layer.weight.fill_(1)
    assert model["distinct_numbers"] == int(storage.sum())
    assert model["numbers"] == 12 + 12 + 5 + 6


def test_layers_in_another_mode_are_mentioned():
    net = luann.nn.Sequential().add(luann.nn.Tanh())
    net.evaluate()
    assert "mode: evaluate\n" in render(describe(net)) + "\n"
    net.modules[0].training()
    assert "mode: evaluate; some layers differ" in render(describe(net))


# Other files


def test_a_checkpoint_says_where_its_model_is(show):
    path = SERIALIZATION / "checkpoint.bin.t7"
    document = show(path, "--json")
    assert [model["at"] for model in document["models"]] == ["model"]
    root = document["structure"]
    assert (root["kind"], root["length"], root["omitted"]) == ("table", 9, 0)
    assert entry(root, ".best") == {"kind": "number", "value": 0.75}
    assert entry(root, ".model") == {"kind": "model", "class": "nn.Sequential", "at": "model"}
    assert [e["value"]["value"] for e in entry(root, ".classes")["entries"]] == ["no", "yes"]
    dfdx = entry(entry(root, ".optimState"), ".dfdx")
    assert dfdx["size"] == [document["models"][0]["numbers"]]
    text = show(path)
    assert "  model: nn.Sequential (a model: 17 numbers in its parameters)\n" in text
    assert "  classes: list of 2: 'no', 'yes'\n" in text
    assert "\n== model\nnn.Sequential {\n" in text


def test_a_table_inside_itself(show):
    root = show(SERIALIZATION / "table_self.bin.t7", "--json")["structure"]
    assert entry(root, ".self") == {"kind": "reference", "at": ""}
    assert "  self: the same as the whole\n" in show(SERIALIZATION / "table_self.bin.t7")


def test_unknown_classes_are_named(show):
    path = SERIALIZATION / "class_child.bin.t7"
    assert show(path, "--json")["unknown"] == {"golden.Child": 2, "golden.Plain": 2}
    text = show(path)
    assert "  [1]: golden.Child (unknown class)\n    a: 'child'\n" in text
    assert "unknown classes: golden.Child (2), golden.Plain (2)\n" in text


def test_an_unknown_model_is_still_a_tree():
    inner = Unknown("my.Scale", 1, {"weight": torch.zeros(7), "gradInput": torch.zeros(0), "train": False})
    outer = Unknown("my.Stack", 1, {"modules": [inner, luann.nn.Linear(2, 3)], "train": False})
    criterion = Unknown("my.Criterion", 1, {"gradInput": torch.zeros(0), "output": 0})
    document = describe(luann.Table(net=outer, criterion=criterion))
    (model,) = document["models"]
    assert model["at"] == "net"
    assert [(layer["path"], layer["class"]) for layer in model["layers"]] == [
        ("", "my.Stack"), ("1", "my.Scale"), ("2", "nn.Linear"),
    ]  # fmt: skip
    assert model["numbers"] == 7 + 6 + 3
    assert model["train"] is False
    assert document["unknown"] == {"my.Criterion": 1, "my.Scale": 1, "my.Stack": 1}
    assert "my.Scale (unknown class)" in render(document)


def test_a_damaged_model_is_shown_as_far_as_it_goes():
    net = luann.nn.Sequential().add(luann.nn.Linear(3, 2)).add(luann.nn.WeightNorm(luann.nn.Linear(2, 5)))
    vars(net.modules[0])["weight"] = torch.zeros(7)
    del vars(net.modules[1])["g"]
    (model,) = describe(net)["models"]
    assert model["text"].startswith("nn.Sequential (cannot be printed: ")
    assert [layer["class"] for layer in model["layers"]] == [
        "nn.Sequential", "nn.Linear", "nn.WeightNorm", "nn.Linear",
    ]  # fmt: skip
    assert model["layers"][1]["numbers"] == 7 + 2


def test_large_files_are_abridged():
    deep = luann.Table(end=1)
    for i in range(5000):
        deep = luann.Table(next=deep) if i < 4900 else luann.Table(next=deep, model=luann.nn.Tanh())
    wide = luann.Table({f"key{i}": [[i] * 1000] * 1000 for i in range(200)})
    document = describe(luann.Table(deep=deep, wide=wide, text="x" * 100_000, numbers=list(range(100_000))))
    assert len(document["models"]) == 100
    text = render(document)
    assert len(text.splitlines()) < 500
    assert max(map(len, text.splitlines())) < 150
    assert "    … 150 more\n" in text
    assert "(100,000 characters)" in text
    assert "(96 more models; --json tells all of them)" in text


@pytest.fixture
def several(tmp_path):
    """A file of several objects, the last of which holds the first."""
    net = luann.nn.Sequential().add(luann.nn.Linear(3, 2))
    path = tmp_path / "several.t7"
    with luann.t7.Writer(path) as writer:
        for obj in (net, luann.Table(a=luann.Table(b=luann.Table(c=luann.Table(d=1)))), "three", *range(9), [net]):
            writer.write(obj)
    return path


def test_all_objects_of_a_file_are_told(show, several):
    document = show(several, "--json")
    assert document["objects"] == 13
    nodes = document["structure"]["entries"]
    assert [node["key"] for node in nodes] == [f"[{i}]" for i in range(1, 14)]
    assert nodes[0]["value"] == {"kind": "model", "class": "nn.Sequential", "at": "[1]"}
    assert nodes[1]["value"] == describe(luann.load(several) and list(luann.t7.Reader(several))[1])["structure"]
    assert nodes[12]["value"]["entries"][0]["value"] == {"kind": "reference", "at": "[1]"}
    assert [model["at"] for model in document["models"]] == ["[1]"]
    lines = show(several).splitlines()
    assert lines[0].startswith(f"{several}: 13 objects, ") and lines[0].endswith(", 1 model inside")
    assert "  [3]: 'three'" in lines and "== [1]" in lines and "digraph" in show(several, "--graph", "--at", "[1]")


def test_one_object_in_a_file_is_not_counted(show):
    assert "objects" not in show(SERIALIZATION / "table_list.bin.t7", "--json")


def test_damage_behind_the_first_of_several_objects(capsys, tmp_path, several):
    path = tmp_path / "cut.t7"
    path.write_bytes(several.read_bytes()[:-3])
    assert main(["show", str(path)]) == 1
    assert capsys.readouterr().out == ""
    assert main(["show", str(path), "--salvage", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["damage"]["offset"] and document["objects"] == 12
    assert [model["at"] for model in document["models"]] == ["[1]"]


def test_scalars_and_odd_text():
    nodes = {e["key"]: e["value"] for e in describe(luann.Table(
        a=None, b=True, c=float("nan"), d=float("-inf"), e="caf\udce9\n", f=torch.zeros(2, 0), g=1.5,
    ))["structure"]["entries"]}  # fmt: skip
    assert nodes[".a"] == {"kind": "nil"}
    assert nodes[".b"] == {"kind": "boolean", "value": True}
    assert nodes[".c"]["value"] == "nan"
    assert nodes[".d"]["value"] == "-inf"
    assert nodes[".e"] == {"kind": "string", "length": 5, "value": "caf\\xe9\n"}
    assert nodes[".f"] == {"kind": "tensor", "class": "torch.FloatTensor", "size": [2, 0]}
    assert nodes[".g"]["value"] == 1.5


def test_nothing_in_a_file_reaches_the_terminal_as_a_command(tmp_path, show):
    path = tmp_path / "escape.t7"
    name = "\x1b[2J"
    path.write_text(f"3\n1\n1\n2\n{len(name)}\n{name}\n2\n{len(name)}\n{name}\n")
    assert "\x1b" not in show(path)
    assert list(luann.load(path).items()) == [(name, name)]


# class_packed has a layout of its own, which only its class knows
READABLE = [path for path in sorted(SERIALIZATION.glob("*.t7")) if not path.name.startswith("class_packed")]


@pytest.mark.parametrize("path", READABLE, ids=lambda path: path.name)
def test_every_kind_of_file_can_be_shown(show, path):
    document = show(path, "--json")
    assert document["bytes"] == path.stat().st_size
    text = show(path)
    assert text.startswith(f"{path}: ")
    for name in document["unknown"]:
        assert name in text


# Files that are no .t7 files


def torch_file(zipped):
    file = io.BytesIO()
    torch.save({"weight": torch.zeros(3)}, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


MODEL = (SERIALIZATION / "module_sequential.bin.t7").read_bytes()
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
BAD = {
    "empty": (b"", "empty"),
    "cut_off": (MODEL[: len(MODEL) // 2], "cut off"),
    "cut_in_a_storage": (MODEL[:-5], "byte"),
    "zeros": (bytes(1000), "zeros"),
    "lfs_pointer": (LFS, "git lfs pull"),
    "pytorch_zip": (torch_file(True), "torch.load"),
    "pytorch_old": (torch_file(False), "torch.load"),
    "pickle": (pickle.dumps([1, 2, 3]), "pickle"),
    "html": (b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n", "HTML"),
    "gzip": (gzip.compress(MODEL), "gunzip"),
    "text": (b"hello\nworld\n", "hello"),
    "noise": (bytes(range(255, 0, -1)) * 4, "bytes"),
}


def refused(capsys, path, *options):
    """The one line that the command says about a file it refuses."""
    assert main(["show", str(path), *options]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"luann: {path}: ")
    assert err.count("\n") == 1 and err.endswith("\n")
    return err


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
@pytest.mark.parametrize("name", BAD)
def test_bad_files_get_one_line(capsys, tmp_path, name, options):
    data, said = BAD[name]
    path = tmp_path / "model.t7"
    path.write_bytes(data)
    assert said in refused(capsys, path, *options)


def test_missing_files_and_directories(capsys, tmp_path):
    assert "No such file or directory" in refused(capsys, tmp_path / "missing.t7")
    assert "directory" in refused(capsys, tmp_path)


def test_every_cut_of_a_model_is_refused_or_complete(capsys, tmp_path):
    path = tmp_path / "model.t7"
    for length in range(0, len(MODEL), 3):
        path.write_bytes(MODEL[:length])
        refused(capsys, path)


def test_a_module_inside_itself_is_refused(capsys, tmp_path):
    net = luann.nn.Sequential()
    net.add(net)
    path = tmp_path / "net.t7"
    luann.save(path, net)
    assert "nested too deeply" in refused(capsys, path)


# The command line


def test_version(capsys):
    with pytest.raises(SystemExit) as exit:
        main(["--version"])
    assert exit.value.code == 0
    assert capsys.readouterr().out == f"luann {luann.__version__} (torch {torch.__version__})\n"


@pytest.mark.parametrize("argv", [[], ["show"], ["show", "a", "b"], ["nonsense"], ["show", "--wrong", "a"]], ids=str)
def test_a_wrong_command_line_exits_with_2(capsys, argv):
    with pytest.raises(SystemExit) as exit:
        main(argv)
    assert exit.value.code == 2
    out, err = capsys.readouterr()
    assert out == "" and "usage: luann" in err


def test_help_explains_the_json_document(capsys):
    with pytest.raises(SystemExit) as exit:
        main(["show", "--help"])
    assert exit.value.code == 0
    told = capsys.readouterr().out
    document_fields = {"file", "bytes", "structure", "models", "unknown"}
    for field in document_fields | {"at", "text", "layers", "distinct_numbers", "same_as", "shared_with"}:
        assert field in told


def command(*arguments, **options):
    """The command as a process of its own, in a terminal that knows ASCII only."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(Path(luann.__file__).parents[1])}
    return subprocess.Popen(
        [sys.executable, "-m", "luann.cli", *map(str, arguments)], env=environment, stderr=subprocess.PIPE, **options
    )


def test_as_a_process():
    with command("show", SERIALIZATION / "string_utf8.bin.t7", stdout=subprocess.PIPE) as process:
        out, err = process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert out.isascii()


def test_a_file_from_a_pipe(show):
    reading, writing = os.pipe()
    os.write(writing, MODEL)
    os.close(writing)
    document = show(f"/dev/fd/{reading}", "--json")
    os.close(reading)
    assert document["bytes"] is None
    assert document["models"] == show(SERIALIZATION / "module_sequential.bin.t7", "--json")["models"]


def test_a_reader_that_goes_away_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    with command("show", REFERENCE / "networks/lenet.t7", "--json", stdout=writing) as process:
        os.close(writing)
        err = process.stderr.read()
    assert err == b""
    assert process.returncode == 141
