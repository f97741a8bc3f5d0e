"""dpnn's layers and criterions."""

from __future__ import annotations

import pytest
import records
import torch
import torch.distributions as D

import luann
from luann import nn
from luann.contrib import dpnn


@records.of(
    "rocks/dpnn",
    "ArgMax",
    "BinaryClassReward",
    "BinaryLogisticRegression",
    "CategoricalEntropy",
    "Clip",
    "FireModule",
    "Inception",
    "NCECriterion",
    "NCEModule",
    "PCAColorTransform",
    "ReinforceBernoulli",
    "ReinforceCategorical",
    "ReinforceNormal",
    "ReverseTable",
    "Serial",
    "SimpleColorTransform",
    "SpatialBinaryConvolution",
    "SpatialBinaryLogisticRegression",
    "SpatialFeatNormalization",
    "SpatialGlimpse",
    "SpatialRegionDropout",
    "SpatialUniformCrop",
    "TotalDropout",
    "VRClassReward",
)
def test_record(case):
    records.check(case)


@pytest.mark.parametrize("path", sorted((records.REFERENCE / "rocks/dpnn").glob("*.t7")), ids=lambda path: path.stem)
def test_files_are_written_as_they_were(path, tmp_path):
    luann.save(tmp_path / "again.t7", luann.load(path))
    assert (tmp_path / "again.t7").read_bytes() == path.read_bytes()


# What the records lack


@pytest.fixture(autouse=True)
def _double():
    luann.setdefaulttensortype("torch.DoubleTensor")
    luann.manualSeed(5)


randn = luann.random.randn


def rand(*size: int) -> torch.Tensor:
    return luann.random.uniform(torch.empty(*size), 0.05, 0.95)


def autograd(function, *inputs):
    """The gradients of a number with respect to tensors."""
    leaves = [x.clone().requires_grad_() for x in inputs]
    return torch.autograd.grad(function(*leaves), leaves)


@pytest.mark.parametrize("size", [(5, 4), (3,), (2, 3, 2)])
@pytest.mark.parametrize(
    ("make", "log_prob"),
    [
        (dpnn.ReinforceBernoulli, lambda p: D.Bernoulli(p)),
        (lambda: dpnn.ReinforceNormal(0.7), lambda m: D.Normal(m, 0.7)),
        (lambda: dpnn.ReinforceGamma(0.7), lambda k: D.Gamma(k, 1 / 0.7)),
    ],
)
def test_the_gradient_is_that_of_the_logarithm(make, log_prob, size):
    layer, x, reward = make(), rand(*size), randn(size[0])
    drawn = layer.forward(x).clone()
    layer.reinforce(reward)
    weights = reward.view(-1, *[1] * (len(size) - 1))
    (wanted,) = autograd(lambda x: -(log_prob(x).log_prob(drawn) * weights).sum(), x)
    assert torch.allclose(layer.backward(x, None), wanted, rtol=1e-10, atol=1e-12)
    layer.evaluate()
    mean = log_prob(x).mean
    assert torch.allclose(layer.forward(x), mean)


@pytest.mark.parametrize(
    ("make", "log_prob"),
    [
        (dpnn.ReinforceNormal, lambda m, s: D.Normal(m, s)),
        (dpnn.ReinforceGamma, lambda k, s: D.Gamma(k, 1 / s)),
    ],
)
def test_both_parameters_from_the_input(make, log_prob):
    layer, input, reward = make(), [rand(4, 3), rand(4, 3)], randn(4)
    drawn = layer.forward(input).clone()
    layer.reinforce(reward)
    wanted = autograd(lambda *p: -(log_prob(*p).log_prob(drawn) * reward.view(4, 1)).sum(), *input)
    for got, want in zip(layer.backward(input, None), wanted):
        assert torch.allclose(got, want, rtol=1e-5, atol=1e-6)  # Torch7 adds 1e-8 to what it divides by


def test_categorical_gradient():
    layer, reward = dpnn.ReinforceCategorical(), randn(6)
    p = torch.softmax(randn(6, 4), 1)
    drawn = layer.forward(p).clone()
    assert drawn.sum(1).eq(1).all() and set(drawn.unique().tolist()) == {0, 1}
    layer.reinforce(reward)
    (wanted,) = autograd(lambda p: -((p.log() * drawn).sum(1) * reward).sum(), p)
    assert torch.allclose(layer.backward(p, None), wanted, rtol=1e-6)


