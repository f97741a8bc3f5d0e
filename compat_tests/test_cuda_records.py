"""The records of Torch7's CPU once more, on a GPU: the same numbers, by the same code."""

import pytest
import records
import torch

pytestmark = pytest.mark.cuda

ON_THE_CPU = {
    "Kmeans": "Torch7 says that it does not work on a GPU, and so does luann",
}
"""Classes that are left out, and why."""

MODULES = sorted(p.stem for p in (records.REFERENCE / "nn").glob("*.t7") if p.stem not in ON_THE_CPU)
CRITERIONS = sorted(p.stem for p in (records.REFERENCE / "criterion").glob("*.t7"))


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """No TensorFloat-32, which is good to 1e-3 only."""
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@records.of("nn", *MODULES, again=True)
def test_module(case):
    records.check_module(case, "cuda")


@records.of("criterion", *CRITERIONS, again=True)
def test_criterion(case):
    records.check_criterion(case, "cuda")
