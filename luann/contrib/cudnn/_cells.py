"""The steps of the recurrent nets, forwards and back, for one layer in one direction.

A sequence is a matrix with a row for each frame, step after step; of a batch of sequences that differ in length, the
longest first, later steps have fewer rows. What of a step's gradient does not depend on later steps is computed for
all steps at once, so that little is left to the loop.
"""

from __future__ import annotations

from typing import Any

import torch

from ...nn import _kernels as kernels
from ...nn._kernels import _private, product

_onednn_lstm = _private("aten", "mkldnn_rnn_layer")
_onednn_lstm_backward = _private("aten", "mkldnn_rnn_layer_backward")

States = tuple[torch.Tensor, ...]
"""The hidden states of all sequences; those of the cells behind them, if there are cells."""


def affine(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """``x · weightᵗ + bias``."""
    result = product(x, weight, bias)
    return torch.addmm(bias, x, weight.t()) if result is None else result


def _fitted(states: States, rows: int, others: States) -> States:
    """``states`` of the first ``rows`` sequences; those it lacks begin as ``others`` says."""
    have = states[0].shape[0]
    if have > rows:
        return tuple([s[:rows] for s in states])
    if have < rows:
        return tuple([torch.cat((s, o[have:rows])) for s, o in zip(states, others)])
    return states


class Cell:
    """A layer in one direction. A subclass has the formulas.

    Args:
        sizes: the number of sequences at each step.
        backwards: whether it begins at the end.
    """

    gates = 1
    """Products with the input and with the state, for each unit."""

    def __init__(self, sizes: list[int], backwards: bool, weights: tuple) -> None:
        self.w_input, self.w_state, self.b_input, self.b_state = weights
        self.sizes = sizes
        self.order = range(len(sizes))[:: -1 if backwards else 1]

    def forward(self, x: torch.Tensor, states: States, output: torch.Tensor, kept: States, train: bool) -> None:
        """Run over the sequences.

        Args:
            x: a row for each frame.
            states: at first; ``kept`` takes those at the end.
            output: a row for each frame; may be columns of a larger matrix.
            train: whether :meth:`backward` may come behind.
        """
        self.x = x
        pre = self._inputs(x)
        self._begin(pre)
        before: list[States] = []
        outputs, sizes, begin = output.split(self.sizes), self.sizes, states
        for t in self.order:
            rows = sizes[t]
            if states[0].shape[0] != rows:
                for k, s in zip(kept, states):
                    k[: s.shape[0]] = s
                states = _fitted(states, rows, begin)
            before.append(states)
            states = self._step(t, states, outputs[t])
        for k, s in zip(kept, states):
            k[: s.shape[0]] = s
        if self.order.step < 0:
            before.reverse()
        self.before = before

    def _inputs(self, x: torch.Tensor) -> torch.Tensor:
        """What the input gives to all gates, biases included."""
        if self.w_input is None:
            return (x.unsqueeze(1) + self._bias().view(self.gates, -1)).flatten(1)
        return affine(x, self.w_input, self._bias())

    def _bias(self) -> torch.Tensor:
        return self.b_input + self.b_state

    def backward(self, output: torch.Tensor, gradOutput: torch.Tensor, grads: States, kept: States) -> torch.Tensor:
        """The gradient with respect to ``x``.

        Args:
            output: as :meth:`forward` left it.
            gradOutput: a row for each frame.
            grads: with respect to the states at the end; ``kept`` takes those with respect to the states at first.
        """
        sizes, ends = self.sizes, grads
        self.hidden = torch.cat([states[0] for states in self.before])
        self._differentiate(output)
        rows_of = gradOutput.split(sizes)
        for t in self.order[::-1]:
            rows = sizes[t]
            if grads[0].shape[0] != rows:
                for k, g in zip(kept, grads):
                    k[: g.shape[0]] = g
                grads = _fitted(grads, rows, ends)
            grads = self._back(t, rows_of[t], grads)
        for k, g in zip(kept, grads):
            k[: g.shape[0]] = g
        self._finish()
        if self.w_input is None:
            return self.d_input.view(-1, self.gates, self.hidden.shape[1]).sum(1)
        result = product(self.d_input, self.w_input.t())
        return torch.mm(self.d_input, self.w_input) if result is None else result

    def accumulate(self, gradients: tuple, scale: float) -> None:
        """Add the gradients with respect to the weights, times ``scale``, to ``gradients``."""
        w_input, w_state, b_input, b_state = gradients
        if w_input is not None:
            w_input.addmm_(self.d_input.t(), self.x, alpha=scale)
        w_state.addmm_(self.d_state.t(), self.hidden, alpha=scale)
        b_input.add_(self.d_input.sum(0), alpha=scale)
        b_state.add_(self.d_state.sum(0), alpha=scale)

    # The formulas

    d_input: torch.Tensor
    """The gradient with respect to what the input gives to the gates, a row for each frame."""

    d_state: torch.Tensor
    """The gradient with respect to what the state gives to the gates."""

    def _begin(self, pre: torch.Tensor) -> None:
        """Take what the input gives to the gates; make room for what the gradient will need."""
        raise NotImplementedError

    def _step(self, t: int, states: States, output: torch.Tensor) -> States:
        """Compute step ``t`` into ``output``; returns the states behind it."""
        raise NotImplementedError

    def _differentiate(self, output: torch.Tensor) -> None:
        """Compute for all steps what :meth:`_back` needs."""
        raise NotImplementedError

    def _back(self, t: int, gradOutput: torch.Tensor, grads: States) -> States:
        """The gradients with respect to the states before step ``t``."""
        raise NotImplementedError

    def _finish(self) -> None:
        """Complete :attr:`d_input` and :attr:`d_state`."""


class Plain(Cell):
    """``h = f(Wx + b + Rh' + c)``."""

    def _begin(self, pre: torch.Tensor) -> None:
        self.pre = pre.split(self.sizes)
        self.w_turned = self.w_state.t()

    def _step(self, t: int, states: States, output: torch.Tensor) -> States:
        self._function(torch.addmm(self.pre[t], states[0], self.w_turned), output)
        return (output,)

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        raise NotImplementedError

    def _slope(self, y: torch.Tensor) -> torch.Tensor:
        """The derivative of the function where it has the value ``y``."""
        raise NotImplementedError

    def _differentiate(self, output: torch.Tensor) -> None:
        self.d_input = self.d_state = self._slope(output)
        self.d_steps = self.d_input.split(self.sizes)

    def _back(self, t: int, gradOutput: torch.Tensor, grads: States) -> States:
        return (torch.mm(self.d_steps[t].mul_(grads[0] + gradOutput), self.w_state),)


class Tanh(Plain):
    """``f = tanh``."""

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        torch.tanh(x, out=y)

    def _slope(self, y: torch.Tensor) -> torch.Tensor:
        return torch.addcmul(y.new_ones(()), y, y, value=-1)


class ReLU(Plain):
    """``f(x) = max(x, 0)``."""

    def _function(self, x: torch.Tensor, y: torch.Tensor) -> None:
        torch.clamp_min(x, 0, out=y)

    def _slope(self, y: torch.Tensor) -> torch.Tensor:
        return (y > 0).to(y.dtype)


class LSTM(Cell):
    """``i, f, o = σ(W x + b + R h' + c)``, ``g = tanh(…)``; ``c = f c' + i g``, ``h = o tanh(c)``.

    Rows of the weights: i, f, g, o.
    """

    gates = 4

    def _begin(self, pre: torch.Tensor) -> None:
        frames, size = pre.shape[0], pre.shape[1] // 4
        self.w_turned = self.w_state.t()
        self.pre = pre.view(frames, 4, size)
        self.tanh_c = pre.new_empty(frames, size)
        steps = [(p, p.flatten(1), p[:, :2], *p.unbind(1)) for p in self.pre.split(self.sizes)]
        self.steps: list[Any] = list(zip(steps, self.tanh_c.split(self.sizes)))

    def _step(self, t: int, states: States, output: torch.Tensor) -> States:
        (_, all_, i_f, i, f, g, o), tanh_c = self.steps[t]
        hidden, cell = states
        all_.addmm_(hidden, self.w_turned)
        i_f.sigmoid_()
        g.tanh_()
        o.sigmoid_()
        cell = torch.mul(f, cell).addcmul_(i, g)
        torch.tanh(cell, out=tanh_c)
        torch.mul(o, tanh_c, out=output)
        return output, cell

    def _differentiate(self, output: torch.Tensor) -> None:
        i, f, g, o = self.pre.unbind(1)
        tanh_c = self.tanh_c
        cells = torch.cat([states[1] for states in self.before])
        slopes = torch.addcmul(self.pre, self.pre, self.pre, value=-1)
        torch.mul(slopes[:, 0], g, out=slopes[:, 0])
        torch.mul(slopes[:, 1], cells, out=slopes[:, 1])
        torch.mul(torch.addcmul(g.new_ones(()), g, g, value=-1), i, out=slopes[:, 2])
        torch.mul(slopes[:, 3], tanh_c, out=slopes[:, 3])
        through = torch.addcmul(g.new_ones(()), tanh_c, tanh_c, value=-1).mul_(o)  # of h with respect to c
        self.d_input = self.d_state = slopes.flatten(1)
        steps = [(d.flatten(1), d[:, :3], d[:, 3]) for d in slopes.split(self.sizes)]
        self.back: list[Any] = list(zip(steps, through.split(self.sizes), f.split(self.sizes)))

    def _back(self, t: int, gradOutput: torch.Tensor, grads: States) -> States:
        (all_, of_cell, of_output), through, f = self.back[t]
        hidden = grads[0] + gradOutput
        cell = torch.addcmul(grads[1], hidden, through)
        of_cell.mul_(cell.unsqueeze(1))
        of_output.mul_(hidden)
        return torch.mm(all_, self.w_state), cell.mul_(f)


class GRU(Cell):
    """``r, z = σ(W x + b + R h' + c)``, ``n = tanh(W x + b + r (R h' + c))``; ``h = (1 - z) n + z h'``.

    Rows of the weights: r, z, n.
    """

    gates = 3

    def _bias(self) -> torch.Tensor:
        return self.b_input  # c belongs to the product with the state

    def _begin(self, pre: torch.Tensor) -> None:
        frames, size = pre.shape[0], pre.shape[1] // 3
        self.w_turned = self.w_state.t()
        self.pre = pre.view(frames, 3, size)
        self.from_state = torch.empty_like(pre)
        self.steps: list[Any] = [
            (p.flatten(1)[:, : 2 * size], *p.unbind(1), s, s[:, : 2 * size], s[:, 2 * size :])
            for p, s in zip(self.pre.split(self.sizes), self.from_state.split(self.sizes))
        ]

    def _step(self, t: int, states: States, output: torch.Tensor) -> States:
        r_z, r, z, n, from_state, to_r_z, to_n = self.steps[t]
        hidden = states[0]
        torch.addmm(self.b_state, hidden, self.w_turned, out=from_state)
        r_z.add_(to_r_z).sigmoid_()
        n.addcmul_(r, to_n).tanh_()
        torch.lerp(n, hidden, z, out=output)
        return (output,)

    def _differentiate(self, output: torch.Tensor) -> None:
        r, z, n = self.pre.unbind(1)
        to_n = self.from_state.view(self.pre.shape)[:, 2]
        slopes = torch.addcmul(self.pre, self.pre, self.pre, value=-1)
        of_n = torch.addcmul(n.new_ones(()), n, n, value=-1).mul_(1 - z)
        torch.mul(slopes[:, 1], self.hidden - n, out=slopes[:, 1])
        slopes[:, 0].mul_(of_n).mul_(to_n)
        torch.mul(of_n, r, out=slopes[:, 2])
        self.of_n = of_n
        self.d_state = slopes.flatten(1)
        self.d_output = torch.empty_like(of_n)
        parts = (slopes.split(self.sizes), z.split(self.sizes), self.d_output.split(self.sizes))
        self.back: list[Any] = [(d, d.flatten(1), z, out) for d, z, out in zip(*parts)]

    def _back(self, t: int, gradOutput: torch.Tensor, grads: States) -> States:
        slopes, all_, z, hidden = self.back[t]
        torch.add(grads[0], gradOutput, out=hidden)
        slopes.mul_(hidden.unsqueeze(1))
        return (torch.addmm(hidden * z, all_, self.w_state),)

    def _finish(self) -> None:
        self.d_input = self.d_state.clone()
        torch.mul(self.d_output, self.of_n, out=self.d_input[:, 2 * self.of_n.shape[1] :])


class FusedLSTM(LSTM):
    """:class:`LSTM` by oneDNN, in one call for all steps: much faster for small batches, never slower. For floats on a
    CPU, and sequences of one length.
    """

    @staticmethod
    def fits(x: torch.Tensor, sizes: list[int], weights: tuple) -> bool:
        """Whether it can compute this."""
        return (
            kernels.PRIVATE
            and _onednn_lstm is not None
            and _onednn_lstm_backward is not None
            and torch.backends.mkldnn.is_available()
            and x.is_cpu
            and x.dtype is weights[1].dtype is torch.float32
            and weights[0] is not None
            and sizes[0] == sizes[-1]
        )

    def _arguments(self) -> tuple:
        """The weights as the kernels take them."""
        return self.w_input, self.w_state, self.b_input, self.b_state

    def forward(self, x: torch.Tensor, states: States, output: torch.Tensor, kept: States, train: bool) -> None:
        frames, size = x.detach().view(len(self.sizes), self.sizes[0], -1), output.shape[1]
        begin = tuple([s.contiguous() for s in states])
        # the kernel keeps what its gradient needs if autograd is on, which has nothing to do as no tensor asks for it
        with torch.set_grad_enabled(train):
            y, *end, workspace = _onednn_lstm(
                frames, *self._arguments(), *begin, self.order.step < 0, [], 2, size, 1, True, False, False, train
            )
        self.known = frames, begin, y, end, workspace
        output.copy_(y.view(output.shape))
        for k, s in zip(kept, end):
            k.copy_(s)

    def backward(self, output: torch.Tensor, gradOutput: torch.Tensor, grads: States, kept: States) -> torch.Tensor:
        frames, begin, y, end, workspace = self.known
        gradients = [gradOutput.reshape(y.shape), *[g.contiguous() for g in grads]]
        settings: tuple[Any, ...] = (self.order.step < 0, 2, y.shape[2], 1, True, True, False, [], False, workspace)
        arguments = (frames, *self._arguments(), *begin, y, *end, *gradients, *settings)
        into, *self.d_weights, d_hidden, d_cell = _onednn_lstm_backward(*arguments)
        for k, g in zip(kept, (d_hidden, d_cell)):
            k.copy_(g.view(k.shape))
        return into.view(-1, into.shape[2])

    def accumulate(self, gradients: tuple, scale: float) -> None:
        for mine, gradient in zip(gradients, self.d_weights):
            mine.add_(gradient, alpha=scale)


def cell(mode: type[Cell], x: torch.Tensor, sizes: list[int], backwards: bool, weights: tuple) -> Cell:
    """What computes a layer in one direction, by the fastest way there is."""
    if mode is LSTM and FusedLSTM.fits(x, sizes, weights):
        mode = FusedLSTM
    return mode(sizes, backwards, weights)


CELLS: dict[str, type[Cell]] = {
    "CUDNN_RNN_RELU": ReLU,
    "CUDNN_RNN_TANH": Tanh,
    "CUDNN_LSTM": LSTM,
    "CUDNN_GRU": GRU,
}
"""By cuDNN's names of the modes."""
