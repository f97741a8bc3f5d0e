"""The nets of the benchmark, each written once for both sides."""

from __future__ import annotations

from itertools import pairwise

from tools.bench.layers import (
    Both,
    batchnorm,
    chain,
    conv,
    dropout,
    embedding,
    flat,
    linear,
    logsoftmax,
    mean,
    mean_pool,
    pool,
    relu,
    residual,
    same,
    tanh,
)


def tiny() -> Both:
    """Three layers of ten numbers: nothing but overhead."""
    return chain(linear(10, 10), tanh(), linear(10, 10), logsoftmax())


def mlp(*sizes: int) -> Both:
    """Linear layers of these sizes, with rectifiers between."""
    layers: list[Both] = []
    for inputs, outputs in pairwise(sizes):
        layers += [linear(inputs, outputs), relu()]
    return chain(*layers[:-1], logsoftmax())


def deep(layers: int) -> Both:
    """So many layers of ten numbers, linear ones and tanh by turns."""
    return chain(*([linear(10, 10), tanh()] * (layers // 2)), logsoftmax())


def lenet() -> Both:
    """LeNet-5 for 28x28 digits."""
    return chain(
        conv(1, 6, 5, pad=2), relu(), pool(2), conv(6, 16, 5), relu(), pool(2), flat(400),
        linear(400, 120), relu(), linear(120, 84), relu(), linear(84, 10), logsoftmax(),
    )  # fmt: skip


def demo() -> Both:
    """The convolutional net of Torch7's train-a-digit-classifier, for 32x32 digits."""
    return chain(
        conv(1, 32, 5), tanh(), pool(3, 3, 1), conv(32, 64, 5), tanh(), pool(2), flat(576),
        linear(576, 200), tanh(), linear(200, 10), logsoftmax(),
    )  # fmt: skip


def vgg() -> Both:
    """VGG's eleven layers with batch normalisation, for 32x32 images."""
    layers: list[Both] = []
    planes = 3
    for item in (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0):
        if item:
            layers += [conv(planes, item, 3, pad=1), batchnorm(item), relu()]
            planes = item
        else:
            layers.append(pool(2))
    return chain(*layers, flat(512), linear(512, 10), logsoftmax())


def _block(inputs: int, outputs: int, step: int) -> Both:
    body = chain(
        conv(inputs, outputs, 3, step, 1, bias=False), batchnorm(outputs), relu(),
        conv(outputs, outputs, 3, 1, 1, bias=False), batchnorm(outputs),
    )  # fmt: skip
    fits = inputs == outputs and step == 1
    shortcut = same() if fits else chain(conv(inputs, outputs, 1, step, bias=False), batchnorm(outputs))
    return residual(body, shortcut)


def _blocks(stages: tuple[int, ...], count: int) -> list[Both]:
    found, inputs = [], stages[0]
    for i, outputs in enumerate(stages):
        for j in range(count):
            found.append(_block(inputs, outputs, 2 if i and not j else 1))
            inputs = outputs
    return found


def resnet20() -> Both:
    """The residual net of twenty layers for 32x32 images."""
    start = [conv(3, 16, 3, pad=1, bias=False), batchnorm(16), relu()]
    return chain(*start, *_blocks((16, 32, 64), 3), mean_pool(8), flat(64), linear(64, 10), logsoftmax())


def resnet18() -> Both:
    """The residual net of eighteen layers for 224x224 images."""
    start = [conv(3, 64, 7, 2, 3, bias=False), batchnorm(64), relu(), pool(3, 2, 1)]
    stages = (64, 128, 256, 512)
    return chain(*start, *_blocks(stages, 2), mean_pool(7), flat(512), linear(512, 1000), logsoftmax())


def alexnet() -> Both:
    """AlexNet in one column, for 224x224 images."""
    return chain(
        conv(3, 64, 11, 4, 2), relu(), pool(3, 2), conv(64, 192, 5, pad=2), relu(), pool(3, 2),
        conv(192, 384, 3, pad=1), relu(), conv(384, 256, 3, pad=1), relu(), conv(256, 256, 3, pad=1), relu(),
        pool(3, 2), flat(9216), dropout(), linear(9216, 4096), relu(), dropout(), linear(4096, 4096), relu(),
        linear(4096, 1000), logsoftmax(),
    )  # fmt: skip


def text(words: int = 100_000, size: int = 100, sparse: bool = False) -> Both:
    """A classifier of texts by the mean of their words' vectors."""
    return chain(embedding(words, size, sparse), mean(), linear(size, 10), logsoftmax())
