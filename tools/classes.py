"""Writes ``porting_guide/classes.md``: every class of Torch7's nn, what it is here, and its nearest kin in torch.nn.

    python tools/classes.py          # write the page
    python tools/classes.py --check  # exit status 1 if the page is not what this would write
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from luann import nn

PAGE = Path(__file__).resolve().parents[1] / "porting_guide" / "classes.md"

# The chapters of Torch7's manual; in them the classes, and what torch.nn (or torch, as F: torch.nn.functional) has nearest.
CHAPTERS: dict[str, dict[str, str]] = {
    "Containers": {
        "Sequential": "Sequential",
        "Parallel": "",
        "Concat": "torch.cat of the branches' outputs",
        "DepthConcat": "F.pad, then torch.cat",
        "Bottle": "layers take leading dimensions by themselves",
        "Decorator": "Module that calls another",
        "DontCast": "",
        "NaN": "torch.isnan in a forward hook",
        "Profile": "torch.profiler",
        "PrintSize": "a forward hook that prints",
        "GPU": "Module.to(device)",
        "WeightNorm": "utils.parametrizations.weight_norm",
        "MapTable": "[m(x) for x in xs]",
        "ModuleFromCriterion": "",
        "StochasticGradient": "torch.optim.SGD and a loop",
    },
    "Table layers": {
        "ConcatTable": "[m(x) for m in ms]",
        "ParallelTable": "[m(x) for m, x in zip(ms, xs)]",
        "SplitTable": "torch.unbind",
        "JoinTable": "torch.cat",
        "SelectTable": "xs[i]",
        "NarrowTable": "xs[i:j]",
        "FlattenTable": "",
        "MixtureTable": "",
        "ZipTable": "zip(*xs)",
        "ZipTableOneToMany": "[(x, y) for y in ys]",
        "CriterionTable": "",
        "CAddTable": "sum(xs)",
        "CSubTable": "a - b",
        "CMulTable": "math.prod(xs)",
        "CDivTable": "a / b",
        "CMaxTable": "torch.maximum",
        "CMinTable": "torch.minimum",
        "CAddTensorTable": "[a + x for x in xs]",
        "PairwiseDistance": "PairwiseDistance (adds eps)",
        "DotProduct": "(a * b).sum(1)",
        "CosineDistance": "CosineSimilarity",
        "MM": "torch.matmul",
        "MV": "torch.mv, torch.bmm",
    },
    "Transfer functions": {
        "HardTanh": "Hardtanh",
        "HardShrink": "Hardshrink",
        "SoftShrink": "Softshrink",
        "TanhShrink": "Tanhshrink",
        "SoftMax": "Softmax(dim)",
        "SoftMin": "Softmin(dim)",
        "SoftPlus": "Softplus",
        "SoftSign": "Softsign",
        "LogSigmoid": "LogSigmoid",
        "LogSoftMax": "LogSoftmax(dim)",
        "SpatialSoftMax": "Softmax2d",
        "SpatialLogSoftMax": "LogSoftmax(-3)",
        "Sigmoid": "Sigmoid",
        "Tanh": "Tanh",
        "ReLU": "ReLU",
        "ReLU6": "ReLU6",
        "PReLU": "PReLU",
        "RReLU": "RReLU",
        "CReLU": "torch.cat((F.relu(x), F.relu(-x)), dim)",
        "ELU": "ELU",
        "LeakyReLU": "LeakyReLU",
        "GatedLinearUnit": "GLU",
        "Threshold": "Threshold",
        "Maxout": "",
    },
    "Linear layers and tables of vectors": {
        "Linear": "Linear",
        "LinearWeightNorm": "utils.parametrizations.weight_norm(Linear)",
        "SparseLinear": "EmbeddingBag(mode='sum') with weights",
        "IndexLinear": "EmbeddingBag(mode='sum') with weights",
        "PartialLinear": "F.linear with some rows of the weight",
        "Bilinear": "Bilinear",
        "LookupTable": "Embedding",
        "Euclidean": "torch.cdist",
        "WeightedEuclidean": "",
        "Cosine": "F.linear of normalised rows",
        "Kmeans": "",
        "OneHot": "F.one_hot",
        "Constant": "torch.full",
    },
    "Pointwise and simple layers": {
        "Abs": "torch.abs",
        "Add": "x + Parameter",
        "CAdd": "x + Parameter",
        "Mul": "x * Parameter",
        "CMul": "x * Parameter",
        "AddConstant": "x + c",
        "MulConstant": "x * c",
        "Exp": "torch.exp",
        "Log": "torch.log",
        "Power": "torch.pow",
        "Square": "torch.square",
        "Sqrt": "torch.sqrt",
        "Clamp": "torch.clamp",
        "L1Penalty": "a term in the loss",
        "GradientReversal": "an autograd.Function",
        "ZeroGrad": "detach()",
        "WhiteNoise": "x + torch.randn_like(x)",
        "Dropout": "Dropout",
        "Identity": "Identity",
        "Copy": "x.to(dtype)",
        "Contiguous": "x.contiguous()",
        "Convert": "x.permute, x.reshape",
    },
    "Normalisation": {
        "BatchNormalization": "BatchNorm1d",
        "SpatialBatchNormalization": "BatchNorm2d",
        "VolumetricBatchNormalization": "BatchNorm3d",
        "LayerNormalization": "LayerNorm",
        "Normalize": "F.normalize",
        "SpatialCrossMapLRN": "LocalResponseNorm",
        "SpatialSubtractiveNormalization": "",
        "SpatialDivisiveNormalization": "",
        "SpatialContrastiveNormalization": "",
        "SpatialDropout": "Dropout2d",
        "VolumetricDropout": "Dropout3d",
    },
    "Shaping and reducing": {
        "View": "x.view",
        "Reshape": "x.reshape",
        "Collapse": "x.flatten",
        "Replicate": "x.unsqueeze(dim).expand",
        "Transpose": "x.transpose",
        "Squeeze": "x.squeeze",
        "Unsqueeze": "Unflatten, x.unsqueeze",
        "Select": "x.select",
        "Narrow": "x.narrow",
        "Index": "torch.index_select",
        "MaskedSelect": "torch.masked_select",
        "Padding": "ConstantPad1d, F.pad",
        "Max": "torch.amax",
        "Min": "torch.amin",
        "Mean": "torch.mean",
        "Sum": "torch.sum",
    },
    "Convolution": {
        "TemporalConvolution": "Conv1d (channels before time)",
        "TemporalRowConvolution": "Conv1d(groups=channels)",
        "TemporalSubSampling": "",
        "SpatialConvolution": "Conv2d",
        "SpatialConvolutionMM": "Conv2d",
        "SpatialConvolutionMap": "Conv2d with a masked weight",
        "SpatialConvolutionLocal": "F.unfold and an einsum",
        "SpatialDilatedConvolution": "Conv2d(dilation=…)",
        "SpatialDepthWiseConvolution": "Conv2d(groups=channels)",
        "SpatialFullConvolution": "ConvTranspose2d",
        "SpatialFullConvolutionMap": "ConvTranspose2d with a masked weight",
        "SpatialSubSampling": "AvgPool2d, scaled by a Parameter",
        "VolumetricConvolution": "Conv3d",
        "VolumetricDilatedConvolution": "Conv3d(dilation=…)",
        "VolumetricFullConvolution": "ConvTranspose3d",
    },
    "Pooling": {
        "TemporalMaxPooling": "MaxPool1d (channels before time)",
        "TemporalDynamicKMaxPooling": "torch.topk",
        "SpatialMaxPooling": "MaxPool2d",
        "SpatialDilatedMaxPooling": "MaxPool2d(dilation=…)",
        "SpatialFractionalMaxPooling": "FractionalMaxPool2d (other samples)",
        "SpatialAveragePooling": "AvgPool2d",
        "SpatialAdaptiveMaxPooling": "AdaptiveMaxPool2d",
        "SpatialAdaptiveAveragePooling": "AdaptiveAvgPool2d",
        "SpatialMaxUnpooling": "MaxUnpool2d",
        "SpatialLPPooling": "LPPool2d",
        "FeatureLPPooling": "LPPool1d over features",
        "VolumetricMaxPooling": "MaxPool3d",
        "VolumetricDilatedMaxPooling": "MaxPool3d(dilation=…)",
        "VolumetricAveragePooling": "AvgPool3d",
        "VolumetricFractionalMaxPooling": "FractionalMaxPool3d (other samples)",
        "VolumetricMaxUnpooling": "MaxUnpool3d",
    },
    "Padding and resampling": {
        "SpatialZeroPadding": "ZeroPad2d",
        "SpatialReflectionPadding": "ReflectionPad2d",
        "SpatialReplicationPadding": "ReplicationPad2d",
        "VolumetricReplicationPadding": "ReplicationPad3d",
        "SpatialUpSamplingNearest": "UpsamplingNearest2d",
        "SpatialUpSamplingBilinear": "UpsamplingBilinear2d",
        "UpSampling": "Upsample",
        "PixelShuffle": "PixelShuffle",
    },
    "Criterions": {
        "AbsCriterion": "L1Loss",
        "BCECriterion": "BCELoss",
        "ClassNLLCriterion": "NLLLoss (classes from 0)",
        "ClassSimplexCriterion": "",
        "CosineEmbeddingCriterion": "CosineEmbeddingLoss",
        "CrossEntropyCriterion": "CrossEntropyLoss (classes from 0)",
        "DistKLDivCriterion": "KLDivLoss",
        "DistanceRatioCriterion": "",
        "HingeEmbeddingCriterion": "HingeEmbeddingLoss",
        "L1Cost": "x.abs().sum()",
        "L1HingeEmbeddingCriterion": "",
        "MSECriterion": "MSELoss",
        "MarginCriterion": "",
        "MarginRankingCriterion": "MarginRankingLoss",
        "ModuleCriterion": "",
        "MultiCriterion": "a weighted sum",
        "MultiLabelMarginCriterion": "MultiLabelMarginLoss (classes from 0)",
        "MultiLabelSoftMarginCriterion": "MultiLabelSoftMarginLoss",
        "MultiMarginCriterion": "MultiMarginLoss (classes from 0)",
        "ParallelCriterion": "a weighted sum",
        "SmoothL1Criterion": "SmoothL1Loss",
        "SoftMarginCriterion": "SoftMarginLoss",
        "SpatialAutoCropMSECriterion": "",
        "SpatialClassNLLCriterion": "NLLLoss (classes from 0)",
        "WeightedMSECriterion": "",
    },
}

# What a class does otherwise than Torch7's, on purpose.
DIFFERENCES: dict[str, str] = {
    "BatchNormalization": "a single sample in evaluation: the caller's input is left as it is, Torch7 gave it a batch dimension",
    "SpatialBatchNormalization": "as BatchNormalization",
}


def code(text: str) -> str:
    """What stands in torch.nn, as code with a remark in brackets outside; a dash for nothing."""
    if not text:
        return "–"
    words, bracket, remark = re.fullmatch(r"(.*?)( \((?:\w+ )+\w+\))?()", text).groups()
    if words[0].isupper() and not words.startswith("F."):
        words = "nn." + words
    looks_like_code = re.search(r"[.(\[*+/-]|^nn\.", words) and not re.search(r"^(a|layers|nn\.Module) ", words)
    return (f"`{words}`" if looks_like_code else words) + (bracket or "")


def summary(cls: type) -> str:
    """The first sentence of the docstring."""
    text = " ".join((cls.__doc__ or "").split("\n\n")[0].split())
    text = re.split(r"(?<=[.;])\s", text.rstrip(";."))[0].rstrip(".;:")
    text = re.sub(r":\w+:`~?\.?(?:[\w.]*\.)?(\w+)`", r"\1", text).replace("``", "`")
    return text.replace("|", "\\|")


def page() -> str:
    """The text of the page."""
    lines = [
        "# The classes of nn",
        "",
        "Every class of Torch7's `nn` is here under its own name: Torch7's `nn.Linear` is `luann.nn.Linear`, with the arguments in the same order. The last",
        "column names what `torch.nn` (here `nn`; `F` is `torch.nn.functional`) has nearest, for the day you leave Torch7 behind.",
        "",
        "*This page is written by `tools/classes.py`.*",
    ]
    for chapter, classes in CHAPTERS.items():
        lines += ["", f"## {chapter}", "", "| class | what it computes | differs from Torch7's | nearest in PyTorch |", "|---|---|---|---|"]
        for name, nearest in classes.items():
            lines.append(f"| `{name}` | {summary(getattr(nn, name))} | {DIFFERENCES.get(name, '')} | {code(nearest)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write or check the page."""
    if sys.argv[1:] == ["--check"]:
        if PAGE.read_text() != page():
            sys.exit(f"{PAGE.name} is out of date: run python tools/classes.py")
    else:
        PAGE.write_text(page())


if __name__ == "__main__":
    main()
