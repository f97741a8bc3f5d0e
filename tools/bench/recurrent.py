"""char-rnn on both sides: an LSTM of several layers, unrolled over the characters of a text."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch import nn as native
from torch.nn import functional as F

from luann import nn
from tools.bench.sides import Luann, Native

VOCABULARY, CLAMP = 65, 5
SHARED = "weight", "bias", "gradWeight", "gradBias"


def lstm(vocabulary: int, size: int, layers: int) -> Any:
    """One step as char-rnn's LSTM.lua has it: from a character, (c, h) of each layer, to those and log-probabilities.

    The characters are given as rows with a single 1.
    """
    inputs = [nn.Identity()() for _ in range(1 + 2 * layers)]
    outputs: list[Any] = []
    for layer in range(layers):
        prev_c, prev_h = inputs[2 * layer + 1], inputs[2 * layer + 2]
        x, width = (outputs[-1], size) if layer else (inputs[0], vocabulary)
        i2h = nn.Linear(width, 4 * size)(x).annotate(name=f"ih_l{layer}")
        h2h = nn.Linear(size, 4 * size)(prev_h).annotate(name=f"hh_l{layer}")
        sums = nn.Reshape(4, size)(nn.CAddTable()([i2h, h2h]))
        n1, n2, n3, n4 = nn.SplitTable(2)(sums).split(4)
        in_gate, forget_gate, out_gate = nn.Sigmoid()(n1), nn.Sigmoid()(n2), nn.Sigmoid()(n3)
        kept, new = nn.CMulTable()([forget_gate, prev_c]), nn.CMulTable()([in_gate, nn.Tanh()(n4)])
        next_c = nn.CAddTable()([kept, new])
        outputs += [next_c, nn.CMulTable()([out_gate, nn.Tanh()(next_c)])]
    outputs.append(nn.LogSoftMax()(nn.Linear(size, vocabulary)(outputs[-1]).annotate(name="decoder")))
    return nn.gModule(inputs, outputs)


class LuannRnn(Luann):
    """The graph, a clone of it for each step with the parameters of the first."""

    def __init__(self, size: int, layers: int, batch: int, text: Tensor, keep: bool = True) -> None:
        self.size, self.layers = size, layers
        net = lstm(VOCABULARY, size, layers).keepBuffers(keep)
        net.findModules("nn.Linear")[0][0].gradInput = None  # as PyTorch, which computes none for the characters
        self.x, self.grads = net.getParameters()
        self.clones = [net.clone(*SHARED) for _ in text[1:]]
        self.criterions = [nn.ClassNLLCriterion() for _ in text[1:]]
        self.target = list(text[1:] + 1)
        self.input = list(F.one_hot(text[:-1], VOCABULARY).to(self.x.dtype))
        self.start = [torch.zeros(batch, size, dtype=self.x.dtype) for _ in range(2 * layers)]
        self.config = {"learningRate": 0.01}
        modules = {n.data.annotations.get("name"): n.data.get("module") for n in net.forwardnodes}
        self.linear = [modules[f"{which}_l{layer}"] for layer in range(layers) for which in ("ih", "hh")]
        self.decoder = modules["decoder"]

    def _ordered(self, weight: str, bias: str) -> list[Tensor]:
        """In PyTorch's order, which has the two last gates the other way round."""
        turn = torch.arange(4 * self.size).view(4, -1)[[0, 1, 3, 2]].view(-1)
        found = [getattr(m, name)[turn] for m in self.linear for name in (weight, bias)]
        return [*found, getattr(self.decoder, weight), getattr(self.decoder, bias)]

    def parameters(self) -> list[Tensor]:
        """Copies, in the order of the other side."""
        return self._ordered("weight", "bias")

    def gradients(self) -> list[Tensor]:
        """Likewise."""
        return self._ordered("gradWeight", "gradBias")

    def _forward(self) -> tuple[list[list[Tensor]], list[Tensor]]:
        states, outputs = [self.start], []
        for clone, x in zip(self.clones, self.input):
            *state, output = clone.forward([x, *states[-1]])
            states.append(state)
            outputs.append(output)
        return states, outputs

    def feval(self, _: Tensor) -> tuple[float, Tensor]:
        """The function that ``optim`` evaluates, as in char-rnn's train.lua."""
        self.grads.zero_()
        states, outputs = self._forward()
        loss = 0.0
        for criterion, output, wanted in zip(self.criterions, outputs, self.target):
            loss += criterion.forward(output, wanted)
        back = self.start
        for t in reversed(range(len(outputs))):
            gradient = self.criterions[t].backward(outputs[t], self.target[t])
            _, *back = self.clones[t].backward([self.input[t], *states[t]], [*back, gradient])
        self.grads.clamp_(-CLAMP, CLAMP)
        return loss / len(outputs), self.grads

    def infer(self) -> Tensor:
        """The last output."""
        return self._forward()[1][-1]

    def mode(self, train: bool) -> None:
        """Training or evaluation."""
        for clone in self.clones:
            (clone.training if train else clone.evaluate)()


