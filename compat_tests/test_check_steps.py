"""``luann check`` on what takes sequences step by step, and on the classes of other rocks."""

from __future__ import annotations

import copy
import io
from pathlib import Path

import pytest
import torch

import luann
from luann import check, nn
from luann.check import check_model
from luann.contrib import dpnn, rnn, torch_rnn

ROCKS = Path(__file__).parent / "reference" / "rocks"


def saved(net):
    """A net as a file gives it back."""
    file = io.BytesIO()
    luann.save(file, net)
    file.seek(0)
    return luann.load(file)


def found(net, input=None):
    """What is found about the layers that are not within one that runs as a whole, by their paths."""
    layers, _ = check_model(saved(net), input)
    assert all(layer.reason for layer in layers if layer.status == "unchecked")
    return {layer.path: layer for layer in layers if not (layer.reason or "").startswith("it is part of")}


def statuses(net, input=None):
    return {path: layer.status for path, layer in found(net, input).items()}


# What takes a whole sequence


SEQUENCES = {
    "Sequencer": lambda: rnn.Sequencer(nn.Linear(3, 2)),
    "Sequencer of LSTM": lambda: rnn.Sequencer(rnn.LSTM(3, 2)),
    "Sequencer of NormStabilizer": lambda: rnn.Sequencer(
        nn.Sequential().add(rnn.GRU(3, 2)).add(rnn.NormStabilizer(1))
    ),
    "Repeater": lambda: rnn.Repeater(rnn.FastLSTM(3, 2), 3),
    "RecurrentAttention": lambda: rnn.RecurrentAttention(
        nn.Sequential().add(nn.ParallelTable().add(nn.Linear(3, 2)).add(nn.Linear(2, 2))).add(nn.CAddTable()),
        nn.Linear(2, 2), 3, [2],
    ),
}  # fmt: skip


@pytest.mark.parametrize("mode", ["training", "evaluate"])
@pytest.mark.parametrize("name", SEQUENCES)
def test_a_sequence_is_compared_as_a_whole(name, mode):
    net = nn.Sequential().add(nn.Identity()).add(SEQUENCES[name]())
    getattr(net, mode)()
    input = torch.randn(2, 3) if name in ("Repeater", "RecurrentAttention") else torch.randn(4, 2, 3)
    for _ in range(2):
        net.forward(input)
    assert statuses(net, input) == {"1": "agrees", "2": "agrees"}
    assert statuses(net) == {"1": "unchecked", "2": "agrees"}
    wrong = saved(net)
    wrong.get(2).parameters()[0][0].add_(0.1)
    assert statuses(wrong, input) == {"1": "agrees", "2": "differs"}


@pytest.mark.parametrize("mode", ["training", "evaluate"])
@pytest.mark.parametrize("cls", [rnn.BiSequencer, rnn.BiSequencerLM])
def test_both_directions(cls, mode):
    net = cls(rnn.LSTM(3, 2))
    getattr(net, mode)()
    input = [torch.randn(2, 3) for _ in range(4)]
    net.forward(input)
    assert set(statuses(net, input).values()) == {"agrees"}
    sequencers = {path: layer for path, layer in found(net, input).items() if layer.class_name == "nn.Sequencer"}
    assert len(sequencers) == 3
    assert "differs" not in statuses(net).values()


def test_what_is_within_says_so():
    net = nn.Sequential().add(nn.Tanh()).add(rnn.Sequencer(nn.Sequential().add(nn.Linear(3, 2)).add(nn.Tanh())))
    net.forward(torch.randn(4, 2, 3))
    layers = {layer.path: layer for layer in check_model(saved(net))[0]}
    assert set(layers) == {"1", "2", "2.1.1.1", "2.1.1.2"}
    assert layers["2.1.1.2"].status == "unchecked"
    assert layers["2.1.1.2"].reason == "it is part of nn.Sequencer 2, which is compared as a whole"