def test_gamma_draws_as_randomkit():
    """The numbers that randomkit's own test wants of gamma(5, 3)."""
    luann.manualSeed(1234567890)
    drawn = dpnn.ReinforceGamma(3).forward(torch.full((3, 2), 5.0))
    wanted = [
        [24.60509188649287182, 28.54993563207210627],
        [26.13476110204064184, 12.56988482927716078],
        [31.71863275789960568, 33.30143302795922011],
    ]
    assert torch.allclose(drawn, torch.tensor(wanted), rtol=1e-13)
    luann.manualSeed(1234567890)
    parts = [dpnn.ReinforceGamma(3).forward(torch.tensor([5.0])).item() for _ in range(6)]
    assert torch.allclose(torch.tensor(parts), torch.tensor(wanted).view(-1), rtol=1e-13)


def test_reinforce_wants_a_reward():
    layer, x = dpnn.ReinforceBernoulli(), rand(3, 2)
    layer.forward(x)
    with pytest.raises(luann.ModuleError, match=r"reinforce\(reward\)"):
        layer.backward(x, None)
    layer.reinforce(randn(2))
    with pytest.raises(luann.ShapeError, match="each of 3 samples"):
        layer.backward(x, None)
    with pytest.raises(luann.ArgumentError, match="stdev"):
        dpnn.ReinforceNormal().forward(x)


def test_reward_of_one_sample():
    layer = dpnn.ReinforceNormal(0.5)
    criterion = dpnn.VRClassReward(layer, 2)
    layer.forward(randn(3))
    input, target = [torch.tensor([0.1, 3, 0.2]), torch.tensor([0.25])], torch.tensor([2])
    assert criterion.forward(input, target) == -2
    first, second = criterion.backward(input, target)
    assert first.tolist() == [0, 0, 0] and second.tolist() == [2 * (0.25 - 2)]
    assert layer.reward.tolist() == [1.75]
    criterion.float()
    assert layer.type() == "torch.DoubleTensor" and criterion.criterion.gradInput.dtype is torch.float32


def test_entropy_gradient():
    layer, p, g = dpnn.CategoricalEntropy(0.5), torch.softmax(randn(5, 3), 1), randn(5, 3)

    def loss(p):
        q = p.sum(0) / p.sum().detach()
        return 0.5 * (q * (q + 1e-6).log()).sum() / 5

    (wanted,) = autograd(loss, p)
    assert layer.forward(p).equal(p)
    assert torch.allclose(layer.backward(p, g), g + wanted, rtol=1e-10)


def nce(record: str) -> tuple:
    made = next(r for r in records._load("rocks/dpnn/NCEModule.t7") if r.name == record)
    return made, {
        "batch": lambda unigrams: dpnn.NCEModule(3, 6, 4, unigrams([5.0, 4, 3, 2, 1, 1]), 2.5),
        "own": lambda unigrams: dpnn.NCEModule(3, 5, 3, unigrams([1.0, 2, 3, 2, 1]), 4),
        "z": lambda unigrams: dpnn.NCEModule(2, 4, 5, unigrams([4.0, 3, 2, 1])),
    }[record]


@pytest.mark.parametrize("name", ["batch", "own", "z"])
def test_construction_of_an_NCEModule(name):
    record, make = nce(name)
    unigrams = None

    def remember(values):
        nonlocal unigrams
        unigrams = torch.tensor(values)
        return unigrams

    luann.manualSeed(record.seed)
    made = make(remember)
    assert records.peek() == record.rngAfterConstruct
    for field in ("weight", "bias", "unigrams", "Z"):
        assert torch.allclose(getattr(made, field), getattr(record.module, field), rtol=1e-15)
    assert made.aliasmultinomial.J.equal(record.module.aliasmultinomial.J)
    assert torch.allclose(made.aliasmultinomial.q, record.module.aliasmultinomial.q, rtol=1e-14)
    assert unigrams.sum() > 5  # the caller's tensor is left alone


