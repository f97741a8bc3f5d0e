"""PyTorch's own kernels, bound once, and the choice between those that compute the same.

The measurements behind the choices are in the project's design notes: for small problems the plain
BLAS and im2col kernels win, for large ones oneDNN does. What PyTorch does not promise to keep (private
operators) has a plain fallback, taken when the installed PyTorch lacks it; :data:`PRIVATE` set to false
forces the fallbacks, which is how the tests run them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

_C = torch._C._nn
_aten = torch.ops.aten


def _private(namespace: str, name: str, overload: str = "default") -> Any:
    """An operator that the installed PyTorch may or may not have; ``None`` if it does not."""
    try:
        return getattr(getattr(getattr(torch.ops, namespace), name), overload)._op
    except (AttributeError, RuntimeError):
        return None


def _onednn_beats_blas() -> bool:
    """Whether oneDNN's matrix product is the faster one: on AMD processors with AVX-512, which MKL leaves unused there."""
    if not torch.backends.mkldnn.is_available() or "AVX512" not in torch.backends.cpu.get_cpu_capability():
        return False
    try:
        return "AuthenticAMD" in Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux
        return False


PRIVATE = True

_onednn_linear = _private("mkldnn", "_linear_pointwise") if _onednn_beats_blas() else None
_im2col_forward = getattr(_C, "thnn_conv2d", None)
_im2col_backward = _private("aten", "_slow_conv2d_backward", "output_mask")
_convolution_backward = _aten.convolution_backward.default._op

batch_norm_backward = _aten.native_batch_norm_backward.default._op
threshold_backward = _aten.threshold_backward.grad_input._op
tanh_backward = _aten.tanh_backward.grad_input._op
sigmoid_backward = _aten.sigmoid_backward.grad_input._op
hardtanh_backward = _aten.hardtanh_backward.grad_input._op
hardshrink_backward = _aten.hardshrink_backward.grad_input._op
softshrink_backward = _aten.softshrink_backward.grad_input._op
softplus_backward = _aten.softplus_backward.grad_input._op
elu_backward = _aten.elu_backward.grad_input._op
leaky_relu_backward = _aten.leaky_relu_backward.grad_input._op
glu_backward = _aten.glu_backward.grad_input._op
max_pool2d = _C.max_pool2d_with_indices
max_pool2d_backward = _aten.max_pool2d_with_indices_backward.grad_input._op
nll_loss = _aten.nll_loss_forward.output._op
nll_loss_backward = _aten.nll_loss_backward.grad_input._op
mse_loss_backward = _aten.mse_loss_backward.grad_input._op

LINEAR_FLOPS = 2_000_000
"""From this many floating-point operations on, oneDNN's matrix product is the faster one, where it is at all."""

LINEAR_ROWS = 96
"""From this many rows on, that holds for a weight gradient too."""

CONVOLUTION_FLOPS = 14_000_000
"""Below this many floating-point operations, im2col with BLAS beats oneDNN's convolution."""

POOLING_ELEMENTS = 30_000
"""From this many elements on (and 8 planes), pooling runs in channels_last layout."""