class Whole(native.Module):
    """``torch.nn.LSTM``, which runs over all characters by itself."""

    def __init__(self, size: int, layers: int) -> None:
        super().__init__()
        self.lstm = native.LSTM(VOCABULARY, size, layers)
        self.decoder = native.Linear(size, VOCABULARY)

    def forward(self, x: Tensor) -> Tensor:
        """Steps x N x characters to log-probabilities of the same size."""
        return self.decoder(self.lstm(x)[0]).log_softmax(-1)


class Cells(native.Module):
    """``torch.nn.LSTMCell`` in a Python loop, as far as what luann does can be said in PyTorch."""

    def __init__(self, size: int, layers: int) -> None:
        super().__init__()
        self.cells = native.ModuleList(native.LSTMCell(size if i else VOCABULARY, size) for i in range(layers))
        self.decoder = native.Linear(size, VOCABULARY)

    def parameters(self, recurse: bool = True) -> Any:
        """In the order of :class:`Whole`."""
        for cell in self.cells:
            yield from (cell.weight_ih, cell.bias_ih, cell.weight_hh, cell.bias_hh)
        yield from self.decoder.parameters()

    def forward(self, x: Tensor) -> Tensor:
        """Steps x N x characters to log-probabilities of the same size."""
        states: list[Any] = [None] * len(self.cells)
        outputs = []
        for h in x.unbind():
            for i, cell in enumerate(self.cells):
                states[i] = cell(h, states[i])
                h = states[i][0]
            outputs.append(self.decoder(h).log_softmax(-1))
        return torch.stack(outputs)


class NativeRnn(Native):
    """One of the two forms, with the same loss and the same limit to the gradients."""

    def __init__(self, net: Any, text: Tensor) -> None:
        dtype = next(net.parameters()).dtype
        super().__init__(net, F.one_hot(text[:-1], VOCABULARY).to(dtype), text[1:] + 1)

    def parameters(self) -> list[Tensor]:
        """Weight, then bias, layer by layer."""
        if isinstance(self.model, Cells):
            return list(self.model.parameters())
        names = [f"{kind}_{which}_l{i}" for i in range(self.model.lstm.num_layers)
                 for which in ("ih", "hh") for kind in ("weight", "bias")]  # fmt: skip
        return [getattr(self.model.lstm, name) for name in names] + list(self.model.decoder.parameters())

    def gradients(self) -> list[Tensor]:
        """In the order of the parameters."""
        return [p.grad for p in self.parameters()]

    def train(self) -> float:
        """A step."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = F.nll_loss(self.model(self.input).flatten(0, 1), self.target.flatten())
        (loss * len(self.target)).backward()  # char-rnn adds up the gradients of the steps
        native.utils.clip_grad_value_(self.model.parameters(), CLAMP)
        self.optimizer.step()
        return loss.item()

    def infer(self) -> Tensor:
        """The last output."""
        return super().infer()[-1]
