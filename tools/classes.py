"""Writes ``porting_guide/classes.md``: every class of Torch7's nn, what it is here, and its nearest kin in torch.nn.
In ``porting_guide/rocks.md`` it writes what stands between marks: the tables of the classes of other rocks.

python tools/classes.py          # write the pages
python tools/classes.py --check  # exit status 1 if the pages are not what this would write
"""

from __future__ import annotations

import inspect
import pkgutil
import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from kin import KIN

from luann import contrib, nn, typename

PAGE = Path(__file__).resolve().parents[1] / "porting_guide" / "classes.md"
ROCKS_PAGE = PAGE.with_name("rocks.md")

# The chapters of Torch7's manual; in them the classes, and what PyTorch has nearest
# (nn: torch.nn, F: torch.nn.functional).
CHAPTERS: dict[str, dict[str, str]] = {
    "Containers": {
        "Sequential": "`nn.Sequential`",
        "Parallel": "",
        "Concat": "`torch.cat` of the branches' outputs",
        "DepthConcat": "`F.pad`, then `torch.cat`",
        "Bottle": "layers take leading dimensions by themselves",
        "Decorator": "an `nn.Module` that calls another",
        "DontCast": "",
        "NaN": "`torch.isnan` in a forward hook",
        "Profile": "`torch.profiler`",
        "PrintSize": "a forward hook that prints",
        "GPU": "`nn.Module.to(device)`",
        "WeightNorm": "`utils.parametrizations.weight_norm`",
        "MapTable": "`[m(x) for x in xs]`",
        "ModuleFromCriterion": "",
        "StochasticGradient": "`torch.optim.SGD` and a loop",
        "gModule": "an `nn.Module` with a `forward` of its own",
    },
    "Table layers": {
        "ConcatTable": "`[m(x) for m in ms]`",
        "ParallelTable": "`[m(x) for m, x in zip(ms, xs)]`",
        "SplitTable": "`torch.unbind`",
        "JoinTable": "`torch.cat`",
        "SelectTable": "`xs[i]`",
        "NarrowTable": "`xs[i:j]`",
        "FlattenTable": "",
        "MixtureTable": "",
        "ZipTable": "`zip(*xs)`",
        "ZipTableOneToMany": "`[(x, y) for y in ys]`",
        "CriterionTable": "",
        "CAddTable": "`sum(xs)`",
        "CSubTable": "`a - b`",
        "CMulTable": "`math.prod(xs)`",
        "CDivTable": "`a / b`",
        "CMaxTable": "`torch.maximum`",
        "CMinTable": "`torch.minimum`",
        "CAddTensorTable": "`[a + x for x in xs]`",
        "PairwiseDistance": "`nn.PairwiseDistance` (adds eps)",
        "DotProduct": "`(a * b).sum(1)`",
        "CosineDistance": "`nn.CosineSimilarity`",
        "MM": "`torch.matmul`",
        "MV": "`torch.mv`, `torch.bmm`",
    },
    "Transfer functions": {
        "HardTanh": "`nn.Hardtanh`",
        "HardShrink": "`nn.Hardshrink`",
        "SoftShrink": "`nn.Softshrink`",
        "TanhShrink": "`nn.Tanhshrink`",
        "SoftMax": "`nn.Softmax(dim)`",
        "SoftMin": "`nn.Softmin(dim)`",
        "SoftPlus": "`nn.Softplus`",
        "SoftSign": "`nn.Softsign`",
        "LogSigmoid": "`nn.LogSigmoid`",
        "LogSoftMax": "`nn.LogSoftmax(dim)`",
        "SpatialSoftMax": "`nn.Softmax2d`",
        "SpatialLogSoftMax": "`nn.LogSoftmax(-3)`",
        "Sigmoid": "`nn.Sigmoid`",
        "Tanh": "`nn.Tanh`",
        "ReLU": "`nn.ReLU`",
        "ReLU6": "`nn.ReLU6`",
        "PReLU": "`nn.PReLU`",
        "RReLU": "`nn.RReLU`",
        "CReLU": "`torch.cat((F.relu(x), F.relu(-x)), dim)`",
        "ELU": "`nn.ELU`",
        "LeakyReLU": "`nn.LeakyReLU`",
        "GatedLinearUnit": "`nn.GLU`",
        "Threshold": "`nn.Threshold`",
        "Maxout": "",
    },
    "Linear layers and tables of vectors": {
        "Linear": "`nn.Linear`",
        "LinearWeightNorm": "`utils.parametrizations.weight_norm(Linear)`",
        "SparseLinear": "`nn.EmbeddingBag(mode='sum')` with weights",
        "IndexLinear": "`nn.EmbeddingBag(mode='sum')` with weights",
        "PartialLinear": "`F.linear` with some rows of the weight",
        "Bilinear": "`nn.Bilinear`",
        "LookupTable": "`nn.Embedding`",
        "Euclidean": "`torch.cdist`",
        "WeightedEuclidean": "",
        "Cosine": "`F.linear` of normalised rows",
        "Kmeans": "",
        "OneHot": "`F.one_hot`",
        "Constant": "`torch.full`",
    },
    "Pointwise and simple layers": {
        "Abs": "`torch.abs`",
        "Add": "`x + Parameter`",
        "CAdd": "`x + Parameter`",
        "Mul": "`x * Parameter`",
        "CMul": "`x * Parameter`",
        "AddConstant": "`x + c`",
        "MulConstant": "`x * c`",
        "Exp": "`torch.exp`",
        "Log": "`torch.log`",
        "Power": "`torch.pow`",
        "Square": "`torch.square`",
        "Sqrt": "`torch.sqrt`",
        "Clamp": "`torch.clamp`",
        "L1Penalty": "a term in the loss",
        "GradientReversal": "an `autograd.Function`",
        "ZeroGrad": "`detach()`",
        "WhiteNoise": "`x + torch.randn_like(x)`",
        "Dropout": "`nn.Dropout`",
        "Identity": "`nn.Identity`",
        "Copy": "`x.to(dtype)`",
        "Contiguous": "`x.contiguous()`",
        "Convert": "`x.permute`, `x.reshape`",
    },
    "Normalisation": {
        "BatchNormalization": "`nn.BatchNorm1d`",
        "SpatialBatchNormalization": "`nn.BatchNorm2d`",
        "VolumetricBatchNormalization": "`nn.BatchNorm3d`",
        "LayerNormalization": "`nn.LayerNorm` (Torch7's takes the means of a batch in the wrong order)",
        "Normalize": "`F.normalize`",
        "SpatialCrossMapLRN": "`nn.LocalResponseNorm`",
        "SpatialSubtractiveNormalization": "",
        "SpatialDivisiveNormalization": "",
        "SpatialContrastiveNormalization": "",
        "SpatialDropout": "`nn.Dropout2d`",
        "VolumetricDropout": "`nn.Dropout3d`",
    },
    "Shaping and reducing": {
        "View": "`x.view`",
        "Reshape": "`x.reshape`",
        "Collapse": "`x.flatten`",
        "Replicate": "`x.unsqueeze(dim).expand`",
        "Transpose": "`x.transpose`",
        "Squeeze": "`x.squeeze`",
        "Unsqueeze": "`x.unsqueeze`",
        "Select": "`x.select`",
        "Narrow": "`x.narrow`",
        "Index": "`torch.index_select`",
        "MaskedSelect": "`torch.masked_select`",
        "Padding": "`nn.ConstantPad1d`, `F.pad`",
        "Max": "`torch.amax`",
        "Min": "`torch.amin`",
        "Mean": "`torch.mean`",
        "Sum": "`torch.sum`",
    },
    "Convolution": {
        "TemporalConvolution": "`nn.Conv1d` (channels before time)",
        "TemporalRowConvolution": "`nn.Conv1d(groups=channels)`",
        "TemporalSubSampling": "",
        "SpatialConvolution": "`nn.Conv2d`",
        "SpatialConvolutionMM": "`nn.Conv2d`",
        "SpatialConvolutionMap": "`nn.Conv2d` with a masked weight",
        "SpatialConvolutionLocal": "`F.unfold` and an einsum",
        "SpatialDilatedConvolution": "`nn.Conv2d(dilation=…)`",
        "SpatialDepthWiseConvolution": "`nn.Conv2d(groups=channels)`",
        "SpatialFullConvolution": "`nn.ConvTranspose2d`",
        "SpatialFullConvolutionMap": "`nn.ConvTranspose2d` with a masked weight",
        "SpatialSubSampling": "`nn.AvgPool2d`, scaled by a `Parameter`",
        "VolumetricConvolution": "`nn.Conv3d`",
        "VolumetricDilatedConvolution": "`nn.Conv3d(dilation=…)`",
        "VolumetricFullConvolution": "`nn.ConvTranspose3d`",
    },
    "Pooling": {
        "TemporalMaxPooling": "`nn.MaxPool1d` (channels before time)",
        "TemporalDynamicKMaxPooling": "`torch.topk`",
        "SpatialMaxPooling": "`nn.MaxPool2d`",
        "SpatialDilatedMaxPooling": "`nn.MaxPool2d(dilation=…)`",
        "SpatialFractionalMaxPooling": "`nn.FractionalMaxPool2d` (other samples)",
        "SpatialAveragePooling": "`nn.AvgPool2d`",
        "SpatialAdaptiveMaxPooling": "`nn.AdaptiveMaxPool2d`",
        "SpatialAdaptiveAveragePooling": "`nn.AdaptiveAvgPool2d`",
        "SpatialMaxUnpooling": "`nn.MaxUnpool2d`",
        "SpatialLPPooling": "`nn.LPPool2d`",
        "FeatureLPPooling": "`nn.LPPool1d` over features",
        "VolumetricMaxPooling": "`nn.MaxPool3d`",
        "VolumetricDilatedMaxPooling": "`nn.MaxPool3d(dilation=…)`",
        "VolumetricAveragePooling": "`nn.AvgPool3d`",
        "VolumetricFractionalMaxPooling": "`nn.FractionalMaxPool3d` (other samples)",
        "VolumetricMaxUnpooling": "`nn.MaxUnpool3d`",
    },
    "Padding and resampling": {
        "SpatialZeroPadding": "`nn.ZeroPad2d`",
        "SpatialReflectionPadding": "`nn.ReflectionPad2d`",
        "SpatialReplicationPadding": "`nn.ReplicationPad2d`",
        "VolumetricReplicationPadding": "`nn.ReplicationPad3d`",
        "SpatialUpSamplingNearest": "`nn.UpsamplingNearest2d`",
        "SpatialUpSamplingBilinear": "`nn.UpsamplingBilinear2d`",
        "UpSampling": "`nn.Upsample`",
        "PixelShuffle": "`nn.PixelShuffle`",
    },
    "Criterions": {
        "AbsCriterion": "`nn.L1Loss`",
        "BCECriterion": "`nn.BCELoss`",
        "ClassNLLCriterion": "`nn.NLLLoss` (classes from 0)",
        "ClassSimplexCriterion": "",
        "CosineEmbeddingCriterion": "`nn.CosineEmbeddingLoss`",
        "CrossEntropyCriterion": "`nn.CrossEntropyLoss` (classes from 0)",
        "DistKLDivCriterion": "`nn.KLDivLoss`",
        "DistanceRatioCriterion": "",
        "HingeEmbeddingCriterion": "`nn.HingeEmbeddingLoss`",
        "L1Cost": "`x.abs().sum()`",
        "L1HingeEmbeddingCriterion": "",
        "MSECriterion": "`nn.MSELoss`",
        "MarginCriterion": "",
        "MarginRankingCriterion": "`nn.MarginRankingLoss`",
        "ModuleCriterion": "",
        "MultiCriterion": "a weighted sum",
        "MultiLabelMarginCriterion": "`nn.MultiLabelMarginLoss` (classes from 0)",
        "MultiLabelSoftMarginCriterion": "`nn.MultiLabelSoftMarginLoss`",
        "MultiMarginCriterion": "`nn.MultiMarginLoss` (classes from 0)",
        "ParallelCriterion": "a weighted sum",
        "SmoothL1Criterion": "`nn.SmoothL1Loss`",
        "SoftMarginCriterion": "`nn.SoftMarginLoss`",
        "SpatialAutoCropMSECriterion": "",
        "SpatialClassNLLCriterion": "`nn.NLLLoss` (classes from 0)",
        "WeightedMSECriterion": "",
    },
}