def test_alias_draws_follow_the_distribution():
    probs = torch.tensor([0.1, 0.4, 0.05, 0.3, 0.15])
    drawn = dpnn.AliasMultinomial(probs).batchdraw(torch.empty(200, 500, dtype=torch.int64))
    found = torch.bincount(drawn.view(-1), minlength=6)[1:] / drawn.numel()
    assert (found - probs).abs().max() < 0.005


@pytest.mark.parametrize("batchnoise", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_NCE_gradients(batchnoise, dtype):
    N, k = 4, 5
    module, criterion = dpnn.NCEModule(3, 7, k, torch.arange(1.0, 8), 3).type(dtype), dpnn.NCECriterion().type(dtype)
    module.batchnoise = batchnoise
    x, target = randn(N, 3).to(dtype), torch.tensor([1, 3, 7, 3])
    module.zeroGradParameters()
    loss = criterion.forward(module.forward([x, target]), target)
    module.backward([x, target], criterion.backward(module.output, target), 2)
    chosen = module.sampleidx - 1

    def wanted(x, weight, bias):
        if batchnoise:
            targets, noise = chosen[k:], chosen[:k].expand(N, k)
        else:
            targets, noise = chosen[:, 0], chosen[:, 1:]
        model = (x @ weight.t() + bias).exp() / 3
        pm, pn = model[torch.arange(N), targets], module.unigrams.to(dtype)[targets]
        qm, qn = model.gather(1, noise), module.unigrams.to(dtype)[noise]
        return -((pm / (pm + k * pn)).log().sum() + (k * qn / (qm + k * qn)).log().sum()) / N

    tolerance = {"rtol": 1e-5, "atol": 1e-6} if dtype is torch.float64 else {"rtol": 1e-3, "atol": 1e-4}  # eps 1e-7
    assert abs(wanted(x, module.weight, module.bias).item() - loss) < 1e-4
    gx, gw, gb = autograd(wanted, x, module.weight, module.bias)
    assert torch.allclose(module.gradInput[0], gx, **tolerance)
    assert torch.allclose(module.gradWeight, 2 * gw, **tolerance)
    assert torch.allclose(module.gradBias, 2 * gb, **tolerance)


def test_clones_of_an_NCEModule_share_the_constant():
    module = dpnn.NCEModule(3, 4, 2, torch.ones(4))
    clone = module.sharedClone()
    clone.forward([randn(2, 3), torch.tensor([1, 4])])
    assert module.Z.item() == clone.Z.item() > 0 and records.shares(module.unigrams, clone.unigrams)


def test_an_NCEModule_of_the_first_versions(tmp_path):
    module = dpnn.NCEModule(3, 4, 2, torch.ones(4), 1)
    module.batchnoise = False
    input = [randn(2, 3), torch.tensor([1, 4])]
    luann.manualSeed(1)
    wanted = [t.clone() for t in module.forward(input)]
    for name in ("batchnoise", "Z", "aliasmultinomial"):
        del module.__dict__[name]
    luann.save(tmp_path / "net.t7", module)
    loaded = luann.load(tmp_path / "net.t7")
    luann.manualSeed(1)
    assert all(torch.allclose(a, b) for a, b in zip(loaded.forward(input), wanted))


def inception(**more):
    return dpnn.Inception({"inputSize": 3, "outputSize": [4, 5], "reduceSize": [2, 3, 2, 1], **more})


def test_inception_of_one_image():
    net, x = inception(), randn(3, 6, 6)
    g = randn(12, 6, 6)
    net.zeroGradParameters()
    output = net.forward(x).clone()
    gradInput = net.backward(x, g, 0.5).clone()
    grads = [t.clone() for t in net.parameters()[1]]
    net.zeroGradParameters()
    assert torch.allclose(net.forward(x.unsqueeze(0))[0], output)
    assert torch.allclose(net.backward(x.unsqueeze(0), g.unsqueeze(0))[0], gradInput)
    assert all(torch.allclose(a, b / 2) for a, b in zip(grads, net.parameters()[1]))


@pytest.mark.parametrize("form", ["decorator", "container"])
def test_inception_from_older_files(tmp_path, form):
    """OpenFace's nets: dpnn's own Decorator kept its module twice; before, Inception was a Container."""
    net = inception(
        batchNorm=form == "decorator", pool=nn.SpatialLPPooling(3, 2, 3, 3) if form == "decorator" else None
    )
    columns = net.modules[0]
    if form == "decorator":
        net.module = columns
    else:
        del net.__dict__["pool"]
        net.depthConcat = columns
    old = nn.Sequential().add(net).add(nn.SpatialCrossMapLRN(5))
    x = randn(2, 3, 6, 6)
    wanted = old.forward(x).clone()
    luann.save(tmp_path / "net.t7", old)
    loaded = luann.load(tmp_path / "net.t7")
    assert type(loaded.get(1)) is dpnn.Inception and torch.equal(loaded.forward(x), wanted)
    assert torch.equal(loaded.float().forward(x.float()), old.float().forward(x.float()))
    luann.save(tmp_path / "again.t7", luann.load(tmp_path / "net.t7"))
    assert (tmp_path / "again.t7").read_bytes() == (tmp_path / "net.t7").read_bytes()


def test_inception_without_the_last_reductions():
    net = dpnn.Inception({"inputSize": 3, "outputSize": [4], "reduceSize": [2], "kernelSize": [3]})
    assert len(net.modules[0]) == 2 and net.modules[0].get(2).size() == 1
    assert net.forward(randn(1, 3, 5, 5)).shape == (1, 7, 5, 5)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: dpnn.Inception({"inputSize": 3}), "outputSize, reduceSize"),
        (lambda: dpnn.Inception(3), "table"),
        (lambda: inception(kernels=[3]), "kernels"),
        (lambda: dpnn.FireModule(3, 2, 2, 2, "Relu"), "Relu"),
        (lambda: dpnn.TotalDropout(1), "below 1"),
        (lambda: dpnn.SpatialRegionDropout(-0.1), "below 1"),
        (lambda: dpnn.SpatialUniformCrop(0), "oheight"),
        (lambda: dpnn.SpatialGlimpse(2, 0), "depth"),
        (lambda: dpnn.ArgMax(0), "dim"),
        (lambda: dpnn.Clip("a", 1), "minval"),
        (lambda: dpnn.SpatialFeatNormalization(torch.ones(2, 2)), "vector"),
        (lambda: dpnn.SpatialFeatNormalization(torch.ones(2), torch.ones(3)), "std"),
        (lambda: dpnn.PCAColorTransform(3, torch.eye(2), torch.ones(3)), "3 x 3"),
        (lambda: dpnn.SimpleColorTransform(3, torch.ones(2)), "3 numbers"),
        (lambda: dpnn.NCEModule(3, 4, 2, torch.ones(3)), "4 numbers"),
        (lambda: dpnn.AliasMultinomial(torch.tensor([0.5, -0.5, 1])), "negative"),
        (lambda: dpnn.ReinforceGamma(1).forward(torch.zeros(2)), "positive"),
        (lambda: dpnn.Clip(2, 1), "maxval must be at least minval, 2, got 1"),
        (lambda: dpnn.CategoricalEntropy(1, "x"), "minEntropy"),
        (lambda: dpnn.TotalDropout("x"), "p must be a number"),
        (lambda: dpnn.SpatialGlimpse([2]), "size must be a number or a list of two"),
        (lambda: dpnn.SpatialUniformCrop(2, 2, [1]), "list of two numbers"),
        (lambda: dpnn.SpatialUniformCrop(2, 2, {"min": 1}), "max must be a number"),
        (lambda: dpnn.SpatialFeatNormalization(None), "mean must be a vector, got NoneType"),
        (
            lambda: dpnn.PCAColorTransform(3, None, torch.ones(3)),
            "eigenVectors must be a tensor of 3 x 3, got NoneType",
        ),
        (lambda: dpnn.PCAColorTransform(3, torch.eye(3), [1, 2, 3]), "eigenValues must be a tensor of 3 numbers"),
        (lambda: dpnn.PCAColorTransform(3, torch.eye(3), torch.ones(3), "x"), "std must be a number"),
        (lambda: dpnn.SimpleColorTransform(3, None), "range must be a tensor of 3 numbers"),
        (lambda: dpnn.SimpleColorTransform("x", torch.ones(3)), "inputChannels"),
        (lambda: dpnn.NCEModule(3, 2, 2, -torch.ones(2)), "unigrams must be .* from 0 on, not all 0, got a 2 torch"),
        (lambda: dpnn.NCEModule(3, 2, 2, torch.zeros(2)), "not all 0"),
        (lambda: dpnn.NCEModule(3, 2, 2, torch.ones(2), "x"), "Z must be a number"),
        (lambda: dpnn.ReinforceNormal("x"), "stdev must be a number"),
        (lambda: dpnn.VRClassReward(None), "nn.VRClassReward: module must be a module"),
        (lambda: dpnn.VRClassReward(nn.Tanh(), "x"), "scale must be a number"),
        (lambda: dpnn.BinaryClassReward(nn.Tanh(), 1, "x"), "there must be a criterion, got str"),
    ],
)
def test_wrong_arguments(make, match):
    with pytest.raises(luann.ArgumentError, match=match):
        make()


