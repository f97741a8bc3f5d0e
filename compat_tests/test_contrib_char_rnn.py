"""char-rnn: its nets, a training run as Torch7 recorded it, its checkpoints and what they write."""

import copy

import pytest
import records
import torch

import luann
from luann import nn, optim
from luann.contrib import char_rnn

ROCK = records.REFERENCE / "rocks/char-rnn"
TRAINING = luann.load(ROCK / "training.t7")
BUILT = {
    "LSTM": [(5, 3, 2, 0), (4, 2, 1, 0.5)],
    "GRU": [(5, 3, 2, 0), (4, 2, 2, 0.25)],
    "RNN": [(5, 3, 2, 0), (3, 4, 1, 0.25)],
}


@records.of("rocks/char-rnn", "LSTM", "GRU", "RNN", "OneHot")
def test_record(case):
    records.check(case)


@records.of("rocks/char-rnn", "LSTM", "GRU", "RNN", again=True)
def test_the_nets_are_built_alike(case):
    record = records.get(case)
    luann.setdefaulttensortype("torch.DoubleTensor")
    luann.manualSeed(record.seed)
    net = getattr(char_rnn, case[1].lower())(*BUILT[case[1]][case[2]])
    assert records.peek() == record.rngAfterConstruct
    check = records.Checker(record)
    check.same("parameters", net.parameters()[0], record.module.parameters()[0], exact=True)
    net.zeroGradParameters()
    luann.manualSeed(record.forwardSeed)
    check.same("output", net.forward(record.input), record.output)
    luann.manualSeed(record.forwardSeed + 2)
    check.same("gradInput", net.backward(record.input, record.gradOutput), record.gradInput)
    check.same("gradParams", net.parameters()[1], record.gradParams)
    check.finish()


def test_one_hot_takes_indices_only():
    with pytest.raises(luann.Error, match="an index is 4: they count from 1 to 3"):
        char_rnn.OneHot(3).forward(torch.tensor([1, 4]))
    with pytest.raises(luann.Error, match="wanted a vector of indices"):
        char_rnn.OneHot(3).forward(torch.ones(2, 2))


class Training:
    """One run of train.lua: a clone of the net for each step of time, over batches that come round and round."""

    def __init__(self, net, parameters, options, batches):
        self.flat, self.grad = parameters
        self.o = options
        self.batches = [(b.x.t(), b.y.t()) for b in batches]
        self.rnn = char_rnn.clone_many_times(net, options.seq_length)
        self.criterion = char_rnn.clone_many_times(nn.ClassNLLCriterion(), options.seq_length)
        self.state = zeros(options, options.batch_size)
        self.position = 0

    def feval(self, x):
        self.grad.zero_()
        bx, by = self.batches[self.position]
        self.position = (self.position + 1) % len(self.batches)
        states, predictions, loss = [self.state], [], 0
        for t, rnn in enumerate(self.rnn):
            rnn.training()
            *state, prediction = rnn.forward([bx[t], *states[t]])
            states.append(state)
            predictions.append(prediction)
            loss += self.criterion[t].forward(prediction, by[t])
        back = zeros(self.o, self.o.batch_size)
        for t in reversed(range(len(self.rnn))):
            last = self.criterion[t].backward(predictions[t], by[t])
            _, *back = self.rnn[t].backward([bx[t], *states[t]], [*back, last])
        self.state = states[-1]
        self.unclipped = self.grad.clone()
        self.grad.clamp_(-self.o.grad_clip, self.o.grad_clip)
        return loss / self.o.seq_length, self.grad


def zeros(options, rows):
    count = options.num_layers * (2 if options.model == "lstm" else 1)
    return [torch.zeros(rows, options.rnn_size) for _ in range(count)]