# What a class does otherwise than Torch7's, on purpose.
_NAN = "an input that is NaN stays NaN; Torch7 made a number of it"
_KERNEL = "the kernel given to the constructor stays as it is; Torch7 scaled it in place"
_SINGLE = "one sample in evaluation: the caller's input stays as it is; Torch7 gave it a batch dimension, in place"
DIFFERENCES: dict[str, str] = {
    "AddConstant": "a tensor as the constant works in place, too; in Torch7 the backward pass failed",
    "BatchNormalization": _SINGLE,
    "HardShrink": _NAN,
    "HardTanh": _NAN,
    "PartialLinear": "without a bias `zeroGradParameters` and `updateParameters` work; Torch7's failed",
    "ReLU": _NAN,
    "SoftShrink": _NAN,
    "SparseLinear": "the caller's gradOutput stays as it is; Torch7 gave it a batch dimension, in place",
    "SpatialAutoCropMSECriterion": "`backward` takes the whole target; Torch7's only one that had been cut",
    "SpatialBatchNormalization": _SINGLE,
    "SpatialContrastiveNormalization": _KERNEL,
    "SpatialConvolutionMap": "right gradients where a step leaves rows or columns over; Torch7's went to wrong places",
    "SpatialDepthWiseConvolution": "right for images that are not square; Torch7 confounded height and width",
    "SpatialDivisiveNormalization": _KERNEL,
    "SpatialSubtractiveNormalization": _KERNEL,
    "Squeeze": "what squeezes to a single element is a vector of one; Torch7 failed",
    "Threshold": _NAN,
}


