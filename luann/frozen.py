"""``freeze``: a copy of a net that only computes outputs, and does it faster.

What is folded and fused: batch normalisation into the convolution or linear layer before it; rectifiers into
convolutions; the sum of two branches into the last convolution of one of them. Dropout and Identity are left out.
Images stay channels-last between layers, and weights are prepared for the kernel that the first forward chooses.
Sequential, ConcatTable, ParallelTable, Concat, CAddTable and the graphs of nngraph are gone into; of every other module
there is a copy in evaluation.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Callable
from typing import Any, NoReturn

import torch

from . import nn, nngraph
from .errors import ArgumentError, ModuleError, ShapeError, TensorTypeError
from .nn import _kernels as kernels
from .nn import _winograd
from .nn._guard import describe
from .nn._pointwise import Pointwise
from .nn.convolution._base import _Convolution
from .nn.pooling._kernels import LAST_PLANES, pooled_sizes
from .nngraph.graph import entries
from .t7 import register_payload
from .types import typename

Step = Callable[[Any], Any]

_fused = kernels._private("mkldnn", "_convolution_pointwise")
_fused_sum = kernels._private("mkldnn", "_convolution_pointwise", "binary")
_pack = getattr(torch._C._nn, "mkldnn_reorder_conv2d_weight", None)
_DROPPED = (nn.Identity, nn.Dropout)


def freeze(model: nn.Module) -> Frozen:
    """A copy of ``model`` as it is in evaluation, for inference alone; ``model`` stays as it is.

    Outputs are the same up to rounding: in float, to about 1e-6 of the largest. What is done to ``model`` afterwards,
    training or conversion, does not reach the copy. Convert first, to a type and a device, then freeze.

    Args:
        model: any module. The more of it consists of convolutions with batch normalisation, the more is gained.

    Raises:
        ArgumentError: this is no module.
    """
    if not isinstance(model, nn.Module):
        raise ArgumentError(f"freeze() takes a module, got {type(model).__name__}")
    twin = model.clone()
    twin.clearState()
    twin.evaluate()
    for module in twin.listModules():
        module.gradWeight = module.gradBias = None
    return Frozen(twin)


class Frozen(nn.Module):
    """What :func:`freeze` gives. It has no parameters, no gradients and no training; it cannot be saved.

    Input, output: those of the net that it was made from. The output is a new tensor in each call, of which the field
    ``output`` is set to the last.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.train = False
        self._type = model.type()
        self._text = str(model)
        self._steps = _steps(model)
        self.gradInput = None

    def updateOutput(self, input: Any) -> Any:
        result = _plain(_run(self._steps, input))
        mine = self.output
        if isinstance(result, torch.Tensor) and isinstance(mine, torch.Tensor) and mine.dtype == result.dtype:
            return mine.set_(result)
        self.output = result
        return result

    def _diagnose(self, input: Any) -> None:
        if isinstance(input, torch.Tensor) and typename(input) != self._type:
            raise TensorTypeError(f"the net was frozen as {self._type}, the input is a {typename(input)}: convert that")

    def updateGradInput(self, input: Any, gradOutput: Any) -> NoReturn:
        raise ModuleError("a frozen net computes outputs only: call backward on the net that it was made from")

    def training(self) -> NoReturn:
        raise ModuleError("a frozen net cannot be trained: train the net that it was made from, and freeze that again")

    def type(self, type: Any = None, tensorCache: dict | None = None) -> Any:
        if type is None or type == self._type:
            return self._type if type is None else self
        raise ModuleError(
            f"a frozen net stays {self._type}: convert the net that it was made from, and freeze that again"
        )

    def clearState(self) -> Frozen:
        if isinstance(self.output, torch.Tensor):
            self.output.set_(self.output.new_empty(0))
        return self

    def __tostring__(self) -> str:
        return f"{self._typename} @ {self._text}"


def _refuse(file: Any, frozen: Frozen) -> NoReturn:
    raise ArgumentError("a frozen net has no form in Torch7: save the net that it was made from")


register_payload(Frozen._typename, write=_refuse)


def _run(steps: list[Step], value: Any) -> Any:
    for step in steps:
        value = step(value)
    return value


def _plain(value: Any) -> Any:
    """Tensors as other modules want them, contiguous."""
    if isinstance(value, torch.Tensor):
        return value.contiguous()
    return [_plain(v) for v in value] if isinstance(value, list) else value


# The steps


