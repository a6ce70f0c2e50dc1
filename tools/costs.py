"""Write docs/costs.md: measured unit costs, and what the three full data sets take on 1, 8 and 64 GPUs.

    python tools/costs.py

Everything comes from committed measurements (benchmarks/*.json) and profiles (conf/); the assumptions are those of the
page.
"""

from __future__ import annotations

import argparse
import heapq
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from topokd import params as P
from topokd.io import read_json, write_text

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/costs.md"
PROFILES = {"semantickitti": "SemanticKITTI", "nuscenes": "nuScenes", "waymo": "Waymo Open"}
GPUS = (1, 8, 64)
EFFICIENCY = 0.8
"""Share of the ideal speed that a training on several GPUs is assumed to reach; not measured."""
TEACHER = "teacher, cross-entropy"


@dataclass(frozen=True)
class Measured:
    """The measurements of the benchmarks.

    Attributes:
        device: device on which the steps were measured.
        steps: seconds of a step by job.
        peak: bytes by job.
        clouds: clouds in a step.
        voxels: per cloud of these steps.
        per_scan: voxels per scan of each data set.
        loader: scans per second that the loader gave, and its workers.
        forward: seconds per scan of a forward pass of the teacher and of the student.
    """

    device: str
    steps: dict[str, float]
    peak: dict[str, float]
    clouds: int
    voxels: float
    per_scan: dict[str, float]
    loader: tuple[float, int]
    forward: tuple[float, float]

    @classmethod
    def read(cls) -> Measured:
        """From benchmarks/gpu.json and benchmarks/data.json."""
        gpu, data = (read_json(ROOT / "benchmarks" / name) for name in ("gpu.json", "data.json"))
        rows = gpu["step"]["rows"]
        scans = {row["data"]: row["voxels"] for row in data["voxels"]["rows"]}
        passes = {
            row["network"]: row["ours_s"]
            for row in gpu["recipe"]["rows"]
            if row["work"] == "forward" and row["arithmetic"] == "bfloat16"
        }
        return cls(
            device=gpu["step"]["device"].split(";")[0],
            steps={row["job"]: row["step_s"] for row in rows},
            peak={row["job"]: row["peak_bytes"] for row in rows},
            clouds=rows[0]["clouds"],
            voxels=rows[0]["voxels"] / rows[0]["clouds"],
            per_scan={
                "semantickitti": scans["SemanticKITTI, real"],
                "nuscenes": scans["synthetic, nuScenes"],
                "waymo": scans["synthetic, Waymo"],
            },
            loader=(rows[0]["loader_scans_per_s"], rows[0]["workers"]),
            forward=(passes["ptv3-teacher"], passes["ptv3-student"]),
        )


@dataclass(frozen=True)
class Training:
    """One training of a profile and its hours on one GPU."""

    name: str
    hours: float


def trainings(profile: str, measured: Measured) -> tuple[list[Training], list[Training]]:
    """Teachers and students of a profile, for the seeds and rows of params.yaml."""
    params = P.load_profile(profile)
    train, scale = params.train, measured.per_scan[profile] / measured.voxels
    steps = train.epochs * train.validate_every  # the profiles validate once per epoch
    clouds = train.batch_size / measured.clouds

    def hours(job: str, forward: float) -> float:
        validation = train.epochs * train.validate_scans * forward
        return (steps * clouds * measured.steps[job] + validation) * scale / 3600

    teachers = [Training(f"teacher {seed}", hours(TEACHER, measured.forward[0])) for seed in teacher_seeds(params)]
    students = [
        Training(f"{row} {seed}", hours(f"student, {row}", measured.forward[1]))
        for row in params.train_rows
        for seed in params.seeds
    ]
    return teachers, students


def teacher_seeds(params: P.Params) -> list[int]:
    """The teachers that the students of all seeds learn from."""
    return sorted({params.teacher_seed(seed) for seed in params.seeds})


