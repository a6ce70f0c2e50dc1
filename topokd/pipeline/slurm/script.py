"""The batch script of an array: plain shell, written to ``workspace/<profile>/slurm/scripts/`` for inspection."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from topokd.pipeline.slurm.cluster import Cluster

# The stage gets USR1 when the time limit is near, and TERM at a preemption or cancellation. `wait` returns early when a
# signal arrives, and then has to be called again. Status 143: training has saved its state; after USR1 it resumes in a
# new allocation under the same job number, so dependent jobs keep waiting. (SLURM requeues preempted jobs itself.)
BODY = """\
child= near_limit= status=1 caught=1
trap 'caught=1; near_limit=1; [ -n "$child" ] && kill -USR1 "$child"' USR1
trap 'caught=1; [ -n "$child" ] && kill -TERM "$child"' TERM
{command} "$SLURM_ARRAY_TASK_ID" &
child=$!
while [ -n "$caught" ]; do
  caught=
  wait "$child"; code=$?
  [ "$code" -eq 127 ] || status=$code
done
if [ -n "$near_limit" ] && [ "$status" -eq 143 ]; then
  echo "=== the time limit is near: state saved, back into the queue"
  scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
fi
exit "$status"
"""


def batch_script(profile: str, stages: tuple[str, ...], root: Path, cluster: Cluster, gpu: bool) -> str:
    """Text of the script.

    A job does not inherit the environment of the submitting shell (``--export=NONE``), except variables whose names
    start with TOPOKD_ (paths of data sets and caches): the script sets them.

    Args:
        profile: name of the profile.
        stages: addresses of the stages, one per task of the array.
        root: the project's folder.
        cluster: set-up lines, container, interpreter.
        gpu: whether the tasks have a GPU.
    """
    lines = [
        "#!/bin/bash",
        f"# {profile}: stage ${{SLURM_ARRAY_TASK_ID}} of " + " ".join(stages),
        f"cd {shlex.quote(str(root))} || exit 1",
        *_exports({**os.environ, "TOPOKD_ROOT": str(root)}),
        "export PYTHONUNBUFFERED=1",
        *cluster.setup,
        'export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}" MKL_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"',
        BODY.format(command=_command(profile, stages, root, cluster, gpu)),
    ]
    return "\n".join(lines)


def _exports(environment: Mapping[str, str]) -> list[str]:
    """``export`` lines of the project's own variables.

    Examples:
        >>> _exports({"TOPOKD_NUSCENES": "/data/nu scenes", "EDITOR": "vi"})
        ["export TOPOKD_NUSCENES='/data/nu scenes'"]
    """
    names = sorted(name for name in environment if re.fullmatch(r"TOPOKD_[A-Z0-9_]+", name))
    return [f"export {name}={shlex.quote(environment[name])}" for name in names if name not in ("TOPOKD_STOP",)]


def _command(profile: str, stages: tuple[str, ...], root: Path, cluster: Cluster, gpu: bool) -> str:
    program = [cluster.python or ("python" if cluster.container else sys.executable)]
    if cluster.container:
        image = str(root / os.path.expanduser(cluster.container))
        nvidia = ["--nv"] if gpu else []
        program = ["apptainer", "exec", *nvidia, "--bind", str(root), "--pwd", str(root), image, *program]
    return shlex.join([*program, "-m", "topokd.cli", "slurm", "task", profile, ",".join(stages)])
