"""The classes of the rocks for style transfer: against what those rocks computed, and against autograd."""

import copy
import pickle

import pytest
import records
import torch

import luann
from luann import nn
from luann.contrib import adain, cyclegan, fast_neural_style, neural_style, texture_nets

FAST_NEURAL_STYLE = "ContentLoss GramMatrix InstanceNormalization ShaveImage StyleLoss TotalVariation"
TEXTURE_NETS = "DummyGradOutput GenNoise InstanceNormalization NoiseFill SpatialCircularPadding TVLoss"
ADAIN = "AdaptiveInstanceNormalization InstanceNormalization TVLossModule"


@pytest.fixture(autouse=True)
def double():
    luann.setdefaulttensortype("torch.DoubleTensor")
    torch.manual_seed(1)


@records.of("rocks/fast-neural-style", *FAST_NEURAL_STYLE.split())
def test_fast_neural_style(case):
    records.check(case)


@records.of("rocks/texture_nets", *TEXTURE_NETS.split())
def test_texture_nets(case):
    records.check(case)


@records.of("rocks/CycleGAN", "InstanceNormalization")
def test_cyclegan(case):
    records.check(case)


@records.of("rocks/AdaIN-style", *ADAIN.split())
def test_adain(case):
    records.check(case)


def fields(module):
    return {name: type(value) for name, value in vars(module).items() if value is not None}


ROCKS = {"fast-neural-style": FAST_NEURAL_STYLE, "texture_nets": TEXTURE_NETS, "AdaIN-style": ADAIN}


@pytest.mark.parametrize(("rock", "name"), [(rock, name) for rock in ROCKS for name in ROCKS[rock].split()])
def test_what_is_made_here_has_the_fields_of_the_rock(rock, name):
    for i in range(2):
        record = records.get((f"rocks/{rock}", name, i))
        assert fields(records.build(record.spec, kind=f"rocks/{rock}")) == fields(record.module)


# The layers that files hold


def reloaded(tmp_path, obj):
    luann.save(tmp_path / "m.t7", obj)
    return luann.load(tmp_path / "m.t7")


TARGET = torch.ones(3, 3, dtype=torch.float64)


@pytest.mark.parametrize(
    "module",
    [
        fast_neural_style.InstanceNormalization(3),
        texture_nets.InstanceNormalization(3, None, 0.1),
        texture_nets.InstanceNormalization(3, None, None, False),
        adain.InstanceNormalization(3),
        fast_neural_style.GramMatrix(),
        neural_style.GramMatrix(),
        fast_neural_style.ContentLoss(2),
        neural_style.ContentLoss(2),
        texture_nets.ContentLoss(2),
        fast_neural_style.StyleLoss(2),
        neural_style.StyleLoss(2),
        fast_neural_style.TotalVariation(2),
        fast_neural_style.DeepDreamLoss(2),
        texture_nets.TVLoss(2),
        texture_nets.TextureLoss(2, TARGET),
        texture_nets.GenNoise(2),
        texture_nets.NoiseFill(2),
        texture_nets.SpatialCircularPadding(2),
        adain.AdaptiveInstanceNormalization(3),
        adain.ContentLossModule(2),
        adain.StyleINLossModule(2),
        adain.TVLossModule(2),
        cyclegan.VGG_postprocess(),
    ],
    ids=lambda module: f"{type(module).__module__.rpartition('.')[2]}-{type(module).__name__}",
)
def test_each_is_loaded_as_what_it_was_and_goes_on(tmp_path, module):
    x = torch.randn(3, 6, 5) if type(module).__module__ == "luann.contrib.neural_style" else torch.randn(1, 3, 6, 5)
    given = [x, x] if isinstance(module, adain.AdaptiveInstanceNormalization) else x
    module.double()
    for used in (False, True):
        if used:
            module.forward(given)
        luann.manualSeed(1)
        output = module.forward(given)
        for twin in (reloaded(tmp_path, module), module.clone(), pickle.loads(pickle.dumps(module))):
            assert type(twin) is type(module)
            luann.manualSeed(1)
            torch.testing.assert_close(twin.forward(given), output)
        emptied = reloaded(tmp_path, module.clone().clearState())
        luann.manualSeed(1)
        torch.testing.assert_close(emptied.forward(given), output)
        single = module.clone().float()
        luann.manualSeed(1)
        given32 = [x.float(), x.float()] if given is not x else x.float()
        torch.testing.assert_close(single.forward(given32), output.float())
        if given is x:
            twin, g = module.clone(), torch.randn_like(output)
            torch.testing.assert_close(single.backward(given32, g.float()), twin.backward(x, g.clone()).float())


