"""AdaIN-style (github.com/xunhuang1995/AdaIN-style): AdaptiveInstanceNormalization, InstanceNormalization, losses."""

from __future__ import annotations

from typing import Any

import torch

from .. import nn
from ..errors import ArgumentError, ModuleError
from ..nn._guard import describe
from ..nn._kernels import resized
from ..nn._nested import buffer
from ..nn._object import given, need_number
from ..nn.identity import handed_on
from ._instance import _Training
from ._needs import need_module, refuse
from ._style import _Loss

__all__ = [
    "AdaptiveInstanceNormalization",
    "ArtisticStyleLossCriterion",
    "ContentLossModule",
    "InstanceNormalization",
    "StyleINLossModule",
    "TVLossCriterion",
    "TVLossModule",
]


class InstanceNormalization(_Training):
    """Each plane of each image normalised by itself: ``y = (x - mean) / √(var + eps) * weight + bias``.

    All planes go as a batch of one through ``bn``, an ``nn.SpatialBatchNormalization`` in training. As in the last
    Torch7 ``mean`` and ``var`` are then its running ones, 0 and 1; with ``own_statistics`` set, on the class or on an
    object, they are those of each plane, as in earlier versions, which trained nets need.

    Input, output: N x nOutput x H x W, or one image nOutput x H x W.

    Args:
        nOutput: the number of planes of an image.
        disabled: only copy the input, default no; there is no backward pass then.
        eps: added to the variance, default 1e-5.
        affine: whether there are ``weight`` and ``bias``, default yes.
    """

    disabled: bool | None = None

    def __init__(
        self, nOutput: int, disabled: bool | None = None, eps: float | None = None, affine: bool | None = None
    ) -> None:
        super().__init__(nOutput, eps)
        self.affine = affine is not False
        self._make_parameters(affine)
        if disabled is not None:
            self.disabled = disabled

    @staticmethod
    def _fits(fields: dict) -> bool:
        return "prev_N" in fields and "affine" in fields

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        if self.disabled:
            self.output = handed_on(self.output, input.clone())
            return self.output
        return super().updateOutput(input)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> Any:
        if self.disabled:
            raise ModuleError("the module is disabled, and then has no backward pass")
        return super().updateGradInput(input, gradOutput)


class AdaptiveInstanceNormalization(_Training):
    """Images normalised plane by plane as :class:`InstanceNormalization` does, then given the standard deviations and
    the means that the planes of other images, the style, have.

    The deviation is that over all pixels (divided by their number). ``gradInput`` is ``None``: there is no backward
    pass.

    Input: a list of content, N x nOutput x H x W, and style, N x nOutput x any height and width; or of one image each.
    Output: N x nOutput x H x W, with N = 1 for one image.

    Args:
        nOutput: the number of planes of an image.
        disabled: hand the content on, default no.
        eps: added to the variance of the content, default 1e-5.
    """

    _counter = "batchSize"
    disabled: bool | None = None

    def __init__(self, nOutput: int, disabled: bool | None = None, eps: float | None = None) -> None:
        super().__init__(nOutput, eps)
        if disabled is not None:
            self.disabled = disabled

    def _new_bn(self, count: int) -> Any:
        return nn.SpatialBatchNormalization(count * self.nOutput, self.eps)

    def updateOutput(self, input: Any) -> torch.Tensor:
        content, style = input
        if self.disabled:
            self.output = handed_on(self.output, content)
            return self.output
        count = self._want_images(content)
        self._want(self._want_images(style) == count, f"a style of {count} images", style)
        self._renew(count)
        pixels = style.reshape(count * self.nOutput, -1)
        variance, mean = torch.var_mean(pixels, 1, correction=0)
        torch.sqrt(variance, out=self.bn.weight)
        self.bn.bias.copy_(mean)
        output = self.bn.updateOutput(self._planes(content))
        self.output = handed_on(self.output, output.view(count, *content.shape[-3:]))
        return self.output

    def updateGradInput(self, input: Any, gradOutput: torch.Tensor) -> None:
        self.gradInput = None


