"""Layers that treat each element by itself, or hand their input on."""

from __future__ import annotations

from typing import Any

import torch

from .module import Module


def handed_on(mine: Any, given: Any) -> Any:
    """``given`` as the output (or gradInput) of a layer that hands it on: ``mine`` over the memory of ``given``.

    A table is handed on itself; so is a tensor of another type than ``mine``, as a new tensor object over its memory.
    """
    if not isinstance(given, torch.Tensor):
        return given
    if isinstance(mine, torch.Tensor) and mine.dtype is given.dtype and mine.device == given.device:
        return mine.set_(given)
    return given.detach()


class Identity(Module):
    """``y = x``. Input, output: anything, tables too."""

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        # in a file they may be the very tensors of another module, or of the caller
        self.output, self.gradInput = handed_on(None, self.output), handed_on(None, self.gradInput)

    def updateOutput(self, input: Any) -> Any:
        self.output = handed_on(self.output, input)
        return self.output

    def updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        self.gradInput = handed_on(self.gradInput, gradOutput)
        return self.gradInput

    def clearState(self) -> Identity:
        for name in ("output", "gradInput"):  # a table belongs to somebody else, so none is emptied
            if not isinstance(getattr(self, name), torch.Tensor):
                setattr(self, name, [])
        return super().clearState()
