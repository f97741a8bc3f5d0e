"""``StochasticGradient``: Torch7's simplest trainer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import random, types
from ..errors import TensorTypeError
from ..progress import progress
from ._guard import describe
from .criterion import Criterion
from .module import Module


@types.register("nn.StochasticGradient")
class StochasticGradient:
    """Trains a module by stochastic gradient descent, example by example::

        trainer = nn.StochasticGradient(mlp, nn.ClassNLLCriterion())
        trainer.learningRate = 0.01
        trainer.train(dataset)

    Args:
        module: the module.
        criterion: tells how far its output is from an example's target.

    Attributes:
        learningRate: default 0.01.
        learningRateDecay: default 0; in epoch ``i``, from the second on, the rate is
            ``learningRate / (1 + i * learningRateDecay)``.
        maxIteration: how many epochs, default 25; 0 or less: without end.
        shuffleIndices: take the examples in random order, drawn once for all epochs; default yes.
        hookExample: called as ``hookExample(trainer, example)`` after every example.
        hookIteration: called as ``hookIteration(trainer, epoch, error)`` after every epoch, with the mean error.
        verbose: print the mean error after every epoch, and on a terminal show how far an epoch has come; default yes.
    """

    verbose = True  # older files lack it
    hookExample: Callable[[StochasticGradient, Any], Any] | None = None
    hookIteration: Callable[[StochasticGradient, int, float], Any] | None = None

    def __init__(self, module: Module, criterion: Criterion) -> None:
        self.learningRate: float = 0.01
        self.learningRateDecay: float = 0
        self.maxIteration = 25
        self.shuffleIndices = True
        self.module = module
        self.criterion = criterion
        self.verbose = True

    def train(self, dataset: Any) -> None:
        """Train the module on a dataset, and print how it goes.

        Args:
            dataset: a sequence of examples, such as a list; or, as in Torch7, an object with a method ``size()`` whose
                items count from 1. An example is a pair of an input and a target.
        """
        module, criterion = self.module, self.criterion
        examples = _examples(dataset)
        order = [i - 1 for i in random.randperm(len(examples)).long().tolist()]  # drawn even where it is not used
        if not self.shuffleIndices:
            order = list(range(len(examples)))
        iteration, rate = 1, self.learningRate

        print("# StochasticGradient: training")
        while True:
            error = 0.0
            for done, i in enumerate(order, 1):
                example = examples[i]
                input, target = example[0], example[1]
                error += criterion.forward(module.forward(input), target)
                gradOutput = criterion.updateGradInput(module.output, target)
                module.updateGradInput(input, gradOutput)
                module.accUpdateGradParameters(input, gradOutput, rate)
                if self.hookExample is not None:
                    self.hookExample(self, example)
                if self.verbose:
                    progress(done, len(order))
            error /= len(examples)
            if self.hookIteration is not None:
                self.hookIteration(self, iteration, error)
            if self.verbose:
                print(f"# current error = {error:.14g}")
            iteration += 1
            rate = self.learningRate / (1 + iteration * self.learningRateDecay)
            if 0 < self.maxIteration < iteration:
                print("# StochasticGradient: you have reached the maximum number of iterations")
                print(f"# training error = {error:.14g}")
                return

    def __repr__(self) -> str:
        return "nn.StochasticGradient"


class _FromOne:
    """A dataset in Torch7's manner as a sequence."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return self._dataset.size()

    def __getitem__(self, index: int) -> Any:
        return self._dataset[index + 1]


def _examples(dataset: Any) -> Any:
    if callable(getattr(dataset, "size", None)):
        dataset = _FromOne(dataset)
    elif not hasattr(dataset, "__len__") or isinstance(dataset, dict):
        raise TensorTypeError(
            f"StochasticGradient wants a sequence of examples, or an object with size() and items from 1, "
            f"got {describe(dataset)}"
        )
    if not len(dataset):
        raise TensorTypeError("StochasticGradient wants examples, got a dataset without any")
    return dataset