class _Layer:
    """A module as it is."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.keeps = isinstance(module, Pointwise)  # the layout of its input
        if self.keeps:
            module.channels_last()

    def __call__(self, value: Any) -> Any:
        return self.module.updateOutput(value if self.keeps else _plain(value))


class _Convolve:
    """A 2D convolution, then perhaps a sum with something else and a rectifier."""

    def __init__(self, module: _Convolution) -> None:
        weight, bias = module._filters()
        _, (self.stride, self.padding, self.dilation, _, _, self.groups) = module._opened(None)
        self.weight, self.bias = weight, bias
        self.wanted = f"{module.nInputPlane} x H x W, or a batch of these"
        self.relu = False
        self.chosen: Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor] | None = None
        self.prepared: Any = None  # the weight as the chosen kernel takes it

    def fold(self, scale: torch.Tensor, shift: torch.Tensor) -> None:
        """Multiply the output's planes by ``scale``, and add ``shift``."""
        self.weight = self.weight * scale.view(-1, 1, 1, 1)
        self.bias = shift if self.bias is None else self.bias * scale + shift

    def __deepcopy__(self, memo: dict) -> _Convolve:
        twin = copy.copy(self)
        twin.chosen = twin.prepared = None
        return twin

    def _choose(self, x: torch.Tensor) -> Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]:
        """The kernel for inputs such as the first, for which the weight is prepared."""
        n, planes = len(x), len(self.weight)
        size = self._size(x)
        plain = self.dilation == (1, 1) and self.groups == 1 and x.dtype is self.weight.dtype
        if plain and kernels.plan_for(x, self.weight, size, self.stride).forward == "winograd":
            self.prepared = _winograd.filters(self.weight)
            return self._by_winograd
        usable = kernels.PRIVATE and None not in (_fused, _fused_sum, _pack) and torch.backends.mkldnn.is_available()
        large = 2 * n * math.prod(size) * self.weight.numel() >= kernels.CONVOLUTION_FLOPS
        wide = planes >= LAST_PLANES  # what follows would be slow with few planes innermost
        single = x.dtype is torch.float32 and self.weight.dtype is torch.float32
        if usable and large and wide and single and x.is_cpu:
            settings = (self.padding, self.stride, self.dilation, self.groups, x.shape)
            self.prepared = _pack(self.weight.to_mkldnn(), *settings)  # type: ignore[misc]
            return self._by_onednn
        return self._unprepared

    def _size(self, x: torch.Tensor) -> tuple[int, int]:
        """The sizes of a plane of the output."""
        height, width = (
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(x.shape[2:], self.weight.shape[2:], self.stride, self.padding, self.dilation)
        )
        if height < 1 or width < 1:
            raise ShapeError(f"wanted {self.wanted}, as large as the kernel, got {describe(x)}")
        return height, width

    def __call__(self, x: Any, other: torch.Tensor | None = None) -> Any:
        if x.dim() == 3:
            return self(x.unsqueeze(0), other if other is None else other.unsqueeze(0)).squeeze(0)
        if x.dim() != 4 or x.shape[1] != self.weight.shape[1] * self.groups:
            raise ShapeError(f"wanted {self.wanted}, got {describe(x)}")
        if self.chosen is None:
            self.chosen = self._choose(x)
        return self.chosen(x, other)

    def _unprepared(self, x: torch.Tensor, other: torch.Tensor | None) -> torch.Tensor:
        settings = (self.stride, self.padding, self.dilation, False, (0, 0), self.groups)
        y = torch.empty(0, dtype=x.dtype, device=x.device)
        kernels.convolution(y, x, self.weight, self.bias, settings)
        return self._finished(y, other)

    def _by_winograd(self, x: torch.Tensor, other: torch.Tensor | None) -> torch.Tensor:
        size = (len(x), len(self.weight), *self._size(x))
        y = torch.empty(size, dtype=x.dtype, memory_format=torch.channels_last)
        _winograd.convolve(y, x, self.prepared, self.bias, self.padding)
        return self._finished(y, other)

    def _finished(self, y: torch.Tensor, other: torch.Tensor | None) -> torch.Tensor:
        if other is not None:
            y.add_(other)
        return y.relu_() if self.relu else y

    def _by_onednn(self, x: torch.Tensor, other: torch.Tensor | None) -> torch.Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        where = (self.prepared, self.bias, self.padding, self.stride, self.dilation, self.groups)
        if other is None:
            return _fused(x, *where, "relu" if self.relu else "none", [], "")
        other = other.contiguous(memory_format=torch.channels_last)
        return _fused_sum(x, other, *where, "add", 1, "relu" if self.relu else None, [], None)


