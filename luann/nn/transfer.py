"""Transfer functions: non-linearities, applied to each element.

An input that is NaN gives NaN. In Torch7 the comparisons of some made a number of it: the value of :class:`Threshold`
and :class:`ReLU`, the upper bound of :class:`HardTanh`, 0 in :class:`HardShrink` and :class:`SoftShrink`. A second pass
over the data would be the price of that.
"""

from __future__ import annotations

import math

import torch

from .. import random
from ..errors import ArgumentError
from . import _kernels as kernels
from . import utils
from ._kernels import resized
from ._object import given, need_number, need_size, need_tensor
from ._pointwise import Pointwise
from .module import Module

_C = torch._C._nn


class Threshold(Pointwise):
    """``y = x`` where ``x > threshold``, ``y = value`` elsewhere.

    Input, output: any size. A NaN stays one (Torch7 gave ``value`` and the gradient 0 there).

    Args:
        th: the threshold, default 1e-6.
        v: the value, default 0.
        ip: in place: write the output over the input, and gradInput over gradOutput; default no. Needs ``v <= th``.
    """

    def __init__(self, th: float | None = None, v: float | None = None, ip: bool | None = None) -> None:
        super().__init__()
        self.threshold = given(th, 1e-6)
        self.val = given(v, 0)
        self.inplace = bool(ip)
        self.validateParameters()

    def validateParameters(self) -> None:
        """Raise an ArgumentError if the settings make no sense together."""
        if self.inplace and self.val > self.threshold:
            raise ArgumentError(
                f"{self._typename}: in place, value ({self.val}) must not exceed threshold ({self.threshold}), "
                "or the backward pass could not tell which elements were replaced"
            )

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        if self.inplace:
            self.validateParameters()
        torch.threshold(x, self.threshold, self.val, out=y)

    def _gradient(self, x: torch.Tensor, g: torch.Tensor, out: torch.Tensor) -> None:
        kernels.threshold_backward(g, x, self.threshold, grad_input=out)


class ReLU(Threshold):
    """``y = max(x, 0)``.

    Input, output: any size. At 0 the gradient is 0.

    Args:
        p: in place: write the output over the input, and gradInput over gradOutput; default no.
    """

    def __init__(self, p: bool | None = None) -> None:
        super().__init__(0, 0, p)


class HardTanh(Pointwise):
    """``y = x`` between ``min_value`` and ``max_value``, the bound beyond.

    Input, output: any size. At the bounds the gradient is 0.

    Args:
        min_value, max_value: the bounds, default -1 and 1.
        inplace: write the output over the input, and gradInput over gradOutput; default no.
    """

    min_val = -1  # older files lack them
    max_val = 1

    def __init__(
        self, min_value: float | None = None, max_value: float | None = None, inplace: bool | None = None
    ) -> None:
        super().__init__()
        self.min_val = given(min_value, -1)
        self.max_val = given(max_value, 1)
        self.inplace = bool(inplace)
        if not self.max_val > self.min_val:
            raise ArgumentError(
                f"{self._typename}: max_value must be above min_value, got {self.max_val} and {self.min_val}"
            )

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        torch.clamp(x, self.min_val, self.max_val, out=y)

    def _gradient(self, x: torch.Tensor, g: torch.Tensor, out: torch.Tensor) -> None:
        kernels.hardtanh_backward(g, x, self.min_val, self.max_val, grad_input=out)


class Clamp(HardTanh):
    """:class:`HardTanh` under another name, never in place.

    Args:
        min_value, max_value: the bounds, default -1 and 1.
    """

    def __init__(self, min_value: float | None = None, max_value: float | None = None) -> None:
        super().__init__(min_value, max_value)


class ReLU6(HardTanh):
    """``y = min(max(x, 0), 6)``.

    Input, output: any size. At 0 and 6 the gradient is 0.

    Args:
        inplace: write the output over the input, and gradInput over gradOutput; default no.
    """

    min_val = 0
    max_val = 6

    def __init__(self, inplace: bool | None = None) -> None:
        Module.__init__(self)
        self.inplace = bool(inplace)