_ENOUGH = 40  # characters before a semicolon that tell enough


def summary(thing: object, space: str = "") -> str:
    """The first sentence of the docstring; what comes after a semicolon goes, if what comes before it tells enough.

    Args:
        thing: a class or a function.
        space: what to write before the name of a class of luann.nn that is mentioned.
    """
    text = " ".join((thing.__doc__ or "").split("\n\n")[0].split())
    text = re.split(r"(?<=\.)\s", text)[0].rstrip(".:")
    text = re.sub(r":\w+:`~?luann\.nn\.(\w+)`", rf"`{space}\1`", text)
    text = re.sub(r":\w+:`~?\.?(?:[\w.]*\.)?(\w+)`", r"`\1`", text).replace("``", "`")
    ends = [match.start() for match in re.finditer("; ", text)]
    ends = [end for end in ends if end >= _ENOUGH and text.count("(", 0, end) == text.count(")", 0, end)]
    return text[: ends[0] if ends else None].replace("|", "\\|")


def page() -> str:
    """The text of the page."""
    lines = [
        "# The classes of nn",
        "",
        "Every class of Torch7's `nn` is here under its own name: Torch7's `nn.Linear` is `luann.nn.Linear`, with the",
        "arguments in the same order. The last column names what `torch.nn` (here `nn`; `F` is `torch.nn.functional`)",
        "has nearest, for the day you leave Torch7 behind.",
        "",
        "*This page is written by `tools/classes.py`.*",
    ]
    for chapter, classes in CHAPTERS.items():
        lines += ["", f"## {chapter}", "", "| class | what it computes | differs from Torch7's | nearest in PyTorch |"]
        lines.append("|---|---|---|---|")
        for name, nearest in classes.items():
            about = summary(getattr(nn, name)), DIFFERENCES.get(name, ""), nearest or "–"
            lines.append(f"| `{name}` | {' | '.join(about)} |")
    lines += [
        "",
        "Besides: `nn.utils`, `nn.tables` (connection tables), `nn.Jacobian`, `nn.SparseJacobian` (gradient checks).",
        "Not here: `nn.hessian`, an experiment that patched second derivatives into some classes.",
    ]
    return "\n".join(lines) + "\n"