@pytest.mark.parametrize("size", [(2, 3, 7, 9), (3, 8, 8)])
@pytest.mark.parametrize(("arguments", "more"), [((3,), False), (([2, 4], 2), False), ((2, 2, 3), True)])
def test_glimpses_are_linear_in_the_images(size, arguments, more):
    """So the gradient is the transposed of the forward."""
    layer = dpnn.SpatialGlimpse(*arguments)
    places = torch.tensor([[0.3, -0.8], [-1.0, 1.0]])[: size[0]] if len(size) == 4 else torch.tensor([0.1, 0.9])
    for _ in range(2):
        x = randn(*size)
        output = layer.forward([x, places])
        g = randn(*output.shape)
        gradInput, gradPlaces = layer.backward([x, places], g)
        assert gradInput.shape == x.shape and gradPlaces.shape == places.shape and not gradPlaces.any()
        assert torch.allclose((output * g).sum(), (x * gradInput).sum(), rtol=1e-10)
        size = (*size[:-1], size[-1] + 2)


@pytest.mark.parametrize("scale", [None, [0.5, 1.2]])
def test_crops_are_linear_in_the_images(scale):
    layer = dpnn.SpatialUniformCrop(3, 4, scale)
    for size in ((3, 2, 8, 9), (1, 6, 12), (2, 2, 3, 4) if scale is None else (2, 1, 9, 9)):
        x = randn(*size)
        output = layer.forward(x).clone()
        assert output.shape == (*size[:-2], 3, 4)
        g = randn(*output.shape)
        gradInput = layer.backward(x, g)
        assert gradInput.shape == x.shape and torch.allclose((output * g).sum(), (x * gradInput).sum(), rtol=1e-10)
    layer.evaluate()
    assert torch.equal(
        layer.forward(torch.arange(72.0).view(1, 1, 8, 9)), torch.arange(72.0).view(1, 1, 8, 9)[..., 2:5, 2:6]
    )
    with pytest.raises(luann.ShapeError, match="3 x 4"):
        layer.forward(randn(1, 1, 2, 8))


