"""dpnn's layers for images: cutting out, changing colours, normalising, and convolution with weights of -1 and 1."""

from __future__ import annotations

import math
from typing import Any

import torch

from ... import random
from ...errors import ArgumentError, ShapeError
from ...nn import Module, SpatialAveragePooling, SpatialConvolution
from ...nn._guard import describe
from ...nn._kernels import resized
from ...nn._nested import buffers
from ...nn._object import given, need_number, need_size
from .._needs import need_shape
from ..nnx import SpatialReSampling
from .layers import need_part, need_training
from .module import fromBatch, toBatch


def _image(module: Any, input: torch.Tensor, planes: int) -> None:
    """Raise a ShapeError unless ``input`` is one image of these planes, or a batch of them."""
    fits = input.dim() in (3, 4) and input.shape[-3] == planes
    module._want(fits, f"{planes} x H x W, or a batch of these", input)


class SpatialUniformCrop(Module):
    """In training a part of each image at a random place, in evaluation the middle.

    Input: planes x H x W, or a batch of these. Output: planes x oheight x owidth.

    Args:
        oheight, owidth: the size of the part; owidth is by default oheight.
        scale: a list of two numbers, or a table with ``min`` and ``max``: in training the part is larger by a random
            factor between them, and is resampled to the size.

    ``coord`` holds the places of the last forward, ``scales`` the factors.
    """

    scale: Any = None
    coord: torch.Tensor | None = None

    def __init__(self, oheight: int, owidth: int | None = None, scale: Any = None) -> None:
        super().__init__()
        need_size(self, oheight=oheight, owidth=given(owidth, oheight))
        if scale is not None:
            bounds = [scale.get("min"), scale.get("max")] if isinstance(scale, dict) else scale
            if not isinstance(bounds, (list, tuple)) or len(bounds) != 2:
                raise ArgumentError(f"{self._typename}: scale must be a list of two numbers, got {describe(scale)}")
            need_number(self, min=bounds[0], max=bounds[1])
            self.scale = scale
            self.scaler = SpatialReSampling({"oheight": oheight, "owidth": given(owidth, oheight)})
        self.oheight = oheight
        self.owidth = given(owidth, oheight)

    def _window(self, i: int, H: int, W: int) -> tuple[slice, slice, slice]:
        """Where the part of sample ``i`` lies, as ``coord`` tells."""
        h, w = self.coord[i].tolist()
        height, width = self.oheight, self.owidth
        if self.scale is not None:
            s = self.scales[i].item()
            height, width = math.ceil(s * height), math.ceil(s * width)
            # both of the height, as Torch7 has it
            h = max(math.ceil(H / 2 - (H - height) / 2 + h) - math.ceil(height / 2), 1)
            w = max(math.ceil(W / 2 - (H - width) / 2 + w) - math.ceil(width / 2), 1)
            if h + height > H + 1 or w + width > W + 1:
                raise ShapeError(
                    f"the part of {height} x {width} from ({h}, {w}) on is not within the image, {H} x {W}"
                )
        return slice(None), slice(h - 1, h - 1 + height), slice(w - 1, w - 1 + width)

    def _draw(self, samples: int, H: int, W: int) -> None:
        """Draw the places, for each sample its factor first."""
        if self.coord is None:
            self.coord = torch.empty(0, dtype=torch.int32)
        resized(self.coord, (samples, 2))
        if self.scale is not None:
            scale = self.scale
            low, high = (scale["min"], scale["max"]) if isinstance(scale, dict) else scale
            if self.__dict__.get("scales") is None:
                self.scales = torch.empty(0, dtype=torch.float32)
            resized(self.scales, (samples,))
        for i in range(samples):
            height, width = self.oheight, self.owidth
            if self.scale is not None:
                s = random.uniform(low, high)
                self.scales[i] = s
                height, width = math.ceil(s * height), math.ceil(s * width)
            h = math.ceil(random.uniform(1e-2, H - height))
            w = math.ceil(random.uniform(1e-2, W - width))
            self.coord[i, 0], self.coord[i, 1] = h, w

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self._want(input.dim() in (3, 4), "planes x H x W, or a batch of these", input)
        batch = toBatch(self, input, 3)
        H, W = batch.shape[2:]
        fits = self.oheight <= H and self.owidth <= W
        self._want(fits, f"images of at least {self.oheight} x {self.owidth}", input)
        output = resized(self.output, (*batch.shape[:2], self.oheight, self.owidth))
        if self.train:
            self._draw(len(batch), H, W)
            for i, image in enumerate(batch):
                part = image[self._window(i, H, W)]
                output[i].copy_(part if self.scale is None else self.scaler.updateOutput(part))
        else:
            h, w = max(math.ceil((H - self.oheight) / 2), 1) - 1, max(math.ceil((W - self.owidth) / 2), 1) - 1
            output.copy_(batch[:, :, h : h + self.oheight, w : w + self.owidth])
        return output if batch is input else output.squeeze_(0)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor | None:
        if self.gradInput is None:
            return None
        batch, gradOutput = toBatch(self, input, 3), toBatch(self, gradOutput, 3)
        gradInput = resized(self.gradInput, batch.shape).zero_()
        H, W = batch.shape[2:]
        for i, grad in enumerate(gradOutput):
            window = self._window(i, H, W)
            if self.scale is not None:
                grad = self.scaler.updateGradInput(batch[i][window], grad)
            gradInput[i][window].copy_(grad)
        return gradInput if batch is input else gradInput.squeeze_(0)

    def _convert(self, dtype: Any, device: Any, cache: dict) -> None:
        self.__dict__.pop("coord", None)
        super()._convert(dtype, device, cache)


