"""Layers that make boxes and compute with them."""

from __future__ import annotations

from typing import Any

import torch

from ...errors import ModuleError
from ...nn import utils
from ...nn._kernels import resized
from ...nn._nested import buffers
from ...nn._object import given, need_number, need_size
from ...nn.identity import _HandingOn
from ...nn.module import Module
from .._needs import need_shape


def corners(boxes: torch.Tensor) -> torch.Tensor:
    """Boxes ``(xc, yc, w, h)`` as ``(x1, y1, x2, y2)``, the centres of their outermost pixels."""
    half = (boxes[..., 2:] - 1) / 2
    return torch.cat((boxes[..., :2] - half, boxes[..., :2] + half), -1)


def need_anchors(cls: object, anchors: Any) -> None:
    """Check the constructor argument ``anchors``: widths and heights, 2 x k."""
    need_shape(cls, "a tensor of 2 x k", (2, -1), anchors=anchors)


class ApplyBoxTransform(Module):
    """Boxes moved and resized by offsets.

    Input: a list of boxes and offsets, ... x 4 each. Output: boxes, ... x 4. The gradients reach both.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gradInput = [torch.empty(0), torch.empty(0)]
        self.buffer = torch.empty(0)  # the rock's scratch

    def updateOutput(self, input: list[torch.Tensor]) -> torch.Tensor:
        boxes, offsets = input
        fits = boxes.shape[-1] == offsets.shape[-1] == 4 and boxes.numel() == offsets.numel()
        self._want(fits, "as many boxes as offsets, ... x 4", input)
        offsets = offsets.reshape(boxes.shape)
        output = resized(self.output, boxes.shape)
        sizes = boxes[..., 2:]
        output[..., :2] = torch.addcmul(boxes[..., :2], offsets[..., :2], sizes)
        output[..., 2:] = torch.exp(offsets[..., 2:]).mul_(sizes)
        return output

    def updateGradInput(self, input: list[torch.Tensor], gradOutput: torch.Tensor) -> list[torch.Tensor]:
        boxes, offsets = input
        offsets = offsets.reshape(boxes.shape)
        gradBoxes, gradOffsets = buffers(self.gradInput, input)
        gradOffsets = gradOffsets.view(boxes.shape)
        gradPlace, gradSize = self._sized(gradOutput, boxes.shape).split(2, -1)
        gradOffsets[..., :2] = gradPlace * boxes[..., 2:]
        gradOffsets[..., 2:] = gradSize * self.output[..., 2:]
        gradBoxes[..., :2] = gradPlace
        gradBoxes[..., 2:] = torch.exp(offsets[..., 2:]).mul_(gradSize).addcmul_(offsets[..., :2], gradPlace)
        return self.gradInput


class InvertBoxTransform(Module):
    """The offsets that :class:`ApplyBoxTransform` would need to make target boxes of anchors.

    Input: a list of anchors and targets, ... x 4 each. Output: offsets, ... x 4. The gradients reach both.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gradInput = [torch.empty(0), torch.empty(0)]

    def updateOutput(self, input: list[torch.Tensor]) -> torch.Tensor:
        anchors, targets = input
        self._want(anchors.shape[-1] == 4 and anchors.shape == targets.shape, "anchors and targets of ... x 4", input)
        output = resized(self.output, targets.shape)
        sizes = anchors[..., 2:]
        output[..., :2] = (targets[..., :2] - anchors[..., :2]).div_(sizes)
        output[..., 2:] = (targets[..., 2:] / sizes).log_()
        return output

    def updateGradInput(self, input: list[torch.Tensor], gradOutput: torch.Tensor) -> list[torch.Tensor]:
        anchors, targets = input
        gradAnchors, gradTargets = buffers(self.gradInput, input)
        gradPlace, gradSize = self._sized(gradOutput, targets.shape).split(2, -1)
        sizes = anchors[..., 2:]
        gradTargets[..., :2] = place = gradPlace / sizes
        gradTargets[..., 2:] = gradSize / targets[..., 2:]
        gradAnchors[..., :2] = -place
        gradAnchors[..., 2:] = torch.addcmul(gradSize, self.output[..., :2], gradPlace).div_(sizes).neg_()
        return self.gradInput

    def clearState(self) -> InvertBoxTransform:
        utils.clear(self, "output")
        for grad in self.gradInput:
            grad.set_()
        return self


