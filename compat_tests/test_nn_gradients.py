"""Finite differences over every class of nn, at shapes and settings that hypothesis chooses.

Along a random direction, the slope of ``<output, gradOutput>`` has to be ``<gradInput, direction>``, and the same for
the parameters.
"""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import luann
from luann import nn


class Draw:
    """What hypothesis chooses, in the words of the cases below."""

    def __init__(self, data):
        self.data = data

    def size(self, low=1, high=4):
        return self.data.draw(st.integers(low, high))

    def maybe(self):
        return self.data.draw(st.booleans())

    def one_of(self, *values):
        return self.data.draw(st.sampled_from(values))

    def any(self, *fixed):
        """A tensor of one to four dimensions."""
        return torch.randn([self.size() for _ in range(self.size(1, 4))])

    def batch(self, *sizes):
        """A tensor of these sizes, perhaps with a batch dimension in front."""
        return torch.randn(*([self.size()] if self.maybe() else []), *sizes)

    def rows(self, *sizes):
        """A batch of at least two samples."""
        return torch.randn(self.size(2, 4), *sizes)

    def image(self, planes, low=5, high=8):
        return self.batch(planes, self.size(low, high), self.size(low, high))

    def volume(self, planes, low=4, high=6):
        return self.batch(planes, self.size(low, high), self.size(low, high), self.size(low, high))

    def pair(self, make=None):
        x = self.any() if make is None else make()
        return [x, torch.randn(x.shape)]


def pointwise(name, *args, positive=False):
    def case(d):
        x = d.any()
        return getattr(nn, name)(*args), x.abs() + 0.1 if positive else x

    return case


def table(name, count=2, *args, positive=False):
    def case(d):
        x = d.any()
        tensors = [x, *(torch.randn(x.shape) for _ in range(count - 1))]
        return getattr(nn, name)(*args), [t.abs() + 0.5 for t in tensors] if positive else tensors

    return case


def spatial_conv(cls, *more):
    def case(d):
        i, o, k = d.size(1, 3), d.size(1, 3), d.size(1, 3)
        args = (i, o, k, d.size(1, 3), d.size(1, 2), d.size(1, 2), d.size(0, 1), d.size(0, 1))
        return getattr(nn, cls)(*args, *more), d.image(i)

    return case


def volumetric_conv(cls, *more):
    def case(d):
        i, o = d.size(1, 2), d.size(1, 2)
        k = [d.size(1, 2) for _ in range(3)]
        return getattr(nn, cls)(i, o, *k, 1, d.size(1, 2), 1, 0, 1, 0, *more), d.volume(i)

    return case


def spatial_pool(cls, *more):
    def case(d):
        k = d.size(2, 3), d.size(2, 3)
        m = getattr(nn, cls)(*k, d.size(1, 2), d.size(1, 2), d.size(0, 1), d.size(0, 1), *more)
        return (m.ceil() if d.maybe() else m), d.image(d.size())

    return case


def linear(cls, *more):
    def case(d):
        i, o = d.size(), d.size()
        return getattr(nn, cls)(i, o, *more), d.batch(i)

    return case


def between(cls, make):
    """A module around an inner one."""

    def case(d):
        x = d.batch(3)
        return make(), x

    return case


def mlp():
    return nn.Sequential().add(nn.Linear(3, 4)).add(nn.Tanh())


