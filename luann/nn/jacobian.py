"""Gradient checkers: compare what a module's ``backward`` gives with finite differences of its ``forward``.

For people who write or port a layer of their own::

    layer, input = MyLayer(5, 3).double(), torch.empty(4, 5, dtype=torch.float64)
    assert nn.Jacobian.testJacobian(layer, input) < 1e-6
    assert nn.Jacobian.testJacobianParameters(layer, input, layer.weight, layer.gradWeight) < 1e-6

Double precision is needed: a perturbation of 1e-6 is lost in single.
"""

from __future__ import annotations

import copy
from typing import Any

import torch

from .. import random


class Jacobian:
    """Checks of a module that takes and gives a tensor. All methods belong to the class.

    A Jacobian matrix here has a row for each element that is varied (of the input, or of ``param``) and a column for
    each element of the output.
    """

    @classmethod
    def _varied(cls, input: torch.Tensor) -> torch.Tensor:
        """The part of the input, or of its gradient, that holds numbers that can be varied; a view."""
        return input

    @classmethod
    def _fill(cls, tensor: torch.Tensor, minval: float | None, maxval: float | None) -> None:
        low, high = -2 if minval is None else minval, 2 if maxval is None else maxval
        tensor.copy_(random.rand(tensor.numel(), dtype=torch.float64).mul_(high - low).add_(low).view(tensor.shape))

    @classmethod
    def backward(
        cls, module: Any, input: torch.Tensor, param: torch.Tensor | None = None, dparam: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The Jacobian by the module's ``updateGradInput`` and ``accGradParameters``, one output after the other.

        Args:
            param, dparam: a parameter and its gradient, for the Jacobian with respect to it; by default that of the
                input.
        """
        columns = []
        for dout in cls._unit_vectors(module.forward(input)):
            module.zeroGradParameters()
            din = module.updateGradInput(input, dout)
            module.accGradParameters(input, dout)
            columns.append((cls._varied(din) if dparam is None else dparam).flatten().clone())
        return torch.stack(columns, 1)

    @classmethod
    def backwardUpdate(cls, module: Any, input: torch.Tensor, param: torch.Tensor) -> torch.Tensor:
        """What ``accUpdateGradParameters`` with a learning rate of 1 makes of ``param``, for each output."""
        params = module.parameters()[0]
        original = [p.clone() for p in params]
        columns = []
        for dout in cls._unit_vectors(module.forward(input)):
            module.updateGradInput(input, dout)
            module.accUpdateGradParameters(input, dout, 1)
            columns.append(param.flatten().clone())
            for p, value in zip(params, original):
                p.copy_(value)
        return torch.stack(columns, 1)

    @classmethod
    def forward(
        cls, module: Any, input: torch.Tensor, param: torch.Tensor | None = None, perturbation: float | None = None
    ) -> torch.Tensor:
        """The Jacobian by central differences.

        Args:
            param: what to vary, by default the input.
            perturbation: how far up and down, default 1e-6.
        """
        step = 1e-6 if perturbation is None else perturbation
        values = cls._varied(input) if param is None else param
        rows = []
        for place in _places(values):
            original = values[place].item()
            values[place] = original - step
            below = module.forward(input).flatten().clone()
            values[place] = original + step
            above = module.forward(input).flatten().clone()
            values[place] = original
            rows.append((above - below) / (2 * step))
        return torch.stack(rows)

    @classmethod
    def forwardUpdate(
        cls, module: Any, input: torch.Tensor, param: torch.Tensor, perturbation: float | None = None
    ) -> torch.Tensor:
        """What :meth:`backwardUpdate` should give, by central differences."""
        return param.reshape(-1, 1) - cls.forward(module, input, param, perturbation)

    @classmethod
    def testJacobian(
        cls,
        module: Any,
        input: torch.Tensor,
        minval: float | None = None,
        maxval: float | None = None,
        perturbation: float | None = None,
    ) -> float:
        """The largest error of the gradient with respect to the input, at an input drawn from minval (-2) to maxval
        (2).

        ``input`` is overwritten.
        """
        cls._fill(cls._varied(input), minval, maxval)
        return _largest(cls.forward(module, input, None, perturbation) - cls.backward(module, input))

    @classmethod
    def testJacobianParameters(
        cls,
        module: Any,
        input: torch.Tensor,
        param: torch.Tensor,
        dparam: torch.Tensor,
        minval: float | None = None,
        maxval: float | None = None,
        perturbation: float | None = None,
    ) -> float:
        """The largest error of the gradient ``dparam`` with respect to the parameter ``param``, both drawn anew."""
        cls._fill(cls._varied(input), minval, maxval)
        cls._fill(param, minval, maxval)
        backward = cls.backward(module, input, param, dparam)
        return _largest(cls.forward(module, input, param, perturbation) - backward)

    @classmethod
    def testJacobianUpdateParameters(
        cls,
        module: Any,
        input: torch.Tensor,
        param: torch.Tensor,
        minval: float | None = None,
        maxval: float | None = None,
        perturbation: float | None = None,
    ) -> float:
        """The largest error of ``accUpdateGradParameters`` on ``param``."""
        cls._fill(cls._varied(input), minval, maxval)
        cls._fill(param, minval, maxval)
        backward = cls.backwardUpdate(module, input, param)
        return _largest(cls.forwardUpdate(module, input, param, perturbation) - backward)

    @classmethod
    def testIO(
        cls, module: Any, input: torch.Tensor, minval: float | None = None, maxval: float | None = None
    ) -> tuple[float, float]:
        """The largest differences of output and gradInput between the module and a copy made by way of its fields."""
        twin = copy.deepcopy(module)
        gradOutput = torch.empty_like(module.forward(input))
        cls._fill(gradOutput, minval, maxval)
        for m in (module, twin):
            m.forward(input)
            m.zeroGradParameters()
            m.updateGradInput(input, gradOutput)
            m.accGradParameters(input, gradOutput)
        return _largest(module.output - twin.output), _largest(module.gradInput - twin.gradInput)

    @classmethod
    def testAllUpdate(cls, module: Any, input: torch.Tensor, weight: str, gradWeight: str) -> dict[str, float]:
        """The errors of the ways to update a parameter, by the name of the way; shared and not.

        Args:
            weight, gradWeight: the names of a parameter and its gradient.
        """
        lr = random.uniform(0.1, 1)
        gradOutput = torch.empty_like(module.forward(input))
        cls._fill(gradOutput, 0, 1)

        def stepped(count: int, direct: bool) -> list[Any]:
            twins = [module.clone() for _ in range(count)]
            for twin in twins[1:]:
                twin.share(twins[0], weight)
            for twin in twins:
                twin.forward(input)
                twin.zeroGradParameters()
                twin.updateGradInput(input, gradOutput)
                if not direct:
                    twin.accGradParameters(input, gradOutput)
            for twin in twins:
                if direct:
                    twin.accUpdateGradParameters(input, gradOutput, lr)
                else:
                    twin.updateParameters(lr)
            return twins

        (one,) = stepped(1, direct=False)
        errors = {}
        for label, direct in (("accGradParameters", False), ("accUpdateGradParameters", True)):
            for count, suffix in ((1, ""), (2, " [shared]")):
                wanted = getattr(module, weight) - count * lr * getattr(one, gradWeight)
                twins = stepped(count, direct)
                errors[label + suffix] = sum((wanted - getattr(twin, weight)).norm().item() for twin in twins)
        return errors

    @staticmethod
    def _unit_vectors(output: torch.Tensor) -> Any:
        dout = torch.zeros(output.shape, dtype=output.dtype, device=output.device)
        for place in _places(dout):
            dout.zero_()
            dout[place] = 1
            yield dout


class SparseJacobian(Jacobian):
    """:class:`Jacobian` for a module that takes a matrix of (index, value) rows: only the values are varied."""

    @classmethod
    def _varied(cls, input: torch.Tensor) -> torch.Tensor:
        return input.select(-1, 1)


def _places(tensor: torch.Tensor) -> list[tuple[int, ...]]:
    """The index of every element, in order."""
    return [tuple(place) for place in torch.ones(tensor.shape, device="cpu").nonzero().tolist()]


def _largest(error: torch.Tensor) -> float:
    return error.abs().max().item()
