"""One stage of the pipeline beside others: ``dvc repro -s`` that waits for DVC's lock instead of failing on it.

``topokd stage ADDRESS [--force]`` is what the all-cores scheduler and the SLURM array call.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from topokd.pipeline.lifetime import die_with_parent
from topokd.project import project_root

LOCKED = ("Unable to acquire lock", "is busy, it is being blocked by")
TRIES = 60


def stage_environment() -> dict[str, str]:
    """This interpreter's programs first, so that DVC finds ``topokd`` without an activated environment."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}


def stage_command(address: str, force: bool = False) -> list[str]:
    """The command that runs one stage in a process of its own."""
    return [sys.executable, "-m", "topokd.cli", "stage", address, *(["--force"] if force else [])]


def run_stage(address: str, force: bool = False) -> int:
    """Run one stage, whose dependencies are done; its output goes to standard output. Returns DVC's exit status."""
    command = [sys.executable, "-m", "dvc", "repro", "-s", address, *(["--force"] if force else [])]
    for _ in range(TRIES):
        locked = False
        with subprocess.Popen(
            command, cwd=project_root(), env=stage_environment(), stdin=subprocess.DEVNULL, text=True, errors="replace",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=die_with_parent,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            for line in process.stdout:
                locked = locked or any(words in line for words in LOCKED)
                sys.stdout.write(line)
                sys.stdout.flush()
        if process.returncode == 0 or not locked:
            return process.returncode
        time.sleep(random.uniform(0.5, 2.0))  # another stage is writing its result: a matter of a second
    return process.returncode
