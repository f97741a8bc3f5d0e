"""torch-rnn (jcjohnson/torch-rnn): recurrent layers over whole sequences, and a model of the characters of a text.

A checkpoint of its ``train.lua`` is loaded and sampled from like this::

    model = luann.load("checkpoint.t7")["model"]
    model.evaluate()
    print(model.sample({"length": 200, "start_text": "The "}))
"""

from __future__ import annotations

from typing import Any

import torch

from .. import random
from ..errors import ArgumentError, ShapeError
from ..nn import BatchNormalization, Dropout, Linear, LogSoftMax, LookupTable, View, utils
from ..nn._guard import describe
from ..nn._kernels import resized
from ..nn._object import given, need_tensor
from ..nn.container import Sequential
from ..nn.criterion.base import Criterion
from ..nn.module import Module
from ..table import Table
from ..types import tensor_typename
from ._needs import option
from ._sequence import _LSTM, _Sequence, dense

__all__ = ["LSTM", "LanguageModel", "TemporalAdapter", "TemporalCrossEntropyCriterion", "VanillaRNN"]


class _BatchFirst(_Sequence):
    """What LSTM and VanillaRNN share."""

    _sizes = ("input_dim", "hidden_dim")
    _carried = {"h0": "output", "c0": "cell"}
    _time = 1

    input_dim: int
    hidden_dim: int
    remember_states = False

    def _remembers(self) -> bool:
        return self.remember_states

    def __tostring__(self) -> str:
        return f"{self._typename}({self.input_dim} -> {self.hidden_dim})"


class LSTM(_BatchFirst, _LSTM):
    """A long short-term memory over a whole sequence.

    With ``[x, h]`` the input and the output of the step before, side by side::

        i, f, o, g = [x, h] W + b      σ of the first three, tanh of the last
        c = f * c + i * g
        h = o * tanh(c)

    Input: N x T x input_dim (batch, time, size), or a list ``[h0, x]`` or ``[c0, h0, x]`` with the states before the
    first step, N x hidden_dim. Output: N x T x hidden_dim. ``backward`` does everything at once, takes no scale but 1,
    and gives a list if the input was one.

    Args:
        input_dim, hidden_dim: sizes of the input and of the output.

    ``weight`` ((input_dim + hidden_dim) x 4 hidden_dim) is drawn from a normal distribution of deviation
    1/√(input_dim + hidden_dim); ``bias`` is 0, for the forget gate 1.

    Attributes:
        remember_states: set it to begin each sequence in the state in which the last one ended, until
            ``resetStates()``. No gradient flows back into the sequence before.
    """

    def __init__(self, input_dim: int, hidden_dim: int) -> None:
        super().__init__(input_dim, hidden_dim)
        self.remember_states = False

    @staticmethod
    def _fits(fields: dict) -> bool:
        return "input_dim" in fields and "hidden_dim" in fields

    def _run(self, x: torch.Tensor, starts: list[torch.Tensor]) -> torch.Tensor:
        self._forward(x, starts, self.output)
        return self.output

    def _run_back(self, x: torch.Tensor, starts: list[torch.Tensor], gradOutput: torch.Tensor) -> None:
        self._backward(x, starts, self.output, gradOutput, self.grad_x)