@pytest.mark.parametrize(
    "make",
    [fast_neural_style.InstanceNormalization, texture_nets.InstanceNormalization, adain.InstanceNormalization],
)
def test_instance_normalization_with_statistics_that_moved(make):
    """With running statistics of its own bn is an affine function of each plane, and that has a plain gradient."""
    module = make(2)
    module.forward(torch.randn(3, 2, 4, 4))
    module.bn.running_mean.copy_(torch.randn(6))
    module.bn.running_var.uniform_(1, 2)
    mean, var = module.bn.running_mean.view(3, 2, 1, 1).clone(), module.bn.running_var.view(3, 2, 1, 1).clone()
    x = torch.randn(3, 2, 4, 4, requires_grad=True)
    weight, bias = (t.clone().requires_grad_() for t in (module.weight, module.bias))
    y = (x - mean) / torch.sqrt(var + 1e-5) * weight.view(2, 1, 1) + bias.view(2, 1, 1)
    g = torch.randn_like(y)
    wanted = torch.autograd.grad(y, (x, weight, bias), g)
    lying = x.detach().transpose(2, 3).contiguous().transpose(2, 3)
    torch.testing.assert_close(module.forward(lying), y.detach())
    module.zeroGradParameters()
    got = module.backward(lying, g.transpose(0, 1).contiguous().transpose(0, 1))
    torch.testing.assert_close((got, module.gradWeight, module.gradBias), wanted)
    module.updateGradInput(lying, g)
    torch.testing.assert_close(module.gradWeight, 2 * wanted[1])


@pytest.mark.parametrize(
    "make",
    [fast_neural_style.InstanceNormalization, texture_nets.InstanceNormalization, adain.InstanceNormalization],
)
def test_instance_normalization_as_torch7_had_it_at_first(tmp_path, monkeypatch, make):
    """With batches of one normalised by their own statistics, against PyTorch's."""
    module = make(2)
    x = torch.randn(3, 2, 4, 5, requires_grad=True)
    module.forward(x.detach())
    luann.save(tmp_path / "old.t7", module)
    monkeypatch.setattr(make, "own_statistics", True)
    weight, bias = (t.clone().requires_grad_() for t in (module.weight, module.bias))
    y = torch.nn.functional.instance_norm(x, weight=weight, bias=bias)
    g = torch.randn_like(y)
    wanted = torch.autograd.grad(y, (x, weight, bias), g)
    for twin in (
        module,
        reloaded(tmp_path, module),
        luann.load(tmp_path / "old.t7"),
        pickle.loads(pickle.dumps(module)),
    ):
        torch.testing.assert_close(twin.forward(x.detach()), y.detach())
        twin.zeroGradParameters()
        got = twin.backward(x.detach(), g)
        torch.testing.assert_close((got, twin.gradWeight, twin.gradBias), wanted)
        assert nn.SpatialBatchNormalization._typename == twin.bn._typename
    images = [torch.randn(2, 3, 4, 4), torch.randn(2, 3, 5, 3)]
    monkeypatch.setattr(adain.AdaptiveInstanceNormalization, "own_statistics", True)
    output = adain.AdaptiveInstanceNormalization(3, None, 0).forward(images)
    torch.testing.assert_close(output.mean((2, 3)), images[1].mean((2, 3)))
    torch.testing.assert_close(output.std((2, 3), correction=0), images[1].std((2, 3), correction=0))


def test_instance_normalization_takes_what_it_should():
    module = fast_neural_style.InstanceNormalization(2)
    with pytest.raises(luann.Error, match="forward must come before"):
        module.backward(torch.zeros(1, 2, 3, 3), torch.zeros(1, 2, 3, 3))
    with pytest.raises(luann.Error, match=r"2 x H x W.*1x3x3x3"):
        module.forward(torch.zeros(1, 3, 3, 3))
    with pytest.raises(luann.Error, match="N x 2 x H x W"):
        texture_nets.InstanceNormalization(2).forward(torch.zeros(2, 3, 3))
    with pytest.raises(luann.ArgumentError, match="affine"):
        texture_nets.InstanceNormalization(2, None, None, 1)
    with pytest.raises(luann.Error, match="no backward pass"):
        disabled = adain.InstanceNormalization(2, True)
        disabled.backward(torch.zeros(1, 2, 3, 3), disabled.forward(torch.zeros(1, 2, 3, 3)))


