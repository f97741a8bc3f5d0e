"""What surrounds every computation of a module or criterion, put there once when its class is made.

Two things: PyTorch's autograd is off while a module computes (switched once, by the outermost call), and
an exception learns the path of the module it came from on its way out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from itertools import pairwise
from typing import Any, NoReturn

import torch

from ..errors import Error, ModuleError, TensorTypeError
from ..types import typename

_is_grad_enabled = torch.is_grad_enabled
_set_grad_enabled = torch._C._set_grad_enabled


def _one(method: Callable) -> Callable:
    @wraps(method)
    def call(self: Any, input: Any) -> Any:
        if _is_grad_enabled():
            _set_grad_enabled(False)
            try:
                return method(self, input)
            except Exception as error:
                _fail(self, error, input)
            finally:
                _set_grad_enabled(True)
        try:
            return method(self, input)
        except Exception as error:
            _fail(self, error, input)

    return call


def _two(method: Callable) -> Callable:
    @wraps(method)
    def call(self: Any, input: Any, other: Any = None) -> Any:  # a criterion may need no target
        if _is_grad_enabled():
            _set_grad_enabled(False)
            try:
                return method(self, input, other)
            except Exception as error:
                _fail(self, error, input, other)
            finally:
                _set_grad_enabled(True)
        try:
            return method(self, input, other)
        except Exception as error:
            _fail(self, error, input, other)

    return call


def _three(method: Callable) -> Callable:
    @wraps(method)
    def call(self: Any, input: Any, gradOutput: Any, scale: Any = 1) -> Any:
        if _is_grad_enabled():
            _set_grad_enabled(False)
            try:
                return method(self, input, gradOutput, scale)
            except Exception as error:
                _fail(self, error, input, gradOutput)
            finally:
                _set_grad_enabled(True)
        try:
            return method(self, input, gradOutput, scale)
        except Exception as error:
            _fail(self, error, input, gradOutput)

    return call


def _any(method: Callable) -> Callable:
    @wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            with torch.no_grad():
                return method(self, *args, **kwargs)
        except Exception as error:
            _fail(self, error, *args)

    return call


def both(method: Callable) -> Callable:
    """Mark a ``backward`` that is ``updateGradInput`` and ``accGradParameters`` in one.

    A subclass that defines one of these anew, and no ``backward``, gets the ``backward`` that calls them.
    """
    method._both = True
    return method


def optional(updateGradInput: Callable) -> Callable:
    """Mark an ``updateGradInput`` that computes nothing where ``gradInput`` is ``None``, as does ``backward``."""
    updateGradInput._optional = True
    return updateGradInput


GUARDED = {
    "updateOutput": {2: _one, 3: _two},
    "updateGradInput": {3: _two},
    "accGradParameters": {4: _three},
    "backward": {3: _two, 4: _three},
}
"""The methods that compute, and the guard for each usual number of parameters (self included)."""


def guard(cls: type) -> None:
    """Put the guards around the computing methods that ``cls`` itself defines, and see to its ``backward``."""
    own = cls.__dict__
    inherited: Any = getattr(cls, "backward", None)
    if (
        hasattr(inherited, "_both")
        and "backward" not in own
        and ("updateGradInput" in own or "accGradParameters" in own)
    ):
        cls.backward = next(
            base.__dict__["backward"]
            for base in cls.__mro__
            if "backward" in base.__dict__ and not hasattr(base.__dict__["backward"], "_both")
        )
    for name, guards in GUARDED.items():
        method = cls.__dict__.get(name)
        if method is not None:
            code = method.__code__
            variadic = code.co_flags & 0x0C or code.co_kwonlyargcount
            wrapper = _any if variadic else guards.get(code.co_argcount, _any)
            setattr(cls, name, wrapper(method))


def _fail(module: Any, error: Exception, *arguments: Any) -> NoReturn:
    """Raise for ``error``, which came out of a computing method of ``module``, with one step more of its path."""
    cause = error.__cause__
    if not isinstance(error, Error):
        error, cause = _translated(module, error, *arguments), error
    trail = error.__dict__.setdefault("_trail", [])
    if not trail or trail[-1] is not module:
        trail.append(module)
    error.path = _path(trail)
    raise error from cause


def _path(trail: list) -> str:
    """The way down to the failing module, from the outermost container, Torch7's positions in brackets."""
    steps = []
    for child, parent in pairwise(trail):
        several = getattr(parent, "modules", None) or getattr(parent, "criterions", None)
        positions = [str(i) for i, m in enumerate(several or [getattr(parent, "module", None)], 1) if m is child]
        place = f"[{' or '.join(positions)}]" if positions else ""
        steps.append(parent._typename.removeprefix("nn.") + place)
    leaf = trail[0]
    name = leaf._typename if getattr(leaf, "modules", None) is not None else str(leaf).split("\n")[0]
    return " ".join([*reversed(steps), leaf._typename if name.endswith("{") else name])


def _translated(module: Any, error: Exception, *arguments: Any) -> Error:
    """The Error that tells what ``error``, an exception of somebody else's, means."""
    try:
        module._diagnose(*arguments[:1])
    except Error as better:
        return better
    own = getattr(module, "_type", None)
    value = arguments[0] if arguments else None
    if (
        isinstance(error, RuntimeError)
        and own is not None
        and isinstance(value, torch.Tensor)
        and value.is_floating_point()
        and typename(value) != own
    ):
        return TensorTypeError(
            f"the module is of type {own}, the input is a {typename(value)}; convert one of them "
            f"(module.type({typename(value)!r}) or the input)"
        )
    wrong = _no_tensor(error, arguments)
    if wrong is not None:
        return TensorTypeError(f"wanted a tensor, got {describe(wrong[0])}")
    if isinstance(error, (AttributeError, TypeError)) and getattr(module, "output", ()) is None:
        return ModuleError("the module has no output, as if saved without: set module.output = torch.empty(0)")
    if isinstance(error, AttributeError) and _lacks_gradients(module):
        return ModuleError("the module has no gradients, as if saved without: call zeroGradParameters() first")
    text = str(error).split("\n")[0] or type(error).__name__
    name = "" if isinstance(error, RuntimeError) else f"{type(error).__name__}: "
    return ModuleError(f"{name}{text} (got {', '.join(describe(a) for a in arguments)})")


def _no_tensor(error: Exception, arguments: tuple) -> list | None:
    """The argument that was taken for a tensor and is none, in a list."""
    if isinstance(error, AttributeError):
        obj = getattr(error, "obj", error)
        found = [a for a in arguments if a is obj and hasattr(torch.Tensor, error.name or "")]
    elif isinstance(error, TypeError) and "must be Tensor" in str(error):
        found = [a for a in arguments if not isinstance(a, torch.Tensor)]
    else:
        found = []
    return found or None


def _lacks_gradients(module: Any) -> bool:
    pairs = (("weight", "gradWeight"), ("bias", "gradBias"))
    return any(getattr(module, p, None) is not None and getattr(module, g, None) is None for p, g in pairs)


def describe(value: Any) -> str:
    """A tensor by its sizes and type, a table by its entries; for error messages."""
    if isinstance(value, torch.Tensor):
        return f"{'x'.join(map(str, value.shape)) or 'a 0-dimensional'} {typename(value)}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(describe(v) for v in value)}]"
    return typename(value) or type(value).__name__
