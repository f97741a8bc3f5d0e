"""``nn.DataParallelTable``: as the plain net, on several devices, and in files."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from t7_bytes import T
from test_contrib_cudnn import again, resnet, same, written

import luann
from luann import nn
from luann.contrib import cudnn, cunn


def net() -> nn.Sequential:
    luann.manualSeed(11)
    return nn.Sequential().add(nn.Linear(4, 6)).add(nn.Tanh()).add(nn.Linear(6, 3)).double()


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Says how many devices there are; here each is the CPU, where everything can be run."""

    def there_are(count: int) -> None:
        monkeypatch.setattr(cunn.DataParallelTable, "_devices", lambda self: [torch.device("cpu")] * count)

    return there_are


def test_is_the_net_where_there_is_one_device() -> None:
    plain, table = net(), cunn.DataParallelTable(1).add(net(), [1, 2])
    same(table, plain, torch.randn(5, 4, dtype=torch.double), 0.5)
    assert str(table) == f"DataParallelTable: 2 x {plain}"
    assert table.get(1) is table.modules[0] and table.get(2) is None
    assert table.float().get(1).get(1).weight.dtype is torch.float
    x = torch.randn(3, 4)
    assert torch.equal(table.clearState().forward(x), table.get(1).output)
    one_by_one = cunn.DataParallelTable(1).add(net(), 3).add(net(), 4)
    assert len(one_by_one) == 1 and one_by_one.gpuAssignments == [3, 4]


@pytest.mark.parametrize("threads", [False, True])
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("count", [2, 3])
def test_on_several_devices(devices: Callable, count: int, flat: bool, threads: bool) -> None:
    devices(count)
    plain, table = net(), cunn.DataParallelTable(1, flat).add(net(), [1, 2, 3])
    if threads:
        assert table.threads(lambda: None) is table
    for batch in (7, 2, 1, 6):
        x, g = torch.randn(batch, 4).double(), torch.randn(batch, 3).double()
        torch.testing.assert_close(table.forward(x), plain.forward(x))
        torch.testing.assert_close(table.backward(x, g, 0.5), plain.backward(x, g, 0.5))
        torch.testing.assert_close(table.updateGradInput(x, g), plain.updateGradInput(x, g))
        table.accGradParameters(x, g)
        plain.accGradParameters(x, g)
        for mine, theirs in zip(table.parameters()[1], plain.parameters()[1], strict=True):
            torch.testing.assert_close(mine, theirs)
        for one in (table, plain):
            one.updateParameters(0.1)
            one.zeroGradParameters()
    replicas = table._replicas()
    assert len(replicas.modules) == count and replicas.modules[0] is table.get(1)
    assert not any(gradient.any() for gradients in replicas.gradients[1:] for gradient in gradients)


def test_optimiser_and_evaluation(devices: Callable) -> None:
    devices(2)
    plain, table = net(), cunn.DataParallelTable(1).add(net(), [1, 2])
    x, g = torch.randn(2, 6, 4).double(), torch.randn(2, 6, 3).double()
    params, grads = table.getParameters()
    theirs, their_grads = plain.getParameters()
    assert table.flattenedParams[0][0].data_ptr() == params.data_ptr() and table.flattenParams
    for _ in range(3):
        for one, p, gp in ((table, params, grads), (plain, theirs, their_grads)):
            gp.zero_()
            one.forward(x[0])
            one.backward(x[0], g[0])
            p.add_(gp, alpha=-0.1)
        torch.testing.assert_close(params, theirs)
    for one in (table, plain):
        one.evaluate()
    assert not any(m.train for replica in table._replicas().modules for m in replica.listModules())
    torch.testing.assert_close(table.forward(x[1]), plain.forward(x[1]))
    params.mul_(2)
    theirs.mul_(2)
    table.syncParameters()
    torch.testing.assert_close(table.forward(x[1]), plain.forward(x[1]))
    table.training()
    assert all(replica.train for replica in table._replicas().modules)
    table.reset()
    torch.testing.assert_close(table.forward(x[0])[3:], table.get(1).forward(x[0])[3:])
    table.apply(lambda module: setattr(module, "mark", 1))
    assert table._replicas().modules[1].get(1).mark == 1
    table.replace(lambda module: nn.Sigmoid().double() if module._typename == "nn.Tanh" else module)
    torch.testing.assert_close(table.forward(x[0]), table.get(1).forward(x[0]))


def test_tables_and_other_dimensions(devices: Callable) -> None:
    devices(3)
    both = nn.ParallelTable().add(nn.MulConstant(2)).add(nn.Sequential().add(nn.Identity()).add(nn.MulConstant(3)))
    table = cunn.DataParallelTable(2).add(both, [1, 2, 3])
    x = [torch.randn(4, 5), torch.randn(4, 5, 2)]
    y = table.forward(x)
    torch.testing.assert_close(y, [x[0] * 2, x[1] * 3])
    torch.testing.assert_close(table.backward(x, y), [x[0] * 4, x[1] * 9])