def test_the_first_version_of_texture_nets(tmp_path):
    """It kept none of Module's fields, and no ``affine`` unless it was told."""
    old = luann.t7.Unknown("nn.InstanceNormalization", 1)
    new = texture_nets.InstanceNormalization(2, None, 0.1, False)
    for name, value in vars(new).items():
        if name not in ("_type", "output", "gradInput", "affine"):
            old[name] = value
    found = reloaded(tmp_path, old)
    assert type(found) is texture_nets.InstanceNormalization
    x = torch.randn(2, 2, 3, 3)
    torch.testing.assert_close(found.forward(x), new.forward(x))
    torch.testing.assert_close(found.backward(x, x), new.backward(x, x))


def test_circular_padding_against_pytorch():
    module = texture_nets.SpatialCircularPadding(1, 2, 3, 0)
    for shape in ((2, 3, 4, 5), (1, 2, 3, 3), (2, 6, 4)):
        x = torch.randn(shape)
        padded = torch.nn.functional.pad(x.reshape(-1, 1, *shape[-2:]), (1, 2, 3, 0), "circular")
        torch.testing.assert_close(module.forward(x), padded.view(module.output.shape))
        g = torch.randn_like(module.output)
        # no gradient from the corners
        inner = g.clone()
        inner[..., :3, :1] = inner[..., :3, -2:] = 0
        x.requires_grad_()
        padded = torch.nn.functional.pad(x.reshape(-1, 1, *shape[-2:]), (1, 2, 3, 0), "circular")
        (wanted,) = torch.autograd.grad(padded.view(g.shape), x, inner)
        torch.testing.assert_close(module.backward(x.detach(), g), wanted)
    with pytest.raises(luann.Error, match="not smaller than what is added"):
        module.forward(torch.randn(1, 1, 2, 2))


def test_noise():
    fill, noise = texture_nets.NoiseFill(1), texture_nets.GenNoise(4)
    for x in (torch.randn(2, 3, 4, 5), torch.randn(1, 2, 6, 6)):
        output = fill.forward(x)
        assert torch.equal(output[:, :-1], x[:, :-1]) and output[:, -1].min() >= 0 and output[:, -1].max() <= 1
        assert noise.forward(x).shape == (x.shape[0], 4, *x.shape[2:])
        assert torch.equal(noise.backward(x, noise.output), torch.zeros_like(x))
        assert (noise.sz, noise.sz_) == (list(x.shape), list(noise.output.shape))
    with pytest.raises(luann.Error, match="1 planes at least"):
        fill.forward(torch.zeros(1, 0, 2, 2))


def test_a_dummy_gradient_for_tables():
    module = texture_nets.DummyGradOutput()
    x = [torch.ones(2), torch.ones(3)]
    assert module.forward(x) is x
    assert [g.tolist() for g in module.backward(x, x)] == [[0, 0], [0, 0, 0]]


def test_vgg_postprocess():
    module, x = cyclegan.VGG_postprocess(), torch.zeros(1, 3, 2, 2)
    torch.testing.assert_close(module.forward(x)[0, :, 0, 0], torch.tensor([23.561, 10.721, 3.82]))
    assert torch.equal(module.backward(x, torch.full_like(x, 255)), torch.full_like(x, 2)) and not x.any()


# The losses, whose gradient is that of ``loss``, and gradOutput


def check_gradient(module, function, *inputs):
    """``function`` is what ``loss`` and its gradient should be."""
    for x in inputs:
        x.requires_grad_()
        value = function(x)
        (grad,) = torch.autograd.grad(value, x)
        given, g = x.detach(), torch.randn_like(x)
        kept = module.output, module.gradInput
        for _ in range(2):
            assert torch.equal(module.forward(given), given)
            back = g.clone()
            torch.testing.assert_close(module.backward(given, back), grad + g)
            assert torch.equal(back, g)
        torch.testing.assert_close(torch.as_tensor(module.loss), value.detach())
        assert (module.output, module.gradInput) == kept or kept[0] is None