def test_a_layer_within_that_changes_its_input():
    net = nn.Sequential().add(nn.Linear(3, 3)).add(rnn.Sequencer(nn.ReLU(True))).add(nn.Linear(3, 2))
    input = torch.randn(4, 3)
    net.forward(input)
    layers = found(net, input)
    assert {path: layer.status for path, layer in layers.items()} == dict.fromkeys("123", "agrees")
    assert layers["1"].together == "2"


def test_a_class_within_that_luann_does_not_know():
    net = nn.Sequential().add(nn.Identity()).add(rnn.Sequencer(nn.Sequential().add(nn.Linear(3, 2))))
    net.forward(torch.randn(4, 3))
    net.get(2).module.recurrentModule.modules.append(luann.t7.Unknown("my.Layer", 1, {"gradInput": torch.empty(0)}))
    layers = found(net)
    assert layers["2"].status == "unchecked" and layers["2"].reason == "luann does not know my.Layer"


# What takes a step at a time


STEPS = {
    "LSTM": lambda: rnn.LSTM(3, 2),
    "FastLSTM": lambda: rnn.FastLSTM(3, 2),
    "GRU": lambda: rnn.GRU(3, 2),
    "MuFuRu": lambda: rnn.MuFuRu(3, 2),
    "Recurrent": lambda: rnn.Recurrent(2, nn.Linear(3, 2), nn.Linear(2, 2)),
    "Recurrence": lambda: rnn.Recurrence(
        nn.Sequential().add(nn.JoinTable(2)).add(nn.Linear(5, 2)).add(nn.Tanh()), 2, 1
    ),
    "Recursor": lambda: rnn.Recursor(nn.Sequential().add(rnn.LSTM(3, 2)).add(nn.Tanh())),
}


@pytest.mark.parametrize("mode", ["training", "evaluate"])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", STEPS)
def test_the_last_step_is_done_again_where_the_state_before_it_is_there(name, count, mode):
    net = nn.Sequential().add(nn.Linear(3, 3)).add(STEPS[name]())
    getattr(net, mode)()
    for _ in range(count):
        input = torch.randn(2, 3)
        net.forward(input)
    layer = found(net, input)["2"]
    if mode == "evaluate" and count > 1:  # all steps have their states in the same memory
        assert layer.status == "unchecked" and "depends on its runs before" in layer.reason
        return
    assert layer.status == "agrees"
    for tensor in net.get(2).parameters()[0]:
        tensor.mul_(1.5)
    assert statuses(net, input) == {"1": "agrees", "2": "differs"}


@pytest.mark.parametrize("mode", ["training", "evaluate"])
def test_a_sequencer_that_remembers(mode):
    net = rnn.Sequencer(rnn.LSTM(3, 2)).remember()
    getattr(net, mode)()
    for _ in range(2):
        input = torch.randn(4, 2, 3)
        net.forward(input)
    assert statuses(net, input) == {"": "agrees" if mode == "training" else "unchecked"}


@pytest.mark.parametrize("how", ["zero", "remembered", "given"])
@pytest.mark.parametrize("cls", [rnn.SeqLSTM, rnn.SeqGRU, torch_rnn.LSTM, torch_rnn.VanillaRNN])
def test_layers_over_sequences_begin_with_the_states_that_they_saved(cls, how):
    net = cls(3, 2)
    if how == "remembered":
        net.remember_states = True
        net._remember = "both"
    for _ in range(2):
        input = torch.randn(4, 4, 3)
        if how == "given":
            net.userPrevOutput = torch.randn(4, 2)
        net.forward(input)
    assert statuses(net, input) == {"": "agrees"}
    net.weight.mul_(1.01)
    assert statuses(net, input) == {"": "differs"}


def test_a_language_model():
    words = {"idx_to_token": ["a", "b", "c"], "model_type": "lstm", "wordvec_size": 4, "rnn_size": 3}
    net = torch_rnn.LanguageModel({**words, "num_layers": 2, "dropout": 0, "batchnorm": 0})
    net.rnns[0].remember_states = net.rnns[1].remember_states = False
    input = torch.randint(1, 4, (2, 5))
    net.forward(input)
    assert statuses(net, input) == {"": "agrees"}
    net.parameters()[0][-1].add_(1)
    assert statuses(net, input) == {"": "differs"}


