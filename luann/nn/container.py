"""Containers: modules that hold modules."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import torch

from ..errors import ArgumentError, TensorTypeError
from ..types import Storage
from ._guard import describe
from ._kernels import resized, resized_like
from ._nested import added, buffer, copied
from ._object import need_size
from .module import Module

C = TypeVar("C", bound="Container")


class Container(Module):
    """A module that holds others, in the list :attr:`modules`.

    ``get``, ``insert`` and ``remove`` count from 1 as in Torch7; ``len``, iteration and indexing are a Python list's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.modules: list[Module] = []

    def add(self: C, module: Module) -> C:
        """Append a module; returns the container."""
        if not hasattr(module, "updateOutput"):
            raise TensorTypeError(f"{self._typename}: add() takes a module, got {describe(module)}")
        self.modules.append(module)
        return self

    def insert(self: C, module: Module, index: int | None = None) -> C:
        """Put a module at position ``index`` (from 1), by default at the end; returns the container."""
        size = len(self.modules)
        index = size + 1 if index is None else index
        if not 1 <= index <= size + 1:
            raise ArgumentError(f"{self._typename}: insert at {index}, but there are {size} modules")
        self.modules.insert(index - 1, module)
        return self

    def remove(self, index: int | None = None) -> Module:
        """Take out the module at ``index`` (from 1), by default the last one, and return it."""
        size = len(self.modules)
        index = size if index is None else index
        if not 1 <= index <= size:
            raise ArgumentError(f"{self._typename}: remove at {index}, but there are {size} modules")
        return self.modules.pop(index - 1)

    def get(self, index: int) -> Module | None:
        """The module at ``index``, counted from 1; ``None`` if there is none."""
        return self.modules[index - 1] if 1 <= index <= len(self.modules) else None

    def size(self) -> int:
        """The number of modules."""
        return len(self.modules)

    def __len__(self) -> int:
        return len(self.modules)

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Module]:
        return iter(self.modules)

    def __getitem__(self, index: Any) -> Any:
        return self.modules[index]

    def applyToModules(self, func: Callable[[Module], Any]) -> None:
        """Call ``func`` on every direct child."""
        for module in self.modules:
            func(module)

    def zeroGradParameters(self) -> None:
        self.applyToModules(lambda module: module.zeroGradParameters())

    def updateParameters(self, learningRate: float) -> None:
        self.applyToModules(lambda module: module.updateParameters(learningRate))

    def training(self) -> None:
        self.applyToModules(lambda module: module.training())
        super().training()

    def evaluate(self) -> None:
        self.applyToModules(lambda module: module.evaluate())
        super().evaluate()

    def share(self: C, mlp: Module, *names: str) -> C:
        """Share the tensors called ``names`` child by child with ``mlp``, which has the same structure."""
        for mine, theirs in zip(self.modules, mlp.modules, strict=True):
            mine.share(theirs, *names)
        return self

    def reset(self, stdv: float | None = None) -> None:
        self.applyToModules(lambda module: module.reset(stdv))

    def parameters(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """All parameters below, and their gradients; two empty lists where there are none."""
        parameters: list[torch.Tensor] = []
        gradParameters: list[torch.Tensor] = []
        for module in self.modules:
            p, g = module.parameters()
            if p:
                parameters += p
                gradParameters += g or []
        return parameters, gradParameters

    def clearState(self: C) -> C:
        # output and gradInput belong to a child, which decides itself what to do with them
        for name in ("output", "gradInput"):
            value = self.__dict__.get(name)
            if isinstance(value, torch.Tensor):
                self.__dict__[name] = value.new_empty(0)
            elif value is not None:
                self.__dict__[name] = []
        self.applyToModules(lambda module: module.clearState())
        return self

    def _idle(self) -> bool:
        return bool(self.modules) and all(module._idle() for module in self.modules)

    def _entrances(self, cls: Any, modules: Iterable[Module]) -> list[Module] | None:
        """:meth:`_entrance` of a container that differentiates as ``cls``, the class that asks, does; ``modules`` are
        those that come first.
        """
        if (type(self).updateGradInput, type(self).backward) != (cls.updateGradInput, cls.backward):
            return super()._entrance()
        found: list[Module] = [self]
        for module in modules:
            more = module._entrance()
            if more is None:
                return None
            found += more
        return found

    def _working(self, grads: Iterable[Any]) -> list[tuple[Module, Any]]:
        """The children that have something to do in ``backward``, each with its gradient."""
        return [(m, g) for m, g in zip(self.modules, grads) if m.gradInput is not None or not m._idle()]

    def _summed(self, grads: Iterable[Any]) -> Any:
        """The sum of the modules' gradients, in ``gradInput``; ``None`` if no module computes one.

        Each is added before the next module computes its own: they may share the memory for it.
        """
        first = True
        for grad in grads:
            if grad is not None:
                if first and self._last and isinstance(grad, torch.Tensor):
                    self.gradInput = resized_like(buffer(self.gradInput, grad), grad).copy_(grad)
                else:
                    self.gradInput = (copied if first else added)(self.gradInput, grad)
                first = False
        return None if first else self.gradInput

    def _branches(self) -> str:
        """Torch7's picture of children side by side, between ``input`` and ``output``."""
        text = f"{self._typename} {{\n  input"
        for i, module in enumerate(self.modules, 1):
            last = i == len(self.modules)
            child = module.__tostring__().replace("\n", "\n         " if last else "\n    |    ")
            text += f"\n  {'   `-> ' if last else '  |`-> '}({i}): {child}"
        return text + "\n     ... -> output\n}"


@functools.cache
def _only_hands_back(cls: Any) -> bool:
    """Whether ``backward`` of a class is its ``updateGradInput`` and nothing else."""
    return (
        getattr(cls, "backward", None) is Module.backward
        and getattr(cls, "accGradParameters", None) is Module.accGradParameters
    )


class Sequential(Container):
    """Modules one after the other: the output of each is the input of the next.

    Input, output: those of the first and of the last module. Without modules, the input itself.
    """

    def _entrance(self) -> list[Module] | None:
        first = next((i for i, module in enumerate(self.modules) if module.parameters()[0]), len(self.modules))
        return self._entrances(Sequential, self.modules[: first + 1])

    def _idle_before(self, i: int) -> bool:
        """Whether no module before the one at ``i`` has anything to do in ``backward``."""
        return all(module._idle() for module in self.modules[:i])

    def updateOutput(self, input: Any) -> Any:
        for module in self.modules:
            input = module.updateOutput(input)
        self.output = input
        return input

    def updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        modules = self.modules
        for i in range(len(modules) - 1, -1, -1):
            module = modules[i]
            gradOutput = module.updateGradInput(modules[i - 1].output if i else input, gradOutput)
            module.gradInput = gradOutput
            if gradOutput is None and self._idle_before(i):
                break
        self.gradInput = gradOutput
        return gradOutput

    def accGradParameters(self, input: Any, gradOutput: Any, scale: float = 1) -> None:
        modules = self.modules
        for i in range(len(modules) - 1, -1, -1):
            module = modules[i]
            module.accGradParameters(modules[i - 1].output if i else input, gradOutput, scale)
            gradOutput = module.gradInput
            if gradOutput is None and self._idle_before(i):
                break

    def backward(self, input: Any, gradOutput: Any, scale: float = 1) -> Any:
        modules = self.modules
        i = len(modules) - 1
        module = modules[i] if modules else None
        while i >= 0:
            before = modules[i - 1] if i else None
            given = before.output if i else input
            kind: Any = type(module)
            if _only_hands_back(kind) and "backward" not in module.__dict__:
                module.updateGradInput(given, gradOutput)
                gradOutput = module.gradInput
            else:
                module.gradInput = gradOutput = module.backward(given, gradOutput, scale)
            if gradOutput is None and self._idle_before(i):
                break
            module = before
            i -= 1
        self.gradInput = gradOutput
        return gradOutput

    def accUpdateGradParameters(self, input: Any, gradOutput: Any, lr: float) -> None:
        modules = self.modules
        for i in range(len(modules) - 1, -1, -1):
            module = modules[i]
            module.accUpdateGradParameters(modules[i - 1].output if i else input, gradOutput, lr)
            gradOutput = module.gradInput
            if gradOutput is None and self._idle_before(i):
                break

    def __tostring__(self) -> str:
        chain = "".join(f"({i}) -> " for i in range(1, len(self.modules) + 1))
        lines = [f"[input -> {chain}output]"]
        lines += [f"({i}): {module.__tostring__()}" for i, module in enumerate(self.modules, 1)]
        # subclasses show this name, too, as in Torch7
        return "nn.Sequential {\n" + "\n".join(lines).replace("\n", "\n  ").join(("  ", "\n}"))


class Parallel(Container):
    """Slices of the input to one module each, their outputs joined.

    Module ``i`` gets ``input.select(inputDimension, i)``; the outputs are concatenated along ``outputDimension``.

    Args:
        inputDimension: the dimension to slice, from 1; as long as there are modules, at most.
        outputDimension: the dimension to join along, from 1, counted in the modules' outputs.
    """

    def __init__(self, inputDimension: int, outputDimension: int) -> None:
        super().__init__()
        need_size(self, inputDimension=inputDimension, outputDimension=outputDimension)
        self.inputDimension = inputDimension
        self.outputDimension = outputDimension

    def _slices(self, input: torch.Tensor) -> tuple[torch.Tensor, ...]:
        slices = input.unbind(self.inputDimension - 1)
        self._want(
            0 < len(slices) <= len(self.modules),
            f"an input of size 1 to {len(self.modules)} in dimension {self.inputDimension}, a module for each slice",
            input,
        )
        return slices

    def _parts(self, gradOutput: torch.Tensor, count: int) -> tuple[torch.Tensor, ...]:
        """The part of gradOutput that belongs to each of the first ``count`` modules."""
        dimension = self.outputDimension - 1
        return gradOutput.split([m.output.shape[dimension] for m in self.modules[:count]], dimension)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        outputs = [m.updateOutput(x) for m, x in zip(self.modules, self._slices(input))]
        size = list(outputs[0].shape)
        size[self.outputDimension - 1] = sum(out.shape[self.outputDimension - 1] for out in outputs)
        return torch.cat(outputs, self.outputDimension - 1, out=resized(self.output, tuple(size)))

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        slices = self._slices(input)
        grads = zip(self.modules, slices, self._parts(gradOutput, len(slices)))
        return self._joined(input, [m.updateGradInput(x, g) for m, x, g in grads])

    def accGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> None:
        slices = self._slices(input)
        for module, x, g in zip(self.modules, slices, self._parts(gradOutput, len(slices))):
            module.accGradParameters(x, g, scale)

    def backward(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> torch.Tensor:
        slices = self._slices(input)
        grads = zip(self.modules, slices, self._parts(gradOutput, len(slices)))
        return self._joined(input, [m.backward(x, g, scale) for m, x, g in grads])

    def accUpdateGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, lr: float) -> None:
        slices = self._slices(input)
        for module, x, g in zip(self.modules, slices, self._parts(gradOutput, len(slices))):
            module.accUpdateGradParameters(x, g, lr)

    def _joined(self, input: torch.Tensor, grads: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack(grads, self.inputDimension - 1, out=resized(self.gradInput, tuple(input.shape)))

    def __tostring__(self) -> str:
        return self._branches()


class Concat(Container):
    """One input to all modules, their outputs joined along a dimension; the gradients add up.

    Input: what all modules take, a tensor or a table. Output: the modules' outputs, which differ in size along
    ``dimension`` only.

    Args:
        dimension: the dimension to join along, from 1, counted in the modules' outputs (a batch dimension counts).
    """

    def __init__(self, dimension: int) -> None:
        super().__init__()
        need_size(self, dimension=dimension)
        self.outputSize = Storage([])
        self.dimension = dimension

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        if "size" in self.__dict__:  # its name in old files, which would hide the method
            self.outputSize = self.__dict__.pop("size")

    def _parts(self, gradOutput: torch.Tensor) -> Iterable[torch.Tensor]:
        """The part of gradOutput that belongs to each module."""
        dimension = self.dimension - 1
        return gradOutput.split([module.output.shape[dimension] for module in self.modules], dimension)

    def updateOutput(self, input: Any) -> torch.Tensor:
        outputs = [module.updateOutput(input) for module in self.modules]
        dimension = self.dimension - 1
        size = list(outputs[0].shape)
        size[dimension] = sum(out.shape[dimension] for out in outputs)
        if self._last:
            return torch.cat(outputs, dimension, out=resized_like(self.output, outputs[0], tuple(size)))
        return torch.cat(outputs, dimension, out=resized(self.output, tuple(size)))

    def updateGradInput(self, input: Any, gradOutput: torch.Tensor) -> Any:
        return self._summed(m.updateGradInput(input, g) for m, g in self._working(self._parts(gradOutput)))

    def accGradParameters(self, input: Any, gradOutput: torch.Tensor, scale: float = 1) -> None:
        for module, part in zip(self.modules, self._parts(gradOutput)):
            module.accGradParameters(input, part, scale)

    def backward(self, input: Any, gradOutput: torch.Tensor, scale: float = 1) -> Any:
        return self._summed(m.backward(input, g, scale) for m, g in self._working(self._parts(gradOutput)))

    def _entrance(self) -> list[Module] | None:
        return self._entrances(Concat, self.modules)

    def accUpdateGradParameters(self, input: Any, gradOutput: torch.Tensor, lr: float) -> None:
        for module, part in zip(self.modules, self._parts(gradOutput)):
            module.accUpdateGradParameters(input, part, lr)

    def __tostring__(self) -> str:
        return self._branches()


class DepthConcat(Concat):
    """:class:`Concat` of outputs that may differ in size along all dimensions: the smaller ones get zeros around.

    Each output lies in the middle of the largest; where that cannot be, one nearer to the beginning.
    As in Torch7 ``backward`` does not pass ``scale`` on; ``accGradParameters`` does.
    """

    def _windows(self, whole: torch.Tensor, outputs: list[torch.Tensor]) -> list[torch.Tensor]:
        """The parts of ``whole``, which has the size of the output, that belong to each of ``outputs``."""
        dimension = self.dimension - 1
        windows = whole.split([out.shape[dimension] for out in outputs], dimension)
        return [self._middle(window, out.shape, dimension) for window, out in zip(windows, outputs)]

    def _middle(self, window: torch.Tensor, size: tuple[int, ...], dimension: int) -> torch.Tensor:
        for d, n in enumerate(size):
            if d != dimension and n != window.shape[d]:
                window = window.narrow(d, (window.shape[d] - n) // 2, n)
        return window

    def _parts(self, gradOutput: torch.Tensor) -> list[torch.Tensor]:
        return self._windows(gradOutput, [module.output for module in self.modules])

    def updateOutput(self, input: Any) -> torch.Tensor:
        outputs = [module.updateOutput(input) for module in self.modules]
        size = [max(sizes) for sizes in zip(*(out.shape for out in outputs))]
        size[self.dimension - 1] = sum(out.shape[self.dimension - 1] for out in outputs)
        output = resized(self.output, tuple(size)).zero_()
        for window, out in zip(self._windows(output, outputs), outputs):
            window.copy_(out)
        return output

    def backward(self, input: Any, gradOutput: torch.Tensor, scale: float = 1) -> Any:
        return self._summed(m.backward(input, g) for m, g in self._working(self._parts(gradOutput)))
