"""The worked port in porting_guide/gan: its numbers, beside the same training in plain PyTorch with autograd."""

import ports
import pytest
import torch

import luann

OPTIONS = "-data", ports.DIGITS, "-epochs", 6, "-trainSize", 330, "-ngf", 8, "-ndf", 8


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder and the variables of a short run of train.py."""
    folder = tmp_path_factory.mktemp("gan")
    return folder, ports.run(folder, "gan/train.py", *OPTIONS)


def build_twins(opt):
    """The two nets in torch.nn, drawn from luann's stream in the order in which train.py draws."""
    t, draw = torch.nn, luann.random
    n, g, d = opt.nz, opt.ngf, opt.ndf
    makers = [
        lambda: t.Sequential(
            t.Unflatten(1, (n, 1, 1)), t.ConvTranspose2d(n, 2 * g, 4), t.BatchNorm2d(2 * g), t.ReLU(),
            t.ConvTranspose2d(2 * g, g, 3, padding=1), t.BatchNorm2d(g), t.ReLU(),
            t.ConvTranspose2d(g, 1, 4, 2, 1), t.Tanh(),
        ),
        lambda: t.Sequential(
            t.Conv2d(1, d, 4, 2, 1), t.LeakyReLU(0.2), t.Conv2d(d, 2 * d, 3, padding=1), t.BatchNorm2d(2 * d),
            t.LeakyReLU(0.2), t.Conv2d(2 * d, 1, 4), t.Sigmoid(), t.Flatten(),
        ),
    ]  # fmt: skip
    nets = []
    for make in makers:
        net = make()
        with torch.no_grad():
            for module in net:  # the constructors draw first
                if isinstance(module, t.BatchNorm2d):
                    draw.uniform(module.weight)
                elif hasattr(module, "weight"):
                    draw.uniform(module.weight), draw.uniform(module.bias)
            for module in net:
                if hasattr(module, "weight"):
                    draw.normal(module.weight, int(isinstance(module, t.BatchNorm2d)), 0.05)
                    module.bias.zero_()
        nets.append(net)
    return nets


def adam(net, state, lr, beta1, beta2=0.999, eps=1e-8):
    """A step of Adam on ``grad``, with Torch7's place for epsilon."""
    state["t"] = t = state.get("t", 0) + 1
    for p in net.parameters():
        m, v = state.setdefault(p, [torch.zeros_like(p), torch.zeros_like(p)])
        m += (1 - beta1) * (p.grad - m)
        v += (1 - beta2) * (p.grad**2 - v)
        p.data -= lr * (1 - beta2**t) ** 0.5 / (1 - beta1**t) * m / (v.sqrt() + eps)


def test_all_losses_equal_those_of_plain_pytorch_with_autograd(run):
    folder, names = run
    opt, data = names["opt"], names["data"]
    torch.set_default_dtype(torch.float64)
    luann.manualSeed(opt.seed)
    netG, netD = build_twins(opt)
    stateG, stateD = {}, {}
    ones, zeros = torch.ones(opt.batchSize, 1), torch.zeros(opt.batchSize, 1)
    bce = torch.nn.functional.binary_cross_entropy
    wanted = []
    for epoch in range(1, opt.epochs + 1):
        order = luann.random.randperm(opt.trainSize).long() - 1
        for chosen in order.split(opt.batchSize)[: opt.trainSize // opt.batchSize]:
            netD.zero_grad()
            errReal = bce(netD(data[chosen]), ones)
            fake = netG(luann.random.normal(torch.empty(opt.batchSize, opt.nz)))
            errD = errReal + bce(netD(fake.detach()), zeros)
            errD.backward()
            adam(netD, stateD, opt.learningRate, opt.beta1)
            netG.zero_grad()
            errG = bce(netD(fake), ones)
            errG.backward()
            adam(netG, stateG, opt.learningRate, opt.beta1)
            wanted.append([epoch, errD.item(), errG.item()])
    got = ports.numbers(folder / "run" / "losses.csv")
    assert len(got) == 60
    torch.testing.assert_close(torch.tensor(got), torch.tensor(wanted), rtol=1e-8, atol=0)


def test_its_numbers(run):
    folder, names = run
    losses = ports.numbers(folder / "run" / "losses.csv")
    assert losses[0] == pytest.approx([1, 1.527922122674891, 0.8821333452163138], rel=1e-9)
    assert losses[-1] == pytest.approx([6, 1.009715203596865, 5.118325393838277], rel=1e-6)
    assert names["means"].item() == pytest.approx(0.2032531217145092, rel=1e-6)
    assert names["deviations"].item() == pytest.approx(0.2802106147762299, rel=1e-6)


def test_the_generator_comes_nearer_to_the_data(run, tmp_path):
    _, names = run
    untrained = ports.run(tmp_path, "gan/train.py", *OPTIONS, "-epochs", 0)
    assert names["means"] < 0.5 * untrained["means"]
    assert names["deviations"] < 0.7 * untrained["deviations"]


def test_the_nets_reload(run):
    folder, names = run
    for name in ("netG", "netD"):
        ours, loaded = names[name], luann.load(folder / "run" / f"{name}.t7")
        assert loaded.get(1).output is None or not loaded.get(1).output.numel()
        given = names["noise"] if name == "netG" else names["real"]
        ours.evaluate(), loaded.evaluate()
        assert torch.equal(loaded.forward(given), ours.forward(given))


def test_generate_prints_images(run, capsys):
    folder, _ = run
    made = ports.run(folder, "gan/generate.py", "-rows", 1, "-columns", 3)
    lines = capsys.readouterr().out.splitlines()
    assert lines[8:] == ["", "3 images from 16 numbers of noise each"]
    images = made["images"][0]
    shades = [[made["shades"].index(character) for character in line[::2]] for line in lines[:8]]
    side_by_side = torch.tensor(shades).view(8, 3, 8).transpose(0, 1)
    assert ((images + 1) / 2 * 10 - side_by_side - 0.5).abs().max() <= 0.5
    assert all(line[::2] == line[1::2] for line in lines[:8])


def test_the_ports_stand_beside_the_scripts_line_by_line():
    ports.check_alignment("gan/train", "require 'paths'")
    ports.check_alignment("gan/generate")
