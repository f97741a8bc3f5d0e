"""Convolution with kernels of 3x3 and a step of 1 by Winograd's minimal filtering, F(2x2, 3x3).

Each 2x2 of the output comes from a 4x4 of the input: both are transformed by additions alone, and in between 16
products take the place of 36 (S. Winograd, Arithmetic Complexity of Computations, 1980; A. Lavin and S. Gray, Fast
Algorithms for Convolutional Neural Networks, 2016). In one dimension, for the outputs ``y`` of the inputs ``d`` under
the kernel ``g``::

    v = (d0 - d2, d1 + d2, d2 - d1, d3 - d1)
    u = (g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2)
    m = u v (element by element, then the sum over the input planes)
    y = (m0 + m1 + m2, m1 - m2 + m3)

The gradients are the transposes of these steps. In float the results are closer to the exact ones than those of
oneDNN's direct convolution. What is not finite spreads to the 4x4 that it is in, not to the outputs above it alone.

Between the transforms the tensors lie as height x width x N x planes, so that whatever is added up has long runs of
memory, and 16 x (tiles of all samples) x planes, which is what a batch of matrix products wants.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor, add, sub

TILES = 256
"""About how many tiles each thread computes at once; their transforms stay near its second-level cache."""

_UNDER = torch.tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])


@functools.cache
def _kernel_transform(dtype: torch.dtype) -> Tensor:
    """16 x 9: what takes the 9 elements of a kernel to its 16."""
    return torch.kron(_UNDER, _UNDER).to(dtype)


def tiles(output: tuple[int, ...]) -> tuple[int, int]:
    """How many tiles cover a plane of the output: vertically, horizontally."""
    return (output[-2] + 1) // 2, (output[-1] + 1) // 2


def filters(weight: Tensor) -> Tensor:
    """The transformed kernels, 16 x output planes x input planes, of a weight O x I x 3 x 3."""
    planes = weight.shape[:2]
    flat = weight.reshape(planes.numel(), 9)
    return torch.mm(_kernel_transform(weight.dtype), flat.t()).view(16, *planes)


def convolve(output: Tensor, input: Tensor, filters: Tensor, bias: Tensor | None, padding: tuple[int, int]) -> None:
    """Write the convolution of N x I x H x W into ``output``, N x O x oH x oW, in whatever order that lies."""
    (oh, ow), (th, tw) = output.shape[2:], tiles(output.shape)
    for x, y in zip(*_parts(th * tw, input, output)):
        n, planes = y.shape[:2]
        products = torch.bmm(_of_input(x, padding, th, tw), filters.transpose(1, 2))
        rows = x.new_empty(2, 4, th, tw, n, planes)
        _collect(products.view(4, 4, th, tw, n, planes).unbind(), rows.unbind())
        tiled = x.new_empty(th, 2, tw, 2, n, planes)
        _collect(rows.unbind(1), tiled.permute(3, 1, 0, 2, 4, 5).unbind())
        if bias is not None:
            tiled.add_(bias)
        _give(y, tiled.view(2 * th, 2 * tw, n, planes)[:oh, :ow])


def gradients(
    input: Tensor, gradOutput: Tensor, weight: Tensor, padding: tuple[int, int], mask: list[bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The gradients with respect to input, weight and bias that ``mask`` asks for; the others are ``None``.

    That of the weight is a view of 3 x 3 x O x I.
    """
    th, tw = tiles(gradOutput.shape)
    gradInput = torch.empty_like(input) if mask[0] else None
    kernels = filters(weight) if mask[0] else None
    products = None
    parts = list(zip(*_parts(th * tw, input, gradOutput, input if gradInput is None else gradInput)))
    for x, g, into in parts:
        back = _of_gradient(_tiled(g, th, tw))
        if kernels is not None:
            _to_input(into, torch.bmm(back, kernels), padding, th, tw)
            if len(parts) == 1:  # then they are large beside what is convolved
                kernels = None
        if mask[1]:
            seen = _of_input(x, padding, th, tw)
            if products is None:
                products = torch.bmm(back.transpose(1, 2), seen)
            else:
                products.baddbmm_(back.transpose(1, 2), seen)
            del seen
    gradWeight = None
    if products is not None:
        places = torch.mm(_kernel_transform(weight.dtype).t(), products.view(16, -1))
        gradWeight = places.view(3, 3, *weight.shape[:2]).permute(2, 3, 0, 1)
    return gradInput, gradWeight, gradOutput.sum((0, 2, 3)) if mask[2] else None


