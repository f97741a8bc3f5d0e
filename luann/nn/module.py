"""``Module``: what every layer and every net is."""

from __future__ import annotations

import copy
import functools
import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch

from .. import random, types
from ..errors import ArgumentError
from . import _kernels as kernels
from . import utils
from ._flatten import flatten
from ._nested import emptied
from ._object import Object

M = TypeVar("M", bound="Module")


def draw_uniformly(stdv: float | None, inputs: int, *parameters: torch.Tensor | None) -> None:
    """Draw parameters anew, with standard deviation ``stdv`` or, without one, between ±1/√inputs; passes over
    ``None``.
    """
    bound = 1 / math.sqrt(inputs) if stdv is None else stdv * math.sqrt(3)
    for parameter in parameters:
        if parameter is not None:
            random.uniform(parameter, -bound, bound)


class Module(Object):
    """The base of all layers: computes an output from an input, and gradients backwards.

    A subclass defines ``updateOutput(input)``, ``updateGradInput(input, gradOutput)`` and, with parameters,
    ``accGradParameters(input, gradOutput, scale)``; it may override ``backward`` where one kernel does both.

    Attributes:
        output: the result of the last ``forward``; the same tensor object for the module's life.
        gradInput: the gradient with respect to the input, likewise. ``None``: not wanted, and not computed.
        train: true in training (at first, and after ``training()``), false after ``evaluate()``.
        weight, bias, gradWeight, gradBias: the parameters and their gradients, ``None`` where there are none.
    """

    output: Any = None
    gradInput: Any = None
    weight: Any = None
    bias: Any = None
    gradWeight: Any = None
    gradBias: Any = None
    modules: Any = None
    train = True
    shared = False

    _noted: tuple[str, ...] = ()
    """The fields that ``forward`` leaves for ``backward`` beside ``output``, if they are as large."""

    _rereads: tuple[str, ...] = ("input", "output")
    """Of these what ``backward`` reads the numbers of. Counts for classes that compute as the one that says it."""

    def __init__(self) -> None:
        self.gradInput = torch.empty(0)
        self.output = torch.empty(0)
        self._type = types.typename(self.output)

    # Computing

    def updateOutput(self, input: Any) -> Any:
        """Compute ``output`` from ``input`` and return it."""
        return self.output

    def updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        """Compute ``gradInput`` and return it. ``forward(input)`` must have come before."""
        return self.gradInput

    def accGradParameters(self, input: Any, gradOutput: Any, scale: float = 1) -> None:
        """Add the gradients with respect to the parameters, times ``scale``, to ``gradWeight`` and ``gradBias``."""

    def forward(self, input: Any) -> Any:
        """``updateOutput(input)``."""
        return self.updateOutput(input)

    def backward(self, input: Any, gradOutput: Any, scale: float = 1) -> Any:
        """``updateGradInput``, then ``accGradParameters``; returns ``gradInput``."""
        self.updateGradInput(input, gradOutput)
        self.accGradParameters(input, gradOutput, scale)
        return self.gradInput

    def backwardUpdate(self, input: Any, gradOutput: Any, lr: float) -> Any:
        """``updateGradInput``, then ``accUpdateGradParameters``; returns ``gradInput``."""
        self.updateGradInput(input, gradOutput)
        self.accUpdateGradParameters(input, gradOutput, lr)
        return self.gradInput

    def skipInputGradient(self: M) -> M:
        """Have ``backward`` not compute the gradient with respect to the input, which a net that gets data has no use
        for; returns the module.

        It then returns ``None``; the gradients of the parameters stay the same. What is not computed any more has
        ``None`` for its ``gradInput``, which is how Torch7 says it and how it is saved: the first layers with
        parameters, in Sequential, Concat, ConcatTable, ParallelTable and graphs of nngraph those of all branches, and
        what comes before them. Where one of these cannot do without it, or comes again later, or nothing has
        parameters, all stays as it is.
        """
        entrance = self._entrance() if self.parameters()[0] else None
        times = Counter(map(id, self.listModules()))
        if entrance is None or any(times[id(module)] > 1 for module in entrance):
            return self
        for module in entrance:
            module.gradInput = None
            module._cache = None
        return self

    def _entrance(self) -> list[Module] | None:
        """The modules that can do without ``gradInput`` if this one need not compute it, itself among them; ``None``
        if it always has to. What has no parameters is not called then (:meth:`_idle`).
        """
        if not self.parameters()[0]:
            return self.listModules()
        own: Any = type(self)
        able = hasattr(own.updateGradInput, "_optional") and (
            own.backward is Module.backward or hasattr(own.backward, "_both")
        )
        replaced = self.modules or "updateGradInput" in vars(self) or "backward" in vars(self)
        return [self] if able and not replaced else None

    def _idle(self) -> bool:
        """Whether ``backward`` has nothing to do: no ``gradInput`` is wanted, and there are no parameters."""
        return self.gradInput is None and not self.parameters()[0]

    def __call__(self, *arguments: Any, gradOutput: Any = None) -> Any:
        """``forward``; with a ``gradOutput`` behind the input also ``backward``, and both results are returned.

        Called with nodes of a graph, or with nothing, it makes a node: see :class:`luann.nngraph.Node`.
        """
        if not arguments or not isinstance(arguments[0], torch.Tensor):
            node = None if self._node_of is None else self._node_of(self, arguments)
            if node is not None:
                return node
        input, gradOutput = (*arguments, gradOutput)[:2]
        self.forward(input)
        if gradOutput is None:
            return self.output
        self.backward(input, gradOutput)
        return self.output, self.gradInput

    def __neg__(self) -> Any:
        """``self()``: the node that begins a graph."""
        return self()

    def __rsub__(self, nodes: Any) -> Any:
        """``nodes - self`` is ``self(nodes)``: the node behind these nodes."""
        return self(nodes) if isinstance(nodes, (list, tuple)) else NotImplemented

    # Parameters

    def parameters(self) -> tuple[list[torch.Tensor] | None, list[torch.Tensor] | None]:
        """The parameters and their gradients, as two lists; ``(None, None)`` where there are none.

        Gradients that are missing, as in files that were saved without, are made, of zeros.
        """
        if self.weight is not None and self.gradWeight is None:
            self.gradWeight = torch.zeros_like(self.weight)
        if self.bias is not None and self.gradBias is None:
            self.gradBias = torch.zeros_like(self.bias)
        if self.weight is not None and self.bias is not None:
            return [self.weight, self.bias], [self.gradWeight, self.gradBias]
        if self.weight is not None:
            return [self.weight], [self.gradWeight]
        if self.bias is not None:
            return [self.bias], [self.gradBias]
        return None, None

    def getParameters(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Move all parameters into one flat tensor, all gradients into another, and return the two.

        The module's tensors stay the same objects and become views. Parameters that share memory appear once. A second
        call returns tensors over the same memory as the first.

        Raises:
            ArgumentError: parameters are shared otherwise than their gradients, so that the two vectors differ.
        """
        parameters, gradParameters = self.parameters()
        flat, gradFlat = flatten(parameters or []), flatten(gradParameters or [])
        if flat.numel() != gradFlat.numel():
            raise ArgumentError(
                f"{flat.numel()} parameters, but {gradFlat.numel()} gradients: share gradWeight and gradBias as "
                "weight and bias are shared"
            )
        for i, (p, g) in enumerate(zip(parameters or [], gradParameters or []), 1):
            if p.storage_offset() != g.storage_offset():
                raise ArgumentError(f"parameter {i} and its gradient are shared differently: their places differ")
        return flat, gradFlat

    flatten = staticmethod(flatten)

    def zeroGradParameters(self) -> None:
        """Set the gradients with respect to the parameters to zero."""
        for grad in self.parameters()[1] or ():
            grad.zero_()

    def updateParameters(self, learningRate: float) -> None:
        """Subtract ``learningRate`` times the gradients from the parameters."""
        parameters, gradParameters = self.parameters()
        for parameter, grad in zip(parameters or (), gradParameters or ()):
            parameter.add_(grad, alpha=-learningRate)

    def accUpdateGradParameters(self, input: Any, gradOutput: Any, lr: float) -> None:
        """Accumulate the gradients, times ``-lr``, straight into the parameters; the gradients are not kept.

        A module that shares parameters does it by way of its gradients instead, as Torch7's does.
        """
        if self.shared:
            self.sharedAccUpdateGradParameters(input, gradOutput, lr)
        else:
            self.defaultAccUpdateGradParameters(input, gradOutput, lr)

    def defaultAccUpdateGradParameters(self, input: Any, gradOutput: Any, lr: float) -> None:
        """The update with the parameters standing in for their gradients."""
        gradWeight, gradBias = self.gradWeight, self.gradBias
        self.gradWeight, self.gradBias = self.weight, self.bias
        try:
            self.accGradParameters(input, gradOutput, -lr)
        finally:
            self.gradWeight, self.gradBias = gradWeight, gradBias

    def sharedAccUpdateGradParameters(self, input: Any, gradOutput: Any, lr: float) -> None:
        """The update by way of the gradients, which are overwritten."""
        if self.parameters()[0]:
            self.zeroGradParameters()
            self.accGradParameters(input, gradOutput, 1)
            self.updateParameters(lr)

    def reset(self, stdv: float | None = None) -> Any:
        """Draw the parameters anew, uniformly; ``stdv`` is their standard deviation, by default the class's own."""

    # Sharing and copying

    def share(self: M, mlp: Module, *names: str) -> M:
        """Make the tensors called ``names`` use the memory of those in ``mlp``; returns this module."""
        for name in names:
            mine = getattr(self, name, None)
            if mine is not None:
                theirs = getattr(mlp, name, None)
                if theirs is None:
                    raise ArgumentError(f"{self} has a {name} to share, {mlp} has none")
                mine.set_(theirs)
                self.shared = mlp.shared = True
        return self

    def clone(self: M, *names: str) -> M:
        """A deep copy; with ``names`` it shares the tensors of these names with this module."""
        twin = copy.deepcopy(self)
        if names:
            twin.share(self, *names)
        return twin

    def clearState(self: M) -> M:
        """Empty ``output``, ``gradInput`` and the buffers, so that little but the parameters remains; returns the
        module.
        """
        self._cache = None
        return utils.clear(self, "output", "gradInput")

    def channels_last(self: M, enable: bool = True) -> M:
        """Keep images channels-last in memory between layers, here and below, from the next ``forward`` on; returns the
        module.

        Sizes and results are the same up to rounding, and convolutions, pooling and batch normalisation are faster on
        most processors. Convolutions over images give outputs in this layout, and batch normalisation, pooling,
        rectifiers and other layers that work on each number, CAddTable and Concat keep to it; all others take it, and
        those that need their input contiguous (View, Reshape, Linear behind them) copy it. The parameters stay as they
        are. What reads the memory of an ``output`` or ``gradInput`` must mind the strides. Copies have the setting,
        files do not, nor do modules added later.

        Args:
            enable: false undoes it.
        """
        for module in self.listModules():
            module._last = enable
            module._settle()
            module._cache = None
            for tensor in (module.output, module.gradInput):
                if not enable and isinstance(tensor, torch.Tensor) and kernels.lies_last(tensor):
                    tensor.set_(tensor.contiguous())
        return self

    def keepBuffers(self: M, enable: bool = True) -> M:
        """With false, have the containers here and below give back the memory of an ``output`` or a ``gradInput``
        as soon as nothing in the pass needs it, as autograd does; returns the module. Results are the same.

        In training that is for the most part in ``backward`` as it goes through the layers, or in
        ``accGradParameters`` where the two halves are called one by one; an output that no gradient is computed from
        goes in ``forward``, in evaluation every one. What the net returned stays: ``output`` and ``gradInput`` of the
        module that this is called on. Those of the layers inside are empty afterwards, and so are the places of maxima,
        the noise of Dropout and their like. Tensors that somebody holds are left alone.

        A second pass backward after one forward, or one after a forward in evaluation, raises a ModuleError; a part of
        a net that stays in evaluation while the rest is trained needs ``keepBuffers()`` of its own. A module that is
        there several times keeps everything, and so do layers that compute otherwise than those of luann.nn, and
        containers, with the modules right inside them. Memory that is asked for anew in each pass can take time.

        Copies have the setting, files do not, nor do modules added later.

        Args:
            enable: true undoes it, from the next ``forward`` on.
        """
        modules = self.listModules()
        times = Counter(map(id, modules))
        for module in modules:
            module._frees = not enable and times[id(module)] == 1 and module._can_free()
            module._enclosed = False
            module._lose_stand_ins()
        for module in modules:
            for other in module._reads():
                other._frees = False
        for module in modules:
            for child in module.modules or () if module._frees else ():
                child._enclosed = True
        return self

    def _can_free(self) -> bool:
        """Whether ``output`` and ``gradInput`` can go when a pass has used them: layers of other packages, and methods
        that somebody has put into an object, may read them again in the next pass.
        """
        own = computing(self, "_drop")
        return own.__module__.startswith(f"{__package__}.") and COMPUTING.isdisjoint(vars(self))

    def _reads(self) -> Iterable[Module]:
        """Other modules of which this one reads more than what it is given."""
        return ()

    def _release(self, name: str) -> None:
        """Let go of ``output``, or of ``gradInput``, which no one needs any more, if that is wanted."""
        if self._frees:
            self._drop(name)

    def _drop(self, name: str) -> None:
        """Have something empty in the place of ``output``, and of what belongs to it, or of ``gradInput``.

        The tensor itself is not touched: others may hold it, or what lies in the same memory.
        """
        fields = self.__dict__
        for field in (name, *self._noted) if name == "output" else (name,):
            if field in fields:
                fields[field] = emptied(fields[field])
        if name == "output":
            self._cache = None

    def _release_numbers(self) -> None:
        """Let go of ``output`` before ``backward`` if that does not read it, and no one else will."""
        if self._frees:
            self._drop_numbers()

    def _drop_numbers(self) -> None:
        if not rereads(self, "output"):
            self.output = emptied(self.output)
            self._cache = None

    # The tree

    def training(self) -> None:
        """Set ``train`` to true here and in all children."""
        self.train = True

    def evaluate(self) -> None:
        """Set ``train`` to false here and in all children."""
        self.train = False

    def apply(self, callback: Callable[[Module], Any]) -> None:
        """Call ``callback`` on this module, then on all below it, a container before its children."""
        callback(self)
        for module in self.modules or ():
            module.apply(callback)

    def listModules(self) -> list[Module]:
        """This module and all below it, in the order of :meth:`apply`."""
        found: list[Module] = []
        self.apply(found.append)
        return found

    def findModules(self, typename: str, container: Module | None = None) -> tuple[list[Module], list[Module]]:
        """All modules of a class, and the container of each; a module without one is its own.

        Args:
            typename: Torch7's name of the class, such as ``'nn.Linear'``; subclasses are not meant.
        """
        found, containers = [], []
        if self._typename == typename:
            found.append(self)
            containers.append(self if container is None else container)
        for module in self.modules or ():
            below, theirs = module.findModules(typename, self)
            found += below
            containers += theirs
        return found, containers

    def replace(self, callback: Callable[[Module], Module]) -> Module:
        """Put ``callback(module)`` in the place of every module, children after their container.

        Returns what takes the place of this one.
        """
        out = callback(self)
        if self.modules:
            self.modules[:] = [module.replace(callback) for module in self.modules]
        return out


COMPUTING = frozenset(("updateOutput", "updateGradInput", "accGradParameters", "backward", "accUpdateGradParameters"))
"""The methods that make of a module what it is, apart from its parameters."""


@functools.cache
def _computing(cls: Any, name: str) -> Any:
    return next(base for base in cls.__mro__ if name in vars(base) or not COMPUTING.isdisjoint(vars(base)))


def computing(module: Module, name: str) -> Any:
    """The class that computes for the module, or tells what is called ``name`` about how it is done: one that computes
    otherwise than its base does not inherit what that tells.
    """
    return _computing(type(module), name)  # type: ignore[arg-type]


def rereads(module: Module, what: str) -> bool:
    """Whether ``backward`` reads the numbers of the ``"input"``, or of the ``"output"``."""
    return what in vars(computing(module, "_rereads")).get("_rereads", Module._rereads)
