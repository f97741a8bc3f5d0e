"""The layers that come with nngraph."""

from __future__ import annotations

from typing import Any

import torch

from .. import random
from ..errors import ShapeError
from ..nn import Module
from ..nn._guard import describe
from ..nn._object import need_size
from ..nn.identity import handed_on, own


class JustElement(Module, typename="nngraph.JustElement"):
    """The only entry of a table. Input: a list of one. Output: its entry."""

    def __init__(self) -> None:
        self.gradInput: list = []

    def updateOutput(self, input: list) -> Any:
        if len(input) != 1:
            raise ShapeError(f"wanted a list of one entry, got {describe(input)}")
        self.output = handed_on(self.output, input[0])
        return self.output

    def updateGradInput(self, input: list, gradOutput: Any) -> list:
        self.gradInput[:] = [gradOutput]
        return self.gradInput


class JustTable(Module, typename="nngraph.JustTable"):
    """A table of one entry. Input: anything. Output: a list that holds it alone."""

    def __init__(self) -> None:
        self.output: list = []

    def updateOutput(self, input: Any) -> list:
        self.output[:] = [input]
        return self.output

    def updateGradInput(self, input: Any, gradOutput: list) -> Any:
        self.gradInput = handed_on(self.gradInput, gradOutput[0])
        return self.gradInput


class IdentityTable(Module):
    """A table handed on, entry by entry; the form that :class:`luann.nn.Identity` had for tables in early nngraph.

    Input: a list. Output: another list of the same entries.
    """

    def __init__(self) -> None:
        self.output: list = []
        self.gradInput: list = []

    def updateOutput(self, input: list) -> list:
        self.output[:] = input
        return self.output

    def updateGradInput(self, input: list, gradOutput: list) -> list:
        self.gradInput[:] = gradOutput
        return self.gradInput


class Parameters(Module, typename="nnop.Parameters"):
    """A tensor of parameters as a node of its own, called with nothing: ``w = nngraph.Parameters(3, 4)()``.

    It needs no input, and is none of the graph's inputs. Output: :attr:`weight`. The gradient is added to
    ``gradWeight``.

    Args:
        size: the tensor's sizes. It is drawn from a normal distribution of deviation 0.01.
    """

    def __init__(self, *size: int) -> None:
        super().__init__()
        need_size(self, **{f"size {i}": n for i, n in enumerate(size, 1)})
        self.weight = torch.empty(size)
        self.gradWeight = torch.zeros(size)
        self.reset()

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        self.output = own(self.output)  # in Torch7 it is the weight itself

    def reset(self, stdv: float | None = None) -> None:
        random.normal(self.weight, 0, 0.01 if stdv is None else stdv)

    def updateOutput(self, input: Any = None) -> torch.Tensor:
        self.output = handed_on(self.output, self.weight)
        return self.output

    def updateGradInput(self, input: Any, gradOutput: torch.Tensor) -> None:
        return None

    def accGradParameters(self, input: Any, gradOutput: torch.Tensor, scale: float = 1) -> None:
        self.gradWeight.add_(gradOutput, alpha=scale)
