"""Unpooling: values back to the places that a max pooling layer took its maxima from."""

from __future__ import annotations

from typing import Any

import torch

from ...errors import ArgumentError
from .._guard import describe
from .._kernels import resized
from .._object import need_tensor
from ..module import Module
from .spatial import SpatialMaxPooling
from .volumetric import VolumetricMaxPooling


class _MaxUnpooling(Module):
    """Reads the places from ``pooling``."""

    pooling: Any = None
    _pools: type = Module
    _sizes: dict[str, str] = {}
    """Torch7's name of each size of the output's planes -> that of the pooling module's input."""
    _windows: tuple[tuple[str, str], ...] = ()
    """Names of window size and step, which must be equal."""
    _copied: tuple[str, ...] = ()

    def __init__(self, poolingModule: Any) -> None:
        super().__init__()
        if type(poolingModule) is not self._pools:
            raise ArgumentError(f"{self._typename} takes a {self._pools._typename}, got {describe(poolingModule)}")
        if any(getattr(poolingModule, k) != getattr(poolingModule, d) for k, d in self._windows):
            raise ArgumentError(f"{self._typename}: windows must lie side by side, step as size; got {poolingModule}")
        self.pooling = poolingModule

    @property
    def indices(self) -> torch.Tensor | None:
        """The ``indices`` of the pooling module."""
        return self.pooling.indices

    def _reads(self) -> tuple[Module]:
        return (self.pooling,)

    def setParams(self) -> None:
        """Take sizes and steps over from the pooling module."""
        for mine, theirs in (*self._sizes.items(), *zip(self._copied, self._copied)):
            setattr(self, mine, getattr(self.pooling, theirs))

    def _plane(self) -> tuple[int, ...]:
        """The sizes of the output's planes, which are those of what was pooled last."""
        self.setParams()
        return tuple(getattr(self, name) for name in self._sizes)

    def _flat_places(self, input: torch.Tensor, plane: tuple[int, ...]) -> torch.Tensor:
        """Where the elements of ``input`` belong in the output's planes."""
        places = self.pooling._places(plane)
        self._want(input.shape == places.shape, f"the size of what was pooled, {tuple(places.shape)}", input)
        return places.flatten(-len(plane))

    def _diagnose(self, input: torch.Tensor) -> None:
        need_tensor(input)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        plane = self._plane()
        places = self._flat_places(input, plane)
        output = resized(self.output, (*input.shape[: -len(plane)], *plane)).zero_()
        output.view(*places.shape[:-1], -1).scatter_(-1, places, input.flatten(-len(plane)))
        return output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        plane = self._plane()
        self._want(gradOutput.shape == (*input.shape[: -len(plane)], *plane), "the size of output", gradOutput)
        places = self._flat_places(input, plane)
        gradInput = resized(self.gradInput, input.shape)
        torch.gather(gradOutput.flatten(-len(plane)), -1, places, out=gradInput.view(places.shape))
        return gradInput

    def empty(self) -> Any:
        """An older name of :meth:`clearState`."""
        return self.clearState()

    def __tostring__(self) -> str:
        return f"{self._typename} associated to {self.pooling}"


class SpatialMaxUnpooling(_MaxUnpooling):
    """Values back at the places from which a max pooling layer took its maxima, zeros elsewhere.

    Input: as large as the last output of that layer. Output: as large as its last input.

    Args:
        poolingModule: a :class:`SpatialMaxPooling` whose windows lie side by side. Its ``forward`` must come before.
    """

    _pools = SpatialMaxPooling
    _sizes = {"oheight": "iheight", "owidth": "iwidth"}
    _windows = (("kH", "dH"), ("kW", "dW"))


class VolumetricMaxUnpooling(_MaxUnpooling):
    """:class:`SpatialMaxUnpooling` for volumes.

    Args:
        poolingModule: a :class:`VolumetricMaxPooling` whose windows lie side by side. Its ``forward`` must come before.
    """

    _pools = VolumetricMaxPooling
    _sizes = {"otime": "itime", "oheight": "iheight", "owidth": "iwidth"}
    _windows = (("kT", "dT"), ("kH", "dH"), ("kW", "dW"))
    _copied = ("dT", "dH", "dW", "padT", "padH", "padW")