class _Shrink(Pointwise):
    """What the shrinks share: λ, in a field whose name is a keyword of Python's."""

    def __init__(self, lam: float | None = None) -> None:
        super().__init__()
        setattr(self, "lambda", given(lam, 0.5))

    @property
    def _lambda(self) -> float:
        return self.__dict__["lambda"]


class HardShrink(_Shrink):
    """``y = x`` where ``|x| > λ``, 0 elsewhere.

    Input, output: any size.

    Args:
        lam: λ, the field ``lambda``; default 0.5.
    """

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        torch.hardshrink(x, self._lambda, out=y)

    def _gradient(self, x: torch.Tensor, g: torch.Tensor, out: torch.Tensor) -> None:
        kernels.hardshrink_backward(g, x, self._lambda, grad_input=out)


class SoftShrink(_Shrink):
    """``y = x - λ`` where ``x > λ``, ``x + λ`` where ``x < -λ``, 0 elsewhere.

    Input, output: any size.

    Args:
        lam: λ, the field ``lambda``; default 0.5.
    """

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        _C.softshrink(x, self._lambda, out=y)

    def _gradient(self, x: torch.Tensor, g: torch.Tensor, out: torch.Tensor) -> None:
        kernels.softshrink_backward(g, x, self._lambda, grad_input=out)


class Tanh(Pointwise):
    """``y = tanh(x)``. Input, output: any size."""

    _rereads = ("output",)
    _kernel = torch.tanh
    _kernel_backward = kernels.tanh_backward


class TanhShrink(Pointwise):
    """``y = x - tanh(x)``. Input, output: any size."""

    def __init__(self) -> None:
        super().__init__()
        self.tanh = Tanh()

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        torch.sub(x, self.tanh.updateOutput(x), out=y)

    def _gradient(self, x: torch.Tensor, g: torch.Tensor, out: torch.Tensor) -> None:
        torch.sub(g, self.tanh.updateGradInput(x, g), out=out)

    def clearState(self) -> TanhShrink:
        self.tanh.clearState()
        return super().clearState()


class Sigmoid(Pointwise):
    """``y = 1 / (1 + exp(-x))``. Input, output: any size."""

    _rereads = ("output",)
    _kernel = torch.sigmoid
    _kernel_backward = kernels.sigmoid_backward


class LogSigmoid(Pointwise):
    """``y = log(1 / (1 + exp(-x)))``. Input, output: any size."""

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        _C.log_sigmoid(x, out=y)

    def _gradient(self, x: torch.Tensor, g: torch.Tensor, out: torch.Tensor) -> None:
        torch.neg(x, out=out).sigmoid_().mul_(g)

    def clearState(self) -> LogSigmoid:
        utils.clear(self, "buffer")  # Torch7's own
        return super().clearState()


class SoftSign(Pointwise):
    """``y = x / (1 + |x|)``. Input, output: any size."""

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        torch.div(x, torch.abs(x, out=y).add_(1), out=y)

    def _gradient(self, x: torch.Tensor, g: torch.Tensor, out: torch.Tensor) -> None:
        torch.div(g, torch.abs(x, out=out).add_(1).square_(), out=out)

    def clearState(self) -> SoftSign:
        utils.clear(self, "temp", "tempgrad")  # Torch7's own
        return super().clearState()


class SoftPlus(Pointwise):
    """``y = log(1 + exp(β x)) / β``, and ``x`` itself where ``β x > 20``.

    Input, output: any size.

    Args:
        beta: β, default 1.
    """

    threshold = 20
    """Where the function becomes the identity, to keep exp from overflowing."""

    def __init__(self, beta: float | None = None) -> None:
        super().__init__()
        self.beta = given(beta, 1)
        self.threshold = 20

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        _C.softplus(x, self.beta, self.threshold, out=y)

    def _gradient(self, x: torch.Tensor, g: torch.Tensor, out: torch.Tensor) -> None:
        # Torch7 compares the output with the threshold here, which is a little above the input
        t = self.threshold
        threshold = t + math.log1p(-math.exp(-t)) if t > 0 else -math.inf
        kernels.softplus_backward(g, x, self.beta, threshold, grad_input=out)


