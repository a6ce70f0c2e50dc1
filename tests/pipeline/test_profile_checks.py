"""`topokd params` rejects a profile that cannot be run, before any stage runs."""

from __future__ import annotations

from typing import Any

import pytest

from topokd import params as P
from topokd.errors import ParameterError
from topokd.pipeline.profiles import check_profile

ROW = {"label": "A", "short": "a", "color": "#ff0000"}


def with_changes(**changes: Any) -> P.Params:
    return P.load_profile("default").replace(**changes)


@pytest.mark.parametrize("name", P.profile_names())
def test_every_profile_passes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check_profile(P.load_profile(name))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": {"student": "ptv3-tinny"}}, "model.student is 'ptv3-tinny'; did you mean 'ptv3-tiny'"),
        ({"rows": {"a": {**ROW, "student": "ptv9"}}, "train_rows": []}, "rows.a.student is 'ptv9'"),
        ({"rows": {"a": {**ROW, "color": "notacolor"}}, "train_rows": []}, "rows.a.color is 'notacolor'"),
        ({"train": {"ranks": 3, "batch_size": 4}}, "train; batch_size is 4, which 3 ranks cannot share equally"),
        ({"train": {"shares": {"zz": 0.1}}}, "train.shares names 'zz', which is not in `terms`"),
        ({"data": {"dataset": "semantickity"}}, "data.dataset is 'semantickity'"),
    ],
)
def test_a_value_that_cannot_be_meant_is_rejected(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        check_profile(with_changes(**changes))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"color": "#12"}, "rows.a.color is '#12'; it must have the form"),
        ({"label": "two\nlines"}, "rows.a.label is .* it must have the form"),
        ({"terms": ["kd", "kd"]}, "rows.a.terms names 'kd' twice"),
    ],
)
def test_a_row_that_no_figure_can_show_is_rejected(row: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        with_changes(rows={"a": {**ROW, **row}}, train_rows=[])
