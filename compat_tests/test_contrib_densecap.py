import pytest
import records
import torch
import torch.nn.functional as F
from against_autograd import same, same_loss

import luann
from luann import nn
from luann.contrib import densecap, stn, torch_rnn
from luann.contrib.densecap import regions


@records.of(
    "rocks/densecap",
    "ApplyBoxTransform",
    "BatchBilinearSamplerBHWD",
    "BilinearRoiPooling",
    "BoxIoU",
    "BoxToAffine",
    "InvertBoxTransform",
    "LogisticCriterion",
    "MakeAnchors",
    "MakeBoxes",
    "RegularizeLayer",
    "ReshapeBoxFeatures",
)
def test_record(case):
    records.check(case)


@pytest.fixture(autouse=True)
def double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(3)
    yield
    torch.set_default_dtype(before)


def boxes(*size):
    return torch.cat((torch.rand(*size, 2) * 4 + 2, torch.rand(*size, 2) * 2 + 1), -1)


def applied(anchors, offsets):
    places = anchors[..., :2] + anchors[..., 2:] * offsets[..., :2]
    return torch.cat((places, anchors[..., 2:] * offsets[..., 2:].exp()), -1)


def inverted(anchors, targets):
    places = (targets[..., :2] - anchors[..., :2]) / anchors[..., 2:]
    return torch.cat((places, (targets[..., 2:] / anchors[..., 2:]).log()), -1)


def test_boxes_agree_with_autograd():
    same(densecap.ApplyBoxTransform(), applied, boxes(2, 3), torch.randn(2, 3, 4))
    flat = lambda a, o: applied(a, o.reshape(a.shape))  # noqa: E731
    same(densecap.ApplyBoxTransform(), flat, boxes(2, 3), torch.randn(6, 4))
    same(densecap.InvertBoxTransform(), inverted, boxes(5), boxes(5))
    sizes = torch.tensor([[3.0, 5, 1], [4, 2, 2]])

    def made(offsets):
        rows = offsets.reshape(2, 3, 4, 2, 5).permute(0, 1, 3, 4, 2)
        x, y = 1 + 2 * torch.arange(5.0), 2 + 3 * torch.arange(2.0)
        anchors = torch.stack(
            [torch.stack((x[j], y[i], *sizes[:, k])) for k in range(3) for i in range(2) for j in range(5)]
        )
        return applied(anchors.reshape(1, 3, 2, 5, 4), rows).reshape(2, 30, 4)

    same(densecap.MakeBoxes(1, 2, 2, 3, sizes), made, torch.randn(2, 12, 2, 5))


def test_boxes_are_given_back_by_the_inverse():
    anchors, targets = boxes(6), boxes(6)
    offsets = densecap.InvertBoxTransform().forward([anchors, targets])
    torch.testing.assert_close(densecap.ApplyBoxTransform().forward([anchors, offsets]), targets)


def test_regions_are_sampled_one_by_one():
    features, regions = torch.randn(3, 6, 7), boxes(4)

    def pooled(features, regions):
        found = []
        for xc, yc, w, h in regions:
            y = (2 * yc - 9) / 7 + torch.linspace(-1, 1, 3) * h / 8
            x = (2 * xc - 11) / 9 + torch.linspace(-1, 1, 4) * w / 10
            points = torch.stack((x.expand(3, 4), y[:, None].expand(3, 4)), -1)
            found.append(F.grid_sample(features[None], points[None], align_corners=True)[0])
        return torch.stack(found)

    same(densecap.BilinearRoiPooling(3, 4).setImageSize(8, 10), pooled, features, regions)
    module = densecap.BilinearRoiPooling(3, 4)
    with pytest.raises(luann.Error, match="call setImageSize"):
        module.forward([features, regions])


