"""rnn's layers for whole sequences, masks, criterions and small layers: records, PyTorch, and themselves in parts."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import records
import torch
from test_t7_write_nn import differences, written
from torch import Tensor

import luann
from luann import nn, t7
from luann.contrib import rnn

MODULES = (
    "SeqLSTM",
    "SeqLSTMP",
    "SeqGRU",
    "SeqReverseSequence",
    "SeqBRNN",
    "MaskZero",
    "TrimZero",
    "LookupTableMaskZero",
    "LinearNoBias",
    "CopyGrad",
    "SAdd",
    "ZeroGrad",
    "ExpandAs",
    "Padding",
)
CRITERIONS = "MaskZeroCriterion", "SequencerCriterion", "RepeaterCriterion"


@pytest.fixture(autouse=True)
def _double() -> None:
    luann.setdefaulttensortype("torch.DoubleTensor")
    torch.manual_seed(1)


@records.of("rocks/rnn", *MODULES, *CRITERIONS)
def test_record(case: Any) -> None:
    records.check(case)


@records.of("rocks/rnn", *MODULES, *CRITERIONS, again=True)
def test_it_is_written_with_the_fields_of_the_rock(case: Any) -> None:
    record = records.get(case)
    made = records.build(record.spec, kind=case[0])
    made = made.float() if record.dtype == "float" else made
    wanted = record.get("module", record.get("criterion"))
    assert not list(differences(written(made), written(wanted), ("", ""), set()))


def seq(T: int, N: int, D: int) -> Tensor:
    return torch.randn(T, N, D)


def close(got: Any, wanted: Any) -> None:
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)


def by_pytorch(module: nn.Module, x: Tensor, gradOutput: Tensor, *start: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Output, gradient of the input and of the parameters, of the same net in torch.nn with autograd."""
    D, H, R = module.inputsize, module.hiddensize, module.outputsize
    net = torch.nn.LSTM(D, H, proj_size=R if isinstance(module, rnn.SeqLSTMP) else 0, batch_first=module.batchfirst)
    order = lambda t: torch.cat([t.chunk(4)[i] for i in (0, 1, 3, 2)])  # noqa: E731  input, forget, tanh, output
    with torch.no_grad():
        net.weight_ih_l0.copy_(order(module.weight[:D].t()))
        net.weight_hh_l0.copy_(order(module.weight[D:].t()))
        net.bias_ih_l0.copy_(order(module.bias))
        net.bias_hh_l0.zero_()
        if isinstance(module, rnn.SeqLSTMP):
            net.weight_hr_l0.copy_(module.weightO.t())
    x = x.clone().requires_grad_()
    y, _ = net(x, tuple(s.unsqueeze(0) for s in start) or None)
    y.backward(gradOutput)
    weight = torch.cat((order(net.weight_ih_l0.grad).t(), order(net.weight_hh_l0.grad).t()))
    grads = [weight, order(net.bias_ih_l0.grad)]
    return y.detach(), x.grad, [*grads, net.weight_hr_l0.grad.t()] if hasattr(net, "weight_hr_l0") else grads


@pytest.mark.parametrize("batchfirst", [False, True])
@pytest.mark.parametrize("sizes", [(3, 4), (5, 6, 2)])
def test_lstm_is_that_of_pytorch(sizes: tuple[int, ...], batchfirst: bool) -> None:
    module = (rnn.SeqLSTM if len(sizes) == 2 else rnn.SeqLSTMP)(*sizes)
    module.batchfirst = batchfirst
    for T, N in ((4, 3), (1, 2), (6, 3), (3, 4), (3, 4)):  # of one object
        x, gradOutput = seq(T, N, sizes[0]), seq(T, N, sizes[-1])
        module.zeroGradParameters()
        output = module.forward(x)
        y, grad_x, grads = by_pytorch(module, x, gradOutput)
        close(output, y)
        close(module.backward(x, gradOutput), grad_x)
        close(module.parameters()[1], grads)
        assert module.output is output and module.gradInput is module.grad_x


