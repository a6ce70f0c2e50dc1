"""A folder that holds one synthetic world in one layout, made once and made anew when its parameters change."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from topokd import params
from topokd.errors import DataError
from topokd.io import read_json, write_json
from topokd.progress import Progress

MANIFEST = "manifest.json"


def make_folder(
    root: str | Path,
    layout: str,
    version: int,
    synthetic: params.Synthetic,
    made: Sequence[str],
    work: Callable[[Any], Any],
    tasks: Sequence[Any],
    finish: Callable[[list[Any]], None],
    jobs: int,
) -> None:
    """Run ``work`` on every task (in ``jobs`` processes), then ``finish`` on the results, unless that was done before.

    ``made``: the names under ``root`` that belong to the layout; they are removed first where another world is there.
    Raises :class:`~topokd.errors.DataError` rather than touch a folder that topokd did not make.
    """
    root = Path(root)
    described = json.dumps([layout, version, params.to_dict(synthetic)], sort_keys=True)
    key = hashlib.sha256(described.encode()).hexdigest()
    manifest = {"layout": layout, "version": version, "key": key, "complete": False} | {
        "parameters": params.to_dict(synthetic)
    }
    if (root / MANIFEST).is_file():
        old = read_json(root / MANIFEST)
        if old.get("key") == key and old.get("complete"):
            return
        if old.get("layout") != layout:
            raise DataError(f"{root} holds another layout than {layout}: choose another data.root")
    elif root.is_dir() and any(root.iterdir()):
        raise DataError(f"{root} holds files that topokd did not make (no {MANIFEST}): choose another data.root")
    for name in made:
        shutil.rmtree(root / name, ignore_errors=True)
    write_json(root / MANIFEST, manifest)
    if jobs <= 1 or len(tasks) <= 1:
        results = [work(task) for task in Progress(tasks, f"synthetic {layout}")]
    else:  # spawn: a fork would copy the caller's threads (torch, BLAS) in an undefined state
        with ProcessPoolExecutor(min(jobs, len(tasks)), mp_context=get_context("spawn")) as pool:
            results = list(Progress(pool.map(work, tasks), f"synthetic {layout}", total=len(tasks)))
    finish(results)
    write_json(root / MANIFEST, manifest | {"complete": True})


def sequences(synthetic: params.Synthetic) -> dict[str, list[tuple[int, int]]]:
    """(sequence, number of scans) of "train" and "val"."""
    if set(synthetic.train_sequences) & set(synthetic.val_sequences):
        raise DataError("data.synthetic: a sequence is in both train_sequences and val_sequences; keep them apart")
    return {
        "train": [(number, synthetic.scans_per_sequence) for number in synthetic.train_sequences],
        "val": [(number, synthetic.val_scans_per_sequence) for number in synthetic.val_sequences],
    }