class BoxIoU(Module):
    """How far boxes overlap: the area of the intersection over that of the union.

    Input: a list of boxes, N x A x 4 and N x B x 4. Output: N x A x B. There is no gradient.

    As in the rock, the intersection is measured between the centres of the outermost pixels, the areas are ``w h``: a
    box overlaps with itself by less than 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.area1, self.area2, self.overlap = torch.empty(0), torch.empty(0), torch.empty(0)  # the rock's scratch

    def updateOutput(self, input: list[torch.Tensor]) -> torch.Tensor:
        one, two = input
        fits = one.dim() == two.dim() == 3 and one.shape[::2] == two.shape[::2] and one.shape[2] == 4
        self._want(fits, "boxes of N x A x 4 and N x B x 4", input)
        one, two = one.unsqueeze(2), two.unsqueeze(1)
        a, b = corners(one), corners(two)
        extent = torch.minimum(a[..., 2:], b[..., 2:]).sub_(torch.maximum(a[..., :2], b[..., :2])).clamp_(min=0)
        shared = extent[..., 0] * extent[..., 1]
        union = (one[..., 2] * one[..., 3] - shared).add_(two[..., 2] * two[..., 3])
        return torch.div(shared, union, out=resized(self.output, shared.shape))

    def updateGradInput(self, input: list[torch.Tensor], gradOutput: torch.Tensor) -> Any:
        raise ModuleError("there is no gradient, as in densecap")


class BoxToAffine(Module):
    """The affine transforms that take the square from -1 to 1 to boxes, as stnbhwd's grids want them.

    Input: N x 4 boxes in pixels of an image whose size :meth:`setSize` tells before every forward. Output: N x 2 x 3::

        h/H   0   (2 yc - H - 1) / (H - 1)
         0   w/W  (2 xc - W - 1) / (W - 1)
    """

    H: float | None = None
    W: float | None = None

    def setSize(self, H: float, W: float) -> BoxToAffine:
        """Tell the image's height and width; holds until the next backward. Returns the module."""
        self.H, self.W = H, W
        return self

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self._want(input.dim() == 2 and input.shape[1] == 4, "boxes of N x 4", input)
        H, W = self._size()
        output = resized(self.output, (len(input), 2, 3)).zero_()
        output[:, 0, 0] = input[:, 3] / H
        output[:, 1, 1] = input[:, 2] / W
        output[:, 0, 2] = input[:, 1].mul(2).add_(-1 - H).div_(H - 1)
        output[:, 1, 2] = input[:, 0].mul(2).add_(-1 - W).div_(W - 1)
        return output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        H, W = self._size()
        self._want(gradOutput.shape == (len(input), 2, 3), f"a gradOutput of {len(input)}x2x3", gradOutput)
        gradInput = resized(self.gradInput, input.shape)
        gradInput[:, 0] = gradOutput[:, 1, 2] * (2 / (W - 1))
        gradInput[:, 1] = gradOutput[:, 0, 2] * (2 / (H - 1))
        gradInput[:, 2] = gradOutput[:, 1, 1] / W
        gradInput[:, 3] = gradOutput[:, 0, 0] / H
        self.H = self.W = None
        return gradInput

    def _size(self) -> tuple[float, float]:
        if self.H is None or self.W is None:
            raise ModuleError("the image's size is not known: call setSize(H, W) before every forward")
        return self.H, self.W


class _Anchored(Module):
    """What the layers share that put anchors at every place of a feature map.

    Args:
        x0, y0: centre of the receptive field of the first place.
        sx, sy: steps between centres.
        anchors: widths and heights, 2 x k.
    """

    def __init__(self, x0: float, y0: float, sx: float, sy: float, anchors: torch.Tensor) -> None:
        super().__init__()
        need_number(self, x0=x0, y0=y0, sx=sx, sy=sy)
        need_anchors(self, anchors)
        self.x0, self.y0, self.sx, self.sy = x0, y0, sx, sy
        self.anchors = anchors.clone()

    def _made(self, input: torch.Tensor) -> torch.Tensor:
        """``(xc, yc, w, h)`` of every anchor at every place: k x 4 x H x W."""
        H, W = input.shape[2:]
        made = input.new_empty(self.anchors.shape[1], 4, H, W)
        made[:, 0] = torch.arange(W, dtype=input.dtype, device=input.device).mul_(self.sx).add_(self.x0)
        made[:, 1] = torch.arange(H, dtype=input.dtype, device=input.device).mul_(self.sy).add_(self.y0).unsqueeze(1)
        made[:, 2:] = self.anchors.t()[:, :, None, None]
        return made


class MakeAnchors(_Anchored):
    """Anchor boxes of k sizes at every place of a feature map.

    Input: N x planes x H x W, of which only the size counts. Output: N x 4k x H x W, ``xc, yc, w, h`` of the first
    anchor, then of the next. The gradient is 0.

    Args:
        x0, y0: centre of the receptive field of the first place.
        sx, sy: steps between centres.
        anchors: widths and heights, 2 x k.
    """

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self._want(input.dim() == 4, "a batch of planes x H x W", input)
        made = self._made(input)
        N, _, H, W = input.shape
        output = resized(self.output, (N, 4 * len(made), H, W))
        output.view(N, *made.shape).copy_(made)
        return output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        return resized(self.gradInput, input.shape).zero_()


