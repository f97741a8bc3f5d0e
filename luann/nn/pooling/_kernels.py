"""PyTorch's pooling kernels over 2 and 3 dimensions, with the sizes that Torch7 gives.

``settings`` is everywhere the tuple (kernel, stride, padding, dilation, ceil_mode), as PyTorch takes it; the number of
dimensions is that of the kernel.
"""

from __future__ import annotations

import functools

import torch

from ...errors import ShapeError
from .._guard import describe
from .._kernels import AVX512, lies_last, resized, resized_like

_C = torch._C._nn
_aten = torch.ops.aten

_MAX = {2: _C.max_pool2d_with_indices, 3: _C.max_pool3d_with_indices}
_MAX_BACKWARD = {
    2: _aten.max_pool2d_with_indices_backward.grad_input._op,
    3: _aten.max_pool3d_with_indices_backward.grad_input._op,
}
_AVERAGE = {2: _C.avg_pool2d, 3: _C.avg_pool3d}
_AVERAGE_BACKWARD = {2: _aten.avg_pool2d_backward.grad_input._op, 3: _aten.avg_pool3d_backward.grad_input._op}
_CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}

CHANNELS_LAST_ELEMENTS, CHANNELS_LAST_PLANES = 30_000, 8 if AVX512 else 4
"""From this size on, maxima are faster found in channels_last layout, conversion included."""

FOLDED_PLANES = 64
"""From so many planes of all samples on, few in each, these are pooled together."""

LAST_PLANES = 16 if AVX512 else 8
"""From so many planes on, images that lie channels-last are pooled fast as they are: as many as a vector holds."""

SEPARATE_ELEMENTS = 5_000
"""From this size on, the maxima of small windows, without their places, are faster found along one dimension at a time.
"""


def _counts(sizes: tuple[int, ...], settings: tuple) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The numbers of windows over dimensions of these sizes: in Torch7, and as PyTorch's kernels count.

    They differ where sizes are rounded up without padding: Torch7 then keeps a last window that lies beyond the input.
    """
    kernel, stride, padding, dilation, ceil_mode = settings
    torch7, inside = [], []
    for n, k, s, p, d in zip(sizes, kernel, stride, padding, dilation):
        span = n + 2 * p - d * (k - 1) - 1
        count = (-(-span // s) if ceil_mode else span // s) + 1
        within = count - (ceil_mode and (count - 1) * s >= n + p)
        torch7.append(within if any(padding) else count)
        inside.append(within)
    return tuple(torch7), tuple(inside)


@functools.lru_cache(4096)
def _empty(sizes: tuple[int, ...], settings: tuple) -> tuple[tuple[int, int], ...]:
    """The windows that hold no element of the input, as (dimension, counted from the end; number).

    With dilation and padding there can be some at the beginning of a small dimension. The places that PyTorch's kernels
    give for these lie elsewhere, even beyond the input.
    """
    found = []
    for dim, (n, k, s, p, d) in enumerate(zip(sizes, *settings[:4]), -len(sizes)):
        for window, begin in enumerate(range(-p, 0, s)):
            if not any(0 <= begin + d * j < n for j in range(k)):
                found.append((dim, window))
    return tuple(found)


def _fill_empty(tensor: torch.Tensor, value: float, shape: torch.Size, settings: tuple) -> None:
    """Write ``value`` where a pooled tensor stands for windows without elements. ``shape`` is the input's."""
    if max(settings[3]) > 1:
        for dim, window in _empty(shape[-len(settings[0]) :], settings):
            if window < tensor.shape[dim]:
                tensor.select(dim, window).fill_(value)


@functools.lru_cache(4096)
def pooled_sizes(shape: torch.Size, settings: tuple) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The size to which Torch7 pools ``shape``, and the size of what PyTorch's kernels compute; usually the same."""
    dims = len(settings[0])
    torch7, inside = _counts(shape[-dims:], settings)
    lead = shape[:-dims]
    size = (*lead, *torch7)
    return size, size if torch7 == inside else (*lead, *inside)


def _fitting(gradOutput: torch.Tensor, shape: torch.Size, settings: tuple) -> torch.Size:
    """The size that PyTorch's kernels know of, for an input of this ``shape``.

    Raises:
        ShapeError: ``gradOutput`` has not the size of the output; the kernels would read beyond its end.
    """
    size, inside = pooled_sizes(shape, settings)
    if gradOutput.shape != size:
        raise ShapeError(f"wanted a gradOutput of {'x'.join(map(str, size))}, got {describe(gradOutput)}")
    return inside


