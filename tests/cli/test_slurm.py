"""`topokd slurm` where no cluster is needed."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from topokd.cli import app
from topokd.pipeline import profiles
from topokd.pipeline.slurm import jobs


@pytest.mark.parametrize("profile", ["default", "kitti", "kitti-mini"])
def test_logs_of_a_stage_are_those_of_its_profile_also_if_the_name_holds_a_dash(
    profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiles, "listed_profiles", lambda: ["default", "kitti", "kitti-mini"])
    monkeypatch.setattr(jobs, "read_jobs", lambda name: {f"teacher@{name}-0": "12_0"})
    done = CliRunner().invoke(app, ["slurm", "logs", f"teacher@{profile}-0"])
    assert done.exit_code == 0, done.exception
    assert f"{profile}/slurm/logs/teacher-12_0.log" in done.output and "not started yet" in done.output
