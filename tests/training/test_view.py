from __future__ import annotations

import matplotlib.pyplot as plt

from topokd.viz.training import class_table, conclusion, history_figure


def record(miou: list[float | None], terms: dict[str, list[float]]) -> dict:
    return {
        "run": "full-seed0",
        "parameters": 1234,
        "steps": 20,
        "terms": {name: {} for name in terms if name != "seg"},
        "history": {
            "step": [10, 20],
            "loss": [3.0, 1.0],
            "terms": terms,
            "lr": [0.002, 0.001],
            "val_step": [10, 20],
            "val_miou": miou,
        },
        "evaluation": {
            "points": 5000,
            "class_names": ["car", "road", "truck"],
            "iou": [0.25, 0.75, None],
            "miou_skip": 0.5,
            "accuracy": 0.8,
        },
    }


def test_figure_shows_every_term_and_the_total() -> None:
    figure = history_figure(record([0.1, None], {"seg": [3.0, 1.0], "kd": [0.5, 0.4]}))
    loss, rate, miou = figure.axes
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["$L_{total}$", "$L_{seg}$", "$L_{kd}$"]
    assert rate.lines[0].get_ydata().tolist() == [0.002, 0.001]
    assert miou.lines[0].get_ydata()[0] == 10
    plt.close(figure)


def test_table_leaves_absent_classes_out_and_starts_with_the_best() -> None:
    assert class_table(record([0.1, 0.2], {"seg": [3.0, 1.0]})).values.tolist() == [["road", 75.0], ["car", 25.0]]


def test_conclusion_is_computed() -> None:
    text = conclusion(record([0.1, 0.2], {"seg": [3.0, 1.0], "kd": [0.5, 0.4]}))
    for words in (
        "**50.0 mIoU**",
        "80.0 %",
        "Best class: road, weakest: car",
        "still rising",
        "from 3.00 to 1.00",
        "kd",
    ):
        assert words in text
    assert "falling" in conclusion(record([0.3, 0.2], {"seg": [3.0, 1.0]}))
    assert "was" not in conclusion(record([0.3, None], {"seg": [3.0, 1.0]}))