class VanillaRNN(_BatchFirst):
    """``h = tanh([x, h] W + b)`` over a whole sequence, ``[x, h]`` the input and the output of the step before.

    Input: N x T x input_dim (batch, time, size), or a list ``[h0, x]`` with the state before the first step,
    N x hidden_dim. Output: N x T x hidden_dim. The rest is as in :class:`LSTM`.

    Args:
        input_dim, hidden_dim: sizes of the input and of the output.

    ``weight`` ((input_dim + hidden_dim) x hidden_dim) is drawn from a normal distribution of deviation
    1/√(input_dim + hidden_dim); ``bias`` is 0.
    """

    h0: Any = None
    grad_h0: Any = None

    def __init__(self, input_dim: int, hidden_dim: int) -> None:
        super().__init__(input_dim, hidden_dim)
        self.reset()
        self.remember_states = False
        self.buffer1 = torch.empty(0)
        self.buffer2 = torch.empty(0)

    def _steps(self, output: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The steps of the output, made anew only where it has moved."""
        key = output.data_ptr(), output.shape, output.dtype
        if self._cache is None or self._cache[0] != key:
            self._cache = key, output.unbind(1)
        return self._cache[1]

    def _run(self, x: torch.Tensor, starts: list[torch.Tensor]) -> torch.Tensor:
        size, h = x.shape[2], starts[0]
        output, recurrent = dense(self.output, (*x.shape[:2], self.hidden_dim)), self.weight[size:]
        torch.addmm(self.bias, x.reshape(-1, size), self.weight[:size], out=output.view(-1, self.hidden_dim))
        for step in self._steps(output):
            h = step.addmm_(h, recurrent).tanh_()
        return output

    def _run_back(self, x: torch.Tensor, starts: list[torch.Tensor], gradOutput: torch.Tensor) -> None:
        output, recurrent = self.output, self.weight[x.shape[2] :].t().contiguous()
        # 1 - h² for all steps, then times the gradient step by step
        grad = torch.mul(output, output, out=dense(self.buffer2, output.shape)).neg_().add_(1)
        steps, grads = grad.unbind(1), gradOutput.unbind(1)
        grad_h = dense(self.buffer1, starts[0].shape).copy_(grads[-1])
        for t in range(len(steps) - 1, -1, -1):
            steps[t].mul_(grad_h)
            if t:
                torch.addmm(grads[t - 1], steps[t], recurrent, out=grad_h)
            else:
                torch.mm(steps[t], recurrent, out=self.grad_h0)
        self._accumulate(x, output, starts[0], grad, self.grad_x)


class _Wrapping(Module):
    """What modules share that wrap a net in the field ``net`` without being containers."""

    net: Sequential

    def training(self) -> None:
        self.net.training()
        super().training()

    def evaluate(self) -> None:
        self.net.evaluate()
        super().evaluate()

    def clearState(self) -> Any:
        self.net.clearState()
        return self

    def _convert(self, dtype: torch.dtype | None, device: torch.device | None, cache: dict) -> None:
        super()._convert(dtype, device, cache)
        if "_type" not in self.__dict__:  # which no constructor of the rock sets
            weight = (self.net.parameters()[0] or [None])[0]
            dtype = dtype or (torch.get_default_dtype() if weight is None else weight.dtype)
            device = device or (None if weight is None else weight.device)
            self._type = tensor_typename(dtype, device is not None and device.type == "cuda")


class LanguageModel(_Wrapping):
    """Scores for the next token after each token of a text: a table of vectors, recurrent layers, a linear layer.

    Input: N x T, the numbers of tokens. Output: N x T x vocab_size. States are remembered from one batch to the next,
    until :meth:`resetStates`.

    Args:
        kwargs: a table with

            - idx_to_token: the tokens, a list, or a table from numbers on;
            - model_type: ``'lstm'`` or ``'rnn'``;
            - wordvec_size, rnn_size, num_layers: size of the vectors, size and number of the recurrent layers;
            - dropout: probability of dropout behind each recurrent layer, 0 for none;
            - batchnorm: 1 for batch normalisation behind each recurrent layer.

    ``net`` is the whole, ``rnns`` lists the recurrent layers. As in the rock the output is that of ``net``, and only
    ``backward`` computes gradients.
    """

    idx_to_token: Any
    token_to_idx: Any
    rnns: list
    bn_view_in: Any = ()  # files older than batch normalisation lack these
    bn_view_out: Any = ()

    @staticmethod
    def _fits(fields: dict) -> bool:
        return all(name in fields for name in ("idx_to_token", "token_to_idx", "net", "rnns", "wordvec_dim"))

    def __init__(self, kwargs: dict) -> None:
        self.idx_to_token = option(self, kwargs, "idx_to_token")
        numbered = self._numbered()
        self.token_to_idx = Table({token: number for number, token in numbered})
        self.vocab_size = len(numbered)
        self.model_type = option(self, kwargs, "model_type")
        self.wordvec_dim = option(self, kwargs, "wordvec_size")
        self.rnn_size = option(self, kwargs, "rnn_size")
        self.num_layers = option(self, kwargs, "num_layers")
        self.dropout = option(self, kwargs, "dropout")
        self.batchnorm = option(self, kwargs, "batchnorm")
        layers = {"rnn": VanillaRNN, "lstm": LSTM}
        if self.model_type not in layers:
            raise ArgumentError(f"{self._typename}: model_type must be lstm or rnn, got {self.model_type!r}")
        size = self.rnn_size
        self.net = Sequential()
        self.rnns, self.bn_view_in, self.bn_view_out = [], [], []
        self.net.add(LookupTable(self.vocab_size, self.wordvec_dim))
        for i in range(self.num_layers):
            rnn = layers[self.model_type](size if i else self.wordvec_dim, size)
            rnn.remember_states = True
            self.rnns.append(rnn)
            self.net.add(rnn)
            if self.batchnorm == 1:
                self.bn_view_in.append(View(1, 1, -1).setNumInputDims(3))
                self.bn_view_out.append(View(1, -1).setNumInputDims(2))
                self.net.add(self.bn_view_in[-1]).add(BatchNormalization(size)).add(self.bn_view_out[-1])
            if self.dropout > 0:
                self.net.add(Dropout(self.dropout))
        self.view1 = View(1, 1, -1).setNumInputDims(3)
        self.view2 = View(1, -1).setNumInputDims(2)
        self.net.add(self.view1).add(Linear(size, self.vocab_size)).add(self.view2)

    def _numbered(self) -> list[tuple[int, str]]:
        tokens = self.idx_to_token
        return list(tokens.items() if isinstance(tokens, dict) else enumerate(tokens, 1))

    @property
    def output(self) -> Any:
        """The output of ``net``."""
        return self.net.output

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self._want(isinstance(input, torch.Tensor) and input.dim() == 2, "N x T numbers of tokens", input)
        batch, steps = input.shape
        for view in (self.view1, *self.bn_view_in):
            view.resetSize(batch * steps, -1)
        for view in (self.view2, *self.bn_view_out):
            view.resetSize(batch, steps, -1)
        return self.net.forward(input)

    def backward(self, input: torch.Tensor, gradOutput: torch.Tensor, scale: float = 1) -> torch.Tensor:
        return self.net.backward(input, gradOutput, scale)

    def parameters(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        return self.net.parameters()

    def resetStates(self) -> None:
        """Begin the next batch from zero."""
        for rnn in self.rnns:
            rnn.resetStates()

    def encode_string(self, s: str) -> torch.Tensor:
        """The numbers of the characters of a text, a LongTensor.

        Raises:
            ArgumentError: a character is not among the tokens.
        """
        unknown = next((token for token in s if token not in self.token_to_idx), None)
        if unknown is not None:
            raise ArgumentError(f"{self._typename}: {unknown!r} is none of the {self.vocab_size} tokens")
        return torch.tensor([self.token_to_idx[token] for token in s], dtype=torch.int64)

    def decode_string(self, encoded: torch.Tensor) -> str:
        """The text for a vector of numbers."""
        if need_tensor(encoded).dim() != 1:
            raise ShapeError(f"{self._typename}: decode_string takes a vector, got {describe(encoded)}")
        tokens = dict(self._numbered())
        return "".join(tokens[int(number)] for number in encoded.tolist())

    def sample(self, kwargs: dict | None = None) -> str:
        """A text that the model writes. The states are reset before and after.

        Args:
            kwargs: a table with

                - length: its length, ``start_text`` included; default 100;
                - start_text: its beginning, default none: then the first token is drawn uniformly;
                - sample: 1 to draw each token with the probability that the model gives it, the default; 0 for the most
                  probable one;
                - temperature: by which the scores are divided, default 1;
                - verbose: 1 to print how it begins, default 0.

        Raises:
            ArgumentError: ``start_text`` has other characters than the tokens, or is longer than ``length``.
        """
        kwargs = given(kwargs, {})
        length = option(self, kwargs, "length", 100)
        start = option(self, kwargs, "start_text", "")
        verbose = option(self, kwargs, "verbose", 0)
        draw = option(self, kwargs, "sample", 1) != 0
        temperature = option(self, kwargs, "temperature", 1)
        weight = self.net.modules[0].weight
        sampled = torch.zeros(length, dtype=torch.int64)
        self.resetStates()
        if start:
            if verbose > 0:
                print(f'Seeding with: "{start}"')
            if len(start) > length:
                raise ArgumentError(f"{self._typename}: a start_text of {len(start)}, longer than length = {length}")
            sampled[: len(start)] = self.encode_string(start)
            scores = self.forward(sampled[None, : len(start)].to(weight.device))[:, -1:]
        else:
            if verbose > 0:
                print("Seeding with uniform probabilities")
            scores = weight.new_ones(1, 1, self.vocab_size)
        for t in range(len(start), length):
            if draw:
                chances = torch.div(scores, temperature).to("cpu", torch.float64).exp_().flatten()
                token = random.multinomial(chances.div_(chances.sum()), 1)
            else:
                token = scores.argmax(2).flatten().cpu() + 1
            sampled[t] = token[0]
            scores = self.forward(token.view(1, 1).to(weight.device))
        self.resetStates()
        return self.decode_string(sampled)


class TemporalAdapter(_Wrapping):
    """A module over a batch, applied to every step of a batch of sequences.

    Input: N x T x A. Output: N x T x B, where the module takes M x A and gives M x B.

    As in the rock it has no parameters of its own, and its backward gives no gradients to those of the module: a
    criterion's gradient goes through it, but the module does not learn.

    Args:
        module: the module.
    """

    def __init__(self, module: Module) -> None:
        self.view_in = View(1, -1).setNumInputDims(3)
        self.view_out = View(1, -1).setNumInputDims(2)
        self.net = Sequential().add(self.view_in).add(module).add(self.view_out)

    def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
        self._want(need_tensor(input).dim() == 3, "a batch of sequences, 3 dimensions", input)
        batch, steps = input.shape[:2]
        self.view_in.resetSize(batch * steps, -1)
        self.view_out.resetSize(batch, steps, -1)
        self.output = self.net.forward(input)
        return self.output

    def updateGradInput(self, input: torch.Tensor, gradOutput: torch.Tensor) -> torch.Tensor:
        self.gradInput = self.net.updateGradInput(input, gradOutput)
        return self.gradInput


class TemporalCrossEntropyCriterion(Criterion):
    """The cross entropy of scores for every step of a batch of sequences.

    Input: N x T x C, the scores. Target: N x T, classes counted from 1; a step with target 0 is left out: no loss and
    no gradient.

    The losses are added up and divided by N if ``batch_average`` is set (the default), by T if ``time_average`` is (by
    default not), steps that are left out counting too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lsm = Sequential().add(View(1, 1, -1).setNumInputDims(3)).add(LogSoftMax())
        self.lsm.add(View(1, -1).setNumInputDims(2))
        self.batch_average = True
        self.time_average = False
        self.grad_logprobs = torch.empty(0)
        self.losses = torch.empty(0)

    def clearState(self) -> TemporalCrossEntropyCriterion:
        """Empty the buffers; returns the criterion."""
        self.lsm.clearState()
        return utils.clear(self, "grad_logprobs", "losses")

    def updateOutput(self, input: torch.Tensor, target: torch.Tensor) -> float:
        self._want(need_tensor(input).dim() == 3, "N x T x C scores", input)
        batch, steps = input.shape[:2]
        self._want(need_tensor(target, "target").shape == (batch, steps), f"a target of {batch} x {steps}", target)
        views: Any = self.lsm.modules
        views[0].resetSize(batch * steps, -1)
        views[2].resetSize(batch, steps, -1)
        places = target.to(input.device, torch.int64).unsqueeze(2) - 1
        empty = places == -1
        places.masked_fill_(empty, 0)
        share = 1 / ((batch if self.batch_average else 1) * (steps if self.time_average else 1))
        logprobs = self.lsm.forward(input)
        losses = resized(self.losses, (batch, steps)).unsqueeze(2)
        torch.gather(logprobs, 2, places, out=losses).mul_(-share).masked_fill_(empty, 0)
        grads = resized(self.grad_logprobs, logprobs.shape).zero_()
        grads.scatter_(2, places, empty.to(grads.dtype).sub_(1).mul_(share))
        self.output = losses.sum().item()
        self.gradInput = self.lsm.backward(input, grads)
        return self.output

    def updateGradInput(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return self.gradInput
