"""Compare our voxelisation and loader with those of common repositories, interleaved; writes benchmarks/data.md.

    python benchmarks/data.py                                  # all parts
    python benchmarks/data.py voxels --repeats 20              # a part replaces its own tables, the others stay

Parts: ``voxels`` (grid sampling at 0.05 m and ``numpy.unique(axis=0)``, CPU time on one core), ``loader`` (scans/s
of training and evaluation samples with 0, 1 and 2 worker processes, without a cache, with an empty and with a full one,
wall time), ``memory`` (private memory of a worker process).

The plain loader: ``numpy.fromfile``, a table of classes, augmentation in NumPy, ``numpy.unique(axis=0)`` on the voxel
indices, the first point of each voxel, a torch ``DataLoader``. It does less than ours, which checks the files and
averages the points of a voxel. It has no counterpart for accumulated scans and Waymo parquet files.

Data: real SemanticKITTI scans if the profile semantickitti-mini finds them, and the synthetic world in each layout,
with as many points as the real sensor gives, written to ``--data`` the first time. All files are read from the page
cache of the system, since disks differ more than programs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from report import Rows, keep, table
from timing import interleaved, wall_seconds

from topokd import params as P
from topokd import project
from topokd.data import Batch, Scan, ScanCache, augment, collate, prefetch, training_batch, voxelize
from topokd.data.dataset import ScanDataset
from topokd.datasets import NuScenesLidarSeg, SemanticKITTI, WaymoSegmentation
from topokd.errors import TopokdError
from topokd.synthetic import SyntheticLidar, write_nuscenes, write_waymo

TITLE = "Voxelisation and loading compared with plain NumPy"
WORLD = P.Synthetic(azimuths=2048, train_sequences=(0, 1), val_sequences=(), scans_per_sequence=8)
SETTINGS = P.Data(voxel_size=0.05, crop_voxels=0)
WORKERS = (0, 1, 2)
PLAIN, OURS, COLD, WARM = "plain", "ours", "ours, empty cache", "ours, full cache"


def sources(folder: Path, cache: int = 0) -> dict[str, Callable[[], ScanDataset]]:
    """A function that opens each data set; ``cache`` scans are kept in memory, 0 reads the files every time."""

    def synthetic(name: str, write: Callable[..., None], read: Callable[..., ScanDataset]) -> ScanDataset:
        write(folder / name, WORLD, jobs=os.cpu_count() or 1)
        return read(folder / name, "train", cache=cache)

    real = P.load_profile("semantickitti-mini")
    nuscenes = partial(synthetic, "nuscenes", write_nuscenes)
    return {
        "SemanticKITTI, real": lambda: SemanticKITTI(real.data_root, "train", cache=cache),
        "synthetic, SemanticKITTI": lambda: SyntheticLidar(folder / "semantickitti", "train", WORLD, cache=cache),
        "synthetic, nuScenes": lambda: nuscenes(NuScenesLidarSeg),
        "synthetic, nuScenes, 5 sweeps": lambda: nuscenes(partial(NuScenesLidarSeg, sweeps=5)),
        "synthetic, Waymo": lambda: synthetic("waymo", write_waymo, WaymoSegmentation),
    }


def datasets(options: argparse.Namespace, cache: int = 0) -> Iterator[tuple[str, ScanDataset]]:
    for name, make in sources(options.data, cache).items():
        try:
            yield name, make()
        except TopokdError as error:
            print(f"{name} skipped: {error}")


# -- voxels --------------------------------------------------------------------------------------------------------


def unique(scan: Scan, size: float) -> tuple[np.ndarray, ...]:
    """``numpy.unique`` alone: no means, no majority."""
    return np.unique(np.floor(scan.xyz / size).astype(np.int64), axis=0, return_index=True, return_inverse=True)


def voxels(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The last scan of each data set, as it is and augmented, in turn."""
    for name, dataset in datasets(options):
        scan = dataset[len(dataset) - 1]
        turned = augment(scan, SETTINGS.augment, np.random.default_rng(0))
        size, clouds = SETTINGS.voxel_size, (scan, turned)
        programs = {OURS: voxelize, PLAIN: unique}
        works = {
            (name, i): partial(work, cloud, size) for i, cloud in enumerate(clouds) for name, work in programs.items()
        }
        times = interleaved(works, options.repeats)
        ours, plain = (statistics.median(times[program, 0] + times[program, 1]) for program in (OURS, PLAIN))
        yield {"data": name, "points": len(scan), "voxels": len(voxelize(scan, size)), "ours_s": ours, "plain_s": plain}


