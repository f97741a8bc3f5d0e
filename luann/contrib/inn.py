"""imagine-nn (szagoruyko/imagine-nn, ``require 'inn'``): pooling and normalisation as in Caffe, regions of images.

Its classes are called ``inn.*``. Where a later version of the rock made a class one of nn's, so it is here.
"""

from __future__ import annotations

from typing import Any

import torch

from .. import random
from ..errors import ModuleError, ShapeError
from ..nn import Contiguous, utils
from ..nn._kernels import resized
from ..nn._nested import buffer
from ..nn._object import given, need_number, need_size
from ..nn.container import Concat, Sequential
from ..nn.identity import Identity
from ..nn.local_normalization import SpatialCrossMapLRN
from ..nn.module import Module
from ..nn.padding import SpatialZeroPadding
from ..nn.pointwise import AddConstant, MulConstant, Power, Square
from ..nn.pooling import SpatialAdaptiveMaxPooling
from ..nn.pooling import SpatialAveragePooling as _AveragePooling
from ..nn.pooling import SpatialMaxPooling as _MaxPooling
from ..nn.shaping import View
from ..nn.table import CDivTable, ConcatTable
from ._needs import need_shape, refuse

__all__ = [
    "ConstAffine",
    "LocalResponseNormalization",
    "MeanSubtraction",
    "ROIPooling",
    "SpatialAveragePooling",
    "SpatialConstAffine",
    "SpatialCrossResponseNormalization",
    "SpatialMaxPooling",
    "SpatialPyramidPooling",
    "SpatialSameResponseNormalization",
    "SpatialStochasticPooling",
]


