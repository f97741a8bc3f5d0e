"""waifu2x's layers and criterions: against what waifu2x computed, and against PyTorch."""

import pickle

import pytest
import records
import torch

import luann
from luann import nn
from luann.contrib import waifu2x

MODULES = (
    "AuxiliaryLossTable EdgeFilter GradWeight InplaceClip01 LeakyReLU RandomBinaryConvolution "
    "ScaleTable ShakeShakeTable"
).split()
CRITERIONS = "ClippedMSECriterion ClippedWeightedHuberCriterion L1Criterion LBPCriterion SSIMCriterion".split()


@pytest.fixture(autouse=True)
def double():
    luann.setdefaulttensortype("torch.DoubleTensor")
    torch.manual_seed(1)


@records.of("rocks/waifu2x", *MODULES, *CRITERIONS)
def test_record(case):
    records.check(case)


@records.of("rocks/waifu2x", "AuxiliaryLossCriterion")
def test_auxiliary_loss(case):
    """The records hold no object, for that would hold a class."""
    record = records.get(case)
    base, args = {"mse": (waifu2x.ClippedMSECriterion, [0, 1]), "three": (waifu2x.L1Criterion, None)}[record.name]
    criterion = waifu2x.AuxiliaryLossCriterion(base, args)
    for _ in range(2):
        assert criterion.forward(record.input, record.target) == pytest.approx(record.output, rel=1e-12)
        found = records.difference(criterion.backward(record.input, record.target), record.gradInput, (1e-9, 1e-12))
        assert found is None
    if base is waifu2x.ClippedMSECriterion:
        assert sum(criterion.instance_loss) / 2 == pytest.approx(record.output)
    single = waifu2x.AuxiliaryLossCriterion(base, args)
    plain = base(*(args or ()))
    assert single.forward(record.input[0], record.target) == plain.forward(record.input[0], record.target)


def fields(obj):
    return {name: type(value) for name, value in vars(obj).items() if value is not None}


@pytest.mark.parametrize("name", [*MODULES, *CRITERIONS])
def test_what_is_made_here_has_the_fields_of_waifu2x(name):
    for i in range(2):
        record = records.get(("rocks/waifu2x", name, i))
        made = records.build(record.spec, kind="rocks/waifu2x")
        assert fields(made) == fields(record.get("module") or record.criterion)


# Layers


