"""`topokd slurm` with mistakes, which it names before it submits anything; needs no SLURM."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.make(tmp_path / "project")


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ("{techer: {time: '1'}}", "there is no kind of stage 'techer'"),
        ("{teacher: {time: 90}}", "put it in quotes"),
    ],
)
def test_a_mistake_in_the_description_of_the_cluster_is_named(project: Project, stages: str, words: str) -> None:
    project.describe_cluster(more=f"stages: {stages}\n")
    said = project.slurm("submit", check=False)
    assert words in said and "conf/cluster.yaml" in said
    assert not project.jobs()


def test_an_unknown_profile_is_named_and_leaves_no_folder(project: Project) -> None:
    said = project.slurm("submit", "--profile", "absent", check=False)
    assert "there is no profile 'absent'; profiles: default, other" in said
    for folder in ("results/absent", "workspace/absent"):
        assert not (project.root / folder).exists()
    assert not project.jobs()
