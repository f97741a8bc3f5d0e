"""torch-rnn: records, PyTorch, and checkpoints as its train.lua writes them."""

from __future__ import annotations

import io
from typing import Any

import pytest
import records
import torch
from test_t7_write_nn import differences, written

import luann
from luann import nn, optim, t7
from luann.contrib import rnn, torch_rnn
from luann.errors import ModuleError

MODULES = "LSTM", "VanillaRNN", "LanguageModel", "TemporalAdapter"
FLOAT = 1e-5, 1e-6


@pytest.fixture(autouse=True)
def _double() -> None:
    luann.setdefaulttensortype("torch.DoubleTensor")
    torch.manual_seed(1)


def close(got: Any, wanted: Any) -> None:
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)


@records.of("rocks/torch-rnn", *MODULES, "TemporalCrossEntropyCriterion")
def test_record(case: Any) -> None:
    records.check(case)


@records.of("rocks/torch-rnn", *MODULES, "TemporalCrossEntropyCriterion", again=True)
def test_it_is_written_with_the_fields_of_the_rock(case: Any) -> None:
    record = records.get(case)
    if "spec" in record:
        made = records.build(record.spec, kind=case[0])
        made = made.float() if record.dtype == "float" else made
        wanted = record.get("module", record.get("criterion"))
        found = [place for place, _ in differences(written(made), written(wanted), ("", ""), set())]
        assert set(found) <= {("nn.Dropout", "inplace")}  # as in nn


def test_layers_are_those_of_pytorch() -> None:
    """The LSTM is that of SeqLSTM, which test_contrib_rnn_sequences.py compares."""
    lstm, other, plain = torch_rnn.LSTM(3, 4), rnn.SeqLSTM(3, 4), torch_rnn.VanillaRNN(3, 4)
    other.batchfirst = True
    for mine, theirs in zip(other.parameters()[0], lstm.parameters()[0]):
        mine.copy_(theirs)
    net = torch.nn.RNN(3, 4, batch_first=True)
    with torch.no_grad():
        net.weight_ih_l0.copy_(plain.weight[:3].t())
        net.weight_hh_l0.copy_(plain.weight[3:].t())
        net.bias_hh_l0.zero_()
        net.bias_ih_l0.zero_()
    for N, T in ((2, 5), (3, 1), (4, 3)):
        x, h0, gradOutput = torch.randn(N, T, 3), torch.randn(N, 4), torch.randn(N, T, 4)
        for module in (lstm, other, plain, net):
            getattr(module, "zeroGradParameters", getattr(module, "zero_grad", None))()
        close(lstm.forward([h0, x]), other.forward([h0, x]).contiguous())
        close(lstm.backward([h0, x], gradOutput), other.backward([h0, x], gradOutput))
        close(lstm.parameters()[1], other.parameters()[1])
        start, input = h0.clone().requires_grad_(), x.clone().requires_grad_()
        y, _ = net(input, start.unsqueeze(0))
        y.backward(gradOutput)
        close(plain.forward([h0, x]), y.detach())
        close(plain.backward([h0, x], gradOutput), [start.grad, input.grad])
        weight = torch.cat((net.weight_ih_l0.grad.t(), net.weight_hh_l0.grad.t()))
        close(plain.parameters()[1], [weight, net.bias_ih_l0.grad])


TEXT = "the cat sat on the mat. " * 8
TOKENS = sorted(set(TEXT))


def model(**more: Any) -> torch_rnn.LanguageModel:
    options = {"model_type": "lstm", "wordvec_size": 8, "rnn_size": 16, "num_layers": 2, "dropout": 0, "batchnorm": 0}
    return torch_rnn.LanguageModel(luann.Table({"idx_to_token": TOKENS, **options, **more}))


@pytest.fixture(scope="module", params=[{}, {"model_type": "rnn", "dropout": 0.1, "batchnorm": 1}], ids=["lstm", "rnn"])
def checkpoint(request: pytest.FixtureRequest) -> tuple[bytes, list[float]]:
    """What train.lua does, in single precision: 60 iterations over batches of 2 x 12, and a file."""
    luann.manualSeed(3)
    luann.setdefaulttensortype("torch.FloatTensor")
    net = model(**request.param).float()
    params, grads = net.getParameters()
    crit, text, losses = nn.CrossEntropyCriterion().float(), net.encode_string(TEXT), []
    windows = text.unfold(0, 13, 12)
    N, T = 2, 12
    state = {"learningRate": 2e-2}
    net.training()

    def iteration(x: torch.Tensor, y: torch.Tensor) -> float:
        def f(w: torch.Tensor) -> tuple[float, torch.Tensor]:
            grads.zero_()
            scores = net.forward(x).view(N * T, -1)
            loss = crit.forward(scores, y)
            net.backward(x, crit.backward(scores, y).view(N, T, -1))
            return loss, grads.clamp_(-5, 5)

        return optim.adam(f, params, state)[1][0]

    for i in range(60):
        batch = windows[[i % 7, (i + 7) % 14]]
        losses.append(iteration(batch[:, :-1], batch[:, 1:].reshape(-1)))
    net.resetStates()
    net.clearState()
    file = io.BytesIO()
    luann.save(file, {"opt": {"rnn_size": 16}, "train_loss_history": losses, "i": 60, "model": net})
    return file.getvalue(), losses


def cuda(file: bytes) -> bytes:
    """The same file as a program on a GPU writes it."""
    for kind in (b"Tensor", b"Storage"):
        old, new = b"torch.Float" + kind, b"torch.Cuda" + kind
        file = file.replace(len(old).to_bytes(4, "little") + old, len(new).to_bytes(4, "little") + new)
    return file