def test_a_glimpse_of_the_first_versions(tmp_path):
    layer = dpnn.SpatialGlimpse(2, 2)
    input = [randn(1, 1, 6, 6), torch.zeros(1, 2)]
    wanted = layer.forward(input).clone()
    layer.size = 2
    for name in ("height", "width", "modules"):
        del layer.__dict__[name]
    luann.save(tmp_path / "net.t7", layer)
    assert torch.equal(luann.load(tmp_path / "net.t7").forward(input), wanted)


def test_binary_weights_come_back():
    layer, x = dpnn.SpatialBinaryConvolution(2, 3, 3, 3), randn(2, 2, 5, 5)
    weight = layer.weight.clone()
    signs, sizes = (weight >= 0) * 2.0 - 1, weight.abs().mean((1, 2, 3))
    wanted = torch.conv2d(x, signs * sizes.view(-1, 1, 1, 1))
    assert torch.allclose(layer.forward(x), wanted, rtol=1e-10) and torch.equal(layer.weight, signs)
    layer.zeroGradParameters()
    layer.backward(x, wanted)
    assert torch.equal(layer.weight, weight)
    layer.evaluate()
    assert torch.allclose(layer.forward(x), wanted, rtol=1e-10) and torch.equal(layer.weight, weight)


def test_region_dropout_of_a_thin_edge():
    layer, x = dpnn.SpatialRegionDropout(0.1), randn(2, 4, 4)
    assert torch.allclose(layer.forward(x), x / 0.9)  # a tenth of four rows is none; Torch7 fails
    layer.evaluate()
    assert torch.equal(layer.forward(x), x)
    with pytest.raises(luann.ModuleError, match="training"):
        layer.backward(x, x)