def rocks() -> dict[str, ModuleType]:
    """The modules of luann.contrib, by their names there."""
    names = [m.name for m in pkgutil.iter_modules(contrib.__path__) if not m.name.startswith("_")]
    return {name: import_module(f"{contrib.__name__}.{name}") for name in names}


def table(rock: str, module: ModuleType) -> str:
    """What a rock has: a table of its classes, and one of its functions."""
    kin = {name: nearest for classes in CHAPTERS.values() for name, nearest in classes.items()} | KIN.get(rock, {})
    things = {name: getattr(module, name) for name in sorted(module.__all__, key=str.lower)}
    lines = ["| Torch7 | Python | what it computes | nearest in PyTorch |", "|---|---|---|---|"]
    for name, thing in things.items():
        if inspect.isclass(thing):
            about = summary(thing, "nn."), kin.get(name) or "–"
            lines.append(f"| `{typename(thing)}` | `{rock}.{name}` | {' | '.join(about)} |")
    functions = [name for name, thing in things.items() if inspect.isfunction(thing)]
    if functions:
        lines += ["", "| function | what it does |", "|---|---|"]
        lines += [f"| `{rock}.{name}` | {summary(things[name], 'nn.')} |" for name in functions]
    return "\n".join(lines)


def rocks_page() -> str:
    """The text of the page of rocks: as it is, with the tables anew."""
    known = rocks()
    return re.sub(
        r"(<!-- classes of (\w+) -->\n).*?(<!-- end -->)",
        lambda m: f"{m[1]}\n{table(m[2], known[m[2]])}\n\n{m[3]}",
        ROCKS_PAGE.read_text(),
        flags=re.DOTALL,
    )


def main() -> None:
    """Write or check the pages."""
    for path, text in ((PAGE, page()), (ROCKS_PAGE, rocks_page())):
        if sys.argv[1:] != ["--check"]:
            path.write_text(text)
        elif path.read_text() != text:
            sys.exit(f"{path.name} is out of date: run python tools/classes.py")


if __name__ == "__main__":
    main()
