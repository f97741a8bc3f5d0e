"""A line search to the strong Wolfe conditions."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from .polyinterp import polyinterp
from .state import Feval, divide, dot, evaluate, move, option, tables, value, without_autograd


class _Point(NamedTuple):
    """A point on the line: the step to it, f, df/dx and the slope of f along the line."""

    t: float
    f: float
    g: Tensor
    slope: float


@without_autograd
def lswolfe(
    feval: Feval, x: Tensor, t: float, d: Tensor, f: Any, g: Tensor, gtd: float, options: Any = None
) -> tuple[float, Tensor, Tensor, float, int]:
    """Search along a line for a step after which f is lower and flatter: to be the ``lineSearch`` of :func:`lbfgs`.

    A step t is accepted if f(x + t·d) ≤ f(x) + c1 · t · gtd and |slope at x + t·d| ≤ −c2 · gtd. Steps grow until such
    a t lies between two of them, which are then brought together, each time at the minimum of a cubic.

    x is changed in place, to the point found.

    Args:
        feval: function of x that returns f(x) and df/dx.
        x: where to start.
        t: the step to try first.
        d: the direction, in which f must fall.
        f, g: f(x) and df/dx at the start.
        gtd: the scalar product of ``g`` and ``d``.
        options: dict or object with the settings

            - ``c1`` (1e-4), ``c2`` (0.9)
            - ``tolX`` (1e-9): stop when f can change by no more than this between the two steps
            - ``maxIter`` (20): how many further steps to try
            - ``verbose`` (false): print when that many were tried

    Returns:
        f and df/dx at the point found, x, the step to it, and how often ``feval`` was called. Where no step was
        accepted, that of the two with the lower f is returned. df/dx is a copy.
    """
    options, _ = tables(options, None)
    c1 = option(options, "c1", 1e-4)
    c2 = option(options, "c2", 0.9)
    tolX = option(options, "tolX", 1e-9)
    maxIter = option(options, "maxIter", 20)
    start = x.clone()

    def at(t: float) -> _Point:
        fx, dfdx = evaluate(feval, move(x.copy_(start), d, t))
        return _Point(t, value(fx), dfdx, dot(dfdx, d))

    def held(point: _Point) -> _Point:
        """The point with a gradient of its own, since feval may write the next one into the same tensor."""
        return point._replace(g=point.g.clone())

    f = value(f)
    new = at(t)
    # If g is the tensor that feval has just written into, this is the gradient at the new point. So it is in Torch7.
    previous = _Point(0, f, g.clone(), gtd)
    tried = 0
    bracket: list[_Point] = []
    done = False

    def enough(point: _Point) -> bool:
        return abs(point.slope) <= -c2 * gtd

    while tried < maxIter:
        if new.f > f + c1 * new.t * gtd or (tried > 1 and new.f >= previous.f):
            bracket = [previous, held(new)]
        elif enough(new):
            bracket, done = [held(new)], True
        elif new.slope >= 0:
            bracket = [previous, held(new)]
        if bracket:
            bracket[0] = bracket[0]._replace(slope=dot(bracket[0].g, d))
            break
        t, _ = polyinterp(
            [(p.t, p.f, p.slope) for p in (previous, new)], new.t + 0.01 * (new.t - previous.t), new.t * 10
        )
        previous = held(new)
        new = at(t)
        tried += 1
    else:
        bracket = [held(_Point(0, f, g, gtd)), held(new)]

    stuck = False
    while not done and tried < maxIter:
        low, high = _order(bracket)
        t, stuck = _trial(bracket, stuck)
        new = at(t)
        tried += 1
        if new.f > f + c1 * t * gtd or new.f >= bracket[low].f:
            bracket[high] = held(new)
        else:
            if enough(new):
                done = True
            elif new.slope * (bracket[high].t - bracket[low].t) >= 0:
                bracket[high] = bracket[low]
            bracket[low] = held(new)
        if not done and abs((bracket[0].t - bracket[1].t) * new.slope) < tolX:
            break

    if tried == maxIter and option(options, "verbose") is not None:
        print("<optim.lswolfe> ", "reached max number of iterations", sep="\t")
    found = bracket[_order(bracket)[0]]
    move(x.copy_(start), d, found.t)
    return found.f, found.g, x, found.t, tried + 1


def _order(bracket: list[_Point]) -> tuple[int, int]:
    """The indices of the lower and the higher one of two points; of equal ones the first is the lower."""
    low = 1 if len(bracket) == 2 and bracket[1].f < bracket[0].f else 0
    return low, 1 - low


def _trial(bracket: list[_Point], stuck: bool) -> tuple[float, bool]:
    """The step to try between two, and whether it lies so near to one of them that the next should not do so again."""
    t, _ = polyinterp([(p.t, p.f, p.slope) for p in bracket])
    left, right = sorted(p.t for p in bracket)
    if not divide(min(right - t, t - left), right - left) < 0.1:
        return t, False
    if not stuck and left < t < right:
        return t, True
    tenth = 0.1 * (right - left)
    return (right - tenth if abs(t - right) < abs(t - left) else left + tenth), False