class TVLossCriterion(nn.Criterion):
    """The sum of the squared differences between neighbouring pixels.

    Input: C x H x W, or a batch of these. There is no target; one that is given is ignored.
    """

    def __init__(self) -> None:
        super().__init__()
        self.target = torch.zeros(1)
        self.mse = nn.MSECriterion(False)
        self.crit = nn.ConcatTable()
        for first, second in (((-1, 0, 0, 0), (0, -1, 0, 0)), ((0, 0, -1, 0), (0, 0, 0, -1))):
            crops = nn.ConcatTable().add(nn.SpatialZeroPadding(*first)).add(nn.SpatialZeroPadding(*second))
            self.crit.add(nn.Sequential().add(crops).add(nn.CSubTable()))

    def updateOutput(self, input: torch.Tensor, *ignored: Any) -> float:
        differences = self.crit.forward(input)
        self.output = sum(self.mse.forward(d, self.target.expand_as(d)) for d in differences)
        return self.output

    def updateGradInput(self, input: torch.Tensor, *ignored: Any) -> torch.Tensor:
        grads = [2 * d for d in self.crit.output]
        return resized(self.gradInput, input.shape).copy_(self.crit.backward(input, grads))

    def forward(self, input: torch.Tensor, *ignored: Any) -> float:
        return self.updateOutput(input)

    def backward(self, input: torch.Tensor, *ignored: Any) -> torch.Tensor:
        return self.updateGradInput(input)


class TVLossModule(_Loss):
    """``y = x``; the gradient of ``strength`` times :class:`TVLossCriterion` is added.

    Input: C x H x W, or a batch of these. ``loss`` holds the last value.

    Args:
        strength: default 1.
    """

    def __init__(self, strength: float | None = None) -> None:
        super().__init__(given(strength, 1))
        self.crit = TVLossCriterion()
        self.loss = 0

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self.loss = self.crit.forward(input) * self.strength
        return super().updateOutput(input)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        return self._joined(self.crit.backward(input), gradOutput)


class ContentLossModule(_Loss):
    """``y = x``; with a target, the gradient of ``strength`` times the mean squared difference is added.

    Input: C x H x W, or a batch of these; of the target's size, where there is one. ``loss`` holds the last value.

    Args:
        strength: default 1.
        normalize: divide the gradient by the sum of its absolute values, default no.
        nChannel: kept as ``nC``.
    """

    target: Any = None
    nC: int | None = None

    def __init__(
        self, strength: float | None = None, normalize: bool | None = None, nChannel: int | None = None
    ) -> None:
        super().__init__(given(strength, 1))
        self.normalize = bool(normalize)
        self.loss = 0
        if nChannel is not None:
            self.nC = nChannel
        self.crit = nn.MSECriterion()

    def setTarget(self, target_features: torch.Tensor) -> None:
        """Compare with a copy of these from now on."""
        self.target = _batch(self, target_features).clone()

    def unsetTarget(self) -> None:
        """Compare with nothing."""
        self.target = None

    def _compared(self, input: torch.Tensor) -> torch.Tensor:
        batch = _batch(self, input)
        self._want(batch.shape == self.target.shape, f"the size of the target, {describe(self.target)}", input)
        return batch

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        if self.target is not None:
            self.loss = self.crit.forward(self._compared(input), self.target) * self.strength
        return super().updateOutput(input)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        if self.target is None:
            return self._passed(gradOutput)
        grad = self.crit.backward(self._compared(input), self.target).view(input.shape)
        return self._joined(grad, gradOutput, self.normalize)