class _Multiply:
    """A linear layer, then perhaps a rectifier."""

    def __init__(self, module: nn.Linear) -> None:
        self.module = module
        self.relu = False

    @property
    def weight(self) -> torch.Tensor:
        return self.module.weight

    def fold(self, scale: torch.Tensor, shift: torch.Tensor) -> None:
        """Multiply the output by ``scale``, and add ``shift``."""
        module = self.module = self.module.clone()  # it may be in other places, too
        module.weight.mul_(scale.view(-1, 1))
        module.bias = shift if module.bias is None else module.bias.mul_(scale).add_(shift)

    def __call__(self, x: Any) -> Any:
        y = self.module.updateOutput(_plain(x))
        return y.relu_() if self.relu else y


class _Scale:
    """Batch normalisation that nothing could take up, then perhaps a rectifier."""

    def __init__(self, scale: torch.Tensor, shift: torch.Tensor, dims: int) -> None:
        size = (-1, *[1] * (dims - 2))
        self.scale, self.shift = scale.view(size), shift.view(size)
        self.dims = dims
        self.relu = False

    def __call__(self, x: Any) -> Any:
        y = torch.addcmul(self.shift, x if x.dim() == self.dims else x.unsqueeze(0), self.scale)
        return y.relu_() if self.relu else y


