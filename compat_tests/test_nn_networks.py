"""Whole networks that Torch7 saved and ran."""

import copy

import records
import torch

# graph_* and nn/gModule.t7 hold gModules, which nngraph is for
NETWORKS = (
    "flattened",
    "half_shared",
    "inception",
    "lenet",
    "mixture",
    "multi_resolution",
    "resnet",
    "segnet",
    "siamese_clone",
    "siamese_share",
    "text",
)


@records.of("networks", *NETWORKS)
def test_record(case):
    records.check_module(case)


@records.of("networks", *(n for n in NETWORKS if n != "half_shared"))
def test_layers_and_flat_parameters(case):
    """What Torch7 listed with apply() and got from getParameters(), or where it had put flattened parameters."""
    record = records.get(case)
    module, extra = record.module, record.extra
    params, grads = module.parameters()
    if "offsets" in extra:
        assert [[p.storage_offset() + 1, g.storage_offset() + 1] for p, g in zip(params, grads)] == extra.offsets
        assert len({t.untyped_storage()._cdata for t in [*params, *grads]}) == extra.storages
        assert params[0].untyped_storage().nbytes() // params[0].element_size() == extra.storageSize
        return
    assert [m._typename for m in module.listModules()] == extra.layers
    assert [list(p.shape) for p in params] == extra.parameterSizes
    flat, _ = module.getParameters()
    assert flat.numel() == extra.flatCount
    assert torch.equal(flat, extra.flat)


@records.of("networks", "lenet", "resnet", "inception", "text")
def test_a_used_net_goes_on(case):
    """moduleAfter was saved with its buffers full; it computes like the fresh one."""
    record = records.get(case)
    after = record.moduleAfter
    after.evaluate()
    twin = copy.deepcopy(record.module)
    for mine, theirs in zip(twin.listModules(), after.listModules(), strict=True):
        for name in ("running_mean", "running_var"):
            if name in vars(theirs):
                getattr(mine, name).copy_(getattr(theirs, name))
    twin.evaluate()
    torch.testing.assert_close(after.forward(copy.deepcopy(record.input)), twin.forward(copy.deepcopy(record.input)))
