"""Saving modules, criterions and what belongs to training: as Torch7 would write them, and there and back."""

from __future__ import annotations

import copy
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import records
import torch

import luann
import luann.t7 as t7
from luann import Storage, nn, optim
from luann.t7 import Unknown, reader

# Fields that differ between what is made here and what Torch7 made: (class, field) and why that is no matter to Torch7.
DIFFERENT = {
    ("nn.ClassNLLCriterion", "target"): "float() made it a FloatTensor; it is a LongTensor where it is used",
    ("nn.Dropout", "inplace"): "false, where Torch7 leaves out the nil it was given",
    ("nn.IndexLinear", "gradInput"): "a table from the beginning; Torch7 puts one in the place of the tensor",
    ("nn.LookupTable", "_count"): "made by Torch7 where it is missing",
    ("nn.LookupTable", "_input"): "made by Torch7 where it is missing",
    ("nn.SpatialMaxPooling", "indices"): "float() made them a FloatTensor, which forward takes back",
}


def dump(obj: Any) -> bytes:
    file = io.BytesIO()
    luann.save(file, obj)
    return file.getvalue()


def written(obj: Any) -> Any:
    """What stands in a file for an object, with every object as Unknown."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(reader, "classes", {})
        return t7.load(dump(obj))


def kind(value: Any) -> str:
    if isinstance(value, Unknown):
        return f"{value.typename} {value.version}"
    if isinstance(value, (torch.Tensor, Storage)):
        return luann.typename(value)
    if isinstance(value, (list, dict)):
        return "table"
    return "number" if type(value) in (int, float) else type(value).__name__


def by_object(key: Any) -> bool:
    return not isinstance(key, (str, int, float))


def differences(made: Any, wanted: Any, where: tuple[str, str], seen: set) -> Iterator[tuple[tuple[str, str], str]]:
    """Where two files differ in what they hold: kinds of values, names of fields, numbers other than a tensor's."""
    if id(wanted) in seen:
        return
    seen.add(id(wanted))
    if kind(made) != kind(wanted):
        yield where, f"{kind(made)}, in Torch7 {kind(wanted)}"
    elif isinstance(wanted, (list, dict, Unknown)):
        ours, theirs = (
            x.fields if isinstance(x, Unknown) else dict(enumerate(x)) if isinstance(x, list) else x
            for x in (made, wanted)
        )
        if sum(map(by_object, ours)) != sum(map(by_object, theirs)):
            yield where, "other objects as keys"
        for key in {k: None for k in (*theirs, *ours) if not by_object(k)}:
            place = (wanted.typename, key) if isinstance(wanted, Unknown) else where
            if (key in ours) != (key in theirs):
                yield place, "missing" if key in theirs else "not in Torch7"
            else:
                yield from differences(ours[key], theirs[key], place, seen)
    elif kind(wanted) == "number":
        if not (made != made and wanted != wanted) and not math.isclose(made, wanted, rel_tol=1e-9, abs_tol=1e-12):
            yield where, f"{made!r}, in Torch7 {wanted!r}"
    elif not isinstance(wanted, torch.Tensor) and made != wanted:
        yield where, f"{made!r}, in Torch7 {wanted!r}"


def cases() -> list:
    folders = [("nn", "module"), ("networks", "module"), ("criterion", "criterion")]
    return [
        pytest.param(folder, file.stem, field, id=f"{folder}-{file.stem}")
        for folder, field in folders
        for file in sorted((records.REFERENCE / folder).glob("*.t7"))
    ]


@pytest.mark.parametrize(("folder", "name", "field"), cases())
def test_what_is_made_here_is_written_as_torch7_writes_it(folder: str, name: str, field: str) -> None:
    """Class, version, names and kinds of all fields; LongStorages, numbers and strings themselves too."""
    for record in t7.load(records.REFERENCE / folder / f"{name}.t7"):
        if "spec" not in record:
            continue
        luann.setdefaulttensortype("torch.DoubleTensor")
        made = records.build(record.spec)
        if record.dtype == "float":
            made.float()
        if record.get("mode") == "evaluate":
            made.evaluate()
        found = dict(differences(written(made), written(record[field]), (record["class"], ""), set()))
        assert found.keys() <= DIFFERENT.keys(), (record.name, found)


def test_no_difference_is_listed_in_vain() -> None:
    found: set = set()
    luann.setdefaulttensortype("torch.DoubleTensor")
    for folder, name, field in (case.values for case in cases()):
        for record in t7.load(records.REFERENCE / folder / f"{name}.t7"):
            if "spec" in record:
                made = records.build(record.spec)
                made = made.float() if record.dtype == "float" else made
                found |= {w for w, _ in differences(written(made), written(record[field]), ("", ""), set())}
    assert DIFFERENT.keys() <= found