CASES = {
    # containers
    "Bottle": lambda d: (nn.Bottle(nn.Linear(3, 2)), torch.randn(d.size(), d.size(), 3)),
    "Concat": lambda d: (nn.Concat(2).add(nn.Linear(3, 2)).add(nn.Linear(3, 4)), d.rows(3)),
    "Decorator": between("Decorator", lambda: nn.Decorator(mlp())),
    "DepthConcat": lambda d: (
        nn.DepthConcat(1).add(nn.SpatialConvolution(2, 2, 1, 1)).add(nn.SpatialConvolution(2, 1, 3, 3)),
        torch.randn(2, d.size(5, 7), d.size(5, 7)),
    ),
    "DontCast": between("DontCast", lambda: nn.DontCast(mlp())),
    "MapTable": lambda d: (nn.MapTable(nn.Linear(3, 2)), [d.batch(3) for _ in range(d.size())]),
    "NaN": between("NaN", lambda: nn.NaN(mlp())),
    "Parallel": lambda d: (nn.Parallel(1, 1).add(nn.Linear(3, 2)).add(nn.Linear(3, 1)), torch.randn(2, 3)),
    "Sequential": lambda d: (mlp().add(nn.Linear(4, 2)), d.batch(3)),
    "WeightNorm": lambda d: (nn.WeightNorm(nn.Linear(3, 2)), d.batch(3)),
    # table layers
    "CAddTable": table("CAddTable", 3),
    "CAddTensorTable": lambda d: (
        nn.CAddTensorTable(),
        [torch.randn(4), [torch.randn(4) for _ in range(d.size())]],
    ),
    "CDivTable": table("CDivTable", 2, positive=True),
    "CMaxTable": table("CMaxTable", 3),
    "CMinTable": table("CMinTable", 3),
    "CMulTable": table("CMulTable", 3),
    "CSubTable": table("CSubTable", 2),
    "ConcatTable": lambda d: (nn.ConcatTable().add(mlp()).add(nn.Identity()), d.batch(3)),
    "CosineDistance": lambda d: (nn.CosineDistance(), d.pair(lambda: d.batch(3))),
    "DotProduct": lambda d: (nn.DotProduct(), d.pair(lambda: d.batch(3))),
    "FlattenTable": lambda d: (nn.FlattenTable(), [d.any(), [d.any(), [d.any()]]]),
    "JoinTable": lambda d: (nn.JoinTable(1), [torch.randn(d.size(), 2), torch.randn(d.size(), 2)]),
    "MM": lambda d: (nn.MM(), [torch.randn(2, d.size(1, 1), 3), torch.randn(2, 3, d.size())]),
    "MV": lambda d: (nn.MV(), [torch.randn(2, d.size(), 3), torch.randn(2, 3)]),
    "MixtureTable": lambda d: (nn.MixtureTable(), [torch.randn(2, 3), [torch.randn(2, 4) for _ in range(3)]]),
    "NarrowTable": lambda d: (nn.NarrowTable(1, 2), [d.any(), d.any(), d.any()]),
    "PairwiseDistance": lambda d: (nn.PairwiseDistance(d.one_of(1, 2, 3)), d.pair(lambda: d.batch(3))),
    "ParallelTable": lambda d: (nn.ParallelTable().add(mlp()).add(nn.Tanh()), [d.batch(3), d.any()]),
    "SelectTable": lambda d: (nn.SelectTable(d.one_of(1, 2, -1)), [d.any(), d.any()]),
    "SplitTable": lambda d: (nn.SplitTable(d.one_of(1, 2, -1)), torch.randn(d.size(), d.size())),
    "ZipTable": lambda d: (nn.ZipTable(), [[d.any(), d.any()], [d.any(), d.any()]]),
    "ZipTableOneToMany": lambda d: (nn.ZipTableOneToMany(), [d.any(), [d.any(), d.any()]]),
    # transfer functions
    "CReLU": lambda d: (nn.CReLU(1), d.batch(3)),
    "ELU": pointwise("ELU", 0.7),
    "GatedLinearUnit": lambda d: (nn.GatedLinearUnit(1), torch.randn(2 * d.size(), d.size())),
    "HardShrink": pointwise("HardShrink", 0.3),
    "HardTanh": pointwise("HardTanh", -0.6, 0.8),
    "LeakyReLU": pointwise("LeakyReLU", 0.1),
    "LogSigmoid": pointwise("LogSigmoid"),
    "LogSoftMax": pointwise("LogSoftMax"),
    "Maxout": lambda d: (nn.Maxout(3, 2, 3), d.rows(3)),
    "PReLU": pointwise("PReLU"),
    "RReLU": pointwise("RReLU"),
    "ReLU": pointwise("ReLU"),
    "ReLU6": pointwise("ReLU6"),
    "Sigmoid": pointwise("Sigmoid"),
    "SoftMax": pointwise("SoftMax"),
    "SoftMin": pointwise("SoftMin"),
    "SoftPlus": pointwise("SoftPlus", 1.5),
    "SoftShrink": pointwise("SoftShrink", 0.3),
    "SoftSign": pointwise("SoftSign"),
    "SpatialLogSoftMax": lambda d: (nn.SpatialLogSoftMax(), d.image(3)),
    "SpatialSoftMax": lambda d: (nn.SpatialSoftMax(), d.image(3)),
    "Tanh": pointwise("Tanh"),
    "TanhShrink": pointwise("TanhShrink"),
    "Threshold": pointwise("Threshold", 0.2, -1),
    # linear layers
    "Bilinear": lambda d: (nn.Bilinear(3, 2, d.size()), (lambda n: [torch.randn(n, 3), torch.randn(n, 2)])(d.size())),
    "Cosine": lambda d: (nn.Cosine(3, d.size()), d.rows(3)),
    "Euclidean": lambda d: (nn.Euclidean(3, d.size()), d.batch(3)),
    "Linear": linear("Linear"),
    "LinearWeightNorm": linear("LinearWeightNorm"),
    "PartialLinear": lambda d: (nn.PartialLinear(3, 4), d.rows(3)),
    "WeightedEuclidean": lambda d: (nn.WeightedEuclidean(3, d.size()), d.batch(3)),
    # pointwise and simple
    "Abs": pointwise("Abs"),
    "Add": lambda d: (nn.Add(3), d.batch(3)),
    "AddConstant": pointwise("AddConstant", 2),
    "CAdd": lambda d: (nn.CAdd(3), d.rows(3)),
    "CMul": lambda d: (nn.CMul(3), d.rows(3)),
    "Clamp": pointwise("Clamp", -0.5, 0.7),
    "Contiguous": pointwise("Contiguous"),
    "Exp": pointwise("Exp"),
    "Identity": pointwise("Identity"),
    "Log": pointwise("Log", positive=True),
    "Mul": pointwise("Mul"),
    "MulConstant": pointwise("MulConstant", 2.5),
    "Power": pointwise("Power", 2.5, positive=True),
    "Sqrt": pointwise("Sqrt", positive=True),
    "Square": pointwise("Square"),
    "Dropout": pointwise("Dropout", 0.4),
    "WhiteNoise": pointwise("WhiteNoise"),
    # normalisation
    "BatchNormalization": lambda d: (nn.BatchNormalization(3), d.rows(3)),
    "LayerNormalization": lambda d: (nn.LayerNormalization(4), d.rows(4)),
    "Normalize": lambda d: (nn.Normalize(d.one_of(1, 2, 3, float("inf"))), d.batch(4)),
    "SpatialBatchNormalization": lambda d: (nn.SpatialBatchNormalization(2), d.rows(2, 3, 3)),
    "SpatialContrastiveNormalization": lambda d: (nn.SpatialContrastiveNormalization(1, torch.ones(3, 3)), d.image(1)),
    "SpatialCrossMapLRN": lambda d: (nn.SpatialCrossMapLRN(3, 0.5, 0.75, 1), d.image(d.size(3, 5))),
    "SpatialDivisiveNormalization": lambda d: (nn.SpatialDivisiveNormalization(2, torch.ones(3, 3)), d.image(2)),
    "SpatialDropout": lambda d: (nn.SpatialDropout(0.4), d.image(4)),
    "SpatialSubtractiveNormalization": lambda d: (nn.SpatialSubtractiveNormalization(2, torch.ones(3, 3)), d.image(2)),
    "VolumetricBatchNormalization": lambda d: (nn.VolumetricBatchNormalization(2), d.rows(2, 2, 2, 2)),
    "VolumetricDropout": lambda d: (nn.VolumetricDropout(0.4), d.volume(4, 1, 2)),
    # shaping and reducing
    "Collapse": lambda d: (nn.Collapse(2), d.batch(2, 3)),
    "Convert": lambda d: (nn.Convert("bchw", "bhwc"), torch.randn(2, 3, d.size(), d.size())),
    "Max": lambda d: (nn.Max(d.one_of(1, 2, -1)), torch.randn(d.size(2), d.size(2))),
    "Mean": lambda d: (nn.Mean(d.one_of(1, 2, -1)), torch.randn(d.size(), d.size())),
    "Min": lambda d: (nn.Min(d.one_of(1, 2, -1)), torch.randn(d.size(2), d.size(2))),
    "Narrow": lambda d: (nn.Narrow(1, 2, 2), torch.randn(d.size(3, 5), d.size())),
    "Padding": lambda d: (nn.Padding(1, d.one_of(-2, 2), 2, 0.5), torch.randn(d.size(), d.size())),
    "Replicate": lambda d: (nn.Replicate(3, d.one_of(1, 2)), torch.randn(d.size(), d.size())),
    "Reshape": lambda d: (nn.Reshape(3, 2, True), torch.randn(d.size(), 6)),
    "Select": lambda d: (nn.Select(d.one_of(1, 2), -1), torch.randn(d.size(), d.size())),
    "Squeeze": lambda d: (nn.Squeeze(), torch.randn(d.size(2), 1, d.size(2))),
    "Sum": lambda d: (nn.Sum(d.one_of(1, 2, -1), None, d.maybe()), torch.randn(d.size(), d.size())),
    "Transpose": lambda d: (nn.Transpose([1, 2], [2, 3]), torch.randn(d.size(), d.size(), d.size())),
    "Unsqueeze": lambda d: (nn.Unsqueeze(d.one_of(1, 2, 3)), torch.randn(d.size(), d.size())),
    "View": lambda d: (nn.View(-1, 2), torch.randn(d.size(), d.size(), 2)),
    # convolution
    "SpatialConvolution": spatial_conv("SpatialConvolution"),
    "SpatialConvolutionLocal": lambda d: (nn.SpatialConvolutionLocal(2, 3, 6, 5, 3, 2, 1, 1, 1, 0), d.batch(2, 5, 6)),
    "SpatialConvolutionMM": spatial_conv("SpatialConvolutionMM"),
    "SpatialConvolutionMap": lambda d: (nn.SpatialConvolutionMap(nn.tables.random(3, 4, 2), 3, 2), d.image(3)),
    "SpatialDepthWiseConvolution": lambda d: (
        nn.SpatialDepthWiseConvolution(2, 2, 3, 3),
        (lambda n: d.batch(2, n, n))(d.size(5, 7)),
    ),
    "SpatialDilatedConvolution": spatial_conv("SpatialDilatedConvolution", 2, 2),
    "SpatialFullConvolution": lambda d: (nn.SpatialFullConvolution(2, 3, 3, 2, 2, 2, 1, 0, 1, 0), d.image(2, 2, 4)),
    "SpatialFullConvolutionMap": lambda d: (nn.SpatialFullConvolutionMap(nn.tables.full(2, 3), 3, 2), d.image(2, 3, 4)),
    "SpatialSubSampling": lambda d: (nn.SpatialSubSampling(2, 2, 3, 1, 2), d.image(2)),
    "TemporalConvolution": lambda d: (
        nn.TemporalConvolution(3, 2, d.size(1, 3), d.size(1, 2)),
        d.batch(d.size(3, 6), 3),
    ),
    "TemporalRowConvolution": lambda d: (nn.TemporalRowConvolution(3, d.size(1, 3)), d.batch(d.size(3, 6), 3)),
    "TemporalSubSampling": lambda d: (nn.TemporalSubSampling(3, 2, 1), torch.randn(d.size(3, 6), 3)),
    "VolumetricConvolution": volumetric_conv("VolumetricConvolution"),
    "VolumetricDilatedConvolution": volumetric_conv("VolumetricDilatedConvolution", 1, 2, 1),
    "VolumetricFullConvolution": lambda d: (nn.VolumetricFullConvolution(2, 1, 2, 2, 2, 2, 1, 2), d.volume(2, 1, 3)),
    # pooling
    "FeatureLPPooling": lambda d: (nn.FeatureLPPooling(2, 1, 2, True), torch.randn(d.size(), d.size(3, 6))),
    "SpatialAdaptiveAveragePooling": lambda d: (nn.SpatialAdaptiveAveragePooling(2, 3), d.image(2)),
    "SpatialAdaptiveMaxPooling": lambda d: (nn.SpatialAdaptiveMaxPooling(2, 3), d.image(2)),
    "SpatialAveragePooling": spatial_pool("SpatialAveragePooling"),
    "SpatialDilatedMaxPooling": lambda d: (nn.SpatialDilatedMaxPooling(2, 2, 1, 1, 0, 0, 2, 2), d.image(2)),
    "SpatialFractionalMaxPooling": lambda d: (nn.SpatialFractionalMaxPooling(2, 2, 0.6, 0.7), d.image(2)),
    "SpatialLPPooling": lambda d: (nn.SpatialLPPooling(2, 2, 2, 2), d.image(2)),
    "SpatialMaxPooling": spatial_pool("SpatialMaxPooling"),
    "TemporalDynamicKMaxPooling": lambda d: (nn.TemporalDynamicKMaxPooling(2), torch.randn(d.size(3, 6), 3)),
    "TemporalMaxPooling": lambda d: (nn.TemporalMaxPooling(2), d.batch(d.size(3, 6), 3)),
    "VolumetricAveragePooling": lambda d: (nn.VolumetricAveragePooling(2, 2, 2), d.volume(2)),
    "VolumetricDilatedMaxPooling": lambda d: (
        nn.VolumetricDilatedMaxPooling(2, 2, 2, 1, 1, 1, 0, 0, 0, 2, 1, 2),
        d.volume(2),
    ),
    "VolumetricFractionalMaxPooling": lambda d: (nn.VolumetricFractionalMaxPooling(2, 2, 2, 2, 2, 2), d.volume(2)),
    "VolumetricMaxPooling": lambda d: (nn.VolumetricMaxPooling(2, 2, 2), d.volume(2)),
    # padding and resampling
    "PixelShuffle": lambda d: (nn.PixelShuffle(2), d.image(4, 1, 3)),
    "SpatialReflectionPadding": lambda d: (nn.SpatialReflectionPadding(1, 2, 2, 1), d.image(2, 3, 5)),
    "SpatialReplicationPadding": lambda d: (nn.SpatialReplicationPadding(1, 2, 0, 3), d.image(2)),
    "SpatialUpSamplingBilinear": lambda d: (nn.SpatialUpSamplingBilinear(2), d.image(2, 2, 4)),
    "SpatialUpSamplingNearest": lambda d: (nn.SpatialUpSamplingNearest(2), d.image(2, 1, 4)),
    "SpatialZeroPadding": lambda d: (nn.SpatialZeroPadding(1, 2, -1, 1), d.image(2)),
    "UpSampling": lambda d: (
        nn.UpSampling(2, d.one_of("nearest", "bilinear")),
        torch.randn(2, 2, d.size(2), d.size(2)),
    ),
    "VolumetricReplicationPadding": lambda d: (nn.VolumetricReplicationPadding(1, 0, 2, 1, 0, 1), d.volume(2, 1, 3)),
}

