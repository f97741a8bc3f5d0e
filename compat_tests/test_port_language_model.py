"""The worked port in porting_guide/language_model: its numbers, beside the same training in plain PyTorch."""

from collections import Counter
from itertools import pairwise

import ports
import pytest
import torch

import luann

TEXT = ports.GUIDE / "language_model" / "alice.txt"
OPTIONS = "-epochs 5 -hidden 8 -batchSize 24 -learningRate 4 -dropout 0.8 -maxNorm 0.51".split()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder and the variables of a short run of train.py."""
    folder = tmp_path_factory.mktemp("language_model")
    return folder, ports.run(folder, "language_model/train.py", "-data", TEXT, *OPTIONS)


def read():
    """The text as word numbers from 0, and how many there are."""
    words = TEXT.read_text().replace("\n", " <eos> ").split()
    count = Counter(words)
    words = [word if count[word] > 1 else "<unk>" for word in words]
    places = {word: place for place, word in enumerate(dict.fromkeys(words))}
    return torch.tensor([places[word] for word in words]), len(places)


class Twin(torch.nn.Module):
    """The net in torch.nn, drawn from luann's stream as train.py draws it."""

    def __init__(self, words, hidden):
        super().__init__()
        self.embedding = torch.nn.Embedding(words, hidden)
        self.recurrent = torch.nn.Linear(hidden, hidden)
        self.decoder = torch.nn.Linear(hidden, words)
        with torch.no_grad():
            luann.random.normal(self.embedding.weight)  # the constructors draw first
            for parameter in list(self.parameters())[1:]:
                luann.random.uniform(parameter)
            for parameter in self.parameters():
                luann.random.uniform(parameter, -0.1, 0.1)

    def forward(self, words, state, dropout=0):
        """The losses of all words but the first, for words of size steps x batch, and the last state."""
        losses = []
        for now, following in pairwise(words):
            state = torch.tanh(self.embedding(now) + self.recurrent(state))
            kept = luann.random.bernoulli(torch.empty(state.shape), 1 - dropout) / (1 - dropout) if dropout else 1
            losses.append(torch.nn.functional.cross_entropy(self.decoder(state * kept), following))
        return torch.stack(losses), state


def test_all_losses_equal_those_of_plain_pytorch_with_autograd(run):
    folder, names = run
    opt = names["opt"]
    torch.set_default_dtype(torch.float64)
    luann.manualSeed(opt.seed)
    ids, words = read()
    split = int(0.9 * len(ids))
    train = torch.stack(ids[:split].split(split // opt.batchSize)[: opt.batchSize], 1)
    valid = ids[split:, None]
    net = Twin(words, opt.hidden)
    rate, wanted, validations, clipped = opt.learningRate, [], [], 0
    for _ in range(opt.epochs):
        state = torch.zeros(opt.batchSize, opt.hidden)
        for first in range(0, len(train) - opt.steps, opt.steps):
            net.zero_grad()
            losses, state = net(train[first : first + opt.steps + 1], state.detach(), opt.dropout)
            losses.mean().backward()
            norm = torch.nn.utils.get_total_norm([p.grad for p in net.parameters()])
            clipped += int(norm > opt.maxNorm)
            factor = min(1, opt.maxNorm / norm)
            for p in net.parameters():
                p.data -= rate * factor * p.grad
            wanted.append(losses.mean().item())
        with torch.no_grad():
            validations.append(net(valid, torch.zeros(1, opt.hidden))[0].mean().exp().item())
        rate /= 2 if validations[-1] > min(validations) else 1
    got = [row[1] for row in ports.numbers(folder / "run" / "losses.csv")]
    assert len(got) == 5 * 18
    torch.testing.assert_close(torch.tensor(got), torch.tensor(wanted), rtol=1e-8, atol=0)
    assert 0 < clipped < len(got)
    assert names["optimState"].learningRate == rate < opt.learningRate
    assert names["best"] == pytest.approx(min(validations), rel=1e-8)


def test_its_numbers(run):
    folder, names = run
    losses = ports.numbers(folder / "run" / "losses.csv")
    assert losses[0] == pytest.approx([1, 6.09305442122268], rel=1e-9)
    assert losses[-1] == pytest.approx([18, 4.6352143801461265], rel=1e-6)
    assert names["trained"] == pytest.approx(128.36690500014382, rel=1e-6)
    assert names["validated"] == pytest.approx(116.21564914934777, rel=1e-6)
    assert len(names["text"]) == 30
    assert " ".join(names["text"][:8]) == "<unk> dropped well water earth ; she will"
    assert names["text"][-3:] == ["suddenly", "out", "?"]


def test_the_clones_share_their_parameters_and_nothing_else(run):
    _, names = run
    for whole, clones in (("step", "steps"), ("decoder", "decoders")):
        nets = [names[whole], *names[clones]]
        parameters = [[p.data_ptr() for kind in net.parameters() for p in kind] for net in nets]
        assert all(addresses == parameters[0] for addresses in parameters)
        assert len({net.output.data_ptr() for net in names[clones]}) == len(names[clones])
    flat = names["parameters"].untyped_storage().data_ptr()
    assert all(p.untyped_storage().data_ptr() == flat for p in names["steps"][3].parameters()[0])


def test_the_model_reloads(run):
    folder, names = run
    loaded = luann.load(folder / "run" / "model.t7")
    assert loaded.words == names["vocabulary"]
    assert loaded.opt == names["opt"]
    assert not loaded.step.get(3).output.numel()
    words, state = torch.tensor([5, 1]), torch.linspace(-1, 1, 16, dtype=torch.float64).view(2, 8)
    outputs = [net["decoder"].forward(net["step"].forward([words, state])) for net in (names, loaded)]
    assert torch.equal(*outputs)


def test_the_port_stands_beside_the_script_line_by_line():
    ports.check_alignment("language_model/train")