@pytest.mark.parametrize("name", sorted(p.stem for p in (records.REFERENCE / "networks").glob("*.t7")))
def test_a_net_that_was_used_has_no_field_that_torch7_has_not(name: str) -> None:
    """After a forward and a backward: of the buffers there may be fewer, but none of another kind."""
    for record in t7.load(records.REFERENCE / "networks" / f"{name}.t7"):
        net = record.module
        net.zeroGradParameters()
        luann.manualSeed(record.forwardSeed)
        net.forward(record.input)
        luann.manualSeed(record.forwardSeed + 2)
        net.backward(record.input, record.gradOutput)
        found = differences(written(net), written(record.moduleAfter), ("", ""), set())
        scratch = ("size", "outputSize", "batchSize")  # sizes of the last input, noted anew by each forward
        left = {place: text for place, text in found if text != "missing" and place[1] not in scratch}
        assert not left


@pytest.mark.parametrize("name", sorted(p.stem for p in (records.REFERENCE / "nn").glob("*.t7")))
def test_what_was_used_is_saved_and_goes_on(name: str, capsys: pytest.CaptureFixture) -> None:
    """After a forward and a backward every module can be saved; loaded again it computes the same, to the last bit."""
    for record in t7.load(records.REFERENCE / "nn" / f"{name}.t7"):
        module = record.module
        luann.manualSeed(record.forwardSeed)
        module.forward(copy.deepcopy(record.input))
        if "gradInput" in record:
            module.backward(copy.deepcopy(record.input), copy.deepcopy(record.gradOutput))
        data = dump(module)
        again = luann.load(data)
        assert type(again) is type(module) and dump(again) == data, record.name
        results = []
        for net in (module, again):
            luann.manualSeed(record.forwardSeed)
            results.append([net.forward(copy.deepcopy(record.input)), *(net.parameters()[1] or [])])
        assert records.difference(results[1], results[0], (0, 0)) is None, record.name


@pytest.mark.parametrize("name", sorted(p.stem for p in (records.REFERENCE / "criterion").glob("*.t7")))
def test_a_criterion_that_was_used(name: str) -> None:
    for record in t7.load(records.REFERENCE / "criterion" / f"{name}.t7"):
        criterion = record.criterion
        luann.manualSeed(record.forwardSeed)
        criterion.forward(copy.deepcopy(record.input), copy.deepcopy(record.get("target")))
        data = dump(criterion)
        again = luann.load(data)
        assert type(again) is type(criterion) and dump(again) == data, record.name
        results = []
        for each in (criterion, again):
            luann.manualSeed(record.forwardSeed)
            results.append(each.forward(copy.deepcopy(record.input), copy.deepcopy(record.get("target"))))
        assert records.difference(results[1], results[0], (0, 0)) is None, record.name


def test_a_confusion_matrix() -> None:
    for record in t7.load(records.REFERENCE / "optim" / "confusion.t7"):
        made = optim.ConfusionMatrix(record.classes)
        for prediction, target in record.adds:
            (made.batchAdd if record.batch else made.add)(prediction, target)
        made.farFrr()
        str(made)
        assert not dict(differences(written(made), written(record.object), ("", ""), set()))


def test_a_logger_is_saved_without_its_file(tmp_path: Path) -> None:
    logger = optim.Logger(tmp_path / "x.log")
    logger.setNames(["a", "b"])
    logger.add([1, 2.5])
    fields = written(logger).fields
    logger.file.close()
    assert fields.names == ["a", "b"] and fields.symbols == [[1], [2.5]]
    assert not {"file", "figure", "_warned"} & set(fields)


