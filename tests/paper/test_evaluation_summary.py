"""Tables, sentences and the record of notebook 40 are those of the run records."""

from pathlib import Path

import numpy as np
import pytest

from tests.paper.fake_results import write_results
from topokd import params as P
from topokd.paper.evaluation_summary import (
    NO_NETWORK,
    boundary_sentence,
    class_frame,
    official_frame,
    official_rows,
    score_frame,
    summary_record,
    tta_sentence,
)
from topokd.paper.results import Results
from topokd.pipeline.metrics import write_metrics


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return Results.read(write_results(tmp_path_factory.mktemp("summary") / "results" / "default"))


def test_scores_have_a_line_per_network_and_a_column_per_metric(results: Results) -> None:
    table = score_frame(results)
    assert list(table.index) == [results.labels[name] for name in results.runs]
    assert table.loc[results.labels["full"], "mIoU, absent skipped"] == results.score("full", "miou_skip").text()
    assert set(table["seeds"]) == {1, 3}  # one teacher, three students


def test_the_class_that_does_not_occur_has_no_score(results: Results) -> None:
    table = class_frame(results)
    assert table.loc["motorcyclist", results.labels["full"]] == "–" and "±" in table.loc["road", results.labels["full"]]


def test_official_scores_exist_for_benchmarks_only(results: Results) -> None:
    assert official_rows(results) == {} and official_frame(results).empty
    data = results.params.data.replace(dataset="semantickitti", root="/data")
    benchmark = Results(results.folder, results.params.replace(data=data), results.runs)
    rows = official_rows(benchmark)
    assert list(rows) == list(results.runs)
    per_seed = [100 * run["evaluation"]["accuracy"] for run in results.runs["full"].values()]
    assert list(official_frame(benchmark).columns) == [results.labels[name] for name in rows]
    assert any(value == pytest.approx(np.mean(per_seed)) for value in rows["full"].values())


def test_the_record_holds_the_mean_over_seeds(results: Results) -> None:
    record = summary_record(results, {"full": {1: 0.4, 8: 0.5}})
    assert record["test_time_augmentation"] == {"full": {"1": 40.0, "8": 50.0}} and "official" not in record
    full = record["variants"]["full"]
    scores = [100 * run["evaluation"]["miou_skip"] for run in results.runs["full"].values()]
    assert full["seeds"] == [0, 1, 2] and full["miou_skip"]["mean"] == pytest.approx(np.mean(scores))
    assert np.isnan(full["iou"]["motorcyclist"])


def test_sentences_name_every_network(results: Results) -> None:
    both = {
        name: {"boundary": {"miou": 20.0, "within_m": 0.5}, "interior": {"miou": 60.0}} for name in ("teacher", "full")
    }
    text = boundary_sentence(both, results.labels)
    assert text.startswith("mIoU (%) within 0.5 m") and text.count("20.0 against 60.0") == 2
    label = results.labels["full"]  # as it is, "KD" in capitals too
    assert f"“{label}”: 20.0" in text and f"“{label}”: 40.0 → 50.0" in tta_sentence(
        {"full": {1: 0.4, 8: 0.5}}, 12, results.labels
    )
    assert boundary_sentence({}, {}) == tta_sentence({}, 12, {}) == NO_NETWORK


def test_the_metrics_of_dvc_are_the_miou_of_every_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = P.load_profile("default")
    monkeypatch.setenv("TOPOKD_ROOT", str(tmp_path))
    results = Results.read(write_results(params.results, params))
    from topokd.io import read_json

    miou = read_json(write_metrics(params))["miou"]
    assert list(miou) == ["teacher", *params.train_rows]
    scores = results.scores("kd", "miou_skip")
    assert miou["kd"] == pytest.approx(
        {f"seed{seed}": score for seed, score in scores.items()} | {"mean": np.mean([*scores.values()])}, abs=1e-3
    )
