"""A training step asks for no number that a device computes, so that on CUDA it waits for nothing and can be captured.

Told on the CPU, where the same operators are called: those that would wait are refused while a step runs.
"""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import luann
from luann import nn, optim

WAITING = {"aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "aten::equal", "aten::masked_select"}


class Refusing(TorchDispatchMode):
    """Raises where a result would have to be there before the program can go on."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func._schema.name not in WAITING, f"{func} waits"
        return func(*args, **(kwargs or {}))


def images(net):
    return net, torch.randn(4, 3, 8, 8)


def chain(*layers):
    net = nn.Sequential()
    for layer in layers:
        net.add(layer)
    return net


def block():
    ways = nn.ConcatTable().add(chain(nn.SpatialConvolution(4, 4, 3, 3, 1, 1, 1, 1), nn.SpatialBatchNormalization(4)))
    return chain(ways.add(nn.Identity()), nn.CAddTable(), nn.ReLU(True))


def graph():
    x = nn.Linear(5, 4)()
    return nn.gModule([x], [nn.LogSoftMax()(nn.Linear(4, 3)(nn.CMulTable()(nn.Tanh()(x), nn.Sigmoid()(x))))])


def cell():
    """A graph with an LSTM's cell, which is computed as one where no buffers are kept."""
    x = nn.Identity()()
    gates = nn.SplitTable(2)(nn.Reshape(4, 4)(nn.Linear(5, 16)(x))).split(4)
    i, f, o = (nn.Sigmoid()(gate) for gate in gates[:3])
    c = nn.CAddTable()(nn.CMulTable()(f, nn.Linear(5, 4)(x)), nn.CMulTable()(i, nn.Tanh()(gates[3])))
    return nn.gModule([x], [nn.Linear(4, 3)(nn.CMulTable()(o, nn.Tanh()(c)))])


NETS = {
    "linear": lambda: (chain(nn.Linear(5, 4), nn.Tanh(), nn.BatchNormalization(4), nn.Linear(4, 3)), torch.randn(4, 5)),
    "convolutions": lambda: images(
        chain(
            nn.SpatialConvolution(3, 4, 3, 3, 1, 1, 1, 1),
            nn.SpatialBatchNormalization(4),
            nn.ReLU(True),
            nn.SpatialMaxPooling(2, 2),
            block(),
            nn.SpatialAveragePooling(2, 2, 2, 2),
            nn.SpatialFullConvolution(4, 2, 3, 3),
            nn.View(32),
            nn.Linear(32, 3),
        )
    ),
    "words": lambda: (chain(nn.LookupTable(10, 4), nn.Mean(2), nn.Linear(4, 3)), torch.randint(1, 11, (4, 6))),
    "graph": lambda: (graph(), torch.randn(4, 5)),
    "cell": lambda: (cell(), torch.randn(4, 5)),
    "recurrent": lambda: (
        chain(luann.contrib.rnn.SeqLSTM(3, 4), nn.Select(1, -1), nn.Linear(4, 3)),
        torch.randn(5, 4, 3),
    ),
}


@pytest.mark.parametrize("keep", [True, False], ids=["kept", "freed"])
@pytest.mark.parametrize("make", NETS.values(), ids=NETS.keys())
@pytest.mark.parametrize("method", [optim.sgd, optim.adam, optim.rmsprop])
def test_a_training_step_waits_for_nothing(make, method, keep):
    net, input = make()
    net.keepBuffers(keep)
    criterion, target = nn.CrossEntropyCriterion().onDevice(), torch.tensor([1, 2, 3, 1])
    x, dl_dx = net.getParameters()
    config = luann.Table(learningRate=0.01)

    def feval(x):
        dl_dx.zero_()
        loss = criterion.forward(net.forward(input), target)
        net.backward(input, criterion.backward(net.output, target))
        return loss, dl_dx

    method(feval, x, config)
    before = x.clone()
    with Refusing():
        method(feval, x, config)
    assert not torch.equal(before, x)


def test_what_waits_is_noticed():
    with pytest.raises(luann.Error, match="waits"), Refusing():
        nn.MSECriterion().forward(torch.ones(2), torch.zeros(2))