def within(tensor: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
    """The part of a pooled tensor that PyTorch's kernels know of."""
    return tensor[tuple(slice(n) for n in size)] if tensor.shape != size else tensor


def _plain(tensor: torch.Tensor, dims: int) -> torch.Tensor:
    """The tensor in a layout that PyTorch's kernels take: one volume must not lie as images do, channels last."""
    return tensor.contiguous() if dims == 3 else tensor


def max_pool_into(
    output: torch.Tensor, places: torch.Tensor | None, input: torch.Tensor, settings: tuple, last: bool = False
) -> torch.Tensor:
    """Max pooling into ``output``; returns the places of the maxima, counted from 0 in each plane.

    A window without elements of the input gives the lowest number there is. It has no place if it lies beyond the
    input, else the place -1.

    Args:
        places: what an earlier call returned, to be written again; may be ``None``.
        last: whether the output is to lie in memory as the input does.
    """
    places = _max_pool_into(output, places, input, settings, last)
    _fill_empty(output, torch.finfo(output.dtype).min, input.shape, settings)
    _fill_empty(places, -1, input.shape, settings)
    return places


def _max_pool_into(
    output: torch.Tensor, places: torch.Tensor | None, input: torch.Tensor, settings: tuple, last: bool
) -> torch.Tensor:
    dims = len(settings[0])
    size, inside = pooled_sizes(input.shape, settings)
    if last:
        if size == inside and lies_last(input):
            values, places = _MAX[dims](input, *settings)
            output.set_(values)
            return places
        resized_like(output, input, size)
    resized(output, size)
    if size != inside:
        values, places = _MAX[dims](_plain(input, dims), *settings)
        within(output.fill_(torch.finfo(output.dtype).min), inside).copy_(values)
    elif (
        input.dim() == dims + 2
        and input.is_cpu
        and input.numel() >= CHANNELS_LAST_ELEMENTS
        and input.shape[1] >= CHANNELS_LAST_PLANES
        and not _folds(input)
    ):
        # ATen's kernels for the usual layout are scalar code, those for channels innermost are vectorised
        values, places = _MAX[dims](input.contiguous(memory_format=_CHANNELS_LAST[dims]), *settings)
        output.copy_(values)
    elif _folds(input):
        places = _max_pool_folded(output, input, settings)
    else:
        if places is None or not places.is_contiguous():
            places = torch.empty(0, dtype=torch.int64, device=input.device)
        _MAX[dims](_plain(input, dims), *settings, out=(output, resized(places, size)))
    return places


def _folds(input: torch.Tensor) -> bool:
    """Whether the planes of all samples are to be pooled as if they were those of one.

    That makes enough of them for the vectorised kernel; and with planes of many times 4 KB, which would fall
    upon each other in the cache, the conversion is faster as the transpose of a matrix, of all samples at once.
    """
    if input.dim() != 4 or not input.is_cpu or not input.is_contiguous() or input.numel() < CHANNELS_LAST_ELEMENTS:
        return False
    n, planes, h, w = input.shape
    return n * planes >= FOLDED_PLANES and (planes < FOLDED_PLANES // 4 or h * w * input.element_size() % 4096 == 0)


def _max_pool_folded(output: torch.Tensor, input: torch.Tensor, settings: tuple) -> torch.Tensor:
    """Max pooling of images with the planes of all samples innermost."""
    n, planes, h, w = input.shape
    folded = input.new_empty(h * w, n * planes).copy_(input.view(n * planes, h * w).t())
    found = _MAX[2](folded.view(1, h, w, n * planes).permute(0, 3, 1, 2), *settings)
    values, places = (f.permute(0, 2, 3, 1).reshape(-1, n * planes).t() for f in found)
    output.view(values.shape).copy_(values)
    return places.new_empty(output.shape).view(places.shape).copy_(places).view(output.shape)


def max_pool(input: torch.Tensor, settings: tuple) -> tuple[torch.Tensor, torch.Tensor]:
    """The maxima and their places in fresh tensors, as PyTorch lays them out."""
    return _MAX[len(settings[0])](input, *settings)


def max_pool_backward(
    gradInput: torch.Tensor,
    gradOutput: torch.Tensor,
    input: torch.Tensor,
    places: torch.Tensor,
    settings: tuple,
    last: bool = False,
) -> torch.Tensor:
    """The gradient with respect to the input of max pooling, into ``gradInput``."""
    dims = len(settings[0])
    inside = _fitting(gradOutput, input.shape, settings)
    if settings[4]:
        gradOutput, places = within(gradOutput, inside), within(places, inside)
    if max(settings[3]) > 1 and _empty(input.shape[-dims:], settings):
        gradOutput, places = gradOutput.clone(), places.clone()
        _fill_empty(gradOutput, 0, input.shape, settings)
        _fill_empty(places, 0, input.shape, settings)
    gradOutput, input = _plain(gradOutput, dims), _plain(input, dims)
    into = resized_like(gradInput, input) if last else resized(gradInput, input.shape)
    return _MAX_BACKWARD[dims](gradOutput, input, *settings, places, grad_input=into)


@functools.lru_cache(4096)
def _parts(n: int, count: int, k: int, stride: int, padding: int, dilation: int) -> tuple | None:
    """What each place of a window takes of a dimension: (first window, windows, slice), the most windows first.

    ``None`` where no place is inside the input for all ``count`` windows.
    """
    found = []
    for offset in range(-padding, k * dilation - padding, dilation):
        first = max(0, -(offset // stride))
        last = min(count, (n - 1 - offset) // stride + 1)
        if last > first:
            begin = first * stride + offset
            found.append((first, last - first, slice(begin, begin + (last - first - 1) * stride + 1, stride)))
    found.sort(key=lambda part: -part[1])
    return tuple(found) if found and found[0][1] == count else None


def _maxima(output: torch.Tensor, input: torch.Tensor, dim: int, count: int, parts: tuple) -> None:
    """The maxima of windows along one of the two last dimensions."""

    def taken(part: tuple) -> torch.Tensor:
        return input[..., part[2]] if dim == -1 else input[..., part[2], :]

    if len(parts) > 1 and parts[1][1] == count:
        torch.maximum(taken(parts[0]), taken(parts[1]), out=output)
        parts = parts[2:]
    else:
        output.copy_(taken(parts[0]))
        parts = parts[1:]
    for part in parts:
        some = output.narrow(dim, part[0], part[1])
        torch.maximum(some, taken(part), out=some)


def max_pool_values(output: torch.Tensor, input: torch.Tensor, settings: tuple) -> bool:
    """Max pooling over images into ``output``, without the places of the maxima: over the rows, then over the columns.

    Returns whether it was done: for large images on a CPU, and windows of at most 3x3, this is the fastest way.
    """
    kernel, stride, padding, dilation, _ = settings
    if input.numel() < SEPARATE_ELEMENTS or not input.is_cpu or max(kernel) > 3:
        return False
    size, inside = pooled_sizes(input.shape, settings)
    h, w = (_parts(*numbers) for numbers in zip(input.shape[-2:], size[-2:], kernel, stride, padding, dilation))
    if size != inside or h is None or w is None:
        return False
    rows = input.new_empty((*size[:-1], input.shape[-1]))
    _maxima(rows, input, -2, size[-2], h)
    _maxima(resized(output, size), rows, -1, size[-1], w)
    return True


def average_pool_into(
    output: torch.Tensor, input: torch.Tensor, settings: tuple, count_include_pad: bool, last: bool = False
) -> torch.Tensor:
    """Average pooling into ``output``.

    A window that lies beyond the input gives 0, or nan if it begins right after the last element (Torch7 divides 0 by
    the number of elements between).
    """
    kernel, stride, padding, _, ceil_mode = settings
    size, inside = pooled_sizes(input.shape, settings)
    if last:
        resized_like(output, input, size)
    else:
        resized(output, size)
    input = _plain(input, len(kernel))
    rest = (kernel, stride, padding, ceil_mode, count_include_pad, None)
    if size == inside:
        return _AVERAGE[len(kernel)](input, *rest, out=output)
    output.zero_()
    for i in range(1, len(kernel) + 1):
        if size[-i] != inside[-i] and inside[-i] * stride[-i] == input.shape[-i]:
            output.select(-i, size[-i] - 1).fill_(float("nan"))
    within(output, inside).copy_(_AVERAGE[len(kernel)](input, *rest))
    return output


def average_pool_backward(
    gradInput: torch.Tensor,
    gradOutput: torch.Tensor,
    input: torch.Tensor,
    settings: tuple,
    count_include_pad: bool,
    last: bool = False,
) -> torch.Tensor:
    """The gradient with respect to the input of average pooling, into ``gradInput``."""
    kernel, stride, padding, _, ceil_mode = settings
    gradOutput = within(gradOutput, _fitting(gradOutput, input.shape, settings))
    if last:
        resized_like(gradInput, input)
    else:
        resized(gradInput, input.shape)
    gradOutput, input = _plain(gradOutput, len(kernel)), _plain(input, len(kernel))
    return _AVERAGE_BACKWARD[len(kernel)](
        gradOutput, input, kernel, stride, padding, ceil_mode, count_include_pad, None, grad_input=gradInput
    )
