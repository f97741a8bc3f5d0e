"""fast-neural-style (github.com/jcjohnson/fast-neural-style): InstanceNormalization, ShaveImage, TotalVariation, and
the losses that its nets were trained with.
"""

from __future__ import annotations

from typing import Any

import torch

from .. import nn
from ..errors import ArgumentError
from ..nn._kernels import resized
from ..nn._object import given, need_number
from ._instance import _Training
from ._needs import listed, need_count, need_module, option
from ._style import _Loss, _TotalVariation

__all__ = [
    "ContentLoss",
    "DeepDreamLoss",
    "GramMatrix",
    "InstanceNormalization",
    "PerceptualCriterion",
    "ShaveImage",
    "StyleLoss",
    "TotalVariation",
    "get_layer",
    "insert_after",
    "trim_network",
]


class InstanceNormalization(_Training):
    """Each plane of each image normalised by itself: ``y = (x - mean) / √(var + eps) * weight + bias``.

    All planes go as a batch of one through ``bn``, an ``nn.SpatialBatchNormalization`` in training. As in the last
    Torch7 ``mean`` and ``var`` are then its running ones, 0 and 1; with ``own_statistics`` set, on the class or on an
    object, they are those of each plane, as in earlier versions, which trained nets need.
    AdaIN-style's first version is this class, too.

    Input, output: N x nOutput x H x W, or one image nOutput x H x W.

    Args:
        nOutput: the number of planes of an image.
        eps: added to the variance, default 1e-5.
    """

    def __init__(self, nOutput: int, eps: float | None = None) -> None:
        super().__init__(nOutput, eps)
        self._make_parameters(True)

    @staticmethod
    def _fits(fields: dict) -> bool:
        return "prev_N" in fields and "affine" not in fields


class ShaveImage(nn.Module):
    """The images without a margin of ``size`` pixels on each side.

    Input: N x C x H x W. Output: N x C x (H - 2 size) x (W - 2 size).

    Args:
        size: the width of the margin.
    """

    size: int

    def __init__(self, size: int) -> None:
        super().__init__()
        need_count(self, size=size)
        self.size = size

    def _middle(self, images: torch.Tensor) -> torch.Tensor:
        s = self.size
        h, w = images.shape[-2] - 2 * s, images.shape[-1] - 2 * s
        self._want(images.dim() == 4 and h > 0 and w > 0, f"N x C x H x W, H and W above {2 * s}", images)
        return images.narrow(2, s, h).narrow(3, s, w)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        middle = self._middle(input)
        return resized(self.output, middle.shape).copy_(middle)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor | None:
        if self.gradInput is None:
            return None
        gradInput = resized(self.gradInput, input.shape).zero_()
        middle = self._middle(gradInput)
        middle.copy_(self._sized(gradOutput, middle.shape))
        return gradInput


class TotalVariation(_TotalVariation):
    """``y = x``; the gradient of ``strength`` times half the sum of the squared differences between neighbouring pixels
    is added to gradOutput. The last row and column count as neighbours only.

    Input, output: N x 3 x H x W.

    Args:
        strength: the factor.
    """

    @staticmethod
    def _fits(fields: dict) -> bool:
        return "strength" in fields and not fields.keys() & {"tv_weight", "z_diff"}

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        self._want(input.dim() == 4 and input.shape[1] == 3, "N x 3 x H x W", input)
        return super().updateGradInput(input, gradOutput)


class GramMatrix(nn.Module):
    """The products of all planes of an image with one another: ``y = X Xᵀ / (C H W)``, X being C x (H W).

    Input: C x H x W, or a batch of these. Output: C x C, or a batch.

    Args:
        normalize: divide by C H W, default yes.
    """

    normalize = True

    def __init__(self, normalize: bool | None = None) -> None:
        super().__init__()
        self.normalize = normalize is not False
        self.buffer = torch.empty(0)

    @staticmethod
    def _fits(fields: dict) -> bool:
        return "normalize" in fields

    def _rows(self, images: torch.Tensor) -> tuple[torch.Tensor, float]:
        """The planes as rows, N x C x (H W), and the factor of the products."""
        self._want(images.dim() in (3, 4), "C x H x W, or a batch of these", images)
        c, h, w = images.shape[-3:]
        return images.reshape(-1, c, h * w), 1 / (c * h * w) if self.normalize else 1

    def _space(self) -> torch.Tensor:
        """The memory for gradInput."""
        return self.buffer

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        rows, factor = self._rows(input)
        n, c = rows.shape[:2]
        output = torch.bmm(rows, rows.transpose(1, 2), out=resized(self.output, (n, c, c))).mul_(factor)
        return output if input.dim() == 4 else output.squeeze_(0)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        rows, factor = self._rows(input)
        n, c = rows.shape[:2]
        gradOutput = self._sized(gradOutput, (n, c, c))
        both = torch.add(gradOutput, gradOutput.transpose(1, 2)).mul_(factor)
        gradInput = torch.bmm(both, rows, out=resized(self._space(), rows.shape))
        return self.gradInput.set_(gradInput.view(input.shape))

    def clearState(self) -> GramMatrix:
        nn.utils.clear(self, "buffer")
        return super().clearState()


