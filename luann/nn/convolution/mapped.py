"""Convolutions where a table says which input plane goes into which output plane."""

from __future__ import annotations

import itertools
import math

import torch

from ... import random
from ...errors import ArgumentError
from .. import _kernels as kernels
from .._guard import describe
from .._object import given, need_size, need_tensor
from ..module import Module, draw_uniformly
from ._base import _Convolution

SPARSE = 16
"""From this many times fewer connections than there could be, each is computed on its own; below, a kernel of zeros
where there is none is faster."""


class _ConvolutionMap(_Convolution, axes="WH"):
    """What the convolution and the full convolution with a connection table share.

    ``weight[k]`` (kH x kW) belongs to the k-th row of the table.
    """

    _transposed = False

    def __init__(self, conMatrix: torch.Tensor, kW: int, kH: int, dW: int | None = None, dH: int | None = None) -> None:
        Module.__init__(self)
        dW, dH = given(dW, 1), given(dH, 1)
        need_size(self, kW=kW, kH=kH, dW=dW, dH=dH)
        fits = isinstance(conMatrix, torch.Tensor) and conMatrix.dim() == 2 and conMatrix.shape[1] == 2
        if not fits or not conMatrix.numel() or (conMatrix < 1).any() or (conMatrix != conMatrix.floor()).any():
            raise ArgumentError(
                f"{self._typename}: the connection table must be a tensor with two columns, the numbers of input and "
                f"output planes from 1 on, got {describe(conMatrix)}"
            )
        self.kW, self.kH = kW, kH
        self.dW, self.dH = dW, dH
        self.connTable = conMatrix
        self.nInputPlane, self.nOutputPlane = (int(n) for n in conMatrix.amax(0))
        self._allocate((conMatrix.shape[0], kH, kW), (self.nOutputPlane,))

    def reset(self, stdv: float | None = None) -> None:
        if stdv is not None:
            draw_uniformly(stdv, 1, self.weight, self.bias)
            return
        to = self.connTable[:, 1].long() - 1
        inputs = torch.bincount(to, minlength=self.nOutputPlane)
        area = self.kW * self.kH
        at = 0
        # neighbours with the same bound in one go
        for n, run in itertools.groupby(inputs[to].tolist()):
            end = at + len(list(run))
            self._draw(self.weight[at:end], 1 / math.sqrt(area * n))
            at = end
        if self.bias is not None:
            bounds = [1 / math.sqrt(area * n) if n else math.inf for n in inputs.tolist()]
            self.bias.copy_(torch.tensor([random.uniform(-bound, bound) for bound in bounds]))

    def _draw(self, weight: torch.Tensor, bound: float) -> None:
        random.uniform(weight, -bound, bound)

    def _opened(self, input: torch.Tensor) -> tuple[torch.Tensor, tuple]:
        if input.shape[-3] < self.nInputPlane:
            self._diagnose(input)
        return input, (self._d(self), (0, 0), (1, 1), self._transposed, (0, 0), 1)

    def _plan(self, planes: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, bool]:
        """Input and output plane of each connection, its place in a kernel of all connections, and whether to compute
        each on its own. ``planes``: how many the input has; those beyond the table's are not used.
        """
        table = self.connTable
        version = None if table.is_inference() else table._version
        key = table, version, planes, self.weight.device
        cached = self._cache
        if cached is None or cached[0][0] is not table or cached[0][1:] != key[1:]:
            origin, to = (table.to(self.weight.device).long() - 1).unbind(1)
            origin, to = origin.contiguous(), to.contiguous()
            place = origin * self.nOutputPlane + to if self._transposed else to * planes + origin
            sparse = planes * self.nOutputPlane >= SPARSE * table.shape[0]
            self._cache = cached = key, (origin, to, place, sparse)
        return cached[1]

    def _dense(self, planes: int, place: torch.Tensor) -> torch.Tensor:
        """A kernel between all planes, 0 where there is no connection."""
        sizes = (planes, self.nOutputPlane) if self._transposed else (self.nOutputPlane, planes)
        weight = self.weight
        dense = weight.new_zeros(sizes[0] * sizes[1], *weight.shape[1:]).index_add_(0, place, weight)
        return dense.view(*sizes, *weight.shape[1:])

    def _forward(self, output: torch.Tensor, input: torch.Tensor, settings: tuple) -> None:
        planes = input.shape[1]
        origin, to, place, sparse = self._plan(planes)
        if not sparse:
            kernels.convolution(output, input, self._dense(planes, place), self.bias, settings)
            return
        each = torch.convolution(
            input.index_select(1, origin), self._apart(), None, *settings[:5], self.weight.shape[0]
        )
        size = (input.shape[0], self.nOutputPlane, *each.shape[2:])
        if self.bias is None:
            result = each.new_zeros(size)
        else:
            result = self.bias.view(-1, 1, 1).expand(size).contiguous()
        output.set_(result.index_add_(1, to, each))

    def _apart(self) -> torch.Tensor:
        """A kernel for each connection."""
        return self.weight.unsqueeze(1)

    def _gradients(self, input: torch.Tensor, gradOutput: torch.Tensor, settings: tuple, mask: list[bool]) -> tuple:
        planes = input.shape[1]
        origin, to, place, sparse = self._plan(planes)
        if not sparse:
            gradInput, gradWeight, gradBias = kernels.convolution_backward(
                input, gradOutput, self._dense(planes, place), settings, mask
            )
            if mask[1]:
                gradWeight = gradWeight.flatten(0, 1).index_select(0, place)
            return gradInput, gradWeight, gradBias
        gradInput, gradWeight, _ = kernels.convolution_backward(
            input.index_select(1, origin),
            gradOutput.index_select(1, to),
            self._apart(),
            (*settings[:5], self.weight.shape[0]),
            [mask[0], mask[1], False],
        )
        if mask[0]:
            gradInput = torch.zeros_like(input, memory_format=torch.contiguous_format).index_add_(1, origin, gradInput)
        gradBias = gradOutput.sum((0, 2, 3)) if mask[2] else None
        return gradInput, gradWeight.squeeze(1) if mask[1] else None, gradBias

    def _diagnose(self, input: torch.Tensor) -> None:
        fits = need_tensor(input).dim() in (3, 4) and input.shape[-3] >= self.nInputPlane
        self._want(fits, f"{self.nInputPlane} x H x W, or a batch of these", input)
        if not self._transposed:
            fits = input.shape[-2] >= self.kH and input.shape[-1] >= self.kW
            self._want(fits, f"H x W of at least {self.kH} x {self.kW}", input)

    def __tostring__(self) -> str:
        return self._typename


