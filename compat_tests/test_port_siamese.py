"""The worked port in porting_guide/siamese: its numbers, beside the same training in plain PyTorch with autograd."""

import ports
import pytest
import torch

import luann

OPTIONS = "-data", ports.DIGITS, "-epochs", 3, "-batches", 20, "-batchSize", 32
HINGE = "-loss", "hinge", "-margin", 1


@pytest.fixture(scope="module", params=["cosine", "hinge"])
def run(request, tmp_path_factory):
    """The folder and the variables of a short run of train.py with either criterion."""
    folder = tmp_path_factory.mktemp("siamese")
    return folder, ports.run(folder, "siamese/train.py", *OPTIONS, *(HINGE if request.param == "hinge" else ()))


def draw_batch(labels, size):
    """The places of two lists of images, drawn from luann's stream as train.py draws them."""
    integer = luann.random.random
    places = []
    for k in range(size):
        one = two = integer(10)
        while k % 2 and one == two:
            two = integer(10)
        members = [(labels == digit - 1).nonzero().flatten() for digit in (one, two)]
        places.append([int(among[integer(len(among)) - 1]) for among in members])
    return torch.tensor(places).unbind(1)


def test_all_losses_equal_those_of_plain_pytorch_with_autograd(run):
    folder, names = run
    opt = names["opt"]
    torch.set_default_dtype(torch.float64)
    luann.manualSeed(opt.seed)
    data = torch.tensor(ports.numbers(ports.DIGITS))
    images, labels = data[:, :64] / 16, data[:, 64]
    net = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, opt.code))
    with torch.no_grad():
        for layer in (net[0], net[2]):
            luann.random.uniform(layer.weight, -(64**-0.5), 64**-0.5)
            luann.random.uniform(layer.bias, -(64**-0.5), 64**-0.5)
    sgd = torch.optim.SGD(net.parameters(), momentum=opt.momentum, dampening=opt.momentum)
    f, wanted = torch.nn.functional, []
    targets = torch.tensor([1.0, -1.0]).repeat(opt.batchSize // 2)
    for _ in range(opt.epochs * opt.batches):
        sgd.param_groups[0]["lr"] = opt.learningRate / (1 + len(wanted) * opt.learningRateDecay)
        sgd.zero_grad()
        a, b = (net(images[places]) for places in draw_batch(labels[: opt.trainSize], opt.batchSize))
        if opt.loss == "hinge":
            loss = f.hinge_embedding_loss((a - b).norm(2, 1), targets, opt.margin)
        else:
            loss = f.cosine_embedding_loss(a, b, targets, opt.margin)
        loss.backward()
        sgd.step()
        wanted.append(loss.item())
    got = [row[1] for row in ports.numbers(folder / "run" / "losses.csv")]
    assert len(got) == 60
    # the slope of Torch7's PairwiseDistance has 1e-6 added to the distance that it is divided by
    rtol = 1e-4 if opt.loss == "hinge" else 1e-8
    torch.testing.assert_close(torch.tensor(got), torch.tensor(wanted), rtol=rtol, atol=0)

    with torch.no_grad():
        codes = net(images)
        if opt.loss == "cosine":
            codes = f.normalize(codes)
        nearest = torch.cdist(codes[opt.trainSize :], codes[: opt.trainSize]).argmin(1)
    assert names["accuracy"] == (labels[nearest] == labels[opt.trainSize :]).double().mean().item()


def test_its_numbers(run):
    folder, names = run
    first, last, accuracy = {
        "cosine": (0.37712187521953144, 0.19097638892461102, 251),
        "hinge": (0.4556806345584332, 0.2693627654764723, 251),
    }[names["opt"].loss]
    losses = ports.numbers(folder / "run" / "losses.csv")
    assert losses[0] == pytest.approx([1, first], rel=1e-9)
    assert losses[-1] == pytest.approx([20, last], rel=1e-6)
    assert names["accuracy"] * 297 == pytest.approx(accuracy)
    log = (folder / "run" / "train.log").read_text().splitlines()
    assert log[0].split() == ["loss", "nearest"]
    assert [float(number) for number in log[-1].split()] == pytest.approx([names["loss"], names["accuracy"]], rel=1e-4)


def test_the_net_reloads_and_its_branches_share_their_parameters(run):
    folder, names = run
    loaded = luann.load(folder / "run" / "model.t7")
    one, two = loaded.get(1).modules
    for kind in zip(one.parameters(), two.parameters(), strict=True):
        assert all(a.data_ptr() == b.data_ptr() for a, b in zip(*kind, strict=True))
    assert loaded.getParameters()[0].numel() == names["parameters"].numel()
    assert torch.equal(one.forward(names["images"]), names["branch"].forward(names["images"]))


def test_the_port_stands_beside_the_script_line_by_line():
    ports.check_alignment("siamese/train")
