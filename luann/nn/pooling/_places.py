"""What the pooling classes share that remember where each maximum was.

PyTorch counts places from 0, in the whole plane; Torch7 keeps them in ``indices``, counted from 1 and in some classes
packed. The places are kept as PyTorch gives them, in the slot ``_cache``, and ``indices`` is made of them when somebody
asks.
"""

from __future__ import annotations

from typing import Any

import torch

from ...errors import ModuleError
from .. import utils
from .._kernels import resized
from .._object import need_tensor
from ..module import Module
from . import _kernels as kernels


class _KeepsPlaces(Module):
    """``_cache`` holds the last input and the places of its maxima, counted from 0.

    The places are ``None`` where they were not computed; :meth:`_find` then does.
    """

    _plane = 2
    """Dimensions of a plane, which are the last ones."""

    @property
    def indices(self) -> torch.Tensor | None:
        """Where the maxima are, as Torch7 counts; ``None`` before the first forward of some classes."""
        if self._cache is not None:
            input = self._cache[0]
            places = self._to_indices(self._places(input.shape), input.shape).contiguous()
            kept = self._kept_indices()
            if kept is None:
                kept = self.__dict__["indices"] = torch.empty(0, dtype=torch.int64, device=input.device)
            kept.set_(places)
            self._cache = None
        return self._kept_indices()

    @indices.setter
    def indices(self, value: torch.Tensor | None) -> None:
        self.__dict__["indices"] = value
        self._cache = None

    def _places(self, shape: tuple[int, ...]) -> torch.Tensor:
        """The places of the last maxima, counted from 0. ``shape`` is the input's, or that of one plane."""
        if self._cache is None:
            indices = self._kept_indices()
            if indices is None:
                raise ModuleError("forward must come before")
            return self._from_indices(indices, shape)
        input, places = self._cache
        if places is None:
            places = self._find(input)
            self._cache = input, places
        return places

    def _find(self, input: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def _to_indices(self, places: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        """Torch7's indices for these places."""
        return places + 1

    def _from_indices(self, indices: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        return indices - 1

    def _spread(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        """``gradInput``: each element of gradOutput added at the place its maximum came from."""
        gradInput = resized(self.gradInput, input.shape).zero_()
        lead = input.shape[: -self._plane]
        places = self._places(input.shape)
        places, gradOutput = (t.reshape(*lead, -1) for t in (places, self._sized(gradOutput, places.shape)))
        gradInput.view(*lead, -1).scatter_add_(-1, places, gradOutput)
        return gradInput

    def _drop(self, name: str) -> None:
        super()._drop(name)
        if name == "output":
            self.indices = None

    def _kept_indices(self) -> torch.Tensor | None:
        kept = self.__dict__.get("indices")
        # Torch7's float() converts them like any other tensor, its forward takes that back
        if kept is not None and kept.dtype is not torch.int64:
            kept = self.__dict__["indices"] = kept.long()
        return kept

    def _settle(self) -> None:
        if self._cache is not None:
            self.indices  # noqa: B018  reading it makes it

    def clearState(self) -> Any:
        utils.clear(self, "indices")
        return super().clearState()

    def empty(self) -> None:
        """An older name of :meth:`clearState`."""
        self.clearState()


class _Windows(Module):
    """Pooling over windows of one size, which a subclass tells by its ``_settings``."""

    def _settings(self) -> tuple:
        """Kernel, stride, padding, dilation and ceil_mode, as PyTorch takes them."""
        raise NotImplementedError

    def _diagnose(self, input: torch.Tensor) -> None:
        kernel, _, padding, dilation, _ = self._settings()
        dims = len(kernel)
        what = "planes x H x W" if dims == 2 else "planes x T x H x W"
        self._want(need_tensor(input).dim() in (dims + 1, dims + 2), f"{what}, or a batch of these", input)
        least = [d * (k - 1) + 1 - 2 * p for k, p, d in zip(kernel, padding, dilation)]
        fits = all(n >= m for n, m in zip(input.shape[-dims:], least))
        self._want(fits, f"planes of at least {'x'.join(map(str, least))}", input)


class _MaxPooling(_Windows, _KeepsPlaces):
    """Max pooling, with the places of the maxima. A subclass names the sizes it saw."""

    ceil_mode = False
    _extent: tuple[str, ...] = ()
    """Torch7's names for the sizes of the last input's planes, which unpooling needs."""

    def ceil(self) -> Any:
        """Round the output's size up; returns the module."""
        self.ceil_mode = True
        return self

    def floor(self) -> Any:
        """Round the output's size down; returns the module."""
        self.ceil_mode = False
        return self

    def _find(self, input: torch.Tensor) -> torch.Tensor:
        return kernels.max_pool(input, self._settings())[1]

    def _to_indices(self, places: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        indices = self._encode(places, shape)
        size = kernels.pooled_sizes(shape, self._settings())[0]
        if indices.shape == size:
            return indices
        whole = indices.new_zeros(size)  # windows beyond the input have no place; Torch7 gives them index 0
        kernels.within(whole, indices.shape).copy_(indices)
        return whole

    def _encode(self, places: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        return places + 1

    def _pool(self, input: torch.Tensor) -> torch.Tensor:
        places = None if self._cache is None else self._cache[1]
        self._cache = input, kernels.max_pool_into(self.output, places, input, self._settings(), self._last)
        return self.output

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self.__dict__.update(zip(self._extent, input.shape[-self._plane :]))
        return self._pool(input)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        places = self._places(input.shape)
        return kernels.max_pool_backward(self.gradInput, gradOutput, input, places, self._settings(), self._last)
