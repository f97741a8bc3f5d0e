"""Layers that change the type or the layout of their input."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from .. import types
from ..errors import ArgumentError
from . import utils
from ._kernels import resized
from ._object import given, need_tensor
from .container import Container, Sequential
from .identity import Identity, handed_on
from .module import Module
from .selecting import Select
from .shaping import Reshape, Transpose


class Contiguous(Module):
    """``y = x``, contiguous in memory: the input's own memory if that is, else a copy. The gradient likewise."""

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        return self.output.set_(input.contiguous())

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        return self.gradInput.set_(gradOutput.contiguous())


class Copy(Module):
    """``y = x`` in another type; the gradient in the first one.

    Args:
        intype, outtype: Torch7 type names, such as ``'torch.CudaTensor'``; default the type of new tensors.
        forceCopy: copy where the two are the same; by default the input's memory is handed on then.
        dontCast: keep the types when the module is converted; default no.
    """

    dontCast: bool | None = None
    # In Torch7 one that hands its input on has functions of its own among the fields, under the names of the methods.
    _file_names: ClassVar[dict[str, str]] = {"_updateOutput": "updateOutput", "_updateGradInput": "updateGradInput"}

    def __init__(
        self,
        intype: str | None = None,
        outtype: str | None = None,
        forceCopy: bool | None = None,
        dontCast: bool | None = None,
    ) -> None:
        super().__init__()
        default = types.getdefaulttensortype()
        intype, outtype = given(intype, default), given(outtype, default)
        self.gradInput = _empty(intype)
        self.output = _empty(outtype)
        if dontCast is not None:
            self.dontCast = dontCast
        if not forceCopy and intype == outtype:
            self._updateOutput = self._updateGradInput = None

    def _restore(self, fields: dict, version: int) -> None:
        own = {name: mine for mine, name in self._file_names.items()}
        super()._restore({own.get(name, name): value for name, value in fields.items()}, version)

    @property
    def _alike(self) -> bool:
        """Whether the input is handed on."""
        return "_updateOutput" in self.__dict__

    def _convert(self, dtype: Any, device: Any, cache: dict) -> None:
        if not self.dontCast:
            super()._convert(dtype, device, cache)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        if self._alike:
            self.output = handed_on(self.output, input)
            return self.output
        return resized(self.output, input.shape).copy_(input)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        if self._alike:
            self.gradInput = handed_on(self.gradInput, gradOutput)
            return self.gradInput
        return resized(self.gradInput, gradOutput.shape).copy_(gradOutput)


def _empty(type: str) -> torch.Tensor:
    dtype, device = types.parse_type(type)
    utils.check_device(device)
    return torch.empty(0, dtype=dtype, device=device)


