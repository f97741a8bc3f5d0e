"""PyTorch's own kernels, bound once, and the choice between those that compute the same.

The measurements behind the choices are in the project's design notes: for small problems the plain
BLAS and im2col kernels win, for large ones oneDNN does, or, without AVX-512, Winograd's filtering. What PyTorch does
not promise to keep (private operators) has a plain fallback, taken when the installed PyTorch lacks it;
:data:`PRIVATE` set to false forces the fallbacks, which is how the tests run them.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any, NamedTuple

import torch

from .._libm import ARRAY
from ..errors import ShapeError
from . import _winograd

_C = torch._C._nn
_aten = torch.ops.aten


def _private(namespace: str, name: str, overload: str = "default") -> Any:
    """An operator that the installed PyTorch may or may not have; ``None`` if it does not."""
    try:
        return getattr(getattr(getattr(torch.ops, namespace), name), overload)._op
    except (AttributeError, RuntimeError):
        return None


AVX512 = "AVX512" in torch.backends.cpu.get_cpu_capability()
"""Whether the processor has vectors of 16 floats. Where it has not, oneDNN's kernels and BLAS change places."""


def _onednn_beats_blas() -> bool:
    """Whether oneDNN's matrix product is the faster one: on AMD processors with AVX-512, which MKL leaves unused
    there.
    """
    if not torch.backends.mkldnn.is_available() or not AVX512:
        return False
    try:
        return "AuthenticAMD" in Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux
        return False


PRIVATE = True
WINOGRAD = not AVX512
"""Whether Winograd's filtering may be chosen, in float on the CPU: see :mod:`luann.nn._winograd`. It has been measured
to be faster with AVX2; oneDNN with AVX-512 was not there to be beaten.
"""
_LAST = torch.channels_last

onednn_linear = _private("mkldnn", "_linear_pointwise") if _onednn_beats_blas() else None
_im2col_forward = getattr(_C, "thnn_conv2d", None)
_im2col_backward = _private("aten", "_slow_conv2d_backward", "output_mask")
_im2col_transposed = getattr(_C, "slow_conv_transpose2d", None)
_convolution_backward = _aten.convolution_backward.default._op

cdist_backward = _private("aten", "_cdist_backward")
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
avg_pool2d = _C.avg_pool2d
avg_pool2d_backward = _aten.avg_pool2d_backward.grad_input._op
nll_loss = _aten.nll_loss_forward.output._op
nll_loss_backward = _aten.nll_loss_backward.grad_input._op
mse_loss_backward = _aten.mse_loss_backward.grad_input._op

LINEAR_FLOPS = 2_000_000
"""From this many floating-point operations on, oneDNN's matrix product is the faster one, where it is at all."""

LINEAR_ROWS = 96
"""From this many rows on, that holds for a weight gradient too."""

CONVOLUTION_FLOPS = 14_000_000 if AVX512 else 6_000_000
"""Below this many floating-point operations, im2col with BLAS beats oneDNN's convolution."""

LAST_PLACES, LAST_PLACES_BACKWARD = 16, 64
"""From so many places in a plane of the output on, oneDNN convolves faster with the planes innermost."""

WINOGRAD_PLANES, WINOGRAD_KERNELS = 64, 64 * 128
"""So many planes of the input and of the output Winograd's filtering wants, and so many kernels, but for the gradients
with one thread."""

WINOGRAD_PLACES = 128
"""And so many places in all planes of the output of a batch."""

WINOGRAD_TILES, WINOGRAD_TILES_BACKWARD = 1024, 4096
"""And at most so many tiles in one plane of the output."""

FREED_ELEMENTS = 1 << 16
"""From this size on, the memory of a result is given back before the next is computed, not after."""

IM2COL_ELEMENTS = 1 << 18
"""How many elements im2col unfolds at once, 1 MB of floats: as many as stay in the second-level cache or near it."""


