"""Transfer functions of each element, and the softmax family."""

from __future__ import annotations

from typing import TypeVar

import torch

from ... import nn
from ...nn import _kernels as kernels
from ...nn import utils
from ...nn._kernels import resized
from ...nn._object import need_number, need_tensor
from ...nn._pointwise import Pointwise
from ...nn.module import Module

M = TypeVar("M", bound=Module)


class _Activation(Pointwise):
    """What the transfer functions share: they can work in place.

    Args:
        inplace: write the output over the input, and gradInput over gradOutput; default no.
    """

    def __init__(self, inplace: bool | None = None) -> None:
        Module.__init__(self)
        self.inplace = bool(inplace)

    def clearState(self: M) -> M:
        utils.clear(self, "_gradOutput")
        return super().clearState()


class ReLU(_Activation, nn.ReLU, typename="cudnn.ReLU"):
    """:class:`luann.nn.ReLU`: ``y = max(x, 0)``. Input, output: any size.

    Args:
        inplace: write the output over the input, and gradInput over gradOutput; default no.
    """

    threshold = val = 0


class ReLUInPlace(ReLU, typename="cudnn.ReLUInPlace"):
    """:class:`ReLU` in place, in files of the first versions."""

    inplace = True

    def __init__(self) -> None:
        Module.__init__(self)


class Tanh(_Activation, typename="cudnn.Tanh"):
    """:class:`luann.nn.Tanh`, also in place. Input, output: any size.

    Args:
        inplace: write the output over the input, and gradInput over gradOutput; default no.
    """

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        torch.tanh(x, out=y)

    def _gradient(self, x: torch.Tensor, g: torch.Tensor, out: torch.Tensor) -> None:
        kernels.tanh_backward(g, self.output, grad_input=out)


class Sigmoid(_Activation, typename="cudnn.Sigmoid"):
    """:class:`luann.nn.Sigmoid`, also in place. Input, output: any size.

    Args:
        inplace: write the output over the input, and gradInput over gradOutput; default no.
    """

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        torch.sigmoid(x, out=y)

    def _gradient(self, x: torch.Tensor, g: torch.Tensor, out: torch.Tensor) -> None:
        kernels.sigmoid_backward(g, self.output, grad_input=out)


class ClippedReLU(_Activation, typename="cudnn.ClippedReLU"):
    """``y = min(max(x, 0), ceiling)``. Input, output: any size. At 0 and ``ceiling`` the gradient is 0.

    Args:
        ceiling: the greatest output.
        inplace: write the output over the input, and gradInput over gradOutput; default no.
    """

    def __init__(self, ceiling: float, inplace: bool | None = None) -> None:
        super().__init__(inplace)
        need_number(self, ceiling=ceiling)
        self.ceiling = ceiling

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        torch.clamp(x, 0, self.ceiling, out=y)

    def _gradient(self, x: torch.Tensor, g: torch.Tensor, out: torch.Tensor) -> None:
        kernels.hardtanh_backward(g, x, 0, self.ceiling, grad_input=out)


_CHANNEL, _INSTANCE = "CUDNN_SOFTMAX_MODE_CHANNEL", "CUDNN_SOFTMAX_MODE_INSTANCE"
_LOG = "CUDNN_SOFTMAX_LOG"


