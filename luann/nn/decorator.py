"""Decorators: one module, and what is done around its computing."""

from __future__ import annotations

import math
from typing import Any

import torch

from .. import random
from ..errors import ArgumentError, ModuleError
from ..types import Storage, is_cuda_typename, parse_type, typename
from . import _kernels as kernels
from . import utils
from ._guard import describe
from ._kernels import resized
from ._nested import at, buffer, copied, first
from ._object import given, need_size
from .container import Container
from .module import Module


class Decorator(Container):
    """Hands everything on to one module; the base of the classes that add something.

    Args:
        module: the module; it is ``modules[0]``.
    """

    def __init__(self, module: Module) -> None:
        super().__init__()
        self.add(module)

    def updateOutput(self, input: Any) -> Any:
        self.output = self.modules[0].updateOutput(input)
        return self.output

    def updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        self.gradInput = self.modules[0].updateGradInput(input, gradOutput)
        return self.gradInput

    def accGradParameters(self, input: Any, gradOutput: Any, scale: float = 1) -> None:
        self.modules[0].accGradParameters(input, gradOutput, scale)

    def backward(self, input: Any, gradOutput: Any, scale: float = 1) -> Any:
        self.gradInput = self.modules[0].backward(input, gradOutput, scale)
        return self.gradInput

    def accUpdateGradParameters(self, input: Any, gradOutput: Any, lr: float) -> None:
        self.modules[0].accUpdateGradParameters(input, gradOutput, lr)

    def sharedAccUpdateGradParameters(self, input: Any, gradOutput: Any, lr: float) -> None:
        self.modules[0].sharedAccUpdateGradParameters(input, gradOutput, lr)

    def _drop(self, name: str) -> None:
        self._drop_with(name, self.modules)

    def __tostring__(self) -> str:
        return f"{self._typename} @ {self.modules[0]}"