def test_training_goes_on_where_it_was_saved() -> None:
    """A net with flat parameters, an optimiser's state and a confusion matrix: saved halfway, it ends the same."""
    luann.manualSeed(1)
    net = nn.Sequential()
    for module in (nn.Linear(4, 8), nn.Dropout(0.3), nn.Tanh(), nn.Linear(8, 3), nn.LogSoftMax()):
        net.add(module)
    criterion = nn.ClassNLLCriterion()
    parameters, gradients = net.getParameters()
    state = luann.Table(learningRate=0.1, momentum=0.9)
    kept = luann.Table(net=net, criterion=criterion, state=state, parameters=parameters, gradients=gradients)
    kept.confusion = optim.ConfusionMatrix(["a", "b", "c"])

    def train(kept: Any, steps: int) -> list:
        def feval(x: torch.Tensor) -> tuple:
            inputs, targets = luann.random.randn(5, 4), luann.random.rand(5).mul_(3).long() + 1
            kept.gradients.zero_()
            outputs = kept.net.forward(inputs)
            loss = kept.criterion.forward(outputs, targets)
            kept.net.backward(inputs, kept.criterion.backward(outputs, targets))
            kept.confusion.batchAdd(outputs, targets)
            return loss, kept.gradients

        for _ in range(steps):
            optim.sgd(feval, kept.parameters, kept.state)
        return [kept.parameters.clone(), kept.state.dfdx.clone(), kept.confusion.mat.clone(), kept.state.evalCounter]

    train(kept, 3)
    kept.generator = luann.random.getRNGState()
    loaded = luann.load(dump(kept))
    assert loaded.net.modules[0].weight.untyped_storage()._cdata == loaded.parameters.untyped_storage()._cdata
    assert records.difference(loaded.generator, kept.generator, (0, 0)) is None
    ends = []
    for each in (kept, loaded):
        luann.random.setRNGState(each.generator)
        ends.append(train(each, 3))
    assert records.difference(ends[1], ends[0], (0, 0)) is None


def test_a_layer_of_a_flat_net_is_saved_without_the_others() -> None:
    net = nn.Sequential().add(nn.Linear(1000, 100)).add(nn.Linear(100, 10))
    net.getParameters()
    data = dump(net.modules[1])
    layer = luann.load(data)
    assert len(data) < 12_000 and torch.equal(layer.weight, net.modules[1].weight)
    assert layer.weight.untyped_storage()._cdata == layer.bias.untyped_storage()._cdata


def test_shared_modules_stay_one() -> None:
    first = nn.Linear(2, 2)
    net = nn.Sequential().add(first).add(nn.Tanh()).add(first).add(first.clone("weight", "bias"))
    loaded = luann.load(dump(net))
    one, _, same, twin = loaded.modules
    assert one is same and twin is not one
    twin.weight.fill_(7)
    assert (one.weight == 7).all() and (first.weight != 7).all()


def test_indices_made_when_asked_for_are_written() -> None:
    pool = nn.SpatialMaxPooling(2, 2)
    pool.forward(torch.arange(16.0).view(1, 4, 4))
    indices = written(pool).indices
    assert indices.dtype is torch.int64 and indices.view(-1).tolist() == [6, 8, 14, 16]


def test_a_weight_norm_leaves_out_what_follows() -> None:
    """The weight is made anew when it is loaded, here and by Torch7; the module within has none in the file."""
    inner = nn.Linear(3, 2)
    net = nn.WeightNorm(inner)
    x = torch.randn(4, 3)
    y = net.forward(x).clone()
    fields = written(net)
    assert "weight" not in fields and "gradWeight" not in fields and "weight" not in fields.modules[0]
    assert "bias" in fields.modules[0] and fields.weightSize == [2, 3] and inner.weight is net.weight
    net.weightSize = None  # as loaded from an older file
    assert written(net).weightSize == [2, 3]
    again = luann.load(dump(net))
    assert torch.equal(again.forward(x), y) and again.modules[0].weight is again.weight
    first, second = written([inner, net])  # the module is complete where it stands alone
    assert "weight" in first and second.modules[0] is first


def test_a_copy_keeps_the_functions_of_its_file() -> None:
    functions = {name: t7.Function(name.encode(), []) for name in ("updateOutput", "updateGradInput")}
    fields = {"updateOutput": functions["updateOutput"], "_type": "torch.FloatTensor", "gradInput": torch.empty(0)}
    fields |= {"updateGradInput": functions["updateGradInput"], "output": torch.empty(0)}
    data = dump(Unknown("nn.Copy", 1, fields))
    copying = luann.load(data)
    x = torch.ones(2)
    assert dump(copying) == data == dump(copy.deepcopy(copying)) and copying.forward(x).data_ptr() == x.data_ptr()
    made = written(nn.Copy())
    assert "updateOutput" not in made and not [name for name in made if "update" in name]


def test_the_fields_of_a_class_of_ones_own() -> None:
    class Scale(nn.Module, typename="my.Scale"):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = factor

        def updateOutput(self, input: torch.Tensor) -> torch.Tensor:
            return self.output.set_(input * self.factor)

    scale = written(Scale(3))
    assert scale.typename == "my.Scale" and scale.version == 1
    assert {k: kind(v) for k, v in scale.fields.items()} == {
        "gradInput": "torch.FloatTensor", "output": "torch.FloatTensor", "_type": "str", "factor": "number",
    }  # fmt: skip