class ELU(Pointwise):
    """``y = x`` where ``x > 0``, ``α (exp(x) - 1)`` elsewhere.

    Input, output: any size. At 0 the gradient is α.

    Args:
        alpha: α, default 1.
        inplace: write the output over the input, and gradInput over gradOutput; default no.
    """

    def __init__(self, alpha: float | None = None, inplace: bool | None = None) -> None:
        super().__init__()
        self.alpha = given(alpha, 1)
        need_number(self, alpha=self.alpha)
        self.inplace = bool(inplace)

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        _C.elu(x, self.alpha, out=y)

    def _gradient(self, x: torch.Tensor, g: torch.Tensor, out: torch.Tensor) -> None:
        y = self.output
        if self.alpha < 0:  # a positive output tells nothing of the input then, but Torch7 goes by it
            torch.mul(g, torch.where(y > 0, 1, y + self.alpha), out=out)
        else:
            kernels.elu_backward(g, self.alpha, 1, 1, True, y, grad_input=out)

    def __tostring__(self) -> str:
        return f"{self._typename} (alpha:{self.alpha:f})"


class LeakyReLU(Pointwise):
    """``y = x`` where ``x > 0``, ``negval x`` elsewhere.

    Input, output: any size.

    Args:
        negval: the slope, default 0.01; so it is for a boolean, which has no further meaning.
        ip: in place: write the output over the input, and gradInput over gradOutput; default no, and never for a
            negative slope.
    """

    def __init__(self, negval: float | None = None, ip: bool | None = None) -> None:
        super().__init__()
        self.negval = 0.01 if negval is None or isinstance(negval, bool) else negval
        self.inplace = bool(ip) and self.negval >= 0

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        _C.leaky_relu(x, self.negval, out=y)

    def _gradient(self, x: torch.Tensor, g: torch.Tensor, out: torch.Tensor) -> None:
        kernels.leaky_relu_backward(g, x, self.negval, False, grad_input=out)

    def __tostring__(self) -> str:
        return f"{self._typename}({self.negval:g})"


