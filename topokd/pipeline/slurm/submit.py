"""Submit the unfinished stages of a profile to SLURM."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from topokd import params as P
from topokd.io import write_text
from topokd.pipeline.graph import Stage, read_stages, unfinished
from topokd.pipeline.profiles import check_profile, list_profile, listed
from topokd.pipeline.repository import share_lock
from topokd.pipeline.slurm import jobs, queue
from topokd.pipeline.slurm.cluster import Cluster, load_cluster
from topokd.pipeline.slurm.placement import Placement, place_task, sbatch_options
from topokd.pipeline.slurm.plan import LOCAL, Array, dependency, make_arrays
from topokd.pipeline.slurm.script import batch_script
from topokd.pipeline.stage import run_stage
from topokd.project import project_root


@dataclass
class JobPlan:
    """The jobs that `submit` would submit."""

    profile: str
    cluster: Cluster
    stages: list[Stage]
    finished: set[str]
    queued: dict[str, str]  # number of the task of each stage that is in the queue
    local: list[str]  # stages that are first run on the submitting machine
    arrays: list[Array]
    placements: dict[str, Placement]  # of each kind of stage in `arrays`


def make_plan(profile: str, cluster: str = "", tasks: dict[str, queue.Queued] | None = None) -> JobPlan:
    """Determine which stages are finished, in the queue, and left.

    Args:
        profile: name of the profile; params.yaml, where it need not be listed, stays as it is.
        cluster: see `topokd.pipeline.slurm.cluster.cluster_file`.
        tasks: the tasks in the queue; None for a plan without SLURM.

    Raises:
        ParameterError: the profile or the cluster does not exist, a field is wrong, or no node can hold a task.
    """
    with listed(profile):
        stages = read_stages(profile)
        left = unfinished(stages)
    known = load_cluster(cluster, {stage.group for stage in stages} | set(LOCAL))
    queued = {address: job for address, job in jobs.read_jobs(profile).items() if job in (tasks or {})}
    train = P.load_profile(profile).train
    remote = [address for address in left if address.split("@")[0] not in LOCAL]
    arrays = make_arrays(stages, remote, list(queued), known)
    return JobPlan(
        profile=profile,
        cluster=known,
        stages=stages,
        finished={stage.address for stage in stages} - set(left),
        queued=queued,
        local=[address for address in left if address not in remote],
        arrays=arrays,
        placements={
            array.kind: place_task(array.kind, array.resources, train.threads + train.workers, train.ranks)
            for array in arrays
        },
    )


def submit(profile: str, cluster: str = "", say: Callable[[str], None] = print) -> int:
    """Run the quick stages on this machine, then submit an array for each group of unfinished stages.

    Stages that are finished or already in the queue are skipped, so it can be called at any time.

    Args:
        profile: name of the profile.
        cluster: see `topokd.pipeline.slurm.cluster.cluster_file`.
        say: called with each line for the user.

    Returns:
        Number of stages submitted.

    Raises:
        ParameterError: as `make_plan`, and as `check_profile`; nothing was run.
        StageError: one of the stages that run here failed.
        SlurmError: SLURM rejected a job. Jobs submitted before it remain; fix the cause and call it again.
    """
    params = P.load_profile(profile)  # a misspelt name must not create a folder
    with jobs.only_submission(profile):
        tasks = queue.my_tasks() if jobs.read_jobs(profile) else {}  # nothing was submitted: nothing to ask
        check_profile(params)
        make_plan(profile, cluster, tasks)  # raises, before anything is run or written, what no node can hold
        share_lock()
        list_profile(profile)
        for stage in read_stages(profile):
            if stage.group in LOCAL and run_stage(stage.address) != 0:
                raise queue.SlurmError(f"{stage.address} failed here, see above; nothing was submitted")
        plan = make_plan(profile, cluster, tasks)
        if plan.queued:
            say(f"already queued or running, left alone: {len(plan.queued)}")
        numbers: list[str] = []
        for array in plan.arrays:
            earlier = numbers[array.after] if array.after is not None else None
            numbers.append(_send(plan, array, earlier))
            say(f"job {numbers[-1]}: {array.kind}, {len(array.stages)} tasks")
    return sum(len(array.stages) for array in plan.arrays)


def _send(plan: JobPlan, array: Array, earlier: str | None) -> str:
    """Submit one array and record the numbers of its tasks."""
    recorded = jobs.read_jobs(plan.profile)
    where = jobs.folder(plan.profile)
    (where / "logs").mkdir(parents=True, exist_ok=True)
    placement = plan.placements[array.kind]
    script = where / "scripts" / f"{array.stages[0]}.sh"
    write_text(script, batch_script(plan.profile, array.stages, project_root(), plan.cluster, placement))
    limit = f"%{array.limit}" if 0 < array.limit < len(array.stages) else ""
    waits = dependency(array, recorded, earlier)
    number = queue.submit(
        [
            f"--job-name=topokd-{plan.profile}-{array.kind}",
            f"--comment=topokd {plan.profile} {array.stages[0]}",
            f"--array=0-{len(array.stages) - 1}{limit}",
            f"--output={str(where / 'logs').replace('%', '%%')}/{array.kind}-%A_%a.log",  # % begins a pattern
            "--open-mode=append",
            "--requeue",
            "--export=NONE",
            "--kill-on-invalid-dep=yes",
            f"--signal=B:USR1@{plan.cluster.stop_before}",
            *([f"--dependency={waits}"] if waits else []),
            *sbatch_options(array.resources, placement),
            str(script),
        ]
    )
    recorded |= {address: f"{number}_{index}" for index, address in enumerate(array.stages)}
    jobs.write_jobs(plan.profile, recorded)
    return number


def cancel(profile: str, addresses: list[str], only: Callable[[queue.Queued], bool] = lambda _: True) -> list[str]:
    """Cancel the tasks of stages that are in the queue.

    Args:
        profile: name of the profile.
        addresses: addresses of stages; empty for all of the profile.
        only: whether to cancel a given task.

    Returns:
        Stages whose tasks were cancelled.
    """
    tasks = queue.my_tasks()
    recorded = jobs.read_jobs(profile)
    chosen = [
        address
        for address, job in recorded.items()
        if job in tasks and only(tasks[job]) and (not addresses or address in addresses)
    ]
    queue.cancel(recorded[address] for address in chosen)
    return chosen


stuck = functools.partial(cancel, addresses=[], only=lambda task: task.never)
"""Cancel the tasks of a profile that cannot start by themselves."""
