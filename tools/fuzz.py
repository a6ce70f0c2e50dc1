"""Feed mutated files to every reader: each must give a valid result or a clean error, within 5 s and 2 GB.

    python tools/fuzz.py --seconds 60              a minute, as in CI
    python tools/fuzz.py --inputs 1000000          continues where the last run of this seed stopped
    python tools/fuzz.py --repeat FILE             read one kept input again, with its error

The search is guided by coverage: an input that reaches a new pair of successive lines in topokd or in a library that
parses the format joins the corpus, and later inputs are mutations of it. Readers run in one long-lived process with a
limit on its memory; another one watches it, and restarts it after a crash or a hang. What is neither a valid
result nor a `TopokdError` that names the file is a failure: its input is kept in the folder, and the run continues.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import platform
import random
import resource
import shutil
import struct
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np
import psutil
from fuzz_readers import READERS, WEIGHTS, Corpus, write_corpus

SECONDS, BYTES = 5.0, 2 << 30  # for one input
PATIENCE = 120.0  # seconds of wall time, for a process that a busy machine does not let run
BLOCK = 500  # inputs between two reports of the process that reads
TRACED = 3  # of as many inputs one is traced, because that doubles its time
LIFE = 50_000  # inputs after which that process is replaced, so that leaks of libraries do not add up
KEPT, LARGEST = 300, 32_768  # inputs of one file that join the corpus, and bytes of each
LIBRARIES = ("plyfile", "laspy", "zipfile", "json", "safetensors", "numpy/lib/_npyio", "numpy/lib/_format")
PIECES = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\xff" * 4,
    b"\xff\xff\xff\x7f",
    b"\0\0\0\x80",
    b"999999999999",
    b"-1",
    b"nan",
    b"1e308",
)
NUMBERS = (0, 1, 255, 1 << 16, (1 << 31) - 1, (1 << 32) - 1)


class Coverage:
    """Whether a call reached new code: pairs of successive lines of topokd's files and of `LIBRARIES`."""

    def __init__(self) -> None:
        self.pairs, self.grown = 0, False
        self._tracers: dict[CodeType, Any] = {}

    def __enter__(self) -> Coverage:
        self.grown = False
        sys.settrace(self._call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _call(self, frame: FrameType, _event: str, _argument: Any) -> Any:
        code = frame.f_code
        if code not in self._tracers:
            file = code.co_filename
            ours = "/topokd/" in file or any(f"/{name}" in file for name in LIBRARIES)
            self._tracers[code] = self._tracer() if ours else None
        return self._tracers[code]

    def _tracer(self) -> Any:
        seen, last = set[tuple[int, int]](), 0

        def trace(frame: FrameType, _event: str, _argument: Any) -> Any:
            nonlocal last
            pair, last = (last, frame.f_lineno), frame.f_lineno
            if pair not in seen:
                seen.add(pair)
                self.pairs += 1
                self.grown = True
            return trace

        return trace


def mutated(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """``content`` after one to eight changes; some copy a piece of one of ``others``."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 8)):
        # most of what a reader believes stands at the beginning or the end
        most = min(len(data), 600) if rng.random() < 0.7 else len(data)
        at = rng.randint(0, most) if rng.random() < 0.8 else max(0, len(data) - rng.randint(1, 200))
        kind = rng.randrange(8)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            piece = rng.choice(PIECES)
            data[at : at + len(piece)] = piece
        elif kind == 2:
            del data[at : at + rng.randint(1, 32)]
        elif kind == 3:
            data[at:at] = rng.randbytes(rng.randint(1, 32))
        elif kind == 4 and rng.random() < 0.3:
            del data[at:]
        elif kind == 5:
            data[at : at + 4] = struct.pack("<I", rng.choice((*NUMBERS, len(data))))
        elif kind == 6:
            size = rng.randint(1, 40)
            data[at:at] = data[max(0, at - size) : at]  # twice
        else:
            other = rng.choice(others)
            start = rng.randint(0, len(other))
            data[at : at + 16] = other[start : start + 16]
    return bytes(data)


class Pool:
    """The contents to mutate: of each file the valid one, and inputs that reached new code, kept in a folder."""

    def __init__(self, folder: Path, files: Corpus, source: Path) -> None:
        self.folder = folder
        self.of = {name: [(source / name).read_bytes()] for name in files}
        for name, contents in self.of.items():
            contents += [file.read_bytes() for file in sorted(self._place(name).glob("*"))]

    def draw(self, name: str, rng: random.Random) -> bytes:
        """The valid file, or one of those that were added."""
        contents = self.of[name]
        return contents[0] if rng.random() < 0.3 else rng.choice(contents)

    def add(self, name: str, data: bytes) -> None:
        """Keep an input, if there is room."""
        contents = self.of[name]
        if len(contents) <= KEPT and len(data) <= LARGEST:
            place = self._place(name)
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{len(contents):04d}").write_bytes(data)
            contents.append(data)

    def _place(self, name: str) -> Path:
        return self.folder / name.replace("/", "-")


def outcome_of(path: Path, reader: str) -> str:
    """read, refused, or what went wrong."""
    from topokd.errors import TopokdError

    try:
        READERS[reader](path)
    except TopokdError as error:
        return "refused" if path.name.split(".")[0] in str(error) else f"does not name the file: {error}"
    except BaseException as error:  # also SystemExit and KeyboardInterrupt: none is a clean error
        return f"{type(error).__name__}: {str(error)[:200]}"
    return "read"


def limit_memory() -> None:
    """Allow `BYTES` of address space more than this process has now."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, resource.RLIM_INFINITY))


def serve(
    pipe: Connection, position: Any, files: Corpus, source: Path, folder: Path, seed: int, skip: set[int]
) -> None:
    """The process that reads: inputs ``position.value``, ..., with a report after each block."""
    import logging
    import warnings

    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what crashing libraries say
    pool, coverage, names = Pool(folder / f"corpus-seed{seed}", files, source), Coverage(), weighted(files)
    for name, reader in files.items():
        with coverage:
            found = outcome_of(source / name, reader)
        if found != "read":
            pipe.send(f"the valid file {name} is not read: {found}")
            return
    valid = {name: contents[0] for name, contents in pool.of.items()}
    pipe.send(None)
    first, counts, failures = position.value, Counter[tuple[str, str]](), list[dict[str, Any]]()
    for number in range(first, first + LIFE):
        position.value = number
        if number not in skip:
            rng = random.Random(f"{seed}:{number}")
            name = draw(names, rng)
            data = mutated(pool.draw(name, rng), pool.of[rng.choice(names)], rng)
            path = source / name
            path.write_bytes(data)
            limit_memory()
            traced = number % TRACED == 0
            with coverage if traced else contextlib.nullcontext():
                found = outcome_of(path, files[name])
            if traced and coverage.grown:
                pool.add(name, data)
            counts[name, found if found in ("read", "refused") else "failed"] += 1
            if found not in ("read", "refused"):
                failures.append({"input": number, "file": name, "outcome": found})
                keep(folder, failures[-1], path)
            path.write_bytes(valid[name])
        if (number + 1) % BLOCK == 0:
            kept = sum(len(contents) - 1 for contents in pool.of.values())
            pipe.send((number + 1, counts, failures, coverage.pairs, kept))
            counts, failures = Counter(), []


def keep(folder: Path, failure: dict[str, Any], path: Path) -> None:
    """Copy a failing input."""
    kept = folder / "failures" / f"{failure['input']}-{failure['file'].replace('/', '-')}"
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, kept)


class Watched:
    """The process that reads, and what ended it."""

    def __init__(self, start: int, *arguments: Any) -> None:
        self.position = multiprocessing.Value("q", start, lock=False)
        self.pipe, there = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=serve, args=(there, self.position, *arguments), daemon=True)
        self.process.start()
        there.close()
        message = self.pipe.recv()  # when all libraries are imported
        if message is not None:
            raise SystemExit(message)
        self._at, self._since, self._used = -1, 0.0, 0.0

    def message(self) -> Any:
        """The next report; a text if the process crashed or hangs; None when it has done its share."""
        while True:
            if self.pipe.poll(0.2):
                try:
                    return self.pipe.recv()
                except EOFError:
                    self.process.join()
                    status = self.process.exitcode
                    return None if status == 0 else f"crash: exit status {status}"
            used = self._processor_seconds()
            if self.position.value != self._at:
                self._at, self._since, self._used = self.position.value, time.monotonic(), used
            elif used - self._used > SECONDS or time.monotonic() - self._since > PATIENCE:
                self.process.kill()
                self.process.join()
                return f"hang: more than {SECONDS:g} s"

    def _processor_seconds(self) -> float:
        try:
            times = psutil.Process(self.process.pid).cpu_times()
        except psutil.NoSuchProcess:
            return self._used
        return times.user + times.system


