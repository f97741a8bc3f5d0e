"""Classes of one Torch7 name are told apart by the fields in a file."""

import pytest

import luann
from luann import nn
from luann.contrib import fast_neural_style, rnn, texture_nets, torch_rnn


def reloaded(path, obj):
    luann.save(path, obj)
    return luann.load(path)


@pytest.mark.parametrize(
    "module",
    [
        lambda: rnn.LSTM(3, 2),
        lambda: torch_rnn.LSTM(3, 2),
        lambda: nn.Dropout(0.3),
        lambda: rnn.Dropout(0.3),
        lambda: fast_neural_style.InstanceNormalization(2),
        lambda: texture_nets.InstanceNormalization(2),
    ],
)
def test_each_is_loaded_as_what_it_was(tmp_path, module):
    made = module()
    assert type(reloaded(tmp_path / "m.t7", made)) is type(made)


def test_an_object_of_none_of_them_is_kept_and_says_so(tmp_path):
    stranger = luann.t7.Unknown("nn.LSTM", 1, {"depth": 3, "output": 5})
    found = reloaded(tmp_path / "m.t7", stranger)
    assert (found.depth, str(found)) == (3, "nn.LSTM")
    with pytest.raises(luann.Error, match=r"several classes are called nn\.LSTM.*\(depth, output\)"):
        found.forward(1)
    again = (tmp_path / "m.t7").read_bytes()
    luann.save(tmp_path / "again.t7", found)
    assert (tmp_path / "again.t7").read_bytes() == again


def test_a_class_of_the_user_s_own_goes_before(tmp_path, monkeypatch):
    class LSTM(nn.Module):
        pass

    monkeypatch.setitem(luann.types.classes, "nn.LSTM", LSTM)
    assert type(reloaded(tmp_path / "m.t7", torch_rnn.LSTM(3, 2))) is LSTM