def test_given_states() -> None:
    module, x, gradOutput = rnn.SeqLSTM(3, 2), seq(4, 2, 3), seq(4, 2, 2)
    c0, h0 = torch.randn(2, 2), torch.randn(2, 2)
    y, grad_x, _ = by_pytorch(module, x, gradOutput, h0, c0)
    close(module.forward([c0, h0, x]), y)
    grad_c0, grad_h0, mine = module.backward([c0, h0, x], gradOutput)
    close(mine, grad_x)
    for grad, state in ((grad_c0, c0), (grad_h0, h0)):
        value = (module.forward([c0, h0, x]) * gradOutput).sum()
        step = torch.zeros_like(state)
        step[1, 0] = 1e-6
        moved = [c0 + step, h0, x] if state is c0 else [c0, h0 + step, x]
        slope = ((module.forward(moved) * gradOutput).sum() - value) / 1e-6
        assert abs(slope - grad[1, 0]) < 1e-5


def gru(module: nn.Module, x: Tensor, h: Tensor) -> Tensor:
    D, H = module.inputSize, module.outputSize
    Wx, Wh = module.weight[:D], module.weight[D:]
    outputs = []
    for t in range(x.shape[0]):
        ru = torch.sigmoid(x[t] @ Wx[:, : 2 * H] + h @ Wh[:, : 2 * H] + module.bias[: 2 * H])
        n = torch.tanh(x[t] @ Wx[:, 2 * H :] + (ru[:, :H] * h) @ Wh[:, 2 * H :] + module.bias[2 * H :])
        h = (1 - ru[:, H:]) * n + ru[:, H:] * h
        outputs.append(h)
    return torch.stack(outputs)


def test_gru_has_the_gradients_of_autograd() -> None:
    module = rnn.SeqGRU(3, 4)
    for T, N in ((5, 2), (2, 3), (1, 1)):
        x, h0, gradOutput = seq(T, N, 3).requires_grad_(), torch.randn(N, 4).requires_grad_(), seq(T, N, 4)
        module.zeroGradParameters()
        twin = copy.copy(module)
        twin.__dict__.update(weight=module.weight.clone().requires_grad_(), bias=module.bias.clone().requires_grad_())
        y = gru(twin, x, h0)
        wanted = torch.autograd.grad(y, (h0, x, twin.weight, twin.bias), gradOutput)
        input = [h0.detach(), x.detach()]
        close(module.forward(input), y.detach())
        close([*module.backward(input, gradOutput), *module.parameters()[1]], list(wanted))


MAKE = {
    "SeqLSTM": lambda: rnn.SeqLSTM(3, 4),
    "SeqLSTMP": lambda: rnn.SeqLSTMP(3, 4, 2),
    "SeqGRU": lambda: rnn.SeqGRU(3, 4),
}
each = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)


@each
@pytest.mark.parametrize("batchfirst", [False, True])
def test_zeros_separate_sequences(make: Any, batchfirst: bool) -> None:
    """One sequence of 7 steps with zeros in the fourth is two of 3 steps."""
    module = make()
    module.maskZero()
    module.batchfirst = batchfirst
    turn = (lambda t: t.transpose(0, 1).contiguous()) if batchfirst else (lambda t: t)
    x, gradOutput = seq(7, 2, 3), seq(7, 2, module._outputs())
    x[3] = 0
    output = module.forward(turn(x)).clone()
    gradInput, grads = module.backward(turn(x), turn(gradOutput)).clone(), [g.clone() for g in module.parameters()[1]]
    assert not turn(output)[3].any() and not turn(gradInput)[3].any()
    module.zeroGradParameters()
    for part in (slice(0, 3), slice(4, 7)):
        close(module.forward(turn(x[part])), turn(turn(output)[part]))
        close(module.backward(turn(x[part]), turn(gradOutput[part])), turn(turn(gradInput)[part]))
    close(module.parameters()[1], grads)


