"""Runs luann through what real Torch7 recorded, and lists every difference.

The records and the meaning of their fields are told in ``reference/INDEX.md`` and ``INDEX_ROCKS.md``. A test asks for
the records of some classes with :func:`of`, and has each checked with :func:`check_module`, :func:`check_criterion` or
:func:`check_script`; :func:`check` chooses by the record's kind. What luann does otherwise on purpose stands in
:data:`EXCEPTIONS`, with its reason; a difference that is not listed fails the test, and so does a listed one that is
not there.
"""

from __future__ import annotations

import copy
import importlib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

import luann
from luann import nn, random

REFERENCE = Path(__file__).parent / "reference"

TOLERANCE = {"double": (1e-9, 1e-12), "float": (1e-4, 1e-5)}
"""Relative and absolute, as INDEX.md calls fair: another order of sums differs by about 1e-15, amplified by the
layers.
"""

_INPUT_KEPT = "Torch7 gives the caller's own input a batch dimension, in place; luann leaves it alone"

EXCEPTIONS: dict[tuple[str, str, str], str] = {
    # (class, name of the record, field): why luann differs; a class of another rock is "rock: nn.Class"
    ("nn.BatchNormalization", "evaluate_vector", "inputAfterForward"): _INPUT_KEPT,
    ("nn.BatchNormalization", "evaluate_vector", "inputAfterBackward"): _INPUT_KEPT,
    ("nn.SpatialBatchNormalization", "evaluate_image", "inputAfterForward"): _INPUT_KEPT,
    ("nn.SpatialBatchNormalization", "evaluate_image", "inputAfterBackward"): _INPUT_KEPT,
    (
        "nn.SparseLinear",
        "one",
        "gradOutputAfterBackward",
    ): "Torch7 gives the caller's gradOutput a batch dimension, in place",
    ("nn.PartialLinear", "no_bias", "updated.error"): "Torch7 wants to update the bias that was declined, and fails",
}


ASKED: set[tuple[str, str]] = set()
"""What :func:`of` was asked for, as (kind, class)."""


@cache
def _load(path: str) -> list:
    return luann.load(REFERENCE / path)


def of(kind: str, *classes: str, again: bool = False) -> Any:
    """A ``parametrize`` mark over all records of these classes; ``kind`` is a folder: nn, criterion, rocks/rnn, …

    ``again`` says that another test has them as well.

    The records are loaded when a test runs: an id names the file and the position.
    """
    cases = []
    for name in classes:
        if not again:
            ASKED.add((kind, name))
        for i, record in enumerate(_load(f"{kind}/{name}.t7")):
            cases.append(pytest.param((kind, name, i), id=f"{name}-{record.name}-{record.dtype}"))
    return pytest.mark.parametrize("case", cases)


def get(case: tuple[str, str, int]) -> Any:
    """A fresh copy of the record that a parameter of :func:`of` names."""
    kind, name, i = case
    return copy.deepcopy(_load(f"{kind}/{name}.t7")[i])


MODULES = {"AdaIN-style": "adain", "imagine-nn": "inn", "stnbhwd": "stn"}
"""Module of luann.contrib, where it is not called as the rock (small letters, _ for -)."""


def class_named(name: str, kind: str) -> Any:
    """The class called so in the records of a folder: the rock's own, or nn's."""
    name = name.rpartition(".")[2]
    spaces = [nn]
    if kind.startswith("rocks/"):
        rock = kind.removeprefix("rocks/")
        own = importlib.import_module(f"luann.contrib.{MODULES.get(rock, rock.lower().replace('-', '_'))}")
        spaces = [own, nn] if rock != "rnn" else [own, importlib.import_module("luann.contrib.dpnn"), nn]
    return next(getattr(s, name) for s in spaces if hasattr(s, name))


