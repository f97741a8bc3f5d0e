"""rnn's own ``nn.Dropout``, which it puts in the place of nn's."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import torch

from ... import nn, random
from ...errors import ModuleError
from ...nn._kernels import resized
from ...nn._object import given


class Dropout(nn.Dropout):
    """:class:`luann.nn.Dropout` that can keep its noise; what ``nn.Dropout`` is for Torch7 once rnn is loaded.

    Input, output: any size.

    Args:
        p, v1, inplace: as there; evaluation with ``v1`` has no gradient, as in rnn.
        lazy: keep the noise until ``backward`` (or ``clearState``) was called; default no.
        mono: the same noise for all of a batch, along the first dimension; default no.

    There is no stochasticInference.
    """

    lazy = False
    mono = False
    flag = True

    @staticmethod
    def _fits(fields: dict) -> bool:
        return "lazy" in fields

    def __init__(
        self,
        p: float | None = None,
        v1: bool | None = None,
        inplace: bool | None = None,
        lazy: bool | None = None,
        mono: bool | None = None,
    ) -> None:
        super().__init__(p, v1)
        del self.inplace, self.stochastic_inference
        if inplace is not None:
            self.inplace = inplace
        self.lazy = given(lazy, False)
        self.mono = given(mono, False)
        self.flag = True  # draw noise in the next forward, although lazy

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        if self.p == 0 or not self.train:
            output = self._own(self.output, input)
            return output if self.train or self.v2 else output.mul_(1 - self.p)
        if not self.lazy or self.flag:
            size = (1, *input.shape[1:]) if self.mono else input.shape
            noise = random.bernoulli(resized(self.noise, size), 1 - self.p)
            if self.v2:
                noise.div_(1 - self.p)
            self.flag = False
        if self.inplace:
            return self.output.set_(input.mul_(self.noise))
        return torch.mul(input, self.noise, out=resized(self.output, input.shape))

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        if self.lazy:
            self.flag = True
        if not self.train and self.p > 0 and not self.v2:
            raise ModuleError("with v1 there is no backward pass in evaluation; call training() first")
        if self.train and self.p > 0:
            if self.inplace:
                return self.gradInput.set_(gradOutput.mul_(self.noise))
            return torch.mul(gradOutput, self.noise, out=resized(self.gradInput, gradOutput.shape))
        return self._own(self.gradInput, gradOutput)

    def clearState(self) -> Any:
        self.flag = True
        return super().clearState()

    def __tostring__(self) -> str:
        return f"{self._typename}({fixed(self.p, 1)}, {'lazy' if self.lazy else 'busy'})"


def fixed(number: float, digits: int) -> str:
    """A number with so many decimals, as LuaJIT prints it: it rounds a half up, where C and Python round to even."""
    return f"{Decimal(number).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)}"
