"""What is no .t7 file, or a damaged one: every such file is a FormatError that says what is wrong and where."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import random
import struct
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from t7_bytes import T, Writer

import luann.t7 as t7
from luann import Error
from luann.t7 import FormatError

SERIALIZATION = Path(__file__).parent / "reference" / "serialization"
BINARY = sorted(SERIALIZATION.glob("*.bin.t7"))
ASCII = sorted(SERIALIZATION.glob("*.ascii.t7"))


def error_of(data: bytes, **options: object) -> FormatError:
    with pytest.raises(FormatError) as caught:
        t7.load(data, **options)
    assert isinstance(caught.value, (Error, ValueError)) and "\n" not in str(caught.value)
    return caught.value


# Files that are something else


def torch_file(**options: object) -> bytes:
    file = io.BytesIO()
    torch.save({"weight": torch.ones(2)}, file, **options)
    return file.getvalue()


def zip_file(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, b"content")
    return file.getvalue()


def tar_file() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.t7"))
    return file.getvalue()


def npy_file() -> bytes:
    file = io.BytesIO()
    np.save(file, np.ones(2))
    return file.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 132735\n"
HEADER = json.dumps({"weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()

FOREIGN = {
    "an empty file": b"",
    "git lfs pull": LFS,
    "git annex get": b"../../.git/annex/objects/xx",
    "torch.load": torch_file(),
    "old form.*torch.load": torch_file(_use_new_zipfile_serialization=False),
    "pickle.load": pickle.dumps({"a": 1}, protocol=4),
    r"pickle\.load": pickle.dumps([1], protocol=2),
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "web page": b"<!DOCTYPE html>\n<html><head><title>404</title>",
    "web page .HTML.": b"\n\n<HTML><body>Google Drive - Virus scan warning</body></HTML>",
    "XML": b"<?xml version='1.0' encoding='UTF-8'?><Error><Code>AccessDenied</Code></Error>",
    "gunzip": gzip.compress(b"x" * 100),
    "bzip2": b"BZh91AY&SY" + bytes(10),
    "xz": b"\xfd7zXZ\x00\x00\x04",
    "zip archive": zip_file("model.t7"),
    "npz": zip_file("arr_0.npy"),
    "numpy.load": npy_file(),
    "tar": tar_file(),
    "safetensors": struct.pack("<Q", len(HEADER)) + HEADER + bytes(4),
    "JSON": b'{"a": [1, 2, 3]}',
    "JSON file": b"[\n  1,\n 2]",
    "Lua source": b"-- a program\nrequire 'torch'\n",
    "plain text, beginning with 'This file": b"This file was removed.\nSorry.\n",
    "white space": b"\n\n  \n",
    "LuaJIT": b"\x1bLJ\x02\x0a",
    "PNG": b"\x89PNG\r\n\x1a\n" + bytes(30),
    "LMDB": bytes(16) + b"\xde\xc0\xef\xbe" + bytes(200),
    "nothing but zeros": bytes(5000),
    "bytes de ad be ef": b"\xde\xad\xbe\xef" * 10,
    "begins with the bytes 08 07 12": b"\x08\x07\x12\x07pytorch\x1a\x031.0",  # ONNX
}


@pytest.mark.parametrize("says", FOREIGN)
def test_a_foreign_file_is_named_in_one_line(says: str, tmp_path: Path) -> None:
    data = FOREIGN[says]
    with pytest.raises(FormatError, match=says) as caught:
        t7.load(data)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200 and caught.value.offset == 0
    path = tmp_path / "x.t7"
    path.write_bytes(data)
    for options in ({}, {"mmap": True}):
        with pytest.raises(FormatError) as again:
            t7.load(path, **options)
        assert str(again.value) == str(caught.value)


def test_nil_may_be_all_there_is() -> None:
    assert t7.load(bytes(4)) is None and list(t7.Reader(bytes(8))) == [None, None]
    error_of(bytes(4) + b"\xff\xff\xff\xff")


# Damage: what it says


def test_messages_say_what_where_and_at_which_byte() -> None:
    wrong = T.table(
        1, T.string("model"), T.obj(2, "nn.Sequential", T.string("modules"), T.list(4, [T.number(1), T.ints(77)]))
    )
    error = error_of(wrong)
    assert error.where == ".model.modules[2]" and error.offset == len(wrong) - 4
    assert str(error).startswith("77 where the type of an object is wanted, a number from 0 to 8")
    assert "at byte" in str(error) and "in .model.modules[2]" in str(error)
    error = error_of(T.table(1, T.string("odd name"), T.table(2, T.number(1.5), T.ints(-1))))
    assert error.where == "['odd name'][1.5]"
    error = error_of(T.list(1, [T.vector(2, "Float", range(10))])[:-6])
    assert "cut off: 40 bytes wanted for a storage of 10 numbers, 34 left" in str(error) and error.where == "[1]"
    error = error_of(T.list(1, [T.number(1), T.string("text")])[:-2])
    assert "cut off: 4 bytes wanted for a string, 2 left" in str(error) and error.where == "[2]"
    assert "<key 2>" in error_of(T.list(1, [T.number(1), T.number(2)])[:40]).where


def test_ascii_messages() -> None:
    error = error_of(b"3\n1\n1\n2\n4\nname\n1\nnumber\n")
    assert "b'number' where a number is wanted" in str(error) and error.where == ".name" and error.offset == 17
    assert "cut off" in str(error_of(b"3\n1\n1\n2\n4\nname\n"))
    assert "cut off: 9 bytes wanted for a string, 3 left" in str(error_of(b"2\n9\nabc"))


def test_an_unknown_class_with_a_layout_of_its_own() -> None:
    for form in ("bin", "ascii"):
        error = error_of((SERIALIZATION / f"class_packed.{form}.t7").read_bytes())
        assert "golden.Packed" in str(error) and "register_payload('golden.Packed', ...)" in str(error)


HOSTILE = {
    "a table of 2147483647 entries": T.table(1, count=2**31 - 1),
    "a table of -1 entries": T.table(1, count=-1),
    "a table of 3 entries, with 20 bytes left": T.table(1, T.number(1), T.boolean(True), count=3),
    "a storage of 1152921504606846976 numbers": T.head(1, "torch.FloatStorage") + T.longs(2**60),
    "a storage of 1000 numbers": T.head(1, "torch.DoubleStorage") + T.longs(1000) + bytes(100),
    "a storage of -5 numbers": T.head(1, "torch.FloatStorage") + T.longs(-5),
    "2147483647 bytes wanted for a string": T.ints(2, 2**31 - 1) + b"abc",
    "a length of -3 bytes for a string": T.ints(2, -3) + b"abc",
    "a tensor of 1000000 dimensions": T.head(1, "torch.FloatTensor") + T.ints(1_000_000) + bytes(100),
    "a tensor of -1 dimensions": T.head(1, "torch.FloatTensor") + T.ints(-1) + bytes(100),
    r"sizes \[4\] and strides \[1\] at 1 of a storage of 3": T.view(
        1, "Float", [4], [1], 1, T.storage(2, "Float", [1, 2, 3])
    ),
    r"sizes \[2\] and strides \[3\]": T.view(1, "Float", [2], [3], 1, T.storage(2, "Float", [1, 2, 3])),
    "at 3 of a storage of 3": T.view(1, "Float", [2], [1], 3, T.storage(2, "Float", [1, 2, 3])),
    "at 0 of a storage": T.view(1, "Float", [2], [1], 0, T.storage(2, "Float", [1, 2, 3])),
    r"sizes \[-2\]": T.view(1, "Float", [-2], [1], 1, T.storage(2, "Float", [1, 2, 3])),
    r"strides \[-1\]": T.view(1, "Float", [2], [-1], 2, T.storage(2, "Float", [1, 2, 3])),
    r"\[4611686018427387904\] and strides \[4\]": T.view(1, "Float", [2**62], [4], 1, T.storage(2, "Float", [1, 2, 3])),
    r"9223372036854775807, 3\] and strides": T.view(1, "Float", [2**63 - 1, 3], [0, 0], 1, T.storage(2, "Float", [1])),
    r"sizes \[3\] and strides \[1\] without a storage": T.view(1, "Float", [3], [1], 1, T.nil()),
    r"sizes \[3, 0\] and strides \[1, 1\] without": T.view(1, "Float", [3, 0], [1, 1], 1, T.nil()),
    "torch.DoubleStorage' where a torch.FloatTensor has": T.view(1, "Float", [1], [1], 1, T.storage(2, "Double", [1])),
    "torch.DoubleStorage where a torch.FloatTensor has": T.list(
        5, [T.storage(2, "Double", [1]), T.view(1, "Float", [1], [1], 1, T.ref(2, 4))]
    ),
    "list where a torch.FloatTensor has": T.list(
        5, [T.list(2, [T.nil()] * 0 + [T.number(1)]), T.view(1, "Float", [1], [1], 1, T.ref(2, 4))]
    ),
    "where a torch.FloatTensor has its storage": T.view(1, "Float", [1], [1], 1, T.ref(1, 4)),
    "type 3 where a torch.FloatTensor has": T.view(1, "Float", [1], [1], 1, T.table(2)),
    "nil as the key": T.table(1, T.nil(), T.number(1)),
    "nan as the key": T.table(1, T.number(float("nan")), T.number(1)),
    "cut off": T.head(1, "torch.Generator") + bytes(100),
    "where the fields of a some.Class are wanted": T.head(1, "some.Class") + T.string("text"),
    "where the name of a class is wanted": T.head(1, "\0\1\2") + T.table(2),
    "5 entries, with 0 bytes left": T.head(1, "tds.Vec") + T.longs(5),
    "-1 entries": T.head(1, "tds.Hash") + T.longs(-1) + bytes(20),
}


@pytest.mark.parametrize("says", HOSTILE)
def test_hostile_sizes(says: str) -> None:
    with pytest.raises(FormatError, match=says) as caught:
        t7.load(HOSTILE[says])
    assert caught.value.offset is not None and len(str(caught.value)) < 400


def test_hostile_sizes_in_ascii() -> None:
    def storage(kind: str, count: int) -> bytes:
        return b"4\n1\n3\nV 1\n%d\ntorch.%sStorage\n%d\n1 2 3\n" % (13 + len(kind), kind.encode(), count)

    for data in (
        b"3\n1\n2147483647\n",
        b"3\n1\n-1\n",
        b"2\n2147483647\nabc\n",
        storage("Double", 2**60),
        storage("Byte", 2**60),
        storage("Double", -1),
        storage("Double", 2**70),
        b"1\n" + b"9" * 5000,
        b"9" * 50,
        b"2\n99999999999999999999\n",
        b"5\nx\n",
        b"7\n",
    ):
        error_of(data)


def test_memory_is_bounded_whatever_a_file_claims() -> None:
    claims = [
        HOSTILE[name] for name in HOSTILE if "entries" in name or "storage of 1" in name or "bytes wanted" in name
    ]
    assert len(claims) >= 6
    tracemalloc.start()
    try:
        for data in claims:
            error_of(data)
        assert tracemalloc.get_traced_memory()[1] < 3e6  # the window of one megabyte, and small things
    finally:
        tracemalloc.stop()


def test_a_long_nest_of_guesses_takes_two_passes() -> None:
    """Tables that only their end shows to be no lists, each inside the one before: not a pass for each."""
    depth = 3000
    opening = b"".join(
        T.ints(3, 2 * i + 1, 3) + T.number(1) + T.list(2 * i + 2, [T.ref(2 * i + 1)]) + T.number(2)
        for i in range(depth)
    )
    closing = (T.string("name") + T.boolean(True)) * depth
    table = t7.load(opening + T.boolean(False) + closing)
    for _ in range(depth):
        assert table.name is True and table[1][0] is table
        table = table[2]
    assert table is False


# Damage: wherever it is


@pytest.mark.parametrize("path", [*BINARY, *ASCII], ids=lambda p: p.name.removesuffix(".t7"))
def test_truncated_files(path: Path) -> None:
    """Cut at any byte, a file is an error that says so; never something else, never half an object."""
    data = path.read_bytes()
    whole = len(data.rstrip(b"\n")) if ".ascii." in path.name else len(data)
    places = range(whole) if whole < 1500 else sorted({*range(0, whole, whole // 300), *range(whole - 30, whole)})
    for end in places:
        cut = data[:end]
        try:
            value = t7.load(cut)
        except FormatError as error:
            assert "\n" not in str(error) and (error.offset is None or 0 <= error.offset <= end)
            says = (
                "cut off",
                "an empty file",
                "bytes left for them",
                "where",
                "ends after",
                "white space",
                "plain text",
                "no .t7",
            )
            assert any(part in str(error) for part in says), error
        else:
            raise AssertionError(f"{end} of {len(data)} bytes gave {value!r}")


def test_a_truncated_file_on_disk(tmp_path: Path) -> None:
    data = T.list(1, [T.vector(2, "Float", range(600_000)), T.string("end")])
    path = tmp_path / "x.t7"
    for end in (10, 1000, 2**20, 2**20 + 7, 2_000_000, len(data) - 5):
        path.write_bytes(data[:end])
        for options in ({}, {"mmap": True}):
            with pytest.raises(FormatError, match=r"cut off|bytes left"):
                t7.load(path, **options)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """The data with a few bytes changed, taken out, put in, or numbers set to what is likely to hurt."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        if not changed:
            break
        at = rng.randrange(len(changed))
        what = rng.randrange(6)
        if what == 0:
            changed[at] = rng.randrange(256)
        elif what == 1:
            changed[at] ^= 1 << rng.randrange(8)
        elif what == 2:
            del changed[at : at + rng.choice((1, 4, 8))]
        elif what == 3:
            changed[at:at] = bytes(rng.randrange(256) for _ in range(rng.choice((1, 4, 8))))
        elif what == 4:
            at -= at % 4
            value = rng.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, -1, 2**31 - 1, -(2**31), rng.randrange(100)))
            changed[at : at + 4] = struct.pack("<i", value)
        else:
            start = rng.randrange(len(changed))
            changed[at:at] = changed[start : start + rng.randrange(64)]
    return bytes(changed)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("form", ["bin", "ascii"])
