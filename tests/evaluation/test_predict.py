"""Predictions per original point: deterministic, alone, averaged over rotations."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from topokd.data import IGNORE, Scan, ScanCache, collate, voxelize
from topokd.datasets import SemanticKITTI
from topokd.datasets.semantickitti.files import write_scan
from topokd.errors import DataError, ParameterError
from topokd.evaluation import class_probabilities, evaluate, predict
from topokd.evaluation.predict import rotated
from topokd.models import build_model


class Network(nn.Module):
    """A small network with BatchNorm and dropout, so that its mode shows in its output."""

    def __init__(self, classes=3, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.GELU(), nn.Dropout(0.5), nn.Linear(8, classes)
        )

    def forward(self, batch):
        return self.layers(batch.feat)


def make_scan(n=200, seed=0, labels=True):
    rng = np.random.default_rng(seed)
    xyz = rng.uniform(-5, 5, (n, 3)).astype(np.float32)
    label = rng.integers(IGNORE, 3, n) if labels else None
    return Scan(xyz, rng.random(n).astype(np.float32), label, None, f"08/{seed:06d}")


class Scans:
    num_classes, class_names = 3, ("a", "b", "c")

    def __init__(self, count=3):
        self.scans = [make_scan(seed=i) for i in range(count)]

    def __len__(self):
        return len(self.scans)

    def __getitem__(self, index):
        return self.scans[index]


def test_every_point_gets_the_class_of_its_voxel():
    scan, model = make_scan(), Network().eval()
    voxels = voxelize(scan, 2.0)
    with torch.no_grad():
        expected = model(collate([voxels])).argmax(1).numpy()[voxels.inverse]
    predicted = predict(model, scan, 2.0)
    assert predicted.dtype == np.int64 and (predicted == expected).all() and len(voxels) < len(scan)


def test_prediction_is_deterministic_and_restores_the_mode_of_each_submodule():
    scan, model = make_scan(), Network()
    model.train()
    model.layers[1].eval()
    first = predict(model, scan, 0.5)
    assert (predict(model, scan, 0.5) == first).all()
    assert model.training and not model.layers[1].training and model.layers[3].training
    assert model.layers[1].num_batches_tracked == 0


def test_the_mode_is_restored_after_an_error():
    model = Network()
    nn.init.constant_(model.layers[4].bias, math.nan)
    with pytest.raises(DataError, match="08/000000 is not finite"):
        predict(model, make_scan(), 0.5)
    assert model.training


def test_tta_is_the_mean_of_the_rotated_views():
    scan, model = make_scan(), Network().eval()
    views = []
    for k in range(3):
        angle = 2 * math.pi * k / 3
        x, y, z = scan.xyz.T.astype(np.float64)
        turned = np.stack((math.cos(angle) * x - math.sin(angle) * y, math.sin(angle) * x + math.cos(angle) * y, z), 1)
        voxels = voxelize(Scan(turned.astype(np.float32), scan.intensity), 0.5)
        with torch.no_grad():
            views.append(model(collate([voxels])).softmax(1)[torch.from_numpy(voxels.inverse)])
    torch.testing.assert_close(class_probabilities(model, scan, 0.5, tta=3), sum(views) / 3, atol=1e-5, rtol=1e-4)


def test_tta_of_one_is_the_scan_itself_and_less_is_an_error():
    scan = make_scan()
    assert rotated(scan, 0) is scan
    with pytest.raises(DataError, match="tta is 0"):
        predict(Network(), scan, 0.5, tta=0)


def test_evaluate_counts_points_not_voxels_and_ignores_the_unlabelled():
    data, model = Scans(), Network().eval()
    cm = evaluate(model, data, 0.5)
    assert cm.points == sum((s.label != IGNORE).sum() for s in data.scans) and cm.clouds == 3
    by_hand = sum((predict(model, s, 0.5) == s.label)[s.label != IGNORE].sum() for s in data.scans)
    assert np.trace(cm.matrix) == by_hand


def test_result_of_a_scan_does_not_depend_on_the_others():
    data, model = Scans(5), Network().eval()
    alone = [evaluate(model, data, 0.5, scans=[i]) for i in range(5)]
    merged = alone[0]
    for cm in alone[1:]:
        merged = merged.merge(cm)
    assert (merged.matrix == evaluate(model, data, 0.5).matrix).all()


def test_number_of_scans_is_spread_evenly():
    data, model = Scans(5), Network().eval()
    wanted = evaluate(model, data, 0.5, scans=[0, 2, 4])
    assert (evaluate(model, data, 0.5, scans=3).matrix == wanted.matrix).all()
    assert evaluate(model, data, 0.5, scans=99).clouds == 5


def test_scan_without_labels_is_named():
    data = Scans(1)
    data.scans = [make_scan(seed=7, labels=False)]
    with pytest.raises(DataError, match="08/000007 has no labels"):
        evaluate(Network(), data, 0.5)


def test_a_scan_with_one_point_gets_a_label():
    scan = Scan(np.zeros((1, 3), np.float32), np.zeros(1, np.float32))
    assert predict(Network(), scan, 0.5).shape == (1,)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("tta", [1, 3])
def test_workers_and_a_cache_change_nothing(tmp_path, workers, kept, tta):
    scans, network = Scans().scans, Network(classes=19).eval()
    for frame, scan in enumerate(scans):
        write_scan(tmp_path / "data", 8, frame, scan)
    data = SemanticKITTI(tmp_path / "data", "val")
    expected = evaluate(network, data, 0.5, tta)
    data = SemanticKITTI(tmp_path / "data", "val").stored_in(ScanCache(tmp_path / "cache") if kept else None)
    for _ in range(2):  # cold, warm
        assert (evaluate(network, data, 0.5, tta, workers=workers).matrix == expected.matrix).all()
    assert (tmp_path / "cache").is_dir() == kept


@pytest.mark.parametrize("device", ["gpu:7", "cuda:99", "meta"])
def test_a_device_that_is_not_there_is_named(device):
    scan = Scan(np.random.default_rng(0).uniform(-3, 3, (30, 3)), np.zeros(30))
    with pytest.raises(ParameterError, match=f"device '{device}' cannot be used"):
        predict(build_model("ptv3-tiny", num_classes=2), scan, 0.5, device=device)
