"""``nn.tables``: connection tables for SpatialConvolutionMap and SpatialFullConvolutionMap.

A table is a tensor with a row (from, to) for each connection: numbers of an input plane and an output plane, counted
from 1.
"""

from __future__ import annotations

import torch

from .. import random as _random
from ..errors import ArgumentError
from ._object import need_size


def full(nin: int, nout: int) -> torch.Tensor:
    """The table that connects every one of ``nin`` input planes with every one of ``nout`` output planes."""
    need_size("nn.tables.full", nin=nin, nout=nout)
    to, origin = torch.meshgrid(_planes(nout), _planes(nin), indexing="ij")
    return torch.stack([origin.flatten(), to.flatten()], 1)


def oneToOne(nfeat: int) -> torch.Tensor:
    """The table that connects each of ``nfeat`` input planes with the output plane of the same number."""
    need_size("nn.tables.oneToOne", nfeat=nfeat)
    return _planes(nfeat).unsqueeze(1).repeat(1, 2)


def random(nin: int, nout: int, nto: int) -> torch.Tensor:
    """The table that connects each of ``nout`` output planes with ``nto`` of ``nin`` input planes.

    The input planes come from random permutations, used up ``nto`` at a time, so that they are used about equally
    often.
    """
    need_size("nn.tables.random", nin=nin, nout=nout, nto=nto)
    groups = nin // nto
    if not groups:
        raise ArgumentError(f"nn.tables.random: nto, {nto}, must be at most nin, {nin}")
    # Torch7 draws the next permutation as soon as one is used up
    permutations = [_random.randperm(nin)[: groups * nto] for _ in range(nout // groups + 1)]
    origin = torch.cat(permutations)[: nout * nto]
    return torch.stack([origin, _planes(nout).repeat_interleave(nto)], 1)


def _planes(n: int) -> torch.Tensor:
    """The numbers 1 to n."""
    return torch.arange(1, n + 1, dtype=torch.get_default_dtype())
