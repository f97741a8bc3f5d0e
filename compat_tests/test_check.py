"""``luann check``: saved nets whose layers Torch7 computed, and nets in which something was changed or is missing."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from records import get, of

import luann
from luann import check, nn
from luann.check import check_model
from luann.cli import main
from luann.t7 import Unknown

REFERENCE = Path(__file__).parent / "reference"
USED = REFERENCE / "serialization/module_used.bin.t7"
NETWORKS = (
    "flattened", "graph_chain", "graph_criterion", "graph_lstm", "graph_multi", "graph_nested", "graph_split",
    "half_shared", "inception", "lenet", "mixture", "multi_resolution", "resnet", "segnet", "siamese_clone",
    "siamese_share", "text",
)  # fmt: skip


def found(model, input=None, **options):
    """What is found about each layer, by its path."""
    layers, _ = check_model(model, input, **options)
    return {layer.path: layer for layer in layers}


def statuses(model, input=None):
    return {path: layer.status for path, layer in found(model, input).items()}


def record(name, i=0):
    return copy.deepcopy(luann.load(REFERENCE / f"networks/{name}.t7")[i])


def used(net, input):
    """A net after forward."""
    net.forward(input)
    return net


# What Torch7 computed


@of("networks", *NETWORKS, again=True)
def test_all_layers_of_a_network_agree(case):
    r = get(case)
    layers, note = check_model(r.moduleAfter, r.input)
    assert note is None
    assert {layer.status for layer in layers} == {"agrees"}, layers
    leaves = sum(m.modules is None for m in r.moduleAfter.listModules())
    assert len(layers) >= leaves
    assert all(layer.difference is not None or layer.together is not None for layer in layers)


@of("networks", *NETWORKS, again=True)
def test_without_its_input_the_first_layers_cannot_be_checked(case):
    r = get(case)
    layers, _ = check_model(r.moduleAfter)
    missing = [layer for layer in layers if layer.status == "unchecked"]
    assert {layer.reason for layer in missing} == {"its input is not in the file"}
    assert 1 <= len(missing) <= len(layers) / 2
    assert all(layer.status == "agrees" for layer in layers if layer not in missing)


def test_layers_that_were_overwritten_are_checked_with_the_one_that_did_it():
    r = record("resnet")
    layers = found(r.moduleAfter, r.input)
    assert {path: layer.together for path, layer in layers.items() if layer.together} == {
        "1.1.1.2": "1.1.1.3",  # normalisation, then ReLU in place
        "1.1.1.5": "1.2",  # the first of those that CAddTable adds up in place
        "1.2": "1.3",
    }
    conv = r.moduleAfter.get(1).get(1).get(1).get(1)
    assert conv._typename == "nn.SpatialConvolution"
    r.moduleAfter.get(1).get(1).get(1).get(2).weight[0] *= 1.01
    assert {path for path, layer in found(r.moduleAfter, r.input).items() if layer.status == "differs"} == {
        "1.1.1.2", "1.1.1.3",
    }  # fmt: skip


# What differs


@pytest.mark.parametrize("path", ["1", "4", "8", "10"])
def test_a_difference_belongs_to_one_layer(path):
    r = record("lenet")
    r.moduleAfter.get(int(path)).weight.view(-1)[3] += 1e-3
    layers = found(r.moduleAfter, r.input)
    assert [p for p, layer in layers.items() if layer.status == "differs"] == [path]
    assert 1e-5 < layers[path].difference < 1e-1


def test_small_differences_count_in_double_and_not_in_float():
    for i, status in ((0, "differs"), (1, "agrees")):
        r = record("lenet", i)
        r.moduleAfter.get(8).weight.mul_(1 + 1e-7)
        assert found(r.moduleAfter)["8"].status == status
        assert found(r.moduleAfter, tolerance=1e-3)["8"].status == "agrees"


def test_a_size_or_a_nan_that_is_wrong():
    r = record("lenet")
    r.moduleAfter.get(3).dW = 1
    layer = found(r.moduleAfter)["3"]
    assert layer.status == "differs" and "the saved one" in layer.reason
    r = record("lenet")
    r.moduleAfter.get(8).weight[0, 0] = float("nan")
    assert found(r.moduleAfter)["8"].difference == float("inf")
    r.moduleAfter.get(8).output.fill_(float("nan"))
    r.moduleAfter.get(8).weight.fill_(float("nan"))
    assert found(r.moduleAfter)["8"].status == "agrees"


def test_a_layer_that_fails():
    r = record("lenet")
    r.moduleAfter.get(8).weight = torch.zeros(2, 2, dtype=torch.float64)
    layer = found(r.moduleAfter)["8"]
    assert layer.status == "differs" and layer.reason.startswith("luann fails: ") and "\n" not in layer.reason
    assert found(r.moduleAfter)["9"].status == "agrees"


def test_an_update_after_the_last_run_is_suspected():
    r = record("lenet")
    r.moduleAfter.updateParameters(0.01)
    layers, note = check_model(r.moduleAfter)
    assert {layer.path for layer in layers if layer.status == "differs"} == {"4", "8", "10"}
    assert "saved after an update" in note


def test_a_mode_that_was_switched_after_the_last_run_is_found():
    r = record("resnet")
    r.moduleAfter.evaluate()
    layers, note = check_model(r.moduleAfter, r.input)
    assert {layer.status for layer in layers} == {"agrees"} and "training" in note
    assert all(not m.train for m in r.moduleAfter.listModules())


# What cannot be checked, and what seems so


def test_nothing_of_the_net_changes():
    r = record("resnet")
    whole = [r.moduleAfter, r.input]
    before = copy.deepcopy(whole)
    luann.manualSeed(3)
    state = luann.random.getRNGState()
    torch_state = torch.random.get_rng_state()
    check_model(*whole)
    assert torch.equal(luann.random.getRNGState(), state) and torch.equal(torch.random.get_rng_state(), torch_state)

    def compare(a, b):
        if isinstance(a, torch.Tensor):
            assert torch.equal(a, b) and a.stride() == b.stride()
        elif isinstance(a, (list, tuple)):
            for x, y in zip(a, b, strict=True):
                compare(x, y)
        elif isinstance(a, nn.Module):
            assert vars(a).keys() == vars(b).keys()
            compare(list(vars(a).values()), list(vars(b).values()))

    compare(whole, before)


def test_a_net_without_outputs():
    r = record("lenet")
    for net in (r.module, r.moduleAfter.clearState()):
        layers, note = check_model(net)
        assert {layer.status for layer in layers} == {"unchecked"} and "no outputs" in note


def test_one_output_that_is_missing():
    r = record("lenet")
    r.moduleAfter.get(9).output = torch.empty(0, dtype=torch.float64)
    layers = found(r.moduleAfter)
    assert (layers["9"].status, layers["9"].reason) == ("unchecked", "no output saved")
    assert layers["10"].status == "agrees"  # computed from what luann computed for 9


def test_dropout_is_computed_with_its_noise():
    input = torch.randn(4, 6)
    for layer in (nn.Dropout(0.3), nn.Dropout(0.3, True), nn.Dropout(0.3, False, True), nn.WhiteNoise(), nn.RReLU()):
        net = used(nn.Sequential().add(nn.Linear(6, 5)).add(layer).add(nn.Tanh()), input)
        assert statuses(net, input) == {"1": "agrees", "2": "agrees", "3": "agrees"}
        in_place = getattr(layer, "inplace", False)  # what it computed with is not in the file then
        assert statuses(net) == {"1": "unchecked", "2": "unchecked" if in_place else "agrees", "3": "agrees"}
    input = torch.randn(2, 3, 8, 8)
    for layer in (nn.SpatialDropout(0.4), nn.SpatialFractionalMaxPooling(2, 2, 4, 4), nn.Dropout(), nn.RReLU(ip=True)):
        net = used(nn.Sequential().add(nn.MulConstant(2)).add(layer), input.clone())
        assert statuses(net, input) == {"1": "agrees", "2": "agrees"}
        noise = next(name for name in ("noise", "randomSamples") if hasattr(layer, name))
        setattr(layer, noise, torch.empty(0))
        assert found(net, input)["2"].reason == "it is random, and what it drew was not saved"


def test_normalisation_in_training_uses_the_batch():
    net = nn.Sequential().add(nn.Linear(4, 3)).add(nn.BatchNormalization(3))
    for _ in range(3):
        net.forward(torch.randn(8, 4))
    assert found(net)["2"].status == "agrees"
    net.evaluate()
    net.forward(torch.randn(8, 4))
    assert found(net)["2"].status == "agrees"


def test_what_backward_undoes_in_place_is_no_difference():
    net = nn.Sequential().add(nn.Linear(3, 3)).add(nn.MulConstant(4, True)).add(nn.Linear(3, 2))
    input = torch.randn(5, 3)
    used(net, input)
    net.get(1).output.div_(4)  # what Torch7's backward does
    net.get(2).output.set_(net.get(1).output)
    layers = found(net, input)
    assert layers["2"].status == "unchecked" and "undone by backward" in layers["2"].reason
    assert layers["3"].status == "agrees"


def test_in_place_changes_are_seen_by_whoever_looked_at_the_same_memory():
    """A skip connection around a rectifier in place carries what is rectified, in Torch7 as well."""
    block = nn.ConcatTable().add(nn.Identity()).add(nn.Sequential().add(nn.ReLU(True)).add(nn.Linear(4, 4)))
    net = nn.Sequential().add(nn.Linear(4, 4)).add(block).add(nn.CAddTable())
    input = torch.randn(3, 4)
    used(net, input)
    assert torch.equal(net.output, net.get(1).output.clamp(min=0) + block.get(2).output)
    assert set(statuses(net, input).values()) == {"agrees"}


def test_memory_that_two_layers_used_one_after_the_other():
    """As after optnet.optimizeMemory."""
    net = nn.Sequential()
    for _ in range(4):
        net.add(nn.Linear(3, 3)).add(nn.Tanh())
    input = torch.randn(2, 3)
    for i, module in enumerate(net.modules):
        shared = net.modules[i % 3].output
        module.output = shared
        input_of = input if i == 0 else net.modules[i - 1].output
        module.updateOutput(input_of)
    net.output = net.modules[-1].output
    layers = found(net, input)
    assert [layers[str(i)].status for i in range(1, 9)] == ["unchecked"] * 5 + ["agrees"] * 3
    assert "used again by 4" in layers["1"].reason


def test_a_module_that_runs_twice():
    shared = nn.Linear(3, 3)
    net = nn.Sequential().add(shared).add(nn.Tanh()).add(shared).add(nn.Sigmoid())
    input = torch.randn(2, 3)
    layers = found(used(net, input), input)
    assert [layer.status for layer in layers.values()] == ["agrees"] * 3
    assert layers["1"].reason == "runs 2 times, of which the last one is compared"
    shared.weight.mul_(1.1)
    assert statuses(net, input) == {"1": "differs", "2": "differs", "4": "agrees"}


def test_a_class_that_luann_does_not_know():
    net = nn.Sequential().add(nn.Linear(3, 4)).add(nn.Tanh()).add(nn.Linear(4, 2))
    input = torch.randn(5, 3)
    used(net, input)
    net.modules[1] = Unknown("my.Tanh", 1, {"output": net.modules[1].output, "gradInput": torch.empty(0)})
    layers = found(net, input)
    assert {path: layer.status for path, layer in layers.items()} == {"1": "agrees", "2": "unchecked", "3": "agrees"}
    assert layers["2"].reason == "luann does not know this class"
    net.modules[1].output.set_(net.modules[0].output)  # what it does in place nobody knows
    assert statuses(net, input) == {"1": "unchecked", "2": "unchecked", "3": "differs"}
    outer = Unknown("my.Net", 1, {"modules": [net], "output": net.output, "gradInput": torch.empty(0)})
    assert found(outer)["1.3"].status == "differs"


def test_containers_that_compute():
    net = nn.Sequential()
    net.add(nn.Parallel(1, 1).add(nn.Linear(3, 2)).add(nn.Linear(3, 4)))
    net.add(nn.Bottle(nn.Linear(6, 5), 2)).add(nn.Concat(1).add(nn.Tanh()).add(nn.Identity()))
    net.get(1).outputDimension = 2
    input = torch.randn(2, 7, 3)
    used(net, input)
    assert set(statuses(net, input).values()) == {"agrees"}
    net.get(3).output[0] += 1
    assert [path for path, status in statuses(net, input).items() if status == "differs"] == ["3"]


def test_layers_that_print_or_raise(capsys):
    net = used(nn.Sequential().add(nn.NaN(nn.Linear(2, 2))).add(nn.PrintSize("here")), torch.ones(1, 2))
    capsys.readouterr()
    assert set(statuses(net, torch.ones(1, 2)).values()) == {"agrees"}
    assert capsys.readouterr().out == ""
    net.get(1).get(1).weight.fill_(float("nan"))
    assert found(net, torch.ones(1, 2))["1.1"].status == "differs"


def test_what_is_no_module():
    with pytest.raises(luann.ArgumentError, match=r"nn\.MSECriterion"):
        check_model(nn.MSECriterion())


# The command


def test_the_command(capsys, tmp_path):
    assert main(["check", str(USED)]) == 0
    out = capsys.readouterr().out
    assert "1      nn.Linear              not checked: its input is not in the file\n" in out
    assert "1 layer agrees, 1 not checked\n" in out
    assert main(["check", str(USED), "--json"]) == 0
    document = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert document["agree"] == document["unchecked"] == 1 and document["differ"] == 0
    (model,) = document["models"]
    assert [(layer["path"], layer["status"]) for layer in model["layers"]] == [("1", "unchecked"), ("2", "agrees")]
    assert set(model["layers"][0]) == {"path", "class", "status", "difference", "tolerance", "with", "reason"}

    net = luann.load(USED)
    net.get(2).output.add_(1)
    luann.t7.save(tmp_path / "changed.t7", net)
    assert main(["check", str(tmp_path / "changed.t7")]) == 1
    assert "DIFFERS (may be 1e-10)" in capsys.readouterr().out
    assert main(["check", str(tmp_path / "changed.t7"), "--tolerance", "10"]) == 0


def test_all_models_of_a_file_are_checked(capsys):
    assert main(["check", str(REFERENCE / "networks/lenet.t7")]) == 0
    out = capsys.readouterr().out
    assert "lenet.t7: 20 layers agree, 24 not checked\n" in out
    assert out.count("== [") == 4 and "== [2].moduleAfter: nn.Sequential\n" in out
    assert out.count("not checked: it holds no outputs") == 2


@pytest.fixture
def net_and_input(tmp_path):
    """A table with a net, which was run, its input, and other things; and the path of a file for it."""
    input = torch.randn(4, 3)
    net = used(nn.Sequential().add(nn.Linear(3, 2)).add(nn.Tanh()), input)
    return luann.Table(net=net, input=input, wrong=input + 1, number=7, far=luann.Table(input=input)), tmp_path / "x.t7"


def checked(capsys, path, *options):
    """The exit status of the command, and its JSON document or what it says on stderr."""
    status = main(["check", str(path), "--json", *options])
    out, err = capsys.readouterr()
    return status, json.loads(out) if out else err


def test_an_input_saved_beside_the_net(capsys, net_and_input):
    table, path = net_and_input
    luann.save(path, table)
    assert checked(capsys, path)[1]["unchecked"] == 1
    for place in ("input", "far.input"):  # with one model there is no doubt whose it is
        status, document = checked(capsys, path, "--input", place)
        assert status == 0 and (document["agree"], document["unchecked"]) == (2, 0)
    status, document = checked(capsys, path, "--input", "wrong")
    assert status == 1 and [layer["status"] for layer in document["models"][0]["layers"]] == ["differs", "agrees"]
    for place, problem in (("nothing", "nothing at 'nothing'"), ("number", "at 'number' is int"), ("net.x", "net.x")):
        status, err = checked(capsys, path, "--input", place)
        assert status == 2 and err.count("\n") == 1 and problem in err


def test_the_input_is_that_of_the_models_beside_it(capsys, net_and_input):
    table, path = net_and_input
    other = luann.Table(net=used(nn.Sequential().add(nn.Linear(5, 2)), torch.randn(2, 5)))
    luann.save(path, [table, other])
    status, document = checked(capsys, path, "--input", "[1].input")
    assert status == 0 and [(m["at"], m["unchecked"]) for m in document["models"]] == [("[1].net", 0), ("[2].net", 1)]
    status, document = checked(capsys, path, "--at", "[1].net")
    assert [(m["at"], m["unchecked"]) for m in document["models"]] == [("[1].net", 1)]
    status, err = checked(capsys, path, "--input", "[1].far.input")
    assert status == 2 and "none of the 2 models is beside '[1].far.input'" in err
    assert checked(capsys, path, "--input", "[1].far.input", "--at", "[1].net")[0] == 0
    status, err = checked(capsys, path, "--at", "[3].net")
    assert status == 2 and "no model at '[3].net'" in err


def test_a_file_of_several_objects(capsys, net_and_input):
    table, path = net_and_input
    with luann.t7.Writer(path) as writer:
        writer.write(table.input)
        writer.write(table.net)
    status, document = checked(capsys, path, "--input", "[1]")
    assert status == 0 and [(m["at"], m["agree"]) for m in document["models"]] == [("[2]", 2)]


@pytest.mark.parametrize("name", ["table_list", "module_linear", "function_plain"])
def test_files_in_which_nothing_can_be_checked(capsys, name):
    assert main(["check", str(REFERENCE / f"serialization/{name}.bin.t7")]) == 2
    assert capsys.readouterr().out


def test_trouble(capsys, tmp_path):
    path = tmp_path / "cut.t7"
    path.write_bytes(USED.read_bytes()[:300])
    for bad in (path, tmp_path / "missing.t7"):
        assert main(["check", str(bad)]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.startswith(f"luann: {bad}: ") and err.count("\n") == 1


def test_the_document_has_what_its_docstring_says():
    document = check.describe(luann.load(USED), "x", 5)
    for name in {*document, *document["models"][0], *document["models"][0]["layers"][0]}:
        assert f"``{name}``" in check.__doc__
