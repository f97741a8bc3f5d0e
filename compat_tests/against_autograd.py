"""Compares modules and criterions with the same function in PyTorch, and their gradients with autograd's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def same(module: Any, function: Callable, *given: torch.Tensor) -> None:
    """Assert that ``module`` computes ``function`` of these tensors, and its gradients.

    One tensor is the input; several are given to ``module`` as a list. The module's own parameters are among what
    ``function`` may use: their gradients are compared too.
    """
    parameters, gradParameters = module.parameters()
    leaves = [t.detach().clone().requires_grad_(t.is_floating_point()) for t in given]
    with torch.enable_grad():
        twins = [p.requires_grad_() for p in parameters or []]
        wanted = function(*leaves)
        outputs = wanted if isinstance(wanted, (list, tuple)) else [wanted]
        back = [torch.randn_like(y) for y in outputs]
        floating = [t for t in leaves if t.requires_grad]
        grads = torch.autograd.grad(outputs, [*floating, *twins], back, allow_unused=True, materialize_grads=True)
    for p in twins:
        p.requires_grad_(False)
    input = list(given) if len(given) > 1 else given[0]
    output = module.forward(input)
    torch.testing.assert_close(output, detached(wanted))
    module.zeroGradParameters()
    gradInput = module.backward(input, back if isinstance(wanted, (list, tuple)) else back[0])
    found = gradInput if len(given) > 1 else [gradInput]
    kept = [g for g, t in zip(found, leaves) if t.requires_grad]
    torch.testing.assert_close(kept, list(grads[: len(floating)]))
    torch.testing.assert_close(list(gradParameters or []), list(grads[len(floating) :]))


def same_loss(criterion: Any, function: Callable, input: Any, target: Any) -> None:
    """Assert that ``criterion`` computes the number ``function(input, target)``, and its gradient."""
    leaves = [t.detach().clone().requires_grad_() for t in (input if isinstance(input, list) else [input])]
    with torch.enable_grad():
        wanted = function(leaves if isinstance(input, list) else leaves[0], target)
        grads = list(torch.autograd.grad(wanted, leaves))
    torch.testing.assert_close(torch.tensor(criterion.forward(input, target)).to(wanted), wanted.detach())
    gradInput = criterion.backward(input, target)
    torch.testing.assert_close(gradInput, grads if isinstance(input, list) else grads[0])


def detached(value: Any) -> Any:
    return [v.detach() for v in value] if isinstance(value, (list, tuple)) else value.detach()