class StyleINLossModule(_Loss):
    """``y = x``; with a target, the gradient of ``strength`` times the squared differences between the means and
    between the standard deviations of the planes, summed up and divided by N, is added.

    Input: N x C x H x W, or one image C x H x W. A target of one image serves a whole batch. ``loss`` holds the last
    value, ``mean_loss`` and ``std_loss`` its parts.

    Args:
        strength: default 1.
        normalize: divide the gradient by the sum of its absolute values, default no.
        nChannel: kept as ``nC``.
    """

    target_mean: Any = None
    target_std: Any = None
    input_mean: Any = None
    input_std: Any = None
    nC: int | None = None

    def __init__(
        self, strength: float | None = None, normalize: bool | None = None, nChannel: int | None = None
    ) -> None:
        super().__init__(given(strength, 1))
        self.normalize = bool(normalize)
        self.mean_loss = self.std_loss = self.loss = 0
        if nChannel is not None:
            self.nC = nChannel
        self.std_net = nn.Sequential().add(nn.Square()).add(nn.Mean(3)).add(nn.Sqrt(1e-6))
        self.mean_net = nn.Sequential().add(nn.Mean(3))
        self.mean_criterion, self.std_criterion = nn.MSECriterion(False), nn.MSECriterion(False)

    def clearState(self) -> StyleINLossModule:
        self.std_net.clearState()
        self.mean_net.clearState()
        return super().clearState()

    def setTarget(self, target_features: torch.Tensor) -> StyleINLossModule:
        """Compare with the statistics of these from now on; returns the module."""
        pixels = _batch(self, target_features).flatten(2)
        self.target_mean = pixels.mean(2, keepdim=True)
        self.target_std = pixels.std(2, correction=0, keepdim=True)
        return self

    def unsetTarget(self) -> StyleINLossModule:
        """Compare with nothing; returns the module."""
        self.target_mean = self.target_std = None
        return self

    def _compared(self, input: torch.Tensor) -> tuple[torch.Tensor, Any, Any]:
        """The input as N x C x pixels, and the target's statistics for each of its images."""
        pixels = _batch(self, input).flatten(2)
        n, c = pixels.shape[:2]
        mean, std = self.target_mean, self.target_std
        if n != mean.shape[0]:
            mean, std = (t[:1].expand(n, -1, 1) for t in (mean, std))
        self._want(c == mean.shape[1], f"{mean.shape[1]} planes, as the target has", input)
        return pixels, mean, std

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        if self.target_mean is not None:
            pixels, mean, std = self._compared(input)
            n = pixels.shape[0]
            self.input_mean = self.mean_net.forward(pixels)
            self.input_std = self.std_net.forward(pixels - self.input_mean.unsqueeze(2))
            self.mean_loss = self.mean_criterion.forward(self.input_mean, mean) / n
            self.std_loss = self.std_criterion.forward(self.input_std, std) / n
            self.loss = (self.mean_loss + self.std_loss) * self.strength
        return super().updateOutput(input)

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        if self.target_mean is None:
            return self._passed(gradOutput)
        pixels, mean, std = self._compared(input)
        centred = pixels - self.input_mean.unsqueeze(2)
        grad = self.std_net.backward(centred, self.std_criterion.backward(self.input_std, std))
        grad = grad.add(self.mean_net.backward(pixels, self.mean_criterion.backward(self.input_mean, mean)))
        return self._joined(grad.div_(pixels.shape[0]).view(input.shape), gradOutput, self.normalize)


