"""Modules that hand on, and tell what passes: for finding errors."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch

from ..errors import ModuleError
from ..timer import Timer
from ..types import typename
from ._guard import describe
from ._object import given, need_size
from .decorator import Decorator
from .identity import Identity
from .module import Module


class NaN(Decorator):
    """Hands on, and raises a ModuleError when its module's output or a gradient holds a NaN.

    Args:
        module: the module.
        id: a name or number for the message; by default a number, counted up.
    """

    _ids = itertools.count(1)

    def __init__(self, module: Module, id: Any = None) -> None:
        super().__init__(module)
        self.id = next(NaN._ids) if id is None else id

    _drop = Decorator._drop

    def _check(self, value: Any, what: str, *sources: tuple[Any, str]) -> None:
        """Raise if there is a NaN in ``value``, or rather in the first of ``sources`` that has one."""
        if _has_nan(value):
            where = next((name for source, name in sources if _has_nan(source)), what)
            raise ModuleError(f"NaN found in {where} of module:\n{self}")

    def updateOutput(self, input: Any) -> Any:
        super().updateOutput(input)
        self._check(self.output, "output", (input, "input"), (self.parameters()[0], "parameters"))
        return self.output

    def updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        super().updateGradInput(input, gradOutput)
        self._check(self.gradInput, "gradInput", (gradOutput, "gradOutput"))
        return self.gradInput

    def accGradParameters(self, input: Any, gradOutput: Any, scale: float = 1) -> None:
        super().accGradParameters(input, gradOutput, scale)
        self._check(self.parameters()[1], "gradParameters")

    def backward(self, input: Any, gradOutput: Any, scale: float = 1) -> Any:
        super().backward(input, gradOutput, scale)
        self._check(self.gradInput, "gradInput", (gradOutput, "gradOutput"))
        self._check(self.parameters()[1], "gradParameters")
        return self.gradInput

    def __tostring__(self) -> str:
        return f"{self._typename}({self.id}) @ {self.modules[0]}"


def _has_nan(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return value.is_floating_point() and bool(value.isnan().any())
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return isinstance(value, float) and value != value
    return any(map(_has_nan, value))


class Profile(Decorator):
    """Hands on, and prints from time to time how long its module took, forward and backward.

    Args:
        module: the module.
        print_interval: after how many passes to print, default 100.
        name: what to call the module, by default its type name.

    Attributes:
        numFwds, numBwds, summedFwdTime, summedBwdTime: the passes since it last printed, and the seconds they took.
            A pass backward is counted with the gradients of the parameters in ``backward()``, without in
            ``updateGradInput()``.
    """

    def __init__(self, module: Module, print_interval: int | None = None, name: str | None = None) -> None:
        super().__init__(module)
        self.print_interval = given(print_interval, 100)
        need_size(self, print_interval=self.print_interval)
        self.name = given(name, typename(module))
        self.module = module
        self.numFwds = 0
        self.numBwds = 0
        self.summedFwdTime = 0
        self.summedBwdTime = 0
        self.timer = Timer()

    _drop = Decorator._drop

    def _timed(self, kind: str, direction: str, compute: Callable, *arguments: Any) -> Any:
        self.timer.reset()
        result = compute(*arguments)
        if isinstance(result, torch.Tensor) and result.is_cuda:
            torch.cuda.synchronize(result.device)  # else the time would be that of handing the work over
        spent = getattr(self, f"summed{kind}Time") + self.timer.time().real
        passes = getattr(self, f"num{kind}s") + 1
        if passes % self.print_interval == 0:
            print(f"{self.name} took {spent:.3f} seconds for {self.print_interval} {direction} passes")
            spent = passes = 0
        setattr(self, f"summed{kind}Time", spent)
        setattr(self, f"num{kind}s", passes)
        return result

    def updateOutput(self, input: Any) -> Any:
        return self._timed("Fwd", "forward", super().updateOutput, input)

    def updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        return self._timed("Bwd", "backward", super().updateGradInput, input, gradOutput)

    def backward(self, input: Any, gradOutput: Any, scale: float = 1) -> Any:
        return self._timed("Bwd", "backward", super().backward, input, gradOutput, scale)


class PrintSize(Identity):
    """``y = x``, and prints the sizes of every input and gradOutput.

    Input, output: anything.

    Args:
        prefix: what to print before, default ``'PrintSize'``.
    """

    def __init__(self, prefix: str | None = None) -> None:
        super().__init__()
        self.prefix = given(prefix, "PrintSize")

    def updateOutput(self, input: Any) -> Any:
        print(f"{self.prefix}:input\n{_sizes(input)}")
        return super().updateOutput(input)

    def updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        print(f"{self.prefix}:gradOutput\n{_sizes(gradOutput)}")
        return super().updateGradInput(input, gradOutput)


def _sizes(value: Any) -> str:
    return "missing size" if value is None else describe(value)