def test_a_fire_module_of_the_first_versions(tmp_path):
    net, x = dpnn.FireModule(3, 2, 3, 4), randn(1, 3, 4, 4)
    wanted = net.forward(x).clone()
    net.e1x3 = net.e3x3
    del net.modules, net.e3x3
    luann.save(tmp_path / "net.t7", net)
    loaded = luann.load(tmp_path / "net.t7")
    assert loaded.e3x3 == 4 and torch.equal(loaded.forward(x), wanted)
    assert len(loaded.parameters()[0]) == 6


def test_logistic_regression():
    x, t = randn(4, 1), torch.tensor([[1.0], [-1], [1], [1]])
    criterion = dpnn.BinaryLogisticRegression()
    wanted = torch.nn.functional.soft_margin_loss
    assert abs(criterion.forward(x, t) - wanted(x, t).item()) < 1e-12
    (g,) = autograd(lambda x: wanted(x, t), x)
    assert torch.allclose(criterion.backward(x, t), g, rtol=1e-12)
    with pytest.raises(luann.ShapeError):
        criterion.forward(randn(2, 2), randn(2, 2))
    with pytest.raises(luann.ShapeError):
        dpnn.SpatialBinaryLogisticRegression().forward(randn(2, 2, 2), randn(2, 2, 2))


@pytest.mark.parametrize("make", [dpnn.CategoricalEntropy, dpnn.ReinforceCategorical])
@pytest.mark.parametrize("input", [None, [1], "x"])
def test_an_input_that_is_no_tensor(make, input):
    with pytest.raises(luann.TensorTypeError, match=f"nn.{make.__name__}: input must be a tensor"):
        make().forward(input)


@pytest.mark.parametrize("input", [None, [None, None], [torch.ones(2, 3), [1, 2]], torch.ones(2, 3)])
def test_an_input_of_NCEModule_that_is_no_pair(input):
    with pytest.raises(luann.ShapeError, match="wanted a list of N x 3 and N targets, got"):
        dpnn.NCEModule(3, 4, 2, torch.ones(4)).forward(input)


@pytest.mark.parametrize("batchnoise", [True, False])
@pytest.mark.parametrize("wrong", [0, 5, -1])
def test_classes_that_are_not_there(batchnoise, wrong):
    module = dpnn.NCEModule(3, 4, 2, torch.ones(4))
    module.batchnoise = batchnoise
    with pytest.raises(luann.ArgumentError, match=f"a target is {wrong}: classes count from 1 to 4"):
        module.forward([torch.ones(2, 3), torch.tensor([1, wrong])])


@pytest.mark.parametrize(
    ("module", "input"),
    [
        (dpnn.SpatialGlimpse(2, 2), [torch.rand(2, 3, 8, 8), torch.tensor([[0.0, 0.5], [-1, 1]])]),
        (dpnn.SpatialGlimpse(2, 2), [torch.rand(3, 8, 8), torch.tensor([0.0, 0.5])]),
        (dpnn.ReinforceNormal(), [torch.rand(2, 3), torch.rand(2, 3) + 1]),
        (dpnn.ReinforceGamma(), [torch.rand(2, 3) + 1, torch.rand(2, 3) + 1]),
    ],
)
def test_backward_after_clearState(module, input, tmp_path):
    def gradients(module):
        luann.manualSeed(1)
        gradOutput = torch.ones_like(module.forward(input))
        if isinstance(module, dpnn.Reinforce):
            module.reinforce(torch.ones(2))
        return [grad.clone() for grad in module.backward(input, gradOutput)]

    module.float()
    input = [t.float() for t in input]
    wanted = gradients(module)
    luann.save(tmp_path / "cleared.t7", module.clearState())
    for cleared in module, luann.load(tmp_path / "cleared.t7"):
        torch.testing.assert_close(gradients(cleared), wanted)