# -- loader --------------------------------------------------------------------------------------------------------


def has_plain(dataset: ScanDataset) -> bool:
    """Whether the plain loader can read these scans."""
    return not isinstance(dataset, WaymoSegmentation) and dataset.sweeps == 1


def plain_sample(dataset: ScanDataset, training: bool, number: int) -> tuple[torch.Tensor, ...]:
    """A sample as common repositories make it, from SemanticKITTI or nuScenes files."""
    points, labels = dataset.files(dataset.names[number % len(dataset)])
    nuscenes = isinstance(dataset, NuScenesLidarSeg)
    values = np.fromfile(points, np.float32).reshape(-1, 5 if nuscenes else 4)
    raw = np.fromfile(labels, np.uint8) if nuscenes else np.fromfile(labels, np.uint32) & 0xFFFF
    label = CLASSES[raw]
    xyz, intensity = values[:, :3], values[:, 3:4]
    if training:
        rng = np.random.default_rng(number)
        angle, flips = rng.uniform(-np.pi, np.pi), rng.choice((-1, 1), 2)
        turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        xyz = xyz @ turn.T.astype(np.float32) * rng.uniform(0.9, 1.1)
        xyz[:, :2] *= flips
        xyz = (xyz + 0.005 * rng.standard_normal(xyz.shape)).astype(np.float32)
    cells = np.floor(xyz / SETTINGS.voxel_size).astype(np.int64)
    grid, first, inverse = np.unique(cells - cells.min(axis=0), axis=0, return_index=True, return_inverse=True)
    feat = np.concatenate((xyz, intensity), axis=1)[first]
    return tuple(torch.from_numpy(array) for array in (grid, feat, label[first], inverse))


CLASSES = np.arange(1 << 16)  # in place of a table of classes: its values do not matter here


def our_sample(dataset: ScanDataset, training: bool, number: int) -> Batch:
    if training:
        return training_batch(dataset, SETTINGS, 0, number, 1)
    return collate([dataset.voxels(number % len(dataset), SETTINGS.voxel_size)])


def rate(draw: Callable[[int], Any], samples: int, workers: int) -> float:
    """Samples per second once the workers run; those prefetched at the start are not counted."""
    ahead = 2 * workers + 1
    items = prefetch(draw, range(samples + ahead), workers)
    for _ in range(ahead):
        next(items)
    return samples / wall_seconds(partial(deque, items, 0))  # draws all and keeps none


def loader(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Every program with every number of workers, in turn, ``--repeats`` times; medians."""
    for name, dataset in datasets(options):
        samples = len(dataset) - 2 * max(WORKERS) - 1  # an empty cache sees each scan once
        for training in (True, False):
            measured: dict[tuple[str, int], list[float]] = {}
            with tempfile.TemporaryDirectory(dir=options.data) as cache:
                for _ in range(options.repeats):
                    for workers in WORKERS:
                        shutil.rmtree(cache, ignore_errors=True)
                        for program in (PLAIN, OURS, COLD, WARM):
                            if program == PLAIN and not has_plain(dataset):
                                continue
                            sample = plain_sample if program == PLAIN else our_sample
                            dataset.stored_in(ScanCache(cache) if program in (COLD, WARM) else None)
                            if program == WARM:  # the whole epoch is there
                                for number in range(len(dataset)):
                                    sample(dataset, training, number)
                            speed = rate(partial(sample, dataset, training), samples, workers)
                            measured.setdefault((program, workers), []).append(speed)
                entries, size = ScanCache(cache).size()
            row = {"data": name, "work": "training" if training else "evaluation", "scans": samples}
            for (program, workers), speeds in measured.items():
                row[f"{program} {workers}"] = statistics.median(speeds)
            source = {file for scan in dataset.names for file in dataset.source_files(scan)}
            yield row | {"entry_bytes": size / entries, "source_bytes": sum(f.stat().st_size for f in source)}


# -- memory --------------------------------------------------------------------------------------------------------


def private_bytes() -> int:
    """Memory that this process does not share with other processes (Linux)."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean", "Private_Dirty")))