def test_one_image_at_many_grids_is_many_images():
    image, grids = torch.randn(4, 5, 2), torch.rand(3, 2, 6, 2) * 3 - 1.5
    many = stn.BilinearSamplerBHWD()
    images = image.expand(3, -1, -1, -1)
    output, g = many.forward([images, grids]), torch.randn(3, 2, 6, 2)
    gradImages, gradGrids = many.backward([images, grids], g)
    for module in densecap.BatchBilinearSamplerBHWD(), densecap.NaiveBatchBilinearSamplerBHWD():
        torch.testing.assert_close(module.forward([image, grids]), output)
        torch.testing.assert_close(module.backward([image, grids], g), [gradImages.sum(0), gradGrids])


def test_criterions_agree_with_autograd():
    def logistic(x, target):
        return F.binary_cross_entropy_with_logits(x, F.one_hot(target, 5)[:, 1:].double())

    same_loss(densecap.LogisticCriterion(), logistic, torch.randn(6, 4) * 3, torch.tensor([0, 1, 4, 2, 0, 3]))
    for n in 1, 4:
        target = torch.randint(1, 4, (n,))
        same_loss(
            densecap.OurCrossEntropyCriterion(), lambda x, t: F.cross_entropy(x, t - 1), torch.randn(n, 3), target
        )
    anchors, targets, offsets = boxes(5), boxes(5), torch.randn(5, 4)

    def regression(input, target):
        loss = F.smooth_l1_loss(input[1], inverted(input[0], target), reduction="none")
        near = (inverted(anchors, targets).abs() <= 10).all(1, keepdim=True)
        return 3 * (loss * near).mean()

    same_loss(densecap.BoxRegressionCriterion(3), regression, [anchors, offsets], targets)
    anchors[1, 2] = 0.01
    kept = offsets.clone()
    with pytest.warns(UserWarning, match="1 boxes too far"):
        criterion = densecap.BoxRegressionCriterion(3)
        wanted = regression([anchors, offsets], targets)
        torch.testing.assert_close(torch.tensor(criterion.forward([anchors, offsets], targets)), wanted)
    assert torch.equal(offsets, kept)
    assert not criterion.backward([anchors, offsets], targets)[1][1].any()


def test_scores_may_be_large():
    x = torch.tensor([[1000.0, -800], [-900, 750]])
    criterion = densecap.LogisticCriterion()
    assert criterion.forward(x, torch.tensor([1, 1])) == (0 + 0 + 900 + 750) / 4
    assert criterion.backward(x, torch.tensor([1, 1])).tolist() == [[0, 0], [-0.25, 0.25]]
    assert criterion.forward(x.float(), torch.tensor([2, 0])) == (1000 + 800 + 0 + 750) / 4


def test_targets_that_are_no_class_are_told():
    with pytest.raises(luann.Error, match="targets are from 0 to 2, got 1 to 3"):
        densecap.LogisticCriterion().forward(torch.randn(2, 2), torch.tensor([1, 3]))


def test_the_penalty_is_in_the_gradient():
    x, g = torch.randn(3, 2), torch.randn(3, 2)
    module = densecap.RegularizeLayer(0.3, 2)
    assert torch.equal(module.forward(x), x)
    assert module.loss == pytest.approx(0.15 * float(x.square().sum()))
    torch.testing.assert_close(module.backward(x, g), 2 * g + 0.3 * x)


def test_boxes_that_overlap_a_better_one_go():
    boxes = torch.tensor([[1.0, 1, 10, 10], [2, 2, 11, 11], [30, 30, 40, 40], [1, 1, 10, 9], [30, 30, 41, 40]])
    scores = torch.tensor([0.5, 0.9, 0.1, 0.8, 0.2])
    assert regions.nms(boxes, scores, 0.5).tolist() == [1, 4]
    # the fourth overlaps the second by 72 of 118, the first the fourth by 90 of 100
    assert regions.nms(boxes, scores, 0.65).tolist() == [1, 3, 4]
    assert regions.nms(boxes, scores, 0.65, 2).tolist() == [1, 3]
    assert regions.nms(boxes[:0], scores[:0], 0.5).tolist() == []