class SpatialGlimpse(Module):
    """Parts of each image around a place, each ``scale`` times as large as the one before, shrunk to one size.

    Input: a list of the images, N x planes x H x W, and the places, N x 2, as (y, x) from -1 (top, left) to 1 (bottom,
    right); or of one image and one place. Output: N x (depth planes) x height x width. What lies outside of the image
    is zero. Places get a gradient of zero.

    Args:
        size: the height and width, or a list of both.
        depth: the number of parts, default 3.
        scale: default 2. With 2 parts are shrunk by taking means, else resampled.
    """

    def __init__(self, size: int | list[int], depth: int | None = None, scale: float | None = None) -> None:
        super().__init__()
        if isinstance(size, (list, tuple)) and len(size) != 2:
            raise ArgumentError(f"{self._typename}: size must be a number or a list of two, got {size!r}")
        self.height, self.width = size if isinstance(size, (list, tuple)) else (size, size)
        self.depth = given(depth, 3)
        self.scale = given(scale, 2)
        need_size(self, height=self.height, width=self.width, depth=self.depth)
        need_number(self, scale=self.scale)
        self.gradInput = [torch.empty(0), torch.empty(0)]
        if self.scale == 2:
            self.module: Any = SpatialAveragePooling(2, 2, 2, 2)
        else:
            self.module = SpatialReSampling({"oheight": self.height, "owidth": self.width})
        self.modules = [self.module]

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        if "height" not in fields:  # it was square at first, and no container
            self.height = self.width = fields["size"]
            self.modules = [self.module]

    def _given(self, input: list) -> tuple[torch.Tensor, torch.Tensor]:
        self._want(isinstance(input, (list, tuple)) and len(input) >= 2, "a list of images and places", input)
        images, places = toBatch(self, input[0], 3), toBatch(self, input[1], 1)
        fits = images.dim() == 4 and places.shape == (images.shape[0], 2)
        self._want(fits, "N x planes x H x W and N x 2, or one image and one place", input)
        return images, places

    def _parts(self, images: torch.Tensor, places: torch.Tensor) -> list[tuple]:
        """For each depth: the size of the part, the padding, and for each sample the windows in the padded image."""
        parts = []
        height, width = self.height, self.width
        for depth in range(self.depth):
            if depth:
                height, width = height * self.scale, width * self.scale
            padding = math.floor((height - 1) / 2), math.floor((width - 1) / 2)
            rest = images.shape[2] + 2 * padding[0] - height, images.shape[3] + 2 * padding[1] - width
            self._want(min(rest) >= 0, f"images for parts of {height} x {width}", images)
            windows = []
            for y, x in places.tolist():
                h, w = (int(min(r, max(0, (p + 1) / 2 * r))) for p, r in zip((y, x), rest))
                windows.append((slice(None), slice(h, h + int(height)), slice(w, w + int(width))))
            parts.append(((int(height), int(width)), padding, windows))
        return parts

    def _shrinking(self, size: tuple[int, int]) -> Any:
        """The module that shrinks parts of this size."""
        module = self.module
        if type(module) is SpatialAveragePooling:
            module.kH = module.dH = size[0] // self.height
            module.kW = module.dW = size[1] // self.width
        return module

    def updateOutput(self, input: list) -> torch.Tensor:
        images, places = self._given(input)
        N, planes, H, W = images.shape
        output = resized(self.output, (N, self.depth, planes, self.height, self.width))
        for depth, (size, (top, left), windows) in enumerate(self._parts(images, places)):
            padded = images.new_zeros(N, planes, H + 2 * top, W + 2 * left)
            padded[:, :, top : top + H, left : left + W] = images
            crops = torch.stack([image[window] for image, window in zip(padded, windows)])
            output[:, depth] = self._shrinking(size).updateOutput(crops) if depth else crops
        output.resize_(N, self.depth * planes, self.height, self.width)
        return output if images is input[0] else output.squeeze_(0)

    def updateGradInput(self, input: list, gradOutput: torch.Tensor) -> list:
        images, places = self._given(input)
        N, planes, H, W = images.shape
        gradInput, gradPlaces = (grad.zero_() for grad in buffers(self.gradInput, [images, places]))
        gradOutput = gradOutput.reshape(N, self.depth, planes, self.height, self.width)
        for depth, (size, (top, left), windows) in enumerate(self._parts(images, places)):
            grads = gradOutput[:, depth]
            if depth:
                grads = self._shrinking(size).updateGradInput(images.new_empty(N, planes, *size), grads)
            padded = images.new_zeros(N, planes, H + 2 * top, W + 2 * left)
            for image, window, grad in zip(padded, windows, grads):
                image[window] = grad
            gradInput.add_(padded[:, :, top : top + H, left : left + W])
        self.gradInput[:] = [fromBatch(self, gradInput, 1), fromBatch(self, gradPlaces, 1)]
        return self.gradInput


