"""``nn.Serial``, and what a module leaves out when it is saved in one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ... import types
from ...nn import Decorator, Module
from ...nngraph import gModule
from ...t7.payloads import fields_of, register_payload
from ...t7.values import Unknown
from ...table import Shuffled, Table
from .sharing import inside


def serialMode(self: Any, empty: list[str]) -> Any:
    """Have this module and all that it holds saved with the fields in the list ``empty`` emptied, if it is saved in an
    ``nn.Serial``; returns the module.
    """
    for module in inside(self):
        module.dpnn_serialEmpty = empty
    return self


def heavySerial(self: Any) -> Any:
    """Have all fields saved, as they are without this; returns the module."""
    return self.serialMode([])


def mediumSerial(self: Any) -> Any:
    """Have this module and all that it holds saved without outputs, gradients with respect to inputs, and buffers, if
    it is saved in an ``nn.Serial``; returns the module. The list ``dpnn_mediumEmpty`` of each names the fields.
    """
    for module in inside(self):
        module.dpnn_serialEmpty = module.dpnn_mediumEmpty
    return self


def lightSerial(self: Any) -> Any:
    """As :func:`mediumSerial`, and without the gradients of the parameters (``dpnn_lightEmpty``)."""
    for module in inside(self):
        module.dpnn_serialEmpty = [*module.dpnn_mediumEmpty, *module.dpnn_lightEmpty]
    return self


def getSerialState(self: Any, states: dict | None = None) -> Table:
    """What is saved of a module: its fields, those in ``dpnn_serialEmpty`` emptied, and its class in ``dpnn_typename``;
    likewise the modules within. Graphs are left as they are.

    Args:
        states: what is known already, by the ids of the modules and tables.
    """
    return _state(self, {} if states is None else states, lambda module, fields: fields)


def _state(value: Any, states: dict, make: Callable[[Any, Table], Any]) -> Any:
    """What stands for a value in the file; ``make`` forms it for a module from the module and its fields."""
    if not isinstance(value, (Module, list, dict)) or isinstance(value, gModule):
        return value
    if id(value) not in states:
        state: Any
        if isinstance(value, Module):
            value._settle()
            empty: list = value.dpnn_serialEmpty  # see module.py
            fields = Table(
                (name, _emptied(v) if name in empty else _state(v, states, make)) for name, v in vars(value).items()
            )
            fields["dpnn_typename"] = value._typename
            state = make(value, fields)
        elif isinstance(value, Shuffled):
            state = Shuffled((_state(v, states, make) for v in value), value.order)
        elif isinstance(value, list):
            state = [_state(v, states, make) for v in value]
        else:
            state = Table((k, _state(v, states, make)) for k, v in value.items())
        states[id(value)] = state
    return states[id(value)]


def _emptied(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.new_empty(0)
    return [] if isinstance(value, (list, dict)) else value


def _twin(module: Any, fields: Table) -> Any:
    twin = module.__class__.__new__(module.__class__)
    twin.__dict__.update(fields)
    return twin


class Serial(Decorator):
    """Hands everything on to its module; ``mediumSerial()`` and ``lightSerial()`` say what is not saved.

    Copies are made without it, too. Each module gets a field ``dpnn_typename`` in the file.

    Args:
        module: the module.
        tensortype: the type in which the tensors are saved, such as ``'torch.FloatTensor'``; default as they are.
    """

    tensortype: str | None = None

    def __init__(self, module: Module, tensortype: str | None = None) -> None:
        super().__init__(module)
        if tensortype is not None:
            types.parse_type(tensortype)
            self.tensortype = tensortype

    def __deepcopy__(self, memo: dict) -> Serial:
        for module in inside(self):
            for name in module.dpnn_serialEmpty:
                value = module.__dict__.get(name)
                if id(value) not in memo and isinstance(value, (torch.Tensor, list, dict)):
                    memo[id(value)] = _emptied(value)
        return super().__deepcopy__(memo)

    def _restore(self, fields: dict, version: int) -> None:
        done: dict[int, Any] = {}
        super()._restore({name: _revived(value, done) for name, value in fields.items()}, version)


def _revived(value: Any, done: dict[int, Any]) -> Any:
    """``value`` with modules in the place of the tables with a ``dpnn_typename``, as first versions saved them."""
    if isinstance(value, list):
        if id(value) not in done:
            done[id(value)] = value
            value[:] = [_revived(v, done) for v in value]
    elif isinstance(value, dict):
        if id(value) not in done:
            name: Any = value.get("dpnn_typename")
            cls: Any = types.classes.get(name)
            new: Any = value if name is None else Unknown(name, 1) if cls is None else cls.__new__(cls)
            done[id(value)] = new
            for key, v in value.items():
                value[key] = _revived([] if name and type(v) is Table and not v else v, done)
            if name is not None:
                new._restore(value, getattr(cls, "_version", 1))
        return done[id(value)]
    return value


def _write(file: Any, serial: Any) -> Any:
    if isinstance(serial, Unknown):
        yield dict(fields_of(serial))
        return
    module = serial if serial.tensortype is None else serial.clone().type(serial.tensortype)
    yield dict(fields_of(_state(module, {}, _twin)))


register_payload("nn.Serial", write=_write)
