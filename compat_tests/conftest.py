"""What every test starts from, and what is skipped where."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

import luann

torch.set_num_threads(1)  # the tensors are small: threads would only wait for each other


@pytest.fixture(autouse=True)
def _fresh_state() -> Iterator[None]:
    """Put back what a test may have changed for the whole process."""
    dtype, device, threads = torch.get_default_dtype(), torch.empty(0).device, torch.get_num_threads()
    yield
    luann.random.unseed()
    torch.set_default_dtype(dtype)
    if torch.empty(0).device != device:
        torch.set_default_device(device)
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    grad = torch.is_grad_enabled()
    torch.set_grad_enabled(True)
    assert grad, "the test left autograd switched off"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("cuda"):
                item.add_marker(pytest.mark.skip(reason="needs a GPU"))