NOT_A_DERIVATIVE = {
    "Constant": "the output does not depend on the input",
    "Copy": "changes the type of its input",
    "CriterionTable": "its gradient comes from the criterion, which does without gradOutput",
    "GPU": "hands on to its module",
    "GradientReversal": "turns the gradient round on purpose",
    "Index": "takes indices; its gradient is compared with autograd",
    "IndexLinear": "takes keys and values",
    "Kmeans": "its backward moves the centroids",
    "L1Penalty": "adds the penalty's gradient on purpose",
    "LookupTable": "takes indices",
    "MaskedSelect": "takes a mask",
    "ModuleFromCriterion": "nngraph's",
    "OneHot": "takes indices",
    "PrintSize": "prints",
    "Profile": "prints",
    "SparseLinear": "takes (index, value) rows",
    "SpatialMaxUnpooling": "needs the pooling layer's indices",
    "VolumetricMaxUnpooling": "needs the pooling layer's indices",
    "ZeroGrad": "drops the gradient on purpose",
}
"""Modules that finite differences do not fit, and why; their families' tests look at them otherwise."""


def leaves(value):
    return [value] if isinstance(value, torch.Tensor) else [t for v in value for t in leaves(v)]


def dot(a, b):
    return sum((x * y).sum().item() for x, y in zip(leaves(a), leaves(b), strict=True))