class ArtisticStyleLossCriterion(nn.Criterion):
    """How far images are from a content and from a style, in the layers of a net: the sum of the losses of
    :class:`ContentLossModule` and :class:`StyleINLossModule` layers put behind named layers of it.

    Input: C x H x W, or a batch of these. Targets: a table with ``content`` and ``style`` images, taken when there are
    none yet; :meth:`setTargets` replaces them. ``contentLoss`` and ``styleLoss`` hold the parts of the last value.

    Args:
        cnn: the net, a Sequential whose layers have a ``name``; its layers are used up to the last of the losses, and
            those of class SpatialConvolution lose their gradients.
        layers: a table of lists of names, ``content`` (exactly one) and ``style``.
        weights: a table of the strengths ``content``, ``style`` and ``tv`` (of :class:`TVLossModule`), default 0.
        normalize: divide the gradient of each loss by the sum of its absolute values, default no.
    """

    targets: Any = None
    recompute_gradInput = True

    def __init__(self, cnn: Any, layers: Any = None, weights: Any = None, normalize: bool | None = None) -> None:
        super().__init__()
        need_module(self, cnn=cnn)
        for name, table in (("layers", given(layers, {})), ("weights", given(weights, {}))):
            if not isinstance(table, dict):
                refuse(self, name, "a table", table)
        strengths = {kind: (weights or {}).get(kind) or 0 for kind in ("content", "style", "tv")}
        need_number(self, **strengths)
        wanted = {kind: list((layers or {}).get(kind) or []) if strengths[kind] > 0 else [] for kind in _LOSSES}
        if len(wanted["content"]) != 1:
            raise ArgumentError(f"{self._typename}: there must be one content layer, with a weight above 0")
        made: dict[str, list] = {kind: [] for kind in _LOSSES}
        self.net = nn.Sequential()
        if strengths["tv"] > 0:
            self.net.add(TVLossModule(strengths["tv"]))
        planes = None
        for layer in cnn.modules:
            if not any(wanted.values()):
                break
            if layer._typename == "nn.SpatialConvolution":
                layer.gradWeight = layer.gradBias = None
                planes = layer.nOutputPlane
            self.net.add(layer)
            for kind, loss in _LOSSES.items():
                if wanted[kind] and wanted[kind][0] == getattr(layer, "name", None):
                    wanted[kind].pop(0)
                    made[kind].append(loss(strengths[kind], normalize, planes))
                    self.net.add(made[kind][-1])
        missing = [name for names in wanted.values() for name in names]
        if missing:
            raise ArgumentError(f"{self._typename}: the net has no layer {missing[0]!r} (or not in this order)")
        self.style_layers, self.content_layers = made["style"], made["content"]
        self.dy = torch.empty(0)

    def setTargets(self, targets: Any) -> None:
        """Compare with the images ``content`` and ``style`` of a table from now on; at least one must be there."""
        content, style = targets.get("content"), targets.get("style")
        if content is None and style is None:
            raise ArgumentError(f"{self._typename}: there must be a content or a style image")
        self.unsetTargets()
        if style is not None:
            self.setStyleTarget(style)
        if content is not None:
            self.setContentTarget(content)

    def _keep(self, kind: str, target: torch.Tensor) -> None:
        if self.targets is None:
            self.targets = {}
        self.targets[kind] = target.clone()

    def setContentTarget(self, target: torch.Tensor) -> None:
        """Compare with the content of these images."""
        self._keep("content", target)
        for layer in self.content_layers:
            layer.unsetTarget()
        self.net.forward(target)
        for layer in self.content_layers:
            layer.setTarget(layer.output)

    def setStyleTarget(self, target: torch.Tensor) -> None:
        """Compare with the style of these images."""
        if not self.style_layers:
            return
        self._keep("style", target)
        contents = [layer.target for layer in self.content_layers]
        self.unsetTargets()
        self.net.forward(target)
        for layer in self.style_layers:
            layer.setTarget(layer.output)
        for layer, content in zip(self.content_layers, contents):
            layer.target = content

    def unsetTargets(self) -> None:
        """Compare with nothing."""
        for layer in (*self.style_layers, *self.content_layers):
            layer.unsetTarget()

    def updateOutput(self, input: torch.Tensor, targets: Any) -> float:
        self.recompute_gradInput = True
        if self.targets is None:
            self.setTargets(targets)
        self.net.forward(input)
        self.styleLoss = sum(layer.loss for layer in self.style_layers)
        self.contentLoss = sum(layer.loss for layer in self.content_layers)
        self.output = self.styleLoss + self.contentLoss
        return self.output

    def updateGradInput(self, input: torch.Tensor, targets: Any) -> torch.Tensor:
        if self.recompute_gradInput:
            self.dy = buffer(self.dy, self.net.output).zero_()
            grad = self.net.updateGradInput(input, self.dy)
            resized(self.gradInput, grad.shape).copy_(grad)
        self.recompute_gradInput = False
        return self.gradInput

    def _diagnose(self, input: Any) -> None:
        """The net knows better what was wrong with its input."""


_LOSSES: dict[str, Any] = {"style": StyleINLossModule, "content": ContentLossModule}


def _batch(module: Any, features: torch.Tensor) -> torch.Tensor:
    """Features with a batch dimension, checked."""
    module._want(features.dim() in (3, 4), "C x H x W, or a batch of these", features)
    return features if features.dim() == 4 else features.unsqueeze(0)
