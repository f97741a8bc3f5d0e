"""Saving to a path: whatever fails, the old file stays whole, and nothing is left beside it."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import luann
from luann.t7 import replacing, writer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "net.t7"
    luann.save(path, "old")
    return path


def assert_untouched(path: Path) -> None:
    assert luann.load(path) == "old" and os.listdir(path.parent) == [path.name]


def test_a_new_file_and_its_successor(path: Path) -> None:
    luann.save(str(path), [1, 2])
    assert luann.load(path) == [1, 2] and os.listdir(path.parent) == [path.name]


def test_an_object_that_cannot_be_written(path: Path) -> None:
    for obj in ({1}, [torch.zeros(2_000_000), {1}]):
        with pytest.raises(luann.ArgumentError):
            luann.save(path, obj)
        assert_untouched(path)


def test_a_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def put(file: Any) -> Any:
        room = 1_000_000

        def write(data: Any) -> None:
            nonlocal room
            file.write(memoryview(data)[:room])
            room -= len(data)
            if room < 0:
                raise OSError(errno.ENOSPC, "No space left on device")

        return write

    monkeypatch.setattr(writer, "put", put)
    for obj in (torch.zeros(300_000), [["word"] * 300_000], list(range(100_000))):
        with pytest.raises(OSError, match="No space left"):
            luann.save(path, obj)
        assert_untouched(path)


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
def test_a_failure_at_the_end(path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def fail(*args: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as m, pytest.raises(OSError, match="Input/output"):
        m.setattr(replacing.os, step, fail)
        luann.save(path, "new")
    assert_untouched(path)


def test_the_content_is_on_the_disk_before_it_gets_the_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    fsync, replace = os.fsync, os.replace

    def synced(handle: int) -> None:
        steps.append(("sync", os.fstat(handle).st_size if stat.S_ISREG(os.fstat(handle).st_mode) else "folder"))
        fsync(handle)

    def replaced(source: str, target: str) -> None:
        steps.append(("replace", os.path.getsize(source)))
        assert os.path.dirname(source) == os.path.dirname(target) == str(path.parent.resolve())
        replace(source, target)

    monkeypatch.setattr(replacing.os, "fsync", synced)
    monkeypatch.setattr(replacing.os, "replace", replaced)
    luann.save(path, "new")
    assert steps == [("sync", 11), ("replace", 11), ("sync", "folder")] and path.stat().st_size == 11


def test_a_crash(path: Path) -> None:
    script = f"""
import os, torch, luann
luann.t7.register_payload("my.Bomb", write=lambda file, obj: os._exit(7))
luann.save({str(path)!r}, [torch.zeros(1_000_000), luann.t7.Unknown("my.Bomb")])
"""
    environment = os.environ | {"PYTHONPATH": str(Path(luann.__file__).parent.parent)}
    assert subprocess.run([sys.executable, "-c", script], env=environment, check=False).returncode == 7
    assert luann.load(path) == "old"


def test_an_exception_in_a_with_block(path: Path) -> None:
    with pytest.raises(KeyError), luann.t7.Writer(path) as file:
        file.write("new")
        raise KeyError
    assert_untouched(path)


def test_modes_and_links(path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    path.chmod(0o640)
    link = tmp_path_factory.mktemp("elsewhere") / "link.t7"
    link.symlink_to(path)
    luann.save(link, "new")
    assert link.is_symlink() and luann.load(path) == "new" and stat.S_IMODE(path.stat().st_mode) == 0o640
    fresh = path.with_name("fresh.t7")
    luann.save(fresh, 1)
    expected = path.with_name("expected")
    expected.touch()
    assert fresh.stat().st_mode == expected.stat().st_mode


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no/where\.t7"):
        luann.save(tmp_path / "no" / "where.t7", 1)
    with pytest.raises(IsADirectoryError):
        luann.save(tmp_path, 1)


def test_a_file_whose_own_pages_are_in_use(path: Path) -> None:
    luann.save(path, torch.arange(100_000.0))
    mapped = luann.load(path, mmap=True)
    mapped[1] = 7
    luann.save(path, [mapped, mapped[::2]])
    again = luann.load(path)
    assert torch.equal(again[0], mapped) and torch.equal(again[1], mapped[::2]) and again[0][1] == 7


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with a name")
def test_a_pipe_is_written_to_directly(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    luann.save(pipe, 5)
    assert luann.load(os.read(reading, 100)) == 5 and stat.S_ISFIFO(pipe.stat().st_mode)
    os.close(reading)