@each
def test_two_layers_one_behind_the_other_in_time(make: Any) -> None:
    """Encoder and decoder coupled by their states do what one layer does over both sequences."""
    whole = make()
    first, second = whole.clone(), whole.clone()
    x, gradOutput = seq(5, 2, 3), seq(5, 2, whole._outputs())
    output, gradInput = whole.forward(x), whole.backward(x, gradOutput)
    close(first.forward(x[:2]), output[:2])
    second.userPrevOutput = first.output[-1]
    if first._states == ("c0", "h0"):
        second.userPrevCell = first.cell[-1]
    close(second.forward(x[2:]), output[2:])
    assert second.userPrevOutput is None and second.userPrevCell is None
    close(second.backward(x[2:], gradOutput[2:]), gradInput[2:])
    first.gradPrevOutput, first.userNextGradCell = second.userGradPrevOutput, second.userGradPrevCell
    close(first.backward(x[:2], gradOutput[:2]), gradInput[:2])
    assert first.gradPrevOutput is None and first.userNextGradCell is None
    for a, b, c in zip(whole.parameters()[1], first.parameters()[1], second.parameters()[1]):
        close(b + c, a)


@each
def test_a_copy_made_between_forward_and_backward(make: Any) -> None:
    module = make()
    x, gradOutput = seq(4, 2, 3), seq(4, 2, module._outputs())
    module.forward(x)
    file = io.BytesIO()
    luann.save(file, module)
    copies = [module.clone(), pickle.loads(pickle.dumps(module)), t7.load(file.getvalue())]
    wanted = module.backward(x, gradOutput).clone()
    for twin in copies:
        close(twin.backward(x, gradOutput), wanted)
        close(twin.parameters()[1], module.parameters()[1])
    module.clearState()
    module.zeroGradParameters()
    module.forward(x)
    close(module.backward(x, gradOutput), wanted)