class SpatialRegionDropout(Module):
    """In training sets the rows or columns at one edge to zero, and divides the others by ``1 - p``.

    Which edge is drawn for the whole batch. Input, output: planes x H x W, or a batch of these. There is no gradient
    in evaluation.

    Args:
        p: the part of the rows or columns, from 0 to below 1; default 0.2.
    """

    def __init__(self, p: float | None = None) -> None:
        super().__init__()
        self.p = given(p, 0.2)
        self.train = True
        need_part(self, self.p)
        self.noise = torch.empty(0)

    def setp(self, p: float) -> None:
        """Change the part."""
        self.p = p

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        output = resized(self.output, input.shape)
        if not self.train:
            return output.copy_(input)
        self._want(input.dim() in (3, 4), "planes x H x W, or a batch of these", input)
        noise = resized(self.noise, input.shape).fill_(1)
        self.regionType = random.random(4)
        dim = -2 if self.regionType <= 2 else -1
        size = input.shape[dim]
        count = math.floor(size * self.p)
        noise.narrow(dim, 0 if self.regionType % 2 else size - count, count).zero_()
        noise.div_(1 - self.p)
        return torch.mul(input, noise, out=output)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor | None:
        need_training(self)
        if self.gradInput is None:
            return None
        return torch.mul(gradOutput, self.noise, out=resized(self.gradInput, gradOutput.shape))

    def __tostring__(self) -> str:
        return f"{self._typename} p: {self.p:f}"


