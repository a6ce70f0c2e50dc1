"""Writing a synthetic world into a folder: resumed after an interruption, rewritten when the parameters change."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from topokd import params
from topokd.errors import DataError
from topokd.io import read_json, write_json
from topokd.progress import Progress
from topokd.stopping import die_with_parent

MANIFEST = "manifest.json"


class Work(NamedTuple):
    """How the files of a world are written.

    Attributes:
        run: writes the files of one task; called in worker processes.
        tasks: arguments of ``run``.
        is_done: whether the files of a task exist, so that an interrupted call resumes; None: every call runs all
            tasks until the world is complete.
        finish: called with the results of ``run`` at the end.
        chunk: number of tasks handed to a process at a time.
    """

    run: Callable[[Any], Any]
    tasks: Sequence[Any]
    is_done: Callable[[Any], bool] | None = None
    finish: Callable[[list[Any]], None] = lambda results: None
    chunk: int = 1


def write_folder(
    root: str | Path,
    layout: str,
    version: int,
    synthetic: params.Synthetic,
    owned: Sequence[str],
    work: Work,
    jobs: int,
) -> None:
    """Write every missing file of the world, with ``jobs`` processes.

    ``manifest.json`` records the parameters. If they have changed, the old files are removed first.

    Args:
        root: the folder.
        layout: name of the file layout.
        version: version of the writer; increment it when the same parameters give different files.
        synthetic: the parameters of the world.
        owned: names in ``root`` that belong to the layout.
        work: how the files are written.
        jobs: number of processes.

    Raises:
        DataError: ``root`` holds another layout, or files in ``owned`` that topokd did not write.
    """
    root = Path(root)
    tasks = _prepare(root, layout, version, synthetic, owned, work)
    if not tasks:
        return
    if jobs <= 1 or len(tasks) <= 1:
        results = [work.run(task) for task in Progress(tasks, f"synthetic {layout}")]
    else:  # spawn: a fork would copy the caller's threads (torch, BLAS) in an undefined state
        chunk = min(work.chunk, -(-len(tasks) // jobs))
        count, context = min(jobs, len(tasks)), get_context("spawn")
        with ProcessPoolExecutor(count, context, initializer=die_with_parent, initargs=(os.getpid(),)) as pool:
            mapped = pool.map(work.run, tasks, chunksize=chunk)
            results = list(Progress(mapped, f"synthetic {layout}", total=len(tasks)))
    work.finish(results)
    write_json(root / MANIFEST, read_json(root / MANIFEST) | {"complete": True})


def _prepare(
    root: Path, layout: str, version: int, synthetic: params.Synthetic, owned: Iterable[str], work: Work
) -> list[Any]:
    """Remove files of other parameters and half-written ones, write the manifest, and return the tasks to run."""
    parameters = params.to_dict(synthetic)
    key = hashlib.sha256(json.dumps([layout, version, parameters], sort_keys=True).encode()).hexdigest()
    old = read_json(root / MANIFEST) if (root / MANIFEST).is_file() else {}
    same = old.get("key") == key
    if old.get("layout", layout) != layout:
        raise DataError(f"{root} holds the layout {old['layout']}, not {layout}: choose another data.root")
    if not old and any((root / name).exists() for name in owned):
        raise DataError(f"{root} holds files that topokd did not write (no {MANIFEST}): choose another data.root")
    if same and old.get("complete") and (work.is_done is None or all(map(work.is_done, work.tasks))):
        return []
    # Keep the manifest until the old files are gone: after a kill in between, the folder is still known to be ours.
    for name in owned:
        if not same or work.is_done is None:
            shutil.rmtree(root / name, ignore_errors=True)
        for half_written in (root / name).rglob(".*"):
            half_written.unlink(missing_ok=True)
    manifest = {"layout": layout, "version": version, "key": key, "complete": False, "parameters": parameters}
    write_json(root / MANIFEST, manifest)
    return [task for task in work.tasks if work.is_done is None or not work.is_done(task)]


def sequences(synthetic: params.Synthetic) -> dict[str, list[tuple[int, int]]]:
    """(sequence, number of scans) of "train" and "val".

    Raises:
        DataError: a sequence is in both splits.
    """
    if set(synthetic.train_sequences) & set(synthetic.val_sequences):
        raise DataError("data.synthetic: a sequence is in both train_sequences and val_sequences; remove it from one")
    return {
        "train": [(number, synthetic.scans_per_sequence) for number in synthetic.train_sequences],
        "val": [(number, synthetic.val_scans_per_sequence) for number in synthetic.val_sequences],
    }