# Containers of one's own


class Thrice(nn.Container):
    """Runs its module three times."""

    def updateOutput(self, input):
        for _ in range(3):
            input = self.modules[0].updateOutput(input)
        self.output = input
        return self.output


class Each(nn.Container):
    """Runs its module for each entry."""

    def updateOutput(self, input):
        self.output = [self.modules[0].updateOutput(x).clone() for x in input]
        return self.output


class Sum(nn.Container):
    """Adds up what its module has ever given."""

    total = 0

    def updateOutput(self, input):
        self.total = self.modules[0].updateOutput(input) + self.total
        self.output = self.total.clone()
        return self.output


def results(net, input=None):
    return {layer.path: layer.status for layer in check_model(net, input)[0]}


def test_containers_that_run_a_module_several_times():
    input = torch.randn(5, 3)
    net = nn.Sequential().add(nn.Tanh()).add(Thrice().add(nn.Linear(3, 3))).add(nn.Tanh())
    net.forward(input)
    assert results(net, input) == {"1": "agrees", "2.1": "agrees", "3": "agrees"}
    assert "differs" not in results(net).values()

    net = nn.Sequential().add(nn.SplitTable(1)).add(Each().add(nn.Linear(3, 2)))
    net.forward(input)
    assert set(results(net, input).values()) == {"agrees"} and "differs" not in results(net).values()
    net.get(1).output = []  # how often the module runs turns out while comparing
    assert results(net, input) == {"1": "unchecked", "2": "agrees", "2.1": "unchecked"}
    net.get(2).get(1).weight.mul_(2)
    assert results(net, input)["2"] == "differs"


def test_containers_that_keep_something_from_run_to_run():
    input = torch.randn(5, 3)
    net = nn.Sequential().add(nn.Tanh()).add(Sum().add(nn.Linear(3, 3))).add(nn.Tanh())
    net.forward(input)
    net.forward(input)
    assert results(net, input) == {"1": "agrees", "2": "unchecked", "2.1": "unchecked", "3": "agrees"}
    net.get(3).output.add_(1)
    assert results(net, input)["3"] == "differs"


@pytest.mark.parametrize("size", [(4,), (2, 4, 3, 3)])
def test_a_container_that_resizes_the_output_of_a_module(size):
    net = nn.Sequential().add(nn.Identity()).add(nn.CReLU(len(size[1:]) or 1, True))
    input = torch.randn(size)
    net.forward(input)
    assert set(statuses(net, input).values()) == {"agrees"}
    net.output.view(-1)[0] += 1
    assert statuses(net, input)["2.3"] == "differs"


# Layers of other rocks


def test_binary_weights_are_made_of_the_real_ones_again():
    net = dpnn.SpatialBinaryConvolution(2, 3, 3, 3)
    input = torch.randn(2, 2, 5, 5)
    net.forward(input)
    assert statuses(net, input) == {"": "agrees"}
    net.tempWeight.mul_(2)
    assert statuses(net, input) == {"": "differs"}


@pytest.mark.parametrize("path", sorted(ROCKS.rglob("*.t7")), ids=lambda path: "/".join(path.parts[-2:]))
def test_no_file_of_a_rock_gives_a_false_alarm(path):
    """No file of these holds outputs; so each net with an input beside it is run, and then checked."""
    document = check.describe(luann.load(path))
    assert document["differ"] == 0
    records = luann.load(path)
    for record in records[:2] if isinstance(records, list) else []:
        net, input = record.get("module"), record.get("input")
        if isinstance(net, nn.Module) and input is not None:
            for mode in ("training", "evaluate"):
                used = copy.deepcopy(net)
                getattr(used, mode)()
                used.forward(copy.deepcopy(input))
                assert "differs" not in statuses(used, input).values()
                assert "differs" not in statuses(used).values()
