"""Containers: modules that hold modules."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import torch

from ..errors import ArgumentError, ModuleError, TensorTypeError
from ..types import Storage
from ._guard import describe
from ._kernels import resized, resized_like
from ._nested import added, buffer, copied, emptied, stand_in
from ._object import need_size
from .module import COMPUTING, Module, computing, rereads

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

    def _can_free(self) -> bool:
        return "_drop" in vars(computing(self, "_drop")) and COMPUTING.isdisjoint(vars(self))

    def _drop_with(self, name: str, modules: Iterable[Module]) -> None:
        """:meth:`_drop` of a container whose field of this name is made of those of ``modules``."""
        self.__dict__[name] = emptied(self.__dict__.get(name))
        for module in modules:
            module._release(name)

    def _need_outputs(self) -> None:
        """Raise a ModuleError if what a pass backward needs was given back."""
        if self._spent:
            raise ModuleError(
                "the outputs of the layers were given back, as keepBuffers(False) wants it: a pass backward needs a "
                "forward of its own, in training (call training() before it); a net or a part of one that is to be in "
                "evaluation needs keepBuffers(True)"
            )

    def _done(self, module: Module, *names: str) -> None:
        """Let go of these fields of a child that has done all of its pass backward."""
        if self._frees:
            for name in names:
                module._release(name)
                self._spent |= name == "output"

    def _joined_outputs(self) -> Any:
        """The ``output`` of a container that has put copies of the children's outputs there, which can go then, if no
        pass backward needs them.
        """
        self._spent = False
        if self._frees and not self.train:
            for module in self.modules:
                self._done(module, "output")
        return self.output

    def _working(self, grads: Iterable[Any]) -> list[tuple[Module, Any]]:
        """The children that have something to do in ``backward``, each with its gradient."""
        return [(m, g) for m, g in zip(self.modules, grads) if m.gradInput is not None or not m._idle()]

    def _summed(self, grads: Iterable[tuple[Module, Any]], *done: str) -> Any:
        """The sum of the modules' gradients, in ``gradInput``; ``None`` if no module computes one.

        Each is added before the next module computes its own: they may share the memory for it.

        Args:
            done: what the modules let go of then, as that was all of their pass.
        """
        first = True
        for module, grad in grads:
            if grad is not None:
                if first and self._last and isinstance(grad, torch.Tensor):
                    self.gradInput = resized_like(buffer(self.gradInput, grad), grad).copy_(grad)
                else:
                    self.gradInput = (copied if first else added)(self.gradInput, grad)
                first = False
            if done:
                grad = None  # or it would live on while the next is computed
                self._done(module, *done)
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

    def add(self: C, module: Module) -> C:
        return super().add(module)._ended()

    def insert(self: C, module: Module, index: int | None = None) -> C:
        return super().insert(module, index)._ended()

    def remove(self, index: int | None = None) -> Module:
        module = super().remove(index)
        self._ended()
        return module

    def _ended(self: C) -> C:
        """Have ``output`` and ``gradInput`` be those of the last and of the first module already, as in Torch7."""
        last, first = (self.modules[-1], self.modules[0]) if self.modules else (Module(), Module())
        self.output = getattr(last, "output", None)
        self.gradInput = getattr(first, "gradInput", None)
        return self

    def _entrance(self) -> list[Module] | None:
        first = next((i for i, module in enumerate(self.modules) if module.parameters()[0]), len(self.modules))
        return self._entrances(Sequential, self.modules[: first + 1])

    def _idle_before(self, i: int) -> bool:
        """Whether no module before the one at ``i`` has anything to do in ``backward``."""
        return all(module._idle() for module in self.modules[:i])

    def updateOutput(self, input: Any) -> Any:
        if self._frees or self._spent:
            return self._run_freeing(input)
        for module in self.modules:
            input = module.updateOutput(input)
        self.output = input
        return input

    def _run_freeing(self, input: Any) -> Any:
        """:meth:`updateOutput` where buffers are given back: an output as soon as the next layer has used it, if no
        pass backward will.
        """
        self._spent = self._frees and not self.train
        self._gone = gone = {}  # the number of a layer: what has the size of its input
        before = None
        for i, module in enumerate(self.modules):
            output = module.updateOutput(input)
            if before is not None and self._spent:
                before._release("output")
            elif before is not None and module._frees and not rereads(module, "input"):
                gone[i] = stand_in(input)
                before._release_numbers()
            before, input = module, output
        self.output = input
        return input

    def _given(self, i: int, input: Any) -> Any:
        """The input of the module at ``i``: numbers that it does not read are not there any more."""
        if not i:
            return input
        if self._gone and i in self._gone:
            return self._gone[i]
        return self.modules[i - 1].output

    def _go_back_freeing(
        self, input: Any, gradOutput: Any, compute: Callable[[Module, Any, Any], Any], done: bool = True
    ) -> Any:
        """A pass backward through the layers where buffers are given back; returns the gradient.

        Args:
            compute: what to do at a layer, with its input and its gradOutput; returns its gradInput.
            done: whether that ends the layers' pass.
        """
        self._need_outputs()
        modules = self.modules
        last = len(modules) - 1
        for i in range(last, -1, -1):
            module = modules[i]
            if done and i < last:
                module._release_numbers()
            if gradOutput is not None or i == last or not self._idle_before(i + 1):
                gradOutput = compute(module, self._given(i, input), gradOutput)
            if not done:
                continue
            self._spent = self._frees
            if i < last:
                module._release("output")
                modules[i + 1]._release("gradInput")
            elif self._enclosed:
                self._release("output")
        return gradOutput

    def _drop(self, name: str) -> None:
        self._drop_with(name, self.modules[-1:] if name == "output" else self.modules[:1])

    def _drop_numbers(self) -> None:
        self.output = emptied(self.output)
        for module in self.modules[-1:]:
            module._release_numbers()

    def updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        if self._frees or self._spent:

            def hand_back(module: Module, input: Any, gradOutput: Any) -> Any:
                module.gradInput = module.updateGradInput(input, gradOutput)
                return module.gradInput

            self.gradInput = self._go_back_freeing(input, gradOutput, hand_back, done=False)
            return self.gradInput
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
        if self._frees or self._spent:

            def accumulate(module: Module, input: Any, gradOutput: Any) -> Any:
                module.accGradParameters(input, gradOutput, scale)
                return module.gradInput

            self._go_back_freeing(input, gradOutput, accumulate)
            return
        modules = self.modules
        for i in range(len(modules) - 1, -1, -1):
            module = modules[i]
            module.accGradParameters(modules[i - 1].output if i else input, gradOutput, scale)
            gradOutput = module.gradInput
            if gradOutput is None and self._idle_before(i):
                break

    def backward(self, input: Any, gradOutput: Any, scale: float = 1) -> Any:
        if self._frees or self._spent:

            def differentiate(module: Module, input: Any, gradOutput: Any) -> Any:
                module.gradInput = module.backward(input, gradOutput, scale)
                return module.gradInput

            self.gradInput = self._go_back_freeing(input, gradOutput, differentiate)
            return self.gradInput
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
        if self._frees or self._spent:

            def accumulate(module: Module, input: Any, gradOutput: Any) -> Any:
                module.accUpdateGradParameters(input, gradOutput, lr)
                return module.gradInput

            self._go_back_freeing(input, gradOutput, accumulate)
            return
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

    def _each(self, input: torch.Tensor, gradOutput: torch.Tensor) -> list[tuple[Module, torch.Tensor, torch.Tensor]]:
        """The modules, each with its slice of the input and its part of gradOutput."""
        self._need_outputs()
        slices, dimension = self._slices(input), self.outputDimension - 1
        modules = self.modules[: len(slices)]
        parts = gradOutput.split([m.output.shape[dimension] for m in modules], dimension)
        return list(zip(modules, slices, parts))

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        outputs = [m.updateOutput(x) for m, x in zip(self.modules, self._slices(input))]
        size = list(outputs[0].shape)
        size[self.outputDimension - 1] = sum(out.shape[self.outputDimension - 1] for out in outputs)
        torch.cat(outputs, self.outputDimension - 1, out=resized(self.output, tuple(size)))
        return self._joined_outputs()

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        return self._joined(input, [m.updateGradInput(x, g) for m, x, g in self._each(input, gradOutput)])

    def accGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> None:
        for module, x, g in self._each(input, gradOutput):
            module.accGradParameters(x, g, scale)
            self._done(module, "output", "gradInput")

    def backward(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> torch.Tensor:
        parts = self._each(input, gradOutput)
        self._joined(input, [m.backward(x, g, scale) for m, x, g in parts])
        for module, _, _ in parts:
            self._done(module, "output", "gradInput")
        return self.gradInput

    def accUpdateGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, lr: float) -> None:
        for module, x, g in self._each(input, gradOutput):
            module.accUpdateGradParameters(x, g, lr)
            self._done(module, "output", "gradInput")

    def _drop(self, name: str) -> None:
        self._drop_with(name, ())

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
        self._need_outputs()
        dimension = self.dimension - 1
        return gradOutput.split([module.output.shape[dimension] for module in self.modules], dimension)

    def updateOutput(self, input: Any) -> torch.Tensor:
        outputs = [module.updateOutput(input) for module in self.modules]
        dimension = self.dimension - 1
        size = list(outputs[0].shape)
        size[dimension] = sum(out.shape[dimension] for out in outputs)
        into = resized_like(self.output, outputs[0], tuple(size)) if self._last else resized(self.output, tuple(size))
        torch.cat(outputs, dimension, out=into)
        return self._joined_outputs()

    def updateGradInput(self, input: Any, gradOutput: torch.Tensor) -> Any:
        return self._summed((m, m.updateGradInput(input, g)) for m, g in self._working(self._parts(gradOutput)))

    def accGradParameters(self, input: Any, gradOutput: torch.Tensor, scale: float = 1) -> None:
        for module, part in zip(self.modules, self._parts(gradOutput)):
            module.accGradParameters(input, part, scale)
            self._done(module, "output", "gradInput")

    def backward(self, input: Any, gradOutput: torch.Tensor, scale: float = 1) -> Any:
        grads = ((m, m.backward(input, g, scale)) for m, g in self._working(self._parts(gradOutput)))
        return self._summed(grads, "output", "gradInput")

    def _entrance(self) -> list[Module] | None:
        return self._entrances(Concat, self.modules)

    def _drop(self, name: str) -> None:
        self._drop_with(name, ())

    def accUpdateGradParameters(self, input: Any, gradOutput: torch.Tensor, lr: float) -> None:
        for module, part in zip(self.modules, self._parts(gradOutput)):
            module.accUpdateGradParameters(input, part, lr)
            self._done(module, "output", "gradInput")

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
        self._need_outputs()
        return self._windows(gradOutput, [module.output for module in self.modules])

    _drop = Concat._drop

    def updateOutput(self, input: Any) -> torch.Tensor:
        outputs = [module.updateOutput(input) for module in self.modules]
        size = [max(sizes) for sizes in zip(*(out.shape for out in outputs))]
        size[self.dimension - 1] = sum(out.shape[self.dimension - 1] for out in outputs)
        output = resized(self.output, tuple(size)).zero_()
        for window, out in zip(self._windows(output, outputs), outputs):
            window.copy_(out)
        return self._joined_outputs()

    def backward(self, input: Any, gradOutput: torch.Tensor, scale: float = 1) -> Any:
        grads = ((m, m.backward(input, g)) for m, g in self._working(self._parts(gradOutput)))
        return self._summed(grads, "output", "gradInput")
