"""Table layers: their input or output is a list of tensors."""

from __future__ import annotations

from typing import Any

from ..errors import TensorTypeError
from ._guard import describe
from .container import Container


class ParallelTable(Container):
    """One module for each entry of the input.

    Input: a list as long as there are modules (what is beyond is not used). Output: the list of the modules' outputs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.output: list = []
        self.gradInput: list = []

    def _check(self, table: Any, what: str) -> None:
        if not isinstance(table, (list, tuple)) or len(table) < len(self.modules):
            raise TensorTypeError(f"{what} must be a list of {len(self.modules)} entries, got {describe(table)}")

    def updateOutput(self, input: list) -> list:
        self._check(input, "input")
        self.output[:] = [module.updateOutput(x) for module, x in zip(self.modules, input)]
        return self.output

    def updateGradInput(self, input: list, gradOutput: list) -> list:
        self._check(gradOutput, "gradOutput")
        self.gradInput[:] = [m.updateGradInput(x, g) for m, x, g in zip(self.modules, input, gradOutput)]
        return self.gradInput

    def accGradParameters(self, input: list, gradOutput: list, scale: float = 1) -> None:
        for module, x, g in zip(self.modules, input, gradOutput):
            module.accGradParameters(x, g, scale)

    def backward(self, input: list, gradOutput: list, scale: float = 1) -> list:
        self._check(gradOutput, "gradOutput")
        self.gradInput[:] = [m.backward(x, g, scale) for m, x, g in zip(self.modules, input, gradOutput)]
        return self.gradInput

    def accUpdateGradParameters(self, input: list, gradOutput: list, lr: float) -> None:
        for module, x, g in zip(self.modules, input, gradOutput):
            module.accUpdateGradParameters(x, g, lr)

    def __tostring__(self) -> str:
        return self._branches()
