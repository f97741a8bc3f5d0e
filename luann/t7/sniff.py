"""What a file is that is no .t7 file, and what to do about it.

Half of the "unknown object" reports about .t7 readers were about files that were something else.
"""

from __future__ import annotations

import re

_FETCH = "fetch the file itself"
_TORCH_LOAD = "load it with torch.load"

_STARTS: list[tuple[bytes, str]] = [
    (b"version https://git-lfs", "a Git-LFS pointer, not the file itself: run `git lfs pull`, or download the file"),
    (b"../../.git/annex/", f"a git-annex pointer, not the file itself: run `git annex get`, or {_FETCH}"),
    (b"/annex/objects/", f"a git-annex pointer, not the file itself: run `git annex get`, or {_FETCH}"),
    (b"\x1f\x8b", "gzip-compressed: decompress it with `gunzip` (or `tar xzf`) first"),
    (b"BZh", "bzip2-compressed: decompress it with `bunzip2` (or `tar xjf`) first"),
    (b"\xfd7zXZ\x00", "xz-compressed: decompress it with `unxz` (or `tar xJf`) first"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed: decompress it with `unzstd` first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive: unpack it first"),
    (b"Rar!\x1a\x07", "a RAR archive: unpack it first"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file: read it with h5py"),
    (b"\x93NUMPY", "a NumPy array: load it with numpy.load"),
    (b"MATLAB 5.0", "a MATLAB file: read it with scipy.io.loadmat"),
    (b"\x1bLJ", "compiled Lua (LuaJIT bytecode), a program and no data"),
    (b"\x1bLua", "compiled Lua, a program and no data"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF document"),
    (b"\x7fELF", "a program or library (ELF)"),
    (b"SQLite format 3\x00", "an SQLite database"),
]


def describe(head: bytes, size: int) -> str:
    """One line that says what a file is and what to do.

    Args:
        head: its first bytes, some hundred or more.
        size: how many bytes it has in all.
    """
    for start, what in _STARTS:
        if head.startswith(start):
            return what
    if head.startswith(b"PK\x03\x04"):
        if b"/data.pkl" in head[:4096]:
            return f"a PyTorch file (torch.save): {_TORCH_LOAD}"
        if b".npy" in head[:256]:
            return "NumPy arrays (.npz): load it with numpy.load"
        return "a zip archive: unpack it first"
    if head.startswith(b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46"):
        return f"a PyTorch file in the old form (torch.save before 1.6): {_TORCH_LOAD}"
    if re.match(rb"\x80[\x02-\x05]", head):
        return "a Python pickle: load it with pickle.load, or torch.load if PyTorch wrote it"
    if head[16:20] in (b"\xde\xc0\xef\xbe", b"\xbe\xef\xc0\xde"):
        return "an LMDB database: read it with lmdb; its values may be .t7 data, which luann.load takes as bytes"
    if head[257:262] == b"ustar":
        return "a tar archive: unpack it with `tar xf` first"
    if len(head) > 9 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size - 8:
        return "a safetensors file: load it with safetensors.torch.load_file"
    return _text(head) or f"no .t7 file: it begins with the bytes {head[:8].hex(' ')}"


def _text(head: bytes) -> str | None:
    """What a text file is; ``None`` for what is no text."""
    try:
        text = head[:512].decode("utf-8", "strict" if len(head) < 512 else "ignore")
    except UnicodeDecodeError:
        return None
    if not all(c.isprintable() or c in "\t\r\n\f\ufeff" for c in text):
        return None
    text = text.lstrip("\ufeff \t\r\n\f")
    low = text[:256].lower()
    if low.startswith(("<!doctype html", "<html", "<head", "<body")) or "<html" in low:
        return "a web page (HTML), probably an error page saved in place of a download: fetch the file again"
    if low.startswith("<?xml"):
        return "an XML document, perhaps a server's error message saved in place of a download: fetch the file again"
    if re.match(r'[{\[]\s*(["{\[\]}\d-]|true|false|null)', low):
        return "a JSON file: load it with json.load"
    if re.match(r"(--|#!.*lua|require\W|local\s)", low):
        return "Lua source text, not saved data"
    return f"plain text, beginning with {text.splitlines()[0][:40]!r}" if text else "a file of white space only"
