"""A small graph of stages, and commands of SLURM that write down how they were called."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from topokd import params as P
from topokd.cli import app
from topokd.pipeline import graph, profiles
from topokd.pipeline.graph import Stage
from topokd.pipeline.slurm import submit
from topokd.pipeline.slurm.cluster import Cluster
from topokd.pipeline.slurm.plan import make_arrays

NEEDS: dict[str, set[str]] = {
    "data@default": set(),
    "teacher@default-0": {"data@default"},
    "teacher@default-1": {"data@default"},
    "student@default-kd-0": {"data@default", "teacher@default-0"},
    "student@default-full-0": {"data@default", "teacher@default-0"},
    "student@default-kd-1": {"data@default", "teacher@default-1"},
    "paper@default": {"student@default-kd-0", "student@default-full-0", "student@default-kd-1"},
}
KINDS = {address.split("@")[0] for address in NEEDS}


def stages(seconds: dict[str, float] | None = None) -> list[Stage]:
    known = seconds or {}
    return [Stage(address, needs, known.get(address, 0.0), False, Path(), Path()) for address, needs in NEEDS.items()]


def arrays(done: set[str] = frozenset(), queued: set[str] = frozenset(), **settings: Any) -> list:
    left = set(NEEDS) - done
    return make_arrays(stages(settings.pop("seconds", None)), left, queued, Cluster(**settings))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder, and commands of SLURM that write down how they were called; squeue prints the file `queue`."""
    monkeypatch.setenv("TOPOKD_ROOT", str(tmp_path))
    (tmp_path / "conf").mkdir()
    programs = {
        "squeue": 'cat "$TOPOKD_ROOT/queue" 2>/dev/null; true',
        "sbatch": 'echo "$@" >> "$TOPOKD_ROOT/sent"; echo "$((10 + $(wc -l < "$TOPOKD_ROOT/sent")));cluster"',
        "scancel": 'echo "$@" > "$TOPOKD_ROOT/cancelled"',
    }
    for name, text in programs.items():
        file = tmp_path / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(P, "load_profile", lambda name: P.Params(train=P.Train(threads=2)))
    for module, name, value in (
        (submit, "list_profile", lambda name: None),
        (submit, "listed", lambda name: contextlib.nullcontext()),
        (submit, "share_lock", lambda: None),
        (submit, "read_stages", lambda name: stages()),
        (graph, "listed_profiles", lambda: ["default"]),
        (graph, "read_stages", lambda name: stages()),
        (submit, "unfinished", lambda known: [s.address for s in known if s.address != "data@default"]),
        (graph, "unfinished", lambda known: [s.address for s in known if s.address != "data@default"]),
        (profiles, "profile_of", lambda address: "default" if address else ""),
    ):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr("topokd.cli.slurm.require_checkout", lambda: None)
    return tmp_path


def call(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["slurm", *arguments])
    return done.exit_code, done.output if done.exception is None else f"{done.output}{done.exception}"
