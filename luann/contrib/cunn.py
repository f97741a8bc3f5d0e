"""cunn: ``nn.DataParallelTable``, which trains one net on several GPUs. The rest of cunn is what luann does anyway."""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import torch

from ..errors import ArgumentError, ModuleError
from ..nn._object import need_size
from ..nn.container import Container
from ..nn.module import Module

__all__ = ["DataParallelTable"]


class _Replicas:
    """The net on every device: the first is the table's own module, the others are copies of it.

    Args:
        module: the net.
        devices: where the copies shall be, the first device being where ``module`` is.
        flat: whether parameters go from device to device as one vector.
        threaded: whether each device is served by a thread of its own. Without, one thread starts the work of all,
            which the GPUs do side by side as it is.
    """

    def __init__(self, module: Module, devices: list[torch.device], flat: bool, threaded: bool) -> None:
        self.devices = devices
        self.modules = [module, *(module.clone().type(device) for device in devices[1:])]
        pairs = [[[v] for v in m.getParameters()] if flat else m.parameters() for m in self.modules]
        self.parameters = [p or [] for p, _ in pairs]
        self.gradients = [g or [] for _, g in pairs]
        for gradients in self.gradients[1:]:
            for gradient in gradients:
                gradient.zero_()
        self.pool = ThreadPoolExecutor(len(devices)) if threaded else None
        self.inputs: list = []
        """The parts of the last input."""

    def run(self, function: Callable[[Module, int], Any]) -> list:
        """``function(replica, position)`` on each device that has a part of the input."""

        def one(i: int) -> Any:
            device = self.devices[i]
            with torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext():
                return function(self.modules[i], i)

        return list((map if self.pool is None else self.pool.map)(one, range(len(self.inputs))))

    def synchronize(self) -> None:
        """Copy the parameters to the other devices."""
        for parameters in self.parameters[1:]:
            for mine, theirs in zip(parameters, self.parameters[0]):
                mine.copy_(theirs, non_blocking=True)

    def reduce(self) -> None:
        """Add the gradients of the other devices to those of the first, and set them to zero."""
        for gradients in self.gradients[1:]:
            for theirs, mine in zip(self.gradients[0], gradients):
                theirs.add_(mine.to(theirs.device))
                mine.zero_()