def build(spec: Any, memo: dict | None = None, kind: str = "nn") -> Any:
    """The object that a record's ``spec`` describes. ``kind``: the folder of the record."""
    memo = {} if memo is None else memo

    def value(v: Any) -> Any:
        if isinstance(v, dict) and "class" in v and "ops" in v:
            return build(v, memo, kind)
        if isinstance(v, torch.Tensor):
            return v.clone()
        if isinstance(v, list):
            return [value(x) for x in v]
        if isinstance(v, dict):
            return luann.Table({k: value(x) for k, x in v.items()})
        return v

    def arguments(args: Any, count: int) -> list:
        if isinstance(args, list):
            args = dict(enumerate(args, 1))
        return [value(args.get(i)) for i in range(1, count + 1)]

    if id(spec) not in memo:
        made = class_named(spec["class"], kind)(*arguments(spec.args, spec.nargs))
        memo[id(spec)] = made
        for op in spec.ops:
            if op.op == "call":
                getattr(made, op.method)(*arguments(op.args, op.nargs))
            else:
                setattr(made, op.field, value(op.get("value")))
    return memo[id(spec)]


def peek() -> int:
    """The number that ``random()`` would give next; the stream stays where it is."""
    state = random.getRNGState()
    number = random.random()
    random.setRNGState(state)
    return number


def difference(got: Any, wanted: Any, tolerance: tuple[float, float]) -> str | None:
    """What differs between two nested tables of tensors and numbers, or ``None``."""
    rtol, atol = tolerance
    if isinstance(wanted, torch.Tensor):
        if not isinstance(got, torch.Tensor):
            return f"wanted a tensor, got {type(got).__name__}"
        got, wanted = got.cpu(), wanted.cpu()
        if got.dtype != wanted.dtype:
            return f"wanted {wanted.dtype}, got {got.dtype}"
        if got.shape != wanted.shape and (got.numel() or wanted.numel()):
            return f"wanted size {tuple(wanted.shape)}, got {tuple(got.shape)}"
        if wanted.is_floating_point():
            equal = torch.isclose(got, wanted, rtol, atol, equal_nan=True)
        else:
            equal = got == wanted
        if not got.numel() or equal.all():
            return None
        worst = (got - wanted)[~equal].abs().max()
        return f"{int((~equal).sum())} of {got.numel()} elements differ, by {worst} at most"
    if isinstance(wanted, (list, dict)):
        if isinstance(wanted, dict) and not wanted and isinstance(got, list):
            wanted = []
        if isinstance(got, dict) != isinstance(wanted, dict) or len(got) != len(wanted):
            return f"wanted {len(wanted)} entries, got {type(got).__name__}" + (
                f" of {len(got)}" if hasattr(got, "__len__") else ""
            )
        keys = wanted if isinstance(wanted, dict) else range(len(wanted))
        for key in keys:
            if isinstance(got, dict) and key not in got:
                return f"[{key}] is missing"
            found = difference(got[key], wanted[key], tolerance)
            if found:
                return f"[{key}]: {found}"
        return None
    if isinstance(wanted, (int, float)) and not isinstance(wanted, bool):
        if isinstance(got, (int, float)) and (
            got == wanted or (got != got and wanted != wanted) or abs(got - wanted) <= atol + rtol * abs(wanted)
        ):
            return None
        return f"wanted {wanted!r}, got {got!r}"
    return None if got == wanted else f"wanted {wanted!r}, got {got!r}"