class Bottle(Decorator):
    """Inputs of more dimensions than its module takes: the first ones are folded into one, and unfolded in the output.

    Input: a tensor of ``nInputDim`` dimensions or more. Output: the module's, with the folded dimensions again.

    As in Torch7 ``accUpdateGradParameters`` does not fold: it gives the module the input as it is.

    Args:
        module: the module.
        nInputDim: the number of dimensions it takes, default 2.
        nOutputDim: the number of dimensions of its output, default ``nInputDim``.
    """

    def __init__(self, module: Module, nInputDim: int | None = None, nOutputDim: int | None = None) -> None:
        super().__init__(module)
        self.nInputDim = given(nInputDim, 2)
        self.nOutputDim = given(nOutputDim, self.nInputDim)
        need_size(self, nInputDim=self.nInputDim, nOutputDim=self.nOutputDim)
        self.dimDelta = self.nInputDim - self.nOutputDim
        self.inShape = torch.zeros(self.nInputDim)  # Torch7 keeps the folded sizes here
        self.outShape = torch.zeros(self.nOutputDim)

    _drop = Decorator._drop

    def _folded(self, input: torch.Tensor) -> torch.Tensor:
        extra = input.dim() - self.nInputDim
        return input.flatten(0, extra) if extra > 0 else input

    def _like_output(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        return gradOutput.reshape(self.modules[0].output.shape) if input.dim() > self.nInputDim else gradOutput

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        output = self.modules[0].updateOutput(self._folded(input))
        extra = input.dim() - self.nInputDim
        if extra > 0:
            self._want(output.dim() == self.nOutputDim, f"{self.nOutputDim} dimensions from the module", output)
            before = input.shape[:extra]
            output = output.reshape(*before, output.shape[0] // math.prod(before), *output.shape[1:])
        return self.output.set_(output)

    def _unfolded(self, input: torch.Tensor, grad: torch.Tensor | None) -> torch.Tensor | None:
        """The module's gradInput with the size of ``input``, in ``gradInput``."""
        self.gradInput = None if grad is None else buffer(self.gradInput, grad).set_(grad.reshape(input.shape))
        return self.gradInput

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor | None:
        folded, gradOutput = self._folded(input), self._like_output(input, gradOutput)
        return self._unfolded(input, self.modules[0].updateGradInput(folded, gradOutput))

    def accGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> None:
        self.modules[0].accGradParameters(self._folded(input), self._like_output(input, gradOutput), scale)

    def backward(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> torch.Tensor | None:
        folded, gradOutput = self._folded(input), self._like_output(input, gradOutput)
        return self._unfolded(input, self.modules[0].backward(folded, gradOutput, scale))


class DontCast(Decorator):
    """Keeps its module's type when the net around is converted, and casts on the way in and out.

    Args:
        module: the module; ``float()`` and its kin do not reach it.
        castin: whether to cast the input to the module's type, and gradInput back to this decorator's; default no.
        castout: the same for the output and for gradOutput; default as ``castin``.
        moduleType: the name of the module's tensor type; by default that of its output or its parameters.
    """

    moduleType: str | None = None
    _input: Any = None
    _gradOutput: Any = None

    def __init__(
        self,
        module: Module,
        castin: bool | None = None,
        castout: bool | None = None,
        moduleType: str | None = None,
    ) -> None:
        super().__init__(module)
        self.castin = castin
        self.castout = given(castout, castin)
        if moduleType is not None:
            parse_type(moduleType)
            self.moduleType = moduleType
        elif self.castin or self.castout:
            tensor = first([module.output, module.parameters()[0]])
            if tensor is None:
                raise ArgumentError(
                    f"{self._typename}: {module} has neither output nor parameters that tell its type: give moduleType"
                )
            self.moduleType = typename(tensor)

    def _convert(self, dtype: torch.dtype | None, device: torch.device | None, cache: dict) -> None:
        if self.castout:
            self.output = utils.converted(self.output, dtype, device, cache, floating_only=True)
        if self.castin:
            self.gradInput = utils.converted(self.gradInput, dtype, device, cache, floating_only=True)

    _drop = Decorator._drop

    def _to_module(self, name: str, value: Any) -> Any:
        """``value`` in the module's type, in the buffer ``name`` if that is another."""
        tensor = first(value)
        dtype, device = parse_type(self.moduleType)
        if device is not None and not torch.cuda.is_available():
            device = torch.device("cpu")  # a module of a Cuda type, from a file
        if tensor is None or (tensor.dtype is dtype and (device is None or at(tensor, device))):
            return value
        setattr(self, name, copied(getattr(self, name), value, dtype, device))
        return getattr(self, name)

    def _from_module(self, name: str, value: Any) -> Any:
        """``value``, copied into the field ``name``, in the type of what is there."""
        mine = getattr(self, name)
        like = first(mine)
        dtype, device = (None, None) if like is None else (like.dtype, like.device)
        setattr(self, name, copied(mine, value, dtype, device))
        return getattr(self, name)

    def _given(self, input: Any, gradOutput: Any) -> tuple[Any, Any]:
        """What the module gets; the input was cast by ``updateOutput``."""
        if self.castin:
            input = self._to_module("_input", input)
        if self.castout:
            gradOutput = self._to_module("_gradOutput", gradOutput)
        return input, gradOutput

    def _taken(self, gradInput: Any) -> Any:
        if self.castin and gradInput is not None:
            return self._from_module("gradInput", gradInput)
        self.gradInput = gradInput
        return gradInput

    def updateOutput(self, input: Any) -> Any:
        if self.castin:
            input = self._to_module("_input", input)
        output = self.modules[0].updateOutput(input)
        if self.castout:
            return self._from_module("output", output)
        self.output = output
        return output

    def updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        return self._taken(self.modules[0].updateGradInput(*self._given(input, gradOutput)))

    def accGradParameters(self, input: Any, gradOutput: Any, scale: float = 1) -> None:
        self.modules[0].accGradParameters(*self._given(input, gradOutput), scale)

    def backward(self, input: Any, gradOutput: Any, scale: float = 1) -> Any:
        return self._taken(self.modules[0].backward(*self._given(input, gradOutput), scale))

    def accUpdateGradParameters(self, input: Any, gradOutput: Any, lr: float) -> None:
        self.modules[0].accUpdateGradParameters(*self._given(input, gradOutput), lr)


class GPU(Decorator):
    """Keeps its module on one GPU: what comes is moved there, the output moved on.

    That is so while the module is of a Cuda type and PyTorch finds that GPU; else everything is handed on.

    Args:
        module: the module.
        device: the number of the GPU, from 1.
        outdevice: the number of the one for the output, default ``device``. gradInput goes to where the input is.
    """

    def __init__(self, module: Module, device: int, outdevice: int | None = None) -> None:
        super().__init__(module)
        self.device = device
        self.outdevice = given(outdevice, device)
        need_size(self, device=self.device, outdevice=self.outdevice)
        type = module.type()
        if type is not None and is_cuda_typename(type):
            self.type(type)

    def setDevice(self, device: int | None = None) -> GPU:
        """Move the module to another GPU, by default to its own; returns the decorator."""
        self.device = given(device, self.device)
        need_size(self, device=self.device)
        return self.type(self._type)

    def _convert(self, dtype: torch.dtype | None, device: torch.device | None, cache: dict) -> None:
        if device is not None and device.type == "cuda":
            device = _gpu(self.device) or device
        super()._convert(dtype, device, cache)

    _drop = Decorator._drop

    def _on(self, number: int, value: Any) -> Any:
        """``value`` on the GPU of this number, if the module is on GPUs and there is that one."""
        device = _gpu(number) if is_cuda_typename(self._type) else None
        return value if device is None else _moved(value, device)

    def _taken(self, input: Any, gradInput: Any) -> Any:
        like = first(input) if is_cuda_typename(self._type) else None
        self.gradInput = gradInput if like is None else _moved(gradInput, like.device)
        return self.gradInput

    def updateOutput(self, input: Any) -> Any:
        self.output = self._on(self.outdevice, self.modules[0].updateOutput(self._on(self.device, input)))
        return self.output

    def updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        there = self._on(self.device, input), self._on(self.device, gradOutput)
        return self._taken(input, self.modules[0].updateGradInput(*there))

    def accGradParameters(self, input: Any, gradOutput: Any, scale: float = 1) -> None:
        self.modules[0].accGradParameters(self._on(self.device, input), self._on(self.device, gradOutput), scale)

    def backward(self, input: Any, gradOutput: Any, scale: float = 1) -> Any:
        there = self._on(self.device, input), self._on(self.device, gradOutput)
        return self._taken(input, self.modules[0].backward(*there, scale))

    def accUpdateGradParameters(self, input: Any, gradOutput: Any, lr: float) -> None:
        raise ModuleError(f"{self._typename} has no accUpdateGradParameters, as in Torch7; use backward()")

    def sharedAccUpdateGradParameters(self, input: Any, gradOutput: Any, lr: float) -> None:
        self.accUpdateGradParameters(input, gradOutput, lr)

    def clearState(self) -> GPU:
        self.__dict__.pop("_input", None)  # copies that Torch7 keeps
        self.__dict__.pop("_gradOutput", None)
        return super().clearState()

    def __tostring__(self) -> str:
        return f"{self._typename}({self.device}) @ {self.modules[0]}"


def _gpu(number: int) -> torch.device | None:
    """The GPU of this number, from 1; ``None`` if PyTorch finds none."""
    return torch.device("cuda", number - 1) if number <= torch.cuda.device_count() else None


def _moved(value: Any, device: torch.device) -> Any:
    """A nested table with its tensors on ``device``."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, (list, tuple)):
        return [_moved(v, device) for v in value]
    if isinstance(value, dict):
        return type(value)((key, _moved(v, device)) for key, v in value.items())
    return value


class WeightNorm(Decorator):
    """A module whose ``weight`` is made anew from a length ``g`` and a direction ``v`` for each output:
    ``weight = g v / √(‖v‖² + 1e-4)``.

    The parameters are ``v``, ``g`` and the module's bias, if it has one; ``weight`` follows in every forward of
    training, and in ``evaluate()``.

    Args:
        module: a module with a ``weight``.
        outputDim: the dimension of ``weight`` that counts the outputs, from 1; default 1.

    ``v`` (outputs x the rest) is drawn from a normal distribution of deviation √(2 / the rest), ``g`` is its length.

    As in Torch7, two things differ from other modules. ``backward`` leaves the gradient of ``v`` in the module's
    ``gradWeight``, and a next one adds to it what ``v`` and ``g`` get: call ``zeroGradParameters()`` in between. And
    ``accUpdateGradParameters`` changes the bias only.
    """

    weightSize: Storage | None = None  # files older than the option to leave weight out lack it

    def __init__(self, module: Module, outputDim: int | None = None) -> None:
        super().__init__(module)
        weight = module.weight
        self.outputDim = given(outputDim, 1)
        need_size(self, outputDim=self.outputDim)
        if not isinstance(weight, torch.Tensor) or self.outputDim > weight.dim():
            raise ArgumentError(
                f"{self._typename}: wants a module with a weight of {self.outputDim} dimensions or more, got {module} "
                f"with {describe(weight)}"
            )
        if module.bias is not None:
            self.bias, self.gradBias = module.bias, module.gradBias
        self.weight, self.gradWeight = weight, module.gradWeight
        self.weightSize = Storage(weight.shape)
        front = self._front(weight)
        outputs = front.shape[0]
        self.otherDims = weight.numel() // outputs
        self.viewIn = Storage([outputs, self.otherDims])
        self.viewOut = Storage(front.shape)
        self.v = weight.new_empty(outputs, self.otherDims)
        self.g = weight.new_empty(outputs)
        self._norm = weight.new_zeros(outputs)
        self._scale = weight.new_zeros(outputs)
        self.gradG = weight.new_zeros(outputs)
        self.gradV = weight.new_zeros(outputs, self.otherDims)
        self.resetInit()

    def resetInit(self) -> None:
        """Draw ``v`` anew, set ``g`` to its length and the bias to zero."""
        random.normal(self.v, 0, math.sqrt(2 / self.otherDims))
        resized(self.g, (self.v.shape[0], 1)).copy_(kernels.row_norms(self.v))
        if self.bias is not None:
            self.bias.zero_()

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        if self.weight is None:  # Torch7 leaves out what follows from v and g
            module = self.modules[0]
            self.weight = module.weight = self.v.new_empty(tuple(self.weightSize))
            self.gradWeight = module.gradWeight = torch.zeros_like(self.weight)
            norm, scale = self._norm, self._scale
            self._norm, self._scale = torch.empty_like(norm), torch.empty_like(scale)
            self.updateWeight()
            self._norm, self._scale = norm, scale  # as the last forward left them

    _drop = Decorator._drop

    def _front(self, weight: torch.Tensor) -> torch.Tensor:
        """A view of ``weight`` with the dimension of the outputs first."""
        return weight.movedim(self.outputDim - 1, 0)

    def updateWeight(self) -> None:
        """Make the module's ``weight`` from ``v`` and ``g``."""
        outputs = self.v.shape[0]
        torch.linalg.vector_norm(self.v, dim=1, keepdim=True, out=resized(self._norm, (outputs, 1)))
        self._norm.square_().add_(1e-4).sqrt_()
        torch.div(self.g.view(outputs), self._norm.view(outputs), out=resized(self._scale, (outputs,)))
        front = self._front(self.modules[0].weight)
        front.copy_((self.v * self._scale.view(outputs, 1)).view(front.shape))

    def evaluate(self) -> None:
        if self.train:
            self.updateWeight()
            super().evaluate()

    def updateOutput(self, input: Any) -> torch.Tensor:
        if self.train:
            self.updateWeight()
        return self.output.set_(self.modules[0].updateOutput(input))

    def _taken(self, gradInput: torch.Tensor | None) -> torch.Tensor | None:
        self.gradInput = None if gradInput is None else buffer(self.gradInput, gradInput).set_(gradInput)
        return self.gradInput

    def _accumulate(self) -> None:
        """Make the gradients of ``v`` and ``g`` from that of ``weight``."""
        front = self._front(self.modules[0].gradWeight)
        v, outputs = self.v, self.v.shape[0]
        grad, direction, scale = front.reshape(v.shape), v / self._norm, self._scale.view(outputs, 1)
        gradG = torch.sum(grad * direction, 1, keepdim=True, out=resized(self.gradG, (outputs, 1)))
        gradV = grad.sub(direction * gradG).mul_(scale).view(front.shape)
        resized(self.gradV, front.shape).copy_(gradV)
        front.copy_(gradV)

    def updateGradInput(self, input: Any, gradOutput: Any) -> torch.Tensor | None:
        return self._taken(self.modules[0].updateGradInput(input, gradOutput))

    def accGradParameters(self, input: Any, gradOutput: Any, scale: float = 1) -> None:
        self.modules[0].accGradParameters(input, gradOutput, scale)
        self._accumulate()

    def backward(self, input: Any, gradOutput: Any, scale: float = 1) -> torch.Tensor | None:
        gradInput = self._taken(self.modules[0].backward(input, gradOutput, scale))
        self._accumulate()
        return gradInput

    def zeroGradParameters(self) -> None:
        super().zeroGradParameters()
        self.gradV.zero_()
        self.gradG.zero_()

    def updateParameters(self, learningRate: float) -> None:
        super().updateParameters(learningRate)
        self.g.add_(self.gradG.view_as(self.g), alpha=-learningRate)
        self.v.add_(self.gradV.view_as(self.v), alpha=-learningRate)

    def parameters(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """``v``, ``g`` and the bias, if there is one; their gradients."""
        if self.bias is None:
            return [self.v, self.g], [self.gradV, self.gradG]
        return [self.v, self.g, self.bias], [self.gradV, self.gradG, self.gradBias]