def resized(tensor: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
    """``tensor`` itself, resized if it has another size: a buffer ready to be written with ``out=``."""
    if tensor.shape != size:
        if tensor.untyped_storage().resizable():
            tensor.resize_(size)
        else:  # memory that came from a file
            tensor.set_(tensor.new_empty(size))
    return tensor


def lies_last(tensor: torch.Tensor) -> bool:
    """Whether this is a batch of images whose planes are innermost in memory, and not also in the usual order."""
    return tensor.dim() == 4 and not tensor.is_contiguous() and tensor.is_contiguous(memory_format=_LAST)


def resized_like(tensor: torch.Tensor, like: torch.Tensor, size: tuple[int, ...] | None = None) -> torch.Tensor:
    """``tensor`` itself, in the ``size`` of ``like`` or another, in memory as ``like`` lies: the buffer of a layer that
    keeps to the layout of its input.
    """
    size = like.shape if size is None else size
    layout = _LAST if lies_last(like) else torch.contiguous_format
    if tensor.shape != size or not tensor.is_contiguous(memory_format=layout):
        if tensor.untyped_storage().resizable():
            tensor.resize_(size, memory_format=layout)
        else:
            tensor.set_(torch.empty(size, dtype=tensor.dtype, device=tensor.device, memory_format=layout))
    return tensor


def freed(tensor: torch.Tensor, *used: torch.Tensor) -> torch.Tensor:
    """``tensor`` without its memory, which it will be given anew, so that a kernel can have it for its result; as it is
    if one of those ``used`` lies there, or where it is not worth the trouble.
    """
    if tensor.numel() < FREED_ELEMENTS:
        return tensor
    address = tensor.untyped_storage().data_ptr()
    if all(other.untyped_storage().data_ptr() != address for other in used):
        tensor.set_()
    return tensor


def product(a: torch.Tensor, b: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor | None:
    """``a @ b.t() (+ bias)`` by oneDNN if that is the faster way, else ``None``.

    Shapes: a N x I, b O x I, bias O.
    """
    if (
        onednn_linear is None
        or a.dtype is not torch.float32
        or b.dtype is not torch.float32
        or 2 * a.numel() * b.shape[0] < LINEAR_FLOPS
        or not PRIVATE
        or not (a.is_cpu and b.is_cpu)
        or a.shape[1] != b.shape[1]  # let BLAS say what is wrong
    ):
        return None
    return onednn_linear(a, b, bias, "none", [], "")


def row_norms(rows: torch.Tensor) -> torch.Tensor:
    """The Euclidean norms of the rows of a matrix, N x 1: in double, to the last bit Torch7's.

    Slow, for parameters that a constructor makes of norms: powers by the C library, added up one after the other.
    """
    squares = ARRAY.pow(rows.detach().double().reshape(-1).cpu().numpy(), 2.0)
    sums = squares.reshape(rows.shape).cumsum(1)[:, -1]
    return torch.from_numpy(ARRAY.pow(sums, 0.5)).unsqueeze(1).to(rows)


def add_rows(table: torch.Tensor, rows: torch.Tensor, values: torch.Tensor, scale: float) -> None:
    """``table[rows[i]] += scale * values[i]`` for every ``i``, also where a row is named again."""
    if table.shape[1] == 1:  # PyTorch adds single numbers much faster than rows of one
        table, values = table.select(1, 0), values.select(1, 0)
    table.index_add_(0, rows, values, alpha=scale)


class Plan(NamedTuple):
    """Which kernels compute a 2D convolution of some size.

    Attributes:
        forward: "im2col", "winograd", "nhwc" (oneDNN with the channels innermost, which takes two conversions) or
            "plain".
        gradInput, gradWeight: "im2col", "plain", or both "winograd".
        samples: how many samples im2col unfolds at once; more do not fit into the processor's cache.
    """

    forward: str
    gradInput: str
    gradWeight: str
    samples: int


@functools.lru_cache(4096)
def _plan(
    input: tuple[int, ...], weight: tuple[int, ...], output: tuple[int, int], stride: tuple[int, int],
    dtype: torch.dtype, cpu: bool, threads: int, private: bool, winograd: bool,
) -> Plan:  # fmt: skip
    """The fastest kernels. ``input``, ``weight``: sizes; ``output``: those of a plane of the output."""
    forward, backward = "plain", "plain"
    if winograd and cpu and dtype is torch.float32 and stride == (1, 1) and weight[2:] == (3, 3):
        forward, backward = _winograd_where_faster(input[0], weight, output, threads)
    n, planes, places = input[0], weight[1], math.prod(output)
    if not cpu or not private or _im2col_forward is None or _im2col_backward is None:
        nhwc = cpu and AVX512 and dtype is torch.float32 and (planes % 16 or weight[0] % 16)
        return Plan("nhwc" if nhwc else forward, backward, backward, n)
    columns = planes * weight[2] * weight[3] * places
    samples = min(n, max(IM2COL_ELEMENTS // max(columns, 1), threads))
    small = 2 * n * weight[0] * columns < CONVOLUTION_FLOPS
    if small:
        return Plan("im2col", "im2col", "im2col", samples)
    few, large = planes <= 3, weight[2] >= 5  # a first layer
    if AVX512:
        nhwc = dtype is torch.float32 and (planes % 16 or weight[0] % 16)
        return Plan("nhwc" if nhwc else forward, "im2col" if few and large else backward, backward, samples)
    return Plan(forward, "im2col" if few else backward, "im2col" if few and large else backward, samples)


def _winograd_where_faster(n: int, weight: tuple[int, ...], output: tuple[int, int], threads: int) -> tuple[str, str]:
    """The kernels for the output and for the gradients of ``n`` samples: "winograd" where that is the faster one.

    It takes many planes, for the transforms to cost little beside the products, and many places, for those of the
    kernels to do so; a sample with too many tiles does not stay in the cache. The transforms gain less from threads.
    """
    inputs, outputs = weight[1], weight[0]
    if min(inputs, outputs) < WINOGRAD_PLANES or n * math.prod(output) < WINOGRAD_PLACES:
        return "plain", "plain"
    tiles, many = math.prod(_winograd.tiles(output)), inputs * outputs >= WINOGRAD_KERNELS
    forward = many and tiles <= WINOGRAD_TILES
    backward = (many or threads == 1) and tiles <= WINOGRAD_TILES_BACKWARD
    return "winograd" if forward else "plain", "winograd" if backward else "plain"


def plan_for(input: torch.Tensor, weight: torch.Tensor, output: tuple[int, int], stride: tuple[int, int]) -> Plan:
    """The plan for a convolution that is not dilated, of one group; ``output``: the sizes of a plane of the output."""
    return _plan(
        input.shape, weight.shape, output, stride, input.dtype, input.is_cpu, torch.get_num_threads(), PRIVATE, WINOGRAD
    )


def _contiguous(output: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
    """``output`` resized, and in the usual order, which im2col does not ask for: another time, or in the file that it
    comes from, it may have had another.
    """
    return resized(output if output.is_contiguous() else output.set_(), size)


def conv2d(
    output: torch.Tensor,
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    last: bool = False,
) -> None:
    """2D convolution of N x C x H x W into ``output``, which is overwritten or set to the result.

    With ``last`` the output's planes are innermost in memory.
    """
    n, _, h, w = input.shape
    planes, _, kh, kw = weight.shape
    oh = (h + 2 * padding[0] - kh) // stride[0] + 1
    ow = (w + 2 * padding[1] - kw) // stride[1] + 1
    plan = plan_for(input, weight, (oh, ow), stride)
    if plan.forward == "winograd":
        layout = _LAST if last else torch.contiguous_format
        if output.shape != (n, planes, oh, ow) or not output.is_contiguous(memory_format=layout):
            output.set_(input.new_empty(0)).resize_((n, planes, oh, ow), memory_format=layout)
        _winograd.convolve(output, input, _winograd.filters(weight), bias, padding)
    elif last:
        if plan.forward == "im2col":
            result = _im2col_forward(input.contiguous(), weight, (kh, kw), bias, stride, padding)
        else:
            freed(output, input, weight)
            layout = _LAST if oh * ow >= LAST_PLACES else torch.contiguous_format
            result = torch.conv2d(input.contiguous(memory_format=layout), weight, bias, stride, padding)
        output.set_(result.contiguous(memory_format=_LAST))
    elif plan.forward == "im2col":
        _contiguous(output, (n, planes, oh, ow))
        if plan.samples == n:
            _im2col_forward(input, weight, (kh, kw), bias, stride, padding, out=output)
        else:
            for x, y in zip(input.split(plan.samples), output.split(plan.samples)):
                _im2col_forward(x, weight, (kh, kw), bias, stride, padding, out=y)
    elif plan.forward == "nhwc":
        freed(output, input, weight)
        result = torch.conv2d(input.contiguous(memory_format=torch.channels_last), weight, bias, stride, padding)
        output.set_(result.contiguous())
    else:
        freed(output, input, weight)
        output.set_(torch.conv2d(input, weight, bias, stride, padding).contiguous())


def _usual(input: torch.Tensor) -> torch.Tensor:
    """``input`` in the usual order, for kernels that go by its strides alone: by these, planes of one element, or a
    single plane, can be channels-last as well.
    """
    input = input.contiguous()
    return input.view(-1).view(input.shape) if input.stride(1) == 1 else input


def _im2col_gradients(
    input: torch.Tensor,
    gradOutput: torch.Tensor,
    weight: torch.Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    mask: list[bool],
    samples: int | None = None,
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
    """The gradients by im2col, so many samples at a time."""
    input, weight = _usual(input), weight.contiguous()  # the kernel takes that for granted
    n, kernel = input.shape[0], weight.shape[2:]
    if samples is None or samples >= n:
        return _im2col_backward(gradOutput, input, weight, kernel, stride, padding, mask)
    gradInput = torch.empty_like(input) if mask[0] else None
    gradWeight = gradBias = None
    for i, (x, g) in enumerate(zip(input.split(samples), gradOutput.split(samples))):
        part, gw, gb = _im2col_backward(g, x, weight, kernel, stride, padding, mask)
        if gradInput is not None:
            gradInput[i * samples : i * samples + x.shape[0]] = part
        if mask[1]:
            gradWeight = gw if gradWeight is None else gradWeight.add_(gw)
        if mask[2]:
            gradBias = gb if gradBias is None else gradBias.add_(gb)
    return gradInput, gradWeight, gradBias


def conv2d_backward(
    input: torch.Tensor,
    gradOutput: torch.Tensor,
    weight: torch.Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    mask: list[bool],
    last: bool = False,
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
    """Gradients of :func:`conv2d` with respect to input, weight and bias; ``mask`` says which are wanted."""
    plan = plan_for(input, weight, gradOutput.shape[2:], stride)
    if plan.gradWeight == "winograd":
        input = input.contiguous(memory_format=_LAST if last else torch.contiguous_format)
        return _winograd.gradients(input, gradOutput, weight, padding, mask)
    if last:
        layout = _LAST if math.prod(gradOutput.shape[2:]) >= LAST_PLACES_BACKWARD else torch.contiguous_format
        input, gradOutput = (t.contiguous(memory_format=layout) for t in (input, gradOutput))
        gradInput, *rest = conv2d_backward(input, gradOutput, weight, stride, padding, mask)
        return gradInput if gradInput is None else gradInput.contiguous(memory_format=_LAST), *rest
    unfolded = [
        mask[0] and plan.gradInput == "im2col",
        mask[1] and plan.gradWeight == "im2col",
        mask[2] and plan.gradWeight == "im2col",
    ]
    if unfolded == mask:
        return _im2col_gradients(input, gradOutput, weight, stride, padding, mask, plan.samples)
    rest = [wanted and not done for wanted, done in zip(mask, unfolded)]
    bias_sizes = [weight.shape[0]] if rest[2] else None
    found = _convolution_backward(
        gradOutput, input, weight, bias_sizes, stride, padding, (1, 1), False, (0, 0), 1, rest
    )  # fmt: skip
    if rest == mask:
        return found
    few = _im2col_gradients(input, gradOutput, weight, stride, padding, unfolded, plan.samples)
    return tuple(a if done else b for a, b, done in zip(few, found, unfolded))


def convolution(
    output: torch.Tensor,
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    settings: tuple,
    last: bool = False,
) -> None:
    """Convolution of N x C x ... into ``output``, which is overwritten or set to the result.

    Args:
        settings: stride, padding, dilation, transposed, output padding, groups, as ``torch.convolution`` takes them.
        last: whether the output's planes are to be innermost in memory; of 2D convolutions that are not transposed.
    """
    stride, padding, dilation, transposed, adjustment, groups = settings
    if groups == 1 and dilation == (1, 1):
        if not transposed:
            return conv2d(output, input, weight, bias, stride, padding, last)
        if _im2col_wins_transposed(input, weight):
            size = [
                (n - 1) * s - 2 * p + k + a
                for n, s, p, k, a in zip(input.shape[2:], stride, padding, weight.shape[2:], adjustment)
            ]
            _contiguous(output, (input.shape[0], weight.shape[1], *size))
            where = (bias, stride, padding, adjustment, dilation)
            _im2col_transposed(_usual(input), weight, weight.shape[2:], *where, out=output)
            return
    layout = _LAST if last and not transposed else torch.contiguous_format
    output.set_(torch.convolution(input, weight, bias, *settings).contiguous(memory_format=layout))


@functools.lru_cache(4096)
def _convolved_size(
    input: tuple[int, ...], weight: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...],
    dilation: tuple[int, ...], transposed: bool, adjustment: tuple[int, ...], groups: int,
) -> tuple[int, ...]:  # fmt: skip
    """The size of the output of :func:`convolution`, from those of input and weight."""
    axes = zip(input[2:], weight[2:], stride, padding, dilation, adjustment)
    if transposed:
        places = [(n - 1) * s - 2 * p + d * (k - 1) + 1 + a for n, k, s, p, d, a in axes]
        return input[0], weight[1] * groups, *places
    return input[0], weight[0], *[(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d, _ in axes]


def convolution_backward(
    input: torch.Tensor,
    gradOutput: torch.Tensor,
    weight: torch.Tensor,
    settings: tuple,
    mask: list[bool],
    last: bool = False,
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
    """Gradients of :func:`convolution` with respect to input, weight and bias; ``mask`` says which are wanted."""
    size = _convolved_size(input.shape, weight.shape, *settings)
    if gradOutput.shape != size:  # some kernels would read beyond its end, others leave out a part of it
        raise ShapeError(f"gradOutput must have the size of the output, {list(size)}, got {list(gradOutput.shape)}")
    stride, padding, dilation, transposed, _, groups = settings
    if groups == 1 and dilation == (1, 1):
        if not transposed:
            return conv2d_backward(input, gradOutput, weight, stride, padding, mask, last)
        if _im2col_wins_transposed(input, weight):
            # the transpose of a convolution from gradOutput to input
            kernel = weight.shape[2:]
            only_weight = [False, True, False]
            return (
                _im2col_forward(gradOutput, weight, kernel, None, stride, padding) if mask[0] else None,
                _im2col_gradients(gradOutput, input, weight, stride, padding, only_weight)[1] if mask[1] else None,
                gradOutput.sum((0, 2, 3)) if mask[2] else None,
            )
    bias_sizes = [gradOutput.shape[1]] if mask[2] else None
    return _convolution_backward(gradOutput, input, weight, bias_sizes, *settings, mask)


def _im2col_wins_transposed(input: torch.Tensor, weight: torch.Tensor) -> bool:
    """Whether a transposed 2D convolution of this size is faster by im2col."""
    return (
        PRIVATE
        and _im2col_transposed is not None
        and _im2col_backward is not None
        and input.is_cpu
        # half the bound of a forward convolution: the backward pass unfolds twice
        and 4 * input.numel() * (weight.numel() // weight.shape[0]) < CONVOLUTION_FLOPS
    )
