"""What methods other than forward and backward do: each record's Lua function, ported line by line.

A record holds the Lua text (``lua``) and what it returned, or that it raised an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import records
import torch

import luann
from luann import nn

STRUCTURE = {r.name: r for r in luann.load(records.REFERENCE / "api/structure.t7")}
UTILS = {r.name: r for r in luann.load(records.REFERENCE / "api/utils.t7")}
ERRORS = {r.name: r for r in luann.load(records.REFERENCE / "api/errors.t7")}

DIFFERENT = {
    # (record, entry of the result): why luann differs
    ("training_flags", "fresh"): "a fresh module says that it is training; Torch7's says nothing, and trains",
    ("kernel_argument", "kernel"): "Torch7 changes the tensor that it is given; luann leaves it alone",
    ("partial_no_bias", "raised"): "Torch7 misses the bias that is not wanted",
    ("call_after_nngraph", "raised"): "calling a module runs it, and makes a graph only of nodes",
    ("feature_lp_tostring", "raised"): "Torch7 cannot print the class",
}

ported: dict[str, Callable] = {}


def port(function: Callable) -> Callable:
    ported[function.__name__] = function
    return function


def types(modules: list) -> list[str]:
    return [luann.typename(m) for m in modules]


def small() -> nn.Sequential:
    net = nn.Sequential().add(nn.Linear(3, 4)).add(nn.Tanh())
    branches = nn.Concat(2).add(nn.Linear(4, 2)).add(nn.Sequential().add(nn.Linear(4, 1)).add(nn.Tanh()))
    return net.add(branches)


randn = luann.random.randn


# structure


@port
def apply_order():
    seen = []
    small().apply(lambda m: seen.append(luann.typename(m)))
    return {"seen": seen}


@port
def listModules():
    return {"list": types(small().listModules())}


@port
def findModules():
    found, containers = small().findModules("nn.Tanh")
    none, _ = small().findModules("nn.ReLU")
    return {"found": types(found), "containers": types(containers), "none": len(none)}


@port
def replace():
    net = small()
    net.zeroGradParameters()
    before = net.clone()
    net.replace(lambda m: nn.ReLU() if luann.typename(m) == "nn.Tanh" else m)
    return {"before": before, "after": net}


@port
def container_access():
    net = small()
    return {
        "size": net.size(),
        "length": len(net.modules),
        "second": luann.typename(net.get(2)),
        "missing": net.get(9) is None,
    }


@port
def training_flags():
    net = small()

    def flags():
        return [str(m.train).lower() for m in net.listModules()]

    fresh = flags()
    net.evaluate()
    evaluating = flags()
    net.training()
    return {"fresh": fresh, "evaluating": evaluating, "training": flags()}


@port
def clearState():
    net = small()
    net.zeroGradParameters()
    net.forward(randn(2, 3))
    net.backward(randn(2, 3), randn(2, 3))
    used = net.clone()
    net.clearState()
    return {"used": used, "cleared": net}


@port
def backwardUpdate():
    net = nn.Linear(3, 2)
    net.zeroGradParameters()
    x, g = randn(4, 3), randn(4, 2)
    fresh = net.clone()
    net.forward(x)
    net.backwardUpdate(x, g, 0.5)
    return {
        "module": fresh,
        "input": x,
        "gradOutput": g,
        "weight": net.weight,
        "bias": net.bias,
        "gradWeight": net.gradWeight,
    }


@port
def lookup_accUpdateOnly():
    table = nn.LookupTable(5, 2).accUpdateOnly()
    before, x, g = table.weight.clone(), torch.tensor([2, 5, 2]), randn(3, 2)
    table.forward(x)
    table.updateGradInput(x, g)
    table.accUpdateGradParameters(x, g, 0.5)
    return {
        "before": before,
        "input": x,
        "gradOutput": g,
        "learningRate": 0.5,
        "after": table.weight,
        "hasGradWeight": table.gradWeight is not None,
    }


@port
def weightnorm_conversions():
    linear = nn.Linear(3, 2)
    linear.zeroGradParameters()
    normed = nn.LinearWeightNorm.fromLinear(linear)
    back = normed.toLinear()
    given = nn.LinearWeightNorm(2, 2).initFromWeight(torch.tensor([[3.0, 4], [0, 2]]))
    return {
        "linear": linear,
        "v": normed.v,
        "g": normed.g,
        "bias": normed.bias,
        "backWeight": back.weight,
        "backBias": back.bias,
        "givenV": given.v,
        "givenG": given.g,
    }


@port
def simplex_predictions():
    c = nn.ClassSimplexCriterion(4)
    x = randn(3, 4)
    return {"simplex": c.simplex, "input": x, "predictions": c.getPredictions(x), "top": c.getTopPrediction(x)}


@port
def connection_tables():
    return {
        "full": nn.tables.full(2, 3),
        "oneToOne": nn.tables.oneToOne(3),
        "random": nn.tables.random(4, 6, 2),
    }


@port
def kernel_argument():
    kernel = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])
    nn.SpatialSubtractiveNormalization(2, kernel)
    return {"kernel": kernel}


@port
def type_keeps_sharing():
    a = nn.Linear(2, 2)
    net = nn.Sequential().add(a).add(a.clone("weight", "bias"))
    net.zeroGradParameters()
    net.float()
    net.get(1).weight.fill_(7)
    return {"class": net.type(), "inner": luann.typename(net.get(2).weight), "second": net.get(2).weight}


@port
def type_returns():
    net = nn.Linear(2, 2)
    return {
        "before": net.type(),
        "same": net.float() is net,
        "after": net.type(),
        "output": luann.typename(net.output),
        "gradWeight": luann.typename(net.gradWeight),
    }


@port
def share():
    a, b = nn.Linear(2, 2), nn.Linear(2, 2)
    before = b.weight.clone()
    a.share(b, "weight")
    a.weight.add_(1)
    return {
        "weightOfB": before,
        "afterInB": b.weight,
        "biasShared": records.shares(a.bias, b.bias),
        "flagA": a.shared,
        "flagB": b.shared,
    }


@port
def parameters_none():
    p, g = nn.Tanh().parameters()
    cp, cg = nn.Sequential().add(nn.Tanh()).parameters()
    return {"layer": p is None and g is None, "container": len(cp) == 0 and len(cg) == 0}


@port
def getParameters_none():
    p, g = nn.Sequential().add(nn.Tanh()).getParameters()
    # what Torch7 calls a tensor without dimensions has one of size 0 in PyTorch
    return {"params": p.numel(), "gradParams": g.numel(), "dims": p.dim() if p.numel() else 0}


@port
def getParameters_noncontiguous():
    net = nn.Linear(2, 2)
    big = torch.arange(1.0, 13).view(3, 4)
    gbig = torch.zeros(3, 4)
    net.weight = big.narrow(0, 1, 2).narrow(1, 0, 2).clone()
    net.gradWeight = gbig.narrow(0, 1, 2).narrow(1, 0, 2).clone()
    net.bias.fill_(-1)
    p, _ = net.getParameters()
    return {"flat": p, "weight": net.weight}


@port
def tostring():
    return {
        "sequential": str(small()),
        "parallelTable": str(nn.ParallelTable().add(nn.Linear(2, 1)).add(nn.Sequential().add(nn.ReLU()))),
        "concatTable": str(nn.ConcatTable().add(nn.Identity()).add(nn.Linear(2, 1, False))),
        "concat": str(nn.Concat(1).add(nn.SpatialConvolution(1, 2, 3, 3, 1, 1, 1, 1)).add(nn.SpatialMaxPooling(2, 2))),
        "mapTable": str(nn.MapTable(nn.Linear(2, 3))),
        "bottle": str(nn.Bottle(nn.Linear(2, 3))),
        "dropout": str(nn.Dropout(0.25)),
        "view": str(nn.View(-1, 4)),
        "reshape": str(nn.Reshape(2, 3)),
        "selectTable": str(nn.SelectTable(2)),
        "batchNormalization": str(nn.BatchNormalization(3)),
        "volumetric": str(nn.VolumetricConvolution(1, 2, 3, 3, 3, 2, 2, 2)),
    }


# utils


@port
def recursiveResizeAs():
    t, _ = nn.utils.recursiveResizeAs([torch.empty(2)], [randn(3), [randn(2, 2)]])
    return {"sizes": [list(t[0].shape), list(t[1][0].shape)]}


@port
def recursiveFill():
    return {"filled": nn.utils.recursiveFill([torch.empty(2), [torch.empty(1, 2)]], 3)}


@port
def recursiveAdd():
    a, b = [torch.tensor([1.0, 2]), [torch.tensor([3.0])]], [torch.tensor([10.0, 20]), [torch.tensor([30.0])]]
    return {"sum": nn.utils.recursiveAdd(a, 0.5, b)[0]}


@port
def recursiveCopy():
    return {"copy": nn.utils.recursiveCopy([], [torch.tensor([1.0, 2]), [torch.tensor([3.0])]])[0]}


@port
def recursiveType():
    t = nn.utils.recursiveType([torch.tensor([1.0, 2]), [torch.tensor([3.0])]], "torch.FloatTensor")
    return {"types": [luann.typename(t[0]), luann.typename(t[1][0])]}


@port
def addSingletonDimension():
    v = nn.utils.addSingletonDimension(randn(2, 3), 2)
    return {"size": list(v.shape), "stride": list(v.stride())}


@port
def contiguousView():
    t = torch.arange(1.0, 7).view(2, 3).t()
    return {"view": nn.utils.contiguousView(None, t, 6)}


# errors


@port
def linear_3d():
    nn.Linear(2, 2).forward(randn(2, 2, 2))


@port
def linear_width():
    nn.Linear(3, 2).forward(randn(2, 4))


@port
def dropout_p():
    nn.Dropout(1)


@port
def reshape():
    nn.Reshape(5).forward(randn(3, 4))


@port
def view():
    nn.View(5).forward(randn(3, 4))


@port
def view_transposed():
    nn.View(12).forward(randn(4, 3).t())


@port
def view_two_inferred():
    nn.View(-1, -1)


@port
def conv_planes():
    nn.SpatialConvolution(3, 2, 3, 3).forward(randn(2, 5, 5))


@port
def conv_small():
    nn.SpatialConvolution(1, 1, 5, 5).forward(randn(1, 3, 3))


@port
def batchnorm_vector():
    nn.BatchNormalization(3).forward(randn(3))


@port
def batchnorm_features():
    nn.BatchNormalization(3).forward(randn(4, 2))


@port
def lookup_range():
    nn.LookupTable(3, 2).forward(torch.tensor([1, 4]))


@port
def nll_class():
    nn.ClassNLLCriterion().forward(randn(2, 3), torch.tensor([1.0, 4]))


@port
def mse_size():
    nn.MSECriterion().forward(randn(3), randn(4))


@port
def select_missing():
    nn.SelectTable(3).forward([randn(1)])


@port
def container():
    nn.Sequential().add(nn.Identity()).add(nn.Sequential().add(nn.Linear(3, 2))).forward(randn(2, 4))


@port
def float_input():
    nn.Linear(3, 2).forward(randn(2, 3).float())


@port
def insert_range():
    nn.Sequential().insert(nn.Tanh(), 3)


@port
def threshold_inplace():
    nn.Threshold(0, 1, True)


@port
def nan():
    nn.NaN(nn.Identity(), "here").forward(torch.tensor([float("nan")]))


@port
def partial_no_bias():
    nn.PartialLinear(2, 2, False).zeroGradParameters()


@port
def call_after_nngraph():
    nn.Linear(3, 2)(randn(2, 3))


@port
def feature_lp_tostring():
    str(nn.FeatureLPPooling(2, 1, 2, False))


# The tests


def difference(got: Any, wanted: Any) -> str | None:
    """As :func:`records.difference`, for modules too: their class, what they print, and all tensors in their fields."""
    if not isinstance(wanted, nn.Module):
        return records.difference(got, wanted, records.TOLERANCE["double"])
    if luann.typename(got) != luann.typename(wanted) or str(got) != str(wanted):
        return f"wanted {wanted}, got {got}"
    for name, value in vars(wanted).items():
        if name == "modules":
            pairs = list(zip(got.modules, value, strict=True))
        else:
            pairs = [(getattr(got, name), value)] if isinstance(value, (torch.Tensor, list)) else []
        for mine, theirs in pairs:
            found = difference(mine, theirs)
            if found:
                return f"{luann.typename(got)}.{name}: {found}"
    return None


def test_every_record_is_ported():
    assert {*STRUCTURE, *UTILS, *ERRORS} == set(ported)


@pytest.mark.parametrize("name", [*STRUCTURE, *UTILS])
def test_result(name):
    luann.setdefaulttensortype("torch.DoubleTensor")
    record = STRUCTURE.get(name) or UTILS[name]
    luann.manualSeed(record.seed)
    got = ported[name]()
    assert set(got) == set(record.result)
    for entry, wanted in record.result.items():
        found = difference(got[entry], wanted)
        if (name, entry) in DIFFERENT:
            assert found, f"{entry} agrees, but is listed as different"
        else:
            assert not found, f"{entry}: {found}"


@pytest.mark.parametrize("name", list(ERRORS))
def test_error(name):
    luann.setdefaulttensortype("torch.DoubleTensor")
    assert ERRORS[name].raised
    if (name, "raised") in DIFFERENT:
        ported[name]()
    else:
        with pytest.raises(luann.Error):
            ported[name]()


def test_errors_name_the_way_to_the_layer():
    with pytest.raises(luann.Error, match=r"Sequential\[2\] Sequential\[1\] nn\.Linear\(3 -> 2\)"):
        container()
