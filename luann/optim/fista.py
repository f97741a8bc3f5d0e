"""FISTA with a line search."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

from ..errors import ArgumentError
from ..table import Table
from .state import dot, option, scratch, tables, value, without_autograd


@without_autograd
def FistaLS(
    f: Callable[..., Any],
    g: Callable[[Tensor], Any],
    pl: Callable[[Tensor, float], Any],
    xinit: Tensor,
    params: Any = None,
) -> tuple[Tensor, list[Table]]:
    """Minimise f(x) + g(x), f smooth and g not, such as a sum of squares and λ|x|₁, by (F)ISTA.

    It starts at x = 0, whatever ``xinit`` holds. Each iteration goes from y to the x that minimises
    g(x) + L/2 · |x − (y − 1/L · df/dy)|², with L raised until f there is no more than the parabola it was taken for.
    The next y is x, or with ``doFistaUpdate`` a point beyond it. It ends when f + g changes by no more than
    ``errthres``, or after ``maxiter`` iterations.

    ``xinit`` is changed in place, to the solution.

    Args:
        f: the smooth function: ``f(x)`` returns its value, ``f(x, 'dx')`` its value and gradient.
        g: the other function; returns its value.
        pl: ``pl(v, L)`` changes v in place to the x that minimises g(x) + L/2 · |x − v|²; for λ|x|₁ it shrinks every
            element towards 0 by λ/L.
        xinit: a tensor of the shape and type of x.
        params: dict or object with the settings

            - ``L`` (0.1): the first L; the last one is written here
            - ``Lstep`` (1.5): what L is multiplied by
            - ``maxiter`` (50)
            - ``maxline`` (20): how often to raise L in an iteration; after that x stays where it was
            - ``errthres`` (1e-4)
            - ``doFistaUpdate`` (false; Torch7's manual says true)
            - ``verbose`` (false): print every iteration, and keep its ``xk`` and ``y`` in the history

            and room that is used again: ``xkm``, ``y``, ``ply``.

    Returns:
        The solution, which is ``params.y``, and a list with a Table for each iteration: ``nline`` (how often x was
        sought), ``L``, ``F`` (f + g at y), ``Fply`` (f at y), ``Gply`` (g at y), ``Q`` (what the parabola gave).

    Raises:
        ArgumentError: ``maxiter`` below 1.
    """
    params, _ = tables(params, None)
    L = option(params, "L", 0.1)
    maxline = option(params, "maxline", 20)
    maxiter = option(params, "maxiter", 50)
    verbose = option(params, "verbose") is not None
    if maxiter < 1:
        raise ArgumentError(f"maxiter must be at least 1, got {maxiter}")
    xk = xinit
    xkm, ply, y = (scratch(params, name, xk).zero_() for name in ("xkm", "ply", "y"))
    history: list[Table] = []
    tk = 1.0
    while True:
        fy, gradient = f(y, "dx")
        fy = value(fy)
        nline = 0
        while True:
            ply.copy_(y).add_(gradient, alpha=-1 / L)
            pl(ply, L)
            xk.copy_(ply)
            fply = value(f(ply))
            ply.sub_(y)
            Q2, Q3 = dot(gradient, ply), L / 2 * dot(ply, ply)
            Q = fy + Q2 + Q3
            if verbose:
                print(f"nline={nline} L={L:g} fply={fply:g} Q={Q:g} fy={fy:g} Q2={Q2:g} Q3={Q3:g}")
            nline += 1
            if fply <= Q:
                break
            if nline > maxline:
                xk.copy_(xkm)
                break
            L *= option(params, "Lstep", 1.5)
        if option(params, "doFistaUpdate") is not None:
            following = (1 + math.sqrt(1 + 4 * tk * tk)) / 2
            y.copy_(xk).add_(xkm.sub_(xk), alpha=(1 - tk) / following)
            xkm.copy_(xk)
            tk = following
        else:
            y.copy_(xk)
        fply, gply = value(f(y)), value(g(y))
        total = fply + gply
        last = history[-1].F if history else math.inf
        if verbose:
            print(f"iter={len(history)} eold={last:g} enew={total:g}")
        history.append(Table(nline=nline, L=L, F=total, Fply=fply, Gply=gply, Q=Q))
        if verbose:
            history[-1].update(xk=xk.clone(), y=y.clone())
        params["L"] = L
        if abs(total - last) <= option(params, "errthres", 1e-4) or len(history) >= maxiter:
            xinit.copy_(y)
            return y, history