def resized(tensor: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
    """``tensor`` itself, resized if it has another size: a buffer ready to be written with ``out=``."""
    if tensor.shape != size:
        if tensor.untyped_storage().resizable():
            tensor.resize_(size)
        else:  # memory that came from a file
            tensor.set_(tensor.new_empty(size))
    return tensor


def product(a: torch.Tensor, b: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor | None:
    """``a @ b.t() (+ bias)`` by oneDNN if that is the faster way, else ``None``.

    Shapes: a N x I, b O x I, bias O.
    """
    if (
        _onednn_linear is None
        or a.dtype is not torch.float32
        or b.dtype is not torch.float32
        or 2 * a.numel() * b.shape[0] < LINEAR_FLOPS
        or not PRIVATE
        or not (a.is_cpu and b.is_cpu)
        or a.shape[1] != b.shape[1]  # let BLAS say what is wrong
    ):
        return None
    return _onednn_linear(a, b, bias, "none", [], "")


def _im2col_wins(input: torch.Tensor, weight: torch.Tensor, outputs: int) -> bool:
    """Whether a 2D convolution of this size is faster by im2col. ``outputs``: elements of the output."""
    return (
        PRIVATE
        and _im2col_forward is not None
        and _im2col_backward is not None
        and input.is_cpu
        and 2 * outputs * (weight.numel() // weight.shape[0]) < CONVOLUTION_FLOPS
    )


def conv2d(
    output: torch.Tensor,
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
) -> None:
    """2D convolution of N x C x H x W into ``output``, which is overwritten or set to the result."""
    n, _, h, w = input.shape
    planes, _, kh, kw = weight.shape
    oh = (h + 2 * padding[0] - kh) // stride[0] + 1
    ow = (w + 2 * padding[1] - kw) // stride[1] + 1
    if _im2col_wins(input, weight, n * planes * oh * ow):
        _im2col_forward(input, weight, (kh, kw), bias, stride, padding, out=resized(output, (n, planes, oh, ow)))
    elif input.is_cpu and (input.shape[1] % 16 or planes % 16) and input.dtype is torch.float32:
        # oneDNN is much faster here when the channels are innermost
        result = torch.conv2d(input.contiguous(memory_format=torch.channels_last), weight, bias, stride, padding)
        output.set_(result.contiguous())
    else:
        output.set_(torch.conv2d(input, weight, bias, stride, padding))


def conv2d_backward(
    input: torch.Tensor,
    gradOutput: torch.Tensor,
    weight: torch.Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    mask: list[bool],
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
    """Gradients of :func:`conv2d` with respect to input, weight and bias; ``mask`` says which are wanted."""
    if _im2col_wins(input, weight, gradOutput.numel()):
        return _im2col_backward(gradOutput, input, weight, weight.shape[2:], stride, padding, mask)
    if (
        mask[0]
        and input.is_cpu
        and PRIVATE
        and _im2col_backward is not None
        and weight.shape[1] <= 3
        and weight.shape[2] >= 5
    ):
        # a first layer: few planes, large kernel
        few = _im2col_backward(gradOutput, input, weight, weight.shape[2:], stride, padding, [True, False, False])
        if not (mask[1] or mask[2]):
            return few
        rest = _convolution_backward(
            gradOutput, input, weight, None, stride, padding, (1, 1), False, (0, 0), 1, [False, mask[1], mask[2]]
        )
        return few[0], rest[1], rest[2]
    bias_sizes = [weight.shape[0]] if mask[2] else None
    return _convolution_backward(
        gradOutput, input, weight, bias_sizes, stride, padding, (1, 1), False, (0, 0), 1, mask
    )


def max_pool_into(
    output: torch.Tensor, places: torch.Tensor | None, input: torch.Tensor, settings: tuple
) -> torch.Tensor:
    """2D max pooling into ``output``; returns the places of the maxima, counted from 0.

    Args:
        places: what an earlier call returned, to be written again; may be ``None``.
        settings: kernel, stride, padding, dilation, ceil_mode, as PyTorch takes them.
    """
    if input.dim() == 4 and input.is_cpu and input.numel() >= POOLING_ELEMENTS and input.shape[1] >= 8:
        # ATen's kernel for the usual layout is scalar code; the one for channels innermost is vectorised
        values, places = max_pool2d(input.contiguous(memory_format=torch.channels_last), *settings)
        resized(output, values.shape).copy_(values)
        return places
    if places is None or not places.is_contiguous():
        places = torch.empty(0, dtype=torch.int64, device=input.device)
    # the sizes are the kernel's business; emptied buffers it resizes without a warning
    size = pooled_size(input, settings)
    max_pool2d(input, *settings, out=(resized(output, size), resized(places, size)))
    return places


def pooled_size(input: torch.Tensor, settings: tuple) -> tuple[int, ...]:
    """The size of a pooled output: the last dimensions of the input, as many as the kernel has."""
    kernel, stride, padding, dilation, ceil_mode = settings
    sizes = []
    for n, k, s, p, d in zip(input.shape[-len(kernel) :], kernel, stride, padding, dilation):
        span = n + 2 * p - d * (k - 1) - 1
        count = (-(-span // s) if ceil_mode else span // s) + 1
        if ceil_mode and (count - 1) * s >= n + p:
            count -= 1  # the last window would begin in the padding
        sizes.append(count)
    return (*input.shape[: -len(kernel)], *sizes)


def max_pool_2x2(output: torch.Tensor, input: torch.Tensor) -> torch.Tensor:
    """Windows of 2x2 side by side, without the places of the maxima: rows first, then columns."""
    h, w = input.shape[-2] // 2 * 2, input.shape[-1] // 2 * 2
    rows = torch.maximum(input[..., 0:h:2, :], input[..., 1:h:2, :])
    size = (*input.shape[:-2], h // 2, w // 2)
    return torch.maximum(rows[..., 0:w:2], rows[..., 1:w:2], out=resized(output, size))
