"""Padding of images and volumes."""

from __future__ import annotations

from typing import Any

import torch

from ..errors import ArgumentError
from ._kernels import resized
from ._object import given, need_tensor
from .module import Module

_C = torch._C._nn
_aten = torch.ops.aten


class _Padding(Module):
    """Adds elements at the sides, or cuts them off.

    A subclass names the paddings, in PyTorch's order: two for each dimension, the last dimension first.
    """

    _sides: dict[str, str] = {}
    """Name of a padding -> what Torch7 prints for it."""

    def __init__(self, *paddings: int | None) -> None:
        super().__init__()
        for name, padding in zip(self._sides, paddings):
            padding = given(padding, paddings[0])
            if isinstance(padding, bool) or not isinstance(padding, int):
                raise ArgumentError(f"{self._typename}: {name} must be a whole number, got {padding!r}")
            setattr(self, name, padding)

    def _padding(self) -> list[int]:
        return [getattr(self, name) for name in self._sides]

    def _size(self, input: torch.Tensor, padding: list[int]) -> tuple[int, ...]:
        """The size of the output."""
        size = list(input.shape)
        for i in range(len(padding) // 2):
            size[-1 - i] += padding[2 * i] + padding[2 * i + 1]
        return tuple(size)

    def _diagnose(self, input: torch.Tensor) -> None:
        padding = self._padding()
        dims = len(padding) // 2
        what = "planes x H x W" if dims == 2 else "planes x T x H x W"
        self._want(need_tensor(input).dim() in (dims + 1, dims + 2), f"{what}, or a batch of these", input)
        kept = [n + min(before, 0) + min(after, 0) for n, before, after in self._by_dimension(input)]
        self._want(min(kept) > 0, f"planes larger than what {self} cuts off", input)

    def _by_dimension(self, input: torch.Tensor) -> list[tuple[int, int, int]]:
        """Size, padding before and padding after, the last dimension first."""
        padding = self._padding()
        return list(zip(input.shape[::-1], padding[::2], padding[1::2]))

    def __tostring__(self) -> str:
        sides = zip(self._sides.values(), self._padding())
        return f"{self._typename}({', '.join(f'{side}={n}' for side, n in sides)})"


class _SpatialPadding(_Padding):
    _sides = {"pad_l": "l", "pad_r": "r", "pad_t": "t", "pad_b": "b"}

    def __init__(
        self, pad_l: int, pad_r: int | None = None, pad_t: int | None = None, pad_b: int | None = None
    ) -> None:
        super().__init__(pad_l, pad_r, pad_t, pad_b)


class SpatialZeroPadding(_SpatialPadding):
    """Rows and columns of zeros added at the sides; cut off where a padding is negative.

    Input: planes x H x W, or a batch of these. Output: planes x (pad_t + H + pad_b) x (pad_l + W + pad_r), or a batch.

    Args:
        pad_l: columns added on the left.
        pad_r, pad_t, pad_b: columns on the right, rows at the top and at the bottom, by default pad_l.
    """

    def _shared(self, plain: torch.Tensor, padded: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The parts of an unpadded and a padded tensor that hold the same elements."""
        left, right, top, bottom = self._padding()
        high, wide = (max(n + min(after, 0), 0) for n, after in zip(plain.shape[-2:], (bottom, right)))
        inner = plain[..., max(-top, 0) : high, max(-left, 0) : wide]
        high, wide = padded.shape[-2:]
        return inner, padded[..., max(top, 0) : high - max(bottom, 0), max(left, 0) : wide - max(right, 0)]

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        if input.dim() not in (3, 4):
            self._diagnose(input)
        output = resized(self.output, self._size(input, self._padding())).zero_()
        inner, place = self._shared(input, output)
        if not inner.numel():
            self._diagnose(input)
        place.copy_(inner)
        return output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        gradInput = resized(self.gradInput, input.shape).zero_()
        inner, place = self._shared(gradInput, gradOutput)
        inner.copy_(place)
        return gradInput


class SpatialReflectionPadding(_SpatialPadding):
    """Rows and columns added at the sides that mirror the image; cut off where a padding is negative.

    The row or column at the edge itself is not repeated, so that a padding is smaller than the image.

    Input, output, arguments: as those of :class:`SpatialZeroPadding`.
    """

    _pad: Any = staticmethod(_C.reflection_pad2d)
    _pad_backward: Any = staticmethod(_aten.reflection_pad2d_backward.grad_input._op)

    def _diagnose(self, input: torch.Tensor) -> None:
        super()._diagnose(input)
        fits = all(max(before, after) < n for n, before, after in self._by_dimension(input))
        self._want(fits, "planes larger than the padding", input)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        padding = self._padding()
        # contiguous: the kernels lay their result out as the input
        return self._pad(input.contiguous(), padding, out=resized(self.output, self._size(input, padding)))

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        grad, gradInput = gradOutput.contiguous(), resized(self.gradInput, input.shape)
        return self._pad_backward(grad, input.contiguous(), self._padding(), grad_input=gradInput)


class SpatialReplicationPadding(SpatialReflectionPadding):
    """Rows and columns added at the sides that repeat the ones at the edges; cut off where a padding is negative.

    Input, output, arguments: as those of :class:`SpatialZeroPadding`.
    """

    _pad = staticmethod(_C.replication_pad2d)
    _pad_backward = staticmethod(_aten.replication_pad2d_backward.grad_input._op)
    _diagnose = _Padding._diagnose


class VolumetricReplicationPadding(SpatialReplicationPadding):
    """Layers added around volumes that repeat the ones at the sides; cut off where a padding is negative.

    Input: planes x T x H x W, or a batch of these. Output: the same with pfront + T + pback, ptop + H + pbottom and
    pleft + W + pright.

    Args:
        pleft: columns added on the left.
        pright, ptop, pbottom, pfront, pback: what is added at the other sides, by default pleft.
    """

    _sides = {
        "pleft": "left",
        "pright": "right",
        "ptop": "top",
        "pbottom": "bottom",
        "pfront": "front",
        "pback": "back",
    }
    _pad = staticmethod(_C.replication_pad3d)
    _pad_backward = staticmethod(_aten.replication_pad3d_backward.grad_input._op)

    def __init__(
        self,
        pleft: int,
        pright: int | None = None,
        ptop: int | None = None,
        pbottom: int | None = None,
        pfront: int | None = None,
        pback: int | None = None,
    ) -> None:
        _Padding.__init__(self, pleft, pright, ptop, pbottom, pfront, pback)
