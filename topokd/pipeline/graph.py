"""The pipeline's graph, read from DVC: stages, their dependencies, which are done, and the critical path."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from topokd.errors import DataError, ParameterError
from topokd.io import read_json
from topokd.params import no_profile, profile_names
from topokd.pipeline import lock_file
from topokd.pipeline.profiles import listed, listed_profiles
from topokd.pipeline.repository import PIPELINE, StageError, open_repository, with_lock
from topokd.project import project_path, project_root, results_path


@dataclass
class Stage:
    """One node of the pipeline's graph."""

    address: str  # as `dvc repro` takes it: student@default-full-0
    needs: set[str]
    expected: float  # seconds that it took when its committed results were computed; 0: unknown
    alone: bool  # it measures time, so nothing else may run meanwhile
    log: Path
    progress: Path
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    is_ahead: bool = False  # not the stage, but a run that trains ahead of it

    def ahead(self) -> Stage:
        """A run that trains ahead of this stage, with separate files."""
        log, progress = (file.with_name(f"ahead-{file.name}") for file in (self.log, self.progress))
        return replace(self, log=log, progress=progress, process=None, is_ahead=True)

    @property
    def group(self) -> str:
        """The address without the matrix item: stages of one group do the same kind of work."""
        return self.address.split("@")[0]


def read_stages(profile: str, folder: Path = Path()) -> list[Stage]:
    """The stages of a listed profile, in an order in which they can run.

    Args:
        profile: its name.
        folder: folder of the log and progress file of each stage.

    Raises:
        ParameterError: params.yaml does not list the profile.
        StageError: DVC cannot read the pipeline.
    """
    import networkx

    if profile not in listed_profiles() and profile not in profile_names():
        raise no_profile(profile)
    if profile not in listed_profiles():
        raise ParameterError(
            f"params.yaml does not list the profile {profile!r} under `profiles`: "
            f"`topokd repro --profile {profile}` adds it"
        )
    if lock_file.is_incomplete():
        with contextlib.suppress(StageError):  # a running dvc holds the lock: it is writing the file just now
            with_lock(lambda _: None, patience=10)  # restores the file
    with open_repository() as repo:
        graph = repo.index.graph
        order = [stage for stage in networkx.topological_sort(graph.reverse(copy=True)) if _profile(stage) == profile]
        return [
            Stage(
                address=stage.name,
                needs={needed.name for needed in graph.successors(stage)},
                expected=_expected(profile, [Path(out.fs_path).stem for out in stage.outs if ".ipynb" in out.fs_path]),
                alone=any("/timings/" in out.fs_path for out in stage.outs),
                log=folder / f"{index}.log",
                progress=folder / f"{index}.jsonl",
            )
            for index, stage in enumerate(order)
        ]


def read_progress(profile: str) -> tuple[list[Stage], list[str]]:
    """The stages of a profile as `read_stages` returns them, and the addresses of the unfinished ones.

    Args:
        profile: its name; params.yaml need not list it, and stays as it is.

    Raises:
        ParameterError: there is no such profile.
        StageError: DVC cannot read the pipeline.
    """
    known = profile in listed_profiles() or profile not in profile_names()  # `read_stages` names those that exist
    with contextlib.nullcontext() if known else listed(profile):
        stages = read_stages(profile)
        return stages, unfinished(stages)


def final_stages(stages: list[Stage]) -> list[str]:
    """Addresses of the stages that no other one needs; ``dvc repro`` of these runs everything."""
    needed = set().union(*(stage.needs for stage in stages))
    return [stage.address for stage in stages if stage.address not in needed]


def unfinished(stages: Iterable[Stage]) -> list[str]:
    """Addresses of the stages whose results are missing or out of date, or that need such a stage.

    Does not take DVC's lock, so that stages can run meanwhile.

    Args:
        stages: in an order in which they can run, as `read_stages` returns them.
    """
    with open_repository() as repo:
        by_address = {stage.name: stage for stage in repo.index.stages if getattr(stage, "name", None)}
        left: list[str] = []
        for stage in stages:
            entry = by_address[stage.address]
            changed = entry.changed_stage() or any(item.status() for item in [*entry.deps, *entry.outs])
            if changed or stage.needs & set(left):
                left.append(stage.address)
        return left


def is_up_to_date(targets: list[str]) -> bool:
    """Whether the targets and everything that they depend on are up to date, in one query to DVC.

    Also False if another DVC process holds the lock, because each stage waits for it anyway. Stages that DVC runs every
    time (the fingerprint of real scans) count as out of date.
    """
    from dvc.lock import LockError

    addresses = [f"{project_path(PIPELINE)}:{target}" for target in targets]  # found from any working directory
    with open_repository() as repo:
        try:
            return not repo.status(targets=addresses, with_deps=True)
        except LockError:
            return False


def _profile(stage: Any) -> str | None:
    """The profile that a stage belongs to: the second folder of its outputs, as in ``results/<profile>/``."""
    for out in stage.outs:
        parts = Path(os.path.relpath(out.fs_path, project_root())).parts
        if len(parts) > 2:
            return parts[1]
    return None


def _expected(profile: str, notebooks: list[str]) -> float:
    try:
        return float(read_json(results_path(profile) / "provenance" / f"{notebooks[0]}.json")["seconds"])
    except (DataError, IndexError, KeyError, TypeError, ValueError):
        return 0.0


def critical_paths(stages: Iterable[Stage]) -> dict[str, float]:
    """Seconds from the start of each stage to the end of everything that depends on it, with a core for every stage.

    w(stage) = expected(stage) + max over the stages that need it of w.

    Args:
        stages: in an order in which they can run.

    Examples:
        >>> teacher = Stage("teacher", set(), 600.0, False, Path(), Path())
        >>> student = Stage("student", {"teacher"}, 90.0, False, Path(), Path())
        >>> critical_paths([teacher, student, Stage("panel", set(), 120.0, False, Path(), Path())])
        {'panel': 120.0, 'student': 90.0, 'teacher': 690.0}
    """
    paths: dict[str, float] = {}
    after: dict[str, float] = {}  # the longest path of the stages that need a stage
    for stage in reversed(list(stages)):
        paths[stage.address] = stage.expected + after.get(stage.address, 0.0)
        for needed in stage.needs:
            after[needed] = max(after.get(needed, 0.0), paths[stage.address])
    return paths