class Convert(Container):
    """The input in another layout, and in the module's type.

    A layout is a string with a letter for each dimension: b for the batch, c, h and w for images, f for features, t for
    time or targets, and so on. Without b it gets one in front, and an input with a dimension less than the layout is a
    single sample.

    Between layouts of the same letters dimensions are exchanged. Further, everything but ``bt`` converts to ``bf`` (b
    first, the rest in one dimension), ``b`` to ``bt`` or ``bf``, ``bt`` to ``b`` (the first entry), and ``bf`` to ``b``
    where f has size 1.

    Args:
        inputShape: the layout of the input; default any, and the layout is not changed.
        outputShape: the layout of the output; default that of the input.

    The module that does it is made at the first input, and is then the only one in :attr:`modules`, and in
    ``converter``.
    """

    transposition: bool | None = None
    converter: Any = None

    def __init__(self, inputShape: str | None = None, outputShape: str | None = None) -> None:
        super().__init__()
        if outputShape is not None and inputShape is None:
            raise ArgumentError(f"{self._typename}: an outputShape wants an inputShape, too")
        inputShape = given(inputShape, "b*")
        self.inputShape, self.outputShape = (
            shape if "b" in shape else "b" + shape for shape in (inputShape, given(outputShape, inputShape))
        )
        self.inputBatchDim = self.inputShape.index("b") + 1
        self.outputBatchDim = self.outputShape.index("b") + 1
        if "b*" in (self.inputShape, self.outputShape):
            if self.inputShape != self.outputShape:
                raise ArgumentError(f"{self._typename}: both shapes are 'b*', or none")
            self.nInputDim = self.nOutputDim = -1
            self.transposition = True
        else:
            self.nInputDim = len(self.inputShape)
            self.nOutputDim = len(self.outputShape)
            if self.nInputDim == self.nOutputDim:
                self.transposition = set(self.inputShape) <= set(self.outputShape)

    def _unknown(self) -> ArgumentError:
        return ArgumentError(f"cannot convert from {self.inputShape} to {self.outputShape}")

    def buildConverter(self, input: torch.Tensor) -> None:
        """Make ``converter``, for a batch such as ``input``."""
        if self.transposition:
            converter = self.transpose(self.outputShape)
        elif self.outputShape in ("bf", "b", "bt"):
            converter = getattr(self, "_to_" + self.outputShape)(input)
        else:
            raise self._unknown()
        self.converter = converter.type(self._type)
        self.modules[:] = [self.converter]

    def findAxis(self, axis_char: str, shape: str | None = None, silent: bool | None = None) -> Any:
        """The place of a letter in a layout, from 1; by default in that of the input.

        If it is missing, ``None`` where ``silent``, else an ArgumentError.
        """
        shape = given(shape, self.inputShape)
        if axis_char not in shape:
            if silent:
                return None
            raise ArgumentError(f"the shape {shape!r} has no axis {axis_char!r}")
        return shape.index(axis_char) + 1

    def transpose(self, newShape: str) -> Module:
        """A module that exchanges the dimensions of the input's layout to get ``newShape``."""
        if newShape == self.inputShape:
            return Identity()
        letters = list(self.inputShape)
        pairs = []
        for i, letter in enumerate(newShape):
            j = letters.index(letter)
            if i != j:
                letters[i], letters[j] = letters[j], letters[i]
                pairs.append([j + 1, i + 1])
        return Transpose(*pairs)

    def _to_bf(self, input: torch.Tensor) -> Module:
        if self.inputShape == "bt":
            raise self._unknown()
        if len(self.inputShape) == 1:
            return Reshape(1)
        first = self.findAxis("b")
        steps: list[Module] = [] if first == 1 else [Transpose([1, first])]
        if len(self.inputShape) > 2:
            steps.append(Reshape(input.numel() // input.shape[first - 1]))
        if len(steps) == 1:
            return steps[0]
        return Sequential().add(steps[0]).add(steps[1]) if steps else Identity()

    def _to_b(self, input: torch.Tensor) -> Module:
        if self.inputShape in ("bt", "tb"):
            return Select(self.findAxis("t"), 1)
        if self.inputShape not in ("bf", "fb"):
            raise self._unknown()
        f = self.findAxis("f")
        self._want(input.shape[f - 1] == 1, f"a single feature, to convert from {self.inputShape} to b", input)
        return Select(f, 1)

    def _to_bt(self, input: torch.Tensor) -> Module:
        if self.inputShape != "b":
            raise self._unknown()
        return Reshape(1)

    def _batch(self, input: torch.Tensor) -> torch.Tensor:
        """The input in the module's type, with a batch dimension."""
        dtype, device = types.parse_type(self._type)
        input = need_tensor(input).to(device=device, dtype=dtype)
        return input.unsqueeze(self.inputBatchDim - 1) if input.dim() < self.nInputDim else input

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        batch = self._batch(input)
        if self.converter is None:
            self.buildConverter(batch)
        output = self.converter.updateOutput(batch)
        self.output = output if batch.dim() == input.dim() else output.squeeze(self.outputBatchDim - 1)
        return self.output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        batch = self._batch(input)
        gradInput = self.converter.updateGradInput(batch, gradOutput.reshape(self.converter.output.shape))
        gradInput = gradInput.reshape(input.shape)
        same = input.dtype is batch.dtype and input.device == batch.device
        self.gradInput = gradInput if same else gradInput.clone()  # a copy, as the converted input was one
        return self.gradInput

    def clearState(self) -> Convert:
        # Torch7's own
        utils.clear(self, "_input", "_gradInput", "__input", "__output", "__gradInput", "__gradOutput")
        return super().clearState()
