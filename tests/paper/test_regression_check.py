import json
import shutil
import subprocess

import pytest

from topokd.io import write_json
from topokd.paper.regression_check import GitReference, compare


@pytest.fixture
def copy(results_folder, tmp_path):
    (results_folder / "timings").mkdir()
    (results_folder / "timings" / "a.json").write_text('{"seconds": 1.0}')
    (results_folder / "tables").mkdir()
    (results_folder / "tables" / "table8.csv").write_text(
        "row,column,source,mean,varies\n30,ours,measured,0.5,timing\n30,pairs,measured,12,\n"
    )
    other = tmp_path / "committed"
    shutil.copytree(results_folder, other)
    return other


def edit(path, change):
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def test_an_unchanged_copy_of_the_results_is_equal(results_folder, copy):
    comparison = compare(results_folder, copy)
    runs = len(list((results_folder / "runs").glob("*.json")))
    assert comparison.equal and comparison.checked == runs + 1 and not comparison.differences
    assert f"All numbers of {runs + 1}" in comparison.summary()


def test_timings_and_machine_do_not_count(results_folder, copy):
    (results_folder / "timings" / "a.json").write_text('{"seconds": 9.0}')
    table = results_folder / "tables" / "table8.csv"
    table.write_text(table.read_text().replace("0.5", "0.7"))
    edit(results_folder / "runs" / "full-seed0.json", lambda r: r.update(versions={"torch": "9"}, device="cuda"))
    assert compare(results_folder, copy).equal


def test_numbers_that_differ_are_counted_per_file(results_folder, copy):
    def change(record):
        record["evaluation"]["iou"][3] += 0.25
        record["evaluation"]["accuracy"] += 0.001

    edit(results_folder / "runs" / "full-seed1.json", change)
    table = results_folder / "tables" / "table8.csv"
    table.write_text(table.read_text().replace(",12,", ",12.1,"))
    comparison = compare(results_folder, copy)
    one, other = comparison.differences
    assert not comparison.equal and (one.path, one.numbers, one.words) == ("runs/full-seed1.json", 2, 0)
    assert (other.path, other.numbers, other.words) == ("tables/table8.csv", 1, 0)
    assert "Differ from the committed ones: runs/full-seed1.json, tables/table8.csv." in comparison.summary()


def test_missing_new_and_damaged_files_are_named(results_folder, copy):
    (results_folder / "runs" / "kd-seed0.json").unlink()
    (results_folder / "runs" / "kd-seed1.json").write_text("{")
    (results_folder / "extra.json").write_text("{}")
    kinds = {d.path: (d.kind, d.words) for d in compare(results_folder, copy).differences}
    assert kinds == {
        "runs/kd-seed0.json": ("missing", 0), "extra.json": ("new", 0), "runs/kd-seed1.json": ("changed", 1)
    }  # fmt: skip


def test_texts_and_lengths_are_compared(results_folder, copy):
    edit(results_folder / "runs" / "full-seed0.json", lambda r: (r["terms"].update(x={}), r.update(preset="other")))
    (difference,) = compare(results_folder, copy).differences
    assert (difference.numbers, difference.words) == (0, 2)


def test_the_largest_difference_in_miou_is_named_in_points(results_folder, copy):
    def change(record):
        record["evaluation"]["miou_skip"] += 0.0125
        record["evaluation"]["iou"][3] += 0.5

    edit(results_folder / "runs" / "kd-seed1.json", change)
    comparison = compare(results_folder, copy)
    run, points = comparison.miou
    assert run == "kd-seed1" and points == pytest.approx(1.25)
    assert comparison.summary().splitlines()[0] == "The largest difference in mIoU is 1.2 points (kd-seed1)."


def test_answers_that_changed_are_named(results_folder, copy):
    for seed in range(3):  # the plain student now beats the teacher
        path = results_folder / "runs" / f"plain-seed{seed}.json"
        edit(path, lambda r: r["evaluation"].update(miou_skip=r["evaluation"]["miou_skip"] + 0.5))
    comparison = compare(results_folder, copy)
    assert (
        "“Is the teacher better than the student trained alone?” yes → no, the difference is negative"
        in comparison.answers
    )
    assert "yes → no" in comparison.summary().splitlines()[1]


def test_unchanged_answers_are_not_reported_as_changes(results_folder, copy):
    edit(results_folder / "runs" / "kd-seed1.json", lambda r: r["evaluation"].update(accuracy=0.5))
    comparison = compare(results_folder, copy)
    assert comparison.answers == () and "The mIoU of every run is the same" in comparison.summary()
    assert "Answers that changed: none" in comparison.summary()


def test_a_study_that_decides_changes_no_answer(results_folder, copy):
    interval = [0.8, 2.0]
    comparison = {
        "comparison": "kd - plain", "treatment": "kd", "control": "plain", "difference": 1.4, "sd": 0.6, "seeds": 10,
        "intervals": {over: interval for over in ("seeds", "streets", "both")}, "p_holm": 0.004,
        "p_equivalence_holm": 0.9, "verdict": "worse",
    }  # fmt: skip
    study = {
        "profile": "study", "dataset": "synthetic", "done": 1, "planned": 1, "comparisons": [comparison],
        "plan": {"margin": 0.5}, "places": {"kd": 24}, "labels": {"kd": "kd", "plain": "plain"},
    }  # fmt: skip
    write_json(results_folder.parent.parent / "study" / "answers" / "study.json", study)
    edit(results_folder / "runs" / "kd-seed1.json", lambda r: r["evaluation"].update(accuracy=0.5))
    assert compare(results_folder, copy).answers == ()


def git(folder, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_results_are_compared_with_git_head(results_folder):
    root = results_folder.parent.parent
    assert "Not compared" in compare(results_folder, GitReference(results_folder)).summary()
    git(root, "init", "-q")
    git(root, "add", "results")
    assert not compare(results_folder).equal  # nothing committed yet
    git(root, "commit", "-qm", "results")
    assert compare(results_folder).equal
    edit(results_folder / "runs" / "full-seed0.json", lambda r: r.update(parameters=1))
    (difference,) = compare(results_folder).differences
    assert difference.path == "runs/full-seed0.json" and difference.numbers == 1


def test_missing_git_is_reported(results_folder, monkeypatch):
    monkeypatch.setenv("PATH", "")
    comparison = compare(results_folder)
    assert not comparison.equal and "git is not installed" in comparison.summary()


def test_a_profile_without_committed_results_is_reported(results_folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    assert "has no results" in compare(results_folder, other).summary()