def gram(x):
    rows = x.flatten(-2)
    return rows @ rows.transpose(-1, -2) / rows[0].numel() if x.dim() == 4 else rows @ rows.t() / x.numel()


def mse(a, b):
    return ((a - b) ** 2).mean()


def captured(module, *images):
    module.mode = "capture"
    for image in images:
        module.forward(image)
    module.mode = "loss"
    return module


def test_content_losses():
    target, x = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    check_gradient(captured(fast_neural_style.ContentLoss(3), target), lambda x: 3 * mse(x, target), x)
    check_gradient(captured(neural_style.ContentLoss(3), target), lambda x: 3 * mse(x, target), x)
    texture = texture_nets.ContentLoss(3, False)
    texture.target = target
    check_gradient(texture, lambda x: 3 * mse(x, target), x)
    module = adain.ContentLossModule(3)
    module.setTarget(target)
    check_gradient(module, lambda x: 3 * mse(x, target), x)
    module.setTarget(target[0])
    check_gradient(module, lambda x: 3 * mse(x, target[0]), x[0].detach())


@pytest.mark.parametrize(
    "module", [neural_style.ContentLoss(3, True), texture_nets.ContentLoss(3, True), adain.ContentLossModule(3, True)]
)
def test_a_gradient_divided_by_its_size(module):
    module.double()
    target, x, g = torch.randn(3, 2, 3, 4, 4)
    module.target, module.mode = target, "loss"
    grad = x - target
    module.forward(x)
    torch.testing.assert_close(module.backward(x, g), g + 3 * grad / grad.abs().sum())


def test_style_losses():
    one, x = torch.randn(1, 3, 4, 4), torch.randn(2, 3, 4, 4)
    check_gradient(captured(fast_neural_style.StyleLoss(3), one), lambda x: 3 * mse(gram(x), gram(one)), x)
    means = captured(fast_neural_style.StyleLoss(3, None, "mean"), one)
    check_gradient(means, lambda x: 3 * mse(x.mean((2, 3)), one.mean((2, 3)).expand(2, 3)), x)
    single = x[0].detach()
    module = captured(neural_style.StyleLoss(3), one[0])
    check_gradient(module, lambda x: 3 * mse(gram(x), gram(one[0])), single)
    module = texture_nets.TextureLoss(3, gram(one[0]))
    check_gradient(module, lambda x: 3 * mse(gram(x), gram(one[0])), x)
    module.active = False
    g = torch.randn_like(x)
    assert torch.equal(module.backward(module.forward(x.detach()), g), g)


def test_a_style_of_several_images():
    a, b, x = torch.randn(3, 3, 4, 4)
    module = neural_style.StyleLoss(2)
    for image, weight in ((a, 0.25), (b, 0.75)):
        module.blend_weight = weight
        captured(module, image)
    check_gradient(module, lambda x: 2 * mse(gram(x), 0.25 * gram(a) + 0.75 * gram(b)), x)


def test_adain_style_loss():
    def statistics(x):
        return x.mean((2, 3)), x.std((2, 3), correction=0)

    def function(x):
        mean, std = statistics(x)
        wanted = statistics(target)
        return 3 * (((mean - wanted[0]) ** 2).sum() + ((std - wanted[1]) ** 2).sum()) / x.shape[0]

    module = adain.StyleINLossModule(3)
    for target in (torch.randn(1, 3, 5, 4), torch.randn(2, 3, 4, 4)):
        module.setTarget(target)
        check_gradient(module, function, torch.randn(2, 3, 4, 6))
    module.unsetTarget()
    x, g = torch.randn(1, 3, 2, 2), torch.randn(1, 3, 2, 2)
    assert torch.equal(module.forward(x), x) and torch.equal(module.backward(x, g), g)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (3, 5, 4)])
def test_total_variation(shape):
    def function(x):
        inner = x[..., :-1, :-1]
        return (((inner - x[..., :-1, 1:]) ** 2).sum() + ((inner - x[..., 1:, :-1]) ** 2).sum()) / 2

    x = torch.randn(shape, requires_grad=True)
    (grad,) = torch.autograd.grad(function(x), x)
    g = torch.randn(shape)
    for module in (texture_nets.TVLoss(2), *([fast_neural_style.TotalVariation(2)] if len(shape) == 4 else [])):
        assert torch.equal(module.forward(x.detach()), x.detach())
        torch.testing.assert_close(module.backward(x.detach(), g), 2 * grad + g)
    whole = adain.TVLossModule(2)
    check_gradient(
        whole,
        lambda x: 2 * (((x[..., 1:] - x[..., :-1]) ** 2).sum() + ((x[..., 1:, :] - x[..., :-1, :]) ** 2).sum()),
        x.detach(),
    )


