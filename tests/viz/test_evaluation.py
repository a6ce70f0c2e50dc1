"""Figures of an evaluation and of a training run show what the records hold."""

import numpy as np
import pytest

from topokd.params import NetworkStyle
from topokd.viz.evaluation import breakdown_figure, confusion_figure
from topokd.viz.rows import signs
from topokd.viz.training import TERM_COLORS, class_table, conclusion, history_figure, share_figure

LOOKS = {
    "teacher": NetworkStyle(label="Teacher", color="#111111"),
    "plain": NetworkStyle(label="Student", color="#222222"),
}


def test_confusion_is_in_percent_of_the_true_class() -> None:
    matrix = np.array([[3, 0, 0], [1, 4, 0], [0, 0, 0]])  # rows: predictions; class 2 does not occur
    figure = confusion_figure({"Teacher": matrix}, {"Teacher": np.array([0, 4, 0])}, ("road", "car", "boat"))
    axes = figure.axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["road", "car"]
    printed = {text.get_position(): text.get_text() for text in axes.texts}
    assert printed == {(0, 0): "75", (1, 0): "25", (1, 1): "50"}  # half of the cars have no predicted class


def breakdown(miou: float | None) -> dict:
    spans = [
        {"from_m": 0, "to_m": 10, "points": 30, "miou": 50.0},
        {"from_m": 10, "to_m": None, "points": 10, "miou": miou},
    ]
    return {"range": spans, "border": spans, "frequency": {"common": {"classes": ["road"], "miou": 40.0}}}


def test_breakdowns_name_each_span_and_its_share_of_the_points() -> None:
    figure = breakdown_figure({"teacher": breakdown(20.0), "plain": breakdown(None)}, LOOKS)
    by_range = figure.axes[0]
    assert [tick.get_text() for tick in by_range.get_xticklabels()] == ["0–10\n75 %", "> 10\n25 %"]
    np.testing.assert_array_equal([line.get_ydata() for line in by_range.lines], [[50, 20], [50, np.nan]])
    assert [text.get_text() for text in figure.axes[2].get_legend().get_texts()] == ["Teacher", "Student"]
    assert by_range.get_ylim() == pytest.approx((0, 55))


def test_a_network_has_its_marker_in_a_figure_of_some_of_the_networks() -> None:
    figure = breakdown_figure({"plain": breakdown(20.0)}, LOOKS)
    assert {line.get_marker() for axes in figure.axes for line in axes.lines} == {signs(LOOKS)["plain"]["marker"]}


def run(**changes) -> dict:
    record = {
        "run": "kd-seed0",
        "parameters": 75000,
        "steps": 20,
        "terms": {"kd": {"weight": 1.0}},
        "history": {
            "step": [10, 20], "loss": [3.0, 2.0], "terms": {"seg": [2.0, 1.5], "kd": [1.0, 0.5]}, "lr": [0.1, 0.05],
            "val_step": [10, 20], "val_miou": [0.2, 0.3],
        },
        "evaluation": {
            "class_names": ["road", "car", "boat"], "iou": [0.5, 0.25, None], "miou_skip": 0.375, "accuracy": 0.8,
            "points": 1234,
        },
    }  # fmt: skip
    return record | changes


def test_the_history_shows_each_term_the_rate_and_the_validation() -> None:
    left, middle, right = history_figure(run()).axes
    curves = {line.get_label(): list(line.get_ydata()) for line in left.lines}
    assert curves == {"$L_{total}$": [3.0, 2.0], "$L_{seg}$": [2.0, 1.5], "$L_{kd}$": [1.0, 0.5]}
    assert list(middle.lines[0].get_ydata()) == [0.1, 0.05]
    assert list(right.lines[0].get_ydata()) == pytest.approx([20, 30])


def test_a_term_has_one_colour_in_the_history_and_among_the_gradients() -> None:
    left = history_figure(run()).axes[0]
    (panel,) = share_figure(
        {"kd": {"topo": ([1], np.ones((1, 1))), "kd": ([1], np.ones((1, 1)))}}, {"kd": "+"}, (5, 9)
    ).axes
    colors = {line.get_label(): line.get_color() for line in left.lines}
    assert [line.get_color() for line in panel.lines[:2]] == [TERM_COLORS["topo"], colors["$L_{kd}$"]]
    assert len(set(colors.values())) == 3


def test_classes_are_listed_from_the_best_without_those_that_are_absent() -> None:
    table = class_table(run())
    assert table.to_dict("records") == [{"class": "road", "IoU (%)": 50.0}, {"class": "car", "IoU (%)": 25.0}]


@pytest.mark.parametrize(
    ("last", "words"), [([0.2, 0.3], "still rising"), ([0.3, 0.301], "level"), ([0.3, 0.2], "falling")]
)
def test_the_conclusion_states_the_trend_of_the_validation(last: list[float], words: str) -> None:
    record = run()
    record["history"]["val_miou"] = last
    text = conclusion(record)
    assert f"mIoU was {words} at the end" in text and "**37.5 mIoU**" in text and "after 20 steps" in text
    assert "Best class: road, weakest: car." in text and "besides the cross-entropy: kd." in text


def test_the_share_of_a_gradient_is_a_geometric_mean_over_seeds() -> None:
    shares = {"kd": {"kd": ([1, 2], np.array([[1.0, 4.0], [100.0, 4.0]]))}, "full": {"topo": ([1], np.array([[0.0]]))}}
    figure = share_figure(shares, {"kd": "+ KD", "full": "all"}, (5.0, 200.0))
    first, second = figure.axes
    curve = next(line for line in first.lines if line.get_marker() == "o")
    np.testing.assert_allclose(curve.get_ydata(), [10, 4])
    assert first.get_title() == "+ KD" and sum(line.get_linestyle() == ":" for line in second.lines) == 2