def tensors(value: Any) -> list[torch.Tensor]:
    """All tensors in a nested table."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, (list, tuple, dict)):
        entries = value.values() if isinstance(value, dict) else value
        return [t for v in entries for t in tensors(v)]
    return []


def shares(a: Any, b: Any) -> bool:
    """Whether any tensor of ``a`` lies in the same storage as any tensor of ``b``."""
    seen = {t.untyped_storage()._cdata for t in tensors(a) if t.untyped_storage().nbytes()}
    return any(t.untyped_storage()._cdata in seen for t in tensors(b))


class Checker:
    """Collects the differences of one record."""

    def __init__(self, record: Any, kind: str = "nn") -> None:
        self.record = record
        self.kind = kind
        # a float module can be in a record whose other numbers are double
        single = any(t.dtype is torch.float32 for t in tensors(record.get("params")))
        self.tolerance = TOLERANCE["float" if single else record.dtype]
        self.found: dict[str, str] = {}

    def same(self, field: str, got: Any, wanted: Any, exact: bool = False) -> None:
        text = difference(got, wanted, (0, 0) if exact else self.tolerance)
        if text:
            self.found.setdefault(field, text)

    def fails(self, field: str, action: Any) -> None:
        """``action`` failed in Torch7 and has to fail here."""
        try:
            action()
        except luann.Error:
            return
        self.found[field] = "no error, where Torch7 raises one"

    def finish(self) -> None:
        cls, name = self.record["class"], self.record.name
        if self.kind.startswith("rocks/"):
            cls = f"{self.kind.removeprefix('rocks/')}: {cls}"
        expected = {field: why for (c, n, field), why in EXCEPTIONS.items() if (c, n) == (cls, name)}
        lines = [f"{field}: {text}" for field, text in self.found.items() if field not in expected]
        lines += [f"{field}: agrees, but is listed as an exception" for field in expected if field not in self.found]
        assert not lines, "\n" + "\n".join(lines)


def check_module(case: tuple[str, str, int], device: str | None = None) -> None:
    """Compare everything that a record of ``nn/`` or ``networks/`` tells, for the loaded and for the built object.

    Args:
        device: where to run it, by default on the CPU, where the record's tensors are.
    """
    record = get(case)
    check = Checker(record, case[0])
    if device is not None:
        _move(record, device, "module", "input", "gradOutput")
        if "second" in record:
            _move(record.second, device, "input", "gradOutput")
    luann.setdefaulttensortype("torch.DoubleTensor")
    if "spec" in record:
        luann.manualSeed(record.seed)
        built = build(record.spec, kind=case[0])
        check.same("rngAfterConstruct", peek(), record.rngAfterConstruct, exact=True)
        if record.dtype == "float":
            built.float()
        if record.mode == "evaluate":
            built.evaluate()
        check.same("construct", _weights(built), _weights(record.module), exact=True)
        if device is not None:
            built.type(torch.device(device))
        _run(check, built)
    _run(check, record.module)
    check.finish()


def _move(record: Any, device: str, *fields: str) -> None:
    """Put the tensors of these fields on a device, with the memory that they share and the way they lie in it."""
    cache: dict = {}
    for field in fields:
        if field in record:
            record[field] = nn.utils.converted(record[field], None, torch.device(device), cache)


def _weights(module: Any) -> list:
    return [t.clone() for t in module.parameters()[0] or []]


def _run(check: Checker, fresh: Any) -> None:
    record = check.record
    module = fresh.clone()
    module.zeroGradParameters()
    if "tostring" in record:
        check.same("tostring", str(module), record.tostring)
    backward = "gradOutput" in record and ("gradInput" in record or "gradParams" in record or "backwardError" in record)
    _pass(check, "", record, module, record.forwardSeed, backward)
    params, grads = module.parameters()
    if "params" in record:
        check.same("params", params, record.params)
    if "gradParams" in record:
        check.same("gradParams", grads, record.gradParams)

    def on_fresh_copy(field: str, action: Any) -> None:
        if field not in record:
            return
        wanted = record[field]
        twin = fresh.clone()
        luann.manualSeed(record.forwardSeed)
        given = copy.deepcopy(record.input)
        twin.forward(given)
        gradOutput = copy.deepcopy(record.gradOutput)
        luann.manualSeed(record.forwardSeed + 2)
        if "error" in wanted:
            check.fails(f"{field}.error", lambda: action(twin, given, gradOutput))
            return
        action(twin, given, gradOutput)
        for name, index in (("params", 0), ("gradParams", 1)):
            if name in wanted:
                check.same(f"{field}.{name}", twin.parameters()[index], wanted[name])

    def scaled(m: Any, x: Any, g: Any) -> None:
        m.zeroGradParameters()
        m.backward(x, g, record.scaled.scale)

    def updated(m: Any, x: Any, g: Any) -> None:
        m.zeroGradParameters()
        m.backward(x, g)
        m.updateParameters(record.updated.learningRate)

    def acc_updated(m: Any, x: Any, g: Any) -> None:
        m.updateGradInput(x, g)
        m.accUpdateGradParameters(x, g, record.accUpdated.learningRate)

    on_fresh_copy("scaled", scaled)
    on_fresh_copy("updated", updated)
    on_fresh_copy("accUpdated", acc_updated)

    if "second" in record:
        second = record.second
        _pass(check, "second.", second, module, record.forwardSeed + 5, True)
        if "gradParams" in second:
            check.same("second.gradParams", module.parameters()[1], second.gradParams)

    if "evaluate" in record:
        wanted = record.evaluate
        module.evaluate()
        luann.manualSeed(record.forwardSeed)
        given = copy.deepcopy(record.input)
        if "forwardError" in wanted:
            check.fails("evaluate.forwardError", lambda: module.forward(given))
            return
        check.same("evaluate.output", module.forward(given), wanted.output)
        if "gradInput" not in wanted and "backwardError" not in wanted and check.kind.startswith("rocks/"):
            return
        module.zeroGradParameters()
        gradOutput = copy.deepcopy(record.gradOutput)
        if "backwardError" in wanted:
            check.fails("evaluate.backwardError", lambda: module.backward(given, gradOutput))
            return
        gradInput = module.backward(given, gradOutput)
        if "gradInput" in wanted:
            check.same("evaluate.gradInput", gradInput, wanted.gradInput)
        if "gradParams" in wanted:
            check.same("evaluate.gradParams", module.parameters()[1], wanted.gradParams)


def _pass(check: Checker, prefix: str, wanted: Any, module: Any, seed: int, backward: bool) -> None:
    """One forward and one backward, as the recorder did them."""
    given = copy.deepcopy(wanted.input)
    keeper, gradKeeper = module.output, module.gradInput
    luann.manualSeed(seed)
    output = module.forward(given)
    check.same(prefix + "rngAfterForward", peek(), wanted.rngAfterForward, exact=True)
    check.same(prefix + "output", output, wanted.output)
    for name, value in wanted.get("state", {}).items():
        check.same(f"{prefix}state.{name}", getattr(module, name, None), value)
    check.same(prefix + "inputAfterForward", given, wanted.get("inputAfterForward", wanted.input))
    aliases = wanted.aliases
    check.same(prefix + "aliases.outputIsInput", shares(given, output), aliases.outputIsInput)
    if _replaced(module, keeper, module.output):
        check.found[prefix + "output object"] = "output has become another tensor object"
    if not backward:
        return
    gradOutput = copy.deepcopy(wanted.gradOutput)
    luann.manualSeed(seed + 2)
    if "backwardError" in wanted:
        check.fails(prefix + "backwardError", lambda: module.backward(given, gradOutput))
        return
    gradInput = module.backward(given, gradOutput)
    if "gradInput" in wanted or "gradParams" not in wanted:  # else it was left out: Torch7 never wrote all of it
        check.same(prefix + "gradInput", gradInput, wanted.get("gradInput"))
    if "gradInputIsGradOutput" in aliases:
        alike = shares(gradOutput, gradInput)
        check.same(prefix + "aliases.gradInputIsGradOutput", alike, aliases.gradInputIsGradOutput)
    check.same(prefix + "gradOutputAfterBackward", gradOutput, wanted.get("gradOutputAfterBackward", wanted.gradOutput))
    after = wanted.get("inputAfterBackward", wanted.get("inputAfterForward", wanted.input))
    check.same(prefix + "inputAfterBackward", given, after)
    if _replaced(module, gradKeeper, module.gradInput):
        check.found[prefix + "gradInput object"] = "gradInput has become another tensor object"


def _replaced(module: Any, before: Any, now: Any) -> bool:
    """Whether one tensor has taken the place of another, where that may not be; a table may."""
    both = isinstance(before, torch.Tensor) and isinstance(now, torch.Tensor)
    return both and before is not now and not isinstance(module, nn.Container)


def check_criterion(case: tuple[str, str, int], device: str | None = None) -> None:
    """Compare everything that a record of ``criterion/`` tells, for the loaded and for the built object."""
    record = get(case)
    check = Checker(record, case[0])
    if device is not None:
        _move(record, device, "criterion", "input", "target", "gradTarget")
    luann.setdefaulttensortype("torch.DoubleTensor")
    criterions = [record.criterion]
    if "spec" in record:
        luann.manualSeed(record.seed)
        built = build(record.spec, kind=case[0])
        built = built.float() if record.dtype == "float" else built
        criterions.append(built if device is None else built.type(torch.device(device)))
    for criterion in criterions:
        target = record.get("target")
        given = copy.deepcopy(record.input)
        luann.manualSeed(record.forwardSeed)
        check.same("output", criterion.forward(given, copy.deepcopy(target)), record.output)
        check.same("output field", criterion.output, _kept(record))
        if "secondReturn" in record:
            check.same("secondReturn", criterion.total_weight_tensor.item(), record.secondReturn)
        target = record.get("gradTarget", target)
        if "backwardError" in record:
            check.fails("backwardError", lambda c=criterion, g=given, t=target: c.backward(g, t))
        else:
            check.same("gradInput", criterion.backward(given, copy.deepcopy(target)), record.gradInput)
    check.finish()


def _kept(record: Any) -> float:
    """What the field ``output`` holds after a forward: with few criterions, not what was returned."""
    if record["class"] in ("nn.DistanceRatioCriterion", "w2nn.SSIMCriterion"):
        return 0  # they never set it
    return record.output * (record.input.shape[0] if record["class"] == "w2nn.ClippedMSECriterion" else 1)


def check_script(case: tuple[str, str, int]) -> None:
    """Do what a script record did, on the loaded and on the built object, and compare what each step gave."""
    record = get(case)
    check = Checker(record, case[0])
    luann.setdefaulttensortype("torch.DoubleTensor")
    if "spec" in record:
        luann.manualSeed(record.seed)
        built = build(record.spec, kind=case[0])
        check.same("rngAfterConstruct", peek(), record.rngAfterConstruct, exact=True)
        if record.dtype == "float":
            built.float()
        check.same("construct", _weights(built), _weights(record.module), exact=True)
        _zero(built)
        _steps(check, built)
    _steps(check, record.module.clone())
    check.finish()


def _zero(module: Any) -> None:
    """What the recorder tried on everything; some have no such method."""
    zero = getattr(module, "zeroGradParameters", None)
    if zero is not None:
        zero()


def _steps(check: Checker, module: Any) -> None:
    record = check.record
    if "tostring" in record:
        check.same("tostring", str(module), record.tostring)
    inputs = {}
    for i, step in enumerate(record.steps, 1):
        at = f"step {i} {step.op}"
        luann.manualSeed(step.get("seed", 0))
        action = _ACTIONS[step.op]
        if step.op == "forward":
            inputs[i] = copy.deepcopy(step.input)
        given = inputs[i] if step.op == "forward" else inputs.get(step.get("of"))
        if "error" in step:
            check.fails(at, lambda a=action, t=at, s=step, g=given: a(check, t, module, s, g))
        else:
            action(check, at, module, step, given)


def _forward_step(check: Checker, at: str, module: Any, step: Any, given: Any) -> None:
    output = module.forward(given)
    check.same(f"{at}.rngAfterForward", peek(), step.rngAfterForward, exact=True)
    check.same(f"{at}.output", output, step.output)
    check.same(f"{at}.inputAfterForward", given, step.get("inputAfterForward", step.input))


def _backward_step(check: Checker, at: str, module: Any, step: Any, given: Any) -> None:
    gradInput = module.backward(given, copy.deepcopy(step.gradOutput))
    check.same(f"{at}.gradInput", gradInput, step.get("gradInput"))
    if "gradParams" in step:
        check.same(f"{at}.gradParams", module.parameters()[1], step.gradParams)


def _call_step(check: Checker, at: str, module: Any, step: Any, given: Any) -> None:
    args = dict(enumerate(step.args, 1)) if isinstance(step.args, list) else step.args
    value = getattr(module, step.method)(*(copy.deepcopy(args.get(k)) for k in range(1, step.nargs + 1)))
    if "returnsSelf" in step:
        check.same(f"{at}.returnsSelf", value is module, step.returnsSelf)
    elif "returns" in step:
        check.same(f"{at}.returns", value, step.returns)


def _set_step(check: Checker, at: str, module: Any, step: Any, given: Any) -> None:
    setattr(module, step.field, copy.deepcopy(step.get("value")))


def _get_step(check: Checker, at: str, module: Any, step: Any, given: Any) -> None:
    value = getattr(module, step.field)
    check.same(f"{at}.{step.field}", value.tolist() if isinstance(value, luann.Storage) else value, step.get("value"))


def _params_step(check: Checker, at: str, module: Any, step: Any, given: Any) -> None:
    check.same(f"{at}.params", list(module.parameters()), [step.params, step.gradParams])


_ACTIONS = {
    "forward": _forward_step,
    "backward": _backward_step,
    "call": _call_step,
    "set": _set_step,
    "get": _get_step,
    "params": _params_step,
}


def check(case: tuple[str, str, int]) -> None:
    """Check a record of whatever kind it is."""
    checks = {"module": check_module, "criterion": check_criterion, "script": check_script}
    checks[get(case).kind](case)