@each
def test_it_stays_one_through_getParameters_and_float(make: Any) -> None:
    module = make()
    x, gradOutput = seq(4, 2, 3), seq(4, 2, module._outputs())
    module.forward(x)
    wanted = module.backward(x, gradOutput).clone()
    flat, grads = module.getParameters()
    before = grads.clone()
    close(module.forward(x), module.output)
    close(module.backward(x, gradOutput), wanted)
    close(grads, 2 * before)
    module.float()
    torch.testing.assert_close(module.forward(x.float()).double(), make_double(module).forward(x), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(module.backward(x.float(), gradOutput.float()).double(), wanted, rtol=1e-4, atol=1e-5)
    assert flat.shape == grads.shape


def make_double(module: nn.Module) -> nn.Module:
    return module.clone().double()


def test_as_modules_that_take_one_step() -> None:
    lstm, gru = rnn.SeqLSTM(3, 4), rnn.SeqGRU(3, 4)
    for whole, name in ((lstm, "toFastLSTM"), (gru, "toGRU")):
        x, gradOutput = seq(5, 2, 3), seq(5, 2, 4)
        output, gradInput = whole.forward(x), whole.backward(x, gradOutput)
        steps = rnn.Sequencer(getattr(whole, name)())
        close(steps.forward(x), output)
        steps.zeroGradParameters()
        close(steps.backward(x, gradOutput), gradInput)
        again = getattr(whole, name)().parameters()[1]  # the gradients are copied, too
        close(steps.parameters()[1], again)


def test_a_file_of_the_first_version() -> None:
    """It was batch first and had another word for remembering."""
    module, x = rnn.SeqLSTM(3, 4), seq(2, 5, 3)
    later = "_remember", "batchfirst", "maskzero", "hiddensize"
    fields = {k: v for k, v in module.clone().__dict__.items() if k not in later}
    old = rnn.SeqLSTM.__new__(rnn.SeqLSTM)
    old._restore({**fields, "remember_states": True}, 1)
    module.remember("both")
    for _ in range(2):
        close(old.forward(x).transpose(0, 1), module.forward(x.transpose(0, 1)))


def test_what_cannot_be() -> None:
    module = rnn.SeqLSTM(3, 2).remember()
    x, gradOutput = seq(4, 2, 3), seq(4, 2, 2)
    with pytest.raises(luann.ShapeError, match="vectors of 3"):
        module.forward(seq(4, 2, 5))
    with pytest.raises(luann.ShapeError, match=r"h0 of 2 x 2"):
        module.forward([torch.zeros(3, 2), x])
    with pytest.raises(luann.ShapeError, match=r"\[c0, h0, x\] or \[h0, x\]"):
        module.forward([x, x, x, x])
    module.forward(x)
    with pytest.raises(luann.ArgumentError, match=r"no scale but 1, got 0\.5"):
        module.backward(x, gradOutput, 0.5)
    with pytest.raises(luann.ShapeError, match="gradOutput of 4 x 2 x 2"):
        module.backward(x, gradOutput[:3])
    with pytest.raises(luann.ShapeError, match="a batch of 2, got one of 3"):
        module.forward(seq(4, 3, 3))
    module.clearState()
    with pytest.raises(luann.ModuleError, match="nothing to go on from"):
        module.forward(x)
    module.forget()
    module.forward(x)
    with pytest.raises(luann.ArgumentError, match="both, eval, train, neither, got 'always'"):
        module.remember("always")
    with pytest.raises(luann.ArgumentError, match="SeqLSTMP"):
        rnn.SeqLSTMP(3, 2, None)  # type: ignore[arg-type]
    with pytest.raises(luann.ArgumentError, match="SeqLSTMP takes one"):
        rnn.SeqLSTM(3, 2, 4)
    with pytest.raises(luann.ArgumentError, match="1, 2 or 3"):
        rnn.SeqReverseSequence(4)


def test_masks_of_tables_and_of_single_rows() -> None:
    net = nn.ConcatTable().add(nn.Identity()).add(nn.ConcatTable().add(nn.AddConstant(1)))
    module = rnn.MaskZero(net, 1)
    x = torch.tensor([[1.0, 2.0], [0.0, 0.0], [0.0, 3.0]])
    kept = torch.tensor([[1.0], [0.0], [1.0]])
    output = module.forward(x)
    close(output[0], x)
    close(output[1][0], (x + 1) * kept)
    grads = [torch.randn(3, 2), [torch.randn(3, 2)]]
    close(module.backward(x, grads), (grads[0] + grads[1][0]) * kept)
    assert output[1][0] is module.forward(x)[1][0]
    close(module.forward(torch.zeros(2))[1][0], torch.zeros(2))
    close(module.forward(torch.ones(2))[1][0], torch.full((2,), 2.0))
    with pytest.raises(luann.ShapeError, match="1 dimensions, or one more"):
        module.forward(torch.zeros(1, 1, 1))


def test_trimming_gives_the_module_fewer_rows() -> None:
    inner = nn.AddConstant(1)
    module = rnn.TrimZero(inner, 2)
    x = torch.randn(4, 2, 3)
    x[1] = x[3] = 0
    kept = torch.tensor([1.0, 0.0, 1.0, 0.0]).view(4, 1, 1)
    close(module.forward(x), (x + 1) * kept)
    assert inner.output.shape == (2, 2, 3)
    grad = torch.randn(4, 2, 3)
    close(module.updateGradInput(x, grad), grad * kept)
    close(module.forward(torch.zeros(4, 2, 3)), torch.zeros(4, 2, 3))
    close(module.forward(torch.ones(2, 3)), torch.full((2, 3), 2.0))
    close(module.forward(torch.zeros(2, 3)), torch.zeros(2, 3))


def test_recurrent_modules_have_a_mask_of_their_own() -> None:
    with pytest.warns(UserWarning, match=r"maskZero\(\)"):
        rnn.MaskZero(rnn.FastLSTM(2, 2), 1)
    with pytest.raises(luann.ArgumentError, match="mono"):
        rnn.TrimZero(rnn.GRU(2, 2, None, 0.5), 1, True)


def test_criterions_over_steps() -> None:
    x, y = seq(3, 4, 5), seq(3, 4, 5)
    one = nn.MSECriterion()
    values = [one.forward(a, b) for a, b in zip(x, y)]
    grads = torch.stack([one.backward(a, b).clone() for a, b in zip(x, y)])
    for average, factor in ((None, 1), (True, 1 / 3)):
        criterion = rnn.SequencerCriterion(nn.MSECriterion(), average)
        assert criterion.forward(x, y) == pytest.approx(sum(values) * factor, rel=1e-12)
        close(criterion.backward(x, y), grads * factor)
        assert criterion.forward(list(x), list(y)) == pytest.approx(sum(values) * factor, rel=1e-12)
        close(criterion.backward(list(x), list(y)), list(grads * factor))
    with pytest.raises(luann.ArgumentError, match="list of 3 targets"):
        criterion.forward(list(x), list(y)[:2])
    deep = rnn.SequencerCriterion(nn.ParallelCriterion().add(nn.MSECriterion()).add(nn.AbsCriterion()), True)
    pairs = [[[a, a] for a in x], [[b, b] for b in y]]
    assert deep.forward(*pairs) == pytest.approx((sum(values) + sum((x - y).abs().mean((1, 2)).tolist())) / 3)
    close([pair[0] for pair in deep.backward(*pairs)], list(grads / 3))
    repeated = rnn.RepeaterCriterion(nn.MSECriterion())
    assert repeated.forward(x, y[0]) == pytest.approx(sum(one.forward(a, y[0]) for a in x), rel=1e-12)


def test_rows_of_zeros_are_no_loss() -> None:
    criterion = rnn.MaskZeroCriterion(nn.MSECriterion(), 2)
    x, y = torch.randn(4, 2, 3), torch.randn(4, 2, 3)
    x[2] = 0
    rows = [0, 1, 3]
    one = nn.MSECriterion()
    assert criterion.forward(x, y) == pytest.approx(one.forward(x[rows], y[rows]), rel=1e-12)
    wanted = torch.zeros_like(x)
    wanted[rows] = one.backward(x[rows], y[rows])
    close(criterion.backward(x, y), wanted)
    assert criterion.float().zeroMask is None
    with pytest.raises(luann.ShapeError, match="a batch"):
        criterion.forward(x[0], y[0])


def test_a_linear_layer_of_the_first_version_loses_its_bias_of_zeros() -> None:
    old = nn.Linear(3, 2)
    old.bias.zero_()
    file = io.BytesIO()
    luann.save(file, old)
    name, new = b"\x09\0\0\0nn.Linear", b"\x0f\0\0\0nn.LinearNoBias"
    loaded = t7.load(file.getvalue().replace(name, new))
    assert type(loaded) is rnn.LinearNoBias and loaded.bias is None and len(loaded.parameters()[0]) == 1
    x = torch.randn(4, 3)
    close(loaded.forward(x), x @ old.weight.t())


@pytest.mark.parametrize(("index", "got"), [(4, "from 4 to 4"), (-1, "from -1 to -1")])
def test_indices_beyond_a_table_with_a_vector_of_zeros(index: int, got: str) -> None:
    table = rnn.LookupTableMaskZero(3, 2)
    with pytest.raises(luann.ShapeError, match=f"wanted indices from 0 to 3, got some {got}"):
        table.forward(torch.tensor([index]))
    assert table.forward(torch.tensor([0, 3])).ne(0).any(1).tolist() == [False, True]


@pytest.mark.parametrize("make", [rnn.SequencerCriterion, rnn.RepeaterCriterion])
@pytest.mark.parametrize("method", ["forward", "backward"])
@pytest.mark.parametrize("input", [torch.tensor(1.0), None, "x"])
def test_inputs_that_are_no_steps(make: Any, method: str, input: Any) -> None:
    with pytest.raises(luann.ShapeError, match=f"^nn.{make.__name__}: wanted a list of steps, or a tensor of them"):
        getattr(make(nn.MSECriterion()), method)(input, torch.zeros(2))


def test_errors_name_the_class_once() -> None:
    layer, x = rnn.SeqLSTM(2, 3), seq(4, 2, 2)
    grad = layer.forward(x)
    with pytest.raises(luann.ArgumentError, match=r"^nn\.SeqLSTM: backward takes"):
        layer.backward(x, grad, 2)
    with pytest.raises(luann.ArgumentError, match=r"^nn\.SequencerCriterion: wanted a tensor of 3 targets"):
        rnn.SequencerCriterion(nn.MSECriterion()).forward(torch.ones(3, 2), torch.ones(2, 2))