@pytest.mark.parametrize("record", TRAINING, ids=lambda record: record.name)
def test_a_training_run(record):
    record = copy.deepcopy(record)
    luann.setdefaulttensortype("torch.DoubleTensor")
    o = record.options
    luann.manualSeed(record.seed)
    net = getattr(char_rnn, o.model)(len(record.vocab), o.rnn_size, o.num_layers, o.dropout)
    flat, grad = char_rnn.combine_all_parameters(net)
    luann.random.uniform(flat, -0.08, 0.08)
    if o.model == "lstm":
        for node in net.forwardnodes:
            if (node.data.annotations.get("name") or "").startswith("i2h"):
                node.data.module.bias[o.rnn_size : 2 * o.rnn_size] = 1
    check = records.Checker(record)
    check.same("rngAfterStart", records.peek(), record.rngAfterStart, exact=True)
    check.same("start", flat, record.start, exact=True)
    check.same("sizes", [list(p.shape) for p in net.parameters()[0]], record.sizes)

    training = Training(net, (flat, grad), o, record.batches)
    luann.manualSeed(record.forwardSeed)
    config = luann.Table(learningRate=o.learning_rate, alpha=o.decay_rate)
    for i, (loss, rate) in enumerate(zip(record.losses, record.rates), 1):
        _, (found,) = optim.rmsprop(training.feval, flat, config)
        check.same(f"loss {i}", found, loss)
        check.same(f"rate {i}", config.learningRate, rate)
        if i <= len(record.gradients):
            check.same(f"gradients {i}", training.unclipped, record.gradients[i - 1])
        if "decay_every" in o and i % o.decay_every == 0:
            config.learningRate *= o.learning_rate_decay
    check.same("params", flat, record.params)
    check.same("state", training.state, record.state)
    check.same("rngAfterTraining", records.peek(), record.rngAfterTraining, exact=True)
    check.finish()


@pytest.mark.parametrize("record", TRAINING, ids=lambda record: record.name)
def test_a_checkpoint_writes_the_text_that_it_wrote(record):
    checkpoint = luann.load(ROCK / f"checkpoint_{record.name}.t7")
    flat, _ = checkpoint.protos.rnn.getParameters()
    assert torch.equal(flat, record.params) and checkpoint.vocab == record.vocab
    for wanted in record.samples:
        luann.manualSeed(wanted.seed)
        given = {name: wanted[name] for name in ("length", "primetext", "temperature", "sample")}
        assert char_rnn.sample(checkpoint, **given) == wanted.text
        assert luann.random.random() == wanted.nextRandom
        prediction = checkpoint.protos.rnn.output[-1]
        torch.testing.assert_close(prediction, wanted.lastPrediction, rtol=1e-9, atol=1e-12)


def test_a_character_that_the_net_does_not_know():
    checkpoint = luann.load(ROCK / "checkpoint_gru.t7")
    with pytest.raises(luann.Error, match="'X' of the primetext is not in the vocabulary"):
        char_rnn.sample(checkpoint, 1, primetext="X")


def test_text_that_is_more_than_ascii():
    luann.manualSeed(1)
    vocab = {bytes([b]).decode("utf-8", "surrogateescape"): i for i, b in enumerate("aé".encode(), 1)}
    opt = luann.Table(num_layers=1, rnn_size=2, model="rnn")
    checkpoint = luann.Table(protos=luann.Table(rnn=char_rnn.rnn(3, 2, 1)), opt=opt, vocab=luann.Table(vocab))
    text = char_rnn.sample(checkpoint, 30, primetext="é")
    assert len(text.encode("utf-8", "surrogateescape")) == 30 and "é" in text


@pytest.mark.parametrize("size", [-3, 0, "x", None])
def test_a_size_that_is_none(size):
    with pytest.raises(luann.ArgumentError, match="OneHot: outputSize must be a whole number from 1 on"):
        char_rnn.OneHot(size)


@pytest.mark.parametrize("input", [None, [1, 2], "x"])
def test_indices_that_are_no_tensor(input):
    with pytest.raises(luann.TensorTypeError, match="OneHot: input must be a tensor"):
        char_rnn.OneHot(3).forward(input)