def test_total_variation_wants_colours():
    module, x = fast_neural_style.TotalVariation(2), torch.zeros(1, 2, 3, 3)
    with pytest.raises(luann.Error, match="N x 3 x H x W"):
        module.backward(module.forward(x), x)


def test_deep_dream():
    module = fast_neural_style.DeepDreamLoss(0.5, 1)
    x, g = torch.tensor([-3.0, 0.5, 2.0]), torch.ones(3)
    assert module.backward(module.forward(x), g).tolist() == [1.5, 0.75, 0.5]


def test_a_content_loss_of_the_first_neural_style(tmp_path):
    """Its target came by the constructor; there was no mode, and another size was passed over."""
    target, x = torch.randn(2, 3, 3), torch.randn(2, 3, 3)
    old = luann.t7.Unknown("nn.ContentLoss", 1)
    made = neural_style.ContentLoss(2)
    for name, value in vars(made).items():
        if name != "mode":
            old[name] = value
    old.target = target
    module = reloaded(tmp_path, old)
    check_gradient(module, lambda x: 2 * mse(x, target), x)
    g = torch.randn(2, 4, 4)
    with pytest.warns(UserWarning, match="differ in size"):
        module.forward(g)
    assert torch.equal(module.backward(g, g), g)


# The criterions, which put losses into a net


def encoder():
    net = nn.Sequential()
    for i, (a, b) in enumerate(((3, 4), (4, 5)), 1):
        net.add(nn.SpatialConvolution(a, b, 3, 3))
        net.add(nn.Tanh())
        net.modules[-2].name, net.modules[-1].name = f"conv{i}", f"tanh{i}"
    return net


def test_perceptual_criterion():
    net = encoder()
    plain = copy.deepcopy(net)
    args = {
        "cnn": nn.Sequential().add(net).add(nn.Tanh()),
        "content_layers": ["1-2"],
        "content_weights": [2],
        "style_layers": ["1-2", "1-3"],
        "style_weights": [3, 4],
        "agg_type": "gram",
    }
    criterion = fast_neural_style.PerceptualCriterion(args)
    assert [m._typename for m in criterion.net.modules] == ["nn.Sequential"]
    names = [m._typename for m in criterion.net.modules[0].modules]
    assert names[1:6] == ["nn.Tanh", "nn.StyleLoss", "nn.ContentLoss", "nn.SpatialConvolution", "nn.StyleLoss"]
    assert fast_neural_style.get_layer(criterion.net, "1-3") is criterion.net.modules[0].modules[4]
    x, content, style = torch.randn(2, 3, 9, 9), torch.randn(2, 3, 9, 9), torch.randn(1, 3, 9, 9)

    def layers(images):
        first = torch.tanh(torch.conv2d(images, plain.modules[0].weight, plain.modules[0].bias))
        return first, torch.conv2d(first, plain.modules[2].weight, plain.modules[2].bias)

    x.requires_grad_()
    (x1, x2), (c1, _), (s1, s2) = layers(x), layers(content), layers(style)
    wanted = 2 * mse(x1, c1) + 3 * mse(gram(x1), gram(s1)) + 4 * mse(gram(x2), gram(s2))
    (grad,) = torch.autograd.grad(wanted, x)
    given = x.detach()
    criterion.setStyleTarget(style)
    for target in ({"content_target": content}, {"content_target": content, "style_target": style}):
        assert criterion.forward(given, target) == pytest.approx(wanted.item(), rel=1e-10)
        torch.testing.assert_close(criterion.backward(given, target), grad)
    assert criterion.total_content_loss == sum(criterion.content_losses) == pytest.approx(2 * mse(x1, c1).item())
    with pytest.raises(luann.ArgumentError, match="no layer '1-9'"):
        fast_neural_style.insert_after(criterion.net, "1-9", nn.Identity())