def test_boxes_are_cut_to_the_image():
    found, valid = regions.clipped(torch.tensor([[5.0, 5, 3, 5], [1, 1, 5, 5], [50, 5, 3, 3], [9, 9, 10, 2]]), 10, 20)
    # from the corners (4, 3, 6, 7), (-1, -1, 3, 3), (49, 4, 51, 6), (4.5, 8.5, 13.5, 9.5)
    assert found.tolist() == [[5, 5, 2, 4], [2, 2, 2, 2], [19.5, 5, 1, 2], [9, 9, 9, 1]]
    assert valid.all()


def test_sampling_takes_what_fits_and_what_does_not():
    truth = torch.tensor([[[10.0, 10, 9, 9], [40, 40, 9, 9]]])
    # fits, fits in part only, is the best for the second although it hardly does, is far, reaches beyond the image
    given = torch.tensor([[[10.0, 10, 9, 9], [13, 10, 9, 9], [44, 44, 9, 9], [25, 25, 5, 5], [1, 1, 9, 9]]])
    sampler = densecap.BoxSampler({"batch_size": 8})
    sampler.setBounds({"x_min": 1, "y_min": 1, "x_max": 50, "y_max": 50})
    luann.manualSeed(1)
    fits, which, fails = sampler.forward([given, truth])
    assert dict(zip(fits.tolist(), which.tolist())) == {1: 1, 3: 2}
    assert set(fails.tolist()) == {4}
    assert len(fits) + len(fails) == 8
    helper = densecap.BoxSamplerHelper({"box_sampler": sampler})
    labels, features = torch.arange(6.0).view(1, 2, 3), torch.randn(1, 5, 2)
    luann.manualSeed(1)
    positive, targets, negative = helper.forward([[given, features], [truth, labels]])
    assert torch.equal(positive[1], features[0][fits - 1])
    assert torch.equal(targets[1], labels[0][which - 1])
    assert torch.equal(negative[0], given[0][fails - 1])
    g = torch.randn(2, 2)
    boxes, back = helper.backward([[given, features], [truth, labels]], [[None, g], [None, None]])
    assert not boxes.any()
    assert torch.equal(back[0][fits - 1], g)
    assert not back[0, [1, 3, 4]].any()


def test_only_rows_with_ground_truth():
    x, g = torch.randn(5, 3), torch.randn(2, 3)
    slicer = densecap.PosSlicer()
    assert torch.equal(slicer.forward([x, torch.ones(2, 4)]), x[:2])
    grads = slicer.backward([x, torch.ones(2, 4)], g)
    assert torch.equal(grads[0], torch.cat((g, torch.zeros(3, 3))))
    assert not grads[1].any()
    assert torch.equal(slicer.forward([x, torch.empty(0)]), x)


OPTIONS = {
    "input_dim": 3,
    "output_height": 2,
    "output_width": 3,
    "field_centers": [2, 2, 4, 4],
    "backend": "nn",
    "rpn_num_filters": 4,
    "zero_box_conv": False,
    "std": 0.1,
    "sampler_batch_size": 10,
    "box_reg_decay": 0.05,
    "mid_box_reg_weight": 0.7,
    "mid_objectness_weight": 0.4,
    "anchors": torch.tensor([[6.0, 9], [8, 5]]),
}
TRUTH = torch.tensor([[[9.0, 10, 7, 8], [20, 17, 9, 6]]])
LABELS = torch.tensor([[[1.0, 2, 0], [3, 0, 0]]])


def slope(function, tensors, grads):
    """The directional derivative by differences, and what the gradients say it is."""
    steps = [torch.randn_like(t) for t in tensors]
    found = []
    for sign in 1e-5, -1e-5:
        for t, s in zip(tensors, steps):
            t.add_(s, alpha=sign)
        found.append(function())
        for t, s in zip(tensors, steps):
            t.sub_(s, alpha=sign)
    return (found[0] - found[1]) / 2e-5, sum(float((g * s).sum()) for g, s in zip(grads, steps))


