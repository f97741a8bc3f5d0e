"""Conjugate gradients."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from .state import Feval, divide, dot, evaluate, move, option, scratch, tables, value, without_autograd


@without_autograd
def cg(feval: Feval, x: Tensor, config: Any = None, state: Any = None) -> tuple[Tensor, list, int]:
    """Minimise by conjugate gradients (Polak and Ribière's) with the line search of Rasmussen's ``minimize``.

    A call starts afresh. It ends after ``maxEval`` evaluations or at the first line search that finds nothing, with x
    at the last point that a line search found.

    x is changed in place.

    Args:
        feval: function of x that returns f(x) and df/dx.
        x: parameters, a tensor of any floating type on any device.
        config: dict or object with the settings

            - ``maxIter`` (20): evaluations in a line search
            - ``maxEval`` (1.25 · maxIter): evaluations in the call; the last line search may do a few more
            - ``rho`` (0.01), ``sig`` (0.5): f must fall by this part, and its slope to this part, of the slope at first
            - ``int`` (0.1): stay this part away from either end of the interval
            - ``ext`` (3): step out to no more than this multiple
            - ``ratio`` (100): the greatest ratio of one line search's first step to the last one's
        state: dict or object that keeps ``df0``, ``df1``, ``df2``, ``df3``, ``s`` and ``x0``, room for the next call;
            by default the config.

    Returns:
        x; the list of f(x) before the first line search and after each, as ``feval`` returned them; and the number of
        evaluations.
    """
    config, state = tables(config, state)
    rho = option(config, "rho", 0.01)
    sig = option(config, "sig", 0.5)
    inner = option(config, "int", 0.1)
    ext = option(config, "ext", 3.0)
    maxIter = option(config, "maxIter", 20)
    maxEval = option(config, "maxEval", maxIter * 1.25)
    ratio = option(config, "ratio", 100)
    df0, df1, df2, _, s, x0 = (scratch(state, name, x) for name in ("df0", "df1", "df2", "df3", "s", "x0"))
    evaluations = 0

    def at(df: Tensor) -> Any:
        nonlocal evaluations
        evaluations += 1
        fx, dfdx = evaluate(feval, x)
        df.copy_(dfdx)
        return fx

    # Names as in minimize: at point i the value f, the slope d along s, and z, the way from the last point to it.
    fx = at(df1)
    fs, f1 = [fx], value(fx)
    s.copy_(df1).neg_()
    d1 = -dot(s, s)
    z1 = 1 / (1 - d1)
    while evaluations < abs(maxEval):
        x0.copy_(x)
        df0.copy_(df1)
        move(x, s, z1)
        f2 = value(fx := at(df2))
        d2 = dot(df2, s)
        f3, d3, z3 = f1, d1, -z1
        left = min(maxIter, maxEval - evaluations)
        found, limit = False, -1.0
        while True:
            while (f2 > f1 + z1 * rho * d1 or d2 > -sig * d1) and left > 0:  # too far: step back, between the two
                limit = z1
                z2 = _between(f2, f3, d2, d3, z3, f2 > f1)
                z2 = max(min(z2, inner * z3), (1 - inner) * z3)
                z1 += z2
                move(x, s, z2)
                f2 = value(fx := at(df2))
                left -= 1
                d2 = dot(df2, s)
                z3 -= z2
            if f2 > f1 + z1 * rho * d1 or d2 > -sig * d1:
                break
            if d2 > sig * d1:
                found = True
                break
            # A maxEval that is no whole number never makes this 0, and Torch7 steps out until something is found. That
            # may be never: where there is no slope, or no end to it.
            if left == 0 or (left < 0 and (d1 == 0 or not math.isfinite(f2 + d2))):
                break
            z2 = _beyond(f2, f3, d2, d3, z3, z1, limit, ext, inner)  # not far enough: step out
            f3, d3, z3 = f2, d2, -z2
            z1 += z2
            move(x, s, z2)
            f2 = value(fx := at(df2))
            left -= 1
            d2 = dot(df2, s)
        if not found:
            # Meant to be tried once more along the gradient. But Torch7 tests a number for that, and 0 is true in Lua.
            x.copy_(x0)
            df1.copy_(df0)
            break
        f1 = f2
        fs.append(fx)
        s.mul_(divide(dot(df2, df2) - dot(df2, df1), dot(df1, df1))).sub_(df2)
        df1, df2 = df2, df1
        d2 = dot(df1, s)
        if d2 > 0:
            s.copy_(df1).neg_()
            d2 = -dot(s, s)
        z1 *= min(ratio, divide(d1, d2 - 1e-320))
        d1 = d2
    state["df1"], state["df2"] = df1, df2
    return x, fs, evaluations


def _root(x: float) -> float:
    return math.sqrt(x) if x >= 0 else math.nan


def _between(f2: float, f3: float, d2: float, d3: float, z3: float, higher: bool) -> float:
    """How to go from point 2 towards point 3: to the minimum of a parabola if f rose, else of a cubic; or halfway."""
    if higher:
        z2 = z3 - divide(0.5 * d3 * z3 * z3, d3 * z3 + f2 - f3)
    else:
        A = divide(6 * (f2 - f3), z3) + 3 * (d2 + d3)
        B = 3 * (f3 - f2) - z3 * (d3 + 2 * d2)
        z2 = divide(_root(B * B - A * d2 * z3 * z3) - B, A)
    return z2 if math.isfinite(z2) else z3 / 2


def _beyond(
    f2: float, f3: float, d2: float, d3: float, z3: float, z1: float, limit: float, ext: float, inner: float
) -> float:
    """How to go on from point 2: to the minimum of a cubic, kept within bounds; ``limit`` is -1 if there is none."""
    A = divide(6 * (f2 - f3), z3) + 3 * (d2 + d3)
    B = 3 * (f3 - f2) - z3 * (d3 + 2 * d2)
    z2 = divide(-d2 * z3 * z3, B + _root(B * B - A * d2 * z3 * z3))
    bounded = limit > -0.5
    if not math.isfinite(z2) or z2 < 0:
        return (limit - z1) / 2 if bounded else z1 * (ext - 1)
    if bounded and z2 + z1 > limit:
        return (limit - z1) / 2
    if not bounded and z2 + z1 > z1 * ext:
        return z1 * (ext - 1)
    if z2 < -z3 * inner:
        return -z3 * inner
    if bounded and z2 < (limit - z1) * (1 - inner):
        return (limit - z1) * (1 - inner)
    return z2
