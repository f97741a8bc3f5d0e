"""char-rnn (github.com/karpathy/char-rnn): its one-hot layer, its nets of one step, and sampling from its checkpoints.

A checkpoint is a table ``{protos = {rnn, criterion}, vocab, opt, ...}``; :func:`sample` writes text with one::

    checkpoint = luann.load("lm_lstm_epoch50.00_1.4000.t7")
    print(char_rnn.sample(checkpoint, 200, primetext="The "))

:func:`lstm`, :func:`gru` and :func:`rnn` build the nets as its folder ``model`` does, :func:`clone_many_times` and
:func:`combine_all_parameters` are its ``model_utils``.
"""

from __future__ import annotations

from typing import Any

import torch

from .. import nn, random
from ..errors import ArgumentError
from ..nn._kernels import resized
from ..nn._object import need_size, need_tensor

__all__ = ["OneHot", "clone_many_times", "combine_all_parameters", "gru", "lstm", "rnn", "sample"]


class OneHot(nn.Module, typename="OneHot"):
    """Row ``i`` of the identity matrix for each index ``i``, counted from 1.

    Input: N indices. Output: N x outputSize. There is no gradient for indices: ``gradInput`` stays empty.

    Args:
        outputSize: how many indices there are.
    """

    _eye: Any = None  # absent in files from before it was kept

    def __init__(self, outputSize: int) -> None:
        super().__init__()
        need_size(self, outputSize=outputSize)
        self.outputSize = outputSize
        self._eye = torch.eye(outputSize)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        if self._eye is None or self._eye.dtype is not torch.float32:
            self._eye = torch.eye(self.outputSize, dtype=torch.float32, device=self.output.device)
        output = resized(self.output, (input.shape[0], self.outputSize))
        return output.copy_(self._eye.index_select(0, input.long() - 1))

    def _diagnose(self, input: torch.Tensor) -> None:
        self._want(need_tensor(input).dim() == 1, "a vector of indices", input)
        wrong = input[(input < 1) | (input > self.outputSize)]
        if wrong.numel():
            raise ArgumentError(f"an index is {wrong[0].item()}: they count from 1 to {self.outputSize}")


def lstm(input_size: int, rnn_size: int, n: int, dropout: float = 0) -> nn.Module:
    """One step of LSTMs: from ``[x, c1, h1, c2, h2, ...]`` to ``[c1, h1, ..., log-probabilities]``.

    Args:
        input_size: how many characters there are.
        rnn_size: the size of the states, each N x rnn_size.
        n: how many layers.
        dropout: the probability for the input of every layer but the first, and of the decoder.
    """
    inputs = [nn.Identity()() for _ in range(1 + 2 * n)]
    outputs: list = []
    for layer in range(1, n + 1):
        prev_c, prev_h = inputs[2 * layer - 1 : 2 * layer + 1]
        x, size = _input(inputs, outputs[1::2], input_size, rnn_size, dropout)
        i2h = nn.Linear(size, 4 * rnn_size)(x).annotate(name=f"i2h_{layer}")
        h2h = nn.Linear(rnn_size, 4 * rnn_size)(prev_h).annotate(name=f"h2h_{layer}")
        sums = nn.Reshape(4, rnn_size)(nn.CAddTable()(i2h, h2h))
        n1, n2, n3, n4 = nn.SplitTable(2)(sums).split(4)
        in_gate, forget_gate, out_gate, in_transform = (
            nn.Sigmoid()(n1),
            nn.Sigmoid()(n2),
            nn.Sigmoid()(n3),
            nn.Tanh()(n4),
        )
        kept = nn.CMulTable()(forget_gate, prev_c)
        next_c = nn.CAddTable()(kept, nn.CMulTable()(in_gate, in_transform))
        outputs += [next_c, nn.CMulTable()(out_gate, nn.Tanh()(next_c))]
    return _decoded(inputs, outputs, input_size, rnn_size, dropout)


def gru(input_size: int, rnn_size: int, n: int, dropout: float = 0) -> nn.Module:
    """One step of GRUs: from ``[x, h1, h2, ...]`` to ``[h1, h2, ..., log-probabilities]``; see :func:`lstm`."""
    inputs = [nn.Identity()() for _ in range(1 + n)]
    outputs: list = []
    for prev_h in inputs[1:]:
        x, size = _input(inputs, outputs, input_size, rnn_size, dropout)
        update_gate, reset_gate = (
            nn.Sigmoid()(nn.CAddTable()(nn.Linear(size, rnn_size)(x), nn.Linear(rnn_size, rnn_size)(prev_h)))
            for _ in range(2)
        )
        p2 = nn.Linear(rnn_size, rnn_size)(nn.CMulTable()(reset_gate, prev_h))
        p1 = nn.Linear(size, rnn_size)(x)
        candidate = nn.Tanh()(nn.CAddTable()(p1, p2))
        new = nn.CMulTable()(update_gate, candidate)
        old = nn.CMulTable()(nn.AddConstant(1, False)(nn.MulConstant(-1, False)(update_gate)), prev_h)
        outputs.append(nn.CAddTable()(new, old))
    return _decoded(inputs, outputs, input_size, rnn_size, dropout)