def test_localization_agrees_with_differences():
    layer, x = densecap.LocalizationLayer(OPTIONS), torch.randn(1, 3, 7, 6)
    weights = [torch.randn(10, 3, 2, 3), torch.randn(10, 4)]

    def total():
        luann.manualSeed(4)
        layer.setImageSize(28, 24)
        layer.setGroundTruth(TRUTH, LABELS)
        output = layer.forward(x)
        return sum(float((w * y).sum()) for w, y in zip(weights, output)) + layer.stats.losses.total_loss

    total()
    assert [tuple(t.shape) for t in layer.output[:2]] == [(10, 3, 2, 3), (10, 4)]
    count = len(layer.output[2])
    assert {tuple(row) for row in layer.output[2].tolist()} <= {tuple(row) for row in TRUTH[0].tolist()}
    layer.zeroGradParameters()
    gradInput = layer.backward(x, [*weights, torch.zeros(count, 4), torch.zeros(count, 3)])
    parameters, grads = layer.parameters()
    wanted, found = slope(total, [x, *parameters], [gradInput, *grads])
    assert found == pytest.approx(wanted, rel=1e-6)
    layer.backward(x, [*weights, None, None])
    with pytest.raises(luann.Error, match="setImageSize and setGroundTruth before every forward"):
        layer.backward(x, [*weights, None, None])


def test_localization_proposes():
    layer, x = densecap.LocalizationLayer(OPTIONS), torch.randn(1, 3, 7, 6)
    layer.evaluate()
    layer.setTestArgs({"nms_thresh": 0.4, "max_proposals": 5})
    layer.setImageSize(28, 24)
    pooled, found, *empty = layer.forward(x)
    assert (pooled.shape, found.shape) == ((5, 3, 2, 3), (5, 4))
    assert [t.numel() for t in empty] == [0, 0]
    low, high = found[:, :2] - found[:, 2:] / 2, found[:, :2] + found[:, 2:] / 2
    assert (low >= 1).all()
    assert (high <= torch.tensor([24.0, 28])).all()
    again = layer.nets.roi_pooling.setImageSize(28, 24).forward([x[0], found])
    torch.testing.assert_close(again, pooled)
    with pytest.raises(luann.Error, match=r"call setImageSize\(image_height, image_width\) before every forward"):
        layer.forward(x)


WORDS = {"vocab_size": 4, "input_encoding_size": 3, "image_vector_dim": 5, "rnn_size": 6, "seq_length": 4}


def language_model():
    return densecap.LanguageModel({**WORDS, "idx_to_token": ["a", "b", "c", "d"], "num_layers": 2})


def test_captions_are_those_of_torch_s_lstm():
    model = language_model()
    vectors, captions = torch.randn(2, 5), torch.tensor([[1, 4, 0], [2, 0, 0]])
    encoder, table = model.image_encoder.modules[0], model.lookup_table.weight
    layers, last = model._lstms(), model.rnn.modules[-2]

    def scored(vectors):
        words = torch.tensor([[5, 1, 4, 6], [5, 2, 6, 6]])
        x = torch.cat(((vectors @ encoder.weight.t() + encoder.bias).relu()[:, None], table[words - 1]), 1)
        for layer in layers:
            size, D = layer.hidden_dim, layer.input_dim
            h = c = x.new_zeros(2, size)
            rows = []
            for step in x.unbind(1):
                i, f, o, g = (step @ layer.weight[:D] + h @ layer.weight[D:] + layer.bias).chunk(4, 1)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = o.sigmoid() * c.tanh()
                rows.append(h)
            x = torch.stack(rows, 1)
        return x @ last.weight.t() + last.bias

    with torch.enable_grad():
        leaves = [p.requires_grad_() for p in model.parameters()[0]]
        x = vectors.clone().requires_grad_()
        wanted = scored(x)
        g = torch.randn_like(wanted)
        grads = torch.autograd.grad(wanted, [x, *leaves], g)
    for p in leaves:
        p.requires_grad_(False)
    torch.testing.assert_close(model.forward([vectors, captions]), wanted.detach())
    model.zeroGradParameters()
    torch.testing.assert_close(model.backward([vectors, captions], g)[0], grads[0])
    torch.testing.assert_close(model.parameters()[1], list(grads[1:]))
    assert model.getTarget(captions).tolist() == [[0, 1, 4, 5, 0], [0, 2, 5, 0, 0]]
    assert model.decodeSequence(torch.tensor([[1, 3, 5, 2], [4, 0, 1, 1]])) == ["a c", "d"]