@pytest.mark.parametrize("kind", ["float", "cuda"])
def test_a_checkpoint_is_sampled_from(checkpoint: tuple[bytes, list[float]], kind: str) -> None:
    file, losses = checkpoint
    assert losses[-1] < 0.5 * losses[0]
    loaded = t7.load(cuda(file) if kind == "cuda" else file)
    net = loaded["model"]
    net.evaluate()
    text = net.sample({"length": 40, "start_text": "the ", "sample": 0})
    assert len(text) == 40 and text.startswith("the ") and set(text) <= set(TOKENS)
    again = t7.load(file)["model"]
    again.evaluate()
    drawn = []
    for one in (net, again):
        luann.manualSeed(5)
        drawn.append(one.sample({"length": 30, "temperature": 0.7}))
    assert drawn[0] == drawn[1] and net.rnns[0].type() == "torch.FloatTensor"
    x = net.encode_string(TEXT[:24]).view(2, 12)
    whole = net.forward(x).clone()
    net.resetStates()
    parts = [net.forward(x[:, t : t + 1]).clone() for t in range(12)]  # the states are remembered
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=FLOAT[0], atol=FLOAT[1])
    double = net.clone().double()
    for one in (net, double):
        one.resetStates()
    torch.testing.assert_close(double.forward(x).float(), net.forward(x), rtol=1e-4, atol=1e-5)


def test_its_words() -> None:
    net = model()
    assert net.decode_string(net.encode_string("mat on")) == "mat on"
    net.forward(torch.ones(2, 3, dtype=torch.int64))
    assert net.output.shape == (2, 3, len(TOKENS)) and str(net) == "nn.LanguageModel"
    assert all(rnn.c0.numel() for rnn in net.rnns)
    net.resetStates()
    assert not any(rnn.c0.numel() for rnn in net.rnns)
    with pytest.raises(luann.ArgumentError, match="'x' is none of the 11 tokens"):
        net.encode_string("cxt")
    with pytest.raises(luann.ArgumentError, match="longer than length = 2"):
        net.sample({"length": 2, "start_text": "the"})
    with pytest.raises(luann.ArgumentError, match="'rnn_size' is missing"):
        torch_rnn.LanguageModel({"idx_to_token": TOKENS, "model_type": "lstm", "wordvec_size": 3})
    with pytest.raises(luann.ArgumentError, match="lstm or rnn, got 'gru'"):
        model(model_type="gru")
    with pytest.raises(luann.ShapeError, match="N x T"):
        net.forward(torch.ones(3, dtype=torch.int64))


def test_tokens_that_are_a_table() -> None:
    """What cjson made of the JSON file: any order, and not the numbers from 1 on where one is left out."""
    net = model(idx_to_token=luann.Table({2: "b", 1: "a", 3: "c"}))
    assert net.vocab_size == 3 and net.encode_string("cab").tolist() == [3, 1, 2]
    assert net.decode_string(torch.tensor([3, 2])) == "cb"


def test_classes_of_the_same_name_are_told_apart() -> None:
    mine, theirs, net = torch_rnn.LSTM(2, 3), rnn.LSTM(2, 3), model()
    file = io.BytesIO()
    luann.save(file, [mine, theirs, net])
    loaded = t7.load(file.getvalue())
    assert [type(m) for m in loaded] == [torch_rnn.LSTM, rnn.LSTM, torch_rnn.LanguageModel]
    another = t7.Unknown("nn.LanguageModel", 1, {"core": mine, "lookup_table": nn.LookupTable(2, 2), "vocab_size": 2})
    file = io.BytesIO()
    luann.save(file, another)
    stranger = t7.load(file.getvalue())  # neuraltalk2's, say
    assert not isinstance(stranger, torch_rnn.LanguageModel) and stranger.vocab_size == 2
    with pytest.raises(ModuleError, match=r"several classes are called nn\.LanguageModel"):
        stranger.forward(torch.ones(1, 1))


def test_temporal_cross_entropy_by_autograd() -> None:
    criterion = torch_rnn.TemporalCrossEntropyCriterion()
    for N, T, average in ((3, 4, (True, False)), (2, 5, (False, True)), (2, 2, (True, True))):
        criterion.batch_average, criterion.time_average = average
        x = torch.randn(N, T, 5).requires_grad_()
        target = torch.randint(0, 6, (N, T))
        target[0, 0] = 0
        kept = target.clone()
        loss = torch.nn.functional.cross_entropy(
            x.flatten(0, 1), target.flatten() - 1, ignore_index=-1, reduction="sum"
        )
        loss = loss / ((N if average[0] else 1) * (T if average[1] else 1))
        loss.backward()
        assert criterion.forward(x.detach(), target) == pytest.approx(loss.item(), rel=1e-12)
        close(criterion.backward(x.detach(), target), x.grad)
        assert torch.equal(target, kept)
    with pytest.raises(luann.ShapeError, match="target of 2 x 2"):
        criterion.forward(torch.randn(2, 2, 5), target[:1])
    with pytest.raises(luann.Error):
        criterion.forward(torch.randn(2, 2, 5), torch.tensor([[1, -1], [6, 2]]))


def test_an_adapter_converts() -> None:
    adapter = torch_rnn.TemporalAdapter(nn.Linear(3, 2))
    assert adapter.parameters() == (None, None)
    adapter.float()
    assert (
        adapter.type() == "torch.FloatTensor" and adapter.forward(torch.randn(2, 4, 3).float()).dtype is torch.float32
    )
    adapter.evaluate()
    assert not adapter.net.modules[1].train