def rnn(input_size: int, rnn_size: int, n: int, dropout: float = 0) -> nn.Module:
    """One step of plain layers, with tanh: from ``[x, h1, ...]`` to ``[h1, ..., log-probabilities]``; see
    :func:`lstm`.
    """
    inputs = [nn.Identity()() for _ in range(1 + n)]
    outputs: list = []
    for prev_h in inputs[1:]:
        x, size = _input(inputs, outputs, input_size, rnn_size, dropout)
        i2h, h2h = nn.Linear(size, rnn_size)(x), nn.Linear(rnn_size, rnn_size)(prev_h)
        outputs.append(nn.Tanh()(nn.CAddTable()(i2h, h2h)))
    return _decoded(inputs, outputs, input_size, rnn_size, dropout)


def _input(inputs: list, below: list, input_size: int, rnn_size: int, dropout: float) -> tuple[Any, int]:
    """What the next layer gets, given what those ``below`` give, and its size."""
    if not below:
        return OneHot(input_size)(inputs[0]), input_size
    return nn.Dropout(dropout)(below[-1]) if dropout > 0 else below[-1], rnn_size


def _decoded(inputs: list, outputs: list, input_size: int, rnn_size: int, dropout: float) -> nn.Module:
    top = nn.Dropout(dropout)(outputs[-1]) if dropout > 0 else outputs[-1]
    decoder = nn.Linear(rnn_size, input_size)(top).annotate(name="decoder")
    return nn.gModule(inputs, [*outputs, nn.LogSoftMax()(decoder)])


def clone_many_times(net: Any, T: int) -> list:
    """``T`` copies of a module that use its parameters and gradients, or of a criterion."""
    clones = [net.clone() for _ in range(T)]
    if isinstance(net, nn.Module):
        parameters, gradParameters = net.parameters()
        for clone in clones:
            theirs, gradients = clone.parameters()
            for mine, its in zip([*(parameters or ()), *(gradParameters or ())], [*(theirs or ()), *(gradients or ())]):
                its.set_(mine)
    return clones


def combine_all_parameters(*networks: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """``getParameters`` over several modules: one flat tensor of all parameters, one of all gradients."""
    together = nn.Container()
    for network in networks:
        together.add(network)
    return together.getParameters()


def sample(checkpoint: Any, length: int = 2000, primetext: str = " ", temperature: float = 1, sample: int = 1) -> str:
    """Text written by a checkpoint's net, one character after the other; after ``luann.manualSeed`` that of sample.lua.

    Args:
        checkpoint: what ``train.lua`` saved, as :func:`luann.load` gives it.
        length: how many characters.
        primetext: the text before, which the net reads first; it is not in the result.
        temperature: the log-probabilities are divided by it; small ones make likely characters likelier.
        sample: 1 to draw each character, 0 to take the likeliest.

    Raises:
        ArgumentError: a character of ``primetext`` is not in the checkpoint's vocabulary.
    """
    net, opt, vocab = checkpoint["protos"]["rnn"], checkpoint["opt"], checkpoint["vocab"]
    characters = {number: character for character, number in vocab.items()}
    like = net.parameters()[0][0]
    count = opt["num_layers"] * (2 if opt.get("model", "lstm") == "lstm" else 1)
    state = [like.new_zeros(1, opt["rnn_size"]) for _ in range(count)]
    net.evaluate()

    def read(number: torch.Tensor) -> torch.Tensor:
        nonlocal state
        *state, prediction = net.forward([number, *state])
        return prediction

    prediction = like.new_full((1, len(vocab)), 1 / len(vocab))
    for byte in primetext.encode("utf-8", "surrogateescape"):  # its characters are bytes
        character = bytes([byte]).decode("utf-8", "surrogateescape")
        if character not in vocab:
            raise ArgumentError(f"{character!r} of the primetext is not in the vocabulary: {''.join(sorted(vocab))!r}")
        prediction = read(like.new_tensor([vocab[character]]))
    text = []
    for _ in range(length):
        if sample:
            probabilities = prediction.div_(temperature).exp().squeeze(0)
            probabilities.div_(probabilities.sum())
            number = random.multinomial(probabilities.float(), 1)
        else:
            number = prediction.argmax(1) + 1
        text.append(characters[int(number)])
        prediction = read(number.to(like))
    return "".join(text).encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