def test_words_are_the_most_probable_ones():
    model, vectors = language_model(), torch.randn(3, 5)
    for p in model.parameters()[0]:
        p.normal_()
    words = model.forward([vectors, torch.empty(0)])
    scores = model.forward([vectors, words])
    assert torch.equal(scores[:, 1:-1].argmax(2) + 1, words)
    model.sample_argmax = False
    luann.manualSeed(1)
    assert model.forward([vectors, torch.empty(0)]).shape == (3, 4)
    with pytest.raises(luann.Error, match="no gradient goes through sampled words"):
        model.backward([vectors, torch.empty(0)], scores)


def test_beam_search_finds_the_most_probable_words():
    model = densecap.LanguageModel({**WORDS, "idx_to_token": ["a", "b", "c", "d"], "seq_length": 2})
    for p in model.parameters()[0]:
        p.normal_()
    model.beam_size = 5  # all words there are: with two words nothing is left out
    encoder, table = model.image_encoder.modules[0], model.lookup_table.weight
    layer, last = model._lstms()[0], model.rnn.modules[-2]

    def step(x, h, c):
        i, f, o, g = (x @ layer.weight[:3] + h @ layer.weight[3:] + layer.bias).chunk(4)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c

    vectors = torch.randn(6, 5)
    wanted = []
    for vector in vectors:
        h, c = step((encoder.weight @ vector + encoder.bias).relu(), torch.zeros(6), torch.zeros(6))
        h, c = step(table[4], h, c)
        first = (last.weight @ h + last.bias).log_softmax(0)
        chances = []
        for word in range(5):
            second = (last.weight @ step(table[word], c, c)[0] + last.bias).log_softmax(0)
            chances.append(first[word] + (second if word < 4 else 0 * second))
        best = int(torch.stack(chances).argmax())
        wanted.append([best // 5 + 1, best % 5 + 1])
    found = model.forward([vectors, torch.empty(0)]).tolist()
    assert model.decodeSequence(torch.tensor(found)) == model.decodeSequence(torch.tensor(wanted))
    assert len({tuple(row) for row in found}) > 1
    model.beam_size = None
    assert model.forward([vectors, torch.empty(0)]).shape == (6, 2)


def whole_model():
    """A DenseCapModel of its own parts, as densecap puts them together."""
    model = densecap.DenseCapModel.__new__(densecap.DenseCapModel)
    options = luann.Table({**OPTIONS, "final_nms_thresh": 0.3, "end_box_reg_weight": 0.6})
    options.update(end_objectness_weight=0.3, captioning_weight=0.2)
    nets = luann.Table(
        conv_net1=nn.Sequential().add(nn.SpatialConvolution(3, 2, 3, 3, 2, 2, 1, 1)).add(nn.Tanh()),
        conv_net2=nn.Sequential().add(nn.SpatialConvolution(2, 3, 3, 3, 2, 2, 1, 1)).add(nn.Tanh()),
        localization_layer=densecap.LocalizationLayer(options),
        recog_base=nn.Sequential().add(nn.View(-1).setNumInputDims(3)).add(nn.Linear(18, 5)).add(nn.Tanh()),
        objectness_branch=nn.Linear(5, 1),
        box_reg_branch=nn.Linear(5, 4),
        language_model=densecap.LanguageModel({**WORDS, "idx_to_token": ["a", "b", "c", "d"]}),
    )
    features, boxes, truth, labels = (nn.Identity()() for _ in range(4))
    codes = nets.recog_base(features)
    positive, rows = densecap.PosSlicer()([codes, labels]), densecap.PosSlicer()([boxes, truth])
    offsets = nets.box_reg_branch(positive)
    final = densecap.ApplyBoxTransform()([rows, offsets])
    words = nets.language_model([positive, labels])
    outputs = [nets.objectness_branch(codes), rows, offsets, final, words, truth, labels]
    nets.recog_net = nn.gModule([features, boxes, truth, labels], outputs)
    net = nn.Sequential().add(nets.conv_net1).add(nets.conv_net2).add(nets.localization_layer).add(nets.recog_net)
    crits = luann.Table(
        objectness_crit=densecap.LogisticCriterion(),
        box_reg_crit=densecap.BoxRegressionCriterion(0.6),
        lm_crit=torch_rnn.TemporalCrossEntropyCriterion(),
    )
    model.__dict__.update(net=net, nets=nets, crits=crits, opt=options, finetune_cnn=True)
    return model


def test_the_whole_model_agrees_with_differences():
    model, image = whole_model(), torch.randn(1, 3, 28, 24)
    data = {"image": image, "gt_boxes": TRUTH, "gt_labels": LABELS}
    params, grads, cnn_params, cnn_grads = model.getParameters()
    regularized = model.nets.localization_layer

    def total():
        luann.manualSeed(4)
        losses = model.forward_backward(data)
        # the penalty of the layer is not among the losses that are given back, but its gradient is there
        return losses.total_loss + regularized.stats.losses.box_decay_loss

    grads.zero_()
    cnn_grads.zero_()
    total()
    kept = [grads.clone(), cnn_grads.clone()]
    wanted, found = slope(total, [params, cnn_params], kept)
    assert found == pytest.approx(wanted, rel=1e-6)


def test_the_whole_model_describes_an_image(tmp_path):
    model, image = whole_model(), torch.randn(1, 3, 28, 24)
    model.setTestArgs({"num_proposals": 6})
    found, scores, captions = model.forward_test(image)
    assert found.shape == (len(captions), 4)
    assert scores.shape == (len(captions), 1)
    assert scores[:, 0].tolist() == sorted(scores[:, 0].tolist(), reverse=True)
    assert set(" ".join(captions).split()) <= set("abcd")
    places, features = model.extractFeatures(image)
    torch.testing.assert_close(places, found)
    assert features.shape == (len(captions), 5)
    model.clearState()
    luann.save(tmp_path / "m.t7", {"model": model})
    again = luann.load(tmp_path / "m.t7")["model"]
    assert type(again) is densecap.DenseCapModel
    assert type(again.nets.language_model) is densecap.LanguageModel
    boxes_again, _, words_again = again.forward_test(image)
    torch.testing.assert_close(boxes_again, found)
    assert words_again == captions
    with pytest.raises(luann.Error, match="loaded from a file"):
        densecap.DenseCapModel({})


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: densecap.LanguageModel(None), "nn.LanguageModel: wants a table of options"),
        (lambda: densecap.LanguageModel(WORDS), "'idx_to_token' is missing"),
        (lambda: densecap.LanguageModel({**WORDS, "rnn_size": "x"}), "rnn_size must be a whole number"),
        (lambda: densecap.LocalizationLayer(None), "nn.LocalizationLayer: wants a table of options"),
        (lambda: densecap.LocalizationLayer({}), "nn.LocalizationLayer: 'input_dim' is missing"),
        (lambda: densecap.LocalizationLayer({**OPTIONS, "field_centers": 3}), "field_centers must be a list of 4"),
        (
            lambda: densecap.LocalizationLayer({**OPTIONS, "anchors": torch.ones(3)}),
            "anchors must be a tensor of 2 x k",
        ),
        (lambda: densecap.LocalizationLayer({**OPTIONS, "std": "x"}), "std must be a number"),
        (lambda: densecap.MakeAnchors(1, 1, 1, 1, None), "nn.MakeAnchors: anchors must be a tensor of 2 x k"),
        (lambda: densecap.MakeBoxes(1, 1, 1, 1, torch.ones(3)), "nn.MakeBoxes: anchors must be a tensor of 2 x k"),
        (lambda: densecap.BoxSampler("x"), "nn.BoxSampler: wants a table"),
        (lambda: densecap.BoxSamplerHelper({"batch_size": 0}), "batch_size must be a whole number"),
        (lambda: densecap.RegularizeLayer(1, "x"), "gradMul must be a number"),
    ],
)
def test_wrong_arguments(make, match):
    with pytest.raises(luann.ArgumentError, match=match):
        make()
