"""Work for idle cores: students without a teacher train while the teacher does.

In the pipeline every student waits for the teachers, because all rows of the ablation are items of one DVC stage. A row
that needs no teacher can be trained in advance: `topokd train` leaves its last state in ``workspace/``, and the stage
later resumes from it and only evaluates. Its results are bit-identical to those of an uninterrupted run, like those of
any run that was stopped and resumed.
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
    """Commands that train ahead the students that need no teacher, by address of the stage.

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
    """The waiting stage to train ahead on an idle core, if any.

    Only while a teacher reports progress of its training: if the teacher's stage is up to date, it ends in seconds, and
    the students' stages are probably up to date as well.

    Args:
        waiting: stages that have not started.
        running: stages, and runs ahead of stages, that are running.
        done: addresses of finished stages.
        jobs: number of stages at a time.
        commands: the commands of `commands_ahead` that have not started.
    """
    if len(running) >= jobs or any(stage.alone for stage in running):
        return None
    teaching = {stage.address for stage in running if stage.group == TEACHER and last_report(stage.progress)}
    for stage in waiting:
        missing = stage.needs - set(done)
        if stage.address in commands and missing and missing <= teaching:
            return stage
    return None
