"""The worked port in porting_guide/char_rnn: its numbers, beside torch.nn.LSTM and autograd; its checkpoints."""

import ports
import pytest
import torch

import luann
from luann.contrib import char_rnn

FOLDER = ports.GUIDE / "char_rnn"
OPTIONS = {
    "input": "short.txt", "rnn_size": 12, "num_layers": 2, "seq_length": 10, "batch_size": 10, "max_epochs": 3,
    "learning_rate_decay_after": 2, "train_frac": 0.8, "grad_clip": 1, "save_every": 2,
}  # fmt: skip
STEPS = 3 * 16


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder and the variables of a short run of train.py, on the beginning of its text."""
    folder = tmp_path_factory.mktemp("char_rnn")
    (folder / "short.txt").write_text((FOLDER / "sonnets.txt").read_text()[:2000])
    return folder, ports.run(folder, "char_rnn/train.py", *(f for k, v in OPTIONS.items() for f in (f"-{k}", v)))


@pytest.fixture(scope="module")
def checkpoint(run):
    """The name of the last checkpoint."""
    return next((run[0] / "cv").glob("lm_lstm_epoch3.00_*.t7"))


class Twin(torch.nn.Module):
    """The net of PyTorch's own layers, with the parameters with which train.py begins."""

    def __init__(self, net, opt, size):
        super().__init__()
        self.opt = opt
        self.embedding = torch.nn.Embedding(size, opt.rnn_size)
        self.lstm = torch.nn.LSTM(opt.rnn_size, opt.rnn_size, opt.num_layers, batch_first=True)
        self.decoder = torch.nn.Linear(opt.rnn_size, size)
        for name, theirs in self.named(net).items():
            dict(self.named_parameters())[name].data.copy_(theirs)

    def named(self, net):
        """The parameters of a net of the port under their names here, where the gates are in another order."""
        modules = {node.data.annotations.get("name"): node.data.get("module") for node in net.forwardnodes}
        n = self.opt.rnn_size
        turn = torch.cat([torch.arange(gate * n, (gate + 1) * n) for gate in (0, 1, 3, 2)])
        named = {"embedding.weight": net.findModules("nn.LookupTable")[0][0].weight}
        named |= {f"decoder.{field}": getattr(modules["decoder"], field) for field in ("weight", "bias")}
        for layer in range(self.opt.num_layers):
            for ours, theirs in (("i2h", "ih"), ("h2h", "hh")):
                for field in ("weight", "bias"):
                    parameter = getattr(modules[f"{ours}_{layer + 1}"], field)
                    named[f"lstm.{field}_{theirs}_l{layer}"] = parameter[turn]
        return named

    def forward(self, x, state):
        h, state = self.lstm(self.embedding(x.long() - 1), state)
        return self.decoder(h).log_softmax(-1), tuple(s.detach() for s in state)

    def loss(self, x, y, state):
        out, state = self(x, state)
        return torch.nn.functional.nll_loss(out.flatten(0, 1), y.long().flatten() - 1), state


def test_all_losses_equal_those_of_plain_pytorch_with_autograd(run):
    _, names = run
    opt, count = names["opt"], names["vocabSize"]
    torch.set_default_dtype(torch.float64)
    luann.manualSeed(opt.seed)
    net = names["lstm"](count, opt.rnn_size, opt.num_layers, 0)
    luann.random.uniform(net.getParameters()[0], -0.08, 0.08)
    twin = Twin(net, opt, count)
    n = opt.rnn_size
    for layer in range(opt.num_layers):
        getattr(twin.lstm, f"bias_ih_l{layer}").data[n : 2 * n] = 1
    rmsprop = torch.optim.RMSprop(twin.parameters(), lr=opt.learning_rate, alpha=opt.decay_rate, eps=1e-8)
    start = tuple(torch.zeros(opt.num_layers, opt.batch_size, n) for _ in range(2))
    state, wanted, tested, clipped = start, [], [], 0
    for epoch in range(1, opt.max_epochs + 1):
        for x, y in zip(names["trainX"], names["trainY"]):
            rmsprop.zero_grad()
            loss, state = twin.loss(x, y, state)
            (loss * opt.seq_length).backward()
            clipped += sum(int((p.grad.abs() > opt.grad_clip).sum()) for p in twin.parameters())
            torch.nn.utils.clip_grad_value_(twin.parameters(), opt.grad_clip)
            rmsprop.step()
            wanted.append(loss.item())
        if epoch >= opt.learning_rate_decay_after:
            rmsprop.param_groups[0]["lr"] *= opt.learning_rate_decay
        total, memory = 0, start
        for x, y in zip(names["testX"], names["testY"]):
            loss, memory = twin.loss(x, y, memory)
            total += loss.item()
        tested.append(total / len(names["testX"]))
    assert len(wanted) == STEPS and clipped > 0
    torch.testing.assert_close(torch.tensor(names["trainLosses"]), torch.tensor(wanted), rtol=1e-8, atol=0)
    torch.testing.assert_close(torch.tensor(names["valLosses"]), torch.tensor(tested), rtol=1e-8, atol=0)
    for name, parameter in twin.named(names["protos"].rnn).items():
        torch.testing.assert_close(parameter, dict(twin.named_parameters())[name].data, rtol=1e-7, atol=1e-9)


