"""The methods that dpnn adds to every module, container and criterion.

They are there as soon as ``luann.contrib`` is imported; none takes the place of a method of nn's own. What dpnn changes
in methods that nn has is here as functions instead:

- :func:`getParameters` also finds modules that are kept in other fields than ``modules``;
- :func:`zeroGradParameters` and :func:`updateParameters` go over what ``sparseParameters`` returns.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch

from ... import random
from ...errors import ArgumentError, ModuleError
from ...nn import (
    BatchNormalization,
    Container,
    Criterion,
    LookupTable,
    Module,
    SpatialConvolution,
    SpatialConvolutionMM,
    SpatialMaxPooling,
)
from ...nn._flatten import flatten
from ...nn._kernels import resized
from ...nn._object import given, need_number
from ...t7.payloads import register_payload
from . import serial
from .serial import getSerialState, heavySerial, lightSerial, mediumSerial, serialMode
from .sharing import inside, sharedClone


def sparseParameters(self: Any) -> tuple:
    """``parameters()``, and two entries more: the learning rate of each parameter relative to the others (``None``
    where they are equal) and the number of parameters.
    """
    parameters, gradParameters = self.parameters()
    return parameters, gradParameters, None, len(parameters or ())


def zeroGradParameters(module: Any) -> None:
    """Set the gradients of ``module.sparseParameters()`` to zero."""
    for grad in module.sparseParameters()[1] or ():
        grad.zero_()


def updateParameters(module: Any, learningRate: float) -> None:
    """Subtract ``learningRate`` times the gradients of ``module.sparseParameters()``, and times the parameter's own
    rate where there is one.
    """
    parameters, gradParameters, scales, _ = module.sparseParameters()
    for i, parameter in enumerate(parameters or ()):
        scale = 1 if not scales or scales[i] is None else scales[i]
        parameter.add_(gradParameters[i], alpha=-learningRate * scale)


def getParameters(module: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """As ``module.getParameters()``, and modules count as well that it keeps in other fields than ``modules``, also in
    tables there. So the clones by which a recurrent module goes through time share their memory afterwards, too.
    """
    parameters: list[torch.Tensor] = []
    gradParameters: list[torch.Tensor] = []
    for found in inside(module):
        p, g = found.parameters()
        parameters += p or []
        gradParameters += g or []
    return flatten(parameters), flatten(gradParameters)


def Serial(self: Any, tensortype: str | None = None) -> Any:
    """This module in an ``nn.Serial``."""
    return serial.Serial(self, tensortype)


def outside(self: Any, insize: int | list[int]) -> torch.Size:
    """The size of the output for an input of the size ``insize``, a number or a list of them.

    The input that is tried is drawn from a normal distribution.
    """
    return self.updateOutput(random.randn(*(insize if isinstance(insize, (list, tuple)) else [insize]))).shape


def accept(self: Any, visitor: Any) -> None:
    """``visitor.visit(self)``."""
    visitor.visit(self)


def _leaves(self: Any, method: str, *arguments: Any) -> bool:
    """Call a method on all modules in ``modules``; false if there is no such list."""
    if self.modules is None:
        return False
    for module in self.modules:
        getattr(module, method)(*arguments)
    return True


def _own(self: Any, name: str, value: Any) -> Any:
    """The setting kept in the field ``name`` of a module, which goes before the argument ``value``."""
    mine = getattr(self, name, None)
    return value if mine is None else mine


def maxParamNorm(self: Any, maxOutNorm: float | None = None, maxInNorm: float | None = None) -> None:
    """Scale down the rows and columns of parameters whose norm is above a limit; vectors are left alone.

    Args:
        maxOutNorm: the limit for what leads to an output, each slice along the first dimension. ``None``, or a number
            that is not above 0, is no limit. A field of this name in a module goes before the argument.
        maxInNorm: the limit for what an input leads to, each slice along the last dimension; likewise.
    """
    maxOutNorm, maxInNorm = _own(self, "maxOutNorm", maxOutNorm), _own(self, "maxInNorm", maxInNorm)
    if maxOutNorm is None and maxInNorm is None:
        return
    need_number(self, maxOutNorm=given(maxOutNorm, 0), maxInNorm=given(maxInNorm, 0))
    if not _leaves(self, "maxParamNorm", maxOutNorm, maxInNorm):
        for parameter in self.parameters()[0] or ():
            if parameter.dim() > 1:
                _renorm(parameter, 0, maxOutNorm)
                _renorm(parameter, parameter.dim() - 1, maxInNorm)


def _renorm(parameter: torch.Tensor, dim: int, limit: float | None) -> None:
    """Torch7's ``renorm``, which divides by the norm and 1e-7, as PyTorch's does."""
    if limit is not None and limit > 0:
        parameter.renorm_(2, dim, limit)


def _lookup_maxParamNorm(self: Any, maxOutNorm: float | None = None, maxInNorm: float | None = None) -> None:
    """As for other modules; here the columns lead to the outputs, and the rows belong to the inputs.

    Args:
        maxOutNorm: the limit for each column; without one, ``maxInNorm`` is taken for it as well.
        maxInNorm: the limit for each row.
    """
    need_number(self, maxOutNorm=given(maxOutNorm, 0), maxInNorm=given(maxInNorm, 0))
    limit = next(
        (
            v
            for v in (getattr(self, "maxOutNorm", None), maxOutNorm, getattr(self, "maxInNorm", None), maxInNorm)
            if v is not None
        ),
        None,
    )
    _renorm(self.weight, 1, limit)
    _renorm(self.weight, 0, maxInNorm)


def gradParamClip(self: Any, cutoffNorm: float, moduleLocal: bool | None = None) -> float | None:
    """Scale down the gradients of the parameters so that their norm is ``cutoffNorm`` at most.

    Args:
        cutoffNorm: the limit; 0 or less is none. A field of this name in a module goes before the argument.
        moduleLocal: limit the norm of each module that holds no others, and not that of all together. Likewise.

    Returns:
        The norm from before; ``None`` without a limit.
    """
    cutoffNorm, moduleLocal = _own(self, "cutoffNorm", cutoffNorm), _own(self, "moduleLocal", moduleLocal)
    need_number(self, cutoffNorm=cutoffNorm)
    if cutoffNorm <= 0:
        return None
    if moduleLocal and self.modules is not None:
        norms = [module.gradParamClip(cutoffNorm, moduleLocal) for module in self.modules]
        return math.hypot(*(norm for norm in norms if norm is not None))
    grads = self.parameters()[1]
    if not grads:
        return 0
    vector_norm = torch.linalg.vector_norm
    norm = vector_norm(torch.stack([vector_norm(grad, dtype=torch.float64) for grad in grads])).item()
    if norm > cutoffNorm:
        for grad in grads:
            grad.mul_(cutoffNorm / norm)
    return norm


def weightDecay(self: Any, wdFactor: float, wdMinDim: int | None = None) -> None:
    """Add ``wdFactor`` times the parameters to their gradients.

    Args:
        wdFactor: 0 or less does nothing. A field of this name in a module goes before the argument.
        wdMinDim: parameters with fewer dimensions are left alone; default 2, which leaves out biases. Likewise.
    """
    wdFactor, wdMinDim = _own(self, "wdFactor", wdFactor), given(_own(self, "wdMinDim", wdMinDim), 2)
    need_number(self, wdFactor=wdFactor, wdMinDim=wdMinDim)
    if wdFactor <= 0:
        return
    if not _leaves(self, "weightDecay", wdFactor, wdMinDim):
        for parameter, grad in _pairs(self):
            if parameter.dim() >= wdMinDim:
                grad.add_(parameter, alpha=wdFactor)


def _pairs(module: Any) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    parameters, gradParameters = module.parameters()
    return zip(parameters or (), gradParameters or ())


def momentumGradParameters(self: Any) -> list[torch.Tensor] | None:
    """The moving averages of the gradients, in the order of ``parameters()``; at first copies of the gradients.

    Returns:
        The list, kept in the field ``momGradParams``; ``None`` if there are no parameters.
    """
    if not getattr(self, "momGradParams", None):
        grads = self.parameters()[1]
        if not grads:
            return None
        self.momGradParams = [grad.clone(memory_format=torch.contiguous_format) for grad in grads]
    return self.momGradParams


def updateGradParameters(
    self: Any, momFactor: float, momDamp: float | None = None, momNesterov: bool | None = None
) -> None:
    """Learning with momentum: the gradients are replaced by their moving average, module by module.

    The average becomes ``momFactor`` times itself plus ``1 - momDamp`` times the gradient.

    Args:
        momFactor: 0 or less does nothing. A field of this name in a module goes before the argument, as for the others.
        momDamp: the damping; default ``momFactor``.
        momNesterov: the gradient gets ``momFactor`` times the average added instead.
    """
    momFactor = _own(self, "momFactor", momFactor)
    momDamp, momNesterov = given(_own(self, "momDamp", momDamp), momFactor), _own(self, "momNesterov", momNesterov)
    need_number(self, momFactor=momFactor, momDamp=momDamp)
    if momFactor <= 0:
        return
    if not _leaves(self, "updateGradParameters", momFactor, momDamp, momNesterov):
        averages = self.momentumGradParameters() or ()
        for average, (_, grad) in zip(averages, _pairs(self)):
            average.mul_(momFactor).add_(grad, alpha=1 - momDamp)
            if momNesterov:
                grad.add_(average, alpha=momFactor)
            else:
                grad.copy_(average)


def checkParameters(self: Any) -> None:
    """Raise a ModuleError if the sum of a parameter is not a number."""
    for i, parameter in enumerate(self.parameters()[0] or (), 1):
        if torch.isnan(parameter.sum()):
            raise ModuleError(f"parameter {i} of {str(self).partition(chr(10))[0]} holds nan")


def dontBackward(self: Any, enable: bool | None = None) -> Any:
    """Make ``backward`` of this module do nothing and return ``None``; returns the module.

    As in Torch7 functions in fields of the module do it. They cannot be saved: before that, take them out.

    Args:
        enable: default true; false has the module go backward again.
    """
    for name in ("updateGradInput", "accGradParameters", "accUpdateGradParameters", "backward"):
        if enable is False:
            self.__dict__.pop(name, None)
        else:
            self.__dict__[name] = _nothing
    return self


class _Nothing:
    """A function that does nothing, and has a word to say when it is saved."""

    _typename = "dpnn.dontBackward"

    def __call__(self, *_: Any) -> None:
        pass

    def __reduce__(self) -> str:
        return "_nothing"


_nothing = _Nothing()


def _refuse_to_write(file: Any, nothing: _Nothing) -> None:
    raise ArgumentError(
        "this function of dontBackward() has no form in a file: call dontBackward(False) on the module before it is "
        "saved, and dontBackward() again afterwards and when it is loaded"
    )


register_payload(_Nothing._typename, write=_refuse_to_write)


def contiguousInput(self: Any, input: torch.Tensor, backward: bool | None = None) -> torch.Tensor:
    """``input``, or a copy of it if it is not contiguous.

    Args:
        backward: give what the last call gave, if that was a copy.
    """
    kept = getattr(self, "dpnn_cinput", None)
    if backward:
        return input if kept is None else kept
    if input.is_contiguous():
        return input
    if kept is None:
        kept = self.dpnn_cinput = torch.empty(0, dtype=input.dtype, device=input.device)
    return resized(kept, input.shape).copy_(input)


def toBatch(self: Any, tensor: torch.Tensor, nDim: int, batchDim: int | None = None) -> torch.Tensor:
    """``tensor`` as a batch: if it has ``nDim`` dimensions, a view with one more, of size 1, at ``batchDim`` (default
    1). :meth:`fromBatch` takes it off again.
    """
    self.dpnn_online = tensor.dim() == nDim
    return tensor.unsqueeze((batchDim or 1) - 1) if self.dpnn_online else tensor


def fromBatch(self: Any, tensor: torch.Tensor, batchDim: int) -> torch.Tensor:
    """``tensor`` without its dimension ``batchDim``, if the last :meth:`toBatch` added one."""
    if not getattr(self, "dpnn_online", None):
        return tensor
    if tensor.shape[batchDim - 1] != 1:
        raise ArgumentError(f"fromBatch: dimension {batchDim} must be of size 1, got {tuple(tensor.shape)}")
    return tensor.squeeze(batchDim - 1)


def reinforce(self: Any, reward: Any) -> None:
    """Give all modules that reinforce the reward for their last output; see :class:`Reinforce`."""
    _leaves(self, "reinforce", reward)


def extend(self: Any, *modules: Any) -> Any:
    """Add several modules; returns the container."""
    for module in modules:
        self.add(module)
    return self


def _install() -> None:
    parameters, medium = ["weight", "bias"], ["output", "gradInput", "momGradParams", "dpnn_input"]
    gradParameters = ["gradWeight", "gradBias"]
    convolution = {"dpnn_mediumEmpty": [*medium, "finput", "fgradinput", "_input", "_gradOutput"]}
    added: dict[Any, dict[str, Any]] = {
        Module: {
            "dpnn_parameters": parameters,
            "dpnn_gradParameters": gradParameters,
            "dpnn_mediumEmpty": medium,
            "dpnn_lightEmpty": gradParameters,
            "dpnn_serialEmpty": [],
            **{
                method.__name__: method
                for method in (
                    sharedClone,
                    sparseParameters,
                    serialMode,
                    heavySerial,
                    mediumSerial,
                    lightSerial,
                    getSerialState,
                    Serial,
                    outside,
                    accept,
                    maxParamNorm,
                    gradParamClip,
                    weightDecay,
                    momentumGradParameters,
                    updateGradParameters,
                    checkParameters,
                    dontBackward,
                    contiguousInput,
                    toBatch,
                    fromBatch,
                    reinforce,
                )
            },
        },
        Container: {"extend": extend},
        Criterion: {"toBatch": toBatch, "fromBatch": fromBatch},
        LookupTable: {"maxParamNorm": _lookup_maxParamNorm},
        BatchNormalization: {
            "dpnn_parameters": [*parameters, "running_mean", "running_var"],
            "dpnn_mediumEmpty": [*medium, "buffer", "buffer2", "centered", "std", "normalized", "output", "gradInput"],
        },
        SpatialMaxPooling: {"dpnn_mediumEmpty": [*medium, "indices"]},
        SpatialConvolution: convolution,
        SpatialConvolutionMM: convolution,
    }
    for cls, members in added.items():
        for name, member in members.items():
            setattr(cls, name, member)


_install()
