"""Torch7's small words at the top level of luann."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

import luann
from luann import nn


class Own(nn.Sequential):
    pass


@pytest.mark.parametrize(
    "value, name",
    [
        (torch.zeros(2), "torch.FloatTensor"),
        (torch.zeros(2, dtype=torch.int64), "torch.LongTensor"),
        (luann.Storage([1, 2]), "torch.LongStorage"),
        (nn.Linear(1, 1), "nn.Linear"),
        (luann.Timer(), "torch.Timer"),
        (luann.t7.Unknown("my.Class"), "my.Class"),
        (None, "nil"),
        (True, "boolean"),
        (7, "number"),
        (7.5, "number"),
        (np.int64(7), "number"),
        ("7", "string"),
        (b"7", "string"),
        ([7], "table"),
        ((7,), "table"),
        (luann.Table(x=7), "table"),
        (len, "function"),
        (luann.t7.Function(b""), "function"),
        (object(), "userdata"),
    ],
)
def test_type(value, name):
    assert luann.type(value) == name
    assert luann.typename(value) == (name if "." in name else None)


def test_a_star_import_leaves_pythons_type_alone():
    names: dict = {}
    exec("from luann import *", names)
    assert names["typename"] is luann.typename and "type" not in names


def test_isTensor_and_isStorage():
    assert luann.isTensor(torch.zeros(0)) and not luann.isTensor([1.0]) and not luann.isTensor(luann.Storage([1]))
    assert luann.isStorage(luann.Storage([1])) and not luann.isStorage(torch.zeros(1)) and not luann.isStorage(None)


@pytest.mark.parametrize(
    "value, spec, wanted",
    [
        (nn.Sequential(), "nn.Sequential", True),
        (nn.Sequential(), "nn.Container", True),
        (nn.Sequential(), "nn.Module", True),
        (nn.Sequential(), "nn.Contain", False),
        (nn.Sequential(), "nn.Concat", False),
        (nn.LinearWeightNorm(1, 1), "nn.Linear", True),
        (nn.SpatialConvolutionMM(1, 1, 1, 1), "nn.SpatialConvolution", False),
        (nn.SpatialConvolutionMM(1, 1, 1, 1), "^nn%.Spatial%a+", True),
        (nn.SpatialConvolutionMM(1, 1, 1, 1), "Temporal", False),
        (nn.ReLU(), nn.Threshold, True),
        (nn.SoftMin(), nn.SoftMax, False),  # here a child, in Torch7 a sibling
        (nn.SoftMin(), "nn.Module", True),
        (nn.MSECriterion(), "nn.Criterion", True),
        (nn.MSECriterion(), "nn.Module", False),
        (Own(), "nn.Container", True),
        (Own(), Own, True),
        (luann.t7.Unknown("my.Class"), "my.Class", True),
        (luann.t7.Unknown("my.Class"), luann.t7.Unknown, True),
        (torch.zeros(1), "torch.*Tensor", True),
        (torch.zeros(1), "torch.-Tensor$", True),
        (torch.zeros(1), "torch.DoubleTensor", False),
        (torch.zeros(1), torch.Tensor, True),
        (luann.Storage([1]), "torch.*Tensor", False),
        (5, "nn.Module", False),
    ],
)
def test_isTypeOf(value, spec, wanted):
    assert luann.isTypeOf(value, spec) is wanted


@pytest.mark.parametrize("spec", [None, 5, "nn.(%a+)", "%bxy", "[%a]", "*"])
def test_isTypeOf_refuses(spec):
    with pytest.raises(luann.ArgumentError, match="isTypeOf"):
        luann.isTypeOf(nn.Linear(1, 1), spec)


def test_random_numbers_are_governed_from_the_top_level():
    luann.manualSeed(5)
    assert luann.initialSeed() == 5
    state = luann.getRNGState()
    assert state.shape == (5048,) and state.dtype == torch.uint8
    first = luann.random.uniform()
    luann.setRNGState(state)
    assert luann.random.uniform() == first
    assert luann.seed() == luann.initialSeed()


def test_tic_toc():
    begun = luann.tic()
    time.sleep(0.01)
    assert 0.01 <= luann.toc(begun) <= luann.tic() - begun


def test_timer_counts_only_while_it_runs():
    timer = luann.Timer()
    begun = time.process_time()
    while time.process_time() < begun + 0.05:
        pass
    passed = timer.stop().time()
    assert list(passed) == ["real", "user", "sys"]
    assert passed.real >= 0.04 and passed.user + passed.sys >= 0.03  # processor time is counted in hundredths
    assert timer.time() == passed and str(timer) == "torch.Timer [status: stopped]"
    assert timer.resume().time().real > passed.real and str(timer) == "torch.Timer [status: running]"
    assert timer.stop().reset().time() == {"real": 0, "user": 0, "sys": 0}  # reset does not start it