class SpatialConvolutionMap(_ConvolutionMap):
    """2D convolution with connections: ``y[o] = bias[o] + Σ_k weight[k] ⋆ x[i]`` over the rows k = (i, o) of a table.

    Input: planes x H x W, or a batch of these. Output: as many planes as the table names, of ``⌊(H - kH) / dH⌋ + 1`` by
    ``⌊(W - kW) / dW⌋ + 1``. (Where a step leaves rows or columns over, Torch7's gradients went to wrong places, some of
    them outside its tensors; luann's are right.)

    Args:
        conMatrix: the connection table, K x 2: input plane and output plane of each connection, from 1 on;
            :mod:`luann.nn.tables` makes such.
        kW, kH: kernel width and height.
        dW, dH: steps, default 1.

    ``weight`` (K x kH x kW) and ``bias`` are drawn uniformly between ±1/√(kW kH n), n being the number of connections
    to that output plane.
    """

    def decayParameters(self, decay: float) -> None:
        """Subtract ``decay`` times themselves from the parameters."""
        self.weight.sub_(self.weight, alpha=decay)
        if self.bias is not None:
            self.bias.sub_(self.bias, alpha=decay)


class SpatialFullConvolutionMap(_ConvolutionMap):
    """2D full (transposed) convolution with connections, over the rows k = (i, o) of a table.

    Input: planes x H x W, or a batch of these. Output: as many planes as the table names, of ``(H - 1) dH + kH`` by
    ``(W - 1) dW + kW``.

    Args:
        conMatrix: the connection table, K x 2: input plane and output plane of each connection, from 1 on;
            :mod:`luann.nn.tables` makes such.
        kW, kH: kernel width and height.
        dW, dH: steps over the output, default 1.

    ``weight`` (K x kH x kW) and ``bias`` are drawn uniformly between ±1/√(kW kH n), n being the number of connections
    to that output plane.
    """

    _transposed = True

    def reset(self, stdv: float | None = None) -> None:
        if stdv is None:
            super().reset()
            return
        bound = stdv * math.sqrt(3)
        for parameter in (self.weight, self.bias):
            if parameter is not None:
                self._draw(parameter, bound)

    def _draw(self, parameter: torch.Tensor, bound: float) -> None:
        # Torch7 draws these number by number, in double, whatever the type of the parameters
        numbers = torch.empty(parameter.shape, dtype=torch.float64)
        parameter.copy_(random.uniform(numbers, -bound, bound))
