"""A scratch clone of the working tree with the pipeline reduced to profile ``smoke`` (conf/smoke.yaml)."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import PROJECT
from topokd.io import PARTIAL

PROFILE = "smoke"
ROWS = ("plain", "full")
SEEDS = (0, 1)


def make_clone(
    folder: Path,
    seeds: tuple[int, ...] = SEEDS,
    rows: tuple[str, ...] = ROWS,
    layouts: tuple[str, ...] = ("nuscenes", "waymo"),
) -> Path:
    """Tracked and new files of this working tree, committed, with ``smoke`` as the only profile; nothing has run.

    dvc.lock is left out: it has the published profiles only, and DVC would read and write it twice for each stage.

    Args:
        folder: where to clone to.
        seeds: seeds of students and teachers.
        rows: rows of the ablation.
        layouts: layouts of the panels.
    """
    listed = git(PROJECT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, listed):
        source, target = PROJECT / name, folder / name
        if source.is_file() and name != "dvc.lock":
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    file = folder / "params.yaml"
    text = file.read_text()
    lists = {"profiles": (PROFILE,), "seeds": seeds, "teacher_seeds": seeds, "train_rows": rows, "  layouts": layouts}
    for key, values in lists.items():
        text, count = re.subn(rf"(?m)^{key}: \[[^\]]*\]", f"{key}: [{', '.join(map(str, values))}]", text)
        assert count == 1, f"params.yaml has no line `{key}: [...]`"
    file.write_text(text)
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "scratch")
    return folder


def git(clone: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    done = subprocess.run(["git", *identity, *arguments], cwd=clone, check=True, capture_output=True, text=True)
    return done.stdout


def own_environment(clone: Path) -> dict[str, str]:
    """This interpreter's programs with the clone's own topokd; DVC's commands run in /bin/sh, the worst shell."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("TOPOKD_") and name != "SHELL"},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(clone),
    }


def run(clone: Path, *command: str, check: bool = True) -> str:
    """Run a command in the clone; returns what it printed."""
    done = subprocess.run(
        command, cwd=clone, env=own_environment(clone), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert not check or done.returncode == 0, f"{command} exited {done.returncode}:\n{done.stdout[-6000:]}"
    return done.stdout


def changed_stages(clone: Path) -> set[str]:
    """Stages that `dvc status` names, without the profile: ``student-full-0``, ``paper``."""
    names = [line.strip(":") for line in run(clone, "dvc", "status").splitlines() if re.match(r"\w+@\S+:$", line)]
    return {name.replace(f"@{PROFILE}", "") for name in names}


def digests(clone: Path, profile: str = PROFILE) -> dict[str, str]:
    """Content of every result of a profile, except records of durations and files that a killed process left."""
    files = [
        *clone.glob(f"results/{profile}/**/*"),
        *clone.glob(f"figures/{profile}/**/*"),
        *clone.glob(f"workspace/{profile}/checkpoints/*"),
        *clone.glob(f"workspace/{profile}/notebooks/*"),
    ]
    return {
        str(file.relative_to(clone)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.is_file() and "provenance" not in file.parts and not file.name.startswith(PARTIAL)
    }