def memory(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The largest of two workers' private memory while they make three epochs of training samples."""
    in_memory = dict(datasets(options, cache=128))  # the default of a reader
    for name, dataset in datasets(options):
        row: dict[str, Any] = {"data": name}
        with tempfile.TemporaryDirectory(dir=options.data) as cache:
            for program in (PLAIN, OURS, "ours, scans in memory", WARM):
                if program == PLAIN and not has_plain(dataset):
                    continue
                source = in_memory[name] if program == "ours, scans in memory" else dataset
                source.stored_in(ScanCache(cache) if program == WARM else None)
                sample = partial(plain_sample if program == PLAIN else our_sample, source, True)

                def draw(number: int, sample: Callable[[int], Any] = sample) -> int:
                    sample(number)
                    return private_bytes()

                row[program] = max(prefetch(draw, range(3 * len(dataset)), 2))
        yield row


PARTS = {"voxels": voxels, "loader": loader, "memory": memory}

# -- the page ------------------------------------------------------------------------------------------------------


def _voxels_page(rows: Rows) -> list[str]:
    body = []
    for row in rows:
        times = [f"{1e3 * row[key]:.1f}" for key in ("ours_s", "plain_s")]
        body.append([row["data"], f"{row['points']:,}", f"{row['voxels']:,}", *times])
        body[-1].append(f"{row['plain_s'] / row['ours_s']:.1f}")
    return [
        f"## Voxels of {SETTINGS.voxel_size} m",
        "",
        "One core, ms of CPU time, medians. Ours: order, inverse, means of position and intensity, majority of labels. "
        "Plain: `numpy.unique(axis=0)` on the rows of indices with inverse and first point only.",
        "",
        *table(["scan", "points", "voxels", "ours (ms)", "plain (ms)", "ratio"], body),
    ]


def _loader_page(rows: Rows) -> list[str]:
    lines = [
        "## Samples per second",
        "",
        "One scan per sample, drawn and dropped, medians; in brackets as a multiple of the plain loader with as many "
        "workers. A training sample is augmented and voxelised again each time, and the cache keeps the decoded scan. "
        "An evaluation sample is the voxels of the scan, which the cache keeps too. Empty cache: entries are written "
        "during the run.",
    ]
    for work in ("training", "evaluation"):
        body = []
        for row in (row for row in rows if row["work"] == work):
            for workers in WORKERS:
                plain = row.get(f"{PLAIN} {workers}")
                cells = [row["data"], str(workers), "" if plain is None else f"{plain:.1f}"]
                for program in (OURS, COLD, WARM):
                    speed = row[f"{program} {workers}"]
                    cells.append(f"{speed:.1f}" + ("" if plain is None else f" ({speed / plain:.1f})"))
                body.append(cells)
        lines += ["", f"### {work.capitalize()}", "", *table(["data", "workers", PLAIN, OURS, COLD, WARM], body)]
    body = [[row["data"], row["work"], f"{row['entry_bytes'] / 1e6:.2f}"] for row in rows]
    return [*lines, "", *table(["data", "cache of", "MB per entry"], body)]


def _memory_page(rows: Rows) -> list[str]:
    programs = list(dict.fromkeys(key for row in rows for key in row if key != "data"))
    body = [[row["data"], *(f"{row[p] / 1e6:.0f}" if p in row else "" for p in programs)] for row in rows]
    return [
        "## Memory per worker",
        "",
        "MB that a worker does not share with other processes, the larger of two workers over three epochs of training "
        "samples. Scans in memory: up to 128 per process, the default of a reader without a cache.",
        "",
        *table(["data", *programs], body),
    ]


PAGES = {"voxels": _voxels_page, "loader": _loader_page, "memory": _memory_page}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data", type=Path, default=project.project_path("workspace/benchmarks/data"))
    parser.add_argument("--dry", action="store_true", help="print only, write nothing")
    options = parser.parse_args()
    options.data.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    parts = {part: PARTS[part](options) for part in options.parts or PARTS}
    keep(__file__, TITLE, parts, PAGES, ["topokd", "torch", "numpy", "numba"], options.dry)


if __name__ == "__main__":
    main()
