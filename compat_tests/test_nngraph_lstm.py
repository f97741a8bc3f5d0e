"""char-rnn's net, a graph of one step with a clone for each step of time, beside torch.nn.LSTM and autograd."""

import pytest
import torch

import luann
from luann import nn, optim
from luann.contrib.char_rnn import clone_many_times, lstm

VOCABULARY, SIZE, LAYERS, BATCH, STEPS = 11, 7, 2, 4, 50


class Reference(torch.nn.Module):
    """The same net of PyTorch's own layers, with the parameters of a gModule."""

    def __init__(self, net):
        super().__init__()
        self.lstm = torch.nn.LSTM(VOCABULARY, SIZE, LAYERS)
        self.decoder = torch.nn.Linear(SIZE, VOCABULARY)
        for name, theirs in ordered(self, net).items():
            dict(self.named_parameters())[name].data.copy_(theirs)

    def forward(self, x, state):
        h, state = self.lstm(torch.nn.functional.one_hot(x - 1, VOCABULARY).double(), state)
        return self.decoder(h).log_softmax(-1), state


def ordered(reference, net):
    """The parameters of ``net`` under their names in PyTorch, whose gates are in another order."""
    turn = torch.cat([torch.arange(g * SIZE, (g + 1) * SIZE) for g in (0, 1, 3, 2)])
    modules = {node.data.annotations.get("name"): node.data.get("module") for node in net.forwardnodes}
    found = {}
    for layer in range(LAYERS):
        for ours, theirs in (("i2h", "ih"), ("h2h", "hh")):
            module = modules[f"{ours}_{layer + 1}"]
            found[f"lstm.weight_{theirs}_l{layer}"] = module.weight[turn]
            found[f"lstm.bias_{theirs}_l{layer}"] = module.bias[turn]
    return found | {"decoder.weight": modules["decoder"].weight, "decoder.bias": modules["decoder"].bias}


def test_training_agrees_with_autograd():
    luann.setdefaulttensortype("torch.DoubleTensor")
    luann.manualSeed(1)
    torch.manual_seed(1)
    net = lstm(VOCABULARY, SIZE, LAYERS)
    params, grads = net.getParameters()
    luann.random.uniform(params, -0.3, 0.3)
    reference = Reference(net)
    clones = clone_many_times(net, STEPS)
    criterions = clone_many_times(nn.ClassNLLCriterion(), STEPS)
    starts = torch.randint(VOCABULARY, (3, 1, BATCH))  # each character is followed by the next of the alphabet
    text = (starts + torch.arange(STEPS + 1).view(1, -1, 1)) % VOCABULARY + 1

    state = [torch.zeros(BATCH, SIZE) for _ in range(2 * LAYERS)]
    count = 0

    def feval(x):
        nonlocal state, count
        given, wanted = text[count % 3, :-1], text[count % 3, 1:]
        count += 1
        grads.zero_()
        states, outputs, loss = [state], [], 0
        for t in range(STEPS):
            *after, prediction = clones[t].forward([given[t], *states[t]])
            states.append(after)
            outputs.append(prediction)
            loss += criterions[t].forward(prediction, wanted[t])
        back = [torch.zeros(BATCH, SIZE) for _ in range(2 * LAYERS)]
        for t in reversed(range(STEPS)):
            gradOutput = criterions[t].backward(outputs[t], wanted[t])
            _, *back = clones[t].backward([given[t], *states[t]], [*back, gradOutput])
        state = [s.clone() for s in states[-1]]
        grads.clamp_(-0.5, 0.5)
        return loss / STEPS, grads

    theirs = (torch.zeros(LAYERS, BATCH, SIZE), torch.zeros(LAYERS, BATCH, SIZE))
    optimizer = torch.optim.RMSprop(reference.parameters(), lr=0.02, alpha=0.95, eps=1e-8)
    config = {"learningRate": 0.02, "alpha": 0.95}
    losses = []
    for i in range(20):
        _, (loss,) = optim.rmsprop(feval, params, config)
        out, theirs = reference(text[i % 3, :-1], theirs)
        theirs = tuple(s.detach() for s in theirs)
        wanted = torch.nn.functional.nll_loss(out.flatten(0, 1), text[i % 3, 1:].flatten() - 1)
        optimizer.zero_grad()
        (wanted * STEPS).backward()
        torch.nn.utils.clip_grad_value_(reference.parameters(), 0.5)
        optimizer.step()
        assert loss == pytest.approx(wanted.item(), rel=1e-9)
        losses.append(loss)
    assert losses[-1] < 0.7 * losses[0]
    mine = ordered(reference, net)
    for name, parameter in reference.named_parameters():
        torch.testing.assert_close(mine[name], parameter.data, rtol=1e-9, atol=1e-9)


def test_a_step_with_dropout_in_evaluation():
    luann.setdefaulttensortype("torch.DoubleTensor")
    torch.manual_seed(2)
    net = lstm(VOCABULARY, SIZE, LAYERS, 0.5)
    reference = Reference(net)
    net.evaluate()
    given = torch.tensor([3, 1])
    *state, prediction = net.forward([given, *(torch.zeros(2, SIZE) for _ in range(2 * LAYERS))])
    zeros = torch.zeros(LAYERS, 2, SIZE)
    out, (h, c) = reference(given[None], (zeros, zeros))
    torch.testing.assert_close(prediction, out[0].detach())
    torch.testing.assert_close(torch.stack(state), torch.stack([c[0], h[0], c[1], h[1]]).detach())
