"""The worked port in porting_guide/vae: its numbers, beside the same training in plain PyTorch with autograd."""

import importlib
import sys

import ports
import pytest
import torch

import luann

OPTIONS = "-data", ports.DIGITS, "-epochs", 4, "-trainSize", 480, "-hidden", 32, "-code", 4


@pytest.fixture(scope="module")
def layers():
    """The module layers.py; while it is there, so are its two classes for what is loaded."""
    known = dict(luann.types.classes)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ports.GUIDE / "vae"))
        patch.delitem(sys.modules, "layers", raising=False)
        yield importlib.import_module("layers")
        del sys.modules["layers"]
    luann.types.classes.clear()
    luann.types.classes.update(known)


@pytest.fixture(scope="module")
def run(layers, tmp_path_factory):
    """The folder and the variables of a short run of train.py."""
    folder = tmp_path_factory.mktemp("vae")
    return folder, ports.run(folder, "vae/train.py", *OPTIONS)


def divergence(mean, logvar):
    """The divergence from the standard normal distribution, summed up, as PyTorch's distributions have it."""
    normal, standard = torch.distributions.Normal(mean, (logvar / 2).exp()), torch.distributions.Normal(0.0, 1.0)
    return torch.distributions.kl_divergence(normal, standard).sum()


def adam(parameters, state, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    """A step of Adam on ``grad``, with Torch7's place for epsilon."""
    state["t"] = t = state.get("t", 0) + 1
    for p in parameters:
        m, v = state.setdefault(p, [torch.zeros_like(p), torch.zeros_like(p)])
        m += (1 - beta1) * (p.grad - m)
        v += (1 - beta2) * (p.grad**2 - v)
        p.data -= lr * (1 - beta2**t) ** 0.5 / (1 - beta1**t) * m / (v.sqrt() + eps)


def test_all_losses_equal_those_of_plain_pytorch_with_autograd(run):
    folder, names = run
    opt = names["opt"]
    torch.set_default_dtype(torch.float64)
    luann.manualSeed(opt.seed)
    images = torch.tensor(ports.numbers(ports.DIGITS))[:, :64] / 16
    t, bce = torch.nn, torch.nn.functional.binary_cross_entropy
    into, mean, logvar = t.Linear(64, opt.hidden), t.Linear(opt.hidden, opt.code), t.Linear(opt.hidden, opt.code)
    decoder = t.Sequential(t.Linear(opt.code, opt.hidden), t.ReLU(), t.Linear(opt.hidden, 64), t.Sigmoid())
    parameters = [p for part in (into, mean, logvar, decoder) for p in part.parameters()]
    with torch.no_grad():
        for layer in (into, mean, logvar, decoder[0], decoder[2]):
            for p in layer.parameters():
                luann.random.uniform(p, -(layer.in_features**-0.5), layer.in_features**-0.5)

    def loss(chosen, noise):
        hidden = into(chosen).relu()
        m, s = mean(hidden), logvar(hidden)
        images = decoder(m + (s / 2).exp() * noise(m.shape))
        return (bce(images, chosen, reduction="sum") + divergence(m, s)) / len(chosen)

    state, wanted = {}, []
    for epoch in range(1, opt.epochs + 1):
        order = luann.random.randperm(opt.trainSize).long() - 1
        for chosen in order.split(opt.batchSize):
            for p in parameters:
                p.grad = None
            value = loss(images[chosen], luann.random.randn)
            value.backward()
            adam(parameters, state, opt.learningRate)
            wanted.append([epoch, value.item()])
    got = ports.numbers(folder / "run" / "losses.csv")
    assert len(got) == 40
    torch.testing.assert_close(torch.tensor(got), torch.tensor(wanted), rtol=1e-8, atol=0)
    assert names["tested"] == pytest.approx(loss(images[opt.trainSize :], torch.zeros).item(), rel=1e-8)


def test_its_numbers(run):
    folder, names = run
    losses = ports.numbers(folder / "run" / "losses.csv")
    assert losses[0] == pytest.approx([1, 45.12211329784728], rel=1e-9)
    assert losses[-1] == pytest.approx([4, 30.190210533736778], rel=1e-6)
    assert names["trained"] == pytest.approx(31.67410240909569, rel=1e-6)
    assert names["tested"] == pytest.approx(32.16360342195594, rel=1e-6)


def test_the_model_reloads(run, layers):
    folder, names = run
    loaded = luann.load(folder / "run" / "model.t7")
    assert type(loaded.get(2)) is layers.Sampler
    assert not loaded.get(2).noise.numel()
    images = names["images"][:7]
    names["model"].evaluate()
    assert torch.equal(loaded.forward(images), names["model"].forward(images))
    loaded.training()
    assert torch.isfinite(loaded.backward(images, loaded.forward(images))).all()  # after clearState, too


def test_draw_prints_the_images_side_by_side(run, capsys):
    _, names = run
    names["draw"](torch.stack([torch.zeros(64), torch.linspace(0, 1, 64)]))
    lines = capsys.readouterr().out.splitlines()
    assert [line[:11] for line in lines] == [" " * 11] * 8
    assert lines[0][11:] == "       .   "
    assert lines[7][11:] == "%@@@@@@@   "


def test_sampler_gives_the_gradients_of_what_it_drew(layers):
    mean, logvar, gradOutput = luann.random.randn(3, 5, 4, dtype="torch.DoubleTensor").unbind(0)
    sampler = layers.Sampler().double()
    for drawing in (True, False):
        sampler.train = drawing
        inputs = [mean.clone().requires_grad_(), logvar.clone().requires_grad_()]
        output = sampler.forward(inputs)
        assert torch.equal(output, mean) != drawing
        noise = (output - mean) / (logvar / 2).exp()
        (inputs[0] + (inputs[1] / 2).exp() * noise + 0 * inputs[1]).backward(gradOutput)
        for got, input in zip(sampler.backward(inputs, gradOutput), inputs, strict=True):
            torch.testing.assert_close(got, input.grad, rtol=1e-12, atol=1e-14)


def test_divergence_and_its_gradient(layers):
    mean, logvar = (x.requires_grad_() for x in luann.random.randn(2, 5, 4, dtype="torch.DoubleTensor").unbind(0))
    wanted = divergence(mean, logvar)
    wanted.backward()
    criterion = layers.KLDCriterion().double()
    assert criterion.forward([mean, logvar], None) == pytest.approx(wanted.item(), rel=1e-12)
    for got, input in zip(criterion.backward([mean, logvar], None), (mean, logvar), strict=True):
        torch.testing.assert_close(got, input.grad, rtol=1e-12, atol=1e-14)


def test_the_ports_stand_beside_the_scripts_line_by_line():
    ports.check_alignment("vae/train")
    ports.check_alignment("vae/layers")
