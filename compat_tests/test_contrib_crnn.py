import pytest
import records
import torch
from against_autograd import same, same_loss

import luann
from luann import nn
from luann.contrib import crnn


@records.of("rocks/crnn", "BiRnnJoin", "LstmLayer", "SharedParallelTable")
def test_record(case):
    records.check(case)


@pytest.fixture(autouse=True)
def double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(5)
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize("reverse", [False, True])
def test_lstm_agrees_with_torch(reverse):
    layer = crnn.LstmLayer(3, 4, 5, None, reverse)
    layer.training()
    weight, bias, weight2, bias2 = layer.parameters()[0]

    def lstm(*steps):
        c = h = torch.zeros(2, 4)
        outputs = []
        for x in reversed(steps) if reverse else steps:
            i, f, o, g = (x @ weight.t() + bias + h @ weight2.t() + bias2).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            outputs.append(h)
        return outputs[::-1] if reverse else outputs

    for count in 5, 2:
        same(layer, lstm, *(torch.randn(2, 3) for _ in range(count)))


def test_the_copies_follow_the_parameters_where_getParameters_moves_them():
    table = crnn.SharedParallelTable(nn.Linear(2, 2), 3)
    table.training()
    x = [torch.ones(1, 2)] * 3
    table.forward(x)
    flat, grads = table.getParameters()
    flat.fill_(1)
    assert [y.tolist() for y in table.forward(x)] == [[[3, 3]]] * 3
    grads.zero_()
    table.backward(x, x)
    assert grads.tolist() == [3] * 6


def test_more_steps_than_copies_are_told():
    layer = crnn.LstmLayer(1, 1, 2)
    steps = [torch.zeros(1, 1)] * 3
    assert len(layer.forward(steps)) == 3  # in evaluation there may be any number
    with pytest.raises(luann.Error, match=r"call training\(\)"):
        layer.backward(steps, steps)
    layer.training()
    with pytest.raises(luann.Error, match="2 steps at most"):
        layer.forward(steps)


def test_dropout_only_in_training():
    layer = crnn.LstmLayer(50, 1, 1, 0.5)
    steps = [torch.ones(1, 50)]
    wanted = layer.forward(steps)[0]
    layer.evaluate()  # the net that is inside was in training so far
    kept = layer.forward(steps)[0]
    layer.training()
    assert not torch.equal(layer.forward(steps)[0], kept)
    layer.evaluate()
    assert torch.equal(layer.forward(steps)[0], kept)
    assert wanted.shape == kept.shape


def test_ctc_agrees_with_all_paths_added_up():
    T, classes = 4, 3
    targets = torch.tensor([[1, 2], [1, 1], [2, 0], [0, 0]], dtype=torch.int32)

    def reading(path):
        kept = [k for i, k in enumerate(path) if i == 0 or k != path[i - 1]]
        return [k for k in kept if k]

    paths = torch.cartesian_prod(*[torch.arange(classes)] * T).tolist()

    def loss(x, target):
        total = 0
        for row, labels in zip(x, target.tolist()):
            fitting = [p for p in paths if reading(p) == [k for k in labels if k]]
            total = total - torch.stack([row[range(T), p].sum() for p in fitting]).logsumexp(0)
        return total

    same_loss(crnn.CtcCriterion(), loss, torch.randn(4, T, classes).log_softmax(2), targets)


def test_ctc_agrees_with_torch_behind_a_softmax():
    scores = torch.randn(3, 12, 6, requires_grad=True)
    targets = torch.tensor([[5, 5, 1, 2], [3, 0, 0, 0], [1, 2, 3, 0]])
    with torch.enable_grad():
        logs = scores.log_softmax(2)
        lengths = torch.full((3,), 12), torch.tensor([4, 1, 3])
        wanted = torch.nn.functional.ctc_loss(logs.transpose(0, 1), targets, *lengths, reduction="sum")
        (grad,) = torch.autograd.grad(wanted, scores)
    net, criterion = nn.LogSoftMax(), crnn.CtcCriterion()
    flat = scores.detach().view(36, 6)
    output = net.forward(flat).view(3, 12, 6)
    assert criterion.forward(output, targets.int()) == pytest.approx(wanted.item(), rel=1e-12)
    back = criterion.backward(output, targets.int()).view(36, 6)
    torch.testing.assert_close(net.backward(flat, back).view(3, 12, 6), grad)


def test_what_cannot_be_read_costs_infinity():
    criterion = crnn.CtcCriterion()
    x = torch.randn(1, 2, 3).log_softmax(2)
    assert criterion.forward(x, torch.tensor([[1, 1]])) == torch.inf
    assert not criterion.backward(x, torch.tensor([[1, 1]])).any()