def test_what_it_refuses() -> None:
    table = cunn.DataParallelTable(1)
    with pytest.raises(luann.errors.ArgumentError, match="dimension"):
        cunn.DataParallelTable(None)  # type: ignore[arg-type]
    with pytest.raises(luann.errors.ArgumentError, match="usenccl wants flattenParams"):
        cunn.DataParallelTable(1, False, True)
    with pytest.raises(luann.errors.ModuleError, match="has no module"):
        table.forward(torch.zeros(2, 4))
    with pytest.raises(luann.errors.ArgumentError, match="list of GPUs"):
        table.add(net(), [])
    table.add(net(), [1])
    with pytest.raises(luann.errors.ArgumentError, match="already"):
        table.add(net(), [1])
    for call in (lambda: table.share(net(), "weight"), lambda: table.clone("weight")):
        with pytest.raises(luann.errors.ModuleError, match="cannot share"):
            call()
    with pytest.raises(luann.errors.ModuleError, match="accUpdateGradParameters"):
        table.accUpdateGradParameters(torch.zeros(2, 4), torch.zeros(2, 3), 0.1)
    assert table.clone().get(1) is not table.get(1)


def test_file() -> None:
    """As fb.resnet.torch saved its models: the table around a net of cudnn, on the GPUs of some other machine."""
    plain = resnet(cudnn).float()
    table = cunn.DataParallelTable(1, True, True).add(plain, [1, 2, 3, 4])
    table.getParameters()
    x = torch.randn(2, 3, 32, 32)
    table.threads().forward(x)
    loaded = again(table)
    assert isinstance(loaded, cunn.DataParallelTable)
    assert loaded.gpuAssignments == [1, 2, 3, 4] and loaded.flattenParams
    same(loaded, plain, x, tight=False)
    flat = loaded.flattenedParams[0][0]
    assert flat.untyped_storage().data_ptr() == loaded.get(1).get(1).weight.untyped_storage().data_ptr()
    assert loaded.getParameters()[0].numel() == flat.numel()
    assert b"_threaded" not in written(table)
    in_a_net = again(nn.Sequential().add(loaded).add(nn.LogSoftMax()).float())
    torch.testing.assert_close(in_a_net.forward(x), torch.log_softmax(in_a_net.get(1).get(1).output, 1))
    pure = cudnn.convert(in_a_net, nn)
    assert not any(m._typename.startswith("cudnn") for m in pure.listModules())


def fields(index: int, table: Any, *more: bytes) -> bytes:
    """The table of fields of a DataParallelTable in a file, with ``table`` as the bytes of its ``modules``."""
    entries = [T.string("dimension"), T.number(1), T.string("modules"), table, *more]
    return T.table(index, *entries)


def linear(index: int, value: float) -> bytes:
    """An nn.Linear of 1 x 1 in a file of a GPU."""
    weight = T.view(index + 2, "Cuda", [1, 1], [1, 1], 1, T.storage(index + 3, "Cuda", [value]))
    return T.obj(
        index,
        "nn.Linear",
        *(T.string("weight"), weight),
        *(T.string("output"), T.empty(index + 4, "Cuda")),
        *(T.string("gradInput"), T.empty(index + 5, "Cuda")),
        *(T.string("_type"), T.string("torch.CudaTensor")),
    )


def test_files_of_each_version() -> None:
    gpus = T.list(2, [T.number(1), T.number(2)])
    # version 1: a table like any other, with every replica in it
    replicas = T.list(3, [linear(10, 2), linear(20, 2)])
    last = T.list(30, [T.vector(31, "Cuda", [1]), T.vector(33, "Cuda", [1])])
    old = T.head(1, "nn.DataParallelTable", "V 1") + fields(
        4, replicas, T.string("gpuAssignments"), gpus, T.string("inputGpu"), last
    )
    # version 3: the GPUs first, one replica; an object that runs it, which points back
    runner = T.obj(40, "nn.DataParallelTable.Basic", T.string("dpt"), T.ref(1, 4))
    new = T.head(1, "nn.DataParallelTable", "V 3") + gpus
    new += fields(4, T.list(3, [linear(10, 2)]), T.string("gpuAssignments"), T.ref(2), T.string("impl"), runner)
    for data in (old, new):
        table = luann.load(io.BytesIO(data))
        assert table.gpuAssignments == [1, 2] and len(table.modules) == 1
        assert table.forward(torch.tensor([[3.0]])).item() == 6
        assert table.backward(torch.tensor([[3.0]]), torch.tensor([[1.0]])).item() == 2
        assert table.parameters()[1][0].item() == 3
    rewritten = written(luann.load(io.BytesIO(old)), True)
    assert rewritten.startswith(T.head(1, "nn.DataParallelTable", "V 3") + gpus[:4])
    assert luann.load(io.BytesIO(rewritten)).forward(torch.tensor([[3.0]])).item() == 6
    assert table.impl.dpt is table and table.double().clone().impl.dpt is not table
    assert b"nn.DataParallelTable.Basic" in written(table)


def test_fewer_gpus_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    data = written(cunn.DataParallelTable(1).add(net(), [1, 2, 3, 4]))
    monkeypatch.setattr(cunn.DataParallelTable, "deserializeNGPUs", 2)
    assert luann.load(io.BytesIO(data)).gpuAssignments == [1, 2]


@pytest.mark.cuda
@pytest.mark.parametrize("threads", [False, True])
def test_on_gpus(threads: bool) -> None:
    count = torch.cuda.device_count()
    plain, table = net().cuda(), cunn.DataParallelTable(1).add(net().cuda(), list(range(1, count + 1)))
    if threads:
        table.threads()
    for _ in range(3):
        x, g = torch.randn(9, 4), torch.randn(9, 3)
        torch.testing.assert_close(table.forward(x), plain.forward(x.cuda()))
        torch.testing.assert_close(table.backward(x, g), plain.backward(x.cuda(), g.cuda()))
        for one in (table, plain):
            one.updateParameters(0.1)
            one.zeroGradParameters()
    assert (table._replicas() is None) is (count < 2)