def test_mutated_files(form: str, known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a file holds, loading it gives an object or a FormatError: nothing else, and soon."""
    if not known:
        monkeypatch.setattr(t7.reader, "classes", {})
    rng = random.Random(f"{form}{known}")
    files = [path.read_bytes() for path in (BINARY if form == "bin" else ASCII)]
    made = Writer()
    files += [
        made.list(1, [made.vector(2, "Float", range(5)), made.head(9, "tds.Vec") + made.longs(1) + made.ref(1)])
    ] * 5
    files = [data for data in files if len(data) < 3000]
    loaded = 0
    for _ in range(4000):
        data = mutated(rng.choice(files), rng)
        try:
            t7.load(data)
            loaded += 1
        except FormatError as error:
            assert "\n" not in str(error)
    assert 0 < loaded < 4000


def test_nothing_in_a_file_is_run() -> None:
    """Loading every function of the reference imports nothing and starts nothing: no Lua, no pickle, no process."""
    program = (
        "import sys, luann.t7 as t7\n"
        "banned = 'os.system', 'subprocess.Popen', 'exec', 'compile', 'marshal.loads', 'pickle.find_class', 'import'\n"
        "sys.addaudithook(lambda event, args: event in banned and sys.exit(f'{event} {args[:1]}'))\n"
        "for path in sys.argv[1:]: t7.load(path)\n"
        "print('done')"
    )
    paths = [str(path) for path in BINARY if path.name.startswith(("function", "legacy_function", "class_child"))]
    assert len(paths) == 6
    root = Path(__file__).parent.parent
    result = subprocess.run(
        [sys.executable, "-c", program, *paths], cwd=root, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.stdout == "done\n", result.stderr
