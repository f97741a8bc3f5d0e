"""Feeds damaged files to the reader of .t7: whatever they hold, the answer is an object or a FormatError, and soon.

    python tools/fuzz_t7.py                     # 100,000 cases made from compat_tests/reference/serialization
    python tools/fuzz_t7.py --cases 1000000 --seed 7 model.t7 other.t7

Each case is a real file, cut off, changed by the mutators of ``compat_tests/test_t7_damage.py``, or glued to the rest
of another. It is loaded with known and with unknown classes, from bytes and from a memory map, with the size of longs
found out or given; what stands before the damage is told as ``luann show`` does, and what could be loaded is saved.
Another exception than FormatError, more than 10 seconds, or memory far beyond the file's size is a failure: the file is
kept, and the exit status is 1. It needs pytest installed, and Linux or macOS.
"""

from __future__ import annotations

import argparse
import io
import random
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "compat_tests")]

from test_t7_damage import mutated  # noqa: E402

from luann import Error, show, t7  # noqa: E402

SECONDS = 10
MEMORY = 64 << 20  # bytes beyond what the process needs anyway; a case has a few thousand


def damaged(files: list[bytes], rng: random.Random) -> bytes:
    """A file that is broken somehow."""
    data = rng.choice(files)
    how = rng.randrange(8)
    if how == 0:
        return data[: rng.randrange(len(data))]
    if how == 1:
        other = rng.choice(files)
        return data[: rng.randrange(len(data))] + other[rng.randrange(len(other)) :]
    data = mutated(data, rng)
    return data[: rng.randrange(len(data) + 1)] if how == 2 else data


@contextmanager
def unknown_classes(unknown: bool) -> Iterator[None]:
    """Have the reader know no class, if wanted."""
    classes = t7.reader.classes
    t7.reader.classes = {} if unknown else classes
    try:
        yield
    finally:
        t7.reader.classes = classes


def run(data: bytes, rng: random.Random, place: Path) -> str:
    """Load, salvage, tell and save one file; returns what became of it."""
    options: dict[str, Any] = {"long_size": rng.choice((None, None, 4, 8))}
    file: Any = data
    if rng.random() < 0.1:
        place.write_bytes(data)
        file, options["mmap"] = place, rng.random() < 0.5
    try:
        with unknown_classes(rng.random() < 0.3):
            found = t7.salvage(file, **options)
    except t7.FormatError as error:
        assert "\n" not in str(error), "a message of several lines"
        return "refused"
    with suppress(RecursionError):  # a module inside itself, which `luann show` refuses
        show.render(show.describe(found.value, "", None, found.error, found.incomplete))
    if found.error is None:
        try:
            t7.save(io.BytesIO(), found.value, rng.choice(("binary", "ascii")))
        except Error:
            return "loaded, not saved"
        return "loaded"
    assert "\n" not in str(found.error), "a message of several lines"
    return "salvaged"


def peak() -> int:
    """The most memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def too_long(*args: Any) -> None:
    """What the alarm calls."""
    raise TimeoutError(f"it takes longer than {SECONDS} seconds")


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, help="files to damage; default the reference's")
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, metavar="N", help="begin with case N, to repeat a failure")
    parser.add_argument("--keep", type=Path, default=Path("fuzz_t7"), metavar="DIR", help="where to keep what fails")
    options = parser.parse_args()
    paths = options.files or sorted((ROOT / "compat_tests/reference/serialization").glob("*.t7"))
    files = [data for data in (path.read_bytes() for path in paths) if len(data) < 20_000 or options.files]
    options.keep.mkdir(exist_ok=True)
    place = options.keep / "case.t7"
    signal.signal(signal.SIGALRM, too_long)
    for data in files:  # what whole files need, is needed anyway
        run(data, random.Random(0), place)
    results: Counter[str] = Counter()
    slowest, before, start = (0.0, 0), peak(), time.perf_counter()
    for case in range(options.first, options.first + options.cases):
        rng = random.Random(f"{options.seed} {case}")
        data = damaged(files, rng)
        began = time.perf_counter()
        signal.alarm(SECONDS)
        try:
            result = run(data, rng, place)
            grown = peak() - before
            if grown > MEMORY + 20 * len(data):
                raise MemoryError(f"{grown} bytes for a file of {len(data)}")
        except Exception as error:
            result = "FAILED"
            kept = options.keep / f"{options.seed}_{case}.t7"
            kept.write_bytes(data)
            print(f"case {case}: {type(error).__name__}: {error} ({kept})", flush=True)
            before = peak()
        finally:
            signal.alarm(0)
        slowest = max(slowest, (time.perf_counter() - began, case))
        results[result] += 1
        if sys.stderr.isatty() and case % 1000 == 999:
            print(f"\r{case + 1}: {dict(results)}", end="", file=sys.stderr, flush=True)
    place.unlink(missing_ok=True)
    told = ", ".join(f"{count} {result}" for result, count in sorted(results.items()))
    print(
        f"{options.cases} cases from {len(files)} files in {time.perf_counter() - start:.0f} s: {told}; "
        f"slowest {slowest[0] * 1000:.0f} ms (case {slowest[1]}), memory grew by {(peak() - before) / 2**20:.1f} MiB"
    )
    if not any(options.keep.iterdir()):
        options.keep.rmdir()
    return 1 if results["FAILED"] else 0


if __name__ == "__main__":
    sys.exit(main())