@pytest.mark.parametrize(
    ("module", "input"),
    [
        (waifu2x.LeakyReLU(0.1), (2, 3, 4)),
        (waifu2x.LeakyReLU_deprecated(0.1), (2, 3, 4)),
        (waifu2x.InplaceClip01(), (2, 3)),
        (waifu2x.GradWeight(2), (2, 3)),
        (waifu2x.ScaleTable(), [(2, 3, 4, 4), (2, 3, 1, 1)]),
        (waifu2x.ShakeShakeTable(), [(2, 3), (2, 3)]),
        (waifu2x.AuxiliaryLossTable(2), [(2, 3), (2, 3)]),
        (waifu2x.RandomBinaryConvolution(2, 3, 3, 2), (1, 2, 5, 5)),
        (waifu2x.EdgeFilter(2), (1, 2, 5, 5)),
        (waifu2x.DepthExpand2x(), (1, 8, 3, 2)),
        (waifu2x.Print(), (2, 3)),
        (waifu2x.PrintTable("here"), (2, 3)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_each_is_loaded_as_what_it_was_and_goes_on(tmp_path, module, input):
    module.double()
    x = [torch.randn(s) for s in input] if isinstance(input, list) else torch.randn(input)

    def forward(module, convert=torch.clone):
        luann.manualSeed(1)
        return module.forward([convert(t) for t in x] if isinstance(x, list) else convert(x))

    for _ in range(2):
        output = forward(module)
        luann.save(tmp_path / "m.t7", module)
        loaded = luann.load(tmp_path / "m.t7")
        for twin in (loaded, module.clone(), pickle.loads(pickle.dumps(module)), module.clone().clearState()):
            assert type(twin) is type(module)
            torch.testing.assert_close(forward(twin), output)
        single = forward(module.clone().float(), torch.Tensor.float)
        torch.testing.assert_close(single, output.float())


def test_nn_has_its_own_leaky_relu(tmp_path):
    luann.save(tmp_path / "m.t7", nn.LeakyReLU(0.2))
    assert type(luann.load(tmp_path / "m.t7")) is nn.LeakyReLU
    assert waifu2x.LeakyReLU_deprecated()._typename == "nn.LeakyReLU"


@pytest.mark.parametrize(("scale", "slope"), [(0.1, 0.1), (0, 1), (-0.5, 2.5)])
def test_leaky_relu(scale, slope):
    module, x = waifu2x.LeakyReLU(scale), torch.tensor([-2.0, 0, 3])
    assert module.forward(x).tolist() == [-2 * scale, 0, 3]
    torch.testing.assert_close(module.backward(x, torch.full((3,), 2.0)), torch.tensor([2.0 * slope, 2, 2]))


def test_scale_table_gradients():
    module = waifu2x.ScaleTable()
    for n, c in ((2, 3), (1, 4)):
        x, s = torch.randn(n, c, 4, 5, requires_grad=True), torch.randn(n, c, 1, 1, requires_grad=True)
        y = x * s
        g = torch.randn_like(y)
        given = [x.detach(), s.detach()]
        torch.testing.assert_close(module.forward(given), y.detach())
        torch.testing.assert_close(tuple(module.backward(given, g)), torch.autograd.grad(y, (x, s), g))
    with pytest.raises(luann.Error, match="a factor for each plane"):
        module.forward([torch.zeros(1, 2, 3, 3), torch.zeros(1, 3, 1, 1)])


def test_shake_shake():
    module = waifu2x.ShakeShakeTable()
    a, b, g = torch.randn(3, 4, 2, 5).unbind()
    output, alpha = module.forward([a, b]), module.alpha.view(4, 1, 1)
    torch.testing.assert_close(output, 2 * ((1 - alpha) * a + alpha * b))
    first, second = module.updateGradInput([a, b], g)
    torch.testing.assert_close(first + second, g)
    torch.testing.assert_close(first, g * module.beta.view(4, 1, 1))
    module.evaluate()
    torch.testing.assert_close(module.forward([a, b]), a + b)


def test_auxiliary_loss_table_in_a_net():
    net = nn.Sequential().add(nn.ConcatTable().add(nn.MulConstant(2)).add(nn.MulConstant(3)))
    net.add(waifu2x.AuxiliaryLossTable(2))
    x, g = torch.randn(2, 3), torch.randn(2, 3)
    assert isinstance(net.forward(x), torch.Tensor)
    net.training()
    assert [t.shape for t in net.forward(x)] == [x.shape] * 2
    torch.testing.assert_close(net.backward(x, [g, 2 * g]), 8 * g)
    net.evaluate()
    torch.testing.assert_close(net.forward(x), 3 * x)
    with pytest.raises(luann.Error, match="a list of 2 gradients"):
        net.backward(x, g)


@pytest.mark.parametrize("make", [lambda: waifu2x.RandomBinaryConvolution(3, 8, 2, 4), lambda: waifu2x.EdgeFilter(3)])
def test_fixed_convolutions(make):
    module = make()
    kernel = module.weight.view(-1, 3, module.kH, module.kW).clone()
    assert module.bias is None and set(kernel.unique().tolist()) <= {-1, 0, 1}
    for shape in ((2, 3, 7, 6), (1, 3, 5, 9), (3, 6, 6)):
        x = torch.randn(shape, requires_grad=True)
        y = torch.conv2d(x, kernel)
        g = torch.randn_like(y)
        torch.testing.assert_close(module.forward(x.detach()), y.detach())
        torch.testing.assert_close(module.backward(x.detach(), g), torch.autograd.grad(y, x, g)[0])
        module.accUpdateGradParameters(x.detach(), g, 1)
    module.updateParameters(1)
    assert not module.gradWeight.any() and torch.equal(module.weight.view_as(kernel), kernel)


def test_edges():
    module, x = waifu2x.EdgeFilter(2), torch.randn(1, 2, 3, 3)
    neighbours = x.flatten(2)[0][:, [0, 1, 2, 3, 5, 6, 7, 8]]
    torch.testing.assert_close(module.forward(x).view(2, 8), x[0, :, 1, 1].unsqueeze(1) - neighbours)


def test_depth_expand():
    """PyTorch's pixel_shuffle has the four planes of one next to each other."""
    module = waifu2x.DepthExpand2x()
    for n, c, h, w in ((2, 8, 3, 4), (1, 4, 5, 2)):
        x = torch.randn(n, c, h, w, requires_grad=True)
        y = torch.pixel_shuffle(x.view(n, 4, c // 4, h, w).transpose(1, 2).reshape(x.shape), 2)
        g = torch.randn_like(y)
        torch.testing.assert_close(module.forward(x.detach()), y.detach())
        torch.testing.assert_close(module.backward(x.detach(), g), torch.autograd.grad(y, x, g)[0])
    with pytest.raises(luann.Error, match="a multiple of 4"):
        module.forward(torch.zeros(1, 3, 2, 2))


def test_printing(capsys):
    x = torch.ones(2, 3)
    assert torch.equal(waifu2x.Print().forward(x), x)
    table = waifu2x.PrintTable("here")
    assert table.forward([x])[0] is x and table.backward([x], [x])[0] is x
    assert capsys.readouterr().out.startswith("torch.LongStorage[2, 3]\n---- here\n")


# Criterions


def pair():
    return torch.randn(3, 2, 4, 4), torch.rand(3, 2, 4, 4)


def test_huber_losses():
    weight = torch.rand(2, 4, 4) * 3
    for criterion, bounds in (
        (waifu2x.WeightedHuberCriterion(weight, 0.5), (None, 1e9)),
        (waifu2x.ClippedWeightedHuberCriterion(weight, 0.5, [0, 1]), (0, 1)),
    ):
        x, t = pair()
        d = (weight * (x.clamp(*bounds) - t)).requires_grad_()
        wanted = torch.nn.functional.huber_loss(d, torch.zeros_like(d), delta=0.5)
        for _ in range(2):
            assert criterion.forward(x, t) == pytest.approx(wanted.item(), rel=1e-12)
            torch.testing.assert_close(criterion.backward(x, t), torch.autograd.grad(wanted, d, retain_graph=True)[0])
        with pytest.raises(luann.Error, match="as many as there are weights"):
            criterion.forward(x[:, :1], t[:, :1])
    with pytest.raises(luann.ArgumentError, match="two bounds"):
        waifu2x.ClippedWeightedHuberCriterion(weight)


def test_weighted_mse():
    weight = torch.rand(2, 4, 4)
    criterion, (x, t) = waifu2x.WeightedMSECriterion(weight), pair()
    d = weight * (x - t)
    assert criterion.forward(x, t) == pytest.approx((d**2).mean().item())
    torch.testing.assert_close(criterion.backward(x, t), d)


def test_l1_of_a_vector_compares_the_first_number():
    criterion, x = waifu2x.L1Criterion(), torch.tensor([3.0, -2.0])
    assert criterion.forward(x, 5) == 2
    assert criterion.backward(x, 5).tolist() == [-0.5, -0.5]


def test_psnr():
    criterion, (x, t) = waifu2x.PSNRCriterion(), pair()
    wanted = -10 * torch.log10(((x.clamp(0, 1) - t) ** 2).mean()).item()
    assert criterion.forward(x, t) == pytest.approx(wanted) and criterion.forward(t, t) == float("inf")
    with pytest.raises(luann.Error, match="no backward"):
        criterion.backward(x, t)


def test_ssim():
    criterion, x = waifu2x.SSIMCriterion(2), torch.rand(2, 2, 14, 13)
    assert criterion.forward(x, x) == pytest.approx(1)
    assert criterion.forward(x, 1 - x) < 0
    assert criterion.conv.weight[0, 0].sum() == pytest.approx(1) and not criterion.conv.weight[0, 1].any()


@pytest.mark.parametrize(
    "make",
    [
        lambda: waifu2x.LBPCriterion(2, 5, 3),
        lambda: waifu2x.LBPCriterion(2, 4, 3, 2),
        lambda: waifu2x.RandomBinaryCriterion(2),
    ],
)
def test_local_binary_patterns(make):
    criterion = make()
    x, t = torch.rand(3, 2, 7, 7), torch.rand(3, 2, 7, 7)
    layers = getattr(criterion.filter1, "modules", None) or [criterion.filter1]
    first = layers[0].weight
    assert torch.equal(first[:2].sum((2, 3)), torch.eye(2)) and torch.equal(first[:2, :, 1, 1], torch.eye(2))
    kernels = [m.weight.clone() for m in layers]
    x.requires_grad_()

    def found(images):
        for kernel in kernels:
            images = torch.conv2d(images, kernel)
        return images

    mine, theirs = found(x), found(t)
    loss = torch.nn.functional.huber_loss(mine, theirs, delta=0.1)
    (grad,) = torch.autograd.grad(loss, x)
    grad = grad * mine.numel() * criterion.n / x.numel()  # waifu2x divides by another number
    given = x.detach()
    for x_, t_ in ((given, t), (given.flatten(1), t.flatten(1))):
        assert criterion.forward(x_, t_) == pytest.approx(loss.item(), rel=1e-12)
        torch.testing.assert_close(criterion.backward(x_, t_), grad.view(x_.shape))
    assert torch.equal(layers[0].weight, kernels[0])


@pytest.mark.parametrize(
    "criterion",
    [
        waifu2x.L1Criterion(),
        waifu2x.ClippedMSECriterion(0, 1),
        waifu2x.WeightedHuberCriterion(torch.ones(2, 4, 4)),
        waifu2x.ClippedWeightedHuberCriterion(torch.ones(2, 4, 4), 0.1, [0, 1]),
        waifu2x.WeightedMSECriterion(torch.ones(2, 4, 4)),
        waifu2x.LBPCriterion(2, 4),
        waifu2x.RandomBinaryCriterion(2),
        waifu2x.PSNRCriterion(),
        waifu2x.SSIMCriterion(2, 3),
    ],
    ids=lambda criterion: type(criterion).__name__,
)
def test_criterions_are_saved_and_converted(tmp_path, criterion):
    criterion.double()
    x, t = pair()
    for _ in range(2):
        luann.save(tmp_path / "c.t7", criterion)
        loaded = luann.load(tmp_path / "c.t7")
        assert type(loaded) is type(criterion)
        wanted = criterion.forward(x, t)
        assert loaded.forward(x, t) == criterion.clone().forward(x, t) == wanted
        assert criterion.clone().float().forward(x.float(), t.float()) == pytest.approx(wanted, rel=1e-4)
    if not isinstance(criterion, (waifu2x.PSNRCriterion, waifu2x.SSIMCriterion)):
        torch.testing.assert_close(loaded.backward(x, t), criterion.backward(x, t))
        single = criterion.clone().float()
        single.forward(x.float(), t.float())
        torch.testing.assert_close(
            single.backward(x.float(), t.float()).double(), loaded.backward(x, t), rtol=1e-3, atol=1e-6
        )
    with pytest.raises(luann.Error, match=r"a target of \d+ elements"):
        criterion.forward(x, t[:2])