class _Switched(_Loss):
    """A loss with a mode: ``none`` does nothing, ``capture`` takes the input as target, ``loss`` compares with it."""

    mode = "none"

    def __init__(self, strength: float | None, loss_type: str | None) -> None:
        super().__init__(given(strength, 1))
        self.loss = 0
        self.target = torch.empty(0)
        self.mode = "none"
        criterions = {"L2": nn.MSECriterion, "SmoothL1": nn.SmoothL1Criterion}
        if given(loss_type, "L2") not in criterions:
            raise ArgumentError(f"{self._typename}: loss_type must be L2 or SmoothL1, got {loss_type!r}")
        self.crit = criterions[given(loss_type, "L2")]()

    def setMode(self, mode: str) -> None:
        """Set the mode: none, capture or loss."""
        if mode not in ("none", "capture", "loss"):
            raise ArgumentError(f"{self._typename}: the mode must be none, capture or loss, got {mode!r}")
        self.mode = mode


class ContentLoss(_Switched):
    """``y = x``; in mode ``loss`` the gradient of ``strength`` times the distance between input and target is added.

    Input: any size. See :meth:`setMode` for what else it does. ``loss`` holds the last value.

    Args:
        strength: default 1.
        loss_type: ``L2`` (the default, the mean square) or ``SmoothL1``.
    """

    def __init__(self, strength: float | None = None, loss_type: str | None = None) -> None:
        super().__init__(strength, loss_type)

    @staticmethod
    def _fits(fields: dict) -> bool:
        return "mode" in fields and "normalize" not in fields

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        if self.mode == "capture":
            resized(self.target, input.shape).copy_(input)
        elif self.mode == "loss":
            self.loss = self.strength * self.crit.forward(input, self.target)
        return super().updateOutput(input)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        if self.mode != "loss":
            return self._passed(gradOutput)
        return self._joined(self.crit.backward(input, self.target), gradOutput)


class StyleLoss(_Switched):
    """``y = x``; in mode ``loss`` the gradient of ``strength`` times the distance between a statistic of the input and
    that of the target is added.

    Input: N x C x H x W. A target of one image serves a whole batch. ``loss`` holds the last value.

    Args:
        strength: default 1.
        loss_type: ``L2`` (the default, the mean square) or ``SmoothL1``.
        agg_type: the statistic: ``gram`` (the default, :class:`GramMatrix`) or ``mean``, that of each plane.
    """

    agg_out: Any = None
    _target: Any = None

    def __init__(
        self, strength: float | None = None, loss_type: str | None = None, agg_type: str | None = None
    ) -> None:
        super().__init__(strength, loss_type)
        self.agg_type = given(agg_type, "gram")
        if self.agg_type == "gram":
            self.agg: Any = GramMatrix()
        elif self.agg_type == "mean":
            self.agg = nn.Sequential().add(nn.Mean(3)).add(nn.Mean(3))
        else:
            raise ArgumentError(f"{self._typename}: agg_type must be gram or mean, got {agg_type!r}")

    @staticmethod
    def _fits(fields: dict) -> bool:
        return "agg" in fields and "index" not in fields

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self.agg_out = statistic = self.agg.forward(input)
        if self.mode == "capture":
            resized(self.target, statistic.shape).copy_(statistic)
        elif self.mode == "loss":
            target = self.target
            if statistic.shape[0] > 1 and target.shape[0] == 1:
                target = target.expand_as(statistic)
            self.loss = self.strength * self.crit.forward(statistic, target)
            self._target = target
        return super().updateOutput(input)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        if self.mode != "loss":
            return self._passed(gradOutput)
        return self._joined(self.agg.backward(input, self.crit.backward(self.agg_out, self._target)), gradOutput)


class DeepDreamLoss(_Loss):
    """``y = x``; the gradient is ``gradOutput - strength · x``, with ``x`` clipped to ± ``max_grad``.

    Args:
        strength: default 1e-5.
        max_grad: default 100.
    """

    def __init__(self, strength: float | None = None, max_grad: float | None = None) -> None:
        super().__init__(given(strength, 1e-5))
        self.max_grad = given(max_grad, 100)
        need_number(self, max_grad=self.max_grad)
        self.clipped = torch.empty(0)
        self.loss = 0

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        clipped = torch.clamp(input, -self.max_grad, self.max_grad, out=resized(self.clipped, input.shape))
        gradOutput = self._sized(gradOutput, input.shape)
        return torch.sub(gradOutput, clipped, alpha=self.strength, out=resized(self.gradInput, input.shape))


