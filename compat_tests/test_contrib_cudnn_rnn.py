"""The recurrent nets of cudnn: against torch.nn's and autograd, and against the sums that cuDNN itself computed."""

from __future__ import annotations

import io
import itertools
from typing import Any

import pytest
import torch
from test_contrib_cudnn import again, written

import luann
from luann import nn
from luann.contrib import cudnn

KINDS = ["RNNReLU", "RNNTanh", "LSTM", "GRU", "BLSTM", "BGRU"]


def parts(net: Any, flat: torch.Tensor) -> list[torch.Tensor]:
    """The parts of a flat tensor, in the order in which torch.nn lists its parameters."""
    return [part for layer in net._parts(flat) for part in layer]


def twin(net: Any) -> Any:
    """The same net of torch.nn, with the same parameters."""
    kind = net.mode.removeprefix("CUDNN_")
    settings = {
        "num_layers": net.numLayers,
        "bidirectional": net.numDirections == 2,
        "batch_first": net.batchFirst,
        "dtype": net.weight.dtype,
    }
    if kind in ("LSTM", "GRU"):
        made = getattr(torch.nn, kind)(net.inputSize, net.hiddenSize, **settings)
    else:
        made = torch.nn.RNN(net.inputSize, net.hiddenSize, nonlinearity=kind.removeprefix("RNN_").lower(), **settings)
    with torch.no_grad():
        for theirs, mine in zip(made.parameters(), parts(net, net.weight), strict=True):
            theirs.copy_(mine)
    return made


def compare(net: Any, x: Any, frames: torch.Tensor, run: Any, states: bool, close: dict) -> None:
    """Assert that ``net`` on ``x`` does what ``run(frames, hidden, cell)``, of torch.nn, does; gradients, too."""
    made, batch = twin(net), x[1][0] if isinstance(x, list) else x.shape[0 if net.batchFirst else 1]
    lstm = net.mode == "CUDNN_LSTM"
    size = (net.numLayers * net.numDirections, batch, net.hiddenSize)
    h, c, gh, gc = torch.randn(4, *size, dtype=net.weight.dtype)
    if states:
        net.hiddenInput, net.cellInput, net.gradHiddenOutput, net.gradCellOutput = h, c, gh, gc
    else:
        net.resetStates()
    y = net.forward(x)
    frames = frames.clone().requires_grad_()
    if not states:
        h, c = torch.zeros_like(h), torch.zeros_like(c)
    h.requires_grad_()
    c.requires_grad_()
    want, end = run(made, frames, (h, c) if lstm else h)
    hidden, cell = end if lstm else (end, None)
    torch.testing.assert_close(y, want.detach(), **close)
    torch.testing.assert_close(net.hiddenOutput, hidden.detach(), **close)
    g = torch.randn_like(want)
    loss = (want * g).sum()
    if states:
        loss = loss + (hidden * gh).sum()
    if lstm:
        torch.testing.assert_close(net.cellOutput, cell.detach(), **close)
        if states:
            loss = loss + (cell * gc).sum()
    loss.backward()
    h.requires_grad_(False)
    c.requires_grad_(False)
    net.zeroGradParameters()
    for times in (1, 2):
        grad = net.backward(x, g, 0.5)
        torch.testing.assert_close(grad, frames.grad, **close)
        torch.testing.assert_close(net.gradHiddenInput, h.grad, **close)
        if lstm:
            torch.testing.assert_close(net.gradCellInput, c.grad, **close)
        for mine, theirs in zip(parts(net, net.gradWeight), made.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs.grad * 0.5 * times, **close)