def like(value):
    return torch.randn(value.shape) if isinstance(value, torch.Tensor) else [like(v) for v in value]


def moved(value, direction, step):
    if isinstance(value, torch.Tensor):
        return value + step * direction
    return [moved(v, d, step) for v, d in zip(value, direction, strict=True)]


def forward(module, input):
    luann.manualSeed(5)  # the same random numbers every time
    return module.forward(copy.deepcopy(input))


@pytest.mark.parametrize("name", CASES)
@given(data=st.data())
@settings(max_examples=6, deadline=None, derandomize=True, database=None)
def test_gradients_are_slopes(name, data):
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    module, input = CASES[name](Draw(data))
    module.training()
    module.zeroGradParameters()
    gradOutput = like(forward(module, input))
    given_input = copy.deepcopy(input)
    luann.manualSeed(5)
    module.forward(given_input)
    gradInput = copy.deepcopy(module.backward(given_input, copy.deepcopy(gradOutput)))
    step = 1e-6

    direction = like(input)
    slope = dot(forward(module, moved(input, direction, step)), gradOutput)
    slope -= dot(forward(module, moved(input, direction, -step)), gradOutput)
    assert slope / (2 * step) == pytest.approx(dot(gradInput, direction), rel=1e-5, abs=1e-6)

    params, grads = module.parameters()
    for param, grad in zip(params or [], grads or []):
        grad = grad.clone()
        direction = torch.randn(param.shape)
        param.add_(direction, alpha=step)
        slope = dot(forward(module, input), gradOutput)
        param.add_(direction, alpha=-2 * step)
        slope -= dot(forward(module, input), gradOutput)
        param.add_(direction, alpha=step)
        assert slope / (2 * step) == pytest.approx(dot(grad, direction), rel=1e-5, abs=1e-6)


def test_every_module_is_here_or_has_its_reason():
    abstract = {"Module", "Container"}
    modules = {n for n in nn.__all__ if isinstance(getattr(nn, n), type) and issubclass(getattr(nn, n), nn.Module)}
    assert modules - abstract == CASES.keys() | NOT_A_DERIVATIVE.keys()