class DataParallelTable(Container):
    """A net of which every GPU computes a part of the batch.

    The input (a tensor, or a table of tensors) is cut along ``dimension``, as evenly as can be; each GPU has a copy of
    the net and computes its part; the outputs are put together again. The gradients with respect to the parameters add
    up in the net that was given, which is the one that is updated and saved. On a machine with less than two of the
    GPUs that were assigned, or when the net is not of a Cuda type, this is just the net.

    As in Torch7, what a net keeps beside its parameters, such as running means, is each copy's own, and that of the
    first is saved.

    Args:
        dimension: the dimension to cut, counted from 1.
        flattenParams: move the parameters from GPU to GPU as one vector, default no.
        usenccl: without effect: PyTorch has its own way.

    ``DataParallelTable.deserializeNGPUs``, set to a number n, makes files load onto the GPUs 1 to n.
    """

    _version = 3
    deserializeNGPUs: int | None = None
    flattenedParams: list | None = None
    flattenParams = False
    needsSync = False
    _threaded = False
    _file_names = {"_threaded": None}

    def __init__(self, dimension: int, flattenParams: bool | None = None, usenccl: bool | None = None) -> None:
        super().__init__()
        need_size(self, dimension=dimension)
        self.dimension = dimension
        self.gpuAssignments: list[int] = []
        self.inputGpu: list = []
        self.gradOutputGpu: list = []
        self.outputGpu: list = []
        self.gradInputGpu: list = []
        self.flattenParams = bool(flattenParams)
        self.usenccl = False
        self.needsSync = False
        if usenccl and not flattenParams:
            raise ArgumentError(f"{self._typename}: usenccl wants flattenParams")

    def _restore(self, fields: dict, version: int) -> None:
        super()._restore(fields, version)
        if version < 2:  # with all replicas, and what each had last computed
            del self.modules[1:]
            self.inputGpu, self.gradOutputGpu, self.outputGpu, self.gradInputGpu = [], [], [], []
            if self.flattenedParams is not None:
                self.flattenedParams = self.flattenedParams[:1]
        if self.deserializeNGPUs is not None:
            self.gpuAssignments = list(range(1, self.deserializeNGPUs + 1))

    def add(self, module: Module, gpus: int | list[int]) -> DataParallelTable:  # type: ignore[override]
        """Give the net, and the GPUs it shall run on; returns the table.

        Args:
            module: the net. In calls after the first it is ignored.
            gpus: the numbers of the GPUs, from 1; or one of them, and the method is called again for each.
        """
        if isinstance(gpus, int):
            if not self.modules:
                super().add(module)
            self.gpuAssignments.append(gpus)
            return self
        if not isinstance(gpus, (list, tuple)) or not gpus:
            raise ArgumentError(f"{self._typename}: add() takes a module and a list of GPUs, got {gpus!r}")
        if self.modules:
            raise ArgumentError(f"{self._typename}: there is a module already")
        super().add(module)
        self.gpuAssignments = list(gpus)
        return self

    def threads(self, initFunc: Callable | None = None) -> DataParallelTable:
        """Serve each GPU by a thread of its own; returns the table. ``initFunc`` is not called: what it would load into
        other Lua states is here anyway.
        """
        self._threaded = True
        self._cache = None
        return self

    # The replicas

    def _place(self) -> torch.device | None:
        """Where the net is; ``None`` if it has no parameters."""
        first = next(iter(self.modules[0].parameters()[0] or ()), None)
        return None if first is None else first.device

    def _devices(self) -> list[torch.device]:
        """The devices to run on, if there are several."""
        place = self._place()
        if place is None or place.type != "cuda":
            return []
        there = torch.cuda.device_count()
        return [place, *(torch.device("cuda", gpu - 1) for gpu in self.gpuAssignments[1:] if gpu <= there)]

    def _replicas(self) -> _Replicas | None:
        """What runs the net on several devices; ``None`` if it runs on one."""
        if not self.modules:
            raise ModuleError("it has no module: call add(module, gpus)")
        if self._cache is None:
            devices = self._devices()
            several = len(devices) > 1
            self._cache = (
                _Replicas(self.modules[0], devices, self.flattenParams, self._threaded) if several else None,
            )
        return self._cache[0]

    def flattenParameters(self) -> None:
        """Move the parameters into one vector, and the gradients into another: the one entry of
        ``flattenedParams``.
        """
        if self._cache is not None and not self.flattenParams:
            self._cache = None
        self.flattenedParams = [list(self.modules[0].getParameters())]
        self.flattenParams = True

    def getParameters(self) -> tuple[torch.Tensor, torch.Tensor]:
        self.flattenParameters()
        assert self.flattenedParams is not None
        return self.flattenedParams[0][0], self.flattenedParams[0][1]

    def syncParameters(self) -> None:
        """Copy the parameters to the other GPUs. ``forward`` does that by itself when they have changed."""
        replicas = self._replicas()
        if replicas is not None:
            replicas.synchronize()
        self.needsSync = False

    # Computing

    def updateOutput(self, input: Any) -> Any:
        replicas = self._replicas()
        if replicas is None:
            self.output = self.modules[0].updateOutput(_moved(input, self._place()))
            return self.output
        if self.needsSync or self.train:
            self.syncParameters()
        inputs = replicas.inputs = self._cut(input, replicas.devices)
        self.output = self._joined(replicas.run(lambda m, i: m.updateOutput(inputs[i])), replicas.devices[0])
        return self.output

    def updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        return self._backward("updateGradInput", input, gradOutput)

    def accGradParameters(self, input: Any, gradOutput: Any, scale: float = 1) -> None:
        self._backward("accGradParameters", input, gradOutput, scale)

    def backward(self, input: Any, gradOutput: Any, scale: float = 1) -> Any:
        return self._backward("backward", input, gradOutput, scale)

    def _backward(self, method: str, input: Any, gradOutput: Any, *scale: float) -> Any:
        """One of the three methods above, which have a ``scale`` if gradients of the parameters are wanted."""
        replicas = self._replicas()
        if replicas is None:
            place = self._place()
            gradInput = getattr(self.modules[0], method)(_moved(input, place), _moved(gradOutput, place), *scale)
        else:
            inputs, grads = replicas.inputs, self._cut(gradOutput, replicas.devices)
            parts = replicas.run(lambda m, i: getattr(m, method)(inputs[i], grads[i], *scale))
            gradInput = self._joined(parts, replicas.devices[0])
            if scale:
                replicas.reduce()
        if scale:
            self.needsSync = True
        if method == "accGradParameters":
            return None
        self.gradInput = gradInput
        return gradInput

    def _cut(self, value: Any, devices: list[torch.device]) -> list:
        """The parts of a tensor or table, each on its device; fewer than there are devices if there is too little."""
        parts = [self._part(value, i, len(devices), device) for i, device in enumerate(devices)]
        filled = [_has_data(part) for part in parts]
        return parts[: max(1, filled.index(False))] if False in filled else parts

    def _part(self, value: Any, i: int, count: int, device: torch.device) -> Any:
        if isinstance(value, (list, tuple)):
            return [self._part(v, i, count, device) for v in value]
        dimension = self.dimension - 1
        size = value.shape[dimension]
        begin, end = (-(-n * size // count) for n in (i, i + 1))
        return value.narrow(dimension, begin, end - begin).to(device, non_blocking=True)

    def _joined(self, parts: list, device: torch.device) -> Any:
        """The parts put together again, on ``device``."""
        if isinstance(parts[0], list):
            return [self._joined(list(column), device) for column in zip(*parts)]
        if parts[0] is None:
            return None
        return torch.cat([part.to(device, non_blocking=True) for part in parts], self.dimension - 1)

    # What else concerns the replicas

    def parameters(self) -> tuple[Any, Any]:
        """The net's parameters and their gradients."""
        return self.modules[0].parameters()

    def updateParameters(self, learningRate: float) -> None:
        super().updateParameters(learningRate)
        self.needsSync = True

    def reset(self, stdv: float | None = None) -> None:
        super().reset(stdv)
        self.needsSync = True

    def training(self) -> None:
        super().training()
        self._tell(lambda module: module.training())

    def evaluate(self) -> None:
        super().evaluate()
        self._tell(lambda module: module.evaluate())

    def _tell(self, function: Callable[[Module], Any]) -> None:
        """Call ``function`` on the replicas, if there are any now."""
        if self._cache is not None and self._cache[0] is not None:
            for module in self._cache[0].modules[1:]:
                function(module)

    def apply(self, callback: Callable[[Module], Any]) -> None:
        super().apply(callback)
        self._cache = None  # made anew, since the net may be another

    def replace(self, callback: Callable[[Module], Module]) -> Module:
        self._cache = None
        return super().replace(callback)

    def clone(self, *names: str) -> Any:
        """A deep copy; nothing can be shared with it."""
        if names:
            self.share(self, *names)
        return super().clone()

    def share(self, mlp: Module, *names: str) -> NoReturn:
        """Not possible: raises a ModuleError. Share with the net, ``get(1)``, before the first ``forward``."""
        raise ModuleError(f"{self._typename} cannot share tensors; let its net, get(1), share them before it is added")

    def accUpdateGradParameters(self, input: Any, gradOutput: Any, lr: float) -> NoReturn:
        """Not possible: raises a ModuleError, as Torch7 does."""
        raise ModuleError(f"{self._typename} has no accUpdateGradParameters: use backward and updateParameters")

    def __tostring__(self) -> str:
        net = self.modules[0].__tostring__() if self.modules else "nil"
        return f"DataParallelTable: {len(self.gpuAssignments)} x {net}"


def _moved(value: Any, device: torch.device | None) -> Any:
    """A tensor, or the tensors of a table, on ``device``."""
    if device is None:
        return value
    if isinstance(value, (list, tuple)):
        moved = [_moved(v, device) for v in value]
        return value if all(map(operator.is_, moved, value)) else moved
    return value.to(device) if isinstance(value, torch.Tensor) else value


def _has_data(value: Any) -> bool:
    return any(map(_has_data, value)) if isinstance(value, list) else value.numel() > 0