class MakeBoxes(_Anchored):
    """Boxes from the offsets that a feature map holds for each of k anchors at every place.

    Input: N x 4k x H x W, ``tx, ty, tw, th`` of the first anchor, then of the next. Output: N x (k H W) x 4.

    Args:
        x0, y0, sx, sy, anchors: as those of :class:`MakeAnchors`.

    ``raw_anchors`` holds the anchors themselves, of the output's size.
    """

    def __init__(self, x0: float, y0: float, sx: float, sy: float, anchors: torch.Tensor) -> None:
        super().__init__(x0, y0, sx, sy, anchors)
        for name in ("input_perm", "boxes", "raw_anchors", "dtx", "dty", "dtw", "dth"):
            setattr(self, name, torch.empty(0))  # the rock's scratch, but for raw_anchors

    def _parts(self, input: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Offsets as N x k x 4 x H x W, anchors as k x 4 x H x W."""
        made = self._made(input)
        return input.reshape(len(input), *made.shape), made

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        k = self.anchors.shape[1]
        self._want(input.dim() == 4 and input.shape[1] == 4 * k, f"a batch of {4 * k} x H x W", input)
        offsets, anchors = self._parts(input)
        N, _, _, H, W = offsets.shape
        size = (N, k * H * W, 4)
        places = torch.addcmul(anchors[:, :2], offsets[:, :, :2], anchors[:, 2:])
        sizes = torch.exp(offsets[:, :, 2:]).mul_(anchors[:, 2:])
        output = resized(self.output, size)
        output.view(N, k, H, W, 4)[..., :2] = places.permute(0, 1, 3, 4, 2)
        output.view(N, k, H, W, 4)[..., 2:] = sizes.permute(0, 1, 3, 4, 2)
        self.raw_anchors = anchors.permute(0, 2, 3, 1).reshape(1, -1, 4).repeat(N, 1, 1)
        return output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        offsets, anchors = self._parts(input)
        N, k, _, H, W = offsets.shape
        grads, boxes = (t.reshape(N, k, H, W, 4).permute(0, 1, 4, 2, 3) for t in (gradOutput, self.output))
        gradInput = resized(self.gradInput, input.shape)
        gradOffsets = gradInput.view(offsets.shape)
        gradOffsets[:, :, :2] = grads[:, :, :2] * anchors[:, 2:]
        gradOffsets[:, :, 2:] = grads[:, :, 2:] * boxes[:, :, 2:]
        return gradInput


class ReshapeBoxFeatures(Module):
    """A feature map with D features for each of k boxes at every place as rows of features.

    Input: N x (k D) x H x W. Output: N x (k H W) x D.

    Args:
        k: the number of boxes.
    """

    def __init__(self, k: int) -> None:
        super().__init__()
        need_size(self, k=k)
        self.k = k
        self.input_perm, self.gradInput_perm = torch.empty(0), torch.empty(0)  # the rock's scratch

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        k = self.k
        self._want(input.dim() == 4 and input.shape[1] % k == 0, f"a batch of (a multiple of {k}) x H x W", input)
        N, planes, H, W = input.shape
        output = resized(self.output, (N, k * H * W, planes // k))
        rows = input.reshape(N, k, planes // k, H * W).transpose(2, 3)
        output.view(rows.shape).copy_(rows)
        return output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        N, planes, H, W = input.shape
        gradInput = resized(self.gradInput, input.shape)
        rows = gradOutput.reshape(N, self.k, H * W, planes // self.k).transpose(2, 3)
        gradInput.view(rows.shape).copy_(rows)
        return gradInput


class RegularizeLayer(_HandingOn):
    """``y = x``; adds to the gradient that of a penalty ``loss = weight/2 Σx²``. Input, output: any size.

    Args:
        weight: the weight of the penalty.
        gradMul: what gradOutput is multiplied with before it is added; default 1.

    ``loss`` holds the penalty of the last forward.
    """

    loss: float | None = None
    gradMul: float = 1

    def __init__(self, weight: float, gradMul: float | None = None) -> None:
        super().__init__()
        self.w = weight
        self.gradMul = given(gradMul, 1)
        need_number(self, weight=weight, gradMul=self.gradMul)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self.loss = 0.5 * self.w * torch.linalg.vector_norm(input).item() ** 2
        return super().updateOutput(input)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        gradInput = torch.mul(input, self.w, out=resized(self.gradInput, input.shape))
        return gradInput.add_(self._sized(gradOutput, input.shape), alpha=self.gradMul)
