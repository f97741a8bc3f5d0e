"""L-BFGS."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import ArgumentError
from .state import Feval, buffer, dot, evaluate, kept, option, tables, value, without_autograd


@without_autograd
def lbfgs(feval: Feval, x: Tensor, config: Any = None, state: Any = None) -> tuple[Tensor, list, int]:
    """Minimise by L-BFGS: Newton's method with a Hessian that is guessed from the last steps.

    A call does up to ``maxIter`` iterations; the next call goes on from there. Each goes along d = −H · df/dx (H is
    the guess at the inverse Hessian) for the length that ``lineSearch`` finds, or a fixed one: ``learningRate``, and in
    the very first iteration at most 1/|df/dx|₁ of it.

    x is changed in place.

    Args:
        feval: function of x that returns f(x) and df/dx.
        x: parameters, a tensor of any floating type on any device.
        config: dict or object with the settings

            - ``maxIter`` (20): iterations in a call
            - ``maxEval`` (1.25 · maxIter): stop after this many evaluations
            - ``tolFun`` (1e-5): stop when |df/dx|₁ is no more than this
            - ``tolX`` (1e-9): stop when x moves by no more than this, or f changes by less
            - ``nCorrection`` (100): how many steps to guess from; room for two vectors for each is taken at once
            - ``learningRate`` (1)
            - ``lineSearch``: a function such as :func:`lswolfe`, with its arguments and results
            - ``lineSearchOptions``: its last argument
            - ``verbose`` (false): print why the call ended
        state: dict or object that keeps ``funcEval`` and ``nIter`` (evaluations and iterations in all), ``d``, ``t``
            (direction and length of the last step), ``f_old``, ``g_old``, ``old_dirs``, ``old_stps`` (lists of the last
            steps and of how df/dx changed in them), ``Hdiag``, ``ro``, ``al``, ``tmp1``, ``dir_bufs`` and ``stp_bufs``
            (room for further steps) from call to call; by default the config.

    Returns:
        x; the list of f(x) that were found, the first before any step, as ``feval`` or ``lineSearch`` returned them;
        and the number of evaluations in this call. Without a line search the last step of a full ``maxIter`` is not
        evaluated.

    Raises:
        ArgumentError: ``lineSearch`` is no function; ``nCorrection`` is not that of the state.
    """
    config, state = tables(config, state)
    maxIter = option(config, "maxIter", 20)
    maxEval = option(config, "maxEval", maxIter * 1.25)
    tolFun = option(config, "tolFun", 1e-5)
    tolX = option(config, "tolX", 1e-9)
    rate = option(config, "learningRate", 1)
    search = option(config, "lineSearch")
    if search is not None and not callable(search):
        raise ArgumentError(f"lineSearch must be a function such as optim.lswolfe, got {search!r}")

    def ended(why: str) -> None:
        if option(config, "verbose") is not None:
            print("<optim.lbfgs> ", why, sep="\t")

    state["funcEval"] = option(state, "funcEval", 0)
    state["nIter"] = option(state, "nIter", 0)
    f, g = evaluate(feval, x)
    state["funcEval"] += 1
    fs, evaluations = [f], 1
    tmp = buffer(state, "tmp1", g)
    if _size(g, tmp) <= tolFun:
        ended("optimality condition below tolFun")
        return x, fs, evaluations

    memory = _Memory(state, g, int(option(config, "nCorrection", 100)))
    d: Any = kept(state, "d", x)
    g_old: Any = kept(state, "g_old", x)
    f_old, t = option(state, "f_old"), option(state, "t")
    i = 0
    while i < maxIter:
        i += 1
        state["nIter"] += 1
        first = d is None
        if first:
            d, g_old = torch.neg(g).contiguous(), torch.empty_like(g, memory_format=torch.contiguous_format)
        else:
            memory.add(g, g_old, d, t)
            memory.direction(g, tmp, d)
        g_old.copy_(g)
        f_old = value(f)
        slope = dot(g, d)
        if slope > -tolX:
            break

        t = min(1, 1 / _size(g, tmp)) * rate if first else rate
        done = 0
        if search is not None:
            f, g, x, t, done = search(feval, x, t, d, f, g, slope, option(config, "lineSearchOptions"))
            fs.append(f)
        else:
            x.add_(d, alpha=t)
            if i < maxIter:  # in a stochastic setting the next call evaluates another function anyway
                f, g = evaluate(feval, x)
                done = 1
                fs.append(f)
        evaluations += done
        state["funcEval"] += done

        if i == maxIter:
            ended("reached max number of iterations")
            break
        if evaluations >= maxEval:
            ended("max nb of function evals")
            break
        if _size(g, tmp) <= tolFun:
            ended("optimality condition below tolFun")
            break
        if torch.mul(d, t, out=tmp).abs_().sum().item() <= tolX:
            ended("step size below tolX")
            break
        if abs(value(f) - f_old) < tolX:
            ended("function value changing less than tolX")
            break

    memory.save(state)
    state["g_old"], state["f_old"], state["t"], state["d"] = g_old, f_old, t, d
    return x, fs, evaluations


def _size(g: Tensor, tmp: Tensor) -> float:
    """The sum of the absolute values of ``g``, which are left in ``tmp``."""
    return torch.abs(g, out=tmp).sum().item()


class _Memory:
    """The last steps s, the changes y of the gradient in them, and room for more, as they stand in the state."""

    def __init__(self, state: Any, g: Tensor, size: int) -> None:
        if option(state, "dir_bufs") is None:
            for name in ("dir_bufs", "stp_bufs"):
                state[name] = list(g.new_empty((size + 1, *g.shape)).unbind())
        self.size = size
        self.room_y, self.room_s = state["dir_bufs"], state["stp_bufs"]
        # Torch7 puts s into old_dirs and y into old_stps. Empty ones come out of a file as dicts.
        self.s, self.y = option(state, "old_dirs") or [], option(state, "old_stps") or []
        self.Hdiag = option(state, "Hdiag", 1)
        if len(self.s) + len(self.room_s) != size + 1:
            raise ArgumentError(
                f"the state was made with nCorrection = {len(self.s) + len(self.room_s) - 1}, the config has {size}"
            )
        self.ro = option(state, "ro")  # 1/(s · y) of each
        if self.ro is None:
            self.ro = state["ro"] = torch.zeros(size, dtype=torch.float64, device="cpu")
            for i, (s, y) in enumerate(zip(self.s, self.y)):
                self.ro[i] = 1 / dot(y, s)
        self.al = buffer(state, "al", self.ro, 0)

    def add(self, g: Tensor, g_old: Tensor, d: Tensor, t: float) -> None:
        """Remember the step t · d, in which the gradient went from ``g_old`` to ``g``, unless f is not convex there."""
        y, s = self.room_y.pop(), self.room_s.pop()
        torch.sub(g, g_old, out=y)
        torch.mul(d, t, out=s)
        ys = dot(y, s)
        if ys <= 1e-10:
            self.room_y.append(y)
            self.room_s.append(s)
            return
        if len(self.s) == self.size:
            self.room_y.append(self.s.pop(0))
            self.room_s.append(self.y.pop(0))
            self.ro[:-1] = self.ro[1:].clone()
        self.ro[len(self.s)] = 1 / ys
        self.s.append(s)
        self.y.append(y)
        self.Hdiag = ys / dot(y, y)

    def direction(self, g: Tensor, q: Tensor, d: Tensor) -> None:
        """Set ``d`` to −H · g; ``q`` is room."""
        torch.neg(g, out=q)
        ro, al = self.ro.tolist(), self.al.tolist()
        for i in reversed(range(len(self.s))):
            al[i] = dot(self.s[i], q) * ro[i]
            q.add_(self.y[i], alpha=-al[i])
        torch.mul(q, self.Hdiag, out=d)
        for i, s in enumerate(self.s):
            d.add_(s, alpha=al[i] - dot(self.y[i], d) * ro[i])
        self.al.copy_(torch.tensor(al, dtype=torch.float64, device="cpu"))

    def save(self, state: Any) -> None:
        state["old_dirs"], state["old_stps"], state["Hdiag"] = self.s, self.y, self.Hdiag
