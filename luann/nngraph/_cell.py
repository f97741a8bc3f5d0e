"""A cell of an LSTM, computed as one. Which nodes it stands for is found by :mod:`._fused`."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

from ..nn import _kernels as kernels
from ..nn.module import COMPUTING
from ..nn.selecting import Narrow

if TYPE_CHECKING:
    from ._schedule import Step


class Cell:
    """The nodes of a cell as a step of its own, in the place of the node that adds up the new c.

    Attributes:
        place, result: the steps whose outputs are c and h.
        steps: all steps that it does the work of.
        size: of c and h, as N x size.
        kept: what the pass backward needs of the one forward; ``None`` where the inputs were other than matrices, or
            somebody has changed a module, and the steps did it themselves.
        modules: the modules of the steps, each with its fields and the slice that it takes if it is a Narrow.
        gradient: with respect to the sums before the gates.
        plan: the steps as the graph goes through them.
        empty: whether the modules hold nothing.
    """

    accumulates = True
    module, gradients = None, ()

    def __init__(
        self, found: dict[str, Any], linear: list[Step], sums: list[Step], size: int, feeds: dict[int, list[Step]]
    ) -> None:
        self.place, self.result = found["c"], found["h"]
        self.node, self.data = self.place.node, self.place.data
        self.before, self.linear, self.size = found["kept"], linear, size
        self.prev = feeds[id(self.before)].index(found["prev_c"])
        gates = [found[name] for name in "ifog"]
        passed = {id(step): step for gate in gates for step in gate.steps}
        own = [found[name] for name in ("new", "kept", "c", "squashed", "h")]
        self.steps: list[Step] = list({id(s): s for s in [*sums, *passed.values(), *own]}.values())
        modules = [step.module for step in self.steps if step.module is not None]
        self.modules = [(m, vars(m), (m.index, m.length) if isinstance(m, Narrow) else None) for m in modules]
        self.order = [gate.offset // size for gate in gates]
        self.pick = itemgetter(*self.order)
        self.outer = [target for target in self.place.targets if target[0] is not found["squashed"].input]
        self.within = found["squashed"].sources[0]
        self.source = next(source for source in self.before.sources if source[2] == self.prev)
        self.kept: Any = None
        self.gradient: Any = None
        self.shapes: list = []
        self.shape: Any = None
        self.plan: Any = None
        self.empty = False

    def _sigmoids(self, gates: torch.Tensor) -> list[torch.Tensor]:
        """Of gates side by side the slices that go through a sigmoid: what is not g."""
        g, size = self.order[3], self.size
        ends = (0, g), (g + 1, 4)
        return [gates.narrow(1, begin * size, (end - begin) * size) for begin, end in ends if begin < end]

    def compute(self, func: Callable | None = None) -> None:
        """Compute c and h and hand them on."""
        given = [step.input[0] for step in self.linear]
        c = self.before.input[self.prev]
        self.kept = self.gradient = None
        if not (self._is_unchanged() and self._fits(given, c)):
            self.empty = False
            for step in self.plan.forward:
                self.node, self.data = step.node, step.data  # an error tells where it was
                step.compute()
            return
        if not self.empty:  # so that nobody takes what the modules computed themselves before for the last results
            self.release()
            self.empty = True
        for step in self.linear:
            step.input[0] = None
        self.before.input[self.prev] = None
        gates = self._sums(given)
        sigmoids = self._sigmoids(gates)
        for part in sigmoids:
            part.sigmoid_()
        i, f, o, g = four = self.pick(gates.chunk(4, 1))
        g.tanh_()
        next_c = torch.mul(f, c, out=self._buffer(self.place, c)).addcmul_(i, g)
        squashed = torch.tanh(next_c)
        next_h = torch.mul(o, squashed, out=self._buffer(self.result, c))
        self.kept = given, c, gates, sigmoids, four, squashed
        for targets, value in ((self.outer, next_c), (self.result.targets, next_h)):
            for target, place in targets:
                target[place] = value

    def _is_unchanged(self) -> bool:
        """Whether the modules still are what they were taken for: nobody has put a method into one, has it keep its
        buffers, or take another slice.
        """
        for module, fields, slice in self.modules:
            if not (module._frees and COMPUTING.isdisjoint(fields)):
                return False
            if slice is not None and slice != (module.index, module.length):
                return False
        return True

    def _fits(self, given: list, c: Any) -> bool:
        """Whether the inputs are what can be computed here: matrices that fit the parameters."""
        try:
            shapes = [x.shape for x in given]
            dtype = c.dtype
            for x in given:
                if x.dtype is not dtype:
                    return False
            if shapes == self.shapes and c.shape == self.shape:
                return True
        except AttributeError:  # no tensor
            return False
        rows, modules = c.shape[0], [step.module for step in self.linear]
        fits = c.shape == (rows, self.size) and all(
            shape == (rows, m.weight.shape[1])
            and m.weight.shape[0] == 4 * self.size
            and m.weight.dtype is dtype
            and (m.bias is None or m.bias.shape == m.weight.shape[:1])
            for shape, m in zip(shapes, modules)
        )
        if fits:
            self.shapes, self.shape = shapes, c.shape
        return fits

    def _sums(self, given: list[torch.Tensor]) -> torch.Tensor:
        """What the linear layers make of the inputs, added up."""
        biases = [step.module.bias for step in self.linear if step.module.bias is not None]
        bias = sum(biases[1:], biases[0]) if biases else None
        total = None
        for step, x in zip(self.linear, given):
            weight = step.module.weight
            part = kernels.product(x, weight, bias)
            if total is not None:
                total = total.addmm_(x, weight.t()) if part is None else total.add_(part)
            elif part is not None:
                total = part
            else:
                total = F.linear(x, weight, bias)
            bias = None
        assert total is not None
        return total

    def _buffer(self, step: Step, like: torch.Tensor) -> torch.Tensor:
        """Where a result goes: an output of the whole graph has its place."""
        if not step.stays:
            return torch.empty_like(like)
        output = step.module.output
        return output if output.shape == like.shape else kernels.resized(output, tuple(like.shape))

    def differentiate(self, whole: bool) -> None:
        """Compute the gradients with respect to the inputs; with ``whole`` add up those of the parameters as well."""
        if self.kept is None:
            for gradients, count in self.plan.tables:
                gradients[0] = [None] * count
            for step in self.plan.backward:
                self.node, self.data = step.node, step.data
                step.differentiate(whole)
            return
        _, c, gates, sigmoids, (i, f, o, g), squashed = self.kept
        gradients, unused, _ = self.within
        gradients[unused] = None
        grad_c, grad_h = (self._gradient(step, c.shape) for step in (self.place, self.result))
        if grad_h is None:
            grad_h = torch.zeros_like(c)
        total = torch.mul(grad_h, o)
        kernels.tanh_backward(total, squashed, grad_input=total)
        if grad_c is not None:
            total.add_(grad_c)
        self.gradient = grad = torch.empty_like(gates)
        grad_i, grad_f, grad_o, grad_g = self.pick(grad.chunk(4, 1))
        torch.mul(total, g, out=grad_i)
        torch.mul(total, c, out=grad_f)
        torch.mul(grad_h, squashed, out=grad_o)
        torch.mul(total, i, out=grad_g)
        for part, gate in zip(self._sigmoids(grad), sigmoids):
            kernels.sigmoid_backward(part, gate, grad_input=part)
        kernels.tanh_backward(grad_g, g, grad_input=grad_g)
        target, place, _ = self.source
        target[place] = total.mul_(f)
        for step in self.linear:
            module = step.module
            back = None
            if module.gradInput is not None:
                if kernels.onednn_linear is not None:
                    back = kernels.product(grad, module.weight.t())
                if back is None:
                    back = torch.mm(grad, module.weight)
            for target, place, _ in step.sources:
                target[place] = back
        if whole:
            self.accumulate(1)

    def _gradient(self, step: Step, size: torch.Size) -> torch.Tensor | None:
        """What came back for a result."""
        grad = step.gradients[0] if len(step.gradients) == 1 else step.sum()
        return grad if grad is None or grad.shape == size else step.module._sized(grad, tuple(size))

    def accumulate(self, scale: float) -> None:
        """Add up the gradients of the parameters."""
        if self.kept is None:
            for step in self.plan.backward:
                if step.accumulates:
                    step.accumulate(scale)
            return
        grad = self.gradient
        turned, total = grad.t(), None
        for step, x in zip(self.linear, self.kept[0]):
            module = step.module
            if kernels.onednn_linear is not None:
                module._accumulate(module.gradWeight, None, x, grad, scale)
            else:
                module.gradWeight.addmm_(turned, x, alpha=scale)
            if module.gradBias is not None:
                if total is None:
                    total = torch.mv(turned, module._ones(x.shape[0]))
                module.gradBias.add_(total, alpha=scale)

    def forget(self, output: Any) -> None:
        """Let go of the inputs; of what the steps keep if they computed it themselves."""
        if self.empty:
            self.kept = None
        else:
            self.release()

    def release(self) -> None:
        """Let go of all that the pass backward needed."""
        self.kept = self.gradient = None
        if self.empty:
            for step in (self.place, self.result):
                step.forget_gradients()
        else:
            for step in self.steps:
                step.release()
