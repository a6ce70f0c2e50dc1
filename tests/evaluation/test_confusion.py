"""ConfusionMatrix against independent re-implementations of the official evaluators."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from topokd.data import IGNORE
from topokd.errors import DataError
from topokd.evaluation import ConfusionMatrix, evaluation_record


def semantickitti(prediction, truth, num_classes):
    """The official rules written point by point: class ids shifted so that 0 is the ignored class."""
    table = [[0] * (num_classes + 1) for _ in range(num_classes + 1)]
    for p, t in zip(prediction, truth, strict=True):
        table[p + 1][t + 1] += 1
    for row in table:
        row[0] = 0  # ground truth 0 is dropped
    ious = []
    for k in range(1, num_classes + 1):
        tp = table[k][k]
        fp = sum(table[k]) - tp
        fn = sum(row[k] for row in table) - tp
        ious.append(tp / (tp + fp + fn + 1e-15))
    return ious, sum(ious) / num_classes


def nuscenes(prediction, truth, num_classes):
    """Rows are ground truth there; the ignored row and column are zeroed; absent classes are NaN and skipped."""
    table = np.zeros((num_classes + 1, num_classes + 1))
    for p, t in zip(prediction, truth, strict=True):
        table[t + 1, p + 1] += 1
    table[0], table[:, 0] = 0, 0
    with np.errstate(invalid="ignore"):
        iou = (np.diag(table) / (table.sum(0) + table.sum(1) - np.diag(table)))[1:]
    return iou, np.nanmean(iou) if not np.isnan(iou).all() else np.nan


def clouds(lowest_prediction):
    return st.integers(1, 6).flatmap(
        lambda c: st.tuples(
            st.just(c),
            st.lists(st.tuples(st.integers(lowest_prediction, c - 1), st.integers(IGNORE, c - 1)), max_size=60),
        )
    )


def counted(c, pairs):
    cm = ConfusionMatrix(c)
    cm.update(np.array([p for p, _ in pairs], int), np.array([t for _, t in pairs], int))
    return cm


@given(clouds(IGNORE))
@settings(deadline=None, max_examples=200)
def test_equals_semantickitti_evaluator_also_where_the_ignored_class_is_predicted(case):
    c, pairs = case
    cm = counted(c, pairs)
    ious, mean = semantickitti([p for p, _ in pairs], [t for _, t in pairs], c)
    np.testing.assert_allclose(np.nan_to_num(cm.iou()), ious, atol=1e-12)
    assert cm.miou(absent="zero") == pytest.approx(mean, abs=1e-12)


@given(clouds(0))
@settings(deadline=None, max_examples=200)
def test_equals_nuscenes_evaluator(case):
    c, pairs = case
    cm = counted(c, pairs)
    iou, mean = nuscenes([p for p, _ in pairs], [t for _, t in pairs], c)
    np.testing.assert_allclose(cm.iou(), iou, atol=1e-12)
    np.testing.assert_allclose(cm.miou(absent="skip"), mean, atol=1e-12)


@given(clouds(IGNORE), st.integers(0, 60))
@settings(deadline=None, max_examples=100)
def test_merging_parts_equals_counting_all_at_once(case, cut):
    c, pairs = case
    merged = counted(c, pairs[:cut]).merge(counted(c, pairs[cut:]))
    whole = counted(c, pairs)
    assert (merged.matrix == whole.matrix).all() and (merged.missed == whole.missed).all()
    assert merged.clouds == 2 and merged.points == whole.points


@given(clouds(0), st.randoms())
@settings(deadline=None, max_examples=50)
def test_order_of_points_and_unlabelled_points_do_not_matter(case, random):
    c, pairs = case
    more = [*pairs, (0, IGNORE), (c - 1, IGNORE)]
    random.shuffle(more)
    np.testing.assert_array_equal(counted(c, pairs).matrix, counted(c, more).matrix)


def test_rows_are_predictions_and_columns_truth():
    cm = ConfusionMatrix(2, ("road", "car"))
    cm.update(torch.tensor([0]), torch.tensor([1]))
    assert cm.matrix.tolist() == [[0, 1], [0, 0]]
    assert cm.present().tolist() == [False, True]


def test_predicted_only_class_counts_zero_in_both_conventions():
    cm = ConfusionMatrix(3)
    cm.update([0, 1], [0, 0])  # class 1 is predicted but absent from the truth, class 2 is in neither
    assert cm.iou().tolist()[:2] == [0.5, 0.0] and np.isnan(cm.iou()[2])
    assert cm.miou("skip") == 0.25
    assert cm.miou("zero") == pytest.approx(0.5 / 3)


def test_a_labelled_point_without_prediction_lowers_accuracy_and_iou():
    cm = ConfusionMatrix(2)
    cm.update([0, IGNORE], [0, 0])
    assert cm.accuracy() == 0.5 and cm.iou()[0] == 0.5 and cm.missed.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("prediction", "truth", "message"),
    [
        ([3], [0], "prediction holds class 3"),
        ([-2], [0], "prediction holds class -2"),
        ([0], [7], "truth holds class 7"),
        ([0, 1], [0], "2 predictions for 1"),
        ([0.5], [0], "integer class ids"),
    ],
)
def test_wrong_classes_are_clear_errors(prediction, truth, message):
    with pytest.raises(DataError, match=message):
        ConfusionMatrix(3).update(prediction, truth)


def test_unknown_class_predicted_where_nothing_is_labelled_is_ignored_with_the_point():
    cm = ConfusionMatrix(2)
    cm.update([9], [IGNORE])
    assert cm.points == 0 and np.isnan(cm.accuracy()) and np.isnan(cm.miou("skip")) and cm.miou("zero") == 0


@pytest.mark.invalid_arguments
def test_wrong_names_conventions_and_merges_are_errors():
    with pytest.raises(DataError, match="class names"):
        ConfusionMatrix(3, ("a", "b"))
    with pytest.raises(DataError, match="choose one of skip, zero, one"):
        ConfusionMatrix(3).miou("mean")
    with pytest.raises(DataError, match="merge"):
        ConfusionMatrix(2, ("a", "b")).merge(ConfusionMatrix(2, ("a", "c")))


def test_record_holds_everything_and_is_plain():
    cm = ConfusionMatrix(3, ("a", "b", "c"))
    cm.update([0, 0, 1], [0, 1, 1])
    record = evaluation_record(cm)
    assert record["confusion"] == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert record["iou"] == [0.5, 0.5, None] and record["present"] == [True, True, False]
    assert (record["scans"], record["points"], record["split"]) == (1, 3, "val")
    assert record["miou_skip"] == 0.5 and record["accuracy"] == pytest.approx(2 / 3)
    assert all(type(v) in (str, int, float, list) for v in record.values())


def test_a_record_gives_its_matrix_back():
    cm = ConfusionMatrix(3, ("a", "b", "c"))
    cm.update([0, -1, 2], [0, 1, 1])
    again = ConfusionMatrix.of_record(evaluation_record(cm))
    assert (again.matrix == cm.matrix).all() and (again.missed == cm.missed).all()
    assert (again.class_names, again.clouds) == (cm.class_names, 1)
