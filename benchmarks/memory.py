"""Resident memory of long runs: training processes, and a loader worker over 20 epochs.

    python benchmarks/memory.py
    python benchmarks/memory.py training --steps 1000

``teacher``: the first 700 steps of the default profile's teacher, with the C library's allocator and with jemalloc (if
it is installed), each in the environment of the pipeline's notebooks; both processes run at the same time.
``training``: the student of row `plain` with the tiny network, on whole synthetic scans (no crop, so that every step
allocates other sizes), in a separate process; its memory is that of `train.workers: 0`, scans included. ``loader``:
one worker process of `topokd.data.prefetch`. Flat: the line fitted through the last four fifths rises by less than 5 %
of their median from its first point to its last.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import psutil
from report import Rows, keep, table

from topokd import params as P
from topokd.data import Batch, prefetch, training_batch
from topokd.io import read_json, write_json
from topokd.pipeline.allocator import allocator_environment, jemalloc
from topokd.scans import open_dataset

TITLE = "Memory of long runs"
WORLD = P.Synthetic(azimuths=64, train_sequences=(0, 1, 2), val_sequences=(8,), scans_per_sequence=4)
DATA = P.Data(voxel_size=1.0, crop_voxels=0, synthetic=WORLD)
FLAT = 0.05


def profile(folder: Path, steps: int) -> P.Params:
    """Tiny networks on whole scans, with everything written into ``folder``."""
    params = P.load_profile("default").replace(
        data=DATA.replace(root=str(folder / "data")),
        model=P.Model(teacher="ptv3-tiny", student="ptv3-tiny"),
        train=P.Train(
            teacher_steps=4,
            student_steps=steps,
            validate_every=500,
            validate_scans=2,
            checkpoint_every=100,
            keep_teacher=False,
        ),
    )
    return params.with_term("topo", num_points=16)


def growth(values: list[float]) -> float:
    """By how much the line through the last four fifths rises, as a share of their median."""
    late = np.array(values[len(values) // 5 :])
    slope = np.polyfit(np.arange(len(late)), late, 1)[0]
    return float(slope * (len(late) - 1) / np.median(late))


def _row(process: str, count: int, values: list[float]) -> dict[str, Any]:
    return {
        "process": process,
        "count": count,
        "first": values[0],
        "fifth": values[len(values) // 5],
        "last": values[-1],
        "largest": max(values),
        "growth": growth(values),
        "curve": {"MB": [round(value, 1) for value in values]},
    }


def _train(folder: Path, params: P.Params) -> None:
    os.environ["TOPOKD_ROOT"] = str(folder)
    from topokd.training import train_student

    train_student(params, "plain", 0)


def training(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The training process; the samples are those of its live curve."""
    with tempfile.TemporaryDirectory(prefix="topokd-memory-") as name:
        folder = Path(name)
        process = multiprocessing.get_context("spawn").Process(
            target=_train, args=(folder, profile(folder, options.steps))
        )
        process.start()
        process.join()
        if process.exitcode != 0:
            raise SystemExit(f"training ended with status {process.exitcode}")
        values = _memory_curve(folder)
    yield _row("training, row plain, tiny network", options.steps, values)


def teacher(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The default profile's teacher, with each allocator."""
    with tempfile.TemporaryDirectory(prefix="topokd-memory-") as name:
        open_dataset(P.load_profile("default").data, Path(name, "data"), "train")  # writes the scans
        running = {}
        for library in dict.fromkeys((None, jemalloc())):
            folder = Path(name, "system" if library is None else "jemalloc")
            environment = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
            environment |= allocator_environment(environment, library)
            command = [
                sys.executable,
                __file__,
                "--teacher",
                str(folder),
                "--teacher-steps",
                str(options.teacher_steps),
            ]
            running[folder] = subprocess.Popen(command, env=environment)
        for folder, process in running.items():
            if process.wait() != 0:
                raise SystemExit(f"training ended with status {process.returncode}")
            values = _memory_curve(folder)
            speed = read_json(folder / "seconds.json")
            yield _row(f"teacher, {folder.name} allocator", options.teacher_steps, values) | {"seconds": speed}


def _train_teacher(folder: Path, steps: int) -> None:
    """The first steps of the default profile's teacher; writes the CPU time per step, with the final evaluation."""
    from topokd.training import train_teacher

    params = P.load_profile("default")
    os.environ["TOPOKD_ROOT"] = str(folder)
    params = params.replace(
        data=params.data.replace(root=str(folder.parent / "data")),
        train=params.train.replace(teacher_steps=steps, validate_every=steps, validate_scans=1),
    )
    started = time.process_time()
    train_teacher(params, 0)
    write_json(folder / "seconds.json", (time.process_time() - started) / steps)


def _memory_curve(folder: Path) -> list[float]:
    (curve,) = folder.glob("workspace/*/live/*/plots/metrics/memory_gb.tsv")
    return [1000 * float(line.split("\t")[1]) for line in curve.read_text().splitlines()[1:]]


def loader(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The worker process."""
    with tempfile.TemporaryDirectory(prefix="topokd-memory-") as name:
        dataset = open_dataset(DATA, Path(name, "data"), "train")
        size = 2
        steps = len(dataset) // size

        def draw(step: int) -> Batch:
            return training_batch(dataset, DATA, 0, step, size)

        before = {child.pid for child in psutil.Process().children()}  # that wrote the scans
        values = []
        for step, _ in enumerate(prefetch(draw, range(options.epochs * steps), workers=1)):
            if (step + 1) % steps == 0:
                (worker,) = [child for child in psutil.Process().children() if child.pid not in before]
                values.append(worker.memory_info().rss / 1e6)
    yield _row("worker of the loader, whole scans", options.epochs, values)


def _page(title: str, unit: str) -> Callable[[Rows], list[str]]:
    def write(rows: Rows) -> list[str]:
        head = ["process", unit, "first (MB)", "after a fifth (MB)", "last (MB)", "largest (MB)", "growth", "flat"]
        head += ["CPU time per step, with the final evaluation (s)"] if "seconds" in rows[0] else []
        lines = []
        for row in rows:
            sizes = [f"{row[name]:.0f}" for name in ("first", "fifth", "last", "largest")]
            flat = "yes" if row["growth"] < FLAT else "**no**"
            lines.append(
                [row["process"], f"{row['count']:,}", *sizes, f"{100 * row['growth']:+.1f} %", flat]
                + ([f"{row['seconds']:.3f}"] if "seconds" in row else [])
            )
        return [f"## {title}", "", *table(head, lines)]

    return write


PARTS = {"teacher": teacher, "training": training, "loader": loader}
PAGES = {
    "teacher": _page("The default profile's teacher", "steps"),
    "training": _page("Training on whole scans", "steps"),
    "loader": _page("Loader", "epochs"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--teacher-steps", type=int, default=700)
    parser.add_argument("--teacher", metavar="FOLDER", help=argparse.SUPPRESS)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--dry", action="store_true", help="print only")
    options = parser.parse_args()
    if options.teacher:
        return _train_teacher(Path(options.teacher), options.teacher_steps)
    parts: dict[str, Iterable[dict[str, Any]]] = {name: PARTS[name](options) for name in options.parts or PARTS}
    keep(__file__, TITLE, parts, PAGES, ("torch", "numpy"), options.dry)


if __name__ == "__main__":
    main()
