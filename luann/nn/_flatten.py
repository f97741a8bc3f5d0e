"""``Module.flatten``: many tensors into one flat one, of which they become views."""

from __future__ import annotations

import torch

from ..errors import ArgumentError


def flatten(parameters: list[torch.Tensor]) -> torch.Tensor:
    """Move tensors into one new flat tensor and make them views of it.

    Storages come in the order in which they are met, what lies in a storage keeps its order. Memory that several
    tensors share appears once, memory that none uses is left out. Tensors that already fill one storage without gaps
    stay.

    Args:
        parameters: tensors of one type and device; changed in place, the objects stay.

    Returns:
        The flat tensor; without elements if ``parameters`` is empty.

    Raises:
        ArgumentError: tensors of several types, or one with gaps of its own (a column of a matrix, say).
    """
    if not parameters:
        return torch.empty(0)
    first = parameters[0]
    kinds = {(p.dtype, p.device) for p in parameters}
    if len(kinds) > 1:
        raise ArgumentError(
            "getParameters needs all parameters of one type on one device, got "
            + ", ".join(sorted(f"{d} on {where}" for d, where in kinds))
            + "; convert the module with type() first"
        )

    groups: dict[int, list[torch.Tensor]] = {}
    for p in parameters:
        groups.setdefault(p.untyped_storage()._cdata, []).append(p)
    # Per storage the runs of elements in use, as (start, end), and where each begins in the flat tensor.
    runs = {key: _used(group) for key, group in groups.items()}
    total = sum(end - start for used in runs.values() for start, end in used)

    (key, used), *more = runs.items()
    if not more and used == [(0, first.untyped_storage().nbytes() // first.element_size())]:
        return _over(first, 0, (total,), (1,))

    flat = torch.empty(total, dtype=first.dtype, device=first.device)
    place = 0
    for key, group in groups.items():
        moves = []
        for start, end in runs[key]:
            flat[place : place + end - start] = _over(group[0], start, (end - start,), (1,))
            moves.append((start, end, place))
            place += end - start
        for p in {id(p): p for p in group}.values():
            at = p.storage_offset()
            base = next((to + at - start for start, end, to in moves if start <= at < end), 0)
            p.set_(flat.untyped_storage(), base, p.shape, p.stride())
    return flat


def _over(tensor: torch.Tensor, offset: int, size: tuple, stride: tuple) -> torch.Tensor:
    """A new tensor over the storage of ``tensor``."""
    new = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
    return new.set_(tensor.untyped_storage(), offset, size, stride)


def _used(group: list[torch.Tensor]) -> list[tuple[int, int]]:
    """The runs of elements that tensors over one storage use, as sorted (start, end) pairs that do not touch."""
    spans = []
    gaps = False
    for p in group:
        if p.numel():
            length = 1 + sum((n - 1) * s for n, s in zip(p.shape, p.stride()))
            spans.append((p.storage_offset(), p.storage_offset() + length))
            gaps = gaps or length != _distinct(p)
    if gaps:
        _check_gaps(group, max(end for _, end in spans))
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _distinct(tensor: torch.Tensor) -> int:
    """How many elements of memory a tensor addresses: expanded dimensions count once."""
    count = 1
    for n, s in zip(tensor.shape, tensor.stride()):
        count *= n if s else 1
    return count


def _check_gaps(group: list[torch.Tensor], length: int) -> None:
    """Tensors with gaps are fine if the others fill them."""
    mask = torch.zeros(length, dtype=torch.bool, device=group[0].device)
    for p in group:
        mask.as_strided(p.shape, p.stride(), p.storage_offset()).fill_(True)
    spans = torch.zeros_like(mask)
    for p in group:
        if p.numel():
            end = p.storage_offset() + 1 + sum((n - 1) * s for n, s in zip(p.shape, p.stride()))
            spans[p.storage_offset() : end] = True
    if not torch.equal(mask, spans):
        p = next(p for p in group if _distinct(p) != 1 + sum((n - 1) * s for n, s in zip(p.shape, p.stride())))
        raise ArgumentError(
            f"a parameter of size {'x'.join(map(str, p.shape))} and strides {tuple(p.stride())} has gaps between its "
            "elements that belong to no parameter; make it contiguous first"
        )
