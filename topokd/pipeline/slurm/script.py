"""The batch script of an array: plain shell, written to ``workspace/<profile>/slurm/scripts/`` for inspection."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from topokd.pipeline.slurm.cluster import Cluster
from topokd.pipeline.slurm.placement import Placement, srun_options
from topokd.project import LAUNCHER
from topokd.stopping import VARIABLE

# variables that say something about the submitting process only
OF_A_PROCESS = (VARIABLE, LAUNCHER, "TOPOKD_PROGRESS", "TOPOKD_RENDEZVOUS")

# The stage gets USR1 when the time limit is near, and TERM at a preemption or cancellation. SLURM sends USR1 once, and
# it would kill a process that is just starting: the stage begins with USR1 ignored, and the signal is repeated until
# the stage ends. `wait` returns early when a signal arrives, and then has to be called again. Status 143: training has
# saved its state; after USR1 it resumes in a new allocation under the same job number, so dependent jobs keep waiting.
# (SLURM requeues preempted jobs itself.) Status 138: USR1 came before the shell ignored it, and nothing has begun yet.
SIGNALS = """\
child= near_limit= status=1 caught=1
remind() {{ while kill -USR1 "$child"; do sleep {seconds}; done; }}
trap 'caught=1; near_limit=1; [ -z "$child" ] || remind >/dev/null 2>&1 &' USR1
trap 'caught=1; [ -n "$child" ] || exit 143; kill -TERM "$child"' TERM
"""
BODY = """\
( trap '' USR1; exec {command} "$SLURM_ARRAY_TASK_ID" ) &
child=$!
[ -z "$near_limit" ] || remind >/dev/null 2>&1 &
while [ -n "$caught" ]; do
  caught=
  wait "$child"; code=$?
  [ "$code" -eq 127 ] || status=$code
done
if [ -n "$near_limit" ] && {{ [ "$status" -eq 143 ] || [ "$status" -eq 138 ]; }}; then
  echo "=== the time limit is near: state saved, back into the queue"
  scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
fi
exit "$status"
"""
AGAIN = 5  # seconds between repetitions of USR1

# Several nodes: torch.distributed's ranks meet at the first, where this script and rank 0 run. The name of a node need
# not be that of a machine, so SLURM is asked for its address. `topokd.training.launch` starts the ranks by the
# launcher, and chooses the port.
SEVERAL_NODES = """\
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
MASTER_ADDR=$(scontrol show node "$first" | sed -n 's/.*NodeAddr=\\([^ ]*\\).*/\\1/p')
export MASTER_ADDR="${{MASTER_ADDR:-$first}}"
export {name}={launcher}
"""


def batch_script(profile: str, stages: tuple[str, ...], root: Path, cluster: Cluster, placement: Placement) -> str:
    """Text of the script.

    A job does not inherit the environment of the submitting shell (``--export=NONE``), except variables whose names
    start with TOPOKD_ (paths of data sets and caches): the script sets them.

    Args:
        profile: name of the profile.
        stages: addresses of the stages, one per task of the array.
        root: the project's folder.
        cluster: set-up lines, container, interpreter.
        placement: nodes and processes of each task.
    """
    program = _program(root, cluster, gpu=placement.gpus > 0)
    launcher = shlex.quote(shlex.join(["srun", *srun_options(placement), *program]))
    command = shlex.join([*program, "-m", "topokd.cli", "slurm", "task", profile, ",".join(stages)])
    lines = [
        "#!/bin/bash",
        f"# {profile}: stage ${{SLURM_ARRAY_TASK_ID}} of " + " ".join(stages),
        f"cd {shlex.quote(str(root))} || exit 1",
        *_exports({**os.environ, "TOPOKD_ROOT": str(root)}),
        "export PYTHONUNBUFFERED=1",
        *([SEVERAL_NODES.format(name=LAUNCHER, launcher=launcher)] if placement.nodes > 1 else []),
        SIGNALS.format(seconds=AGAIN),
        *cluster.setup,
        'export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}" MKL_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"',
        BODY.format(command=command),
    ]
    return "\n".join(lines)


def _exports(environment: Mapping[str, str]) -> list[str]:
    """``export`` lines of the project's own variables.

    Examples:
        >>> _exports({"TOPOKD_NUSCENES": "/data/nu scenes", "EDITOR": "vi"})
        ["export TOPOKD_NUSCENES='/data/nu scenes'"]
    """
    names = sorted(name for name in environment if re.fullmatch(r"TOPOKD_[A-Z0-9_]+", name))
    return [f"export {name}={shlex.quote(environment[name])}" for name in names if name not in OF_A_PROCESS]


def _program(root: Path, cluster: Cluster, gpu: bool) -> list[str]:
    """The interpreter of the stages, in the container if there is one."""
    program = [cluster.python or ("python" if cluster.container else sys.executable)]
    if cluster.container:
        image = str(root / os.path.expanduser(cluster.container))
        nvidia = ["--nv"] if gpu else []
        program = ["apptainer", "exec", *nvidia, "--bind", str(root), "--pwd", str(root), image, *program]
    return program
