"""Linear layers, tables of vectors, and layers that hold centres: records, PyTorch's own functions, sequences of updates."""

import copy
import math
import pickle

import luann
import numpy as np
import pytest
import records
import torch
import torch.nn.functional as F
from luann import _libm, nn
from luann.nn import _kernels as kernels

DOUBLE = {"dtype": torch.float64}


@records.of(
    "nn",
    "Bilinear",
    "Cosine",
    "Euclidean",
    "IndexLinear",
    "Kmeans",
    "Linear",
    "LinearWeightNorm",
    "LookupTable",
    "PartialLinear",
    "SparseLinear",
    "WeightedEuclidean",
)
def test_record(case):
    records.check_module(case)


@pytest.fixture(autouse=True)
def _double():
    luann.setdefaulttensortype("torch.DoubleTensor")
    torch.manual_seed(1)


def close(got, wanted, tolerance=1e-12):
    torch.testing.assert_close(got, wanted, rtol=tolerance, atol=tolerance)


def check(module, function, *inputs, table=False, scale=1.0):
    """Compare output and gradients with autograd's for ``function(*inputs, *parameters)``."""
    parameters, gradients = module.parameters()
    leaves = [t.detach().clone().requires_grad_() for t in (*inputs, *parameters)]
    given = list(inputs) if table else inputs[0]
    wanted = function(*leaves)
    close(module.forward(given), wanted.detach())
    gradOutput = torch.randn_like(wanted)
    before = [torch.randn_like(g) for g in gradients]
    for gradient, start in zip(gradients, before):
        gradient.copy_(start)
    gradInput = module.backward(given, gradOutput, scale)
    slopes = torch.autograd.grad(wanted, leaves, gradOutput)
    for got, slope in zip(gradInput if table else [gradInput], slopes[: len(inputs)], strict=True):
        close(got, slope, 1e-10)
    for got, start, slope in zip(gradients, before, slopes[len(inputs) :], strict=True):
        close(got, start + scale * slope, 1e-10)


SHAPES = {"batch": (6, 5), "row": (1, 5), "vector": (5,)}


@pytest.fixture(params=SHAPES)
def x(request):
    return torch.randn(SHAPES[request.param])


@pytest.fixture(params=["fast", "plain"])
def both_ways(request, monkeypatch):
    """With PyTorch's private operators, and without."""
    monkeypatch.setattr(kernels, "PRIVATE", request.param == "fast")


# The same functions in PyTorch


@pytest.mark.parametrize("bias", [True, False])
def test_linear(x, bias):
    check(nn.Linear(5, 3, bias), F.linear, x, scale=0.3)


def test_linear_of_a_transposed_batch():
    check(nn.Linear(5, 3), F.linear, torch.randn(5, 7).t())


@pytest.mark.parametrize("bias", [True, False])
def test_bilinear(bias):
    check(nn.Bilinear(5, 4, 3, bias), F.bilinear, torch.randn(6, 5), torch.randn(4, 6).t(), table=True)


@pytest.mark.parametrize("partition", [[2], [4, 1, 4]])
def test_partial_linear(partition):
    module = nn.PartialLinear(5, 4)
    module.setPartition(torch.tensor(partition))
    rows = torch.tensor(partition) - 1
    check(module, lambda x, w, b: F.linear(x, w[rows], b[0, rows]), torch.randn(6, 5), scale=0.3)


def test_cosine_of_a_batch():
    def cosine(x, w):
        return F.linear(x, w) / (w.norm(dim=1) + 1e-12) / (x.norm(dim=1, keepdim=True) + 1e-12)

    check(nn.Cosine(5, 3), cosine, torch.randn(6, 5))


def test_euclidean(x, both_ways):
    def euclidean(x, w):
        return (x.unsqueeze(-1) - w).norm(dim=-2)

    # the gradients divide by the distance and 1e-7 more
    module = nn.Euclidean(5, 3)
    check(module, euclidean, x + 100, scale=0.3) if False else None
    parts = x.clone(), module.weight.clone()
    for t in parts:
        t.requires_grad_()
    output = euclidean(*parts)
    gradOutput = torch.randn_like(output)
    shifted = gradOutput * (output / (output + 1e-7)).detach()
    slopes = torch.autograd.grad(output, parts, shifted)
    close(module.forward(x), output.detach())
    close(module.backward(x, gradOutput, 0.3), slopes[0])
    close(module.gradWeight, 0.3 * slopes[1])
