"""Tensors that few functions of torch can read raise an error that says why; labels may have any integer type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from topokd import topology as T
from topokd.data import Scan, collate, voxelize
from topokd.distillation import (
    AffinityLoss,
    DecoupledLoss,
    LogitLoss,
    SegmentationLoss,
    lovasz_softmax,
    saliency_map,
)
from topokd.errors import DataError
from topokd.evaluation import ConfusionMatrix
from topokd.models import build_model

pytestmark = pytest.mark.invalid_arguments
GENERATOR = torch.Generator().manual_seed(0)
X, Z = (torch.randn(30, 5, generator=GENERATOR) for _ in range(2))
LABEL = torch.randint(0, 5, (30,), generator=GENERATOR)
OFFSETS = torch.tensor([30])
D = T.vietoris_rips(X).diagrams[0]
ROWS: dict[str, Callable[[Any], Any]] = {
    "farthest_point_sampling": lambda x: T.farthest_point_sampling(x, 3),
    "covering_radius": lambda x: T.covering_radius(x, [0]),
    "vietoris_rips": T.vietoris_rips,
    "rtd": lambda x: T.rtd(x, Z),
    "signature_loss": lambda x: T.signature_loss(x, Z),
    "TopologicalLoss": lambda x: T.TopologicalLoss(10)(x, Z, OFFSETS),
    "LogitLoss": lambda x: LogitLoss(4.0)(x, Z),
    "SegmentationLoss": lambda x: SegmentationLoss()(x, LABEL),
    "lovasz_softmax": lambda x: lovasz_softmax(x, LABEL),
    "saliency_map": lambda x: saliency_map(x, Z, OFFSETS),
    "AffinityLoss": lambda x: AffinityLoss()(x, Z, OFFSETS),
}
PAIRS: dict[str, Callable[[Any], Any]] = {
    "persistence_weighted_chamfer": lambda d: T.persistence_weighted_chamfer(D, d),
    "total_persistence": T.total_persistence,
    "wasserstein_distance": lambda d: T.wasserstein_distance(d, D),
    "betti_curve": lambda d: T.betti_curve(d, [0.0, 1.0]),
}


def nested(x: Tensor) -> Tensor:
    return torch.nested.nested_tensor([x[:3], x[3:9]])


@pytest.mark.parametrize("function", [*ROWS, *PAIRS])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_tensors_and_numbers_of_one_byte_are_named(function: str) -> None:
    call, x = (ROWS[function], X) if function in ROWS else (PAIRS[function], D.detach())
    with pytest.raises(DataError, match=r"nested tensor: pass one tensor per cloud"):
        call(nested(x))
    with pytest.raises(DataError, match="float8_e4m3fn values: pass real numbers"):
        call(x.to(torch.float8_e4m3fn))


@pytest.mark.parametrize("function", ROWS)
def test_an_imaginary_part_is_read_as_its_numbers(function: str) -> None:
    negated = torch.complex(X, -X).conj().imag  # X, of which memory holds the negative
    assert negated.is_neg() and torch.equal(negated, X)
    result, expected = ROWS[function](negated), ROWS[function](X)
    if isinstance(expected, Tensor):
        assert torch.equal(result, expected)


@pytest.mark.parametrize("kind", [torch.int8, torch.int16, torch.int32, torch.uint8])
@pytest.mark.parametrize("loss", [SegmentationLoss(lovasz=1.0), DecoupledLoss()], ids=lambda loss: type(loss).__name__)
def test_labels_may_have_any_whole_type(loss: Any, kind: torch.dtype) -> None:
    given = (X, LABEL) if isinstance(loss, SegmentationLoss) else (X, Z, LABEL)
    expected = loss(*given)
    for label in (LABEL.to(kind), LABEL.numpy(), LABEL.tolist(), [LABEL[:9], LABEL[9:].numpy()]):
        assert torch.equal(loss(*given[:-1], label), expected)


@pytest.mark.parametrize("label", [None, "road", [None], torch.zeros(30, device="meta"), {1: 2}], ids=repr)
def test_what_is_no_label_is_named(label: Any) -> None:
    with pytest.raises(DataError, match="label"):
        SegmentationLoss()(X, label)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_maps_and_losses_of_values_that_are_not_finite_are_rejected(value: float) -> None:
    broken = torch.where(X > 1, value, X)
    for call in (
        lambda: lovasz_softmax(broken, LABEL),
        lambda: saliency_map(broken, X, OFFSETS),
        lambda: saliency_map(X, broken, OFFSETS),
    ):
        with pytest.raises(DataError, match="holds NaN or infinity, first in row"):
            call()


def test_logits_in_whole_numbers_have_a_lovasz_loss() -> None:
    logits = (10 * X).long()
    assert torch.equal(lovasz_softmax(logits, LABEL), lovasz_softmax(logits.float(), LABEL))


def test_distances_beyond_their_number_type_are_rejected() -> None:
    """Squares of 1e30 are beyond float32, and were infinity without a word."""
    with pytest.raises(DataError, match=r"squared distance between the diagrams is .*e\+60, more than float32 holds"):
        T.persistence_weighted_chamfer(D.detach(), 1e30 * D.detach())
    with pytest.raises(DataError, match=r"the loss is .*more than float32 holds: divide both clouds by a constant"):
        T.signature_loss(1e30 * X, Z)
    assert torch.isfinite(T.signature_loss(1e30 * X, Z, normalize=True))
    assert T.signature_loss(1e30 * X, 1e30 * X) == 0  # distances are large, their differences are not
    assert torch.isfinite(T.persistence_weighted_chamfer(D.detach().double(), 1e30 * D.detach().double()))


def test_lists_of_clouds_and_offsets_are_checked_as_tensors_are() -> None:
    loss = T.TopologicalLoss(10)
    with pytest.raises(DataError, match="complex64 values: pass real numbers"):
        loss([X.to(torch.complex64)], [Z])
    with pytest.raises(DataError, match="is on the device meta"):
        loss([X.to("meta")], [Z])
    with pytest.raises(DataError, match="offsets .* are on the device meta"):
        loss(X, Z, torch.tensor([30], device="meta"))
    assert np.isfinite(loss(X, Z, OFFSETS).item())


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("name", ["feat", "grid_coord"])
@pytest.mark.parametrize("kind", ["nested", "meta", "sparse"])
def test_a_network_names_inputs_that_it_cannot_read(name: str, kind: str) -> None:
    batch = {"feat": torch.randn(9, 4), "grid_coord": torch.arange(27).reshape(9, 3), "offset": torch.tensor([9])}
    change = {"nested": nested, "meta": lambda x: x.to("meta"), "sparse": lambda x: x.to_sparse()}[kind]
    network = build_model("ptv3-tiny", num_classes=3).eval()
    with pytest.raises(DataError, match=f"{name} is a tensor that is .*{kind}"):
        network({**batch, name: change(batch[name])})


def test_clouds_that_are_no_voxels_are_named() -> None:
    scan = Scan(np.random.default_rng(0).uniform(-9, 9, (50, 3)), np.zeros(50))
    with pytest.raises(DataError, match="collate got an object of type Scan: give it what voxelize returns"):
        collate([scan])  # type: ignore[list-item]
    with pytest.raises(DataError, match="scan is of type ndarray: pass a topokd.data.Scan"):
        voxelize(scan.xyz, 0.5)  # type: ignore[arg-type]
    voxels = voxelize(scan, 0.5)
    assert len(collate(voxels for _ in range(2))) == 2  # type: ignore[arg-type]


def test_predictions_without_values_are_named() -> None:
    matrix = ConfusionMatrix(3)
    with pytest.raises(DataError, match="prediction is on the device meta"):
        matrix.update(torch.zeros(5, dtype=torch.int64, device="meta"), torch.zeros(5, dtype=torch.int64))