def test_its_numbers(run):
    _, names = run
    assert names["trainLosses"][0] == pytest.approx(3.792079254897567, rel=1e-9)
    assert names["trainLosses"][-1] == pytest.approx(2.875334972144067, rel=1e-6)
    assert names["valLosses"] == pytest.approx([3.08022886366962, 3.0458014938763216, 2.9422212524454876], rel=1e-6)
    assert names["valLosses"][-1] < 0.8 * names["trainLosses"][0]


def test_the_batches_are_the_text(run):
    folder, names = run
    text = (folder / "short.txt").read_text()
    assert sorted(names["vocab"].values()) == list(range(1, len(set(text)) + 1))
    characters = {number: character for character, number in names["vocab"].items()}
    for x, y, start in ((names["trainX"], names["trainY"], 0), (names["testX"], names["testY"], 1600)):
        given, wanted = torch.cat(x, 1).flatten(), torch.cat(y, 1).flatten()
        length = len(given)
        assert "".join(characters[int(n)] for n in given) == text[start : start + length]
        assert "".join(characters[int(n)] for n in wanted) == text[start + 1 : start + length] + text[start]


def test_the_clones_share_the_flat_parameters(run):
    _, names = run
    for flat, which in ((names["parameters"], 0), (names["gradParameters"], 1)):
        places = {t.untyped_storage().data_ptr() for rnn in names["rnns"] for t in rnn.parameters()[which]}
        assert places == {flat.untyped_storage().data_ptr()}


def test_the_checkpoint_reloads(run, checkpoint):
    folder, names = run
    assert len(list((folder / "cv").iterdir())) == 2
    loaded = luann.load(checkpoint)
    assert checkpoint.name == f"lm_lstm_epoch3.00_{loaded.val_loss:.4f}.t7"
    assert loaded.opt == names["opt"] and loaded.vocab == names["vocab"]
    assert (loaded.epoch, loaded.i, loaded.train_losses) == (3, STEPS, names["trainLosses"])
    assert torch.equal(loaded.protos.rnn.getParameters()[0], names["parameters"])
    given = [names["trainX"][0][:, 0], *names["current"].states]
    ours, theirs = (net.forward(given) for net in (names["protos"].rnn, loaded.protos.rnn))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("more", [{}, {"temperature": 0.4, "seed": 7}, {"sample": 0, "length": 30}])
def test_sample_writes_what_char_rnn_s_own_loop_writes(run, checkpoint, more, capsys):
    options = {"primetext": "That ", "length": 60, "seed": 3, "temperature": 1, "sample": 1} | more
    ports.run(run[0], "char_rnn/sample.py", checkpoint, *(f for k, v in options.items() for f in (f"-{k}", v)))
    written = capsys.readouterr().out
    luann.manualSeed(options.pop("seed"))
    wanted = char_rnn.sample(luann.load(checkpoint), **options)
    assert written == f"That {wanted}\n"


def test_sample_reads_a_checkpoint_of_char_rnn_itself(tmp_path, capsys):
    path = ports.GUIDE.parent / "compat_tests/reference/rocks/char-rnn/checkpoint_lstm.t7"
    ports.run(tmp_path, "char_rnn/sample.py", path, "-primetext", "the ", "-length", 50)
    written = capsys.readouterr().out
    luann.manualSeed(123)
    assert written == f"the {char_rnn.sample(luann.load(path), 50, 'the ')}\n"


def test_with_dropout_it_still_learns(run):
    options = OPTIONS | {"dropout": 0.25, "max_epochs": 2, "savefile": "dropout"}
    names = ports.run(run[0], "char_rnn/train.py", *(f for k, v in options.items() for f in (f"-{k}", v)))
    assert len(names["protos"].rnn.findModules("nn.Dropout")[0]) == 2
    assert names["valLosses"][1] < names["valLosses"][0] < 3.7


def test_the_ports_stand_beside_the_scripts_line_by_line():
    ports.check_alignment("char_rnn/train", "require 'xlua'", "require 'paths'")
    ports.check_alignment("char_rnn/sample", "local number")