def _parts(tiles: int, *batches: Tensor) -> list[tuple[Tensor, ...]]:
    """Batches split into as many samples as are computed at once."""
    samples = max(1, TILES * torch.get_num_threads() // tiles)
    return [batch.split(samples) for batch in batches]


def _taken(x: Tensor) -> Tensor:
    """n x planes x h x w as h x w x n x planes."""
    n, planes, h, w = x.shape
    if not x.is_contiguous():
        return x.permute(2, 3, 0, 1)
    # PyTorch transposes matrices several times as fast as anything else
    return x.new_empty(h * w, n * planes).copy_(x.view(n * planes, h * w).t()).view(h, w, n, planes)


def _give(into: Tensor, x: Tensor) -> None:
    """Write h x w x n x planes into n x planes x h x w."""
    h, w, n, planes = x.shape
    if into.is_contiguous():
        into.view(n * planes, h * w).copy_(x.reshape(h * w, n * planes).t())
    else:
        into.copy_(x.permute(2, 3, 0, 1))


def _of_input(x: Tensor, padding: tuple[int, int], th: int, tw: int) -> Tensor:
    """The transformed tiles of n x I x H x W: 16 x tiles x I."""
    (n, planes, h, w), (top, left) = x.shape, padding
    padded = x.new_zeros(2 * th + 2, 2 * tw + 2, n, planes)
    padded[top : top + h, left : left + w].copy_(_taken(x))
    rows = x.new_empty(4, th, 2 * tw + 2, n, planes)
    _deal(padded.unfold(0, 4, 2).unbind(-1), rows.unbind())
    dealt = x.new_empty(4, 4, th, tw, n, planes)
    _deal(rows.unfold(2, 4, 2).unbind(-1), dealt.unbind(1))
    return dealt.view(16, -1, planes)


def _to_input(into: Tensor, dealt: Tensor, padding: tuple[int, int], th: int, tw: int) -> None:
    """The transpose of :func:`_of_input`, written into n x I x H x W."""
    (n, planes, h, w), (top, left) = into.shape, padding
    rows = dealt.new_empty(4, th, tw + 1, 2, n, planes)
    _gather(dealt.view(4, 4, th, tw, n, planes).unbind(1), rows[:, :, :, 0], rows[:, :, :, 1], 2)
    padded = dealt.new_empty(th + 1, 2, 2 * tw + 2, n, planes)
    _gather(rows.view(4, th, 2 * tw + 2, n, planes).unbind(), padded[:, 0], padded[:, 1], 0)
    whole = padded.view(2 * th + 2, 2 * tw + 2, n, planes)
    _give(into, whole[top : top + h, left : left + w])


def _tiled(g: Tensor, th: int, tw: int) -> Tensor:
    """n x O x oH x oW as th x 2 x tw x 2 x n x O, filled up with zeros."""
    n, planes, oh, ow = g.shape
    tiled = _taken(g)
    if oh % 2 or ow % 2:
        tiled = torch.nn.functional.pad(tiled, (0, 0, 0, 0, 0, ow % 2, 0, oh % 2))
    return tiled.reshape(th, 2, tw, 2, n, planes)


def _of_gradient(tiled: Tensor) -> Tensor:
    """The transpose of what :func:`convolve` does with its products: 16 x tiles x O."""
    th, _, tw, _, n, planes = tiled.shape
    rows = tiled.new_empty(4, th, tw, 2, n, planes)
    _hand_back(tiled.unbind(1), rows.unbind())
    back = tiled.new_empty(4, 4, th, tw, n, planes)
    _hand_back(rows.unbind(3), back.unbind(1))
    return back.view(16, -1, planes)


# One dimension


def _deal(d: tuple[Tensor, ...], v: tuple[Tensor, ...]) -> None:
    sub(d[0], d[2], out=v[0])
    add(d[1], d[2], out=v[1])
    sub(d[2], d[1], out=v[2])
    sub(d[3], d[1], out=v[3])


def _gather(v: tuple[Tensor, ...], even: Tensor, odd: Tensor, dim: int) -> None:
    """The transpose of :func:`_deal`: the elements of even and odd places, to each of which two tiles contribute."""
    count = v[0].shape[dim]
    early, late = even.narrow(dim, 0, count), even.narrow(dim, 1, count)
    even.select(dim, 0).zero_()
    add(v[1], v[2], out=late)
    late.sub_(v[0])
    early.add_(v[0])
    early, late = odd.narrow(dim, 0, count), odd.narrow(dim, 1, count)
    odd.select(dim, count).zero_()
    sub(v[1], v[2], out=early)
    early.sub_(v[3])
    late.add_(v[3])


def _collect(m: tuple[Tensor, ...], y: tuple[Tensor, ...]) -> None:
    add(m[1], m[2], out=y[0]).add_(m[0])
    sub(m[1], m[2], out=y[1]).add_(m[3])


def _hand_back(y: tuple[Tensor, ...], m: tuple[Tensor, ...]) -> None:
    """The transpose of :func:`_collect`."""
    m[0].copy_(y[0])
    add(y[0], y[1], out=m[1])
    sub(y[0], y[1], out=m[2])
    m[3].copy_(y[1])