class PerceptualCriterion(nn.Criterion):
    """How far images are from a content and from a style, in the layers of a net: the sum of the losses of
    :class:`ContentLoss` and :class:`StyleLoss` layers that are put into it.

    Input: N x 3 x H x W. Target: a table with ``content_target`` (N x 3 x H x W) and ``style_target`` (1 x 3 x H x W),
    where they are not given by :meth:`setContentTarget` and :meth:`setStyleTarget`. ``total_content_loss``,
    ``content_losses``, ``total_style_loss`` and ``style_losses`` tell the parts of the last value.

    Args:
        args: a table with ``cnn``, the net, which is changed; ``content_layers``, ``style_layers`` and
            ``deepdream_layers``, lists of places as :func:`insert_after` takes them; ``content_weights``,
            ``style_weights`` and ``deepdream_weights``, as many strengths; ``loss_type``; ``agg_type``. What comes
            behind the last of these layers is removed.
    """

    def __init__(self, args: Any) -> None:
        super().__init__()
        self.net = option(self, args, "cnn")
        need_module(self, cnn=self.net)
        self.net.evaluate()
        loss_type, agg_type = args.get("loss_type"), args.get("agg_type")
        self.content_loss_layers = self._placed(args, "content", lambda w: ContentLoss(w, loss_type))
        self.style_loss_layers = self._placed(args, "style", lambda w: StyleLoss(w, loss_type, agg_type))
        self.deepdream_loss_layers = self._placed(args, "deepdream", DeepDreamLoss)
        trim_network(self.net)
        self.grad_net_output = torch.empty(0)

    @staticmethod
    def _fits(fields: dict) -> bool:
        return "style_loss_layers" in fields and "content_loss_layers" in fields

    def _placed(self, args: Any, kind: str, make: Any) -> list:
        places = listed(self, args, f"{kind}_layers", 0, [])
        weights = listed(self, args, f"{kind}_weights", len(places), [])
        layers = [make(weight) for weight in weights[: len(places)]]
        for place, layer in zip(places, layers):
            insert_after(self.net, place, layer)
        return layers

    def _set_modes(self, content: str, style: str) -> None:
        for layers, mode in ((self.content_loss_layers, content), (self.style_loss_layers, style)):
            for layer in layers:
                layer.setMode(mode)

    def setStyleTarget(self, target: torch.Tensor) -> None:
        """Take the style of an image, 1 x 3 x H x W."""
        self._set_modes("none", "capture")
        self.net.forward(target)

    def setContentTarget(self, target: torch.Tensor) -> None:
        """Take the content of images, N x 3 x H x W."""
        self._set_modes("capture", "none")
        self.net.forward(target)

    def setStyleWeight(self, weight: float) -> None:
        """Set the strength of all style losses."""
        for layer in self.style_loss_layers:
            layer.strength = weight

    def setContentWeight(self, weight: float) -> None:
        """Set the strength of all content losses."""
        for layer in self.content_loss_layers:
            layer.strength = weight

    def updateOutput(self, input: torch.Tensor, target: Any) -> float:
        if target.get("content_target") is not None:
            self.setContentTarget(target["content_target"])
        if target.get("style_target") is not None:
            self.setStyleTarget(target["style_target"])
        self._set_modes("loss", "loss")
        resized(self.grad_net_output, self.net.forward(input).shape).zero_()
        self.content_losses = [layer.loss for layer in self.content_loss_layers]
        self.style_losses = [layer.loss for layer in self.style_loss_layers]
        self.total_content_loss, self.total_style_loss = sum(self.content_losses), sum(self.style_losses)
        self.output = self.total_style_loss + self.total_content_loss
        return self.output

    def updateGradInput(self, input: torch.Tensor, target: Any) -> torch.Tensor:
        self.gradInput = self.net.updateGradInput(input, self.grad_net_output)
        return self.gradInput

    def _diagnose(self, input: Any) -> None:
        """The net knows better what was wrong with its input."""


def _find(net: Any, layer_string: str) -> tuple[Any, int]:
    """The container that holds a layer, and the layer's position there, counted from 0."""
    container, layer = None, net
    position = 0
    for number in str(layer_string).split("-"):
        container = layer
        inside = [i for i, m in enumerate(container.modules or []) if not m.__dict__.get("_ignore")]
        if not number.isdigit() or not 0 < int(number) <= len(inside):
            raise ArgumentError(f"there is no layer {layer_string!r} in the net")
        position = inside[int(number) - 1]
        layer = container.modules[position]
    return container, position


def get_layer(net: Any, layer_string: str) -> Any:
    """The layer at a place: ``"3-2-1"`` is the first in the second in the third of the net's.

    Layers that :func:`insert_after` has put in do not count.

    Raises:
        ArgumentError: there is none.
    """
    container, position = _find(net, layer_string)
    return container.modules[position]


def insert_after(net: Any, layer_string: str, new_layer: Any) -> None:
    """Put a layer behind the one at a place, which :func:`get_layer` would give; the places of the others remain."""
    container, position = _find(net, layer_string)
    new_layer._ignore = True
    container.insert(new_layer, position + 2)


def trim_network(net: Any) -> Any:
    """Remove what comes behind the last layer that :func:`insert_after` has put in; returns the net."""
    last = max((i for i, m in enumerate(net.modules, 1) if _was_inserted(m)), default=0)
    del net.modules[last:]
    return net


def _was_inserted(module: Any) -> bool:
    """Whether the module, or one within it, was put in by :func:`insert_after`."""
    return any(m.__dict__.get("_ignore") for m in module.listModules())
