"""The worked port in porting_guide/transfer: its numbers, beside the same training in plain PyTorch with autograd."""

import ports
import pytest
import torch

import luann
from luann import nn

DATA = "-data", ports.DIGITS
OPTIONS = *DATA, "-headEpochs", 6, "-epochs", 6, "-baseRate", 0.3


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The folder and the variables of a short run of pretrain.py."""
    folder = tmp_path_factory.mktemp("transfer")
    return folder, ports.run(folder, "transfer/pretrain.py", *DATA, "-epochs", 4)


@pytest.fixture(scope="module")
def run(base):
    """The variables of a short run of train.py, which began with that net."""
    folder, _ = base
    return ports.run(folder, "transfer/train.py", *OPTIONS)


def build_twin(folder):
    """The net with which train.py begins in torch.nn, its new layer drawn from luann's stream."""
    t = torch.nn
    features = t.Sequential(
        t.Conv2d(1, 8, 3, padding=1), t.BatchNorm2d(8), t.ReLU(), t.MaxPool2d(2),
        t.Conv2d(8, 16, 3, padding=1), t.BatchNorm2d(16), t.ReLU(), t.Flatten(),
    ).eval()  # fmt: skip
    head = t.Sequential(t.Linear(256, 5), t.LogSoftmax(1))
    loaded = luann.load(folder / "run" / "base.t7")
    with torch.no_grad():
        for mine, theirs in zip(features.parameters(), loaded.parameters()[0]):
            mine.copy_(theirs)
        for number in (2, 6):
            features[number - 1].running_mean.copy_(loaded.get(number).running_mean)
            features[number - 1].running_var.copy_(loaded.get(number).running_var)
        for parameter in head.parameters():
            luann.random.uniform(parameter, -1 / 16, 1 / 16)
    return features, head


def test_all_losses_equal_those_of_plain_pytorch_with_autograd(base, run):
    opt, data = run["opt"], run["trainSet"]
    torch.set_default_dtype(torch.float64)
    luann.manualSeed(opt.seed)
    features, head = build_twin(base[0])
    momentum = {"momentum": opt.momentum, "dampening": opt.momentum}
    stages = [
        (opt.headEpochs, [{"params": head.parameters(), "lr": opt.learningRate}]),
        (
            opt.epochs,
            [
                {"params": features.parameters(), "lr": opt.learningRate * opt.baseRate},
                {"params": head.parameters(), "lr": opt.learningRate},
            ],
        ),
    ]
    wanted = []
    for epochs, groups in stages:
        sgd = torch.optim.SGD(groups, **momentum)
        for _ in range(epochs):
            for chosen in (luann.random.randperm(20).long() - 1).split(opt.batchSize):
                sgd.zero_grad()
                outputs = head(features(data.images[chosen]))
                loss = torch.nn.functional.nll_loss(outputs, data.classes[chosen] - 1)
                loss.backward()
                sgd.step()
                wanted.append(loss.item())
    assert len(run["losses"]) == 48
    torch.testing.assert_close(torch.tensor(run["losses"]), torch.tensor(wanted), rtol=1e-8, atol=0)


def test_its_numbers(base, run):
    names = base[1]
    assert names["total"] / names["count"] == pytest.approx(0.031632065940880146, rel=1e-6)
    assert run["losses"][0] == pytest.approx(1.5588335675997347, rel=1e-6)
    assert run["losses"][-1] == pytest.approx(0.14263584715913505, rel=1e-6)
    assert [run["headAccuracy"], run["accuracy"]] == pytest.approx([724 / 876, 727 / 876])


def test_the_data(run):
    train, test = run["trainSet"], run["testSet"]
    assert train.classes.bincount().tolist() == [0, 4, 4, 4, 4, 4]
    assert len(train.classes) + len(test.classes) == len(test.images) + 20
    with open(ports.DIGITS) as file:
        digits = [int(line.split(",")[-1]) for line in file]
    assert test.classes.bincount().tolist()[1:] == [digits.count(digit) - 4 for digit in range(5, 10)]


def test_only_the_head_learns_at_first(base, capsys, tmp_path):
    folder, _ = base
    names = ports.run(folder, "transfer/train.py", *OPTIONS, "-epochs", 0, "-save", tmp_path)
    old, new = luann.load(folder / "run" / "base.t7"), names["model"]
    untouched = (*zip(old.modules[:8], new.modules[:8]),)
    for a, b in untouched:
        assert a._typename == b._typename
        for p, q in zip(a.parameters()[0] or (), b.parameters()[0] or ()):
            assert torch.equal(p, q)
    for number in (2, 6):
        assert torch.equal(old.get(number).running_mean, new.get(number).running_mean)
    assert "all layers: test accuracy" in capsys.readouterr().out


def test_each_layer_has_its_rate(run):
    rates, model = run["learningRates"], run["model"]
    assert rates.numel() == run["parameters"].numel()
    for module in model.modules:
        for p in module.parameters()[0] or ():
            wanted = 1 if module is run["head"] else 0.3
            assert (rates[p.storage_offset() :][: p.numel()] == wanted).all()


def test_the_net_reloads_without_the_gradient_that_nobody_uses(base, run):
    loaded = luann.load(base[0] / "run" / "model.t7")
    images = run["testSet"].images
    loaded.evaluate()
    assert torch.equal(loaded.forward(images), run["again"].forward(images))
    assert loaded.backward(images, torch.ones(len(images), 5).double()) is None
    assert loaded.get(2).gradInput.abs().sum() > 0


def test_from_scratch_it_knows_less(base, run, tmp_path):
    scratch = ports.run(base[0], "transfer/train.py", *OPTIONS, "-scratch", "-baseRate", 1, "-save", tmp_path)
    assert scratch["accuracy"] < run["accuracy"] - 0.03
    batch_norm = scratch["model"].findModules("nn.SpatialBatchNormalization")[0]
    assert len(batch_norm) == 2 and isinstance(batch_norm[0], nn.SpatialBatchNormalization)


def test_the_ports_stand_beside_the_scripts_line_by_line():
    ports.check_alignment("transfer/pretrain", "require 'paths'")
    ports.check_alignment("transfer/train")