def fuzz(folder: Path, seed: int, inputs: int, seconds: float) -> dict[str, Any]:
    """Go on with the run of a seed until there are so many inputs in all, or for so long.

    Args:
        folder: Of the counts, the corpus and the failing inputs.
        seed: Of all draws.
        inputs: In all, with those of earlier runs.
        seconds: Of this run.

    Returns:
        The counts, which are also in ``folder``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    report = folder / f"seed{seed}.json"
    found: dict[str, Any] = {"seed": seed, "inputs": 0, "seconds": 0.0, "outcomes": {}, "failures": []}
    if report.is_file():
        found = json.loads(report.read_text())
    skip, before, started = {failure["input"] for failure in found["failures"]}, found["seconds"], time.monotonic()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="topokd-fuzz-", dir=memory if os.access(memory, os.W_OK) else None) as name:
        source = Path(name)
        files = write_corpus(source)
        valid = {file: (source / file).read_bytes() for file in files}
        for file in files:
            found["outcomes"].setdefault(file, {"read": 0, "refused": 0, "failed": 0})
        watched: Watched | None = None
        try:
            while found["inputs"] < inputs and time.monotonic() - started < seconds:
                watched = watched or Watched(found["inputs"], files, source, folder, seed, skip)
                message = watched.message()
                if isinstance(message, tuple):
                    found["inputs"], counts, failures, found["pairs"], found["corpus"] = message
                    for (file, outcome), count in counts.items():
                        found["outcomes"][file][outcome] += count
                    found["failures"] += failures
                    found["seconds"] = round(before + time.monotonic() - started, 1)
                    write(report, found)
                    continue
                if message is not None:  # the block begins again, without the input that did it
                    number = watched.position.value
                    file = _file_of(files, seed, number)
                    found["failures"].append({"input": number, "file": file, "outcome": message})
                    found["outcomes"][file]["failed"] += 1
                    keep(folder, found["failures"][-1], source / file)
                    skip.add(number)
                    (source / file).write_bytes(valid[file])
                watched = None
        finally:
            if watched is not None:
                watched.process.kill()
            write(report, found)
    return found


def _file_of(files: Corpus, seed: int, number: int) -> str:
    """The file that an input is a mutation of."""
    return draw(weighted(files), random.Random(f"{seed}:{number}"))


def weighted(files: Corpus) -> list[str]:
    """The files, each as often as its reader counts."""
    return [file for file, reader in files.items() for _ in range(WEIGHTS.get(reader, 1))]


def draw(names: list[str], rng: random.Random) -> str:
    """One of the names."""
    return names[rng.randrange(len(names))]


def write(path: Path, found: dict[str, Any]) -> None:
    """The counts, atomically, with the versions that they are of."""
    from topokd.io import write_json
    from topokd.machine import processor_name

    versions = {"python": platform.python_version(), "numpy": np.__version__, "processor": processor_name()}
    write_json(path, found | versions)


def markdown(found: dict[str, Any]) -> str:
    """The record as a page."""
    lines = [
        "# Fuzzing of the readers",
        "",
        f"Written by `python tools/fuzz.py --inputs {found['inputs']} --seed {found['seed']} --record`: "
        f"{found['inputs']:,} inputs in {found['seconds'] / 60:.0f} minutes on one core "
        f"({found['inputs'] / max(found['seconds'], 1):,.0f} per second; {found['processor']}, Python "
        f"{found['python']}, "
        f"NumPy {found['numpy']}). Guided by coverage: {found['corpus']:,} inputs reached new code and joined the "
        "corpus, "
        f"{found['pairs']:,} pairs of lines in the last process. Each input gives a valid result (read) or a "
        "`TopokdError` that names "
        f"the file (refused), within {SECONDS:g} s of processor time and {BYTES >> 30} GB; anything else is a failure.",
        "",
        "| file | read | refused | failed |",
        "|---|---:|---:|---:|",
        *(
            f"| {name} | {counts['read']:,} | {counts['refused']:,} | {counts['failed']:,} |"
            for name, counts in sorted(found["outcomes"].items())
        ),
        "",
        f"Failures: {len(found['failures'])}.",
        *(f"- input {failure['input']}, {failure['file']}: {failure['outcome']}" for failure in found["failures"][:50]),
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Command line; exit status 1 if any input failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="stop at this many in all")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop this run after so long")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeat", type=Path, metavar="FILE", help="read a kept input again, with its error")
    parser.add_argument("--folder", type=Path, default=Path("workspace/fuzz"), help="counts, corpus and failing inputs")
    parser.add_argument("--record", action="store_true", help="write benchmarks/fuzzing.json and .md")
    options = parser.parse_args()
    if options.repeat is not None:
        return repeat(options.repeat)
    found = fuzz(options.folder, options.seed, options.inputs, options.seconds)
    print(
        f"{found['inputs']:,} inputs in {found['seconds']:.0f} s, {len(found['failures'])} failures: {options.folder}"
    )
    for failure in found["failures"][:20]:
        print(f"  {failure}")
    if options.record:
        from topokd.io import write_text

        benchmarks = Path(__file__).parents[1] / "benchmarks"
        write(benchmarks / "fuzzing.json", found)
        write_text(benchmarks / "fuzzing.md", markdown(json.loads((benchmarks / "fuzzing.json").read_text())))
    return bool(found["failures"])


def repeat(kept: Path) -> int:
    """Read a failing input again; its name says which file it is a mutation of."""
    with tempfile.TemporaryDirectory(prefix="topokd-fuzz-") as name:
        files = write_corpus(Path(name))
        (file,) = [file for file in files if kept.name.split("-", 1)[1] == file.replace("/", "-")]
        shutil.copy(kept, Path(name, file))
        READERS[files[file]](Path(name, file))
    return 0


if __name__ == "__main__":
    sys.exit(main())