@pytest.mark.parametrize("dtype", [torch.double, torch.float])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_against_pytorch(kind: str, layers: int, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    close = {"rtol": 1e-10, "atol": 1e-12} if dtype is torch.double else {"rtol": 1e-4, "atol": 1e-5}
    for batchFirst in (False, True):
        net = getattr(cudnn, kind)(5, 4, layers, batchFirst).type(dtype)
        for size in ((6, 3, 5), (2, 1, 5), (1, 7, 5)):  # one after the other, on the same net
            for states in (False, True):
                x = torch.randn(size, dtype=dtype)
                compare(net, x, x, lambda made, *inputs: made(*inputs), states, close)
            compare(net, x.transpose(0, 1), x.transpose(0, 1), lambda made, *inputs: made(*inputs), False, close)


def test_lstm_without_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luann.nn._kernels.PRIVATE", False)
    for layers in (1, 3):
        test_against_pytorch("BLSTM", layers, torch.float)


@pytest.mark.parametrize("kind", KINDS)
def test_sequences_that_differ_in_length(kind: str) -> None:
    torch.manual_seed(2)
    close = {"rtol": 1e-10, "atol": 1e-12}
    net = getattr(cudnn, kind)(3, 4, 2).double()
    for lengths in ([5, 3, 3, 1], [2], [4, 4]):
        padded = torch.randn(lengths[0] + 1, len(lengths), 3, dtype=torch.double)
        packed = net.packPaddedSequence(padded, lengths)
        theirs = torch.nn.utils.rnn.pack_padded_sequence(padded, torch.tensor(lengths))
        assert torch.equal(packed[0], theirs.data) and packed[1] == theirs.batch_sizes.tolist()
        unpacked, found = net.padPackedSequence(packed)
        assert found == lengths
        assert torch.equal(unpacked, torch.nn.utils.rnn.pad_packed_sequence(theirs)[0])
        by_batch = cudnn.RNN.packPaddedSequence(padded.transpose(0, 1), lengths, True)
        assert torch.equal(by_batch[0], packed[0])
        assert torch.equal(cudnn.RNN.padPackedSequence(by_batch, True)[0], unpacked.transpose(0, 1))

        def run(made: Any, frames: torch.Tensor, states: Any, counts: torch.Tensor = theirs.batch_sizes) -> tuple:
            sequence, end = made(torch.nn.utils.rnn.PackedSequence(frames, counts), states)
            return sequence.data, end

        for states in (False, True):
            compare(net, packed, packed[0], run, states, close)
    x = torch.randn(4, 2, 3, dtype=torch.double)  # and again without
    compare(net, x, x, lambda made, *inputs: made(*inputs), True, close)
    for wrong in ([3, 5], [5, 0], [5]):
        with pytest.raises(luann.errors.ArgumentError, match="lengths must be"):
            net.packPaddedSequence(torch.zeros(5, 2, 3), wrong)


# What cuDNN computed: sums of output, hiddenOutput, cellOutput, gradInput, gradHiddenInput, gradCellInput and
# gradWeight, for 64 sequences of 20 frames of 512, two layers of 512 units, all inputs and gradients 1. They stand in
# cudnn.torch's own test, which took them from NVIDIA's sample program; a zero: it says nothing.
SUMS = {
    "RNNReLU": (1.315793e06, 1.315212e05, 0, 6.676003e01, 6.425067e01, 0, 1.453750e09),
    "RNNTanh": (6.319591e05, 6.319605e04, 0, 4.501830e00, 4.489546e00, 0, 5.012598e07),
    "LSTM": (5.749536e05, 5.774818e04, 4.365091e05, 3.842206e02, 1.182566e01, 9.323785e03, 4.313461e08),
    "GRU": (6.358978e05, 6.281680e04, 0, 6.296622e00, 2.289960e05, 0, 5.397419e07),
    "BRNNReLU": (1.388634e01, 1.288997e01, 0, 1.288729e01, 1.279004e01, 0, 7.061081e07),
    "BRNNTanh": (1.388634e01, 1.288997e01, 0, 1.288729e01, 1.279004e01, 0, 7.061081e07),
    "BLSTM": (3.134097e04, 1.922855e00, 3.845626e00, 4.794993e00, 2.468645e00, 2.870925e04, 1.121568e08),
    "BGRU": (6.555183e04, 5.830924e00, 0, 4.271801e00, 6.555744e04, 0, 1.701796e08),
}


@pytest.mark.parametrize("kind", SUMS)
def test_against_sums_of_cudnn(kind: str) -> None:
    both = kind.startswith("B")
    net = cudnn.RNN(512, 512, 2)
    net.mode = {"ReLU": "CUDNN_RNN_RELU", "Tanh": "CUDNN_RNN_TANH"}.get(kind[-4:], f"CUDNN_{kind.removeprefix('B')}")
    if both:
        net.bidirectional, net.numDirections = "CUDNN_BIDIRECTIONAL", 2
    net.reset()
    if both:
        net.weight.fill_(1 / net.weight.numel())
    else:
        for weight in itertools.chain(*net.weights()):
            weight.fill_(1 / weight.numel())
        for bias in itertools.chain(*net.biases()):
            bias.fill_(1)
    x = torch.ones(20, 64, 512)
    for name in ("hiddenInput", "cellInput", "gradHiddenOutput", "gradCellOutput"):
        setattr(net, name, torch.ones(4 if both else 2, 64, 512))
    net.backward(x, torch.ones_like(net.forward(x)))
    names = "output hiddenOutput cellOutput gradInput gradHiddenInput gradCellInput gradWeight".split()
    for name, want in zip(names, SUMS[kind]):
        # theirs, of millions of numbers in float, have five good figures
        assert not want or getattr(net, name).double().sum().item() == pytest.approx(want, rel=2e-5), name


def test_skip_input() -> None:
    """The same as matrices of the identity, and its gradient that of the sum."""
    for kind in KINDS:
        net, plain = (getattr(cudnn, kind)(4, 4, 2).double() for _ in range(2))
        net.inputMode = "CUDNN_SKIP_INPUT"
        net.reset()
        rows = plain._cell().gates
        for mine, theirs in zip(net._parts(net.weight), plain._parts(plain.weight)):
            for m, t in zip(mine, theirs):
                t.copy_(torch.eye(4).repeat(rows, 1) if m is None else m)
        x = torch.randn(5, 3, 4, dtype=torch.double)
        torch.testing.assert_close(net.forward(x), plain.forward(x))
        g = torch.randn_like(net.output)
        torch.testing.assert_close(net.backward(x, g), plain.backward(x, g))
        for mine, theirs in zip(net._parts(net.gradWeight), plain._parts(plain.gradWeight)):
            for m, t in zip(mine, theirs):
                assert m is None or torch.allclose(m, t)
        assert [w.numel() for w in net.weights()[0]] == [0] * rows + [16] * rows
    with pytest.raises(luann.errors.ArgumentError, match="inputSize of 4"):
        odd = cudnn.LSTM(3, 4)
        odd.inputMode = "CUDNN_SKIP_INPUT"
        odd.reset()


def test_parts_are_of_the_weight() -> None:
    net = cudnn.BLSTM(3, 2, 2)
    net.weight.copy_(torch.arange(net.weight.numel()))
    weights, biases = net.weights(), net.biases()
    assert [len(part) for part in weights] == [8] * 4 and [len(part) for part in biases] == [8] * 4
    assert [w.numel() for w in weights[1]] == [6] * 4 + [4] * 4 and [w.numel() for w in weights[2]] == [8] * 4 + [4] * 4
    in_order = torch.cat([v for part in (*weights, *biases) for v in part])
    assert torch.equal(in_order, net.weight)
    biases[3][7].fill_(-1)
    assert net.weight[-2:].tolist() == [-1, -1]


def test_remembers_states() -> None:
    net = cudnn.LSTM(3, 4, 2, False, 0, True).double()
    whole = net.clone()
    whole.rememberStates = False
    x = torch.randn(6, 2, 3, dtype=torch.double)
    want = whole.forward(x)
    torch.testing.assert_close(torch.cat([net.forward(part).clone() for part in x.split(2)]), want)
    net.resetStates()
    torch.testing.assert_close(net.forward(x), want)
    assert net.forward(x[:, :1]).shape == (6, 1, 4) and net.hiddenInput is None
    with pytest.raises(luann.errors.ShapeError, match="hiddenInput must be 2x2x4"):
        whole.hiddenInput = torch.zeros(2, 3, 4).double()
        whole.forward(x)


def test_dropout_between_layers() -> None:
    net = cudnn.GRU(4, 50, 2, False, 0.4).double()
    plain = net.clone()
    plain.dropout = 0
    x = torch.randn(7, 5, 4, dtype=torch.double)
    net.evaluate()
    assert torch.equal(net.forward(x), plain.forward(x))
    net.training()
    luann.manualSeed(4)
    y = net.forward(x).clone()
    assert not torch.equal(y, plain.output)
    # by hand: the first layer, a mask, the second
    luann.manualSeed(4)
    mask = torch.empty(35, 50, dtype=torch.double)
    luann.random.bernoulli(mask, 0.6)
    mask = mask.div(0.6).view(7, 5, 50)
    made = twin(net)
    first, second = torch.nn.GRU(4, 50, dtype=torch.double), torch.nn.GRU(50, 50, dtype=torch.double)
    with torch.no_grad():
        for mine, theirs in zip([*first.parameters(), *second.parameters()], made.parameters()):
            mine.copy_(theirs)
    frames = x.clone().requires_grad_()
    want = second(first(frames)[0] * mask)[0]
    torch.testing.assert_close(y, want.detach())
    g = torch.randn_like(y)
    want.backward(g)
    torch.testing.assert_close(net.backward(x, g), frames.grad)
    for mine, theirs in zip(net._parts(net.gradWeight)[0], first.parameters()):
        torch.testing.assert_close(mine, theirs.grad)
    assert cudnn.LSTM(3, 4, 1, False, False).dropout == 0  # as scripts have it
    with pytest.raises(luann.errors.ArgumentError, match="dropout"):
        cudnn.LSTM(3, 4, 1, False, 1)


def test_file_of_a_speech_net() -> None:
    """Recurrent nets between layers of each frame, from a file of a GPU, against torch.nn's."""
    net = nn.Sequential().add(nn.Linear(4, 6)).add(nn.Sigmoid())
    sequence = nn.Sequential().add(cudnn.BLSTM(6, 5, 2)).add(cudnn.LSTM(10, 4)).add(cudnn.BGRU(4, 3))
    whole = nn.Sequential().add(nn.Bottle(net)).add(sequence).add(nn.Bottle(nn.Linear(6, 7))).float()
    x = torch.randn(8, 2, 4)
    want = whole.forward(x).clone()
    g = torch.randn_like(want)
    grad = whole.backward(x, g).clone()
    loaded = again(whole)
    assert loaded.type() == "torch.FloatTensor"
    torch.testing.assert_close(loaded.forward(x), want)
    loaded.zeroGradParameters()
    torch.testing.assert_close(loaded.backward(x, g), grad)
    torch.testing.assert_close(loaded.getParameters()[1], whole.getParameters()[1])
    reference = loaded.get(2)
    h = torch.sigmoid(x @ loaded.get(1).get(1).get(1).weight.t() + loaded.get(1).get(1).get(1).bias)
    with torch.no_grad():
        for layer in reference:
            h = twin(layer)(h)[0]
    torch.testing.assert_close(reference.output, h)
    assert written(again(whole.clearState(), False)) == written(whole)


def test_trains() -> None:
    """The parameters are one tensor, which getParameters moves: to remember the first bit of a sequence."""
    luann.manualSeed(1)
    torch.manual_seed(1)
    net = nn.Sequential().add(cudnn.LSTM(2, 12)).add(nn.Select(1, -1)).add(nn.Linear(12, 2)).add(nn.LogSoftMax())
    criterion = nn.ClassNLLCriterion()
    params, grads = net.getParameters()
    state: dict = {"learningRate": 0.01}
    losses = []
    for _ in range(150):
        x = torch.randint(0, 2, (8, 32, 2)).to(params.dtype)
        target = x[0, :, 0] + 1

        def feval(_: Any, x: torch.Tensor = x, target: torch.Tensor = target) -> tuple:
            grads.zero_()
            value = criterion.forward(net.forward(x), target)
            net.backward(x, criterion.backward(net.output, target))
            return value, grads

        losses += luann.optim.adam(feval, params, state)[1]
    assert losses[0] > 0.6 and sum(losses[-20:]) / 20 < 0.05


def test_older_files_and_errors() -> None:
    net = cudnn.BGRU(3, 4, 1, True)
    x = torch.randn(2, 5, 3)
    want = net.forward(x).clone()
    for name in ("sync", "inputPacked", "rememberStates", "dropout", "numDirections", "inputMode"):
        del net.__dict__[name]
    old = luann.load(io.BytesIO(written(net, True)))
    torch.testing.assert_close(old.forward(x), want)
    assert old.numDirections == 2
    with pytest.raises(luann.errors.ModuleError, match="forward must come before"):
        old.clone().backward(x, want)
    with pytest.raises(luann.errors.ShapeError, match="batch x time x 3"):
        old.forward(x.transpose(1, 2))
    old.mode = "CUDNN_LSTM"
    with pytest.raises(luann.errors.ShapeError, match="weight must have"):
        old.forward(x)
    old.mode = "LSTM"
    with pytest.raises(luann.errors.Error, match="mode must be one of"):
        old.forward(x)
    old.mode, old.bidirectional = "CUDNN_GRU", "CUDNN_UNIDIRECTIONAL"
    with pytest.raises(luann.errors.ArgumentError, match="numDirections 2"):
        old.reset()
    luann.manualSeed(7)
    drawn = cudnn.LSTM(3, 4).weight
    luann.manualSeed(7)
    assert torch.equal(drawn, luann.random.uniform(torch.empty_like(drawn), -0.5, 0.5))


@pytest.mark.cuda
@pytest.mark.parametrize("kind", KINDS)
def test_on_a_gpu(kind: str) -> None:
    net = getattr(cudnn, kind)(5, 4, 2).double()
    x = torch.randn(6, 3, 5, dtype=torch.double)
    y = net.forward(x).clone()
    g = torch.randn_like(y)
    grad = net.backward(x, g).clone()
    cuda = net.clone().type("torch.CudaDoubleTensor")
    cuda.zeroGradParameters()
    torch.testing.assert_close(cuda.forward(x.cuda()).cpu(), y)
    torch.testing.assert_close(cuda.backward(x.cuda(), g.cuda()).cpu(), grad)
    torch.testing.assert_close(cuda.gradWeight.cpu(), net.gradWeight)


@pytest.mark.parametrize("cls", [cudnn.RNNTanh, cudnn.LSTM, cudnn.BGRU])
@pytest.mark.parametrize("input", [[], [torch.ones(2, 3)], [torch.ones(2, 3), 2], [None, [2]]])
def test_a_list_that_is_not_of_frames_and_counts(cls: Any, input: list) -> None:
    with pytest.raises(luann.errors.ShapeError, match=r"\[frames, counts\] that packPaddedSequence made, got"):
        cls(3, 4, 1).forward(input)