class _Pool:
    """Pooling over images; those that lie channels-last in memory stay so."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def __call__(self, x: Any) -> Any:
        window, step, padding, dilation, ceil = settings = self.module._settings()
        size, inside = pooled_sizes(x.shape, settings)
        if not kernels.lies_last(x) or x.shape[1] < LAST_PLANES or size != inside:
            return self.module.updateOutput(_plain(x))
        if isinstance(self.module, nn.SpatialAveragePooling):
            return torch._C._nn.avg_pool2d(x, window, step, padding, ceil, self.module.count_include_pad)
        return torch.max_pool2d(x, window, step, padding, dilation, ceil)


class _Branches:
    """What each of several rows of steps makes of the same input, or each of its own; joined along a dimension if there
    is one.
    """

    def __init__(self, branches: list[list[Step]], own: bool = False, dimension: int | None = None) -> None:
        self.branches, self.own, self.dimension = branches, own, dimension

    def __call__(self, value: Any) -> Any:
        values = value if self.own else [value] * len(self.branches)
        results = [_run(steps, v) for steps, v in zip(self.branches, values)]
        return results if self.dimension is None else torch.cat(results, self.dimension)


class _Sum:
    """The sum of two branches, the second of which ends with a convolution that adds the first, then perhaps a
    rectifier.
    """

    def __init__(self, first: list[Step], second: list[Step], last: _Convolve) -> None:
        self.first, self.second, self.last = first, second, last

    @property
    def relu(self) -> bool:
        return self.last.relu

    @relu.setter
    def relu(self, value: bool) -> None:
        self.last.relu = value

    def __call__(self, value: Any) -> Any:
        other = _run(self.first, value)
        return self.last(_run(self.second, value), other)


class _Add:
    """The sum of a table, then perhaps a rectifier."""

    relu = False

    def __call__(self, values: Any) -> Any:
        y = torch.add(values[0], values[1]) if len(values) > 1 else values[0].clone()
        for value in values[2:]:
            y.add_(value)
        return y.relu_() if self.relu else y


# From modules to steps


def _computes_as(module: Any, cls: Any) -> bool:
    """Whether a module is of a class, and computes as that does."""
    return isinstance(module, cls) and type(module).updateOutput is cls.updateOutput


def _steps(module: Any) -> list[Step]:
    """The steps that compute what a module in evaluation does."""
    if _computes_as(module, nn.Sequential):
        return _fused_rows(module.modules)
    return _fused_rows([module])


def _fused_rows(modules: list[Any]) -> list[Step]:
    steps: list[Step] = []
    for module in modules:
        if _computes_as(module, nn.Sequential):
            more = _fused_rows(module.modules)
        else:
            more = _of_one(module, steps)
        steps += more
    return steps


def _of_one(module: Any, before: list[Step]) -> list[Step]:
    """The steps for one module; what the last step of ``before`` can take up is put there."""
    last: Any = before[-1] if before else None
    if any(_computes_as(module, cls) for cls in _DROPPED) and _does_nothing(module):
        return []
    if isinstance(module, nn.BatchNormalization) and module.running_mean is not None:
        scale, shift = _scale_and_shift(module)
        if isinstance(last, (_Convolve, _Multiply)) and not last.relu and len(scale) == len(last.weight):
            last.fold(scale, shift)
            return []
        return [_Scale(scale, shift, module.nDim)]
    if isinstance(module, nn.Threshold) and (module.threshold, module.val) == (0, 0) and _is_rectifier(module):
        if hasattr(last, "relu") and not last.relu:
            last.relu = True
            return []
        return [torch.relu]
    if (
        isinstance(module, _Convolution)
        and type(module).updateOutput is _Convolution.updateOutput
        and _is_plain(module)
    ):
        return [_Convolve(module)]
    if _computes_as(module, nn.Linear):
        return [_Multiply(module)]
    if isinstance(module, nn.SpatialMaxPooling) or (isinstance(module, nn.SpatialAveragePooling) and module.divide):
        return [_Pool(module)]
    if _computes_as(module, nn.CAddTable):
        pair = _taken_up(last)
        if pair is not None:
            before[-1] = pair
            return []
        return [_Add()]
    if _computes_as(module, nn.ConcatTable):
        return [_Branches([_steps(m) for m in module.modules])]
    if _computes_as(module, nn.ParallelTable):
        return [_Branches([_steps(m) for m in module.modules], own=True)]
    if _computes_as(module, nn.Concat):
        return [_Branches([_steps(m) for m in module.modules], dimension=module.dimension - 1)]
    if isinstance(module, nngraph.gModule):
        _freeze_graph(module)
    return [_Layer(module)]


def _does_nothing(module: Any) -> bool:
    """Whether a Dropout passes on its input in evaluation."""
    return not isinstance(module, nn.Dropout) or (bool(module.v2) and not module.stochastic_inference)


def _is_rectifier(module: Any) -> bool:
    return type(module).updateOutput is nn.Threshold.updateOutput and type(module)._function is nn.Threshold._function


def _is_plain(module: _Convolution) -> bool:
    """Whether this convolves images, from an input that is one tensor, without being transposed."""
    kinds = (nn.SpatialConvolution, nn.SpatialConvolutionMM)
    return isinstance(module, kinds) and type(module)._forward is _Convolution._forward


def _scale_and_shift(module: nn.BatchNormalization) -> tuple[torch.Tensor, torch.Tensor]:
    """What batch normalisation in evaluation multiplies with and adds; worked out in double."""
    scale = (module.running_var.double() + module.eps).rsqrt()
    if module.weight is not None:
        scale *= module.weight.double()
    shift = -module.running_mean.double() * scale
    if module.bias is not None:
        shift += module.bias.double()
    return scale.to(module.running_mean.dtype), shift.to(module.running_mean.dtype)


def _taken_up(branches: Any) -> _Sum | None:
    """The sum of two branches in one step, if one of them ends with a convolution that can do it."""
    if (
        not isinstance(branches, _Branches)
        or len(branches.branches) != 2
        or branches.own
        or branches.dimension is not None
    ):
        return None
    for first, second in (branches.branches, branches.branches[::-1]):
        if second and isinstance(second[-1], _Convolve) and not second[-1].relu:
            return _Sum(first, second[:-1], second[-1])
    return None


def _freeze_graph(graph: Any) -> None:
    """Put steps into the nodes of a graph; what follows a node alone, and takes nothing else, is done with it where it
    can be.
    """
    ends = [(vars(edge)["from"], edge.to) for edge in entries(graph.fg.edges)]
    feeds, fed = Counter(source for source, _ in ends), Counter(target for _, target in ends)
    after = {source: target for source, target in ends if feeds[source] == 1 and fed[target] == 1}
    done = set()
    for node in graph.forwardnodes:
        module = node.data.get("module")
        if module is None or node in done:
            continue
        steps = _steps(module)
        while steps and node in after and after[node].data.get("module") is not None:
            before = list(steps)
            follower = after[node]
            more = _of_one(follower.data["module"], steps)
            if more:
                steps = before
                break
            follower.data["module"] = nn.Identity()
            done.add(follower)
            after[node] = after.get(follower)
            if after[node] is None:
                del after[node]
        node.data["module"] = _Plan(steps)
    graph.modules = [node.data["module"] for node in graph.forwardnodes if node.data.get("module") is not None]


class _Plan(nn.Module):
    """Steps in a node of a frozen graph."""

    def __init__(self, steps: list[Step]) -> None:
        super().__init__()
        self._steps = steps

    def updateOutput(self, input: Any) -> Any:
        self.output = _run(self._steps, input)
        return self.output