class SpatialFeatNormalization(Module):
    """``(x - mean) / std``, plane by plane.

    Input, output: planes x H x W, or a batch of these.

    Args:
        mean: a vector with an entry for each plane.
        std: likewise; default ones.
    """

    def __init__(self, mean: torch.Tensor, std: torch.Tensor | None = None) -> None:
        super().__init__()
        need_shape(self, "a vector", (-1,), mean=mean)
        need_shape(self, f"a vector of {len(mean)} numbers", mean.shape, std=given(std, mean))
        self.mean = torch.empty(mean.shape).copy_(mean)
        self.std = torch.ones(mean.shape) if std is None else torch.empty(mean.shape).copy_(std)
        self.noOfFeats = len(mean)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        _image(self, input, self.noOfFeats)
        output = torch.sub(input, self.mean.view(-1, 1, 1), out=resized(self.output, input.shape))
        return output.div_(self.std.view(-1, 1, 1))

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor | None:
        if self.gradInput is None:
            return None
        _image(self, gradOutput, self.noOfFeats)
        return torch.div(gradOutput, self.std.view(-1, 1, 1), out=resized(self.gradInput, gradOutput.shape))


class _Coloring(Module):
    """What adds a random number to each plane in training. There is no gradient in evaluation."""

    inputChannels: int
    noise: torch.Tensor | None = None

    def _noises(self, size: torch.Size, like: torch.Tensor) -> torch.Tensor:
        """The numbers to add, for ``size``: planes, or samples x planes."""
        raise NotImplementedError

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        output = resized(self.output, input.shape)
        if not self.train:
            return output.copy_(input)
        _image(self, input, self.inputChannels)
        noise = self._noises(input.shape[:-2], input)
        return torch.add(input, noise.view(*input.shape[:-2], 1, 1), out=output)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor | None:
        need_training(self)
        if self.gradInput is None:
            return None
        return resized(self.gradInput, gradOutput.shape).copy_(gradOutput)

    def _convert(self, dtype: Any, device: Any, cache: dict) -> None:
        for name in ("noise", "alphas"):
            self.__dict__.pop(name, None)
        super()._convert(dtype, device, cache)


def _need_numbers(cls: object, count: int, **tensors: Any) -> None:
    """Check constructor arguments that are tensors of so many numbers, one for each plane."""
    shapes = (count,), (count, 1), (1, count)
    need_shape(cls, f"a tensor of {count} numbers", *shapes, **tensors)


class PCAColorTransform(_Coloring):
    """In training adds noise along the principal components of the colours, the same to all pixels of an image.

    Input, output: inputChannels x H x W, or a batch of these.

    Args:
        inputChannels: the number of planes.
        eigenVectors: inputChannels x inputChannels, the components.
        eigenValues: a vector of inputChannels, by which the noise is multiplied.
        std: the standard deviation of the noise, default 0.1.
    """

    alphas: torch.Tensor | None = None

    def __init__(
        self, inputChannels: int, eigenVectors: torch.Tensor, eigenValues: torch.Tensor, std: float | None = None
    ) -> None:
        super().__init__()
        self.train = True
        self.inputChannels = inputChannels
        self.std = given(std, 0.1)
        need_size(self, inputChannels=inputChannels)
        need_number(self, std=self.std)
        square = inputChannels, inputChannels
        need_shape(self, f"a tensor of {inputChannels} x {inputChannels}", square, eigenVectors=eigenVectors)
        _need_numbers(self, inputChannels, eigenValues=eigenValues)
        self.eigenVectors = eigenVectors
        self.eigenValues = eigenValues

    def _noises(self, size: torch.Size, like: torch.Tensor) -> torch.Tensor:
        if self.alphas is None:
            self.alphas = torch.empty(0, dtype=like.dtype, device=like.device)
        alphas = random.normal(
            resized(self.alphas, (self.inputChannels, size[0] if len(size) == 2 else 1)), 0, self.std
        )
        alphas.mul_(self.eigenValues.view(-1, 1))
        self.noise = (self.eigenVectors @ alphas).t().contiguous()
        return self.noise

    def __tostring__(self) -> str:
        return f"{self._typename} channels: {self.inputChannels}, std: {self.std:f}"


