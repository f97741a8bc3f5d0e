"""The long short-term memory that rnn's ``SeqLSTM`` and torch-rnn's ``LSTM`` compute alike.

With ``[x, h]`` the input and the output of the step before, side by side::

    i, f, o, g = [x, h] W + b      σ of the first three, tanh of the last
    c = f * c + i * g
    h = o * tanh(c)                SeqLSTMP: h = (o * tanh(c)) P

Buffers are T x N x ... (time first) or N x T x ... (batch first). All that does not depend on the step before is one
matrix product over all steps; what does is one small product per step and fused pointwise kernels.
"""

from __future__ import annotations

from typing import Any

import torch

from ..nn import _kernels as kernels


class Steps:
    """Views of each step in the buffers of an LSTM, made once for as long as the buffers stay where they are."""

    def __init__(self, time: int, output: torch.Tensor, hidden: torch.Tensor, cell: torch.Tensor, gates: torch.Tensor):
        size = cell.shape[2]
        self.time = time
        self.count = cell.shape[time]
        self.buffers = output, hidden, cell, gates
        self.places = _places(self.buffers)
        self.output, self.hidden, self.cell, self.gates = (t.unbind(time) for t in self.buffers)
        self.sigmoids = [s.narrow(1, 0, 3 * size) for s in self.gates]
        self.gate = [s.split(size, 1) for s in self.gates]
        self.tanh = torch.empty_like(cell)  # of the cells; output / o would do but for o = 0
        self.tanhs = self.tanh.unbind(time)
        self.run = False  # whether tanh is of the cells that are there
        self._gradients: Any = None

    def fits(self, *buffers: torch.Tensor) -> bool:
        """Whether the views are of these buffers."""
        return self.places == _places(buffers)

    def gradients(self, grad: torch.Tensor) -> tuple:
        """The steps of ``grad``, the gradients before σ and tanh: whole, i and f as N x 2 x size, o, and g."""
        kept = self._gradients
        if kept is None or kept[0] != _places((grad,)):
            size, steps = self.tanh.shape[2], grad.unbind(self.time)
            two = [s.unflatten(1, (4, size)).narrow(1, 0, 2) for s in steps]
            o, g = ([s.narrow(1, i * size, size) for s in steps] for i in (2, 3))
            kept = self._gradients = _places((grad,)), grad, steps, two, o, g
        return kept[2:]


def _places(buffers: tuple[torch.Tensor, ...]) -> list:
    return [(t.data_ptr(), t.shape, t.dtype) for t in buffers]


def forward(
    steps: Steps,
    x: torch.Tensor,
    h: torch.Tensor,
    c: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    projection: torch.Tensor | None,
    masks: list,
) -> None:
    """Fill the buffers of ``steps`` from the input and the first states.

    Args:
        x: the inputs of all steps, ordered as the buffers are.
        h, c: output and cell before the first step.
        projection: P, or ``None`` where the output is the hidden state itself.
        masks: for each step a column that is true for the rows to be zeroed, or ``None``.
    """
    size = x.shape[2]
    gates = steps.buffers[3]
    recurrent = weight[size:]
    torch.addmm(bias, x.reshape(-1, size), weight[:size], out=gates.view(-1, gates.shape[2]))
    rows = zip(
        steps.gates, steps.sigmoids, steps.gate, steps.cell, steps.tanhs, steps.hidden, steps.output, masks, strict=True
    )
    for gates, sigmoids, (i, f, o, g), next_c, tanh, hidden, next_h, mask in rows:
        gates.addmm_(h, recurrent)
        sigmoids.sigmoid_()
        g.tanh_()
        torch.mul(f, c, out=next_c).addcmul_(i, g)
        torch.tanh(next_c, out=tanh)
        torch.mul(tanh, o, out=hidden)
        if projection is not None:
            torch.mm(hidden, projection, out=next_h)
        if mask is not None:
            for t in (next_h, next_c, gates):
                t.masked_fill_(mask, 0)
        h, c = next_h, next_c
    steps.run = True


def backward(
    steps: Steps,
    h: torch.Tensor,
    c: torch.Tensor,
    weight: torch.Tensor,
    projection: torch.Tensor | None,
    masks: list,
    gradOutput: torch.Tensor,
    grad_h: torch.Tensor,
    grad_c: torch.Tensor,
    grad_hidden: torch.Tensor | None,
    grad_gates: torch.Tensor,
) -> None:
    """Gradients of :func:`forward` with respect to the first states and, at all steps, to what σ and tanh are of.

    Args:
        gradOutput: of all steps, ordered as the buffers are.
        grad_h, grad_c: of the output and cell after the last step, beside ``gradOutput``; become those of ``h``, ``c``.
        grad_hidden: with a projection the gradient of its result at every step is written here.
        grad_gates: all steps' are written here.
    """
    time, size, cell, tanh = steps.time, c.shape[1], steps.buffers[2], steps.tanh
    if not steps.run:
        torch.tanh(cell, out=tanh)
    # All factors that do not depend on the step after, for all steps at once
    i, f, o, g = steps.buffers[3].split(size, 2)
    grad_i, grad_f, grad_o, grad_g = grad_gates.split(size, 2)
    kernels.sigmoid_backward(g, i, grad_input=grad_i)
    kernels.tanh_backward(i, g, grad_input=grad_g)
    kernels.sigmoid_backward(tanh, o, grad_input=grad_o)
    for before, first, count in (
        (c.unsqueeze(time), 0, 1),
        (cell.narrow(time, 0, steps.count - 1), 1, steps.count - 1),
    ):
        later = f.narrow(time, first, count), grad_f.narrow(time, first, count)
        kernels.sigmoid_backward(before, later[0], grad_input=later[1])
    kernels.tanh_backward(o, tanh, grad_input=tanh)
    steps.run = False

    recurrent = weight[-h.shape[1] :].t().contiguous()  # products with it are the faster ones
    back = None if projection is None else projection.t()
    grads, slopes = gradOutput.unbind(time), steps.tanhs
    kept = None if grad_hidden is None else grad_hidden.unbind(time)
    whole, grad_if, grads_o, grads_g = steps.gradients(grad_gates)
    wide_c = grad_c.unsqueeze(1)
    grad_h.add_(grads[-1])
    for t in range(steps.count - 1, -1, -1):
        if masks[t] is not None:
            grad_h.masked_fill_(masks[t], 0)
        grad = grad_h
        if kept is not None and back is not None:
            kept[t].copy_(grad_h)
            grad = torch.mm(grad_h, back)
        grad_c.addcmul_(grad, slopes[t])
        grads_o[t].mul_(grad)
        grad_if[t].mul_(wide_c)
        grads_g[t].mul_(grad_c)
        grad_c.mul_(steps.gate[t][1])
        if t:
            torch.addmm(grads[t - 1], whole[t], recurrent, out=grad_h)
        else:
            torch.mm(whole[t], recurrent, out=grad_h)
