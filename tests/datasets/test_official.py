"""The three official evaluators, written again point by point on the ids of the files.

Maps, names and their order are typed here from the official tools (semantic-kitti.yaml, nuscenes-devkit's lidarseg
README, segmentation.proto), not taken from the package.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topokd.datasets import BENCHMARKS, find_benchmark
from topokd.datasets.nuscenes.classes import NUSCENES
from topokd.datasets.semantickitti.classes import SEMANTICKITTI
from topokd.datasets.waymo.classes import WAYMO
from topokd.errors import DataError
from topokd.evaluation import ConfusionMatrix

KITTI_MAP = {
    0: 0, 1: 0, 10: 1, 11: 2, 13: 5, 15: 3, 16: 5, 18: 4, 20: 5, 30: 6, 31: 7, 32: 8, 40: 9, 44: 10, 48: 11, 49: 12,
    50: 13, 51: 14, 52: 0, 60: 9, 70: 15, 71: 16, 72: 17, 80: 18, 81: 19, 99: 0, 252: 1, 253: 7, 254: 6, 255: 8, 256: 5,
    257: 5, 258: 4, 259: 5,
}  # fmt: skip
NUSCENES_MAP = {
    0: 0, 1: 0, 2: 7, 3: 7, 4: 7, 5: 0, 6: 7, 7: 0, 8: 0, 9: 1, 10: 0, 11: 0, 12: 8, 13: 0, 14: 2, 15: 3, 16: 3, 17: 4,
    18: 5, 19: 0, 20: 0, 21: 6, 22: 9, 23: 10, 24: 11, 25: 12, 26: 13, 27: 14, 28: 15, 29: 0, 30: 16, 31: 0,
}  # fmt: skip
NAMES = {
    "semantickitti": "car bicycle motorcycle truck other-vehicle person bicyclist motorcyclist road parking sidewalk "
    "other-ground building fence vegetation trunk terrain pole traffic-sign",
    "nuscenes": "barrier bicycle bus car construction_vehicle motorcycle pedestrian traffic_cone trailer truck "
    "driveable_surface other_flat sidewalk terrain manmade vegetation",
    "waymo": "car truck bus other_vehicle motorcyclist bicyclist pedestrian sign traffic_light pole construction_cone "
    "bicycle motorcycle building vegetation tree_trunk curb road lane_marker other_ground walkable sidewalk",
}


def semantickitti(raw_prediction, raw_truth):
    """evaluate_semantics.py on raw ids: learning map to 0..19, np_ioueval with 0 ignored."""
    table = np.zeros((20, 20), np.int64)
    for p, t in zip(raw_prediction, raw_truth, strict=True):
        table[KITTI_MAP[p], KITTI_MAP[t]] += 1
    table[:, 0] = 0
    tp = np.diag(table)
    fp, fn = table.sum(1) - tp, table.sum(0) - tp
    iou = tp / (tp + fp + fn + 1e-15)
    return iou[1:], iou[1:].mean(), tp.sum() / (tp[1:].sum() + fp[1:].sum() + 1e-15)


def nuscenes(prediction, raw_truth):
    """ConfusionMatrix of the devkit: truth mapped 32 -> 0..16, predictions 1..16, ignore index 0, nanmean."""
    table = np.zeros((17, 17), np.int64)
    for p, t in zip(prediction, raw_truth, strict=True):
        assert 0 < p < 17
        table[NUSCENES_MAP[t], p] += 1
    table[0], table[:, 0] = 0, 0
    hit = np.diagonal(table)
    with np.errstate(invalid="ignore", divide="ignore"):
        iou = hit / (table.sum(1) + table.sum(0) - hit)
        weighted = np.nansum(table.sum(1) * iou) / table.sum()
    return iou[1:], np.nanmean(iou) if not np.isnan(iou).all() else np.nan, weighted


def waymo(prediction, truth):
    """SegmentationMetricsIOU: classes 1..22, everything else in an extra row and column; no union counts 1."""
    table = [[0] * 23 for _ in range(23)]
    for p, t in zip(prediction, truth, strict=True):
        table[t - 1 if 1 <= t <= 22 else 22][p - 1 if 1 <= p <= 22 else 22] += 1
    iou = [1.0] * 22
    for i in range(22):
        union = -table[i][i] + sum(table[i][j] + table[j][i] for j in range(22)) + table[i][22]
        if union > 0:
            iou[i] = table[i][i] / union
    return iou, sum(iou) / 22


def raw(ids):
    ids = sorted(ids)
    few = st.sampled_from(ids[:4])  # few classes: many are absent
    return st.one_of(few, st.sampled_from(ids))


def official_scores(cm, benchmark):
    return BENCHMARKS[benchmark].official_scores(cm)


def counted(space, prediction, truth):
    cm = ConfusionMatrix(space.num_classes, space.class_names)
    cm.update(prediction, space.class_of_raw(np.array(truth, np.int64)))
    return cm


def pairs(prediction, truth):
    return st.lists(st.tuples(prediction, truth), max_size=80).map(
        lambda rows: tuple(zip(*rows, strict=True)) or ((), ())
    )


@given(pairs(raw(KITTI_MAP), raw(KITTI_MAP)))
@settings(deadline=None, max_examples=150)
def test_semantickitti_scores_equal_those_of_its_evaluator(case):
    prediction, truth = case
    scores = official_scores(
        counted(SEMANTICKITTI, SEMANTICKITTI.class_of_raw(np.array(prediction, np.int64)), truth), "semantickitti"
    )
    iou, mean, accuracy = semantickitti(prediction, truth)
    np.testing.assert_allclose(list(scores.iou.values()), iou, atol=1e-12)
    assert scores.miou == pytest.approx(mean, abs=1e-12)
    assert scores.extra["accuracy"] == pytest.approx(accuracy, abs=1e-12)


@given(pairs(st.one_of(st.integers(1, 3), st.integers(1, 16)), raw(NUSCENES_MAP)))
@settings(deadline=None, max_examples=150)
def test_nuscenes_scores_equal_those_of_the_devkit(case):
    prediction, truth = case
    scores = official_scores(counted(NUSCENES, np.array(prediction, np.int64) - 1, truth), "nuscenes")
    iou, mean, weighted = nuscenes(prediction, truth)
    np.testing.assert_allclose(list(scores.iou.values()), iou, atol=1e-12)
    np.testing.assert_allclose(scores.miou, mean, atol=1e-12)
    if "frequency-weighted IoU" in scores.extra:
        assert scores.extra["frequency-weighted IoU"] == pytest.approx(weighted, abs=1e-12)
    else:
        assert np.isnan(weighted)


@given(pairs(st.one_of(st.integers(0, 3), st.integers(0, 22)), raw(range(23))))
@settings(deadline=None, max_examples=150)
def test_waymo_scores_equal_those_of_its_metric(case):
    prediction, truth = case
    scores = official_scores(counted(WAYMO, np.array(prediction, np.int64) - 1, truth), "waymo")
    iou, mean = waymo(prediction, truth)
    np.testing.assert_allclose(list(scores.iou.values()), iou, atol=1e-12)
    assert scores.miou == pytest.approx(mean, abs=1e-12)


@pytest.mark.parametrize("benchmark", NAMES)
def test_classes_keep_the_names_and_order_of_the_benchmark(benchmark):
    names = tuple(NAMES[benchmark].split())
    assert list(official_scores(ConfusionMatrix(len(names), names), benchmark).iou) == list(names)


def test_an_empty_matrix_gives_each_benchmarks_value_for_absent_classes():
    empty = {
        name: b.official_scores(ConfusionMatrix(b.classes.num_classes, b.classes.class_names))
        for name, b in BENCHMARKS.items()
    }
    assert empty["semantickitti"].miou == 0 and empty["waymo"].miou == 1 and np.isnan(empty["nuscenes"].miou)


def test_wrong_classes_unknown_benchmarks_and_misses_on_nuscenes_raise():
    with pytest.raises(DataError, match="SemanticKITTI has the 19 classes"):
        official_scores(ConfusionMatrix(2), "semantickitti")
    with pytest.raises(DataError, match="choose one of .*nuscenes, semantickitti, waymo"):
        find_benchmark("kitti")
    with pytest.raises(DataError, match="1 labelled points have no predicted class"):
        official_scores(counted(NUSCENES, [-1], [17]), "nuscenes")
