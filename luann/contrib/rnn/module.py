"""What rnn adds to every module: memory of past steps, and its handling through whole nets.

These methods of ``nn.Module`` hand the call on to the modules within; recurrent modules and sequencers define their
own. A module that holds no others has no memory, and does nothing.
"""

from __future__ import annotations

from typing import Any

from ...errors import ArgumentError
from ...nn import Module
from ...nn._guard import describe
from ...table import Table
from .. import dpnn as _dpnn  # sharedClone comes from there  # noqa: F401


def forget(self: Any) -> Any:
    """Forget the past: the next step is the first of a sequence. Returns the module."""
    for module in self.modules or ():
        module.forget()
    return self


def remember(self: Any, remember: str | None = None) -> Any:
    """Have all sequencers below keep their memory from one ``forward`` to the next; returns the module.

    Args:
        remember: when: ``'both'`` (the default), ``'train'``, ``'eval'`` or ``'neither'``.
    """
    for module in self.modules or ():
        module.remember(remember)
    return self


def stepClone(self: Any, shareParams: bool | None = None, shareGradParams: bool | None = None) -> Any:
    """:meth:`sharedClone` for one more step in time: recurrent modules below are not copied, they keep their own steps.

    Args:
        shareParams, shareGradParams: as there.
    """
    return self.sharedClone(shareParams, shareGradParams, True)


def backwardOnline(self: Any, online: bool | None = None) -> None:
    """Do nothing: recurrent modules go back step by step in any case. Older scripts call it."""


def setOutputStep(self: Any, step: int) -> None:
    """Set ``output`` and ``gradInput`` of all recurrent modules below to those of a step, counted from 1."""
    for module in self.modules or ():
        module.setOutputStep(step)


def maxBPTTstep(self: Any, rho: int) -> None:
    """Set through how many steps at most recurrent modules below go back in time."""
    for module in self.modules or ():
        module.maxBPTTstep(rho)


def getHiddenState(self: Any, step: int | None = None, input: Any = None) -> list | Table | None:
    """The hidden states that recurrent modules below had after a step.

    Args:
        step: counted from 1; 0 is the state before the first. By default the last one.
        input: used by recurrent modules only.

    Returns:
        A table with an entry for each module in ``modules`` that holds others; ``None`` without ``modules``.
    """
    return None if self.modules is None else _entries(module.getHiddenState(step) for module in self.modules)


def setHiddenState(self: Any, step: int, hiddenState: Any) -> None:
    """Put hidden states in the place of those after a step; ``hiddenState`` is as :meth:`getHiddenState` gives it."""
    for module, state in _beside(self, hiddenState):
        module.setHiddenState(step, state)


def getGradHiddenState(self: Any, step: int | None = None, input: Any = None) -> list | Table | None:
    """The gradients of the hidden states, as :meth:`getHiddenState` gives the states."""
    return None if self.modules is None else _entries(module.getGradHiddenState(step) for module in self.modules)


def setGradHiddenState(self: Any, step: int, gradHiddenState: Any) -> None:
    """Put gradients in the place of those of the hidden states after a step."""
    for module, state in _beside(self, gradHiddenState):
        module.setGradHiddenState(step, state)


def _entries(values: Any) -> list | Table:
    """A Lua table of ``values``, those left out that are ``None``."""
    values = list(values)
    present = {i: v for i, v in enumerate(values, 1) if v is not None}
    return values if len(present) == len(values) else Table(present)


def _beside(module: Any, states: Any) -> list[tuple[Any, Any]]:
    """Each of the modules in ``module``, and its entry in the table ``states``."""
    if not module.modules:
        return []
    if isinstance(states, (list, tuple)):
        states = dict(enumerate(states, 1))
    if not isinstance(states, dict):
        raise ArgumentError(f"{module._typename}: the states must be a table, got {describe(states)}")
    return [(child, states.get(i)) for i, child in enumerate(module.modules, 1)]


for _method in (
    forget,
    remember,
    stepClone,
    backwardOnline,
    setOutputStep,
    maxBPTTstep,
    getHiddenState,
    setHiddenState,
    getGradHiddenState,
    setGradHiddenState,
):
    if not hasattr(Module, _method.__name__):
        setattr(Module, _method.__name__, _method)
