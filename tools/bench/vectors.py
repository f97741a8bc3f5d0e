"""What training does with the parameters alone: flatten them, and move them, from 10⁴ to 10⁸ of them."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from luann import optim
from tools.bench.sides import RATE, Luann, Native


class LuannVector(Luann):
    """``getParameters`` and ``optim.sgd``."""

    def __init__(self, model: Any) -> None:
        self.model, self.config = model, {"learningRate": RATE}
        self.x, self.grads = model.getParameters()
        self.grads.fill_(1)

    def update(self) -> float:
        """A step whose gradients cost nothing but to be set to zero and written."""
        return optim.sgd(self._feval, self.x, self.config)[1][0]

    def _feval(self, _: Tensor) -> tuple[float, Tensor]:
        self.grads.zero_()
        self.grads.add_(1)
        return 0.0, self.grads

    def prepare_flatten(self) -> None:
        """Parameters in storages of their own."""
        self.fresh = copy.copy(self.model)
        parameters, gradients = ([t.clone() for t in tensors] for tensors in self.model.parameters())
        self.fresh.parameters = lambda: (parameters, gradients)

    def flatten(self) -> None:
        """Parameters and gradients become views of two vectors."""
        self.fresh.getParameters()

    def infer(self) -> Tensor:
        """The parameters."""
        return self.x


class NativeVector(Native):
    """``parameters_to_vector`` and ``torch.optim.SGD``."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model
        self.optimizer = self._optimizer(self.FORMS[0])

    def update(self) -> float:
        """A step whose gradients cost nothing but to be written: PyTorch needs no zeros to add to."""
        for p in self.model.parameters():
            if p.grad is None:
                p.grad = torch.empty_like(p)
            p.grad.fill_(1)
        self.optimizer.step()
        return 0.0

    train = update

    def prepare_flatten(self) -> None:
        """Parameters in storages of their own."""
        self.fresh = [[p.detach().clone() for p in self.model.parameters()] for _ in range(2)]

    def flatten(self) -> None:
        """Parameters and gradients become views of two vectors."""
        for tensors in self.fresh:
            vector_to_parameters(parameters_to_vector(tensors), tensors)

    def infer(self) -> Tensor:
        """The parameters."""
        return parameters_to_vector(self.model.parameters()).detach()