class SimpleColorTransform(_Coloring):
    """In training adds to each plane a number that is drawn evenly from a range, the same to all pixels of an image.

    Input, output: inputChannels x H x W, or a batch of these.

    Args:
        inputChannels: the number of planes.
        range: a vector with an entry for each plane: the numbers are between minus and plus this.
    """

    def __init__(self, inputChannels: int, range: torch.Tensor) -> None:
        super().__init__()
        self.train = True
        self.inputChannels = inputChannels
        need_size(self, inputChannels=inputChannels)
        _need_numbers(self, inputChannels, range=range)
        self.range = range

    def _noises(self, size: torch.Size, like: torch.Tensor) -> torch.Tensor:
        if self.noise is None:
            self.noise = torch.empty(0, dtype=like.dtype, device=like.device)
        noise = resized(self.noise, size)
        for i, bound in enumerate(self.range.tolist()):
            random.uniform(noise[..., i], -bound, bound)
        return noise

    def __tostring__(self) -> str:
        return "SimpleColorTransform"


class SpatialBinaryConvolution(SpatialConvolution):
    """A convolution whose weights are -1 and 1, times the mean size of the real weights (XNOR-Net).

    Input, output and arguments as those of ``nn.SpatialConvolution``; there is no bias. The output is scaled for each
    output plane; the gradient with respect to the input for each input plane.

    As in Torch7 ``weight`` holds -1 and 1 from a forward in training on, until ``accGradParameters`` or ``backward``
    puts the real weights back, which ``tempWeight`` keeps. So a second forward in between loses them; and
    ``accUpdateGradParameters`` changes nothing.
    """

    def __init__(
        self,
        nInputPlane: int,
        nOutputPlane: int,
        kW: int,
        kH: int,
        dW: int | None = None,
        dH: int | None = None,
        padW: int | None = None,
        padH: int | None = None,
    ) -> None:
        super().__init__(nInputPlane, nOutputPlane, kW, kH, dW, dH, padW, padH)
        self.noBias()
        self.iwh = nInputPlane * kW * kH
        self.owh = nOutputPlane * kW * kH
        self.train = True

    def binarizeWeight(self) -> None:
        """Keep the real weights and their mean sizes, and make the weights -1 and 1."""
        weight, sizes = self.weight, self.weight.abs()
        self.gradInputAlphas = sizes.sum((0, 2, 3)).div_(self.owh)
        self.alphas = sizes.sum((1, 2, 3)).div_(self.iwh)
        kept = self.__dict__.get("tempWeight")
        if kept is None:
            self.tempWeight = weight.clone(memory_format=torch.contiguous_format)
        else:
            resized(kept, weight.shape).copy_(weight)
        torch.ge(weight, 0, out=weight).mul_(2).sub_(1)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self.binarizeWeight()
        output = super().updateOutput(input).mul_(self.alphas.view(-1, 1, 1))
        if not self.train:
            self.weight.copy_(self.tempWeight)
        return output

    def _scaled(self, gradInput: torch.Tensor | None) -> torch.Tensor | None:
        return None if gradInput is None else gradInput.mul_(self.gradInputAlphas.view(-1, 1, 1))

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor | None:
        return self._scaled(super().updateGradInput(input, gradOutput))

    def accGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> None:
        super().accGradParameters(input, gradOutput, scale)
        self.weight.copy_(self.tempWeight)

    def backward(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> torch.Tensor | None:
        gradInput = self._scaled(super().backward(input, gradOutput, scale))
        self.weight.copy_(self.tempWeight)
        return gradInput

    def _convert(self, dtype: Any, device: Any, cache: dict) -> None:
        for name in ("tempWeight", "alphas", "gradInputAlphas", "wmask"):
            self.__dict__.pop(name, None)
        super()._convert(dtype, device, cache)

    def __tostring__(self) -> str:
        return f"Binary Convolution: {super().__tostring__()}"
