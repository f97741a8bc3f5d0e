"""XNOR-Net (allenai/XNOR-Net): nets whose activations are signs."""

from __future__ import annotations

import torch

from ..nn._pointwise import Pointwise

__all__ = ["BinActiveZ"]


class BinActiveZ(Pointwise):
    """``y = sign(x)``; the gradient is that of the identity between -1 and 1, and 0 elsewhere. Input, output: any
    size.
    """

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        torch.sign(x, out=y)

    def _gradient(self, x: torch.Tensor, g: torch.Tensor, out: torch.Tensor) -> None:
        torch.mul(g, x.abs() < 1, out=out)
