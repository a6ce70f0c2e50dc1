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
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from fuzz_mutations import Coverage, Pool, mutated
from fuzz_readers import READERS, WEIGHTS, Corpus, write_corpus

SECONDS, BYTES = 5.0, 2 << 30  # for one input
PATIENCE = 120.0  # seconds of wall time, for a process that a busy machine does not let run
BLOCK = 500  # inputs between two reports of the process that reads
TRACED = 3  # of as many inputs one is traced, because that doubles its time
LIFE = 50_000  # inputs after which that process is replaced, so that leaks of libraries do not add up


def outcome_of(path: Path, reader: str) -> str:
    """read, rejected, or what went wrong."""
    from topokd.errors import TopokdError

    try:
        READERS[reader](path)
    except TopokdError as error:
        return "rejected" if path.name.split(".")[0] in str(error) else f"does not name the file: {error}"
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
            outcome = outcome_of(source / name, reader)
        if outcome != "read":
            pipe.send(f"the valid file {name} is not read: {outcome}")
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
                outcome = outcome_of(path, files[name])
            if traced and coverage.grown:
                pool.add(name, data)
            counts[name, outcome if outcome in ("read", "rejected") else "failed"] += 1
            if outcome not in ("read", "rejected"):
                failures.append({"input": number, "file": name, "outcome": outcome})
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
    """Continue the run of a seed, up to a total number of inputs or for a number of seconds.

    Args:
        folder: folder of the counts, the corpus and the failing inputs.
        seed: seed of all draws.
        inputs: total number of inputs, including those of earlier runs.
        seconds: duration of this run.

    Returns:
        The counts, which are also in ``folder``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    report = folder / f"seed{seed}.json"
    record: dict[str, Any] = {"seed": seed, "inputs": 0, "seconds": 0.0, "outcomes": {}, "failures": []}
    if report.is_file():
        record = json.loads(report.read_text())
    skip, before, started = {failure["input"] for failure in record["failures"]}, record["seconds"], time.monotonic()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="topokd-fuzz-", dir=memory if os.access(memory, os.W_OK) else None) as name:
        source = Path(name)
        files = write_corpus(source)
        valid = {file: (source / file).read_bytes() for file in files}
        for file in files:
            record["outcomes"].setdefault(file, {"read": 0, "rejected": 0, "failed": 0})
        watched: Watched | None = None
        try:
            while record["inputs"] < inputs and time.monotonic() - started < seconds:
                watched = watched or Watched(record["inputs"], files, source, folder, seed, skip)
                message = watched.message()
                if isinstance(message, tuple):
                    record["inputs"], counts, failures, record["pairs"], record["corpus"] = message
                    for (file, outcome), count in counts.items():
                        record["outcomes"][file][outcome] += count
                    record["failures"] += failures
                    record["seconds"] = round(before + time.monotonic() - started, 1)
                    write(report, record)
                    continue
                if message is not None:  # the block begins again, without the input that did it
                    number = watched.position.value
                    file = _file_of(files, seed, number)
                    record["failures"].append({"input": number, "file": file, "outcome": message})
                    record["outcomes"][file]["failed"] += 1
                    keep(folder, record["failures"][-1], source / file)
                    skip.add(number)
                    (source / file).write_bytes(valid[file])
                watched = None
        finally:
            if watched is not None:
                watched.process.kill()
            write(report, record)
    return record


def _file_of(files: Corpus, seed: int, number: int) -> str:
    """The file that an input is a mutation of."""
    return draw(weighted(files), random.Random(f"{seed}:{number}"))


def weighted(files: Corpus) -> list[str]:
    """The files, each as often as its reader counts."""
    return [file for file, reader in files.items() for _ in range(WEIGHTS.get(reader, 1))]


def draw(names: list[str], rng: random.Random) -> str:
    """One of the names."""
    return names[rng.randrange(len(names))]


def write(path: Path, record: dict[str, Any]) -> None:
    """The counts, atomically, with the versions that they are of."""
    from topokd.io import write_json
    from topokd.machine import processor_name

    versions = {"python": platform.python_version(), "numpy": np.__version__, "processor": processor_name()}
    write_json(path, record | versions)


def markdown(record: dict[str, Any]) -> str:
    """The record as a page."""
    lines = [
        "# Fuzzing of the readers",
        "",
        f"Written by `python tools/fuzz.py --inputs {record['inputs']} --seed {record['seed']} --record`: "
        f"{record['inputs']:,} inputs in {record['seconds'] / 60:.0f} minutes on one core "
        f"({record['inputs'] / max(record['seconds'], 1):,.0f} per second; {record['processor']}, Python "
        f"{record['python']}, "
        f"NumPy {record['numpy']}). Guided by coverage: {record['corpus']:,} inputs reached new code and joined the "
        "corpus, "
        f"{record['pairs']:,} pairs of lines in the last process. Each input gives a valid result (read) or a "
        f"`TopokdError` that names the file (rejected), within {SECONDS:g} s of processor time and {BYTES >> 30} GB; "
        "anything else is a failure.",
        "",
        "| file | read | rejected | failed |",
        "|---|---:|---:|---:|",
        *(
            f"| {name} | {counts['read']:,} | {counts['rejected']:,} | {counts['failed']:,} |"
            for name, counts in sorted(record["outcomes"].items())
        ),
        "",
        f"Failures: {len(record['failures'])}.",
        *(
            f"- input {failure['input']}, {failure['file']}: {failure['outcome']}"
            for failure in record["failures"][:50]
        ),
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
    record = fuzz(options.folder, options.seed, options.inputs, options.seconds)
    failed = len(record["failures"])
    print(f"{record['inputs']:,} inputs in {record['seconds']:.0f} s, {failed} failures: {options.folder}")
    for failure in record["failures"][:20]:
        print(f"  {failure}")
    if options.record:
        from topokd.io import write_text

        benchmarks = Path(__file__).parents[1] / "benchmarks"
        write(benchmarks / "fuzzing.json", record)
        write_text(benchmarks / "fuzzing.md", markdown(json.loads((benchmarks / "fuzzing.json").read_text())))
    return bool(record["failures"])


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
