"""Containers over tables: several modules side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ...errors import ArgumentError, TensorTypeError
from .._guard import describe
from ..container import Container
from ..module import Module


def _need_entries(table: Any, count: int, what: str) -> None:
    if not isinstance(table, (list, tuple)) or len(table) < count:
        raise TensorTypeError(f"{what} must be a list of {count} entries, got {describe(table)}")


class ParallelTable(Container):
    """One module for each entry of the input.

    Input: a list as long as there are modules (what is beyond is not used). Output: the list of the modules' outputs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.output: list = []
        self.gradInput: list = []

    def updateOutput(self, input: list) -> list:
        _need_entries(input, len(self.modules), "input")
        self.output[:] = [module.updateOutput(x) for module, x in zip(self.modules, input)]
        return self.output

    def updateGradInput(self, input: list, gradOutput: list) -> list | None:
        _need_entries(gradOutput, len(self.modules), "gradOutput")
        return self._gathered(m.updateGradInput(x, g) for m, (x, g) in self._working(zip(input, gradOutput)))

    def _drop(self, name: str) -> None:
        self._drop_with(name, self.modules)

    def _gathered(self, grads: Iterable[Any]) -> list | None:
        """The gradients in ``gradInput``, unless none is wanted."""
        found = list(grads)
        if self.gradInput is None:
            if all(grad is None for grad in found):
                return None
            self.gradInput = []
        self.gradInput[:] = found
        return self.gradInput

    def _entrance(self) -> list[Module] | None:
        return self._entrances(ParallelTable, self.modules)

    def accGradParameters(self, input: list, gradOutput: list, scale: float = 1) -> None:
        for module, x, g in zip(self.modules, input, gradOutput):
            module.accGradParameters(x, g, scale)

    def backward(self, input: list, gradOutput: list, scale: float = 1) -> list | None:
        _need_entries(gradOutput, len(self.modules), "gradOutput")
        return self._gathered(m.backward(x, g, scale) for m, (x, g) in self._working(zip(input, gradOutput)))

    def accUpdateGradParameters(self, input: list, gradOutput: list, lr: float) -> None:
        for module, x, g in zip(self.modules, input, gradOutput):
            module.accUpdateGradParameters(x, g, lr)

    def __tostring__(self) -> str:
        return self._branches()


class ConcatTable(Container):
    """One input to all modules; the gradients add up.

    Input: what all modules take, a tensor or a table. Output: the list of the modules' outputs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.output: list = []

    def updateOutput(self, input: Any) -> list:
        self.output[:] = [module.updateOutput(input) for module in self.modules]
        return self.output

    def _drop_numbers(self) -> None:
        self.output = []
        for module in self.modules:
            module._release_numbers()

    def updateGradInput(self, input: Any, gradOutput: list) -> Any:
        _need_entries(gradOutput, len(self.modules), "gradOutput")
        return self._summed((m, m.updateGradInput(input, g)) for m, g in self._working(gradOutput))

    def _drop(self, name: str) -> None:
        self._drop_with(name, self.modules if name == "output" else ())

    def accGradParameters(self, input: Any, gradOutput: list, scale: float = 1) -> None:
        for module, g in zip(self.modules, gradOutput):
            module.accGradParameters(input, g, scale)
            self._done(module, "gradInput")

    def backward(self, input: Any, gradOutput: list, scale: float = 1) -> Any:
        _need_entries(gradOutput, len(self.modules), "gradOutput")
        return self._summed(((m, m.backward(input, g, scale)) for m, g in self._working(gradOutput)), "gradInput")

    def _entrance(self) -> list[Module] | None:
        return self._entrances(ConcatTable, self.modules)

    def accUpdateGradParameters(self, input: Any, gradOutput: list, lr: float) -> None:
        for module, g in zip(self.modules, gradOutput):
            module.accUpdateGradParameters(input, g, lr)
            self._done(module, "gradInput")

    def __tostring__(self) -> str:
        return self._branches()


class MapTable(Container):
    """The same module for every entry of the input, with a copy of it for each entry beyond the first.

    Input: a list. Output: the list of the outputs.

    Args:
        module: the module; may be left out and given by :meth:`add`.
        shared: whether the copies share ``weight``, ``bias`` and their gradients with it, default yes.

    ``parameters()`` lists those of every copy ever made; :meth:`resize` and ``clearState()`` drop copies.
    """

    module: Module | None = None
    sharedparams: Sequence[str] = ("weight", "bias", "gradWeight", "gradBias")  # older files lack it

    def __init__(self, module: Module | None = None, shared: bool | None = None) -> None:
        super().__init__()
        self.shared = shared is not False
        self.sharedparams = ["weight", "bias", "gradWeight", "gradBias"]
        self.output: list = []
        self.gradInput: list = []
        if module is not None:
            self.add(module)

    def add(self, module: Module) -> MapTable:
        """Set the module, which must not be there yet; returns the container."""
        if self.module is not None:
            raise ArgumentError(f"{self._typename} holds a single module, and has {self.module}")
        super().add(module)
        self.module = module
        return self

    def _extend(self, n: int) -> list[Module]:
        """The first ``n`` copies; those that are missing are made."""
        if self.module is None:
            raise ArgumentError(f"{self._typename} has no module yet: give it one with add()")
        self.modules[:1] = [self.module]
        while len(self.modules) < n:
            self.modules.append(self.module.clone(*self.sharedparams if self.shared else ()))
        return self.modules[:n]

    def resize(self, n: int) -> None:
        """Make or drop copies, so that there are ``n``."""
        self._extend(n)
        del self.modules[max(n, 1) :]

    def updateOutput(self, input: list) -> list:
        self.output[:] = [m.updateOutput(x) for m, x in zip(self._extend(len(input)), input)]
        return self.output

    def updateGradInput(self, input: list, gradOutput: list) -> list:
        _need_entries(gradOutput, len(input), "gradOutput")
        copies = self._extend(len(input))
        self.gradInput[:] = [m.updateGradInput(x, g) for m, x, g in zip(copies, input, gradOutput)]
        return self.gradInput

    def accGradParameters(self, input: list, gradOutput: list, scale: float = 1) -> None:
        for module, x, g in zip(self._extend(len(input)), input, gradOutput):
            module.accGradParameters(x, g, scale)

    def backward(self, input: list, gradOutput: list, scale: float = 1) -> list:
        _need_entries(gradOutput, len(input), "gradOutput")
        copies = self._extend(len(input))
        self.gradInput[:] = [m.backward(x, g, scale) for m, x, g in zip(copies, input, gradOutput)]
        return self.gradInput

    def accUpdateGradParameters(self, input: list, gradOutput: list, lr: float) -> None:
        for module, x, g in zip(self._extend(len(input)), input, gradOutput):
            module.accUpdateGradParameters(x, g, lr)

    def _drop(self, name: str) -> None:
        self._drop_with(name, self.modules)

    def zeroGradParameters(self) -> None:
        if not self.shared:
            super().zeroGradParameters()
        elif self.module is not None:
            self.module.zeroGradParameters()

    def updateParameters(self, learningRate: float) -> None:
        if not self.shared:
            super().updateParameters(learningRate)
        elif self.module is not None:
            self.module.updateParameters(learningRate)

    def clearState(self) -> MapTable:
        del self.modules[1:]
        return super().clearState()

    def __tostring__(self) -> str:
        if self.module is None:
            return f"{self._typename} {{ }}"
        child = str(self.module).replace("\n", "\n        ")
        return f"{self._typename} {{\n  {child}\n}}"
