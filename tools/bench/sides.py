"""The two sides of a workload: the same steps by luann and by PyTorch itself.

Each side can do ``train()``, a whole step that returns the loss as a number, and ``infer()``, which returns the output;
``results()`` tells what the last step computed. Which is faster of PyTorch's ways is found by :meth:`Native.tune`.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

import luann
from luann import nn, optim

RATE = 0.01


class Luann:
    """A module with the criterion of classes and plain gradient descent, as a Lua script has them."""

    def __init__(self, model: Any, input: Tensor, target: Tensor) -> None:
        self.model, self.input, self.target = model, input, target
        self.criterion = nn.ClassNLLCriterion().type(input.dtype if input.is_floating_point() else model.type())
        self.config = {"learningRate": RATE}
        self.x = self.grads = None
        model.skipInputGradient()  # as PyTorch, which computes none either

    def flatten(self) -> None:
        """What a script does before it trains."""
        self.x, self.grads = self.model.getParameters()

    def parameters(self) -> list[Tensor]:
        """The parameters, one by one."""
        return self.model.parameters()[0]

    def gradients(self) -> list[Tensor]:
        """What the last step left of gradients."""
        return self.model.parameters()[1]

    def feval(self, _: Tensor) -> tuple[float, Tensor]:
        """The function that ``optim`` evaluates."""
        model, input, target = self.model, self.input, self.target
        self.grads.zero_()
        loss = self.criterion.forward(model.forward(input), target)
        model.backward(input, self.criterion.backward(model.output, target))
        return loss, self.grads

    def train(self) -> float:
        """A step."""
        if self.x is None:
            self.flatten()
        return optim.sgd(self.feval, self.x, self.config)[1][0]

    def infer(self) -> Tensor:
        """The output."""
        return self.model.forward(self.input)

    def mode(self, train: bool) -> None:
        """Training or evaluation."""
        (self.model.training if train else self.model.evaluate)()


class LuannDirect(Luann):
    """The step that Torch7 has for large tables: gradients accumulate straight into the parameters."""

    def __init__(self, model: Any, input: Tensor, target: Tensor) -> None:
        self.model, self.input, self.target = model, input, target
        self.criterion = nn.ClassNLLCriterion().type(model.type())

    def gradients(self) -> list[Tensor]:
        """None: that is the point of it."""
        return []

    def train(self) -> float:
        """A step."""
        model, input, target = self.model, self.input, self.target
        loss = self.criterion.forward(model.forward(input), target)
        model.backwardUpdate(input, self.criterion.backward(model.output, target), RATE)
        return loss


class LuannLast(Luann):
    """The same with images kept channels-last between layers."""

    def __init__(self, model: Any, input: Tensor, target: Tensor) -> None:
        super().__init__(model.channels_last(), input, target)


class LuannFree(Luann):
    """The same with buffers given back as soon as they are used, as PyTorch does."""

    def __init__(self, model: Any, input: Tensor, target: Tensor) -> None:
        super().__init__(model.keepBuffers(False), input, target)


class LuannFrozen(Luann):
    """Inference by the frozen net."""

    def __init__(self, model: Any, input: Tensor, target: Tensor) -> None:
        super().__init__(model, input, target)
        self.frozen = luann.freeze(model)

    def infer(self) -> Tensor:
        """The output."""
        return self.frozen.forward(self.input)


class Native:
    """A ``torch.nn`` module with autograd and ``torch.optim.SGD``."""

    FORMS: tuple[dict[str, bool], ...] = ({"foreach": False}, {"foreach": True}, {"fused": True})

    def __init__(self, model: torch.nn.Module, input: Tensor, target: Tensor) -> None:
        self.model, self.input, self.target = model, input, target - 1
        self.optimizer = self._optimizer(self.FORMS[0])

    def _optimizer(self, form: dict[str, bool]) -> torch.optim.SGD:
        return torch.optim.SGD(self.model.parameters(), RATE, **form)

    def tune(self, seconds: float = 0.3) -> dict[str, bool]:
        """Keep the fastest of SGD's forms; its parameters are changed."""
        best = None
        for form in self.FORMS:
            self.optimizer = self._optimizer(form)
            self.train()
            count, begun = 0, time.perf_counter()
            while count < 2 or time.perf_counter() - begun < seconds:
                self.optimizer.step()
                count += 1
            taken = (time.perf_counter() - begun) / count
            if best is None or taken < best[0]:
                best = taken, form
        assert best is not None
        self.optimizer = self._optimizer(best[1])
        return best[1]

    def parameters(self) -> list[Tensor]:
        """The parameters, one by one."""
        return list(self.model.parameters())

    def gradients(self) -> list[Tensor]:
        """What the last step left of gradients."""
        return [p.grad.to_dense() for p in self.model.parameters() if p.grad is not None]

    def train(self) -> float:
        """A step."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = F.nll_loss(self.model(self.input), self.target)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def infer(self) -> Tensor:
        """The output."""
        with torch.inference_mode():
            return self.model(self.input)

    def mode(self, train: bool) -> None:
        """Training or evaluation."""
        self.model.train(train)


class NativeLast(Native):
    """The same with parameters and images channels-last in memory."""

    def __init__(self, model: torch.nn.Module, input: Tensor, target: Tensor) -> None:
        layout = torch.channels_last
        super().__init__(model.to(memory_format=layout), input.contiguous(memory_format=layout), target)


class NativeSparse(Native):
    """The same with sparse gradients, which SGD takes in its plain form alone."""

    FORMS = ({"foreach": False},)
