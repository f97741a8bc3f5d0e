"""cunn: ``nn.DataParallelTable``, which trains one net on several GPUs. The rest of cunn is what luann does anyway."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from ..errors import ArgumentError, ModuleError
from ..nn._object import Object, need_size
from ..nn.container import Container
from ..nn.module import Module

__all__ = ["DataParallelTable"]


class _Replicas:
    """The net on every device: the first is the table's own module, the others are copies of it.

    Args:
        module: the net.
        devices: where the copies shall be, the first device being where ``module`` is.
        flat: whether parameters are moved from device to device as one vector.
        threaded: whether each device is served by a thread of its own.
    """

    def __init__(self, module: Module, devices: list[torch.device], flat: bool, threaded: bool) -> None:
        self.devices = devices
        self.modules = [module, *(module.clone().type(device) for device in devices[1:])]
        parameters = [[[v] for v in m.getParameters()] if flat else m.parameters() for m in self.modules]
        self.parameters = [p or [] for p, _ in parameters]
        self.gradients = [g or [] for _, g in parameters]
        self.stamp = self._stamp()
        self.pool = ThreadPoolExecutor(len(devices)) if threaded else None

    def run(self, function: Callable[[Module, int], Any], count: int) -> list:
        """``function(replica, position)`` on each of the first ``count`` devices."""

        def one(i: int) -> Any:
            with torch.cuda.device(self.devices[i] if self.devices[i].type == "cuda" else -1):
                return function(self.modules[i], i)

        return list((map if self.pool is None else self.pool.map)(one, range(count)))

    def _stamp(self) -> list[int]:
        return [p._version for p in self.parameters[0]]

    def synchronize(self, anyway: bool = True) -> None:
        """Copy the parameters to the other devices; unless ``anyway``, only if they have changed."""
        stamp = self._stamp()
        if anyway or stamp != self.stamp:
            for parameters in self.parameters[1:]:
                for mine, theirs in zip(parameters, self.parameters[0]):
                    mine.copy_(theirs, non_blocking=True)
            self.stamp = stamp

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

    def _devices(self) -> list[torch.device]:
        """The devices to run on; one or none if the net shall run where it is."""
        first = next(iter(self.modules[0].parameters()[0] or ()), None)
        if first is None or not first.is_cuda:
            return []
        there = torch.cuda.device_count()
        others = [torch.device("cuda", gpu - 1) for gpu in self.gpuAssignments[1:] if gpu <= there]
        return [first.device, *others]

    def _replicas(self) -> _Replicas | None:
        """What runs the net on several devices; ``None`` if it runs on one."""
        if not self.modules:
            raise ModuleError(f"{self._typename} has no module: call add(module, gpus)")
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
            self.output = self.modules[0].updateOutput(input)
            return self.output
        replicas.synchronize(self.needsSync)
        self.needsSync = False
        self._inputs = self._cut(input, replicas)
        outputs = replicas.run(lambda m, i: m.updateOutput(self._inputs[i]), len(self._inputs))
        self.output = self._joined(outputs, replicas.devices[0])
        return self.output

    def updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        return self._backward("updateGradInput", input, gradOutput)

    def accGradParameters(self, input: Any, gradOutput: Any, scale: float = 1) -> None:
        self._backward("accGradParameters", input, gradOutput, scale)

    def backward(self, input: Any, gradOutput: Any, scale: float = 1) -> Any:
        return self._backward("backward", input, gradOutput, scale)

    def _backward(self, method: str, input: Any, gradOutput: Any, *scale: float) -> Any:
        replicas = self._replicas()
        if replicas is None:
            gradInput = getattr(self.modules[0], method)(input, gradOutput, *scale)
        else:
            inputs, grads = self._cut(input, replicas), self._cut(gradOutput, replicas)
            run = replicas.run(lambda m, i: getattr(m, method)(inputs[i], grads[i], *scale), len(inputs))
            gradInput = self._joined(run, replicas.devices[0])
            if scale:
                replicas.reduce()
        if scale:
            self.needsSync = True
        if method != "accGradParameters":
            self.gradInput = gradInput
        return gradInput
