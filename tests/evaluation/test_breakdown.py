"""Parts of the points add up to all; borders against a brute-force search."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from topokd.data import IGNORE, Batch, Scan
from topokd.errors import DataError
from topokd.evaluation.breakdown import BOUNDARY, Breakdown, border_distance, break_down
from topokd.evaluation.predict import predict


def cloud(seed, n=60):
    rng = np.random.default_rng(seed)
    xyz = (rng.uniform(-1, 1, (n, 3)) * rng.choice([1, 30, 60], (n, 1))).astype(np.float32)
    return Scan(xyz, np.zeros(n), rng.integers(IGNORE, 3, n), None, "s"), rng.integers(IGNORE, 3, n)


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=40)
def test_border_distance_is_the_brute_force_one(seed):
    scan, _ = cloud(seed)
    distances = border_distance(scan.xyz, scan.label, 0.8)
    for i in range(len(scan)):
        others = (scan.label != scan.label[i]) & (scan.label != IGNORE)
        distance = np.linalg.norm(scan.xyz[others] - scan.xyz[i], axis=1).min(initial=np.inf)
        expected = distance if scan.label[i] != IGNORE and distance <= 0.8 else np.inf
        assert distances[i] == pytest.approx(expected, abs=1e-6)


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=20)
def test_parts_add_up_to_the_whole(seed):
    scan, prediction = cloud(seed)
    breakdown = Breakdown(3, ("a", "b", "c"))
    breakdown.update(scan, prediction)
    for parts in (breakdown.ranges, breakdown.borders, [breakdown.boundary(), breakdown.interior()]):
        np.testing.assert_array_equal(sum(cm.matrix for cm in parts), breakdown.total.matrix)
        np.testing.assert_array_equal(sum(cm.missed for cm in parts), breakdown.total.missed)
    near = border_distance(scan.xyz, scan.label) < BOUNDARY
    assert breakdown.boundary().points == int(near.sum())
    distance = np.linalg.norm(scan.xyz.astype(float), axis=1)
    assert breakdown.ranges[2].points == int(((distance >= 20) & (distance < 30) & (scan.label != IGNORE)).sum())


def test_classes_are_grouped_by_their_share_of_the_points():
    label = np.repeat([0, 1, 2], [940, 56, 4])
    scan = Scan(np.random.default_rng(0).normal(size=(1000, 3)), np.zeros(1000), label)
    breakdown = Breakdown(4, ("road", "car", "person", "never"))
    breakdown.update(scan, np.zeros(1000, np.int64))
    assert breakdown.frequencies() == {"frequent": ["road", "car"], "medium": [], "rare": ["person"]}
    record = breakdown.record()
    assert (
        record["frequency"]["frequent"]["miou"] == pytest.approx(47.0) and record["frequency"]["medium"]["miou"] is None
    )
    assert sum(part["points"] for part in record["range"]) == 1000


def test_bad_edges_and_scans_without_labels_are_errors():
    with pytest.raises(DataError, match="rise from 0"):
        Breakdown(2, "ab", range_edges=(0, 5, 3, np.inf))
    with pytest.raises(DataError, match="must contain 0.2"):
        Breakdown(2, "ab", border_edges=(0, 1, np.inf))
    with pytest.raises(DataError, match="no labels"):
        Breakdown(2, "ab").update(Scan(np.zeros((1, 3)), np.zeros(1), name="s"), np.zeros(1, int))


class Leaning(torch.nn.Module):
    """Class 1 where the point lies on one side of a plane."""

    def __init__(self, side: float) -> None:
        super().__init__()
        self.side = torch.nn.Parameter(torch.tensor(side))

    def forward(self, batch: Batch) -> torch.Tensor:
        score = self.side * batch.coord[:, 0]
        return torch.stack([-score, score, torch.zeros_like(score)], 1)


class Clouds:
    num_classes, class_names = 3, ("a", "b", "c")

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Scan:
        return cloud(index)[0]


@pytest.mark.long
def test_networks_and_processes_share_scans_and_change_no_count():
    models = {"left": Leaning(-1.0), "right": Leaning(1.0)}
    alone = {name: Breakdown(3, Clouds.class_names) for name in models}
    for index in range(5):
        for name, model in models.items():
            scan = Clouds()[index]
            alone[name].update(scan, predict(model, scan, 0.2))
    for jobs in (1, 2):
        breakdowns = break_down(models, Clouds(), 0.2, jobs=jobs)
        for name, part in breakdowns.items():
            for mine, expected in zip(
                (part.total, *part.ranges, *part.borders),
                (alone[name].total, *alone[name].ranges, *alone[name].borders),
                strict=True,
            ):
                np.testing.assert_array_equal(mine.matrix, expected.matrix)
                np.testing.assert_array_equal(mine.missed, expected.missed)
        assert [part.total.clouds for part in breakdowns.values()] == [5, 5]
