"""Figures made from results alone show the numbers of the records."""

from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot as plt

from tests.paper.fake_results import SKILL, write_results
from tests.viz.extents import cut_off
from topokd import params as P
from topokd.io import read_json, write_json
from topokd.paper import facts, figures
from topokd.paper.exhibits import EXHIBITS
from topokd.paper.leftovers import leftovers
from topokd.paper.provenance import processors
from topokd.paper.readme import expected_numbers
from topokd.paper.render import render_exhibit
from topokd.paper.results import Results
from topokd.viz.rows import signs
from topokd.viz.style import PHONE

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return Results.read(write_results(tmp_path_factory.mktemp("figures") / "results" / "default"))


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("empty") / "results" / "default"
    P.dump(P.load_profile("default"), folder / "params.yaml")
    return Results.read(folder)


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    yield
    plt.close("all")


def test_the_glance_shows_reported_and_measured_networks(results: Results) -> None:
    reported, measured = figures.reported_glance(), figures.measured_glance(results)
    assert (
        reported.panels["parameters (M)"]["Student (paper)"] == 2.78
        and "KT-Weakly" in reported.panels["nuScenes mIoU (%)"]
    )
    assert measured is not None
    teacher = results.labels["teacher"]
    assert measured.panels["mIoU (%)"][teacher] == pytest.approx(results.score("teacher").mean)
    assert measured.panels["parameters (M)"][teacher] == 1.2 and teacher not in measured.bold
    figure = figures.glance_figure(results)
    assert len(figure.axes) == len(reported.panels) + len(measured.panels)
    texts = {text.get_text() for axes in figure.axes[: len(reported.panels)] for text in axes.texts}
    assert {"146.18", "27.64", "25"} <= texts  # as printed
    score = results.score("teacher")
    assert f"{score.mean:#.3g}" in {text.get_text() for text in figure.axes[len(reported.panels)].texts}
    (bars,) = [
        line for line in figure.axes[len(reported.panels)].containers if line.has_xerr and line[0].get_ydata()[0] == 1
    ]
    left, right = bars[2][0].get_segments()[0][:, 0]
    second = results.score(results.headline[1])
    assert (right - left) / 2 == pytest.approx(second.half_width)


def test_the_ablation_shows_each_row_with_its_seeds_and_gains(results: Results) -> None:
    figure = figures.ablation_figure(results)
    assert figure is not None
    left, right = figure.axes
    rows = figures.paper_rows(results)
    assert [tick.get_text() for tick in left.get_yticklabels()] == [results.labels[row] for row in ("teacher", *rows)]
    seeds = [line for line in left.lines if line.get_marker() == "o"]
    scores = results.scores("teacher")
    assert list(seeds[0].get_xdata()) == [scores[seed] for seed in sorted(scores)]
    gains = [line.get_xdata()[0] for line in right.lines if (line.get_marker(), line.get_markersize()) == ("|", 16)]
    over = figures._common_base(results, rows)
    compared = [row for row in rows if over in results.rows[row].compare]
    assert gains == pytest.approx([results.gain(row, over).mean for row in compared]) and compared


def test_validation_is_shown_for_every_network_and_paired_with_the_first_row(results: Results) -> None:
    figure = figures.validation_figure(results)
    assert figure is not None
    left, right = figure.axes
    assert [line.get_label() for line in left.lines] == [results.labels[name] for name in results.runs]
    runs = results.runs["plain"].values()
    mean = 100 * np.mean([run["history"]["val_miou"] for run in runs], axis=0)
    plain = next(line for line in left.lines if line.get_label() == results.labels["plain"])
    np.testing.assert_allclose(plain.get_ydata(), mean)
    assert results.labels["plain"] in right.get_ylabel()


def test_the_caption_of_the_validation_names_its_scans_the_row_and_the_bands_that_are_drawn(results: Results) -> None:
    figure, said = figures.validation_figure(results), facts.validation(results)
    assert figure is not None and cut_off(figure) == []
    left, right = figure.axes
    assert left.get_ylabel() == "mIoU (%), 2 validation scans" and results.params.train.validate_scans == 2
    assert said.startswith("It is the mIoU on 2 of the 12 validation scans, too few to tell which row is better: ")
    assert f"second: difference from “{results.labels['plain']}” at the same step and seed." in said
    # of the many networks the first and the last have a band, which would hide one another otherwise
    ends = [[f"“{results.labels[name]}”" for name in pair] for pair in (("plain", "full"), ("kd", "full"))]
    first, second = (" and ".join(pair) for pair in ends)
    assert f"Bands: lowest to highest seed, of {first} in the first panel, of {second} in the second panel." in said
    assert (len(left.collections), len(right.collections)) == (2, 2)
    steps = results.runs["full"][0]["history"]["val_step"]
    for line in left.lines:
        if line.get_label() == results.labels["full"]:
            assert list(line.get_xdata()) == steps and line.get_transform() == left.transData  # no row ends later