def test_artistic_style_loss_criterion():
    net = encoder()
    plain = copy.deepcopy(net)
    layers = {"content": ["tanh2"], "style": ["tanh1", "tanh2"]}
    criterion = adain.ArtisticStyleLossCriterion(net, layers, {"content": 2, "style": 3, "tv": 0.5})
    x, content, style = torch.randn(2, 3, 9, 9), torch.randn(2, 3, 9, 9), torch.randn(2, 3, 9, 9)

    def features(images):
        found = []
        for i in (0, 2):
            images = torch.tanh(torch.conv2d(images, plain.modules[i].weight, plain.modules[i].bias))
            found.append(images)
        return found

    def style_loss(x, s):
        std = x.std((2, 3), correction=0) - s.std((2, 3), correction=0)
        return 3 * (((x.mean((2, 3)) - s.mean((2, 3))) ** 2).sum() + (std**2).sum()) / x.shape[0]

    x.requires_grad_()
    xs, cs, ss = features(x), features(content), features(style)
    wanted = 2 * mse(xs[1], cs[1]) + sum(style_loss(a, b) for a, b in zip(xs, ss))
    variation = 0.5 * (((x[..., 1:] - x[..., :-1]) ** 2).sum() + ((x[..., 1:, :] - x[..., :-1, :]) ** 2).sum())
    (grad,) = torch.autograd.grad(wanted + variation, x)
    targets = {"content": content, "style": style}
    assert criterion.forward(x.detach(), targets) == pytest.approx(wanted.item(), rel=1e-10)
    torch.testing.assert_close(criterion.backward(x.detach(), targets), grad)
    assert net.modules[0].gradWeight is None
    with pytest.raises(luann.ArgumentError, match="no layer 'relu9'"):
        adain.ArtisticStyleLossCriterion(encoder(), {"content": ["relu9"]}, {"content": 1})
    with pytest.raises(luann.ArgumentError, match="one content layer"):
        adain.ArtisticStyleLossCriterion(encoder(), {"style": ["tanh1"]}, {"style": 1})


@pytest.mark.parametrize(
    "cls",
    [
        *(texture_nets.TVLoss, texture_nets.ContentLoss, fast_neural_style.TotalVariation),
        *(fast_neural_style.ContentLoss, fast_neural_style.StyleLoss, fast_neural_style.DeepDreamLoss),
        *(neural_style.ContentLoss, neural_style.StyleLoss),
        *(adain.TVLossModule, adain.ContentLossModule, adain.StyleINLossModule),
    ],
)
def test_a_strength_that_is_no_number(cls):
    with pytest.raises(luann.ArgumentError, match=f"{cls.__name__}: strength must be a number, got str"):
        cls("x")


def perceptual(**options):
    return fast_neural_style.PerceptualCriterion({"cnn": nn.Sequential().add(nn.Tanh()), **options})


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: fast_neural_style.PerceptualCriterion(None), "nn.PerceptualCriterion: wants a table of options"),
        (lambda: fast_neural_style.PerceptualCriterion({}), "'cnn' is missing"),
        (lambda: perceptual(cnn=3), "cnn must be a module, got 3"),
        (lambda: perceptual(content_layers=3), "content_layers must be a list, got 3"),
        (lambda: perceptual(style_layers=[1], style_weights=[]), "style_weights must be a list of 1 entries"),
        (lambda: fast_neural_style.TotalVariation(None), "strength must be a number, got NoneType"),
        (lambda: fast_neural_style.ShaveImage(-3), "size must be a whole number from 0 on, got -3"),
        (lambda: fast_neural_style.DeepDreamLoss(1, "x"), "max_grad must be a number"),
        (lambda: texture_nets.NoiseFill("x"), "num_noise_channels must be a whole number from 0 on, got 'x'"),
        (lambda: texture_nets.TextureLoss(1, None), "target must be a tensor of C x C, got NoneType"),
        (lambda: texture_nets.TextureLoss("x", torch.eye(2)), "strength must be a number"),
        (lambda: adain.ArtisticStyleLossCriterion("x"), "cnn must be a module"),
        (lambda: adain.ArtisticStyleLossCriterion(nn.Sequential(), {}, "x"), "weights must be a table, got 'x'"),
    ],
)
def test_wrong_arguments(make, match):
    with pytest.raises(luann.ArgumentError, match=match):
        make()