def wall_hours(groups: tuple[list[Training], ...], gpus: int, batch_size: int) -> tuple[float, int]:
    """Hours until the last group is done, and the most GPUs that one training used.

    Teachers come before students. Trainings run side by side, the longest first; where there are more GPUs than
    trainings, each takes as many as divide the batch, at `EFFICIENCY`.
    """
    total, most = 0.0, 1
    for group in groups:
        ranks = max(r for r in range(1, batch_size + 1) if batch_size % r == 0 and (r == 1 or r * len(group) <= gpus))
        most = max(most, ranks)
        speed = 1.0 if ranks == 1 else ranks * EFFICIENCY
        free = [0.0] * max(1, gpus // ranks)
        for training in sorted(group, key=lambda each: -each.hours):
            heapq.heappush(free, heapq.heappop(free) + training.hours / speed)
        total += max(free)
    return total, most


def page() -> str:
    """docs/costs.md."""
    measured = Measured.read()
    lines = [
        "# Costs",
        "",
        "Written by `python tools/costs.py` from the measurements in [benchmarks/](../benchmarks/gpu.md) "
        "and the profiles.",
        "",
        "## Measured",
        f"One {measured.device}, bfloat16, torch without spconv and flash-attn: {measured.clouds} whole scans of "
        f"SemanticKITTI per step, {measured.voxels:,.0f} voxels each.",
        "",
        "| job | step (s) | per scan (ms) | peak memory (GB) |",
        "|---|---:|---:|---:|",
        *(
            f"| {job} | {seconds:.2f} | {1000 * seconds / measured.clouds:.0f} | {measured.peak[job] / 1e9:.0f} |"
            for job, seconds in measured.steps.items()
        ),
        "",
        f"A forward pass takes {1000 * measured.forward[0]:.0f} ms (teacher) and {1000 * measured.forward[1]:.0f} ms "
        "(student) per scan. On a CPU see [models.md](../benchmarks/models.md) and [rows.md](../benchmarks/rows.md); "
        "[memory.md](../benchmarks/memory.md) shows the memory of long runs: it stays flat with jemalloc, which the "
        "pipeline's notebooks use where it is installed (Debian and Ubuntu: `libjemalloc2`; off: `LD_PRELOAD=`), while "
        "glibc's heap grows for hundreds of steps. [huge_pages.md](../benchmarks/huge_pages.md) shows what pages of "
        "2 MB save, which they use on Linux (off: `GLIBC_TUNABLES=glibc.malloc.hugetlb=0`, `MALLOC_CONF=thp:default`).",
        "",
        "## The three full data sets",
        "Estimates, in hours. `topokd slurm plan` prints those of your profile once it has recorded durations.",
        "",
        "| data set | steps of a training | voxels per scan | teacher | student, plain | student, full | all, 1 GPU | "
        + " | ".join(f"{gpus} GPUs" for gpus in GPUS[1:])
        + " |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    notes = []
    profiles = {profile: P.load_profile(profile) for profile in PROFILES}
    for profile, title in PROFILES.items():
        params = profiles[profile]
        groups = trainings(profile, measured)
        by_name = {training.name: training.hours for group in groups for training in group}
        walls = [wall_hours(groups, gpus, params.train.batch_size) for gpus in GPUS]
        cells = [
            title,
            f"{params.train.epochs * params.train.validate_every:,}",
            f"{measured.per_scan[profile]:,.0f}",
            *(f"{by_name[name]:.0f}" for name in (groups[0][0].name, "plain 0", "full 0")),
            *(f"{hours:,.0f}" for hours, _ in walls),
        ]
        lines.append(f"| {' | '.join(cells)} |")
        notes.append((len(groups[0]), len(groups[1]), [ranks for _, ranks in walls]))
    (teachers, students, ranks), *_ = notes
    epochs = _same(params.train.epochs for params in profiles.values())
    scans = _same(params.train.validate_scans for params in profiles.values())
    voxel = _same(params.data.voxel_size for params in profiles.values())
    rate, workers = measured.loader
    lines += [
        "",
        "Assumptions:",
        f"- All: {teachers} teacher{'s' * (teachers != 1)} and {students} students (rows and seeds of `params.yaml`), "
        f"{epochs} epochs, a validation on {scans} scans per epoch. Final evaluation, panels and exhibits add hours, "
        "not days.",
        "- A step takes time in proportion to its voxels. Those per scan are counted on real scans of SemanticKITTI "
        f"and on synthetic ones of the sensors of nuScenes and Waymo, at {voxel:g} m. Small scans are slower "
        "than that.",
        "- Trainings run side by side, one per GPU, students after teachers. Where there are more GPUs than "
        f"trainings, each takes several (at most {max(ranks)} here), at {100 * EFFICIENCY:.0f} % of the ideal speed; "
        "that share is assumed, not measured.",
        f"- The loader keeps up: it gave {rate:.0f} scans per second with {workers} workers. A network file system "
        "may not; name a cache on a fast disk (`train.cache`).",
        "- Energy is in the provenance of every stage (`joules`) where the counters can be read; none has been "
        "measured on a GPU.",
    ]
    return "\n".join(map(_wrapped, lines)) + "\n"


def _same(values: Iterable[T]) -> T:
    """The value that all profiles have."""
    (value,) = set(values)
    return value


def _wrapped(line: str) -> str:
    """A paragraph or an item of a list in lines that a person can read in the source; rows of tables stay whole."""
    if line.startswith(("|", "#")):
        return line
    indent = "  " if line.startswith("- ") else ""
    return textwrap.fill(line, 104, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def main() -> None:
    """Command line."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    write_text(PAGE, page())


if __name__ == "__main__":
    main()
