"""Work for idle cores: students without a teacher train while the teacher does.

In the pipeline every student waits for the teachers, since a row of the ablation is one entry of params.yaml whatever
its terms are. A row that needs no teacher can train before: `topokd train` leaves its last state in ``workspace/``, and
the stage, when its turn comes, resumes from it and only evaluates. Its results are those of a run from the start, bit
for bit, as of any run that was stopped and resumed.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping

from topokd.distillation import build_objective
from topokd.params import load_profile
from topokd.pipeline.graph import Stage
from topokd.pipeline.progress import last_report
from topokd.project import TEACHER


def commands_ahead(profile: str) -> dict[str, list[str]]:
    """By address of the stage, the command that trains ahead each student that needs no teacher.

    Examples:
        >>> list(commands_ahead("default"))
        ['student@default-plain-0', 'student@default-plain-1', 'student@default-plain-2']
    """
    params = load_profile(profile)
    rows = [row for row in params.train_rows if not build_objective(params, row).needs_teacher]
    train = [sys.executable, "-m", "topokd.cli", "train"]
    return {
        f"student@{profile}-{row}-{seed}": [*train, row, "--seed", str(seed), "--profile", profile]
        for row in rows
        for seed in params.seeds
    }


def next_ahead(
    waiting: Iterable[Stage],
    running: Collection[Stage],
    done: Collection[str],
    jobs: int,
    commands: Mapping[str, list[str]],
) -> Stage | None:
    """A waiting stage to train ahead on a core that has nothing else to do.

    Only while a teacher trains, as its reports show: the stage of a teacher that is up to date ends in seconds, and
    then the students' probably are, too.

    Args:
        waiting: stages that have not started.
        running: stages, and runs ahead of stages, that are running.
        done: addresses of finished stages.
        jobs: stages at a time.
        commands: of `commands_ahead` that have not started.
    """
    if len(running) >= jobs or any(stage.alone for stage in running):
        return None
    teaching = {stage.address for stage in running if stage.group == TEACHER and last_report(stage.progress)}
    for stage in waiting:
        missing = stage.needs - set(done)
        if stage.address in commands and missing and missing <= teaching:
            return stage
    return None
