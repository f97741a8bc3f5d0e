"""Nothing leaks between calls: after many batch sizes a module holds no more than after the largest."""

import random

import pytest
import torch

from luann import nn

LARGEST = 48
SAMPLES = {
    "BatchNormalization": (lambda: nn.BatchNormalization(4), (4,)),
    "Bottle": (lambda: nn.Bottle(nn.Linear(4, 3)), (2, 4)),
    "Concat": (lambda: nn.Concat(2).add(nn.Linear(4, 3)).add(nn.Tanh()), (4,)),
    "Dropout": (lambda: nn.Dropout(0.3), (4,)),
    "Linear": (lambda: nn.Linear(4, 3), (4,)),
    "LogSoftMax": (lambda: nn.LogSoftMax(), (4,)),
    "Maxout": (lambda: nn.Maxout(4, 3, 2), (4,)),
    "Normalize": (lambda: nn.Normalize(2), (4,)),
    "PReLU": (lambda: nn.PReLU(4), (4,)),
    "RReLU": (lambda: nn.RReLU(), (4,)),
    "Sequential": (lambda: nn.Sequential().add(nn.Linear(4, 6)).add(nn.ReLU(True)).add(nn.Linear(6, 2)), (4,)),
    "SpatialAveragePooling": (lambda: nn.SpatialAveragePooling(2, 2), (3, 6, 6)),
    "SpatialConvolution": (lambda: nn.SpatialConvolution(2, 3, 3, 3), (2, 8, 8)),
    "SpatialConvolutionLocal": (lambda: nn.SpatialConvolutionLocal(2, 3, 6, 6, 3, 3), (2, 6, 6)),
    "SpatialConvolutionMap": (lambda: nn.SpatialConvolutionMap(nn.tables.full(2, 3), 3, 3), (2, 6, 6)),
    "SpatialCrossMapLRN": (lambda: nn.SpatialCrossMapLRN(3), (5, 4, 4)),
    "SpatialDropout": (lambda: nn.SpatialDropout(0.3), (3, 4, 4)),
    "SpatialFractionalMaxPooling": (lambda: nn.SpatialFractionalMaxPooling(2, 2, 3, 3), (2, 6, 6)),
    "SpatialFullConvolution": (lambda: nn.SpatialFullConvolution(2, 3, 3, 3, 2, 2), (2, 4, 4)),
    "SpatialMaxPooling": (lambda: nn.SpatialMaxPooling(2, 2), (9, 16, 16)),
    "Tanh": (lambda: nn.Tanh(), (4,)),
    "TemporalConvolution": (lambda: nn.TemporalConvolution(3, 4, 2), (6, 3)),
    "VolumetricConvolution": (lambda: nn.VolumetricConvolution(2, 2, 2, 2, 2), (2, 3, 3, 3)),
    "VolumetricMaxPooling": (lambda: nn.VolumetricMaxPooling(2, 2, 2), (2, 4, 4, 4)),
}


def held(module):
    """Bytes of all the memory that a module and what is in it refer to."""
    memory = {}

    def visit(value):
        if isinstance(value, torch.Tensor):
            storage = value.untyped_storage()
            memory[storage._cdata] = storage.nbytes()
        elif isinstance(value, (list, tuple)):
            for v in value:
                visit(v)
        elif isinstance(value, dict):
            visit(list(value.values()))
        elif isinstance(value, nn.Module):
            visit(value._cache)
            visit(vars(value))

    visit(module)
    return sum(memory.values())


def check(name, calls):
    make, sample = SAMPLES[name]
    module = make()
    sizes = random.Random(1)

    def step(n):
        x = torch.randn(n, *sample)
        module.zeroGradParameters()
        module.backward(x.clone(), torch.randn(module.forward(x).shape))

    step(LARGEST)
    largest = held(module)
    for _ in range(calls):
        step(sizes.randint(2, LARGEST))
        assert held(module) <= largest


@pytest.mark.parametrize("name", SAMPLES)
def test_memory_is_bounded_by_the_largest_batch(name):
    check(name, 100)


@pytest.mark.long
@pytest.mark.parametrize("name", SAMPLES)
def test_memory_is_bounded_over_ten_thousand_batches(name):
    check(name, 10_000)