class SpatialSoftMax(Module, typename="cudnn.SpatialSoftMax"):
    """``y_i = exp(x_i) / Σ_j exp(x_j)`` over the planes, at each place.

    Input, output: D x H x W or N x D x H x W; a vector or N x D, too.

    Args:
        fast: leave out the step that keeps large numbers from overflowing; here without effect.

    ``algorithm`` and ``mode`` are cuDNN's names; where they say so, it is the logarithm, or all of a sample at once.
    """

    algorithm: str | None = None
    mode: str | None = None

    def __init__(self, fast: bool | None = None) -> None:
        super().__init__()
        self.algorithm = "CUDNN_SOFTMAX_FAST" if fast else "CUDNN_SOFTMAX_ACCURATE"

    def _rows(self, tensor: torch.Tensor) -> tuple[torch.Tensor, int]:
        """The tensor, flattened if all of a sample belongs together, and the dimension to go along."""
        dims = tensor.dim()
        if self.mode == _INSTANCE and dims > 2:
            return (tensor.flatten(), 0) if dims == 3 else (tensor.flatten(1), 1)
        return tensor, 1 - dims % 2

    def _diagnose(self, input: torch.Tensor) -> None:
        self._want(1 <= need_tensor(input).dim() <= 4, "1 to 4 dimensions", input)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        if not 1 <= input.dim() <= 4:
            self._diagnose(input)
        output = resized(self.output, input.shape)
        x, dim = self._rows(input)
        function = torch._log_softmax if self.algorithm == _LOG else torch._softmax
        function(x, dim, False, out=output.view(x.shape))
        return output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        gradInput = resized(self.gradInput, input.shape)
        g, dim = self._rows(self._sized(gradOutput, input.shape))
        y, into = self.output.view(g.shape), gradInput.view(g.shape)
        if self.algorithm == _LOG:
            torch._log_softmax_backward_data(g, y, dim, input.dtype, out=into)
        else:
            torch._softmax_backward_data(g, y, dim, input.dtype, grad_input=into)
        return gradInput

    def clearState(self: M) -> M:
        utils.clear(self, "_gradOutput")
        return super().clearState()


class SpatialLogSoftMax(SpatialSoftMax, typename="cudnn.SpatialLogSoftMax"):
    """The logarithm of :class:`SpatialSoftMax`. Input, output, arguments: as there."""

    def __init__(self, fast: bool | None = None) -> None:
        super().__init__(fast)
        self.mode, self.algorithm = _CHANNEL, _LOG


class SoftMax(SpatialSoftMax, typename="cudnn.SoftMax"):
    """``y_i = exp(x_i) / Σ_j exp(x_j)``. Input, output: a vector, or N x D (each row).

    Of D x H x W and N x D x H x W it is that over all of a sample, unlike :class:`luann.nn.SoftMax`.

    Args:
        fast: as for :class:`SpatialSoftMax`.
    """

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self.mode = _INSTANCE
        return super().updateOutput(input)


class LogSoftMax(SoftMax, typename="cudnn.LogSoftMax"):
    """The logarithm of :class:`SoftMax`. Input, output, arguments: as there."""

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self.algorithm = _LOG
        return super().updateOutput(input)


class VolumetricSoftMax(Module, typename="cudnn.VolumetricSoftMax"):
    """:class:`SpatialSoftMax` of volumes: over the planes, at each place.

    Input, output: D x T x H x W or N x D x T x H x W.

    Args:
        fast: as for :class:`SpatialSoftMax`.

    ``ssm`` is the :class:`SpatialSoftMax` that does it.
    """

    def __init__(self, fast: bool | None = None) -> None:
        super().__init__()
        self.ssm = self._images(fast)

    def _images(self, fast: bool | None) -> SpatialSoftMax:
        return SpatialSoftMax(fast)

    def _diagnose(self, input: torch.Tensor) -> None:
        self._want(need_tensor(input).dim() in (4, 5), "planes x T x H x W, or a batch of these", input)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        if input.dim() not in (4, 5):
            self._diagnose(input)
        return self.output.set_(self.ssm.updateOutput(input.flatten(-3, -2)).view(input.shape))

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        gradOutput = self._sized(gradOutput, input.shape)
        grad = self.ssm.updateGradInput(input.flatten(-3, -2), gradOutput.flatten(-3, -2))
        return self.gradInput.set_(grad.view(input.shape))

    def clearState(self) -> VolumetricSoftMax:
        self.ssm.clearState()
        return super().clearState()


class VolumetricLogSoftMax(VolumetricSoftMax, typename="cudnn.VolumetricLogSoftMax"):
    """The logarithm of :class:`VolumetricSoftMax`. Input, output, arguments: as there."""

    def _images(self, fast: bool | None) -> SpatialSoftMax:
        return SpatialLogSoftMax(fast)