class PReLU(Pointwise):
    """``y = x`` where ``x > 0``, ``weight x`` elsewhere, with a learnt slope for all elements or one for each plane.

    Input, output: any size. The planes are dimension 2; of a vector, its elements.

    Args:
        nOutputPlane: the number of planes; left out or 0, one slope is shared.

    ``weight`` starts as 0.25.
    """

    def __init__(self, nOutputPlane: int | None = None) -> None:
        super().__init__()
        self.nOutputPlane = given(nOutputPlane, 0)
        if self.nOutputPlane != 0:
            need_size(self, nOutputPlane=self.nOutputPlane)
        self.weight = torch.full((self.nOutputPlane or 1,), 0.25)
        self.gradWeight = torch.zeros(self.nOutputPlane or 1)

    def _diagnose(self, input: torch.Tensor) -> None:
        dims = need_tensor(input).dim()
        fits = not self.nOutputPlane or (dims > 0 and input.shape[dims > 1] == self.nOutputPlane)
        self._want(fits, f"{self.nOutputPlane} planes, in dimension {1 + (dims > 1)}", input)

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        vector = x.dim() == 1 and self.nOutputPlane
        result = torch.prelu(x.unsqueeze(0), self.weight).squeeze(0) if vector else torch.prelu(x, self.weight)
        y.set_(result.contiguous())

    def _gradient(self, x: torch.Tensor, g: torch.Tensor, out: torch.Tensor) -> None:
        weight = self.weight
        if x.dim() > 2 and self.nOutputPlane:
            weight = weight.view(-1, *[1] * (x.dim() - 2))
        kernels.threshold_backward(g, x, 0, grad_input=out)
        out.addcmul_(g - out, weight)

    def accGradParameters(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> None:
        grad = torch.clamp_max(input, 0).mul_(self._sized(gradOutput, input.shape))
        if self.nOutputPlane == 0:
            grad = grad.sum()
        elif grad.dim() > 1:
            grad = grad.sum([d for d in range(grad.dim()) if d != 1])
        self.gradWeight.add_(grad, alpha=scale)

    def clearState(self) -> PReLU:
        utils.clear(self, "gradWeightBuf", "gradWeightBuf2")  # Torch7's own
        return super().clearState()


class RReLU(Pointwise):
    """``y = x`` where ``x > 0``, ``a x`` elsewhere, with a slope ``a`` drawn for each such element.

    In training ``a`` is uniform between ``l`` and ``u``, in evaluation it is their mean. Input, output: any size.

    Args:
        l, u: bounds of the slope, default 1/8 and 1/3; not negative.
        ip: in place: write the output over the input, and gradInput over gradOutput; default no.

    ``noise`` holds what the input was multiplied with.
    """

    def __init__(self, l: float | None = None, u: float | None = None, ip: bool | None = None) -> None:  # noqa: E741
        super().__init__()
        self.lower = given(l, 1 / 8)
        self.upper = given(u, 1 / 3)
        if not 0 <= self.lower <= self.upper:
            raise ArgumentError(
                f"{self._typename}: l and u must be from 0 on, l not above u; got {self.lower} and {self.upper}"
            )
        self.noise = torch.empty(0)
        self.train = True
        self.inplace = bool(ip)

    _noted = ("noise",)

    def _mean(self) -> float:
        return (self.lower + self.upper) / 2

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        if not self.train:
            _C.leaky_relu(x, self._mean(), out=y)
            return
        noise = resized(self.noise, x.shape).fill_(1)
        drawn = x <= 0
        slopes = x.new_empty(int(torch.count_nonzero(drawn)))
        noise.masked_scatter_(drawn, random.uniform(slopes, self.lower, self.upper))
        torch.mul(x, noise, out=y)

    def _gradient(self, x: torch.Tensor, g: torch.Tensor, out: torch.Tensor) -> None:
        if self.train and self.upper - self.lower > 1e-6:
            torch.mul(g, self.noise, out=out)
        else:
            kernels.leaky_relu_backward(g, x, self._mean(), False, grad_input=out)

    def clearState(self) -> RReLU:
        utils.clear(self, "noise")
        return super().clearState()

    def __tostring__(self) -> str:
        return f"{self._typename} (l:{self.lower:f}, u:{self.upper:f})"


class GatedLinearUnit(Module):
    """``y = a · sigmoid(b)``, where ``a`` and ``b`` are the halves of the input along one dimension.

    Input: any size, even in that dimension. Output: half of it there.

    Args:
        dim: the dimension, from 1; default the last.
    """

    dim: int | None = None

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        if dim is not None:
            need_size(self, dim=dim)
            self.dim = dim

    def _diagnose(self, input: torch.Tensor) -> None:
        dim = self.dim or input.dim()
        fits = 0 < dim <= input.dim() and input.shape[dim - 1] % 2 == 0
        self._want(fits, f"an even size in dimension {dim}", input)

    def _half(self, input: torch.Tensor) -> tuple[int, torch.Size]:
        """The dimension, from 0, and the size of the output."""
        shape = input.shape
        dim = (self.dim or len(shape)) - 1
        return dim, torch.Size((*shape[:dim], shape[dim] // 2, *shape[dim + 1 :]))

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        dim, size = self._half(input)
        return _C.glu(input, dim, out=resized(self.output, size))

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        dim, size = self._half(input)
        gradInput = resized(self.gradInput, input.shape)
        return kernels.glu_backward(self._sized(gradOutput, size), input, dim, grad_input=gradInput)
