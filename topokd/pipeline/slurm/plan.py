"""The unfinished stages of a profile, and the job arrays that run them.

Stages of one kind that wait for the same stages form an array. An array waits for exactly the tasks that it needs
(``afterok:12_0:14_2``), so that a failed seed only blocks the stages that need it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from topokd.pipeline.graph import Stage
from topokd.pipeline.slurm.cluster import Cluster, Resources

LOCAL = ("params", "source")  # kinds of stages that `submit` runs itself: they take seconds, and all others need them


@dataclass(frozen=True)
class Array:
    """Stages of one kind that wait for the same stages."""

    kind: str
    stages: tuple[str, ...]
    needs: tuple[str, ...]  # stages that are left or in the queue
    resources: Resources
    seconds: float  # duration of all its stages together, as last measured
    unknown: int  # number of stages that were never measured
    limit: int = 0  # tasks at a time; 0: all
    after: int | None = None  # index of the array in the plan that has to end first, even if it fails (`at_once`)


def make_arrays(
    stages: Iterable[Stage], left: Collection[str], queued: Collection[str], cluster: Cluster
) -> list[Array]:
    """Arrays for the stages in ``left`` that are not in ``queued``, in an order in which they can be submitted.

    Args:
        stages: all stages of the profile, in an order in which they can run.
        left: addresses of those that are not finished.
        queued: addresses of those that have a job already.
        cluster: their resources.
    """
    groups: dict[tuple[str, frozenset[str]], list[Stage]] = {}
    waiting = {*left, *queued}
    order = [stage for stage in stages if stage.address in left and stage.address not in queued]
    durations = _durations(stages)
    for stage in order:
        groups.setdefault((stage.group, frozenset(stage.needs & waiting)), []).append(stage)
    arrays = []
    for (kind, needs), members in groups.items():
        measured = [durations[stage.address] for stage in members]
        arrays.append(
            Array(
                kind=kind,
                stages=tuple(stage.address for stage in members),
                needs=tuple(sorted(needs)),
                resources=cluster.resources(kind),
                seconds=sum(measured),
                unknown=sum(not value for value in measured),
            )
        )
    return _limited(_sorted(arrays))


def _sorted(arrays: list[Array]) -> list[Array]:
    """Arrays after those that they need."""
    done: list[Array] = []
    todo = list(arrays)
    while todo:
        missing = {address for array in todo for address in array.stages}
        ready = next(array for array in todo if not missing & set(array.needs))
        todo.remove(ready)
        done.append(ready)
    return done


def _durations(stages: Iterable[Stage]) -> dict[str, float]:
    """Seconds of each stage as last measured; if it never ran, the mean of its kind, or 0."""
    by_kind: dict[str, list[float]] = {}
    for stage in stages:
        if stage.expected:
            by_kind.setdefault(stage.group, []).append(stage.expected)
    mean = {kind: sum(values) / len(values) for kind, values in by_kind.items()}
    return {stage.address: stage.expected or mean.get(stage.group, 0.0) for stage in stages}


def _limited(arrays: list[Array]) -> list[Array]:
    """Share ``at_once`` of each kind among its arrays: ``%limit`` inside one, or one after the other.

    With a cap of 8, two arrays of ten tasks get 4 each. With a cap of 2, three arrays run one task at a time and the
    third waits for the first.
    """
    by_kind: dict[str, list[int]] = {}
    for index, array in enumerate(arrays):
        by_kind.setdefault(array.kind, []).append(index)
    limited = list(arrays)
    for indices in by_kind.values():
        cap = arrays[indices[0]].resources.at_once
        if not cap:
            continue
        lanes = min(cap, len(indices))
        for place, index in enumerate(indices):
            share = cap // lanes + (place % lanes < cap % lanes)
            after = indices[place - lanes] if place >= lanes else None
            limited[index] = Array(**{**vars(arrays[index]), "limit": share, "after": after})
    return limited


def dependency(array: Array, jobs: Mapping[str, str], earlier: str | None) -> str:
    """The value of sbatch's ``--dependency``; empty if it waits for nothing.

    Args:
        array: the array that waits.
        jobs: number of the task of each stage that it needs.
        earlier: number of the array that has to end first.

    Examples:
        >>> array = Array("student", ("s@a-0",), ("d@a", "t@a-0"), Resources(), 0.0, 1)
        >>> dependency(array, {"d@a": "7_0", "t@a-0": "8_0"}, "9")
        'afterok:7_0:8_0,afterany:9'
    """
    needed = ":".join(jobs[address] for address in array.needs)
    parts = [f"afterok:{needed}"] if needed else []
    return ",".join([*parts, *([f"afterany:{earlier}"] if earlier else [])])
