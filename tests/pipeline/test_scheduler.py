"""The scheduler: order of stages, timing stages alone, estimates, patience, and messages."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from topokd.errors import ParameterError
from topokd.pipeline import scheduler
from topokd.pipeline.ahead import commands_ahead, next_ahead
from topokd.pipeline.graph import Stage, final_stages, read_stages
from topokd.pipeline.profiles import list_profile, listed, listed_profiles
from topokd.pipeline.scheduler import StageError, reproduce


def stage(address: str, *, expected: float = 0.0, alone: bool = False, needs: tuple[str, ...] = ()) -> Stage:
    return Stage(address, set(needs), expected, alone, Path(), Path())


@pytest.fixture(scope="module")
def stages() -> list[Stage]:
    return read_stages("default")


def test_every_stage_comes_after_the_stages_it_needs(stages: list[Stage]):
    seen: set[str] = set()
    for each in stages:
        assert each.needs <= seen, each.address
        seen.add(each.address)
    assert {"params@default", "data@default", "teacher@default-0", "student@default-full-2", "paper@default"} <= seen


def test_the_final_stages_need_all_others(stages: list[Stage]):
    targets = final_stages(stages)
    assert "paper@default" in targets and "metrics@default" in targets
    needs = {each.address: each.needs for each in stages}
    reached, todo = set(), list(targets)
    while todo:
        address = todo.pop()
        reached.add(address)
        todo += needs[address] - reached
    assert reached == set(needs)


def test_stages_whose_results_are_times_run_alone(stages: list[Stage]):
    assert {each.group for each in stages if each.alone} == {"topology_cost", "model_cost"}
    timing, work = stage("timing", alone=True), stage("work")
    assert scheduler.next_stage([timing, work], [], set(), 2) is work
    assert scheduler.next_stage([timing], [work], set(), 2) is None
    assert scheduler.next_stage([timing], [], set(), 2) is timing
    assert scheduler.next_stage([work], [timing], set(), 2) is None


def test_a_stage_waits_for_its_dependencies_and_for_a_free_core():
    first, second = stage("first"), stage("second", needs=("first",))
    assert scheduler.next_stage([second], [first], set(), 2) is None
    assert scheduler.next_stage([second], [], {"first"}, 2) is second
    assert scheduler.next_stage([second], [stage("other")], {"first"}, 1) is None


def test_the_stage_with_the_longest_way_to_the_end_starts_first(stages: list[Stage]):
    panel, teacher = stage("panel", expected=120.0), stage("teacher", expected=100.0)
    student = stage("student", expected=90.0, needs=("teacher",))
    assert scheduler.next_stage([panel, teacher, student], [], set(), 2) is teacher
    assert scheduler.next_stage([panel, student], [teacher], set(), 2) is panel
    unknown = [stage("first"), stage("second")]
    assert scheduler.next_stage(unknown, [], set(), 2) is unknown[0]
    done = {"params@default", "data@default"}
    waiting = [each for each in stages if each.address not in done]
    running = [next(each for each in waiting if each.address == "panels@default-nuscenes")]
    left = [each for each in waiting if each not in running]
    assert scheduler.next_stage(left, running, done, 2).address == "teacher@default-0"  # before the other panel


def test_students_of_a_seed_run_side_by_side_once_one_of_them_has_run_the_teacher():
    kd, full, other, plain = (
        stage(f"student@p-{name}", expected=9.0) for name in ("kd-0", "full-0", "kd-1", "plain-0")
    )
    untaught = {plain.address}
    assert scheduler.next_stage([full, other], [kd], set(), 2, untaught) is other
    assert scheduler.next_stage([full], [kd], set(), 2, untaught) is full  # better than an idle core
    assert scheduler.next_stage([full, other], [plain], set(), 2, untaught) is full
    assert scheduler.next_stage([full, other], [kd], {plain.address}, 2, untaught) is other
    assert scheduler.next_stage([full, other], [plain], {kd.address}, 2, untaught) is full


REPORT = '{"task": "training", "done": 1, "total": 2, "note": ""}\n'


def test_an_idle_core_trains_students_without_a_teacher_ahead_of_it(stages: list[Stage], tmp_path: Path):
    commands = commands_ahead("default")
    assert set(commands) == {f"student@default-plain-{seed}" for seed in (0, 1, 2)}
    assert commands["student@default-plain-1"][-5:] == ["plain", "--seed", "1", "--profile", "default"]
    teacher = replace(next(each for each in stages if each.group == "teacher"), progress=tmp_path / "t.jsonl")
    waiting = [each for each in stages if each.group == "student"]
    done = {"params@default", "data@default"}
    assert next_ahead(waiting, [teacher], done, 2, commands) is None  # the teacher may be up to date
    teacher.progress.write_text(REPORT)
    chosen = next_ahead(waiting, [teacher], done, 2, commands)
    assert chosen is not None and chosen.address == "student@default-plain-0"
    assert next_ahead(waiting, [teacher, stage("panel")], done, 2, commands) is None  # no core
    assert next_ahead(waiting, [stage("timing", alone=True)], done, 2, commands) is None  # it measures
    assert next_ahead(waiting, [teacher], {"params@default"}, 2, commands) is None  # no data yet
    assert next_ahead(waiting, [], done, 2, commands) is None  # the teacher does not run
    assert next_ahead(waiting, [teacher], done, 2, {}) is None  # all are trained
    early = chosen.ahead()
    assert early.is_ahead and early.log != chosen.log
    taught = done | {teacher.address}
    assert scheduler.next_stage([chosen], [early], taught, 2) is None  # waits for the run ahead of it
    assert scheduler.next_stage([chosen], [], taught, 2) is chosen


@pytest.mark.parametrize("fails", [False, True])
def test_a_stage_runs_after_the_run_ahead_of_it_even_if_that_failed(tmp_path: Path, monkeypatch, fails: bool):
    def python(text: str, seconds: float) -> list[str]:
        line = f"import time; time.sleep({seconds}); open({str(tmp_path / 'order')!r}, 'a').write({text!r})"
        return [sys.executable, "-c", f"{line}; raise SystemExit({int(fails and text == 'a')})"]

    names = {"teacher@p-0": "t", "student@p-plain-0": "s"}
    monkeypatch.setattr(scheduler, "stage_command", lambda address, force: python(names[address], 0.6))
    monkeypatch.setattr(scheduler, "project_root", lambda: tmp_path)
    teacher = Stage("teacher@p-0", set(), 0.0, False, tmp_path / "t.log", tmp_path / "t.json")
    teacher.progress.write_text(REPORT)
    student = Stage("student@p-plain-0", {"teacher@p-0"}, 0.0, False, tmp_path / "s.log", tmp_path / "s.json")
    scheduler._Schedule([teacher, student], 2, False, tmp_path, 0.0, {student.address: python("a", 1.5)}).run()
    assert (tmp_path / "order").read_text() == "tas"


def test_a_finished_stage_sets_the_estimate_of_its_group():
    waiting = [stage("student@default-kd-1"), stage("student@default-full-1", expected=90.0), stage("paper@default")]
    scheduler._update_estimates(stage("student@default-kd-0"), waiting, 60.0)
    assert [each.expected for each in waiting] == [60.0, 90.0, 0.0]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one tiny stage per profile, in a folder without git."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/one.yaml").write_text("data: {voxel_size: 0.3}\n")
    (tmp_path / "conf/real.yaml").write_text("data: {dataset: semantickitti, root: scans}\n")
    root = (PROJECT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(root)
    (tmp_path / "dvc.yaml").write_text(
        'stages:\n  params:\n    matrix: {profile: "${profiles}"}\n'
        "    cmd: mkdir -p results/${item.profile}/x && echo 1 > results/${item.profile}/x/y\n"
        '    outs: ["results/${item.profile}/x/y": {cache: false}]\n'
    )
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "-q", "--no-scm"], cwd=tmp_path, check=True)
    monkeypatch.setenv("TOPOKD_ROOT", str(tmp_path))
    return tmp_path


def test_an_unlisted_profile_is_added_and_the_rest_of_the_file_stays(project: Path):
    before = (project / "params.yaml").read_text()
    assert list_profile("one") and not list_profile("one")
    after = (project / "params.yaml").read_text()
    assert listed_profiles() == ["default", "one"]
    changed = [(a, b) for a, b in zip(before.splitlines(), after.splitlines(), strict=True) if a != b]
    assert len(changed) == 1 and changed[0][1].startswith("profiles: [default, one]")


def test_a_profile_that_is_only_looked_at_does_not_stay_in_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TOPOKD_ROOT", str(tmp_path))
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "one.yaml").write_text("{}\n")
    file = tmp_path / "params.yaml"
    file.write_bytes((PROJECT / "params.yaml").read_bytes())
    with pytest.raises(StageError), listed("one"):
        assert listed_profiles() == ["default", "one"]
        raise StageError("no pipeline")
    assert file.read_bytes() == (PROJECT / "params.yaml").read_bytes()
    with listed("one"):
        list_profile("one")  # is listed already: changes nothing
        file.write_text(file.read_text() + "# somebody edits\n")
    assert "# somebody edits" in file.read_text()


def test_a_profile_of_real_scans_is_also_listed_for_fingerprints(project: Path):
    list_profile("real")
    text = (project / "params.yaml").read_text()
    assert "\nprofiles: [default, real]" in text and "\nreal_profiles: [real]" in text


def test_an_unknown_profile_lists_the_known_ones(project: Path):
    with pytest.raises(ParameterError, match=r"oen.*default, one, real"):
        reproduce("oen")


@pytest.mark.long
def test_only_one_profile_is_reproduced_and_the_second_run_does_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
):
    reproduce("one", jobs=1)
    printed = capsys.readouterr().out
    assert "added one to `profiles`" in printed and "[1/1] params@one" in printed
    assert (project / "results/one/x/y").is_file() and not (project / "results/default").exists()
    reproduce("one", jobs=1)
    assert "every stage is up to date" in capsys.readouterr().out


def test_a_failing_stage_ends_with_its_log_and_advice(project: Path):
    file = project / "dvc.yaml"
    file.write_text(file.read_text().replace("echo 1 >", "echo scan 4 is empty && false >"))
    with pytest.raises(StageError, match=r"(?s)params@default failed:.*fix it and rerun: finished stages are kept"):
        reproduce("default", jobs=1)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("dvc.lock", "<<<<<<< HEAD\n", "dvc.lock"),
        ("dvc.yaml", "stages: [\n", "dvc.yaml"),
        ("params.yaml", "profiles: [\n", "params.yaml.* not valid YAML"),
    ],
)
def test_a_damaged_file_is_named(project: Path, file: str, text: str, message: str):
    (project / file).write_text(text)
    with pytest.raises((StageError, ParameterError), match=message):
        read_stages("default")


def test_a_copy_without_git_names_the_setting_that_helps(project: Path):
    (project / ".dvc/config").write_text("")
    with pytest.raises(StageError, match="dvc config --local core.no_scm true"):
        read_stages("default")


def test_a_folder_without_the_project_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TOPOKD_ROOT", str(tmp_path))
    with pytest.raises(ParameterError, match="run this in a checkout of the project"):
        read_stages("default")
