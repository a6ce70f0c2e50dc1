"""docs/costs.md equals the output of tools/costs.py for the committed measurements, and its schedule is feasible."""

from __future__ import annotations

import pytest

from tools import costs
from tools.costs import EFFICIENCY, Training, wall_hours

pytestmark = pytest.mark.unit


def test_the_page_is_current():
    assert costs.PAGE.read_text() == costs.page(), "run python tools/costs.py"


def test_trainings_share_the_gpus_and_students_wait_for_teachers():
    teachers, students = [Training("t", 10.0)], [Training(f"s{k}", 6.0) for k in range(4)]
    assert wall_hours((teachers, students), 1, batch_size=12) == (10.0 + 24.0, 1)
    assert wall_hours((students,), 2, batch_size=1) == (12.0, 1)
    hours, ranks = wall_hours((teachers, students), 8, batch_size=12)
    assert ranks == 6 and hours == pytest.approx(10 / (6 * EFFICIENCY) + 6 / (2 * EFFICIENCY))
    assert wall_hours((teachers,), 7, batch_size=5)[1] == 5