def validated(folder: Path, steps: dict[str, int], seeds: int = 3) -> Results:
    """Results whose runs have that many validations, by network."""
    folder = write_results(folder / "results" / "default")
    for file in (folder / "runs").glob("*.json"):
        record = read_json(file)
        if record["seed"] >= seeds:
            file.unlink()
            continue
        count = steps.get(record["row"] or "teacher", steps["other"])
        record["history"] |= {"val_step": [100 * (k + 1) for k in range(count)], "val_miou": [0.1] * count}
        write_json(file, record)
    return Results.read(folder)


def test_a_single_validation_is_not_drawn_but_named(tmp_path: Path) -> None:
    results = validated(tmp_path, {"teacher": 4, "other": 1})
    figure, said = figures.validation_figure(results), facts.validation(results)
    assert figure is not None and cut_off(figure) == []
    (panel,) = figure.axes
    assert [line.get_label() for line in panel.lines] == [results.labels["teacher"]]
    assert figure.get_figwidth() <= PHONE  # it cannot be cut into panels
    names = ", ".join(f"“{results.labels[row]}”" for row in results.rows)
    assert said.endswith(f"Not drawn, with a single validation: {names}.") and "right" not in said.lower()


def test_bands_of_one_seed_are_neither_drawn_nor_described(tmp_path: Path) -> None:
    results = validated(tmp_path, {"other": 2}, seeds=1)
    figure, said = figures.validation_figure(results), facts.validation(results)
    assert figure is not None and not any(axes.collections for axes in figure.axes)
    assert "Bands" not in said and "Mean" not in said and "mean over" not in said
    assert "Second: difference from" in said


def test_without_two_validations_of_a_run_the_figure_is_left_out(tmp_path: Path) -> None:
    results = validated(tmp_path, {"other": 1})
    assert figures.validation_figure(results) is None and facts.validation(results) == ""
    assert render_exhibit(EXHIBITS["validation"], results, tmp_path / "figures") == ""


def test_classes_are_shown_with_the_networks_of_the_headline(results: Results) -> None:
    figure = figures.class_figure(results)
    assert figure is not None
    names = {tick.get_text() for axes in figure.axes for tick in (*axes.get_xticklabels(), *axes.get_yticklabels())}
    assert any("road" in name for name in names)
    shares = figure.axes[1]
    assert not shares.patches and shares.get_xscale() == "log"  # bars would begin at an arbitrary value
    low, high = shares.get_xlim()
    assert len([tick for tick in shares.get_xticks() if low <= tick <= high]) >= 2


def test_a_network_has_one_marker_in_all_figures(results: Results) -> None:
    expected = {results.labels[name]: sign["marker"] for name, sign in signs(results.looks).items()}
    for figure in (figures.validation_figure(results), figures.class_figure(results)):
        assert figure is not None
        lines = [line for axes in figure.axes for line in axes.get_lines() if line.get_label() in expected]
        assert lines and all(line.get_marker() == expected[line.get_label()] for line in lines)
    glance = figures.measured_glance(results)
    assert glance is not None and {name: glance.markers[name] for name in glance.colors}.items() <= expected.items()


def test_shares_of_gradients_are_those_of_all_seeds(tmp_path: Path) -> None:
    folder = write_results(tmp_path / "results" / "default")
    norms = {"seg": {"parameters": [2.0, 4.0]}, "kd": {"parameters": [3.0, 1.0], "weight": [0.5, 0.5]}}
    for file in (folder / "runs").glob("kd-seed*.json"):
        record = read_json(file)
        record["history"]["gradients"] = {"step": [1, 50], "terms": norms}
        write_json(file, record)
    shares = figures.gradient_shares(Results.read(folder))
    assert list(shares) == ["kd"]
    steps, percent = shares["kd"]["kd"]
    assert steps == [1, 50] and percent.tolist() == [[75.0, 12.5]] * 3


def test_without_runs_there_is_no_figure(empty: Results) -> None:
    for draw in (
        "measured_glance",
        "ablation_figure",
        "beyond_figure",
        "validation_figure",
        "share_figure",
        "class_figure",
    ):
        assert getattr(figures, draw)(empty) is None, draw


def test_files_of_rows_and_seeds_that_the_profile_no_longer_has_are_named_and_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOPOKD_ROOT", str(tmp_path))
    params = P.Params(
        seeds=(0,), train_rows=("plain",), rows={"plain": P.Row(label="Plain", short="plain", color="#000000")}
    )
    folder = write_results(params.results, params)
    assert leftovers(params) == [] and set(SKILL) > {"teacher", "plain"}
    machine = {"processor": "fast", "cores": 2}
    write_json(folder / "provenance" / "30_student-plain-seed0.json", {"seconds": 60.0, **machine})
    write_json(folder / "provenance" / "40_evaluation.json", {"seconds": 60.0, **machine})
    stale = [folder / "provenance" / "20_teacher-seed3.json", folder / "provenance" / "30_student-kd-seed0.json"]
    for file in stale:
        write_json(file, {"seconds": 6000.0, "processor": "slow", "cores": 1})
    (folder / "runs" / "plain-seed9.json").write_text("{}")
    assert leftovers(params) == [folder / "runs" / "plain-seed9.json", *stale]
    results = Results.read(folder)
    assert processors(results) == ["fast"] and "took 2 core-minutes" in expected_numbers([folder])
