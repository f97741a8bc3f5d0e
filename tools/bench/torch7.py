"""Torch7 as a third side, where one is installed: a Lua process that runs what luann saved for it."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch

import luann
from tools.bench.sides import RATE, Luann
from tools.bench.workloads import Workload

SCRIPT = Path(__file__).with_name("torch7.lua")


@functools.cache
def command() -> str | None:
    """A Lua that has Torch7's ``nn``: ``th`` or ``luajit``, whichever is found first; ``None`` without one."""
    for name in ("th", "luajit"):
        found = shutil.which(name)
        if found is None:
            continue
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
            file.write("require 'nn'\n")
            file.flush()
            if subprocess.run([found, file.name], capture_output=True, check=False).returncode == 0:
                return found
    return None


class Torch7:
    """The same steps in Lua; each run is asked for through a pipe and timed there."""

    def __init__(self, lua: str, side: Luann) -> None:
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name)
        given = luann.Table(model=side.model, criterion=side.criterion, input=side.input, target=side.target, rate=RATE)
        luann.save(str(path / "given.t7"), given)
        threads = str(torch.get_num_threads())
        # its BLAS and its OpenMP must not fight for the processor
        settings = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
        self.process = subprocess.Popen(
            [lua, str(SCRIPT), str(path / "given.t7"), str(path / "output.t7")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | settings,
        )  # fmt: skip
        self._ask("evaluate")
        self._ask("output")
        output = luann.load(str(path / "output.t7"))
        side.mode(train=False)
        torch.testing.assert_close(output, side.infer(), rtol=1e-3, atol=1e-4)

    def _ask(self, word: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if answer != "done":
            raise RuntimeError(f"Torch7 answered {answer!r} to {word!r}")

    def mode(self, train: bool) -> None:
        """Training or evaluation."""
        self._ask("training" if train else "evaluate")

    def train(self) -> None:
        """A step."""
        self._ask("train")

    def infer(self) -> None:
        """The output, which stays in Lua."""
        self._ask("infer")

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)
        self.folder.cleanup()


def side(workload: Workload, ours: Any) -> Torch7 | None:
    """Torch7's side of a workload, after a comparison of outputs; ``None`` without a Torch7 or for what it cannot."""
    lua = command()
    return Torch7(lua, ours) if lua and workload.t7 and type(ours) is Luann else None