class ConstAffine(Module, typename="inn.ConstAffine"):
    """``y = a x + b`` with constants for each plane, which are no parameters.

    Input, output: N x planes, or N x planes x H x W.

    Args:
        nOutputPlane: the number of planes.
        inplace: not used, as in the rock; the field ``inplace`` is.

    ``a`` starts at 1, ``b`` at 0.
    """

    inplace = False
    _dims: tuple[int, ...] = (2, 4)

    def __init__(self, nOutputPlane: int, inplace: bool | None = None) -> None:
        super().__init__()
        need_size(self, nOutputPlane=nOutputPlane)
        self.a, self.b = self._constant(nOutputPlane), self._constant(nOutputPlane)
        self.inplace = False
        self.reset()

    def _constant(self, planes: int) -> torch.Tensor:
        return torch.empty(planes)

    def reset(self, stdv: float | None = None) -> None:
        """Set ``a`` to 1 and ``b`` to 0."""
        self.a.fill_(1)
        self.b.zero_()

    def _over(self, constant: torch.Tensor, input: torch.Tensor) -> torch.Tensor:
        fits = input.dim() in self._dims and input.shape[1] == constant.numel()
        self._want(fits, f"a batch of {constant.numel()} planes in {self._dims[-1]} dimensions", input)
        return constant.view(-1, *[1] * (input.dim() - 2))

    def _own(self, mine: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        return mine.set_(given) if self.inplace else resized(mine, given.shape).copy_(given)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        return self._own(self.output, input).mul_(self._over(self.a, input)).add_(self._over(self.b, input))

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        return self._own(self.gradInput, gradOutput).mul_(self._over(self.a, input))


class SpatialConstAffine(ConstAffine, typename="inn.SpatialConstAffine"):
    """The older :class:`ConstAffine`, for images only. Input, output: N x planes x H x W.

    Args:
        nOutputPlane, inplace: as there.
    """

    _dims = (4,)

    def _constant(self, planes: int) -> torch.Tensor:
        return torch.empty(1, planes, 1, 1)


class MeanSubtraction(Module, typename="inn.MeanSubtraction"):
    """The input less a mean image. Input, output: planes x H x W, or a batch of these.

    Args:
        mean: an image, or a batch of one.
    """

    def __init__(self, mean: torch.Tensor) -> None:
        super().__init__()
        need_shape(self, "an image, or a batch of one", (-1, -1, -1), (-1, -1, -1, -1), mean=mean)
        self.mean = mean

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        mean = self.mean
        if mean.shape != input.shape:  # files also hold one mean for each image of a batch, which are all the same
            mean = mean[0] if mean.dim() == 4 else mean
            self._want(input.shape[-3:] == mean.shape, f"images of {'x'.join(map(str, mean.shape))}", input)
        return torch.sub(input, mean, out=resized(self.output, input.shape))

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        return gradOutput  # the field stays empty, and backward() returns that: as in the rock


def _is_list(value: Any = None) -> bool:
    return isinstance(value, (list, tuple))


class SpatialPyramidPooling(Concat, typename="inn.SpatialPyramidPooling"):
    """The maxima of several grids of windows over the whole image, one after the other.

    Input: planes x H x W, or a batch of these. Output: a vector of planes times the number of all windows, or a batch.

    Args:
        pyramid: width and height of each grid, ``[4, 4], [2, 2], [1, 1]``, or one list of them.
    """

    def __init__(self, *pyramid: Any) -> None:
        super().__init__(1)
        grids = pyramid[0] if len(pyramid) == 1 and _is_list(pyramid[0]) and _is_list(*pyramid[0][:1]) else pyramid
        if not grids or not all(_is_list(grid) and len(grid) == 2 for grid in grids):
            refuse(self, "pyramid", "lists of a width and a height", list(pyramid))
        self.pyr = list(grids)
        for width, height in self.pyr:
            flat = View(-1).setNumInputDims(3)
            self.add(Sequential().add(SpatialAdaptiveMaxPooling(width, height)).add(flat).add(Contiguous()))

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        concat = self.__dict__.pop("_modules", None)  # where the older class, which was no Concat, kept one
        if concat is not None:
            self.modules, self.outputSize, self.dimension = concat.modules, concat.outputSize, concat.dimension

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self._want(input.dim() in (3, 4), "planes x H x W, or a batch of these", input)
        self.dimension = input.dim() - 2
        return super().updateOutput(input)


class SpatialMaxPooling(_MaxPooling, typename="inn.SpatialMaxPooling"):
    """:class:`luann.nn.SpatialMaxPooling` with the output's size rounded up.

    Input, output, arguments: as there.
    """

    ceil_mode = True  # files from before nn knew it lack it

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.ceil()

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self.ceil_mode = True
        return super().updateOutput(input)


class SpatialAveragePooling(_AveragePooling, typename="inn.SpatialAveragePooling"):
    """:class:`luann.nn.SpatialAveragePooling` with the output's size rounded up.

    Input, output, arguments: as there.
    """

    ceil_mode = True
    divide = True  # the rock always did

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.ceil()


class SpatialCrossResponseNormalization(SpatialCrossMapLRN, typename="inn.SpatialCrossResponseNormalization"):
    """:class:`luann.nn.SpatialCrossMapLRN` by another name. Input, output, arguments: as there."""


def _denominator(size: int, alpha: float, beta: float, squared: list[Module], pad: int) -> Sequential:
    """``(1 + alpha mean(x²)) ^ beta`` over windows of ``size`` by ``size``; ``squared`` makes ``x²``."""
    net = Sequential()
    for module in (*squared, _AveragePooling(size, size, 1, 1, pad, pad), MulConstant(alpha, True)):
        net.add(module)
    return net.add(AddConstant(1, True)).add(Power(beta))


class SpatialSameResponseNormalization(Sequential, typename="inn.SpatialSameResponseNormalization"):
    """Local response normalisation within planes: ``y = x / (1 + alpha mean(x²)) ^ beta``.

    The mean is over the window of ``size`` by ``size`` around ``x``; what is outside of the image counts as 0.

    Input, output: planes x H x W, or a batch of these.

    Args:
        size: default 3.
        alpha: default 5e-5.
        beta: default 0.75.
    """

    def __init__(self, size: int | None = None, alpha: float | None = None, beta: float | None = None) -> None:
        super().__init__()
        self.size = size = given(size, 3)  # type: ignore[method-assign]  # the rock's name for it
        self.alpha = given(alpha, 5e-5)
        self.beta = given(beta, 0.75)
        need_size(self, size=size)
        need_number(self, alpha=self.alpha, beta=self.beta)
        below = _denominator(size, self.alpha, self.beta, [Square()], size // 2)
        self.add(ConcatTable().add(Identity()).add(below)).add(CDivTable())


class LocalResponseNormalization(Module, typename="inn.LocalResponseNormalization"):
    """The older :class:`SpatialSameResponseNormalization`, which computes the same.

    Input, output, arguments: as there.
    """

    def __init__(self, size: int | None = None, alpha: float | None = None, beta: float | None = None) -> None:
        super().__init__()
        self.size = given(size, 3)
        self.alpha = given(alpha, 5e-5)
        self.beta = given(beta, 0.75)
        need_size(self, size=self.size)
        need_number(self, alpha=self.alpha, beta=self.beta)
        pad = self.size // 2
        squared = [SpatialZeroPadding(pad, pad, pad, pad), Power(2)]
        below = _denominator(self.size, self.alpha, self.beta, squared, 0)
        self.modules = Sequential().add(ConcatTable().add(Identity()).add(below)).add(CDivTable())

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        return self.output.set_(self.modules.updateOutput(input))

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        return self.gradInput.set_(self.modules.updateGradInput(input, gradOutput))


class SpatialStochasticPooling(_MaxPooling, typename="inn.SpatialStochasticPooling"):
    """One element of each window, drawn with a probability that is its share of the window's sum.

    In evaluation the mean, weighted with these probabilities: ``Σx² / Σx``; there is no gradient then.

    Input: planes x H x W, or a batch of these, without negative elements. Output: as that of
    :class:`SpatialMaxPooling`, rounded up.

    Args:
        kW, kH: window width and height.
        dW, dH: steps, by default kW and kH.
    """

    def __init__(self, kW: int, kH: int, dW: int | None = None, dH: int | None = None) -> None:
        super().__init__(kW, kH, dW, dH)
        self.train = True

    def _cells(self, input: torch.Tensor) -> torch.Tensor:
        """The elements of each window, in the last dimension; zeros for those beyond the image."""
        (high, wide), (kH, kW, dH, dW) = input.shape[-2:], (self.kH, self.kW, self.dH, self.dW)
        self._want(input.dim() in (3, 4) and high >= kH and wide >= kW, f"planes of at least {kH}x{kW}", input)
        beyond = (0, -(wide - kW) % dW, 0, -(high - kH) % dH)
        padded = torch.nn.functional.pad(input, beyond)
        return padded.unfold(-2, kH, dH).unfold(-2, kW, dW).flatten(-2)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        cells = self._cells(input)
        output = resized(self.output, cells.shape[:-1])
        self._cache = None
        if not self.train:
            sums = cells.sum(-1).add_(torch.finfo(torch.float32).tiny)
            return torch.div(cells.square().sum(-1), sums, out=output)
        sums = cells.cumsum(-1)
        drawn = random.uniform(torch.empty_like(output), 0, 1).mul_(sums[..., -1])
        chosen = (sums >= drawn.unsqueeze(-1)).to(torch.uint8).argmax(-1, keepdim=True)
        output.copy_(cells.gather(-1, chosen).squeeze(-1))
        rows, columns = chosen.squeeze(-1) // self.kW, chosen.squeeze(-1) % self.kW
        rows += torch.arange(rows.shape[-2], device=rows.device).mul_(self.dH).unsqueeze(1)
        columns += torch.arange(rows.shape[-1], device=rows.device).mul_(self.dW)
        self._cache = input, rows.mul_(input.shape[-1]).add_(columns)
        return output

    def _planes(self, places: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        """Where each plane begins when all elements of the batch are counted."""
        count = places.shape[0] if places.dim() == 3 else places.shape[0] * places.shape[1]
        begins = torch.arange(count, device=places.device).mul_(shape[-2] * shape[-1])
        return begins.view(*places.shape[:-2], 1, 1)

    def _to_indices(self, places: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        return places + self._planes(places, shape)

    def _from_indices(self, indices: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        return indices - self._planes(indices, shape)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        if not self.train:
            raise ModuleError("there is no gradient in evaluation: it is that of an element drawn in training")
        return self._spread(input, gradOutput)


def _rounded(x: torch.Tensor) -> torch.Tensor:
    """To the nearest whole number, halves away from zero, as C does."""
    whole = x.trunc()
    return whole.add_((x - whole).abs_().ge(0.5).to(x.dtype).mul_(x.sign()))


class ROIPooling(Module, typename="inn.ROIPooling"):
    """The maxima of W x H windows over regions of images.

    Input: a list of features, N x planes x h x w, and regions, R x 5: the number of the image, then x1, y1, x2, y2, all
    from 1. Output: R x planes x H x W. A window that lies outside of the features gives 0. Regions get a gradient of 0.

    Args:
        W, H: width and height of the output.
        spatial_scale: the size of the features over that of the images; default 1.

    ``v2``, which is missing in files from before there was this field, says that windows do not overlap and regions end
    before their last pixel.
    """

    v2 = False
    _CELLS = 1 << 22
    """How many elements of features are looked at in one go."""

    def __init__(self, W: int, H: int, spatial_scale: float | None = None) -> None:
        super().__init__()
        need_size(self, W=W, H=H)
        self.W, self.H = W, H
        self.spatial_scale = given(spatial_scale, 1)
        need_number(self, spatial_scale=self.spatial_scale)
        self.gradInput: list = []
        self.indices = torch.empty(0)  # the rock's places of the maxima, which luann keeps elsewhere
        self.v2 = True

    def setSpatialScale(self, scale: float) -> ROIPooling:
        """Set ``spatial_scale``; returns the module."""
        self.spatial_scale = scale
        return self

    def _windows(self, regions: torch.Tensor, column: int, count: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Begin and end of the windows in one dimension, R x count, cut to the features."""
        first = _rounded((regions[:, column] - 1) * self.spatial_scale)
        last = _rounded((regions[:, column + 2] - 1) * self.spatial_scale) - int(self.v2)
        step = (last - first + 1).clamp_(min=1).div_(count).unsqueeze(1)
        bounds = torch.arange(count + 1, dtype=regions.dtype, device=regions.device) * step
        begin, end = bounds[:, :-1], bounds[:, 1:]
        begin, end = (_rounded(begin), _rounded(end)) if self.v2 else (begin.floor(), end.ceil())
        return tuple((b + first.unsqueeze(1)).clamp_(0, size).long() for b in (begin, end))

    def _diagnose(self, input: Any) -> None:
        fits = isinstance(input, (list, tuple)) and len(input) == 2 and all(isinstance(t, torch.Tensor) for t in input)
        self._want(fits, "a list of features and regions", input)
        features, regions = input
        images = regions[:, 0].long()
        wrong = images[(images < 1) | (images > len(features))]
        if wrong.numel():
            raise ShapeError(f"a region is of image {wrong[0].item()} of {len(features)}: they count from 1")

    def updateOutput(self, input: list[torch.Tensor]) -> torch.Tensor:
        features, regions = input
        fits = features.dim() == 4 and regions.dim() == 2 and regions.shape[1] == 5
        self._want(fits, "features of N x planes x h x w and regions of R x 5", input)
        (_, planes, high, wide), R = features.shape, len(regions)
        top, bottom = self._windows(regions, 2, self.H, high)
        left, right = self._windows(regions, 1, self.W, wide)
        images = regions[:, 0].long() - 1
        pixels = features.permute(0, 2, 3, 1).reshape(-1, planes)
        output = resized(self.output, (R, planes, self.H, self.W))
        places = torch.empty(R, self.H * self.W, planes, dtype=torch.int64, device=features.device)
        kh, kw = (int((end - begin).max()) if R else 0 for begin, end in ((top, bottom), (left, right)))
        if not kh or not kw:
            self._cache = places.fill_(-1)
            return output.zero_()
        empty = (bottom <= top).unsqueeze(2) | (right <= left).unsqueeze(1)
        step = max(1, self._CELLS // (self.H * self.W * kh * kw * planes))
        for chunk in range(0, R, step):
            part = slice(chunk, chunk + step)
            rows, columns = (
                torch.minimum(begin[part, :, None] + torch.arange(k, device=begin.device), end[part, :, None] - 1)
                for begin, end, k in ((top, bottom, kh), (left, right, kw))
            )
            rows = rows.clamp_(min=0) + images[part, None, None] * high
            cells = rows[:, :, None, :, None] * wide + columns.clamp_(min=0)[:, None, :, None, :]
            cells = cells.view(len(rows), self.H * self.W, kh * kw)
            found, chosen = pixels.index_select(0, cells.view(-1)).view(*cells.shape, planes).max(2)
            nothing = empty[part].reshape(len(rows), -1, 1)
            found.masked_fill_(nothing, 0)
            output[part].view(len(rows), planes, -1).copy_(found.transpose(1, 2))
            places[part] = cells.gather(2, chosen.masked_fill_(nothing, 0)).masked_fill_(nothing, -1)
        self._cache = places
        return output

    def updateGradInput(self, input: list[torch.Tensor], gradOutput: torch.Tensor) -> list[torch.Tensor]:
        features, regions = input
        places = self._cache
        if places is None:
            raise ModuleError("forward must come before")
        N, planes, high, wide = features.shape
        pixels = gradOutput.new_zeros(N * high * wide + 1, planes)  # the last one for windows that are empty
        grads = gradOutput.reshape(len(regions), planes, -1).transpose(1, 2).reshape(-1, planes)
        pixels.scatter_add_(0, places.view(-1, planes) % len(pixels), grads)
        mine = self.gradInput if len(self.gradInput) == 2 else [None, None]
        first = buffer(mine[0], features)
        first.copy_(pixels[:-1].view(N, high, wide, planes).permute(0, 3, 1, 2))
        self.gradInput[:] = [first, buffer(mine[1], regions).zero_()]
        return self.gradInput

    def clearState(self) -> Any:
        utils.clear(self, "gradInput_rois", "gradInput_boxes", "indices")
        return super().clearState()
